//! Records of the ring buffer: what the probes write is read, everything else is refused, nothing panics.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test ends at its first surprise")]

use aegis_event::Verdict;
use aegis_probes::{BadRecord, Raw, Record, abi};
use zerocopy::{FromZeros, IntoBytes};

/// A record in memory, aligned as in the ring buffer.
struct Bytes {
    words: Vec<u64>,
    length: usize,
}

impl Bytes {
    fn of(record: &(impl IntoBytes + zerocopy::Immutable)) -> Self {
        Self::of_slice(record.as_bytes())
    }

    fn of_slice(bytes: &[u8]) -> Self {
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        words.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        Self { words, length: bytes.len() }
    }

    fn as_slice(&self) -> &[u8] {
        &self.words.as_bytes()[..self.length]
    }
}

fn head<T>(kind: u16) -> abi::Head {
    let mut head = abi::Head::new_zeroed();
    head.kind = kind;
    head.length = u16::try_from(size_of::<T>()).unwrap();
    head.comm[..3].copy_from_slice(b"cat");
    head.pid = 7;
    head
}

fn access(kind: u16) -> abi::Access {
    let mut access = abi::Access::new_zeroed();
    access.head = head::<abi::Access>(kind);
    access.head.verdict = abi::DENIED;
    access.head.rule = 3;
    access.decision.rule.name[..9].copy_from_slice(b"no-shadow");
    access.file.inode = 42;
    access.file.device = 8 << 20 | 1;
    access.file.path[..4].copy_from_slice(b"/a/b");
    access.file.path_length = 4;
    access.file.flags = 0o101;
    access
}

fn exec() -> abi::Exec {
    let mut exec = abi::Exec::new_zeroed();
    exec.head = head::<abi::Exec>(abi::EXEC);
    exec.head.flags = abi::PATH_TRUNCATED;
    exec.file.path.fill(b'p');
    exec.file.path_length = abi::PATH_MAX as u16;
    exec.argv[..4].copy_from_slice(b"a\0b\0");
    exec.file.argv_length = 4;
    exec
}

#[test]
fn every_kind_is_read() {
    let bytes = Bytes::of(&access(abi::OPEN));
    let record = Record::parse(bytes.as_slice()).unwrap();
    assert_eq!((record.comm(), record.verdict, record.head.pid), (&b"cat"[..], Verdict::Denied, 7));
    assert_eq!(record.rule, b"no-shadow");
    assert!(matches!(record.raw, Raw::Open { file, flags: 0o101 }
        if file.path == b"/a/b" && file.inode == 42 && !file.truncated));

    let bytes = Bytes::of(&access(abi::EXEC_CHECK));
    assert!(
        matches!(Record::parse(bytes.as_slice()).unwrap().raw, Raw::ExecCheck { file } if file.device == 8 << 20 | 1)
    );

    let mut longest = access(abi::OPEN);
    longest.decision.rule.name.fill(b'r');
    let bytes = Bytes::of(&longest);
    assert_eq!(Record::parse(bytes.as_slice()).unwrap().rule, [b'r'; abi::RULE_NAME_MAX]);

    let bytes = Bytes::of(&exec());
    assert!(
        matches!(Record::parse(bytes.as_slice()).unwrap().raw, Raw::Exec { file, argv, argv_truncated: false }
        if argv == b"a\0b\0" && file.path.len() == 256 && file.truncated)
    );

    let mut fork = abi::Fork::new_zeroed();
    fork.head = head::<abi::Fork>(abi::FORK);
    (fork.child_pid, fork.child_tgid) = (8, 9);
    let bytes = Bytes::of(&fork);
    assert_eq!(Record::parse(bytes.as_slice()).unwrap().raw, Raw::Fork { child_pid: 8, child_tgid: 9 });

    for (code, status, signal) in [(7 << 8, 7, 0), (9, 0, 9), (0x8b, 0, 11), (255 << 8, 255, 0)] {
        let mut exit = abi::Exit::new_zeroed();
        exit.head = head::<abi::Exit>(abi::EXIT);
        exit.code = code;
        let bytes = Bytes::of(&exit);
        assert_eq!(Record::parse(bytes.as_slice()).unwrap().raw, Raw::Exit { status, signal });
    }

    for (family, length) in [(2, 4), (10, 16)] {
        let mut connect = abi::Network::new_zeroed();
        connect.head = head::<abi::Network>(abi::CONNECT);
        (connect.family, connect.port, connect.protocol) = (family, 443, 6);
        let bytes = Bytes::of(&connect);
        assert!(
            matches!(Record::parse(bytes.as_slice()).unwrap().raw, Raw::Connect { port: 443, protocol: 6, address, .. }
            if address.len() == length)
        );
    }

    let mut note = abi::NoteRecord::new_zeroed();
    note.head = head::<abi::NoteRecord>(abi::NOTE);
    note.note[0] = 0xa2;
    note.note_length = 1;
    let bytes = Bytes::of(&note);
    assert_eq!(Record::parse(bytes.as_slice()).unwrap().raw, Raw::Note(&[0xa2]));
}

#[test]
fn what_the_probes_never_write_is_refused() {
    type Spoil = fn(&mut abi::Exec);
    let cases: &[(Spoil, BadRecord)] = &[
        (|exec| exec.head.kind = 0, BadRecord::Kind),
        (|exec| exec.head.kind = 33, BadRecord::Kind),
        (|exec| exec.head.kind = abi::OPEN, BadRecord::Length),
        (|exec| exec.head.length -= 1, BadRecord::Length),
        (|exec| exec.head.verdict = 3, BadRecord::Field),
        (|exec| exec.head.flags = 16, BadRecord::Field),
        (|exec| exec.head.flags = abi::GLASS_BROKEN, BadRecord::Field),
        (|exec| exec.head.set = 2, BadRecord::Field),
        (|exec| exec.head.slot = 256, BadRecord::Field),
        (|exec| exec.head.rule = 1, BadRecord::Field),
        (|exec| exec.file.path_length = 257, BadRecord::Bounds),
        (|exec| exec.file.argv_length = 257, BadRecord::Bounds),
    ];
    for (index, (spoil, expected)) in cases.iter().enumerate() {
        let mut record = exec();
        spoil(&mut record);
        let bytes = Bytes::of(&record);
        assert_eq!(Record::parse(bytes.as_slice()).unwrap_err(), *expected, "case {index}");
    }
    for kind in [abi::OPEN, abi::EXEC_CHECK] {
        let (mut nameless, mut ruleless) = (access(kind), access(kind));
        nameless.decision.rule = abi::RuleName::new_zeroed();
        ruleless.head.rule = 0;
        for record in [nameless, ruleless] {
            assert_eq!(Record::parse(Bytes::of(&record).as_slice()).unwrap_err(), BadRecord::Field);
        }
    }
    for verdict in [abi::ALLOWED, abi::DENIED] {
        let mut record = access(abi::OPEN);
        (record.head.verdict, record.head.flags) = (verdict, abi::GLASS_BROKEN);
        assert_eq!(Record::parse(Bytes::of(&record).as_slice()).unwrap_err(), BadRecord::Field);
    }
    let mut note = abi::NoteRecord::new_zeroed();
    note.head = head::<abi::NoteRecord>(abi::NOTE);
    note.note_length = 513;
    assert_eq!(Record::parse(Bytes::of(&note).as_slice()).unwrap_err(), BadRecord::Bounds);
    let mut connect = abi::Network::new_zeroed();
    connect.head = head::<abi::Network>(abi::CONNECT);
    connect.family = 1;
    assert_eq!(Record::parse(Bytes::of(&connect).as_slice()).unwrap_err(), BadRecord::Field);
}

#[test]
fn what_passed_only_because_the_glass_is_broken_is_told_apart() {
    for kind in [abi::OPEN, abi::EXEC_CHECK] {
        let mut record = access(kind);
        record.head.verdict = abi::AUDITED;
        for flags in [0, abi::GLASS_BROKEN, abi::GLASS_BROKEN | abi::PATH_TRUNCATED] {
            record.head.flags = flags;
            let bytes = Bytes::of(&record);
            let record = Record::parse(bytes.as_slice()).unwrap();
            assert_eq!((record.glass_broken, record.verdict), (flags != 0, Verdict::Audited));
        }
    }
}

/// A note of any kind, as long as it gets, has room: what a command has to say is never refused for its length.
#[test]
fn the_longest_notes_fit() {
    use aegis_event::{Body, Event, Mode, ModeReason, limits};
    let longest = "x".repeat(limits::DETAIL_BYTES);
    let (text, hash, most) = (longest.as_str(), &[0xff; 32], u64::MAX);
    let notes = [
        Body::Policy { code: text, epoch: most, sequence: most, hash, detail: text },
        Body::ModeChange {
            mode: Mode::Enforcing,
            reason: ModeReason::BrokenGlass,
            epoch: most,
            sequence: most,
        },
        Body::BreakGlass { code: text, sequence: most, until: most, reason: text, hash },
        Body::Root { code: text, version: most, epoch: most, hash, detail: text },
        Body::Stick { code: text, detail: text },
        Body::PolicyStale { epoch: most, sequence: most, expires: most, now: most },
    ];
    let counted = aegis_event::Kind::ALL.iter().filter(|kind| (32..48).contains(&kind.number()));
    assert!(counted.eq(&notes.map(|body| body.kind())), "every kind of note is tried");
    for body in notes {
        let event = Event { time: most, subject: None, body };
        let mut bytes = [0; limits::EVENT_BYTES];
        let length = event.encode(&mut bytes).unwrap();
        assert!(length <= abi::NOTE_MAX, "{}: {length} bytes", event.kind());
    }
}

#[test]
fn every_cut_is_refused() {
    let whole = Bytes::of(&exec());
    for length in 0..whole.length {
        let cut = Bytes::of_slice(&whole.as_slice()[..length]);
        assert_eq!(Record::parse(cut.as_slice()).unwrap_err(), BadRecord::Length, "cut to {length}");
    }
}

#[test]
fn the_object_holds_the_programs() {
    let holds = |name: &str| {
        aegis_probes::OBJECT.windows(name.len() + 2).any(|w| w == [b"\0", name.as_bytes(), b"\0"].concat())
    };
    assert_eq!(&aegis_probes::OBJECT[..4], b"\x7fELF");
    assert_eq!(aegis_probes::OBJECT.as_ptr() as usize % 32, 0);
    for hook in aegis_probes::HOOKS {
        assert!(holds(hook.program.name), "{}", hook.program.name);
        assert!(hook.watch.is_none_or(|watch| holds(watch.name)), "{:?}", hook.watch);
    }
    assert!(holds(aegis_probes::NOTE_PROGRAM));
    assert!(!holds("no_such_program"));
}
