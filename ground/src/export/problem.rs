//! What can be wrong with exports. Codes are stable (`docs/formats/export.md`).

use std::collections::BTreeSet;

use super::limits;

/// One code: what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Code {
    Truncated,
    NotAnItem,
    BadSignature,
    UncheckedSignature,
    BadPayload,
    WrongDevice,
    WrongRing,
    UnknownDevice,
    ManifestMissing,
    ManifestMismatch,
    AfterManifest,
    ItemsChanged,
    ChainBroken,
    HistoryDiffers,
    OutOfOrder,
    SegmentMissing,
    Gap,
    Overwritten,
    Incomplete,
    RingDamaged,
    BadEvent,
    BootOrder,
    AccountsUnbalanced,
    AccountsMismatch,
    CheckpointMissing,
    CheckpointMismatch,
    SealBroken,
    SealRestarted,
    NotSealed,
    RingReplaced,
    DeviceRekeyed,
    Encrypted,
    BadEncryption,
}

impl Code {
    /// The stable code.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::NotAnItem => "not-an-item",
            Self::BadSignature => "bad-signature",
            Self::UncheckedSignature => "unchecked-signature",
            Self::BadPayload => "bad-payload",
            Self::WrongDevice => "wrong-device",
            Self::WrongRing => "wrong-ring",
            Self::UnknownDevice => "unknown-device",
            Self::ManifestMissing => "manifest-missing",
            Self::ManifestMismatch => "manifest-mismatch",
            Self::AfterManifest => "after-manifest",
            Self::ItemsChanged => "items-changed",
            Self::ChainBroken => "chain-broken",
            Self::HistoryDiffers => "history-differs",
            Self::OutOfOrder => "out-of-order",
            Self::SegmentMissing => "segment-missing",
            Self::Gap => "gap",
            Self::Overwritten => "overwritten",
            Self::Incomplete => "incomplete",
            Self::RingDamaged => "ring-damaged",
            Self::BadEvent => "bad-event",
            Self::BootOrder => "boot-order",
            Self::AccountsUnbalanced => "accounts-unbalanced",
            Self::AccountsMismatch => "accounts-mismatch",
            Self::CheckpointMissing => "checkpoint-missing",
            Self::CheckpointMismatch => "checkpoint-mismatch",
            Self::SealBroken => "seal-broken",
            Self::SealRestarted => "seal-restarted",
            Self::NotSealed => "not-sealed",
            Self::RingReplaced => "ring-replaced",
            Self::DeviceRekeyed => "device-rekeyed",
            Self::Encrypted => "encrypted",
            Self::BadEncryption => "bad-encryption",
        }
    }

    /// The file itself is not what its device signed: what it holds must not be shown as evidence.
    pub(super) const fn is_tampering(self) -> bool {
        !matches!(
            self,
            Self::Gap
                | Self::Overwritten
                | Self::Incomplete
                | Self::RingDamaged
                | Self::BadEvent
                | Self::BootOrder
                | Self::AccountsUnbalanced
                | Self::AccountsMismatch
                | Self::CheckpointMissing
                | Self::SealRestarted
                | Self::NotSealed
                | Self::RingReplaced
                | Self::DeviceRekeyed
        )
    }

    /// The checkpoints do not vouch for what is there.
    pub(super) const fn is_seal(self) -> bool {
        matches!(self, Self::CheckpointMismatch | Self::SealBroken)
    }

    /// A signature is bad.
    pub(super) const fn is_signature(self) -> bool {
        matches!(self, Self::BadSignature | Self::WrongDevice)
    }

    /// A signature could not be checked.
    pub(super) const fn is_unchecked(self) -> bool {
        matches!(self, Self::UncheckedSignature | Self::Encrypted | Self::BadEncryption)
    }

    /// The chain does not hold.
    pub(super) const fn is_chain(self) -> bool {
        matches!(
            self,
            Self::ChainBroken
                | Self::HistoryDiffers
                | Self::OutOfOrder
                | Self::SegmentMissing
                | Self::ItemsChanged
        )
    }

    /// The chain holds, with holes.
    pub(super) const fn is_hole(self) -> bool {
        matches!(self, Self::Gap | Self::Overwritten | Self::RingDamaged)
    }
}

/// One thing wrong, or worth knowing.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) code: &'static str,
    /// It is a problem of the sort that [`Code::is_tampering`] tells.
    pub(super) tampering: bool,
    pub(super) file: String,
    pub(super) place: String,
    pub(super) detail: String,
}

/// Everything found, bounded.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Finding>,
    pub(super) notes: Vec<Finding>,
    /// Problems and notes beyond [`limits::PROBLEMS`].
    pub(super) left_out: u64,
    /// Every code of a problem, listed or left out.
    codes: BTreeSet<Code>,
}

impl Findings {
    /// No problem.
    pub(super) fn none(&self) -> bool {
        self.codes.is_empty()
    }

    /// There is a problem of this sort.
    pub(super) fn any(&self, sort: fn(Code) -> bool) -> bool {
        self.codes.iter().any(|code| sort(*code))
    }

    /// What the files hold must not be shown as evidence.
    pub(super) fn tampering(&self) -> bool {
        self.any(Code::is_tampering)
    }

    pub(super) fn problem(
        &mut self,
        code: Code,
        file: &str,
        place: impl Into<String>,
        detail: impl Into<String>,
    ) {
        self.codes.insert(code);
        let finding = Finding {
            code: code.name(),
            tampering: code.is_tampering(),
            file: file.into(),
            place: place.into(),
            detail: detail.into(),
        };
        Self::push(&mut self.problems, &mut self.left_out, finding);
    }

    pub(super) fn note(
        &mut self,
        code: &'static str,
        file: &str,
        place: impl Into<String>,
        detail: impl Into<String>,
    ) {
        let finding =
            Finding { code, tampering: false, file: file.into(), place: place.into(), detail: detail.into() };
        Self::push(&mut self.notes, &mut self.left_out, finding);
    }

    fn push(list: &mut Vec<Finding>, left_out: &mut u64, finding: Finding) {
        if list.len() < limits::PROBLEMS {
            list.push(finding);
        } else {
            *left_out += 1;
        }
    }
}
