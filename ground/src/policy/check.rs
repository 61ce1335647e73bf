//! What the words of a source mean, and what is wrong with one that means nothing.

use std::collections::BTreeMap;

use aegis_policy::{Action, Mode, Operation, Operations, limits, names};

use super::place::{At, SourceError};
use super::resolve::RuleSource;
use super::source::{RawRule, Read, Text, suggest};

const MODES: &[&str] = &["audit", "enforce"];
const ACTIONS: &[&str] = &["audit", "deny"];
const OPERATIONS: &[&str] = &["open", "open-read", "open-write", "exec"];

/// A policy's mode.
pub(super) fn mode(text: &Text) -> Read<Mode> {
    Ok(if one_of(text, "mode", MODES)? == "enforce" { Mode::Enforce } else { Mode::Audit })
}

/// A policy's name.
pub(super) fn policy_name(name: &Text) -> Read<String> {
    if names::is_policy_name(&name.value) {
        return Ok(name.value.clone());
    }
    let message = format!("bad policy name \"{}\": 1 to {} of a-z, 0-9, -", name.value, limits::NAME_BYTES);
    Err(SourceError::new(name.at, message))
}

/// Why a name is bad that is to be like a rule's.
pub(super) fn bad_rule_name(what: &str, name: &str) -> String {
    format!("bad {what} name \"{name}\": 1 to {} of a-z, 0-9, -", limits::RULE_NAME_BYTES)
}

/// A rule whose words all mean something. `indexes` are those of the workloads.
pub(super) fn rule(raw: RawRule, used: Option<At>, indexes: &BTreeMap<&str, u16>) -> Read<RuleSource> {
    if !names::is_rule_name(&raw.name.value) {
        return Err(SourceError::new(raw.name.at, bad_rule_name("rule", &raw.name.value)));
    }
    let workloads = match &raw.workloads {
        Some(list) => selection(list, indexes)?,
        None => (1..=indexes.len() as u16).collect(),
    };
    let action = if one_of(&raw.action, "action", ACTIONS)? == "deny" { Action::Deny } else { Action::Audit };
    let mut operations = Operations::default();
    for item in &raw.operations {
        operations = meant(one_of(item, "operation", OPERATIONS)?).fold(operations, Operations::with);
    }
    for path in &raw.paths {
        if !names::is_path(&path.value) {
            return Err(SourceError::new(path.at, bad_path(&path.value)));
        }
    }
    if let Some(more) = raw.tags.get(limits::TAGS) {
        return Err(SourceError::new(more.at, format!("more than {} tags", limits::TAGS)));
    }
    if let Some(tag) = raw.tags.iter().find(|tag| !names::is_tag(&tag.value)) {
        let rule = format!("1 to {} of A-Z, a-z, 0-9, ., _, -, :", limits::TAG_BYTES);
        return Err(SourceError::new(tag.at, format!("bad tag \"{}\": {rule}", tag.value)));
    }
    Ok(RuleSource { raw, used, action, operations, workloads })
}

/// The operations that a word of the language stands for.
pub(super) fn meant(word: &str) -> impl Iterator<Item = Operation> {
    Operation::ALL.into_iter().filter(move |operation| {
        operation.name() == word || (word == "open" && *operation != Operation::Exec)
    })
}

fn selection(list: &[Text], indexes: &BTreeMap<&str, u16>) -> Read<Vec<u16>> {
    let mut selected = Vec::new();
    for name in list {
        let Some(index) = indexes.get(name.value.as_str()) else {
            let declared: Vec<&str> = indexes.keys().copied().collect();
            let message =
                format!("workload \"{}\" is not declared{}", name.value, suggest(&name.value, &declared));
            return Err(SourceError::new(name.at, message));
        };
        selected.push(*index);
    }
    selected.sort_unstable();
    selected.dedup();
    Ok(selected)
}

fn one_of(text: &Text, what: &str, known: &'static [&'static str]) -> Read<&'static str> {
    known.iter().copied().find(|known| *known == text.value).ok_or_else(|| {
        let message = format!("unknown {what} \"{}\"{}", text.value, suggest(&text.value, known));
        SourceError::new(text.at, message)
    })
}

/// Why a rule is one too many.
pub(super) fn too_many(rule: &Text) -> SourceError {
    let (rules, entries) = (limits::RULES, limits::ENTRIES);
    let message = format!(
        "rule \"{}\" is more than the kernel's map holds: at most {rules} rules and {entries} paths x workloads in all; split the policy",
        rule.value,
    );
    SourceError::new(rule.at, message)
}

/// Why a path is bad, by the first thing that is.
fn bad_path(path: &str) -> String {
    let mend = if !path.starts_with('/') {
        "write it from the root, with a leading /"
    } else if path.len() > limits::PATH_BYTES {
        "it is longer than 255 bytes"
    } else if path.len() > 1 && path.ends_with('/') {
        "leave out the / at the end; a rule is on the one file of that name"
    } else if path.chars().any(char::is_control) {
        "it has a control character"
    } else {
        "write it without empty, . and .. parts"
    };
    format!("bad path \"{path}\": {mend}")
}
