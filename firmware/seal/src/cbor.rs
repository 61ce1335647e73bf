//! Deterministic CBOR (RFC 8949, section 4.2.1): written one way, and read only if it was written that way.

use minicbor::encode::write::{Cursor, EndOfSlice};
use minicbor::{Decoder, Encoder};

use crate::Hash;

pub(crate) type Writer<'a> = Encoder<Cursor<&'a mut [u8]>>;
pub(crate) type Written = Result<(), minicbor::encode::Error<EndOfSlice>>;
pub(crate) type Unread = minicbor::decode::Error;

/// Something with one encoding.
pub(crate) trait Canonical<'a>: Sized {
    /// Writes it.
    fn write(&self, out: &mut Writer<'_>) -> Written;
    /// Reads it, however it is written.
    fn read(input: &mut Decoder<'a>) -> Result<Self, Unread>;

    /// Writes it to the front of `out`; none when it does not fit.
    fn encode_to(&self, out: &mut [u8]) -> Option<usize> {
        let mut encoder = Encoder::new(Cursor::new(out));
        self.write(&mut encoder).ok()?;
        Some(encoder.writer().position())
    }

    /// Reads what `bytes` are, all of them; none unless [`Canonical::write`] writes the same. `scratch` must hold as many.
    fn decode_from(bytes: &'a [u8], scratch: &mut [u8]) -> Option<Self> {
        let read = Self::read(&mut Decoder::new(bytes)).ok()?;
        let length = read.encode_to(scratch)?;
        (scratch.get(..length) == Some(bytes)).then_some(read)
    }
}

pub(crate) fn array<const N: usize>(input: &mut Decoder<'_>) -> Result<[u8; N], Unread> {
    input.bytes()?.try_into().map_err(|_| Unread::message("another length"))
}

pub(crate) fn optional(input: &mut Decoder<'_>) -> Result<Option<Hash>, Unread> {
    if input.datatype()? == minicbor::data::Type::Null {
        input.null().map(|()| None)
    } else {
        array(input).map(Some)
    }
}

pub(crate) fn put_optional(out: &mut Writer<'_>, hash: Option<&Hash>) -> Written {
    match hash {
        Some(hash) => out.bytes(hash)?,
        None => out.null()?,
    };
    Ok(())
}

/// Reads entries in order: the next one is `number`'s.
pub(crate) fn key(input: &mut Decoder<'_>, number: u8) -> Result<(), Unread> {
    if input.u8()? == number { Ok(()) } else { Err(Unread::message("another key")) }
}

/// Reads a head of a map or an array.
pub(crate) fn exactly(length: Option<u64>, expected: u64) -> Result<(), Unread> {
    if length == Some(expected) { Ok(()) } else { Err(Unread::message("another length")) }
}
