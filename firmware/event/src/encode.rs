//! Event to deterministic CBOR: one map, integer keys in ascending order, shortest forms.

use minicbor::encode::write::Cursor;

use crate::kind::Verdict;
use crate::limits;
use crate::model::{Body, Decision, Event, File};

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
}

/// Why an event could not be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The slice is too short; [`limits::EVENT_BYTES`] always suffices.
    NoRoom,
    /// A field is longer than `limits` allows.
    FieldTooLong,
    /// A decision says that broken glass let it pass, but is not an audited one by a rule.
    NotAudited,
    /// A percentage over 100, or a gap whose figures don't go together.
    Inconsistent,
}

impl core::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoRoom => "no room for the event",
            Self::FieldTooLong => "a field of the event is too long",
            Self::NotAudited => "what broken glass let pass is not audited by a rule",
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
        if self.passed_glass().is_some_and(|d| d.verdict != Verdict::Audited || d.rule.is_empty()) {
            return Err(EncodeError::NotAudited);
        }
        let consistent = match &self.body {
            Body::RingLevel { percent, .. } => *percent <= 100,
            Body::Gap(gap) => gap.consistent(),
            _ => true,
        };
        if !consistent {
            return Err(EncodeError::Inconsistent);
        }
        let mut encoder = minicbor::Encoder::new(Cursor::new(out));
        self.write(&mut encoder).map_err(|_| EncodeError::NoRoom)?;
        Ok(encoder.writer().position())
    }

    /// The decision, when it was let pass by broken glass.
    fn passed_glass(&self) -> Option<&Decision<'_>> {
        self.body.decision().filter(|decision| decision.glass_broken)
    }

    fn fits(&self) -> bool {
        let file_fits = |file: &File<'_>| file.path.len() <= limits::PATH_BYTES;
        let decision_fits = |decision: &Decision<'_>| decision.rule.len() <= limits::RULE_NAME_BYTES;
        let subject_fits = self.subject.is_none_or(|subject| {
            subject.workload.len() <= limits::WORKLOAD_BYTES
                && subject.process.comm.len() <= limits::COMM_BYTES
        });
        subject_fits
            && self.body.decision().is_none_or(decision_fits)
            && match &self.body {
                Body::Exec { file, argv, .. } => file_fits(file) && argv.len() <= limits::PATH_BYTES,
                Body::Open { file, .. } | Body::ExecCheck { file, .. } => file_fits(file),
                Body::Connect { address, .. } => matches!(address.len(), 4 | 16),
                Body::Start { version, .. } => version.len() <= limits::DETAIL_BYTES,
                Body::Policy { code, detail, .. }
                | Body::BreakGlass { code, reason: detail, .. }
                | Body::Root { code, detail, .. }
                | Body::Stick { code, detail }
                | Body::Config { code, detail } => {
                    code.len() <= limits::DETAIL_BYTES && detail.len() <= limits::DETAIL_BYTES
                }
                Body::Seal { code, .. } => code.len() <= limits::DETAIL_BYTES,
                Body::Loss { workload, .. } => workload.len() <= limits::WORKLOAD_BYTES,
                _ => true,
            }
    }

    fn write(&self, out: &mut Out<'_>) -> Written {
        out.map(self.entries())?;
        out.u8(key::KIND)?.u8(self.kind().number())?;
        out.u8(key::TIME)?.u64(self.time)?;
        if let Body::Loss { workload, .. } = &self.body {
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
        if self.passed_glass().is_some() {
            out.u8(key::GLASS_BROKEN)?.bool(true)?;
        }
        Ok(())
    }

    /// How many entries the map has.
    fn entries(&self) -> u64 {
        let subject = if self.subject.is_some() { 3 } else { 0 };
        let decision = self.body.decision().map_or(0, |d| if d.rule.is_empty() { 2 } else { 3 });
        let glass = u64::from(self.passed_glass().is_some());
        let body = match self.body {
            Body::Stop { .. } | Body::ExecCheck { .. } => 1,
            Body::Fork { .. }
            | Body::Exit { .. }
            | Body::Open { .. }
            | Body::Start { .. }
            | Body::Stick { .. }
            | Body::RingLevel { .. }
            | Body::Seal { .. }
            | Body::Config { .. } => 2,
            Body::Exec { .. } | Body::Loss { .. } | Body::Accounts(_) => 3,
            Body::Connect { .. }
            | Body::ModeChange { .. }
            | Body::PolicyStale { .. }
            | Body::GlassMended { .. } => 4,
            Body::Policy { .. } | Body::BreakGlass { .. } | Body::Root { .. } | Body::Gap(_) => 5,
        };
        2 + subject + decision + body + glass
    }
}

fn write_file(out: &mut Out<'_>, file: &File<'_>) -> Written {
    out.u8(key::FILE)?.array(4)?;
    out.u32(file.device)?.u64(file.inode)?.bytes(file.path)?.bool(file.truncated)?;
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
        Body::Open { file, flags, .. } => {
            write_file(out, file)?;
            out.u8(key::FLAGS)?.u32(*flags)?;
        }
        Body::ExecCheck { file, .. } => write_file(out, file)?,
        Body::Connect { family, protocol, port, address, .. } => {
            out.u8(key::FAMILY)?.u16(*family)?.u8(key::PROTOCOL)?.u8(*protocol)?;
            out.u8(key::PORT)?.u16(*port)?.u8(key::ADDRESS)?.bytes(address)?;
        }
        Body::Start { version, clean } => {
            out.u8(key::VERSION)?.str(version)?.u8(key::CLEAN)?.bool(*clean)?;
        }
        Body::Stop { signal } => {
            out.u8(key::SIGNAL)?.u8(*signal)?;
        }
        Body::Policy { code, epoch, sequence, hash, detail } => {
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
            out.u8(key::LOST)?.array(books.lost.len() as u64)?;
            for count in books.lost {
                out.u64(count)?;
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
        Body::Stick { code, detail } | Body::Config { code, detail } => {
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
    }
    Ok(())
}
