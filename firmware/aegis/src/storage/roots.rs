//! The chain of root metadata: from the image's anchor, version by version, to the one in force. It is walked at every
//! use, so nobody who only holds the data disk can slip in a root of his own.

use std::io;

use aegis_bundle::{
    Bundle, Reason, Refusal, Root, RootError, Workload, hash, limits as bounds, open_hashed,
    open_kept_workload,
};

use super::disk::{self, Disk};
use crate::limits;

pub(super) const DIRECTORY: &str = "roots";
const SUFFIX: &str = ".cbor";

/// The anchor and what was accepted after it, oldest first.
#[derive(Debug)]
pub(crate) struct Chain {
    /// Never empty.
    roots: Vec<Root>,
    /// SHA-256 of the newest one's file.
    hash: [u8; 32],
    /// Why the walk ended where it did: what is at the next version's place, if anything is.
    end: Option<String>,
}

impl Chain {
    /// Walks from the anchor as far as it goes.
    pub(super) fn walk(disk: &impl Disk, anchor: &[u8]) -> Result<Self, RootError> {
        let mut chain = Self { roots: vec![Root::open(anchor)?], hash: hash(anchor), end: None };
        while chain.roots.len() <= bounds::ROOT_CHAIN {
            let version = chain.next_version();
            match disk::read(disk, &path(version), bounds::ROOT_BYTES as u64) {
                Ok(None) => break,
                Ok(Some(bytes)) => match chain.newest().next(&bytes) {
                    Ok(next) => {
                        chain.hash = hash(&bytes);
                        chain.roots.push(next);
                    }
                    Err(error) => {
                        chain.end = Some(format!("{}: {}", path(version), error.code()));
                        break;
                    }
                },
                Err(error) => {
                    chain.end = Some(format!("{}: {error}", path(version)));
                    break;
                }
            }
        }
        Ok(chain)
    }

    /// The one in force.
    pub(crate) fn newest(&self) -> &Root {
        self.roots.last().expect("a chain has its anchor")
    }

    /// The image's.
    pub(crate) fn anchor(&self) -> &Root {
        &self.roots[0]
    }

    /// SHA-256 of the file of the one in force.
    pub(crate) fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Why the walk did not go further, when something was in its way.
    pub(crate) fn end(&self) -> Option<&str> {
        self.end.as_deref()
    }

    fn next_version(&self) -> u64 {
        self.newest().version.saturating_add(1)
    }

    /// True when there are as many as one image carries.
    pub(crate) fn is_full(&self) -> bool {
        self.roots.len() > bounds::ROOT_CHAIN
    }

    /// Keeps the next one, durably. It is for the caller to know that it is the next; the chain is to be walked again.
    pub(super) fn keep(&self, disk: &impl Disk, bytes: &[u8]) -> io::Result<()> {
        disk::replace(disk, &path(self.next_version()), bytes)
    }

    /// Opens a bundle that was accepted before, under whichever root of the chain let it in, newest first. `hash` is the file's.
    ///
    /// # Errors
    /// Of the refusals that which says most: that it is revoked, that its keys are, else what the newest root says.
    pub(super) fn open_kept<'a>(&self, bytes: &'a [u8], hash: [u8; 32]) -> Result<Bundle<'a>, Refusal> {
        self.under_any(
            |then, now| open_hashed(bytes, hash, then, now),
            |bundle| (bundle.manifest_hash, bundle.manifest.epoch, bundle.manifest.sequence),
        )
    }

    /// Opens a workload that was accepted before, by its front, as [`Chain::open_kept`] does a bundle.
    ///
    /// # Errors
    /// As there.
    pub(super) fn open_kept_workload<'a>(
        &self,
        front: &'a [u8],
        length: u64,
    ) -> Result<Workload<'a>, Refusal> {
        self.under_any(
            |then, now| open_kept_workload(front, length, then, now),
            |workload| (workload.manifest_hash, workload.manifest.epoch, workload.manifest.sequence),
        )
    }

    /// `signed` says manifest, epoch and sequence of what was opened.
    fn under_any<T>(
        &self,
        open: impl Fn(&Root, &Root) -> Result<T, Refusal>,
        signed: impl Fn(&T) -> ([u8; 32], u64, u64),
    ) -> Result<T, Refusal> {
        let now = self.newest();
        let weight = |refusal: &Refusal| match refusal.reason {
            Reason::Revoked => 2,
            Reason::RevokedKey => 1,
            _ => 0,
        };
        let mut said: Option<Refusal> = None;
        for then in self.roots.iter().rev() {
            match open(then, now) {
                Ok(opened) => {
                    let (manifest, epoch, sequence) = signed(&opened);
                    // Also by a root that later ones left out of their lists, when they raised the epoch: to one that is
                    // offered that makes no difference, to one that is kept it does.
                    if self.roots.iter().any(|root| root.revoked.contains(&manifest)) {
                        return Err(Refusal { reason: Reason::Revoked, epoch, sequence });
                    }
                    return Ok(opened);
                }
                Err(refusal) if said.is_none_or(|said| weight(&refusal) > weight(&said)) => {
                    said = Some(refusal);
                }
                Err(_) => {}
            }
        }
        Err(said.expect("a chain has its anchor"))
    }

    /// Removes what a power cut left half written, and what the image's anchor has made part of the past.
    pub(super) fn sweep(&self, disk: &impl Disk) {
        disk::sweep(disk, DIRECTORY);
        let names = disk.list(DIRECTORY, limits::SWEEP_ENTRIES).unwrap_or_default();
        let old = |name: &&String| version_of(name).is_some_and(|version| version <= self.anchor().version);
        for name in names.iter().filter(old) {
            if let Err(error) = disk.remove(&format!("{DIRECTORY}/{name}")) {
                log::warn!("own storage: {DIRECTORY}/{name}: {error}");
            }
        }
    }
}

fn path(version: u64) -> String {
    format!("{DIRECTORY}/{version}{SUFFIX}")
}

fn version_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_names_that_are_ours_only() {
        assert_eq!(version_of("12.cbor"), Some(12));
        for name in ["+1.cbor", ".cbor", "1.cbo", "x.cbor", "18446744073709551616.cbor"] {
            assert_eq!(version_of(name), None, "{name}");
        }
    }
}
