//! What one rule shows by itself, and by what else is said of the same.

use std::collections::BTreeSet;

use aegis_policy::{Action, Effect, Mode, Operation, Operations, Policy, Prefix, names};

use super::known::{self, Form};
use super::{Code, Finding, Fix};
use crate::policy::Compiled;
use crate::policy::check::meant;
use crate::policy::decisions::Decisions;
use crate::policy::place::At;
use crate::policy::render::quoted;
use crate::policy::resolve::{PolicySource, RuleSource};
use crate::policy::source::Text;
use crate::policy::target::{self, On};
use crate::policy::things::Thing;

pub(super) fn over(compiled: &Compiled) -> Vec<Finding> {
    let policy = &compiled.source;
    let Ok(decoded) = Policy::decode(&compiled.bytes) else { return Vec::new() };
    let decisions = Decisions::of(decoded);
    let mut findings = Vec::new();
    let denies = |rule: &&RuleSource| rule.effect == Effect::Deny;
    if policy.mode == Mode::Audit
        && let Some(rule) = policy.rules.iter().find(denies)
    {
        let message = format!("rule \"{}\" denies nothing: the policy's mode is audit", rule.name());
        findings.push(Finding::new(Code::AuditMode, rule.raw.name.at, message));
    }
    if let Some(at) = policy.self_protection_at.filter(|_| !policy.self_protection) {
        let message = "self-protection is off: workloads may stop the agent and change what it keeps; leave the line out";
        findings.push(Finding::new(Code::SelfProtection, at, message.to_owned()));
    }
    for template in &policy.unused_templates {
        let message = format!("nothing uses template \"{}\"", template.value);
        findings.push(Finding::new(Code::UnusedTemplate, template.at, message));
    }
    for parameter in &policy.unused_parameters {
        let message = format!("no rule has a gap ${{{}}}", parameter.value);
        findings.push(Finding::new(Code::UnusedParameter, parameter.at, message));
    }
    unused_workloads(policy, &mut findings);
    for rule in &policy.rules {
        duplicates(rule, &mut findings);
        contained(rule, &mut findings);
        duplicate_operations(rule, &mut findings);
        tags(rule, &mut findings);
        breadth(policy, &decisions, rule, &mut findings);
        overrides(rule, &mut findings);
        paths(rule, &mut findings);
        hashes(rule, &mut findings);
    }
    findings
}

/// A fix may touch what stands once in the file that is linted, and is not a template's.
pub(super) fn mendable(rule: &RuleSource) -> bool {
    rule.raw.at.file == 0 && rule.used.is_none()
}

fn unused_workloads(policy: &PolicySource, findings: &mut Vec<Finding>) {
    if policy.fragment {
        return;
    }
    let used: BTreeSet<u16> = policy.rules.iter().flat_map(|rule| rule.workloads.iter().copied()).collect();
    for (index, workload) in (1..).zip(&policy.workloads) {
        if used.contains(&index) {
            continue;
        }
        let name = workload.name.value.as_str();
        let prefix = name.strip_suffix('*').unwrap_or(name);
        let wider = policy.workloads.iter().map(|other| other.name.value.as_str()).filter(|other| {
            *other != name && other.strip_suffix('*').is_some_and(|wide| prefix.starts_with(wide))
        });
        let wider = wider.max_by_key(|other| other.len());
        let message = match wider {
            Some(wider) => {
                format!("no rule is for workload \"{name}\", and those for \"{wider}\" are not for it")
            }
            None => format!("no rule is for workload \"{name}\""),
        };
        let finding = Finding::new(Code::UnusedWorkload, workload.name.at, message);
        // Without it a wider pattern's rules would count; and one workload there must be.
        let alone = wider.is_none() && policy.workloads.len() > 1 && workload.name.at.file == 0;
        findings.push(finding.with(alone, Fix::Table(workload.name.at)));
    }
}

fn duplicates(rule: &RuleSource, findings: &mut Vec<Finding>) {
    let raw = &rule.raw;
    let workloads = raw.workloads.as_deref().unwrap_or_default();
    for (list, code) in [
        (workloads, Code::DuplicateWorkload),
        (&raw.paths, Code::DuplicatePath),
        (&raw.trees, Code::DuplicatePath),
        (&raw.tags, Code::DuplicateTag),
    ] {
        let mut seen = BTreeSet::new();
        for item in list {
            if !seen.insert(item.value.as_str()) {
                let message = format!("rule \"{}\" lists {} twice", rule.name(), item.value);
                findings.push(Finding::new(code, item.at, message).with(mendable(rule), Fix::Item(item.at)));
            }
        }
    }
}

/// Addresses, ports, protocols and hashes that another item of the rule has, too, perhaps in another writing.
fn contained(rule: &RuleSource, findings: &mut Vec<Finding>) {
    let raw = &rule.raw;
    within(rule, &raw.addresses, target::prefix, Prefix::contains, Code::DuplicateAddress, findings);
    let around = |a: &(u16, u16), b: &(u16, u16)| a.0 <= b.0 && b.1 <= a.1;
    within(rule, &raw.ports, target::ports, around, Code::DuplicateAddress, findings);
    within(rule, &raw.protocols, target::protocol, u8::eq, Code::DuplicateAddress, findings);
    within(rule, &raw.hashes, target::hash, <[u8; 32]>::eq, Code::DuplicateHash, findings);
}

fn within<T>(
    rule: &RuleSource,
    list: &[Text],
    read: fn(&str) -> Result<T, String>,
    contains: impl Fn(&T, &T) -> bool,
    code: Code,
    findings: &mut Vec<Finding>,
) {
    let read: Vec<(&Text, T)> =
        list.iter().filter_map(|text| Some((text, read(&text.value).ok()?))).collect();
    for (index, (text, item)) in read.iter().enumerate() {
        // Of two alike the first stays.
        let around = read.iter().enumerate().find(|(other, (_, of))| {
            *other != index && contains(of, item) && (*other < index || !contains(item, of))
        });
        let Some((_, (around, _))) = around else { continue };
        let message = if around.value == text.value {
            format!("rule \"{}\" lists {} twice", rule.name(), text.value)
        } else {
            format!("rule \"{}\" lists {}, which has {} in it", rule.name(), around.value, text.value)
        };
        findings.push(Finding::new(code, text.at, message).with(mendable(rule), Fix::Item(text.at)));
    }
}

fn duplicate_operations(rule: &RuleSource, findings: &mut Vec<Finding>) {
    let kind = rule.on.kind();
    let mut kept: Vec<_> = rule.raw.operations.iter().collect();
    // From the end, so that of two alike the first stays.
    for index in (0..kept.len()).rev() {
        let item = kept[index];
        let others = || kept.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, item)| item);
        let has = |operation: Operation| {
            others().any(|other| meant(&other.value, kind).any(|one| one == operation))
        };
        if meant(&item.value, kind).all(has) {
            let message = format!("rule \"{}\" lists {} twice", rule.name(), item.value);
            let finding = Finding::new(Code::DuplicateOperation, item.at, message);
            findings.push(finding.with(mendable(rule), Fix::Item(item.at)));
            kept.remove(index);
        }
    }
}

fn tags(rule: &RuleSource, findings: &mut Vec<Finding>) {
    for tag in &rule.raw.tags {
        let (message, fix) = match known::form(&tag.value) {
            Form::Known => continue,
            Form::Written(other) => (
                format!("tag \"{}\" is written {other}", tag.value),
                Some(Fix::Replace(tag.at, quoted(&other))),
            ),
            Form::Unknown => {
                let forms = "T1003.008 (MITRE ATT&CK), AML.T0051 (ATLAS), or name:id (nist:AC-3)";
                (format!("tag \"{}\" has no form that is known: {forms}", tag.value), None)
            }
        };
        let mut finding = Finding::new(Code::UnknownTag, tag.at, message);
        finding.fixes.extend(fix.filter(|_| mendable(rule)));
        findings.push(finding);
    }
}

/// For whom, and on what, a deny rule is.
fn breadth(policy: &PolicySource, decisions: &Decisions<'_>, rule: &RuleSource, findings: &mut Vec<Finding>) {
    if rule.effect.action() != Action::Deny {
        return;
    }
    let name = rule.name();
    let everybody =
        rule.workloads.iter().any(|index| policy.workloads[usize::from(*index) - 1].name.value == "*");
    if everybody && rule.raw.workloads.is_none() && !policy.fragment {
        let named: Vec<String> =
            policy.workloads.iter().map(|workload| quoted(&workload.name.value)).collect();
        let message = format!("rule \"{name}\" denies every workload without saying so: add workloads = […]");
        let fix = Fix::Behind(rule.raw.name.at, format!("workloads = [{}]", named.join(", ")));
        findings
            .push(Finding::new(Code::ImplicitWorkloads, rule.raw.name.at, message).with(mendable(rule), fix));
    }
    let denial = Denial { policy, decisions, rule, everybody };
    for path in &rule.raw.paths {
        if path.value == "/" {
            let message = format!(
                "rule \"{name}\" denies the root directory itself, and nothing in it: name files, or `trees`"
            );
            findings.push(Finding::new(Code::OverBroad, path.at, message));
        }
        denial.of_everybody(path.at, |of| of == path.value, findings);
        denial.of_the_appliance(path.at, |of| of == path.value, findings);
    }
    for tree in &rule.raw.trees {
        let covers = |of: &str| names::is_within(tree.value.as_bytes(), of.as_bytes());
        let broad = known::breadth(&tree.value);
        if !broad.is_empty()
            && rule.operations.iter().any(|operation| broad.contains(operation))
            && !denial.has_exceptions(&tree.value)
        {
            let message = format!(
                "rule \"{name}\" is on all below {}, and no allow rule with override makes an exception",
                tree.value
            );
            findings.push(Finding::new(Code::OverBroad, tree.at, message));
        } else {
            denial.of_everybody(tree.at, covers, findings);
        }
        denial.of_the_appliance(tree.at, covers, findings);
    }
}

/// A deny rule, among the others.
struct Denial<'l> {
    policy: &'l PolicySource,
    decisions: &'l Decisions<'l>,
    rule: &'l RuleSource,
    /// It is for the workload `*`.
    everybody: bool,
}

impl Denial<'_> {
    /// Whether the rule's denial of one of these operations is left standing, for anybody or for everybody.
    fn stands(&self, path: &str, operations: Operations, everybody: bool) -> bool {
        let thing = Thing::Path(path.as_bytes());
        self.rule.workloads.iter().any(|workload| {
            let counts = !everybody || self.policy.workloads[usize::from(*workload) - 1].name.value == "*";
            counts
                && operations.iter().filter(|operation| self.rule.operations.contains(*operation)).any(
                    |operation| {
                        let winner = self.decisions.winner(*workload, &thing, operation);
                        winner.is_some_and(|(effect, _)| effect < Effect::Override)
                    },
                )
        })
    }

    /// Whether an allow rule with override is on something in a tree of this one, for one of its workloads.
    fn has_exceptions(&self, tree: &str) -> bool {
        self.policy.rules.iter().any(|other| {
            let mut items = other.raw.paths.iter().chain(&other.raw.trees);
            other.effect == Effect::Override
                && other.workloads.iter().any(|workload| self.rule.workloads.contains(workload))
                && other.operations.iter().any(|operation| self.rule.operations.contains(operation))
                && items.any(|item| names::is_within(tree.as_bytes(), item.value.as_bytes()))
        })
    }

    fn of_everybody(&self, at: At, covers: impl Fn(&str) -> bool, findings: &mut Vec<Finding>) {
        if !self.everybody {
            return;
        }
        let operations = Operations::only(Operation::OpenRead).with(Operation::Exec);
        let denied = |path: &&&str| covers(path) && self.stands(path, operations, true);
        let Some(path) = known::EVERYBODY.iter().find(denied) else { return };
        let name = self.rule.name();
        let message =
            format!("rule \"{name}\" denies every workload {path}, which hardly any program can do without");
        findings.push(Finding::new(Code::OverBroad, at, message));
    }

    fn of_the_appliance(&self, at: At, covers: impl Fn(&str) -> bool, findings: &mut Vec<Finding>) {
        let denied = |needed: &&known::Needed, everybody: bool| {
            let operation = if needed.exec { Operation::Exec } else { Operation::OpenRead };
            covers(needed.path) && self.stands(needed.path, Operations::only(operation), everybody)
        };
        // A workload of a name of its own is not the appliance; how every workload starts is not its name's matter.
        let system = known::NEEDED.iter().find(|needed| self.everybody && denied(needed, true));
        let found = system.or_else(|| known::START.iter().find(|needed| denied(needed, false)));
        let Some(needed) = found else { return };
        let who = if self.everybody { "every workload" } else { "a workload" };
        let (name, path, by) = (self.rule.name(), needed.path, needed.by);
        let message = format!("rule \"{name}\" denies {who} {path}, which {by} can't do without");
        findings.push(Finding::new(Code::SelfLocking, at, message));
    }
}

/// An allow rule that takes back all denials of a kind.
fn overrides(rule: &RuleSource, findings: &mut Vec<Finding>) {
    if rule.effect != Effect::Override {
        return;
    }
    let all = match &rule.on {
        On::Files => rule.raw.trees.iter().find(|tree| tree.value == "/").map(|tree| tree.at),
        On::Addresses { prefixes, ports, protocols } => {
            let all = prefixes.iter().any(|prefix| prefix.bits == 0)
                && ports.contains(&(0, u16::MAX))
                && protocols.contains(&0);
            all.then_some(rule.raw.name.at)
        }
        On::Surface => Some(rule.raw.name.at),
        On::Hashes(_) => None,
    };
    if let Some(at) = all {
        let words: Vec<&str> = rule.raw.operations.iter().map(|word| word.value.as_str()).collect();
        let message =
            format!("rule \"{}\" takes back whatever is denied of {}", rule.name(), words.join(" and "));
        findings.push(Finding::new(Code::OverBroad, at, message));
    }
}

fn paths(rule: &RuleSource, findings: &mut Vec<Finding>) {
    for path in &rule.raw.paths {
        let text = path.value.as_str();
        if known::DIRECTORIES.contains(&text) {
            let message = format!(
                "{text} is a directory: rule \"{}\" is on the directory itself; `trees` is for it and what lies in it",
                rule.name()
            );
            findings.push(Finding::new(Code::DirectoryPath, path.at, message));
        }
    }
    for path in rule.raw.paths.iter().chain(&rule.raw.trees) {
        if let Some(why) = known::volatile(&path.value) {
            let message = format!(
                "{}: {why}; rule \"{}\" is on the one that was there when the policy was loaded",
                path.value,
                rule.name()
            );
            findings.push(Finding::new(Code::VolatilePath, path.at, message));
        }
    }
}

fn hashes(rule: &RuleSource, findings: &mut Vec<Finding>) {
    if let Some(first) = rule.raw.hashes.first() {
        let message = format!(
            "rule \"{}\" needs a kernel that measures programs (IMA with SHA-256, Linux 5.18 or newer; our own kernel does): any \
             other device refuses the whole policy (hash-unsupported); --kernel and --no-ima make that an error",
            rule.name()
        );
        findings.push(Finding::new(Code::HashSupport, first.at, message));
    }
}
