//! The encoding is one: what decodes encodes to the same bytes, and nothing else decodes.
#![allow(clippy::unwrap_used)]

use aegis_event::{
    Accounts, Body, Cause, Decision, DecodeError, EncodeError, Event, File, Kind, Mode, ModeReason, Process,
    Subject, Verdict, limits,
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
    Decision { verdict: Verdict::Denied, policy: 7, rule: b"no-shadow" }
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
        seen(Body::ExecCheck { file: file(), decision: denied() }),
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
        said(Body::Start { version: "0.1.0", clean: true }),
        said(Body::Stop { signal: 15 }),
        said(Body::Loss { workload: b"demo", cause: Cause::KernelRingFull, count: 3 }),
        said(Body::Accounts(Accounts { seen: 10, written: 7, lost: [3, 0, 0, 0] })),
    ]
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
fn an_event_shown_to_a_person_drives_no_terminal() {
    let body = Body::ExecCheck {
        file: File { path: b"/tmp/\x1b[2J\n\xc2\x9b\xff", ..file() },
        decision: Decision { rule: b"\x07", ..denied() },
    };
    let line = Event { time: 0, subject: Some(subject()), body }.to_string();
    assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line:?}");
    assert!(line.contains("/tmp/\\x1b[2J\\x0a\\xc2\\x9b\\xff"), "{line}");
}

proptest! {
    #[test]
    fn what_decodes_is_canonical(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(event) = Event::decode(&bytes) {
            prop_assert_eq!(encode(&event), bytes);
        }
    }

    #[test]
    fn a_changed_byte_never_panics_and_never_lies(which in 0usize..13, at in any::<prop::sample::Index>(), to: u8) {
        let good = encode(&every_kind()[which]);
        let mut bytes = good.clone();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(event) = Event::decode(&bytes) {
            prop_assert_eq!(encode(&event), bytes);
        }
    }
}
