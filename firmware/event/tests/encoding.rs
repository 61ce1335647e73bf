//! The encoding is one: what decodes encodes to the same bytes, and nothing else decodes.
#![allow(clippy::unwrap_used)]

use aegis_event::{
    Accounts, Body, Cause, Decision, DecodeError, EncodeError, Event, File, Gap, GapCause, Kind, Level, Mode,
    ModeReason, Process, Subject, Verdict, limits,
};
use proptest::prelude::*;

fn subject() -> Subject<'static> {
    Subject {
        workload: b"demo",
        cgroup: 4711,
        process: Process { pid: 12, tgid: 12, ppid: 1, uid: 0, comm: b"cat" },
    }
}

fn file() -> File<'static> {
    File { device: 0x0fe0_0001, inode: 99, path: b"/etc/\xffshadow", truncated: false }
}

fn denied() -> Decision<'static> {
    Decision { verdict: Verdict::Denied, policy: 7, rule: b"no-shadow", glass_broken: false }
}

/// Not denied, because the glass was broken.
fn let_pass() -> Decision<'static> {
    Decision { verdict: Verdict::Audited, glass_broken: true, ..denied() }
}

/// One event of every kind.
fn every_kind() -> Vec<Event<'static>> {
    let seen = |body| Event { time: 1_234_567_890, subject: Some(subject()), body };
    let said = |body| Event { time: u64::MAX, subject: None, body };
    vec![
        seen(Body::Fork { child_pid: 13, child_tgid: 13 }),
        seen(Body::Exec { file: file(), argv: b"cat\0/etc/shadow\0", argv_truncated: false }),
        seen(Body::Exit { status: 1, signal: 0 }),
        seen(Body::Open { file: file(), flags: 0o100_000, decision: denied() }),
        seen(Body::Open { file: file(), flags: 0, decision: Decision::allowed(0) }),
        seen(Body::Open { file: file(), flags: 1, decision: let_pass() }),
        seen(Body::ExecCheck { file: file(), decision: denied() }),
        seen(Body::ExecCheck { file: file(), decision: let_pass() }),
        seen(Body::Connect {
            family: 2,
            protocol: 6,
            port: 443,
            address: &[127, 0, 0, 1],
            decision: Decision::allowed(3),
        }),
        said(Body::Policy {
            code: "bad-signature",
            epoch: 1,
            sequence: 2,
            hash: &[0xab; 32],
            detail: "demo.aegis",
        }),
        said(Body::ModeChange {
            mode: Mode::Enforcing,
            reason: ModeReason::SelfTestPassed,
            epoch: 1,
            sequence: 2,
        }),
        said(Body::BreakGlass {
            code: "accepted",
            sequence: 3,
            until: 7_200_000_000_000,
            reason: "pump 4 is stuck",
            hash: &[0xcd; 32],
        }),
        said(Body::Root { code: "threshold", version: 2, epoch: 1, hash: &[0xef; 32], detail: "2.cbor" }),
        said(Body::Stick { code: "too-many-entries", detail: "64 of 10000" }),
        said(Body::PolicyStale { epoch: 1, sequence: 2, expires: 1_800_000_000, now: u64::MAX }),
        said(Body::Start { version: "0.1.0", clean: true }),
        said(Body::Stop { signal: 15 }),
        said(Body::Loss { workload: b"demo", cause: Cause::KernelRingFull, count: 3 }),
        said(Body::Accounts(Accounts { seen: 10, written: 7, lost: [3, 0, 0, 0] })),
        said(Body::GlassMended {
            until: 7_200_000_000_000,
            passed: 4,
            mode: Mode::Enforcing,
            reason: ModeReason::SelfTestPassed,
        }),
        said(Body::RingLevel { level: Level::High, percent: 70 }),
        said(Body::RingLevel { level: Level::Full, percent: 100 }),
        said(Body::Gap(overwritten())),
        said(Body::Gap(Gap { cause: GapCause::Damaged, boot: [7; 16], ..overwritten() })),
        said(Body::Gap(cut())),
        said(Body::Seal { code: "began", epoch: 0 }),
        said(Body::Config { code: "last-good", detail: "config.toml line 3: no such key" }),
    ]
}

fn overwritten() -> Gap {
    Gap { cause: GapCause::Overwritten, first: 5, last: 9, total: 5, boot: [0; 16] }
}

fn cut() -> Gap {
    Gap { cause: GapCause::Cut, first: 5, last: 4, total: 1, boot: [7; 16] }
}

fn encode(event: &Event<'_>) -> Vec<u8> {
    let mut out = [0; limits::EVENT_BYTES];
    let length = event.encode(&mut out).unwrap();
    out[..length].to_vec()
}

#[test]
fn every_kind_comes_back_as_it_went() {
    let mut kinds: Vec<Kind> = every_kind().iter().map(Event::kind).collect();
    kinds.dedup();
    assert_eq!(kinds, Kind::ALL, "the table has every kind");
    for event in every_kind() {
        assert_eq!(Event::decode(&encode(&event)).as_ref(), Ok(&event));
    }
}

#[test]
fn the_bytes_are_pinned() {
    // Written by hand from docs/formats/event.cddl: {0: 49, 1: 5, 14: 15}
    let stop = Event { time: 5, subject: None, body: Body::Stop { signal: 15 } };
    assert_eq!(encode(&stop), [0xa3, 0x00, 0x18, 49, 0x01, 0x05, 0x0e, 0x0f]);

    // {0: 52, 1: 9, 29: 1, 30: 0, 35: 8, 36: 7}
    let (mode, reason) = (Mode::Enforcing, ModeReason::SelfTestPassed);
    let mended =
        Event { time: 9, subject: None, body: Body::GlassMended { until: 8, passed: 7, mode, reason } };
    assert_eq!(
        encode(&mended),
        [0xa6, 0x00, 0x18, 52, 0x01, 0x09, 0x18, 29, 0x01, 0x18, 30, 0x00, 0x18, 35, 0x08, 0x18, 36, 0x07]
    );

    // {0: 5, 1: 9, 5: 1, 6: 2, 7: 'r', 8: [1, 2, '/', false], 34: true}
    let decision = Decision { policy: 2, rule: b"r", ..let_pass() };
    let file = File { device: 1, inode: 2, path: b"/", truncated: false };
    let passed = Event { time: 9, subject: None, body: Body::ExecCheck { file, decision } };
    assert_eq!(
        encode(&passed),
        [
            0xa7, 0x00, 0x05, 0x01, 0x09, 0x05, 0x01, 0x06, 0x02, 0x07, 0x41, b'r', 0x08, 0x84, 0x01, 0x02,
            0x41, b'/', 0xf4, 0x18, 34, 0xf5
        ]
    );
}

#[test]
fn only_what_was_audited_by_a_rule_was_let_pass_by_broken_glass() {
    let good = encode(&Event {
        time: 9,
        subject: None,
        body: Body::ExecCheck { file: file(), decision: Decision { rule: b"r", ..let_pass() } },
    });
    assert!(Event::decode(&good).is_ok());
    let (verdict_at, flag_at) = (6, good.len() - 1);
    assert_eq!((good[verdict_at], good[flag_at]), (1, 0xf5));
    for (at, byte, why) in [
        (verdict_at, 0, DecodeError::Malformed),
        (verdict_at, 2, DecodeError::Malformed),
        // `false` is said by saying nothing.
        (flag_at, 0xf4, DecodeError::NotCanonical),
        (flag_at, 0x01, DecodeError::Malformed),
    ] {
        let mut bytes = good.clone();
        bytes[at] = byte;
        assert_eq!(Event::decode(&bytes), Err(why), "byte {at} as {byte:#x}");
    }
    for decision in [
        Decision { verdict: Verdict::Denied, ..let_pass() },
        Decision { verdict: Verdict::Allowed, ..let_pass() },
        Decision { rule: b"", ..let_pass() },
    ] {
        let event = Event { time: 0, subject: None, body: Body::ExecCheck { file: file(), decision } };
        assert_eq!(event.encode(&mut [0; 1024]), Err(EncodeError::NotAudited), "{decision:?}");
    }
}

#[test]
fn figures_that_contradict_each_other_are_refused() {
    let gap = overwritten();
    for body in [
        Body::RingLevel { level: Level::Full, percent: 101 },
        Body::Gap(Gap { first: 0, ..gap }),
        Body::Gap(Gap { last: 4, ..gap }),
        Body::Gap(Gap { total: 4, ..gap }),
        Body::Gap(Gap { cause: GapCause::Damaged, total: 0, ..gap }),
        Body::Gap(Gap { last: 5, ..cut() }),
        Body::Gap(Gap { total: 0, ..cut() }),
        Body::Gap(Gap { first: 0, last: u64::MAX, ..cut() }),
    ] {
        let event = Event { time: 0, subject: None, body };
        assert_eq!(event.encode(&mut [0; 1024]), Err(EncodeError::Inconsistent), "{body:?}");
    }
    // {0: 53, 1: 5, 40: 3, 41: 100}: what is not written is not read.
    let good = [0xa4, 0x00, 0x18, 53, 0x01, 0x05, 0x18, 40, 0x03, 0x18, 41, 0x18, 100];
    let level = Body::RingLevel { level: Level::Full, percent: 100 };
    assert_eq!(Event::decode(&good), Ok(Event { time: 5, subject: None, body: level }));
    for (at, byte, why) in [(12, 101, DecodeError::Malformed), (8, 4, DecodeError::Unknown)] {
        let mut bytes = good;
        bytes[at] = byte;
        assert_eq!(Event::decode(&bytes), Err(why), "byte {at} as {byte}");
    }
}

#[test]
fn no_prefix_and_no_suffix_is_an_event() {
    for event in every_kind() {
        let bytes = encode(&event);
        for length in 0..bytes.len() {
            assert!(Event::decode(&bytes[..length]).is_err(), "{:?} cut to {length}", event.kind());
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Event::decode(&longer), Err(DecodeError::NotCanonical));
    }
}

#[test]
fn a_long_integer_is_refused() {
    // {0: 49, 1: 5 in two bytes, 14: 15}
    let bytes = [0xa3, 0x00, 0x18, 49, 0x01, 0x18, 0x05, 0x0e, 0x0f];
    assert_eq!(Event::decode(&bytes), Err(DecodeError::NotCanonical));
}

#[test]
fn fields_over_their_limits_are_refused() {
    let long = [b'a'; limits::PATH_BYTES + 1];
    let body = Body::ExecCheck { file: File { path: &long, ..file() }, decision: denied() };
    let event = Event { time: 0, subject: None, body };
    assert_eq!(event.encode(&mut [0; 2048]), Err(EncodeError::FieldTooLong));
}

#[test]
fn the_longest_event_fits() {
    let long = [0xff; limits::PATH_BYTES];
    let event = Event {
        time: u64::MAX,
        subject: Some(Subject {
            workload: &long[..limits::WORKLOAD_BYTES],
            cgroup: u64::MAX,
            process: Process {
                pid: u32::MAX,
                tgid: u32::MAX,
                ppid: u32::MAX,
                uid: u32::MAX,
                comm: &long[..limits::COMM_BYTES],
            },
        }),
        body: Body::Exec {
            file: File { device: u32::MAX, inode: u64::MAX, path: &long, truncated: true },
            argv: &long,
            argv_truncated: true,
        },
    };
    assert!(encode(&event).len() <= limits::EVENT_BYTES);
}

#[test]
fn texts_over_their_limit_are_refused() {
    let long = "x".repeat(limits::DETAIL_BYTES + 1);
    let (text, hash) = (long.as_str(), &[0; 32]);
    for body in [
        Body::Policy { code: "", epoch: 0, sequence: 0, hash, detail: text },
        Body::BreakGlass { code: "", sequence: 0, until: 0, reason: text, hash },
        Body::BreakGlass { code: text, sequence: 0, until: 0, reason: "", hash },
        Body::Root { code: "", version: 0, epoch: 0, hash, detail: text },
        Body::Root { code: text, version: 0, epoch: 0, hash, detail: "" },
        Body::Stick { code: "", detail: text },
        Body::Stick { code: text, detail: "" },
        Body::Start { version: text, clean: true },
        Body::Seal { code: text, epoch: 0 },
        Body::Config { code: "", detail: text },
        Body::Config { code: text, detail: "" },
    ] {
        let event = Event { time: 0, subject: None, body };
        assert_eq!(event.encode(&mut [0; 2048]), Err(EncodeError::FieldTooLong), "{}", event.kind());
    }
}

#[test]
fn an_event_shown_to_a_person_drives_no_terminal() {
    let body = Body::ExecCheck {
        file: File { path: b"/tmp/\x1b[2J\n\xc2\x9b\xff", ..file() },
        decision: Decision { rule: b"\x07", ..denied() },
    };
    let line = Event { time: 0, subject: Some(subject()), body }.to_string();
    assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line:?}");
    assert!(line.contains("/tmp/\\x1b[2J\\x0a\\xc2\\x9b\\xff"), "{line}");

    // The device says these of itself; at the office nobody knows yet that it was the device.
    let (bad, hash) = ("\x1b[2J\n\u{9b}", &[0; 32]);
    for body in [
        Body::Policy { code: bad, epoch: 0, sequence: 0, hash, detail: bad },
        Body::BreakGlass { code: bad, sequence: 0, until: 1, reason: bad, hash },
        Body::BreakGlass { code: bad, sequence: 0, until: 0, reason: bad, hash },
        Body::Root { code: bad, version: 0, epoch: 0, hash, detail: bad },
        Body::Stick { code: bad, detail: bad },
        Body::Start { version: bad, clean: true },
        Body::Seal { code: bad, epoch: 0 },
        Body::Config { code: bad, detail: bad },
        Body::Loss { workload: bad.as_bytes(), cause: Cause::BadRecord, count: 1 },
    ] {
        let line = Event { time: 0, subject: None, body }.to_string();
        assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line:?}");
    }
}

#[test]
fn what_can_not_be_seen_from_names_is_said_in_words() {
    let lines = [
        (Body::Open { file: file(), flags: 0, decision: let_pass() }, "policy 7, glass-broken"),
        (
            Body::BreakGlass {
                code: "accepted",
                sequence: 3,
                until: 90_000_001_000,
                reason: "x",
                hash: &[0; 32],
            },
            "break-glass accepted sequence 3 until 90.000001 (x)",
        ),
        (
            Body::BreakGlass { code: "replayed", sequence: 3, until: 0, reason: "x", hash: &[0; 32] },
            "break-glass replayed sequence 3 (x)",
        ),
        (
            Body::GlassMended {
                until: 90_000_001_000,
                passed: 2,
                mode: Mode::Enforcing,
                reason: ModeReason::SelfTestPassed,
            },
            "glass-mended at 90.000001, 2 would-be denials passed; enforcing (self-test-passed)",
        ),
        (Body::RingLevel { level: Level::High, percent: 70 }, "ring-level high: 70% not exported"),
        (Body::Gap(overwritten()), "gap overwritten 5 to 9, 5 so far"),
        (Body::Gap(cut()), "gap cut behind sequence 4, 1 so far"),
        (Body::Seal { code: "seal-state-lost", epoch: 7 }, "seal seal-state-lost epoch 7"),
        (Body::Config { code: "file", detail: "sync each" }, "config file (sync each)"),
    ];
    for (body, words) in lines {
        let line = Event { time: 0, subject: None, body }.to_string();
        assert!(line.ends_with(words), "{line}");
    }
}

proptest! {
    #[test]
    fn what_decodes_is_canonical(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(event) = Event::decode(&bytes) {
            prop_assert_eq!(encode(&event), bytes);
        }
    }

    #[test]
    fn a_changed_byte_never_panics_and_never_lies(which in 0..every_kind().len(), at in any::<prop::sample::Index>(), to: u8) {
        let good = encode(&every_kind()[which]);
        let mut bytes = good.clone();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(event) = Event::decode(&bytes) {
            prop_assert_eq!(encode(&event), bytes);
        }
    }
}
