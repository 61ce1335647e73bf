//! What is mounted where.

use std::ffi::CStr;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use crate::console::say;
use crate::{STATE, devices, limits};

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
const EFI: Kept = kept("/sys/firmware/efi/efivars", "efivarfs", NO_EXEC.union(MountFlags::RDONLY), None);
/// In place of own storage.
const NO_DATA: Kept = kept("/data", "tmpfs", NO_EXEC, Some(c"mode=700,size=32m"));

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
    let there = Path::new(EFI.at).is_dir();
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
    let mounted = device.is_some_and(|device| disk(device, "/data", "ext4", NO_EXEC));
    if !mounted {
        NO_DATA.mount();
    }
    mounted
}

/// The workload's disk.
pub(crate) fn workload(device: &Path) -> bool {
    disk(device, "/workload", "squashfs", NO_DEV.union(MountFlags::RDONLY))
}

/// A disk may take its time, or never answer: that is waited for only so long.
fn disk(device: &Path, at: &'static str, kind: &'static str, flags: MountFlags) -> bool {
    let from = device.to_owned();
    match bounded(limits::MOUNT, move || mount(&from, at, kind, flags, None)) {
        Some(Ok(())) => true,
        Some(Err(error)) => {
            say(&format!("mount {} on {at}: {error}", device.display()));
            false
        }
        None => {
            say(&format!("mount {} on {at}: no answer in {} s", device.display(), limits::MOUNT.as_secs()));
            false
        }
    }
}

/// Own storage as a power cut would find it at its best.
pub(crate) fn let_go_of_data() {
    rustix::fs::sync();
    let gone = unmount("/data", UnmountFlags::empty());
    // Nothing is mounted there: nothing to let go of.
    if gone.is_err_and(|error| error != Errno::INVAL)
        && let Err(error) = mount_remount("/data", NO_EXEC.union(MountFlags::RDONLY), c"")
    {
        say(&format!("/data: neither unmounted nor read-only: {error}"));
    }
}

/// What may never come to an end, waited for so long; `None`: it did not.
pub(crate) fn bounded<T: Send + 'static>(
    time: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, waits) = mpsc::channel();
    thread::Builder::new().spawn(move || done.send(work())).ok()?;
    waits.recv_timeout(time).ok()
}

fn folder(path: &str, mode: u32) {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    if let Err(error) = made {
        say(&format!("{path}: {error}"));
    }
}

/// A small file of the kernel's.
pub(crate) fn write(path: impl AsRef<Path>, text: &str) -> std::io::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
}
