//! A segment: events of one boot, in a row, with the chain heads on both sides.

use minicbor::Encoder;
use minicbor::encode::write::{Cursor, EndOfSlice};

use crate::cbor::{CborError, Reader};
use crate::chain::{Hash, Id, next_head};
use crate::limits;

/// `type` of a segment (key 0).
pub(crate) const TYPE: &str = "segment";
/// The format that is written (key 1 of segments and manifests). Format 1, which had no seals, is read too.
pub const FORMAT: u64 = 2;

/// Events of one boot, in sequence order (`docs/formats/export.cddl`, `segment`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Device id.
    pub device: Id,
    /// Ring id.
    pub ring: Id,
    /// The boot all these events belong to.
    pub boot: Id,
    /// Sequence of the first event, 1 or more.
    pub first: u64,
    /// Head of the chain before the first event.
    pub previous: Hash,
    /// The events.
    pub events: Events<'a>,
    /// Head of the chain after the last event, as the device wrote it: see [`Segment::chain`].
    pub head: Hash,
    /// Number of the ring's segment that these events are in; none in format 1, and where there is no such thing.
    pub place: Option<u64>,
}

impl Segment<'_> {
    /// Sequence of the last event.
    pub fn last(&self) -> u64 {
        self.first + (self.events.count as u64 - 1)
    }

    /// The head after the last event, computed from [`Segment::previous`] and the events.
    /// The segment holds together when it equals [`Segment::head`].
    pub fn chain(&self) -> Hash {
        self.events.clone().fold(self.previous, |head, (sequence, event)| next_head(&head, sequence, event))
    }
}

/// The events of a segment: iterates over (sequence, event bytes). Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Events<'a> {
    /// The array's items, one after the other; their shape was checked when the segment was read.
    items: &'a [u8],
    next: u64,
    count: usize,
}

impl core::fmt::Debug for Events<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Events({} from {})", self.count, self.next)
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        let mut reader = Reader::new(self.items);
        let event = reader.bytes(limits::EVENT_BYTES).ok()?;
        self.items = &self.items[reader.position()..];
        let sequence = self.next;
        // The last event may have the largest sequence there is.
        self.next = sequence.wrapping_add(1);
        Some((sequence, event))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Events<'_> {}

/// Reads a segment's entries after `type` and `format`.
pub(crate) fn read<'a>(
    reader: &mut Reader<'a>,
    payload: &'a [u8],
    format: u64,
) -> Result<Segment<'a>, CborError> {
    reader.key(2)?;
    let device = reader.fixed()?;
    reader.key(3)?;
    let ring = reader.fixed()?;
    reader.key(4)?;
    let boot = reader.fixed()?;
    reader.key(5)?;
    let first = reader.uint()?;
    reader.key(6)?;
    let previous = reader.fixed()?;
    reader.key(7)?;
    let count = reader.array_up_to(limits::SEGMENT_EVENTS)?;
    if first == 0 || count == 0 || first.checked_add(count as u64 - 1).is_none() {
        return Err(CborError::Unexpected);
    }
    let begin = reader.position();
    for _ in 0..count {
        if reader.bytes(limits::EVENT_BYTES)?.is_empty() {
            return Err(CborError::Unexpected);
        }
    }
    let items = &payload[begin..reader.position()];
    reader.key(8)?;
    let head = reader.fixed()?;
    let place = if format == 1 {
        None
    } else {
        reader.key(9)?;
        if reader.null()? { None } else { Some(reader.uint()?) }
    };
    let events = Events { items, next: first, count };
    Ok(Segment { device, ring, boot, first, previous, events, head, place })
}

/// Entries of a segment's map, by format.
pub(crate) const fn entries(format: u64) -> u64 {
    if format == 1 { 9 } else { 10 }
}

/// Most bytes before the first event.
const PREFIX_BYTES: usize = 115;
/// Most bytes after the last event: key 8 and a 32-byte string, key 9 and a number.
const SUFFIX_BYTES: usize = 45;
/// Bytes of the length in front of an event, at most.
pub(crate) const EVENT_LENGTH_BYTES: usize = 3;

const _: () = assert!(PREFIX_BYTES + SUFFIX_BYTES <= limits::SEGMENT_FRAME_BYTES);

/// Builds a segment's payload in a caller's buffer, without knowing beforehand how many events there will be:
/// events are written from [`PREFIX_BYTES`] on, what comes before them is put in front when their number is known.
pub(crate) struct Builder<'b> {
    buffer: &'b mut [u8],
    at: usize,
    count: usize,
}

impl<'b> Builder<'b> {
    /// In a buffer of at least [`limits::SEGMENT_FRAME_BYTES`].
    pub(crate) fn new(buffer: &'b mut [u8]) -> Self {
        debug_assert!(buffer.len() >= limits::SEGMENT_FRAME_BYTES, "the exporter checks the room first");
        Self { buffer, at: PREFIX_BYTES, count: 0 }
    }

    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Adds an event; false when it does not fit any more.
    pub(crate) fn push(&mut self, event: &[u8]) -> bool {
        let room = self.buffer.len().saturating_sub(self.at + SUFFIX_BYTES);
        if self.count == limits::SEGMENT_EVENTS || event.len() + EVENT_LENGTH_BYTES > room {
            return false;
        }
        let mut encoder = Encoder::new(Cursor::new(&mut self.buffer[self.at..]));
        if encoder.bytes(event).is_err() {
            return false;
        }
        self.at += encoder.writer().position();
        self.count += 1;
        true
    }

    /// The payload.
    pub(crate) fn finish(
        self,
        segment: &Segment<'_>,
    ) -> Result<&'b [u8], minicbor::encode::Error<EndOfSlice>> {
        let mut prefix = [0; PREFIX_BYTES];
        let mut encoder = Encoder::new(Cursor::new(&mut prefix[..]));
        encoder.map(entries(FORMAT))?;
        encoder.u8(0)?.str(TYPE)?.u8(1)?.u64(FORMAT)?;
        encoder.u8(2)?.bytes(&segment.device)?.u8(3)?.bytes(&segment.ring)?.u8(4)?.bytes(&segment.boot)?;
        encoder.u8(5)?.u64(segment.first)?.u8(6)?.bytes(&segment.previous)?;
        encoder.u8(7)?.array(self.count as u64)?;
        let length = encoder.writer().position();
        let begin = PREFIX_BYTES - length;
        self.buffer[begin..PREFIX_BYTES].copy_from_slice(&prefix[..length]);
        let mut encoder = Encoder::new(Cursor::new(&mut self.buffer[self.at..]));
        encoder.u8(8)?.bytes(&segment.head)?.u8(9)?;
        match segment.place {
            Some(number) => encoder.u64(number)?,
            None => encoder.null()?,
        };
        let end = self.at + encoder.writer().position();
        Ok(&self.buffer[begin..end])
    }
}

impl Events<'_> {
    /// No events: stands in while a segment is built.
    pub(crate) const NONE: Events<'static> = Events { items: &[], next: 1, count: 0 };
}
