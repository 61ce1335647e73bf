//! Signed checkpoints of a ring, by keys that evolve one way.
//!
//! Time is cut into epochs. At the end of epoch `e` its key signs a [`Checkpoint`]: where the chain of events stands,
//! the Merkle roots of the segments, what was overwritten or cut off, and the public key of epoch `e + 1`. Then the
//! secret key of `e` is gone. Who takes the device over in epoch `e` can forge nothing that was sealed before it.
//!
//! ```text
//! device key ──signs──> certificate: public key of epoch 0
//!                       key 0 ──signs──> checkpoint 0: public key 1, hash of the certificate
//!                                        key 1 ──signs──> checkpoint 1: public key 2, hash of checkpoint 0 …
//! ```
//!
//! On the device a [`Sealer`] keeps the one secret there is and drives the [`Ring`](aegis_ring::Ring); at the office a
//! [`Chain`] follows the checkpoints. `docs/ring.md` says what this proves and what it does not,
//! `docs/formats/export.cddl` has the formats.
//!
//! # No cut leaves two checkpoints for one epoch, or none
//! ```text
//! 1  the ring is flushed                        what will be signed is durable
//! 2  checkpoint e is signed, in memory
//! 3  state := key e+1 and checkpoint e          one durable step: key e is gone, and checkpoint e is the only one it signed
//! 4  checkpoint e goes into the ring, flushed
//! ```
//! A cut before 3: nothing was signed that anybody could see; epoch `e` goes on. A cut between 3 and 4: the next
//! [`Sealer::open`] finds the checkpoint in the state and not in the ring, and does 4 again. A state older than the ring
//! (put back from a backup) signs nothing: a new certificate, by the device's key, begins a new chain, and the office sees it.
//!
//! A caller that has a [`StorageKey`] keeps the secret in the state encrypted under it.
//!
//! No clock, no file, no random numbers, no allocation: the caller hands them in.
#![no_std]
#![forbid(unsafe_code)]

mod cbor;
mod certificate;
mod chain;
mod checkpoint;
mod error;
pub mod limits;
mod rest;
mod sealer;
mod state;

pub use certificate::{CERTIFICATE, Certificate};
pub use chain::{Break, Chain};
pub use checkpoint::{CHECKPOINT, Checkpoint, Open};
pub use error::RecordError;
pub use rest::{Locked, Secret, StorageKey};
pub use sealer::{Moment, OpenError, Opened, SealError, Sealer, Store, Why};
pub use state::{State, StateCopy};

/// SHA-256 digest.
pub type Hash = [u8; 32];
/// Device, ring or boot id.
pub type Id = [u8; 16];
