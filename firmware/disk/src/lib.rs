//! The system disk: its partition table, and what the data partition holds.
//!
//! The image that is written to a disk ends behind slot B. What is behind it is the device's own to make: a partition for the
//! ring, one for data, in the room that this disk has. [`prepare`] does that, and mends the table; [`content`] tells a data
//! partition of ours from any other bytes, [`restore`] writes the empty file system that the image carries. [`end_directory`] keeps
//! the directory of kernels on the ESP from growing.
//!
//! All of it works on a [`Device`] that it is handed: no file, no clock, no allocation. What is read is anybody's: each number
//! is bounded before it is used.
//!
//! # What holds
//! - A table is written in two copies (UEFI 2.10, 5.3), each made durable before the other is touched, the one that does not
//!   hold, or counts less, first: a power cut anywhere leaves the table as it was, or as it is to be.
//! - A new partition is wiped at its ends before the table names it: what lay there before is never taken for ours.
//! - Of a file system the sector that makes it ours is written last.
//! - A directory has the same names before and after, wherever the power fails.
//! - Nothing is changed on a disk whose table does not hold, or that can't be read.
#![no_std]
#![forbid(unsafe_code)]

mod device;
mod ext4;
mod fat;
mod layout;
pub mod limits;
mod plan;
mod prepare;
mod table;

pub use device::Device;
pub use ext4::{Content, FileSystem, RestoreError, content, file_system, restore};
pub use fat::{Ended, FatError, ShortName, end_directory};
pub use layout::Guid;
pub use plan::{Partition, Wanted};
pub use prepare::{Error, Prepared, prepare};
pub use table::{Copies, Table};

/// GPT label of the ring's partition.
pub const RING_LABEL: &str = "aegis-ring";
/// GPT label of the data partition, and label of the ext4 in it.
pub const DATA_LABEL: &str = "aegis-data";
