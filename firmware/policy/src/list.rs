//! Lists of a compiled policy: so many pieces, one behind the other.

use core::marker::PhantomData;

use crate::PolicyError;
use crate::net::{Family, Prefix};
use crate::wire::{take, take_str};

/// Something that a list is of.
pub trait Piece<'a>: Sized {
    /// Takes one from the front of the bytes, in its one encoding.
    ///
    /// # Errors
    /// See [`PolicyError`].
    fn take(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), PolicyError>;
}

/// A list. Made over bytes that [`crate::Policy::decode`] checked.
#[derive(Clone, Debug)]
pub struct List<'a, T> {
    left: u32,
    bytes: &'a [u8],
    of: PhantomData<T>,
}

/// Texts: paths, trees, tags.
pub type Strings<'a> = List<'a, &'a str>;
/// Prefixes of addresses, ascending, none within another.
pub type Prefixes<'a> = List<'a, Prefix>;
/// Ranges of ports, first and last, ascending, with room between them.
pub type Ports<'a> = List<'a, (u16, u16)>;
/// Numbers of protocols (`IPPROTO_*`), ascending; 0 is any, and then alone.
pub type Protocols<'a> = List<'a, u8>;
/// SHA-256 digests, ascending.
pub type Hashes<'a> = List<'a, [u8; 32]>;

impl<'a, T> List<'a, T> {
    pub(crate) const fn new(left: u32, bytes: &'a [u8]) -> Self {
        Self { left, bytes, of: PhantomData }
    }
}

impl<'a, T: Piece<'a>> List<'a, T> {
    /// The list of so many that the bytes begin with, and what follows it.
    pub(crate) fn take(count: u32, bytes: &'a [u8]) -> Result<(Self, &'a [u8]), PolicyError> {
        let mut rest = bytes;
        for _ in 0..count {
            rest = T::take(rest)?.1;
        }
        Ok((Self::new(count, bytes), rest))
    }
}

impl<'a, T> List<'a, T> {
    /// What follows what was taken so far.
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a, T: Piece<'a>> Iterator for List<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        let (piece, rest) = T::take(self.bytes).ok()?;
        self.bytes = rest;
        Some(piece)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl<'a, T: Piece<'a>> ExactSizeIterator for List<'a, T> {}

impl<'a> Piece<'a> for &'a str {
    fn take(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), PolicyError> {
        take_str(bytes)
    }
}

impl<'a> Piece<'a> for (u16, u16) {
    fn take(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), PolicyError> {
        take(bytes)
    }
}

impl<'a> Piece<'a> for u8 {
    fn take(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), PolicyError> {
        take(bytes)
    }
}

impl<'a> Piece<'a> for [u8; 32] {
    fn take(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), PolicyError> {
        take(bytes)
    }
}

/// Family and bits, each a byte, then the four or sixteen bytes of the address.
impl<'a> Piece<'a> for Prefix {
    fn take(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), PolicyError> {
        let ((family, bits), rest) = take::<(u8, u8)>(bytes)?;
        let family = Family::from_number(family).ok_or(PolicyError::BadValue)?;
        let length = usize::from(family.bits() / 8);
        let mut address = [0; 16];
        address[..length].copy_from_slice(rest.get(..length).ok_or(PolicyError::Malformed)?);
        Ok((Self { family, address, bits }, &rest[length..]))
    }
}
