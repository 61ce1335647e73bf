//! CRC-32C, and the seed that ties a frame to its place and time.

use crc::{CRC_32_ISCSI, Crc, Digest, Table};

/// Sixteen tables: 16 KiB of read-only memory for several bytes a cycle.
static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// CRC-32C of `bytes`.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// The state of a frame's CRC before its first byte: ring id, segment number and boot id went through it.
#[derive(Clone)]
pub(crate) struct Seed(Digest<'static, u32, Table<16>>);

impl Seed {
    pub(crate) fn new(ring_id: &[u8; 16], segment: u64, boot_id: &[u8; 16]) -> Self {
        let mut digest = CRC.digest();
        digest.update(ring_id);
        digest.update(&segment.to_le_bytes());
        digest.update(boot_id);
        Self(digest)
    }

    pub(crate) fn crc32c(&self, bytes: &[u8]) -> u32 {
        let mut digest = self.0.clone();
        digest.update(bytes);
        digest.finalize()
    }
}
