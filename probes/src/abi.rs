//! `bpf/abi.h` in Rust: the layout of records, map keys and map values. Little-endian, no padding.
//!
//! Records are read through [`zerocopy`]; pages that the kernel writes while we read them ([`Control`],
//! [`Counters`]) are made of atomics.

use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Changes with every change of this file; part of the pin directory's name.
pub const ABI_VERSION: u32 = if cfg!(feature = "next-abi") { 10 } else { 9 };
/// Longest path, or argument list, in a record, bytes.
pub const PATH_MAX: usize = 256;
/// `TASK_COMM_LEN`.
pub const COMM_MAX: usize = 16;
/// Longest note, bytes.
pub const NOTE_MAX: usize = 512;
/// Longest text of a record about the kernel's surface, bytes.
pub const TEXT_MAX: usize = 64;
/// Workload slots; slot 0 is the self-test's, and the notes' books.
pub const WORKLOADS_MAX: usize = 256;
/// Longest workload name, bytes.
pub const WORKLOAD_NAME_MAX: usize = 64;
/// Entries of one rule set: a policy's 65,536, the self-test's and self-protection's.
pub const RULES_MAX: usize = 69632;
/// Entries of one set of names: of each of those the path and its last component; a third for what links lead to, and no more.
pub const NAMES_MAX: usize = 3 * RULES_MAX;
/// Rule names of one rule set: a policy's 65,536 and our own.
pub const RULE_NAMES_MAX: usize = 65540;
/// Longest rule name, bytes.
pub const RULE_NAME_MAX: usize = 32;
/// Address prefixes of one rule set, over all workloads.
pub const NETS_MAX: usize = 4096;
/// Rules that speak of one prefix.
pub const NET_RULES_MAX: usize = 16;
/// Program digests of one rule set, over all workloads.
pub const HASHES_MAX: usize = 4096;
/// cgroup ancestors looked at, from the root down.
pub const CGROUP_DEPTH_MAX: usize = 8;
/// Components and mounts from a file up to the root of all.
pub const WALK_MAX: usize = 64;
/// Mounts of one file system, since 6.18 looked through for the oldest.
pub const MOUNTS_MAX: usize = 4096;
/// Components of a path that is known by name, below its file system's root.
pub const NAME_DEPTH_MAX: usize = 8;
/// File systems known to have no subtree rule.
pub const PLAIN_DEVICES_MAX: usize = 8;
/// Places that Aegis and workloads share, and nobody mounts over.
pub const COMMON_MAX: usize = 8;
/// Open files whose volumes are being summed.
pub const VOLUMES_MAX: usize = 8192;
/// Sockets whose bytes are being summed: all but TCP.
pub const FLOWS_MAX: usize = 1024;
/// The kernel ring buffer, bytes. Resident in the agent, which maps it.
pub const RING_BYTES: usize = 1024 * 1024;
/// The rules of the self-test's cgroup; a policy's workloads count from 1.
pub const RULESET_SELFTEST: u32 = 0;
/// Workloads that no pattern of the policy covers: self-protection only.
pub const RULESET_OTHERS: u32 = 256;
/// How many [`Ruleset`]s each of the two sets of rules has.
pub const RULESETS_MAX: usize = 257;

/// `enum aegis_kind`: a task made another.
pub const FORK: u16 = 1;
/// A program was executed.
pub const EXEC: u16 = 2;
/// A process ended.
pub const EXIT: u16 = 3;
/// A file was opened, or its opening denied.
pub const OPEN: u16 = 4;
/// A rule matched a program, script interpreter, ELF loader or mapping as code.
pub const EXEC_CHECK: u16 = 5;
/// A socket was connected; also a message to an address, where a rule matched.
pub const CONNECT: u16 = 6;
/// A file, directory, node or symbolic link was made.
pub const CREATE: u16 = 7;
/// A file or directory was removed.
pub const UNLINK: u16 = 8;
/// A file was renamed.
pub const RENAME: u16 = 9;
/// A hard link was made.
pub const LINK: u16 = 10;
/// chmod, chown, truncate, times.
pub const SETATTR: u16 = 11;
/// A socket was made.
pub const SOCKET: u16 = 12;
/// A socket was bound to an address.
pub const BIND: u16 = 13;
/// A socket listens.
pub const LISTEN: u16 = 14;
/// A connection was accepted.
pub const ACCEPT: u16 = 15;
/// A socket with a path was connected to.
pub const UNIX_CONNECT: u16 = 16;
/// A process was traced.
pub const PTRACE: u16 = 17;
/// A module was loaded.
pub const MODULE: u16 = 18;
/// `bpf(2)` was called.
pub const BPF: u16 = 19;
/// Something was mounted, moved or unmounted.
pub const MOUNT: u16 = 20;
/// A signal to the agent.
pub const SIGNAL: u16 = 21;
/// A task on its way out of its workload's cgroup by `clone3(CLONE_INTO_CGROUP)`.
pub const ESCAPE: u16 = 22;
/// A process's privileges changed.
pub const PRIVILEGE: u16 = 23;
/// Bytes read from and written to one open file, at its close.
pub const VOLUME: u16 = 24;
/// Bytes of one socket, at its close.
pub const FLOW: u16 = 25;
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
/// Audited only because the deadman fell: it would have been denied.
pub const DEADMAN: u8 = 8;

/// `enum aegis_operation`: of files, an index into the arrays of [`Entry`]. Opening for reading.
pub const OP_OPEN_READ: usize = 0;
/// Opening for writing.
pub const OP_OPEN_WRITE: usize = 1;
/// Executing.
pub const OP_EXEC: usize = 2;
/// Making, removing, renaming, linking, setting attributes.
pub const OP_CHANGE: usize = 3;
/// Connecting to a socket with a path.
pub const OP_UNIX_CONNECT: usize = 4;
/// No rule speaks of it: a directory on the way to what is denied is not moved or removed.
pub const OP_HOLD: usize = 5;
/// How many file operations an entry has room for.
pub const FILE_OPERATIONS: usize = 6;
/// Of addresses: connecting.
pub const OP_CONNECT: usize = 8;
/// Binding.
pub const OP_BIND: usize = 9;
/// Of the kernel, an index into the arrays of [`Ruleset`], less this one: tracing.
pub const OP_PTRACE: usize = 16;
/// Loading a module.
pub const OP_MODULE: usize = 17;
/// `bpf(2)`.
pub const OP_BPF: usize = 18;
/// Mounting.
pub const OP_MOUNT: usize = 19;
/// Signalling the agent: self-protection's alone, as the next.
pub const OP_SIGNAL: usize = 20;
/// Leaving the workload's cgroup.
pub const OP_ESCAPE: usize = 21;
/// How many operations on the kernel's surface a rule set has room for.
pub const SURFACE_OPERATIONS: usize = 6;

/// `enum aegis_effect`: greater beats lesser; among equals the rule with the lower index.
pub const NO_EFFECT: u8 = 0;
/// Reports.
pub const EFFECT_AUDIT: u8 = 1;
/// Allows, unless another rule denies.
pub const EFFECT_ALLOW: u8 = 2;
/// A deny rule in audit mode: audited.
pub const EFFECT_TRIAL: u8 = 3;
/// Denies.
pub const EFFECT_DENY: u8 = 4;
/// An allow rule that says it beats deny.
pub const EFFECT_OVERRIDE: u8 = 5;

/// `enum aegis_match`: by what a rule matched. No rule did.
pub const MATCH_NONE: u8 = 0;
/// Device and inode of the file itself.
pub const MATCH_OBJECT: u8 = 1;
/// Device and inode of a directory above it.
pub const MATCH_TREE: u8 = 2;
/// Its path in its file system.
pub const MATCH_NAME: u8 = 3;
/// Number of a device node.
pub const MATCH_NODE: u8 = 4;
/// Digest of its content.
pub const MATCH_HASH: u8 = 5;
/// Address, port, protocol.
pub const MATCH_NET: u8 = 6;
/// The kernel's own surface.
pub const MATCH_SURFACE: u8 = 7;
/// A cgroup that is not the workload's own.
pub const MATCH_CGROUP: u8 = 8;
/// Deeper than [`WALK_MAX`], in a workload that subtree rules deny something to.
pub const MATCH_LIMIT: u8 = 9;

/// `enum aegis_hook`, what a decision was made at: fork, exec and exit.
pub const HOOK_PROCESS: usize = 0;
/// `file_open`.
pub const HOOK_FILE_OPEN: usize = 1;
/// `bprm_check_security`.
pub const HOOK_BPRM_CHECK: usize = 2;
/// `socket_connect`.
pub const HOOK_SOCKET_CONNECT: usize = 3;
/// The note program.
pub const HOOK_NOTE: usize = 4;
/// `mmap_file`.
pub const HOOK_MMAP_FILE: usize = 5;
/// `file_mprotect`.
pub const HOOK_FILE_MPROTECT: usize = 6;
/// `inode_create`, `inode_mkdir`, `inode_mknod`, `inode_symlink`.
pub const HOOK_INODE_CREATE: usize = 7;
/// `inode_unlink`, `inode_rmdir`.
pub const HOOK_INODE_UNLINK: usize = 8;
/// `inode_rename`.
pub const HOOK_INODE_RENAME: usize = 9;
/// `inode_link`.
pub const HOOK_INODE_LINK: usize = 10;
/// `inode_setattr`.
pub const HOOK_INODE_SETATTR: usize = 11;
/// `inode_copy_up`.
pub const HOOK_INODE_COPY_UP: usize = 12;
/// `socket_create`.
pub const HOOK_SOCKET_CREATE: usize = 13;
/// `socket_bind`.
pub const HOOK_SOCKET_BIND: usize = 14;
/// `socket_listen`.
pub const HOOK_SOCKET_LISTEN: usize = 15;
/// `sock_graft`.
pub const HOOK_SOCKET_ACCEPT: usize = 16;
/// `socket_sendmsg`.
pub const HOOK_SOCKET_SENDMSG: usize = 17;
/// `unix_stream_connect`.
pub const HOOK_UNIX_STREAM_CONNECT: usize = 18;
/// `unix_may_send`.
pub const HOOK_UNIX_MAY_SEND: usize = 19;
/// `ptrace_access_check`.
pub const HOOK_PTRACE: usize = 20;
/// `kernel_read_file`, `kernel_load_data`.
pub const HOOK_MODULE: usize = 21;
/// `bpf`.
pub const HOOK_BPF: usize = 22;
/// `sb_mount`, `move_mount`, `sb_umount`, `sb_pivotroot`.
pub const HOOK_MOUNT: usize = 23;
/// `task_kill`, also `task_setrlimit`, `task_setnice`, `task_setscheduler`, `task_setioprio`.
pub const HOOK_TASK_KILL: usize = 24;
/// `task_alloc`.
pub const HOOK_TASK_ALLOC: usize = 25;
/// A change of credentials.
pub const HOOK_PRIVILEGE: usize = 26;
/// The close of a file.
pub const HOOK_VOLUME: usize = 27;
/// The close of a socket.
pub const HOOK_FLOW: usize = 28;
/// `path_notify`.
pub const HOOK_PATH_NOTIFY: usize = 29;

/// `enum aegis_feature`: subtree rules on directories that exist.
pub const HAS_TREES: u32 = 1;
/// Paths by name.
pub const HAS_NAMES: u32 = 2;
/// Subtrees by name.
pub const HAS_NAME_TREES: u32 = 4;
/// Address rules.
pub const HAS_NETS: u32 = 8;
/// Rules by digest.
pub const HAS_HASHES: u32 = 16;
/// Of the subtree rules, one denies: too deep is denied.
pub const HAS_DENY_TREES: u32 = 32;
/// Of the rules on files, one denies.
pub const HAS_DENIALS: u32 = 256;
/// A rule by content may allow what another denies.
pub const HAS_HASH_OVERRIDES: u32 = 512;
/// Of the rules by content, one denies: what can't be measured is denied.
pub const HAS_HASH_DENIALS: u32 = 1024;
/// Self-protection reports.
pub const SELF_AUDIT: u32 = 64;
/// Self-protection denies.
pub const SELF_DENY: u32 = 128;

/// [`ObjectKey::device`] of a block device's node.
pub const DEVICE_BLOCK: u32 = 0xffff_ffff;
/// [`ObjectKey::device`] of a character device's node.
pub const DEVICE_CHARACTER: u32 = 0xffff_fffe;

/// Index of the self-test's own rule name, behind a policy's.
pub const RULE_SELFTEST: u32 = 65536;
/// Index of `aegis-self`: self-protection.
pub const RULE_SELF: u32 = 65537;
/// Index of `aegis-depth`: [`MATCH_LIMIT`].
pub const RULE_DEPTH: u32 = 65538;

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
    /// [`PATH_TRUNCATED`] | [`ARGV_TRUNCATED`] | [`GLASS_BROKEN`] | [`DEADMAN`].
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
    /// `f_flags` for an open, the mode for a creation, `ia_valid` for attributes, 0 else.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(8))]
pub struct RuleName {
    /// NUL padded.
    pub name: [u8; RULE_NAME_MAX],
}

/// `struct aegis_decision`: what was decided and by what, as the kernel had it then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Decision {
    /// NULs: no rule matched, and all below is 0 but for `hook` and `operation`.
    pub rule: RuleName,
    /// [`OP_OPEN_READ`] … [`OP_ESCAPE`].
    pub operation: u8,
    /// [`HOOK_PROCESS`] … [`HOOK_PATH_NOTIFY`].
    pub hook: u8,
    /// [`MATCH_NONE`] … [`MATCH_LIMIT`].
    pub matched: u8,
    /// Zero.
    pub reserved: u8,
    /// Of the matched key: device number of an object or tree; 0 else.
    pub device: u32,
    /// Its inode; a device node's number; the cgroup's id.
    pub inode: u64,
    /// The first bytes of the bundle's SHA-256.
    pub policy_hash: [u8; 8],
}

/// `struct aegis_access`: kinds [`OPEN`], [`EXEC_CHECK`], [`CREATE`], [`UNLINK`], [`SETATTR`], [`UNIX_CONNECT`].
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Access {
    /// The task, and the verdict.
    pub head: Head,
    /// What decided.
    pub decision: Decision,
    /// The file.
    pub file: FileRecord,
}

/// `struct aegis_rename`: kinds [`RENAME`], [`LINK`].
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Rename {
    /// The task, and the verdict.
    pub head: Head,
    /// What decided.
    pub decision: Decision,
    /// The file, as it was called before.
    pub file: FileRecord,
    /// Zero.
    pub reserved: u32,
    /// 1: `to` is its last component, or cut.
    pub to_truncated: u16,
    /// Bytes of `to` in use, without NUL.
    pub to_length: u16,
    /// Its new name; undefined behind `to_length`.
    pub to: [u8; PATH_MAX],
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

/// `struct aegis_network`: kinds [`CONNECT`], [`BIND`], [`LISTEN`], [`ACCEPT`], [`SOCKET`]. Of a socket being made: port 0 and
/// zeros.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Network {
    /// The task, and the verdict.
    pub head: Head,
    /// What decided.
    pub decision: Decision,
    /// `AF_*`.
    pub family: u16,
    /// Host order; connect, accept: the remote's, bind, listen: our own.
    pub port: u16,
    /// `IPPROTO_*`.
    pub protocol: u8,
    /// `SOCK_*`; `type` in C.
    pub kind: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// Network order; the first 4 bytes for `AF_INET`; zeros for another family.
    pub address: [u8; 16],
}

/// `struct aegis_surface`: kinds [`PTRACE`], [`MODULE`], [`BPF`], [`MOUNT`], [`SIGNAL`], [`ESCAPE`].
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Surface {
    /// The task, and the verdict.
    pub head: Head,
    /// What decided.
    pub decision: Decision,
    /// ptrace: mode; module: `enum kernel_read_file_id` or `kernel_load_data_id`; bpf: command; mount: flags; signal.
    pub number: u32,
    /// Process id of who is traced or signalled; 0 else.
    pub target: u32,
    /// Bytes of `text` in use.
    pub text_length: u16,
    /// Zero.
    pub reserved: [u8; 6],
    /// module: last component of its file; mount: type, or what was called. Undefined behind `text_length`.
    pub text: [u8; TEXT_MAX],
}

/// `struct aegis_privilege`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Privilege {
    /// The task.
    pub head: Head,
    /// Effective, initial user namespace.
    pub old_uid: u32,
    /// As above, from now on.
    pub new_uid: u32,
    /// Effective.
    pub old_caps: u64,
    /// As above, from now on.
    pub new_caps: u64,
}

/// `struct aegis_volume`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Volume {
    /// The task that closed the file.
    pub head: Head,
    /// The file; its path is the last component.
    pub file: FileRecord,
    /// Bytes.
    pub read: u64,
    /// Bytes.
    pub written: u64,
}

/// `struct aegis_flow`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Flow {
    /// The task that closed the socket.
    pub head: Head,
    /// `AF_*`.
    pub family: u16,
    /// Host order.
    pub local_port: u16,
    /// Host order.
    pub remote_port: u16,
    /// `IPPROTO_*`.
    pub protocol: u8,
    /// Zero.
    pub reserved: u8,
    /// Network order; the first 4 bytes for `AF_INET`.
    pub local: [u8; 16],
    /// As `local`.
    pub remote: [u8; 16],
    /// Bytes of payload.
    pub received: u64,
    /// Bytes of payload.
    pub sent: u64,
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

/// `struct aegis_object_key`: key of maps `rules_0` and `rules_1`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ObjectKey {
    /// Inode number; of a device node: its number, as `device` has them.
    pub inode: u64,
    /// major << 20 | minor; of a device node: [`DEVICE_BLOCK`] or [`DEVICE_CHARACTER`].
    pub device: u32,
    /// [`RULESET_SELFTEST`], a policy's workload, or [`RULESET_OTHERS`].
    pub ruleset: u32,
}

/// `struct aegis_entry`: value of maps `rules_0`, `rules_1`, `names_0` and `names_1`: what rules say of one object, for itself,
/// and, when it is a directory, for it and all that lies below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Entry {
    /// Name index + 1, per operation; 0: none.
    pub rule: [u32; FILE_OPERATIONS],
    /// As `rule`, for the tree.
    pub tree_rule: [u32; FILE_OPERATIONS],
    /// [`NO_EFFECT`] … [`EFFECT_OVERRIDE`], per operation.
    pub effect: [u8; FILE_OPERATIONS],
    /// As `effect`, for the tree.
    pub tree_effect: [u8; FILE_OPERATIONS],
    /// Zero.
    pub reserved: u32,
}

/// `struct aegis_name_key`: key of maps `names_0` and `names_1`. How `hash` is made: `bpf/abi.h`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct NameKey {
    /// SipHash-1-3 of the path, or of its last component.
    pub hash: u64,
    /// As [`ObjectKey::ruleset`].
    pub ruleset: u32,
    /// 1: `hash` is of a last component, and the entry says nothing else. 0: of a path.
    pub leaf: u32,
}

/// `struct aegis_ruleset`: element of maps `rulesets_0` and `rulesets_1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ruleset {
    /// [`HAS_TREES`] | … | [`SELF_DENY`].
    pub features: u32,
    /// Events a second, of each kind (matched by a rule or not); 0: no limit.
    pub rate: u32,
    /// No tree rule can be on or above these file systems; 0: none.
    pub plain_devices: [u32; PLAIN_DEVICES_MAX],
    /// Name index + 1, per operation less [`OP_PTRACE`]; 0: none.
    pub surface_rule: [u32; SURFACE_OPERATIONS],
    /// [`NO_EFFECT`] … [`EFFECT_OVERRIDE`], per operation less [`OP_PTRACE`].
    pub surface_effect: [u8; SURFACE_OPERATIONS],
    /// Zero.
    pub reserved: [u8; 2],
    /// The deadman: so many denials within so long, and this rule set only audits until the next policy. 0: none.
    pub deadman_denials: u64,
    /// Nanoseconds.
    pub deadman_window: u64,
    /// `CLOCK_BOOTTIME`, nanoseconds, of the window that runs. Written by the probes, as the next two.
    pub deadman_begun: u64,
    /// Denials in it.
    pub deadman_count: u64,
    /// When the deadman fell, `CLOCK_BOOTTIME`, nanoseconds; 0: it did not.
    pub deadman_fell: u64,
}

/// `struct aegis_net_key`: key of maps `nets_0` and `nets_1`, tries of prefixes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct NetKey {
    /// Bits that count: 64 + the address's.
    pub prefix: u32,
    /// As [`ObjectKey::ruleset`].
    pub ruleset: u32,
    /// `AF_INET` or `AF_INET6`; an IPv4 address in IPv6 clothes is `AF_INET`.
    pub family: u32,
    /// Network order; the first 4 bytes for `AF_INET`.
    pub address: [u8; 16],
}

/// `struct aegis_net_rule`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NetRule {
    /// Name index + 1; 0: the end.
    pub rule: u32,
    /// Lowest port.
    pub first_port: u16,
    /// Highest port.
    pub last_port: u16,
    /// `IPPROTO_*`; 0: any.
    pub protocol: u8,
    /// [`EFFECT_AUDIT`] … [`EFFECT_OVERRIDE`].
    pub effect: u8,
    /// 1: connect, 2: bind.
    pub operations: u8,
    /// Zero.
    pub reserved: u8,
}

/// `struct aegis_net`: value of maps `nets_0` and `nets_1`: every rule that speaks of all of the prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Net {
    /// Up to the first whose `rule` is 0.
    pub rules: [NetRule; NET_RULES_MAX],
}

/// `struct aegis_hash_key`: key of maps `hashes_0` and `hashes_1`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct HashKey {
    /// SHA-256 of the program.
    pub digest: [u8; 32],
    /// As [`ObjectKey::ruleset`].
    pub ruleset: u32,
    /// Zero.
    pub reserved: u32,
}

/// `struct aegis_hash`: value of maps `hashes_0` and `hashes_1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Hash {
    /// Name index + 1.
    pub rule: u32,
    /// [`EFFECT_AUDIT`] … [`EFFECT_OVERRIDE`].
    pub effect: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// `enum aegis_ability`: rules by content.
pub const CAN_HASH: u32 = 1;
/// Subtrees and names.
pub const CAN_WALK: u32 = 2;

/// `struct aegis_control`: the page of map `control`.
#[derive(Debug, FromBytes, KnownLayout)]
#[repr(C)]
pub struct Control {
    /// [`ABI_VERSION`]. It and the two that follow stay where they are, whatever the ABI: who loads another one takes them
    /// over.
    pub abi_version: AtomicU32,
    /// Process id of the agent; 0: none. Protected from workloads' signals and tracing.
    pub agent: AtomicU32,
    /// Until then (`CLOCK_BOOTTIME`, nanoseconds) nothing is denied, the self-test's own rules excepted. 0: the glass was
    /// not broken in this boot; in the past: when the last break ended.
    pub broken_until: AtomicU64,
    /// Rule set in force, 0 or 1.
    pub active: AtomicU32,
    /// What this kernel can: [`CAN_HASH`], [`CAN_WALK`].
    pub abilities: AtomicU32,
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
    /// Paths of the policy that are not there, and known by name only.
    pub unresolved: [AtomicU32; 2],
    /// Paths of the policy that it can't be held on, or not all of it.
    pub uncovered: [AtomicU32; 2],
    /// SHA-256 of the bundle in each set.
    pub policy_hash: [[AtomicU8; 32]; 2],
    /// `CLOCK_BOOTTIME`, nanoseconds, when the probes were loaded.
    pub loaded_at: AtomicU64,
    /// Random, of this load: who can't read it can't make names that collide.
    pub name_key: [AtomicU64; 2],
    /// The mount namespace that Aegis lives in: its inode number in nsfs.
    pub namespace: AtomicU64,
    /// Inodes of the places there that it shares with workloads, `/` first; 0: none.
    pub common_inode: [AtomicU64; COMMON_MAX],
    /// Their devices, major << 20 | minor.
    pub common_device: [AtomicU32; COMMON_MAX],
    /// Which of the two counts below a program that may sleep enters now.
    pub half: AtomicU32,
    /// What may be recorded of arguments, by the policy in each set (`aegis_policy::Argv`).
    pub argv: [AtomicU8; 2],
    /// 0.
    pub reserved: AtomicU16,
    /// Such programs that decide now.
    pub deciding: [AtomicU64; 2],
}

/// `struct aegis_counters`: an element of map `counters`.
#[derive(Debug, FromBytes, KnownLayout)]
#[repr(C)]
pub struct Counters {
    /// Moves all that follows: the layout after this one.
    #[cfg(feature = "next-abi")]
    pub next: AtomicU64,
    /// Events made: reserved in the ring buffer or lost.
    pub seen: AtomicU64,
    /// Lost: the ring buffer had no room.
    pub ring_full: AtomicU64,
    /// Lost: over the workload's rate.
    pub limited: AtomicU64,
    /// Denials.
    pub denied: AtomicU64,
    /// Decisions that would have been denials, had the glass been whole.
    pub passed: AtomicU64,
    /// Decisions that would have been denials, had the deadman not fallen.
    pub fallen: AtomicU64,
    /// Reads and writes that are not summed: of too many open files at once.
    pub volumes_full: AtomicU64,
    /// Messages that are not summed: of too many sockets at once.
    pub flows_full: AtomicU64,
    /// The second that runs, by whether a rule matched: `CLOCK_BOOTTIME`, nanoseconds.
    pub rate_begun: [AtomicU64; 2],
    /// Events made in it.
    pub rate_count: [AtomicU64; 2],
}
