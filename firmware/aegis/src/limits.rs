//! Every bound of the agent.

/// Heap that `aegis run` may hold, bytes. An allocation over it fails and the agent ends; it is restarted.
pub(crate) const RUN_HEAP_BYTES: usize = 1024 * 1024;
/// Heap that the short-lived commands may hold, bytes: the loader parses the kernel's BTF.
pub(crate) const COMMAND_HEAP_BYTES: usize = 96 * 1024 * 1024;
/// Events between the reader and the writer, a power of two.
pub(crate) const QUEUE_EVENTS: usize = 128;
/// Commit buffer of the ring, bytes.
pub(crate) const COMMIT_BYTES: usize = 64 * 1024;
/// Bytes pending that make the writer commit at once.
pub(crate) const COMMIT_AT_BYTES: usize = 48 * 1024;
/// Longest time between an event's arrival at the writer and the flush, ms: the durable loss window.
pub(crate) const COMMIT_AT_MILLIS: u64 = 100;
/// How long the agent drains the kernel ring buffer after SIGTERM, ms.
pub(crate) const DRAIN_MILLIS: u64 = 5_000;
/// Of that, how long it waits for busy workloads to be quiet for a moment, so that the books balance, ms.
pub(crate) const BALANCE_MILLIS: u64 = 500;
/// Pause before a failed write to the ring is tried again, ms.
pub(crate) const RETRY_MILLIS: u64 = 250;
/// How often a failed write to the ring is tried on the way out.
pub(crate) const RETRIES_AT_STOP: u32 = 4;
/// Workload slots whose losses are watched.
pub(crate) const WORKLOADS: usize = aegis_probes::abi::WORKLOADS_MAX;
/// Longest request or reply on the control socket, bytes.
pub(crate) const CONTROL_BYTES: usize = 4096;
/// How long a client of the control socket may take, ms.
pub(crate) const CONTROL_MILLIS: u64 = 500;
/// Largest bundle, bytes.
pub(crate) const BUNDLE_BYTES: u64 = 4 * 1024 * 1024;
/// Bundles of a stick that are looked at.
pub(crate) const STICK_BUNDLES: usize = 64;
/// Directory entries of a stick that are passed over to find them.
pub(crate) const STICK_ENTRIES: usize = 4096;
