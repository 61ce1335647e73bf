//! Records and states: one encoding each, every change found; chains that are not the device's own are told apart.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod common;

use aegis_cose::{CoseError, Domain, KeyPair, Seed, sign1};
use aegis_ring::limits::NUMBER_MAX;
use aegis_ring::{FormatOptions, Record, Ring, format};
use aegis_seal::limits::{RECORD_BYTES, STATE_BYTES};
use aegis_seal::{Break, Certificate, Chain, Checkpoint, Opened, RecordError, Sealer, State, Why};
use common::disk::{Device, MIB, Random, boot, open as open_ring, payload};
use common::{Slots, device_key, entropy, followed, moment, open, records};

/// A ring with a few epochs; its records, the certificate first.
fn sealed(epochs: u64) -> (Device, Slots, Vec<Vec<u8>>) {
    let device = Device::formatted(MIB, 64 << 10);
    let mut slots = Slots::empty();
    let mut random = Random(epochs);
    let (mut ring, mut sealer, opened) = open(&device, &mut slots, 1, entropy(&mut random));
    assert_eq!(opened, Opened::Began);
    for _ in 0..epochs {
        ring.append(&payload(ring.next_sequence(), 300)).unwrap();
        sealer.checkpoint(&mut ring, &mut slots, &moment(1, entropy(&mut random))).unwrap();
    }
    ring.seal().unwrap();
    let found = records(&device).into_iter().map(|record| record.1).collect();
    (device, slots, found)
}

#[test]
fn every_changed_byte_of_a_record_is_found() {
    let (_, _, found) = sealed(2);
    let key = device_key();
    assert!(Certificate::open(&found[0], &key.pk).is_ok() && Checkpoint::open(&found[1]).is_ok());
    for (index, record) in found.iter().enumerate() {
        for at in 0..record.len() {
            for flip in [1, 0x80, 0xff] {
                let mut changed = record.clone();
                changed[at] ^= flip;
                if index == 0 {
                    assert!(Certificate::open(&changed, &key.pk).is_err(), "byte {at}");
                } else {
                    assert!(Checkpoint::open(&changed).is_err(), "byte {at}");
                }
            }
            assert!(Checkpoint::peek(&record[..at]).is_err() && Certificate::peek(&record[..at]).is_err());
        }
        let longer = [&record[..], &[0]].concat();
        assert!(Checkpoint::peek(&longer).is_err() && Certificate::peek(&longer).is_err());
        // One is never taken for the other.
        assert_eq!(Certificate::peek(record).is_ok(), index == 0);
        assert_eq!(Checkpoint::peek(record).is_ok(), index > 0);
    }
    let other = KeyPair::from_seed(Seed::new([1; 32]));
    assert_eq!(Certificate::open(&found[0], &other.pk), Err(RecordError::Signature(CoseError::UnknownKey)));
    // A certificate for a device, signed by another one.
    let (message, _) = aegis_cose::Sign1::take(&found[0]).unwrap();
    let mut out = [0; RECORD_BYTES];
    let length = sign1(message.unverified_payload(), Domain::Seal, &other.sk, &mut out).unwrap();
    assert_eq!(Certificate::open(&out[..length], &other.pk), Err(RecordError::Device));
    // A signature made for something else.
    let length = sign1(message.unverified_payload(), Domain::Export, &key.sk, &mut out).unwrap();
    assert!(matches!(Certificate::open(&out[..length], &key.pk), Err(RecordError::Signature(_))));
}

#[test]
fn a_chain_takes_the_next_checkpoint_and_no_other() {
    let (_, _, found) = sealed(4);
    let certificate = Certificate::open(&found[0], &device_key().pk).unwrap();
    let checkpoints: Vec<Checkpoint> =
        found[1..].iter().map(|record| Checkpoint::open(record).unwrap()).collect();
    let start = Chain::begin(&certificate, &found[0]);
    let mut chain = start;
    for (checkpoint, record) in checkpoints.iter().zip(&found[1..]) {
        assert_eq!(chain.follow(checkpoint, record), Ok(()));
    }
    assert_eq!(chain, Chain::behind(&checkpoints[3], &found[4]));
    let mut chain = start;
    assert_eq!(chain.follow(&checkpoints[1], &found[2]), Err(Break::Missing { from: 0 }));
    chain.follow(&checkpoints[0], &found[1]).unwrap();
    assert_eq!(chain.follow(&checkpoints[0], &found[1]), Err(Break::Past));
    let wrong = |change: &dyn Fn(&mut Checkpoint)| {
        let mut checkpoint = checkpoints[1];
        change(&mut checkpoint);
        Chain::behind(&checkpoints[0], &found[1]).follow(&checkpoint, &found[2])
    };
    assert_eq!(wrong(&|_| ()), Ok(()));
    assert_eq!(wrong(&|c| c.key = [1; 32]), Err(Break::Key));
    assert_eq!(wrong(&|c| c.previous = [1; 32]), Err(Break::Previous));
    assert_eq!(wrong(&|c| c.ring = [1; 16]), Err(Break::Foreign));
    assert_eq!(wrong(&|c| c.device = [1; 16]), Err(Break::Foreign));
    // What a checkpoint says of the ring is there.
    assert_eq!((checkpoints[2].sequence, checkpoints[2].period, checkpoints[2].boot), (3, 60, boot(1)));
}

#[test]
fn a_state_is_read_whole_or_not_at_all() {
    let (_, slots, _) = sealed(3);
    let state = slots.state().unwrap();
    assert_eq!(state.next_epoch(), 3);
    let copy = state.encode();
    assert!(copy.len() <= STATE_BYTES);
    let decoded = State::decode(&copy).unwrap();
    assert!(decoded == state);
    let padded = [&copy[..], &[0; 100]].concat();
    assert!(State::decode(&padded).is_some_and(|read| read == state));
    for at in 0..copy.len() {
        let mut changed = copy.to_vec();
        changed[at] ^= 1;
        assert!(State::decode(&changed).is_none(), "byte {at}");
        assert!(State::decode(&copy[..at]).is_none());
    }
    assert!(State::decode(&[&copy[..], &[1]].concat()).is_none());
    assert!(State::decode(&[0; 100]).is_none());
    let secret = format!("{state:?}");
    assert_eq!(secret, "State(epoch 3, generation 4)");
}

#[test]
fn a_chain_that_can_not_be_gone_on_with_is_begun_anew_for_all_to_see() {
    let (device, slots, _) = sealed(3);
    let image = device.image();
    let again = |slots: Slots, image: Vec<u8>| {
        let device = Device::new(image);
        let mut slots = slots;
        let (mut ring, mut sealer, opened) = open(&device, &mut slots, 2, [9; 32]);
        assert_eq!(
            sealer.checkpoint(&mut ring, &mut slots, &moment(2, [8; 32])).map_err(|_| ()),
            Ok(sealer.epoch())
        );
        (opened, records(&device))
    };
    let (opened, found) = again(slots.clone(), image.clone());
    assert_eq!((opened, found.len()), (Opened::InStep, 5));
    // No state.
    let (opened, found) = again(Slots::empty(), image.clone());
    assert_eq!(opened, Opened::Restarted(Why::Lost));
    let certificate = Certificate::open(&found[4].1, &device_key().pk).unwrap();
    assert_eq!(certificate.epoch, 3, "no epoch is sealed twice");
    assert_eq!(
        certificate.previous,
        Some(Chain::behind(&Checkpoint::open(&found[3].1).unwrap(), &found[3].1).previous)
    );
    assert_eq!(Checkpoint::open(&found[5].1).unwrap().epoch, 3);
    // An older state, put back.
    let (opened, _) = again(sealed(1).1, image.clone());
    assert_eq!(opened, Opened::Restarted(Why::RolledBack));
    // Another history of as many epochs.
    let mut other = Slots::empty();
    let (mut ring, mut sealer, _) = open(&Device::formatted(MIB, 64 << 10), &mut other, 1, [77; 32]);
    for n in 1..=3 {
        sealer.checkpoint(&mut ring, &mut other, &moment(1, [n; 32])).unwrap();
    }
    assert_eq!(again(other, image.clone()).0, Opened::Restarted(Why::Diverged));
    // A ring formatted anew is another ring: its own chain, from epoch 0.
    let device = Device::new(image);
    let options = FormatOptions { ring_id: [3; 16], bytes: 0, segment_bytes: 64 << 10 };
    format(device.clone(), &options).unwrap();
    let mut slots = slots;
    let generation = slots.state().unwrap().generation();
    let (mut ring, mut sealer, opened) = open(&device, &mut slots, 5, [1; 32]);
    assert_eq!((opened, sealer.epoch()), (Opened::Began, 0));
    assert!(slots.state().unwrap().generation() > generation);
    sealer.checkpoint(&mut ring, &mut slots, &moment(5, [2; 32])).unwrap();
    assert_eq!(followed(&device).len(), 1);
}

/// The ring's disk was put back from a copy, and the state was not: nothing is signed twice, the epochs between are missing for
/// all to see, and what is sealed from then on can be read.
#[test]
fn a_ring_put_back_from_a_copy_is_sealed_on_and_what_is_missing_shows() {
    let (device, mut slots, _) = sealed(1);
    let image = device.image();
    let mut random = Random(7);
    let (mut ring, mut sealer, opened) = open(&device, &mut slots, 2, entropy(&mut random));
    assert_eq!(opened, Opened::InStep);
    for _ in 0..3 {
        for _ in 0..200 {
            ring.append(&payload(ring.next_sequence(), 900)).unwrap();
        }
        sealer.checkpoint(&mut ring, &mut slots, &moment(2, entropy(&mut random))).unwrap();
    }
    assert!(ring.sealing().unwrap().segment > 8);

    let device = Device::new(image);
    let (mut ring, mut sealer, opened) = open(&device, &mut slots, 3, entropy(&mut random));
    assert_eq!((opened, sealer.epoch()), (Opened::Redone, 4));
    for _ in 0..2 {
        ring.append(b"goes on").unwrap();
        sealer.checkpoint(&mut ring, &mut slots, &moment(3, entropy(&mut random))).unwrap();
        drop((ring, sealer));
        (ring, sealer, _) = open(&device, &mut slots, 4, entropy(&mut random));
    }
    let found: Vec<(Checkpoint, Vec<u8>)> = records(&device)
        .into_iter()
        .filter(|record| !record.0)
        .map(|(_, bytes)| (Checkpoint::open(&bytes).unwrap(), bytes))
        .collect();
    let epochs: Vec<u64> = found.iter().map(|(checkpoint, _)| checkpoint.epoch).collect();
    assert_eq!(epochs, [0, 3, 4, 5]);
    let follow = |from: usize| {
        Chain::behind(&found[from].0, &found[from].1).follow(&found[from + 1].0, &found[from + 1].1)
    };
    assert_eq!([0, 1, 2].map(follow), [Err(Break::Missing { from: 1 }), Ok(()), Ok(())]);
    assert_eq!(found[2].0.closed.root, None, "not known: the segments between are another past's");
    assert!(found[3].0.closed.root.is_some());
}

#[test]
fn numbers_end_and_keys_of_nothing_are_refused() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut slots = Slots::empty();
    let mut ring = open_ring(&device, 1);
    let device_key = device_key();
    let mut begin = |ring: &mut Ring<'_, Device>, entropy| {
        Sealer::open(None, ring, &device_key, &mut slots, &moment(2, entropy))
            .map_err(|error| error.to_string())
    };
    assert!(begin(&mut ring, [0; 32]).is_err());
    assert_eq!(ring.sealing(), None);
    // Epoch numbers end where the ring's numbers end.
    let record = Record { certificate: false, next_epoch: NUMBER_MAX, segment: 0, bytes: b"forged" };
    ring.put_record(&record).unwrap();
    let (mut sealer, opened) = begin(&mut ring, [3; 32]).unwrap();
    assert_eq!(opened, Opened::Restarted(Why::Lost));
    assert!(sealer.checkpoint(&mut ring, &mut slots, &moment(2, [4; 32])).is_err());
}
