//! A running guest: its console both ways, its kill switch. Its sticks: `plug.rs`.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::console::{self, Mark};
use crate::error::Error;
use crate::limits;
use crate::machine::{Machine, Prepared, Progress};
use crate::platter::{Fault, Power};
use crate::plug::Plugged;
use crate::qemu::{self, Started};
use crate::qmp::Qmp;
use crate::run::{End, Run};
use crate::tool;

/// A guest that was started. Dropping it kills it.
pub struct Vm {
    machine: Machine,
    prepared: Prepared,
    child: Child,
    /// Held as long as the child may live.
    _thread: Sender<()>,
    lines: Receiver<String>,
    keyboard: UnixStream,
    pub(crate) qmp: Qmp,
    /// All sticks that were ever plugged in; a stick's place is its id.
    pub(crate) sticks: Vec<Plugged>,
    started: Instant,
    ended: Option<ExitStatus>,
    ready: Option<f64>,
    done: bool,
    panic: bool,
    /// The last lines of the console, and how many came before them.
    log: VecDeque<String>,
    logged: usize,
    /// The last lines that tell something.
    tail: VecDeque<String>,
    frozen: bool,
}

/// A place in a guest's console output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(usize);

/// Why a wait came back.
enum Waited {
    Line(String),
    Ended,
    TimedOut,
}

/// Starts the guest.
pub(crate) fn start(mut machine: Machine, prepared: Prepared) -> Result<Vm, Error> {
    (machine.watcher)(Progress::Booting);
    let started = Instant::now();
    let Started { child, thread, lines, console, monitor } = qemu::start(&machine, &prepared)?;
    let sticks = prepared.stick.iter().map(|stick| Plugged {
        image: stick.image.clone(),
        made: stick.made,
        read_only: stick.read_only,
        present: true,
    });
    Ok(Vm {
        sticks: sticks.collect(),
        machine,
        prepared,
        child,
        _thread: thread,
        lines,
        keyboard: console,
        qmp: Qmp::new(monitor),
        started,
        ended: None,
        ready: None,
        done: false,
        panic: false,
        log: VecDeque::new(),
        logged: 0,
        tail: VecDeque::new(),
        frozen: false,
    })
}

impl Vm {
    /// QEMU's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The output folder, which has `console.log`, `stdout` and `stderr` as they come.
    pub fn out(&self) -> &Path {
        &self.machine.out
    }

    /// Seconds of guest time when the agent became ready, if it did.
    pub fn ready(&self) -> Option<f64> {
        self.ready
    }

    /// Waits until the agent is ready. False when the guest ended or its time ran out first.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn wait_ready(&mut self) -> Result<bool, Error> {
        if self.ready.is_none() {
            let until = self.started + self.machine.timeout;
            self.wait(until, |line| matches!(console::mark(line), Some(Mark::Ready(_))))?;
        }
        Ok(self.ready.is_some())
    }

    /// Waits for a console line that contains `text`, from now on. None when the guest ended or its time ran out first.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn wait_line(&mut self, text: &str) -> Result<Option<String>, Error> {
        let until = self.started + self.machine.timeout;
        match self.wait(until, |line| line.contains(text))? {
            Waited::Line(line) => Ok(Some(line)),
            Waited::Ended | Waited::TimedOut => Ok(None),
        }
    }

    /// This place in the console's output, for [`Vm::wait_line_after`].
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn now(&mut self) -> Result<Place, Error> {
        self.run_for(Duration::ZERO)?;
        while let Ok(line) = self.lines.try_recv() {
            self.take(&line);
        }
        Ok(Place(self.logged + self.log.len()))
    }

    /// Waits for a console line after `place` that contains `text`: also one that came during another wait. None when the
    /// guest ended or its time ran out first. Of the console the last [`limits::LOG_LINES`] lines are known.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn wait_line_after(&mut self, place: Place, text: &str) -> Result<Option<String>, Error> {
        let known = self.log.iter().skip(place.0.saturating_sub(self.logged));
        match known.into_iter().find(|line| line.contains(text)) {
            Some(line) => Ok(Some(line.clone())),
            None => self.wait_line(text),
        }
    }

    /// The last lines of the console, for a message about what did not come.
    pub fn console_end(&self) -> String {
        let last = self.log.len().saturating_sub(limits::CONSOLE_END_LINES);
        self.log.iter().skip(last).map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Waits until the workload has written `text` to its stdout. False when the guest ended or its time ran out first.
    ///
    /// # Errors
    /// [`Error::Interrupted`], or [`Error::Host`] when the output can't be read.
    pub fn wait_stdout(&mut self, text: &str) -> Result<bool, Error> {
        let path = self.machine.out.join("stdout");
        loop {
            let bytes = std::fs::read(&path).or_else(|error| match error.kind() {
                ErrorKind::NotFound => Ok(Vec::new()),
                _ => Err(Error::io("read", &path, &error)),
            })?;
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                return Ok(true);
            }
            if self.is_over() {
                return Ok(false);
            }
            self.run_for(limits::TICK)?;
        }
    }

    /// Lets the guest run for `time`, or to its end.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn run_for(&mut self, time: Duration) -> Result<(), Error> {
        self.wait(Instant::now() + time, |_| false).map(drop)
    }

    /// Types a line at the serial console, and Enter.
    ///
    /// # Errors
    /// As [`Vm::type_text`].
    pub fn type_line(&mut self, line: &str) -> Result<(), Error> {
        self.type_text(&format!("{line}\n"))
    }

    /// Types at the serial console, or pastes: every byte as it is, but a line feed as Enter sends it (a carriage
    /// return). The guest takes it at its own pace and nothing is lost on the way to its serial port; from there its
    /// terminal has its own bound (Linux: 4,095 bytes a line). What it echoes is on the console. What is typed before
    /// a program has opened the port may be lost: wait for its prompt.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; [`Error::Host`] when the guest takes nothing for [`limits::TYPE_STALL`] or has ended.
    pub fn type_text(&mut self, text: &str) -> Result<(), Error> {
        let bytes: Vec<u8> = text.bytes().map(|byte| if byte == b'\n' { b'\r' } else { byte }).collect();
        let gone = |error: &std::io::Error| Error::Host(format!("the guest's console: {error}"));
        self.keyboard.set_write_timeout(Some(limits::TICK)).map_err(|error| gone(&error))?;
        let mut rest = bytes.as_slice();
        let mut moved = Instant::now();
        while !rest.is_empty() {
            match self.keyboard.write(rest) {
                Ok(length) => {
                    rest = &rest[length..];
                    moved = Instant::now();
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if moved.elapsed() > limits::TYPE_STALL {
                        return Err(Error::Host(format!(
                            "the guest's console: took nothing of what is typed for {} s",
                            limits::TYPE_STALL.as_secs()
                        )));
                    }
                    self.run_for(Duration::ZERO)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(gone(&error)),
            }
        }
        Ok(())
    }

    /// The power cut: SIGKILL to QEMU, then whatever outputs are there. With [`Machine::cache`] ring and data disk lose
    /// what they had not flushed, both at one instant.
    ///
    /// # Errors
    /// [`Error::Host`] when the outputs can't be taken.
    pub fn cut_power(mut self) -> Result<Run, Error> {
        let cut = self.prepared.power.as_ref().map(Power::cut).transpose();
        self.kill();
        self.drain();
        let cut = cut.map_err(|error| Error::Host(format!("the disks: {error}")))?;
        let mut run = self.collect(End::PowerCut)?;
        run.cut = cut.unwrap_or_default();
        Ok(run)
    }

    /// How often the guest has written to one of its disks. Without [`Machine::cache`] nobody counts: 0.
    pub fn writes(&self) -> u64 {
        self.prepared.power.as_ref().map_or(0, Power::writes)
    }

    /// The power cut in the middle of the guest's `writes`th write from now, to whichever disk; or when there was none for
    /// `longest`. Without [`Machine::cache`]: at once.
    ///
    /// # Errors
    /// As [`Vm::cut_power`]; [`Error::Interrupted`].
    pub fn cut_power_in_write(mut self, writes: u64, longest: Duration) -> Result<Run, Error> {
        let mut in_write = false;
        if let Some(power) = self.prepared.power.clone() {
            power.fail_in(writes);
            let until = Instant::now() + longest;
            while power.is_on() && Instant::now() < until && !self.is_over() {
                self.run_for(Duration::from_millis(1))?;
            }
            in_write = !power.is_on();
        }
        let mut run = self.cut_power()?;
        run.in_write = in_write;
        Ok(run)
    }

    /// From now on this is wrong with the guest's disk of this name (`ring`, `data`; `system` where it is written to). What was
    /// on its way keeps its place.
    ///
    /// # Errors
    /// [`Error::Usage`] without [`Machine::cache`], or when there is no such disk.
    pub fn disk(&mut self, name: &str, fault: Fault) -> Result<(), Error> {
        let number = self.prepared.disks.iter().position(|(disk, _)| *disk == name);
        match (&self.prepared.power, number) {
            (Some(power), Some(number)) => power.fault(number, fault),
            _ => {
                return Err(Error::usage(format!(
                    "{name}: no disk that is served here; mend: Machine::cache"
                )));
            }
        }
        Ok(())
    }

    /// Waits for the guest's end, or kills it when its time is over, and takes its outputs.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; [`Error::Host`] when QEMU itself failed or the outputs can't be taken.
    pub fn finish(mut self) -> Result<Run, Error> {
        let until = self.started + self.machine.timeout;
        let waited = self.wait(until, |_| false)?;
        let end = match waited {
            Waited::TimedOut => {
                self.kill();
                self.drain();
                End::TimedOut
            }
            _ if self.panic => End::Died("the guest's kernel panicked"),
            _ if self.ready.is_none() => End::NotReady("the guest ended before the agent was ready"),
            _ if !self.done => End::Died("the guest ended before its work was done"),
            _ => End::Ran,
        };
        self.collect(end)
    }

    /// Whether the guest has ended or its time has.
    pub(crate) fn is_over(&self) -> bool {
        self.ended.is_some() || self.started.elapsed() > self.machine.timeout
    }

    /// Where what is made for this guest goes.
    pub(crate) fn folder(&self) -> &Path {
        self.prepared.folder.path()
    }

    /// Whether the first of its sticks was there from the start.
    pub(crate) fn started_with_stick(&self) -> bool {
        self.prepared.stick.is_some()
    }

    /// Takes lines until one fits, the guest ends, or it is `until`.
    fn wait(&mut self, until: Instant, fits: impl Fn(&str) -> bool) -> Result<Waited, Error> {
        loop {
            if self.machine.interrupted.load(Ordering::Relaxed) {
                self.kill();
                return Err(Error::Interrupted);
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left.min(limits::TICK)) {
                Ok(line) => {
                    self.take(&line);
                    if fits(&line) {
                        return Ok(Waited::Line(line));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    if self.ended.is_none() {
                        self.ended = self.child.wait().ok();
                    }
                    return Ok(Waited::Ended);
                }
                Err(RecvTimeoutError::Timeout) => {
                    (self.machine.watcher)(Progress::Tick(self.started.elapsed()));
                }
            }
            if Instant::now() >= until {
                return Ok(Waited::TimedOut);
            }
        }
    }

    fn take(&mut self, line: &str) {
        (self.machine.watcher)(Progress::Line(line));
        self.log.push_back(line.to_owned());
        if self.log.len() > limits::LOG_LINES {
            self.log.pop_front();
            self.logged += 1;
        }
        match console::mark(line) {
            Some(Mark::Ready(seconds)) if self.ready.is_none() => {
                self.ready = Some(seconds);
                (self.machine.watcher)(Progress::Ready(seconds));
            }
            Some(Mark::Done) if !self.done => {
                self.done = true;
                (self.machine.watcher)(Progress::Done);
            }
            _ => self.panic |= console::is_panic(line),
        }
        if !line.trim().is_empty() && !console::is_idle(line) && !self.frozen {
            self.tail.push_back(line.trim().to_owned());
            if self.tail.len() > limits::TAIL_LINES {
                self.tail.pop_front();
            }
            // What a kernel says after its panic is addresses.
            self.frozen = self.panic;
        }
    }

    /// The lines that were on their way when the guest was killed.
    fn drain(&mut self) {
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(1)) {
            self.take(&line);
        }
    }

    fn kill(&mut self) {
        if self.ended.is_none() {
            // It may have ended by itself in between.
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
    }

    fn collect(mut self, end: End) -> Result<Run, Error> {
        if let Some(power) = &self.prepared.power {
            // After a cut there is nothing left.
            power.drain().map_err(|error| Error::Host(format!("the disks: {error}")))?;
        }
        let seconds = self.started.elapsed().as_secs_f64();
        let failed = self.ended.is_some_and(|status| !status.success()) && matches!(end, End::NotReady(_));
        if failed {
            // QEMU would not even start: its own words say why.
            let words = std::fs::read(self.prepared.folder.path().join("qemu.log")).unwrap_or_default();
            let words = tool::last_line(&words).unwrap_or_else(|| "it said nothing".into());
            let _ = std::fs::remove_file(self.machine.out.join("exit"));
            return Err(Error::Host(format!("the guest did not boot: {words}")));
        }
        let mut run = Run::collect(&self.machine.out, &self.sticks, self.prepared.folder.path(), end)?;
        run.workload = self.prepared.name.take();
        run.ready_seconds = self.ready;
        run.seconds = seconds;
        run.tail = std::mem::take(&mut self.tail).into();
        if self.machine.keep {
            self.prepared.folder.disable_cleanup(true);
            run.kept = Some(self.prepared.folder.path().to_path_buf());
        }
        Ok(run)
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.kill();
    }
}
