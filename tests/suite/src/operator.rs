//! The operator of a measurement: left running by `prepare`, outside of every workload, so bound by no rule. Does for the workload that
//! measures what it may not, and reads the books for it: a line asks, a line answers.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::scenario::{Done, Step as _, Stop};

pub(crate) const AEGIS: &str = "/usr/bin/aegis";
/// How long it may take to be there, and what it waits for to come about.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a command of Aegis's may take: the largest policy fills its maps for a minute and more.
const COMMAND_SECONDS: &str = "600";

/// Leaves this program running as the operator, by the name of its folder's `program`.
pub(crate) fn leave_running(program: &str) -> Done {
    let own = std::env::current_exe().step("this program")?;
    let mut operator = Command::new(own.with_file_name(program));
    operator.arg("operate").stdin(Stdio::null()).spawn().step("the operator").map(drop)
}

/// Serves the one who measures, to the end. `first` is done before anything is asked.
pub(crate) fn serve<O>(
    socket: &str,
    first: impl FnOnce() -> Result<O, Stop>,
    answer: impl Fn(&mut O, &str) -> Result<String, Stop>,
) -> Done {
    fs::write("/sys/fs/cgroup/cgroup.procs", "0").step("out of every workload")?;
    let listener = UnixListener::bind(socket).step(socket)?;
    let (stream, _) = listener.accept().step(socket)?;
    let mut operator = first()?;
    let mut answers = stream.try_clone().step("the stream")?;
    for wish in BufReader::new(stream).lines() {
        let wish = wish.step("a wish")?;
        let begun = Instant::now();
        let said = answer(&mut operator, &wish).unwrap_or_else(|stop| format!("! {stop:?}"));
        eprintln!("operator: {wish}: {:.1} s", begun.elapsed().as_secs_f64());
        writeln!(answers, "{said}").step("an answer")?;
    }
    Ok(())
}

/// The operator, as the workload sees it.
pub(crate) struct Asked(BufReader<UnixStream>);

impl Asked {
    pub(crate) fn find(socket: &str) -> Result<Self, Stop> {
        let until = Instant::now() + PATIENCE;
        loop {
            match UnixStream::connect(socket) {
                Ok(stream) => return Ok(Self(BufReader::new(stream))),
                Err(_) if Instant::now() < until => sleep(Duration::from_millis(50)),
                Err(error) => return Err(Stop::Broken(format!("the operator: {error}"))),
            }
        }
    }

    /// Asks for something; what it answers, one line of JSON.
    pub(crate) fn ask(&mut self, wish: &str) -> Result<String, Stop> {
        writeln!(self.0.get_mut(), "{wish}").step(wish)?;
        let mut line = String::new();
        self.0.read_line(&mut line).step(wish)?;
        match line.trim_end() {
            "" => Err(Stop::Broken(format!("{wish}: the operator is gone"))),
            line if line.starts_with('!') => Err(Stop::Broken(format!("{wish}: {line}"))),
            line => Ok(line.to_owned()),
        }
    }
}

/// A command of the operator's, which must succeed; what it said.
pub(crate) fn aegis(arguments: &[&str]) -> Result<String, Stop> {
    // A command that hangs shall be said, and not be waited for until the guest's time is over.
    let bounded = [COMMAND_SECONDS, AEGIS];
    let output = Command::new("/usr/bin/timeout").args(bounded).args(arguments).output().step(AEGIS)?;
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if output.status.success() {
        Ok(out)
    } else {
        Err(Stop::Broken(format!("aegis {arguments:?}: {}: {out}{err}", output.status)))
    }
}

/// Waits until it holds.
pub(crate) fn until(what: &str, holds: impl FnMut() -> Result<bool, Stop>) -> Done {
    until_within(PATIENCE, what, holds)
}

/// The same, with this patience.
pub(crate) fn until_within(
    patience: Duration,
    what: &str,
    mut holds: impl FnMut() -> Result<bool, Stop>,
) -> Done {
    let end = Instant::now() + patience;
    while !holds()? {
        if Instant::now() > end {
            return Err(Stop::Broken(format!("{what}: not after {} s", patience.as_secs())));
        }
        sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The number of what init keeps running, where that is alive.
pub(crate) fn pid(service: &str) -> Option<i32> {
    let text = fs::read_to_string(format!("/run/aegis/{service}.pid")).ok()?;
    let pid = text.trim().parse().ok()?;
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    line.contains("aegis").then_some(pid)
}

/// Processor time of a process, ns: `utime` and `stime` of proc(5), hundredths of a second.
pub(crate) fn cpu(pid: i32) -> Result<u64, Stop> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).step(&path)?;
    // Behind its name, which may have anything in it, the state is the first field.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Ok((ticks(11) + ticks(12)) * 10_000_000)
}
