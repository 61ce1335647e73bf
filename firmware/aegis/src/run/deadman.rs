//! Whose deadman fell: what of it was seen in records, and what is to be said of it. Pure.

use crate::limits::WORKLOADS;

/// What was seen so far, by workload slot.
pub(super) struct Deadman {
    /// The policy under which it was last seen fallen: its sequence and 1; 0: never.
    policy: [u64; WORKLOADS],
    /// When the first access passed because of that, `CLOCK_BOOTTIME` ns, as long as it was not said; 0: there is nothing to say.
    since: [u64; WORKLOADS],
}

/// What is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fallen {
    pub(super) slot: usize,
    /// Sequence of the policy.
    pub(super) policy: u64,
    /// When the first access passed.
    pub(super) since: u64,
}

impl Deadman {
    pub(super) const fn new() -> Self {
        Self { policy: [0; WORKLOADS], since: [0; WORKLOADS] }
    }

    /// An access passed only because the deadman fell.
    pub(super) fn saw(&mut self, slot: usize, policy: u64, time: u64) {
        let (Some(known), Some(since)) = (self.policy.get_mut(slot), self.since.get_mut(slot)) else {
            return;
        };
        if *known != policy.wrapping_add(1) {
            (*known, *since) = (policy.wrapping_add(1), time.max(1));
        }
    }

    /// What is to be said: once a slot and policy.
    pub(super) fn take(&mut self) -> Option<Fallen> {
        let slot = self.since.iter().position(|since| *since > 0)?;
        let since = core::mem::take(&mut self.since[slot]);
        Some(Fallen { slot, policy: self.policy[slot].wrapping_sub(1), since })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fall_is_said_once_a_workload_and_policy() {
        let mut deadman = Deadman::new();
        assert_eq!(deadman.take(), None);
        for (slot, policy, time) in [(3, 7, 100), (3, 7, 101), (255, 7, 102), (WORKLOADS, 7, 103)] {
            deadman.saw(slot, policy, time);
        }
        assert_eq!(deadman.take(), Some(Fallen { slot: 3, policy: 7, since: 100 }));
        assert_eq!(deadman.take(), Some(Fallen { slot: 255, policy: 7, since: 102 }));
        assert_eq!(deadman.take(), None);
        deadman.saw(3, 7, 104);
        assert_eq!(deadman.take(), None, "said");
        deadman.saw(3, 8, 105);
        assert_eq!(deadman.take(), Some(Fallen { slot: 3, policy: 8, since: 105 }));
    }
}
