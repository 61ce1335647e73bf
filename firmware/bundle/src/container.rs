//! The container: a fixed header and four sections, without a word of CBOR.
//!
//! ```text
//! offset length
//!  0     8      magic "AEGISBDL"
//!  8     2      format, 1
//! 10     2      header length, 64
//! 12     4      manifest length
//! 16     8      total length: header and all sections; the length of the file
//! 24     4      signatures length
//! 28     4      contents length
//! 32    32      zero
//! ```
//!
//! Integers are little-endian. The header is not signed and need not be: every field has only one value that the
//! checks here and the signed manifest leave to it.

use crate::limits::{BUNDLE_BYTES, HEADER_BYTES, MANIFEST_BYTES, SIGNATURES_BYTES};
use crate::refusal::Reason;

const MAGIC: [u8; 8] = *b"AEGISBDL";
const FORMAT: u16 = 1;

/// The sections of a bundle, **unverified**.
#[derive(Clone, Copy, Debug)]
pub struct Sections<'a> {
    /// What is signed.
    pub manifest: &'a [u8],
    /// `COSE_Sign` with a detached payload.
    pub signatures: &'a [u8],
    /// The files, one after the other, as the manifest lists them.
    pub contents: &'a [u8],
}

/// Cuts a bundle into its sections.
///
/// # Errors
/// The reasons that the header alone can give.
pub fn split(bytes: &[u8]) -> Result<Sections<'_>, Reason> {
    let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(Reason::TooShort)?;
    if header[..8] != MAGIC {
        return Err(Reason::BadMagic);
    }
    if field(header, 8, 2) != u64::from(FORMAT) {
        return Err(Reason::UnsupportedFormat);
    }
    if field(header, 10, 2) != HEADER_BYTES as u64 || header[32..] != [0; 32] {
        return Err(Reason::BadHeader);
    }
    let (manifest, total) = (field(header, 12, 4), field(header, 16, 8));
    let (signatures, contents) = (field(header, 24, 4), field(header, 28, 4));
    if total > BUNDLE_BYTES as u64
        || bytes.len() > BUNDLE_BYTES
        || manifest > MANIFEST_BYTES as u64
        || signatures > SIGNATURES_BYTES as u64
    {
        return Err(Reason::TooLarge);
    }
    // Four numbers below 2^32: no overflow.
    if HEADER_BYTES as u64 + manifest + signatures + contents != total {
        return Err(Reason::LengthMismatch);
    }
    match (bytes.len() as u64).cmp(&total) {
        core::cmp::Ordering::Less => return Err(Reason::Truncated),
        core::cmp::Ordering::Greater => return Err(Reason::TrailingBytes),
        core::cmp::Ordering::Equal => {}
    }
    let (manifest, rest) = bytes[HEADER_BYTES..].split_at(manifest as usize);
    let (signatures, contents) = rest.split_at(signatures as usize);
    Ok(Sections { manifest, signatures, contents })
}

fn field(header: &[u8; HEADER_BYTES], at: usize, width: usize) -> u64 {
    header[at..at + width].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Writes a bundle to the front of `out` and returns how many bytes it took; `None` when there is no room or it would
/// be longer than a bundle may be.
#[cfg(feature = "build")]
pub fn assemble(manifest: &[u8], signatures: &[u8], contents: &[&[u8]], out: &mut [u8]) -> Option<usize> {
    let contents_length: usize = contents.iter().map(|file| file.len()).sum();
    let total = HEADER_BYTES + manifest.len() + signatures.len() + contents_length;
    if total > BUNDLE_BYTES || manifest.len() > MANIFEST_BYTES || signatures.len() > SIGNATURES_BYTES {
        return None;
    }
    let out = out.get_mut(..total)?;
    let (header, mut rest) = out.split_at_mut(HEADER_BYTES);
    header.fill(0);
    header[..8].copy_from_slice(&MAGIC);
    header[8..10].copy_from_slice(&FORMAT.to_le_bytes());
    header[10..12].copy_from_slice(&(HEADER_BYTES as u16).to_le_bytes());
    header[12..16].copy_from_slice(&(manifest.len() as u32).to_le_bytes());
    header[16..24].copy_from_slice(&(total as u64).to_le_bytes());
    header[24..28].copy_from_slice(&(signatures.len() as u32).to_le_bytes());
    header[28..32].copy_from_slice(&(contents_length as u32).to_le_bytes());
    for section in [manifest, signatures].iter().chain(contents) {
        let (front, after) = rest.split_at_mut(section.len());
        front.copy_from_slice(section);
        rest = after;
    }
    Some(total)
}

/// The manifest of a bundle, **without any signature checked**: for the office to look at.
///
/// # Errors
/// The reasons that header and manifest alone can give.
#[cfg(feature = "build")]
pub fn manifest_of(bytes: &[u8]) -> Result<crate::Manifest<'_>, Reason> {
    crate::Manifest::decode(split(bytes)?.manifest)
}
