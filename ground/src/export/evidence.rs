//! Verified exports as one stream of events: what every command that shows, converts, searches or draws reads.
//!
//! Exports are read twice. [`super::check::verify`] goes first, over all files, and nothing is handed out unless it found
//! all of them to be what their devices signed. The second reading checks every item's signature again before its events
//! are handed out, and at the end of a file that the bytes were those of the first reading; only then is a sink told to
//! keep what it took. So a file that changes in between can't put anything in.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use aegis_event::{DecodeError, Event};
use aegis_export::read::{Item, ReadError, open_item};
use aegis_export::{Id, Segment};
use sha2::{Digest, Sha256};

use super::books::BootKey;
use super::check::{Checked, Report, former};
use super::clock::{Began, Clocks};
use super::progress::Progress;
use super::ranges::Ranges;
use super::source::{buffer, open, unreadable};
use crate::outcome::Failure;

/// One event and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) key: &'a BootKey,
    pub(super) sequence: u64,
    /// When its boot began.
    pub(super) began: Began,
    /// The event byte for byte as the chain has it.
    pub(super) bytes: &'a [u8],
    /// The event; an error when this version does not know it.
    pub(super) event: Result<Event<'a>, DecodeError>,
}

impl Record<'_> {
    /// `CLOCK_BOOTTIME`, ns, if it could be read.
    pub(super) fn boottime(&self) -> Option<u64> {
        self.event.as_ref().ok().map(|event| event.time)
    }

    /// When it happened, microseconds since 1970; for an event that could not be read, when its boot began.
    pub(super) fn at(&self) -> i64 {
        self.began.after(self.boottime().unwrap_or(0))
    }
}

/// What events flow into.
pub(super) trait Sink {
    /// A file begins. False: its events are not wanted.
    fn begin(&mut self, _file: &Checked) -> Result<bool, Failure> {
        Ok(true)
    }

    /// One event. No sequence of a ring comes twice. `Break`: no more are wanted, of any file.
    fn take(&mut self, record: &Record<'_>) -> Result<ControlFlow<()>, Failure>;

    /// The file was read to its end and is the one that was verified: what was taken since `begin` may be kept.
    fn commit(&mut self, _file: &Checked) -> Result<(), Failure> {
        Ok(())
    }
}

/// Exports that are what their devices signed.
pub(super) struct Evidence<'r> {
    report: &'r Report,
    clocks: Clocks,
}

impl<'r> Evidence<'r> {
    /// Refuses, with the place of the first reason, when any file is not what its device signed. What is merely missing
    /// (gaps, overwritten, still on the device) is no reason: what is there is still evidence.
    pub(super) fn of(report: &'r Report) -> Result<Self, Failure> {
        if report.findings.tampering() {
            return Err(refusal(report));
        }
        Ok(Self { report, clocks: Clocks::of(report) })
    }

    /// When the boots of these exports began.
    pub(super) fn clocks(&self) -> &Clocks {
        &self.clocks
    }

    /// Hands every event once to `sink`, ring by ring in order. `what` is said while it takes long (`converting`).
    pub(super) fn read(&self, what: &'static str, sink: &mut impl Sink) -> Result<(), Failure> {
        let mut progress = Progress::new(what, self.report.files.iter().map(|file| file.bytes).sum());
        let mut buffer = buffer();
        let mut rings: BTreeMap<(Id, Id), Ranges> = BTreeMap::new();
        for file in &self.report.files {
            if !sink.begin(file)? {
                progress.add(file.bytes);
                continue;
            }
            let seen = rings.entry((file.device, file.ring)).or_default();
            let mut pass = Pass { evidence: self, file, seen, at: 0, new: Ranges::default() };
            let mut reader = open(&file.path, &self.report.keys.identities, &mut buffer)
                .map_err(|unopened| unopened.into_failure(&file.path))?;
            let mut hash = Sha256::new();
            loop {
                let bytes = match reader.next_item() {
                    Ok(Some(bytes)) => bytes,
                    Ok(None) => break,
                    Err(ReadError::Io(error)) if error.encryption().is_some() => return Err(changed(file)),
                    Err(ReadError::Io(error)) => return Err(unreadable(&file.path, &error.0)),
                    Err(ReadError::Item(_)) => return Err(changed(file)),
                };
                progress.add(bytes.len() as u64);
                hash.update(bytes);
                let key = file.key.as_ref().ok_or_else(|| changed(file))?;
                match open_item(bytes, key) {
                    Ok(Item::Segment(segment)) => {
                        if pass.segment(&segment, sink)?.is_break() {
                            return Ok(());
                        }
                    }
                    // What vouches for the events, not events.
                    Ok(_) => {}
                    Err(_) if former(bytes, &file.device, &file.ring).is_some() => {}
                    Err(_) => return Err(changed(file)),
                }
            }
            if *hash.finalize() != file.sha256 {
                return Err(changed(file));
            }
            let Pass { seen, new, .. } = pass;
            seen.join(new);
            sink.commit(file)?;
        }
        Ok(())
    }
}

/// The second reading of one file.
struct Pass<'e, 'r> {
    evidence: &'e Evidence<'r>,
    file: &'e Checked,
    /// What earlier files of this ring had; `at` is the first of its ranges that does not end before the events at hand.
    seen: &'e mut Ranges,
    at: usize,
    new: Ranges,
}

impl Pass<'_, '_> {
    fn segment(&mut self, segment: &Segment<'_>, sink: &mut impl Sink) -> Result<ControlFlow<()>, Failure> {
        let key = BootKey { device: self.file.device, ring: self.file.ring, boot: segment.boot };
        let began = self.evidence.clocks.began(&key);
        self.new.add(segment.first, segment.last());
        for (sequence, bytes) in segment.events.clone() {
            if self.seen.has(&mut self.at, sequence) {
                continue;
            }
            let event = Event::decode(bytes);
            let record = Record { key: &key, sequence, began, bytes, event };
            if sink.take(&record)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn changed(file: &Checked) -> Failure {
    Failure::refused(format!("{}: it changed while it was read; nothing of it is kept", file.name))
}

/// Why exports are refused: the first place where one is not what its device signed.
pub(super) fn refusal(report: &Report) -> Failure {
    let problems = &report.findings.problems;
    match problems.iter().find(|problem| problem.tampering) {
        Some(problem) => Failure::refused(format!(
            "{}: {}: {} ({}); `aegisctl export verify` says more",
            problem.file, problem.place, problem.detail, problem.code
        )),
        None => Failure::refused("an export does not verify; `aegisctl export verify` says why"),
    }
}
