//! Why a bundle is refused.

use aegis_cose::CoseError;
use aegis_policy::PolicyError;

use crate::cbor::Unread;

/// A bundle that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Epoch that the bundle claims; 0 when it was refused before a signature vouched for that.
    pub epoch: u64,
    /// Sequence that the bundle claims; 0 when it was refused before a signature vouched for that.
    pub sequence: u64,
}

/// Why a bundle is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Shorter than the header.
    TooShort,
    /// Not a bundle.
    BadMagic,
    /// A format that this version does not know.
    UnsupportedFormat,
    /// A header field that can have only one value has another.
    BadHeader,
    /// The bundle or a section is longer than `limits` allow.
    TooLarge,
    /// The section lengths do not add up to the total length.
    LengthMismatch,
    /// The file is shorter than the header says.
    Truncated,
    /// The file is longer than the header says.
    TrailingBytes,
    /// The signatures section is not the one `COSE_Sign` that it must be.
    BadCose,
    /// The root has no role that signs images: nobody can.
    NoRole,
    /// The root has no role that signs workloads: nobody can.
    NoWorkloadRole,
    /// No signature is by a key of the role that signs it.
    UnknownKey,
    /// A signature that claims to be by a key of the role does not verify.
    BadSignature,
    /// Too few distinct keys signed.
    Threshold,
    /// Too few distinct keys signed, and one that did is revoked.
    RevokedKey,
    /// The manifest is not CBOR of the right shape.
    BadCbor,
    /// The manifest holds a key or a value that it must not.
    BadManifest,
    /// The manifest is not in its deterministic encoding.
    NotCanonical,
    /// The manifest is of another product.
    WrongProduct,
    /// A file is missing from the manifest.
    ContentMissing,
    /// The manifest lists a file that this format does not have.
    ContentExtra,
    /// The lengths in the manifest do not add up to the contents.
    ContentLength,
    /// A file does not have the hash that the manifest lists.
    ContentHash,
    /// The root revokes this manifest.
    Revoked,
    /// The bundle is for other devices.
    WrongDevice,
    /// The bundle is for other architectures.
    WrongArchitecture,
    /// The bundle is for other groups of devices.
    WrongGroup,
    /// The bundle is for other kernels.
    WrongKernel,
    /// The bundle asks for a newer agent.
    AgentTooOld,
    /// The epoch is above that of the root: only a new root can raise it.
    EpochAhead,
    /// Older than what was accepted before.
    Rollback,
    /// The same epoch and sequence as before, and something else.
    ReplayMismatch,
    /// It failed its trial on this device as often as it is tried, or was rolled back from.
    HeldBack,
    /// The policy asks for more than the manifest allows.
    ModeCeiling,
    /// The compiled policy is no good.
    BadPolicy(PolicyError),
    /// The policy source is not text.
    BadSource,
    /// The site section is no good.
    BadSite,
}

impl Reason {
    /// Every reason, with one stand-in for [`Reason::BadPolicy`]: for documents and tests.
    pub const ALL: [Self; 37] = [
        Self::TooShort,
        Self::BadMagic,
        Self::UnsupportedFormat,
        Self::BadHeader,
        Self::TooLarge,
        Self::LengthMismatch,
        Self::Truncated,
        Self::TrailingBytes,
        Self::BadCose,
        Self::NoRole,
        Self::NoWorkloadRole,
        Self::UnknownKey,
        Self::BadSignature,
        Self::Threshold,
        Self::RevokedKey,
        Self::BadCbor,
        Self::BadManifest,
        Self::NotCanonical,
        Self::WrongProduct,
        Self::ContentMissing,
        Self::ContentExtra,
        Self::ContentLength,
        Self::ContentHash,
        Self::Revoked,
        Self::WrongDevice,
        Self::WrongArchitecture,
        Self::WrongGroup,
        Self::WrongKernel,
        Self::AgentTooOld,
        Self::EpochAhead,
        Self::Rollback,
        Self::ReplayMismatch,
        Self::HeldBack,
        Self::ModeCeiling,
        Self::BadPolicy(PolicyError::Malformed),
        Self::BadSource,
        Self::BadSite,
    ];

    /// The stable reason code (`docs/formats/reason-codes.md`).
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooShort => "too-short",
            Self::BadMagic => "bad-magic",
            Self::UnsupportedFormat => "unsupported-format",
            Self::BadHeader => "bad-header",
            Self::TooLarge => "too-large",
            Self::LengthMismatch => "length-mismatch",
            Self::Truncated => "truncated",
            Self::TrailingBytes => "trailing-bytes",
            Self::BadCose => "bad-cose",
            Self::NoRole => "no-image-role",
            Self::NoWorkloadRole => "no-workload-role",
            Self::UnknownKey => "unknown-key",
            Self::BadSignature => "bad-signature",
            Self::Threshold => "threshold",
            Self::RevokedKey => "revoked-key",
            Self::BadCbor => "bad-cbor",
            Self::BadManifest => "bad-manifest",
            Self::NotCanonical => "not-canonical",
            Self::WrongProduct => "wrong-product",
            Self::ContentMissing => "content-missing",
            Self::ContentExtra => "content-extra",
            Self::ContentLength => "content-length",
            Self::ContentHash => "content-hash",
            Self::Revoked => "revoked",
            Self::WrongDevice => "wrong-device",
            Self::WrongArchitecture => "wrong-architecture",
            Self::WrongGroup => "wrong-group",
            Self::WrongKernel => "wrong-kernel",
            Self::AgentTooOld => "agent-too-old",
            Self::EpochAhead => "epoch-ahead",
            Self::Rollback => "rollback",
            Self::ReplayMismatch => "replay-mismatch",
            Self::HeldBack => "held-back",
            Self::ModeCeiling => "mode-ceiling",
            Self::BadPolicy(_) => "bad-policy",
            Self::BadSource => "bad-source",
            Self::BadSite => "bad-site",
        }
    }

    /// The part of the bundle that does not hold.
    const fn place(self) -> &'static str {
        match self {
            Self::TooShort
            | Self::BadMagic
            | Self::UnsupportedFormat
            | Self::BadHeader
            | Self::TooLarge
            | Self::LengthMismatch
            | Self::Truncated
            | Self::TrailingBytes => "header",
            Self::BadCose
            | Self::NoRole
            | Self::NoWorkloadRole
            | Self::UnknownKey
            | Self::BadSignature
            | Self::Threshold
            | Self::RevokedKey => "signatures",
            Self::ContentLength | Self::ContentHash | Self::BadSource | Self::BadSite => "contents",
            Self::BadPolicy(_) | Self::ModeCeiling => "policy",
            _ => "manifest",
        }
    }

    /// What to do about it.
    const fn mend(self) -> &'static str {
        match self {
            Self::TooShort | Self::BadMagic | Self::WrongProduct => {
                "name a file that `aegisctl bundle build` made"
            }
            Self::Truncated
            | Self::TrailingBytes
            | Self::LengthMismatch
            | Self::BadHeader
            | Self::TooLarge
            | Self::ContentLength
            | Self::ContentHash
            | Self::BadSignature
            | Self::BadCose => "copy it again from where it was signed",
            Self::NoRole => "give the root an image role: aegisctl keys rotate --add-image",
            Self::NoWorkloadRole => "give the root a workload role: aegisctl keys rotate --add-workload",
            Self::UnknownKey | Self::Threshold | Self::RevokedKey => {
                "sign it with the keys that root.cbor names for it"
            }
            Self::UnsupportedFormat | Self::AgentTooOld => "update this side first",
            Self::EpochAhead => "build it with the root's epoch",
            Self::Rollback | Self::ReplayMismatch => "build it with a higher sequence",
            Self::HeldBack => {
                "build one with a higher sequence, or insist on the device: aegis policy apply FILE"
            }
            Self::WrongDevice | Self::WrongArchitecture | Self::WrongGroup | Self::WrongKernel => {
                "build it for this device"
            }
            Self::ModeCeiling => "build it with --ceiling enforce",
            _ => "build and sign it again",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::TooShort => "shorter than a bundle's header",
            Self::BadMagic => "not a bundle",
            Self::UnsupportedFormat => "a bundle format that this version does not know",
            Self::BadHeader => "the header holds something that it must not",
            Self::TooLarge => "longer than a bundle may be",
            Self::LengthMismatch => "the header's lengths do not add up",
            Self::Truncated => "shorter than its header says",
            Self::TrailingBytes => "longer than its header says",
            Self::BadCose => "the signatures section is not the COSE_Sign that it must be",
            Self::NoRole => "the root has no image role",
            Self::NoWorkloadRole => "the root has no workload role",
            Self::UnknownKey => "no signature is by a key that the root lists for it",
            Self::BadSignature => "a signature does not verify",
            Self::Threshold => "fewer distinct keys signed than the root asks for",
            Self::RevokedKey => "too few keys that are not revoked signed",
            Self::BadCbor => "the manifest is not CBOR of the right shape",
            Self::BadManifest => "the manifest holds something that it must not",
            Self::NotCanonical => "the manifest is not in its deterministic encoding",
            Self::WrongProduct => "the manifest is of another product",
            Self::ContentMissing => "a file is missing from the manifest",
            Self::ContentExtra => "the manifest lists a file that a bundle does not have",
            Self::ContentLength => "the files' lengths do not add up to the contents",
            Self::ContentHash => "a file does not have the hash that the manifest lists",
            Self::Revoked => "the root revokes this bundle",
            Self::WrongDevice => "the bundle is for other devices",
            Self::WrongArchitecture => "the bundle is for other architectures",
            Self::WrongGroup => "the bundle is for other groups of devices",
            Self::WrongKernel => "the bundle is for other kernels",
            Self::AgentTooOld => "the bundle asks for a newer agent",
            Self::EpochAhead => "the epoch is above that of the root",
            Self::Rollback => "older than what was accepted before",
            Self::ReplayMismatch => "the sequence was accepted before, with something else in it",
            Self::HeldBack => "it failed its trial here, or was rolled back from",
            Self::ModeCeiling => "the policy enforces, and the manifest allows audit only",
            Self::BadPolicy(_) => "the compiled policy is no good",
            Self::BadSource => "the policy source is not UTF-8 text",
            Self::BadSite => "what it says of the site network is no good",
        }
    }
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::BadPolicy(error) => write!(f, "{}: {error}", self.text()),
            other => f.write_str(other.text()),
        }
    }
}

impl Refusal {
    /// The stable reason code (`docs/formats/reason-codes.md`).
    pub const fn code(&self) -> &'static str {
        self.reason.code()
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.reason.place(), self.reason)?;
        if self.sequence != 0 {
            write!(f, " (epoch {}, sequence {})", self.epoch, self.sequence)?;
        }
        write!(f, "; {}", self.reason.mend())
    }
}

impl core::error::Error for Refusal {}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, epoch: 0, sequence: 0 }
    }
}

impl From<CoseError> for Reason {
    fn from(error: CoseError) -> Self {
        match error {
            CoseError::UnknownKey => Self::UnknownKey,
            CoseError::BadSignature => Self::BadSignature,
            CoseError::Threshold => Self::Threshold,
            _ => Self::BadCose,
        }
    }
}

impl From<Unread> for Reason {
    fn from(error: Unread) -> Self {
        match error {
            Unread::Cbor => Self::BadCbor,
            Unread::Value => Self::BadManifest,
            Unread::Indefinite => Self::NotCanonical,
        }
    }
}
