//! Bytes that are not what the ring wrote: never a panic, never a wrong frame, damage told from a torn tail.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod common;

use aegis_ring::{Error, FormatOptions, Reader, Ring, format};
use common::{Device, MIB, RING_ID, Random, Stored, boot, open, payload, read_all, read_from};

const SEGMENT: usize = 64 << 10;
const FIRST: usize = 4096;

fn append(ring: &mut Ring<'_, Device>, count: u64, length: usize) {
    for _ in 0..count {
        let sequence = ring.next_sequence();
        ring.append(&payload(sequence, length)).unwrap();
    }
    ring.commit().unwrap();
}

/// Three boots, a few commits each, the second one sealed: 30 events in 3 segments.
fn small_ring() -> Device {
    let device = Device::formatted(MIB, SEGMENT as u32);
    for number in 1..=3 {
        let mut ring = open(&device, number);
        for _ in 0..5 {
            append(&mut ring, 2, 90);
        }
        if number == 2 {
            ring.seal().unwrap();
        }
    }
    device
}

fn is_subset(frames: &[Stored], of: &[Stored]) -> bool {
    frames.iter().all(|frame| of.iter().any(|original| original == frame))
}

#[test]
fn no_flipped_byte_is_ever_read_as_a_frame() {
    let device = small_ring();
    let original = read_all(device.clone());
    assert_eq!(original.len(), 30);
    let image = device.image();
    // Every byte written, and the first ones behind each stretch.
    let mut at = 0;
    let (mut refused, mut shorter, mut unharmed) = (0, 0, 0);
    while at < image.len() {
        let used = image[at..(at + 512).min(image.len())].iter().any(|byte| *byte != 0);
        let end = if used { at + 512 } else { at + 1 };
        for byte in at..end {
            let saved = device.disk.borrow().bytes[byte];
            for flip in if byte % 2 == 0 { [0x01] } else { [0xff] } {
                device.disk.borrow_mut().bytes[byte] = saved ^ flip;
                match read_from(device.clone(), 0) {
                    Ok((frames, error)) => {
                        assert!(is_subset(&frames, &original), "byte {byte}");
                        assert!(frames.windows(2).all(|pair| pair[0].0 < pair[1].0));
                        match error {
                            Some(Error::Corrupted { offset }) => {
                                assert!(offset < image.len() as u64);
                                refused += 1;
                            }
                            Some(error) => panic!("byte {byte}: {error}"),
                            None if frames.len() < 30 => {
                                // Only the last commit and a seal behind it can be taken for torn.
                                assert!(frames.len() >= 28, "byte {byte}: {} frames, no error", frames.len());
                                shorter += 1;
                            }
                            None => unharmed += 1,
                        }
                    }
                    Err(Error::Corrupted { .. }) => refused += 1,
                    Err(error) => panic!("byte {byte}: {error}"),
                }
            }
            device.disk.borrow_mut().bytes[byte] = saved;
        }
        at += 512;
    }
    assert!(refused > 5000 && shorter > 100 && unharmed > 1000, "{refused} {shorter} {unharmed}");
}

#[test]
fn recovery_never_gives_a_sequence_twice_whatever_byte_is_flipped() {
    let device = small_ring();
    let image = device.image();
    for byte in
        (0..image.len()).filter(|at| image[at / 512 * 512..at / 512 * 512 + 512].iter().any(|b| *b != 0))
    {
        if byte % 7 > 0 {
            continue;
        }
        let mut image = image.clone();
        image[byte] ^= 0x20;
        let torn = Device::new(image);
        let Ok(mut ring) = Ring::open(torn.clone(), boot(9), vec![0; 4096].leak()) else { continue };
        let recovery = ring.recovery();
        // The last commit may be taken for torn: its events are 29 and 30.
        assert!(recovery.next_sequence >= 29, "byte {byte}: {recovery:?}");
        assert!(recovery.next_sequence >= 31 || recovery.damaged.is_none(), "byte {byte}: {recovery:?}");
        append(&mut ring, 3, 50);
        // What is appended after it is there, and the way to it leads past the damage.
        let mut scratch = [0; 4096];
        let mut reader = Reader::open(torn, &mut scratch).unwrap();
        let mut last = 0;
        for _ in 0..100 {
            match reader.next() {
                Ok(Some(frame)) => {
                    assert!(frame.sequence > last, "byte {byte}");
                    last = frame.sequence;
                }
                Ok(None) => break,
                Err(Error::Corrupted { .. }) => assert!(reader.skip().unwrap().is_some()),
                Err(error) => panic!("byte {byte}: {error}"),
            }
        }
        assert_eq!(last, recovery.next_sequence + 2, "byte {byte}");
    }
}

#[test]
fn damage_in_an_acked_commit_is_told_from_a_torn_one() {
    let device = Device::formatted(MIB, SEGMENT as u32);
    let mut ring = open(&device, 1);
    for _ in 0..10 {
        append(&mut ring, 1, 90);
    }
    // Commits are one sector each, from the second sector of the segment on: destroy the fifth.
    let offset = FIRST + 5 * 512;
    let mut image = device.image();
    image[offset..offset + 512].fill(0x5a);
    let damaged = Device::new(image.clone());
    let (frames, error) = read_from(damaged.clone(), 0).unwrap();
    assert_eq!((frames.len(), error), (4, Some(Error::Corrupted { offset: offset as u64 })));
    let mut again = open(&damaged, 2);
    let recovery = again.recovery();
    assert_eq!((recovery.last_sequence, recovery.next_sequence), (4, 11));
    assert_eq!((recovery.damaged, recovery.clean), (Some(offset as u64), false));
    append(&mut again, 1, 90);
    let (frames, error) = read_from(damaged.clone(), 0).unwrap();
    assert_eq!((frames.len(), error), (4, Some(Error::Corrupted { offset: offset as u64 })));
    assert_eq!(read_from(damaged, 11).unwrap().0.len(), 1);
    // A bit in the padding between two commits.
    let padding = FIRST + 3 * 512 + 142;
    let mut image = device.image();
    image[padding + 100] ^= 1;
    let (frames, error) = read_from(Device::new(image), 0).unwrap();
    assert_eq!((frames.len(), error), (3, Some(Error::Corrupted { offset: padding as u64 })));
    // The last one destroyed can't be told from a torn one.
    let last = FIRST + 10 * 512;
    let mut image = device.image();
    image[last..last + 512].fill(0x5a);
    let recovery = open(&Device::new(image), 2).recovery();
    assert_eq!((recovery.next_sequence, recovery.damaged), (10, None));
}

#[test]
fn every_commit_behind_the_damage_is_counted() {
    let device = Device::formatted(MIB, SEGMENT as u32);
    let mut ring = open(&device, 1);
    append(&mut ring, 1, 90);
    append(&mut ring, 1, 90);
    // A commit that fills its sector, and behind it, without padding, one of several frames.
    append(&mut ring, 1, 512 - 52);
    append(&mut ring, 4, 60);
    let mut image = device.image();
    image[FIRST + 1024..FIRST + 1536].fill(0);
    let recovery = open(&Device::new(image), 2).recovery();
    assert_eq!((recovery.last_sequence, recovery.next_sequence), (1, 8));
}

#[test]
fn a_forged_frame_with_a_good_crc_breaks_the_chain() {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    let device = small_ring();
    // The first frame of the first segment (in the middle of the ring) and of the last one (recovered).
    for (place, number, before) in [(0, 1, 0), (2, 3, 20)] {
        for at in [8, 20, 52, 52 + 89] {
            let mut image = device.image();
            let frame = FIRST + place * SEGMENT + 512;
            image[frame + at] ^= 1;
            let mut digest = crc.digest();
            digest.update(&RING_ID);
            digest.update(&(place as u64).to_le_bytes());
            digest.update(&boot(number));
            digest.update(&image[frame + 4..frame + 52 + 90]);
            let sum = digest.finalize().to_le_bytes();
            image[frame..frame + 4].copy_from_slice(&sum);
            let forged = Device::new(image);
            let (frames, error) = read_from(forged.clone(), 0).unwrap();
            assert_eq!((frames.len(), error), (before, Some(Error::Corrupted { offset: frame as u64 })));
            let recovery = open(&forged, 9).recovery();
            if place == 2 {
                assert_eq!(recovery.damaged, Some(frame as u64));
                assert_eq!((recovery.last_sequence, recovery.next_sequence), (20, 31));
            }
        }
    }
}

#[test]
fn a_lost_header_of_the_newest_segment_is_not_overwritten() {
    let device = small_ring();
    let offset = FIRST + 2 * SEGMENT;
    let mut image = device.image();
    image[offset + 100] ^= 1;
    let damaged = Device::new(image.clone());
    let mut ring = open(&damaged, 4);
    let recovery = ring.recovery();
    assert_eq!((recovery.last_sequence, recovery.damaged), (20, Some(offset as u64)));
    assert!(recovery.next_sequence > 31 && !recovery.clean);
    append(&mut ring, 1, 90);
    let after = damaged.image();
    assert_eq!(image[offset..offset + SEGMENT], after[offset..offset + SEGMENT]);
    let (frames, error) = read_from(damaged, 0).unwrap();
    assert_eq!((frames.len(), error), (20, Some(Error::Corrupted { offset: offset as u64 })));
}

#[test]
fn a_damaged_superblock_is_replaced_by_its_copy() {
    let device = small_ring();
    let good = device.image();
    for (offset, size) in [(0, 512), (0, 4), (300, 1), (MIB - 4096, 512), (MIB - 4096 + 40, 3)] {
        let mut image = good.clone();
        image[offset..offset + size].iter_mut().for_each(|byte| *byte ^= 0x11);
        let damaged = Device::new(image);
        assert_eq!(read_all(damaged.clone()).len(), 30, "a reader does without it");
        let ring = open(&damaged, 4);
        assert_eq!(ring.recovery().repaired, Some((offset / 4096 * 4096) as u64));
        assert_eq!(damaged.image(), good);
        assert_eq!(open(&damaged, 4).recovery().repaired, None);
    }
    let mut image = good.clone();
    image[20] ^= 1;
    image[MIB - 4096 + 20] ^= 1;
    let both = Device::new(image.clone());
    assert!(Reader::open(both, &mut [0; 4096]).is_err_and(|e| e == Error::Corrupted { offset: 0 }));
    image[..4096].fill(0);
    let offset = (MIB - 4096) as u64;
    assert!(
        Reader::open(Device::new(image.clone()), &mut [0; 4096])
            .is_err_and(|e| e == Error::Corrupted { offset })
    );
    image[MIB - 4096..].fill(0);
    assert!(Reader::open(Device::new(image), &mut [0; 4096]).is_err_and(|e| e == Error::Unformatted));
}

#[test]
fn stale_frames_are_never_ours() {
    // A ring that came round: behind the newest segment's end lie the frames of the wrap before.
    let device = Device::formatted(MIB, SEGMENT as u32);
    let mut ring = open(&device, 1);
    while ring.stats().segment < 20 {
        append(&mut ring, 1, 400);
    }
    let last = ring.acked();
    let sectors = (FIRST + 5 * SEGMENT..).step_by(512).take(SEGMENT / 512);
    assert!(sectors.clone().all(|at| device.image()[at..at + 512].iter().any(|byte| *byte != 0)));
    assert_eq!(open(&device, 1).recovery().next_sequence, last + 1);
    assert_eq!(read_all(device.clone()).last().unwrap().0, last);

    // The same place, sectors and sequences written by another ring, another boot or an earlier wrap.
    let write = |id: [u8; 16], number: u64, wraps: u64| {
        let device = Device::new(vec![0; MIB]);
        format(device.clone(), &FormatOptions { ring_id: id, bytes: 0, segment_bytes: SEGMENT as u32 })
            .unwrap();
        let mut ring = open(&device, number);
        while ring.stats().wraps < wraps {
            append(&mut ring, 1, 1000);
        }
        append(&mut ring, 1, 90);
        append(&mut ring, 1, 90);
        device
    };
    let ours = write(RING_ID, 1, 0);
    for (id, number, wraps) in [(*b"some other ring!", 1, 0), (RING_ID, 2, 0), (RING_ID, 1, 1)] {
        let theirs = write(id, number, wraps);
        let mut image = ours.image();
        image[FIRST + 1024..FIRST + 1536].copy_from_slice(&theirs.image()[FIRST + 1024..FIRST + 1536]);
        assert_eq!(read_all(Device::new(image)).len(), 1, "{number} {wraps}");
    }
    // And a segment of another ring as a whole.
    let theirs = write(*b"some other ring!", 1, 0);
    let mut image = ours.image();
    let place = FIRST + SEGMENT..FIRST + 2 * SEGMENT;
    image[place.clone()].copy_from_slice(&theirs.image()[FIRST..FIRST + SEGMENT]);
    let mixed = Device::new(image);
    assert_eq!(open(&mixed, 2).recovery().damaged, Some(place.start as u64));
    let (frames, error) = read_from(mixed, 0).unwrap();
    assert_eq!((frames.len(), error), (2, Some(Error::Corrupted { offset: place.start as u64 })));
}

#[test]
fn formatting_again_with_the_same_id_brings_nothing_back() {
    let device = small_ring();
    format(device.clone(), &FormatOptions { ring_id: RING_ID, bytes: 0, segment_bytes: SEGMENT as u32 })
        .unwrap();
    assert!(open(&device, 1).recovery().fresh);
    assert_eq!(read_all(device), []);
}

#[test]
fn cut_swapped_and_copied_segments_are_corruption() {
    let device = Device::formatted(MIB, SEGMENT as u32);
    let mut ring = open(&device, 1);
    while ring.stats().segment < 6 {
        append(&mut ring, 10, 500);
    }
    let image = device.image();
    let place = |n: usize| FIRST + n * SEGMENT..FIRST + (n + 1) * SEGMENT;
    let all = read_all(device);
    for (n, other) in [(0, 1), (1, 0), (2, 4), (3, 14), (5, 2)] {
        let mut edited = image.clone();
        edited.copy_within(place(other), place(n).start);
        let (frames, error) = read_from(Device::new(edited), 0).unwrap();
        assert!(matches!(error, Some(Error::Corrupted { .. })), "{n} {other}");
        assert!(is_subset(&frames, &all));
    }
    // A commit cut out of the middle, the rest moved up.
    let mut edited = image.clone();
    edited.copy_within(place(2).start + 8192..place(2).end, place(2).start + 512);
    let (frames, error) = read_from(Device::new(edited), 0).unwrap();
    assert!(matches!(error, Some(Error::Corrupted { offset }) if place(2).contains(&(offset as usize))));
    assert!(is_subset(&frames, &all));
}

#[test]
fn garbage_is_refused_or_read_to_its_end() {
    let base = small_ring().image();
    let original = read_all(Device::new(base.clone()));
    for seed in 0..300 {
        let mut random = Random(seed);
        let mut image = base.clone();
        match seed % 3 {
            // Nothing of a ring in it.
            0 => image = random.bytes(64 << 10).repeat(16),
            // Good superblocks, garbage between them.
            1 => {
                let noise = random.bytes(SEGMENT);
                image[FIRST..MIB - 4096]
                    .chunks_mut(SEGMENT)
                    .for_each(|c| c.copy_from_slice(&noise[..c.len()]));
            }
            // Stretches of garbage, zeros and copies, anywhere.
            _ => {
                for _ in 0..=random.below(6) {
                    let length = random.below(3000);
                    let to = random.below(FIRST + 3 * SEGMENT - length);
                    let from = random.below(FIRST + 3 * SEGMENT - length);
                    match random.below(3) {
                        0 => image[to..to + length].fill(0),
                        1 => image.copy_within(from..from + length, to),
                        _ => image[to..to + length].copy_from_slice(&random.bytes(length)),
                    }
                }
            }
        }
        let device = Device::new(image);
        if let Ok((frames, _)) = read_from(device.clone(), 0) {
            assert!(is_subset(&frames, &original), "seed {seed}");
        }
        let mut scratch = [0; 4096];
        if let Ok(mut reader) = Reader::open(device.clone(), &mut scratch) {
            for sequence in [0, 1, 15, 31, u64::MAX] {
                let _ = reader.seek(sequence);
                let _ = reader.next();
            }
            while let Ok(Some(_)) = reader.skip() {}
        }
        if let Ok(mut ring) = Ring::open(device.clone(), boot(9), &mut [0; 4096]) {
            append(&mut ring, 1, 100);
        }
        let reads = device.disk.borrow().reads;
        assert!(reads < 4000, "seed {seed}: {reads} reads");
    }
}
