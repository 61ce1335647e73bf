//! Root metadata: one step of the chain at a time. What is in force is looked at again after each: what the new root revokes
//! goes out of force at once.

use aegis_bundle::{Answer, What};

use super::in_force::{self, Kernel, Probes};
use super::taken::Taken;
use crate::outcome::Failure;
use crate::storage::DATA;
use crate::storage::disk::Disk;
use crate::storage::trust::{self, Standing, Trust};

/// Takes the root metadata after the one in force, or refuses it. It is durable before this returns, and what it revokes
/// is out of force.
///
/// # Errors
/// Own storage's, an image that is not sound. A kernel that does not take what is to be in force now is said.
pub(crate) fn take(bytes: &[u8], origin: &str) -> Result<Taken, Failure> {
    let _one = trust::lock().map_err(|error| Failure::error(format!("{DATA}: {error}")))?;
    let mut trust = Trust::open()?;
    let taken = decide(&mut trust, bytes);
    let (version, epoch) = (trust.root().version, trust.root().epoch);
    match taken.answer {
        Answer::Refused => log::warn!("root metadata refused: {}: {}", taken.code, taken.detail),
        _ => log::info!("root metadata: version {version}, epoch {epoch}: {}", taken.code),
    }
    taken.report(origin);
    if taken.answer != Answer::Refused {
        // It is taken: whatever else goes wrong is another matter.
        if let Err(failure) = reconsider(&mut trust, &Probes, in_force::report) {
            log::error!("{}: {failure}", in_force::NOT_IN_FORCE);
            let due = trust.standing().ok().map(|standing| aegis_bundle::hash(&standing.bytes));
            let refused = Taken::refused(What::Bundle, in_force::NOT_IN_FORCE, due, failure.to_string());
            refused.report(in_force::OWN);
        }
        in_force::alarm_if_stale(&trust);
    }
    Ok(taken)
}

/// Verifies it against the chain and keeps it.
pub(super) fn decide(trust: &mut Trust<impl Disk>, bytes: &[u8]) -> Taken {
    let hash = aegis_bundle::hash(bytes);
    let refused = |code, detail: String| Taken::refused(What::Root, code, Some(hash), detail);
    let code = if hash == trust.root_hash() {
        "unchanged"
    } else {
        match trust.next_root(bytes) {
            Err(error) => return refused(error.code(), error.to_string()),
            Ok(_) if trust.is_chain_full() => {
                return refused(
                    "root-chain",
                    "no more can follow this image's root metadata: update the image".into(),
                );
            }
            Ok(_) => {}
        }
        if let Err(error) = trust.keep_root(bytes) {
            return refused("storage", format!("{DATA}: {error}"));
        }
        "accepted"
    };
    let answer = if code == "accepted" { Answer::Accepted } else { Answer::Unchanged };
    // What was kept may have been followed by more: a chain that had a hole.
    let (epoch, sequence) = (trust.root().epoch, trust.root().version);
    Taken { answer, epoch, sequence, ..refused(code, String::new()) }
}

/// What the root in force revokes goes out of force; what it lets in again comes back.
pub(super) fn reconsider(
    trust: &mut Trust<impl Disk>,
    kernel: &impl Kernel,
    report: impl Fn(&Standing),
) -> Result<(), Failure> {
    // Who does not know what was in force does not change it.
    if trust.is_damaged() {
        return Ok(());
    }
    let standing = in_force::due(trust)?;
    report(&standing);
    let overdue = in_force::is_overdue(kernel, &standing);
    if overdue.map_err(|error| Failure::error(format!("policy: {error}")))? {
        log::warn!("policy: the root in force asks for another one: {}", standing.source.name());
        in_force::put(trust, kernel, &standing)?;
    }
    Ok(())
}
