//! What is full: the kernel ring buffer with an agent that does not read it, the table of open files. Every denial stands;
//! what is lost is evidence, and it is counted.

use std::fs;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

use super::{READ, open, own::agent, read};
use crate::scenario::{Done, Scenario, Step as _, Stop, denied};
use crate::sys;

/// More than a ring buffer of 1 MiB holds, by more than a thousand.
const ASKED: usize = 6000;
/// More open files than volumes are summed of at once (`AEGIS_VOLUMES_MAX`).
const OPEN_FILES: usize = 8192 + 300;
/// More sockets than flows are summed of at once (`AEGIS_FLOWS_MAX`).
const SOCKETS: usize = 1024 + 300;

pub(super) const ALL: &[Scenario] = &[
    // Before the ring buffer is full: its event must be there.
    denied("ring full", "full-before", READ, |side| read(&side.at("secret"))).plain(),
    denied("ring full", "full-ring", READ, |side| with_stopped_agent(|| always(ASKED, &side.at("secret"))))
        .plain()
        .seconds(300),
    denied("ring full", "full-after", READ, |side| read(&side.at("secret"))).plain(),
    denied("map full", "full-files", READ, |side| {
        may_open(OPEN_FILES + 100)?;
        with_stopped_agent(|| {
            let path = side.free("plain");
            let held: Vec<_> = (0..OPEN_FILES).map(|_| sys::open(&path, libc::O_RDONLY)).collect();
            if let Some(Err(number)) = held.iter().find(|fd| fd.is_err()) {
                return Err(Stop::Broken(format!("a free file could not be opened: errno {number}")));
            }
            for fd in held.iter().flatten() {
                sys::read(fd).step("a free file is read")?;
            }
            always(10, &side.at("secret"))
        })
        .or_else(|stop| match stop {
            // Their events had no room: one more, with an agent at work.
            Stop::Errno(libc::EPERM) => read(&side.at("secret")),
            other => Err(other),
        })
    })
    .plain()
    .seconds(300),
    denied("map full", "full-sockets", READ, |side| {
        may_open(SOCKETS + 100)?;
        let socket = || UdpSocket::bind("127.0.0.1:0").step("a UDP socket");
        let end = socket()?;
        let to = end.local_addr().step("its address")?;
        let held = (0..SOCKETS).map(|_| socket()).collect::<Result<Vec<_>, _>>()?;
        for socket in &held {
            socket.send_to(b"x", to).step("a datagram")?;
        }
        read(&side.at("secret"))
    })
    .plain()
    .seconds(120),
    denied("map full", "full-cgroups", READ, |side| {
        // More cgroups than there are workloads: those below one's own take no place.
        let own = "/sys/fs/cgroup/workloads/suite/many";
        let _ = fs::create_dir(own);
        for number in 0..300 {
            fs::create_dir(format!("{own}/{number}")).step("a cgroup")?;
        }
        let done = sys::in_child(|| {
            fs::write(format!("{own}/299/cgroup.procs"), "0").step("within one's own")?;
            read(&side.at("secret"))
        });
        for number in 0..300 {
            let _ = fs::remove_dir(format!("{own}/{number}"));
        }
        let _ = fs::remove_dir(own);
        done
    })
    .plain()
    .seconds(120),
    denied("disk full", "full-run", READ, |side| {
        with_full("/run", || {
            // What Aegis keeps of this boot has a file system of its own.
            if room("/run/aegis")? == 0 {
                return Err(Stop::Broken("/run/aegis is full, too".to_owned()));
            }
            read(&side.at("secret"))
        })
    })
    .seconds(120),
    denied("disk full", "full-data", READ, |side| with_full("/data", || read(&side.at("secret"))))
        .allows("filling the file system that own storage is on")
        .seconds(120),
    denied("ring full", "full-write", READ, |side| open(&side.at("secret"), libc::O_WRONLY)).plain(),
];

/// Bytes that are free in the file system of this directory.
fn room(path: &str) -> Result<u64, Stop> {
    // struct statfs in words: its type, bytes of a block, blocks, and those that are free.
    let (path, mut found) = (sys::c(path), [0_u64; 16]);
    sys::call(libc::SYS_statfs, &[path.as_ptr() as usize, found.as_mut_ptr() as usize]).step("statfs")?;
    Ok(found[1].saturating_mul(found[3]))
}

/// With no room left in the file system of this directory.
fn with_full(folder: &str, act: impl FnOnce() -> Done) -> Done {
    let path = format!("{folder}/suite-fill");
    let file = fs::File::create(&path).step(&path)?;
    let (mut length, mut step) = (0_u64, 1_u64 << 30);
    while step >= 4096 {
        let list = [sys::n(file.as_raw_fd()), 0, length as usize, step as usize];
        match sys::call(libc::SYS_fallocate, &list) {
            Ok(_) => length += step,
            Err(libc::ENOSPC) => step /= 2,
            Err(number) => return Err(Stop::Broken(format!("{path}: errno {number}"))),
        }
    }
    let done = act();
    fs::remove_file(&path).step(&path)?;
    done
}

/// Lets this process have so many files open.
fn may_open(files: usize) -> Done {
    let limit = [files as u64; 2];
    let resource = libc::RLIMIT_NOFILE as usize;
    sys::call(libc::SYS_prlimit64, &[0, resource, sys::at(&limit), 0]).step("RLIMIT_NOFILE").map(drop)
}

/// Asked so often, it is always answered the same.
fn always(times: usize, path: &str) -> Done {
    let mut missed = 0;
    let mut last = 0;
    for _ in 0..times {
        match sys::open(path, libc::O_RDONLY) {
            Ok(_) => missed += 1,
            Err(number) => last = number,
        }
    }
    match missed {
        0 => Err(Stop::Errno(last)),
        missed if missed == times => Ok(()),
        missed => Err(Stop::Broken(format!("{missed} of {times} got through"))),
    }
}

/// With an agent that stands still: nobody takes anything out of the kernel's ring buffer.
fn with_stopped_agent(act: impl FnOnce() -> Done) -> Done {
    let agent = agent()?;
    sys::kill(agent, libc::SIGSTOP).step("the agent is stopped")?;
    let done = act();
    sys::kill(agent, libc::SIGCONT).step("the agent goes on")?;
    // It takes what there is before anything is asked of it.
    std::thread::sleep(std::time::Duration::from_secs(3));
    done
}
