//! What a guest left behind.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::{Error, one_line};
use crate::limits;
use crate::platter::Cut;
use crate::plug::Plugged;
use crate::stick::stick_outputs;

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
    /// All exports of all sticks, encrypted ones too, by their last sequence; `export` when there is no other.
    pub exports: Vec<PathBuf>,
    /// `receipt*.cbor` of all sticks, by name; of one boot that is the order they were written in.
    pub receipts: Vec<PathBuf>,
    /// Why a stick's outputs are not among these, a line for each such stick.
    pub unread: Vec<String>,
    /// Of a power cut, what became of what ring and data disk (and by a firmware, the system disk) had not flushed, in this
    /// order; none where it was all kept.
    pub cut: Vec<Cut>,
    /// The power failed in the write that it was to fail in ([`Vm::cut_power_in_write`](crate::Vm::cut_power_in_write)).
    pub in_write: bool,
    /// The temporary folder, if it was to be kept.
    pub kept: Option<PathBuf>,
    /// The last lines of the console.
    pub(crate) tail: Vec<String>,
}

impl Run {
    /// Takes the outputs from the sticks into `out`. `scratch` is a folder for what lies on them.
    pub(crate) fn collect(out: &Path, sticks: &[Plugged], scratch: &Path, end: End) -> Result<Self, Error> {
        let mut found = Found::default();
        let mut unread = Vec::new();
        for (number, stick) in sticks.iter().enumerate() {
            // One that was pulled and came back is one stick, where it was last.
            if sticks[number + 1..].iter().any(|later| later.image == stick.image) {
                continue;
            }
            let into = scratch.join(format!("out{number}"));
            fs::create_dir(&into).map_err(|error| Error::io("create", &into, &error))?;
            match stick_outputs(&stick.image, &into) {
                Ok(names) => found.add(&into, names),
                // It was whole when the guest got it, and the guest says that it is done.
                Err(error) if end == End::Ran && stick.made && stick.present && !stick.read_only => {
                    return Err(error);
                }
                Err(error) => unread.push(error.to_string()),
            }
        }

        let mut receipts = Vec::new();
        for from in found.with("receipt") {
            receipts.push(copy_to(&from, out)?);
        }
        receipts.sort_by_key(|path| natural(path));
        let plain = found.with("export");
        let newest = plain.iter().max_by_key(|path| last_sequence(path));
        let export = newest.map(|_| out.join("export.cbor"));
        if let (Some(from), Some(to)) = (newest, &export) {
            copy(from, to)?;
        }
        let mut all = [plain, found.encrypted()].concat();
        all.sort_by_key(|path| last_sequence(path));
        let exports = match (&export, all.as_slice()) {
            (Some(export), [_]) => vec![export.clone()],
            // A guest may write several; none is lost.
            _ => all.iter().map(|from| copy_to(from, out)).collect::<Result<_, _>>()?,
        };
        let mut status = Value::Null;
        if let Some(from) = &found.status {
            status = read_status(&copy_to(from, out)?);
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
            exports,
            receipts,
            unread,
            cut: Vec::new(),
            in_write: false,
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
            "unread": self.unread,
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
        for line in &self.unread {
            writeln!(f, "stick     not read: {line}")?;
        }
        write!(f, "outputs   {}", self.out.display())?;
        if let Some(kept) = &self.kept {
            write!(f, "\nkept      {}", kept.display())?;
        }
        Ok(())
    }
}

/// Files that sticks brought back, in the order of the sticks.
#[derive(Default)]
struct Found {
    files: Vec<PathBuf>,
    /// The last stick's that has one.
    status: Option<PathBuf>,
}

impl Found {
    fn add(&mut self, folder: &Path, names: Vec<String>) {
        for name in names {
            let path = folder.join(&name);
            if name == "status.json" {
                self.status = Some(path.clone());
            }
            self.files.push(path);
        }
    }

    fn with(&self, prefix: &str) -> Vec<PathBuf> {
        let fits = |path: &&PathBuf| {
            let name = file_name(path);
            name.starts_with(prefix) && name.strip_suffix(".cbor").is_some()
        };
        self.files.iter().filter(fits).cloned().collect()
    }

    fn encrypted(&self) -> Vec<PathBuf> {
        let fits =
            |path: &&PathBuf| file_name(path).starts_with("export") && file_name(path).ends_with(".cbor.age");
        self.files.iter().filter(fits).cloned().collect()
    }
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// A name as texts and numbers, so that 10 comes after 9.
fn natural(path: &Path) -> Vec<(String, u64)> {
    let mut parts = vec![(String::new(), 0u64)];
    let mut in_number = false;
    for c in file_name(path).chars() {
        if !c.is_ascii_digit() && in_number {
            parts.push((String::new(), 0));
        }
        in_number = c.is_ascii_digit();
        let (text, number) = parts.last_mut().expect("never empty");
        match c.to_digit(10) {
            Some(digit) => *number = number.saturating_mul(10).saturating_add(digit.into()),
            None => text.push(c),
        }
    }
    parts
}

/// Copies a file to the folder `to`, under its own name.
fn copy_to(from: &Path, to: &Path) -> Result<PathBuf, Error> {
    let to = to.join(file_name(from));
    copy(from, &to).map(|()| to)
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::copy(from, to).map(drop).map_err(|error| Error::io("write", to, &error))
}

/// Where `export-DEVICE-FIRST-LAST.cbor` ends; 0 for an empty one.
fn last_sequence(path: &Path) -> u64 {
    let name = file_name(path);
    let stem = name.strip_suffix(".age").unwrap_or(name);
    let stem = stem.strip_suffix(".cbor").unwrap_or(stem);
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
    use crate::stick::{Stick, StickFs};

    /// A folder with an empty `result` and `scratch`, and what makes sticks in it.
    struct Bench(tempfile::TempDir);

    impl Bench {
        fn new() -> Self {
            let bench = Self(tempfile::tempdir().expect("a temporary folder"));
            for name in ["result", "scratch"] {
                fs::create_dir(bench.at(name)).expect("made");
            }
            bench
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// A stick that a guest left with these files in `aegis/out`.
        fn stick(&self, name: &str, fs: StickFs, files: &[(&str, &str)]) -> Plugged {
            let mut stick = Stick::new(fs);
            for (number, (file, content)) in files.iter().enumerate() {
                let source = self.at(&format!("{name}{number}"));
                fs::write(&source, content).expect("written");
                stick = stick.file(format!("out/{file}"), source);
            }
            stick.make(&self.at(name)).expect("made");
            Plugged { image: self.at(name), made: true, read_only: false, present: true }
        }

        fn collect(&self, sticks: &[Plugged], end: End) -> Result<Run, Error> {
            Run::collect(&self.at("result"), sticks, &self.at("scratch"), end)
        }
    }

    #[test]
    fn only_what_is_ours_is_taken_from_the_stick() {
        for kind in [StickFs::Vfat, StickFs::Exfat, StickFs::Ext4] {
            let bench = Bench::new();
            let out = bench.at("result");
            let stick = bench.stick(
                "stick",
                kind,
                &[
                    ("export-d-1-9.cbor", "A"),
                    ("export-d-10-12.cbor", "B"),
                    ("export-d-empty-99.cbor", "C"),
                    ("export-d-10-11.cbor.age", "D"),
                    ("receipt-ab-9.cbor", "R"),
                    ("receipt-ab-10.cbor", "S"),
                    ("status.json", "{\"mode\":\"enforcing\"}"),
                    ("stdout", "not the workload's"),
                    ("export-3.tmp", "half"),
                ],
            );
            fs::write(out.join("exit"), "7\n").expect("written");
            let run = bench.collect(&[stick], End::Ran).expect("collected");
            assert_eq!(fs::read(out.join("export.cbor")).expect("there"), b"B");
            assert_eq!(fs::read(out.join("export-d-1-9.cbor")).expect("there"), b"A");
            let exports: Vec<_> = run.exports.iter().map(|path| fs::read(path).expect("there")).collect();
            assert_eq!(exports, [b"C", b"A", b"D", b"B"]);
            assert_eq!(run.receipts, ["receipt-ab-9.cbor", "receipt-ab-10.cbor"].map(|name| out.join(name)));
            assert_eq!((run.mode(), run.exit), (Some("enforcing"), Some(7)));
            assert!(run.unread.is_empty(), "{:?}", run.unread);
            assert!(!out.join("stdout").exists() && !out.join("export-3.tmp").exists());
        }
    }

    #[test]
    fn of_several_sticks_all_is_taken_and_the_last_status_counts() {
        let bench = Bench::new();
        let first =
            bench.stick("first", StickFs::Vfat, &[("receipt-1.cbor", "1"), ("status.json", "{\"n\":1}")]);
        let second =
            bench.stick("second", StickFs::Ext4, &[("receipt-2.cbor", "2"), ("status.json", "{\"n\":2}")]);
        let pulled = Plugged { present: false, ..first.clone() };
        let run = bench.collect(&[pulled, second, first], End::Ran).expect("collected");
        assert_eq!(run.receipts.len(), 2);
        assert_eq!(run.status["n"], 1, "the first came back");
    }

    #[test]
    fn a_stick_that_can_not_be_read_is_named_or_the_hosts_error() {
        let bench = Bench::new();
        let mut stick = bench.stick("stick", StickFs::Vfat, &[]);
        let iso = bench.stick("iso", StickFs::Iso9660, &[]);
        let iso = Plugged { read_only: true, ..iso };
        fs::write(&stick.image, vec![0; 1 << 20]).expect("wiped");
        assert!(matches!(bench.collect(&[stick.clone()], End::Ran), Err(Error::Host(_))), "it was whole");
        for end in [End::PowerCut, End::TimedOut] {
            fs::remove_dir_all(bench.at("scratch")).expect("removed");
            fs::create_dir(bench.at("scratch")).expect("made");
            let run = bench.collect(&[stick.clone()], end).expect("collected");
            assert_eq!(run.unread.len(), 1);
        }
        stick.present = false;
        fs::remove_dir_all(bench.at("scratch")).expect("removed");
        fs::create_dir(bench.at("scratch")).expect("made");
        let run = bench.collect(&[stick, iso], End::Ran).expect("collected");
        assert!(run.unread[0].contains("no file system"), "{:?}", run.unread);
        assert!(run.unread[1].contains("iso9660"), "{:?}", run.unread);
        assert_eq!((run.export.as_ref(), run.to_json()["unread"].as_array().map(Vec::len)), (None, Some(2)));
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
