//! What was done to the disk in this boot, or could not be: in `/run/aegis/storage`, before any event can be made of it.
//!
//! `aegis storage` writes it before the probes are loaded, the agent says it as events when it starts, and `aegis status` and
//! `aegis health` show it as long as the boot lasts.

use std::io;
use std::path::Path;

use aegis_event::limits::DETAIL_BYTES;
use serde::{Deserialize, Serialize};

use super::{RUN, atomic};
use crate::limits;

const FILE: &str = "storage";

/// What was done or found (`docs/formats/reason-codes.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Code {
    TableMoved,
    TableRepaired,
    TableDamaged,
    RingMade,
    RingLost,
    DataMade,
    DataRemade,
    DataNew,
    DataGrown,
    DataUnreadable,
    DataUnmountable,
    NotMade,
    KeySealed,
    KeyLost,
    DeviceKeyLost,
    DeviceKeyBack,
    TpmOther,
    TpmFailed,
    TrustRolledBack,
    KeyBack,
    LabelTwice,
}

/// How much a code is for a person to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gravity {
    /// As it is to be.
    Good,
    /// To be known.
    Known,
    /// The device is not as it should be.
    Bad,
}

impl Code {
    /// Its name in events, status and JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::TableMoved => "table-moved",
            Self::TableRepaired => "table-repaired",
            Self::TableDamaged => "table-damaged",
            Self::RingMade => "ring-made",
            Self::RingLost => "ring-lost",
            Self::DataMade => "data-made",
            Self::DataRemade => "data-remade",
            Self::DataNew => "data-new",
            Self::DataGrown => "data-grown",
            Self::DataUnreadable => "data-unreadable",
            Self::DataUnmountable => "data-unmountable",
            Self::NotMade => "not-made",
            Self::KeySealed => "key-sealed",
            Self::KeyLost => "key-lost",
            Self::DeviceKeyLost => "device-key-lost",
            Self::DeviceKeyBack => "device-key-back",
            Self::TpmOther => "tpm-other",
            Self::TpmFailed => "tpm-failed",
            Self::TrustRolledBack => "trust-rolled-back",
            Self::KeyBack => "key-back",
            Self::LabelTwice => "label-twice",
        }
    }

    /// How much it is to be known.
    pub(crate) const fn gravity(self) -> Gravity {
        match self {
            Self::TableMoved | Self::RingMade | Self::DataMade | Self::DataGrown | Self::KeySealed => {
                Gravity::Good
            }
            Self::TableRepaired
            | Self::RingLost
            | Self::DataRemade
            | Self::DataNew
            | Self::KeyLost
            | Self::DeviceKeyLost
            | Self::DeviceKeyBack
            | Self::KeyBack
            | Self::LabelTwice
            | Self::TpmOther => Gravity::Known,
            Self::TableDamaged
            | Self::DataUnreadable
            | Self::DataUnmountable
            | Self::NotMade
            | Self::TpmFailed
            | Self::TrustRolledBack => Gravity::Bad,
        }
    }
}

/// One thing that was done or found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) code: Code,
    /// For a person.
    pub(crate) detail: String,
}

/// All of this boot, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report(Vec<Told>);

impl Report {
    /// That of this boot. One that can't be read is said, and empty.
    pub(crate) fn load() -> Self {
        Self::load_from(Path::new(RUN))
    }

    fn load_from(directory: &Path) -> Self {
        atomic::read_or_default(&directory.join(FILE), limits::REPORT_BYTES, |bytes| {
            crate::run::control::strict(bytes)
        })
    }

    /// Says it on the console, and adds it. The same once only.
    pub(crate) fn tell(&mut self, code: Code, detail: impl Into<String>) {
        let mut detail = detail.into();
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES));
        let told = Told { code, detail };
        if self.0.contains(&told) {
            return;
        }
        match code.gravity() {
            Gravity::Good => log::info!("storage: {}: {}", code.name(), told.detail),
            Gravity::Known => log::warn!("STORAGE: {}: {}", code.name(), told.detail),
            Gravity::Bad => log::error!("STORAGE: {}: {}", code.name(), told.detail),
        }
        if self.0.len() < limits::REPORT_ENTRIES {
            self.0.push(told);
        }
    }

    /// Something of these was told.
    pub(crate) fn has(&self, codes: &[Code]) -> bool {
        self.0.iter().any(|told| codes.contains(&told.code))
    }

    /// All of it.
    pub(crate) fn entries(&self) -> &[Told] {
        &self.0
    }

    /// Keeps it for this boot.
    pub(crate) fn save(&self) -> io::Result<()> {
        atomic::make_private_directory(Path::new(RUN))?;
        self.save_to(Path::new(RUN))
    }

    fn save_to(&self, directory: &Path) -> io::Result<()> {
        let mut bytes = [0; limits::REPORT_BYTES as usize];
        let bytes = postcard::to_slice(self, &mut bytes).map_err(io::Error::other)?;
        atomic::replace(directory, FILE, bytes, 0o600).map(drop)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_report_comes_back_as_it_went_and_has_its_bounds() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Report::load_from(folder.path()), Report::default());
        let mut report = Report::default();
        for number in 0..2 * limits::REPORT_ENTRIES {
            report.tell(Code::NotMade, format!("{number} {}", "é".repeat(DETAIL_BYTES)));
            report.tell(Code::NotMade, report.entries()[0].detail.clone());
        }
        assert_eq!(report.entries().len(), limits::REPORT_ENTRIES);
        assert!(report.has(&[Code::DataMade, Code::NotMade]) && !report.has(&[Code::DataMade]));
        report.save_to(folder.path()).unwrap();
        assert_eq!(Report::load_from(folder.path()), report);
        std::fs::write(folder.path().join(FILE), b"\xff\xff\xff\xff").unwrap();
        assert_eq!(Report::load_from(folder.path()), Report::default());
    }
}
