//! The shape of an event in memory: borrowed, fixed, no allocation.

use crate::body::Body;
use crate::kind::{Cause, GapCause, Kind, Verdict};

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

/// One end of a connection, or of one that may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// `AF_*`.
    pub family: u16,
    /// `SOCK_*`.
    pub socket_type: u8,
    /// Protocol number (`IPPROTO_*`).
    pub protocol: u8,
    /// Port; 0 where there is none.
    pub port: u16,
    /// Network order: 4 bytes for `AF_INET` (2), 16 for `AF_INET6` (10); empty for another family, and of a new socket.
    pub address: &'a [u8],
}

/// What was asked of the kernel's own surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// ptrace: mode (`PTRACE_MODE_*`); module: `enum kernel_read_file_id` or `enum kernel_load_data_id`; bpf: command; mount:
    /// flags; the number of a signal.
    pub number: u32,
    /// Process id of who is traced or signalled; 0 else.
    pub target: u32,
    /// module: last component of its file; mount: type, or what was called; any bytes but NUL.
    pub text: &'a [u8],
}

/// What a task may do: its effective user and capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privileges {
    /// Effective user id, initial user namespace.
    pub uid: u32,
    /// Effective capabilities, bit n for capability n (`include/uapi/linux/capability.h`).
    pub capabilities: u64,
}

/// Where one end of a flow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Port; 0 where there is none.
    pub port: u16,
    /// As [`Endpoint::address`].
    pub address: &'a [u8],
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
