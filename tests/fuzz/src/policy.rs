//! `policy`: a compiled policy, as the device reads it out of a signed bundle.

use std::collections::BTreeSet;

use aegis_event::Verdict;
use aegis_policy::{
    Access, Alert, Condition, Deadman, Effect, Kind, Mode, Operation, Operations, Outputs, Policy, Prefix,
    Relation, Rule, Severity, Source, SourceAlert, SourceMatch, SourceRule, SourceTarget, SourceWorkload,
    Target, Way, compile, limits,
};

use crate::Seed;

/// Most rules and items of them that decisions are asked of: each question walks the whole policy.
const ASKED: usize = 8;
/// The first bytes of what is compiled now; what has another is read, and not written.
const FORMATS: [u8; 2] = [2, 3];

fn source_alert<'a>(alert: &Alert<'a>) -> SourceAlert<'a> {
    SourceAlert {
        name: alert.name,
        severity: alert.severity,
        metric: alert.metric,
        relation: alert.relation,
        matches: alert
            .matches()
            .map(|of| SourceMatch { label: of.label, except: of.except, values: of.values.collect() })
            .collect(),
        condition: alert.condition,
        hold: alert.hold,
        clear_hold: alert.clear_hold,
        outputs: alert.outputs,
        meaning: alert.meaning,
        mend: alert.mend,
    }
}

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
        self_protection: policy.self_protection(),
        argv: policy.argv(),
        deadman: policy.deadman(),
        workloads: policy
            .workloads()
            .map(|workload| SourceWorkload { pattern: workload.pattern, rate: workload.rate })
            .collect(),
        rules: rules.iter().map(source_rule).collect(),
        alerts: policy.alerts().iter().map(|alert| source_alert(&alert)).collect(),
    };
    let again = compile(&source);
    if FORMATS.contains(&data[0]) {
        assert_eq!(again.as_deref(), Ok(data), "another encoding of {source:?}");
    } else {
        assert!(again.is_ok(), "what an older format can say, this one can: {source:?}");
    }
    check_sums(&policy, &source);

    for pattern in patterns.iter().take(ASKED) {
        let name = pattern.trim_end_matches('*');
        if let Some(found) = policy.match_workload(name.as_bytes()) {
            let found = patterns[usize::from(found) - 1];
            assert!(found == name || name.starts_with(found.strip_suffix('*').unwrap_or("?")));
            assert!(found == name || !patterns.contains(&name), "an exact name comes first");
        }
    }
    for rule in rules.iter().take(ASKED) {
        for workload in rule.workloads().take(ASKED) {
            ask(&policy, &rules, rule, workload);
        }
    }
    true
}

fn source_rule<'a>(rule: &Rule<'a>) -> SourceRule<'a> {
    SourceRule {
        name: rule.name,
        effect: rule.effect(Mode::Enforce),
        operations: rule.operations,
        workloads: rule.workloads().collect(),
        target: match rule.target() {
            Target::Files { paths, trees } => {
                SourceTarget::Files { paths: paths.collect(), trees: trees.collect() }
            }
            Target::Addresses { prefixes, ports, protocols } => SourceTarget::Addresses {
                prefixes: prefixes.collect(),
                ports: ports.collect(),
                protocols: protocols.collect(),
            },
            Target::Hashes(hashes) => SourceTarget::Hashes(hashes.collect()),
            Target::Surface => SourceTarget::Surface,
        },
        tags: rule.tags().collect(),
    }
}

/// What the policy says of its size is so, and within bounds.
fn check_sums(policy: &Policy<'_>, source: &Source<'_>) {
    let (mut entries, mut nets, mut hashes, mut uses) = (0, 0, 0, Operations::NONE);
    for rule in &source.rules {
        let times = rule.workloads.len();
        match &rule.target {
            SourceTarget::Files { paths, trees } => entries += (paths.len() + trees.len()) * times,
            SourceTarget::Addresses { prefixes, .. } => nets += prefixes.len() * times,
            SourceTarget::Hashes(of) => hashes += of.len() * times,
            SourceTarget::Surface => {}
        }
        uses = uses.and(rule.operations);
    }
    let said = [policy.entries(), policy.nets(), policy.hashes()].map(|sum| sum as usize);
    assert_eq!((said, policy.uses()), ([entries, nets, hashes], uses));
    assert!(entries <= limits::ENTRIES && nets <= limits::NETS && hashes <= limits::HASHES);
}

/// Asks of some of what a rule is on, and of what lies beside it.
fn ask(policy: &Policy<'_>, rules: &[Rule<'_>], rule: &Rule<'_>, workload: u16) {
    match rule.target() {
        Target::Files { paths, trees } => {
            let below = trees.clone().take(ASKED).map(|tree| format!("{}/x", tree.trim_end_matches('/')));
            let named = paths.take(ASKED).chain(trees.take(ASKED)).map(str::to_owned);
            for path in named.chain(below) {
                for operation in Kind::Files.operations().iter() {
                    let access = Access::File { path: path.as_bytes(), operation, digest: None };
                    check_decision(policy, rules, workload, &access);
                }
            }
        }
        Target::Addresses { prefixes, ports, protocols } => {
            for prefix in prefixes.take(ASKED) {
                for (first, last) in ports.clone().take(ASKED) {
                    for protocol in protocols.clone().take(ASKED) {
                        for (port, operation) in [(first, Operation::Connect), (last, Operation::Bind)] {
                            let (family, address) = (prefix.family, &prefix.address[..]);
                            let access = Access::Address { family, address, port, protocol, operation };
                            check_decision(policy, rules, workload, &access);
                        }
                    }
                }
            }
        }
        Target::Hashes(hashes) => {
            for hash in hashes.take(ASKED) {
                let access = Access::File { path: b"/x", operation: Operation::Exec, digest: Some(&hash) };
                check_decision(policy, rules, workload, &access);
            }
        }
        Target::Surface => {
            for operation in Kind::Surface.operations().iter() {
                check_decision(policy, rules, workload, &Access::Surface(operation));
            }
        }
    }
}

/// Override, deny, trial, allow, audit, in this order, and the first rule of the winning kind is named.
fn check_decision(policy: &Policy<'_>, rules: &[Rule<'_>], workload: u16, access: &Access<'_>) {
    let operation = access.operation();
    let speaks = |rule: &&Rule<'_>| {
        rule.applies_to(workload) && rule.operations.contains(operation) && covers(rule, access)
    };
    let first =
        |effect: &Effect| rules.iter().filter(speaks).find(|rule| rule.effect(policy.mode()) == *effect);
    let winner = Effect::ALL.iter().rev().find_map(|effect| first(effect).map(|rule| (*effect, rule.index)));
    let verdict = match winner {
        Some((Effect::Deny, _)) => Verdict::Denied,
        Some((Effect::Trial | Effect::Audit, _)) => Verdict::Audited,
        Some((Effect::Override | Effect::Allow, _)) | None => Verdict::Allowed,
    };
    let decision = policy.decide(workload, access);
    assert_eq!(decision.verdict, verdict);
    assert_eq!(decision.effect.zip(decision.rule.map(|rule| rule.index)), winner);
}

/// Whether a rule is on something, read plainly.
fn covers(rule: &Rule<'_>, access: &Access<'_>) -> bool {
    match (rule.target(), access) {
        (Target::Files { mut paths, mut trees }, Access::File { path, .. }) => {
            let path = std::str::from_utf8(path).expect("asked in text");
            let below = |tree: &str| {
                tree == "/"
                    || path == tree
                    || path.strip_prefix(tree).is_some_and(|rest| rest.starts_with('/'))
            };
            paths.any(|of| of == path) || trees.any(below)
        }
        (Target::Hashes(mut hashes), Access::File { digest, .. }) => {
            hashes.any(|hash| *digest == Some(&hash))
        }
        (
            Target::Addresses { mut prefixes, mut ports, mut protocols },
            Access::Address { family, address, port, protocol, .. },
        ) => {
            let bit = |of: &[u8], n: u8| of[usize::from(n / 8)] >> (7 - n % 8) & 1;
            let alike = |of: Prefix| {
                of.family == *family && (0..of.bits).all(|n| bit(&of.address, n) == bit(address, n))
            };
            prefixes.any(alike)
                && ports.any(|(first, last)| first <= *port && *port <= last)
                && protocols.any(|of| of == 0 || of == *protocol)
        }
        (Target::Surface, Access::Surface(_)) => true,
        _ => false,
    }
}

/// Small, overlapping, wide, of every kind, and of the format before.
#[allow(clippy::too_many_lines, reason = "one list of sources")]
pub fn seeds() -> Vec<Seed> {
    let rule = |name, effect, operations, workloads: &[u16], target| SourceRule {
        name,
        effect,
        operations,
        workloads: workloads.to_vec(),
        target,
        tags: vec!["a:1"],
    };
    let policy = |name, workloads: &[&'static str], rules| Source {
        name,
        mode: Mode::Enforce,
        self_protection: true,
        argv: aegis_policy::Argv::Whole,
        deadman: None,
        workloads: workloads.iter().map(|pattern| (*pattern).into()).collect(),
        rules,
        alerts: vec![],
    };
    let paths = SourceTarget::paths;
    let exec = Operations::only(Operation::Exec);
    let no_rules = Source { mode: Mode::Audit, ..policy("p", &["*"], vec![]) };
    let overlap = policy(
        "overlap",
        &["agent-7", "agent-*", "db"],
        vec![
            rule("look", Effect::Audit, Operations::FILE, &[1, 2, 3], paths(&["/etc/shadow"])),
            rule("no-shadow", Effect::Deny, Operations::OPEN, &[2], paths(&["/etc/shadow", "/"])),
            rule("no-sh", Effect::Deny, exec, &[1], paths(&["/b"])),
        ],
    );
    let names: Vec<String> = (0..17).map(|n| format!("w{n}")).collect();
    let all: Vec<u16> = (1..=17).collect();
    let wide = Source {
        workloads: names.iter().map(|name| name.as_str().into()).collect(),
        ..policy("wide", &[], vec![rule("all", Effect::Deny, Operations::FILE, &all, paths(&["/x"]))])
    };
    let net = |address: [u8; 4], bits| Prefix::new(address.into(), bits);
    let alerts = || {
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
    };
    let kinds = Source {
        self_protection: false,
        argv: aegis_policy::Argv::Whole,
        deadman: Some(Deadman { denials: 9, seconds: 60 }),
        workloads: vec![SourceWorkload { pattern: "w", rate: Some(300) }, "*".into()],
        ..policy(
            "kinds",
            &[],
            vec![
                rule("tree", Effect::Trial, Operations::FILE, &[1], SourceTarget::trees(&["/srv", "/"])),
                rule("but", Effect::Override, exec, &[1, 2], SourceTarget::trees(&["/srv/open"])),
                rule(
                    "net",
                    Effect::Deny,
                    Operations::ADDRESS,
                    &[1],
                    SourceTarget::Addresses { prefixes: vec![], ports: vec![], protocols: vec![] },
                ),
                rule(
                    "web",
                    Effect::Override,
                    Operations::only(Operation::Connect),
                    &[1],
                    SourceTarget::Addresses {
                        prefixes: vec![net([10, 0, 0, 0], 8), net([192, 0, 2, 1], 32)],
                        ports: vec![(443, 443), (8_000, 8_010)],
                        protocols: vec![6, 17],
                    },
                ),
                rule("tool", Effect::Deny, exec, &[2], SourceTarget::Hashes(vec![[1; 32], [2; 32]])),
                rule("kernel", Effect::Allow, Operations::SURFACE, &[1, 2], SourceTarget::Surface),
            ],
        )
    };
    let format_1 = b"\x01\x01\x03old\x02\x02\x04demo\x01*\x05watch\x01\x03\x01\x03\x01\x00\x02/x\
        \x04no-x\x02\x05\x01\x01\x02\x01\x02/x\x02/y\x05T1003";
    let alerts = Source { alerts: alerts(), ..no_rules.clone() };
    let compiled =
        [("no-rules", no_rules), ("overlap", overlap), ("wide", wide), ("kinds", kinds), ("alerts", alerts)];
    let compiled = compiled.map(|(name, source)| (name, compile(&source).expect("a seed compiles")));
    compiled.into_iter().chain([("format-1", format_1.to_vec())]).collect()
}
