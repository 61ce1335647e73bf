//! The hooks: which programs of the object can be attached to each, best first, what rules need it, and what is so when it
//! is missing. `docs/degraded-modes.md` says the same; a test holds one against the other.

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// BPF LSM: can deny.
    Lsm,
    /// BPF LSM that may sleep: can deny, and ask for what has to be read from disk.
    LsmSleepable,
    /// fentry on a kernel function: only watches.
    Fentry,
    /// fexit on a kernel function: only watches, and knows what it returned.
    Fexit,
    /// BTF raw tracepoint: only watches.
    TpBtf,
}

impl Attach {
    /// Every way.
    pub const ALL: [Self; 5] = [Self::Lsm, Self::LsmSleepable, Self::Fentry, Self::Fexit, Self::TpBtf];

    /// The name that status and documents use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lsm => "lsm",
            Self::LsmSleepable => "lsm.s",
            Self::Fentry => "fentry",
            Self::Fexit => "fexit",
            Self::TpBtf => "tp_btf",
        }
    }

    /// The attachment with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attach| attach.name() == name)
    }

    /// What is attached so can deny.
    pub const fn denies(self) -> bool {
        matches!(self, Self::Lsm | Self::LsmSleepable)
    }
}

/// What a kernel must have, or must not have, for a program to be right there. Where two kernels give a hook different
/// arguments, the verifier would not always see the wrong program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Always,
    /// A function of this name.
    With(&'static str),
    /// None of this name.
    Without(&'static str),
}

/// One program of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its function in C.
    pub name: &'static str,
    /// How it is attached.
    pub attach: Attach,
    /// What it is attached to: LSM hook, kernel function or tracepoint.
    pub target: &'static str,
    /// Where it is right.
    pub condition: Condition,
}

/// What needs a hook, when it is there to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guards {
    /// Bits (`1 << number`) of the operations (`aegis_policy::Operation`) of which this hook decides some.
    pub operations: u32,
    /// Self-protection needs it.
    pub self_protection: bool,
}

/// One place in the kernel that Aegis watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The name that status and documents use.
    pub name: &'static str,
    /// The programs for it, best first: of those whose condition holds, the first that the kernel takes.
    pub programs: &'static [Program],
    /// What needs it.
    pub guards: Guards,
}

impl Hook {
    /// A rule can deny here.
    pub const fn enforces(&self) -> bool {
        self.guards.operations != 0 || self.guards.self_protection
    }
}

const OPEN_READ: u32 = 1 << 0;
const OPEN_WRITE: u32 = 1 << 1;
const EXEC: u32 = 1 << 2;
const CHANGE: u32 = 1 << 3;
const UNIX_CONNECT: u32 = 1 << 4;
const CONNECT: u32 = 1 << 8;
const BIND: u32 = 1 << 9;
const PTRACE: u32 = 1 << 16;
const MODULE: u32 = 1 << 17;
const BPF: u32 = 1 << 18;
const MOUNT: u32 = 1 << 19;

const NOTHING: Guards = Guards { operations: 0, self_protection: false };

const fn rules(operations: u32) -> Guards {
    Guards { operations, self_protection: false }
}

const fn both(operations: u32) -> Guards {
    Guards { operations, self_protection: true }
}

const fn program(name: &'static str, attach: Attach, target: &'static str) -> Program {
    Program { name, attach, target, condition: Condition::Always }
}

/// A hook that is only watched.
macro_rules! watched {
    ($name:literal, $program:literal, $attach:expr, $target:literal) => {
        Hook { name: $name, programs: &[program($program, $attach, $target)], guards: NOTHING }
    };
}

/// A hook that decides, and whose twin watches where it can't be attached.
macro_rules! decided {
    ($name:literal, $program:literal, $watch:literal, $function:literal, $guards:expr) => {
        Hook {
            name: $name,
            programs: &[program($program, Attach::Lsm, $name), program($watch, Attach::Fentry, $function)],
            guards: $guards,
        }
    };
    ($name:literal, $program:literal, $guards:expr) => {
        Hook { name: $name, programs: &[program($program, Attach::Lsm, $name)], guards: $guards }
    };
}

/// A function that kernels have whose hook `inode_setattr` has the idmap in front: both came with 6.9.
const SETATTR_WITH_IDMAP: &str = "bpf_lsm_inode_post_setattr";

/// A function of kernels whose sleepable LSM programs run whoever else is in them on the same CPU: since 6.2, and 6.1 by now. In those
/// before, one that sleeps while it decides has the next passed over, undecided.
const SLEEPERS_RUN_TOGETHER: &str = "__bpf_prog_enter_sleepable_recur";

/// A function of overlayfs, where that is no module, since 6.5: then its own entry says what lies below (`struct ovl_inode`, `oe`).
const OVERLAY_WITH_STACK: &str = "ovl_stack_put";

/// A function of kernels that ask about the calls of 32-bit programs apart.
const COMPAT_APART: &str = "bpf_lsm_file_ioctl_compat";

/// Every hook, in attach order.
pub const HOOKS: &[Hook] = &[
    watched!("sched_process_fork", "process_fork", Attach::TpBtf, "sched_process_fork"),
    watched!("sched_process_exec", "process_exec", Attach::TpBtf, "sched_process_exec"),
    watched!("sched_process_exit", "process_exit", Attach::TpBtf, "sched_process_exit"),
    watched!("commit_creds", "privilege_change", Attach::Fentry, "commit_creds"),
    decided!(
        "file_open",
        "file_open",
        "file_open_watch",
        "security_file_open",
        both(OPEN_READ | OPEN_WRITE | EXEC)
    ),
    Hook {
        name: "bprm_check_security",
        programs: &[
            Program {
                name: "bprm_check_hash",
                attach: Attach::LsmSleepable,
                target: "bprm_check_security",
                condition: Condition::With(SLEEPERS_RUN_TOGETHER),
            },
            program("bprm_check", Attach::Lsm, "bprm_check_security"),
            program("bprm_check_watch", Attach::Fentry, "security_bprm_check"),
        ],
        guards: rules(EXEC),
    },
    decided!("mmap_file", "mmap_file", "mmap_file_watch", "security_mmap_file", rules(EXEC)),
    decided!("file_mprotect", "file_mprotect", "file_mprotect_watch", "security_file_mprotect", rules(EXEC)),
    decided!("inode_create", "inode_create", "inode_create_watch", "security_inode_create", both(CHANGE)),
    decided!("inode_mkdir", "inode_mkdir", "inode_mkdir_watch", "security_inode_mkdir", both(CHANGE)),
    decided!("inode_mknod", "inode_mknod", "inode_mknod_watch", "security_inode_mknod", both(CHANGE)),
    decided!("inode_symlink", "inode_symlink", "inode_symlink_watch", "security_inode_symlink", both(CHANGE)),
    decided!("inode_unlink", "inode_unlink", "inode_unlink_watch", "security_inode_unlink", both(CHANGE)),
    decided!("inode_rmdir", "inode_rmdir", "inode_rmdir_watch", "security_inode_rmdir", both(CHANGE)),
    decided!("inode_rename", "inode_rename", "inode_rename_watch", "security_inode_rename", both(CHANGE)),
    decided!("inode_link", "inode_link", "inode_link_watch", "security_inode_link", both(CHANGE)),
    Hook {
        name: "inode_setattr",
        programs: &[
            Program {
                name: "inode_setattr",
                attach: Attach::Lsm,
                target: "inode_setattr",
                condition: Condition::With(SETATTR_WITH_IDMAP),
            },
            Program {
                name: "inode_setattr_old",
                attach: Attach::Lsm,
                target: "inode_setattr",
                condition: Condition::Without(SETATTR_WITH_IDMAP),
            },
        ],
        guards: both(CHANGE | OPEN_WRITE),
    },
    // What is copied stays as it is: a policy is kept without this too, and what is done to the copy is not seen.
    Hook {
        name: "inode_copy_up",
        programs: &[Program {
            name: "inode_copy_up",
            attach: Attach::Lsm,
            target: "inode_copy_up",
            condition: Condition::With(OVERLAY_WITH_STACK),
        }],
        guards: NOTHING,
    },
    watched!("socket_create", "socket_create", Attach::Fentry, "security_socket_create"),
    decided!(
        "socket_connect",
        "socket_connect",
        "socket_connect_watch",
        "security_socket_connect",
        rules(CONNECT)
    ),
    decided!("socket_bind", "socket_bind", "socket_bind_watch", "security_socket_bind", rules(BIND)),
    decided!("socket_listen", "socket_listen", "socket_listen_watch", "security_socket_listen", rules(BIND)),
    watched!("sock_graft", "socket_accept", Attach::Fentry, "security_sock_graft"),
    decided!(
        "socket_sendmsg",
        "socket_sendmsg",
        "socket_sendmsg_watch",
        "security_socket_sendmsg",
        rules(CONNECT)
    ),
    decided!(
        "unix_stream_connect",
        "unix_stream_connect",
        "unix_stream_connect_watch",
        "security_unix_stream_connect",
        rules(UNIX_CONNECT)
    ),
    decided!(
        "unix_may_send",
        "unix_may_send",
        "unix_may_send_watch",
        "security_unix_may_send",
        rules(UNIX_CONNECT)
    ),
    decided!(
        "ptrace_access_check",
        "ptrace_access",
        "ptrace_access_watch",
        "security_ptrace_access_check",
        both(PTRACE)
    ),
    decided!(
        "kernel_read_file",
        "module_file",
        "module_file_watch",
        "security_kernel_read_file",
        rules(MODULE)
    ),
    decided!(
        "kernel_load_data",
        "module_data",
        "module_data_watch",
        "security_kernel_load_data",
        rules(MODULE)
    ),
    decided!("kernel_module_request", "module_request", rules(MODULE)),
    decided!("bpf", "bpf_call", "bpf_call_watch", "security_bpf", both(BPF)),
    decided!("sb_mount", "mount_call", "mount_call_watch", "security_sb_mount", both(MOUNT)),
    decided!("move_mount", "mount_move", "mount_move_watch", "security_move_mount", both(MOUNT)),
    decided!("sb_umount", "mount_end", "mount_end_watch", "security_sb_umount", both(MOUNT)),
    decided!("sb_pivotroot", "mount_pivot", "mount_pivot_watch", "security_sb_pivotroot", both(MOUNT)),
    decided!("sb_remount", "mount_again", "mount_again_watch", "security_sb_remount", both(MOUNT)),
    decided!("file_ioctl", "file_system_freeze", both(MOUNT)),
    // Where there is none, 32-bit programs come to the other.
    Hook {
        name: "file_ioctl_compat",
        programs: &[Program {
            name: "file_system_freeze_compat",
            attach: Attach::Lsm,
            target: "file_ioctl_compat",
            condition: Condition::With(COMPAT_APART),
        }],
        guards: NOTHING,
    },
    decided!("fs_context_parse_param", "mount_option", both(0)),
    decided!("path_notify", "path_notify", both(0)),
    decided!("task_kill", "task_kill", both(0)),
    decided!("file_send_sigiotask", "descriptor_signal", both(0)),
    decided!("task_setrlimit", "task_limit", both(0)),
    decided!("task_setnice", "task_nice", both(0)),
    decided!("task_setscheduler", "task_schedule", both(0)),
    decided!("task_movememory", "task_memory", both(0)),
    decided!("task_setioprio", "task_ioprio", both(0)),
    decided!("task_alloc", "task_alloc", both(0)),
    watched!("vfs_read", "volume_read", Attach::Fexit, "vfs_read"),
    watched!("vfs_write", "volume_write", Attach::Fexit, "vfs_write"),
    watched!("vfs_readv", "volume_readv", Attach::Fexit, "vfs_readv"),
    watched!("vfs_writev", "volume_writev", Attach::Fexit, "vfs_writev"),
    watched!("security_file_free", "volume_end", Attach::Fentry, "security_file_free"),
    watched!("inet_recvmsg", "inet_received", Attach::Fexit, "inet_recvmsg"),
    watched!("inet6_recvmsg", "inet6_received", Attach::Fexit, "inet6_recvmsg"),
    watched!("inet_sendmsg", "inet_sent", Attach::Fexit, "inet_sendmsg"),
    watched!("inet6_sendmsg", "inet6_sent", Attach::Fexit, "inet6_sendmsg"),
    watched!("inet_release", "flow_end", Attach::Fentry, "inet_release"),
];

/// The program that decides rules by content; where it is not the one attached, such rules are not.
pub const HASH_PROGRAM: &str = "bprm_check_hash";

/// The program that sends what is in map `inbox`; attached to nothing.
pub const NOTE_PROGRAM: &str = "note";
