//! Keys as text: bech32 (BIP 173), as age writes it, and in no other form.

use core::fmt::Write;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use zeroize::Zeroizing;

/// Why text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextError {
    /// It does not begin as one.
    Kind,
    /// A letter is wrong: mistyped, left out, or in the other case.
    Mistyped,
    /// A key that can't keep anything secret: its curve point is of small order.
    Weak,
}

impl TextError {
    /// The stable reason code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Kind => "not-a-key",
            Self::Mistyped => "mistyped-key",
            Self::Weak => "weak-key",
        }
    }
}

impl core::fmt::Display for TextError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Kind => "not an age key of the X25519 kind (age1… or AGE-SECRET-KEY-1…)",
            Self::Mistyped => "a letter of the age key is wrong; copy it again from where it was made",
            Self::Weak => "an age key that keeps nothing secret; make one with `aegisctl keys office`",
        })
    }
}

impl core::error::Error for TextError {}

/// The kinds of keys: what stands before their first `1`, and whether in capitals.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    name: &'static str,
    upper: bool,
}

pub(crate) const RECIPIENT: Kind = Kind { name: "age", upper: false };
pub(crate) const IDENTITY: Kind = Kind { name: "age-secret-key-", upper: true };

/// Longest text, bytes.
const TEXT: usize = crate::limits::IDENTITY_TEXT_BYTES;

/// Text that is wiped.
type Text = Zeroizing<Buffer>;

#[derive(Default)]
struct Buffer(heapless::Vec<u8, TEXT>);

impl zeroize::Zeroize for Buffer {
    fn zeroize(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl Write for Buffer {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0.extend_from_slice(text.as_bytes()).map_err(|_| core::fmt::Error)
    }
}

fn put(kind: Kind, key: &[u8; 32]) -> Text {
    let mut out = Text::default();
    let name = Hrp::parse_unchecked(kind.name);
    let written = if kind.upper {
        bech32::encode_upper_to_fmt::<Bech32, _>(&mut *out, name, key)
    } else {
        bech32::encode_lower_to_fmt::<Bech32, _>(&mut *out, name, key)
    };
    written.expect("32 bytes and a short name fit");
    out
}

/// Writes a key.
pub(crate) fn encode<const N: usize>(kind: Kind, key: &[u8; 32]) -> Zeroizing<[u8; N]> {
    let mut out = Zeroizing::new([0; N]);
    out.copy_from_slice(&put(kind, key).0);
    out
}

/// Reads a key: only what [`encode`] writes.
pub(crate) fn decode(kind: Kind, text: &str) -> Result<Zeroizing<[u8; 32]>, TextError> {
    let begins = text.as_bytes().iter().zip(kind.name.as_bytes()).all(|(a, b)| a.eq_ignore_ascii_case(b));
    if !begins || text.as_bytes().get(kind.name.len()) != Some(&b'1') {
        return Err(TextError::Kind);
    }
    let parsed = CheckedHrpstring::new::<Bech32>(text).map_err(|_| TextError::Mistyped)?;
    let mut key = Zeroizing::new([0; 32]);
    let mut bytes = parsed.byte_iter();
    for place in key.iter_mut() {
        *place = bytes.next().ok_or(TextError::Mistyped)?;
    }
    // Case, padding, length: whatever is not as it would be written.
    if bytes.next().is_some() || put(kind, &key).0 != text.as_bytes() {
        return Err(TextError::Mistyped);
    }
    Ok(key)
}
