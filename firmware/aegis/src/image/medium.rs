//! What an image is written to, through one door: the few steps that an update is made of, and nothing else.
//!
//! What decides the order of steps is generic over [`Medium`], so that a test can put one behind it that loses power at
//! every one of them. [`super::device::Device`] is the real one.

use std::io;

use super::slot::Slot;

/// The directory of kernel images and the partitions of root file systems. Nothing is durable before it is flushed:
/// contents by [`Medium::sync`], names by [`Medium::sync_names`].
pub(crate) trait Medium {
    /// A kernel image or a partition.
    type File;

    /// The names in the directory of kernel images, at most so many as are looked at.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Opens a kernel image.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Begins a kernel image that is not there.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a slot's partition. One that is in use is refused.
    fn partition(&self, slot: Slot) -> io::Result<Self::File>;

    /// How long it is, bytes.
    fn length(&self, file: &Self::File) -> io::Result<u64>;

    /// Writes all of `bytes` at this place. A kernel image may grow by it.
    fn write_at(&self, file: &mut Self::File, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads all of `bytes` from this place; after [`Medium::sync`], from the disk.
    fn read_at(&self, file: &Self::File, at: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Makes contents durable.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Removes a kernel image.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives a kernel image another name, which nothing has.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes names durable.
    fn sync_names(&self) -> io::Result<()>;
}
