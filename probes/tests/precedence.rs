//! What the kernel decides when several rules match: the C of `bpf/rules.bpf.h`, compiled for this machine, against the
//! sentence of `docs/policy-semantics.md`, for every case of a small scope. Its twin, `aegis_policy::Slot`, is held against
//! the same sentence in `firmware/policy/tests`.
#![allow(clippy::expect_used, reason = "a test ends at its first surprise")]

mod host;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;

use aegis_probes::abi;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// As many rules in a fold.
const MOST: usize = 4;
/// Not in the ABI: only the kernel gives it.
const EFFECT_SELF: u8 = 6;
/// "Above all stands what guards Aegis itself"; "override … beats deny beats a trial … beats allow beats audit".
const SENTENCE: [u8; 6] = [
    EFFECT_SELF,
    abi::EFFECT_OVERRIDE,
    abi::EFFECT_DENY,
    abi::EFFECT_TRIAL,
    abi::EFFECT_ALLOW,
    abi::EFFECT_AUDIT,
];
const ALLOWED: u8 = 0;
const AUDITED: u8 = 1;
const DENIED: u8 = 2;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct One {
    rule: u32,
    effect: u8,
    matched: u8,
    reserved: [u8; 2],
}

#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Query {
    first: [One; MOST],
    second: [One; MOST],
    broken_until: u64,
    deadman_denials: u64,
    deadman_fell: u64,
    lengths: [u8; 2],
    self_deny: u8,
    enforce: u8,
    selftest: u8,
    reserved: [u8; 3],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Reply {
    rule: u32,
    effect: u8,
    matched: u8,
    decided: u8,
    verdict: u8,
    passed: u8,
    fallen: u8,
    denied: u8,
    reserved: u8,
}

/// What wins among these: of the effect that comes first in the sentence, the rule that stands first.
fn winner(of: &[One]) -> One {
    let of_effect = |effect| of.iter().filter(move |one| one.effect == effect);
    let found = SENTENCE.iter().find_map(|effect| of_effect(*effect).min_by_key(|one| one.rule));
    found.copied().unwrap_or_default()
}

/// What it makes of the access.
fn verdict(effect: u8, self_deny: bool) -> u8 {
    match effect {
        abi::EFFECT_DENY => DENIED,
        EFFECT_SELF if self_deny => DENIED,
        abi::EFFECT_AUDIT | abi::EFFECT_TRIAL | EFFECT_SELF => AUDITED,
        _ => ALLOWED,
    }
}

fn expected(query: &Query) -> Reply {
    let [first, second] =
        [(&query.first, 0), (&query.second, 1)].map(|(of, at)| winner(&of[..usize::from(query.lengths[at])]));
    let of = |one: One| verdict(one.effect, query.self_deny != 0);
    // The stricter; of equals the first that has a rule.
    let other_counts =
        query.lengths[1] > 0 && (of(second) > of(first) || (of(second) == of(first) && first.rule == 0));
    let won = if other_counts { second } else { first };
    let decided = of(won);
    let mut reply = Reply {
        rule: won.rule,
        effect: won.effect,
        matched: won.matched,
        decided,
        verdict: decided,
        ..Reply::default()
    };
    if decided == DENIED {
        // A program that only watches denies nothing. What the self-test's rules deny stays denied. Broken glass lets all
        // pass, the fallen deadman what rules deny, but not what guards Aegis itself.
        let fallen = query.deadman_denials > 0 && query.deadman_fell > 0;
        if query.enforce == 0 {
            reply.verdict = AUDITED;
        } else if query.selftest == 0 && query.broken_until > 100 {
            (reply.verdict, reply.passed) = (AUDITED, 1);
        } else if query.selftest == 0 && fallen && won.effect != EFFECT_SELF {
            (reply.verdict, reply.fallen) = (AUDITED, 1);
        }
    }
    reply.denied = u8::from(reply.verdict == DENIED);
    reply
}

/// Every way to give places `0..most` an effect each, 0 for no rule.
fn effects(most: usize) -> impl Iterator<Item = Vec<u8>> {
    let all = (EFFECT_SELF + 1) as usize;
    (0..all.pow(most as u32))
        .map(move |number| (0..most).map(|place| (number / all.pow(place as u32) % all) as u8).collect())
}

fn orders(items: &[u32]) -> Vec<Vec<u32>> {
    if items.is_empty() {
        return vec![vec![]];
    }
    let rest = |at: usize| [&items[..at], &items[at + 1..]].concat();
    (0..items.len())
        .flat_map(|at| orders(&rest(at)).into_iter().map(move |order| [&[items[at]], &order[..]].concat()))
        .collect()
}

fn ones(rules: &[u32], effects: &[u8]) -> [One; MOST] {
    let mut all = [One::default(); MOST];
    for ((one, rule), effect) in all.iter_mut().zip(rules).zip(effects) {
        // What no rule speaks of is 0 in the maps, rule and effect.
        let rule = if *effect == 0 { 0 } else { *rule };
        *one = One { rule, effect: *effect, matched: (rule % 9) as u8, reserved: [0; 2] };
    }
    all
}

fn ask(queries: &[Query]) -> Vec<Reply> {
    let mut child = Command::new(host::compiled("precedence"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("piped");
    let output = thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(queries.as_bytes()).expect("it reads to the end"));
        child.wait_with_output().expect("it ends")
    });
    assert!(output.status.success());
    let replies = <[Reply]>::ref_from_bytes(&output.stdout).expect("whole replies");
    assert_eq!(replies.len(), queries.len());
    replies.to_vec()
}

#[test]
fn every_small_case_is_decided_as_the_sentence_says() {
    let enforced = Query { self_deny: 1, enforce: 1, ..Query::default() };
    let mut queries = Vec::new();
    // Up to four rules on one operation: every effect of each, called in every order. The largest numbers, too.
    for rules in [vec![1, 2, 3, 4], vec![1, abi::RULE_SELF + 1, 65_536, u32::MAX]] {
        for order in orders(&rules) {
            for effects in effects(MOST) {
                queries.push(Query { first: ones(&order, &effects), lengths: [4, 0], ..enforced });
            }
        }
    }
    // Two operations, up to two rules on each.
    for (first, second) in effects(2).flat_map(|first| effects(2).map(move |second| (first.clone(), second)))
    {
        for self_deny in 0..2 {
            let (first, second) = (ones(&[1, 2], &first), ones(&[2, 3], &second));
            queries.push(Query { first, second, lengths: [2, 2], self_deny, ..enforced });
        }
    }
    // What becomes of a decision: whether the program can deny, glass, deadman, whose rules.
    for (effect, numbers) in
        (0..=EFFECT_SELF).flat_map(|effect| (0..96usize).map(move |numbers| (effect, numbers)))
    {
        let bit = |at: usize| (numbers >> at & 1) as u8;
        queries.push(Query {
            first: ones(&[9], &[effect]),
            lengths: [1, 0],
            self_deny: bit(0),
            enforce: bit(1),
            selftest: bit(2),
            broken_until: [0, 50, 100, 101][numbers >> 3 & 3],
            deadman_denials: [0, 2, 2][numbers >> 5],
            deadman_fell: [0, 0, 60][numbers >> 5],
            ..Query::default()
        });
    }
    for (query, reply) in queries.iter().zip(ask(&queries)) {
        assert_eq!(reply, expected(query), "{query:?}");
    }
    println!("{} cases", queries.len());
    assert!(queries.len() > 120_000);
}
