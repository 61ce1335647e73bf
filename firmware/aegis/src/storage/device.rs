//! Who this device is: its key, its id, its boot.

use std::io;
use std::path::Path;

use aegis_cose::{KeyPair, SecretKey, Seed, device_id};
use zeroize::Zeroizing;

use super::{DATA, atomic};

const KEY_FILE: &str = "device.key";
const SEED_BYTES: usize = 32;

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
        let path = Path::new(DATA).join(KEY_FILE);
        let bytes = match atomic::read_bounded(&path, SEED_BYTES as u64) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let seed: &[u8; SEED_BYTES] = bytes.as_slice().try_into().map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: not a device key (restore it from a backup)", path.display()),
            )
        })?;
        Ok(Some(Self { pair: KeyPair::from_seed(Seed::new(*seed)) }))
    }

    fn create() -> io::Result<Self> {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        getrandom::fill(seed.as_mut()).map_err(io::Error::other)?;
        atomic::make_private_directory(Path::new(DATA))?;
        atomic::replace(Path::new(DATA), KEY_FILE, seed.as_ref(), 0o600)?;
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

/// This boot's id (`/proc/sys/kernel/random/boot_id`).
pub(crate) fn boot_id() -> io::Result<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
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

/// `CLOCK_BOOTTIME`, ns.
pub(crate) fn boottime() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// `CLOCK_REALTIME`, seconds; not to be trusted.
pub(crate) fn wall_clock() -> u64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec.max(0).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_ids() {
        let id = parse_boot_id("00112233-4455-6677-8899-aabbccddeeff\n");
        assert_eq!(id.map(|id| hex(&id)).as_deref(), Some("00112233445566778899aabbccddeeff"));
        assert_eq!(parse_boot_id("0011"), None);
        assert_eq!(parse_boot_id("00112233-4455-6677-8899-aabbccddeeff0"), None);
        assert_eq!(parse_boot_id("0011223x-4455-6677-8899-aabbccddeeff"), None);
    }
}
