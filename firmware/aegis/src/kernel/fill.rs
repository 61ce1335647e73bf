//! A rule set into the idle set's maps: what is there already stays, the rest is removed or written, and all of it is read
//! back.

use std::collections::BTreeMap;

use aegis_probes::abi::{self, Entry, Hash, HashKey, NameKey, Net, NetKey, ObjectKey, RuleName, Ruleset};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::KernelError;
use super::rules::RuleSet;
use super::state::pin;
use super::sys::Map;

pub(super) type Rules = Map<ObjectKey, Entry>;

/// The maps of one set.
pub(super) struct SetMaps {
    set: usize,
}

/// `name_0` or `name_1`.
fn open<K, V>(name: &str, set: usize) -> Result<Map<K, V>, KernelError>
where
    K: IntoBytes + FromBytes + Immutable + Ord + Copy,
    V: IntoBytes + FromBytes + Immutable + PartialEq + Copy,
{
    Map::open(&pin(&format!("{name}_{set}"))).map_err(KernelError::NotLoaded)
}

pub(super) fn open_rules(set: usize) -> Result<Rules, KernelError> {
    open("rules", set)
}

/// Where the self-test's own rules are kept, which no policy touches.
const fn is_own(key: &ObjectKey) -> bool {
    key.ruleset == abi::RULESET_SELFTEST
}

impl SetMaps {
    pub(super) const fn of(set: usize) -> Self {
        Self { set }
    }

    /// Makes the maps hold exactly this, and the self-test's. Returns how many entries files have.
    pub(super) fn fill(&self, rules: &RuleSet) -> Result<u32, KernelError> {
        let set = self.set;
        exactly("rules", set, &rules.objects, is_own)?;
        exactly::<NameKey, Entry>("names", set, &rules.names, |_| false)?;
        exactly::<NetKey, Net>("nets", set, &rules.nets, |_| false)?;
        exactly::<HashKey, Hash>("hashes", set, &rules.hashes, |_| false)?;
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

    /// What the programs counted towards the deadman's fall is forgotten.
    pub(super) fn raise_deadman(&self) -> Result<(), KernelError> {
        let map: Map<u32, Ruleset> = open("rulesets", self.set)?;
        let fail = |error| KernelError::object("rulesets")(error);
        for index in 0..abi::RULESETS_MAX as u32 {
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

/// Makes a map hold exactly `wanted`, besides what is not its business, and reads it back.
fn exactly<K, V>(
    name: &str,
    set: usize,
    wanted: &BTreeMap<K, V>,
    keep: impl Fn(&K) -> bool,
) -> Result<(), KernelError>
where
    K: IntoBytes + FromBytes + Immutable + Ord + Copy,
    V: IntoBytes + FromBytes + Immutable + PartialEq + Copy,
{
    let fail = |error| KernelError::object(&format!("{name}_{set}"))(error);
    let map: Map<K, V> = open(name, set)?;
    let there: BTreeMap<K, V> = map.all().map_err(fail)?.into_iter().filter(|(key, _)| !keep(key)).collect();
    for key in there.keys().filter(|key| !wanted.contains_key(key)) {
        map.remove(key).map_err(fail)?;
    }
    for (key, value) in wanted.iter().filter(|(key, value)| there.get(key) != Some(value)) {
        map.set(key, value).map_err(fail)?;
    }
    let found: BTreeMap<K, V> = map.all().map_err(fail)?.into_iter().filter(|(key, _)| !keep(key)).collect();
    if found == *wanted {
        Ok(())
    } else {
        Err(KernelError::ReadBack { expected: wanted.len(), found: found.len() })
    }
}
