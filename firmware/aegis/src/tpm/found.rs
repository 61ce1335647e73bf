//! What was found of a TPM in this boot: `/run/aegis/tpm`, and beside it the storage key, which is nowhere else but in the TPM.

use std::io;
use std::path::Path;

use aegis_event::Body;
use aegis_seal::StorageKey;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::limits;
use crate::storage::device::hex;
use crate::storage::{RUN, atomic};

const FILE: &str = "tpm";
const KEY_FILE: &str = "storage.key";
const KEY_BYTES: usize = 32;

/// How it stands with the storage key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Key {
    /// There is no TPM: secrets are on the disk as they are.
    #[default]
    NoTpm = 0,
    /// There is one, and it did not give a key: secrets are on the disk as they are.
    NotSealed = 1,
    /// Secrets are locked under it.
    Sealed = 2,
}

impl Key {
    /// Its name in status and JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NoTpm => "no-tpm",
            Self::NotSealed => "not-sealed",
            Self::Sealed => "sealed",
        }
    }
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) key: Key,
    /// PCRs, by number, and their values, 32 bytes each.
    pub(crate) pcrs: Vec<u8>,
    pub(crate) digests: Vec<u8>,
    /// Each commit of the trust state is counted.
    pub(crate) counts: bool,
    /// The trust state is an older copy, or not this device's: nothing is taken.
    pub(crate) held: bool,
}

impl Found {
    /// That of this boot. What can't be read is said, and is nothing.
    pub(crate) fn load() -> Self {
        Self::load_from(Path::new(RUN))
    }

    fn load_from(directory: &Path) -> Self {
        atomic::read_or_default(&directory.join(FILE), limits::TPM_FOUND_BYTES, Self::decode)
    }

    /// Keeps it for this boot.
    pub(crate) fn save(&self) -> io::Result<()> {
        atomic::make_private_directory(Path::new(RUN))?;
        self.save_to(Path::new(RUN))
    }

    fn save_to(&self, directory: &Path) -> io::Result<()> {
        atomic::replace(directory, FILE, &self.encode(), 0o600).map(drop)
    }

    /// Key, flags, PCRs behind their number, their values.
    fn encode(&self) -> Vec<u8> {
        let flags = u8::from(self.counts) | u8::from(self.held) << 1;
        [&[self.key as u8, flags, self.pcrs.len() as u8], &self.pcrs[..], &self.digests].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[key, flags, count], rest) = bytes.split_first_chunk()?;
        let (pcrs, digests) = rest.split_at_checked(count.into())?;
        let key = [Key::NoTpm, Key::NotSealed, Key::Sealed].into_iter().find(|known| *known as u8 == key)?;
        let found = Self {
            key,
            pcrs: pcrs.to_vec(),
            digests: digests.to_vec(),
            counts: flags & 1 != 0,
            held: flags & 2 != 0,
        };
        (digests.len() == pcrs.len() * 32 && flags < 4).then_some(found)
    }

    /// What was measured, as an event; `None` when nothing is known of it.
    pub(crate) fn measured(&self) -> Option<Body<'_>> {
        (!self.pcrs.is_empty()).then_some(Body::Measured { pcrs: &self.pcrs, digests: &self.digests })
    }

    /// For status and health.
    pub(crate) fn to_json(&self) -> Value {
        let mut pcrs = Map::new();
        for (number, digest) in self.pcrs.iter().zip(self.digests.chunks(32)) {
            pcrs.insert(number.to_string(), Value::String(hex(digest)));
        }
        json!({ "key": self.key.name(), "counts": self.counts, "held": self.held, "pcrs": pcrs })
    }
}

/// The storage key of this boot; `None` when there is none.
pub(crate) fn storage_key() -> Option<StorageKey> {
    let path = Path::new(RUN).join(KEY_FILE);
    match atomic::read_bounded(&path, KEY_BYTES as u64).map(Zeroizing::new) {
        Ok(bytes) => {
            let mut key = Zeroizing::new([0; KEY_BYTES]);
            (bytes.len() == KEY_BYTES).then(|| {
                key.copy_from_slice(&bytes);
                StorageKey::new(key)
            })
        }
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                log::error!("{}: {error}", path.display());
            }
            None
        }
    }
}

/// Keeps it for this boot, in memory.
pub(super) fn keep_storage_key(secret: &[u8; KEY_BYTES]) -> io::Result<()> {
    atomic::make_private_directory(Path::new(RUN))?;
    atomic::replace(Path::new(RUN), KEY_FILE, secret, 0o600).map(drop)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_comes_back_as_it_went() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Found::load_from(folder.path()), Found::default());
        let all = aegis_event::limits::PCRS;
        let found = Found {
            key: Key::Sealed,
            pcrs: (0..all as u8).collect(),
            digests: vec![0xab; 32 * all],
            counts: true,
            held: true,
        };
        found.save_to(folder.path()).unwrap();
        assert_eq!(Found::load_from(folder.path()), found);
        assert_eq!(found.to_json()["pcrs"]["11"], "ab".repeat(32));
        assert!(found.measured().is_some() && Found::default().measured().is_none());
        std::fs::write(folder.path().join(FILE), b"\xff").unwrap();
        assert_eq!(Found::load_from(folder.path()), Found::default());
    }
}
