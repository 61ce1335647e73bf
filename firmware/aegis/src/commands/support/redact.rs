//! What may be a secret, struck out: in text that others wrote, as the kernel's log is.

use aegis_log::secret::{is_of_a_key, may_be_one};

/// What stands for it.
const STRUCK: &str = "[redacted]";

/// The text, without words that may be a key or a token: long ones in the alphabets of hexadecimal, base64 and bech32 that have
/// both letters and digits, or both cases.
pub(super) fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_of_a_key) {
        let (before, word) = rest.split_at(start);
        let end = word.find(|c| !is_of_a_key(c)).unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        out.push_str(before);
        out.push_str(if may_be_one(word) { STRUCK } else { word });
        rest = after;
    }
    out.push_str(rest);
    out
}
