//! Workloads that come signed, a file system each: kept, mounted before the policy is taken, run in a cage of their own
//! (`docs/workloads.md`).
//!
//! - [`books`]: what was accepted, by name; [`store`]: the files, old or new at any instant.
//! - [`forget`]: what one kept, removed.
//! - [`loops`]: a file as a file system. [`cage`]: what a program finds itself in.
//! - [`keeper`]: what comes after its end; [`lines`]: what it says, on the console; [`pulse`]: whether it gives signs of life.
//! - [`told`]: what mounting came to, and how each is doing, for other processes.
//!
//! What is decided about one is in [`crate::commands::workload`].

pub(crate) mod books;
pub(crate) mod cage;
pub(crate) mod forget;
pub(crate) mod keeper;
pub(crate) mod lines;
pub(crate) mod loops;
pub(crate) mod pulse;
pub(crate) mod store;
pub(crate) mod told;

/// A directory for each: the signed file, and what its programs keep.
pub(crate) const KEPT: &str = "/data/workloads";
/// The signed file in it.
pub(crate) const FILE: &str = "workload";
/// A directory for each path that its programs write to.
pub(crate) const WRITABLE: &str = "data";
/// Where each is mounted, by name: its paths as the policy speaks of them.
pub(crate) const MOUNTED: &str = "/run/workloads";

/// The signed file of a workload, below [`KEPT`].
pub(crate) fn path(name: &str) -> String {
    format!("{name}/{FILE}")
}
