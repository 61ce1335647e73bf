//! The agent's commands, started for the server: bounded in number, in rate and in time. Nothing of a request but one number reaches
//! them.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};

use super::{is_readable, quiet};
use crate::limits;
use crate::wire::Question;

/// Those that run.
pub(super) struct Commands {
    agent: PathBuf,
    running: Vec<(Child, Instant)>,
    /// How many were started since.
    since: Instant,
    started: u32,
}

impl Commands {
    pub(super) fn new(agent: &Path) -> Self {
        Self { agent: agent.to_owned(), running: Vec::new(), since: Instant::now(), started: 0 }
    }

    /// Starts one, and gives the reading end of what it prints; `None`: not now.
    pub(super) fn start(&mut self, question: Question, since: u64) -> Option<OwnedFd> {
        self.reap();
        if self.since.elapsed() >= Duration::from_secs(1) {
            (self.since, self.started) = (Instant::now(), 0);
        }
        // Who asks for events without a rest leaves others half of it: found by wrk.
        let most = match question {
            Question::Events | Question::EventsCbor => limits::COMMANDS_PER_SECOND / 2,
            _ => limits::COMMANDS_PER_SECOND,
        };
        if self.running.len() >= limits::COMMANDS || self.started >= most {
            return None;
        }
        self.started += 1;
        let (arguments, within) = words(question, since);
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).ok()?;
        let child = quiet(&self.agent, &arguments).stdout(Stdio::from(write)).spawn();
        let child = child.inspect_err(|error| eprintln!("site: {}: {error}", self.agent.display())).ok()?;
        self.running.push((child, Instant::now() + within));
        Some(read)
    }

    /// Those that ended are forgotten, those that are late are ended.
    pub(super) fn reap(&mut self) {
        let now = Instant::now();
        self.running.retain_mut(|(child, until)| {
            if *until <= now {
                let _ = child.kill();
            }
            matches!(child.try_wait(), Ok(None))
        });
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        for (child, _) in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// As it would be typed, and how long it may take.
fn words(question: Question, since: u64) -> (Vec<OsString>, Duration) {
    let health = |view: &'static [&str]| {
        ([&["health", "--json"], view].concat().into_iter().map(OsString::from).collect(), limits::ANSWER)
    };
    match question {
        Question::Health => health(&[]),
        Question::Live => health(&["--live"]),
        Question::Ready => health(&["--ready"]),
        Question::Stats => health(&["--stats"]),
        Question::Metrics => (vec!["metrics".into()], limits::ANSWER),
        Question::Events | Question::EventsCbor => {
            let form = if question == Question::Events { "--json" } else { "--cbor" };
            let since = format!("since={since}");
            (vec!["events".into(), form.into(), "--filter".into(), since.into()], limits::EVENTS)
        }
    }
}

/// What a command is held to of which all is wanted that it prints.
pub(super) struct Once<'a> {
    /// Most that it may print, bytes.
    pub(super) most: usize,
    /// How long it may take.
    pub(super) within: Duration,
    /// Exit codes of one whose words count.
    pub(super) good: &'a [i32],
    /// It is ended when that is set.
    pub(super) stop: Option<&'a AtomicBool>,
}

impl Once<'_> {
    /// What it prints, to its end; it is to end well, and in time.
    pub(super) fn run(&self, program: &Path, arguments: &[&str]) -> io::Result<Vec<u8>> {
        let shown = || format!("{} {}", program.display(), arguments.join(" "));
        let failed = |what: &dyn std::fmt::Display| io::Error::other(format!("{}: {what}", shown()));
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut command = quiet(program, &arguments);
        let spawned = command.stdout(Stdio::from(write)).spawn();
        // Its writing end is the child's alone.
        drop(command);
        let mut child = spawned.map_err(|error| failed(&error))?;
        let read_all = self.read(&read, &failed);
        if read_all.is_err() {
            let _ = child.kill();
        }
        let status = child.wait()?;
        let all = read_all?;
        if status.code().is_some_and(|code| self.good.contains(&code)) {
            Ok(all)
        } else {
            Err(failed(&status))
        }
    }

    fn read(
        &self,
        from: &OwnedFd,
        failed: &dyn Fn(&dyn std::fmt::Display) -> io::Error,
    ) -> io::Result<Vec<u8>> {
        let until = Instant::now() + self.within;
        let mut all = Vec::new();
        let mut piece = vec![0; limits::PIECE];
        loop {
            if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                return Err(failed(&"no answer is wanted any more"));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(failed(&"no answer in time"));
            }
            if !is_readable(from, left.min(limits::PUSH_STOP))? {
                continue;
            }
            match rustix::io::read(from, &mut piece) {
                Ok(0) => return Ok(all),
                Ok(count) if all.len() + count > self.most => {
                    return Err(failed(&"an answer that is too long"));
                }
                Ok(count) => all.extend_from_slice(&piece[..count]),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
