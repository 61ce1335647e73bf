//! The order of steps. Until its last one the idle slot is nothing that the loader starts, and no step touches the slot
//! that runs:
//!
//! 1. its kernel images are removed: a root that is half written has no kernel that would start it;
//! 2. the root is written, flushed, read back and hashed;
//! 3. the kernel image is written under its name but for its first sector, which stays zero: without it the file is no
//!    program, and the loader passes over it. It is flushed, read back and hashed, as if the first sector were there;
//! 4. the first sector is written. One sector is written or not: that is the moment from which on the loader starts it.
//!
//! No name is given or taken at the end. On FAT a rename is up to three writes, and between two of them two names lead to
//! the same clusters: who then removes one of them frees what the other is made of.

use std::io;

use aegis_bundle::{Content, ImageManifest};
use sha2::{Digest, Sha256};

use super::medium::Medium;
use super::slot::{Counted, Slot, TRIES, TRIES_OF_NEW};

/// What is written at once, and flushed: what a cut may leak of a FAT is at most that long.
pub(crate) const CHUNK: usize = 512 * 1024;
/// The first sector of a kernel image.
const SECTOR: usize = 512;
/// What every program of the firmware begins with (PE/COFF, the DOS header).
const PROGRAM: &[u8; 2] = b"MZ";

/// The contents of an image, wherever they are.
pub(crate) trait Contents {
    /// Reads all of `bytes` from this place of the file.
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()>;
}

/// Why an image is not written.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// What brings it can't be read.
    Source(io::Error),
    /// What it is written to failed, or has no room.
    Medium(&'static str, io::Error),
    /// What was read back is not what was signed.
    Differs(&'static str),
}

impl Unwritten {
    /// The stable reason code (`docs/formats/reason-codes.md`).
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Source(_) => "unreadable",
            Self::Medium(..) => "storage",
            Self::Differs(_) => "read-back-differs",
        }
    }
}

impl std::fmt::Display for Unwritten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source(error) => error.fmt(f),
            Self::Medium(what, error) => write!(f, "{what}: {error}"),
            Self::Differs(what) => write!(f, "{what}: it is not what was signed when it is read back"),
        }
    }
}

/// Where each file of an image begins in its file: kernel images by slot, root.
fn places(manifest: &ImageManifest<'_>, contents_at: u64) -> ([u64; 2], u64) {
    let [a, b] = [manifest.boot[0].length, manifest.boot[1].length];
    ([contents_at, contents_at + a], contents_at + a + b)
}

/// Holds the contents against the listed hashes, as they are read; `also` gets every byte.
///
/// # Errors
/// The source's; `Ok(false)`: a file is not what is listed.
pub(crate) fn verify(
    manifest: &ImageManifest<'_>,
    contents: &impl Contents,
    contents_at: u64,
    mut also: impl FnMut(&[u8]),
) -> io::Result<bool> {
    let mut at = contents_at;
    let mut good = true;
    for (_, file) in manifest.files() {
        let mut sum = Sha256::new();
        chunks(file.length, |offset, buffer| {
            contents.read_at(at + offset, buffer)?;
            also(buffer);
            sum.update(&*buffer);
            Ok(())
        })?;
        good &= sum.finalize()[..] == file.hash;
        at += file.length;
    }
    Ok(good)
}

/// Writes an image that was let in to `slot`, which is not the one that runs, and was cleared ([`clear`]).
pub(crate) fn write(
    medium: &impl Medium,
    slot: Slot,
    manifest: &ImageManifest<'_>,
    contents: &impl Contents,
    contents_at: u64,
) -> Result<(), Unwritten> {
    let (boots, root) = places(manifest, contents_at);
    write_root(medium, slot, manifest.root, contents, root)?;
    write_boot(medium, slot, manifest.boot[slot as usize], contents, boots[slot as usize])
}

/// Removes all kernel images of a slot. There may be two that are made of the same clusters, by whatever cut a rename short:
/// what they are made of is in use again only when both are gone.
pub(crate) fn clear(medium: &impl Medium, slot: Slot) -> io::Result<()> {
    for name in medium.names()? {
        if Counted::read(&name).is_some_and(|counted| counted.slot == slot) {
            medium.remove(&name)?;
        }
    }
    medium.sync_names()
}

fn write_root(
    medium: &impl Medium,
    slot: Slot,
    file: Content,
    contents: &impl Contents,
    from: u64,
) -> Result<(), Unwritten> {
    let what = slot.partition();
    let failed = |error| Unwritten::Medium(what, error);
    let mut partition = medium.partition(slot).map_err(failed)?;
    if medium.length(&partition).map_err(failed)? < file.length {
        return Err(failed(io::Error::new(io::ErrorKind::StorageFull, "the partition is too small for it")));
    }
    copy(medium, &mut partition, what, file, contents, from, None)?;
    let found = hash(medium, &partition, file.length, &[]).map_err(failed)?;
    if found == file.hash { Ok(()) } else { Err(Unwritten::Differs(what)) }
}

fn write_boot(
    medium: &impl Medium,
    slot: Slot,
    file: Content,
    contents: &impl Contents,
    from: u64,
) -> Result<(), Unwritten> {
    let what = "the kernel image";
    let failed = |error| Unwritten::Medium(what, error);
    let mut first = [0; SECTOR];
    contents.read_at(from, &mut first).map_err(Unwritten::Source)?;
    let name = slot.file(TRIES_OF_NEW);
    let mut boot = medium.create(&name).map_err(failed)?;
    copy(medium, &mut boot, what, file, contents, from, Some(&[0; SECTOR]))?;
    medium.sync_names().map_err(failed)?;
    // A name that was left by mistake is the same slot's, and would be started in place of this one.
    let found = hash(medium, &boot, file.length, &first).map_err(failed)?;
    if medium.length(&boot).map_err(failed)? != file.length
        || found != file.hash
        || !first.starts_with(PROGRAM)
    {
        return Err(Unwritten::Differs(what));
    }
    medium.write_at(&mut boot, 0, &first).map_err(failed)?;
    medium.sync(&boot).map_err(failed)?;
    let mut again = [0; SECTOR];
    medium.read_at(&boot, 0, &mut again).map_err(failed)?;
    if again == first { Ok(()) } else { Err(Unwritten::Differs(what)) }
}

/// Copies a file, flushing as it goes; what it begins with is `instead`, if that is given.
fn copy<M: Medium>(
    medium: &M,
    to: &mut M::File,
    what: &'static str,
    file: Content,
    contents: &impl Contents,
    from: u64,
    instead: Option<&[u8]>,
) -> Result<(), Unwritten> {
    let mut failure = None;
    let copied = chunks(file.length, |offset, buffer| {
        if let Err(error) = contents.read_at(from + offset, buffer) {
            failure = Some(Unwritten::Source(error));
            return Err(io::ErrorKind::Other.into());
        }
        if let Some(instead) = instead.filter(|_| offset == 0) {
            buffer[..instead.len()].copy_from_slice(instead);
        }
        medium.write_at(to, offset, buffer)?;
        medium.sync(to)
    });
    copied.map_err(|error| failure.unwrap_or(Unwritten::Medium(what, error)))
}

/// SHA-256 of so much of a file as the disk has it, with `first` in place of its beginning.
fn hash<M: Medium>(medium: &M, file: &M::File, length: u64, first: &[u8]) -> io::Result<[u8; 32]> {
    let mut sum = Sha256::new();
    chunks(length, |offset, buffer| {
        medium.read_at(file, offset, buffer)?;
        if offset == 0 {
            buffer[..first.len()].copy_from_slice(first);
        }
        sum.update(&*buffer);
        Ok(())
    })?;
    Ok(sum.finalize().into())
}

/// Goes through so many bytes in chunks.
fn chunks(length: u64, mut each: impl FnMut(u64, &mut [u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    while at < length {
        // A chunk fits in a usize.
        let size = (length - at).min(CHUNK as u64) as usize;
        each(at, &mut buffer[..size])?;
        at += size as u64;
    }
    Ok(())
}

/// The kernel image of a slot that is worth most, as its name says; `None` when there is none that the loader would start.
pub(crate) fn standing(medium: &impl Medium, slot: Slot) -> io::Result<Option<(String, Counted)>> {
    let mut best: Option<(String, Counted)> = None;
    for name in medium.names()? {
        let Some(counted) = Counted::read(&name).filter(|counted| counted.slot == slot) else { continue };
        if !is_program(medium, &name)? {
            continue;
        }
        // One that does not count is never given up.
        let worth = |counted: &Counted| (counted.left.unwrap_or(u32::MAX), u32::MAX - counted.done);
        if best.as_ref().is_none_or(|(_, other)| worth(&counted) > worth(other)) {
            best = Some((name, counted));
        }
    }
    Ok(best)
}

/// Gives a kernel image that was given up its name again, which puts it as far to the front of its directory as there is room.
/// Losing it harms nobody. Returns false when the slot has no such image.
pub(crate) fn move_forward(medium: &impl Medium, slot: Slot) -> io::Result<bool> {
    let Some((name, counted)) = standing(medium, slot)?.filter(|(_, counted)| counted.is_given_up()) else {
        return Ok(false);
    };
    // The loader gives this one up, too, and who clears the slot knows it.
    let meanwhile = slot.given_up(counted.done.saturating_add(1));
    for (from, to) in [(&name, &meanwhile), (&meanwhile, &name)] {
        medium.sync_names()?;
        medium.rename(from, to)?;
    }
    medium.sync_names()?;
    Ok(true)
}

fn is_program(medium: &impl Medium, name: &str) -> io::Result<bool> {
    let file = medium.open(name)?;
    let mut first = [0; PROGRAM.len()];
    if medium.length(&file)? < SECTOR as u64 {
        return Ok(false);
    }
    medium.read_at(&file, 0, &mut first)?;
    Ok(first == *PROGRAM)
}

/// Gives the slot that runs all its tries back. Returns false when it has them, or does not count.
pub(crate) fn reassure(medium: &impl Medium, slot: Slot) -> io::Result<bool> {
    let Some((name, counted)) = standing(medium, slot)? else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the slot that runs has no kernel image"));
    };
    let fresh = slot.file(TRIES);
    if counted.left.is_none() || name.eq_ignore_ascii_case(&fresh) {
        return Ok(false);
    }
    // What is dirty goes first: then the rename is one write of one sector (docs/updates.md).
    medium.sync_names()?;
    medium.rename(&name, &fresh)?;
    medium.sync_names()?;
    Ok(true)
}
