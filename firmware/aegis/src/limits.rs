//! Every bound of the agent.

/// Heap that `aegis run` may hold, bytes. An allocation over it fails and the agent ends; it is restarted.
pub(crate) const RUN_HEAP_BYTES: usize = 1024 * 1024;
/// Heap that the short-lived commands may hold, bytes: the loader parses the kernel's BTF.
pub(crate) const COMMAND_HEAP_BYTES: usize = 96 * 1024 * 1024;
/// Entries that `image/disk` gives the directory of kernels on the ESP.
pub(crate) const ESP_ENTRIES: u32 = 64;
/// How long somebody else may have the ESP mounted before it is not tidied, s.
pub(crate) const ESP_BUSY_SECONDS: u64 = 2;
/// The kernel's types, bytes: 4 MB of them in ours, some 6 MB in a distribution's.
pub(crate) const KERNEL_TYPES_BYTES: u64 = 32 * 1024 * 1024;
/// Processors that the probes are loaded on at once.
pub(crate) const LOADERS: usize = 4;
/// Events between the reader and the writer, a power of two.
pub(crate) const QUEUE_EVENTS: usize = 128;
/// Commit buffer of the ring, bytes.
pub(crate) const COMMIT_BYTES: usize = 64 * 1024;
/// Events that share a flush.
pub(crate) const COMMIT_EVENTS: usize = 1024;
/// Time between an event's arrival at the writer and the flush, ms, unless it is configured otherwise.
pub(crate) const COMMIT_AT_MILLIS: u64 = 100;
/// Mapped of the kernel ring buffer behind its end, where it begins again, bytes: more than the longest record, and whole pages
/// on every architecture.
pub(crate) const RING_TAIL_BYTES: usize = 64 * 1024;

/// How long the agent drains the kernel ring buffer after SIGTERM, ms.
pub(crate) const DRAIN_MILLIS: u64 = 5_000;
/// Of that, how long it waits for busy workloads to be quiet for a moment, so that the books balance, ms.
pub(crate) const BALANCE_MILLIS: u64 = 500;
/// Pause before a failed write to the ring is tried again, ms.
pub(crate) const RETRY_MILLIS: u64 = 250;
/// How often a failed write to the ring is tried on the way out.
pub(crate) const RETRIES_AT_STOP: u32 = 4;
/// How long events gather in the kernel before they are taken, µs: each time that somebody is woken for one costs more than the event
/// does.
pub(crate) const GATHER_MICROS: u64 = 2000;
/// How often the agent looks whether it is to end while its ring is full, ms: an export wakes it at once.
pub(crate) const FULL_MILLIS: u64 = 250;
/// Checkpoints while the ring comes round once, however fast that is.
pub(crate) const EPOCHS_A_ROUND: u64 = 4;
/// How long a checkpoint that was asked for may take, ms.
pub(crate) const CHECKPOINT_MILLIS: u64 = 5_000;
/// Workload slots whose losses are watched.
pub(crate) const WORKLOADS: usize = aegis_probes::abi::WORKLOADS_MAX;
/// Longest request or reply on the control socket, bytes.
pub(crate) const CONTROL_BYTES: usize = 4096;
/// How long a client of the control socket may take, ms.
pub(crate) const CONTROL_MILLIS: u64 = 500;
/// Longest time that the glass is broken for, seconds.
pub(crate) const GLASS_SECONDS: u64 = aegis_bundle::limits::TOKEN_SECONDS as u64;
/// How often the agent says that the glass is broken, s.
pub(crate) const GLASS_WARNING_SECONDS: u64 = 60;
/// Largest bundle, bytes.
pub(crate) const BUNDLE_BYTES: u64 = 4 * 1024 * 1024;
/// Directory entries of a stick that are looked at.
pub(crate) const STICK_ENTRIES: usize = 64;
/// Block devices of the host that are looked at for sticks.
pub(crate) const BLOCK_DEVICES: usize = 256;
/// Sticks that are taken in any minute.
pub(crate) const TAKES_A_MINUTE: usize = 10;
/// How long a process may take over one stick, its evidence included, s.
pub(crate) const TAKE_SECONDS: u64 = 600;
/// How long a process may take to put back in force what was decided, s.
pub(crate) const SETTLE_SECONDS: u64 = 120;
/// How long a stick waits for the one before it, s.
pub(crate) const TAKE_WAIT_SECONDS: u64 = 60;
/// How long the agent's last events are waited for before they are exported, ms.
pub(crate) const FLUSH_MILLIS: u64 = 1_000;
/// Heap that `aegis stick watch` may hold, bytes.
pub(crate) const WATCH_HEAP_BYTES: usize = 512 * 1024;
/// Longest file that holds a break-glass token, bytes: its text form.
pub(crate) const TOKEN_TEXT_BYTES: u64 = 16 * 1024;
/// Longest line that is read from the console, bytes.
pub(crate) const CONSOLE_LINE_BYTES: usize = 128;
/// Lines that are read from the console for one token: each may be mistyped, and typed again.
pub(crate) const CONSOLE_LINES: usize = 256;
/// How long the console waits for a line of a token, and for all of it, s.
pub(crate) const CONSOLE_LINE_SECONDS: u64 = 300;
pub(crate) const CONSOLE_TOKEN_SECONDS: u64 = 1_800;
/// Directory entries of own storage that are looked at for what a power cut left behind.
pub(crate) const SWEEP_ENTRIES: usize = 1024;
/// Decisions that the history holds.
pub(crate) const HISTORY_ENTRIES: usize = 64;
/// Longest history, bytes.
pub(crate) const HISTORY_BYTES: u64 = 128 * 1024;
/// Longest place of origin in the history, bytes.
pub(crate) const ORIGIN_BYTES: usize = 200;
/// What an export leaves free of a stick, bytes: receipts and the status must fit, too.
pub(crate) const KEPT_FREE_BYTES: u64 = 64 * 1024;
/// Largest export, bytes: vfat has no larger file.
pub(crate) const EXPORT_BYTES: u64 = u32::MAX as u64;
/// How often an export is tried on a stick that takes less than it says.
pub(crate) const EXPORT_TRIES: u32 = 4;
/// How long an export to a stick may take before it ends early, s: one that is slow gets a part, and keeps it.
/// Waiting for another take included that is less than the 300 s that the session's end gives it (`image/overlay`).
pub(crate) const EXPORT_SECONDS: u64 = TAKE_SECONDS / 3;
/// How much of an export waits in memory for the stick, bytes: so that the time says something.
pub(crate) const EXPORT_UNSYNCED_BYTES: u64 = 16 << 20;
/// Events that are looked at to say how much space the rest takes, and what one takes when none can be.
pub(crate) const EVENTS_LOOKED_AT: u64 = 16_384;
pub(crate) const EVENT_BYTES_TYPICAL: u64 = 256;
/// How long `aegis health` waits for the books to balance or to stand still, ms, and how often it looks.
pub(crate) const HEALTH_MILLIS: u64 = 5_000;
pub(crate) const HEALTH_LOOK_MILLIS: u64 = 100;
/// For how long nothing moves that is missing rather than on its way, ms. The agent looks for losses ten times a second.
pub(crate) const HEALTH_STILL_MILLIS: u64 = 1_000;
/// How long it takes to see that writes that failed fail still, ms.
pub(crate) const HEALTH_ERRORS_MILLIS: u64 = 6 * RETRY_MILLIS;
/// How late a checkpoint may be before that is a fault: a disk that is busy, s.
pub(crate) const CHECKPOINT_LATE_SECONDS: u64 = 10;
/// What is told of the disk in one boot: entries, and bytes of all of them.
pub(crate) const REPORT_ENTRIES: usize = 16;
pub(crate) const REPORT_BYTES: u64 = 4096;
/// Names that one line of the report says.
pub(crate) const NAMED: usize = 4;
/// Keys of one kind that can't be opened and are kept, the first ones first.
pub(crate) const KEYS_ASIDE: usize = 4;
/// Entries of a disk in sysfs that are looked at for its partitions.
pub(crate) const SYSFS_ENTRIES: usize = 512;
/// How much longer than its file system the data partition is before that is to grow, bytes.
pub(crate) const GROW_BYTES: u64 = 1 << 20;
/// How much it grows at once, bytes, and how long in one boot: the next one goes on.
pub(crate) const GROW_STEP_BYTES: u64 = 16 << 30;
pub(crate) const GROW_TIME: std::time::Duration = std::time::Duration::from_secs(30);
/// How long one command of the TPM may take: making a key takes a slow one seconds.
pub(crate) const TPM_EXCHANGE: std::time::Duration = std::time::Duration::from_secs(20);
/// What is kept of a TPM for one boot, bytes.
pub(crate) const TPM_FOUND_BYTES: u64 = 1024;
/// Links that a path may lead by: as many as the kernel follows (`include/linux/namei.h:MAXSYMLINKS`).
pub(crate) const LINKS: usize = 40;
/// Directory entries of the ESP's kernel images that are looked at.
pub(crate) const BOOT_ENTRIES: usize = 64;
/// Images of one stick that are read to their end: each is some 60 MiB.
pub(crate) const STICK_IMAGES: usize = 4;
/// Workloads that are kept at once: each has a loop device and a process that keeps it.
pub(crate) const WORKLOADS_KEPT: usize = 32;
/// What a workload leaves free of own storage, bytes: trust state, receipts and keys must fit, too.
pub(crate) const WORKLOADS_FREE_BYTES: u64 = 8 << 20;
/// Files of own storage that wait for a time without a free inode: as many new ones as a policy, roots and the rest of one stick may need.
pub(crate) const SPARE_FILES: usize = 16;
/// How long one kept workload may take to be read and hashed, before it is mounted: 256 MiB at a little over 4 MiB/s.
pub(crate) const WORKLOAD_LOOK: std::time::Duration = std::time::Duration::from_mins(1);
/// How long the data of workloads that were taken away is removed at one time; the rest goes at the next start.
pub(crate) const FORGET: std::time::Duration = std::time::Duration::from_secs(20);
/// Names of a directory that are looked at before the next are asked for.
pub(crate) const FORGET_NAMES: usize = 256;
/// Most processes and threads of all workloads together: half of what a small device has.
pub(crate) const WORKLOADS_PIDS: u32 = 16_384;
/// Workloads of one stick that are read to their end: each may be 256 MiB.
pub(crate) const STICK_WORKLOADS: usize = 32;
/// Directory entries of kept workloads that are looked at.
pub(crate) const WORKLOAD_ENTRIES: usize = 128;
/// How long a workload that was stopped may take to be gone, ms.
pub(crate) const STOP_MILLIS: u64 = 10_000;
/// How long what was killed in a workload's cgroup may take to be gone.
pub(crate) const PEN_EMPTY: std::time::Duration = std::time::Duration::from_secs(5);
/// Longest `/tmp` of a workload, bytes: of its own memory.
pub(crate) const WORKLOAD_TMP_BYTES: u64 = 16 << 20;
/// How long a program that decides may be kept off the processor before a policy is not put in force for its sake.
pub(crate) const PROGRAMS_WAIT: std::time::Duration = std::time::Duration::from_secs(10);
/// Longest text that is read of a file of the kernel's, bytes: a page.
pub(crate) const KERNEL_TEXT_BYTES: u64 = 4096;
/// Block devices of the host that are looked at for our own disks. More are refused: ours may be the last.
pub(crate) const SYSFS_BLOCK_DEVICES: usize = 16_384;
/// Devices made of devices made of one of ours (device-mapper, md). More are refused.
pub(crate) const SYSFS_HOLDERS_DEPTH: usize = 8;
/// What is counted in one boot by processes that come and go: kinds of it, bytes of all of them, and bytes of a code.
pub(crate) const TALLY_ENTRIES: usize = 128;
pub(crate) const TALLY_BYTES: u64 = 16 * 1024;
pub(crate) const TALLY_CODE_BYTES: usize = 64;
/// Longest text of procfs, sysfs or a cgroup that is read for metrics, bytes; of a longer one the rest is not known.
pub(crate) const METRICS_TEXT_BYTES: usize = 64 * 1024;
/// Sensors of one device that are looked for, and devices with sensors.
pub(crate) const DEVICE_SENSORS: usize = 16;
pub(crate) const SENSOR_DEVICES: usize = 32;
/// How often alerts are evaluated, and how often what takes long to find out is looked at, s.
pub(crate) const ALERTS_SECONDS: u64 = 5;
/// How long the first look waits for an agent that is being started, s.
pub(crate) const ALERTS_PATIENCE_SECONDS: u64 = 30;
pub(crate) const ALERTS_SLOW_SECONDS: u64 = 60;
/// How old the last evaluation of alerts may be, and how long after a boot's beginning there may be none, s.
pub(crate) const ALERTS_STILL_SECONDS: u64 = 60;
pub(crate) const ALERTS_BEGIN_SECONDS: u64 = 300;
/// What is told of alerts in `/run/aegis/alerts`, bytes: 64, each with its texts.
pub(crate) const ALERTS_BYTES: usize = 64 * 1024;
/// Heap that `aegis alerts watch` may hold, bytes: bundles, while what is remembered of them is read.
pub(crate) const ALERTS_HEAP_BYTES: usize = 24 * 1024 * 1024;
/// Lines on the console and in the kernel's log that tell of alerts, in one minute.
pub(crate) const ALERT_LINES_A_MINUTE: u32 = 20;
/// Words behind a workload's name, and flags of one command.
pub(crate) const COMMAND_WORDS: usize = 65_536;
pub(crate) const COMMAND_FLAGS: usize = 32;
/// Of a word that is not understood, what is shown, bytes.
pub(crate) const WORD_SHOWN_BYTES: usize = 80;
/// Pins of ours that are looked at: maps, programs and links are fewer.
pub(crate) const PINS: usize = 512;
/// Tasks of the agent that are looked at: it has a handful.
pub(crate) const AGENT_TASKS: usize = 64;
/// From how many percent on a map of the kernel's is said to be nearly full.
pub(crate) const MAP_PERCENT: u64 = 90;
/// Longest `/proc/config.gz`, and what is in it, bytes. Distributions have 60 and 280 KiB.
pub(crate) const KERNEL_CONFIG_BYTES: u64 = 256 * 1024;
pub(crate) const KERNEL_CONFIG_TEXT_BYTES: usize = 1 << 20;
/// What is left free of own storage at least: the next policy, its trial, the history, bytes.
pub(crate) const DATA_FREE_BYTES: u64 = 2 * BUNDLE_BYTES;
/// And so many files.
pub(crate) const DATA_FREE_FILES: u64 = 64;
/// What the device mapper says of one target, bytes.
pub(crate) const MAPPER_BYTES: usize = 4096;
/// Terms of a filter of events, and the longest value of one, bytes.
pub(crate) const FILTER_TERMS: usize = 32;
pub(crate) const FILTER_BYTES: usize = 256;
/// How often a ring that is followed is looked at, ms.
pub(crate) const FOLLOW_MILLIS: u64 = 250;
/// What is written to a pipe at once: what it takes whole, or not at all (pipe(7), `PIPE_BUF`), bytes.
pub(crate) const PIPE_BYTES: usize = 4096;
/// Longest part of a support bundle, and of the kernel's log the end of it, bytes.
pub(crate) const SUPPORT_PART_BYTES: usize = 256 * 1024;
pub(crate) const KERNEL_LOG_BYTES: usize = 64 * 1024;
/// Records of the kernel's log that are read: one that is written to all the while ends.
pub(crate) const KERNEL_LOG_RECORDS: usize = 65_536;
/// How long a line of the log waits for the console, ms; the agent's do not.
pub(crate) const LOG_CONSOLE_MILLIS: u64 = 500;
/// Lines of the agent's that wait for the disk.
pub(crate) const LOG_LINES: usize = 16;
/// How long the agent waits for them at its end, ms.
pub(crate) const LOG_FINISH_MILLIS: u64 = 1_000;
/// Of the log in a support bundle the end, bytes.
pub(crate) const SUPPORT_LOG_BYTES: usize = 64 * 1024;
/// Longest word of a workload's at its watchdog's socket, bytes; of a longer one the rest is not there (unix(7)).
pub(crate) const PULSE_WORD_BYTES: usize = 512;
/// Words that are heard at once; and how long nobody listens after that: the keeper's time is not the workload's.
pub(crate) const PULSE_WORDS: usize = 16;
pub(crate) const PULSE_DEAF: core::time::Duration = core::time::Duration::from_millis(100);
/// Between two answers on the control socket, ms: a hundred a second.
pub(crate) const CONTROL_REST_MILLIS: u64 = 10;
/// How likely the kernel is to end the agent for want of memory: -1000 is never, 1000 first.
pub(crate) const OOM_SCORE: &str = "-900";
