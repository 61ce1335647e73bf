//! What the threads of the agent tell each other: plain atomics, no locks.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

use aegis_event::{Cause, Kind, Level, Verdict};
use aegis_metrics::limits::{FLUSH_BUCKETS, LATENCY_BUCKETS};

use super::seal::Seal;

/// How far the agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub(crate) enum Phase {
    /// Not yet writing to the ring.
    Starting = 0,
    /// The start event is on disk and events flow.
    Ready = 1,
    /// Draining after a signal.
    Stopping = 2,
    /// Sealed and gone.
    Stopped = 3,
}

/// Counters and flags of one run.
#[derive(Default)]
pub(crate) struct Shared {
    phase: AtomicU8,
    by_kind: ByKind,
    /// Decisions by the rule that guards Aegis itself: audited, denied.
    guarded: [AtomicU64; 2],
    /// Of each flush.
    pub(crate) flush_times: Times<{ FLUSH_BUCKETS.len() }>,
    /// From the kernel to the flush, of each event.
    pub(crate) latencies: Times<{ LATENCY_BUCKETS.len() }>,
    /// Events of this boot that probes before those that are loaded now had seen.
    pub(crate) before: AtomicU64,
    /// Counted events handed to the ring in this boot, earlier runs included.
    pub(crate) taken: AtomicU64,
    /// Of those, refused by a ring that was full to the end: they count as lost.
    pub(crate) refused: AtomicU64,
    /// Of those handed to it, flushed.
    pub(crate) durable: AtomicU64,
    /// Lost by the agent itself, by cause number; the kernel's own losses are read from its counters, and here those of `before`.
    lost: [AtomicU64; CAUSES],
    /// Sequence of the last event flushed.
    pub(crate) acked: AtomicU64,
    /// Bytes of the ring in use, and of its capacity.
    pub(crate) ring_used: AtomicU64,
    pub(crate) ring_capacity: AtomicU64,
    pub(crate) ring_first: AtomicU64,
    pub(crate) flushes: AtomicU64,
    pub(crate) write_errors: AtomicU64,
    /// [`Level`], and percent of the ring that events not exported take.
    level: AtomicU8,
    pub(crate) percent: AtomicU8,
    /// The ring takes nothing more until there is an export.
    pub(crate) full: AtomicBool,
    pub(crate) lost_on_disk: LostOnDisk,
    pub(crate) sealing: Sealed,
    /// Everything up to this sequence was exported: told over the control socket, and 0 once the writer knows.
    pub(crate) exported: AtomicU64,
    /// Checkpoints asked for, and those of them that were seen to.
    pub(crate) asked: AtomicU64,
    pub(crate) answered: AtomicU64,
    /// Allocations of the event path since the agent was ready, reader's and writer's.
    pub(crate) reader_allocations: AtomicU64,
    pub(crate) writer_allocations: AtomicU64,
    /// Set once: what the agent says first is queued.
    pub(crate) begun: AtomicBool,
    /// Set once by the writer: that is on disk and sealed, or the ring is full.
    pub(crate) running: AtomicBool,
    /// Set once: nothing more will be queued.
    pub(crate) closed: AtomicBool,
    /// Set by the writer: it gave up, the ring can't be written.
    pub(crate) writer_failed: AtomicBool,
}

/// Counters a [`Kind`], by position in [`Kind::ALL`]: of what nothing was decided of, then by [`Verdict`].
struct ByKind([[AtomicU64; VERDICTS]; KINDS]);

impl Default for ByKind {
    fn default() -> Self {
        Self([const { [const { AtomicU64::new(0) }; VERDICTS] }; KINDS])
    }
}

/// How long something took, by buckets, and of all together, ns.
pub(crate) struct Times<const BOUNDS: usize> {
    counts: [AtomicU64; BOUNDS],
    longer: AtomicU64,
    nanos: AtomicU64,
}

impl<const BOUNDS: usize> Default for Times<BOUNDS> {
    fn default() -> Self {
        let counts = [const { AtomicU64::new(0) }; BOUNDS];
        Self { counts, longer: AtomicU64::new(0), nanos: AtomicU64::new(0) }
    }
}

impl<const BOUNDS: usize> Times<BOUNDS> {
    /// One took so long, ns. `bounds`: upper ones of the buckets, ns.
    pub(crate) fn took(&self, bounds: &[u64; BOUNDS], nanos: u64) {
        let bucket = bounds.partition_point(|bound| *bound < nanos);
        self.counts.get(bucket).unwrap_or(&self.longer).fetch_add(1, Relaxed);
        self.nanos.fetch_add(nanos, Relaxed);
    }

    /// By bucket, the last for all that took longer, and the sum, ns.
    pub(crate) fn read(&self) -> (Vec<u64>, u64) {
        let counts = self.counts.iter().chain([&self.longer]).map(|count| count.load(Relaxed)).collect();
        (counts, self.nanos.load(Relaxed))
    }
}

/// Of what was in the ring: overwritten before it was exported (count, latest range), runs that were cut, damaged.
#[derive(Default)]
pub(crate) struct LostOnDisk {
    pub(crate) overwritten: AtomicU64,
    pub(crate) first: AtomicU64,
    pub(crate) last: AtomicU64,
    pub(crate) cuts: AtomicU64,
    pub(crate) damaged: AtomicU64,
}

/// How far the ring is sealed.
#[derive(Default)]
pub(crate) struct Sealed {
    /// [`Seal`].
    pub(crate) state: AtomicU8,
    /// The epoch that runs.
    pub(crate) epoch: AtomicU64,
    /// When the last checkpoint of this run was made, `CLOCK_BOOTTIME` ns; 0: there was none.
    pub(crate) at: AtomicU64,
    /// The last sequence that it covers.
    pub(crate) sequence: AtomicU64,
}

pub(crate) const KINDS: usize = Kind::ALL.len();
/// None, or one of [`Verdict`].
pub(crate) const VERDICTS: usize = 1 + Verdict::ALL.len();
pub(crate) const CAUSES: usize = Cause::ALL.len();

impl Shared {
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            2 => Phase::Stopping,
            _ => Phase::Stopped,
        }
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    /// Counts an event handed to the writer.
    pub(crate) fn count(&self, kind: Kind, verdict: Option<Verdict>) {
        let column = verdict.map_or(0, |verdict| 1 + usize::from(verdict.number()));
        if let Ok(index) = Kind::ALL.binary_search(&kind) {
            self.by_kind.0[index][column].fetch_add(1, Relaxed);
        }
        if kind.is_counted() {
            self.taken.fetch_add(1, Relaxed);
        }
    }

    /// Counts a decision by the rule that guards Aegis itself.
    pub(crate) fn count_guarded(&self, verdict: Verdict) {
        match verdict {
            Verdict::Allowed => {}
            Verdict::Audited => drop(self.guarded[0].fetch_add(1, Relaxed)),
            Verdict::Denied => drop(self.guarded[1].fetch_add(1, Relaxed)),
        }
    }

    /// Counts events lost by the agent.
    pub(crate) fn lose(&self, cause: Cause, count: u64) {
        self.lost[usize::from(cause.number())].fetch_add(count, Relaxed);
    }

    pub(crate) fn level(&self) -> Level {
        Level::from_number(self.level.load(Relaxed)).unwrap_or(Level::Normal)
    }

    pub(crate) fn set_level(&self, level: Level) {
        self.level.store(level.number(), Relaxed);
    }

    pub(crate) fn seal(&self) -> Seal {
        Seal::from_number(self.sealing.state.load(Relaxed))
    }

    /// Events on disk, or on their way to it.
    pub(crate) fn written(&self) -> u64 {
        let refused = self.refused.load(Relaxed);
        self.taken.load(Relaxed).saturating_sub(refused)
    }

    pub(crate) fn by_kind(&self) -> Vec<u64> {
        let sum = |counts: &[AtomicU64; VERDICTS]| counts.iter().map(|count| count.load(Relaxed)).sum();
        self.by_kind.0.iter().map(sum).collect()
    }

    /// By kind, and in each by verdict.
    pub(crate) fn by_verdict(&self) -> Vec<u64> {
        self.by_kind.0.as_flattened().iter().map(|count| count.load(Relaxed)).collect()
    }

    pub(crate) fn guarded(&self) -> [u64; 2] {
        self.guarded.each_ref().map(|count| count.load(Relaxed))
    }

    pub(crate) fn lost(&self) -> [u64; CAUSES] {
        core::array::from_fn(|index| self.lost[index].load(Relaxed))
    }

    pub(crate) fn denied(&self) -> u64 {
        let column = 1 + usize::from(Verdict::Denied.number());
        self.by_kind.0.iter().map(|counts| counts[column].load(Relaxed)).sum()
    }
}
