//! What the device trusts and remembers: the chain of root metadata, the trust state, the bundles that it names.
//!
//! A bundle is first kept whole in a slot that the trust state does not name, then counted as tried, then put in force,
//! then named by a new trust state: that write is the commit. Root metadata counts from the moment that it is kept.
//! Power may fail between any two of these; the next boot decides by what the trust state names and the chain lets in.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use aegis_bundle::{
    Accepted, Bundle, ImageState, Reason, Refusal, Root, RootError, TrustState, Workload, limits as bounds,
};

use super::copies::{Commit, Copies};
use super::disk::{Data, Disk};
use super::facts::Facts;
use super::roots::{self, Chain};
use super::slots::Slots;
use super::{DATA, IMAGE, atomic, disk, lock, slots};
use crate::limits;
use crate::outcome::Failure;

/// The trust anchor, in the verified root file system.
const ANCHOR: &str = "root.cbor";
/// The policy of a device that was given none, beside it.
const BASELINE: &str = "baseline.aegis";
/// No bundle, no manifest.
pub(crate) const NONE: [u8; 32] = [0; 32];
/// The code of a bundle that is not there any more, or not what it was.
pub(crate) const LOST: &str = "policy-lost";
/// The code of a bundle that the root in force takes out of force.
pub(crate) const REVOKED: &str = "policy-revoked";
/// The code of a chain of root metadata that ends before the version that was accepted once. What later versions revoked
/// is not known then: nothing new is taken before a stick brings the chain again.
pub(crate) const ROOT_LOST: &str = "root-lost";

/// The code of a trust state that is an older copy, or not this device's: what was accepted since is not known, so nothing is taken
/// before a break-glass token, which is for this boot and no other.
pub(crate) const ROLLED_BACK: &str = "trust-rolled-back";

/// One decision at a time: held from what is remembered to what will be. Ends when dropped.
pub(crate) fn lock() -> io::Result<File> {
    lock::wait_for("policy.lock")
}

/// Generation of the books of workloads that were counted last; `None` where nobody vouches for it, 0 where none were.
///
/// # Errors
/// Own storage's.
pub(crate) fn counted_workloads(disk: &impl Disk) -> io::Result<Option<u64>> {
    let copies = Copies::read(disk)?;
    Ok(copies.vouched.then_some(copies.state.workloads))
}

/// Counts them.
///
/// # Errors
/// Own storage's.
pub(crate) fn count_workloads(disk: &impl Disk, generation: u64) -> io::Result<()> {
    Copies::count_workloads(disk, generation)
}

/// Directories that the trust state's files are in, besides its own.
pub(crate) fn directories() -> Vec<&'static str> {
    [roots::DIRECTORY].into_iter().chain(slots::SLOTS).collect()
}

/// What the device trusts and remembers. Who changes it holds [`lock`].
pub(crate) struct Trust<D = Data> {
    disk: D,
    /// Where the anchor and the baseline are.
    image: PathBuf,
    anchor: Vec<u8>,
    chain: Chain,
    copies: Copies,
    slots: Slots,
}

/// Where a policy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The bundle that was put in force last.
    Bundle,
    /// The one before it.
    Previous,
    /// The image.
    Baseline,
}

impl Source {
    /// The word in JSON and for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Previous => "previous",
            Self::Baseline => "baseline",
        }
    }
}

/// The policy that is to be in force.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) source: Source,
    /// The bundle file; it opens.
    pub(crate) bytes: Vec<u8>,
    /// What should have been in its place, and why it is not.
    pub(crate) faults: Vec<Fault>,
}

/// A bundle that does not count any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// [`LOST`] or [`REVOKED`].
    pub(crate) code: &'static str,
    /// What it was.
    pub(crate) source: Source,
    /// SHA-256 of its file.
    pub(crate) hash: [u8; 32],
    /// As far as they are known.
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    /// Why.
    pub(crate) detail: String,
}

/// What became of a bundle that was accepted before.
enum Kept {
    Good(Vec<u8>),
    /// The root in force takes it out of force.
    Revoked(Fault),
    /// It is not there, or not what it was.
    Lost(Fault),
}

impl Trust {
    /// Reads everything, and trusts nothing of it that the image's anchor does not vouch for.
    ///
    /// # Errors
    /// An image that is not sound; own storage that can't be read.
    pub(crate) fn open() -> Result<Self, Failure> {
        Self::open_on(Data::own(), Path::new(IMAGE))
    }
}

impl<D: Disk> Trust<D> {
    /// As [`Trust::open`], of another disk and another image.
    pub(crate) fn open_on(disk: D, image: &Path) -> Result<Self, Failure> {
        let path = image.join(ANCHOR);
        let failed = |what: String| Failure::error(format!("{}: {what}", path.display()));
        let anchor = atomic::read_bounded(&path, bounds::ROOT_BYTES as u64)
            .map_err(|error| failed(error.to_string()))?;
        let chain = Chain::walk(&disk, &anchor)
            .map_err(|error| failed(format!("{} (the image is not sound)", error.code())))?;
        let copies = Copies::read(&disk).map_err(|error| Failure::error(format!("{DATA}: {error}")))?;
        Ok(Self { disk, image: image.to_owned(), anchor, chain, copies, slots: Slots::default() })
    }

    /// The root metadata in force.
    pub(crate) fn root(&self) -> &Root {
        self.chain.newest()
    }

    /// Version of the image's root metadata.
    pub(crate) fn anchor_version(&self) -> u64 {
        self.chain.anchor().version
    }

    /// What is remembered.
    pub(crate) fn state(&self) -> &TrustState {
        &self.copies.state
    }

    /// There were copies of the trust state, and none was good: this is a new device's.
    pub(crate) fn is_damaged(&self) -> bool {
        self.copies.damaged
    }

    /// Why the chain of root metadata ends before the version that was accepted once; `None` when it does not.
    pub(crate) fn root_lost(&self) -> Option<String> {
        let (found, known) = (self.root().version, self.state().root_version);
        (found < known).then(|| {
            let why = self.chain.end().unwrap_or("the next one is not there");
            format!("root metadata ends at version {found}, version {known} was accepted: {why}")
        })
    }

    /// Why nothing new is taken, and nothing older; `None` when it is. With its code.
    pub(crate) fn holds(&self) -> Option<(&'static str, String)> {
        let held = || {
            let why = "the trust state is an older copy, or not this device's (see `aegis storage status`)";
            self.disk.is_held().then(|| (ROLLED_BACK, why.to_owned()))
        };
        self.root_lost().map(|why| (ROOT_LOST, why)).or_else(held)
    }

    /// Decides whether an offered bundle is let in.
    ///
    /// # Errors
    /// See [`aegis_bundle::open`].
    pub(crate) fn offered<'a>(
        &self,
        bytes: &'a [u8],
        facts: &Facts,
        insist: bool,
    ) -> Result<Accepted<'a>, Refusal> {
        let groups: Vec<&str> = facts.groups.iter().map(String::as_str).collect();
        aegis_bundle::open(bytes, &facts.context(self.root(), &groups, self.state(), insist))
    }

    /// Opens a bundle that is kept, or the baseline's.
    ///
    /// # Errors
    /// See [`aegis_bundle::open_kept`].
    pub(crate) fn open_kept<'a>(&self, bytes: &'a [u8], source: Source) -> Result<Bundle<'a>, Refusal> {
        match source {
            // As trusted as the read-only root that it is in: whatever was revoked since, there is nothing behind it.
            Source::Baseline => aegis_bundle::open_kept(bytes, self.chain.anchor(), self.chain.anchor()),
            Source::Bundle | Source::Previous => self.chain.open_kept(bytes, aegis_bundle::hash(bytes)),
        }
    }

    /// Opens a workload that is kept, by its front.
    ///
    /// # Errors
    /// See [`aegis_bundle::open_kept_workload`].
    pub(crate) fn open_kept_workload<'a>(
        &self,
        front: &'a [u8],
        length: u64,
    ) -> Result<Workload<'a>, Refusal> {
        self.chain.open_kept_workload(front, length)
    }

    /// The kept bundle of this SHA-256, or the baseline.
    pub(crate) fn named(&self, hash: &[u8; 32]) -> Option<(Source, Vec<u8>)> {
        if let Some(bytes) = self.slots.find(&self.disk, hash) {
            let source = if *hash == self.state().bundle { Source::Bundle } else { Source::Previous };
            return Some((source, bytes));
        }
        let bytes = self.baseline().ok()?;
        (aegis_bundle::hash(&bytes) == *hash).then_some((Source::Baseline, bytes))
    }

    fn baseline(&self) -> Result<Vec<u8>, Failure> {
        let path = self.image.join(BASELINE);
        atomic::read_bounded(&path, limits::BUNDLE_BYTES)
            .map_err(|error| Failure::error(format!("{}: {error}", path.display())))
    }

    /// What became of the bundle in force, or of the one before it; `None` when there is none.
    fn kept(&self, source: Source) -> Option<Kept> {
        Some(match self.file(source)? {
            Err(lost) => Kept::Lost(lost),
            Ok(bytes) => match self.reopen(&bytes, source).err() {
                None => Kept::Good(bytes),
                Some(fault) if fault.code == REVOKED => Kept::Revoked(fault),
                Some(fault) => Kept::Lost(fault),
            },
        })
    }

    /// The file of the bundle in force, or of the one before it, by its SHA-256; `None` when there is none.
    ///
    /// # Errors
    /// It is [`LOST`].
    pub(crate) fn file(&self, source: Source) -> Option<Result<Vec<u8>, Fault>> {
        let hash = self.hash_of(source);
        let lost = || Fault { code: LOST, ..self.fault(source, "it is in no slot") };
        (hash != NONE).then(|| self.slots.find(&self.disk, &hash).ok_or_else(lost))
    }

    /// Opens what [`Trust::file`] found.
    ///
    /// # Errors
    /// Why it does not count any more.
    pub(crate) fn reopen<'a>(&self, bytes: &'a [u8], source: Source) -> Result<Bundle<'a>, Fault> {
        self.chain.open_kept(bytes, self.hash_of(source)).map_err(|refusal| {
            let revoked = matches!(refusal.reason, Reason::Revoked | Reason::RevokedKey);
            let code = if revoked { REVOKED } else { LOST };
            claimed(bytes, Fault { code, ..self.fault(source, refusal.code()) })
        })
    }

    fn hash_of(&self, source: Source) -> [u8; 32] {
        match source {
            Source::Bundle => self.state().bundle,
            Source::Previous => self.state().previous,
            Source::Baseline => NONE,
        }
    }

    fn fault(&self, source: Source, detail: &str) -> Fault {
        let hash = self.hash_of(source);
        Fault { code: LOST, source, hash, epoch: 0, sequence: 0, detail: detail.into() }
    }

    /// The policy that is to be in force: of the bundle that the trust state names, else of the one before it, else the
    /// baseline.
    ///
    /// # Errors
    /// A baseline that does not open: the image is not sound.
    pub(crate) fn standing(&self) -> Result<Standing, Failure> {
        let mut faults = Vec::new();
        for source in [Source::Bundle, Source::Previous] {
            match self.kept(source) {
                Some(Kept::Good(bytes)) => return Ok(Standing { source, bytes, faults }),
                Some(Kept::Revoked(fault) | Kept::Lost(fault)) => faults.push(fault),
                // The one before it counts in place of a bundle only.
                None => break,
            }
        }
        let bytes = self.baseline()?;
        self.open_kept(&bytes, Source::Baseline).map_err(|refusal| {
            let path = self.image.join(BASELINE);
            Failure::error(format!("{}: {} (the image is not sound)", path.display(), refusal.code()))
        })?;
        Ok(Standing { source: Source::Baseline, bytes, faults })
    }

    /// Brings the trust state up to the chain: its version, and no bundle that it revokes. Returns what was unseated.
    ///
    /// # Errors
    /// Own storage's; what is in force by [`Trust::standing`] does not depend on it.
    pub(crate) fn settle(&mut self) -> io::Result<Vec<Fault>> {
        // Damage is said at every start until a bundle is accepted.
        if self.is_damaged() {
            return Ok(Vec::new());
        }
        let before = *self.state();
        let mut state = before;
        // A new device has nothing to remember as long as all it trusts is its image's.
        if before.generation > 0 || self.root().version > self.anchor_version() {
            state.root_version = before.root_version.max(self.root().version);
        }
        let (bundle, previous) = (self.kept(Source::Bundle), self.kept(Source::Previous));
        let mut unseated = Vec::new();
        if let Some(Kept::Revoked(fault)) = bundle {
            let good = matches!(previous, Some(Kept::Good(_)));
            state.bundle = if good { before.previous } else { NONE };
            state.previous = NONE;
            unseated.push(fault);
        }
        if let Some(Kept::Revoked(fault)) = previous {
            state.previous = NONE;
            unseated.push(fault);
        }
        if state != before {
            let commit = self.prepare(&state)?;
            self.commit(commit)?;
        }
        Ok(unseated)
    }

    /// Keeps a copy of an offered bundle beside the one in force and the one before it; returns what was read back.
    pub(crate) fn keep(&self, bundle: &[u8]) -> io::Result<Vec<u8>> {
        self.slots.keep(&self.disk, bundle, [&self.state().bundle, &self.state().previous])
    }

    /// True when the bundle in force is still where it was kept.
    pub(crate) fn has_bundle(&self) -> bool {
        self.slots.find(&self.disk, &self.state().bundle).is_some()
    }

    /// Counts a trial of this bundle, durably, before it begins. Returns how many that makes.
    pub(crate) fn begin_trial(&mut self, bundle: &Bundle<'_>) -> io::Result<u8> {
        let (epoch, sequence) = (bundle.manifest.epoch, bundle.manifest.sequence);
        let state = self.state().trying(bundle.manifest_hash, epoch, sequence);
        let commit = self.prepare(&state)?;
        self.commit(commit)?;
        Ok(state.tries)
    }

    /// Writes the next trust state, durably, not yet in place: all that can run out of space is done here. Its generation
    /// is set here.
    pub(crate) fn prepare(&self, state: &TrustState) -> io::Result<Commit> {
        self.copies.prepare(&self.disk, state, false)
    }

    /// The commit. On an error, [`Trust::state`] says what is in place.
    pub(crate) fn commit(&mut self, commit: Commit) -> io::Result<()> {
        self.copies.publish(&self.disk, commit)
    }

    /// Leaves the trust state as it is.
    pub(crate) fn abandon(&self, commit: Commit) {
        commit.abandon(&self.disk);
    }

    /// Remembers the sequence of a break-glass token, durably, before it is heeded.
    ///
    /// # Errors
    /// `AlreadyExists` when it, or a higher one, was taken before; own storage's errors: it is not to be heeded then.
    pub(crate) fn take_token(&mut self, sequence: u64) -> io::Result<()> {
        if sequence <= self.state().token_sequence {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the token was taken before"));
        }
        // It is for this device and this boot: who signed it vouches for the device as it is.
        let state = TrustState { token_sequence: sequence, ..*self.state() };
        let commit = self.copies.prepare(&self.disk, &state, true)?;
        self.commit(commit)
    }

    /// Decides whether offered root metadata is the next of the chain.
    ///
    /// # Errors
    /// See [`Root::next`].
    pub(crate) fn next_root(&self, bytes: &[u8]) -> Result<Root, RootError> {
        self.chain.newest().next(bytes)
    }

    /// SHA-256 of the file of the root metadata in force.
    pub(crate) fn root_hash(&self) -> [u8; 32] {
        self.chain.hash()
    }

    /// True when no more root metadata can be taken on top of the image's.
    pub(crate) fn is_chain_full(&self) -> bool {
        self.chain.is_full()
    }

    /// Keeps root metadata that [`Trust::next_root`] let in, durably, and walks the chain again: it is in force then.
    pub(crate) fn keep_root(&mut self, bytes: &[u8]) -> io::Result<()> {
        let before = self.root().version;
        let kept = self.chain.keep(&self.disk, bytes);
        self.chain = Chain::walk(&self.disk, &self.anchor).map_err(|error| io::Error::other(error.code()))?;
        kept?;
        if self.root().version > before {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, self.chain.end().unwrap_or("not kept").to_owned()))
    }

    /// What is remembered of images of the system becomes this, durably. `time`: a signature vouched for it being that late.
    pub(crate) fn remember_image(&mut self, image: ImageState, time: u64) -> io::Result<()> {
        let before = *self.state();
        let state = TrustState { image, time: before.time.max(time), ..before };
        if state == before {
            return Ok(());
        }
        let commit = self.prepare(&state)?;
        self.commit(commit)
    }

    /// Removes what a power cut left half written, and root metadata that the image has overtaken. `two_images`: there is
    /// another image beside this one, which may need that metadata still, when it comes to run again.
    pub(crate) fn sweep(&self, two_images: bool) {
        disk::sweep(&self.disk, "");
        slots::sweep(&self.disk);
        if two_images {
            disk::sweep(&self.disk, roots::DIRECTORY);
        } else {
            self.chain.sweep(&self.disk);
        }
    }
}

/// The fault of a bundle whose file is the one that was accepted: with the epoch and sequence that it says.
fn claimed(bytes: &[u8], fault: Fault) -> Fault {
    let manifest =
        aegis_bundle::split(bytes).and_then(|sections| aegis_bundle::Manifest::decode(sections.manifest));
    match manifest {
        Ok(manifest) => Fault { epoch: manifest.epoch, sequence: manifest.sequence, ..fault },
        Err(_) => fault,
    }
}

/// SHA-256 of the manifest of a bundle file: what order and revocation go by; `None` when it is no bundle.
pub(crate) fn manifest_hash(bytes: &[u8]) -> Option<[u8; 32]> {
    aegis_bundle::split(bytes).ok().map(|sections| aegis_bundle::hash(sections.manifest))
}
