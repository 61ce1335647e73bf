//! The reading end of the kernel ring buffer.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use super::PINS;
use super::sys::RingReader;

/// The kernel ring buffer. One reader at a time: the position is the kernel's, shared by all who open it.
pub(crate) struct EventSource(RingReader);

impl EventSource {
    /// Opens the pinned ring buffer. Reading goes on where the last reader stopped.
    pub(crate) fn open() -> io::Result<Self> {
        RingReader::open(&Path::new(PINS).join("events")).map(Self)
    }

    /// The next record, if there is one. Its room goes back to the kernel when it is dropped. Allocates nothing.
    pub(crate) fn next(&mut self) -> Option<impl Deref<Target = [u8]>> {
        self.0.next()
    }
}

impl AsFd for EventSource {
    /// Readable, for epoll, when there is a record.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
