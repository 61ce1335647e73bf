//! What is mounted where.

use std::ffi::CStr;
use std::fs::{self, DirBuilder};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, mount_remount, move_mount, unmount,
};

use crate::console::say;
use crate::{STATE, devices, limits, watchdog};

const NO_SUID: MountFlags = MountFlags::NOSUID;
const NO_DEV: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
const NO_EXEC: MountFlags = NO_DEV.union(MountFlags::NOEXEC);

/// A file system that is in no disk.
struct Kept {
    at: &'static str,
    kind: &'static str,
    flags: MountFlags,
    data: Option<&'static CStr>,
}

const fn kept(at: &'static str, kind: &'static str, flags: MountFlags, data: Option<&'static CStr>) -> Kept {
    Kept { at, kind, flags, data }
}

const KERNEL: [Kept; 8] = [
    kept("/dev/pts", "devpts", NO_SUID.union(MountFlags::NOEXEC), Some(c"gid=0,mode=620")),
    kept("/dev/shm", "tmpfs", NO_EXEC, Some(c"mode=1777")),
    kept("/run", "tmpfs", NO_EXEC, Some(c"mode=755,size=16m")),
    kept("/tmp", "tmpfs", NO_EXEC, Some(c"mode=1777,size=16m")),
    kept("/sys/fs/cgroup", "cgroup2", NO_EXEC, None),
    kept("/sys/fs/bpf", "bpf", NO_EXEC, Some(c"mode=700")),
    kept("/sys/kernel/security", "securityfs", NO_EXEC, None),
    // Where the kernel has it.
    kept("/sys/kernel/tracing", "tracefs", NO_EXEC, Some(c"mode=700")),
];

/// Its own: whoever fills /run keeps no policy out. Two compiled policies of 4 MiB, twice in an upgrade, one while it is written.
const OWN: Kept = kept(STATE, "tmpfs", NO_EXEC, Some(c"mode=700,size=24m"));
/// The self-test proves a denied exec too: the one place below /run where a program could run.
const SELFTEST: Kept = kept("/run/aegis/selftest", "tmpfs", NO_DEV, Some(c"mode=700,size=64k"));
/// The workload's own place in memory: there before the policy is taken, whose rules may speak of files to come in it.
const SCRATCH: Kept = kept("/scratch", "tmpfs", NO_DEV, Some(c"mode=1777"));
/// The firmware's variables: there when one started the kernel.
pub(crate) const FIRMWARE: &str = "/sys/firmware/efi/efivars";
const EFI: Kept = kept(FIRMWARE, "efivarfs", NO_EXEC.union(MountFlags::RDONLY), None);
/// In place of own storage.
const NO_DATA: Kept = kept("/data", "tmpfs", NO_EXEC, Some(c"mode=700,size=32m"));

const DATA: How = How {
    read_only: false,
    attributes: MountAttrFlags::MOUNT_ATTR_NOSUID
        .union(MountAttrFlags::MOUNT_ATTR_NODEV)
        .union(MountAttrFlags::MOUNT_ATTR_NOEXEC),
};
const WORKLOAD: How = How {
    read_only: true,
    attributes: MountAttrFlags::MOUNT_ATTR_NOSUID
        .union(MountAttrFlags::MOUNT_ATTR_NODEV)
        .union(MountAttrFlags::MOUNT_ATTR_RDONLY),
};

impl Kept {
    fn mount(&self) {
        if let Err(error) = mount(self.kind, self.at, self.kind, self.flags, self.data) {
            say(&format!("mount {}: {error}", self.at));
        }
    }
}

/// What is needed to read the command line, and to be heard.
pub(crate) fn first() {
    kept("/proc", "proc", NO_EXEC, None).mount();
    kept("/sys", "sysfs", NO_EXEC, None).mount();
    // A kernel of ours has mounted it; an initramfs hands it over.
    let mounts = devices::read("/proc/mounts", limits::FILE_BYTES).unwrap_or_default();
    if !mounts.lines().any(|line| line.contains(" /dev devtmpfs ")) {
        kept("/dev", "devtmpfs", NO_SUID.union(MountFlags::NOEXEC), None).mount();
    }
}

/// The kernel's own, and those in memory.
pub(crate) fn kernel() {
    folder("/dev/pts", 0o755);
    folder("/dev/shm", 0o755);
    for kept in KERNEL.iter().filter(|kept| Path::new(kept.at).is_dir()) {
        kept.mount();
    }
    if let Err(error) = symlink("/proc/self/fd", "/dev/fd") {
        say(&format!("/dev/fd: {error}"));
    }
    folder(STATE, 0o700);
    OWN.mount();
}

/// What the firmware tells. False: none started this.
pub(crate) fn firmware() -> bool {
    let there = Path::new(FIRMWARE).is_dir();
    if there {
        EFI.mount();
    }
    there
}

pub(crate) fn self_test() {
    folder(SELFTEST.at, 0o700);
    SELFTEST.mount();
}

pub(crate) fn scratch() {
    SCRATCH.mount();
}

/// Own storage. Without it: in memory, until the power goes.
pub(crate) fn data(device: Option<&Path>) -> bool {
    let mounted = device.is_some_and(|device| disk(device, "/data", "ext4", DATA));
    if !mounted {
        NO_DATA.mount();
    }
    mounted
}

/// The workload's disk.
pub(crate) fn workload(device: &Path) -> bool {
    disk(device, "/workload", "squashfs", WORKLOAD)
}

/// A disk may take its time, or never answer: that is waited for only so long. What comes later is mounted nowhere.
fn disk(device: &Path, at: &str, kind: &'static str, how: How) -> bool {
    let from = device.to_owned();
    let mounted = match bounded(limits::MOUNT, move || detached(&from, kind, how)) {
        Some(Ok(mount)) => {
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            move_mount(&mount, "", CWD, at, flags).map_err(|error| error.to_string())
        }
        Some(Err(error)) => Err(error.to_string()),
        None => Err(format!("no answer in {} s", limits::MOUNT.as_secs())),
    };
    mounted.inspect_err(|error| say(&format!("mount {} on {at}: {error}", device.display()))).is_ok()
}

/// A mount that is at no place yet.
fn detached(device: &Path, kind: &str, how: How) -> rustix::io::Result<OwnedFd> {
    let made = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&made, "source", device)?;
    if how.read_only {
        fsconfig_set_flag(&made, "ro")?;
    }
    fsconfig_create(&made)?;
    fsmount(&made, FsMountFlags::FSMOUNT_CLOEXEC, how.attributes)
}

/// How a disk is mounted.
#[derive(Clone, Copy)]
struct How {
    read_only: bool,
    attributes: MountAttrFlags,
}

/// Own storage as a power cut would find it at its best; a disk that does not answer is not waited for.
pub(crate) fn let_go_of_data() {
    let let_go = || {
        rustix::fs::sync();
        match unmount("/data", UnmountFlags::empty()) {
            // Nothing is mounted there: nothing to let go of.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(_) => mount_remount("/data", NO_EXEC.union(MountFlags::RDONLY), c""),
        }
    };
    match bounded(limits::LET_GO, let_go) {
        Some(Ok(())) => {}
        Some(Err(error)) => say(&format!("/data: neither unmounted nor read-only: {error}")),
        None => say(&format!("/data: not let go of in {} s", limits::LET_GO.as_secs())),
    }
}

/// What may never come to an end, waited for so long; `None`: it did not.
pub(crate) fn bounded<T: Send + 'static>(
    time: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, waits) = mpsc::channel();
    thread::Builder::new().spawn(move || done.send(work())).ok()?;
    let until = Instant::now() + time;
    loop {
        watchdog::feed();
        match waits.recv_timeout(limits::FEED.min(until.saturating_duration_since(Instant::now()))) {
            Ok(done) => return Some(done),
            Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
            Err(_) => return None,
        }
    }
}

fn folder(path: &str, mode: u32) {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    if let Err(error) = made {
        say(&format!("{path}: {error}"));
    }
}

/// A small file of the kernel's. What somebody put in its place is not followed, nor waited for.
pub(crate) fn write(path: impl AsRef<Path>, text: &str) -> std::io::Result<()> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut file = fs::OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_not_waited_for() {
        assert_eq!(bounded(Duration::from_secs(20), || 7), Some(7));
        let begun = Instant::now();
        let never = || thread::sleep(Duration::from_mins(1));
        assert_eq!(bounded(Duration::from_millis(100), never), None);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        // One that ends without an answer is no answer.
        assert_eq!(bounded(Duration::from_secs(20), || -> u8 { panic!("a test's own") }), None);
    }
}
