//! The signed files of workloads: written beside, flushed, read back and hashed, renamed. Old or new at any instant.

use std::io;
use std::time::Instant;

use aegis_bundle::limits::FRONT_BYTES;
use aegis_bundle::{Container, WorkloadManifest, hash, split_front};
use sha2::{Digest, Sha256};

use crate::image::write::Contents;
use crate::limits;
use crate::storage::disk::{self, Disk, Pending};

/// What is read and written at once, bytes.
const CHUNK: usize = 256 * 1024;

/// Why a file is not kept.
#[derive(Debug)]
pub(crate) enum Unkept {
    /// What brings it can't be read.
    Source(io::Error),
    /// It is not what was signed.
    Content,
    /// Own storage failed, or has no room.
    Disk(io::Error),
    /// What was read back is not what was signed.
    Differs,
}

impl From<io::Error> for Unkept {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl Unkept {
    /// The stable reason code (`docs/formats/reason-codes.md`).
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Source(_) => "unreadable",
            Self::Content => aegis_bundle::Reason::ContentHash.code(),
            Self::Disk(error) if error.kind() == io::ErrorKind::StorageFull => "no-room",
            Self::Disk(_) => "storage",
            Self::Differs => "read-back-differs",
        }
    }
}

impl std::fmt::Display for Unkept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source(error) => error.fmt(f),
            Self::Content => aegis_bundle::Reason::ContentHash.fmt(f),
            Self::Disk(error) => write!(f, "{}: {error}", super::KEPT),
            Self::Differs => f.write_str("it is not what was signed when it is read back"),
        }
    }
}

/// Copies all of an offered file, whose front is `front` of our own, to beside its place; holds what follows the front against
/// the hash that was signed, as it is read and as the disk gives it back. Returns it, and the SHA-256 of the file.
pub(crate) fn prepare(
    disk: &impl Disk,
    path: &str,
    front: &[u8],
    length: u64,
    contents: &impl Contents,
    expected: &[u8; 32],
) -> Result<(Pending, [u8; 32]), Unkept> {
    let (mut whole, mut rest) = (Sha256::new(), Sha256::new());
    let from = front.len() as u64;
    let pending = disk::prepare_by(disk, path, |disk, file| {
        disk.write(file, front)?;
        whole.update(front);
        chunks(from, length, |at, buffer| {
            contents.read_at(at, buffer).map_err(Unkept::Source)?;
            whole.update(&*buffer);
            rest.update(&*buffer);
            disk.write(file, buffer).map_err(Unkept::Disk)
        })?;
        if rest.finalize()[..] == *expected { Ok(()) } else { Err(Unkept::Content) }
    })?;
    let whole = whole.finalize().into();
    match read_back(disk, pending.meanwhile(), length) {
        Ok(found) if found == whole => Ok((pending, whole)),
        other => {
            pending.abandon(disk);
            Err(other.map_or_else(Unkept::Disk, |_| Unkept::Differs))
        }
    }
}

/// SHA-256 of a file that is so long.
fn read_back(disk: &impl Disk, path: &str, length: u64) -> io::Result<[u8; 32]> {
    let (file, found) = disk.open(path)?;
    if found != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    sum(disk, &file, 0, length)
}

/// SHA-256 of a part of a file. `TimedOut` after [`limits::WORKLOAD_LOOK`].
fn sum<D: Disk>(disk: &D, file: &D::File, from: u64, to: u64) -> io::Result<[u8; 32]> {
    let until = Instant::now() + limits::WORKLOAD_LOOK;
    let mut sum = Sha256::new();
    chunks(from, to, |at, buffer| {
        if Instant::now() >= until {
            let most = limits::WORKLOAD_LOOK.as_secs();
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("it takes longer than {most} s to read"),
            ));
        }
        disk.read_at(file, at, buffer)?;
        sum.update(&*buffer);
        Ok::<_, io::Error>(())
    })?;
    Ok(sum.finalize().into())
}

fn chunks<E>(mut at: u64, to: u64, mut each: impl FnMut(u64, &mut [u8]) -> Result<(), E>) -> Result<(), E> {
    let mut buffer = vec![0; CHUNK];
    while at < to {
        // A chunk fits in a usize.
        let size = (to - at).min(CHUNK as u64) as usize;
        each(at, &mut buffer[..size])?;
        at += size as u64;
    }
    Ok(())
}

/// A kept file, and its front.
pub(crate) struct Kept<F> {
    pub(crate) file: F,
    pub(crate) length: u64,
    pub(crate) front: Vec<u8>,
}

/// Opens a kept file; `None`: there is none.
pub(crate) fn open<D: Disk>(disk: &D, path: &str) -> io::Result<Option<Kept<D::File>>> {
    let (file, length) = match disk.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut front = vec![0; length.min(FRONT_BYTES as u64) as usize];
    disk.read_at(&file, 0, &mut front)?;
    Ok(Some(Kept { file, length, front }))
}

/// SHA-256 of the manifest of the file that is there, whoever signed it: which of those it is that were decided about. `None`:
/// there is none. Of one that is nothing of ours it is no manifest's.
pub(crate) fn standing(disk: &impl Disk, path: &str) -> io::Result<Option<[u8; 32]>> {
    let Some(kept) = open(disk, path)? else { return Ok(None) };
    let sections = split_front(Container::Workload, &kept.front, kept.length);
    Ok(Some(sections.map_or([0; 32], |sections| hash(sections.manifest))))
}

/// The contents of a kept file are those that its manifest lists. `TimedOut` after [`limits::WORKLOAD_LOOK`].
pub(crate) fn is_whole<D: Disk>(
    disk: &D,
    kept: &Kept<D::File>,
    manifest: &WorkloadManifest<'_>,
    contents_at: u64,
) -> io::Result<bool> {
    let Some(run) = &manifest.run else { return Ok(false) };
    Ok(sum(disk, &kept.file, contents_at, kept.length)? == run.contents.hash)
}

/// Removes a file, durably.
pub(crate) fn remove(disk: &impl Disk, path: &str) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        done => done?,
    }
    disk.sync_directory(path.rsplit_once('/').map_or("", |(directory, _)| directory))
}
