//! Where bundles are kept: three slots, so that a bundle on trial leaves both the one in force and the one before it where
//! they are. Which slot is which is not written anywhere: the trust state names bundles by SHA-256.

use std::cell::Cell;
use std::io;

use super::disk::{self, Disk};
use crate::limits;

pub(super) const SLOTS: [&str; 3] = ["slot.a", "slot.b", "slot.c"];
const BUNDLE: &str = "bundle.aegis";

/// The slots, and what is known of them: a file is hashed once to learn which bundle it is, and again only when it is handed out.
#[derive(Default)]
pub(super) struct Slots {
    /// SHA-256 of each one's file, as far as they were looked at.
    hashes: [Cell<Option<[u8; 32]>>; SLOTS.len()],
}

impl Slots {
    /// The bundle of this SHA-256, from whichever slot holds it.
    /// `None` also when a slot can't be read: what is asked for may be there, and is of no use.
    pub(super) fn find(&self, disk: &impl Disk, hash: &[u8; 32]) -> Option<Vec<u8>> {
        self.holding(disk, hash).unwrap_or_default().map(|(_, bundle)| bundle)
    }

    /// Keeps a bundle in a slot that holds none of `others`; returns what was read back from it.
    pub(super) fn keep(
        &self,
        disk: &impl Disk,
        bundle: &[u8],
        others: [&[u8; 32]; 2],
    ) -> io::Result<Vec<u8>> {
        let mut taken = [None; 2];
        for (taken, hash) in taken.iter_mut().zip(others) {
            // A slot that can't be read now may hold what is in force: nothing is put in its place.
            *taken = self.holding(disk, hash)?.map(|(slot, _)| slot);
        }
        let free = (0..SLOTS.len()).find(|slot| !taken.contains(&Some(*slot))).unwrap_or_default();
        let path = path(SLOTS[free]);
        self.hashes[free].set(None);
        disk::replace(disk, &path, bundle)?;
        disk.read(&path, limits::BUNDLE_BYTES)
    }

    fn holding(&self, disk: &impl Disk, hash: &[u8; 32]) -> io::Result<Option<(usize, Vec<u8>)>> {
        if *hash == [0; 32] {
            return Ok(None);
        }
        let mut unread = None;
        for (slot, (name, known)) in SLOTS.iter().zip(&self.hashes).enumerate() {
            if known.get().is_some_and(|known| known != *hash) {
                continue;
            }
            match disk.read(&path(name), limits::BUNDLE_BYTES) {
                Ok(bytes) => {
                    known.set(Some(aegis_bundle::hash(&bytes)));
                    if known.get() == Some(*hash) {
                        return Ok(Some((slot, bytes)));
                    }
                }
                // Nothing of ours.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput
                    ) => {}
                Err(error) => unread = Some(error),
            }
        }
        unread.map_or(Ok(None), Err)
    }
}

/// Removes what a power cut left half written.
pub(super) fn sweep(disk: &impl Disk) {
    for slot in SLOTS {
        disk::sweep(disk, slot);
    }
}

fn path(slot: &str) -> String {
    format!("{slot}/{BUNDLE}")
}
