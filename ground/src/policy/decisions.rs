//! What a policy decides, for many questions: every place looked up once, the way a device folds its rules into slots.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aegis_event::Verdict;
use aegis_policy::{Effect, Operation, Operations, Policy, Prefix, Rule, Slot, Target, names};

use super::image::{elsewhere, leads};
use super::things::{Thing, upwards};

/// A policy whose rules are folded by workload and what they are on.
pub(crate) struct Decisions<'a> {
    pub(crate) policy: Policy<'a>,
    rules: Vec<Rule<'a>>,
    /// By workload, from index 1.
    workloads: Vec<Folded<'a>>,
    /// Ports and protocols of the rules on addresses, by index.
    nets: HashMap<u32, Net>,
}

/// The rules of one workload.
#[derive(Clone, Default)]
struct Folded<'a> {
    /// As they are named.
    paths: HashMap<&'a [u8], Slot>,
    trees: HashMap<&'a [u8], Slot>,
    /// Those that are named through a link of the image, by where they lead.
    linked_paths: HashMap<Vec<u8>, Slot>,
    linked_trees: HashMap<Vec<u8>, Slot>,
    hashes: HashMap<[u8; 32], Slot>,
    /// Indexes of the rules with exactly this prefix.
    nets: BTreeMap<Prefix, Vec<u32>>,
    /// How long prefixes are.
    lengths: BTreeSet<u8>,
    surface: Slot,
}

struct Net {
    ports: Vec<(u16, u16)>,
    protocols: Vec<u8>,
}

/// By what a rule decides: its weight, and its index.
pub(crate) type Winner = Option<(Effect, u32)>;

/// What happens to an access, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Answer<'a> {
    pub(crate) verdict: Verdict,
    pub(crate) rule: Option<&'a str>,
}

impl Answer<'_> {
    pub(crate) const ALLOWED: Self = Self { verdict: Verdict::Allowed, rule: None };

    /// The stricter one of two, and of equals the first that has a rule.
    pub(crate) fn or_stricter(self, other: Self) -> Self {
        let says = other.verdict == self.verdict && self.rule.is_none();
        if other.verdict > self.verdict || says { other } else { self }
    }
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
        let mut workloads = vec![Folded::default(); policy.workloads().count()];
        let mut nets = HashMap::new();
        for rule in &rules {
            for workload in rule.workloads() {
                workloads[usize::from(workload) - 1].add(rule, policy.mode());
            }
            if let Target::Addresses { ports, protocols, .. } = rule.target() {
                nets.insert(rule.index, Net { ports: ports.collect(), protocols: protocols.collect() });
            }
        }
        Self { policy, rules, workloads, nets }
    }

    /// The rules, in the policy's order.
    pub(crate) fn rules(&self) -> &[Rule<'a>] {
        &self.rules
    }

    /// One operation of the workload with this index; of none when the policy does not cover it.
    pub(crate) fn one(&self, workload: Option<u16>, thing: &Thing<'_>, operation: Operation) -> Answer<'a> {
        let winner = workload.and_then(|workload| self.winner(workload, thing, operation));
        winner.map_or(Answer::ALLOWED, |(effect, index)| Answer {
            verdict: effect.verdict(),
            rule: self.rules.get(index as usize).map(|rule| rule.name),
        })
    }

    /// An access of several operations at once, as an open for reading and writing is one, or to several things, as a rename
    /// is one: the strictest answer, and of equals the first that has a rule, as the kernel has it (`probes/bpf/rules.bpf.h`).
    pub(crate) fn strictest<'t>(
        &self,
        workload: Option<u16>,
        things: impl Iterator<Item = &'t Thing<'t>>,
        operations: Operations,
    ) -> Answer<'a> {
        let each = things.flat_map(|thing| operations.iter().map(move |operation| (thing, operation)));
        each.map(|(thing, operation)| self.one(workload, thing, operation))
            .fold(Answer::ALLOWED, Answer::or_stricter)
    }

    /// One operation on a file of whatever name: none when that depends on the name.
    pub(crate) fn whatever(&self, workload: Option<u16>, operation: Operation) -> Option<Answer<'a>> {
        let Some(folded) = workload.and_then(|workload| self.folded(workload)) else {
            return Some(Answer::ALLOWED);
        };
        // What the root's own tree says is said of every file; a slot of greater effect may turn it.
        let everywhere = self.one(workload, &Thing::Below(b"/"), operation);
        let least = folded.trees.get(&b"/"[..]).and_then(|slot| slot.winner(operation));
        let slots = folded.paths.values().chain(folded.trees.values());
        let turned = slots.filter_map(|slot| slot.winner(operation)).any(|(effect, _)| {
            least.is_none_or(|least| effect > least.0) && effect.verdict() != everywhere.verdict
        });
        (!turned).then_some(everywhere)
    }

    /// By what an operation is decided, if by anything.
    pub(crate) fn winner(&self, workload: u16, thing: &Thing<'_>, operation: Operation) -> Winner {
        self.slot(workload, thing).and_then(|slot| slot.winner(operation))
    }

    /// The same, of rules only that are on exactly this: by its name or digest, not by what is above it.
    pub(crate) fn exact(&self, workload: u16, thing: &Thing<'_>, operation: Operation) -> Winner {
        let folded = self.folded(workload)?;
        match thing {
            Thing::Path(path) => folded.paths.get(path)?.winner(operation),
            Thing::Below(tree) => folded.trees.get(tree)?.winner(operation),
            other => self.winner(workload, other, operation),
        }
    }

    /// By what an operation on a file is decided that has this name, this content, or both.
    pub(crate) fn file_winner(
        &self,
        workload: u16,
        path: Option<&[u8]>,
        digest: Option<&[u8; 32]>,
        operation: Operation,
    ) -> Winner {
        let folded = self.folded(workload)?;
        let mut slot = Slot::EMPTY;
        if let Some(path) = path {
            folded.file(path, &mut slot);
        }
        if let Some(other) = digest.and_then(|digest| folded.hashes.get(digest)) {
            slot.merge(other);
        }
        slot.winner(operation)
    }

    fn folded(&self, workload: u16) -> Option<&Folded<'a>> {
        self.workloads.get(usize::from(workload).checked_sub(1)?)
    }

    fn slot(&self, workload: u16, thing: &Thing<'_>) -> Option<Slot> {
        let folded = self.folded(workload)?;
        let mut slot = Slot::EMPTY;
        match thing {
            Thing::Path(path) => folded.file(path, &mut slot),
            Thing::Below(tree) => folded.above(tree, &mut slot),
            Thing::Net { prefix, ports, protocol } => {
                for index in folded.on(prefix) {
                    if self.nets.get(&index).is_some_and(|net| net.is_on(ports.0, *protocol)) {
                        slot.add(&self.rules[index as usize], self.policy.mode());
                    }
                }
            }
            Thing::Hash(hash) => folded.hashes.get(hash).into_iter().for_each(|other| slot.merge(other)),
            Thing::Surface => slot = folded.surface,
        }
        Some(slot)
    }

    /// What rules of one of its workloads tell apart.
    pub(crate) fn things(&self, workload: u16) -> BTreeSet<Thing<'a>> {
        things(&[(self, Some(workload))])
    }
}

/// What two policies tell apart for a workload, or less than two; more than that is no question.
pub(crate) fn things<'a>(of: &[(&Decisions<'a>, Option<u16>)]) -> BTreeSet<Thing<'a>> {
    let mut all = BTreeSet::from([Thing::Surface]);
    let folded: Vec<(&Decisions<'a>, &Folded<'a>)> = of
        .iter()
        .filter_map(|(decisions, workload)| Some((*decisions, decisions.folded((*workload)?)?)))
        .collect();
    let mut prefixes = BTreeSet::new();
    for (_, folded) in &folded {
        all.extend(folded.paths.keys().map(|path| Thing::Path(path)));
        all.extend(folded.trees.keys().flat_map(|tree| [Thing::Path(tree), Thing::Below(tree)]));
        all.extend(folded.hashes.keys().map(|hash| Thing::Hash(*hash)));
        prefixes.extend(folded.nets.keys().copied());
    }
    for prefix in prefixes {
        let on = || {
            folded.iter().flat_map(|(decisions, folded)| {
                folded.on(&prefix).into_iter().filter_map(|index| decisions.nets.get(&index))
            })
        };
        // Where a range begins, or another has ended.
        let mut cuts = BTreeSet::from([0]);
        cuts.extend(
            on().flat_map(|net| &net.ports)
                .flat_map(|(first, last)| [Some(*first), last.checked_add(1)])
                .flatten(),
        );
        let ends = cuts.iter().skip(1).map(|next| next - 1).chain([u16::MAX]);
        let named: BTreeSet<u8> = on().flat_map(|net| &net.protocols).copied().filter(|of| *of > 0).collect();
        for (first, last) in cuts.iter().zip(ends) {
            let net = |protocol| Thing::Net { prefix, ports: (*first, last), protocol };
            all.extend(named.iter().map(|protocol| net(Some(*protocol))).chain([net(None)]));
        }
    }
    all
}

impl<'a> Folded<'a> {
    fn add(&mut self, rule: &Rule<'a>, mode: aegis_policy::Mode) {
        match rule.target() {
            Target::Files { paths, trees } => {
                for path in paths.map(str::as_bytes) {
                    self.paths.entry(path).or_default().add(rule, mode);
                    if let Some(to) = elsewhere(path) {
                        self.linked_paths.entry(to).or_default().add(rule, mode);
                    }
                }
                for tree in trees.map(str::as_bytes) {
                    self.trees.entry(tree).or_default().add(rule, mode);
                    if let Some(to) = elsewhere(tree) {
                        self.linked_trees.entry(to).or_default().add(rule, mode);
                    }
                }
            }
            Target::Addresses { prefixes, .. } => {
                for prefix in prefixes {
                    self.lengths.insert(prefix.bits);
                    self.nets.entry(prefix).or_default().push(rule.index);
                }
            }
            Target::Hashes(hashes) => {
                for hash in hashes {
                    self.hashes.entry(hash).or_default().add(rule, mode);
                }
            }
            Target::Surface => self.surface.add(rule, mode),
        }
    }

    /// What is said of the file of this name, by where it leads.
    fn file(&self, path: &[u8], slot: &mut Slot) {
        let path = &*leads(path);
        let own = [self.paths.get(path), self.linked_paths.get(path)];
        own.into_iter().flatten().for_each(|own| slot.merge(own));
        self.above(path, slot);
    }

    /// What trees say of this directory and what lies below it, by where it leads.
    fn above(&self, path: &[u8], slot: &mut Slot) {
        if self.trees.is_empty() {
            return;
        }
        for tree in upwards(&leads(path)) {
            let of = [self.trees.get(tree), self.linked_trees.get(tree)];
            of.into_iter().flatten().for_each(|of| slot.merge(of));
        }
    }

    /// Indexes of the rules with a prefix that contains this one.
    fn on(&self, prefix: &Prefix) -> Vec<u32> {
        let shorter = self.lengths.iter().filter(|bits| **bits <= prefix.bits);
        let around = shorter.filter_map(|bits| {
            // The same family: an IPv4 address stays one, whatever is cut off.
            let around =
                Prefix { address: Prefix::new(prefix.first(), *bits).address, bits: *bits, ..*prefix };
            self.nets.get(&around)
        });
        around.flatten().copied().collect()
    }
}

impl Net {
    fn is_on(&self, port: u16, protocol: Option<u8>) -> bool {
        self.ports.iter().any(|(first, last)| (*first..=*last).contains(&port))
            && self.protocols.iter().any(|of| *of == 0 || Some(*of) == protocol)
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
            self_protection: true,
            argv: aegis_policy::Argv::Whole,
            deadman: None,
            workloads: patterns.iter().map(|pattern| (*pattern).into()).collect(),
            rules: vec![],
            alerts: vec![],
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
