//! Where things are: superblocks, segments and their headers.
//!
//! ```text
//! 0               superblock
//! 4096            segment place 0
//! 4096 + size     segment place 1 …
//! bytes - 4096    superblock, the same again
//! ```
//! Superblock, one sector, the rest of its block is zero:
//! ```text
//!   0   8   "AEGISRNG"
//!   8   u32 version, 1
//!  12   u32 segment bytes
//!  16   16  ring id
//!  32   u64 bytes of the ring, both superblocks included
//!  40   u64 generation: the copy with the higher one counts
//!  48       zero
//! 508   u32 CRC-32C of bytes 0 to 507
//! ```
//! Segment header, the first sector of a segment:
//! ```text
//!   0   8   "AEGISSEG"
//!   8   u32 version, 1
//!  12   u32 0
//!  16   16  ring id
//!  32   u64 segment number n: place = n mod segments, wrap = n div segments
//!  40   16  boot id
//!  56   u64 sequence of the first event that can be in it
//!  64   32  head of the chain before it
//!  96   u64 events in the segment before
//! 104   32  their Merkle root; zero when it is not known
//! 136   7×u64 books: exported, overwritten, first and last of the latest range of them, cuts, cut at, damaged
//! 192   u64 next epoch to be sealed
//! 200   32  SHA-256 of the last sealing record; zero when there is none
//! 232   u64 segment that was being written according to that record
//! 240       zero
//! 508   u32 CRC-32C of bytes 0 to 507
//! ```

use crate::books::Books;
use crate::bytes::{array, put, u32_at, u64_at};
use crate::crc::crc32c;
use crate::limits::{
    BLOCK_BYTES, FRAME_HEADER_BYTES, NUMBER_MAX, RING_BYTES_MAX, RING_BYTES_MIN, SECTOR_BYTES,
    SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SEGMENTS_MAX, SEGMENTS_MIN,
};

/// The version of the format that this crate reads and writes.
pub const VERSION: u32 = 1;

pub(crate) const SUPERBLOCK_MAGIC: [u8; 8] = *b"AEGISRNG";
const SEGMENT_MAGIC: [u8; 8] = *b"AEGISSEG";
const BOOKS_AT: usize = 136;
const SEALING_AT: usize = BOOKS_AT + Books::BYTES;
const CRC_AT: usize = SECTOR_BYTES - 4;

pub(crate) type Sector = [u8; SECTOR_BYTES];

/// The shape of a ring on its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Names the ring; part of the chain and of every CRC.
    pub ring_id: [u8; 16],
    /// Bytes of the ring, superblocks included; a multiple of 4096.
    pub bytes: u64,
    /// Bytes of a segment; a multiple of 4096.
    pub segment_bytes: u32,
    /// Segments that fit.
    pub segments: u64,
}

impl Geometry {
    /// The shape of a ring of `bytes`, rounded down to a block, with segments of `segment_bytes`.
    /// `None` when they are out of bounds or don't go together.
    pub fn new(ring_id: [u8; 16], bytes: u64, segment_bytes: u32) -> Option<Self> {
        const BLOCK: u64 = BLOCK_BYTES as u64;
        let bytes = bytes / BLOCK * BLOCK;
        if !(RING_BYTES_MIN..=RING_BYTES_MAX).contains(&bytes)
            || !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&segment_bytes)
            || !u64::from(segment_bytes).is_multiple_of(BLOCK)
        {
            return None;
        }
        let segments = (bytes - 2 * BLOCK) / u64::from(segment_bytes);
        let fits = (SEGMENTS_MIN..=SEGMENTS_MAX).contains(&segments);
        fits.then_some(Self { ring_id, bytes, segment_bytes, segments })
    }

    /// The segment size for a ring of `bytes`: about a 256th of it, a power of two from 64 KiB to 64 MiB. Larger ones
    /// cost fewer flushes, smaller ones give up less at a wrap and at every start of a writer.
    pub fn default_segment_bytes(bytes: u64) -> u32 {
        let target = bytes.min(RING_BYTES_MAX) / 256;
        let size =
            target.next_power_of_two().clamp(u64::from(SEGMENT_BYTES_MIN), u64::from(SEGMENT_BYTES_MAX));
        size as u32
    }

    /// Bytes that hold frames a reader can reach: all segments but the one that is next to be overwritten.
    pub const fn capacity_bytes(&self) -> u64 {
        (self.segments - 1) * self.segment_bytes as u64
    }

    /// Device offset of the second superblock.
    pub(crate) const fn second_superblock(&self) -> u64 {
        self.bytes - BLOCK_BYTES as u64
    }

    /// Device offset of a segment.
    pub(crate) const fn segment_offset(&self, number: u64) -> u64 {
        BLOCK_BYTES as u64 + number % self.segments * self.segment_bytes as u64
    }

    /// The oldest segment that is kept while `newest` is being written. The one before it shares its place
    /// with the next segment: a commit may be tearing it already, so nobody reads it.
    pub(crate) const fn oldest(&self, newest: u64) -> u64 {
        (newest + 2).saturating_sub(self.segments)
    }

    /// More events than a segment can hold.
    pub(crate) const fn segment_events(&self) -> u64 {
        self.segment_bytes as u64 / FRAME_HEADER_BYTES as u64
    }
}

/// A superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) geometry: Geometry,
    pub(crate) generation: u64,
}

impl Superblock {
    pub(crate) fn encode(&self) -> Sector {
        let mut sector = [0; SECTOR_BYTES];
        put(&mut sector, 0, &SUPERBLOCK_MAGIC);
        put(&mut sector, 8, &VERSION.to_le_bytes());
        put(&mut sector, 12, &self.geometry.segment_bytes.to_le_bytes());
        put(&mut sector, 16, &self.geometry.ring_id);
        put(&mut sector, 32, &self.geometry.bytes.to_le_bytes());
        put(&mut sector, 40, &self.generation.to_le_bytes());
        finish(sector)
    }

    pub(crate) fn decode(sector: &Sector) -> Option<Self> {
        check(sector, SUPERBLOCK_MAGIC)?;
        let bytes = u64_at(sector, 32);
        let geometry = Geometry::new(array(sector, 16), bytes, u32_at(sector, 12))?;
        let generation = u64_at(sector, 40);
        (geometry.bytes == bytes && generation <= NUMBER_MAX).then_some(Self { geometry, generation })
    }
}

/// A segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    pub(crate) boot_id: [u8; 16],
    pub(crate) first_sequence: u64,
    pub(crate) previous: [u8; 32],
    /// The events of the segment before, if they are known.
    pub(crate) before: Option<Leaves>,
    pub(crate) books: Books,
    pub(crate) sealing: Option<Sealing>,
}

/// How many events a segment has, and their Merkle root: a leaf is the head of the chain after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaves {
    /// Events.
    pub events: u64,
    /// Root over them.
    pub root: [u8; 32],
}

/// How far a ring is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// The epoch that is to be sealed next.
    pub next_epoch: u64,
    /// SHA-256 of the last sealing record: checkpoint or certificate.
    pub hash: [u8; 32],
    /// The segment that was being written according to that record.
    pub segment: u64,
}

/// What the first sector of a place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack, and there is no heap")]
pub(crate) enum Place {
    /// All zero: not used since format.
    Unused,
    /// The header of a segment of this ring that belongs to this place.
    Segment(SegmentHeader),
    /// Anything else. A sector is written whole or not at all, so no power cut leaves this.
    Damaged,
}

impl SegmentHeader {
    pub(crate) fn encode(&self, ring_id: &[u8; 16]) -> Sector {
        let mut sector = [0; SECTOR_BYTES];
        put(&mut sector, 0, &SEGMENT_MAGIC);
        put(&mut sector, 8, &VERSION.to_le_bytes());
        put(&mut sector, 16, ring_id);
        put(&mut sector, 32, &self.number.to_le_bytes());
        put(&mut sector, 40, &self.boot_id);
        put(&mut sector, 56, &self.first_sequence.to_le_bytes());
        put(&mut sector, 64, &self.previous);
        if let Some(before) = &self.before {
            put(&mut sector, 96, &before.events.to_le_bytes());
            put(&mut sector, 104, &before.root);
        }
        self.books.encode(&mut sector, BOOKS_AT);
        if let Some(sealing) = &self.sealing {
            put(&mut sector, SEALING_AT, &sealing.next_epoch.to_le_bytes());
            put(&mut sector, SEALING_AT + 8, &sealing.hash);
            put(&mut sector, SEALING_AT + 40, &sealing.segment.to_le_bytes());
        }
        finish(sector)
    }

    fn decode(geometry: &Geometry, sector: &Sector) -> Option<Self> {
        check(sector, SEGMENT_MAGIC)?;
        let before = Leaves { events: u64_at(sector, 96), root: array(sector, 104) };
        let sealing = Sealing {
            next_epoch: u64_at(sector, SEALING_AT),
            hash: array(sector, SEALING_AT + 8),
            segment: u64_at(sector, SEALING_AT + 40),
        };
        let header = Self {
            number: u64_at(sector, 32),
            boot_id: array(sector, 40),
            first_sequence: u64_at(sector, 56),
            previous: array(sector, 64),
            before: (before.root != [0; 32]).then_some(before),
            books: Books::decode(sector, BOOKS_AT)?,
            sealing: (sealing.hash != [0; 32]).then_some(sealing),
        };
        let ours = array(sector, 16) == geometry.ring_id
            && header.number <= NUMBER_MAX
            && (1..=NUMBER_MAX).contains(&header.first_sequence)
            && before.events <= geometry.segment_events()
            && sealing.next_epoch <= NUMBER_MAX
            && sealing.segment <= NUMBER_MAX;
        ours.then_some(header)
    }
}

impl Place {
    /// Reads the first sector of `place` (a segment number modulo the segments).
    pub(crate) fn decode(geometry: &Geometry, place: u64, sector: &Sector) -> Self {
        match SegmentHeader::decode(geometry, sector) {
            Some(header) if header.number % geometry.segments == place => Self::Segment(header),
            _ if sector.iter().all(|byte| *byte == 0) => Self::Unused,
            _ => Self::Damaged,
        }
    }
}

fn finish(mut sector: Sector) -> Sector {
    let crc = crc32c(&sector[..CRC_AT]);
    put(&mut sector, CRC_AT, &crc.to_le_bytes());
    sector
}

fn check(sector: &Sector, magic: [u8; 8]) -> Option<()> {
    let good = sector.starts_with(&magic)
        && crc32c(&sector[..CRC_AT]) == u32_at(sector, CRC_AT)
        && u32_at(sector, 8) == VERSION;
    good.then_some(())
}
