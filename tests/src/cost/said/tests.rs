use aegis_suite::cost::{LOADS, STATES};
use serde_json::json;

use super::*;
use crate::boots::blocks_of;

/// A block that stands, of which every time is this.
pub(crate) fn block_of(state: &str, time: u64) -> Block {
    serde_json::from_value(value_of(state, time)).expect("a block")
}

fn value_of(state: &str, time: u64) -> Value {
    let times = json!({ "n": 100, "sum": 100 * time, "least": time, "p50": time, "p95": time, "p99": time, "most": time });
    let cases: BTreeMap<&str, &Value> = CALLS.iter().map(|(name, _)| (*name, &times)).collect();
    let load = json!({ "wall": time, "cpu": time, "syscalls": times });
    let loads: BTreeMap<&str, &Value> = LOADS.iter().map(|name| (*name, &load)).collect();
    let enforces = state.starts_with("enforce");
    let books = |by_rule: u64, by_none: u64| {
        if state == NONE {
            return json!({ "links": 0, "runs": 7, "agent": false });
        }
        let denied = if enforces { by_rule.min(ASKED) } else { 0 };
        json!({
            "links": 2, "runs": by_rule, "agent": true, "agent_cpu": 1000 * by_rule,
            "status": {
                "mode": if enforces { "enforcing" } else { "audit-only" },
                "policy": { "hash": state },
                "hooks": [{ "attached": "lsm" }, { "attached": "fexit" }],
                "accounts": { "written": by_rule + by_none },
            },
            "metrics": [
                format!("aegis_events_total{{kind=\"open\",verdict=\"audited\"}} {by_rule}"),
                format!("aegis_events_total{{kind=\"open\",verdict=\"allowed\"}} {by_none}"),
                format!("aegis_workload_events_total{{workload=\"demo\"}} {}", by_rule + by_none),
                format!("aegis_workload_denials_total{{workload=\"demo\"}} {denied}"),
                "aegis_workload_lost_events_total{workload=\"demo\",cause=\"kernel-ring-full\"} 0".to_owned(),
                format!("aegis_hook_invocations_total{{hook=\"file_open\"}} {by_none}"),
                format!("aegis_hook_run_seconds_total{{hook=\"file_open\"}} {}", by_none as f64 * 1e-6),
                format!("aegis_hook_invocations_total{{hook=\"bpf\"}} 7"),
            ],
        })
    };
    let secret = if enforces { [ASKED, 0, 0] } else { [0, ASKED, 0] };
    json!({
        "block": 0, "kind": "measure", "state": state, "before": books(0, 500), "secret": secret, "cases": cases,
        "loads": loads, "after": books(300, 1000),
    })
}

/// A block in which one thing is another.
fn changed(state: &str, pointer: &str, to: Value) -> Block {
    let mut value = value_of(state, 5);
    *value.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = to;
    serde_json::from_value(value).expect("a block")
}

#[test]
fn a_block_in_which_all_happened_stands() {
    for state in STATES {
        assert_eq!(block_of(state, 5).void(), None, "{state}");
    }
    let counted = block_of("enforce-10", 5).counted();
    assert_eq!(
        (counted.matched, counted.unmatched, counted.events, counted.denied),
        (300.0, 500.0, 800.0, 20.0)
    );
    assert_eq!((counted.written, counted.agent_cpu), (800.0, 300_000.0));
    let hooks = block_of("enforce-10", 5).hooks();
    assert_eq!(hooks.len(), 1, "what did not run is left out: {hooks:?}");
    assert!((hooks["file_open"][1] - 1000.0).abs() < 1e-6, "{hooks:?}");
}

#[test]
fn what_proves_nothing_is_void() {
    let none = |count: u64| json!(format!("aegis_events_total{{kind=\"open\",verdict=\"audited\"}} {count}"));
    for (state, pointer, to, why) in [
        ("none", "/before/links", json!(1), "there was an agent, or"),
        ("none", "/after/runs", json!(8), "the probes ran 1 times without"),
        ("audit", "/after/runs", json!(19), "the probes ran 19 times while"),
        ("none", "/after/agent", json!(true), "there was an agent, or"),
        ("none", "/secret", json!([20, 0, 0]), "denied without an agent"),
        ("audit", "/before/links", json!(1), "1 programs hang on 2 hooks"),
        ("audit", "/after/agent", json!(false), "2 programs hang on 2 hooks"),
        ("audit", "/after/status/hooks/0/attached", json!("missing"), "a hook was missing"),
        ("audit", "/after/status/hooks", json!([]), "a hook was missing"),
        ("audit", "/before/status/mode", json!("enforcing"), "the mode was"),
        ("audit", "/secret", json!([20, 0, 0]), "was not read each time"),
        ("enforce-10", "/before/status/mode", json!("audit-only"), "the mode was"),
        ("enforce-10", "/after/status/policy/hash", json!("other"), "the policy changed"),
        ("enforce-10", "/secret", json!([19, 1, 0]), "was not denied each time"),
        ("enforce-10", "/secret", json!([19, 0, 1]), "something else"),
        ("enforce-10", "/secret", json!([19, 0, 0]), "something else"),
        (
            "enforce-10",
            "/after/metrics/3",
            json!("aegis_workload_denials_total{workload=\"demo\"} 19"),
            "19 denials",
        ),
        (
            "enforce-10",
            "/after/metrics/2",
            json!("aegis_workload_events_total{workload=\"demo\"} 700"),
            "the hooks saw 200 events, of 600 calls",
        ),
        (
            "enforce-10",
            "/after/metrics/4",
            json!("aegis_workload_lost_events_total{workload=\"demo\",cause=\"x\"} 2"),
            "2 of 800 events were lost",
        ),
        ("enforce-10", "/after/metrics/0", none(199), "199 decisions by a rule, of 200 calls"),
        (
            "enforce-10",
            "/after/metrics/1",
            json!("aegis_events_total{kind=\"open\",verdict=\"allowed\"} 699"),
            "199 by none, of 200",
        ),
        ("enforce-10", "/cases/exec/n", json!(0), "exec was not measured"),
    ] {
        let found = changed(state, pointer, to).void().unwrap_or_default();
        assert!(found.contains(why), "{state} {pointer}: {found:?}, not {why:?}");
    }
}

#[test]
fn lines_are_read_strictly() {
    let line = value_of("none", 5).to_string();
    assert_eq!(blocks_of::<Block>(&format!("{line}\n{line}\n")).map(|blocks| blocks.len()), Ok(2));
    for wrong in [
        "",
        "{}",
        &line[1..],
        &line.replacen("\"p50\"", "\"p51\"", 1),
        &line.replacen("\"n\":100", "\"n\":-1", 1),
    ] {
        let found = blocks_of::<Block>(&format!("{line}\n{wrong}\n")).expect_err(wrong);
        assert!(found.starts_with("line 2: "), "{found}");
    }
}
