//! The self-test: a real denied open and a real denied exec, or nobody says `enforcing`.
//!
//! A program that is known by its content is denied too, where the policy has such rules: whether a kernel can measure one is
//! seen by that alone.
//!
//! This process moves into a cgroup of its own (slot 0, rule set entry 0), where the policy in force denies three
//! things to it, tries them, and moves back. What it tries inside shows in the evidence as workload `aegis-selftest`.
//!
//! Its own denials are real while the glass is broken too (`probes/bpf/rules.bpf.h:temper`): what it proves is what
//! will be in force once the glass is whole, and needs nobody to prove it again.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aegis_event::{Mode, ModeReason};
use aegis_policy::Policy;
use aegis_probes::abi::{self, Cgroup, Entry, Hash, HashKey, ObjectKey};

use super::KernelError;
use super::fill::{SetMaps, open_hashes, open_rules};
use super::load::pinned_hooks;
use super::lock::Lock;
use super::place::inode_of;
use super::state::{KernelState, WorkloadNames, Writer};
use super::workload::{Group, Tree, cgroups, own_cgroup};
use crate::storage::device::boottime;
use crate::storage::{RUN, atomic};

/// Its cgroup, below the root of the hierarchy.
const CGROUP: &str = "aegis-selftest";
pub(crate) const NAME: &[u8] = b"aegis-selftest";
const SLOT: u32 = 0;
const RULESET: u32 = abi::RULESET_SELFTEST;
/// Run when nothing denies it. Its interpreter need not exist: the denial comes before it is looked for.
const SCRIPT: &[u8] = b"#!/bin/true\n";
/// Denied for what is in it.
const MEASURED: &str = "measured-program";
const MEASURED_SCRIPT: &[u8] = b"#!/bin/true\n# known by its content\n";

/// What the self-test found, and what therefore is in force.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    /// What is done to a matching access.
    pub(crate) mode: Mode,
    /// Why.
    pub(crate) reason: ModeReason,
    /// For a person: what was tried, and what came of it. Empty when all was as it must be.
    pub(crate) detail: String,
}

impl Proof {
    /// What is in force while the glass is broken, whatever was proven.
    fn behind_broken_glass(self) -> Self {
        let Self { mode, reason, detail } = self;
        let separator = if detail.is_empty() { "" } else { ": " };
        Self {
            mode: Mode::AuditOnly,
            reason: ModeReason::BrokenGlass,
            detail: format!("when the glass is whole again: {mode} ({reason}){separator}{detail}"),
        }
    }
}

/// Proves what is in force and says so in the kernel's control page. `policy` is the one in force: where a hook that it
/// needs can't deny, it is not enforced, however well the others do. While the glass is broken the page says what was proven, for afterwards, and the answer what is in force now.
/// Errors are for what kept the test from being made; the mode is then `audit-only`.
pub(crate) fn prove(policy: &Policy<'_>) -> Result<Proof, KernelError> {
    let _lock = Lock::rules()?;
    let control = Writer::open()?;
    // Until it is proven it is not so.
    control.set_mode(Mode::AuditOnly, ModeReason::SelfTestFailed);
    let hooks = pinned_hooks();
    let proof = |mode, reason, detail| Proof { mode, reason, detail };
    let proof = if !super::offers::lsm_is_active() {
        let detail = "`bpf` is not in the kernel's LSM list (boot with lsm=…,bpf)".to_owned();
        proof(Mode::AuditOnly, ModeReason::LsmBpfMissing, detail)
    } else if let Some(broken) = hooks.iter().find(|status| !status.serves(policy)) {
        let detail = format!("{}: {}", broken.hook.name, broken.reason);
        proof(Mode::AuditOnly, ModeReason::HookMissing, detail)
    } else if !control.can(abi::CAN_WALK) && (policy.entries() > 0 || policy.self_protection()) {
        let detail = "subtrees and names are not decided before Linux 5.17".to_owned();
        proof(Mode::AuditOnly, ModeReason::HookMissing, detail)
    } else {
        match (observe(policy.has_hashes())?, policy.mode()) {
            (Some(failed), _) => proof(Mode::AuditOnly, ModeReason::SelfTestFailed, failed),
            (None, aegis_policy::Mode::Audit) => {
                proof(Mode::AuditOnly, ModeReason::PolicyAudit, String::new())
            }
            (None, aegis_policy::Mode::Enforce) => {
                proof(Mode::Enforcing, ModeReason::SelfTestPassed, String::new())
            }
        }
    };
    control.set_mode(proof.mode, proof.reason);
    Ok(if boottime() < control.broken_until() { proof.behind_broken_glass() } else { proof })
}

/// The files of the test.
struct Files {
    denied: PathBuf,
    control: PathBuf,
    denied_program: PathBuf,
    control_program: PathBuf,
    /// Denied by its content, where the policy has such rules.
    measured_program: Option<PathBuf>,
}

impl Files {
    fn make(hashes: bool) -> Result<Self, KernelError> {
        let directory = Path::new(RUN).join("selftest");
        atomic::make_private_directory(&directory).map_err(KernelError::file(&directory))?;
        let make = |name: &str, mode: u32| {
            let path = directory.join(name);
            fs::write(&path, if name == MEASURED { MEASURED_SCRIPT } else { SCRIPT })
                .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(mode)))
                .map(|()| path.clone())
                .map_err(KernelError::file(path))
        };
        Ok(Self {
            denied: make("denied", 0o600)?,
            control: make("control", 0o600)?,
            denied_program: make("denied-program", 0o700)?,
            control_program: make("control-program", 0o700)?,
            measured_program: hashes.then(|| make(MEASURED, 0o700)).transpose()?,
        })
    }

    /// Rules for them in both sets, and the cgroup they are for.
    fn register(&self, tree: &Tree) -> Result<Group, KernelError> {
        let denied = |operations: &[usize]| {
            let mut entry = Entry::default();
            for operation in operations {
                entry.rule[*operation] = abi::RULE_SELFTEST + 1;
                entry.effect[*operation] = abi::EFFECT_DENY;
            }
            entry
        };
        let wanted = [
            (&self.denied, denied(&[abi::OP_OPEN_READ, abi::OP_OPEN_WRITE])),
            (&self.denied_program, denied(&[abi::OP_EXEC])),
        ];
        for set in 0..2 {
            let fail = |error| KernelError::object("rules of the self-test")(error);
            let rules = open_rules(set)?;
            // The name before the rules: no record is ever without it.
            SetMaps::of(set).name([(abi::RULE_SELFTEST, NAME)].into_iter())?;
            for key in rules.keys().map_err(fail)?.iter().filter(|key| key.ruleset == RULESET) {
                rules.remove(key).map_err(fail)?;
            }
            for (path, entry) in &wanted {
                let (device, inode) = inode_of(path).map_err(KernelError::file(path))?;
                rules.set(&ObjectKey { inode, device, ruleset: RULESET }, entry).map_err(fail)?;
            }
            if self.measured_program.is_some() {
                let key =
                    HashKey { digest: aegis_bundle::hash(MEASURED_SCRIPT), ruleset: RULESET, reserved: 0 };
                let denied =
                    Hash { rule: abi::RULE_SELFTEST + 1, effect: abi::EFFECT_DENY, ..Hash::default() };
                open_hashes(set)?.set(&key, &denied).map_err(fail)?;
            }
        }
        let group = tree.make(CGROUP)?;
        WorkloadNames::open()?.set(SLOT as usize, NAME);
        let entry = Cgroup { slot: SLOT, ruleset: [RULESET; 2], reserved: 0 };
        cgroups()?.set(&group.id, &entry).map_err(KernelError::object("cgroups"))?;
        Ok(group)
    }
}

/// The outcome of one attempt: `Ok` when it went through, else the error number.
type Outcome = Result<(), i32>;

/// Makes the test. `None`: every attempt came out as it must; else what did not.
fn observe(hashes: bool) -> Result<Option<String>, KernelError> {
    let files = Files::make(hashes)?;
    let tree = Tree::open()?;
    let group = files.register(&tree)?;
    let state = KernelState::open()?;
    if is_noexec(&files.denied_program) {
        // Half a proof is none: `enforcing` speaks of open and exec.
        return Ok(Some(format!(
            "{} is on a file system mounted noexec: the denial of exec can't be proven",
            files.denied_program.display()
        )));
    }
    let home = tree.find(own_cgroup()?.trim_start_matches('/'))?;

    let denials = state.denied(SLOT as usize);
    group.enter()?;
    let inside = own_cgroup()?;
    let tried = attempts(&files);
    // Back before anything else: whatever follows is not the self-test's.
    home.enter()?;
    let counted = state.denied(SLOT as usize) - denials;
    let outside = [
        ("open for reading from outside", open(&files.denied), Expect::Passes),
        ("open for writing from outside", open_to_write(&files.denied), Expect::Passes),
    ];

    if inside.strip_prefix('/') != Some(CGROUP) {
        return Ok(Some(format!("could not enter {CGROUP}: in {inside}")));
    }
    if let Some((what, outcome, _)) =
        tried.iter().chain(&outside).find(|(_, outcome, expected)| !expected.holds(*outcome))
    {
        let outcome = outcome
            .map_or_else(|number| io::Error::from_raw_os_error(number).to_string(), |()| "passed".into());
        return Ok(Some(format!("{what}: {outcome}")));
    }
    let expected = tried.iter().filter(|(.., expected)| *expected == Expect::Denied).count() as u64;
    if counted != expected {
        return Ok(Some(format!("{expected} denials, but the probes counted {counted}")));
    }
    Ok(None)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// EPERM, and no other error: a missing file is no denial.
    Denied,
    Passes,
    /// Anything but EPERM.
    NotDenied,
}

impl Expect {
    fn holds(self, outcome: Outcome) -> bool {
        match self {
            Self::Denied => outcome == Err(libc::EPERM),
            Self::Passes => outcome == Ok(()),
            Self::NotDenied => outcome != Err(libc::EPERM),
        }
    }
}

type Attempt = (&'static str, Outcome, Expect);

fn attempts(files: &Files) -> Vec<Attempt> {
    let mut tried = vec![
        ("denied open for reading", open(&files.denied), Expect::Denied),
        ("denied open for writing", open_to_write(&files.denied), Expect::Denied),
        ("open of another file", open(&files.control), Expect::Passes),
        ("denied exec", execute(&files.denied_program), Expect::Denied),
        ("exec of another program", execute(&files.control_program), Expect::NotDenied),
    ];
    if let Some(program) = &files.measured_program {
        tried.push(("denied exec of a program known by its content", execute(program), Expect::Denied));
    }
    tried
}

fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

fn open(path: &Path) -> Outcome {
    File::open(path).map(drop).map_err(|error| number(&error))
}

fn open_to_write(path: &Path) -> Outcome {
    File::options().write(true).open(path).map(drop).map_err(|error| number(&error))
}

/// Starts a program; what it does once started is not asked.
fn execute(path: &Path) -> Outcome {
    let mut command = Command::new(path);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| number(&error))?;
    child.wait().map(drop).map_err(|error| number(&error))
}

fn is_noexec(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_broken_glass_nothing_is_called_enforcing_and_nothing_is_kept_quiet() {
        let proof = |mode, reason, detail: &str| Proof { mode, reason, detail: detail.to_owned() };
        for (proof, detail) in [
            (
                proof(Mode::Enforcing, ModeReason::SelfTestPassed, ""),
                "when the glass is whole again: enforcing (self-test-passed)",
            ),
            (
                proof(Mode::AuditOnly, ModeReason::HookMissing, "file_open: no"),
                "when the glass is whole again: audit-only (hook-missing): file_open: no",
            ),
        ] {
            let now = proof.behind_broken_glass();
            assert_eq!((now.mode, now.reason), (Mode::AuditOnly, ModeReason::BrokenGlass));
            assert_eq!(now.detail, detail);
        }
    }
}
