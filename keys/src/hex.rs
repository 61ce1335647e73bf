//! Hexadecimal digits in key files.

use std::fmt::Write;

use zeroize::Zeroizing;

/// Appends lower-case digits. `text` must have room where it holds a secret: growing would leave a copy behind.
pub(crate) fn put(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
    }
}

/// Exactly `N` bytes, of digits of either case.
pub(crate) fn take<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let mut out = Zeroizing::new([0; N]);
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Some(out)
}
