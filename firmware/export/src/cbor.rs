//! A strict reader of deterministic CBOR (RFC 8949, section 4.2.1): shortest lengths, definite items, nothing
//! else. General decoders accept more than one encoding of the same thing; signed evidence must have one.

/// Why bytes are not the CBOR that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CborError {
    /// The input ends; it must be at least this long for the next step.
    End(usize),
    /// Another type, a longer-than-needed length, or a value out of bounds.
    Unexpected,
}

/// Major types (RFC 8949, section 3.1).
const UINT: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
/// Simple values (RFC 8949, section 3.3).
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;

type Result<T> = core::result::Result<T, CborError>;

/// Reads from the front of a slice.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    /// Bytes consumed so far.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// All of the input was consumed.
    pub(crate) fn end(&self) -> Result<()> {
        if self.at == self.input.len() { Ok(()) } else { Err(CborError::Unexpected) }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(length).ok_or(CborError::Unexpected)?;
        let taken = self.input.get(self.at..end).ok_or(CborError::End(end))?;
        self.at = end;
        Ok(taken)
    }

    /// The argument of the next item, which must be of this major type and in its shortest form.
    fn head(&mut self, major: u8) -> Result<u64> {
        let first = self.take(1)?[0];
        if first >> 5 != major {
            return Err(CborError::Unexpected);
        }
        let (width, least) = match first & 0x1f {
            small @ 0..=23 => return Ok(u64::from(small)),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            _ => return Err(CborError::Unexpected),
        };
        let value = self.take(width)?.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        if value < least { Err(CborError::Unexpected) } else { Ok(value) }
    }

    fn exactly(&mut self, major: u8, value: u64) -> Result<()> {
        if self.head(major)? == value { Ok(()) } else { Err(CborError::Unexpected) }
    }

    pub(crate) fn uint(&mut self) -> Result<u64> {
        self.head(UINT)
    }

    pub(crate) fn tag(&mut self, number: u64) -> Result<()> {
        self.exactly(TAG, number)
    }

    /// An array of exactly this many items.
    pub(crate) fn array(&mut self, length: u64) -> Result<()> {
        self.exactly(ARRAY, length)
    }

    /// An array of at most this many items.
    pub(crate) fn array_up_to(&mut self, most: usize) -> Result<usize> {
        self.bounded(ARRAY, most)
    }

    /// A map of exactly this many entries.
    pub(crate) fn map(&mut self, entries: u64) -> Result<()> {
        self.exactly(MAP, entries)
    }

    /// A map of at most this many entries.
    pub(crate) fn map_up_to(&mut self, most: usize) -> Result<usize> {
        self.bounded(MAP, most)
    }

    /// The next map key.
    pub(crate) fn key(&mut self, number: u8) -> Result<()> {
        self.exactly(UINT, u64::from(number))
    }

    fn bounded(&mut self, major: u8, most: usize) -> Result<usize> {
        let length = usize::try_from(self.head(major)?).map_err(|_| CborError::Unexpected)?;
        if length <= most { Ok(length) } else { Err(CborError::Unexpected) }
    }

    /// A byte string of at most this many bytes. The bound is checked before anything is waited for or read.
    pub(crate) fn bytes(&mut self, most: usize) -> Result<&'a [u8]> {
        let length = self.bounded(BYTES, most)?;
        self.take(length)
    }

    /// A byte string of exactly this many bytes.
    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.exactly(BYTES, N as u64)?;
        self.take(N)?.try_into().map_err(|_| CborError::Unexpected)
    }

    /// A text string of at most this many bytes.
    pub(crate) fn text(&mut self, most: usize) -> Result<&'a str> {
        let length = self.bounded(TEXT, most)?;
        core::str::from_utf8(self.take(length)?).map_err(|_| CborError::Unexpected)
    }

    pub(crate) fn bool(&mut self) -> Result<bool> {
        match self.take(1)?[0] {
            FALSE => Ok(false),
            TRUE => Ok(true),
            _ => Err(CborError::Unexpected),
        }
    }

    /// True, and consumed, when the next item is null.
    pub(crate) fn null(&mut self) -> Result<bool> {
        match self.input.get(self.at) {
            Some(&NULL) => {
                self.at += 1;
                Ok(true)
            }
            Some(_) => Ok(false),
            None => Err(CborError::End(self.at + 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CborError, Reader};

    #[test]
    fn only_the_shortest_form_is_read() {
        let cases: &[(&[u8], Result<u64, CborError>)] = &[
            (&[0x17], Ok(23)),
            (&[0x18, 24], Ok(24)),
            (&[0x18, 23], Err(CborError::Unexpected)),
            (&[0x19, 1, 0], Ok(256)),
            (&[0x19, 0, 255], Err(CborError::Unexpected)),
            (&[0x1a, 0, 1, 0, 0], Ok(65536)),
            (&[0x1a, 0, 0, 255, 255], Err(CborError::Unexpected)),
            (&[0x1b, 0, 0, 0, 1, 0, 0, 0, 0], Ok(1 << 32)),
            (&[0x1b, 0, 0, 0, 0, 255, 255, 255, 255], Err(CborError::Unexpected)),
            (&[0x1c], Err(CborError::Unexpected)),
            (&[0x1f], Err(CborError::Unexpected)),
            (&[0x20], Err(CborError::Unexpected)),
            (&[0x19, 1], Err(CborError::End(3))),
            (&[], Err(CborError::End(1))),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Reader::new(bytes).uint(), *expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn a_declared_length_over_the_bound_is_refused_before_it_is_waited_for() {
        let huge = [0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Reader::new(&huge).bytes(64), Err(CborError::Unexpected));
        assert_eq!(Reader::new(&[0x58, 64]).bytes(64), Err(CborError::End(66)));
    }
}
