//! A policy as borrowed bytes, walked by iterators.

use aegis_event::Verdict;

use crate::model::{Action, Mode, Operation, Operations};
use crate::names;
use crate::slot::Slot;
use crate::wire::{RuleHead, take, take_str};

/// A compiled policy. It exists only after [`Policy::decode`] checked all of it.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    pub(crate) name: &'a str,
    pub(crate) mode: Mode,
    pub(crate) workloads: &'a [u8],
    pub(crate) workload_count: u16,
    pub(crate) rules: &'a [u8],
    pub(crate) rule_count: u32,
    pub(crate) entries: u32,
}

/// A workload that a policy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload<'a> {
    /// Position in the policy, from 1. It is the `ruleset` of the kernel's maps.
    pub index: u16,
    /// A name, or the beginning of names and a `*`.
    pub pattern: &'a str,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule<'a> {
    /// Position in the policy, from 0.
    pub index: u32,
    /// The name that events carry.
    pub name: &'a str,
    /// What it does.
    pub action: Action,
    /// To which operations.
    pub operations: Operations,
    selection: &'a [u8],
    paths: Strings<'a>,
    tags: Strings<'a>,
}

/// What a policy says of one access.
#[derive(Clone, Debug)]
pub struct Decision<'a> {
    /// What happens.
    pub verdict: Verdict,
    /// The rule that decided; `None` when no rule speaks of the access.
    pub rule: Option<Rule<'a>>,
}

impl<'a> Policy<'a> {
    /// The policy's name.
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// What the policy asks for as a whole.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// How many rules it has.
    pub const fn rule_count(&self) -> u32 {
        self.rule_count
    }

    /// The most entries of a kernel map that its rules can fill: the sum of paths x workloads.
    pub const fn entries(&self) -> u32 {
        self.entries
    }

    /// The workloads, in index order.
    pub const fn workloads(&self) -> Workloads<'a> {
        Workloads { next: 1, strings: Strings { left: self.workload_count as u32, bytes: self.workloads } }
    }

    /// The rules, in index order.
    pub const fn rules(&self) -> Rules<'a> {
        Rules { next: 0, count: self.rule_count, bytes: self.rules }
    }

    /// The index of the workload that a cgroup of this name belongs to: the exact name if it is declared, else the
    /// longest pattern that covers it.
    pub fn match_workload(&self, name: &[u8]) -> Option<u16> {
        if !names::is_workload_name(name) {
            return None;
        }
        // An exact name is as long as `name`; a pattern without its `*` may be too, so exact comes first.
        let rank = |workload: &Workload<'_>| (!workload.pattern.ends_with('*'), workload.pattern.len());
        self.workloads()
            .filter(|workload| names::pattern_matches(workload.pattern, name))
            .max_by_key(rank)
            .map(|workload| workload.index)
    }

    /// What the policy says when a workload does something to a path, taken as the file of that name. It is the answer
    /// that the kernel gives for the file which the path led to when the policy was loaded; a file of several names is
    /// decided by the rules on all of them.
    pub fn decide(&self, workload: u16, path: &[u8], operation: Operation) -> Decision<'a> {
        let mut slot = Slot::EMPTY;
        for rule in self.rules() {
            if rule.applies_to(workload) && rule.paths().any(|of| of.as_bytes() == path) {
                slot.add(&rule);
            }
        }
        let winner = slot.rule(operation);
        Decision {
            verdict: slot.verdict(operation, self.mode),
            rule: winner.and_then(|index| self.rules().nth(index as usize)),
        }
    }
}

impl<'a> Rule<'a> {
    /// True when the rule is for the workload with this index (from 1).
    pub fn applies_to(&self, workload: u16) -> bool {
        let Some(bit) = usize::from(workload).checked_sub(1) else { return false };
        self.selection.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }

    /// The indexes of the workloads that it is for, ascending.
    pub const fn workloads(&self) -> WorkloadIndexes<'a> {
        WorkloadIndexes { next: 0, selection: self.selection }
    }

    /// The paths.
    pub fn paths(&self) -> Strings<'a> {
        self.paths.clone()
    }

    /// The tags, as the author wrote them.
    pub fn tags(&self) -> Strings<'a> {
        self.tags.clone()
    }
}

/// Strings of a policy. Made over bytes that [`Policy::decode`] checked.
#[derive(Clone, Debug)]
pub struct Strings<'a> {
    left: u32,
    bytes: &'a [u8],
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.left = self.left.checked_sub(1)?;
        let (text, rest) = take_str(self.bytes).ok()?;
        self.bytes = rest;
        Some(text)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Strings<'_> {}

/// The workloads of a policy.
#[derive(Clone, Debug)]
pub struct Workloads<'a> {
    next: u16,
    strings: Strings<'a>,
}

impl<'a> Iterator for Workloads<'a> {
    type Item = Workload<'a>;

    fn next(&mut self) -> Option<Workload<'a>> {
        let pattern = self.strings.next()?;
        let index = self.next;
        self.next += 1;
        Some(Workload { index, pattern })
    }
}

/// The rules of a policy.
#[derive(Clone, Debug)]
pub struct Rules<'a> {
    next: u32,
    count: u32,
    bytes: &'a [u8],
}

impl<'a> Iterator for Rules<'a> {
    type Item = Rule<'a>;

    fn next(&mut self) -> Option<Rule<'a>> {
        if self.next == self.count {
            return None;
        }
        let (head, rest) = take::<RuleHead<'_>>(self.bytes).ok()?;
        let paths = Strings { left: head.paths, bytes: rest };
        let mut after = paths.clone();
        after.by_ref().for_each(drop);
        let tags = Strings { left: head.tags, bytes: after.bytes };
        let mut after = tags.clone();
        after.by_ref().for_each(drop);
        self.bytes = after.bytes;
        let index = self.next;
        self.next += 1;
        Some(Rule {
            index,
            name: head.name,
            action: Action::from_number(head.action)?,
            operations: Operations::from_bits(head.operations)?,
            selection: head.workloads,
            paths,
            tags,
        })
    }
}

/// Indexes of workloads.
#[derive(Clone, Debug)]
pub struct WorkloadIndexes<'a> {
    next: u16,
    selection: &'a [u8],
}

impl Iterator for WorkloadIndexes<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        loop {
            let bit = usize::from(self.next);
            let byte = self.selection.get(bit / 8)?;
            self.next += 1;
            if byte >> (bit % 8) & 1 == 1 {
                return Some(self.next);
            }
        }
    }
}
