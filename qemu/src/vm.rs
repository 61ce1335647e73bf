//! A running guest: QEMU, its console, its kill switch.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::console::{self, Mark};
use crate::error::Error;
use crate::limits;
use crate::machine::{Machine, Prepared, Progress};
use crate::run::{End, Run};
use crate::tool;

const QEMU: &str = "qemu-system-x86_64";

/// A guest that was started. Dropping it kills it.
pub struct Vm {
    machine: Machine,
    prepared: Prepared,
    child: Child,
    /// Held as long as the child may live.
    _thread: Sender<()>,
    lines: Receiver<String>,
    started: Instant,
    ended: Option<ExitStatus>,
    ready: Option<f64>,
    done: bool,
    panic: bool,
    /// The last lines that tell something.
    tail: VecDeque<String>,
    frozen: bool,
}

/// Why a wait came back.
enum Waited {
    Line(String),
    Ended,
    TimedOut,
}

/// QEMU 7.2's emulated `cmpxchg16b` was seen to hand back flags that held half of RAX: a double fault in the guest's
/// allocator. The kernel does without it.
const EMULATED_CPU: &str = "max,-cx16";

/// `ACCEL`: software emulation unless the user says otherwise; KVM may exist and hang.
pub(crate) fn accelerator() -> Result<[&'static str; 4], Error> {
    match std::env::var("ACCEL").as_deref() {
        Err(_) | Ok("" | "tcg") => Ok(["-accel", "tcg", "-cpu", EMULATED_CPU]),
        Ok("kvm") => Ok(["-accel", "kvm", "-cpu", "host"]),
        Ok(other) => {
            Err(Error::usage(format!("ACCEL={other}: unknown accelerator; mend: tcg (default) or kvm")))
        }
    }
}

/// A value inside one of QEMU's comma-separated options.
fn escaped(prefix: &str, path: &Path, suffix: &str) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let mut bytes = prefix.as_bytes().to_vec();
    for byte in path.as_os_str().as_bytes() {
        bytes.push(*byte);
        if *byte == b',' {
            bytes.push(b',');
        }
    }
    bytes.extend(suffix.as_bytes());
    OsString::from_vec(bytes)
}

/// QEMU's arguments. Read-only disks are locked shared, so that several guests may have one image.
fn arguments(machine: &Machine, prepared: &Prepared) -> Result<Vec<OsString>, Error> {
    let mut all: Vec<OsString> = Vec::new();
    all.extend(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"].map(OsString::from));
    all.extend(["-machine", "q35", "-smp", "2"].map(OsString::from));
    all.extend(accelerator()?.map(OsString::from));
    all.extend(["-m".into(), format!("{}M", machine.memory_mib).into()]);
    all.extend(["-kernel".into(), prepared.image.kernel.clone().into_os_string()]);
    if let Some(initramfs) = &prepared.image.initramfs {
        all.extend(["-initrd".into(), initramfs.clone().into_os_string()]);
    }
    all.extend(["-append".into(), prepared.command_line.clone().into()]);
    all.extend(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"].map(OsString::from));
    all.extend(["-device", "virtio-rng-pci"].map(OsString::from));

    // A flush of the guest is an fsync here; what it flushed is with the host when QEMU is killed.
    let disks = [
        ("system", Some(&prepared.image.system), "on"),
        ("ring", Some(&prepared.ring), "off"),
        ("data", Some(&prepared.data), "off"),
        ("workload", prepared.workload.as_ref(), "on"),
    ];
    for (name, path, read_only) in disks {
        let Some(path) = path else { continue };
        let options = format!(",if=none,format=raw,cache=writeback,id={name},readonly={read_only}");
        all.extend(["-drive".into(), escaped("file=", path, &options)]);
        all.extend(["-device".into(), format!("virtio-blk-pci,drive={name},serial=aegis-{name}").into()]);
    }
    all.extend(["-device", "qemu-xhci,id=usb"].map(OsString::from));
    all.extend([
        "-drive".into(),
        escaped("file=", &prepared.stick, ",if=none,format=raw,cache=writeback,id=stick"),
    ]);
    all.extend(["-device", "usb-storage,bus=usb.0,drive=stick,removable=on"].map(OsString::from));

    all.extend(["-device", "virtio-serial-pci"].map(OsString::from));
    for name in ["stdout", "stderr", "exit"] {
        let path = machine.out.join(name);
        all.extend(["-chardev".into(), escaped(&format!("file,id={name},path="), &path, "")]);
        all.extend(["-device".into(), format!("virtserialport,chardev={name},name=aegis.{name}").into()]);
    }
    Ok(all)
}

/// Starts QEMU. A thread of its own starts it and reads its console to the end: where there is `setpriv`, the
/// kernel kills QEMU when that thread dies, so a killed harness leaves no guest behind.
pub(crate) fn start(mut machine: Machine, prepared: Prepared) -> Result<Vm, Error> {
    let log_path = machine.out.join("console.log");
    let log = File::create(&log_path).map_err(|error| Error::io("create", &log_path, &error))?;
    let own_words = prepared.folder.path().join("qemu.log");
    let words = File::create(&own_words).map_err(|error| Error::io("create", &own_words, &error))?;

    let found = tool::command(QEMU).arg("--version").stdout(Stdio::null()).status();
    found.map_err(|error| tool::spawn_error(QEMU, &error))?;
    let mut command = if Path::new("/usr/bin/setpriv").exists() {
        let mut command = tool::command("/usr/bin/setpriv");
        command.args(["--pdeathsig", "KILL", QEMU]);
        command
    } else {
        tool::command(QEMU)
    };
    command.args(arguments(&machine, &prepared)?);
    // Its own process group: Ctrl-C is ours to answer.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(words).process_group(0);

    (machine.watcher)(Progress::Booting);
    let started = Instant::now();
    let (thread, over) = channel();
    let (child, lines) = spawn(command, log, over)?;
    Ok(Vm {
        machine,
        prepared,
        child,
        _thread: thread,
        lines,
        started,
        ended: None,
        ready: None,
        done: false,
        panic: false,
        tail: VecDeque::new(),
        frozen: false,
    })
}

/// `over` holds the thread until its other end is dropped.
fn spawn(mut command: Command, log: File, over: Receiver<()>) -> Result<(Child, Receiver<String>), Error> {
    let (child_to, child_from) = channel();
    let (line_to, lines) = channel();
    thread::spawn(move || {
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let _ = child_to.send(Err(error));
                return;
            }
        };
        let output = child.stdout.take();
        if let Err(unsent) = child_to.send(Ok(child)) {
            if let Ok(mut child) = unsent.0 {
                let _ = child.kill();
            }
            return;
        }
        if let Some(output) = output {
            // Nobody listening any more is no reason to stop reading: the guest would wait for its console.
            console::copy(output, log, |line| drop(line_to.send(line)));
        }
        drop(line_to);
        // The console ends before QEMU does, which is still flushing its disks: our end would be its death.
        let _ = over.recv();
    });
    let child =
        child_from.recv().map_err(|_| Error::Host(format!("{QEMU}: the thread that starts it ended")))?;
    Ok((child.map_err(|error| tool::spawn_error(QEMU, &error))?, lines))
}

impl Vm {
    /// QEMU's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
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

    /// Waits until the workload has written `text` to its stdout. False when the guest ended or its time ran out first.
    ///
    /// # Errors
    /// [`Error::Interrupted`], or [`Error::Host`] when the output can't be read.
    pub fn wait_stdout(&mut self, text: &str) -> Result<bool, Error> {
        let path = self.machine.out.join("stdout");
        loop {
            let bytes = std::fs::read(&path).or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(Vec::new()),
                _ => Err(Error::io("read", &path, &error)),
            })?;
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                return Ok(true);
            }
            if self.ended.is_some() || self.started.elapsed() > self.machine.timeout {
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

    /// The power cut: SIGKILL to QEMU, then whatever outputs are there.
    ///
    /// # Errors
    /// [`Error::Host`] when the outputs can't be taken.
    pub fn cut_power(mut self) -> Result<Run, Error> {
        self.kill();
        self.drain();
        self.collect(End::PowerCut)
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
        let seconds = self.started.elapsed().as_secs_f64();
        let failed = self.ended.is_some_and(|status| !status.success()) && matches!(end, End::NotReady(_));
        if failed {
            // QEMU would not even start: its own words say why.
            let words = std::fs::read(self.prepared.folder.path().join("qemu.log")).unwrap_or_default();
            let words = tool::last_line(&words).unwrap_or_else(|| "it said nothing".into());
            let _ = std::fs::remove_file(self.machine.out.join("exit"));
            return Err(Error::Host(format!("the guest did not boot: {words}")));
        }
        let mut run =
            Run::collect(&self.machine.out, &self.prepared.stick, self.prepared.folder.path(), end)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_a_path_stays_in_the_path() {
        let option = escaped("file=", Path::new("/a,b"), ",id=x");
        assert_eq!(option, OsString::from("file=/a,,b,id=x"));
    }
}
