//! Every bound of this crate.

use std::time::Duration;

/// Words of the kernel's command line, bytes. The kernel's own bound is 2,048 on x86 (`COMMAND_LINE_SIZE`).
pub(crate) const LINE_BYTES: u64 = 4_096;
/// A file of sysfs, procfs or efivarfs, or one of ours in /etc.
pub(crate) const FILE_BYTES: u64 = 16 * 1024;
/// How long what ended rests before it is started again.
pub(crate) const REST: Duration = Duration::from_secs(1);
/// What runs so long is steady; what ends sooner so often in a row rests twice as long each time, so often, up to that.
pub(crate) const STEADY: Duration = Duration::from_mins(1);
pub(crate) const ENDS_AT_ONCE: u32 = 3;
pub(crate) const REST_DOUBLED: u32 = 6;
pub(crate) const REST_MOST: Duration = Duration::from_mins(1);
/// Commands that nobody waits for, at once.
pub(crate) const ASIDES: usize = 4;
/// How long what was told to end (SIGTERM) has before it is ended (SIGKILL).
pub(crate) const GRACE: Duration = Duration::from_secs(5);
/// A command of own storage or of the policy.
pub(crate) const COMMAND: Duration = Duration::from_mins(2);
/// Workloads that are looked at before they are mounted: each has a minute there, and is left out after it.
pub(crate) const WORKLOADS: Duration = Duration::from_mins(33);
/// How many of them are started: as many as are kept.
pub(crate) const WORKLOADS_KEPT: usize = 32;
/// A mount of a disk.
pub(crate) const MOUNT: Duration = Duration::from_secs(30);
/// A stick that is there at the start: an image of the system takes longest, it is read twice, written and read back.
pub(crate) const STICK: Duration = Duration::from_mins(10);
/// How long a stick that was announced may settle on its bus, seconds.
pub(crate) const STICK_SETTLES: u64 = 5;
/// How long the agent may take until it is ready, seconds; and the command that asks.
pub(crate) const READY: u64 = 60;
pub(crate) const ASK_READY: Duration = Duration::from_secs(90);
/// A line on the console.
pub(crate) const SAY: Duration = Duration::from_millis(500);
/// Children that are reaped at one time.
pub(crate) const REAPED: usize = 256;
/// All of the root, read once.
pub(crate) const ROOT: Duration = Duration::from_mins(5);
/// How long a disk may take to let go, at the end; and the power to go.
pub(crate) const LET_GO: Duration = Duration::from_secs(30);
pub(crate) const POWER: Duration = Duration::from_secs(5);
/// A workload's exit code, to whoever waits for it outside.
pub(crate) const REPORT: Duration = Duration::from_secs(5);
/// At the end: workloads that were killed, and how often is looked whether they are gone.
pub(crate) const WORKLOADS_END: Duration = Duration::from_secs(5);
pub(crate) const LOOK: Duration = Duration::from_millis(20);
/// At the end: a take that is under way, the agent's own end, the evidence.
pub(crate) const STICK_ENDS: Duration = Duration::from_secs(30);
pub(crate) const AGENT_ENDS: Duration = Duration::from_secs(20);
pub(crate) const EVIDENCE: Duration = Duration::from_mins(5);
/// How often the watchdog is fed: three times in the shortest time that one of those that the kernel knows gives (SBSA, 10 s).
pub(crate) const FEED: Duration = Duration::from_secs(3);
/// How often the agent's loops say that they turn; how long one that does not is waited for before the watchdog is left alone, which
/// then waits for as long as it does; and how long an agent that was started has until its loops turn.
pub(crate) const TURN: Duration = Duration::from_secs(10);
pub(crate) const STILL: Duration = Duration::from_mins(1);
pub(crate) const AGENT_BEGINS: Duration = Duration::from_mins(3);
/// Who asks something of init: how many wait, how long one is listened to, how long an answer is waited for, and the longest packet, bytes.
pub(crate) const ASKERS: i32 = 8;
pub(crate) const ASKING: Duration = Duration::from_millis(500);
pub(crate) const ASKED: Duration = Duration::from_secs(5);
pub(crate) const WISH_BYTES: usize = 80;
/// Block devices that are looked at for a label, and that lie on one another below the root.
pub(crate) const BLOCK_DEVICES: usize = 16_384;
pub(crate) const DEVICES_STACKED: usize = 4;
/// The root is read in pieces of so many bytes.
pub(crate) const PIECE: usize = 256 * 1024;
