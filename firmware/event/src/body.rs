//! What can happen: one body a kind of event.

use crate::decision::Decision;
use crate::kind::{Cause, Kind, Level, Mode, ModeReason, Severity};
use crate::model::{Accounts, Call, Endpoint, File, Gap, Place, Privileges};

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
        /// `O_*` flags of the open file (`f_flags`), as `asm-generic/fcntl.h` numbers them, whatever the architecture.
        flags: u32,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// A rule matched a program the subject was about to execute, or to map as code.
    ExecCheck {
        /// The program, its script interpreter or its ELF loader.
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
    /// The subject made a file, directory, node or symbolic link.
    Create {
        /// The file; its inode is 0 where it has none yet.
        file: File<'a>,
        /// Type and permissions (`st_mode`).
        mode: u32,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The subject removed a file or directory.
    Unlink {
        /// The file.
        file: File<'a>,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The subject gave a file another name.
    Rename {
        /// The file, as it was called before.
        file: File<'a>,
        /// Its new name; any bytes but NUL.
        to: &'a [u8],
        /// Only the last component of the new name, or its beginning, is there.
        to_truncated: bool,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The subject gave a file one more name.
    Link {
        /// The file.
        file: File<'a>,
        /// Its new name; any bytes but NUL.
        to: &'a [u8],
        /// Only the last component of the new name, or its beginning, is there.
        to_truncated: bool,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The subject set a file's attributes.
    SetAttr {
        /// The file.
        file: File<'a>,
        /// Which (`ATTR_*`, `include/linux/fs.h`).
        valid: u32,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The subject made a socket.
    Socket {
        /// Without port and address.
        endpoint: Endpoint<'a>,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The subject bound a socket to an address.
    Bind {
        /// The subject's own end.
        endpoint: Endpoint<'a>,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The subject lets a socket listen.
    Listen {
        /// The subject's own end.
        endpoint: Endpoint<'a>,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The subject accepted a connection.
    Accept {
        /// The other end.
        endpoint: Endpoint<'a>,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The subject connected to a socket with a path, or sent to it.
    UnixConnect {
        /// The socket.
        file: File<'a>,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The subject traced a process, or asked for its memory.
    Ptrace {
        /// What was asked.
        call: Call<'a>,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The subject loaded a kernel module.
    Module {
        /// What was asked.
        call: Call<'a>,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The subject called `bpf(2)`.
    BpfCall {
        /// What was asked.
        call: Call<'a>,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The subject mounted, moved or unmounted something.
    Mount {
        /// What was asked.
        call: Call<'a>,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The subject sent the agent a signal.
    Signal {
        /// What was asked.
        call: Call<'a>,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The subject's new task was on its way out of the workload's cgroup.
    Escape {
        /// What was asked.
        call: Call<'a>,
        /// What was decided.
        decision: Decision<'a>,
    },
    /// The subject's privileges changed.
    Privilege {
        /// Until now.
        old: Privileges,
        /// From now on.
        new: Privileges,
    },
    /// The subject closed a file that it, or who it was shared with, read or wrote.
    Volume {
        /// The file; of its path, the last component.
        file: File<'a>,
        /// Bytes.
        read: u64,
        /// Bytes.
        written: u64,
    },
    /// The subject closed a socket.
    Flow {
        /// `AF_*`.
        family: u16,
        /// Protocol number (`IPPROTO_*`).
        protocol: u8,
        /// The subject's own end.
        local: Place<'a>,
        /// The other end.
        remote: Place<'a>,
        /// Bytes of payload.
        received: u64,
        /// Bytes of payload.
        sent: u64,
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
    /// An image of the system was taken, refused, committed or given up.
    Image {
        /// Reason code (`docs/formats/reason-codes.md`).
        code: &'a str,
        /// Epoch of the image; 0 when it was refused before that was known.
        epoch: u64,
        /// Sequence of the image; 0 when it was refused before that was known.
        sequence: u64,
        /// SHA-256 of its manifest; zeros when it was refused before that was known.
        hash: &'a [u8; 32],
        /// For a person: file name and place, slot, what is wrong.
        detail: &'a str,
    },
    /// A workload was taken, refused, taken away, started, or ended.
    Workload {
        /// Its name; empty when it was refused before that was known.
        workload: &'a [u8],
        /// Reason code (`docs/formats/reason-codes.md`).
        code: &'a str,
        /// Its epoch; 0 when it was refused before that was known.
        epoch: u64,
        /// Its sequence; 0 when it was refused before that was known.
        sequence: u64,
        /// SHA-256 of its manifest; zeros when it was refused before that was known.
        hash: &'a [u8; 32],
        /// For a person: file name and place, exit code, what is wrong.
        detail: &'a str,
    },
    /// An alert of the policy fires, or is over.
    Alert {
        /// Its name.
        alert: &'a str,
        /// How bad.
        severity: Severity,
        /// Reason code (`docs/formats/reason-codes.md`).
        code: &'a str,
        /// Sequence of the policy that it is of.
        sequence: u64,
        /// The figure, thousandths; `None` where there is none.
        value: Option<i64>,
        /// The series that it is about, `label=value` with commas; empty when it has no labels.
        detail: &'a str,
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
    /// A workload was denied too much in too short a time, and is only audited until the next policy.
    Deadman {
        /// Whose denials they were.
        workload: &'a [u8],
        /// Sequence of the policy in force.
        sequence: u64,
        /// `CLOCK_BOOTTIME` ns of the first access that passed because of it.
        since: u64,
    },
    /// Something was done to the disk's table, to the ring's or the data partition, or could not be.
    Storage {
        /// What (`docs/formats/reason-codes.md`).
        code: &'a str,
        /// For a person: where, how large, or why not.
        detail: &'a str,
    },
    /// What was measured into the TPM in this boot.
    Measured {
        /// The PCRs, a byte each: their numbers, ascending.
        pcrs: &'a [u8],
        /// Their values in the SHA-256 bank, 32 bytes each, in the same order.
        digests: &'a [u8],
    },
}

impl<'a> Body<'a> {
    /// The kind of this body.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Fork { .. } => Kind::Fork,
            Self::Exec { .. } => Kind::Exec,
            Self::Exit { .. } => Kind::Exit,
            Self::Open { .. } => Kind::Open,
            Self::ExecCheck { .. } => Kind::ExecCheck,
            Self::Connect { .. } => Kind::Connect,
            Self::Create { .. } => Kind::Create,
            Self::Unlink { .. } => Kind::Unlink,
            Self::Rename { .. } => Kind::Rename,
            Self::Link { .. } => Kind::Link,
            Self::SetAttr { .. } => Kind::SetAttr,
            Self::Socket { .. } => Kind::Socket,
            Self::Bind { .. } => Kind::Bind,
            Self::Listen { .. } => Kind::Listen,
            Self::Accept { .. } => Kind::Accept,
            Self::UnixConnect { .. } => Kind::UnixConnect,
            Self::Ptrace { .. } => Kind::Ptrace,
            Self::Module { .. } => Kind::Module,
            Self::BpfCall { .. } => Kind::BpfCall,
            Self::Mount { .. } => Kind::Mount,
            Self::Signal { .. } => Kind::Signal,
            Self::Escape { .. } => Kind::Escape,
            Self::Privilege { .. } => Kind::Privilege,
            Self::Volume { .. } => Kind::Volume,
            Self::Flow { .. } => Kind::Flow,
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
            Self::Image { .. } => Kind::Image,
            Self::Workload { .. } => Kind::Workload,
            Self::Alert { .. } => Kind::Alert,
            Self::GlassMended { .. } => Kind::GlassMended,
            Self::RingLevel { .. } => Kind::RingLevel,
            Self::Gap(_) => Kind::Gap,
            Self::Seal { .. } => Kind::Seal,
            Self::Config { .. } => Kind::Config,
            Self::Deadman { .. } => Kind::Deadman,
            Self::Storage { .. } => Kind::Storage,
            Self::Measured { .. } => Kind::Measured,
        }
    }

    /// The decision recorded with this body, if its kind has one.
    pub const fn decision(&self) -> Option<&Decision<'a>> {
        match self {
            Self::Open { decision, .. }
            | Self::ExecCheck { decision, .. }
            | Self::Connect { decision, .. }
            | Self::Create { decision, .. }
            | Self::Unlink { decision, .. }
            | Self::Rename { decision, .. }
            | Self::Link { decision, .. }
            | Self::SetAttr { decision, .. }
            | Self::Socket { decision, .. }
            | Self::Bind { decision, .. }
            | Self::Listen { decision, .. }
            | Self::Accept { decision, .. }
            | Self::UnixConnect { decision, .. }
            | Self::Ptrace { decision, .. }
            | Self::Module { decision, .. }
            | Self::BpfCall { decision, .. }
            | Self::Mount { decision, .. }
            | Self::Signal { decision, .. }
            | Self::Escape { decision, .. } => Some(decision),
            _ => None,
        }
    }

    /// The file this body is about, if its kind has one.
    pub const fn file(&self) -> Option<&File<'a>> {
        match self {
            Self::Exec { file, .. }
            | Self::Open { file, .. }
            | Self::ExecCheck { file, .. }
            | Self::Create { file, .. }
            | Self::Unlink { file, .. }
            | Self::Rename { file, .. }
            | Self::Link { file, .. }
            | Self::SetAttr { file, .. }
            | Self::UnixConnect { file, .. }
            | Self::Volume { file, .. } => Some(file),
            _ => None,
        }
    }

    /// The end of a connection this body is about, if its kind has one. A connect's socket type is not known: 0.
    pub const fn endpoint(&self) -> Option<Endpoint<'a>> {
        match *self {
            Self::Connect { family, protocol, port, address, .. } => {
                Some(Endpoint { family, socket_type: 0, protocol, port, address })
            }
            Self::Socket { endpoint, .. }
            | Self::Bind { endpoint, .. }
            | Self::Listen { endpoint, .. }
            | Self::Accept { endpoint, .. } => Some(endpoint),
            _ => None,
        }
    }

    /// What was asked of the kernel's surface, if this body is about that.
    pub const fn call(&self) -> Option<&Call<'a>> {
        match self {
            Self::Ptrace { call, .. }
            | Self::Module { call, .. }
            | Self::BpfCall { call, .. }
            | Self::Mount { call, .. }
            | Self::Signal { call, .. }
            | Self::Escape { call, .. } => Some(call),
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
            | Self::Connect { decision, .. }
            | Self::Create { decision, .. }
            | Self::Unlink { decision, .. }
            | Self::Rename { decision, .. }
            | Self::Link { decision, .. }
            | Self::SetAttr { decision, .. }
            | Self::Socket { decision, .. }
            | Self::Bind { decision, .. }
            | Self::Listen { decision, .. }
            | Self::Accept { decision, .. }
            | Self::UnixConnect { decision, .. }
            | Self::Ptrace { decision, .. }
            | Self::Module { decision, .. }
            | Self::BpfCall { decision, .. }
            | Self::Mount { decision, .. }
            | Self::Signal { decision, .. }
            | Self::Escape { decision, .. } => Some(decision),
            _ => None,
        }
    }

    /// As [`Body::call`], to change.
    pub(crate) const fn call_mut(&mut self) -> Option<&mut Call<'a>> {
        match self {
            Self::Ptrace { call, .. }
            | Self::Module { call, .. }
            | Self::BpfCall { call, .. }
            | Self::Mount { call, .. }
            | Self::Signal { call, .. }
            | Self::Escape { call, .. } => Some(call),
            _ => None,
        }
    }
}
