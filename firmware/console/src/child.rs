//! Children: commands of `aegis`, with bounded output and time. Nothing waits for one.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::io::{FdFlags, ioctl_fionbio};
use rustix::process::{Pid, Signal, kill_process};

use crate::app::Answer;
use crate::limits;

/// A command that reads nothing and whose output is read here.
fn command(program: &Path, words: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(program);
    command.args(words).env_clear().env("PATH", "/usr/bin:/usr/sbin").current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A pipe that is read without waiting.
struct Pipe {
    end: Option<OwnedFd>,
}

impl Pipe {
    fn of(end: Option<impl Into<OwnedFd>>) -> io::Result<Self> {
        let end = end.map(Into::into);
        if let Some(end) = &end {
            ioctl_fionbio(end, true)?;
            rustix::io::fcntl_setfd(end, FdFlags::CLOEXEC)?;
        }
        Ok(Self { end })
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.end.as_ref().map(AsFd::as_fd)
    }

    /// Hands on what is there; at its end, or when it fails, it is closed.
    fn read(&mut self, mut each: impl FnMut(&[u8])) {
        let mut bytes = [0; limits::READ_BYTES];
        for _ in 0..limits::READS {
            let Some(end) = &self.end else { return };
            match rustix::io::read(end, &mut bytes) {
                Ok(0) => self.end = None,
                Ok(length) => each(&bytes[..length]),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => self.end = None,
            }
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    // One that was waited for has no number any more; `Child` knows.
    let _ = kill_process(Pid::from_child(child), signal);
}

/// A command that comes to its end, or is brought to it.
pub(crate) struct Job<T> {
    pub(crate) what: T,
    child: Child,
    out: Pipe,
    err: Pipe,
    answer: Answer,
    until: Instant,
    /// How often it was told to end.
    told: u8,
    /// Of what it says the end is kept, not the beginning.
    last: bool,
}

impl<T: Copy> Job<T> {
    /// Starts it.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn start(
        what: T,
        program: &Path,
        words: &[&str],
        limit: Duration,
        last: bool,
    ) -> io::Result<Self> {
        let mut child = command(program, words).spawn()?;
        let (out, err) = (Pipe::of(child.stdout.take())?, Pipe::of(child.stderr.take())?);
        let until = Instant::now() + limit;
        Ok(Self { what, child, out, err, answer: Answer::default(), until, told: 0, last })
    }

    /// What to wait for.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [self.out.fd(), self.err.fd()].into_iter().flatten()
    }

    /// When to look at the latest. Of one that closed its output and is not over nothing wakes.
    pub(crate) fn due(&self, now: Instant) -> Instant {
        let closed = self.out.end.is_none() && self.err.end.is_none();
        if closed { self.until.min(now + Duration::from_millis(50)) } else { self.until }
    }

    /// Looks; the answer, once it is over.
    pub(crate) fn look(&mut self, now: Instant) -> Option<Answer> {
        let answer = &mut self.answer;
        for (pipe, kept) in [(&mut self.out, &mut answer.out), (&mut self.err, &mut answer.err)] {
            pipe.read(|bytes| {
                let room = limits::ANSWER_BYTES.saturating_sub(kept.len());
                answer.more |= bytes.len() > room;
                if self.last {
                    // Of whole lines: what was cut is gone with its rest.
                    kept.extend(bytes);
                    let over = kept.len().saturating_sub(limits::ANSWER_BYTES);
                    let cut = kept[over..].iter().position(|byte| over > 0 && *byte == b'\n');
                    kept.drain(..cut.map_or(over, |line| over + line + 1));
                } else {
                    kept.extend(&bytes[..bytes.len().min(room)]);
                }
            });
        }
        let closed = self.out.end.is_none() && self.err.end.is_none();
        if closed && let Ok(Some(status)) = self.child.try_wait() {
            self.answer.code = status.code();
            return Some(core::mem::take(&mut self.answer));
        }
        if now >= self.until {
            self.answer.cut = true;
            let how = [Signal::TERM, Signal::KILL].get(usize::from(self.told));
            let Some(how) = how else {
                // It hangs in the kernel; it is nobody's from now on.
                let _ = self.child.try_wait();
                return Some(core::mem::take(&mut self.answer));
            };
            signal(&self.child, *how);
            self.told += 1;
            self.until = now + limits::GRACE;
        }
        None
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ends it now, and takes it out of the table. One that hangs in the kernel is not waited for.
fn end(child: &mut Child) {
    for look in 0..limits::REAP_LOOKS {
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        if look == 0 {
            signal(child, Signal::KILL);
        }
        std::thread::sleep(limits::REAP);
    }
}

/// A command that goes on, and says a line now and then.
pub(crate) struct Follow {
    child: Child,
    out: Pipe,
    err: Pipe,
    line: Vec<u8>,
    /// The line that comes is longer than it may be.
    skips: bool,
    /// What it said last on stderr.
    last: Vec<u8>,
}

impl Follow {
    /// Starts it.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn start(program: &Path, words: &[String]) -> io::Result<Self> {
        let mut child = command(program, words).spawn()?;
        let (out, err) = (Pipe::of(child.stdout.take())?, Pipe::of(child.stderr.take())?);
        Ok(Self { child, out, err, line: Vec::new(), skips: false, last: Vec::new() })
    }

    /// What to wait for.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [self.out.fd(), self.err.fd()].into_iter().flatten()
    }

    /// Hands on lines that are whole. Some: it is over, and what it said last on stderr.
    pub(crate) fn look(&mut self, mut each: impl FnMut(&[u8])) -> Option<String> {
        let (line, skips) = (&mut self.line, &mut self.skips);
        self.out.read(|bytes| {
            for byte in bytes {
                if *byte == b'\n' {
                    if !core::mem::take(skips) {
                        each(line);
                    }
                    line.clear();
                } else if line.len() < limits::LINE_BYTES {
                    line.push(*byte);
                } else {
                    *skips = true;
                }
            }
        });
        let last = &mut self.last;
        self.err.read(|bytes| {
            last.extend(bytes);
            let surplus = last.len().saturating_sub(limits::SENTENCE);
            last.drain(..surplus);
        });
        (self.out.end.is_none()).then(|| {
            let lines = crate::text::lines(&self.last, limits::REPORT_LINES, limits::SENTENCE);
            let said = lines.into_iter().rev().find(|line| !line.is_empty());
            let said = said.map(|line| line.strip_prefix("aegis: ").map(str::to_owned).unwrap_or(line));
            said.unwrap_or_else(|| "`aegis events` ended".to_owned())
        })
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A command that has the terminal for itself, until it ends or `stop` says so.
///
/// # Errors
/// The system's.
pub(crate) fn foreground(program: &Path, words: &[&str], stop: impl Fn() -> bool) -> io::Result<Option<i32>> {
    let mut command = Command::new(program);
    command.args(words).env_clear().env("PATH", "/usr/bin:/usr/sbin").current_dir("/");
    let mut child = command.spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if stop() {
            end(&mut child);
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A small file of the system's, whole or to its bound.
pub(crate) fn small_file(path: &str) -> Option<String> {
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(limits::SENTENCE as u64).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SH: &str = "/bin/sh";

    fn run(script: &str, limit: Duration) -> Answer {
        let mut job = Job::start((), Path::new(SH), &["-c", script], limit, false).expect("a shell");
        let begun = Instant::now();
        loop {
            if let Some(answer) = job.look(Instant::now()) {
                return answer;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{script}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn output_and_time_are_bounded() {
        let long = Duration::from_secs(20);
        let answer = run("echo out; echo err >&2; exit 3", long);
        assert_eq!(
            (answer.out.as_slice(), answer.err.as_slice(), answer.code),
            (&b"out\n"[..], &b"err\n"[..], Some(3))
        );
        let answer = run("head -c 1000000 /dev/zero; exit 0", long);
        assert!(answer.more && answer.out.len() == limits::ANSWER_BYTES && answer.code == Some(0));
        let answer = run("exec sleep 60", Duration::from_millis(100));
        assert!(answer.cut && answer.code.is_none());
        let answer = run("trap '' TERM; echo x; while :; do sleep 0.1; done", Duration::from_millis(100));
        assert!(answer.cut && answer.out == b"x\n");
        assert!(Job::start((), Path::new("/nowhere/at/all"), &["x"], long, false).is_err());
        let words = ["-c", "seq 1 100000"];
        let mut job = Job::start((), Path::new(SH), &words, long, true).expect("a shell");
        let answer = loop {
            if let Some(answer) = job.look(Instant::now()) {
                break answer;
            }
        };
        let text = String::from_utf8(answer.out).expect("text");
        assert!(answer.more && text.ends_with("\n100000\n") && text.len() <= limits::ANSWER_BYTES);
        assert!(text.lines().next().is_some_and(|line| line.len() == 5), "a whole line");
    }

    #[test]
    fn lines_that_follow_are_whole_and_bounded() {
        let script = "printf 'one\\ntw'; sleep 0.2; printf 'o\\n'; head -c 100000 /dev/zero; printf '\\nthree\\n'; echo why >&2";
        let words = ["-c".to_owned(), script.to_owned()];
        let mut follow = Follow::start(Path::new(SH), &words).expect("a shell");
        let (mut lines, begun) = (Vec::new(), Instant::now());
        let why = loop {
            if let Some(why) = follow.look(|line| lines.push(line.to_vec())) {
                break why;
            }
            assert!(begun.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(lines, [&b"one"[..], b"two", b"three"]);
        assert_eq!(why, "why");
    }
}
