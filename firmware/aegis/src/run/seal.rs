//! Sealing as the agent does it: the chain of keys, its store, and what is to be said of them.

use core::fmt;
use std::io;
use std::thread;

use aegis_cose::KeyPair;
use aegis_ring::{CheckpointError, Error, Ring};
use aegis_seal::{Moment, OpenError, Opened, SealError, Sealer, StorageKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::storage::device::{Identity, boottime};
use crate::storage::partition::{DeviceError, RingDevice};
use crate::storage::seal::{SealFile, SealStore};
use crate::tpm::found;

/// How it stands with sealing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub(crate) enum Seal {
    /// There was no checkpoint yet in this run.
    #[default]
    Starting = 0,
    /// The last checkpoint is in the ring.
    Sealed = 1,
    /// Checkpoints can't be made or stored: evidence goes on, unsealed.
    Failed = 2,
    /// Sealed, but the key of an epoch that is over could not be wiped.
    Unwiped = 3,
    /// The ring is full, and has no room for a checkpoint.
    Full = 4,
}

impl Seal {
    /// The value with this number.
    pub(super) const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Sealed,
            2 => Self::Failed,
            3 => Self::Unwiped,
            4 => Self::Full,
            _ => Self::Starting,
        }
    }

    /// Its name in status and JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Sealed => "sealed",
            Self::Failed => "failed",
            Self::Unwiped => "unwiped",
            Self::Full => "full",
        }
    }
}

/// Why there is no checkpoint.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The ring has no room for it until there is an export.
    Full,
    /// The ring's device failed. What was signed goes out with the next commit.
    Ring(Error<DeviceError>),
    /// The rest: no store, no key, no random numbers.
    Seal(Fault),
}

/// What is wrong with sealing itself.
#[derive(Debug)]
pub(super) enum Fault {
    /// The store could not be opened, or there is no device key: said when the agent started.
    Unable,
    /// The state could not be stored, or the checkpoint not signed.
    Failed(SealError<io::Error>),
    /// The kernel gave no random numbers.
    Entropy(getrandom::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unable => {
                f.write_str("no sealing state or no device key (see the log of the agent's start)")
            }
            Self::Failed(error) => error.fmt(f),
            Self::Entropy(error) => write!(f, "random numbers: {error}"),
        }
    }
}

/// The chain of keys.
enum Chain {
    Runs(Box<Sealer>),
    /// It could not be begun yet. The device's key, which certifies it, is kept until it can be.
    Waits(Box<KeyPair>),
    /// There is no device key.
    Unable,
}

/// Seals the ring of one run.
pub(super) struct Sealing {
    /// None when its file can't be opened.
    store: Option<SealStore>,
    chain: Chain,
    boot: [u8; 16],
    period: u32,
    state: Seal,
    /// What is to be said next, as a code of the event `seal`.
    news: Option<&'static str>,
}

impl Sealing {
    /// Opens the store and goes on with the chain of keys, or begins one. What can't be done is said, and tried again with
    /// the first checkpoint.
    ///
    /// In a thread of its own: the device's key is needed for this, and what is left of it on the stack goes with the thread.
    pub(super) fn open(ring: &mut Ring<'static, RingDevice>, boot: [u8; 16], period: u32) -> Self {
        let key = || Identity::open_or_create().map(Identity::into_pair);
        Self::open_with(ring, (SealFile::open(), found::storage_key()), key, boot, period)
    }

    fn open_with(
        ring: &mut Ring<'static, RingDevice>,
        (store, storage_key): (io::Result<SealFile>, Option<StorageKey>),
        key: impl FnOnce() -> io::Result<KeyPair> + Send,
        boot: [u8; 16],
        period: u32,
    ) -> Self {
        let store = store.map_err(|error| log::error!("seal: sealing state: {error}")).ok();
        let (store, found) = store.map(|file| SealStore::open(file, storage_key)).unzip();
        let (chain, state) = (Chain::Unable, Seal::Starting);
        let mut sealing = Self { store, chain, boot, period, state, news: None };
        let begin = || match key() {
            // The key is kept only for a chain that can still be begun.
            Ok(_) if sealing.store.is_none() => Err(Trouble::Seal(Fault::Unable)),
            Ok(key) => {
                sealing.chain = Chain::Waits(Box::new(key));
                sealing.begin(ring, found.flatten())
            }
            Err(error) => {
                log::error!("seal: device key: {error}");
                Err(Trouble::Seal(Fault::Unable))
            }
        };
        match thread::scope(|scope| scope.spawn(begin).join()) {
            Ok(Err(Trouble::Seal(fault))) => sealing.failed(&fault),
            Ok(Err(Trouble::Ring(error))) => log::error!("seal: {error}; will try again"),
            _ => {}
        }
        sealing
    }

    /// Goes on with the chain of keys, or begins one.
    fn begin(
        &mut self,
        ring: &mut Ring<'static, RingDevice>,
        found: Option<aegis_seal::State>,
    ) -> Result<(), Trouble> {
        let (Some(store), Chain::Waits(device)) = (&mut self.store, &self.chain) else {
            return Err(Trouble::Seal(Fault::Unable));
        };
        let moment = moment(self.boot, self.period).map_err(Trouble::Seal)?;
        let before = ring.sealing().map_or(0, |sealing| sealing.next_epoch);
        let (sealer, opened) =
            Sealer::open(found, ring, device, store, &moment).map_err(|error| match error {
                OpenError::Ring(Error::Full { .. }) => Trouble::Full,
                OpenError::Ring(error) => Trouble::Ring(error),
                OpenError::Store(error) => Trouble::Seal(Fault::Failed(SealError::Store(error))),
                OpenError::Sign(error) => Trouble::Seal(Fault::Failed(SealError::Sign(error))),
            })?;
        // The device's key is wiped here.
        self.chain = Chain::Runs(Box::new(sealer));
        match opened {
            Opened::Redone if self.epoch().saturating_sub(before) > 1 => super::console::warn(format_args!(
                "THE RING LACKS CHECKPOINTS OF EPOCHS {before} TO {}: it was put back from a copy, or its disk lost them",
                self.epoch().saturating_sub(2)
            )),
            Opened::InStep | Opened::Redone => {}
            Opened::Began => self.news = Some("began"),
            Opened::Restarted(why) => self.news = Some(why.code()),
        }
        Ok(())
    }

    /// Puts a record into the ring that was signed and did not come there, if there was no room for it: before any event that it
    /// does not cover.
    pub(super) fn catch_up(&mut self, ring: &mut Ring<'static, RingDevice>) {
        if matches!(self.chain, Chain::Waits(_)) {
            let found = self.store.as_ref().and_then(SealStore::state);
            // What can't be done is said with the next checkpoint.
            let _ = self.begin(ring, found);
        }
    }

    /// Ends the epoch. `goes_on`: another one is to follow within the period.
    pub(super) fn checkpoint(
        &mut self,
        ring: &mut Ring<'static, RingDevice>,
        goes_on: bool,
    ) -> Result<(), Trouble> {
        let done = self.try_checkpoint(ring, goes_on);
        match &done {
            Ok(()) => self.succeeded(),
            Err(Trouble::Full) => self.state = Seal::Full,
            Err(Trouble::Seal(fault)) => self.failed(fault),
            Err(Trouble::Ring(_)) => {}
        }
        done
    }

    fn try_checkpoint(&mut self, ring: &mut Ring<'static, RingDevice>, goes_on: bool) -> Result<(), Trouble> {
        if !matches!(self.chain, Chain::Runs(_)) {
            let found = self.store.as_ref().and_then(SealStore::state);
            self.begin(ring, found)?;
        }
        let (Some(store), Chain::Runs(sealer)) = (&mut self.store, &mut self.chain) else {
            return Err(Trouble::Seal(Fault::Unable));
        };
        let period = if goes_on { self.period } else { 0 };
        let moment = moment(self.boot, period).map_err(Trouble::Seal)?;
        sealer.checkpoint(ring, store, &moment).map(drop).map_err(|error| match error {
            CheckpointError::Ring(Error::Full { .. }) => Trouble::Full,
            CheckpointError::Ring(error) => Trouble::Ring(error),
            CheckpointError::Sealer(error) => Trouble::Seal(Fault::Failed(error)),
        })
    }

    fn succeeded(&mut self) {
        let unwiped = self.store.as_ref().is_some_and(SealStore::unwiped);
        let state = if unwiped { Seal::Unwiped } else { Seal::Sealed };
        if state == self.state {
            return;
        }
        match (self.state, state) {
            (_, Seal::Unwiped) => {
                self.news = Some("unwiped");
                super::console::warn(format_args!(
                    "THE KEY OF THE LAST EPOCH COULD NOT BE WIPED; will try again"
                ));
            }
            (Seal::Failed | Seal::Unwiped, _) => {
                self.news = Some("resumed");
                super::console::warn(format_args!("the ring is sealed again"));
            }
            _ => {}
        }
        self.state = state;
    }

    fn failed(&mut self, fault: &Fault) {
        if self.state != Seal::Failed {
            self.state = Seal::Failed;
            self.news = Some("failed");
            let then = match fault {
                Fault::Unable => "mend it, and start the agent again",
                Fault::Failed(_) | Fault::Entropy(_) => "will try again",
            };
            super::console::warn(format_args!("THE RING IS NOT SEALED: {fault}; events go on; {then}"));
        }
    }

    /// With a sealing state and a device key of its own.
    #[cfg(test)]
    pub(super) fn in_directory(
        ring: &mut Ring<'static, RingDevice>,
        directory: &std::path::Path,
        boot: [u8; 16],
        period: u32,
    ) -> Self {
        let key = || Ok(KeyPair::from_seed(aegis_cose::Seed::new([42; 32])));
        Self::open_with(ring, (SealFile::open_in(directory), None), key, boot, period)
    }

    /// How it stands.
    pub(super) const fn state(&self) -> Seal {
        self.state
    }

    /// The epoch that runs; 0 while there is none.
    pub(super) fn epoch(&self) -> u64 {
        match &self.chain {
            Chain::Runs(sealer) => sealer.epoch(),
            Chain::Waits(_) | Chain::Unable => 0,
        }
    }

    /// What is to be said, as a code of the event `seal`; once.
    pub(super) const fn take_news(&mut self) -> Option<&'static str> {
        self.news.take()
    }
}

/// Now, with the secret of the epoch that begins.
fn moment(boot: [u8; 16], period: u32) -> Result<Moment, Fault> {
    let mut entropy = Zeroizing::new([0; 32]);
    getrandom::fill(entropy.as_mut()).map_err(Fault::Entropy)?;
    Ok(Moment { boot, boottime: boottime(), period, entropy })
}
