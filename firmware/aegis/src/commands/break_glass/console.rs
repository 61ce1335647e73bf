//! `aegis break-glass console`: the serial line. It says nothing until somebody presses Enter, then shows what a token is
//! made from and takes one, line by line. A plain terminal will do; whoever types is anybody.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use aegis_bundle::Answer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::lines::{Lines, Typed, TypedLine};
use super::{current_challenge, grouped, key_failure, role, run_failure, take, wrong};
use crate::kernel::KernelState;
use crate::limits;
use crate::outcome::{Failure, Outcome};
use crate::stick::privileges;
use crate::storage::device::{self, Identity, boottime, hex};
use crate::storage::trust::Trust;

const ORIGIN: &str = "console";
/// What ends a break.
const MEND: &str = "mend";
/// How long the line rests after an answer, and after a screen that nobody used: neither a flood of tokens nor a line that
/// picks up noise keeps the device busy.
const REST: Duration = Duration::from_secs(2);
/// Within that time a line is followed by the next when they are pasted.
const PASTED: Duration = Duration::from_millis(300);
/// How long a console that ended is left alone.
const ENDED: Duration = Duration::from_mins(1);

/// Runs until the console ends; `once`: somebody waits already, and that once.
pub(crate) fn run(once: bool) -> Outcome {
    privileges::keep_few().map_err(|error| Failure::error(format!("capabilities: {error}")))?;
    let mut console = Console::new(io::stdin(), io::stdout());
    loop {
        let waited = if once { Ok(()) } else { console.hear(None).map(drop) };
        match waited.and_then(|()| console.round()) {
            Ok(()) => console.rest(REST),
            Err(Stopped::Failed(failure)) => {
                console.say(&failure.to_string());
                console.rest(REST);
            }
            Err(Stopped::Ended) if once => return Ok(()),
            Err(Stopped::Ended) => {
                // Whoever starts this again would do so at once.
                std::thread::sleep(ENDED);
                return Ok(());
            }
        }
        if once {
            return Ok(());
        }
    }
}

/// Why a round was not finished.
enum Stopped {
    /// The console can't be read or written any more.
    Ended,
    Failed(Failure),
}

impl From<io::Error> for Stopped {
    fn from(_: io::Error) -> Self {
        Self::Ended
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What came over the line.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Line(TypedLine),
    /// Nothing, for too long.
    Silence,
}

/// What somebody asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// To take this token.
    Token(Vec<u8>),
    /// To end a break now.
    Mend,
    Nothing,
}

struct Console<R, W> {
    input: R,
    output: W,
    typed: Typed,
    /// Read, and not yet looked at.
    ahead: VecDeque<u8>,
}

impl<R: AsFd, W: Write> Console<R, W> {
    fn new(input: R, output: W) -> Self {
        Self { input, output, typed: Typed::default(), ahead: VecDeque::new() }
    }

    /// Shows the screen, takes a token.
    fn round(&mut self) -> Result<(), Stopped> {
        let identity = Identity::open_or_create().map_err(key_failure)?;
        let screen = screen(&identity)?;
        self.say(&screen);
        let token = match self.collect()? {
            Asked::Token(token) => token,
            Asked::Mend => {
                super::mend()?;
                return Ok(());
            }
            Asked::Nothing => {
                self.say("Cancelled. Nothing was changed.");
                return Ok(());
            }
        };
        let taken = take(&token, ORIGIN, &identity)?;
        self.say(&match taken.answer {
            Answer::Accepted => {
                "Accepted: THE GLASS IS BROKEN. It mends itself when the token's time is over.".to_owned()
            }
            Answer::Refused => format!("Refused: {} ({}). Nothing was changed.", taken.detail, taken.code),
            _ => format!("{}: {}", taken.code, taken.detail),
        });
        Ok(())
    }

    /// The lines of a token, in any order. Nothing is asked when they were not all given: an empty line, silence, too many.
    fn collect(&mut self) -> Result<Asked, Stopped> {
        let mut lines = Lines::default();
        let end = Instant::now() + Duration::from_secs(limits::CONSOLE_TOKEN_SECONDS);
        for _ in 0..limits::CONSOLE_LINES {
            let left = end.saturating_duration_since(Instant::now());
            let line = match self.hear(Some(left.min(Duration::from_secs(limits::CONSOLE_LINE_SECONDS))))? {
                Heard::Silence => return Ok(Asked::Nothing),
                Heard::Line(TypedLine::Whole(line)) if line.trim().is_empty() => {
                    // One among lines that are pasted is a blank line of the text.
                    if self.is_pasting()? {
                        continue;
                    }
                    return Ok(Asked::Nothing);
                }
                Heard::Line(TypedLine::Whole(line)) if line.trim() == MEND => return Ok(Asked::Mend),
                Heard::Line(TypedLine::Whole(line)) => line,
                Heard::Line(TypedLine::TooLong) => {
                    self.say("That was longer than any line of a token.");
                    continue;
                }
            };
            match lines.feed(&line) {
                Ok(Some(token)) => return Ok(Asked::Token(token)),
                // What is pasted is not interrupted by a word to every line.
                Ok(None) if self.is_pasting()? => {}
                Ok(None) => {
                    self.say(&format!(
                        "{} lines are good. Next: line {:02}.",
                        lines.count(),
                        lines.missing()
                    ));
                }
                Err((number, error)) => {
                    self.say(&format!("{}. Wanted: line {:02}.", wrong(number, error), lines.missing()));
                }
            }
        }
        Ok(Asked::Nothing)
    }

    /// Waits for a line, for at most the time given.
    fn hear(&mut self, longest: Option<Duration>) -> Result<Heard, Stopped> {
        let end = longest.map(|longest| Instant::now() + longest);
        loop {
            while let Some(byte) = self.ahead.pop_front() {
                if let Some(line) = self.typed.push(byte) {
                    return Ok(Heard::Line(line));
                }
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if !self.read(left)? {
                return Ok(Heard::Silence);
            }
        }
    }

    /// Reads what is there; false when there was nothing for the time given.
    fn read(&mut self, longest: Option<Duration>) -> Result<bool, Stopped> {
        if !self.is_readable(longest)? {
            return Ok(false);
        }
        let mut bytes = [0; 256];
        match rustix::io::read(&self.input, &mut bytes) {
            Ok(0) => Err(Stopped::Ended),
            Ok(length) => {
                self.ahead.extend(&bytes[..length]);
                Ok(true)
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(true),
            Err(_) => Err(Stopped::Ended),
        }
    }

    /// Waits until there is something to read, for at most the time given.
    fn is_readable(&self, longest: Option<Duration>) -> Result<bool, Stopped> {
        let timeout = longest.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        loop {
            match poll(&mut [PollFd::new(&self.input, PollFlags::IN)], timeout.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Err(Stopped::Ended),
            }
        }
    }

    /// More comes, faster than anybody types.
    fn is_pasting(&self) -> Result<bool, Stopped> {
        Ok(!self.ahead.is_empty() || self.is_readable(Some(PASTED))?)
    }

    /// Lets the line rest, and forgets what was typed meanwhile.
    fn rest(&mut self, time: Duration) {
        std::thread::sleep(time);
        // Bounded: there may be no end of it.
        for _ in 0..64 {
            self.ahead.clear();
            if !matches!(self.read(Some(Duration::ZERO)), Ok(true)) {
                break;
            }
        }
        self.ahead.clear();
        self.typed = Typed::default();
    }

    /// A console that can't be written to is noticed when it is read.
    fn say(&mut self, text: &str) {
        let _ = writeln!(self.output, "{text}").and_then(|()| self.output.flush());
    }
}

/// What a token is made from. It fits a terminal of 80 columns and 24 lines.
fn screen(identity: &Identity) -> Result<String, Failure> {
    let trust = Trust::open()?;
    let boot = device::boot_id().map_err(run_failure)?;
    let challenge = current_challenge().map_err(run_failure)?;
    let left = KernelState::open().map_or(0, |state| state.broken_until()).saturating_sub(boottime());
    let shown = Shown {
        device: &identity.id(),
        boot: &boot,
        challenge: &challenge,
        role: &role(trust.root()),
        root_version: trust.root().version,
        taken: trust.state().token_sequence,
        seconds_left: left.div_ceil(1_000_000_000),
    };
    Ok(shown.text())
}

struct Shown<'a> {
    device: &'a [u8; 16],
    boot: &'a [u8; 16],
    challenge: &'a [u8; 16],
    role: &'a str,
    root_version: u64,
    taken: u64,
    seconds_left: u64,
}

impl Shown<'_> {
    fn text(&self) -> String {
        let glass = match self.seconds_left {
            0 => "whole".to_owned(),
            left => format!("BROKEN: nothing is denied for another {left} s"),
        };
        [
            String::new(),
            "--- Aegis: break glass ---".to_owned(),
            format!("glass      {glass}"),
            format!("device     {}", hex(self.device)),
            format!("boot       {}", hex(self.boot)),
            format!("challenge  {}", grouped(self.challenge)),
            format!("root       version {}", self.root_version),
            format!("           {}", self.role),
            format!("sequence   {} was taken last", self.taken),
            String::new(),
            "A token is made at the office, from the challenge (or the boot id):".to_owned(),
            "  aegisctl break-glass make --root root.cbor --key break-glass.key \\".to_owned(),
            format!("    --device {} \\", hex(self.device)),
            format!("    --challenge {} \\", grouped(self.challenge)),
            format!("    --sequence {} --minutes 60 --reason 'WHY' \\", self.taken.saturating_add(1)),
            "    --out token.cbor --armor".to_owned(),
            String::new(),
            "Type or paste its lines, in any order. Enter alone cancels, `mend` ends a break.".to_owned(),
        ]
        .join("\n")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use aegis_bundle::armor;

    /// What a console says to what is typed, and the token that it takes.
    fn typed(bytes: &[u8]) -> (Asked, String) {
        let (reader, mut writer) = io::pipe().unwrap();
        let bytes = bytes.to_vec();
        // It may stop to listen before all was typed.
        let typist = std::thread::spawn(move || writer.write_all(&bytes));
        let mut console = Console::new(reader, Vec::new());
        let token = console.collect().unwrap_or(Asked::Nothing);
        let said = String::from_utf8(std::mem::take(&mut console.output)).unwrap();
        drop(console);
        let _ = typist.join().unwrap();
        (token, said)
    }

    fn lines(token: &[u8]) -> Vec<u8> {
        armor(token).flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect()
    }

    #[test]
    fn a_pasted_token_is_taken_without_a_word() {
        let token = vec![7; 205];
        assert_eq!(typed(&lines(&token)), (Asked::Token(token), String::new()));
    }

    #[test]
    fn a_slip_is_named_and_only_that_line_is_asked_for() {
        let token: Vec<u8> = (0..205).collect();
        let good = lines(&token);
        let text = String::from_utf8(good.clone()).unwrap();
        let (third, ninth) = (text.lines().nth(2).unwrap(), text.lines().nth(8).unwrap());
        let slip = text.replace(third, "03 AAAA BBBB CCCC").replace(ninth, "\x1b[2J?!");
        let mended = format!("{slip}{third}\n{ninth}\n");
        let (taken, said) = typed(mended.as_bytes());
        assert_eq!(taken, Asked::Token(token));
        assert!(
            said.contains("line 03: something in this line is mistyped (armor-checksum). Wanted: line 03."),
            "{said}"
        );
        assert!(said.contains("(armor-character). Wanted: line 03."), "{said}");
        assert!(
            said.bytes().all(|byte| byte == b'\n' || byte.is_ascii_graphic() || byte == b' '),
            "{said:?}"
        );
    }

    #[test]
    fn an_empty_line_cancels_and_so_does_the_end_of_the_line() {
        let good = lines(&[7; 205]);
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"\r").unwrap();
        assert_eq!(Console::new(reader, Vec::new()).collect().ok(), Some(Asked::Nothing));
        let third = good.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0 + 1;
        let blank = [&good[..third], b"\n \t\r\n", &good[third..]].concat();
        assert!(matches!(typed(&blank).0, Asked::Token(_)), "a blank line of what is pasted");
        assert_eq!(typed(&good[..100]).0, Asked::Nothing);
        assert_eq!(typed(b"").0, Asked::Nothing);
        assert_eq!(typed(&[&good[..100], b"\n mend\r\n"].concat()).0, Asked::Mend);
    }

    #[test]
    fn noise_is_answered_for_a_bounded_time_only() {
        let noise = b"x\n".repeat(2 * limits::CONSOLE_LINES);
        let (token, said) = typed(&noise);
        assert_eq!((token, said.lines().count()), (Asked::Nothing, limits::CONSOLE_LINES));
        let (token, said) = typed(&[vec![b'A'; 100_000], b"\n\n".to_vec()].concat());
        assert_eq!((token, said.lines().count()), (Asked::Nothing, 1));
    }

    #[test]
    fn silence_ends_it() {
        let (reader, _writer) = io::pipe().unwrap();
        let mut console = Console::new(reader, Vec::new());
        assert!(matches!(console.hear(Some(Duration::from_millis(20))), Ok(Heard::Silence)));
    }

    #[test]
    fn the_screen_fits_a_terminal() {
        let shown = Shown {
            device: &[0xab; 16],
            boot: &[0xcd; 16],
            challenge: &[0xef; 16],
            role: "break-glass takes 16 of 16 keys",
            root_version: u64::MAX,
            taken: u64::MAX,
            seconds_left: 86_400,
        };
        let text = shown.text();
        assert!(text.lines().count() < 24, "{text}");
        for line in text.lines() {
            assert!(line.len() <= 80, "{line}: {}", line.len());
            assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
        }
        assert!(text.contains("efef-efef-efef-efef-efef-efef-efef-efef"));
    }
}
