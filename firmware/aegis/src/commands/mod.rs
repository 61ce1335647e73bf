//! The device-side commands: short-lived, called by init and by operators.

pub(crate) mod break_glass;
pub(crate) mod config;
pub(crate) mod console;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod export;
mod finding;
pub(crate) mod health;
pub(crate) mod image;
pub(crate) mod in_force;
pub(crate) mod load;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod policy;
pub(crate) mod policy_status;
pub(crate) mod probe;
pub(crate) mod root;
pub(crate) mod settle;
pub(crate) mod site;
pub(crate) mod status;
pub(crate) mod stick;
pub(crate) mod storage;
pub(crate) mod support;
mod taken;
#[cfg(test)]
mod tests;
pub(crate) mod workload;
