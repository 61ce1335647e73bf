//! Sources and tests at their limits and beyond: answered soon, and with nothing that drives a terminal.

use std::time::{Duration, Instant};

use crate::desk::Desk;

/// Far above what it takes, far below what a pass too many takes.
const SOON: Duration = Duration::from_secs(30);

fn policy(operations: &str, paths: &str) -> String {
    format!(
        "schema = 1\nname = \"p\"\nmode = \"enforce\"\n[[workload]]\nname = \"a\"\n[[rule]]\nname = \"r\"\nworkloads = [\"a\"]\n\
         action = \"deny\"\noperations = [{operations}]\npaths = [{paths}]\n"
    )
}

fn soon<T>(what: &str, of: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = of();
    assert!(begin.elapsed() < SOON, "{what}: {:?}", begin.elapsed());
    result
}

#[test]
fn long_lists_are_looked_at_soon() {
    let desk = Desk::new();
    desk.write("paths.toml", policy("\"open\"", &"\"/a\", ".repeat(60_000)));
    let out = soon("paths", || desk.good("policy lint paths.toml"));
    assert_eq!(out.matches("warning[duplicate-path]").count(), 1_000);
    assert!(
        out.contains("--> paths.toml:11:16\n") && out.contains("\nand 58999 more\n"),
        "the place is the line's"
    );
    assert!(out.lines().all(|line| line.len() < 2_000) && !out.contains(":::"));
    let (_, said) = soon("paths", || desk.json("policy lint paths.toml"));
    let shown = said["warnings"].as_array().expect("a list").len();
    assert_eq!((shown, said["warnings_beyond"].as_u64()), (1_000, Some(58_999)));
    soon("mending", || desk.good("policy lint --fix --strict paths.toml"));
    assert_eq!(desk.read("paths.toml"), policy("\"open\"", "\"/a\", "));

    desk.write("words.toml", policy(&"\"open\",".repeat(100_000), "\"/a\""));
    let (exit, _, err) = soon("operations", || desk.run("policy lint words.toml"));
    assert_eq!(exit, 1);
    assert!(err.ends_with("words.toml:10: more than 64 operations; each is needed once\n"), "{err}");

    let codes = format!("# lint: allow {}\n", "a,".repeat(650_000));
    desk.write("codes.toml", codes + &policy("\"open\"", "\"/a\""));
    let out = soon("codes", || desk.good("policy lint codes.toml"));
    assert!(out.contains("\nand 649000 more\n"));

    // Each shadowed one of two long lists is looked for once.
    let list = (0..20_000).map(|number| format!("\"/a{number}\"")).collect::<Vec<_>>().join(", ");
    let second = policy("\"open\"", &(list.clone() + ", \"/b\"")).replace("\"r\"", "\"s\"");
    let (_, second) = second.split_once("[[rule]]").expect("a rule");
    desk.write("shadow.toml", format!("{}[[rule]]{second}", policy("\"open\"", &list)));
    let out = soon("shadowed", || desk.good("policy lint shadow.toml"));
    assert!(out.contains("\nand 19000 more\n"));
}

#[test]
fn tests_ask_of_so_much_and_no_more() {
    let desk = Desk::new();
    desk.write("p.toml", policy("\"open\"", "\"/a\""));
    let case = |on: &str, workloads: usize| {
        format!(
            "policy = \"p.toml\"\n[[case]]\nname = \"n\"\nworkloads = [{}]\noperations = [\"connect\"]\n{on}\nverdict = \"denied\"\nrule = \"r\"\n",
            vec!["\"a\""; workloads].join(",")
        )
    };
    let many = |what: &str| vec![what; 30_000].join(",");
    for on in [
        format!("paths = [{}]", many("\"/a\"")),
        format!("addresses = [{}]\nports = [{}]", many("\"10.0.0.1\""), many("80")),
    ] {
        desk.write("p.test.toml", case(&on, 30_000));
        let (exit, _, err) = soon("tests", || desk.run("policy test p.toml"));
        assert_eq!(exit, 1);
        assert!(
            err.contains("ask of more than 1000000 accesses; name fewer of each, or split the file\n"),
            "{err}"
        );
    }
    // Of those that fail so many are shown.
    desk.write("p.test.toml", case("paths = [\"/a\"]", 1_500));
    let (exit, out, _) = desk.run("policy test p.toml");
    assert_eq!((exit, out.matches("FAILED:").count()), (1, 1_000));
    assert!(out.contains("p.test.toml: and 500 more\np.test.toml: 1500 of 1500 accesses FAILED\n"), "{out}");
}

/// CSI is one of them: `\u{9b}31m` is red.
#[test]
fn control_characters_reach_no_terminal() {
    let desk = Desk::new();
    let controls: String = ('\u{80}'..='\u{9f}').collect();
    for text in [
        policy("\"open\"", &format!("\"/a{controls}\"")),
        policy("\"open\"", "\"/a\", \"/a\"").replace("paths", &format!("# {controls}\npaths")),
        policy("\"open\"", &format!("\"/a\", \"/a\" # {controls}\n")),
        format!("schema = 1\n\"{controls}\" = 1\n"),
    ] {
        desk.write("p.toml", text);
        let (_, out, err) = desk.run("policy lint p.toml");
        let bad = |c: &char| c.is_control() && *c != '\n';
        assert_eq!(out.chars().chain(err.chars()).find(bad), None, "{out}{err}");
    }
    desk.write("p.toml", policy("\"open\"", "\"/a\u{9b}b\""));
    let (exit, _, err) = desk.run("policy lint p.toml");
    assert!(exit == 1 && err.ends_with(": it has a control character\n"), "{err}");
}
