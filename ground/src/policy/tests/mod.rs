//! The language: what is good, and one line for each thing that is not.

mod alerts;
mod argv;
mod kinds;
mod lints;
mod properties;
mod site;

use aegis_policy::{Operation, Operations, Policy, Target};

use std::path::Path;

use super::format::format;
use super::lint;
use super::place::Sources;
use super::resolve::PolicySource;
use super::source::Read;
use super::{Compiled, Trouble};

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

fn parse(text: &str) -> (Sources, Read<PolicySource>) {
    PolicySource::parse(text)
}

fn good<T>(text: &str, of: Result<T, Trouble>) -> T {
    match of {
        Ok(of) => of,
        Err(Trouble::Source(_, error)) => panic!("{}: {text}", error.message),
        Err(Trouble::Failure(failure)) => panic!("{}: {text}", failure.message()),
    }
}

fn compile(text: &str) -> Compiled {
    good(text, super::compile(Path::new("policy.toml"), text.as_bytes().to_vec(), false))
}

/// The mended text, and how many warnings are gone.
fn mend(text: &str) -> (String, usize) {
    good(text, lint::mend(Path::new("policy.toml"), text.as_bytes().to_vec()))
}

/// Line, code, message.
fn warnings(text: &str) -> Vec<(usize, &'static str, String)> {
    let compiled = compile(text);
    let findings = lint::lint(&compiled);
    let said =
        |finding: lint::Finding| (compiled.sources.line(finding.at), finding.code.name(), finding.message);
    findings.into_iter().map(said).collect()
}

#[test]
fn the_language_is_read() {
    let (sources, source) = parse(DEMO);
    let source = source.expect("good");
    let bytes = source.compile().expect("compiles");
    let policy = Policy::decode(&bytes).expect("decodes");
    let rules: Vec<_> = policy.rules().collect();
    let opens_and_exec = Operations::OPEN.with(Operation::Exec);
    assert_eq!(rules[0].operations, opens_and_exec.with(Operation::Change), "a denial holds in place");
    assert_eq!(rules[0].workloads().collect::<Vec<_>>(), [1]);
    assert_eq!(rules[1].workloads().collect::<Vec<_>>(), [1, 2], "default: all declared");
    assert_eq!(rules[1].operations, Operations::only(Operation::OpenRead), "nothing is implied by a report");
    assert_eq!(sources.line(source.rules[0].raw.paths[1].at), 18);
    assert!(warnings(DEMO).is_empty());
    assert_eq!(compile(DEMO).text, DEMO, "a plain source is its own source");
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
            "\"bind\"]",
            15,
            "\"bind\" is no operation on files: those are open, open-read, open-write, exec, change, connect",
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
            "bad path \"/etc/\": leave out the / at the end; `trees` is for a directory and all below it",
        ),
        (
            "/etc/gshadow",
            "/home/${user}/x",
            18,
            "${user} is a gap, and only a template's rules have gaps: write what it stands for, make it a [[template.rule]] with a \
             [[use]], or write $${ for a plain ${",
        ),
        ("/etc/gshadow", "/etc/../x", 18, "bad path \"/etc/../x\": write it without empty, . and .. parts"),
        (
            "paths = [\"/etc/passwd\"]\n",
            "",
            22,
            "rule \"watch\" is on nothing: add paths or trees (or hashes)",
        ),
        ("\"T1003.008\"", "\"a b\"", 20, "bad tag \"a b\": 1 to 32 of A-Z, a-z, 0-9, ., _, -, :"),
        ("[[rule]]\nname = \"watch\"", "[[rule]\nname = \"watch\"", 22, "unclosed array table, expected `]`"),
        ("mode = \"enforce\"", "mode = \"enforce\"\nmode = \"audit\"", 4, "duplicate key"),
    ] {
        assert!(DEMO.contains(from), "{from}");
        let (sources, read) = parse(&DEMO.replacen(from, to, 1));
        let error = read.expect_err(message);
        assert_eq!((sources.line(error.at), error.message.as_str()), (line, message), "{from} -> {to}");
    }
}

/// `$${` is a plain `${` in any rule, and stays one in the source that a bundle carries.
#[test]
fn a_plain_gap_is_written_twice() {
    let plain = compile(&DEMO.replace("/etc/gshadow", "/etc/$${x}"));
    let paths: Vec<&str> = plain.source.rules[0].raw.paths.iter().map(|path| path.value.as_str()).collect();
    assert_eq!(paths, ["/etc/shadow", "/etc/${x}"]);
    let used = "[[template]]\nname = \"t\"\n[[template.rule]]\nname = \"r\"\naction = \"deny\"\noperations = [\"exec\"]\n\
        paths = [\"/a$${b}\"]\n[[use]]\ntemplate = \"t\"\nwith = {}\n";
    let composed = compile(&format!("{DEMO}{used}"));
    assert!(composed.text.contains("\"/a$${b}\""), "{}", composed.text);
    assert_eq!(compile(&composed.text).bytes, composed.bytes);
}

#[test]
fn a_mistake_is_pointed_at() {
    let (sources, read) = parse(&DEMO.replacen("\"agent-*\"", "\"demo\"", 1));
    let expected = "\
\x20--> policy.toml:9:8
  |
9 | name = \"demo\"
  |        ^^^^^^
  |
 ::: policy.toml:6:8
  |
6 | name = \"demo\"
  |        ------ first here
";
    assert_eq!(sources.point(&read.expect_err("twice")), expected);
    // What drives a terminal is not handed on to it.
    let (sources, read) = parse("schema = 1\nname = \"x\"\nmode = \"aud\\u001b[31mit\" # \u{202e}\n");
    let shown = sources.point(&read.expect_err("no mode"));
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
}

#[test]
fn a_source_has_one_form() {
    let text = "\
#  top

schema=1
  name   = 'p' # why
mode = \"enforce\"


include = [ ]
[[workload]] # all
name = \"*\"
# about the rule


[[rule]]
paths = [ # files
  '/a', # first
  # above b
  \"/b\"
  , '/c'
  # last
]
name = \"r\"
   # why deny
action = \"deny\"
operations = [
  \"exec\",
]
[[use]]
template = \"t\"
with = {a=\"x\",   b = ['y','z']}
[[use]]
template = \"t\"
[use.with]
a = \"x\"
# end
";
    let expected = "\
#  top

schema = 1
name = \"p\" # why
mode = \"enforce\"

include = []

[[workload]] # all
name = \"*\"

# about the rule

[[rule]]
name = \"r\"
# why deny
action = \"deny\"
operations = [\"exec\"]
paths = [
    # files
    \"/a\", # first
    # above b
    \"/b\",
    \"/c\",
    # last
]

[[use]]
template = \"t\"
with = { a = \"x\", b = [\"y\", \"z\"] }

[[use]]
template = \"t\"

[use.with]
a = \"x\"
# end
";
    let formatted = format(text).unwrap_or_else(|error| panic!("{}", error.message));
    assert_eq!(formatted, expected);
    assert_eq!(format(&formatted).expect("good"), formatted);
}

const TEMPLATE: &str = "\
schema = 1
name = \"p\"
mode = \"enforce\"

[[workload]]
name = \"a\"

[[workload]]
name = \"b\"

[[rule]]
name = \"late\"
action = \"deny\"
operations = [\"exec\"]
paths = [\"/last\"]

[[use]]
template = \"keys\"
with = { who = [\"a\", \"b\"], home = [\"/root\", \"/home/x\"], key = [\"rsa\", \"ed25519\"], as = \"no\" }

[[template]]
name = \"keys\"
parameters = [\"who\", \"home\", \"key\", \"as\"]

[[template.rule]]
name = \"${as}-keys\"
workloads = [\"${who}\"]
action = \"deny\"
operations = [\"open\"]
paths = [\"${home}/.ssh/id_${key}\", \"/plain\"]
";

#[test]
fn templates_are_filled_and_resolved_to_one_source() {
    let compiled = compile(TEMPLATE);
    let policy = Policy::decode(&compiled.bytes).expect("good");
    let rules: Vec<_> = policy.rules().collect();
    assert_eq!(rules.iter().map(|rule| rule.name).collect::<Vec<_>>(), ["late", "no-keys"]);
    let paths = [
        "/root/.ssh/id_rsa",
        "/root/.ssh/id_ed25519",
        "/home/x/.ssh/id_rsa",
        "/home/x/.ssh/id_ed25519",
        "/plain",
    ];
    let Target::Files { paths: found, .. } = rules[1].target() else { panic!("files") };
    assert_eq!(found.collect::<Vec<_>>(), paths);
    assert!(
        !compiled.text.contains("template =")
            && compiled.text.contains("# policy.toml:25, used at policy.toml:17"),
        "{}",
        compiled.text
    );
    assert_eq!(compile(&compiled.text).bytes, compiled.bytes, "the resolved source is the same policy");
}

#[test]
fn templates_that_would_take_all_memory_are_refused() {
    let head = "schema = 1\nname = \"p\"\nmode = \"audit\"\n[[workload]]\nname = \"*\"\n";
    let rule = |name: &str, workloads: &str, path: &str| {
        format!(
            "[[template.rule]]\nname = \"{name}\"\nworkloads = [\"{workloads}\"]\naction = \"deny\"\n\
             operations = [\"open\"]\npaths = [\"{path}\"]\n"
        )
    };
    let with = |parameters: &str, rules: &str, with: &str| {
        format!(
            "{head}[[template]]\nname = \"t\"\nparameters = [{parameters}]\n{rules}\
             [[use]]\ntemplate = \"t\"\nwith = {{ {with} }}\n"
        )
    };
    let list = |count: usize| (0..count).map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ");
    let many = |workloads: &str, path: &str| -> String {
        (0..10_000).map(|n| rule(&format!("r{n}"), workloads, path)).collect()
    };
    let arguments = format!("a = [{0}], b = [{0}]", list(250));
    // The first item is short, the others are not: 2^15 of them, of up to 1.5 MB.
    let long = format!("a = [\"\", \"{}\"]", "x".repeat(100_000));
    let (mistyped, parameter) = ("b".repeat(400_000), "a".repeat(400_000));
    for (text, message) in [
        (with("\"a\", \"b\"", &many("*", "/${a}${b}"), &arguments), "is more than the kernel's map holds"),
        (with("\"a\", \"b\"", &many("${a}${b}", "/x"), &arguments), "is more than the kernel's map holds"),
        (with("\"a\"", &rule("r", "*", &"${a}".repeat(15)), &long), "it becomes longer than 1024 bytes"),
        (
            with(
                &format!("\"{parameter}\""),
                &rule("r", "*", &format!("/${{{mistyped}}}")),
                &format!("{parameter} = \"x\""),
            ),
            "has no parameter",
        ),
    ] {
        let error = PolicySource::parse(&text).1.expect_err("refused");
        assert!(error.message.contains(message), "{:.200}", error.message);
    }
}

#[test]
fn mistakes_in_templates_are_placed_there_and_where_they_are_used() {
    for (from, to, line, also, message) in [
        ("as = \"no\" }", "as = [\"no\"] }", 26, Some(17), "\"as\" is a list; one string is needed here"),
        (", as = \"no\"", "", 17, Some(23), "template \"keys\" needs \"as\" in `with`"),
        (
            ", as = ",
            ", was = ",
            19,
            Some(22),
            "template \"keys\" has no parameter \"was\" (did you mean \"as\"?)",
        ),
        ("${key}", "${kee}", 30, None, "template \"keys\" has no parameter \"kee\" (did you mean \"key\"?)"),
        ("${key}", "${key", 30, None, "the gap has no end: write ${name}, or $${ for a plain ${"),
        (
            "/home/x",
            "home/x",
            30,
            Some(17),
            "bad path \"home/x/.ssh/id_rsa\": write it from the root, with a leading /",
        ),
        (
            "as = \"no\"",
            "as = \"aegis\"",
            26,
            Some(17),
            "bad rule name \"aegis-keys\": aegis-… is what Aegis's own rules are called",
        ),
        ("as = \"no\"", "as = \"NO\"", 26, Some(17), "bad rule name \"NO-keys\": 1 to 31 of a-z, 0-9, -"),
        (
            "\"a\", \"b\"]",
            "\"a\", \"c\"]",
            27,
            Some(17),
            "workload \"c\" is not declared (did you mean \"a\"?)",
        ),
        (
            "template = \"keys\"",
            "template = \"kyes\"",
            18,
            None,
            "there is no template \"kyes\" (did you mean \"keys\"?)",
        ),
        (
            "[[template.rule]]",
            "[[template.rules]]",
            25,
            None,
            "unknown key \"rules\" (did you mean \"rule\"?)",
        ),
    ] {
        assert!(TEMPLATE.contains(from), "{from}");
        let (sources, read) = parse(&TEMPLATE.replacen(from, to, 1));
        let error = read.expect_err(message);
        let also_found = error.also.map(|also| sources.line(also.0));
        assert_eq!(
            (sources.line(error.at), also_found, error.message.as_str()),
            (line, also, message),
            "{from} -> {to}"
        );
    }
    // A use that would make more than a policy holds is refused before it is made.
    let many: Vec<String> = (0..300).map(|n| format!("\"k{n}\"")).collect();
    let many = TEMPLATE.replace("[\"rsa\", \"ed25519\"]", &format!("[{}]", many.join(",")));
    let many = many.replace("id_${key}", "${key}${key}");
    assert!(parse(&many).1.expect_err("too many").message.starts_with("it becomes more than"));
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
    assert!(warnings(&full).is_empty());

    let line = full.lines().count() + 2;
    rule(&mut full, "more", 0..1);
    let (sources, read) = parse(&full);
    let error = read.expect_err("one too many");
    assert_eq!(sources.line(error.at), line);
    assert!(error.message.starts_with("rule \"more\" is more than"), "{}", error.message);

    let mut many = head.to_owned();
    (0..20_000).for_each(|number| rule(&mut many, &format!("r{number}"), number..number + 1));
    assert!(warnings(&many).is_empty());

    let mut wide = head.to_owned();
    (0..WORKLOADS).for_each(|number| {
        let _ = writeln!(wide, "[[workload]]\nname = \"w{number}\"");
    });
    let (sources, read) = parse(&wide);
    let error = read.expect_err("one too many");
    let found = (sources.line(error.at), error.message.as_str());
    assert_eq!(found, (5 + 2 * WORKLOADS, "more than 255 workloads"));
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
