//! Aegis guards itself: its process, its pins, its maps, its disks, its files.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;

use crate::scenario::{Control, Done, Scenario, Step as _, Stop, denied};
use crate::side::Side;
use crate::sys::{self, Victim, call, n};

const OPEN: super::Expected = ("aegis-self", "open", "file_open");
const SIGNAL: super::Expected = ("aegis-self", "signal", "task_kill");
const TRACE: super::Expected = ("aegis-self", "ptrace", "ptrace_access_check");
const MOUNT: super::Expected = ("aegis-self", "mount", "sb_mount");
const SELFTEST: &str = "/run/aegis/selftest";
const BPF: super::Expected = ("aegis-self", "bpf", "bpf");
const PINS: &str = "/sys/fs/bpf/aegis";

/// What the kernel itself refuses, and only after it has asked: where nothing is guarded that is as good as done.
fn but_for(side: Side, done: Done) -> Done {
    match done {
        Err(Stop::Errno(libc::EINVAL | libc::EBUSY | libc::ENOENT)) if side.absent => Ok(()),
        other => other,
    }
}

/// What has no twin that anybody may touch: shown where nothing is guarded.
const fn guarded(id: &'static str, expected: super::Expected, act: fn(Side) -> Done) -> Scenario {
    denied("self-protection", id, expected, act).control(Control::Absent)
}

pub(super) const ALL: &[Scenario] = &[
    denied("self-protection", "self-kill-0", SIGNAL, |side| with_process(side, |pid| sys::kill(pid, 0))),
    denied("self-protection", "self-kill-9", SIGNAL, |side| {
        with_process(side, |pid| sys::kill(pid, deadly(side)))
    }),
    denied("self-protection", "self-stop", SIGNAL, |side| {
        with_process(side, |pid| sys::kill(pid, if side.absent { libc::SIGCONT } else { libc::SIGSTOP }))
    }),
    denied("self-protection", "self-tgkill", SIGNAL, |side| {
        with_process(side, |pid| {
            call(libc::SYS_tgkill, &[n(pid), n(pid), n(deadly(side))])?;
            Ok(())
        })
    }),
    denied("self-protection", "self-pidfd", SIGNAL, |side| {
        with_process(side, |pid| {
            let pidfd = sys::fd_of(call(libc::SYS_pidfd_open, &[n(pid), 0])).offered("pidfd_open")?;
            call(libc::SYS_pidfd_send_signal, &[n(pidfd.as_raw_fd()), n(deadly(side)), 0, 0])?;
            Ok(())
        })
    }),
    denied("self-protection", "self-attach", TRACE, |side| {
        with_process(side, |pid| {
            call(libc::SYS_ptrace, &[libc::PTRACE_SEIZE as usize, n(pid), 0, 0])?;
            Ok(())
        })
    })
    .control(Control::Absent),
    // To write it is denied as any file of the agent's in /proc is.
    denied("self-protection", "self-memory", TRACE, |side| {
        with_process(side, |pid| open_memory(pid, libc::O_RDONLY))
    })
    .control(Control::Absent),
    denied("self-protection", "self-mem-write", OPEN, |side| {
        with_process(side, |pid| open_memory(pid, libc::O_RDWR))
    })
    .control(Control::Absent),
    denied("self-protection", "self-vm-write", TRACE, |side| with_process(side, write_into))
        .control(Control::Absent),
    // Not the agent, but like it in no cgroup of this workload: our commands, a session, another workload's task.
    guarded("self-out-attach", TRACE, |_| {
        call(libc::SYS_ptrace, &[libc::PTRACE_SEIZE as usize, n(outsider()?), 0, 0])?;
        Ok(())
    }),
    guarded("self-out-memory", TRACE, |_| open_memory(outsider()?, libc::O_RDWR)),
    guarded("self-out-write", TRACE, |_| write_into(outsider()?)),
    guarded("self-pin-unlink", ("aegis-self", "unlink", "inode_unlink"), |side| {
        let pin = a_pin("link_")?;
        // A stand-in where it would come true.
        if side.absent { there_and_back(&pin) } else { fs::remove_file(pin).map_err(Stop::from) }
    }),
    guarded("self-pin-rename", ("aegis-self", "rename", "inode_rename"), |_| {
        there_and_back(&a_pin("prog_")?)
    }),
    guarded("self-pin-make", ("aegis-self", "create", "inode_create"), |_| {
        let path = format!("{PINS}/suite");
        sys::mkdir(&path)?;
        fs::remove_dir(path).step("remove")
    }),
    guarded("self-pin-root", ("aegis-self", "rename", "inode_rename"), |_| there_and_back(PINS)),
    guarded("self-pin-chmod", ("aegis-self", "setattr", "inode_setattr"), |_| {
        sys::path_at_call(libc::SYS_fchmodat, sys::HERE, &a_pin("prog_")?, &[0o600])
    }),
    denied("self-protection", "self-ring-read", OPEN, |side| super::read(&ring(side)?)),
    guarded("self-ring-write", OPEN, |side| super::open(&ring(side)?, libc::O_RDWR)),
    denied("self-protection", "self-ring-disk", OPEN, |side| super::read(&disk(side, "aegis-ring")?)),
    denied("self-protection", "self-data-disk", OPEN, |side| super::read(&disk(side, "aegis-data")?)),
    denied("self-protection", "self-ring-node", OPEN, |side| {
        // The same device under a node of the workload's own making.
        let number = number_of(&ring(side)?)?;
        let path = format!("/dev/suite-ring-{}", side.letter());
        let _ = fs::remove_file(&path);
        sys::mknod(&path, libc::S_IFBLK | 0o600, number).step("mknod")?;
        let done = super::read(&path);
        let _ = fs::remove_file(&path);
        done
    }),
    guarded("self-data-read", OPEN, |_| super::read("/data/aegis/device.key")),
    guarded("self-data-write", OPEN, |_| super::open("/data/aegis/device.key", libc::O_RDWR)),
    guarded("self-data-make", ("aegis-self", "create", "inode_create"), |_| {
        super::open("/data/aegis/suite", libc::O_WRONLY | libc::O_CREAT)?;
        fs::remove_file("/data/aegis/suite").step("remove")
    }),
    guarded("self-data-move", ("aegis-self", "rename", "inode_rename"), |_| there_and_back("/data/aegis")),
    guarded("self-run-write", OPEN, |_| super::open("/run/aegis/agent.pid", libc::O_RDWR)),
    guarded("self-run-make", ("aegis-self", "create", "inode_create"), |_| {
        super::open("/run/aegis/stopping.suite", libc::O_WRONLY | libc::O_CREAT)?;
        fs::remove_file("/run/aegis/stopping.suite").step("remove")
    }),
    denied("self-protection", "self-limit", SIGNAL, |side| {
        with_process(side, |pid| {
            const RLIMIT_CORE: usize = 4;
            let none = [0_u64; 2];
            call(libc::SYS_prlimit64, &[n(pid), RLIMIT_CORE, sys::at(&none), 0])?;
            Ok(())
        })
    }),
    // Not the agent: a command of ours, as `aegis load` and `aegis policy apply` are.
    guarded("self-command", SIGNAL, |_| sys::kill(command()?, 0)),
    guarded("self-own-aegis", SIGNAL, |_| {
        // The workload's own process that runs the same program is nobody's but its own.
        let other = command()?;
        let own = StandsStill::running(&format!("/proc/{other}/exe"))?;
        sys::kill(own.0, 0).step("a signal to one's own")?;
        super::open(&format!("/proc/{}/oom_score_adj", own.0), libc::O_WRONLY).step("a file of one's own")?;
        sys::kill(other, 0)
    })
    .allows("signals to a process of one's own that runs Aegis's program"),
    denied("self-protection", "self-nice", SIGNAL, |side| {
        with_process(side, |pid| {
            call(libc::SYS_setpriority, &[0, n(pid), 0])?;
            Ok(())
        })
    }),
    denied("self-protection", "self-affinity", SIGNAL, |side| {
        with_process(side, |pid| {
            let all = u64::MAX;
            call(libc::SYS_sched_setaffinity, &[n(pid), 8, sys::at(&all)])?;
            Ok(())
        })
    }),
    denied("self-protection", "self-pages", SIGNAL, |side| {
        with_process(side, |pid| {
            let (page, status) = (0x1000_usize, 0_i32);
            call(libc::SYS_move_pages, &[n(pid), 1, sys::at(&page), 0, sys::at(&status), 0])?;
            Ok(())
        })
    }),
    denied("self-protection", "self-ioprio", SIGNAL, |side| {
        with_process(side, |pid| {
            call(libc::SYS_ioprio_set, &[1, n(pid), 2 << 13 | 4])?;
            Ok(())
        })
    }),
    denied("self-protection", "self-oom", OPEN, |side| {
        with_process(side, |pid| super::open(&format!("/proc/{pid}/oom_score_adj"), libc::O_WRONLY))
    }),
    denied("self-protection", "self-sigio", SIGNAL, |side| {
        with_process(side, |pid| {
            // No event tells of this signal, which need not be the doing of who runs just then; it does not arrive.
            let signal = if side.protected { deadly(side) } else { libc::SIGKILL };
            sys::signal_by_descriptor(pid, signal)?;
            if side.protected { sys::kill(pid, 0) } else { sys::died_of(pid, signal) }
        })
    }),
    guarded("self-setting", OPEN, |_| {
        sys::open("/proc/sys/kernel/ftrace_enabled", libc::O_WRONLY).map(drop).map_err(Stop::from)
    }),
    guarded("self-sysrq", OPEN, |_| there("/proc/sysrq-trigger")),
    guarded("self-release", OPEN, |_| there("/scratch/m/v1/release_agent")),
    guarded("self-core", OPEN, |_| there("/proc/sys/kernel/core_pattern")),
    guarded("self-agent-opt", ("aegis-self", "mount", "sb_mount"), |_| {
        // The same when it is mounted; nothing comes of it but the file system's description.
        const SET_STRING: usize = 1;
        let (kind, key, value) = (c"cgroup", c"release_agent", c"/scratch/none");
        let context =
            sys::fd_of(call(libc::SYS_fsopen, &[kind.as_ptr() as usize, 0])).offered("cgroup v1")?;
        let words = [key.as_ptr() as usize, value.as_ptr() as usize];
        call(libc::SYS_fsconfig, &[n(context.as_raw_fd()), SET_STRING, words[0], words[1], 0])?;
        Ok(())
    }),
    guarded("self-mapper", OPEN, |_| {
        // By which a device can be made of any other; by a node of the workload's own making.
        let text = fs::read_to_string("/sys/class/misc/device-mapper/dev").offered("device-mapper")?;
        let number = text
            .trim()
            .split_once(':')
            .and_then(|(major, minor)| Some(libc::makedev(major.parse().ok()?, minor.parse().ok()?)));
        let path = "/dev/suite-mapper";
        let _ = fs::remove_file(path);
        sys::mknod(path, libc::S_IFCHR | 0o600, number.unwrap_or_default()).step("mknod")?;
        let done = super::open(path, libc::O_RDWR);
        let _ = fs::remove_file(path);
        done
    }),
    guarded("self-freeze", MOUNT, |side| {
        // Own storage's file system; it is not frozen, which the kernel says after it was asked whether it may be thawed.
        const THAW: usize = 0xc004_5878;
        let folder = sys::open("/data/suite", libc::O_RDONLY | libc::O_DIRECTORY).step("a folder on it")?;
        but_for(side, call(libc::SYS_ioctl, &[n(folder.as_raw_fd()), THAW, 0]).map(drop).map_err(Stop::Errno))
    }),
    guarded("self-fanotify", ("aegis-self", "mount", "path_notify"), |_| {
        // Whoever opens something there waits until this process answers.
        const ASKED_BEFORE: usize = 4; // FAN_CLASS_CONTENT
        const ADD_MOUNT: usize = 0x11; // FAN_MARK_ADD | FAN_MARK_MOUNT
        const OPENING: usize = 0x1_0000; // FAN_OPEN_PERM
        let group = sys::fd_of(call(libc::SYS_fanotify_init, &[ASKED_BEFORE, 0])).offered("fanotify")?;
        let place = c"/scratch/m/spare";
        let list = [n(group.as_raw_fd()), ADD_MOUNT, OPENING, n(sys::HERE), place.as_ptr() as usize];
        call(libc::SYS_fanotify_mark, &list)?;
        Ok(())
    }),
    guarded("self-cg-again", MOUNT, |side| {
        // The file system itself, by a mount that only this process has.
        sys::unshare(libc::CLONE_NEWNS).step("unshare")?;
        but_for(side, make_read_only("/sys/fs/cgroup"))
    }),
    guarded("self-cg-set", MOUNT, |_| {
        // The same by the new calls, as it is.
        const RECONFIGURE: usize = 7;
        sys::unshare(libc::CLONE_NEWNS).step("unshare")?;
        let place = c"/sys/fs/cgroup";
        let picked = call(libc::SYS_fspick, &[n(sys::HERE), place.as_ptr() as usize, 0]);
        let picked = sys::fd_of(picked).offered("fspick")?;
        call(libc::SYS_fsconfig, &[n(picked.as_raw_fd()), RECONFIGURE, 0, 0, 0])?;
        Ok(())
    }),
    guarded("self-mount-over", MOUNT, |_| {
        // In a mount namespace of its own: where it is not denied, nobody else sees it.
        call(libc::SYS_unshare, &[n(libc::CLONE_NEWNS)])?;
        let (tmpfs, place) = (c"tmpfs", c"/run/aegis");
        call(
            libc::SYS_mount,
            &[tmpfs.as_ptr() as usize, place.as_ptr() as usize, tmpfs.as_ptr() as usize, 0, 0],
        )?;
        Ok(())
    }),
    // Where Aegis lives; each fails by itself, after it was asked whether it may.
    guarded("self-mount-move", MOUNT, |side| {
        but_for(side, sys::mount("/scratch/p", "/scratch/o", "", libc::MS_MOVE, ""))
    }),
    guarded("self-root-end", MOUNT, |side| but_for(side, unmount("/"))),
    guarded("self-pivot", MOUNT, |side| {
        // No place where anything is mounted.
        let old = sys::c("/scratch/p/nest");
        but_for(side, sys::path_call(libc::SYS_pivot_root, "/scratch/p", &[old.as_ptr() as usize]))
    }),
    // Each asks for what the kernel has not, and is told so after it was asked whether it may.
    guarded("self-test-over", MOUNT, |side| but_for(side, mount_over(SELFTEST))),
    guarded("self-test-bind", MOUNT, |side| {
        but_for(side, sys::mount("/scratch/none", SELFTEST, "", libc::MS_BIND, ""))
    }),
    guarded("self-test-again", MOUNT, |side| but_for(side, make_read_only(SELFTEST))),
    // The same file system, mounted elsewhere by the one who prepares.
    guarded("self-test-else", MOUNT, |side| but_for(side, make_read_only("/scratch/m/selftest"))),
    guarded("self-test-end", MOUNT, |side| but_for(side, unmount(SELFTEST))),
    // Not a place that is known by itself: what is below one.
    guarded("self-mount-deep", MOUNT, |side| but_for(side, mount_over("/run/aegis/selftest/denied"))),
    guarded("self-mount-cg", MOUNT, |side| but_for(side, mount_over("/sys/fs/cgroup"))),
    guarded("self-mount-cgs", MOUNT, |side| {
        but_for(side, mount_over("/sys/fs/cgroup/workloads/suite-prepare"))
    }),
    guarded("self-mount-proc", MOUNT, |side| but_for(side, mount_over("/proc"))),
    guarded("self-mount-sys", MOUNT, |side| but_for(side, mount_over("/sys/class/block"))),
    guarded("self-mount-dev", MOUNT, |side| {
        but_for(side, sys::mount("/scratch/none", "/dev/null", "", libc::MS_BIND, ""))
    }),
    guarded("self-mount-usr", MOUNT, |side| but_for(side, mount_over("/usr/sbin"))),
    guarded("self-sec-end", MOUNT, |side| but_for(side, unmount("/sys/kernel/security"))),
    guarded("self-sec-again", MOUNT, |side| but_for(side, make_read_only("/sys/kernel/security"))),
    guarded("self-sec-move", MOUNT, |_| {
        let (from, to) = (sys::c("/sys/kernel/security"), sys::c("/scratch/m/folder-o"));
        let here = n(sys::HERE);
        let move_to = |from: &std::ffi::CString, to: &std::ffi::CString| {
            call(libc::SYS_move_mount, &[here, from.as_ptr() as usize, here, to.as_ptr() as usize, 0])
        };
        match move_to(&from, &to) {
            Ok(_) => {
                move_to(&to, &from).step("back")?;
                Ok(())
            }
            Err(libc::ENOSYS) => Err(Stop::Skip("move_mount".to_owned())),
            Err(number) => Err(Stop::Errno(number)),
        }
    }),
    guarded("self-cg-make", ("aegis-self", "create", "inode_create"), |_| {
        let path = "/sys/fs/cgroup/workloads/suite-made";
        sys::mkdir(path)?;
        fs::remove_dir(path).step("remove")
    }),
    guarded("self-cg-end", ("aegis-self", "unlink", "inode_unlink"), |side| {
        but_for(
            side,
            sys::path_at_call(
                libc::SYS_unlinkat,
                sys::HERE,
                "/sys/fs/cgroup/workloads",
                &[n(libc::AT_REMOVEDIR)],
            ),
        )
    }),
    guarded("self-socket", ("aegis-self", "unix-connect", "unix_stream_connect"), |_| {
        UnixStream::connect("/run/aegis/control.sock").map(drop).map_err(Stop::from)
    }),
    guarded("self-bpf-next", BPF, |_| next_map()),
    guarded("self-bpf-map", BPF, |_| {
        const MAP_GET_FD_BY_ID: usize = 14;
        // Any id: what is refused is the asking.
        let attributes = [1_u32, 0, 0, 0];
        found(call(libc::SYS_bpf, &[MAP_GET_FD_BY_ID, sys::at(&attributes), 16]))
    }),
    guarded("self-bpf-prog", BPF, |_| {
        const PROG_GET_FD_BY_ID: usize = 13;
        let attributes = [1_u32, 0, 0, 0];
        found(call(libc::SYS_bpf, &[PROG_GET_FD_BY_ID, sys::at(&attributes), 16]))
    }),
    guarded("self-bpf-pin", BPF, |_| {
        const OBJ_GET: usize = 7;
        let path = sys::c(&a_pin("prog_")?);
        let attributes = [path.as_ptr() as u64, 0, 0];
        found(call(libc::SYS_bpf, &[OBJ_GET, sys::at(&attributes), 24]))
    }),
    guarded("self-bpf-make", BPF, |_| {
        const MAP_CREATE: usize = 0;
        let attributes = [2_u32, 4, 4, 1, 0]; // an array of one word
        found(call(libc::SYS_bpf, &[MAP_CREATE, sys::at(&attributes), 20]))
    }),
];

/// Opens a process's memory.
fn open_memory(pid: i32, flags: i32) -> Done {
    match super::open(&format!("/proc/{pid}/mem"), flags) {
        // /proc says EACCES, whatever the hook said (fs/proc/base.c:proc_mem_open).
        Err(Stop::Errno(libc::EACCES)) => Err(Stop::Errno(libc::EPERM)),
        other => other,
    }
}

/// Writes into a process's memory, by the call.
fn write_into(pid: i32) -> Done {
    let word = 0_u64;
    let (from, to) = ([sys::at(&word), 8], [sys::at(&word), 8]);
    match call(libc::SYS_process_vm_writev, &[n(pid), sys::at(&from), 1, sys::at(&to), 1, 0]) {
        // Let through, it finds no such page in another program.
        Ok(_) | Err(libc::EFAULT) => Ok(()),
        Err(number) => Err(Stop::Errno(number)),
    }
}

/// A tmpfs over this place, which the kernel refuses for what it is told to be like.
fn mount_over(place: &str) -> Done {
    sys::mount("tmpfs", place, "tmpfs", 0, "size=none")
}

/// The file system that is mounted there, read only; the kernel refuses it for the same reason.
fn make_read_only(place: &str) -> Done {
    sys::mount("", place, "", libc::MS_REMOUNT | libc::MS_RDONLY, "size=none")
}

/// Ends a mount, in two ways that exclude each other.
fn unmount(place: &str) -> Done {
    sys::path_call(libc::SYS_umount2, place, &[n(libc::MNT_EXPIRE | libc::MNT_DETACH)])
}

const fn deadly(side: Side) -> i32 {
    if side.absent { libc::SIGCONT } else { libc::SIGKILL }
}

/// The agent, or a child of the workload's own.
fn with_process(side: Side, act: impl FnOnce(i32) -> Done) -> Done {
    if side.protected {
        return act(agent()?);
    }
    let victim = Victim::start()?;
    act(victim.pid())
}

/// The process that calls itself `aegis` and was started as `aegis run`.
pub(super) fn agent() -> Result<i32, Stop> {
    process("an agent", |pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.len() > 1 && words[0].ends_with(b"aegis") && words[1] == b"run"
    })
}

/// A command of Aegis's own that is no agent: what watches for sticks.
fn command() -> Result<i32, Stop> {
    process("a command", |pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.len() > 1 && words[0].ends_with(b"aegis") && words[1] == b"stick"
    })
}

/// A child that runs Aegis's program and has nowhere to put its words.
struct StandsStill(i32);

impl StandsStill {
    fn running(link: &str) -> Result<Self, Stop> {
        let program = fs::read_link(link).step(link)?;
        let (reader, writer) = sys::pipe()?;
        let set = |flags: i32| call(libc::SYS_fcntl, &[n(writer.as_raw_fd()), n(libc::F_SETFL), n(flags)]);
        set(libc::O_NONBLOCK).step("a pipe")?;
        while sys::write(writer.as_raw_fd(), &[0; 4096]).is_ok() {}
        set(0).step("a pipe")?;
        let pid = sys::fork()?;
        if pid == 0 {
            let _ = call(libc::SYS_dup3, &[n(writer.as_raw_fd()), 1, 0]);
            let path = program.to_string_lossy().into_owned();
            sys::execve(&path, &["aegis", "version"]);
            sys::leave(1);
        }
        let child = Self(pid);
        // As long as it is there, so is the other end.
        std::mem::forget(reader);
        for _ in 0..100 {
            std::thread::sleep(std::time::Duration::from_millis(50));
            if fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|runs| runs == program) {
                return Ok(child);
            }
        }
        Err(Stop::Broken(format!("{} does not run", program.display())))
    }
}

impl Drop for StandsStill {
    fn drop(&mut self) {
        let _ = sys::kill(self.0, libc::SIGKILL);
        let _ = sys::wait(self.0);
    }
}

/// Opens to write what not every kernel has.
fn there(path: &str) -> Done {
    match super::open(path, libc::O_WRONLY) {
        Err(Stop::Errno(libc::ENOENT)) => Err(Stop::Skip(format!("no {path}"))),
        other => other,
    }
}

/// A process of the one outside.
fn outsider() -> Result<i32, Stop> {
    process("one outside", |pid| fs::read(format!("/proc/{pid}/comm")).is_ok_and(|name| name == b"outside\n"))
}

fn process(what: &str, is_it: impl Fn(i32) -> bool) -> Result<i32, Stop> {
    let entries = fs::read_dir("/proc").step("/proc")?.flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse::<i32>().ok());
    pids.find(|pid| is_it(*pid)).ok_or_else(|| Stop::Broken(format!("not {what}")))
}

/// A pin whose name begins so, wherever below it is.
fn a_pin(prefix: &str) -> Result<String, Stop> {
    let mut folders = vec![PINS.to_owned()];
    while let Some(folder) = folders.pop() {
        // A guarded directory may not be listed: by the name of a pin that every version has.
        let Ok(entries) = fs::read_dir(&folder) else { break };
        for entry in entries.flatten() {
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if entry.file_name().to_string_lossy().starts_with(prefix) {
                return Ok(path);
            }
        }
    }
    for version in (3..20).rev() {
        let path = format!("{PINS}/v{version}/{prefix}file_open");
        if fs::symlink_metadata(&path).is_ok() {
            return Ok(path);
        }
    }
    Err(Stop::Broken(format!("no pin {prefix}… below {PINS}")))
}

fn there_and_back(path: &str) -> Done {
    // The file system of pins keeps names with a dot for itself.
    let to = format!("{path}-suite");
    fs::rename(path, &to)?;
    fs::rename(to, path).step("back")
}

/// The ring's partition; on the twin's side the workload's own disk, which nobody guards.
fn ring(side: Side) -> Result<String, Stop> {
    if !side.protected {
        return disk(side, "");
    }
    for entry in fs::read_dir("/sys/class/block").step("block devices")?.flatten() {
        let text = fs::read_to_string(entry.path().join("uevent")).unwrap_or_default();
        if text.lines().any(|line| line == "PARTNAME=aegis-ring") {
            return Ok(format!("/dev/{}", entry.file_name().to_string_lossy()));
        }
    }
    Err(Stop::Broken("no partition aegis-ring".to_owned()))
}

/// The whole disk with this serial number; on the twin's side the workload's own.
fn disk(side: Side, serial: &str) -> Result<String, Stop> {
    let serial = if side.protected { serial } else { "aegis-workload" };
    for entry in fs::read_dir("/sys/block").step("disks")?.flatten() {
        let text = fs::read_to_string(entry.path().join("serial")).unwrap_or_default();
        if text.trim() == serial {
            return Ok(format!("/dev/{}", entry.file_name().to_string_lossy()));
        }
    }
    Err(Stop::Broken(format!("no disk {serial}")))
}

fn number_of(path: &str) -> Result<u64, Stop> {
    use std::os::unix::fs::MetadataExt as _;
    let found = fs::metadata(path).step(path)?;
    if found.file_type().is_block_device() {
        Ok(found.rdev())
    } else {
        Err(Stop::Broken(format!("{path} is no block device")))
    }
}

/// The least that `bpf(2)` can be asked: is there a map?
pub(super) fn next_map() -> Done {
    const MAP_GET_NEXT_ID: usize = 12;
    let attributes = [0_u32; 4];
    found(call(libc::SYS_bpf, &[MAP_GET_NEXT_ID, sys::at(&attributes), 16]))
}

/// Asked and answered, whatever the answer.
fn found(called: sys::Called) -> Done {
    match called {
        Ok(_) | Err(libc::ENOENT | libc::EINVAL) => Ok(()),
        Err(number) => Err(Stop::Errno(number)),
    }
}
