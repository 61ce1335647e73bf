//! Reads the command line, strictly: every option once (but `--stick-file`), every value checked, every refusal one
//! line.

use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt as _;
use std::str::FromStr;
use std::time::Duration;

use aegis_qemu::{Arch, Error, Kernel, Machine, Stick, StickFs, limits};
use lexopt::Arg;

pub(crate) const HELP: &str = "\
aegis-qemu: boots an Aegis image in QEMU, runs one workload in it, and leaves the evidence in a folder

usage: aegis-qemu run --workload DIR --out DIR [options]

  --workload DIR     its `run` is started as the workload named after DIR, in its own cgroup; DIR is read-only in the
                     guest, beside it is a writable scratch
  --no-workload      instead: boot, take the stick's policy, export, power off
  --out DIR          where the outputs go; empty or not there yet
  --policy FILE      policy source: compiled, signed with the development key, put on the stick
  --bundle FILE      a signed bundle, put on the stick as it is
                     with neither, the image's baseline policy is in force
  --config FILE      the device's configuration: config.toml in its own storage
  --stick-file NAME=FILE  one more file for the stick's aegis/, called NAME there (roots/2.cbor); any number of times
  --stick-fs FS      the stick's file system: vfat (default), exfat, ext4, iso9660
  --stick-image FILE a raw image as the stick, as it is; the guest writes to it
  --no-stick         no stick
  --tpm              a TPM 2.0 (Debian's swtpm)
  --clock SECONDS    the guest's hardware clock at its start, Unix seconds
  --kernel WHICH     own (default), debian, debian-5.10, -6.1, -6.12, -6.18, -newest, or a kernel's file; or uefi: as
                     hardware does, by a firmware with Secure Boot from the system disk (with --no-workload, and until
                     --timeout: nobody tells it to end)
  --arch ARCH        x86_64 (default) or aarch64
  --timeout SECONDS  the guest's time, 300 when not said
  --memory MIB       the guest's memory, 512 when not said
  --append ARGS      added to the kernel's command line
  --json             one JSON object on stdout
  --show             the console, events with it, on stdout as it comes
  --state DIR        keeps the device's disks there and uses those it finds: the same device, booted again
  --image DIR        boots the image in DIR and builds none
  --no-build         builds nothing
  --keep             keeps the temporary folder and names it

environment: ACCEL=tcg (default) or kvm

outputs: console.log stdout stderr exit export.cbor receipt*.cbor status.json
exit code: 0 the guest ran to its end, 2 bad arguments or a refused policy, 3 the guest did not boot, the agent did not
become ready or the guest died, 4 timeout, 130 interrupted

examples:
  aegis-qemu run --policy demo.toml --workload ./demo --out /tmp/out
  aegis-qemu run --workload ./demo --out /tmp/out --append lsm=lockdown,yama --json
";

/// The rest of `run`'s options.
pub(crate) struct Options {
    pub(crate) machine: Machine,
    pub(crate) json: bool,
    pub(crate) show: bool,
}

pub(crate) enum Request {
    Help,
    Version,
    Run(Box<Options>),
}

fn usage(message: impl Into<String>) -> Error {
    Error::Usage(message.into())
}

pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Request, Error> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let bad = |error: lexopt::Error| usage(format!("{error}; see --help"));
    match parser.next().map_err(bad)? {
        Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Request::Help),
        Some(Arg::Long("version") | Arg::Short('V')) => return Ok(Request::Version),
        Some(Arg::Value(command)) if command == "run" => {}
        Some(Arg::Value(command)) => {
            return Err(usage(format!("{}: unknown command; mend: run (see --help)", command.display())));
        }
        Some(Arg::Long(_) | Arg::Short(_)) | None => {
            return Err(usage("no command; mend: aegis-qemu run … (see --help)"));
        }
    }
    parse_run(&mut parser)
}

/// The options of `run` that are given at most once.
#[derive(Default)]
struct Given {
    out: Option<OsString>,
    workload: Option<OsString>,
    policy: Option<OsString>,
    bundle: Option<OsString>,
    config: Option<OsString>,
    kernel: Option<OsString>,
    arch: Option<OsString>,
    timeout: Option<OsString>,
    memory: Option<OsString>,
    append: Option<OsString>,
    state: Option<OsString>,
    image: Option<OsString>,
    stick_fs: Option<OsString>,
    stick_image: Option<OsString>,
    clock: Option<OsString>,
}

const FLAGS: [&str; 7] = ["json", "show", "keep", "no-build", "no-workload", "no-stick", "tpm"];
const NAMES: [&str; 16] = [
    "out",
    "workload",
    "policy",
    "bundle",
    "config",
    "kernel",
    "arch",
    "timeout",
    "memory",
    "append",
    "state",
    "image",
    "stick-fs",
    "stick-image",
    "clock",
    STICK_FILE,
];
/// The one option that may be given several times.
const STICK_FILE: &str = "stick-file";

fn parse_run(parser: &mut lexopt::Parser) -> Result<Request, Error> {
    let mut given = Given::default();
    let mut stick_files = Vec::new();
    let mut flags = [false; FLAGS.len()];
    let bad = |error: lexopt::Error| usage(format!("{error}; see --help"));
    while let Some(argument) = parser.next().map_err(bad)? {
        let name = match argument {
            Arg::Long(name) => name.to_owned(),
            Arg::Short('h') => return Ok(Request::Help),
            Arg::Short(c) => return Err(usage(format!("-{c}: unknown option; see --help"))),
            Arg::Value(value) => {
                return Err(usage(format!("{}: unexpected argument; see --help", value.display())));
            }
        };
        if name == "help" {
            return Ok(Request::Help);
        }
        if let Some(index) = FLAGS.iter().position(|flag| *flag == name) {
            flags[index] = true;
            continue;
        }
        let value = |parser: &mut lexopt::Parser| match parser.value() {
            Err(_) => Err(usage(format!("--{name}: has no value; see --help"))),
            Ok(value) if value.is_empty() && name != "append" => {
                Err(usage(format!("--{name}: has an empty value; see --help")))
            }
            Ok(value) => Ok(value),
        };
        if name == STICK_FILE {
            stick_files.push(stick_file(&value(parser)?)?);
            continue;
        }
        let Some(slot) = given.slot(&name) else {
            return Err(usage(match nearest(&name) {
                Some(known) => format!("--{name}: unknown option (did you mean --{known}?)"),
                None => format!("--{name}: unknown option; see --help"),
            }));
        };
        if slot.is_some() {
            return Err(usage(format!("--{name}: given twice; mend: give it once")));
        }
        *slot = Some(value(parser)?);
    }
    given.build(flags, stick_files)
}

/// `NAME=FILE`, apart at the first `=`: no name on a stick has one.
fn stick_file(value: &OsStr) -> Result<(String, OsString), Error> {
    let bytes = value.as_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=').filter(|at| *at + 1 < bytes.len());
    let parts = at.and_then(|at| Some((std::str::from_utf8(&bytes[..at]).ok()?, &bytes[at + 1..])));
    let (name, file) = parts.ok_or_else(|| {
        usage(format!("--{STICK_FILE} {}: is not NAME=FILE, as in roots/2.cbor=FILE", value.display()))
    })?;
    Ok((name.to_owned(), OsStr::from_bytes(file).to_owned()))
}

impl Given {
    fn slot(&mut self, name: &str) -> Option<&mut Option<OsString>> {
        Some(match name {
            "out" => &mut self.out,
            "workload" => &mut self.workload,
            "policy" => &mut self.policy,
            "bundle" => &mut self.bundle,
            "config" => &mut self.config,
            "kernel" => &mut self.kernel,
            "arch" => &mut self.arch,
            "timeout" => &mut self.timeout,
            "memory" => &mut self.memory,
            "append" => &mut self.append,
            "state" => &mut self.state,
            "image" => &mut self.image,
            "stick-fs" => &mut self.stick_fs,
            "stick-image" => &mut self.stick_image,
            "clock" => &mut self.clock,
            _ => return None,
        })
    }

    fn build(
        self,
        [json, show, keep, no_build, no_workload, no_stick, tpm]: [bool; FLAGS.len()],
        stick_files: Vec<(String, OsString)>,
    ) -> Result<Request, Error> {
        let Some(out) = self.out else {
            return Err(usage("no --out DIR; mend: name the folder for the outputs (see --help)"));
        };
        let mut machine = Machine::new(out).keep(keep).trace(show).build(!no_build);
        match (self.workload, no_workload) {
            (Some(folder), false) => machine = machine.workload(folder),
            (None, true) => {}
            (None, false) => {
                return Err(usage("no --workload DIR; mend: name the folder that holds run (see --help)"));
            }
            (Some(_), true) => return Err(usage("--workload and --no-workload: give one of them")),
        }
        if let Some(file) = self.policy {
            machine = machine.policy(file);
        }
        if let Some(file) = self.bundle {
            machine = machine.bundle(file);
        }
        if let Some(file) = self.config {
            machine = machine.config(file);
        }
        for (name, file) in stick_files {
            machine = machine.stick_file(name, file);
        }
        if tpm {
            machine = machine.tpm(true);
        }
        match (self.stick_image, self.stick_fs, no_stick) {
            (None, None, false) => {}
            (None, None, true) => machine = machine.no_stick(),
            (Some(image), None, false) => machine = machine.stick_image(image),
            (None, Some(name), false) => {
                let fs = name.to_str().and_then(StickFs::from_name).ok_or_else(|| {
                    let known = StickFs::ALL.map(StickFs::name).join(", ");
                    usage(format!("--stick-fs {}: unknown file system; mend: {known}", name.display()))
                })?;
                machine = machine.stick(Stick::new(fs));
            }
            _ => return Err(usage("--stick-image, --stick-fs and --no-stick: give one of them")),
        }
        if let Some(seconds) = number("clock", self.clock.as_deref(), 0..=limits::CLOCK_MAX)? {
            machine = machine.clock(seconds);
        }
        if let Some(name) = self.arch {
            let arch = name.to_str().and_then(Arch::from_name).ok_or_else(|| {
                let known = Arch::ALL.map(Arch::name).join(", ");
                usage(format!("--arch {}: unknown architecture; mend: {known}", name.display()))
            })?;
            machine = machine.arch(arch);
        }
        if let Some(which) = self.kernel {
            machine = machine.kernel(Kernel::from_argument(which));
        }
        if let Some(seconds) = number("timeout", self.timeout.as_deref(), 1..=limits::TIMEOUT_MAX_SECONDS)? {
            machine = machine.timeout(Duration::from_secs(seconds));
        }
        if let Some(mib) =
            number("memory", self.memory.as_deref(), limits::MEMORY_MIN_MIB..=limits::MEMORY_MAX_MIB)?
        {
            machine = machine.memory_mib(mib);
        }
        if let Some(arguments) = self.append {
            let Some(arguments) = arguments.to_str() else {
                return Err(usage("--append: is not text; mend: printable ASCII only"));
            };
            machine = machine.append(arguments);
        }
        if let Some(folder) = self.state {
            machine = machine.state(folder);
        }
        if let Some(folder) = self.image {
            machine = machine.image(folder);
        }
        Ok(Request::Run(Box::new(Options { machine, json, show })))
    }
}

fn number<T>(name: &str, value: Option<&OsStr>, range: RangeInclusive<T>) -> Result<Option<T>, Error>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    let Some(value) = value else { return Ok(None) };
    let digits = value.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|text| text.parse::<T>().ok()) {
        Some(number) if range.contains(&number) => Ok(Some(number)),
        _ => Err(usage(format!(
            "--{name} {}: must be a whole number, {} to {}",
            value.display(),
            range.start(),
            range.end()
        ))),
    }
}

/// The known option that `name` is probably meant to be.
fn nearest(name: &str) -> Option<&'static str> {
    let known = NAMES.iter().chain(&FLAGS).copied();
    known
        .map(|known| (distance(name, known), known))
        .min()
        .filter(|(far, _)| *far <= 2)
        .map(|(_, known)| known)
}

/// Edits between two names (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_option_is_named() {
        assert_eq!(nearest("polcy"), Some("policy"));
        assert_eq!(nearest("memroy"), Some("memory"));
        assert_eq!(nearest("frobnicate"), None);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("", "abc"), 3);
    }
}
