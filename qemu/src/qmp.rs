//! A minimal client of QEMU's monitor: one JSON object a line, an answer for each command by its id.
//!
//! Source: QEMU 7.2, docs/interop/qmp-spec.txt and qmp-intro.txt. The monitor is on a socket pair that QEMU inherits:
//! no path, nothing that another program could connect to.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{Error, one_line};
use crate::limits;

/// Events kept for a later wait; the oldest goes first.
const EVENTS: usize = 64;

/// The monitor of one QEMU.
pub(crate) struct Qmp {
    lines: BufReader<UnixStream>,
    next: u64,
    greeted: bool,
    events: VecDeque<Value>,
}

fn lost(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Error::Host(format!("QEMU's monitor: no answer in {} s", limits::QMP_ANSWER.as_secs()))
        }
        _ => Error::Host(format!("QEMU's monitor: {error}; the guest has ended")),
    }
}

impl Qmp {
    /// The monitor behind `stream`. Nothing is said yet: the first command waits for QEMU's greeting.
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { lines: BufReader::new(stream), next: 1, greeted: false, events: VecDeque::new() }
    }

    /// Runs a command; what it returns.
    ///
    /// # Errors
    /// [`Error::Host`] with QEMU's own words when it refuses, or when it is gone.
    pub(crate) fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, Error> {
        if !self.greeted {
            self.line(Instant::now() + limits::QMP_ANSWER, |object| object.get("QMP").is_some())?;
            self.greeted = true;
            self.command("qmp_capabilities", &json!({}))?;
        }
        self.command(command, arguments)
    }

    fn command(&mut self, command: &str, arguments: &Value) -> Result<Value, Error> {
        let id = self.next;
        self.next += 1;
        let mut line = json!({ "execute": command, "arguments": arguments, "id": id }).to_string();
        line.push('\n');
        let stream = self.lines.get_mut();
        stream
            .set_write_timeout(Some(limits::QMP_ANSWER))
            .and_then(|()| stream.write_all(line.as_bytes()))
            .map_err(|error| lost(&error))?;
        let mut answer = self.line(Instant::now() + limits::QMP_ANSWER, |object| object["id"] == id)?;
        match answer.get("error") {
            None => Ok(answer["return"].take()),
            Some(error) => {
                let said = error["desc"].as_str().unwrap_or("no reason said");
                Err(Error::Host(format!("QEMU: {command}: {}", one_line(said))))
            }
        }
    }

    /// Waits for an event of this name for which `fits` holds on its data. Events that came before count.
    ///
    /// # Errors
    /// [`Error::Host`] when none comes in time.
    pub(crate) fn wait_event(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Result<(), Error> {
        let is_it = |object: &Value| object["event"] == name && fits(&object["data"]);
        if let Some(at) = self.events.iter().position(is_it) {
            self.events.remove(at);
            return Ok(());
        }
        self.line(Instant::now() + limits::QMP_ANSWER, is_it).map(drop)
    }

    /// Reads lines until one fits. Events on the way are kept.
    fn line(&mut self, until: Instant, fits: impl Fn(&Value) -> bool) -> Result<Value, Error> {
        loop {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.lines.get_ref().set_read_timeout(Some(left)).map_err(|error| lost(&error))?;
            let mut line = Vec::new();
            let mut bounded = (&mut self.lines).take(limits::QMP_LINE_BYTES);
            bounded.read_until(b'\n', &mut line).map_err(|error| lost(&error))?;
            if line.is_empty() {
                return Err(lost(&io::ErrorKind::UnexpectedEof.into()));
            }
            let object: Value = serde_json::from_slice(&line)
                .map_err(|error| Error::Host(format!("QEMU's monitor: no JSON: {error}")))?;
            if fits(&object) {
                return Ok(object);
            }
            if object.get("event").is_some() {
                if self.events.len() >= EVENTS {
                    self.events.pop_front();
                }
                self.events.push_back(object);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};
    use std::thread;

    /// A QEMU without a machine, and its monitor.
    fn qemu() -> (Child, Qmp) {
        let (ours, its) = UnixStream::pair().expect("a socket pair");
        let child = Command::new("qemu-system-x86_64")
            .args(["-M", "none", "-S", "-nodefaults", "-display", "none"])
            .args(["-chardev", "socket,id=qmp,fd=0", "-mon", "chardev=qmp,mode=control"])
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(its)))
            .spawn()
            .expect("QEMU starts");
        (child, Qmp::new(ours))
    }

    #[test]
    fn a_real_qemu_answers_refuses_and_ends() {
        let (mut child, mut qmp) = qemu();
        let version = qmp.execute("query-version", &json!({})).expect("answered");
        assert!(version["qemu"]["major"].as_u64().is_some_and(|major| major >= 7), "{version}");
        let error = qmp.execute("make-coffee", &json!({})).expect_err("it knows no coffee");
        assert!(error.to_string().contains("make-coffee"), "{error}");
        assert_eq!(qmp.execute("query-status", &json!({})).expect("goes on")["running"], false);
        qmp.execute("cont", &json!({})).expect("answered");
        qmp.wait_event("RESUME", |_| true).expect("it came before or after the answer");
        qmp.execute("quit", &json!({})).expect("answered");
        qmp.wait_event("SHUTDOWN", |data| data["reason"] == "host-qmp-quit").expect("it came on the way");
        assert!(child.wait().expect("it ends").success());
        let error = qmp.execute("query-status", &json!({})).expect_err("it is gone");
        assert!(error.to_string().contains("the guest has ended"), "{error}");
    }

    /// A monitor that says these lines and reads what it is told.
    fn script(lines: &'static str) -> Qmp {
        let (ours, mut its) = UnixStream::pair().expect("a socket pair");
        thread::spawn(move || {
            its.write_all(lines.as_bytes()).expect("it says its lines");
            // Held open until we hang up.
            let _ = io::copy(&mut its, &mut io::sink());
        });
        Qmp::new(ours)
    }

    #[test]
    fn answers_are_found_by_id_among_events_and_strangers_answers() {
        let mut qmp = script(concat!(
            "{\"event\":\"EARLY\",\"data\":{\"n\":1}}\n{\"QMP\":{}}\n{\"return\":{},\"id\":1}\n",
            "{\"event\":\"A\",\"data\":{\"n\":2}}\n{\"return\":9,\"id\":77}\n{\"return\":5,\"id\":2}\n",
            "no json\n",
        ));
        assert_eq!(qmp.execute("x", &json!({})), Ok(json!(5)));
        qmp.wait_event("A", |data| data["n"] == 2).expect("kept");
        qmp.wait_event("EARLY", |data| data["n"] == 1).expect("kept");
        let error = qmp.execute("y", &json!({})).expect_err("its answer is none");
        assert!(error.to_string().contains("no JSON"), "{error}");
    }
}
