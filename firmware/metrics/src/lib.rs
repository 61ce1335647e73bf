//! What a device measures of itself.
//!
//! - [`Id`], [`Family`]: the contract. Every metric, with its labels and their bounds; `docs/metrics.md` is held against it.
//! - [`Exposition`]: the contract's families in the Prometheus text format, version 0.0.4.
//! - [`texts`]: the texts of procfs, sysfs and cgroupfs that some of them are read from.
//!
//! Bytes in, bytes out. Nothing here allocates, opens a file or knows a clock; whatever the bytes are, nothing panics.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "contract")]
extern crate alloc;

mod exposition;
mod families;
mod family;
pub mod limits;
mod printed;
mod source;
pub mod texts;
mod value;

pub use exposition::{Exposition, Series, Tap, Written};
pub use families::Id;
pub use family::{Family, Label, Type};
#[cfg(feature = "contract")]
pub use family::{Presence, Resets, contract};
pub use printed::Printed;
pub use source::Source;
pub use value::Value;
