//! What was decided about an access, and by what: recorded by the kernel at the time of the decision.

use crate::kind::Verdict;

numbered! {
    /// What a rule can speak of: the numbers of `aegis_policy` and of the probes.
    Operation {
        /// Opening a file for reading.
        OpenRead = 0, "open-read";
        /// Opening a file for writing, and truncating it.
        OpenWrite = 1, "open-write";
        /// Executing a file, or mapping it as code.
        Exec = 2, "exec";
        /// Making, removing, renaming and linking a file, and setting its attributes.
        Change = 3, "change";
        /// Connecting to a socket with a path.
        UnixConnect = 4, "unix-connect";
        /// Connecting to an address, or sending to it.
        Connect = 8, "connect";
        /// Binding to an address, and listening.
        Bind = 9, "bind";
        /// Tracing a process.
        Ptrace = 16, "ptrace";
        /// Loading a module.
        ModuleLoad = 17, "module-load";
        /// `bpf(2)`.
        Bpf = 18, "bpf";
        /// Mounting, moving a mount, unmounting.
        Mount = 19, "mount";
        /// Signalling the agent: self-protection's alone.
        Signal = 20, "signal";
        /// Leaving the workload's cgroup: self-protection's alone.
        Escape = 21, "escape";
    }
}

numbered! {
    /// By what a rule matched.
    Match {
        /// Device and inode of the file itself.
        Object = 1, "object";
        /// Device and inode of a directory above it.
        Tree = 2, "tree";
        /// Its path in its file system.
        Name = 3, "name";
        /// The number of a device node.
        Node = 4, "node";
        /// The digest of its content.
        Hash = 5, "hash";
        /// Address, port and protocol.
        Net = 6, "net";
        /// The kernel's own surface.
        Surface = 7, "surface";
        /// A cgroup that is not the workload's own.
        Cgroup = 8, "cgroup";
        /// It lies deeper than the kernel side looks, in a workload that a subtree rule denies something to.
        Limit = 9, "limit";
    }
}

numbered! {
    /// The places in the kernel that Aegis watches, by the kernel's own names for them.
    Hook {
        /// `sched_process_fork`, `sched_process_exec`, `sched_process_exit`.
        Process = 0, "process";
        /// `security_file_open`.
        FileOpen = 1, "file_open";
        /// `security_bprm_check`.
        BprmCheck = 2, "bprm_check_security";
        /// `security_socket_connect`.
        SocketConnect = 3, "socket_connect";
        /// What Aegis's own commands say.
        Note = 4, "note";
        /// `security_mmap_file`.
        MmapFile = 5, "mmap_file";
        /// `security_file_mprotect`.
        FileMprotect = 6, "file_mprotect";
        /// `security_inode_create`, also `mkdir`, `mknod` and `symlink`.
        InodeCreate = 7, "inode_create";
        /// `security_inode_unlink`, also `rmdir`.
        InodeUnlink = 8, "inode_unlink";
        /// `security_inode_rename`.
        InodeRename = 9, "inode_rename";
        /// `security_inode_link`.
        InodeLink = 10, "inode_link";
        /// `security_inode_setattr`.
        InodeSetattr = 11, "inode_setattr";
        /// `security_inode_copy_up`.
        InodeCopyUp = 12, "inode_copy_up";
        /// `security_socket_create`.
        SocketCreate = 13, "socket_create";
        /// `security_socket_bind`.
        SocketBind = 14, "socket_bind";
        /// `security_socket_listen`.
        SocketListen = 15, "socket_listen";
        /// `security_sock_graft`: the end of an accept.
        SockGraft = 16, "sock_graft";
        /// `security_socket_sendmsg`.
        SocketSendmsg = 17, "socket_sendmsg";
        /// `security_unix_stream_connect`.
        UnixStreamConnect = 18, "unix_stream_connect";
        /// `security_unix_may_send`.
        UnixMaySend = 19, "unix_may_send";
        /// `security_ptrace_access_check`.
        PtraceAccessCheck = 20, "ptrace_access_check";
        /// `security_kernel_read_file`, `security_kernel_load_data`.
        KernelReadFile = 21, "kernel_read_file";
        /// `security_bpf`.
        Bpf = 22, "bpf";
        /// `security_sb_mount`, also `move_mount`, `sb_umount` and `sb_pivotroot`.
        SbMount = 23, "sb_mount";
        /// `security_task_kill`, also `task_setrlimit`, `task_setnice`, `task_setscheduler` and `task_setioprio`.
        TaskKill = 24, "task_kill";
        /// `security_task_alloc`.
        TaskAlloc = 25, "task_alloc";
        /// A change of credentials.
        Privilege = 26, "privilege";
        /// The close of a file.
        Volume = 27, "volume";
        /// The close of a socket.
        Flow = 28, "flow";
        /// `security_path_notify`.
        PathNotify = 29, "path_notify";
    }
}

/// What was decided about an access, and by what.
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
    /// Audited only because the deadman had fallen: it would have been denied. Never with another verdict, or without rule.
    pub deadman: bool,
    /// How the rule matched; none when no rule did, and in events that an agent before ABI 4 wrote.
    pub basis: Option<Basis>,
}

/// How a rule matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    /// What was decided.
    pub operation: Operation,
    /// Where the kernel asked.
    pub hook: Hook,
    /// By what the rule matched.
    pub matched: Match,
    /// Of the key that matched: device number of an object or tree, as [`crate::File::device`]; 0 else.
    pub device: u32,
    /// Its inode; a device node's number; the cgroup's id; 0 else.
    pub inode: u64,
    /// The first bytes of the SHA-256 of the bundle that the policy came in.
    pub policy_hash: [u8; 8],
}

impl Decision<'_> {
    /// No rule matched under the policy with this sequence.
    pub const fn allowed(policy: u64) -> Self {
        Self {
            verdict: Verdict::Allowed,
            policy,
            rule: &[],
            glass_broken: false,
            deadman: false,
            basis: None,
        }
    }

    /// It would have been denied, had the glass been whole and the deadman standing.
    pub const fn passed(&self) -> bool {
        self.glass_broken || self.deadman
    }
}
