//! What a sealer remembers: the one secret key there is, and the last record.
//!
//! A copy is a CBOR array of two: the state as a byte string, and the CRC-32C of that. It never leaves the device.
//! ```text
//! state = { 1 => 1, 2 => device id, 3 => ring id, 4 => generation, 5 => next epoch, 6 => its secret seed (32),
//!           7 => certificate, 8 => last checkpoint / null, 9 => segment that the last of them calls open }
//! ```

use aegis_cose::{KeyPair, Seed};
use aegis_ring::Record;
use minicbor::encode::write::Cursor;
use minicbor::{Decoder, Encoder};
use zeroize::{Zeroize, Zeroizing};

use crate::Id;
use crate::cbor::{Canonical, Unread, Writer, Written, array, exactly, key};
use crate::limits::{RECORD_BYTES, STATE_BYTES};

const FORMAT: u64 = 1;
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
    pub(crate) seed: Zeroizing<[u8; 32]>,
    pub(crate) certificate: RecordBytes,
    pub(crate) checkpoint: Option<RecordBytes>,
    pub(crate) segment: u64,
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

    /// One copy.
    pub fn encode(&self) -> StateCopy {
        let mut copy = StateCopy { bytes: [0; STATE_BYTES], length: 0 };
        // STATE_BYTES hold the longest state: a test has it. An empty copy would be none, never a wrong one.
        copy.length = self.encode_to(&mut copy.bytes).unwrap_or_default();
        copy
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
        // All zeros is no secret.
        Self::decode_from(copy, scratch.as_mut()).filter(|state| state.seed.iter().any(|byte| *byte != 0))
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

    /// The secret key of the next epoch, and its public key.
    pub(crate) fn key(&self) -> KeyPair {
        KeyPair::from_seed(Seed::new(*self.seed))
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

impl Canonical<'_> for State {
    fn write(&self, out: &mut Writer<'_>) -> Written {
        let mut bytes = Zeroizing::new([0; STATE_BYTES]);
        let mut inner = Encoder::new(Cursor::new(bytes.as_mut_slice()));
        inner.map(9)?.u8(1)?.u64(FORMAT)?.u8(2)?.bytes(&self.device)?.u8(3)?.bytes(&self.ring)?;
        inner.u8(4)?.u64(self.generation)?.u8(5)?.u64(self.next_epoch)?.u8(6)?.bytes(self.seed.as_ref())?;
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
        input.u64()?;
        key(&mut input, 2)?;
        let device = array(&mut input)?;
        key(&mut input, 3)?;
        let ring = array(&mut input)?;
        key(&mut input, 4)?;
        let generation = input.u64()?;
        key(&mut input, 5)?;
        let next_epoch = input.u64()?;
        key(&mut input, 6)?;
        let seed = Zeroizing::new(array(&mut input)?);
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
            seed: Zeroizing::new([3; 32]),
            certificate: record(),
            checkpoint: Some(record()),
            segment: u64::MAX,
        };
        let copy = state.encode();
        assert!(State::decode(&copy).is_some_and(|read| read == state));
        let zero = State { seed: Zeroizing::new([0; 32]), ..state };
        assert!(State::decode(&zero.encode()).is_none());
    }
}
