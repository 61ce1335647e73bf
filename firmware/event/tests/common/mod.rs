//! One event of every kind, and what they are made of.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "each test file takes what it needs")]

use aegis_event::{
    Accounts, Basis, Body, Call, Cause, Decision, Endpoint, Event, File, Gap, GapCause, Hook, Level, Match,
    Mode, ModeReason, Operation, Place, Privileges, Process, Subject, Verdict, limits,
};

pub fn subject() -> Subject<'static> {
    Subject {
        workload: b"demo",
        cgroup: 4711,
        process: Process { pid: 12, tgid: 12, ppid: 1, uid: 0, comm: b"cat" },
    }
}

pub fn file() -> File<'static> {
    File { device: 0x0fe0_0001, inode: 99, path: b"/etc/\xffshadow", truncated: false }
}

pub fn denied() -> Decision<'static> {
    Decision { verdict: Verdict::Denied, rule: b"no-shadow", ..Decision::allowed(7) }
}

/// Not denied, because the glass was broken.
pub fn let_pass() -> Decision<'static> {
    Decision { verdict: Verdict::Audited, glass_broken: true, ..denied() }
}

/// As the kernel tells it since ABI 4.
pub fn by_tree() -> Decision<'static> {
    let basis = Basis {
        operation: Operation::Change,
        hook: Hook::InodeUnlink,
        matched: Match::Tree,
        device: 0x0fe0_0001,
        inode: 98,
        policy_hash: [0xab; 8],
    };
    Decision { basis: Some(basis), ..denied() }
}

/// Not denied, because the deadman had fallen.
pub fn fallen() -> Decision<'static> {
    Decision { verdict: Verdict::Audited, deadman: true, ..by_tree() }
}

/// An allow rule.
pub fn let_in() -> Decision<'static> {
    Decision { verdict: Verdict::Allowed, ..by_tree() }
}

pub const V4: Endpoint<'_> =
    Endpoint { family: 2, socket_type: 1, protocol: 6, port: 443, address: &[127, 0, 0, 1] };
pub const V6: Endpoint<'_> =
    Endpoint { family: 10, socket_type: 2, protocol: 17, port: 53, address: &[0xfe; 16] };
pub const NETLINK: Endpoint<'_> = Endpoint { family: 16, socket_type: 3, protocol: 0, port: 0, address: &[] };
pub const MADE: Endpoint<'_> = Endpoint { port: 0, address: &[], ..V4 };

pub const NOTHING: Call<'_> = Call { number: 0, target: 0, text: &[] };

/// One event of every kind.
pub fn every_kind() -> Vec<Event<'static>> {
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
        seen(Body::Create { file: file(), mode: 0o100_644, decision: fallen() }),
        seen(Body::Unlink { file: file(), decision: by_tree() }),
        seen(Body::Rename { file: file(), to: b"/tmp/\xff", to_truncated: false, decision: by_tree() }),
        seen(Body::Link { file: file(), to: b"x", to_truncated: true, decision: let_in() }),
        seen(Body::SetAttr { file: file(), valid: 0x49, decision: denied() }),
        seen(Body::Socket { endpoint: MADE, decision: Decision::allowed(0) }),
        seen(Body::Socket { endpoint: NETLINK, decision: Decision::allowed(0) }),
        seen(Body::Bind { endpoint: V6, decision: by_tree() }),
        seen(Body::Bind { endpoint: NETLINK, decision: Decision::allowed(1) }),
        seen(Body::Listen { endpoint: V4, decision: fallen() }),
        seen(Body::Accept { endpoint: V6, decision: Decision::allowed(u64::MAX) }),
        seen(Body::UnixConnect { file: file(), decision: by_tree() }),
        seen(Body::Ptrace { call: Call { number: 2, target: 1, ..NOTHING }, decision: by_tree() }),
        seen(Body::Module { call: Call { number: 2, text: b"loop.ko", ..NOTHING }, decision: by_tree() }),
        seen(Body::BpfCall { call: Call { number: 5, ..NOTHING }, decision: by_tree() }),
        seen(Body::Mount {
            call: Call { number: u32::MAX, text: b"\xfftmpfs", ..NOTHING },
            decision: let_in(),
        }),
        seen(Body::Signal { call: Call { number: 9, target: 300, ..NOTHING }, decision: by_tree() }),
        seen(Body::Escape { call: NOTHING, decision: by_tree() }),
        seen(Body::Privilege {
            old: Privileges { uid: 1000, capabilities: 0 },
            new: Privileges { uid: 0, capabilities: u64::MAX },
        }),
        seen(Body::Volume { file: file(), read: 1 << 40, written: 0 }),
        seen(Body::Flow {
            family: 2,
            protocol: 6,
            local: Place { port: 40_000, address: &[10, 0, 0, 1] },
            remote: Place { port: 443, address: &[10, 0, 0, 2] },
            received: u64::MAX,
            sent: 7,
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
        said(Body::Image { code: "committed", epoch: 1, sequence: 7, hash: &[0x1a; 32], detail: "slot b" }),
        said(workload()),
        said(alert(Some(-12_500))),
        said(alert(None)),
        said(Body::Start { version: "0.1.0", clean: true }),
        said(Body::Stop { signal: 15 }),
        said(Body::Loss { workload: b"demo", cause: Cause::KernelRingFull, count: 3 }),
        said(Body::Accounts(Accounts { seen: 10, written: 7, lost: [3, 0, 0, 0, 0] })),
        said(Body::Accounts(Accounts { seen: 10, written: 7, lost: [1, 0, 0, 0, 2] })),
        said(mended()),
        said(level(Level::High, 70)),
        said(level(Level::Full, 100)),
        said(Body::Gap(overwritten())),
        said(Body::Gap(Gap { cause: GapCause::Damaged, boot: [7; 16], ..overwritten() })),
        said(Body::Gap(cut())),
        said(Body::Seal { code: "began", epoch: 0 }),
        said(Body::Config { code: "last-good", detail: "config.toml line 3: no such key" }),
        said(Body::Deadman { workload: b"demo", sequence: 7, since: 7_200_000_000_000 }),
        said(Body::Storage { code: "data-remade", detail: "vda5: it held something else" }),
        said(Body::Measured { pcrs: &[0, 7, 11], digests: &[7; 96] }),
    ]
}

pub fn overwritten() -> Gap {
    Gap { cause: GapCause::Overwritten, first: 5, last: 9, total: 5, boot: [0; 16] }
}

pub fn cut() -> Gap {
    Gap { cause: GapCause::Cut, first: 5, last: 4, total: 1, boot: [7; 16] }
}

pub fn encode(event: &Event<'_>) -> Vec<u8> {
    let mut out = [0; limits::EVENT_BYTES];
    let length = event.encode(&mut out).unwrap();
    out[..length].to_vec()
}

fn level(level: Level, percent: u8) -> Body<'static> {
    Body::RingLevel { level, percent }
}

fn mended() -> Body<'static> {
    let (mode, reason) = (Mode::Enforcing, ModeReason::SelfTestPassed);
    Body::GlassMended { until: 7_200_000_000_000, passed: 4, mode, reason }
}

fn alert(value: Option<i64>) -> Body<'static> {
    let (alert, code, detail) = ("deny-storm", "firing", "workload=agent-7");
    Body::Alert { alert, severity: aegis_event::Severity::Warning, code, sequence: 7, value, detail }
}

fn workload() -> Body<'static> {
    let (workload, hash) = (b"agent-7", &[0x1a; 32]);
    Body::Workload { workload, code: "started", epoch: 1, sequence: 7, hash, detail: "" }
}
