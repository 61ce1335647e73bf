//! `aegis load`: probes into the kernel, the last good policy in force, a denial proven.

use std::path::PathBuf;

use aegis_event::{Mode, ModeReason};

use super::break_glass;
use super::in_force::{self, Probes};
use crate::image::slot::Running;
use crate::kernel::{self, KernelState};
use crate::outcome::{Failure, Outcome};
use crate::storage::DATA;
use crate::storage::device::{Identity, hex};
use crate::storage::trust::{self, Source, Trust};

/// Exit 0 when what the policy asks for is proven to be in force, 1 when less than that is (audit only, or another policy
/// than was in force before), 2 when the probes are not in the kernel.
pub(crate) fn run() -> Outcome {
    let identity =
        Identity::open_or_create().map_err(|error| Failure::error(format!("device key: {error}")))?;
    log::info!("device {}", hex(&identity.id()));
    let loaded = kernel::load().map_err(|error| Failure::error(error.to_string()))?;
    let what = if loaded.adopted { "adopted" } else { "loaded" };
    let attached = loaded.hooks.iter().filter(|hook| hook.program.is_some()).count();
    log::info!("probes {what}: {attached} of {} hooks", loaded.hooks.len());
    for hook in loaded.hooks.iter().filter(|hook| !hook.reason.is_empty()) {
        log::warn!("hook {}: {}", hook.hook.name, hook.reason);
    }
    let (wanted, faults) = put_last_good()?;
    retire_others(wanted, loaded.heritage)?;
    break_glass::heed_marker();
    judge(wanted)?;
    if faults.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{}: less is in force than was (see `aegis policy status`); a stick brings it again",
        faults.join(", ")
    )))
}

/// What another version of the probes had in force was in force until here; unless ours does not do what the policy asks for:
/// then they stay beside it, and either's denial denies.
fn retire_others(wanted: aegis_policy::Mode, heritage: kernel::Heritage) -> Outcome {
    let fail = |error: kernel::KernelError| Failure::error(error.to_string());
    let (mode, reason) = KernelState::open().map_err(fail)?.proven_mode();
    let less = wanted == aegis_policy::Mode::Enforce && Mode::from_number(mode) != Some(Mode::Enforcing);
    if less {
        let others = kernel::others().map_err(fail)?;
        if !others.is_empty() {
            let reason =
                ModeReason::from_number(reason).map_or(String::new(), |reason| format!(" ({reason})"));
            log::error!(
                "probes of {} stay in force: ours do less than the policy asks for{reason}",
                names(&others)
            );
        }
        return Ok(());
    }
    let retired = kernel::retire_others(heritage).map_err(fail)?;
    if !retired.is_empty() {
        log::info!("probes of {} retired", names(&retired));
    }
    Ok(())
}

fn names(pins: &[PathBuf]) -> String {
    let names: Vec<String> =
        pins.iter().filter_map(|path| path.file_name()).map(|name| name.display().to_string()).collect();
    names.join(", ")
}

/// The last good policy, or what stands in for it. Returns the mode that it asks for, and the codes of what is not as it was.
fn put_last_good() -> Result<(aegis_policy::Mode, Vec<&'static str>), Failure> {
    let _one = trust::lock().map_err(|error| Failure::error(format!("{DATA}: {error}")))?;
    let mut trust = Trust::open()?;
    trust.sweep(Running::now().slot.is_some());
    let mut codes = in_force::report_losses(&trust);
    let standing = in_force::due(&mut trust)?;
    in_force::report(&standing);
    codes.extend(
        standing.faults.iter().filter(|fault| fault.source == Source::Bundle).map(|fault| fault.code),
    );
    log::info!("policy: from the {}", standing.source.name());
    let wanted = in_force::put(&trust, &Probes, &standing)?;
    in_force::alarm_if_stale(&trust);
    Ok((wanted, codes))
}

fn judge(wanted: aegis_policy::Mode) -> Outcome {
    let state = KernelState::open().map_err(|error| Failure::error(error.to_string()))?;
    let (mode, reason) = state.mode();
    let enforcing = Mode::from_number(mode) == Some(Mode::Enforcing);
    let failed =
        ModeReason::from_number(reason).filter(|reason| !enforcing && *reason != ModeReason::PolicyAudit);
    match failed {
        Some(reason) => Err(Failure::refused(format!(
            "audit-only ({reason}): the policy asks for {}, and not all of it is done (see `aegis status`)",
            wanted.name()
        ))),
        None => Ok(()),
    }
}
