//! `aegis workload keep NAME`: keeps one that is mounted: starts it in its cage, says what it says, starts it again as its manifest
//! asks. Ends when it is over, or ends too quickly too often.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use aegis_bundle::{Run, WorkloadManifest, hash};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, set_parent_process_death_signal};

use super::{Which, note};
use crate::outcome::{Failure, Outcome, say};
use crate::storage::RUN;
use crate::workloads::cage::Cage;
use crate::workloads::keeper::{self, Next};
use crate::workloads::lines::Lines;
use crate::workloads::pulse::Pulse;
use crate::workloads::told::{self, Doing};

/// Below [`RUN`]: changes when a workload says something on the console.
const SAID: &str = "said";
/// How often it is looked whether it ended, where that can't be waited for.
const LOOK: Duration = Duration::from_millis(250);

/// Exit 0 when it is over as its manifest meant it, 1 when it is not.
pub(crate) fn run(name: &str) -> Outcome {
    // Who started this does not leave it behind.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let failed = |error: &dyn std::fmt::Display| Failure::error(format!("workload {name}: {error}"));
    if !aegis_bundle::is_workload_name(name) {
        return Err(failed(&"not a workload's name"));
    }
    let manifest = told::manifest(name).map_err(|error| failed(&error))?;
    let manifest = manifest.ok_or_else(|| failed(&"it is not mounted (`aegis workload list`)"))?;
    let which = hash(&manifest);
    let manifest = WorkloadManifest::decode(&manifest).map_err(|reason| failed(&reason.code()))?;
    let run = manifest.run.as_ref().filter(|_| manifest.name == name);
    let run = run.ok_or_else(|| failed(&"not its manifest"))?;
    let before = told::doing(name).map_err(|error| failed(&error))?.unwrap_or_default();
    if matches!(before.code.as_str(), told::OVER | told::FAILED | told::CRASH_LOOP) {
        // Somebody ended the process that kept it, after it had come to its end. Who has it started again says so before.
        return Ok(());
    }
    let which = Which { name, rank: manifest.rank(), manifest: which };
    Keeper { which, run, doing: Doing { last: before.last, starts: before.starts, ..Doing::default() } }
        .keep()
}

struct Keeper<'a> {
    which: Which<'a>,
    run: &'a Run<'a>,
    doing: Doing,
}

/// How a start ended.
struct End {
    text: String,
    good: bool,
    /// How long it ran; of one that was ended for its silence, how long before that.
    ran: Duration,
}

impl Keeper<'_> {
    fn keep(mut self) -> Outcome {
        let name = self.which.name;
        let mut quick = 0;
        loop {
            self.doing.starts = self.doing.starts.saturating_add(1);
            let (end, why) = match self.once() {
                Ok(end) => (end, "ended"),
                Err(why) => (End { text: why, good: false, ran: Duration::ZERO }, told::NOT_STARTED),
            };
            self.doing.last.clone_from(&end.text);
            self.say(why, &end.text);
            match keeper::after(self.run.restart, end.good, end.ran, &mut quick) {
                Next::Over => {
                    self.tell(match why {
                        told::NOT_STARTED => why,
                        _ if !end.good => told::FAILED,
                        _ => told::OVER,
                    });
                    return if end.good {
                        Ok(())
                    } else {
                        Err(Failure::refused(format!("workload {name}: {}", end.text)))
                    };
                }
                Next::GivenUp => {
                    self.tell(told::CRASH_LOOP);
                    let ends = keeper::QUICK_ENDS;
                    let text = format!(
                        "{ends} quick ends in a row: it stays down until the next start, or `aegis workload restart {name}`"
                    );
                    self.say(told::CRASH_LOOP, &text);
                    return Err(Failure::refused(format!("workload {name}: {text}")));
                }
                Next::Again(rest) => {
                    self.tell(told::RESTING);
                    sleep(rest);
                }
            }
        }
    }

    /// On the console, and as an event.
    fn say(&self, code: &str, text: &str) {
        log::info!(workload = self.which.name; "workload {}: {code}: {text}", self.which.name);
        note(self.which, code, text);
    }

    fn tell(&mut self, code: &str) {
        code.clone_into(&mut self.doing.code);
        if let Err(error) = told::tell(self.which.name, &self.doing) {
            log::warn!(workload = self.which.name; "workload {}: {error}", self.which.name);
        }
    }

    /// From one start to its end.
    fn once(&mut self) -> Result<End, String> {
        let watchdog = Duration::from_secs(self.run.restart.watchdog.into());
        let failed = |error: io::Error| format!("watchdog: {error}");
        let mut pulse = match watchdog {
            Duration::ZERO => None,
            every => Some(Pulse::new(every, Instant::now()).map_err(failed)?),
        };
        let notify = pulse.as_ref().map(|pulse| pulse.socket().try_clone()).transpose().map_err(failed)?;
        let cage = Arc::new(Cage::new(self.which.name, self.run, notify)?);
        let counts = || (cage.pen.count("memory.events", "oom_kill"), cage.pen.count("pids.events", "max"));
        let before = counts();
        let (out, into) = io::pipe().map_err(|error| format!("pipe: {error}"))?;
        let into = OwnedFd::from(into);
        let begun = Instant::now();
        let mut child = cage.spawn(self.run, &into)?;
        drop(into);
        self.tell(told::RUNNING);
        self.say("started", &format!("start {}", self.doing.starts));
        let status = attend(self.which.name, &mut child, out, pulse.as_mut());
        // Its first program is the first of all in there: with it the others end. Whoever is left ends now.
        let emptied = cage.pen.empty();
        let (status, silent) = status.map_err(|error| format!("wait: {error}"))?;
        emptied.map_err(|error| error.to_string())?;
        let after = counts();
        let mut text = status.to_string();
        if silent {
            text = format!("{text}, no sign of life for {} s", watchdog.as_secs());
        }
        if after.0 > before.0 {
            text += ", out of its memory";
        }
        if after.1 > before.1 {
            text = format!("{text}, {} times at its bound of processes", after.1 - before.1);
        }
        let ran = keeper::ran(begun.elapsed(), silent.then_some(watchdog));
        Ok(End { text, good: status.success() && !silent, ran })
    }
}

/// Waits for a program's end, and says meanwhile what it says. One that gives no signs of life is ended: the end, and whether that was so.
fn attend(
    name: &str,
    child: &mut Child,
    mut out: io::PipeReader,
    mut pulse: Option<&mut Pulse>,
) -> io::Result<(std::process::ExitStatus, bool)> {
    // Where the kernel has none it is looked every so often.
    let pid = Pid::from_child(child);
    let ended = pidfd_open(pid, PidfdFlags::empty()).ok();
    let flags = rustix::fs::fcntl_getfl(&out)?;
    rustix::fs::fcntl_setfl(&out, flags | rustix::fs::OFlags::NONBLOCK)?;
    let mut lines = Lines::new(Instant::now());
    let said = Path::new(RUN).join(SAID);
    let mut say = |line: &str| {
        let _ = say(&format!("{name}: {line}"));
        // Who draws a screen at the same line sees that it is written over.
        let _ = std::fs::write(&said, "\n");
    };
    let mut buffer = [0; 4096];
    let mut open = true;
    let mut silent = false;
    loop {
        // Looked at first: what it said before its end is there then.
        let status = child.try_wait()?;
        // Bounded: whoever says more than this at once waits for his turn.
        for _ in 0..16 {
            match out.read(&mut buffer) {
                Ok(0) => {
                    open = false;
                    break;
                }
                Ok(read) => lines.feed(&buffer[..read], Instant::now(), &mut say),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if let Some(status) = status {
            lines.end(Instant::now(), &mut say);
            return Ok((status, silent));
        }
        let now = Instant::now();
        if pulse.as_mut().is_some_and(|pulse| pulse.is_lost(now)) {
            // The first of all in there: with it the others end.
            child.kill()?;
            (silent, pulse) = (true, None);
        }
        let mut waits: Vec<PollFd<'_>> = Vec::with_capacity(3);
        waits.extend(ended.as_ref().map(|ended| PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN)));
        if open {
            waits.push(PollFd::from_borrowed_fd(out.as_fd(), PollFlags::IN));
        }
        let mut until = ended.is_none().then_some(LOOK);
        if let Some(pulse) = &pulse {
            let (next, listens) = pulse.next(now);
            if listens {
                waits.push(PollFd::from_borrowed_fd(pulse.socket().as_fd(), PollFlags::IN));
            }
            // A moment more, so that what is due is due.
            let next = next.saturating_duration_since(now) + Duration::from_millis(1);
            until = Some(until.map_or(next, |until| until.min(next)));
        }
        let _ = poll(&mut waits, until.and_then(|until| Timespec::try_from(until).ok()).as_ref());
    }
}
