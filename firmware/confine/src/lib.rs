//! Least privilege, which a long-lived process gives up to itself: no capabilities, no new privileges, a short list of system calls.
//! The agent and the site network's server call all of it, each with what is its own; the cage of workloads gives up capabilities by it.

use std::collections::BTreeMap;
use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// No capability comes by exec any more.
///
/// # Errors
/// The kernel's: EPERM without `CAP_SETPCAP`.
pub fn empty_bounding_set() -> rustix::io::Result<()> {
    for capability in CapabilitySet::all().iter() {
        // EINVAL: this kernel does not know the capability, so there is nothing to remove.
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Gives up every capability, and the right to gain any by exec. Per thread: call it before any other thread exists.
///
/// # Errors
/// The kernel's.
pub fn drop_capabilities() -> rustix::io::Result<()> {
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none)?;
    set_no_new_privs(true)
}

/// What every one of them calls: reads and writes of what is open, waiting, memory, time, threads, signals, the end. Nothing here opens,
/// connects or starts anything.
#[rustfmt::skip]
const CALLS: &[i64] = &[
    // what is open: devices, sockets, pipes
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_close, libc::SYS_fcntl,
    libc::SYS_accept4, libc::SYS_recvfrom, libc::SYS_sendto, libc::SYS_recvmsg, libc::SYS_sendmsg,
    libc::SYS_shutdown, libc::SYS_getsockopt,
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

/// A system call that passes for some values of its first argument alone.
#[derive(Clone, Copy, Debug)]
pub struct Bounded {
    /// Its number.
    pub call: i64,
    /// Of the argument's lower 32 bits.
    pub first: &'static [u32],
}

/// Leaves the process, all its threads, with what every one of ours calls, with `own`, which are numbers of system calls, and with
/// `bounded`. Anything else fails with EPERM. Call it when all threads run and have warmed up.
///
/// # Errors
/// The kernel's, or an architecture that the filter's maker does not know.
pub fn restrict_calls(own: &[i64], bounded: &[Bounded]) -> io::Result<()> {
    let program = filter(own, bounded).map_err(io::Error::other)?;
    seccompiler::apply_filter_all_threads(&program).map_err(io::Error::other)
}

fn filter(own: &[i64], bounded: &[Bounded]) -> Result<BpfProgram, seccompiler::BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    // One by one: collecting them brings a sort along, which is half of this crate's program.
    let mut rules = BTreeMap::new();
    for call in CALLS.iter().chain(own) {
        rules.insert(*call, Vec::new());
    }
    // smol makes each accepted client non-blocking this way; no other ioctl passes.
    rules.insert(libc::SYS_ioctl, vec![is(1, FIONBIO)?]);
    for Bounded { call, first } in bounded {
        // Without a value it would pass with any.
        if first.is_empty() {
            rules.remove(call);
            continue;
        }
        let mut ways = Vec::new();
        for value in *first {
            ways.push(is(0, u64::from(*value))?);
        }
        rules.insert(*call, ways);
    }
    let denied = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    SeccompFilter::new(rules, denied, SeccompAction::Allow, arch)?.try_into()
}

/// The call's argument is this one.
fn is(argument: u8, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)?])
}

#[cfg(test)]
#[allow(unsafe_code, reason = "fork(2): a filter can not be taken off again")]
mod tests {
    use super::*;

    /// In a process of its own: a filter can't be taken off again.
    fn in_a_child(body: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child calls only what the filter lets through, then ends; no lock of the parent's is taken in it.
        match unsafe { libc::fork() } {
            0 => {
                let held = body();
                // SAFETY: ends this process.
                unsafe { libc::_exit(i32::from(!held)) }
            }
            child => {
                let mut status = 0;
                // SAFETY: `child` is this process's own, `status` is writable.
                let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
                ended == child && libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
            }
        }
    }

    #[test]
    fn what_is_not_on_the_list_fails_and_what_is_ones_own_does_not() {
        // SAFETY: takes no pointer.
        let is_refused = |call: i64| unsafe { libc::syscall(call) } == -1 && errno() == libc::EPERM;
        assert!(in_a_child(|| {
            restrict_calls(&[libc::SYS_getppid], &[]).is_ok()
                && is_refused(libc::SYS_getuid)
                && !is_refused(libc::SYS_getppid)
                && !is_refused(libc::SYS_getpid)
        }));
    }

    #[test]
    fn of_ioctls_only_the_one_for_sockets_passes() {
        assert!(in_a_child(|| {
            // SAFETY: TCGETS on a descriptor that is no terminal touches nothing.
            let asked = || unsafe { libc::syscall(libc::SYS_ioctl, -1, 0x5401, 0) };
            let set = 0_i32;
            // SAFETY: `set` is readable.
            let block = || unsafe { libc::syscall(libc::SYS_ioctl, -1, FIONBIO, &raw const set) };
            restrict_calls(&[], &[]).is_ok()
                && (asked(), errno()) == (-1, libc::EPERM)
                && (block(), errno()) == (-1, libc::EBADF)
        }));
    }

    #[test]
    fn what_is_bounded_passes_for_its_values_alone() {
        const BOUNDED: [Bounded; 1] = [Bounded { call: libc::SYS_socket, first: &[1, 16] }];
        // SAFETY: takes no pointer; what is made is the child's, which ends.
        let socket = |family: i64| unsafe { libc::syscall(libc::SYS_socket, family, libc::SOCK_DGRAM, 0) };
        assert!(in_a_child(|| {
            restrict_calls(&[], &BOUNDED).is_ok()
                && socket(1) >= 0
                && (socket(2), errno()) == (-1, libc::EPERM)
                && socket(16) >= 0
        }));
    }

    #[test]
    fn no_capability_is_left_and_none_is_to_be_had() {
        assert!(in_a_child(|| {
            let root = rustix::process::geteuid().is_root();
            (!root || empty_bounding_set().is_ok())
                && drop_capabilities().is_ok()
                && rustix::thread::capabilities(None).is_ok_and(|has| has.permitted.is_empty())
                && rustix::thread::no_new_privs() == Ok(true)
                && (!root
                    || !rustix::thread::capability_is_in_bounding_set(CapabilitySet::CHOWN).unwrap_or(true))
        }));
    }

    fn errno() -> i32 {
        io::Error::last_os_error().raw_os_error().unwrap_or_default()
    }
}
