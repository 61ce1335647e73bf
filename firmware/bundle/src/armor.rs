//! A token as text, for a serial console: lines to paste, or to type from paper.
//!
//! ```text
//! 01 ABCD EFGH IJKL MNOP QRST UVWX YZ23 4567 K3PQ
//! ```
//!
//! A line is its number, up to 20 bytes in base32 (RFC 4648, no padding) in groups of four, and four characters of
//! checksum: the upper 20 bits of the CRC32C over the number (one byte) and the bytes. A slip is found in its own line.
//! Case, spaces and dashes do not matter; `0`, `1` and `8`, which base32 has not, are read as `O`, `I` and `B`.

use heapless::{String, Vec};

use crate::limits::{ARMOR_LINE_BYTES, ARMOR_LINES};

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const CHECK_CHARACTERS: usize = 4;
const LINE_CHARACTERS: usize = (ARMOR_LINE_BYTES * 8).div_ceil(5);
const GROUP: usize = 4;
/// CRC32C (Castagnoli).
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// One line of text, without its end.
pub type ArmorLine = String<64>;
/// The bytes of one line.
pub type ArmorBytes = Vec<u8, ARMOR_LINE_BYTES>;

/// Why a line of text is not the line that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArmorError {
    /// It has another number: a line is missing, or comes twice.
    Number,
    /// It holds a character that can't be, or has an impossible length.
    Character,
    /// Its checksum does not fit: something was mistyped.
    Checksum,
}

impl ArmorError {
    /// The stable reason code (`docs/formats/reason-codes.md`).
    pub const fn code(self) -> &'static str {
        match self {
            Self::Number => "armor-number",
            Self::Character => "armor-character",
            Self::Checksum => "armor-checksum",
        }
    }
}

impl core::fmt::Display for ArmorError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Number => "another line is wanted here",
            Self::Character => "not a line of a token",
            Self::Checksum => "something in this line is mistyped",
        })
    }
}

impl core::error::Error for ArmorError {}

/// Writes `bytes` as lines. At most [`ARMOR_LINES`]; nothing for more bytes than a token may have.
pub fn armor(bytes: &[u8]) -> impl Iterator<Item = ArmorLine> + '_ {
    let fits = bytes.len() <= ARMOR_LINES * ARMOR_LINE_BYTES;
    let bytes = if fits { bytes } else { &[] };
    bytes.chunks(ARMOR_LINE_BYTES).zip(1u8..).map(|(chunk, number)| {
        let mut line = ArmorLine::new();
        // A line has at most 54 characters of 64.
        let mut put = |character: u8| drop(line.push(char::from(character)));
        put(b'0' + number / 10 % 10);
        put(b'0' + number % 10);
        let check = u64::from(checksum(number, chunk)) << 44;
        let check: Vec<u8, 8> = check.to_be_bytes().into_iter().collect();
        let data = Base32 { bytes: chunk, bit: 0 };
        let checked = Base32 { bytes: &check, bit: 0 }.take(CHECK_CHARACTERS);
        for (index, character) in data.enumerate() {
            if index.is_multiple_of(GROUP) {
                put(b' ');
            }
            put(character);
        }
        put(b' ');
        checked.for_each(put);
        line
    })
}

/// Reads the line with this number (from 1).
///
/// # Errors
/// See [`ArmorError`].
pub fn unarmor(number: u8, line: &str) -> Result<ArmorBytes, ArmorError> {
    let mut digits = line.trim_start().bytes();
    let (Some(tens @ b'0'..=b'9'), Some(ones @ b'0'..=b'9')) = (digits.next(), digits.next()) else {
        return Err(ArmorError::Character);
    };
    if (tens - b'0') * 10 + (ones - b'0') != number % 100 {
        return Err(ArmorError::Number);
    }
    let mut values: Vec<u8, { LINE_CHARACTERS + CHECK_CHARACTERS }> = Vec::new();
    for byte in digits {
        if matches!(byte, b' ' | b'-' | b'\t' | b'\r') {
            continue;
        }
        values.push(value(byte)?).map_err(|_| ArmorError::Character)?;
    }
    let split = values.len().checked_sub(CHECK_CHARACTERS).ok_or(ArmorError::Character)?;
    let (data, check) = values.split_at(split);
    let mut bytes = ArmorBytes::new();
    let (mut held, mut bits) = (0u32, 0);
    for value in data {
        held = held << 5 | u32::from(*value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8).map_err(|_| ArmorError::Character)?;
            held &= (1 << bits) - 1;
        }
    }
    // One encoding only: no spare character, and spare bits are zero.
    if bits >= 5 || held != 0 || bytes.is_empty() {
        return Err(ArmorError::Character);
    }
    let claimed = check.iter().fold(0, |sum, value| sum << 5 | u32::from(*value));
    if claimed == checksum(number, &bytes) { Ok(bytes) } else { Err(ArmorError::Checksum) }
}

fn value(byte: u8) -> Result<u8, ArmorError> {
    Ok(match byte.to_ascii_uppercase() {
        letter @ b'A'..=b'Z' => letter - b'A',
        digit @ b'2'..=b'7' => digit - b'2' + 26,
        b'0' => b'O' - b'A',
        b'1' => b'I' - b'A',
        b'8' => b'B' - b'A',
        _ => return Err(ArmorError::Character),
    })
}

/// 20 bits.
fn checksum(number: u8, bytes: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&[number]);
    digest.update(bytes);
    digest.finalize() >> 12
}

/// Five bits at a time.
struct Base32<'a> {
    bytes: &'a [u8],
    bit: usize,
}

impl Iterator for Base32<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let first = *self.bytes.get(self.bit / 8)?;
        let second = self.bytes.get(self.bit / 8 + 1).copied().unwrap_or(0);
        let window = u16::from(first) << 8 | u16::from(second);
        let value = window >> (11 - self.bit % 8) & 31;
        self.bit += 5;
        Some(ALPHABET[usize::from(value)])
    }
}
