//! A policy as one rule set of the kernel's maps: paths looked up, rules folded, everything in memory before anything is
//! written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use aegis_policy::{Effect, Hashes, Operation, Policy, Prefix, Rule, Target};
use aegis_probes::abi::{
    self, Entry, Hash, HashKey, NameKey as NameEntryKey, Net, NetKey, NetRule, ObjectKey, Ruleset,
};

use super::KernelError;
use super::mounts::Mounts;
use super::names::NameKey;
use super::place::{self, Object, Place};
use super::protect;

/// Beats all effects of rules: what guards Aegis itself (`probes/bpf/rules.bpf.h`).
pub(super) const EFFECT_SELF: u8 = 6;
/// How the programs mark the operations of an address rule (`struct aegis_net_rule`).
const NET_CONNECT: u8 = 1;
const NET_BIND: u8 = 2;

/// A path of the policy that names nothing there now.
#[derive(Clone, Debug)]
pub(crate) struct Unresolved {
    /// The rule.
    pub(crate) rule: String,
    /// Its path.
    pub(crate) path: String,
    /// Why not; empty when it is only not there yet: then it is known by name, and covered from its first instant.
    pub(crate) reason: String,
}

/// What the maps of one set are to hold.
#[derive(Debug)]
pub(super) struct RuleSet {
    pub(super) objects: BTreeMap<ObjectKey, Entry>,
    pub(super) names: BTreeMap<NameEntryKey, Entry>,
    pub(super) rulesets: Vec<Ruleset>,
    pub(super) nets: BTreeMap<NetKey, Net>,
    pub(super) hashes: BTreeMap<HashKey, Hash>,
    pub(super) unresolved: Vec<Unresolved>,
}

impl RuleSet {
    /// `walks`: names and subtrees are decided by this kernel.
    pub(super) fn of(policy: &Policy<'_>, key: NameKey, walks: bool) -> Result<Self, KernelError> {
        let mounts = Mounts::read().map_err(KernelError::file("/proc/self/mountinfo"))?;
        let mut build = Build::new(policy, key, walks);
        for rule in policy.rules() {
            match rule.target() {
                Target::Files { paths, trees } => {
                    for path in paths {
                        build.path(&rule, path, false, &mounts);
                    }
                    for tree in trees {
                        build.path(&rule, tree, true, &mounts);
                    }
                }
                Target::Hashes(hashes) => build.hashes(&rule, &hashes),
                Target::Surface => build.surface(&rule),
                Target::Addresses { .. } => {}
            }
        }
        build.nets();
        if policy.self_protection() {
            build.protect(&mounts)?;
        }
        build.finish(&mounts)
    }
}

struct Build<'p> {
    policy: &'p Policy<'p>,
    key: NameKey,
    walks: bool,
    places: HashMap<String, Result<Place, String>>,
    /// Where subtree rules are, by rule set: file system and place.
    trees: BTreeMap<u32, BTreeSet<(u32, PathBuf)>>,
    set: RuleSet,
}

/// An operation's place in an entry, and whose it is: the object's own, or all below it.
#[derive(Clone, Copy)]
struct Seat {
    operation: usize,
    tree: bool,
}

/// Greater effect wins; among equals the rule that stands first (`probes/bpf/rules.bpf.h:take`).
fn put(entry: &mut Entry, seat: Seat, rule: u32, effect: u8) {
    let (rules, effects) = if seat.tree {
        (&mut entry.tree_rule, &mut entry.tree_effect)
    } else {
        (&mut entry.rule, &mut entry.effect)
    };
    let (old_rule, old_effect) = (&mut rules[seat.operation], &mut effects[seat.operation]);
    if *old_rule == 0 || effect > *old_effect || effect == *old_effect && rule < *old_rule {
        (*old_rule, *old_effect) = (rule, effect);
    }
}

impl<'p> Build<'p> {
    fn new(policy: &'p Policy<'p>, key: NameKey, walks: bool) -> Self {
        let mut rulesets = vec![Ruleset::default(); abi::RULESETS_MAX];
        for workload in policy.workloads() {
            let ruleset = &mut rulesets[usize::from(workload.index)];
            ruleset.rate = workload.rate.unwrap_or(0);
            if let Some(deadman) = policy.deadman() {
                ruleset.deadman_denials = deadman.denials.into();
                ruleset.deadman_window = u64::from(deadman.seconds) * 1_000_000_000;
            }
        }
        if policy.has_hashes() {
            rulesets[abi::RULESET_SELFTEST as usize].features |= abi::HAS_HASHES;
        }
        let set = RuleSet {
            objects: BTreeMap::new(),
            names: BTreeMap::new(),
            rulesets,
            nets: BTreeMap::new(),
            hashes: BTreeMap::new(),
            unresolved: Vec::new(),
        };
        Self { policy, key, walks, places: HashMap::new(), trees: BTreeMap::new(), set }
    }

    fn effect(&self, rule: &Rule<'_>) -> Effect {
        rule.effect(self.policy.mode())
    }

    fn path(&mut self, rule: &Rule<'_>, path: &str, tree: bool, mounts: &Mounts) {
        let place = self
            .places
            .entry(path.to_owned())
            .or_insert_with(|| place::look(Path::new(path), mounts))
            .clone();
        let say = |reason: String| Unresolved { rule: rule.name.to_owned(), path: path.to_owned(), reason };
        let place = match place {
            Ok(place) => place,
            Err(reason) => return self.set.unresolved.push(say(reason)),
        };
        if place.names.is_empty() && place.real != Path::new("/") {
            let there = if place.there { "known by object only" } else { "not there, nor known by name" };
            let why = "more than 8 directories deep, or the root of its file system is mounted nowhere here";
            self.set.unresolved.push(say(format!("{there}: {why}")));
        } else if !self.walks && (tree || !place.there) {
            let what = if tree { "what is below it" } else { "what is not there yet" };
            let why = "is not decided before Linux 5.17 (apply the policy again when it is there)";
            self.set.unresolved.push(say(format!("{what} {why}")));
        } else if place.unnamed_link {
            let why = "what comes in place of a link on the way is not known: it leads up again, or more than 8 deep";
            self.set.unresolved.push(say(why.to_owned()));
        } else if !place.there {
            self.set.unresolved.push(say(String::new()));
        }
        let (number, effect) = (rule.index + 1, self.effect(rule));
        for workload in rule.workloads() {
            let below = if tree { mounts.below(&place.real) } else { Vec::new() };
            self.enter(workload.into(), &place, tree, &below, |entry| {
                for operation in rule.operations.iter() {
                    let seat = Seat { operation: usize::from(operation.number()), tree };
                    put(entry, seat, number, effect.number());
                }
            });
            if rule.operations.contains(Operation::Change) && matches!(effect, Effect::Deny | Effect::Trial) {
                self.hold(workload.into(), &place, number, effect.number());
            }
            if effect == Effect::Deny {
                let more = if tree { abi::HAS_DENY_TREES } else { 0 };
                self.set.rulesets[usize::from(workload)].features |= abi::HAS_DENIALS | more;
            }
        }
    }

    /// The directories on the way stay where they are, those that are there and those that come later.
    fn hold(&mut self, ruleset: u32, place: &Place, number: u32, effect: u8) {
        let seat = Seat { operation: abi::OP_HOLD, tree: false };
        for (device, inode) in place.above.iter().copied() {
            put(
                self.set.objects.entry(ObjectKey { inode, device, ruleset }).or_default(),
                seat,
                number,
                effect,
            );
        }
        for name in &place.names {
            let (device, root) = name.root;
            for length in 1..name.components.len() {
                let above = &name.components[..length];
                let hash = self.key.path(device, root, above.iter().map(Vec::as_slice));
                let entry = self.set.names.entry(NameEntryKey { hash, ruleset, leaf: 0 }).or_default();
                put(entry, seat, number, effect);
                let hash = self.key.component(&above[length - 1]);
                self.set.names.entry(NameEntryKey { hash, ruleset, leaf: 1 }).or_default();
                self.set.rulesets[ruleset as usize].features |= abi::HAS_NAMES;
            }
        }
    }

    /// Everything by which a place is known, in one workload's rules.
    /// `below`: the roots of file systems that are mounted below a directory, which other mounts of them may show too.
    fn enter(
        &mut self,
        ruleset: u32,
        place: &Place,
        tree: bool,
        below: &[Object],
        mut fill: impl FnMut(&mut Entry),
    ) {
        let features = &mut self.set.rulesets[ruleset as usize].features;
        if let Some((device, inode)) = place.object {
            fill(self.set.objects.entry(ObjectKey { inode, device, ruleset }).or_default());
        }
        for (device, inode) in below.iter().copied() {
            fill(self.set.objects.entry(ObjectKey { inode, device, ruleset }).or_default());
            *features |= abi::HAS_TREES;
        }
        if let Some((device, inode)) = place.node.filter(|_| !tree) {
            fill(self.set.objects.entry(ObjectKey { inode, device, ruleset }).or_default());
        }
        for name in place.names.iter().filter(|name| !name.components.is_empty()) {
            let (device, root) = name.root;
            let hash = self.key.path(device, root, name.components.iter().map(Vec::as_slice));
            fill(self.set.names.entry(NameEntryKey { hash, ruleset, leaf: 0 }).or_default());
            *features |= if tree { abi::HAS_NAME_TREES } else { abi::HAS_NAMES };
            if let Some(last) = name.components.last() {
                let hash = self.key.component(last);
                self.set.names.entry(NameEntryKey { hash, ruleset, leaf: 1 }).or_default();
            }
        }
        if tree {
            if place.object.is_some() {
                *features |= abi::HAS_TREES;
            }
            let trees = self.trees.entry(ruleset).or_default();
            trees.insert((place.device, place.real.clone()));
            trees.extend(place.names.iter().map(|name| (name.root.0, place.real.clone())));
        }
    }

    fn hashes(&mut self, rule: &Rule<'_>, hashes: &Hashes<'_>) {
        let (number, effect) = (rule.index + 1, self.effect(rule).number());
        for workload in rule.workloads() {
            let more = match self.effect(rule) {
                Effect::Override => abi::HAS_HASH_OVERRIDES,
                Effect::Deny => abi::HAS_HASH_DENIALS,
                _ => 0,
            };
            self.set.rulesets[usize::from(workload)].features |= abi::HAS_HASHES | more;
            for digest in hashes.clone() {
                let key = HashKey { digest, ruleset: workload.into(), reserved: 0 };
                let hash = self.set.hashes.entry(key).or_default();
                if hash.rule == 0 || effect > hash.effect || effect == hash.effect && number < hash.rule {
                    *hash = Hash { rule: number, effect, ..Hash::default() };
                }
            }
        }
    }

    fn surface(&mut self, rule: &Rule<'_>) {
        let (number, effect) = (rule.index + 1, self.effect(rule).number());
        for workload in rule.workloads() {
            let ruleset = &mut self.set.rulesets[usize::from(workload)];
            for operation in rule.operations.iter() {
                let index = usize::from(operation.number()) - abi::OP_PTRACE;
                let (old_rule, old) = (&mut ruleset.surface_rule[index], &mut ruleset.surface_effect[index]);
                if *old_rule == 0 || effect > *old || effect == *old && number < *old_rule {
                    (*old_rule, *old) = (number, effect);
                }
            }
        }
    }

    /// Each prefix that a rule names, with every rule that speaks of all of it: the kernel looks at the longest only.
    fn nets(&mut self) {
        let mut by_workload: BTreeMap<u16, Vec<(Prefix, Rule<'p>)>> = BTreeMap::new();
        for rule in self.policy.rules() {
            let Target::Addresses { prefixes, .. } = rule.target() else { continue };
            for workload in rule.workloads() {
                by_workload
                    .entry(workload)
                    .or_default()
                    .extend(prefixes.clone().map(|prefix| (prefix, rule.clone())));
            }
        }
        for (workload, rules) in by_workload {
            self.set.rulesets[usize::from(workload)].features |= abi::HAS_NETS;
            for (prefix, _) in &rules {
                let key = NetKey {
                    prefix: 64 + u32::from(prefix.bits),
                    ruleset: workload.into(),
                    family: prefix.family.number().into(),
                    address: prefix.address,
                };
                if self.set.nets.contains_key(&key) {
                    continue;
                }
                let mut seen = BTreeSet::new();
                let speaking = rules
                    .iter()
                    .filter(|(of, rule)| of.contains(prefix) && seen.insert(rule.index))
                    .flat_map(|(_, rule)| self.net_rules(rule));
                let mut net = Net::default();
                // The policy's decoder has counted: they fit.
                for (place, rule) in net.rules.iter_mut().zip(speaking) {
                    *place = rule;
                }
                self.set.nets.insert(key, net);
            }
        }
    }

    fn net_rules(&self, rule: &Rule<'_>) -> Vec<NetRule> {
        let Target::Addresses { ports, protocols, .. } = rule.target() else { return Vec::new() };
        let bit = |operation, bit| if rule.operations.contains(operation) { bit } else { 0 };
        let operations = bit(Operation::Connect, NET_CONNECT) | bit(Operation::Bind, NET_BIND);
        let effect = self.effect(rule).number();
        let make = |(first_port, last_port), protocol| NetRule {
            rule: rule.index + 1,
            first_port,
            last_port,
            protocol,
            effect,
            operations,
            reserved: 0,
        };
        ports.flat_map(|range| protocols.clone().map(move |protocol| make(range, protocol))).collect()
    }

    /// Every workload is kept off Aegis's own, covered by a pattern or not.
    fn protect(&mut self, mounts: &Mounts) -> Result<(), KernelError> {
        let feature = match self.policy.mode() {
            aegis_policy::Mode::Enforce => abi::SELF_DENY | abi::HAS_DENIALS,
            aegis_policy::Mode::Audit => abi::SELF_AUDIT,
        };
        let rulesets: Vec<u32> = self
            .policy
            .workloads()
            .map(|workload| workload.index.into())
            .chain([abi::RULESET_OTHERS])
            .collect();
        let operations = [abi::OP_OPEN_READ, abi::OP_OPEN_WRITE, abi::OP_CHANGE, abi::OP_UNIX_CONNECT];
        let unresolved = |path: &Path, reason: String| Unresolved {
            rule: "aegis-self".to_owned(),
            path: path.display().to_string(),
            reason,
        };
        let mut places = Vec::new();
        let files = protect::workload_files(mounts).into_iter().map(|path| (path, false));
        for (path, tree) in protect::directories().into_iter().map(|path| (path, true)).chain(files) {
            match place::look(&path, mounts) {
                Ok(place) => places.push((place, tree)),
                Err(reason) => self.set.unresolved.push(unresolved(&path, reason)),
            }
        }
        // What it runs: who does is guarded as the agent is (`probes/bpf/tasks.bpf.h:is_ours`).
        let program = match protect::program() {
            Ok(program) => Some(program),
            Err(reason) => {
                self.set.unresolved.push(unresolved(Path::new(protect::PROGRAM), reason));
                None
            }
        };
        let mut nodes = protect::nodes()?;
        // What is mounted of workloads stays what was looked at: nobody takes it away, mounts over it, or has its device.
        let of_workloads = Path::new(crate::workloads::MOUNTED);
        let mut mounted = mounts.below(of_workloads);
        nodes.numbers.extend(mounted.iter().map(|(device, _)| *device));
        mounted.extend(place::inode_of(of_workloads));
        let lost = |node: &PathBuf| unresolved(node, "the kernel lists no such block device".to_owned());
        self.set.unresolved.extend(nodes.missing.iter().map(lost));
        for ruleset in rulesets {
            self.set.rulesets[ruleset as usize].features |= feature;
            let fill = |tree| {
                move |entry: &mut Entry| {
                    for operation in operations {
                        put(entry, Seat { operation, tree }, abi::RULE_SELF + 1, EFFECT_SELF);
                    }
                }
            };
            let hold = Seat { operation: abi::OP_HOLD, tree: false };
            for (place, tree) in &places {
                // What is mounted below them is Aegis's own too: the self-test's files are on a file system of theirs.
                self.enter(ruleset, place, *tree, &mounts.below(&place.real), fill(*tree));
                // What lies on the way is not moved, removed or mounted over, the roots of file systems included.
                for above in place.real.ancestors().skip(1).filter(|above| *above != Path::new("/")) {
                    let Ok((device, inode)) = place::inode_of(above) else { continue };
                    let key = ObjectKey { inode, device, ruleset };
                    put(self.set.objects.entry(key).or_default(), hold, abi::RULE_SELF + 1, EFFECT_SELF);
                }
            }
            for (device, inode) in mounted.iter().copied() {
                let key = ObjectKey { inode, device, ruleset };
                put(self.set.objects.entry(key).or_default(), hold, abi::RULE_SELF + 1, EFFECT_SELF);
            }
            if let Some(program) = &program {
                let mut own = |(device, inode): Object, operations: &[usize]| {
                    let entry = self.set.objects.entry(ObjectKey { inode, device, ruleset }).or_default();
                    for operation in operations.iter().copied() {
                        put(entry, Seat { operation, tree: false }, abi::RULE_SELF + 1, EFFECT_SELF);
                    }
                };
                own(program.object, &[abi::OP_OPEN_WRITE, abi::OP_CHANGE]);
                // Not OP_HOLD: what is mounted from them elsewhere, and taken away again, is a container's own business.
                for above in program.above.iter().copied() {
                    own(above, &[abi::OP_CHANGE]);
                }
            }
            for (device, numbers) in
                [(abi::DEVICE_BLOCK, &nodes.numbers), (abi::DEVICE_CHARACTER, &nodes.characters)]
            {
                for number in numbers {
                    let key = ObjectKey { inode: u64::from(*number), device, ruleset };
                    fill(false)(self.set.objects.entry(key).or_default());
                }
            }
        }
        Ok(())
    }

    fn finish(mut self, mounts: &Mounts) -> Result<RuleSet, KernelError> {
        for (ruleset, trees) in &self.trees {
            let plain = plain_devices(trees, mounts);
            self.set.rulesets[*ruleset as usize].plain_devices = plain;
        }
        let fits = |found: usize, most: usize| {
            if found <= most { Ok(()) } else { Err(KernelError::Policy(aegis_policy::PolicyError::TooMany)) }
        };
        // What the self-test adds has its place in the difference.
        fits(self.set.objects.len(), abi::RULES_MAX - 64)?;
        fits(self.set.names.len(), abi::NAMES_MAX)?;
        fits(self.set.nets.len(), abi::NETS_MAX)?;
        fits(self.set.hashes.len(), abi::HASHES_MAX)?;
        Ok(self.set)
    }
}

/// Where file systems are that nobody unmounts while the device runs: the number of one that is gone is given to another.
const FIXED: [&str; 5] = ["/", "/proc", "/sys", "/dev", "/usr"];

/// Of the file systems that stay, those that no subtree rule can be on or above, as far as mounts go now: files there need no
/// walk. What is mounted later is not among them.
fn plain_devices(trees: &BTreeSet<(u32, PathBuf)>, mounts: &Mounts) -> [u32; abi::PLAIN_DEVICES_MAX] {
    let touched = |device: u32| {
        trees.iter().any(|(of, _)| *of == device)
            || mounts
                .0
                .iter()
                .filter(|mount| mount.device == device)
                .any(|mount| trees.iter().any(|(_, tree)| mount.point.starts_with(tree)))
    };
    let fixed = |point: &Path| FIXED.iter().any(|fixed| point == Path::new(fixed));
    let mut plain = [0; abi::PLAIN_DEVICES_MAX];
    let mut seen = BTreeSet::new();
    let untouched = mounts
        .0
        .iter()
        .filter(|mount| fixed(&mount.point) && !touched(mount.device))
        .map(|mount| mount.device)
        .filter(|device| seen.insert(*device));
    for (place, device) in plain.iter_mut().zip(untouched) {
        *place = device;
    }
    plain
}
