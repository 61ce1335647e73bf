//! Files that are offered, and sticks that they are on.

#![allow(clippy::unwrap_used)]
use std::io;

use aegis_bundle::limits::{FRONT_BYTES, MANIFEST_BYTES, SIGNATURES_BYTES};
use aegis_bundle::{Container, assemble_front};
use aegis_cose::{Domain, sign_detached, signature};

use super::world::pair;
use crate::image::write::Contents;

/// A file of this kind with the manifest that `encode` writes, signed by one key, and its contents.
pub(super) fn signed(
    (container, domain): (Container, Domain),
    encode: impl FnOnce(&mut [u8]) -> Option<usize>,
    key: u8,
    contents: &[u8],
) -> Vec<u8> {
    let mut manifest = vec![0; MANIFEST_BYTES];
    let length = encode(&mut manifest).unwrap();
    manifest.truncate(length);
    let mut scratch = vec![0; manifest.len() + 128];
    let made = signature(&manifest, domain, &pair(key).sk, &mut scratch).unwrap();
    let mut signatures = vec![0; SIGNATURES_BYTES];
    let length = sign_detached(&[made], &mut signatures).unwrap();
    let mut bytes = vec![0; FRONT_BYTES];
    let total = contents.len() as u64;
    let front = assemble_front(container, &manifest, &signatures[..length], total, &mut bytes).unwrap();
    bytes.truncate(front);
    bytes.extend(contents);
    bytes
}

/// A stick that reads as it likes.
pub(super) struct Stick<'s>(pub(super) &'s dyn Fn(u64, &mut [u8]) -> io::Result<()>);

impl Contents for Stick<'_> {
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        (self.0)(at, bytes)
    }
}
