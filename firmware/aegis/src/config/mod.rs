//! The configuration in force: `/data/aegis/config.toml`, or what stands in for it (`docs/config.md`).
//!
//! - [`kept`]: the last good one, kept beside it.

mod kept;
#[cfg(test)]
mod tests;

use core::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use aegis_config::Config;
use aegis_config::{Fault, Faults, limits as bounds};

use crate::storage::{DATA, atomic};

const FILE: &str = "config.toml";
const UNSAID: &str = "it names no recipients, and the last good one does; to export in plain from now on, say `recipients = []`";
const NO_STORAGE: &str =
    "own storage is in memory, so what was configured is not known; look at the data partition";

/// Where the configuration in force comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// There is no file that is good.
    Defaults,
    /// `config.toml`.
    File,
    /// `config.good`: the file is missing or not good.
    LastGood,
}

impl Source {
    /// Its name in events, status and JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Defaults => "defaults",
            Self::File => "file",
            Self::LastGood => "last-good",
        }
    }
}

/// A configuration, and how it came to be in force.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) source: Source,
    /// What is wrong, in one line with the mend.
    pub(crate) fault: Option<String>,
}

/// Why a file is not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    /// What is in it.
    Content(Faults),
    /// It can't be read.
    Unreadable(io::Error),
    /// It is not there, and there was a good one.
    Missing,
    /// It does not say to whom exports are encrypted, and the last good one does: it was cut short, or somebody did not
    /// think of it.
    Unsaid,
    /// There is no own storage that it could be in.
    NoStorage,
}

impl Refused {
    /// Line (0: the whole file), code and text of each fault.
    pub(crate) fn each(&self) -> Vec<(usize, &'static str, String)> {
        match self {
            Self::Content(faults) => {
                let one = |fault: &Fault| (fault.line, fault.code.name(), fault.detail.clone());
                faults.iter().map(one).collect()
            }
            Self::Unreadable(error) => vec![(0, unreadable(error), error.to_string())],
            Self::Missing => vec![(0, "missing", "there was a good one, and it is gone".into())],
            Self::Unsaid => vec![(0, "recipients-gone", UNSAID.into())],
            Self::NoStorage => vec![(0, "no-storage", NO_STORAGE.into())],
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content(faults) => faults.fmt(f),
            Self::Unreadable(error) => write!(f, "{error} ({})", unreadable(error)),
            Self::Missing => f.write_str(
                "there was a good one, and it is gone; for the defaults leave an empty file (missing)",
            ),
            Self::Unsaid => write!(f, "{UNSAID} (recipients-gone)"),
            Self::NoStorage => write!(f, "{NO_STORAGE} (no-storage)"),
        }
    }
}

/// The code of a file that was not read.
fn unreadable(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::FileTooLarge => aegis_config::Code::TooLong.name(),
        _ => "unreadable",
    }
}

/// Where the file is.
pub(crate) fn path() -> PathBuf {
    Path::new(DATA).join(FILE)
}

/// What is to be in force now. A good file is kept as the last good one; what is wrong is said in the log.
pub(crate) fn load() -> Loaded {
    let loaded = load_in(Path::new(DATA), true);
    if let Some(fault) = &loaded.fault {
        log::error!("config: {fault}");
    }
    loaded
}

/// What [`load`] would return; changes and says nothing.
pub(crate) fn look() -> Loaded {
    load_in(Path::new(DATA), false)
}

/// Would this file be taken? Without one: the file in own storage. `None` when it is not there, and never was.
pub(crate) fn check(file: Option<&Path>) -> Result<Option<Config>, Refused> {
    let data = Path::new(DATA);
    let good = kept::load(data);
    let found = match file {
        Some(file) => match read(file)? {
            Some(found) => judge(Some(found), false, &good),
            None => Ok(None),
        },
        None => judge(read(&path())?, in_memory(data), &good),
    };
    Ok(found?.map(|(_, config)| config))
}

/// Reads one file; `None` when it is not there.
fn read(file: &Path) -> Result<Found, Refused> {
    let bytes = match atomic::read_bounded(file, bounds::FILE_BYTES as u64) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(Refused::Unreadable(io::Error::other("it is a link; put the file itself there")));
        }
        Err(error) => return Err(Refused::Unreadable(error)),
    };
    let config = aegis_config::read(&bytes).map_err(Refused::Content)?;
    Ok(Some((bytes, config)))
}

/// The last good one; what is the matter with it.
type Good = Result<Option<Config>, String>;

/// A file and what is in it.
type Found = Option<(Vec<u8>, Config)>;

/// Holds a file against the last good one: what is not known any more must not turn encryption off.
fn judge(found: Found, in_memory: bool, good: &Good) -> Result<Found, Refused> {
    match (found, good) {
        (None, Ok(None)) if in_memory => Err(Refused::NoStorage),
        (None, Ok(None)) => Ok(None),
        (None, _) => Err(Refused::Missing),
        (Some((bytes, config)), Ok(Some(good)))
            if config.export.recipients.is_empty()
                && !good.export.recipients.is_empty()
                && !aegis_config::is_set(&bytes, "export", "recipients") =>
        {
            Err(Refused::Unsaid)
        }
        (found, _) => Ok(found),
    }
}

/// What is kept there is gone with the power: the data partition could not be mounted.
fn in_memory(data: &Path) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    // It may not be made yet.
    let found = data.ancestors().find_map(|place| rustix::fs::statfs(place).ok());
    found.is_some_and(|found| [TMPFS, RAMFS].contains(&found.f_type))
}

fn load_in(data: &Path, keep: bool) -> Loaded {
    load_from(data, in_memory(data), keep)
}

fn load_from(data: &Path, in_memory: bool, keep: bool) -> Loaded {
    let good = kept::load(data);
    let file = data.join(FILE);
    let refused = match read(&file).and_then(|found| judge(found, in_memory, &good)) {
        Ok(Some((bytes, config))) => {
            // A disk that keeps nothing is no reason not to run with what is good.
            let kept = if keep { kept::keep(data, &bytes) } else { Ok(()) };
            let fault = kept.err().map(|error| format!("{}: can't be written: {error}", kept::FILE));
            return Loaded { config, source: Source::File, fault };
        }
        Ok(None) => return Loaded { config: Config::default(), source: Source::Defaults, fault: None },
        Err(refused) => refused,
    };
    let (config, source, instead) = match good {
        Ok(Some(config)) => (config, Source::LastGood, "the last good one is in force".into()),
        Ok(None) => (Config::default(), Source::Defaults, "the defaults are in force".into()),
        Err(why) => (
            Config::default(),
            Source::Defaults,
            format!("{} is {why}: the defaults are in force", kept::FILE),
        ),
    };
    let fault = format!("{}: {refused}; {instead} (see `aegis config check`)", file.display());
    Loaded { config, source, fault: Some(fault) }
}
