//! The reading end of the kernel ring buffer.
#![allow(unsafe_code)] // its pages are the kernel's to write: what may be read when is a protocol, no type

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence};

use super::PINS;
use super::sys::{Shared, map_shape, obj_get};
use crate::limits::RING_TAIL_BYTES;

/// The kernel ring buffer (`kernel/bpf/ringbuf.c`, 6.12). One reader at a time: the position is the kernel's, shared by all who
/// open it.
///
/// The kernel offers the data twice in a row, so that no record is cut where the ring ends. Only as much of the second time is
/// mapped as a record can take: what is mapped twice is resident twice.
pub(crate) struct EventSource {
    map: OwnedFd,
    consumed: Shared<AtomicUsize>,
    produced: Shared<AtomicUsize>,
    /// Headers and records.
    data: Shared<AtomicU32>,
    ring_bytes: usize,
    /// What is read next, and what was last seen of the producer's; both only grow.
    position: usize,
    until: usize,
}

/// A record. Its room goes back to the kernel when it is dropped.
pub(crate) struct Record<'a> {
    bytes: &'a [u8],
    consumed: &'a AtomicUsize,
    next: usize,
}

impl EventSource {
    const HEADER_BYTES: usize = 8;
    const BUSY: u32 = 1 << 31;
    const DISCARDED: u32 = 1 << 30;

    /// Opens the pinned ring buffer. Reading goes on where the last reader stopped.
    pub(crate) fn open() -> io::Result<Self> {
        let map = obj_get(&Path::new(PINS).join("events"))?;
        let [_, _, ring_bytes] = map_shape(map.as_fd())?;
        if !ring_bytes.is_power_of_two() || ring_bytes < RING_TAIL_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the ring buffer has another size"));
        }
        Self::over(map, ring_bytes)
    }

    /// Over what has the layout of a ring buffer map with `ring_bytes` of data.
    fn over(map: OwnedFd, ring_bytes: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let words = (ring_bytes + RING_TAIL_BYTES) / size_of::<u32>();
        // SAFETY: the first page begins with the consumer's position, a word only its reader writes.
        let consumed = unsafe { Shared::<AtomicUsize>::map(map.as_fd(), 0, 1, true)? };
        // SAFETY: the second begins with the producer's position.
        let produced = unsafe { Shared::<AtomicUsize>::map(map.as_fd(), page, 1, false)? };
        // SAFETY: the data follows, twice; headers are aligned words, and a record that is not busy changes no more.
        let data = unsafe { Shared::map(map.as_fd(), 2 * page, words, false)? };
        let position = consumed[0].load(Ordering::Acquire);
        Ok(Self { map, consumed, produced, data, ring_bytes, position, until: position })
    }

    /// The next record, if there is one. Allocates nothing. What can't be a record comes as an empty one, and all that was seen
    /// with it is passed over.
    pub(crate) fn next(&mut self) -> Option<Record<'_>> {
        loop {
            if self.position == self.until {
                // Either this sees a new record, or its producer sees that all before it was taken, and wakes the reader.
                fence(Ordering::SeqCst);
                self.until = self.produced[0].load(Ordering::Acquire);
                if self.position == self.until {
                    return None;
                }
            }
            let at = self.position & (self.ring_bytes - 1);
            let mut header = self.header(at)?;
            if header & Self::BUSY != 0 {
                // As above: it is committed by now, or its producer sees that it is waited for.
                fence(Ordering::SeqCst);
                header = self.header(at)?;
                if header & Self::BUSY != 0 {
                    return None;
                }
            }
            let length = (header & !(Self::BUSY | Self::DISCARDED)) as usize;
            let whole = (Self::HEADER_BYTES + length).next_multiple_of(8);
            let fits = length <= RING_TAIL_BYTES - 2 * Self::HEADER_BYTES
                && whole <= self.until.wrapping_sub(self.position);
            self.position = if fits { self.position.wrapping_add(whole) } else { self.until };
            if fits && header & Self::DISCARDED != 0 {
                self.consumed[0].store(self.position, Ordering::Release);
                continue;
            }
            let start = self.data.as_ptr().cast::<u8>();
            let length = if fits { length } else { 0 };
            // SAFETY: `at` is in the ring, header and record end in its mapped continuation (`fits`), and the kernel writes to
            // a committed record no more until its room is given back, when `Record` is dropped.
            let bytes = unsafe { std::slice::from_raw_parts(start.add(at + Self::HEADER_BYTES), length) };
            return Some(Record { bytes, consumed: &self.consumed[0], next: self.position });
        }
    }

    fn header(&self, at: usize) -> Option<u32> {
        // The kernel commits by a fully ordered exchange of this word.
        self.data.get(at / size_of::<u32>()).map(|word| word.load(Ordering::Acquire))
    }
}

impl AsFd for EventSource {
    /// Readable, for epoll, when there is a record.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

impl Deref for Record<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        self.consumed.store(self.next, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;

    const RING_BYTES: usize = 2 * RING_TAIL_BYTES;

    /// A file laid out as the kernel's map is; what a program would write, the test writes.
    struct Kernel(File);

    impl Kernel {
        fn new() -> Self {
            let file =
                File::from(rustix::fs::memfd_create("ring", rustix::fs::MemfdFlags::CLOEXEC).expect("made"));
            file.set_len((2 * rustix::param::page_size() + 2 * RING_BYTES) as u64).expect("grown");
            Self(file)
        }

        fn reader(&self) -> EventSource {
            EventSource::over(self.0.try_clone().expect("cloned").into(), RING_BYTES).expect("opened")
        }

        fn word(&self, page: usize, value: usize) {
            let at = page * rustix::param::page_size();
            self.0.write_all_at(&value.to_ne_bytes(), at as u64).expect("written");
        }

        fn consumed(&self) -> usize {
            let mut word = [0; size_of::<usize>()];
            self.0.read_exact_at(&mut word, 0).expect("read");
            usize::from_ne_bytes(word)
        }

        /// Header and bytes at a position, in both of the places where they are seen.
        fn put(&self, position: usize, header: u32, bytes: &[u8]) {
            let record = [&header.to_ne_bytes()[..], &[0; 4], bytes].concat();
            for (index, byte) in record.iter().enumerate() {
                let at = (position + index) % RING_BYTES;
                for start in [0, RING_BYTES] {
                    let at = 2 * rustix::param::page_size() + start + at;
                    self.0.write_all_at(&[*byte], at as u64).expect("written");
                }
            }
        }
    }

    #[test]
    fn records_come_in_order_and_whole_where_the_ring_wraps() {
        let kernel = Kernel::new();
        let start = 7 * RING_BYTES - 24;
        kernel.word(0, start);
        kernel.put(start, 5, b"first");
        kernel.put(start + 16, 30, &[7; 30]);
        kernel.word(1, start + 16 + 40);
        let mut reader = kernel.reader();
        assert_eq!(reader.next().as_deref(), Some(&b"first"[..]));
        assert_eq!(kernel.consumed(), start + 16, "its room is given back");
        let record = reader.next().expect("there");
        assert_eq!(&*record, [7; 30]);
        assert_eq!(kernel.consumed(), start + 16, "not before it is dropped");
        drop(record);
        assert_eq!(kernel.consumed(), start + 56);
        assert!(reader.next().is_none());
    }

    #[test]
    fn what_is_busy_is_waited_for_and_what_is_discarded_is_passed_over() {
        let kernel = Kernel::new();
        kernel.put(0, 8 | EventSource::DISCARDED, b"discards");
        kernel.put(16, 4 | EventSource::BUSY, b"busy");
        kernel.word(1, 32);
        let mut reader = kernel.reader();
        assert!(reader.next().is_none());
        assert_eq!(kernel.consumed(), 16);
        kernel.put(16, 4, b"busy");
        assert_eq!(reader.next().as_deref(), Some(&b"busy"[..]));
        // The next reader goes on there.
        assert!(kernel.reader().next().is_none());
    }

    #[test]
    fn a_header_that_can_be_none_is_an_empty_record_and_the_end_of_what_was_seen() {
        // Longer than what was produced; than what is mapped behind the ring's end.
        for (length, produced) in [(17, 24), (u32::MAX >> 2, 24), (RING_TAIL_BYTES as u32, RING_BYTES)] {
            let kernel = Kernel::new();
            kernel.put(0, length, b"");
            kernel.word(1, produced);
            let mut reader = kernel.reader();
            assert_eq!(reader.next().as_deref(), Some(&b""[..]), "{length}");
            assert_eq!(kernel.consumed(), produced);
            assert!(reader.next().is_none());
            kernel.put(produced, 2, b"on");
            kernel.word(1, produced + 16);
            assert_eq!(reader.next().as_deref(), Some(&b"on"[..]));
        }
    }
}
