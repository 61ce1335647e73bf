//! A policy into the idle rule set, read back, then put in force by one store.

use std::collections::{BTreeMap, HashMap};
use std::io;

use aegis_policy::{Operation, Policy, Slot};
use aegis_probes::abi::{self, Rule, RuleKey};
use rustix::fs::{Mode, OFlags};

use super::lock::Lock;
use super::state::{RuleNames, SetHead, WorkloadNames, Writer, pin};
use super::workload::{cgroups, keep_policy, ruleset_of};
use super::{KernelError, sys};

/// A policy to put in force, and where it comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer<'a> {
    /// The compiled policy: [`Policy::decode`] must take it.
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
    /// Entries of the kernel's map they filled.
    pub(crate) entries: u32,
    /// Paths that name nothing a rule can hold on to here, each with the reason. Rules do not cover them: what appears
    /// there later is not covered before the policy is applied again.
    pub(crate) unresolved: Vec<Unresolved>,
}

/// A path of the policy that could not be turned into an inode.
#[derive(Clone, Debug)]
pub(crate) struct Unresolved {
    /// The rule.
    pub(crate) rule: String,
    /// Its path.
    pub(crate) path: String,
    /// Why not.
    pub(crate) reason: String,
}

pub(super) type Rules = sys::Map<RuleKey, Rule>;

pub(super) fn open_rules(set: usize) -> Result<Rules, KernelError> {
    Rules::open(&pin(rules_name(set))).map_err(KernelError::NotLoaded)
}

const fn rules_name(set: usize) -> &'static str {
    if set == 0 { "rules_0" } else { "rules_1" }
}

/// Puts a policy in force. Until the last step the running one is untouched; every access is decided by the one or the
/// other, whole.
pub(crate) fn apply(offer: &Offer<'_>) -> Result<Applied, KernelError> {
    let policy = Policy::decode(offer.compiled).map_err(KernelError::Policy)?;
    let _lock = Lock::rules()?;
    let control = Writer::open()?;
    let set = 1 - control.active();
    // Programs that began before the last flip may still decide by the set that is idle now: wait them out before it is
    // touched. (Here and not after the flip: a policy that is in force is not to be called refused.)
    sys::wait_for_programs().map_err(KernelError::object("control"))?;

    keep_policy(set, offer.compiled)?;
    let names = RuleNames::open(set)?;
    for rule in policy.rules() {
        names.set(rule.index, rule.name.as_bytes())?;
    }
    let (slots, unresolved) = resolve(&policy);
    let entries = slots.iter().map(|(key, slot)| (*key, entry_of(slot, policy.mode()))).collect();
    let filled = fill(set, &entries)?;
    register_cgroups(set, &policy)?;

    let head = SetHead {
        epoch: offer.epoch,
        sequence: offer.sequence,
        rules: policy.rule_count(),
        entries: filled,
        unresolved: u32::try_from(unresolved.len()).unwrap_or(u32::MAX),
        hash: offer.hash,
    };
    control.publish(set, &head);
    Ok(Applied { rules: head.rules, entries: head.entries, unresolved })
}

fn entry_of(slot: &Slot, mode: aegis_policy::Mode) -> Rule {
    let mut entry = Rule::default();
    for operation in Operation::ALL {
        if let Some(rule) = slot.rule(operation) {
            entry.rule[operation.index()] = rule + 1;
            entry.verdict[operation.index()] = slot.verdict(operation, mode).number();
        }
    }
    entry
}

const _: () = assert!(Operation::OpenRead.index() == abi::OP_OPEN_READ);
const _: () = assert!(Operation::OpenWrite.index() == abi::OP_OPEN_WRITE);
const _: () = assert!(Operation::Exec.index() == abi::OP_EXEC);

type Slots = BTreeMap<RuleKey, Slot>;

/// Every file that a rule speaks of, and what the rules on it add up to.
fn resolve(policy: &Policy<'_>) -> (Slots, Vec<Unresolved>) {
    let mut known = HashMap::new();
    let mut slots = Slots::new();
    let mut unresolved = Vec::new();
    for rule in policy.rules() {
        for path in rule.paths() {
            match known.entry(path).or_insert_with(|| inode_of(path)) {
                Ok((device, inode)) => {
                    for workload in rule.workloads() {
                        let key = RuleKey { inode: *inode, device: *device, ruleset: workload.into() };
                        slots.entry(key).or_default().add(&rule);
                    }
                }
                Err(reason) => unresolved.push(Unresolved {
                    rule: rule.name.to_owned(),
                    path: path.to_owned(),
                    reason: reason.clone(),
                }),
            }
        }
    }
    (slots, unresolved)
}

/// `include/uapi/linux/magic.h`: on these, `stat` shows another device than the kernel's own number.
const OVERLAYFS_SUPER_MAGIC: u64 = 0x794c_7630;
const BTRFS_SUPER_MAGIC: u64 = 0x9123_683e;

/// Kernel device number and inode of what the path leads to now, symbolic links followed.
pub(super) fn inode_of(path: &str) -> Result<(u32, u64), String> {
    let open = || -> io::Result<(u32, u64, u64)> {
        // O_PATH: nothing is read, no device or pipe is touched.
        let file = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let (found, system) = (rustix::fs::fstat(&file)?, rustix::fs::fstatfs(&file)?);
        let device = rustix::fs::major(found.st_dev) << 20 | rustix::fs::minor(found.st_dev);
        Ok((device, found.st_ino, system.f_type.cast_unsigned()))
    };
    match open() {
        Ok((_, _, OVERLAYFS_SUPER_MAGIC)) => Err("on overlayfs: name the file in its lower layer".to_owned()),
        Ok((_, _, BTRFS_SUPER_MAGIC)) => Err("on btrfs: its inodes can't be told apart here".to_owned()),
        Ok((device, inode, _)) => Ok((device, inode)),
        Err(error) => Err(error.to_string()),
    }
}

/// Makes the idle set hold exactly these entries, and the self-test's; reads them back. Returns how many.
fn fill(set: usize, entries: &BTreeMap<RuleKey, Rule>) -> Result<u32, KernelError> {
    let fail = |error| KernelError::object(rules_name(set))(error);
    let map = open_rules(set)?;
    let of_policy = |key: &RuleKey| key.ruleset != 0;
    for key in map.keys().map_err(fail)?.iter().filter(|key| of_policy(key)) {
        map.remove(key).map_err(fail)?;
    }
    for (key, entry) in entries {
        map.set(key, entry).map_err(fail)?;
    }
    let mut found = 0;
    for key in map.keys().map_err(fail)?.iter().filter(|key| of_policy(key)) {
        if map.get(key).map_err(fail)?.as_ref() != entries.get(key) {
            return Err(KernelError::ReadBack { expected: entries.len(), found });
        }
        found += 1;
    }
    if found != entries.len() {
        return Err(KernelError::ReadBack { expected: entries.len(), found });
    }
    u32::try_from(found).map_err(|_| KernelError::ReadBack { expected: entries.len(), found })
}

/// Tells every registered cgroup which of the idle set's rules are its own.
fn register_cgroups(set: usize, policy: &Policy<'_>) -> Result<(), KernelError> {
    let fail = |error| KernelError::object("cgroups")(error);
    let (cgroups, names) = (cgroups()?, WorkloadNames::open()?);
    for id in cgroups.keys().map_err(fail)? {
        let Some(mut entry) = cgroups.get(&id).map_err(fail)? else { continue };
        let ruleset = match entry.slot {
            0 => 0, // the self-test's, in every set
            slot => ruleset_of(policy, &names.get(slot as usize)),
        };
        if entry.ruleset[set] == ruleset {
            continue;
        }
        entry.ruleset[set] = ruleset;
        cgroups.set(&id, &entry).map_err(fail)?;
        // The map hands the replaced element's memory to the next update (`kernel/bpf/hashtab.c:extra_elems`), and a
        // program that found it may still be reading.
        sys::wait_for_programs().map_err(fail)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::{MetadataExt, symlink};

    use aegis_policy::{Action, Mode, Operations, Source, SourceRule, compile};

    use super::*;

    fn rule<'a>(name: &'a str, action: Action, bits: u8, workloads: &[u16], path: &'a str) -> SourceRule<'a> {
        SourceRule {
            name,
            action,
            operations: Operations::from_bits(bits).unwrap(),
            workloads: workloads.to_vec(),
            paths: vec![path],
            tags: Vec::new(),
        }
    }

    /// One file by two names, one path that is not there: the rules of a file add up, per workload.
    #[test]
    fn rules_of_one_file_add_up_and_missing_paths_are_listed() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        std::fs::write(&file, b"").unwrap();
        symlink(&file, &link).unwrap();
        let (file, link) = (file.to_str().unwrap(), link.to_str().unwrap());
        let found = std::fs::metadata(file).unwrap();
        let device = rustix::fs::major(found.dev()) << 20 | rustix::fs::minor(found.dev());

        for (mode, denied) in [(Mode::Enforce, abi::DENIED), (Mode::Audit, abi::AUDITED)] {
            let source = Source {
                name: "test",
                mode,
                workloads: vec!["a", "b*"],
                rules: vec![
                    rule("watch", Action::Audit, 0b011, &[1, 2], file),
                    rule("forbid", Action::Deny, 0b010, &[1], link),
                    rule("gone", Action::Deny, 0b100, &[1], "/no/such/path"),
                ],
            };
            let compiled = compile(&source).unwrap();
            let policy = Policy::decode(&compiled).unwrap();
            let (slots, unresolved) = resolve(&policy);
            if slots.is_empty() {
                // This machine's temporary files are on a file system that rules can't hold on to, and it says so.
                assert!(unresolved[0].reason.starts_with("on "), "{unresolved:?}");
                return;
            }
            assert_eq!(unresolved.len(), 1);
            assert_eq!((unresolved[0].rule.as_str(), unresolved[0].path.as_str()), ("gone", "/no/such/path"));

            let key = |ruleset| RuleKey { inode: found.ino(), device, ruleset };
            let entry = |ruleset| entry_of(&slots[&key(ruleset)], policy.mode());
            assert_eq!(slots.len(), 2);
            assert_eq!((entry(1).rule, entry(1).verdict), ([1, 2, 0, 0], [abi::AUDITED, denied, 0, 0]));
            assert_eq!((entry(2).rule, entry(2).verdict), ([1, 1, 0, 0], [abi::AUDITED, abi::AUDITED, 0, 0]));
        }
    }

    #[test]
    fn the_catch_all_has_the_rules_of_its_own_pattern_only() {
        use super::super::state::NO_RULES;
        let policy_of = |workloads: Vec<&str>| {
            let rules = vec![rule("r", Action::Deny, 1, &[1], "/x")];
            compile(&Source { name: "test", mode: Mode::Enforce, workloads, rules }).unwrap()
        };
        let with = policy_of(vec!["a*", "*"]);
        let with = Policy::decode(&with).unwrap();
        assert_eq!([ruleset_of(&with, b"*"), ruleset_of(&with, b"ab"), ruleset_of(&with, b"x")], [2, 1, 2]);
        let without = policy_of(vec!["a*"]);
        let without = Policy::decode(&without).unwrap();
        assert_eq!([ruleset_of(&without, b"*"), ruleset_of(&without, b"x")], [NO_RULES; 2]);
    }
}
