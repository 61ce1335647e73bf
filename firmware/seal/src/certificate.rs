//! The certificate of a first sealing key: the device says whose seals these are.

use aegis_cose::{CoseError, Domain, KeyPair, PublicKey, Sign1, device_id, open_sign1, sign1};
use minicbor::Decoder;

use crate::cbor::{Canonical, Unread, Writer, Written, array, exactly, key, optional, put_optional};
use crate::error::RecordError;
use crate::{Hash, Id, limits};

/// `type` of a certificate (key 0).
pub const CERTIFICATE: &str = "sealing-key";
const FORMAT: u64 = 1;

/// What a device says of the key that begins a chain (`docs/formats/export.cddl`, `certificate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The device's Ed25519 public key.
    pub device_key: [u8; 32],
    /// The ring that is sealed.
    pub ring: Id,
    /// The first epoch that is sealed with the key; 0 in a ring that was not sealed before.
    pub epoch: u64,
    /// The public key of that epoch.
    pub key: [u8; 32],
    /// SHA-256 of the last record of the chain before it, which could not be gone on with; none for a ring's first.
    pub previous: Option<Hash>,
    /// The boot it was made in.
    pub boot: Id,
    /// `CLOCK_BOOTTIME`, ns.
    pub boottime: u64,
}

impl Certificate {
    /// Device id.
    pub fn device(&self) -> Id {
        device_id(&self.device_key)
    }

    /// Signs it with the device's key; returns the length of the record at the front of `out`.
    pub(crate) fn sign(&self, device: &KeyPair, out: &mut [u8]) -> Result<usize, CoseError> {
        let mut payload = [0; limits::PAYLOAD_BYTES];
        let length = self.encode_to(&mut payload).ok_or(CoseError::NoRoom)?;
        sign1(&payload[..length], Domain::Seal, &device.sk, out)
    }

    /// Verifies a record by this device's key, and reads it.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn open(record: &[u8], device: &PublicKey) -> Result<Self, RecordError> {
        let payload = open_sign1(record, Domain::Seal, device).map_err(|error| match error {
            CoseError::Truncated | CoseError::NotCanonical | CoseError::TrailingBytes => {
                RecordError::NotARecord
            }
            other => RecordError::Signature(other),
        })?;
        let certificate = Self::decode(payload)?;
        if certificate.device_key == **device { Ok(certificate) } else { Err(RecordError::Device) }
    }

    /// Reads a record **without checking its signature**.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn peek(record: &[u8]) -> Result<Self, RecordError> {
        let (message, rest) = Sign1::take(record).map_err(|_| RecordError::NotARecord)?;
        if rest.is_empty() {
            Self::decode(message.unverified_payload())
        } else {
            Err(RecordError::NotARecord)
        }
    }

    fn decode(payload: &[u8]) -> Result<Self, RecordError> {
        Self::decode_from(payload, &mut [0; limits::PAYLOAD_BYTES]).ok_or(RecordError::Payload)
    }
}

impl Canonical<'_> for Certificate {
    fn write(&self, out: &mut Writer<'_>) -> Written {
        out.map(10)?.u8(0)?.str(CERTIFICATE)?.u8(1)?.u64(FORMAT)?;
        out.u8(2)?.bytes(&self.device())?.u8(3)?.bytes(&self.ring)?.u8(4)?.bytes(&self.boot)?;
        out.u8(5)?.u64(self.epoch)?.u8(6)?.bytes(&self.key)?.u8(7)?.bytes(&self.device_key)?.u8(8)?;
        put_optional(out, self.previous.as_ref())?;
        out.u8(9)?.u64(self.boottime)?;
        Ok(())
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Unread> {
        exactly(input.map()?, 10)?;
        key(input, 0)?;
        input.str()?;
        key(input, 1)?;
        input.u64()?;
        key(input, 2)?;
        input.bytes()?;
        key(input, 3)?;
        let ring = array(input)?;
        key(input, 4)?;
        let boot = array(input)?;
        key(input, 5)?;
        let epoch = input.u64()?;
        key(input, 6)?;
        let first = array(input)?;
        key(input, 7)?;
        let device_key = array(input)?;
        key(input, 8)?;
        let previous = optional(input)?;
        key(input, 9)?;
        // Type, format and device id are held by writing it again.
        Ok(Self { device_key, ring, epoch, key: first, previous, boot, boottime: input.u64()? })
    }
}
