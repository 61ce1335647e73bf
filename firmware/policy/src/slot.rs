//! How several rules on one file add up.

use aegis_event::Verdict;

use crate::model::{Action, Mode, Operation};
use crate::view::Rule;

/// What the rules of one workload say of one file: one answer per operation.
///
/// Precedence, in one sentence: per workload, file and operation, deny beats audit, and among equals the rule that
/// stands first in the policy is the one that is reported. The order of [`Slot::add`] calls does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The winning action and the index of its rule, by [`Operation::index`].
    winners: [Option<(Action, u32)>; Operation::ALL.len()],
}

impl Slot {
    /// A slot that no rule speaks of.
    pub const EMPTY: Self = Self { winners: [None; Operation::ALL.len()] };

    /// Adds what a rule says.
    pub fn add(&mut self, rule: &Rule<'_>) {
        for operation in rule.operations.iter() {
            let winner = &mut self.winners[operation.index()];
            let wins = match *winner {
                None => true,
                Some((action, index)) => {
                    rule.action > action || (rule.action == action && rule.index < index)
                }
            };
            if wins {
                *winner = Some((rule.action, rule.index));
            }
        }
    }

    /// The rule that decides an operation: its index in the policy; `None` when no rule does.
    pub fn rule(&self, operation: Operation) -> Option<u32> {
        self.winners[operation.index()].map(|(_, index)| index)
    }

    /// What happens to an operation under a mode. In audit mode a deny rule is still the one that decides, and only
    /// reports.
    pub fn verdict(&self, operation: Operation, mode: Mode) -> Verdict {
        match (self.winners[operation.index()], mode) {
            (None, _) => Verdict::Allowed,
            (Some((Action::Deny, _)), Mode::Enforce) => Verdict::Denied,
            (Some(_), _) => Verdict::Audited,
        }
    }
}
