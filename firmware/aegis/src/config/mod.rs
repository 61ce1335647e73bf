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

/// Reads one file; `None` when it is not there.
pub(crate) fn read(file: &Path) -> Result<Option<(Vec<u8>, Config)>, Refused> {
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

fn load_in(data: &Path, keep: bool) -> Loaded {
    let file = data.join(FILE);
    let (refused, good) = match read(&file) {
        Ok(Some((bytes, config))) => {
            // A disk that keeps nothing is no reason not to run with what is good.
            let kept = if keep { kept::keep(data, &bytes) } else { Ok(()) };
            let fault = kept.err().map(|error| format!("{}: can't be written: {error}", kept::FILE));
            return Loaded { config, source: Source::File, fault };
        }
        Ok(None) => match kept::load(data) {
            Ok(None) => return Loaded { config: Config::default(), source: Source::Defaults, fault: None },
            good => (Refused::Missing, good),
        },
        Err(refused) => (refused, kept::load(data)),
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
