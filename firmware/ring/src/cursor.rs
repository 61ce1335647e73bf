//! Walks the frames of one segment, and knows what may follow what.

use crate::crc::Seed;
use crate::error::Error;
use crate::frame::{Header, chain_next, kind};
use crate::io::{Device, Window};
use crate::layout::{Geometry, SegmentHeader};
use crate::limits::{FRAME_BYTES, FRAME_HEADER_BYTES, SECTOR_BYTES};

const SECTOR: u64 = SECTOR_BYTES as u64;

/// A place in a segment, and the chain up to there.
#[derive(Clone)]
pub(crate) struct Cursor {
    pub(crate) segment: u64,
    pub(crate) boot_id: [u8; 16],
    /// Sequence of the next event.
    pub(crate) sequence: u64,
    /// Chain before the next event.
    pub(crate) head: [u8; 32],
    /// The last frame was a seal.
    pub(crate) sealed: bool,
    /// Bytes from the beginning of the segment.
    pub(crate) position: u64,
    seed: Seed,
    start: u64,
    end: u64,
    commit: u32,
}

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An event that continues the chain; its payload is in the window.
    Event(Event),
    /// A mark: seal, checkpoint, or one of a later version.
    Mark(Mark),
    /// No frame at this device offset: the end, or damage.
    End(u64),
    /// A whole frame at this device offset that does not continue the chain.
    Broken(u64),
}

/// An event passed. Its payload is in the window, at this device offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) sequence: u64,
    pub(crate) boot_id: [u8; 16],
    pub(crate) previous: [u8; 32],
    pub(crate) head: [u8; 32],
    pub(crate) offset: u64,
    pub(crate) length: usize,
}

/// A mark passed. Its payload is in the window, at this device offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) kind: u8,
    pub(crate) sequence: u64,
    pub(crate) head: [u8; 32],
    pub(crate) offset: u64,
    pub(crate) length: usize,
}

impl Cursor {
    pub(crate) fn new(geometry: &Geometry, header: &SegmentHeader) -> Self {
        let start = geometry.segment_offset(header.number);
        Self {
            segment: header.number,
            boot_id: header.boot_id,
            sequence: header.first_sequence,
            head: header.previous,
            sealed: false,
            position: SECTOR,
            seed: Seed::new(&geometry.ring_id, header.number, &header.boot_id),
            start,
            end: start + u64::from(geometry.segment_bytes),
            commit: 1,
        }
    }

    /// Device offset of the place.
    pub(crate) fn offset(&self) -> u64 {
        self.start + self.position
    }

    /// Passes one frame. At `End` and `Broken` the place stays.
    pub(crate) fn step<D: Device>(
        &mut self,
        device: &mut D,
        window: &mut Window<'_>,
    ) -> Result<Step, Error<D::Error>> {
        if let Some(header) = self.frame_at(device, window, self.position, self.commit)? {
            return Ok(self.pass(&header, self.position, window));
        }
        // Not a frame: the padding after the last frame of a commit is zero up to its sector's end.
        let next = self.position.next_multiple_of(SECTOR);
        let padding = (next - self.position) as usize;
        let bytes = window.get(device, self.offset(), padding, self.end)?;
        if padding == 0 || bytes.iter().any(|byte| *byte != 0) {
            return Ok(Step::End(self.start + self.position));
        }
        // Padding ends a commit. A frame of the same commit behind it is from a retry of that commit, which had
        // grown, and whose sector here was lost: torn, and not to be compared with the chain.
        match self.frame_at(device, window, next, (next / SECTOR) as u32)? {
            Some(header) => Ok(self.pass(&header, next, window)),
            None => Ok(Step::End(self.start + next)),
        }
    }

    /// The whole frame at `position`, if there is one of this segment that is of `commit` or starts its own.
    fn frame_at<D: Device>(
        &self,
        device: &mut D,
        window: &mut Window<'_>,
        position: u64,
        commit: u32,
    ) -> Result<Option<Header>, Error<D::Error>> {
        let offset = self.start + position;
        if offset + FRAME_HEADER_BYTES as u64 > self.end {
            return Ok(None);
        }
        let bytes = window.get(device, offset, FRAME_BYTES, self.end)?;
        let starts_here = |header: &Header| {
            position.is_multiple_of(SECTOR) && u64::from(header.commit) == position / SECTOR
        };
        Ok(Header::decode(self.seed, bytes).filter(|h| h.commit == commit || starts_here(h)))
    }

    fn pass(&mut self, header: &Header, position: u64, window: &Window<'_>) -> Step {
        let offset = self.start + position + FRAME_HEADER_BYTES as u64;
        let previous = self.head;
        let step = if header.kind == kind::EVENT {
            let payload = window.cached(offset, header.length);
            if header.sequence != self.sequence
                || header.head != chain_next(&previous, header.sequence, payload)
            {
                return Step::Broken(self.start + position);
            }
            self.sequence += 1;
            self.head = header.head;
            let Header { sequence, head, length, .. } = *header;
            Step::Event(Event { sequence, boot_id: self.boot_id, previous, head, offset, length })
        } else {
            // A mark after a hole in the sequences has the sequence before the hole's end, like any other.
            if header.sequence.checked_add(1) != Some(self.sequence) || header.head != self.head {
                return Step::Broken(self.start + position);
            }
            let Header { kind, sequence, head, length, .. } = *header;
            Step::Mark(Mark { kind, sequence, head, offset, length })
        };
        self.sealed = header.kind == kind::SEAL;
        self.commit = header.commit;
        self.position = position + (FRAME_HEADER_BYTES + header.length) as u64;
        step
    }

    /// Looks behind an `End` for commits that came later. A commit is written only after the one before it was
    /// flushed, so one of them means that committed frames at this place were damaged, not torn.
    /// Returns the highest sequence seen in them.
    pub(crate) fn later<D: Device>(
        &self,
        device: &mut D,
        window: &mut Window<'_>,
    ) -> Result<Option<u64>, Error<D::Error>> {
        let size = self.end - self.start;
        let limit = self.sequence + size / FRAME_HEADER_BYTES as u64;
        let mut highest = None;
        let mut sector = self.position.next_multiple_of(SECTOR);
        while sector < size {
            let commit = (sector / SECTOR) as u32;
            let mut position = sector;
            while let Some(header) = self.frame_at(device, window, position, commit)? {
                // Payloads come from hostile programs: what looks like a frame inside one of them must not be
                // able to use up the sequences.
                let near = (self.sequence - 1..=limit).contains(&header.sequence);
                // A commit that fills its sectors has the next one right behind it: that is the next turn's.
                if header.commit != commit || !near {
                    break;
                }
                highest = highest.max(Some(header.sequence));
                position += (FRAME_HEADER_BYTES + header.length) as u64;
            }
            sector = position.max(sector + 1).next_multiple_of(SECTOR);
        }
        Ok(highest)
    }
}
