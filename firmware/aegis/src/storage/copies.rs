//! The two copies of the trust state. A write goes to the older one, and that is the commit; then to the other one too, so
//! that what befalls one copy later takes nothing back.

use std::io;

use aegis_bundle::{TrustState, limits as bounds};
use aegis_seal::StorageKey;

use super::disk::{self, Disk, Pending};

/// What stands behind a copy that is vouched for: HMAC-SHA-256 of it ([`StorageKey::vouch`]).
const VOUCHER_BYTES: usize = 32;
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
        if let Some(error) = unreadable
            && copies.iter().all(|copy| TrustState::decode(split(copy).0).is_none())
        {
            // One unreadable, the other no good: not a new device, and not for us to guess.
            return Err(error);
        }
        let key = disk.key();
        let fronts = copies.each_ref().map(|copy| split(copy).0);
        let vouched = copies.each_ref().map(|copy| is_vouched(copy, key.as_ref()));
        // Of two, one that is vouched for counts before any other: nobody else can write one.
        let picked = match vouched {
            [true, false] => TrustState::decode(fronts[0]),
            [false, true] => TrustState::decode(fronts[1]),
            _ => TrustState::pick(fronts[0], fronts[1]),
        };
        let Some(state) = picked else {
            let damaged = copies.iter().any(|copy| !copy.is_empty());
            return Ok(Self { damaged, ..Self::default() });
        };
        // The copy that is not the one picked.
        let next = usize::from(TrustState::decode(fronts[0]) == Some(state) && vouched[0] >= vouched[1]);
        Ok(Self { state, damaged: false, vouched: vouched[1 - next], next })
    }

    /// Writes the new state beside the older copy, durably. `releases`: somebody vouches for the device with it.
    pub(super) fn prepare(&self, disk: &impl Disk, state: &TrustState, releases: bool) -> io::Result<Commit> {
        let value = disk.value().unwrap_or_else(|error| {
            log::error!("trust state: not counted: {error}");
            None
        });
        // While it is held nothing is counted: the next start is to say so, too.
        match value.filter(|_| releases || !disk.is_held()) {
            Some(value) => {
                let state = TrustState { counter: value.saturating_add(1), ..*state };
                let commit = self.write(disk, &state, true)?;
                Ok(Commit { counts: true, releases, ..commit })
            }
            None => self.write(disk, &TrustState { counter: self.state.counter, ..*state }, self.vouched),
        }
    }

    /// The state counts as the last one from this value of the counter on.
    pub(super) fn begin(&mut self, disk: &impl Disk, value: u64) -> io::Result<()> {
        let commit = self.write(disk, &TrustState { counter: value, ..self.state }, true)?;
        self.publish(disk, commit)
    }

    fn write(&self, disk: &impl Disk, state: &TrustState, vouch: bool) -> io::Result<Commit> {
        let state = TrustState { generation: self.state.next().generation, ..*state };
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

/// A copy, and what vouches for it.
fn split(bytes: &[u8]) -> (&[u8], Option<&[u8; VOUCHER_BYTES]>) {
    match bytes.split_last_chunk() {
        Some((front, by)) if TrustState::decode(front).is_some() => (front, Some(by)),
        _ => (bytes, None),
    }
}

fn is_vouched(bytes: &[u8], key: Option<&StorageKey>) -> bool {
    let (front, by) = split(bytes);
    by.zip(key).is_some_and(|(by, key)| key.is_vouched(front, by))
}

impl Commit {
    /// Leaves what is in place.
    pub(super) fn abandon(self, disk: &impl Disk) {
        self.pending.abandon(disk);
    }
}
