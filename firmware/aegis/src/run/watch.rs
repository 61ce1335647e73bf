//! What the agent has to say of its ring: how full it is of what was not exported, and what it overwrote. Pure: it is handed
//! the ring's figures.

use aegis_event::{Gap, GapCause, Level};
use aegis_ring::Books;

/// What was seen of the ring and said so far.
#[derive(Debug)]
pub(super) struct Watch {
    /// The level that was last said.
    said: Level,
    /// The ring's own, which does not know that it is full.
    level: Level,
    /// Sequences overwritten as of the last look, and the last of them.
    overwritten: u64,
    last: u64,
    /// Overwritten and not said yet.
    gap: Option<Gap>,
}

impl Watch {
    /// From what was found at open: that was said by the run before, or stands in the ring's gap records.
    pub(super) const fn new(found: &Books) -> Self {
        let (overwritten, last) = (found.overwritten, found.overwritten_range.1);
        Self { said: Level::Normal, level: Level::Normal, overwritten, last, gap: None }
    }

    /// The level that was last said.
    pub(super) const fn said(&self) -> Level {
        self.said
    }

    /// The level, if it is not the one that was last said. `changed`: the ring's news.
    pub(super) fn level(&mut self, changed: Option<aegis_ring::Level>, full: bool) -> Option<Level> {
        if let Some(level) = changed {
            self.level = match level {
                aegis_ring::Level::Normal => Level::Normal,
                aegis_ring::Level::High => Level::High,
                aegis_ring::Level::Critical => Level::Critical,
            };
        }
        let now = if full { Level::Full } else { self.level };
        (now != self.said).then(|| {
            self.said = now;
            now
        })
    }

    /// Looks what was overwritten before it was exported. Returns what is to be said at once: a gap that the new one does not
    /// touch. Look before the ring is told of an export, and once a segment at least.
    pub(super) fn look(&mut self, books: &Books) -> Option<Gap> {
        if books.overwritten == self.overwritten {
            return None;
        }
        let (first, last) = books.overwritten_range;
        let first = first.max(self.last.saturating_add(1));
        (self.overwritten, self.last) = (books.overwritten, last);
        let total = books.overwritten;
        match &mut self.gap {
            Some(gap) if gap.last.saturating_add(1) == first => {
                (gap.last, gap.total) = (last, total);
                None
            }
            before => before.replace(Gap { cause: GapCause::Overwritten, first, last, total, boot: [0; 16] }),
        }
    }

    /// What was overwritten and not said yet.
    pub(super) const fn take(&mut self) -> Option<Gap> {
        self.gap.take()
    }
}

/// The ring's gap record as an event has it.
pub(super) fn gap_of(gap: &aegis_ring::Gap) -> Gap {
    let cause = match gap.cause {
        aegis_ring::Cause::Overwritten => GapCause::Overwritten,
        aegis_ring::Cause::Cut => GapCause::Cut,
        aegis_ring::Cause::Damaged => GapCause::Damaged,
    };
    Gap { cause, first: gap.first, last: gap.last, total: gap.total, boot: gap.boot_id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_said_when_it_changes_and_full_is_above_all() {
        use aegis_ring::Level as Ring;
        let mut watch = Watch::new(&Books::default());
        let steps = [
            (None, false, None),
            (Some(Ring::High), false, Some(Level::High)),
            (None, false, None),
            (Some(Ring::Critical), true, Some(Level::Full)),
            (None, true, None),
            // Some of it left, not enough to go below the level.
            (None, false, Some(Level::Critical)),
            (Some(Ring::Normal), true, Some(Level::Full)),
            (None, false, Some(Level::Normal)),
        ];
        for (step, (changed, full, said)) in steps.into_iter().enumerate() {
            assert_eq!(watch.level(changed, full), said, "step {step}");
        }
    }

    #[test]
    fn what_is_overwritten_is_one_gap_as_long_as_it_touches() {
        let books = |overwritten, range| Books { overwritten, overwritten_range: range, ..Books::default() };
        let gap =
            |first, last, total| Gap { cause: GapCause::Overwritten, first, last, total, boot: [0; 16] };
        let mut watch = Watch::new(&books(10, (1, 10)));
        assert_eq!((watch.look(&books(10, (1, 10))), watch.take()), (None, None), "known before");
        // The ring's range goes on; what is said begins behind what was known.
        assert_eq!(watch.look(&books(15, (1, 15))), None);
        assert_eq!(watch.look(&books(20, (1, 20))), None);
        assert_eq!(watch.take(), Some(gap(11, 20, 20)));
        assert_eq!(watch.take(), None);
        // An export in between: two gaps.
        assert_eq!(watch.look(&books(25, (1, 25))), None);
        assert_eq!(watch.look(&books(28, (40, 42))), Some(gap(21, 25, 25)));
        assert_eq!(watch.take(), Some(gap(40, 42, 28)));
    }
}
