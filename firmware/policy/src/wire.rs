//! The compiled form's pieces, and the strict way to take one from the front of the bytes.

use serde::{Deserialize, Serialize};

use crate::PolicyError;

/// A format of the compiled form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Of rules on paths alone. It is read, not written: a device that is upgraded has such policies in its slots.
    One,
    /// Without alerts. It is written where there are none, so that a device that knows of none takes it.
    Two,
    /// With alerts.
    Three,
}

impl Format {
    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            3 => Some(Self::Three),
            _ => None,
        }
    }

    #[cfg(feature = "compile")]
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
        }
    }
}

/// First piece of format 2, and of format 3, where the number of alerts follows it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Head<'a> {
    pub(crate) format: u8,
    pub(crate) mode: u8,
    pub(crate) name: &'a str,
    /// Bit 0: workloads are kept off the agent. Bits 1 and 2: [`crate::Argv`].
    pub(crate) flags: u8,
    /// Both 0: there is no deadman.
    pub(crate) deadman_denials: u32,
    pub(crate) deadman_seconds: u32,
    pub(crate) workloads: u32,
    pub(crate) rules: u32,
}

/// One per workload of format 2.
#[derive(Serialize, Deserialize)]
pub(crate) struct WorkloadHead<'a> {
    pub(crate) pattern: &'a str,
    /// 0: no limit.
    pub(crate) rate: u32,
}

/// One per rule of format 2; the target follows, then `tags` strings.
#[derive(Serialize, Deserialize)]
pub(crate) struct RuleHead<'a> {
    pub(crate) name: &'a str,
    pub(crate) effect: u8,
    pub(crate) operations: u32,
    /// Bit `n % 8` of byte `n / 8` stands for workload index `n + 1`.
    #[serde(borrow)]
    pub(crate) workloads: &'a [u8],
    pub(crate) kind: u8,
    pub(crate) tags: u32,
}

/// First piece of format 1.
#[derive(Serialize, Deserialize)]
pub(crate) struct HeadOne<'a> {
    pub(crate) format: u8,
    pub(crate) mode: u8,
    pub(crate) name: &'a str,
    pub(crate) workloads: u32,
    pub(crate) rules: u32,
}

/// One per rule of format 1; `paths` and then `tags` strings follow.
#[derive(Serialize, Deserialize)]
pub(crate) struct RuleHeadOne<'a> {
    pub(crate) name: &'a str,
    /// 1 audit, 2 deny.
    pub(crate) action: u8,
    pub(crate) operations: u8,
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
