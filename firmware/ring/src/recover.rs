//! What is on the device when a writer opens it.

use crate::books::{Books, Cause, Gap};
use crate::checkpoint::Span;
use crate::error::Error;
use crate::frame::chain_start;
use crate::io::{Device, Window};
use crate::layout::{Geometry, Leaves, Place, Sealing};
use crate::merkle::Merkle;
use crate::survey::{first_sequence, place, survey, tail};

/// What [`Ring::open`](crate::Ring::open) found.
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
    /// What left the ring in time and what did not. A cut that this recovery found is counted.
    pub books: Books,
    /// The last sealing record recovered.
    pub sealing: Option<Sealing>,
}

impl Recovery {
    /// Nothing there.
    fn fresh(head: [u8; 32]) -> Self {
        Self {
            clean: false,
            fresh: true,
            first_sequence: 1,
            last_sequence: 0,
            next_sequence: 1,
            head,
            last_boot: None,
            damaged: None,
            repaired: None,
            books: Books::default(),
            sealing: None,
        }
    }

    /// What is to be written down about the end of the last run.
    pub fn gaps(&self) -> [Option<Gap>; 2] {
        let boot_id = self.last_boot.unwrap_or_default();
        let (first, next) = (self.last_sequence + 1, self.next_sequence);
        let cut = Gap { cause: Cause::Cut, first, last: first - 1, total: self.books.cuts, boot_id };
        let hole = Gap { cause: Cause::Damaged, first, last: next - 1, total: self.books.damaged, boot_id };
        [(!self.clean && !self.fresh).then_some(cut), (first < next).then_some(hole)]
    }
}

/// A ring recovered: how the writer goes on.
pub(crate) struct Recovered {
    pub(crate) recovery: Recovery,
    /// The segment to write.
    pub(crate) segment: u64,
    /// The events of the one before it.
    pub(crate) before: Option<Leaves>,
    /// Segments closed since the last sealing record.
    pub(crate) span: Option<Span>,
    /// First sequence that can be read when the new segment is there.
    pub(crate) upcoming: u64,
}

/// Reads what is there.
pub(crate) fn recover<D: Device>(
    device: &mut D,
    geometry: &Geometry,
    buffer: &mut [u8],
) -> Result<Recovered, Error<D::Error>> {
    let survey = survey(device, geometry)?;
    let Some(newest) = survey.newest else {
        if let Some(offset) = survey.damaged {
            return Err(Error::Corrupted { offset });
        }
        let recovery = Recovery::fresh(chain_start(&geometry.ring_id));
        return Ok(Recovered { recovery, segment: 0, before: None, span: None, upcoming: 1 });
    };
    let mut tree = Merkle::new();
    let tail = tail(device, &mut Window::new(buffer), geometry, &newest, Some(&mut tree))?;
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
    let whole = tail.damaged.is_none() && segment == newest.number + 1;
    let before = whole.then(|| Leaves { events: tree.leaves(), root: tree.root() });
    let span = match &tail.sealing {
        Some(sealing) => Some(Span::read(device, geometry, sealing.segment, segment, before.as_ref())?),
        None => None,
    };
    let clean = tail.cursor.sealed && whole;
    let mut books = tail.books;
    books.damaged = books.damaged.saturating_add(last_given - last_sequence);
    if !clean {
        (books.cuts, books.cut_at) = (books.cuts.saturating_add(1), last_sequence);
    }
    let kept = |segment| geometry.oldest(segment)..=newest.number;
    let recovery = Recovery {
        clean,
        fresh: false,
        first_sequence: first_sequence(device, geometry, kept(segment - 1), last_given.saturating_add(1))?,
        last_sequence,
        next_sequence: last_given.saturating_add(1),
        head: tail.cursor.head,
        last_boot: Some(newest.boot_id),
        damaged: tail.damaged.map(|(offset, _)| offset).or(survey.damaged),
        repaired: None,
        books,
        sealing: tail.sealing,
    };
    let upcoming = first_sequence(device, geometry, kept(segment), recovery.next_sequence)?;
    Ok(Recovered { recovery, segment, before, span, upcoming })
}
