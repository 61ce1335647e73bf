//! How it stands, for `aegis site` and `aegis health`: `/run/aegis/site`, one line: state, code, and what there is to say.

use std::path::{Path, PathBuf};

use aegis_atomic::replace;

use crate::limits;

/// Whether there is an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The policy asks for none.
    Off,
    /// It listens.
    Up,
    /// The policy asks for one, and there is none.
    Down,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

pub(super) struct Told {
    run: PathBuf,
    last: String,
}

impl Told {
    pub(super) fn new(run: &Path) -> Self {
        Self { run: run.to_owned(), last: String::new() }
    }

    /// On the console, and in the file; what was said last is not said again.
    pub(super) fn say(&mut self, state: State, code: &str, detail: &str) {
        let mut detail = detail.replace(|c: char| c.is_control(), " ");
        detail.truncate(detail.floor_char_boundary(limits::TOLD_BYTES));
        let line = format!("{} {code} {detail}\n", state.name());
        if line == self.last {
            return;
        }
        if state != State::Off || !self.last.is_empty() {
            eprintln!("site: {}: {code}: {detail}", state.name());
        }
        if let Err(error) = replace(&self.run, "site", line.as_bytes(), 0o644) {
            eprintln!("site: {}: {error}", self.run.join("site").display());
        }
        self.last = line;
    }
}
