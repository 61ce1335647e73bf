//! A disk in memory: written in whole sectors, with a cache that a power cut takes parts of.

use std::cell::{Cell, RefCell};

use aegis_ring::limits::SECTOR_BYTES;
use embedded_io::{ErrorKind, ErrorType, Read, Seek, SeekFrom, Write};

/// Bytes of the largest disk: the smallest ring there is, and some that don't make a block.
const MOST: usize = (1 << 20) + 8192 + 100;

thread_local! {
    /// Zeros, kept from one input to the next: clearing a MiB for each would be most of the work.
    static SPARE: Cell<Option<Vec<u8>>> = const { Cell::new(None) };
}

/// The disk.
pub(super) struct Disk {
    bytes: Vec<u8>,
    length: usize,
    /// Sectors that were ever written.
    touched: Vec<usize>,
    /// What was there before each sector written since the last flush.
    unflushed: Vec<(usize, [u8; SECTOR_BYTES])>,
    /// Bytes read so far.
    pub(super) read: u64,
}

impl Disk {
    /// All zero.
    pub(super) fn new(length: usize) -> RefCell<Self> {
        let bytes = SPARE.take().unwrap_or_else(|| vec![0; MOST]);
        RefCell::new(Self { bytes, length, touched: Vec::new(), unflushed: Vec::new(), read: 0 })
    }

    /// Sectors that it has.
    pub(super) fn sectors(&self) -> usize {
        self.length / SECTOR_BYTES
    }

    pub(super) fn sector(&self, number: usize) -> [u8; SECTOR_BYTES] {
        let at = number % self.sectors() * SECTOR_BYTES;
        self.bytes[at..at + SECTOR_BYTES].try_into().expect("a sector")
    }

    /// Changes a sector behind the writer's back: durable at once.
    pub(super) fn put(&mut self, number: usize, sector: &[u8; SECTOR_BYTES]) {
        let number = number % self.sectors();
        let at = number * SECTOR_BYTES;
        self.bytes[at..at + SECTOR_BYTES].copy_from_slice(sector);
        self.touched.push(number);
    }

    /// Power is lost: of the sectors not flushed those stay that `stays` names, one bit each, over and over.
    pub(super) fn cut(&mut self, stays: u64) {
        let unflushed = core::mem::take(&mut self.unflushed);
        for (index, (number, before)) in unflushed.iter().enumerate().rev() {
            if stays.rotate_right(index as u32) & 1 == 0 {
                self.put(*number, before);
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for number in &self.touched {
            self.bytes[number * SECTOR_BYTES..][..SECTOR_BYTES].fill(0);
        }
        SPARE.set(Some(core::mem::take(&mut self.bytes)));
    }
}

/// An open disk, with a position of its own.
#[derive(Clone)]
pub(super) struct Handle<'d> {
    disk: &'d RefCell<Disk>,
    position: usize,
}

impl<'d> Handle<'d> {
    pub(super) const fn new(disk: &'d RefCell<Disk>) -> Self {
        Self { disk, position: 0 }
    }
}

impl ErrorType for Handle<'_> {
    type Error = ErrorKind;
}

impl Read for Handle<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        let mut disk = self.disk.borrow_mut();
        let from = self.position.min(disk.length);
        // Short reads are allowed, so make some.
        let length = out.len().min(disk.length - from).min(10_000);
        out[..length].copy_from_slice(&disk.bytes[from..from + length]);
        disk.read += length as u64;
        self.position = from + length;
        Ok(length)
    }
}

impl Write for Handle<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let mut disk = self.disk.borrow_mut();
        assert!(self.position.is_multiple_of(SECTOR_BYTES) && bytes.len().is_multiple_of(SECTOR_BYTES));
        assert!(self.position + bytes.len() <= disk.length, "written behind the end");
        let (sectors, _) = bytes.as_chunks();
        for (number, sector) in (self.position / SECTOR_BYTES..).zip(sectors) {
            let before = disk.sector(number);
            disk.unflushed.push((number, before));
            disk.put(number, sector);
        }
        self.position += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        self.disk.borrow_mut().unflushed.clear();
        Ok(())
    }
}

impl Seek for Handle<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, ErrorKind> {
        let end = self.disk.borrow().length.cast_signed() as i64;
        let position = match to {
            SeekFrom::Start(at) => i64::try_from(at).ok(),
            SeekFrom::End(by) => end.checked_add(by),
            SeekFrom::Current(by) => (self.position.cast_signed() as i64).checked_add(by),
        };
        self.position = position.and_then(|at| usize::try_from(at).ok()).ok_or(ErrorKind::InvalidInput)?;
        Ok(self.position as u64)
    }
}
