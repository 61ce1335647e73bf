//! `COSE_Sign` (RFC 9052 section 4.1): many signers, payload inside or detached; thresholds.

use ed25519_compact::{PublicKey, SecretKey, Signature};

use crate::head::{BytesHead, EMPTY_MAP, NIL, Reader, Writer, protected};
use crate::key::{KeyId, key_id};
use crate::limits::{PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SIGNER_BYTES, SIGNERS};
use crate::{CoseError, Domain};

/// Tag 98, array of 4, empty protected header, empty unprotected header.
const START: [u8; 5] = [0xd8, 0x62, 0x84, 0x40, EMPTY_MAP];
/// Array of 5, text "Signature", empty body header: the front of `Sig_structure` (RFC 9052 section 4.4).
const CONTEXT: &[u8] = b"\x85\x69Signature\x40";
const ARRAY: u8 = 0x80;
const SIGNER_START: u8 = 0x83;

/// A `COSE_Sign` that was read but **not verified**.
#[derive(Clone, Copy, Debug)]
pub struct Sign<'a> {
    payload: Option<&'a [u8]>,
    signers: &'a [u8],
}

/// One signature of a `COSE_Sign`.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// Who claims to have signed.
    pub kid: KeyId,
    signature: &'a [u8; SIGNATURE_BYTES],
}

impl<'a> Sign<'a> {
    /// Reads the one message that `bytes` is.
    ///
    /// # Errors
    /// [`CoseError::Truncated`], [`CoseError::TrailingBytes`], [`CoseError::NotCanonical`], [`CoseError::Signers`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CoseError> {
        let mut reader = Reader(bytes);
        reader.exactly(&START)?;
        let payload = if reader.0.first() == Some(&NIL) {
            reader.byte()?;
            None
        } else {
            Some(reader.bytes()?)
        };
        let head = reader.byte()?;
        if head & 0xe0 != ARRAY {
            return Err(CoseError::NotCanonical);
        }
        let count = usize::from(head & 0x1f);
        if count == 0 || count > SIGNERS {
            return Err(CoseError::Signers);
        }
        let signers = reader.take(count * SIGNER_BYTES)?;
        if !reader.0.is_empty() {
            return Err(CoseError::TrailingBytes);
        }
        for signer in signers.chunks_exact(SIGNER_BYTES) {
            Signer::parse(signer)?;
        }
        Ok(Self { payload, signers })
    }

    /// The payload inside, **before any signature was checked**; `None` when it is detached.
    pub const fn unverified_payload(&self) -> Option<&'a [u8]> {
        self.payload
    }

    /// The signatures, in the order in which they stand.
    pub fn signers(&self) -> impl Iterator<Item = Signer<'a>> + use<'a> {
        // `parse` read each of them.
        self.signers.chunks_exact(SIGNER_BYTES).filter_map(|signer| Signer::parse(signer).ok())
    }
}

impl<'a> Signer<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, CoseError> {
        let mut reader = Reader(bytes);
        reader.exactly(&[SIGNER_START])?;
        let kid = reader.protected()?;
        reader.exactly(&[EMPTY_MAP])?;
        Ok(Self { kid, signature: reader.signature()? })
    }

    /// The signature's bytes, **not verified**: to write the message again with one more.
    pub const fn signature(&self) -> &'a [u8; SIGNATURE_BYTES] {
        self.signature
    }

    /// Checks this signature over `payload`.
    ///
    /// # Errors
    /// [`CoseError::UnknownKey`] when another key claims to have signed, [`CoseError::BadSignature`].
    pub fn verify(&self, domain: Domain, payload: &[u8], key: &PublicKey) -> Result<(), CoseError> {
        if key_id(key) != self.kid {
            return Err(CoseError::UnknownKey);
        }
        let signature = Signature::new(*self.signature);
        let mut state = key.verify_incremental(&signature).map_err(|_| CoseError::BadSignature)?;
        state.absorb(CONTEXT);
        state.absorb(protected(self.kid));
        state.absorb(BytesHead::new(domain.aad().len()).bytes());
        state.absorb(domain.aad());
        state.absorb(BytesHead::new(payload.len()).bytes());
        state.absorb(payload);
        state.verify().map_err(|_| CoseError::BadSignature)
    }
}

/// Checks that at least `threshold` distinct keys of `keys` signed `payload`.
///
/// Distinct means distinct key bytes: a key listed or signing twice counts once. A signature by a key that is not
/// in `keys` is passed over, so that one bundle can serve hosts before and after a key rotation; a signature
/// that claims to be by a key in `keys` and does not verify refuses the whole.
///
/// # Errors
/// [`CoseError::UnknownKey`] when no signature is by a key of `keys`, [`CoseError::BadSignature`],
/// [`CoseError::Threshold`] (also for a threshold of 0, which nothing meets), [`CoseError::BadKey`].
pub fn verify_threshold(
    message: &Sign<'_>,
    domain: Domain,
    payload: &[u8],
    keys: &[[u8; PUBLIC_KEY_BYTES]],
    threshold: usize,
) -> Result<(), CoseError> {
    let mut distinct = 0;
    for (index, key) in keys.iter().enumerate() {
        if keys[..index].contains(key) {
            continue;
        }
        let key = crate::public_key(key)?;
        let kid = key_id(&key);
        let mut signed = false;
        for signer in message.signers().filter(|signer| signer.kid == kid) {
            signer.verify(domain, payload, &key)?;
            signed = true;
        }
        distinct += usize::from(signed);
    }
    match distinct {
        0 => Err(CoseError::UnknownKey),
        _ if threshold == 0 || distinct < threshold => Err(CoseError::Threshold),
        _ => Ok(()),
    }
}

/// One signature over `payload`, made with `scratch`, which must hold `payload.len()` +
/// [`crate::limits::SIGN1_OVERHEAD`] bytes.
///
/// # Errors
/// [`CoseError::NoRoom`].
pub fn signature(
    payload: &[u8],
    domain: Domain,
    key: &SecretKey,
    scratch: &mut [u8],
) -> Result<(KeyId, [u8; SIGNATURE_BYTES]), CoseError> {
    let kid = key_id(&key.public_key());
    let mut writer = Writer::new(scratch);
    writer.put(CONTEXT)?;
    writer.put(&protected(kid))?;
    writer.put_bytes(domain.aad())?;
    writer.put_bytes(payload)?;
    let length = writer.used();
    Ok((kid, *key.sign(&scratch[..length], None)))
}

/// Writes a `COSE_Sign` with a detached payload to the front of `out`; returns how many bytes it took.
///
/// # Errors
/// [`CoseError::NoRoom`], [`CoseError::Signers`].
pub fn sign_detached(
    signatures: &[(KeyId, [u8; SIGNATURE_BYTES])],
    out: &mut [u8],
) -> Result<usize, CoseError> {
    write(None, signatures, out)
}

/// Writes a `COSE_Sign` with its payload inside to the front of `out`; returns how many bytes it took.
///
/// # Errors
/// [`CoseError::NoRoom`], [`CoseError::Signers`].
pub fn sign_embedded(
    payload: &[u8],
    signatures: &[(KeyId, [u8; SIGNATURE_BYTES])],
    out: &mut [u8],
) -> Result<usize, CoseError> {
    write(Some(payload), signatures, out)
}

fn write(
    payload: Option<&[u8]>,
    signatures: &[(KeyId, [u8; SIGNATURE_BYTES])],
    out: &mut [u8],
) -> Result<usize, CoseError> {
    if signatures.is_empty() || signatures.len() > SIGNERS {
        return Err(CoseError::Signers);
    }
    let mut writer = Writer::new(out);
    writer.put(&START)?;
    match payload {
        Some(payload) => writer.put_bytes(payload)?,
        None => writer.put(&[NIL])?,
    }
    writer.put(&[ARRAY | signatures.len() as u8])?;
    for (kid, signature) in signatures {
        writer.put(&[SIGNER_START])?;
        writer.put(&protected(*kid))?;
        writer.put(&[EMPTY_MAP])?;
        writer.put_signature(signature)?;
    }
    Ok(writer.used())
}
