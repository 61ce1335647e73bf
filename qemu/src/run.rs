//! What a guest left behind.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::disks;
use crate::error::{Error, one_line};
use crate::limits;

/// How a guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The agent became ready, the guest did its work and powered off: exit code 0.
    Ran,
    /// The guest did not boot, or the agent did not become ready: exit code 3.
    NotReady(&'static str),
    /// The guest ended after the agent was ready and before its work was done: exit code 3.
    Died(&'static str),
    /// Its time was over and it was killed: exit code 4.
    TimedOut,
    /// The caller cut its power.
    PowerCut,
}

impl End {
    /// The harness's exit code (`docs/harness.md`).
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Ran | Self::PowerCut => 0,
            Self::NotReady(_) | Self::Died(_) => 3,
            Self::TimedOut => 4,
        }
    }

    /// A stable name, for `--json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ran => "ran",
            Self::NotReady(_) => "not-ready",
            Self::Died(_) => "died",
            Self::TimedOut => "timed-out",
            Self::PowerCut => "power-cut",
        }
    }
}

/// A guest's outputs. Files are in [`Run::out`].
#[derive(Clone, Debug)]
pub struct Run {
    /// How it ended.
    pub end: End,
    /// The output folder.
    pub out: PathBuf,
    /// The workload's name, if there was one.
    pub workload: Option<String>,
    /// The workload's exit code (128 + signal if a signal ended it); none when it did not come to its end.
    pub exit: Option<i32>,
    /// Seconds of guest time when the agent became ready.
    pub ready_seconds: Option<f64>,
    /// Seconds from the start of QEMU to its end.
    pub seconds: f64,
    /// The agent's own final status; null when there is none.
    pub status: Value,
    /// `export.cbor`, if the guest left one.
    pub export: Option<PathBuf>,
    /// `receipt*.cbor`, by name.
    pub receipts: Vec<PathBuf>,
    /// The temporary folder, if it was to be kept.
    pub kept: Option<PathBuf>,
    /// The last lines of the console.
    pub(crate) tail: Vec<String>,
}

impl Run {
    /// Takes the outputs from the stick into `out`. `scratch` is a folder for what lies on the stick.
    pub(crate) fn collect(out: &Path, stick: &Path, scratch: &Path, end: End) -> Result<Self, Error> {
        let taken = disks::stick_out(stick, scratch);
        if let (Err(error), End::Ran) = (taken, end) {
            return Err(error);
        }
        let from = scratch.join("out");
        let mut names: Vec<String> = fs::read_dir(&from)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .take(limits::STICK_OUT_FILES)
            .collect();
        names.sort();
        let with = |prefix: &str| -> Vec<String> {
            let fits = |name: &&String| name.starts_with(prefix) && name.strip_suffix(".cbor").is_some();
            names.iter().filter(fits).cloned().collect()
        };

        let mut receipts = Vec::new();
        for name in with("receipt") {
            let to = out.join(&name);
            copy(&from.join(&name), &to)?;
            receipts.push(to);
        }
        let exports = with("export");
        if exports.len() > 1 {
            // A guest writes one; should it write more, none is lost.
            for name in &exports {
                copy(&from.join(name), &out.join(name))?;
            }
        }
        let newest = exports.iter().max_by_key(|name| last_sequence(name));
        let export = newest.map(|_| out.join("export.cbor"));
        if let (Some(name), Some(to)) = (newest, &export) {
            copy(&from.join(name), to)?;
        }
        let mut status = Value::Null;
        if names.iter().any(|name| name == "status.json") {
            copy(&from.join("status.json"), &out.join("status.json"))?;
            status = read_status(&from.join("status.json"));
        }
        Ok(Self {
            end,
            out: out.into(),
            workload: None,
            exit: read_exit(&out.join("exit")),
            ready_seconds: None,
            seconds: 0.0,
            status,
            export,
            receipts,
            kept: None,
            tail: Vec::new(),
        })
    }

    /// What the workload wrote to its stdout, all of it.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn stdout(&self) -> std::io::Result<Vec<u8>> {
        fs::read(self.out.join("stdout"))
    }

    /// What the workload wrote to its stderr, all of it.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn stderr(&self) -> std::io::Result<Vec<u8>> {
        fs::read(self.out.join("stderr"))
    }

    /// Path of the console's log.
    pub fn console(&self) -> PathBuf {
        self.out.join("console.log")
    }

    /// The mode that the agent reported last, if it did.
    pub fn mode(&self) -> Option<&str> {
        self.status["mode"].as_str()
    }

    /// One line that says why the exit code is not 0; none when it is.
    pub fn error(&self) -> Option<String> {
        let why = match self.end {
            End::Ran | End::PowerCut => return None,
            End::NotReady(why) | End::Died(why) => why.to_owned(),
            End::TimedOut if self.ready_seconds.is_some() => "timeout: the agent was ready, the guest did not end; mend: a larger --timeout, or a workload that ends".into(),
            End::TimedOut => "timeout: the agent did not become ready; mend: a larger --timeout".into(),
        };
        let tail: Vec<String> = self.tail.iter().map(|line| one_line(line)).collect();
        let last = if tail.is_empty() { "nothing".to_owned() } else { tail.join(" | ") };
        Some(format!("{why}; last on {}: {last}", self.console().display()))
    }

    /// Everything as one JSON object, for `--json`.
    pub fn to_json(&self) -> Value {
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        json!({
            "result": self.end.name(),
            "code": self.end.exit_code(),
            "error": self.error(),
            "workload": self.workload,
            "exit": self.exit,
            "ready_seconds": self.ready_seconds,
            "seconds": (self.seconds * 1000.0).round() / 1000.0,
            "mode": self.status["mode"],
            "out": self.out.to_string_lossy(),
            "export": self.export.as_ref().and_then(name),
            "receipts": self.receipts.iter().filter_map(name).collect::<Vec<_>>(),
            "status": self.status,
        })
    }
}

impl std::fmt::Display for Run {
    /// A few lines for a person.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(name) = &self.workload {
            match self.exit {
                Some(code) => writeln!(f, "workload  {name}: exit {code}")?,
                None => writeln!(f, "workload  {name}: did not end")?,
            }
        }
        match self.ready_seconds {
            Some(seconds) => writeln!(f, "ready     after {seconds:.1} s; {:.1} s in all", self.seconds)?,
            None => writeln!(f, "ready     never; {:.1} s in all", self.seconds)?,
        }
        if self.status.is_object() {
            let text = |value: &Value| match value {
                Value::String(text) => one_line(text),
                Value::Null => "?".into(),
                other => other.to_string(),
            };
            let status = &self.status;
            writeln!(f, "mode      {} ({})", text(&status["mode"]), text(&status["reason"]))?;
            let policy = &status["policy"];
            writeln!(
                f,
                "policy    epoch {} sequence {}, {} rules",
                text(&policy["epoch"]),
                text(&policy["sequence"]),
                text(&policy["rules"])
            )?;
            let books = &status["accounts"];
            writeln!(
                f,
                "events    {} seen, {} written, {} denied",
                text(&books["seen"]),
                text(&books["written"]),
                text(&status["denied"])
            )?;
        } else {
            writeln!(f, "status    the agent left none")?;
        }
        write!(f, "outputs   {}", self.out.display())?;
        if let Some(kept) = &self.kept {
            write!(f, "\nkept      {}", kept.display())?;
        }
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::copy(from, to).map(drop).map_err(|error| Error::io("write", to, &error))
}

/// Where `export-DEVICE-FIRST-LAST.cbor` ends; 0 for an empty one.
fn last_sequence(name: &str) -> u64 {
    let stem = name.strip_suffix(".cbor").unwrap_or(name);
    let last = (!stem.contains("-empty-")).then(|| stem.rsplit_once('-')).flatten();
    last.and_then(|(_, last)| last.parse().ok()).unwrap_or(0)
}

/// The exit code that the guest wrote. A guest that was cut short wrote none: then there is no file either.
fn read_exit(path: &Path) -> Option<i32> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let code = text.trim().parse().ok();
    if code.is_none() {
        let _ = fs::remove_file(path);
    }
    code
}

/// The status, if it is JSON of a sane size.
fn read_status(path: &Path) -> Value {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(limits::STATUS_BYTES).read_to_end(&mut bytes));
    read.ok().and_then(|_| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_is_taken_from_the_stick() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (stick, out, scratch) =
            (folder.path().join("stick.img"), folder.path().join("result"), folder.path().join("scratch"));
        fs::create_dir(&out).expect("made");
        fs::create_dir(&scratch).expect("made");
        disks::stick(&stick, []).expect("made");
        for (name, content) in [
            ("export-d-1-9.cbor", "A"),
            ("export-d-10-12.cbor", "B"),
            ("export-d-empty-99.cbor", "C"),
            ("receipt-1.cbor", "R"),
            ("status.json", "{\"mode\":\"enforcing\"}"),
            ("stdout", "not the workload's"),
            ("export-3.tmp", "half"),
        ] {
            let source = folder.path().join("source");
            fs::write(&source, content).expect("written");
            let target = format!("::/aegis/out/{name}");
            crate::tool::run(
                "mcopy",
                ["-i".as_ref(), stick.as_os_str(), source.as_os_str(), target.as_ref()],
                "",
            )
            .expect("put");
        }
        fs::write(out.join("exit"), "7\n").expect("written");
        let run = Run::collect(&out, &stick, &scratch, End::Ran).expect("collected");
        assert_eq!(fs::read(out.join("export.cbor")).expect("there"), b"B");
        assert_eq!(fs::read(out.join("export-d-1-9.cbor")).expect("there"), b"A");
        assert_eq!(run.receipts, [out.join("receipt-1.cbor")]);
        assert_eq!((run.mode(), run.exit), (Some("enforcing"), Some(7)));
        assert!(!out.join("stdout").exists() && !out.join("export-3.tmp").exists());
    }

    #[test]
    fn an_exit_that_was_not_written_is_none() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("exit");
        fs::write(&path, "").expect("written");
        assert_eq!(read_exit(&path), None);
        assert!(!path.exists());
    }
}
