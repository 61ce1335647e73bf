//! A folder with sources in it, and commands run in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Desk(TempDir);

impl Desk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    /// With a policy `site.toml` and a file that it includes.
    pub(crate) fn with_site() -> Self {
        let desk = Self::new();
        desk.write("site.toml", SITE);
        desk.write("lib/keys.toml", KEYS);
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("below the desk")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aegisctl"));
        command.args(line.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// Exit code, stdout, stderr. Words are split at blanks.
    pub(crate) fn run(&self, line: &str) -> (i32, String, String) {
        let output = self.command(line).output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
    }

    /// What it prints; it must end well.
    pub(crate) fn good(&self, line: &str) -> String {
        let (exit, out, err) = self.run(line);
        assert_eq!((exit, err.as_str()), (0, ""), "{line}: {out}");
        out
    }

    /// The JSON object that it prints, and how it ends.
    pub(crate) fn json(&self, line: &str) -> (i32, Value) {
        let (exit, out, err) = self.run(&format!("{line} --json"));
        (exit, serde_json::from_str(&out).unwrap_or_else(|why| panic!("{line}: {why}: {out}{err}")))
    }
}

pub(crate) const SITE: &str = "\
# The site's policy.
schema = 1
name = \"site\"
mode = \"enforce\"
include = [\"lib/keys.toml\"]

[[workload]]
name = \"agent-*\"

[[use]]
template = \"keys\"
with = { workloads = \"agent-*\", homes = [\"/root\", \"/home/x\"] }

[[rule]]
name = \"own\"
workloads = [\"agent-*\"]
action = \"audit\"
operations = [\"open-read\"]
paths = [\"/etc/passwd\"]
";

pub(crate) const KEYS: &str = "\
schema = 1

[[template]]
name = \"keys\"
parameters = [\"workloads\", \"homes\"]

[[template.rule]]
name = \"no-keys\"
workloads = [\"${workloads}\"]
action = \"deny\"
operations = [\"open\"]
paths = [\"${homes}/.ssh/id_rsa\"]
tags = [\"T1552.004\"]
";

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("ground is in the repository")
}
