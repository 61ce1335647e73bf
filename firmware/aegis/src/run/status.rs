//! The agent's status: what it says over the control socket and leaves behind when it stops.

use aegis_event::{Cause, Kind, Mode, ModeReason};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::glass::seconds_left;
use super::shared::{CAUSES, KINDS, Phase};
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
    pub(crate) events: [u64; KINDS],
    pub(crate) denied: u64,
    /// Decisions of the kernel that would have been denials, had the glass been whole.
    pub(crate) passed: u64,
    /// Events the kernel made; those the agent handed to the ring; lost, by [`Cause`] number.
    pub(crate) seen: u64,
    pub(crate) written: u64,
    pub(crate) lost: [u64; CAUSES],
    pub(crate) ring: RingStatus,
    pub(crate) heap: HeapStatus,
    /// Resident memory, KiB: all of it, and of that the pages that are not the agent's own (its program file, and
    /// what it maps of the kernel's: the ring buffer twice, as its layout asks for).
    pub(crate) rss_kib: u64,
    pub(crate) rss_mapped_kib: u64,
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

    /// For how many seconds more nothing is denied, at the time of this status; 0: the glass is whole.
    pub(crate) const fn broken_seconds(&self) -> u64 {
        seconds_left(self.broken_until, self.at)
    }

    /// Events in the kernel ring buffer, not yet taken: seen less written less lost.
    pub(crate) fn in_flight(&self) -> u64 {
        let lost = self.lost.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
        self.seen.saturating_sub(self.written.saturating_add(lost))
    }

    /// The status as the JSON object that `aegis status --json` prints.
    pub(crate) fn to_json(&self, hooks: &Value) -> Value {
        let events: Map<String, Value> =
            Kind::ALL.iter().zip(self.events).map(|(kind, n)| (kind.name().into(), n.into())).collect();
        let lost: Map<String, Value> =
            Cause::ALL.iter().zip(self.lost).map(|(cause, n)| (cause.name().into(), n.into())).collect();
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
                "hash": crate::storage::device::hex(&self.policy.hash),
            },
            "events": events,
            "denied": self.denied,
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
            },
            "hooks": hooks,
        })
    }
}
