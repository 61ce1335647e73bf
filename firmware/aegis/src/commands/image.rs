//! `aegis image`: one image of the system from a file to the idle slot, or a refusal with its reason; and what becomes of it.
//! Every answer is an event.

mod settle;
mod status;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use aegis_bundle::limits::{FRONT_BYTES, IMAGE_BYTES};
use aegis_bundle::{
    AcceptedImage, Answer, ImageContext, ImageState, Reason, Refusal, Root, Trial, What, open_image,
};
use aegis_event::Body;
use sha2::{Digest, Sha256};

pub(crate) use settle::run as settle;
#[cfg(test)]
pub(super) use settle::settle as settle_slots;
pub(crate) use status::{Standing, json as status_json, run as status};

use super::in_force;
use super::taken::Taken;
use crate::image::device::Device;
use crate::image::medium::Medium;
use crate::image::slot::{Running, Slot};
use crate::image::write::{self, Contents};
use crate::outcome::{Failure, Outcome};
use crate::stick::mount;
use crate::storage::device::Identity;
use crate::storage::facts::{self, Facts};
use crate::storage::history::{self, Entry};
use crate::storage::trust::{self, Trust};
use crate::storage::{DATA, lock, tally};

/// The code of an image that is in the idle slot and waits for a start.
const WRITTEN: &str = "written";
/// The lock of the slots: one image at a time, and none while it is looked at what became of one.
const LOCK: &str = "image.lock";

/// What is remembered of images. A decision takes long: what is remembered is locked only where it changes.
pub(super) trait Memory {
    fn state(&self) -> Result<ImageState, Failure>;

    /// Durable when it returns. `time`: a signature vouched for it being that late.
    fn remember(&mut self, state: ImageState, time: u64) -> io::Result<()>;
}

/// The trust state of this device.
struct Own;

impl Memory for Own {
    fn state(&self) -> Result<ImageState, Failure> {
        Ok(Trust::open()?.state().image)
    }

    fn remember(&mut self, state: ImageState, time: u64) -> io::Result<()> {
        let _one = trust::lock()?;
        let mut trust = Trust::open().map_err(|failure| io::Error::other(failure.to_string()))?;
        trust.remember_image(state, time)
    }
}

/// A file that may be an image: its front, which is our own copy, and where the rest is.
pub(crate) struct Offer<C> {
    pub(super) front: Vec<u8>,
    pub(super) length: u64,
    pub(super) contents: C,
    /// A person insists.
    pub(super) insist: bool,
}

impl Contents for File {
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(bytes, at)
    }
}

impl Offer<File> {
    /// A file that a person names, who insists.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::error(format!("{}: {error}", path.display()));
        let file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Failure::error(format!("{}: not a regular file", path.display())));
        }
        Self::of(file, true).map_err(failed)
    }

    /// Reads the front of a regular file.
    pub(crate) fn of(file: File, insist: bool) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let mut front = vec![0; length.min(FRONT_BYTES as u64) as usize];
        file.read_exact_at(&mut front, 0)?;
        Ok(Self { front, length, contents: file, insist })
    }
}

/// `aegis image take FILE`: a person insists, an image that is held back is tried once more.
pub(crate) fn apply(path: &Path) -> Outcome {
    let offer = Offer::open(path)?;
    let identity =
        Identity::open_or_create().map_err(|error| Failure::error(format!("device key: {error}")))?;
    mount::private_namespace().map_err(|error| Failure::error(format!("mount namespace: {error}")))?;
    let origin = path.display().to_string();
    let taken = take(&offer, &origin, &identity)?;
    taken.tell(&origin)
}

/// The ESP and the slots, in a mount namespace of this process's own.
fn device() -> Result<Device, Failure> {
    mount::private_namespace().map_err(|error| Failure::error(format!("mount namespace: {error}")))?;
    Device::open().map_err(|error| unreadable(&error))
}

/// The ESP failed.
fn unreadable(error: &io::Error) -> Failure {
    Failure::error(format!("the ESP: {error}"))
}

/// What is said of an offer by its front alone: which one it is, and whether it would change anything.
///
/// # Errors
/// Own storage's; an image that is not sound.
pub(crate) fn judge(
    offer: &Offer<File>,
    identity: &Identity,
) -> Result<Result<(u64, u64), Refusal>, Failure> {
    let trust = Trust::open()?;
    let facts = Facts::of(identity);
    let (root, state) = (trust.root(), trust.state().image);
    Ok(open(offer, root, &facts, state, Running::now()).map(|accepted| accepted.manifest.rank()))
}

/// Decides about an offer and, when it is let in, writes it to the idle slot. Call it in a mount namespace of this process's
/// own. Whatever fails leaves the slot that runs as it is.
///
/// # Errors
/// Own storage's; an image that is not sound.
pub(crate) fn take(offer: &Offer<File>, origin: &str, identity: &Identity) -> Result<Taken, Failure> {
    let _one = lock::wait_for(LOCK).map_err(|error| Failure::error(format!("{LOCK}: {error}")))?;
    let trust = Trust::open()?;
    let facts = Facts::of(identity);
    let decided = match trust.holds() {
        Some((code, why)) => Decided { taken: refused(code, why), manifest: [0; 32] },
        None => decide(offer, trust.root(), &facts, Running::now(), &mut Own, Device::open)?,
    };
    decided.report(origin);
    Ok(decided.taken)
}

/// What became of an offer.
pub(super) struct Decided {
    pub(super) taken: Taken,
    /// SHA-256 of its manifest; zeros when no signature vouched for that.
    manifest: [u8; 32],
}

impl Decided {
    fn report(&self, origin: &str) {
        let Taken { code, epoch, sequence, detail, hash, .. } = &self.taken;
        let text = if detail.is_empty() { origin.to_owned() } else { format!("{origin}: {detail}") };
        log::info!("image: {code}: epoch {epoch} sequence {sequence}: {text}");
        note(code, (*epoch, *sequence), &self.manifest, &text);
        tally::offered(What::Image, self.taken.answer, code);
        history::note(Entry::now(What::Image, code, (*epoch, *sequence), hash.as_ref(), origin));
    }
}

/// An event.
fn note(code: &str, (epoch, sequence): (u64, u64), hash: &[u8; 32], detail: &str) {
    let detail = &detail[..detail.floor_char_boundary(aegis_event::limits::DETAIL_BYTES)];
    in_force::note(Body::Image { code, epoch, sequence, hash, detail });
}

fn refused(code: &'static str, detail: impl Into<String>) -> Taken {
    Taken::refused(What::Image, code, None, detail)
}

fn open<'o, C>(
    offer: &'o Offer<C>,
    root: &Root,
    facts: &Facts,
    state: ImageState,
    running: Running,
) -> Result<AcceptedImage<'o>, Refusal> {
    let groups: Vec<&str> = facts.groups.iter().map(String::as_str).collect();
    let context = ImageContext {
        root,
        device: facts.device,
        architecture: Some(std::env::consts::ARCH),
        agent: Some(facts::version()),
        groups: Some(&groups),
        state,
        running: running.image,
        insist: offer.insist,
    };
    open_image(&offer.front, offer.length, &context)
}

/// The decision, without a word about it.
pub(super) fn decide<M: Medium>(
    offer: &Offer<impl Contents>,
    root: &Root,
    facts: &Facts,
    running: Running,
    memory: &mut impl Memory,
    medium: impl FnOnce() -> io::Result<M>,
) -> Result<Decided, Failure> {
    let before = memory.state()?;
    let accepted = match open(offer, root, facts, before, running) {
        Ok(accepted) => accepted,
        Err(Refusal { reason, epoch, sequence }) => {
            let taken = Taken { epoch, sequence, ..refused(reason.code(), reason.to_string()) };
            return Ok(Decided { taken, manifest: [0; 32] });
        }
    };
    let (epoch, sequence) = accepted.manifest.rank();
    let with =
        |taken| Decided { taken: Taken { epoch, sequence, ..taken }, manifest: accepted.manifest_hash };
    if accepted.unchanged {
        let detail =
            if running.image == Some((epoch, sequence)) { "it runs" } else { "it waits for a start" };
        let taken = Taken { answer: Answer::Unchanged, ..refused("unchanged", detail) };
        return Ok(with(taken));
    }
    Ok(with(match put(offer, &accepted, running, before, memory, medium) {
        Ok((hash, detail)) => {
            Taken { answer: Answer::Accepted, hash: Some(hash), ..refused(WRITTEN, detail) }
        }
        Err((code, detail)) => refused(code, detail),
    }))
}

/// Contents held against what was signed, then the idle slot. Returns the SHA-256 of the file.
fn put<M: Medium>(
    offer: &Offer<impl Contents>,
    accepted: &AcceptedImage<'_>,
    running: Running,
    before: ImageState,
    memory: &mut impl Memory,
    medium: impl FnOnce() -> io::Result<M>,
) -> Result<([u8; 32], String), (&'static str, String)> {
    let Some(slot) = running.slot.map(Slot::other) else {
        return Err(("no-slots", "no loader started this kernel: there is no idle slot to write to".into()));
    };
    // The other slot is what there is to fall back to.
    if is_on_trial(&before, running) {
        return Err(("on-trial", "the image that runs was not seen healthy yet".into()));
    }
    let manifest = &accepted.manifest;
    let mut sum = Sha256::new();
    sum.update(&offer.front[..accepted.contents_at as usize]);
    match write::verify(manifest, &offer.contents, accepted.contents_at, |bytes| sum.update(bytes)) {
        Ok(true) => {}
        Ok(false) => return Err((Reason::ContentHash.code(), Reason::ContentHash.to_string())),
        Err(error) => return Err(("unreadable", error.to_string())),
    }
    let storage = |error: io::Error| ("storage", format!("{DATA}: {error}"));
    let esp = |error: io::Error| ("storage", format!("the ESP: {error}"));
    let medium = medium().map_err(esp)?;
    // The idle slot is empty before it is remembered that one is being written: what is found there after a cut is that one.
    if before.trial == Trial::Written {
        memory.remember(before.without_trial(), 0).map_err(storage)?;
    }
    write::clear(&medium, slot).map_err(esp)?;
    let begun = before.with_trial(Trial::Writing, manifest.rank(), accepted.manifest_hash);
    memory.remember(begun, 0).map_err(storage)?;
    let written = write::write(&medium, slot, manifest, &offer.contents, accepted.contents_at);
    let written = written.map_err(|unwritten| {
        // Nothing of it is started: it has no first sector. What is there is in the way of the next.
        let _ = write::clear(&medium, slot);
        (unwritten.code(), unwritten.to_string())
    });
    if let Err(why) = written {
        // What failed its trial before is held back still; what waited there is gone.
        let after = if before.trial == Trial::Failed { before } else { before.without_trial() };
        if let Err(error) = memory.remember(after, 0) {
            log::error!("{DATA}: {error} (it will be taken for cut short)");
        }
        return Err(why);
    }
    let mut detail = format!("slot {slot}: it is tried at the next start");
    if let Err(error) = memory.remember(begun.at(Trial::Written), manifest.created) {
        // It is whole: the next start finds it so.
        log::error!("{DATA}: {error}");
        detail = format!("{detail}; {}: {error}", super::policy::UNSURE);
    }
    Ok((sum.finalize().into(), detail))
}

/// The image that runs was taken, and was not seen healthy yet.
fn is_on_trial(state: &ImageState, running: Running) -> bool {
    matches!(state.trial, Trial::Writing | Trial::Written) && running.image == Some(state.tried())
}

/// True when this can be an image: no longer than one, of a name that says so.
pub(crate) fn is_image(name: &[u8]) -> bool {
    const SUFFIX: &[u8] = b".aegis-image";
    name.len() > SUFFIX.len() && name.ends_with(SUFFIX) && !name.starts_with(b".")
}

/// Longest file that can be one, bytes.
pub(crate) const BYTES: u64 = IMAGE_BYTES;
