//! Least privilege for the watcher: it reads files all its life, so it may open them; it starts nothing, reaches no network, and of
//! bpf(2) has what asks and what tells an event: it loads, attaches, pins and creates nothing. That a map may be written, which telling
//! takes, no filter can tell from another map: that it writes no rules is its program's word, as its capabilities were before.

use std::io;

use aegis_confine::Bounded;

use crate::kernel;

/// Its own system calls.
#[rustfmt::skip]
const CALLS: &[i64] = &[
    // files that are read, and those that a look leaves; what aarch64 never had is x86_64's alone
    #[cfg(target_arch = "x86_64")] libc::SYS_open,
    #[cfg(target_arch = "x86_64")] libc::SYS_stat,
    #[cfg(target_arch = "x86_64")] libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")] libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")] libc::SYS_rename,
    #[cfg(target_arch = "x86_64")] libc::SYS_unlink,
    libc::SYS_openat, libc::SYS_openat2, libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_statfs,
    libc::SYS_fstatfs, libc::SYS_readlinkat, libc::SYS_getdents64, libc::SYS_lseek, libc::SYS_pread64, libc::SYS_flock,
    libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_unlinkat, libc::SYS_fsync, libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    // the agent's socket
    libc::SYS_connect, libc::SYS_setsockopt,
];

/// Sockets of this machine's, and of bpf(2) what it takes to look and to tell.
const BOUNDED: &[Bounded] = &[
    Bounded { call: libc::SYS_socket, first: &[libc::AF_UNIX.cast_unsigned()] },
    Bounded { call: libc::SYS_bpf, first: kernel::LOOKING },
];

/// Installs the filter.
pub(super) fn restrict_calls() -> io::Result<()> {
    aegis_confine::restrict_calls(CALLS, BOUNDED)
}
