//! What can go wrong before and around a guest, with the exit code of each.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Why a machine was not run. Every message is one line and names the thing and its mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The caller asked for something that can't be: exit code 2, nothing was started.
    Usage(String),
    /// A policy or bundle was refused by `aegisctl`; its own line: exit code 2.
    Refused(String),
    /// The host could not make what the guest needs (image, disks, QEMU): exit code 3.
    Host(String),
    /// Ctrl-C or SIGTERM: exit code 130; the guest is gone and its temporary files with it.
    Interrupted,
}

impl Error {
    /// The harness's exit code for this error (`docs/harness.md`).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Refused(_) => 2,
            Self::Host(_) => 3,
            Self::Interrupted => 130,
        }
    }

    /// A stable name of this kind of error, for `--json`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Usage(_) => "usage",
            Self::Refused(_) => "refused",
            Self::Host(_) => "host",
            Self::Interrupted => "interrupted",
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// A file that the host could not read or write.
    pub(crate) fn io(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::Host(format!("{}: can't {doing}: {error}", path.display()))
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(line) | Self::Refused(line) | Self::Host(line) => f.write_str(&one_line(line)),
            Self::Interrupted => f.write_str("interrupted; the guest was killed"),
        }
    }
}

impl std::error::Error for Error {}

/// Anything as one line without control characters, so that hostile names can't drive a terminal.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => line.push(' '),
            _ if c.is_control() => {
                // Writing to a String can't fail.
                let _ = write!(line, "\\x{:02x}", u32::from(c));
            }
            _ => line.push(c),
        }
    }
    line
}

/// A path that the caller gave and that could not be read.
pub(crate) fn unreadable(what: &str, path: &Path, error: &std::io::Error) -> Error {
    let path: PathBuf = path.into();
    Error::Usage(format!("{}: can't read the {what}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_and_drives_no_terminal() {
        let error = Error::usage("a\nb\u{1b}[2J\u{9b}c");
        assert_eq!(error.to_string(), "a b\\x1b[2J\\x9bc");
        assert_eq!(error.exit_code(), 2);
    }
}
