//! Which ring this device has: one sector in own storage, written by the agent once what it had to say of the disk is durable.
//!
//! A ring with another id is another ring, and the one that was known is lost. Where nothing is known, the data partition is
//! new, or what was said of it may not have come to disk.
//!
//! ```text
//! 0   8   AEGISKNO
//! 8   16  id of the ring
//! 24  4   CRC-32C of what is before
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::{DATA, atomic};

const FILE: &str = "storage.state";
const MAGIC: &[u8; 8] = b"AEGISKNO";
const BYTES: usize = 8 + 16 + 4;
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// The ring that is known; `None` when none is.
///
/// # Errors
/// Own storage's: then nothing follows from it.
pub(crate) fn ring() -> io::Result<Option<[u8; 16]>> {
    ring_in(Path::new(DATA))
}

fn ring_in(directory: &Path) -> io::Result<Option<[u8; 16]>> {
    match atomic::read_bounded(&directory.join(FILE), BYTES as u64) {
        Ok(bytes) => Ok(decode(&bytes)),
        // No file, no regular one, or a longer one: not what was written here.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput
            ) || error.raw_os_error() == Some(libc::ELOOP) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The file, open to be written by who can open nothing any more.
pub(crate) struct Keeper(File);

impl Keeper {
    /// Opens it, and makes it if it is not there.
    pub(crate) fn open() -> io::Result<Self> {
        atomic::make_private_directory(Path::new(DATA))?;
        Self::open_in(Path::new(DATA))
    }

    fn open_in(directory: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.write(true).create(true).truncate(false).mode(0o600);
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        Ok(Self(options.custom_flags(flags).open(directory.join(FILE))?))
    }

    /// This ring is known from now on.
    pub(crate) fn keep(&self, ring: &[u8; 16]) -> io::Result<()> {
        self.0.write_all_at(&encode(ring), 0)?;
        self.0.sync_all()
    }
}

fn encode(ring: &[u8; 16]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..24].copy_from_slice(ring);
    let crc = CRC.checksum(&bytes[..24]);
    bytes[24..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<[u8; 16]> {
    let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
    let ring = *bytes[8..].first_chunk()?;
    (encode(&ring) == *bytes).then_some(ring)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_known_once_it_was_kept() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ring_in(folder.path()).unwrap(), None);
        let keeper = Keeper::open_in(folder.path()).unwrap();
        assert_eq!(ring_in(folder.path()).unwrap(), None, "not before");
        for id in [[7; 16], [9; 16]] {
            keeper.keep(&id).unwrap();
            assert_eq!(ring_in(folder.path()).unwrap(), Some(id));
        }
        let bytes = encode(&[9; 16]);
        for at in 0..BYTES {
            let mut bytes = bytes;
            bytes[at] ^= 1;
            assert_eq!(decode(&bytes), None, "byte {at}");
        }
        assert_eq!((decode(&bytes[1..]), decode(b"")), (None, None));
    }
}
