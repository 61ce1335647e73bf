//! What a workload's programs say, for the console: in lines of bounded length, so many a second, nothing in them that a terminal
//! would take for more than text.

use std::time::{Duration, Instant};

use aegis_event::Printable;

/// Longest line, bytes; what is longer becomes several.
const LINE_BYTES: usize = 256;
/// Lines at once, and the time in which one more comes to be allowed.
const BURST: u32 = 100;
const EVERY: Duration = Duration::from_millis(100);

/// Bytes that come in pieces, as lines.
pub(crate) struct Lines {
    rest: Vec<u8>,
    allowed: u32,
    since: Instant,
    /// Lines that were left out.
    dropped: u64,
}

impl Lines {
    pub(crate) fn new(now: Instant) -> Self {
        Self { rest: Vec::with_capacity(LINE_BYTES), allowed: BURST, since: now, dropped: 0 }
    }

    /// Takes a piece; `say` gets each line that is whole.
    pub(crate) fn feed(&mut self, bytes: &[u8], now: Instant, say: &mut impl FnMut(&str)) {
        for byte in bytes {
            if *byte != b'\n' {
                self.rest.push(*byte);
            }
            if *byte == b'\n' || self.rest.len() == LINE_BYTES {
                self.line(now, say);
            }
        }
    }

    /// What is left is a line, too.
    pub(crate) fn end(&mut self, now: Instant, say: &mut impl FnMut(&str)) {
        if !self.rest.is_empty() {
            self.line(now, say);
        }
        self.tell_dropped(say);
    }

    fn line(&mut self, now: Instant, say: &mut impl FnMut(&str)) {
        let more = now.saturating_duration_since(self.since).as_millis() / EVERY.as_millis();
        if more > 0 {
            self.allowed = self.allowed.saturating_add(u32::try_from(more).unwrap_or(BURST)).min(BURST);
            self.since = now;
        }
        if self.allowed == 0 {
            self.dropped += 1;
        } else {
            self.allowed -= 1;
            self.tell_dropped(say);
            say(&Printable(&self.rest).to_string());
        }
        self.rest.clear();
    }

    fn tell_dropped(&mut self, say: &mut impl FnMut(&str)) {
        if self.dropped > 0 {
            say(&format!("({} lines were left out: it says too much)", self.dropped));
            self.dropped = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pieces: &[(&[u8], u64)]) -> Vec<String> {
        let begun = Instant::now();
        let mut lines = Lines::new(begun);
        let mut said = Vec::new();
        let mut last = begun;
        for (bytes, millis) in pieces {
            last = begun + Duration::from_millis(*millis);
            lines.feed(bytes, last, &mut |line| said.push(line.to_owned()));
        }
        lines.end(last, &mut |line| said.push(line.to_owned()));
        said
    }

    #[test]
    fn lines_are_whole_bounded_and_harmless() {
        assert_eq!(said(&[(b"a\nb", 0), (b"c\n\nd", 0)]), ["a", "bc", "", "d"]);
        assert_eq!(said(&[(b"\x1b[2J\xff\rAEGIS-DONE\n", 0)]), ["\\x1b[2J\\xff\\x0dAEGIS-DONE"]);
        let long = said(&[(&[b'x'; LINE_BYTES * 2 + 1], 0)]);
        assert_eq!(long.iter().map(String::len).collect::<Vec<_>>(), [LINE_BYTES, LINE_BYTES, 1]);
    }

    #[test]
    fn who_says_too_much_is_cut_short_and_that_is_said() {
        let flood = b"x\n".repeat(1000);
        let all = said(&[(&flood, 0)]);
        assert_eq!(all.len(), BURST as usize + 1);
        assert_eq!(all[BURST as usize], "(900 lines were left out: it says too much)");
        // Later it may speak again.
        let later = said(&[(&flood, 0), (b"y\n", 5000)]);
        assert_eq!(&later[BURST as usize..], ["(900 lines were left out: it says too much)", "y"]);
    }
}
