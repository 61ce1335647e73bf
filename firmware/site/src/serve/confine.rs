//! Least privilege: what the server is left with.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{DumpableBehavior, Gid, Resource, Rlimit, Signal, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use crate::keep::CGROUP;
use crate::limits;

/// Memory, processor, descriptors, files: as much as it needs.
pub(super) fn bound() -> io::Result<()> {
    for (resource, most) in [
        (Resource::As, limits::ADDRESS_SPACE),
        (Resource::Nofile, limits::DESCRIPTORS),
        (Resource::Core, 0),
        (Resource::Memlock, 0),
    ] {
        rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    // Made by a device's keeper; elsewhere the limits above have to do.
    let group = Path::new(CGROUP);
    if group.exists() { fs::write(group.join("cgroup.procs"), "0") } else { Ok(()) }
}

/// Another user, no group, no capability, and none to be gained. Per thread: called before any other exists.
pub(super) fn drop_privileges() -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        for capability in CapabilitySet::all().iter() {
            // EINVAL: this kernel does not know the capability, so there is nothing to remove.
            match rustix::thread::remove_capability_from_bounding_set(capability) {
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (user, group) = (Uid::from_raw(limits::SERVER_ID), Gid::from_raw(limits::SERVER_ID));
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(user, user, user)?;
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none)?;
    rustix::thread::set_no_new_privs(true)?;
    // After the user changed, which undoes both.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

/// Waits until a thread has begun that gives itself this name.
pub(super) fn wait_for_thread(name: &str) -> io::Result<()> {
    let until = Instant::now() + limits::BEGIN / 2;
    loop {
        let mut tasks = fs::read_dir("/proc/self/task")?.flatten();
        if tasks.any(|task| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name)
        }) {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{name} does not begin")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The system calls of the server. Anything else fails with EPERM: it opens nothing, connects nowhere, starts nothing.
#[rustfmt::skip]
const CALLS: &[i64] = &[
    // its clients, the line, pipes
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_close, libc::SYS_fcntl,
    libc::SYS_accept4, libc::SYS_recvfrom, libc::SYS_sendto, libc::SYS_recvmsg, libc::SYS_sendmsg,
    libc::SYS_shutdown, libc::SYS_getsockopt, libc::SYS_getpeername,
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

/// Installs the filter on every thread. Called when all of them run.
pub(super) fn restrict_calls() -> io::Result<()> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let mut rules = CALLS.iter().map(|call| (*call, Vec::new())).collect::<BTreeMap<_, _>>();
    // smol makes each client non-blocking this way; no other ioctl passes.
    let only_fionbio = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, FIONBIO)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(io::Error::other)?;
    rules.insert(libc::SYS_ioctl, vec![only_fionbio]);
    let denied = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(rules, denied, SeccompAction::Allow, arch).map_err(io::Error::other)?;
    let program = BpfProgram::try_from(filter).map_err(io::Error::other)?;
    seccompiler::apply_filter_all_threads(&program).map_err(io::Error::other)
}
