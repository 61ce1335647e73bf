//! A folder, exports in it, and commands run in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use aegis_export::Request;
use serde_json::Value;
use tempfile::TempDir;

use crate::sample::{Device, Ring, created, every_kind};

pub(crate) struct Desk(TempDir);

/// How a command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) exit: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    /// With an export `all.cbor` that has an event of every kind.
    pub(crate) fn with_every_kind() -> Self {
        let desk = Self::new();
        desk.export("all.cbor", Device(1), &every_kind(Device(1)), Request::from(1), 2);
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes an export, made in boot `boot`.
    pub(crate) fn export(&self, name: &str, device: Device, ring: &Ring, request: Request, boot: u8) {
        device.export_to(&self.path(name), ring, request, created(boot));
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aegisctl"));
        command.arg("export").args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// Runs `aegisctl export …`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }

    /// Runs `aegisctl export …`, which must end with 0, and gives what it wrote to stdout.
    pub(crate) fn good(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.exit, 0, "{arguments:?}: {}", said.err);
        said.out
    }

    /// As [`Self::good`]; one JSON object a line.
    pub(crate) fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let out = self.good(arguments);
        out.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
    }

    /// As [`Self::lines`], of a command that says one thing.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let mut lines = self.lines(arguments);
        assert_eq!(lines.len(), 1);
        lines.remove(0)
    }

    /// Names in the folder, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).expect("the folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"))
            .collect();
        names.sort();
        names
    }
}

pub(crate) fn said(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| {
        panic!("{}: {error}; `make deps` installs what is missing", command.get_program().display())
    });
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Said { exit: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
}

/// Holds text against a file in `golden/`. `AEGIS_GOLDEN=write` writes it: then look at the difference in git.
pub(crate) fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evidence/golden").join(name);
    if std::env::var_os("AEGIS_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, text).expect("the golden file");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    for (number, (expected, found)) in expected.lines().zip(text.lines()).enumerate() {
        assert_eq!(found, expected, "{name}, line {}", number + 1);
    }
    assert_eq!(text.lines().count(), expected.lines().count(), "{name}: number of lines");
}
