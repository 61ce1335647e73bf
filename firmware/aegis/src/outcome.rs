//! How a command ends: exit 0, or one line on stderr and exit 1 (refused, unhealthy) or 2 (usage, error).

use core::fmt;
use std::io::Write;
use std::process::ExitCode;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    /// One line: what, where, and the mend.
    message: String,
}

/// What a command returns.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    /// Refused content, or an unhealthy state: exit 1.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// An error: exit 2.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

/// Prints what a command has to say. A stdout that can't take it is an error, not a panic; a reader that has seen
/// enough (a closed pipe) is none.
pub(crate) fn say(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::error(format!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}

impl fmt::Display for Failure {
    /// One line, whatever the message was made of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.message.lines().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { " " }, line.trim_end())?;
        }
        Ok(())
    }
}
