//! What documents, rules and dashboard say is what the contract says.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use aegis_metrics::{Id, Type, contract, limits};

const DOCS: &str = include_str!("../../../docs/metrics.md");
const RULES: &str = include_str!("../../../docs/monitoring/aegis.rules.yml");
const RULE_TESTS: &str = include_str!("../../../docs/monitoring/aegis.test.yml");
const DASHBOARD: &str = include_str!("../../../docs/monitoring/dashboard.json");

#[test]
fn the_document_has_the_contract() {
    let mut table = String::new();
    contract(&mut table).unwrap();
    let (_, rest) = DOCS.split_once("<!-- contract -->\n").expect("where it begins");
    let (found, _) = rest.split_once("<!-- end -->\n").expect("where it ends");
    assert!(
        found.trim() == table.trim(),
        "docs/metrics.md is to have, between its marks, what `cargo run -p aegis-metrics --example contract` prints"
    );
    assert!(DOCS.contains(&format!("{} series", limits::SERIES)));
}

/// Words that can be a metric's name.
fn words(text: &str) -> BTreeSet<&str> {
    let part = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.split(part).filter(|word| word.starts_with("aegis_")).collect()
}

/// Names of series: of a histogram there are three. Those of the site's endpoint are its own crate's, which holds their table.
fn known() -> BTreeSet<String> {
    let (_, rest) = DOCS.split_once("<!-- site contract -->\n").expect("where it begins");
    let (table, _) = rest.split_once("<!-- site end -->").expect("where it ends");
    let mut known: BTreeSet<String> = words(table).into_iter().map(str::to_owned).collect();
    for id in Id::ALL {
        let family = id.family();
        if family.kind == Type::Histogram {
            known.extend(["_bucket", "_sum", "_count"].map(|end| family.name().to_owned() + end));
        } else {
            known.insert(family.name().to_owned());
        }
    }
    known
}

#[test]
fn rules_and_dashboard_speak_of_metrics_that_there_are() {
    let known = known();
    for (name, text) in [("rules", RULES), ("their tests", RULE_TESTS), ("dashboard", DASHBOARD)] {
        let words = words(text);
        assert!(words.len() > 15, "{name}: {words:?}");
        let unknown: Vec<_> = words.into_iter().filter(|word| !known.contains(*word)).collect();
        assert!(unknown.is_empty(), "{name}: no such metric: {unknown:?}");
    }
}

/// By what an alarm is for: those that a site can't do without.
const ASKED_FOR: [&str; 15] = [
    "AegisEventsLost",
    "AegisRingNearFull",
    "AegisEvidenceOld",
    "AegisPolicyStale",
    "AegisGlassBroken",
    "AegisDenyStorm",
    "AegisSelfProtectionHit",
    "AegisHookLost",
    "AegisClockJump",
    "AegisHot",
    "AegisDiskFull",
    "AegisOutOfMemory",
    "AegisCrashLoop",
    "AegisBundleRefused",
    "AegisIntegritySeal",
];

#[test]
fn every_alarm_is_there_tested_and_explained() {
    let alerts: Vec<&str> = RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let distinct: BTreeSet<_> = alerts.iter().collect();
    assert!(distinct.len() == alerts.len() && alerts.len() >= ASKED_FOR.len(), "{alerts:?}");
    for asked in ASKED_FOR {
        assert!(distinct.contains(&asked), "{asked}");
    }
    for part in ["severity:", "summary:", "description:"] {
        assert_eq!(
            RULES.lines().filter(|line| line.trim().starts_with(part)).count(),
            alerts.len(),
            "{part}"
        );
    }
    for alert in alerts {
        let fires = RULE_TESTS.split("alertname: ").filter(|rest| rest.lines().next() == Some(alert));
        // One that is expected, and one at a time at which it is not.
        assert!(fires.count() >= 2, "{alert} is not seen to fire and not to fire");
        assert!(DOCS.contains(&format!("| `{alert}` |")), "docs/metrics.md says nothing of {alert}");
    }
}
