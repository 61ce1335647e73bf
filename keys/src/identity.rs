//! Office keys: age identities, which open encrypted exports. They decide who can read, never who is believed: nothing
//! signed depends on them, and root metadata does not know them.
//!
//! ```text
//! # AEGIS office key: opens exports that are encrypted to
//! # age1…
//! AGE-SECRET-KEY-1…
//! ```
//!
//! The same file as `age-keygen` writes; [`crate::seal`] encrypts the same text. Several may stand in one file.

use aegis_age::limits::IDENTITIES;
use aegis_age::{Identity, TextError};
use zeroize::Zeroizing;

use crate::KeyError;

/// What every line with a secret begins with.
const SECRET: &str = "AGE-SECRET-KEY-";
/// More than the text takes: growing would leave copies behind.
const TEXT_BYTES: usize = 512;

/// Why text is no identity file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// There is no secret key in it.
    Empty,
    /// More than [`IDENTITIES`].
    TooMany,
    /// What is wrong with this line (from 1).
    Line(usize, TextError),
}

impl std::fmt::Display for IdentityError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("not an office key; name one that `keys office` or age-keygen made"),
            Self::TooMany => write!(f, "more than {IDENTITIES} keys; give several files"),
            Self::Line(line, error) => write!(f, "line {line}: {error}"),
        }
    }
}

impl std::error::Error for IdentityError {}

/// Makes an office key from the system's random bytes.
///
/// # Errors
/// [`KeyError::NoRandom`].
pub fn new_identity() -> Result<Identity, KeyError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).map_err(|_| KeyError::NoRandom)?;
    Identity::from_random(&bytes).ok_or(KeyError::NoRandom)
}

/// True when a plain file is meant to hold office keys.
pub fn is_identity_file(text: &str) -> bool {
    text.lines().any(|line| line.starts_with(SECRET))
}

/// Reads a plain identity file, and adds what is in it. Comments and empty lines are passed over. A vector with room for
/// [`IDENTITIES`] does not grow, and so leaves no copies behind.
///
/// # Errors
/// See [`IdentityError`]. What is wrong is said without what is in the line.
pub fn read_identities(text: &str, identities: &mut Vec<Identity>) -> Result<(), IdentityError> {
    let before = identities.len();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if !line.starts_with(SECRET) {
            return Err(if identities.len() == before {
                IdentityError::Empty
            } else {
                IdentityError::Line(number + 1, TextError::Kind)
            });
        }
        if identities.len() >= IDENTITIES {
            return Err(IdentityError::TooMany);
        }
        identities.push(Identity::parse(line).map_err(|error| IdentityError::Line(number + 1, error))?);
    }
    if identities.len() == before { Err(IdentityError::Empty) } else { Ok(()) }
}

/// The text of an identity file; wiped when it is dropped.
pub fn identity_text(identity: &Identity) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES));
    text.push_str("# AEGIS office key: opens exports that are encrypted to\n# ");
    text.push_str(&identity.recipient().to_string());
    text.push('\n');
    text.extend(identity.to_text().iter().map(|byte| char::from(*byte)));
    text.push('\n');
    debug_assert!(text.len() <= TEXT_BYTES);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_office_key_comes_back() {
        let made = [new_identity().expect("random"), new_identity().expect("random")];
        assert_ne!(made[0].recipient(), made[1].recipient());
        let texts: Vec<_> = made.iter().map(identity_text).collect();
        let both = format!("{}\n{}", *texts[0], *texts[1]);
        let mut read = Vec::new();
        read_identities(&both, &mut read).expect("two");
        assert!(read.iter().map(Identity::recipient).eq(made.iter().map(Identity::recipient)));
        assert!(is_identity_file(&texts[0]) && !is_identity_file("-----BEGIN AEGIS PLAIN SECRET KEY-----"));
    }

    #[test]
    fn what_is_no_office_key_is_refused_without_showing_it() {
        let secret = identity_text(&new_identity().expect("random"));
        let mut mistyped = Zeroizing::new(secret.trim_end().to_owned());
        let last = mistyped.pop();
        mistyped.push(if last == Some('Q') { 'P' } else { 'Q' });
        for (text, expected) in [
            ("", IdentityError::Empty),
            ("# nothing\n\n", IdentityError::Empty),
            ("-----BEGIN AEGIS PLAIN SECRET KEY-----\n", IdentityError::Empty),
            (mistyped.as_str(), IdentityError::Line(3, TextError::Mistyped)),
            (&format!("{}ssh-ed25519 AAAA\n", *secret), IdentityError::Line(4, TextError::Kind)),
            (&secret.repeat(IDENTITIES + 1), IdentityError::TooMany),
        ] {
            let error = read_identities(text, &mut Vec::new()).expect_err("refused");
            assert_eq!(error, expected);
            assert!(!error.to_string().contains("KEY-1Q"), "{error}");
        }
    }
}
