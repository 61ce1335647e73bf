//! What a device remembers of what it accepted, against rollback and replay.
//!
//! One copy is a CBOR array of two: the state as a byte string (`state` in `docs/formats/bundle.cddl`) and the CRC32C of
//! that byte string. There are two copies; a write replaces the one with the lower generation, so a torn write leaves
//! the other.

use minicbor::Encoder;
use minicbor::encode::Write;

use crate::cbor::{Canonical, Reader, Unread, Written};
use crate::image_state::ImageState;
use crate::limits::STATE_BYTES;

/// Of a state that no counter vouches for, and of one that has a counter's value. What was not counted is read by agents that know
/// of no counter.
const FORMAT: u64 = 2;
const FORMAT_COUNTED: u64 = 3;
/// Of one that says which of the books of workloads is the last, besides.
const FORMAT_WORKLOADS: u64 = 4;
/// CRC32C (Castagnoli).
pub(crate) const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// Keys of the map (`docs/formats/bundle.cddl`).
mod key {
    pub(super) const FORMAT: u8 = 1;
    pub(super) const GENERATION: u8 = 2;
    pub(super) const EPOCH: u8 = 3;
    pub(super) const SEQUENCE: u8 = 4;
    pub(super) const TIME: u8 = 5;
    pub(super) const MANIFEST: u8 = 6;
    pub(super) const BUNDLE: u8 = 7;
    pub(super) const PREVIOUS: u8 = 8;
    pub(super) const TRIED: u8 = 9;
    pub(super) const TRIES: u8 = 10;
    pub(super) const ROOT: u8 = 11;
    pub(super) const TOKEN: u8 = 12;
    pub(super) const TRIED_EPOCH: u8 = 13;
    pub(super) const TRIED_SEQUENCE: u8 = 14;
    pub(super) const LEFT: u8 = 15;
    pub(super) const IMAGE: u8 = 16;
    pub(super) const COUNTER: u8 = 17;
    pub(super) const WORKLOADS: u8 = 18;
}

/// What a device remembers. The default is a new device's: it accepts any sequence of its root's epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrustState {
    /// Counts writes; the next one has one more.
    pub generation: u64,
    /// Epoch of the highest bundle that was accepted; 0 on a new device.
    pub epoch: u64,
    /// Its sequence; 0 on a new device.
    pub sequence: u64,
    /// The highest time that a signature vouched for, Unix seconds: it is at least that late.
    pub time: u64,
    /// SHA-256 of that bundle's manifest: what tells a replay from something else under the same sequence.
    pub manifest: [u8; 32],
    /// SHA-256 of the bundle file in force: of the highest one, or after a rollback of the one before. Zeros: the baseline.
    pub bundle: [u8; 32],
    /// SHA-256 of the bundle file that was in force before; zeros when there is none to roll back to.
    pub previous: [u8; 32],
    /// SHA-256 of the manifest that is on trial, or was last and failed; zeros for none.
    pub tried: [u8; 32],
    /// How many trials failed since one succeeded, or since something newer was tried.
    pub tries: u8,
    /// Epoch of the newest bundle that was tried since one succeeded.
    pub tried_epoch: u64,
    /// Its sequence.
    pub tried_sequence: u64,
    /// SHA-256 of the manifest that a person rolled back from; zeros for none.
    pub left: [u8; 32],
    /// Highest version of root metadata that was accepted; 0 when it is still the image's.
    pub root_version: u64,
    /// Highest sequence of a break-glass token that was accepted; 0 for none.
    pub token_sequence: u64,
    /// Of images of the system.
    pub image: ImageState,
    /// Value of the TPM's counter that it was written for; 0: it was not counted.
    pub counter: u64,
    /// Generation of what is remembered of workloads ([`crate::WorkloadState`]): none below it is the last. 0, and of a state that was
    /// not counted: nothing is known of it.
    pub workloads: u64,
}

/// One copy of a [`TrustState`], to be written whole.
pub type StateCopy = heapless::Vec<u8, STATE_BYTES>;

impl TrustState {
    /// One copy, to be written whole.
    pub fn encode(&self) -> StateCopy {
        let mut out = StateCopy::from_array([0; STATE_BYTES]);
        // STATE_BYTES hold the longest state: a test has it. An empty copy would be none, never a wrong one.
        let length = Copied(*self).write_to(&mut out).unwrap_or_default();
        out.truncate(length);
        out
    }

    /// Reads one copy; `None` when it is torn, damaged or not a copy at all.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let copy = read(bytes).ok()?;
        // Lengths, order, format and checksum are all held by writing it again.
        Copied(copy).is_exactly(bytes).then_some(copy)
    }

    /// The state that two copies hold: the good one with the higher generation; `None` when neither is good. The writer
    /// overwrites the *other* copy, so a torn write leaves the older one.
    pub fn pick(a: &[u8], b: &[u8]) -> Option<Self> {
        Self::newer([Self::decode(a), Self::decode(b)])
    }

    /// The one of these with the higher generation.
    pub fn newer(states: [Option<Self>; 2]) -> Option<Self> {
        // Of equal generations the newer bundle: fail towards refusing.
        let rank = |state: &Self| {
            let image = (state.image.epoch, state.image.sequence);
            (state.generation, state.epoch, state.sequence, state.root_version, state.token_sequence, image)
        };
        states.into_iter().flatten().max_by_key(rank)
    }

    /// This state with another write to it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self { generation: self.generation.saturating_add(1), ..self }
    }

    /// True when a bundle with this manifest is not to be tried again without a person who insists: a person left it, or
    /// trials failed as often as may be and nothing newer came.
    pub fn holds_back(&self, manifest: &[u8; 32], epoch: u64, sequence: u64) -> bool {
        let newer = (epoch, sequence) > (self.tried_epoch, self.tried_sequence);
        (self.left == *manifest && self.left != [0; 32]) || (self.tries >= crate::limits::TRIES && !newer)
    }

    /// This state with one more trial, of a bundle with this manifest. Several bundles that fail share one count, so that
    /// they can't take turns.
    #[must_use]
    pub fn trying(self, manifest: [u8; 32], epoch: u64, sequence: u64) -> Self {
        let newest = (self.tried_epoch, self.tried_sequence);
        let newer = (epoch, sequence) > newest;
        let tries = if newer { 1 } else { self.tries.saturating_add(1) };
        let (tried_epoch, tried_sequence) = newest.max((epoch, sequence));
        Self { tried: manifest, tries, tried_epoch, tried_sequence, ..self }
    }
}

fn read(bytes: &[u8]) -> Result<TrustState, Unread> {
    let mut outer = Reader::new(bytes);
    if outer.array(2)? != 2 {
        return Err(Unread::Value);
    }
    let mut input = Reader::new(outer.bytes(STATE_BYTES)?);
    let entries = input.map_of_any()?;
    let (counted, with_workloads) = match (entries, input.u64_at(key::FORMAT)?) {
        (16, FORMAT) => (false, false),
        (17, FORMAT_COUNTED) => (true, false),
        (18, FORMAT_WORKLOADS) => (true, true),
        _ => return Err(Unread::Value),
    };
    let generation = input.u64_at(key::GENERATION)?;
    let epoch = input.u64_at(key::EPOCH)?;
    let sequence = input.u64_at(key::SEQUENCE)?;
    let time = input.u64_at(key::TIME)?;
    let mut hash = |key| {
        input.key(key)?;
        input.fixed()
    };
    let (manifest, bundle) = (hash(key::MANIFEST)?, hash(key::BUNDLE)?);
    let (previous, tried) = (hash(key::PREVIOUS)?, hash(key::TRIED)?);
    let tries = input.u8_at(key::TRIES)?;
    let root_version = input.u64_at(key::ROOT)?;
    let token_sequence = input.u64_at(key::TOKEN)?;
    let tried_epoch = input.u64_at(key::TRIED_EPOCH)?;
    let tried_sequence = input.u64_at(key::TRIED_SEQUENCE)?;
    input.key(key::LEFT)?;
    let left = input.fixed()?;
    input.key(key::IMAGE)?;
    let image = ImageState::read(&mut input)?;
    let counter = if counted { input.u64_at(key::COUNTER)? } else { 0 };
    let workloads = if with_workloads { input.u64_at(key::WORKLOADS)? } else { 0 };
    Ok(TrustState {
        generation,
        epoch,
        sequence,
        time,
        manifest,
        bundle,
        previous,
        tried,
        tries,
        tried_epoch,
        tried_sequence,
        left,
        root_version,
        token_sequence,
        image,
        counter,
        workloads,
    })
}

/// The state with its checksum around it.
struct Copied(TrustState);

impl Canonical for Copied {
    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        let mut inner = [0; STATE_BYTES];
        let length = self.0.write_to(&mut inner).unwrap_or_default();
        out.array(2)?.bytes(&inner[..length])?.u32(CRC.checksum(&inner[..length]))?;
        Ok(())
    }
}

impl Canonical for TrustState {
    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        let counted = self.counter > 0;
        let with_workloads = counted && self.workloads > 0;
        let (entries, format) = match (counted, with_workloads) {
            (_, true) => (18, FORMAT_WORKLOADS),
            (true, false) => (17, FORMAT_COUNTED),
            (false, false) => (16, FORMAT),
        };
        out.map(entries)?.u8(key::FORMAT)?.u64(format)?;
        out.u8(key::GENERATION)?.u64(self.generation)?;
        out.u8(key::EPOCH)?.u64(self.epoch)?;
        out.u8(key::SEQUENCE)?.u64(self.sequence)?;
        out.u8(key::TIME)?.u64(self.time)?;
        out.u8(key::MANIFEST)?.bytes(&self.manifest)?;
        out.u8(key::BUNDLE)?.bytes(&self.bundle)?;
        out.u8(key::PREVIOUS)?.bytes(&self.previous)?;
        out.u8(key::TRIED)?.bytes(&self.tried)?;
        out.u8(key::TRIES)?.u8(self.tries)?;
        out.u8(key::ROOT)?.u64(self.root_version)?;
        out.u8(key::TOKEN)?.u64(self.token_sequence)?;
        out.u8(key::TRIED_EPOCH)?.u64(self.tried_epoch)?;
        out.u8(key::TRIED_SEQUENCE)?.u64(self.tried_sequence)?;
        out.u8(key::LEFT)?.bytes(&self.left)?;
        out.u8(key::IMAGE)?;
        self.image.write(out)?;
        if counted {
            out.u8(key::COUNTER)?.u64(self.counter)?;
        }
        if with_workloads {
            out.u8(key::WORKLOADS)?.u64(self.workloads)?;
        }
        Ok(())
    }
}
