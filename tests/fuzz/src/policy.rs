//! `policy`: a compiled policy, as the device reads it out of a signed bundle.

use std::collections::BTreeSet;

use aegis_event::Verdict;
use aegis_policy::{Action, Mode, Operation, Operations, Policy, Rule, Source, SourceRule, compile, limits};

use crate::Seed;

/// Most rules and paths that decisions are asked of: each question walks the whole policy.
const ASKED: usize = 8;

/// What decodes compiles to the same bytes, says how large it is, and decides as the plain reading of its rules does.
pub fn run(data: &[u8]) -> bool {
    let Ok(policy) = Policy::decode(data) else { return false };
    let rules: Vec<Rule<'_>> = policy.rules().collect();
    let patterns: Vec<_> = policy.workloads().map(|workload| workload.pattern).collect();
    assert_eq!(rules.len(), policy.rule_count() as usize, "a rule got lost");
    assert!(rules.len() <= limits::RULES && (1..=limits::WORKLOADS).contains(&patterns.len()));
    assert_eq!(patterns.iter().collect::<BTreeSet<_>>().len(), patterns.len(), "a pattern twice");

    let source = Source {
        name: policy.name(),
        mode: policy.mode(),
        workloads: patterns.clone(),
        rules: rules
            .iter()
            .map(|rule| SourceRule {
                name: rule.name,
                action: rule.action,
                operations: rule.operations,
                workloads: rule.workloads().collect(),
                paths: rule.paths().collect(),
                tags: rule.tags().collect(),
            })
            .collect(),
    };
    assert_eq!(compile(&source).as_deref(), Ok(data), "another encoding of {source:?}");
    let entries = source.rules.iter().map(|rule| rule.workloads.len() * rule.paths.len()).sum::<usize>();
    assert_eq!(entries, policy.entries() as usize);

    for pattern in patterns.iter().take(ASKED) {
        let name = pattern.trim_end_matches('*');
        if let Some(found) = policy.match_workload(name.as_bytes()) {
            let found = patterns[usize::from(found) - 1];
            assert!(found == name || name.starts_with(found.strip_suffix('*').unwrap_or("?")));
            assert!(found == name || !patterns.contains(&name), "an exact name comes first");
        }
    }
    for rule in rules.iter().take(ASKED) {
        for path in rule.paths().take(ASKED) {
            for workload in rule.workloads().take(ASKED) {
                check_decision(&policy, &rules, workload, path);
            }
        }
    }
    true
}

/// Deny beats audit, and the first rule of the winning kind is named.
fn check_decision(policy: &Policy<'_>, rules: &[Rule<'_>], workload: u16, path: &str) {
    for operation in Operation::ALL {
        let speaks = |rule: &&Rule<'_>| {
            rule.applies_to(workload)
                && rule.operations.contains(operation)
                && rule.paths().any(|of| of == path)
        };
        let first = |action| rules.iter().filter(speaks).find(|rule| rule.action == action);
        let winner = first(Action::Deny).or_else(|| first(Action::Audit));
        let verdict = match (winner.map(|rule| rule.action), policy.mode()) {
            (None, _) => Verdict::Allowed,
            (Some(Action::Deny), Mode::Enforce) => Verdict::Denied,
            (Some(_), _) => Verdict::Audited,
        };
        let decision = policy.decide(workload, path.as_bytes(), operation);
        assert_eq!(decision.verdict, verdict);
        assert_eq!(decision.rule.map(|rule| rule.index), winner.map(|rule| rule.index));
    }
}

/// Small, overlapping and wide.
pub fn seeds() -> Vec<Seed> {
    let rule = |name, action, operations, workloads, paths, tags| SourceRule {
        name,
        action,
        operations,
        workloads,
        paths,
        tags,
    };
    let no_rules = Source { name: "p", mode: Mode::Audit, workloads: vec!["*"], rules: vec![] };
    let overlap = Source {
        name: "overlap",
        mode: Mode::Enforce,
        workloads: vec!["agent-7", "agent-*", "db"],
        rules: vec![
            rule("look", Action::Audit, Operations::ALL, vec![1, 2, 3], vec!["/etc/shadow"], vec!["a:1"]),
            rule("no-shadow", Action::Deny, Operations::OPEN, vec![2], vec!["/etc/shadow", "/"], vec![]),
            rule(
                "no-sh",
                Action::Deny,
                Operations::default().with(Operation::Exec),
                vec![1],
                vec!["/b"],
                vec![],
            ),
        ],
    };
    let names: Vec<String> = (0..17).map(|n| format!("w{n}")).collect();
    let wide = Source {
        name: "wide",
        mode: Mode::Enforce,
        workloads: names.iter().map(String::as_str).collect(),
        rules: vec![rule("all", Action::Deny, Operations::ALL, (1..=17).collect(), vec!["/x"], vec![])],
    };
    [("no-rules", no_rules), ("overlap", overlap), ("wide", wide)]
        .map(|(name, source)| (name, compile(&source).expect("a seed compiles")))
        .into()
}
