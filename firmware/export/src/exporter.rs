//! Ring to signed items: a state machine that fills one buffer at a time.

use aegis_cose::{Domain, SecretKey, device_id, sign1};
use aegis_event::{Body, Event, Kind};
use aegis_seal::Checkpoint;
use sha2::{Digest, Sha256};

use crate::chain::{Hash, Id, first_head, next_head};
use crate::error::{Damage, ExportError};
use crate::frames::{Entry, Fault, Frame, Frames};
use crate::gaps::Gaps;
use crate::limits;
use crate::manifest::{Created, Ending, Manifest, Sealed};
use crate::policies::{Policies, Policy};
use crate::segment::{Builder, Events, Segment};

/// What to export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// First sequence wanted; 0: from the oldest event the ring still has. A cursor gives its own next one here, so
    /// that what was overwritten in between shows.
    pub first: u64,
    /// Last sequence wanted; 0: up to the end.
    pub last: u64,
    /// Bytes the whole export may take; below [`limits::MANIFEST_BYTES`] it is refused.
    pub bytes: u64,
}

impl Request {
    /// Everything from this sequence on, of any size.
    pub const fn from(first: u64) -> Self {
        Self { first, last: 0, bytes: u64::MAX }
    }
}

/// The last entry read and not yet in an item; its bytes are in `entry`.
#[derive(Clone, Copy)]
enum Pending {
    Event(Next),
    /// A sealing record of this length.
    Record(usize),
}

/// An event that is next.
#[derive(Clone, Copy)]
struct Next {
    boot: Id,
    place: Option<u64>,
    sequence: u64,
    previous: Hash,
    head: Hash,
    length: usize,
}

/// Room for an event or a record.
const ENTRY_BYTES: usize =
    if limits::EVENT_BYTES > limits::RECORD_BYTES { limits::EVENT_BYTES } else { limits::RECORD_BYTES };

/// What the items so far add up to.
#[derive(Clone)]
struct Tally {
    first: u64,
    last: u64,
    events: u64,
    segments: u64,
    after: Option<Hash>,
    bytes: u64,
    items: Sha256,
    policies: Policies,
    sealed: Option<Sealed>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Certificate,
    Segments,
    Manifest,
    Done,
}

/// Produces an export item by item: the certificate if there is one, segments and checkpoints as the ring has them, then the
/// manifest.
///
/// Each item is to be written to the file before the next one is asked for. When the stick refuses an item,
/// [`Exporter::take_back`] forgets it (the caller cuts the file to what it was before) and
/// [`Exporter::finish_early`] gives the manifest for what is there. The caller keeps
/// [`limits::MANIFEST_BYTES`] free for it; [`Request::bytes`] does that for a known amount of space.
pub struct Exporter<'a, F: Frames> {
    key: &'a SecretKey,
    device: Id,
    public_key: [u8; 32],
    ring: Id,
    frames: F,
    request: Request,
    created: Created,
    version: &'a str,
    scratch: &'a mut [u8],
    retained: u64,
    next: u64,
    /// Sequence and chain head that the next frame must continue.
    expected: u64,
    head: Option<Hash>,
    entry: [u8; ENTRY_BYTES],
    pending: Option<Pending>,
    /// There is nothing more to read.
    over: bool,
    certificate: &'a [u8],
    first_epoch: u64,
    before: Option<Hash>,
    gaps: Gaps,
    tally: Tally,
    undo: Option<Tally>,
    stage: Stage,
    ending: Ending,
    damage: Option<Damage<F::Error>>,
}

impl<'a, F: Frames> Exporter<'a, F> {
    /// Begins an export signed with `key`. `scratch` holds at least [`limits::PAYLOAD_BYTES`] bytes.
    ///
    /// # Errors
    /// See [`ExportError`]. A ring that can't be read is no error here: the manifest says so.
    pub fn new(
        key: &'a SecretKey,
        frames: F,
        request: Request,
        created: Created,
        version: &'a str,
        scratch: &'a mut [u8],
    ) -> Result<Self, ExportError> {
        let (retained, next) = (frames.first_sequence().max(1), frames.next_sequence().max(1));
        let expected = request.first.max(retained);
        if scratch.len() < limits::PAYLOAD_BYTES {
            return Err(ExportError::NoRoom);
        }
        if request.bytes < limits::MANIFEST_BYTES as u64 {
            return Err(ExportError::NoSpace);
        }
        if version.len() > limits::VERSION_BYTES {
            return Err(ExportError::VersionTooLong);
        }
        if request.first > next {
            return Err(ExportError::AheadOfRing { asked: request.first, next });
        }
        let public_key = *key.public_key();
        let tally = Tally {
            first: 0,
            last: 0,
            events: 0,
            segments: 0,
            after: None,
            bytes: 0,
            items: Sha256::new(),
            policies: Policies::new(),
            sealed: None,
        };
        let mut exporter = Self {
            key,
            device: device_id(&public_key),
            public_key,
            ring: frames.ring(),
            frames,
            request,
            created,
            version,
            scratch,
            retained,
            next,
            expected,
            head: None,
            entry: [0; ENTRY_BYTES],
            pending: None,
            over: false,
            certificate: &[],
            first_epoch: 0,
            before: None,
            gaps: Gaps::new(),
            tally,
            undo: None,
            stage: Stage::Certificate,
            ending: Ending::Complete,
            damage: None,
        };
        exporter.start();
        Ok(exporter)
    }

    /// The certificate of the ring's chain of checkpoints, to begin the export with. Call it before the first item.
    #[must_use]
    pub const fn with_certificate(mut self, record: &'a [u8]) -> Self {
        self.certificate = record;
        self
    }

    /// The policy in force now. Call it before the first item.
    #[must_use]
    pub const fn with_policy(mut self, in_force: Policy) -> Self {
        self.tally.policies.in_force = Some(in_force);
        self
    }

    /// Checkpoints of earlier epochs were exported before: leave them out. Those that stand before the first event wanted
    /// come again otherwise, which does no harm. Call it before the first item.
    #[must_use]
    pub const fn with_first_epoch(mut self, epoch: u64) -> Self {
        self.first_epoch = epoch;
        self
    }

    /// Finds the head of the chain where the export begins, and goes there: before the checkpoints behind the event before.
    fn start(&mut self) {
        if self.expected == 1 {
            self.head = Some(first_head(&self.ring));
        } else if self.expected > self.retained {
            // The frame before may still be there: its head is known even when no event follows.
            self.head = self.head_of(self.expected - 1);
        }
        self.before = self.head;
        let begun = self.expected > self.retained && self.head.is_some();
        let found = if begun {
            Ok(())
        } else if self.expected == self.retained {
            self.frames.rewind()
        } else if self.expected < self.end() {
            self.frames.seek(self.expected)
        } else {
            self.over = true;
            Ok(())
        };
        if let Err(error) = found {
            self.failed(error);
        }
    }

    fn head_of(&mut self, sequence: u64) -> Option<Hash> {
        self.frames.seek(sequence).ok()?;
        let frame = self.frames.next_frame().ok()??;
        (frame.sequence == sequence).then_some(frame.head)
    }

    /// Goes past damage, or ends the export.
    fn failed(&mut self, error: F::Error) {
        match F::fault(&error) {
            Fault::Overtaken => self.stop(Ending::Overtaken, Damage::Ring(error)),
            Fault::Unreadable => self.stop(Ending::Unreadable, Damage::Ring(error)),
            Fault::Damaged => match self.frames.skip() {
                Ok(found) => self.gap(found.unwrap_or(u64::MAX)),
                // Two in a row: the next attempt to read says what it is.
                Err(error) => self.stop(Ending::Unreadable, Damage::Ring(error)),
            },
        }
    }

    /// Nothing can be read up to this sequence.
    fn gap(&mut self, next: u64) {
        let next = next.min(self.end());
        if next < self.expected || (next > self.expected && !self.gaps.push(self.expected, next - 1)) {
            return self.stop(Ending::Unreadable, Damage::Gaps);
        }
        // A gap without sequences is a damaged place without events: the chain still has to go on.
        if next > self.expected {
            self.head = None;
        }
        self.expected = next;
    }

    fn stop(&mut self, ending: Ending, damage: Damage<F::Error>) {
        self.ending = ending;
        self.damage = Some(damage);
    }

    /// The sequence after the last one to export.
    fn end(&self) -> u64 {
        if self.request.last == 0 { self.next } else { self.next.min(self.request.last.saturating_add(1)) }
    }

    /// Puts the next item at the front of `out` (at least [`limits::ITEM_BYTES`]) and returns its length; none after
    /// the manifest. Asking for it says that the item before is safely in the file.
    ///
    /// # Errors
    /// [`ExportError::NoRoom`].
    pub fn next_item(&mut self, out: &mut [u8]) -> Result<Option<usize>, ExportError> {
        if out.len() < limits::ITEM_BYTES {
            return Err(ExportError::NoRoom);
        }
        self.undo = None;
        if self.stage == Stage::Certificate {
            self.stage = Stage::Segments;
            if !self.certificate.is_empty() && self.certificate.len() <= self.room() {
                out[..self.certificate.len()].copy_from_slice(self.certificate);
                self.undo = Some(self.tally.clone());
                self.tally.add(&out[..self.certificate.len()]);
                return Ok(Some(self.certificate.len()));
            }
        }
        if self.stage == Stage::Segments {
            self.fetch();
            let item = match self.pending {
                Some(Pending::Event(next)) => self.segment(next, out)?,
                Some(Pending::Record(length)) => self.record(length, out),
                None => None,
            };
            if item.is_some() {
                return Ok(item);
            }
            self.stage = Stage::Manifest;
        }
        if self.stage == Stage::Manifest { self.seal(out).map(Some) } else { Ok(None) }
    }

    /// Forgets the item given out last, segment or manifest: it did not reach the file. Only
    /// [`Exporter::finish_early`] makes sense next.
    pub fn take_back(&mut self) {
        if self.stage == Stage::Done {
            self.stage = Stage::Manifest;
        } else if let Some(tally) = self.undo.take() {
            self.tally = tally;
            // Whatever stopped the ring's reading, if anything did, is behind what was taken back.
            self.ending = Ending::Full;
        }
    }

    /// The manifest for what was given out so far, at the front of `out`: no more segments will follow.
    /// None when the manifest was already given out.
    ///
    /// # Errors
    /// [`ExportError::NoRoom`].
    pub fn finish_early(&mut self, out: &mut [u8]) -> Result<Option<usize>, ExportError> {
        if self.stage == Stage::Done {
            return Ok(None);
        }
        self.cut_short();
        self.stage = Stage::Manifest;
        self.seal(out).map(Some)
    }

    /// No more items: that leaves events behind, or it doesn't.
    fn cut_short(&mut self) {
        if matches!(self.ending, Ending::Full | Ending::Complete) {
            let begin = self.request.first.max(self.retained);
            let reached = if self.tally.events > 0 { self.tally.last + 1 } else { begin };
            self.ending = if reached < self.end() { Ending::Full } else { Ending::Complete };
        }
    }

    /// What the export holds so far; final after the manifest was given out. [`Manifest::resume`] is the cursor for
    /// the next export.
    pub fn manifest(&self) -> Manifest<'a> {
        let tally = &self.tally;
        // A gap counts when the export reaches past it.
        let gaps = if self.ending == Ending::Complete { self.gaps } else { self.gaps.before(tally.last) };
        Manifest {
            device: self.device,
            public_key: self.public_key,
            ring: self.ring,
            requested_first: self.request.first,
            requested_last: self.request.last,
            first: tally.first,
            last: tally.last,
            events: tally.events,
            segments: tally.segments,
            before: self.before,
            after: tally.after.or(self.before),
            retained: self.retained,
            next: self.next,
            ending: self.ending,
            created: self.created,
            version: self.version,
            gaps,
            items: tally.items.clone().finalize().into(),
            policies: tally.policies,
            sealed: tally.sealed,
        }
    }

    /// Why the manifest says [`Ending::Unreadable`] or [`Ending::Overtaken`].
    pub const fn damage(&self) -> Option<&Damage<F::Error>> {
        self.damage.as_ref()
    }

    fn seal(&mut self, out: &mut [u8]) -> Result<usize, ExportError> {
        let payload = self.manifest().write(self.scratch)?;
        let length = sign1(&self.scratch[..payload], Domain::Export, self.key, out)?;
        debug_assert!(length <= limits::MANIFEST_BYTES, "every field of a manifest is bounded");
        self.stage = Stage::Done;
        Ok(length)
    }

    /// Reads one entry ahead into `entry`, if there is one of what was asked for that can be read.
    fn fetch(&mut self) {
        // Each turn ends, or passes a damaged place, of which there are at most [`limits::GAPS`] with sequences, or a
        // record; the ring's own bounds are those of the rest.
        while self.pending.is_none() && self.damage.is_none() && !self.over {
            // Behind the last event there may be checkpoints. If they can't be read the events are complete all the same.
            let behind = self.expected >= self.end();
            match self.frames.next_entry() {
                Err(_) | Ok(None | Some(Entry::Event { .. })) if behind => self.over = true,
                Err(error) => self.failed(error),
                Ok(Some(Entry::Event { frame, segment }))
                    if frame.sequence == self.expected
                        && self.head.is_none_or(|head| head == frame.previous)
                        && (1..=limits::EVENT_BYTES).contains(&frame.event.len())
                        && next_head(&frame.previous, frame.sequence, frame.event) == frame.head =>
                {
                    let Frame { boot, sequence, previous, head, event } = frame;
                    self.entry[..event.len()].copy_from_slice(event);
                    let place = segment;
                    let next = Next { boot, place, sequence, previous, head, length: event.len() };
                    self.pending = Some(Pending::Event(next));
                    self.head = Some(head);
                    self.expected = sequence + 1;
                }
                Ok(Some(Entry::Record { certificate, bytes })) => {
                    // A record that nobody can read is no evidence; that it is missing shows at the next one.
                    let wanted = if certificate {
                        bytes != self.certificate
                    } else {
                        Checkpoint::peek(bytes).is_ok_and(|checkpoint| checkpoint.epoch >= self.first_epoch)
                    };
                    if wanted && (1..=limits::RECORD_BYTES).contains(&bytes.len()) {
                        self.entry[..bytes.len()].copy_from_slice(bytes);
                        self.pending = Some(Pending::Record(bytes.len()));
                    }
                }
                Ok(_) => self.stop(Ending::Unreadable, Damage::After(self.expected - 1)),
            }
        }
    }

    /// Bytes that an item can have, the manifest's aside.
    fn room(&self) -> usize {
        let used = self.tally.bytes.saturating_add(limits::MANIFEST_BYTES as u64);
        usize::try_from(self.request.bytes.saturating_sub(used)).unwrap_or(usize::MAX)
    }

    /// The sealing record that is pending, as it is.
    fn record(&mut self, length: usize, out: &mut [u8]) -> Option<usize> {
        if length > self.room() {
            self.cut_short();
            return None;
        }
        self.undo = Some(self.tally.clone());
        let bytes = &self.entry[..length];
        out[..length].copy_from_slice(bytes);
        if let Ok(checkpoint) = Checkpoint::peek(bytes) {
            self.tally.sealed = Some(Sealed {
                checkpoints: self.tally.sealed.map_or(0, |sealed| sealed.checkpoints) + 1,
                epoch: checkpoint.epoch,
                hash: Sha256::digest(bytes).into(),
                next_key: checkpoint.next_key,
            });
        }
        self.tally.add(&out[..length]);
        self.pending = None;
        Some(length)
    }

    /// A segment that begins with the event that is pending.
    fn segment(&mut self, begin: Next, out: &mut [u8]) -> Result<Option<usize>, ExportError> {
        let room = self.room().saturating_sub(limits::COSE_BYTES).min(limits::PAYLOAD_BYTES);
        if room < limits::SEGMENT_FRAME_BYTES + limits::EVENT_BYTES {
            self.ending = Ending::Full;
            return Ok(None);
        }
        let undo = self.tally.clone();
        let Next { boot, place, sequence: first, previous, .. } = begin;
        // Lent out, so that frames can be fetched while the segment is built in it.
        let scratch = core::mem::take(&mut self.scratch);
        let mut builder = Builder::new(&mut scratch[..room]);
        let mut end = begin.previous;
        loop {
            self.fetch();
            let Some(Pending::Event(next)) = self.pending else { break };
            let follows = next.sequence == first + builder.count() as u64;
            let event = &self.entry[..next.length];
            if !follows || (next.boot, next.place) != (boot, place) || !builder.push(event) {
                break;
            }
            if let Some(policy) = accepted(event) {
                self.tally.policies.accept(policy);
            }
            end = next.head;
            self.pending = None;
        }
        let count = builder.count() as u64;
        let (device, ring, events) = (self.device, self.ring, Events::NONE);
        let segment = Segment { device, ring, boot, first, previous, events, head: end, place };
        let length = builder
            .finish(&segment)
            .map_err(ExportError::from)
            .and_then(|payload| Ok(sign1(payload, Domain::Export, self.key, out)?));
        self.scratch = scratch;
        let length = length?;
        self.undo = Some(undo);
        let tally = &mut self.tally;
        if tally.events == 0 {
            tally.first = first;
            self.before = Some(previous);
        }
        tally.last = first + (count - 1);
        tally.events += count;
        tally.segments += 1;
        tally.after = Some(end);
        tally.add(&out[..length]);
        Ok(Some(length))
    }
}

impl Tally {
    /// Takes an item in.
    fn add(&mut self, item: &[u8]) {
        self.bytes += item.len() as u64;
        self.items.update(item);
    }
}

/// The policy that an event says was accepted.
fn accepted(event: &[u8]) -> Option<Policy> {
    /// Map head aside, what every policy event begins with: key 0, its kind.
    const KIND: [u8; 3] = [0, 0x18, Kind::Policy as u8];
    // Most events are none; those are not decoded.
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
