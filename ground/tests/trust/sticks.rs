//! A stick goes out, a device answers (by the code of a device), the stick comes back.

#[path = "../../../firmware/export/tests/common/mod.rs"]
mod ring;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use aegis_bundle::limits::RECEIPT_BYTES;
use aegis_bundle::{
    Answer, Context, Receipt, Root, TrustState, What, encode_receipt, hash, open, open_token,
};
use aegis_cose::{KeyPair, Seed, device_id};
use aegis_event::Mode;
use aegis_export::Request;

use crate::{Desk, repository};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// A device, as far as a stick is concerned.
struct Device {
    pair: KeyPair,
    root: Root,
    state: TrustState,
    clock: u64,
}

const BOOT: [u8; 16] = [9; 16];

impl Device {
    /// The device whose key signs the exports of `ring`, or another one.
    fn new(seed: Option<u8>, anchor: &[u8]) -> Self {
        let pair = seed.map_or_else(ring::device, |seed| KeyPair::from_seed(Seed::new([seed; 32])));
        Self {
            pair,
            root: Root::open(anchor).expect("good"),
            state: TrustState::default(),
            clock: 1_800_000_000,
        }
    }

    fn id(&self) -> [u8; 16] {
        device_id(&self.pair.pk)
    }

    /// The file of a receipt, and its name as the device gives it.
    fn receipt(&mut self, what: What, seen: &[u8], answer: Answer, code: &str) -> (String, Vec<u8>) {
        self.clock += 1;
        let receipt = Receipt {
            public_key: *self.pair.pk,
            what,
            seen: Some(hash(seen)),
            answer,
            code,
            epoch: self.state.epoch,
            sequence: self.state.sequence,
            mode: Mode::AuditOnly,
            ring_head: None,
            boot_id: BOOT,
            boot_time: 60_000_000_000,
            clock: self.clock,
            clock_trusted: false,
            root_version: self.root.version,
        };
        let mut bytes = vec![0; RECEIPT_BYTES];
        let length = encode_receipt(&receipt, &self.pair.sk, &mut bytes).expect("fits");
        bytes.truncate(length);
        (format!("receipt-{}-{:010}-09090909-000060000000.cbor", hex(&self.id()[..4]), self.clock), bytes)
    }

    /// Takes what is on a stick, in the order of a device, and leaves its answers.
    fn take(&mut self, stick: &std::path::Path) {
        let mut answers = Vec::new();
        while let Ok(bytes) = fs::read(stick.join(format!("aegis/roots/{}.cbor", self.root.version + 1))) {
            self.root = self.root.next(&bytes).expect("prepare checked it");
            answers.push(self.receipt(What::Root, &bytes, Answer::Accepted, "accepted"));
        }
        let mut names: Vec<_> =
            fs::read_dir(stick.join("aegis")).expect("there").map(|e| e.expect("read").path()).collect();
        names.sort();
        for name in names.iter().filter(|name| name.extension().is_some_and(|suffix| suffix == "aegis")) {
            let bytes = fs::read(name).expect("there");
            let context = Context { state: self.state, ..crate::context(&self.root) };
            match open(&bytes, &context) {
                Ok(accepted) => {
                    self.state = accepted.state;
                    answers.push(self.receipt(What::Bundle, &bytes, Answer::Accepted, "accepted"));
                }
                Err(refusal) => {
                    answers.push(self.receipt(What::Bundle, &bytes, Answer::Refused, refusal.code()));
                }
            }
        }
        if let Ok(bytes) = fs::read(stick.join(format!("aegis/break-glass/{}.cbor", hex(&self.id())))) {
            open_token(&bytes, &self.root, &self.id(), &[BOOT], 0).expect("prepare checked it");
            answers.push(self.receipt(What::BreakGlass, &bytes, Answer::Accepted, "accepted"));
        }
        for (name, bytes) in answers {
            fs::write(stick.join("aegis/out").join(name), bytes).expect("written");
        }
    }
}

/// An export of the device of `ring`.
fn export(events: usize) -> Vec<u8> {
    ring::export(ring::MemoryRing::with_boots(&[events]), Request::from(1)).concat()
}

/// A desk with a rotated root, two bundles and a stick.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.good("keys rotate --root keys/root.cbor --raise-epoch --key keys/root.key --out root-2.cbor");
    let demo = repository().join("policy-bundles/demo.toml");
    for (name, sequence) in [("a", 1), ("b", 2)] {
        desk.good(&format!(
            "bundle build --policy {} --root keys/root.cbor --root root-2.cbor --key keys/policy.key --sequence {sequence} \
             --out {name}.aegis",
            demo.display()
        ));
    }
    fs::create_dir(desk.path("stick")).expect("made");
    desk
}

#[test]
fn a_stick_goes_out_and_comes_back() {
    let desk = desk();
    let mut device = Device::new(None, &desk.read("keys/root.cbor"));
    let id = hex(&device.id());
    desk.good(&format!(
        "break-glass make --root keys/root.cbor --root root-2.cbor --device {id} --boot-id {} --sequence 1 --minutes 5 \
         --reason test --key keys/break-glass.key --out t.cbor",
        hex(&BOOT)
    ));
    let load = "--root root-2.cbor --root keys/root.cbor --bundle a.aegis --bundle b.aegis --token t.cbor";
    let out = desk.good(&format!("stick prepare --to stick {load}"));
    for expected in [
        "aegis/roots/2.cbor",
        "aegis/b.aegis",
        &format!("aegis/break-glass/{id}.cbor"),
        "its label could not be read",
    ] {
        assert!(out.contains(expected), "{expected} is not in:\n{out}");
    }
    device.take(&desk.path("stick"));
    assert_eq!((device.root.version, device.state.epoch, device.state.sequence), (2, 2, 2));
    let out = desk.path("stick/aegis/out");
    fs::write(out.join("export-aaaa-bbbb-1-40.cbor"), export(40)).expect("written");
    fs::write(out.join("status.json"), "{\"state\":\"ready\"}\n").expect("written");
    let support = format!("support-{}-77.tar", &id[..8]);
    fs::write(out.join(&support), tar("contents.txt", b"version.json: x\n")).expect("written");
    // A second device answered on the same stick.
    let mut other = Device::new(Some(77), &desk.read("keys/root.cbor"));
    let (name, bytes) = other.receipt(What::Nothing, b"", Answer::None, "");
    fs::write(out.join(name), bytes).expect("written");

    let (exit, found) = desk.json("stick collect stick --into evidence");
    assert_eq!(
        (exit, &found["good"], found["new_devices"].as_array().map(Vec::len)),
        (0, &true.into(), Some(2)),
        "{found}"
    );
    let files = found["files"].as_array().expect("a list");
    let codes: Vec<_> =
        files.iter().filter(|file| file["device"] == id.as_str()).map(|file| &file["code"]).collect();
    assert_eq!(codes, ["accepted", "accepted", "accepted", "accepted", "whole", "unsigned"]);
    // Which of the two left it its name says.
    assert_eq!(desk.read(&format!("evidence/{id}/{support}")).len(), 4 * 512);
    let parts = files.iter().find(|file| file["kind"] == "support").map(|file| &file["parts"]);
    assert_eq!(parts, Some(&serde_json::json!(["contents.txt"])));
    assert_eq!(desk.read(&format!("evidence/{id}/export-aaaa-bbbb-1-40.cbor")), export(40));
    assert_eq!(fs::read_dir(desk.path("evidence").join(hex(&other.id()))).expect("made").count(), 1);
    // Two devices: whose the status is, nobody says.
    assert!(desk.path("evidence/unverified/status.json").exists());
    assert_eq!(files.len(), 8);

    // Once more: all of it is here. And the devices are known.
    let (exit, again) = desk.json("stick collect stick --into evidence --known");
    assert_eq!((exit, again["new_devices"].as_array().map(Vec::len)), (0, Some(0)));
    assert!(again["files"].as_array().expect("a list").iter().all(|file| file["had"] == true), "{again}");
    let text = desk.good("stick collect stick --into evidence");
    assert!(text.contains("8 files of 2 devices, 8 of them here already; all good"), "{text}");
    let text = desk.good("stick collect stick --into elsewhere");
    assert!(
        text.contains("DEVICE ") && text.contains(&format!("new device {id}: its key was taken on trust")),
        "{text}"
    );
    assert!(text.contains("2027-01-15T08:00:01Z (clock not trusted)"), "{text}");
    let receipt =
        files.iter().find(|file| file["what"] == "root").and_then(|file| file["path"].as_str()).expect("one");
    let text = desk.good(&format!("receipt show {receipt}"));
    for expected in [
        "offered    root, sha256 ",
        "answer     accepted",
        "epoch 0, sequence 0, root version 2",
        "up 1 min",
        "2027-01-15T08:00:01Z (clock not trusted)",
    ] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
    // A receipt of the device pins its exports.
    let pinned = desk.json(&format!(
        "export verify evidence/{id}/export-aaaa-bbbb-1-40.cbor --receipt {}",
        files
            .iter()
            .find(|file| file["device"] == id.as_str())
            .and_then(|file| file["path"].as_str())
            .expect("a path")
    ));
    assert_eq!((pinned.0, &pinned.1["key_pinned"]), (0, &true.into()));
}

#[test]
fn an_image_is_as_good_as_a_stick() {
    let desk = desk();
    let load = "--root keys/root.cbor --root root-2.cbor --bundle b.aegis";
    let out = desk.good(&format!("stick prepare --to s.img --size 8 {load}"));
    assert!(out.contains("s.img: labelled AEGIS"), "{out}");
    assert!(
        desk.refused(2, &format!("stick prepare --to s.img {load}"))
            .contains("s.img: exists; an image is never written over")
    );
    // Nobody wrote to it yet.
    assert!(desk.good("stick collect s.img --into evidence").contains("0 files of 0 devices"));
    // What a device leaves, by mtools.
    let mut device = Device::new(None, &desk.read("keys/root.cbor"));
    let (name, bytes) = device.receipt(What::Nothing, b"", Answer::None, "");
    let export = export(40);
    for (name, bytes) in
        [(name.as_str(), bytes.as_slice()), ("export-a-b-1-40.cbor", &export), ("notes of mine.txt", b"x")]
    {
        desk.write("file", bytes);
        let to = format!("::aegis/out/{name}");
        let status =
            Command::new("mcopy").args(["-i", "s.img", "file", &to]).current_dir(desk.path(".")).status();
        assert!(status.expect("mtools is there").success());
    }
    let (exit, found) = desk.json("stick collect s.img --into evidence");
    assert_eq!((exit, found["files"].as_array().map(Vec::len)), (0, Some(2)), "{found}");
    assert_eq!(found["left_there"], serde_json::json!(["notes of mine.txt"]));
    assert_eq!(desk.read(&format!("evidence/{}/export-a-b-1-40.cbor", hex(&device.id()))), export);
    // In the first partition of an MBR, as sticks are sold.
    let mut disk = vec![0; 1 << 20];
    disk[446 + 4] = 0x0c;
    disk[446 + 8..446 + 12].copy_from_slice(&2048u32.to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.extend(desk.read("s.img"));
    desk.write("disk.img", disk);
    assert_eq!(desk.json("stick collect disk.img --into again").1["files"].as_array().map(Vec::len), Some(2));
    // What is no stick.
    desk.write("zeros.img", vec![0; 1 << 16]);
    assert!(desk.refused(1, "stick collect zeros.img --into x").contains("no file system labelled AEGIS"));
    assert!(desk.refused(2, "stick collect none.img --into x").contains("none.img: can't open it"));
}

/// A file system that anybody made: whatever its bytes say, the command ends, and nothing is written where it should not be.
#[test]
fn a_broken_image_harms_nothing() {
    let desk = desk();
    desk.good("stick prepare --to s.img --size 4 --root keys/root.cbor --root root-2.cbor --bundle b.aegis");
    let (name, bytes) =
        Device::new(None, &desk.read("keys/root.cbor")).receipt(What::Nothing, b"", Answer::None, "");
    desk.write("file", bytes);
    let status = Command::new("mcopy")
        .args(["-i", "s.img", "file", &format!("::aegis/out/{name}")])
        .current_dir(desk.path("."))
        .status();
    assert!(status.expect("mtools is there").success());
    let good = desk.read("s.img");
    // FAT12 of 4 MiB: boot sector, two FATs, root directory, then the directories.
    for at in (0..512).step_by(37).chain((512..1 << 15).step_by(1499)) {
        let mut bad = good.clone();
        for byte in &mut bad[at..(at + 64).min(good.len())] {
            *byte ^= 0xff;
        }
        desk.write("bad.img", bad);
        let (exit, _, err) = desk.run("stick collect bad.img --into evidence");
        assert!((0..=2).contains(&exit) && !err.contains("panicked"), "at {at}: {exit} {err}");
    }
    // A chain of clusters that leads back to itself.
    let mut looped = good;
    for fat in [512, 512 + 6 * 512] {
        for cluster in 2..200usize {
            let at = fat + cluster * 3 / 2;
            let back = cluster as u16;
            if cluster % 2 == 0 {
                looped[at] = back as u8;
                looped[at + 1] = looped[at + 1] & 0xf0 | (back >> 8) as u8;
            } else {
                looped[at] = looped[at] & 0x0f | (back << 4) as u8;
                looped[at + 1] = (back >> 4) as u8;
            }
        }
    }
    desk.write("loop.img", looped);
    let (exit, _, err) = desk.run("stick collect loop.img --into evidence");
    assert!((0..=2).contains(&exit) && !err.contains("panicked"), "{exit} {err}");
}

#[test]
fn only_what_verifies_goes_on_a_stick() {
    let desk = desk();
    let both = "--root keys/root.cbor --root root-2.cbor";
    desk.good("keys rotate --root keys/root.cbor --no-break-glass --raise-epoch --key keys/root.key --out other-2.cbor");
    desk.good("keys init --plain --out strange");
    let demo = repository().join("policy-bundles/demo.toml").display().to_string();
    desk.good(&format!(
        "bundle build --policy {demo} --key strange/policy.key --epoch 2 --sequence 9 --out strange.aegis"
    ));
    desk.good(&format!("bundle build --policy {demo} --key keys/policy.key --epoch 2 --sequence 2 --comment x --out twin.aegis"));
    desk.good("break-glass make --root strange/root.cbor --device 00112233445566778899aabbccddeeff --sequence 1 --minutes 1 \
               --challenge 00112233445566778899aabbccddeeff --reason x --key strange/break-glass.key --out strange.cbor");
    fs::copy(desk.path("b.aegis"), desk.path(&"b c.aegis".replace(' ', "\u{e9}"))).expect("copied");
    fs::copy(desk.path("b.aegis"), desk.path("B.aegis")).expect("copied");
    for (exit, line, expected) in [
        (2, "--to stick", "nothing to put there"),
        (1, "--to stick --bundle b.aegis", "b.aegis: no root to hold it against; give --root"),
        (1, "--to stick --root keys/root.cbor --bundle b.aegis", "(epoch-ahead)"),
        (1, &format!("--to stick {both} --bundle strange.aegis"), "(unknown-key)"),
        (
            1,
            &format!("--to stick {both} --bundle b.aegis --bundle twin.aegis"),
            "twin.aegis: another bundle here has epoch 2, sequence 2",
        ),
        (1, &format!("--to stick {both} --token strange.cbor"), "(unknown-key)"),
        (
            1,
            "--to stick --root strange/root.cbor --root root-2.cbor",
            "root-2.cbor: version 2 after version 1: not vouched",
        ),
        (2, &format!("--to stick {both} --root other-2.cbor"), "aegis/roots/2.cbor"),
        (2, &format!("--to stick {both} --bundle b\u{e9}c.aegis"), "rename it"),
        (2, &format!("--to stick {both} --bundle keys/root.cbor"), "devices look for NAME.aegis"),
        (2, &format!("--to stick {both} --bundle b.aegis --bundle B.aegis"), "rename one"),
        (2, &format!("--to /dev/null {both}"), "/dev/null: a device, pipe or socket"),
        (2, &format!("--to nowhere {both}"), "nowhere: no such directory; mount the stick there"),
        (2, &format!("--to b.aegis {both}"), "b.aegis: exists; an image is never written over"),
    ] {
        let expected = expected.strip_prefix("aegis/").unwrap_or(expected);
        let err = desk.refused(exit, &format!("stick prepare {line}"));
        assert!(err.contains(expected), "{line}: {err}");
    }
    assert_eq!(fs::read_dir(desk.path("stick")).expect("there").count(), 0, "nothing was written");
    // Devices judge for themselves: who insists, is let.
    let (exit, out, err) =
        desk.run(&format!("stick prepare --to stick {both} --bundle strange.aegis --force"));
    assert!(
        exit == 0 && err.contains("WARNING: strange.aegis: ") && out.contains("does NOT verify"),
        "{out}{err}"
    );
    // The stick of another site is not mixed with ours; our own is refreshed.
    let err = desk.refused(1, "stick prepare --to stick --root keys/root.cbor --root other-2.cbor");
    assert!(err.contains("roots/2.cbor: the stick has another root of this version"), "{err}");
    desk.good(&format!("stick prepare --to stick {both} --bundle b.aegis"));
    // More than devices look at.
    for number in 0..60 {
        fs::write(desk.path(&format!("stick/aegis/{number}.aegis")), b"").expect("written");
    }
    let err = desk.refused(1, &format!("stick prepare --to stick {both} --bundle a.aegis"));
    assert!(err.contains("entries, and devices look at 64; remove old bundles"), "{err}");
    // Nothing is written through a link.
    fs::create_dir(desk.path("elsewhere")).expect("made");
    fs::remove_dir_all(desk.path("stick/aegis")).expect("removed");
    symlink("../elsewhere", desk.path("stick/aegis")).expect("linked");
    let err = desk.refused(1, &format!("stick prepare --to stick {both}"));
    assert!(err.contains("stick/aegis: not a directory"), "{err}");
    assert_eq!(fs::read_dir(desk.path("elsewhere")).expect("there").count(), 0);
}

#[test]
fn nothing_on_a_stick_is_believed() {
    let desk = desk();
    let mut device = Device::new(None, &desk.read("keys/root.cbor"));
    let id = hex(&device.id());
    let out = desk.path("stick/aegis/out");
    fs::create_dir_all(&out).expect("made");
    let (name, receipt) = device.receipt(What::Nothing, b"", Answer::None, "");
    let mut forged = receipt.clone();
    forged[200] ^= 1;
    let whole = export(40);
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    for (name, bytes) in [
        (name.as_str(), receipt.as_slice()),
        ("receipt-forged.cbor", &forged),
        ("receipt-long.cbor", &[0; 4096]),
        ("export-changed.cbor", &changed),
        ("export-cut.cbor", &whole[..whole.len() - 10]),
        ("export-no.cbor", b"what?"),
        ("status.json", b"[1, 2"),
        ("support-aa-1.tar", &tar("../../etc/passwd", b"x")),
        ("\u{1b}[2J.cbor", b"x"),
        ("-rf.cbor", b"x"),
    ] {
        fs::write(out.join(name), bytes).expect("written");
    }
    symlink("/etc/passwd", out.join("export-link.cbor")).expect("linked");
    symlink(".", out.join("receipt-loop.cbor")).expect("linked");
    symlink(&name, out.join("receipt-link.cbor")).expect("linked");
    fs::create_dir(out.join("export-folder.cbor")).expect("made");
    assert!(Command::new("mkfifo").arg(out.join("receipt-pipe.cbor")).status().expect("runs").success());

    let (exit, found) = desk.json("stick collect stick --into evidence");
    assert_eq!((exit, &found["good"]), (1, &false.into()));
    let file = |name: &str| {
        let files = found["files"].as_array().expect("a list");
        let file =
            files.iter().find(|file| file["file"] == name).unwrap_or_else(|| panic!("{name}: {found}"));
        (
            file["good"] == true,
            file["code"].as_str().expect("a code").to_owned(),
            file["path"].as_str().map(str::to_owned),
        )
    };
    let path = |folder: &str, name: &str| Some(format!("evidence/{folder}/{name}"));
    assert_eq!(file(&name), (true, "none".into(), path(&id, &name)));
    for (name, code, kept) in [
        ("receipt-forged.cbor", "bad-signature", true),
        ("receipt-long.cbor", "too-large", false),
        ("export-changed.cbor", "bad-signature", true),
        ("export-cut.cbor", "truncated", true),
        ("export-no.cbor", "not-an-export", true),
        ("status.json", "bad-status", true),
        ("support-aa-1.tar", "bad-support", true),
        ("export-link.cbor", "unreadable", false),
        ("receipt-loop.cbor", "unreadable", false),
        ("receipt-link.cbor", "unreadable", false),
        ("export-folder.cbor", "unreadable", false),
        ("receipt-pipe.cbor", "unreadable", false),
    ] {
        let kept = if kept { path("unverified", name) } else { None };
        assert_eq!(file(name), (false, code.into(), kept), "{name}");
    }
    assert_eq!(found["left_there"], serde_json::json!(["-rf.cbor", "\\x1b[2J.cbor"]));
    let (_, text, _) = desk.run("stick collect stick --into evidence");
    assert!(!text.contains('\u{1b}') && text.contains("12 NOT good"), "{text}");
    let names = fs::read_dir(desk.path("evidence")).expect("there").count();
    assert_eq!(names, 3, "one device, unverified, devices.txt: no temporary file is left");

    // Another file under a known name: both are kept.
    fs::write(out.join(&name), device.receipt(What::Nothing, b"", Answer::None, "").1).expect("written");
    let (_, found) = desk.json("stick collect stick --into evidence");
    let again = found["files"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|file| file["file"] == name.as_str())
        .expect("there")
        .clone();
    assert!(
        again["good"] == true
            && again["had"] == false
            && again["path"] != path(&id, &name).expect("some").as_str(),
        "{again}"
    );
    assert_eq!(desk.read(&format!("evidence/{id}/{name}")), receipt);
}

#[test]
fn devices_that_are_not_known_are_refused_on_request() {
    let desk = desk();
    let out = desk.path("stick/aegis/out");
    fs::create_dir_all(&out).expect("made");
    let mut device = Device::new(None, &desk.read("keys/root.cbor"));
    let (name, bytes) = device.receipt(What::Nothing, b"", Answer::None, "");
    fs::write(out.join(name), bytes).expect("written");
    fs::write(out.join("export-a-b-1-9.cbor"), export(9)).expect("written");
    assert!(
        desk.refused(2, "stick collect stick --into e --known").contains("no such file; --known needs it")
    );
    let stranger = Device::new(Some(8), &desk.read("keys/root.cbor"));
    desk.write(
        "list",
        format!("# ours\n{} {} 2026-11-21\n", hex(&stranger.id()), hex(&stranger.pair.pk[..])),
    );
    let (exit, found) = desk.json("stick collect stick --into e --devices list --known");
    assert_eq!(exit, 1);
    for file in found["files"].as_array().expect("a list") {
        assert_eq!(
            (&file["code"], &file["device"]),
            (&"unknown-device".into(), &serde_json::Value::Null),
            "{file}"
        );
    }
    // Without --known it is taken on trust, and the list grows by it.
    assert_eq!(desk.json("stick collect stick --into f --devices list").0, 0);
    let list = String::from_utf8(desk.read("list")).expect("text");
    assert!(
        list.starts_with("# ours\n")
            && list.contains(&format!("\n{} {} ", hex(&device.id()), hex(&device.pair.pk[..]))),
        "{list}"
    );
    // A line that does not prove itself: somebody's hand was in the file.
    for (line, expected) in [
        (
            format!("{} {}", hex(&device.id()), hex(&stranger.pair.pk[..])),
            "list:1: the id is not that of the key",
        ),
        (format!("{} 00", hex(&device.id())), "list:1: public key: 1 bytes"),
        ("what".to_owned(), "list:1: device id: "),
    ] {
        desk.write("list", line);
        let err = desk.refused(2, "stick collect stick --into g --devices list");
        assert!(err.contains(expected), "{err}");
    }
}

/// A support bundle of one part.
fn tar(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut tar = vec![0; 512];
    tar[..name.len()].copy_from_slice(name.as_bytes());
    tar[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
    tar[148..156].fill(b' ');
    tar[156] = b'0';
    tar[257..262].copy_from_slice(b"ustar");
    let sum: u32 = tar.iter().map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend(bytes);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}
