//! What an event is: the one event model that every other crate speaks.
//!
//! An [`Event`] is what happened, to whom, and what was decided. It has one encoding, deterministic
//! CBOR (RFC 8949, section 4.2.1), described in `docs/formats/event.cddl`. The same bytes are hashed
//! into the ring's chain, exported to the stick and read at the office, so a stranger can check the
//! chain with an off-the-shelf CBOR library.
//!
//! Nothing here allocates, reads a clock or opens a file: [`Event::encode`] writes into the slice it is
//! given, [`Event::decode`] borrows from the slice it is given.
#![no_std]
#![forbid(unsafe_code)]

#[macro_use]
mod kind;
mod body;
mod decision;
mod decode;
mod encode;
mod fields;
pub mod limits;
mod model;
mod text;

pub use body::Body;
pub use decision::{Basis, Decision, Hook, Match, Operation};
pub use decode::DecodeError;
pub use encode::EncodeError;
pub use fields::{Field, arguments};
pub use kind::{Cause, GapCause, Kind, Level, Mode, ModeReason, Severity, Verdict};
pub use model::{Accounts, Call, Endpoint, Event, File, Gap, Place, Privileges, Process, Subject};
pub use text::{Printable, Thousandths};
