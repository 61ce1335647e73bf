//! Every bound of bundles, root metadata, trust state and receipts.

/// Bytes of the fixed header.
pub const HEADER_BYTES: usize = 64;
/// Longest bundle, bytes.
pub const BUNDLE_BYTES: usize = 4 * 1024 * 1024;
/// Longest manifest, bytes.
pub const MANIFEST_BYTES: usize = 4096;
/// Longest signatures section, bytes.
pub const SIGNATURES_BYTES: usize = aegis_cose::limits::SIGN_DETACHED_BYTES;
/// Most device ids that a manifest selects.
pub const DEVICES: usize = 64;
/// Most architectures that a manifest selects.
pub const ARCHITECTURES: usize = 4;
/// Longest name of an architecture, bytes.
pub const ARCHITECTURE_BYTES: usize = 16;
/// Longest comment, bytes.
pub const COMMENT_BYTES: usize = 500;
/// Most keys of one role in root metadata.
pub const KEYS: usize = 16;
/// Most revoked manifests in root metadata.
pub const REVOKED: usize = 32;
/// Longest root metadata, bytes.
pub const ROOT_BYTES: usize = 8192;
/// Bytes of one copy of the trust state.
pub const STATE_BYTES: usize = 128;
/// Longest receipt, bytes.
pub const RECEIPT_BYTES: usize = 512;
/// Longest reason code in a receipt, bytes.
pub const CODE_BYTES: usize = 32;
