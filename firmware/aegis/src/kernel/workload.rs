//! Workloads: a cgroup each, registered with the probes, entered before exec.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use aegis_policy::{Policy, names};
use aegis_probes::abi::{Cgroup, RULESET_OTHERS, WORKLOADS_MAX};
use rustix::fs::{Mode, OFlags};

use super::lock::Lock;
use super::state::{WorkloadNames, Writer, pin};
use super::{KernelError, sys};
use crate::storage::{RUN, atomic};

/// The cgroup v2 hierarchy.
pub(super) const CGROUP_ROOT: &str = "/sys/fs/cgroup";
/// Parent of all workloads' cgroups.
const WORKLOADS: &str = "/sys/fs/cgroup/workloads";
/// Name, in events, of what runs below [`WORKLOADS`] and is not registered; the pattern that speaks of it.
const CATCH_ALL: &str = "*";

/// The map of registered cgroups.
pub(super) type Cgroups = sys::Map<u64, Cgroup>;

pub(super) fn cgroups() -> Result<Cgroups, KernelError> {
    Cgroups::open(&pin("cgroups")).map_err(KernelError::NotLoaded)
}

/// Makes the workload's cgroup and registers it with the probes; returns its slot. Harmless when it is already.
pub(crate) fn register(name: &str) -> Result<u32, KernelError> {
    if !names::is_workload_name(name.as_bytes()) {
        return Err(KernelError::WorkloadName);
    }
    let _lock = Lock::rules()?;
    register_directory(name, &Path::new(WORKLOADS).join(name))
}

/// Registers the parent of all workloads, so that what runs there without a name of its own is seen too, and those that are
/// there already: probes that are loaded anew know of none.
pub(super) fn register_all() -> Result<(), KernelError> {
    register_directory(CATCH_ALL, Path::new(WORKLOADS))?;
    let entries = fs::read_dir(WORKLOADS).map_err(KernelError::file(WORKLOADS))?;
    let is_workload = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        names::is_workload_name(name.as_encoded_bytes()) && entry.file_type().is_ok_and(|kind| kind.is_dir())
    };
    let mut left = entries.flatten().filter(is_workload);
    for entry in left.by_ref().take(WORKLOADS_MAX) {
        let name = entry.file_name().to_string_lossy().into_owned();
        match register_directory(&name, &entry.path()) {
            // There is room for so many; the rest is covered by what covers all.
            Err(KernelError::NoSlot) => log::error!("workload {name}: {}", KernelError::NoSlot),
            done => drop(done?),
        }
    }
    if left.next().is_some() {
        log::error!("more than {WORKLOADS_MAX} workloads in {WORKLOADS}: {}", KernelError::NoSlot);
    }
    Ok(())
}

fn register_directory(name: &str, directory: &Path) -> Result<u32, KernelError> {
    let cgroups = cgroups()?;
    let names = WorkloadNames::open()?;
    fs::create_dir_all(directory).map_err(KernelError::file(directory))?;
    let id = cgroup_id(directory)?;
    let slot = choose_slot(&cgroups, &names, name)?;
    let entry = Cgroup { slot, ruleset: [ruleset(0, name)?, ruleset(1, name)?], reserved: 0 };
    // The name before the registration: no event of this slot is ever without it.
    names.set(slot as usize, name.as_bytes());
    let fail = |error| KernelError::object("cgroups")(error);
    if cgroups.get(&id).map_err(fail)?.as_ref() != Some(&entry) {
        cgroups.set(&id, &entry).map_err(fail)?;
        // As in `apply`: a replaced element's memory is used again by the next update.
        Writer::open()?.wait_for_programs().map_err(fail)?;
    }
    Ok(slot)
}

/// Id of a cgroup: the inode number of its directory (`kernel/cgroup/cgroup.c:cgroup_id`).
pub(super) fn cgroup_id(directory: &Path) -> Result<u64, KernelError> {
    fs::metadata(directory).map(|found| found.ino()).map_err(KernelError::file(directory))
}

/// The slot of this name; else one that was never used; else one whose cgroup is gone. Registrations of cgroups that
/// are gone are removed on the way.
fn choose_slot(cgroups: &Cgroups, names: &WorkloadNames, name: &str) -> Result<u32, KernelError> {
    let fail = |error| KernelError::object("cgroups")(error);
    let mut taken = BTreeSet::from([0]);
    for id in cgroups.keys().map_err(fail)? {
        let Some(entry) = cgroups.get(&id).map_err(fail)? else { continue };
        if entry.slot == 0 {
            continue;
        }
        let registered = names.get(entry.slot as usize);
        let directory = directory_of(&registered);
        if directory.and_then(|path| fs::metadata(path).ok()).is_some_and(|found| found.ino() == id) {
            taken.insert(entry.slot);
        } else {
            cgroups.remove(&id).map_err(fail)?;
        }
    }
    let slots = 1..WORKLOADS_MAX as u32;
    let named = |wanted: &[u8]| slots.clone().find(|slot| names.get(*slot as usize) == wanted);
    named(name.as_bytes())
        .or_else(|| named(b""))
        .or_else(|| slots.clone().find(|slot| !taken.contains(slot)))
        .ok_or(KernelError::NoSlot)
}

fn directory_of(name: &[u8]) -> Option<PathBuf> {
    match str::from_utf8(name).ok()? {
        "" => None,
        CATCH_ALL => Some(WORKLOADS.into()),
        name => Some(Path::new(WORKLOADS).join(name)),
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

/// Moves this process into a cgroup.
pub(super) fn enter(directory: &Path) -> Result<(), KernelError> {
    let procs = directory.join("cgroup.procs");
    fs::write(&procs, "0").map_err(KernelError::file(procs))
}

/// The cgroup this process is in, as a path below [`CGROUP_ROOT`], beginning with `/`.
pub(super) fn own_cgroup() -> Result<String, KernelError> {
    const OWN: &str = "/proc/self/cgroup";
    let text = fs::read_to_string(OWN).map_err(KernelError::file(OWN))?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    Ok(path.unwrap_or("?").to_owned())
}

/// Becomes `command` inside the workload's cgroup. Returns only when it could not: the command never runs outside.
pub(crate) fn enter_and_exec(name: &str, command: &[OsString]) -> Result<Infallible, KernelError> {
    register(name)?;
    // Asked of the kernel, not remembered: the registration is ours. (Inside, bpf(2) is closed to us as to any workload.) By
    // one descriptor: another directory of this name would be another cgroup.
    let path = Path::new(WORKLOADS).join(name);
    let directory = fs::File::open(&path).map_err(KernelError::file(&path))?;
    let id = directory.metadata().map_err(KernelError::file(&path))?.ino();
    if cgroups()?.get(&id).map_err(KernelError::object("cgroups"))?.is_none() {
        return Err(KernelError::NotConfined { cgroup: own_cgroup()? });
    }
    rustix::fs::openat(&directory, "cgroup.procs", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|procs| rustix::io::write(&procs, b"0").map(drop))
        .map_err(|error| KernelError::file(&path)(error.into()))?;
    let cgroup = own_cgroup()?;
    if cgroup != format!("/workloads/{name}") {
        return Err(KernelError::NotConfined { cgroup });
    }
    rustix::thread::set_no_new_privs(true)
        .map_err(|error| KernelError::File { path: "no_new_privs".into(), error: error.into() })?;
    let program = command.first().ok_or(KernelError::File {
        path: "workload".into(),
        error: io::Error::new(io::ErrorKind::InvalidInput, "no command after `--`"),
    })?;
    let error = Command::new(program).args(&command[1..]).exec();
    Err(KernelError::file(program)(error))
}
