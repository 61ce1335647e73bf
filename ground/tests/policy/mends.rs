//! `policy lint --fix` leaves alone what it does not mend; `policy lint` and `policy test` of several files.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::desk::Desk;

const HEAD: &str = "\
schema = 1
name = \"p\"
mode = \"enforce\"

[[workload]]
name = \"w\"

";

const FIRST: &str = "\
[[rule]]
name = \"first\"
workloads = [\"w\"]
action = \"deny\"
operations = [\"open\"]
paths = [\"/a\"]

";

/// Never decides: the first does.
const SECOND: &str = "\
# Goes with it.
[[rule]]
name = \"second\"
workloads = [\"w\"]
action = \"audit\"
operations = [\"open-read\"]
paths = [\"/a\"]
";

/// The policy of before, and what is left of it.
fn mended(desk: &Desk, before: &str) -> String {
    desk.write("p.toml", before);
    desk.good("policy lint --fix p.toml");
    desk.read("p.toml")
}

#[test]
fn a_table_goes_alone() {
    let desk = Desk::new();
    let template = "\
[[template.rule]]
name = \"other\"
workloads = [\"w\"]
action = \"deny\"
operations = [\"open\"]
paths = [\"/b\"]

[[use]]
template = \"t\"
";
    let begin = format!("{HEAD}[[template]]\nname = \"t\"\n\n{FIRST}");
    // The template's rule stands behind the one that goes.
    assert_eq!(mended(&desk, &format!("{begin}{SECOND}\n{template}")), format!("{begin}{template}"));
    // So does a comment by itself.
    let comment =
        "# By itself: about all that follows.\n\n[[workload]]\nname = \"x\"\nrate = 5\n\n# At the end.\n";
    let rest = format!("{comment}\n{}", FIRST.replace("first", "third").replace("\"w\"", "\"x\""));
    let begin = format!("{HEAD}{FIRST}");
    assert_eq!(mended(&desk, &format!("{begin}{SECOND}\n{rest}")), format!("{begin}{rest}"));
}

#[test]
fn only_what_can_be_mended_is_offered() {
    let desk = Desk::new();
    let inline = "rule = [{ name = \"r\", action = \"deny\", operations = [\"open\"], paths = [\"/a\"] }, { name = \"s\", \
        action = \"audit\", operations = [\"open\"], paths = [\"/a\"] }]\n";
    let text = format!("schema = 1\nname = \"p\"\nmode = \"enforce\"\n{inline}[[workload]]\nname = \"*\"\n");
    desk.write("p.toml", &text);
    let (_, said) = desk.json("policy lint p.toml");
    let found: Vec<_> = said["warnings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (one["code"].as_str().expect("a code"), one["mendable"].as_bool().expect("said")))
        .collect();
    assert_eq!(found, [("implicit-workloads", false), ("unreachable-rule", false)]);
    let (_, said) = desk.json("policy lint --fix p.toml");
    assert_eq!((said["mended"].as_u64(), desk.read("p.toml")), (Some(0), text));
}

#[test]
fn a_mend_counts_by_what_it_changes() {
    let desk = Desk::new();
    let of = |name: &str, paths: &str| {
        let rule = FIRST.replace("\"first\"", &format!("\"{name}\" # lint: allow volatile-path"));
        rule.replace("[\"/a\"]", paths)
    };
    let first = of("first", "[\"/proc/self/mem\"]");
    let again = |paths| format!("{HEAD}{first}{}", of("again", paths));
    // The allow of the second rule is of no use without its path: as many warnings as before.
    desk.write("p.toml", again("[\"/a\", \"/proc/self/mem\"]"));
    let (_, said) = desk.json("policy lint --fix p.toml");
    assert_eq!(desk.read("p.toml"), again("[\"/a\"]"));
    let left = said["warnings"].as_array().expect("a list").iter().map(|one| one["code"].as_str());
    assert_eq!((said["mended"].as_u64(), left.collect::<Vec<_>>()), (Some(1), vec![Some("unused-allow")]));
}

#[test]
fn permissions_and_line_ends_stay() {
    let desk = Desk::new();
    let text = format!("{HEAD}{FIRST}").replace("\"w\"", "\"*\"").replace("workloads = [\"*\"]\n", "");
    let carriage = text.replace('\n', "\r\n");
    let expected = carriage.replace("\"first\"\r\n", "\"first\"\r\nworkloads = [\"*\"]\r\n");
    for mode in [0o600, 0o664] {
        desk.write("p.toml", &carriage);
        fs::set_permissions(desk.path("p.toml"), fs::Permissions::from_mode(mode)).expect("set");
        desk.good("policy lint --fix p.toml");
        assert_eq!(desk.read("p.toml"), expected);
        let metadata = fs::metadata(desk.path("p.toml")).expect("there");
        assert_eq!(metadata.permissions().mode() & 0o7777, mode);
    }
}

#[test]
fn a_comment_is_none_in_a_text() {
    let desk = Desk::new();
    let rule = FIRST.replace("[\"/a\"]", "[\"/x # lint: allow over-broad\", \"/\"]");
    desk.write("p.toml", format!("{HEAD}{rule}"));
    let (_, said) = desk.json("policy lint p.toml");
    let codes: Vec<_> =
        said["warnings"].as_array().expect("a list").iter().map(|one| one["code"].clone()).collect();
    assert_eq!(codes, ["over-broad"], "{said}");
}

#[test]
fn a_refused_file_does_not_stop_the_others() {
    let desk = Desk::new();
    desk.write("good.toml", format!("{HEAD}{FIRST}"));
    desk.write("bad.toml", "schema = 1\nname = \"x\"\nmode = \"audit\"\nruel = 1\n");
    desk.write("x.test.toml", "");
    let good = "good.toml: good: policy p, mode enforce, 1 workload, 1 rule, 29 bytes compiled\n";
    let (exit, out, err) = desk.run("policy lint bad.toml good.toml");
    assert_eq!((exit, out.as_str()), (1, good));
    assert!(err.ends_with("aegisctl: bad.toml:4: unknown key \"ruel\" (did you mean \"rule\"?)\n"), "{err}");
    let (exit, out, err) = desk.run("policy lint gone.toml bad.toml good.toml");
    assert_eq!((exit, out.as_str()), (2, good), "the worst counts");
    assert!(err.starts_with("aegisctl: gone.toml: can't open it: ") && err.contains("ruel"), "{err}");
    let (exit, out, err) = desk.run("policy lint gone.toml bad.toml good.toml x.test.toml --json");
    let said: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!((exit, err.as_str(), said.len()), (2, "", 4));
    let errors: Vec<_> = said.iter().map(|one| one["error"].as_str().unwrap_or_default()).collect();
    assert!(
        errors[0].starts_with("gone.toml: can't open it") && errors[1].starts_with("bad.toml:4: "),
        "{errors:?}"
    );
    assert_eq!(errors[2..], ["", "x.test.toml: this is a test file, use `aegisctl policy test`"]);
}

#[test]
fn broken_tests_have_their_object_too() {
    let desk = Desk::new();
    desk.write("p.toml", format!("{HEAD}{FIRST}"));
    let case = "policy = \"p.toml\"\n[[case]]\nname = \"n\"\nworkloads = [\"w\"]\noperations = [\"open\"]\npaths = [\"/a\"]\nverdict = \"denied\"\nrule = \"first\"\n";
    desk.write("b/p.test.toml", case);
    desk.write("c/p.test.toml", case);
    desk.write("c/p.toml", "schema = 1\nname = \"x\"\n");
    desk.write("p.test.toml", case);
    let (exit, said) = desk.json("policy test .");
    let files = said["files"].as_array().expect("a list");
    let errors: Vec<_> = files.iter().map(|one| one["error"].as_str().unwrap_or("")).collect();
    let expected = [
        "./b/p.test.toml:1: there is no policy ./b/p.toml",
        "./c/p.toml:1: \"mode\" is missing from the policy",
        "",
    ];
    assert_eq!((exit, said["good"].as_bool(), errors), (1, Some(false), expected.to_vec()));
    let (exit, out, err) = desk.run("policy test .");
    assert_eq!((exit, out.as_str()), (1, "./p.test.toml: good: 1 case, 2 accesses\n"), "{err}");
}

#[test]
fn outputs_are_two_files() {
    let desk = Desk::new();
    desk.write("p.toml", format!("{HEAD}{FIRST}"));
    for (out, source) in [("same", "same"), ("same", "./same"), ("p.toml", "x"), ("x", "p.toml")] {
        let (exit, _, err) = desk.run(&format!("policy compile p.toml --out {out} --source {source}"));
        assert_eq!((exit, err.lines().count()), (2, 1), "{err}");
        assert!(!desk.path("same").exists() && !desk.path("x").exists(), "nothing is written");
    }
    assert_eq!(desk.read("p.toml"), format!("{HEAD}{FIRST}"));
}

#[test]
fn hashes_are_an_error_for_kernels_that_measure_none() {
    let desk = Desk::new();
    let rule = FIRST
        .replace("[\"open\"]", "[\"exec\"]")
        .replace("paths = [\"/a\"]", &format!("hashes = [\"{}\"]", "1".repeat(64)));
    desk.write("p.toml", format!("{HEAD}{rule}"));
    for (option, good) in [
        ("", true),
        ("--kernel 5.10", false),
        ("--kernel 5.17.4", false),
        ("--kernel 5.18", false),
        ("--kernel 6.1", true),
        ("--kernel 6.12", true),
        ("--no-ima", false),
        ("--kernel 6.12 --no-ima", false),
    ] {
        for line in ["policy lint p.toml", "policy compile p.toml --out p.policy"] {
            let _ = fs::remove_file(desk.path("p.policy"));
            let (exit, _, err) = desk.run(&format!("{line} {option}"));
            assert_eq!(exit, i32::from(!good), "{line} {option}: {err}");
            assert_eq!(err.contains("(hash-unsupported)"), !good, "{err}");
            assert_eq!(desk.path("p.policy").exists(), good && line.contains("compile"));
        }
    }
    assert_eq!(desk.run("policy lint p.toml --kernel new").0, 2);
    assert!(desk.good("policy lint p.toml").contains("refuses the whole policy (hash-unsupported)"));
}
