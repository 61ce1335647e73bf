//! The agent's status: what it says over the control socket and leaves behind when it stops.

use aegis_config::Keep;
use aegis_event::{Cause, Kind, Level, Mode, ModeReason};
use aegis_metrics::limits::{FLUSH_BUCKETS, LATENCY_BUCKETS};
use aegis_ring::{Full, SyncMode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::glass::seconds_left;
use super::seal::Seal;
use super::shared::{CAUSES, KINDS, Phase, Shared, VERDICTS};
use crate::config::{Loaded, Source};
use crate::json::object;
use crate::kernel::PolicyInForce;

/// Status at one moment. Travels as postcard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) phase: Phase,
    /// `CLOCK_BOOTTIME` ns.
    pub(crate) at: u64,
    /// [`Mode`] and [`ModeReason`] numbers.
    pub(crate) mode: u8,
    pub(crate) reason: u8,
    /// Until when nothing is denied, `CLOCK_BOOTTIME` ns; 0, or past: the glass is whole.
    pub(crate) broken_until: u64,
    pub(crate) policy: PolicyInForce,
    /// By position in [`Kind::ALL`].
    pub(crate) events: Vec<u64>,
    pub(crate) denied: u64,
    /// Decisions of the kernel that would have been denials, had the glass been whole.
    pub(crate) passed: u64,
    /// And those that would have been, had the deadman of their workload not fallen.
    pub(crate) fallen: u64,
    /// Reads and writes that are not summed: of too many open files at once.
    pub(crate) volumes_full: u64,
    /// Messages that are not summed: of too many sockets at once.
    pub(crate) flows_full: u64,
    /// Events the kernel made; those the agent handed to the ring; lost, by [`Cause`] number.
    pub(crate) seen: u64,
    pub(crate) written: u64,
    pub(crate) lost: [u64; CAUSES],
    pub(crate) ring: RingStatus,
    pub(crate) seal: SealStatus,
    pub(crate) setup: Setup,
    pub(crate) heap: HeapStatus,
    /// Resident memory, KiB: all of it, and of that the pages that are not the agent's own (its program file, and
    /// what it maps of the kernel's: the ring buffer twice, as its layout asks for).
    pub(crate) rss_kib: u64,
    pub(crate) rss_mapped_kib: u64,
}

/// What is counted for metrics alone. Travels as postcard.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Measures {
    /// By position in [`Kind::ALL`], and in each: of what nothing was decided of, then by verdict.
    pub(crate) events: Vec<u64>,
    /// Decisions by the rule that guards Aegis itself: audited, denied.
    pub(crate) guarded: [u64; 2],
    /// Flushes by how long they took ([`aegis_metrics::limits::FLUSH_BUCKETS`]), and of all together, ns.
    pub(crate) flushes: Vec<u64>,
    pub(crate) flush_nanos: u64,
    /// Events by how long it was from the kernel to their flush ([`aegis_metrics::limits::LATENCY_BUCKETS`]), and of all together, ns.
    pub(crate) latencies: Vec<u64>,
    pub(crate) latency_nanos: u64,
}

/// A number takes ten bytes at most, the length of a list five: the longest answer fits.
const _: () = assert!(
    10 * (KINDS * VERDICTS + 2 + FLUSH_BUCKETS.len() + 2 + LATENCY_BUCKETS.len() + 2) + 3 * 5
        <= crate::limits::CONTROL_BYTES
);

impl Measures {
    /// As they are now.
    pub(crate) fn of(shared: &Shared) -> Self {
        let (flushes, flush_nanos) = shared.flush_times.read();
        let (latencies, latency_nanos) = shared.latencies.read();
        let (events, guarded) = (shared.by_verdict(), shared.guarded());
        Self { events, guarded, flushes, flush_nanos, latencies, latency_nanos }
    }
}

/// The ring.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RingStatus {
    pub(crate) first: u64,
    pub(crate) acked: u64,
    pub(crate) used: u64,
    pub(crate) capacity: u64,
    pub(crate) flushes: u64,
    pub(crate) errors: u64,
    /// [`Level`] number, and percent of the capacity that events not exported take.
    pub(crate) level: u8,
    pub(crate) percent: u8,
    /// Overwritten before they were exported: how many, and the latest range of them.
    pub(crate) overwritten: u64,
    pub(crate) overwritten_range: (u64, u64),
    /// Runs that ended without a seal.
    pub(crate) cuts: u64,
    /// Given up because the disk did not give back what was written.
    pub(crate) damaged: u64,
}

/// The chain of checkpoints.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SealStatus {
    pub(crate) state: Seal,
    /// The epoch that runs.
    pub(crate) epoch: u64,
    /// When the last checkpoint of this run was made, `CLOCK_BOOTTIME` ns; 0: there was none.
    pub(crate) at: u64,
    /// The last sequence that it covers.
    pub(crate) sequence: u64,
}

/// What the agent was told to do with its ring, and by what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setup {
    sync: u8,
    window_millis: u32,
    /// It takes nothing more when it is full; otherwise it overwrites.
    pub(crate) stops: bool,
    /// The longest epoch, s.
    pub(crate) checkpoint_seconds: u32,
    source: u8,
    /// Of a program's arguments not all is recorded.
    argv: u8,
}

const SYNCS: [SyncMode; 3] = [SyncMode::Each, SyncMode::WINDOW, SyncMode::None];
const SOURCES: [Source; 3] = [Source::Defaults, Source::File, Source::LastGood];

impl Setup {
    /// As it was loaded.
    pub(crate) fn of(loaded: &Loaded) -> Self {
        let ring = &loaded.config.ring;
        let number = |found: Option<usize>| found.unwrap_or_default() as u8;
        Self {
            sync: number(SYNCS.iter().position(|sync| sync.name() == ring.sync.name())),
            window_millis: if let SyncMode::Window { millis, .. } = ring.sync { millis } else { 0 },
            stops: ring.full == Full::Stop,
            checkpoint_seconds: ring.checkpoint_seconds,
            source: number(SOURCES.iter().position(|source| *source == loaded.source)),
            argv: number(Keep::ALL.iter().position(|keep| *keep == loaded.config.events.argv)),
        }
    }

    /// When events become durable.
    pub(crate) fn sync(&self) -> &'static str {
        SYNCS.get(usize::from(self.sync)).map_or("unknown", |sync| sync.name())
    }

    /// What happens when the ring is full.
    pub(crate) const fn full(&self) -> &'static str {
        if self.stops { Full::Stop.name() } else { Full::Overwrite.name() }
    }

    /// What it lets be recorded of a program's arguments; a number that is not known is from a newer one.
    pub(crate) fn argv(&self) -> Keep {
        Keep::from_number(self.argv)
    }

    /// Where it comes from.
    pub(crate) fn source(&self) -> &'static str {
        SOURCES.get(usize::from(self.source)).map_or("unknown", |source| source.name())
    }
}

impl core::fmt::Display for Setup {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "sync {}", self.sync())?;
        if self.window_millis > 0 {
            write!(f, " of {} ms", self.window_millis)?;
        }
        write!(f, ", {} when full, a checkpoint every {} s", self.full(), self.checkpoint_seconds)?;
        match self.argv() {
            Keep::Whole => Ok(()),
            keep => write!(f, ", of arguments: {}", keep.name()),
        }
    }
}

/// The heap, bytes; allocations since the agent was ready.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct HeapStatus {
    pub(crate) limit: u64,
    pub(crate) peak: u64,
    pub(crate) current: u64,
    /// Of the event path: reader and writer.
    pub(crate) allocations: u64,
}

impl Status {
    /// Events flow to the ring.
    pub(crate) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// The ring was sealed and the agent is gone.
    pub(crate) fn is_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// Mode for people; a number from a newer agent shows as unknown.
    pub(crate) fn mode(&self) -> Option<Mode> {
        Mode::from_number(self.mode)
    }

    /// Why the mode is what it is.
    pub(crate) fn reason(&self) -> Option<ModeReason> {
        ModeReason::from_number(self.reason)
    }

    /// How full the ring is of what was not exported; a number from a newer agent is what is worst.
    pub(crate) fn level(&self) -> Level {
        Level::from_number(self.ring.level).unwrap_or(Level::Full)
    }

    /// Seconds since the last checkpoint of this run, at the time of this status; none when there was none.
    pub(crate) fn seconds_since_checkpoint(&self) -> Option<u64> {
        (self.seal.at > 0).then(|| self.at.saturating_sub(self.seal.at) / 1_000_000_000)
    }

    /// The longest that an epoch is to last, s; 0: none is promised, as the ring is full.
    pub(crate) fn promised_seconds(&self) -> u32 {
        if self.level() == Level::Full { 0 } else { self.setup.checkpoint_seconds }
    }

    /// For how many seconds more nothing is denied, at the time of this status; 0: the glass is whole.
    pub(crate) const fn broken_seconds(&self) -> u64 {
        seconds_left(self.broken_until, self.at)
    }

    /// Events in the kernel ring buffer, not yet taken: seen less written less lost.
    pub(crate) fn in_flight(&self) -> u64 {
        let lost = self.lost.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
        self.seen.saturating_sub(self.written.saturating_add(lost))
    }

    /// What is recorded of a program's arguments: the stricter of configuration and policy.
    pub(crate) fn argv(&self) -> Keep {
        Keep::from_number(self.setup.argv.max(self.policy.argv))
    }

    /// The status as the JSON object that `aegis status --json` prints.
    pub(crate) fn to_json(&self, hooks: &Value) -> Value {
        let events =
            object(&mut Kind::ALL.iter().zip(&self.events).map(|(kind, n)| (kind.name(), (*n).into())));
        let lost = object(&mut Cause::ALL.iter().zip(self.lost).map(|(cause, n)| (cause.name(), n.into())));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "phase": self.phase,
            "at_ns": self.at,
            "mode": self.mode().map_or("unknown", Mode::name),
            "reason": self.reason().map_or("unknown", ModeReason::name),
            "glass": {
                "broken": self.broken_seconds() > 0,
                "seconds_left": self.broken_seconds(),
                "until_ns": self.broken_until,
                "passed": self.passed,
            },
            "policy": {
                "epoch": self.policy.epoch,
                "sequence": self.policy.sequence,
                "rules": self.policy.rules,
                "entries": self.policy.entries,
                "unresolved": self.policy.unresolved,
                "uncovered": self.policy.uncovered,
                "hash": crate::storage::device::hex(&self.policy.hash),
            },
            "events": events,
            "argv": self.argv().name(),
            "denied": self.denied,
            "fallen": self.fallen,
            "volumes_full": self.volumes_full,
            "flows_full": self.flows_full,
            "accounts": {
                "seen": self.seen, "written": self.written, "lost": lost, "in_flight": self.in_flight(),
            },
            "heap": {
                "limit": self.heap.limit,
                "peak": self.heap.peak,
                "current": self.heap.current,
                "allocations_since_ready": self.heap.allocations,
            },
            "rss_kib": self.rss_kib,
            "rss_mapped_kib": self.rss_mapped_kib,
            "ring": {
                "first_sequence": self.ring.first,
                "acked_sequence": self.ring.acked,
                "used_bytes": self.ring.used,
                "capacity_bytes": self.ring.capacity,
                "flushes": self.ring.flushes,
                "write_errors": self.ring.errors,
                "level": self.level().name(),
                "unexported_percent": self.ring.percent,
                "full": self.setup.full(),
                "sync": self.setup.sync(),
                "window_ms": self.setup.window_millis,
                "overwritten": self.ring.overwritten,
                "overwritten_first": self.ring.overwritten_range.0,
                "overwritten_last": self.ring.overwritten_range.1,
                "cuts": self.ring.cuts,
                "damaged": self.ring.damaged,
            },
            "seal": {
                "code": self.seal.state.name(),
                "epoch": self.seal.epoch,
                "sequence": self.seal.sequence,
                "seconds_since_checkpoint": self.seconds_since_checkpoint(),
                "promised_seconds": self.promised_seconds(),
            },
            "config": { "source": self.setup.source() },
            "hooks": hooks,
        })
    }
}
