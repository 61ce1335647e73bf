//! Linting, mending, formatting, comparing; and what a terminal is shown.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use crate::desk::{Desk, KEYS, SITE};

#[test]
fn errors_are_shown_with_a_caret_and_coloured_for_a_terminal_only() {
    let desk = Desk::new();
    desk.write("bad.toml", "schema = 1\nname = \"x\"\nmode = \"audit\"\nruel = 1\n");
    let expected = " --> bad.toml:4:1\n  |\n4 | ruel = 1\n  | ^^^^\naegisctl: bad.toml:4: unknown key \"ruel\" (did you mean \"rule\"?)\n";
    for line in [
        "policy lint bad.toml",
        "policy compile bad.toml --out x",
        "policy fmt bad.toml",
        "policy explain bad.toml --workload w --path /a --operation exec",
    ] {
        assert_eq!(desk.run(line), (1, String::new(), expected.to_owned()), "{line}");
    }
    let terminal = |no_color: &str| {
        let mut python = Command::new("python3");
        python.args([
            "-c",
            "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)",
            env!("CARGO_BIN_EXE_aegisctl"),
        ]);
        let python =
            python.args(["policy", "lint", "bad.toml"]).current_dir(desk.path("")).env("NO_COLOR", no_color);
        let output = python.output().expect("python3");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert!(terminal("").contains("\u{1b}["), "colours");
    assert!(!terminal("1").contains('\u{1b}'), "none when they are not wanted");
}

const TWICE: &str = "\
schema = 1
name = \"p\"
mode = \"enforce\"

[[workload]]
name = \"w\"

[[rule]]
name = \"first\"
action = \"deny\"
operations = [\"open\"]
paths = [\"/a\", \"/b\", \"/a\"]

# Of no use.
[[rule]]
name = \"second\"
action = \"audit\"
operations = [\"open-read\"]
paths = [\"/b\"]
";

#[test]
fn warnings_are_mended() {
    let desk = Desk::new();
    desk.write("p.toml", TWICE);
    let said = desk.good("policy lint p.toml");
    assert!(
        said.starts_with("warning[duplicate-path]: rule \"first\" lists /a twice\n  --> p.toml:12:22\n"),
        "{said}"
    );
    assert!(
        said.contains("12 | paths = [\"/a\", \"/b\", \"/a\"]\n   |                      ^^^^\n"),
        "{said}"
    );
    assert!(
        said.contains("help: `aegisctl policy lint --fix` mends it") && said.ends_with(", 2 warnings\n"),
        "{said}"
    );
    assert_eq!(desk.run("policy lint --strict p.toml").0, 1);
    assert_eq!(desk.read("p.toml"), TWICE, "looking changes nothing");
    let (exit, said) = desk.json("policy lint p.toml");
    let codes: Vec<_> =
        said["warnings"].as_array().expect("a list").iter().map(|one| one["code"].clone()).collect();
    assert_eq!((exit, codes), (0, vec!["duplicate-path".into(), "unreachable-rule".into()]));
    assert_eq!(said["warnings"][1]["line"], 16);

    let said = desk.good("policy lint --fix --strict p.toml");
    assert!(said.ends_with(", 2 warnings mended\n"), "{said}");
    let mended = TWICE.replace(", \"/a\"]", "]");
    let (mended, _) = mended.split_once("\n# Of no use.").expect("it is there");
    assert_eq!(desk.read("p.toml"), mended);
}

#[test]
fn a_file_to_include_is_linted_and_mended_by_itself() {
    let desk = Desk::with_site();
    assert_eq!(
        desk.good("policy lint --strict lib/keys.toml"),
        "lib/keys.toml: good: a file to include, 0 rules\n"
    );
    let rule = "\n[[rule]]\nname = \"x\"\nworkloads = [\"elsewhere\"]\naction = \"deny\"\noperations = [\"exec\"]\npaths = [\"/a\", \"/a\"]\n";
    desk.write("lib/keys.toml", format!("{KEYS}{rule}"));
    let (_, said) = desk.json("policy lint lib/keys.toml");
    assert_eq!(
        (said["rules"].as_u64(), said["warnings"][0]["code"].as_str()),
        (Some(1), Some("duplicate-path"))
    );
    desk.good("policy lint --strict --fix lib/keys.toml");
    assert!(desk.read("lib/keys.toml").ends_with("paths = [\"/a\"]\n"));
    // A policy's --fix leaves what it includes alone: others may include it, too.
    let before = format!("{KEYS}{}", rule.replace("elsewhere", "agent-*"));
    desk.write("lib/keys.toml", &before);
    let (exit, out, _) = desk.run("policy lint --strict --fix site.toml");
    assert!(exit == 1 && out.contains("--> lib/keys.toml:20:"), "{out}");
    assert_eq!((desk.read("lib/keys.toml"), desk.read("site.toml")), (before, SITE.to_owned()));
    assert_eq!(desk.run("policy compile lib/keys.toml --out x").0, 1, "it is no policy");
}

#[test]
fn paths_are_looked_up_in_a_tree_as_the_device_would() {
    let desk = Desk::new();
    desk.write("tree/usr/bin/tool", "");
    symlink("usr/bin", desk.path("tree/bin")).expect("linked");
    // From the tree's root, not from this system's.
    symlink("/usr/bin/tool", desk.path("tree/alias")).expect("linked");
    let policy = TWICE.replace(
        "[\"/a\", \"/b\", \"/a\"]",
        "[\"/bin/tool\", \"/alias\", \"/usr/bin/none\", \"/proc/kcore\"]",
    );
    desk.write("p.toml", policy.replace("[\"/b\"]", "[\"/usr/bin/tool\", \"/etc/passwd\"]"));
    let (_, said) = desk.json("policy lint --tree tree p.toml");
    let missing: Vec<String> = said["warnings"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|one| one["code"] == "missing-path")
        .map(|one| one["message"].to_string())
        .collect();
    assert_eq!(missing, ["\"/usr/bin/none is not in tree\"", "\"/etc/passwd is not in tree\""]);
    assert_eq!(desk.run("policy lint --tree nowhere p.toml").0, 2);
}

#[test]
fn formatting_is_checked_or_done() {
    let desk = Desk::with_site();
    desk.write("odd.toml", SITE.replace(" = ", "="));
    fs::set_permissions(desk.path("odd.toml"), fs::Permissions::from_mode(0o640)).expect("set");
    let before = desk.read("odd.toml");
    assert_eq!(desk.run("policy fmt --check odd.toml site.toml").0, 1);
    assert_eq!(desk.read("odd.toml"), before);
    let (exit, said) = desk.json("policy fmt --check odd.toml site.toml");
    assert_eq!((exit, said["changed"][0].as_str(), said["changed"][1].as_str()), (1, Some("odd.toml"), None));
    assert_eq!(desk.good("policy fmt odd.toml site.toml"), "odd.toml: formatted\n");
    assert_eq!(desk.read("odd.toml"), SITE);
    assert_eq!(fs::metadata(desk.path("odd.toml")).expect("there").permissions().mode() & 0o777, 0o640);
    assert_eq!(desk.good("policy fmt --check odd.toml site.toml lib/keys.toml"), "");
}

#[test]
fn decisions_that_change_are_shown_and_text_is_not() {
    let desk = Desk::with_site();
    // Written anew: another order, other rules, one file. Every access ends as before.
    let (exit, said) = desk.json("policy compile site.toml --out old.policy --source new.toml");
    let size = fs::metadata(desk.path("old.policy")).expect("made").len();
    assert_eq!(
        (
            exit,
            said["bytes"].as_u64(),
            said["source"].as_str(),
            said["rules"].as_u64(),
            said["mode"].as_str()
        ),
        (0, Some(size), Some("new.toml"), Some(2), Some("enforce"))
    );
    assert_eq!(desk.good("policy diff site.toml new.toml"), "no decision changes\n");
    assert_eq!(desk.good("policy diff old.policy site.toml"), "no decision changes\n");
    desk.write(
        "next.toml",
        "schema = 1\nname = \"next\"\nmode = \"enforce\"\n[[workload]]\nname = \"agent-*\"\n[[workload]]\nname = \"agent-9\"\n\
         [[rule]]\nname = \"k\"\nworkloads = [\"agent-*\"]\naction = \"deny\"\noperations = [\"open-read\", \"exec\"]\n\
         paths = [\"/root/.ssh/id_rsa\", \"/home/x/.ssh/id_rsa\"]\n",
    );
    let (exit, out, err) = desk.run("policy diff site.toml next.toml");
    let expected = "\
workload agent-*
  ~ /etc/passwd open-read: audited by own -> allowed
  ~ /home/x/.ssh/id_rsa open-read change: denied by no-keys -> denied by k
  - /home/x/.ssh/id_rsa open-write: denied by no-keys -> allowed
  + /home/x/.ssh/id_rsa exec: allowed -> denied by k
  ~ /root/.ssh/id_rsa open-read change: denied by no-keys -> denied by k
  - /root/.ssh/id_rsa open-write: denied by no-keys -> allowed
  + /root/.ssh/id_rsa exec: allowed -> denied by k
workload agent-9
  ~ /etc/passwd open-read: audited by own -> allowed
  - /home/x/.ssh/id_rsa open-read open-write change: denied by no-keys -> allowed
  - /root/.ssh/id_rsa open-read open-write change: denied by no-keys -> allowed
2 decisions newly denied, 8 decisions no longer denied, 6 only reported otherwise
";
    assert_eq!((exit, out.as_str(), err.as_str()), (1, expected, ""));
    let (exit, said) = desk.json("policy diff site.toml next.toml");
    assert_eq!((exit, said["denied"].as_u64(), said["permitted"].as_u64()), (1, Some(2), Some(8)));
    assert_eq!(said["changes"].as_array().map(Vec::len), Some(10));
    // What lies below a tree and has no name in any rule is one thing; so are the addresses of a prefix.
    desk.write("a.toml", KINDS);
    desk.write(
        "b.toml",
        KINDS
            .replace("/srv\"", "/srv/x\"")
            .replace("10.0.0.0/8", "10.1.0.0/16")
            .replace("\"bpf\"", "\"mount\""),
    );
    let (exit, out, _) = desk.run("policy diff a.toml b.toml");
    let expected = "\
workload *
  - /srv open-read change: denied by tree -> allowed
  - /srv/* open-read change: denied by tree -> allowed
  - 10.0.0.0/8 port 443 tcp connect: denied by net -> allowed
  - the kernel bpf: denied by surface -> allowed
  + the kernel mount: allowed -> denied by surface
1 decision newly denied, 6 decisions no longer denied, 0 only reported otherwise
";
    assert_eq!((exit, out.as_str()), (1, expected));
    let (_, said) = desk.json("policy diff a.toml b.toml");
    assert_eq!(said["changes"][1]["below"], "/srv");
    assert_eq!(said["changes"][2]["ports"], serde_json::json!([443, 443]));
    // A mode is a decision on all that is denied.
    desk.write("audit.toml", SITE.replace("enforce", "audit"));
    let (exit, out, _) = desk.run("policy diff site.toml audit.toml");
    assert!(
        exit == 1
            && out.contains("mode: enforce -> audit\n")
            && out.contains("denied by no-keys -> audited by no-keys"),
        "{out}"
    );
    assert_eq!(desk.run("policy diff site.toml gone.toml").0, 2);
    desk.write("bad.toml", "schema = 1\n");
    assert_eq!(desk.run("policy diff site.toml bad.toml").0, 2, "a refusal is no difference");
}

const KINDS: &str = "\
schema = 1
name = \"kinds\"
mode = \"enforce\"

[[workload]]
name = \"*\"

[[rule]]
name = \"tree\"
action = \"deny\"
operations = [\"open-read\"]
trees = [\"/srv\"]

[[rule]]
name = \"net\"
action = \"deny\"
operations = [\"connect\"]
addresses = [\"10.0.0.0/8\"]
ports = [443]
protocols = [\"tcp\"]

[[rule]]
name = \"surface\"
action = \"deny\"
operations = [\"bpf\"]

[[rule]]
name = \"hash\"
action = \"deny\"
operations = [\"exec\"]
hashes = [\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"]
";

#[test]
fn settings_that_change_are_shown_as_decisions_are() {
    let desk = Desk::new();
    desk.write("old.toml", TWICE);
    for (from, to, line, name, old, new) in [
        (
            "mode =",
            "self-protection = false\nmode =",
            "self-protection: on -> off",
            "self-protection",
            "true",
            "false",
        ),
        (
            "[[workload]]",
            "[deadman]\ndenials = 9\nseconds = 60\n[[workload]]",
            "deadman: none -> 9 denials in 60 s",
            "deadman",
            "null",
            r#"{"denials":9,"seconds":60}"#,
        ),
        (
            "name = \"w\"",
            "name = \"w\"\nrate = 7",
            "rate of w: none -> 7 events a second",
            "rate",
            "null",
            "7",
        ),
    ] {
        desk.write("new.toml", TWICE.replacen(from, to, 1));
        let (exit, out, err) = desk.run("policy diff old.toml new.toml");
        let expected = format!("{line}\nno decision changes; 1 setting changed\n");
        assert_eq!((exit, out, err.as_str()), (1, expected, ""), "{name}");
        let (exit, said) = desk.json("policy diff old.toml new.toml");
        let setting = &said["settings"][0];
        assert_eq!((exit, said["same"].as_bool(), setting["name"].as_str()), (1, Some(false), Some(name)));
        assert_eq!(
            (setting["old"].to_string(), setting["new"].to_string()),
            (old.to_owned(), new.to_owned())
        );
    }
    let (exit, said) = desk.json("policy diff old.toml old.toml");
    assert_eq!(
        (exit, said["same"].as_bool(), said["settings"].to_string()),
        (0, Some(true), "[]".to_owned())
    );
}

#[test]
fn one_access_of_any_kind_is_explained() {
    let desk = Desk::new();
    desk.write("p.toml", KINDS);
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for (access, said) in [
        (
            "--path /srv/a/b --operation open-read",
            "denied: w open-read /srv/a/b: by rule tree (deny) for workload *; mode enforce\n",
        ),
        (
            "--path /srv --operation change",
            "denied: w change /srv: by rule tree (deny) for workload *; mode enforce\n",
        ),
        ("--path /srv --operation connect", "allowed: w connect /srv: no rule for workload * speaks of it\n"),
        (
            "--address 10.1.2.3 --port 443 --operation connect",
            "denied: w connect 10.1.2.3 port 443 tcp: by rule net (deny) for workload *; mode enforce\n",
        ),
        (
            "--address ::ffff:10.1.2.3 --port 443 --operation connect",
            "denied: w connect ::ffff:10.1.2.3 port 443 tcp: by rule net (deny) for workload *; mode enforce\n",
        ),
        (
            "--address 10.1.2.3 --port 443 --protocol udp --operation connect",
            "allowed: w connect 10.1.2.3 port 443 udp: no rule for workload * speaks of it\n",
        ),
        ("--operation bpf", "denied: w bpf: by rule surface (deny) for workload *; mode enforce\n"),
    ] {
        assert_eq!(desk.good(&format!("policy explain p.toml --workload w {access}")), said, "{access}");
    }
    let (_, said) = desk
        .json(&format!("policy explain p.toml --workload w --path /bin/x --hash {hash} --operation exec"));
    assert_eq!(
        (said["rule"].as_str(), said["effect"].as_str(), said["path"].as_str()),
        (Some("hash"), Some("deny"), Some("/bin/x"))
    );
    for (access, message) in [
        ("--operation open-read", "--operation open-read: name a --path, or an --address"),
        (
            "--path /x --operation bpf",
            "--operation bpf: here it is open-read, open-write, exec, change, connect",
        ),
        ("--path /x --operation exce", "--operation exce: it is unknown (did you mean \"exec\"?)"),
        ("--hash 12 --operation exec", "--hash: bad hash \"12\""),
    ] {
        let (exit, _, err) = desk.run(&format!("policy explain p.toml --workload w {access}"));
        assert!(exit == 2 && err.contains(message), "{access}: {err}");
    }
    assert_eq!(desk.run("policy explain p.toml --workload w --path /x --address ::1 --operation exec").0, 2);
}

/// A device decides by where a path leads, and so do those who tell what it will decide.
#[test]
fn paths_through_links_of_the_image_are_decided_by_where_they_lead() {
    let desk = Desk::new();
    let policy = |path: &str| TWICE.replace("[\"/a\", \"/b\", \"/a\"]", &format!("[\"{path}\"]"));
    desk.write("led.toml", policy("/usr/bin/sh"));
    desk.write("link.toml", policy("/bin/sh"));
    for file in ["led.toml", "link.toml"] {
        let line = format!("policy explain {file} --workload w --operation open-read --path");
        let out = desk.good(&format!("{line} /bin/sh"));
        assert!(
            out.starts_with("denied: w open-read /bin/sh (leads to /usr/bin/sh): by rule first (deny)"),
            "{out}"
        );
        let out = desk.good(&format!("{line} /usr/bin/sh"));
        assert!(out.starts_with("denied: w open-read /usr/bin/sh: by rule first"), "{out}");
        let (_, said) = desk.json(&format!("{line} /usr/sbin/sh"));
        assert_eq!(
            (said["verdict"].as_str(), said["leads_to"].as_str()),
            (Some("denied"), Some("/usr/bin/sh"))
        );
    }
    assert_eq!(desk.good("policy diff led.toml link.toml"), "no decision changes\n");
    desk.write("none.toml", policy("/c"));
    let (exit, out, _) = desk.run("policy diff none.toml link.toml");
    assert!(
        exit == 1 && out.contains("  + /bin/sh (leads to /usr/bin/sh) open-read open-write change: "),
        "{out}"
    );
    let case = "policy = \"led.toml\"\n[[case]]\nname = \"n\"\nworkloads = [\"w\"]\noperations = [\"open\"]\npaths = [\"/bin/sh\"]\n";
    desk.write("led.test.toml", format!("{case}verdict = \"denied\"\nrule = \"first\"\n"));
    desk.good("policy test led.toml");
    desk.write("led.test.toml", format!("{case}verdict = \"allowed\"\n"));
    let (exit, out, _) = desk.run("policy test led.toml");
    assert!(
        exit == 1
            && out.contains("w open-read /bin/sh (leads to /usr/bin/sh): denied by first; expected allowed"),
        "{out}"
    );
}
