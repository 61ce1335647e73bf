//! The encoder: the office's half of the format.

use alloc::vec;
use alloc::vec::Vec;

use serde::Serialize;

use crate::model::{Action, Mode, Operations};
use crate::view::Policy;
use crate::wire::{FORMAT, Head, RuleHead};
use crate::{PolicyError, limits};

/// A policy to compile.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// See [`Policy::name`].
    pub name: &'a str,
    /// See [`Policy::mode`].
    pub mode: Mode,
    /// Patterns; the first one gets index 1.
    pub workloads: Vec<&'a str>,
    /// Rules; the first one gets index 0.
    pub rules: Vec<SourceRule<'a>>,
}

/// A rule to compile.
#[derive(Clone, Debug)]
pub struct SourceRule<'a> {
    /// See [`crate::Rule::name`].
    pub name: &'a str,
    /// See [`crate::Rule::action`].
    pub action: Action,
    /// See [`crate::Rule::operations`].
    pub operations: Operations,
    /// Indexes of workloads, from 1, in any order.
    pub workloads: Vec<u16>,
    /// Paths.
    pub paths: Vec<&'a str>,
    /// Tags.
    pub tags: Vec<&'a str>,
}

/// Compiles a policy. What comes out has been decoded again: nothing is compiled that the device would refuse.
///
/// # Errors
/// See [`PolicyError`].
pub fn compile(source: &Source<'_>) -> Result<Vec<u8>, PolicyError> {
    let mut out = Vec::new();
    put(
        &mut out,
        &Head {
            format: FORMAT,
            mode: source.mode.number(),
            name: source.name,
            workloads: count(source.workloads.len())?,
            rules: count(source.rules.len())?,
        },
    )?;
    for pattern in &source.workloads {
        put(&mut out, pattern)?;
    }
    for rule in &source.rules {
        let mut selection = vec![0; source.workloads.len().div_ceil(8)];
        for index in &rule.workloads {
            let bit = usize::from(*index).checked_sub(1).ok_or(PolicyError::BadValue)?;
            *selection.get_mut(bit / 8).ok_or(PolicyError::BadValue)? |= 1 << (bit % 8);
        }
        put(
            &mut out,
            &RuleHead {
                name: rule.name,
                action: rule.action.number(),
                operations: rule.operations.bits(),
                workloads: &selection,
                paths: count(rule.paths.len())?,
                tags: count(rule.tags.len())?,
            },
        )?;
        for text in rule.paths.iter().chain(&rule.tags) {
            put(&mut out, text)?;
        }
        if out.len() > limits::POLICY_BYTES {
            return Err(PolicyError::TooLarge);
        }
    }
    Policy::decode(&out)?;
    Ok(out)
}

fn count(length: usize) -> Result<u32, PolicyError> {
    u32::try_from(length).map_err(|_| PolicyError::TooMany)
}

fn put<T: Serialize>(out: &mut Vec<u8>, piece: &T) -> Result<(), PolicyError> {
    *out = postcard::to_extend(piece, core::mem::take(out)).map_err(|_| PolicyError::Malformed)?;
    Ok(())
}
