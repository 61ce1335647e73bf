//! Who this device is: its key, its id, its boot.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use aegis_cose::{KeyPair, SecretKey, Seed, device_id};
use aegis_seal::{Locked, StorageKey};
use zeroize::Zeroizing;

use super::report::{Code, Report};
use super::{DATA, aside, atomic};
use crate::tpm::found;

const KEY_FILE: &str = "device.key";
const SEED_BYTES: usize = 32;
const LOCKED_BYTES: usize = size_of::<Locked>();
/// What it is locked for.
const PURPOSE: [&[u8]; 1] = [b"aegis device key"];

/// The device's signing key. Made on the device, never leaves it.
pub(crate) struct Identity {
    pair: KeyPair,
}

impl Identity {
    /// Reads the device key, or makes it at first boot.
    ///
    /// # Errors
    /// I/O errors of own storage, and `InvalidData` when the key file is not a seed: a damaged key is reported,
    /// never replaced, since evidence signed with a new key would look like another device's.
    pub(crate) fn open_or_create() -> io::Result<Self> {
        match Self::open()? {
            Some(identity) => Ok(identity),
            None => Self::create(),
        }
    }

    /// Reads the device key, if there is one.
    pub(crate) fn open() -> io::Result<Option<Self>> {
        let Some(stored) = Stored::read(&Path::new(DATA).join(KEY_FILE))? else { return Ok(None) };
        let seed = stored.seed(found::storage_key().as_ref()).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{DATA}/{KEY_FILE}: locked, and its key is not there"),
            )
        })?;
        Ok(Some(Self { pair: KeyPair::from_seed(Seed::new(*seed)) }))
    }

    /// Once in a boot, when it is known what storage key there is: a device key that is there as it is gets locked; one that can't be
    /// unlocked is put aside, so that another one is made; one that was put aside and can be unlocked again is the device's.
    ///
    /// # Errors
    /// Own storage's; a file that is no device key.
    #[inline(never)]
    pub(crate) fn settle(directory: &Path, key: Option<&StorageKey>, report: &mut Report) -> io::Result<()> {
        let at = |name: &str| directory.join(name);
        let opens = |name: &str| {
            let stored = Stored::read(&at(name)).ok().flatten();
            stored.is_some_and(|stored| matches!(stored, Stored::Locked(_)) && stored.seed(key).is_some())
        };
        // The first one that was put aside is the device's, whatever was made since.
        if let Some(name) = aside::names(KEY_FILE).find(|name| opens(name)) {
            aside::bring_back(directory, &name, KEY_FILE)?;
            report.tell(Code::DeviceKeyBack, "the device key can be unlocked again, and is this device's");
        }
        match (Stored::read(&at(KEY_FILE))?, key) {
            (Some(Stored::Open(seed)), Some(key)) => {
                let old = File::options().write(true).open(at(KEY_FILE))?;
                atomic::replace(directory, KEY_FILE, &key.lock(&PURPOSE, &seed), 0o600)?;
                // What it was written to before is nobody's by now, and would be found there.
                old.write_all_at(&[0; SEED_BYTES], 0)?;
                old.sync_all()
            }
            (Some(stored), key) if stored.seed(key).is_none() => {
                aside::put(directory, KEY_FILE)?;
                let detail =
                    "the device key can't be unlocked: another one is made, the office has to learn it";
                report.tell(Code::DeviceKeyLost, detail);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn create() -> io::Result<Self> {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        getrandom::fill(seed.as_mut()).map_err(io::Error::other)?;
        atomic::make_private_directory(Path::new(DATA))?;
        match found::storage_key() {
            Some(key) => atomic::replace(Path::new(DATA), KEY_FILE, &key.lock(&PURPOSE, &seed), 0o600)?,
            None => atomic::replace(Path::new(DATA), KEY_FILE, seed.as_ref(), 0o600)?,
        };
        let identity = Self { pair: KeyPair::from_seed(Seed::new(*seed)) };
        log::info!("made the device key; device {}", hex(&identity.id()));
        Ok(identity)
    }

    /// Some device's, for tests.
    #[cfg(test)]
    pub(crate) fn of(seed: [u8; SEED_BYTES]) -> Self {
        Self { pair: KeyPair::from_seed(Seed::new(seed)) }
    }

    /// The signing key.
    pub(crate) fn secret(&self) -> &SecretKey {
        &self.pair.sk
    }

    /// Both keys, for what signs with them itself. The secret one is wiped when it is dropped.
    pub(crate) fn into_pair(self) -> KeyPair {
        self.pair
    }

    /// The public key, 32 bytes.
    pub(crate) fn public(&self) -> [u8; 32] {
        *self.pair.pk
    }

    /// Device id: the first 16 bytes of SHA-256 of the public key.
    pub(crate) fn id(&self) -> [u8; 16] {
        device_id(&self.public())
    }
}

/// What a file has that holds a device key.
enum Stored {
    Open(Zeroizing<[u8; SEED_BYTES]>),
    Locked(Locked),
}

impl Stored {
    fn read(path: &Path) -> io::Result<Option<Self>> {
        let bytes = match atomic::read_bounded(path, LOCKED_BYTES as u64) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if let Ok(seed) = bytes.as_slice().try_into() {
            return Ok(Some(Self::Open(Zeroizing::new(seed))));
        }
        let locked = bytes.as_slice().try_into().map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: not a device key (restore it from a backup)", path.display()),
            )
        })?;
        Ok(Some(Self::Locked(locked)))
    }

    fn seed(&self, key: Option<&StorageKey>) -> Option<Zeroizing<[u8; SEED_BYTES]>> {
        match self {
            Self::Open(seed) => Some(seed.clone()),
            Self::Locked(locked) => key?.unlock(&PURPOSE, locked),
        }
    }
}

/// This boot's id (`/proc/sys/kernel/random/boot_id`).
pub(crate) fn boot_id() -> io::Result<[u8; 16]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    parse_boot_id(&text)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the kernel's boot id is no UUID"))
}

fn parse_boot_id(text: &str) -> Option<[u8; 16]> {
    let mut digits = text.trim().bytes().filter(|byte| *byte != b'-');
    let mut id = [0; 16];
    for byte in &mut id {
        let (high, low) = (digits.next()? as char, digits.next()? as char);
        *byte = u8::try_from(high.to_digit(16)? << 4 | low.to_digit(16)?).ok()?;
    }
    digits.next().is_none().then_some(id)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use core::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) use aegis_init::boottime;

/// `CLOCK_REALTIME`, seconds; not to be trusted.
pub(crate) fn wall_clock() -> u64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec.max(0).cast_unsigned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_device_key_is_locked_put_aside_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| fs::read(folder.path().join(name)).unwrap_or_default();
        let key = |byte| StorageKey::new(Zeroizing::new([byte; 32]));
        let settle = |key: Option<&StorageKey>| {
            let mut report = Report::default();
            Identity::settle(folder.path(), key, &mut report).unwrap();
            report.entries().iter().map(|told| told.code.name()).collect::<Vec<_>>()
        };
        assert!(settle(None).is_empty() && settle(Some(&key(1))).is_empty(), "there is none yet");
        fs::write(folder.path().join(KEY_FILE), [7; 32]).unwrap();
        assert!(settle(None).is_empty());
        assert_eq!(at(KEY_FILE), [7; 32], "as it was");
        for _ in 0..2 {
            assert!(settle(Some(&key(1))).is_empty());
            let locked = at(KEY_FILE);
            assert_eq!(
                key(1).unlock(&PURPOSE, locked.as_slice().try_into().unwrap()).as_deref(),
                Some(&[7; 32])
            );
        }
        for other in [None, Some(key(2))] {
            assert_eq!(settle(other.as_ref()), ["device-key-lost"]);
            assert!(at(KEY_FILE).is_empty(), "another one is made");
            fs::write(folder.path().join(KEY_FILE), [8; 32]).unwrap();
            assert_eq!(settle(Some(&key(1))), ["device-key-back"]);
            assert_eq!(at(KEY_FILE).len(), LOCKED_BYTES);
        }
        fs::write(folder.path().join(KEY_FILE), [7; 31]).unwrap();
        assert!(Identity::settle(folder.path(), None, &mut Report::default()).is_err(), "never replaced");
    }

    #[test]
    fn a_change_there_and_back_and_another_lose_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let key = |byte| StorageKey::new(Zeroizing::new([byte; 32]));
        let current = |byte| {
            let stored = Stored::read(&folder.join(KEY_FILE)).unwrap();
            stored.and_then(|stored| stored.seed(Some(&key(byte)))).map(|seed| seed[0])
        };
        let settle = |byte| Identity::settle(folder, Some(&key(byte)), &mut Report::default()).unwrap();
        // A device key under storage key 1, another under 2, and whichever can be opened is the device's.
        for byte in [1, 2, 3] {
            settle(byte);
            assert_eq!(current(byte), None);
            fs::write(folder.join(KEY_FILE), [byte + 6; 32]).unwrap();
            settle(byte);
        }
        for byte in [1, 3, 2, 1, 2, 3] {
            settle(byte);
            assert_eq!(current(byte), Some(byte + 6));
        }
    }

    #[test]
    fn boot_ids() {
        let id = parse_boot_id("00112233-4455-6677-8899-aabbccddeeff\n");
        assert_eq!(id.map(|id| hex(&id)).as_deref(), Some("00112233445566778899aabbccddeeff"));
        assert_eq!(parse_boot_id("0011"), None);
        assert_eq!(parse_boot_id("00112233-4455-6677-8899-aabbccddeeff0"), None);
        assert_eq!(parse_boot_id("0011223x-4455-6677-8899-aabbccddeeff"), None);
    }
}
