//! The ring against a plain queue: any sequence of calls, any sizes.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::VecDeque;

use aegis_ring::{Options, Reader, Ring, SyncMode};
use common::{Device, MIB, Notary, boot, payload, read_from, verified};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Call {
    Append {
        count: u8,
        length: u16,
    },
    Commit,
    Seal,
    /// The writer ends, pending frames and all, and another one starts.
    Reopen {
        buffer: u16,
    },
    /// So many of the last events are not exported.
    Export {
        left: u16,
    },
    Checkpoint,
    Check,
    Seek {
        from_end: u16,
    },
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        6 => (1..60u8, 0..=1024u16).prop_map(|(count, length)| Call::Append { count, length }),
        3 => Just(Call::Commit),
        1 => Just(Call::Seal),
        1 => (4096..40_000u16).prop_map(|buffer| Call::Reopen { buffer }),
        1 => any::<u16>().prop_map(|left| Call::Export { left }),
        1 => Just(Call::Checkpoint),
        1 => Just(Call::Check),
        1 => any::<u16>().prop_map(|from_end| Call::Seek { from_end }),
    ]
}

fn run(calls: Vec<Call>, segment_bytes: u32, sync: SyncMode) {
    let device = Device::formatted(MIB, segment_bytes);
    let options = Options { sync, ..Options::default() };
    let start = |number, size: u16| {
        Ring::open_with(device.clone(), boot(number), vec![0; usize::from(size)].leak(), options).unwrap()
    };
    let mut notary = Notary::default();
    let (mut exported, mut cuts) = (0, 0);
    let mut ring = start(0, 8192);
    // Appended but possibly not acked at the back; the ring may drop from the front.
    let mut model: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
    let mut next = 1;
    let mut clean = false;
    for (index, call) in calls.into_iter().enumerate() {
        match call {
            Call::Append { count, length } => {
                for _ in 0..count {
                    let bytes = payload(next, usize::from(length));
                    assert_eq!(ring.append(&bytes), Ok(next));
                    model.push_back((next, bytes));
                    next += 1;
                }
                clean = false;
            }
            Call::Commit if sync.flushes() => assert_eq!(ring.commit(), Ok(next - 1)),
            Call::Commit => {
                let acked = ring.acked();
                assert_eq!(ring.commit(), Ok(acked));
            }
            Call::Seal => {
                assert_eq!(ring.seal(), Ok(next - 1));
                clean = true;
            }
            Call::Reopen { buffer } => {
                // In this disk nothing is lost that was written.
                let acked = if sync.flushes() { ring.acked() } else { ring.flush().unwrap() };
                if acked + 1 < next {
                    clean = false;
                }
                let head = model.iter().rfind(|(sequence, _)| *sequence == acked).is_some();
                ring = start(index as u64 + 1, buffer);
                let recovery = ring.recovery();
                assert_eq!((recovery.next_sequence, recovery.damaged), (acked + 1, None));
                assert!(head || acked == 0);
                cuts += u64::from(!recovery.clean && !recovery.fresh);
                assert!(recovery.books.cuts <= cuts);
                cuts = recovery.books.cuts;
                exported = recovery.books.exported;
                notary.redo(&mut ring).unwrap();
                if acked + 1 == next {
                    assert_eq!(recovery.clean, clean);
                }
                clean = recovery.clean;
                model.retain(|(sequence, _)| *sequence <= acked);
                next = acked + 1;
            }
            Call::Export { left } => {
                let to = (next - 1).saturating_sub(u64::from(left));
                ring.set_exported(to).unwrap();
                if to > exported {
                    (exported, clean) = (to, false);
                    assert_eq!(ring.flush(), Ok(next - 1));
                }
            }
            Call::Checkpoint => {
                let epoch = notary.stored.as_ref().map_or(0, |stamp| stamp.next_epoch);
                assert_eq!(ring.checkpoint(&mut notary), Ok(epoch + 1));
                assert_eq!(ring.acked() + 1, next);
                clean = false;
            }
            Call::Check => {
                ring.flush().unwrap();
                assert_eq!(ring.books().exported, exported);
                assert_eq!(verified(device.clone()).last, ring.acked());
                let stats = ring.stats();
                while model.front().is_some_and(|(sequence, _)| *sequence < stats.first_sequence) {
                    model.pop_front();
                }
                let (frames, error) = read_from(device.clone(), 0).unwrap();
                assert_eq!(error, None);
                let acked = ring.acked();
                assert!(frames.iter().eq(model.iter().filter(|(sequence, _)| *sequence <= acked)));
            }
            Call::Seek { from_end } => {
                let mut scratch = [0; 4096];
                let mut reader = Reader::open(device.clone(), &mut scratch).unwrap();
                let kept = reader.next_sequence() - reader.first_sequence();
                if kept > 0 {
                    let sequence = reader.next_sequence() - 1 - u64::from(from_end) % kept;
                    reader.seek(sequence).unwrap();
                    let frame = reader.next().unwrap().unwrap();
                    assert_eq!(
                        Some((frame.sequence, frame.payload.to_vec())),
                        model.iter().find(|(s, _)| *s == sequence).cloned()
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ring_is_a_bounded_queue(
        calls in prop::collection::vec(call(), 1..150),
        segment_bytes in prop::sample::select(vec![64 << 10, 68 << 10, 128 << 10, 196_608]),
        sync in prop::sample::select(vec![SyncMode::WINDOW, SyncMode::None]),
    ) {
        run(calls, segment_bytes, sync);
    }
}
