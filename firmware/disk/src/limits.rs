//! Every bound of this crate.

/// Bytes of a partition's entry, and most entries of a table: what UEFI 2.10, 5.3.1, asks for at least, and what every tool writes.
pub const ENTRY_BYTES: usize = 128;
/// See [`ENTRY_BYTES`].
pub const ENTRIES: usize = 128;
/// Largest array of entries, bytes.
pub const ARRAY_BYTES: usize = ENTRY_BYTES * ENTRIES;
/// Logical blocks that a disk may have, bytes; powers of two.
pub const BLOCK_BYTES_MIN: u32 = 512;
/// See [`BLOCK_BYTES_MIN`].
pub const BLOCK_BYTES_MAX: u32 = 4096;

/// Partitions begin and end on multiples of this, bytes.
pub const ALIGN_BYTES: u64 = 1 << 20;
/// Least ring, bytes.
pub const RING_BYTES_MIN: u64 = 16 << 20;
/// Largest ring, bytes: it is opened in less than a second (`docs/ring.md`).
pub const RING_BYTES_MAX: u64 = 4 << 30;
/// The ring's share of the room that there is for both: one part of this many.
pub const RING_SHARE: u64 = 8;
/// Least data partition, bytes: the file system that the image carries, and room to live.
pub const DATA_BYTES_MIN: u64 = 32 << 20;

/// How much of a new partition is wiped at its beginning and its end, bytes: every file system and every ring is known by less.
pub const WIPE_BYTES: u64 = 256 * 1024;
/// How much of a partition is looked at to call it blank, bytes.
pub const LOOK_BYTES: usize = 16 * 1024;
/// Bytes that are moved at once.
pub const CHUNK_BYTES: usize = 16 * 1024;
/// Largest file system that the image may carry, bytes.
pub const TEMPLATE_BYTES_MAX: u64 = 64 << 20;
/// Block sizes of an ext4, bytes; powers of two.
pub const EXT4_BLOCK_BYTES: core::ops::RangeInclusive<u64> = 1024..=65_536;
/// Sectors of a directory that are looked at: as many as a FAT's may have, 65,536 entries of 32 bytes.
pub const DIRECTORY_SECTORS: u32 = 4096;
