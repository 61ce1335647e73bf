//! Sticks: which block devices are one, how one is mounted and read, and the process that waits for them.
//!
//! - [`device`]: block devices on USB, from sysfs, and each plug of one told from the next.
//! - [`mount`]: a mount that no other process sees and that ends with this one.
//! - [`directory`]: what may be read of it: regular files of bounded size, in one exact directory, through no link.
//! - [`receipts`]: the device's signed answers, kept until the stick may be written to.
//! - [`watch`]: kernel uevents in, one `aegis stick take` at a time out.
//!
//! What is done with what a stick brings is in [`crate::commands::stick`].

pub(crate) mod device;
pub(crate) mod directory;
pub(crate) mod mount;
mod pace;
pub(crate) mod privileges;
pub(crate) mod receipts;
mod schedule;
pub(crate) mod seen;
mod uevent;
pub(crate) mod watch;

/// The label of a stick's file system.
pub(crate) const LABEL: &[u8] = b"AEGIS";
/// The one directory of a stick that is looked at.
pub(crate) const DIRECTORY: &str = "aegis";
/// In it, what devices write.
pub(crate) const OUT: &str = "out";
