//! The sentence of precedence itself, spelled out over plain values, against the compiled policy and the slot.

use aegis_event::Verdict;
use aegis_policy::{
    Access, Effect, Family, Kind, Mode, Operation, Operations, Policy, Prefix, Slot, SourceRule,
    SourceTarget, compile,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::{rule, source};

/// A target as a person would write it down: matched below by means of strings and plain numbers only.
#[derive(Clone, Debug)]
enum Plain {
    Files(Vec<&'static str>, Vec<&'static str>),
    Nets(Vec<(&'static str, u8)>, Vec<(u16, u16)>, Vec<u8>),
    Hashes(Vec<u8>),
    Surface,
}

#[derive(Clone, Debug)]
struct PlainRule {
    effect: Effect,
    operations: Vec<Operation>,
    workloads: Vec<u16>,
    target: Plain,
}

const PATHS: [&str; 7] = ["/", "/a", "/a/b", "/a/b/c", "/ab", "/c/d", "/e"];
const NETS: [(&str, u8); 7] = [
    ("0.0.0.0", 0),
    ("10.0.0.0", 8),
    ("10.1.0.0", 16),
    ("10.1.2.3", 32),
    ("::", 0),
    ("2001:db8::", 32),
    ("::ffff:10.1.0.0", 112),
];
const ADDRESSES: [&str; 6] = ["10.1.2.3", "10.2.0.1", "192.0.2.1", "2001:db8::1", "::ffff:10.1.9.9", "::1"];

fn some<T: Clone + std::fmt::Debug + 'static>(
    of: &'static [T],
    most: usize,
) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::vec(select(of), 1..=most)
}

fn target() -> impl Strategy<Value = Plain> {
    let maybe = |of: &'static [&'static str]| proptest::collection::vec(select(of), 0..3);
    let ports: &[(u16, u16)] = &[(80, 80), (81, 90), (0, 65_535), (443, 500), (500, 600)];
    prop_oneof![
        (maybe(&PATHS), maybe(&PATHS))
            .prop_filter("on something", |(paths, trees)| !(paths.is_empty() && trees.is_empty()))
            .prop_map(|(paths, trees)| Plain::Files(paths, trees)),
        (
            proptest::collection::vec(select(&NETS[..]), 0..3),
            proptest::collection::vec(select(ports), 0..3),
            proptest::collection::vec(select(&[6u8, 17, 1][..]), 0..2)
        )
            .prop_map(|(nets, ports, protocols)| Plain::Nets(nets, ports, protocols)),
        proptest::collection::vec(0u8..3, 1..3).prop_map(Plain::Hashes),
        Just(Plain::Surface),
    ]
}

fn any_rule() -> impl Strategy<Value = PlainRule> {
    (select(&Effect::ALL[..]), some(&Operation::ALL, 6), some(&[1u16, 2, 3], 3), target())
        .prop_map(|(effect, operations, workloads, target)| PlainRule {
            effect,
            operations,
            workloads,
            target,
        })
        .prop_map(|mut rule| {
            let kind = rule.target.kind();
            rule.operations.retain(|operation| kind.operations().contains(*operation));
            if rule.operations.is_empty() {
                rule.operations.extend(kind.operations().iter().take(1));
            }
            rule
        })
}

impl Plain {
    fn kind(&self) -> Kind {
        match self {
            Self::Files(..) => Kind::Files,
            Self::Nets(..) => Kind::Addresses,
            Self::Hashes(_) => Kind::Hashes,
            Self::Surface => Kind::Surface,
        }
    }

    fn source(&self) -> SourceTarget<'static> {
        match self {
            Self::Files(paths, trees) => SourceTarget::Files { paths: paths.clone(), trees: trees.clone() },
            Self::Nets(nets, ports, protocols) => SourceTarget::Addresses {
                prefixes: nets
                    .iter()
                    .map(|(net, bits)| Prefix::new(net.parse().expect("good"), *bits))
                    .collect(),
                ports: ports.clone(),
                protocols: protocols.clone(),
            },
            Self::Hashes(hashes) => SourceTarget::Hashes(hashes.iter().map(|byte| [*byte; 32]).collect()),
            Self::Surface => SourceTarget::Surface,
        }
    }

    fn is_on(&self, access: &PlainAccess) -> bool {
        match (self, access) {
            (Self::Files(paths, trees), PlainAccess::File(path, _)) => {
                paths.contains(path)
                    || trees
                        .iter()
                        .any(|tree| *tree == "/" || path == tree || path.starts_with(&format!("{tree}/")))
            }
            (Self::Hashes(hashes), PlainAccess::File(_, Some(byte))) => hashes.contains(byte),
            (Self::Nets(nets, ports, protocols), PlainAccess::Net(address, port, protocol)) => {
                (nets.is_empty() || nets.iter().any(|(net, bits)| begins_alike(address, net, *bits)))
                    && (ports.is_empty() || ports.iter().any(|(first, last)| first <= port && port <= last))
                    && (protocols.is_empty() || protocols.contains(protocol))
            }
            (Self::Surface, PlainAccess::Surface) => true,
            _ => false,
        }
    }
}

/// The bits of both as text, IPv4 written as such wherever it is.
fn begins_alike(address: &str, net: &str, bits: u8) -> bool {
    let text = |of: &str| -> String {
        let digits =
            |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:08b}")).collect::<Vec<_>>().concat();
        match of.parse::<std::net::IpAddr>().expect("good").to_canonical() {
            std::net::IpAddr::V4(of) => format!("4{}", digits(&of.octets())),
            std::net::IpAddr::V6(of) => format!("6{}", digits(&of.octets())),
        }
    };
    let mapped = net.starts_with("::ffff:");
    let bits = usize::from(bits) - if mapped { 96 } else { 0 };
    text(address).starts_with(&text(net)[..=bits])
}

#[derive(Clone, Debug)]
enum PlainAccess {
    File(&'static str, Option<u8>),
    Net(&'static str, u16, u8),
    Surface,
}

fn accesses() -> Vec<PlainAccess> {
    let mut all: Vec<PlainAccess> =
        PATHS.into_iter().chain(["/a/bc", "/x"]).map(|path| PlainAccess::File(path, None)).collect();
    all.extend((0..4).map(|byte| PlainAccess::File("/x", Some(byte))));
    for address in ADDRESSES {
        for port in [80, 85, 500, 601] {
            all.extend([6, 132].map(|protocol| PlainAccess::Net(address, port, protocol)));
        }
    }
    all.push(PlainAccess::Surface);
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn decisions_follow_the_sentence(
        enforce in any::<bool>(),
        rules in proptest::collection::vec(any_rule(), 0..10),
        turn in any::<usize>(),
    ) {
        let mode = if enforce { Mode::Enforce } else { Mode::Audit };
        let sources: Vec<SourceRule<'static>> = rules
            .iter()
            .map(|of| SourceRule {
                operations: of.operations.iter().fold(Operations::NONE, |set, one| set.with(*one)),
                target: of.target.source(),
                tags: vec![],
                ..rule("r", of.effect, &of.workloads, &[])
            })
            .collect();
        let bytes = compile(&source(mode, &["x", "y", "z"], sources));
        // More than the kernel has room for is refused, which the tests of that bound look at.
        prop_assume!(bytes.is_ok());
        let bytes = bytes.expect("good");
        let policy = Policy::decode(&bytes).expect("good");
        let digests: Vec<[u8; 32]> = (0..4).map(|byte| [byte; 32]).collect();
        for access in accesses() {
            let kinds = match access {
                PlainAccess::File(..) => Kind::Files.operations(),
                PlainAccess::Net(..) => Kind::Addresses.operations(),
                PlainAccess::Surface => Kind::Surface.operations(),
            };
            for (workload, operation) in (1..=3u16).flat_map(|of| kinds.iter().map(move |operation| (of, operation))) {
                // Override, deny, trial, allow, audit; of equals the first.
                let mut winner = None;
                for effect in [Effect::Override, Effect::Deny, Effect::Trial, Effect::Allow, Effect::Audit] {
                    winner = winner.or_else(|| {
                        rules.iter().position(|of| {
                            let weight = match (of.effect, mode) {
                                (Effect::Deny, Mode::Audit) => Effect::Trial,
                                (effect, _) => effect,
                            };
                            weight == effect
                                && of.workloads.contains(&workload)
                                && of.operations.contains(&operation)
                                && of.target.is_on(&access)
                        }).map(|index| (effect, index as u32))
                    });
                }
                let verdict = match winner {
                    Some((Effect::Deny, _)) => Verdict::Denied,
                    Some((Effect::Audit | Effect::Trial, _)) => Verdict::Audited,
                    Some((Effect::Allow | Effect::Override, _)) | None => Verdict::Allowed,
                };
                let address;
                let asked = match access {
                    PlainAccess::File(path, digest) => Access::File {
                        path: path.as_bytes(),
                        operation,
                        digest: digest.map(|byte| &digests[usize::from(byte)]),
                    },
                    PlainAccess::Net(text, port, protocol) => {
                        let (family, bytes) = match text.parse().expect("good") {
                            std::net::IpAddr::V4(of) => (Family::Inet, of.octets().to_vec()),
                            std::net::IpAddr::V6(of) => (Family::Inet6, of.octets().to_vec()),
                        };
                        address = bytes;
                        Access::Address { family, address: &address, port, protocol, operation }
                    }
                    PlainAccess::Surface => Access::Surface(operation),
                };
                let decision = policy.decide(workload, &asked);
                prop_assert_eq!(decision.verdict, verdict, "{:?} {:?} {}", asked, rules, workload);
                prop_assert_eq!(decision.effect.zip(decision.rule.map(|rule| rule.index)), winner, "{:?}", asked);
                // Folding in another order, and in two parts, gives the same slot.
                let mut all: Vec<_> = policy.rules()
                    .filter(|rule| rule.applies_to(workload) && rule.target().covers(&asked))
                    .collect();
                if !all.is_empty() {
                    let middle = turn % all.len();
                    all.rotate_left(middle);
                    if turn & 1 == 0 { all.reverse(); }
                }
                let (left, right) = all.split_at(all.len() / 2);
                let [mut slot, other] = [left, right].map(|rules| {
                    let mut slot = Slot::EMPTY;
                    for rule in rules { slot.add(rule, mode); }
                    slot
                });
                slot.merge(&other);
                prop_assert_eq!((slot.verdict(operation), slot.winner(operation)), (verdict, winner));
            }
        }
    }
}
