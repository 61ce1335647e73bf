//! What one rule shows by itself, and by what else is said of the same.

use std::collections::BTreeSet;

use aegis_policy::{Effect, Mode, Operation, Policy, Prefix};

use super::denial::Denials;
use super::known::{self, Form};
use super::{Code, Finding, Fix};
use crate::policy::Compiled;
use crate::policy::check::meant;
use crate::policy::decisions::Decisions;
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
    if let Some(at) = policy.deadman_at.filter(|_| policy.mode == Mode::Enforce) {
        let message = "a workload can make the deadman fall by being denied on purpose, and then its rules deny nothing until the next policy; \
                       it is for the first days of a policy";
        findings.push(Finding::new(Code::DeadmanFalls, at, message.to_owned()));
    }
    for template in &policy.unused_templates {
        let message = format!("nothing uses template \"{}\"", template.value);
        findings.push(Finding::new(Code::UnusedTemplate, template.at, message));
    }
    for parameter in &policy.unused_parameters {
        let message = format!("no rule has a gap ${{{}}}", parameter.value);
        findings.push(Finding::new(Code::UnusedParameter, parameter.at, message));
    }
    open_site(policy, &decisions, &mut findings);
    unused_workloads(policy, &mut findings);
    let denials = Denials::of(policy, &decisions);
    for rule in &policy.rules {
        duplicates(rule, &mut findings);
        contained(rule, &mut findings);
        duplicate_operations(rule, &mut findings);
        tags(rule, &mut findings);
        denials.look(rule, &mut findings);
        overrides(rule, &mut findings);
        paths(rule, &mut findings);
        literal_paths(rule, &mut findings);
        hashes(rule, &mut findings);
    }
    alerts(policy, &mut findings);
    findings
}

fn alerts(policy: &PolicySource, findings: &mut Vec<Finding>) {
    for alert in &policy.alerts {
        let name = &alert.name;
        for list in alert.lists() {
            let mut seen = BTreeSet::new();
            for item in list.iter().filter(|item| !seen.insert(item.value.as_str())) {
                let message = format!("alert \"{}\" lists {} twice", name.value, item.value);
                let finding = Finding::new(Code::DuplicateOutput, item.at, message);
                findings.push(finding.with(alert.at.file == 0, Fix::Item(item.at)));
            }
        }
        if alert.outputs.is_empty() {
            let message = format!("alert \"{}\" has no outputs: nobody is told", name.value);
            findings.push(Finding::new(Code::SilentAlert, name.at, message));
        }
        if alert.flaps() {
            let message = format!(
                "alert \"{}\" fires and is over with each look at which its figure is on the other side: give it clear, for or clear-for",
                name.value
            );
            findings.push(Finding::new(Code::FlappingAlert, name.at, message));
        }
    }
}

/// A fix may touch what stands once in the file that is linted, and is not a template's.
pub(super) fn mendable(rule: &RuleSource) -> bool {
    rule.raw.at.file == 0 && rule.used.is_none()
}

/// Without a rule that says otherwise a workload has the device's network, and with a site the device has one.
fn open_site(policy: &PolicySource, decisions: &Decisions<'_>, findings: &mut Vec<Finding>) {
    let Some(site) = &policy.site else { return };
    let reached = Thing::Net { prefix: site.value.reached(), ports: (0, u16::MAX), protocol: None };
    let open: Vec<&str> = decisions
        .policy
        .workloads()
        .filter(|workload| decisions.winner(workload.index, &reached, Operation::Connect).is_none())
        .map(|workload| workload.pattern)
        .collect();
    let Some((first, more)) = open.split_first() else { return };
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    let message = format!(
        "nothing is said of what \"{first}\"{more} may connect to on the plant's network, so they may connect to all of it; \
         deny `connect` to its addresses, or allow it by a rule"
    );
    findings.push(Finding::new(Code::OpenSite, site.at, message));
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

/// Paths that look as if they stood for others: none does.
fn literal_paths(rule: &RuleSource, findings: &mut Vec<Finding>) {
    for path in rule.raw.paths.iter().chain(&rule.raw.trees) {
        let text = path.value.as_str();
        let blank = text.ends_with(char::is_whitespace);
        let what = match text.chars().find(|c| matches!(c, '*' | '?' | '[' | '{' | '$')) {
            Some(c) => {
                format!("\"{c}\" is a character of a name: name each file, or the directory with `trees`")
            }
            None if blank => "the blank at its end is a character of a name: leave it out".to_owned(),
            None => continue,
        };
        let message = format!("\"{text}\": a path is taken as it is written, and {what}");
        findings.push(Finding::new(Code::LiteralPath, path.at, message));
    }
}

fn hashes(rule: &RuleSource, findings: &mut Vec<Finding>) {
    if let Some(first) = rule.raw.hashes.first() {
        let message = format!(
            "rule \"{}\" needs a kernel that measures programs (IMA with SHA-256, Linux 6.2 or a 6.1 of today; our own kernel does): any \
             other device refuses the whole policy (hash-unsupported); --kernel and --no-ima make that an error",
            rule.name()
        );
        findings.push(Finding::new(Code::HashSupport, first.at, message));
    }
}
