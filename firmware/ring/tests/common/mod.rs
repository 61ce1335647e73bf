//! A simulated disk with a write cache, and what the tests of the ring share.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::should_implement_trait,
    clippy::cast_possible_wrap,
    reason = "each test binary uses a part of it"
)]

use std::cell::RefCell;
use std::rc::Rc;

use aegis_ring::{
    Entry, FormatOptions, Gap, Reader, Record, Ring, Sealer, Summary, Verified, format, verify,
};
use embedded_io::{ErrorKind, ErrorType, Read, Seek, SeekFrom, Write};

pub const SECTOR: usize = 512;
pub const RING_ID: [u8; 16] = *b"ring for testing";
pub const MIB: usize = 1 << 20;

/// `SplitMix64`: seeds are printed by the tests that fail.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let words = length.div_ceil(8);
        let mut bytes: Vec<u8> = (0..words).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(length);
        bytes
    }
}

/// What the device was asked to do.
#[derive(Clone)]
pub enum Op {
    Write {
        offset: usize,
        bytes: Vec<u8>,
    },
    Flush,
    /// The flush failed: some sectors reached the platter, the others never will although reads show them.
    FailedFlush {
        seed: u64,
    },
}

/// What of the writes would be there after a power cut.
#[derive(Clone)]
pub struct Platter {
    pub durable: Vec<u8>,
    pub volatile: Vec<(usize, Vec<u8>)>,
}

impl Platter {
    pub fn new(durable: Vec<u8>) -> Self {
        Self { durable, volatile: Vec::new() }
    }

    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Write { offset, bytes } => {
                for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                    self.volatile.push((offset + index * SECTOR, sector.to_vec()));
                }
            }
            Op::Flush => self.lose_some(|| true),
            Op::FailedFlush { seed } => {
                let mut random = Random(*seed);
                self.lose_some(|| random.chance(50));
            }
        }
    }

    /// The disk after a cut: of the sectors not flushed those that `keep` says, whatever their order.
    pub fn cut(&self, keep: impl FnMut() -> bool) -> Vec<u8> {
        let mut after = self.clone();
        after.lose_some(keep);
        after.durable
    }

    fn lose_some(&mut self, mut keep: impl FnMut() -> bool) {
        for (offset, sector) in self.volatile.drain(..) {
            if keep() {
                self.durable[offset..offset + SECTOR].copy_from_slice(&sector);
            }
        }
    }
}

#[derive(Default)]
pub struct Disk {
    pub bytes: Vec<u8>,
    pub log: Vec<Op>,
    pub reads: usize,
    /// Percent of writes and flushes that fail.
    pub failing: usize,
    pub random: Option<Random>,
    /// Every write and flush fails from now on.
    pub broken: bool,
    /// The writer is killed when it flushes: what it wrote stays in the cache.
    pub killed: bool,
}

/// A handle to a disk; clones are further handles, each with its own position.
#[derive(Clone)]
pub struct Device {
    pub disk: Rc<RefCell<Disk>>,
    position: usize,
}

impl Device {
    pub fn new(bytes: Vec<u8>) -> Self {
        let disk = Disk { bytes, random: Some(Random(1)), ..Disk::default() };
        Self { disk: Rc::new(RefCell::new(disk)), position: 0 }
    }

    pub fn formatted(bytes: usize, segment_bytes: u32) -> Self {
        let device = Self::new(vec![0; bytes]);
        format(device.clone(), &FormatOptions { ring_id: RING_ID, bytes: 0, segment_bytes }).expect("format");
        device.disk.borrow_mut().log.clear();
        device
    }

    pub fn image(&self) -> Vec<u8> {
        self.disk.borrow().bytes.clone()
    }

    pub fn ops(&self) -> usize {
        self.disk.borrow().log.len()
    }
}

impl ErrorType for Device {
    type Error = ErrorKind;
}

impl Read for Device {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        let mut disk = self.disk.borrow_mut();
        disk.reads += 1;
        let from = self.position.min(disk.bytes.len());
        // Short reads are allowed, so make some.
        let length = out.len().min(disk.bytes.len() - from).min(40_000);
        out[..length].copy_from_slice(&disk.bytes[from..from + length]);
        self.position = from + length;
        Ok(length)
    }
}

impl Write for Device {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let mut guard = self.disk.borrow_mut();
        let disk = &mut *guard;
        assert!(self.position.is_multiple_of(SECTOR) && bytes.len().is_multiple_of(SECTOR), "half a sector");
        let random = disk.random.as_mut().expect("set by new");
        let fails = disk.broken || random.chance(disk.failing);
        let taken = if fails { random.below(bytes.len() / SECTOR) * SECTOR } else { bytes.len() };
        let to = self.position;
        assert!(to + bytes.len() <= disk.bytes.len(), "write behind the end");
        disk.bytes[to..to + taken].copy_from_slice(&bytes[..taken]);
        disk.log.push(Op::Write { offset: to, bytes: bytes[..taken].to_vec() });
        self.position += taken;
        if fails { Err(ErrorKind::Other) } else { Ok(taken) }
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        let mut guard = self.disk.borrow_mut();
        let disk = &mut *guard;
        if disk.killed {
            return Err(ErrorKind::Interrupted);
        }
        let random = disk.random.as_mut().expect("set by new");
        if disk.broken || random.chance(disk.failing) {
            let seed = random.next();
            disk.log.push(Op::FailedFlush { seed });
            return Err(ErrorKind::Other);
        }
        disk.log.push(Op::Flush);
        Ok(())
    }
}

impl Seek for Device {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, ErrorKind> {
        let end = self.disk.borrow().bytes.len() as i64;
        let position = match to {
            SeekFrom::Start(n) => n as i64,
            SeekFrom::End(n) => end + n,
            SeekFrom::Current(n) => self.position as i64 + n,
        };
        self.position = usize::try_from(position).map_err(|_| ErrorKind::InvalidInput)?;
        Ok(self.position as u64)
    }
}

pub fn boot(number: u64) -> [u8; 16] {
    let mut id = [0xb0; 16];
    id[..8].copy_from_slice(&number.to_le_bytes());
    id
}

/// A payload that tells where it belongs.
pub fn payload(sequence: u64, length: usize) -> Vec<u8> {
    Random(sequence).bytes(length)
}

pub fn open(device: &Device, number: u64) -> Ring<'static, Device> {
    Ring::open(device.clone(), boot(number), vec![0; 16 << 10].leak()).expect("open")
}

pub type Stored = (u64, Vec<u8>);
pub type Failure = aegis_ring::Error<ErrorKind>;

/// Reads from `from` (0: from the first) to the end or the first error.
pub fn read_from(device: Device, from: u64) -> Result<(Vec<Stored>, Option<Failure>), Failure> {
    let mut scratch = vec![0; 8 << 10];
    let mut reader = Reader::open(device, &mut scratch)?;
    if from > 0 {
        reader.seek(from)?;
    }
    let mut frames = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(frame)) => {
                let head = aegis_ring::chain_next(&frame.previous, frame.sequence, frame.payload);
                assert_eq!(head, frame.head, "a frame whose link does not hold was returned");
                frames.push((frame.sequence, frame.payload.to_vec()));
            }
            Ok(None) => return Ok((frames, None)),
            Err(error) => return Ok((frames, Some(error))),
        }
    }
}

/// Reads all of a ring that must be whole.
pub fn read_all(device: Device) -> Vec<Stored> {
    let (frames, error) = read_from(device, 0).expect("reader opens");
    assert_eq!(error, None, "the ring is not whole");
    frames
}

/// A sealer without keys: its records say what they are about. `stored` is what its own disk has.
#[derive(Clone, Default)]
pub struct Notary {
    pub stored: Option<Stamp>,
    /// It can't store anything.
    pub broken: bool,
}

/// The last record of a [`Notary`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub next_epoch: u64,
    pub segment: u64,
    pub bytes: Vec<u8>,
}

impl Notary {
    fn next_epoch(&self) -> u64 {
        self.stored.as_ref().map_or(0, |stamp| stamp.next_epoch)
    }

    /// Hands the ring the record that it does not have, if there is one.
    pub fn redo(&self, ring: &mut Ring<'_, Device>) -> Result<bool, Failure> {
        let Some(stamp) = &self.stored else { return Ok(false) };
        let Stamp { next_epoch, segment, bytes } = stamp;
        let record = Record { certificate: false, next_epoch: *next_epoch, segment: *segment, bytes };
        let missing = ring.sealing() != Some(record.sealing());
        if missing {
            ring.put_record(&record)?;
        }
        Ok(missing)
    }
}

impl Sealer for Notary {
    type Error = &'static str;

    fn seal(&mut self, summary: &Summary, out: &mut [u8]) -> Result<(u64, usize), &'static str> {
        if self.broken {
            return Err("no disk");
        }
        let text = format!("{} {summary:?}", self.next_epoch());
        let bytes = text.as_bytes()[..text.len().min(500)].to_vec();
        out[..bytes.len()].copy_from_slice(&bytes);
        let (next_epoch, length) = (self.next_epoch() + 1, bytes.len());
        self.stored = Some(Stamp { next_epoch, segment: summary.segment, bytes });
        Ok((next_epoch, length))
    }
}

/// Everything that a reader meets, marks by their kind.
pub fn entries(device: Device) -> Vec<(u8, u64)> {
    let mut scratch = vec![0; 8 << 10];
    let mut reader = Reader::open(device, &mut scratch).expect("reader opens");
    let mut found = Vec::new();
    loop {
        match reader.next_entry().expect("the ring is whole") {
            Some(Entry::Event(frame)) => found.push((aegis_ring::kind::EVENT, frame.sequence)),
            Some(Entry::Mark(mark)) => found.push((mark.kind, mark.sequence)),
            None => return found,
        }
    }
}

/// The gap records that a reader meets.
pub fn gaps(device: Device) -> Vec<Gap> {
    let mut scratch = vec![0; 8 << 10];
    let mut reader = Reader::open(device, &mut scratch).expect("reader opens");
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().expect("the ring is whole") {
        if let Entry::Mark(mark) = entry
            && mark.kind == aegis_ring::kind::GAP
        {
            found.push(Gap::decode(mark.payload).expect("a gap record"));
        }
    }
    found
}

/// Checks the ring as a whole, Merkle roots too.
pub fn verified(device: Device) -> Verified {
    verify(device, &mut vec![0; 8 << 10]).expect("the ring is whole")
}
