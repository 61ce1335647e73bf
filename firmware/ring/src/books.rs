//! What a ring knows of events that can't be read from it: overwritten, cut off, damaged. And what left it in time.

use crate::bytes::{array, put, u64_at};
use crate::limits::NUMBER_MAX;

/// Cumulative figures since the ring was formatted. Every segment's header has them as of its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Every sequence up to this one was exported; 0: none.
    pub exported: u64,
    /// Sequences that were overwritten before they were exported.
    pub overwritten: u64,
    /// The latest unbroken range of them, first and last; zeros when there is none.
    pub overwritten_range: (u64, u64),
    /// Runs that ended without a seal: power cut or kill.
    pub cuts: u64,
    /// The last sequence that was recovered after the latest of them.
    pub cut_at: u64,
    /// Sequences given up because committed bytes were damaged: at least as many as were lost.
    pub damaged: u64,
}

impl Books {
    /// Bytes of the encoding in a segment's header.
    pub(crate) const BYTES: usize = 56;

    /// Of the sequences from `first` to before `next`, those that were not exported: first and last.
    pub(crate) fn unexported(&self, first: u64, next: u64) -> Option<(u64, u64)> {
        let first = first.max(self.exported + 1);
        (first < next).then(|| (first, next - 1))
    }

    /// Counts a range as overwritten.
    pub(crate) fn overwrite(&mut self, (first, last): (u64, u64)) {
        self.overwritten = self.overwritten.saturating_add(last - first + 1);
        let (before, end) = self.overwritten_range;
        self.overwritten_range = if before > 0 && end + 1 == first { (before, last) } else { (first, last) };
    }

    pub(crate) fn encode(&self, out: &mut [u8], at: usize) {
        let (first, last) = self.overwritten_range;
        let fields = [self.exported, self.overwritten, first, last, self.cuts, self.cut_at, self.damaged];
        for (index, field) in fields.iter().enumerate() {
            // More would not be believed when it is read back; only a forger gets there.
            put(out, at + 8 * index, &field.min(&NUMBER_MAX).to_le_bytes());
        }
    }

    pub(crate) fn decode(bytes: &[u8], at: usize) -> Option<Self> {
        let field = |index: usize| Some(u64_at(bytes, at + 8 * index)).filter(|n| *n <= NUMBER_MAX);
        Some(Self {
            exported: field(0)?,
            overwritten: field(1)?,
            overwritten_range: (field(2)?, field(3)?),
            cuts: field(4)?,
            cut_at: field(5)?,
            damaged: field(6)?,
        })
    }
}

/// Why events can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// Overwritten before they were exported.
    Overwritten = 1,
    /// The run before ended without a seal: what it had not committed is gone, and nobody can know how much that was.
    Cut = 2,
    /// Committed bytes were found damaged.
    Damaged = 3,
}

impl Cause {
    /// The name that people, JSON and documents use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overwritten => "overwritten",
            Self::Cut => "cut",
            Self::Damaged => "damaged",
        }
    }
}

/// A gap record: the payload of a [`kind::GAP`](crate::kind::GAP) mark. It stands where the loss became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub cause: Cause,
    /// First sequence that is missing. Of a cut: the one after the last that is certain; it was given again.
    pub first: u64,
    /// Last sequence that is missing. Of a cut: the one before `first`, as none is known to be missing.
    pub last: u64,
    /// Sequences lost by this cause since the ring was formatted, these included; cuts, for a cut.
    pub total: u64,
    /// The boot whose run ended, for a cut and for damage; zeros otherwise.
    pub boot_id: [u8; 16],
}

impl Gap {
    /// Bytes of the payload.
    pub const BYTES: usize = 48;

    /// The payload.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = self.cause as u8;
        put(&mut bytes, 8, &self.first.to_le_bytes());
        put(&mut bytes, 16, &self.last.to_le_bytes());
        put(&mut bytes, 24, &self.total.to_le_bytes());
        put(&mut bytes, 32, &self.boot_id);
        bytes
    }

    /// Reads a payload.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = payload.try_into().ok()?;
        let cause = match bytes[0] {
            1 => Cause::Overwritten,
            2 => Cause::Cut,
            3 => Cause::Damaged,
            _ => return None,
        };
        bytes[1..8].iter().all(|byte| *byte == 0).then(|| Self {
            cause,
            first: u64_at(bytes, 8),
            last: u64_at(bytes, 16),
            total: u64_at(bytes, 24),
            boot_id: array(bytes, 32),
        })
    }
}

/// How full a ring is of events that were not exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Below [`LEVEL_HIGH`](crate::limits::LEVEL_HIGH) percent.
    #[default]
    Normal,
    /// Export soon.
    High,
    /// Above [`LEVEL_CRITICAL`](crate::limits::LEVEL_CRITICAL) percent: export now.
    Critical,
}

impl Level {
    /// The name that people, JSON and documents use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The level at `percent`, coming from this one: it falls only [`LEVEL_BACK`](crate::limits::LEVEL_BACK) below
    /// where it rose, so that it does not flutter.
    #[must_use]
    pub const fn at(self, percent: u8) -> Self {
        use crate::limits::{LEVEL_BACK, LEVEL_CRITICAL, LEVEL_HIGH};
        if percent >= LEVEL_CRITICAL
            || (matches!(self, Self::Critical) && percent >= LEVEL_CRITICAL - LEVEL_BACK)
        {
            Self::Critical
        } else if percent >= LEVEL_HIGH
            || (!matches!(self, Self::Normal) && percent >= LEVEL_HIGH - LEVEL_BACK)
        {
            Self::High
        } else {
            Self::Normal
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_read_back_and_nothing_else_is() {
        for cause in [Cause::Overwritten, Cause::Cut, Cause::Damaged] {
            let gap = Gap { cause, first: 7, last: 9, total: 3, boot_id: [5; 16] };
            let bytes = gap.encode();
            assert_eq!(Gap::decode(&bytes), Some(gap));
            assert_eq!(Gap::decode(&bytes[1..]), None);
            let mut changed = bytes;
            changed[1] = 1;
            assert_eq!(Gap::decode(&changed), None);
            changed = bytes;
            changed[0] = 4;
            assert_eq!(Gap::decode(&changed), None);
        }
    }

    #[test]
    fn ranges_that_touch_are_one() {
        let mut books = Books { exported: 10, ..Books::default() };
        assert_eq!((books.unexported(1, 11), books.unexported(5, 13)), (None, Some((11, 12))));
        books.overwrite((11, 12));
        books.overwrite((13, 20));
        assert_eq!((books.overwritten, books.overwritten_range), (10, (11, 20)));
        books.overwrite((30, 30));
        assert_eq!((books.overwritten, books.overwritten_range), (11, (30, 30)));
        let mut bytes = [0; Books::BYTES + 8];
        books.encode(&mut bytes, 8);
        assert_eq!(Books::decode(&bytes, 8), Some(books));
        bytes[15] = 0xff;
        assert_eq!(Books::decode(&bytes, 8), None);
    }

    #[test]
    fn levels_do_not_flutter() {
        let cases = [
            (Level::Normal, 69, Level::Normal),
            (Level::Normal, 70, Level::High),
            (Level::High, 65, Level::High),
            (Level::High, 64, Level::Normal),
            (Level::High, 90, Level::Critical),
            (Level::Critical, 85, Level::Critical),
            (Level::Critical, 84, Level::High),
            (Level::Critical, 3, Level::Normal),
            (Level::Normal, 100, Level::Critical),
        ];
        for (from, percent, to) in cases {
            assert_eq!(from.at(percent), to, "{from:?} at {percent}");
        }
    }
}
