//! What never decides, since other rules decide first everywhere. Asked of the compiled policy, not worked out again.
//!
//! Where a rule on a tree decides instead of one on a path in it, the warning has no mend: the path may be a link that leads
//! out of the tree, and then the rule does decide on a device.

use std::collections::HashSet;

use aegis_policy::{Action, Operation, Operations, Policy, Prefix};

use super::look::mendable;
use super::{Code, Finding, Fix};
use crate::policy::Compiled;
use crate::policy::check::meant;
use crate::policy::decisions::Decisions;
use crate::policy::place::At;
use crate::policy::render::quoted;
use crate::policy::resolve::RuleSource;
use crate::policy::source::Text;
use crate::policy::target::{self, On};
use crate::policy::things::{Thing, upwards};

pub(super) fn findings(compiled: &Compiled) -> Vec<Finding> {
    let Ok(policy) = Policy::decode(&compiled.bytes) else { return Vec::new() };
    let decisions = Decisions::of(policy);
    let rules = &compiled.source.rules;
    let mut reached: Vec<Reached<'_>> = rules.iter().map(Reached::of).collect();
    for workload in policy.workloads() {
        for thing in decisions.things(workload.index) {
            for operation in thing.operations().iter() {
                if let Some((_, by)) = decisions.winner(workload.index, &thing, operation) {
                    reached[by as usize].decides(&thing, operation);
                }
            }
        }
    }
    let look = Look { rules, decisions: &decisions };
    reached.iter().enumerate().flat_map(|(index, of)| look.rule(index, of)).collect()
}

/// What a rule has, and where it decides.
struct Reached<'r> {
    rule: &'r RuleSource,
    paths: HashSet<&'r [u8]>,
    trees: HashSet<&'r [u8]>,
    operations: Operations,
    decided_paths: HashSet<&'r [u8]>,
    decided_trees: HashSet<&'r [u8]>,
    decided_prefixes: HashSet<Prefix>,
    decided_hashes: HashSet<[u8; 32]>,
}

impl<'r> Reached<'r> {
    fn of(rule: &'r RuleSource) -> Self {
        let bytes = |list: &'r [Text]| list.iter().map(|text| text.value.as_bytes()).collect();
        Self {
            rule,
            paths: bytes(&rule.raw.paths),
            trees: bytes(&rule.raw.trees),
            operations: Operations::NONE,
            decided_paths: HashSet::new(),
            decided_trees: HashSet::new(),
            decided_prefixes: HashSet::new(),
            decided_hashes: HashSet::new(),
        }
    }

    fn decides(&mut self, thing: &Thing<'_>, operation: Operation) {
        self.operations = self.operations.with(operation);
        match thing {
            Thing::Path(path) => {
                self.decided_paths.extend(self.paths.get(*path));
                self.trees_above(path);
            }
            Thing::Below(tree) => self.trees_above(tree),
            Thing::Net { prefix, .. } => {
                if let On::Addresses { prefixes, .. } = &self.rule.on {
                    self.decided_prefixes.extend(prefixes.iter().filter(|of| of.contains(prefix)));
                }
            }
            Thing::Hash(hash) => {
                self.decided_hashes.insert(*hash);
            }
            Thing::Surface => {}
        }
    }

    fn trees_above(&mut self, path: &[u8]) {
        if !self.trees.is_empty() {
            self.decided_trees.extend(upwards(path).filter_map(|tree| self.trees.get(tree)));
        }
    }
}

/// An item of a rule, and what stands for it.
struct Part<'r> {
    at: At,
    /// The list in which it stands.
    key: &'static str,
    name: &'r str,
    things: Vec<Thing<'r>>,
    decides: bool,
}

struct Look<'r> {
    rules: &'r [RuleSource],
    decisions: &'r Decisions<'r>,
}

impl<'r> Look<'r> {
    fn rule(&self, index: usize, reached: &Reached<'r>) -> Vec<Finding> {
        let rule = &self.rules[index];
        let name = rule.name();
        let parts = parts(reached);
        let things = || parts.iter().flat_map(|part| &part.things);
        if reached.operations.is_empty() {
            let by = self.instead(index, things(), rule.operations);
            let message = format!("rule \"{name}\" never decides anything: {}", self.does(index, by));
            let same = self.by_the_same(index, things(), rule.operations);
            return vec![
                Finding::new(Code::UnreachableRule, rule.raw.name.at, message)
                    .with(mendable(rule) && same, Fix::Table(rule.raw.at)),
            ];
        }
        let mut findings = Vec::new();
        let left: HashSet<&str> = parts.iter().filter(|part| part.decides).map(|part| part.key).collect();
        for part in parts.iter().filter(|part| !part.decides) {
            let by = self.instead(index, part.things.iter(), rule.operations);
            let message = format!("rule \"{name}\" never decides on {}: {}", part.name, self.does(index, by));
            // A list that would be left empty is for a person to take out.
            let some_left = left.contains(part.key);
            let same = self.by_the_same(index, part.things.iter(), rule.operations);
            findings.push(
                Finding::new(Code::ShadowedRule, part.at, message)
                    .with(mendable(rule) && same && some_left, Fix::Item(part.at)),
            );
        }
        let unused = |operation: Operation| !reached.operations.contains(operation);
        let kind = rule.on.kind();
        let words = &rule.raw.operations;
        // Of a rule that decides by what its denial implies alone, a person has to say what is meant.
        let some_left = words.iter().any(|word| meant(&word.value, kind).any(|operation| !unused(operation)));
        for item in words {
            let of_word = || meant(&item.value, kind);
            let Some(first) = of_word().find(|operation| unused(*operation)) else { continue };
            let only = Operations::only(first);
            let by = self.instead(index, things(), only);
            let names: Vec<&str> = of_word().filter(|one| unused(*one)).map(Operation::name).collect();
            let what = names.join(" and ");
            let message = format!("rule \"{name}\" never decides on {what}: {}", self.does(index, by));
            let left: Vec<String> =
                of_word().filter(|one| !unused(*one)).map(|one| quoted(one.name())).collect();
            let fix =
                if left.is_empty() { Fix::Item(item.at) } else { Fix::Replace(item.at, left.join(", ")) };
            let all = of_word().filter(|one| unused(*one)).fold(Operations::NONE, Operations::with);
            let same = self.by_the_same(index, things(), all);
            findings.push(
                Finding::new(Code::UnusedOperation, item.at, message)
                    .with(mendable(rule) && same && some_left, fix),
            );
        }
        findings
    }

    /// The rule that decides first where this one could.
    fn instead<'t>(
        &self,
        index: usize,
        mut things: impl Iterator<Item = &'t Thing<'t>>,
        operations: Operations,
    ) -> usize {
        let rule = &self.rules[index];
        let winner = |thing: &Thing<'_>| {
            rule.workloads.iter().find_map(|workload| {
                operations.iter().find_map(|operation| self.decisions.winner(*workload, thing, operation))
            })
        };
        things.find_map(winner).map_or(index, |(_, by)| by as usize)
    }

    /// It is another rule on the very same things that decides, not one on what is around them.
    fn by_the_same<'t>(
        &self,
        index: usize,
        mut things: impl Iterator<Item = &'t Thing<'t>>,
        operations: Operations,
    ) -> bool {
        let rule = &self.rules[index];
        let other = |thing: &Thing<'_>| {
            rule.workloads.iter().all(|workload| {
                operations.iter().all(|operation| {
                    let winner = self.decisions.exact(*workload, thing, operation);
                    // Of a tree, the directory itself is no path that the rule names.
                    winner.is_none_or(|(_, by)| by as usize != index)
                })
            })
        };
        things.all(other)
    }

    /// Who decides, and how this one could.
    fn does(&self, index: usize, by: usize) -> String {
        let (rule, by) = (&self.rules[index], &self.rules[by]);
        let mend = if rule.effect.action() == Action::Allow && by.effect.action() == Action::Deny {
            " (allow beats deny only with override = true)"
        } else {
            ""
        };
        format!("rule \"{}\" does{mend}", by.name())
    }
}

/// The items of a rule, each text once: its second listing, if any, is a finding of its own.
fn parts<'r>(reached: &Reached<'r>) -> Vec<Part<'r>> {
    let raw = &reached.rule.raw;
    let mut seen = HashSet::new();
    let mut parts = Vec::new();
    let mut put = |text: &'r Text, key: &'static str, things: Vec<Thing<'r>>, decides: bool| {
        if seen.insert((key, text.value.as_str())) {
            parts.push(Part { at: text.at, key, name: &text.value, things, decides });
        }
    };
    for text in &raw.paths {
        let path = text.value.as_bytes();
        put(text, "path", vec![Thing::Path(path)], reached.decided_paths.contains(path));
    }
    for text in &raw.trees {
        let tree = text.value.as_bytes();
        let things = vec![Thing::Below(tree), Thing::Path(tree)];
        put(text, "tree", things, reached.decided_trees.contains(tree));
    }
    match &reached.rule.on {
        On::Addresses { prefixes, ports, protocols } => {
            let net = |prefix: &Prefix| {
                let ports = ports.first().copied().unwrap_or_default();
                let protocol = protocols.first().copied().filter(|of| *of > 0);
                Thing::Net { prefix: *prefix, ports: (ports.0, ports.0), protocol }
            };
            for text in &raw.addresses {
                // One within another of the rule has no place of its own.
                if let Ok(prefix) = target::prefix(&text.value)
                    && prefixes.contains(&prefix)
                {
                    put(text, "address", vec![net(&prefix)], reached.decided_prefixes.contains(&prefix));
                }
            }
            if raw.addresses.is_empty() {
                // What there is of it has no item to point at.
                let decides = !reached.decided_prefixes.is_empty();
                let things = prefixes.iter().map(net).collect();
                parts.push(Part { at: raw.name.at, key: "name", name: &raw.name.value, things, decides });
                parts.retain(|part| part.decides || reached.operations.is_empty());
            }
        }
        On::Hashes(_) => {
            for text in &raw.hashes {
                if let Ok(hash) = target::hash(&text.value) {
                    put(text, "hash", vec![Thing::Hash(hash)], reached.decided_hashes.contains(&hash));
                }
            }
        }
        On::Surface => {
            let decides = !reached.operations.is_empty();
            parts.push(Part {
                at: raw.name.at,
                key: "name",
                name: &raw.name.value,
                things: vec![Thing::Surface],
                decides,
            });
        }
        On::Files => {}
    }
    parts
}
