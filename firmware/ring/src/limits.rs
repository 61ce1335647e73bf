//! The bounds of the ring, in one place.

/// Unit of atomic write: a torn write loses or keeps whole sectors.
pub const SECTOR_BYTES: usize = 512;
/// Unit of layout: superblocks and segments are multiples of it.
pub const BLOCK_BYTES: usize = 4096;

/// Longest payload of a frame. The same number as `aegis_event::limits::EVENT_BYTES`.
pub const PAYLOAD_BYTES: usize = 1024;
/// Bytes of a frame before its payload.
pub const FRAME_HEADER_BYTES: usize = 52;
/// Longest frame.
pub const FRAME_BYTES: usize = FRAME_HEADER_BYTES + PAYLOAD_BYTES;

/// Smallest ring.
pub const RING_BYTES_MIN: u64 = 1 << 20;
/// Largest ring.
pub const RING_BYTES_MAX: u64 = 1 << 40;
/// Smallest segment.
pub const SEGMENT_BYTES_MIN: u32 = 64 << 10;
/// Largest segment: what a recovery has to read, and what one wrap gives up.
pub const SEGMENT_BYTES_MAX: u32 = 64 << 20;
/// Fewest segments of a ring: one is written, one is next to be overwritten, the rest is history.
pub const SEGMENTS_MIN: u64 = 4;
/// Most segments of a ring: a recovery reads one sector of each.
pub const SEGMENTS_MAX: u64 = 1 << 20;

/// Smallest buffer that [`Ring::open`](crate::Ring::open) and [`Reader::open`](crate::Reader::open) take.
/// It holds a segment header and the longest frame from any place in a sector.
pub const BUFFER_BYTES_MIN: usize = 4096;

/// Highest segment number and sequence that are believed; it keeps all arithmetic far from overflow.
pub const NUMBER_MAX: u64 = 1 << 62;

/// Longest sealing record: checkpoint or certificate.
pub const RECORD_BYTES: usize = PAYLOAD_BYTES - RECORD_PREFIX_BYTES;
/// What the ring keeps of a sealing record in front of it: next epoch, segment.
pub const RECORD_PREFIX_BYTES: usize = 16;

/// What a ring that stops keeps of each segment: for what its writer says of itself, for checkpoints and the seal.
pub const RESERVE_BYTES: usize = 16 * SECTOR_BYTES;
/// Of that, for the seal alone.
pub const SEAL_BYTES: usize = 2 * SECTOR_BYTES;

/// Percent of the capacity that events not exported may take before the level is high.
pub const LEVEL_HIGH: u8 = 70;
/// Percent of the capacity that events not exported may take before the level is critical.
pub const LEVEL_CRITICAL: u8 = 90;
/// Percent that a level must be fallen below to be left.
pub const LEVEL_BACK: u8 = 5;
