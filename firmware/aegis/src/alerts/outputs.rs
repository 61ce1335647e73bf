//! Where it is told that an alert fires, and that it is over: a line on the console, a record of the kernel's log, a light.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use aegis_alerts::Change;
use aegis_event::Severity;
use aegis_policy::Outputs as Wanted;

use super::figure;
use crate::limits;
use crate::run::console;

/// Of a record in the kernel's log (RFC 5424, section 6.2.1): daemon.
const FACILITY: u8 = 3;

/// Everything that is told to.
pub(super) struct Outputs {
    kernel_log: PathBuf,
    /// The light's `brightness`; none is configured.
    led: Option<PathBuf>,
    /// It shines.
    lit: Option<bool>,
    /// Lines of this minute, when it began (ns), and those that were left out.
    lines: u32,
    minute: u64,
    left_out: u64,
}

impl Outputs {
    pub(super) fn new(kernel_log: &Path, leds: &Path, led: &str) -> Self {
        let led = (!led.is_empty()).then(|| leds.join(led).join("brightness"));
        Self { kernel_log: kernel_log.to_owned(), led, lit: None, lines: 0, minute: 0, left_out: 0 }
    }

    /// Tells of a change. A storm of them is cut: what is left out is counted, and in the events all the same.
    pub(super) fn tell(&mut self, change: &Change<'_>, now: u64) {
        let outputs = change.alert.outputs;
        if !outputs.contains(Wanted::CONSOLE) && !outputs.contains(Wanted::SYSLOG) {
            return;
        }
        if now.saturating_sub(self.minute) >= 60_000_000_000 {
            (self.minute, self.lines) = (now, 0);
        }
        if self.lines >= limits::ALERT_LINES_A_MINUTE {
            self.left_out += 1;
            return;
        }
        self.lines += 1;
        let line = line(change, std::mem::take(&mut self.left_out));
        if outputs.contains(Wanted::CONSOLE) {
            console::warn(format_args!("{line}"));
        }
        if outputs.contains(Wanted::SYSLOG)
            && let Err(error) = self.record(change, &line)
        {
            log::warn!("{}: {error}", self.kernel_log.display());
        }
    }

    fn record(&self, change: &Change<'_>, line: &str) -> io::Result<()> {
        let severity = match change.alert.severity {
            _ if !change.firing => 5,
            Severity::Info => 6,
            Severity::Warning => 4,
            Severity::Critical => 2,
        };
        // One write is one record.
        let record = format!("<{}>aegis: {line}\n", FACILITY << 3 | severity);
        OpenOptions::new().write(true).open(&self.kernel_log)?.write_all(record.as_bytes())
    }

    /// The light shines while an alert fires that asks for it.
    pub(super) fn light(&mut self, on: bool) {
        let Some(led) = &self.led else { return };
        if self.lit == Some(on) {
            return;
        }
        // As bright as it can be, or dark.
        let most = || fs::read_to_string(led.with_file_name("max_brightness"));
        let bright = if on { most().unwrap_or_else(|_| "1".to_owned()) } else { "0".to_owned() };
        match fs::write(led, bright.trim_end()) {
            Ok(()) => self.lit = Some(on),
            Err(error) => {
                // Said once for each change; it is tried again at the next look.
                if self.lit.take().is_some() || !on {
                    return;
                }
                log::warn!("{}: {error} (see `[alerts] led` in the configuration)", led.display());
                self.lit = Some(on);
            }
        }
    }
}

/// What a person reads.
fn line(change: &Change<'_>, left_out: u64) -> String {
    let (alert, figure) = (change.alert, figure(change.value, change.series));
    let more = if left_out > 0 {
        format!(" (and {left_out} changes before, see the events)")
    } else {
        String::new()
    };
    if change.firing {
        let (severity, meaning, mend) = (alert.severity.name(), alert.meaning, alert.mend);
        format!("ALERT {} ({severity}): {figure}: {meaning}; {mend}{more}", alert.name)
    } else {
        format!("alert {} is over: {figure}{more}", alert.name)
    }
}
