//! A sealed ring on a disk with a write cache, and a store of two slots on another one.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "each test binary uses a part of it"
)]

use std::cell::RefCell;
use std::rc::Rc;

use aegis_cose::{KeyPair, Seed};
use aegis_ring::{Entry, Reader, Record, Ring};
use aegis_seal::limits::STATE_BYTES;
use aegis_seal::{Certificate, Chain, Checkpoint, Moment, Opened, Sealer, State, Store};
use zeroize::Zeroizing;

#[path = "../../../ring/tests/common/mod.rs"]
pub mod disk;

use disk::{Device, Random, SECTOR, boot};

/// Bytes of a slot: whole sectors.
pub const SLOT: usize = STATE_BYTES.next_multiple_of(SECTOR);

pub fn device_key() -> KeyPair {
    KeyPair::from_seed(Seed::new([42; 32]))
}

pub fn moment(number: u64, entropy: [u8; 32]) -> Moment {
    Moment { boot: boot(number), boottime: number * 1000, period: 60, entropy: Zeroizing::new(entropy) }
}

/// What happened to a slot.
#[derive(Clone)]
pub enum SlotOp {
    Write { slot: usize, bytes: Vec<u8> },
    Flush,
}

/// Two slots: the new copy goes to the older one, is flushed, and then the other one is wiped.
#[derive(Clone)]
pub struct Slots {
    pub copies: [Vec<u8>; 2],
    /// What was done, each with the number of operations that the ring's disk had seen by then.
    pub log: Rc<RefCell<Vec<(usize, SlotOp)>>>,
    pub ring: Option<Device>,
    /// Everything fails from now on.
    pub broken: bool,
}

impl Slots {
    pub fn new(copies: [Vec<u8>; 2]) -> Self {
        Self { copies, log: Rc::default(), ring: None, broken: false }
    }

    pub fn empty() -> Self {
        Self::new([vec![0; SLOT], vec![0; SLOT]])
    }

    pub fn state(&self) -> Option<State> {
        State::newer(State::decode(&self.copies[0]), State::decode(&self.copies[1]))
    }

    fn put(&mut self, op: SlotOp) {
        if let SlotOp::Write { slot, bytes } = &op {
            self.copies[*slot].clone_from(bytes);
        }
        let at = self.ring.as_ref().map_or(0, Device::ops);
        self.log.borrow_mut().push((at, op));
    }
}

impl Store for Slots {
    type Error = &'static str;

    fn replace(&mut self, copy: &[u8]) -> Result<(), &'static str> {
        if self.broken {
            return Err("no disk");
        }
        let generations =
            [0, 1].map(|slot| State::decode(&self.copies[slot]).map_or(0, |state| state.generation()));
        let to = usize::from(generations[0] > generations[1]);
        let mut bytes = copy.to_vec();
        bytes.resize(SLOT, 0);
        self.put(SlotOp::Write { slot: to, bytes });
        self.put(SlotOp::Flush);
        self.put(SlotOp::Write { slot: 1 - to, bytes: vec![0; SLOT] });
        self.put(SlotOp::Flush);
        Ok(())
    }
}

/// Opens ring and sealer.
pub fn open(
    device: &Device,
    slots: &mut Slots,
    number: u64,
    entropy: [u8; 32],
) -> (Ring<'static, Device>, Sealer, Opened) {
    let mut ring = disk::open(device, number);
    let (sealer, opened) =
        Sealer::open(slots.state(), &mut ring, &device_key(), slots, &moment(number, entropy)).expect("open");
    (ring, sealer, opened)
}

/// The sealing records of a ring, in order.
pub fn records(device: &Device) -> Vec<(bool, Vec<u8>)> {
    let mut scratch = vec![0; 8 << 10];
    let mut reader = Reader::open(device.clone(), &mut scratch).expect("reader opens");
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().expect("the ring is whole") {
        if let Entry::Mark(mark) = entry
            && let Some(record) = Record::decode(mark.kind, mark.payload)
        {
            found.push((record.certificate, record.bytes.to_vec()));
        }
    }
    found
}

/// Follows the chain of a ring from its certificate on; every record must be the next one. Returns the checkpoints.
pub fn followed(device: &Device) -> Vec<Checkpoint> {
    let mut chain: Option<Chain> = None;
    let mut checkpoints = Vec::new();
    for (certificate, bytes) in records(device) {
        if certificate {
            let certificate = Certificate::open(&bytes, &device_key().pk).expect("by the device");
            assert!(chain.is_none(), "a second chain");
            chain = Some(Chain::begin(&certificate, &bytes));
        } else {
            let checkpoint = Checkpoint::open(&bytes).expect("whole");
            let chain = chain.as_mut().expect("a certificate comes first");
            assert_eq!(chain.follow(&checkpoint, &bytes), Ok(()), "epoch {}", checkpoint.epoch);
            checkpoints.push(checkpoint);
        }
    }
    checkpoints
}

/// Random bytes for a key.
pub fn entropy(random: &mut Random) -> [u8; 32] {
    random.bytes(32).try_into().expect("32")
}

/// The key pair of a seed.
pub fn key_pair(seed: [u8; 32]) -> KeyPair {
    KeyPair::from_seed(Seed::new(seed))
}
