//! The one pass that checks a compiled policy whole.

use crate::access::Target;
use crate::alert::Alerts;
use crate::list::{Ports, Prefixes, Protocols};
use crate::model::Argv;
use crate::model::Mode;
use crate::view::{Deadman, Policy, Rule, Rules, Sums, Workloads};
use crate::wire::{Format, Head, HeadOne, take};
use crate::{PolicyError, limits, names, nets};

impl<'a> Policy<'a> {
    /// Reads the one policy that `bytes` is, of format 3, 2 or 1. One pass, linear in the length, plus one quadratic in the
    /// number of workloads, and one over the rules on addresses, if there are some, which sorts what they name.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, PolicyError> {
        if bytes.len() > limits::POLICY_BYTES {
            return Err(PolicyError::TooLarge);
        }
        // The format byte first: another format may have another shape behind it.
        let format = Format::from_number(*bytes.first().ok_or(PolicyError::Malformed)?)
            .ok_or(PolicyError::UnsupportedFormat)?;
        let (head, alerts, workloads) = take_head(bytes, format)?;
        let mode = Mode::from_number(head.mode).ok_or(PolicyError::BadValue)?;
        if !names::is_policy_name(head.name) {
            return Err(PolicyError::BadName);
        }
        let workload_count = bounded(head.workloads, limits::WORKLOADS)?;
        bounded(head.rules, limits::RULES)?;
        if workload_count == 0 {
            return Err(PolicyError::Empty);
        }
        let rules = check_workloads(workloads, format, workload_count)?;
        let mut rest = rules;
        let mut sums = Sums::default();
        for index in 0..head.rules {
            let (rule, after) = Rule::take(rest, format, index)?;
            check_rule(&rule, workload_count, &mut sums)?;
            rest = after;
        }
        let alerts = Alerts::decode(alerts, rest)?;
        if sums.nets > 0 {
            nets::check(Rules::new(head.rules, format, rules))?;
        }
        Ok(Self {
            format,
            name: head.name,
            mode,
            self_protection: head.flags & 1 != 0,
            argv: Argv::from_number(head.flags >> 1).ok_or(PolicyError::BadValue)?,
            deadman: deadman(&head)?,
            workloads,
            workload_count: workload_count as u16,
            rules,
            rule_count: head.rules,
            alerts,
            sums,
        })
    }
}

/// The head, how many alerts there are, and what follows.
fn take_head(bytes: &[u8], format: Format) -> Result<(Head<'_>, u32, &[u8]), PolicyError> {
    match format {
        Format::One => {
            let (head, rest) = take::<HeadOne<'_>>(bytes)?;
            let HeadOne { format, mode, name, workloads, rules } = head;
            let (deadman_denials, deadman_seconds) = (0, 0);
            let flags = 1;
            Ok((
                Head { format, mode, name, flags, deadman_denials, deadman_seconds, workloads, rules },
                0,
                rest,
            ))
        }
        Format::Two => take(bytes).map(|(head, rest)| (head, 0, rest)),
        Format::Three => {
            let (head, rest) = take(bytes)?;
            let (alerts, rest) = take(rest)?;
            // Without any it would be format 2.
            if alerts == 0 { Err(PolicyError::NotCanonical) } else { Ok((head, alerts, rest)) }
        }
    }
}

const fn deadman(head: &Head<'_>) -> Result<Option<Deadman>, PolicyError> {
    match (head.deadman_denials, head.deadman_seconds) {
        (0, 0) => Ok(None),
        (denials @ 1.., seconds @ 1..=limits::DEADMAN_SECONDS) => Ok(Some(Deadman { denials, seconds })),
        _ => Err(PolicyError::BadValue),
    }
}

fn bounded(count: u32, most: usize) -> Result<usize, PolicyError> {
    at_most(count as usize, most)
}

const fn at_most(count: usize, most: usize) -> Result<usize, PolicyError> {
    if count <= most { Ok(count) } else { Err(PolicyError::TooMany) }
}

/// Returns what follows the workloads.
fn check_workloads(bytes: &[u8], format: Format, count: usize) -> Result<&[u8], PolicyError> {
    let mut rest = bytes;
    for index in 0..count {
        let (head, after) = Workloads::take(rest, format)?;
        if !names::is_workload_pattern(head.pattern) {
            return Err(PolicyError::BadWorkload);
        }
        let mut before = bytes;
        for _ in 0..index {
            let (other, next) = Workloads::take(before, format)?;
            if other.pattern == head.pattern {
                return Err(PolicyError::DuplicateWorkload);
            }
            before = next;
        }
        rest = after;
    }
    Ok(rest)
}

/// Adds what the rule asks of a device.
fn check_rule(rule: &Rule<'_>, workload_count: usize, sums: &mut Sums) -> Result<(), PolicyError> {
    if !names::is_rule_name(rule.name) {
        return Err(PolicyError::BadName);
    }
    let selected = check_selection(rule.selection, workload_count)?;
    let target = rule.target();
    if !rule.operations.without(target.kind().operations()).is_empty() {
        return Err(PolicyError::BadValue);
    }
    sums.uses = sums.uses.and(rule.operations);
    match target {
        Target::Files { mut paths, mut trees } => {
            let count = at_most(paths.len().saturating_add(trees.len()), limits::ENTRIES)?;
            if count == 0 {
                return Err(PolicyError::Empty);
            }
            if !(paths.all(names::is_path) && trees.all(names::is_path)) {
                return Err(PolicyError::BadPath);
            }
            sums.entries = at_most(sums.entries + count * selected, limits::ENTRIES)?;
        }
        Target::Addresses { prefixes, ports, protocols } => {
            let count = check_prefixes(prefixes)?;
            check_ports(ports)?;
            check_protocols(protocols)?;
            sums.nets = at_most(sums.nets + count * selected, limits::NETS)?;
        }
        Target::Hashes(hashes) => {
            let count = some(hashes.len(), limits::RULE_HASHES)?;
            ascending(hashes, |before, after| before < after)?;
            sums.hashes = at_most(sums.hashes + count * selected, limits::HASHES)?;
        }
        Target::Surface => {}
    }
    at_most(rule.tags().len(), limits::TAGS)?;
    if rule.tags().all(names::is_tag) { Ok(()) } else { Err(PolicyError::BadName) }
}

/// Canonical ones, ascending, none within another: a rule speaks once of what it speaks of.
fn check_prefixes(prefixes: Prefixes<'_>) -> Result<usize, PolicyError> {
    let count = some(prefixes.len(), limits::PREFIXES)?;
    if !prefixes.clone().all(|prefix| prefix.is_canonical()) {
        return Err(PolicyError::BadAddress);
    }
    // Those within a prefix stand right behind it, so that to look at neighbours is enough.
    ascending(prefixes, |before, after| before < after && !before.contains(after))?;
    Ok(count)
}

/// Ascending, with room between them.
fn check_ports(ports: Ports<'_>) -> Result<(), PolicyError> {
    some(ports.len(), limits::PORTS)?;
    if ports.clone().any(|(first, last)| first > last) {
        return Err(PolicyError::BadValue);
    }
    ascending(ports, |before, after| u32::from(before.1) + 1 < u32::from(after.0))
}

/// Ascending; 0 is any, and there is no other beside it.
fn check_protocols(protocols: Protocols<'_>) -> Result<(), PolicyError> {
    some(protocols.len(), limits::PROTOCOLS)?;
    ascending(protocols, |before, after| *before > 0 && before < after)
}

/// At least one, and not too many.
const fn some(count: usize, most: usize) -> Result<usize, PolicyError> {
    if count == 0 { Err(PolicyError::Empty) } else { at_most(count, most) }
}

fn ascending<T>(
    mut items: impl Iterator<Item = T>,
    ordered: impl Fn(&T, &T) -> bool,
) -> Result<(), PolicyError> {
    let Some(mut before) = items.next() else { return Ok(()) };
    for item in items {
        if !ordered(&before, &item) {
            return Err(PolicyError::NotCanonical);
        }
        before = item;
    }
    Ok(())
}

/// Returns how many workloads are selected: at least one, and only ones that exist.
fn check_selection(bits: &[u8], workload_count: usize) -> Result<usize, PolicyError> {
    if bits.len() != workload_count.div_ceil(8) {
        return Err(PolicyError::BadValue);
    }
    let spare = bits.len() * 8 - workload_count;
    let last = bits.last().copied().unwrap_or(0);
    let selected: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
    if u32::from(last).leading_zeros() < 24 + spare as u32 || selected == 0 {
        return Err(PolicyError::BadValue);
    }
    Ok(selected as usize)
}
