//! Alerts look by look: what fires, since when, what is over.
#![allow(clippy::unwrap_used)]

use aegis_alerts::{Engine, Phase, State};
use aegis_metrics::{Exposition, Id, Value};
use aegis_policy::{
    Condition, Mode, Outputs, Policy, Relation, Severity, Source, SourceAlert, SourceMatch, Way, compile,
};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

fn alert(name: &'static str, metric: Id, condition: Condition) -> SourceAlert<'static> {
    SourceAlert {
        name,
        severity: Severity::Warning,
        metric: metric.family().name(),
        relation: None,
        matches: vec![],
        condition,
        hold: 0,
        clear_hold: 0,
        outputs: Outputs::default(),
        meaning: "m",
        mend: "n",
    }
}

/// The alerts, as a policy's bytes have them.
fn compiled(alerts: Vec<SourceAlert<'_>>) -> (u32, Vec<u8>) {
    let source = Source {
        name: "p",
        mode: Mode::Audit,
        self_protection: true,
        argv: aegis_policy::Argv::Whole,
        deadman: None,
        workloads: vec!["*".into()],
        rules: vec![],
        alerts,
    };
    let bytes = compile(&source).unwrap();
    let alerts = Policy::decode(&bytes).unwrap().alerts();
    (alerts.count(), alerts.bytes().to_vec())
}

fn engine(alerts: Vec<SourceAlert<'_>>) -> Engine {
    let (count, bytes) = compiled(alerts);
    let mut engine = Engine::default();
    engine.take(count, bytes, true, &mut |_| panic!("nothing was there before")).unwrap();
    engine
}

/// A series: labels, and what it says, thousandths.
type Series<'s> = (&'s [&'s [u8]], i64);

/// A look at `second`: families, each with its series. What fires (`+name`) and is over (`-name`) by it.
fn look(engine: &mut Engine, second: u64, families: &[(Id, &[Series<'_>])]) -> Vec<String> {
    let mut out = String::new();
    let mut all = Exposition::heard(&mut out, Some(engine));
    for (id, series) in families {
        let mut family = all.family(*id);
        for (labels, value) in *series {
            family.put(labels, Value::thousandths(*value));
        }
    }
    all.finish().unwrap();
    let mut changes = Vec::new();
    engine.finish(second * SECOND, &mut |change| {
        let sign = if change.firing { '+' } else { '-' };
        let of = if change.series.is_empty() { String::new() } else { format!(" of {}", change.series) };
        changes.push(format!("{sign}{}{of}", change.alert.name));
    });
    changes
}

/// The state machine, as a table: `for` 10 s, `clear-for` 6 s, looks at any time; `t`, `f`, `?`: the condition holds, does not, is
/// not known. After each look: inactive, pending, Firing.
#[test]
fn states_over_time() {
    for (steps, states) in [
        (&[(0, 't'), (5, 't'), (9, 't'), (10, 't')][..], "pppF"),
        // Not a moment less, by looks however far apart.
        (&[(0, 't'), (300, 't')], "pF"),
        (&[(3, 't'), (12, 't'), (13, 't')], "ppF"),
        // It must hold at every look in between.
        (&[(0, 't'), (5, 'f'), (6, 't'), (15, 't'), (16, 't')], "pippF"),
        (&[(0, 't'), (5, '?'), (10, 't'), (19, 't'), (20, 't')], "pippF"),
        // Over only after it did not hold for long enough, at every look in between.
        (&[(0, 't'), (10, 't'), (11, 'f'), (16, 'f'), (17, 'f'), (18, 'f')], "pFFFii"),
        (&[(0, 't'), (10, 't'), (11, 'f'), (16, 't'), (17, 'f'), (22, 'f'), (23, 'f')], "pFFFFFi"),
        // What can't be known ends none that fires.
        (&[(0, 't'), (10, 't'), (11, '?'), (99, '?'), (100, 'f'), (106, 'f')], "pFFFFi"),
        (&[(0, 't'), (10, 't'), (11, 'f'), (15, '?'), (18, 'f'), (23, 'f'), (24, 'f')], "pFFFFFi"),
        (&[(0, 'f'), (1, '?'), (2, 'f')], "iii"),
    ] {
        let mut state = State::default();
        let mut found = String::new();
        for (second, holds) in steps {
            let holds = match holds {
                't' => Some(true),
                'f' => Some(false),
                _ => None,
            };
            let before = state.phase;
            let changed = state.step(holds, second * SECOND, 10 * SECOND, 6 * SECOND);
            assert_eq!(changed, (before == Phase::Firing) != (state.phase == Phase::Firing));
            found.push(match state.phase {
                Phase::Inactive => 'i',
                Phase::Pending => 'p',
                Phase::Firing => 'F',
            });
        }
        assert_eq!(found, states, "{steps:?}");
    }
}

#[test]
fn thresholds_have_a_way_back() {
    let mut engine = engine(vec![
        alert("hot", Id::RingUsed, Condition::Above { threshold: 85_000, clear: 80_000 }),
        alert("low", Id::RingUsed, Condition::Below { threshold: 10_000, clear: 20_000 }),
    ]);
    for (value, changes) in [
        (85_000, &[][..]),
        (85_001, &["+hot"]),
        (80_001, &[]),
        (90_000, &[]),
        (80_000, &["-hot"]),
        (85_000, &[]),
        (9_999, &["+low"]),
        (19_999, &[]),
        (20_000, &["-low"]),
        (-5, &["+low"]),
    ] {
        assert_eq!(look(&mut engine, 1, &[(Id::RingUsed, &[(&[], value)])]), changes, "{value}");
    }
    let row = engine.rows().nth(1).unwrap();
    assert_eq!((row.value, row.known, row.state.phase), (Some(-5), true, Phase::Firing));
}

#[test]
fn the_worst_series_counts_and_is_named() {
    let matched = |except, values| SourceMatch { label: "sensor", except, values };
    let above = Condition::Above { threshold: 50_000, clear: 50_000 };
    let mut engine = engine(vec![
        SourceAlert { matches: vec![matched(true, vec!["c"])], ..alert("any", Id::Temperature, above) },
        SourceAlert {
            matches: vec![matched(false, vec!["a", "c"])],
            ..alert("some", Id::Temperature, above)
        },
    ]);
    let series: [Series<'_>; 3] = [(&[b"a"], 51_000), (&[b"b"], 70_000), (&[b"c"], 90_000)];
    let changes = look(&mut engine, 1, &[(Id::Temperature, &series)]);
    assert_eq!(changes, ["+any of sensor=b", "+some of sensor=c"]);
    assert_eq!(engine.rows().map(|row| row.value).collect::<Vec<_>>(), [Some(70_000), Some(90_000)]);
}

#[test]
fn two_figures_are_set_in_relation_series_by_series() {
    let above = |threshold| Condition::Above { threshold, clear: threshold };
    let of = |relation, name, condition| SourceAlert {
        relation: Some((relation, Id::MapCapacity.family().name())),
        ..alert(name, Id::MapEntries, condition)
    };
    let alerts = || vec![of(Relation::Of, "part", above(900)), of(Relation::Less, "over", above(-5_000))];
    let entries: &[Series<'_>] = &[(&[b"a"], 91_000), (&[b"b"], 10_000), (&[b"none"], 50_000)];
    let capacity: &[Series<'_>] = &[(&[b"b"], 100_000), (&[b"a"], 100_000), (&[b"none"], 0)];
    // Whichever is told first; a capacity of 0 says nothing.
    for families in [
        [(Id::MapEntries, entries), (Id::MapCapacity, capacity)],
        [(Id::MapCapacity, capacity), (Id::MapEntries, entries)],
    ] {
        let mut engine = engine(alerts());
        assert_eq!(look(&mut engine, 1, &families), ["+part of map=a"]);
        assert_eq!(engine.rows().map(|row| row.value).collect::<Vec<_>>(), [Some(910), Some(-9_000)]);
        // Of one that is not read nothing is known, and what fires stays.
        assert_eq!(look(&mut engine, 2, &families[..1]), [""; 0]);
        assert!(engine.rows().all(|row| !row.known));
    }
}

#[test]
fn what_moved_within_a_time() {
    let moved = |way| Condition::Moved { way, threshold: 5_000, clear: 2_000, seconds: 160 };
    let one = |condition| engine(vec![alert("a", Id::RingErrors, condition)]);
    let run = |mut engine: Engine, steps: &[(u64, i64, &str)]| {
        for (second, value, change) in steps {
            let changes = look(&mut engine, *second, &[(Id::RingErrors, &[(&[], *value)])]);
            assert_eq!(changes.concat(), *change, "second {second}");
        }
    };
    // A counter of this boot counts from 0, begins anew, and what it grew by is forgotten after the time.
    run(
        one(moved(Way::Increase { kept: false })),
        &[(1, 5_000, ""), (2, 5_001, "+a"), (100, 5_001, ""), (150, 5_001, ""), (175, 5_001, "-a")],
    );
    run(one(moved(Way::Increase { kept: false })), &[(1, 4_000, ""), (5, 0, ""), (9, 3_000, "+a")]);
    // One that lives in the ring is how it was.
    run(one(moved(Way::Increase { kept: true })), &[(1, 99_000, ""), (2, 104_000, ""), (3, 104_001, "+a")]);
    run(one(moved(Way::Decrease)), &[(1, 9_000, ""), (2, 3_999, "+a"), (3, 99_000, ""), (400, 99_000, "-a")]);
    run(one(moved(Way::Change)), &[(1, 9_000, ""), (2, 12_000, ""), (3, 9_000, "+a")]);
}

#[test]
fn who_looks_not_first_takes_what_is_there_for_old() {
    const A: &[&[u8]] = &[b"a"];
    const B: &[&[u8]] = &[b"b"];
    let moved = Condition::Moved { way: Way::Increase { kept: false }, threshold: 0, clear: 0, seconds: 60 };
    let (count, bytes) = compiled(vec![alert("a", Id::WorkloadDenials, moved)]);
    let mut engine = Engine::default();
    engine.take(count, bytes, false, &mut |_| ()).unwrap();
    let denials = |a, b| [(A, a), (B, b)];
    let of = |series: &[Series<'_>], engine: &mut Engine, second| {
        look(engine, second, &[(Id::WorkloadDenials, series)])
    };
    assert!(of(&denials(7_000, 0)[..1], &mut engine, 1).is_empty());
    // One that appears later grew from 0.
    assert_eq!(of(&denials(7_000, 1_000), &mut engine, 2), ["+a of workload=b"]);
}

#[test]
fn what_is_missing_and_what_stands_still() {
    let mut engine = engine(vec![
        SourceAlert { hold: 5, ..alert("gone", Id::AgentUp, Condition::Absent) },
        alert("still", Id::RingSequence, Condition::Unmoved { seconds: 10 }),
    ]);
    let there = |value: i64| -> [(Id, &'static [Series<'static>]); 2] {
        [(Id::AgentUp, &[(&[], 1_000)]), (Id::RingSequence, Box::leak(Box::new([(&[][..], value)])))]
    };
    assert!(look(&mut engine, 1, &there(1)).is_empty());
    assert!(look(&mut engine, 9, &there(2)).is_empty());
    assert!(look(&mut engine, 18, &there(2)).is_empty());
    assert_eq!(look(&mut engine, 19, &there(2)), ["+still"]);
    assert_eq!(look(&mut engine, 20, &there(3)), ["-still"]);
    // Not read, or without a series: both are missing.
    assert!(look(&mut engine, 21, &[]).is_empty());
    assert_eq!(look(&mut engine, 26, &[(Id::AgentUp, &[])]), ["+gone"]);
    assert_eq!(look(&mut engine, 30, &[]), ["+still"]);
    assert_eq!(look(&mut engine, 31, &there(4)), ["-gone", "-still"]);
}

#[test]
fn a_metric_that_the_device_does_not_have_is_never_known() {
    let above = Condition::Above { threshold: 0, clear: 0 };
    let mut engine = engine(vec![
        SourceAlert { metric: "aegis_of_tomorrow", ..alert("new", Id::AgentUp, above) },
        SourceAlert { metric: "aegis_of_tomorrow", ..alert("gone", Id::AgentUp, Condition::Absent) },
    ]);
    assert!(look(&mut engine, 1, &[(Id::AgentUp, &[(&[], 1_000)])]).is_empty());
    assert!(engine.rows().all(|row| !row.known && row.state.phase == Phase::Inactive));
}

#[test]
fn another_policy_keeps_what_it_says_alike() {
    let above = |threshold| Condition::Above { threshold, clear: threshold };
    let kept = || SourceAlert { hold: 10, ..alert("kept", Id::RingUsed, above(1_000)) };
    let mut engine =
        engine(vec![alert("gone", Id::RingUsed, above(0)), kept(), alert("other", Id::RingUsed, above(0))]);
    let used: &[(Id, &[Series<'_>])] = &[(Id::RingUsed, &[(&[], 2_000)])];
    assert_eq!(look(&mut engine, 1, used), ["+gone", "+other"]);
    let (count, bytes) = compiled(vec![kept(), alert("other", Id::RingUsed, above(500))]);
    let mut gone = Vec::new();
    engine
        .take(count, bytes, false, &mut |change| gone.push((change.alert.name.to_owned(), change.firing)))
        .unwrap();
    // The one of another wording begins anew, too.
    assert_eq!(gone, [("gone".to_owned(), false), ("other".to_owned(), false)]);
    assert_eq!(look(&mut engine, 10, used), ["+other"]);
    assert_eq!(look(&mut engine, 11, used), ["+kept"], "it waited since the first look");
    // Bytes that are no alerts change nothing.
    assert!(engine.take(1, vec![1, 2, 3], false, &mut |_| panic!("nothing is gone")).is_err());
    assert_eq!(engine.rows().count(), 2);
}

#[test]
fn more_series_than_are_remembered_are_said() {
    let moved = Condition::Moved { way: Way::Change, threshold: 0, clear: 0, seconds: 60 };
    let mut engine = engine(vec![alert("a", Id::Temperature, moved), alert("b", Id::Temperature, moved)]);
    let names: Vec<String> = (0..64).map(|n| format!("sensor{n}")).collect();
    let one: Vec<[&[u8]; 1]> = names.iter().map(|name| [name.as_bytes()]).collect();
    let series: Vec<Series<'_>> = one.iter().map(|labels| (&labels[..], 1_000)).collect();
    look(&mut engine, 1, &[(Id::Temperature, &series)]);
    assert!(!engine.is_crowded());
    // 35 alerts on each of them are more than 1024.
    let alerts: Vec<_> = (0..35).map(|n| alert(format!("a{n}").leak(), Id::Temperature, moved)).collect();
    let mut engine = self::engine(alerts);
    look(&mut engine, 1, &[(Id::Temperature, &series)]);
    assert!(engine.is_crowded());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However a figure moves and however irregularly it is looked at: it fires only after it was above for as long as it must at
    /// every look, it is over only after it was not above `clear` for as long, and so between two changes there is that time.
    #[test]
    fn no_alert_flaps(
        steps in proptest::collection::vec((1u64..40, 0i64..30), 1..200),
        hold in 0u32..30,
        clear_hold in 0u32..30,
    ) {
        let condition = Condition::Above { threshold: 20, clear: 10 };
        let mut engine = engine(vec![SourceAlert { hold, clear_hold, ..alert("a", Id::RingUsed, condition) }]);
        let (mut now, mut firing, mut changed) = (0, false, 0);
        // Since when it is above, and at most at what it is over with.
        let (mut above, mut below) = (None, None);
        for (pause, value) in steps {
            now += pause;
            above = if value > 20 { above.or(Some(now)) } else { None };
            below = if value <= 10 { below.or(Some(now)) } else { None };
            let changes = look(&mut engine, now, &[(Id::RingUsed, &[(&[], value)])]);
            let due = if firing {
                below.is_some_and(|since: u64| now - since.max(changed) >= u64::from(clear_hold))
            } else {
                above.is_some_and(|since: u64| now - since.max(changed) >= u64::from(hold))
            };
            prop_assert_eq!(!changes.is_empty(), due, "at {}", now);
            if due {
                firing = !firing;
                if changed > 0 {
                    let least = if firing { hold } else { clear_hold };
                    prop_assert!(now - changed >= u64::from(least));
                }
                changed = now;
            }
        }
    }
}
