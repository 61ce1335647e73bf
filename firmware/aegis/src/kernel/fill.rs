//! A rule set into the idle set's maps: what is there already stays, the rest is removed or written, and all of it is read
//! back.

use std::collections::BTreeMap;

use aegis_policy::Policy;
use aegis_probes::abi::{self, Entry, Hash, HashKey, NameKey, Net, NetKey, ObjectKey, RuleName, Ruleset};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::KernelError;
use super::rules::RuleSet;
use super::state::pin;
use super::sys::{Bulk, Elements, Map};

pub(super) type Rules = Map<ObjectKey, Entry>;

/// The maps of one set.
pub(super) struct SetMaps {
    set: usize,
}

/// `name_0` or `name_1`.
fn open<K, V>(name: &str, set: usize) -> Result<Map<K, V>, KernelError>
where
    K: IntoBytes + FromBytes + Immutable,
    V: IntoBytes + FromBytes + Immutable,
{
    Map::open(&pin(&format!("{name}_{set}"))).map_err(KernelError::NotLoaded)
}

pub(super) fn open_rules(set: usize) -> Result<Rules, KernelError> {
    open("rules", set)
}

pub(super) fn open_hashes(set: usize) -> Result<Map<HashKey, Hash>, KernelError> {
    open("hashes", set)
}

/// A key of the self-test's own rules, which no policy touches.
fn is_own(key: &[u8]) -> bool {
    ObjectKey::read_from_bytes(key).is_ok_and(|key| key.ruleset == abi::RULESET_SELFTEST)
}

fn is_own_hash(key: &[u8]) -> bool {
    HashKey::read_from_bytes(key).is_ok_and(|key| key.ruleset == abi::RULESET_SELFTEST)
}

impl SetMaps {
    pub(super) const fn of(set: usize) -> Self {
        Self { set }
    }

    /// Makes the maps hold exactly this, and the self-test's. Returns how many entries files have.
    pub(super) fn fill(&self, rules: &RuleSet) -> Result<u32, KernelError> {
        let set = self.set;
        let entry = size_of::<Entry>();
        exactly("rules", set, &bytes(&rules.objects), [size_of::<ObjectKey>(), entry], is_own)?;
        exactly("names", set, &bytes(&rules.names), [size_of::<NameKey>(), entry], |_| false)?;
        exactly("nets", set, &bytes(&rules.nets), [size_of::<NetKey>(), size_of::<Net>()], |_| false)?;
        exactly(
            "hashes",
            set,
            &bytes(&rules.hashes),
            [size_of::<HashKey>(), size_of::<Hash>()],
            is_own_hash,
        )?;
        let map: Map<u32, Ruleset> = open("rulesets", set)?;
        let fail = |error| KernelError::object("rulesets")(error);
        for (index, ruleset) in (0u32..).zip(&rules.rulesets) {
            // The self-test's rule set has no rules but its own objects.
            map.set(&index, ruleset).map_err(fail)?;
        }
        for (index, ruleset) in (0u32..).zip(&rules.rulesets) {
            if map.get(&index).map_err(fail)?.as_ref() != Some(ruleset) {
                return Err(KernelError::ReadBack { expected: rules.rulesets.len(), found: index as usize });
            }
        }
        let entries = rules.objects.len().max(rules.names.len());
        u32::try_from(entries).map_err(|_| KernelError::ReadBack { expected: entries, found: 0 })
    }

    /// What the programs counted towards the deadman's fall is forgotten. A policy without one is not counted for.
    pub(super) fn raise_deadman(&self, policy: &Policy<'_>) -> Result<(), KernelError> {
        if policy.deadman().is_none() {
            return Ok(());
        }
        let map: Map<u32, Ruleset> = open("rulesets", self.set)?;
        let fail = |error| KernelError::object("rulesets")(error);
        for index in policy.workloads().map(|workload| u32::from(workload.index)) {
            let Some(found) = map.get(&index).map_err(fail)? else { continue };
            if found.deadman_begun != 0 || found.deadman_count != 0 || found.deadman_fell != 0 {
                let fresh = Ruleset { deadman_begun: 0, deadman_count: 0, deadman_fell: 0, ..found };
                map.set(&index, &fresh).map_err(fail)?;
            }
        }
        Ok(())
    }

    /// The rules' names, NUL padded. Longer ones can't be: the policy's limit is as low.
    pub(super) fn name<'n>(&self, names: impl Iterator<Item = (u32, &'n [u8])>) -> Result<(), KernelError> {
        let map: Map<u32, RuleName> = open("rule_names", self.set)?;
        for (index, name) in names {
            let mut padded = [0; abi::RULE_NAME_MAX];
            for (to, byte) in padded.iter_mut().zip(name) {
                *to = *byte;
            }
            map.set(&index, &RuleName { name: padded }).map_err(KernelError::object("rule_names"))?;
        }
        Ok(())
    }
}

/// The elements of a map as they lie in memory: one way to fill all of them.
fn bytes<K: IntoBytes + Immutable, V: IntoBytes + Immutable>(map: &BTreeMap<K, V>) -> Elements {
    collected(&mut map.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())))
}

/// Once for all types: what sorts them on the way is 5 KiB of the program.
fn collected(elements: &mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Elements {
    elements.collect()
}

/// Makes a map hold exactly `wanted`, besides what is not its business, and reads it back.
fn exactly(
    name: &str,
    set: usize,
    wanted: &Elements,
    sizes: [usize; 2],
    keep: fn(&[u8]) -> bool,
) -> Result<(), KernelError> {
    let name = format!("{name}_{set}");
    let fail = |error| KernelError::object(&name)(error);
    let map = Bulk::open(&pin(&name), sizes[0], sizes[1]).map_err(KernelError::NotLoaded)?;
    let read = || {
        map.all().map(|mut found| {
            found.retain(|key, _| !keep(key));
            found
        })
    };
    let there = read().map_err(fail)?;
    for key in there.keys().filter(|key| !wanted.contains_key(*key)) {
        map.remove(key).map_err(fail)?;
    }
    let fresh: Vec<(&[u8], &[u8])> = wanted
        .iter()
        .filter(|(key, value)| there.get(*key) != Some(*value))
        .map(|(key, value)| (key.as_slice(), value.as_slice()))
        .collect();
    map.set(&fresh).map_err(fail)?;
    let found = read().map_err(fail)?;
    if found == *wanted {
        Ok(())
    } else {
        Err(KernelError::ReadBack { expected: wanted.len(), found: found.len() })
    }
}
