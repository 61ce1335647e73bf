#![allow(clippy::unwrap_used)]

use aegis_bundle::What;
use aegis_event::{Kind, Verdict};
use aegis_metrics::{Exposition, Source};

use super::*;
use crate::run::status::Measures;
use crate::storage::tally::{Key, Program, Tally};

/// What is said, and the names of the sources that failed.
fn said(then: impl FnOnce(&mut Answer<'_>)) -> (String, Vec<&'static str>) {
    let mut text = String::new();
    let mut all = Answer {
        out: Exposition::new(&mut text),
        failed: [false; Source::ALL.len()],
        told: [false; Source::ALL.len()],
    };
    then(&mut all);
    let failed =
        Source::ALL.into_iter().filter(|source| all.failed[*source as usize]).map(Source::name).collect();
    assert_eq!(all.out.finish().unwrap().left_out, 0);
    (text, failed)
}

fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

/// This host's own files.
#[test]
fn a_hosts_system_is_measured() {
    let (text, failed) = said(system::gather);
    // Not every host has PSI or sysfs; these every one has.
    for source in ["stat", "memory", "network", "filesystems"] {
        assert!(!failed.contains(&source), "{failed:?}");
    }
    assert!(value(&text, "aegis_system_uptime_seconds").unwrap() > 0.0);
    assert!(value(&text, "aegis_system_cpus").unwrap() >= 1.0);
    assert!(value(&text, "aegis_system_cpu_seconds_total{mode=\"idle\"}").is_some());
    let memory = |kind: &str| value(&text, &format!("aegis_system_memory_bytes{{kind=\"{kind}\"}}")).unwrap();
    assert!(memory("total") > memory("available") && memory("available") > 0.0);
    assert!(
        value(&text, "aegis_system_network_bytes_total{interface=\"lo\",direction=\"receive\"}").is_some()
    );
    assert!(value(&text, "aegis_system_filesystem_size_bytes{mount=\"/\"}").unwrap() > 0.0);
    assert!(!text.contains("device=\"loop") && !text.contains("device=\"ram"));
}

#[test]
fn events_are_by_kind_and_what_can_not_be_is_no_series() {
    let columns = 1 + Verdict::ALL.len();
    let mut events = vec![0; Kind::ALL.len() * columns];
    let at = |kind: Kind, column: usize| Kind::ALL.binary_search(&kind).unwrap() * columns + column;
    events[at(Kind::Open, 3)] = 7;
    events[at(Kind::Fork, 0)] = 8;
    let flushes = vec![1; aegis_metrics::limits::FLUSH_BUCKETS.len() + 1];
    let latencies = vec![2; aegis_metrics::limits::LATENCY_BUCKETS.len() + 1];
    let (flush_nanos, latency_nanos) = (1_500_000_000, 2_500_000_000);
    let measures = Measures { events, guarded: [2, 3], flushes, flush_nanos, latencies, latency_nanos };
    let (text, _) = said(|all| agent::of_measures(all, &measures));
    let of = |kind: &str, verdict: &str| {
        value(&text, &format!("aegis_events_total{{kind=\"{kind}\",verdict=\"{verdict}\"}}"))
    };
    assert_eq!(
        [of("open", "denied"), of("open", "audited"), of("open", "none")],
        [Some(7.0), Some(0.0), None]
    );
    assert_eq!([of("fork", "none"), of("fork", "denied")], [Some(8.0), None]);
    assert_eq!(value(&text, "aegis_self_protection_hits_total{verdict=\"denied\"}"), Some(3.0));
    assert_eq!(value(&text, "aegis_ring_flush_seconds_sum"), Some(1.5));
    assert_eq!(value(&text, "aegis_ring_flush_seconds_count"), Some(13.0));
    assert_eq!(value(&text, "aegis_event_latency_seconds_sum"), Some(2.5));
    assert_eq!(value(&text, "aegis_event_latency_seconds_count"), Some(34.0));
    // An answer of an agent of another make is no panic.
    let (text, _) =
        said(|all| agent::of_measures(all, &Measures { events: vec![1; 3], ..Measures::default() }));
    assert!(!text.contains("\naegis_events_total{"));
}

#[test]
fn what_was_counted_in_this_boot_is_said() {
    let entries = vec![
        (Key::Start(Program::Agent), 3u64),
        (Key::Refused(What::Bundle.number(), "rollback".to_owned()), 2),
        (Key::Refused(9, "a\"\n".to_owned()), 1),
        (Key::Accepted(What::Bundle.number()), 4),
        (Key::StickFault("pulled".to_owned()), 5),
        (Key::Swaps, 1),
        (Key::SwapAt, 1_000_000_000),
        (Key::SwapTook, 250_000_000),
    ];
    let tally: Tally =
        postcard::from_bytes(&postcard::to_slice(&entries, &mut [0; 512]).unwrap()[..]).unwrap();
    let (text, _) = said(|all| decided::of_tally(all, &tally, 3_500_000_000));
    for (series, expected) in [
        ("aegis_starts_total{program=\"agent\"}", 3.0),
        ("aegis_starts_total{program=\"stick-watch\"}", 0.0),
        ("aegis_sticks_seen_total", 0.0),
        ("aegis_offers_refused_total{what=\"bundle\",code=\"rollback\"}", 2.0),
        ("aegis_offers_refused_total{what=\"unknown\",code=\"a\\\"\\\\x0a\"}", 1.0),
        ("aegis_offers_accepted_total{what=\"bundle\"}", 4.0),
        ("aegis_stick_faults_total{code=\"pulled\"}", 5.0),
        ("aegis_policy_swap_duration_seconds", 0.25),
        ("aegis_policy_age_seconds", 2.5),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}: {text}");
    }
    let (text, _) = said(|all| decided::of_tally(all, &Tally::default(), 7));
    assert_eq!(value(&text, "aegis_policy_swap_duration_seconds"), None, "no swap, no time of it");
}

#[test]
fn a_source_that_fails_is_said_once_and_its_values_are_absent() {
    let (text, failed) = said(|all| {
        for _ in 0..2 {
            assert_eq!(all.read(Source::Ring, Err::<(), _>("no ring")), None);
        }
        assert_eq!(all.read(Source::Agent, Ok::<_, String>(7)), Some(7));
    });
    assert_eq!(failed, ["ring"]);
    assert_eq!(value(&text, "aegis_ring_size_bytes"), None);
}
