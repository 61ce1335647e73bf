//! `console`: what commands said and what somebody typed, on the way to a terminal.

use aegis_console::{Trial, is_harmless, trial};

use crate::Seed;

/// Before the first zero: an answer of each command, or lines of events, or figures; behind it: keys. True when it was one of them.
/// Nothing but text and the console's own sequences is sent.
pub fn run(bytes: &[u8]) -> bool {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (answer, typed) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Trial { sent, understood } = trial(answer, typed);
    assert!(is_harmless(&sent), "{}", String::from_utf8_lossy(&sent));
    understood
}

/// One of each.
pub fn seeds() -> Vec<Seed> {
    const SEEDS: [(&str, &[u8]); 4] = [
        (
            "status",
            br#"{"phase":"ready","mode":"enforcing","reason":"self-test-passed","glass":{"broken":true,"seconds_left":9},"policy":{"epoch":1,"sequence":2,"rules":3,"unresolved":1,"uncovered":0},"accounts":{"lost":{"a":1}},"ring":{"level":"high","unexported_percent":70},"in_force":{"name":"a","expires":1,"stale":true},"slot":"a","image":"1.2","troubles":["x"]}"#,
        ),
        (
            "findings",
            b"{\"verdict\":\"unwell\",\"findings\":[{\"code\":\"a\",\"severity\":\"bad\",\"meaning\":\"b\\u001b[2J\",\"mend\":\"c\"}],\"facts\":{\"a\":{\"b\":[true,null,1]}}}\0\x1b[6~\x1b[Bjk q?dG\x1b",
        ),
        (
            "events",
            b"{\"sequence\":1,\"boot_id\":\"a\",\"time_ns\":9000000000,\"kind\":\"open\",\"workload\":\"w\",\"comm\":\"c\",\"rule\":\"r\",\"path\":\"/x\"}\n{\"sequence\":2,\"kind\":\"connect\",\"rule\":\"r\",\"address\":\"::1\",\"port\":1}\n{\"sequence\":3,\"kind\":\"stick\",\"code\":\"seen\",\"detail\":\"d\"}\n{\"missed\":{\"first\":4,\"last\":null}}\n\0r\rt\x1b[A",
        ),
        (
            "figures",
            b"aegis_workload_events_total{workload=\"a\\\"b\"} 7\naegis_workload_cpu_seconds_total{workload=\"a\",mode=\"user\"} 1.5\n\0s",
        ),
    ];
    SEEDS.iter().map(|(name, bytes)| (*name, bytes.to_vec())).collect()
}
