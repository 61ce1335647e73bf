//! Own storage under `/data/aegis` and the files of a stick: every write is old state or new state.

pub(crate) mod atomic;
pub(crate) mod cursor;
pub(crate) mod device;
pub(crate) mod lock;
pub(crate) mod partition;
pub(crate) mod trust;

/// Own storage on the data partition.
pub(crate) const DATA: &str = "/data/aegis";
/// Runtime state, gone at power off.
pub(crate) const RUN: &str = "/run/aegis";
/// The trust anchor in the verified root file system.
pub(crate) const ROOT_METADATA: &str = "/etc/aegis/root.cbor";
/// The policy of a device that was given none.
pub(crate) const BASELINE: &str = "/etc/aegis/baseline.aegis";
