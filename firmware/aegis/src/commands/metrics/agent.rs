//! What the agent says of itself and its ring, and what the ring itself says.

use aegis_event::{Cause, Event, Kind, Verdict};
use aegis_metrics::limits::FLUSH_BUCKETS;
use aegis_metrics::{Id, Source, Value};
use aegis_ring::Reader;

use super::{Answer, is_full};
use crate::limits;
use crate::run::control;
use crate::run::seal::Seal;
use crate::run::status::{Measures, Status};
use crate::storage::cursor::Cursor;
use crate::storage::device::{boot_id, boottime};
use crate::storage::partition::RingDevice;

pub(super) fn gather(all: &mut Answer<'_>) {
    let status = all.read(Source::Agent, control::ask_status());
    all.out.one(Id::AgentUp, Value::flag(status.is_some()));
    all.out.one(Id::AgentReady, Value::flag(status.as_ref().is_some_and(Status::is_ready)));
    if let Some(status) = &status {
        of_status(all, status);
        if let Some(measures) = all.read(Source::Agent, control::ask_measures()) {
            of_measures(all, &measures);
        }
    }
    if let Some((events, oldest)) = all.read(Source::Ring, unexported()) {
        all.out.one(Id::RingUnexported, Value::count(events));
        all.out.maybe(Id::RingOldest, oldest.map(Value::nanos));
    }
}

pub(super) fn of_status(all: &mut Answer<'_>, status: &Status) {
    let out = &mut all.out;
    let count = Value::count;
    out.one(Id::Heap, count(status.heap.current));
    out.one(Id::HeapPeak, count(status.heap.peak));
    out.one(Id::HeapLimit, count(status.heap.limit));
    out.one(Id::Allocations, count(status.heap.allocations));
    // 0: the agent could not read it.
    let resident = |kib: u64| (kib > 0).then(|| count(kib.saturating_mul(1024)));
    out.maybe(Id::Resident, resident(status.rss_kib));
    out.maybe(Id::ResidentMapped, resident(status.rss_mapped_kib));

    out.one(Id::EventsSeen, count(status.seen));
    out.one(Id::EventsWritten, count(status.written));
    out.one(Id::EventsInFlight, count(status.in_flight()));
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
    out.one(Id::RingSize, count(ring.capacity));
    out.one(Id::RingUsed, count(ring.used));
    out.one(Id::RingUnexportedRatio, Value::percent(ring.percent.into()));
    out.one(Id::RingSequence, count(ring.acked));
    out.one(Id::RingFull, Value::flag(is_full(status.level())));
    out.one(Id::RingErrors, count(ring.errors));
    out.one(Id::RingOverwritten, count(ring.overwritten));
    out.one(Id::RingDamaged, count(ring.damaged));
    out.one(Id::RingCuts, count(ring.cuts));

    let mut states = out.family(Id::SealState);
    for state in [Seal::Starting, Seal::Sealed, Seal::Unwiped, Seal::Full, Seal::Failed] {
        states.put(&[state.name().as_bytes()], Value::flag(state == status.seal.state));
    }
    out.one(Id::SealEpoch, count(status.seal.epoch));
    out.maybe(Id::SealAge, status.seconds_since_checkpoint().map(count));
    out.one(Id::SealPromise, count(status.promised_seconds().into()));
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
}

/// Events in the ring that were not exported, and the age of the oldest of them, ns.
fn unexported() -> Result<(u64, Option<u64>), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut scratch = vec![0; limits::COMMIT_BYTES];
    let device = RingDevice::open(None, false).map_err(|error| text(&error))?;
    let mut reader = Reader::open(device, &mut scratch).map_err(|error| text(&error))?;
    let next = reader.next_sequence();
    let cursor = Cursor::load(&reader.ring_id()).map_err(|error| text(&error))?.within(next);
    let first = cursor.next.max(reader.first_sequence()).max(1);
    if first >= next {
        return Ok((0, None));
    }
    reader.seek(first).map_err(|error| text(&error))?;
    let boot = boot_id().map_err(|error| text(&error))?;
    let oldest = match reader.next().map_err(|error| text(&error))? {
        // Of another boot's time nothing is known here, but that it was before this one.
        Some(frame) if frame.boot_id != boot => Some(boottime()),
        Some(frame) => {
            let event =
                Event::decode(frame.payload).map_err(|_| "an event that can't be decoded".to_owned())?;
            Some(boottime().saturating_sub(event.time))
        }
        None => None,
    };
    Ok((next - first, oldest))
}
