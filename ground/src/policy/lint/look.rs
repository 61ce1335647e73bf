//! What one rule shows by itself.

use std::collections::BTreeSet;

use aegis_policy::{Action, Mode, Operation};

use super::known::{self, Form};
use super::{Code, Finding, Fix};
use crate::policy::check::meant;
use crate::policy::render::quoted;
use crate::policy::resolve::{PolicySource, RuleSource};

pub(super) fn over(policy: &PolicySource) -> Vec<Finding> {
    let mut findings = Vec::new();
    let denies = |rule: &&RuleSource| rule.action == Action::Deny;
    if policy.mode == Mode::Audit
        && let Some(rule) = policy.rules.iter().find(denies)
    {
        let message = format!("rule \"{}\" denies nothing: the policy's mode is audit", rule.name());
        findings.push(Finding::new(Code::AuditMode, rule.raw.name.at, message));
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
        duplicate_operations(rule, &mut findings);
        tags(rule, &mut findings);
        breadth(policy, rule, &mut findings);
        paths(rule, &mut findings);
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
        let name = workload.value.as_str();
        let prefix = name.strip_suffix('*').unwrap_or(name);
        let wider = policy.workloads.iter().map(|other| other.value.as_str()).filter(|other| {
            *other != name && other.strip_suffix('*').is_some_and(|wide| prefix.starts_with(wide))
        });
        let wider = wider.max_by_key(|other| other.len());
        let message = match wider {
            Some(wider) => {
                format!("no rule is for workload \"{name}\", and those for \"{wider}\" are not for it")
            }
            None => format!("no rule is for workload \"{name}\""),
        };
        let finding = Finding::new(Code::UnusedWorkload, workload.at, message);
        // Without it a wider pattern's rules would count; and one workload there must be.
        let alone = wider.is_none() && policy.workloads.len() > 1 && workload.at.file == 0;
        findings.push(finding.with(alone, Fix::Table(workload.at)));
    }
}

fn duplicates(rule: &RuleSource, findings: &mut Vec<Finding>) {
    let raw = &rule.raw;
    let workloads = raw.workloads.as_deref().unwrap_or_default();
    for (list, code) in [
        (workloads, Code::DuplicateWorkload),
        (&raw.paths, Code::DuplicatePath),
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

fn duplicate_operations(rule: &RuleSource, findings: &mut Vec<Finding>) {
    let mut kept: Vec<_> = rule.raw.operations.iter().collect();
    // From the end, so that of two alike the first stays.
    for index in (0..kept.len()).rev() {
        let item = kept[index];
        let others = || kept.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, item)| item);
        let has =
            |operation: Operation| others().any(|other| meant(&other.value).any(|one| one == operation));
        if meant(&item.value).all(has) {
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
fn breadth(policy: &PolicySource, rule: &RuleSource, findings: &mut Vec<Finding>) {
    if rule.action != Action::Deny {
        return;
    }
    let name = rule.name();
    let everybody = rule.workloads.iter().any(|index| policy.workloads[usize::from(*index) - 1].value == "*");
    if everybody && rule.raw.workloads.is_none() && !policy.fragment {
        let named: Vec<String> = policy.workloads.iter().map(|workload| quoted(&workload.value)).collect();
        let message = format!("rule \"{name}\" denies every workload without saying so: add workloads = […]");
        let fix = Fix::Behind(rule.raw.name.at, format!("workloads = [{}]", named.join(", ")));
        findings
            .push(Finding::new(Code::ImplicitWorkloads, rule.raw.name.at, message).with(mendable(rule), fix));
    }
    let opens = rule.operations.contains(Operation::OpenRead);
    let execs = rule.operations.contains(Operation::Exec);
    for path in &rule.raw.paths {
        let text = path.value.as_str();
        if text == "/" || (everybody && (opens || execs) && known::EVERYBODY.contains(&text)) {
            let message = if text == "/" {
                format!("rule \"{name}\" denies the root directory itself, and nothing in it: name files")
            } else {
                format!(
                    "rule \"{name}\" denies every workload {text}, which hardly any program can do without"
                )
            };
            findings.push(Finding::new(Code::OverBroad, path.at, message));
        }
        let needs = |needed: &&known::Needed| needed.path == text && if needed.exec { execs } else { opens };
        // A workload of a name of its own is not the appliance; how every workload starts is not its name's matter.
        let system = known::NEEDED.iter().filter(|_| everybody);
        if let Some(needed) = system.chain(known::START).find(needs) {
            let who = if everybody { "every workload" } else { "a workload" };
            let message =
                format!("rule \"{name}\" denies {who} {text}, which {} can't do without", needed.by);
            findings.push(Finding::new(Code::SelfLocking, path.at, message));
        }
    }
}

fn paths(rule: &RuleSource, findings: &mut Vec<Finding>) {
    for path in &rule.raw.paths {
        let text = path.value.as_str();
        if known::DIRECTORIES.contains(&text) {
            let message = format!(
                "{text} is a directory: rule \"{}\" is on opening it, not on what lies in it",
                rule.name()
            );
            findings.push(Finding::new(Code::DirectoryPath, path.at, message));
        }
        if let Some(why) = known::volatile(text) {
            let message = format!(
                "{text}: {why}; rule \"{}\" is on the one that was there when the policy was loaded",
                rule.name()
            );
            findings.push(Finding::new(Code::VolatilePath, path.at, message));
        }
    }
}
