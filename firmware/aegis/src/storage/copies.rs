//! The two copies of the trust state. A write goes to the older one, and that is the commit; then to the other one too, so
//! that what befalls one copy later takes nothing back.

use std::io;

use aegis_bundle::{TrustState, limits as bounds};
use aegis_seal::StorageKey;

use super::disk::{self, Disk, Pending};

/// What stands behind a copy that is vouched for: HMAC-SHA-256 of it ([`StorageKey::vouch`]).
const VOUCHER_BYTES: usize = size_of::<[u8; 32]>();
const COPIES: [&str; 2] = ["trust.a", "trust.b"];

/// What was accepted before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Copies {
    /// The newest good copy; a new device's when there is none.
    pub(super) state: TrustState,
    /// There were copies, and none was good.
    pub(super) damaged: bool,
    /// It is vouched for, by who had this device's storage key.
    pub(super) vouched: bool,
    /// Which copy the next write replaces.
    next: usize,
}

/// A trust state that is written and not yet in place.
#[must_use = "a commit that is not published is none"]
pub(crate) struct Commit {
    pending: Pending,
    pub(super) state: TrustState,
    bytes: Vec<u8>,
    vouched: bool,
    copy: usize,
    /// The TPM is to count it.
    counts: bool,
    /// Somebody vouched for the device.
    releases: bool,
}

impl Copies {
    /// Reads both copies. A copy that can't be read is as good as a damaged one, as long as the other is good: that is
    /// what two are for.
    pub(super) fn read(disk: &impl Disk) -> io::Result<Self> {
        let read = |name: &str| match disk::read(disk, name, (bounds::STATE_BYTES + VOUCHER_BYTES) as u64) {
            Ok(bytes) => Ok(bytes.unwrap_or_default()),
            // Too long, or no regular file: not a copy.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput) =>
            {
                Ok(vec![0])
            }
            Err(error) => Err(error),
        };
        let (copies, unreadable) = match (read(COPIES[0]), read(COPIES[1])) {
            (Ok(a), Ok(b)) => ([a, b], None),
            (Ok(a), Err(error)) => ([a, vec![0]], Some(error)),
            (Err(error), Ok(b)) => ([vec![0], b], Some(error)),
            (Err(error), Err(_)) => return Err(error),
        };
        let key = disk.key();
        let [a, b] = copies.each_ref().map(|copy| open(copy, key.as_ref()));
        // Of two, one that is vouched for counts before any other: nobody else can write one.
        let picked = match (a.vouched, b.vouched) {
            (true, false) => a.state,
            (false, true) => b.state,
            _ => TrustState::newer([a.state, b.state]),
        };
        let Some(state) = picked else {
            // One unreadable, the other no good: not a new device, and not for us to guess.
            return match unreadable {
                Some(error) => Err(error),
                None => Ok(Self { damaged: copies.iter().any(|copy| !copy.is_empty()), ..Self::default() }),
            };
        };
        // The copy that is not the one picked.
        let is_first = a.state == Some(state) && a.vouched >= b.vouched;
        let vouched = if is_first { a.vouched } else { b.vouched };
        Ok(Self { state, damaged: false, vouched, next: usize::from(is_first) })
    }

    /// The books of workloads of this generation are the last from now on. Where nobody vouches for the state nothing is said.
    #[inline(never)]
    pub(super) fn count_workloads(disk: &impl Disk, generation: u64) -> io::Result<()> {
        let _one = disk.lock()?;
        let mut copies = Self::read(disk)?;
        if !copies.vouched || copies.state.workloads == generation {
            return Ok(());
        }
        let commit = copies.prepare(disk, &TrustState { workloads: generation, ..copies.state }, false)?;
        copies.publish(disk, commit)
    }

    /// Writes the new state beside the older copy, durably. `releases`: somebody vouches for the device with it.
    pub(super) fn prepare(&self, disk: &impl Disk, state: &TrustState, releases: bool) -> io::Result<Commit> {
        let value = disk.value().unwrap_or_else(|error| {
            log::error!("trust state: not counted: {error}");
            None
        });
        // While it is held nothing is counted: the next start is to say so, too.
        let value = value.filter(|_| releases || !disk.is_held());
        let counts = value.is_some();
        // Nobody counts any more.
        let ends = releases && disk.is_held() && disk.is_alone();
        let kept = if ends { 0 } else { self.state.counter };
        let counter = value.map_or(kept, |value| value.saturating_add(1));
        // Who vouches for the device does so for what it remembers of workloads.
        let workloads = if releases { 0 } else { state.workloads };
        let commit = self.write(disk, TrustState { counter, workloads, ..*state }, counts || self.vouched)?;
        Ok(Commit { counts, releases: releases && (counts || ends), ..commit })
    }

    /// The state counts as the last one from this value of the counter on.
    pub(super) fn begin(&mut self, disk: &impl Disk, value: u64) -> io::Result<()> {
        let commit = self.write(disk, TrustState { counter: value, workloads: 0, ..self.state }, true)?;
        self.publish(disk, commit)
    }

    fn write(&self, disk: &impl Disk, mut state: TrustState, vouch: bool) -> io::Result<Commit> {
        state.generation = self.state.generation.saturating_add(1);
        let mut bytes = state.encode().to_vec();
        let key = disk.key().filter(|_| vouch && state.counter > 0);
        if let Some(key) = &key {
            bytes.extend(key.vouch(&bytes));
        }
        let pending = disk::prepare(disk, COPIES[self.next], &bytes)?;
        let vouched = key.is_some();
        Ok(Commit { pending, state, bytes, vouched, copy: self.next, counts: false, releases: false })
    }

    /// The commit: one rename, made durable. On an error what is in place is read again.
    pub(super) fn publish(&mut self, disk: &impl Disk, commit: Commit) -> io::Result<()> {
        let Commit { pending, state, bytes, vouched, copy, counts, releases } = commit;
        if let Err(error) = pending.publish(disk) {
            if let Ok(now) = Self::read(disk) {
                *self = now;
            }
            return Err(error);
        }
        *self = Self { state, damaged: false, vouched, next: 1 - copy };
        if let Err(error) = disk::replace(disk, COPIES[self.next], &bytes) {
            log::warn!("own storage: {} is a copy behind: {error}", COPIES[self.next]);
        }
        // Not before both copies have it: of two that are left, none is to be an older one.
        if counts && let Err(error) = disk.increment() {
            log::error!("trust state: the TPM did not count it, the next start does: {error}");
        }
        if releases && let Err(error) = disk.release() {
            log::error!("trust state: it is held until the next start: {error}");
        }
        Ok(())
    }
}

/// What a copy holds.
struct Opened {
    state: Option<TrustState>,
    vouched: bool,
}

#[inline(never)]
fn open(bytes: &[u8], key: Option<&StorageKey>) -> Opened {
    if let Some((front, by)) = bytes.split_last_chunk()
        && let state @ Some(_) = TrustState::decode(front)
    {
        return Opened { state, vouched: key.is_some_and(|key| key.is_vouched(front, by)) };
    }
    Opened { state: TrustState::decode(bytes), vouched: false }
}

impl Commit {
    /// Leaves what is in place.
    pub(super) fn abandon(self, disk: &impl Disk) {
        self.pending.abandon(disk);
    }
}
