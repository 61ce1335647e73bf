//! The text format, read back by a reader of its own.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use aegis_metrics::{Exposition, Id, Presence, Resets, Source, Type, Value, Written, contract, limits};
use proptest::prelude::*;

/// What a strict reader makes of a text: families in order, and series as (name, labels, value).
#[derive(Debug, Default)]
struct Read {
    families: Vec<(String, String)>,
    series: Vec<Line>,
}

/// Name, labels, value.
type Line = (String, Vec<(String, String)>, String);

/// As `Documentation: exposition_formats.md` has it; panics where that is broken.
fn read(text: &str) -> Read {
    let mut read = Read::default();
    assert!(text.ends_with('\n'), "the last line has its line feed");
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(!help.is_empty());
            let kind = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
            let kind = kind.strip_prefix(name).unwrap().strip_prefix(' ').unwrap();
            read.families.push((name.to_owned(), kind.to_owned()));
            continue;
        }
        let end = line.find(['{', ' ']).unwrap();
        let (name, mut rest) = line.split_at(end);
        let family = read.families.last().unwrap();
        let base = if family.1 == "histogram" {
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap()
        } else {
            name
        };
        assert_eq!(base, family.0, "a series of the family that was begun last");
        let mut labels = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            loop {
                let (label, after) = rest.split_once("=\"").unwrap();
                let mut value = String::new();
                let mut chars = after.char_indices();
                let at = loop {
                    match chars.next().unwrap() {
                        (at, '"') => break at,
                        (_, '\\') => match chars.next().unwrap().1 {
                            '\\' => value.push('\\'),
                            '"' => value.push('"'),
                            other => panic!("escape {other:?}"),
                        },
                        (_, c) => value.push(c),
                    }
                };
                labels.push((label.to_owned(), value));
                rest = &after[at + 1..];
                match rest.strip_prefix(',') {
                    Some(more) => rest = more,
                    None => break,
                }
            }
            rest = rest.strip_prefix('}').unwrap();
        }
        let value = rest.strip_prefix(' ').unwrap();
        assert!(value.parse::<f64>().unwrap().is_finite(), "{line}");
        read.series.push((name.to_owned(), labels, value.to_owned()));
    }
    let distinct: BTreeSet<_> = read.families.iter().map(|(name, _)| name).collect();
    assert_eq!(distinct.len(), read.families.len(), "each family once");
    let distinct: BTreeSet<_> = read.series.iter().map(|(name, labels, _)| (name, labels)).collect();
    assert_eq!(distinct.len(), read.series.len(), "each series once");
    read
}

fn written(then: impl FnOnce(&mut Exposition<'_>)) -> (Read, Written) {
    let mut text = String::new();
    let mut exposition = Exposition::new(&mut text);
    then(&mut exposition);
    let written = exposition.finish().unwrap();
    (read(&text), written)
}

fn value_of<'r>(read: &'r Read, name: &str, label: &str) -> Option<&'r str> {
    let found =
        read.series.iter().find(|(of, labels, _)| of == name && labels.iter().all(|(_, of)| of == label));
    found.map(|(_, _, value)| value.as_str())
}

#[test]
fn the_contract_keeps_the_conventions() {
    let names: BTreeSet<_> = Id::ALL.iter().map(|id| id.family().name()).collect();
    assert_eq!(names.len(), Id::ALL.len(), "each name once");
    for id in Id::ALL {
        let family = id.family();
        let (name, counter) = (family.name(), family.kind == Type::Counter);
        assert!(
            name.starts_with("aegis_") && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')),
            "{name}"
        );
        assert_eq!(name.ends_with("_total"), counter, "{name}");
        for part in ["_ms", "_kib", "_percent", "_milliseconds", "_minutes", "_count", "_sum", "_bucket"] {
            assert!(!name.ends_with(part) && !name.contains(&format!("{part}_")), "{name}");
        }
        assert_eq!(family.resets == Resets::Nothing, family.kind == Type::Gauge, "{name}");
        assert!(family.labels.len() <= limits::LABELS && family.most() <= limits::SERIES, "{name}");
        assert!(family.help().ends_with('.') && !family.help().contains(['\\', '\n', '|']), "{name}");
        let labels: BTreeSet<_> = family.labels.iter().map(|label| label.name).collect();
        assert!(labels.len() == family.labels.len() && !labels.contains("le"), "{name}");
        for label in family.labels {
            assert!(label.most > 0 && label.name.bytes().all(|b| b.is_ascii_lowercase()), "{name}");
        }
        if let Presence::When(what) = family.presence {
            assert!(!what.is_empty());
        }
    }
}

#[test]
fn an_empty_exposition_names_every_family() {
    let (read, written) = written(|_| {});
    let names: BTreeSet<_> = read.families.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, Id::ALL.iter().map(|id| id.family().name()).collect());
    assert_eq!(read.series.len(), 1, "how much was left out: nothing");
    assert_eq!((value_of(&read, "aegis_scrape_left_out_series", ""), written.left_out), (Some("0"), 0));
}

#[test]
fn a_family_is_written_once_and_what_does_not_fit_it_is_counted() {
    let (read, written) = written(|all| {
        all.one(Id::RingSize, Value::count(7));
        all.one(Id::RingSize, Value::count(8)); // again
        all.family(Id::MapEntries).put(&[], Value::count(1)); // a label is missing
        all.family(Id::Lost).put(&[b"a", b"b"], Value::count(1)); // one too many
        all.maybe(Id::RingOldest, None);
        all.family(Id::RingFlush).put(&[], Value::count(1)); // no histogram
        let mut series = all.family(Id::WorkloadEvents);
        series.put(&[&[b'x'; limits::LABEL_BYTES + 1]], Value::count(1));
        series.put(&[&[b'x'; limits::LABEL_BYTES]], Value::count(1));
    });
    assert_eq!(value_of(&read, "aegis_ring_size_bytes", ""), Some("7"));
    // What is no histogram where one is to be is nothing that there is a place for.
    assert_eq!((read.series.len(), written.left_out), (3, 4));
    assert_eq!(value_of(&read, "aegis_scrape_left_out_series", ""), Some("4"));
}

#[test]
fn series_are_bounded_and_the_overflow_is_counted() {
    let (read, written) = written(|all| {
        let mut series = all.family(Id::WorkloadEvents);
        for number in 0..1000 {
            series.put(&[format!("w{number}").as_bytes()], Value::count(number));
        }
    });
    assert_eq!((read.series.len(), written.left_out), (257, 744));
    // All that the contract can have fits; one more of each family does not.
    let (read, written) = self::written(|all| {
        for id in Id::ALL.into_iter().filter(|id| *id != Id::ScrapeLeftOut) {
            let labels = id.family().labels.len();
            let mut series = all.family(id);
            for number in 0..=id.family().most() {
                series.put(&[number.to_string().as_bytes(), b"y", b"z"][..labels], Value::count(1));
            }
        }
    });
    let counted: Vec<_> = Id::ALL.iter().filter(|id| id.family().kind != Type::Histogram).collect();
    let most: u32 = counted.iter().map(|id| id.family().most()).sum();
    assert!(most < limits::SERIES, "{most}");
    assert_eq!((read.series.len(), written.series), (most as usize, most));
    assert_eq!(written.left_out as usize, counted.len() - 1, "its own is written by itself");
    let left_out = written.left_out.to_string();
    assert_eq!(value_of(&read, "aegis_scrape_left_out_series", ""), Some(left_out.as_str()));
}

#[test]
fn a_histogram_is_cumulative() {
    let mut counts = [0; limits::FLUSH_BUCKETS.len() + 1];
    (counts[0], counts[3], counts[limits::FLUSH_BUCKETS.len()]) = (2, 3, 1);
    let (read, _) = written(|all| {
        all.family(Id::RingFlush).histogram(
            &[],
            &limits::FLUSH_BUCKETS,
            &counts,
            Value::nanos(1_500_000_001),
        );
    });
    let bucket = |le: &str| value_of(&read, "aegis_ring_flush_seconds_bucket", le);
    assert_eq!([bucket("0.001"), bucket("0.005"), bucket("0.01")], [Some("2"), Some("2"), Some("5")]);
    assert_eq!([bucket("10"), bucket("+Inf")], [Some("5"), Some("6")]);
    assert_eq!(value_of(&read, "aegis_ring_flush_seconds_sum", ""), Some("1.500000001"));
    assert_eq!(value_of(&read, "aegis_ring_flush_seconds_count", ""), Some("6"));
    assert!(limits::FLUSH_BUCKETS.is_sorted());
}

#[test]
fn numbers_are_written_as_they_were_counted() {
    for (value, text) in [
        (Value::count(0), "0"),
        (Value::count(u64::MAX), "18446744073709551615"),
        (Value::flag(true), "1"),
        (Value::nanos(0), "0"),
        (Value::nanos(1), "0.000000001"),
        (Value::nanos(1_500_000_000), "1.5"),
        (Value::nanos(10_000_000_000), "10"),
        (Value::micros(1_000_100), "1.0001"),
        (Value::millis(70), "0.07"),
        (Value::percent(100), "1"),
        (Value::percent(5), "0.05"),
        (Value::thousandths(-500), "-0.5"),
        (Value::thousandths(0), "0"),
        (Value::thousandths(i64::MIN), "-9223372036854775.808"),
        (Value::ticks(150, 100), "1.5"),
        (Value::ticks(1, 1024), "0.000976562"),
        (Value::ticks(7, 0), "0.07"),
        (Value::ticks(u64::MAX, 100), "18446744073.709551615"), // the most that can be said
    ] {
        assert_eq!(value.to_string(), text);
    }
}

#[test]
fn a_sink_that_takes_no_more_is_an_error() {
    struct Full;
    impl std::fmt::Write for Full {
        fn write_str(&mut self, _: &str) -> std::fmt::Result {
            Err(std::fmt::Error)
        }
    }
    let mut sink = Full;
    assert!(Exposition::new(&mut sink).finish().is_err());
}

/// What is escaped, and what looks like it.
#[test]
fn names_that_look_alike_stay_apart() {
    let names: [&[u8]; 14] = [
        b"\x01",
        b"\\x01",
        b"\\\\x01",
        b"\n",
        b"\\n",
        b"\\x0a",
        b"\xff",
        b"\\xff",
        b"\"",
        b"\\\"",
        b"\\",
        b"\\x5c",
        b"\xc3\xa9",
        b"\xc3",
    ];
    let (read, written) = written(|all| {
        let mut series = all.family(Id::WorkloadEvents);
        for name in names {
            series.put(&[name], Value::count(1));
        }
    });
    // The reader has seen that no two are one.
    assert_eq!((read.series.len(), written.left_out), (names.len() + 1, 0));
    let expected = [
        r"\x01",
        r"\x5cx01",
        r"\x5c\x5cx01",
        r"\x0a",
        r"\x5cn",
        r"\x5cx0a",
        r"\xff",
        r"\x5cxff",
        "\"",
        r#"\x5c""#,
        r"\x5c",
        r"\x5cx5c",
        "é",
        r"\xc3",
    ];
    let found: Vec<_> =
        read.series.iter().flat_map(|(_, labels, _)| labels).map(|(_, value)| value.as_str()).collect();
    assert_eq!(found, expected);
}

proptest! {
    /// Whatever workloads, disks and sensors are called: the text is read back with as many series as were put, no two of them one.
    #[test]
    fn hostile_labels_stay_apart(names in prop::collection::btree_set(
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "[\\\\\"\n x{}=,#5c]{0,12}".prop_map(String::into_bytes),
            "\\PC{0,12}".prop_map(String::into_bytes),
        ], 0..40))
    {
        let fit = names.iter().filter(|name| name.len() <= limits::LABEL_BYTES).count();
        let (read, written) = written(|all| {
            let mut series = all.family(Id::WorkloadLost);
            for name in &names {
                series.put(&[name, b"rate-limited"], Value::count(1));
            }
        });
        prop_assert_eq!(read.series.len(), fit + 1);
        prop_assert_eq!(written.left_out as usize, names.len() - fit);
        for (_, labels, _) in &read.series {
            for (_, value) in labels {
                prop_assert!(!value.chars().any(char::is_control), "{:?}", value);
            }
        }
    }

    #[test]
    fn values_are_what_they_say(number: u64) {
        let nanos: f64 = Value::nanos(number).to_string().parse().unwrap();
        #[allow(clippy::cast_precision_loss)]
        let expected = number as f64 / 1e9;
        prop_assert!((nanos - expected).abs() <= expected * 1e-12);
    }
}

#[test]
fn the_contract_is_a_table() {
    let mut text = String::new();
    contract(&mut text).unwrap();
    for id in Id::ALL {
        assert_eq!(text.matches(&format!("| `{}` |", id.family().name())).count(), 1);
    }
    let (table, sources) = text.split_once("### Sources").unwrap();
    for source in Source::ALL {
        assert_eq!(sources.matches(&format!("| `{}` |", source.name())).count(), 1);
    }
    for line in table.lines().filter(|line| line.starts_with('|')) {
        assert_eq!(line.matches('|').count(), 7, "{line}");
    }
}
