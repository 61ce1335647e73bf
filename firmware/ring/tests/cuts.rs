//! Power cuts at every write and flush: acked ⊆ recovered ⊆ submitted, order kept, chain good.
//!
//! A seeded share runs by default; `AEGIS_CUTS=100000` is the long run, `AEGIS_SEED` another one.
#![allow(missing_docs, reason = "a test")]

mod common;

use aegis_ring::{
    CheckpointError, Error, FormatOptions, Full, Options, Reader, Ring, Sealer, SyncMode, format,
};
use common::{Device, MIB, Notary, Op, Platter, RING_ID, Random, Stamp, boot, payload, read_from, verified};

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect("a number"))
}

/// What must be in the ring when the power fails after this many operations.
struct Mark {
    ops: usize,
    acked: u64,
    /// The epoch that is next after the last checkpoint that was acked, and what the sealer had stored by then.
    sealed: u64,
    stored: Option<Stamp>,
}

/// One run of a writer on a disk: what it wrote and what it was told.
struct Run {
    ops: Vec<Op>,
    marks: Vec<Mark>,
    submitted: u64,
    /// The latest first sequence that wrapping can have led to.
    first: u64,
    /// How often the ring was full.
    full: usize,
}

/// Appends, commits, seals, fails and retries for a while. `lengths[n]` is the payload length of sequence `n + 1`.
fn run(
    image: Vec<u8>,
    number: u64,
    lengths: &mut Vec<usize>,
    notary: &mut Notary,
    random: &mut Random,
) -> Run {
    let device = Device::new(image);
    let size = 4096 << random.below(4);
    let failing = random.chance(50);
    // Without flushes, what a failed flush loses is lost: the two don't go together.
    let sync = if failing || random.chance(70) { SyncMode::WINDOW } else { SyncMode::None };
    let full = if random.chance(80) { Full::Overwrite } else { Full::Stop };
    let options = Options { sync, full, ..Options::default() };
    let start = |notary: &Notary| {
        let mut ring = Ring::open_with(device.clone(), boot(number), vec![0; size].leak(), options)
            .expect("opens after any cut");
        match notary.redo(&mut ring) {
            // A ring that stops takes the record once there is room for it.
            Err(Error::Full { .. }) if full == Full::Stop => {
                ring.set_exported(u64::MAX).expect("known, whether there is room or not");
                notary.redo(&mut ring).expect("room for it");
            }
            redone => drop(redone.expect("nothing is written yet")),
        }
        ring
    };
    let mut times_full = 0;
    let mut refused = |error: &Error<_>| {
        times_full += usize::from(matches!(error, Error::Full { .. }));
        matches!(error, Error::Device(_)) && failing
            || matches!(error, Error::Full { .. }) && full == Full::Stop
    };
    let mut ring = start(notary);
    let overwritten = ring.books().overwritten;
    assert_eq!(ring.recovery().damaged, None);
    assert_eq!(ring.recovery().next_sequence, lengths.len() as u64 + 1);
    {
        let mut disk = device.disk.borrow_mut();
        disk.random = Some(random.clone());
        disk.failing = if failing { 10 } else { 0 };
    }
    let mut sealed = ring.recovery().sealing.map_or(0, |sealing| sealing.next_epoch);
    let mut marks = Vec::new();
    let mark = |ring: &Ring<'_, Device>, sealed: u64, notary: &Notary| Mark {
        ops: device.ops(),
        acked: ring.acked(),
        sealed,
        stored: notary.stored.clone(),
    };
    marks.push(Mark { ops: 0, ..mark(&ring, sealed, notary) });
    let longest = [60, 300, 1024][random.below(3)];
    for _ in 0..30 {
        if !failing && random.chance(5) {
            // The agent is killed and starts again in the same boot: what it wrote is there, flushed or not.
            ring = start(notary);
            let recovered = ring.recovery().next_sequence - 1;
            assert!(recovered >= marks.last().expect("one").acked);
            lengths.truncate(recovered as usize);
            sealed = ring.recovery().sealing.map_or(0, |sealing| sealing.next_epoch);
            assert!(sealed >= marks.last().expect("one").sealed);
            marks.push(mark(&ring, sealed, notary));
        }
        for _ in 0..=random.below(20) {
            let length = random.below(longest + 1);
            let payload = payload(lengths.len() as u64 + 1, length);
            // It may commit on its own, and fail there: the event was not taken then.
            let appended = if random.chance(90) { ring.append(&payload) } else { ring.append_own(&payload) };
            match appended {
                Ok(sequence) => {
                    lengths.push(length);
                    assert_eq!(sequence, lengths.len() as u64);
                }
                Err(error) => assert!(refused(&error), "{error}"),
            }
            marks.push(mark(&ring, sealed, notary));
        }
        if random.chance(if full == Full::Stop { 30 } else { 5 }) {
            // It may be told so with something still pending.
            let _ = ring.set_exported(random.next() % ring.next_sequence());
        }
        match random.below(10) {
            0 => drop(ring.seal().map(|acked| assert_eq!(acked, lengths.len() as u64))),
            1 => match ring.checkpoint(&mut Watched { notary, marks: &mut marks, device: &device }) {
                Ok(next) => sealed = next,
                Err(CheckpointError::Ring(error)) => assert!(refused(&error), "{error}"),
                Err(CheckpointError::Sealer(error)) => panic!("{error}"),
            },
            _ => drop(ring.commit()),
        }
        // A checkpoint that was pending is acked with everything else.
        if ring.pending_bytes() == 0 && ring.acked() + 1 == ring.next_sequence() {
            sealed = ring.sealing().map_or(0, |sealing| sealing.next_epoch);
        }
        marks.push(mark(&ring, sealed, notary));
    }
    assert!(full == Full::Overwrite || ring.books().overwritten == overwritten, "it was to stop");
    let ops = device.disk.borrow().log.clone();
    device.disk.borrow_mut().failing = 0;
    // A segment begun but not acked has its place already.
    let seen = Reader::open(device.clone(), &mut [0; 4096]).expect("opens").first_sequence();
    let first = ring.stats().first_sequence.max(seen);
    Run { ops, marks, submitted: lengths.len() as u64, first, full: times_full }
}

/// Takes down when the sealer's own disk had what.
struct Watched<'a> {
    notary: &'a mut Notary,
    marks: &'a mut Vec<Mark>,
    device: &'a Device,
}

impl Sealer for Watched<'_> {
    type Error = &'static str;

    fn seal(&mut self, summary: &aegis_ring::Summary, out: &mut [u8]) -> Result<(u64, usize), &'static str> {
        let sealed = self.notary.seal(summary, out)?;
        let Mark { sealed: before, .. } = *self.marks.last().expect("one");
        self.marks.push(Mark {
            ops: self.device.ops(),
            acked: summary.sequence,
            sealed: before,
            stored: self.notary.stored.clone(),
        });
        Ok(sealed)
    }
}

/// Checks the ring on a disk that lost power. Returns the last sequence recovered.
fn check(image: Vec<u8>, mark: &Mark, run: &Run, lengths: &[usize], whole: bool) -> u64 {
    let acked = mark.acked;
    let device = Device::new(image);
    let mut ring =
        Ring::open(device.clone(), boot(u64::MAX), vec![0; 4096].leak()).expect("opens after any cut");
    let recovery = ring.recovery();
    assert_eq!(recovery.damaged, None, "a cut was taken for damage");
    assert_eq!(recovery.next_sequence, recovery.last_sequence + 1);
    assert!(recovery.last_sequence >= acked, "acked {acked}, recovered {}", recovery.last_sequence);
    assert!(recovery.last_sequence <= run.submitted);
    assert!(recovery.first_sequence <= run.first, "gave up more than a wrap does");
    // What went out of reach was exported or is counted; nothing is counted that can be read.
    let (books, gone) = (recovery.books, recovery.first_sequence - 1);
    assert!(
        books.overwritten <= gone && books.overwritten + books.exported >= gone,
        "{books:?}, {gone} gone"
    );

    // Checkpoints: what was acked is there; what the sealer stored is there or can be put there; none comes twice.
    let stored = mark.stored.as_ref().map_or(0, |stamp| stamp.next_epoch);
    let found = recovery.sealing.map_or(0, |sealing| sealing.next_epoch);
    assert!(found >= mark.sealed, "checkpoint {} was acked, the last one there is {found}", mark.sealed);
    assert!(found <= stored && found + 1 >= stored, "the sealer is at {stored}, the ring at {found}");

    let from = if whole { 0 } else { recovery.first_sequence.max(acked.saturating_sub(5)) };
    let (frames, error) = read_from(device.clone(), from).expect("reads after any cut");
    assert_eq!(error, None);
    let mut expected = if whole { recovery.first_sequence } else { from };
    for (sequence, bytes) in frames {
        assert_eq!(sequence, expected);
        assert_eq!(bytes, payload(sequence, lengths[sequence as usize - 1]), "sequence {sequence}");
        expected += 1;
    }
    assert_eq!(expected, recovery.next_sequence, "reader and recovery differ");
    if whole {
        verified(device.clone());
        let mut notary = Notary { stored: mark.stored.clone(), broken: false };
        assert_eq!(notary.redo(&mut ring), Ok(found < stored));
        assert_eq!(ring.checkpoint(&mut notary), Ok(stored + 1));
        verified(device);
    }
    recovery.last_sequence
}

#[test]
fn acked_is_recovered_and_recovered_was_submitted() {
    let wanted = number("AEGIS_CUTS", 1000);
    let seed = number("AEGIS_SEED", 20);
    let mut random = Random(seed);
    let mut lengths: Vec<usize> = Vec::new();
    let device = Device::formatted(MIB, 64 << 10);
    // Every second seed begins with a new ring, the others with one that is about to come round.
    if seed.is_multiple_of(2) {
        let mut ring = common::open(&device, 0);
        while ring.stats().segment < 13 {
            let sequence = ring.append(&payload(lengths.len() as u64 + 1, 900)).expect("append");
            lengths.push(900);
            assert_eq!(sequence, lengths.len() as u64);
        }
        ring.commit().expect("commit");
    }
    let mut image = device.image();
    let mut notary = Notary::default();
    let (mut cuts, mut runs, mut wraps, mut full) = (0, 0, 0, 0);
    while cuts < wanted || wraps <= 1 {
        runs += 1;
        let run = run(image.clone(), runs, &mut lengths, &mut notary, &mut random);
        let mut platter = Platter::new(std::mem::take(&mut image));
        let chosen = random.below(run.ops.len() + 1);
        let mut recovered = 0;
        for ops in 0..=run.ops.len() {
            if ops > 0 {
                platter.apply(&run.ops[ops - 1]);
            }
            let mark = run.marks.iter().rev().find(|mark| mark.ops <= ops).expect("the first is at 0");
            // All of the cache lost, all of it kept, and some of its sectors.
            for keep in [0, 100, 50, 90] {
                let torn = platter.cut(|| random.chance(keep));
                let whole = cuts % 16 == 0;
                if ops == chosen && keep == 50 {
                    image.clone_from(&torn);
                }
                let last = check(torn, mark, &run, &lengths, whole);
                if ops == chosen && keep == 50 {
                    recovered = last;
                    notary.stored.clone_from(&mark.stored);
                }
                cuts += 1;
                if platter.volatile.is_empty() {
                    break;
                }
            }
            if image.is_empty() && ops == chosen {
                image.clone_from(&platter.durable);
                recovered = check(image.clone(), mark, &run, &lengths, false);
                notary.stored.clone_from(&mark.stored);
            }
        }
        // The next run goes on from one of these cuts.
        lengths.truncate(recovered as usize);
        wraps = wraps.max(run.first);
        full += run.full;
    }
    let epochs = notary.stored.map_or(0, |stamp| stamp.next_epoch);
    assert!(epochs > 0, "nothing was ever sealed");
    println!(
        "{cuts} cuts in {runs} runs, {} events, {epochs} epochs, {full} times full, seed {seed}",
        lengths.len()
    );
}

#[test]
fn a_retry_that_grew_and_was_torn_is_no_damage() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = common::open(&device, 1);
    ring.append(&payload(1, 10)).expect("append");
    ring.commit().expect("commit");
    // The first try has one frame and reaches the platter, but its flush fails.
    ring.append(&payload(2, 148)).expect("append");
    device.disk.borrow_mut().broken = true;
    ring.commit().expect_err("broken");
    device.disk.borrow_mut().broken = false;
    let tried = device.ops();
    // The retry has one more in the same sector, and one that starts on the next sector.
    ring.append(&payload(3, 512 - 200 - 52)).expect("append");
    ring.append(&payload(4, 100)).expect("append");
    ring.commit().expect("commit");
    let Op::Write { offset, bytes } = device.disk.borrow().log[tried].clone() else { panic!("a write") };
    let mut image = device.image();
    // Of the retry only the second sector is there; the first one is as the first try wrote it.
    image[offset + 200..offset + 512].fill(0);
    assert_eq!(bytes.len(), 1024);
    let torn = Device::new(image);
    let recovery = common::open(&torn, 2).recovery();
    assert_eq!((recovery.next_sequence, recovery.damaged), (3, None));
    assert_eq!(common::read_all(torn).len(), 2);
}

#[test]
fn frames_on_their_own_sectors_behind_a_lost_one_are_torn_and_not_damage() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = common::open(&device, 1);
    ring.append(&payload(1, 10)).expect("append");
    ring.commit().expect("commit");
    let before = device.image();
    for sequence in 2..=6 {
        ring.append(&payload(sequence, 512 - 52)).expect("append");
    }
    ring.commit().expect("commit");
    let (from, sectors) = (4096 + 1024, 5);
    for lost in 0..sectors {
        let mut image = device.image();
        let sector = from + lost * 512..from + (lost + 1) * 512;
        image[sector.clone()].copy_from_slice(&before[sector]);
        let torn = Device::new(image);
        let recovery = common::open(&torn, 2).recovery();
        assert_eq!((recovery.last_sequence, recovery.damaged), (1 + lost as u64, None));
        assert_eq!(recovery.next_sequence, recovery.last_sequence + 1);
        assert_eq!(common::read_all(torn).len(), 1 + lost);
    }
}

#[test]
fn what_a_killed_writer_left_in_the_cache_does_not_vanish_behind_a_new_segment() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut platter = Platter::new(device.image());
    let mut ring = common::open(&device, 1);
    for sequence in 1..=10 {
        ring.append(&payload(sequence, 300)).expect("append");
        if sequence == 5 {
            ring.commit().expect("commit");
        }
    }
    device.disk.borrow_mut().killed = true;
    ring.commit().expect_err("killed");
    device.disk.borrow_mut().killed = false;
    let mut ring = common::open(&device, 1);
    assert_eq!(ring.recovery().next_sequence, 11);
    ring.append(&payload(11, 300)).expect("append");
    ring.commit().expect("commit");
    let mut random = Random(1);
    let ops = device.disk.borrow().log.clone();
    for op in &ops {
        platter.apply(op);
        for _ in 0..50 {
            let torn = Device::new(platter.cut(|| random.chance(50)));
            let (_, error) = read_from(torn.clone(), 0).expect("reads");
            assert_eq!((error, common::open(&torn, 2).recovery().damaged), (None, None));
        }
    }
}

#[test]
fn format_is_the_old_ring_or_none_or_the_new_one() {
    let old = Device::formatted(MIB, 64 << 10);
    let mut ring = common::open(&old, 1);
    for sequence in 1..=300 {
        ring.append(&payload(sequence, 500)).expect("append");
    }
    ring.seal().expect("seal");
    let before = old.image();
    for new_id in [*b"the next ring id", RING_ID] {
        let device = Device::new(before.clone());
        let options = FormatOptions { ring_id: new_id, bytes: 0, segment_bytes: 128 << 10 };
        format(device.clone(), &options).expect("format");
        let mut platter = Platter::new(before.clone());
        let ops = device.disk.borrow().log.clone();
        let mut random = Random(7);
        let mut seen = [0; 3];
        for op in &ops {
            platter.apply(op);
            for keep in [0, 20, 50, 80, 100] {
                let torn = Device::new(platter.cut(|| random.chance(keep)));
                match Ring::open(torn.clone(), boot(2), &mut [0; 4096]) {
                    Ok(ring) if ring.geometry().segment_bytes == 64 << 10 => {
                        assert_eq!(ring.recovery().next_sequence, 301);
                        assert_eq!(common::read_all(torn).len(), 300);
                        seen[0] += 1;
                    }
                    Err(Error::Unformatted) => seen[1] += 1,
                    Ok(ring) => {
                        assert!(ring.recovery().fresh && ring.geometry().ring_id == new_id);
                        assert_eq!(common::read_all(torn), []);
                        seen[2] += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
        assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    }
}
