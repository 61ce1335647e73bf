//! Every bound of this crate.

/// Longest line, its end included, bytes.
pub const LINE_BYTES: usize = 1024;
/// Longest module and longest name of a workload in one, bytes.
pub const NAME_BYTES: usize = 64;
/// Longest arguments of an event, bytes.
pub const ARGV_BYTES: usize = 256;
