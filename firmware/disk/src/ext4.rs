//! What a data partition holds, by its first bytes, and the empty file system that is put there.
//!
//! The superblock is 1024 bytes at byte 1024 (`fs/ext4/ext4.h:struct ext4_super_block`). All that it is known by is in its first
//! sector, which is written at once or not at all. It has no checksum (`^metadata_csum`), so that a new UUID and a new seed for
//! the hashes of directories can be put in.

use crate::limits::{CHUNK_BYTES, EXT4_BLOCK_BYTES, LOOK_BYTES, TEMPLATE_BYTES_MAX};
use crate::{DATA_LABEL, Device};

const SECTOR: usize = 512;
/// Where the superblock is.
const SUPERBLOCK: usize = 1024;
/// Bytes that [`restore`] writes last, and in which the superblock is.
const FIRST: usize = 4096;

const BLOCKS_LOW: usize = 0x04;
const BLOCK_SIZE: usize = 0x18;
const MAGIC: usize = 0x38;
const INCOMPATIBLE: usize = 0x60;
const READ_ONLY_COMPATIBLE: usize = 0x64;
const UUID: usize = 0x68;
const LABEL: usize = 0x78;
const HASH_SEED: usize = 0xec;
const BLOCKS_HIGH: usize = 0x150;
/// `EXT4_FEATURE_INCOMPAT_64BIT`.
const IS_64_BIT: u32 = 0x80;
/// `EXT4_FEATURE_RO_COMPAT_GDT_CSUM` and `…_METADATA_CSUM`: they take in the UUID.
const CHECKSUMS: u32 = 0x10 | 0x400;

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Our file system, by its superblock. Whether it can be mounted is the kernel's to say.
    Ours(FileSystem),
    /// Nothing: zeros, as far as is looked.
    Blank,
    /// Something else.
    Foreign,
}

/// Our file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its block size in bytes.
    pub block_bytes: u64,
    /// Its UUID.
    pub uuid: [u8; 16],
    checksums: bool,
}

/// Why a file system was not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreError<T, E> {
    /// The template can't be read.
    Template(T),
    /// What the image carries is no empty file system of ours.
    NotATemplate,
    /// The partition is smaller than it.
    TooSmall,
    /// The partition can't be written.
    Device(E),
}

impl<T: core::fmt::Display, E: core::fmt::Display> core::fmt::Display for RestoreError<T, E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Template(error) => write!(f, "the image's empty file system: {error}"),
            Self::NotATemplate => f.write_str("the image carries no empty file system"),
            Self::TooSmall => f.write_str("the partition is too small"),
            Self::Device(error) => error.fmt(f),
        }
    }
}

/// Our file system in the first bytes of a partition, if there it is.
pub fn file_system(bytes: &[u8]) -> Option<FileSystem> {
    let superblock = bytes.get(SUPERBLOCK..)?;
    let word = |at: usize| Some(u32::from_le_bytes(*superblock.get(at..)?.first_chunk()?));
    let label = superblock.get(LABEL..LABEL + 16)?;
    let ours = superblock.get(MAGIC..MAGIC + 2)? == [0x53, 0xef]
        && label.strip_prefix(DATA_LABEL.as_bytes())?.iter().all(|byte| *byte == 0);
    let block_bytes =
        1024u64.checked_shl(word(BLOCK_SIZE)?).filter(|bytes| EXT4_BLOCK_BYTES.contains(bytes))?;
    let high = if word(INCOMPATIBLE)? & IS_64_BIT == 0 { 0 } else { word(BLOCKS_HIGH)? };
    let blocks = u64::from(high) << 32 | u64::from(word(BLOCKS_LOW)?);
    let file_system = FileSystem {
        bytes: blocks.checked_mul(block_bytes)?,
        block_bytes,
        uuid: *superblock.get(UUID..)?.first_chunk()?,
        checksums: word(READ_ONLY_COMPATIBLE)? & CHECKSUMS != 0,
    };
    ours.then_some(file_system)
}

/// What a partition holds. One that can't be read is an error, and never blank.
///
/// # Errors
/// The device's.
pub fn content<D: Device>(device: &mut D) -> Result<Content, D::Error> {
    let mut bytes = [0; LOOK_BYTES];
    let length = device.bytes().min(LOOK_BYTES as u64) as usize;
    let bytes = &mut bytes[..length];
    device.read(0, bytes)?;
    Ok(match file_system(bytes) {
        Some(file_system) => Content::Ours(file_system),
        None if bytes.iter().all(|byte| *byte == 0) => Content::Blank,
        None => Content::Foreign,
    })
}

/// Puts the empty file system of the image in place of what is there, with a UUID and a hash seed of its own. The sector that
/// makes it ours comes last, when all else is durable: a cut leaves what is not ours, or all of it.
///
/// # Errors
/// See [`RestoreError`]. Of a template that is none, or too large, nothing is written.
pub fn restore<T: Device, D: Device>(
    template: &mut T,
    device: &mut D,
    uuid: [u8; 16],
    hash_seed: [u8; 16],
) -> Result<FileSystem, RestoreError<T::Error, D::Error>> {
    let mut first = [0; FIRST];
    let length = template.bytes();
    if !(FIRST as u64..=TEMPLATE_BYTES_MAX).contains(&length) || !length.is_multiple_of(FIRST as u64) {
        return Err(RestoreError::NotATemplate);
    }
    template.read(0, &mut first).map_err(RestoreError::Template)?;
    let good = |found: &FileSystem| found.bytes == length && !found.checksums;
    file_system(&first).filter(good).ok_or(RestoreError::NotATemplate)?;
    if length > device.bytes() {
        return Err(RestoreError::TooSmall);
    }
    let key = SUPERBLOCK..SUPERBLOCK + SECTOR;
    first[SUPERBLOCK + UUID..][..16].copy_from_slice(&uuid);
    first[SUPERBLOCK + HASH_SEED..][..16].copy_from_slice(&hash_seed);
    let file_system = file_system(&first).ok_or(RestoreError::NotATemplate)?;
    let mut without = first;
    without[key.clone()].fill(0);
    // First of all what is there is nothing any more: its superblock with our blocks would be neither.
    device.write(0, &without).map_err(RestoreError::Device)?;
    device.flush().map_err(RestoreError::Device)?;
    let mut chunk = [0; CHUNK_BYTES];
    let mut at = FIRST as u64;
    while at < length {
        let some = &mut chunk[..(length - at).min(CHUNK_BYTES as u64) as usize];
        template.read(at, some).map_err(RestoreError::Template)?;
        device.write(at, some).map_err(RestoreError::Device)?;
        at += some.len() as u64;
    }
    device.flush().map_err(RestoreError::Device)?;
    device.write(key.start as u64, &first[key]).map_err(RestoreError::Device)?;
    device.flush().map_err(RestoreError::Device)?;
    Ok(file_system)
}
