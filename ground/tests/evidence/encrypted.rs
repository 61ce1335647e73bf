//! Encrypted exports: whoever has the office key reads from them what it would read from the plain ones, and nobody else
//! reads anything.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use aegis_age::limits::{CHUNK_BYTES, SEALED_BYTES};
use aegis_age::{AgeError, Encryptor, Recipient, begin, sealed_length};
use aegis_export::Request;
use serde_json::{Value, json};

use crate::desk::{Desk, Said, said};
use crate::memory::{EXPORT, RESIDENT, export, peak};
use crate::sample::{Device, Ring};

const PASSPHRASE: &str = "seven wrong clocks in a row";

/// Encrypts a file as the device does; the random bytes are none.
fn encrypt(from: &Path, to: &Path, recipients: &[Recipient]) {
    let mut next = 0u8;
    let (front, stream) = begin(recipients, |bytes: &mut [u8]| {
        for byte in bytes {
            next = next.wrapping_mul(29).wrapping_add(113);
            *byte = next;
        }
        Ok::<(), AgeError>(())
    })
    .expect("recipients");
    let mut encryptor: Encryptor<Box<[u8; SEALED_BYTES]>> =
        Encryptor::new(stream, vec![0; SEALED_BYTES].into_boxed_slice().try_into().expect("its length"));
    let mut source = std::fs::File::open(from).expect("the plain export");
    let mut out = std::io::BufWriter::new(std::fs::File::create(to).expect("a file"));
    out.write_all(&front).expect("written");
    let mut piece = vec![0; 100_000];
    loop {
        let length = std::io::Read::read(&mut source, &mut piece).expect("read");
        let mut plain = &piece[..length];
        if plain.is_empty() {
            break;
        }
        while let Some(chunk) = encryptor.push(&mut plain) {
            out.write_all(chunk).expect("written");
        }
    }
    out.write_all(encryptor.finish()).expect("written");
    out.flush().expect("written");
}

/// `aegisctl` itself, for what is not `export`.
fn aegisctl(desk: &Desk, arguments: &[&str]) -> Said {
    said(Command::new(env!("CARGO_BIN_EXE_aegisctl")).args(arguments).current_dir(desk.path("")))
}

/// Makes an office key in a folder of this name.
fn office(desk: &Desk, folder: &str) -> Recipient {
    let made = aegisctl(desk, &["keys", "office", "--plain", "--json", "--out", folder]);
    assert_eq!(made.exit, 0, "{}", made.err);
    assert!(made.err.contains("NOT encrypted"), "{}", made.err);
    let made: Value = serde_json::from_str(&made.out).expect("JSON");
    let text = made["recipient"].as_str().expect("a recipient");
    let beside = std::fs::read_to_string(desk.path(folder).join("office.recipient")).expect("there");
    assert_eq!(beside, format!("{text}\n"));
    Recipient::parse(text).expect("a recipient")
}

/// Two exports of one ring in a row, plain and encrypted, and the office key in `office/`.
fn desk() -> Desk {
    let desk = Desk::with_every_kind();
    let mut ring = Ring::new(Device(1));
    ring.boot(3, 3_000);
    desk.export("long.cbor", Device(1), &ring, Request::from(1), 3);
    let recipient = office(&desk, "office");
    for name in ["all.cbor", "long.cbor"] {
        encrypt(&desk.path(name), &desk.path(&format!("{name}.age")), &[recipient]);
    }
    desk
}

/// A report without what is said of the files, which have other names.
fn without_names(mut report: Value) -> Value {
    report["encrypted"] = Value::Null;
    for list in ["files", "problems", "notes"] {
        for entry in report[list].as_array_mut().expect("a list") {
            entry["file"] = Value::Null;
            entry["encrypted"] = Value::Null;
        }
    }
    report
}

fn json_of(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {} {}", said.out, said.err))
}

fn codes(report: &Value) -> Vec<String> {
    let problems = report["problems"].as_array().expect("problems");
    problems.iter().map(|problem| problem["code"].as_str().expect("a code").to_owned()).collect()
}

#[test]
fn what_is_read_of_an_encrypted_export_is_what_is_read_of_the_plain_one() {
    let desk = desk();
    for name in ["all.cbor", "long.cbor"] {
        let sealed = format!("{name}.age");
        let plain = json_of(&desk.run(&["verify", "--json", name]));
        let opened = desk.run(&["verify", "--json", "--identity", "office/office.key", &sealed]);
        let opened = json_of(&opened);
        assert_eq!((&opened["encrypted"], &plain["encrypted"]), (&json!(1), &json!(0)));
        assert_eq!(opened["files"][0]["encrypted"], true);
        assert_eq!(without_names(opened), without_names(plain));
        for command in [
            &["convert", "--to", "jsonl"][..],
            &["convert", "--to", "ocsf"],
            &["query", "verdict=deny", "--json"],
            &["query", "pid>0", "--count"],
            &["show"],
        ] {
            let plain = desk.run(&[command, &[name]].concat());
            let opened = desk.run(&[command, &["--identity", "office/office.key", &sealed]].concat());
            assert_eq!((opened.exit, &opened.out), (plain.exit, &plain.out), "{command:?}: {}", opened.err);
            assert!(!opened.out.is_empty(), "{command:?}");
        }
    }
    // For a person: what was signed is inside.
    let text = desk.run(&["verify", "--identity", "office/office.key", "long.cbor.age"]).out;
    assert!(
        text.contains("encryption  1 of 1 files") && text.contains("is what was signed inside"),
        "{text}"
    );
    assert!(!desk.run(&["verify", "long.cbor"]).out.contains("encryption"));
    let page = |file: &str, out: &str| {
        let drawn = desk.run(&["report", "--html", out, "--identity", "office/office.key", file]);
        let page =
            std::fs::read_to_string(desk.path(out)).unwrap_or_else(|error| panic!("{error} {}", drawn.err));
        page.replace(file, "FILE")
    };
    assert_eq!(page("all.cbor.age", "sealed.html"), page("all.cbor", "plain.html"));
}

#[test]
fn plain_and_encrypted_ones_mix() {
    let desk = Desk::new();
    let (mut ring, recipient) = (Ring::new(Device(2)), office(&desk, "office"));
    ring.boot(1, 400);
    let middle = ring.next();
    desk.export("first.cbor", Device(2), &ring, Request::from(1), 1);
    ring.boot(2, 400);
    desk.export("second.cbor", Device(2), &ring, Request::from(middle), 2);
    encrypt(&desk.path("second.cbor"), &desk.path("second.cbor.age"), &[recipient]);
    let plain = json_of(&desk.run(&["verify", "--json", "first.cbor", "second.cbor"]));
    let mixed = &["verify", "--json", "second.cbor.age", "--identity", "office/office.key", "first.cbor"];
    let mixed = desk.run(mixed);
    assert_eq!(mixed.exit, 0, "{}", mixed.out);
    assert_eq!(without_names(json_of(&mixed)), without_names(plain));
    // Encrypted to two offices: each of them reads it.
    let other = office(&desk, "other");
    encrypt(&desk.path("second.cbor"), &desk.path("both.age"), &[recipient, other]);
    for key in ["office/office.key", "other/office.key"] {
        assert_eq!(desk.run(&["verify", "first.cbor", "both.age", "--identity", key]).exit, 0, "{key}");
    }
}

#[test]
fn an_export_for_others_is_a_finding() {
    let desk = desk();
    office(&desk, "other");
    for (arguments, detail) in [
        (&["long.cbor.age"][..], "give --identity"),
        (&["long.cbor.age", "--identity", "other/office.key"], "none of the 1 identities"),
    ] {
        let report = desk.run(&[&["verify", "--json"], arguments].concat());
        assert_eq!(report.exit, 1, "{}", report.err);
        let report = json_of(&report);
        assert_eq!(codes(&report), ["encrypted"]);
        assert_eq!((&report["whole"], &report["signatures"]), (&json!(false), &json!("unchecked")));
        assert_eq!((&report["empty"], &report["events"]["total"]), (&json!(false), &json!(0)));
        assert!(
            report["problems"][0]["detail"].as_str().is_some_and(|text| text.contains(detail)),
            "{report}"
        );
        assert_eq!(desk.run(&[&["verify"], arguments].concat()).exit, 1);
        // Nothing is made of the others either: what is missing would be missed.
        for command in
            [&["convert", "--to", "jsonl"][..], &["query", "pid>0"], &["report", "--html", "x.html"]]
        {
            let refused = desk.run(&[command, arguments, &["all.cbor"]].concat());
            assert!(refused.exit > 0 && refused.out.is_empty(), "{command:?}: {}", refused.out);
            assert!(refused.err.contains("encrypted") && refused.err.lines().count() == 1, "{}", refused.err);
        }
        // The one that can be read is verified all the same.
        let mixed = json_of(&desk.run(&[&["verify", "--json", "all.cbor"], arguments].concat()));
        assert!(mixed["events"]["total"].as_u64().is_some_and(|total| total > 0), "{mixed}");
        assert!(codes(&mixed).contains(&"encrypted".to_owned()));
    }
}

#[test]
fn the_passphrase_is_asked_as_for_other_keys() {
    let desk = Desk::with_every_kind();
    std::fs::write(desk.path("pw"), PASSPHRASE).expect("written");
    std::fs::write(desk.path("wrong"), "another passphrase it is").expect("written");
    let make = ["keys", "office", "--out", "office", "--passphrase-file", "pw", "--work-factor", "15"];
    let made = aegisctl(&desk, &make);
    assert_eq!((made.exit, made.err.as_str()), (0, ""));
    assert!(made.out.contains("recipients = [\"age1"), "{}", made.out);
    assert!(aegisctl(&desk, &make).err.contains("never overwritten"));
    let key = std::fs::read_to_string(desk.path("office/office.key")).expect("there");
    assert!(key.starts_with("-----BEGIN AGE ENCRYPTED FILE-----") && !key.contains("SECRET"));
    let text = std::fs::read_to_string(desk.path("office/office.recipient")).expect("there");
    let recipient = Recipient::parse(text.trim_end()).expect("a recipient");
    encrypt(&desk.path("all.cbor"), &desk.path("all.age"), &[recipient]);
    let verify = ["verify", "--json", "all.age", "--identity", "office/office.key", "--passphrase-file"];
    assert_eq!(json_of(&desk.run(&[&verify[..], &["pw"]].concat()))["signatures"], "good");
    let refused = desk.run(&[&verify[..], &["wrong"]].concat());
    assert_eq!(refused.exit, 1);
    assert!(refused.err.contains("not the passphrase of this key"), "{}", refused.err);
    // Signing keys open nothing, and office keys are no signing keys.
    let made = aegisctl(&desk, &["keys", "new", "--plain", "--role", "root", "--out", "root.key"]);
    assert_eq!(made.exit, 0, "{}", made.err);
    let refused = desk.run(&["verify", "all.age", "--identity", "root.key"]);
    assert!(refused.exit == 1 && refused.err.contains("not an office key"), "{}", refused.err);
    let check = ["keys", "check", "--json", "--passphrase-file", "pw", "office/office.key"];
    let found = json_of(&aegisctl(&desk, &check));
    assert_eq!((&found["good"], &found["files"][0]["kind"]), (&json!(true), &json!("office-key")));
    assert_eq!(found["files"][0]["recipients"], json!([recipient.to_string()]));
}

/// One byte anywhere, and a cut anywhere: never whole, never a crash, and the finding says that it is the encryption.
#[test]
fn every_change_and_every_cut_is_a_finding() {
    let desk = desk();
    let whole = std::fs::read(desk.path("long.cbor.age")).expect("there");
    assert!(whole.len() > 3 * SEALED_BYTES, "{} bytes", whole.len());
    let run = |bytes: &[u8], what: &str| {
        std::fs::write(desk.path("changed.age"), bytes).expect("written");
        let report = desk.run(&["verify", "--json", "--identity", "office/office.key", "changed.age"]);
        assert_eq!(report.exit, 1, "{what}: {} {}", report.out, report.err);
        let report = json_of(&report);
        let codes = codes(&report);
        let expected =
            ["bad-encryption", "encrypted"].iter().any(|code| codes.iter().any(|found| found == code));
        assert!(expected, "{what}: {codes:?}");
        assert_eq!(report["signatures"], "unchecked", "{what}");
    };
    let front = sealed_length(0, 1) as usize - 16;
    // Behind the version: what does not begin as an age file is no export at all.
    for at in (22..front).step_by(7).chain((front..whole.len()).step_by(whole.len() / 25)) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        run(&changed, &format!("byte {at}"));
    }
    for chunk in 0..=whole.len() / SEALED_BYTES {
        let bound = front + chunk * SEALED_BYTES;
        for at in [bound - 1, bound, bound + 1].into_iter().filter(|at| *at < whole.len()) {
            run(&whole[..at], &format!("cut at {at}"));
        }
    }
    run(&[&whole[..], b"x"].concat(), "a byte more");
    // What was given out before the change was what had been written there.
    let mut changed = whole.clone();
    changed[front + SEALED_BYTES] ^= 1;
    std::fs::write(desk.path("changed.age"), &changed).expect("written");
    let report = json_of(&desk.run(&["verify", "--json", "--identity", "office/office.key", "changed.age"]));
    assert!(
        codes(&report)
            .iter()
            .all(|code| ["bad-encryption", "manifest-missing", "truncated"].contains(&code.as_str()))
    );
}

#[test]
fn age_itself_opens_them_and_makes_them() {
    let desk = desk();
    let age = |arguments: &[&str]| said(Command::new("age").args(arguments).current_dir(desk.path(""))).exit;
    assert_eq!(age(&["--decrypt", "-i", "office/office.key", "-o", "opened.cbor", "long.cbor.age"]), 0);
    let read = |name: &str| std::fs::read(desk.path(name)).expect("there");
    assert!(read("opened.cbor") == read("long.cbor"));
    assert_eq!(age(&["-R", "office/office.recipient", "-o", "theirs.age", "all.cbor"]), 0);
    let opened = json_of(&desk.run(&["verify", "--json", "--identity", "office/office.key", "theirs.age"]));
    let plain = json_of(&desk.run(&["verify", "--json", "all.cbor"]));
    assert_eq!(without_names(opened), without_names(plain));
}

/// Encryption proves nothing about origin: what somebody else encrypts to the office is held against its signatures.
#[test]
fn what_anybody_encrypts_is_not_believed() {
    let desk = desk();
    let recipient = office(&desk, "again");
    let mut forged = std::fs::read(desk.path("long.cbor")).expect("there");
    let middle = forged.len() / 2;
    forged[middle] ^= 1;
    std::fs::write(desk.path("forged.cbor"), &forged).expect("written");
    encrypt(&desk.path("forged.cbor"), &desk.path("forged.age"), &[recipient]);
    let report = desk.run(&["verify", "--json", "--identity", "again/office.key", "forged.age"]);
    assert_eq!(report.exit, 1);
    assert_eq!(json_of(&report)["signatures"], "bad");
}

#[test]
fn a_stick_is_collected_with_or_without_the_key() {
    let desk = desk();
    let out = desk.path("stick/aegis/out");
    std::fs::create_dir_all(&out).expect("made");
    std::fs::copy(desk.path("all.cbor.age"), out.join("export-1-2-1-9.cbor.age")).expect("copied");
    let closed = aegisctl(&desk, &["stick", "collect", "stick", "--into", "closed", "--json"]);
    assert_eq!(closed.exit, 1);
    let found = &json_of(&closed)["files"][0];
    assert_eq!((&found["code"], &found["good"]), (&json!("encrypted"), &json!(false)), "{found}");
    assert!(desk.path("closed/unverified/export-1-2-1-9.cbor.age").is_file());
    let collect =
        ["stick", "collect", "stick", "--into", "opened", "--json", "--identity", "office/office.key"];
    let opened = json_of(&aegisctl(&desk, &collect));
    assert!(opened["files"][0]["device"].is_string(), "{opened}");
    let device = opened["files"][0]["device"].as_str().expect("a device");
    let kept = desk.path("opened").join(device).join("export-1-2-1-9.cbor.age");
    // It stays as it was: encrypted.
    assert!(std::fs::read(kept).expect("kept") == std::fs::read(desk.path("all.cbor.age")).expect("there"));
}

#[test]
fn memory_stays_constant() {
    let desk = Desk::new();
    let recipient = office(&desk, "office");
    export(&desk, "large.cbor", EXPORT);
    encrypt(&desk.path("large.cbor"), &desk.path("large.age"), &[recipient]);
    std::fs::remove_file(desk.path("large.cbor")).expect("removed");
    assert!(std::fs::metadata(desk.path("large.age")).expect("there").len() > 100 * CHUNK_BYTES as u64);
    let query = ["query", "verdict=deny and path ~ */file-*7", "--count"];
    let peak = peak(&desk, &[&query[..], &["--identity", "office/office.key", "large.age"]].concat());
    println!("{EXPORT} MiB, encrypted: {peak} KiB resident");
    assert!(peak < RESIDENT, "{peak} KiB");
}
