//! From the smallest ring to the largest, on a disk that has only what was written: the work to format, open and read
//! is bounded by the shape, not by the contents.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod common;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use aegis_ring::limits::{RING_BYTES_MAX, RING_BYTES_MIN, SECTOR_BYTES};
use aegis_ring::{FormatOptions, Full, Geometry, Options, Reader, Ring, SyncMode, format};
use common::{RING_ID, boot, payload};
use embedded_io::{ErrorKind, ErrorType, Read, Seek, SeekFrom, Write};

type Sector = [u8; SECTOR_BYTES];

#[derive(Default)]
struct Disk {
    sectors: HashMap<u64, Sector>,
    read: u64,
    written: u64,
}

/// Sectors that are not zero, and how much was asked for.
#[derive(Clone)]
struct Sparse {
    disk: Rc<RefCell<Disk>>,
    bytes: u64,
    position: u64,
}

impl Sparse {
    fn new(bytes: u64) -> Self {
        Self { disk: Rc::default(), bytes, position: 0 }
    }

    /// Bytes read and written by `work`.
    fn measure<T>(&self, work: impl FnOnce(Self) -> T) -> (T, u64, u64) {
        let before = (self.disk.borrow().read, self.disk.borrow().written);
        let done = work(self.clone());
        let disk = self.disk.borrow();
        (done, disk.read - before.0, disk.written - before.1)
    }
}

impl ErrorType for Sparse {
    type Error = ErrorKind;
}

impl Read for Sparse {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        let mut disk = self.disk.borrow_mut();
        assert!(self.position + out.len() as u64 <= self.bytes, "read behind the end");
        assert!(self.position.is_multiple_of(SECTOR_BYTES as u64) && out.len().is_multiple_of(SECTOR_BYTES));
        for (sector, number) in out.chunks_mut(SECTOR_BYTES).zip(self.position / SECTOR_BYTES as u64..) {
            sector.copy_from_slice(disk.sectors.get(&number).unwrap_or(&[0; SECTOR_BYTES]));
        }
        disk.read += out.len() as u64;
        self.position += out.len() as u64;
        Ok(out.len())
    }
}

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let mut disk = self.disk.borrow_mut();
        assert!(self.position + bytes.len() as u64 <= self.bytes, "written behind the end");
        assert!(self.position.is_multiple_of(SECTOR_BYTES as u64));
        let (sectors, []) = bytes.as_chunks::<SECTOR_BYTES>() else { panic!("half a sector") };
        for (sector, number) in sectors.iter().zip(self.position / SECTOR_BYTES as u64..) {
            if *sector == [0; SECTOR_BYTES] {
                disk.sectors.remove(&number);
            } else {
                disk.sectors.insert(number, *sector);
            }
        }
        disk.written += bytes.len() as u64;
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Seek for Sparse {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, ErrorKind> {
        self.position = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => self.bytes.checked_add_signed(by).ok_or(ErrorKind::InvalidInput)?,
            SeekFrom::Current(by) => self.position.checked_add_signed(by).ok_or(ErrorKind::InvalidInput)?,
        };
        Ok(self.position)
    }
}

const BUFFER: usize = 16 << 10;

/// What opening may read: one sector of each place three times, the newest segment three times and a third more for
/// reading ahead, both superblocks.
fn most_read(geometry: &Geometry) -> u64 {
    3 * geometry.segments * SECTOR_BYTES as u64
        + 4 * u64::from(geometry.segment_bytes)
        + 2 * SECTOR_BYTES as u64
}

/// Fills so many segments, leaves the last one without a seal, and opens what is there. 0: a few events.
fn run(bytes: u64, segment_bytes: u32, segments: u64) {
    let disk = Sparse::new(bytes);
    let options = FormatOptions { ring_id: RING_ID, bytes: 0, segment_bytes };
    let (geometry, read, written) = disk.measure(|disk| format(disk, &options).unwrap());
    let what = format!("{bytes} bytes, {} segments of {}", geometry.segments, geometry.segment_bytes);
    assert_eq!(
        (geometry.bytes, geometry.segments * u64::from(geometry.segment_bytes) < bytes),
        (bytes, true)
    );
    assert!(
        read < 1 << 14 && written <= (geometry.segments + 4) << 12,
        "{what}: {read} read, {written} written"
    );

    let unflushed = Options { sync: SyncMode::None, full: Full::Overwrite, exported: 0 };
    let (mut ring, read, written) =
        disk.measure(|disk| Ring::open_with(disk, boot(1), vec![0; BUFFER].leak(), unflushed).unwrap());
    assert!(read <= most_read(&geometry) && written == 0, "{what}: {read} read, {written} written");
    let event = payload(1, 1024);
    let size = u64::from(geometry.segment_bytes);
    let target = segments.saturating_mul(size).saturating_sub(2 * BUFFER as u64).max(BUFFER as u64);
    let at = |ring: &Ring<'_, Sparse>| ring.stats().segment * size + ring.stats().used_bytes % size;
    while at(&ring) < target {
        ring.append(&event).unwrap();
    }
    let last = ring.flush().unwrap();
    assert_eq!(ring.stats().wraps, segments.saturating_sub(1) / geometry.segments);
    let first = ring.stats().first_sequence;
    assert_eq!(first > 1, segments >= geometry.segments, "{what}: from {first}");
    drop(ring);

    let (recovery, read, written) = disk.measure(|disk| {
        Ring::open_with(disk, boot(2), vec![0; BUFFER].leak(), unflushed).unwrap().recovery()
    });
    assert_eq!(
        (recovery.first_sequence, recovery.last_sequence, recovery.damaged),
        (first, last, None),
        "{what}"
    );
    assert!(read <= most_read(&geometry) && written == 0, "{what}: {read} of {} read", most_read(&geometry));
    // A reader opens as the writer does, and goes to any place by a few headers and one segment.
    let mut scratch = vec![0; BUFFER];
    let (mut reader, read, _) = disk.measure(|disk| Reader::open(disk, &mut scratch).unwrap());
    assert!(read <= most_read(&geometry), "{what}: {read} read");
    for sequence in [first, first.midpoint(last), last] {
        let ((), read, written) = disk.measure(|_| {
            reader.seek(sequence).unwrap();
            assert_eq!(reader.next().unwrap().unwrap().sequence, sequence, "{what}");
        });
        let most = 2 * u64::from(geometry.segment_bytes) + (64 * SECTOR_BYTES + 2 * BUFFER) as u64;
        assert!(read <= most && written == 0, "{what}: {read} read to find {sequence}");
    }
}

#[test]
fn work_is_bounded_from_the_smallest_ring_to_the_largest() {
    // The smallest one comes round, twice; of the others a segment or two are full: a disk of a TiB is not filled in a test.
    for (shift, segments) in
        [(20, 40), (21, 3), (24, 3), (28, 3), (30, 2), (31, 1), (34, 0), (36, 0), (38, 0), (39, 0), (40, 1)]
    {
        let bytes = 1u64 << shift;
        assert!((RING_BYTES_MIN..=RING_BYTES_MAX).contains(&bytes));
        run(bytes, 0, segments);
    }
}

#[test]
fn work_is_bounded_with_as_many_segments_as_there_can_be() {
    run(RING_BYTES_MAX, 1 << 20, 2);
}
