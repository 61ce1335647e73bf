//! The device-side commands: short-lived, called by the boot scripts and by operators.

pub(crate) mod export;
mod in_force;
pub(crate) mod load;
pub(crate) mod policy;
pub(crate) mod status;
pub(crate) mod stick;
pub(crate) mod workload;
