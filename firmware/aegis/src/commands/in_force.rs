//! What is in force: a bundle's policy into the kernel, proven; what is to be in force, at every boot and after every
//! decision; and the alarm when it is older than it was signed to be.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aegis_bundle::{Bundle, What};
use aegis_event::{Body, Event, Mode, ModeReason};

use super::taken::Taken;
use crate::kernel::{self, KernelError, KernelState};
use crate::outcome::Failure;
use crate::storage::device::boottime;
use crate::storage::disk::Disk;
use crate::storage::facts;
use crate::storage::trust::{self, Standing, Trust};

/// The code of a policy in force that is older than it was signed to be.
pub(super) const STALE: &str = "policy-stale";
/// The code of a policy that is to be in force and is not in the kernel.
pub(super) const NOT_IN_FORCE: &str = "not-in-force";
/// Where a report comes from that nobody offered anything for.
pub(super) const OWN: &str = "own storage";

/// The kernel, as decisions about policies need it. Tests have another one.
pub(crate) trait Kernel {
    /// SHA-256 of the bundle that it decides by; zeros before any.
    fn in_force(&self) -> Result<[u8; 32], KernelError>;

    /// Puts a bundle's policy in force and proves it. On an error the old one is in force still.
    fn enforce(&self, bundle: &Bundle<'_>) -> Result<Enforced, KernelError>;

    /// False when nothing was proven of what is in force: the test failed, or who was to make it ended before.
    fn is_proven(&self) -> bool;

    /// Proves the policy that is in force, which is this bundle's; why not, when it is not.
    fn prove(&self, bundle: &Bundle<'_>) -> Option<String>;
}

/// A policy that is in force.
#[derive(Clone, Debug)]
pub(crate) struct Enforced {
    /// For a person: what it covers.
    pub(crate) detail: String,
    /// It asks for denials, they could have been proven here, and were not: why.
    pub(crate) unproven: Option<String>,
}

/// The probes.
pub(crate) struct Probes;

impl Kernel for Probes {
    fn in_force(&self) -> Result<[u8; 32], KernelError> {
        KernelState::open().map(|state| state.policy().hash)
    }

    fn enforce(&self, bundle: &Bundle<'_>) -> Result<Enforced, KernelError> {
        let (epoch, sequence) = (bundle.manifest.epoch, bundle.manifest.sequence);
        let (policy, compiled, hash) = (&bundle.policy, bundle.policy_bytes, bundle.hash);
        let offer = kernel::Offer { policy, compiled, epoch, sequence, hash };
        let begun = Instant::now();
        let applied = kernel::apply(&offer)?;
        let flipped = begun.elapsed();
        for missing in &applied.unresolved {
            let (rule, path) = (&missing.rule, &missing.path);
            if missing.reason.is_empty() {
                log::debug!("policy: rule {rule}: {path}: not there yet (known by name)");
            } else {
                log::warn!("policy: rule {rule}: {path}: {} (not covered)", missing.reason);
            }
        }
        // In force from here on.
        let unproven = prove(bundle, &format!(", in force after {}", millis(flipped)), begun);
        let (rules, entries) = (applied.rules, applied.entries);
        let uncovered = match applied.uncovered {
            0 => String::new(),
            paths => format!(", {paths} paths NOT COVERED (see the log)"),
        };
        let detail = if applied.flipped {
            format!("{rules} rules, {entries} entries, as they were{uncovered}")
        } else {
            format!("{rules} rules, {entries} entries, {} paths not there{uncovered}", applied.pending)
        };
        Ok(Enforced { detail, unproven })
    }

    fn is_proven(&self) -> bool {
        let reason = KernelState::open().map(|state| state.proven_mode().1);
        reason.is_ok_and(|reason| ModeReason::from_number(reason) != Some(ModeReason::SelfTestFailed))
    }

    fn prove(&self, bundle: &Bundle<'_>) -> Option<String> {
        prove(bundle, "", Instant::now())
    }
}

/// Proves what is in force since `begun`, and says so; why not, where the policy asks for denials that could have been proven.
fn prove(bundle: &Bundle<'_>, what: &str, begun: Instant) -> Option<String> {
    let (epoch, sequence) = (bundle.manifest.epoch, bundle.manifest.sequence);
    // A test that can't be made proves nothing: the mode says so.
    let proof = kernel::selftest::prove(&bundle.policy).unwrap_or_else(|error| {
        let (mode, reason) = (Mode::AuditOnly, ModeReason::SelfTestFailed);
        kernel::selftest::Proof { mode, reason, detail: error.to_string() }
    });
    if proof.detail.is_empty() {
        log::info!(
            "policy: epoch {epoch} sequence {sequence}: {} ({}){what}, proven after {}",
            proof.mode,
            proof.reason,
            millis(begun.elapsed())
        );
    } else {
        log::warn!("policy: {} ({}): {}", proof.mode, proof.reason, proof.detail);
    }
    note(Body::ModeChange { mode: proof.mode, reason: proof.reason, epoch, sequence });
    // What was proven, also behind broken glass; a kernel that can't deny at all proves nothing against a policy.
    match KernelState::open() {
        Ok(state) => {
            let (_, proven) = state.proven_mode();
            let failed = bundle.policy.mode() == aegis_policy::Mode::Enforce
                && ModeReason::from_number(proven) == Some(ModeReason::SelfTestFailed);
            failed.then_some(proof.detail)
        }
        // It is in force already, and what was proven of it is not to be had.
        Err(error) => Some(error.to_string()),
    }
}

/// Since the decision, to a hundredth of a millisecond.
fn millis(duration: Duration) -> String {
    // Not by a float: how one is written takes 13 KiB of the program, and nothing else in it has one.
    let hundredths = (duration.as_nanos() + 5_000) / 10_000;
    format!("{}.{:02} ms", hundredths / 100, hundredths % 100)
}

/// What is to be in force now: the trust state is brought up to the chain of root metadata first.
///
/// # Errors
/// An image that is not sound.
pub(super) fn due(trust: &mut Trust<impl Disk>) -> Result<Standing, Failure> {
    let unseated = trust.settle().unwrap_or_else(|error| {
        log::error!("own storage: {error} (what is revoked stays out of force all the same)");
        Vec::new()
    });
    let mut standing = trust.standing()?;
    standing.faults.splice(..0, unseated);
    Ok(standing)
}

/// Says what should be in force and is not.
pub(super) fn report(standing: &Standing) {
    for fault in &standing.faults {
        let (code, what, why) = (fault.code, fault.source.name(), &fault.detail);
        log::error!("{code}: {what}, epoch {} sequence {}: {why}", fault.epoch, fault.sequence);
        Taken::from(fault).report(OWN);
    }
}

/// Says what is lost of trust itself; returns the codes.
pub(super) fn report_losses(trust: &Trust) -> Vec<&'static str> {
    let mut codes = Vec::new();
    let mut say = |taken: Taken| {
        log::error!("{}: {}", taken.code, taken.detail);
        taken.report(OWN);
        codes.push(taken.code);
    };
    if trust.is_damaged() {
        let detail = "both copies of the trust state are damaged: starting as a new device";
        say(Taken::refused(What::Bundle, "trust-state-lost", None, detail));
    }
    if let Some(why) = trust.root_lost() {
        let (epoch, sequence) = (trust.root().epoch, trust.root().version);
        let detail = format!("{why}; a stick that brings the chain again mends it");
        say(Taken { epoch, sequence, ..Taken::refused(What::Root, trust::ROOT_LOST, None, detail) });
    }
    codes
}

/// True when something else than what is to be in force is. A policy whose file was lost stays while it runs.
pub(super) fn is_overdue(kernel: &impl Kernel, standing: &Standing) -> Result<bool, KernelError> {
    let running = kernel.in_force()?;
    let lost = standing.faults.iter().any(|fault| fault.code == trust::LOST && fault.hash == running);
    Ok(!lost && aegis_bundle::hash(&standing.bytes) != running)
}

/// Puts in force what is to be. Returns the mode that it asks for.
///
/// # Errors
/// The kernel's.
pub(super) fn put(
    trust: &Trust<impl Disk>,
    kernel: &impl Kernel,
    standing: &Standing,
) -> Result<aegis_policy::Mode, Failure> {
    let bundle = trust
        .open_kept(&standing.bytes, standing.source)
        .map_err(|refusal| Failure::error(format!("{}: {refusal}", standing.source.name())))?;
    kernel.enforce(&bundle).map_err(|error| Failure::error(format!("policy: {error}")))?;
    Ok(bundle.policy.mode())
}

/// After a trial that failed: what the trust state names is in force again.
pub(super) fn put_back(trust: &Trust<impl Disk>, kernel: &impl Kernel) {
    let done = trust.standing().and_then(|standing| put(trust, kernel, &standing));
    if let Err(failure) = done {
        log::error!("policy: the old one could not be put back: {failure}");
    }
}

/// A policy that is older than it was signed to be. It stays in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stale {
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    /// Unix seconds.
    pub(super) expires: u64,
}

/// What the kernel decides by, if that is stale at `now` (Unix seconds).
pub(super) fn stale(trust: &Trust<impl Disk>, kernel: &impl Kernel, now: u64) -> Option<Stale> {
    let (_, bytes) = trust.named(&kernel.in_force().ok()?)?;
    // Of the file that is in force, by its hash: it was opened before it was put there, and is not once more.
    let sections = aegis_bundle::split(&bytes).ok()?;
    let manifest = aegis_bundle::Manifest::decode(sections.manifest).ok()?;
    let expires = manifest.expires.filter(|expires| *expires <= now)?;
    Some(Stale { epoch: manifest.epoch, sequence: manifest.sequence, expires })
}

/// Raises the alarm when the policy in force is stale: once a process, whatever a stick brings.
pub(crate) fn alarm_if_stale(trust: &Trust) {
    static SAID: Mutex<Option<Stale>> = Mutex::new(None);
    let now = facts::now(trust.state());
    let Some(stale) = stale(trust, &Probes, now) else { return };
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).replace(stale) == Some(stale) {
        return;
    }
    let Stale { epoch, sequence, expires } = stale;
    log::warn!(
        "{STALE}: epoch {epoch} sequence {sequence} expired at {expires}, it is {now} at least (Unix seconds); it stays \
         in force (bring a newer one)"
    );
    note(Body::PolicyStale { epoch, sequence, expires, now });
}

/// True when the manifest of what the kernel decides by lets the marker file break the glass.
pub(crate) fn allows_marker(trust: &Trust) -> bool {
    let running = Probes.in_force().ok().and_then(|hash| trust.named(&hash));
    running.is_some_and(|(source, bytes)| {
        trust.open_kept(&bytes, source).is_ok_and(|bundle| bundle.manifest.marker)
    })
}

/// The policy that the kernel decides by, for an export to name; none when there is none, or its file is lost.
pub(super) fn running() -> Option<aegis_export::Policy> {
    let hash = Probes.in_force().ok()?;
    let trust = Trust::open().ok()?;
    let (source, bytes) = trust.named(&hash)?;
    let bundle = trust.open_kept(&bytes, source).ok()?;
    Some(aegis_export::Policy { epoch: bundle.manifest.epoch, sequence: bundle.manifest.sequence, hash })
}

/// What the policy that the kernel decides by says of the site network; `None`: nothing.
///
/// # Errors
/// The kernel's, and a file that is lost or not as it was accepted.
pub(super) fn site(trust: &Trust) -> Result<Option<Vec<u8>>, Failure> {
    let failed = |why: &dyn core::fmt::Display| Failure::error(format!("policy: {why}"));
    let hash = Probes.in_force().map_err(|error| failed(&error))?;
    let (source, bytes) = trust.named(&hash).ok_or_else(|| failed(&"its file is not there"))?;
    let bundle = trust.open_kept(&bytes, source).map_err(|refusal| failed(&refusal))?;
    Ok(bundle.site.map(<[u8]>::to_vec))
}

/// Sends an event of this command; what can't be sent is said on the console.
pub(crate) fn note(body: Body<'_>) {
    let event = Event { time: boottime(), subject: None, body };
    if let Err(error) = kernel::send_note(&event) {
        log::error!("event not recorded: {error}: {event}");
    }
}
