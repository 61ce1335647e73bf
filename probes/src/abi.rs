//! `bpf/abi.h` in Rust: the layout of records, map keys and map values. Little-endian, no padding.
//!
//! Records are read through [`zerocopy`]; pages that the kernel writes while we read them ([`Control`],
//! [`Counters`]) are made of atomics.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Changes with every change of this file; part of the pin directory's name.
pub const ABI_VERSION: u32 = 3;
/// Longest path, or argument list, in a record, bytes.
pub const PATH_MAX: usize = 256;
/// `TASK_COMM_LEN`.
pub const COMM_MAX: usize = 16;
/// Longest note, bytes.
pub const NOTE_MAX: usize = 512;
/// Workload slots; slot 0 is the self-test's, and the notes' books.
pub const WORKLOADS_MAX: usize = 256;
/// Longest workload name, bytes.
pub const WORKLOAD_NAME_MAX: usize = 64;
/// Entries of one rule set.
pub const RULES_MAX: usize = 65536;
/// Names of one rule set.
pub const RULE_NAMES_MAX: usize = 65536;
/// Longest rule name, bytes.
pub const RULE_NAME_MAX: usize = 32;
/// cgroup ancestors looked at, from the root down.
pub const CGROUP_DEPTH_MAX: usize = 8;
/// The kernel ring buffer, bytes. Resident twice over in the agent, which maps it twice in a row.
pub const RING_BYTES: usize = 1024 * 1024;
/// The rules of the self-test's cgroup; a policy's workloads count from 1.
pub const RULESET_SELFTEST: u32 = 0;

/// `enum aegis_kind`: a task made another.
pub const FORK: u16 = 1;
/// A program was executed.
pub const EXEC: u16 = 2;
/// A process ended.
pub const EXIT: u16 = 3;
/// A file was opened, or its opening denied.
pub const OPEN: u16 = 4;
/// A rule matched a program about to be executed.
pub const EXEC_CHECK: u16 = 5;
/// A socket was connected.
pub const CONNECT: u16 = 6;
/// An event of one of Aegis's own commands.
pub const NOTE: u16 = 32;

/// `enum aegis_verdict`: no rule matched, or the rule allows.
pub const ALLOWED: u8 = 0;
/// A rule matched and only reports.
pub const AUDITED: u8 = 1;
/// A rule matched and the kernel returned `EPERM`.
pub const DENIED: u8 = 2;

/// `enum aegis_flags`: the path is its last component, or cut.
pub const PATH_TRUNCATED: u8 = 1;
/// The arguments were cut, or could not be read.
pub const ARGV_TRUNCATED: u8 = 2;
/// Audited only because the glass is broken: it would have been denied.
pub const GLASS_BROKEN: u8 = 4;

/// `enum aegis_operation`: index into [`Rule::verdict`] and [`Rule::rule`].
pub const OP_OPEN_READ: usize = 0;
/// Opening for writing.
pub const OP_OPEN_WRITE: usize = 1;
/// Executing.
pub const OP_EXEC: usize = 2;
/// How many operations a rule has room for.
pub const OPERATIONS: usize = 4;

/// `enum aegis_hook`: index into [`Counters::hits`].
pub const HOOK_PROCESS: usize = 0;
/// `security_file_open`.
pub const HOOK_FILE_OPEN: usize = 1;
/// `security_bprm_check`.
pub const HOOK_BPRM_CHECK: usize = 2;
/// `security_socket_connect`.
pub const HOOK_CONNECT: usize = 3;
/// The note program.
pub const HOOK_NOTE: usize = 4;
/// How many hooks are counted.
pub const HOOK_COUNT: usize = 5;

/// `struct aegis_record`: head of every record.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Head {
    /// What happened: [`FORK`] … [`NOTE`].
    pub kind: u16,
    /// Bytes of the whole record, head included.
    pub length: u16,
    /// [`ALLOWED`], [`AUDITED`] or [`DENIED`].
    pub verdict: u8,
    /// [`PATH_TRUNCATED`] | [`ARGV_TRUNCATED`] | [`GLASS_BROKEN`].
    pub flags: u8,
    /// Rule set that decided, 0 or 1.
    pub set: u8,
    /// Zero.
    pub reserved: u8,
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub time: u64,
    /// Id of the task's own cgroup.
    pub cgroup: u64,
    /// Sequence of the policy that decided.
    pub policy: u64,
    /// Workload slot.
    pub slot: u32,
    /// Index into the rule set's names + 1; 0: no rule matched, and the record has no rule name.
    pub rule: u32,
    /// Thread id, initial pid namespace.
    pub pid: u32,
    /// Process id.
    pub tgid: u32,
    /// Parent's process id.
    pub ppid: u32,
    /// Real user id, initial user namespace.
    pub uid: u32,
    /// NUL padded.
    pub comm: [u8; COMM_MAX],
}

/// `struct aegis_fork`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Fork {
    /// The forking task.
    pub head: Head,
    /// The new task's thread id.
    pub child_pid: u32,
    /// The new task's process id.
    pub child_tgid: u32,
}

/// `struct aegis_exit`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exit {
    /// The process's last thread.
    pub head: Head,
    /// As `wait(2)` returns it: status << 8 | signal (| 0x80: core dumped).
    pub code: u32,
    /// Zero.
    pub reserved: u32,
}

/// `struct aegis_file`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FileRecord {
    /// Inode number.
    pub inode: u64,
    /// major << 20 | minor.
    pub device: u32,
    /// `f_flags` for an open, 0 else.
    pub flags: u32,
    /// Bytes of `path` in use, without NUL.
    pub path_length: u16,
    /// Bytes of `argv` in use; exec only.
    pub argv_length: u16,
    /// Zero.
    pub reserved: u32,
    /// What is behind `path_length` is undefined.
    pub path: [u8; PATH_MAX],
}

/// `struct aegis_rule_name`: value of maps `rule_names_0` and `rule_names_1`, and part of a decision's record.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(8))]
pub struct RuleName {
    /// NUL padded.
    pub name: [u8; RULE_NAME_MAX],
}

/// `struct aegis_access`: kinds [`OPEN`] and [`EXEC_CHECK`].
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Access {
    /// The task, and the decision.
    pub head: Head,
    /// Name of the rule that matched, as it was when the kernel decided; NULs when none did.
    pub rule: RuleName,
    /// The file.
    pub file: FileRecord,
}

/// `struct aegis_exec`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exec {
    /// The task.
    pub head: Head,
    /// The program, or the script's interpreter.
    pub file: FileRecord,
    /// Arguments, each followed by NUL; undefined behind `argv_length`.
    pub argv: [u8; PATH_MAX],
}

/// `struct aegis_connect`. No rule speaks of it yet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Connect {
    /// The task.
    pub head: Head,
    /// `AF_INET` (2) or `AF_INET6` (10).
    pub family: u16,
    /// Remote port, host order.
    pub port: u16,
    /// `IPPROTO_*`.
    pub protocol: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// Network order; the first 4 bytes for `AF_INET`.
    pub address: [u8; 16],
}

/// `struct aegis_note`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NoteRecord {
    /// The command that sent it.
    pub head: Head,
    /// Bytes of `note` in use.
    pub note_length: u32,
    /// Zero.
    pub reserved: u32,
    /// One event (`docs/formats/event.cddl`).
    pub note: [u8; NOTE_MAX],
}

/// `struct aegis_cgroup`: value of map `cgroups`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Cgroup {
    /// Workload slot.
    pub slot: u32,
    /// Which of the rules apply, per rule set.
    pub ruleset: [u32; 2],
    /// Zero.
    pub reserved: u32,
}

/// `struct aegis_rule_key`: key of maps `rules_0` and `rules_1`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct RuleKey {
    /// Inode number.
    pub inode: u64,
    /// major << 20 | minor.
    pub device: u32,
    /// [`RULESET_SELFTEST`], or a policy's workload.
    pub ruleset: u32,
}

/// `struct aegis_rule`: value of maps `rules_0` and `rules_1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Rule {
    /// Name index + 1, per operation; 0: none.
    pub rule: [u32; OPERATIONS],
    /// Verdict, per operation.
    pub verdict: [u8; OPERATIONS],
    /// Zero.
    pub reserved: u32,
}

/// `struct aegis_control`: the page of map `control`.
#[derive(Debug, FromBytes, KnownLayout)]
#[repr(C)]
pub struct Control {
    /// [`ABI_VERSION`].
    pub abi_version: AtomicU32,
    /// Rule set in force, 0 or 1.
    pub active: AtomicU32,
    /// Sequence of the policy in each set.
    pub policy: [AtomicU64; 2],
    /// Epoch of the policy in each set.
    pub epoch: [AtomicU64; 2],
    /// `aegis_event::Mode`.
    pub mode: AtomicU32,
    /// `aegis_event::ModeReason`.
    pub reason: AtomicU32,
    /// Rules of the policy in each set.
    pub rules: [AtomicU32; 2],
    /// Entries filled for them.
    pub entries: [AtomicU32; 2],
    /// Paths of the policy that do not exist on this host.
    pub unresolved: [AtomicU32; 2],
    /// SHA-256 of the bundle in each set.
    pub policy_hash: [[AtomicU8; 32]; 2],
    /// `CLOCK_BOOTTIME`, nanoseconds, when the probes were loaded.
    pub loaded_at: AtomicU64,
    /// Until then (`CLOCK_BOOTTIME`, nanoseconds) nothing is denied, the self-test's own rules excepted. 0: the glass was
    /// not broken in this boot; in the past: when the last break ended.
    pub broken_until: AtomicU64,
}

/// `struct aegis_counters`: an element of map `counters`.
#[derive(Debug, FromBytes, KnownLayout)]
#[repr(C)]
pub struct Counters {
    /// Events made: reserved in the ring buffer or lost.
    pub seen: AtomicU64,
    /// Lost: the ring buffer had no room.
    pub ring_full: AtomicU64,
    /// Denials.
    pub denied: AtomicU64,
    /// Decisions that would have been denials, had the glass been whole.
    pub passed: AtomicU64,
    /// Hook invocations on this workload's tasks.
    pub hits: [AtomicU64; HOOK_COUNT],
}
