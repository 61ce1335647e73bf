//! The hash chain that ties every event of a ring to all that came before it.

use sha2::{Digest, Sha256};

/// SHA-256 digest, 32 bytes: a head of the chain, or a hash over items.
pub type Hash = [u8; 32];
/// Device, ring or boot id, 16 bytes.
pub type Id = [u8; 16];

/// The head before the first event of a ring: SHA-256 of its id.
pub fn first_head(ring: &Id) -> Hash {
    Sha256::digest(ring).into()
}

/// The head after an event: SHA-256(head before ‖ sequence, 8 bytes big-endian ‖ event bytes).
pub fn next_head(previous: &Hash, sequence: u64, event: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    hasher.update(sequence.to_be_bytes());
    hasher.update(event);
    hasher.finalize().into()
}
