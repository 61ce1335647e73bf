//! Strict CBOR: read with minicbor, write again, compare.

use minicbor::Encoder;
use minicbor::encode::Write;

/// A value that writes itself in its one encoding.
pub(crate) trait Canonical {
    /// Writes the deterministic encoding (RFC 8949 section 4.2.1).
    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W>;

    /// True when `bytes` are exactly that encoding.
    fn is_exactly(&self, bytes: &[u8]) -> bool {
        let mut out = Encoder::new(Compare(bytes));
        self.write(&mut out).is_ok() && out.writer().0.is_empty()
    }

    /// Writes to the front of `out`; `None` when there is no room.
    fn write_to(&self, out: &mut [u8]) -> Option<usize> {
        let mut encoder = Encoder::new(minicbor::encode::write::Cursor::new(out));
        self.write(&mut encoder).ok()?;
        Some(encoder.writer().position())
    }
}

pub(crate) type Written<W> = Result<(), minicbor::encode::Error<<W as Write>::Error>>;

/// A sink that only accepts the bytes it expects.
struct Compare<'a>(&'a [u8]);

/// Other bytes than expected.
struct Differs;

impl Write for Compare<'_> {
    type Error = Differs;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Differs> {
        self.0 = self.0.strip_prefix(bytes).ok_or(Differs)?;
        Ok(())
    }
}

/// Why strict reading failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Not CBOR of the right types, or it ends early.
    Cbor,
    /// A key that is not next, or a value that is not possible.
    Value,
    /// Indefinite lengths.
    Indefinite,
}

impl From<minicbor::decode::Error> for Unread {
    fn from(_: minicbor::decode::Error) -> Self {
        Self::Cbor
    }
}

/// Reads values in the order in which the writer writes them.
pub(crate) struct Reader<'a>(minicbor::Decoder<'a>);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(minicbor::Decoder::new(bytes))
    }

    /// A map with exactly `entries` entries.
    pub(crate) fn map(&mut self, entries: u64) -> Result<(), Unread> {
        self.map_of(&[entries]).map(drop)
    }

    /// A map; how many entries it has.
    pub(crate) fn map_of_any(&mut self) -> Result<u64, Unread> {
        self.0.map()?.ok_or(Unread::Indefinite)
    }

    /// A map with one of these numbers of entries; which.
    pub(crate) fn map_of(&mut self, entries: &[u64]) -> Result<u64, Unread> {
        match self.0.map()? {
            Some(found) if entries.contains(&found) => Ok(found),
            Some(_) => Err(Unread::Value),
            None => Err(Unread::Indefinite),
        }
    }

    /// An array; at most `most` items.
    pub(crate) fn array(&mut self, most: usize) -> Result<usize, Unread> {
        match self.0.array()? {
            Some(found) => usize::try_from(found).ok().filter(|n| *n <= most).ok_or(Unread::Value),
            None => Err(Unread::Indefinite),
        }
    }

    pub(crate) fn key(&mut self, expected: u8) -> Result<(), Unread> {
        if self.0.u8()? == expected { Ok(()) } else { Err(Unread::Value) }
    }

    pub(crate) fn u32_at(&mut self, key: u8) -> Result<u32, Unread> {
        self.key(key)?;
        Ok(self.0.u32()?)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Unread> {
        Ok(self.0.u64()?)
    }

    pub(crate) fn u64_at(&mut self, key: u8) -> Result<u64, Unread> {
        self.key(key)?;
        self.u64()
    }

    pub(crate) fn u8_at(&mut self, key: u8) -> Result<u8, Unread> {
        self.key(key)?;
        Ok(self.0.u8()?)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Unread> {
        Ok(self.0.u16()?)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, Unread> {
        Ok(self.0.bool()?)
    }

    pub(crate) fn bool_at(&mut self, key: u8) -> Result<bool, Unread> {
        self.key(key)?;
        self.bool()
    }

    pub(crate) fn str(&mut self, longest: usize) -> Result<&'a str, Unread> {
        let text = self.0.str()?;
        if text.len() <= longest { Ok(text) } else { Err(Unread::Value) }
    }

    /// A byte string of at most `longest` bytes.
    pub(crate) fn bytes(&mut self, longest: usize) -> Result<&'a [u8], Unread> {
        let bytes = self.0.bytes()?;
        if bytes.len() <= longest { Ok(bytes) } else { Err(Unread::Value) }
    }

    /// A byte string of exactly `N` bytes.
    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Unread> {
        self.0.bytes()?.try_into().map_err(|_| Unread::Value)
    }

    /// True and consumed when `null` is next.
    pub(crate) fn null(&mut self) -> Result<bool, Unread> {
        if self.0.datatype()? == minicbor::data::Type::Null {
            self.0.null()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Consumed when it is `null` (false) or `true` that is next.
    pub(crate) fn null_or_true(&mut self) -> Result<Option<bool>, Unread> {
        if self.0.datatype()? != minicbor::data::Type::Bool {
            return Ok(self.null()?.then_some(false));
        }
        if self.0.bool()? { Ok(Some(true)) } else { Err(Unread::Value) }
    }

    /// True and consumed when the text `any` is next.
    pub(crate) fn any(&mut self) -> Result<bool, Unread> {
        if self.0.datatype()? == minicbor::data::Type::String {
            return if self.0.str()? == ANY { Ok(true) } else { Err(Unread::Value) };
        }
        Ok(false)
    }
}

/// What a selector that selects everything says.
pub(crate) const ANY: &str = "any";
