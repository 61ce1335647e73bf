//! The books: what the writer has made durable in this boot, kept in `/run/aegis/books` (tmpfs).
//!
//! They outlive a killed agent and die with the boot, like the kernel's own counters. A new agent reads them, adds what
//! it finds on disk beyond [`Books::acked`], and so knows exactly which events the killed one had taken from the kernel
//! and never flushed.
//!
//! When other probes are loaded meanwhile (an upgrade), the kernel counts anew: [`Books::begin_load`] closes what is booked of
//! those before.
//!
//! They are longer than a page, and a signal can end a write between two pages. So the file has two places that take turns:
//! one that was torn is known by its two ends, and the other is as good, only older.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use aegis_event::{Body, Cause, Event};

use super::shared::CAUSES;
use crate::limits::WORKLOADS;
use crate::storage::RUN;

/// Causes of loss that the kernel counts itself, by workload slot.
pub(super) const KERNEL_CAUSES: [Cause; 2] = [Cause::KernelRingFull, Cause::RateLimited];

/// A turn at either end, and the books.
const BYTES: usize = 8 * (2 + 6 + CAUSES + KERNEL_CAUSES.len() * WORKLOADS);

/// What is on disk of this boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Books {
    /// When the probes were loaded whose counts these are, `CLOCK_BOOTTIME` ns.
    pub(crate) load: u64,
    /// Events of this boot that the probes before those had seen.
    pub(crate) before: u64,
    /// Sequence of the last event flushed and booked.
    pub(crate) acked: u64,
    /// Counted events flushed.
    pub(crate) taken: u64,
    /// End of the last break of the glass of which an event says that it is over, `CLOCK_BOOTTIME` ns; 0 if none does.
    pub(crate) mended: u64,
    /// Would-be denials that passed, by such events together.
    pub(crate) passed: u64,
    /// Events reported as lost by the agent, by cause number; the kernel's own are in `reported`, and here those of `before`.
    pub(crate) lost: [u64; CAUSES],
    /// The kernel's losses reported so far, by [`KERNEL_CAUSES`] and workload slot.
    pub(crate) reported: [[u64; WORKLOADS]; KERNEL_CAUSES.len()],
}

impl Default for Books {
    fn default() -> Self {
        let reported = [[0; WORKLOADS]; KERNEL_CAUSES.len()];
        Self { load: 0, before: 0, acked: 0, taken: 0, mended: 0, passed: 0, lost: [0; CAUSES], reported }
    }
}

/// What an event means to the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Nothing: the agent said it of itself.
    Nothing,
    /// One counted event.
    Counted,
    /// The kernel lost events of the workload in this slot, by the cause at this place in [`KERNEL_CAUSES`].
    KernelLoss { cause: usize, slot: usize, count: u64 },
    /// The agent lost events.
    AgentLoss(Cause, u64),
    /// The break of the glass that ended then is over, and so many would-be denials passed.
    Mended { until: u64, passed: u64 },
}

impl Entry {
    /// The entry for an event read back from the ring; `slot` finds a workload's slot by its name.
    pub(crate) fn of(event: &Event<'_>, slot: impl Fn(&[u8]) -> Option<usize>) -> Self {
        match event.body {
            Body::Loss { workload, cause, count } => {
                match KERNEL_CAUSES.iter().position(|other| *other == cause) {
                    Some(cause) => {
                        slot(workload).map_or(Self::Nothing, |slot| Self::KernelLoss { cause, slot, count })
                    }
                    None => Self::AgentLoss(cause, count),
                }
            }
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
            Entry::KernelLoss { cause, slot, count } => {
                if let Some(reported) = self.reported.get_mut(cause).and_then(|slots| slots.get_mut(slot)) {
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

    /// The probes' counts are of this load: what was booked of those of another is closed, and theirs begin at 0.
    ///
    /// What is neither written nor lost of the other's is not known here: an agent that is stopped settles it, one that is
    /// killed after its probes are gone takes it along.
    pub(crate) fn begin_load(&mut self, load: u64) {
        if core::mem::replace(&mut self.load, load) == load {
            return;
        }
        for (cause, slots) in KERNEL_CAUSES.into_iter().zip(&mut self.reported) {
            let lost = &mut self.lost[usize::from(cause.number())];
            *lost = slots.iter().fold(*lost, |sum, count| sum.saturating_add(*count));
            slots.fill(0);
        }
        self.before = self.lost.iter().fold(self.taken, |sum, count| sum.saturating_add(*count));
        (self.mended, self.passed) = (0, 0);
    }

    fn numbers(&self) -> impl Iterator<Item = u64> {
        let reported = self.reported.as_flattened().iter().copied();
        let first = [self.load, self.before, self.acked, self.taken, self.mended, self.passed];
        first.into_iter().chain(self.lost).chain(reported)
    }

    fn to_bytes(&self, turn: u64) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let numbers = core::iter::once(turn).chain(self.numbers()).chain([turn]);
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// The books and their turn; none when they were never written, or torn.
    fn from_bytes(bytes: &[u8; BYTES]) -> Option<(u64, Self)> {
        let mut numbers = bytes
            .chunks_exact(8)
            .map(|chunk| u64::from_le_bytes(chunk.try_into().expect("chunks_exact(8) yields eight bytes")));
        let mut next = || numbers.next().unwrap_or_default();
        let turn = next();
        let books = Self {
            load: next(),
            before: next(),
            acked: next(),
            taken: next(),
            mended: next(),
            passed: next(),
            lost: core::array::from_fn(|_| next()),
            reported: core::array::from_fn(|_| core::array::from_fn(|_| next())),
        };
        (turn != 0 && next() == turn).then_some((turn, books))
    }
}

/// The file that holds the books.
pub(crate) struct BooksFile {
    file: File,
    /// How often they were saved.
    turn: u64,
}

impl BooksFile {
    /// Opens the file; its books are those of the last agent of this boot, or none.
    pub(crate) fn open() -> io::Result<(Self, Option<Books>)> {
        let path = Path::new(RUN).join("books");
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        Self::read(file)
    }

    fn read(file: File) -> io::Result<(Self, Option<Books>)> {
        let mut newest: Option<(u64, Books)> = None;
        for place in 0..2 {
            let mut bytes = [0; BYTES];
            match file.read_exact_at(&mut bytes, place * BYTES as u64) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
            let found = Books::from_bytes(&bytes);
            newest = newest.into_iter().chain(found).max_by_key(|(turn, _)| *turn);
        }
        let (turn, books) = newest.map_or((0, None), |(turn, books)| (turn, Some(books)));
        Ok((Self { file, turn }, books))
    }

    /// Books in a file of a test's own.
    #[cfg(test)]
    pub(crate) const fn of(file: File) -> Self {
        Self { file, turn: 0 }
    }

    /// Replaces the older of the two books in the file.
    pub(crate) fn save(&mut self, books: &Books) -> io::Result<()> {
        self.turn += 1;
        self.file.write_all_at(&books.to_bytes(self.turn), self.turn % 2 * BYTES as u64)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]
mod tests {
    use super::*;

    #[test]
    fn books_come_back_as_they_went() {
        let mut books = Books { acked: 5, ..Books::default() };
        for entry in [
            Entry::Counted,
            Entry::KernelLoss { cause: 0, slot: 255, count: 7 },
            Entry::KernelLoss { cause: 1, slot: 0, count: 8 },
            Entry::AgentLoss(Cause::AgentKilled, 9),
            Entry::Mended { until: 40, passed: 3 },
            Entry::Mended { until: 60, passed: 2 },
        ] {
            books.add(entry);
        }
        // Out of range: ignored, not a panic.
        books.add(Entry::KernelLoss { cause: 0, slot: WORKLOADS, count: 1 });
        books.add(Entry::KernelLoss { cause: 2, slot: 0, count: 1 });
        assert_eq!(Books::from_bytes(&books.to_bytes(5)), Some((5, books.clone())));
        assert_eq!((books.taken, books.reported[0][255], books.reported[1][0], books.lost[3]), (1, 7, 8, 9));
        assert_eq!((books.mended, books.passed), (60, 5));
    }

    #[test]
    fn other_probes_count_anew_and_the_boot_goes_on() {
        let mut books = Books { taken: 100, mended: 40, passed: 3, ..Books::default() };
        books.begin_load(7);
        assert_eq!((books.load, books.before, books.taken), (7, 100, 100), "what there is without a load");
        let mut books = Books { load: 7, taken: 100, mended: 40, passed: 3, ..Books::default() };
        for entry in [
            Entry::KernelLoss { cause: 0, slot: 3, count: 20 },
            Entry::KernelLoss { cause: 0, slot: 9, count: 1 },
            Entry::KernelLoss { cause: 1, slot: 3, count: 5 },
            Entry::AgentLoss(Cause::AgentKilled, 2),
        ] {
            books.add(entry);
        }
        let same = books.clone();
        books.begin_load(7);
        assert_eq!(books, same);
        books.begin_load(8);
        assert_eq!((books.load, books.before), (8, 128), "seen = written + lost");
        assert_eq!((books.reported, books.mended, books.passed), ([[0; WORKLOADS]; 2], 0, 0));
        let lost = |cause: Cause| books.lost[usize::from(cause.number())];
        assert_eq!([Cause::KernelRingFull, Cause::RateLimited, Cause::AgentKilled].map(lost), [21, 5, 2]);
        books.begin_load(9);
        assert_eq!(books.before, 128, "nothing came in between");
    }

    #[test]
    fn books_that_were_torn_are_as_they_were_before() {
        let path = std::env::temp_dir().join(format!("aegis-books-{}", std::process::id()));
        let open = || {
            let file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
            BooksFile::read(file).unwrap()
        };
        let (mut file, none) = open();
        assert_eq!(none, None);
        for taken in 1..=9 {
            let books = |taken| Books { taken, ..Books::default() };
            file.save(&books(taken)).unwrap();
            assert_eq!(open().1, Some(books(taken)));
            // The next save is ended after its first page: what was saved is still there.
            let next = taken + 1;
            file.file.write_all_at(&books(next).to_bytes(next)[..4096], next % 2 * BYTES as u64).unwrap();
            assert_eq!(open().1, Some(books(taken)), "torn");
            assert_eq!(open().0.turn, taken);
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn losses_of_the_kernel_are_booked_by_cause_and_slot() {
        let entry = |cause| {
            let body = Body::Loss { workload: b"demo", cause, count: 4 };
            Entry::of(&Event { time: 1, subject: None, body }, |name| (name == b"demo").then_some(3))
        };
        assert_eq!(entry(Cause::KernelRingFull), Entry::KernelLoss { cause: 0, slot: 3, count: 4 });
        assert_eq!(entry(Cause::RateLimited), Entry::KernelLoss { cause: 1, slot: 3, count: 4 });
        assert_eq!(entry(Cause::BadRecord), Entry::AgentLoss(Cause::BadRecord, 4));
    }

    #[test]
    fn the_end_of_a_break_is_booked_from_its_event() {
        let (mode, reason) = (aegis_event::Mode::Enforcing, aegis_event::ModeReason::SelfTestPassed);
        let body = Body::GlassMended { until: 60, passed: 2, mode, reason };
        let event = Event { time: 61, subject: None, body };
        assert_eq!(Entry::of(&event, |_| None), Entry::Mended { until: 60, passed: 2 });
    }
}
