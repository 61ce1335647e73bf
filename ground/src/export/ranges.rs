//! Sequences as ranges.

/// Sequences, as ranges (first, last): ascending, not touching.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Adds a range that begins behind the others.
    pub(super) fn add(&mut self, first: u64, last: u64) {
        match self.0.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => self.0.push((first, last)),
        }
    }

    /// Whether `sequence` is in; asked in ascending order, with an `at` that begins with 0.
    pub(super) fn has(&self, at: &mut usize, sequence: u64) -> bool {
        while self.0.get(*at).is_some_and(|range| range.1 < sequence) {
            *at += 1;
        }
        self.0.get(*at).is_some_and(|range| range.0 <= sequence)
    }

    pub(super) fn join(&mut self, other: Self) {
        // Files come in the order of their ring, mostly: a hundred thousand of them are not sorted anew each time.
        if self.0.last().is_none_or(|last| other.0.first().is_none_or(|first| last.0 <= first.0)) {
            return other.0.into_iter().for_each(|(first, last)| self.add(first, last));
        }
        let mut all = std::mem::take(&mut self.0);
        all.extend(other.0);
        all.sort_unstable();
        for (first, last) in all {
            self.add(first, last);
        }
    }

    /// How many ranges.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// What of this range is not in.
    pub(super) fn without(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        let (mut left, mut from) = (Vec::new(), first);
        for (begin, end) in self.0.iter().filter(|range| range.1 >= first && range.0 <= last) {
            if *begin > from {
                left.push((from, begin - 1));
            }
            match end.checked_add(1) {
                Some(next) => from = from.max(next),
                None => return left,
            }
        }
        if from <= last {
            left.push((from, last));
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::Ranges;

    #[test]
    fn ranges_know_what_is_in_them() {
        let mut ranges = Ranges::default();
        for (first, last) in [(3, 4), (5, 5), (9, 12)] {
            ranges.add(first, last);
        }
        assert_eq!(ranges, Ranges(vec![(3, 5), (9, 12)]));
        let mut at = 0;
        let have: Vec<u64> = (1..=14).filter(|n| ranges.has(&mut at, *n)).collect();
        assert_eq!(have, [3, 4, 5, 9, 10, 11, 12]);
        ranges.join(Ranges(vec![(1, 1), (6, 8), (20, u64::MAX)]));
        assert_eq!(ranges, Ranges(vec![(1, 1), (3, 12), (20, u64::MAX)]));
        ranges.add(21, 30);
        assert_eq!(ranges.0.last(), Some(&(20, u64::MAX)));
    }

    #[test]
    fn what_is_left_of_a_range_is_what_no_other_has() {
        let ranges = Ranges(vec![(3, 5), (9, 12), (20, u64::MAX)]);
        for (first, last, expected) in [
            (1, 2, &[(1, 2)][..]),
            (3, 5, &[]),
            (1, 30, &[(1, 2), (6, 8), (13, 19)]),
            (4, 10, &[(6, 8)]),
            (13, 13, &[(13, 13)]),
            (25, u64::MAX, &[]),
        ] {
            assert_eq!(ranges.without(first, last), expected, "{first} to {last}");
        }
        assert_eq!(Ranges::default().without(1, u64::MAX), [(1, u64::MAX)]);
    }
}
