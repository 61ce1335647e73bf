//! Why there is no export, or only a part of one.

use aegis_cose::CoseError;

/// Why there is no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportError {
    /// `scratch` or `out` is shorter than [`limits::PAYLOAD_BYTES`] or [`limits::ITEM_BYTES`].
    NoRoom,
    /// The request begins after the ring's end: the ring is not the one the cursor was for.
    AheadOfRing {
        /// First sequence asked for.
        asked: u64,
        /// Sequence that the ring would give to its next event.
        next: u64,
    },
    /// The request allows fewer bytes than a manifest needs.
    NoSpace,
    /// The agent version is longer than [`limits::VERSION_BYTES`].
    VersionTooLong,
}

impl ExportError {
    /// The stable reason code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoRoom => "no-room",
            Self::AheadOfRing { .. } => "ahead-of-ring",
            Self::NoSpace => "no-space",
            Self::VersionTooLong => "version-too-long",
        }
    }
}

impl core::fmt::Display for ExportError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoRoom => f.write_str("the buffer for an item is too short"),
            Self::AheadOfRing { asked, next } => {
                write!(f, "sequence {asked} was asked for, but the ring's next one is {next}")
            }
            Self::NoSpace => f.write_str("no space for even an empty export"),
            Self::VersionTooLong => f.write_str("the agent version is too long"),
        }
    }
}

impl core::error::Error for ExportError {}

impl From<CoseError> for ExportError {
    fn from(_: CoseError) -> Self {
        // Signing has one way to fail.
        Self::NoRoom
    }
}

impl<E> From<minicbor::encode::Error<E>> for ExportError {
    fn from(_: minicbor::encode::Error<E>) -> Self {
        Self::NoRoom
    }
}

/// What stopped the export before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage<E> {
    /// The ring could not be read, or was overwritten meanwhile.
    Ring(E),
    /// What the ring gave after this sequence does not continue the chain, is out of order, too long or empty.
    After(u64),
    /// The ring has more gaps than one export can list.
    Gaps,
}

impl<E> Damage<E> {
    /// The stable reason code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Ring(_) => "ring",
            Self::After(_) => "chain-broken",
            Self::Gaps => "too-many-gaps",
        }
    }
}

impl<E: core::fmt::Display> core::fmt::Display for Damage<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Ring(error) => error.fmt(f),
            Self::After(sequence) => {
                write!(f, "what follows sequence {sequence} does not continue the chain")
            }
            Self::Gaps => f.write_str("the ring has more damaged places than one export can list"),
        }
    }
}
