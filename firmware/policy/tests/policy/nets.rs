//! The bound on what may be said of one prefix, counted the slow way.

use std::time::Instant;

use aegis_policy::{
    Effect, Mode, Operations, Policy, PolicyError, Prefix, SourceRule, SourceTarget, compile, limits,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::{rule, source};

/// Workloads, prefixes, how many ports and protocols.
type Net = (Vec<u16>, Vec<(u8, u8)>, u16, u8);

fn any_net() -> impl Strategy<Value = Net> {
    let workloads = proptest::collection::vec(1u16..=3, 1..=3);
    let prefixes = proptest::collection::vec((select(&[0u8, 1, 2, 129][..]), 0u8..=9), 1..=3);
    (workloads, prefixes, 1u16..=3, 1u8..=2)
}

fn prefix((first, bits): (u8, u8)) -> Prefix {
    Prefix::new([first, 0, 0, 0].into(), bits)
}

fn rules(nets: &[Net]) -> Vec<SourceRule<'static>> {
    nets.iter()
        .map(|(workloads, prefixes, ports, protocols)| SourceRule {
            operations: Operations::ADDRESS,
            target: SourceTarget::Addresses {
                prefixes: prefixes.iter().copied().map(prefix).collect(),
                ports: (0..*ports).map(|n| (n * 2, n * 2)).collect(),
                protocols: (1..=*protocols).collect(),
            },
            ..rule("net", Effect::Deny, workloads, &[])
        })
        .collect()
}

/// The most that is said of one prefix of one workload.
fn most(nets: &[Net]) -> usize {
    let asked = nets
        .iter()
        .flat_map(|net| net.0.iter().flat_map(|workload| net.1.iter().map(move |of| (*workload, *of))));
    let said = |workload: u16, of| {
        let speaks = |net: &&Net| {
            net.0.contains(&workload) && net.1.iter().any(|around| prefix(*around).contains(&prefix(of)))
        };
        nets.iter().filter(speaks).map(|net| usize::from(net.2) * usize::from(net.3)).sum::<usize>()
    };
    asked.map(|(workload, of)| said(workload, of)).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn what_is_said_of_a_prefix_is_bounded(nets in proptest::collection::vec(any_net(), 1..14)) {
        let made = compile(&source(Mode::Enforce, &["a", "b", "c"], rules(&nets)));
        if most(&nets) <= limits::NET_RULES {
            prop_assert!(made.is_ok(), "{:?}", made);
        } else {
            prop_assert_eq!(made.err(), Some(PolicyError::TooMany));
        }
    }
}

#[test]
fn the_bound_is_met_and_not_passed() {
    let one = |count: usize| {
        compile(&source(Mode::Enforce, &["a"], rules(&vec![(vec![1], vec![(10, 8)], 1, 1); count]))).err()
    };
    assert_eq!([one(limits::NET_RULES), one(limits::NET_RULES + 1)], [None, Some(PolicyError::TooMany)]);
    // A rule's own combinations count, and those of what is around it; not of what is beside it.
    let of = |nets: &[Net]| compile(&source(Mode::Enforce, &["a"], rules(nets))).err();
    let net = |first, bits, ports| (vec![1], vec![(first, bits)], ports, 1);
    assert_eq!(of(&[net(10, 8, 8), net(8, 5, 8)]), None);
    assert_eq!(of(&[net(10, 8, 9), net(8, 5, 8)]), Some(PolicyError::TooMany));
    assert_eq!(of(&[net(10, 8, 8), net(8, 5, 8), net(11, 8, 8)]), None);
    assert_eq!(of(&[net(10, 8, 16), net(11, 8, 16)]), None);
    assert_eq!(of(&[(vec![1], vec![(10, 8)], 6, 3)]), Some(PolicyError::TooMany));
}

/// As many prefixes as there is room for, all within each other as far as they can be: read at once.
#[test]
fn the_most_prefixes_cost_little() {
    let workloads: Vec<String> = (0..255).map(|n| format!("w{n}")).collect();
    let rules = (0..16u8)
        .map(|bits| SourceRule {
            operations: Operations::ADDRESS,
            target: SourceTarget::Addresses {
                prefixes: vec![Prefix::new([10, 0, 0, 0].into(), bits)],
                ports: vec![],
                protocols: vec![],
            },
            ..rule("net", Effect::Deny, &(1..=255).collect::<Vec<u16>>(), &[])
        })
        .collect();
    let wide = aegis_policy::Source {
        workloads: workloads.iter().map(|name| name.as_str().into()).collect(),
        ..source(Mode::Enforce, &[], rules)
    };
    let bytes = compile(&wide).expect("fits");
    let start = Instant::now();
    assert_eq!(Policy::decode(&bytes).expect("good").nets(), 16 * 255);
    assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
}
