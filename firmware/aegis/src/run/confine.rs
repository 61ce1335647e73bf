//! Least privilege for the long-lived agent: no capabilities, no new privileges, a short list of system calls.
//!
//! Everything the agent needs is open before [`drop_privileges`]: the ring's device, the kernel's maps (by mmap), its
//! own `statm`, the control socket, the file for its last status. After [`restrict_calls`] it can open nothing more.

use std::io;

/// Gives up every capability, in the bounding set too, and the right to gain any by exec. Per thread: call it
/// before any other thread exists.
pub(super) fn drop_privileges() -> io::Result<()> {
    aegis_confine::empty_bounding_set()?;
    Ok(aegis_confine::drop_capabilities()?)
}

/// The agent's own system calls, for the ring's device and its files.
const CALLS: &[i64] = &[
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_fdatasync,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_setsockopt,
];

/// Installs the filter on every thread. Call it when all threads run and have warmed up.
pub(super) fn restrict_calls() -> io::Result<()> {
    aegis_confine::restrict_calls(CALLS, &[])
}
