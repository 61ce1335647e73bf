//! Checkpoints against each other and against the events: is the chain of sealing keys whole, and does it vouch for what
//! the files hold?

use std::collections::{BTreeMap, VecDeque};

use aegis_export::seal::{Break, Certificate, Chain, Checkpoint};
use aegis_export::{Ending, Hash, Id, Manifest, Sealed, Segment};
use sha2::{Digest, Sha256};

use super::trees::Trees;
use super::{Checker, Pass};
use crate::export::books::BootKey;
use crate::export::limits;
use crate::export::problem::Code;
use crate::hex;

/// What is known of a ring's seals, over all its files.
#[derive(Debug, Default)]
pub(in crate::export) struct RingSeals {
    /// The last checkpoint, and where the chain goes on.
    pub(in crate::export) last: Option<Last>,
    pub(in crate::export) first_epoch: u64,
    /// Epochs whose checkpoints verified, each once.
    pub(in crate::export) epochs: u64,
    /// Merkle roots that were recomputed and compared.
    pub(in crate::export) roots: u64,
    /// The chain was followed from a certificate by the device's key.
    pub(in crate::export) from_certificate: bool,
    /// The beginnings of the hashes of the last checkpoints, one an epoch, the last one at the back: what a file that has
    /// them again is held against.
    hashes: VecDeque<[u8; 16]>,
    /// A certificate says that this ring is sealed.
    certified: bool,
    /// Another device that sealed it before, the last one that was named.
    pub(super) former: Option<Id>,
    /// The last file that goes on from what is known, if it has no checkpoint.
    bare: Option<Bare>,
    trees: Trees,
}

/// A file that goes on without a checkpoint.
#[derive(Debug)]
struct Bare {
    file: String,
    /// What it has instead.
    what: String,
    /// It ends before there had to be one: the stick was full, or only a part was asked for.
    part: bool,
}

impl RingSeals {
    /// A file said that another device sealed it before.
    pub(super) fn rekeyed(&self) -> bool {
        self.former.is_some()
    }

    /// No more files of this ring are to come: what was kept to hold them against is let go.
    pub(super) fn leave(&mut self) {
        (self.hashes, self.trees) = (VecDeque::new(), Trees::default());
    }

    /// Takes the next checkpoint in.
    fn push(&mut self, checkpoint: &Checkpoint, record: &[u8]) {
        let last = Last { checkpoint: *checkpoint, chain: Chain::behind(checkpoint, record) };
        let goes_on = self.last.is_some_and(|last| last.chain.next_epoch == checkpoint.epoch);
        if !goes_on {
            self.hashes.clear();
        }
        if self.epochs == 0 {
            self.first_epoch = checkpoint.epoch;
        }
        self.epochs += 1;
        self.last = Some(last);
        self.hashes.push_back(beginning(&last.chain.previous));
        if self.hashes.len() > limits::EPOCHS {
            self.hashes.pop_front();
        }
    }

    /// How long nothing was sealed when an export of all that the ring had was made, seconds; none when that is as promised.
    fn silence(&self, manifest: &Manifest<'_>) -> Option<u64> {
        let last = self.last?.checkpoint;
        let created = &manifest.created;
        let goes_on = manifest.requested_last == 0 && manifest.next > last.sequence;
        let since = if created.boot == last.boot { last.boottime } else { 0 };
        let seconds = created.boottime.saturating_sub(since) / 1_000_000_000;
        (goes_on && last.period > 0 && seconds > 2 * u64::from(last.period)).then_some(seconds)
    }

    /// Whether the checkpoint of an epoch that was taken in before is this one; none when that is not remembered.
    fn same(&self, epoch: u64, hash: &Hash) -> Option<bool> {
        let back = usize::try_from(self.last?.checkpoint.epoch.checked_sub(epoch)?).ok()?;
        let index = self.hashes.len().checked_sub(back + 1)?;
        Some(self.hashes[index] == beginning(hash))
    }
}

fn beginning(hash: &Hash) -> [u8; 16] {
    std::array::from_fn(|n| hash[n])
}

/// A checkpoint that verified.
#[derive(Clone, Copy, Debug)]
pub(in crate::export) struct Last {
    pub(in crate::export) checkpoint: Checkpoint,
    chain: Chain,
}

/// The seals of one file while it is read.
#[derive(Debug, Default)]
pub(super) struct FileSeals {
    /// What earlier files said of its ring.
    pub(super) ring: RingSeals,
    /// Certificates of the file: its first item, and others where a chain began anew.
    certificates: Vec<(Certificate, Vec<u8>)>,
    chain: Option<Chain>,
    /// What the manifest has to say.
    sealed: Option<Sealed>,
    /// Seconds in which nothing was sealed when the file was made, if that is too long.
    silence: Option<u64>,
    /// The boot of the last checkpoint, and the first events behind it that are of another one.
    boot: Option<Id>,
    stray: Option<(u64, Id)>,
    /// Sequence and head of a checkpoint that stands where no event of the file has said them: at its beginning, or in a hole.
    ahead: Option<(u64, Hash)>,
}

impl FileSeals {
    /// Of a file of a ring of which this is known.
    pub(super) fn of(ring: RingSeals) -> Self {
        Self { ring, ..Self::default() }
    }

    /// An event that [`Checker::seal_segment`] wants.
    pub(super) fn event(&mut self, head: &Hash) {
        self.ring.trees.event(head);
    }
}

impl Checker {
    /// Before the events of a segment: true when they are to be pushed into the trees.
    pub(super) fn seal_segment(&mut self, pass: &mut Pass<'_>, segment: &Segment<'_>) -> bool {
        if let Some((sequence, head)) = pass.seals.ahead.take() {
            let detail = if segment.first <= sequence {
                format!("a checkpoint before sequence {} seals {sequence}", segment.first)
            } else if segment.first == sequence + 1 && segment.previous != head {
                format!("the head after sequence {sequence} is not the one that was sealed")
            } else {
                String::new()
            };
            if !detail.is_empty() {
                self.findings.problem(Code::CheckpointMismatch, pass.name, pass.place.clone(), detail);
            }
        }
        if pass.seals.boot.is_some_and(|boot| boot != segment.boot) && pass.seals.stray.is_none() {
            pass.seals.stray = Some((segment.first, segment.boot));
        }
        pass.seals.ring.trees.begin(segment)
    }

    /// Boots do not come back: what stands between two checkpoints of one boot is of that boot.
    fn strays(&mut self, pass: &mut Pass<'_>, checkpoint: &Checkpoint) {
        let (before, stray) = (pass.seals.boot.replace(checkpoint.boot), pass.seals.stray.take());
        if let Some((sequence, boot)) = stray
            && before == Some(checkpoint.boot)
        {
            let detail = format!(
                "epoch {}: sequence {sequence} is said to be of boot {}, and stands between two checkpoints of boot {}",
                checkpoint.epoch,
                hex::encode(&boot),
                hex::encode(&checkpoint.boot)
            );
            self.findings.problem(Code::CheckpointMismatch, pass.name, pass.place.clone(), detail);
        }
    }

    pub(super) fn certificate(&mut self, pass: &mut Pass<'_>, certificate: &Certificate, bytes: &[u8]) {
        if certificate.ring != pass.survey.ring {
            let detail = format!("certificate for ring {}", hex::encode(&certificate.ring));
            return self.findings.problem(Code::WrongRing, pass.name, pass.place.clone(), detail);
        }
        pass.seals.ring.certified = true;
        // More than one only where chains began anew; a device that has more than these is in trouble anyway.
        if pass.seals.certificates.len() < limits::CERTIFICATES {
            pass.seals.certificates.push((*certificate, bytes.to_vec()));
        }
    }

    pub(super) fn checkpoint(&mut self, pass: &mut Pass<'_>, checkpoint: &Checkpoint, bytes: &[u8]) {
        if checkpoint.ring != pass.survey.ring {
            let detail = format!("checkpoint of ring {}", hex::encode(&checkpoint.ring));
            return self.findings.problem(Code::WrongRing, pass.name, pass.place.clone(), detail);
        }
        let hash: Hash = Sha256::digest(bytes).into();
        pass.seals.sealed = Some(Sealed {
            checkpoints: pass.seals.sealed.map_or(0, |sealed| sealed.checkpoints) + 1,
            epoch: checkpoint.epoch,
            hash,
            next_key: checkpoint.next_key,
        });
        self.follow(pass, checkpoint, bytes);
        self.position(pass, checkpoint);
        self.strays(pass, checkpoint);
        let ring = &mut pass.seals.ring;
        let before = ring.last;
        if before.is_none_or(|last| last.checkpoint.epoch < checkpoint.epoch) {
            ring.push(checkpoint, bytes);
            match ring.trees.take(checkpoint) {
                Ok(agreed) => ring.roots += agreed,
                Err(detail) => {
                    let detail = format!("epoch {}: {detail}", checkpoint.epoch);
                    self.findings.problem(Code::CheckpointMismatch, pass.name, pass.place.clone(), detail);
                }
            }
            if let Some(Last { checkpoint: before, .. }) = before
                && before.device == checkpoint.device
            {
                self.since(pass, &before, checkpoint);
            }
        } else if ring.same(checkpoint.epoch, &hash) == Some(false) {
            let detail = format!("two exports have different checkpoints for epoch {}", checkpoint.epoch);
            self.findings.problem(Code::HistoryDiffers, pass.name, pass.place.clone(), detail);
        } else if let Some(Last { checkpoint: before, .. }) = before
            && before.sequence < checkpoint.sequence
        {
            let detail = format!(
                "epoch {} stands behind epoch {}: another chain of keys seals the ring",
                checkpoint.epoch, before.epoch
            );
            self.findings.problem(Code::SealRestarted, pass.name, pass.place.clone(), detail);
        }
    }

    /// Is it the next one of its chain?
    fn follow(&mut self, pass: &mut Pass<'_>, checkpoint: &Checkpoint, bytes: &[u8]) {
        let epoch = checkpoint.epoch;
        let known = pass.seals.ring.last.map(|last| last.chain);
        // Within a file it follows the one before; the first one follows what earlier files ended with, if it goes on there.
        let before = pass.seals.chain.or(known.filter(|known| known.next_epoch <= epoch));
        let mut certificates = pass.seals.certificates.iter();
        let certificate = certificates
            .find(|(certificate, _)| (certificate.epoch, certificate.key) == (epoch, checkpoint.key));
        let begin = certificate.map(|(certificate, record)| {
            let follows = Chain::begin(certificate, record).follow(checkpoint, bytes).is_ok();
            (follows, certificate.previous.is_some())
        });
        let place = pass.place.clone();
        let found = before.map(|mut chain| match chain.follow(checkpoint, bytes) {
            // Epochs go on over a change of the device's key.
            Err(Break::Foreign) if epoch > chain.next_epoch => Err(Break::Missing { from: chain.next_epoch }),
            other => other,
        });
        if begin.is_some_and(|(follows, _)| follows) && pass.seals.ring.former.is_none() {
            pass.seals.ring.from_certificate = true;
        }
        let behind = Chain::behind(checkpoint, bytes);
        match (found, begin) {
            // By another key of the device: that was said.
            (Some(Ok(())), _)
            | (None, Some((true, false)))
            | (Some(Err(Break::Foreign)), Some((true, _))) => {}
            // What an earlier file has, byte for byte: what there was to say of it was said.
            (None, _) if pass.seals.ring.same(epoch, &behind.previous) == Some(true) => {}
            (Some(Err(Break::Key | Break::Previous)), Some((true, _))) | (None, Some((true, true))) => {
                let detail = format!(
                    "from epoch {epoch} on the ring is sealed by a new chain of keys: the device had lost its sealing \
                     state, or someone put another in its place"
                );
                self.findings.problem(Code::SealRestarted, pass.name, place, detail);
            }
            (Some(Err(Break::Missing { from })), _) => {
                let detail = match epoch - from {
                    1 => format!("the checkpoint of epoch {from} is missing"),
                    count => {
                        format!("the checkpoints of epochs {from} to {} are missing ({count})", epoch - 1)
                    }
                };
                self.findings.problem(Code::CheckpointMissing, pass.name, place, detail);
            }
            (Some(Err(why)), _) => {
                let detail = format!("checkpoint of epoch {epoch}: {why}");
                self.findings.problem(Code::SealBroken, pass.name, place, detail);
            }
            (None, _) if known.is_none() => {
                let detail = format!(
                    "the first checkpoint is of epoch {epoch}: what it follows is not in the files given"
                );
                self.findings.note("seals-begin-later", pass.name, place, detail);
            }
            (None, _) => {}
        }
        pass.seals.chain = Some(behind);
    }

    /// Does it stand where it says, and is the head there the one it has?
    fn position(&mut self, pass: &mut Pass<'_>, checkpoint: &Checkpoint) {
        let sequence = checkpoint.sequence;
        let begin = pass.survey.first;
        let (at, head) = match (pass.at, pass.known) {
            (Some((last, head)), _) => (last, Some(head)),
            (None, Some(known)) if known.last.checked_add(1) == Some(begin) => (known.last, known.head),
            (None, _) => (begin.saturating_sub(1), None),
        };
        // In a hole that the manifest has to explain, or at the beginning: what comes next says more.
        if sequence > at || pass.at.is_none() {
            pass.seals.ahead = Some((sequence, checkpoint.head));
        }
        let detail = if sequence < at {
            format!("epoch {}: it seals sequence {sequence}, and stands behind {at}", checkpoint.epoch)
        } else if sequence == at && head.is_some_and(|head| head != checkpoint.head) {
            format!(
                "epoch {}: the head after sequence {sequence} is not the one that was sealed",
                checkpoint.epoch
            )
        } else {
            return;
        };
        self.findings.problem(Code::CheckpointMismatch, pass.name, pass.place.clone(), detail);
    }

    /// What two checkpoints in a row say about the time between them.
    fn since(&mut self, pass: &Pass<'_>, before: &Checkpoint, now: &Checkpoint) {
        let (was, is) = (&before.books, &now.books);
        let back = now.sequence < before.sequence
            || is.overwritten < was.overwritten
            || is.exported < was.exported
            || is.cuts < was.cuts
            || now.retained < before.retained;
        if back {
            let detail = format!("epoch {}: sequence or losses are lower than an epoch before", now.epoch);
            self.findings.problem(Code::CheckpointMismatch, pass.name, pass.place.clone(), detail);
        }
        if before.boot != now.boot {
            return;
        }
        let nanoseconds = now.boottime.saturating_sub(before.boottime);
        let promised = u64::from(before.period) * 1_000_000_000;
        // Twice: a busy device, a slow disk and a change of the period are no alarm.
        if before.period > 0 && nanoseconds > promised.saturating_mul(2) {
            let detail = format!(
                "epoch {} took {} s, and {} s at most were promised: nothing was sealed meanwhile",
                now.epoch,
                nanoseconds / 1_000_000_000,
                before.period
            );
            self.findings.note("checkpoint-late", pass.name, pass.place.clone(), detail);
        }
    }

    /// The manifest against the checkpoints of its file.
    pub(super) fn seal_manifest(&mut self, pass: &mut Pass<'_>, manifest: &Manifest<'_>) {
        pass.seals.silence = pass.seals.ring.silence(manifest);
        if manifest.sealed != pass.seals.sealed {
            let say = |sealed: Option<Sealed>| {
                sealed.map_or_else(
                    || "none".to_owned(),
                    |sealed| format!("{} up to epoch {}", sealed.checkpoints, sealed.epoch),
                )
            };
            let detail =
                format!("promises checkpoints: {}; found: {}", say(manifest.sealed), say(pass.seals.sealed));
            self.findings.problem(Code::ManifestMismatch, pass.name, pass.place.clone(), detail);
        }
        let Some((sequence, head)) = pass.seals.ahead else { return };
        let detail = if sequence >= manifest.resume() {
            format!("the last checkpoint seals sequence {sequence}, and the export ends before it")
        } else if manifest.events == 0
            && manifest.begin() == sequence + 1
            && manifest.before.is_some_and(|before| before != head)
        {
            format!("the head after sequence {sequence} is not the one that was sealed")
        } else {
            return;
        };
        self.findings.problem(Code::CheckpointMismatch, pass.name, pass.place.clone(), detail);
    }

    /// When a file was read: a ring that is sealed and a file that goes on without a seal don't go together.
    pub(super) fn seal_file(&mut self, pass: &mut Pass<'_>) {
        let known = self.rings.get(&(pass.survey.device, pass.survey.ring)).map_or(0, |known| known.last);
        let last = pass.at.map_or(0, |(last, _)| last);
        let whole = |sealed: &super::Sealed| sealed.ending == Ending::Complete && sealed.end == sealed.next;
        let bare = |what, part| Bare { file: pass.name.to_owned(), what, part };
        let ring = &pass.seals.ring;
        let new = if pass.seals.sealed.is_some() {
            pass.seals.ring.bare = None;
            return;
        } else if last > known {
            let count = pass.events.min(last - known);
            // A part of a ring whose checkpoints are in other files goes on from those, or it does not.
            let full = pass.sealed.as_ref().is_some_and(|sealed| sealed.ending != Ending::Complete);
            let part = full || (ring.last.is_none() && !pass.sealed.as_ref().is_some_and(whole));
            bare(format!("{count} new event{}", if count == 1 { "" } else { "s" }), part)
        } else if let Some(seconds) = pass.seals.silence {
            if self.stopped(pass, known) {
                let detail =
                    format!("nothing was sealed in {seconds} s: the agent had stopped, and said so before");
                return self.findings.note("agent-stopped", pass.name, "manifest", detail);
            }
            bare(format!("nothing in {seconds} s"), false)
        } else {
            return;
        };
        if ring.bare.as_ref().is_none_or(|bare| bare.part) {
            pass.seals.ring.bare = Some(new);
        }
    }

    /// The last that is known of the ring is that the agent stopped, in the boot in which the export was made.
    fn stopped(&self, pass: &Pass<'_>, last: u64) -> bool {
        let Some(sealed) = &pass.sealed else { return false };
        let (device, ring, boot) = (pass.survey.device, pass.survey.ring, sealed.created.boot);
        let boot = self.books.boots.get(&BootKey { device, ring, boot });
        boot.is_some_and(|boot| boot.closed && boot.last == last)
    }

    /// Events that no checkpoint vouches for.
    pub(super) fn seal_finish(&mut self) {
        for seals in self.seals.values() {
            let Some(Bare { file, what, part }) = &seals.bare else { continue };
            if !seals.certified && seals.last.is_none() {
                continue;
            }
            if *part {
                let detail = format!("{what} and no checkpoint: the export ends before the next one");
                self.findings.note("not-sealed-yet", file, "manifest", detail);
            } else {
                let detail = format!("{what} and no checkpoint, although the ring is sealed");
                self.findings.problem(Code::NotSealed, file, "manifest", detail);
            }
        }
        for (key, seals) in &self.seals {
            let Some(Last { checkpoint, .. }) = &seals.last else { continue };
            let known = self.rings.get(key).map_or(0, |known| known.last);
            if known > checkpoint.sequence && seals.bare.is_none() {
                let count = known - checkpoint.sequence;
                let detail = format!(
                    "{count} event{} after the last checkpoint (epoch {}): the next export brings the seal",
                    if count == 1 { "" } else { "s" },
                    checkpoint.epoch
                );
                let place =
                    format!("ring {}, from sequence {}", hex::encode(&key.1), checkpoint.sequence + 1);
                self.findings.note("not-sealed-yet", "", place, detail);
            }
        }
    }
}

/// The seals of all rings.
pub(in crate::export) type AllSeals = BTreeMap<(Id, Id), RingSeals>;
