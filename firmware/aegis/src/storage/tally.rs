//! What was counted in this boot by processes that come and go: `/run/aegis/tally`, postcard. It dies with the boot, which is what
//! begins these counters anew.

use std::io;
use std::path::Path;

use aegis_bundle::{Answer, What};
use serde::{Deserialize, Serialize};

use super::device::boottime;
use super::{RUN, atomic, lock};
use crate::limits;

const FILE: &str = "tally";
/// Stands for codes that there is no room for.
const OTHER: &str = "other";
/// Places that codes leave free for what has none.
const KEPT: usize = 16;

/// A program that runs on, and is started again when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Program {
    Agent,
    StickWatch,
    Alerts,
}

impl Program {
    pub(crate) const ALL: [Self; 3] = [Self::Agent, Self::StickWatch, Self::Alerts];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::StickWatch => "stick-watch",
            Self::Alerts => "alerts",
        }
    }
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Key {
    Start(Program),
    StickSeen,
    /// By code of the event.
    StickFault(String),
    /// By number of [`What`].
    Accepted(u8),
    /// By number of [`What`], and reason code.
    Refused(u8, String),
    Swaps,
    /// Of the last swap: when it came to its end (`CLOCK_BOOTTIME`), and how long it took, ns.
    SwapAt,
    SwapTook,
}

/// All of this boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally(Vec<(Key, u64)>);

impl Tally {
    /// That of this boot; empty before anything was counted.
    pub(crate) fn read() -> io::Result<Self> {
        Self::read_from(Path::new(RUN))
    }

    fn read_from(directory: &Path) -> io::Result<Self> {
        match atomic::read_bounded(&directory.join(FILE), limits::TALLY_BYTES) {
            Ok(bytes) => crate::run::control::strict(&bytes)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "damaged")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    fn save_to(&self, directory: &Path) -> io::Result<()> {
        let mut bytes = vec![0; limits::TALLY_BYTES as usize];
        let bytes = postcard::to_slice(self, &mut bytes).map_err(io::Error::other)?;
        atomic::replace(directory, FILE, bytes, 0o600).map(drop)
    }

    /// All that was counted.
    pub(crate) fn entries(&self) -> &[(Key, u64)] {
        &self.0
    }

    /// How often; 0: never.
    pub(crate) fn of(&self, key: &Key) -> u64 {
        self.0.iter().find(|(of, _)| of == key).map_or(0, |(_, count)| *count)
    }

    fn place(&mut self, key: Key) -> &mut u64 {
        let found = self.0.iter().position(|(of, _)| *of == key);
        let at = found.unwrap_or_else(|| {
            self.0.push((key, 0));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    fn count(&mut self, key: Key) {
        let known = self.0.iter().any(|(of, _)| *of == key);
        let key = match key {
            Key::StickFault(_) if !known && self.is_full() => Key::StickFault(OTHER.into()),
            Key::Refused(what, _) if !known && self.is_full() => Key::Refused(what, OTHER.into()),
            key => key,
        };
        let count = self.place(key);
        *count = count.saturating_add(1);
    }

    /// For codes: what has none has its place.
    fn is_full(&self) -> bool {
        self.0.len() >= limits::TALLY_ENTRIES - KEPT
    }
}

/// Counts one more. What can't be counted is said; what was done stays done.
fn add(then: &dyn Fn(&mut Tally)) {
    let counted = lock::wait_for("tally.lock").and_then(|_one| {
        let mut tally = Tally::read().unwrap_or_else(|error| {
            log::error!("{RUN}/{FILE}: {error}: it is begun anew");
            Tally::default()
        });
        then(&mut tally);
        tally.save_to(Path::new(RUN))
    });
    if let Err(error) = counted {
        log::error!("{RUN}/{FILE}: {error} (metrics of this boot lack something)");
    }
}

/// It was started: how often in this boot, as far as that could be counted.
pub(crate) fn started(program: Program) -> Option<u64> {
    add(&|tally| tally.count(Key::Start(program)));
    Tally::read().ok().map(|tally| tally.of(&Key::Start(program)))
}

/// An event of a stick: that it was seen, or what is not as it must be.
pub(crate) fn stick(code: &str) {
    add(&|tally| tally.count(if code == "seen" { Key::StickSeen } else { Key::StickFault(bounded(code)) }));
}

/// Something was offered, and answered.
pub(crate) fn offered(what: What, answer: Answer, code: &str) {
    match answer {
        Answer::Accepted => add(&|tally| tally.count(Key::Accepted(what.number()))),
        Answer::Refused => add(&|tally| tally.count(Key::Refused(what.number(), bounded(code)))),
        Answer::None | Answer::Unchanged => {}
    }
}

/// A policy was put in force; it took from `begun` (`CLOCK_BOOTTIME`, ns) until now.
pub(crate) fn swapped(begun: u64) {
    let now = boottime();
    add(&|tally| {
        tally.count(Key::Swaps);
        *tally.place(Key::SwapAt) = now;
        *tally.place(Key::SwapTook) = now.saturating_sub(begun);
    });
}

fn bounded(code: &str) -> String {
    code[..code.floor_char_boundary(limits::TALLY_CODE_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_counted_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Tally::read_from(folder.path()).unwrap(), Tally::default());
        let mut tally = Tally::default();
        for _ in 0..3 {
            tally.count(Key::Start(Program::Agent));
            tally.count(Key::Refused(What::Bundle.number(), "rollback".into()));
        }
        tally.count(Key::StickSeen);
        *tally.place(Key::SwapAt) = 7;
        tally.save_to(folder.path()).unwrap();
        let found = Tally::read_from(folder.path()).unwrap();
        assert_eq!(found, tally);
        assert_eq!(found.of(&Key::Start(Program::Agent)), 3);
        assert_eq!([found.of(&Key::Start(Program::StickWatch)), found.of(&Key::SwapAt)], [0, 7]);
        for damage in [&b""[..], b"\xff\xff\xff", b"\x01\x00"] {
            std::fs::write(folder.path().join(FILE), damage).unwrap();
            assert!(Tally::read_from(folder.path()).is_err(), "{damage:?}");
        }
    }

    /// Codes of any number and length: the rest is counted together, the file is bounded, and what has no code has its place.
    #[test]
    fn it_has_its_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let mut tally = Tally::default();
        let all = 3 * limits::TALLY_ENTRIES;
        for number in 0..all {
            let code = bounded(&format!("{number}-{}", "é".repeat(limits::TALLY_CODE_BYTES)));
            for key in [Key::Refused(u8::MAX, code.clone()), Key::StickFault(code)] {
                tally.count(key.clone());
                tally.count(key);
            }
        }
        for what in 0..5 {
            tally.count(Key::Accepted(what));
        }
        for key in [Key::Start(Program::Agent), Key::Start(Program::StickWatch), Key::StickSeen, Key::Swaps] {
            tally.count(key);
        }
        (*tally.place(Key::SwapAt), *tally.place(Key::SwapTook)) = (u64::MAX, u64::MAX);
        assert!(tally.entries().len() <= limits::TALLY_ENTRIES, "{}", tally.entries().len());
        let sum: u64 = tally
            .entries()
            .iter()
            .filter(|(key, _)| matches!(key, Key::Refused(..) | Key::StickFault(_)))
            .map(|(_, count)| count)
            .sum();
        assert_eq!(sum, 4 * all as u64, "none is left out");
        for (_, count) in &mut tally.0 {
            *count = u64::MAX;
        }
        tally.save_to(folder.path()).unwrap();
        assert_eq!(Tally::read_from(folder.path()).unwrap(), tally);
    }
}
