//! For whom, and on what, a deny rule is: too much of it, the appliance itself, or not those whom it seems to be for.
//!
//! Paths are judged by where they lead on our own image.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};

use aegis_policy::{Action, Effect, Operation, Operations, names};

use super::known::{self, Needed};
use super::look::mendable;
use super::{Code, Finding, Fix};
use crate::policy::decisions::Decisions;
use crate::policy::image::leads;
use crate::policy::limits;
use crate::policy::place::At;
use crate::policy::render::quoted;
use crate::policy::resolve::{PolicySource, RuleSource};
use crate::policy::target::On;
use crate::policy::things::Thing;

/// What all deny rules of a policy are judged by.
pub(super) struct Denials<'l> {
    policy: &'l PolicySource,
    decisions: &'l Decisions<'l>,
    /// Where an allow rule with override makes an exception: workload, directory that much is needed of, operation.
    exceptions: HashSet<(u16, &'static str, Operation)>,
    /// Patterns that are declared beside one that covers them, by that one's index.
    narrower: Vec<Vec<u16>>,
    /// How often may still be asked who decides.
    questions: Cell<usize>,
}

impl<'l> Denials<'l> {
    pub(super) fn of(policy: &'l PolicySource, decisions: &'l Decisions<'l>) -> Self {
        let names: Vec<&str> = policy.workloads.iter().map(|workload| workload.name.value.as_str()).collect();
        let narrower = |wide: &&str| match wide.strip_suffix('*') {
            Some(prefix) => {
                let others = (1..).zip(&names).filter(|(_, name)| *name != wide && name.starts_with(prefix));
                others.map(|(index, _)| index).collect()
            }
            None => Vec::new(),
        };
        Self {
            policy,
            decisions,
            exceptions: exceptions(policy),
            narrower: names.iter().map(narrower).collect(),
            questions: Cell::new(limits::QUESTIONS),
        }
    }

    pub(super) fn look(&self, rule: &RuleSource, findings: &mut Vec<Finding>) {
        if rule.effect.action() != Action::Deny {
            return;
        }
        let everybody = rule.workloads.iter().any(|index| self.name(*index) == "*");
        let denial = Denial { of: self, rule, everybody };
        denial.implicit(findings);
        denial.left_out(findings);
        // What stands twice is said once, and by another code.
        let mut seen = BTreeSet::new();
        for path in rule.raw.paths.iter().filter(|path| seen.insert(path.value.as_str())) {
            denial.path(path.at, &path.value, findings);
        }
        let mut seen = BTreeSet::new();
        for tree in rule.raw.trees.iter().filter(|tree| seen.insert(tree.value.as_str())) {
            denial.tree(tree.at, &tree.value, findings);
        }
    }

    fn name(&self, index: u16) -> &str {
        self.policy.workloads.get(usize::from(index) - 1).map_or("", |workload| &workload.name.value)
    }
}

/// The exceptions that allow rules with override make.
fn exceptions(policy: &PolicySource) -> HashSet<(u16, &'static str, Operation)> {
    let mut all = HashSet::new();
    for rule in policy.rules.iter().filter(|rule| rule.effect == Effect::Override) {
        let trees: BTreeSet<&'static str> = rule
            .raw
            .paths
            .iter()
            .chain(&rule.raw.trees)
            .flat_map(|item| {
                let item = lead(&item.value);
                known::BROAD.iter().copied().filter(move |tree| known::counts_in(tree, &item))
            })
            .collect();
        for workload in &rule.workloads {
            for operation in rule.operations.iter() {
                all.extend(trees.iter().map(|tree| (*workload, *tree, operation)));
            }
        }
    }
    all
}

/// Where a path leads.
fn lead(path: &str) -> Cow<'_, str> {
    match leads(path.as_bytes()) {
        Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
        Cow::Borrowed(_) => path.into(),
    }
}

/// A deny rule, among the others.
struct Denial<'l> {
    of: &'l Denials<'l>,
    rule: &'l RuleSource,
    /// It is for the workload `*`.
    everybody: bool,
}

impl Denial<'_> {
    /// It is for everybody, and does not say so.
    fn implicit(&self, findings: &mut Vec<Finding>) {
        let (policy, rule) = (self.of.policy, self.rule);
        if !self.everybody || rule.raw.workloads.is_some() || policy.fragment {
            return;
        }
        let named: Vec<String> =
            policy.workloads.iter().map(|workload| quoted(&workload.name.value)).collect();
        let message =
            format!("rule \"{}\" denies every workload without saying so: add workloads = […]", rule.name());
        let fix = Fix::Behind(rule.raw.name.at, format!("workloads = [{}]", named.join(", ")));
        findings
            .push(Finding::new(Code::ImplicitWorkloads, rule.raw.name.at, message).with(mendable(rule), fix));
    }

    /// It is for a pattern, and not for a workload of that pattern that is declared apart, on which no rule says anything of
    /// what this one denies.
    fn left_out(&self, findings: &mut Vec<Finding>) {
        let (rule, of) = (self.rule, self.of);
        if of.policy.fragment {
            return;
        }
        for wide in &rule.workloads {
            let narrower = of.narrower.get(usize::from(*wide) - 1).map_or(&[][..], Vec::as_slice);
            let mut others = narrower.iter().filter(|index| rule.workloads.binary_search(index).is_err());
            let Some(narrow) = others.find(|index| self.says_nothing(**index)) else { continue };
            let (wide, narrow) = (of.name(*wide), of.name(*narrow));
            let message = format!(
                "deny rule \"{}\" is for \"{wide}\" and not for \"{narrow}\", which is declared apart: add \"{narrow}\" to its \
                 workloads, or a rule of its own",
                rule.name()
            );
            let list = rule.raw.workloads.iter().flatten();
            let at =
                list.into_iter().find(|text| text.value == wide).map_or(rule.raw.name.at, |text| text.at);
            findings.push(Finding::new(Code::LeftOutWorkload, at, message));
            return;
        }
    }

    /// Whether of something that this rule denies no rule says anything for this workload.
    fn says_nothing(&self, workload: u16) -> bool {
        let raw = &self.rule.raw;
        let files = raw.paths.iter().map(|path| Thing::Path(path.value.as_bytes()));
        let trees = raw.trees.iter().map(|tree| Thing::Below(tree.value.as_bytes()));
        let (nets, hashes, surface) = match &self.rule.on {
            On::Files => (Vec::new(), Vec::new(), None),
            On::Addresses { prefixes, ports, protocols } => {
                let ports = ports.first().map_or((0, 0), |range| (range.0, range.0));
                let protocol = protocols.first().copied().filter(|of| *of > 0);
                let net = |prefix: &_| Thing::Net { prefix: *prefix, ports, protocol };
                (prefixes.iter().map(net).collect(), Vec::new(), None)
            }
            On::Hashes(hashes) => (Vec::new(), hashes.iter().map(|hash| Thing::Hash(*hash)).collect(), None),
            On::Surface => (Vec::new(), Vec::new(), Some(Thing::Surface)),
        };
        let mut things = files.chain(trees).chain(nets).chain(hashes).chain(surface);
        things.any(|thing| {
            self.rule.operations.iter().any(|operation| {
                let left = self.of.questions.get();
                self.of.questions.set(left.saturating_sub(1));
                left > 0 && self.of.decisions.winner(workload, &thing, operation).is_none()
            })
        })
    }

    fn path(&self, at: At, path: &str, findings: &mut Vec<Finding>) {
        if path == "/" {
            let message = format!(
                "rule \"{}\" denies the root directory itself, and nothing in it: name files, or `trees`",
                self.rule.name()
            );
            findings.push(Finding::new(Code::OverBroad, at, message));
        }
        let path = lead(path);
        self.of_everybody(at, |of| of == path, findings);
        self.of_the_appliance(at, |of, below| !below && of == path, findings);
    }

    fn tree(&self, at: At, tree: &str, findings: &mut Vec<Finding>) {
        let led = lead(tree);
        let covers = |of: &str| names::is_within(led.as_bytes(), of.as_bytes());
        match self.too_broad(&led) {
            Some(why) => {
                let message = format!("rule \"{}\" is on all below {tree}, and {why}", self.rule.name());
                findings.push(Finding::new(Code::OverBroad, at, message));
            }
            None => self.of_everybody(at, covers, findings),
        }
        self.of_the_appliance(at, |of, _| covers(of), findings);
    }

    /// Why the denial of all below a directory is too broad, if it is.
    fn too_broad(&self, tree: &str) -> Option<String> {
        let tree = known::BROAD.iter().copied().find(|of| *of == tree)?;
        let broad = known::breadth(tree);
        let denied = || self.rule.operations.iter().filter(|operation| broad.contains(*operation));
        let excepted = |operation: Operation| {
            self.rule
                .workloads
                .iter()
                .all(|workload| self.of.exceptions.contains(&(*workload, tree, operation)))
        };
        let operation = denied().find(|operation| !excepted(*operation));
        if let Some(operation) = operation {
            let what = operation.name();
            return Some(format!(
                "no allow rule with override makes an exception for {what} of what is needed there"
            ));
        }
        let needed = known::needed_below(tree);
        let left = needed.iter().find(|(path, operation)| {
            broad.contains(*operation) && self.stands(path, Operations::only(*operation), false)
        });
        left.map(|(path, operation)| {
            format!("no exception by override takes out {} of {path}, which is needed", operation.name())
        })
    }

    /// Whether the rule's denial of one of these operations is left standing, for anybody or for everybody.
    fn stands(&self, path: &str, operations: Operations, everybody: bool) -> bool {
        let thing = Thing::Path(path.as_bytes());
        self.rule.workloads.iter().any(|workload| {
            (!everybody || self.of.name(*workload) == "*")
                && operations.iter().filter(|operation| self.rule.operations.contains(*operation)).any(
                    |operation| {
                        let winner = self.of.decisions.winner(*workload, &thing, operation);
                        winner.is_some_and(|(effect, _)| effect < Effect::Override)
                    },
                )
        })
    }

    fn of_everybody(&self, at: At, covers: impl Fn(&str) -> bool, findings: &mut Vec<Finding>) {
        if !self.everybody {
            return;
        }
        let operations = Operations::only(Operation::OpenRead).with(Operation::Exec);
        let denied = |path: &&&str| covers(&lead(path)) && self.stands(path, operations, true);
        let Some(path) = known::EVERYBODY.iter().find(denied) else { return };
        let name = self.rule.name();
        let message =
            format!("rule \"{name}\" denies every workload {path}, which hardly any program can do without");
        findings.push(Finding::new(Code::OverBroad, at, message));
    }

    fn of_the_appliance(&self, at: At, covers: impl Fn(&str, bool) -> bool, findings: &mut Vec<Finding>) {
        let denied = |needed: &&Needed, everybody: bool| {
            covers(needed.path, needed.below)
                && self.stands(needed.path, Operations::only(needed.operation), everybody)
        };
        // A workload of a name of its own is not the appliance; how every workload starts is not its name's matter.
        let system = known::NEEDED.iter().find(|needed| self.everybody && denied(needed, true));
        let found = system.or_else(|| known::START.iter().find(|needed| denied(needed, false)));
        let Some(needed) = found else { return };
        let who = if self.everybody { "every workload" } else { "a workload" };
        let (name, path, by) = (self.rule.name(), needed.path, needed.by);
        let what = needed.operation.name();
        let message = format!("rule \"{name}\" denies {who} {what} of {path}, which {by} can't do without");
        findings.push(Finding::new(Code::SelfLocking, at, message));
    }
}
