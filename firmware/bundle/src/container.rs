//! The container: a fixed header and four sections, without a word of CBOR.
//!
//! ```text
//! offset length
//!  0     8      magic "AEGISBDL"; of an image "AEGISIMG", of a workload "AEGISWLD"
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

use crate::limits::{
    BUNDLE_BYTES, HEADER_BYTES, IMAGE_BYTES, MANIFEST_BYTES, SIGNATURES_BYTES, WORKLOAD_BYTES,
};
use crate::refusal::Reason;

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

/// What a container carries: they differ in their magic and in how long they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// A policy: a bundle.
    Policy,
    /// An image of the system.
    Image,
    /// A workload.
    Workload,
}

impl Container {
    const fn magic(self) -> [u8; 8] {
        match self {
            Self::Policy => *b"AEGISBDL",
            Self::Image => *b"AEGISIMG",
            Self::Workload => *b"AEGISWLD",
        }
    }

    /// Its longest file, bytes.
    pub const fn most(self) -> u64 {
        match self {
            Self::Policy => BUNDLE_BYTES as u64,
            Self::Image => IMAGE_BYTES,
            Self::Workload => WORKLOAD_BYTES,
        }
    }

    /// What a file begins as; `None` when it is no container.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        [Self::Policy, Self::Image, Self::Workload].into_iter().find(|kind| bytes.starts_with(&kind.magic()))
    }

    /// Bounds and lengths of the sections of a file that is `length` bytes long and begins with `front`.
    fn lengths(self, front: &[u8], length: u64) -> Result<Lengths, Reason> {
        let header: &[u8; HEADER_BYTES] = front.first_chunk().ok_or(Reason::TooShort)?;
        if header[..8] != self.magic() {
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
        if total > self.most()
            || length > self.most()
            || manifest > MANIFEST_BYTES as u64
            || signatures > SIGNATURES_BYTES as u64
        {
            return Err(Reason::TooLarge);
        }
        // Four numbers below 2^32: no overflow.
        if HEADER_BYTES as u64 + manifest + signatures + contents != total {
            return Err(Reason::LengthMismatch);
        }
        match length.cmp(&total) {
            core::cmp::Ordering::Less => return Err(Reason::Truncated),
            core::cmp::Ordering::Greater => return Err(Reason::TrailingBytes),
            core::cmp::Ordering::Equal => {}
        }
        Ok(Lengths { manifest: manifest as usize, signatures: signatures as usize, contents })
    }
}

struct Lengths {
    manifest: usize,
    signatures: usize,
    contents: u64,
}

/// Cuts a bundle into its sections.
///
/// # Errors
/// The reasons that the header alone can give.
pub fn split(bytes: &[u8]) -> Result<Sections<'_>, Reason> {
    let lengths = Container::Policy.lengths(bytes, bytes.len() as u64)?;
    let (manifest, rest) = bytes[HEADER_BYTES..].split_at(lengths.manifest);
    let (signatures, contents) = rest.split_at(lengths.signatures);
    Ok(Sections { manifest, signatures, contents })
}

/// The sections of an image or a workload that fit in memory, **unverified**, and where the others are.
#[derive(Clone, Copy, Debug)]
pub struct FrontSections<'a> {
    /// What is signed.
    pub manifest: &'a [u8],
    /// `COSE_Sign` with a detached payload.
    pub signatures: &'a [u8],
    /// Where in the file the contents begin.
    pub contents_at: u64,
    /// How long they are, bytes.
    pub contents_length: u64,
}

/// Cuts the front of a file of this kind, which is `length` bytes long, into its sections. [`limits::FRONT_BYTES`] of it, or
/// all of a shorter one, are enough.
///
/// # Errors
/// The reasons that the header alone can give.
///
/// [`limits::FRONT_BYTES`]: crate::limits::FRONT_BYTES
pub fn split_front(kind: Container, front: &[u8], length: u64) -> Result<FrontSections<'_>, Reason> {
    let lengths = kind.lengths(front, length)?;
    let (manifest, rest) =
        front[HEADER_BYTES..].split_at_checked(lengths.manifest).ok_or(Reason::Truncated)?;
    let signatures = rest.get(..lengths.signatures).ok_or(Reason::Truncated)?;
    let contents_at = (HEADER_BYTES + lengths.manifest + lengths.signatures) as u64;
    Ok(FrontSections { manifest, signatures, contents_at, contents_length: lengths.contents })
}

fn field(header: &[u8; HEADER_BYTES], at: usize, width: usize) -> u64 {
    header[at..at + width].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Writes header, manifest and signatures to the front of `out`: what comes before so many bytes of contents. Returns how
/// many bytes it took; `None` when there is no room or the whole would be longer than it may be.
#[cfg(feature = "build")]
pub fn assemble_front(
    kind: Container,
    manifest: &[u8],
    signatures: &[u8],
    contents_length: u64,
    out: &mut [u8],
) -> Option<usize> {
    let front = HEADER_BYTES + manifest.len() + signatures.len();
    let total = contents_length.checked_add(front as u64)?;
    if total > kind.most() || manifest.len() > MANIFEST_BYTES || signatures.len() > SIGNATURES_BYTES {
        return None;
    }
    let out = out.get_mut(..front)?;
    let (header, rest) = out.split_at_mut(HEADER_BYTES);
    header.fill(0);
    header[..8].copy_from_slice(&kind.magic());
    header[8..10].copy_from_slice(&FORMAT.to_le_bytes());
    header[10..12].copy_from_slice(&(HEADER_BYTES as u16).to_le_bytes());
    header[12..16].copy_from_slice(&(manifest.len() as u32).to_le_bytes());
    header[16..24].copy_from_slice(&total.to_le_bytes());
    header[24..28].copy_from_slice(&(signatures.len() as u32).to_le_bytes());
    header[28..32].copy_from_slice(&(contents_length as u32).to_le_bytes());
    rest[..manifest.len()].copy_from_slice(manifest);
    rest[manifest.len()..].copy_from_slice(signatures);
    Some(front)
}

/// Writes a bundle to the front of `out` and returns how many bytes it took; `None` when there is no room or it would
/// be longer than a bundle may be.
#[cfg(feature = "build")]
pub fn assemble(manifest: &[u8], signatures: &[u8], contents: &[&[u8]], out: &mut [u8]) -> Option<usize> {
    let contents_length: usize = contents.iter().map(|file| file.len()).sum();
    let front = assemble_front(Container::Policy, manifest, signatures, contents_length as u64, out)?;
    let mut rest = out.get_mut(front..front + contents_length)?;
    for section in contents {
        let (at, after) = rest.split_at_mut(section.len());
        at.copy_from_slice(section);
        rest = after;
    }
    Some(front + contents_length)
}

/// The manifest of a bundle, **without any signature checked**: for the office to look at.
///
/// # Errors
/// The reasons that header and manifest alone can give.
#[cfg(feature = "build")]
pub fn manifest_of(bytes: &[u8]) -> Result<crate::Manifest<'_>, Reason> {
    crate::Manifest::decode(split(bytes)?.manifest)
}
