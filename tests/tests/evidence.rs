//! `docs/evidence/README.md` names pages, tests and commands that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the project")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between backticks in a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn pages() -> Vec<PathBuf> {
    let found = fs::read_dir(top().join("docs/evidence")).expect("it is there");
    let mut pages: Vec<PathBuf> = found.map(|entry| entry.expect("readable").path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages
}

/// Every `.rs` file below a folder of sources.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("readable").path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let mut links = 0;
    for page in pages() {
        for link in read(&page).split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            let (file, anchor) = link.0.split_once('#').unwrap_or((link.0, ""));
            let target = if file.is_empty() { page.clone() } else { page.with_file_name(file) };
            assert!(file.contains("://") || target.exists(), "{}: {}", page.display(), link.0);
            if !anchor.is_empty() {
                let headings = read(&target).to_lowercase().replace(' ', "-");
                assert!(headings.contains(&format!("#-{anchor}")), "{}: {}", page.display(), link.0);
            }
            links += 1;
        }
    }
    assert!(links > 20, "{links} links: the pages are not read");
}

#[test]
fn every_command_is_one_that_there_is() {
    let makefile = read(&top().join("Makefile"));
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, _)| name)
        .filter(|name| !name.contains(|c: char| c.is_whitespace() || c == '.'))
        .collect();
    let manifests = read(&top().join("Cargo.toml"));
    let mut commands = 0;
    for page in pages() {
        let text = read(&page);
        for command in text.lines().flat_map(quoted) {
            let words: Vec<&str> =
                command.split_whitespace().skip_while(|word| word.contains('=') || *word == "time").collect();
            let known = match words[..] {
                // `make -C DIR` is another's.
                ["make", "-C", ..] => continue,
                ["make", target, ..] => targets.contains(target),
                ["cargo", "test" | "run", ..] => {
                    words.windows(2).filter(|pair| matches!(pair[0], "-p" | "--package")).all(|pair| {
                        manifests.contains(&format!("\n{} = {{ path", pair[1]))
                            || pair[1] == "aegis"
                            || pair[1] == "aegis-tests"
                            || pair[1] == "aegisctl"
                    })
                }
                [script, ..] if script.starts_with("tests/") => top().join(script).exists(),
                _ => continue,
            };
            assert!(known, "{}: there is no `{command}`", page.display());
            commands += 1;
        }
    }
    assert!(commands > 40, "{commands} commands: the pages are not read");
}

/// The table of what holds now: claim, figure, command, and of when it is.
#[test]
fn every_claim_has_a_figure_a_command_and_a_date() {
    let text = read(&top().join("docs/evidence/README.md"));
    let table =
        text.split("## What holds now").nth(1).expect("it is there").split("\n## ").next().expect("its part");
    let mut names = Vec::new();
    for folder in ["firmware", "ground", "keys", "probes", "qemu", "tests"] {
        sources(&top().join(folder), &mut names);
    }
    let code: String = names.iter().map(|path| read(path)).collect();
    let mut claims = 0;
    for row in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| claim")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, figure, command, when] = cells[..] else { panic!("four cells: {row}") };
        assert!(figure.contains(|c: char| c.is_ascii_digit()) || figure.contains("page"), "no figure: {row}");
        let date = when.split(',').next().expect("one").as_bytes();
        assert!(date.len() == 10 && date[4] == b'-' && date[7] == b'-', "no date: {row}");
        assert!(when.len() > 12, "no commit: {row}");
        assert!(quoted(command).next().is_some(), "no command: {row}");
        for test in command.strip_prefix("test ").into_iter().flat_map(quoted) {
            assert!(code.contains(&format!("fn {test}(")), "no test `{test}`: {row}");
        }
        claims += 1;
    }
    assert!(claims > 15, "{claims} claims: the table is not read");
}
