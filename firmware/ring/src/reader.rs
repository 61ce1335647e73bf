//! The reader: frames in order, with the chain verified.

use crate::books::Books;
use crate::cursor::{self, Cursor, Event, Step};
use crate::error::Error;
use crate::frame::chain_start;
use crate::io::{Device, Window, flush};
use crate::layout::{Geometry, Place, Sealing, SegmentHeader};
use crate::limits::BUFFER_BYTES_MIN;
use crate::survey::{Tail, first_sequence, header, place, segment_of, superblocks, survey, tail};

/// One event as the ring holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Sequence of the event, 1 for a ring's first.
    pub sequence: u64,
    /// The boot it was written in.
    pub boot_id: [u8; 16],
    /// The segment that holds it.
    pub segment: u64,
    /// Head of the chain before it.
    pub previous: [u8; 32],
    /// Head of the chain after it; verified.
    pub head: [u8; 32],
    /// The event's bytes.
    pub payload: &'a [u8],
}

/// A mark as the ring holds it: a note of the ring's own between the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark<'a> {
    /// What it is: [`kind`](crate::kind). A later version may write more of them.
    pub kind: u8,
    /// Sequence of the event before it, or before the end of the hole that it stands in.
    pub sequence: u64,
    /// Head of the chain after that event.
    pub head: [u8; 32],
    /// The mark's bytes.
    pub payload: &'a [u8],
}

/// Event or mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// An event.
    Event(Frame<'a>),
    /// A mark.
    Mark(Mark<'a>),
}

/// Where an entry is, its payload still in the window.
#[derive(Clone, Copy)]
enum Found {
    Event(u64, Event),
    Mark(cursor::Mark),
}

/// Reads a ring as it stood when it was opened or last [refreshed](Reader::refresh). A [`Ring`](crate::Ring) may
/// be appending meanwhile; what it adds is not seen, and what it overwrites gives [`Error::Overwritten`].
pub struct Reader<'b, D> {
    device: D,
    window: Window<'b>,
    geometry: Geometry,
    first_sequence: u64,
    /// The newest segment and where its frames end; none in an empty ring.
    end: Option<Tail>,
    at: At,
}

/// Where the reader stands.
#[derive(Clone)]
enum At {
    /// In a segment.
    Segment(Cursor),
    /// Before this segment, whose header does not hold.
    Headless(u64),
    /// Behind everything.
    End,
}

impl<'b, D: Device> Reader<'b, D> {
    /// Opens the ring and stands before its oldest event. Writes nothing. `scratch` is read ahead into; at
    /// least [`BUFFER_BYTES_MIN`] bytes, 64 KiB is a good size.
    pub fn open(mut device: D, scratch: &'b mut [u8]) -> Result<Self, Error<D::Error>> {
        if scratch.len() < BUFFER_BYTES_MIN {
            return Err(Error::BufferTooSmall);
        }
        let geometry = superblocks(&mut device)?.chosen.geometry;
        let window = Window::new(scratch);
        let mut reader = Self { device, window, geometry, first_sequence: 1, end: None, at: At::End };
        reader.refresh()?;
        reader.rewind()?;
        Ok(reader)
    }

    /// Looks again where the ring begins and ends. The place of the reader stays.
    ///
    /// Flushes the device, so that what is read now is not taken back by a power cut later: the sequences in an
    /// export must never be given to other events.
    pub fn refresh(&mut self) -> Result<(), Error<D::Error>> {
        let found = survey(&mut self.device, &self.geometry)?;
        let Some(newest) = found.newest else {
            // A ring with damaged headers and no good one is not empty.
            return found.damaged.map_or(Ok(()), |offset| Err(Error::Corrupted { offset }));
        };
        let mut end = tail(&mut self.device, &mut self.window, &self.geometry, &newest, None)?;
        self.window.forget();
        flush(&mut self.device)?;
        if found.damaged.is_some() && end.damaged.is_none() && self.header_lost_after(&newest)? {
            end.damaged = Some((self.geometry.segment_offset(newest.number + 1), 0));
        }
        if matches!(self.at, At::End)
            && let Some(old) = &self.end
        {
            self.at = At::Segment(old.cursor.clone());
        } else if self.end.is_none() && matches!(self.at, At::End) {
            // The ring was empty: stand before its first segment.
            self.at = At::Headless(0);
        }
        let kept = self.geometry.oldest(newest.number)..=newest.number;
        self.first_sequence = first_sequence(&mut self.device, &self.geometry, kept, end.cursor.sequence)?;
        self.end = Some(end);
        Ok(())
    }

    /// The ring's id.
    pub const fn ring_id(&self) -> [u8; 16] {
        self.geometry.ring_id
    }

    /// The ring's shape.
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Sequence of the oldest event still there; equal to [`next_sequence`](Self::next_sequence) when there is
    /// none.
    pub const fn first_sequence(&self) -> u64 {
        self.first_sequence
    }

    /// The sequence after the last event; 1 for a new ring.
    pub fn next_sequence(&self) -> u64 {
        self.end.as_ref().map_or(1, |end| end.cursor.sequence)
    }

    /// Head of the chain after the last event.
    pub fn head(&self) -> [u8; 32] {
        self.end.as_ref().map_or_else(|| chain_start(&self.geometry.ring_id), |end| end.cursor.head)
    }

    /// The last frame is a seal: the writer ended in order.
    pub fn sealed(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.cursor.sealed && end.damaged.is_none())
    }

    /// What left the ring in time and what did not, as of its end.
    pub fn books(&self) -> Books {
        self.end.as_ref().map_or_else(Books::default, |end| end.books)
    }

    /// The last sealing record.
    pub fn sealing(&self) -> Option<Sealing> {
        self.end.as_ref().and_then(|end| end.sealing)
    }

    /// The next event; `None` at the end.
    ///
    /// [`Error::Corrupted`] where something does not hold: again at every further call, until
    /// [`seek`](Self::seek) or [`skip`](Self::skip) goes elsewhere. After [`Error::Overwritten`] seek too.
    #[expect(clippy::should_implement_trait, reason = "a lending iterator that can fail is no Iterator")]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, Error<D::Error>> {
        let Some(Found::Event(segment, event)) = self.find(|_| false)? else { return Ok(None) };
        Ok(Some(self.frame(segment, event)))
    }

    /// The next event, or mark of one of these kinds; `None` at the end. As [`next`](Self::next), which passes over all
    /// marks.
    pub fn next_of(&mut self, kinds: &[u8]) -> Result<Option<Entry<'_>>, Error<D::Error>> {
        let found = self.find(|kind| kinds.contains(&kind))?;
        Ok(found.map(|found| self.entry(found)))
    }

    /// The next event or mark, whatever its kind; `None` at the end.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, Error<D::Error>> {
        let found = self.find(|_| true)?;
        Ok(found.map(|found| self.entry(found)))
    }

    fn find(&mut self, wanted: impl Fn(u8) -> bool) -> Result<Option<Found>, Error<D::Error>> {
        loop {
            match self.advance()? {
                Some(Found::Mark(mark)) if !wanted(mark.kind) => {}
                found => return Ok(found),
            }
        }
    }

    fn entry(&self, found: Found) -> Entry<'_> {
        match found {
            Found::Event(segment, event) => Entry::Event(self.frame(segment, event)),
            Found::Mark(cursor::Mark { kind, sequence, head, offset, length }) => {
                Entry::Mark(Mark { kind, sequence, head, payload: self.window.cached(offset, length) })
            }
        }
    }

    fn frame(&self, segment: u64, event: Event) -> Frame<'_> {
        let Event { sequence, boot_id, previous, head, offset, length } = event;
        Frame { sequence, boot_id, segment, previous, head, payload: self.window.cached(offset, length) }
    }

    /// Goes before the oldest entry: marks before the oldest event are met too.
    pub fn rewind(&mut self) -> Result<(), Error<D::Error>> {
        let Some(end) = &self.end else { return Ok(()) };
        let oldest = self.geometry.oldest(end.cursor.segment);
        self.at = match header(&mut self.device, &self.geometry, oldest)? {
            Some(header) => At::Segment(Cursor::new(&self.geometry, &header)),
            None => At::Headless(oldest),
        };
        Ok(())
    }

    /// Goes to the event with this sequence, so that [`next`](Self::next) returns it. `next_sequence` is a place
    /// too: the end. Reads one header for each halving of the segments, then at most one segment.
    pub fn seek(&mut self, sequence: u64) -> Result<(), Error<D::Error>> {
        let next_sequence = self.next_sequence();
        if sequence > next_sequence {
            return Err(Error::Beyond { next_sequence });
        }
        let Some(end) = &self.end else { return Ok(()) };
        if sequence == next_sequence {
            self.at = At::Segment(end.cursor.clone());
            return Ok(());
        }
        let newest = end.cursor.segment;
        let oldest = self.geometry.oldest(newest);
        let Some(header) = segment_of(&mut self.device, &self.geometry, sequence, oldest, newest)? else {
            return Err(self
                .overtaken(oldest)?
                .unwrap_or(Error::Overwritten { first_sequence: self.first_sequence }));
        };
        self.at = At::Segment(Cursor::new(&self.geometry, &header));
        // Only ever forward: each turn passes a frame.
        loop {
            if let At::Segment(cursor) = &self.at
                && cursor.sequence >= sequence
                && cursor.segment == header.number
            {
                return if cursor.sequence == sequence {
                    Ok(())
                } else {
                    Err(Error::Corrupted { offset: cursor.offset() })
                };
            }
            if self.advance()?.is_none() {
                return Err(Error::Beyond { next_sequence });
            }
        }
    }

    /// Goes to the beginning of the next segment that has a good header: the way past a damaged place.
    /// Returns the first sequence there, or `None` when there is no such segment: then the reader is at the end.
    pub fn skip(&mut self) -> Result<Option<u64>, Error<D::Error>> {
        let Some(end) = &self.end else { return Ok(None) };
        let newest = end.cursor.segment;
        let from = match &self.at {
            At::Segment(cursor) => cursor.segment + 1,
            At::Headless(number) => number + 1,
            At::End => return Ok(None),
        };
        for number in from.max(self.geometry.oldest(newest))..=newest {
            if let Some(header) = header(&mut self.device, &self.geometry, number)? {
                self.at = At::Segment(Cursor::new(&self.geometry, &header));
                return Ok(Some(header.first_sequence));
            }
        }
        self.at = At::End;
        Ok(None)
    }

    /// Passes segments, and the next frame.
    fn advance(&mut self) -> Result<Option<Found>, Error<D::Error>> {
        loop {
            let Some(end) = &self.end else { return Ok(None) };
            let newest = end.cursor.segment;
            let cursor = match &mut self.at {
                At::End => return Ok(None),
                At::Headless(number) => {
                    let number = *number;
                    self.enter(number, None)?;
                    continue;
                }
                At::Segment(cursor) => cursor,
            };
            if cursor.segment == newest && cursor.position >= end.cursor.position {
                return match end.damaged {
                    Some((offset, _)) => Err(Error::Corrupted { offset }),
                    None => Ok(None),
                };
            }
            let number = cursor.segment;
            match cursor.step(&mut self.device, &mut self.window)? {
                Step::Event(event) => return Ok(Some(Found::Event(number, event))),
                Step::Mark(mark) => return Ok(Some(Found::Mark(mark))),
                Step::End(offset) if number < newest => {
                    let (sequence, head) = (cursor.sequence, cursor.head);
                    self.enter(number + 1, Some((sequence, head, offset)))?;
                }
                Step::End(offset) | Step::Broken(offset) => {
                    return Err(self.overtaken(number)?.unwrap_or(Error::Corrupted { offset }));
                }
            }
        }
    }

    /// Goes to the beginning of a segment. With `before`, the chain must go on there as it ended here; if not,
    /// the frames are missing at the offset given.
    fn enter(&mut self, number: u64, before: Option<(u64, [u8; 32], u64)>) -> Result<(), Error<D::Error>> {
        let Some(header) = header(&mut self.device, &self.geometry, number)? else {
            let offset = self.geometry.segment_offset(number);
            return Err(self.overtaken(number)?.unwrap_or(Error::Corrupted { offset }));
        };
        if let Some((sequence, head, offset)) = before
            && (header.first_sequence, header.previous) != (sequence, head)
        {
            return Err(self.overtaken(number - 1)?.unwrap_or(Error::Corrupted { offset }));
        }
        self.at = At::Segment(Cursor::new(&self.geometry, &header));
        Ok(())
    }

    /// `Overwritten` if the writer has come round to this segment since the last refresh. It has if the segment
    /// before it in place carries a newer number: that one was flushed before this one was touched.
    fn overtaken(&mut self, number: u64) -> Result<Option<Error<D::Error>>, Error<D::Error>> {
        let mut came_round = false;
        for newer in [number + self.geometry.segments - 1, number + self.geometry.segments] {
            let found = place(&mut self.device, &self.geometry, newer % self.geometry.segments)?;
            came_round |= matches!(found, Place::Segment(header) if header.number >= newer);
        }
        if !came_round {
            return Ok(None);
        }
        self.refresh()?;
        Ok(Some(Error::Overwritten { first_sequence: self.first_sequence }))
    }

    /// The place after the newest segment has a damaged header: a newer segment may have been there. Read twice:
    /// a writer may be in the middle of putting one there.
    fn header_lost_after(&mut self, newest: &SegmentHeader) -> Result<bool, Error<D::Error>> {
        let after = (newest.number + 1) % self.geometry.segments;
        Ok(place(&mut self.device, &self.geometry, after)? == Place::Damaged
            && place(&mut self.device, &self.geometry, after)? == Place::Damaged)
    }
}
