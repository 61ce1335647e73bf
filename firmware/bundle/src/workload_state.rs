//! What a device remembers of workloads, by name, against rollback: also of one that is gone.
//!
//! One copy is, as of the trust state, a CBOR array of two: the state as a byte string (`workload-state` in
//! `docs/formats/bundle.cddl`) and the CRC32C of that. It is written around every change of a workload's file: what is about
//! to be in its place is remembered before it is. So whatever a power cut leaves is one of two that were decided about.

use aegis_policy::names::is_kept_workload_name;
use heapless::{String, Vec};
use minicbor::Encoder;
use minicbor::encode::Write;

use crate::cbor::{Canonical, Reader, Unread, Written};
use crate::limits::{WORKLOAD_NAME_BYTES, WORKLOAD_NAMES, WORKLOAD_STATE_BYTES};
use crate::state::CRC;

const FORMAT: u64 = 1;

/// Which one of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rank {
    /// Epoch; 0 for none.
    pub epoch: u64,
    /// Sequence; 0 for none.
    pub sequence: u64,
    /// SHA-256 of its manifest.
    pub manifest: [u8; 32],
}

impl Rank {
    /// Epoch and sequence.
    pub const fn order(&self) -> (u64, u64) {
        (self.epoch, self.sequence)
    }
}

/// What is remembered of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The name.
    pub name: String<WORKLOAD_NAME_BYTES>,
    /// The highest that was accepted; [`Rank::default`] while the first one is being put in its place.
    pub accepted: Rank,
    /// One that is about to take its place, or take it away.
    pub next: Option<Rank>,
    /// It was taken away: by a signed removal, or a person.
    pub gone: bool,
}

impl Remembered {
    /// The highest that was ever about to be accepted: nothing below is.
    pub fn highest(&self) -> Rank {
        self.next.unwrap_or(self.accepted)
    }
}

/// What is remembered of all, by name, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadState {
    /// Counts writes; of two good copies the higher one counts.
    pub generation: u64,
    /// Strictly ascending by name.
    pub names: Vec<Remembered, WORKLOAD_NAMES>,
}

impl WorkloadState {
    /// What is remembered of this name.
    pub fn of(&self, name: &str) -> Option<&Remembered> {
        self.names.iter().find(|one| one.name == name)
    }

    /// Puts what is remembered of a name in place of what was. False: there is no room for one more name.
    ///
    /// Of names that are gone those go first that an epoch below `epoch`, the root's, leaves nothing to fear of.
    #[must_use]
    pub fn remember(&mut self, one: Remembered, epoch: u64) -> bool {
        if let Some(place) = self.names.iter_mut().find(|other| other.name == one.name) {
            *place = one;
            return true;
        }
        if self.names.is_full() {
            self.names.retain(|other| !(other.gone && other.next.is_none() && other.accepted.epoch < epoch));
        }
        let at = self.names.iter().take_while(|other| other.name < one.name).count();
        self.names.insert(at, one).is_ok()
    }

    /// One copy, at the front of `out`; `None` when there is no room.
    pub fn encode(&self, out: &mut [u8; WORKLOAD_STATE_BYTES]) -> Option<usize> {
        let mut inner = [0; WORKLOAD_STATE_BYTES];
        let length = self.write_to(&mut inner)?;
        Copied(&inner[..length]).write_to(out)
    }

    /// Reads one copy; `None` when it is torn, damaged or not a copy at all.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut outer = Reader::new(bytes);
        let inner = (outer.array(2).ok()? == 2).then(|| outer.bytes(WORKLOAD_STATE_BYTES).ok())??;
        let state = read(inner).ok()?;
        (Copied(inner).is_exactly(bytes) && state.is_exactly(inner) && state.is_possible()).then_some(state)
    }

    fn is_possible(&self) -> bool {
        self.names.is_sorted_by(|a, b| a.name < b.name)
            && self.names.iter().all(|one| is_kept_workload_name(&one.name))
    }
}

fn read(bytes: &[u8]) -> Result<WorkloadState, Unread> {
    let mut input = Reader::new(bytes);
    if input.array(3)? != 3 || input.u64()? != FORMAT {
        return Err(Unread::Value);
    }
    let mut state = WorkloadState { generation: input.u64()?, ..WorkloadState::default() };
    for _ in 0..input.array(WORKLOAD_NAMES)? {
        if input.array(4)? != 4 {
            return Err(Unread::Value);
        }
        let name = String::try_from(input.str(WORKLOAD_NAME_BYTES)?).map_err(|_| Unread::Value)?;
        let accepted = read_rank(&mut input)?;
        let next = if input.null()? { None } else { Some(read_rank(&mut input)?) };
        let gone = input.bool()?;
        state.names.push(Remembered { name, accepted, next, gone }).map_err(|_| Unread::Value)?;
    }
    Ok(state)
}

fn read_rank(input: &mut Reader<'_>) -> Result<Rank, Unread> {
    if input.array(3)? != 3 {
        return Err(Unread::Value);
    }
    Ok(Rank { epoch: input.u64()?, sequence: input.u64()?, manifest: input.fixed()? })
}

/// The state's bytes with their checksum around them.
struct Copied<'a>(&'a [u8]);

impl Canonical for Copied<'_> {
    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        out.array(2)?.bytes(self.0)?.u32(CRC.checksum(self.0))?;
        Ok(())
    }
}

impl Canonical for WorkloadState {
    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        out.array(3)?.u64(FORMAT)?.u64(self.generation)?.array(self.names.len() as u64)?;
        for Remembered { name, accepted, next, gone } in &self.names {
            out.array(4)?.str(name)?;
            accepted.write(out)?;
            match next {
                Some(next) => next.write(out)?,
                None => drop(out.null()?),
            }
            out.bool(*gone)?;
        }
        Ok(())
    }
}

impl Canonical for Rank {
    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        out.array(3)?.u64(self.epoch)?.u64(self.sequence)?.bytes(&self.manifest)?;
        Ok(())
    }
}
