//! `COSE_Sign1` (RFC 9052 section 4.2): one signer, payload inside.

use ed25519_compact::{PublicKey, SecretKey, Signature};

use crate::head::{BytesHead, EMPTY_MAP, Reader, Writer, protected};
use crate::key::{KeyId, key_id};
use crate::limits::{PROTECTED_BYTES, SIGNATURE_BYTES};
use crate::{CoseError, Domain};

/// Tag 18, array of 4.
const START: [u8; 2] = [0xd2, 0x84];
/// Array of 4, text "Signature1": the front of `Sig_structure` (RFC 9052 section 4.4).
const CONTEXT: &[u8] = b"\x84\x6aSignature1";

/// Writes `payload`, signed, to the front of `out` and returns how many bytes it took.
///
/// `out` must hold `payload.len()` + [`crate::limits::SIGN1_OVERHEAD`] bytes. The signature is RFC 8032's
/// deterministic one: the same payload and key give the same bytes.
///
/// # Errors
/// [`CoseError::NoRoom`]. Nothing is to be read from `out` after an error.
pub fn sign1(payload: &[u8], domain: Domain, key: &SecretKey, out: &mut [u8]) -> Result<usize, CoseError> {
    let protected = protected(key_id(&key.public_key()));
    // Ed25519 hashes the message twice, so it has to be in one piece: build it where the result will be.
    let mut writer = Writer::new(out);
    writer.put(CONTEXT)?;
    writer.put(&protected)?;
    writer.put_bytes(domain.aad())?;
    writer.put_bytes(payload)?;
    let length = writer.used();
    let signature = key.sign(&out[..length], None);

    let mut writer = Writer::new(out);
    writer.put(&START)?;
    writer.put(&protected)?;
    writer.put(&[EMPTY_MAP])?;
    writer.put_bytes(payload)?;
    writer.put_signature(signature.as_ref())?;
    Ok(writer.used())
}

/// A `COSE_Sign1` that was read but **not verified**.
#[derive(Clone, Copy, Debug)]
pub struct Sign1<'a> {
    kid: KeyId,
    payload: &'a [u8],
    signature: &'a [u8; SIGNATURE_BYTES],
}

impl<'a> Sign1<'a> {
    /// Reads one message from the front of `bytes`; also returns what follows it, as in a CBOR sequence
    /// (RFC 8742).
    ///
    /// # Errors
    /// [`CoseError::Truncated`] or [`CoseError::NotCanonical`].
    pub fn take(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), CoseError> {
        let mut reader = Reader(bytes);
        reader.exactly(&START)?;
        let kid = reader.protected()?;
        reader.exactly(&[EMPTY_MAP])?;
        let payload = reader.bytes()?;
        let signature = reader.signature()?;
        Ok((Self { kid, payload, signature }, reader.0))
    }

    /// Who claims to have signed.
    pub const fn kid(&self) -> KeyId {
        self.kid
    }

    /// The payload, **before any signature was checked**: to find the key with, as in a receipt that carries its
    /// device's key; never to act on.
    pub const fn unverified_payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Checks the signature and hands out the payload.
    ///
    /// # Errors
    /// [`CoseError::UnknownKey`] when another key claims to have signed, [`CoseError::BadSignature`].
    pub fn verify(&self, domain: Domain, key: &PublicKey) -> Result<&'a [u8], CoseError> {
        if key_id(key) != self.kid {
            return Err(CoseError::UnknownKey);
        }
        let signature = Signature::new(*self.signature);
        let mut state = key.verify_incremental(&signature).map_err(|_| CoseError::BadSignature)?;
        let protected: [u8; PROTECTED_BYTES] = protected(self.kid);
        state.absorb(CONTEXT);
        state.absorb(protected);
        state.absorb(BytesHead::new(domain.aad().len()).bytes());
        state.absorb(domain.aad());
        state.absorb(BytesHead::new(self.payload.len()).bytes());
        state.absorb(self.payload);
        state.verify().map_err(|_| CoseError::BadSignature)?;
        Ok(self.payload)
    }
}

/// Reads and verifies the one message that `bytes` is, and returns its payload.
///
/// # Errors
/// See [`CoseError`].
pub fn open_sign1<'a>(bytes: &'a [u8], domain: Domain, key: &PublicKey) -> Result<&'a [u8], CoseError> {
    let (message, rest) = Sign1::take(bytes)?;
    if !rest.is_empty() {
        return Err(CoseError::TrailingBytes);
    }
    message.verify(domain, key)
}
