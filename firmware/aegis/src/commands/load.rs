//! `aegis load`: probes into the kernel, the last good policy in force, a denial proven.

use aegis_event::{Mode, ModeReason};

use super::in_force;
use crate::kernel::{self, KernelState};
use crate::outcome::{Failure, Outcome};
use crate::storage::device::{Identity, hex};
use crate::storage::trust;

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
    let put = in_force::put_last_good(&identity)?;
    judge(put.wanted)?;
    match put.lost {
        Some(code) => Err(Failure::refused(format!(
            "{code}: the baseline is in force until a stick brings the policy again"
        ))),
        None => Ok(()),
    }
}

fn judge(wanted: aegis_policy::Mode) -> Outcome {
    let state = KernelState::open().map_err(|error| Failure::error(error.to_string()))?;
    let (mode, reason) = state.mode();
    let enforcing = Mode::from_number(mode) == Some(Mode::Enforcing);
    let failed =
        ModeReason::from_number(reason).filter(|reason| !enforcing && *reason != ModeReason::PolicyAudit);
    match failed {
        Some(reason) => Err(Failure::refused(format!(
            "audit-only ({reason}): nothing is denied, although the policy asks for {} (see `aegis status`)",
            wanted.name()
        ))),
        None => Ok(()),
    }
}
