//! Warnings: each code, what silences it, what mends it.

use super::{DEMO, mend, warnings};
use crate::policy::lint::Code;

#[test]
fn lints_say_what_never_decides() {
    let text =
        DEMO.replace("\"enforce\"", "\"audit\"").replace("/etc/passwd\"]", "/etc/shadow\", \"/a\", \"/a\"]");
    let expected = [
        (12, "audit-mode", "rule \"no-shadow\" denies nothing: the policy's mode is audit".to_owned()),
        (26, "duplicate-path", "rule \"watch\" lists /a twice".to_owned()),
    ];
    let other = text.replace("name = \"agent-*\"", "name = \"x\"");
    assert_eq!(warnings(&other), expected, "x still has the rule on /etc/shadow to itself");
    let text = text.replace("\n[[workload]]\nname = \"agent-*\"\n", "");
    let shadowed = "rule \"watch\" never decides on /etc/shadow: rule \"no-shadow\" does";
    assert!(warnings(&text).iter().any(|warning| warning.1 == "shadowed-rule" && warning.2 == shadowed));
}

/// A policy with a site is warned of as long as a workload reaches the plant by default.
#[test]
fn a_site_that_workloads_reach_is_warned_of() {
    let pem = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
    let with = |rule: &str| {
        format!(
            "schema = 1\nname = \"p\"\nmode = \"enforce\"\n[site]\ninterface = \"eth0\"\naddress = \"192.0.2.10/24\"\n\
             client-authorities = [\"\"\"\n{pem}\"\"\"]\nviewers = [\"a\"]\n[[workload]]\nname = \"one\"\n[[workload]]\nname = \"two\"\n\
             [[rule]]\nname = \"r\"\nworkloads = [\"one\", \"two\"]\noperations = [\"connect\"]\n{rule}\n"
        )
    };
    let warned = |rule: &str| {
        let found = warnings(&with(rule));
        found.into_iter().find(|(_, code, _)| *code == "open-site").map(|(line, _, message)| (line, message))
    };
    for rule in [
        "action = \"deny\"",
        "action = \"deny\"\naddresses = [\"192.0.2.0/24\"]",
        "action = \"deny\"\naddresses = [\"192.0.0.0/16\", \"10.0.0.0/8\"]",
        "action = \"allow\"\naddresses = [\"192.0.2.0/24\"]",
    ] {
        assert_eq!(warned(rule), None, "{rule}");
    }
    for rule in [
        "action = \"deny\"\naddresses = [\"192.0.2.0/25\"]",
        "action = \"deny\"\naddresses = [\"192.0.2.0/24\"]\nports = [\"443\"]",
        "action = \"deny\"\naddresses = [\"192.0.2.0/24\"]\nprotocols = [\"tcp\"]",
        "action = \"deny\"\naddresses = [\"fd00::/8\"]",
    ] {
        let (line, message) = warned(rule).expect(rule);
        assert!(line == 4 && message.contains("\"one\" and 1 more"), "{line}: {message}");
    }
    // A gateway leads everywhere.
    let led = |rule: &str| with(rule).replace("/24\"\nclient", "/24\"\ngateway = \"192.0.2.1\"\nclient");
    for (addresses, is_open) in [("192.0.2.0/24", true), ("0.0.0.0/0", false)] {
        let found = warnings(&led(&format!("action = \"deny\"\naddresses = [\"{addresses}\"]")));
        assert_eq!(found.iter().any(|(_, code, _)| *code == "open-site"), is_open, "{addresses}: {found:?}");
    }
    let one = with("action = \"deny\"").replace("[\"one\", \"two\"]", "[\"one\"]");
    assert!(
        warnings(&one)
            .iter()
            .any(|(_, code, message)| *code == "open-site" && message.contains("\"two\" may"))
    );
}

/// One change of the good policy for each code that a text alone can show.
#[test]
fn each_code_warns() {
    let watch = "[[rule]]\nname = \"watch\"";
    for (from, to, code, line) in [
        ("\"enforce\"", "\"audit\"", "audit-mode", 12),
        ("/etc/gshadow", "/etc/ssl", "directory-path", 18),
        ("\"open\", \"exec\"", "\"open-read\", \"open\", \"exec\"", "duplicate-operation", 15),
        ("/etc/gshadow", "/etc/shadow", "duplicate-path", 18),
        ("[\"T1003.008\"]", "[\"T1003\", \"T1003\"]", "duplicate-tag", 20),
        ("workloads = [\"demo\"]", "workloads = [\"demo\", \"demo\"]", "duplicate-workload", 13),
        (
            "\"agent-*\"\n\n[[rule]]\nname = \"no-shadow\"\nworkloads = [\"demo\"]",
            "\"*\"\n\n[[rule]]\nname = \"no-shadow\"",
            "implicit-workloads",
            12,
        ),
        ("/etc/gshadow", "/", "over-broad", 18),
        ("/etc/gshadow", "/workload/run", "self-locking", 18),
        ("mode =", "self-protection = false\nmode =", "self-protection", 3),
        ("\n[[workload]]", "\n[deadman]\ndenials = 20\nseconds = 60\n\n[[workload]]", "deadman-falls", 5),
        (
            "\"agent-*\"",
            "\"dem*\"\n[[rule]]\nname = \"wide\"\nworkloads = [\"dem*\"]\naction = \"deny\"\noperations = [\"exec\"]\npaths = [\"/y\"]",
            "left-out-workload",
            12,
        ),
        ("/etc/gshadow", "/srv/**", "literal-path", 18),
        (
            "[\"/etc/passwd\"]",
            "[\"/etc/passwd\"]\n[[rule]]\nname = \"more\"\naction = \"deny\"\noperations = [\"open\"]\npaths = [\"/etc/shadow\", \"/x\"]\nworkloads = [\"demo\"]",
            "shadowed-rule",
            31,
        ),
        ("T1003.008", "t1003.008", "unknown-tag", 20),
        ("T1003.008", "secret", "unknown-tag", 20),
        (
            watch,
            "[[rule]]\nname = \"again\"\nworkloads = [\"demo\"]\naction = \"audit\"\noperations = [\"exec\"]\npaths = [\"/etc/shadow\"]\n[[rule]]\nname = \"watch\"",
            "unreachable-rule",
            23,
        ),
        ("[[rule]]", "# lint: allow over-broad: why\n[[rule]]", "unused-allow", 11),
        ("[[rule]]", "# lint: allow over-brod\n[[rule]]", "unused-allow", 11),
        (
            watch,
            "[[rule]]\nname = \"again\"\nworkloads = [\"demo\"]\naction = \"deny\"\noperations = [\"exec\", \"open\"]\npaths = [\"/y\"]\n[[rule]]\nname = \"y\"\nworkloads = [\"demo\"]\naction = \"deny\"\noperations = [\"open\", \"exec\"]\npaths = [\"/y\", \"/z\"]\n[[rule]]\nname = \"z\"\nworkloads = [\"demo\"]\naction = \"deny\"\noperations = [\"open-read\", \"exec\"]\npaths = [\"/z\"]\n[[rule]]\nname = \"watch\"",
            "unreachable-rule",
            35,
        ),
        (
            watch,
            "[[rule]]\nname = \"again\"\nworkloads = [\"demo\"]\naction = \"audit\"\noperations = [\"exec\", \"open\"]\npaths = [\"/etc/shadow\", \"/y\"]\n[[rule]]\nname = \"y\"\nworkloads = [\"demo\"]\naction = \"deny\"\noperations = [\"open\"]\npaths = [\"/y\"]\n[[rule]]\nname = \"watch\"",
            "unused-operation",
            26,
        ),
        (
            watch,
            "[[template]]\nname = \"t\"\nparameters = [\"p\"]\n[[template.rule]]\nname = \"r\"\naction = \"deny\"\noperations = [\"exec\"]\npaths = [\"/r\"]\n[[rule]]\nname = \"watch\"",
            "unused-template",
            23,
        ),
        (
            watch,
            "[[template]]\nname = \"t\"\nparameters = [\"p\"]\n[[template.rule]]\nname = \"r\"\naction = \"deny\"\noperations = [\"exec\"]\npaths = [\"/r\"]\n[[rule]]\nname = \"watch\"",
            "unused-parameter",
            24,
        ),
        (
            watch,
            "[[workload]]\nname = \"x\"\n[[rule]]\nworkloads = [\"demo\"]\nname = \"watch\"",
            "unused-workload",
            23,
        ),
        ("/etc/gshadow", "/proc/self/mem", "volatile-path", 18),
    ] {
        assert!(DEMO.contains(from), "{from}");
        let found = warnings(&DEMO.replacen(from, to, 1));
        assert!(found.iter().any(|warning| (warning.0, warning.1) == (line, code)), "{code}: {found:?}");
    }
    // Each code is above, but for the one that needs a tree, the one of a site, and three of alerts (`super::alerts`).
    assert_eq!(Code::ALL.len(), 30);
}

#[test]
fn what_is_allowed_is_not_warned_of() {
    let text = DEMO.replacen("/etc/gshadow", "/", 1);
    for (from, to, silent) in [
        ("[[rule]]", "# lint: allow over-broad: it is meant\n[[rule]]", true),
        ("action = \"deny\"", "action = \"deny\" # lint: allow over-broad", true),
        ("schema = 1", "# lint: allow over-broad\n\nschema = 1", true),
        ("[[rule]]\nname = \"watch\"", "# lint: allow over-broad\n[[rule]]\nname = \"watch\"", false),
        ("[[workload]]", "# lint: allow over-broad\n[[workload]]", false),
    ] {
        let found = warnings(&text.replacen(from, to, 1));
        let warned = found.iter().any(|warning| warning.1 == "over-broad");
        assert_eq!(warned, !silent, "{to}: {found:?}");
        assert_eq!(found.iter().any(|warning| warning.1 == "unused-allow"), !silent, "{to}: {found:?}");
    }
}

#[test]
fn self_protection_that_is_off_is_warned_of_unless_it_is_meant() {
    let warned = |line: &str| {
        let found = warnings(&DEMO.replacen("mode =", &format!("{line}\nmode ="), 1));
        found.into_iter().map(|warning| warning.1).collect::<Vec<_>>()
    };
    assert_eq!(warned("self-protection = false"), ["self-protection"]);
    assert!(warned("self-protection = true").is_empty());
    assert!(warned("self-protection = false # lint: allow self-protection: a test bench").is_empty());
}

/// The codes of a policy of one workload and one rule.
fn codes(workload: &str, operations: &str, on: &str, rest: &str) -> Vec<&'static str> {
    let text = format!(
        "schema = 1\nname = \"p\"\nmode = \"enforce\"\n[[workload]]\nname = \"{workload}\"\n[[rule]]\nname = \"r\"\nworkloads = \
         [\"{workload}\"]\naction = \"deny\"\noperations = [{operations}]\n{on}\n{rest}"
    );
    warnings(&text).into_iter().map(|warning| warning.1).collect()
}

#[test]
fn paths_that_look_like_patterns_are_warned_of() {
    for (path, warned) in [
        ("/home/*/.ssh", true),
        ("/srv/**", true),
        ("/srv/?", true),
        ("/srv/[ab]", true),
        ("/srv/{a,b}", true),
        ("/home/$USER", true),
        ("/srv/shadow ", true),
        ("/srv/a b", false),
        ("/srv/a-b_c.d", false),
    ] {
        let found = codes("w", "\"open\"", &format!("paths = [\"{path}\"]"), "");
        assert_eq!(found, if warned { &["literal-path"][..] } else { &[] }, "{path}");
        assert_eq!(codes("w", "\"open\"", &format!("trees = [\"{path}\"]"), ""), found, "{path}");
    }
}

/// What is denied for a pattern is not for a workload of it that is declared apart; unless something is said of it there.
#[test]
fn workloads_that_a_rule_leaves_out_are_named() {
    let text = |first: &str, rest: &str| {
        format!(
            "schema = 1\nname = \"p\"\nmode = \"enforce\"\n[[workload]]\nname = \"*\"\n[[workload]]\nname = \"agent-7\"\n\
             [[rule]]\nname = \"no-keys\"\nworkloads = [{first}]\naction = \"deny\"\noperations = [\"open\"]\npaths = [\"/k\"]\n\
             [[rule]]\nname = \"own\"\nworkloads = [\"agent-7\"]\n{rest}\n"
        )
    };
    let other = "action = \"deny\"\noperations = [\"exec\"]\npaths = [\"/x\"]";
    let expected = (
        10,
        "left-out-workload",
        "deny rule \"no-keys\" is for \"*\" and not for \"agent-7\", which is declared apart: add \"agent-7\" to its workloads, or \
         a rule of its own"
            .to_owned(),
    );
    assert_eq!(warnings(&text("\"*\"", other)), [expected]);
    assert_eq!(warnings(&text("\"*\", \"agent-7\"", other)), []);
    let but = "action = \"allow\"\noverride = true\noperations = [\"open\", \"change\"]\npaths = [\"/k\"]";
    assert_eq!(warnings(&text("\"*\"", but)), [], "it was thought of");
    assert_eq!(
        warnings(
            &text("\"*\"", other)
                .replace("name = \"no-keys\"", "name = \"no-keys\" # lint: allow left-out-workload: it may")
        ),
        []
    );
}

#[test]
fn what_the_appliance_needs_is_known_by_where_links_lead() {
    for (operations, on, warned) in [
        ("\"exec\"", "paths = [\"/bin/sh\"]", false),
        ("\"exec\"", "paths = [\"/usr/sbin/init\"]", true),
        ("\"exec\"", "paths = [\"/sbin/init\"]", true),
        ("\"exec\"", "trees = [\"/bin\"]", true),
        ("\"open-read\"", "trees = [\"/lib/aegis\"]", true),
        ("\"open-write\"", "trees = [\"/media\"]", true),
        ("\"open-write\"", "trees = [\"/data\"]", true),
        ("\"open-write\"", "trees = [\"/run\"]", true),
        ("\"open-write\"", "trees = [\"/var/run/aegis\"]", true),
        ("\"change\"", "trees = [\"/run\"]", true),
        ("\"open-write\"", "paths = [\"/dev/console\"]", true),
        ("\"open-read\"", "paths = [\"/media/stick\"]", true),
        ("\"open-read\"", "trees = [\"/media/stick\"]", true),
        ("\"open-write\"", "trees = [\"/data/workspace\"]", false),
        ("\"open-write\"", "paths = [\"/run/x\"]", false),
        ("\"exec\"", "paths = [\"/usr/bin/nc\"]", false),
    ] {
        let found = codes("*", operations, on, "").contains(&"self-locking");
        assert_eq!(found, warned, "{operations} {on}");
        // A workload of its own is not the appliance.
        assert!(!codes("w", operations, on, "").contains(&"self-locking"), "{operations} {on}");
    }
}

#[test]
fn an_exception_must_cover_what_is_needed() {
    let but = |operations: &str, trees: &str| {
        format!(
            "[[rule]]\nname = \"but\"\nworkloads = [\"w\"]\naction = \"allow\"\noverride = true\noperations = [{operations}]\n\
             trees = [{trees}]\n"
        )
    };
    for (denied, tree, allowed, but_trees, warned) in [
        ("\"open-read\"", "/", "\"open-read\"", "\"/srv\"", true),
        ("\"open-read\"", "/", "\"open-read\"", "\"/srv\", \"/dev\", \"/workload\"", false),
        ("\"open\"", "/", "\"open-read\"", "\"/srv\", \"/dev\", \"/workload\"", true),
        ("\"exec\"", "/", "\"exec\"", "\"/workload\"", false),
        ("\"exec\"", "/", "\"exec\"", "\"/usr/share\"", true),
        ("\"exec\"", "/usr", "\"exec\"", "\"/usr/share/doc\"", true),
        ("\"exec\"", "/usr", "\"exec\"", "\"/bin/tool\"", false),
        ("\"exec\"", "/bin", "\"exec\"", "\"/srv\"", true),
        ("\"exec\"", "/sbin", "\"exec\"", "\"/usr/bin/tool\"", false),
    ] {
        let found = codes("w", denied, &format!("trees = [\"{tree}\"]"), &but(allowed, but_trees));
        assert_eq!(
            found.contains(&"over-broad"),
            warned,
            "{denied} {tree} but {allowed} {but_trees}: {found:?}"
        );
    }
}

#[test]
fn mending_leaves_the_rest_as_it_was() {
    let text = "\
# Head.
schema = 1
name = \"p\"   # odd spacing stays
mode = \"enforce\"

[[workload]]
name = \"a\"

[[workload]]
name = \"unused\"

# The first.
[[rule]]
name = \"first\"
workloads = [\"a\", \"a\"]
action = \"deny\"
operations = [\"open-read\", \"open\"]
paths = [
    \"/x\", # kept
    \"/y\",
    \"/x\", # goes with its path
]
tags = [\"t1003\"]

# Goes with its rule.
[[rule]]
name = \"second\"
workloads = [\"a\"]
action = \"audit\"
operations = [\"open\"]
paths = [\"/x\", \"/y\"]

[[rule]]
name = \"third\"
workloads = [\"a\"]
action = \"audit\"
operations = [\"open\", \"exec\"]
paths = [\"/y\", \"/x\", \"/y\"]
";
    let expected = "\
# Head.
schema = 1
name = \"p\"   # odd spacing stays
mode = \"enforce\"

[[workload]]
name = \"a\"

# The first.
[[rule]]
name = \"first\"
workloads = [\"a\"]
action = \"deny\"
operations = [\"open\"]
paths = [
    \"/x\", # kept
    \"/y\",
]
tags = [\"T1003\"]

[[rule]]
name = \"third\"
workloads = [\"a\"]
action = \"audit\"
operations = [\"exec\"]
paths = [\"/y\", \"/x\"]
";
    let (mended, _) = mend(text);
    assert_eq!(mended, expected);
    assert_eq!(warnings(&mended), []);
}

/// A list that would be left empty stays, also when a tree of the same name decides; what else can be mended is.
#[test]
fn mending_empties_no_list() {
    const TEXT: &str = "\
schema = 1
name = \"p\"
mode = \"enforce\"
[[workload]]
name = \"a\"
[[rule]]
name = \"r0\"
action = \"deny\"
operations = [\"open-write\"]
paths = [\"/x\", \"/\", \"/y\"]
[[rule]]
name = \"r1\"
action = \"deny\"
operations = [\"open-write\"]
paths = [\"/x\"]
trees = [\"/x\"]
tags = [\"T1003\"]
";
    let shadowed = (15, "shadowed-rule", "rule \"r1\" never decides on /x: rule \"r0\" does".to_owned());
    for tags in ["[\"T1003\"]", "[\"T1003\", \"T1003\"]"] {
        let text = TEXT.replace("[\"T1003\"]", tags);
        assert!(warnings(&text).contains(&shadowed));
        assert_eq!(mend(&text).0, TEXT);
    }
}

/// One workload there must be: what can't be mended all at once is mended one by one.
#[test]
fn mending_leaves_a_workload() {
    let head = "schema = 1\nname = \"p\"\nmode = \"enforce\"\n";
    let [a, b] = ["a", "b"].map(|name| format!("[[workload]]\nname = \"{name}\"\n"));
    assert_eq!(mend(&format!("{head}{a}{b}")), (format!("{head}{b}"), 1));
}
