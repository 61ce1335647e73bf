//! Where events come from: what the exporter needs of a ring.

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
        let frame = self.next()?;
        Ok(frame.map(|aegis_ring::Frame { sequence, boot_id, previous, head, payload }| Frame {
            sequence,
            boot: boot_id,
            previous,
            head,
            event: payload,
        }))
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
