use serde_json::json;

use super::*;

/// A block that stands, of which every time is this.
pub(crate) fn block_of(side: &str, time: u64) -> Block {
    serde_json::from_value(value_of(side, time)).expect("a block")
}

fn value_of(side: &str, time: u64) -> Value {
    let each = |number: u64| json!({ "open": number, "exec": number, "connect": number });
    let [is_aegis, is_none, audits] = [side == AEGIS, side == NONE, side == "auditd"];
    let books = |told: u64| {
        let mut books = json!({
            "captured": each(if is_none { 0 } else { told }),
            "bytes": if is_none { 0 } else { told * 600 },
            "links": if is_aegis { 2 } else { 0 },
            "audit": { "enabled": u8::from(audits), "pid": if audits { 7 } else { 0 }, "lost": 0, "rules": if audits { 3 } else { 0 } },
            "agent": is_aegis, "probes": if is_aegis { 40 } else { 0 },
            "processes": if is_none { json!([]) } else { json!([7, 8]) },
            "resident": 100, "most": 200, "processor": told * 3_000,
        });
        if is_aegis {
            books["status"] = json!({
                "mode": "enforcing", "policy": { "hash": "h" },
                "hooks": [{ "hook": "file_open", "attached": "lsm" }, { "hook": "bpf", "attached": "lsm" },
                    { "hook": "inode_copy_up", "attached": "missing" }],
                "accounts": { "seen": told + 5, "written": told, "lost": { "kernel-ring-full": 5 }, "in_flight": 0 },
            });
        }
        books
    };
    let times = json!({ "n": 1000, "sum": 1000 * time, "least": time, "p50": time, "p95": time, "p99": time, "most": time });
    json!({
        "block": 0, "side": side, "started": 1.5, "secret": if is_aegis { "denied" } else { "read" },
        "books": [books(1), books(1001), books(2001), books(2501)],
        "parts": [
            { "part": "paced", "seconds": 10.0, "made": each(1000) },
            { "part": "single", "seconds": 5.0, "made": each(1000), "times": { "open": times, "exec": times, "connect": times } },
            { "part": "flat-out", "seconds": 1.0, "made": each(1000), "walls": each(1000 * time) },
        ],
    })
}

/// A block in which one thing is another.
fn changed(side: &str, pointer: &str, to: Value) -> Block {
    let mut value = value_of(side, 5);
    *value.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = to;
    serde_json::from_value(value).expect("a block")
}

#[test]
fn a_block_in_which_all_happened_stands() {
    for side in [NONE, AEGIS, "auditd", "bpftrace", "another"] {
        assert_eq!(block_of(side, 5).void(), None, "{side}");
    }
    let block = block_of("auditd", 5);
    assert_eq!((block.told(0, "open"), block.told(2, "open")), ([1000, 1000], [1000, 500]));
    assert_eq!(block.told_in_all(), 7_500);
    // Each record is 200 bytes of the 600 for one of each kind, and costs a third of their 3,000 ns.
    assert!((block.bytes_each() - 200.0).abs() < 1e-9 && (block.processor_each(0) - 1_000.0).abs() < 1e-9);
    assert_eq!(block_of(NONE, 5).told_in_all(), 0);
}

#[test]
fn what_proves_nothing_is_void() {
    for (side, pointer, to, why) in [
        ("none", "/books/1/agent", json!(true), "there was an agent"),
        ("none", "/books/1/probes", json!(1), "the probes ran 1 times without"),
        ("none", "/books/0/links", json!(1), "1 programs hang"),
        ("none", "/books/3/captured/open", json!(1), "told:"),
        ("none", "/books/2/audit/enabled", json!(1), "the kernel audits"),
        ("none", "/books/2/processes", json!([7]), "its processes were"),
        ("none", "/secret", json!("denied"), "what a policy denies was denied"),
        ("none", "/parts/0/made/exec", json!(0), "paced: 0 of exec were made"),
        ("none", "/parts/1/times/exec/n", json!(7), "were made or timed"),
        ("none", "/parts/2/walls/open", json!(0), "flat-out: open was not timed"),
        ("none", "/parts/1/part", json!("other"), "its parts are"),
        ("aegis", "/secret", json!("read"), "what a policy denies was read"),
        ("aegis", "/books/3/agent", json!(false), "there was no agent"),
        ("aegis", "/books/3/probes", json!(19), "its probes ran 19 times"),
        ("aegis", "/books/0/links", json!(1), "1 programs hang on 3 hooks"),
        ("aegis", "/books/0/status/hooks/0/attached", json!("missing"), "2 programs hang on 3 hooks"),
        ("aegis", "/books/0/status/hooks", json!([]), "hang on 0 hooks"),
        ("aegis", "/books/2/status/mode", json!("audit-only"), "the mode was"),
        ("aegis", "/books/2/status/policy/hash", json!("other"), "the policy changed"),
        ("aegis", "/books/2/status/accounts/written", json!(2000), "do not balance"),
        ("aegis", "/books/2/audit/rules", json!(1), "the kernel audits"),
        ("aegis", "/books/2/processes", json!([7, 9]), "its processes were"),
        ("aegis", "/books/1/captured/exec", json!(999), "paced: 998 of 1000 of exec were told of"),
        ("auditd", "/books/1/audit/enabled", json!(0), "auditd does not audit"),
        ("auditd", "/books/1/audit/rules", json!(2), "auditd does not audit"),
        ("auditd", "/books/1/audit/pid", json!(9), "auditd does not audit"),
        ("auditd", "/books/1/agent", json!(true), "there was an agent"),
        ("auditd", "/books/1/processes", json!([8]), "auditd does not audit"),
        ("bpftrace", "/books/1/processes", json!([]), "its processes were"),
        ("bpftrace", "/books/1/audit/enabled", json!(1), "the kernel audits"),
        ("bpftrace", "/books/2/captured/open", json!(1999), "single: 998 of 1000 of open were told of"),
        (
            "bpftrace",
            "/books/3/captured/connect",
            json!(3002),
            "flat-out: 1001 of connect were told of, and 1000 made",
        ),
    ] {
        let found = changed(side, pointer, to).void();
        assert!(found.as_ref().is_some_and(|found| found.contains(why)), "{side} {pointer}: {found:?}");
    }
    // One in a thousand may be missing where there is room; as fast as can be, as many as will.
    assert_eq!(changed("bpftrace", "/books/2/captured/open", json!(2000)).void(), None);
    assert_eq!(changed("bpftrace", "/books/3/captured/open", json!(2001)).void(), None);
}
