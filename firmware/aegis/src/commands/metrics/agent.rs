//! What the agent says of itself and its ring, and what the ring itself says.

use std::fmt;
use std::io;

use aegis_event::{Cause, Event, Kind, Verdict};
use aegis_metrics::limits::{FLUSH_BUCKETS, LATENCY_BUCKETS};
use aegis_metrics::{Id, Source, Value};
use aegis_ring::Reader;

use super::{Answer, Lasting, is_full};
use crate::limits;
use crate::run::control;
use crate::run::seal::Seal;
use crate::run::status::{Measures, Status};
use crate::storage::cursor::Cursor;
use crate::storage::device::{boot_id, boottime};
use crate::storage::partition::{DeviceError, RingDevice};

pub(super) fn gather(all: &mut Answer<'_>, ring: &mut Lasting<(u64, Option<u64>)>) {
    let status = all.read(Source::Agent, control::ask_status());
    all.out.count(Id::AgentUp, (status.is_some()).into());
    all.out.count(Id::AgentReady, (status.as_ref().is_some_and(Status::is_ready)).into());
    if let Some(status) = &status {
        of_status(all, status);
        if let Some(measures) = all.read(Source::Agent, control::ask_measures()) {
            of_measures(all, &measures);
        }
    }
    if let Some((&(events, oldest), age)) = all.read(Source::Ring, ring.get(unexported)) {
        all.out.count(Id::RingUnexported, events);
        all.out.maybe(Id::RingOldest, oldest.map(|oldest| Value::nanos(oldest.saturating_add(age))));
    }
}

pub(super) fn of_status(all: &mut Answer<'_>, status: &Status) {
    let out = &mut all.out;
    let count = Value::count;
    out.count(Id::Heap, status.heap.current);
    out.count(Id::HeapPeak, status.heap.peak);
    out.count(Id::HeapLimit, status.heap.limit);
    out.count(Id::Allocations, status.heap.allocations);
    // 0: the agent could not read it.
    let resident = |kib: u64| (kib > 0).then(|| count(kib.saturating_mul(1024)));
    out.maybe(Id::Resident, resident(status.rss_kib));
    out.maybe(Id::ResidentMapped, resident(status.rss_mapped_kib));

    out.count(Id::EventsSeen, status.seen);
    out.count(Id::EventsWritten, status.written);
    out.count(Id::EventsInFlight, status.in_flight());
    let mut lost = out.family(Id::Lost);
    for (cause, n) in Cause::ALL.iter().zip(status.lost) {
        lost.put(&[cause.name().as_bytes()], count(n));
    }
    let mut unsummed = out.family(Id::Unsummed);
    unsummed.put(&[b"volume"], count(status.volumes_full));
    unsummed.put(&[b"flow"], count(status.flows_full));
    let mut passed = out.family(Id::Passed);
    passed.put(&[b"glass"], count(status.passed));
    passed.put(&[b"deadman"], count(status.fallen));

    let ring = &status.ring;
    out.count(Id::RingSize, ring.capacity);
    out.count(Id::RingUsed, ring.used);
    out.one(Id::RingUnexportedRatio, Value::percent(ring.percent.into()));
    out.count(Id::RingSequence, ring.acked);
    out.count(Id::RingFull, (is_full(status.level())).into());
    out.count(Id::RingErrors, ring.errors);
    out.count(Id::RingOverwritten, ring.overwritten);
    out.count(Id::RingDamaged, ring.damaged);
    out.count(Id::RingCuts, ring.cuts);

    let mut states = out.family(Id::SealState);
    for state in [Seal::Starting, Seal::Sealed, Seal::Unwiped, Seal::Full, Seal::Failed] {
        states.put(&[state.name().as_bytes()], Value::flag(state == status.seal.state));
    }
    out.count(Id::SealEpoch, status.seal.epoch);
    out.maybe(Id::SealAge, status.seconds_since_checkpoint().map(count));
    out.count(Id::SealPromise, status.promised_seconds().into());
}

pub(super) fn of_measures(all: &mut Answer<'_>, measures: &Measures) {
    let names = ["none"].into_iter().chain(Verdict::ALL.iter().map(|verdict| verdict.name()));
    let mut events = all.out.family(Id::Events);
    for (kind, counts) in Kind::ALL.iter().zip(measures.events.chunks_exact(1 + Verdict::ALL.len())) {
        for (verdict, n) in names.clone().zip(counts) {
            // What can't be is no series.
            if *n > 0 || kind.is_decided() == (verdict != "none") {
                events.put(&[kind.name().as_bytes(), verdict.as_bytes()], Value::count(*n));
            }
        }
    }
    let mut guarded = all.out.family(Id::SelfProtection);
    for (verdict, n) in [Verdict::Audited, Verdict::Denied].into_iter().zip(measures.guarded) {
        guarded.put(&[verdict.name().as_bytes()], Value::count(n));
    }
    let sum = Value::nanos(measures.flush_nanos);
    all.out.family(Id::RingFlush).histogram(&[], &FLUSH_BUCKETS, &measures.flushes, sum);
    let sum = Value::nanos(measures.latency_nanos);
    all.out.family(Id::EventLatency).histogram(&[], &LATENCY_BUCKETS, &measures.latencies, sum);
}

/// Events in the ring that were not exported, and the age of the oldest of them, ns.
fn unexported() -> Result<(u64, Option<u64>), Unread> {
    let mut scratch = vec![0; limits::COMMIT_BYTES];
    let mut reader = Reader::open(RingDevice::open(None, false)?, &mut scratch)?;
    let next = reader.next_sequence();
    let cursor = Cursor::load(&reader.ring_id())?.within(next);
    let first = cursor.next.max(reader.first_sequence()).max(1);
    if first >= next {
        return Ok((0, None));
    }
    reader.seek(first)?;
    let (boot, now) = (boot_id()?, boottime());
    let oldest = match reader.next()? {
        // Of another boot's time nothing is known here, but that it was before this one.
        Some(frame) if frame.boot_id != boot => Some(now),
        Some(frame) => {
            let event = Event::decode(frame.payload).map_err(|_| Unread::Event)?;
            Some(now.saturating_sub(event.time))
        }
        None => None,
    };
    Ok((next - first, oldest))
}

/// Why the ring could not be read.
enum Unread {
    File(io::Error),
    Ring(aegis_ring::Error<DeviceError>),
    Event,
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<aegis_ring::Error<DeviceError>> for Unread {
    fn from(error: aegis_ring::Error<DeviceError>) -> Self {
        Self::Ring(error)
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Ring(error) => error.fmt(f),
            Self::Event => f.write_str("an event that can't be decoded"),
        }
    }
}
