//! What people and JSON are shown of an event: every kind as its line and as its fields, held against `golden/shown.txt`
//! (`AEGIS_GOLDEN=write` writes it anew: then look at the difference in git).
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::fmt::{Debug, Display, Write as _};

use aegis_event::{
    Accounts, Body, Call, Cause, DecodeError, EncodeError, Event, Field, GapCause, Kind, Level, Mode,
    ModeReason, Printable, Severity, Thousandths, Verdict, arguments,
};
use common::*;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/shown.txt");

/// Events beside one of each kind: what their lines say in other words.
fn others() -> Vec<Event<'static>> {
    let seen = |body| Event { time: 1_999, subject: Some(subject()), body };
    let open = |flags, decision| seen(Body::Open { file: file(), flags, decision });
    let call = |number, target| Call { number, target, text: b"" };
    vec![
        seen(Body::Exit { status: 0, signal: 9 }),
        seen(Body::Exec { file: file(), argv: b"", argv_truncated: true }),
        seen(Body::Exec { file: file(), argv: b"a\0\0b\xff\x1b[2J\0", argv_truncated: true }),
        open(2, by_tree()),
        open(3, fallen()),
        seen(Body::Connect { family: 1, protocol: 0, port: 0, address: &[], decision: let_pass() }),
        seen(Body::Bind { endpoint: V4, decision: let_in() }),
        seen(Body::SetAttr { file: file(), valid: 0x7f, decision: denied() }),
        seen(Body::Ptrace { call: call(1, 300), decision: denied() }),
        seen(Body::Mount { call: call(0, 0), decision: denied() }),
        Event {
            time: 0,
            subject: None,
            body: Body::Loss { workload: b"", cause: Cause::RateLimited, count: 1 },
        },
    ]
}

/// A field as text that tells its kind, too.
fn written(field: Field<'_>) -> String {
    match field {
        Field::Number(number) => number.to_string(),
        Field::Flag(flag) => flag.to_string(),
        Field::Text(text) => format!("{text:?}"),
        Field::Bytes(bytes, hex) => format!("\"{}\" else {hex}", bytes.escape_ascii()),
        Field::Digest(bytes) => format!("digest {bytes:02x?}"),
        Field::Address(bytes) => format!("address {bytes:?}"),
        Field::Arguments(argv) => {
            format!("{:?}", arguments(argv).map(|one| one.escape_ascii().to_string()).collect::<Vec<_>>())
        }
        Field::Losses(lost) => format!("losses {lost:?}"),
        Field::Thousandths(number) => format!("thousandths {number}"),
        Field::Measured(pcrs, digests) => format!("measured {pcrs:?}, {} bytes", digests.len()),
    }
}

#[test]
fn every_kind_is_shown_as_it_was() {
    let mut shown = String::new();
    for event in every_kind().iter().chain(&others()) {
        writeln!(shown, "{event}").unwrap();
        event.fields(&mut |name, field| writeln!(shown, "    {name}: {}", written(field)).unwrap());
    }
    if std::env::var_os("AEGIS_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(GOLDEN, &shown).unwrap();
    }
    let kept = std::fs::read_to_string(GOLDEN).unwrap();
    for (now, was) in shown.lines().zip(kept.lines()) {
        assert_eq!(now, was);
    }
    assert_eq!(shown.len(), kept.len());
}

/// Nothing that came from outside drives a terminal, and nothing is said twice or by two names.
#[test]
fn a_line_is_one_line_and_fields_have_one_name_each() {
    for event in every_kind().iter().chain(&others()) {
        let line = event.to_string();
        assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
        assert!(line.contains(event.kind().name()), "{line}");
        let mut names = BTreeSet::new();
        event.fields(&mut |name, field| {
            assert!(names.insert(name), "{name} twice: {line}");
            if let Field::Bytes(_, hex) = field {
                assert_eq!(hex.strip_suffix("_hex"), Some(name), "{line}");
            }
        });
        assert!(names.contains("time_ns") && names.contains("kind"));
        assert_eq!(names.contains("verdict"), event.verdict().is_some(), "{line}");
        assert_eq!(names.contains("pid"), event.subject.is_some(), "{line}");
    }
}

#[test]
fn names_lead_back_to_what_they_are_of() {
    fn each<T: Copy + PartialEq + Debug + Display>(
        all: &[T],
        name: impl Fn(T) -> &'static str,
        from: impl Fn(&str) -> Option<T>,
    ) {
        for one in all {
            assert_eq!(from(name(*one)), Some(*one));
            assert_eq!(one.to_string(), name(*one));
        }
        assert_eq!(from("no such"), None);
    }
    each(Kind::ALL, Kind::name, Kind::from_name);
    each(Cause::ALL, Cause::name, Cause::from_name);
    each(Level::ALL, Level::name, Level::from_name);
    each(Verdict::ALL, Verdict::name, Verdict::from_name);
    each(Mode::ALL, Mode::name, Mode::from_name);
    each(ModeReason::ALL, ModeReason::name, ModeReason::from_name);
    each(GapCause::ALL, GapCause::name, GapCause::from_name);
    each(Severity::ALL, Severity::name, Severity::from_name);
}

/// `events seen by the kernel = events on disk + losses`, also with numbers that no kernel counts to.
#[test]
fn books_balance_or_say_what_is_missing() {
    let books = |seen, written, lost| Accounts { seen, written, lost };
    for (of, balanced, missing) in [
        (books(10, 7, [1, 0, 2, 0, 0]), true, 0),
        (books(10, 6, [1, 0, 2, 0, 0]), false, 1),
        (books(10, 8, [1, 0, 2, 0, 0]), false, 0),
        (books(u64::MAX, u64::MAX, [0; 5]), true, 0),
        (books(u64::MAX, u64::MAX, [1, 0, 0, 0, 0]), false, 0),
        (books(u64::MAX, 0, [u64::MAX, 1, 0, 0, 0]), true, 0),
    ] {
        assert_eq!((of.balanced(), of.missing()), (balanced, missing), "{of:?}");
    }
}

#[test]
fn bytes_of_others_are_made_harmless() {
    for (bytes, shown) in [
        (&b"plain /path"[..], "plain /path"),
        (b"\x1b[2J\n\r\0", "\\x1b[2J\\x0a\\x0d\\x00"),
        (b"back\\slash", "back\\\\slash"),
        ("gr\u{fc}\u{df}e \u{202e}x".as_bytes(), "gr\u{fc}\u{df}e \\xe2\\x80\\xaex"),
        (b"\xff\xc3(", "\\xff\\xc3("),
        (b"", ""),
    ] {
        assert_eq!(Printable(bytes).to_string(), shown);
    }
    for (number, shown) in
        [(0, "0"), (-12_500, "-12.5"), (1_001, "1.001"), (-1, "-0.001"), (i64::MIN, "-9223372036854775.808")]
    {
        assert_eq!(Thousandths(number).to_string(), shown);
    }
}

#[test]
fn errors_are_one_line_each_and_differ() {
    let decoding =
        [DecodeError::TooLong, DecodeError::Malformed, DecodeError::Unknown, DecodeError::NotCanonical];
    let encoding =
        [EncodeError::NoRoom, EncodeError::FieldTooLong, EncodeError::NotAudited, EncodeError::Inconsistent];
    let all: BTreeSet<String> = decoding
        .map(|error| error.to_string())
        .into_iter()
        .chain(encoding.map(|error| error.to_string()))
        .collect();
    assert_eq!(all.len(), decoding.len() + encoding.len());
    assert!(all.iter().all(|text| !text.is_empty() && !text.contains('\n')));
}
