//! What is in force: a bundle's policy into the kernel, proven; and the last good one, or the baseline, at every boot.

use aegis_bundle::open;
use aegis_event::{Body, Event, Mode, ModeReason};

use crate::kernel;
use crate::limits;
use crate::outcome::Failure;
use crate::storage::device::{Identity, boottime};
use crate::storage::{BASELINE, DATA, atomic, trust};

/// What is in force now.
pub(super) struct Put {
    /// The mode it asks for.
    pub(super) wanted: aegis_policy::Mode,
    /// It is the baseline because what was in force before is gone: the reason code.
    pub(super) lost: Option<&'static str>,
}

/// The last good policy, or the baseline.
pub(super) fn put_last_good(identity: &Identity) -> Result<Put, Failure> {
    let root = trust::root()?;
    let before = trust::remembered().map_err(|error| Failure::error(format!("{DATA}: {error}")))?;
    let mut gone = None;
    if before.damaged {
        let detail = "both copies of the trust state are damaged: starting as a new device";
        gone = Some(lost("trust-state-lost", [0; 32], detail));
    } else if before.state.sequence > 0 {
        let context = trust::context(&root, identity.id(), before.state);
        let bytes = before.bundle().unwrap_or_default();
        match open(&bytes, &context) {
            Ok(bundle) => return Ok(Put { wanted: put(&bundle)?, lost: None }),
            Err(_) if bytes.is_empty() => {
                gone =
                    Some(lost("policy-lost", before.state.bundle, "the policy in force is in neither slot"));
            }
            Err(refusal) => gone = Some(lost("policy-lost", before.state.bundle, refusal.code())),
        }
    }
    let bytes = atomic::read_bounded(BASELINE.as_ref(), limits::BUNDLE_BYTES)
        .map_err(|error| Failure::error(format!("{BASELINE}: {error}")))?;
    // The baseline is as trusted as the read-only root it is in; what was accepted before does not outrank it here,
    // and it is not remembered, so a stick still has to bring something at least as new as what was accepted.
    let bundle = open(&bytes, &trust::context(&root, identity.id(), aegis_bundle::TrustState::default()))
        .map_err(|refusal| {
            Failure::error(format!("{BASELINE}: {} (the image is not sound)", refusal.code()))
        })?;
    Ok(Put { wanted: put(&bundle)?, lost: gone })
}

fn put(bundle: &aegis_bundle::Accepted<'_>) -> Result<aegis_policy::Mode, Failure> {
    enforce(bundle).map(|_| bundle.policy.mode()).map_err(|error| Failure::error(format!("policy: {error}")))
}

/// Reports that what was in force is gone; returns the code.
fn lost(code: &'static str, hash: [u8; 32], detail: &str) -> &'static str {
    log::error!("{code}: {detail}");
    note(Body::Policy { code, epoch: 0, sequence: 0, hash: &hash, detail });
    code
}

/// Puts a bundle's policy into the kernel and proves what is in force. Says, for a person, what it could not cover.
pub(crate) fn enforce(bundle: &aegis_bundle::Accepted<'_>) -> Result<String, kernel::KernelError> {
    let (epoch, sequence) = (bundle.manifest.epoch, bundle.manifest.sequence);
    let applied =
        kernel::apply(&kernel::Offer { compiled: bundle.policy_bytes, epoch, sequence, hash: bundle.hash })?;
    for missing in &applied.unresolved {
        log::warn!("policy: rule {}: {}: {} (not covered)", missing.rule, missing.path, missing.reason);
    }
    // The policy is in force from here on. A test that can't be made proves nothing: the mode says so, the policy stays.
    let proof =
        kernel::selftest::prove(bundle.policy.mode()).unwrap_or_else(|error| kernel::selftest::Proof {
            mode: Mode::AuditOnly,
            reason: ModeReason::SelfTestFailed,
            detail: error.to_string(),
        });
    if proof.detail.is_empty() {
        log::info!("policy: epoch {epoch} sequence {sequence}: {} ({})", proof.mode, proof.reason);
    } else {
        log::warn!("policy: {} ({}): {}", proof.mode, proof.reason, proof.detail);
    }
    note(Body::ModeChange { mode: proof.mode, reason: proof.reason, epoch, sequence });
    let (rules, entries, missing) = (applied.rules, applied.entries, applied.unresolved.len());
    Ok(format!("{rules} rules, {entries} entries, {missing} paths not found"))
}

/// Sends an event of this command; what can't be sent is said on the console.
pub(crate) fn note(body: Body<'_>) {
    let event = Event { time: boottime(), subject: None, body };
    if let Err(error) = kernel::send_note(&event) {
        log::error!("event not recorded: {error}: {event}");
    }
}
