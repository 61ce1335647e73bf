//! Workloads: a cgroup each, registered with the probes, entered before exec.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use aegis_bundle::Bounds;
use aegis_policy::{Policy, names};
use aegis_probes::abi::{Cgroup, RULESET_OTHERS, WORKLOADS_MAX};
use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::kernelfs::{self, Known};
use super::lock::Lock;
use super::state::{WorkloadNames, Writer, pin};
use super::{KernelError, sys};
use crate::limits;
use crate::storage::{RUN, atomic};

/// Where the cgroup v2 hierarchy is, for messages: what is done is done from [`Tree`].
const CGROUP_ROOT: &str = "/sys/fs/cgroup";
/// Parent of all workloads' cgroups.
const WORKLOADS: &str = "workloads";
/// Over how much time a share of the processors is counted, µs (`Documentation/admin-guide/cgroup-v2.rst`: `cpu.max`).
const CPU_PERIOD: u64 = 100_000;
/// Name, in events, of what runs below [`WORKLOADS`] and is not registered; the pattern that speaks of it.
const CATCH_ALL: &str = "*";

/// The map of registered cgroups.
pub(super) type Cgroups = sys::Map<u64, Cgroup>;

pub(super) fn cgroups() -> Result<Cgroups, KernelError> {
    Cgroups::open(&pin("cgroups")).map_err(KernelError::NotLoaded)
}

/// The cgroup v2 hierarchy, from its root down: nothing that is mounted over it, or in it, is taken for a cgroup.
pub(super) struct Tree(Known);

/// A cgroup's directory, held open: another one of this name would be another cgroup.
pub(super) struct Group {
    directory: OwnedFd,
    path: PathBuf,
    /// Its id: the inode number of its directory (`kernel/cgroup/cgroup.c:cgroup_id`).
    pub(super) id: u64,
}

impl Tree {
    pub(super) fn open() -> Result<Self, KernelError> {
        Known::open(kernelfs::CGROUPS).map(Self)
    }

    /// The cgroup at this path below the root.
    pub(super) fn find(&self, path: impl AsRef<Path>) -> Result<Group, KernelError> {
        let path = path.as_ref();
        let shown = Path::new(CGROUP_ROOT).join(path);
        let find = || {
            let directory = self.0.folder(path)?;
            let id = rustix::fs::fstat(&directory)?.st_ino;
            Ok(Group { directory, path: shown.clone(), id })
        };
        find().map_err(KernelError::file(&shown))
    }

    /// Makes the cgroup where it is not there yet; the one above it is.
    pub(super) fn make(&self, path: impl AsRef<Path>) -> Result<Group, KernelError> {
        let path = path.as_ref();
        let above = self.find(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().unwrap_or_default();
        match rustix::fs::mkdirat(&above.directory, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => self.find(path),
            Err(error) => Err(KernelError::file(Path::new(CGROUP_ROOT).join(path))(error.into())),
        }
    }

    /// The cgroup of this id is no more: another has its path, or none. What can't be looked at is not gone.
    fn is_gone(&self, path: &Path, id: u64) -> bool {
        match self.find(path) {
            Ok(found) => found.id != id,
            Err(KernelError::File { error, .. }) => error.kind() == io::ErrorKind::NotFound,
            Err(_) => false,
        }
    }

    /// Names of the workloads' cgroups.
    fn workloads(&self) -> Result<Vec<String>, KernelError> {
        let path = Path::new(CGROUP_ROOT).join(WORKLOADS);
        let read = || {
            let mut names = Vec::new();
            for entry in Dir::new(self.0.below(Path::new(WORKLOADS), OFlags::RDONLY | OFlags::DIRECTORY)?)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if entry.file_type() == FileType::Directory && names::is_workload_name(name) {
                    names.extend(str::from_utf8(name).map(str::to_owned));
                }
            }
            Ok(names)
        };
        read().map_err(KernelError::file(path))
    }
}

impl Group {
    fn write(&self, file: &str, value: &str) -> Result<(), KernelError> {
        let write = || {
            let open = kernelfs::below(self.directory.as_fd(), Path::new(file), OFlags::WRONLY)?;
            rustix::io::write(open, value.as_bytes()).map(drop).map_err(io::Error::from)
        };
        write().map_err(KernelError::file(self.path.join(file)))
    }

    /// Moves this process into it.
    pub(super) fn enter(&self) -> Result<(), KernelError> {
        let write = || {
            let procs = kernelfs::below(self.directory.as_fd(), Path::new("cgroup.procs"), OFlags::WRONLY)?;
            rustix::io::write(procs, b"0").map(drop).map_err(io::Error::from)
        };
        write().map_err(KernelError::file(self.path.join("cgroup.procs")))
    }
}

/// Makes the workload's cgroup and registers it with the probes; returns it. Harmless when it is already.
fn register(tree: &Tree, name: &str) -> Result<Group, KernelError> {
    if !names::is_workload_name(name.as_bytes()) {
        return Err(KernelError::WorkloadName);
    }
    let _lock = Lock::rules()?;
    tree.make(WORKLOADS)?;
    register_directory(tree, name, &Path::new(WORKLOADS).join(name))
}

/// Registers the parent of all workloads, so that what runs there without a name of its own is seen too, and those that are
/// there already: probes that are loaded anew know of none.
pub(super) fn register_all() -> Result<(), KernelError> {
    let tree = Tree::open()?;
    register_directory(&tree, CATCH_ALL, Path::new(WORKLOADS))?;
    let mut left = tree.workloads()?.into_iter();
    for name in left.by_ref().take(WORKLOADS_MAX) {
        match register_directory(&tree, &name, &Path::new(WORKLOADS).join(&name)) {
            // There is room for so many; the rest is covered by what covers all.
            Err(KernelError::NoSlot) => {
                log::error!(workload = name.as_str(); "workload {name}: {}", KernelError::NoSlot);
            }
            done => drop(done?),
        }
    }
    if left.next().is_some() {
        log::error!(
            "more than {WORKLOADS_MAX} workloads in {CGROUP_ROOT}/{WORKLOADS}: {}",
            KernelError::NoSlot
        );
    }
    Ok(())
}

fn register_directory(tree: &Tree, name: &str, directory: &Path) -> Result<Group, KernelError> {
    let cgroups = cgroups()?;
    let names = WorkloadNames::open()?;
    let group = tree.make(directory)?;
    let slot = choose_slot(tree, &cgroups, &names, name)?;
    let entry = Cgroup { slot, ruleset: [ruleset(0, name)?, ruleset(1, name)?], reserved: 0 };
    // The name before the registration: no event of this slot is ever without it.
    names.set(slot as usize, name.as_bytes());
    let fail = |error| KernelError::object("cgroups")(error);
    if cgroups.get(&group.id).map_err(fail)?.as_ref() != Some(&entry) {
        cgroups.set(&group.id, &entry).map_err(fail)?;
        // As in `apply`: a replaced element's memory is used again by the next update.
        Writer::open()?.wait_for_programs().map_err(fail)?;
    }
    Ok(group)
}

/// The slot of this name; else one that was never used; else one whose cgroup is gone. Registrations of cgroups that
/// are gone are removed on the way.
fn choose_slot(
    tree: &Tree,
    cgroups: &Cgroups,
    names: &WorkloadNames,
    name: &str,
) -> Result<u32, KernelError> {
    let fail = |error| KernelError::object("cgroups")(error);
    let mut taken = BTreeSet::from([0]);
    for id in cgroups.keys().map_err(fail)? {
        let Some(entry) = cgroups.get(&id).map_err(fail)? else { continue };
        if entry.slot == 0 {
            continue;
        }
        let directory = directory_of(&names.get(entry.slot as usize));
        if directory.is_none_or(|path| tree.is_gone(&path, id)) {
            cgroups.remove(&id).map_err(fail)?;
        } else {
            taken.insert(entry.slot);
        }
    }
    let slots = 1..WORKLOADS_MAX as u32;
    let named = |wanted: &[u8]| slots.clone().find(|slot| names.get(*slot as usize) == wanted);
    named(name.as_bytes())
        .or_else(|| named(b""))
        .or_else(|| slots.clone().find(|slot| !taken.contains(slot)))
        .ok_or(KernelError::NoSlot)
}

/// Below the root of the hierarchy.
fn directory_of(name: &[u8]) -> Option<PathBuf> {
    match str::from_utf8(name).ok()? {
        "" => None,
        CATCH_ALL => Some(WORKLOADS.into()),
        name => Some(Path::new(WORKLOADS).join(name)),
    }
}

/// Where the cgroup of one workload is, below the root of the hierarchy; none for a slot that is not one workload's.
pub(crate) fn directory_of_one(slot: usize, name: &[u8]) -> Option<PathBuf> {
    if slot == 0 || name == CATCH_ALL.as_bytes() || !names::is_workload_name(name) {
        None
    } else {
        directory_of(name)
    }
}

/// Where the compiled policy of a rule set is kept, for workloads that are registered later.
fn policy_file(set: usize) -> String {
    format!("policy.{}.{set}", aegis_probes::abi::ABI_VERSION)
}

/// Keeps the policy that the rule set is being filled from.
pub(super) fn keep_policy(set: usize, compiled: &[u8]) -> Result<(), KernelError> {
    atomic::replace(Path::new(RUN), &policy_file(set), compiled, 0o600)
        .map(drop)
        .map_err(KernelError::file(Path::new(RUN).join(policy_file(set))))
}

/// No rule set holds a policy any more.
pub(super) fn forget_policies() -> Result<(), KernelError> {
    for set in 0..2 {
        let path = Path::new(RUN).join(policy_file(set));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(KernelError::file(path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Which rules of a set apply to a workload of this name.
fn ruleset(set: usize, name: &str) -> Result<u32, KernelError> {
    let path = Path::new(RUN).join(policy_file(set));
    let compiled = match atomic::read_bounded(&path, aegis_policy::limits::POLICY_BYTES as u64) {
        Ok(compiled) => compiled,
        // No policy was ever in this set.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(RULESET_OTHERS),
        Err(error) => return Err(KernelError::file(path)(error)),
    };
    Ok(ruleset_of(&Policy::decode(&compiled).map_err(KernelError::Policy)?, name.as_bytes()))
}

/// Which rules of a policy apply to a workload of this name.
pub(super) fn ruleset_of(policy: &Policy<'_>, name: &[u8]) -> u32 {
    let index = if name == CATCH_ALL.as_bytes() {
        policy.workloads().find(|workload| workload.pattern == CATCH_ALL).map(|workload| workload.index)
    } else {
        policy.match_workload(name)
    };
    index.map_or(RULESET_OTHERS, u32::from)
}

/// The cgroup of a workload, registered and bounded, for who puts a program into it.
pub(crate) struct Pen {
    group: Group,
    name: String,
    /// By which a process enters, wherever it sees the hierarchy.
    procs: OwnedFd,
}

impl Pen {
    /// Makes and registers it, with nobody in it, and bounds what it may use.
    pub(crate) fn make(name: &str, bounds: &Bounds) -> Result<Self, KernelError> {
        let tree = Tree::open()?;
        let group = register(&tree, name)?;
        // All of them together leave the rest of the device what it needs.
        tree.find(WORKLOADS)?.write("pids.max", &limits::WORKLOADS_PIDS.to_string())?;
        // Asked of the kernel, not remembered: the registration is ours.
        if cgroups()?.get(&group.id).map_err(KernelError::object("cgroups"))?.is_none() {
            return Err(KernelError::NotConfined { cgroup: own_cgroup()? });
        }
        let procs = kernelfs::below(group.directory.as_fd(), Path::new("cgroup.procs"), OFlags::WRONLY)
            .map_err(KernelError::file(group.path.join("cgroup.procs")))?;
        let pen = Self { group, name: name.to_owned(), procs };
        pen.empty()?;
        let cpu = format!("{} {CPU_PERIOD}", u64::from(bounds.cpu) * (CPU_PERIOD / 1000));
        for (file, value) in [
            ("memory.max", bounds.memory.to_string()),
            // One that is over it ends whole, and not by halves.
            ("memory.oom.group", "1".to_owned()),
            ("pids.max", bounds.pids.to_string()),
            ("cpu.max", cpu),
        ] {
            pen.group.write(file, &value)?;
        }
        Ok(pen)
    }

    fn read(&self, file: &str) -> Result<String, KernelError> {
        let read = || {
            let open = kernelfs::below(self.group.directory.as_fd(), Path::new(file), OFlags::RDONLY)?;
            let mut text = String::new();
            let file = fs::File::from(open);
            io::Read::read_to_string(&mut io::Read::take(file, limits::KERNEL_TEXT_BYTES), &mut text)?;
            Ok(text)
        };
        read().map_err(KernelError::file(self.group.path.join(file)))
    }

    /// Ends whoever is in it, or below it, and waits until they are gone.
    ///
    /// # Errors
    /// Also when somebody is still there after [`limits::PEN_EMPTY`].
    pub(crate) fn empty(&self) -> Result<(), KernelError> {
        let end = Instant::now() + limits::PEN_EMPTY;
        while self.read("cgroup.events")?.lines().any(|line| line == "populated 1") {
            self.group.write("cgroup.kill", "1")?;
            if Instant::now() >= end {
                let error = io::Error::new(io::ErrorKind::TimedOut, "somebody in it does not end");
                return Err(KernelError::file(&self.group.path)(error));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// A count of the kernel's: how often a bound was met (`memory.events`, `pids.events`). What can't be read is none.
    pub(crate) fn count(&self, file: &str, what: &str) -> u64 {
        let text = self.read(file).unwrap_or_default();
        let mut counts = text.lines().filter_map(|line| line.split_once(' '));
        counts.find_map(|(name, count)| (name == what).then(|| count.parse().ok())?).unwrap_or_default()
    }

    /// Moves this process into it, and asks the kernel whether it is there: by the procfs that this process sees.
    pub(crate) fn enter(&self) -> Result<(), KernelError> {
        rustix::io::write(&self.procs, b"0")
            .map_err(|error| KernelError::file(self.group.path.join("cgroup.procs"))(error.into()))?;
        let cgroup = own_cgroup()?;
        if cgroup != format!("/{WORKLOADS}/{}", self.name) {
            return Err(KernelError::NotConfined { cgroup });
        }
        Ok(())
    }
}

/// The cgroup this process is in, as a path from the root of the hierarchy, beginning with `/`.
pub(super) fn own_cgroup() -> Result<String, KernelError> {
    const OWN: &str = "self/cgroup";
    let text = Known::open(kernelfs::PROC)?
        .read(Path::new(OWN))
        .map_err(KernelError::file(Path::new("/proc").join(OWN)))?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    Ok(path.unwrap_or("?").to_owned())
}

/// Becomes `command` inside the workload's cgroup. Returns only when it could not: the command never runs outside.
pub(crate) fn enter_and_exec(name: &str, command: &[OsString]) -> Result<Infallible, KernelError> {
    let group = register(&Tree::open()?, name)?;
    // Asked of the kernel, not remembered: the registration is ours. (Inside, bpf(2) is closed to us as to any workload.)
    if cgroups()?.get(&group.id).map_err(KernelError::object("cgroups"))?.is_none() {
        return Err(KernelError::NotConfined { cgroup: own_cgroup()? });
    }
    group.enter()?;
    let cgroup = own_cgroup()?;
    if cgroup != format!("/{WORKLOADS}/{name}") {
        return Err(KernelError::NotConfined { cgroup });
    }
    rustix::thread::set_no_new_privs(true)
        .map_err(|error| KernelError::File { path: "no_new_privs".into(), error: error.into() })?;
    let program = command.first().ok_or(KernelError::File {
        path: "workload".into(),
        error: io::Error::new(io::ErrorKind::InvalidInput, "no command after `--`"),
    })?;
    // A session of its own: no terminal, and no signal to the group of who started it. Who leads one already keeps it.
    let _ = rustix::process::setsid();
    let error = Command::new(program).args(&command[1..]).exec();
    Err(KernelError::file(program)(error))
}
