//! What a policy decides, for many questions: every place looked up once, the way a device folds its rules into slots.

use std::collections::{BTreeSet, HashMap};

use aegis_event::Verdict;
use aegis_policy::{Operation, Operations, Policy, Rule, Slot, names};

/// A policy whose rules are folded by workload and path.
pub(crate) struct Decisions<'a> {
    pub(crate) policy: Policy<'a>,
    rules: Vec<Rule<'a>>,
    /// By workload, from index 1, and path.
    slots: Vec<HashMap<&'a [u8], Slot>>,
}

/// What happens to an access, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Answer<'a> {
    pub(crate) verdict: Verdict,
    pub(crate) rule: Option<&'a str>,
}

impl Answer<'_> {
    pub(crate) const ALLOWED: Self = Self { verdict: Verdict::Allowed, rule: None };
}

impl std::fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.rule {
            Some(rule) => write!(f, "{} by {rule}", self.verdict),
            None => write!(f, "{}", self.verdict),
        }
    }
}

impl<'a> Decisions<'a> {
    pub(crate) fn of(policy: Policy<'a>) -> Self {
        let rules: Vec<Rule<'a>> = policy.rules().collect();
        let mut slots: Vec<HashMap<&'a [u8], Slot>> = vec![HashMap::new(); policy.workloads().count()];
        for rule in &rules {
            for workload in rule.workloads() {
                let of = &mut slots[usize::from(workload) - 1];
                for path in rule.paths() {
                    of.entry(path.as_bytes()).or_default().add(rule);
                }
            }
        }
        Self { policy, rules, slots }
    }

    /// The rules, in the policy's order.
    pub(crate) fn rules(&self) -> &[Rule<'a>] {
        &self.rules
    }

    /// Every path that a rule speaks of.
    pub(crate) fn paths(&self) -> BTreeSet<&'a [u8]> {
        self.slots.iter().flat_map(HashMap::keys).copied().collect()
    }

    /// One operation of the workload with this index; of none when the policy does not cover it.
    pub(crate) fn one(&self, workload: Option<u16>, path: &[u8], operation: Operation) -> Answer<'a> {
        workload
            .and_then(|workload| self.slot(workload, path))
            .map_or(Answer::ALLOWED, |slot| self.answer(slot, operation))
    }

    /// An access of several operations at once, as an open for reading and writing is one: the strictest answer, and the
    /// first of equals, as the kernel has it (`probes/bpf/rules.bpf.h`).
    pub(crate) fn access(&self, workload: Option<u16>, path: &[u8], operations: Operations) -> Answer<'a> {
        operations.iter().map(|operation| self.one(workload, path, operation)).fold(
            Answer::ALLOWED,
            |best, answer| {
                if answer.verdict > best.verdict { answer } else { best }
            },
        )
    }

    /// The index of the rule that decides, if one does.
    pub(crate) fn decider(&self, workload: u16, path: &[u8], operation: Operation) -> Option<u32> {
        self.slot(workload, path)?.rule(operation)
    }

    fn slot(&self, workload: u16, path: &[u8]) -> Option<&Slot> {
        self.slots.get(usize::from(workload).checked_sub(1)?)?.get(path)
    }

    fn answer(&self, slot: &Slot, operation: Operation) -> Answer<'a> {
        let rule = slot.rule(operation).and_then(|index| self.rules.get(index as usize));
        Answer { verdict: slot.verdict(operation, self.policy.mode()), rule: rule.map(|rule| rule.name) }
    }
}

/// All workloads that two policies treat alike: those that `pattern` owns when the patterns of both are put together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Class<'a> {
    pub(crate) pattern: &'a str,
    /// The workload's index in either policy; none when that one does not cover it.
    pub(crate) old: Option<u16>,
    pub(crate) new: Option<u16>,
}

/// The classes of workloads of two policies, by pattern. What no pattern covers is decided by neither.
pub(crate) fn classes<'a>(old: &Policy<'a>, new: &Policy<'a>) -> Vec<Class<'a>> {
    let patterns: BTreeSet<&str> =
        old.workloads().chain(new.workloads()).map(|workload| workload.pattern).collect();
    let class = |pattern| Class { pattern, old: owner(old, pattern), new: owner(new, pattern) };
    patterns.into_iter().map(class).collect()
}

/// Which pattern of a policy owns the names that `pattern` owns. A more specific one of the policy has a class of its own.
fn owner(policy: &Policy<'_>, pattern: &str) -> Option<u16> {
    let Some(prefix) = pattern.strip_suffix('*') else { return policy.match_workload(pattern.as_bytes()) };
    policy
        .workloads()
        .filter(|other| {
            other.pattern.ends_with('*') && names::pattern_matches(other.pattern, prefix.as_bytes())
        })
        .max_by_key(|other| other.pattern.len())
        .map(|other| other.index)
}

#[cfg(test)]
mod tests {
    use aegis_policy::Mode;

    use super::*;

    fn compiled(patterns: &[&str]) -> Vec<u8> {
        let source = aegis_policy::Source {
            name: "p",
            mode: Mode::Enforce,
            workloads: patterns.to_vec(),
            rules: vec![],
        };
        aegis_policy::compile(&source).expect("good")
    }

    /// Against names: whatever two policies say of one, its class says.
    #[test]
    fn every_name_is_in_the_class_that_decides_it() {
        let (old, new) = (compiled(&["*", "a*", "demo", "ab"]), compiled(&["ab*", "demo*", "abc", "x"]));
        let (old, new) = (Policy::decode(&old).expect("good"), Policy::decode(&new).expect("good"));
        let classes = classes(&old, &new);
        for name in ["demo", "demo2", "a", "ab", "abc", "abcd", "abd", "x", "xy", "b"] {
            let class = classes
                .iter()
                .filter(|class| names::pattern_matches(class.pattern, name.as_bytes()))
                .max_by_key(|class| (!class.pattern.ends_with('*'), class.pattern.len()))
                .expect("`*` is one");
            let expected = (old.match_workload(name.as_bytes()), new.match_workload(name.as_bytes()));
            assert_eq!((class.old, class.new), expected, "{name}");
        }
    }
}
