//! What is remembered of workloads, in two copies on own storage. A write goes to the one of lower generation, and that is the
//! commit; then to the other one too, so that what befalls one copy later takes nothing back.
//!
//! Where a TPM counts the trust state both are vouched for under the storage key, and the trust state says which generation was the last:
//! what is older, or nobody's, is seen. It is counted after it is written, so that a cut leaves what is newer, and never what is older.

use std::io;

use aegis_bundle::limits::WORKLOAD_STATE_BYTES;
use aegis_bundle::{Rank, Remembered, WorkloadState};
use aegis_seal::StorageKey;

use super::path;
use super::store;
use crate::storage::disk::{self, Disk};
use crate::storage::trust;

const COPIES: [&str; 2] = ["workloads.a", "workloads.b"];

/// What was accepted before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    pub(crate) state: WorkloadState,
    /// There were copies, and none was good: what was accepted is not known.
    pub(crate) damaged: bool,
    /// What was counted last is not here: they are older, not this device's, or gone. Nobody decides by them.
    pub(crate) rolled_back: bool,
    /// They are not what was counted last, and are to be.
    uncounted: bool,
}

/// Longest copy with what vouches for it.
const BYTES: u64 = WORKLOAD_STATE_BYTES as u64 + size_of::<[u8; 32]>() as u64;

impl Books {
    /// Reads both copies.
    ///
    /// # Errors
    /// Own storage's, where no copy is good.
    pub(crate) fn read(own: &impl Disk) -> io::Result<Self> {
        let (mut best, mut damaged, mut failed) = (None::<WorkloadState>, false, None);
        let counted = trust::counted_workloads(own)?;
        let (least, key) = (counted.unwrap_or(0), own.key());
        for copy in COPIES {
            match disk::read(own, copy, BYTES) {
                Ok(None) => {}
                Ok(Some(bytes)) => match open(&bytes, key.as_ref()) {
                    Some((state, vouched)) if least > 0 && !(vouched && state.generation >= least) => {}
                    Some((state, _))
                        if best.as_ref().is_none_or(|best| best.generation < state.generation) =>
                    {
                        best = Some(state);
                    }
                    Some(_) => {}
                    None => damaged = true,
                },
                // Too long, or no regular file: not a copy.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput) =>
                {
                    damaged = true;
                }
                Err(error) => failed = Some(error),
            }
        }
        match (best, failed) {
            (Some(state), _) => {
                let uncounted = counted.is_some_and(|counted| counted != state.generation) && !own.is_held();
                Ok(Self { state, uncounted, ..Self::default() })
            }
            (None, Some(error)) => Err(error),
            (None, None) => Ok(Self { damaged, rolled_back: least > 0, ..Self::default() }),
        }
    }

    /// Makes this durable. On an error what was before is in place, or this is.
    pub(crate) fn write(&mut self, own: &impl Disk) -> io::Result<()> {
        self.state.generation = self.state.generation.saturating_add(1);
        let mut bytes = [0; WORKLOAD_STATE_BYTES];
        let length = self.state.encode(&mut bytes).ok_or(io::ErrorKind::FileTooLarge)?;
        let mut bytes = bytes[..length].to_vec();
        if let Some(key) = own.key() {
            bytes.extend(key.vouch(&bytes));
        }
        let first = (self.state.generation % 2) as usize;
        disk::replace(own, COPIES[first], &bytes)?;
        (self.damaged, self.rolled_back, self.uncounted) = (false, false, false);
        if let Err(error) = disk::replace(own, COPIES[1 - first], &bytes) {
            log::warn!("own storage: {} is a copy behind: {error}", COPIES[1 - first]);
        }
        // Not before both copies have it: of two that are left, none is to be an older one.
        if let Err(error) = trust::count_workloads(own, self.state.generation) {
            self.uncounted = true;
            log::error!("{}: not counted, the next start does: {error}", super::KEPT);
        }
        Ok(())
    }

    /// Remembers this of a name, durably. `Ok(false)`: there is no room for one more name.
    pub(crate) fn remember(&mut self, own: &impl Disk, one: Remembered, epoch: u64) -> io::Result<bool> {
        let before = self.state.names.clone();
        if !self.state.remember(one, epoch) {
            return Ok(false);
        }
        if let Err(error) = self.write(own) {
            self.state.names = before;
            return Err(error);
        }
        Ok(true)
    }

    /// What a power cut left open is closed: what is in its place counts. Returns the names that it was so with.
    pub(crate) fn settle(&mut self, own: &impl Disk, files: &impl Disk) -> io::Result<Vec<String>> {
        let mut settled = Vec::new();
        for one in &mut self.state.names {
            let Some(next) = one.next else { continue };
            match store::standing(files, &path(&one.name))? {
                Some(manifest) if manifest == next.manifest => (one.accepted, one.gone) = (next, false),
                // It did not come so far.
                Some(manifest) if manifest == one.accepted.manifest && one.accepted != Rank::default() => {}
                // Taken away, or never there; another one that is there nobody decided about.
                other => (one.accepted, one.gone) = (next, other.is_none()),
            }
            one.next = None;
            settled.push(one.name.to_string());
        }
        if !settled.is_empty() || self.uncounted {
            self.write(own)?;
        }
        Ok(settled)
    }
}

/// What a copy says, and whether somebody vouches for it who had this device's storage key.
#[inline(never)]
fn open(bytes: &[u8], key: Option<&StorageKey>) -> Option<(WorkloadState, bool)> {
    if let Some((front, by)) = bytes.split_last_chunk()
        && let Some(state) = WorkloadState::decode(front)
    {
        return Some((state, key.is_some_and(|key| key.is_vouched(front, by))));
    }
    WorkloadState::decode(bytes).map(|state| (state, false))
}
