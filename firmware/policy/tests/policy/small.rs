//! The sentence of precedence, for every policy of a small scope: no draw of lots. `AEGIS_MODELS=1` looks at a larger one
//! (`make models`). The kernel's half of it: `probes/tests/precedence.rs`.

use aegis_event::Verdict;
use aegis_policy::{Access, Effect, Mode, Operation, Operations, Policy, SourceRule, SourceTarget, compile};

use crate::{rule, source};

/// What a rule can be on, and whether that is `/d/x`, `/d/y`: a file, a directory above it, everything, another file.
const ON: [(bool, &str, [bool; 2]); 4] = [
    (false, "/d/x", [true, false]),
    (true, "/d", [true, true]),
    (true, "/", [true, true]),
    (false, "/d/y", [false, true]),
];
const OPERATIONS: [&[Operation]; 3] =
    [&[Operation::OpenRead], &[Operation::Exec], &[Operation::OpenRead, Operation::Exec]];
const WORKLOADS: [&[u16]; 3] = [&[1], &[2], &[1, 2]];

#[derive(Clone, Copy, Debug)]
struct Small {
    effect: Effect,
    operations: usize,
    workloads: usize,
    on: usize,
}

impl Small {
    fn source(self) -> SourceRule<'static> {
        let (tree, path, _) = ON[self.on];
        SourceRule {
            operations: OPERATIONS[self.operations].iter().fold(Operations::NONE, |set, one| set.with(*one)),
            target: if tree { SourceTarget::trees(&[path]) } else { SourceTarget::paths(&[path]) },
            tags: vec![],
            ..rule("r", self.effect, WORKLOADS[self.workloads], &[])
        }
    }

    fn speaks(self, file: usize, operation: Operation, workload: u16) -> bool {
        ON[self.on].2[file]
            && OPERATIONS[self.operations].contains(&operation)
            && WORKLOADS[self.workloads].contains(&workload)
    }
}

/// `override` beats deny beats a trial beats allow beats audit; among equals the rule that stands first.
fn by_the_sentence(rules: &[Small], mode: Mode, speaks: impl Fn(Small) -> bool) -> Option<(Effect, u32)> {
    for effect in [Effect::Override, Effect::Deny, Effect::Trial, Effect::Allow, Effect::Audit] {
        for (index, rule) in rules.iter().enumerate() {
            let weighs =
                if mode == Mode::Audit && rule.effect == Effect::Deny { Effect::Trial } else { rule.effect };
            if weighs == effect && speaks(*rule) {
                return Some((effect, index as u32));
            }
        }
    }
    None
}

/// Looks at one policy in both modes, and every access to it. Returns how many decisions that were.
fn look_at(rules: &[Small]) -> usize {
    let mut decisions = 0;
    for mode in [Mode::Enforce, Mode::Audit] {
        let sources = rules.iter().map(|rule| rule.source()).collect();
        let bytes = compile(&source(mode, &["a", "b"], sources)).expect("a policy");
        let policy = Policy::decode(&bytes).expect("as it was compiled");
        for (file, path) in ["/d/x", "/d/y"].into_iter().enumerate() {
            for operation in [Operation::OpenRead, Operation::Exec] {
                for workload in 1..=2 {
                    let found = policy
                        .decide(workload, &Access::File { path: path.as_bytes(), operation, digest: None });
                    let winner = by_the_sentence(rules, mode, |rule| rule.speaks(file, operation, workload));
                    let verdict = match winner.map(|(effect, _)| effect) {
                        Some(Effect::Deny) => Verdict::Denied,
                        Some(Effect::Trial | Effect::Audit) => Verdict::Audited,
                        Some(Effect::Override | Effect::Allow) | None => Verdict::Allowed,
                    };
                    let decided = (found.verdict, found.effect.zip(found.rule.map(|rule| rule.index)));
                    assert_eq!(
                        decided,
                        (verdict, winner),
                        "{path} {operation:?} {workload} {mode:?} {rules:?}"
                    );
                    decisions += 1;
                }
            }
        }
    }
    decisions
}

/// Every list of up to so many of these rules.
fn every_list(of: &[Small], most: usize, list: &mut Vec<Small>) -> usize {
    let mut decisions = look_at(list);
    if list.len() < most {
        for one in of {
            list.push(*one);
            decisions += every_list(of, most, list);
            list.pop();
        }
    }
    decisions
}

fn rules(operations: usize, workloads: usize, on: usize) -> Vec<Small> {
    let mut all = Vec::new();
    for effect in Effect::ALL {
        for number in 0..operations * workloads * on {
            let (operations, workloads, on) =
                (number % operations, number / operations % workloads, number / operations / workloads);
            all.push(Small { effect, operations, workloads, on });
        }
    }
    all
}

#[test]
fn every_small_policy_decides_as_the_sentence_says() {
    let larger = std::env::var_os("AEGIS_MODELS").is_some();
    // Wide: two rules that differ in everything. Deep: more rules that differ in less.
    let scopes: &[(Vec<Small>, usize)] = &if larger {
        [(rules(3, 3, 4), 2), (rules(3, 1, 2), 4), (rules(1, 1, 1), 6)]
    } else {
        [(rules(3, 2, 3), 2), (rules(2, 1, 2), 3), (rules(1, 1, 1), 4)]
    };
    for (of, most) in scopes {
        let decisions = every_list(of, *most, &mut Vec::new());
        println!("{} rules, {most} at a time: {decisions} decisions", of.len());
        assert!(decisions > 10_000);
    }
}
