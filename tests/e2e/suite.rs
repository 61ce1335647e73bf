//! The edge-case suite: every scenario must be denied, be told, and be one that could have passed.

use aegis_qemu::project_root;
use aegis_suite::groups;
use aegis_tests::suite::{Boot, Outcome, Suite, skips};
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
    // What was not summed is counted, too: of 300 files and 300 sockets more than there is room for, and of what others had open.
    for counter in ["/volumes_full", "/flows_full"] {
        let counted = suite.evidence.number(counter);
        assert!((300..=600).contains(&counted), "{counter}: {counted}");
    }
}

/// The same without rules: a scenario that holds there would hold anywhere, and proves nothing. Each act passes.
#[test]
fn no_scenario_holds_without_rules() {
    let bench = Bench::new();
    let suite = Suite::run(&bench, &kernel(), Boot::Absent, &bench.at("device"));
    let needless = suite.needless();
    assert!(needless.is_empty(), "{}", needless.join("\n"));
    assert!(groups::all().len() >= 120);
}

/// The catalogue of ways around a rule, and the scenarios, hold each other.
#[test]
fn the_catalogue_names_scenarios_that_there_are() {
    let root = project_root().expect("tests run inside the project");
    let text = std::fs::read_to_string(root.join("docs/bypass-catalog.md")).expect("there");
    let all = groups::all();
    let (mut lines, mut named) = (0, Vec::new());
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{row}");
        let (way, state, scenarios) = (cells[0], cells[2], cells[3]);
        if way == "way" || (way.starts_with("**") && state.is_empty()) {
            continue;
        }
        lines += 1;
        let kept =
            ["mitigated", "accepted", "planned"].into_iter().filter(|word| state.starts_with(word)).count();
        assert_eq!(kept, 1, "neither accepted, mitigated nor planned: {row}");
        let names: Vec<&str> = scenarios.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty() || state.starts_with("planned"), "no scenario shows it: {row}");
        for name in names {
            assert!(all.iter().any(|scenario| scenario.id == name), "no scenario `{name}`: {row}");
            named.push(name.to_owned());
        }
    }
    assert!(lines >= 60, "{lines}");
    for scenario in all.iter().filter(|scenario| scenario.allowed.is_some()) {
        assert!(
            named.iter().any(|name| name == scenario.id),
            "allowed, and not in the catalogue: {}",
            scenario.id
        );
    }
}
