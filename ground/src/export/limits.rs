//! Every bound of reading exports: what a report may grow to, whatever is in the files.

/// Problems and notes listed, each; more are counted.
pub(crate) const PROBLEMS: usize = 1_000;
/// Groups of denials listed; denials outside them are counted as `others`.
pub(crate) const DENIALS: usize = 10_000;
/// Boots kept in the books; a device that claims more is a problem.
pub(crate) const BOOTS: usize = 65_536;
/// Files in one verification.
pub(crate) const FILES: usize = 100_000;
/// Show progress when there is more than this to read, bytes.
pub(crate) const PROGRESS_BYTES: u64 = 32 << 20;
