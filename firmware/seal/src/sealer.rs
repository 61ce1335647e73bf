//! The device's side: one secret, one record ahead of the ring at most.

use aegis_cose::{CoseError, KeyPair, Seed, device_id};
use aegis_ring::{CheckpointError, Device, Error, Ring, Sealing, Summary};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::Id;
use crate::certificate::Certificate;
use crate::checkpoint::{Checkpoint, Open};
use crate::limits::RECORD_BYTES;
use crate::rest::StorageKey;
use crate::state::{RecordBytes, State, StoredSeed};

/// Where the state is kept.
pub trait Store {
    /// Why it can't be.
    type Error;

    /// Replaces the state, in one step that is durable when this returns: after a cut at any time the old copy is there or
    /// the new one. The old one, which has a key that must not live on, is to be wiped once the new one is durable.
    fn replace(&mut self, copy: &[u8]) -> Result<(), Self::Error>;

    /// What the secret in a copy is to be locked under; `None`: it is stored as it is.
    fn key(&self) -> Option<&StorageKey> {
        None
    }
}

/// One copy of a state, as this store is to have it.
fn put<S: Store>(store: &mut S, state: &State) -> Result<(), S::Error> {
    let locked = store.key().map(|key| state.lock(key));
    store.replace(&locked.as_ref().unwrap_or(state).encode())
}

/// When it is, and what the caller adds that can't be known.
pub struct Moment {
    /// The boot.
    pub boot: Id,
    /// `CLOCK_BOOTTIME`, ns.
    pub boottime: u64,
    /// The longest that an epoch is to last while the agent runs, seconds; 0: no promise.
    pub period: u32,
    /// 32 random bytes, new at every call: the secret key of the epoch that begins.
    pub entropy: Zeroizing<[u8; 32]>,
}

/// How a sealer began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// State and ring agree.
    InStep,
    /// The last record had not reached the ring; it is pending there now.
    Redone,
    /// The ring was never sealed: a new chain begins with epoch 0.
    Began,
    /// The chain can't be gone on with: a new one begins, and the office will see that.
    Restarted(Why),
}

/// Why a chain can't be gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The ring is sealed, and there is no state for it, or one whose secret stays locked.
    Lost,
    /// The ring is ahead of the state: one of them was put back from a copy.
    RolledBack,
    /// The ring has another record than the state for the same epoch.
    Diverged,
}

impl Why {
    /// The stable reason code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Lost => "seal-state-lost",
            Self::RolledBack => "seal-state-rolled-back",
            Self::Diverged => "seal-state-diverged",
        }
    }
}

/// Why there is no sealer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError<E, S> {
    /// The ring failed.
    Ring(Error<E>),
    /// The state could not be stored.
    Store(S),
    /// The certificate could not be signed.
    Sign(CoseError),
}

impl<E: core::fmt::Display, S: core::fmt::Display> core::fmt::Display for OpenError<E, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Ring(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Sign(error) => error.fmt(f),
        }
    }
}

/// Seals a ring, epoch by epoch. Holds the secret key of the epoch that runs, and no other.
#[derive(Debug)]
pub struct Sealer {
    state: State,
}

impl Sealer {
    /// Goes on where `found` and the ring stand, or begins a chain certified by the device's key, which is needed for
    /// nothing else. What is missing in the ring is pending there afterwards: commit it.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing is pending in the ring after [`OpenError::Store`].
    pub fn open<D: Device, S: Store>(
        found: Option<State>,
        ring: &mut Ring<'_, D>,
        device: &KeyPair,
        store: &mut S,
        moment: &Moment,
    ) -> Result<(Self, Opened), OpenError<D::Error, S::Error>> {
        let sealing = ring.sealing();
        let id = device_id(&device.pk);
        let generation = found.as_ref().map_or(0, State::generation);
        // What is locked is as good as lost: its key is another TPM's, or another start's.
        let ours = found.filter(|state| {
            state.ring == ring.geometry().ring_id && state.device == id && !state.is_locked()
        });
        let opened = match (&ours, sealing) {
            (None, None) => Opened::Began,
            (None, Some(_)) => Opened::Restarted(Why::Lost),
            (Some(state), sealing) => compare(state, sealing),
        };
        if let Some(state) = ours
            && matches!(opened, Opened::InStep | Opened::Redone)
        {
            if opened == Opened::Redone {
                ring.put_record(&state.record()).map_err(OpenError::Ring)?;
            }
            return Ok((Self { state }, opened));
        }
        let state = begin(ring, device, sealing, generation, moment).map_err(OpenError::Sign)?;
        put(store, &state).map_err(OpenError::Store)?;
        ring.put_record(&state.record()).map_err(OpenError::Ring)?;
        Ok((Self { state }, opened))
    }

    /// Ends the epoch: flushes the ring, signs where it stands, stores the key of the next epoch in place of this one's, and
    /// makes the checkpoint durable in the ring. Returns the epoch that begins.
    ///
    /// # Errors
    /// [`CheckpointError::Sealer`] with the store's error: the epoch goes on. [`CheckpointError::Ring`]: see
    /// [`Ring::checkpoint`].
    pub fn checkpoint<D: Device, S: Store>(
        &mut self,
        ring: &mut Ring<'_, D>,
        store: &mut S,
        moment: &Moment,
    ) -> Result<u64, CheckpointError<D::Error, SealError<S::Error>>> {
        // A checkpoint that was signed and did not come into the ring: no other one may follow before it has.
        let last = self.state.record();
        if ring.sealing() != Some(last.sealing()) {
            ring.put_record(&last)?;
        }
        ring.checkpoint(&mut Pen { sealer: self, store, moment })
    }

    /// The epoch that runs.
    pub const fn epoch(&self) -> u64 {
        self.state.next_epoch
    }

    /// The certificate of the chain's first key: what every export begins with.
    pub fn certificate(&self) -> &[u8] {
        self.state.certificate()
    }
}

/// Why a checkpoint was not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError<S> {
    /// The state could not be stored.
    Store(S),
    /// Signing failed: the record has no room.
    Sign(CoseError),
    /// Epoch numbers are used up.
    Exhausted,
}

impl<S: core::fmt::Display> core::fmt::Display for SealError<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Store(error) => write!(f, "sealing state: {error}"),
            Self::Sign(error) => error.fmt(f),
            Self::Exhausted => f.write_str("epoch numbers are used up"),
        }
    }
}

/// How a state stands to the ring's last record.
fn compare(state: &State, sealing: Option<Sealing>) -> Opened {
    let record = state.record();
    let ours = record.sealing();
    let Some(theirs) = sealing else { return Opened::Redone };
    if theirs == ours {
        Opened::InStep
    } else if theirs.next_epoch < ours.next_epoch
        || (theirs.next_epoch == ours.next_epoch && record.certificate)
    {
        // A certificate follows the last checkpoint of the chain before it, and has the same epoch next.
        Opened::Redone
    } else if theirs.next_epoch > ours.next_epoch {
        Opened::Restarted(Why::RolledBack)
    } else {
        Opened::Restarted(Why::Diverged)
    }
}

/// A new chain.
fn begin<D: Device>(
    ring: &Ring<'_, D>,
    device: &KeyPair,
    sealing: Option<Sealing>,
    generation: u64,
    moment: &Moment,
) -> Result<State, CoseError> {
    let summary = ring.summary();
    let epoch = sealing.map_or(0, |sealing| sealing.next_epoch);
    let certificate = Certificate {
        device_key: *device.pk,
        ring: summary.ring_id,
        epoch,
        key: public(&moment.entropy)?,
        previous: sealing.map(|sealing| sealing.hash),
        boot: moment.boot,
        boottime: moment.boottime,
    };
    let mut record = [0; RECORD_BYTES];
    let length = certificate.sign(device, &mut record)?;
    Ok(State {
        device: certificate.device(),
        ring: summary.ring_id,
        generation: generation.saturating_add(1),
        next_epoch: epoch,
        seed: StoredSeed::Open(moment.entropy.clone()),
        certificate: RecordBytes::from_slice(&record[..length]).map_err(|_| CoseError::NoRoom)?,
        checkpoint: None,
        segment: summary.segment,
    })
}

/// The public key of a secret. All zeros is none: a source of random numbers that gives nothing.
fn public(entropy: &[u8; 32]) -> Result<[u8; 32], CoseError> {
    if *entropy == [0; 32] {
        return Err(CoseError::BadKey);
    }
    Ok(*KeyPair::from_seed(Seed::new(*entropy)).pk)
}

/// A sealer with its store in hand.
struct Pen<'a, S> {
    sealer: &'a mut Sealer,
    store: &'a mut S,
    moment: &'a Moment,
}

impl<S: Store> aegis_ring::Sealer for Pen<'_, S> {
    type Error = SealError<S::Error>;

    fn seal(&mut self, summary: &Summary, out: &mut [u8]) -> Result<(u64, usize), Self::Error> {
        let state = &self.sealer.state;
        let next_epoch = state
            .next_epoch
            .checked_add(1)
            .filter(|epoch| *epoch <= aegis_ring::limits::NUMBER_MAX)
            .ok_or(SealError::Exhausted)?;
        // One that is locked is never sealed with: see `open`.
        let key = state.key().ok_or(SealError::Sign(CoseError::BadKey))?;
        let checkpoint = Checkpoint {
            device: state.device,
            ring: state.ring,
            boot: self.moment.boot,
            epoch: state.next_epoch,
            key: *key.pk,
            next_key: public(&self.moment.entropy).map_err(SealError::Sign)?,
            previous: Sha256::digest(state.record().bytes).into(),
            sequence: summary.sequence,
            head: summary.head,
            open: Open { segment: summary.segment, first: summary.segment_first, leaves: summary.open },
            closed: summary.closed,
            retained: summary.retained,
            books: summary.books,
            boottime: self.moment.boottime,
            period: self.moment.period,
        };
        let length = checkpoint.sign(&key, out).map_err(SealError::Sign)?;
        let record =
            RecordBytes::from_slice(&out[..length]).map_err(|_| SealError::Sign(CoseError::NoRoom))?;
        let next = State {
            generation: state.generation.saturating_add(1),
            next_epoch,
            seed: StoredSeed::Open(self.moment.entropy.clone()),
            checkpoint: Some(record),
            segment: summary.segment,
            ..state.clone()
        };
        put(self.store, &next).map_err(SealError::Store)?;
        // The old state, and the key in it, is wiped here.
        self.sealer.state = next;
        Ok((next_epoch, length))
    }
}
