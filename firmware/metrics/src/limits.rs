//! Every bound of what is measured.

/// Series of one exposition. What is over it is left out, and counted.
pub const SERIES: u32 = 8192;
/// Longest value of a label, bytes, before it is escaped. A series with a longer one is left out, and counted: cut, two could be
/// one.
pub const LABEL_BYTES: usize = 128;
/// Labels of one family.
pub const LABELS: usize = 3;
/// Workloads: as many as the probes have slots.
pub const WORKLOADS: u16 = 256;
/// Those that came signed.
pub const SIGNED: u16 = 64;
/// Hooks.
pub const HOOKS: u16 = 96;
/// Maps of the probes that can fill up.
pub const MAPS: u16 = 16;
/// Reason codes of refusals, each with what was refused, and of sticks.
pub const CODES: u16 = 128;
/// Alerts of a policy.
pub const ALERTS: u16 = 64;
/// Disks of the host.
pub const DISKS: u16 = 32;
/// Network interfaces of the host.
pub const INTERFACES: u16 = 32;
/// Sensors of the host.
pub const SENSORS: u16 = 64;
/// Mounted file systems that are looked at.
pub const MOUNTS: u16 = 8;

/// Upper bounds of the buckets of a flush's time, ns. A disk that flushes as it should is within the first half; the window in
/// which events are not durable yet is 100 ms by default.
pub const FLUSH_BUCKETS: [u64; 12] = [
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
];

/// Upper bounds of the buckets of the time from the kernel's look at an event to its flush, ns. Most of it is what events wait for
/// others to share a flush with, 100 ms by default.
pub const LATENCY_BUCKETS: [u64; 16] = [
    1_000_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    110_000_000,
    125_000_000,
    150_000_000,
    200_000_000,
    300_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
];
