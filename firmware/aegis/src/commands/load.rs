//! `aegis load`: probes into the kernel, the last good policy in force, a denial proven.

use aegis_bundle::open;
use aegis_event::{Body, Mode};

use super::policy;
use crate::kernel;
use crate::outcome::{Failure, Outcome};
use crate::storage::device::{Identity, hex};
use crate::storage::{BASELINE, DATA, atomic, trust};
use crate::{kernel::KernelState, limits};

/// Exit 0 when what the policy asks for is proven to be in force, 1 when less than that is (audit only), 2 when the
/// probes are not in the kernel.
pub(crate) fn run() -> Outcome {
    let identity =
        Identity::open_or_create().map_err(|error| Failure::error(format!("device key: {error}")))?;
    log::info!("device {}", hex(&identity.id()));
    let loaded = kernel::load().map_err(|error| Failure::error(error.to_string()))?;
    let what = if loaded.adopted { "adopted" } else { "loaded" };
    log::info!("probes {what}: {} hooks", loaded.hooks.iter().filter(|hook| hook.attached.is_some()).count());
    for hook in loaded.hooks.iter().filter(|hook| !hook.reason.is_empty()) {
        log::warn!("hook {}: {}", hook.hook.name, hook.reason);
    }
    trust::sweep();
    let put = put_policy_in_force(&identity)?;
    judge(put.wanted)?;
    match put.lost {
        Some(code) => Err(Failure::refused(format!(
            "{code}: the baseline is in force until a stick brings the policy again"
        ))),
        None => Ok(()),
    }
}

/// What is in force now.
pub(super) struct Put {
    /// The mode it asks for.
    wanted: aegis_policy::Mode,
    /// It is the baseline because what was in force before is gone: the reason code.
    lost: Option<&'static str>,
}

/// The last good policy, or the baseline.
pub(super) fn put_policy_in_force(identity: &Identity) -> Result<Put, Failure> {
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
            Ok(bundle) => return Ok(Put { wanted: enforce(&bundle)?, lost: None }),
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
    Ok(Put { wanted: enforce(&bundle)?, lost: gone })
}

fn enforce(bundle: &aegis_bundle::Accepted<'_>) -> Result<aegis_policy::Mode, Failure> {
    policy::enforce(bundle)
        .map(|_| bundle.policy.mode())
        .map_err(|error| Failure::error(format!("policy: {error}")))
}

/// Reports that what was in force is gone; returns the code.
fn lost(code: &'static str, hash: [u8; 32], detail: &str) -> &'static str {
    log::error!("{code}: {detail}");
    policy::note(Body::Policy { code, epoch: 0, sequence: 0, hash: &hash, detail });
    code
}

fn judge(wanted: aegis_policy::Mode) -> Outcome {
    let state = KernelState::open().map_err(|error| Failure::error(error.to_string()))?;
    let (mode, reason) = state.mode();
    let enforcing = Mode::from_number(mode) == Some(Mode::Enforcing);
    let failed = aegis_event::ModeReason::from_number(reason)
        .filter(|reason| !enforcing && *reason != aegis_event::ModeReason::PolicyAudit);
    match failed {
        Some(reason) => Err(Failure::refused(format!(
            "audit-only ({reason}): nothing is denied, although the policy asks for {} (see `aegis status`)",
            wanted.name()
        ))),
        None => Ok(()),
    }
}
