//! What was tampered with is refused by every command, and nothing of it is left anywhere.

use aegis_export::Request;

use crate::desk::Desk;
use crate::sample::{Device, Ring, every_kind};

/// Every way to read an export, with an output `out` where it needs one.
const COMMANDS: &[(&[&str], i32)] = &[
    (&["show"], 1),
    (&["show", "--format", "json"], 1),
    (&["convert", "--to", "jsonl"], 1),
    (&["convert", "--to", "jsonl", "--out", "out"], 1),
    (&["convert", "--to", "ocsf"], 1),
    (&["convert", "--to", "ocsf", "--out", "out"], 1),
    (&["convert", "--to", "parquet", "--out", "out"], 1),
    (&["convert", "--to", "sqlite", "--out", "out"], 1),
    (&["report", "--html", "out"], 1),
    (&["query", "sequence>0"], 2),
    (&["query", "sequence>0", "--count"], 2),
];

fn refused(desk: &Desk, file: &str, what: &str) {
    for (command, exit) in COMMANDS {
        let said = desk.run(&[command, &[file][..]].concat());
        assert_eq!(said.exit, *exit, "{what}: {command:?}: {}", said.err);
        assert_eq!(said.out, "", "{what}: {command:?}");
        assert!(said.err.lines().count() == 1 && said.err.starts_with("aegisctl: "), "{what}: {}", said.err);
        assert!(
            !desk.names().iter().any(|name| name.starts_with("out")),
            "{what}: {command:?} left something"
        );
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused_by_every_command() {
    let desk = Desk::with_every_kind();
    let bytes = std::fs::read(desk.path("all.cbor")).expect("the export");
    // In the first item's frame, in an event, in a signature, in the manifest, at the end.
    for at in [1, 3, 200, bytes.len() / 3, bytes.len() / 2, bytes.len() - 300, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        std::fs::write(desk.path("changed.cbor"), &changed).expect("written");
        refused(&desk, "changed.cbor", &format!("byte {at}"));
    }
    for length in [bytes.len() - 1, bytes.len() / 2, 1] {
        std::fs::write(desk.path("cut.cbor"), &bytes[..length]).expect("written");
        refused(&desk, "cut.cbor", &format!("cut at {length}"));
    }
}

#[test]
fn one_bad_file_among_good_ones_spoils_them_all() {
    let desk = Desk::with_every_kind();
    let mut bytes = std::fs::read(desk.path("all.cbor")).expect("the export");
    let mut ring = Ring::new(Device(2));
    ring.boot(1, 3);
    desk.export("good.cbor", Device(2), &ring, Request::from(1), 1);
    *bytes.last_mut().expect("bytes") ^= 1;
    std::fs::write(desk.path("bad.cbor"), &bytes).expect("written");
    for (command, exit) in COMMANDS.iter().filter(|(command, _)| command[0] != "show") {
        let said = desk.run(&[command, &["good.cbor", "bad.cbor"][..]].concat());
        assert_eq!((said.exit, said.out.as_str()), (*exit, ""), "{command:?}: {}", said.err);
        assert!(said.err.contains("bad.cbor"), "{command:?}: {}", said.err);
        assert!(!desk.names().iter().any(|name| name.starts_with("out")), "{command:?}");
    }
}

#[test]
fn an_unknown_devices_export_is_refused_when_keys_are_given() {
    let desk = Desk::with_every_kind();
    let key =
        |device: Device| device.key().pk.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let convert = |key: &str| desk.run(&["convert", "--to", "jsonl", "--device-key", key, "all.cbor"]);
    assert_eq!(convert(&key(Device(1))).exit, 0);
    assert!(!convert(&key(Device(1))).err.contains("NOT PINNED"));
    let said = convert(&key(Device(2)));
    assert_eq!((said.exit, said.out.as_str()), (1, ""));
    assert!(said.err.contains("unknown-device"), "{}", said.err);
}

#[test]
fn wrong_use_is_said_in_one_line() {
    let desk = Desk::with_every_kind();
    for arguments in [
        &["convert", "all.cbor"][..],
        &["convert", "--to", "xml", "all.cbor"],
        &["convert", "--to", "parquet", "all.cbor"],
        &["convert", "--to", "sqlite", "all.cbor"],
        &["convert", "--to", "postgres", "all.cbor"],
        &["convert", "--to", "postgres", "--out", "out", "all.cbor"],
        &["convert", "--to", "jsonl", "--database", "postgresql:///a", "all.cbor"],
        &["convert", "--to", "postgres", "--database", "http://a", "all.cbor"],
        &["convert", "--to", "postgres", "--database", "postgresql:///a?host=/nowhere", "all.cbor"],
        &["convert", "--to", "jsonl", "--out", "nowhere/out", "all.cbor"],
        &["convert", "--to", "jsonl", "--out", "/dev/full", "all.cbor"],
        &["convert", "--to", "jsonl"],
        &["report", "all.cbor"],
        &["report", "--html", "all.cbor", "all.cbor"],
        &["report", "--html", "nowhere/page.html", "all.cbor"],
        &["query", "kind=open"],
        &["query", "kind=open", "--limit", "0", "all.cbor"],
    ] {
        let said = desk.run(arguments);
        assert_eq!((said.exit, said.out.as_str()), (2, ""), "{arguments:?}: {}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{arguments:?}: {}", said.err);
    }
    assert_eq!(desk.names(), ["all.cbor"]);
}

#[test]
fn events_of_a_later_version_are_kept_as_bytes() {
    let desk = Desk::new();
    let mut ring = every_kind(Device(1));
    // Kind 31 at 5 ns: none that this version knows, and decoders must not guess.
    ring.push_bytes(2, &[0xa2, 0x00, 0x18, 0x1f, 0x01, 0x05]);
    desk.export("new.cbor", Device(1), &ring, Request::from(1), 2);
    let last = desk.lines(&["convert", "--to", "jsonl", "new.cbor"]).pop().expect("lines");
    assert_eq!((last["event_hex"].as_str(), last["kind"].is_null()), (Some("a200181f0105"), true));
    for command in COMMANDS.iter().filter(|(command, _)| command[0] == "convert") {
        desk.good(&[command.0, &["new.cbor"][..]].concat());
        let _ = std::fs::remove_file(desk.path("out"));
    }
    let said = desk.json(&["convert", "--to", "sqlite", "--json", "--out", "db", "new.cbor"]);
    assert_eq!((&said["undecoded"], &said["problems"]), (&1.into(), &serde_json::json!(["bad-event"])));
    assert_eq!(desk.good(&["query", "kind!=open and sequence=38", "--count", "new.cbor"]), "1\n");
}
