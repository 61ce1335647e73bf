//! `event`: bytes of the ring and of exports, as the office reads them.

use aegis_event::{
    Accounts, Basis, Body, Call, Cause, Decision, Endpoint, Event, File, Hook, Match, Mode, ModeReason,
    Operation, Place, Privileges, Process, Subject, Verdict, limits,
};

use crate::Seed;

/// What decodes encodes to the same bytes, fits its bounds, and can't drive a terminal.
pub fn run(data: &[u8]) -> bool {
    let Ok(event) = Event::decode(data) else { return false };
    let mut again = [0; limits::EVENT_BYTES];
    let length = event.encode(&mut again).expect("what was decoded fits");
    assert_eq!(&again[..length], data, "{event:?} has two encodings");
    for short in [0, length / 2, length - 1] {
        assert!(event.encode(&mut again[..short]).is_err(), "{event:?} was cut");
    }
    let text = event.to_string();
    let harmless = |c: char| matches!(c, ' '..='~' | '…') || c.is_alphanumeric();
    assert!(text.chars().all(harmless), "{text:?}");
    if let Body::Accounts(books) = event.body
        && books.balanced()
    {
        assert_eq!(books.missing(), 0);
    }
    true
}

/// An event of each kind.
pub fn seeds() -> Vec<Seed> {
    let process = Process { pid: 100, tgid: 100, ppid: 1, uid: 1000, comm: b"worker" };
    let subject = Some(Subject { workload: b"agent-7", cgroup: 77, process });
    let file = File { device: 8 << 20 | 1, inode: 1 << 33, path: b"/srv/data/f", truncated: true };
    let denied = Decision { verdict: Verdict::Denied, rule: b"no-secrets", ..Decision::allowed(4) };
    let passed = Decision { verdict: Verdict::Audited, glass_broken: true, ..denied };
    let hash = [7; 32];
    let books = Accounts { seen: 1 << 40, written: 300, ..Accounts::default() };
    let bodies = [
        ("fork", Body::Fork { child_pid: 2, child_tgid: 2 }),
        ("exec", Body::Exec { file, argv: b"sh\0-c\0true\0", argv_truncated: false }),
        ("exit", Body::Exit { status: 3, signal: 9 }),
        ("open", Body::Open { file, flags: 0o1_0001, decision: Decision::allowed(4) }),
        ("exec-check", Body::ExecCheck { file, decision: denied }),
        (
            "connect",
            Body::Connect { family: 2, protocol: 6, port: 443, address: &[10, 0, 0, 1], decision: denied },
        ),
        ("policy", Body::Policy { code: "accepted", epoch: 1, sequence: 2, hash: &hash, detail: "a.aegis" }),
        (
            "mode",
            Body::ModeChange {
                mode: Mode::Enforcing,
                reason: ModeReason::SelfTestPassed,
                epoch: 1,
                sequence: 2,
            },
        ),
        ("start", Body::Start { version: "0.1.0", clean: true }),
        ("stop", Body::Stop { signal: 15 }),
        ("loss", Body::Loss { workload: b"agent-7", cause: Cause::RingWrite, count: 70_000 }),
        ("accounts", Body::Accounts(books)),
        (
            "break-glass",
            Body::BreakGlass {
                code: "accepted",
                sequence: 1,
                until: 1 << 40,
                reason: "Wasser im Keller",
                hash: &hash,
            },
        ),
        ("root", Body::Root { code: "root-version", version: 3, epoch: 2, hash: &hash, detail: "3.cbor" }),
        ("stick", Body::Stick { code: "stick-entries", detail: "65 entries" }),
        ("image", Body::Image { code: "written", epoch: 1, sequence: 2, hash: &hash, detail: "slot b" }),
        (
            "workload",
            Body::Workload {
                workload: b"agent-7",
                code: "ended",
                epoch: 1,
                sequence: 2,
                hash: &hash,
                detail: "exit 1",
            },
        ),
        (
            "alert",
            Body::Alert {
                alert: "deny-storm",
                severity: aegis_event::Severity::Critical,
                code: "firing",
                sequence: 2,
                value: Some(-1_500),
                detail: "workload=agent-7",
            },
        ),
        (
            "policy-stale",
            Body::PolicyStale { epoch: 1, sequence: 2, expires: 1_800_000_000, now: 1_900_000_000 },
        ),
        (
            "glass-mended",
            Body::GlassMended {
                until: 1 << 40,
                passed: 3,
                mode: Mode::Enforcing,
                reason: ModeReason::SelfTestPassed,
            },
        ),
        ("passed", Body::Open { file, flags: 2, decision: passed }),
    ];
    let mut seeds: Vec<Seed> = bodies.map(|(name, body)| (name, encoded(body, subject))).into();
    seeds.extend(newer(file).map(|(name, body)| (name, encoded(body, subject))));
    seeds
}

/// What is there since ABI 4.
fn newer(file: File<'_>) -> [(&'static str, Body<'_>); 24] {
    let basis = Basis {
        operation: Operation::Change,
        hook: Hook::InodeUnlink,
        matched: Match::Tree,
        device: 8 << 20 | 1,
        inode: 1 << 34,
        policy_hash: [7; 8],
    };
    let decision =
        Decision { verdict: Verdict::Denied, rule: b"keep", basis: Some(basis), ..Decision::allowed(4) };
    let fallen = Decision { verdict: Verdict::Audited, deadman: true, ..decision };
    let endpoint = Endpoint { family: 2, socket_type: 1, protocol: 6, port: 443, address: &[10, 0, 0, 1] };
    let six = Endpoint { family: 10, address: &[9; 16], ..endpoint };
    let made = Endpoint { port: 0, address: &[], ..endpoint };
    let call = Call { number: 9, target: 300, text: b"loop.ko" };
    let place = Place { port: 443, address: &[10, 0, 0, 1] };
    let books = Accounts { seen: 7, written: 2, lost: [0, 0, 0, 0, 5] };
    [
        ("create", Body::Create { file, mode: 0o100_644, decision }),
        ("unlink", Body::Unlink { file, decision: fallen }),
        ("rename", Body::Rename { file, to: b"/srv/data/g", to_truncated: false, decision }),
        ("link", Body::Link { file, to: b"g", to_truncated: true, decision }),
        ("setattr", Body::SetAttr { file, valid: 0x49, decision }),
        ("socket", Body::Socket { endpoint: made, decision }),
        ("bind", Body::Bind { endpoint, decision }),
        ("listen", Body::Listen { endpoint: six, decision }),
        ("accept", Body::Accept { endpoint, decision }),
        ("unix-connect", Body::UnixConnect { file, decision }),
        ("ptrace", Body::Ptrace { call, decision }),
        ("module", Body::Module { call, decision }),
        ("bpf", Body::BpfCall { call, decision }),
        ("mount", Body::Mount { call, decision }),
        ("signal", Body::Signal { call, decision }),
        ("escape", Body::Escape { call, decision }),
        (
            "privilege",
            Body::Privilege {
                old: Privileges { uid: 1000, capabilities: 0 },
                new: Privileges { uid: 0, capabilities: u64::MAX },
            },
        ),
        ("volume", Body::Volume { file, read: 1 << 40, written: 1 }),
        (
            "flow",
            Body::Flow { family: 2, protocol: 6, local: place, remote: place, received: 1 << 33, sent: 2 },
        ),
        ("limited", Body::Loss { workload: b"agent-7", cause: Cause::RateLimited, count: 5 }),
        ("limited-books", Body::Accounts(books)),
        ("deadman", Body::Deadman { workload: b"agent-7", sequence: 4, since: 1 << 40 }),
        ("storage", Body::Storage { code: "data-made", detail: "vda5, 96 MiB" }),
        ("measured", Body::Measured { pcrs: &[7, 11], digests: &[7; 64] }),
    ]
}

/// An event's bytes; Aegis's own have no subject.
pub fn encoded(body: Body<'_>, subject: Option<Subject<'_>>) -> Vec<u8> {
    let subject = subject.filter(|_| body.kind().number() < 32);
    let mut out = vec![0; limits::EVENT_BYTES];
    let length = Event { time: 12_345_678_901, subject, body }.encode(&mut out).expect("a seed fits");
    out.truncate(length);
    out
}
