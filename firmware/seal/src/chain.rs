//! The chain of sealing keys, followed from record to record.

use sha2::{Digest, Sha256};

use crate::certificate::Certificate;
use crate::checkpoint::Checkpoint;
use crate::{Hash, Id};

/// Where a chain stands: what the next checkpoint has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The device and the ring that it is of.
    pub device: Id,
    /// Ring id.
    pub ring: Id,
    /// The epoch whose checkpoint is next.
    pub next_epoch: u64,
    /// The public key that will have signed it.
    pub next_key: [u8; 32],
    /// SHA-256 of the last record.
    pub previous: Hash,
}

/// Why a checkpoint is not the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Of another device or ring.
    Foreign,
    /// Of an epoch that is sealed already.
    Past,
    /// The checkpoints from this epoch on to before its own are missing.
    Missing {
        /// The first epoch that is missing.
        from: u64,
    },
    /// By another key than the one that the record before it names.
    Key,
    /// It follows another record than the one before it.
    Previous,
}

impl core::fmt::Display for Break {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Foreign => f.write_str("of another device or ring"),
            Self::Past => f.write_str("of an epoch that was sealed before"),
            Self::Missing { from } => write!(f, "checkpoints from epoch {from} on are missing"),
            Self::Key => f.write_str("not by the key that the record before it names"),
            Self::Previous => f.write_str("follows another record than the one before it"),
        }
    }
}

impl Chain {
    /// Begins with a certificate that was verified by the device's key.
    pub fn begin(certificate: &Certificate, record: &[u8]) -> Self {
        Self {
            device: certificate.device(),
            ring: certificate.ring,
            next_epoch: certificate.epoch,
            next_key: certificate.key,
            previous: Sha256::digest(record).into(),
        }
    }

    /// Goes on behind a checkpoint that was verified otherwise, or that is where the files at hand begin.
    pub fn behind(checkpoint: &Checkpoint, record: &[u8]) -> Self {
        Self {
            device: checkpoint.device,
            ring: checkpoint.ring,
            next_epoch: checkpoint.epoch.saturating_add(1),
            next_key: checkpoint.next_key,
            previous: Sha256::digest(record).into(),
        }
    }

    /// Takes the next checkpoint, which [`Checkpoint::open`] found whole.
    ///
    /// # Errors
    /// See [`Break`]; the chain stays where it is.
    pub fn follow(&mut self, checkpoint: &Checkpoint, record: &[u8]) -> Result<(), Break> {
        if (checkpoint.device, checkpoint.ring) != (self.device, self.ring) {
            return Err(Break::Foreign);
        }
        if checkpoint.epoch < self.next_epoch {
            return Err(Break::Past);
        }
        if checkpoint.epoch > self.next_epoch {
            return Err(Break::Missing { from: self.next_epoch });
        }
        if checkpoint.key != self.next_key {
            return Err(Break::Key);
        }
        if checkpoint.previous != self.previous {
            return Err(Break::Previous);
        }
        *self = Self::behind(checkpoint, record);
        Ok(())
    }
}
