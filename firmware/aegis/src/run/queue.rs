//! The bounded queue between reader and writer: encoded events, no allocation.

use std::time::Duration;

use aegis_event::{Event, limits::EVENT_BYTES};
use aegis_init::turns::Turns;
use heapless::spsc::{Consumer, Producer, Queue};

use super::books::Entry;
use super::threads::{Acquire, Thread, fence, park_timeout};
use crate::limits;
use crate::storage::device::boottime;

/// One encoded event.
pub(crate) struct Slot {
    /// What it means to the books.
    pub(crate) entry: Entry,
    /// The event's, `CLOCK_BOOTTIME` ns.
    pub(crate) time: u64,
    length: u16,
    bytes: [u8; EVENT_BYTES],
}

impl Slot {
    /// Encodes an event. An event the reader built is within its bounds, so this does not fail in practice; when
    /// it does, the caller counts the event as lost.
    pub(crate) fn encode(event: &Event<'_>, entry: Entry) -> Option<Self> {
        let mut slot = Self { entry, time: event.time, length: 0, bytes: [0; EVENT_BYTES] };
        slot.length = event.encode(&mut slot.bytes).ok()? as u16;
        Some(slot)
    }

    /// The encoded event.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

pub(crate) type Events = Queue<Slot, { limits::QUEUE_EVENTS }>;
pub(crate) type Out<'q> = Consumer<'q, Slot>;

/// The event that is next; it stays until it is dequeued.
///
/// `heapless` looks at how far the other end is without acquiring what is there (0.9.3, `QueueInner::peek`): on aarch64 it could
/// be read as it was before. The fence makes up for it; `tests/models` fails without.
pub(crate) fn peek<'o>(queue: &'o Out<'_>) -> Option<&'o Slot> {
    if !queue.ready() {
        return None;
    }
    fence(Acquire);
    queue.peek()
}

/// The reader's end.
pub(crate) struct In<'q> {
    pub(crate) producer: Producer<'q, Slot>,
    pub(crate) writer: Thread,
    /// Where the reader says that it turns.
    pub(crate) turns: Option<Turns>,
}

impl In<'_> {
    /// The reader turned; how long it may rest until the next time.
    pub(crate) fn turned(&mut self) -> Option<Duration> {
        let turns = self.turns.as_mut()?;
        let now = boottime();
        turns.turned(now);
        Some(turns.left(now))
    }

    /// The next event can be queued at once.
    pub(crate) fn has_room(&self) -> bool {
        self.producer.ready()
    }

    /// Waits while the queue is full, which is how back-pressure reaches the kernel ring buffer. `abandon` is asked meanwhile.
    pub(crate) fn wait_for_room(&mut self, abandon: impl Fn() -> bool) {
        while !self.producer.ready() && !abandon() {
            self.turned();
            self.writer.unpark();
            // The writer unparks the reader when it has made room; the timeout only bounds a lost wake-up.
            park_timeout(Duration::from_millis(5));
        }
    }

    /// The writer has taken all there was.
    pub(crate) fn is_empty(&self) -> bool {
        self.producer.is_empty()
    }

    /// Queues an event, and has it written.
    pub(crate) fn push(&mut self, slot: Slot, abandon: impl Fn() -> bool) -> bool {
        let queued = self.add(slot, abandon);
        self.writer.unpark();
        queued
    }

    /// Queues an event, of which the writer is told later; waits while the queue is full, which is how back-pressure reaches the kernel
    /// ring buffer. `abandon` is asked while waiting; when it says yes the event is given up and `false` returned.
    pub(crate) fn add(&mut self, slot: Slot, abandon: impl Fn() -> bool) -> bool {
        let mut slot = slot;
        loop {
            match self.producer.enqueue(slot) {
                Ok(()) => break,
                Err(refused) => {
                    if abandon() {
                        return false;
                    }
                    slot = refused;
                    self.wait_for_room(&abandon);
                }
            }
        }
        true
    }
}
