//! `aegis stick watch`: waits for sticks, and has each plug taken once, by a process of its own.
//!
//! The watcher itself reads sysfs and nothing of a stick. What a stick does to the process that takes it (hangs it, crashes
//! it, keeps it for ever) ends with that process; the next stick has its turn.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use aegis_event::{Body, Event};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use signal_hook::consts::SIGTERM;

use super::device::{self, Device, Plug};
use super::pace::Pace;
use super::uevent::Uevents;
use super::{privileges, seen};
use crate::outcome::{Failure, Outcome};
use crate::storage::{RUN, device::boottime, lock};
use crate::{heap, kernel, limits};

const LOCK: &str = "watch.lock";
/// How long a plug settles: nodes appear, partitions are found, more messages come.
const SETTLE: Duration = Duration::from_millis(100);

/// Runs until SIGTERM: a take that is under way is waited for.
pub(crate) fn run() -> Outcome {
    heap::set_limit(limits::WATCH_HEAP_BYTES);
    let failed = |what: &str, error: io::Error| Failure::error(format!("{what}: {error}"));
    let _one = lock::take_now(LOCK).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Failure::error("another watcher is running"),
        _ => failed(&format!("{RUN}/{LOCK}"), error),
    })?;
    // Before the first look: nothing falls between the two.
    let uevents = Uevents::open().map_err(|error| failed("uevents", error))?;
    let stop = Stop::register().map_err(|error| failed("signals", error))?;
    privileges::keep_few().map_err(|error| failed("capabilities", error))?;
    let mut watch = Watch { began: Instant::now(), pace: Pace::default(), taken: seen::load(), said: false };
    while !stop.is_asked() {
        let pause = watch.look(&stop).map_err(|error| failed("block devices", error))?;
        wait(&uevents, &stop, pause).map_err(|error| failed("uevents", error))?;
    }
    Ok(())
}

/// Somebody asked for the end.
struct Stop {
    asked: Arc<AtomicBool>,
    /// Readable once it was.
    bell: UnixStream,
}

impl Stop {
    fn register() -> io::Result<Self> {
        let (bell, rung) = UnixStream::pair()?;
        let asked = Arc::new(AtomicBool::new(false));
        // In this order: who hears the bell finds the flag set.
        signal_hook::flag::register(SIGTERM, Arc::clone(&asked))?;
        signal_hook::low_level::pipe::register(SIGTERM, rung)?;
        Ok(Self { asked, bell })
    }

    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }
}

struct Watch {
    began: Instant,
    pace: Pace,
    /// What was taken, or tried: also when the process that took it died before it could say so.
    taken: BTreeSet<Plug>,
    /// It was said that there are too many plugs, and there was no calm since.
    said: bool,
}

impl Watch {
    /// Has all sticks taken that are there and were not. What is left to do, if any, may be done after the time returned.
    fn look(&mut self, stop: &Stop) -> io::Result<Option<Duration>> {
        loop {
            if stop.is_asked() {
                return Ok(None);
            }
            let there = device::scan()?;
            self.taken.retain(|plug| there.iter().any(|device| device.plug == *plug));
            let Some(next) = there.iter().find(|device| !self.taken.contains(&device.plug)) else {
                return Ok(None);
            };
            let now = self.began.elapsed();
            self.said &= !self.pace.is_calm(now);
            let pause = self.pace.pause(now);
            if !pause.is_zero() {
                if !self.said {
                    say(
                        "too-many-plugs",
                        &format!("{} takes a minute at most; {} waits", limits::TAKES_A_MINUTE, next.name),
                    );
                }
                self.said = true;
                return Ok(Some(pause));
            }
            self.pace.begin(now);
            self.taken.insert(next.plug);
            take(next);
        }
    }
}

/// Waits for a message that is worth a look, or for the time given.
fn wait(uevents: &Uevents, stop: &Stop, pause: Option<Duration>) -> io::Result<()> {
    let end = pause.map(|pause| Instant::now() + pause);
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(());
        }
        wait_for(&[uevents.as_fd(), stop.bell.as_fd()], left)?;
        if stop.is_asked() {
            return Ok(());
        }
        sleep(SETTLE);
        // While nothing may be taken there is nothing to look for.
        if uevents.drain()? && end.is_none() {
            return Ok(());
        }
    }
}

/// Waits until there is something to read from one of these, for at most the time given.
fn wait_for<const N: usize>(fds: &[BorrowedFd<'_>; N], longest: Option<Duration>) -> io::Result<bool> {
    let timeout = longest.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
    match poll(&mut fds.each_ref().map(|fd| PollFd::new(fd, PollFlags::IN)), timeout.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Has a stick taken by a process of its own, and waits for its end.
fn take(device: &Device) {
    let longest = Duration::from_secs(limits::TAKE_SECONDS);
    let ended = start(device).and_then(|mut child| end_of(&mut child, longest));
    match ended {
        // What there is to say it has said itself.
        Ok(Some(status)) if status.code().is_some_and(|code| code <= 2) => {}
        Ok(Some(status)) => say("take-failed", &format!("{}: {}", device.name, cause(status))),
        Ok(None) => say("timed-out", &format!("{}: killed after {} s", device.name, longest.as_secs())),
        Err(error) => say("take-failed", &format!("{}: {error}", device.name)),
    }
}

fn start(device: &Device) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["stick", "take"])
        .arg(device.node())
        .stdin(Stdio::null())
        .spawn()
}

/// Waits for the end of a process; `None` when it was killed because it took too long.
fn end_of(child: &mut Child, longest: Duration) -> io::Result<Option<ExitStatus>> {
    let pid = Pid::from_child(child);
    let end = Instant::now() + longest;
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if wait_for(&[handle.as_fd()], Some(left))? {
            return child.wait().map(Some);
        }
        if left.is_zero() {
            child.kill()?;
            // One that hangs in the kernel ends when its device does. Until then there is no other take.
            return child.wait().map(|_| None);
        }
    }
}

fn cause(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("ended by signal {signal}"),
        None => format!("ended with code {}", status.code().unwrap_or(-1)),
    }
}

/// Says something of a stick, on the console and as an event.
fn say(code: &str, detail: &str) {
    log::error!("stick: {code}: {detail}");
    let event = Event { time: boottime(), subject: None, body: Body::Stick { code, detail } };
    if let Err(error) = kernel::send_note(&event) {
        log::error!("event not recorded: {error}: {event}");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn run(program: &str, argument: &str, longest: Duration) -> Option<ExitStatus> {
        let mut child = Command::new(program).arg(argument).spawn().unwrap();
        end_of(&mut child, longest).unwrap()
    }

    #[test]
    fn a_process_that_ends_is_waited_for_and_one_that_does_not_is_killed() {
        let minute = Duration::from_mins(1);
        assert_eq!(run("false", "", minute).unwrap().code(), Some(1));
        let began = Instant::now();
        assert_eq!(run("sleep", "600", Duration::from_millis(50)), None);
        assert!(began.elapsed() < minute);
        assert_eq!(cause(ExitStatus::from_raw(9)), "ended by signal 9");
        assert_eq!(cause(ExitStatus::from_raw(101 << 8)), "ended with code 101");
    }

    #[test]
    fn waiting_is_bounded() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(!wait_for(&[reader.as_fd()], Some(Duration::from_millis(10))).unwrap());
        io::Write::write_all(&mut { writer }, b"x").unwrap();
        assert!(wait_for(&[reader.as_fd()], None).unwrap());
    }
}
