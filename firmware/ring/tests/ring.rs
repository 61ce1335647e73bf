//! The contract of the calls: format, open, append, commit, seal, read.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod common;

use std::fmt::Write as _;

use aegis_ring::limits::{PAYLOAD_BYTES, RING_BYTES_MAX, SEGMENT_BYTES_MAX};
use aegis_ring::{Error, FormatOptions, Geometry, Reader, Ring, chain_next, chain_start, format};
use common::{Device, MIB, RING_ID, Random, boot, open, payload, read_all, read_from};

#[test]
fn a_new_ring_is_fresh_and_empty() {
    let device = Device::formatted(MIB, 64 << 10);
    let before = device.image();
    let ring = open(&device, 1);
    let recovery = ring.recovery();
    assert!(recovery.fresh && !recovery.clean);
    assert_eq!((recovery.first_sequence, recovery.last_sequence, recovery.next_sequence), (1, 0, 1));
    assert_eq!(ring.head(), chain_start(&RING_ID));
    assert_eq!(ring.acked(), 0);
    assert_eq!(read_all(device.clone()), []);
    assert_eq!(before, device.image(), "opening writes nothing");
    let mut scratch = [0; 4096];
    let mut reader = Reader::open(device, &mut scratch).unwrap();
    assert_eq!((reader.first_sequence(), reader.next_sequence(), reader.ring_id()), (1, 1, RING_ID));
    assert!(reader.seek(1).is_ok() && reader.next().unwrap().is_none());
    assert_eq!(reader.seek(2), Err(Error::Beyond { next_sequence: 2 - 1 }));
}

#[test]
fn the_chain_is_the_one_documented() {
    // SHA-256 of the ring id, then SHA-256(head ‖ sequence, big-endian ‖ payload); computed by another program.
    let hex = |head: [u8; 32]| {
        head.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    };
    let zero = chain_start(&[0; 16]);
    assert_eq!(hex(zero), "374708fff7719dd5979ec875d56cd2286f6d3cf7ec317a3b25632aab28ec37bb");
    assert_eq!(hex(chain_next(&zero, 1, b"abc")), CHAIN_OF_ABC);
}

const CHAIN_OF_ABC: &str = "2ac20b62f0b2454b3c82c8e44d4419a7c233853844a6e6129783a33945f75d04";

#[test]
fn append_touches_no_device_and_commit_acks() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = open(&device, 1);
    let (ops, reads) = (device.ops(), device.disk.borrow().reads);
    for sequence in 1..=50 {
        assert_eq!(ring.append(&payload(sequence, 200)), Ok(sequence));
    }
    assert_eq!((device.ops(), device.disk.borrow().reads), (ops, reads));
    assert_eq!((ring.pending_frames(), ring.pending_bytes(), ring.acked()), (50, 512 + 50 * 252, 0));
    assert_eq!(read_all(device.clone()), []);
    assert_eq!(ring.commit(), Ok(50));
    assert_eq!((ring.pending_frames(), ring.pending_bytes(), ring.acked()), (0, 0, 50));
    assert_eq!(device.ops(), ops + 2, "one write, one flush");
    assert_eq!(ring.commit(), Ok(50));
    assert_eq!(device.ops(), ops + 2, "nothing pending, nothing written");
    let frames = read_all(device);
    assert_eq!(frames.len(), 50);
    assert!(frames.iter().all(|(sequence, bytes)| *bytes == payload(*sequence, 200)));
}

#[test]
fn only_a_seal_at_the_end_is_clean() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = open(&device, 1);
    ring.append(b"one").unwrap();
    ring.commit().unwrap();
    assert!(!open(&device, 2).recovery().clean);
    assert_eq!(ring.seal(), Ok(1));
    let (head, ops) = (ring.head(), device.ops());
    assert_eq!(ring.seal(), Ok(1));
    assert_eq!(device.ops(), ops, "sealed already");
    let mut again = open(&device, 2);
    assert!(again.recovery().clean);
    assert_eq!(
        (again.head(), again.recovery().next_sequence, again.recovery().last_boot),
        (head, 2, Some(boot(1)))
    );
    let ops = device.ops();
    again.seal().unwrap();
    assert_eq!(device.ops(), ops, "nothing happened in between");
    assert_eq!(again.append(b"two"), Ok(2));
    again.commit().unwrap();
    assert!(!open(&device, 3).recovery().clean);
    // A seal pending at a failed commit is written by the retry.
    device.disk.borrow_mut().broken = true;
    assert!(again.seal().is_err());
    device.disk.borrow_mut().broken = false;
    assert!(!open(&device, 3).recovery().clean);
    assert_eq!(again.seal(), Ok(2));
    assert!(open(&device, 3).recovery().clean);
    assert_eq!(read_all(device), [(1, b"one".to_vec()), (2, b"two".to_vec())]);
}

#[test]
fn boots_and_heads_are_read_back_and_seek_finds_every_sequence() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut total = 0;
    for number in 1..=8 {
        let mut ring = open(&device, number);
        for _ in 0..40 {
            total += 1;
            ring.append(&payload(total, 700)).unwrap();
        }
        if number % 2 == 0 {
            ring.seal().unwrap()
        } else {
            ring.commit().unwrap()
        };
    }
    let mut scratch = [0; 4096];
    let mut reader = Reader::open(device, &mut scratch).unwrap();
    let mut head = chain_start(&RING_ID);
    for sequence in 1..=total {
        let frame = reader.next().unwrap().unwrap();
        assert_eq!((frame.sequence, frame.boot_id), (sequence, boot((sequence - 1) / 40 + 1)));
        assert_eq!(frame.previous, head);
        head = frame.head;
    }
    assert_eq!(reader.next(), Ok(None));
    assert_eq!((reader.head(), reader.sealed()), (head, true));
    let mut random = Random(5);
    for _ in 0..500 {
        let sequence = random.next() % total + 1;
        reader.seek(sequence).unwrap();
        let frame = reader.next().unwrap().unwrap();
        assert_eq!((frame.sequence, frame.payload), (sequence, &payload(sequence, 700)[..]));
    }
    reader.seek(total + 1).unwrap();
    assert_eq!(reader.next(), Ok(None));
    assert_eq!(reader.seek(total + 2), Err(Error::Beyond { next_sequence: total + 1 }));
}

#[test]
fn the_oldest_segment_is_overwritten_and_the_first_sequence_known() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = open(&device, 1);
    for sequence in 1..=5000 {
        ring.append(&payload(sequence, 900)).unwrap();
        if sequence % 7 == 0 {
            ring.commit().unwrap();
            let stats = ring.stats();
            if sequence % 490 == 0 {
                let frames = read_all(device.clone());
                assert_eq!(frames.first().unwrap().0, stats.first_sequence);
                assert_eq!(frames.last().unwrap().0, sequence);
            }
            assert!(stats.used_bytes <= stats.capacity_bytes);
        }
    }
    let stats = ring.stats();
    assert!(stats.wraps >= 4, "{stats:?}");
    // 14 of 15 segments can be read; the one being written may be nearly empty.
    let kept = 5000 - stats.first_sequence;
    assert!(kept >= 13 * (64 << 10) / 1100, "only {kept} kept");
    let mut scratch = [0; 4096];
    let mut reader = Reader::open(device, &mut scratch).unwrap();
    let first_sequence = reader.first_sequence();
    assert_eq!(reader.seek(first_sequence - 1), Err(Error::Overwritten { first_sequence }));
}

#[test]
fn a_failed_commit_acks_nothing_and_its_retry_writes_all_again() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = open(&device, 1);
    for sequence in 1..=5 {
        ring.append(&payload(sequence, 600)).unwrap();
    }
    ring.commit().unwrap();
    ring.append(&payload(6, 600)).unwrap();
    let durable = device.image();
    device.disk.borrow_mut().broken = true;
    assert_eq!(ring.commit(), Err(Error::Device(embedded_io::ErrorKind::Other)));
    assert_eq!((ring.acked(), ring.pending_frames(), ring.next_sequence()), (5, 1, 7));
    assert_eq!(ring.append(&payload(7, 600)), Ok(7), "the buffer has room");
    // Until the buffer is full; an event refused has no sequence.
    let refused = (8..100).find(|sequence| ring.append(&payload(*sequence, 600)).is_err()).unwrap();
    assert_eq!(ring.next_sequence(), refused);
    // The device dropped what it failed to write.
    device.disk.borrow_mut().bytes.copy_from_slice(&durable);
    device.disk.borrow_mut().broken = false;
    assert_eq!(ring.append(&payload(refused, 600)), Ok(refused));
    assert_eq!(ring.acked(), refused - 1);
    assert_eq!(ring.commit(), Ok(refused));
    let frames = read_all(device);
    assert_eq!(frames.len() as u64, refused);
    assert!(frames.iter().all(|(sequence, bytes)| *bytes == payload(*sequence, 600)));
}

#[test]
fn a_reader_beside_the_writer_sees_whole_commits_only() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = open(&device, 1);
    let mut scratch = vec![0; 16 << 10];
    let mut reader = Reader::open(device.clone(), &mut scratch).unwrap();
    let mut random = Random(3);
    let (mut written, mut seen, mut lost) = (0, 0, 0);
    for _ in 0..3000 {
        for _ in 0..random.below(8) {
            written += 1;
            ring.append(&payload(written, 300)).unwrap();
        }
        ring.commit().unwrap();
        if random.chance(20) {
            reader.refresh().unwrap();
        }
        for _ in 0..random.below(6) {
            match reader.next() {
                Ok(Some(frame)) => {
                    assert_eq!(frame.sequence, seen + 1);
                    assert_eq!(frame.payload, payload(frame.sequence, 300));
                    seen = frame.sequence;
                }
                Ok(None) => assert_eq!(seen + 1, reader.next_sequence()),
                Err(Error::Overwritten { first_sequence }) => {
                    assert!(first_sequence > seen + 1);
                    reader.seek(first_sequence).unwrap();
                    seen = first_sequence - 1;
                    lost += 1;
                }
                Err(error) => panic!("{error} at {seen} of {written}"),
            }
        }
    }
    assert!(lost > 0 && seen > 1000, "{lost} times overtaken, {seen} seen: proves too little");
}

#[test]
fn a_commit_half_written_is_the_end_and_not_damage() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut ring = open(&device, 1);
    for sequence in 1..=20 {
        ring.append(&payload(sequence, 400)).unwrap();
        if sequence == 10 {
            ring.commit().unwrap();
        }
    }
    let before = device.image();
    ring.commit().unwrap();
    let after = device.image();
    let changed: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
    let (from, to) = (changed[0], changed[changed.len() - 1]);
    // A reader may see the copy of a write at any byte.
    for length in 0..=to - from {
        let mut image = before.clone();
        image[from..from + length].copy_from_slice(&after[from..from + length]);
        let (frames, error) = read_from(Device::new(image), 0).unwrap();
        assert_eq!(error, None, "at {length}");
        assert!((10..20).contains(&frames.len()));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let options = |bytes, segment_bytes| FormatOptions { ring_id: RING_ID, bytes, segment_bytes };
    let device = || Device::new(vec![0; MIB]);
    let needed = MIB as u64;
    assert_eq!(format(Device::new(vec![0; MIB - 1]), &options(0, 0)), Err(Error::TooSmall { needed }));
    assert_eq!(format(device(), &options(needed + 1, 0)), Err(Error::TooSmall { needed: needed + 1 }));
    for segment_bytes in [1, 4096, 65_537, 1 << 20, u32::MAX] {
        assert_eq!(format(device(), &options(0, segment_bytes)), Err(Error::BadGeometry), "{segment_bytes}");
    }
    assert!(Ring::open(device(), boot(1), &mut [0; 4096]).is_err_and(|e| e == Error::Unformatted));
    assert!(Ring::open(Device::new(vec![]), boot(1), &mut [0; 4096]).is_err_and(|e| e == Error::Unformatted));
    let ring = Device::formatted(MIB, 64 << 10);
    assert!(Ring::open(ring.clone(), boot(1), &mut [0; 4095]).is_err_and(|e| e == Error::BufferTooSmall));
    assert!(Reader::open(ring.clone(), &mut [0; 4095]).is_err_and(|e| e == Error::BufferTooSmall));
    let cut = Device::new(ring.image()[..MIB - 4096].to_vec());
    assert!(Reader::open(cut, &mut [0; 4096]).is_err_and(|e| e == Error::TooSmall { needed }));
    let mut writer = open(&ring, 1);
    assert_eq!(writer.append(&[0; PAYLOAD_BYTES + 1]), Err(Error::PayloadTooLong));
    assert_eq!(writer.append(&[0; PAYLOAD_BYTES]), Ok(1));
    assert_eq!(writer.append(&[]), Ok(2));
    writer.commit().unwrap();
    assert_eq!(read_all(ring), [(1, vec![0; PAYLOAD_BYTES]), (2, vec![])]);
}

#[test]
fn geometry_holds_from_the_smallest_to_the_largest_ring() {
    for shift in 20..=40 {
        let bytes = 1u64 << shift;
        let segment_bytes = Geometry::default_segment_bytes(bytes);
        let geometry = Geometry::new(RING_ID, bytes, segment_bytes).expect("default fits");
        assert!(geometry.segments >= 15 && geometry.segments <= 16_384, "{geometry:?}");
    }
    assert!(Geometry::new(RING_ID, RING_BYTES_MAX + 4096, SEGMENT_BYTES_MAX).is_none());
    assert!(Geometry::new(RING_ID, 1 << 20, 256 << 10).is_none(), "three segments are too few");
}
