//! What a workload's program finds itself in: its contents as the root, read-only; its own directories to write to; a `/tmp`, five
//! devices, its own processes; no capability, and no way to any. Every step refuses when it fails: nothing starts half confined.
//!
//! [`Cage::spawn`] leaves the process that calls it as it was. All else is done in the child, before it becomes the program.
#![allow(unsafe_code)] // unshare(2), and what is done between fork(2) and exec(2)

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use aegis_bundle::Run;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, makedev, mknodat, openat2};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount, unmount,
};
use rustix::net::{SocketAddrUnix, bind};
use rustix::process::{Gid, Signal, Uid, pivot_root, set_parent_process_death_signal, setsid};
use rustix::thread::{
    LinkNameSpaceType, UnshareFlags, move_into_link_name_space, set_thread_gid, set_thread_groups,
    set_thread_uid, unshare_unsafe,
};

use super::{KEPT, MOUNTED, WRITABLE, pulse};
use crate::kernel::workload::Pen;
use crate::limits;

/// `include/uapi/linux/magic.h`.
const SQUASHFS_MAGIC: u64 = 0x7371_7368;
const PLAIN: MountFlags = MountFlags::NODEV.union(MountFlags::NOSUID).union(MountFlags::NOEXEC);
/// Names and minor numbers (`Documentation/admin-guide/devices.txt`) of what is in its `/dev`.
const DEVICES: [(&str, u32); 5] = [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)];

/// One workload, and what is needed to start it again and again.
pub(crate) struct Cage {
    name: String,
    user: u32,
    group: u32,
    /// Paths that it writes to.
    writable: Vec<String>,
    /// Longest `/tmp`, bytes.
    tmp: u64,
    /// Where signs of its life come in, which has no name before [`mounts`](Self::mounts); none: nobody looks.
    notify: Option<UnixDatagram>,
    pub(crate) pen: Pen,
    /// Where this process's own children are born.
    own: File,
}

/// Why a program is not started: what was done, and what came of it.
pub(crate) type Unstarted = String;

fn said(what: &str) -> impl Fn(&dyn std::fmt::Display) -> Unstarted {
    move |error| format!("{what}: {error}")
}

impl Cage {
    /// Makes what is not there yet: its cgroup, the directories that it writes to.
    pub(crate) fn new(name: &str, run: &Run<'_>, notify: Option<UnixDatagram>) -> Result<Self, Unstarted> {
        let pen = Pen::make(name, &run.bounds).map_err(|error| error.to_string())?;
        for path in run.writable.iter().copied() {
            make_writable(name, path, run.user, run.group).map_err(|error| format!("{path}: {error}"))?;
        }
        Ok(Self {
            name: name.to_owned(),
            user: run.user,
            group: run.group,
            writable: run.writable.iter().map(|path| (*path).to_owned()).collect(),
            tmp: limits::WORKLOAD_TMP_BYTES.min(run.bounds.memory),
            notify,
            pen,
            own: File::open("/proc/self/ns/pid").map_err(|error| said("/proc/self/ns/pid")(&error))?,
        })
    }

    /// Starts its program. What it says goes to `out`.
    pub(crate) fn spawn(self: &Arc<Self>, run: &Run<'_>, out: &OwnedFd) -> Result<Child, Unstarted> {
        let mut words = run.command.iter().map(|bytes| OsStr::from_bytes(bytes));
        let program = words.next().unwrap_or_default();
        let mut command = Command::new(program);
        command.args(words).env_clear().stdin(Stdio::null());
        for variable in &run.environment {
            let at = variable.iter().position(|byte| *byte == b'=').unwrap_or(variable.len());
            let value = variable.get(at + 1..).unwrap_or_default();
            command.env(OsStr::from_bytes(&variable[..at]), OsStr::from_bytes(value));
        }
        if self.notify.is_some() {
            // As sd_notify(3) and sd_watchdog_enabled(3) have them.
            command.env("NOTIFY_SOCKET", format!("/dev/{}", pulse::SOCKET)).env("WATCHDOG_PID", "1");
            command.env("WATCHDOG_USEC", format!("{}000000", run.restart.watchdog));
        }
        let end = || out.try_clone().map(Stdio::from).map_err(|error| said("pipe")(&error));
        command.stdout(end()?).stderr(end()?);
        let (told, tells) = io::pipe().map_err(|error| said("pipe")(&error))?;
        let cage = Arc::clone(self);
        let confine = move || {
            cage.confine().map_err(|why| {
                // Who reads it knows the step; the number that comes back by exec's own way would not say.
                let _ = rustix::io::write(&tells, why.as_bytes());
                io::Error::from(io::ErrorKind::PermissionDenied)
            })
        };
        // SAFETY: this process has one thread, so its child may do what any process may.
        unsafe {
            command.pre_exec(confine);
        }
        // SAFETY: of descriptors nothing is unshared; who is born from here on has its own numbers of processes.
        unsafe { unshare_unsafe(UnshareFlags::NEWPID) }.map_err(|error| said("process namespace")(&error))?;
        let spawned = command.spawn();
        if let Err(error) = move_into_link_name_space(self.own.as_fd(), Some(LinkNameSpaceType::ProcessID)) {
            // It runs; another could not be started after it, and that is said then.
            log::warn!("process namespace: {error}");
        }
        let program = program.display().to_string();
        // With it goes the other end of the pipe.
        drop(command);
        spawned.map_err(|error| {
            let mut step = String::new();
            let _ = told.take(limits::KERNEL_TEXT_BYTES).read_to_string(&mut step);
            // All steps were done: it was to become the program.
            if step.is_empty() { format!("{program}: {error}") } else { step }
        })
    }

    /// What the child does before it becomes the program.
    fn confine(&self) -> Result<(), Unstarted> {
        let step = |what: &'static str| move |error: Errno| said(what)(&error);
        // SAFETY: one thread, and descriptors stay as they are.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::NEWUTS) }.map_err(step("namespaces"))?;
        // SAFETY: as above.
        match unsafe { unshare_unsafe(UnshareFlags::NEWIPC) } {
            // A kernel that has none has no System V IPC, as ours, or nothing to keep it apart by.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(step("IPC namespace")(error)),
        }
        rustix::system::sethostname(self.name.as_bytes()).map_err(step("host name"))?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .map_err(step("own mounts"))?;
        let root = self.root()?;
        self.mounts(&root)?;
        rustix::process::fchdir(&root).map_err(step("root"))?;
        pivot_root(".", ".").map_err(step("root"))?;
        // What was the root lies over the new one.
        unmount(".", UnmountFlags::DETACH).map_err(step("the old root"))?;
        rustix::process::chdir("/").map_err(step("root"))?;
        self.pen.enter().map_err(|error| error.to_string())?;
        self.drop_rights().map_err(step("rights"))?;
        // Who keeps it ends: it does not go on alone. Not before: a change of the user takes it back.
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(step("end with its keeper"))?;
        let _ = setsid();
        rustix::process::umask(Mode::WGRP | Mode::WOTH);
        keep_no_descriptors().map_err(|error| said("descriptors")(&error))
    }

    /// Its contents, as they are mounted in this namespace.
    fn root(&self) -> Result<OwnedFd, Unstarted> {
        let place = Path::new(MOUNTED).join(&self.name);
        let root = directory(&place).map_err(|error| said(MOUNTED)(&error))?;
        let found = rustix::fs::fstatfs(&root).map_err(|error| said(MOUNTED)(&error))?;
        if found.f_type.cast_unsigned() == SQUASHFS_MAGIC {
            return Ok(root);
        }
        Err(format!("{}: its contents are not mounted there", place.display()))
    }

    /// All that is on top of its root.
    fn mounts(&self, root: &OwnedFd) -> Result<(), Unstarted> {
        let own = |path: &str, kind: &str, flags: MountFlags, data: &str| {
            let at = place(root, path)?;
            let data = std::ffi::CString::new(data).map_err(|error| said(path)(&error))?;
            mount(kind, &at.1, kind, flags, data.as_c_str()).map_err(|error| said(path)(&error))
        };
        own("/proc", "proc", PLAIN, "")?;
        own("/tmp", "tmpfs", PLAIN, &format!("mode=1777,size={}", self.tmp))?;
        let no_programs = MountFlags::NOSUID | MountFlags::NOEXEC;
        own("/dev", "tmpfs", no_programs, "mode=755,size=64k")?;
        // What was mounted is on top of what was opened before it.
        let (inside, dev) = place(root, "/dev")?;
        for (name, minor) in DEVICES {
            let mode = Mode::from_raw_mode(0o666);
            mknodat(&inside, name, FileType::CharacterDevice, mode, makedev(1, minor))
                .and_then(|()| rustix::fs::chmodat(&inside, name, mode, AtFlags::empty()))
                .map_err(|error| format!("/dev/{name}: {error}"))?;
        }
        if let Some(notify) = &self.notify {
            let at = SocketAddrUnix::new(in_proc(&inside).join(pulse::SOCKET))
                .and_then(|name| bind(notify, &name));
            at.and_then(|()| {
                rustix::fs::chmodat(&inside, pulse::SOCKET, Mode::from_raw_mode(0o666), AtFlags::empty())
            })
            .map_err(|error| format!("/dev/{}: {error}", pulse::SOCKET))?;
        }
        mount_remount(&dev, no_programs | MountFlags::RDONLY, c"").map_err(|error| said("/dev")(&error))?;
        for path in &self.writable {
            let from = directory(&behind(&self.name, path)).map_err(|error| format!("{path}: {error}"))?;
            let at = place(root, path)?;
            mount_bind(in_proc(&from), &at.1).map_err(|error| format!("{path}: {error}"))?;
            // The mount that is now on top.
            let (_kept, on_top) = place(root, path)?;
            mount_remount(&on_top, MountFlags::BIND | PLAIN, c"")
                .map_err(|error| format!("{path}: {error}"))?;
        }
        Ok(())
    }

    /// No capability, now or ever; its user, its group and no other.
    fn drop_rights(&self) -> rustix::io::Result<()> {
        aegis_confine::empty_bounding_set()?;
        set_thread_groups(&[])?;
        set_thread_gid(Gid::from_raw(self.group))?;
        set_thread_uid(Uid::from_raw(self.user))?;
        aegis_confine::drop_capabilities()
    }
}

/// A directory of ours, by no link.
fn directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
}

/// A directory in its root, by no link: its own path could lead to one of ours.
fn place(root: &OwnedFd, path: &str) -> Result<(OwnedFd, PathBuf), Unstarted> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let opened = openat2(root, path.trim_start_matches('/'), flags, Mode::empty(), resolve);
    let opened = opened.map_err(|error| format!("{path}: {error} (its contents need that directory)"))?;
    let path = in_proc(&opened);
    Ok((opened, path))
}

/// By the host's procfs, which this process still sees.
fn in_proc(file: &impl AsRawFd) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// What is still open ends with exec, but for the three that it was given.
fn keep_no_descriptors() -> io::Result<()> {
    // SAFETY: no descriptor is closed here, only marked.
    let marked = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if marked == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The directory behind a path that the workload writes to. Its name is flat, so that no path of a later version leads through what
/// an earlier one left.
fn behind(name: &str, path: &str) -> PathBuf {
    Path::new(KEPT).join(name).join(WRITABLE).join(flat(path))
}

/// Makes it, and its owner's.
fn make_writable(name: &str, path: &str, user: u32, group: u32) -> io::Result<()> {
    let place = behind(name, path);
    for directory in place.parent().into_iter().chain([&*place]) {
        match fs::DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    chown(in_proc(&directory(&place)?), Some(user), Some(group))
}

/// A path as the name of a directory: all but letters, digits, `.`, `_` and `-` by their numbers.
fn flat(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let part = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    path.trim_start_matches('/').bytes().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_bundle::limits::WRITABLE_BYTES;

    #[test]
    fn a_path_has_a_flat_name_of_its_own() {
        for (path, name) in [
            ("/var/lib/agent", "var%2Flib%2Fagent"),
            ("/data", "data"),
            ("/a%2Fb", "a%252Fb"),
            ("/\u{e4}", "%C3%A4"),
        ] {
            assert_eq!(flat(path), name);
        }
        assert_ne!(flat("/a/b"), flat("/a%2Fb"));
        assert!(flat(&format!("/{}", "\u{1}".repeat(WRITABLE_BYTES - 1))).len() < 255);
    }
}
