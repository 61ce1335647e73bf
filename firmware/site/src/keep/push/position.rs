//! What the collector has: `/data/aegis/site/pushed`, replaced in one step when it took something. A power cut in between pushes the same
//! events twice, which does no harm.
//!
//! ```text
//! RING NEXT COLLECTOR     32 digits of the ring's id, the sequence that comes next, whom it was pushed to
//! ```

use std::io;
use std::path::Path;

use crate::limits;

const FILE: &str = "pushed";

/// Where it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The ring's id, in hex; empty: of whatever ring there is.
    pub(super) ring: String,
    /// The first sequence that is not acknowledged.
    pub(super) next: u64,
}

impl Position {
    /// From the beginning: what the ring does not have any more is missing then, and said.
    pub(super) const fn begin() -> Self {
        Self { ring: String::new(), next: 1 }
    }

    /// What is remembered of this collector. One that is damaged is said, and all is pushed again.
    pub(super) fn load(state: &Path, collector: &str) -> Self {
        let text = match aegis_atomic::read_bounded(&state.join(FILE), limits::PUSH_POSITION_BYTES) {
            Ok(bytes) => String::from_utf8(bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::begin(),
            Err(error) => {
                eprintln!("site: {}: {error} (all of the ring is pushed again)", state.join(FILE).display());
                return Self::begin();
            }
        };
        match Self::decode(&text) {
            Some((position, whose)) if whose == collector => position,
            // It has nothing yet.
            Some(_) => Self::begin(),
            None => {
                eprintln!("site: {}: damaged (all of the ring is pushed again)", state.join(FILE).display());
                Self::begin()
            }
        }
    }

    pub(super) fn save(&self, state: &Path, collector: &str) -> io::Result<()> {
        let text = format!("{} {} {collector}\n", self.ring, self.next);
        aegis_atomic::replace(state, FILE, text.as_bytes(), 0o600).map(drop)
    }

    fn decode(text: &str) -> Option<(Self, &str)> {
        let mut words = text.strip_suffix('\n')?.split(' ');
        let (ring, next, collector) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !is_ring(ring) {
            return None;
        }
        let next = next.parse().ok().filter(|number: &u64| *number > 0 && number.to_string() == next)?;
        Some((Self { ring: ring.to_owned(), next }, collector))
    }
}

/// 32 digits.
pub(super) fn is_ring(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const RING: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn it_goes_on_where_it_was_and_begins_anew_for_another_collector() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        let at = Position { ring: RING.to_owned(), next: 4711 };
        assert_eq!(Position::load(state, "a/"), Position::begin());
        at.save(state, "a/").unwrap();
        assert_eq!(Position::load(state, "a/"), at);
        assert_eq!(Position::load(state, "b/"), Position::begin());
        for damage in [
            String::new(),
            format!("{RING} 4711 a/"),
            format!("{RING} 0 a/\n"),
            format!("{RING} +1 a/\n"),
            format!("{RING} 01 a/\n"),
            format!("{RING} 1 a/ \n"),
            format!("{RING}0 1 a/\n"),
            format!("{} 1 a/\n", RING.to_uppercase()),
            "\u{e4}".repeat(300),
        ] {
            std::fs::write(state.join(FILE), &damage).unwrap();
            assert_eq!(Position::load(state, "a/"), Position::begin(), "{damage:?}");
        }
    }
}
