//! `aegis policy`: one bundle from bytes to force, or a refusal with its reason. Every answer is an event.

use std::path::Path;

use aegis_bundle::{Answer, Root, open};
use aegis_event::Body;
use serde_json::json;

use super::in_force;
use crate::kernel;
use crate::limits;
use crate::outcome::{Failure, Outcome, say};
use crate::storage::device::{Identity, hex};
use crate::storage::{DATA, atomic, trust};

/// What became of a bundle that was offered.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) answer: Answer,
    /// Reason code.
    pub(crate) code: &'static str,
    /// SHA-256 of the file; none when it could not be read.
    pub(crate) hash: Option<[u8; 32]>,
    /// Of the bundle; 0 when they were not known.
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    /// For a person.
    pub(crate) detail: String,
}

impl Taken {
    /// A refusal of something that is no bundle, or whose epoch and sequence are not known.
    pub(crate) fn refused(code: &'static str, hash: Option<[u8; 32]>, detail: impl Into<String>) -> Self {
        Self { answer: Answer::Refused, code, hash, epoch: 0, sequence: 0, detail: detail.into() }
    }

    /// Tells the agent, by way of the kernel ring buffer.
    pub(crate) fn report(&self, origin: &str) {
        let detail =
            if self.detail.is_empty() { origin.to_owned() } else { format!("{origin}: {}", self.detail) };
        let body = Body::Policy {
            code: self.code,
            epoch: self.epoch,
            sequence: self.sequence,
            hash: &self.hash.unwrap_or_default(),
            detail: cut(&detail, aegis_event::limits::DETAIL_BYTES),
        };
        in_force::note(body);
    }
}

/// The longest front of `text` that has at most `limit` bytes.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// `aegis policy apply FILE`.
pub(crate) fn apply(file: &Path) -> Outcome {
    let identity =
        Identity::open_or_create().map_err(|error| Failure::error(format!("device key: {error}")))?;
    let root = trust::root()?;
    let bytes = read(file)?;
    let taken = take(&bytes, &file.display().to_string(), &root, &identity)?;
    say(&summary(&taken, file))?;
    match taken.answer {
        Answer::Refused => Err(Failure::refused(format!("{}: refused: {}", file.display(), taken.code))),
        _ => Ok(()),
    }
}

/// `aegis policy verify FILE`: the same decision, and nothing changes.
pub(crate) fn verify(file: &Path, as_json: bool) -> Outcome {
    // A device that has no key yet is not given one by being asked.
    let identity = Identity::open().map_err(|error| Failure::error(format!("device key: {error}")))?;
    let root = trust::root()?;
    let before = trust::remembered().map_err(|error| Failure::error(format!("{DATA}: {error}")))?;
    let bytes = read(file)?;
    let device = identity.map(|identity| identity.id());
    let result = open(&bytes, &trust::context(&root, device, before.state));
    let (accepted, code, detail) = match &result {
        Ok(bundle) => (true, bundle.code(), String::new()),
        Err(refusal) => (false, refusal.code(), refusal.to_string()),
    };
    say(&if as_json {
        json!({ "accepted": accepted, "code": code, "detail": detail }).to_string()
    } else {
        format!("{}: {code}", file.display())
    })?;
    if accepted { Ok(()) } else { Err(Failure::refused(format!("{}: refused: {detail}", file.display()))) }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    atomic::read_bounded(file, limits::BUNDLE_BYTES)
        .map_err(|error| Failure::error(format!("{}: {error}", file.display())))
}

fn summary(taken: &Taken, file: &Path) -> String {
    format!(
        "{}: {} epoch {} sequence {} sha256 {}",
        file.display(),
        taken.code,
        taken.epoch,
        taken.sequence,
        hex(&taken.hash.unwrap_or_default())
    )
}

/// Decides about a bundle and, when it is let in, puts it in force. Whatever fails leaves the running policy in force.
pub(crate) fn take(bytes: &[u8], origin: &str, root: &Root, identity: &Identity) -> Result<Taken, Failure> {
    let storage = |error| Failure::error(format!("{DATA}: {error}"));
    let _one = trust::lock().map_err(storage)?;
    let before = trust::remembered().map_err(storage)?;
    let hash = Some(aegis_bundle::hash(bytes));
    let taken = match open(bytes, &trust::context(root, identity.id(), before.state)) {
        Err(refusal) => Taken {
            epoch: refusal.epoch,
            sequence: refusal.sequence,
            ..Taken::refused(refusal.code(), hash, "")
        },
        Ok(bundle) => {
            let (epoch, sequence) = (bundle.manifest.epoch, bundle.manifest.sequence);
            let taken = if bundle.unchanged && is_in_force(&before) {
                Taken { answer: Answer::Unchanged, ..Taken::refused(bundle.code(), hash, "") }
            } else {
                match put_in_force(bytes, &before, root, identity) {
                    Ok(detail) => {
                        Taken { answer: Answer::Accepted, ..Taken::refused("accepted", hash, detail) }
                    }
                    Err((code, detail)) => Taken::refused(code, hash, detail),
                }
            };
            Taken { epoch, sequence, ..taken }
        }
    };
    taken.report(origin);
    Ok(taken)
}

/// What is remembered is what the kernel decides by, and is there for the next boot: not so after a slot was lost.
fn is_in_force(before: &trust::Remembered) -> bool {
    before.bundle().is_some()
        && kernel::KernelState::open().is_ok_and(|state| state.policy().hash == before.state.bundle)
}

/// Own copy, kernel, proof, commit. On failure: a reason code, and the detail.
fn put_in_force(
    bytes: &[u8],
    before: &trust::Remembered,
    root: &Root,
    identity: &Identity,
) -> Result<String, (&'static str, String)> {
    let storage = |error: std::io::Error| ("storage", format!("{DATA}: {error}"));
    // What goes into the kernel is the copy that will be there after a power cut, verified as such.
    let kept = before.keep(bytes).map_err(storage)?;
    let bundle = open(&kept, &trust::context(root, identity.id(), before.state))
        .map_err(|refusal| ("storage", format!("own copy: {}", refusal.code())))?;
    // A bundle that was lost and is offered again is remembered by the file it now is.
    let state = aegis_bundle::TrustState {
        generation: before.state.generation.saturating_add(1),
        bundle: bundle.hash,
        ..bundle.state
    };
    let commit = before.prepare(&state).map_err(storage)?;
    let detail = in_force::enforce(&bundle).map_err(|error| (error.code(), error.to_string()))?;
    if let Err(error) = commit.publish() {
        // The next boot would have the old policy: so shall this one.
        if let Err(failure) = in_force::put_last_good(identity) {
            log::error!("policy: the old one could not be put back: {failure}");
        }
        // Unless the new name is there and only its flush failed: then what is remembered is the new one.
        let renamed =
            trust::remembered().is_ok_and(|now| now.state.bundle == bundle.hash && is_in_force(&now));
        if !renamed {
            return Err(storage(error));
        }
        log::error!("policy: in force, but not sure to outlive a power cut: {DATA}: {error}");
    }
    Ok(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_details_are_cut_between_characters() {
        assert_eq!(cut("abc", 5), "abc");
        assert_eq!(cut("aéé", 4), "aé");
    }
}
