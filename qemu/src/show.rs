//! Progress on stderr (moving only on a terminal), and the console's lines for `--show`.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use aegis_qemu::{Progress, one_line};

pub(crate) struct Show {
    /// Stream the console.
    lines: bool,
    /// stdout is for the JSON object alone.
    json: bool,
    terminal: bool,
    /// What the moving line says; empty when there is none.
    stage: &'static str,
    /// Seconds last shown.
    shown: Option<u64>,
}

impl Show {
    pub(crate) fn new(lines: bool, json: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { lines, json, terminal, stage: "", shown: None }
    }

    pub(crate) fn take(&mut self, progress: Progress<'_>) {
        match progress {
            Progress::Image => self.say("building the image (nothing to do if it is fresh)"),
            Progress::Policy => self.say("compiling and signing the policy"),
            Progress::Disks => self.say("making disks"),
            Progress::Booting => {
                self.say("booting");
                self.stage = "booting";
            }
            Progress::Ready(seconds) => {
                self.say(&format!("agent ready after {seconds:.1} s"));
                self.stage = "running";
            }
            Progress::Done => {
                self.say("guest at its end");
                self.stage = "powering off";
            }
            Progress::Tick(passed) => self.tick(passed),
            Progress::Line(line) => self.line(line),
            _ => {}
        }
    }

    fn say(&mut self, line: &str) {
        self.clear();
        // Not `eprintln!`, which panics when stderr is full or gone.
        let _ = writeln!(std::io::stderr(), "aegis-qemu: {line}");
    }

    fn tick(&mut self, passed: Duration) {
        let seconds = passed.as_secs();
        if self.terminal && !self.stage.is_empty() && self.shown != Some(seconds) {
            let _ = write!(std::io::stderr(), "\r\x1b[Kaegis-qemu: {} … {seconds} s", self.stage);
            let _ = std::io::stderr().flush();
            self.shown = Some(seconds);
        }
    }

    fn line(&mut self, line: &str) {
        if !self.lines || line.trim().is_empty() {
            return;
        }
        self.clear();
        // A closed stdout (`| head`) is the reader's wish, not an error of the guest.
        let line = one_line(line);
        let _ = if self.json {
            writeln!(std::io::stderr(), "{line}")
        } else {
            writeln!(std::io::stdout(), "{line}")
        };
    }

    /// Takes the moving line away.
    fn clear(&mut self) {
        if self.terminal && self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        self.clear();
    }
}
