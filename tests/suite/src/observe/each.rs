//! One of each: files and their names, sockets, the kernel's own surface, processes and their privileges.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, symlink};

use super::{CGROUP, RULED, flows};
use crate::scenario::{Done, Step as _, Stop};
use crate::sys::{self, Victim, call, n};

/// Where files are made.
pub(super) const FOLDER: &str = "/scratch/each";
/// Where something is mounted.
pub(super) const MOUNT: &str = "/scratch/mount";
/// What the executed program exits with.
pub(super) const STATUS: i32 = 7;
/// `CAP_SYS_TIME`: nothing here needs it.
const DROPPED: u32 = 25;

/// A file through all that can happen to it and its names.
pub(super) fn files() -> Done {
    let at = |name: &str| format!("{FOLDER}/{name}");
    let made = sys::open(&at("made"), libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL).step("create")?;
    sys::write(made.as_raw_fd(), b"12345").step("write")?;
    drop(made);
    sys::open(RULED, libc::O_RDWR | libc::O_APPEND).step("open")?;
    if sys::open(&at("nothing"), libc::O_RDONLY).is_ok() {
        return Err(Stop::Broken("there is a file that was not made".to_owned()));
    }
    sys::path_at_call(libc::SYS_fchmodat, sys::HERE, &at("made"), &[0o600]).step("chmod")?;
    sys::path_at_call(libc::SYS_fchownat, sys::HERE, FOLDER, &[1, 2, 0]).step("chown")?;
    sys::path_call(libc::SYS_truncate, &at("made"), &[2]).step("truncate")?;
    fs::hard_link(at("made"), at("linked")).step("link")?;
    fs::rename(at("linked"), at("renamed")).step("rename")?;
    fs::remove_file(at("renamed")).step("unlink")?;
    symlink("made", at("symbolic")).step("symlink")?;
    fs::create_dir(at("folder")).step("mkdir")?;
    fs::remove_dir(at("folder")).step("rmdir")?;
    sys::mknod(&at("pipe"), libc::S_IFIFO | 0o600, 0).step("mknod")
}

/// A connection to oneself; datagrams to nobody.
pub(super) fn network() -> Done {
    let (mut client, mut server) = flows::stream("127.0.0.1:7001", "127.0.0.1:7101", "127.0.0.1:7001")?;
    client.write_all(b"12345").step("send")?;
    server.read_exact(&mut [0; 5]).step("receive")?;
    drop(client);
    drop(server);
    let socket = UdpSocket::bind("[::1]:7002").step("bind")?;
    socket.connect("[::1]:7102").step("connect")
}

/// A process traced, a file system mounted and unmounted, bpf(2), a module from memory and one from a file. The last two come to
/// nothing, or are not there.
pub(super) fn surface() -> Done {
    let victim = Victim::start()?;
    println!("victim {}", victim.pid());
    call(libc::SYS_ptrace, &[libc::PTRACE_SEIZE as usize, n(victim.pid()), 0, 0]).step("ptrace")?;
    sys::mount("none", MOUNT, "tmpfs", libc::MS_NOSUID | libc::MS_NODEV, "size=64k").step("mount")?;
    sys::path_call(libc::SYS_umount2, MOUNT, &[0]).step("umount")?;
    let mut attributes = [0_u64; 2];
    call(libc::SYS_bpf, &[12, attributes.as_mut_ptr() as usize, size_of_val(&attributes)]).step("bpf")?;
    let empty = sys::c("");
    let garbage = call(libc::SYS_init_module, &[sys::at(&[b'x'; 256]), 256, empty.as_ptr() as usize]);
    let file = sys::open("/etc/hosts", libc::O_RDONLY).step("a file")?;
    let other = call(libc::SYS_finit_module, &[n(file.as_raw_fd()), empty.as_ptr() as usize, 0]);
    if garbage.is_ok() || other.is_ok() {
        return Err(Stop::Broken("what is no module was loaded".to_owned()));
    }
    Ok(())
}

/// One capability dropped, then all of them with the user.
pub(super) fn privilege() -> Done {
    const VERSION_3: u32 = 0x2008_0522;
    let mut head = [VERSION_3, 0];
    // Effective, permitted, inheritable; the upper halves behind them.
    let mut sets = [0_u32; 6];
    let list = [head.as_mut_ptr() as usize, sets.as_mut_ptr() as usize];
    call(libc::SYS_capget, &list).step("capget")?;
    println!("capabilities {}", u64::from(sets[0]) | u64::from(sets[3]) << 32);
    sets[0] &= !(1 << DROPPED);
    call(libc::SYS_capset, &[head.as_mut_ptr() as usize, sets.as_mut_ptr() as usize]).step("capset")?;
    call(libc::SYS_setuid, &[1000]).step("setuid")?;
    Ok(())
}

/// A second thread, which ends before the process does.
pub(super) fn threads() -> Done {
    sys::in_thread(|| Ok(()))
}

/// This program once more, with arguments.
pub(super) fn exec() -> Done {
    Err(Stop::Errno(sys::execve("/workload/run", &["observed", "exit", &STATUS.to_string()])))
}

/// A signal that nothing withstands.
pub(super) fn killed() -> Done {
    let own = call(libc::SYS_getpid, &[]).step("getpid")?;
    call(libc::SYS_kill, &[own, n(libc::SIGKILL)])?;
    Ok(())
}

/// In a cgroup below the workload's own.
pub(super) fn inner() -> Done {
    let folder = format!("{CGROUP}/inner");
    fs::create_dir(&folder).step("mkdir")?;
    fs::write(format!("{folder}/cgroup.procs"), "0").step("moving there")?;
    println!("below {}", fs::metadata(&folder).step("stat")?.ino());
    File::create(format!("{FOLDER}/inside")).step("create")?;
    Ok(())
}
