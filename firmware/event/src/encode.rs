//! Event to deterministic CBOR: one map, integer keys in ascending order, shortest forms.

use minicbor::encode::write::Cursor;

use crate::body::Body;
use crate::decision::Decision;
use crate::kind::Verdict;
use crate::limits;
use crate::model::{Endpoint, Event, File};

/// `include/linux/socket.h`.
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Keys of the event map (`docs/formats/event.cddl`).
pub(crate) mod key {
    pub(crate) const KIND: u8 = 0;
    pub(crate) const TIME: u8 = 1;
    pub(crate) const WORKLOAD: u8 = 2;
    pub(crate) const CGROUP: u8 = 3;
    pub(crate) const PROCESS: u8 = 4;
    pub(crate) const VERDICT: u8 = 5;
    pub(crate) const POLICY: u8 = 6;
    pub(crate) const RULE: u8 = 7;
    pub(crate) const FILE: u8 = 8;
    pub(crate) const CHILD_PID: u8 = 9;
    pub(crate) const CHILD_TGID: u8 = 10;
    pub(crate) const ARGV: u8 = 11;
    pub(crate) const ARGV_TRUNCATED: u8 = 12;
    pub(crate) const STATUS: u8 = 13;
    pub(crate) const SIGNAL: u8 = 14;
    pub(crate) const FLAGS: u8 = 15;
    pub(crate) const FAMILY: u8 = 16;
    pub(crate) const PROTOCOL: u8 = 17;
    pub(crate) const PORT: u8 = 18;
    pub(crate) const ADDRESS: u8 = 19;
    pub(crate) const VERSION: u8 = 20;
    pub(crate) const CLEAN: u8 = 21;
    pub(crate) const CODE: u8 = 22;
    pub(crate) const EPOCH: u8 = 23;
    pub(crate) const SEQUENCE: u8 = 24;
    pub(crate) const HASH: u8 = 25;
    pub(crate) const DETAIL: u8 = 26;
    pub(crate) const CAUSE: u8 = 27;
    pub(crate) const COUNT: u8 = 28;
    pub(crate) const MODE: u8 = 29;
    pub(crate) const REASON: u8 = 30;
    pub(crate) const SEEN: u8 = 31;
    pub(crate) const WRITTEN: u8 = 32;
    pub(crate) const LOST: u8 = 33;
    pub(crate) const GLASS_BROKEN: u8 = 34;
    pub(crate) const UNTIL: u8 = 35;
    pub(crate) const PASSED: u8 = 36;
    pub(crate) const ROOT_VERSION: u8 = 37;
    pub(crate) const EXPIRES: u8 = 38;
    pub(crate) const NOW: u8 = 39;
    pub(crate) const LEVEL: u8 = 40;
    pub(crate) const PERCENT: u8 = 41;
    pub(crate) const GAP_CAUSE: u8 = 42;
    pub(crate) const FIRST: u8 = 43;
    pub(crate) const LAST: u8 = 44;
    pub(crate) const TOTAL: u8 = 45;
    pub(crate) const BOOT: u8 = 46;
    pub(crate) const DEADMAN: u8 = 47;
    pub(crate) const BASIS: u8 = 48;
    pub(crate) const TO: u8 = 49;
    pub(crate) const SOCKET_TYPE: u8 = 50;
    pub(crate) const NUMBER: u8 = 51;
    pub(crate) const TARGET: u8 = 52;
    pub(crate) const TEXT: u8 = 53;
    pub(crate) const OLD: u8 = 54;
    pub(crate) const NEW: u8 = 55;
    pub(crate) const READ_BYTES: u8 = 56;
    pub(crate) const WRITTEN_BYTES: u8 = 57;
    pub(crate) const LOCAL: u8 = 58;
    pub(crate) const REMOTE: u8 = 59;
    pub(crate) const RECEIVED: u8 = 60;
    pub(crate) const SENT: u8 = 61;
    pub(crate) const PCRS: u8 = 62;
    pub(crate) const DIGESTS: u8 = 63;
    pub(crate) const ALERT: u8 = 64;
    pub(crate) const SEVERITY: u8 = 65;
    pub(crate) const VALUE: u8 = 66;
}

/// Why an event could not be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The slice is too short; [`limits::EVENT_BYTES`] always suffices.
    NoRoom,
    /// A field is longer than `limits` allows.
    FieldTooLong,
    /// A decision says that broken glass, or the fallen deadman, let it pass, but is not an audited one by a rule.
    NotAudited,
    /// A percentage over 100, a gap whose figures don't go together, an address that is not its family's, a match without a rule
    /// that matched, or PCRs out of order or without their values.
    Inconsistent,
}

impl core::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoRoom => "no room for the event",
            Self::FieldTooLong => "a field of the event is too long",
            Self::NotAudited => "what broken glass or the deadman let pass is not audited by a rule",
            Self::Inconsistent => "the figures of the event don't go together",
        })
    }
}

impl core::error::Error for EncodeError {}

type Out<'b> = minicbor::Encoder<Cursor<&'b mut [u8]>>;
type Written = Result<(), minicbor::encode::Error<minicbor::encode::write::EndOfSlice>>;

impl Event<'_> {
    /// Writes the event to the front of `out` and returns how many bytes it took.
    ///
    /// # Errors
    /// [`EncodeError::FieldTooLong`] when a field is over its limit, [`EncodeError::NotAudited`] when a decision
    /// contradicts itself, [`EncodeError::Inconsistent`] when figures do, [`EncodeError::NoRoom`] when `out` is too short.
    /// Nothing is to be read from `out` after an error.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        if !self.fits() {
            return Err(EncodeError::FieldTooLong);
        }
        let decision = self.body.decision();
        if decision.is_some_and(|d| d.passed() && (d.verdict != Verdict::Audited || d.rule.is_empty())) {
            return Err(EncodeError::NotAudited);
        }
        if decision.is_some_and(|d| d.basis.is_some() && d.rule.is_empty()) || !self.consistent() {
            return Err(EncodeError::Inconsistent);
        }
        let mut encoder = minicbor::Encoder::new(Cursor::new(out));
        self.write(&mut encoder).map_err(|_| EncodeError::NoRoom)?;
        Ok(encoder.writer().position())
    }

    fn consistent(&self) -> bool {
        match &self.body {
            Body::RingLevel { percent, .. } => *percent <= 100,
            Body::Gap(gap) => gap.consistent(),
            Body::Measured { pcrs, digests } => {
                !pcrs.is_empty() && pcrs.is_sorted_by(|a, b| a < b) && digests.len() == pcrs.len() * 32
            }
            Body::Socket { endpoint, .. } => endpoint.port == 0 && endpoint.address.is_empty(),
            Body::Flow { family, local, remote, .. } => {
                [local, remote].iter().all(|place| place.address.len() == address_length(*family))
            }
            body => body
                .endpoint()
                .is_none_or(|endpoint| endpoint.address.len() == address_length(endpoint.family)),
        }
    }

    fn fits(&self) -> bool {
        let subject_fits = self.subject.is_none_or(|subject| {
            subject.workload.len() <= limits::WORKLOAD_BYTES
                && subject.process.comm.len() <= limits::COMM_BYTES
        });
        subject_fits
            && self.body.decision().is_none_or(|decision| decision.rule.len() <= limits::RULE_NAME_BYTES)
            && self.body.file().is_none_or(|file| file.path.len() <= limits::PATH_BYTES)
            && self.body.call().is_none_or(|call| call.text.len() <= limits::TEXT_BYTES)
            && match &self.body {
                Body::Exec { argv: text, .. }
                | Body::Rename { to: text, .. }
                | Body::Link { to: text, .. } => text.len() <= limits::PATH_BYTES,
                Body::Start { version, .. } => version.len() <= limits::DETAIL_BYTES,
                Body::Policy { code, detail, .. }
                | Body::Image { code, detail, .. }
                | Body::BreakGlass { code, reason: detail, .. }
                | Body::Root { code, detail, .. }
                | Body::Stick { code, detail }
                | Body::Config { code, detail }
                | Body::Storage { code, detail } => {
                    code.len() <= limits::DETAIL_BYTES && detail.len() <= limits::DETAIL_BYTES
                }
                Body::Seal { code, .. } => code.len() <= limits::DETAIL_BYTES,
                Body::Measured { pcrs, .. } => pcrs.len() <= limits::PCRS,
                Body::Loss { workload, .. } | Body::Deadman { workload, .. } => {
                    workload.len() <= limits::WORKLOAD_BYTES
                }
                Body::Workload { workload, code, detail, .. } => {
                    workload.len() <= limits::WORKLOAD_BYTES
                        && code.len() <= limits::CODE_BYTES
                        && detail.len() <= limits::DETAIL_BYTES
                }
                Body::Alert { alert, code, detail, .. } => {
                    alert.len() <= limits::ALERT_BYTES
                        && code.len() <= limits::CODE_BYTES
                        && detail.len() <= limits::DETAIL_BYTES
                }
                _ => true,
            }
    }

    fn write(&self, out: &mut Out<'_>) -> Written {
        out.map(self.entries())?;
        out.u8(key::KIND)?.u8(self.kind().number())?;
        out.u8(key::TIME)?.u64(self.time)?;
        if let Body::Loss { workload, .. }
        | Body::Deadman { workload, .. }
        | Body::Workload { workload, .. } = &self.body
        {
            out.u8(key::WORKLOAD)?.bytes(workload)?;
        }
        if let Some(subject) = &self.subject {
            let task = &subject.process;
            out.u8(key::WORKLOAD)?.bytes(subject.workload)?;
            out.u8(key::CGROUP)?.u64(subject.cgroup)?;
            out.u8(key::PROCESS)?.array(5)?;
            out.u32(task.pid)?.u32(task.tgid)?.u32(task.ppid)?.u32(task.uid)?.bytes(task.comm)?;
        }
        if let Some(decision) = self.body.decision() {
            out.u8(key::VERDICT)?.u8(decision.verdict.number())?;
            out.u8(key::POLICY)?.u64(decision.policy)?;
            if !decision.rule.is_empty() {
                out.u8(key::RULE)?.bytes(decision.rule)?;
            }
        }
        write_body(out, &self.body)?;
        if let Some(decision) = self.body.decision() {
            write_how(out, decision)?;
        }
        write_rest(out, &self.body)
    }

    /// How many entries the map has.
    fn entries(&self) -> u64 {
        let subject = if self.subject.is_some() { 3 } else { 0 };
        let decision = self.body.decision().map_or(0, |decision| {
            let optional = [
                !decision.rule.is_empty(),
                decision.glass_broken,
                decision.deadman,
                decision.basis.is_some(),
            ];
            2 + optional.iter().map(|there| u64::from(*there)).sum::<u64>()
        });
        let body = match self.body {
            Body::Stop { .. } | Body::ExecCheck { .. } | Body::Unlink { .. } | Body::UnixConnect { .. } => 1,
            Body::Fork { .. }
            | Body::Exit { .. }
            | Body::Open { .. }
            | Body::Create { .. }
            | Body::Rename { .. }
            | Body::Link { .. }
            | Body::SetAttr { .. }
            | Body::Privilege { .. }
            | Body::Start { .. }
            | Body::Stick { .. }
            | Body::RingLevel { .. }
            | Body::Seal { .. }
            | Body::Config { .. }
            | Body::Storage { .. }
            | Body::Measured { .. } => 2,
            Body::Exec { .. }
            | Body::Socket { .. }
            | Body::Ptrace { .. }
            | Body::Module { .. }
            | Body::BpfCall { .. }
            | Body::Mount { .. }
            | Body::Signal { .. }
            | Body::Escape { .. }
            | Body::Volume { .. }
            | Body::Loss { .. }
            | Body::Accounts(_)
            | Body::Deadman { .. } => 3,
            Body::Connect { .. }
            | Body::ModeChange { .. }
            | Body::PolicyStale { .. }
            | Body::GlassMended { .. } => 4,
            Body::Bind { .. }
            | Body::Listen { .. }
            | Body::Accept { .. }
            | Body::Policy { .. }
            | Body::Image { .. }
            | Body::BreakGlass { .. }
            | Body::Root { .. }
            | Body::Alert { value: None, .. }
            | Body::Gap(_) => 5,
            Body::Flow { .. } | Body::Workload { .. } | Body::Alert { .. } => 6,
        };
        2 + subject + decision + body
    }
}

fn write_file(out: &mut Out<'_>, file: &File<'_>) -> Written {
    out.u8(key::FILE)?.array(4)?;
    out.u32(file.device)?.u64(file.inode)?.bytes(file.path)?.bool(file.truncated)?;
    Ok(())
}

/// How long an address of this family is.
fn address_length(family: u16) -> usize {
    match family {
        AF_INET => 4,
        AF_INET6 => 16,
        _ => 0,
    }
}

/// How the rule matched, and what let pass what it denies.
fn write_how(out: &mut Out<'_>, decision: &Decision<'_>) -> Written {
    if decision.glass_broken {
        out.u8(key::GLASS_BROKEN)?.bool(true)?;
    }
    if decision.deadman {
        out.u8(key::DEADMAN)?.bool(true)?;
    }
    if let Some(basis) = &decision.basis {
        out.u8(key::BASIS)?.array(6)?;
        out.u8(basis.operation.number())?.u8(basis.hook.number())?.u8(basis.matched.number())?;
        out.u32(basis.device)?.u64(basis.inode)?.bytes(&basis.policy_hash)?;
    }
    Ok(())
}

/// What of the body stands behind a decision.
fn write_rest(out: &mut Out<'_>, body: &Body<'_>) -> Written {
    match body {
        Body::Rename { to, to_truncated, .. } | Body::Link { to, to_truncated, .. } => {
            out.u8(key::TO)?.array(2)?.bytes(to)?.bool(*to_truncated)?;
        }
        Body::Socket { endpoint, .. }
        | Body::Bind { endpoint, .. }
        | Body::Listen { endpoint, .. }
        | Body::Accept { endpoint, .. } => {
            out.u8(key::SOCKET_TYPE)?.u8(endpoint.socket_type)?;
        }
        Body::Privilege { old, new } => {
            for (key, privileges) in [(key::OLD, old), (key::NEW, new)] {
                out.u8(key)?.array(2)?.u32(privileges.uid)?.u64(privileges.capabilities)?;
            }
        }
        Body::Volume { read, written, .. } => {
            out.u8(key::READ_BYTES)?.u64(*read)?.u8(key::WRITTEN_BYTES)?.u64(*written)?;
        }
        Body::Flow { local, remote, received, sent, .. } => {
            for (key, place) in [(key::LOCAL, local), (key::REMOTE, remote)] {
                out.u8(key)?.array(2)?.u16(place.port)?.bytes(place.address)?;
            }
            out.u8(key::RECEIVED)?.u64(*received)?.u8(key::SENT)?.u64(*sent)?;
        }
        body => {
            if let Some(call) = body.call() {
                out.u8(key::NUMBER)?.u32(call.number)?.u8(key::TARGET)?.u32(call.target)?;
                out.u8(key::TEXT)?.bytes(call.text)?;
            }
        }
    }
    Ok(())
}

fn write_body(out: &mut Out<'_>, body: &Body<'_>) -> Written {
    match body {
        Body::Fork { child_pid, child_tgid } => {
            out.u8(key::CHILD_PID)?.u32(*child_pid)?.u8(key::CHILD_TGID)?.u32(*child_tgid)?;
        }
        Body::Exec { file, argv, argv_truncated } => {
            write_file(out, file)?;
            out.u8(key::ARGV)?.bytes(argv)?.u8(key::ARGV_TRUNCATED)?.bool(*argv_truncated)?;
        }
        Body::Exit { status, signal } => {
            out.u8(key::STATUS)?.u8(*status)?.u8(key::SIGNAL)?.u8(*signal)?;
        }
        Body::Open { file, flags, .. }
        | Body::Create { file, mode: flags, .. }
        | Body::SetAttr { file, valid: flags, .. } => {
            write_file(out, file)?;
            out.u8(key::FLAGS)?.u32(*flags)?;
        }
        Body::ExecCheck { file, .. }
        | Body::Unlink { file, .. }
        | Body::Rename { file, .. }
        | Body::Link { file, .. }
        | Body::UnixConnect { file, .. }
        | Body::Volume { file, .. } => write_file(out, file)?,
        Body::Socket { endpoint: Endpoint { family, protocol, .. }, .. }
        | Body::Flow { family, protocol, .. } => {
            out.u8(key::FAMILY)?.u16(*family)?.u8(key::PROTOCOL)?.u8(*protocol)?;
        }
        Body::Connect { family, protocol, port, address, .. }
        | Body::Bind { endpoint: Endpoint { family, protocol, port, address, .. }, .. }
        | Body::Listen { endpoint: Endpoint { family, protocol, port, address, .. }, .. }
        | Body::Accept { endpoint: Endpoint { family, protocol, port, address, .. }, .. } => {
            out.u8(key::FAMILY)?.u16(*family)?.u8(key::PROTOCOL)?.u8(*protocol)?;
            out.u8(key::PORT)?.u16(*port)?.u8(key::ADDRESS)?.bytes(address)?;
        }
        said => write_said(out, said)?,
    }
    Ok(())
}

/// The body of what Aegis says of itself. Of the kinds that are not here, all is in [`write_rest`].
fn write_said(out: &mut Out<'_>, body: &Body<'_>) -> Written {
    match body {
        Body::Start { version, clean } => {
            out.u8(key::VERSION)?.str(version)?.u8(key::CLEAN)?.bool(*clean)?;
        }
        Body::Stop { signal } => {
            out.u8(key::SIGNAL)?.u8(*signal)?;
        }
        Body::Policy { code, epoch, sequence, hash, detail }
        | Body::Image { code, epoch, sequence, hash, detail }
        | Body::Workload { code, epoch, sequence, hash, detail, .. } => {
            out.u8(key::CODE)?.str(code)?.u8(key::EPOCH)?.u64(*epoch)?.u8(key::SEQUENCE)?.u64(*sequence)?;
            out.u8(key::HASH)?.bytes(&hash[..])?.u8(key::DETAIL)?.str(detail)?;
        }
        Body::Loss { cause, count, .. } => {
            out.u8(key::CAUSE)?.u8(cause.number())?.u8(key::COUNT)?.u64(*count)?;
        }
        Body::ModeChange { mode, reason, epoch, sequence } => {
            out.u8(key::EPOCH)?.u64(*epoch)?.u8(key::SEQUENCE)?.u64(*sequence)?;
            out.u8(key::MODE)?.u8(mode.number())?.u8(key::REASON)?.u8(reason.number())?;
        }
        Body::Accounts(books) => {
            out.u8(key::SEEN)?.u64(books.seen)?.u8(key::WRITTEN)?.u64(books.written)?;
            // There were four causes once: a fifth number is there only where there is something to say.
            let [.., limited] = books.lost;
            let lost = &books.lost[..books.lost.len() - usize::from(limited == 0)];
            out.u8(key::LOST)?.array(lost.len() as u64)?;
            for count in lost {
                out.u64(*count)?;
            }
        }
        Body::BreakGlass { code, sequence, until, reason, hash } => {
            out.u8(key::CODE)?.str(code)?.u8(key::SEQUENCE)?.u64(*sequence)?;
            out.u8(key::HASH)?.bytes(&hash[..])?.u8(key::DETAIL)?.str(reason)?;
            out.u8(key::UNTIL)?.u64(*until)?;
        }
        Body::Root { code, version, epoch, hash, detail } => {
            out.u8(key::CODE)?.str(code)?.u8(key::EPOCH)?.u64(*epoch)?;
            out.u8(key::HASH)?.bytes(&hash[..])?.u8(key::DETAIL)?.str(detail)?;
            out.u8(key::ROOT_VERSION)?.u64(*version)?;
        }
        Body::Stick { code, detail } | Body::Config { code, detail } | Body::Storage { code, detail } => {
            out.u8(key::CODE)?.str(code)?.u8(key::DETAIL)?.str(detail)?;
        }
        Body::PolicyStale { epoch, sequence, expires, now } => {
            out.u8(key::EPOCH)?.u64(*epoch)?.u8(key::SEQUENCE)?.u64(*sequence)?;
            out.u8(key::EXPIRES)?.u64(*expires)?.u8(key::NOW)?.u64(*now)?;
        }
        Body::GlassMended { until, passed, mode, reason } => {
            out.u8(key::MODE)?.u8(mode.number())?.u8(key::REASON)?.u8(reason.number())?;
            out.u8(key::UNTIL)?.u64(*until)?.u8(key::PASSED)?.u64(*passed)?;
        }
        Body::RingLevel { level, percent } => {
            out.u8(key::LEVEL)?.u8(level.number())?.u8(key::PERCENT)?.u8(*percent)?;
        }
        Body::Gap(gap) => {
            out.u8(key::GAP_CAUSE)?.u8(gap.cause.number())?;
            out.u8(key::FIRST)?.u64(gap.first)?.u8(key::LAST)?.u64(gap.last)?;
            out.u8(key::TOTAL)?.u64(gap.total)?.u8(key::BOOT)?.bytes(&gap.boot)?;
        }
        Body::Seal { code, epoch } => {
            out.u8(key::CODE)?.str(code)?.u8(key::EPOCH)?.u64(*epoch)?;
        }
        Body::Deadman { sequence, since, .. } => {
            out.u8(key::SEQUENCE)?.u64(*sequence)?.u8(key::UNTIL)?.u64(*since)?;
        }
        Body::Alert { alert, severity, code, sequence, value, detail } => {
            out.u8(key::CODE)?.str(code)?.u8(key::SEQUENCE)?.u64(*sequence)?.u8(key::DETAIL)?.str(detail)?;
            out.u8(key::ALERT)?.str(alert)?.u8(key::SEVERITY)?.u8(severity.number())?;
            if let Some(value) = value {
                out.u8(key::VALUE)?.i64(*value)?;
            }
        }
        Body::Measured { pcrs, digests } => {
            out.u8(key::PCRS)?.bytes(pcrs)?.u8(key::DIGESTS)?.bytes(digests)?;
        }
        _ => {}
    }
    Ok(())
}
