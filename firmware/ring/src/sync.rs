//! When what was appended becomes durable.

/// Most bytes of one commit.
const GROUP_BYTES: u32 = 48 << 10;

/// How much may be lost to a power cut, by configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// Nothing waits: what is there is flushed at once, in one flush with what came while the flush before it ran. A cut takes
    /// what no flush was begun for.
    Each,
    /// Group commit: what is pending is flushed when it is this old or this much, whichever comes first.
    Window {
        /// Longest time between an event and its flush, ms: what a cut can take.
        millis: u32,
        /// Most bytes pending.
        bytes: u32,
    },
    /// Written at the same pace as by default, but flushed only at the end of a segment, at a checkpoint and at the end
    /// of the run: the device and the kernel decide what a cut takes.
    None,
}

impl SyncMode {
    /// The default: 100 ms or 48 KiB.
    pub const WINDOW: Self = Self::Window { millis: 100, bytes: GROUP_BYTES };

    /// A commit is flushed.
    pub const fn flushes(self) -> bool {
        !matches!(self, Self::None)
    }

    /// The name that configuration and documents use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Each => "each",
            Self::Window { .. } => "window",
            Self::None => "none",
        }
    }

    /// The choice with this name; `window` is [`SyncMode::WINDOW`].
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Each, Self::WINDOW, Self::None].into_iter().find(|sync| sync.name() == name)
    }
}

impl Default for SyncMode {
    fn default() -> Self {
        Self::WINDOW
    }
}

/// Says when to commit. Has no clock: it is told the time, in ns from any fixed point.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    millis: u32,
    bytes: u32,
    due: Option<u64>,
}

impl Pace {
    /// The pace of this choice.
    pub const fn new(sync: SyncMode) -> Self {
        let (millis, bytes) = match sync {
            SyncMode::Each => (0, GROUP_BYTES),
            SyncMode::Window { millis, bytes } => (millis, bytes),
            SyncMode::None => match SyncMode::WINDOW {
                SyncMode::Window { millis, bytes } => (millis, bytes),
                _ => (0, 0),
            },
        };
        Self { millis, bytes, due: None }
    }

    /// An event was appended.
    pub const fn appended(&mut self, now: u64) {
        if self.due.is_none() {
            self.due = Some(now.saturating_add(self.millis as u64 * 1_000_000));
        }
    }

    /// As much is pending as one commit may have, whatever the time.
    pub const fn is_much(&self, bytes: usize) -> bool {
        self.due.is_some() && bytes >= self.bytes as usize
    }

    /// What is pending, `bytes` of it, is to be committed now.
    pub fn commit_now(&self, now: u64, bytes: usize) -> bool {
        self.is_much(bytes) || self.due.is_some_and(|due| now >= due)
    }

    /// It was committed.
    pub const fn committed(&mut self) {
        self.due = None;
    }

    /// How long to sleep at most, ns; `None` when nothing is pending.
    pub fn wait(&self, now: u64) -> Option<u64> {
        self.due.map(|due| due.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for sync in [SyncMode::Each, SyncMode::WINDOW, SyncMode::None] {
            assert_eq!(SyncMode::from_name(sync.name()), Some(sync));
        }
        assert_eq!(SyncMode::from_name("sometimes"), None);
    }

    #[test]
    fn the_first_event_of_a_window_opens_it() {
        const MS: u64 = 1_000_000;
        let mut pace = Pace::new(SyncMode::Window { millis: 100, bytes: 1000 });
        assert_eq!((pace.wait(5), pace.commit_now(5, 2000)), (None, false));
        pace.appended(10 * MS);
        pace.appended(60 * MS);
        assert_eq!(pace.wait(60 * MS), Some(50 * MS));
        assert!(
            !pace.commit_now(109 * MS, 999) && pace.commit_now(110 * MS, 0) && pace.commit_now(60 * MS, 1000)
        );
        pace.committed();
        assert_eq!((pace.wait(500 * MS), pace.commit_now(500 * MS, 0)), (None, false));
        let mut each = Pace::new(SyncMode::Each);
        assert!(!each.commit_now(0, 0));
        each.appended(7);
        assert!(each.commit_now(7, 0) && !each.is_much(1000) && each.is_much(48 << 10));
    }
}
