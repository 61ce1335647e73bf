//! The Merkle trees of a ring's segments, recomputed from the events and held against checkpoints.

use aegis_export::seal::Checkpoint;
use aegis_export::{Hash, Leaves, Merkle, Segment, leaf};

use crate::export::limits;

/// Merkle trees over the events as they come.
#[derive(Debug, Default)]
pub(super) struct Trees {
    /// The ring's segment of the last events, the first sequence in it, its events.
    place: Option<u64>,
    first: u64,
    events: Merkle,
    /// All events of that segment came by.
    whole: bool,
    /// The sequence that goes on from here.
    next: u64,
    /// The segments closed since the last checkpoint.
    closed: Merkle,
    closed_first: u64,
    /// None of them is unknown.
    closed_whole: bool,
}

impl Trees {
    /// Gets ready for events. False when they do not go on from here: then they are not taken, or begin anew.
    pub(super) fn begin(&mut self, segment: &Segment<'_>) -> bool {
        if segment.first != self.next {
            if segment.last() < self.next {
                return false;
            }
            // Behind a hole, or inside what came by already: nothing is known of this segment as a whole.
            *self = Self { whole: segment.first == 1, ..Self::default() };
            (self.place, self.first) = (segment.place, segment.first);
        } else if segment.place != self.place {
            if let Some(place) = segment.place {
                self.close_up_to(place);
            } else {
                (self.whole, self.closed_whole) = (false, false);
            }
            (self.place, self.first) = (segment.place, segment.first);
        }
        self.next = segment.last() + 1;
        segment.place.is_some()
    }

    /// An event that [`Trees::begin`] wants.
    pub(super) fn event(&mut self, head: &Hash) {
        self.events.push(head);
    }

    /// Closes the segment at hand and those without events up to before `place`.
    fn close_up_to(&mut self, place: u64) {
        let Some(mut number) = self.place.filter(|number| *number < place) else {
            // Backwards: the numbers are not to be trusted.
            (self.whole, self.closed_whole) = (self.place == Some(place) && self.whole, false);
            return;
        };
        let leaves = self.leaves();
        self.closed_whole &= self.whole && place - number <= limits::EMPTY_SEGMENTS;
        if self.closed_whole {
            self.closed.push(&leaf(number, self.first, &leaves));
            self.events.clear();
            let empty = self.leaves();
            number += 1;
            while number < place {
                self.closed.push(&leaf(number, self.next, &empty));
                number += 1;
            }
        }
        self.events.clear();
        self.whole = true;
        (self.place, self.first) = (Some(place), self.next);
    }

    fn leaves(&self) -> Leaves {
        Leaves { events: self.events.leaves(), root: self.events.root() }
    }

    /// Holds a checkpoint against the trees. How many roots agreed, or what does not.
    pub(super) fn take(&mut self, checkpoint: &Checkpoint) -> Result<u64, &'static str> {
        let agreed = self.compare(checkpoint);
        let segment = checkpoint.open.segment;
        self.closed.clear();
        self.closed_first = segment;
        self.closed_whole = self.place == Some(segment) && self.next == checkpoint.sequence + 1;
        agreed
    }

    fn compare(&mut self, checkpoint: &Checkpoint) -> Result<u64, &'static str> {
        let (open, closed) = (&checkpoint.open, &checkpoint.closed);
        let mut agreed = 0;
        if self.next == checkpoint.sequence + 1 && self.place.is_some() {
            if self.place < Some(open.segment) {
                self.close_up_to(open.segment);
            }
            if self.place != Some(open.segment) {
                return Err("its open segment is not the one that the events are in");
            }
            if self.whole {
                if (open.first, open.leaves) != (self.first, self.leaves()) {
                    return Err("the Merkle root of its open segment is not that of the events");
                }
                agreed += 1;
            }
            if self.closed_whole && self.closed_first == closed.first && closed.root.is_some() {
                if (closed.count, closed.root) != (self.closed.leaves(), Some(self.closed.root())) {
                    return Err("the Merkle root of its closed segments is not that of the events");
                }
                agreed += 1;
            }
        } else if open.leaves.events == 0 {
            // Where the files begin, or behind a hole: a segment that is known from its first event on.
            *self = Self { whole: true, ..Self::default() };
            (self.place, self.first) = (Some(open.segment), open.first);
            self.next = checkpoint.sequence + 1;
        }
        Ok(agreed)
    }
}
