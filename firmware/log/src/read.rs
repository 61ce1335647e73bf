//! One line, read: exactly what [`Said::json`](crate::Said::json) writes.

use core::fmt::{self, Display, Formatter, Write};

use crate::limits::{LINE_BYTES, NAME_BYTES};
use crate::line::{Level, is_plain};

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// `CLOCK_BOOTTIME` ns.
    pub time: u64,
    /// The first digits of the boot's id.
    pub boot: &'a str,
    /// `CLOCK_REALTIME` s.
    pub clock: u64,
    /// How much it matters.
    pub level: Level,
    /// Whose process.
    pub pid: u32,
    /// Where in the program.
    pub module: &'a str,
    /// What it is about; empty: nothing of that kind.
    pub workload: &'a str,
    /// The last event on disk then; 0: not known.
    pub after: u64,
    /// As it stands there: printable ASCII, escaped as in JSON.
    pub text: &'a str,
}

/// Reads a line, without its line feed. `None`: it is none of ours, or was torn.
pub fn read(line: &[u8]) -> Option<Line<'_>> {
    if line.len() >= LINE_BYTES {
        return None;
    }
    let mut rest = Rest(core::str::from_utf8(line).ok()?);
    rest.skip("{\"time\":")?;
    let time = rest.number()?;
    rest.skip(",\"boot\":\"")?;
    let boot = rest.name()?;
    rest.skip(",\"clock\":")?;
    let clock = rest.number()?;
    rest.skip(",\"level\":\"")?;
    let level = rest.name()?;
    let level = Level::from_name(level)?;
    rest.skip(",\"pid\":")?;
    let pid = u32::try_from(rest.number()?).ok()?;
    rest.skip(",\"module\":\"")?;
    let module = rest.name()?;
    let workload = if rest.skip(",\"workload\":\"").is_some() { rest.name()? } else { "" };
    let after = if rest.skip(",\"after\":").is_some() { rest.number()? } else { 0 };
    rest.skip(",\"text\":\"")?;
    let text = rest.0.strip_suffix("\"}")?;
    is_string(text).then_some(Line { time, boot, clock, level, pid, module, workload, after, text })
}

struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, expected: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// Decimal, without a sign or a leading zero.
    fn number(&mut self) -> Option<u64> {
        let end = self.0.bytes().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        let plain = digits == "0" || !digits.starts_with('0');
        digits.parse().ok().filter(|_| plain)
    }

    /// Up to the quote that ends it, which is skipped.
    fn name(&mut self) -> Option<&'a str> {
        let (name, rest) = self.0.split_once('"')?;
        self.0 = rest;
        let plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':' | b'?');
        (name.len() <= NAME_BYTES && name.bytes().all(plain)).then_some(name)
    }
}

/// Within a string of JSON, as it is written here.
fn is_string(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let good = match byte {
            b'\\' => match bytes.next() {
                Some(b'"' | b'\\') => true,
                Some(b'u') => {
                    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                    bytes.by_ref().take(4).filter(|byte| digit(*byte)).count() == 4
                }
                _ => false,
            },
            b'"' => false,
            b' '..=b'~' => true,
            _ => false,
        };
        if !good {
            return false;
        }
    }
    true
}

impl Line<'_> {
    /// Its text for a person: what no terminal takes for more than text.
    pub fn plain(&self) -> impl Display {
        Plain(self.text)
    }
}

struct Plain<'a>(&'a str);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(c) = rest.chars().next() {
            let (shown, length) = match rest.as_bytes() {
                [b'\\', b'u', ..] => {
                    let unit = rest.get(2..6).and_then(|digits| u32::from_str_radix(digits, 16).ok());
                    // Half of a pair stands there by its number.
                    (unit.and_then(char::from_u32).filter(|c| is_plain(*c)), 6)
                }
                [b'\\', _, ..] => (rest.chars().nth(1), 2),
                _ => (Some(c), c.len_utf8()),
            };
            let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
            match shown {
                Some(c) => f.write_char(c)?,
                None => f.write_str(piece)?,
            }
            rest = after;
        }
        Ok(())
    }
}
