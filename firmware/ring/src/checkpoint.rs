//! Sealing records: what the ring says of itself, and whoever signs it.
//!
//! The ring knows neither keys nor signatures. It hands a [`Summary`] to a [`Sealer`] and stores what comes back in a
//! mark, in its place among the events:
//! ```text
//! payload of a mark:  u64 next epoch │ u64 segment that the record calls open │ record
//! ```

use sha2::{Digest, Sha256};

use crate::books::Books;
use crate::bytes::{put, u64_at};
use crate::error::Error;
use crate::frame::kind;
use crate::io::Device;
use crate::layout::{Geometry, Leaves, Sealing};
use crate::limits::{FRAME_HEADER_BYTES, NUMBER_MAX, PAYLOAD_BYTES, RECORD_BYTES, RECORD_PREFIX_BYTES};
use crate::merkle::Merkle;
use crate::ring::Ring;
use crate::survey::header;

/// What a checkpoint says of the ring. All of it is durable when the sealer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The ring.
    pub ring_id: [u8; 16],
    /// The boot that seals.
    pub boot_id: [u8; 16],
    /// The last event's sequence; 0 when there is none.
    pub sequence: u64,
    /// Head of the chain after it.
    pub head: [u8; 32],
    /// Number of the segment that is being written.
    pub segment: u64,
    /// The first sequence in it.
    pub segment_first: u64,
    /// Its events so far.
    pub open: Leaves,
    /// The segments closed since the last sealing record.
    pub closed: Closed,
    /// First sequence that can be read.
    pub retained: u64,
    /// What left the ring in time and what did not.
    pub books: Books,
    /// The last sealing record; none in a ring that was never sealed.
    pub sealing: Option<Sealing>,
}

/// Segments in a row, by the Merkle root over their [`leaf`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Number of the first one.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// Root over them; none when one of them can't be read any more.
    pub root: Option<[u8; 32]>,
}

/// Bytes of a [`leaf`].
pub const LEAF_BYTES: usize = 56;

/// The leaf of a closed segment: number, first sequence, events (u64 each, big-endian), and the root over its events.
pub fn leaf(number: u64, first_sequence: u64, leaves: &Leaves) -> [u8; LEAF_BYTES] {
    let mut bytes = [0; LEAF_BYTES];
    put(&mut bytes, 0, &number.to_be_bytes());
    put(&mut bytes, 8, &first_sequence.to_be_bytes());
    put(&mut bytes, 16, &leaves.events.to_be_bytes());
    put(&mut bytes, 24, &leaves.root);
    bytes
}

/// Signs checkpoints.
pub trait Sealer {
    /// Why it can't.
    type Error;

    /// Signs `summary`, makes the state that follows durable, and only then returns: the epoch that is next from now on,
    /// and the length of the record that it wrote to the front of `out` (which has
    /// [`RECORD_BYTES`](crate::limits::RECORD_BYTES)).
    ///
    /// After an error nothing must have changed. After success the record counts: if the ring does not come to write it,
    /// the sealer hands it to [`Ring::put_record`] after the next open.
    fn seal(&mut self, summary: &Summary, out: &mut [u8]) -> Result<(u64, usize), Self::Error>;
}

/// Why there is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointError<E, S> {
    /// The ring failed. If it failed after the sealer signed, the record is pending and goes out with the next commit.
    Ring(Error<E>),
    /// The sealer failed; nothing was written.
    Sealer(S),
}

impl<E: core::fmt::Display, S: core::fmt::Display> core::fmt::Display for CheckpointError<E, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Ring(error) => error.fmt(f),
            Self::Sealer(error) => error.fmt(f),
        }
    }
}

impl<E, S> From<Error<E>> for CheckpointError<E, S> {
    fn from(error: Error<E>) -> Self {
        Self::Ring(error)
    }
}

/// A sealing record, as the ring stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// A certificate of a first key; else a checkpoint.
    pub certificate: bool,
    /// The epoch that is next after it.
    pub next_epoch: u64,
    /// The segment that it calls open.
    pub segment: u64,
    /// What was signed, signature and all.
    pub bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the payload of a mark of kind [`kind::CHECKPOINT`] or [`kind::CERTIFICATE`].
    pub fn decode(kind: u8, payload: &'a [u8]) -> Option<Self> {
        if !matches!(kind, kind::CHECKPOINT | kind::CERTIFICATE) || payload.len() < RECORD_PREFIX_BYTES {
            return None;
        }
        let (next_epoch, segment) = (u64_at(payload, 0), u64_at(payload, 8));
        let good = next_epoch <= NUMBER_MAX && segment <= NUMBER_MAX;
        let (certificate, bytes) = (kind == kind::CERTIFICATE, &payload[RECORD_PREFIX_BYTES..]);
        good.then_some(Self { certificate, next_epoch, segment, bytes })
    }

    /// What the ring remembers of it.
    pub fn sealing(&self) -> Sealing {
        let hash = Sha256::digest(self.bytes).into();
        Sealing { next_epoch: self.next_epoch, hash, segment: self.segment }
    }
}

/// The segments closed since the last sealing record, as the writer keeps them.
#[derive(Clone)]
pub(crate) struct Span {
    pub(crate) first: u64,
    /// None of them is unknown.
    known: bool,
    tree: Merkle,
}

impl Span {
    pub(crate) const fn from(first: u64) -> Self {
        Self { first, known: true, tree: Merkle::new() }
    }

    /// What was closed is another past's: the record speaks of segments that are not there. The ring was put back from a copy,
    /// or its disk lost what it had flushed.
    const fn unknown(first: u64) -> Self {
        Self { first, known: false, tree: Merkle::new() }
    }

    /// The next segment was closed; its events may not be known.
    pub(crate) fn push(&mut self, number: u64, first_sequence: u64, leaves: Option<&Leaves>) {
        match leaves {
            Some(leaves) => self.tree.push(&leaf(number, first_sequence, leaves)),
            None => self.known = false,
        }
    }

    /// The segments from `first` to before `end` by their headers. `newest` is what the header behind the last one of
    /// them will have to say; it is not written yet.
    pub(crate) fn read<D: Device>(
        device: &mut D,
        geometry: &Geometry,
        first: u64,
        end: u64,
        newest: Option<&Leaves>,
    ) -> Result<Self, Error<D::Error>> {
        if first > end {
            return Ok(Self::unknown(end));
        }
        let mut span = Self::from(first);
        if end - first > geometry.segments {
            span.known = false;
        }
        let mut number = first;
        let mut next = None;
        while span.known && number < end {
            let this = match next.take() {
                Some(this) => Some(this),
                None => header(device, geometry, number)?,
            };
            let Some(this) = this else {
                span.known = false;
                break;
            };
            if number + 1 == end {
                span.push(number, this.first_sequence, newest);
            } else {
                next = header(device, geometry, number + 1)?;
                span.push(number, this.first_sequence, next.and_then(|next| next.before).as_ref());
            }
            number += 1;
        }
        Ok(span)
    }

    fn closed(&self, end: u64) -> Closed {
        let count = end.saturating_sub(self.first);
        let root = (self.known && self.tree.leaves() == count).then(|| self.tree.root());
        Closed { first: self.first, count, root }
    }
}

impl<D: Device> Ring<'_, D> {
    /// What a checkpoint would say now, of what is durable and what is pending.
    pub fn summary(&self) -> Summary {
        let segment = self.segment();
        Summary {
            ring_id: self.geometry().ring_id,
            boot_id: self.boot_id(),
            sequence: self.next_sequence() - 1,
            head: self.head(),
            segment,
            segment_first: self.segment_first(),
            open: self.open_leaves(),
            closed: self
                .span()
                .map_or(Closed { first: segment, count: 0, root: None }, |span| span.closed(segment)),
            retained: self.retained(),
            books: self.books(),
            sealing: self.sealing(),
        }
    }

    /// Commits what is pending, has it sealed, and makes the checkpoint durable behind it. Returns the epoch that is
    /// next.
    ///
    /// # Errors
    /// See [`CheckpointError`]. After [`CheckpointError::Ring`] look at [`sealing`](Self::sealing) to see whether the
    /// checkpoint is pending; [`flush`](Self::flush) tries again then.
    pub fn checkpoint<S: Sealer>(
        &mut self,
        sealer: &mut S,
    ) -> Result<u64, CheckpointError<D::Error, S::Error>> {
        self.flush()?;
        // Before it is signed: the segment that it calls open is the one that it will be in.
        self.make_room(FRAME_HEADER_BYTES + PAYLOAD_BYTES)?;
        let summary = self.summary();
        let mut record = [0; RECORD_BYTES];
        let (next_epoch, length) = sealer.seal(&summary, &mut record).map_err(CheckpointError::Sealer)?;
        let bytes = record.get(..length).ok_or(Error::RecordTooLong)?;
        self.put_record(&Record { certificate: false, next_epoch, segment: summary.segment, bytes })?;
        self.flush()?;
        Ok(next_epoch)
    }

    /// Appends a sealing record, to be written with the next commit: a certificate, or a checkpoint that was signed but
    /// did not reach the ring before the power failed.
    pub fn put_record(&mut self, record: &Record<'_>) -> Result<(), Error<D::Error>> {
        if record.bytes.len() > RECORD_BYTES {
            return Err(Error::RecordTooLong);
        }
        let length = RECORD_PREFIX_BYTES + record.bytes.len();
        self.make_room(FRAME_HEADER_BYTES + length)?;
        let span = self.span_from(record.segment)?;
        let mut payload = [0; PAYLOAD_BYTES];
        put(&mut payload, 0, &record.next_epoch.to_le_bytes());
        put(&mut payload, 8, &record.segment.to_le_bytes());
        put(&mut payload, RECORD_PREFIX_BYTES, record.bytes);
        let kind = if record.certificate { kind::CERTIFICATE } else { kind::CHECKPOINT };
        self.put(kind, &payload[..length]);
        self.sealed_as(record.sealing(), span);
        Ok(())
    }
}
