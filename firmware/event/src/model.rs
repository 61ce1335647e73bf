//! The shape of an event in memory: borrowed, fixed, no allocation.

use crate::kind::{Cause, GapCause, Kind, Level, Mode, ModeReason, Verdict};

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// `CLOCK_BOOTTIME`, nanoseconds since this boot began.
    pub time: u64,
    /// The workload and task it happened to; none for what Aegis says of itself.
    pub subject: Option<Subject<'a>>,
    /// What happened.
    pub body: Body<'a>,
}

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject<'a> {
    /// Workload name: any bytes but NUL and `/`, 1 to [`crate::limits::WORKLOAD_BYTES`] long.
    pub workload: &'a [u8],
    /// cgroup v2 id (the kernfs inode number of its directory).
    pub cgroup: u64,
    /// The task.
    pub process: Process<'a>,
}

/// A task, as the initial pid namespace numbers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process<'a> {
    /// Thread id.
    pub pid: u32,
    /// Process (thread group) id.
    pub tgid: u32,
    /// Parent's process id.
    pub ppid: u32,
    /// Real user id, initial user namespace.
    pub uid: u32,
    /// `comm`, NUL padding removed; any bytes.
    pub comm: &'a [u8],
}

/// What was decided about an access, and by what. Recorded by the kernel at the time of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The outcome.
    pub verdict: Verdict,
    /// Sequence of the policy that was active.
    pub policy: u64,
    /// Name of the rule that matched; empty when none did.
    pub rule: &'a [u8],
    /// Audited only because the glass was broken: it would have been denied. Never with another verdict, or without rule.
    pub glass_broken: bool,
}

impl Decision<'_> {
    /// No rule matched under the policy with this sequence.
    pub const fn allowed(policy: u64) -> Self {
        Self { verdict: Verdict::Allowed, policy, rule: &[], glass_broken: false }
    }
}

/// A file, as the kernel names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File<'a> {
    /// Kernel device number: major << 20 | minor (`include/linux/kdev_t.h`), not `st_dev`.
    pub device: u32,
    /// Inode number.
    pub inode: u64,
    /// Path as the task's root sees it; any bytes but NUL.
    pub path: &'a [u8],
    /// The path did not fit: only its last component, or its beginning, is there.
    pub truncated: bool,
}

/// What happened. One variant a [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// The subject made a task.
    Fork {
        /// The new task's thread id.
        child_pid: u32,
        /// The new task's process id; equal to the subject's for a thread.
        child_tgid: u32,
    },
    /// The subject executed a program.
    Exec {
        /// The program.
        file: File<'a>,
        /// Arguments, each followed by NUL, as in `/proc/PID/cmdline`; any bytes.
        argv: &'a [u8],
        /// The arguments did not fit.
        argv_truncated: bool,
    },
    /// The subject's process ended.
    Exit {
        /// Exit status, 0 to 255.
        status: u8,
        /// Signal that killed it, 0 if none.
        signal: u8,
    },
    /// The subject opened a file.
    Open {
        /// The file.
        file: File<'a>,
        /// `O_*` flags of the open file (`f_flags`).
        flags: u32,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// A rule matched a program the subject was about to execute.
    ExecCheck {
        /// The program, or its script interpreter.
        file: File<'a>,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The subject connected a socket.
    Connect {
        /// `AF_INET` (2) or `AF_INET6` (10).
        family: u16,
        /// Protocol number (`IPPROTO_*`).
        protocol: u8,
        /// Remote port.
        port: u16,
        /// Remote address, 4 or 16 bytes, network order.
        address: &'a [u8],
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The agent started.
    Start {
        /// Agent version.
        version: &'a str,
        /// The ring was found sealed by the last run; false after a power cut or kill, and on a new ring.
        clean: bool,
    },
    /// The agent stopped.
    Stop {
        /// The signal that asked for it, 0 if none.
        signal: u8,
    },
    /// A bundle was offered.
    Policy {
        /// Reason code (`docs/formats/reason-codes.md`); `accepted` or `unchanged` when it was taken.
        code: &'a str,
        /// Epoch of the bundle; 0 when it was refused before that was known.
        epoch: u64,
        /// Sequence of the bundle; 0 when it was refused before that was known.
        sequence: u64,
        /// SHA-256 of the file offered.
        hash: &'a [u8; 32],
        /// For a person: file name and place.
        detail: &'a str,
    },
    /// Events were lost.
    Loss {
        /// Whose; empty when it can't be told.
        workload: &'a [u8],
        /// Why.
        cause: Cause,
        /// How many since the last loss event of this cause and workload.
        count: u64,
    },
    /// What is enforced.
    ModeChange {
        /// The mode.
        mode: Mode,
        /// Why it is that.
        reason: ModeReason,
        /// Epoch and sequence of the policy in force.
        epoch: u64,
        /// Sequence of the policy in force.
        sequence: u64,
    },
    /// The glass was broken, or its breaking refused.
    BreakGlass {
        /// Reason code (`docs/formats/reason-codes.md`).
        code: &'a str,
        /// Sequence of the token; 0 when it was refused before that was known, and for the marker file.
        sequence: u64,
        /// `CLOCK_BOOTTIME` ns when the break ends; 0 when it was refused.
        until: u64,
        /// For a person: the key holder's words, or the detail of the refusal.
        reason: &'a str,
        /// SHA-256 of the token; zeros for the marker file.
        hash: &'a [u8; 32],
    },
    /// Root metadata was offered.
    Root {
        /// Reason code (`docs/formats/reason-codes.md`).
        code: &'a str,
        /// Version of the root metadata; 0 when it was refused before that was known.
        version: u64,
        /// Epoch it sets; 0 when it was refused before that was known.
        epoch: u64,
        /// SHA-256 of the file offered.
        hash: &'a [u8; 32],
        /// For a person: file name and place.
        detail: &'a str,
    },
    /// A stick was seen.
    Stick {
        /// What there is to say of it (`docs/formats/reason-codes.md`).
        code: &'a str,
        /// For a person.
        detail: &'a str,
    },
    /// The policy in force has expired. It stays in force.
    PolicyStale {
        /// Epoch of the policy in force.
        epoch: u64,
        /// Sequence of the policy in force.
        sequence: u64,
        /// When it expired, as signed; Unix time, seconds.
        expires: u64,
        /// The time it was held against; Unix time, seconds.
        now: u64,
    },
    /// The books since this boot began.
    Accounts(Accounts),
    /// The glass is whole again.
    GlassMended {
        /// `CLOCK_BOOTTIME` ns when the break ended.
        until: u64,
        /// Decisions since the last such event that would have been denials, had the glass been whole. An exec is decided
        /// at two hooks.
        passed: u64,
        /// The mode from here on, as the last self-test proved it.
        mode: Mode,
        /// Why it is that.
        reason: ModeReason,
    },
    /// How full the ring is of events that were not exported is called otherwise from here on.
    RingLevel {
        /// The level.
        level: Level,
        /// What they take of the ring's capacity, percent, 0 to 100.
        percent: u8,
    },
    /// Sequences can't be read.
    Gap(Gap),
    /// A chain of sealing keys begins, or a checkpoint could not be stored.
    Seal {
        /// Reason code (`docs/formats/reason-codes.md`).
        code: &'a str,
        /// The epoch that runs.
        epoch: u64,
    },
    /// The configuration that the agent runs with.
    Config {
        /// Where it comes from: `defaults`, `file`, `last-good`.
        code: &'a str,
        /// For a person: what it says, or what is wrong with the file.
        detail: &'a str,
    },
}

/// What can't be read, as the ring's own gap record says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub cause: GapCause,
    /// First sequence that is missing. Of a cut: the one after the last that is certain; it was given again.
    pub first: u64,
    /// Last sequence that is missing. Of a cut: the one before `first`, as none is known to be missing.
    pub last: u64,
    /// Sequences lost by this cause since the ring was formatted, these included; cuts, for a cut.
    pub total: u64,
    /// The boot whose run ended, for a cut and for damage; zeros otherwise.
    pub boot: [u8; 16],
}

impl Gap {
    /// What it says goes together.
    pub(crate) const fn consistent(&self) -> bool {
        match self.cause {
            GapCause::Cut => self.first > 0 && self.last == self.first - 1 && self.total > 0,
            GapCause::Overwritten | GapCause::Damaged => {
                self.first > 0 && self.first <= self.last && self.last - self.first < self.total
            }
        }
    }
}

/// The accounting law: `seen = written + lost`, all since the probes were loaded in this boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Events the kernel made, notes of Aegis's own commands included.
    pub seen: u64,
    /// Of those, events handed to the ring on disk in this boot.
    pub written: u64,
    /// Lost, by [`Cause`] number.
    pub lost: [u64; Cause::ALL.len()],
}

impl Accounts {
    /// True when every event seen is on disk or counted as lost.
    pub fn balanced(&self) -> bool {
        self.written.checked_add(self.total_lost()) == Some(self.seen)
    }

    /// Events lost, whatever the cause.
    pub fn total_lost(&self) -> u64 {
        self.lost.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Events seen that are neither written nor counted as lost: on their way, or missing.
    pub fn missing(&self) -> u64 {
        self.seen.saturating_sub(self.written.saturating_add(self.total_lost()))
    }
}

impl Body<'_> {
    /// The kind of this body.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Fork { .. } => Kind::Fork,
            Self::Exec { .. } => Kind::Exec,
            Self::Exit { .. } => Kind::Exit,
            Self::Open { .. } => Kind::Open,
            Self::ExecCheck { .. } => Kind::ExecCheck,
            Self::Connect { .. } => Kind::Connect,
            Self::Start { .. } => Kind::Start,
            Self::Stop { .. } => Kind::Stop,
            Self::Policy { .. } => Kind::Policy,
            Self::Loss { .. } => Kind::Loss,
            Self::ModeChange { .. } => Kind::ModeChange,
            Self::Accounts(_) => Kind::Accounts,
            Self::BreakGlass { .. } => Kind::BreakGlass,
            Self::Root { .. } => Kind::Root,
            Self::Stick { .. } => Kind::Stick,
            Self::PolicyStale { .. } => Kind::PolicyStale,
            Self::GlassMended { .. } => Kind::GlassMended,
            Self::RingLevel { .. } => Kind::RingLevel,
            Self::Gap(_) => Kind::Gap,
            Self::Seal { .. } => Kind::Seal,
            Self::Config { .. } => Kind::Config,
        }
    }

    /// The decision recorded with this body, if its kind has one.
    pub const fn decision(&self) -> Option<&Decision<'_>> {
        match self {
            Self::Open { decision, .. }
            | Self::ExecCheck { decision, .. }
            | Self::Connect { decision, .. } => Some(decision),
            _ => None,
        }
    }
}

impl<'a> Body<'a> {
    /// As [`Body::decision`], to change.
    pub(crate) const fn decision_mut(&mut self) -> Option<&mut Decision<'a>> {
        match self {
            Self::Open { decision, .. }
            | Self::ExecCheck { decision, .. }
            | Self::Connect { decision, .. } => Some(decision),
            _ => None,
        }
    }
}

impl Event<'_> {
    /// The kind of this event.
    pub const fn kind(&self) -> Kind {
        self.body.kind()
    }

    /// The verdict recorded with this event, if its kind has one.
    pub fn verdict(&self) -> Option<Verdict> {
        self.body.decision().map(|decision| decision.verdict)
    }
}
