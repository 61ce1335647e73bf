//! Verification against every way an export can be cut, changed, mixed up or honestly incomplete.

use std::path::{Path, PathBuf};

use aegis_cose::{Domain, KeyPair, Seed, sign1};
use aegis_event::{Accounts, Body, Cause, Decision, Event, File, Process, Subject, Verdict};
use aegis_export::{
    Created, Exporter, Fault, Frame, Frames, Hash, Id, Request, first_head, limits, next_head,
};
use tempfile::TempDir;

use super::check::{Report, verify};
use super::{report, show};

const RING: Id = [7; 16];

fn device() -> KeyPair {
    KeyPair::from_seed(Seed::new([42; 32]))
}

/// What the ring of a device holds, one entry an event.
#[derive(Clone)]
struct Ring {
    frames: Vec<(Id, Hash, Hash, Vec<u8>)>,
    overwritten: usize,
    damaged: Vec<usize>,
    at: usize,
}

impl Ring {
    fn new() -> Self {
        Self { frames: Vec::new(), overwritten: 0, damaged: Vec::new(), at: 0 }
    }

    fn push(&mut self, boot: u8, body: Body<'_>) {
        let process = Process { pid: 7, tgid: 7, ppid: 1, uid: 0, comm: b"worker" };
        let subject = Subject { workload: b"agent-7", cgroup: 1, process };
        let own =
            matches!(body, Body::Start { .. } | Body::Stop { .. } | Body::Accounts(_) | Body::Loss { .. });
        let event = Event { time: 1_500_000_000, subject: (!own).then_some(subject), body };
        let mut bytes = [0; limits::EVENT_BYTES];
        let length = event.encode(&mut bytes).expect("test events fit");
        self.push_bytes(boot, &bytes[..length]);
    }

    fn push_bytes(&mut self, boot: u8, bytes: &[u8]) {
        let previous = self.frames.last().map_or_else(|| first_head(&RING), |frame| frame.2);
        let sequence = self.frames.len() as u64 + 1;
        self.frames.push(([boot; 16], previous, next_head(&previous, sequence, bytes), bytes.to_vec()));
    }

    /// Work of a boot: `opens`, every second one denied.
    fn work(&mut self, boot: u8, opens: usize) {
        for n in 0..opens {
            let file = File { device: 1, inode: n as u64, path: b"/srv/secret", truncated: false };
            let decision = if n % 2 == 1 {
                Decision { verdict: Verdict::Denied, policy: 4, rule: b"no-secrets" }
            } else {
                Decision::allowed(4)
            };
            self.push(boot, Body::Open { file, flags: 0, decision });
        }
    }

    fn start(&mut self, boot: u8) {
        self.push(boot, Body::Start { version: "0.1.0", clean: true });
    }

    fn close(&mut self, boot: u8, seen: u64, written: u64, lost: u64) {
        let mut books = Accounts { seen, written, ..Accounts::default() };
        books.lost[0] = lost;
        self.push(boot, Body::Accounts(books));
        self.push(boot, Body::Stop { signal: 15 });
    }

    /// A boot from start to stop with honest books.
    fn boot(&mut self, boot: u8, opens: usize) {
        self.start(boot);
        self.work(boot, opens);
        self.close(boot, opens as u64, opens as u64, 0);
    }
}

impl Frames for Ring {
    type Error = Fault;

    fn ring(&self) -> Id {
        RING
    }

    fn first_sequence(&self) -> u64 {
        self.overwritten as u64 + 1
    }

    fn next_sequence(&self) -> u64 {
        self.frames.len() as u64 + 1
    }

    fn seek(&mut self, sequence: u64) -> Result<(), Fault> {
        self.at = usize::try_from(sequence).expect("small") - 1;
        Ok(())
    }

    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Fault> {
        if self.damaged.contains(&self.at) {
            return Err(Fault::Damaged);
        }
        let sequence = self.at as u64 + 1;
        self.at += 1;
        Ok(self.frames.get(self.at - 1).map(|(boot, previous, head, event)| Frame {
            sequence,
            boot: *boot,
            previous: *previous,
            head: *head,
            event,
        }))
    }

    fn skip(&mut self) -> Result<Option<u64>, Fault> {
        self.at += 1;
        Ok((self.at < self.frames.len()).then_some(self.at as u64 + 1))
    }

    fn fault(error: &Fault) -> Fault {
        *error
    }
}

fn items(ring: &Ring, request: Request) -> Vec<Vec<u8>> {
    let key = device();
    let created = Created { boot: [9; 16], boottime: 1, clock: 1_800_000_000, clock_trusted: false };
    let mut scratch = vec![0; limits::PAYLOAD_BYTES];
    let mut out = vec![0; limits::ITEM_BYTES];
    let mut exporter =
        Exporter::new(&key.sk, ring.clone(), request, created, "0.1.0", &mut scratch).expect("good request");
    let mut items = Vec::new();
    while let Some(length) = exporter.next_item(&mut out).expect("buffers suffice") {
        items.push(out[..length].to_vec());
    }
    items
}

/// A folder of exports.
struct Stick(TempDir);

impl Stick {
    fn new() -> Self {
        Self(TempDir::new().expect("temporary folder"))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("temporary file");
        path
    }

    fn export(&self, name: &str, ring: &Ring, request: Request) -> PathBuf {
        self.put(name, &items(ring, request).concat())
    }
}

fn check(paths: &[PathBuf]) -> Report {
    verify(paths, &[]).unwrap_or_else(|failure| panic!("{}", failure.message()))
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.findings.problems.iter().map(|problem| problem.code).collect()
}

fn notes(report: &Report) -> Vec<&'static str> {
    report.findings.notes.iter().map(|note| note.code).collect()
}

/// Three boots, three segments.
fn three_boots() -> Ring {
    let mut ring = Ring::new();
    for boot in 1..=3 {
        ring.boot(boot, 2 * usize::from(boot));
    }
    ring
}

#[test]
fn a_whole_export_is_whole() {
    let stick = Stick::new();
    let path = stick.export("a", &three_boots(), Request::from(1));
    let report = check(&[path]);
    assert_eq!(codes(&report), [""; 0]);
    let json = report::json(&report);
    assert_eq!(json["whole"], true);
    assert_eq!(json["signatures"], "good");
    assert_eq!(json["chain"], "good");
    assert_eq!(json["key_pinned"], false);
    assert_eq!(json["empty"], false);
    assert_eq!(json["events"]["total"], 21);
    assert_eq!(json["events"]["by_kind"]["open"], 12);
    assert_eq!(json["denials"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["denials"][0]["count"], 6);
    assert_eq!(json["denials"][0]["rule"], "no-secrets");
    assert_eq!(json["denials"][0]["workload"], "agent-7");
    assert_eq!(json["losses"]["kernel-ring-full"], 0);
    assert_eq!(json["boots"][2]["closed"], true);
    assert_eq!(json["boots"][2]["counted"], 6);
    assert_eq!(json["files"][0]["segments"], 3);
    assert_eq!(json["files"][0]["complete"], true);
    let text = report::person(&report);
    assert!(text.contains("NOT PINNED"), "{text}");
    assert!(text.contains("WHOLE: nothing is missing"), "{text}");
}

#[test]
fn an_export_of_an_empty_ring_is_whole_and_says_so() {
    let stick = Stick::new();
    let report = check(&[stick.export("a", &Ring::new(), Request::from(1))]);
    assert_eq!(codes(&report), [""; 0]);
    assert_eq!(report::json(&report)["empty"], true);
    assert!(report::person(&report).contains("empty export"));
}

#[test]
fn every_changed_byte_and_every_cut_is_found() {
    let stick = Stick::new();
    let mut ring = Ring::new();
    ring.boot(1, 1);
    ring.boot(2, 1);
    let bytes = items(&ring, Request::from(1)).concat();
    let found = |bytes: &[u8], what: &str| {
        let path = stick.put("changed", bytes);
        if let Ok(report) = verify(std::slice::from_ref(&path), &[]) {
            assert!(!report.whole(), "{what}");
            // Whatever it is, both reports can be made.
            report::json(&report);
            report::person(&report);
        }
    };
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        found(&changed, &format!("byte {at} changed"));
        found(&bytes[..at], &format!("cut at {at}"));
    }
    found(&[&bytes[..], &[0]].concat(), "a byte more");
    found(&[&bytes[..], &bytes[..]].concat(), "twice");
}

#[test]
fn moved_dropped_and_repeated_items_are_found_by_name() {
    let good = items(&three_boots(), Request::from(1));
    assert_eq!(good.len(), 4);
    let cases: &[(&[usize], &[&str])] = &[
        (&[0, 1, 2, 3], &[]),
        (&[0, 2, 3], &["items-changed", "manifest-mismatch", "segment-missing"]),
        (&[1, 2, 3], &["items-changed", "manifest-mismatch", "segment-missing"]),
        (&[0, 1, 3], &["items-changed", "manifest-mismatch"]),
        (&[0, 1, 2], &["manifest-missing", "unchecked-signature"]),
        (&[1, 0, 2, 3], &["out-of-order", "items-changed"]),
        (&[0, 0, 1, 2, 3], &["out-of-order", "items-changed", "manifest-mismatch"]),
        (&[0, 1, 2, 3, 3], &["after-manifest"]),
        (&[0, 1, 2, 3, 0], &["after-manifest"]),
        (&[3, 0, 1, 2], &["after-manifest", "manifest-mismatch"]),
        (&[3], &["items-changed", "manifest-mismatch"]),
    ];
    let stick = Stick::new();
    for (order, expected) in cases {
        let bytes: Vec<u8> = order.iter().flat_map(|index| good[*index].clone()).collect();
        let found = codes(&check(&[stick.put("a", &bytes)]));
        for code in *expected {
            assert!(found.contains(code), "{order:?}: {code} not in {found:?}");
        }
        assert_eq!(found.is_empty(), expected.is_empty(), "{order:?}: {found:?}");
    }
    // Every other order and choice of up to five of the four items.
    for number in 0..5usize.pow(5) {
        let order: Vec<usize> =
            (0..5).map(|place| number / 5usize.pow(place) % 5).filter(|item| *item < 4).collect();
        let bytes: Vec<u8> = order.iter().flat_map(|index| good[*index].clone()).collect();
        // The signatures are not the point here: a sample of them is checked, all orders of the bounds are.
        if number % 7 == 0 && !bytes.is_empty() {
            let whole = check(&[stick.put("a", &bytes)]).whole();
            assert_eq!(whole, order == [0, 1, 2, 3], "{order:?}");
        }
    }
}

#[test]
fn segments_of_another_device_or_forged_are_found() {
    let good = items(&three_boots(), Request::from(1));
    let stick = Stick::new();
    // The middle segment signed again by someone else.
    let (message, _) = aegis_cose::Sign1::take(&good[1]).expect("own item");
    let mut out = vec![0; limits::ITEM_BYTES];
    let other = KeyPair::from_seed(Seed::new([1; 32]));
    let length = sign1(message.unverified_payload(), Domain::Export, &other.sk, &mut out).expect("fits");
    let report = check(&[stick.put("a", &[&good[0], &out[..length], &good[2], &good[3]].concat())]);
    assert!(codes(&report).contains(&"bad-signature"));
    assert_eq!(report::json(&report)["signatures"], "bad");
}

#[test]
fn the_key_can_be_pinned() {
    let stick = Stick::new();
    let path = stick.export("a", &three_boots(), Request::from(1));
    let own = *device().pk;
    let other = *KeyPair::from_seed(Seed::new([1; 32])).pk;
    let pinned = verify(std::slice::from_ref(&path), &[other, own]).expect("readable");
    assert!(pinned.whole() && pinned.key_pinned());
    let foreign = verify(&[path], &[other]).expect("readable");
    assert_eq!(codes(&foreign), ["unknown-device"]);
    assert!(!foreign.key_pinned());
}

#[test]
fn continuity_is_checked_across_files_in_any_order() {
    let stick = Stick::new();
    let (mut ring, mut later) = (three_boots(), three_boots());
    later.boot(4, 3);
    let first = stick.export("1", &ring, Request::from(1));
    let second = stick.export("2", &later, Request::from(22));
    let nothing = stick.export("0", &ring, Request::from(22));
    let report = check(&[second.clone(), first.clone(), nothing.clone()]);
    assert_eq!(codes(&report), [""; 0]);
    assert_eq!(notes(&report), [""; 0]);
    assert_eq!(report.books.total, 27);
    // Alone, it says what it does not have.
    assert_eq!(notes(&check(std::slice::from_ref(&second))), ["begins-later", "begins-inside"]);
    assert_eq!(notes(&check(&[nothing])), ["begins-later"]);
    // The same twice, and a range again: counted once.
    let again = stick.export("again", &later, Request { first: 5, last: 24, bytes: u64::MAX });
    let report = check(&[first.clone(), again, second, first.clone()]);
    assert_eq!(codes(&report), [""; 0]);
    assert_eq!(report.books.total, 27);
    // A gap between files.
    let gap = stick.export("gap", &later, Request::from(24));
    let report = check(&[first.clone(), gap]);
    assert_eq!(codes(&report), ["gap"]);
    assert_eq!(report::json(&report)["chain"], "gaps");
    // Another history from the same key and ring: a device whose ring was set back.
    ring.frames.truncate(18);
    ring.work(3, 9);
    let fork = stick.export("fork", &ring, Request::from(22));
    assert!(codes(&check(&[first.clone(), fork])).contains(&"history-differs"));
    let overlap = stick.export("overlap", &ring, Request::from(15));
    assert!(codes(&check(&[first, overlap])).contains(&"history-differs"));
}

#[test]
fn what_is_missing_is_said_with_its_cause() {
    let stick = Stick::new();
    let ring = three_boots();
    let mut overwritten = ring.clone();
    overwritten.overwritten = 5;
    assert_eq!(codes(&check(&[stick.export("a", &overwritten, Request::from(1))])), ["overwritten"]);
    // Nobody asked for what was overwritten: nothing to report but where it begins.
    let report = check(&[stick.export("b", &overwritten, Request::from(0))]);
    assert_eq!(codes(&report), [""; 0]);
    assert!(notes(&report).contains(&"begins-later"));
    // Overwritten between two exports.
    let early = stick.export("early", &ring, Request { first: 1, last: 3, bytes: u64::MAX });
    assert_eq!(
        codes(&check(&[early.clone(), stick.export("c", &overwritten, Request::from(4))])),
        ["overwritten"]
    );
    // A full stick, alone and with the next one.
    let mut long = Ring::new();
    long.boot(1, 60);
    let full = stick.export("full", &long, Request { first: 1, last: 0, bytes: 4500 });
    let report = check(std::slice::from_ref(&full));
    assert_eq!(codes(&report), ["incomplete"]);
    let resume = report.files[0].last + 1;
    let rest = stick.export("rest", &long, Request::from(resume));
    let report = check(&[rest, full]);
    assert_eq!(codes(&report), [""; 0]);
    assert_eq!(report.books.boots.values().next().map(|boot| (boot.closed, boot.counted)), Some((true, 60)));
    // Damage in the ring.
    let mut damaged = ring.clone();
    damaged.damaged = vec![9, 10];
    let report = check(&[stick.export("d", &damaged, Request::from(1))]);
    assert_eq!(codes(&report), ["ring-damaged"]);
    assert!(report.findings.problems[0].detail.starts_with("sequences 10 to 11 are missing"));
    assert!(!report.findings.tampering, "what is left may be shown");
    // At the beginning and at the end.
    damaged.damaged = vec![0, 20];
    let ends = stick.export("ends", &damaged, Request::from(1));
    assert_eq!(codes(&check(std::slice::from_ref(&ends))), ["ring-damaged", "ring-damaged"]);
    damaged.boot(4, 1);
    let after = stick.export("after", &damaged, Request::from(22));
    assert_eq!(codes(&check(&[ends, after])), ["ring-damaged", "ring-damaged"]);
}

#[test]
fn the_accounting_law_is_held_boot_by_boot() {
    type Build = fn(&mut Ring);
    let cases: &[(&str, Build, &[&str], &[&str])] = &[
        (
            "balanced with losses",
            |ring| {
                ring.start(1);
                ring.work(1, 4);
                ring.push(1, Body::Loss { workload: b"agent-7", cause: Cause::KernelRingFull, count: 3 });
                ring.close(1, 7, 4, 3);
            },
            &[],
            &[],
        ),
        (
            "unbalanced",
            |ring| {
                ring.start(1);
                ring.work(1, 4);
                ring.close(1, 9, 4, 3);
            },
            &["accounts-unbalanced"],
            &[],
        ),
        (
            "fewer events than written",
            |ring| {
                ring.start(1);
                ring.work(1, 4);
                ring.close(1, 5, 5, 0);
            },
            &["accounts-mismatch"],
            &[],
        ),
        (
            "more events than written",
            |ring| {
                ring.start(1);
                ring.work(1, 4);
                ring.close(1, 3, 3, 0);
            },
            &["accounts-mismatch"],
            &[],
        ),
        (
            "power cut",
            |ring| {
                ring.start(1);
                ring.work(1, 4);
                ring.boot(2, 1);
            },
            &[],
            &["not-closed"],
        ),
        (
            "two runs in one boot",
            |ring| {
                ring.boot(1, 4);
                ring.start(1);
                ring.work(1, 2);
                ring.close(1, 6, 6, 0);
            },
            &[],
            &[],
        ),
        (
            "a second run that was killed",
            |ring| {
                ring.boot(1, 4);
                ring.start(1);
                ring.work(1, 2);
            },
            &[],
            &["not-closed"],
        ),
        (
            "stop without books",
            |ring| {
                ring.start(1);
                ring.push(1, Body::Stop { signal: 0 });
            },
            &[],
            &["not-closed"],
        ),
        (
            "a boot that comes back",
            |ring| {
                ring.boot(1, 1);
                ring.boot(2, 1);
                ring.start(1);
            },
            &["boot-order"],
            &["not-closed"],
        ),
        (
            "an event that is none",
            |ring| ring.push_bytes(1, b"\xa1\x00\x18\xff"),
            &["bad-event"],
            &["not-closed"],
        ),
    ];
    let stick = Stick::new();
    for (name, build, problems, remarks) in cases {
        let mut ring = Ring::new();
        build(&mut ring);
        let report = check(&[stick.export("a", &ring, Request::from(1))]);
        assert_eq!(codes(&report), *problems, "{name}");
        assert_eq!(notes(&report), *remarks, "{name}");
    }
}

#[test]
fn losses_are_never_understated() {
    let stick = Stick::new();
    let mut ring = Ring::new();
    ring.start(1);
    ring.push(1, Body::Loss { workload: b"", cause: Cause::BadRecord, count: 5 });
    ring.close(1, 2, 0, 2);
    let losses = report::json(&check(&[stick.export("a", &ring, Request::from(1))]))["losses"].clone();
    assert_eq!((&losses["kernel-ring-full"], &losses["bad-record"]), (&2.into(), &5.into()));
}

#[test]
fn what_is_no_export_is_refused_in_one_line() {
    let stick = Stick::new();
    let refused = |path: &Path| {
        let failure = verify(&[path.into()], &[]).err().expect("refused");
        assert!(!failure.message().contains('\n'));
        failure.message().to_owned()
    };
    assert!(refused(&stick.0.path().join("none")).contains("none"));
    assert!(refused(&stick.put("empty", b"")).contains("empty file"));
    assert!(refused(&stick.put("garbage", &[0x5a; 4000])).contains("byte 0: not an export"));
    assert!(refused(&stick.put("bomb", &[0xd2, 0x84, 0x5b, 0xff, 0xff, 0xff])).contains("not an export"));
    let mut out = vec![0; limits::ITEM_BYTES];
    let length = sign1(b"\xa0", Domain::Receipt, &device().sk, &mut out).expect("fits");
    assert!(refused(&stick.put("receipt", &out[..length])).contains("a receipt?"));
    assert!(refused(stick.0.path()).contains("can't read it"));
}

/// Hostile values in a manifest that a taken-over device signed: no panic, no overflow.
#[test]
fn a_lying_device_can_not_break_the_reader() {
    let good = items(&three_boots(), Request::from(1));
    let stick = Stick::new();
    let mut out = vec![0; limits::ITEM_BYTES];
    for (index, item) in good.iter().enumerate() {
        let (message, _) = aegis_cose::Sign1::take(item).expect("own item");
        let payload = message.unverified_payload().to_vec();
        for at in (0..payload.len()).step_by(if index == 3 { 1 } else { 5 }) {
            let mut changed = payload.clone();
            changed[at] ^= 0x11;
            let length = sign1(&changed, Domain::Export, &device().sk, &mut out).expect("fits");
            let mut file = good.clone();
            file[index] = out[..length].to_vec();
            if let Ok(report) = verify(&[stick.put("a", &file.concat())], &[]) {
                report::json(&report);
                report::person(&report);
            }
        }
    }
}

#[test]
fn show_gives_every_event_and_refuses_what_does_not_verify() {
    let stick = Stick::new();
    let mut ring = Ring::new();
    ring.start(1);
    let file = File { device: 1, inode: 2, path: b"/srv/\xff\n", truncated: false };
    ring.push(1, Body::Exec { file, argv: b"sh\0\0-\xfe\0", argv_truncated: false });
    ring.push(
        1,
        Body::Connect {
            family: 10,
            protocol: 6,
            port: 443,
            address: &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            decision: Decision { verdict: Verdict::Denied, policy: 4, rule: b"no-net" },
        },
    );
    ring.close(1, 2, 2, 0);
    let path = stick.export("a", &ring, Request::from(1));
    let show = |path: &Path, format, unverified| {
        let report = check(&[path.into()]);
        let mut out = Vec::new();
        let shown = show::show(&report, format, unverified, &mut out).is_ok();
        (shown, String::from_utf8(out).expect("UTF-8"))
    };
    let (shown, lines) = show(&path, super::Format::Json, false);
    assert!(shown);
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[0]["kind"], "start");
    assert_eq!(lines[0]["sequence"], 1);
    assert_eq!(lines[0]["boot_id"], "01".repeat(16));
    assert_eq!(lines[1]["path"], "/srv/\\xff\\x0a");
    assert_eq!(lines[1]["path_hex"], "2f7372762fff0a");
    assert_eq!(lines[1]["argv"], serde_json::json!(["sh", "", "-\\xfe"]));
    assert_eq!(lines[1]["argv_hex"], "736800002dfe00");
    assert_eq!(lines[1]["workload"], "agent-7");
    assert!(lines[1].get("workload_hex").is_none());
    assert_eq!((&lines[2]["address"], &lines[2]["port"]), (&"::1".into(), &443.into()));
    assert_eq!((&lines[2]["verdict"], &lines[2]["rule"]), (&"denied".into(), &"no-net".into()));
    assert_eq!(lines[3]["written"], 2);
    let (shown, text) = show(&path, super::Format::Text, false);
    assert!(shown);
    assert_eq!(text.lines().count(), 5);
    assert!(text.lines().nth(2).expect("three lines").starts_with("       3 "), "{text}");
    // Cut: not shown, unless asked for, and then labelled.
    let bytes = std::fs::read(&path).expect("written above");
    let cut = stick.put("cut", &bytes[..bytes.len() - 1]);
    let (shown, text) = show(&cut, super::Format::Text, false);
    assert!(!shown && text.is_empty());
    let (shown, lines) = show(&cut, super::Format::Json, true);
    assert!(shown);
    assert!(lines.lines().count() == 5 && lines.lines().all(|line| line.ends_with("\"unverified\":true}")));
}
