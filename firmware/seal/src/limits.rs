//! Every bound of sealing.

/// Longest payload of a checkpoint or a certificate, bytes.
pub const PAYLOAD_BYTES: usize = 448;
/// Longest sealing record, signature and all, bytes.
pub const RECORD_BYTES: usize = PAYLOAD_BYTES + aegis_cose::limits::SIGN1_OVERHEAD;
/// Longest copy of a state, bytes.
pub const STATE_BYTES: usize = 2 * RECORD_BYTES + 160;

const _: () = assert!(RECORD_BYTES <= aegis_ring::limits::RECORD_BYTES);
