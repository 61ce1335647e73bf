//! JSON Lines and Parquet.

use std::fmt::Write;
use std::fs::File;

use aegis_export::Request;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Value, json};

use crate::desk::{Desk, golden};
use crate::sample::{Device, Ring, every_kind};

#[test]
fn json_lines_are_what_show_prints_and_stay_as_they_are() {
    let desk = Desk::with_every_kind();
    let lines = desk.good(&["convert", "--to", "jsonl", "all.cbor"]);
    assert_eq!(lines, desk.good(&["show", "--format", "json", "all.cbor"]));
    golden("events.jsonl", &lines);
    desk.good(&["convert", "--to", "jsonl", "--out", "all.jsonl", "all.cbor"]);
    assert_eq!(std::fs::read_to_string(desk.path("all.jsonl")).expect("written"), lines);
    assert_eq!(desk.names(), ["all.cbor", "all.jsonl"], "no temporary file is left");
}

#[test]
fn what_several_files_have_comes_once_and_in_order() {
    let desk = Desk::new();
    let mut ring = Ring::new(Device(1));
    ring.boot(1, 10);
    ring.boot(2, 10);
    let range = |first, last| Request { first, last, bytes: u64::MAX };
    desk.export("whole", Device(1), &ring, Request::from(1), 2);
    desk.export("front", Device(1), &ring, range(1, 9), 2);
    desk.export("middle", Device(1), &ring, range(5, 15), 2);
    desk.export("end", Device(1), &ring, range(12, 0), 2);
    desk.export("other", Device(2), &every_kind(Device(2)), Request::from(1), 2);
    let convert = |files: &[&str]| desk.good(&[&["convert", "--to", "jsonl"], files].concat());
    let whole = convert(&["whole"]);
    assert_eq!(whole.lines().count(), 26);
    for files in [&["front", "middle", "end"][..], &["end", "front", "middle", "end"], &["whole", "middle"]] {
        assert_eq!(convert(files), whole, "{files:?}");
    }
    assert_eq!(
        convert(&["end", "other", "front"]).lines().count(),
        9 + 15 + convert(&["other"]).lines().count()
    );
}

#[test]
fn times_say_what_they_rest_on() {
    let desk = Desk::new();
    let mut ring = Ring::new(Device(1));
    ring.boot(1, 3);
    let first_boot = ring.clone();
    ring.boot(2, 3);
    desk.export("first", Device(1), &first_boot, Request::from(1), 1);
    desk.export("both", Device(1), &ring, Request::from(1), 2);
    let times = |files: &[&str]| -> Vec<Value> {
        let lines = desk.lines(&[&["convert", "--to", "jsonl"], files].concat());
        // The first and the last event of either boot.
        [0, 5, 6, 11].map(|at: usize| json!([lines[at]["time"], lines[at]["time_basis"]])).to_vec()
    };
    // The export was made in the second boot, 1000 s after its beginning; the first one ended before.
    assert_eq!(
        times(&["both"]),
        [
            json!(["2027-01-15T07:43:17.000000Z", "bound"]),
            json!(["2027-01-15T07:43:20.000000Z", "bound"]),
            json!(["2027-01-15T07:43:20.000000Z", "clock"]),
            json!(["2027-01-15T07:43:23.000000Z", "clock"]),
        ]
    );
    // With an export that was made in the first boot, that one's clock tells.
    assert_eq!(times(&["both", "first"])[0], json!(["2027-01-15T07:43:20.000000Z", "clock"]));
    // Two boots without a clock, one before the other.
    ring.boot(3, 10);
    desk.export("three", Device(1), &ring, Request::from(1), 3);
    assert_eq!(times(&["three"])[0], json!(["2027-01-15T07:43:14.000000Z", "bound"]));
    assert_eq!(times(&["three"])[2], json!(["2027-01-15T07:43:17.000000Z", "bound"]));
}

#[test]
fn a_clock_that_makes_no_sense_breaks_nothing() {
    let desk = Desk::new();
    let mut ring = Ring::new(Device(1));
    ring.boot(1, 2);
    for (clock, boottime) in [(0, u64::MAX), (u64::MAX, 0), (u64::MAX, u64::MAX), (300_000_000_000, 1)] {
        let created = aegis_export::Created { boot: [1; 16], boottime, clock, clock_trusted: true };
        Device(1).export_to(&desk.path("a"), &ring, Request::from(1), created);
        let lines = desk.lines(&["convert", "--to", "jsonl", "a"]);
        assert_eq!(lines[1]["time"], "1970-01-01T00:00:01.000000Z");
        assert_eq!((&lines[1]["time_basis"], &lines[1]["clock_trusted"]), (&json!("none"), &json!(false)));
        desk.good(&["convert", "--to", "ocsf", "a"]);
        desk.good(&["convert", "--to", "parquet", "--out", "a.parquet", "a"]);
    }
}

#[test]
fn parquet_is_read_back_with_all_its_values() {
    let desk = Desk::with_every_kind();
    let said = desk.json(&["convert", "--to", "parquet", "--json", "--out", "all.parquet", "all.cbor"]);
    let lines = desk.lines(&["convert", "--to", "jsonl", "all.cbor"]);
    assert_eq!((&said["events"], &said["records"]), (&json!(lines.len()), &json!(lines.len())));
    let file = SerializedFileReader::new(File::open(desk.path("all.parquet")).expect("written"))
        .expect("a Parquet file");
    let notes = file.metadata().file_metadata().key_value_metadata().expect("notes");
    let exports = notes.iter().find(|note| note.key == "aegis.exports").and_then(|note| note.value.as_ref());
    let exports: Value = serde_json::from_str(exports.expect("exports")).expect("JSON");
    assert_eq!(exports[0]["events"], lines.len());
    let mut text = String::new();
    let mut rows = 0;
    for (row, line) in file.get_row_iter(None).expect("rows").zip(&lines) {
        let row = row.expect("a row");
        for (name, value) in row.get_column_iter() {
            let told = &line[name.as_str()];
            match value {
                Field::ULong(number) => assert_eq!(told, &json!(number), "{name}"),
                Field::UInt(number) => assert_eq!(told, &json!(number), "{name}"),
                Field::Bool(flag) if name != "glass_broken" => assert_eq!(told, &json!(flag), "{name}"),
                Field::Str(text) if name != "argv" && name != "more" => {
                    assert_eq!(told, &json!(text), "{name}");
                }
                Field::Null => assert!(told.is_null(), "{name}: {told}"),
                _ => {}
            }
        }
        rows += 1;
        writeln!(text, "{row}").expect("a String");
    }
    assert_eq!(rows, lines.len());
    golden("events.parquet.txt", &text);
}
