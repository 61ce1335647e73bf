//! The books: what the writer has made durable in this boot, kept in `/run/aegis/books` (tmpfs).
//!
//! They outlive a killed agent and die with the boot, like the kernel's own counters. A new agent reads them, adds what
//! it finds on disk beyond [`Books::acked`], and so knows exactly which events the killed one had taken from the kernel
//! and never flushed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use aegis_event::{Body, Cause, Event};

use super::shared::CAUSES;
use crate::limits::WORKLOADS;
use crate::storage::RUN;

const BYTES: usize = 8 * (4 + CAUSES + WORKLOADS);

/// What is on disk of this boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Books {
    /// Sequence of the last event flushed and booked.
    pub(crate) acked: u64,
    /// Counted events flushed.
    pub(crate) taken: u64,
    /// End of the last break of the glass of which an event says that it is over, `CLOCK_BOOTTIME` ns; 0 if none does.
    pub(crate) mended: u64,
    /// Would-be denials that passed, by such events together.
    pub(crate) passed: u64,
    /// Events reported as lost by the agent, by cause number; the kernel's own are in `reported`.
    pub(crate) lost: [u64; CAUSES],
    /// Losses of the kernel ring buffer reported so far, by workload slot.
    pub(crate) reported: [u64; WORKLOADS],
}

impl Default for Books {
    fn default() -> Self {
        Self { acked: 0, taken: 0, mended: 0, passed: 0, lost: [0; CAUSES], reported: [0; WORKLOADS] }
    }
}

/// What an event means to the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Nothing: the agent said it of itself.
    Nothing,
    /// One counted event.
    Counted,
    /// The kernel lost events of the workload in this slot.
    KernelLoss(usize, u64),
    /// The agent lost events.
    AgentLoss(Cause, u64),
    /// The break of the glass that ended then is over, and so many would-be denials passed.
    Mended { until: u64, passed: u64 },
}

impl Entry {
    /// The entry for an event read back from the ring; `slot` finds a workload's slot by its name.
    pub(crate) fn of(event: &Event<'_>, slot: impl Fn(&[u8]) -> Option<usize>) -> Self {
        match event.body {
            Body::Loss { workload, cause: Cause::KernelRingFull, count } => {
                slot(workload).map_or(Self::Nothing, |slot| Self::KernelLoss(slot, count))
            }
            Body::Loss { cause, count, .. } => Self::AgentLoss(cause, count),
            Body::GlassMended { until, passed, .. } => Self::Mended { until, passed },
            _ if event.kind().is_counted() => Self::Counted,
            _ => Self::Nothing,
        }
    }
}

impl Books {
    /// Adds an entry.
    pub(crate) fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Nothing => {}
            Entry::Counted => self.taken += 1,
            Entry::KernelLoss(slot, count) => {
                if let Some(reported) = self.reported.get_mut(slot) {
                    *reported = reported.saturating_add(count);
                }
            }
            Entry::AgentLoss(cause, count) => {
                let lost = &mut self.lost[usize::from(cause.number())];
                *lost = lost.saturating_add(count);
            }
            Entry::Mended { until, passed } => {
                self.mended = until;
                self.passed = self.passed.saturating_add(passed);
            }
        }
    }

    fn numbers(&self) -> impl Iterator<Item = u64> {
        [self.acked, self.taken, self.mended, self.passed].into_iter().chain(self.lost).chain(self.reported)
    }

    fn to_bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        for (place, number) in bytes.chunks_exact_mut(8).zip(self.numbers()) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; BYTES]) -> Self {
        let mut numbers = bytes
            .chunks_exact(8)
            .map(|chunk| u64::from_le_bytes(chunk.try_into().expect("chunks_exact(8) yields eight bytes")));
        let mut next = || numbers.next().unwrap_or_default();
        Self {
            acked: next(),
            taken: next(),
            mended: next(),
            passed: next(),
            lost: core::array::from_fn(|_| next()),
            reported: core::array::from_fn(|_| next()),
        }
    }
}

/// The file that holds the books.
pub(crate) struct BooksFile(File);

impl BooksFile {
    /// Opens the file; its books are those of the last agent of this boot, or none.
    pub(crate) fn open() -> io::Result<(Self, Option<Books>)> {
        let path = Path::new(RUN).join("books");
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut bytes = [0; BYTES];
        let books = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Some(Books::from_bytes(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        Ok((Self(file), books))
    }

    /// Books in a file of a test's own.
    #[cfg(test)]
    pub(crate) const fn of(file: File) -> Self {
        Self(file)
    }

    /// Replaces the books: one write within a page's worth of tmpfs, which a signal does not tear.
    pub(crate) fn save(&self, books: &Books) -> io::Result<()> {
        self.0.write_all_at(&books.to_bytes(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_come_back_as_they_went() {
        let mut books = Books { acked: 5, ..Books::default() };
        for entry in [
            Entry::Counted,
            Entry::KernelLoss(255, 7),
            Entry::AgentLoss(Cause::AgentKilled, 9),
            Entry::Mended { until: 40, passed: 3 },
            Entry::Mended { until: 60, passed: 2 },
        ] {
            books.add(entry);
        }
        books.add(Entry::KernelLoss(WORKLOADS, 1)); // out of range: ignored, not a panic
        assert_eq!(Books::from_bytes(&books.to_bytes()), books);
        assert_eq!((books.taken, books.reported[255], books.lost[3]), (1, 7, 9));
        assert_eq!((books.mended, books.passed), (60, 5));
    }

    #[test]
    fn the_end_of_a_break_is_booked_from_its_event() {
        let (mode, reason) = (aegis_event::Mode::Enforcing, aegis_event::ModeReason::SelfTestPassed);
        let body = Body::GlassMended { until: 60, passed: 2, mode, reason };
        let event = Event { time: 61, subject: None, body };
        assert_eq!(Entry::of(&event, |_| None), Entry::Mended { until: 60, passed: 2 });
    }
}
