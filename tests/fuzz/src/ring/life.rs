//! What happens to a ring, and what is known of it afterwards.

use std::cell::RefCell;
use std::collections::BTreeMap;

use aegis_ring::limits::{PAYLOAD_BYTES, SECTOR_BYTES};
use aegis_ring::{CheckpointError, Error, FormatOptions, Frame, Full, Reader, Ring, format};

use super::disk::{Disk, Handle};
use super::sealer::Sealer;
use super::{RING, RING_BYTES, RingError, SCRATCH, Shape, check_link, forge, start};
use crate::input::Input;

/// Bytes of events in one life: enough to fill a segment.
const EVENT_BYTES: usize = 96 << 10;
/// Things that happen in one life.
const OPS: usize = 200;

/// What can happen, by its number in an input.
pub(super) mod op {
    /// An event; u16: its length.
    pub(crate) const APPEND: u8 = 0;
    /// Some events; u8: how many, u8: their length.
    pub(crate) const APPEND_MANY: u8 = 1;
    pub(crate) const COMMIT: u8 = 2;
    pub(crate) const SEAL: u8 = 3;
    /// The writer is killed, and another one starts.
    pub(crate) const REOPEN: u8 = 4;
    /// Power fails, and comes back; u64: which sectors of the cache made it.
    pub(crate) const CUT: u8 = 5;
    /// A reader reads; u8: how many events at most.
    pub(crate) const WATCH: u8 = 6;
    pub(crate) const REFRESH: u8 = 7;
    /// The reader goes to a sequence; u8.
    pub(crate) const SEEK: u8 = 8;
    pub(crate) const SKIP: u8 = 9;
    /// A byte rots; u16: sector, u16: byte, u8: how.
    pub(crate) const FLIP: u8 = 10;
    /// A sector has what another one has; u16: which, u16: of which.
    pub(crate) const STALE: u8 = 11;
    /// Sectors are lost; u16: the first, u8: how many.
    pub(crate) const ZERO: u8 = 12;
    pub(crate) const FORGE_SUPERBLOCK: u8 = 13;
    pub(crate) const FORGE_HEADER: u8 = 14;
    pub(crate) const FORGE_FRAME: u8 = 15;
    /// What is written is durable, whatever the options say.
    pub(crate) const FLUSH: u8 = 16;
    /// An export took everything but the last; u8: so many.
    pub(crate) const EXPORTED: u8 = 17;
    /// What is there is sealed.
    pub(crate) const CHECKPOINT: u8 = 18;
    /// How many there are.
    pub(crate) const COUNT: u8 = 19;
}

/// What is known of a ring.
#[derive(Default)]
pub(super) struct Past {
    /// Every event that was ever given each sequence. One, unless damage lost it without a trace.
    events: BTreeMap<u64, Vec<Vec<u8>>>,
    /// Things that happened behind the writer's back.
    damages: usize,
    /// Some of those have good checksums.
    pub(super) forged: bool,
    acked: u64,
}

impl Past {
    /// Nothing happened but what the ring promises to survive.
    pub(super) const fn intact(&self) -> bool {
        self.damages == 0
    }

    /// The highest sequence known to be durable.
    pub(super) const fn acked(&self) -> u64 {
        self.acked
    }

    /// A frame that was read is one that was written.
    pub(super) fn check(&self, frame: &Frame<'_>) {
        check_link(frame);
        self.check_event(frame.sequence, frame.payload);
    }

    /// An event that was read is one that was written.
    pub(super) fn check_event(&self, sequence: u64, event: &[u8]) {
        let written = |events: &Vec<Vec<u8>>| events.iter().any(|written| written == event);
        assert!(
            self.forged || self.events.get(&sequence).is_some_and(written),
            "{sequence} was never written"
        );
    }
}

/// How one run of the writer ends.
enum End {
    Killed,
    Cut(u64),
    Over,
}

/// A life being lived.
pub(super) struct Life<'d> {
    shape: Shape,
    disk: &'d RefCell<Disk>,
    past: Past,
    ops: usize,
    bytes: usize,
}

impl<'d> Life<'d> {
    /// Begins with an empty ring.
    pub(super) fn new(shape: Shape, disk: &'d RefCell<Disk>) -> Self {
        let options = FormatOptions { ring_id: RING, bytes: RING_BYTES, segment_bytes: shape.segment_bytes };
        let geometry = format(Handle::new(disk), &options).expect("a shape that goes");
        assert_eq!(geometry.segments, shape.segments());
        Self { shape, disk, past: Past::default(), ops: OPS, bytes: EVENT_BYTES }
    }

    /// Everything that the input says.
    pub(super) fn live(mut self, input: &mut Input<'_>) -> Past {
        for boot in 0u8.. {
            match self.boot(input, boot) {
                End::Killed => {}
                End::Cut(stays) => self.disk.borrow_mut().cut(stays),
                End::Over => break,
            }
        }
        self.past
    }

    /// One run of a writer, and of a reader beside it.
    fn boot(&mut self, input: &mut Input<'_>, boot: u8) -> End {
        let mut buffer = vec![0; if self.shape.larger { 4096 } else { SCRATCH }];
        let before = self.disk.borrow().read;
        let opened = Ring::open_with(Handle::new(self.disk), [boot; 16], &mut buffer, self.shape.options);
        let read = self.disk.borrow().read - before;
        let segment = u64::from(self.shape.segment_bytes);
        // Read ahead in windows of which the last frame may reach over the end: a third more, at most.
        let bound = 5 * segment + 4 * SECTOR_BYTES as u64 * (self.shape.segments() + 2);
        assert!(self.past.forged || read <= bound, "{read} bytes read to open, {bound} at most");
        let Ok(mut ring) = opened else {
            assert!(!self.past.intact(), "{:?}", opened.err());
            return End::Over;
        };
        self.recovered(&ring);
        let mut scratch = vec![0; SCRATCH];
        let mut watcher = Watcher { reader: None, scratch: Some(&mut scratch), last: None };
        loop {
            self.ops -= 1;
            if input.is_empty() || self.ops == 0 {
                // What is not committed is no part of the past.
                return End::Over;
            }
            let code = input.u8() % op::COUNT;
            match code {
                op::APPEND => self.append(&mut ring, usize::from(input.u16()) % (PAYLOAD_BYTES + 2)),
                op::APPEND_MANY => {
                    let (count, length) = (input.u8() % 64, usize::from(input.u8()));
                    (0..count).for_each(|_| self.append(&mut ring, length));
                }
                op::COMMIT => self.wrote(&ring.commit()),
                op::SEAL => self.wrote(&ring.seal()),
                op::FLUSH => self.wrote(&ring.flush()),
                op::EXPORTED => {
                    let told = (ring.next_sequence() - 1).saturating_sub(u64::from(input.u8()));
                    self.wrote(&ring.set_exported(told));
                    assert!(ring.books().exported >= told || self.past.forged);
                }
                op::CHECKPOINT => {
                    let mut sealer = Sealer { forged: self.past.forged };
                    self.wrote(&ring.checkpoint(&mut sealer).map_err(|error| match error {
                        CheckpointError::Ring(error) => error,
                        CheckpointError::Sealer(never) => match never {},
                    }));
                }
                op::REOPEN => return End::Killed,
                op::CUT => return End::Cut(input.u64()),
                op::WATCH => watcher.read(self, input.u8()),
                op::REFRESH => watcher.refresh(self),
                op::SEEK => watcher.seek(self, u64::from(input.u8())),
                op::SKIP => watcher.skip(self),
                _ => self.damage(input, code, ring.next_sequence(), &ring.head()),
            }
            // A full buffer is committed without being asked for.
            self.past.acked = self.past.acked.max(ring.acked());
        }
    }

    /// What the writer found is what was there.
    fn recovered(&mut self, ring: &Ring<'_, Handle<'_>>) {
        let found = ring.recovery();
        assert!(found.last_sequence < found.next_sequence);
        assert_eq!(ring.next_sequence(), found.next_sequence);
        if self.past.forged {
            return;
        }
        assert!(found.books.exported < found.next_sequence && found.books.overwritten < found.next_sequence);
        assert!(found.first_sequence <= found.next_sequence);
        if self.past.intact() {
            assert_eq!((found.damaged, found.repaired), (None, None));
            assert_eq!(found.next_sequence, found.last_sequence + 1);
            assert!(found.last_sequence >= self.past.acked, "an acked event is gone");
            assert_eq!(found.fresh, found.last_boot.is_none());
            assert!(found.last_sequence > 0 || found.head == start());
            // What did not make it is gone for good.
            drop(self.past.events.split_off(&found.next_sequence));
        }
        self.past.acked = found.last_sequence;
    }

    /// The disk takes everything; the ring may not.
    fn wrote<T>(&self, result: &Result<T, RingError>) {
        match result {
            Ok(_) => {}
            Err(Error::Full { .. }) => assert_eq!(self.shape.options.full, Full::Stop),
            Err(error) => assert!(self.past.forged && *error == Error::Exhausted, "{error:?}"),
        }
    }

    fn append(&mut self, ring: &mut Ring<'_, Handle<'_>>, length: usize) {
        let Some(left) = self.bytes.checked_sub(length + 64) else { return };
        self.bytes = left;
        // No two alike.
        let mut event = vec![left as u8; length];
        let name = (left as u32).to_le_bytes();
        event.iter_mut().zip(name).for_each(|(byte, of)| *byte = of);
        let next = ring.next_sequence();
        match ring.append(&event) {
            Ok(sequence) => {
                assert_eq!(sequence, next);
                self.past.events.entry(sequence).or_default().push(event);
            }
            Err(Error::PayloadTooLong) => assert!(length > PAYLOAD_BYTES),
            Err(error) => self.wrote::<()>(&Err(error)),
        }
    }

    /// Something happens behind the writer's back.
    fn damage(&mut self, input: &mut Input<'_>, code: u8, sequence: u64, head: &[u8; 32]) {
        self.past.damages += 1;
        self.past.forged |= (op::FORGE_SUPERBLOCK..=op::FORGE_FRAME).contains(&code);
        let disk = &mut *self.disk.borrow_mut();
        match code {
            op::FLIP => {
                let number = usize::from(input.u16());
                let mut sector = disk.sector(number);
                sector[usize::from(input.u16()) % SECTOR_BYTES] ^= input.u8();
                disk.put(number, &sector);
            }
            op::STALE => {
                let (number, of) = (usize::from(input.u16()), usize::from(input.u16()));
                let sector = disk.sector(of);
                disk.put(number, &sector);
            }
            op::ZERO => {
                let (first, count) = (usize::from(input.u16()), usize::from(input.u8()));
                (first..first + count).for_each(|number| disk.put(number, &[0; SECTOR_BYTES]));
            }
            op::FORGE_SUPERBLOCK => {
                let second = (RING_BYTES as usize).div_euclid(SECTOR_BYTES) - 8;
                forge::superblock(input, disk, second);
            }
            op::FORGE_HEADER => forge::header(input, disk, self.shape, sequence, head),
            _ => forge::frame(input, disk, self.shape, sequence, head),
        }
    }
}

/// A reader beside the writer.
struct Watcher<'s, 'd> {
    reader: Option<Reader<'s, Handle<'d>>>,
    scratch: Option<&'s mut Vec<u8>>,
    /// The sequence read last, if nothing happened in between.
    last: Option<u64>,
}

impl<'d> Watcher<'_, 'd> {
    /// Opens the reader at its first use.
    fn open(&mut self, life: &Life<'d>) -> bool {
        if let Some(scratch) = self.scratch.take() {
            let opened = Reader::open(Handle::new(life.disk), scratch);
            assert!(opened.is_ok() || !life.past.intact(), "{:?}", opened.err());
            self.reader = opened.ok();
        }
        self.reader.is_some()
    }

    fn read(&mut self, life: &Life<'d>, most: u8) {
        if !self.open(life) {
            return;
        }
        let Some(reader) = &mut self.reader else { return };
        for _ in 0..most {
            match reader.next() {
                Ok(Some(frame)) => {
                    life.past.check(&frame);
                    let (last, now) = (self.last.replace(frame.sequence), frame.sequence);
                    assert!(last.is_none_or(|last| last + 1 == now), "{now} after {last:?}");
                }
                Ok(None) => return,
                Err(error) => {
                    self.last = None;
                    let overtaken = matches!(error, Error::Overwritten { .. });
                    assert!(overtaken || !life.past.intact(), "{error:?}");
                    return;
                }
            }
        }
    }

    fn refresh(&mut self, life: &Life<'d>) {
        if self.open(life)
            && let Some(reader) = &mut self.reader
        {
            let refreshed = reader.refresh();
            assert!(refreshed.is_ok() || !life.past.intact(), "{refreshed:?}");
        }
    }

    fn seek(&mut self, life: &Life<'d>, sequence: u64) {
        if self.open(life)
            && let Some(reader) = &mut self.reader
        {
            self.last = None;
            match reader.seek(sequence) {
                Ok(()) => {
                    let (next, end) =
                        (reader.next().map(|f| f.map(|frame| frame.sequence)), reader.next_sequence());
                    match next {
                        Ok(Some(found)) => {
                            assert_eq!(found, sequence);
                            self.last = Some(found);
                        }
                        Ok(None) => {
                            let ends = sequence == end || end == 1;
                            assert!(ends || !life.past.intact(), "{sequence} is not there");
                        }
                        Err(error) => {
                            assert!(
                                matches!(error, Error::Overwritten { .. }) || !life.past.intact(),
                                "{error:?}"
                            );
                        }
                    }
                }
                Err(Error::Beyond { next_sequence }) => {
                    assert!(sequence > next_sequence || !life.past.intact());
                }
                Err(Error::Overwritten { first_sequence }) => {
                    assert!(sequence < first_sequence || !life.past.intact());
                }
                Err(error) => assert!(!life.past.intact(), "{error:?}"),
            }
        }
    }

    fn skip(&mut self, life: &Life<'d>) {
        if self.open(life)
            && let Some(reader) = &mut self.reader
        {
            self.last = None;
            let skipped = reader.skip();
            assert!(skipped.is_ok() || life.past.forged, "{skipped:?}");
        }
    }
}
