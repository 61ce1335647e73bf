//! `docs/evidence/README.md` names pages, tests and commands that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// Is it written as a commit is: 7 to 40 hexadecimal digits?
fn is_commit(word: &str) -> bool {
    (7..=40).contains(&word.len()) && word.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

/// The first commit of all.
const FIRST: &str = "ab1d6092911414f799ca041ac175b02f14e8b2e3";

/// All commits that led here; nothing where that can't be known: a tarball, a clone cut short, a checkout that was put into another
/// repository.
fn history() -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(top()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let all = git(&["rev-list", "HEAD"])?;
    all.lines().any(|commit| commit == FIRST).then_some(all)
}

/// Is it one of them? What can't be known is not held against it.
fn is_known(commit: &str, history: Option<&str>) -> bool {
    is_commit(commit) && history.is_none_or(|history| history.lines().any(|known| known.starts_with(commit)))
}

/// Of `DATE, COMMIT`, `DATE, COMMIT with changes` and `DATE, COMMIT to COMMIT`.
fn measured(when: &str) -> Option<(&str, Vec<&str>)> {
    let (date, of) = when.split_once(", ")?;
    let of = of.strip_suffix(" with changes").unwrap_or(of);
    let commits: Vec<&str> = of.split(" to ").collect();
    let is_date = date.len() == 10
        && date
            .chars()
            .enumerate()
            .all(|(at, c)| if matches!(at, 4 | 7) { c == '-' } else { c.is_ascii_digit() });
    (is_date && commits.len() <= 2 && commits.iter().all(|commit| is_commit(commit)))
        .then_some((date, commits))
}

#[test]
fn commits_are_told_from_other_words() {
    assert_eq!(measured("2026-11-30, af03015"), Some(("2026-11-30", vec!["af03015"])));
    assert_eq!(measured("2026-11-21, 23d5dd0 with changes"), Some(("2026-11-21", vec!["23d5dd0"])));
    assert_eq!(measured("2026-11-30, faefb08 to 3c547bd"), Some(("2026-11-30", vec!["faefb08", "3c547bd"])));
    for none in
        ["2026-11-30, eighth run", "2026-11-30", "the 30th, af03015", "2026-11-30, af0301", "2026-11-30, "]
    {
        assert_eq!(measured(none), None, "{none}");
    }
    let known = "af030150000000000000000000000000000000aa\nbad1a870000000000000000000000000000000bb\n";
    assert!(is_known("bad1a87", Some(known)) && is_known("1234567", None));
    assert!(!is_known("1234567", Some(known)) && !is_known("eighth", None));
}

/// In generated pages and in history it is `commit COMMIT`.
#[test]
fn every_commit_of_a_page_is_one_that_led_here() {
    let history = history();
    let mut commits = 0;
    for page in pages() {
        let text = read(&page);
        for word in
            text.split("commit ").skip(1).filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next())
        {
            if is_commit(word) {
                assert!(is_known(word, history.as_deref()), "{}: there is no commit {word}", page.display());
                commits += 1;
            }
        }
    }
    assert!(commits > 20, "{commits} commits: the pages are not read");
}

/// Rows of the table of what holds now: four cells each.
fn claims(text: &str) -> Vec<[&str; 4]> {
    let table = text.split("## What holds now").nth(1).expect("it is there");
    let table = table.split("\n## ").next().expect("its part");
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| claim"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        cells.try_into().unwrap_or_else(|_| panic!("four cells: {row}"))
    })
    .collect()
}

/// What measures: the commands and tests of a cell, without what is set for them.
fn measures(cell: &str) -> impl Iterator<Item = String> {
    quoted(cell).map(|command| {
        let words = command.split_whitespace().skip_while(|word| word.contains('='));
        words.collect::<Vec<_>>().join(" ")
    })
}

/// A claim is as new as the newest figure of its command, in history or in another claim.
#[test]
fn no_claim_is_older_than_the_newest_figure_of_its_command() {
    let (text, past) =
        (read(&top().join("docs/evidence/README.md")), read(&top().join("docs/evidence/history.md")));
    let mut newest: BTreeMap<String, String> = BTreeMap::new();
    let mut note = |measure: String, date: &str| {
        let known = newest.entry(measure).or_default();
        if date > known.as_str() {
            date.clone_into(known);
        }
    };
    for part in past.split("\n## ").skip(1) {
        let Some(date) = part.get(..10).filter(|date| date.starts_with("20")) else { continue };
        for command in
            part.lines().filter(|line| line.starts_with("| ")).filter_map(|row| row.rsplit(" | ").next())
        {
            measures(command).for_each(|measure| note(measure, date));
        }
    }
    let claims = claims(&text);
    for [_, _, command, when] in &claims {
        measures(command).for_each(|measure| note(measure, when.get(..10).unwrap_or_default()));
    }
    assert!(newest.len() > 40, "{} commands: the pages are not read", newest.len());
    for [claim, _, command, when] in &claims {
        for measure in measures(command) {
            let latest = &newest[&measure];
            assert!(
                when.starts_with(latest.as_str()),
                "`{measure}` has a figure of {latest}: {claim} | {when}"
            );
        }
    }
}

/// The table of what holds now: claim, figure, command, and of when it is.
#[test]
fn every_claim_has_a_figure_a_command_and_a_date() {
    let text = read(&top().join("docs/evidence/README.md"));
    let history = history();
    let mut names = Vec::new();
    for folder in ["firmware", "ground", "keys", "probes", "qemu", "tests"] {
        sources(&top().join(folder), &mut names);
    }
    let code: String = names.iter().map(|path| read(path)).collect();
    let claims = claims(&text);
    for [claim, figure, command, when] in &claims {
        assert!(
            figure.contains(|c: char| c.is_ascii_digit()) || figure.contains("page"),
            "no figure: {claim}"
        );
        let Some((_, commits)) = measured(when) else { panic!("no date and commit: {claim} | {when}") };
        for commit in commits {
            assert!(is_known(commit, history.as_deref()), "there is no commit {commit}: {claim}");
        }
        assert!(quoted(command).next().is_some(), "no command: {claim}");
        for test in command.split("; ").filter_map(|part| part.strip_prefix("test ")).flat_map(quoted) {
            assert!(code.contains(&format!("fn {test}(")), "no test `{test}`: {claim}");
        }
    }
    assert!(claims.len() > 15, "{} claims: the table is not read", claims.len());
}
