//! Ring to COSE-signed CBOR segments, and back.
//!
//! An export is a CBOR sequence (RFC 8742) of `COSE_Sign1` items (RFC 9052): segments, each with events of one boot
//! and the chain heads around them, between them the checkpoints as the ring has them, then one manifest that says what
//! the export is. `docs/formats/export.cddl` is the
//! format, `docs/formats/export.md` what it does and does not prove.
//!
//! ```text
//! [Frames] --> [Exporter] --> item, item, ..., manifest      on the device
//! file --> [read::ItemReader] --> [read::open_item] --> [read::Item]      at the office
//! ```
//!
//! Nothing here allocates, reads a clock or opens a file.
#![no_std]
#![forbid(unsafe_code)]

mod cbor;
mod chain;
mod error;
mod exporter;
mod frames;
mod gaps;
pub mod limits;
mod manifest;
mod policies;
pub mod read;
mod segment;

/// Checkpoints and the chain that they make.
pub use aegis_seal as seal;
/// The traits that [`read::ItemReader`] reads by.
pub use embedded_io;

/// Merkle trees as checkpoints have them: over the heads of a segment's events, and over the leaves of closed segments.
pub use aegis_ring::{Leaves, Merkle, leaf};

pub use chain::{Hash, Id, first_head, next_head};
pub use error::{Damage, ExportError};
pub use exporter::{Exporter, Request};
pub use frames::{Entry, Fault, Frame, Frames};
pub use gaps::Gaps;
pub use manifest::{Created, Ending, Manifest, Sealed};
pub use policies::{Policies, Policy};
pub use segment::{Events, FORMAT, Segment};
