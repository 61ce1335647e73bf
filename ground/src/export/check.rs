//! The verification of exports: item by item, file by file, in constant memory.

mod continuity;
mod seals;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aegis_cose::{PublicKey, device_id, public_key};
use aegis_event::Event;
use aegis_export::read::{Item, ItemError, ReadError, open_item};
use aegis_export::{Ending, Hash, Id, Segment, next_head};
use sha2::{Digest, Sha256};

use super::books::{Books, BootKey, Breach, Disorder, Place};
use super::problem::{Code, Findings};
use super::progress::Progress;
use super::source::{Buffer, Survey, buffer, open, survey, unreadable};
use crate::hex;
use crate::outcome::Failure;
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
    pub(super) policies: aegis_export::Policies,
}

/// The result.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) files: Vec<Checked>,
    pub(super) books: Books,
    pub(super) findings: Findings,
    /// What is known of the seals, by device and ring; none for a ring that is not sealed.
    pub(super) seals: AllSeals,
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
pub(super) fn verify(paths: &[PathBuf], pinned: &[[u8; 32]]) -> Result<Report, Failure> {
    let mut buffer = buffer();
    let mut surveys = Vec::with_capacity(paths.len());
    for path in paths {
        surveys.push((path.clone(), survey(path, &mut buffer)?));
    }
    // In the order of the rings; of two that begin together, that of the earlier epoch, then the longer one first.
    surveys.sort_by_key(|(_, survey)| {
        (survey.device, survey.ring, survey.first, survey.epoch, u64::MAX - survey.last)
    });
    let mut progress = Progress::new("verifying", surveys.iter().map(|(_, survey)| survey.bytes).sum());
    let mut checker = Checker::default();
    let mut files = Vec::with_capacity(surveys.len());
    for (path, survey) in surveys {
        files.push(checker.file(&path, &survey, pinned, &mut buffer, &mut progress)?);
    }
    checker.finish(&files);
    checker.seals.retain(|_, seals| seals.last.is_some());
    Ok(Report { files, books: checker.books, findings: checker.findings, seals: checker.seals })
}

#[derive(Default)]
struct Checker {
    books: Books,
    findings: Findings,
    rings: BTreeMap<(Id, Id), Known>,
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
    place: String,
}

impl Checker {
    fn file(
        &mut self,
        path: &Path,
        survey: &Survey,
        pinned: &[[u8; 32]],
        buffer: &mut Buffer,
        progress: &mut Progress,
    ) -> Result<Checked, Failure> {
        let name = path.display().to_string();
        let (key, key_pinned) = self.choose_key(&name, survey, pinned);
        let mut pass = Pass {
            name: &name,
            survey,
            known: self.rings.get(&(survey.device, survey.ring)).copied(),
            at: None,
            holes: Vec::new(),
            before: None,
            first: 0,
            events: 0,
            segments: 0,
            items: Sha256::new(),
            sealed: None,
            seals: FileSeals::of(self.seals.remove(&(survey.device, survey.ring)).unwrap_or_default()),
            place: String::new(),
        };
        let mut reader = open(path, buffer)?;
        let mut number = 0u64;
        loop {
            let offset = reader.offset();
            number += 1;
            pass.place = format!("item {number}, byte {offset}");
            let bytes = match reader.next_item() {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break,
                Err(ReadError::Io(error)) => return Err(unreadable(path, &error.0)),
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
                    self.item_error(&pass, error);
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
        if let (Some((last, _)), Some(known)) = (pass.at, self.rings.get(&(survey.device, survey.ring)))
            && last < known.last
        {
            let detail =
                format!("ends inside what an earlier file has (up to {}): not compared with it", known.last);
            self.findings.note("contained", &name, format!("sequence {last}"), detail);
        }
        for (first, last) in std::mem::take(&mut pass.holes) {
            self.segment_missing(&pass, first, last);
        }
        if pass.sealed.is_none() && (key.is_some() || survey.manifest.is_none()) {
            let detail = "no manifest that verifies: the file was cut off or changed, or the stick was pulled too early";
            self.findings.problem(Code::ManifestMissing, &name, format!("byte {}", reader.offset()), detail);
        }
        self.seal_file(&mut pass);
        if let Some(known) = pass.known {
            self.rings.insert((survey.device, survey.ring), known);
        }
        self.seals.insert((survey.device, survey.ring), pass.seals.ring);
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
            name,
        })
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
        if let Some(known) = pass.known
            && sequence <= known.last
        {
            // Counted from an earlier file. The head at its end stands for all events up to there.
            if sequence == known.last && known.head.is_some_and(|known| known != head) {
                let detail = format!("two exports of this ring differ at or before sequence {sequence}");
                self.findings.problem(Code::HistoryDiffers, pass.name, pass.place.clone(), detail);
            }
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
        let key = BootKey { device: pass.survey.device, ring: pass.survey.ring, boot: segment.boot };
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

    /// What can only be said when all files were read.
    fn finish(&mut self, files: &[Checked]) {
        for file in files {
            let Some(sealed) = &file.manifest else { continue };
            let known = self.rings.get(&(file.device, file.ring)).map_or(0, |known| known.last);
            let why = match sealed.ending {
                Ending::Full => "the stick was full; they are still on the device, export again",
                Ending::Overtaken => {
                    "the ring was overwritten while it was exported; export again for what is left"
                }
                Ending::Complete | Ending::Unreadable => continue,
            };
            let from = sealed.resume.max(known.saturating_add(1));
            if from < sealed.end {
                let detail = missing(from, sealed.end - 1, why);
                self.findings.problem(Code::Incomplete, &file.name, "manifest", detail);
            }
        }
        self.seal_finish();
        let unsettled: Vec<_> = self
            .books
            .boots
            .iter()
            .filter_map(|(key, boot)| boot.unsettled().map(|books| (key.boot, boot.last, books)))
            .collect();
        for (boot, last, books) in unsettled {
            self.breach("", format!("sequence {last}"), boot, Breach::Unbalanced(books));
        }
        let mut notes = Vec::new();
        for (key, boot) in &self.books.boots {
            let place = format!("boot {}", hex::encode(&key.boot));
            if !boot.closed {
                notes.push((
                    "not-closed",
                    place.clone(),
                    "no books and stop at its end: power cut, kill, or still running",
                ));
            }
            if !boot.began {
                notes.push((
                    "begins-inside",
                    place,
                    "its beginning is not in the files given: events were not counted against its books",
                ));
            }
        }
        for (code, place, detail) in notes {
            self.findings.note(code, "", place, detail);
        }
    }
}

fn missing(first: u64, last: u64, why: &str) -> String {
    if first == last {
        format!("sequence {first} is missing: {why}")
    } else {
        format!("sequences {first} to {last} are missing ({} events): {why}", last - first + 1)
    }
}
