//! The one pass that checks a compiled policy whole.

use crate::model::{Action, Mode, Operations};
use crate::view::Policy;
use crate::wire::{FORMAT, Head, RuleHead, take, take_str};
use crate::{PolicyError, limits, names};

impl<'a> Policy<'a> {
    /// Reads the one policy that `bytes` is. One pass, linear in the length, plus one quadratic in the number of
    /// workloads.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, PolicyError> {
        if bytes.len() > limits::POLICY_BYTES {
            return Err(PolicyError::TooLarge);
        }
        // The format byte first: another format may have another shape behind it.
        match bytes.first() {
            Some(&FORMAT) => {}
            Some(_) => return Err(PolicyError::UnsupportedFormat),
            None => return Err(PolicyError::Malformed),
        }
        let (head, workloads) = take::<Head<'_>>(bytes)?;
        let mode = Mode::from_number(head.mode).ok_or(PolicyError::BadValue)?;
        if !names::is_policy_name(head.name) {
            return Err(PolicyError::BadName);
        }
        let workload_count = bounded(head.workloads, limits::WORKLOADS)?;
        let rule_count = bounded(head.rules, limits::RULES)?;
        if workload_count == 0 {
            return Err(PolicyError::Empty);
        }
        let rules = check_workloads(workloads, workload_count)?;
        let mut rest = rules;
        let mut entries = 0usize;
        for _ in 0..rule_count {
            let (more, after) = check_rule(rest, workload_count)?;
            entries = entries.saturating_add(more);
            if entries > limits::ENTRIES {
                return Err(PolicyError::TooMany);
            }
            rest = after;
        }
        if !rest.is_empty() {
            return Err(PolicyError::TrailingBytes);
        }
        Ok(Self {
            name: head.name,
            mode,
            workloads,
            workload_count: workload_count as u16,
            rules,
            rule_count: rule_count as u32,
            entries: entries as u32,
        })
    }
}

fn bounded(count: u32, most: usize) -> Result<usize, PolicyError> {
    match usize::try_from(count) {
        Ok(count) if count <= most => Ok(count),
        _ => Err(PolicyError::TooMany),
    }
}

/// Returns what follows the workloads.
fn check_workloads(bytes: &[u8], count: usize) -> Result<&[u8], PolicyError> {
    let mut rest = bytes;
    for index in 0..count {
        let (pattern, after) = take_str(rest)?;
        if !names::is_workload_pattern(pattern) {
            return Err(PolicyError::BadWorkload);
        }
        let mut before = bytes;
        for _ in 0..index {
            let (other, next) = take_str(before)?;
            if other == pattern {
                return Err(PolicyError::DuplicateWorkload);
            }
            before = next;
        }
        rest = after;
    }
    Ok(rest)
}

/// Returns how many entries the rule takes, and what follows it.
fn check_rule(bytes: &[u8], workload_count: usize) -> Result<(usize, &[u8]), PolicyError> {
    let (head, mut rest) = take::<RuleHead<'_>>(bytes)?;
    if !names::is_rule_name(head.name) {
        return Err(PolicyError::BadName);
    }
    if Action::from_number(head.action).is_none() || Operations::from_bits(head.operations).is_none() {
        return Err(PolicyError::BadValue);
    }
    let selected = check_selection(head.workloads, workload_count)?;
    let paths = bounded(head.paths, limits::ENTRIES)?;
    if paths == 0 {
        return Err(PolicyError::Empty);
    }
    for _ in 0..paths {
        let (path, after) = take_str(rest)?;
        if !names::is_path(path) {
            return Err(PolicyError::BadPath);
        }
        rest = after;
    }
    for _ in 0..bounded(head.tags, limits::TAGS)? {
        let (tag, after) = take_str(rest)?;
        if !names::is_tag(tag) {
            return Err(PolicyError::BadName);
        }
        rest = after;
    }
    Ok((paths.saturating_mul(selected), rest))
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
