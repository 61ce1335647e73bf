//! Every bound of this crate.

/// Longest command that is sent, bytes: `TPM2_Create` with its templates is 170.
pub const COMMAND_BYTES: usize = 320;
/// Longest response that is taken, bytes. The longest that is expected is `TPM2_Create`'s, some 450.
pub const RESPONSE_BYTES: usize = 1024;
/// PCRs of a TPM of a PC (PC Client Platform TPM Profile 1.05, 4.6).
pub const PCRS: usize = 24;
/// The sealed key's public area, bytes: some 80.
pub const PUBLIC_BYTES: usize = 128;
/// Its private area, bytes: some 190, by the TPM's own encryption.
pub const PRIVATE_BYTES: usize = 256;
/// A sealed key as it is kept, bytes.
pub const SEALED_BYTES: usize = 8 + 2 + PUBLIC_BYTES + 2 + PRIVATE_BYTES;
/// Longest nonce, HMAC, name or digest in a response, bytes: SHA-512's, and the algorithm before a name.
pub const DIGEST_BYTES: usize = 2 + 64;
