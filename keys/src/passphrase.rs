//! Passphrases for new keys: what is too weak to write down as one.

use zeroize::Zeroizing;

use crate::limits::{PASSPHRASE_BYTES, PASSPHRASE_CHARACTERS, PASSPHRASE_DIFFERENT};

/// Why a passphrase is not taken for a new key. An old one is taken as it is: the key is locked with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weak {
    /// Fewer than [`PASSPHRASE_CHARACTERS`] characters.
    Short,
    /// More than [`PASSPHRASE_BYTES`].
    Long,
    /// A control character in it: it could not be typed.
    Control,
    /// Fewer than [`PASSPHRASE_DIFFERENT`] different characters.
    Uniform,
    /// One piece again and again.
    Repeated,
    /// Little more than words and runs that guessing begins with.
    Common,
}

impl std::fmt::Display for Weak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mend = "; take five or six random words";
        match self {
            Self::Short => {
                write!(f, "the passphrase has fewer than {PASSPHRASE_CHARACTERS} characters{mend}")
            }
            Self::Long => write!(f, "the passphrase is longer than {PASSPHRASE_BYTES} bytes"),
            Self::Control => f.write_str("the passphrase holds a control character, which can't be typed"),
            Self::Uniform => {
                write!(f, "the passphrase has fewer than {PASSPHRASE_DIFFERENT} different characters{mend}")
            }
            Self::Repeated => write!(f, "the passphrase is one piece again and again{mend}"),
            Self::Common => write!(f, "the passphrase is what guessing begins with{mend}"),
        }
    }
}

impl std::error::Error for Weak {}

/// What guessing begins with. Taken out before the rest is counted; so are runs ([`RUNS`]).
const COMMON: [&str; 16] = [
    "passphrase",
    "password",
    "passwort",
    "aegis",
    "secret",
    "welcome",
    "letmein",
    "iloveyou",
    "changeme",
    "admin",
    "dragon",
    "monkey",
    "football",
    "policy",
    "root",
    "test",
];
/// Neighbours on the keyboard and in the alphabet, both ways.
const RUNS: [&str; 5] = ["abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"];
/// Shortest run that counts as one.
const RUN: usize = 4;
/// Characters that must be left when words and runs are taken out.
const LEFT: usize = 8;

/// Decides whether a passphrase will do for a new key. A floor, not a measure: it keeps out what falls to the first
/// thousand guesses.
///
/// # Errors
/// [`Weak`] says why not.
pub fn check_passphrase(text: &str) -> Result<(), Weak> {
    let characters: Zeroizing<Vec<char>> = Zeroizing::new(text.chars().collect());
    if text.len() > PASSPHRASE_BYTES {
        return Err(Weak::Long);
    }
    if characters.iter().any(|c| c.is_control()) {
        return Err(Weak::Control);
    }
    if characters.len() < PASSPHRASE_CHARACTERS {
        return Err(Weak::Short);
    }
    let mut different = characters.clone();
    different.sort_unstable();
    different.dedup();
    if different.len() < PASSPHRASE_DIFFERENT {
        return Err(Weak::Uniform);
    }
    let length = characters.len();
    if (1..=length / 2).any(|piece| (piece..length).all(|at| characters[at] == characters[at - piece])) {
        return Err(Weak::Repeated);
    }
    if left(Zeroizing::new(text.to_lowercase())) < LEFT { Err(Weak::Common) } else { Ok(()) }
}

/// How many letters and digits are left without the common pieces.
fn left(mut text: Zeroizing<String>) -> usize {
    for word in COMMON {
        // In place: a passphrase is to leave no trace.
        while let Some(at) = text.find(word) {
            text.replace_range(at..at + word.len(), &" ".repeat(word.len()));
        }
    }
    let characters: Zeroizing<Vec<char>> = Zeroizing::new(text.chars().collect());
    let next = |a: char, b: char| {
        RUNS.iter().any(|run| {
            run.as_bytes().windows(2).any(|pair| {
                let pair = (char::from(pair[0]), char::from(pair[1]));
                pair == (a, b) || pair == (b, a)
            })
        })
    };
    let (mut left, mut run) = (0, 0);
    for (at, character) in characters.iter().enumerate() {
        run = if at > 0 && next(characters[at - 1], *character) { run + 1 } else { 1 };
        left += usize::from(character.is_alphanumeric());
        match run {
            RUN => left = left.saturating_sub(RUN),
            longer if longer > RUN => left = left.saturating_sub(1),
            _ => {}
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::{Weak, check_passphrase};

    #[test]
    fn what_guessing_begins_with_is_refused() {
        let long = "x1 ".repeat(400);
        for (text, expected) in [
            ("", Err(Weak::Short)),
            ("short enough", Ok(())),
            ("too-short-1", Err(Weak::Short)),
            ("aaaaaaaaaaaaaaaa", Err(Weak::Uniform)),
            ("abababababababab", Err(Weak::Uniform)),
            ("tr0ub4tr0ub4tr0", Err(Weak::Repeated)),
            ("Password12345678", Err(Weak::Common)),
            ("aegis-root-password-1", Err(Weak::Common)),
            ("qwertyuiop12345", Err(Weak::Common)),
            ("98765432asdfghjkl", Err(Weak::Common)),
            ("abcdefghijklmnop", Err(Weak::Common)),
            ("line\nfeed in the middle", Err(Weak::Control)),
            (long.as_str(), Err(Weak::Long)),
            ("correct horse battery staple", Ok(())),
            ("kran test feder zwölf amboss", Ok(())),
            ("Xq7-mv2k-pp91-zzt4", Ok(())),
        ] {
            assert_eq!(check_passphrase(text), expected, "{text}");
        }
    }
}
