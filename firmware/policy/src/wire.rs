//! The compiled form's pieces, and the strict way to take one from the front of the bytes.

use serde::{Deserialize, Serialize};

use crate::PolicyError;

/// The format that this version writes and reads.
pub(crate) const FORMAT: u8 = 1;

/// First piece.
#[derive(Serialize, Deserialize)]
pub(crate) struct Head<'a> {
    pub(crate) format: u8,
    pub(crate) mode: u8,
    pub(crate) name: &'a str,
    pub(crate) workloads: u32,
    pub(crate) rules: u32,
}

/// One per rule; `paths` and then `tags` strings follow.
#[derive(Serialize, Deserialize)]
pub(crate) struct RuleHead<'a> {
    pub(crate) name: &'a str,
    pub(crate) action: u8,
    pub(crate) operations: u8,
    /// Bit `n % 8` of byte `n / 8` stands for workload index `n + 1`.
    #[serde(borrow)]
    pub(crate) workloads: &'a [u8],
    pub(crate) paths: u32,
    pub(crate) tags: u32,
}

/// Takes one piece from the front. Postcard reads some things that it would not write (long varints), so the piece is
/// written again and compared, without a buffer.
pub(crate) fn take<'a, T: Deserialize<'a> + Serialize>(
    bytes: &'a [u8],
) -> Result<(T, &'a [u8]), PolicyError> {
    let (piece, rest) = postcard::take_from_bytes::<T>(bytes).map_err(|_| PolicyError::Malformed)?;
    let used = bytes.len() - rest.len();
    let left = postcard::serialize_with_flavor(&piece, Compare(&bytes[..used]));
    match left {
        Ok(true) => Ok((piece, rest)),
        _ => Err(PolicyError::NotCanonical),
    }
}

/// Takes one string from the front.
pub(crate) fn take_str(bytes: &[u8]) -> Result<(&str, &[u8]), PolicyError> {
    take(bytes)
}

/// A postcard sink that only accepts the bytes it expects; true when all of them came.
struct Compare<'a>(&'a [u8]);

impl postcard::ser_flavors::Flavor for Compare<'_> {
    type Output = bool;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                Ok(())
            }
            _ => Err(postcard::Error::SerializeBufferFull),
        }
    }

    fn finalize(self) -> postcard::Result<bool> {
        Ok(self.0.is_empty())
    }
}
