//! The small closed sets an event is made of: kinds, verdicts, loss causes, modes.
//!
//! Numbers are part of the format (`docs/formats/event.cddl`) and of the probe ABI; they are never reused.

/// Defines an enum with stable numbers and stable names, and the conversions both ways.
macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $number:literal, $text:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vmeta])* $variant = $number,)+ }

        impl $name {
            /// Every value, in number order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The value with this number, if there is one.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            /// The number on the wire.
            pub const fn number(self) -> u8 { self as u8 }

            /// The name that people, JSON and documents use.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The value with this name, if there is one.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result { f.pad(self.name()) }
        }
    };
}

numbered! {
    /// What kind of thing happened. 1 to 31 are seen by a probe; 32 to 47 are notes of Aegis's short-lived
    /// commands, which pass through the kernel ring buffer like what a probe saw; 48 and up are said by the
    /// agent itself.
    Kind {
        /// A task made another (`sched_process_fork`).
        Fork = 1, "fork";
        /// A program was executed (`sched_process_exec`).
        Exec = 2, "exec";
        /// A process ended (`sched_process_exit`, thread group leader only).
        Exit = 3, "exit";
        /// A file was opened, or its opening denied (`security_file_open`).
        Open = 4, "open";
        /// A rule matched a program, script interpreter, ELF loader or mapping as code (`security_bprm_check`,
        /// `security_mmap_file`, `security_file_mprotect`).
        ExecCheck = 5, "exec-check";
        /// A socket was connected (`security_socket_connect`), or a rule matched a message to an address.
        Connect = 6, "connect";
        /// A file, directory, node or symbolic link was made (`security_inode_create` and the like).
        Create = 7, "create";
        /// A file or directory was removed (`security_inode_unlink`, `security_inode_rmdir`).
        Unlink = 8, "unlink";
        /// A file got another name (`security_inode_rename`).
        Rename = 9, "rename";
        /// A file got one more name (`security_inode_link`).
        Link = 10, "link";
        /// A file's mode, owner, length or times were set (`security_inode_setattr`).
        SetAttr = 11, "setattr";
        /// A socket was made (`security_socket_create`).
        Socket = 12, "socket";
        /// A socket was bound to an address (`security_socket_bind`).
        Bind = 13, "bind";
        /// A socket listens (`security_socket_listen`).
        Listen = 14, "listen";
        /// A connection was accepted (`security_sock_graft`).
        Accept = 15, "accept";
        /// A socket with a path was connected to, or sent to (`security_unix_stream_connect`, `security_unix_may_send`).
        UnixConnect = 16, "unix-connect";
        /// A process was traced, or its memory asked for (`security_ptrace_access_check`).
        Ptrace = 17, "ptrace";
        /// A kernel module, or what the kernel takes like one, was loaded (`security_kernel_read_file`,
        /// `security_kernel_load_data`).
        Module = 18, "module";
        /// `bpf(2)` was called (`security_bpf`).
        BpfCall = 19, "bpf";
        /// Something was mounted, moved or unmounted (`security_sb_mount` and the like).
        Mount = 20, "mount";
        /// A signal to one of Aegis's own, or what would starve it (`security_task_kill` and the like).
        Signal = 21, "signal";
        /// A task on its way out of its workload's cgroup (`security_task_alloc`).
        Escape = 22, "escape";
        /// A task's effective user or capabilities changed.
        Privilege = 23, "privilege";
        /// What was read from and written to one open file, at its close.
        Volume = 24, "volume";
        /// What one socket received and sent, at its close.
        Flow = 25, "flow";
        /// A bundle was accepted or refused.
        Policy = 32, "policy";
        /// What is enforced changed, or was proven.
        ModeChange = 33, "mode";
        /// The glass was broken (nothing is denied for a time), or its breaking refused.
        BreakGlass = 34, "break-glass";
        /// Root metadata was rotated, or a rotation refused.
        Root = 35, "root";
        /// A stick was seen, or something about it is not as it must be.
        Stick = 36, "stick";
        /// The policy in force is older than it was signed to be; it stays in force.
        PolicyStale = 37, "policy-stale";
        /// An image of the system was taken, refused, committed or given up.
        Image = 38, "image";
        /// A workload was taken, refused, taken away, started, or ended.
        Workload = 39, "workload";
        /// An alert of the policy fires, or is over.
        Alert = 40, "alert";
        /// The agent began to write to the ring.
        Start = 48, "start";
        /// The agent sealed the ring on its way out.
        Stop = 49, "stop";
        /// Events were lost; how many, of whom and why.
        Loss = 50, "loss";
        /// The books: events seen by the kernel, written, lost by cause.
        Accounts = 51, "accounts";
        /// The glass is whole again: denials are real from here on.
        GlassMended = 52, "glass-mended";
        /// How full the ring is of events that were not exported changed its name.
        RingLevel = 53, "ring-level";
        /// Sequences of the ring that can't be read, now or from here on.
        Gap = 54, "gap";
        /// A chain of sealing keys begins, or checkpoints can't be stored.
        Seal = 55, "seal";
        /// The configuration that the agent runs with.
        Config = 56, "config";
        /// A workload was denied too much in too short a time: by its policy's own word it is only audited from here on.
        Deadman = 57, "deadman";
        /// The disk's table, ring or data partition were made, mended or lost, or could not be.
        Storage = 58, "storage";
        /// What the firmware, and what it started, measured into the TPM before the kernel ran.
        Measured = 59, "measured";
    }
}

impl Kind {
    /// True for events that came through the kernel ring buffer: those that [`crate::Accounts`] counts.
    pub const fn is_counted(self) -> bool {
        self.number() < 48
    }

    /// True for events that carry a [`crate::Decision`].
    pub const fn is_decided(self) -> bool {
        matches!(self.number(), 4..=22)
    }
}

numbered! {
    /// What was decided.
    Verdict {
        /// No rule matched, or one that allows.
        Allowed = 0, "allowed";
        /// A rule matched and only reports, or would deny if it, or its policy, were in enforce mode, the glass whole, or the
        /// deadman standing.
        Audited = 1, "audited";
        /// A rule matched and the kernel returned EPERM.
        Denied = 2, "denied";
    }
}

numbered! {
    /// Why events were lost.
    Cause {
        /// The kernel ring buffer was full.
        KernelRingFull = 0, "kernel-ring-full";
        /// The agent could not decode a record from the kernel.
        BadRecord = 1, "bad-record";
        /// The ring refused the event (device error).
        RingWrite = 2, "ring-write";
        /// The agent was killed between taking events from the kernel and flushing them.
        AgentKilled = 3, "agent-killed";
        /// The workload made more events a second than its policy allows it.
        RateLimited = 4, "rate-limited";
    }
}

numbered! {
    /// What the device does to a matching access right now.
    Mode {
        /// Nothing is denied.
        AuditOnly = 0, "audit-only";
        /// Denials are real: one was just observed.
        Enforcing = 1, "enforcing";
    }
}

numbered! {
    /// Why the mode is what it is.
    ModeReason {
        /// The self-test observed a real denial.
        SelfTestPassed = 0, "self-test-passed";
        /// The policy asks for audit only.
        PolicyAudit = 1, "policy-audit";
        /// `bpf` is not in the kernel's active LSM list.
        LsmBpfMissing = 2, "lsm-bpf-missing";
        /// The hooks are attached but the self-test's access was not denied.
        SelfTestFailed = 3, "self-test-failed";
        /// An LSM hook could not be attached.
        HookMissing = 4, "hook-missing";
        /// The glass is broken: whatever was proven, nothing is denied until it is whole again.
        BrokenGlass = 5, "broken-glass";
    }
}

numbered! {
    /// How bad it is that an alert fires.
    Severity {
        /// To be known.
        Info = 1, "info";
        /// To be seen to.
        Warning = 2, "warning";
        /// To be seen to now: a promise is not kept, or will soon not be.
        Critical = 3, "critical";
    }
}

numbered! {
    /// How full the ring is of events that were not exported.
    Level {
        /// Below what asks for an export.
        Normal = 0, "normal";
        /// Export soon.
        High = 1, "high";
        /// Export now.
        Critical = 2, "critical";
        /// Nothing more is taken until there is an export: only where the ring is configured to stop.
        Full = 3, "full";
    }
}

numbered! {
    /// Why sequences can't be read. The numbers are those of the ring's own gap records.
    GapCause {
        /// Overwritten before they were exported.
        Overwritten = 1, "overwritten";
        /// The run before ended without a seal: what it had not committed is gone, and nobody can know how much that was.
        Cut = 2, "cut";
        /// Committed bytes were found damaged.
        Damaged = 3, "damaged";
    }
}
