//! A real ring in memory, sealed by a real sealer, and exports of it.
#![allow(dead_code)] // each test binary uses its part

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use aegis_cose::{KeyPair, Seed};
use aegis_export::embedded_io::{ErrorType, Read, Seek, SeekFrom, Write};
use aegis_export::seal::{Moment, Opened, Sealer, State, Store};
use aegis_export::{Created, Exporter, Manifest, Policy, Request, limits};
use aegis_ring::{FormatOptions, Options, Reader, Ring, format};
use zeroize::Zeroizing;

pub(crate) const RING_ID: [u8; 16] = [7; 16];

/// A disk that never fails. Clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct Disk {
    bytes: Rc<RefCell<Vec<u8>>>,
    at: usize,
}

impl Disk {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: Rc::new(RefCell::new(bytes)), at: 0 }
    }

    pub(crate) fn image(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let end = (self.at + length).min(self.bytes.borrow().len());
        std::mem::replace(&mut self.at, end)..end
    }
}

impl ErrorType for Disk {
    type Error = Infallible;
}

impl Read for Disk {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        let range = self.range(out.len());
        out[..range.len()].copy_from_slice(&self.bytes.borrow()[range.clone()]);
        Ok(range.len())
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let range = self.range(bytes.len());
        self.bytes.borrow_mut()[range.clone()].copy_from_slice(&bytes[..range.len()]);
        Ok(range.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Seek for Disk {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, Infallible> {
        let length = self.bytes.borrow().len();
        self.at = match to {
            SeekFrom::Start(at) => usize::try_from(at).expect("small"),
            SeekFrom::End(by) => length.saturating_add_signed(isize::try_from(by).expect("small")),
            SeekFrom::Current(by) => self.at.saturating_add_signed(isize::try_from(by).expect("small")),
        }
        .min(length);
        Ok(self.at as u64)
    }
}

/// The sealer's own disk: one copy.
#[derive(Clone, Default)]
pub(crate) struct Vault(pub(crate) Vec<u8>);

impl Store for Vault {
    type Error = Infallible;

    fn replace(&mut self, copy: &[u8]) -> Result<(), Infallible> {
        self.0 = copy.to_vec();
        Ok(())
    }
}

/// A device: its key, its ring, its sealer's state.
#[derive(Clone)]
pub(crate) struct Sealed {
    pub(crate) disk: Disk,
    pub(crate) vault: Vault,
    pub(crate) key: [u8; 32],
    pub(crate) certificate: Vec<u8>,
    /// Nanoseconds since boot, and how many keys were made: both only rise.
    pub(crate) time: u64,
    keys: u64,
}

/// A boot of it, ring and sealer open.
pub(crate) struct Running<'a> {
    pub(crate) ring: Ring<'static, Disk>,
    pub(crate) opened: Opened,
    sealer: Sealer,
    device: &'a mut Sealed,
    boot: u8,
}

impl Sealed {
    pub(crate) fn new(bytes: usize) -> Self {
        let disk = Disk::new(vec![0; bytes]);
        let options = FormatOptions { ring_id: RING_ID, bytes: 0, segment_bytes: 0 };
        format(disk.clone(), &options).expect("enough for a ring");
        Self { disk, vault: Vault::default(), key: [42; 32], certificate: Vec::new(), time: 0, keys: 0 }
    }

    /// The same device at this moment: what is done to one is not done to the other.
    pub(crate) fn copy(&self) -> Self {
        Self { disk: Disk::new(self.disk.image()), ..self.clone() }
    }

    pub(crate) fn key(&self) -> KeyPair {
        KeyPair::from_seed(Seed::new(self.key))
    }

    pub(crate) fn boot(&mut self, boot: u8) -> Running<'_> {
        let buffer = vec![0; 32 << 10].leak();
        let mut ring =
            Ring::open_with(self.disk.clone(), [boot; 16], buffer, Options::default()).expect("a good ring");
        let (key, moment) = (self.key(), self.moment(boot));
        let found = State::decode(&self.vault.0);
        let (sealer, opened) =
            Sealer::open(found, &mut ring, &key, &mut self.vault, &moment).expect("memory does not fail");
        self.certificate = sealer.certificate().to_vec();
        Running { ring, opened, sealer, device: self, boot }
    }

    fn moment(&mut self, boot: u8) -> Moment {
        self.keys += 1;
        self.time += 60_000_000_000;
        let mut entropy = Zeroizing::new(self.key);
        entropy[..8].copy_from_slice(&self.keys.to_le_bytes());
        Moment { boot: [boot; 16], boottime: self.time, period: 60, entropy }
    }

    /// An export, and its manifest's place to go on: sequence and epoch.
    pub(crate) fn export(&self, request: Request, first_epoch: u64) -> (Vec<Vec<u8>>, u64, u64) {
        let created = Created { boot: [9; 16], boottime: 1, clock: 1_800_000_000, clock_trusted: false };
        self.export_at(request, first_epoch, created)
    }

    pub(crate) fn export_at(
        &self,
        request: Request,
        first_epoch: u64,
        created: Created,
    ) -> (Vec<Vec<u8>>, u64, u64) {
        let key = self.key();
        let (mut window, mut scratch) = (vec![0; 64 << 10], vec![0; limits::PAYLOAD_BYTES]);
        let reader = Reader::open(self.disk.clone(), &mut window).expect("a good ring");
        let policy = Policy { epoch: 1, sequence: 4, hash: [4; 32] };
        let mut exporter = Exporter::new(&key.sk, reader, request, created, "0.1.0", &mut scratch)
            .expect("a good request")
            .with_certificate(&self.certificate)
            .with_policy(policy)
            .with_first_epoch(first_epoch);
        let (mut items, mut out) = (Vec::new(), vec![0; limits::ITEM_BYTES]);
        while let Some(length) = exporter.next_item(&mut out).expect("buffers suffice") {
            items.push(out[..length].to_vec());
        }
        let manifest: Manifest<'_> = exporter.manifest();
        let epoch = manifest.sealed.map_or(first_epoch, |sealed| sealed.epoch + 1);
        (items, manifest.resume(), epoch)
    }
}

impl Running<'_> {
    pub(crate) fn append(&mut self, event: &[u8]) -> u64 {
        self.ring.append(event).expect("memory does not fail")
    }

    /// Ends the epoch.
    pub(crate) fn checkpoint(&mut self) -> u64 {
        let moment = self.device.moment(self.boot);
        self.sealer.checkpoint(&mut self.ring, &mut self.device.vault, &moment).expect("memory does not fail")
    }

    pub(crate) fn stop(mut self) {
        self.ring.seal().expect("memory does not fail");
    }
}
