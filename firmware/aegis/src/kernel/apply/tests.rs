//! What a policy becomes, without a kernel.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use aegis_policy::{
    Effect, Family, Mode, Operation, Operations, Policy, Prefix, Source, SourceRule, SourceTarget, compile,
};
use aegis_probes::abi::{self, NameKey as NameEntryKey, NetKey, ObjectKey};

use super::*;
use crate::kernel::mounts::{Mounts, kernel_device};
use crate::kernel::place;

fn rule<'a>(
    name: &'a str,
    effect: Effect,
    operations: Operations,
    workloads: &[u16],
    target: SourceTarget<'a>,
) -> SourceRule<'a> {
    SourceRule { name, effect, operations, workloads: workloads.to_vec(), target, tags: Vec::new() }
}

fn compiled(mode: Mode, self_protection: bool, rules: Vec<SourceRule<'_>>) -> Vec<u8> {
    let workloads = vec!["a".into(), "b*".into()];
    compile(&Source {
        name: "test",
        mode,
        self_protection,
        argv: aegis_policy::Argv::Whole,
        deadman: None,
        workloads,
        rules,
        alerts: vec![],
    })
    .unwrap()
}

const KEY: NameKey = NameKey([1, 2]);

/// One file by two names, one path that is not there: the rules of a file add up, per workload.
#[test]
fn rules_of_one_file_add_up_and_missing_paths_are_known_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path().canonicalize().unwrap();
    std::fs::write(base.join("file"), b"").unwrap();
    symlink("file", base.join("link")).unwrap();
    let (file, link, gone) = (base.join("file"), base.join("link"), base.join("gone"));
    let path =
        |path: &Path| SourceTarget::paths(&[Box::leak(path.to_str().unwrap().to_owned().into_boxed_str())]);
    let found = std::fs::metadata(&file).unwrap();
    let device = kernel_device(found.dev());
    let write = Operations::only(Operation::OpenWrite).with(Operation::Change);
    for (mode, deny) in [(Mode::Enforce, abi::EFFECT_DENY), (Mode::Audit, abi::EFFECT_TRIAL)] {
        let bytes = compiled(
            mode,
            false,
            vec![
                rule("watch", Effect::Audit, Operations::OPEN, &[1, 2], path(&file)),
                rule("forbid", Effect::Deny, write, &[1], path(&link)),
                rule("gone", Effect::Deny, Operations::only(Operation::Exec), &[1], path(&gone)),
            ],
        );
        let policy = Policy::decode(&bytes).unwrap();
        let set = RuleSet::of(&policy, KEY, true).unwrap();
        if set.objects.is_empty() {
            // This machine's temporary files are where rules can't hold on to them, and it says so.
            assert!(set.unresolved[0].reason.starts_with("on "), "{:?}", set.unresolved);
            return;
        }
        let entry = |ruleset| set.objects[&ObjectKey { inode: found.ino(), device, ruleset }];
        assert_eq!(
            (entry(1).rule, entry(1).effect),
            ([1, 2, 0, 2, 0, 0], [abi::EFFECT_AUDIT, deny, 0, deny, 0, 0])
        );
        assert_eq!(
            (entry(2).rule, entry(2).effect),
            ([1, 1, 0, 0, 0, 0], [abi::EFFECT_AUDIT, abi::EFFECT_AUDIT, 0, 0, 0, 0])
        );
        // What lies on the way to what is denied stays there.
        let (device, inode) = place::inode_of(&base).unwrap();
        assert_eq!(set.objects[&ObjectKey { inode, device, ruleset: 1 }].rule[abi::OP_HOLD], 2);
        assert!(!set.objects.contains_key(&ObjectKey { inode, device, ruleset: 2 }));

        assert_eq!(set.unresolved.len(), 1);
        assert_eq!(set.unresolved[0].rule, "gone");
        let leaf = |name: &[u8]| NameEntryKey { hash: KEY.component(name), ruleset: 1, leaf: 1 };
        if set.unresolved[0].reason.is_empty() {
            for name in [b"file".as_slice(), b"link", b"gone"] {
                assert!(set.names.contains_key(&leaf(name)), "{}", name.escape_ascii());
            }
            assert!(!set.names.contains_key(&leaf(b"other")));
            assert_eq!(set.rulesets[1].features & abi::HAS_NAMES, abi::HAS_NAMES);
            assert_eq!(set.rulesets[1].features & abi::HAS_DENIALS != 0, mode == Mode::Enforce);
        }
    }
}

/// On the way up the kernel looks for paths where a component ends one: of a subtree's, too.
#[test]
fn a_subtree_is_known_by_its_last_component_too() {
    let base = std::env::temp_dir().join(format!("aegis-tree-{}", std::process::id()));
    let trees = SourceTarget::trees(&[base.to_str().unwrap()]);
    let bytes =
        compiled(Mode::Enforce, false, vec![rule("tree", Effect::Deny, Operations::OPEN, &[1], trees)]);
    let set = RuleSet::of(&Policy::decode(&bytes).unwrap(), KEY, true).unwrap();
    if !set.unresolved[0].reason.is_empty() {
        return; // as above
    }
    let name = base.file_name().unwrap().as_encoded_bytes();
    assert!(set.names.contains_key(&NameEntryKey { hash: KEY.component(name), ruleset: 1, leaf: 1 }));
    assert_eq!(set.rulesets[1].features & (abi::HAS_NAME_TREES | abi::HAS_NAMES), abi::HAS_NAME_TREES);
}

#[test]
fn a_device_node_is_its_number_too() {
    let bytes = compiled(
        Mode::Enforce,
        false,
        vec![rule("no-null", Effect::Deny, Operations::OPEN, &[1], SourceTarget::paths(&["/dev/null"]))],
    );
    let set = RuleSet::of(&Policy::decode(&bytes).unwrap(), KEY, true).unwrap();
    let key = ObjectKey { inode: 1 << 20 | 3, device: abi::DEVICE_CHARACTER, ruleset: 1 };
    assert_eq!(set.objects[&key].rule[abi::OP_OPEN_READ], 1);
}

#[test]
fn a_prefix_has_every_rule_that_speaks_of_all_of_it() {
    let net = |text: &str, bits| Prefix::new(text.parse().unwrap(), bits);
    let addresses = |prefixes, ports, protocols| SourceTarget::Addresses { prefixes, ports, protocols };
    let connect = Operations::only(Operation::Connect);
    let bytes = compiled(
        Mode::Enforce,
        false,
        vec![
            rule("all", Effect::Deny, connect, &[1], addresses(vec![], vec![], vec![])),
            rule(
                "site",
                Effect::Override,
                connect,
                &[1],
                addresses(vec![net("10.1.0.0", 16)], vec![(443, 443), (8000, 8010)], vec![6]),
            ),
            rule(
                "host",
                Effect::Audit,
                Operations::ADDRESS,
                &[1],
                addresses(vec![net("10.1.2.3", 32)], vec![], vec![]),
            ),
        ],
    );
    let policy = Policy::decode(&bytes).unwrap();
    let set = RuleSet::of(&policy, KEY, true).unwrap();
    let of = |family: Family, address: [u8; 4], bits: u32| {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&address);
        let key = NetKey { prefix: 64 + bits, ruleset: 1, family: family.number().into(), address: bytes };
        let mut rules: Vec<_> = set.nets[&key]
            .rules
            .iter()
            .filter(|rule| rule.rule != 0)
            .map(|rule| (rule.rule, rule.first_port, rule.protocol, rule.operations))
            .collect();
        rules.sort_unstable();
        rules
    };
    assert_eq!(of(Family::Inet, [0; 4], 0), [(1, 0, 0, 1)]);
    assert_eq!(of(Family::Inet6, [0; 4], 0), [(1, 0, 0, 1)]);
    assert_eq!(of(Family::Inet, [10, 1, 0, 0], 16), [(1, 0, 0, 1), (2, 443, 6, 1), (2, 8000, 6, 1)]);
    assert_eq!(
        of(Family::Inet, [10, 1, 2, 3], 32),
        [(1, 0, 0, 1), (2, 443, 6, 1), (2, 8000, 6, 1), (3, 0, 0, 3)]
    );
    assert_eq!(set.nets.len(), 4);
    assert_eq!(set.rulesets[1].features, abi::HAS_NETS);
}

#[test]
fn protection_covers_workloads_that_no_pattern_does_and_plain_file_systems_are_left_alone() {
    let bytes = compiled(Mode::Enforce, true, vec![]);
    let set = RuleSet::of(&Policy::decode(&bytes).unwrap(), KEY, true).unwrap();
    for ruleset in [1, 2, abi::RULESET_OTHERS as usize] {
        assert_eq!(set.rulesets[ruleset].features & abi::SELF_DENY, abi::SELF_DENY);
    }
    assert_eq!(set.rulesets[3].features, 0);
    let proc = Mounts::read()
        .unwrap()
        .0
        .iter()
        .find(|mount| mount.point == Path::new("/proc"))
        .map(|mount| mount.device);
    if let Some(proc) = proc {
        assert!(set.rulesets[1].plain_devices.contains(&proc));
    }
}

#[test]
fn the_catch_all_has_the_rules_of_its_own_pattern_only() {
    let policy_of = |workloads: Vec<&'static str>| {
        let workloads = workloads.into_iter().map(Into::into).collect();
        let rules = vec![rule("r", Effect::Deny, Operations::OPEN, &[1], SourceTarget::paths(&["/x"]))];
        compile(&Source {
            name: "test",
            mode: Mode::Enforce,
            self_protection: true,
            argv: aegis_policy::Argv::Whole,
            deadman: None,
            workloads,
            rules,
            alerts: vec![],
        })
        .unwrap()
    };
    let with = policy_of(vec!["a*", "*"]);
    let with = Policy::decode(&with).unwrap();
    assert_eq!([ruleset_of(&with, b"*"), ruleset_of(&with, b"ab"), ruleset_of(&with, b"x")], [2, 1, 2]);
    let without = policy_of(vec!["a*"]);
    let without = Policy::decode(&without).unwrap();
    assert_eq!([ruleset_of(&without, b"*"), ruleset_of(&without, b"x")], [abi::RULESET_OTHERS; 2]);
}
