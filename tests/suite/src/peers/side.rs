//! A side: how a peer is started and ended, what it weighs, and what it wrote. What is beside its program says all of that:
//! `tests/peers/README.md`.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::KINDS;
use super::books::Lines;
use super::operator::ROOT;
use crate::operator::cpu;
use crate::scenario::{Done, Step as _, Stop};
use crate::sys;

/// Where all peers' settings are.
const SETTINGS: &str = "/workload/settings";
/// Where what they write goes: on a disk, as Aegis's ring.
const OUT: &str = "/data/peers";
/// How long a peer may take to end; then it is killed.
const END: Duration = Duration::from_mins(1);

/// A peer that runs.
pub(super) struct Peer {
    name: String,
    child: Child,
    lines: Lines,
}

/// A side's settings.
pub(super) fn settings(name: &str, file: &str) -> Option<String> {
    fs::read_to_string(Path::new(SETTINGS).join(name).join(file)).ok()
}

/// The words by which a side's records name the calls.
pub(super) fn lines(name: &str) -> Result<Lines, Stop> {
    Lines::parse(&settings(name, "lines").ok_or_else(|| Stop::Broken(format!("{name}: no file `lines`")))?)
}

fn out(name: &str) -> PathBuf {
    Path::new(OUT).join(name)
}

/// A script of its settings, where there is one: `begin` or `end`, `before` or `after`.
fn script(name: &str, script: &str, when: &str) -> Done {
    let path = Path::new(SETTINGS).join(name).join(script);
    if !path.exists() {
        return Ok(());
    }
    let mut command = Command::new("/bin/sh");
    command.arg("-e").arg(&path).arg(when).env("ROOT", ROOT).env("OUT", out(name)).stdin(Stdio::null());
    let output = command.output().step(script)?;
    if output.status.success() {
        return Ok(());
    }
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Err(Stop::Broken(format!("{name}: {script} {when}: {}: {out}{err}", output.status)))
}

impl Peer {
    /// Starts it, on an empty folder.
    pub(super) fn start(name: &str) -> Result<Self, Stop> {
        let folder = out(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).step(OUT)?;
        script(name, "begin", "before")?;
        let words = settings(name, "arguments").unwrap_or_default();
        let own = Path::new(SETTINGS).join(name).join("program");
        // What is Debian's is started where its libraries are; a static program as it is.
        let mut command = if own.exists() {
            Command::new(own)
        } else {
            let mut command = Command::new("/usr/bin/chroot");
            command.arg(ROOT);
            command
        };
        command.args(words.lines()).current_dir(&folder).stdin(Stdio::null()).process_group(0);
        let environment = settings(name, "environment").unwrap_or_default();
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(environment.lines().filter_map(|line| line.split_once('=')));
        for (stream, to) in [("stdout", 1), ("stderr", 2)] {
            let file = File::create(folder.join(stream)).step(stream)?;
            if to == 1 {
                command.stdout(file)
            } else {
                command.stderr(file)
            };
        }
        let child = command.spawn().step(name)?;
        let peer = Self { name: name.to_owned(), child, lines: lines(name)? };
        script(name, "begin", "after")?;
        Ok(peer)
    }

    /// Ends it, and what it left in the kernel.
    pub(super) fn end(mut self) -> Done {
        script(&self.name, "end", "before")?;
        let pid = self.child.id().cast_signed();
        let _ = sys::kill(pid, libc::SIGTERM);
        let begun = Instant::now();
        while self.ended()?.is_none() {
            if begun.elapsed() > END {
                sys::kill(pid, libc::SIGKILL).step("a peer that does not end")?;
            }
            sleep(Duration::from_millis(50));
        }
        script(&self.name, "end", "after")
    }

    /// Whether it ended, and how.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>, Stop> {
        self.child.try_wait().step(&self.name)
    }

    /// Its process, and those below it.
    pub(super) fn processes(&self) -> Vec<i32> {
        let mut all = vec![self.child.id().cast_signed()];
        let every: Vec<(i32, i32)> =
            numbers("/proc").into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
        let mut at = 0;
        while at < all.len() {
            let of = all[at];
            all.extend(every.iter().filter(|(_, parent)| *parent == of).map(|(pid, _)| *pid));
            at += 1;
        }
        all
    }

    /// Threads of the kernel that work for it alone: by the names in its file `threads`.
    pub(super) fn threads(&self) -> Vec<i32> {
        let names = settings(&self.name, "threads").unwrap_or_default();
        let comm = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let is_named = |pid: &i32| names.lines().any(|name| name == comm(pid).trim_end());
        numbers("/proc").into_iter().filter(is_named).collect()
    }

    /// Records of each kind that are in its folder, and how many bytes all of it has.
    pub(super) fn captured(&self) -> Result<([u64; KINDS.len()], u64), Stop> {
        let (mut counts, mut bytes) = ([0; KINDS.len()], 0);
        for file in files(&out(&self.name))? {
            let content = fs::read(&file).step("what it wrote")?;
            bytes += content.len() as u64;
            self.lines.count(&String::from_utf8_lossy(&content), &mut counts);
        }
        Ok((counts, bytes))
    }

    /// What it itself says of what it lost: the last such line of each stream.
    pub(super) fn lost(&self) -> String {
        let of = |stream: &str| {
            let text = fs::read(out(&self.name).join(stream)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            text.lines().rfind(|line| line.to_lowercase().starts_with("lost ")).map(str::to_owned)
        };
        ["stdout", "stderr"].into_iter().filter_map(of).collect::<Vec<_>>().join(" / ")
    }

    /// The end of what it said, for a message.
    pub(super) fn said(&self) -> String {
        let mut all = String::new();
        for stream in ["stdout", "stderr"] {
            let text = fs::read(out(&self.name).join(stream)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let from = text.lines().count().saturating_sub(5);
            all.extend(text.lines().skip(from).flat_map(|line| [line, " / "]));
        }
        all
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Stop> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).step("a peer's folder")? {
        let path = entry.step("a peer's folder")?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

/// The names in a folder that are numbers.
fn numbers(folder: &str) -> Vec<i32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

/// Resident memory of a process now and at most, KiB.
pub(super) fn resident(pid: i32) -> [u64; 2] {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    ["VmRSS:", "VmHWM:"].map(|name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
    })
}

/// Processor time of all threads of a process, ns: the first field of `schedstat`, to the nanosecond where `stat` has hundredths of a
/// second.
pub(super) fn processor(pid: i32) -> u64 {
    let of = |thread: i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    let threads = numbers(&format!("/proc/{pid}/task"));
    let exact: Option<u64> = threads.into_iter().map(of).sum();
    exact.filter(|all| *all > 0).unwrap_or_else(|| cpu(pid).unwrap_or(0))
}
