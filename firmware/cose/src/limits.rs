//! Every bound of the COSE subset.

/// Most signatures in one `COSE_Sign`. Fits the short form of a CBOR array head.
pub const SIGNERS: usize = 16;
/// Bytes of a key id.
pub const KID_BYTES: usize = 8;
/// Bytes of a public key (RFC 8032).
pub const PUBLIC_KEY_BYTES: usize = 32;
/// Bytes of a signature (RFC 8032).
pub const SIGNATURE_BYTES: usize = 64;
/// What [`crate::sign1`] needs of `out` beyond the payload, bytes. It covers the larger of message and
/// `Sig_structure`, both of which are built there.
pub const SIGN1_OVERHEAD: usize = 96;
/// Bytes of one signer in a `COSE_Sign`: `[protected, {}, signature]`.
pub const SIGNER_BYTES: usize = 1 + PROTECTED_BYTES + 1 + 2 + SIGNATURE_BYTES;
/// Longest `COSE_Sign` with a detached payload, bytes.
pub const SIGN_DETACHED_BYTES: usize = 7 + SIGNERS * SIGNER_BYTES;
/// Bytes of the protected header with its byte-string head.
pub(crate) const PROTECTED_BYTES: usize = 6 + KID_BYTES;
