//! The contract: every metric there is. Names are part of it: dashboards and alarms are written against them.
//!
//! Names follow Prometheus: base units at the end (`_seconds`, `_bytes`, `_ratio`), counters end in `_total`.

use aegis_event::{Cause, Kind};

use crate::family::{Family, Label, Type};
#[cfg(feature = "contract")]
use crate::family::{Presence, Resets};
use crate::limits;
use crate::source::Source;

#[cfg_attr(not(feature = "contract"), expect(unused_variables, reason = "what only the document says"))]
const fn label(name: &'static str, most: u16, values: &'static str) -> Label {
    Label {
        name,
        most,
        #[cfg(feature = "contract")]
        values,
    }
}

const KINDS: Label = label("kind", Kind::ALL.len() as u16, "kinds of `docs/formats/event.cddl`");
const VERDICT: Label = label("verdict", 4, "`allowed`, `audited`, `denied`; `none`: nothing is decided");
const GUARDED: Label = label("verdict", 2, "`audited`, `denied`");
const CAUSE: Label = label("cause", Cause::ALL.len() as u16, "causes of `docs/formats/event.cddl`");
const KERNEL_CAUSE: Label = label("cause", 2, "`kernel-ring-full`, `rate-limited`");
const PASSED: Label = label("cause", 2, "`glass`, `deadman`");
const WORKLOAD: Label = label("workload", limits::WORKLOADS, "its name; `*`: without one; `aegis-selftest`");
const SIGNED: Label = label("workload", limits::SIGNED, "its name");
const HOOK: Label = label("hook", limits::HOOKS, "hooks of `docs/degraded-modes.md`");
const MAP: Label = label("map", limits::MAPS, "hash maps of `probes/bpf/maps.bpf.h`");
const SOURCE: Label = label("source", Source::ALL.len() as u16, "below");
const WHAT: Label = label("what", 4, "`bundle`, `root`, `break-glass`, `image`");
const CODE: Label = label("code", limits::CODES, "`docs/formats/reason-codes.md`; `other`: beyond the bound");
const PROGRAM: Label = label("program", 3, "`agent`, `stick-watch`, `alerts`");
const ALERT: Label = label("alert", limits::ALERTS, "names of the policy's alerts");
const SEVERITY: Label = label("severity", 3, "`info`, `warning`, `critical`");
const STATE: Label = label("state", 5, "`starting`, `sealed`, `unwiped`, `full`, `failed`");
const MODE: Label = label("mode", 2, "`audit-only`, `enforcing`");
const REASON: Label = label("reason", 8, "why: `docs/formats/event.cddl`");
const CPU_MODE: Label =
    label("mode", 8, "`user`, `nice`, `system`, `idle`, `iowait`, `irq`, `softirq`, `steal`");
const MEMORY: Label = label(
    "kind",
    9,
    "`total`, `free`, `available`, `buffers`, `cached`, `shared`, `slab-reclaimable`, `slab-unreclaimable`, `page-tables`",
);
const MOUNT: Label = label("mount", limits::MOUNTS, "`/`, `/data`, `/run`, `/run/aegis`, `/tmp`, `/scratch`");
const DEVICE: Label = label("device", limits::DISKS, "whole disks, as the kernel calls them");
const INTERFACE: Label = label("interface", limits::INTERFACES, "as the kernel calls them");
const FLOW: Label = label("direction", 2, "`receive`, `transmit`");
const IO: Label = label("direction", 2, "`read`, `write`");
const RESOURCE: Label = label("resource", 3, "`cpu`, `memory`, `io`");
const SHARE: Label = label("share", 2, "`some`, `full`");
const SENSOR: Label = label("sensor", limits::SENSORS, "`hwmonN/NAME/tempM`, `thermal_zoneN/TYPE`");
const WEAR: Label = label("kind", 2, "`a`, `b`: JEDEC's types of memory");
const TASK_MODE: Label = label("mode", 2, "`user`, `system`");
const PROCESS: Label = label("state", 2, "`running`, `blocked`");
const UNSUMMED: Label = label("what", 2, "`volume`: reads and writes of files, `flow`: messages of sockets");
const VERSION: Label = label("version", 1, "the agent's");
const VARIANT: Label = label("variant", 1, "`production`, `debug`");

/// Defines [`Id`] and the table behind it.
macro_rules! families {
    ($( $group:literal { $( $id:ident = $name:literal, $kind:ident, [$($label:ident),*], $resets:ident, $presence:expr, $help:literal; )+ } )+) => {
        /// A metric of the contract, in the order in which they are documented and written.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the table says what each is")]
        #[repr(u8)]
        pub enum Id { $($($id,)+)+ }

        impl Id {
            /// All of them.
            pub const ALL: [Self; [$($(stringify!($id),)+)+].len()] = [$($(Self::$id,)+)+];

            /// The one of this name, if there is one.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|id| id.family().name() == name)
            }

            /// What it is.
            pub const fn family(self) -> &'static Family {
                &FAMILIES[self as usize]
            }

            /// Where it stands in the document.
            #[cfg(feature = "contract")]
            pub const fn group(self) -> &'static str {
                match self { $($(Self::$id)|+ => $group,)+ }
            }
        }

        /// By position in [`Id::ALL`].
        static FAMILIES: [Family; Id::ALL.len()] = [$($(Family {
                        text: concat!($name, " ", $help),
                        name_bytes: $name.len() as u8,
                        kind: Type::$kind,
                        labels: &[$($label),*],
                        #[cfg(feature = "contract")]
                        presence: $presence,
                        #[cfg(feature = "contract")]
                        resets: Resets::$resets,
                    },)+)+];
    };
}

#[cfg(feature = "contract")]
use Presence::{Always, When};

#[cfg(feature = "contract")]
const STATISTICS: Presence = When("`kernel.bpf_stats_enabled` is 1");
#[cfg(feature = "contract")]
const NEEDS_SUCH: Presence = When("there was one in this boot");
#[cfg(feature = "contract")]
const RUNS: Presence = When("the workload's cgroup is there");
#[cfg(feature = "contract")]
const STARTED: Presence = When("it was to be started");

families! {
"Agent" {
    BuildInfo = "aegis_build_info", Gauge, [VERSION, VARIANT], Nothing, Always, "Which agent and image this is; always 1.";
    AgentUp = "aegis_agent_up", Gauge, [], Nothing, Always, "1: the agent answers. 0: nothing is recorded; what is enforced stays so.";
    AgentReady = "aegis_agent_ready", Gauge, [], Nothing, Always, "1: events flow to the ring.";
    Starts = "aegis_starts_total", Counter, [PROGRAM], Boot, Always, "Starts of what runs on; each after the first is a restart.";
    Heap = "aegis_agent_heap_bytes", Gauge, [], Nothing, Always, "Heap that the agent holds.";
    HeapPeak = "aegis_agent_heap_peak_bytes", Gauge, [], Nothing, Always, "Most heap that the agent has held.";
    HeapLimit = "aegis_agent_heap_limit_bytes", Gauge, [], Nothing, Always, "Heap that the agent may hold.";
    Allocations = "aegis_agent_event_allocations_total", Counter, [], Run, Always, "Allocations on the way of an event since the agent was ready; promised to be 0.";
    Resident = "aegis_agent_resident_bytes", Gauge, [], Nothing, Always, "Resident memory of the agent.";
    ResidentMapped = "aegis_agent_resident_mapped_bytes", Gauge, [], Nothing, Always, "Of that, its program file and what it maps of the kernel's.";
    ScrapeError = "aegis_scrape_error", Gauge, [SOURCE], Nothing, Always, "1: this source could not be read; what comes from it is absent.";
    ScrapeLeftOut = "aegis_scrape_left_out_series", Gauge, [], Nothing, Always, "Series of this answer that were left out: over a bound.";
    ScrapeSeconds = "aegis_scrape_duration_seconds", Gauge, [], Nothing, Always, "How long this answer took to gather.";
}
"Events and losses" {
    Events = "aegis_events_total", Counter, [KINDS, VERDICT], Run, Always, "Events that the agent handed to the ring, by kind and verdict.";
    EventsSeen = "aegis_events_seen_total", Counter, [], Boot, Always, "Events that the kernel made: on disk, lost, or on their way.";
    EventsWritten = "aegis_events_written_total", Counter, [], Boot, Always, "Of those, handed to the ring.";
    EventsInFlight = "aegis_events_in_flight", Gauge, [], Nothing, Always, "Of those, on their way: seen less written less lost.";
    Lost = "aegis_lost_events_total", Counter, [CAUSE], Boot, Always, "Events that were lost, by cause.";
    Unsummed = "aegis_unsummed_total", Counter, [UNSUMMED], Load, Always, "What was not summed because too many were open at once.";
    Passed = "aegis_passed_denials_total", Counter, [PASSED], Load, Always, "Would-be denials that passed: the glass was broken, or a deadman had fallen.";
    SelfProtection = "aegis_self_protection_hits_total", Counter, [GUARDED], Run, Always, "Decisions by the rule with which Aegis guards itself.";
    WorkloadEvents = "aegis_workload_events_total", Counter, [WORKLOAD], Load, Always, "Events that the kernel made, by workload.";
    WorkloadDenials = "aegis_workload_denials_total", Counter, [WORKLOAD], Load, Always, "Accesses that the kernel denied, by workload; counted also when the event is lost.";
    WorkloadLost = "aegis_workload_lost_events_total", Counter, [WORKLOAD, KERNEL_CAUSE], Load, Always, "Events that the kernel lost, by workload and cause.";
    WorkloadPassed = "aegis_workload_passed_denials_total", Counter, [WORKLOAD, PASSED], Load, Always, "Would-be denials that passed, by workload.";
}
"Ring" {
    RingSize = "aegis_ring_size_bytes", Gauge, [], Nothing, Always, "What the ring can hold.";
    RingUsed = "aegis_ring_used_bytes", Gauge, [], Nothing, Always, "Of that, in use; one that came round stays full.";
    RingUnexportedRatio = "aegis_ring_unexported_ratio", Gauge, [], Nothing, Always, "Of its size, what events take that were not exported, to a hundredth.";
    RingUnexported = "aegis_ring_unexported_events", Gauge, [], Nothing, Always, "Events in the ring that were not exported.";
    RingOldest = "aegis_ring_unexported_oldest_age_seconds", Gauge, [], Nothing, When("there are such events"), "Age of the oldest of them, at least: of an event of an earlier boot, the time since this one began.";
    RingSequence = "aegis_ring_last_sequence", Gauge, [], Nothing, Always, "Sequence of the last durable event.";
    RingFull = "aegis_ring_full", Gauge, [], Nothing, Always, "1: it takes nothing until there is an export.";
    RingFlush = "aegis_ring_flush_seconds", Histogram, [], Run, Always, "How long it took to write a group of events and flush it.";
    EventLatency = "aegis_event_latency_seconds", Histogram, [], Run, Always, "From the kernel's look at an event to its flush, with what it waited for others to share it; with sync = none to its writing.";
    RingErrors = "aegis_ring_write_errors_total", Counter, [], Run, Always, "Writes to the ring that failed; each is tried again.";
    RingOverwritten = "aegis_ring_overwritten_events_total", Counter, [], Ring, Always, "Events that were overwritten before they were exported.";
    RingDamaged = "aegis_ring_damaged_events_total", Counter, [], Ring, Always, "Events given up because the disk did not give back what was written.";
    RingCuts = "aegis_ring_cuts_total", Counter, [], Ring, Always, "Runs that ended without a seal: power cuts, killed agents.";
    SealState = "aegis_seal_state", Gauge, [STATE], Nothing, Always, "1 for the state in which the chain of checkpoints is.";
    SealEpoch = "aegis_seal_epoch", Gauge, [], Nothing, Always, "The sealing epoch that runs.";
    SealAge = "aegis_seal_checkpoint_age_seconds", Gauge, [], Nothing, When("there was one in this run"), "Time since the last checkpoint.";
    SealPromise = "aegis_seal_checkpoint_period_seconds", Gauge, [], Nothing, Always, "Longest time between two, as promised; 0: none is, as the ring is full.";
}
"Policy" {
    PolicyEpoch = "aegis_policy_epoch", Gauge, [], Nothing, Always, "Epoch of the policy in force.";
    PolicySequence = "aegis_policy_sequence", Gauge, [], Nothing, Always, "Sequence of the policy in force.";
    PolicyRules = "aegis_policy_rules", Gauge, [], Nothing, Always, "Its rules.";
    PolicyEntries = "aegis_policy_entries", Gauge, [], Nothing, Always, "Entries of the kernel's maps that they fill.";
    PolicyUnresolved = "aegis_policy_unresolved_paths", Gauge, [], Nothing, Always, "Its paths that were not there when it was applied, and are known by name.";
    PolicyUncovered = "aegis_policy_uncovered_paths", Gauge, [], Nothing, Always, "Its paths that it can't be held on, or not all of it.";
    PolicyExpiry = "aegis_policy_expiry_timestamp_seconds", Gauge, [], Nothing, When("it expires"), "Until when it was signed to be, Unix seconds.";
    PolicyStale = "aegis_policy_stale", Gauge, [], Nothing, Always, "1: it is older than that, and stays in force.";
    PolicyTrouble = "aegis_policy_trouble", Gauge, [CODE], Nothing, When("there is one"), "1 for each thing about it that is not as it should be; always 1.";
    Mode = "aegis_mode_info", Gauge, [MODE, REASON], Nothing, Always, "What is done to a matching access now, and why; always 1.";
    Enforcing = "aegis_enforcing", Gauge, [], Nothing, Always, "1: denials are real, a real one was observed, and the glass is whole.";
    GlassSeconds = "aegis_glass_remaining_seconds", Gauge, [], Nothing, Always, "For how long nothing is denied because the glass is broken; 0: it is whole.";
    Swaps = "aegis_policy_swaps_total", Counter, [], Boot, Always, "Policies that were put in force, the one at boot among them.";
    SwapSeconds = "aegis_policy_swap_duration_seconds", Gauge, [], Nothing, Always, "How long the last one took, from the first look at its paths to the store that put it in force.";
    SwapAge = "aegis_policy_age_seconds", Gauge, [], Nothing, Always, "Time since then.";
}
"Hooks and maps" {
    HookAttached = "aegis_hook_attached", Gauge, [HOOK], Nothing, Always, "1: a program is attached.";
    HookDenies = "aegis_hook_denies", Gauge, [HOOK], Nothing, Always, "1: it can deny.";
    HookStatistics = "aegis_hook_statistics_enabled", Gauge, [], Nothing, Always, "1: the kernel counts calls and their time (kernel.bpf_stats_enabled). It costs each call some 20 ns, and is off unless somebody turns it on.";
    HookCalls = "aegis_hook_invocations_total", Counter, [HOOK], Load, STATISTICS, "Calls of its program while the kernel counted; absent while it does not (kernel.bpf_stats_enabled).";
    HookSeconds = "aegis_hook_run_seconds_total", Counter, [HOOK], Load, STATISTICS, "Time in its program while the kernel counted; absent while it does not (kernel.bpf_stats_enabled).";
    HookSkipped = "aegis_hook_skipped_total", Counter, [HOOK], Load, Always, "Calls that the kernel skipped because the program was running on that CPU already (since Linux 5.12).";
    MapEntries = "aegis_map_entries", Gauge, [MAP], Nothing, Always, "Entries that the map has.";
    MapCapacity = "aegis_map_capacity_entries", Gauge, [MAP], Nothing, Always, "Entries that it can have.";
}
"Sticks and decisions" {
    SticksSeen = "aegis_sticks_seen_total", Counter, [], Boot, Always, "Sticks of ours that were taken.";
    StickFaults = "aegis_stick_faults_total", Counter, [CODE], Boot, NEEDS_SUCH, "What was not as it must be about a stick, by code.";
    Accepted = "aegis_offers_accepted_total", Counter, [WHAT], Boot, NEEDS_SUCH, "What was offered, by stick or by hand, and let in.";
    Refused = "aegis_offers_refused_total", Counter, [WHAT, CODE], Boot, NEEDS_SUCH, "What was offered and refused, by reason code.";
}
"Clock" {
    ClockBoot = "aegis_clock_boot_timestamp_seconds", Gauge, [], Nothing, Always, "When this boot began, by the wall clock now: it moves when the clock is set.";
    Clock = "aegis_clock_timestamp_seconds", Gauge, [], Nothing, Always, "The wall clock, Unix seconds; it is not trusted.";
    ClockFloor = "aegis_clock_floor_timestamp_seconds", Gauge, [], Nothing, Always, "It is so late at least: the latest signed time seen, or the image's build time.";
    ClockPlausible = "aegis_clock_plausible", Gauge, [], Nothing, Always, "1: the wall clock is not behind that. It is not trusted either way.";
}
"Alerts" {
    AlertFiring = "aegis_alert_firing", Gauge, [ALERT, SEVERITY], Nothing, When("the policy has alerts"), "1: this alert of the policy fires, as of the last look.";
    AlertsAge = "aegis_alerts_look_age_seconds", Gauge, [], Nothing, When("the watcher of alerts has looked"), "Time since alerts were evaluated.";
}
"System" {
    Uptime = "aegis_system_uptime_seconds", Gauge, [], Nothing, Always, "Time since this boot began, suspended time included.";
    Cpus = "aegis_system_cpus", Gauge, [], Nothing, Always, "Processors that are on.";
    CpuSeconds = "aegis_system_cpu_seconds_total", Counter, [CPU_MODE], Boot, Always, "Time of all processors, by what it went to.";
    Switches = "aegis_system_context_switches_total", Counter, [], Boot, Always, "Context switches.";
    Forks = "aegis_system_forks_total", Counter, [], Boot, Always, "Tasks made.";
    Processes = "aegis_system_processes", Gauge, [PROCESS], Nothing, Always, "Tasks that run or could, and that wait for a disk.";
    Memory = "aegis_system_memory_bytes", Gauge, [MEMORY], Nothing, Always, "Memory, by what it is used for.";
    SystemOoms = "aegis_system_oom_kills_total", Counter, [], Boot, Always, "Processes that were killed for want of memory.";
    FsSize = "aegis_system_filesystem_size_bytes", Gauge, [MOUNT], Nothing, Always, "Size of the file system.";
    FsAvailable = "aegis_system_filesystem_available_bytes", Gauge, [MOUNT], Nothing, Always, "Of that, free for those who are not root.";
    FsInodes = "aegis_system_filesystem_inodes", Gauge, [MOUNT], Nothing, Always, "Files that it can hold.";
    FsFreeInodes = "aegis_system_filesystem_free_inodes", Gauge, [MOUNT], Nothing, Always, "Of those, free.";
    FsReadOnly = "aegis_system_filesystem_read_only", Gauge, [MOUNT], Nothing, Always, "1: it can't be written to.";
    DiskBytes = "aegis_system_disk_bytes_total", Counter, [DEVICE, IO], Boot, Always, "Bytes read from and written to the disk.";
    DiskIos = "aegis_system_disk_ios_total", Counter, [DEVICE, IO], Boot, Always, "Reads and writes that the disk has done.";
    DiskIoSeconds = "aegis_system_disk_io_seconds_total", Counter, [DEVICE, IO], Boot, Always, "Time that they took, together.";
    DiskBusy = "aegis_system_disk_busy_seconds_total", Counter, [DEVICE], Boot, Always, "Time in which the disk had something to do.";
    DiskWear = "aegis_system_disk_wear_ratio", Gauge, [DEVICE, WEAR], Nothing, When("an eMMC says it"), "Of its life, used, at most; over 1: more than it was made for.";
    NetBytes = "aegis_system_network_bytes_total", Counter, [INTERFACE, FLOW], Boot, Always, "Bytes received and sent.";
    NetPackets = "aegis_system_network_packets_total", Counter, [INTERFACE, FLOW], Boot, Always, "Packets received and sent.";
    NetErrors = "aegis_system_network_errors_total", Counter, [INTERFACE, FLOW], Boot, Always, "Packets with errors.";
    NetDrops = "aegis_system_network_drops_total", Counter, [INTERFACE, FLOW], Boot, Always, "Packets that were dropped.";
    Pressure = "aegis_system_pressure_seconds_total", Counter, [RESOURCE, SHARE], Boot, Always, "Time in which some tasks, or all that could run, waited for the resource (PSI).";
    Temperature = "aegis_system_temperature_celsius", Gauge, [SENSOR], Nothing, When("the hardware has a sensor"), "What a sensor says.";
    TemperatureCritical = "aegis_system_temperature_critical_celsius", Gauge, [SENSOR], Nothing, When("the sensor has such a limit"), "Above this the hardware is in danger.";
}
"Workloads' cgroups" {
    WorkloadCpu = "aegis_workload_cpu_seconds_total", Counter, [WORKLOAD, TASK_MODE], Cgroup, RUNS, "Processor time of the workload.";
    WorkloadThrottled = "aegis_workload_cpu_throttled_seconds_total", Counter, [WORKLOAD], Cgroup, RUNS, "Time in which it was kept from running by its limit.";
    WorkloadMemory = "aegis_workload_memory_bytes", Gauge, [WORKLOAD], Nothing, RUNS, "Memory of the workload, caches included.";
    WorkloadMemoryLimit = "aegis_workload_memory_limit_bytes", Gauge, [WORKLOAD], Nothing, When("it has a limit"), "Memory that it may have.";
    WorkloadOoms = "aegis_workload_oom_kills_total", Counter, [WORKLOAD], Cgroup, RUNS, "Its processes that were killed for want of memory.";
    WorkloadBytes = "aegis_workload_io_bytes_total", Counter, [WORKLOAD, IO], Cgroup, RUNS, "Bytes it read from and wrote to disks; a disk that is made of another counts there.";
    WorkloadIos = "aegis_workload_ios_total", Counter, [WORKLOAD, IO], Cgroup, RUNS, "Its reads from and writes to disks.";
    WorkloadPids = "aegis_workload_pids", Gauge, [WORKLOAD], Nothing, RUNS, "Its tasks.";
    WorkloadPidsRefused = "aegis_workload_pids_refused_total", Counter, [WORKLOAD], Cgroup, RUNS, "Tasks that it could not make: over its limit.";
}
"Workloads that came signed" {
    WorkloadStarts = "aegis_workload_starts_total", Counter, [SIGNED], Boot, STARTED, "Starts of the workload; each after the first is a restart.";
    WorkloadDown = "aegis_workload_down", Gauge, [SIGNED], Nothing, STARTED, "1: it is down and should not be: it ended too often, ended as a failure, or could not be mounted or started.";
}
}
