//! What never decides, since other rules decide first everywhere. Asked of the compiled policy, not worked out again.

use std::collections::BTreeMap;

use aegis_policy::{Operation, Policy};

use super::look::mendable;
use super::{Code, Finding, Fix};
use crate::policy::Compiled;
use crate::policy::check::meant;
use crate::policy::decisions::Decisions;
use crate::policy::render::quoted;
use crate::policy::resolve::RuleSource;

/// What is known of a path of a rule.
#[derive(Clone, Copy)]
struct OfPath {
    decides: bool,
    /// The rule that decides where this one does not.
    by: usize,
}

pub(super) fn findings(compiled: &Compiled) -> Vec<Finding> {
    let Ok(policy) = Policy::decode(&compiled.bytes) else { return Vec::new() };
    let decisions = Decisions::of(policy);
    let rules = &compiled.source.rules;
    rules.iter().enumerate().flat_map(|(index, _)| of_rule(rules, index, &decisions)).collect()
}

fn of_rule(rules: &[RuleSource], index: usize, decisions: &Decisions<'_>) -> Vec<Finding> {
    let rule = &rules[index];
    let mut paths: BTreeMap<&str, OfPath> = BTreeMap::new();
    let mut by_operation = [None; Operation::ALL.len()];
    for path in &rule.raw.paths {
        let of = paths.entry(&path.value).or_insert(OfPath { decides: false, by: index });
        for workload in &rule.workloads {
            for operation in rule.operations.iter() {
                // A rule that speaks of it has a winner there, itself if no other.
                let by = decisions
                    .decider(*workload, path.value.as_bytes(), operation)
                    .map_or(index, |by| by as usize);
                if by == index {
                    of.decides = true;
                    by_operation[operation.index()] = Some(index);
                } else {
                    of.by = by;
                    by_operation[operation.index()].get_or_insert(by);
                }
            }
        }
    }
    let name = rule.name();
    if paths.values().all(|of| !of.decides) {
        let other = paths.values().next().map_or("", |of| rules[of.by].name());
        let message = format!("rule \"{name}\" never decides anything: rule \"{other}\" does");
        let finding = Finding::new(Code::UnreachableRule, rule.raw.name.at, message);
        return vec![finding.with(mendable(rule), Fix::Table(rule.raw.at))];
    }
    let mut findings = Vec::new();
    for path in &rule.raw.paths {
        // Its second listing, if any, is a finding of its own.
        if let Some(OfPath { decides: false, by }) = paths.remove(path.value.as_str()) {
            let message = format!(
                "rule \"{name}\" never decides on {}: rule \"{}\" does",
                path.value,
                rules[by].name()
            );
            findings.push(
                Finding::new(Code::ShadowedRule, path.at, message).with(mendable(rule), Fix::Item(path.at)),
            );
        }
    }
    for item in &rule.raw.operations {
        let unused = |operation: &Operation| by_operation[operation.index()] != Some(index);
        let Some(first) = meant(&item.value).find(unused) else { continue };
        let by = by_operation[first.index()].map_or("", |by| rules[by].name());
        let names: Vec<&str> = meant(&item.value).filter(unused).map(Operation::name).collect();
        let message = format!("rule \"{name}\" never decides on {}: rule \"{by}\" does", names.join(" and "));
        let left: Vec<String> =
            meant(&item.value).filter(|one| !unused(one)).map(|one| quoted(one.name())).collect();
        let fix = if left.is_empty() { Fix::Item(item.at) } else { Fix::Replace(item.at, left.join(", ")) };
        findings.push(Finding::new(Code::UnusedOperation, item.at, message).with(mendable(rule), fix));
    }
    findings
}
