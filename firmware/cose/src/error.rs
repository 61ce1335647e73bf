//! Why a COSE message is refused.

/// Why a COSE message is refused, or could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoseError {
    /// The bytes end before the message does.
    Truncated,
    /// There are bytes after the message.
    TrailingBytes,
    /// Not the message asked for, or not in its one encoding.
    NotCanonical,
    /// More than [`crate::limits::SIGNERS`] signatures, or none.
    Signers,
    /// No signature is by a key that was asked for.
    UnknownKey,
    /// A signature that claims to be by a known key does not verify.
    BadSignature,
    /// Too few distinct keys signed.
    Threshold,
    /// The key is not a canonical point, or of small order.
    BadKey,
    /// The slice to write into is too short.
    NoRoom,
}

impl CoseError {
    /// The stable reason code (`docs/formats/reason-codes.md`).
    pub const fn code(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::TrailingBytes => "trailing-bytes",
            Self::NotCanonical => "not-canonical",
            Self::Signers => "signers",
            Self::UnknownKey => "unknown-key",
            Self::BadSignature => "bad-signature",
            Self::Threshold => "threshold",
            Self::BadKey => "bad-key",
            Self::NoRoom => "no-room",
        }
    }
}

impl core::fmt::Display for CoseError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the COSE message ends too early",
            Self::TrailingBytes => "there are bytes after the COSE message",
            Self::NotCanonical => "not the COSE message expected, or not in its one encoding",
            Self::Signers => "no signature, or too many",
            Self::UnknownKey => "no signature is by a known key",
            Self::BadSignature => "a signature does not verify",
            Self::Threshold => "too few distinct keys signed",
            Self::BadKey => "not a usable Ed25519 public key (not canonical, or of small order)",
            Self::NoRoom => "no room for the COSE message",
        })
    }
}

impl core::error::Error for CoseError {}
