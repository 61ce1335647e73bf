//! What was in the ring is in the export, in bounded items, and the manifest says so.

mod common;

use aegis_export::read::{Item, ItemReader, open_item};
use aegis_export::{
    Damage, Ending, ExportError, Exporter, Fault, Hash, Manifest, Request, first_head, limits,
};
use common::{MemoryRing, RING, VERSION, created, device, export};
use proptest::prelude::*;

/// What a reader gets out of an export, everything checked on the way.
#[derive(Debug, Default)]
struct Read {
    events: Vec<(u64, [u8; 16], Vec<u8>)>,
    segments: u64,
}

/// Opens all items, checks the chain through the segments and every claim of the manifest.
fn read(items: &[Vec<u8>], mut check: impl FnMut(&Manifest<'_>)) -> Read {
    use sha2::Digest;
    let key = device().pk;
    let mut read = Read::default();
    let mut head: Option<Hash> = None;
    let mut hasher = sha2::Sha256::new();
    for (index, bytes) in items.iter().enumerate() {
        assert!(bytes.len() <= limits::ITEM_BYTES);
        match open_item(bytes, &key).expect("own items open") {
            Item::Segment(segment) => {
                assert!(index + 1 < items.len(), "the last item is a manifest");
                assert_eq!(segment.ring, RING);
                // Across a gap the head is not known, else it goes on.
                let follows = read.events.last().is_none_or(|event| event.0 + 1 == segment.first);
                assert!(!follows || head.is_none_or(|head| head == segment.previous));
                assert_eq!(segment.chain(), segment.head);
                head = Some(segment.head);
                read.segments += 1;
                assert_eq!(segment.last() - segment.first + 1, segment.events.len() as u64);
                for (sequence, event) in segment.events {
                    read.events.push((sequence, segment.boot, event.to_vec()));
                }
                hasher.update(bytes);
            }
            Item::Manifest(manifest) => {
                assert_eq!(index + 1, items.len(), "nothing follows the manifest");
                assert!(bytes.len() <= limits::MANIFEST_BYTES);
                assert_eq!(manifest.events, read.events.len() as u64);
                assert_eq!(manifest.segments, read.segments);
                assert_eq!(manifest.first, read.events.first().map_or(0, |event| event.0));
                assert_eq!(manifest.last, read.events.last().map_or(0, |event| event.0));
                assert_eq!(manifest.items, Hash::from(hasher.clone().finalize()));
                assert_eq!(manifest.version, VERSION);
                assert_eq!(manifest.created, created());
                if head.is_some() {
                    assert_eq!(manifest.after, head);
                }
                check(&manifest);
            }
            other => panic!("{other:?} of a ring that is not sealed"),
        }
    }
    read
}

#[test]
fn an_empty_ring_gives_a_manifest_that_says_so() {
    let items = export(MemoryRing::new(), Request::from(1));
    assert_eq!(items.len(), 1);
    read(&items, |manifest| {
        assert_eq!((manifest.first, manifest.last, manifest.events, manifest.segments), (0, 0, 0, 0));
        assert_eq!(manifest.before, Some(first_head(&RING)));
        assert_eq!(manifest.after, manifest.before);
        assert_eq!(manifest.ending, Ending::Complete);
        assert_eq!(manifest.resume(), 1);
    });
}

#[test]
fn segments_never_span_boots() {
    let items = export(MemoryRing::with_boots(&[3, 1, 2]), Request::from(1));
    let read = read(&items, |manifest| assert_eq!(manifest.ending, Ending::Complete));
    assert_eq!(read.segments, 3);
    let boots: Vec<u8> = read.events.iter().map(|event| event.1[0]).collect();
    assert_eq!(boots, [1, 1, 1, 2, 3, 3]);
}

#[test]
fn segments_are_bounded_by_bytes_and_by_events() {
    let mut ring = MemoryRing::with_boots(&[2000]);
    let by_bytes = read(&export(ring.clone(), Request::from(1)), |_| ());
    assert_eq!(by_bytes.events.len(), 2000);
    assert!(by_bytes.segments >= 3);
    // The smallest event there is: it is the count that ends the segment.
    ring.frames.clear();
    let stop = common::bytes_of(&aegis_event::Event {
        time: 0,
        subject: None,
        body: aegis_event::Body::Stop { signal: 0 },
    });
    for _ in 0..=limits::SEGMENT_EVENTS {
        ring.push([1; 16], &stop);
    }
    assert_eq!(read(&export(ring, Request::from(1)), |_| ()).segments, 2);
}

#[test]
fn an_export_goes_on_where_the_last_one_ended() {
    let mut ring = MemoryRing::with_boots(&[5, 5]);
    let mut after = None;
    let mut resume = 0;
    read(&export(ring.clone(), Request::from(1)), |manifest| {
        (after, resume) = (manifest.after, manifest.resume());
    });
    assert_eq!(resume, 11);
    // Nothing new yet: the heads still tie the two together.
    read(&export(ring.clone(), Request::from(resume)), |manifest| {
        assert_eq!((manifest.events, manifest.before, manifest.resume()), (0, after, 11));
    });
    ring.push([3; 16], &common::sample(10));
    let next = read(&export(ring, Request::from(resume)), |manifest| {
        assert_eq!((manifest.first, manifest.last, manifest.before), (11, 11, after));
    });
    assert_eq!(next.events.len(), 1);
}

#[test]
fn a_range_can_be_asked_for() {
    let ring = MemoryRing::with_boots(&[10]);
    let read = read(&export(ring, Request { first: 3, last: 5, bytes: u64::MAX }), |manifest| {
        assert_eq!((manifest.requested_first, manifest.requested_last), (3, 5));
        assert_eq!(manifest.ending, Ending::Complete);
    });
    assert_eq!(read.events.iter().map(|event| event.0).collect::<Vec<_>>(), [3, 4, 5]);
}

#[test]
fn what_was_overwritten_is_said() {
    let mut ring = MemoryRing::with_boots(&[10]);
    ring.overwritten = 6;
    let read = read(&export(ring.clone(), Request::from(3)), |manifest| {
        assert_eq!((manifest.requested_first, manifest.retained, manifest.first), (3, 7, 7));
        assert_eq!(manifest.before, Some(ring.frames[5].head));
    });
    assert_eq!(read.events.len(), 4);
}

#[test]
fn a_request_ahead_of_the_ring_is_refused() {
    let key = device();
    let mut scratch = vec![0; limits::PAYLOAD_BYTES];
    let ring = MemoryRing::with_boots(&[2]);
    let error = Exporter::new(&key.sk, ring, Request::from(4), created(), VERSION, &mut scratch).err();
    assert_eq!(error, Some(ExportError::AheadOfRing { asked: 4, next: 3 }));
}

/// Exports a ring of 10 with something wrong: sequences that came, gaps, ending, what stopped it, where to go on.
type Outcome = (Vec<u64>, Vec<(u64, u64)>, Ending, Option<Damage<Fault>>, u64);

fn broken(request: Request, change: impl Fn(&mut MemoryRing)) -> Outcome {
    let mut ring = MemoryRing::with_boots(&[10]);
    change(&mut ring);
    let key = device();
    let mut scratch = vec![0; limits::PAYLOAD_BYTES];
    let mut out = vec![0; limits::ITEM_BYTES];
    let mut exporter =
        Exporter::new(&key.sk, ring, request, created(), VERSION, &mut scratch).expect("request");
    let mut items = Vec::new();
    while let Some(length) = exporter.next_item(&mut out).expect("buffers suffice") {
        items.push(out[..length].to_vec());
    }
    let damage = exporter.damage().copied();
    let mut rest = (Vec::new(), Ending::Complete, 0);
    let read = read(&items, |manifest| {
        rest = (manifest.gaps.as_slice().to_vec(), manifest.ending, manifest.resume());
    });
    (read.events.iter().map(|event| event.0).collect(), rest.0, rest.1, damage, rest.2)
}

/// Indices damaged, sequences that come, gaps.
type Case = (&'static [usize], &'static [u64], &'static [(u64, u64)]);

#[test]
fn what_is_damaged_in_the_ring_is_a_gap_and_the_rest_comes() {
    let all = Request::from(1);
    let fails = |indices: &'static [usize]| {
        move |ring: &mut MemoryRing| ring.broken.extend(indices.iter().map(|index| (*index, Fault::Damaged)))
    };
    // Segments of this ring have four frames: 1-4, 5-8, 9-10. Damage costs the rest of its segment.
    let cases: &[Case] = &[
        (&[5], &[1, 2, 3, 4, 5, 9, 10], &[(6, 8)]),
        (&[0], &[5, 6, 7, 8, 9, 10], &[(1, 4)]),
        (&[9], &[1, 2, 3, 4, 5, 6, 7, 8, 9], &[(10, 10)]),
        (&[2, 6], &[1, 2, 5, 6, 9, 10], &[(3, 4), (7, 8)]),
        (&[2, 4], &[1, 2, 9, 10], &[(3, 8)]),
        (&[0, 4, 8], &[], &[(1, 10)]),
    ];
    for (indices, sequences, gaps) in cases {
        let expected = (sequences.to_vec(), gaps.to_vec(), Ending::Complete, None, 11);
        assert_eq!(broken(all, fails(indices)), expected, "{indices:?}");
    }
    // Begins behind the damage, in its segment: the way there leads through it.
    let (sequences, gaps, ..) = broken(Request::from(7), fails(&[5]));
    assert_eq!((sequences, gaps), (vec![9, 10], vec![(7, 8)]));
    // Right behind a gap that an export before this one ended with: nothing new, and no error.
    assert_eq!(broken(Request::from(11), fails(&[9])), (vec![], vec![], Ending::Complete, None, 11));
}

#[test]
fn what_can_not_be_read_ends_the_export_and_is_said() {
    let all = Request::from(1);
    let one_to = |last: u64| (1..=last).collect::<Vec<_>>();
    for (fault, ending) in [(Fault::Overtaken, Ending::Overtaken), (Fault::Unreadable, Ending::Unreadable)] {
        let expected = (one_to(6), vec![], ending, Some(Damage::Ring(fault)), 7);
        assert_eq!(broken(all, |ring| ring.broken.push((6, fault))), expected);
    }
    let after = |last| (one_to(last), vec![], Ending::Unreadable, Some(Damage::After(last)), last + 1);
    assert_eq!(broken(all, |ring| ring.frames[4].event[5] ^= 1), after(4));
    assert_eq!(broken(all, |ring| ring.frames[0].previous[0] ^= 1), after(0));
    assert_eq!(broken(all, |ring| ring.frames.swap(2, 3)), after(2));
    assert_eq!(broken(all, |ring| ring.frames[7].event.clear()), after(7));
}

#[test]
fn more_gaps_than_a_manifest_can_list_end_the_export() {
    let mut ring = MemoryRing::with_boots(&[100]);
    ring.broken = (0..24).map(|segment| (segment * common::SEGMENT + 1, Fault::Damaged)).collect();
    read(&export(ring, Request::from(1)), |manifest| {
        assert_eq!(manifest.ending, Ending::Unreadable);
        // Each gap costs three of four; the export ends where the 17th gap begins.
        assert_eq!((manifest.last, manifest.resume()), (65, 66));
        assert_eq!(manifest.gaps.as_slice().len(), limits::GAPS);
    });
}

#[test]
fn a_full_stick_gets_a_manifest_for_what_it_holds() {
    let ring = MemoryRing::with_boots(&[3000]);
    let whole: usize = export(ring.clone(), Request::from(1)).iter().map(Vec::len).sum();
    for bytes in [limits::MANIFEST_BYTES, 3000, 40_000, 66_000, 100_000, whole / 2, whole - 1] {
        let items = export(ring.clone(), Request { first: 1, last: 0, bytes: bytes as u64 });
        assert!(items.iter().map(Vec::len).sum::<usize>() <= bytes, "the space given is not exceeded");
        read(&items, |manifest| {
            assert_eq!(manifest.ending, Ending::Full, "{bytes}");
            assert_eq!(manifest.resume(), manifest.last + 1);
        });
    }
}

#[test]
fn an_item_that_did_not_reach_the_file_is_taken_back() {
    let ring = MemoryRing::with_boots(&[2000]);
    let all = export(ring.clone(), Request::from(1)).len();
    for written in 0..all {
        let key = device();
        let mut scratch = vec![0; limits::PAYLOAD_BYTES];
        let mut out = vec![0; limits::ITEM_BYTES];
        let mut exporter =
            Exporter::new(&key.sk, ring.clone(), Request::from(1), created(), VERSION, &mut scratch)
                .expect("request");
        let mut items = Vec::new();
        for _ in 0..written {
            let length = exporter.next_item(&mut out).expect("buffers suffice").expect("there are more");
            items.push(out[..length].to_vec());
        }
        // One more is made, and lost: the manifest too.
        exporter.next_item(&mut out).expect("buffers suffice").expect("there are more");
        exporter.take_back();
        let length = exporter.finish_early(&mut out).expect("buffers suffice").expect("not yet given");
        items.push(out[..length].to_vec());
        assert_eq!(exporter.finish_early(&mut out), Ok(None));
        assert_eq!(exporter.next_item(&mut out), Ok(None));
        read(&items, |manifest| {
            let ending = if written + 1 == all { Ending::Complete } else { Ending::Full };
            assert_eq!(manifest.ending, ending, "{written} of {all}");
        });
    }
}

proptest! {
    #[test]
    fn every_ring_comes_out_as_it_was(
        boots in prop::collection::vec(0usize..60, 0..6),
        overwritten in 0usize..50,
        first in 0u64..80,
        last in 0u64..80,
        bytes in prop_oneof![Just(u64::MAX), limits::MANIFEST_BYTES as u64..20_000],
        damaged in prop_oneof![Just(Vec::new()), prop::collection::vec(0usize..360, 0..8)],
    ) {
        let mut ring = MemoryRing::with_boots(&boots);
        let total = ring.frames.len();
        ring.overwritten = overwritten.min(total);
        prop_assume!(first <= total as u64 + 1);
        ring.broken = damaged.iter().map(|index| (*index, Fault::Damaged)).collect();
        let items = export(ring.clone(), Request { first, last, bytes });
        let (mut gaps, mut resume) = (Vec::new(), 0);
        let read = read(&items, |manifest| {
            gaps = manifest.gaps.as_slice().iter().flat_map(|gap| gap.0..=gap.1).collect();
            resume = manifest.resume();
        });
        for (sequence, boot, event) in &read.events {
            let stored = &ring.frames[*sequence as usize - 1];
            prop_assert_eq!((boot, event), (&stored.boot, &stored.event));
        }
        // Each sequence from the first to where the next export goes on is an event's or in a gap, once.
        let begin = first.max(ring.overwritten as u64 + 1);
        let mut accounted: Vec<u64> = read.events.iter().map(|event| event.0).chain(gaps.iter().copied()).collect();
        accounted.sort_unstable();
        prop_assert_eq!(accounted, (begin..resume).collect::<Vec<_>>());
        for gap in &gaps {
            let segment = (*gap as usize - 1) / common::SEGMENT;
            prop_assert!(damaged.iter().any(|index| index / common::SEGMENT == segment), "nothing whole is left out");
        }
        if bytes == u64::MAX {
            let end = if last == 0 { total as u64 } else { last.min(total as u64) };
            prop_assert_eq!(resume, begin.max(end + 1));
        }
        // The same bytes as one sequence, through the incremental reader.
        let file = items.concat();
        let mut buffer = common::buffer();
        let mut reader = ItemReader::new(&file[..], &mut buffer);
        for item in &items {
            prop_assert_eq!(reader.next_item().expect("whole").expect("more"), &item[..]);
        }
        prop_assert!(reader.next_item().expect("whole").is_none());
        prop_assert_eq!(reader.offset(), file.len() as u64);
    }
}
