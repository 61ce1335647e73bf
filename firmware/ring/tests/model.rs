//! The ring against a plain queue: any sequence of calls, any sizes.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::VecDeque;

use aegis_ring::{CheckpointError, Error, Full, Options, Reader, Ring, SyncMode};
use common::{Device, MIB, Notary, Platter, Random, boot, payload, read_from, verified};
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
    /// Power fails: of what was not flushed about so many percent of the sectors are there afterwards.
    Cut {
        seed: u64,
        keep: u8,
    },
    /// So many of the last events are not exported; of a ring that stops, none.
    Export {
        left: u16,
    },
    Checkpoint,
    Check,
    /// A reader goes anywhere, and on from there.
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
        1 => (any::<u64>(), 0..=100u8).prop_map(|(seed, keep)| Call::Cut { seed, keep }),
        1 => any::<u16>().prop_map(|left| Call::Export { left }),
        1 => Just(Call::Checkpoint),
        1 => Just(Call::Check),
        1 => any::<u16>().prop_map(|from_end| Call::Seek { from_end }),
    ]
}

#[expect(clippy::too_many_lines, reason = "one arm a call")]
fn run(calls: Vec<Call>, segment_bytes: u32, sync: SyncMode, full: Full) {
    let device = Device::formatted(MIB, segment_bytes);
    let mut platter = Platter::new(device.image());
    let options = Options { sync, full, ..Options::default() };
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
                    match ring.append(&bytes) {
                        Err(Error::Full { sequence }) if full == Full::Stop => {
                            assert_eq!(sequence, ring.stats().first_sequence.max(exported + 1));
                            assert!(sequence < next, "nothing is there that could be overwritten");
                            break;
                        }
                        appended => assert_eq!(appended, Ok(next)),
                    }
                    model.push_back((next, bytes));
                    next += 1;
                    clean = false;
                }
            }
            Call::Commit if sync.flushes() => assert_eq!(ring.commit(), Ok(next - 1)),
            Call::Commit => {
                let acked = ring.acked();
                assert_eq!(ring.commit(), Ok(acked));
            }
            Call::Seal => match ring.seal() {
                // Opened when it was full already, it has no place for anything.
                Err(Error::Full { .. }) if full == Full::Stop => {}
                sealed => {
                    assert_eq!(sealed, Ok(next - 1));
                    clean = true;
                }
            },
            Call::Reopen { .. } | Call::Cut { .. } => {
                let mut acked = ring.acked();
                let buffer = if let Call::Cut { seed, keep } = call {
                    let mut disk = device.disk.borrow_mut();
                    disk.log.drain(..).for_each(|op| platter.apply(&op));
                    let mut random = Random(seed);
                    let image = platter.cut(|| random.chance(usize::from(keep)));
                    platter = Platter::new(image.clone());
                    disk.bytes = image;
                    16 << 10
                } else if let Call::Reopen { buffer } = call {
                    // In this disk nothing is lost that was written.
                    acked = if sync.flushes() { acked } else { ring.flush().unwrap() };
                    buffer
                } else {
                    unreachable!("one of the two")
                };
                ring = start(index as u64 + 1, buffer);
                let recovery = ring.recovery();
                let last = recovery.last_sequence;
                assert_eq!((recovery.next_sequence, recovery.damaged), (last + 1, None));
                assert!((acked..next).contains(&last), "{last} of {acked} to {}", next - 1);
                assert!(last == acked || matches!(call, Call::Cut { .. }));
                // A writer that wrote nothing before it ended left no trace: its cut is counted again, not once more.
                let counted = recovery.books.cuts;
                let unclean = !recovery.clean && !recovery.fresh;
                assert!(counted == cuts || unclean && counted == cuts + 1, "{counted} cuts after {cuts}");
                assert!(recovery.books.exported <= exported);
                (cuts, exported) = (recovery.books.cuts, recovery.books.exported);
                if acked + 1 == next {
                    assert_eq!(recovery.clean, clean);
                }
                clean = recovery.clean;
                model.retain(|(sequence, _)| *sequence <= last);
                next = last + 1;
                if let Err(error) = notary.redo(&mut ring) {
                    assert_eq!(
                        (error, full),
                        (Error::Full { sequence: model[0].0.max(exported + 1) }, Full::Stop)
                    );
                    exported = last;
                    ring.set_exported(last).unwrap();
                    notary.redo(&mut ring).unwrap();
                    ring.flush().unwrap();
                    clean = false;
                }
            }
            Call::Export { left } => {
                let left = if full == Full::Stop { 0 } else { u64::from(left) };
                let to = (next - 1).saturating_sub(left);
                ring.set_exported(to).unwrap();
                if to > exported {
                    (exported, clean) = (to, false);
                    assert_eq!(ring.flush(), Ok(next - 1));
                }
            }
            Call::Checkpoint => {
                let epoch = notary.stored.as_ref().map_or(0, |stamp| stamp.next_epoch);
                match ring.checkpoint(&mut notary) {
                    Err(CheckpointError::Ring(Error::Full { .. })) if full == Full::Stop => {}
                    sealed => {
                        assert_eq!(sealed, Ok(epoch + 1));
                        clean = false;
                    }
                }
                assert_eq!(ring.acked() + 1, next);
            }
            Call::Check => {
                ring.flush().unwrap();
                assert_eq!(ring.books().exported, exported);
                assert!(full == Full::Overwrite || ring.books().overwritten == 0);
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
                    let mut expected = model.iter().filter(|(at, _)| *at >= sequence);
                    for _ in 0..30 {
                        let Some(frame) = reader.next().unwrap() else { break };
                        assert_eq!(Some(&(frame.sequence, frame.payload.to_vec())), expected.next());
                    }
                    assert!(expected.next().is_none_or(|(at, _)| *at > sequence), "nothing was read");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ring_is_a_bounded_queue(
        calls in prop::collection::vec(call(), 1..150),
        segment_bytes in prop::sample::select(vec![64 << 10, 68 << 10, 128 << 10, 196_608]),
        sync in prop::sample::select(vec![SyncMode::WINDOW, SyncMode::Each, SyncMode::None]),
        full in prop::sample::select(vec![Full::Overwrite, Full::Overwrite, Full::Stop]),
    ) {
        run(calls, segment_bytes, sync, full);
    }
}
