//! Sequences that the ring could not give any more: a short, bounded, ordered list.

use crate::limits;

/// Ranges of sequences (first, last), ascending, neither touching nor overlapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    list: [(u64, u64); limits::GAPS],
    count: usize,
}

impl Gaps {
    /// None.
    pub const fn new() -> Self {
        Self { list: [(0, 0); limits::GAPS], count: 0 }
    }

    /// Adds a range behind all others, joined with the last one where they touch. False when the list is full or the
    /// range is empty or not behind the others.
    #[must_use]
    pub fn push(&mut self, first: u64, last: u64) -> bool {
        if first == 0 || first > last {
            return false;
        }
        if let Some(before) = self.list[..self.count].last_mut() {
            if before.1 >= first {
                return false;
            }
            if before.1 + 1 == first {
                before.1 = last;
                return true;
            }
        }
        let Some(free) = self.list.get_mut(self.count) else { return false };
        *free = (first, last);
        self.count += 1;
        true
    }

    /// The ranges, (first, last).
    pub fn as_slice(&self) -> &[(u64, u64)] {
        &self.list[..self.count]
    }

    /// Sequences in all of them.
    pub fn total(&self) -> u64 {
        self.as_slice()
            .iter()
            .fold(0, |sum: u64, (first, last)| sum.saturating_add((last - first).saturating_add(1)))
    }

    /// Those that end before this sequence.
    #[must_use]
    pub fn before(&self, sequence: u64) -> Self {
        let count = self.as_slice().iter().take_while(|gap| gap.1 < sequence).count();
        let mut list = [(0, 0); limits::GAPS];
        list[..count].copy_from_slice(&self.list[..count]);
        Self { list, count }
    }
}
