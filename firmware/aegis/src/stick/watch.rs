//! `aegis stick watch`: waits for sticks, and has each plug taken once, by a process of its own; then, if so configured, has
//! evidence written to one that stays plugged, every so many minutes.
//!
//! The watcher itself reads sysfs and nothing of a stick. What a stick does to the process that takes it (hangs it, crashes
//! it, keeps it for ever) ends with that process; the next stick has its turn.

use std::collections::BTreeSet;
use std::ffi::OsStr;
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
use super::schedule::Schedule;
use super::uevent::Uevents;
use super::{privileges, seen};
use crate::outcome::{Failure, Outcome};
use crate::storage::{RUN, device::boottime, lock, tally};
use crate::{config, heap, kernel, limits};

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
    tally::started(tally::Program::StickWatch);
    privileges::keep_few().map_err(|error| failed("capabilities", error))?;
    // What is wrong with it the agent says.
    let minutes = config::look().config.export.every_minutes;
    let mut watch = Watch {
        began: Instant::now(),
        pace: Pace::default(),
        schedule: Schedule::new(minutes),
        taken: seen::load(),
        said: false,
    };
    // A take before this may have died with the watcher, or at boot.
    settle();
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
    schedule: Schedule,
    /// What was taken, or tried: also when the process that took it died before it could say so.
    taken: BTreeSet<Plug>,
    /// It was said that there are too many plugs, and there was no calm since.
    said: bool,
}

/// What is waited for after a look.
#[derive(Clone, Copy, Debug)]
enum Pause {
    /// Something that is plugged in or pulled, for at most so long.
    News(Option<Duration>),
    /// The end of this time: there is something to take, and it may not be taken before.
    Pace(Duration),
}

impl Watch {
    /// Has all sticks taken that are there and were not; then evidence written, if that is due.
    fn look(&mut self, stop: &Stop) -> io::Result<Pause> {
        loop {
            if stop.is_asked() {
                return Ok(Pause::News(None));
            }
            let there = device::scan()?;
            self.taken.retain(|plug| there.iter().any(|device| device.plug == *plug));
            let Some(next) = there.iter().find(|device| !self.taken.contains(&device.plug)) else {
                return Ok(Pause::News(self.export(&there, stop)));
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
                return Ok(Pause::Pace(pause));
            }
            self.pace.begin(now);
            self.taken.insert(next.plug);
            take(next, &[]);
        }
    }

    /// Has evidence written to one of the sticks that are there, if that is due. Returns when it is due next.
    fn export(&mut self, there: &[Device], stop: &Stop) -> Option<Duration> {
        let spent = seen::load_spent();
        let open: Vec<_> = there.iter().filter(|device| !spent.contains(&device.plug)).collect();
        let wait = self.schedule.wait(!open.is_empty(), self.began.elapsed())?;
        if !wait.is_zero() {
            return Some(wait);
        }
        self.schedule.begin(self.began.elapsed());
        // To the first that takes it.
        for device in open {
            if stop.is_asked() {
                break;
            }
            if !take(device, &["--evidence"]) {
                spend(device, there);
            }
            if !seen::load_spent().contains(&device.plug) {
                break;
            }
        }
        let spent = seen::load_spent();
        let any = there.iter().any(|device| !spent.contains(&device.plug));
        self.schedule.wait(any, self.began.elapsed())
    }
}

/// Nothing more is written to this plug.
fn spend(device: &Device, there: &[Device]) {
    if let Err(error) = seen::remember_spent(device.plug, there) {
        log::warn!("{RUN}: {error} (what is wrong with stick {} may be said again)", device.name);
    }
}

/// Waits for a message that is worth a look, or for the end of the pause.
fn wait(uevents: &Uevents, stop: &Stop, pause: Pause) -> io::Result<()> {
    let (longest, deaf) = match pause {
        Pause::News(longest) => (longest, false),
        Pause::Pace(pause) => (Some(pause), true),
    };
    let end = longest.map(|longest| Instant::now() + longest);
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(());
        }
        wait_for(&[uevents.as_fd(), stop.bell.as_fd()], left)?;
        if stop.is_asked() {
            return Ok(());
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return Ok(());
        }
        sleep(SETTLE);
        // While nothing may be taken there is nothing to look for.
        if uevents.drain()? && !deaf {
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

/// Has a stick taken by a process of its own, and waits for its end. False when it came to no end of its own.
fn take(device: &Device, more: &[&str]) -> bool {
    let node = device.node();
    let words = ["stick".as_ref(), "take".as_ref(), node.as_os_str()];
    let longest = Duration::from_secs(limits::TAKE_SECONDS);
    let words = words.into_iter().chain(more.iter().map(OsStr::new));
    let ended = start(words).and_then(|mut child| end_of(&mut child, longest));
    match &ended {
        // What there is to say it has said itself.
        Ok(Some(status)) if is_own_end(*status) => return true,
        Ok(Some(status)) => say("take-failed", &format!("{}: {}", device.name, cause(*status))),
        Ok(None) => say("timed-out", &format!("{}: killed after {} s", device.name, longest.as_secs())),
        Err(error) => say("take-failed", &format!("{}: {error}", device.name)),
    }
    // One that was started may have put a policy in force and not come to commit it, or to put the old one back.
    settle();
    false
}

/// Has a process of its own see to it that what is in the kernel is what was decided. Quiet when it is.
fn settle() {
    let longest = Duration::from_secs(limits::SETTLE_SECONDS);
    let words = ["policy", "settle"].map(OsStr::new);
    let failed = match start(words).and_then(|mut child| end_of(&mut child, longest)) {
        // 1 and 2 it has explained itself.
        Ok(Some(status)) if is_own_end(status) => return,
        Ok(Some(status)) => cause(status),
        Ok(None) => format!("killed after {} s", longest.as_secs()),
        Err(error) => error.to_string(),
    };
    log::error!("policy settle: {failed} (a reboot puts in force what was decided)");
}

/// It ended as commands do.
fn is_own_end(status: ExitStatus) -> bool {
    status.code().is_some_and(|code| code <= 2)
}

fn start<'w>(words: impl IntoIterator<Item = &'w OsStr>) -> io::Result<Child> {
    Command::new(std::env::current_exe()?).args(words).stdin(Stdio::null()).spawn()
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
    tally::stick(code);
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
        for (raw, own) in [(0, true), (1 << 8, true), (2 << 8, true), (3 << 8, false), (9, false), (6, false)]
        {
            assert_eq!(is_own_end(ExitStatus::from_raw(raw)), own, "{raw:#x}");
        }
    }

    #[test]
    fn waiting_is_bounded() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(!wait_for(&[reader.as_fd()], Some(Duration::from_millis(10))).unwrap());
        io::Write::write_all(&mut { writer }, b"x").unwrap();
        assert!(wait_for(&[reader.as_fd()], None).unwrap());
    }
}
