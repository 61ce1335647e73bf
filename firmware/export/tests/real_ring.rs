//! The real ring, in memory: what was appended comes out of an export, damage included.

mod common;

use std::convert::Infallible;

use aegis_export::embedded_io::{ErrorType, Read, Seek, SeekFrom, Write};
use aegis_export::read::{Item, open_item};
use aegis_export::{Ending, Exporter, Request, limits};
use aegis_ring::{FormatOptions, Reader, Ring, format};
use common::{RING, VERSION, created, device, sample};

/// A device that never fails.
struct Disk {
    bytes: Vec<u8>,
    at: usize,
}

impl Disk {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }

    fn stretch(&mut self, length: usize) -> &mut [u8] {
        let end = (self.at + length).min(self.bytes.len());
        let stretch = &mut self.bytes[self.at..end];
        self.at = end;
        stretch
    }
}

impl ErrorType for Disk {
    type Error = Infallible;
}

impl Read for Disk {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        let stretch = self.stretch(out.len());
        out[..stretch.len()].copy_from_slice(stretch);
        Ok(stretch.len())
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let stretch = self.stretch(bytes.len());
        stretch.copy_from_slice(&bytes[..stretch.len()]);
        Ok(stretch.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Seek for Disk {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, Infallible> {
        self.at = match to {
            SeekFrom::Start(at) => usize::try_from(at).expect("small"),
            SeekFrom::End(by) => self.bytes.len().saturating_add_signed(isize::try_from(by).expect("small")),
            SeekFrom::Current(by) => self.at.saturating_add_signed(isize::try_from(by).expect("small")),
        }
        .min(self.bytes.len());
        Ok(self.at as u64)
    }
}

/// A ring of 1 MiB in which each boot appended as many events as it says.
fn disk(boots: &[u64]) -> Vec<u8> {
    let mut disk = Disk::new(vec![0; 1 << 20]);
    let options = FormatOptions { ring_id: RING, bytes: 0, segment_bytes: 0 };
    format(&mut disk, &options).expect("1 MiB is enough");
    let mut next = 1;
    for (boot, count) in boots.iter().enumerate() {
        let mut buffer = vec![0; 64 << 10];
        let mut ring = Ring::open(&mut disk, [boot as u8 + 1; 16], &mut buffer).expect("a good ring");
        for _ in 0..*count {
            assert_eq!(ring.append(&sample(next)).expect("memory does not fail"), next);
            next += 1;
        }
        ring.seal().expect("memory does not fail");
    }
    disk.bytes
}

/// Sequences, events by sequence, and the manifest's gaps, ending and cursor.
type Outcome = (Vec<(u64, Vec<u8>)>, Vec<(u64, u64)>, Ending, u64, u64);

fn export(disk: Vec<u8>, request: Request) -> Outcome {
    let key = device();
    let mut window = vec![0; 64 << 10];
    let reader = Reader::open(Disk::new(disk), &mut window).expect("a good superblock");
    let mut scratch = vec![0; limits::PAYLOAD_BYTES];
    let mut out = vec![0; limits::ITEM_BYTES];
    let mut exporter =
        Exporter::new(&key.sk, reader, request, created(), VERSION, &mut scratch).expect("good request");
    let (mut events, mut last) = (Vec::new(), None);
    while let Some(length) = exporter.next_item(&mut out).expect("buffers suffice") {
        match open_item(&out[..length], &key.pk).expect("own item") {
            Item::Segment(segment) => {
                assert_eq!(segment.chain(), segment.head);
                events.extend(segment.events.map(|(sequence, event)| (sequence, event.to_vec())));
            }
            Item::Manifest(manifest) => {
                let gaps = manifest.gaps.as_slice().to_vec();
                last = Some((gaps, manifest.ending, manifest.resume(), manifest.retained));
            }
            other => panic!("{other:?} of a ring that is not sealed"),
        }
    }
    let (gaps, ending, resume, retained) = last.expect("a manifest");
    (events, gaps, ending, resume, retained)
}

#[test]
fn an_empty_ring() {
    let (events, gaps, ending, resume, _) = export(disk(&[]), Request::from(1));
    assert_eq!((events.len(), gaps.len(), ending, resume), (0, 0, Ending::Complete, 1));
}

#[test]
fn what_was_appended_is_exported_and_then_nothing_more() {
    let disk = disk(&[30, 1, 500]);
    let (events, gaps, ending, resume, _) = export(disk.clone(), Request::from(1));
    let expected: Vec<_> = (1..=531).map(|sequence| (sequence, sample(sequence))).collect();
    assert_eq!(events, expected);
    assert_eq!((gaps.len(), ending, resume), (0, Ending::Complete, 532));
    let (events, _, ending, resume, _) = export(disk.clone(), Request::from(532));
    assert_eq!((events.len(), ending, resume), (0, Ending::Complete, 532));
    let (events, ..) = export(disk, Request { first: 31, last: 32, bytes: u64::MAX });
    assert_eq!(events, expected[30..32]);
}

#[test]
fn a_ring_that_came_round() {
    let (events, gaps, ending, _, retained) = export(disk(&[20_000]), Request::from(1));
    assert!(retained > 1, "the first events are gone");
    assert_eq!(events.first().map(|event| event.0), Some(retained));
    assert_eq!(events.last(), Some(&(20_000, sample(20_000))));
    assert_eq!((gaps.len(), ending), (0, Ending::Complete));
}

#[test]
fn damage_in_the_middle_is_a_gap_and_the_rest_comes() {
    // Three boots are three segments; the second one is damaged in its middle.
    let whole = disk(&[30, 40, 50]);
    let needle = sample(50);
    let at = whole.windows(needle.len()).position(|window| window == needle).expect("event 50 is stored");
    let mut damaged = whole;
    damaged[at + 3] ^= 1;
    let (events, gaps, ending, resume, _) = export(damaged.clone(), Request::from(1));
    assert_eq!((gaps, ending, resume), (vec![(50, 70)], Ending::Complete, 121));
    let expected: Vec<_> = (1..50).chain(71..=120).map(|sequence| (sequence, sample(sequence))).collect();
    assert_eq!(events, expected);
    // Going on from inside the damaged stretch, and from right behind it.
    let (events, gaps, ..) = export(damaged.clone(), Request::from(60));
    assert_eq!((events.len(), gaps), (50, vec![(60, 70)]));
    let (events, gaps, ..) = export(damaged, Request::from(71));
    assert_eq!((events.len(), gaps), (50, vec![]));
}
