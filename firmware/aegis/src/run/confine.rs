//! Least privilege for the long-lived agent: no capabilities, no new privileges, a short list of system calls.
//!
//! Everything the agent needs is open before [`drop_privileges`]: the ring's device, the kernel's maps (by mmap), its
//! own `statm`, the control socket, the file for its last status. After [`restrict_calls`] it can open nothing more.

use std::collections::BTreeMap;
use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// Gives up every capability, in the bounding set too, and the right to gain any by exec. Per thread: call it
/// before any other thread exists.
pub(crate) fn drop_privileges() -> io::Result<()> {
    empty_bounding_set()?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none)?;
    set_no_new_privs(true)?;
    Ok(())
}

/// No capability comes by exec any more.
pub(crate) fn empty_bounding_set() -> rustix::io::Result<()> {
    for capability in CapabilitySet::all().iter() {
        // EINVAL: this kernel does not know the capability, so there is nothing to remove.
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The system calls of the running agent. Anything else fails with EPERM.
#[rustfmt::skip]
const CALLS: &[i64] = &[
    // the ring's device, the control socket, pipes
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64, libc::SYS_pwrite64,
    libc::SYS_lseek, libc::SYS_fdatasync, libc::SYS_fsync, libc::SYS_close, libc::SYS_fcntl, libc::SYS_ftruncate,
    libc::SYS_accept4, libc::SYS_recvfrom, libc::SYS_sendto, libc::SYS_recvmsg, libc::SYS_sendmsg,
    libc::SYS_shutdown, libc::SYS_getsockopt, libc::SYS_setsockopt,
    // waiting; what aarch64 never had is x86_64's alone
    #[cfg(target_arch = "x86_64")] libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")] libc::SYS_poll,
    libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_epoll_ctl, libc::SYS_ppoll,
    libc::SYS_futex, libc::SYS_nanosleep, libc::SYS_clock_nanosleep, libc::SYS_timerfd_settime,
    libc::SYS_sched_yield, libc::SYS_restart_syscall,
    // memory, time, threads, signals, the end
    libc::SYS_mmap, libc::SYS_munmap, libc::SYS_brk, libc::SYS_madvise, libc::SYS_mprotect, libc::SYS_mremap,
    libc::SYS_clock_gettime, libc::SYS_gettid, libc::SYS_getpid, libc::SYS_tkill, libc::SYS_tgkill,
    libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_sigaltstack,
    libc::SYS_getrandom, libc::SYS_exit, libc::SYS_exit_group, libc::SYS_set_robust_list, libc::SYS_membarrier,
];

/// `include/uapi/asm-generic/ioctls.h`; libc's own constant is of another type on every libc.
const FIONBIO: u64 = 0x5421;

/// Installs the filter on every thread. Call it when all threads run and have warmed up.
pub(crate) fn restrict_calls() -> io::Result<()> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let mut rules = CALLS.iter().map(|call| (*call, Vec::new())).collect::<BTreeMap<_, _>>();
    // smol makes each accepted client non-blocking this way; no other ioctl passes.
    let only_fionbio = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, FIONBIO)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(io::Error::other)?;
    rules.insert(libc::SYS_ioctl, vec![only_fionbio]);
    let denied = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(rules, denied, SeccompAction::Allow, arch).map_err(io::Error::other)?;
    let program = BpfProgram::try_from(filter).map_err(io::Error::other)?;
    seccompiler::apply_filter_all_threads(&program).map_err(io::Error::other)
}
