//! `SPECIFICATION.md` names tests that there are.

use std::fs;
use std::path::Path;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the project")
}

/// What stands between backticks in a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn nothing_that_is_built_is_kept() {
    let listed = std::process::Command::new("git").arg("ls-files").current_dir(top()).output().expect("git");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    // Without a repository (a tarball) there is nothing to look at.
    let built: Vec<&str> =
        listed.lines().filter(|path| path.split('/').any(|part| part == "target")).collect();
    assert!(built.is_empty(), "{built:?}");
}

#[test]
fn every_promise_names_tests_that_there_are() {
    let text = fs::read_to_string(top().join("SPECIFICATION.md")).expect("it is there");
    let mut promises = 0;
    for row in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise |")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let held_by = cells.last().expect("a row has cells");
        let (mut file, mut tests) = (None, 0);
        for name in quoted(held_by) {
            if Path::new(name).extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(top().join(name));
                file = Some((name, source.unwrap_or_else(|error| panic!("{name}: {error}: {row}"))));
            } else {
                let (path, source) =
                    file.as_ref().unwrap_or_else(|| panic!("no file before `{name}`: {row}"));
                // A function of that name, with the attribute before it.
                let at = source
                    .find(&format!("\nfn {name}("))
                    .or_else(|| source.find(&format!("\n    fn {name}(")));
                let at = at.unwrap_or_else(|| panic!("{path} has no test `{name}`: {row}"));
                let before = source[..at].lines().rev().take(3).any(|line| line.trim() == "#[test]");
                assert!(before, "{path}: `{name}` is no test: {row}");
                tests += 1;
            }
        }
        assert!(tests > 0, "held by nothing: {row}");
        promises += 1;
    }
    assert!(promises > 70, "{promises} promises: the tables are not read");
}
