//! Least privilege: what server and pusher are left with.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{DumpableBehavior, Gid, Resource, Rlimit, Signal, Uid};

use crate::keep::CGROUP;
use crate::limits;

/// Memory, processor, descriptors, files: as much as it needs.
pub(crate) fn bound() -> io::Result<()> {
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
pub(crate) fn drop_privileges() -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        aegis_confine::empty_bounding_set()?;
        let (user, group) = (Uid::from_raw(limits::SERVER_ID), Gid::from_raw(limits::SERVER_ID));
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(user, user, user)?;
    }
    aegis_confine::drop_capabilities()?;
    // After the user changed, which undoes both.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

/// Waits until a thread has begun that gives itself this name.
fn wait_for_thread(name: &str) -> io::Result<()> {
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

/// Installs the filter on every thread: nothing is opened, connected to or started from here on. All threads run by then: what one asks of
/// the kernel when it begins is not among the calls.
pub(crate) fn restrict_calls() -> io::Result<()> {
    // smol's thread, which is its own reason to wait for.
    smol::block_on(smol::Timer::after(Duration::from_millis(1)));
    wait_for_thread("async-io")?;
    aegis_confine::restrict_calls(&[libc::SYS_getpeername], &[])
}
