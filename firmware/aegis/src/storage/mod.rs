//! Own storage under `/data/aegis` and the files of a stick: every write is old state or new state.

pub(crate) mod aside;
pub(crate) mod block;
mod copies;
pub(crate) mod counter;
pub(crate) mod cursor;
pub(crate) mod device;
pub(crate) mod disk;
pub(crate) mod facts;
mod groups;
pub(crate) mod history;
pub(crate) mod known;
pub(crate) mod lock;
pub(crate) mod partition;
pub(crate) mod report;
mod roots;
pub(crate) mod seal;
#[cfg(test)]
pub(crate) mod simulated;
mod slots;
pub(crate) mod tally;
pub(crate) mod trust;
pub(crate) mod verity;

pub(crate) use aegis_atomic as atomic;

/// Own storage on the data partition.
pub(crate) const DATA: &str = "/data/aegis";
/// Runtime state, gone at power off.
pub(crate) const RUN: &str = "/run/aegis";
/// What the verified root file system holds of ours: trust anchor, baseline, groups, build time.
pub(crate) const IMAGE: &str = "/etc/aegis";
