//! What did not fit.

use aegis_export::{Manifest, limits as bounds};
use aegis_ring::Reader;
use serde_json::{Value, json};

use super::Options;
use crate::limits;
use crate::storage::partition::RingDevice;

/// What is still on the device, and how much space it takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) events: u64,
    pub(super) from: u64,
    /// About so many bytes.
    pub(super) bytes: u64,
    /// There was no time for it, rather than no room.
    pub(super) late: bool,
}

impl Left {
    /// What is left of an export that ended early; `None` when nothing is.
    pub(super) fn of(
        options: &Options,
        manifest: &Manifest<'_>,
        recipients: usize,
        late: bool,
    ) -> Option<Self> {
        let from = manifest.resume();
        let events = manifest.end().saturating_sub(from);
        if events == 0 {
            return None;
        }
        let event = mean(options, from).unwrap_or(limits::EVENT_BYTES_TYPICAL);
        let plain = bytes(events, event);
        let bytes = if recipients == 0 { plain } else { aegis_age::sealed_length(plain, recipients) };
        Some(Self { events, from, bytes, late })
    }

    pub(super) fn to_json(&self) -> Value {
        json!({ "events": self.events, "from": self.from, "bytes": self.bytes })
    }
}

impl core::fmt::Display for Left {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { events, from, bytes, late } = self;
        let mib = bytes.div_ceil(1 << 20);
        let (why, mend) = if *late {
            ("too slow", "they go out next")
        } else {
            ("full", "free it, or bring another stick")
        };
        write!(
            f,
            "{why}: {events} events are left, from sequence {from} on; they need about {mib} MiB ({mend}; nothing of it is \
             lost meanwhile unless the ring comes round)"
        )
    }
}

/// Bytes of an export of so many events of this size.
fn bytes(events: u64, event: u64) -> u64 {
    let payload = events.saturating_mul(event);
    let segments = payload / bounds::PAYLOAD_BYTES as u64 + 1;
    let around = (bounds::SEGMENT_FRAME_BYTES + bounds::COSE_BYTES) as u64;
    payload.saturating_add(segments * around).saturating_add(bounds::MANIFEST_BYTES as u64)
}

/// Mean size of the events from here on, in an export; of as many as are looked at.
fn mean(options: &Options, from: u64) -> Option<u64> {
    /// What stands before an event in a segment.
    const HEAD: u64 = 3;
    let mut scratch = vec![0; limits::COMMIT_BYTES];
    let device = RingDevice::open(options.ring.as_deref(), false).ok()?;
    let mut reader = Reader::open(device, &mut scratch).ok()?;
    reader.seek(from).ok()?;
    let (mut events, mut bytes) = (0, 0);
    while events < limits::EVENTS_LOOKED_AT
        && let Ok(Some(frame)) = reader.next()
    {
        events += 1;
        bytes += frame.payload.len() as u64 + HEAD;
    }
    (events > 0).then(|| bytes.div_ceil(events))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_in_one_line() {
        let left = Left { events: 12_000, from: 88_001, bytes: bytes(12_000, 250), late: false };
        let text = left.to_string();
        assert!(
            text.contains("12000 events are left, from sequence 88001 on; they need about 3 MiB"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1);
        assert!(bytes(u64::MAX, u64::MAX) > 0);
    }
}
