//! The encoder: the office's half of the format.

use alloc::vec;
use alloc::vec::Vec;

use serde::Serialize;

use aegis_event::Severity;

use crate::alert::{Condition, Outputs, Relation, Way};
use crate::model::{Argv, Effect, Kind, Mode, Operations};
use crate::net::Prefix;
use crate::view::{Deadman, Policy};
use crate::wire::{Format, Head, RuleHead, WorkloadHead};
use crate::{PolicyError, limits};

/// A policy to compile.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// See [`Policy::name`].
    pub name: &'a str,
    /// See [`Policy::mode`].
    pub mode: Mode,
    /// See [`Policy::self_protection`].
    pub self_protection: bool,
    /// See [`Policy::argv`].
    pub argv: Argv,
    /// See [`Policy::deadman`].
    pub deadman: Option<Deadman>,
    /// Workloads; the first one gets index 1.
    pub workloads: Vec<SourceWorkload<'a>>,
    /// Rules; the first one gets index 0.
    pub rules: Vec<SourceRule<'a>>,
    /// Alerts.
    pub alerts: Vec<SourceAlert<'a>>,
}

/// An alert to compile. See [`crate::Alert`].
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "those of crate::Alert")]
pub struct SourceAlert<'a> {
    pub name: &'a str,
    pub severity: Severity,
    pub metric: &'a str,
    pub relation: Option<(Relation, &'a str)>,
    pub matches: Vec<SourceMatch<'a>>,
    pub condition: Condition,
    pub hold: u32,
    pub clear_hold: u32,
    pub outputs: Outputs,
    pub meaning: &'a str,
    pub mend: &'a str,
}

/// What a label must be, or must not. See [`crate::Match`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "those of crate::Match")]
pub struct SourceMatch<'a> {
    pub label: &'a str,
    pub except: bool,
    pub values: Vec<&'a str>,
}

/// A workload to compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceWorkload<'a> {
    /// See [`crate::Workload::pattern`].
    pub pattern: &'a str,
    /// See [`crate::Workload::rate`].
    pub rate: Option<u32>,
}

/// A rule to compile. Nothing is added to it: what a word of the language implies is its reader's to say.
#[derive(Clone, Debug)]
pub struct SourceRule<'a> {
    /// See [`crate::Rule::name`].
    pub name: &'a str,
    /// See [`crate::Rule::effect`]; in mode enforce.
    pub effect: Effect,
    /// See [`crate::Rule::operations`].
    pub operations: Operations,
    /// Indexes of workloads, from 1, in any order.
    pub workloads: Vec<u16>,
    /// See [`crate::Rule::target`].
    pub target: SourceTarget<'a>,
    /// Tags.
    pub tags: Vec<&'a str>,
}

/// What a rule to compile is on. See [`crate::Target`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceTarget<'a> {
    /// Files.
    Files {
        /// Exactly these.
        paths: Vec<&'a str>,
        /// These directories, and all that lies below them.
        trees: Vec<&'a str>,
    },
    /// Addresses; each in any order, and what is in another is left out.
    Addresses {
        /// None: every address of both families.
        prefixes: Vec<Prefix>,
        /// First and last; none: all.
        ports: Vec<(u16, u16)>,
        /// None, or 0 among them: any.
        protocols: Vec<u8>,
    },
    /// SHA-256 digests of programs, in any order.
    Hashes(Vec<[u8; 32]>),
    /// The kernel's own surface.
    Surface,
}

impl<'a> From<&'a str> for SourceWorkload<'a> {
    /// Without a limit.
    fn from(pattern: &'a str) -> Self {
        Self { pattern, rate: None }
    }
}

impl<'a> SourceTarget<'a> {
    /// Files by path alone.
    pub fn paths(paths: &[&'a str]) -> Self {
        Self::Files { paths: paths.to_vec(), trees: Vec::new() }
    }

    /// Directories and all that lies below them.
    pub fn trees(trees: &[&'a str]) -> Self {
        Self::Files { paths: Vec::new(), trees: trees.to_vec() }
    }

    /// The same in its one form: ascending, without what is twice or within another, and all where nothing is said.
    #[must_use]
    pub fn one_form(self) -> Self {
        match self {
            Self::Addresses { prefixes, ports, protocols } => Self::Addresses {
                prefixes: outermost(&prefixes),
                ports: ranges(&ports),
                protocols: numbers(&protocols),
            },
            Self::Hashes(mut hashes) => {
                hashes.sort_unstable();
                hashes.dedup();
                Self::Hashes(hashes)
            }
            other => other,
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Files { .. } => Kind::Files,
            Self::Addresses { .. } => Kind::Addresses,
            Self::Hashes(_) => Kind::Hashes,
            Self::Surface => Kind::Surface,
        }
    }

    fn write(self, out: &mut Vec<u8>) -> Result<(), PolicyError> {
        match self.one_form() {
            Self::Files { paths, trees } => {
                put(out, &(count(paths.len())?, count(trees.len())?))?;
                paths.iter().chain(&trees).try_for_each(|path| put(out, path))
            }
            Self::Addresses { prefixes, ports, protocols } => {
                put(out, &(count(prefixes.len())?, count(ports.len())?, count(protocols.len())?))?;
                for prefix in &prefixes {
                    put(out, &(prefix.family.number(), prefix.bits))?;
                    out.extend_from_slice(&prefix.address[..usize::from(prefix.family.bits() / 8)]);
                }
                ports.iter().try_for_each(|range| put(out, range))?;
                protocols.iter().try_for_each(|protocol| put(out, protocol))
            }
            Self::Hashes(hashes) => {
                put(out, &count(hashes.len())?)?;
                hashes.iter().try_for_each(|hash| put(out, hash))
            }
            Self::Surface => Ok(()),
        }
    }
}

/// Ascending, none within another; every address when there are none.
fn outermost(prefixes: &[Prefix]) -> Vec<Prefix> {
    if prefixes.is_empty() {
        return vec![Prefix::INET, Prefix::INET6];
    }
    let mut all: Vec<Prefix> =
        prefixes.iter().map(|prefix| Prefix::new(prefix.first(), prefix.bits)).collect();
    all.sort_unstable();
    all.dedup_by(|after, before| before.contains(after));
    all
}

/// Ascending, with room between them; all when there are none.
fn ranges(ports: &[(u16, u16)]) -> Vec<(u16, u16)> {
    if ports.is_empty() {
        return vec![(0, u16::MAX)];
    }
    let mut all = ports.to_vec();
    all.sort_unstable();
    all.dedup_by(|after, before| {
        let meet = u32::from(after.0) <= u32::from(before.1) + 1;
        if meet {
            before.1 = before.1.max(after.1);
        }
        meet
    });
    all
}

/// Ascending; any when there are none.
fn numbers(protocols: &[u8]) -> Vec<u8> {
    if protocols.is_empty() || protocols.contains(&0) {
        return vec![0];
    }
    let mut all = protocols.to_vec();
    all.sort_unstable();
    all.dedup();
    all
}

/// Compiles a policy. What comes out has been decoded again: nothing is compiled that the device would refuse.
///
/// # Errors
/// See [`PolicyError`].
pub fn compile(source: &Source<'_>) -> Result<Vec<u8>, PolicyError> {
    let mut out = Vec::new();
    let (deadman_denials, deadman_seconds) =
        source.deadman.map_or((0, 0), |deadman| (deadman.denials, deadman.seconds));
    let format = if source.alerts.is_empty() { Format::Two } else { Format::Three };
    let head = Head {
        format: format.number(),
        mode: source.mode.number(),
        name: source.name,
        flags: u8::from(source.self_protection) | source.argv.number() << 1,
        deadman_denials,
        deadman_seconds,
        workloads: count(source.workloads.len())?,
        rules: count(source.rules.len())?,
    };
    put(&mut out, &head)?;
    if let alerts @ 1.. = count(source.alerts.len())? {
        put(&mut out, &alerts)?;
    }
    for workload in &source.workloads {
        // A rate of 0 would be none at all.
        if workload.rate == Some(0) {
            return Err(PolicyError::BadValue);
        }
        put(&mut out, &WorkloadHead { pattern: workload.pattern, rate: workload.rate.unwrap_or(0) })?;
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
                effect: rule.effect.number(),
                operations: rule.operations.bits(),
                workloads: &selection,
                kind: rule.target.kind().number(),
                tags: count(rule.tags.len())?,
            },
        )?;
        rule.target.clone().write(&mut out)?;
        for tag in &rule.tags {
            put(&mut out, tag)?;
        }
        if out.len() > limits::POLICY_BYTES {
            return Err(PolicyError::TooLarge);
        }
    }
    for alert in &source.alerts {
        put_alert(&mut out, alert)?;
    }
    Policy::decode(&out)?;
    Ok(out)
}

fn put_alert(out: &mut Vec<u8>, alert: &SourceAlert<'_>) -> Result<(), PolicyError> {
    let (condition, threshold, clear, seconds) = match alert.condition {
        Condition::Above { threshold, clear } => (1_u8, threshold, clear, 0),
        Condition::Below { threshold, clear } => (2, threshold, clear, 0),
        Condition::Moved { way, threshold, clear, seconds } => {
            let number = match way {
                Way::Increase { kept: false } => 3,
                Way::Increase { kept: true } => 4,
                Way::Decrease => 5,
                Way::Change => 6,
            };
            (number, threshold, clear, seconds)
        }
        Condition::Absent => (7, 0, 0, 0),
        Condition::Unmoved { seconds } => (8, 0, 0, seconds),
    };
    let (relation, other) = alert.relation.map_or((0_u8, ""), |(relation, other)| (relation as u8, other));
    let texts = (alert.name, alert.severity.number(), alert.metric, relation, other);
    put(out, &texts)?;
    put(out, &(condition, threshold, clear, seconds, alert.hold, alert.clear_hold, alert.outputs.bits()))?;
    put(out, &(alert.meaning, alert.mend, count(alert.matches.len())?))?;
    for of in &alert.matches {
        let values = count(of.values.len())?;
        put(out, &(of.label, of.except, values))?;
        for value in &of.values {
            put(out, value)?;
        }
    }
    Ok(())
}

fn count(length: usize) -> Result<u32, PolicyError> {
    u32::try_from(length).map_err(|_| PolicyError::TooMany)
}

fn put<T: Serialize>(out: &mut Vec<u8>, piece: &T) -> Result<(), PolicyError> {
    *out = postcard::to_extend(piece, core::mem::take(out)).map_err(|_| PolicyError::Malformed)?;
    Ok(())
}
