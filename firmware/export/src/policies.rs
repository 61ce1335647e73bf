//! The policies that decided about the events of an export: a short, bounded list.

use crate::chain::Hash;
use crate::limits;

/// A policy, by what was signed and by its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Epoch of the bundle.
    pub epoch: u64,
    /// Sequence of the bundle.
    pub sequence: u64,
    /// SHA-256 of the bundle file.
    pub hash: Hash,
}

/// Which policy was in force when an export was made, and which were accepted in the course of its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// In force when the export was made; none when nobody said so.
    pub in_force: Option<Policy>,
    /// Policy events of the export that say `accepted`.
    pub accepted: u64,
    list: [Policy; limits::POLICIES],
    count: usize,
}

impl Policies {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// A policy was accepted. The list keeps the last ones, each once, in the order in which they were last accepted.
    pub fn accept(&mut self, policy: Policy) {
        self.accepted = self.accepted.saturating_add(1);
        let known = self.as_slice().iter().position(|known| *known == policy);
        if known.is_some() || self.count == limits::POLICIES {
            self.list[known.unwrap_or(0)..self.count].rotate_left(1);
            self.count -= 1;
        }
        self.list[self.count] = policy;
        self.count += 1;
    }

    /// The last policies accepted, each once.
    pub fn as_slice(&self) -> &[Policy] {
        &self.list[..self.count]
    }

    /// As a reader finds it: a list and how many events it stands for. None when they don't go together.
    pub(crate) fn read(in_force: Option<Policy>, accepted: u64, list: &[Policy]) -> Option<Self> {
        let mut policies = Self { in_force, ..Self::default() };
        for policy in list {
            if policies.count == limits::POLICIES || policies.as_slice().contains(policy) {
                return None;
            }
            policies.accept(*policy);
        }
        let good = policies.accepted <= accepted && (accepted == 0 || !list.is_empty());
        policies.accepted = accepted;
        good.then_some(policies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(sequence: u64) -> Policy {
        Policy { epoch: 1, sequence, hash: [sequence as u8; 32] }
    }

    fn sequences(policies: &Policies) -> impl Iterator<Item = u64> {
        policies.as_slice().iter().map(|policy| policy.sequence)
    }

    #[test]
    fn the_last_ones_are_kept_each_once() {
        let mut policies = Policies::new();
        for sequence in [1, 2, 1, 3] {
            policies.accept(policy(sequence));
        }
        assert!(sequences(&policies).eq([2, 1, 3]));
        for sequence in 10..30 {
            policies.accept(policy(sequence));
        }
        assert!(sequences(&policies).eq(14..30));
        assert_eq!(policies.accepted, 24);
    }

    #[test]
    fn a_list_goes_with_its_count_or_is_not_read() {
        let two = [policy(1), policy(2)];
        assert!(Policies::read(None, 2, &two).is_some_and(|read| read.as_slice() == two));
        assert!(Policies::read(None, 7, &two).is_some_and(|read| read.accepted == 7));
        assert!(Policies::read(None, 1, &two).is_none());
        assert!(Policies::read(None, 1, &[]).is_none());
        assert!(Policies::read(None, 9, &[policy(1), policy(1)]).is_none());
        assert!(Policies::read(Some(policy(3)), 0, &[]).is_some());
    }
}
