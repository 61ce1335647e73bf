//! Records of the ring buffer: what the probes write is read, everything else is refused, nothing panics.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test ends at its first surprise")]

use aegis_event::{
    Basis, Body, Call, Decision, Endpoint, File, Hook, Match, Operation, Place, Privileges, Verdict,
};
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

/// A denial by rule `no-shadow`, of a directory above.
fn decision() -> abi::Decision {
    let mut decision = abi::Decision {
        operation: abi::OP_CHANGE as u8,
        hook: abi::HOOK_INODE_UNLINK as u8,
        matched: abi::MATCH_TREE,
        device: 8 << 20 | 1,
        inode: 41,
        policy_hash: [7; 8],
        ..abi::Decision::default()
    };
    decision.rule.name[..9].copy_from_slice(b"no-shadow");
    decision
}

/// The same, as an event has it.
fn decided() -> Decision<'static> {
    let basis = Basis {
        operation: Operation::Change,
        hook: Hook::InodeUnlink,
        matched: Match::Tree,
        device: 8 << 20 | 1,
        inode: 41,
        policy_hash: [7; 8],
    };
    Decision { verdict: Verdict::Denied, rule: b"no-shadow", basis: Some(basis), ..Decision::allowed(5) }
}

fn denied<T>(kind: u16) -> abi::Head {
    abi::Head { verdict: abi::DENIED, rule: 3, policy: 5, ..head::<T>(kind) }
}

fn file_record() -> abi::FileRecord {
    let mut file = abi::FileRecord::new_zeroed();
    file.inode = 42;
    file.device = 8 << 20 | 1;
    file.path[..4].copy_from_slice(b"/a/b");
    file.path_length = 4;
    file.flags = 0o101;
    file
}

fn access(kind: u16) -> abi::Access {
    abi::Access { head: denied::<abi::Access>(kind), decision: decision(), file: file_record() }
}

fn network(kind: u16, family: u16) -> abi::Network {
    let mut network = abi::Network::new_zeroed();
    network.head = denied::<abi::Network>(kind);
    network.decision = decision();
    (network.family, network.protocol, network.kind) = (family, 6, 1);
    network.port = if kind == abi::SOCKET { 0 } else { 443 };
    network.address.fill(9);
    network
}

fn surface(kind: u16) -> abi::Surface {
    let mut surface = abi::Surface::new_zeroed();
    surface.head = denied::<abi::Surface>(kind);
    surface.decision = decision();
    (surface.number, surface.target, surface.text_length) = (5, 300, 2);
    surface.text.fill(b't');
    surface
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

fn read(record: &(impl IntoBytes + zerocopy::Immutable), expected: &Body<'_>) {
    let bytes = Bytes::of(record);
    let record = Record::parse(bytes.as_slice()).unwrap();
    assert_eq!((record.comm(), record.head.pid), (&b"cat"[..], 7));
    assert_eq!(record.raw, Raw::Seen(*expected));
}

#[test]
fn every_access_is_read() {
    let (file, decision) =
        (File { inode: 42, device: 8 << 20 | 1, path: b"/a/b", truncated: false }, decided());
    for (kind, body) in [
        (abi::OPEN, Body::Open { file, flags: 0o101, decision }),
        (abi::EXEC_CHECK, Body::ExecCheck { file, decision }),
        (abi::CREATE, Body::Create { file, mode: 0o101, decision }),
        (abi::UNLINK, Body::Unlink { file, decision }),
        (abi::SETATTR, Body::SetAttr { file, valid: 0o101, decision }),
        (abi::UNIX_CONNECT, Body::UnixConnect { file, decision }),
    ] {
        read(&access(kind), &body);
    }

    for (kind, to_truncated) in [(abi::RENAME, false), (abi::LINK, true)] {
        let mut record = abi::Rename::new_zeroed();
        (record.head, record.decision, record.file) =
            (denied::<abi::Rename>(kind), self::decision(), file_record());
        (record.to_length, record.to_truncated) = (2, u16::from(to_truncated));
        record.to.fill(b't');
        let body = match kind {
            abi::RENAME => Body::Rename { file, to: b"tt", to_truncated, decision },
            _ => Body::Link { file, to: b"tt", to_truncated, decision },
        };
        read(&record, &body);
    }

    let mut longest = access(abi::OPEN);
    longest.decision.rule.name.fill(b'r');
    let decision = Decision { rule: &[b'r'; abi::RULE_NAME_MAX], ..decision };
    read(&longest, &Body::Open { file, flags: 0o101, decision });
}

#[test]
fn every_end_of_a_connection_is_read() {
    let decision = decided();
    for (family, address) in [(2, &[9; 4][..]), (10, &[9; 16]), (16, &[])] {
        let end = Endpoint { family, socket_type: 1, protocol: 6, port: 443, address };
        let connect = Body::Connect { family, protocol: 6, port: 443, address, decision };
        for (kind, body) in [
            (abi::CONNECT, connect),
            (abi::SOCKET, Body::Socket { endpoint: Endpoint { port: 0, address: &[], ..end }, decision }),
            (abi::BIND, Body::Bind { endpoint: end, decision }),
            (abi::LISTEN, Body::Listen { endpoint: end, decision }),
            (abi::ACCEPT, Body::Accept { endpoint: end, decision }),
        ] {
            read(&network(kind, family), &body);
        }

        let mut flow = abi::Flow::new_zeroed();
        flow.head = head::<abi::Flow>(abi::FLOW);
        (flow.family, flow.protocol, flow.local_port, flow.remote_port) = (family, 6, 40_000, 443);
        (flow.local, flow.remote, flow.received, flow.sent) = ([9; 16], [9; 16], u64::MAX, 1);
        let (local, remote) = (Place { port: 40_000, address }, Place { port: 443, address });
        read(&flow, &Body::Flow { family, protocol: 6, local, remote, received: u64::MAX, sent: 1 });
    }
}

#[test]
fn every_call_is_read() {
    let (call, decision) = (Call { number: 5, target: 300, text: b"tt" }, decided());
    for (kind, body) in [
        (abi::PTRACE, Body::Ptrace { call, decision }),
        (abi::MODULE, Body::Module { call, decision }),
        (abi::BPF, Body::BpfCall { call, decision }),
        (abi::MOUNT, Body::Mount { call, decision }),
        (abi::SIGNAL, Body::Signal { call, decision }),
        (abi::ESCAPE, Body::Escape { call, decision }),
    ] {
        read(&surface(kind), &body);
    }
}

#[test]
fn what_is_not_decided_is_read() {
    let program = File { inode: 0, device: 0, path: &[b'p'; 256], truncated: true };
    read(&exec(), &Body::Exec { file: program, argv: b"a\0b\0", argv_truncated: false });

    let mut fork = abi::Fork::new_zeroed();
    fork.head = head::<abi::Fork>(abi::FORK);
    (fork.child_pid, fork.child_tgid) = (8, 9);
    read(&fork, &Body::Fork { child_pid: 8, child_tgid: 9 });

    for (code, status, signal) in [(7 << 8, 7, 0), (9, 0, 9), (0x8b, 0, 11), (255 << 8, 255, 0)] {
        let mut exit = abi::Exit::new_zeroed();
        exit.head = head::<abi::Exit>(abi::EXIT);
        exit.code = code;
        read(&exit, &Body::Exit { status, signal });
    }

    let mut change = abi::Privilege::new_zeroed();
    change.head = head::<abi::Privilege>(abi::PRIVILEGE);
    (change.old_uid, change.new_uid, change.old_caps, change.new_caps) = (1000, 0, 1, u64::MAX);
    let (old, new) =
        (Privileges { uid: 1000, capabilities: 1 }, Privileges { uid: 0, capabilities: u64::MAX });
    read(&change, &Body::Privilege { old, new });

    let mut volume = abi::Volume::new_zeroed();
    volume.head = head::<abi::Volume>(abi::VOLUME);
    (volume.file, volume.read, volume.written) = (file_record(), u64::MAX, 3);
    let file = File { inode: 42, device: 8 << 20 | 1, path: b"/a/b", truncated: false };
    read(&volume, &Body::Volume { file, read: u64::MAX, written: 3 });

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
        (|exec| exec.head.kind = 26, BadRecord::Kind),
        (|exec| exec.head.kind = 33, BadRecord::Kind),
        (|exec| exec.head.kind = 48, BadRecord::Kind),
        (|exec| exec.head.kind = 256, BadRecord::Kind),
        (|exec| exec.head.verdict = abi::DENIED, BadRecord::Field),
        (|exec| exec.head.flags = abi::DEADMAN, BadRecord::Field),
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
    let spoils: &[fn(&mut abi::Access)] = &[
        |access| access.decision.rule = abi::RuleName::default(),
        |access| access.head.rule = 0,
        |access| access.decision.operation = 5,
        |access| access.decision.operation = 22,
        |access| access.decision.hook = 30,
        |access| access.decision.matched = abi::MATCH_NONE,
        |access| access.decision.matched = 10,
        |access| access.head.flags = abi::GLASS_BROKEN,
        |access| access.head.flags = abi::DEADMAN,
        |access| (access.head.verdict, access.head.flags) = (abi::ALLOWED, abi::DEADMAN),
        // No rule, and yet something of a match.
        |access| {
            (access.head.rule, access.decision.rule) = (0, abi::RuleName::default());
            (access.decision.matched, access.decision.device, access.decision.policy_hash) = (0, 0, [0; 8]);
        },
        |access| {
            access.head.rule = 0;
            access.decision = abi::Decision { policy_hash: [1; 8], ..abi::Decision::default() };
        },
    ];
    for kind in [abi::OPEN, abi::EXEC_CHECK, abi::UNIX_CONNECT] {
        for (index, spoil) in spoils.iter().enumerate() {
            let mut record = access(kind);
            spoil(&mut record);
            assert_eq!(
                Record::parse(Bytes::of(&record).as_slice()).unwrap_err(),
                BadRecord::Field,
                "case {index}"
            );
        }
    }
    let mut note = abi::NoteRecord::new_zeroed();
    note.head = head::<abi::NoteRecord>(abi::NOTE);
    note.note_length = 513;
    assert_eq!(Record::parse(Bytes::of(&note).as_slice()).unwrap_err(), BadRecord::Bounds);
    let mut text = surface(abi::MOUNT);
    text.text_length = 65;
    assert_eq!(Record::parse(Bytes::of(&text).as_slice()).unwrap_err(), BadRecord::Bounds);
    let mut made = network(abi::SOCKET, 2);
    made.port = 1;
    assert_eq!(Record::parse(Bytes::of(&made).as_slice()).unwrap_err(), BadRecord::Field);
}

/// No rule: what is known of the operation and hook is not part of an event.
#[test]
fn what_no_rule_matched_is_allowed() {
    let mut record = access(abi::UNLINK);
    (record.head.rule, record.head.verdict) = (0, abi::ALLOWED);
    let (operation, hook) = (abi::OP_CHANGE as u8, abi::HOOK_INODE_UNLINK as u8);
    record.decision = abi::Decision { operation, hook, ..abi::Decision::default() };
    let file = File { inode: 42, device: 8 << 20 | 1, path: b"/a/b", truncated: false };
    read(&record, &Body::Unlink { file, decision: Decision::allowed(5) });
}

/// An allow rule is named, and so is what it allowed.
#[test]
fn what_a_rule_allows_names_it() {
    let mut record = access(abi::UNLINK);
    record.head.verdict = abi::ALLOWED;
    let file = File { inode: 42, device: 8 << 20 | 1, path: b"/a/b", truncated: false };
    read(&record, &Body::Unlink { file, decision: Decision { verdict: Verdict::Allowed, ..decided() } });
}

#[test]
fn what_passed_only_because_of_glass_or_deadman_is_told_apart() {
    for kind in [abi::OPEN, abi::EXEC_CHECK] {
        let mut record = access(kind);
        record.head.verdict = abi::AUDITED;
        for flags in [0, abi::GLASS_BROKEN, abi::DEADMAN, abi::GLASS_BROKEN | abi::DEADMAN] {
            record.head.flags = flags | abi::PATH_TRUNCATED;
            let bytes = Bytes::of(&record);
            let Raw::Seen(body) = Record::parse(bytes.as_slice()).unwrap().raw else { panic!("a note") };
            let decision = body.decision().unwrap();
            let marks = (decision.glass_broken, decision.deadman);
            assert_eq!(marks, (flags & abi::GLASS_BROKEN != 0, flags & abi::DEADMAN != 0));
            assert_eq!(decision.verdict, Verdict::Audited);
        }
    }
}

/// A note of any kind, as long as it gets, has room: what a command has to say is never refused for its length.
#[test]
fn the_longest_notes_fit() {
    use aegis_event::{Event, Mode, ModeReason, limits};
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
        Body::Image { code: text, epoch: most, sequence: most, hash, detail: text },
        Body::Workload {
            workload: &[b'x'; limits::WORKLOAD_BYTES],
            code: &text[..limits::CODE_BYTES],
            epoch: most,
            sequence: most,
            hash,
            detail: text,
        },
        Body::Alert {
            alert: &text[..limits::ALERT_BYTES],
            severity: aegis_event::Severity::Critical,
            code: &text[..limits::CODE_BYTES],
            sequence: most,
            value: Some(i64::MIN),
            detail: text,
        },
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
    let object = miniz_oxide::inflate::decompress_to_vec(aegis_probes::OBJECT).unwrap();
    let holds =
        |name: &str| object.windows(name.len() + 2).any(|w| w == [b"\0", name.as_bytes(), b"\0"].concat());
    assert_eq!((&object[..4], object.len()), (&b"\x7fELF"[..], aegis_probes::OBJECT_BYTES));
    for hook in aegis_probes::HOOKS {
        for program in hook.programs {
            assert!(holds(program.name), "{}", program.name);
        }
    }
    assert!(holds(aegis_probes::NOTE_PROGRAM));
    assert!(!holds("no_such_program"));
}
