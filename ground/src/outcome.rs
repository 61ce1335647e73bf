//! How a command ends: exit code and, when it failed, one line for a person.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// What a command returns. `Err` is printed on stderr as one line behind `aegisctl: `.
pub(crate) type Outcome = Result<Status, Failure>;

/// How a command that ran to its end answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// Exit 0.
    Good,
    /// Exit 1: what was asked about is refused or unhealthy, and the command's own output says why.
    Refused,
    /// Exit 2: some of what was asked about could not be read, and that was told.
    Unread,
}

/// Why a command did not run to its end.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: u8,
    message: String,
}

impl Failure {
    /// Content was refused: exit 1.
    pub(crate) fn refused(message: impl Display) -> Self {
        Self { exit: 1, message: message.to_string() }
    }

    /// Wrong use, or a file that can't be read or written: exit 2.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { exit: 2, message: message.to_string() }
    }

    /// The same, as wrong use: what was refused is not what the command was asked about.
    pub(crate) fn into_usage(self) -> Self {
        Self { exit: 2, ..self }
    }

    /// True when content was refused; false for wrong use.
    pub(crate) fn is_refusal(&self) -> bool {
        self.exit == 1
    }

    /// Prints it on stderr.
    pub(crate) fn tell(&self) {
        // One line whatever a library put into its message, and nothing that drives a terminal.
        let line: Vec<&str> = self.message.lines().map(str::trim).filter(|part| !part.is_empty()).collect();
        let line: String = line.join("; ").chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        // Not `eprintln!`, which panics when stderr is full or gone; the exit code still says it.
        let _ = writeln!(std::io::stderr(), "aegisctl: {line}");
    }

    /// The line for people.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

/// Prints a failure and makes the exit code.
pub(crate) fn finish(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(Status::Good) => ExitCode::SUCCESS,
        Ok(Status::Refused) => ExitCode::from(1),
        Ok(Status::Unread) => ExitCode::from(2),
        Err(failure) => {
            failure.tell();
            ExitCode::from(failure.exit)
        }
    }
}
