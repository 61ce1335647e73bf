#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use aegis_alerts::{Change, Engine};
use aegis_metrics::{Exposition, Id};
use aegis_policy::{Alert, Alerts, Condition, Mode, Outputs as Wanted, Policy, Source, SourceAlert, compile};

use super::outputs::Outputs;
use super::*;
use crate::heap;

/// Alerts of a policy, as a device keeps them.
fn alerts(outputs: &[Wanted]) -> (u32, Vec<u8>) {
    let names = ["a", "b", "c"];
    let alert = |(name, outputs): (&'static str, &Wanted)| SourceAlert {
        name,
        severity: Severity::Critical,
        metric: Id::RingUsed.family().name(),
        relation: None,
        matches: vec![],
        condition: Condition::Above { threshold: 5_000, clear: 5_000 },
        hold: 0,
        clear_hold: 0,
        outputs: *outputs,
        meaning: "it is full",
        mend: "empty it",
    };
    let source = Source {
        name: "p",
        mode: Mode::Audit,
        self_protection: true,
        argv: aegis_policy::Argv::Whole,
        deadman: None,
        workloads: vec!["*".into()],
        rules: vec![],
        alerts: names.into_iter().zip(outputs).map(alert).collect(),
    };
    let bytes = compile(&source).unwrap();
    let alerts = Policy::decode(&bytes).unwrap().alerts();
    (alerts.count(), alerts.bytes().to_vec())
}

fn engine(outputs: &[Wanted]) -> Engine {
    let (count, bytes) = alerts(outputs);
    let mut engine = Engine::default();
    engine.take(count, bytes, true, &mut |_| ()).unwrap();
    engine
}

/// A look at which the ring's use is this; how many alerts changed.
fn look(engine: &mut Engine, text: &mut String, used: u64, now: u64) -> usize {
    text.clear();
    let mut all = Exposition::heard(text, Some(engine));
    all.count(Id::RingUsed, used);
    all.finish().unwrap();
    let mut changes = 0;
    engine.finish(now, &mut |_| changes += 1);
    changes
}

#[test]
fn what_is_left_for_others_is_what_was_found() {
    let mut engine = engine(&[Wanted::STICK, Wanted::default()]);
    assert_eq!(look(&mut engine, &mut String::new(), 7, 9), 2);
    let mut report = Report { at: boottime(), sequence: 4, crowded: false, alerts: Vec::new() };
    report.alerts.extend(engine.rows().map(|row| Told::of(&row)));
    let folder = tempfile::tempdir().unwrap();
    report.save(folder.path(), &mut vec![0; limits::ALERTS_BYTES]).unwrap();
    let bytes = fs::read(folder.path().join(FILE)).unwrap();
    assert_eq!(Report::of(&bytes).unwrap(), report);
    assert!(Report::of(&bytes[..bytes.len() - 1]).is_err());
    let json = report.to_json();
    assert_eq!(json["alerts"][0]["state"], "firing");
    assert_eq!(json["alerts"][0]["value"], 7.0);
    assert_eq!((&json["stale"], &json["policy_sequence"]), (&Value::from(false), &Value::from(4)));
    assert_eq!(report.for_stick()["alerts"].as_array().unwrap().len(), 1);
    assert!(report.alerts[0].is_bad() && !report.is_stale());
    assert!(Report { at: 0, ..report }.age() > 0);
}

/// As many alerts as there can be, each with texts as long as they can be.
#[test]
fn the_longest_report_fits() {
    use aegis_policy::limits as bounds;
    let (name, metric) = ("n".repeat(bounds::RULE_NAME_BYTES), "m".repeat(bounds::METRIC_BYTES));
    let (text, series) =
        ("t".repeat(bounds::ALERT_TEXT_BYTES), "s".repeat(aegis_alerts::limits::SERIES_BYTES));
    let told = Told {
        name: &name,
        severity: 3,
        phase: 2,
        since: u64::MAX,
        value: Some(i64::MIN),
        known: true,
        outputs: 15,
        metric: &metric,
        series: &series,
        meaning: &text,
        mend: &text,
    };
    let report =
        Report { at: u64::MAX, sequence: u64::MAX, crowded: true, alerts: vec![told; bounds::ALERTS] };
    assert!(postcard::to_slice(&report, &mut vec![0; limits::ALERTS_BYTES]).is_ok());
}

/// The light and the kernel's log are files here: the code is the device's.
#[test]
fn lights_and_logs_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let led = folder.path().join("red:alarm");
    fs::create_dir(&led).unwrap();
    let (log, brightness) = (folder.path().join("kmsg"), led.join("brightness"));
    for file in [&log, &brightness] {
        fs::write(file, "").unwrap();
    }
    let mut outputs = Outputs::new(&log, folder.path(), "red:alarm");
    outputs.light(false);
    assert_eq!(fs::read_to_string(&brightness).unwrap(), "0");
    outputs.light(true);
    assert_eq!(fs::read_to_string(&brightness).unwrap(), "1");
    fs::write(led.join("max_brightness"), "255\n").unwrap();
    outputs.light(false);
    outputs.light(true);
    assert_eq!(fs::read_to_string(&brightness).unwrap(), "255");
    // One that is told already is not told again.
    fs::write(&brightness, "7").unwrap();
    outputs.light(true);
    assert_eq!(fs::read_to_string(&brightness).unwrap(), "7");
    // A light that is gone ends nothing.
    Outputs::new(&log, folder.path(), "none").light(true);
    Outputs::new(&log, folder.path(), "").light(true);

    let (count, bytes) = alerts(&[Wanted::SYSLOG, Wanted::STICK]);
    let all: Vec<Alert<'_>> = Alerts::decode(count, &bytes).unwrap().iter().collect();
    let change = |alert, firing| Change { alert, firing, value: Some(7_500), series: "disk=a" };
    outputs.tell(&change(&all[1], true), 1);
    assert_eq!(fs::read_to_string(&log).unwrap(), "", "it is for sticks alone");
    outputs.tell(&change(&all[0], true), 1);
    assert_eq!(
        fs::read_to_string(&log).unwrap(),
        "<26>aegis: ALERT a (critical): 7.5 of disk=a: it is full; empty it\n"
    );
    fs::write(&log, "").unwrap();
    outputs.tell(&change(&all[0], false), 2);
    assert_eq!(fs::read_to_string(&log).unwrap(), "<29>aegis: alert a is over: 7.5 of disk=a\n");
}

/// However many change: so many lines a minute, and the next one says how many were left out.
#[test]
fn a_storm_of_alerts_floods_no_console() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("kmsg");
    fs::write(&log, "").unwrap();
    let mut outputs = Outputs::new(&log, Path::new("/"), "");
    let (count, bytes) = alerts(&[Wanted::SYSLOG]);
    let alert = Alerts::decode(count, &bytes).unwrap().iter().next().unwrap();
    let mut last = String::new();
    let mut lines = 0;
    for second in 0..70u64 {
        fs::write(&log, "").unwrap();
        let change = Change { alert: &alert, firing: second % 2 == 0, value: None, series: "" };
        outputs.tell(&change, 100_000_000_000 + second * 1_000_000_000);
        let said = fs::read_to_string(&log).unwrap();
        lines += usize::from(!said.is_empty());
        if second == 60 {
            last = said;
        }
    }
    assert_eq!(lines, limits::ALERT_LINES_A_MINUTE as usize + 10);
    assert!(last.contains("(and 40 changes before, see the events)"), "{last}");
}

#[test]
fn judging_a_look_allocates_nothing() {
    let mut engine = engine(&[Wanted::STICK, Wanted::LED]);
    let mut text = String::with_capacity(1 << 20);
    look(&mut engine, &mut text, 0, 1);
    let before = heap::allocations_of_this_thread();
    let changes: usize = (2..50).map(|now| look(&mut engine, &mut text, now % 10, now)).sum();
    assert_eq!(heap::allocations_of_this_thread(), before);
    assert!(changes > 10);
}
