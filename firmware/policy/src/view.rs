//! A policy as borrowed bytes, walked by iterators.

use crate::access::{Access, Decision, Target};
use crate::alert::Alerts;
use crate::list::{List, Strings};
use crate::model::{Action, Argv, Effect, Kind, Mode, Operation, Operations};
use crate::slot::Slot;
use crate::wire::{Format, RuleHead, RuleHeadOne, WorkloadHead, take, take_str};
use crate::{PolicyError, names};

/// A compiled policy. It exists only after [`Policy::decode`] checked all of it.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    pub(crate) format: Format,
    pub(crate) name: &'a str,
    pub(crate) mode: Mode,
    pub(crate) self_protection: bool,
    pub(crate) argv: Argv,
    pub(crate) deadman: Option<Deadman>,
    pub(crate) workloads: &'a [u8],
    pub(crate) workload_count: u16,
    pub(crate) rules: &'a [u8],
    pub(crate) rule_count: u32,
    pub(crate) alerts: Alerts<'a>,
    pub(crate) sums: Sums,
}

/// What the rules of a policy ask of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) entries: usize,
    pub(crate) nets: usize,
    pub(crate) hashes: usize,
    pub(crate) uses: Operations,
}

/// So many denials of one workload pattern within so long, and its denials are only reported until the next policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadman {
    /// At least 1.
    pub denials: u32,
    /// 1 to [`crate::limits::DEADMAN_SECONDS`].
    pub seconds: u32,
}

/// A workload that a policy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload<'a> {
    /// Position in the policy, from 1. It is the `ruleset` of the kernel's maps.
    pub index: u16,
    /// A name, or the beginning of names and a `*`.
    pub pattern: &'a str,
    /// Events a second, each for those with a matching rule and those without; `None`: no limit.
    pub rate: Option<u32>,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule<'a> {
    /// Position in the policy, from 0.
    pub index: u32,
    /// The name that events carry.
    pub name: &'a str,
    /// What it is written to do.
    pub action: Action,
    /// To which operations.
    pub operations: Operations,
    /// In mode enforce.
    effect: Effect,
    pub(crate) selection: &'a [u8],
    target: Target<'a>,
    tags: Strings<'a>,
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

    /// Whether workloads are kept off the agent, its files and its maps. A policy of format 1 does not say; the default of
    /// the language is to.
    pub const fn self_protection(&self) -> bool {
        self.self_protection
    }

    /// What may be recorded of a program's arguments at most.
    pub const fn argv(&self) -> Argv {
        self.argv
    }

    /// When a workload's denials are too many to be meant; `None`: never.
    pub const fn deadman(&self) -> Option<Deadman> {
        self.deadman
    }

    /// How many rules it has.
    pub const fn rule_count(&self) -> u32 {
        self.rule_count
    }

    /// The most entries of the kernel's map of files that its rules can fill: the sum of (paths + trees) x workloads.
    pub const fn entries(&self) -> u32 {
        self.sums.entries as u32
    }

    /// The most entries of the kernel's map of addresses: the sum of prefixes x workloads.
    pub const fn nets(&self) -> u32 {
        self.sums.nets as u32
    }

    /// The most entries of the kernel's map of digests: the sum of hashes x workloads.
    pub const fn hashes(&self) -> u32 {
        self.sums.hashes as u32
    }

    /// Every operation that a rule speaks of: what has to be hooked.
    pub const fn uses(&self) -> Operations {
        self.sums.uses
    }

    /// Whether a rule is on programs' contents.
    pub const fn has_hashes(&self) -> bool {
        self.sums.hashes > 0
    }

    /// The workloads, in index order.
    pub const fn workloads(&self) -> Workloads<'a> {
        Workloads { next: 1, left: self.workload_count, format: self.format, bytes: self.workloads }
    }

    /// The rules, in index order.
    pub const fn rules(&self) -> Rules<'a> {
        Rules { next: 0, count: self.rule_count, format: self.format, bytes: self.rules }
    }

    /// The alerts, in the order of the policy.
    pub const fn alerts(&self) -> Alerts<'a> {
        self.alerts
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

    /// What the policy says when a workload does something. A path is taken as the file of that name: a file of several
    /// names is decided by the rules on all of them, folded by the one [`Slot`].
    pub fn decide(&self, workload: u16, access: &Access<'_>) -> Decision<'a> {
        let mut slot = Slot::EMPTY;
        for rule in self.rules() {
            if rule.applies_to(workload) && rule.target.covers(access) {
                slot.add(&rule, self.mode);
            }
        }
        let winner = slot.winner(access.operation());
        Decision {
            verdict: slot.verdict(access.operation()),
            rule: winner.and_then(|(_, index)| self.rules().nth(index as usize)),
            effect: winner.map(|(effect, _)| effect),
        }
    }
}

impl<'a> Rule<'a> {
    /// Takes one from the front of the bytes. Its shape is checked, not what it says.
    pub(crate) fn take(bytes: &'a [u8], format: Format, index: u32) -> Result<(Self, &'a [u8]), PolicyError> {
        match format {
            Format::One => Self::take_one(bytes, index),
            Format::Two | Format::Three => Self::take_two(bytes, index),
        }
    }

    fn take_one(bytes: &'a [u8], index: u32) -> Result<(Self, &'a [u8]), PolicyError> {
        let (head, rest) = take::<RuleHeadOne<'_>>(bytes)?;
        let effect = match head.action {
            1 => Effect::Audit,
            2 => Effect::Deny,
            _ => return Err(PolicyError::BadValue),
        };
        // It knew of no more.
        let known = Operations::OPEN.with(Operation::Exec);
        let operations = Operations::from_bits(head.operations.into())
            .filter(|operations| operations.without(known).is_empty())
            .ok_or(PolicyError::BadValue)?;
        let (paths, rest) = List::take(head.paths, rest)?;
        let target = Target::Files { paths, trees: List::new(0, &[]) };
        let (tags, rest) = List::take(head.tags, rest)?;
        let selection = head.workloads;
        let (name, action) = (head.name, effect.action());
        Ok((Self { index, name, action, operations, effect, selection, target, tags }, rest))
    }

    fn take_two(bytes: &'a [u8], index: u32) -> Result<(Self, &'a [u8]), PolicyError> {
        let (head, rest) = take::<RuleHead<'_>>(bytes)?;
        let effect = Effect::from_number(head.effect).ok_or(PolicyError::BadValue)?;
        let operations = Operations::from_bits(head.operations).ok_or(PolicyError::BadValue)?;
        let (target, rest) = match Kind::from_number(head.kind).ok_or(PolicyError::BadValue)? {
            Kind::Files => {
                let ((paths, trees), rest) = take::<(u32, u32)>(rest)?;
                let (paths, rest) = List::take(paths, rest)?;
                let (trees, rest) = List::take(trees, rest)?;
                (Target::Files { paths, trees }, rest)
            }
            Kind::Addresses => {
                let ((prefixes, ports, protocols), rest) = take::<(u32, u32, u32)>(rest)?;
                let (prefixes, rest) = List::take(prefixes, rest)?;
                let (ports, rest) = List::take(ports, rest)?;
                let (protocols, rest) = List::take(protocols, rest)?;
                (Target::Addresses { prefixes, ports, protocols }, rest)
            }
            Kind::Hashes => {
                let (hashes, rest) = take::<u32>(rest)?;
                let (hashes, rest) = List::take(hashes, rest)?;
                (Target::Hashes(hashes), rest)
            }
            Kind::Surface => (Target::Surface, rest),
        };
        let (tags, rest) = List::take(head.tags, rest)?;
        let selection = head.workloads;
        let (name, action) = (head.name, effect.action());
        Ok((Self { index, name, action, operations, effect, selection, target, tags }, rest))
    }

    /// What it weighs under the policy's mode.
    pub const fn effect(&self, mode: Mode) -> Effect {
        self.effect.under(mode)
    }

    /// What it is on.
    pub fn target(&self) -> Target<'a> {
        self.target.clone()
    }

    /// True when the rule is for the workload with this index (from 1).
    pub fn applies_to(&self, workload: u16) -> bool {
        let Some(bit) = usize::from(workload).checked_sub(1) else { return false };
        self.selection.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }

    /// The indexes of the workloads that it is for, ascending.
    pub const fn workloads(&self) -> WorkloadIndexes<'a> {
        WorkloadIndexes { next: 0, selection: self.selection }
    }

    /// The tags, as the author wrote them.
    pub fn tags(&self) -> Strings<'a> {
        self.tags.clone()
    }
}

/// The workloads of a policy.
#[derive(Clone, Debug)]
pub struct Workloads<'a> {
    next: u16,
    left: u16,
    format: Format,
    bytes: &'a [u8],
}

impl<'a> Workloads<'a> {
    /// Takes one from the front of the bytes: its pattern, and its rate on the wire.
    pub(crate) fn take(bytes: &'a [u8], format: Format) -> Result<(WorkloadHead<'a>, &'a [u8]), PolicyError> {
        match format {
            Format::One => {
                let (pattern, rest) = take_str(bytes)?;
                Ok((WorkloadHead { pattern, rate: 0 }, rest))
            }
            Format::Two | Format::Three => take(bytes),
        }
    }
}

impl<'a> Iterator for Workloads<'a> {
    type Item = Workload<'a>;

    fn next(&mut self) -> Option<Workload<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (head, rest) = Self::take(self.bytes, self.format).ok()?;
        self.bytes = rest;
        let index = self.next;
        self.next += 1;
        Some(Workload { index, pattern: head.pattern, rate: Some(head.rate).filter(|rate| *rate > 0) })
    }
}

/// The rules of a policy.
#[derive(Clone, Debug)]
pub struct Rules<'a> {
    next: u32,
    count: u32,
    format: Format,
    bytes: &'a [u8],
}

impl<'a> Rules<'a> {
    pub(crate) const fn new(count: u32, format: Format, bytes: &'a [u8]) -> Self {
        Self { next: 0, count, format, bytes }
    }
}

impl<'a> Iterator for Rules<'a> {
    type Item = Rule<'a>;

    fn next(&mut self) -> Option<Rule<'a>> {
        if self.next == self.count {
            return None;
        }
        let (rule, rest) = Rule::take(self.bytes, self.format, self.next).ok()?;
        self.bytes = rest;
        self.next += 1;
        Some(rule)
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
