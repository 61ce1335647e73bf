//! The language: what is good, and one line for each thing that is not.

use aegis_policy::{Operation, Operations, Policy};

use super::lint::lint;
use super::source::PolicySource;

const DEMO: &str = r#"schema = 1
name = "demo"
mode = "enforce"

[[workload]]
name = "demo"

[[workload]]
name = "agent-*"

[[rule]]
name = "no-shadow"
workloads = ["demo"]
action = "deny"
operations = ["open", "exec"]
paths = [
    "/etc/shadow",
    "/etc/gshadow",
]
tags = ["T1003.008"]

[[rule]]
name = "watch"
action = "audit"
operations = ["open-read"]
paths = ["/etc/passwd"]
"#;

#[test]
fn the_language_is_read() {
    let source = PolicySource::parse(DEMO).expect("good");
    let bytes = source.compile().expect("compiles");
    let policy = Policy::decode(&bytes).expect("decodes");
    let rules: Vec<_> = policy.rules().collect();
    assert_eq!(rules[0].operations, Operations::ALL);
    assert_eq!(rules[0].workloads().collect::<Vec<_>>(), [1]);
    assert_eq!(rules[1].workloads().collect::<Vec<_>>(), [1, 2], "default: all declared");
    assert!(rules[1].operations.contains(Operation::OpenRead));
    assert_eq!(source.rules[0].value.paths[1].line, 18);
    assert!(lint(&source).is_empty());
}

#[test]
fn each_mistake_is_named_with_its_line() {
    for (from, to, line, message) in [
        ("schema = 1", "schema = 2", 1, "this aegisctl knows schema = 1 only; use a newer one"),
        ("schema = 1", "schema = \"1\"", 1, "an integer is needed here, not a string"),
        ("schema = 1\n", "", 1, "\"schema\" is missing from the policy"),
        (
            "name = \"demo\"\nmode",
            "name = \"Demo\"\nmode",
            2,
            "bad policy name \"Demo\": 1 to 63 of a-z, 0-9, -",
        ),
        ("\"enforce\"", "\"enforced\"", 3, "unknown mode \"enforced\" (did you mean \"enforce\"?)"),
        (
            "operations = [\"open-read\"]",
            "operatons = []",
            25,
            "unknown key \"operatons\" (did you mean \"operations\"?)",
        ),
        ("\"exec\"]", "\"opne\"]", 15, "unknown operation \"opne\" (did you mean \"open\"?)"),
        (
            "\"exec\"]",
            "\"connect\"]",
            15,
            "unknown operation \"connect\" (known: open, open-read, open-write, exec)",
        ),
        ("[\"demo\"]", "[\"dem\"]", 13, "workload \"dem\" is not declared (did you mean \"demo\"?)"),
        ("[\"demo\"]", "[]", 13, "the list is empty"),
        ("[\"demo\"]", "\"demo\"", 13, "a list is needed here, not a string"),
        ("\"agent-*\"", "\"demo\"", 9, "workload \"demo\" is declared twice (first on line 6)"),
        (
            "\"agent-*\"",
            "\"a*b\"",
            9,
            "bad workload name \"a*b\": 1 to 63 of A-Z, a-z, 0-9, ., _, -, with at most one * at the end",
        ),
        ("\"watch\"", "\"no-shadow\"", 23, "rule \"no-shadow\" stands twice (first on line 12)"),
        (
            "/etc/gshadow",
            "etc/gshadow",
            18,
            "bad path \"etc/gshadow\": write it from the root, with a leading /",
        ),
        (
            "/etc/gshadow",
            "/etc/",
            18,
            "bad path \"/etc/\": leave out the / at the end; a rule is on the one file of that name",
        ),
        ("/etc/gshadow", "/etc/../x", 18, "bad path \"/etc/../x\": write it without empty, . and .. parts"),
        ("paths = [\"/etc/passwd\"]\n", "", 22, "\"paths\" is missing from rule"),
        ("\"T1003.008\"", "\"a b\"", 20, "bad tag \"a b\": 1 to 32 of A-Z, a-z, 0-9, ., _, -, :"),
        ("[[rule]]\nname = \"watch\"", "[[rule]\nname = \"watch\"", 22, "unclosed array table, expected `]`"),
        ("mode = \"enforce\"", "mode = \"enforce\"\nmode = \"audit\"", 4, "duplicate key"),
    ] {
        assert!(DEMO.contains(from), "{from}");
        let error = PolicySource::parse(&DEMO.replacen(from, to, 1)).expect_err(message);
        assert_eq!((error.line, error.message.as_str()), (line, message), "{from} -> {to}");
    }
}

#[test]
fn lints_say_what_never_decides() {
    let text =
        DEMO.replace("\"enforce\"", "\"audit\"").replace("/etc/passwd\"]", "/etc/shadow\", \"/a\", \"/a\"]");
    let source = PolicySource::parse(&text.replace("name = \"agent-*\"", "name = \"x\"")).expect("good");
    let found: Vec<_> = lint(&source).into_iter().map(|warning| (warning.line, warning.value)).collect();
    let expected = [
        (12, "rule \"no-shadow\" denies nothing: the policy's mode is audit".to_owned()),
        (26, "rule \"watch\" lists /a twice".to_owned()),
    ];
    assert_eq!(found, expected, "x still has the rule on /etc/shadow to itself");
    let text = text.replace("\n[[workload]]\nname = \"agent-*\"\n", "");
    let source = PolicySource::parse(&text).expect("good");
    let shadowed = "rule \"watch\" never decides on /etc/shadow: rule \"no-shadow\" does";
    assert!(lint(&source).iter().any(|warning| warning.value == shadowed));
}

/// The time is the test: with a search per value, each of these took minutes.
#[test]
fn a_policy_at_its_limits_is_read_at_once_and_one_beyond_is_placed() {
    use std::fmt::Write;

    use aegis_policy::limits::{ENTRIES, WORKLOADS};

    let start = std::time::Instant::now();
    let head = "schema = 1\nname = \"big\"\nmode = \"enforce\"\n[[workload]]\nname = \"w\"\n";
    let rule = |text: &mut String, name: &str, paths: std::ops::Range<usize>| {
        let _ = write!(
            text,
            "[[rule]]\nname = \"{name}\"\naction = \"deny\"\noperations = [\"exec\"]\npaths = [\n"
        );
        for path in paths {
            let _ = writeln!(text, "\"/p{path}\",");
        }
        text.push_str("]\n");
    };
    let mut full = head.to_owned();
    rule(&mut full, "all", 0..ENTRIES);
    let source = PolicySource::parse(&full).expect("at the limit");
    assert!(source.compile().is_ok() && lint(&source).is_empty());

    let line = full.lines().count() + 2;
    rule(&mut full, "more", 0..1);
    let error = PolicySource::parse(&full).expect_err("one too many");
    assert_eq!(error.line, line);
    assert!(error.message.starts_with("rule \"more\" is more than"), "{}", error.message);

    let mut many = head.to_owned();
    (0..20_000).for_each(|number| rule(&mut many, &format!("r{number}"), number..number + 1));
    let source = PolicySource::parse(&many).expect("good");
    assert!(source.compile().is_ok() && lint(&source).is_empty());

    let mut wide = head.to_owned();
    (0..WORKLOADS).for_each(|number| {
        let _ = writeln!(wide, "[[workload]]\nname = \"w{number}\"");
    });
    let error = PolicySource::parse(&wide).expect_err("one too many");
    assert_eq!((error.line, error.message.as_str()), (5 + 2 * WORKLOADS, "more than 255 workloads"));
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
