//! SQLite, read back by Python's own module.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use aegis_export::Request;
use serde_json::{Value, json};

use crate::desk::{Desk, golden, said};
use crate::sample::{Device, Ring, every_kind};

const READ: &str = r"
import json, sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.row_factory = sqlite3.Row
plain = lambda value: value.hex() if isinstance(value, bytes) else value
for row in database.execute(sys.argv[2]):
    print(json.dumps({name: plain(row[name]) for name in row.keys()}))
";

/// Rows of a query, each one JSON object.
fn read(database: &Path, sql: &str) -> Vec<Value> {
    let said = said(Command::new("python3").args(["-c", READ]).arg(database).arg(sql));
    assert_eq!(said.exit, 0, "{}", said.err);
    said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn load(desk: &Desk, files: &[&str]) -> Value {
    desk.json(&[&["convert", "--to", "sqlite", "--out", "db", "--json"], files].concat())
}

/// New events, events already there, files already there.
fn counts(said: &Value) -> [u64; 3] {
    ["events", "known_events", "known_files"].map(|name| said[name].as_u64().expect("a count"))
}

#[test]
fn every_event_is_a_row() {
    let desk = Desk::with_every_kind();
    let said = load(&desk, &["all.cbor"]);
    let lines = desk.lines(&["convert", "--to", "jsonl", "all.cbor"]);
    assert_eq!(counts(&said), [lines.len() as u64, 0, 0]);
    let rows = read(&desk.path("db"), "SELECT * FROM events ORDER BY sequence");
    assert_eq!(rows.len(), lines.len());
    let mut text = String::new();
    for (row, line) in rows.iter().zip(&lines) {
        writeln!(text, "{row}").expect("a String");
        for (name, value) in row.as_object().expect("a row") {
            let told = &line[name.as_str()];
            match value {
                // Flags are 0 and 1, what is wider than 63 bits is text, lists and the rest are JSON, bytes are bytes.
                _ if ["argv", "more", "event"].contains(&name.as_str()) => {}
                Value::Number(flag) if told.is_boolean() => {
                    assert_eq!(told, &json!(*flag == 1.into()), "{name}");
                }
                Value::Number(flag) if name == "glass_broken" => assert_eq!(flag.as_u64(), Some(0)),
                Value::String(digits) if told.is_u64() => assert_eq!(told.to_string(), *digits, "{name}"),
                value => assert_eq!(told, value, "{name}"),
            }
        }
    }
    golden("events.sqlite.jsonl", &text);
    // The chain can be followed from the database alone.
    let mut head = aegis_export::first_head(&[0xa1; 16]);
    for row in &rows {
        let hex = row["event"].as_str().expect("bytes");
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
            .collect();
        head = aegis_export::next_head(&head, row["sequence"].as_u64().expect("a number"), &bytes);
    }
    let report: Value = desk.json(&["verify", "--json", "all.cbor"]);
    assert_eq!(report["whole"], true);
    let losses = read(&desk.path("db"), "SELECT workload, cause, \"count\" FROM losses ORDER BY sequence");
    assert_eq!(
        losses,
        [
            json!({ "workload": "agent-7", "cause": "kernel-ring-full", "count": 12 }),
            json!({ "workload": "", "cause": "bad-record", "count": 1 }),
            json!({ "workload": "agent-7", "cause": "rate-limited", "count": 5 }),
        ]
    );
}

#[test]
fn the_same_export_twice_loads_once() {
    let desk = Desk::new();
    let mut ring = Ring::new(Device(1));
    ring.boot(1, 10);
    ring.boot(2, 10);
    let range = |first, last| Request { first, last, bytes: u64::MAX };
    desk.export("front", Device(1), &ring, range(1, 9), 2);
    desk.export("middle", Device(1), &ring, range(5, 15), 2);
    desk.export("end", Device(1), &ring, range(12, 0), 2);
    desk.export("other", Device(2), &every_kind(Device(2)), Request::from(1), 2);
    assert_eq!(counts(&load(&desk, &["middle"])), [11, 0, 0]);
    let missing = "SELECT first, last, cause FROM missing";
    assert_eq!(
        read(&desk.path("db"), missing),
        [json!({ "first": 1, "last": 4, "cause": "no export has them" })]
    );
    assert_eq!(counts(&load(&desk, &["middle"])), [0, 0, 1]);
    assert_eq!(counts(&load(&desk, &["front"])), [4, 5, 0]);
    assert_eq!(counts(&load(&desk, &["end", "middle", "front"])), [11, 4, 2]);
    assert_eq!(counts(&load(&desk, &["other", "end"])), [73, 0, 1]);
    assert_eq!(read(&desk.path("db"), missing), [Value::Null; 0]);
    let whole = "SELECT device, COUNT(*) AS n, MIN(sequence) AS a, MAX(sequence) AS b FROM events GROUP BY 1 ORDER BY n";
    let rows = read(&desk.path("db"), whole);
    assert_eq!(rows.iter().map(|row| (&row["n"], &row["a"], &row["b"])).collect::<Vec<_>>().len(), 2);
    assert_eq!((&rows[0]["n"], &rows[0]["b"]), (&json!(26), &json!(26)));
    assert_eq!(read(&desk.path("db"), "SELECT * FROM exports").len(), 4);
}

#[test]
fn a_better_clock_moves_the_times_of_a_boot() {
    let desk = Desk::new();
    let mut ring = Ring::new(Device(1));
    ring.boot(1, 3);
    let first_boot = ring.clone();
    ring.boot(2, 3);
    desk.export("first", Device(1), &first_boot, Request::from(1), 1);
    desk.export("both", Device(1), &ring, Request::from(1), 2);
    load(&desk, &["both"]);
    let boot = "SELECT time, time_basis FROM events WHERE sequence = 2";
    let times = || read(&desk.path("db"), boot).remove(0);
    assert_eq!(times(), json!({ "time": "2027-01-15T07:43:18.000000Z", "time_basis": "bound" }));
    load(&desk, &["first"]);
    assert_eq!(times(), json!({ "time": "2027-01-15T07:43:21.000000Z", "time_basis": "clock" }));
    // The other way round it is the same.
    std::fs::rename(desk.path("db"), desk.path("db-1")).expect("renamed");
    load(&desk, &["first"]);
    load(&desk, &["both"]);
    let all = "SELECT * FROM events ORDER BY sequence";
    assert_eq!(read(&desk.path("db"), all), read(&desk.path("db-1"), all));
}

#[test]
fn what_devices_could_not_give_is_in_gaps() {
    let desk = Desk::new();
    let mut ring = Ring::new(Device(1));
    ring.boot(1, 20);
    ring.overwritten = 5;
    ring.damaged = vec![9, 10];
    desk.export("a", Device(1), &ring, Request::from(3), 1);
    let said = load(&desk, &["a"]);
    assert_eq!((&said["whole"], &said["problems"]), (&json!(false), &json!(["overwritten", "ring-damaged"])));
    let gaps = "SELECT first, last, cause FROM gaps ORDER BY first";
    let overwritten = json!({ "first": 3, "last": 5, "cause": "overwritten" });
    assert_eq!(
        read(&desk.path("db"), gaps),
        [overwritten, json!({ "first": 10, "last": 11, "cause": "ring-damaged" })]
    );
    assert_eq!(read(&desk.path("db"), "SELECT first, last, cause FROM missing").len(), 1);
}

#[test]
fn another_history_is_refused_and_nothing_of_it_kept() {
    let desk = Desk::new();
    let mut ring = Ring::new(Device(1));
    ring.boot(1, 10);
    desk.export("one", Device(1), &ring, Request::from(1), 1);
    ring.truncate(6);
    ring.boot(2, 10);
    desk.export("fork", Device(1), &ring, Request::from(1), 2);
    load(&desk, &["one"]);
    let before = read(&desk.path("db"), "SELECT * FROM events");
    let said = desk.run(&["convert", "--to", "sqlite", "--out", "db", "fork"]);
    assert_eq!((said.exit, said.err.contains("sequence 7")), (1, true), "{}", said.err);
    assert!(said.err.contains("history-differs"));
    assert_eq!(read(&desk.path("db"), "SELECT * FROM events"), before);
    assert_eq!(read(&desk.path("db"), "SELECT * FROM boots").len(), 1);
}

#[test]
fn a_database_of_somebody_else_is_left_alone() {
    let desk = Desk::with_every_kind();
    let make = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('CREATE TABLE events (a)')";
    assert_eq!(said(Command::new("python3").args(["-c", make]).arg(desk.path("foreign"))).exit, 0);
    std::fs::write(desk.path("text"), "not a database at all, but long enough to be looked at".repeat(9))
        .expect("written");
    for name in ["foreign", "text"] {
        let before = std::fs::read(desk.path(name)).expect("there");
        let said = desk.run(&["convert", "--to", "sqlite", "--out", name, "all.cbor"]);
        assert_eq!((said.exit, said.err.contains("name another file")), (2, true), "{name}: {}", said.err);
        assert_eq!(std::fs::read(desk.path(name)).expect("there"), before, "{name}");
    }
    let said = desk.run(&["convert", "--to", "sqlite", "--out", "all.cbor", "all.cbor"]);
    assert_eq!((said.exit, said.err.contains("is the input")), (2, true), "{}", said.err);
}
