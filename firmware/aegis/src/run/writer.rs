//! The one writer: queue -> ring, group commit by size and time, flush.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::thread::Thread;
use std::time::{Duration, Instant};

use aegis_ring::Ring;

use super::books::{Books, BooksFile};
use super::queue::{Out, Slot};
use super::shared::Shared;
use crate::heap;
use crate::limits;
use crate::storage::RUN;
use crate::storage::partition::RingDevice;

/// Runs until the queue is closed and empty and the ring sealed, or until the ring can't be written any more.
pub(crate) fn run(
    mut ring: Ring<'_, RingDevice>,
    mut queue: Out<'_>,
    shared: &Shared,
    reader: &Thread,
    stop: &AtomicUsize,
    (file, books): (BooksFile, Books),
) {
    let mut writer = Writer { shared, stop, file, books, due: None, allocations: None };
    loop {
        while let Some(slot) = queue.peek() {
            if !writer.append(&mut ring, slot) {
                shared.writer_failed.store(true, Relaxed);
                return;
            }
            queue.dequeue();
            reader.unpark();
        }
        // The order matters: closed is set after the last event was queued.
        if shared.closed.load(Acquire) && !queue.ready() {
            break;
        }
        if !writer.commit_when_due(&mut ring) {
            shared.writer_failed.store(true, Relaxed);
            return;
        }
        if !queue.ready() {
            writer.sleep();
        }
    }
    let sealed = writer.insist(&mut ring, |ring| ring.commit().map(drop))
        && writer.insist(&mut ring, |ring| ring.seal().map(drop));
    writer.publish(&ring);
    if !sealed {
        shared.writer_failed.store(true, Relaxed);
    }
}

struct Writer<'s> {
    shared: &'s Shared,
    /// Not 0 once a signal asked for the end.
    stop: &'s AtomicUsize,
    file: BooksFile,
    /// What the ring holds of this boot, pending frames included.
    books: Books,
    /// When what is pending must be flushed.
    due: Option<Instant>,
    /// This thread's count when it first flushed: start-up is over.
    allocations: Option<u64>,
}

impl Writer<'_> {
    fn append(&mut self, ring: &mut Ring<'_, RingDevice>, slot: &Slot) -> bool {
        if ring.pending_bytes() >= limits::COMMIT_AT_BYTES && !self.commit(ring) {
            return false;
        }
        if !self.insist(ring, |ring| ring.append(slot.payload()).map(drop)) {
            return false;
        }
        self.books.add(slot.entry);
        if self.due.is_none() {
            self.due = Some(Instant::now() + Duration::from_millis(limits::COMMIT_AT_MILLIS));
        }
        true
    }

    fn commit_when_due(&mut self, ring: &mut Ring<'_, RingDevice>) -> bool {
        match self.due {
            Some(due) if Instant::now() >= due => self.commit(ring),
            _ => true,
        }
    }

    fn commit(&mut self, ring: &mut Ring<'_, RingDevice>) -> bool {
        let committed = self.insist(ring, |ring| ring.commit().map(drop));
        self.due = None;
        self.shared.flushes.fetch_add(1, Relaxed);
        self.publish(ring);
        committed
    }

    /// Tries until it works: a device that failed may come back, and what waits in the kernel ring buffer is counted
    /// there. On the way out the number of tries is bounded.
    fn insist<E: core::fmt::Display>(
        &self,
        ring: &mut Ring<'_, RingDevice>,
        mut call: impl FnMut(&mut Ring<'_, RingDevice>) -> Result<(), E>,
    ) -> bool {
        let mut tries = 0;
        loop {
            let Err(error) = call(ring) else { return true };
            if self.shared.write_errors.fetch_add(1, Relaxed) == 0 {
                log::error!("ring: {error}; will try again");
            }
            if self.stop.load(Relaxed) != 0 {
                tries += 1;
                if tries > limits::RETRIES_AT_STOP {
                    return false;
                }
            }
            std::thread::sleep(Duration::from_millis(limits::RETRY_MILLIS));
        }
    }

    fn publish(&mut self, ring: &Ring<'_, RingDevice>) {
        let stats = ring.stats();
        self.books.acked = ring.acked();
        if ring.pending_frames() == 0 {
            self.shared.durable.store(self.books.taken, Relaxed);
            if self.file.save(&self.books).is_err() {
                log::warn!("{RUN}/books can't be written: losses by a killed agent will not be told apart");
            }
        }
        self.shared.acked.store(ring.acked(), Relaxed);
        self.shared.ring_used.store(stats.used_bytes, Relaxed);
        self.shared.ring_capacity.store(stats.capacity_bytes, Relaxed);
        self.shared.ring_first.store(stats.first_sequence, Relaxed);
        let now = heap::allocations_of_this_thread();
        let since = *self.allocations.get_or_insert(now);
        self.shared.writer_allocations.store(now - since, Relaxed);
    }

    fn sleep(&self) {
        match self.due {
            Some(due) => std::thread::park_timeout(due.saturating_duration_since(Instant::now())),
            None => std::thread::park(),
        }
    }
}
