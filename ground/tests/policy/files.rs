//! What ships, and what a policy of several files is.

use std::fs;
use std::os::unix::fs::symlink;

use crate::desk::{Desk, KEYS, SITE, repository};

#[test]
fn policies_that_ship_pass_their_tests() {
    let desk = Desk::new();
    let bundles = repository().join("policy-bundles");
    let said = desk.good(&format!("policy test --strict {}", bundles.display()));
    let mut policies = Vec::new();
    for folder in [bundles.clone(), bundles.join("lib")] {
        for entry in fs::read_dir(folder).expect("is there") {
            let path = entry.expect("readable").path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                policies.push(path);
            }
        }
    }
    assert!(policies.len() >= 11, "{policies:?}");
    for path in &policies {
        let path = path.display().to_string();
        assert_eq!(desk.good(&format!("policy fmt --check {path}")), "");
        if path.ends_with(".test.toml") {
            assert!(said.contains(&format!("{path}: good: ")), "{said}");
            continue;
        }
        desk.good(&format!("policy lint --strict {path}"));
        assert!(
            path.contains("/lib/")
                || policies
                    .iter()
                    .any(|other| *other == std::path::Path::new(&path).with_extension("test.toml")),
            "{path} has no tests"
        );
    }
}

#[test]
fn a_case_that_does_not_hold_fails() {
    let desk = Desk::with_site();
    desk.write(
        "site.test.toml",
        "policy = \"site.toml\"\n\n[[case]]\nname = \"keys\"\nworkloads = [\"agent-1\", \"other\"]\n\
         operations = [\"open\"]\npaths = [\"/root/.ssh/id_rsa\"]\nverdict = \"denied\"\nrule = \"no-keys\"\n",
    );
    for place in [".", "site.toml", "site.test.toml"] {
        let (exit, out, err) = desk.run(&format!("policy test {place}"));
        assert_eq!((exit, err.as_str()), (1, ""), "{out}");
        let expected = "site.test.toml:7: FAILED: \"keys\": other open-write /root/.ssh/id_rsa: allowed; expected denied by no-keys";
        assert!(out.contains(expected), "{out}");
        assert!(
            out.ends_with("2 of 4 accesses FAILED\n") && out.contains("rule \"own\" decides in no case"),
            "{out}"
        );
    }
    let (exit, said) = desk.json("policy test .");
    assert_eq!((exit, said["good"].as_bool()), (1, Some(false)));
    assert_eq!(said["files"][0]["failures"].as_array().map(Vec::len), Some(2));
    // The same with only the workload that it is about.
    desk.write("site.test.toml", desk.read("site.test.toml").replace(", \"other\"", ""));
    assert_eq!(desk.run("policy test .").0, 0);
    assert_eq!(desk.run("policy test --strict .").0, 1, "a rule is not tested");
    desk.write("site.test.toml", desk.read("site.test.toml").replace("site.toml", "gone.toml"));
    assert_eq!(desk.run("policy test .").0, 1);
    assert_eq!(desk.run("policy test lib").0, 2, "no tests are there");
    assert_eq!(desk.run("policy test lib/keys.toml").0, 2);
}

#[test]
fn errors_point_into_the_file_that_is_wrong() {
    let desk = Desk::with_site();
    desk.good("policy lint --strict site.toml");
    desk.write("lib/keys.toml", KEYS.replace("\"open\"", "\"opne\""));
    let (exit, out, err) = desk.run("policy compile site.toml --out x");
    assert_eq!((exit, out.as_str()), (1, ""));
    let expected = "  --> lib/keys.toml:11:15
   |
11 | operations = [\"opne\"]
   |               ^^^^^^
   |
  ::: site.toml:10:1
   |
10 | [[use]]
   | ------- the template is used here
aegisctl: lib/keys.toml:11: unknown operation \"opne\" (did you mean \"open\"?)
";
    assert_eq!(err, expected);
    assert!(!desk.path("x").exists());
    let (exit, said) = desk.json("policy lint site.toml");
    assert_eq!(
        (exit, said["good"].as_bool(), said["line"].as_u64(), said["column"].as_u64()),
        (1, Some(false), Some(11), Some(15))
    );
}

#[test]
fn includes_stay_in_the_policys_directory_and_end() {
    let desk = Desk::with_site();
    for (name, message) in [
        (
            "../outside.toml",
            "bad include \"../outside.toml\": name a file below this one's directory, without . and .. parts",
        ),
        ("/etc/passwd", "bad include \"/etc/passwd\""),
        ("./lib/keys.toml", "bad include"),
        ("", "bad include"),
        ("gone.toml", "can't include \"gone.toml\": no such file or directory"),
        ("out.toml", "\"out.toml\" leads out of the policy's directory"),
        ("folder/x.toml", "\"folder/x.toml\" leads out of the policy's directory"),
        ("site.toml", "\"site.toml\" includes itself: site.toml -> site.toml"),
        ("alias.toml", "\"alias.toml\" includes itself: site.toml -> site.toml"),
        ("a.toml", "\"a.toml\" includes itself: a.toml -> b.toml -> a.toml"),
        ("named.toml", "\"name\" is the policy's own to say"),
        ("latin.toml", "\"latin.toml\" is not UTF-8 text (line 2)"),
        ("0.toml", "includes are nested deeper than 8"),
        ("lib", "can't include it"),
    ] {
        let outside = tempfile::tempdir().expect("a directory");
        fs::write(outside.path().join("x.toml"), "schema = 1\n").expect("written");
        for (link, to) in [
            ("out.toml", outside.path().join("x.toml")),
            ("folder", outside.path().to_path_buf()),
            ("alias.toml", desk.path("site.toml")),
        ] {
            let _ = fs::remove_file(desk.path(link));
            symlink(to, desk.path(link)).expect("linked");
        }
        desk.write("a.toml", "schema = 1\ninclude = [\"b.toml\"]\n");
        desk.write("b.toml", "schema = 1\ninclude = [\"a.toml\"]\n");
        desk.write("named.toml", "schema = 1\nname = \"x\"\n");
        desk.write("latin.toml", b"schema = 1\n# \xe9\n");
        for depth in 0..9 {
            desk.write(&format!("{depth}.toml"), format!("schema = 1\ninclude = [\"{}.toml\"]\n", depth + 1));
        }
        desk.write("9.toml", "schema = 1\n");
        desk.write("site.toml", SITE.replace("\"lib/keys.toml\"", &format!("\"lib/keys.toml\", \"{name}\"")));
        let (exit, _, err) = desk.run("policy lint site.toml");
        assert!(exit == 1 && err.contains(message), "{name}: {err}");
    }
    // A file that two include counts once.
    desk.write("one.toml", "schema = 1\ninclude = [\"lib/keys.toml\"]\n");
    desk.write("site.toml", SITE.replace("\"lib/keys.toml\"", "\"one.toml\", \"lib/keys.toml\""));
    assert!(desk.good("policy lint site.toml").contains("2 rules"));
}

#[test]
fn a_bundle_carries_one_resolved_source_wherever_it_was_built() {
    let desk = Desk::with_site();
    for (from, to) in
        [("site.toml", "elsewhere/deep/site.toml"), ("lib/keys.toml", "elsewhere/deep/lib/keys.toml")]
    {
        desk.write(to, desk.read(from));
    }
    assert_eq!(desk.run("keys init --plain --out keys").0, 0);
    let build = "bundle build --key keys/policy.key --sequence 1 --created 2026-11-20T00:00:00Z";
    desk.good(&format!("{build} --policy site.toml --out a.aegis"));
    desk.good(&format!("{build} --policy elsewhere/deep/site.toml --out b.aegis"));
    assert_eq!(fs::read(desk.path("a.aegis")).expect("made"), fs::read(desk.path("b.aegis")).expect("made"));
    desk.good("policy compile site.toml --out site.policy --source resolved.toml");
    let resolved = desk.read("resolved.toml");
    let bundle = fs::read(desk.path("a.aegis")).expect("made");
    assert!(bundle.windows(resolved.len()).any(|window| window == resolved.as_bytes()));
    assert!(resolved.contains("# lib/keys.toml:7, used at site.toml:10\n"), "{resolved}");
    assert!(resolved.contains("\"/root/.ssh/id_rsa\", \"/home/x/.ssh/id_rsa\""), "{resolved}");
    // It is the same policy, and in its one form.
    desk.good("policy compile resolved.toml --out again.policy");
    assert_eq!(
        fs::read(desk.path("site.policy")).expect("made"),
        fs::read(desk.path("again.policy")).expect("made")
    );
    assert_eq!(desk.good("policy fmt --check resolved.toml"), "");
    let (exit, _, err) = desk.run("policy compile site.toml --out lib/keys.toml");
    assert!(exit == 2 && err.contains("is the input"), "{err}");
    let (exit, _, err) = desk.run(&format!("{build} --policy site.toml --out lib/keys.toml"));
    assert!(exit == 2 && err.contains("is the input"), "{err}");
}

#[test]
fn what_new_writes_is_good_and_tested() {
    for template in ["minimal", "baseline", "hardened", "ai-agent"] {
        let desk = Desk::new();
        let written = desk.good(&format!("policy new --template {template} --dir policies plant-7"));
        assert!(written.starts_with("policies/plant-7.toml\npolicies/plant-7.test.toml\n"), "{written}");
        desk.good("policy lint --strict policies/plant-7.toml");
        desk.good("policy test --strict policies");
        let names: Vec<&str> = written.lines().collect();
        assert_eq!(desk.good(&format!("policy fmt --check {}", names.join(" "))), "");
        let explained = desk.json("policy explain policies/plant-7.toml --workload agent-1 --path /etc/shadow --operation open-read");
        assert_eq!(explained.1["policy"], "plant-7");
        // A second one shares the library; the first is not overwritten.
        desk.good(&format!("policy new --template {template} --dir policies plant-8"));
        let before = desk.read("policies/plant-7.toml");
        let (exit, _, err) = desk.run(&format!("policy new --template {template} --dir policies plant-7"));
        assert!(exit == 2 && err.contains("exists; it is not overwritten"), "{err}");
        assert_eq!(desk.read("policies/plant-7.toml"), before);
    }
    let desk = Desk::new();
    let (exit, _, err) = desk.run("policy new Bad");
    assert_eq!((exit, err.as_str()), (2, "aegisctl: bad policy name \"Bad\": 1 to 63 of a-z, 0-9, -\n"));
    assert_eq!(desk.run("policy new --template hardend x").0, 2);
}
