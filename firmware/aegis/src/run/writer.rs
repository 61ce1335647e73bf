//! The one writer: queue -> ring, group commit by size and time, checkpoints, levels. Allocates nothing once it runs.

mod say;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread::Thread;
use std::time::Duration;

use aegis_event::Cause;
use aegis_init::turns::Turns;
use aegis_metrics::limits::{FLUSH_BUCKETS, LATENCY_BUCKETS};
use aegis_ring::{Error, Full, Pace, Ring};

use self::say::RingLevelAt;
use super::books::{Books, BooksFile, Entry};
use super::console;
use super::queue::{Out, Slot, peek};
use super::seal::{Seal, Sealing, Trouble};
use super::shared::Shared;
use super::watch::Watch;
use crate::heap;
use crate::limits;
use crate::storage::RUN;
use crate::storage::device::boottime;
use crate::storage::partition::{DeviceError, RingDevice};

const SECOND: u64 = 1_000_000_000;
/// Events taken between two looks at the clock.
const BATCH: usize = 64;

/// What the writer needs, open before privileges are dropped.
pub(super) struct Tools {
    pub(super) ring: Ring<'static, RingDevice>,
    pub(super) sealing: Sealing,
    pub(super) pace: Pace,
    pub(super) full: Full,
    /// The longest epoch, s.
    pub(super) period: u32,
    pub(super) file: BooksFile,
    /// What the ring holds of this boot.
    pub(super) books: Books,
    /// Where the writer says that it turns.
    pub(super) turns: Option<Turns>,
    pub(super) trace: bool,
}

/// Why an event was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// The ring is full; it will go on after an export.
    Full,
    /// The device fails, and the agent is to end.
    Failed,
}

/// Runs until the queue is closed and empty and the ring sealed, or until the ring can't be written any more.
pub(super) fn run(
    tools: Tools,
    mut queue: Out<'_>,
    shared: &Shared,
    reader: &Thread,
    stop: &Arc<AtomicUsize>,
) {
    let watch = Watch::new(&tools.ring.recovery().books);
    let segment = tools.ring.stats().segment;
    let mut writer = Writer {
        tools,
        shared,
        stop,
        watch,
        times: Box::default(),
        unsaid: None,
        begun: false,
        checkpoint_at: u64::MAX,
        sealed_segment: segment,
        asked_at: 0,
        unbooked: false,
        allocations: None,
    };
    let ended = writer.work(&mut queue, reader).and_then(|()| writer.finish());
    writer.publish();
    if ended.is_err() {
        shared.writer_failed.store(true, Relaxed);
    }
}

/// Of each time that it fails, not only of the first: weeks may lie between.
fn warn_of(error: &Error<DeviceError>) {
    console::warn(format_args!("THE RING CAN'T BE WRITTEN: {error}; will try again"));
}

struct Writer<'s> {
    tools: Tools,
    shared: &'s Shared,
    /// Not 0 once a signal asked for the end.
    stop: &'s AtomicUsize,
    watch: Watch,
    /// When the kernel saw what waits for the next flush.
    times: Box<heapless::Vec<u64, { limits::COMMIT_EVENTS }>>,
    /// That the ring is full, where there was no room to say it.
    unsaid: Option<RingLevelAt>,
    /// What the agent says first is on disk and sealed, or the ring is full.
    begun: bool,
    /// When the epoch ends, ns.
    checkpoint_at: u64,
    /// The segment that the last checkpoint called open.
    sealed_segment: u64,
    /// When a checkpoint that was asked for was last made, ns.
    asked_at: u64,
    /// The books could not be written, and that was said.
    unbooked: bool,
    /// This thread's count when it first flushed: start-up is over.
    allocations: Option<u64>,
}

impl Writer<'_> {
    fn work(&mut self, queue: &mut Out<'_>, reader: &Thread) -> Result<(), Refused> {
        loop {
            self.hear_of_exports()?;
            let now = boottime();
            for _ in 0..BATCH {
                let Some(slot) = peek(queue) else { break };
                if !self.take(slot, now)? {
                    break;
                }
                queue.dequeue();
                reader.unpark();
            }
            // The order matters: closed is set after the last event was queued.
            if self.shared.closed.load(Acquire) && !queue.ready() {
                return Ok(());
            }
            let now = boottime();
            self.turned(now);
            if self.tools.pace.commit_now(now, self.tools.ring.pending_bytes()) {
                self.commit()?;
            }
            self.begin(queue)?;
            if self.checkpoint_due(now) {
                self.checkpoint(true)?;
            }
            self.answer(now)?;
            if !queue.ready() || self.is_stuck() {
                self.sleep(boottime(), queue.ready());
            }
        }
    }

    /// The end of the run: everything durable, sealed, closed in order.
    fn finish(&mut self) -> Result<(), Refused> {
        self.commit()?;
        self.checkpoint(false)?;
        self.insist(|ring| ring.seal().map(drop))
    }

    /// Takes an event into the ring. `false`: not now, the ring is full.
    fn take(&mut self, slot: &Slot, now: u64) -> Result<bool, Refused> {
        let counted = slot.entry == Entry::Counted;
        let taken = match self.append(slot, !counted, now) {
            Err(Refused::Full) => {
                self.become_full()?;
                // What the agent says of itself may still have room.
                if counted { Err(Refused::Full) } else { self.append(slot, true, now) }
            }
            other => other,
        };
        match taken {
            Ok(()) => Ok(true),
            Err(Refused::Full) if self.is_stopping() => {
                if counted {
                    self.shared.refused.fetch_add(1, Relaxed);
                    self.shared.lose(Cause::RingWrite, 1);
                }
                Ok(true)
            }
            Err(Refused::Full) => Ok(false),
            Err(Refused::Failed) => Err(Refused::Failed),
        }
    }

    /// `own`: it may take what a ring that is full keeps for the agent.
    fn append(&mut self, slot: &Slot, own: bool, now: u64) -> Result<(), Refused> {
        if own {
            self.insist(|ring| ring.append_own(slot.payload()).map(drop))?;
        } else {
            self.insist(|ring| ring.append(slot.payload()).map(drop))?;
        }
        self.tools.books.add(slot.entry);
        self.tools.pace.appended(now);
        if slot.entry == Entry::Counted {
            // There is room: see below.
            let _ = self.times.push(slot.time);
        }
        // Whether it is time is asked when the queue is empty, or after some events more: they share a flush.
        if self.tools.pace.is_much(self.tools.ring.pending_bytes()) || self.times.is_full() {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Refused> {
        self.timed(|ring| ring.commit().map(drop))?;
        self.committed()
    }

    /// As [`insist`](Self::insist), and how long it took is counted, where there was something to write.
    fn timed(
        &mut self,
        call: impl FnMut(&mut Ring<'static, RingDevice>) -> Result<(), Error<DeviceError>>,
    ) -> Result<(), Refused> {
        let begun = (self.tools.ring.pending_bytes() > 0).then(boottime);
        self.insist(call)?;
        if let Some(begun) = begun {
            self.shared.flush_times.took(&FLUSH_BUCKETS, boottime().saturating_sub(begun));
        }
        Ok(())
    }

    /// After what was pending is written: the books, and what there is to say.
    fn committed(&mut self) -> Result<(), Refused> {
        self.tools.pace.committed();
        self.shared.flushes.fetch_add(1, Relaxed);
        let now = boottime();
        for time in &*self.times {
            self.shared.latencies.took(&LATENCY_BUCKETS, now.saturating_sub(*time));
        }
        self.times.clear();
        self.publish();
        if let Some(gap) = self.watch.look(&self.tools.ring.books()) {
            self.say_gap(gap)?;
        }
        self.look_at_level()
    }

    /// Tries until it works: a device that failed may come back, and what waits in the kernel ring buffer is counted
    /// there. On the way out the number of tries is bounded. A ring that is full is not tried again.
    fn insist(
        &mut self,
        mut call: impl FnMut(&mut Ring<'static, RingDevice>) -> Result<(), Error<DeviceError>>,
    ) -> Result<(), Refused> {
        let (mut tries, mut failed) = (0, false);
        loop {
            let done = call(&mut self.tools.ring);
            if failed && matches!(done, Ok(()) | Err(Error::Full { .. })) {
                console::warn(format_args!("the ring's device works again"));
            }
            let error = match done {
                Ok(()) => return Ok(()),
                Err(Error::Full { .. }) => return Err(Refused::Full),
                Err(error) => error,
            };
            self.shared.write_errors.fetch_add(1, Relaxed);
            if !std::mem::replace(&mut failed, true) {
                warn_of(&error);
            }
            if self.is_stopping() {
                tries += 1;
                if tries > limits::RETRIES_AT_STOP {
                    return Err(Refused::Failed);
                }
            }
            std::thread::sleep(Duration::from_millis(limits::RETRY_MILLIS));
            self.turned(boottime());
        }
    }

    fn turned(&mut self, now: u64) {
        if let Some(turns) = &mut self.tools.turns {
            turns.turned(now);
        }
    }

    /// The first checkpoint, when what the agent says first is on disk.
    fn begin(&mut self, queue: &Out<'_>) -> Result<(), Refused> {
        if !self.begun && self.shared.begun.load(Acquire) && (!queue.ready() || self.is_stuck()) {
            self.begun = true;
            self.look_at_level()?;
            self.checkpoint(true)?;
            self.shared.running.store(true, Release);
        }
        Ok(())
    }

    fn checkpoint_due(&self, now: u64) -> bool {
        let stats = self.tools.ring.stats();
        // Long before the ring comes round over what no checkpoint covers.
        let much = stats.segment - self.sealed_segment >= (stats.segments / limits::EPOCHS_A_ROUND).max(1);
        self.begun && (much || now >= self.checkpoint_at)
    }

    /// Ends the epoch. `goes_on`: another one is to follow within the period.
    fn checkpoint(&mut self, goes_on: bool) -> Result<(), Refused> {
        self.checkpoint_at = boottime().saturating_add(u64::from(self.tools.period) * SECOND);
        self.sealed_segment = self.tools.ring.stats().segment;
        if self.is_stuck() && self.nothing_to_seal() {
            // The last room is not for empty epochs.
            return Ok(());
        }
        if goes_on && !self.is_stuck() {
            // What is kept of a ring that stops is for the last checkpoint, which promises none to follow.
            match self.insist(Ring::room_for_event) {
                Err(Refused::Full) => return self.become_full(),
                other => other?,
            }
        }
        if let Some(gap) = self.watch.take() {
            self.say_gap(gap)?;
        }
        self.say_news()?;
        let goes_on = goes_on && !self.is_stuck();
        match self.tools.sealing.checkpoint(&mut self.tools.ring, goes_on) {
            Ok(()) => {
                let sealing = &self.shared.sealing;
                sealing.at.store(boottime(), Relaxed);
                sealing.sequence.store(self.tools.ring.next_sequence() - 1, Relaxed);
            }
            Err(Trouble::Full) => self.become_full()?,
            Err(Trouble::Seal(_)) => {}
            Err(Trouble::Ring(error)) => {
                self.shared.write_errors.fetch_add(1, Relaxed);
                warn_of(&error);
                // Soon: what failed is the ring's device, for which everything waits.
                self.checkpoint_at = boottime().saturating_add(SECOND);
            }
        }
        self.timed(|ring| ring.flush().map(drop))?;
        self.committed()?;
        self.say_news()
    }

    /// Everything there is is covered by the last checkpoint of this run.
    fn nothing_to_seal(&self) -> bool {
        self.tools.sealing.state() == Seal::Sealed
            && self.shared.sealing.sequence.load(Relaxed) == self.tools.ring.next_sequence() - 1
    }

    /// Sees to a checkpoint that was asked for; at most one a second, and none if the last one covers everything.
    fn answer(&mut self, now: u64) -> Result<(), Refused> {
        let asked = self.shared.asked.load(Acquire);
        let soon = self.asked_at > 0 && now < self.asked_at.saturating_add(SECOND);
        if asked == self.shared.answered.load(Relaxed) || !self.begun || soon {
            return Ok(());
        }
        self.asked_at = now;
        self.checkpoint(true)?;
        self.shared.answered.store(asked, Release);
        Ok(())
    }

    /// Tells the ring what was exported; a full one may go on then.
    fn hear_of_exports(&mut self) -> Result<(), Refused> {
        if self.shared.exported.load(Relaxed) == 0 {
            return Ok(());
        }
        // Whatever was said, it can't mean events that are yet to come, nor drown what is said of them then.
        let exported = self.shared.exported.swap(0, Relaxed).min(self.tools.ring.next_sequence() - 1);
        if exported <= self.tools.ring.books().exported {
            return Ok(());
        }
        if let Some(gap) = self.watch.look(&self.tools.ring.books()) {
            self.say_gap(gap)?;
        }
        self.insist(|ring| ring.set_exported(exported))?;
        self.tools.pace.appended(boottime());
        if self.is_stuck() { self.try_to_go_on() } else { self.look_at_level() }
    }

    fn publish(&mut self) {
        let (ring, shared) = (&self.tools.ring, self.shared);
        let (stats, books, acked) = (ring.stats(), ring.books(), ring.acked());
        let last = ring.next_sequence() - 1;
        if ring.pending_frames() == 0 {
            // Written, if not flushed: a killed agent does not take it along, and the books die with the boot.
            self.tools.books.acked = last;
            if self.tools.file.save(&self.tools.books).is_err()
                && !std::mem::replace(&mut self.unbooked, true)
            {
                console::warn(format_args!(
                    "{RUN}/books can't be written: losses by a killed agent will not be told apart"
                ));
            }
        }
        if acked == last {
            shared.durable.store(self.tools.books.taken, Relaxed);
        }
        shared.acked.store(acked, Relaxed);
        crate::logs::after(acked);
        shared.ring_used.store(stats.used_bytes, Relaxed);
        shared.ring_capacity.store(stats.capacity_bytes, Relaxed);
        shared.ring_first.store(stats.first_sequence, Relaxed);
        shared.percent.store(stats.unexported_percent(), Relaxed);
        shared.set_level(self.watch.said());
        let lost = &shared.lost_on_disk;
        lost.overwritten.store(books.overwritten, Relaxed);
        lost.first.store(books.overwritten_range.0, Relaxed);
        lost.last.store(books.overwritten_range.1, Relaxed);
        lost.cuts.store(books.cuts, Relaxed);
        lost.damaged.store(books.damaged, Relaxed);
        shared.sealing.state.store(self.tools.sealing.state() as u8, Relaxed);
        shared.sealing.epoch.store(self.tools.sealing.epoch(), Relaxed);
        let now = heap::allocations_of_this_thread();
        let since = *self.allocations.get_or_insert(now);
        shared.writer_allocations.store(now - since, Relaxed);
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Relaxed) != 0
    }

    /// The ring is full, and nobody has exported it yet.
    fn is_stuck(&self) -> bool {
        self.shared.full.load(Relaxed)
    }

    /// Sleeps until there is something to do: an event, a word over the control socket, or what is due.
    fn sleep(&self, now: u64, waiting: bool) {
        if waiting && self.is_stopping() {
            return;
        }
        let mut until = self.checkpoint_at;
        if let Some(turns) = &self.tools.turns {
            until = until.min(now.saturating_add(turns.left(now).as_nanos() as u64));
        }
        if let Some(commit) = self.tools.pace.wait(now) {
            until = until.min(now.saturating_add(commit));
        }
        if self.shared.asked.load(Relaxed) != self.shared.answered.load(Relaxed) {
            until = until.min(self.asked_at.saturating_add(SECOND));
        }
        if waiting {
            // The queue is full, and nobody says so when the agent is to end.
            until = until.min(now.saturating_add(limits::FULL_MILLIS * 1_000_000));
        }
        if until == u64::MAX {
            std::thread::park();
        } else {
            std::thread::park_timeout(Duration::from_nanos(until.saturating_sub(now)));
        }
    }
}
