//! `aegis policy settle`: what was decided is in force again. A decision that was cut short (its process was killed between
//! kernel and commit) leaves a policy in the kernel that nobody let in; and one that nobody has proven, even where it is the
//! right one.

use aegis_bundle::What;

use super::in_force::{self, Kernel, Probes};
use super::taken::Taken;
use crate::outcome::{Failure, Outcome};
use crate::storage::DATA;
use crate::storage::disk::Disk;
use crate::storage::trust::{self, Standing, Trust};

/// The code of a policy that was in the kernel and had not been let in.
const UNDONE: &str = "undone";

/// Exit 0 when what was decided is in force, or there are no probes; 1 when the kernel does not take it.
pub(crate) fn run() -> Outcome {
    // A decision that is under way is waited for: it holds the lock until it has committed.
    let _one = trust::lock().map_err(|error| Failure::error(format!("{DATA}: {error}")))?;
    let mut trust = Trust::open()?;
    match settle(&mut trust, &Probes) {
        Ok(None) => Ok(()),
        Ok(Some(hash)) => {
            let detail = "its decision was cut short; what was decided before is in force again";
            log::warn!("policy: {UNDONE}: {detail}");
            Taken::refused(What::Bundle, UNDONE, Some(hash), detail).report(in_force::OWN);
            in_force::alarm_if_stale(&trust);
            Ok(())
        }
        Err(failure) => {
            let due = trust.standing().ok().map(|standing| aegis_bundle::hash(&standing.bytes));
            Taken::refused(What::Bundle, in_force::NOT_IN_FORCE, due, failure.to_string())
                .report(in_force::OWN);
            Err(Failure::refused(format!("{}: {failure} (reboot)", in_force::NOT_IN_FORCE)))
        }
    }
}

/// Puts what was decided in force if something else is; returns the hash of that.
///
/// # Errors
/// The kernel's; an image that is not sound.
pub(super) fn settle(
    trust: &mut Trust<impl Disk>,
    kernel: &impl Kernel,
) -> Result<Option<[u8; 32]>, Failure> {
    // Without probes there is nothing to settle. Who does not know what was decided does not change what is.
    let Ok(running) = kernel.in_force() else { return Ok(None) };
    if trust.is_damaged() {
        return Ok(None);
    }
    let standing = in_force::due(trust)?;
    let overdue = in_force::is_overdue(kernel, &standing);
    if !overdue.map_err(|error| Failure::error(format!("policy: {error}")))? {
        prove(trust, kernel, &standing);
        return Ok(None);
    }
    in_force::put(trust, kernel, &standing)?;
    Ok(Some(running))
}

/// What is in force is what was decided. Nobody else is about to prove it: that is done under the lock that we hold.
fn prove(trust: &Trust<impl Disk>, kernel: &impl Kernel, standing: &Standing) {
    if kernel.is_proven() || kernel.in_force().ok() != Some(aegis_bundle::hash(&standing.bytes)) {
        return;
    }
    let why = match trust.open_kept(&standing.bytes, standing.source) {
        Ok(bundle) => kernel.prove(&bundle),
        Err(refusal) => Some(refusal.to_string()),
    };
    match why {
        None => log::info!("policy: proven, which was left undone"),
        Some(why) => log::error!("policy: in force, and not proven: {why}"),
    }
}
