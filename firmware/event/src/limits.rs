//! Every bound of the event model.

/// Longest encoded event, bytes. A ring frame's payload is never longer.
pub const EVENT_BYTES: usize = 1024;
/// Longest path, file name or argument list carried by an event, bytes. Longer ones are cut and flagged.
pub const PATH_BYTES: usize = 256;
/// Longest workload name, bytes.
pub const WORKLOAD_BYTES: usize = 64;
/// Longest rule name, bytes.
pub const RULE_NAME_BYTES: usize = 32;
/// Longest text of an event about the kernel's surface, bytes.
pub const TEXT_BYTES: usize = 64;
/// A task's `comm`, bytes (`TASK_COMM_LEN`, `include/linux/sched.h`).
pub const COMM_BYTES: usize = 16;
/// Most PCRs in an event: all that a PC's TPM has.
pub const PCRS: usize = 24;
/// Longest reason code in a workload's event, bytes: with its name it must fit a note, too.
pub const CODE_BYTES: usize = 32;
/// Longest name of an alert, bytes.
pub const ALERT_BYTES: usize = 32;
/// Longest reason code or detail in an agent event, bytes.
pub const DETAIL_BYTES: usize = 200;
