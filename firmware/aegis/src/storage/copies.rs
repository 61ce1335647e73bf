//! The two copies of the trust state. A write goes to the older one, and that is the commit; then to the other one too, so
//! that what befalls one copy later takes nothing back.

use std::io;

use aegis_bundle::{TrustState, limits as bounds};

use super::disk::{self, Disk, Pending};

const COPIES: [&str; 2] = ["trust.a", "trust.b"];

/// What was accepted before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Copies {
    /// The newest good copy; a new device's when there is none.
    pub(super) state: TrustState,
    /// There were copies, and none was good.
    pub(super) damaged: bool,
    /// Which copy the next write replaces.
    next: usize,
}

/// A trust state that is written and not yet in place.
#[must_use = "a commit that is not published is none"]
pub(crate) struct Commit {
    pending: Pending,
    pub(super) state: TrustState,
    copy: usize,
}

impl Copies {
    /// Reads both copies. A copy that can't be read is as good as a damaged one, as long as the other is good: that is
    /// what two are for.
    pub(super) fn read(disk: &impl Disk) -> io::Result<Self> {
        let read = |name: &str| match disk::read(disk, name, bounds::STATE_BYTES as u64) {
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
            && TrustState::pick(&copies[0], &copies[1]).is_none()
        {
            // One unreadable, the other no good: not a new device, and not for us to guess.
            return Err(error);
        }
        let Some(state) = TrustState::pick(&copies[0], &copies[1]) else {
            let damaged = copies.iter().any(|copy| !copy.is_empty());
            return Ok(Self { damaged, ..Self::default() });
        };
        // The copy that is not the one picked.
        let next = usize::from(TrustState::decode(&copies[0]) == Some(state));
        Ok(Self { state, damaged: false, next })
    }

    /// Writes the new state beside the older copy, durably.
    pub(super) fn prepare(&self, disk: &impl Disk, state: &TrustState) -> io::Result<Commit> {
        let state = TrustState { generation: self.state.next().generation, ..*state };
        let pending = disk::prepare(disk, COPIES[self.next], &state.encode())?;
        Ok(Commit { pending, state, copy: self.next })
    }

    /// The commit: one rename, made durable. On an error what is in place is read again.
    pub(super) fn publish(&mut self, disk: &impl Disk, commit: Commit) -> io::Result<()> {
        let Commit { pending, state, copy } = commit;
        if let Err(error) = pending.publish(disk) {
            if let Ok(now) = Self::read(disk) {
                *self = now;
            }
            return Err(error);
        }
        *self = Self { state, damaged: false, next: 1 - copy };
        if let Err(error) = disk::replace(disk, COPIES[self.next], &state.encode()) {
            log::warn!("own storage: {} is a copy behind: {error}", COPIES[self.next]);
        }
        Ok(())
    }
}

impl Commit {
    /// Leaves what is in place.
    pub(super) fn abandon(self, disk: &impl Disk) {
        self.pending.abandon(disk);
    }
}
