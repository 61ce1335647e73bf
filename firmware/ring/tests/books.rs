//! What a ring says of what it does not hold: overwritten, cut off, damaged, exported; and what sealing makes of it.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod common;

use aegis_ring::limits::RECORD_BYTES;
use aegis_ring::{
    Cause, CheckpointError, Error, Full, Gap, Leaves, Level, Merkle, Options, Reader, Record, Ring, SyncMode,
    chain_next, chain_start, kind, leaf,
};
use common::{
    Device, MIB, Notary, Platter, RING_ID, Random, boot, entries, gaps, open, payload, read_all, verified,
};

fn with(device: &Device, number: u64, options: Options) -> Ring<'static, Device> {
    Ring::open_with(device.clone(), boot(number), vec![0; 16 << 10].leak(), options).expect("open")
}

/// Appends until the next segment begins; what was last appended is the first event in it.
fn fill_segment(ring: &mut Ring<'_, Device>) -> Result<u64, common::Failure> {
    let segment = ring.stats().segment;
    loop {
        let sequence = ring.append(&payload(ring.next_sequence(), 900))?;
        if ring.stats().segment > segment {
            return Ok(sequence);
        }
    }
}

#[test]
fn what_is_overwritten_before_it_is_exported_is_counted_exactly() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = open(&device, 1);
    let mut random = Random(11);
    // What must have been counted, by the definition: a sequence that went out of reach and was not exported by then.
    let (mut expected, mut lost, mut retained, mut records) = (0, Vec::new(), 1, 0);
    for round in 0..60 {
        let before = ring.books();
        let first = fill_segment(&mut ring).unwrap();
        let books = ring.books();
        // The segment has begun in the buffer; what it overwrites goes out of reach when it is written.
        ring.commit().unwrap();
        let upcoming = ring.stats().first_sequence;
        for sequence in retained..upcoming {
            if sequence > before.exported {
                expected += 1;
                lost.push(sequence);
            }
        }
        if books.overwritten > before.overwritten {
            records += 1;
            // The record of it stands in the segment that overwrites, and says neither more nor less.
            let first = retained.max(before.exported + 1);
            let gap = Gap {
                cause: Cause::Overwritten,
                first,
                last: upcoming - 1,
                total: expected,
                boot_id: [0; 16],
            };
            assert_eq!(
                gaps(device.clone()).into_iter().rfind(|gap| gap.cause == Cause::Overwritten),
                Some(gap)
            );
        }
        retained = upcoming;
        assert_eq!(books.overwritten, expected, "round {round}");
        if let Some(last) = lost.last() {
            assert_eq!(books.overwritten_range.1, *last);
            assert!(lost.contains(&books.overwritten_range.0));
        }
        if random.chance(40) {
            ring.set_exported(first.saturating_sub(random.next() % 600)).unwrap();
        }
        if random.chance(20) {
            ring.commit().unwrap();
            ring = open(&device, round + 2);
            assert_eq!(ring.recovery().books.overwritten, expected);
        }
    }
    assert!(expected > 100 && records > 3 && lost.len() as u64 == expected);
    ring.commit().unwrap();
    // Those still in the ring agree with it.
    let mut scratch = [0; 4096];
    assert_eq!(Reader::open(device.clone(), &mut scratch).unwrap().books(), ring.books());
    for gap in gaps(device.clone()).iter().filter(|gap| gap.cause == Cause::Overwritten) {
        assert!(gap.first <= gap.last && gap.total <= expected && lost.contains(&gap.first));
        assert!(lost.contains(&gap.last));
    }
    verified(device);
}

#[test]
fn a_ring_that_stops_takes_nothing_until_it_is_exported() {
    let device = Device::formatted(MIB, 64 << 10);
    let stop = Options { full: Full::Stop, ..Options::default() };
    let mut ring = with(&device, 1, stop);
    let mut levels = Vec::new();
    let error = loop {
        let sequence = ring.next_sequence();
        match ring.append(&payload(sequence, 900)) {
            Ok(_) => assert_eq!(ring.stats().first_sequence, 1),
            Err(error) => break error,
        }
        levels.extend(ring.level_changed());
    };
    assert_eq!(error, Error::Full { sequence: 1 });
    assert_eq!(levels, [Level::High, Level::Critical]);
    let taken = ring.commit().unwrap();
    assert_eq!(ring.next_sequence(), taken + 1);
    let mut notary = Notary::default();
    // What it keeps is enough for its writer to say so, and to have it sealed; and it ends.
    assert_eq!(ring.append_own(&payload(taken + 1, 100)), Ok(taken + 1));
    assert_eq!(ring.checkpoint(&mut notary), Ok(1));
    assert_eq!(ring.append(b""), Err(Error::Full { sequence: 1 }));
    let sealing = ring.sealing();
    while ring.append_own(&payload(ring.next_sequence(), 100)).is_ok() {
        assert_eq!((ring.stats().first_sequence, ring.books().overwritten), (1, 0));
    }
    let last = ring.commit().unwrap();
    assert!((taken + 20..taken + 80).contains(&last), "{} of its own", last - taken);
    // Nothing is signed that has no place.
    assert_eq!(ring.checkpoint(&mut notary), Err(CheckpointError::Ring(Error::Full { sequence: 1 })));
    assert_eq!((notary.stored.as_ref().map(|stamp| stamp.next_epoch), ring.sealing()), (Some(1), sealing));
    // It can be closed in order, however full it is.
    ring.seal().unwrap();
    let mut ring = with(&device, 2, stop);
    assert!(ring.recovery().clean);
    assert_eq!(read_all(device.clone()).len() as u64, last);
    assert_eq!(ring.append(b"no"), Err(Error::Full { sequence: 1 }));
    assert_eq!(ring.level_changed(), Some(Level::Critical));
    // The first segment out is not enough of the ring to go below the level, but enough to go on.
    let events = taken / 14;
    ring.set_exported(events - 10).unwrap();
    assert_eq!(ring.append(b"no"), Err(Error::Full { sequence: events - 9 }));
    ring.set_exported(events + 10).unwrap();
    assert_eq!(ring.append(b"yes"), Ok(last + 1));
    ring.commit().unwrap();
    assert_eq!(ring.books().overwritten, 0);
    ring.set_exported(last).unwrap();
    assert_eq!(ring.level_changed(), Some(Level::Normal));
    assert_eq!(ring.stats().unexported_percent(), 0);
    // What it was told is remembered.
    ring.commit().unwrap();
    assert_eq!(open(&device, 3).books().exported, last);
    // More than there is was never exported, less than before is no news.
    ring.set_exported(last + 100).unwrap();
    assert_eq!(ring.books().exported, last + 1);
    ring.set_exported(5).unwrap();
    assert_eq!(ring.books().exported, last + 1);
}

#[test]
fn the_caller_may_know_more_than_the_ring() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = open(&device, 1);
    for sequence in 1..=300 {
        ring.append(&payload(sequence, 900)).unwrap();
    }
    ring.set_exported(100).unwrap();
    ring.commit().unwrap();
    assert_eq!(open(&device, 2).books().exported, 100);
    let told = |exported| with(&device, 2, Options { exported, ..Options::default() });
    assert_eq!(told(50).books().exported, 100);
    assert_eq!(told(200).books().exported, 200);
    assert_eq!(told(u64::MAX).books().exported, 300);
    let percents: Vec<u8> =
        [0, 150, 299, 300].iter().map(|to| told(*to).stats().unexported_percent()).collect();
    assert_eq!(percents, [28, 21, 7, 0], "of 14 segments that can be read, 5 are there");
}

#[test]
fn a_run_that_was_not_sealed_leaves_a_cut() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = open(&device, 1);
    assert_eq!((ring.books().cuts, gaps(device.clone())), (0, vec![]));
    for sequence in 1..=5 {
        ring.append(&payload(sequence, 100)).unwrap();
    }
    ring.commit().unwrap();
    ring.append(b"never durable").unwrap();
    let mut ring = open(&device, 2);
    let cut = Gap { cause: Cause::Cut, first: 6, last: 5, total: 1, boot_id: boot(1) };
    assert_eq!((ring.books().cuts, ring.books().cut_at), (1, 5));
    // Opened twice before anything was written: one cut.
    assert_eq!(gaps(device.clone()), []);
    ring = open(&device, 3);
    assert_eq!(ring.books().cuts, 1);
    ring.append(b"six").unwrap();
    ring.seal().unwrap();
    assert_eq!(gaps(device.clone()), [cut]);
    let kinds: Vec<(u8, u64)> = entries(device.clone());
    let events = |range: std::ops::RangeInclusive<u64>| range.map(|n| (kind::EVENT, n));
    let expected: Vec<_> = events(1..=5).chain([(kind::GAP, 5), (kind::EVENT, 6), (kind::SEAL, 6)]).collect();
    assert_eq!(kinds, expected);
    // A run that was sealed leaves none.
    let mut ring = open(&device, 4);
    assert_eq!((ring.recovery().clean, ring.books().cuts), (true, 1));
    ring.append(b"seven").unwrap();
    ring.commit().unwrap();
    assert_eq!(gaps(device.clone()).len(), 1);
    // Damage behind what was recovered: both.
    let mut ring = open(&device, 5);
    for _ in 0..10 {
        ring.append(&payload(1, 90)).unwrap();
        ring.commit().unwrap();
    }
    let mut image = device.image();
    let at = 4096 + 3 * (64 << 10) + 5 * 512;
    image[at..at + 512].fill(0x5a);
    let device = Device::new(image);
    let mut ring = open(&device, 6);
    let recovery = ring.recovery();
    assert_eq!((recovery.last_sequence, recovery.next_sequence), (11, 18));
    assert_eq!((ring.books().cuts, ring.books().cut_at, ring.books().damaged), (3, 11, 6));
    ring.append(b"after the hole").unwrap();
    ring.commit().unwrap();
    let mut scratch = [0; 4096];
    let mut reader = Reader::open(device, &mut scratch).unwrap();
    while reader.next_entry().is_ok() {}
    assert_eq!(reader.skip(), Ok(Some(18)));
    let mut found = Vec::new();
    while let Some(aegis_ring::Entry::Mark(mark)) = reader.next_entry().unwrap() {
        assert_eq!(mark.sequence, 17);
        found.push(Gap::decode(mark.payload).unwrap());
    }
    let cut = Gap { cause: Cause::Cut, first: 12, last: 11, total: 3, boot_id: boot(5) };
    let hole = Gap { cause: Cause::Damaged, last: 17, total: 6, ..cut };
    assert_eq!(found, [cut, hole]);
}

/// Root over the events with these sequences, from the payloads alone.
fn root_of(device: &Device, sequences: std::ops::Range<u64>) -> Leaves {
    let mut head = chain_start(&RING_ID);
    let mut tree = Merkle::new();
    for (sequence, bytes) in read_all(device.clone()) {
        head = chain_next(&head, sequence, &bytes);
        if sequences.contains(&sequence) {
            tree.push(&head);
        }
    }
    Leaves { events: tree.leaves(), root: tree.root() }
}

#[test]
fn a_checkpoint_says_what_was_closed_and_what_is_open() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = open(&device, 1);
    let mut notary = Notary::default();
    ring.append(&payload(1, 900)).unwrap();
    // Before the first record nothing counts as closed.
    let mut firsts = vec![1];
    firsts.push(fill_segment(&mut ring).unwrap());
    assert_eq!(ring.summary().closed.root, None);
    assert_eq!(ring.checkpoint(&mut notary), Ok(1));
    assert_eq!(ring.sealing().unwrap().segment, 1);
    for _ in 0..3 {
        firsts.push(fill_segment(&mut ring).unwrap());
    }
    ring.commit().unwrap();
    let summary = ring.summary();
    assert_eq!((summary.segment, summary.segment_first), (4, firsts[4]));
    assert_eq!(summary.open, root_of(&device, firsts[4]..u64::MAX));
    let mut tree = Merkle::new();
    for number in 1..4 {
        let leaves = root_of(&device, firsts[number]..firsts[number + 1]);
        tree.push(&leaf(number as u64, firsts[number], &leaves));
    }
    assert_eq!((summary.closed.first, summary.closed.count), (1, 3));
    assert_eq!(summary.closed.root, Some(tree.root()));
    // A new writer reads the same from the headers, the segment closed by the cut too.
    let leaves = root_of(&device, firsts[4]..u64::MAX);
    tree.push(&leaf(4, firsts[4], &leaves));
    let mut again = open(&device, 2);
    let recovered = again.summary();
    assert_eq!((recovered.closed.first, recovered.closed.count), (1, 4));
    assert_eq!(recovered.closed.root, Some(tree.root()));
    assert_eq!((recovered.open.events, recovered.sealing), (0, summary.sealing));
    assert_eq!(again.checkpoint(&mut notary), Ok(2));
    assert_eq!(again.summary().closed.count, 0);
    // Epochs without events are sealed like any other.
    for epoch in 3..40 {
        assert_eq!(again.checkpoint(&mut notary), Ok(epoch));
        assert_eq!(again.summary().closed.root, Some(Merkle::new().root()));
    }
    assert_eq!(open(&device, 3).sealing(), again.sealing());
    assert_eq!(entries(device.clone()).iter().filter(|entry| entry.0 == kind::CHECKPOINT).count(), 39);
    let found = verified(device);
    assert_eq!((found.roots, found.segments), (5, 6));
}

#[test]
fn a_segment_that_lost_events_has_no_root() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = open(&device, 1);
    ring.checkpoint(&mut Notary::default()).unwrap();
    let at = 4096 + 5 * 512;
    for _ in 0..10 {
        ring.append(&payload(1, 90)).unwrap();
        ring.commit().unwrap();
    }
    assert!(open(&device, 2).summary().closed.root.is_some());
    let mut image = device.image();
    image[at..at + 512].fill(0x5a);
    let mut ring = open(&Device::new(image), 2);
    assert!(ring.recovery().damaged.is_some());
    assert_eq!((ring.summary().closed.count, ring.summary().closed.root), (1, None));
    ring.append(b"goes on").unwrap();
    assert_eq!(ring.summary().closed.root, None);
}

#[test]
fn a_record_that_the_ring_lost_is_handed_to_it_again() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = open(&device, 1);
    let mut notary = Notary::default();
    ring.checkpoint(&mut notary).unwrap();
    fill_segment(&mut ring).unwrap();
    ring.commit().unwrap();
    let before = device.image();
    ring.checkpoint(&mut notary).unwrap();
    // The power failed between the sealer's disk and the ring's.
    let device = Device::new(before);
    let mut ring = open(&device, 2);
    assert_eq!(ring.sealing().unwrap().next_epoch, 1);
    assert!(notary.redo(&mut ring).unwrap());
    // What was closed since counts from the segment that the record calls open.
    assert_eq!((ring.summary().closed.first, ring.summary().closed.count), (1, 1));
    assert!(ring.summary().closed.root.is_some());
    ring.append(b"goes on").unwrap();
    ring.commit().unwrap();
    let mut ring = open(&device, 3);
    assert!(!notary.redo(&mut ring).unwrap());
    assert_eq!(ring.checkpoint(&mut notary), Ok(3));
    verified(device);
}

#[test]
#[expect(clippy::items_after_statements, reason = "it breaks here and nowhere else")]
fn a_sealer_that_fails_changes_nothing_and_a_ring_that_fails_keeps_the_record() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = open(&device, 1);
    let mut notary = Notary { broken: true, ..Notary::default() };
    ring.append(b"one").unwrap();
    assert_eq!(ring.checkpoint(&mut notary), Err(CheckpointError::Sealer("no disk")));
    assert_eq!((ring.sealing(), ring.acked()), (None, 1));
    notary.broken = false;
    ring.append(b"two").unwrap();
    device.disk.borrow_mut().broken = true;
    assert!(matches!(ring.checkpoint(&mut notary), Err(CheckpointError::Ring(Error::Device(_)))));
    assert_eq!(notary.stored, None, "nothing is signed that is not durable");
    device.disk.borrow_mut().broken = false;
    assert_eq!(ring.checkpoint(&mut notary), Ok(1));
    // Broken between signature and record: it goes out with the next commit.
    struct Breaks<'a>(&'a mut Notary, Device);
    impl aegis_ring::Sealer for Breaks<'_> {
        type Error = &'static str;
        fn seal(
            &mut self,
            summary: &aegis_ring::Summary,
            out: &mut [u8],
        ) -> Result<(u64, usize), &'static str> {
            self.1.disk.borrow_mut().broken = true;
            self.0.seal(summary, out)
        }
    }
    assert!(ring.checkpoint(&mut Breaks(&mut notary, device.clone())).is_err());
    assert_eq!(ring.sealing().unwrap().next_epoch, 2);
    device.disk.borrow_mut().broken = false;
    ring.commit().unwrap();
    assert_eq!(open(&device, 2).sealing().unwrap().next_epoch, 2);
    let long = [0; RECORD_BYTES + 1];
    let record = |bytes| Record { certificate: true, next_epoch: 7, segment: 0, bytes };
    assert_eq!(ring.put_record(&record(&long)), Err(Error::RecordTooLong));
    ring.put_record(&record(&long[1..])).unwrap();
    ring.commit().unwrap();
    assert_eq!(open(&device, 2).sealing(), Some(record(&long[1..]).sealing()));
}

#[test]
fn without_flushes_a_cut_may_take_much_but_nothing_is_taken_for_damage() {
    let mut random = Random(4);
    let options = Options { sync: SyncMode::None, ..Options::default() };
    for _ in 0..12 {
        let device = Device::formatted(MIB, 64 << 10);
        let mut platter = Platter::new(device.image());
        let mut ring = with(&device, 1, options);
        let mut notary = Notary::default();
        for _ in 0..60 {
            for _ in 0..random.below(12) {
                ring.append(&payload(ring.next_sequence(), random.below(1025))).unwrap();
            }
            match random.below(40) {
                0 => assert_eq!(ring.flush(), Ok(ring.next_sequence() - 1)),
                1 => drop(ring.checkpoint(&mut notary).unwrap()),
                _ => assert!(ring.commit().unwrap() < ring.next_sequence()),
            }
            // A reader sees what was written, durable or not.
            if random.chance(10) {
                let frames = read_all(device.clone());
                assert!(frames.iter().all(|(sequence, bytes)| *bytes == payload(*sequence, bytes.len())));
                assert!(frames.len() as u64 >= ring.acked());
            }
        }
        let flushes = device.disk.borrow().log.iter().filter(|op| matches!(op, common::Op::Flush)).count();
        assert!(flushes < 40, "{flushes} flushes");
        for op in &device.disk.borrow().log.clone() {
            platter.apply(op);
            let torn = Device::new(platter.cut(|| random.chance(60)));
            let again = with(&torn, 2, options);
            assert_eq!(again.recovery().damaged, None);
            assert_eq!(verified(torn.clone()).last, again.recovery().last_sequence);
        }
        let acked = ring.flush().unwrap();
        assert_eq!(read_all(device.clone()).len() as u64, acked);
        ring.seal().unwrap();
        assert!(with(&device, 2, options).recovery().clean);
    }
}

#[test]
fn without_flushes_a_full_buffer_is_written_and_not_flushed() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = with(&device, 1, Options { sync: SyncMode::None, ..Options::default() });
    device.disk.borrow_mut().log.clear();
    for sequence in 1..=40 {
        ring.append(&payload(sequence, 900)).unwrap();
    }
    let log = device.disk.borrow().log.clone();
    assert!(
        log.len() > 1 && log.iter().all(|op| matches!(op, common::Op::Write { .. })),
        "{} calls",
        log.len()
    );
    assert_eq!(ring.acked(), 0);
    assert!(read_all(device).len() > 10);
}

#[test]
fn what_fills_its_sector_is_flushed_though_nothing_is_pending() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = with(&device, 1, Options { sync: SyncMode::None, ..Options::default() });
    ring.append(&payload(1, 512 - 52)).unwrap();
    assert_eq!((ring.commit(), ring.pending_bytes()), (Ok(0), 0));
    device.disk.borrow_mut().log.clear();
    assert_eq!(ring.flush(), Ok(1));
    assert!(matches!(device.disk.borrow().log[..], [common::Op::Flush]));
    assert_eq!((ring.flush(), device.ops()), (Ok(1), 1));
}

#[test]
fn a_root_that_does_not_fit_the_events_is_found() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = open(&device, 1);
    for _ in 0..3 {
        fill_segment(&mut ring).unwrap();
    }
    ring.commit().unwrap();
    assert_eq!(verified(device.clone()).roots, 3);
    // A header with another root and a good CRC, as a forger would write it: the chain alone does not tell.
    let mut image = device.image();
    let at = 4096 + 2 * (64 << 10);
    image[at + 104] ^= 1;
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&image[at..at + 508]);
    image[at + 508..at + 512].copy_from_slice(&crc.to_le_bytes());
    let forged = Device::new(image);
    assert!(!read_all(forged.clone()).is_empty());
    let found = aegis_ring::verify(forged, &mut [0; 4096]);
    assert!(matches!(found, Err(Error::Corrupted { offset }) if offset < at as u64), "{found:?}");
}
