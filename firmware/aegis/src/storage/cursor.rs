//! How far the ring was exported: one small file, replaced atomically.

use std::io;
use std::path::Path;

use super::{DATA, atomic, disk};

const FILE: &str = "export.cursor";
const BYTES: usize = 8 + 16 + 8 + 8 + 4;
const MAGIC: &[u8; 8] = b"AEGISCU2";
/// Before there were checkpoints: without the epoch.
const BYTES_1: usize = 8 + 16 + 8 + 4;
const MAGIC_1: &[u8; 8] = b"AEGISCUR";
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// What to export next from the ring with this id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) ring: [u8; 16],
    /// The next sequence.
    pub(crate) next: u64,
    /// The first epoch whose checkpoint was not exported.
    pub(crate) epoch: u64,
}

impl Cursor {
    /// The cursor for this ring; the beginning when there is none, when it is another ring's, or when it is damaged:
    /// events exported twice are recognised at the office, events left out are not.
    pub(crate) fn load(ring: &[u8; 16]) -> io::Result<Self> {
        let start = Self { ring: *ring, next: 0, epoch: 0 };
        match atomic::read_bounded(&Path::new(DATA).join(FILE), BYTES as u64) {
            Ok(bytes) => Ok(Self::decode(&bytes).filter(|cursor| cursor.ring == *ring).unwrap_or(start)),
            // One that is too long is damaged, or a later version's.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::FileTooLarge) => {
                Ok(start)
            }
            Err(error) => Err(error),
        }
    }

    /// For a ring whose next sequence is this one. One that is ahead of it is of events that are not in it: an older copy
    /// was put back, or its end is damaged. The beginning then, as what comes next would be left out.
    pub(crate) fn within(self, next_sequence: u64) -> Self {
        if self.next <= next_sequence.max(1) { self } else { Self { ring: self.ring, next: 0, epoch: 0 } }
    }

    /// Stores it.
    pub(crate) fn save(&self) -> io::Result<()> {
        disk::replace(&disk::Data::own(), FILE, &self.encode())
    }

    fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..24].copy_from_slice(&self.ring);
        bytes[24..32].copy_from_slice(&self.next.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.epoch.to_le_bytes());
        let crc = CRC.checksum(&bytes[..40]);
        bytes[40..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        let number = |at: usize| Some(u64::from_le_bytes(*body.get(at..)?.first_chunk()?));
        let epoch = match (bytes.len(), body.first_chunk()?) {
            (BYTES, MAGIC) => number(32)?,
            (BYTES_1, MAGIC_1) => 0,
            _ => return None,
        };
        let whole = CRC.checksum(body).to_le_bytes() == *crc;
        let ring = *body.get(8..)?.first_chunk()?;
        whole.then_some(Self { ring, next: number(24)?, epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_no_cursor() {
        let cursor = Cursor { ring: [7; 16], next: 42, epoch: 9 };
        let bytes = cursor.encode();
        assert_eq!(Cursor::decode(&bytes), Some(cursor));
        for at in 0..bytes.len() {
            let mut bytes = bytes;
            bytes[at] ^= 1;
            assert_eq!(Cursor::decode(&bytes), None, "byte {at}");
        }
        assert_eq!(Cursor::decode(&bytes[1..]), None);
    }

    #[test]
    fn a_cursor_ahead_of_its_ring_is_the_beginning() {
        for (next, ring, wanted) in [(0, 1, 0), (1, 1, 1), (42, 42, 42), (42, 41, 0), (2, 1, 0), (42, 99, 42)]
        {
            let cursor = Cursor { ring: [7; 16], next, epoch: next };
            assert_eq!(
                cursor.within(ring),
                Cursor { ring: [7; 16], next: wanted, epoch: wanted },
                "{next} of {ring}"
            );
        }
    }

    /// As it was written before there were checkpoints.
    #[test]
    fn an_older_cursor_is_read() {
        let mut bytes = [0; BYTES_1];
        bytes[..8].copy_from_slice(MAGIC_1);
        bytes[8..24].fill(7);
        bytes[24] = 42;
        let crc = CRC.checksum(&bytes[..32]);
        bytes[32..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Cursor::decode(&bytes), Some(Cursor { ring: [7; 16], next: 42, epoch: 0 }));
        for at in 0..bytes.len() {
            let mut bytes = bytes;
            bytes[at] ^= 1;
            assert_eq!(Cursor::decode(&bytes), None, "byte {at}");
        }
        // Each length has its own beginning.
        let long = [bytes.as_slice(), &[0; BYTES - BYTES_1]].concat();
        assert_eq!(Cursor::decode(&long), None);
    }
}
