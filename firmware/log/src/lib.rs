//! The device's log, which is for people: a line of it, the file that lines are kept in, and what is struck out of what others wrote.
//! Evidence is not in it, that is the ring's.
//!
//! - [`Said`]: one line, as text or JSON, into a buffer that is there: nothing is allocated, and what does not fit is cut.
//! - [`read`]: a line of a file, to the letter. The file is on a disk, so it is anybody's.
//! - [`part`]: which of two files is the newer one.
//! - [`argv`], [`secret`]: what may be a secret, struck out.
//!
//! | line | |
//! |---|---|
//! | form | one JSON object (RFC 8259) and a line feed; keys always in this order |
//! | `time` | `CLOCK_BOOTTIME` ns, as an event's |
//! | `boot` | the first 8 digits of the boot's id |
//! | `clock` | `CLOCK_REALTIME` s; not to be trusted |
//! | `level` | `error`, `warn`, `info` |
//! | `pid`, `module` | who said it, and where in the program |
//! | `workload` | which one it is about; left out when it is about none |
//! | `after` | the sequence of the last event that was on disk then; left out where it is not known |
//! | `text` | at most what is left of [`limits::LINE_BYTES`]; printable ASCII, all else escaped |
#![no_std]
#![forbid(unsafe_code)]

pub mod argv;
pub mod limits;
mod line;
pub mod part;
mod read;
pub mod secret;

pub use line::{Level, Said};
pub use read::{Line, read};
