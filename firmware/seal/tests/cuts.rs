//! The power fails at every operation of the ring's disk and of the store's: the chain goes on, no epoch is sealed twice or
//! not at all, and no key that sealed is left behind.
//!
//! Some lives run by default; `AEGIS_CUTS=100000` is the long run, `AEGIS_SEED` other ones.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeMap;

use common::disk::{Device, MIB, Op, Platter, Random, SECTOR, payload};
use common::{SLOT, SlotOp, Slots, entropy, followed, moment, open, records};

/// One thing done to one of the disks.
#[derive(Clone)]
enum Step {
    Ring(Op),
    Slot(SlotOp),
}

/// Some boots, some epochs, some events; all that was done to the disks, in order.
fn life(random: &mut Random, keys: &mut Vec<[u8; 32]>) -> (Device, Vec<Step>) {
    let device = Device::formatted(MIB, 64 << 10);
    let mut slots = Slots::empty();
    slots.ring = Some(device.clone());
    for number in 1..=3 {
        keys.push(entropy(random));
        let (mut ring, mut sealer, _) = open(&device, &mut slots, number, keys[keys.len() - 1]);
        for _ in 0..4 {
            for _ in 0..random.below(30) {
                ring.append(&payload(ring.next_sequence(), random.below(900))).unwrap();
            }
            if random.chance(30) {
                ring.commit().unwrap();
            }
            keys.push(entropy(random));
            let epoch = sealer.epoch();
            let next =
                sealer.checkpoint(&mut ring, &mut slots, &moment(number, keys[keys.len() - 1])).unwrap();
            assert_eq!((next, sealer.epoch()), (epoch + 1, epoch + 1));
        }
        if number == 2 {
            ring.seal().unwrap();
        }
    }
    assert_eq!(followed(&device).len(), 12);
    let mut steps = Vec::new();
    let slot_log = slots.log.borrow();
    let mut slot_ops = slot_log.iter().peekable();
    for (done, op) in device.disk.borrow().log.iter().enumerate() {
        while let Some((_, op)) = slot_ops.next_if(|(at, _)| *at <= done) {
            steps.push(Step::Slot(op.clone()));
        }
        steps.push(Step::Ring(op.clone()));
    }
    steps.extend(slot_ops.map(|(_, op)| Step::Slot(op.clone())));
    (Device::formatted(MIB, 64 << 10), steps)
}

/// The store's disk: sectors that were not flushed may be there or not.
#[derive(Clone)]
struct SlotDisk {
    durable: [Vec<u8>; 2],
    volatile: Vec<(usize, usize, Vec<u8>)>,
}

impl SlotDisk {
    fn apply(&mut self, op: &SlotOp) {
        match op {
            SlotOp::Write { slot, bytes } => {
                for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                    self.volatile.push((*slot, index * SECTOR, sector.to_vec()));
                }
            }
            SlotOp::Flush => *self = Self { durable: self.cut(|| true), volatile: Vec::new() },
        }
    }

    fn cut(&self, mut keep: impl FnMut() -> bool) -> [Vec<u8>; 2] {
        let mut after = self.durable.clone();
        for (slot, offset, sector) in &self.volatile {
            if keep() {
                after[*slot][*offset..offset + sector.len()].copy_from_slice(sector);
            }
        }
        after
    }
}

fn contains(bytes: &[u8], secret: &[u8]) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret)
}

#[test]
fn the_chain_survives_a_cut_at_every_operation() {
    let number = |name: &str, otherwise: u64| {
        std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect("a number"))
    };
    let (wanted, first) = (number("AEGIS_CUTS", 1000), number("AEGIS_SEED", 1));
    let (mut cuts, mut redone, mut epochs) = (0, 0, 0);
    for seed in first.. {
        if cuts >= wanted {
            break;
        }
        let mut random = Random(seed);
        let mut keys = Vec::new();
        let (empty, steps) = life(&mut random, &mut keys);
        let mut platter = Platter::new(empty.image());
        let mut slot_disk = SlotDisk { durable: [vec![0; SLOT], vec![0; SLOT]], volatile: Vec::new() };
        // The one checkpoint of each epoch that anybody can ever have seen in this life.
        let mut seen: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for done in 0..=steps.len() {
            match done.checked_sub(1).map(|last| &steps[last]) {
                Some(Step::Ring(op)) => platter.apply(op),
                Some(Step::Slot(op)) => slot_disk.apply(op),
                None => {}
            }
            for keep in [0, 100, 50] {
                let device = Device::new(platter.cut(|| random.chance(keep)));
                let mut slots = Slots::new(slot_disk.cut(|| random.chance(keep)));
                cuts += 1;
                // What is visible to whoever takes the disks now.
                let visible: Vec<Vec<u8>> =
                    records(&device).into_iter().filter(|record| !record.0).map(|record| record.1).collect();
                for bytes in &visible {
                    let checkpoint = aegis_seal::Checkpoint::open(bytes).unwrap();
                    assert_eq!(
                        seen.entry(checkpoint.epoch).or_insert_with(|| bytes.clone()),
                        bytes,
                        "two for one epoch"
                    );
                    let key = keys.iter().find(|key| *common::key_pair(**key).pk == checkpoint.key).unwrap();
                    assert!(!slots.copies.iter().any(|slot| contains(slot, key)), "a key outlived its epoch");
                }
                let (mut ring, mut sealer, opened) = open(&device, &mut slots, 9, entropy(&mut random));
                match opened {
                    aegis_seal::Opened::Redone => redone += 1,
                    aegis_seal::Opened::Began => assert!(visible.is_empty()),
                    aegis_seal::Opened::InStep => {}
                    aegis_seal::Opened::Restarted(why) => {
                        panic!("{why:?} after {done} of {} steps", steps.len())
                    }
                }
                ring.append(b"goes on").unwrap();
                for _ in 0..2 {
                    let next = moment(9, entropy(&mut random));
                    sealer.checkpoint(&mut ring, &mut slots, &next).unwrap();
                }
                let now = followed(&device);
                assert!(now.len() >= visible.len() + 2);
                let kept: Vec<Vec<u8>> = records(&device).into_iter().filter(|r| !r.0).map(|r| r.1).collect();
                assert_eq!(kept[..visible.len()], visible, "a checkpoint was taken back");
                assert_eq!(now.last().unwrap().epoch + 1, now.len() as u64, "every epoch is sealed once");
                epochs += now.len();
            }
        }
    }
    assert!(redone > 50, "{redone} of {cuts} cuts between the store and the ring prove too little");
    println!(
        "{cuts} cuts, {redone} of them between store and ring, {epochs} checkpoints followed, from seed {first}"
    );
}

#[test]
fn a_store_that_fails_keeps_the_epoch_going() {
    let device = Device::formatted(MIB, 64 << 10);
    let mut slots = Slots::empty();
    let mut random = Random(5);
    let (mut ring, mut sealer, _) = open(&device, &mut slots, 1, entropy(&mut random));
    slots.broken = true;
    ring.append(b"one").unwrap();
    assert!(sealer.checkpoint(&mut ring, &mut slots, &moment(1, entropy(&mut random))).is_err());
    assert_eq!((sealer.epoch(), ring.sealing().unwrap().next_epoch), (0, 0));
    slots.broken = false;
    ring.append(b"two").unwrap();
    assert_eq!(sealer.checkpoint(&mut ring, &mut slots, &moment(1, entropy(&mut random))), Ok(1));
    assert_eq!(followed(&device)[0].sequence, 2);
}
