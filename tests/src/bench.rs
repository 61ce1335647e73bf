//! A scenario's folder: workloads, policies, bundles, outputs; and the guests it runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aegis_qemu::{Arch, End, Kernel, Machine, Run, Vm, aegisctl, build_image, project_root};

use crate::evidence::Evidence;
use crate::slots::Slot;

/// A guest's time. Nothing takes a tenth of it on an idle machine; a guest that hangs is seen all the same.
const PATIENCE: Duration = Duration::from_mins(15);

/// The folder of a scenario. Gone with all outputs when dropped; kept and named when the test fails.
pub struct Bench {
    folder: Option<tempfile::TempDir>,
    outs: AtomicU32,
}

/// The processor that the scenarios run on: `AEGIS_ARCH` (`x86_64`, `aarch64`), `x86_64` when it does not say.
///
/// # Panics
/// When it says another.
pub fn arch() -> Arch {
    std::env::var("AEGIS_ARCH").map_or(Arch::default(), |name| {
        Arch::from_name(&name).unwrap_or_else(|| panic!("AEGIS_ARCH={name}: unknown architecture"))
    })
}

/// The kernel that the scenarios boot: `AEGIS_KERNEL` (own, debian, debian-RELEASE), ours when it does not say.
pub fn kernel() -> Kernel {
    std::env::var_os("AEGIS_KERNEL").map_or(Kernel::Own, Kernel::from_argument)
}

/// The project's folder, its image built. Once per test program; `AEGIS_NO_BUILD=1` takes the image as it is.
///
/// # Panics
/// When the image does not build.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let root = project_root().expect("tests run inside the project");
        if std::env::var_os("AEGIS_NO_BUILD").is_none() {
            // Ours is started by a firmware, too.
            let kernel = if kernel() == Kernel::Own { Kernel::Uefi } else { kernel() };
            build_image(&root, arch(), &kernel).expect("the image builds");
        }
        root
    })
}

/// What a program says, run in the project's folder; empty when it does not run.
pub fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(root()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// The agent of the ABI after this one, built for the guest once per test program.
///
/// # Panics
/// When it does not build.
pub fn next_agent() -> &'static Path {
    static AGENT: OnceLock<PathBuf> = OnceLock::new();
    AGENT.get_or_init(|| {
        let target = root().join("target");
        let triple = &arch().target();
        let build = |features: &[&str]| {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut command = Command::new(cargo);
            command.args(["build", "--quiet", "--release", "--package", "aegis", "--target", triple]);
            command.args(features).current_dir(root()).env_remove("CARGO_TARGET_DIR");
            Bench::good(command);
        };
        // cargo leaves both under one name: nobody makes an image meanwhile, and in the end the agent of today is there.
        let lock = fs::File::create(target.join(".image.lock")).expect("the image's lock");
        lock.lock().expect("the image's lock");
        build(&["--features", "next-abi"]);
        let next = target.join("aegis-next");
        fs::copy(target.join(triple).join("release/aegis"), &next).expect("it was built");
        build(&[]);
        next
    })
}

impl Bench {
    /// An empty one.
    ///
    /// # Panics
    /// As every method here: a scenario that can't be set up has failed.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("aegis-e2e-").tempdir().expect("a temporary folder");
        Self { folder: Some(folder), outs: AtomicU32::new(0) }
    }

    /// A path in it.
    ///
    /// # Panics
    /// Never before it is dropped.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.as_ref().expect("there until dropped").path().join(name)
    }

    /// A workload called `name` whose `run` is this shell script.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn workload(&self, name: &str, script: &str) -> PathBuf {
        self.script(&format!("{name}/run"), script);
        self.at(name)
    }

    /// An executable file of this shell script: a workload's `prepare`.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn script(&self, name: &str, script: &str) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().expect("it is in the bench's folder")).expect("a folder for it");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("the script is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the script is executable");
    }

    /// A policy source with these rules for workload `demo` and none for `other`, in this mode (`enforce`, `audit`). Aegis does
    /// not guard itself under it: scripts of scenarios act as the device's operator.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn policy(&self, name: &str, mode: &str, rules: &[Rule<'_>]) -> PathBuf {
        let mut text = format!(
            "schema = 1\nname = {name:?}\nmode = {mode:?}\nself-protection = false\n\n[[workload]]\nname = \"demo\"\n\n[[workload]]\nname = \"other\"\n"
        );
        for rule in rules {
            text.push_str(&rule.to_toml());
        }
        let path = self.at(&format!("{name}.toml"));
        fs::write(&path, text).expect("the policy is written");
        path
    }

    /// A policy source in force against `demo`'s opening `/etc/shadow`, with these lines of the whole and of the workload. Aegis
    /// guards itself under it, unless a line says that it does not.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn shadow(&self, name: &str, whole: &str, workload: &str) -> PathBuf {
        let shadow =
            Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] }
                .to_toml();
        let text = format!(
            "schema = 1\nname = {name:?}\nmode = \"enforce\"\n{whole}\n[[workload]]\nname = \"demo\"\n{workload}\n{shadow}"
        );
        let path = self.at(&format!("{name}.toml"));
        fs::write(&path, text).expect("the policy is written");
        path
    }

    /// A configuration of this text, for `Machine::config`.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn config(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at(name);
        fs::write(&path, text).expect("the configuration is written");
        path
    }

    /// A bundle of this policy, signed with the development key.
    ///
    /// # Panics
    /// When `aegisctl` refuses it.
    pub fn bundle(&self, name: &str, policy: &Path, sequence: u64) -> PathBuf {
        let key = root().join("target/keys/policy.key");
        self.bundle_by(name, policy, sequence, &key)
    }

    /// A bundle of this policy, signed with any key.
    ///
    /// # Panics
    /// When `aegisctl` refuses it.
    pub fn bundle_by(&self, name: &str, policy: &Path, sequence: u64, key: &Path) -> PathBuf {
        let path = self.at(name);
        let mut command = Self::aegisctl();
        command.args(["bundle", "build", "--policy"]).arg(policy).arg("--key").arg(key);
        command.args(["--sequence", &sequence.to_string(), "--out"]).arg(&path);
        Self::good(command);
        path
    }

    /// The office's tool.
    pub fn aegisctl() -> Command {
        aegisctl(Some(root()), false)
    }

    /// Runs a command that must succeed; its stdout.
    ///
    /// # Panics
    /// When it does not, with what it said.
    pub fn good(mut command: Command) -> Vec<u8> {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let [said, shown] = [&output.stderr, &output.stdout].map(|text| String::from_utf8_lossy(text));
        assert!(output.status.success(), "{command:?}: {}: {said}{shown}", output.status);
        output.stdout
    }

    /// A machine with an output folder of its own and the image as built.
    pub fn machine(&self) -> Machine {
        root();
        let number = self.outs.fetch_add(1, Ordering::Relaxed);
        let machine = Machine::new(self.at(&format!("out{number}"))).build(false);
        machine.arch(arch()).kernel(kernel()).timeout(PATIENCE)
    }

    /// A machine with a workload `demo` of this script.
    pub fn demo(&self, script: &str) -> Machine {
        let folder = self.workload("demo", script);
        self.machine().workload(folder)
    }

    /// Starts a guest in a slot of its own.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(machine: Machine) -> (Slot, Vm) {
        let slot = Slot::take();
        let vm = machine.start().expect("the guest starts");
        (slot, vm)
    }

    /// Runs a guest to its end and reads its evidence.
    ///
    /// # Panics
    /// When it does not come to its end, or its evidence does not verify.
    pub fn run(machine: Machine) -> Evidence {
        let (_slot, vm) = Self::start(machine);
        let run = vm.finish().expect("the guest was watched");
        Self::evidence(run)
    }

    /// What a guest that measured said, a line each, kept at `path`; its console beside it, when it did not come to its end.
    ///
    /// # Errors
    /// It did not: why, in one line.
    pub fn lines(run: &Run, path: &Path) -> Result<String, String> {
        let said = |bytes: std::io::Result<Vec<u8>>| {
            String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
        };
        let (out, err) = (said(run.stdout()), said(run.stderr()));
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))
            .and_then(|()| fs::write(path, &out))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        if run.exit == Some(0) {
            return Ok(out);
        }
        let _ = fs::copy(run.console(), path.with_extension("console"));
        Err(format!("the guest: {}", run.error().unwrap_or_else(|| format!("{:?}: {err}", run.exit))))
    }

    /// The evidence of a guest that ran to its end.
    ///
    /// # Panics
    /// When it did not, or its evidence does not verify.
    pub fn evidence(run: Run) -> Evidence {
        let console = fs::read_to_string(run.console()).unwrap_or_default();
        assert_eq!(run.end, End::Ran, "{:?}\n{console}", run.error());
        Evidence::read(run)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("kept for a look: {}", folder.keep().display());
        }
    }
}

/// One rule of a policy for workload `demo`.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// Its name.
    pub name: &'a str,
    /// `deny` or `audit`.
    pub action: &'a str,
    /// `open-read`, `open-write`, `open`, `exec`.
    pub operations: &'a [&'a str],
    /// Files.
    pub paths: &'a [&'a str],
}

impl Rule<'_> {
    fn to_toml(self) -> String {
        format!(
            "\n[[rule]]\nname = {:?}\nworkloads = [\"demo\"]\naction = {:?}\noperations = {:?}\npaths = {:?}\n",
            self.name, self.action, self.operations, self.paths
        )
    }
}
