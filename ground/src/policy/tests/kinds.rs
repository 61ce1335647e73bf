//! Rules on trees, addresses, hashes and the kernel's own surface; allow, override, trial; the policy's own new keys.

use std::fmt::Write;

use aegis_policy::{Deadman, Effect, Mode, Operation, Operations, Policy, Target, limits};

use super::{compile, parse, warnings};

const ALL: &str = r#"schema = 1
name = "all"
mode = "enforce"
self-protection = false

[deadman]
denials = 100
seconds = 60

[[workload]]
name = "agent-*"
rate = 5000

[[rule]]
name = "no-keys"
action = "deny"
mode = "audit"
operations = ["open-read"]
paths = ["/etc/shadow"]
trees = ["/root/.ssh"]

[[rule]]
name = "but-this"
action = "allow"
override = true
operations = ["open-read"]
trees = ["/root/.ssh/public"]

[[rule]]
name = "no-net"
action = "deny"
operations = ["connect", "bind"]

[[rule]]
name = "but-web"
action = "allow"
override = true
operations = ["connect"]
addresses = ["10.0.0.0/8", "::ffff:192.0.2.0/120"]
ports = [443, "8000-8010"]
protocols = ["tcp", 132]

[[rule]]
name = "no-tool"
action = "deny"
operations = ["exec"]
hashes = ["ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"]

[[rule]]
name = "no-kernel"
action = "deny"
operations = ["ptrace", "module-load", "bpf", "mount"]

[[rule]]
name = "sockets"
action = "allow"
operations = ["connect"]
paths = ["/run/x.sock"]
"#;

#[test]
fn every_kind_is_read_and_compiled() {
    use Effect::{Allow, Deny, Override, Trial};

    let compiled = compile(ALL);
    let policy = Policy::decode(&compiled.bytes).expect("good");
    assert!(!policy.self_protection());
    assert_eq!(policy.deadman(), Some(Deadman { denials: 100, seconds: 60 }));
    assert_eq!(policy.workloads().next().map(|of| of.rate), Some(Some(5_000)));
    let rules: Vec<_> = policy.rules().collect();
    let effects: Vec<_> = rules.iter().map(|rule| rule.effect(Mode::Enforce)).collect();
    assert_eq!(effects, [Trial, Override, Deny, Override, Deny, Deny, Allow]);
    let operations: Vec<_> = rules.iter().map(|rule| rule.operations).collect();
    let only = Operations::only;
    assert_eq!(operations[0], only(Operation::OpenRead).with(Operation::Change), "also of a trial");
    assert_eq!(operations[1], only(Operation::OpenRead), "an allowance implies nothing");
    assert_eq!(operations[2], Operations::ADDRESS);
    assert_eq!(operations[5], Operations::SURFACE);
    assert_eq!(operations[6], only(Operation::UnixConnect));
    let Target::Files { trees, .. } = rules[0].target() else { panic!("files") };
    assert_eq!(trees.collect::<Vec<_>>(), ["/root/.ssh"]);
    let Target::Addresses { prefixes, ports, protocols } = rules[3].target() else { panic!("addresses") };
    assert_eq!(prefixes.map(|of| of.to_string()).collect::<Vec<_>>(), ["10.0.0.0/8", "192.0.2.0/24"]);
    assert_eq!(ports.collect::<Vec<_>>(), [(443, 443), (8_000, 8_010)]);
    assert_eq!(protocols.collect::<Vec<_>>(), [6, 132]);
    // Composed, it says the same in one source.
    let used = format!(
        "{ALL}\n[[template]]\nname = \"unused\"\n[[template.rule]]\nname = \"t\"\naction = \"deny\"\noperations = [\"bpf\"]\n"
    );
    let composed = compile(&used);
    assert!(composed.text.starts_with("# Resolved by"), "{}", composed.text);
    assert_eq!(compile(&composed.text).bytes, compiled.bytes);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn each_mistake_of_the_kinds_is_named_with_its_line() {
    for (from, to, line, message) in [
        ("trees = [\"/root/.ssh\"]", "tree = []", 20, "unknown key \"tree\" (did you mean \"trees\"?)"),
        (
            "override = true\noperations = [\"connect\"]",
            "overide = true\noperations = [\"connect\"]",
            37,
            "unknown key \"overide\" (did you mean \"override\"?)",
        ),
        (
            "self-protection",
            "self-protect",
            4,
            "unknown key \"self-protect\" (did you mean \"self-protection\"?)",
        ),
        ("= false", "= 1", 4, "true or false is needed here, not an integer"),
        ("[deadman]", "[dedman]", 6, "unknown key \"dedman\" (did you mean \"deadman\"?)"),
        ("seconds = 60", "second = 60", 8, "unknown key \"second\" (did you mean \"seconds\"?)"),
        ("seconds = 60", "seconds = 3601", 8, "a number from 1 to 3600 is needed here"),
        ("seconds = 60\n", "", 6, "\"seconds\" is missing from deadman"),
        ("denials = 100", "denials = 0", 7, "a number from 1 to 4294967295 is needed here"),
        ("rate = 5000", "rate = -1", 12, "a number from 1 to 4294967295 is needed here"),
        ("mode = \"audit\"", "mode = \"trial\"", 17, "unknown mode \"trial\" (known: audit, enforce)"),
        (
            "mode = \"audit\"",
            "override = true",
            17,
            "\"override\" is for allow rules: it beats deny; leave it out of one that says deny",
        ),
        (
            "override = true",
            "mode = \"audit\"",
            25,
            "\"mode\" is for deny rules: it tries one out; leave it out of one that says allow",
        ),
        (
            "\"/root/.ssh/public\"",
            "\"root\"",
            27,
            "bad path \"root\": write it from the root, with a leading /",
        ),
        (
            "[\"connect\", \"bind\"]",
            "[\"connect\", \"bpf\"]",
            32,
            "\"bpf\" is no operation on addresses: those are connect, bind",
        ),
        (
            "[\"ptrace\", ",
            "[\"connect\", ",
            52,
            "\"module-load\" is no operation on addresses: those are connect, bind",
        ),
        (
            "[\"ptrace\", ",
            "[\"open\", ",
            49,
            "rule \"no-kernel\" is on nothing: add paths or trees (or hashes)",
        ),
        (
            "10.0.0.0/8",
            "10.0.0.1/8",
            39,
            "bad address \"10.0.0.1/8\": it has bits behind its /8; write 10.0.0.0/8",
        ),
        (
            "10.0.0.0/8",
            "example.org",
            39,
            "bad address \"example.org\": an IPv4 or IPv6 address is needed, or one with /BITS behind it; names are not looked up",
        ),
        ("8000-8010", "8010-8000", 40, "bad ports \"8010-8000\": write \"8000-8010\""),
        ("443", "65536", 40, "a number from 0 to 65535 is needed here"),
        ("443", "true", 40, "a number or a string is needed here, not a boolean"),
        (
            "\"tcp\"",
            "\"tpc\"",
            41,
            "bad protocol \"tpc\" (did you mean \"tcp\"?): tcp, udp, icmp, or a number from 1 to 255",
        ),
        ("132", "0", 41, "protocol 0 is none: leave protocols out for all"),
        (
            "ba7816bf",
            "ba7816b",
            47,
            "bad hash \"ba7816b8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\": 64 hexadecimal digits are needed, as sha256sum prints them (63 characters)",
        ),
        (
            "[\"exec\"]\nhashes",
            "[\"open\"]\nhashes",
            46,
            "\"open\" is no operation on hashes: those are exec",
        ),
        (
            "hashes = ",
            "paths = [\"/x\"]\nhashes = ",
            48,
            "a rule on paths can't be on hashes, too: make two rules",
        ),
        (
            "paths = [\"/run/x.sock\"]",
            "paths = [\"/run/x.sock\"]\nports = [1]",
            59,
            "a rule on paths can't be on ports, too: make two rules",
        ),
    ] {
        assert!(ALL.contains(from), "{from}");
        let (sources, read) = parse(&ALL.replacen(from, to, 1));
        let error = read.expect_err(message);
        assert_eq!((sources.line(error.at), error.message.as_str()), (line, message), "{from} -> {to}");
    }
}

#[test]
fn what_the_kernel_has_no_room_for_is_placed() {
    let head = "schema = 1\nname = \"p\"\nmode = \"enforce\"\n[[workload]]\nname = \"w\"\n";
    let rule = |name: usize, on: &str| {
        format!("[[rule]]\nname = \"r{name}\"\naction = \"deny\"\noperations = [\"connect\"]\n{on}")
    };
    // Sixteen speak of 10.1/16; the one behind them speaks of all that it is in.
    let mut crowd: String = (0..16).map(|n| rule(n, "addresses = [\"10.1.0.0/16\"]\n")).collect();
    compile(&format!("{head}{crowd}"));
    crowd += &rule(16, "addresses = [\"10.0.0.0/8\"]\n");
    let (sources, read) = parse(&format!("{head}{crowd}"));
    let error = read.expect_err("too many");
    assert_eq!(sources.line(error.at), 6 + 16 * 5 + 1);
    assert!(
        error
            .message
            .starts_with("rule \"r16\" is one too many that speaks of 10.1.0.0/16 for workload w: of one"),
        "{}",
        error.message
    );
    // Ports that meet are one range.
    let ports: Vec<String> = (1..=16).map(|port| port.to_string()).collect();
    compile(&format!("{head}{}{}", rule(0, &format!("ports = [{}]\n", ports.join(", "))), rule(1, "")));
    let mut many = head.to_owned();
    for number in 0..5 {
        let addresses: Vec<String> =
            (0..limits::PREFIXES).map(|n| format!("\"10.{number}.{}.{}\"", n / 256, n % 256)).collect();
        many += &rule(number, &format!("addresses = [{}]\n", addresses.join(", ")));
    }
    let (sources, read) = parse(&many);
    let error = read.expect_err("too many");
    assert_eq!(sources.line(error.at), 6 + 4 * 5 + 1);
    assert!(error.message.contains("at most 4096 addresses x workloads"), "{}", error.message);
    let mut hashes = String::new();
    for number in 0..=limits::RULE_HASHES {
        let _ = write!(hashes, "\"{number:064x}\", ");
    }
    let text = format!(
        "{head}[[rule]]\nname = \"h\"\naction = \"deny\"\noperations = [\"exec\"]\nhashes = [{hashes}]\n"
    );
    let (_, read) = parse(&text);
    assert_eq!(read.expect_err("too many").message, "more than 1024 hashes; make two rules");
}

/// One policy for each warning of the new kinds: rules, and the code and the beginning of what is said.
#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn the_kinds_are_linted() {
    let head = "schema = 1\nname = \"p\"\nmode = \"enforce\"\n[[workload]]\nname = \"w\"\n[[workload]]\nname = \"*\"\n";
    let rule = |name: &str, workload: &str, rest: &str| {
        format!("[[rule]]\nname = \"{name}\"\nworkloads = [\"{workload}\"]\n{rest}\n")
    };
    let deny = |name: &str, on: &str| rule(name, "w", &format!("action = \"deny\"\n{on}"));
    let over = |name: &str, on: &str| rule(name, "w", &format!("action = \"allow\"\noverride = true\n{on}"));
    let all = |name: &str, on: &str| rule(name, "*", &format!("action = \"deny\"\n{on}"));
    let quiet = ["w", "*"].map(|workload| {
        rule(
            &format!("q{}", workload.len()),
            workload,
            "action = \"deny\"\noperations = [\"exec\"]\npaths = [\"/q\"]",
        )
    });
    let quiet = quiet[0].clone() + &quiet[1].replace("q1", "q2");
    let exec = |trees: &str| format!("operations = [\"exec\"]\ntrees = [{trees}]");
    let write = |trees: &str| format!("operations = [\"open-write\"]\ntrees = [{trees}]");
    let net = |on: &str| format!("operations = [\"connect\"]\n{on}");
    let left_out =
        ("left-out-workload", "deny rule \"t\" is for \"*\" and not for \"w\", which is declared apart");
    for (rules, expected) in [
        (deny("t", &exec("\"/srv\"")), vec![]),
        (deny("t", &exec("\"/usr\"")), vec![("over-broad", "rule \"t\" is on all below /usr, and no allow")]),
        (deny("t", &write("\"/usr\"")), vec![]),
        (deny("t", &write("\"/\"")), vec![("over-broad", "rule \"t\" is on all below /, and no allow")]),
        (deny("t", &write("\"/\"")) + &over("o", &write("\"/tmp\", \"/dev\"")), vec![]),
        (
            deny("t", &write("\"/\"")) + &over("o", &write("\"/tmp\"")),
            vec![(
                "over-broad",
                "rule \"t\" is on all below /, and no exception by override takes out open-write of /dev/null",
            )],
        ),
        (
            over("o", &write("\"/\"")),
            vec![("over-broad", "rule \"o\" takes back whatever is denied of open-write")],
        ),
        (over("o", &net("")), vec![("over-broad", "rule \"o\" takes back whatever is denied of connect")]),
        (deny("n", &net("")) + &over("o", &net("addresses = [\"127.0.0.0/8\"]")), vec![]),
        (deny("n", &net("addresses = [\"0.0.0.0/0\"]")), vec![]),
        (
            deny("t", &exec("\"/workload\"")),
            vec![(
                "self-locking",
                "rule \"t\" denies a workload exec of /workload/run, which every workload can't do without",
            )],
        ),
        (
            deny("t", &exec("\"/workload\""))
                + &over("o", "operations = [\"exec\"]\npaths = [\"/workload/run\"]"),
            vec![],
        ),
        (
            all("t", "operations = [\"open-read\"]\ntrees = [\"/etc/aegis\"]"),
            vec![
                left_out,
                ("self-locking", "rule \"t\" denies every workload open-read of /etc/aegis/root.cbor, which"),
            ],
        ),
        (
            all("t", "operations = [\"open-read\"]\ntrees = [\"/etc/init.d\", \"/lib/x86_64-linux-gnu\"]"),
            vec![
                left_out,
                ("over-broad", "rule \"t\" denies every workload /lib/x86_64-linux-gnu/libc.so.6"),
            ],
        ),
        (
            deny("p", "operations = [\"open\"]\npaths = [\"/etc\"]"),
            vec![(
                "directory-path",
                "/etc is a directory: rule \"p\" is on the directory itself; `trees` is for it",
            )],
        ),
        (deny("p", "operations = [\"open\"]\npaths = [\"/run/x\"]"), vec![]),
        (
            deny("t", "operations = [\"open\"]\ntrees = [\"/proc/self\"]"),
            vec![("volatile-path", "/proc/self: it is another file for each process")],
        ),
        (
            deny("t", &exec("\"/srv\"")) + &deny("u", &exec("\"/srv/x\", \"/srv/y\"")),
            vec![("unreachable-rule", "rule \"u\" never decides anything: rule \"t\" does")],
        ),
        (
            deny("t", &exec("\"/srv\"")) + &deny("u", &exec("\"/srv/x\", \"/opt\"")),
            vec![("shadowed-rule", "rule \"u\" never decides on /srv/x: rule \"t\" does")],
        ),
        (
            deny("t", &exec("\"/srv\""))
                + &rule("u", "w", &format!("action = \"allow\"\n{}", exec("\"/srv/x\""))),
            vec![(
                "unreachable-rule",
                "rule \"u\" never decides anything: rule \"t\" does (allow beats deny only with",
            )],
        ),
        (
            over("o", &exec("\"/srv\"")) + &deny("u", &exec("\"/srv\"")),
            // It keeps its files from being changed, still.
            vec![("unused-operation", "rule \"u\" never decides on exec: rule \"o\" does")],
        ),
        (
            over("o", &net("addresses = [\"10.0.0.0/8\"]"))
                + &deny("n", &net("addresses = [\"10.1.0.0/16\", \"11.0.0.0/8\"]")),
            vec![("shadowed-rule", "rule \"n\" never decides on 10.1.0.0/16: rule \"o\" does")],
        ),
        (
            over("o", &net("addresses = [\"10.0.0.0/8\"]\nports = [80]"))
                + &deny("n", &net("addresses = [\"10.1.0.0/16\"]")),
            vec![],
        ),
        (
            deny("n", &net("")) + &deny("m", &net("ports = [80]\nprotocols = [\"udp\"]")),
            vec![("unreachable-rule", "rule \"m\" never decides anything: rule \"n\" does")],
        ),
        (
            deny("s", "operations = [\"bpf\", \"mount\"]")
                + &deny("r", "operations = [\"mount\", \"ptrace\"]"),
            vec![("unused-operation", "rule \"r\" never decides on mount: rule \"s\" does")],
        ),
        (
            deny(
                "n",
                &net(
                    "addresses = [\"10.0.0.0/8\", \"10.1.0.0/16\"]\nports = [80, \"80-81\"]\nprotocols = [6, \"tcp\"]",
                ),
            ),
            vec![
                ("duplicate-address", "rule \"n\" lists 10.0.0.0/8, which has 10.1.0.0/16 in it"),
                ("duplicate-address", "rule \"n\" lists 80-81, which has 80 in it"),
                ("duplicate-address", "rule \"n\" lists 6, which has tcp in it"),
            ],
        ),
        (deny("t", &exec("\"/srv\", \"/srv\"")), vec![("duplicate-path", "rule \"t\" lists /srv twice")]),
        (
            deny("h", &format!("operations = [\"exec\"]\nhashes = [\"{0}\", \"{0}\"]", "a".repeat(64))),
            vec![
                (
                    "hash-support",
                    "rule \"h\" needs a kernel that measures programs (IMA with SHA-256, Linux 6.2",
                ),
                ("duplicate-hash", "rule \"h\" lists aaaaaaaa"),
            ],
        ),
    ] {
        let text = format!("{head}{quiet}{rules}");
        let found = warnings(&text);
        let alike = found.len() == expected.len()
            && found
                .iter()
                .zip(&expected)
                .all(|(found, (code, begins))| found.1 == *code && found.2.starts_with(begins));
        assert!(alike, "{rules}\n{found:#?}\nexpected {expected:#?}");
    }
}

/// A path in a tree may be a link that leads out of it: then the rule on it decides on a device, and mending leaves it.
#[test]
fn what_a_tree_shadows_is_not_mended() {
    let head = "schema = 1\nname = \"p\"\nmode = \"enforce\"\n[[workload]]\nname = \"w\"\n";
    let rule = |name: &str, on: &str| {
        format!(
            "\n[[rule]]\nname = \"{name}\"\nworkloads = [\"w\"]\naction = \"deny\"\noperations = [\"exec\"]\n{on}\n"
        )
    };
    let tree = rule("t", "trees = [\"/srv\"]");
    for (second, mended) in [
        (rule("u", "paths = [\"/srv/x\"]"), false),
        (rule("u", "trees = [\"/srv/x\"]"), false),
        (rule("u", "trees = [\"/srv\"]"), true),
    ] {
        let text = format!("{head}{tree}{second}");
        assert_eq!(warnings(&text).len(), 1, "{text}");
        let Ok((found, count)) =
            crate::policy::lint::mend(std::path::Path::new("p.toml"), text.clone().into_bytes())
        else {
            panic!("{text}")
        };
        assert_eq!((count, found != text), (usize::from(mended), mended), "{found}");
    }
}
