//! The edge-case suite: every scenario must be denied, be told, and be one that could have passed.

use aegis_suite::groups;
use aegis_tests::suite::{Boot, Outcome, Suite, judge, skips};
use aegis_tests::{Bench, kernel};

/// Nothing failed, and nothing was skipped but what this kernel is known to lack.
fn holds(suite: &Suite) {
    let failures = suite.failures();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    let skipped: Vec<&str> = suite
        .outcomes()
        .into_iter()
        .filter(|(_, outcome)| matches!(outcome, Outcome::Skipped(_)))
        .map(|(scenario, _)| scenario.id)
        .collect();
    if std::env::var_os("AEGIS_SUITE").is_none() {
        assert_eq!(skipped, skips(&kernel().to_string(), suite.boot), "skipped, and expected to be");
    }
}

/// On a new device every file is made after the policy was taken; at the next boot of the same device those on its disk
/// are there before.
#[test]
fn every_scenario_holds_by_name_and_then_by_object() {
    let bench = Bench::new();
    let state = bench.at("device");
    for boot in [Boot::Fresh, Boot::Again] {
        holds(&Suite::run(&bench, &kernel(), boot, &state));
    }
}

/// The kernel's ring buffer is full and nobody takes anything out: evidence is lost and counted, a denial never.
#[test]
fn what_is_full_costs_evidence_and_no_denial() {
    let bench = Bench::new();
    let suite = Suite::run(&bench, &kernel(), Boot::Plain, &bench.at("device"));
    holds(&suite);
    let lost = suite.evidence.lost();
    assert!(lost >= 1000, "{lost} lost: the ring buffer was not full");
}

/// The same without rules: a scenario that holds there would hold anywhere, and proves nothing. Each act passes.
#[test]
fn no_scenario_holds_without_rules() {
    let bench = Bench::new();
    let suite = Suite::run(&bench, &kernel(), Boot::Absent, &bench.at("device"));
    let (mut held, mut stopped) = (Vec::new(), Vec::new());
    for (scenario, line) in &suite.lines {
        match judge(scenario, line, &suite) {
            Outcome::Failed(_) => {}
            Outcome::Skipped(_) if skips(&kernel().to_string(), Boot::Again).contains(&scenario.id) => {
                continue;
            }
            outcome => held.push(format!("{}: {outcome:?}", scenario.id)),
        }
        if line.result != "pass" {
            stopped.push(format!("{}: {}", scenario.id, line.result));
        }
    }
    assert!(held.is_empty(), "these do not need a rule:\n{}", held.join("\n"));
    assert!(stopped.is_empty(), "these do not pass without one:\n{}", stopped.join("\n"));
    assert!(groups::all().len() >= 120);
}
