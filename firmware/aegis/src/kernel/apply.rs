//! A policy into the idle rule set, read back, then put in force by one store.

use aegis_policy::Policy;
use aegis_probes::abi;

use super::KernelError;
use super::fill::SetMaps;
use super::lock::Lock;
use super::names::NameKey;
use super::rules::{RuleSet, Unresolved};
use super::state::{SetHead, WorkloadNames, Writer};
use super::workload::{cgroups, keep_policy, ruleset_of};
use crate::storage::device::boottime;
use crate::storage::tally;

/// A policy to put in force, and where it comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer<'a> {
    /// The policy.
    pub(crate) policy: &'a Policy<'a>,
    /// The bytes that it was decoded from.
    pub(crate) compiled: &'a [u8],
    /// Epoch of its bundle.
    pub(crate) epoch: u64,
    /// Sequence of its bundle.
    pub(crate) sequence: u64,
    /// SHA-256 of its bundle.
    pub(crate) hash: [u8; 32],
}

/// What [`apply`] did.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    /// Rules of the policy.
    pub(crate) rules: u32,
    /// Entries of the kernel's maps they filled.
    pub(crate) entries: u32,
    /// Paths that lead to nothing now, and are known by name.
    pub(crate) pending: u32,
    /// Paths that the policy can't be held on, or not all of it.
    pub(crate) uncovered: u32,
    /// Either, path by path, with its reason; of a set that was filled before they are not looked up again.
    pub(crate) unresolved: Vec<Unresolved>,
    /// The idle set held this policy still: nothing was filled.
    pub(crate) flipped: bool,
}

impl Applied {
    fn of(head: &SetHead, unresolved: Vec<Unresolved>, flipped: bool) -> Self {
        let (rules, entries) = (head.rules, head.entries);
        Self { rules, entries, pending: head.unresolved, uncovered: head.uncovered, unresolved, flipped }
    }
}

/// Name of the rule by which Aegis guards itself. No rule of a policy has it, whoever signed: [`aegis_policy::names::OWN_RULES`].
pub(crate) const SELF_RULE: &[u8] = b"aegis-self";

/// Names of our own, behind a policy's.
const OWN_NAMES: [(u32, &[u8]); 3] =
    [(abi::RULE_SELFTEST, b"aegis-selftest"), (abi::RULE_SELF, SELF_RULE), (abi::RULE_DEPTH, b"aegis-depth")];

/// Puts a policy in force. Until the last step the running one is untouched; every access is decided by the one or the
/// other, whole.
pub(crate) fn apply(offer: &Offer<'_>) -> Result<Applied, KernelError> {
    let begun = boottime();
    let applied = put_in_force(offer)?;
    tally::swapped(begun);
    Ok(applied)
}

fn put_in_force(offer: &Offer<'_>) -> Result<Applied, KernelError> {
    let policy = offer.policy;
    let _lock = Lock::rules()?;
    let control = Writer::open()?;
    if policy.has_hashes() && !control.can(abi::CAN_HASH) {
        return Err(KernelError::NoHashes);
    }
    let set = 1 - control.active();
    let maps = SetMaps::of(set);
    // Applied once more it is looked up once more; only what comes back is taken as it was.
    let again = control.head(1 - set).is_some_and(|running| running.is_of(offer));
    if let Some(head) = control.head(set).filter(|head| !again && head.is_of(offer)) {
        // The policy before is here still, whole: what a rollback comes back to. Workloads that came meanwhile were
        // registered with both sets. Programs that still decide by it may yet let its deadman fall.
        control.wait_for_programs().map_err(KernelError::object("control"))?;
        maps.raise_deadman(policy)?;
        register_cgroups(&control, set, policy)?;
        control.publish(set, &head);
        return Ok(Applied::of(&head, Vec::new(), true));
    }
    // Programs that began before the last flip may still decide by the set that is idle now: wait them out before it is
    // touched. (Here and not after the flip: a policy that is in force is not to be called refused.)
    control.wait_for_programs().map_err(KernelError::object("control"))?;
    control.empty(set);

    keep_policy(set, offer.compiled)?;
    maps.name(policy.rules().map(|rule| (rule.index, rule.name.as_bytes())).chain(OWN_NAMES))?;
    let rules = RuleSet::of(policy, NameKey(control.name_key()), control.can(abi::CAN_WALK))?;
    let filled = maps.fill(&rules)?;
    register_cgroups(&control, set, policy)?;

    let unresolved = rules.unresolved;
    let count = |pending: bool| {
        let paths = unresolved.iter().filter(|path| path.reason.is_empty() == pending);
        u32::try_from(paths.count()).unwrap_or(u32::MAX)
    };
    let head = SetHead {
        epoch: offer.epoch,
        sequence: offer.sequence,
        rules: policy.rule_count(),
        entries: filled,
        unresolved: count(true),
        uncovered: count(false),
        argv: policy.argv().number(),
        hash: offer.hash,
    };
    control.publish(set, &head);
    Ok(Applied::of(&head, unresolved, false))
}

/// Tells every registered cgroup which of the idle set's rules are its own.
fn register_cgroups(control: &Writer, set: usize, policy: &Policy<'_>) -> Result<(), KernelError> {
    let fail = |error| KernelError::object("cgroups")(error);
    let (cgroups, names) = (cgroups()?, WorkloadNames::open()?);
    for id in cgroups.keys().map_err(fail)? {
        let Some(mut entry) = cgroups.get(&id).map_err(fail)? else { continue };
        let ruleset = match entry.slot {
            0 => abi::RULESET_SELFTEST, // in every set
            slot => ruleset_of(policy, &names.get(slot as usize)),
        };
        if entry.ruleset[set] == ruleset {
            continue;
        }
        entry.ruleset[set] = ruleset;
        cgroups.set(&id, &entry).map_err(fail)?;
        // The map hands the replaced element's memory to the next update (`kernel/bpf/hashtab.c:extra_elems`), and a
        // program that found it may still be reading.
        control.wait_for_programs().map_err(fail)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
