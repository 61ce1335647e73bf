//! The verification of exports: item by item, file by file, in constant memory.

mod continuity;
mod finish;
mod former;
mod history;
mod seals;
mod trees;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aegis_age::AgeError;
use aegis_cose::{PublicKey, device_id, public_key};
use aegis_event::{Body, Event, Kind};
use aegis_export::read::{Item, ItemError, ReadError, open_item};
use aegis_export::{Ending, Hash, Id, Policies, Policy, Segment, next_head};
use sha2::{Digest, Sha256};

use super::Keys;
use super::books::{Books, BootKey, Breach, Disorder, Place};
use super::problem::{Code, Findings};
use super::progress::Progress;
use super::source::{Buffer, Survey, Unopened, buffer, open, survey, unreadable};
use crate::hex;
use crate::outcome::Failure;
pub(super) use former::former;
use history::{Histories, History, histories};
pub(super) use seals::RingSeals;
use seals::{AllSeals, FileSeals};

/// A file as it was found to be. What is none was not there, or not verified.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) device: Id,
    pub(super) ring: Id,
    pub(super) key: Option<PublicKey>,
    pub(super) key_pinned: bool,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) events: u64,
    pub(super) segments: u64,
    pub(super) manifest: Option<Sealed>,
    /// Length of what was read, and SHA-256 over it: of a file that verifies, the file's.
    pub(super) bytes: u64,
    pub(super) sha256: Hash,
    /// It is encrypted; what is said of it here is said of what is inside.
    pub(super) encrypted: bool,
}

/// What a verified manifest says besides ranges and counts.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) ending: Ending,
    pub(super) retained: u64,
    pub(super) next: u64,
    pub(super) created: aegis_export::Created,
    pub(super) version: String,
    /// Ranges of sequences that were damaged in the ring.
    pub(super) gaps: Vec<(u64, u64)>,
    /// First sequence asked for; 0: whatever the ring still had.
    pub(super) requested: u64,
    /// Where it begins, where the next export begins, and where this one should have ended.
    pub(super) begin: u64,
    pub(super) resume: u64,
    end: u64,
    /// The policies that decided about its events.
    pub(super) policies: Policies,
}

/// The result.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) files: Vec<Checked>,
    pub(super) books: Books,
    pub(super) findings: Findings,
    /// What is known of the seals, by device and ring; none for a ring that is not sealed.
    pub(super) seals: AllSeals,
    /// What the files were opened with.
    pub(super) keys: Keys,
}

impl Report {
    /// Nothing is wrong and nothing is missing.
    pub(super) fn whole(&self) -> bool {
        self.findings.none()
    }

    pub(super) fn key_pinned(&self) -> bool {
        self.files.iter().all(|file| file.key_pinned)
    }
}

/// How far a ring's history is known.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// The last sequence accounted for, the head after it if there is one, the boot it was in.
    last: u64,
    head: Option<Hash>,
    boot: Option<Id>,
}

/// Verifies exports, in any order, of any number of devices.
pub(super) fn verify(paths: &[PathBuf], keys: &Keys) -> Result<Report, Failure> {
    let mut buffer = buffer();
    let mut surveys = Vec::with_capacity(paths.len());
    let mut findings = Findings::default();
    for path in paths {
        match survey(path, &keys.identities, &mut buffer) {
            Ok(survey) => surveys.push((path.clone(), survey)),
            Err(Unopened::Failed(failure)) => return Err(failure),
            Err(Unopened::Encrypted(error)) => unopened(&mut findings, path, error, keys),
        }
    }
    // In the order of the rings; of two that begin together, that of the earlier epoch, then the longer one first.
    surveys.sort_by_key(|(_, survey)| {
        (survey.device, survey.ring, survey.first, survey.epoch, u64::MAX - survey.last)
    });
    let mut progress = Progress::new("verifying", surveys.iter().map(|(_, survey)| survey.bytes).sum());
    let mut checker = Checker {
        histories: histories(surveys.iter().map(|(_, survey)| survey)),
        findings,
        ..Checker::default()
    };
    let mut files = Vec::with_capacity(surveys.len());
    let mut rings = surveys.iter().map(|(_, survey)| (survey.device, survey.ring)).skip(1);
    for (path, survey) in &surveys {
        files.push(checker.file(path, survey, keys, &mut buffer, &mut progress)?);
        let ring = (survey.device, survey.ring);
        if rings.next() != Some(ring) {
            checker.leave(&ring);
        }
    }
    checker.finish(&files);
    checker.seals.retain(|_, seals| seals.last.is_some());
    let Checker { books, findings, seals, .. } = checker;
    Ok(Report { files, books, findings, seals, keys: keys.clone() })
}

/// A file that stays closed.
fn unopened(findings: &mut Findings, path: &Path, error: AgeError, keys: &Keys) {
    let name = path.display().to_string();
    let (code, detail) = match error {
        AgeError::NoMatch if keys.identities.is_empty() => {
            (Code::Encrypted, "it is encrypted; give --identity with the office key".to_owned())
        }
        AgeError::NoMatch => (
            Code::Encrypted,
            format!("{error}: none of the {} identities given opens it", keys.identities.len()),
        ),
        AgeError::Passphrase => (Code::Encrypted, format!("{error}: no device writes that")),
        _ => (Code::BadEncryption, format!("{error}: changed or cut on its way")),
    };
    findings.problem(code, &name, "file", detail);
}

#[derive(Default)]
struct Checker {
    books: Books,
    findings: Findings,
    rings: BTreeMap<(Id, Id), Known>,
    histories: Histories,
    seals: AllSeals,
}

/// One file while it is read.
struct Pass<'a> {
    name: &'a str,
    survey: &'a Survey,
    known: Option<Known>,
    /// The last sequence of this file so far, the head after it, as the events have it.
    at: Option<(u64, Hash)>,
    /// Holes in the sequences so far; the manifest says whether they were in the ring already.
    holes: Vec<(u64, u64)>,
    /// The head before its first event.
    before: Option<Hash>,
    first: u64,
    events: u64,
    segments: u64,
    items: Sha256,
    sealed: Option<Sealed>,
    seals: FileSeals,
    history: History,
    /// The last place where an earlier file has a head to compare with; whether one differed.
    compared: u64,
    differs: bool,
    /// The policies that its events say were accepted.
    policies: Policies,
    place: String,
}

impl Checker {
    fn file(
        &mut self,
        path: &Path,
        survey: &Survey,
        keys: &Keys,
        buffer: &mut Buffer,
        progress: &mut Progress,
    ) -> Result<Checked, Failure> {
        let name = path.display().to_string();
        let (key, key_pinned) = self.choose_key(&name, survey, &keys.pinned);
        let ring = (survey.device, survey.ring);
        let mut history = self.histories.remove(&ring).unwrap_or_default();
        history.begin();
        let mut pass = Pass {
            name: &name,
            survey,
            known: self.rings.get(&ring).copied(),
            at: None,
            holes: Vec::new(),
            before: None,
            first: 0,
            events: 0,
            segments: 0,
            items: Sha256::new(),
            sealed: None,
            seals: FileSeals::of(self.seals.remove(&ring).unwrap_or_default()),
            history,
            compared: 0,
            differs: false,
            policies: Policies::new(),
            place: String::new(),
        };
        let mut reader =
            open(path, &keys.identities, buffer).map_err(|unopened| unopened.into_failure(path))?;
        let mut number = 0u64;
        loop {
            let offset = reader.offset();
            number += 1;
            pass.place = format!("item {number}, byte {offset}");
            let bytes = match reader.next_item() {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break,
                Err(ReadError::Io(error)) => {
                    let Some(error) = error.encryption() else { return Err(unreadable(path, &error.0)) };
                    let detail = format!("{error}: changed or cut on its way; what is before it is read");
                    self.findings.problem(Code::BadEncryption, pass.name, pass.place.clone(), detail);
                    break;
                }
                Err(ReadError::Item(error)) => {
                    self.item_error(&pass, error);
                    break;
                }
            };
            progress.add(bytes.len() as u64);
            if pass.sealed.is_some() {
                let detail = "there is something after the manifest, which is always the last item";
                self.findings.problem(Code::AfterManifest, pass.name, pass.place.clone(), detail);
                break;
            }
            let Some(key) = &key else { continue };
            match open_item(bytes, key) {
                Err(error) => {
                    self.not_this_keys(&mut pass, error, bytes);
                    pass.items.update(bytes);
                }
                Ok(Item::Segment(segment)) => {
                    self.segment(&mut pass, &segment);
                    pass.items.update(bytes);
                }
                Ok(Item::Checkpoint(checkpoint)) => {
                    self.checkpoint(&mut pass, &checkpoint, bytes);
                    pass.items.update(bytes);
                }
                Ok(Item::Certificate(certificate)) => {
                    self.certificate(&mut pass, &certificate, bytes);
                    pass.items.update(bytes);
                }
                Ok(Item::Manifest(manifest)) => {
                    self.manifest(&mut pass, &manifest);
                    pass.items.update(bytes);
                }
            }
        }
        self.ended(&mut pass, key.is_some(), reader.offset());
        if let Some(known) = pass.known {
            self.rings.insert(ring, known);
        }
        self.seals.insert(ring, pass.seals.ring);
        pass.history.end();
        self.histories.insert(ring, pass.history);
        Ok(Checked {
            path: path.into(),
            device: survey.device,
            ring: survey.ring,
            key,
            key_pinned,
            first: pass.first,
            last: pass.at.map_or(0, |(last, _)| last),
            events: pass.events,
            segments: pass.segments,
            manifest: pass.sealed,
            bytes: reader.offset(),
            sha256: pass.items.finalize().into(),
            encrypted: survey.encrypted,
            name,
        })
    }

    /// A file was read to its end.
    fn ended(&mut self, pass: &mut Pass<'_>, has_key: bool, offset: u64) {
        if let (Some((last, _)), Some(known)) =
            (pass.at, self.rings.get(&(pass.survey.device, pass.survey.ring)))
            && last < known.last
            && pass.compared != last
        {
            let detail = format!(
                "ends inside what an earlier file has (up to {}), where that has a gap: not compared with it",
                known.last
            );
            self.findings.note("contained", pass.name, format!("sequence {last}"), detail);
        }
        for (first, last) in std::mem::take(&mut pass.holes) {
            self.segment_missing(pass, first, last);
        }
        if pass.sealed.is_none() && (has_key || pass.survey.manifest.is_none()) {
            let detail = "no manifest that verifies: the file was cut off or changed, or the stick was pulled too early";
            self.findings.problem(Code::ManifestMissing, pass.name, format!("byte {offset}"), detail);
        }
        self.seal_file(pass);
    }

    /// The pinned key of the device that the file says it is from; else the one the file itself brings.
    fn choose_key(&mut self, name: &str, survey: &Survey, pinned: &[[u8; 32]]) -> (Option<PublicKey>, bool) {
        let of_device = pinned.iter().find(|key| device_id(key) == survey.device);
        if let Some(key) = of_device {
            return (public_key(key).ok(), true);
        }
        if !pinned.is_empty() {
            let detail =
                format!("device {} is none of those whose keys were given", hex::encode(&survey.device));
            self.findings.problem(Code::UnknownDevice, name, "manifest", detail);
        }
        let key = survey.manifest.and_then(|claims| public_key(&claims.public_key).ok());
        if key.is_none() {
            let detail = "no key to check signatures with: give --device-key or --receipt";
            self.findings.problem(Code::UncheckedSignature, name, "file", detail);
        }
        (key, false)
    }

    fn item_error(&mut self, pass: &Pass<'_>, error: ItemError) {
        let code = match error {
            ItemError::Truncated => Code::Truncated,
            ItemError::NotAnItem => Code::NotAnItem,
            ItemError::Signature(_) => Code::BadSignature,
            ItemError::Payload => Code::BadPayload,
            ItemError::Device => Code::WrongDevice,
        };
        self.findings.problem(code, pass.name, pass.place.clone(), error.to_string());
    }

    fn segment(&mut self, pass: &mut Pass<'_>, segment: &Segment<'_>) {
        pass.segments += 1;
        let place = pass.place.clone();
        if segment.ring != pass.survey.ring {
            let detail = format!("segment of ring {}", hex::encode(&segment.ring));
            return self.findings.problem(Code::WrongRing, pass.name, place, detail);
        }
        match pass.at {
            None => self.begins(pass, segment.first, segment.previous),
            Some((last, _)) if segment.first <= last => {
                let detail = format!("sequence {} comes after {last}: repeated or moved", segment.first);
                return self.findings.problem(Code::OutOfOrder, pass.name, place, detail);
            }
            Some((last, _)) if segment.first - last > 1 => self.hole(pass, last + 1, segment.first - 1),
            Some((last, head)) if segment.previous != head => {
                let detail =
                    format!("the head before sequence {} is not the one after {last}", segment.first);
                self.findings.problem(Code::ChainBroken, pass.name, place.clone(), detail);
            }
            Some(_) => {}
        }
        if pass.at.is_none() {
            (pass.first, pass.before) = (segment.first, Some(segment.previous));
        }
        pass.history.add(segment.first, segment.last());
        let sealed = self.seal_segment(pass, segment);
        let mut head = segment.previous;
        for (sequence, bytes) in segment.events.clone() {
            head = next_head(&head, sequence, bytes);
            pass.events += 1;
            if sealed {
                pass.seals.event(&head);
            }
            self.event(pass, segment, sequence, bytes, head);
        }
        if head != segment.head {
            let detail = format!("the events do not lead to the head after sequence {}", segment.last());
            self.findings.problem(Code::ChainBroken, pass.name, place, detail);
        }
        // Later segments are held against what this one says, so that one break is reported once.
        pass.at = Some((segment.last(), segment.head));
        if let Some(known) = pass.known.as_mut().filter(|known| known.last == segment.last()) {
            known.head = Some(segment.head);
        }
    }

    fn event(&mut self, pass: &mut Pass<'_>, segment: &Segment<'_>, sequence: u64, bytes: &[u8], head: Hash) {
        match pass.history.compare(sequence, &head) {
            Some(false) if !pass.differs => {
                let detail = format!("two exports of this ring differ at or before sequence {sequence}");
                self.findings.problem(Code::HistoryDiffers, pass.name, pass.place.clone(), detail);
                (pass.differs, pass.compared) = (true, sequence);
            }
            Some(_) => pass.compared = sequence,
            None => {}
        }
        if let Some(policy) = accepted(bytes) {
            pass.policies.accept(policy);
        }
        let behind = pass.known.is_none_or(|known| sequence > known.last);
        if !behind && pass.history.has(sequence) {
            // Counted from an earlier file.
            return;
        }
        let event = Event::decode(bytes);
        if let Err(error) = &event {
            self.findings.problem(
                Code::BadEvent,
                pass.name,
                format!("sequence {sequence}"),
                error.to_string(),
            );
        }
        if let Ok(Event { body: Body::Seal { code: code @ ("failed" | "unwiped"), epoch }, .. }) = event {
            let detail = format!("the device says that sealing failed in epoch {epoch} ({code})");
            self.findings.note("sealing-failed", pass.name, format!("sequence {sequence}"), detail);
        }
        let key = BootKey { device: pass.survey.device, ring: pass.survey.ring, boot: segment.boot };
        if !behind {
            // What another file could not give.
            self.books.fill(key, sequence, event.as_ref().ok());
            return;
        }
        let before = pass.known.and_then(|known| known.boot.map(|boot| (boot, known.last)));
        let place = format!("sequence {sequence}");
        match self.books.take(Place { key, sequence, before }, event.as_ref().ok()) {
            Ok(None) => {}
            Ok(Some(breach)) => self.breach(pass.name, place, segment.boot, breach),
            Err(Disorder::BootReturns) => {
                let detail = format!("boot {} comes back after another one", hex::encode(&segment.boot));
                self.findings.problem(Code::BootOrder, pass.name, place, detail);
            }
            Err(Disorder::TooManyBoots) => {
                self.findings.problem(
                    Code::BootOrder,
                    pass.name,
                    place,
                    "more boots than one report can hold",
                );
            }
        }
        pass.known = Some(Known { last: sequence, head: Some(head), boot: Some(segment.boot) });
    }

    fn breach(&mut self, name: &str, place: String, boot: Id, breach: Breach) {
        let boot = hex::encode(&boot);
        match breach {
            Breach::Unbalanced(books) => {
                let (seen, written, lost) = (books.seen, books.written, books.total_lost());
                let detail = format!("boot {boot}: seen {seen} is not written {written} + lost {lost}");
                self.findings.problem(Code::AccountsUnbalanced, name, place, detail);
            }
            Breach::Miscounted { written, counted } => {
                let detail = format!("boot {boot}: the device wrote {written} events, {counted} are here");
                self.findings.problem(Code::AccountsMismatch, name, place, detail);
            }
        }
    }
}

/// The policy that an event says was accepted.
fn accepted(event: &[u8]) -> Option<Policy> {
    /// Behind the map's head: key 0, the kind of a policy event.
    const KIND: [u8; 3] = [0, 0x18, Kind::Policy.number()];
    // Most events are none, and need not be decoded to see that.
    if event.get(1..4) != Some(&KIND) {
        return None;
    }
    match Event::decode(event).ok()?.body {
        Body::Policy { code: "accepted", epoch, sequence, hash, .. } => {
            Some(Policy { epoch, sequence, hash: *hash })
        }
        _ => None,
    }
}

fn missing(first: u64, last: u64, why: &str) -> String {
    if first == last {
        format!("sequence {first} is missing: {why}")
    } else {
        format!("sequences {first} to {last} are missing ({} events): {why}", last - first + 1)
    }
}
