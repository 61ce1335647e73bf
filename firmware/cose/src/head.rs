//! CBOR heads, by hand: the messages are rigid, so that a reader needs a cursor and a length, not a parser.

use crate::CoseError;
use crate::key::KeyId;
use crate::limits::{KID_BYTES, PROTECTED_BYTES, SIGNATURE_BYTES};

/// `<< {1: -8, 4: bstr(8)} >>` up to the kid.
const PROTECTED: [u8; PROTECTED_BYTES - KID_BYTES] = [0x4d, 0xa2, 0x01, 0x27, 0x04, 0x48];
/// Head of a 64-byte byte string.
const SIGNATURE_HEAD: [u8; 2] = [0x58, 0x40];
pub(crate) const EMPTY_MAP: u8 = 0xa0;
pub(crate) const NIL: u8 = 0xf6;
/// Longest head: one byte and a 64-bit length.
const HEAD_BYTES: usize = 9;

/// The protected header with its byte-string head.
pub(crate) fn protected(kid: KeyId) -> [u8; PROTECTED_BYTES] {
    let mut out = [0; PROTECTED_BYTES];
    out[..PROTECTED.len()].copy_from_slice(&PROTECTED);
    out[PROTECTED.len()..].copy_from_slice(&kid);
    out
}

/// A byte-string head in its shortest form, on the stack.
pub(crate) struct BytesHead([u8; HEAD_BYTES], usize);

impl BytesHead {
    pub(crate) fn new(length: usize) -> Self {
        let mut out = [0; HEAD_BYTES];
        let big = (length as u64).to_be_bytes();
        let used = match length {
            0..=23 => 0,
            24..=0xff => 1,
            0x100..=0xffff => 2,
            0x1_0000..=0xffff_ffff => 4,
            _ => 8,
        };
        out[0] = match used {
            0 => 0x40 | big[7],
            1 => 0x58,
            2 => 0x59,
            4 => 0x5a,
            _ => 0x5b,
        };
        out[1..=used].copy_from_slice(&big[8 - used..]);
        Self(out, 1 + used)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0[..self.1]
    }
}

/// Reads forward through a message; refuses whatever is not exactly what is asked for.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], CoseError> {
        let (front, rest) = self.0.split_at_checked(length).ok_or(CoseError::Truncated)?;
        self.0 = rest;
        Ok(front)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, CoseError> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn exactly(&mut self, expected: &[u8]) -> Result<(), CoseError> {
        for byte in expected {
            if self.byte()? != *byte {
                return Err(CoseError::NotCanonical);
            }
        }
        Ok(())
    }

    /// A byte string with a definite length in its shortest form.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CoseError> {
        let before = self.0;
        let width = match self.byte()? {
            head @ 0x40..=0x57 => return self.take(usize::from(head & 0x1f)),
            0x58 => 1,
            0x59 => 2,
            0x5a => 4,
            // Eight-byte lengths are above every bound of ours.
            _ => return Err(CoseError::NotCanonical),
        };
        let length = self.take(width)?.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        if BytesHead::new(length).bytes() != &before[..=width] {
            return Err(CoseError::NotCanonical);
        }
        self.take(length)
    }

    pub(crate) fn protected(&mut self) -> Result<KeyId, CoseError> {
        self.exactly(&PROTECTED)?;
        let mut kid = [0; KID_BYTES];
        kid.copy_from_slice(self.take(KID_BYTES)?);
        Ok(kid)
    }

    pub(crate) fn signature(&mut self) -> Result<&'a [u8; SIGNATURE_BYTES], CoseError> {
        self.exactly(&SIGNATURE_HEAD)?;
        self.take(SIGNATURE_BYTES)?.try_into().map_err(|_| CoseError::Truncated)
    }
}

/// Writes forward into a slice.
pub(crate) struct Writer<'b> {
    out: &'b mut [u8],
    used: usize,
}

impl<'b> Writer<'b> {
    pub(crate) fn new(out: &'b mut [u8]) -> Self {
        Self { out, used: 0 }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), CoseError> {
        let end = self.used.checked_add(bytes.len()).ok_or(CoseError::NoRoom)?;
        self.out.get_mut(self.used..end).ok_or(CoseError::NoRoom)?.copy_from_slice(bytes);
        self.used = end;
        Ok(())
    }

    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) -> Result<(), CoseError> {
        self.put(BytesHead::new(bytes.len()).bytes())?;
        self.put(bytes)
    }

    pub(crate) fn put_signature(&mut self, signature: &[u8]) -> Result<(), CoseError> {
        self.put(&SIGNATURE_HEAD)?;
        self.put(signature)
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }
}
