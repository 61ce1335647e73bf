//! What commands print on stdout.

use std::io::{ErrorKind, Write};

use crate::outcome::Failure;

/// Prints text as it is. A reader that went away (`| head`) is no error.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::usage(format!("stdout: {}", crate::files::plain(&error))))
        }
        _ => Ok(()),
    }
}

/// Prints one JSON object on one line.
pub(crate) fn json(value: &serde_json::Value) -> Result<(), Failure> {
    text(&format!("{value}\n"))
}
