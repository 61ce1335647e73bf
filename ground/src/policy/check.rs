//! What the words of a source mean, and what is wrong with one that means nothing.

use std::collections::BTreeMap;

use aegis_policy::{Action, Argv, Effect, Kind, Mode, Operation, Operations, limits, names};

use super::limits as bounds;
use super::place::{At, SourceError};
use super::resolve::RuleSource;
use super::source::{RawRule, Read, Text, suggest};
use super::target;

const MODES: &[&str] = &["audit", "enforce"];
/// A policy that leaves it to the configuration says nothing.
const ARGVS: &[&str] = &[Argv::Secrets.name(), Argv::Program.name()];
const ACTIONS: &[&str] = &["allow", "audit", "deny"];
/// Every word for operations, on whatever.
pub(super) const OPERATIONS: &[&str] = &[
    "open",
    "open-read",
    "open-write",
    "exec",
    "change",
    "connect",
    "bind",
    "ptrace",
    "module-load",
    "bpf",
    "mount",
];

/// What may be recorded of arguments at most.
pub(super) fn argv(text: &Text) -> Read<Argv> {
    let name = one_of(text, "argv", ARGVS)?;
    Ok(if name == Argv::Program.name() { Argv::Program } else { Argv::Secrets })
}

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
    if name.starts_with(names::OWN_RULES) {
        return format!(
            "bad {what} name \"{name}\": {}… is what Aegis's own rules are called",
            names::OWN_RULES
        );
    }
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
    let effect = effect(&raw)?;
    if let Some(more) = raw.operations.get(bounds::OPERATIONS) {
        let message = format!("more than {} operations; each is needed once", bounds::OPERATIONS);
        return Err(SourceError::new(more.at, message));
    }
    for word in &raw.operations {
        one_of(word, "operation", OPERATIONS)?;
    }
    let kind = target::kind(&raw)?;
    let mut operations = Operations::NONE;
    for word in &raw.operations {
        operations = of_kind(word, kind)?.fold(operations, Operations::with);
    }
    // What is denied is held in its place.
    if kind == Kind::Files && effect.action() == Action::Deny {
        operations = operations.with(Operation::Change);
    }
    for path in raw.paths.iter().chain(&raw.trees) {
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
    let on = target::on(&raw, kind)?;
    Ok(RuleSource { raw, used, effect, operations, workloads, on })
}

/// What a rule's action, mode and override come to in a policy that enforces.
fn effect(raw: &RawRule) -> Read<Effect> {
    let action = one_of(&raw.action, "action", ACTIONS)?;
    if let Some(mode) = raw.mode.as_ref().filter(|_| action != "deny") {
        let message =
            format!("\"mode\" is for deny rules: it tries one out; leave it out of one that says {action}");
        return Err(SourceError::new(mode.at, message).also(raw.action.at, "the action"));
    }
    if let Some(overrides) = raw.overrides.as_ref().filter(|_| action != "allow") {
        let message =
            format!("\"override\" is for allow rules: it beats deny; leave it out of one that says {action}");
        return Err(SourceError::new(overrides.at, message).also(raw.action.at, "the action"));
    }
    Ok(match action {
        "audit" => Effect::Audit,
        "allow" if raw.overrides.as_ref().is_some_and(|overrides| overrides.value) => Effect::Override,
        "allow" => Effect::Allow,
        _ => match raw.mode.as_ref().map(mode).transpose()? {
            Some(Mode::Audit) => Effect::Trial,
            Some(Mode::Enforce) | None => Effect::Deny,
        },
    })
}

/// The operations that a word of the language stands for on this kind of thing.
pub(super) fn meant(word: &str, kind: Kind) -> impl Iterator<Item = Operation> {
    let opens = |operation| Operations::OPEN.contains(operation);
    kind.operations()
        .iter()
        .filter(move |operation| operation.name() == word || (word == "open" && opens(*operation)))
}

/// The same, of which there must be some.
pub(super) fn of_kind(word: &Text, kind: Kind) -> Read<impl Iterator<Item = Operation>> {
    let mut found = meant(&word.value, kind).peekable();
    if found.peek().is_some() {
        return Ok(found);
    }
    let on = match kind {
        Kind::Files => "files",
        Kind::Addresses => "addresses",
        Kind::Hashes => "hashes",
        Kind::Surface => "the kernel's own surface",
    };
    let known: Vec<&str> =
        OPERATIONS.iter().copied().filter(|known| meant(known, kind).next().is_some()).collect();
    let message = format!("\"{}\" is no operation on {on}: those are {}", word.value, known.join(", "));
    Err(SourceError::new(word.at, message))
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

pub(super) fn one_of(text: &Text, what: &str, known: &'static [&'static str]) -> Read<&'static str> {
    known.iter().copied().find(|known| *known == text.value).ok_or_else(|| {
        let message = format!("unknown {what} \"{}\"{}", text.value, suggest(&text.value, known));
        SourceError::new(text.at, message)
    })
}

/// Why a rule is one too many.
pub(super) fn too_many(rule: &Text) -> SourceError {
    let (rules, entries) = (limits::RULES, limits::ENTRIES);
    let message = format!(
        "rule \"{}\" is more than the kernel's map holds: at most {rules} rules and {entries} paths and trees x workloads in all; split the policy",
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
        "leave out the / at the end; `trees` is for a directory and all below it"
    } else if path.chars().any(char::is_control) {
        "it has a control character"
    } else {
        "write it without empty, . and .. parts"
    };
    format!("bad path \"{path}\": {mend}")
}
