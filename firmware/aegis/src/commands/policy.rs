//! `aegis policy`: one bundle from bytes to force, or a refusal with its reason; and back. Every answer is an event.
#![expect(clippy::needless_pass_by_value, reason = "errors, for map_err")]

use std::io;
use std::path::Path;

use aegis_bundle::{Accepted, Answer, Bundle, TrustState, What, limits as bounds};
use serde_json::json;

use super::in_force::{self, Kernel, Probes};
pub(crate) use super::taken::Taken;
use crate::kernel::KernelError;
use crate::limits;
use crate::outcome::{Failure, Outcome, say};
use crate::storage::device::{Identity, hex};
use crate::storage::disk::Disk;
use crate::storage::facts::{self, Facts};
use crate::storage::trust::{self, NONE, Source, Trust, manifest_hash};
use crate::storage::{DATA, atomic};

/// In the detail of what is in force and was not confirmed by own storage.
pub(super) const UNSURE: &str = "not sure to outlive a power cut";

/// A reason code, and the detail.
type Refused = (&'static str, String);

/// `aegis policy apply FILE`: a person insists, a bundle that is held back is tried once more.
pub(crate) fn apply(file: &Path, wanted: Option<[u8; 32]>) -> Outcome {
    let bytes = read(file)?;
    let origin = file.display().to_string();
    let hash = aegis_bundle::hash(&bytes);
    let taken = if wanted.is_some_and(|wanted| wanted != hash) {
        let taken =
            Taken::refused(What::Bundle, "hash-mismatch", Some(hash), "not the file that was asked for");
        taken.report(&origin);
        taken
    } else {
        let identity = Identity::open_or_create().map_err(no_key)?;
        take(&bytes, &origin, &identity, true)?
    };
    answer(&taken, &origin)
}

/// `aegis policy rollback`: back to the policy before the one in force, which is held back from then on.
pub(crate) fn rollback() -> Outcome {
    let _one = trust::lock().map_err(storage_failure)?;
    let mut trust = Trust::open()?;
    let taken = roll_back(&mut trust, &Probes);
    taken.report("rollback");
    in_force::alarm_if_stale(&trust);
    answer(&taken, "rollback")
}

/// `aegis policy verify FILE`: the same decision as of a stick's bundle, and nothing changes.
pub(crate) fn verify(file: &Path, as_json: bool) -> Outcome {
    // A device that has no key yet is not given one by being asked.
    let identity = Identity::open().map_err(no_key)?;
    let trust = Trust::open()?;
    let facts = Facts::read(identity.map(|identity| identity.id()));
    let bytes = read(file)?;
    let (accepted, code, detail) = would_take(&trust, &facts, &bytes);
    say(&if as_json {
        json!({ "accepted": accepted, "code": code, "detail": detail }).to_string()
    } else {
        format!("{}: {code}", file.display())
    })?;
    if accepted { Ok(()) } else { Err(Failure::refused(format!("{}: refused: {detail}", file.display()))) }
}

/// Would it be let in, with which code, and what there is to say of it?
pub(super) fn would_take(trust: &Trust, facts: &Facts, bytes: &[u8]) -> (bool, &'static str, String) {
    if let Some((code, why)) = trust.holds() {
        return (false, code, why);
    }
    match trust.offered(bytes, facts, false) {
        Ok(accepted) => {
            let stale = accepted.bundle.is_stale(facts::now(trust.state()));
            let detail = if stale { "policy-stale: it expired, and would raise the alarm" } else { "" };
            (true, accepted.code(), detail.to_owned())
        }
        Err(refusal) => (false, refusal.code(), refusal.to_string()),
    }
}

fn no_key(error: io::Error) -> Failure {
    Failure::error(format!("device key: {error}"))
}

fn storage_failure(error: io::Error) -> Failure {
    Failure::error(format!("{DATA}: {error}"))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    atomic::read_bounded(file, limits::BUNDLE_BYTES)
        .map_err(|error| Failure::error(format!("{}: {error}", file.display())))
}

/// Prints what became of it.
fn answer(taken: &Taken, origin: &str) -> Outcome {
    let Taken { code, epoch, sequence, detail, .. } = taken;
    let hash = hex(&taken.hash.unwrap_or_default());
    say(&format!("{origin}: {code} epoch {epoch} sequence {sequence} sha256 {hash}"))?;
    match taken.answer {
        Answer::Refused if detail.is_empty() => Err(Failure::refused(format!("{origin}: refused: {code}"))),
        Answer::Refused => Err(Failure::refused(format!("{origin}: refused: {code}: {detail}"))),
        _ => Ok(()),
    }
}

/// Decides about a bundle and, when it is let in, puts it in force. Whatever fails leaves the running policy in force.
/// `insist`: a person does, so one that is held back is tried once more.
///
/// # Errors
/// Own storage's; an image that is not sound.
pub(crate) fn take(bytes: &[u8], origin: &str, identity: &Identity, insist: bool) -> Result<Taken, Failure> {
    let _one = trust::lock().map_err(storage_failure)?;
    let mut trust = Trust::open()?;
    let facts = Facts::of(identity);
    let taken = decide(&mut trust, &Probes, &facts, bytes, insist);
    taken.report(origin);
    in_force::alarm_if_stale(&trust);
    Ok(taken)
}

/// The decision, without a word about it.
pub(super) fn decide(
    trust: &mut Trust<impl Disk>,
    kernel: &impl Kernel,
    facts: &Facts,
    bytes: &[u8],
    insist: bool,
) -> Taken {
    let hash = Some(aegis_bundle::hash(bytes));
    let refused = |code, detail| Taken::refused(What::Bundle, code, hash, detail);
    if let Some((code, why)) = trust.holds() {
        return refused(code, why);
    }
    match trust.offered(bytes, facts, insist) {
        Err(refusal) => Taken {
            epoch: refusal.epoch,
            sequence: refusal.sequence,
            ..refused(refusal.code(), String::new())
        },
        Ok(accepted) => {
            let (epoch, sequence) = (accepted.bundle.manifest.epoch, accepted.bundle.manifest.sequence);
            let same = Some(&accepted).filter(|accepted| accepted.unchanged);
            let running = same.and_then(|same| in_force(trust, kernel, &same.bundle.manifest_hash));
            let taken = if let Some((source, kept)) = running {
                // A stick that is plugged in once more asks for nothing.
                let again = if insist { once_more(trust, kernel, &kept, source) } else { Ok(String::new()) };
                match again {
                    Ok(detail) => Taken { answer: Answer::Unchanged, ..refused(accepted.code(), detail) },
                    Err((code, detail)) => refused(code, detail),
                }
            } else {
                match put_in_force(trust, kernel, bytes, &accepted) {
                    Ok(detail) => Taken { answer: Answer::Accepted, ..refused("accepted", detail) },
                    Err((code, detail)) => refused(code, detail),
                }
            };
            Taken { epoch, sequence, ..taken }
        }
    }
}

/// The bundle with this manifest, as it is kept, if it is what the kernel decides by, and is there for the next boot: not so
/// after a slot was lost, or a rollback.
fn in_force(
    trust: &Trust<impl Disk>,
    kernel: &impl Kernel,
    manifest: &[u8; 32],
) -> Option<(Source, Vec<u8>)> {
    let running = kernel.in_force().ok().filter(|running| *running == trust.state().bundle)?;
    trust.named(&running).filter(|(source, bytes)| {
        *source == Source::Bundle && manifest_hash(bytes).as_ref() == Some(manifest)
    })
}

/// The policy in force is put in force again: its paths are looked up anew, and it is proven. It was decided before: no trial,
/// and nothing is written.
fn once_more(
    trust: &Trust<impl Disk>,
    kernel: &impl Kernel,
    kept: &[u8],
    source: Source,
) -> Result<String, Refused> {
    let bundle = trust.open_kept(kept, source).map_err(|refusal| (refusal.code(), refusal.to_string()))?;
    let enforced = kernel.enforce(&bundle).map_err(refused_by_kernel)?;
    match enforced.unproven {
        // There is none that it could give way to.
        Some(why) => Err(("self-test-failed", format!("{why}; it stays in force, not proven"))),
        None => Ok(format!("looked up anew: {}", enforced.detail)),
    }
}

/// Own copy, trial counted, kernel, proof, commit.
fn put_in_force(
    trust: &mut Trust<impl Disk>,
    kernel: &impl Kernel,
    bytes: &[u8],
    accepted: &Accepted<'_>,
) -> Result<String, Refused> {
    // Without probes nothing is tried.
    kernel.in_force().map_err(refused_by_kernel)?;
    // What goes into the kernel is what will be there after a power cut, to the byte.
    if trust.keep(bytes).map_err(refused_by_storage)? != bytes {
        return Err(("storage", format!("{DATA}: own copy: it is not what was written")));
    }
    let before = *trust.state();
    // A bundle whose file is lost is none to go back to.
    let previous = if trust.has_bundle() { accepted.state.previous } else { before.previous };
    let previous = if previous == accepted.bundle.hash { NONE } else { previous };
    let state = TrustState { previous, ..accepted.state };

    let tries = trust.begin_trial(&accepted.bundle).map_err(refused_by_storage)?;
    flip(trust, kernel, &accepted.bundle, &state).map_err(|(code, detail)| {
        let last = if tries >= bounds::TRIES { ", held back from now on" } else { "" };
        (code, format!("{detail} (trial {tries} of {}{last})", bounds::TRIES))
    })
}

/// Puts a kept bundle in force and commits the state that names it; or leaves both as they were.
fn flip(
    trust: &mut Trust<impl Disk>,
    kernel: &impl Kernel,
    bundle: &Bundle<'_>,
    state: &TrustState,
) -> Result<String, Refused> {
    let commit = trust.prepare(state).map_err(refused_by_storage)?;
    let enforced = match kernel.enforce(bundle) {
        Ok(enforced) => enforced,
        Err(error) => {
            trust.abandon(commit);
            return Err(refused_by_kernel(error));
        }
    };
    if let Some(why) = enforced.unproven {
        trust.abandon(commit);
        in_force::put_back(trust, kernel);
        return Err(("self-test-failed", why));
    }
    if let Err(error) = trust.commit(commit) {
        // What is in place now is what the next boot has: so shall this one.
        if trust.state().bundle != bundle.hash {
            in_force::put_back(trust, kernel);
            return Err(refused_by_storage(error));
        }
        log::error!("policy: in force, but {UNSURE}: {DATA}: {error}");
        return Ok(format!("{}; {UNSURE}: {error}", enforced.detail));
    }
    Ok(enforced.detail)
}

/// Back to the policy before the one in force. The one that is left is held back until a person insists.
pub(super) fn roll_back(trust: &mut Trust<impl Disk>, kernel: &impl Kernel) -> Taken {
    let before = *trust.state();
    let hash = (before.previous != NONE).then_some(before.previous);
    let refused = |code, detail: String| Taken::refused(What::Bundle, code, hash, detail);
    if let Some((code, why)) = trust.holds() {
        return refused(code, why);
    }
    let Some(file) = trust.file(Source::Previous) else {
        return refused("no-previous", "there is none to roll back to".into());
    };
    let opened = file.as_ref().map_err(Clone::clone).and_then(|bytes| trust.reopen(bytes, Source::Previous));
    let bundle = match opened {
        Ok(bundle) => bundle,
        Err(fault) => {
            let (epoch, sequence) = (fault.epoch, fault.sequence);
            return Taken { epoch, sequence, ..refused(fault.code, fault.detail) };
        }
    };
    // A root that raised the epoch took those of before out of use: a person does not bring them back either.
    if bundle.manifest.epoch < trust.root().epoch {
        return refused("rollback", "the one before is of an epoch that the root has left".into());
    }
    // Only an acceptance leaves one before it: what is left is what was accepted last.
    let state = TrustState { bundle: bundle.hash, previous: NONE, left: before.manifest, ..before };
    let (epoch, sequence) = (bundle.manifest.epoch, bundle.manifest.sequence);
    let taken =
        match kernel.in_force().map_err(refused_by_kernel).and_then(|_| flip(trust, kernel, &bundle, &state))
        {
            Ok(detail) => Taken { answer: Answer::Accepted, ..refused("rolled-back", detail) },
            Err((code, detail)) => refused(code, detail),
        };
    Taken { epoch, sequence, ..taken }
}

fn refused_by_storage(error: io::Error) -> Refused {
    ("storage", format!("{DATA}: {error}"))
}

fn refused_by_kernel(error: KernelError) -> Refused {
    (error.code(), error.to_string())
}
