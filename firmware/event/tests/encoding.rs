//! The encoding is one: what decodes encodes to the same bytes, and nothing else decodes.
#![allow(clippy::unwrap_used)]

mod common;

use aegis_event::{
    Accounts, Basis, Body, Call, Cause, Decision, DecodeError, EncodeError, Endpoint, Event, File, Gap,
    GapCause, Kind, Level, Mode, ModeReason, Place, Process, Subject, Verdict, limits,
};
use common::*;
use proptest::prelude::*;

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

    // {0: 9, 1: 9, 5: 1, 6: 2, 7: 'r', 8: [1, 2, '/', false], 47: true, 48: [3, 8, 2, 4, 5, h'0102030405060708'],
    //  49: ['x', true]}
    let basis =
        Basis { device: 4, inode: 5, policy_hash: [1, 2, 3, 4, 5, 6, 7, 8], ..by_tree().basis.unwrap() };
    let decision = Decision { policy: 2, rule: b"r", basis: Some(basis), ..fallen() };
    let renamed = Body::Rename { file, to: b"x", to_truncated: true, decision };
    assert_eq!(
        encode(&Event { time: 9, subject: None, body: renamed }),
        [
            0xa9, 0x00, 0x09, 0x01, 0x09, 0x05, 0x01, 0x06, 0x02, 0x07, 0x41, b'r', 0x08, 0x84, 0x01, 0x02,
            0x41, b'/', 0xf4, 0x18, 47, 0xf5, 0x18, 48, 0x86, 3, 8, 2, 4, 5, 0x48, 1, 2, 3, 4, 5, 6, 7, 8,
            0x18, 49, 0x82, 0x41, b'x', 0xf5
        ]
    );
}

/// What agents wrote before there were bases, and a fifth cause, is read, and written as it was.
#[test]
fn yesterdays_events_are_read() {
    // {0: 4, 1: 9, 5: 2, 6: 2, 7: 'r', 8: [1, 2, '/', false], 15: 0}
    let opened = [
        0xa7, 0x00, 0x04, 0x01, 0x09, 0x05, 0x02, 0x06, 0x02, 0x07, 0x41, b'r', 0x08, 0x84, 0x01, 0x02, 0x41,
        b'/', 0xf4, 0x0f, 0x00,
    ];
    let event = Event::decode(&opened).unwrap();
    assert_eq!(event.body.decision().unwrap().basis, None);
    assert_eq!(encode(&event), opened);

    // {0: 51, 1: 5, 31: 3, 32: 0, 33: [0, 1, 2, 0]}
    let books =
        [0xa5, 0x00, 0x18, 51, 0x01, 0x05, 0x18, 31, 0x03, 0x18, 32, 0x00, 0x18, 33, 0x84, 0, 1, 2, 0];
    let event = Event::decode(&books).unwrap();
    assert_eq!(event.body, Body::Accounts(Accounts { seen: 3, written: 0, lost: [0, 1, 2, 0, 0] }));
    assert_eq!(encode(&event), books);
    // A fifth that is 0 is said by saying nothing; three and six are none.
    for (count, why) in
        [(3, DecodeError::NotCanonical), (5, DecodeError::NotCanonical), (6, DecodeError::Malformed)]
    {
        let mut other = books[..15].to_vec();
        other[14] = 0x80 | count;
        other.extend(std::iter::repeat_n(0, count.into()));
        assert_eq!(Event::decode(&other), Err(why), "{count}");
    }
}

#[test]
fn a_basis_that_is_not_known_is_refused() {
    let good =
        encode(&Event { time: 9, subject: None, body: Body::Unlink { file: file(), decision: by_tree() } });
    let at = good.windows(3).position(|window| window == [0x18, 48, 0x86]).unwrap() + 3;
    for (offset, byte) in [(0, 5), (0, 22), (2, 0), (2, 10)] {
        let mut bytes = good.clone();
        bytes[at + offset] = byte;
        assert_eq!(Event::decode(&bytes), Err(DecodeError::Unknown), "{offset} {byte}");
    }
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
        Decision { verdict: Verdict::Denied, ..fallen() },
        Decision { rule: b"", basis: None, ..fallen() },
    ] {
        let event = Event { time: 0, subject: None, body: Body::ExecCheck { file: file(), decision } };
        assert_eq!(event.encode(&mut [0; 1024]), Err(EncodeError::NotAudited), "{decision:?}");
    }
}

#[test]
fn figures_that_contradict_each_other_are_refused() {
    let gap = overwritten();
    let place = Place { port: 0, address: &[0; 4] };
    for body in [
        Body::RingLevel { level: Level::Full, percent: 101 },
        Body::Gap(Gap { first: 0, ..gap }),
        Body::Gap(Gap { last: 4, ..gap }),
        Body::Gap(Gap { total: 4, ..gap }),
        Body::Gap(Gap { cause: GapCause::Damaged, total: 0, ..gap }),
        Body::Gap(Gap { last: 5, ..cut() }),
        Body::Gap(Gap { total: 0, ..cut() }),
        Body::Gap(Gap { first: 0, last: u64::MAX, ..cut() }),
        Body::Unlink { file: file(), decision: Decision { rule: b"", ..let_in() } },
        Body::Bind { endpoint: Endpoint { address: &[0; 16], ..V4 }, decision: denied() },
        Body::Listen { endpoint: Endpoint { address: &[0; 4], ..NETLINK }, decision: denied() },
        Body::Accept { endpoint: Endpoint { address: &[], ..V6 }, decision: denied() },
        Body::Socket { endpoint: V4, decision: denied() },
        Body::Socket { endpoint: Endpoint { port: 1, ..MADE }, decision: denied() },
        Body::Connect { family: 10, protocol: 6, port: 1, address: &[0; 4], decision: denied() },
        Body::Flow {
            family: 2,
            protocol: 6,
            local: place,
            remote: Place { address: &[], ..place },
            received: 0,
            sent: 0,
        },
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
    let short = File { path: b"/", ..file() };
    let text = Call { text: &long[..=limits::TEXT_BYTES], ..NOTHING };
    for body in [
        body,
        Body::Volume { file: File { path: &long, ..file() }, read: 0, written: 0 },
        Body::Rename { file: short, to: &long, to_truncated: true, decision: denied() },
        Body::Link { file: File { path: &long, ..file() }, to: b"", to_truncated: true, decision: denied() },
        Body::Mount { call: text, decision: denied() },
        Body::Escape { call: text, decision: denied() },
        Body::Deadman { workload: &long[..=limits::WORKLOAD_BYTES], sequence: 0, since: 0 },
    ] {
        let event = Event { time: 0, subject: None, body };
        assert_eq!(event.encode(&mut [0; 2048]), Err(EncodeError::FieldTooLong), "{}", event.kind());
    }
}

#[test]
fn the_longest_event_fits() {
    let long = [0xff; limits::PATH_BYTES];
    let subject = Subject {
        workload: &long[..limits::WORKLOAD_BYTES],
        cgroup: u64::MAX,
        process: Process {
            pid: u32::MAX,
            tgid: u32::MAX,
            ppid: u32::MAX,
            uid: u32::MAX,
            comm: &long[..limits::COMM_BYTES],
        },
    };
    let file = File { device: u32::MAX, inode: u64::MAX, path: &long, truncated: true };
    let basis = Basis { device: u32::MAX, inode: u64::MAX, ..by_tree().basis.unwrap() };
    let decision = Decision {
        verdict: Verdict::Audited,
        policy: u64::MAX,
        rule: &long[..limits::RULE_NAME_BYTES],
        glass_broken: true,
        deadman: true,
        basis: Some(basis),
    };
    for body in [
        Body::Exec { file, argv: &long, argv_truncated: true },
        Body::Rename { file, to: &long, to_truncated: true, decision },
    ] {
        let event = Event { time: u64::MAX, subject: Some(subject), body };
        assert!(encode(&event).len() <= limits::EVENT_BYTES);
    }
}

fn alert<'a>(alert: &'a str, code: &'a str, detail: &'a str) -> Body<'a> {
    Body::Alert { alert, severity: aegis_event::Severity::Info, code, sequence: 0, value: None, detail }
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
        Body::Image { code: "", epoch: 0, sequence: 0, hash, detail: text },
        Body::Workload { workload: b"", code: "", epoch: 0, sequence: 0, hash, detail: text },
        Body::Workload { workload: b"", code: text, epoch: 0, sequence: 0, hash, detail: "" },
        Body::Workload { workload: &[b'x'; 65], code: "", epoch: 0, sequence: 0, hash, detail: "" },
        alert(text, "", ""),
        alert("", text, ""),
        alert("", "", text),
        Body::Stick { code: "", detail: text },
        Body::Stick { code: text, detail: "" },
        Body::Start { version: text, clean: true },
        Body::Seal { code: text, epoch: 0 },
        Body::Config { code: "", detail: text },
        Body::Config { code: text, detail: "" },
        Body::Storage { code: "", detail: text },
        Body::Storage { code: text, detail: "" },
        Body::Measured { pcrs: &[0; limits::PCRS + 1], digests: &[] },
    ] {
        let event = Event { time: 0, subject: None, body };
        assert_eq!(event.encode(&mut [0; 2048]), Err(EncodeError::FieldTooLong), "{}", event.kind());
    }
}

#[test]
fn each_pcr_has_its_value_and_stands_in_its_place() {
    for (pcrs, digests) in [(&[7, 0][..], 64), (&[7, 7], 64), (&[7], 31), (&[7], 64), (&[], 32), (&[], 0)] {
        let body = Body::Measured { pcrs, digests: &vec![1; digests] };
        let event = Event { time: 0, subject: None, body };
        assert_eq!(event.encode(&mut [0; 2048]), Err(EncodeError::Inconsistent), "{pcrs:?} {digests}");
    }
    let all: Vec<u8> = (0..limits::PCRS as u8).collect();
    let body = Body::Measured { pcrs: &all, digests: &[9; 32 * limits::PCRS] };
    assert!(encode(&Event { time: u64::MAX, subject: None, body }).len() <= limits::EVENT_BYTES);
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
        Body::Storage { code: bad, detail: bad },
        Body::Loss { workload: bad.as_bytes(), cause: Cause::BadRecord, count: 1 },
        Body::Deadman { workload: bad.as_bytes(), sequence: 1, since: 1 },
        Body::Mount { call: Call { text: bad.as_bytes(), ..NOTHING }, decision: denied() },
        Body::Link { file: file(), to: bad.as_bytes(), to_truncated: false, decision: denied() },
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
        (
            Body::Unlink { file: file(), decision: by_tree() },
            "denied by rule no-shadow of policy 7 (tree at inode_unlink)",
        ),
        (
            Body::Rename { file: file(), to: b"/x", to_truncated: false, decision: fallen() },
            " to /x audited by rule no-shadow of policy 7 (tree at inode_unlink), deadman",
        ),
        (
            Body::SetAttr { file: file(), valid: 0x49, decision: Decision::allowed(0) },
            " mode length times allowed",
        ),
        (Body::Bind { endpoint: V6, decision: Decision::allowed(0) }, ":fefe port 53 allowed"),
        (
            Body::Mount { call: Call { number: 1, target: 2, text: b"x" }, decision: Decision::allowed(0) },
            "mount 0x1 of process 2 (x) allowed",
        ),
        (
            Body::Deadman { workload: b"demo", sequence: 7, since: 90_000_001_000 },
            "deadman demo is only audited since 90.000001, until the policy after 7",
        ),
        (Body::RingLevel { level: Level::High, percent: 70 }, "ring-level high: 70% not exported"),
        (Body::Gap(overwritten()), "gap overwritten 5 to 9, 5 so far"),
        (Body::Gap(cut()), "gap cut behind sequence 4, 1 so far"),
        (Body::Seal { code: "seal-state-lost", epoch: 7 }, "seal seal-state-lost epoch 7"),
        (Body::Config { code: "file", detail: "sync each" }, "config file (sync each)"),
        (Body::Storage { code: "ring-made", detail: "vda4" }, "storage ring-made (vda4)"),
        (
            Body::Measured { pcrs: &[7, 11], digests: &[[1; 32], [0xab; 32]].concat() },
            "measured PCR 7 0101010101010101, PCR 11 abababababababab",
        ),
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
