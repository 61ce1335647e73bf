//! `ring`, `ring_export`: recovery, reading and export of a disk that had a life.
//!
//! An input is a life: a shape and a list of things that happen. A ring is at least a MiB, so an image as such would be
//! mostly zeros and its checksums would keep a fuzzer out; what is fuzzed is how it came to be.

mod disk;
mod forge;
mod life;
mod sealer;

use std::cell::RefCell;

use aegis_export::read::{Item, open_item};
use aegis_export::{Created, Exporter, Hash, Policy, Request, limits};
use aegis_ring::limits::{BLOCK_BYTES, FRAME_HEADER_BYTES, SECTOR_BYTES};
use aegis_ring::{
    Books, Entry, Error, Full, Gap, Options, Reader, Record, SyncMode, chain_next, chain_start, kind, verify,
};
use embedded_io::ErrorKind;

use crate::Seed;
use crate::input::Input;
use crate::keys::pair;
use crate::seal;
use disk::{Disk, Handle};
use life::{Life, Past, op};

const RING: [u8; 16] = *b"ring for fuzzing";
/// Bytes of the ring, whatever the disk has.
const RING_BYTES: u64 = 1 << 20;
/// More segments than a ring of that size can have.
const SEGMENTS: u32 = 17;
/// Bytes that readers read ahead.
const SCRATCH: usize = 16 << 10;

type RingError = Error<ErrorKind>;

/// The disk and the ring on it.
#[derive(Clone, Copy, Debug)]
struct Shape {
    segment_bytes: u32,
    /// The disk has more than the ring uses.
    larger: bool,
    options: Options,
}

impl Shape {
    fn read(input: &mut Input<'_>) -> Self {
        let byte = input.u8();
        let segment_bytes = [64, 128, 192, 240][usize::from(byte & 3)] << 10;
        let sync = if byte & 8 == 8 { SyncMode::None } else { SyncMode::WINDOW };
        let full = if byte & 16 == 16 { Full::Stop } else { Full::Overwrite };
        Self { segment_bytes, larger: byte & 4 == 4, options: Options { sync, full, exported: 0 } }
    }

    fn segments(self) -> u64 {
        (RING_BYTES - 2 * BLOCK_BYTES as u64) / u64::from(self.segment_bytes)
    }

    fn segment_sectors(self) -> usize {
        self.segment_bytes as usize / SECTOR_BYTES
    }

    /// First sector of a segment's place.
    fn sector_of(self, place: u64) -> usize {
        BLOCK_BYTES / SECTOR_BYTES + place as usize * self.segment_sectors()
    }

    fn disk_bytes(self) -> usize {
        RING_BYTES as usize + if self.larger { 8192 + 100 } else { 0 }
    }

    /// More frames than a ring of any shape can hold.
    fn frames(self) -> usize {
        self.disk_bytes() / FRAME_HEADER_BYTES
    }
}

/// Writer and readers of any life: no panic, no endless loop, no event that was not written, no loss without a word.
pub fn run(data: &[u8]) -> bool {
    let mut input = Input(data);
    let shape = Shape::read(&mut input);
    let disk = Disk::new(shape.disk_bytes());
    let past = Life::new(shape, &disk).live(&mut input);
    let Ok(read) = read_all(&disk, shape, &past) else {
        assert!(!past.intact(), "a ring that nothing happened to does not open");
        return false;
    };
    if past.intact() {
        assert!(read.whole, "a ring that nothing happened to is damaged");
        let last = read.first + read.sequences.len() as u64 - 1;
        assert!(read.sequences.iter().copied().eq(read.first..=last) && last >= past.acked());
        // Whatever is not there any more was exported, or is counted.
        let (gone, books) = (read.first - 1, read.books);
        assert!(
            books.overwritten <= gone && gone <= books.overwritten + books.exported,
            "{gone} gone: {books:?}"
        );
    }
    !read.sequences.is_empty()
}

/// What a reader found.
struct Found {
    books: Books,
    first: u64,
    sequences: Vec<u64>,
    whole: bool,
}

/// Reads what there is, past all damage, and goes to some of it again.
fn read_all(disk: &RefCell<Disk>, shape: Shape, past: &Past) -> Result<Found, RingError> {
    let mut scratch = vec![0; SCRATCH];
    let mut reader = Reader::open(Handle::new(disk), &mut scratch)?;
    let (books, first) = (reader.books(), reader.first_sequence());
    let mut found = Found { books, first, sequences: Vec::new(), whole: true };
    assert!(past.forged || found.first <= reader.next_sequence());
    let (mut head, mut skips) = (None::<(u64, Hash)>, 0);
    loop {
        match reader.next() {
            Ok(Some(frame)) => {
                past.check(&frame);
                // Without damage in between the chain goes on.
                if let Some((sequence, head)) = head {
                    assert_eq!((frame.sequence, frame.previous), (sequence + 1, head));
                }
                head = Some((frame.sequence, frame.head));
                found.sequences.push(frame.sequence);
                assert!(found.sequences.len() <= shape.frames(), "more frames than fit");
            }
            Ok(None) => break,
            Err(error) => {
                assert!(matches!(error, Error::Corrupted { .. }) || past.forged, "{error:?}");
                assert_eq!(reader.next().err(), Some(error), "the same place says something else");
                (found.whole, head) = (false, None);
                skips += 1;
                assert!(skips <= SEGMENTS, "skips without end");
                if reader.skip()?.is_none() {
                    break;
                }
            }
        }
    }
    if let (true, Some(last)) = (found.whole, found.sequences.last()) {
        assert_eq!(reader.next_sequence(), last + 1);
    }
    for sequence in found.sequences.iter().step_by(1 + found.sequences.len() / 8) {
        let next = match reader.seek(*sequence) {
            Ok(()) => reader.next().map(|frame| frame.map(|frame| frame.sequence)),
            Err(error) => Err(error),
        };
        // Behind damage a way through may be lost, but no way leads elsewhere.
        let elsewhere = matches!(next, Ok(Some(found)) if found != *sequence);
        assert!(next == Ok(Some(*sequence)) || !(found.whole || elsewhere), "{next:?} for {sequence}");
    }
    reader.rewind()?;
    read_marks(&mut reader, &found);
    let verified = verify(Handle::new(disk), &mut scratch);
    assert!(verified.is_ok() || !past.intact(), "{verified:?}");
    if let Ok(verified) = verified {
        let events = found.sequences.len() as u64;
        assert!(
            past.forged || (found.whole && verified.events == events),
            "{verified:?}, {events} events read"
        );
    }
    Ok(found)
}

/// Reads up to the first damage with all marks: the same events, and marks that mean something.
fn read_marks(reader: &mut Reader<'_, Handle<'_>>, found: &Found) {
    let mut events = found.sequences.iter();
    while let Ok(Some(entry)) = reader.next_entry() {
        match entry {
            Entry::Event(frame) => assert_eq!(Some(&frame.sequence), events.next()),
            Entry::Mark(mark) => match mark.kind {
                kind::GAP => {
                    let again = Gap::decode(mark.payload).map(|gap| gap.encode());
                    assert!(again.is_none_or(|again| again == *mark.payload), "two encodings of a gap");
                }
                other => drop(Record::decode(other, mark.payload)),
            },
        }
    }
    assert!(!found.whole || events.next().is_none(), "fewer events with marks than without");
}

/// An export of any life: what the device signs is what the office accepts, and accounts for everything.
pub fn export_run(data: &[u8]) -> bool {
    let mut input = Input(data);
    let shape = Shape::read(&mut input);
    let (first, last) = (u64::from(input.u8()), u64::from(input.u8()));
    let bytes = match input.u16() {
        0 => u64::MAX,
        bytes => u64::from(bytes) + limits::MANIFEST_BYTES as u64,
    };
    let stops = input.u8();
    let disk = Disk::new(shape.disk_bytes());
    let past = Life::new(shape, &disk).live(&mut input);
    let mut scratch = vec![0; SCRATCH];
    let Ok(reader) = Reader::open(Handle::new(&disk), &mut scratch) else {
        assert!(!past.intact(), "a ring that nothing happened to does not open");
        return false;
    };
    let request = Request { first, last, bytes };
    let created = Created { boot: [9; 16], boottime: 1, clock: 2, clock_trusted: false };
    let (mut payload, mut out) = (vec![0; limits::PAYLOAD_BYTES], vec![0; limits::ITEM_BYTES]);
    let certificate = seal::records().0;
    let Ok(exporter) = Exporter::new(&pair(3).sk, reader, request, created, "0.1.0", &mut payload) else {
        return false;
    };
    let mut exporter = exporter
        .with_certificate(if stops & 0x80 == 0 { &certificate } else { &[] })
        .with_policy(Policy { epoch: 1, sequence: 2, hash: [3; 32] })
        .with_first_epoch(u64::from(stops >> 5 & 3));
    let stops = stops & 0x1f;
    let mut items: Vec<Vec<u8>> = Vec::new();
    loop {
        let next = if usize::from(stops) == items.len() + 1 {
            // The stick refuses the item that was given out last.
            exporter.take_back();
            items.pop();
            let manifest = exporter.finish_early(&mut out).expect("the buffers suffice");
            items.extend(manifest.map(|length| out[..length].to_vec()));
            break;
        } else {
            exporter.next_item(&mut out).expect("the buffers suffice")
        };
        let Some(length) = next else { break };
        items.push(out[..length].to_vec());
        assert!(items.len() <= shape.frames(), "items without end");
    }
    let total: usize = items.iter().map(Vec::len).sum();
    assert!(total as u64 <= bytes, "{total} bytes where {bytes} are free");
    check_export(&items, &past);
    true
}

/// The office accepts each item, and the segments are what the manifest says.
fn check_export(items: &[Vec<u8>], past: &Past) {
    let key = &pair(3).pk;
    let opened: Vec<_> = items
        .iter()
        .map(|item| open_item(item, key).unwrap_or_else(|error| panic!("{error:?}: {item:02x?}")))
        .collect();
    let Some((Item::Manifest(manifest), items)) = opened.split_last() else {
        panic!("an export ends in a manifest");
    };
    let (mut events, mut segments, mut checkpoints) = (0, 0, 0);
    let (mut last, mut head) = (None::<u64>, manifest.before);
    for item in items {
        let segment = match item {
            Item::Segment(segment) => segment,
            Item::Checkpoint(checkpoint) => {
                checkpoints += 1;
                assert!(past.forged || last.is_none_or(|last| checkpoint.sequence >= last), "out of place");
                continue;
            }
            Item::Certificate(_) if segments == 0 && checkpoints == 0 => continue,
            other => panic!("{other:?} in the middle"),
        };
        assert_eq!(segment.chain(), segment.head, "the chain of a segment");
        for (sequence, event) in segment.events.clone() {
            past.check_event(sequence, event);
        }
        let follows = last.is_some_and(|last| last + 1 == segment.first);
        assert!(last.is_none_or(|last| last < segment.first), "out of order");
        assert!(!follows || head == Some(segment.previous), "the chain between segments");
        let gap = |from: u64| manifest.gaps.as_slice().contains(&(from, segment.first - 1));
        assert!(last.is_none_or(|last| follows || gap(last + 1)), "a loss without a word");
        events += segment.events.len() as u64;
        segments += 1;
        (last, head) = (Some(segment.last()), Some(segment.head));
    }
    assert_eq!((manifest.events, manifest.segments), (events, segments));
    assert_eq!(manifest.sealed.map_or(0, |sealed| sealed.checkpoints), checkpoints);
    assert_eq!(manifest.last, last.unwrap_or(0));
    if past.intact() {
        assert_eq!(manifest.gaps.total(), 0, "a ring that nothing happened to has gaps");
    }
}

/// Lives: short, long enough to come round, cut, rotten, forged.
pub fn seeds() -> Vec<Seed> {
    let some = [op::APPEND_MANY, 5, 40, op::COMMIT, op::APPEND, 0, 4, op::COMMIT];
    let round = [op::APPEND_MANY, 1, 9, op::COMMIT, op::REOPEN].repeat(18);
    let watched = [
        &some[..],
        &[
            op::WATCH,
            0,
            op::WATCH,
            3,
            op::APPEND_MANY,
            4,
            4,
            op::COMMIT,
            op::REFRESH,
            op::WATCH,
            9,
            op::SEEK,
            2,
        ],
        &[op::WATCH, 1, op::SEAL],
    ]
    .concat();
    let cut = [&some[..], &[op::APPEND_MANY, 9, 200, op::CUT, 0x55, 0, 0, 0, 0, 0, 0, 0], &some].concat();
    let rot = [&some[..], &[op::REOPEN], &some, &[op::FLIP, 9, 0, 30, 0, 1, op::REOPEN], &some].concat();
    let stale = [&round[..], &[op::STALE, 8, 0, 136, 0, op::ZERO, 9, 0, 2, op::REOPEN], &some].concat();
    let forged = [
        &some[..],
        &[op::FORGE_HEADER, 1, 1, 0, 0, 7, 1, 0, op::FORGE_FRAME, 1, 0, 5, 0, 3, 1, 0, 1, 0, 0, 0],
        &[op::FORGE_SUPERBLOCK, 16, 0, 2, 2, 0, op::REOPEN],
        &some,
    ]
    .concat();
    let sealed = [
        &some[..],
        &[op::CHECKPOINT, op::EXPORTED, 2, op::COMMIT, op::SEAL, op::REOPEN, op::APPEND_MANY, 60, 255],
        &[
            op::APPEND_MANY,
            60,
            255,
            op::APPEND_MANY,
            60,
            255,
            op::APPEND_MANY,
            60,
            255,
            op::APPEND_MANY,
            40,
            255,
        ],
        &[op::CHECKPOINT, op::FLUSH, op::REOPEN, op::CHECKPOINT],
    ]
    .concat();
    let lives = [
        ("some", some.to_vec()),
        ("sealed", sealed),
        ("round", round),
        ("watched", watched),
        ("cut", cut),
        ("rot", rot),
        ("stale", stale),
        ("forged", forged),
    ];
    lives.map(|(name, life)| (name, [vec![0], life].concat())).into()
}

/// The same lives, exported whole, in part, and to a stick that refuses.
pub fn export_seeds() -> Vec<Seed> {
    let request = |n: usize| match n % 3 {
        0 => [0, 0, 0, 0, 0],
        1 => [2, 4, 0, 0x40, 0],
        _ => [0, 0, 0, 0, 2],
    };
    seeds()
        .into_iter()
        .enumerate()
        .map(|(n, (name, life))| (name, [&life[..1], &request(n), &life[1..]].concat()))
        .collect()
}

/// The chain before the first event.
fn start() -> Hash {
    chain_start(&RING)
}

/// A frame's link of the chain holds.
fn check_link(frame: &aegis_ring::Frame<'_>) {
    let head = chain_next(&frame.previous, frame.sequence, frame.payload);
    assert_eq!(head, frame.head, "a frame whose link does not hold");
}
