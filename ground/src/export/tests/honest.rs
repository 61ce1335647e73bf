//! Exports as devices write them: whole, empty, in parts, with what is honestly missing.

#[allow(clippy::wildcard_imports)] // the shared half of these tests
use super::super::Keys;
use super::*;

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
    assert!(text.contains("whose key signed it is NOT known"), "{text}");
    assert!(text.contains("denials     6\n"), "{text}");
}

#[test]
fn the_self_tests_denials_are_told_apart() {
    let stick = Stick::new();
    let mut ring = Ring::new();
    ring.start(1);
    ring.denied(1, b"demo", b"no-shadow");
    ring.denied(1, b"aegis-selftest", b"aegis-selftest");
    ring.denied(1, b"aegis-selftest", b"aegis-selftest");
    let report = check(&[stick.export("a", &ring, Request::from(1))]);
    let text = report::person(&report);
    assert!(text.contains("denials     1, and 2 of the agent's self-test\n"), "{text}");
    let places = ["  no-shadow ", "  aegis-selftest "].map(|rule| text.find(rule).expect("listed"));
    assert!(places[0] < places[1], "{text}");
    // Programs get all of them: what to leave out is theirs to say.
    assert_eq!(report::json(&report)["denials"].as_array().map(Vec::len), Some(2));
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
fn the_key_can_be_pinned() {
    let stick = Stick::new();
    let path = stick.export("a", &three_boots(), Request::from(1));
    let own = *device().pk;
    let other = *KeyPair::from_seed(Seed::new([1; 32])).pk;
    let pinned =
        verify(std::slice::from_ref(&path), &Keys::new(&[other, own], Vec::new())).expect("readable");
    assert!(pinned.whole() && pinned.key_pinned());
    assert!(report::person(&pinned).ends_with("WHOLE: nothing is missing, nothing was changed\n"));
    let foreign = verify(&[path], &Keys::new(&[other], Vec::new())).expect("readable");
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
    assert!(!report.findings.tampering(), "what is left may be shown");
    // At the beginning and at the end.
    damaged.damaged = vec![0, 20];
    let ends = stick.export("ends", &damaged, Request::from(1));
    assert_eq!(codes(&check(std::slice::from_ref(&ends))), ["ring-damaged", "ring-damaged"]);
    damaged.boot(4, 1);
    let after = stick.export("after", &damaged, Request::from(22));
    assert_eq!(codes(&check(&[ends, after])), ["ring-damaged", "ring-damaged"]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
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
            "an agent stopped in the middle of work, and the next one settles it",
            |ring| {
                ring.start(1);
                ring.work(1, 4);
                ring.close(1, 9, 4, 0);
                ring.start(1);
                ring.work(1, 5);
                ring.close(1, 9, 9, 0);
            },
            &[],
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

/// Hostile values in a manifest that a taken-over device signed: no panic, no overflow.
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
            decision: Decision { verdict: Verdict::Denied, rule: b"no-net", ..Decision::allowed(4) },
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
    let (shown, lines) = show(&path, crate::export::Format::Json, false);
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
    let (shown, text) = show(&path, crate::export::Format::Text, false);
    assert!(shown);
    assert_eq!(text.lines().count(), 5);
    assert!(text.lines().nth(2).expect("three lines").starts_with("       3 "), "{text}");
    // Cut: not shown, unless asked for, and then labelled.
    let bytes = std::fs::read(&path).expect("written above");
    let cut = stick.put("cut", &bytes[..bytes.len() - 1]);
    let (shown, text) = show(&cut, crate::export::Format::Text, false);
    assert!(!shown && text.is_empty());
    let (shown, lines) = show(&cut, crate::export::Format::Json, true);
    assert!(shown);
    assert!(lines.lines().count() == 5 && lines.lines().all(|line| line.ends_with("\"unverified\":true}")));
}

#[test]
fn a_receipt_pins_the_key() {
    let stick = Stick::new();
    let key = device();
    let receipt = aegis_bundle::Receipt {
        public_key: *key.pk,
        what: aegis_bundle::What::Nothing,
        seen: None,
        answer: aegis_bundle::Answer::None,
        code: "",
        epoch: 0,
        sequence: 0,
        mode: aegis_event::Mode::AuditOnly,
        ring_head: None,
        boot_id: [1; 16],
        boot_time: 1,
        clock: 1,
        clock_trusted: false,
        root_version: 1,
    };
    let mut bytes = [0; aegis_bundle::limits::RECEIPT_BYTES];
    let length = aegis_bundle::encode_receipt(&receipt, &key.sk, &mut bytes).expect("fits");
    let path = stick.put("receipt", &bytes[..length]);
    assert_eq!(crate::export::receipt_key(&path).expect("a good receipt"), *key.pk);
    bytes[length - 1] ^= 1;
    let path = stick.put("receipt", &bytes[..length]);
    assert!(crate::export::receipt_key(&path).is_err());
}
