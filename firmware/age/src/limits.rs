//! Every bound of age files, used by writer, reader, tests and `docs/formats/encryption.md`.

/// Most recipients of a file that is written.
pub const RECIPIENTS: usize = 8;
/// Most identities that a file is tried with.
pub const IDENTITIES: usize = 64;
/// Longest header that is read, bytes: more than sixty X25519 recipients.
pub const HEADER_BYTES: usize = 8192;
/// Plain bytes of a chunk; the last one may have fewer.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// What encryption adds to a chunk, bytes.
pub const TAG_BYTES: usize = 16;
/// A whole chunk, encrypted.
pub const SEALED_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
/// The key that a file is encrypted with, bytes.
pub const FILE_KEY_BYTES: usize = 16;
/// What stands between header and chunks, bytes.
pub const NONCE_BYTES: usize = 16;
/// An X25519 stanza: `-> X25519 SHARE`, the wrapped file key, their line feeds.
pub const STANZA_BYTES: usize = 10 + 43 + 1 + 43 + 1;
/// Longest beginning of a file that is written, up to the first chunk: version, stanzas, MAC, nonce.
pub const FRONT_BYTES: usize = 22 + RECIPIENTS * STANZA_BYTES + 48 + NONCE_BYTES;
/// A recipient as text, bytes.
pub const RECIPIENT_TEXT_BYTES: usize = 62;
/// An identity as text, bytes.
pub const IDENTITY_TEXT_BYTES: usize = 74;
const _: () = assert!(HEADER_BYTES < SEALED_BYTES);
