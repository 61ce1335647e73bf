//! Bounds of the harness, all in one place.

use std::time::Duration;

/// Longest workload name, bytes: `AEGIS_WORKLOAD_NAME_MAX` of `probes/bpf/abi.h` less the NUL.
pub const WORKLOAD_NAME_BYTES: usize = 63;
/// Longest kernel command line, bytes (x86 `COMMAND_LINE_SIZE`, less the NUL).
pub const COMMAND_LINE_BYTES: usize = 2047;
/// Guest memory when nothing is said, MiB.
pub const MEMORY_DEFAULT_MIB: u32 = 512;
/// Least guest memory, MiB: the loader's peak (21 MB) plus kernel and page cache.
pub const MEMORY_MIN_MIB: u32 = 128;
/// Most guest memory, MiB.
pub const MEMORY_MAX_MIB: u32 = 65_536;
/// Guest's time when nothing is said.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_mins(5);
/// Most time a guest may be given, seconds.
pub const TIMEOUT_MAX_SECONDS: u64 = 86_400;
/// Size of a fresh ring disk, bytes.
pub const RING_DISK_BYTES: u64 = 64 << 20;
/// Size of a fresh data disk, bytes.
pub const DATA_DISK_BYTES: u64 = 32 << 20;
/// Size of a stick made here, bytes (a multiple of 1 MiB).
pub const STICK_BYTES: u64 = 64 << 20;
/// Largest file put on a stick, bytes.
pub const STICK_FILE_BYTES: u64 = 32 << 20;
/// Largest image taken for a stick, and largest file taken from one, bytes.
pub const STICK_IMAGE_BYTES: u64 = 4 << 30;
/// Time of the files on a stick made here, where its tool lets one say: 2026-01-01T00:00:00Z, Unix seconds.
pub const STICK_TIME: u64 = 1_767_225_600;
/// A stick's label.
pub const STICK_LABEL: &str = "AEGIS";
/// The one folder of a stick that is ours.
pub const STICK_FOLDER: &str = "aegis";
/// Longest path below it, bytes.
pub const STICK_NAME_BYTES: usize = 128;
/// Most parts of such a path.
pub const STICK_NAME_FOLDERS: usize = 4;
/// Where a disk's one partition begins, bytes; as much is left free at the end for the second GPT.
pub const PARTITION_START_BYTES: u64 = 1 << 20;
/// Longest console line looked at or shown, bytes; the log has all of it.
pub const CONSOLE_LINE_BYTES: usize = 4096;
/// Most bytes of console kept in `console.log`: a guest must not fill the host's disk.
pub const CONSOLE_LOG_BYTES: u64 = 64 << 20;
/// Largest `status.json` read, bytes.
pub const STATUS_BYTES: u64 = 1 << 20;
/// Most files taken from a stick's `aegis/out`.
pub const STICK_OUT_FILES: usize = 256;
/// Most time a tool gets to read a stick back.
pub const STICK_READ: Duration = Duration::from_mins(3);
/// Most clusters of an exFAT volume that is read.
pub const EXFAT_CLUSTERS: u32 = 1 << 20;
/// Most bytes of an exFAT folder that are looked at.
pub const EXFAT_FOLDER_BYTES: usize = 1 << 20;
/// Write cache of a disk that loses it in a power cut, bytes.
pub const CACHE_BYTES: usize = 16 << 20;
/// Longest option that QEMU sends before it uses such a disk, bytes.
pub const NBD_OPTION_BYTES: u64 = 4096;
/// Longest request of QEMU's to such a disk, bytes: its own bound.
pub const NBD_REQUEST_BYTES: u64 = 32 << 20;
/// Longest line of QEMU's monitor, bytes.
pub const QMP_LINE_BYTES: u64 = 1 << 20;
/// Most time QEMU's monitor gets for an answer, and a pulled stick to be gone.
pub const QMP_ANSWER: Duration = Duration::from_mins(2);
/// Most time the guest's console may take nothing of what is typed.
pub const TYPE_STALL: Duration = Duration::from_secs(20);
/// Last time the guest's clock can be set to: 2099-12-31T23:59:59Z, the end of its century, Unix seconds.
pub const CLOCK_MAX: u64 = 4_102_444_799;
/// Console lines that a running guest's past is known by.
pub const LOG_LINES: usize = 10_000;
/// Console lines shown where something that was waited for did not come.
pub const CONSOLE_END_LINES: usize = 30;
/// Console lines named in the error when a guest did not boot.
pub const TAIL_LINES: usize = 5;
/// How often a wait looks at its clock and at Ctrl-C.
pub const TICK: Duration = Duration::from_millis(100);

/// The longest line that says what the root is; the kernel itself takes 2,048 bytes in all.
pub const ROOT_LINE_BYTES: u64 = 1024;

/// How long a TPM may take until it can be talked to, and how often that is looked at.
pub(crate) const TPM_START: Duration = Duration::from_secs(20);
/// See [`TPM_START`].
pub(crate) const TPM_LOOK: Duration = Duration::from_millis(10);
