//! Compiled policy: what it is, how it is read, what it decides.
//!
//! A policy names workloads by pattern and holds rules: an [`Action`] on a set of [`Operations`] on paths, for
//! some of the workloads. The compiled form (`docs/formats/policy.md`) is postcard, read as a stream: a
//! [`Policy`] borrows the bytes, was checked whole by [`Policy::decode`], and is walked by iterators.
//!
//! How rules add up is written once, in [`Slot`]: the loader folds the rules of one file into a slot of a kernel
//! map with it, and [`Policy::decide`] answers from it, so that `explain` can't disagree with the kernel.
//!
//! Nothing here allocates, opens a file or resolves a path.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "compile")]
extern crate alloc;

#[cfg(feature = "compile")]
mod compile;
mod decode;
mod error;
pub mod limits;
mod model;
pub mod names;
mod slot;
mod view;
mod wire;

#[cfg(feature = "compile")]
pub use compile::{Source, SourceRule, compile};
pub use error::PolicyError;
pub use model::{Action, Mode, Operation, Operations};
pub use slot::Slot;
pub use view::{Decision, Policy, Rule, Rules, Strings, Workload, WorkloadIndexes, Workloads};
