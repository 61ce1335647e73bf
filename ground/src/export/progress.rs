//! How far a long read is, for a person at a terminal.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::limits;

/// Counts bytes, and draws a bar on stderr when that is a terminal and the work is long.
pub(super) struct Progress {
    what: &'static str,
    total: u64,
    done: u64,
    began: Instant,
    /// When it was drawn last.
    drawn: Option<Instant>,
    on: bool,
}

/// It is drawn this often.
const PAUSE: Duration = Duration::from_millis(200);
/// Its length, signs.
const LENGTH: u64 = 24;

impl Progress {
    pub(super) fn new(what: &'static str, total: u64) -> Self {
        let on = total > limits::PROGRESS_BYTES && std::io::stderr().is_terminal();
        Self { what, total, done: 0, began: Instant::now(), drawn: None, on }
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if !self.on || self.drawn.is_some_and(|drawn| drawn.elapsed() < PAUSE) {
            return;
        }
        self.drawn = Some(Instant::now());
        let bar = bar(self.what, self.done, self.total, self.began.elapsed());
        // Progress is for looking at; when it can't be shown, nothing is lost.
        let _ = write!(std::io::stderr(), "\r{bar}\x1b[K");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// `converting [#####...................]  21 %  219 of 1043 MiB, 54 MiB/s, 15 s left`.
fn bar(what: &str, done: u64, total: u64, since: Duration) -> String {
    const MIB: u64 = 1 << 20;
    let part =
        |whole: u64| (u128::from(done) * u128::from(whole) / u128::from(total.max(1))).min(whole.into());
    let full = usize::try_from(part(LENGTH)).unwrap_or(0);
    let milliseconds = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = done.saturating_mul(1_000) / milliseconds;
    let left = match total.saturating_sub(done).checked_div(rate) {
        // The first second tells little.
        Some(seconds) if milliseconds > 1_000 => format!(", {seconds} s left"),
        _ => String::new(),
    };
    format!(
        "{what} [{:.<length$}] {:>3} %  {} of {} MiB, {} MiB/s{left}",
        "#".repeat(full),
        part(100),
        done / MIB,
        total / MIB,
        rate / MIB,
        length = LENGTH as usize,
    )
}

#[cfg(test)]
mod tests {
    use super::bar;
    use std::time::Duration;

    #[test]
    fn a_bar_says_how_far_how_fast_and_how_long() {
        let mib = 1 << 20;
        for (done, total, seconds, expected) in [
            (0, 400 * mib, 0, "reading [........................]   0 %  0 of 400 MiB, 0 MiB/s"),
            (
                100 * mib,
                400 * mib,
                2,
                "reading [######..................]  25 %  100 of 400 MiB, 50 MiB/s, 6 s left",
            ),
            (
                400 * mib,
                400 * mib,
                8,
                "reading [########################] 100 %  400 of 400 MiB, 50 MiB/s, 0 s left",
            ),
            // A file that grew meanwhile.
            (
                500 * mib,
                400 * mib,
                10,
                "reading [########################] 100 %  500 of 400 MiB, 50 MiB/s, 0 s left",
            ),
            (1, 0, 0, "reading [########################] 100 %  0 of 0 MiB, 0 MiB/s"),
        ] {
            assert_eq!(bar("reading", done, total, Duration::from_secs(seconds)), expected);
        }
    }
}
