//! What a device remembers of the bundles it accepted, against rollback.
//!
//! ```text
//! offset length
//!   0     8     magic "AEGISTRU"
//!   8     2     format, 1
//!  10     6     zero
//!  16     8     generation: counts writes; of two good copies the higher one counts
//!  24     8     epoch          32  8  sequence      40  8  highest signed time, Unix seconds
//!  48    32     SHA-256 of the manifest
//!  80    32     SHA-256 of the bundle file
//! 112    12     zero
//! 124     4     CRC32C of bytes 0 to 123
//! ```
//!
//! Integers are little-endian.

use crate::limits::STATE_BYTES;

const MAGIC: [u8; 8] = *b"AEGISTRU";
const FORMAT: u16 = 1;
const SUM_AT: usize = STATE_BYTES - 4;
/// CRC32C (Castagnoli).
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// What a device remembers of the newest bundle it accepted. The default is a new device's: it accepts any sequence of
/// its root's epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrustState {
    /// Counts writes; the next one has one more.
    pub generation: u64,
    /// Epoch of the bundle; 0 on a new device.
    pub epoch: u64,
    /// Sequence of the bundle; 0 on a new device.
    pub sequence: u64,
    /// The highest time that a signature vouched for, Unix seconds: it is at least that late.
    pub time: u64,
    /// SHA-256 of the bundle's manifest: what tells a replay from something else under the same sequence.
    pub manifest: [u8; 32],
    /// SHA-256 of the bundle file.
    pub bundle: [u8; 32],
}

impl TrustState {
    /// One copy, to be written whole.
    pub fn encode(&self) -> [u8; STATE_BYTES] {
        let mut out = [0; STATE_BYTES];
        out[..8].copy_from_slice(&MAGIC);
        out[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        out[16..24].copy_from_slice(&self.generation.to_le_bytes());
        out[24..32].copy_from_slice(&self.epoch.to_le_bytes());
        out[32..40].copy_from_slice(&self.sequence.to_le_bytes());
        out[40..48].copy_from_slice(&self.time.to_le_bytes());
        out[48..80].copy_from_slice(&self.manifest);
        out[80..112].copy_from_slice(&self.bundle);
        let sum = CRC.checksum(&out[..SUM_AT]);
        out[SUM_AT..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads one copy; `None` when it is torn, damaged or not a copy at all.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; STATE_BYTES] = bytes.try_into().ok()?;
        let u64_at = |at: usize| Some(u64::from_le_bytes(bytes[at..at + 8].try_into().ok()?));
        let state = Self {
            generation: u64_at(16)?,
            epoch: u64_at(24)?,
            sequence: u64_at(32)?,
            time: u64_at(40)?,
            manifest: bytes[48..80].try_into().ok()?,
            bundle: bytes[80..112].try_into().ok()?,
        };
        // Magic, format, zeros and checksum are all held by writing it again.
        (state.encode() == *bytes).then_some(state)
    }

    /// The state that two copies hold: the good one with the higher generation; `None` when neither is good. The writer
    /// overwrites the *other* copy, so a torn write leaves the older one.
    pub fn pick(a: &[u8], b: &[u8]) -> Option<Self> {
        // Of equal generations the newer bundle: fail towards refusing.
        let rank = |state: &Self| (state.generation, state.epoch, state.sequence);
        [Self::decode(a), Self::decode(b)].into_iter().flatten().max_by_key(rank)
    }
}
