//! How much moved within a time, summed in parts: exact but for the last part, which is forgotten as a whole.

use crate::limits::PARTS;

/// Movements within a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Of one part, ns.
    width: u64,
    /// The part that is summed now, counted from the clock's beginning.
    part: u64,
    sums: [i64; PARTS],
}

impl Window {
    pub(crate) const fn new(seconds: u32) -> Self {
        Self { width: seconds as u64 * (1_000_000_000 / PARTS as u64), part: 0, sums: [0; PARTS] }
    }

    /// Adds what moved, and returns the sum of all that is within the time.
    pub(crate) fn add(&mut self, moved: i64, now: u64) -> i64 {
        let part = now.checked_div(self.width).unwrap_or(0).max(self.part);
        let gone = part.saturating_sub(self.part).min(PARTS as u64);
        for back in 0..gone {
            self.sums[Self::place(part - back)] = 0;
        }
        self.part = part;
        let sum = &mut self.sums[Self::place(part)];
        *sum = sum.saturating_add(moved);
        self.sums.iter().fold(0i64, |all, sum| all.saturating_add(*sum))
    }

    const fn place(part: u64) -> usize {
        (part % PARTS as u64) as usize
    }
}
