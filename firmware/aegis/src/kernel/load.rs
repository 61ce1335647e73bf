//! Probes into the kernel: loaded by aya, attached, pinned; the directory appears whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aegis_event::ModeReason;
use aegis_policy::Policy;
use aegis_probes::{
    Attach, Condition, HASH_PROGRAM, HOOKS, Hook, NOTE_PROGRAM, OBJECT, OBJECT_BYTES, Program, abi,
    for_old_kernels,
};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{BtfTracePoint, FEntry, FExit, Lsm, RawTracePoint};
use aya::{Btf, Ebpf, EbpfLoader};
use miniz_oxide::inflate::decompress_slice_iter_to_slice;
use rustix::process::{Resource, Rlimit};
use serde_json::{Value, json};
use zerocopy::IntoBytes as _;

use super::lock::Lock;
use super::state::{Heritage, Home, Writer};
use super::{KernelError, PINS, offers, sys, workload};
use crate::limits;
use crate::storage::device::boottime;
use crate::storage::{RUN, atomic};

const BPFFS: &str = "/sys/fs/bpf";
/// `include/uapi/linux/magic.h`.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// What happened to one hook.
#[derive(Clone, Debug)]
pub(crate) struct HookStatus {
    pub(crate) hook: &'static Hook,
    /// The program that is attached; `None`: none.
    pub(crate) program: Option<&'static Program>,
    /// Why it is not attached as it should be; empty when it is.
    pub(crate) reason: String,
}

impl HookStatus {
    /// It can deny.
    pub(crate) fn denies(&self) -> bool {
        self.program.is_some_and(|program| program.attach.denies())
    }

    /// What the policy needs of this hook, it does.
    pub(crate) fn serves(&self, policy: &Policy<'_>) -> bool {
        !offers::is_needed(self.hook, policy) || self.denies()
    }

    fn to_json(&self) -> Value {
        json!({
            "hook": self.hook.name,
            "program": self.program.map_or("", |program| program.name),
            "attached": self.program.map_or("missing", |program| program.attach.name()),
            "decides": self.hook.enforces(),
            "reason": self.reason,
        })
    }

    /// Of a hook that is loaded already: by the name of its pinned link; the reason from the report, if it is there.
    fn of_pinned(hook: &'static Hook, report: &Value) -> Self {
        let program = hook.programs.iter().find(|program| Path::new(PINS).join(link_name(program)).exists());
        let reason = report
            .as_array()
            .and_then(|hooks| hooks.iter().find(|entry| entry["hook"] == hook.name))
            .and_then(|entry| entry["reason"].as_str());
        let whole = program.is_some_and(|program| program.attach.denies() || !hook.enforces());
        let unknown = if whole { "" } else { "not known: the report of this load is lost" };
        Self { hook, program, reason: reason.unwrap_or(unknown).to_owned() }
    }
}

/// What [`load`] found or did.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// The probes were there already and were left alone.
    pub(crate) adopted: bool,
    /// One for each hook.
    pub(crate) hooks: Vec<HookStatus>,
    /// What those of other versions had when ours took it over: for [`retire_others`].
    pub(crate) heritage: Heritage,
}

/// Loads the probes, or adopts those that an earlier `aegis load` of this boot left.
///
/// Those of another version stay in force beside them, so that nothing is undecided meanwhile, until [`retire_others`].
pub(crate) fn load() -> Result<Loaded, KernelError> {
    let _lock = Lock::rules()?;
    require_bpffs()?;
    workload::Tree::open()?;
    match super::KernelState::open() {
        Ok(_) => {
            let hooks = pinned_hooks();
            workload::register_all()?;
            // What ours took over was theirs when they were loaded; what they have now counts where ours have not another agent yet.
            let (ours, theirs) = (Writer::open()?.heritage(), Heritage::of(&others()?)?);
            let heritage = ours.or_if_of_another_agent(theirs);
            return Ok(Loaded { adopted: true, hooks, heritage });
        }
        Err(KernelError::NotLoaded(error))
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {}
        // Out of memory or descriptors: what is pinned may well be in force, and is not ours to take away.
        Err(error) => return Err(error),
    }
    // What is there by our own name was left half way by a process that died.
    remove_pins(Path::new(PINS))?;
    let work = PathBuf::from(format!("{PINS}-new")); // no dot: bpffs refuses it
    remove_pins(&work)?;
    // No rule set of the new maps holds a policy.
    workload::forget_policies()?;
    fs::create_dir_all(&work).map_err(KernelError::file(&work))?;

    let loaded = load_into(&work).and_then(|hooks| {
        let heritage = Heritage::of(&others()?)?;
        Writer::open_in(&work)?.inherit(heritage);
        // Before they are published: what decides is never there without its reasons.
        keep_report(&hooks)?;
        // One rename publishes everything; a crash before it leaves only what the next load removes.
        fs::rename(&work, PINS).map_err(KernelError::file(PINS))?;
        Ok((hooks, heritage))
    });
    let (hooks, heritage) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            remove_pins(&work)?;
            return Err(error);
        }
    };
    workload::register_all()?;
    Ok(Loaded { adopted: false, hooks, heritage })
}

/// By version: what the probes of another one are attached as is not ours to say.
fn hooks_file() -> String {
    format!("hooks.{}.json", abi::ABI_VERSION)
}

/// Why hooks are not attached as they should be: for whoever asks later in this boot.
fn keep_report(hooks: &[HookStatus]) -> Result<(), KernelError> {
    let report = Value::Array(hooks.iter().map(HookStatus::to_json).collect());
    atomic::replace(Path::new(RUN), &hooks_file(), report.to_string().as_bytes(), 0o600)
        .map(drop)
        .map_err(KernelError::file(Path::new(RUN).join(hooks_file())))
}

/// Where probes of other versions are pinned.
pub(crate) fn others() -> Result<Vec<PathBuf>, KernelError> {
    let own = Path::new(PINS);
    let parent = own.parent().unwrap_or(own);
    let entries = fs::read_dir(parent).map_err(KernelError::file(parent))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()).map_err(KernelError::file(parent)));
    paths.filter(|path| !path.as_ref().is_ok_and(|path| path == own)).collect()
}

/// Takes the probes of other versions out of the kernel: when the policy is in force in ours. Returns where they were. `then`: of
/// [`Loaded`]; who came to them since is guarded, a token that came to them since is heeded.
pub(crate) fn retire_others(then: Heritage) -> Result<Vec<PathBuf>, KernelError> {
    let _lock = Lock::rules()?;
    let others = others()?;
    if !others.is_empty() {
        Writer::open()?.inherit_at_the_end(then, Heritage::of(&others)?);
    }
    for path in &others {
        remove_pins(path)?;
    }
    Ok(others)
}

/// The hooks of the loaded probes, for `aegis status`: `[{hook, program, attached, reason}]`, and per program the
/// invocations that the kernel skipped and the instructions its verifier went through; null when nothing is loaded.
pub(crate) fn hooks_report() -> Value {
    if !is_loaded() {
        return Value::Null;
    }
    let of = |status: &HookStatus| {
        let mut entry = status.to_json();
        let counts = status.program.and_then(counts);
        entry["missed"] = counts.map(|counts| counts.missed).into();
        entry["verified"] = counts.map(|counts| counts.verified).into();
        entry
    };
    Value::Array(pinned_hooks().iter().map(of).collect())
}

/// Probes of ours are in the kernel, whole.
pub(super) fn is_loaded() -> bool {
    super::KernelState::open().is_ok()
}

/// The hooks as they are pinned now.
pub(super) fn pinned_hooks() -> Vec<HookStatus> {
    let report: Value = atomic::read_bounded(&Path::new(RUN).join(hooks_file()), 64 * 1024)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    HOOKS.iter().map(|hook| HookStatus::of_pinned(hook, &report)).collect()
}

/// What the kernel counts of this program; none when it can't say.
pub(super) fn counts(program: &Program) -> Option<sys::Counts> {
    use std::os::fd::AsFd;
    let fd = sys::obj_get(&Path::new(PINS).join(program_name(program))).ok()?;
    sys::counts(fd.as_fd()).ok()
}

fn link_name(program: &Program) -> String {
    format!("link_{}", program.name)
}

fn program_name(program: &Program) -> String {
    format!("prog_{}", program.name)
}

/// Where pins go is a BPF file system.
pub(super) fn require_bpffs() -> Result<(), KernelError> {
    match rustix::fs::statfs(BPFFS) {
        Ok(found) if found.f_type.cast_unsigned() == BPF_FS_MAGIC => Ok(()),
        _ => Err(KernelError::Missing {
            path: BPFFS,
            what: "not a BPF file system: mount -t bpf bpf /sys/fs/bpf",
        }),
    }
}

fn remove_pins(directory: &Path) -> Result<(), KernelError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(KernelError::file(directory)(error)),
        _ => Ok(()),
    }
}

/// The object, inflated to where an ELF reader may cast its headers in place.
fn object() -> Result<Vec<u64>, KernelError> {
    let mut words = vec![0u64; OBJECT_BYTES.div_ceil(8)];
    let bytes = words.as_mut_bytes().get_mut(..OBJECT_BYTES).unwrap_or_default();
    let length = decompress_slice_iter_to_slice(bytes, [OBJECT].into_iter(), false, true)
        .map_err(|status| refused("probes", &io::Error::other(format!("not to be inflated: {status:?}"))))?;
    if length == OBJECT_BYTES { Ok(words) } else { Err(absent("probes")) }
}

/// aya's loader, which knows no beginning but to parse all of the kernel's types for itself, be others given to it or not: half a second
/// of a small CPU. It does without where it can open no file, and nobody else opens one meanwhile: this process has one thread yet.
fn loader<'a>() -> EbpfLoader<'a> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let none = Rlimit { current: Some(0), maximum: limit.maximum };
    let taken = rustix::process::setrlimit(Resource::Nofile, none);
    let loader = EbpfLoader::new();
    if taken.is_ok() {
        // It is what it was.
        let _ = rustix::process::setrlimit(Resource::Nofile, limit);
    }
    loader
}

fn load_into(pins: &Path) -> Result<Vec<HookStatus>, KernelError> {
    let btf = offers::btf()?;
    let walks = offers::walks(&btf);
    let mut object = object()?;
    let bytes = object.as_mut_bytes().get_mut(..OBJECT_BYTES).unwrap_or_default();
    if !walks {
        for_old_kernels(bytes);
    }
    let mut probes = loader().btf(Some(&btf)).load(bytes).map_err(|error| refused("probes", &error))?;
    drop(object);

    // Constants of the compiler's (`.rodata…`) are the programs' own: they hold them, and bpffs takes no dots.
    for (name, map) in probes.maps().filter(|(name, _)| !name.starts_with('.')) {
        map.pin(pins.join(name)).map_err(|error| refused(name, &error))?;
    }
    let note = probes.program_mut(NOTE_PROGRAM).ok_or_else(|| absent(NOTE_PROGRAM))?;
    let note: &mut RawTracePoint = note.try_into().map_err(|error| refused(NOTE_PROGRAM, &error))?;
    note.load().map_err(|error| refused(NOTE_PROGRAM, &error))?;
    note.pin(pins.join(format!("prog_{NOTE_PROGRAM}"))).map_err(|error| refused(NOTE_PROGRAM, &error))?;

    let lsm = offers::lsm_is_active();
    let hooks = load_hooks(&mut probes, &Target { btf: &btf, pins, lsm })?;
    let reason = if lsm { ModeReason::SelfTestFailed } else { ModeReason::LsmBpfMissing };
    let hashes = hooks.iter().any(|hook| hook.program.is_some_and(|program| program.name == HASH_PROGRAM));
    let mut key = [0u64; 2];
    getrandom::fill(key.as_mut_bytes()).map_err(|error| refused("random", &error))?;
    let can = |ability, able: bool| if able { ability } else { 0 };
    let abilities = can(abi::CAN_HASH, hashes) | can(abi::CAN_WALK, walks);
    let home = Home::look().map_err(KernelError::file("/proc/self/ns/mnt"))?;
    Writer::open_in(pins)?.stamp(boottime(), reason, key, abilities, &home);
    Ok(hooks)
}

/// What hooks are attached on, and where that is kept.
struct Target<'a> {
    btf: &'a Btf,
    pins: &'a Path,
    /// The kernel asks its LSM programs.
    lsm: bool,
}

/// Programs that are not in the kernel yet, by name.
type Programs<'p> = BTreeMap<&'p str, &'p mut aya::programs::Program>;

/// Attaches the best program for each hook, on all processors at once: most of the time is the verifier's. In the order of [`HOOKS`].
fn load_hooks(probes: &mut Ebpf, on: &Target<'_>) -> Result<Vec<HookStatus>, KernelError> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(limits::LOADERS);
    let mut programs: Programs<'_> = probes.programs_mut().collect();
    // Dealt like cards: what the verifier is long over stands together in the table.
    let mut hands: Vec<(Vec<&'static Hook>, Programs<'_>)> = Vec::new();
    hands.resize_with(workers, Default::default);
    for (hook, worker) in HOOKS.iter().zip((0..workers).cycle()) {
        let (hooks, own) = &mut hands[worker];
        hooks.push(hook);
        own.extend(hook.programs.iter().filter_map(|program| programs.remove_entry(program.name)));
    }
    let played: Vec<Vec<_>> = std::thread::scope(|scope| {
        let play = |(hooks, mut own): (Vec<&'static Hook>, Programs<'_>)| {
            hooks.into_iter().map(|hook| load_hook(&mut own, on, hook)).collect()
        };
        let workers: Vec<_> = hands.into_iter().map(|hand| scope.spawn(move || play(hand))).collect();
        // A worker that panics ends the program.
        workers.into_iter().map(|worker| worker.join().unwrap_or_default()).collect()
    });
    let mut played: Vec<_> = played.into_iter().map(Vec::into_iter).collect();
    (0..HOOKS.len())
        .map(|at| played[at % workers].next().unwrap_or_else(|| Err(absent(HOOKS[at].name))))
        .collect()
}

/// Attaches the best program for a hook that the kernel takes, or says why none. A watching twin is no full measure, and the
/// reason says why it is not the other.
fn load_hook(
    programs: &mut Programs<'_>,
    on: &Target<'_>,
    hook: &'static Hook,
) -> Result<HookStatus, KernelError> {
    let mut reasons: Vec<String> = Vec::new();
    for program in hook.programs {
        if let Some(reason) = offers::unmet(on.btf, program, on.lsm) {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
            continue;
        }
        match attach(programs, on.btf, program) {
            Ok(link) => {
                pin_link(link, &on.pins.join(link_name(program)))?;
                pin_program(programs, program, &on.pins.join(program_name(program)))?;
                // Where it is the one for this kernel, that others are for others is no reason for anything.
                let whole = program.condition != Condition::Always;
                let reason = if whole { String::new() } else { reasons.join("; ") };
                return Ok(HookStatus { hook, program: Some(program), reason });
            }
            Err(error) => reasons.push(error.to_string()),
        }
    }
    Ok(HookStatus { hook, program: None, reason: reasons.join("; ") })
}

fn attach(programs: &mut Programs<'_>, btf: &Btf, of: &Program) -> Result<FdLink, KernelError> {
    let fail = |error: aya::programs::ProgramError| refused(of.name, &error);
    Ok(match of.attach {
        Attach::Lsm | Attach::LsmSleepable => {
            let loaded: &mut Lsm = program(programs, of.name)?;
            loaded.load(of.target, btf).map_err(fail)?;
            let id = loaded.attach().map_err(fail)?;
            loaded.take_link(id).map_err(fail)?.into()
        }
        Attach::Fentry => {
            let loaded: &mut FEntry = program(programs, of.name)?;
            loaded.load(of.target, btf).map_err(fail)?;
            let id = loaded.attach().map_err(fail)?;
            loaded.take_link(id).map_err(fail)?.into()
        }
        Attach::Fexit => {
            let loaded: &mut FExit = program(programs, of.name)?;
            loaded.load(of.target, btf).map_err(fail)?;
            let id = loaded.attach().map_err(fail)?;
            loaded.take_link(id).map_err(fail)?.into()
        }
        Attach::TpBtf => {
            let loaded: &mut BtfTracePoint = program(programs, of.name)?;
            loaded.load(of.target, btf).map_err(fail)?;
            let id = loaded.attach().map_err(fail)?;
            loaded.take_link(id).map_err(fail)?.into()
        }
    })
}

fn pin_link(link: FdLink, path: &Path) -> Result<PinnedLink, KernelError> {
    link.pin(path).map_err(|error| refused(&path.display().to_string(), &error))
}

fn pin_program(programs: &mut Programs<'_>, of: &Program, path: &Path) -> Result<(), KernelError> {
    let loaded = programs.get_mut(of.name).ok_or_else(|| absent(of.name))?;
    loaded.pin(path).map_err(|error| refused(of.name, &error))
}

fn program<'p, T>(programs: &'p mut Programs<'_>, name: &str) -> Result<&'p mut T, KernelError>
where
    &'p mut T: TryFrom<&'p mut aya::programs::Program, Error = aya::programs::ProgramError>,
{
    let program = programs.get_mut(name).ok_or_else(|| absent(name))?;
    (&mut **program).try_into().map_err(|error| refused(name, &error))
}

fn absent(name: &str) -> KernelError {
    KernelError::Load { step: name.to_owned(), error: "not in the object".to_owned() }
}

/// The error with its causes, on one line; of a verifier's log only the line with the reason.
pub(super) fn refused(step: &str, error: &(dyn std::error::Error + 'static)) -> KernelError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    log::debug!("{step}: {text}");
    let error = if is_unattachable(error) { UNATTACHABLE.to_owned() } else { one_line(&text) };
    KernelError::Load { step: step.to_owned(), error }
}

/// `ENOTSUPP`, which is the kernel's own: its architecture can't have its functions call a program
/// (`kernel/bpf/trampoline.c:arch_prepare_bpf_trampoline`).
const ENOTSUPP: i32 = 524;
const UNATTACHABLE: &str =
    "this kernel can't attach programs to its functions (errno 524): on arm64 that is since Linux 6.4";

fn is_unattachable(error: &(dyn std::error::Error + 'static)) -> bool {
    let is = error.downcast_ref::<io::Error>().is_some_and(|error| error.raw_os_error() == Some(ENOTSUPP));
    is || error.source().is_some_and(is_unattachable)
}

/// What the verifier says last, before its statistics, is why it refused.
fn one_line(text: &str) -> String {
    const STATISTICS: [&str; 4] = ["processed ", "verification time", "stack depth", ": "];
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    match lines.rfind(|line| !STATISTICS.iter().any(|start| line.starts_with(start))) {
        Some(reason) => format!("{} … {reason}", first.split(" Verifier output").next().unwrap_or_default()),
        None => first.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_architecture_that_can_not_attach_is_said_to_be_one() {
        let error = |number| {
            aya::programs::ProgramError::SyscallError(aya::sys::SyscallError {
                call: "bpf_raw_tracepoint_open",
                io_error: io::Error::from_raw_os_error(number),
            })
        };
        let said = refused("file_open", &error(ENOTSUPP)).to_string();
        assert!(said.contains("on arm64 that is since Linux 6.4"), "{said}");
        let said = refused("file_open", &error(libc::EINVAL)).to_string();
        assert!(!said.contains("arm64") && said.contains("Invalid argument"), "{said}");
    }

    #[test]
    fn of_a_verifier_log_the_reason_is_left() {
        let log = "the BPF_PROG_LOAD syscall returned Permission denied (os error 13). Verifier output: 0: R1=ctx()\n\
                   215: (69) r1 = *(u16 *)(r1 +574)\nR1 invalid mem access 'trusted_ptr_or_null_'\n\
                   verification time 35133 usec\nstack depth 104\nprocessed 211 insns (limit 1000000)\n\
                   : Permission denied (os error 13)";
        let reason = "the BPF_PROG_LOAD syscall returned Permission denied (os error 13). … \
                      R1 invalid mem access 'trusted_ptr_or_null_'";
        assert_eq!(one_line(log), reason);
        assert_eq!(one_line("no such file"), "no such file");
    }
}
