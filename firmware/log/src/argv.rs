//! Arguments of a program, as events have them: each followed by NUL. What may be a secret is struck out.

use crate::limits::ARGV_BYTES;
use crate::secret;

/// What is recorded of them; less with each. The numbers are those of `aegis_policy::Argv`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// All.
    #[default]
    Whole,
    /// What may be a secret is struck out.
    Secrets,
    /// The first one, which says how the program was called; the others are struck out, each.
    Program,
}

impl Keep {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Whole, Self::Secrets, Self::Program];

    /// As the configuration has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Secrets => "secrets",
            Self::Program => "program",
        }
    }

    /// By its number. One that is not known is from a newer agent or policy: the strictest.
    pub fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Program)
    }

    /// By its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|keep| keep.name() == name)
    }
}

/// What stands in the place of what was struck out.
pub const STRUCK: &[u8] = b"***";

/// The arguments as they are to be recorded, and whether they were cut because they are longer then than they may be.
pub fn redact<'b>(argv: &'b [u8], keep: Keep, buffer: &'b mut [u8; ARGV_BYTES]) -> (&'b [u8], bool) {
    if keep == Keep::Whole || argv.is_empty() {
        return (argv, false);
    }
    let ends = argv.ends_with(b"\0");
    let words = argv.strip_suffix(b"\0").unwrap_or(argv).split(|byte| *byte == 0);
    let mut out = Out { buffer, at: 0, is_cut: false };
    // The one before it names a secret.
    let mut named = false;
    for (index, word) in words.enumerate() {
        if index > 0 {
            out.put(b"\0");
        }
        let flag = word.starts_with(b"-");
        match keep {
            _ if index == 0 => out.put(word),
            Keep::Program => out.put(STRUCK),
            _ if named && !flag && !word.is_empty() => out.put(STRUCK),
            _ => out.word(word),
        }
        named = flag && !word.contains(&b'=') && secret::is_name(word);
    }
    if ends {
        out.put(b"\0");
    }
    let Out { buffer, at, is_cut } = out;
    (buffer.get(..at).unwrap_or_default(), is_cut)
}

struct Out<'b> {
    buffer: &'b mut [u8; ARGV_BYTES],
    at: usize,
    is_cut: bool,
}

impl Out<'_> {
    /// As much of it as there is room for.
    fn put(&mut self, bytes: &[u8]) {
        let room = self.buffer.get_mut(self.at..).unwrap_or_default();
        let length = bytes.len().min(room.len());
        room[..length].copy_from_slice(&bytes[..length]);
        self.at += length;
        self.is_cut |= length < bytes.len();
    }

    /// One argument: `NAME=VALUE`, `Name: value`, `scheme://user:password@host`, and words that may be keys.
    fn word(&mut self, word: &[u8]) {
        if let Some(at) = word.iter().position(|byte| matches!(byte, b'=' | b':'))
            && secret::is_name(&word[..at])
        {
            self.put(&word[..=at]);
            self.put(STRUCK);
            return;
        }
        let mut rest = word;
        if let Some(at) = rest.windows(3).position(|window| window == b"://") {
            let (scheme, after) = rest.split_at(at + 3);
            let host = after.iter().position(|byte| *byte == b'/').unwrap_or(after.len());
            if let Some(end) = after[..host].iter().rposition(|byte| *byte == b'@') {
                self.put(scheme);
                self.put(STRUCK);
                rest = &after[end..];
            }
        }
        while !rest.is_empty() {
            let of_a_key = |byte: &u8| secret::is_of_a_key(char::from(*byte));
            let start = rest.iter().position(of_a_key).unwrap_or(rest.len());
            let (before, from) = rest.split_at(start);
            let end = from.iter().position(|byte| !of_a_key(byte)).unwrap_or(from.len());
            let (piece, after) = from.split_at(end);
            self.put(before);
            let is_one = core::str::from_utf8(piece).is_ok_and(secret::may_be_one);
            self.put(if is_one { STRUCK } else { piece });
            rest = after;
        }
    }
}
