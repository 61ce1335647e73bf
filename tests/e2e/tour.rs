//! The tour of a device's commands (`docs/tour.md`): each is run in a guest as it stands on the page, ends as it stands there, and begins
//! its answer in the same words. `AEGIS_GOLDEN=write` writes their answers anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use aegis_tests::tour::{Step, shape, steps};
use aegis_tests::{Bench, root};

/// Most lines of an answer that the page has.
const LINES: usize = 24;
/// Longest line of one, bytes.
const LINE: usize = 180;

/// The page's own script: answers go to files, since what a command says may be anything.
fn script(steps: &[Step]) -> String {
    let mut script =
        "i=0; while [ $i -lt 3 ]; do cat /etc/shadow /etc/hosts; i=$((i + 1)); done >/scratch/load 2>&1\n"
            .to_owned();
    for (number, step) in steps.iter().enumerate() {
        let _ = writeln!(
            script,
            "({0}) >/scratch/said 2>&1 </dev/null; code=$?; echo \"==== {number} $code\"; head -n {LINES} /scratch/said",
            step.command
        );
    }
    script + "echo ==== end"
}

#[test]
fn every_command_of_the_tour_says_what_the_page_says() {
    let path = root().join("docs/tour.md");
    let page = fs::read_to_string(&path).expect("the page");
    let steps = steps(&page);
    assert!(steps.len() > 20, "{}", steps.len());
    let bench = Bench::new();
    let policy = bench.shadow("tour", "self-protection = false", "");
    let (_slot, mut vm) = Bench::start(bench.demo(&script(&steps)).policy(&policy));
    assert!(vm.wait_stdout("==== end").expect("watched"), "{}", vm.console_end());
    let run = vm.finish().expect("watched");
    let out = String::from_utf8_lossy(&run.stdout().expect("there")).into_owned();
    let answers: BTreeMap<usize, (u32, Vec<String>)> = out
        .split("==== ")
        .filter_map(|part| {
            let (head, answer) = part.split_once('\n')?;
            let (number, code) = head.split_once(' ')?;
            let line = |line: &str| line.trim_end().chars().take(LINE).collect::<String>();
            Some((number.parse().ok()?, (code.parse().ok()?, answer.lines().map(line).collect())))
        })
        .collect();

    let mut wrong = Vec::new();
    let mut written = page.clone();
    for (number, step) in steps.iter().enumerate() {
        let (code, answer) = answers.get(&number).unwrap_or_else(|| panic!("no {}: {out}", step.command));
        let old = format!("\n```\n# {}   # exit {}\n{}", step.command, step.exit, step.answer.join("\n"));
        let new = format!("\n```\n# {}   # exit {code}\n{}", step.command, answer.join("\n"));
        written = written.replacen(old.trim_end(), new.trim_end(), 1);
        let first = |lines: &[String]| lines.iter().map(|line| shape(line)).find(|line| !line.is_empty());
        if *code != step.exit || first(answer) != first(&step.answer) {
            wrong.push(format!(
                "{}: exit {code}, {:?}; the page: {}, {:?}",
                step.command,
                first(answer),
                step.exit,
                first(&step.answer)
            ));
        }
    }
    if std::env::var_os("AEGIS_GOLDEN").is_some_and(|value| value == "write") {
        fs::write(&path, written).expect("written");
    } else {
        assert!(wrong.is_empty(), "docs/tour.md (AEGIS_GOLDEN=write writes it anew): {wrong:#?}");
    }
}
