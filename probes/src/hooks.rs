//! The programs in the object, and what each is attached to.

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// BPF LSM: can deny.
    Lsm,
    /// fentry on the `security_…` function: only watches.
    Fentry,
    /// BTF raw tracepoint: only watches.
    TpBtf,
}

impl Attach {
    /// The name that status and documents use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lsm => "lsm",
            Self::Fentry => "fentry",
            Self::TpBtf => "tp_btf",
        }
    }

    /// The attachment with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Lsm, Self::Fentry, Self::TpBtf].into_iter().find(|attach| attach.name() == name)
    }
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
}

/// One place in the kernel that Aegis watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The name that status and documents use.
    pub name: &'static str,
    /// Attached when the kernel has everything.
    pub program: Program,
    /// Attached instead where `bpf` is not in the LSM list.
    pub watch: Option<Program>,
    /// True where a rule can deny.
    pub enforces: bool,
}

const fn traced(name: &'static str, program: &'static str) -> Hook {
    let program = Program { name: program, attach: Attach::TpBtf, target: name };
    Hook { name, program, watch: None, enforces: false }
}

/// Every hook, in attach order.
pub const HOOKS: &[Hook] = &[
    traced("sched_process_fork", "process_fork"),
    traced("sched_process_exec", "process_exec"),
    traced("sched_process_exit", "process_exit"),
    Hook {
        name: "file_open",
        program: Program { name: "file_open", attach: Attach::Lsm, target: "file_open" },
        watch: Some(Program {
            name: "file_open_watch",
            attach: Attach::Fentry,
            target: "security_file_open",
        }),
        enforces: true,
    },
    Hook {
        name: "bprm_check_security",
        program: Program { name: "bprm_check", attach: Attach::Lsm, target: "bprm_check_security" },
        watch: Some(Program {
            name: "bprm_check_watch",
            attach: Attach::Fentry,
            target: "security_bprm_check",
        }),
        enforces: true,
    },
    Hook {
        name: "socket_connect",
        program: Program { name: "socket_connect", attach: Attach::Lsm, target: "socket_connect" },
        watch: Some(Program {
            name: "socket_connect_watch",
            attach: Attach::Fentry,
            target: "security_socket_connect",
        }),
        enforces: false,
    },
];

/// The program that sends what is in map `inbox`; attached to nothing.
pub const NOTE_PROGRAM: &str = "note";
