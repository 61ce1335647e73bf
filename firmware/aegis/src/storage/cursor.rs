//! How far the ring was exported: one small file, replaced atomically.

use std::io;
use std::path::Path;

use super::{DATA, atomic};

const FILE: &str = "export.cursor";
const BYTES: usize = 8 + 16 + 8 + 4;
const MAGIC: &[u8; 8] = b"AEGISCUR";
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// The next sequence to export from the ring with this id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) ring: [u8; 16],
    pub(crate) next: u64,
}

impl Cursor {
    /// The cursor for this ring; the beginning when there is none, when it is another ring's, or when it is damaged:
    /// events exported twice are recognised at the office, events left out are not.
    pub(crate) fn load(ring: &[u8; 16]) -> io::Result<Self> {
        let start = Self { ring: *ring, next: 0 };
        match atomic::read_bounded(&Path::new(DATA).join(FILE), BYTES as u64) {
            Ok(bytes) => Ok(Self::decode(&bytes).filter(|cursor| cursor.ring == *ring).unwrap_or(start)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(start),
            Err(error) => Err(error),
        }
    }

    /// Stores it.
    pub(crate) fn save(&self) -> io::Result<()> {
        atomic::replace(Path::new(DATA), FILE, &self.encode(), 0o600).map(drop)
    }

    fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..24].copy_from_slice(&self.ring);
        bytes[24..32].copy_from_slice(&self.next.to_le_bytes());
        let crc = CRC.checksum(&bytes[..32]);
        bytes[32..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let (body, crc) = bytes.split_at(32);
        if CRC.checksum(body).to_le_bytes() != crc || body[..8] != *MAGIC {
            return None;
        }
        Some(Self {
            ring: body[8..24].try_into().ok()?,
            next: u64::from_le_bytes(body[24..32].try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_no_cursor() {
        let cursor = Cursor { ring: [7; 16], next: 42 };
        let bytes = cursor.encode();
        assert_eq!(Cursor::decode(&bytes), Some(cursor));
        for at in 0..bytes.len() {
            let mut bytes = bytes;
            bytes[at] ^= 1;
            assert_eq!(Cursor::decode(&bytes), None, "byte {at}");
        }
        assert_eq!(Cursor::decode(&bytes[1..]), None);
    }
}
