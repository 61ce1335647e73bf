//! `/proc/pressure/*` (`kernel/sched/psi.c:psi_show`).

use super::{lines, number, words};

/// Time waited, µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// In which some tasks waited.
    pub some: Option<u64>,
    /// In which all that could run did. Of the processor of the whole system it is none, or 0 (since 5.13).
    pub full: Option<u64>,
}

/// Reads one of them.
pub fn pressure(text: &[u8]) -> Pressure {
    let mut found = Pressure::default();
    for line in lines(text) {
        let mut words = words(line);
        let place = match words.next() {
            Some(b"some") => &mut found.some,
            Some(b"full") => &mut found.full,
            _ => continue,
        };
        *place = words.find_map(|word| word.strip_prefix(b"total=")).and_then(number);
    }
    found
}
