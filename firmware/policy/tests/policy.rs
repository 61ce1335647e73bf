//! What is compiled is read back; what is read decides as the one precedence sentence says.

use aegis_event::Verdict;
use aegis_policy::{
    Action, Mode, Operation, Operations, Policy, PolicyError, Slot, Source, SourceRule, compile, limits,
    names,
};
use proptest::prelude::*;

fn rule<'a>(name: &'a str, action: Action, workloads: &[u16], paths: &[&'a str]) -> SourceRule<'a> {
    SourceRule {
        name,
        action,
        operations: Operations::OPEN,
        workloads: workloads.to_vec(),
        paths: paths.to_vec(),
        tags: vec!["T1003.008"],
    }
}

fn demo(mode: Mode) -> Source<'static> {
    Source {
        name: "demo",
        mode,
        workloads: vec!["demo", "*", "agent-*", "agent-7*"],
        rules: vec![
            rule("watch", Action::Audit, &[1, 2, 3, 4], &["/etc/shadow", "/etc/passwd"]),
            rule("no-shadow", Action::Deny, &[1, 3], &["/etc/shadow"]),
            rule("no-shadow-again", Action::Deny, &[1], &["/etc/shadow"]),
        ],
    }
}

#[test]
fn what_was_compiled_is_read_back() {
    let bytes = compile(&demo(Mode::Enforce)).expect("good source");
    let policy = Policy::decode(&bytes).expect("good policy");
    assert_eq!((policy.name(), policy.mode(), policy.rule_count()), ("demo", Mode::Enforce, 3));
    assert_eq!(policy.entries(), 2 * 4 + 2 + 1);
    let workloads: Vec<_> = policy.workloads().map(|workload| (workload.index, workload.pattern)).collect();
    assert_eq!(workloads, [(1, "demo"), (2, "*"), (3, "agent-*"), (4, "agent-7*")]);
    let rules: Vec<_> = policy.rules().collect();
    assert_eq!(rules[1].index, 1);
    assert_eq!(rules[1].workloads().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(rules[0].paths().collect::<Vec<_>>(), ["/etc/shadow", "/etc/passwd"]);
    assert_eq!(rules[0].tags().collect::<Vec<_>>(), ["T1003.008"]);
    assert!(rules[1].applies_to(3) && !rules[1].applies_to(2) && !rules[1].applies_to(0));
}

#[test]
fn the_most_specific_pattern_owns_a_workload() {
    let bytes = compile(&demo(Mode::Enforce)).expect("good source");
    let policy = Policy::decode(&bytes).expect("good policy");
    for (name, expected) in [
        ("demo", Some(1)),
        ("demo2", Some(2)),
        ("agent-", Some(3)),
        ("agent-1", Some(3)),
        ("agent-7", Some(4)),
        ("agent-77", Some(4)),
        ("..", None),
        ("a/b", None),
        ("", None),
        ("*", None),
    ] {
        assert_eq!(policy.match_workload(name.as_bytes()), expected, "{name}");
    }
    // An exact name beats a pattern that is longer with its star, and the order of declaration does not matter.
    let source = Source { workloads: vec!["demo*", "demo"], rules: vec![], ..demo(Mode::Audit) };
    let bytes = compile(&source).expect("good source");
    assert_eq!(Policy::decode(&bytes).expect("good").match_workload(b"demo"), Some(2));
}

#[test]
fn deny_beats_audit_then_the_first_rule_is_named() {
    let decide = |mode, workload, path: &str, operation| {
        let bytes = compile(&demo(mode)).expect("good source");
        let decision = Policy::decode(&bytes).expect("good").decide(workload, path.as_bytes(), operation);
        (
            decision.verdict,
            decision.rule.map_or("", |rule| if rule.index == 0 { "watch" } else { "no-shadow" }),
        )
    };
    let read = Operation::OpenRead;
    assert_eq!(decide(Mode::Enforce, 1, "/etc/shadow", read), (Verdict::Denied, "no-shadow"));
    assert_eq!(decide(Mode::Enforce, 2, "/etc/shadow", read), (Verdict::Audited, "watch"));
    assert_eq!(decide(Mode::Audit, 1, "/etc/shadow", read), (Verdict::Audited, "no-shadow"));
    assert_eq!(decide(Mode::Enforce, 1, "/etc/passwd", read), (Verdict::Audited, "watch"));
    assert_eq!(decide(Mode::Enforce, 1, "/etc/shadow", Operation::Exec), (Verdict::Allowed, ""));
    assert_eq!(decide(Mode::Enforce, 1, "/etc/hosts", read), (Verdict::Allowed, ""));
    assert_eq!(decide(Mode::Enforce, 99, "/etc/shadow", read), (Verdict::Allowed, ""));
}

#[test]
fn bad_sources_are_refused_by_name() {
    let good = || demo(Mode::Enforce);
    let with_rule = |change: &dyn Fn(&mut SourceRule<'static>)| {
        let mut source = good();
        change(&mut source.rules[0]);
        compile(&source).err()
    };
    assert_eq!(compile(&Source { name: "Demo", ..good() }).err(), Some(PolicyError::BadName));
    assert_eq!(
        compile(&Source { workloads: vec![], rules: vec![], ..good() }).err(),
        Some(PolicyError::Empty)
    );
    let twice = Source { workloads: vec!["a", "b", "c", "a"], ..good() };
    assert_eq!(compile(&twice).err(), Some(PolicyError::DuplicateWorkload));
    let star = Source { workloads: vec!["a*b", "b", "c", "d"], ..good() };
    assert_eq!(compile(&star).err(), Some(PolicyError::BadWorkload));
    assert_eq!(with_rule(&|rule| rule.name = "a-name-that-is-thirty-two-bytes-"), Some(PolicyError::BadName));
    assert_eq!(with_rule(&|rule| rule.paths = vec!["/etc/../etc/shadow"]), Some(PolicyError::BadPath));
    assert_eq!(with_rule(&|rule| rule.paths.clear()), Some(PolicyError::Empty));
    assert_eq!(with_rule(&|rule| rule.workloads = vec![5]), Some(PolicyError::BadValue));
    assert_eq!(with_rule(&|rule| rule.workloads = vec![0]), Some(PolicyError::BadValue));
    assert_eq!(with_rule(&|rule| rule.workloads = vec![9]), Some(PolicyError::BadValue));
    assert_eq!(with_rule(&|rule| rule.workloads.clear()), Some(PolicyError::BadValue));
    assert_eq!(with_rule(&|rule| rule.tags = vec!["a b"]), Some(PolicyError::BadName));
    assert_eq!(with_rule(&|rule| rule.tags = vec!["t"; limits::TAGS + 1]), Some(PolicyError::TooMany));
    let many = limits::ENTRIES / 4;
    assert_eq!(with_rule(&|rule| rule.paths = vec!["/a"; many + 1]), Some(PolicyError::TooMany));
}

#[test]
fn the_largest_policies_are_read() {
    let paths = vec!["/a"; limits::ENTRIES - 3];
    let full = Source {
        workloads: vec!["a"],
        rules: vec![
            rule("all", Action::Deny, &[1], &paths),
            rule("more", Action::Deny, &[1], &["/b", "/c", "/d"]),
        ],
        ..demo(Mode::Enforce)
    };
    let bytes = compile(&full).expect("fits");
    assert_eq!(Policy::decode(&bytes).expect("good").entries() as usize, limits::ENTRIES);
    let names: Vec<String> = (0..limits::WORKLOADS).map(|n| format!("w{n}")).collect();
    let wide =
        Source { workloads: names.iter().map(String::as_str).collect(), rules: vec![], ..demo(Mode::Audit) };
    let bytes = compile(&wide).expect("fits");
    assert_eq!(Policy::decode(&bytes).expect("good").match_workload(b"w254"), Some(255));
}

#[test]
fn every_truncation_and_every_longer_policy_is_refused() {
    let bytes = compile(&demo(Mode::Enforce)).expect("good source");
    for length in 0..bytes.len() {
        assert!(Policy::decode(&bytes[..length]).is_err(), "{length}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Policy::decode(&longer).err(), Some(PolicyError::TrailingBytes));
}

#[test]
fn long_varints_are_refused() {
    let bytes = compile(&Source { rules: vec![], workloads: vec!["a"], ..demo(Mode::Audit) }).expect("good");
    // format, mode, length of the name: the same length in two bytes.
    let long = [&bytes[..2], &[0x84, 0x00], &bytes[3..]].concat();
    assert_eq!(Policy::decode(&long).err(), Some(PolicyError::NotCanonical));
    let other = [&[2], &bytes[1..]].concat();
    assert_eq!(Policy::decode(&other).err(), Some(PolicyError::UnsupportedFormat));
}

#[test]
fn paths_are_absolute_and_normalised() {
    let long = format!("/{}", "a".repeat(limits::PATH_BYTES));
    for (path, good) in [
        ("/", true),
        ("/etc/shadow", true),
        ("/a b/ü", true),
        ("/...", true),
        ("", false),
        ("etc", false),
        ("/etc/", false),
        ("//etc", false),
        ("/etc//x", false),
        ("/./x", false),
        ("/x/..", false),
        ("/x\n", false),
        ("/x\0", false),
        (&long, false),
        (&long[..limits::PATH_BYTES], true),
    ] {
        assert_eq!(names::is_path(path), good, "{path:?}");
    }
}

/// Action, operation bits, workload bits, numbers of paths.
type AnyRule = (Action, u8, u8, Vec<usize>);

fn any_source() -> impl Strategy<Value = (Mode, Vec<AnyRule>)> {
    let action = prop_oneof![Just(Action::Audit), Just(Action::Deny)];
    let mode = prop_oneof![Just(Mode::Audit), Just(Mode::Enforce)];
    let rule = (action, 1u8..8, 1u8..8, proptest::collection::vec(0usize..4, 1..4));
    (mode, proptest::collection::vec(rule, 0..12))
}

const PATHS: [&str; 4] = ["/a", "/b", "/c/d", "/e"];

proptest! {
    /// Against the sentence itself, spelled out over plain values.
    #[test]
    fn decisions_follow_the_sentence((mode, rules) in any_source(), shuffle in any::<u64>()) {
        let source = Source {
            name: "p",
            mode,
            workloads: vec!["x", "y", "z"],
            rules: rules.iter().map(|(action, operations, workloads, paths)| SourceRule {
                name: "r",
                action: *action,
                operations: Operations::from_bits(*operations).expect("1 to 7"),
                workloads: (1..=3).filter(|index| workloads >> (index - 1) & 1 == 1).collect(),
                paths: paths.iter().map(|path| PATHS[*path]).collect(),
                tags: vec![],
            }).collect(),
        };
        let bytes = compile(&source).expect("good");
        let policy = Policy::decode(&bytes).expect("good");
        for workload in 1..=3u16 {
            for (number, path) in PATHS.iter().enumerate() {
                for operation in Operation::ALL {
                    let hits = || rules.iter().enumerate().filter(|(_, rule)| {
                        rule.2 >> (workload - 1) & 1 == 1
                            && rule.3.contains(&number)
                            && rule.1 >> operation.index() & 1 == 1
                    });
                    let first = |action| hits().find(|(_, rule)| rule.0 == action).map(|(index, _)| index as u32);
                    let (verdict, by) = match (first(Action::Deny), first(Action::Audit), mode) {
                        (Some(rule), _, Mode::Enforce) => (Verdict::Denied, Some(rule)),
                        (Some(rule), _, Mode::Audit) | (None, Some(rule), _) => (Verdict::Audited, Some(rule)),
                        (None, None, _) => (Verdict::Allowed, None),
                    };
                    let decision = policy.decide(workload, path.as_bytes(), operation);
                    prop_assert_eq!(decision.verdict, verdict);
                    prop_assert_eq!(decision.rule.map(|rule| rule.index), by);
                    // Folding in another order gives the same slot.
                    let mut all: Vec<_> = policy.rules()
                        .filter(|rule| rule.applies_to(workload) && rule.paths().any(|of| of == *path))
                        .collect();
                    if !all.is_empty() {
                        let turn = shuffle as usize % all.len();
                        all.rotate_left(turn);
                        if shuffle & 1 == 0 { all.reverse(); }
                    }
                    let mut slot = Slot::EMPTY;
                    for rule in &all { slot.add(rule); }
                    prop_assert_eq!((slot.verdict(operation, mode), slot.rule(operation)), (verdict, by));
                }
            }
        }
    }

    #[test]
    fn any_bytes_and_any_flip_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in any::<usize>(), bit in 0u8..8) {
        let _ = Policy::decode(&bytes);
        let mut good = compile(&demo(Mode::Enforce)).expect("good");
        let at = at % good.len();
        good[at] ^= 1 << bit;
        if let Ok(policy) = Policy::decode(&good) {
            // A flip may leave another good policy; then it is whole.
            prop_assert_eq!(policy.rules().count(), policy.rule_count() as usize);
        }
    }
}
