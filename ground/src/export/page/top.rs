//! The most frequent of many names, in bounded memory.

use std::collections::HashMap;

use aegis_event::Verdict;

use crate::export::limits;

/// How often, by what was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) denied: u64,
    pub(super) audited: u64,
    pub(super) other: u64,
}

impl Counts {
    pub(super) fn add(&mut self, verdict: Option<Verdict>) {
        match verdict {
            Some(Verdict::Denied) => self.denied += 1,
            Some(Verdict::Audited) => self.audited += 1,
            _ => self.other += 1,
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.denied + self.audited + self.other
    }
}

/// Names and how often they came. When there are more names than it can hold it forgets rare ones (Misra and Gries, 1982):
/// a name that came more often than once in [`limits::PAGE_NAMES`] events is always among those left, and a count is
/// then a lower bound.
#[derive(Debug, Default)]
pub(super) struct Top {
    names: HashMap<Vec<u8>, Entry>,
    forgot: bool,
}

#[derive(Debug, Default)]
struct Entry {
    /// What keeps it from being forgotten.
    weight: u64,
    counts: Counts,
}

impl Top {
    pub(super) fn add(&mut self, name: &[u8], verdict: Option<Verdict>) {
        if let Some(entry) = self.names.get_mut(name) {
            entry.weight += 1;
            entry.counts.add(verdict);
        } else if self.names.len() < limits::PAGE_NAMES {
            let mut entry = Entry { weight: 1, ..Entry::default() };
            entry.counts.add(verdict);
            self.names.insert(name.to_vec(), entry);
        } else {
            self.forgot = true;
            self.names.retain(|_, entry| {
                entry.weight -= 1;
                entry.weight > 0
            });
        }
    }

    /// Counts are lower bounds.
    pub(super) fn forgot(&self) -> bool {
        self.forgot
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The most frequent names, the first one first; equal ones in the alphabet's order.
    pub(super) fn list(&self, most: usize) -> Vec<(&[u8], Counts)> {
        let mut list: Vec<_> =
            self.names.iter().map(|(name, entry)| (name.as_slice(), entry.counts)).collect();
        list.sort_by(|a, b| b.1.total().cmp(&a.1.total()).then_with(|| a.0.cmp(b.0)));
        list.truncate(most);
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_frequent_is_found_among_many_names() {
        let mut top = Top::default();
        let mut sum = 0;
        for n in 0..100_000u64 {
            top.add(format!("once-{n}").as_bytes(), None);
            if n % 50 == 0 {
                top.add(b"often", Some(Verdict::Denied));
                sum += 1;
            }
        }
        assert!(top.forgot() && top.len() <= limits::PAGE_NAMES);
        let list = top.list(1);
        assert_eq!(list[0].0, b"often");
        // Never too high, and not lower than what can have been forgotten.
        let missing = sum - list[0].1.denied;
        assert!(missing <= 102_000 / limits::PAGE_NAMES as u64, "{missing}");
    }

    #[test]
    fn few_names_are_counted_exactly() {
        let mut top = Top::default();
        for (name, verdict) in
            [("b", Verdict::Denied), ("a", Verdict::Denied), ("b", Verdict::Audited), ("c", Verdict::Allowed)]
        {
            top.add(name.as_bytes(), Some(verdict));
        }
        let names: Vec<&[u8]> = top.list(9).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [b"b", b"a", b"c"]);
        assert_eq!(top.list(1)[0].1, Counts { denied: 1, audited: 1, other: 0 });
        assert!(!top.forgot());
    }
}
