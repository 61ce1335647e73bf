//! What is to be run: a builder with everything the command line says.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::arch::Arch;
use crate::check::{bundle_name, workload_name};
use crate::error::Error;
use crate::image::{self, Firmware, Image, Kernel, Signing};
use crate::limits;
use crate::platter::{Cache, Power};
use crate::run::Run;
use crate::stick::{Stick, Throttle};
use crate::tpm::Tpm;
use crate::vm::Vm;
use crate::{disks, vm};

/// What the bundle made of a policy source is called on the stick.
pub(crate) const POLICY_NAME: &str = "policy.aegis";

/// What a machine tells whoever watches it, as it happens.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// The image is being built or found fresh.
    Image,
    /// The policy is being compiled and signed.
    Policy,
    /// The guest's disks are being made.
    Disks,
    /// QEMU was started.
    Booting,
    /// So much time has passed since QEMU was started.
    Tick(Duration),
    /// A line of the guest's console, as it was: hostile.
    Line(&'a str),
    /// The agent is ready, after so many seconds of guest time.
    Ready(f64),
    /// The guest said that it is at its end.
    Done,
}

/// What the system disk hangs on, where a firmware starts from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskBus {
    /// A virtual machine's own.
    #[default]
    Virtio,
    /// PCI Express.
    Nvme,
    /// SATA, by AHCI. Debian's firmware for aarch64 knows none.
    Sata,
}

/// The board's watchdog (x86: Intel's TCO).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watchdog {
    /// It is there, and does nothing.
    #[default]
    Idle,
    /// It starts the machine again, which ends the guest.
    Armed,
}

/// Whoever watches.
pub type Watcher = Box<dyn FnMut(Progress<'_>) + Send>;

/// A machine to be run. Made by [`Machine::new`]; every other method sets one thing.
#[allow(clippy::struct_excessive_bools)] // each is a word of the command line
pub struct Machine {
    pub(crate) out: PathBuf,
    pub(crate) workload: Option<PathBuf>,
    pub(crate) policy: Option<PathBuf>,
    pub(crate) bundles: Vec<PathBuf>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) stick: Option<Stick>,
    /// For the stick's `aegis/`.
    pub(crate) files: Vec<(String, PathBuf)>,
    pub(crate) clock: Option<u64>,
    key: Option<PathBuf>,
    sequence: Option<u64>,
    pub(crate) arch: Arch,
    pub(crate) kernel: Kernel,
    pub(crate) image: Option<PathBuf>,
    build: bool,
    state: Option<PathBuf>,
    pub(crate) ring_bytes: u64,
    pub(crate) data_bytes: u64,
    whole_disk: Option<u64>,
    pub(crate) disk_bus: DiskBus,
    pub(crate) watchdog: Watchdog,
    pub(crate) counted: bool,
    tpm: bool,
    pub(crate) network: Option<(u16, u16)>,
    pub(crate) collector: Option<u16>,
    pub(crate) ring_fails: bool,
    cache: Cache,
    pub(crate) memory_mib: u32,
    pub(crate) timeout: Duration,
    pub(crate) append: String,
    trace: bool,
    pub(crate) keep: bool,
    pub(crate) interrupted: Arc<AtomicBool>,
    pub(crate) watcher: Watcher,
}

/// What the guest's processor finds first.
pub(crate) enum Start {
    /// A kernel and its command line.
    Kernel(String),
    /// A firmware: its code, its variables, the device's own system disk.
    Firmware(Firmware),
}

/// Everything a guest needs, made and on disk.
pub(crate) struct Prepared {
    pub(crate) image: Image,
    pub(crate) name: Option<String>,
    pub(crate) start: Start,
    /// The disks that are written to, by name.
    pub(crate) disks: Vec<(&'static str, PathBuf)>,
    /// Of ring and data disk, when a cut is to lose what they had not flushed.
    pub(crate) power: Option<Power>,
    pub(crate) stick: Option<FirstStick>,
    pub(crate) workload: Option<PathBuf>,
    pub(crate) tpm: Option<Tpm>,
    pub(crate) folder: tempfile::TempDir,
}

impl Prepared {
    /// Where the disks that can lose their cache are served, in the order of their power; none when they can't.
    pub(crate) fn sockets(&self) -> Vec<(&'static str, PathBuf)> {
        let at = |(name, _): &(&'static str, _)| (*name, self.folder.path().join(format!("{name}.sock")));
        if self.power.is_some() { self.disks.iter().map(at).collect() } else { Vec::new() }
    }
}

/// The stick that is there from the start.
pub(crate) struct FirstStick {
    pub(crate) image: PathBuf,
    pub(crate) made: bool,
    pub(crate) read_only: bool,
    pub(crate) throttle: Throttle,
}

impl Machine {
    /// A machine that leaves its outputs in `out`: a folder that is empty or does not exist yet.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self {
            out: out.into(),
            workload: None,
            policy: None,
            bundles: Vec::new(),
            config: None,
            stick: Some(Stick::default()),
            files: Vec::new(),
            clock: None,
            key: None,
            sequence: None,
            arch: Arch::default(),
            kernel: Kernel::Own,
            image: None,
            build: true,
            state: None,
            ring_bytes: limits::RING_DISK_BYTES,
            data_bytes: limits::DATA_DISK_BYTES,
            whole_disk: None,
            disk_bus: DiskBus::default(),
            watchdog: Watchdog::default(),
            counted: false,
            tpm: false,
            network: None,
            collector: None,
            ring_fails: false,
            cache: Cache::Kept,
            memory_mib: limits::MEMORY_DEFAULT_MIB,
            timeout: limits::TIMEOUT_DEFAULT,
            append: String::new(),
            trace: false,
            keep: false,
            interrupted: Arc::default(),
            watcher: Box::new(|_| {}),
        }
    }

    /// The folder whose `run` is the workload, named after the folder. Without it the guest boots and powers off.
    #[must_use]
    pub fn workload(mut self, folder: impl Into<PathBuf>) -> Self {
        self.workload = Some(folder.into());
        self
    }

    /// A policy source to compile, sign and put on the stick.
    #[must_use]
    pub fn policy(mut self, file: impl Into<PathBuf>) -> Self {
        self.policy = Some(file.into());
        self
    }

    /// A bundle to put on the stick, as it is; called again, one more.
    #[must_use]
    pub fn bundle(mut self, file: impl Into<PathBuf>) -> Self {
        self.bundles.push(file.into());
        self
    }

    /// The device's configuration: `config.toml` in its own storage, in place of one that is there.
    #[must_use]
    pub fn config(mut self, file: impl Into<PathBuf>) -> Self {
        self.config = Some(file.into());
        self
    }

    /// One more file for the stick's `aegis/`, called `name` there. `name` may lead through folders, which are made:
    /// `roots/2.cbor`.
    #[must_use]
    pub fn stick_file(mut self, name: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        self.files.push((name.into(), file.into()));
        self
    }

    /// The stick that is plugged in from the start, in place of a fresh vfat one.
    #[must_use]
    pub fn stick(mut self, stick: Stick) -> Self {
        self.stick = Some(stick);
        self
    }

    /// This raw image as the stick, as it is: see [`Stick::image`].
    #[must_use]
    pub fn stick_image(self, file: impl Into<PathBuf>) -> Self {
        self.stick(Stick::image(file))
    }

    /// No stick at the start, and none announced to the guest. [`Vm::plug`] brings one later.
    #[must_use]
    pub fn no_stick(mut self) -> Self {
        self.stick = None;
        self
    }

    /// The time on the guest's hardware clock when it starts, Unix seconds; the host's when not said. It goes on
    /// from there.
    #[must_use]
    pub fn clock(mut self, seconds: u64) -> Self {
        self.clock = Some(seconds);
        self
    }

    /// Signs the policy with this key and not the development key under `target/keys/`.
    #[must_use]
    pub fn key(mut self, file: impl Into<PathBuf>) -> Self {
        self.key = Some(file.into());
        self
    }

    /// Sequence of the bundle made of the policy; the time in seconds when not said.
    #[must_use]
    pub fn sequence(mut self, sequence: u64) -> Self {
        self.sequence = Some(sequence);
        self
    }

    /// The processor to run on, and so the image for it.
    #[must_use]
    pub fn arch(mut self, arch: Arch) -> Self {
        self.arch = arch;
        self
    }

    /// Which kernel to boot.
    #[must_use]
    pub fn kernel(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }

    /// Boots the image in this folder and builds none.
    #[must_use]
    pub fn image(mut self, folder: impl Into<PathBuf>) -> Self {
        self.image = Some(folder.into());
        self
    }

    /// Whether `make image` and cargo may be run first. True when not said.
    #[must_use]
    pub fn build(mut self, build: bool) -> Self {
        self.build = build;
        self
    }

    /// Keeps ring and data disks in this folder and uses those that are there: the same device, booted again.
    #[must_use]
    pub fn state(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state = Some(folder.into());
        self
    }

    /// Size of a fresh ring disk, bytes; a multiple of 1 MiB, at least 4 MiB.
    #[must_use]
    pub fn ring_bytes(mut self, bytes: u64) -> Self {
        self.ring_bytes = bytes;
        self
    }

    /// Size of a fresh data disk, bytes; a multiple of 1 MiB, at least 16 MiB.
    #[must_use]
    pub fn data_bytes(mut self, bytes: u64) -> Self {
        self.data_bytes = bytes;
        self
    }

    /// One disk of this size, as in the field: the image is written to it, as `dd` would, and the guest makes ring and data on
    /// it. One that is kept (`state`, as `system.img`) is only made larger. `config` has no place on it.
    #[must_use]
    pub fn whole_disk(mut self, bytes: u64) -> Self {
        self.whole_disk = Some(bytes);
        self
    }

    /// What the system disk hangs on, where a firmware starts from it.
    #[must_use]
    pub fn disk_bus(mut self, bus: DiskBus) -> Self {
        self.disk_bus = bus;
        self
    }

    /// What the board's watchdog does when nobody feeds it.
    #[must_use]
    pub fn watchdog(mut self, watchdog: Watchdog) -> Self {
        self.watchdog = watchdog;
        self
    }

    /// Whether the guest's time is the instructions that it executed, a nanosecond each, on one processor: what is timed in it is
    /// counted, whatever the host is busy with. While all of it waits, its clocks go with the host's.
    #[must_use]
    pub fn counted(mut self, counted: bool) -> Self {
        self.counted = counted;
        self
    }

    /// Whether there is a TPM 2.0. What it remembers is kept with `state`, in `tpm/`.
    #[must_use]
    pub fn tpm(mut self, tpm: bool) -> Self {
        self.tpm = tpm;
        self
    }

    /// The ring's disk answers every write with an error, and reads as ever: flash at its end.
    #[must_use]
    pub fn ring_fails(mut self, fails: bool) -> Self {
        self.ring_fails = fails;
        self
    }

    /// A network card (virtio) on a network of its own, 10.0.2.0/24, that leads nowhere: port `here` of this machine's loopback is
    /// port `there` of the guest's address 10.0.2.15. Without it the guest has no card.
    #[must_use]
    pub fn network(mut self, here: u16, there: u16) -> Self {
        self.network = Some((here, there));
        self
    }

    /// On that network one more machine, 10.0.2.20, with one port, 9444: it is port `here` of this machine's loopback (by socat).
    #[must_use]
    pub fn collector(mut self, here: u16) -> Self {
        self.collector = Some(here);
        self
    }

    /// What becomes, in a power cut, of what ring and data disk have not flushed.
    #[must_use]
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = cache;
        self
    }

    /// Guest memory, MiB.
    #[must_use]
    pub fn memory_mib(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// How long the guest may run, from the start of QEMU.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Adds to the end of the kernel's command line, where the last word on a parameter counts.
    #[must_use]
    pub fn append(mut self, arguments: &str) -> Self {
        if !self.append.is_empty() && !arguments.is_empty() {
            self.append.push(' ');
        }
        self.append.push_str(arguments);
        self
    }

    /// Has the guest print events on its console as they come.
    #[must_use]
    pub fn trace(mut self, trace: bool) -> Self {
        self.trace = trace;
        self
    }

    /// Keeps the temporary folder (stick, disks, QEMU's own words); [`Run::kept`] names it.
    #[must_use]
    pub fn keep(mut self, keep: bool) -> Self {
        self.keep = keep;
        self
    }

    /// A flag that, once set, ends every wait with [`Error::Interrupted`] and kills the guest.
    #[must_use]
    pub fn interrupted(mut self, flag: Arc<AtomicBool>) -> Self {
        self.interrupted = flag;
        self
    }

    /// Is told what happens.
    #[must_use]
    pub fn watch(mut self, watcher: impl FnMut(Progress<'_>) + Send + 'static) -> Self {
        self.watcher = Box::new(watcher);
        self
    }

    /// Builds, makes the disks and starts the guest.
    ///
    /// # Errors
    /// See [`Error`]. Nothing is left behind but, if asked for, the state folder.
    pub fn start(mut self) -> Result<Vm, Error> {
        self.check()?;
        let made = !self.out.exists();
        // Made before the long work, so that a folder that can't be made is said at once.
        fs::create_dir_all(&self.out).and_then(|()| tempfile::tempfile_in(&self.out).map(drop)).map_err(
            |error| Error::usage(format!("{}: can't be the output folder: {error}", self.out.display())),
        )?;
        self.out = absolute(&self.out)?;
        let prepared = match self.prepare() {
            Ok(prepared) => prepared,
            Err(error) => {
                if made {
                    // Only while it is empty: then it can't be missed.
                    let _ = fs::remove_dir(&self.out);
                }
                return Err(error);
            }
        };
        vm::start(self, prepared)
    }

    /// Runs the guest to its end, or to its timeout.
    ///
    /// # Errors
    /// As [`Machine::start`] and [`Vm::finish`].
    pub fn run(self) -> Result<Run, Error> {
        self.start()?.finish()
    }

    fn prepare(&mut self) -> Result<Prepared, Error> {
        let root = image::project_root();
        let folder = match (&self.image, &root) {
            (Some(folder), _) => folder.clone(),
            (None, Some(root)) => {
                if self.build {
                    (self.watcher)(Progress::Image);
                    image::build_image(root, self.arch, &self.kernel)?;
                }
                image::image_folder(root, self.arch)
            }
            (None, None) => {
                return Err(Error::usage(
                    "no image: run inside the project's folder, or name an image with --image DIR",
                ));
            }
        };
        self.not_interrupted()?;
        let image = Image::open(&absolute(&folder)?, &self.kernel)?;
        let temporary = tempfile::Builder::new()
            .prefix("aegis-qemu-")
            .tempdir()
            .map_err(|error| Error::io("make a folder", &std::env::temp_dir(), &error))?;
        let at = |name: &str| temporary.path().join(name);

        let mut files = self.stick_files();
        if let Some(policy) = &self.policy {
            (self.watcher)(Progress::Policy);
            let signing = Signing {
                root: root.as_deref(),
                build: self.build,
                policy,
                key: self.key.as_deref(),
                sequence: self.sequence,
            };
            image::sign(&signing, &at(POLICY_NAME))?;
            files.push((POLICY_NAME.into(), at(POLICY_NAME)));
        }
        self.not_interrupted()?;

        (self.watcher)(Progress::Disks);
        let disks_in = match &self.state {
            None => temporary.path().to_path_buf(),
            Some(state) => {
                fs::create_dir_all(state).map_err(|error| {
                    Error::usage(format!("{}: can't be the state folder: {error}", state.display()))
                })?;
                absolute(state)?
            }
        };
        let disks = self.disks(&disks_in, &image, temporary.path())?;
        let power = self.power(&disks)?;
        let stick = match self.stick.take() {
            None => None,
            Some(mut stick) => {
                stick.add(files);
                let image = stick.prepare(at("stick.img"))?;
                Some(FirstStick {
                    made: stick.is_made(),
                    read_only: stick.is_read_only(&image),
                    throttle: stick.throttled(),
                    image,
                })
            }
        };
        let (mut name, mut workload) = (None, None);
        if let Some(folder) = &self.workload {
            disks::workload(&at("workload.img"), folder)?;
            (name, workload) = (Some(workload_name(folder)?), Some(at("workload.img")));
        }
        self.not_interrupted()?;
        let start = if self.kernel == Kernel::Uefi {
            Start::Firmware(Firmware::open(self.arch, &absolute(&folder)?, &disks_in)?)
        } else {
            Start::Kernel(self.command_line(&image.root, name.as_deref(), stick.is_some()))
        };
        let tpm = self.tpm.then(|| Tpm::open(&disks_in, temporary.path())).transpose()?;
        Ok(Prepared { image, name, start, disks, power, stick, workload, tpm, folder: temporary })
    }

    /// Makes the disks that the guest writes to, unless they are there.
    fn disks(
        &self,
        folder: &Path,
        image: &Image,
        scratch: &Path,
    ) -> Result<Vec<(&'static str, PathBuf)>, Error> {
        if let Some(bytes) = self.whole_disk {
            if self.config.is_some() {
                return Err(Error::usage(
                    "a configuration has no place on a disk that the guest makes its own",
                ));
            }
            let system = folder.join("system.img");
            disks::whole(&system, &image.system, bytes)?;
            return Ok(vec![("system", system)]);
        }
        let (ring, data) = (folder.join("ring.img"), folder.join("data.img"));
        if !ring.exists() {
            disks::ring(&ring, self.ring_bytes)?;
        }
        if !data.exists() {
            disks::data(&data, self.data_bytes)?;
        }
        if let Some(file) = &self.config {
            disks::config(&data, file, scratch)?;
        }
        let mut disks = vec![("ring", ring), ("data", data)];
        if self.kernel == Kernel::Uefi {
            let system = folder.join("system.img");
            disks::whole(&system, &image.system, 0)?;
            disks.push(("system", system));
        }
        Ok(disks)
    }

    /// The power of these disks, if it matters.
    fn power(&self, disks: &[(&str, PathBuf)]) -> Result<Option<Power>, Error> {
        if self.cache == Cache::Kept {
            return Ok(None);
        }
        let open = |(_, path): &(&str, PathBuf)| File::options().read(true).write(true).open(path);
        let files: io::Result<Vec<File>> = disks.iter().map(open).collect();
        let power = files.and_then(|files| Power::new(self.cache, files));
        power.map_err(|error| {
            Error::Host(format!("the disks: {error}; mend: one guest at a time for a state"))
        })
    }

    /// The files for the stick's `aegis/` but the policy's bundle, which is not made yet.
    pub(crate) fn stick_files(&self) -> Vec<(String, PathBuf)> {
        let mut files = self.files.clone();
        for bundle in &self.bundles {
            let name =
                bundle_name(bundle, |name| files.iter().any(|(taken, _)| taken.eq_ignore_ascii_case(name)));
            files.push((name, bundle.clone()));
        }
        files
    }

    fn command_line(&self, root: &str, name: Option<&str>, stick: bool) -> String {
        let mut line = format!("{} {root} quiet panic=-1", self.arch.kernel_words());
        if stick {
            line.push_str(" aegis.stick=1");
        }
        let workload =
            Some(name.map_or_else(|| "aegis.poweroff".to_owned(), |name| format!("aegis.workload={name}")));
        let trace = self.trace.then(|| "aegis.trace".to_owned());
        // Debian's kernels have `bpf` in their list since 6.1.
        let modules =
            (self.kernel == Kernel::DebianRelease("5.10")).then(|| "lsm=lockdown,yama,bpf".to_owned());
        let append = (!self.append.is_empty()).then(|| self.append.clone());
        for part in [workload, trace, modules, append].into_iter().flatten() {
            line.push(' ');
            line.push_str(&part);
        }
        line
    }

    fn not_interrupted(&self) -> Result<(), Error> {
        if self.interrupted.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// An existing path from the root down, so that neither QEMU nor mtools reads a prefix of it as a protocol or option.
fn absolute(path: &Path) -> Result<PathBuf, Error> {
    fs::canonicalize(path).map_err(|error| Error::io("find", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_the_command_line_is_the_callers() {
        let machine = Machine::new("out").trace(true).append("lsm=lockdown").append("quiet=0");
        let line = machine.command_line("ro", Some("demo"), true);
        assert!(
            line.ends_with(" aegis.stick=1 aegis.workload=demo aegis.trace lsm=lockdown quiet=0"),
            "{line}"
        );
        let without = Machine::new("out").command_line("ro", None, false);
        assert!(without.ends_with(" aegis.poweroff") && !without.contains("aegis.stick"), "{without}");
    }
}
