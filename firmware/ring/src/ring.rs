//! The writer: append, group commit, seal.

use crate::books::{Books, Cause, Gap, Level};
use crate::checkpoint::Span;
use crate::crc::Seed;
use crate::error::Error;
use crate::frame::{Header, chain_next, kind};
use crate::io::{Device, flush, write_at};
use crate::layout::{Geometry, Leaves, Sealing, SegmentHeader};
use crate::limits::{
    BUFFER_BYTES_MIN, FRAME_BYTES, FRAME_HEADER_BYTES, NUMBER_MAX, PAYLOAD_BYTES, RESERVE_BYTES, SEAL_BYTES,
    SECTOR_BYTES,
};
use crate::merkle::Merkle;
use crate::recover::{Recovered, Recovery, recover};
use crate::survey::{first_sequence, segment_of, superblocks};
use crate::sync::SyncMode;

/// What to do when the next segment would overwrite events that were not exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Full {
    /// Overwrite them, count them, and write a gap record.
    #[default]
    Overwrite,
    /// Take nothing more until they are exported: [`Error::Full`].
    Stop,
}

impl Full {
    /// The name that configuration and documents use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overwrite => "overwrite",
            Self::Stop => "stop",
        }
    }

    /// The choice with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Overwrite, Self::Stop].into_iter().find(|full| full.name() == name)
    }
}

/// How to write a ring. The default is what [`Ring::open`] takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// When what was committed is flushed. The ring has no clock: [`Pace`](crate::Pace) says when to commit.
    pub sync: SyncMode,
    /// What to do when it is full.
    pub full: Full,
    /// Every sequence up to this one is known to have been exported. The ring remembers the highest it was told.
    pub exported: u64,
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
    /// Of those, bytes in segments that hold events not exported.
    pub unexported_bytes: u64,
    /// First sequence that can be read; equal to the next one when none can.
    pub first_sequence: u64,
    /// Events appended since open.
    pub appended: u64,
    /// Flushes since open.
    pub commits: u64,
    /// Bytes written since open.
    pub written_bytes: u64,
}

impl Stats {
    /// How much of the ring events take that were not exported, percent, rounded down.
    pub const fn unexported_percent(&self) -> u8 {
        match (self.unexported_bytes as u128 * 100).checked_div(self.capacity_bytes as u128) {
            Some(percent) if percent < 100 => percent as u8,
            Some(_) => 100,
            None => 0,
        }
    }
}

/// A ring that is open for writing. One at a time on a device; readers may run beside it.
pub struct Ring<'b, D> {
    device: D,
    /// What is pending, as it will be on the device: the segment's header if it is not out yet, then frames.
    buffer: &'b mut [u8],
    geometry: Geometry,
    boot_id: [u8; 16],
    options: Options,
    recovery: Recovery,
    segment: u64,
    seed: Seed,
    /// Bytes of the segment that are flushed: where the current commit starts; 0 when its header is not out yet.
    committed: usize,
    /// Where in the segment the buffer goes: `committed`, and more only when commits are not flushed.
    base: usize,
    pending: usize,
    /// Of those, bytes that the device has, not flushed.
    written: usize,
    frames: usize,
    /// Of the last event appended, or of the hole before the first one.
    sequence: u64,
    head: [u8; 32],
    acked: u64,
    /// The last frame appended is a seal, or was found so and nothing was appended since.
    sealed: bool,
    /// The first sequence in the segment, and its events so far.
    first: u64,
    tree: Merkle,
    /// The events of the segment before.
    before: Option<Leaves>,
    /// Segments closed since the last sealing record; none before the first one.
    span: Option<Span>,
    sealing: Option<Sealing>,
    books: Books,
    /// Gap records that the segment begins with.
    gaps: [Option<Gap>; 2],
    /// First sequence that can be read, and that can be read when this segment's header is out.
    retained: u64,
    upcoming: u64,
    /// The first segment with an event that was not exported; figures only.
    unexported_from: u64,
    level: Level,
    stats: Stats,
    #[cfg(feature = "unchained")]
    unchained: bool,
}

impl<'b, D: Device> Ring<'b, D> {
    /// Opens with the default [`Options`]: see [`open_with`](Self::open_with).
    pub fn open(device: D, boot_id: [u8; 16], buffer: &'b mut [u8]) -> Result<Self, Error<D::Error>> {
        Self::open_with(device, boot_id, buffer, Options::default())
    }

    /// Recovers the longest valid prefix; what is appended goes to a new segment. Nothing is written before the
    /// first commit, a superblock's repair excepted.
    ///
    /// `boot_id` must differ between two opens with a power cut in between. `buffer` bounds what one commit can
    /// hold; at least [`BUFFER_BYTES_MIN`] bytes.
    ///
    /// Work is bounded: one sector of each segment, three times at most, and so the newest segment.
    pub fn open_with(
        mut device: D,
        boot_id: [u8; 16],
        buffer: &'b mut [u8],
        options: Options,
    ) -> Result<Self, Error<D::Error>> {
        if buffer.len() < BUFFER_BYTES_MIN {
            return Err(Error::BufferTooSmall);
        }
        let superblocks = superblocks(&mut device)?;
        let geometry = superblocks.chosen.geometry;
        if let Some(offset) = superblocks.damaged {
            write_at(&mut device, offset, &superblocks.chosen.encode())?;
        }
        let Recovered { mut recovery, segment, before, span, upcoming } =
            recover(&mut device, &geometry, buffer)?;
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
            ..Stats::default()
        };
        let sequence = recovery.next_sequence - 1;
        let mut books = recovery.books;
        books.exported = books.exported.max(options.exported.min(sequence));
        let mut ring = Self {
            device,
            buffer,
            geometry,
            boot_id,
            options,
            recovery,
            segment,
            seed: Seed::new(&geometry.ring_id, segment, &boot_id),
            committed: 0,
            base: 0,
            pending: 0,
            written: 0,
            frames: 0,
            sequence,
            head: recovery.head,
            acked: sequence,
            sealed: recovery.clean,
            first: recovery.next_sequence,
            tree: Merkle::new(),
            before,
            span,
            sealing: recovery.sealing,
            books,
            gaps: recovery.gaps(),
            retained: recovery.first_sequence,
            upcoming,
            unexported_from: 0,
            level: Level::Normal,
            stats,
            #[cfg(feature = "unchained")]
            unchained: false,
        };
        ring.find_unexported();
        Ok(ring)
    }

    /// Appends an event to the buffer and returns its sequence; durable after the next [`flush`](Self::flush).
    ///
    /// When the buffer or the segment has no room left it commits first: that is the only time it touches the
    /// device. If that fails the event was not taken, what was pending still is, and the call can be repeated.
    pub fn append(&mut self, payload: &[u8]) -> Result<u64, Error<D::Error>> {
        self.append_before(payload, RESERVE_BYTES)
    }

    /// As [`append`](Self::append), for what the writer says of itself: a ring that stops keeps the end of each segment, so
    /// that it can be said there that the ring is full.
    pub fn append_own(&mut self, payload: &[u8]) -> Result<u64, Error<D::Error>> {
        self.append_before(payload, SEAL_BYTES)
    }

    /// Makes room for the longest event, as [`append`](Self::append) does: [`Error::Full`] if what is kept for the writer would be
    /// needed for it.
    pub fn room_for_event(&mut self) -> Result<(), Error<D::Error>> {
        self.make_room_before(FRAME_BYTES, RESERVE_BYTES)
    }

    fn append_before(&mut self, payload: &[u8], reserve: usize) -> Result<u64, Error<D::Error>> {
        if payload.len() > PAYLOAD_BYTES {
            return Err(Error::PayloadTooLong);
        }
        if self.sequence >= NUMBER_MAX {
            return Err(Error::Exhausted);
        }
        self.make_room_before(FRAME_HEADER_BYTES + payload.len(), reserve)?;
        let sequence = self.sequence + 1;
        self.sequence = sequence;
        self.link(payload);
        self.put(kind::EVENT, payload);
        self.stats.appended += 1;
        Ok(sequence)
    }

    /// From now on what is appended is not chained: for a benchmark of what the chain costs. No reader takes it.
    #[cfg(feature = "unchained")]
    pub fn unchain(&mut self) {
        self.unchained = true;
    }

    /// Ties the event that has the sequence now to all before it.
    fn link(&mut self, payload: &[u8]) {
        #[cfg(feature = "unchained")]
        if self.unchained {
            return;
        }
        self.head = chain_next(&self.head, self.sequence, payload);
        self.tree.push(&self.head);
    }

    /// Writes what is pending, flushes it if the [`SyncMode`] says so, and returns the last sequence that is durable.
    pub fn commit(&mut self) -> Result<u64, Error<D::Error>> {
        if self.options.sync.flushes() {
            return self.flush();
        }
        if self.pending > self.written {
            self.write()?;
            // Whole sectors are done with. The last one is written again with what follows: within one commit, which
            // ends with its flush, frames stand one behind the other.
            let whole = self.pending / SECTOR_BYTES * SECTOR_BYTES;
            self.buffer.copy_within(whole..self.pending, 0);
            self.base += whole;
            self.pending -= whole;
            self.written = self.pending;
            self.frames = 0;
        }
        Ok(self.acked)
    }

    /// Writes what is pending, flushes, and returns the last sequence that is durable now.
    ///
    /// After an error nothing more is acked, and what was pending is kept. A device may drop what it failed to
    /// flush and call the next flush good, so the next call writes all of it again, to the same place: those
    /// sectors were never acked, and the same frames come first in them. With [`SyncMode::None`] that holds only for what
    /// is still in the buffer.
    pub fn flush(&mut self) -> Result<u64, Error<D::Error>> {
        if self.pending == 0 && self.base == self.committed {
            return Ok(self.acked);
        }
        if self.pending > 0 {
            self.write()?;
        }
        flush(&mut self.device)?;
        self.committed = self.base + self.pending.next_multiple_of(SECTOR_BYTES);
        self.base = self.committed;
        self.pending = 0;
        self.written = 0;
        self.frames = 0;
        self.acked = self.sequence;
        self.stats.commits += 1;
        Ok(self.acked)
    }

    /// Makes what is pending durable and marks the ring as closed in order. Does nothing if it is marked already.
    /// Appending goes on as before and unmarks it.
    pub fn seal(&mut self) -> Result<u64, Error<D::Error>> {
        if !self.sealed {
            self.make_room_up_to(FRAME_HEADER_BYTES, self.geometry.segment_bytes as usize)?;
            self.put(kind::SEAL, &[]);
        }
        self.flush()
    }

    /// Every sequence up to this one was exported: it may be overwritten. Goes out with the next commit. Less than what
    /// the ring was told before is no news.
    pub fn set_exported(&mut self, sequence: u64) -> Result<(), Error<D::Error>> {
        let sequence = sequence.min(self.sequence);
        if sequence <= self.books.exported {
            return Ok(());
        }
        // Known even if there is no room to write it yet: the next header has it.
        self.books.exported = sequence;
        self.find_unexported();
        match self.make_room(FRAME_HEADER_BYTES + 8) {
            Ok(()) => self.put(kind::EXPORTED, &sequence.to_le_bytes()),
            Err(Error::Full { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The level of events not exported, if it is not the one that was last given.
    pub fn level_changed(&mut self) -> Option<Level> {
        let level = self.level.at(self.stats().unexported_percent());
        let changed = level != self.level;
        self.level = level;
        changed.then_some(level)
    }

    /// What was found at open.
    pub const fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// The ring's shape and id.
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// What left the ring in time and what did not, as of now.
    pub const fn books(&self) -> Books {
        self.books
    }

    /// The last sealing record appended or recovered.
    pub const fn sealing(&self) -> Option<Sealing> {
        self.sealing
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
        let oldest = self.geometry.oldest(self.segment);
        let bytes_from = |segment: u64| self.segment.saturating_sub(segment) * size + self.base as u64;
        let unexported = if self.books.exported >= self.sequence {
            0
        } else {
            bytes_from(self.unexported_from.max(oldest))
        };
        Stats {
            segment: self.segment,
            wraps: self.segment / self.geometry.segments,
            used_bytes: bytes_from(oldest),
            unexported_bytes: unexported,
            first_sequence: self.retained,
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

    pub(crate) const fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }

    pub(crate) const fn segment(&self) -> u64 {
        self.segment
    }

    pub(crate) const fn segment_first(&self) -> u64 {
        self.first
    }

    pub(crate) fn open_leaves(&self) -> Leaves {
        Leaves { events: self.tree.leaves(), root: self.tree.root() }
    }

    pub(crate) const fn retained(&self) -> u64 {
        self.retained
    }

    pub(crate) const fn span(&self) -> Option<&Span> {
        self.span.as_ref()
    }

    /// The segments closed from this one on.
    pub(crate) fn span_from(&mut self, first: u64) -> Result<Span, Error<D::Error>> {
        if first == self.segment {
            return Ok(Span::from(first));
        }
        Span::read(&mut self.device, &self.geometry, first, self.segment, self.before.as_ref())
    }

    pub(crate) fn sealed_as(&mut self, sealing: Sealing, span: Span) {
        (self.sealing, self.span) = (Some(sealing), Some(span));
    }

    /// Makes room for a frame of `bytes` in the buffer and the segment, and puts the segment's header before its
    /// first frame.
    pub(crate) fn make_room(&mut self, bytes: usize) -> Result<(), Error<D::Error>> {
        self.make_room_before(bytes, SEAL_BYTES)
    }

    /// Keeps the end of the segment free if the ring is one that stops.
    fn make_room_before(&mut self, bytes: usize, reserve: usize) -> Result<(), Error<D::Error>> {
        let reserve = if self.options.full == Full::Stop { reserve } else { 0 };
        self.make_room_up_to(bytes, self.geometry.segment_bytes as usize - reserve)
    }

    fn make_room_up_to(&mut self, bytes: usize, limit: usize) -> Result<(), Error<D::Error>> {
        if !self.fits(bytes, limit) {
            self.commit()?;
            if !self.fits(bytes, limit) {
                self.next_segment()?;
            }
        }
        if self.base == 0 && self.pending == 0 { self.begin_segment() } else { Ok(()) }
    }

    fn fits(&self, bytes: usize, limit: usize) -> bool {
        let begins = self.base == 0 && self.pending == 0;
        // One gap record more than there are: whether something is overwritten shows when the segment begins.
        let gaps = self.gaps.iter().flatten().count() + 1;
        let header = if begins { SECTOR_BYTES + gaps * (FRAME_HEADER_BYTES + Gap::BYTES) } else { 0 };
        let end = self.pending + header + bytes;
        end <= self.buffer.len() / SECTOR_BYTES * SECTOR_BYTES && self.base + end <= limit
    }

    /// Closes the segment and goes to the next one. All of it is durable before anything of the next one is written.
    fn next_segment(&mut self) -> Result<(), Error<D::Error>> {
        if self.segment >= NUMBER_MAX {
            return Err(Error::Exhausted);
        }
        self.flush()?;
        let kept = self.geometry.oldest(self.segment + 1)..=self.segment;
        let upcoming = first_sequence(&mut self.device, &self.geometry, kept, self.sequence + 1)?;
        self.may_overwrite(upcoming)?;
        self.upcoming = upcoming;
        let leaves = self.open_leaves();
        if let Some(span) = &mut self.span {
            span.push(self.segment, self.first, Some(&leaves));
        }
        self.before = Some(leaves);
        self.tree.clear();
        self.first = self.sequence + 1;
        self.segment += 1;
        self.seed = Seed::new(&self.geometry.ring_id, self.segment, &self.boot_id);
        self.committed = 0;
        self.base = 0;
        Ok(())
    }

    /// What was not exported and is lost when `upcoming` is the first sequence left, if the configuration allows it.
    fn may_overwrite(&self, upcoming: u64) -> Result<Option<(u64, u64)>, Error<D::Error>> {
        match (self.books.unexported(self.retained, upcoming), self.options.full) {
            (Some((sequence, _)), Full::Stop) => Err(Error::Full { sequence }),
            (lost, _) => Ok(lost),
        }
    }

    /// Puts the header of a segment into the buffer, and gap records behind it.
    fn begin_segment(&mut self) -> Result<(), Error<D::Error>> {
        let lost = self.may_overwrite(self.upcoming)?;
        if let Some(range) = lost {
            self.books.overwrite(range);
        }
        let header = SegmentHeader {
            number: self.segment,
            boot_id: self.boot_id,
            first_sequence: self.sequence + 1,
            previous: self.head,
            before: self.before,
            books: self.books,
            sealing: self.sealing,
        };
        self.buffer[..SECTOR_BYTES].copy_from_slice(&header.encode(&self.geometry.ring_id));
        self.pending = SECTOR_BYTES;
        let total = self.books.overwritten;
        let lost =
            lost.map(|(first, last)| Gap { cause: Cause::Overwritten, first, last, total, boot_id: [0; 16] });
        for gap in core::mem::take(&mut self.gaps).into_iter().chain([lost]).flatten() {
            self.put(kind::GAP, &gap.encode());
        }
        Ok(())
    }

    /// Puts a frame into the buffer, where there is room for it. Sequence and head are those of the last event.
    pub(crate) fn put(&mut self, kind: u8, payload: &[u8]) {
        let start = self.committed.max(SECTOR_BYTES) / SECTOR_BYTES;
        let (sequence, head) = (self.sequence, self.head);
        let frame = Header { kind, length: payload.len(), sequence, commit: start as u32, head };
        self.pending += frame.encode(self.seed, payload, &mut self.buffer[self.pending..]);
        self.frames += 1;
        self.sealed = kind == kind::SEAL;
    }

    /// Writes what is in the buffer, padded to a sector.
    fn write(&mut self) -> Result<(), Error<D::Error>> {
        let end = self.pending.next_multiple_of(SECTOR_BYTES);
        self.buffer[self.pending..end].fill(0);
        let offset = self.geometry.segment_offset(self.segment) + self.base as u64;
        write_at(&mut self.device, offset, &self.buffer[..end])?;
        self.stats.written_bytes += end as u64;
        if self.base == 0 {
            self.retained = self.upcoming;
        }
        Ok(())
    }

    /// Looks where the events begin that were not exported. A figure only: if the device fails, the old one stays.
    fn find_unexported(&mut self) {
        let (oldest, newest) = (self.geometry.oldest(self.segment), self.segment.saturating_sub(1));
        let wanted = self.books.exported + 1;
        if wanted >= self.first || self.segment == 0 {
            self.unexported_from = self.segment;
        } else if let Ok(found) =
            segment_of(&mut self.device, &self.geometry, wanted, oldest.min(newest), newest)
        {
            self.unexported_from = found.map_or(oldest, |header| header.number);
        }
    }
}
