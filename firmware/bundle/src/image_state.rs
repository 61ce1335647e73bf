//! What a device remembers of images of the system: part of [`crate::TrustState`].

use minicbor::Encoder;
use minicbor::encode::Write;

use crate::cbor::{Reader, Unread, Written};

/// Keys of the map (`image-state` in `docs/formats/bundle.cddl`).
mod key {
    pub(super) const EPOCH: u8 = 1;
    pub(super) const SEQUENCE: u8 = 2;
    pub(super) const MANIFEST: u8 = 3;
    pub(super) const TRIAL: u8 = 4;
    pub(super) const TRIAL_EPOCH: u8 = 5;
    pub(super) const TRIAL_SEQUENCE: u8 = 6;
    pub(super) const TRIAL_MANIFEST: u8 = 7;
}

/// How far the last image that was taken is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Trial {
    /// None is on trial, and none failed since one succeeded.
    #[default]
    None = 0,
    /// It is being written to the idle slot, or was when the power went.
    Writing = 1,
    /// It is in its slot, whole, and was not seen healthy yet.
    Written = 2,
    /// It used up its boots and was not healthy in any. It is held back.
    Failed = 3,
}

impl Trial {
    /// The value with this number, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Writing),
            2 => Some(Self::Written),
            3 => Some(Self::Failed),
            _ => None,
        }
    }

    /// The word in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Writing => "writing",
            Self::Written => "written",
            Self::Failed => "failed",
        }
    }
}

/// What a device remembers of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageState {
    /// Epoch of the highest image that was committed: booted, and healthy; 0 on a device that has its first one still.
    pub epoch: u64,
    /// Its sequence.
    pub sequence: u64,
    /// SHA-256 of its manifest.
    pub manifest: [u8; 32],
    /// How far the last one that was taken is.
    pub trial: Trial,
    /// Epoch of that one; 0 for none.
    pub trial_epoch: u64,
    /// Its sequence.
    pub trial_sequence: u64,
    /// SHA-256 of its manifest.
    pub trial_manifest: [u8; 32],
}

impl ImageState {
    /// Epoch and sequence of the highest image that was committed.
    pub const fn committed(&self) -> (u64, u64) {
        (self.epoch, self.sequence)
    }

    /// Epoch and sequence of the last one that was taken.
    pub const fn tried(&self) -> (u64, u64) {
        (self.trial_epoch, self.trial_sequence)
    }

    /// This state with another image in the making, or with the one there is further on.
    #[must_use]
    pub const fn with_trial(self, trial: Trial, (epoch, sequence): (u64, u64), manifest: [u8; 32]) -> Self {
        Self { trial, trial_epoch: epoch, trial_sequence: sequence, trial_manifest: manifest, ..self }
    }

    /// This state with that one further on.
    #[must_use]
    pub const fn at(self, trial: Trial) -> Self {
        Self { trial, ..self }
    }

    /// This state without any.
    #[must_use]
    pub const fn without_trial(self) -> Self {
        self.with_trial(Trial::None, (0, 0), [0; 32])
    }

    /// This state with the one on trial committed: nothing older is taken from here on.
    #[must_use]
    pub const fn commit(self) -> Self {
        let Self { trial_epoch, trial_sequence, trial_manifest, .. } = self;
        Self { epoch: trial_epoch, sequence: trial_sequence, manifest: trial_manifest, ..self }
            .without_trial()
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self, Unread> {
        input.map(7)?;
        let epoch = input.u64_at(key::EPOCH)?;
        let sequence = input.u64_at(key::SEQUENCE)?;
        input.key(key::MANIFEST)?;
        let manifest = input.fixed()?;
        let trial = Trial::from_number(input.u8_at(key::TRIAL)?).ok_or(Unread::Value)?;
        let trial_epoch = input.u64_at(key::TRIAL_EPOCH)?;
        let trial_sequence = input.u64_at(key::TRIAL_SEQUENCE)?;
        input.key(key::TRIAL_MANIFEST)?;
        let trial_manifest = input.fixed()?;
        Ok(Self { epoch, sequence, manifest, trial, trial_epoch, trial_sequence, trial_manifest })
    }

    pub(crate) fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        out.map(7)?;
        out.u8(key::EPOCH)?.u64(self.epoch)?;
        out.u8(key::SEQUENCE)?.u64(self.sequence)?;
        out.u8(key::MANIFEST)?.bytes(&self.manifest)?;
        out.u8(key::TRIAL)?.u8(self.trial as u8)?;
        out.u8(key::TRIAL_EPOCH)?.u64(self.trial_epoch)?;
        out.u8(key::TRIAL_SEQUENCE)?.u64(self.trial_sequence)?;
        out.u8(key::TRIAL_MANIFEST)?.bytes(&self.trial_manifest)?;
        Ok(())
    }
}
