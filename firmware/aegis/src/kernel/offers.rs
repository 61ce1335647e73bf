//! What this kernel offers: which programs are for it, and, once they are loaded, what each hook is attached as. The loader decides
//! by it, and `aegis probe` and `aegis doctor` show it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use aegis_policy::{Operation, Policy};
use aegis_probes::{Attach, Condition, HASH_PROGRAM, HOOKS, Hook, Program, TYPES};
use aya::{Btf, Endianness};
use aya_obj::btf::BtfKind;

use super::load::{HookStatus, is_loaded, pinned_hooks, refused, require_bpffs};
use super::{KernelError, kernelfs, types};
use crate::limits;
use crate::storage::atomic;

const BTF: &str = "/sys/kernel/btf/vmlinux";
const LSM_LIST: &str = "/sys/kernel/security/lsm";
/// What walking up a path is made of, since 5.17.
const LOOP: &str = "bpf_loop";

/// The active LSMs, in order.
pub(crate) fn lsm_list() -> std::io::Result<Vec<String>> {
    Ok(fs::read_to_string(LSM_LIST)?.trim().split(',').map(str::to_owned).collect())
}

/// True when `bpf` is among the active LSMs. Without it LSM programs load and attach, and are never called.
pub(super) fn lsm_is_active() -> bool {
    lsm_list().is_ok_and(|list| list.iter().any(|name| name == "bpf"))
}

/// The kernel's types, as far as the probes ask for them.
pub(super) fn btf() -> Result<Btf, KernelError> {
    let whole = atomic::read_bounded(Path::new(BTF), limits::KERNEL_TYPES_BYTES)
        .map_err(|error| refused(BTF, &error))?;
    let programs = || HOOKS.iter().flat_map(|hook| hook.programs);
    let targets: Vec<String> = programs().map(|program| target(program).0).collect();
    let conditions = programs().filter_map(|program| match program.condition {
        Condition::With(name) | Condition::Without(name) => Some(name),
        Condition::Always => None,
    });
    let names: BTreeSet<&str> = targets
        .iter()
        .map(String::as_str)
        .chain(conditions)
        .chain(TYPES.iter().copied())
        .chain([LOOP])
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    // What is not known here may yet be to who parses it.
    let bytes = types::only(&whole, &names).unwrap_or(whole);
    Btf::parse(&bytes, Endianness::default()).map_err(|error| refused(BTF, &error))
}

/// It can walk: subtrees and names are decided.
pub(super) fn walks(btf: &Btf) -> bool {
    has_function(btf, LOOP)
}

/// Why a program is not for this kernel; `None` when it is.
pub(super) fn unmet(btf: &Btf, program: &Program, lsm: bool) -> Option<String> {
    match program.condition {
        Condition::With(name) if !has_function(btf, name) => {
            return Some(format!("{}: this kernel has no `{name}`", program.name));
        }
        Condition::Without(name) if has_function(btf, name) => {
            return Some(format!("{}: this kernel has `{name}`", program.name));
        }
        _ => {}
    }
    let never = program.attach.denies() && !lsm;
    never.then(|| format!("`bpf` is not in {LSM_LIST} (boot with lsm=…,bpf)"))
}

/// What the program is attached to is not there; by its types, `None` when it is.
fn absent(btf: &Btf, program: &Program) -> Option<String> {
    let (name, kind) = target(program);
    btf.id_by_type_name_kind(&name, kind).err().map(|_| format!("this kernel has no `{name}`"))
}

/// The type of what the program is attached to.
fn target(program: &Program) -> (String, BtfKind) {
    let target = program.target;
    match program.attach {
        Attach::Lsm | Attach::LsmSleepable => (format!("bpf_lsm_{target}"), BtfKind::Func),
        Attach::Fentry | Attach::Fexit => (target.to_owned(), BtfKind::Func),
        Attach::TpBtf => (format!("btf_trace_{target}"), BtfKind::Typedef),
    }
}

fn has_function(btf: &Btf, name: &str) -> bool {
    btf.id_by_type_name_kind(name, BtfKind::Func).is_ok()
}

/// How a hook stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A program of ours is there.
    Attached,
    /// Nothing is loaded; by its types this kernel takes a program there. Only loading it proves that.
    Attachable,
    /// None is there, or can be.
    Missing,
}

impl Standing {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Attached => "attached",
            Self::Attachable => "attachable",
            Self::Missing => "missing",
        }
    }
}

/// One hook on this kernel.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) hook: &'static Hook,
    pub(crate) standing: Standing,
    /// The program that is attached, or could be.
    pub(crate) program: Option<&'static Program>,
    /// Why it is not as it should be; empty when it is.
    pub(crate) reason: String,
}

impl Offer {
    fn of_loaded(status: HookStatus) -> Self {
        let HookStatus { hook, program, reason } = status;
        let standing = if program.is_some() { Standing::Attached } else { Standing::Missing };
        Self { hook, standing, program, reason }
    }

    /// As the loader would try it: of its programs the first that is for this kernel.
    fn of_types(hook: &'static Hook, btf: &Btf, lsm: bool) -> Self {
        let mut reasons: Vec<String> = Vec::new();
        for program in hook.programs {
            match unmet(btf, program, lsm).or_else(|| absent(btf, program)) {
                None => {
                    let whole = program.condition != Condition::Always;
                    let reason = if whole { String::new() } else { reasons.join("; ") };
                    return Self { hook, standing: Standing::Attachable, program: Some(program), reason };
                }
                Some(reason) if !reasons.contains(&reason) => reasons.push(reason),
                Some(_) => {}
            }
        }
        Self { hook, standing: Standing::Missing, program: None, reason: reasons.join("; ") }
    }

    fn missing(hook: &'static Hook, reason: &str) -> Self {
        Self { hook, standing: Standing::Missing, program: None, reason: reason.to_owned() }
    }

    /// It denies, or would.
    pub(crate) fn denies(&self) -> bool {
        self.program.is_some_and(|program| program.attach.denies())
    }

    /// It is to deny, and does not.
    pub(crate) fn falls_short(&self) -> bool {
        self.hook.enforces() && !self.denies()
    }

    /// What of the contract needs it to deny.
    pub(crate) fn needed_by(&self) -> Vec<&'static str> {
        let guards = self.hook.guards;
        let needed = |operation: &Operation| guards.operations & 1 << *operation as u32 != 0;
        let mut names: Vec<_> = Operation::ALL.iter().copied().filter(needed).map(Operation::name).collect();
        if guards.self_protection {
            names.push("self-protection");
        }
        names
    }

    /// What follows from how it stands; empty: nothing.
    pub(crate) fn meaning(&self) -> String {
        let missing = self.standing == Standing::Missing;
        if self.falls_short() {
            let what = self.needed_by().join(", ");
            let seen = if missing { "is neither denied nor seen" } else { "is seen, not denied" };
            format!("{what}: what comes by this hook {seen}")
        } else if missing {
            "its events are missing".to_owned()
        } else {
            String::new()
        }
    }
}

/// All hooks on this kernel, in attach order, and what else follows from its types.
#[derive(Clone, Debug)]
pub(crate) struct Offers {
    /// Ours are in the kernel.
    pub(crate) loaded: bool,
    pub(crate) hooks: Vec<Offer>,
    /// Subtrees and names are decided; `None`: its types can't be read.
    pub(crate) walks: Option<bool>,
    /// Why its types can't be read.
    pub(crate) no_types: Option<String>,
}

impl Offers {
    /// Looks; changes nothing.
    pub(crate) fn look() -> Self {
        let (loaded, types) = (is_loaded(), btf());
        let no_types = types.as_ref().err().map(ToString::to_string);
        let hooks = if loaded {
            pinned_hooks().into_iter().map(Offer::of_loaded).collect()
        } else {
            let lsm = lsm_is_active();
            let of = |hook| match (&types, &no_types) {
                (Ok(types), _) => Offer::of_types(hook, types, lsm),
                (Err(_), why) => Offer::missing(hook, why.as_deref().unwrap_or_default()),
            };
            HOOKS.iter().map(of).collect()
        };
        Self { loaded, hooks, walks: types.ok().map(|types| walks(&types)), no_types }
    }

    /// Rules by content are decided.
    pub(crate) fn hashes(&self) -> bool {
        self.hooks.iter().any(|offer| offer.program.is_some_and(|program| program.name == HASH_PROGRAM))
    }

    /// The hooks that this policy needs, and that fall short.
    pub(crate) fn unserved(&self, policy: &Policy<'_>) -> Vec<&'static str> {
        let short = |offer: &&Offer| !offer.denies() && is_needed(offer.hook, policy);
        self.hooks.iter().filter(short).map(|offer| offer.hook.name).collect()
    }
}

/// This policy needs this hook to deny.
pub(super) fn is_needed(hook: &Hook, policy: &Policy<'_>) -> bool {
    let guards = hook.guards;
    guards.operations & policy.uses().bits() != 0 || guards.self_protection && policy.self_protection()
}

/// Where the probes are pinned is a BPF file system; why not.
pub(crate) fn bpffs() -> Result<(), KernelError> {
    require_bpffs()
}

/// Cgroup v2 is where it must be; why not.
pub(crate) fn cgroups() -> Result<(), KernelError> {
    kernelfs::Known::open(kernelfs::CGROUPS).map(drop)
}

/// Length of the kernel's types, bytes.
pub(crate) fn btf_bytes() -> std::io::Result<u64> {
    fs::metadata(Path::new(BTF)).map(|found| found.len())
}
