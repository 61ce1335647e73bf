//! The writer: recovery, append, group commit, seal.

use crate::crc::Seed;
use crate::error::Error;
use crate::frame::{Header, chain_next, chain_start, kind};
use crate::io::{Device, Window, flush, write_at};
use crate::layout::{Geometry, Place, SegmentHeader};
use crate::limits::{BUFFER_BYTES_MIN, FRAME_HEADER_BYTES, NUMBER_MAX, PAYLOAD_BYTES, SECTOR_BYTES};
use crate::survey::{first_sequence, place, superblocks, survey, tail};

/// What [`Ring::open`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The last run sealed the ring. False on a new ring.
    pub clean: bool,
    /// Nothing was ever written.
    pub fresh: bool,
    /// First sequence that can be read; equal to `next_sequence` when none can.
    pub first_sequence: u64,
    /// Sequence of the last event recovered; 0 when there is none.
    pub last_sequence: u64,
    /// Sequence that the next event will get: `last_sequence + 1`, or higher when committed frames behind the
    /// last one were damaged. So no sequence is ever given twice, and the loss shows as a hole.
    pub next_sequence: u64,
    /// Head of the chain after the last event recovered.
    pub head: [u8; 32],
    /// Boot that wrote the newest segment.
    pub last_boot: Option<[u8; 16]>,
    /// Device offset of committed bytes found damaged. Only the newest segment and the headers are looked at.
    pub damaged: Option<u64>,
    /// Device offset of a superblock that was damaged and is now whole.
    pub repaired: Option<u64>,
}

/// Figures of a ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Segments of the ring.
    pub segments: u64,
    /// Number of the segment that is written now, from 0.
    pub segment: u64,
    /// How often the ring came round.
    pub wraps: u64,
    /// Bytes that can hold frames a reader can reach.
    pub capacity_bytes: u64,
    /// Of those, bytes in use or given up at the end of segments.
    pub used_bytes: u64,
    /// First sequence that can be read; equal to the next one when none can.
    pub first_sequence: u64,
    /// Events appended since open.
    pub appended: u64,
    /// Commits since open.
    pub commits: u64,
    /// Bytes committed since open.
    pub written_bytes: u64,
}

/// A ring that is open for writing. One at a time on a device; readers may run beside it.
pub struct Ring<'b, D> {
    device: D,
    /// What is pending, as it will be on the device: the segment's header if it is not out yet, then frames.
    buffer: &'b mut [u8],
    geometry: Geometry,
    boot_id: [u8; 16],
    recovery: Recovery,
    segment: u64,
    seed: Seed,
    /// Bytes of the segment that are committed; 0 when its header is not out yet.
    committed: usize,
    pending: usize,
    frames: usize,
    /// Of the last event appended, or of the hole before the first one.
    sequence: u64,
    head: [u8; 32],
    acked: u64,
    /// The last frame appended is a seal, or was found so and nothing was appended since.
    sealed: bool,
    stats: Stats,
}

impl<'b, D: Device> Ring<'b, D> {
    /// Recovers the longest valid prefix; what is appended goes to a new segment. Nothing is written before the
    /// first commit, a superblock's repair excepted.
    ///
    /// `boot_id` must differ between two opens with a power cut in between. `buffer` bounds what one commit can
    /// hold; at least [`BUFFER_BYTES_MIN`] bytes.
    ///
    /// Work is bounded: one sector of each segment, and the newest segment at most three times.
    pub fn open(mut device: D, boot_id: [u8; 16], buffer: &'b mut [u8]) -> Result<Self, Error<D::Error>> {
        if buffer.len() < BUFFER_BYTES_MIN {
            return Err(Error::BufferTooSmall);
        }
        let superblocks = superblocks(&mut device)?;
        let geometry = superblocks.chosen.geometry;
        if let Some(offset) = superblocks.damaged {
            write_at(&mut device, offset, &superblocks.chosen.encode())?;
        }
        let (mut recovery, segment) = recover(&mut device, &geometry, buffer)?;
        recovery.repaired = superblocks.damaged;
        // A killed writer leaves frames that are in the cache only. They count as recovered, so they must not
        // vanish behind a new segment that refers to them.
        flush(&mut device)?;
        if segment > NUMBER_MAX || recovery.next_sequence > NUMBER_MAX {
            return Err(Error::Exhausted);
        }
        let stats = Stats {
            segments: geometry.segments,
            capacity_bytes: geometry.capacity_bytes(),
            first_sequence: recovery.first_sequence,
            ..Stats::default()
        };
        Ok(Self {
            device,
            buffer,
            geometry,
            boot_id,
            recovery,
            segment,
            seed: Seed::new(&geometry.ring_id, segment, &boot_id),
            committed: 0,
            pending: 0,
            frames: 0,
            sequence: recovery.next_sequence - 1,
            head: recovery.head,
            acked: recovery.next_sequence - 1,
            sealed: recovery.clean,
            stats,
        })
    }

    /// What was found at open.
    pub const fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// The ring's shape and id.
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Appends an event to the buffer and returns its sequence; durable after the next [`commit`](Self::commit).
    ///
    /// When the buffer or the segment has no room left it commits first: that is the only time it touches the
    /// device. If that fails the event was not taken, what was pending still is, and the call can be repeated.
    pub fn append(&mut self, payload: &[u8]) -> Result<u64, Error<D::Error>> {
        if payload.len() > PAYLOAD_BYTES {
            return Err(Error::PayloadTooLong);
        }
        if self.sequence >= NUMBER_MAX {
            return Err(Error::Exhausted);
        }
        self.make_room(FRAME_HEADER_BYTES + payload.len())?;
        let sequence = self.sequence + 1;
        let head = chain_next(&self.head, sequence, payload);
        self.put(kind::EVENT, sequence, head, payload);
        self.sequence = sequence;
        self.head = head;
        self.sealed = false;
        self.stats.appended += 1;
        Ok(sequence)
    }

    /// Writes what is pending, flushes, and returns the last sequence that is durable now.
    ///
    /// After an error nothing more is acked, and what was pending is kept. A device may drop what it failed to
    /// flush and call the next flush good, so the next call writes all of it again, to the same place: those
    /// sectors were never acked, and the same frames come first in them.
    pub fn commit(&mut self) -> Result<u64, Error<D::Error>> {
        if self.pending == 0 {
            return Ok(self.acked);
        }
        let end = self.pending.next_multiple_of(SECTOR_BYTES);
        self.buffer[self.pending..end].fill(0);
        let starts_segment = self.committed == 0;
        let offset = self.geometry.segment_offset(self.segment) + self.committed as u64;
        write_at(&mut self.device, offset, &self.buffer[..end])?;
        flush(&mut self.device)?;
        self.committed += end;
        self.pending = 0;
        self.frames = 0;
        self.acked = self.sequence;
        self.stats.commits += 1;
        self.stats.written_bytes += end as u64;
        if starts_segment && let Ok(first) = self.find_first() {
            // A figure only: the commit stands even if this read fails.
            self.stats.first_sequence = first;
        }
        Ok(self.acked)
    }

    /// Commits what is pending and marks the ring as closed in order. Does nothing if it is marked already.
    /// Appending goes on as before and unmarks it.
    pub fn seal(&mut self) -> Result<u64, Error<D::Error>> {
        if !self.sealed {
            self.make_room(FRAME_HEADER_BYTES)?;
            self.put(kind::SEAL, self.sequence, self.head, &[]);
            self.sealed = true;
        }
        self.commit()
    }

    /// The last sequence that is durable; 0 when none is.
    pub const fn acked(&self) -> u64 {
        self.acked
    }

    /// Sequence that the next event will get.
    pub const fn next_sequence(&self) -> u64 {
        self.sequence + 1
    }

    /// Head of the chain after the last event appended.
    pub const fn head(&self) -> [u8; 32] {
        self.head
    }

    /// Bytes that the next commit will write, less padding.
    pub const fn pending_bytes(&self) -> usize {
        self.pending
    }

    /// Frames that the next commit will write.
    pub const fn pending_frames(&self) -> usize {
        self.frames
    }

    /// Figures as of now.
    pub fn stats(&self) -> Stats {
        let size = u64::from(self.geometry.segment_bytes);
        let whole = self.segment - self.geometry.oldest(self.segment);
        Stats {
            segment: self.segment,
            wraps: self.segment / self.geometry.segments,
            used_bytes: whole * size + self.committed as u64,
            ..self.stats
        }
    }

    /// The device, for what the ring does not do. Don't write to it.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Gives the device back; what is pending is dropped.
    pub fn into_device(self) -> D {
        self.device
    }

    /// Makes room for a frame of `bytes` in the buffer and the segment, and puts the segment's header before its
    /// first frame.
    fn make_room(&mut self, bytes: usize) -> Result<(), Error<D::Error>> {
        if !self.fits(bytes) {
            self.commit()?;
            if !self.fits(bytes) {
                if self.segment >= NUMBER_MAX {
                    return Err(Error::Exhausted);
                }
                self.segment += 1;
                self.seed = Seed::new(&self.geometry.ring_id, self.segment, &self.boot_id);
                self.committed = 0;
            }
        }
        if self.committed == 0 && self.pending == 0 {
            let header = SegmentHeader {
                number: self.segment,
                boot_id: self.boot_id,
                first_sequence: self.sequence + 1,
                previous: self.head,
            };
            self.buffer[..SECTOR_BYTES].copy_from_slice(&header.encode(&self.geometry.ring_id));
            self.pending = SECTOR_BYTES;
        }
        Ok(())
    }

    fn fits(&self, bytes: usize) -> bool {
        let header = if self.committed == 0 && self.pending == 0 { SECTOR_BYTES } else { 0 };
        let end = self.pending + header + bytes;
        end <= self.buffer.len() / SECTOR_BYTES * SECTOR_BYTES
            && self.committed + end <= self.geometry.segment_bytes as usize
    }

    fn put(&mut self, kind: u8, sequence: u64, head: [u8; 32], payload: &[u8]) {
        let start = self.committed.max(SECTOR_BYTES) / SECTOR_BYTES;
        let frame = Header { kind, length: payload.len(), sequence, commit: start as u32, head };
        self.pending += frame.encode(&self.seed, payload, &mut self.buffer[self.pending..]);
        self.frames += 1;
    }

    fn find_first(&mut self) -> Result<u64, Error<D::Error>> {
        let kept = self.geometry.oldest(self.segment)..=self.segment;
        first_sequence(&mut self.device, &self.geometry, kept, self.sequence + 1)
    }
}

/// Reads what is there. Returns it with the number of the next segment to write.
fn recover<D: Device>(
    device: &mut D,
    geometry: &Geometry,
    buffer: &mut [u8],
) -> Result<(Recovery, u64), Error<D::Error>> {
    let survey = survey(device, geometry)?;
    let Some(newest) = survey.newest else {
        if let Some(offset) = survey.damaged {
            return Err(Error::Corrupted { offset });
        }
        let fresh = Recovery {
            clean: false,
            fresh: true,
            first_sequence: 1,
            last_sequence: 0,
            next_sequence: 1,
            head: chain_start(&geometry.ring_id),
            last_boot: None,
            damaged: None,
            repaired: None,
        };
        return Ok((fresh, 0));
    };
    let tail = tail(device, &mut Window::new(buffer), geometry, &newest)?;
    let last_sequence = tail.cursor.sequence - 1;
    let mut last_given = tail.damaged.map_or(last_sequence, |(_, highest)| highest.max(last_sequence));
    // Damaged headers in the places after the newest may have been newer segments: leave them as they are, and
    // leave out as many sequences as they could have held.
    let mut segment = newest.number + 1;
    while segment < newest.number + geometry.segments
        && place(device, geometry, segment % geometry.segments)? == Place::Damaged
    {
        segment += 1;
        last_given = last_given.saturating_add(geometry.segment_events());
    }
    let kept = geometry.oldest(segment - 1)..=newest.number;
    let recovery = Recovery {
        clean: tail.cursor.sealed && tail.damaged.is_none() && segment == newest.number + 1,
        fresh: false,
        first_sequence: first_sequence(device, geometry, kept, last_given + 1)?,
        last_sequence,
        next_sequence: last_given + 1,
        head: tail.cursor.head,
        last_boot: Some(newest.boot_id),
        damaged: tail.damaged.map(|(offset, _)| offset).or(survey.damaged),
        repaired: None,
    };
    Ok((recovery, segment))
}
