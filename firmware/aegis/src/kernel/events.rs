//! The reading end of the kernel ring buffer.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;

use aya::maps::{Map, MapData, RingBuf};

use super::PINS;

/// The kernel ring buffer. One reader at a time: the position is the kernel's, shared by all who open it.
pub(crate) struct EventSource(RingBuf<MapData>);

impl EventSource {
    /// Opens the pinned ring buffer. Reading goes on where the last reader stopped.
    pub(crate) fn open() -> io::Result<Self> {
        let data = MapData::from_pin(Path::new(PINS).join("events")).map_err(io::Error::other)?;
        let map = Map::from_map_data(data).map_err(io::Error::other)?;
        RingBuf::try_from(map).map(Self).map_err(io::Error::other)
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

impl AsRawFd for EventSource {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
