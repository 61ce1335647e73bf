//! How far a long read is, for a person at a terminal.

use std::io::{IsTerminal, Write};

use super::limits;

/// Counts bytes, and shows a percentage on stderr when that is a terminal and the work is long.
pub(super) struct Progress {
    what: &'static str,
    total: u64,
    done: u64,
    shown: Option<u64>,
    on: bool,
}

impl Progress {
    pub(super) fn new(what: &'static str, total: u64) -> Self {
        let on = total > limits::PROGRESS_BYTES && std::io::stderr().is_terminal();
        Self { what, total, done: 0, shown: None, on }
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.done += bytes;
        let percent = self.done.saturating_mul(100) / self.total.max(1);
        if self.on && self.shown != Some(percent) {
            self.shown = Some(percent);
            // Progress is for looking at; when it can't be shown, nothing is lost.
            let _ = write!(std::io::stderr(), "\r{} {percent:>3} %", self.what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
