//! The kernel's own surface: rules that have no target. The one who prepares shows that the act can pass.

use std::os::fd::AsRawFd as _;

use crate::scenario::{Boot, Control, Done, Scenario, Step as _, Stop, denied};
use crate::sys::{self, Victim, call, n};

const PTRACE: super::Expected = ("suite-ptrace", "ptrace", "ptrace_access_check");
const MODULE: super::Expected = ("suite-module", "module", "kernel_read_file");
const MOUNT: super::Expected = ("suite-mount", "mount", "sb_mount");

/// `KEXEC_FILE_NO_INITRAMFS`, `FSCONFIG_CMD_CREATE`, `MOVE_MOUNT_F_EMPTY_PATH` (`include/uapi/linux`).
const NO_INITRAMFS: usize = 4;
const CREATE: usize = 6;
const FROM_EMPTY_PATH: usize = 4;
/// The libc crate does not have it on every architecture.
const KEXEC_FILE_LOAD: libc::c_long = if cfg!(target_arch = "aarch64") { 294 } else { 320 };

/// Shown by the one outside.
const fn surface(
    group: &'static str,
    id: &'static str,
    expected: super::Expected,
    act: fn(crate::Side) -> Done,
) -> Scenario {
    denied(group, id, expected, act).control(Control::Outside)
}

pub(super) const ALL: &[Scenario] = &[
    surface("ptrace", "trace-attach", PTRACE, |_| trace(libc::PTRACE_ATTACH as usize)),
    surface("ptrace", "trace-seize", PTRACE, |_| trace(libc::PTRACE_SEIZE as usize)),
    surface("ptrace", "trace-write", PTRACE, |_| {
        let victim = Victim::start()?;
        // What is there in this process is there in its child.
        let word = 0_u64;
        let (from, to) = ([sys::at(&word), 8], [sys::at(&word), 8]);
        call(libc::SYS_process_vm_writev, &[n(victim.pid()), sys::at(&from), 1, sys::at(&to), 1, 0])?;
        Ok(())
    }),
    surface("ptrace", "trace-read", PTRACE, |_| {
        let victim = Victim::start()?;
        let word = 0_u64;
        let (from, to) = ([sys::at(&word), 8], [sys::at(&word), 8]);
        call(libc::SYS_process_vm_readv, &[n(victim.pid()), sys::at(&from), 1, sys::at(&to), 1, 0])?;
        Ok(())
    }),
    surface("ptrace", "trace-memory", PTRACE, |_| {
        let victim = Victim::start()?;
        match super::open(&format!("/proc/{}/mem", victim.pid()), libc::O_RDWR) {
            // /proc says EACCES, whatever the hook said (fs/proc/base.c:proc_mem_open).
            Err(Stop::Errno(libc::EACCES)) => Err(Stop::Errno(libc::EPERM)),
            other => other,
        }
    }),
    surface("ptrace", "trace-fd", PTRACE, |_| {
        let victim = Victim::start()?;
        let pidfd = sys::fd_of(call(libc::SYS_pidfd_open, &[n(victim.pid()), 0])).offered("pidfd_open")?;
        sys::fd_of(call(libc::SYS_pidfd_getfd, &[n(pidfd.as_raw_fd()), 1, 0]))?;
        Ok(())
    }),
    surface("ptrace", "trace-below", PTRACE, |_| {
        // Of the same workload, in a cgroup of its own below: not outside.
        let folder = format!("/sys/fs/cgroup{}/traced", super::cgroups::own()?);
        std::fs::create_dir(&folder).step(&folder)?;
        let victim = Victim::start()?;
        let moved = std::fs::write(format!("{folder}/cgroup.procs"), victim.pid().to_string());
        let done = moved.step("within one's own").and_then(|()| seize(victim.pid()));
        drop(victim);
        std::fs::remove_dir(&folder).step("gone")?;
        done
    }),
    surface("module load", "module-bytes", MODULE, |_| {
        let empty = sys::c("");
        // Long enough for a head of an ELF file: what is shorter is not even asked about.
        garbage(call(libc::SYS_init_module, &[sys::at(&[b'x'; 256]), 256, empty.as_ptr() as usize]))
    }),
    surface("module load", "module-file", MODULE, |_| {
        let file = sys::open("/etc/hosts", libc::O_RDONLY).step("a file")?;
        let empty = sys::c("");
        garbage(call(libc::SYS_finit_module, &[n(file.as_raw_fd()), empty.as_ptr() as usize, 0]))
    }),
    surface("module load", "kexec-bytes", MODULE, |_| {
        // Nothing to load: what was loaded before is dropped.
        garbage(call(libc::SYS_kexec_load, &[0, 0, 0, 0]))
    }),
    surface("module load", "kexec-file", MODULE, |_| {
        let file = sys::open("/etc/hosts", libc::O_RDONLY).step("a file")?;
        let line = sys::c("");
        let list = [n(file.as_raw_fd()), n(-1), 1, line.as_ptr() as usize, NO_INITRAMFS];
        garbage(call(KEXEC_FILE_LOAD, &list))
    }),
    surface("mount", "mount-new", MOUNT, |_| {
        apart()?;
        sys::mount("tmpfs", "/scratch/m/spare", "tmpfs", 0, "size=64k")
    }),
    surface("mount", "mount-bind", MOUNT, |_| {
        apart()?;
        sys::mount("/data/suite/o", "/scratch/m/spare", "", libc::MS_BIND, "")
    }),
    surface("mount", "mount-over", MOUNT, |_| {
        // Over what is protected.
        apart()?;
        sys::mount("/data/suite/o", "/data/suite/p", "", libc::MS_BIND, "")
    }),
    surface("mount", "mount-remount", MOUNT, |_| {
        apart()?;
        sys::mount("", "/scratch/m/spare", "", libc::MS_REMOUNT | libc::MS_RDONLY, "")
    }),
    surface("mount", "mount-shared", MOUNT, |_| {
        apart()?;
        sys::mount("", "/scratch/m/spare", "", libc::MS_SHARED, "")
    }),
    surface("mount", "mount-move", MOUNT, |_| {
        apart()?;
        sys::mount("/scratch/m/spare", "/scratch/m/root", "", libc::MS_MOVE, "")
    }),
    surface("mount", "mount-proc", MOUNT, |_| {
        apart()?;
        sys::mount("proc", "/scratch/m/spare", "proc", 0, "")
    }),
    surface("mount", "mount-own-proc", MOUNT, |_| {
        // Over a place that is Aegis's too, but not where it lives: the rule's business alone.
        apart()?;
        sys::mount("", "/", "", libc::MS_REC | libc::MS_PRIVATE, "").or_else(ruled)?;
        sys::mount("proc", "/proc", "proc", 0, "")
    }),
    surface("mount", "mount-context", MOUNT, |_| {
        apart()?;
        let kind = sys::c("tmpfs");
        let context = sys::fd_of(call(libc::SYS_fsopen, &[kind.as_ptr() as usize, 0])).offered("fsopen")?;
        call(libc::SYS_fsconfig, &[n(context.as_raw_fd()), CREATE, 0, 0, 0]).step("fsconfig")?;
        let mount = sys::fd_of(call(libc::SYS_fsmount, &[n(context.as_raw_fd()), 0, 0])).step("fsmount")?;
        attach(mount.as_raw_fd())
    }),
    surface("mount", "mount-tree", MOUNT, |_| {
        apart()?;
        let folder = sys::c("/data/suite/o");
        let tree = call(libc::SYS_open_tree, &[n(sys::HERE), folder.as_ptr() as usize, 1]);
        attach(sys::fd_of(tree).offered("open_tree")?.as_raw_fd())
    }),
    surface("mount", "unmount", MOUNT, |_| {
        apart()?;
        sys::path_call(libc::SYS_umount2, "/scratch/m/spare", &[0])
    }),
    surface("mount", "unmount-lazily", MOUNT, |_| {
        apart()?;
        sys::path_call(libc::SYS_umount2, "/scratch/m/spare", &[n(libc::MNT_DETACH)])
    }),
    surface("mount", "pivot-root", MOUNT, |_| {
        apart()?;
        let old = sys::c("/scratch/m/spare/old");
        sys::path_call(libc::SYS_pivot_root, "/scratch/m/spare", &[old.as_ptr() as usize])
    }),
    surface("mount", "mount-setattr", MOUNT, |_| {
        // No kernel asks any hook about it. It changes what a mount is like, and mounts nothing.
        apart()?;
        let place = sys::c("/scratch/m/spare");
        let read_only = [1_u64, 0, 0, 0];
        let list = [n(sys::HERE), place.as_ptr() as usize, 0, sys::at(&read_only), size_of_val(&read_only)];
        call(libc::SYS_mount_setattr, &list).offered("mount_setattr")?;
        sys::mount("tmpfs", "/scratch/m/spare", "tmpfs", 0, "size=64k")
    })
    .allows("what a mount is like (`mount_setattr`)"),
    surface("switching off", "reboot-keys", MOUNT, |_| {
        // Who has the capability switches the machine off. This is the one that asks for the least: what Ctrl-Alt-Del does.
        call(libc::SYS_reboot, &[0xfee1_dead, 672_274_793, 0, 0]).step("reboot(2)")?;
        apart()?;
        sys::mount("tmpfs", "/scratch/m/spare", "tmpfs", 0, "size=64k")
    })
    .allows("`reboot(2)`, to who has the capability"),
    surface("mount", "mount-user-ns", MOUNT, |_| {
        sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS).offered("CLONE_NEWUSER")?;
        std::fs::write("/proc/self/uid_map", "0 0 1").step("uid_map")?;
        sys::mount("tmpfs", "/scratch/m/spare", "tmpfs", 0, "size=64k")
    }),
    // Where nothing guards itself: else self-protection denies it first (group `self-protection`).
    Scenario {
        boot: Boot::Plain,
        ..denied("bpf", "bpf-rule", ("suite-bpf", "bpf", "bpf"), |_| super::own::next_map())
    }
    .control(Control::Outside),
];

/// What a rule denies here, it denies: the mount that follows is asked all the same.
fn ruled(stop: Stop) -> Done {
    if matches!(stop, Stop::Errno(libc::EPERM)) { Ok(()) } else { Err(stop) }
}

/// A mount namespace of one's own: what is mounted in it, should nothing forbid it, is gone with this process.
fn apart() -> Done {
    sys::unshare(libc::CLONE_NEWNS).step("unshare")
}

fn attach(mount: i32) -> Done {
    let (from, to) = (sys::c(""), sys::c("/scratch/m/spare"));
    let here = n(sys::HERE);
    let list = [n(mount), from.as_ptr() as usize, here, to.as_ptr() as usize, FROM_EMPTY_PATH];
    call(libc::SYS_move_mount, &list)?;
    Ok(())
}

fn seize(pid: i32) -> Done {
    call(libc::SYS_ptrace, &[libc::PTRACE_SEIZE as usize, n(pid), 0, 0])?;
    Ok(())
}

fn trace(request: usize) -> Done {
    let victim = Victim::start()?;
    call(libc::SYS_ptrace, &[request, n(victim.pid()), 0, 0])?;
    Ok(())
}

/// What gets so far that the kernel looks at it, and finds it is nothing, got through.
fn garbage(called: sys::Called) -> Done {
    match called {
        Ok(_) | Err(libc::ENOEXEC | libc::EINVAL | libc::EBADMSG | libc::EKEYREJECTED) => Ok(()),
        Err(number) => Err(Stop::Errno(number)),
    }
}
