//! Compiled policy: what it is, how it is read, what it decides.
//!
//! A policy names workloads by pattern and holds rules: an [`Action`] on a set of [`Operations`] on a [`Target`], for
//! some of the workloads, and [`Alert`]s on what the device measures of itself. The compiled form (`docs/formats/policy.md`) is postcard, read as a stream: a
//! [`Policy`] borrows the bytes, was checked whole by [`Policy::decode`], and is walked by iterators.
//!
//! How rules add up is written once, in [`Slot`]: the loader folds the rules of one thing into a slot of a kernel
//! map with it, and [`Policy::decide`] answers from it, so that `explain` can't disagree with the kernel.
//!
//! Nothing here allocates, opens a file or resolves a path.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "compile")]
extern crate alloc;

mod access;
mod alert;
#[cfg(feature = "compile")]
mod compile;
mod decode;
mod error;
pub mod limits;
mod list;
mod model;
pub mod names;
mod net;
mod nets;
mod slot;
mod view;
mod wire;

pub use access::{Access, Decision, Target};
pub use aegis_event::Severity;
pub use alert::{Alert, Alerts, Condition, Match, Matches, Outputs, Relation, Way};
#[cfg(feature = "compile")]
pub use compile::{Source, SourceAlert, SourceMatch, SourceRule, SourceTarget, SourceWorkload, compile};
pub use error::PolicyError;
pub use list::{Hashes, List, Ports, Prefixes, Protocols, Strings};
pub use model::{Action, Argv, Effect, Kind, Mode, Operation, Operations};
pub use net::{Family, Prefix};
pub use slot::Slot;
pub use view::{Deadman, Policy, Rule, Rules, Workload, WorkloadIndexes, Workloads};
