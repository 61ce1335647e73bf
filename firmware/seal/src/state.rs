//! What a sealer remembers: the one secret key there is, and the last record.
//!
//! A copy is a CBOR array of two: the state as a byte string, and the CRC-32C of that. It never leaves the device.
//! ```text
//! state = { 1 => format, 2 => device id, 3 => ring id, 4 => generation, 5 => next epoch, 6 => its secret seed,
//!           7 => certificate, 8 => last checkpoint / null, 9 => segment that the last of them calls open }
//! ```
//! Of format 1 the seed is there as it is (32 bytes); of format 2 it is locked under a [`StorageKey`] (60 bytes), for this device,
//! ring, generation and epoch.

use aegis_cose::{KeyPair, Seed};
use aegis_ring::Record;
use minicbor::encode::write::Cursor;
use minicbor::{Decoder, Encoder};
use zeroize::{Zeroize, Zeroizing};

use crate::Id;
use crate::cbor::{Canonical, Unread, Writer, Written, array, exactly, key};
use crate::limits::{RECORD_BYTES, STATE_BYTES};
use crate::rest::{Locked, Secret, StorageKey};

/// With a seed as it is, and with one that is locked.
const FORMAT: u64 = 1;
const FORMAT_LOCKED: u64 = 2;
/// CRC-32C (Castagnoli).
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// A record's bytes.
pub(crate) type RecordBytes = heapless::Vec<u8, RECORD_BYTES>;

/// The state of a [`Sealer`](crate::Sealer). The secret in it is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct State {
    pub(crate) device: Id,
    pub(crate) ring: Id,
    pub(crate) generation: u64,
    pub(crate) next_epoch: u64,
    pub(crate) seed: StoredSeed,
    pub(crate) certificate: RecordBytes,
    pub(crate) checkpoint: Option<RecordBytes>,
    pub(crate) segment: u64,
}

/// The secret key of the next epoch.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum StoredSeed {
    Open(Secret),
    Locked(Locked),
}

/// One copy of a [`State`], to be stored whole. Wiped when it is dropped.
pub struct StateCopy {
    bytes: [u8; STATE_BYTES],
    length: usize,
}

impl core::ops::Deref for StateCopy {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for StateCopy {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl core::fmt::Debug for State {
    /// Without the secret.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "State(epoch {}, generation {})", self.next_epoch, self.generation)
    }
}

impl State {
    /// The ring that it is for.
    pub const fn ring(&self) -> Id {
        self.ring
    }

    /// The epoch whose key it holds.
    pub const fn next_epoch(&self) -> u64 {
        self.next_epoch
    }

    /// The certificate of the chain's first key: what every export begins with.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// One copy, with the secret in it as it is in the state.
    pub fn encode(&self) -> StateCopy {
        let mut copy = StateCopy { bytes: [0; STATE_BYTES], length: 0 };
        // STATE_BYTES hold the longest state: a test has it. An empty copy would be none, never a wrong one.
        copy.length = self.encode_to(&mut copy.bytes).unwrap_or_default();
        copy
    }

    /// The state with its secret locked. One that is locked stays as it is.
    #[must_use]
    pub fn lock(&self, key: &StorageKey) -> Self {
        match &self.seed {
            StoredSeed::Open(seed) => {
                let locked = key.lock(&self.purpose().each_ref().map(|part| &part[..]), seed);
                Self { seed: StoredSeed::Locked(locked), ..self.clone() }
            }
            StoredSeed::Locked(_) => self.clone(),
        }
    }

    /// The state with its secret as it is. One that `key` does not unlock stays locked: it tells what there was, and no chain
    /// goes on with it.
    #[must_use]
    pub fn unlock(self, key: &StorageKey) -> Self {
        let seed = match &self.seed {
            StoredSeed::Locked(locked) => {
                key.unlock(&self.purpose().each_ref().map(|part| &part[..]), locked).filter(is_seed)
            }
            StoredSeed::Open(_) => None,
        };
        match seed {
            Some(seed) => Self { seed: StoredSeed::Open(seed), ..self },
            None => self,
        }
    }

    /// Its secret is locked.
    pub const fn is_locked(&self) -> bool {
        matches!(self.seed, StoredSeed::Locked(_))
    }

    /// What the secret is for.
    fn purpose(&self) -> [[u8; 16]; 4] {
        let mut numbers = [0; 16];
        numbers[..8].copy_from_slice(&self.generation.to_le_bytes());
        numbers[8..].copy_from_slice(&self.next_epoch.to_le_bytes());
        [*b"aegis seal state", self.device, self.ring, numbers]
    }

    /// Reads one copy; `None` when it is torn, damaged, wiped or not a copy at all.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut scratch = Zeroizing::new([0; STATE_BYTES]);
        // Zeros behind it belong to the place, not to the copy.
        let mut decoder = Decoder::new(bytes);
        decoder.skip().ok()?;
        let (copy, rest) = bytes.split_at(decoder.position());
        if rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        let is_one = |state: &Self| match &state.seed {
            StoredSeed::Open(seed) => is_seed(seed),
            StoredSeed::Locked(_) => true,
        };
        Self::decode_from(copy, scratch.as_mut()).filter(is_one)
    }

    /// The newer one of two copies' states. The other one is to be wiped.
    pub fn newer(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        match (a, b) {
            (Some(a), Some(b)) => Some(if a.generation < b.generation { b } else { a }),
            (a, b) => a.or(b),
        }
    }

    /// Counts the times that a state was stored.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The secret key of the next epoch, and its public key; `None` while it is locked.
    pub(crate) fn key(&self) -> Option<KeyPair> {
        match &self.seed {
            StoredSeed::Open(seed) => Some(KeyPair::from_seed(Seed::new(**seed))),
            StoredSeed::Locked(_) => None,
        }
    }

    /// The last record, as the ring has to have it.
    pub(crate) fn record(&self) -> Record<'_> {
        Record {
            certificate: self.checkpoint.is_none(),
            next_epoch: self.next_epoch,
            segment: self.segment,
            bytes: self.checkpoint.as_ref().unwrap_or(&self.certificate),
        }
    }
}

/// All zeros is no secret.
fn is_seed(seed: &Secret) -> bool {
    seed.iter().any(|byte| *byte != 0)
}

impl Canonical<'_> for State {
    fn write(&self, out: &mut Writer<'_>) -> Written {
        let mut bytes = Zeroizing::new([0; STATE_BYTES]);
        let mut inner = Encoder::new(Cursor::new(bytes.as_mut_slice()));
        let (format, seed) = match &self.seed {
            StoredSeed::Open(seed) => (FORMAT, &seed[..]),
            StoredSeed::Locked(locked) => (FORMAT_LOCKED, &locked[..]),
        };
        inner.map(9)?.u8(1)?.u64(format)?.u8(2)?.bytes(&self.device)?.u8(3)?.bytes(&self.ring)?;
        inner.u8(4)?.u64(self.generation)?.u8(5)?.u64(self.next_epoch)?.u8(6)?.bytes(seed)?;
        inner.u8(7)?.bytes(&self.certificate)?.u8(8)?;
        match &self.checkpoint {
            Some(checkpoint) => inner.bytes(checkpoint)?,
            None => inner.null()?,
        };
        inner.u8(9)?.u64(self.segment)?;
        let length = inner.writer().position();
        out.array(2)?.bytes(&bytes[..length])?.u32(CRC.checksum(&bytes[..length]))?;
        Ok(())
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Unread> {
        fn record(bytes: &[u8]) -> Result<RecordBytes, Unread> {
            RecordBytes::from_slice(bytes).map_err(|_| Unread::message("too long"))
        }
        exactly(input.array()?, 2)?;
        // Format and checksum are held by writing it again.
        let mut input = Decoder::new(input.bytes()?);
        exactly(input.map()?, 9)?;
        key(&mut input, 1)?;
        let locked = input.u64()? == FORMAT_LOCKED;
        key(&mut input, 2)?;
        let device = array(&mut input)?;
        key(&mut input, 3)?;
        let ring = array(&mut input)?;
        key(&mut input, 4)?;
        let generation = input.u64()?;
        key(&mut input, 5)?;
        let next_epoch = input.u64()?;
        key(&mut input, 6)?;
        let seed = if locked {
            StoredSeed::Locked(array(&mut input)?)
        } else {
            StoredSeed::Open(Zeroizing::new(array(&mut input)?))
        };
        key(&mut input, 7)?;
        let certificate = record(input.bytes()?)?;
        key(&mut input, 8)?;
        let checkpoint = if input.datatype()? == minicbor::data::Type::Null {
            input.null()?;
            None
        } else {
            Some(record(input.bytes()?)?)
        };
        key(&mut input, 9)?;
        let segment = input.u64()?;
        Ok(Self { device, ring, generation, next_epoch, seed, certificate, checkpoint, segment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_state_fits() {
        let record = || RecordBytes::from_slice(&[7; RECORD_BYTES]).expect("as long as can be");
        let state = State {
            device: [1; 16],
            ring: [2; 16],
            generation: u64::MAX,
            next_epoch: u64::MAX,
            seed: StoredSeed::Open(Zeroizing::new([3; 32])),
            certificate: record(),
            checkpoint: Some(record()),
            segment: u64::MAX,
        };
        let copy = state.encode();
        assert!(State::decode(&copy).is_some_and(|read| read == state));
        let zero = State { seed: StoredSeed::Open(Zeroizing::new([0; 32])), ..state.clone() };
        assert!(State::decode(&zero.encode()).is_none());

        let storage = |byte| StorageKey::new(Zeroizing::new([byte; 32]));
        let copy = state.lock(&storage(1)).encode();
        assert!(!copy.windows(8).any(|bytes| bytes == [3; 8]), "the secret can be read");
        let locked = State::decode(&copy).expect("it fits, too");
        assert!(locked.is_locked() && locked.key().is_none());
        assert_eq!((locked.generation(), locked.certificate()), (u64::MAX, state.certificate()));
        assert!(locked.clone().unlock(&storage(1)) == state);
        assert!(locked.clone().unlock(&storage(2)).is_locked(), "another key");
        let moved = State { generation: 1, ..locked };
        assert!(moved.unlock(&storage(1)).is_locked(), "the secret of another generation");
        assert!(
            State::decode(&zero.lock(&storage(1)).encode())
                .is_some_and(|zero| zero.unlock(&storage(1)).is_locked())
        );
    }
}
