//! How several rules that speak of one thing add up.

use aegis_event::Verdict;

use crate::model::{Effect, Mode, Operation};
use crate::view::Rule;

/// What the rules of one workload say of one thing: one answer per operation.
///
/// Precedence, in one sentence: per workload, thing and operation, the rule with the greatest [`Effect`] decides
/// (override, deny, trial, allow, audit, in this order), and among equals the one that stands first in the policy.
/// The order of [`Slot::add`] calls does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The winning effect and the index of its rule, by [`Operation::place`].
    winners: [Option<(Effect, u32)>; Operation::ALL.len()],
}

impl Slot {
    /// A slot that no rule speaks of.
    pub const EMPTY: Self = Self { winners: [None; Operation::ALL.len()] };

    /// Adds what a rule says under the policy's mode.
    pub fn add(&mut self, rule: &Rule<'_>, mode: Mode) {
        let effect = rule.effect(mode);
        for operation in rule.operations.iter() {
            self.put(operation, (effect, rule.index));
        }
    }

    /// Adds what another slot says.
    pub fn merge(&mut self, other: &Self) {
        for operation in Operation::ALL {
            if let Some(winner) = other.winner(operation) {
                self.put(operation, winner);
            }
        }
    }

    fn put(&mut self, operation: Operation, (effect, index): (Effect, u32)) {
        let winner = &mut self.winners[operation.place()];
        let wins = winner.is_none_or(|(other, first)| effect > other || (effect == other && index < first));
        if wins {
            *winner = Some((effect, index));
        }
    }

    /// The rule that decides an operation: its effect, and its index in the policy; `None` when no rule does.
    pub const fn winner(&self, operation: Operation) -> Option<(Effect, u32)> {
        self.winners[operation.place()]
    }

    /// What happens to an operation. What no rule speaks of is allowed.
    pub fn verdict(&self, operation: Operation) -> Verdict {
        self.winner(operation).map_or(Verdict::Allowed, |(effect, _)| effect.verdict())
    }
}
