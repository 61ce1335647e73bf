//! Exports to try things on: one with an event of every kind, and ones of any size that are made while they are written.

use std::io::Write;
use std::path::Path;

use aegis_cose::{KeyPair, Seed};
use aegis_event::{
    Accounts, Basis, Body, Call, Cause, Decision, Endpoint, Event, File, Gap, GapCause, Hook, Kind, Level,
    Match, Mode, ModeReason, Operation, Place, Privileges, Process, Subject, Verdict,
};
use aegis_export::{
    Created, Exporter, Fault, Frame, Frames, Hash, Id, Request, first_head, limits, next_head,
};

/// A device by number: its key and its ring.
#[derive(Clone, Copy)]
pub(crate) struct Device(pub(crate) u8);

impl Device {
    pub(crate) fn key(self) -> KeyPair {
        KeyPair::from_seed(Seed::new([self.0; 32]))
    }

    pub(crate) fn ring(self) -> Id {
        [0xa0 | self.0; 16]
    }

    /// Exports what `frames` gives; the sequence and the head that the next export goes on from.
    pub(crate) fn export(
        self,
        frames: impl Frames,
        request: Request,
        created: Created,
        out: &mut impl Write,
    ) -> (u64, Hash) {
        let key = self.key();
        let mut scratch = vec![0; limits::PAYLOAD_BYTES];
        let mut item = vec![0; limits::ITEM_BYTES];
        let mut exporter = Exporter::new(&key.sk, frames, request, created, "0.1.0", &mut scratch)
            .unwrap_or_else(|error| panic!("{error}"));
        while let Some(length) = exporter.next_item(&mut item).unwrap_or_else(|error| panic!("{error}")) {
            out.write_all(&item[..length]).expect("the export's file");
        }
        let manifest = exporter.manifest();
        (manifest.resume(), manifest.after.unwrap_or_else(|| first_head(&manifest.ring)))
    }

    pub(crate) fn export_to(self, path: &Path, ring: &Ring, request: Request, created: Created) {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("a file"));
        self.export(ring.clone(), request, created, &mut file);
        file.flush().expect("the export's file");
    }
}

/// Made in this boot, when it had lasted 1000 s, at 2027-01-15 08:00 by the clock.
pub(crate) fn created(boot: u8) -> Created {
    Created { boot: [boot; 16], boottime: 1_000_000_000_000, clock: 1_800_000_000, clock_trusted: false }
}

/// What the ring of a device holds, as a list.
#[derive(Clone)]
pub(crate) struct Ring {
    id: Id,
    frames: Vec<(Id, Hash, Hash, Vec<u8>)>,
    /// So many at the beginning are gone.
    pub(crate) overwritten: usize,
    pub(crate) damaged: Vec<usize>,
    at: usize,
}

impl Ring {
    pub(crate) fn new(device: Device) -> Self {
        Self { id: device.ring(), frames: Vec::new(), overwritten: 0, damaged: Vec::new(), at: 0 }
    }

    pub(crate) fn push(&mut self, boot: u8, event: &Event<'_>) {
        let mut bytes = [0; limits::EVENT_BYTES];
        let length = event.encode(&mut bytes).expect("it fits");
        self.push_bytes(boot, &bytes[..length]);
    }

    pub(crate) fn push_bytes(&mut self, boot: u8, bytes: &[u8]) {
        let previous = self.frames.last().map_or_else(|| first_head(&self.id), |frame| frame.2);
        let head = next_head(&previous, self.frames.len() as u64 + 1, bytes);
        self.frames.push(([boot; 16], previous, head, bytes.to_vec()));
    }

    /// The sequence that the next event will have.
    #[allow(dead_code)] // examples/evidence.rs asks
    pub(crate) fn next(&self) -> u64 {
        self.frames.len() as u64 + 1
    }

    pub(crate) fn truncate(&mut self, events: usize) {
        self.frames.truncate(events);
    }

    /// A boot with `opens` opens, a second apart; every second one is denied.
    pub(crate) fn boot(&mut self, boot: u8, opens: u64) {
        let own = |time, body| Event { time, subject: None, body };
        self.push(boot, &own(1, Body::Start { version: "0.1.0", clean: true }));
        for n in 1..=opens {
            let decision =
                if n % 2 == 0 { decision(Verdict::Denied, b"no-secrets") } else { Decision::allowed(4) };
            let body = Body::Open { file: file(b"/srv/data", n), flags: 0, decision };
            self.push(boot, &Event { time: n * 1_000_000_000, subject: Some(subject()), body });
        }
        let books = Accounts { seen: opens, written: opens, ..Accounts::default() };
        self.push(boot, &own(opens * 1_000_000_000 + 1, Body::Accounts(books)));
        self.push(boot, &own(opens * 1_000_000_000 + 2, Body::Stop { signal: 15 }));
    }
}

impl Frames for Ring {
    type Error = Fault;

    fn ring(&self) -> Id {
        self.id
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

fn subject() -> Subject<'static> {
    subject_of(b"agent-7", b"worker")
}

fn subject_of(workload: &'static [u8], comm: &'static [u8]) -> Subject<'static> {
    let process = Process { pid: 101, tgid: 100, ppid: 1, uid: 1000, comm };
    Subject { workload, cgroup: 1 << 63, process }
}

fn file(path: &[u8], inode: u64) -> File<'_> {
    File { device: 8 << 20 | 1, inode, path, truncated: false }
}

fn decision(verdict: Verdict, rule: &[u8]) -> Decision<'_> {
    Decision { verdict, rule, ..Decision::allowed(4) }
}

/// Path, program name and arguments as somebody would choose them who wants to break what reads them.
pub(crate) const HOSTILE_PATH: &[u8] =
    b"/tmp/<script>alert(1)</script>&\"'\\\t\n\r\x1b[31m\xff\xfe\xe2\x80\xae/]]>'); DROP TABLE events;--";
pub(crate) const HOSTILE_COMM: &[u8] = b"\"',<b>\n\\N\t\x7f\xc3";

/// What probes see since ABI 4: every kind, by rules that match in every way.
fn of_abi_4() -> Vec<Body<'static>> {
    let of = |verdict, operation, hook, matched| {
        let basis =
            Basis { operation, hook, matched, device: 8 << 20 | 1, inode: u64::MAX, policy_hash: [0xab; 8] };
        Decision { basis: Some(basis), ..decision(verdict, b"keep") }
    };
    let denied = |operation, hook, matched| of(Verdict::Denied, operation, hook, matched);
    let file = || file(b"/srv/keep/a", 11);
    let end = |family, address| Endpoint { family, socket_type: 1, protocol: 6, port: 8080, address };
    let (v4, v6) = (end(2, &[10, 0, 0, 1]), end(10, &[0xfe; 16]));
    let netlink = Endpoint { port: 0, ..end(16, &[]) };
    let made = Endpoint { port: 0, address: &[], ..v4 };
    let call = |number, target, text| Call { number, target, text };
    let change = Operation::Change;
    let removed = denied(change, Hook::InodeUnlink, Match::Object);
    let fallen = Decision { deadman: true, ..of(Verdict::Audited, change, Hook::InodeRename, Match::Name) };
    let surface = |operation, hook| denied(operation, hook, Match::Surface);
    vec![
        Body::Open {
            file: file(),
            flags: 0,
            decision: of(Verdict::Allowed, Operation::OpenRead, Hook::FileOpen, Match::Node),
        },
        Body::ExecCheck { file: file(), decision: denied(Operation::Exec, Hook::MmapFile, Match::Hash) },
        Body::Create {
            file: file(),
            mode: 0o100_600,
            decision: denied(change, Hook::InodeCreate, Match::Tree),
        },
        Body::Unlink { file: file(), decision: removed },
        Body::Rename { file: file(), to: b"/srv/keep/\xff", to_truncated: false, decision: fallen },
        Body::Link { file: file(), to: b"b", to_truncated: true, decision: Decision::allowed(4) },
        Body::SetAttr { file: file(), valid: 0x40, decision: Decision::allowed(4) },
        Body::SetAttr {
            file: file(),
            valid: 0x48,
            decision: denied(Operation::OpenWrite, Hook::InodeSetattr, Match::Limit),
        },
        Body::Socket { endpoint: made, decision: Decision::allowed(4) },
        Body::Socket { endpoint: netlink, decision: Decision::allowed(4) },
        Body::Bind { endpoint: v6, decision: denied(Operation::Bind, Hook::SocketBind, Match::Net) },
        Body::Bind { endpoint: netlink, decision: Decision::allowed(4) },
        Body::Listen { endpoint: v4, decision: Decision::allowed(4) },
        Body::Accept { endpoint: v6, decision: Decision::allowed(4) },
        Body::UnixConnect {
            file: file(),
            decision: denied(Operation::UnixConnect, Hook::UnixStreamConnect, Match::Object),
        },
        Body::Ptrace { call: call(2, 1, b""), decision: surface(Operation::Ptrace, Hook::PtraceAccessCheck) },
        Body::Ptrace { call: call(2, 0, b""), decision: Decision::allowed(4) },
        Body::Module {
            call: call(2, 0, b"evil <b>.ko"),
            decision: surface(Operation::ModuleLoad, Hook::KernelReadFile),
        },
        Body::Module { call: call(2, 0, b""), decision: Decision::allowed(4) },
        Body::BpfCall { call: call(5, 0, b""), decision: surface(Operation::Bpf, Hook::Bpf) },
        Body::Mount { call: call(1, 0, b"tmpfs"), decision: surface(Operation::Mount, Hook::SbMount) },
        Body::Signal { call: call(9, 300, b""), decision: surface(Operation::Signal, Hook::TaskKill) },
        Body::Escape {
            call: call(0, 0, b""),
            decision: denied(Operation::Escape, Hook::TaskAlloc, Match::Cgroup),
        },
        Body::Privilege {
            old: Privileges { uid: 1000, capabilities: 0 },
            new: Privileges { uid: 0, capabilities: u64::MAX },
        },
        Body::Privilege {
            old: Privileges { uid: 0, capabilities: u64::MAX },
            new: Privileges { uid: 0, capabilities: 1 },
        },
        Body::Volume { file: file(), read: 1 << 40, written: 0 },
        Body::Volume { file: file(), read: 0, written: u64::MAX },
        Body::Flow {
            family: 2,
            protocol: 6,
            local: Place { port: 40_000, address: &[10, 0, 0, 1] },
            remote: Place { port: 443, address: &[10, 0, 0, 7] },
            received: 1 << 33,
            sent: 77,
        },
        Body::Flow {
            family: 1,
            protocol: 0,
            local: Place { port: 0, address: &[] },
            remote: Place { port: 0, address: &[] },
            received: 1,
            sent: 2,
        },
    ]
}

/// A ring with an event of every kind, in two boots. In the first one things happen, the second one goes on.
pub(crate) fn every_kind(device: Device) -> Ring {
    let mut ring = Ring::new(device);
    let hash = &[0xab; 32];
    let (enforcing, passed) = (Mode::Enforcing, ModeReason::SelfTestPassed);
    let denied = decision(Verdict::Denied, b"no-secrets");
    let broken = Decision { glass_broken: true, ..decision(Verdict::Audited, b"no-secrets") };
    let open = |path, flags, decision| Body::Open { file: file(path, u64::MAX), flags, decision };
    let connect =
        |family, port, address, decision| Body::Connect { family, protocol: 6, port, address, decision };
    let own = [
        Body::Start { version: "0.1.0", clean: false },
        Body::Root { code: "accepted", version: 2, epoch: 1, hash, detail: "root 2" },
        Body::Policy { code: "accepted", epoch: 1, sequence: 4, hash, detail: "site.aegis" },
        Body::ModeChange { mode: enforcing, reason: passed, epoch: 1, sequence: 4 },
        Body::Stick { code: "mounted", detail: "vfat <AEGIS>" },
    ];
    let seen = [
        Body::Fork { child_pid: 102, child_tgid: 102 },
        Body::Exec { file: file(b"/usr/bin/env", 7), argv: b"env\0-i\0\xff a\0", argv_truncated: true },
        Body::Exec { file: file(b"/usr/bin/true", 8), argv: b"", argv_truncated: false },
        open(b"/etc/hostname", 0, Decision::allowed(4)),
        open(HOSTILE_PATH, 0o2001, denied),
        open(b"/srv/secret", 2, broken),
        open(b"", 0, decision(Verdict::Audited, b"watch")),
        Body::ExecCheck { file: file(b"/bin/nc", 9), decision: denied },
        connect(2, 443, &[10, 0, 0, 7], Decision::allowed(4)),
        connect(10, 53, &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], Decision::allowed(4)),
        Body::Exit { status: 3, signal: 0 },
        Body::Exit { status: 0, signal: 9 },
    ];
    let late = [
        Body::BreakGlass { code: "accepted", sequence: 1, until: 900_000_000_000, reason: "fire", hash },
        Body::PolicyStale { epoch: 1, sequence: 4, expires: 1_700_000_000, now: 1_800_000_000 },
        Body::Image { code: "fell-back", epoch: 1, sequence: 9, hash, detail: "slot b" },
        Body::Workload { workload: b"agent-7", code: "ended", epoch: 1, sequence: 2, hash, detail: "exit 1" },
        Body::Alert {
            alert: "deny-storm",
            severity: aegis_event::Severity::Warning,
            code: "firing",
            sequence: 4,
            value: Some(12_500),
            detail: "workload=agent-7",
        },
        Body::GlassMended { until: 900_000_000_000, passed: 1, mode: enforcing, reason: passed },
        Body::Loss { workload: b"agent-7", cause: Cause::KernelRingFull, count: 12 },
        Body::Loss { workload: b"", cause: Cause::BadRecord, count: 1 },
        Body::RingLevel { level: Level::High, percent: 71 },
        Body::Gap(Gap { cause: GapCause::Cut, first: 26, last: 25, total: 1, boot: [9; 16] }),
        Body::Seal { code: "seal-state-lost", epoch: 7 },
        Body::Config { code: "last-good", detail: "line 3: no key `syn`" },
        Body::Loss { workload: b"agent-7", cause: Cause::RateLimited, count: 5 },
        Body::Deadman { workload: b"agent-7", sequence: 4, since: 800_000_000_000 },
    ];
    let mut time = 0;
    let mut next = || {
        time += 20_000_000_001;
        time
    };
    for body in own {
        ring.push(1, &Event { time: next(), subject: None, body });
    }
    for (index, body) in seen.into_iter().enumerate() {
        let subject = if index == 4 {
            subject_of(b"agent <i>\xf0", HOSTILE_COMM)
        } else {
            subject_of(b"agent-7", b"sh")
        };
        ring.push(1, &Event { time: next(), subject: Some(subject), body });
    }
    // What probes see has a subject; readers must not rely on it.
    ring.push(1, &Event { time: next(), subject: None, body: open(b"/nobody", 0, denied) });
    ring.push(1, &Event { time: next(), subject: None, body: Body::Exit { status: 0, signal: 0 } });
    for body in late {
        ring.push(1, &Event { time: next(), subject: None, body });
    }
    let newer = of_abi_4();
    let newer_count = newer.len() as u64;
    for body in newer {
        ring.push(1, &Event { time: next(), subject: Some(subject()), body });
    }
    // Kinds below 48 are counted: four notes of commands, what was seen, five more notes.
    let counted = 4 + 12 + 2 + 5 + newer_count;
    let mut books = Accounts { seen: counted + 18, written: counted, ..Accounts::default() };
    (books.lost[0], books.lost[1], books.lost[4]) = (12, 1, 5);
    let storage = Body::Storage { code: "data-remade", detail: "vda5: it held something else" };
    ring.push(1, &Event { time: next(), subject: None, body: storage });
    let measured = Body::Measured { pcrs: &[7, 11], digests: &[7; 64] };
    ring.push(1, &Event { time: next(), subject: None, body: measured });
    ring.push(1, &Event { time: next(), subject: None, body: Body::Accounts(books) });
    ring.push(1, &Event { time: next(), subject: None, body: Body::Stop { signal: 15 } });
    for kind in Kind::ALL {
        let known =
            ring.frames.iter().any(|frame| Event::decode(&frame.3).is_ok_and(|event| event.kind() == *kind));
        assert!(known, "{kind} is missing in the sample: add it");
    }
    ring.boot(2, 4);
    ring
}

/// A ring of any size that takes no room: each event is made when it is read.
pub(crate) struct Endless {
    ring: Id,
    /// What it can be read from on, and the head before that.
    first: u64,
    before: Hash,
    next: u64,
    at: u64,
    head: Hash,
    buffer: [u8; limits::EVENT_BYTES],
}

/// Events of one boot of an [`Endless`] ring.
pub(crate) const BOOT: u64 = 2_000_000;

impl Endless {
    pub(crate) fn new(device: Device, events: u64) -> Self {
        Self::range(device, 1, first_head(&device.ring()), events)
    }

    /// So many events from `first` on, where the chain's head is `before`.
    pub(crate) fn range(device: Device, first: u64, before: Hash, events: u64) -> Self {
        let (ring, next) = (device.ring(), first + events);
        Self { ring, first, before, next, at: first, head: before, buffer: [0; limits::EVENT_BYTES] }
    }

    /// The boot that the event with this sequence is of.
    pub(crate) fn boot(sequence: u64) -> u8 {
        (1 + (sequence - 1) / BOOT) as u8
    }
}

/// The event with this sequence: some 150 bytes, of all sorts that workloads cause.
pub(crate) fn endless(n: u64, buffer: &mut [u8]) -> usize {
    let time = 1 + (n - 1) % BOOT * 400_000;
    let own = |body| Event { time, subject: None, body };
    let path = format!("/srv/data/{:03}/file-{n:012}-{:0>64}", n % 997, n % 7919);
    let process = Process { pid: (n % 4096) as u32, tgid: 1, ppid: 1, uid: 1000, comm: b"worker" };
    let workload: &[u8] = [&b"agent-1"[..], b"agent-2", b"agent-3"][(n % 3) as usize];
    let rule = format!("rule-{}", n % 50);
    let decision = match n % 10 {
        0 => decision(Verdict::Denied, rule.as_bytes()),
        1 => decision(Verdict::Audited, rule.as_bytes()),
        _ => Decision::allowed(4),
    };
    let file = file(path.as_bytes(), n);
    let body = match n % 17 {
        3 => Body::Exec { file, argv: b"python3\0-m\0agent\0", argv_truncated: false },
        5 => Body::ExecCheck { file, decision },
        7 => Body::Fork { child_pid: n as u32, child_tgid: n as u32 },
        9 => Body::Exit { status: 0, signal: 0 },
        11 => Body::Connect { family: 2, protocol: 6, port: 443, address: &[10, 0, 0, 7], decision },
        _ => Body::Open { file, flags: 0, decision },
    };
    let event = match (n - 1) % BOOT {
        0 => own(Body::Start { version: "0.1.0", clean: n > 1 }),
        _ => Event { time, subject: Some(Subject { workload, cgroup: 77, process }), body },
    };
    event.encode(buffer).expect("it fits")
}

impl Frames for Endless {
    type Error = Fault;

    fn ring(&self) -> Id {
        self.ring
    }

    fn first_sequence(&self) -> u64 {
        1
    }

    fn next_sequence(&self) -> u64 {
        self.next
    }

    fn seek(&mut self, sequence: u64) -> Result<(), Fault> {
        // The one before the first is there to ask for the head behind it.
        assert!(
            (self.first.saturating_sub(1)..=self.first).contains(&sequence),
            "from its beginning: {sequence}"
        );
        (self.at, self.head) = (sequence, self.before);
        Ok(())
    }

    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Fault> {
        if self.at == self.next {
            return Ok(None);
        }
        let sequence = self.at;
        self.at += 1;
        let length = endless(sequence, &mut self.buffer);
        let previous = self.head;
        let event = &self.buffer[..length];
        if sequence >= self.first {
            self.head = next_head(&previous, sequence, event);
        }
        Ok(Some(Frame { sequence, boot: [Self::boot(sequence); 16], previous, head: self.head, event }))
    }

    fn skip(&mut self) -> Result<Option<u64>, Fault> {
        Ok(None)
    }

    fn fault(error: &Fault) -> Fault {
        *error
    }
}
