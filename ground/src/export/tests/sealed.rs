//! Exports of sealed rings: whole, edited by someone who has root and the device's key, and with what honestly happens.

#[allow(clippy::wildcard_imports)] // the shared half of these tests
use super::super::Keys;
use super::*;

#[path = "../../../../firmware/export/tests/common/sealed.rs"]
mod fixture;

use std::ops::ControlFlow;

use super::super::evidence::{Evidence, Record, Sink};
use crate::outcome::Failure;
use aegis_cose::device_id;
use aegis_export::Entry;
use fixture::{RING_ID, Running, Sealed};

/// What someone does to a tape.
type Attack = fn(&mut Tape);

/// An entry of a tape.
#[derive(Clone)]
enum Part {
    Event { boot: Id, place: u64, bytes: Vec<u8> },
    Record { certificate: bool, bytes: Vec<u8> },
}

/// What a ring holds, as whoever has root can rewrite it: the chain is made anew from the events.
#[derive(Clone)]
struct Tape {
    parts: Vec<Part>,
    at: usize,
    sequence: u64,
    head: Hash,
}

impl Tape {
    fn of(device: &Sealed) -> Self {
        let mut window = vec![0; 64 << 10];
        let mut reader = aegis_ring::Reader::open(device.disk.clone(), &mut window).expect("a good ring");
        let mut parts = Vec::new();
        while let Some(entry) = Frames::next_entry(&mut reader).expect("a whole ring") {
            parts.push(match entry {
                Entry::Event { frame, segment } => Part::Event {
                    boot: frame.boot,
                    place: segment.expect("a ring has segments"),
                    bytes: frame.event.to_vec(),
                },
                Entry::Record { certificate, bytes } => Part::Record { certificate, bytes: bytes.to_vec() },
            });
        }
        Self { parts, at: 0, sequence: 0, head: first_head(&RING_ID) }
    }

    /// Positions of the events, and of the checkpoints.
    fn events(&self) -> Vec<usize> {
        (0..self.parts.len()).filter(|n| matches!(self.parts[*n], Part::Event { .. })).collect()
    }

    fn checkpoints(&self) -> Vec<usize> {
        let is = |part: &Part| matches!(part, Part::Record { certificate: false, .. });
        (0..self.parts.len()).filter(|n| is(&self.parts[*n])).collect()
    }

    fn edit(&mut self, event: usize) {
        let at = self.events()[event];
        if let Part::Event { bytes, .. } = &mut self.parts[at] {
            let last = bytes.windows(6).position(|window| window == b"secret").expect("a path");
            bytes[last] ^= 1;
        }
    }

    /// The export that this device would make of it.
    fn export(&self, device: &Sealed) -> Vec<u8> {
        let key = device.key();
        let created = Created { boot: [9; 16], boottime: 1, clock: 1_800_000_000, clock_trusted: false };
        let (mut scratch, mut out) = (vec![0; limits::PAYLOAD_BYTES], vec![0; limits::ITEM_BYTES]);
        let mut exporter =
            Exporter::new(&key.sk, self.clone(), Request::from(1), created, "0.1.0", &mut scratch)
                .expect("good request")
                .with_certificate(&device.certificate);
        let mut file = Vec::new();
        while let Some(length) = exporter.next_item(&mut out).expect("buffers suffice") {
            file.extend_from_slice(&out[..length]);
        }
        file
    }
}

impl Frames for Tape {
    type Error = Fault;

    fn ring(&self) -> Id {
        RING_ID
    }

    fn first_sequence(&self) -> u64 {
        1
    }

    fn next_sequence(&self) -> u64 {
        self.events().len() as u64 + 1
    }

    fn seek(&mut self, sequence: u64) -> Result<(), Fault> {
        assert_eq!(sequence, 1, "only whole tapes are exported");
        self.rewind()
    }

    fn rewind(&mut self) -> Result<(), Fault> {
        (self.at, self.sequence, self.head) = (0, 0, first_head(&RING_ID));
        Ok(())
    }

    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Fault> {
        unreachable!("the exporter asks for entries")
    }

    fn next_entry(&mut self) -> Result<Option<Entry<'_>>, Fault> {
        let Some(part) = self.parts.get(self.at) else { return Ok(None) };
        self.at += 1;
        Ok(Some(match part {
            Part::Record { certificate, bytes } => Entry::Record { certificate: *certificate, bytes },
            Part::Event { boot, place, bytes } => {
                self.sequence += 1;
                let (sequence, previous) = (self.sequence, self.head);
                self.head = next_head(&previous, sequence, bytes);
                let frame = Frame { sequence, boot: *boot, previous, head: self.head, event: bytes };
                Entry::Event { frame, segment: Some(*place) }
            }
        }))
    }

    fn skip(&mut self) -> Result<Option<u64>, Fault> {
        Ok(None)
    }

    fn fault(error: &Fault) -> Fault {
        *error
    }
}

/// Opens of a file, so many.
fn work(running: &mut Running<'_>, count: u64) {
    let mut ring = Ring::new();
    ring.work(1, usize::try_from(count).expect("small"));
    for frame in &ring.frames {
        running.append(&frame.3);
    }
}

/// Epochs of so many events, in one boot.
fn epochs(device: &mut Sealed, boot: u8, events: &[u64]) {
    let mut running = device.boot(boot);
    for count in events {
        work(&mut running, *count);
        running.checkpoint();
    }
    running.stop();
}

/// Problems, less those about books, which these devices do not keep.
fn found(paths: &[PathBuf]) -> Vec<&'static str> {
    codes(&check(paths))
}

#[test]
fn a_sealed_ring_is_whole_file_by_file_in_any_order() {
    let stick = Stick::new();
    let mut device = Sealed::new(1 << 20);
    epochs(&mut device, 1, &[0, 10, 5, 0, 700]);
    let (first, resume, epoch) = device.export(Request::from(1), 0);
    epochs(&mut device, 2, &[0, 0]);
    let (idle, resume, epoch) = device.export(Request::from(resume), epoch);
    epochs(&mut device, 3, &[400, 3]);
    let mut running = device.boot(4);
    work(&mut running, 7);
    running.stop();
    let (last, ..) = device.export(Request::from(resume), epoch);
    let [first, idle, last] = [("first", first), ("idle", idle), ("last", last)]
        .map(|(name, items)| stick.put(name, &items.concat()));
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let files = [first.clone(), idle.clone(), last.clone()];
    for order in orders {
        let report = check(&order.map(|n| files[n].clone()));
        assert_eq!(codes(&report), [""; 0], "{order:?}: {:?}", report.findings.problems);
        let json = report::json(&report);
        assert_eq!(
            (&json["whole"], &json["seals"], &json["chain"]),
            (&true.into(), &"good".into(), &"good".into())
        );
        let sealing = &json["sealing"][0];
        assert_eq!(sealing["epochs"], 9);
        assert_eq!((&sealing["first_epoch"], &sealing["last_epoch"]), (&0.into(), &8.into()));
        assert_eq!(sealing["sealed_up_to"], 1118);
        assert_eq!(sealing["from_certificate"], true);
        // The open segment of each and the closed ones before it; the first one is where the trees begin.
        assert_eq!(sealing["roots_compared"], 8 + 8);
        assert_eq!(sealing["cuts"], 0);
        let text = report::person(&report);
        assert!(text.contains("seals       good"), "{text}");
        assert!(
            text.contains("epochs 0 to 8 (9), up to sequence 1118, from the device's certificate on"),
            "{text}"
        );
        assert!(notes(&report).contains(&"not-sealed-yet"));
        assert!(text.contains("7 events after the last checkpoint (epoch 8)"), "{text}");
    }
    assert_eq!(
        report::json(&check(std::slice::from_ref(&first)))["files"][0]["policies"]["in_force"]["sequence"],
        4
    );
    // A file left out is missed, twice over; one alone says where it begins.
    assert_eq!(found(&[first.clone(), last.clone()]), ["checkpoint-missing"]);
    let report = check(std::slice::from_ref(&last));
    assert_eq!(codes(&report), [""; 0]);
    assert!(notes(&report).contains(&"seals-begin-later"));
    // The same again, and everything again in one file: the same history.
    let (all, ..) = device.export(Request::from(1), 0);
    let all = stick.put("all", &all.concat());
    let report = check(&[first.clone(), all, last, idle, first]);
    assert_eq!(codes(&report), [""; 0], "{:?}", report.findings.problems);
    assert_eq!(report::json(&report)["sealing"][0]["epochs"], 9);
}

#[test]
fn every_changed_byte_and_every_cut_of_a_sealed_export_is_found() {
    let stick = Stick::new();
    let mut device = Sealed::new(1 << 20);
    epochs(&mut device, 1, &[1, 1]);
    let (items, ..) = device.export(Request::from(1), 0);
    let bytes = items.concat();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        for (bytes, what) in [(&changed[..], "changed"), (&bytes[..at], "cut")] {
            if let Ok(report) = verify(&[stick.put("a", bytes)], &Keys::default()) {
                assert!(!report.whole(), "byte {at} {what}");
                report::json(&report);
                report::person(&report);
            }
        }
    }
}

#[test]
fn whoever_has_root_and_the_device_key_can_not_change_what_was_sealed() {
    let cases: &[(&str, Attack, &[&str])] = &[
        ("nothing", |_| (), &[]),
        ("an event in the first epoch", |tape| tape.edit(3), &["checkpoint-mismatch"]),
        ("the last event that was sealed", |tape| tape.edit(29), &["checkpoint-mismatch"]),
        // What the seals do not reach: this is why exports bring the last checkpoint, and the period is short.
        ("an event after the last checkpoint", |tape| tape.edit(31), &[]),
        ("an event left out", |tape| drop(tape.parts.remove(tape.events()[5])), &["checkpoint-mismatch"]),
        (
            "an event put in",
            |tape| {
                let event = tape.parts[tape.events()[5]].clone();
                tape.parts.insert(tape.events()[6], event);
            },
            &["checkpoint-mismatch"],
        ),
        (
            "a checkpoint left out",
            |tape| drop(tape.parts.remove(tape.checkpoints()[1])),
            &["checkpoint-missing"],
        ),
        (
            "checkpoints exchanged",
            |tape| {
                let checkpoints = tape.checkpoints();
                tape.parts.swap(checkpoints[0], checkpoints[1]);
            },
            &["checkpoint-missing", "seal-broken", "checkpoint-mismatch"],
        ),
        (
            "a checkpoint repeated",
            |tape| {
                let checkpoint = tape.parts[tape.checkpoints()[0]].clone();
                tape.parts.insert(tape.checkpoints()[1], checkpoint);
            },
            &["seal-broken", "checkpoint-mismatch"],
        ),
        (
            "events moved behind their checkpoint",
            |tape| {
                let (event, checkpoint) = (tape.events()[9], tape.checkpoints()[0]);
                let event = tape.parts.remove(event);
                tape.parts.insert(checkpoint, event);
            },
            &["checkpoint-mismatch"],
        ),
        (
            "events given to another segment of the ring",
            |tape| {
                for at in tape.events() {
                    if let Part::Event { place, .. } = &mut tape.parts[at] {
                        *place += 1;
                    }
                }
            },
            &["checkpoint-mismatch"],
        ),
        (
            "events given to another boot",
            |tape| {
                let events = tape.events();
                for at in &events[12..15] {
                    if let Part::Event { boot, .. } = &mut tape.parts[*at] {
                        *boot = [9; 16];
                    }
                }
            },
            &["checkpoint-mismatch"],
        ),
        (
            "all checkpoints left out",
            |tape| tape.parts.retain(|part| matches!(part, Part::Event { .. })),
            &["not-sealed"],
        ),
    ];
    let stick = Stick::new();
    let mut device = Sealed::new(1 << 20);
    epochs(&mut device, 1, &[10, 10, 10]);
    let mut running = device.boot(2);
    work(&mut running, 5);
    running.stop();
    let tape = Tape::of(&device);
    assert_eq!((tape.events().len(), tape.checkpoints().len()), (35, 3));
    for (name, attack, expected) in cases {
        let mut tape = tape.clone();
        attack(&mut tape);
        let path = stick.put("forged", &tape.export(&device));
        let found = found(&[path]);
        for code in *expected {
            assert!(found.contains(code), "{name}: {code} not in {found:?}");
        }
        assert_eq!(found.is_empty(), expected.is_empty(), "{name}: {found:?}");
    }
}

#[test]
fn a_chain_of_keys_that_is_not_the_old_one_is_noticed() {
    let stick = Stick::new();
    let mut device = Sealed::new(1 << 20);
    epochs(&mut device, 1, &[10, 10]);
    let (honest, resume, epoch) = device.export(Request::from(1), 0);
    let honest = stick.put("honest", &honest.concat());
    // Sealing goes on under a certificate of its own: the state was lost, or thrown away.
    let mut restarted = device.copy();
    restarted.vault.0.clear();
    epochs(&mut restarted, 2, &[5, 5]);
    let (rest, ..) = restarted.export(Request::from(resume), epoch);
    let rest = stick.put("restarted", &rest.concat());
    assert_eq!(found(&[honest.clone(), rest]), ["seal-restarted"]);
    let (all, ..) = restarted.export(Request::from(1), 0);
    let all = stick.put("restarted-all", &all.concat());
    let report = check(std::slice::from_ref(&all));
    assert_eq!(codes(&report), ["seal-restarted"]);
    assert_eq!(report::json(&report)["seals"], "restarted");
    assert!(!report.findings.tampering(), "what it holds may still be shown");
    // A whole other past of the same ring, sealed from epoch 0 on by other keys, longer than the honest one.
    let mut other = Sealed::new(1 << 20);
    other.time = 1;
    epochs(&mut other, 1, &[10, 10, 10]);
    let mut changed = other.copy();
    changed.vault.0.clear();
    let (forged, ..) = other.export(Request::from(1), 0);
    let forged = stick.put("forged", &forged.concat());
    assert_eq!(
        found(std::slice::from_ref(&forged)),
        [""; 0],
        "by itself it is whole: only the honest one tells"
    );
    for order in [[honest.clone(), forged.clone()], [forged.clone(), honest.clone()]] {
        let found = found(&order);
        assert!(found.contains(&"history-differs"), "{found:?}");
    }
    // Its later part alone, against the honest one.
    let (later, ..) = other.export(Request::from(21), 2);
    let found = found(&[honest, stick.put("later", &later.concat())]);
    assert!(found.contains(&"seal-broken") || found.contains(&"seal-restarted"), "{found:?}");
}

#[test]
fn what_honestly_happens_to_a_ring_is_not_taken_for_forgery() {
    let stick = Stick::new();
    // It came round: epochs and events are gone together, and the last checkpoint has the count.
    let mut device = Sealed::new(1 << 20);
    epochs(&mut device, 1, &[2000; 6]);
    let (items, ..) = device.export(Request::from(0), 0);
    let report = check(&[stick.put("round", &items.concat())]);
    assert_eq!(codes(&report), [""; 0], "{:?}", report.findings.problems);
    let json = report::json(&report);
    let sealing = &json["sealing"][0];
    let lost = sealing["overwritten"].as_u64().expect("a number");
    assert!(lost > 0 && sealing["overwritten_last_range"] == serde_json::json!([1, lost]));
    assert!(sealing["roots_compared"].as_u64() > Some(0));
    assert!(report::person(&report).contains("overwritten before they were exported"));
    // A power cut: the run ends without a seal, the next one says so, signed.
    let mut device = Sealed::new(1 << 20);
    let mut running = device.boot(1);
    work(&mut running, 5);
    running.checkpoint();
    work(&mut running, 5);
    running.ring.commit().expect("memory does not fail");
    drop(running);
    epochs(&mut device, 2, &[3]);
    let (items, ..) = device.export(Request::from(1), 0);
    let report = check(&[stick.put("cut", &items.concat())]);
    assert_eq!(codes(&report), [""; 0], "{:?}", report.findings.problems);
    let sealing = &report::json(&report)["sealing"][0];
    assert_eq!((&sealing["cuts"], &sealing["cut_at"]), (&1.into(), &10.into()));
    // Damage in the middle of the ring, with a checkpoint in it; and at its end, behind which it goes on.
    let mut device = Sealed::new(1 << 20);
    epochs(&mut device, 1, &[20]);
    epochs(&mut device, 2, &[20, 20]);
    epochs(&mut device, 3, &[20]);
    let mut image = device.disk.image();
    let second = 4096 + (64 << 10) + 512 + 600;
    image[second..second + 8].fill(0x55);
    let mut damaged = device.copy();
    damaged.disk = fixture::Disk::new(image);
    let (items, ..) = damaged.export(Request::from(1), 0);
    let found_in = |name: &str, items: Vec<Vec<u8>>| found(&[stick.put(name, &items.concat())]);
    assert_eq!(found_in("middle", items), ["checkpoint-missing", "ring-damaged"]);
    let mut image = device.disk.image();
    let third = 4096 + 2 * (64 << 10) + 512;
    image[third..third + 8].fill(0x55);
    let mut damaged = device.copy();
    damaged.disk = fixture::Disk::new(image);
    let mut running = damaged.boot(4);
    running.checkpoint();
    work(&mut running, 5);
    running.checkpoint();
    running.stop();
    let (items, ..) = damaged.export(Request::from(1), 0);
    let found = found_in("end", items);
    assert!(found.contains(&"ring-damaged") && !found.contains(&"checkpoint-mismatch"), "{found:?}");
}

#[test]
fn a_ring_that_is_not_sealed_any_more_is_a_problem() {
    let stick = Stick::new();
    let mut device = Sealed::new(1 << 20);
    epochs(&mut device, 1, &[10]);
    let (first, resume, epoch) = device.export(Request::from(1), 0);
    let first = stick.put("first", &first.concat());
    // Someone runs the agent without its sealer.
    let mut ring =
        aegis_ring::Ring::open(device.disk.clone(), [2; 16], vec![0; 8192].leak()).expect("a good ring");
    let mut events = Ring::new();
    events.work(2, 5);
    for frame in &events.frames {
        ring.append(&frame.3).expect("memory does not fail");
    }
    ring.seal().expect("memory does not fail");
    let (second, after_second, epoch_of_third) = device.export(Request::from(resume), epoch);
    let second = stick.put("second", &second.concat());
    assert_eq!(found(&[second.clone(), first.clone()]), ["not-sealed"]);
    // Without its certificate it is the earlier file that tells.
    device.certificate.clear();
    let (bare, ..) = device.export(Request::from(11), 1);
    let bare = stick.put("bare", &bare.concat());
    assert_eq!(found(std::slice::from_ref(&bare)), [""; 0]);
    assert_eq!(found(&[bare, first.clone()]), ["not-sealed"]);
    // Nothing at all for longer than an epoch: every epoch is sealed, also those without events.
    let mut quiet = Sealed::new(1 << 20);
    epochs(&mut quiet, 1, &[3]);
    let (before, resume, epoch) = quiet.export(Request::from(1), 0);
    let before = stick.put("before", &before.concat());
    let silent = |boot: u8, boottime: u64| {
        let created = Created { boot: [boot; 16], boottime, clock: 0, clock_trusted: false };
        let (items, ..) = quiet.export_at(Request::from(resume), epoch, created);
        found(&[before.clone(), stick.put("silent", &items.concat())])
    };
    assert_eq!(silent(1, quiet.time + 119_000_000_000), [""; 0]);
    assert_eq!(silent(1, quiet.time + 121_000_000_000), ["not-sealed"]);
    assert_eq!(silent(7, 100_000_000_000), [""; 0]);
    assert_eq!(silent(7, 300_000_000_000), ["not-sealed"]);
    // The next checkpoint covers them after all.
    epochs(&mut device, 3, &[1]);
    let (third, ..) = device.export(Request::from(after_second), epoch_of_third);
    let third = stick.put("third", &third.concat());
    assert_eq!(found(&[first, third, second]), [""; 0]);
}

#[test]
fn a_pause_between_epochs_is_noted() {
    let stick = Stick::new();
    let mut device = Sealed::new(1 << 20);
    epochs(&mut device, 1, &[1]);
    device.time += 600_000_000_000;
    epochs(&mut device, 1, &[1]);
    let (items, ..) = device.export(Request::from(1), 0);
    let report = check(&[stick.put("a", &items.concat())]);
    assert!(notes(&report).contains(&"checkpoint-late"));
    assert!(report::person(&report).contains("nothing was sealed meanwhile"));
    // Another boot counts from its own beginning.
    let mut device = Sealed::new(1 << 20);
    epochs(&mut device, 1, &[1]);
    device.time += 600_000_000_000;
    epochs(&mut device, 2, &[1]);
    let (items, ..) = device.export(Request::from(1), 0);
    assert!(!notes(&check(&[stick.put("b", &items.concat())])).contains(&"checkpoint-late"));
}

#[test]
fn a_chain_of_keys_that_begins_below_what_is_known_is_noticed() {
    let stick = Stick::new();
    let mut device = Sealed::new(1 << 20);
    epochs(&mut device, 1, &[5, 5, 5, 5]);
    // The office has the later epochs only, so that it can't compare the first ones.
    let (later, resume, _) = device.export(Request::from(11), 2);
    let later = stick.put("later", &later.concat());
    let mut other = Sealed::new(1 << 20);
    let mut running = other.boot(1);
    for _ in 0..4 {
        work(&mut running, 5);
    }
    work(&mut running, 10);
    running.checkpoint();
    running.stop();
    let (anew, ..) = other.export(Request::from(resume), 0);
    assert_eq!(found(&[stick.put("anew", &anew.concat()), later]), ["seal-restarted"]);
}

#[test]
fn a_part_of_a_sealed_ring_is_not_taken_for_one_without_seals() {
    let stick = Stick::new();
    let mut device = Sealed::new(1 << 20);
    epochs(&mut device, 1, &[40, 40, 40]);
    let part = |name: &str, request: Request, epoch| {
        let (items, resume, epoch) = device.export(request, epoch);
        (stick.put(name, &items.concat()), resume, epoch)
    };
    let range = |first, last| Request { first, last, bytes: u64::MAX };
    // Asked for by itself: events between two checkpoints, which neither of them vouches for.
    let (middle, ..) = part("middle", range(45, 60), 0);
    let report = check(std::slice::from_ref(&middle));
    assert_eq!(codes(&report), [""; 0], "{:?}", report.findings.problems);
    assert!(notes(&report).contains(&"not-sealed-yet"));
    assert_eq!(report::json(&report)["seals"], "none");
    let (whole, ..) = part("whole", Request::from(1), 0);
    assert_eq!(found(&[middle.clone(), whole]), [""; 0]);
    // It goes on from what was sealed, and has no seal: the rest is missing, and it is for the office to get it.
    let (first, ..) = part("first", range(1, 44), 0);
    assert_eq!(found(&[first.clone(), middle]), ["not-sealed"]);
    // A stick that was full before the first checkpoint came, and the next one.
    let (full, resume, epoch) = part("full", Request { first: 1, last: 0, bytes: 4800 }, 0);
    let report = check(std::slice::from_ref(&full));
    assert_eq!(codes(&report), ["incomplete"]);
    assert!(report.seals.is_empty() && report.books.total > 0, "no checkpoint on it");
    let (rest, ..) = part("rest", Request::from(resume), epoch);
    let report = check(&[rest, full]);
    assert_eq!(codes(&report), [""; 0], "{:?}", report.findings.problems);
    assert_eq!(report.books.total, 120);
}

#[test]
fn an_agent_that_stopped_in_order_may_be_silent() {
    let stick = Stick::new();
    for stops in [true, false] {
        let mut device = Sealed::new(1 << 20);
        let mut running = device.boot(1);
        let mut ring = Ring::new();
        ring.start(1);
        ring.work(1, 3);
        if stops {
            ring.close(1, 3, 3, 0);
        }
        for frame in &ring.frames {
            running.append(&frame.3);
        }
        running.checkpoint();
        running.stop();
        let (first, resume, epoch) = device.export(Request::from(1), 0);
        let created = Created {
            boot: [1; 16],
            boottime: device.time + 900_000_000_000,
            clock: 0,
            clock_trusted: false,
        };
        let (silent, ..) = device.export_at(Request::from(resume), epoch, created);
        let report = check(&[stick.put("first", &first.concat()), stick.put("silent", &silent.concat())]);
        assert_eq!(codes(&report), if stops { &[][..] } else { &["not-sealed"] });
        assert_eq!(notes(&report).contains(&"agent-stopped"), stops);
    }
}

#[test]
fn a_ring_that_outlived_the_key_of_its_device_says_so() {
    let stick = Stick::new();
    let mut old = Sealed::new(1 << 20);
    epochs(&mut old, 1, &[10, 10]);
    let (before, ..) = old.export(Request::from(1), 0);
    let before = stick.put("before", &before.concat());
    // The data disk was replaced: the ring is there, the key, the sealing state and the cursor are not.
    let mut new = old.copy();
    (new.key, new.vault) = ([43; 32], fixture::Vault::default());
    new.boot(2).stop();
    // Before the new key sealed anything, and after it.
    let (early, from, epoch) = new.export(Request::from(1), 0);
    let early = stick.put("early", &early.concat());
    assert_eq!(found(std::slice::from_ref(&early)), ["device-rekeyed"]);
    epochs(&mut new, 3, &[5, 5]);
    let (all, resume, next_epoch) = new.export(Request::from(1), 0);
    let all = stick.put("all", &all.concat());
    let (rest, ..) = new.export(Request::from(from), epoch);
    let rest = stick.put("rest", &rest.concat());
    epochs(&mut new, 4, &[5]);
    let (later, ..) = new.export(Request::from(resume), next_epoch);
    let later = stick.put("later", &later.concat());
    for files in [
        &[&all][..],
        &[&later, &all],
        &[&all, &before, &later],
        &[&rest, &early],
        &[&early, &all, &later, &rest, &before],
    ] {
        let files: Vec<PathBuf> = files.iter().map(|path| (*path).clone()).collect();
        let report = check(&files);
        assert_eq!(codes(&report), ["device-rekeyed"], "{files:?}: {:?}", report.findings.problems);
        assert!(!report.findings.tampering(), "what it holds may still be shown");
        let json = report::json(&report);
        assert_eq!((&json["signatures"], &json["seals"]), (&"good".into(), &"restarted".into()));
        let sealing = json["sealing"].as_array().expect("a list").iter();
        let by_new = sealing.filter(|ring| ring["device"] != crate::hex::encode(&device_id(&old.key().pk)));
        for ring in by_new {
            assert_eq!(ring["from_certificate"], false, "its first epochs are by the other key");
        }
        let detail = &report.findings.problems[0].detail;
        for device in [&old, &new] {
            assert!(detail.contains(&crate::hex::encode(&device_id(&device.key().pk))), "{detail}");
        }
        read_again(&report);
    }
    // Someone who leaves the old seals out, and what they vouch for: the old device's export tells.
    let mut copied = Tape::of(&old);
    copied.parts.retain(|part| matches!(part, Part::Event { .. }));
    copied.edit(3);
    new.certificate.clear();
    let copied = stick.put("copied", &copied.export(&new));
    assert_eq!(found(&[copied, before.clone()]), ["device-rekeyed"]);
    // What goes on behind it needs nothing of the old key.
    assert_eq!(found(&[later]), [""; 0]);
    // The old seals still vouch for the events before, and have to be whole.
    let tape = Tape::of(&new);
    assert_eq!(found(&[stick.put("tape", &tape.export(&new))]), ["device-rekeyed"]);
    let cases: &[(&str, Attack, &str)] = &[
        ("an event before it", |tape| tape.edit(3), "checkpoint-mismatch"),
        ("a seal left out", |tape| drop(tape.parts.remove(tape.checkpoints()[1])), "checkpoint-missing"),
        (
            "a seal that no key made",
            |tape| {
                let at = tape.checkpoints()[1];
                if let Part::Record { bytes, .. } = &mut tape.parts[at] {
                    *bytes.last_mut().expect("a record") ^= 1;
                }
            },
            "bad-signature",
        ),
    ];
    for (name, attack, expected) in cases {
        let mut tape = tape.clone();
        attack(&mut tape);
        let found = found(&[stick.put("forged", &tape.export(&new))]);
        assert!(found.contains(expected), "{name}: {found:?}");
    }
}

/// Reads all events a second time.
fn read_again(report: &Report) {
    struct Count(u64);
    impl Sink for Count {
        fn take(&mut self, _: &Record<'_>) -> Result<ControlFlow<()>, Failure> {
            self.0 += 1;
            Ok(ControlFlow::Continue(()))
        }
    }
    let mut count = Count(0);
    Evidence::of(report)
        .and_then(|evidence| evidence.read("counting", &mut count))
        .unwrap_or_else(|failure| panic!("{}", failure.message()));
    assert_eq!(count.0, report.books.total);
}
