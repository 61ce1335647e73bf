//! Where bundles are kept: three slots, so that a bundle on trial leaves both the one in force and the one before it where
//! they are. Which slot is which is not written anywhere: the trust state names bundles by SHA-256.

use std::io;

use super::disk::{self, Disk};
use crate::limits;

const SLOTS: [&str; 3] = ["slot.a", "slot.b", "slot.c"];
const BUNDLE: &str = "bundle.aegis";

/// The bundle of this SHA-256, from whichever slot holds it.
pub(super) fn find(disk: &impl Disk, hash: &[u8; 32]) -> Option<Vec<u8>> {
    holding(disk, hash).map(|(_, bundle)| bundle)
}

/// Keeps a bundle in a slot that holds none of `others`; returns what was read back from it.
pub(super) fn keep(disk: &impl Disk, bundle: &[u8], others: [&[u8; 32]; 2]) -> io::Result<Vec<u8>> {
    let taken = others.map(|hash| holding(disk, hash).map(|(slot, _)| slot));
    let free = (0..SLOTS.len()).find(|slot| !taken.contains(&Some(*slot))).unwrap_or_default();
    let path = path(SLOTS[free]);
    disk::replace(disk, &path, bundle)?;
    disk.read(&path, limits::BUNDLE_BYTES)
}

/// Removes what a power cut left half written.
pub(super) fn sweep(disk: &impl Disk) {
    for slot in SLOTS {
        disk::sweep(disk, slot);
    }
}

fn holding(disk: &impl Disk, hash: &[u8; 32]) -> Option<(usize, Vec<u8>)> {
    if *hash == [0; 32] {
        return None;
    }
    SLOTS.iter().enumerate().find_map(|(slot, name)| {
        let bytes = disk.read(&path(name), limits::BUNDLE_BYTES).ok()?;
        (aegis_bundle::hash(&bytes) == *hash).then_some((slot, bytes))
    })
}

fn path(slot: &str) -> String {
    format!("{slot}/{BUNDLE}")
}
