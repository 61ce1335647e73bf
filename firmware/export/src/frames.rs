//! Where events come from: what the exporter needs of a ring.

use aegis_ring::{Record, kind};

use crate::chain::{Hash, Id};

/// One event as the ring holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Sequence of the event, 1 for a ring's first.
    pub sequence: u64,
    /// The boot it was written in.
    pub boot: Id,
    /// Head of the chain before it.
    pub previous: Hash,
    /// Head of the chain after it.
    pub head: Hash,
    /// The event's bytes.
    pub event: &'a [u8],
}

/// What a ring holds: an event, or a sealing record between events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// An event.
    Event {
        /// The event.
        frame: Frame<'a>,
        /// Number of the ring's segment that holds it, where there is such a thing.
        segment: Option<u64>,
    },
    /// A sealing record: a checkpoint, or the certificate of a chain of them.
    Record {
        /// It is a certificate.
        certificate: bool,
        /// What was signed, signature and all.
        bytes: &'a [u8],
    },
}

/// What an error of a ring means for the export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What is stored here is damaged; there may be more behind it.
    Damaged,
    /// The writer overwrote it meanwhile.
    Overtaken,
    /// The device can't be read.
    Unreadable,
}

/// A ring to read, standing still: what is appended after it was opened is not seen.
pub trait Frames {
    /// Why the ring can't be read.
    type Error;

    /// The ring's id.
    fn ring(&self) -> Id;
    /// Sequence of the oldest event still there; equal to [`Frames::next_sequence`] when there is none.
    fn first_sequence(&self) -> u64;
    /// Sequence that the next event will get; 1 for a new ring.
    fn next_sequence(&self) -> u64;
    /// Goes to the event with this sequence, one of those still there.
    fn seek(&mut self, sequence: u64) -> Result<(), Self::Error>;
    /// The next event; none at the end.
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Self::Error>;
    /// The next event or sealing record; none at the end. By default there are no records.
    fn next_entry(&mut self) -> Result<Option<Entry<'_>>, Self::Error> {
        Ok(self.next_frame()?.map(|frame| Entry::Event { frame, segment: None }))
    }
    /// Goes to the beginning, before the records that come before the oldest event.
    fn rewind(&mut self) -> Result<(), Self::Error> {
        let (first, next) = (self.first_sequence(), self.next_sequence());
        if first < next { self.seek(first) } else { Ok(()) }
    }
    /// Goes past a damaged place. Returns the first sequence there; none when nothing follows.
    fn skip(&mut self) -> Result<Option<u64>, Self::Error>;
    /// What an error means.
    fn fault(error: &Self::Error) -> Fault;
}

impl<D: aegis_ring::Device> Frames for aegis_ring::Reader<'_, D> {
    type Error = aegis_ring::Error<D::Error>;

    fn ring(&self) -> Id {
        self.ring_id()
    }

    fn first_sequence(&self) -> u64 {
        self.first_sequence()
    }

    fn next_sequence(&self) -> u64 {
        self.next_sequence()
    }

    fn seek(&mut self, sequence: u64) -> Result<(), Self::Error> {
        self.seek(sequence)
    }

    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Self::Error> {
        Ok(self.next()?.map(frame))
    }

    fn next_entry(&mut self) -> Result<Option<Entry<'_>>, Self::Error> {
        let entry = self.next_of(&[kind::CHECKPOINT, kind::CERTIFICATE])?;
        Ok(entry.map(|entry| match entry {
            aegis_ring::Entry::Event(event) => {
                Entry::Event { segment: Some(event.segment), frame: frame(event) }
            }
            aegis_ring::Entry::Mark(mark) => Entry::Record {
                certificate: mark.kind == kind::CERTIFICATE,
                bytes: Record::decode(mark.kind, mark.payload).map_or(&[], |record| record.bytes),
            },
        }))
    }

    fn rewind(&mut self) -> Result<(), Self::Error> {
        self.rewind()
    }

    fn skip(&mut self) -> Result<Option<u64>, Self::Error> {
        self.skip()
    }

    fn fault(error: &Self::Error) -> Fault {
        match error {
            aegis_ring::Error::Corrupted { .. } => Fault::Damaged,
            aegis_ring::Error::Overwritten { .. } => Fault::Overtaken,
            _ => Fault::Unreadable,
        }
    }
}

fn frame(frame: aegis_ring::Frame<'_>) -> Frame<'_> {
    let aegis_ring::Frame { sequence, boot_id, previous, head, payload, .. } = frame;
    Frame { sequence, boot: boot_id, previous, head, event: payload }
}
