//! The calls that are timed one by one.

use std::ffi::CString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::thread::sleep;
use std::time::Duration;

use super::{PLAIN, Sample, WATCHED};
use crate::scenario::{Done, Step as _, Stop};
use crate::sys::{self, HERE, c, call, n};

/// What is read at once, bytes.
pub(super) const BLOCK: usize = 4096;
/// What `exec` executes: the guest's program under a name by which it ends at once.
pub const EXECUTED: &str = "/workload/noop";
/// Calls between two pauses: their records fit the kernel's ring buffer, and the agent takes them during a pause. So what is
/// timed is a call whose record has room.
const BATCH: usize = 200;
const PAUSE: Duration = Duration::from_millis(60);

/// Name of each case, and its share of the calls.
pub const CALLS: [(&str, usize); 8] = [
    ("open", 1),
    ("open-watched", 2),
    ("read", 1),
    ("stat", 1),
    ("connect", 5),
    ("connect-watched", 5),
    ("fork", 10),
    ("exec", 20),
];

/// How many calls of a block a rule matches.
pub fn watched(calls: usize) -> usize {
    calls / 2 + calls / 5
}

/// How many calls of a block connect.
pub fn connects(calls: usize) -> usize {
    2 * (calls / 5)
}

/// True of the program's name that `exec` executes.
pub fn ends_at_once(called: &str) -> bool {
    EXECUTED.ends_with(&format!("/{called}"))
}

/// Each case, with its times.
pub(super) fn measure(calls: usize) -> Result<Vec<(&'static str, Sample)>, Stop> {
    CALLS.iter().map(|(name, share)| Ok((*name, case(name, calls / share)?))).collect()
}

fn case(name: &str, count: usize) -> Result<Sample, Stop> {
    let (plain, watched) = (c(PLAIN), c(WATCHED));
    match name {
        "open" => again(count, || open_and_close(&plain)),
        "open-watched" => again(count, || open_and_close(&watched)),
        "read" => {
            let file = sys::open(PLAIN, libc::O_RDONLY).step(PLAIN)?;
            let mut buffer = [0_u8; BLOCK];
            again(count, || {
                let list = [n(file.as_raw_fd()), buffer.as_mut_ptr() as usize, BLOCK, 0];
                whole(call(libc::SYS_pread64, &list)?, BLOCK)
            })
        }
        "stat" => {
            // As long as the longest `struct stat`.
            let mut found = [0_u64; 32];
            again(count, || {
                let list = [n(HERE), plain.as_ptr() as usize, found.as_mut_ptr() as usize, 0];
                call(libc::SYS_newfstatat, &list)?;
                Ok(())
            })
        }
        // The watched address is 127.0.0.1; the other is the same device, of which no rule speaks.
        "connect" => connect(count, Ipv4Addr::new(127, 0, 0, 2)),
        "connect-watched" => connect(count, Ipv4Addr::LOCALHOST),
        "fork" => again(count, || child(|| 0)),
        "exec" => again(count, || child(|| sys::execve(EXECUTED, &[EXECUTED]))),
        other => Err(Stop::Broken(format!("{other}: no case"))),
    }
}

fn whole(done: usize, wanted: usize) -> Done {
    if done == wanted { Ok(()) } else { Err(Stop::Broken(format!("{done} of {wanted} bytes"))) }
}

fn open_and_close(path: &CString) -> Done {
    let fd = call(libc::SYS_openat, &[n(HERE), path.as_ptr() as usize, n(libc::O_RDONLY), 0])?;
    call(libc::SYS_close, &[fd])?;
    Ok(())
}

/// A child that does this and ends with what it comes to; its end is waited for.
fn child(act: impl FnOnce() -> i32) -> Done {
    let pid = sys::fork()?;
    if pid == 0 {
        sys::leave(act());
    }
    match sys::wait(pid)? {
        0 => Ok(()),
        status => Err(Stop::Broken(format!("the child ended with status {status:#x}"))),
    }
}

/// TCP: socket, connect, close. The other end is taken in between, and not timed.
fn connect(count: usize, to: Ipv4Addr) -> Result<Sample, Stop> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).step("a listener")?;
    let port = listener.local_addr().step("its address")?.port();
    let address = sys::address(SocketAddr::from((to, port)));
    timed(
        count,
        || {
            let socket = sys::socket(libc::AF_INET, libc::SOCK_STREAM)?;
            sys::connect(&socket, &address)
        },
        || listener.accept().step("accept").map(drop),
    )
}

fn again(count: usize, act: impl FnMut() -> Done) -> Result<Sample, Stop> {
    timed(count, act, || Ok(()))
}

/// Times `act` so often; `between` is not timed.
fn timed(
    count: usize,
    mut act: impl FnMut() -> Done,
    mut between: impl FnMut() -> Done,
) -> Result<Sample, Stop> {
    let mut sample = Sample::with_room(count);
    for at in 0..count {
        if at % BATCH == 0 {
            sleep(PAUSE);
        }
        sample.time(&mut act).step("a call")?;
        between()?;
    }
    sleep(PAUSE);
    Ok(sample)
}
