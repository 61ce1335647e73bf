//! Images of the system: the manifest that is signed, and the decision whether one is let in.
//!
//! An image carries one root file system and two kernel images, of which a device takes the one that is made for the slot
//! it writes: each names its own slot's partition and the root's hash on its command line, which its signature covers.
//! The contents are some 60 MiB and never in memory: whoever lets an image in holds them against the listed hashes as
//! they are read, and once more where they were written.

use aegis_cose::Domain;
use minicbor::Encoder;
use minicbor::encode::Write;

use crate::cbor::{Canonical, Reader, Written};
use crate::container::{Container, split_front};
use crate::image_state::{ImageState, Trial};
use crate::limits::{COMMENT_BYTES, IMAGE_BLOCK_BYTES, IMAGE_BOOT_BYTES, IMAGE_ROOT_BYTES};
use crate::manifest::{Content, Head, Version, contents, is_comment, strictly, write_contents};
use crate::open::{hash, verify};
use crate::refusal::{Reason, Refusal};
use crate::root::Root;
use crate::selectors::{Asked, Selectors};

/// Names of the kernel images among the contents, by slot.
pub const BOOT: [&str; 2] = ["boot-a", "boot-b"];
/// Name of the root file system with its tree of hashes.
pub const ROOT: &str = "root";

/// Keys of the map (`image-manifest` in `docs/formats/bundle.cddl`).
mod key {
    // 1 to 5: `manifest::Head`.
    pub(super) const SELECTORS: u8 = 6;
    pub(super) const CONTENTS: u8 = 7;
    pub(super) const COMMENT: u8 = 8;
}

/// What an image says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageManifest<'a> {
    /// That of the root metadata it is made for.
    pub epoch: u64,
    /// Counts up from 1 within an epoch.
    pub sequence: u64,
    /// When it was made, Unix seconds.
    pub created: u64,
    /// The devices it is for.
    pub selectors: Selectors<'a>,
    /// The kernel images, files [`BOOT`].
    pub boot: [Content; 2],
    /// The root file system with its tree of hashes, file [`ROOT`].
    pub root: Content,
    /// For people.
    pub comment: &'a str,
}

impl<'a> ImageManifest<'a> {
    /// Reads the one manifest that `bytes` is. Strict: what would not be written is not read.
    ///
    /// # Errors
    /// The reasons that a manifest alone can give.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Reason> {
        strictly(bytes, read, Self::is_possible)
    }

    /// Writes the manifest to the front of `out` and returns how many bytes it took; `None` when there is no room, or
    /// it would not be read again.
    #[cfg(feature = "build")]
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let length = self.write_to(out)?;
        ImageManifest::decode(&out[..length]).is_ok().then_some(length)
    }

    /// Epoch and sequence.
    pub const fn rank(&self) -> (u64, u64) {
        (self.epoch, self.sequence)
    }

    /// The files, in the order in which they are in the contents.
    pub const fn files(&self) -> [(&'static str, Content); 3] {
        [(BOOT[0], self.boot[0]), (BOOT[1], self.boot[1]), (ROOT, self.root)]
    }

    /// What the types leave open.
    fn is_possible(&self) -> bool {
        // A first sector is what makes a kernel image one: there is more to it.
        let boot = self.boot.iter().all(|file| (4096..=IMAGE_BOOT_BYTES).contains(&file.length));
        let root = (IMAGE_BLOCK_BYTES..=IMAGE_ROOT_BYTES).contains(&self.root.length)
            && self.root.length.is_multiple_of(IMAGE_BLOCK_BYTES);
        self.selectors.is_possible() && boot && root && self.head().is_possible() && is_comment(self.comment)
    }

    const fn head(&self) -> Head {
        Head { epoch: self.epoch, sequence: self.sequence, created: self.created }
    }
}

fn read<'a>(input: &mut Reader<'a>) -> Result<ImageManifest<'a>, Reason> {
    input.map(8)?;
    let Head { epoch, sequence, created } = Head::read(input)?;
    input.key(key::SELECTORS)?;
    let selectors = Selectors::read(input)?;
    input.key(key::CONTENTS)?;
    let [a, b, root] = contents(input, [BOOT[0], BOOT[1], ROOT])?;
    input.key(key::COMMENT)?;
    let comment = input.str(COMMENT_BYTES)?;
    Ok(ImageManifest { epoch, sequence, created, selectors, boot: [a, b], root, comment })
}

impl Canonical for ImageManifest<'_> {
    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        out.map(8)?;
        self.head().write(out)?;
        out.u8(key::SELECTORS)?;
        self.selectors.write(out)?;
        out.u8(key::CONTENTS)?;
        write_contents(out, &self.files())?;
        out.u8(key::COMMENT)?.str(self.comment)?;
        Ok(())
    }
}

/// Who asks, and what it knows. A device gives all of it; the office may leave out who it would be asking for, and then
/// that selector is not looked at.
#[derive(Clone, Copy, Debug)]
pub struct ImageContext<'a> {
    /// Who may sign.
    pub root: &'a Root,
    /// The device's id.
    pub device: Option<[u8; 16]>,
    /// The device's architecture, as Rust names it.
    pub architecture: Option<&'a str>,
    /// The agent's version.
    pub agent: Option<Version>,
    /// The groups that the device is in.
    pub groups: Option<&'a [&'a str]>,
    /// What is remembered of images.
    pub state: ImageState,
    /// Epoch and sequence of the image that runs, as its signed command line says; `None` when that is not known.
    pub running: Option<(u64, u64)>,
    /// A person insists: an image that is held back is tried once more.
    pub insist: bool,
}

/// An image that is let in, if its contents are what it lists.
#[derive(Clone, Debug)]
pub struct AcceptedImage<'a> {
    /// What it says of itself.
    pub manifest: ImageManifest<'a>,
    /// SHA-256 of the manifest: what order and revocation go by.
    pub manifest_hash: [u8; 32],
    /// It is the one that runs, or that is written and waits for a start: nothing changes.
    pub unchanged: bool,
    /// Where in the file the contents begin.
    pub contents_at: u64,
}

/// Opens an image that is offered, by its front: decides whether it is let in. `front` must be the caller's own copy, of
/// [`limits::FRONT_BYTES`](crate::limits::FRONT_BYTES) or of all of a shorter file; `length` is the file's.
///
/// # Errors
/// A [`Refusal`] says why not. Bounds come before signatures, signatures before meaning. The contents are not looked at:
/// that is for the caller, who has them ([`Reason::ContentHash`]).
pub fn open_image<'a>(
    front: &'a [u8],
    length: u64,
    context: &ImageContext<'_>,
) -> Result<AcceptedImage<'a>, Refusal> {
    let root = context.root;
    let sections = split_front(Container::Image, front, length)?;
    let role = root.image.as_ref().ok_or(Reason::NoRole)?;
    verify(Domain::Image, sections.manifest, sections.signatures, role, root)?;
    let manifest = ImageManifest::decode(sections.manifest)?;
    let (epoch, sequence) = manifest.rank();
    let refuse = |reason| Refusal { reason, epoch, sequence };
    // Each is bounded: no overflow.
    if manifest.files().iter().map(|(_, file)| file.length).sum::<u64>() != sections.contents_length {
        return Err(refuse(Reason::ContentLength));
    }
    let manifest_hash = hash(sections.manifest);
    if root.revoked.contains(&manifest_hash) {
        return Err(refuse(Reason::Revoked));
    }
    let ImageContext { device, architecture, agent, groups, .. } = *context;
    manifest.selectors.check(&Asked { device, architecture, agent, groups }).map_err(refuse)?;
    let unchanged = check_order(&manifest, &manifest_hash, context).map_err(refuse)?;
    Ok(AcceptedImage { manifest, manifest_hash, unchanged, contents_at: sections.contents_at })
}

/// True when nothing would change.
fn check_order(
    manifest: &ImageManifest<'_>,
    hash: &[u8; 32],
    context: &ImageContext<'_>,
) -> Result<bool, Reason> {
    let ImageContext { state, running, .. } = context;
    let offered = manifest.rank();
    if manifest.epoch > context.root.epoch {
        return Err(Reason::EpochAhead);
    }
    // What runs counts as accepted, also where nothing is remembered of it: it came with the device.
    let have = state.committed().max(running.unwrap_or_default());
    if manifest.epoch < context.root.epoch || offered < have {
        return Err(Reason::Rollback);
    }
    match state.trial {
        Trial::Written if offered < state.tried() => return Err(Reason::Rollback),
        Trial::Written if offered == state.tried() => {
            return if state.trial_manifest == *hash { Ok(true) } else { Err(Reason::ReplayMismatch) };
        }
        Trial::Failed if offered <= state.tried() && !context.insist => return Err(Reason::HeldBack),
        _ => {}
    }
    if offered == state.committed() && state.manifest != *hash {
        return Err(Reason::ReplayMismatch);
    }
    // One that was committed and does not run any more is written again: its slot went bad.
    Ok(*running == Some(offered) || (running.is_none() && offered == state.committed()))
}
