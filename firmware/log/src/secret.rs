//! What may be a secret, in text that others wrote: how it is told.

/// A word of so many characters that all may be of a key is taken for one: 16 bytes in base64 have 22, in hexadecimal 32.
const LONGEST: usize = 21;
/// So long, both cases are enough, whatever separates them.
const LONG: usize = 40;
/// How secret keys of age begin.
pub const AGE: &str = "AGE-SECRET-KEY-";
/// What stands in the place of one.
const STRUCK: u8 = b'*';

/// It may stand in a key: hexadecimal, base64, bech32.
pub fn is_of_a_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '-' | '_')
}

/// A long word in the alphabets of keys that has both letters and digits, or both cases.
pub fn may_be_one(word: &str) -> bool {
    let has = |of: fn(&u8) -> bool| word.bytes().any(|byte| of(&byte));
    let (digits, upper, lower) =
        (has(u8::is_ascii_digit), has(u8::is_ascii_uppercase), has(u8::is_ascii_lowercase));
    // A path or a flag in many words is none: between its separators nothing is long, and it has one case.
    let longest = word.split(['/', '-', '_', '=']).map(str::len).max().unwrap_or(0);
    let mixed = digits && (upper || lower) || upper && lower;
    let scattered = upper && lower && (digits || word.len() >= LONG);
    word.starts_with(AGE) || word.len() > LONGEST && mixed && (longest > LONGEST || scattered)
}

/// Strikes out each secret key of age, in place. Other keys have no form by which they are told from a device's id or a hash, which a
/// log is full of; no code of ours hands one to it.
pub fn strike_keys(text: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| find(rest, AGE.as_bytes())) {
        at += found + AGE.len();
        let rest = text.get_mut(at..).unwrap_or_default();
        let length = rest.iter().position(|byte| !is_of_a_key(char::from(*byte))).unwrap_or(rest.len());
        rest[..length].fill(STRUCK);
        at += length;
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window.eq_ignore_ascii_case(what))
}

/// Names whose values nobody is to read, in lower case; a name that has one of them in it is one, too.
const NAMES: [&str; 14] = [
    "passw",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api-key",
    "api_key",
    "credential",
    "private-key",
    "private_key",
    "access-key",
    "access_key",
    "authorization",
];

/// What this names is a secret.
pub fn is_name(name: &[u8]) -> bool {
    NAMES.iter().any(|known| find(name, known.as_bytes()).is_some())
}
