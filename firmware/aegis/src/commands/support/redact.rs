//! What may be a secret, struck out: in text that others wrote, as the kernel's log is.

/// A word of so many characters that all may be of a key is taken for one: 16 bytes in base64 have 22, in hexadecimal 32.
const LONGEST: usize = 21;
/// So long, both cases are enough, whatever separates them.
const LONG: usize = 40;
/// How secret keys of age begin.
const AGE: &str = "AGE-SECRET-KEY-";
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

fn is_of_a_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '-' | '_')
}

fn may_be_one(word: &str) -> bool {
    let has = |of: fn(&u8) -> bool| word.bytes().any(|byte| of(&byte));
    let (digits, upper, lower) =
        (has(u8::is_ascii_digit), has(u8::is_ascii_uppercase), has(u8::is_ascii_lowercase));
    // A path or a flag in many words is none: between its separators nothing is long, and it has one case.
    let longest = word.split(['/', '-', '_', '=']).map(str::len).max().unwrap_or(0);
    let mixed = digits && (upper || lower) || upper && lower;
    let scattered = upper && lower && (digits || word.len() >= LONG);
    word.starts_with(AGE) || word.len() > LONGEST && mixed && (longest > LONGEST || scattered)
}
