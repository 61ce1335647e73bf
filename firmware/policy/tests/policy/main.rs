//! What is compiled is read back; what is read decides as the one precedence sentence says; what is neither is refused.

mod bytes;
mod decisions;
mod format;
mod model;
mod nets;
mod small;

use aegis_policy::{
    Condition, Effect, Mode, Operations, Outputs, Relation, Severity, Source, SourceAlert, SourceMatch,
    SourceRule, SourceTarget, Way,
};

fn rule<'a>(name: &'a str, effect: Effect, workloads: &[u16], paths: &[&'a str]) -> SourceRule<'a> {
    SourceRule {
        name,
        effect,
        operations: Operations::OPEN,
        workloads: workloads.to_vec(),
        target: SourceTarget::paths(paths),
        tags: vec!["T1003.008"],
    }
}

fn source(mode: Mode, workloads: &[&'static str], rules: Vec<SourceRule<'static>>) -> Source<'static> {
    Source {
        name: "demo",
        mode,
        self_protection: true,
        argv: aegis_policy::Argv::Whole,
        deadman: None,
        workloads: workloads.iter().map(|pattern| (*pattern).into()).collect(),
        rules,
        alerts: vec![],
    }
}

fn demo(mode: Mode) -> Source<'static> {
    source(
        mode,
        &["demo", "*", "agent-*", "agent-7*"],
        vec![
            rule("watch", Effect::Audit, &[1, 2, 3, 4], &["/etc/shadow", "/etc/passwd"]),
            rule("no-shadow", Effect::Deny, &[1, 3], &["/etc/shadow"]),
            rule("no-shadow-again", Effect::Deny, &[1], &["/etc/shadow"]),
        ],
    )
}

/// One rule of each kind.
fn every_kind() -> Source<'static> {
    use aegis_policy::{Deadman, Operation, Prefix, SourceWorkload};
    let net = |text: &str, bits| Prefix::new(text.parse().expect("an address"), bits);
    let of =
        |name, effect, operations, target| SourceRule { operations, target, ..rule(name, effect, &[1], &[]) };
    let rules = vec![
        of(
            "tree",
            Effect::Deny,
            Operations::FILE,
            SourceTarget::Files { paths: vec!["/etc/shadow"], trees: vec!["/root/.ssh", "/"] },
        ),
        of(
            "net",
            Effect::Override,
            Operations::ADDRESS,
            SourceTarget::Addresses {
                prefixes: vec![net("10.0.0.0", 8), net("2001:db8::", 32)],
                ports: vec![(80, 81), (443, 443)],
                protocols: vec![6, 17],
            },
        ),
        of(
            "anywhere",
            Effect::Trial,
            Operations::only(Operation::Connect),
            SourceTarget::Addresses { prefixes: vec![], ports: vec![], protocols: vec![] },
        ),
        of(
            "hash",
            Effect::Allow,
            Operations::only(Operation::Exec),
            SourceTarget::Hashes(vec![[7; 32], [3; 32], [7; 32]]),
        ),
        of("surface", Effect::Audit, Operations::SURFACE, SourceTarget::Surface),
    ];
    Source {
        self_protection: false,
        argv: aegis_policy::Argv::Whole,
        deadman: Some(Deadman { denials: 100, seconds: 60 }),
        workloads: vec![SourceWorkload { pattern: "w", rate: Some(1_000) }, "*".into()],
        ..source(Mode::Enforce, &[], rules)
    }
}

/// Alerts, one on each condition, and little else.
fn every_alert() -> Source<'static> {
    Source { alerts: alerts(), ..source(Mode::Enforce, &["w"], vec![]) }
}

fn alerts() -> Vec<SourceAlert<'static>> {
    let alert = |name, metric, condition| SourceAlert {
        name,
        severity: Severity::Critical,
        metric,
        relation: None,
        matches: vec![],
        condition,
        hold: 0,
        clear_hold: 0,
        outputs: Outputs::STICK,
        meaning: "m",
        mend: "n",
    };
    let moved = |way| Condition::Moved { way, threshold: 5_000, clear: 4_000, seconds: 300 };
    let matched = |except| SourceMatch { label: "workload", except, values: vec!["a", "b c"] };
    vec![
        SourceAlert {
            relation: Some((Relation::Of, "b_c")),
            matches: vec![matched(false), matched(true)],
            hold: 60,
            ..alert("hot", "a_1", Condition::Above { threshold: 85_000, clear: -1 })
        },
        SourceAlert {
            relation: Some((Relation::Less, "d")),
            severity: Severity::Info,
            clear_hold: 300,
            ..alert("low", "a", Condition::Below { threshold: -1, clear: 200 })
        },
        alert("grew", "a", moved(Way::Increase { kept: false })),
        alert("kept", "a", moved(Way::Increase { kept: true })),
        alert("fell", "a", moved(Way::Decrease)),
        alert("jump", "a", moved(Way::Change)),
        SourceAlert { outputs: Outputs::default(), ..alert("gone", "a", Condition::Absent) },
        alert("still", "a", Condition::Unmoved { seconds: 9 }),
    ]
}
