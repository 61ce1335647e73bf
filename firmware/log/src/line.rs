//! One line, written.

use core::fmt::{self, Arguments, Write};

use crate::limits::{LINE_BYTES, NAME_BYTES};
use crate::secret;

/// How much it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Something is not as it should be.
    Error,
    /// Something may not be.
    Warn,
    /// Something was done.
    #[default]
    Info,
}

impl Level {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Error, Self::Warn, Self::Info];

    /// Its name in a line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
        }
    }

    /// By its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// What is said.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
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
    /// The last event on disk; 0: not known.
    pub after: u64,
    /// The rest.
    pub text: Arguments<'a>,
}

/// What stands behind the text.
const END: &[u8] = b"\"}\n";
/// What stands where a text was cut.
const CUT: &[u8] = b" [cut]";

impl Said<'_> {
    /// As JSON, with its line feed.
    pub fn json<'b>(&self, buffer: &'b mut [u8; LINE_BYTES]) -> &'b [u8] {
        let mut out = Fixed::new(buffer, END.len() + CUT.len());
        let Self { time, clock, level, pid, after, .. } = self;
        // What is before the text always fits: names are bounded.
        let _ = write!(out, "{{\"time\":{time},\"boot\":\"");
        out.name(self.boot);
        let _ =
            write!(out, "\",\"clock\":{clock},\"level\":\"{}\",\"pid\":{pid},\"module\":\"", level.name());
        out.name(self.module);
        out.put(b"\"");
        if !self.workload.is_empty() {
            out.put(b",\"workload\":\"");
            out.name(self.workload);
            out.put(b"\"");
        }
        if *after > 0 {
            let _ = write!(out, ",\"after\":{after}");
        }
        out.put(b",\"text\":\"");
        let from = out.at;
        let _ = Escaped(&mut out).write_fmt(self.text);
        out.end(from, END)
    }

    /// As text for a person, with its line feed: nothing in it moves a cursor.
    pub fn text<'b>(&self, buffer: &'b mut [u8; LINE_BYTES]) -> &'b [u8] {
        let mut out = Fixed::new(buffer, 1 + CUT.len());
        let level = match self.level {
            Level::Error => "ERROR",
            Level::Warn => "WARN ",
            Level::Info => "INFO ",
        };
        let _ = write!(out, "{level} [");
        out.name(self.module);
        out.put(b"] ");
        let from = out.at;
        let _ = Plain(&mut out).write_fmt(self.text);
        out.end(from, b"\n")
    }
}

/// A buffer that takes whole pieces as long as they fit, and none after the first that does not.
struct Fixed<'b> {
    bytes: &'b mut [u8; LINE_BYTES],
    at: usize,
    /// Of the buffer, what is kept for the end.
    kept: usize,
    is_cut: bool,
}

impl<'b> Fixed<'b> {
    fn new(bytes: &'b mut [u8; LINE_BYTES], kept: usize) -> Self {
        Self { bytes, at: 0, kept, is_cut: false }
    }

    fn put(&mut self, piece: &[u8]) {
        let end = self.at + piece.len();
        match self.bytes.get_mut(self.at..end) {
            Some(place) if !self.is_cut && end + self.kept <= LINE_BYTES => {
                place.copy_from_slice(piece);
                self.at = end;
            }
            _ => self.is_cut = true,
        }
    }

    /// A name: bounded, and only of what names are made of.
    fn name(&mut self, name: &str) {
        for byte in name.bytes().take(NAME_BYTES) {
            let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':');
            self.put(&[if plain { byte } else { b'?' }]);
        }
    }

    /// Strikes out what is a secret from here on, and ends the line.
    fn end(mut self, from: usize, end: &[u8]) -> &'b [u8] {
        if let Some(text) = self.bytes.get_mut(from..self.at) {
            secret::strike_keys(text);
        }
        self.kept = 0;
        if core::mem::take(&mut self.is_cut) {
            self.put(CUT);
        }
        self.put(end);
        let Self { bytes, at, .. } = self;
        bytes.get(..at).unwrap_or_default()
    }
}

impl Write for Fixed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

/// Within a string of JSON: all that is not printable ASCII by its number.
struct Escaped<'f, 'b>(&'f mut Fixed<'b>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '"' => self.0.put(b"\\\""),
                '\\' => self.0.put(b"\\\\"),
                ' '..='~' => self.0.put(&[c as u8]),
                _ => {
                    let mut piece = [0; 12];
                    let mut at = 0;
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        piece[at..at + 2].copy_from_slice(b"\\u");
                        for (digit, place) in piece[at + 2..at + 6].iter_mut().enumerate() {
                            *place = HEX[usize::from(*unit >> (12 - 4 * digit) & 15)];
                        }
                        at += 6;
                    }
                    self.0.put(&piece[..at]);
                }
            }
        }
        Ok(())
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// For a terminal: what is neither a letter nor a sign that is known stands there by its bytes' numbers.
struct Plain<'f, 'b>(&'f mut Fixed<'b>);

impl Write for Plain<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let mut utf8 = [0; 4];
            let bytes = c.encode_utf8(&mut utf8).as_bytes();
            if is_plain(c) {
                self.0.put(bytes);
            } else {
                for byte in bytes {
                    self.0.put(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
                }
            }
        }
        Ok(())
    }
}

/// It is shown by itself.
pub(crate) fn is_plain(c: char) -> bool {
    matches!(c, ' '..='~' | '…' | '–' | '—' | '×') || !c.is_ascii() && c.is_alphanumeric()
}
