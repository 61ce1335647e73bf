//! Bytes as hexadecimal digits, both ways.

use std::fmt::Write;

/// Lower-case digits.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Lower-case digits in groups of four, as people write them on paper and read them aloud.
pub(crate) fn grouped(bytes: &[u8]) -> String {
    bytes.chunks(2).map(encode).collect::<Vec<_>>().join(" ")
}

/// The bytes that digits of either case stand for.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, String> {
    if !text.len().is_multiple_of(2) {
        return Err(format!("{} hex digits; an even number is needed", text.len()));
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or("not hex digits (0-9, a-f)".to_owned());
    text.as_bytes().chunks_exact(2).map(|pair| Ok((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect()
}

/// Exactly `N` bytes.
pub(crate) fn array<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let bytes = decode(text)?;
    let length = bytes.len();
    bytes.try_into().map_err(|_| format!("{length} bytes; {N} are needed ({} hex digits)", 2 * N))
}
