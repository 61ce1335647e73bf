//! Power cuts in a small scope, all of them: every script of a few calls, cut after every operation of the device, with every
//! choice of the sectors that had not been flushed. `tests/cuts.rs` draws lots in a large one. `AEGIS_MODELS=1` looks at
//! longer scripts (`make models`).
#![allow(missing_docs, reason = "a test")]

mod common;

use aegis_ring::{Reader, Ring};
use common::{Device, MIB, Notary, Platter, boot, payload, read_from, verified};

const SEGMENT: u32 = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// An event of so many bytes.
    Append(usize),
    Commit,
    Checkpoint,
    Seal,
    /// The agent is killed, and the next one begins.
    Again,
    /// The same in the middle of a commit: it is written and not flushed.
    Killed,
}

/// Shorter than a sector; as long as one; over two borders.
const LENGTHS: [usize; 3] = [10, 460, 1000];

/// A ring with some events in it, and the lengths of all that is in it.
struct Base {
    name: &'static str,
    image: Vec<u8>,
    lengths: Vec<usize>,
    stored: Notary,
    /// Events that a run begins with, before the script: its first segment is nearly full then.
    first: usize,
}

/// Fills up to `segment`. (Whoever opens a ring goes on in a segment of his own.)
fn base(name: &'static str, segment: u64, fill: bool) -> Base {
    let device = Device::formatted(MIB, SEGMENT);
    let mut ring = common::open(&device, 0);
    let mut lengths = Vec::new();
    append(&mut ring, &mut lengths, 10);
    ring.commit().expect("a good disk");
    while ring.stats().segment < segment {
        append(&mut ring, &mut lengths, 1000);
    }
    let mut notary = Notary::default();
    ring.checkpoint(&mut notary).expect("a good disk");
    let mut base = Base { name, image: device.image(), lengths, stored: notary, first: 0 };
    if fill {
        let device = Device::new(base.image.clone());
        let mut ring = common::open(&device, 1);
        let (mut lengths, begun) = (base.lengths.clone(), ring.stats().segment + 1);
        while ring.stats().segment <= begun {
            base.first += 1;
            begin(&mut ring, &mut lengths, 1);
        }
        // One more fits, or two short ones.
        base.first -= 2;
    }
    base
}

fn append(ring: &mut Ring<'_, Device>, lengths: &mut Vec<usize>, length: usize) {
    lengths.push(length);
    ring.append(&payload(lengths.len() as u64, length)).expect("room");
}

/// What a run begins with.
fn begin(ring: &mut Ring<'_, Device>, lengths: &mut Vec<usize>, events: usize) {
    for _ in 0..events {
        append(ring, lengths, 900);
        ring.commit().expect("a good disk");
    }
}

/// What was known when the device had been asked for so many operations.
struct Mark {
    ops: usize,
    acked: u64,
    submitted: u64,
    stored: Notary,
}

/// Runs a script, then cuts its last call everywhere: those before it were, in a shorter one. Returns how many cuts that were.
fn cut_everywhere(base: &Base, script: &[Call]) -> usize {
    let device = Device::new(base.image.clone());
    let mut lengths = base.lengths.clone();
    let mut notary = base.stored.clone();
    let mut ring = common::open(&device, 1);
    begin(&mut ring, &mut lengths, base.first);
    let filled = device.ops();
    let mut marks = Vec::new();
    let mark = |ring: &Ring<'_, Device>, submitted: usize, notary: &Notary| Mark {
        ops: device.ops(),
        acked: ring.acked(),
        submitted: submitted as u64,
        stored: notary.clone(),
    };
    marks.push(mark(&ring, lengths.len(), &notary));
    let mut begun = filled;
    for (number, call) in script.iter().enumerate() {
        begun = device.ops();
        match *call {
            Call::Append(length) => {
                // Before, since it may commit by itself.
                marks.push(mark(&ring, lengths.len() + 1, &notary));
                append(&mut ring, &mut lengths, length);
            }
            Call::Commit => drop(ring.commit().expect("a good disk")),
            Call::Checkpoint => drop(ring.checkpoint(&mut notary).expect("a good disk")),
            Call::Seal => drop(ring.seal().expect("a good disk")),
            Call::Again | Call::Killed => {
                if *call == Call::Killed {
                    device.disk.borrow_mut().killed = true;
                    // Where nothing is pending it is as good as any.
                    let _ = ring.commit();
                    device.disk.borrow_mut().killed = false;
                }
                ring = common::open(&device, 2 + number as u64);
                lengths.truncate(ring.recovery().next_sequence as usize - 1);
            }
        }
        marks.push(mark(&ring, lengths.len(), &notary));
    }
    let log = device.disk.borrow().log.clone();
    let mut platter = Platter::new(base.image.clone());
    let mut cuts = 0;
    for ops in 0..=log.len() {
        if ops > 0 {
            platter.apply(&log[ops - 1]);
        }
        if ops < begun {
            continue;
        }
        let known = marks.iter().rfind(|mark| mark.ops <= ops).expect("the first is before all");
        let submitted = marks.iter().map(|mark| mark.submitted).max().expect("one");
        let sectors = platter.volatile.len();
        assert!(sectors <= 10, "{sectors} sectors at once: the scope is no small one");
        for kept in 0..1u32 << sectors {
            let mut sector = 0;
            let torn = platter.cut(|| {
                sector += 1;
                kept >> (sector - 1) & 1 == 1
            });
            check(base, torn, known, submitted, &lengths, cuts, &|| {
                format!("{script:?}, op {ops}, kept {kept:b}")
            });
            cuts += 1;
        }
    }
    cuts
}

fn check(
    base: &Base,
    image: Vec<u8>,
    known: &Mark,
    submitted: u64,
    lengths: &[usize],
    number: usize,
    told: &dyn Fn() -> String,
) {
    let device = Device::new(image);
    let mut buffer = vec![0; 4096];
    let mut ring = Ring::open(device.clone(), boot(u64::MAX), &mut buffer).expect("opens after any cut");
    let recovery = ring.recovery();
    let told = || format!("{}: {}", base.name, told());
    assert_eq!(recovery.damaged, None, "a cut was taken for damage: {}", told());
    assert!(recovery.last_sequence >= known.acked, "acked {}, {recovery:?}: {}", known.acked, told());
    assert!(recovery.last_sequence <= submitted, "{recovery:?}: {}", told());
    // No sealed record is lost that was durable before the script, and none is there that was never made.
    let stored = known.stored.stored.as_ref().map_or(0, |stamp| stamp.next_epoch);
    let found = recovery.sealing.map_or(0, |sealing| sealing.next_epoch);
    assert!(found >= 1 && found <= stored + 1, "epoch {found}, {stored} was stored: {}", told());
    // What is there is what was written, from the last that was acked on; and all of it, now and then.
    let whole = number.is_multiple_of(64);
    let from = if whole { 0 } else { known.acked.saturating_sub(1).max(recovery.first_sequence) };
    let (frames, error) = read_from(device.clone(), from).expect("reads after any cut");
    assert_eq!(error, None, "{}", told());
    let mut expected = if whole { recovery.first_sequence } else { from };
    for (sequence, bytes) in frames {
        let right = payload(
            sequence,
            lengths.get(sequence as usize - 1).copied().unwrap_or(usize::MAX >> 1).min(1024),
        );
        assert!(
            sequence == expected && bytes == right,
            "sequence {sequence}, {expected} expected: {}",
            told()
        );
        expected += 1;
    }
    assert_eq!(expected, recovery.next_sequence, "reader and recovery differ: {}", told());
    // It goes on from there: the next event is durable, and the ring is whole with it.
    let next = recovery.next_sequence;
    assert_eq!(ring.append(b"next").ok(), Some(next), "{}", told());
    assert_eq!(ring.commit().ok(), Some(next), "{}", told());
    if whole {
        assert_eq!(verified(device.clone()).last, next, "{}", told());
    }
    let after = Reader::open(device, &mut [0; 4096]).expect("opens").next_sequence();
    assert_eq!(after, next + 1, "{}", told());
}

/// Every script of up to so many calls.
fn scripts(calls: usize, lengths: &[usize]) -> Vec<Vec<Call>> {
    let all: Vec<Call> = lengths
        .iter()
        .map(|length| Call::Append(*length))
        .chain([Call::Commit, Call::Checkpoint, Call::Seal, Call::Again, Call::Killed])
        .collect();
    let (mut found, mut last) = (vec![], vec![vec![]]);
    for _ in 0..calls {
        last = last
            .iter()
            .flat_map(|script: &Vec<Call>| all.iter().map(move |call| [&script[..], &[*call]].concat()))
            .collect();
        found.extend_from_slice(&last);
    }
    found
}

#[test]
fn every_cut_of_every_small_script_leaves_what_was_acked_and_no_more_than_was_written() {
    let larger = std::env::var_os("AEGIS_MODELS").is_some();
    let more = usize::from(larger);
    let lengths = if larger { &LENGTHS[..] } else { &LENGTHS[1..] };
    // A new ring; one whose segment is full in the middle of it; one that comes round to its first segment.
    for (base, calls) in
        [(base("new", 0, false), 3), (base("full", 2, true), 2), (base("round", 15, false), 2)]
    {
        let scripts = scripts(calls + more, lengths);
        let cuts: usize = scripts.iter().map(|script| cut_everywhere(&base, script)).sum();
        println!("{}: {} scripts, {cuts} cuts", base.name, scripts.len());
        assert!(cuts > 200);
    }
}
