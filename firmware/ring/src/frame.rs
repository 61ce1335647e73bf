//! A frame: one event, or a mark of the ring's own.
//!
//! ```text
//!  0  u32  CRC-32C of (ring id ‖ segment number ‖ boot id ‖ bytes 4 to the end of the payload)
//!  4  u16  length of the payload, 0 to 1024
//!  6  u8   kind
//!  7  u8   0
//!  8  u64  sequence; of a mark: of the last event
//! 16  u32  commit: the sector of the segment in which this frame's commit starts
//! 20  32   head of the chain after this frame; of a mark: unchanged
//! 52       payload
//! ```

use sha2::{Digest, Sha256};

use crate::bytes::{array, put, u16_at, u32_at, u64_at};
use crate::crc::Seed;
use crate::limits::{FRAME_HEADER_BYTES, PAYLOAD_BYTES};
use crate::sha;

/// What a frame is, by its number on disk.
///
/// Numbers from 2 to [`kind::MARK_LAST`] are marks: they have the sequence and head of the last event, and a
/// reader that does not know one passes over it.
pub mod kind {
    /// An event: takes a sequence and a link of the chain.
    pub const EVENT: u8 = 1;
    /// The ring was closed in order; empty payload.
    pub const SEAL: u8 = 2;
    /// A signed checkpoint of the chain: a sealing record (`checkpoint.rs`).
    pub const CHECKPOINT: u8 = 3;
    /// A gap record: [`Gap`](crate::Gap).
    pub const GAP: u8 = 4;
    /// Everything up to a sequence was exported; u64, little-endian.
    pub const EXPORTED: u8 = 5;
    /// The certificate of a first sealing key: a sealing record.
    pub const CERTIFICATE: u8 = 6;
    /// The last number a mark can have.
    pub const MARK_LAST: u8 = 15;
}

/// The chain before the first event: SHA-256 of the ring id.
pub fn chain_start(ring_id: &[u8; 16]) -> [u8; 32] {
    Sha256::digest(ring_id).into()
}

/// The chain after an event: SHA-256 of (`previous` ‖ `sequence` as u64 big-endian ‖ `payload`).
pub fn chain_next(previous: &[u8; 32], sequence: u64, payload: &[u8]) -> [u8; 32] {
    sha::link(previous, sequence.to_be_bytes(), payload)
}

/// The fields of a frame's header, less the CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: u8,
    pub(crate) length: usize,
    pub(crate) sequence: u64,
    pub(crate) commit: u32,
    pub(crate) head: [u8; 32],
}

impl Header {
    /// Writes the frame to the beginning of `out`, which holds at least its length, and returns that.
    pub(crate) fn encode(&self, seed: Seed, payload: &[u8], out: &mut [u8]) -> usize {
        let end = FRAME_HEADER_BYTES + payload.len();
        let frame = &mut out[..end];
        put(frame, 4, &(payload.len() as u16).to_le_bytes());
        frame[6] = self.kind;
        frame[7] = 0;
        put(frame, 8, &self.sequence.to_le_bytes());
        put(frame, 16, &self.commit.to_le_bytes());
        put(frame, 20, &self.head);
        put(frame, FRAME_HEADER_BYTES, payload);
        let crc = seed.crc32c(&frame[4..]);
        put(frame, 0, &crc.to_le_bytes());
        end
    }

    /// The frame at the beginning of `bytes`, if there is one of this seed, whole.
    pub(crate) fn decode(seed: Seed, bytes: &[u8]) -> Option<Self> {
        if bytes.len() < FRAME_HEADER_BYTES {
            return None;
        }
        let length = usize::from(u16_at(bytes, 4));
        let kind = bytes[6];
        if kind == 0 || kind > kind::MARK_LAST || bytes[7] != 0 || length > PAYLOAD_BYTES {
            return None;
        }
        let end = FRAME_HEADER_BYTES + length;
        if bytes.len() < end || seed.crc32c(&bytes[4..end]) != u32_at(bytes, 0) {
            return None;
        }
        Some(Self {
            kind,
            length,
            sequence: u64_at(bytes, 8),
            commit: u32_at(bytes, 16),
            head: array(bytes, 20),
        })
    }
}
