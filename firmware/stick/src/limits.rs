//! Every bound of the label reader.

/// What is read at once, bytes.
pub const SECTOR_BYTES: usize = 512;
/// Longest label, bytes: that of iso9660.
pub const LABEL_BYTES: usize = 32;
/// How much of a root directory is looked through for a label, sectors of [`SECTOR_BYTES`]: 2,048 entries. Tools write it
/// as one of the first.
pub const DIRECTORY_SECTORS: u32 = 128;
/// Most volume descriptors of an iso9660 that are looked at.
pub const DESCRIPTORS: u64 = 16;
/// Most reads that one label takes: the boot sector, and for each sector of a directory one of its own and one of the FAT.
pub const READS: u32 = 1 + 2 * DIRECTORY_SECTORS;
