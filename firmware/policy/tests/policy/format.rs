//! The compiled form: what goes in comes out.

use aegis_policy::{
    Action, Argv, Deadman, Effect, Family, Kind, Mode, Operation, Operations, Policy, PolicyError, Prefix,
    Source, SourceTarget, SourceWorkload, Target, compile, limits, names,
};

use crate::{demo, every_kind, rule, source};

#[test]
fn what_was_compiled_is_read_back() {
    let bytes = compile(&demo(Mode::Enforce)).expect("good source");
    let policy = Policy::decode(&bytes).expect("good policy");
    assert_eq!((policy.name(), policy.mode(), policy.rule_count()), ("demo", Mode::Enforce, 3));
    assert_eq!((policy.self_protection(), policy.deadman(), policy.entries()), (true, None, 2 * 4 + 2 + 1));
    let workloads: Vec<_> = policy.workloads().map(|workload| (workload.index, workload.pattern)).collect();
    assert_eq!(workloads, [(1, "demo"), (2, "*"), (3, "agent-*"), (4, "agent-7*")]);
    let rules: Vec<_> = policy.rules().collect();
    assert_eq!((rules[1].index, rules[1].action), (1, Action::Deny));
    assert_eq!(rules[1].workloads().collect::<Vec<_>>(), [1, 3]);
    let Target::Files { paths, trees } = rules[0].target() else { panic!("files") };
    assert_eq!((paths.collect::<Vec<_>>(), trees.len()), (vec!["/etc/shadow", "/etc/passwd"], 0));
    assert_eq!(rules[0].tags().collect::<Vec<_>>(), ["T1003.008"]);
    assert!(rules[1].applies_to(3) && !rules[1].applies_to(2) && !rules[1].applies_to(0));
}

#[test]
fn every_kind_is_read_back() {
    use Effect::{Allow, Audit, Deny, Override, Trial};

    let bytes = compile(&every_kind()).expect("good source");
    let policy = Policy::decode(&bytes).expect("good policy");
    assert!(!policy.self_protection());
    assert_eq!(policy.deadman(), Some(Deadman { denials: 100, seconds: 60 }));
    assert_eq!(policy.workloads().map(|of| of.rate).collect::<Vec<_>>(), [Some(1_000), None]);
    assert_eq!((policy.entries(), policy.nets(), policy.hashes()), (3, 2 + 2, 2));
    assert!(policy.has_hashes());
    assert_eq!(policy.uses(), Operations::ALL);
    let kinds: Vec<_> = policy.rules().map(|rule| rule.target().kind()).collect();
    assert_eq!(kinds, [Kind::Files, Kind::Addresses, Kind::Addresses, Kind::Hashes, Kind::Surface]);
    let effects = |mode| policy.rules().map(|rule| rule.effect(mode)).collect::<Vec<_>>();
    assert_eq!(effects(Mode::Enforce), [Deny, Override, Trial, Allow, Audit]);
    assert_eq!(effects(Mode::Audit), [Trial, Override, Trial, Allow, Audit]);

    let targets: Vec<_> = policy.rules().map(|rule| rule.target()).collect();
    let Target::Files { paths, trees } = &targets[0] else { panic!("files") };
    assert_eq!(
        (paths.clone().collect::<Vec<_>>(), trees.clone().collect::<Vec<_>>()),
        (vec!["/etc/shadow"], vec!["/root/.ssh", "/"])
    );
    let Target::Addresses { prefixes, ports, protocols } = &targets[1] else { panic!("addresses") };
    assert_eq!(
        prefixes.clone().map(|of| of.to_string()).collect::<Vec<_>>(),
        ["10.0.0.0/8", "2001:db8::/32"]
    );
    assert_eq!(ports.clone().collect::<Vec<_>>(), [(80, 81), (443, 443)]);
    assert_eq!(protocols.clone().collect::<Vec<_>>(), [6, 17]);
    let Target::Addresses { prefixes, ports, protocols } = &targets[2] else { panic!("addresses") };
    assert_eq!(prefixes.clone().collect::<Vec<_>>(), [Prefix::INET, Prefix::INET6]);
    assert_eq!(ports.clone().chain([]).collect::<Vec<_>>(), [(0, 65_535)]);
    assert_eq!(protocols.clone().collect::<Vec<_>>(), [0]);
    let Target::Hashes(hashes) = &targets[3] else { panic!("hashes") };
    assert_eq!(hashes.clone().collect::<Vec<_>>(), [[3; 32], [7; 32]]);
}

#[test]
fn the_numbers_are_the_kernels() {
    let numbers: Vec<u8> = Operation::ALL.iter().map(|operation| operation.number()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 8, 9, 16, 17, 18, 19]);
    for (place, operation) in Operation::ALL.into_iter().enumerate() {
        assert_eq!(operation.place(), place);
        assert_eq!(Operation::from_number(operation.number()), Some(operation));
        let kinds = Kind::ALL.into_iter().filter(|kind| kind.operations().contains(operation)).count();
        assert_eq!(kinds, 1 + usize::from(operation == Operation::Exec), "{operation:?}");
    }
    assert_eq!(Operation::from_name("connect", Kind::Files), Some(Operation::UnixConnect));
    assert_eq!(Operation::from_name("connect", Kind::Addresses), Some(Operation::Connect));
    assert_eq!(Operation::from_name("connect", Kind::Surface), None);
    assert!(
        Effect::ALL.is_sorted() && Effect::ALL.iter().all(|of| Effect::from_number(of.number()) == Some(*of))
    );
    assert_eq!(
        [Operations::from_bits(0), Operations::from_bits(1 << 5), Operations::from_bits(1 << 20)],
        [None; 3]
    );
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
    let bytes = compile(&source(Mode::Audit, &["demo*", "demo"], vec![])).expect("good source");
    assert_eq!(Policy::decode(&bytes).expect("good").match_workload(b"demo"), Some(2));
}

#[test]
fn bad_sources_are_refused_by_name() {
    use PolicyError::{BadName, BadPath, BadValue, BadWorkload, DuplicateWorkload, Empty, TooMany};
    let refused = |change: &dyn Fn(&mut Source<'static>)| {
        let mut source = every_kind();
        change(&mut source);
        compile(&source).err()
    };
    let files = |paths: &[&'static str], trees: &[&'static str]| SourceTarget::Files {
        paths: paths.to_vec(),
        trees: trees.to_vec(),
    };
    let ports = |ports: &[(u16, u16)], protocols: &[u8]| SourceTarget::Addresses {
        prefixes: vec![],
        ports: ports.to_vec(),
        protocols: protocols.to_vec(),
    };
    let sparse: Vec<(u16, u16)> = (0..17).map(|n| (n * 2, n * 2)).collect();
    let digests = |count: u16| {
        SourceTarget::Hashes(
            (0..count).map(|n| [n as u8, (n >> 8) as u8].repeat(16).try_into().expect("32")).collect(),
        )
    };
    assert_eq!(refused(&|_| {}), None);
    assert_eq!(refused(&|of| of.name = "Demo"), Some(BadName));
    assert_eq!(refused(&|of| of.workloads.clear()), Some(BadValue), "rules for workloads that are not there");
    assert_eq!(compile(&source(Mode::Audit, &[], vec![])).err(), Some(Empty));
    assert_eq!(refused(&|of| of.workloads[1] = "w".into()), Some(DuplicateWorkload));
    assert_eq!(refused(&|of| of.workloads[1] = "a*b".into()), Some(BadWorkload));
    assert_eq!(
        refused(&|of| of.workloads[1] = SourceWorkload { pattern: "x", rate: Some(0) }),
        Some(BadValue)
    );
    assert_eq!(refused(&|of| of.deadman = Some(Deadman { denials: 0, seconds: 1 })), Some(BadValue));
    assert_eq!(refused(&|of| of.deadman = Some(Deadman { denials: 1, seconds: 0 })), Some(BadValue));
    assert_eq!(refused(&|of| of.deadman = Some(Deadman { denials: 1, seconds: 3_601 })), Some(BadValue));
    assert_eq!(refused(&|of| of.rules[0].name = "a-name-that-is-thirty-two-bytes-"), Some(BadName));
    // What Aegis decides by itself is told by these names: whoever signs, a device takes no rule that is called so.
    for own in ["aegis-self", "aegis-depth", "aegis-selftest", "aegis-", "aegis-new"] {
        assert_eq!(refused(&|of| of.rules[0].name = own), Some(BadName), "{own}");
    }
    assert_eq!(refused(&|of| of.rules[0].name = "aegis"), None);
    assert_eq!(refused(&|of| of.rules[0].target = files(&["/etc/../etc/shadow"], &[])), Some(BadPath));
    assert_eq!(refused(&|of| of.rules[0].target = files(&[], &["/etc/"])), Some(BadPath));
    assert_eq!(refused(&|of| of.rules[0].target = files(&[], &[])), Some(Empty));
    assert_eq!(refused(&|of| of.rules[3].target = SourceTarget::Hashes(vec![])), Some(Empty));
    for index in [0, 3, 9] {
        assert_eq!(refused(&|of| of.rules[0].workloads = vec![index]), Some(BadValue), "{index}");
    }
    assert_eq!(refused(&|of| of.rules[0].workloads.clear()), Some(BadValue));
    assert_eq!(refused(&|of| of.rules[0].tags = vec!["a b"]), Some(BadName));
    assert_eq!(refused(&|of| of.rules[0].tags = vec!["t"; limits::TAGS + 1]), Some(TooMany));
    // Operations of another kind, or none.
    assert_eq!(refused(&|of| of.rules[0].operations = Operations::only(Operation::Connect)), Some(BadValue));
    assert_eq!(
        refused(&|of| of.rules[1].operations = Operations::only(Operation::UnixConnect)),
        Some(BadValue)
    );
    assert_eq!(refused(&|of| of.rules[3].operations = Operations::OPEN), Some(BadValue));
    assert_eq!(refused(&|of| of.rules[4].operations = Operations::ALL), Some(BadValue));
    assert_eq!(refused(&|of| of.rules[4].operations = Operations::NONE), Some(BadValue));
    // Bounds.
    assert_eq!(
        refused(&|of| of.rules[0].target = files(&vec!["/a"; limits::ENTRIES], &["/b"])),
        Some(TooMany)
    );
    assert_eq!(refused(&|of| of.rules[1].target = ports(&[(2, 1)], &[])), Some(BadValue));
    assert_eq!(refused(&|of| of.rules[1].target = ports(&sparse, &[])), Some(TooMany));
    assert_eq!(refused(&|of| of.rules[1].target = ports(&[], &[1, 2, 3, 4, 5, 6, 7, 8, 9])), Some(TooMany));
    assert_eq!(refused(&|of| of.rules[3].target = digests(1_025)), Some(TooMany));
    let four = |of: &mut Source<'static>, count| {
        of.rules[3].target = digests(count);
        let again = of.rules[3].clone();
        of.rules.extend((0..3).map(|_| again.clone()));
    };
    assert_eq!(refused(&|of| four(of, 1_024)), None);
    assert_eq!(
        refused(&|of| {
            four(of, 1_024);
            of.rules[3].workloads = vec![1, 2];
        }),
        Some(TooMany)
    );
}

#[test]
fn the_largest_policies_are_read() {
    let full = source(
        Mode::Enforce,
        &["a"],
        vec![
            rule("all", Effect::Deny, &[1], &vec!["/a"; limits::ENTRIES - 3]),
            rule("more", Effect::Deny, &[1], &["/b", "/c", "/d"]),
        ],
    );
    let bytes = compile(&full).expect("fits");
    assert_eq!(Policy::decode(&bytes).expect("good").entries() as usize, limits::ENTRIES);
    let names: Vec<String> = (0..limits::WORKLOADS).map(|n| format!("w{n}")).collect();
    let wide = Source {
        workloads: names.iter().map(|name| name.as_str().into()).collect(),
        ..source(Mode::Audit, &[], vec![])
    };
    let bytes = compile(&wide).expect("fits");
    assert_eq!(Policy::decode(&bytes).expect("good").match_workload(b"w254"), Some(255));
}

#[test]
fn prefixes_have_one_form() {
    for (text, bits, expected) in [
        ("10.1.2.3", 8, "10.0.0.0/8"),
        ("10.1.2.3", 32, "10.1.2.3"),
        ("10.1.2.3", 0, "0.0.0.0/0"),
        ("2001:db8::1", 32, "2001:db8::/32"),
        ("::1", 128, "::1"),
        ("::", 0, "::/0"),
        ("::ffff:10.1.2.3", 128, "10.1.2.3"),
        ("::ffff:10.1.2.3", 104, "10.0.0.0/8"),
        ("::ffff:0.0.0.0", 96, "0.0.0.0/0"),
        // Not all of it is IPv4.
        ("::ffff:0.0.0.0", 95, "::fffe:0:0/95"),
    ] {
        assert_eq!(Prefix::new(text.parse().expect("good"), bits).to_string(), expected, "{text}/{bits}");
    }
    let mapped =
        Prefix::of(Family::Inet6, &"::ffff:10.1.2.3".parse::<std::net::Ipv6Addr>().expect("good").octets());
    assert_eq!(mapped, Prefix::of(Family::Inet, &[10, 1, 2, 3]));
    assert_eq!(Prefix::of(Family::Inet, &[10, 1, 2]), None);
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
        ("/x\u{7f}", false),
        ("/x\u{9b}", false),
        (&long, false),
        (&long[..limits::PATH_BYTES], true),
    ] {
        assert_eq!(names::is_path(path), good, "{path:?}");
    }
    for (tree, path, within) in [
        ("/", "/", true),
        ("/", "/etc", true),
        ("/etc", "/etc", true),
        ("/etc", "/etc/ssh/x", true),
        ("/etc", "/etcetera", false),
        ("/etc/ssh", "/etc", false),
    ] {
        assert_eq!(names::is_within(tree.as_bytes(), path.as_bytes()), within, "{tree} {path}");
    }
}

/// What a policy wants of arguments stands beside self-protection, in the same byte; an agent that does not know it refuses it.
#[test]
fn arguments_are_the_policys_to_strike_out() {
    for self_protection in [false, true] {
        for (number, argv) in [Argv::Whole, Argv::Secrets, Argv::Program].into_iter().enumerate() {
            let bytes = compile(&Source { self_protection, argv, ..every_kind() }).expect("good source");
            let policy = Policy::decode(&bytes).expect("good policy");
            assert_eq!((policy.self_protection(), policy.argv()), (self_protection, argv));
            // Behind format, mode and name.
            let place = 3 + policy.name().len();
            assert_eq!(usize::from(bytes[place]), number << 1 | usize::from(self_protection));
            for other in [6, 7, 8, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[place] = other;
                assert_eq!(Policy::decode(&bytes).err(), Some(PolicyError::BadValue), "{other}");
            }
        }
    }
}
