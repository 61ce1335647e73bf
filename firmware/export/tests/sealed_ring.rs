//! A sealed ring: its checkpoints come out where they stand, and an export can be verified with them.

#[path = "common/mod.rs"]
mod common;
#[path = "common/sealed.rs"]
mod sealed;

use aegis_cose::Domain;
use aegis_event::{Body, Event};
use aegis_export::read::{Item, open_item};
use aegis_export::seal::{Certificate, Chain, Opened};
use aegis_export::{Ending, Hash, Manifest, Policy, Request, first_head, limits};
use common::{bytes_of, sample};
use sealed::{RING_ID, Running, Sealed};
use sha2::{Digest, Sha256};

/// What an export holds, in order: `C` certificate, a number of events, `e7` the checkpoint of epoch 7, `M` manifest.
fn outline(device: &Sealed, items: &[Vec<u8>]) -> String {
    let key = device.key();
    let mut parts = Vec::new();
    for item in items {
        assert!(item.len() <= limits::ITEM_BYTES);
        parts.push(match open_item(item, &key.pk).expect("own item") {
            Item::Certificate(_) => "C".to_owned(),
            Item::Segment(segment) => segment.events.len().to_string(),
            Item::Checkpoint(checkpoint) => format!("e{}", checkpoint.epoch),
            Item::Manifest(_) => "M".to_owned(),
        });
    }
    parts.join(" ")
}

/// Follows events and checkpoints of exports that go on from each other; returns sequence and epoch reached.
fn verify(device: &Sealed, exports: &[&[Vec<u8>]]) -> (u64, u64) {
    let key = device.key();
    let (mut head, mut sequence): (Hash, u64) = (first_head(&RING_ID), 0);
    let mut chain: Option<Chain> = None;
    for items in exports {
        let mut hash = Sha256::new();
        let mut checkpoints = 0;
        for item in *items {
            match open_item(item, &key.pk).expect("own item") {
                Item::Certificate(certificate) => {
                    chain.get_or_insert_with(|| Chain::begin(&certificate, item));
                }
                Item::Segment(segment) => {
                    assert_eq!((segment.first, segment.previous), (sequence + 1, head));
                    assert!(segment.place.is_some());
                    (sequence, head) = (segment.last(), segment.chain());
                }
                Item::Checkpoint(checkpoint) => {
                    let chain = chain.as_mut().expect("a certificate comes first");
                    assert_eq!(chain.follow(&checkpoint, item), Ok(()), "epoch {}", checkpoint.epoch);
                    assert_eq!((checkpoint.sequence, checkpoint.head), (sequence, head));
                    checkpoints += 1;
                }
                Item::Manifest(manifest) => {
                    assert_eq!(manifest.items, Hash::from(hash.clone().finalize()));
                    let last = chain.as_ref().filter(|_| checkpoints > 0);
                    assert_eq!(manifest.sealed.map(|s| s.hash), last.map(|chain| chain.previous));
                    assert_eq!(manifest.sealed.map(|s| s.next_key), last.map(|chain| chain.next_key));
                    assert_eq!(manifest.sealed.map(|s| s.epoch + 1), last.map(|chain| chain.next_epoch));
                    assert_eq!(manifest.sealed.map_or(0, |sealed| sealed.checkpoints), checkpoints);
                }
            }
            hash.update(item);
        }
    }
    (sequence, chain.map_or(0, |chain| chain.next_epoch))
}

fn work(running: &mut Running<'_>, count: u64) {
    for _ in 0..count {
        let event = sample(running.ring.next_sequence());
        running.append(&event);
    }
}

#[test]
fn checkpoints_come_out_where_they_stand() {
    let mut device = Sealed::new(1 << 20);
    let (items, resume, epoch) = device.export(Request::from(1), 0);
    assert_eq!((outline(&device, &items), resume, epoch), ("M".to_owned(), 1, 0));
    let mut running = device.boot(1);
    assert_eq!(running.opened, Opened::Began);
    running.checkpoint();
    work(&mut running, 10);
    running.checkpoint();
    work(&mut running, 5);
    running.checkpoint();
    running.checkpoint();
    work(&mut running, 3);
    running.stop();
    let (first, resume, epoch) = device.export(Request::from(1), 0);
    assert_eq!(outline(&device, &first), "C e0 10 e1 5 e2 e3 3 M");
    assert_eq!((resume, epoch), (19, 4));
    // Nothing new but epochs; then events too, in another boot.
    let mut running = device.boot(2);
    assert_eq!(running.opened, Opened::InStep);
    running.checkpoint();
    running.checkpoint();
    running.stop();
    let (second, resume, epoch) = device.export(Request::from(resume), epoch);
    assert_eq!(outline(&device, &second), "C e4 e5 M");
    assert_eq!((resume, epoch), (19, 6));
    let mut running = device.boot(3);
    running.checkpoint();
    work(&mut running, 4);
    running.checkpoint();
    running.stop();
    let (third, resume, epoch) = device.export(Request::from(resume), epoch);
    assert_eq!((outline(&device, &third).as_str(), resume, epoch), ("C e6 4 e7 M", 23, 8));
    assert_eq!(verify(&device, &[&first, &second, &third]), (22, 8));
    // Without the epoch of the last export, its checkpoints behind the last event come again.
    let (again, ..) = device.export(Request::from(19), 0);
    assert_eq!(outline(&device, &again), "C e4 e5 e6 4 e7 M");
    // A range has the checkpoints in it, and those right behind it.
    let (range, ..) = device.export(Request { first: 5, last: 15, bytes: u64::MAX }, 0);
    assert_eq!(outline(&device, &range), "C 6 e1 5 e2 e3 M");
    let (range, ..) = device.export(Request { first: 5, last: 14, bytes: u64::MAX }, 0);
    assert_eq!(outline(&device, &range), "C 6 e1 4 M");
}

#[test]
fn segments_of_the_ring_are_told_apart_and_a_wrap_takes_old_checkpoints() {
    let mut device = Sealed::new(1 << 20);
    let mut running = device.boot(1);
    for _ in 0..200 {
        work(&mut running, 60);
        running.checkpoint();
    }
    running.stop();
    let (items, ..) = device.export(Request::from(0), 0);
    let key = device.key();
    let mut places = Vec::new();
    let mut checkpoints = Vec::new();
    for item in &items {
        match open_item(item, &key.pk).expect("own item") {
            Item::Segment(segment) => places.push(segment.place.expect("a ring has segments")),
            Item::Checkpoint(checkpoint) => checkpoints.push(checkpoint),
            _ => {}
        }
    }
    assert!(places.is_sorted() && *places.last().expect("events") >= 14);
    assert!(places[0] > 0, "it came round");
    assert!(checkpoints[0].epoch > 0 && checkpoints.last().expect("some").epoch == 199);
    assert!(checkpoints.windows(2).all(|pair| pair[0].epoch + 1 == pair[1].epoch));
    // What was lost is in the last one, signed.
    let books = checkpoints.last().expect("some").books;
    assert_eq!((books.overwritten_range.0, books.overwritten_range.1), (1, books.overwritten));
    assert_eq!(books.overwritten + 1, checkpoints.last().expect("some").retained);
}

#[test]
fn a_stick_that_is_full_anywhere_gets_what_fits() {
    let mut device = Sealed::new(1 << 20);
    let mut running = device.boot(1);
    for _ in 0..30 {
        work(&mut running, 20);
        running.checkpoint();
    }
    running.stop();
    let (all, ..) = device.export(Request::from(1), 0);
    let whole: usize = all.iter().map(Vec::len).sum();
    for bytes in (limits::MANIFEST_BYTES..whole + 1000).step_by(777) {
        let (first, resume, epoch) = device.export(Request { first: 1, last: 0, bytes: bytes as u64 }, 0);
        assert!(first.iter().map(Vec::len).sum::<usize>() <= bytes, "the space given is not exceeded");
        let key = device.key();
        let Item::Manifest(Manifest { ending, .. }) =
            open_item(first.last().expect("one"), &key.pk).expect("own item")
        else {
            panic!("the last item is a manifest")
        };
        assert_eq!(ending, if resume == 601 { Ending::Complete } else { Ending::Full }, "{bytes} of {whole}");
        // With the next one, everything is there once.
        let (rest, resume, epoch) = device.export(Request::from(resume), epoch);
        assert_eq!((resume, epoch), (601, 30));
        let has_certificate = first.len() > 1 && Certificate::peek(&first[0]).is_ok();
        let order: [&[Vec<u8>]; 2] = [&first, &rest];
        assert_eq!(verify(&device, if has_certificate { &order } else { &order[1..] }), (600, 30));
    }
}

#[test]
fn the_manifest_names_the_policies() {
    let mut device = Sealed::new(1 << 20);
    let mut running = device.boot(1);
    let mut offered = |code, sequence: u64| {
        let hash = [sequence as u8; 32];
        let body = Body::Policy { code, epoch: 1, sequence, hash: &hash, detail: "stick" };
        running.append(&bytes_of(&Event { time: 1, subject: None, body }));
    };
    for (code, sequence) in
        [("accepted", 1), ("too-old", 0), ("accepted", 2), ("unchanged", 2), ("accepted", 1)]
    {
        offered(code, sequence);
    }
    running.stop();
    let (items, ..) = device.export(Request::from(1), 0);
    let key = device.key();
    let last = items.last().expect("one");
    let Item::Manifest(manifest) = open_item(last, &key.pk).expect("own item") else { panic!("a manifest") };
    let policy = |sequence: u64| Policy { epoch: 1, sequence, hash: [sequence as u8; 32] };
    assert_eq!(manifest.policies.in_force, Some(policy(4)));
    assert_eq!((manifest.policies.accepted, manifest.policies.as_slice()), (3, &[policy(2), policy(1)][..]));
    assert!(last.len() <= limits::MANIFEST_BYTES);
}

#[test]
fn a_record_is_no_item_in_another_domain_or_of_another_device() {
    let mut device = Sealed::new(1 << 20);
    let mut running = device.boot(1);
    running.checkpoint();
    running.stop();
    let (items, ..) = device.export(Request::from(1), 0);
    assert_eq!(outline(&device, &items), "C e0 M");
    let key = device.key();
    for item in &items[..2] {
        let (message, _) = aegis_cose::Sign1::take(item).expect("own item");
        let mut out = vec![0; limits::ITEM_BYTES];
        let payload = message.unverified_payload();
        let length = aegis_cose::sign1(payload, Domain::Export, &key.sk, &mut out).expect("fits");
        assert!(open_item(&out[..length], &key.pk).is_err());
    }
    let mut other = device.copy();
    other.key = [1; 32];
    assert!(items.iter().all(|item| open_item(item, &other.key().pk).is_err()));
}
