#![allow(clippy::unwrap_used)]
use std::cell::RefCell;

use aegis_cose::{KeyPair, Seed};
use aegis_ring::{FormatOptions, Ring};
use aegis_seal::{Moment, Opened, Sealer, Store};

use super::super::partition::RingDevice;
use super::*;

const RING_ID: [u8; 16] = [9; 16];
const SECTOR: usize = 512;

fn device_key() -> KeyPair {
    KeyPair::from_seed(Seed::new([42; 32]))
}

/// The secret of an epoch, and of nothing else in these tests.
fn secret(epoch: u8) -> [u8; 32] {
    [0xa0 + epoch; 32]
}

fn moment(epoch: u8) -> Moment {
    Moment { boot: [1; 16], boottime: u64::from(epoch), period: 60, entropy: Zeroizing::new(secret(epoch)) }
}

fn ring(directory: &Path) -> Ring<'static, RingDevice> {
    let path = directory.join("ring");
    if !path.exists() {
        File::create(&path).unwrap().set_len(1 << 20).unwrap();
        let options = FormatOptions { ring_id: RING_ID, bytes: 1 << 20, segment_bytes: 0 };
        aegis_ring::format(RingDevice::open(Some(&path), true).unwrap(), &options).unwrap();
    }
    Ring::open(RingDevice::open(Some(&path), true).unwrap(), [1; 16], vec![0; 8192].leak()).unwrap()
}

/// Keeps every copy that it is handed.
#[derive(Default)]
struct Recorder(Vec<Vec<u8>>);

impl Store for Recorder {
    type Error = io::Error;

    fn replace(&mut self, copy: &[u8]) -> io::Result<()> {
        self.0.push(copy.to_vec());
        Ok(())
    }
}

/// The copies of a chain's first epochs, of two lengths: with a certificate only, and with a checkpoint too.
fn copies(count: u8) -> Vec<Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let (mut ring, mut store) = (ring(directory.path()), Recorder::default());
    let (mut sealer, _) = Sealer::open(None, &mut ring, &device_key(), &mut store, &moment(0)).unwrap();
    for epoch in 1..count {
        sealer.checkpoint(&mut ring, &mut store, &moment(epoch)).unwrap();
    }
    store.0
}

/// Two places on a disk with a write cache, that loses power at a step.
#[derive(Clone)]
struct Platter {
    seen: RefCell<Vec<u8>>,
    durable: RefCell<Vec<u8>>,
    steps: RefCell<usize>,
    cut: usize,
    /// This one step fails, and the power stays on.
    failing: Option<usize>,
}

impl Platter {
    fn new(bytes: Vec<u8>) -> Self {
        let steps = RefCell::new(0);
        Self {
            seen: RefCell::new(bytes.clone()),
            durable: RefCell::new(bytes),
            steps,
            cut: usize::MAX,
            failing: None,
        }
    }

    fn step(&self) -> io::Result<()> {
        let step = self.steps.replace_with(|steps| *steps + 1);
        if step >= self.cut || self.failing == Some(step) { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    }

    /// What may be there when the power comes back: each sector that was not flushed is old, new, or of other bytes.
    fn left(&self) -> Vec<Vec<u8>> {
        let (seen, durable) = (self.seen.borrow(), self.durable.borrow());
        let sectors = (0..seen.len()).step_by(SECTOR).map(|at| at..at + SECTOR);
        let mut left = vec![durable.clone()];
        for range in sectors.filter(|range| seen[range.clone()] != durable[range.clone()]) {
            let with = |bytes: &Vec<u8>, sector: Vec<u8>| {
                let mut bytes = bytes.clone();
                bytes[range.clone()].copy_from_slice(&sector);
                bytes
            };
            let (new, other) = (&seen[range.clone()], seen[range.clone()].iter().map(|byte| !byte));
            let other: Vec<u8> = other.collect();
            let variants = |bytes| [with(&bytes, new.to_vec()), with(&bytes, other.clone()), bytes];
            left = left.into_iter().flat_map(variants).collect();
        }
        left
    }

    fn has(&self, secret: [u8; 32]) -> bool {
        self.durable.borrow().windows(32).any(|bytes| bytes == secret)
    }
}

impl Places for &Platter {
    fn read(&self, place: usize, bytes: &mut [u8; PLACE_BYTES]) -> io::Result<()> {
        bytes.copy_from_slice(&self.seen.borrow()[place * PLACE_BYTES..][..PLACE_BYTES]);
        Ok(())
    }

    fn write(&self, place: usize, bytes: &[u8; PLACE_BYTES]) -> io::Result<()> {
        // A write that fails may have done its work; without power none does.
        if *self.steps.borrow() <= self.cut {
            self.seen.borrow_mut()[place * PLACE_BYTES..][..PLACE_BYTES].copy_from_slice(bytes);
        }
        self.step()
    }

    fn sync(&self) -> io::Result<()> {
        self.step()?;
        self.durable.borrow_mut().clone_from(&self.seen.borrow());
        Ok(())
    }
}

#[test]
fn a_cut_leaves_the_old_state_or_the_new_one_and_no_key_that_is_over() {
    let copies = copies(3);
    let mut disks = 0;
    for epoch in 0..3 {
        let old = |epoch: u8| epoch.checked_sub(1).map(u64::from);
        let platter = Platter::new(vec![0; 2 * PLACE_BYTES]);
        let (mut store, _) = SealStore::open(&platter, None);
        for copy in &copies[..epoch] {
            store.replace(copy).unwrap();
        }
        let before = platter.durable.borrow().clone();
        for cut in 0..=4 {
            let platter = Platter { cut, ..Platter::new(before.clone()) };
            let (mut store, _) = SealStore::open(&platter, None);
            let done = store.replace(&copies[epoch]).is_ok();
            for left in platter.left() {
                disks += 1;
                let left = Platter::new(left);
                let (store, state) = SealStore::open(&left, None);
                let found = state.map(|state| state.next_epoch());
                let new = Some(epoch as u64);
                assert!(
                    found == new || (!done && found == old(epoch as u8)),
                    "epoch {epoch} cut {cut}: {found:?}"
                );
                assert!(!store.unwiped());
                for other in (0..3).filter(|other| Some(u64::from(*other)) != found) {
                    assert!(!left.has(secret(other)), "epoch {epoch} cut {cut}: the key of {other} is left");
                }
                assert_eq!(found.map(|epoch| left.has(secret(epoch as u8))), found.map(|_| true));
            }
        }
    }
    println!("{disks} disks");
    assert!(disks > 60, "{disks}");
}

#[test]
fn a_step_that_fails_leaves_the_old_state_in_force_and_is_made_good_by_the_next() {
    let copies = copies(3);
    for failing in 0..4 {
        let platter = Platter::new(vec![0; 2 * PLACE_BYTES]);
        let (mut store, _) = SealStore::open(&platter, None);
        store.replace(&copies[0]).unwrap();
        let platter = Platter { failing: Some(failing), ..Platter::new(platter.durable.borrow().clone()) };
        let (mut store, _) = SealStore::open(&platter, None);
        let replaced = store.replace(&copies[1]);
        // From the flush of the new state on it is in force; a key that could not be wiped is known to be there.
        assert_eq!(replaced.is_ok(), failing >= 2, "step {failing}");
        assert_eq!(store.unwiped(), failing >= 2, "step {failing}");
        assert_eq!(store.state().map(|state| state.next_epoch()), Some(u64::from(failing >= 2)));
        // Killed now: a state that was refused must not come back, since what it seals is not the end of the ring any more.
        let killed = Platter::new(platter.seen.borrow().clone());
        let found = SealStore::open(&killed, None).1.map(|state| state.next_epoch());
        assert_eq!(found, Some(u64::from(failing >= 2)), "step {failing}");
        store.replace(&copies[2]).unwrap();
        assert!(!store.unwiped());
        assert_eq!([0, 1, 2].map(|epoch| platter.has(secret(epoch))), [false, false, true], "step {failing}");
    }
}

#[test]
fn the_agent_goes_on_from_the_file_and_the_export_reads_the_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    assert_eq!(certificate_in(path, &RING_ID).unwrap(), None, "no file");
    let (mut store, found) = SealStore::open(SealFile::open_in(path).unwrap(), None);
    assert!(found.is_none());
    assert_eq!(certificate_in(path, &RING_ID).unwrap(), None, "no state");

    let mut first = ring(path);
    let (mut sealer, opened) =
        Sealer::open(found, &mut first, &device_key(), &mut store, &moment(0)).unwrap();
    assert_eq!(opened, Opened::Began);
    sealer.checkpoint(&mut first, &mut store, &moment(1)).unwrap();
    drop((first, store));

    let (mut store, found) = SealStore::open(SealFile::open_in(path).unwrap(), None);
    let mut second = ring(path);
    let (sealer, opened) = Sealer::open(found, &mut second, &device_key(), &mut store, &moment(2)).unwrap();
    assert_eq!((opened, sealer.epoch()), (Opened::InStep, 1));
    assert_eq!(certificate_in(path, &RING_ID).unwrap().as_deref(), Some(sealer.certificate()));
    assert_eq!(certificate_in(path, &[8; 16]).unwrap(), None, "of another ring");
}

#[test]
fn a_file_of_another_shape_is_made_anew_and_a_link_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join(FILE), [7; 100]).unwrap();
    assert_eq!(certificate_in(path, &RING_ID).unwrap(), None);
    assert!(SealStore::open(SealFile::open_in(path).unwrap(), None).1.is_none());

    std::fs::remove_file(path.join(FILE)).unwrap();
    std::fs::write(path.join("other"), [0; 2 * PLACE_BYTES]).unwrap();
    std::os::unix::fs::symlink(path.join("other"), path.join(FILE)).unwrap();
    let (mut store, _) = SealStore::open(SealFile::open_in(path).unwrap(), None);
    store.replace(&copies(1)[0]).unwrap();
    assert!(std::fs::read(path.join("other")).unwrap().iter().all(|byte| *byte == 0));
}

/// Where there is a TPM: nothing of a secret on the disk, the same chain by the same key, another one by any other, and the
/// certificate for whoever exports.
#[test]
fn a_secret_that_is_locked_is_opened_by_its_key_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let key = |byte| Some(StorageKey::new(Zeroizing::new([byte; 32])));
    let mut ring = ring(path);
    let file = || SealFile::open_in(path).unwrap();
    let on_disk = || std::fs::read(path.join(FILE)).unwrap();
    // Begun as it was before there was a TPM, and taken up.
    let (mut store, found) = SealStore::open(file(), None);
    let (mut sealer, opened) = Sealer::open(found, &mut ring, &device_key(), &mut store, &moment(0)).unwrap();
    assert_eq!(opened, Opened::Began);
    sealer.checkpoint(&mut ring, &mut store, &moment(1)).unwrap();
    assert!(on_disk().windows(32).any(|bytes| bytes == secret(1)));
    for epoch in 2..5 {
        let (mut store, found) = SealStore::open(file(), key(7));
        let (mut sealer, opened) =
            Sealer::open(found, &mut ring, &device_key(), &mut store, &moment(20)).unwrap();
        assert_eq!(opened, Opened::InStep, "epoch {epoch}");
        sealer.checkpoint(&mut ring, &mut store, &moment(epoch)).unwrap();
        for past in 0..=epoch {
            assert!(!on_disk().windows(8).any(|bytes| bytes == &secret(past)[..8]), "epoch {past}");
        }
        assert_eq!(certificate_in(path, &RING_ID).unwrap().as_deref(), Some(sealer.certificate()));
    }
    for (other, number) in [(None, 5), (key(8), 6)] {
        let (mut store, found) = SealStore::open(file(), other);
        let generation = found.as_ref().map(State::generation);
        assert!(number == 6 || found.as_ref().is_some_and(State::is_locked));
        let (_, opened) = Sealer::open(found, &mut ring, &device_key(), &mut store, &moment(number)).unwrap();
        let expected = if number == 5 { Opened::Restarted(aegis_seal::Why::Lost) } else { Opened::InStep };
        assert_eq!(opened, expected);
        assert!(store.state().map(|state| state.generation()) >= generation, "it never counts back");
    }
}
