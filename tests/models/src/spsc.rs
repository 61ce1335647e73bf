//! `heapless` 0.9.3's queue for one producer and one consumer (`src/spsc.rs`), over loom's atomics and cells: the same loads and
//! stores, in the same order, with the same orderings.

use std::ptr;

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release};

pub struct Queue<T, const N: usize> {
    head: AtomicUsize,
    tail: AtomicUsize,
    buffer: Vec<UnsafeCell<Option<T>>>,
}

// One thread has the producer, one the consumer: what each touches of the buffer is what loom looks at.
unsafe impl<T: Send, const N: usize> Sync for Queue<T, N> {}

impl<T, const N: usize> Default for Queue<T, N> {
    fn default() -> Self {
        let buffer = (0..N).map(|_| UnsafeCell::new(None)).collect();
        Self { head: AtomicUsize::new(0), tail: AtomicUsize::new(0), buffer }
    }
}

impl<T, const N: usize> Queue<T, N> {
    fn is_empty(&self) -> bool {
        self.head.load(Relaxed) == self.tail.load(Relaxed)
    }

    fn is_full(&self) -> bool {
        (self.tail.load(Relaxed) + 1) % N == self.head.load(Relaxed)
    }

    pub fn split(&self) -> (Producer<'_, T>, Consumer<'_, T>)
    where
        T: Send,
    {
        (Producer { queue: self }, Consumer { queue: self })
    }
}

/// What the ends see of a queue of any length.
trait Ends<T>: Sync {
    fn empty(&self) -> bool;
    fn full(&self) -> bool;
    fn put(&self, value: T) -> Result<(), T>;
    fn take(&self) -> Option<T>;
    fn front(&self) -> Option<&T>;
}

impl<T: Send, const N: usize> Ends<T> for Queue<T, N> {
    fn empty(&self) -> bool {
        self.is_empty()
    }

    fn full(&self) -> bool {
        self.is_full()
    }

    fn put(&self, value: T) -> Result<(), T> {
        let tail = self.tail.load(Relaxed);
        let next = (tail + 1) % N;
        if next == self.head.load(Acquire) {
            return Err(value);
        }
        // SAFETY: the place behind the tail is the producer's. loom says if it is not.
        self.buffer[tail].with_mut(|place| unsafe { *place = Some(value) });
        self.tail.store(next, Release);
        Ok(())
    }

    fn take(&self) -> Option<T> {
        let head = self.head.load(Relaxed);
        if head == self.tail.load(Acquire) {
            return None;
        }
        // SAFETY: the place at the head is the consumer's. loom says if it is not.
        let value = self.buffer[head].with_mut(|place| unsafe { ptr::replace(place, None) });
        self.head.store((head + 1) % N, Release);
        value
    }

    fn front(&self) -> Option<&T> {
        if self.is_empty() {
            return None;
        }
        let head = self.head.load(Relaxed);
        // SAFETY: as above.
        self.buffer[head].with(|place| unsafe { (*place).as_ref() })
    }
}

pub struct Producer<'q, T> {
    queue: &'q dyn Ends<T>,
}

pub struct Consumer<'q, T> {
    queue: &'q dyn Ends<T>,
}

impl<T> Producer<'_, T> {
    pub fn ready(&self) -> bool {
        !self.queue.full()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.empty()
    }

    pub fn enqueue(&mut self, value: T) -> Result<(), T> {
        self.queue.put(value)
    }
}

impl<T> Consumer<'_, T> {
    pub fn ready(&self) -> bool {
        !self.queue.empty()
    }

    pub fn peek(&self) -> Option<&T> {
        self.queue.front()
    }

    pub fn dequeue(&mut self) -> Option<T> {
        self.queue.take()
    }
}
