//! The header of an age file: text, in one form only. Whatever the kind of its recipients.

use base64ct::{Base64Unpadded, Encoding};

use crate::VERSION;
use crate::limits::HEADER_BYTES;

/// What a stanza begins with.
const ARROW: &[u8] = b"-> ";
/// What the last line begins with; the MAC is over everything up to here.
pub const END: &str = "---";
/// Columns of a line of base64; a shorter one ends the body.
const COLUMNS: usize = 64;
const MAC_BYTES: usize = 32;

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// They may be the beginning of one.
    Incomplete,
    /// What is wrong.
    Malformed(&'static str),
}

/// A header, as it stands at the front of a file. Nothing of it is verified: that takes the file key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    stanzas: &'a [u8],
    /// What the MAC is over.
    pub signed: &'a [u8],
    /// The MAC.
    pub mac: [u8; MAC_BYTES],
    /// Its length in the file, bytes.
    pub length: usize,
}

/// The file key for one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stanza<'a> {
    /// Kind and arguments, with one blank between two of them.
    arguments: &'a str,
    /// Lines of base64.
    body: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads the header at the front of `bytes`, which may go on behind it.
    ///
    /// # Errors
    /// See [`HeaderError`]. [`HeaderError::Incomplete`] is said of at most [`HEADER_BYTES`] bytes.
    pub fn read(bytes: &'a [u8]) -> Result<Self, HeaderError> {
        let front = &bytes[..bytes.len().min(HEADER_BYTES)];
        match Self::read_front(front) {
            Err(HeaderError::Incomplete) if front.len() == HEADER_BYTES => {
                Err(HeaderError::Malformed("it is too long"))
            }
            other => other,
        }
    }

    fn read_front(bytes: &'a [u8]) -> Result<Self, HeaderError> {
        let Some(stanzas) = bytes.strip_prefix(VERSION.as_bytes()) else {
            let begins = VERSION.as_bytes().starts_with(bytes);
            return Err(if begins { HeaderError::Incomplete } else { HeaderError::Malformed("its version") });
        };
        let mut rest = stanzas;
        while rest.starts_with(ARROW) {
            rest = Stanza::take(rest)?.1;
        }
        let (last, after) = line(rest)?;
        if rest.len() == stanzas.len() {
            return Err(HeaderError::Malformed("it has no recipient"));
        }
        let mac = last.strip_prefix(END.as_bytes()).and_then(|mac| base64(mac.strip_prefix(b" ")?));
        let mac = mac.ok_or(HeaderError::Malformed("its MAC"))?;
        let before = bytes.len() - rest.len();
        let signed = &bytes[..before + END.len()];
        Ok(Self {
            stanzas: &stanzas[..stanzas.len() - rest.len()],
            signed,
            mac,
            length: bytes.len() - after.len(),
        })
    }

    /// Its stanzas, one or more.
    pub fn stanzas(&self) -> impl Iterator<Item = Stanza<'a>> + use<'a> {
        let mut rest = self.stanzas;
        core::iter::from_fn(move || {
            let (stanza, after) = Stanza::take(rest).ok()?;
            rest = after;
            Some(stanza)
        })
    }
}

impl<'a> Stanza<'a> {
    /// Reads one from the front of `bytes`; the rest comes with it.
    fn take(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), HeaderError> {
        let (first, body) = line(bytes)?;
        let arguments = first
            .strip_prefix(ARROW)
            .filter(|arguments| {
                arguments
                    .split(|byte| *byte == b' ')
                    .all(|argument| !argument.is_empty() && argument.iter().all(u8::is_ascii_graphic))
            })
            .and_then(|arguments| str::from_utf8(arguments).ok())
            .ok_or(HeaderError::Malformed("the first line of a recipient"))?;
        let mut rest = body;
        loop {
            let (line, after) = line(rest)?;
            let good =
                line.len() <= COLUMNS && Base64Unpadded::decode(line, &mut [0; COLUMNS / 4 * 3]).is_ok();
            if !good {
                return Err(HeaderError::Malformed("the file key of a recipient"));
            }
            rest = after;
            if line.len() < COLUMNS {
                break;
            }
        }
        Ok((Self { arguments, body: &body[..body.len() - rest.len()] }, rest))
    }

    /// Its kind: `X25519`, `scrypt` or another.
    pub fn kind(&self) -> &'a str {
        self.arguments().next().unwrap_or_default()
    }

    /// Its kind, then its arguments.
    pub fn arguments(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.arguments.split(' ')
    }

    /// Its body, when that has `N` bytes, at most 47.
    pub fn body<const N: usize>(&self) -> Option<[u8; N]> {
        base64(self.body.strip_suffix(b"\n")?)
    }
}

/// The line at the front, without its line feed, and the rest.
fn line(bytes: &[u8]) -> Result<(&[u8], &[u8]), HeaderError> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(HeaderError::Incomplete)?;
    Ok((&bytes[..end], &bytes[end + 1..]))
}

/// Exactly `N` bytes of base64, without padding and in one form only.
pub fn base64<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let length = Base64Unpadded::decode(text, &mut bytes).ok()?.len();
    (length == N).then_some(bytes)
}
