//! The ring on disk: append-only, hash chained, bounded, power-cut safe.
//!
//! A [`Ring`] is written by one owner, in commits that are durable or not there; a [`Reader`] reads beside it.
//! Both work on a [`Device`] and a buffer that they are handed: no allocation, no clock, no file.
//!
//! # Layout
//! All integers are little-endian. `docs/formats/ring.md` has the same with the reasons.
//! ```text
//! device:   superblock │ segment place 0 │ segment place 1 │ … │ superblock
//! segment:  header (512) │ commit │ commit │ … │ unused
//! commit:   frame, frame, … zero up to the next multiple of 512
//! frame:    header (52) │ payload (0 to 1024)
//! ```
//! Segment `n` is at place `n mod segments`, so a new segment overwrites the oldest one. A sector that was
//! committed is not written again before that. Fields: `layout.rs` and `frame.rs`.
//!
//! # What holds
//! - Acked means flushed: what [`Ring::commit`] returned survives a power cut.
//! - After a cut the ring is a prefix of what was appended, and all that was acked is in it.
//! - A frame is read only if its CRC, seeded with ring, segment and boot, and its link of the chain hold: no frame
//!   of another ring, an earlier wrap or a torn commit is taken for one of this place.
//! - Bytes that don't hold give [`Error::Corrupted`] with the place, or end the ring where a torn commit can.
#![no_std]
#![forbid(unsafe_code)]

mod books;
mod bytes;
mod checkpoint;
mod crc;
mod cursor;
mod error;
mod format;
mod frame;
mod io;
mod layout;
pub mod limits;
mod merkle;
mod reader;
mod recover;
mod ring;
mod sha;
mod survey;
mod sync;
mod verify;

pub use books::{Books, Cause, Gap, Level};
pub use checkpoint::{CheckpointError, Closed, LEAF_BYTES, Record, Sealer, Summary, leaf};
pub use error::Error;
pub use format::{FormatOptions, format};
pub use frame::{chain_next, chain_start, kind};
pub use io::Device;
pub use layout::{Geometry, Leaves, Sealing, VERSION};
pub use merkle::Merkle;
pub use reader::{Entry, Frame, Mark, Reader};
pub use recover::Recovery;
pub use ring::{Full, Options, Ring, Stats};
pub use sync::{Pace, SyncMode};
pub use verify::{Verified, verify};
