//! What is allowed, and still looks like a mistake.

use std::collections::{BTreeMap, BTreeSet};

use aegis_policy::{Action, Mode, Operation};

use super::source::{Placed, PolicySource};

/// A warning and its line.
pub(crate) type Warning = Placed<String>;

/// Looks a policy over. Warnings come in line order.
pub(crate) fn lint(policy: &PolicySource) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if policy.mode == Mode::Audit
        && let Some(rule) = policy.rules.iter().find(|rule| rule.value.action == Action::Deny)
    {
        let message = format!("rule \"{}\" denies nothing: the policy's mode is audit", rule.value.name);
        warnings.push(Placed { line: rule.line, value: message });
    }
    unreached(policy, &mut warnings);
    warnings.sort_by_key(|warning| warning.line);
    warnings
}

/// Paths of a rule that never decide anything, since other rules decide first everywhere.
fn unreached(policy: &PolicySource, warnings: &mut Vec<Warning>) {
    // Who wins, by the same order as `aegis_policy::Slot`: deny first, then the earlier rule.
    let mut winners: BTreeMap<(u16, &str, usize), (bool, usize)> = BTreeMap::new();
    let places = |index: usize| {
        let rule = &policy.rules[index].value;
        rule.paths.iter().flat_map(move |path| {
            rule.workloads.iter().flat_map(move |workload| {
                rule.operations.iter().map(move |operation: Operation| {
                    (path, (*workload, path.value.as_str(), operation.index()))
                })
            })
        })
    };
    for (index, rule) in policy.rules.iter().enumerate() {
        let rank = (rule.value.action != Action::Deny, index);
        for (_, place) in places(index) {
            winners.entry(place).and_modify(|best| *best = rank.min(*best)).or_insert(rank);
        }
    }
    for (index, rule) in policy.rules.iter().enumerate() {
        let mut seen: BTreeMap<&str, (usize, bool, usize)> = BTreeMap::new();
        for (path, place) in places(index) {
            let by = winners[&place].1;
            let entry = seen.entry(&path.value).or_insert((path.line, false, by));
            entry.1 |= by == index;
        }
        for (path, (line, decides, by)) in seen {
            if !decides {
                let other = &policy.rules[by].value.name;
                let message =
                    format!("rule \"{}\" never decides on {path}: rule \"{other}\" does", rule.value.name);
                warnings.push(Placed { line, value: message });
            }
        }
        let mut listed = BTreeSet::new();
        for path in &rule.value.paths {
            if !listed.insert(&path.value) {
                let message = format!("rule \"{}\" lists {} twice", rule.value.name, path.value);
                warnings.push(Placed { line: path.line, value: message });
            }
        }
    }
}
