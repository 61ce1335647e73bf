//! What the device trusts and remembers: root metadata, trust state in two copies, two slots for the policy in force.
//!
//! A bundle is first written whole to the slot that the trust state does not name, then put in force, then named by a
//! new trust state: that write is the commit. Power may fail between any two of these; the next boot takes the slot
//! that the trust state names.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aegis_bundle::{Context, Root, TrustState, limits as bounds};

use super::atomic::Pending;
use super::{DATA, ROOT_METADATA, atomic, lock};
use crate::limits;
use crate::outcome::Failure;

const COPIES: [&str; 2] = ["trust.a", "trust.b"];
const SLOTS: [&str; 2] = ["slot.a", "slot.b"];
const BUNDLE: &str = "bundle.aegis";

/// The trust anchor, from the read-only root file system.
pub(crate) fn root() -> Result<Root, Failure> {
    let path = Path::new(ROOT_METADATA);
    let bytes = atomic::read_bounded(path, bounds::ROOT_BYTES as u64)
        .map_err(|error| Failure::error(format!("{ROOT_METADATA}: {error}")))?;
    Root::open(&bytes).map_err(|error| {
        Failure::error(format!("{ROOT_METADATA}: {} (the image is not sound)", error.code()))
    })
}

/// What was accepted before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Remembered {
    /// The newest good copy; a new device's when there is none.
    pub(crate) state: TrustState,
    /// There were copies, and none was good.
    pub(crate) damaged: bool,
    /// Which copy the next write replaces.
    next: usize,
}

/// Reads both copies of the trust state. A copy that can't be read is as good as a damaged one, as long as the other
/// is good: that is what two are for.
pub(crate) fn remembered() -> io::Result<Remembered> {
    let read =
        |name: &str| match atomic::read_bounded(&Path::new(DATA).join(name), bounds::STATE_BYTES as u64) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
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
        return Ok(Remembered { damaged, ..Remembered::default() });
    };
    // The copy that is not the one picked.
    let next = usize::from(TrustState::decode(&copies[0]) == Some(state));
    Ok(Remembered { state, damaged: false, next })
}

impl Remembered {
    /// Writes the new state beside the older copy, durably: all that can run out of space is done here.
    /// [`Commit::publish`] puts it in that copy's place.
    pub(crate) fn prepare(&self, state: &TrustState) -> io::Result<Commit> {
        let mut pending = Pending::begin(Path::new(DATA), 0o600)?;
        pending.write_all(&state.encode())?;
        pending.sync()?;
        Ok(Commit { pending, copy: COPIES[self.next] })
    }

    /// The bundle that the trust state names, from whichever slot holds it.
    pub(crate) fn bundle(&self) -> Option<Vec<u8>> {
        self.slot_in_force().map(|(_, bundle)| bundle)
    }

    /// Which slot holds the bundle that the trust state names, and the bundle.
    fn slot_in_force(&self) -> Option<(usize, Vec<u8>)> {
        SLOTS.iter().enumerate().find_map(|(slot, name)| {
            let bytes = atomic::read_bounded(&slot_path(name).join(BUNDLE), limits::BUNDLE_BYTES).ok()?;
            (aegis_bundle::hash(&bytes) == self.state.bundle).then_some((slot, bytes))
        })
    }

    /// Keeps a copy of a bundle in the slot that is not the one in force; returns what was read back from it.
    pub(crate) fn keep(&self, bundle: &[u8]) -> io::Result<Vec<u8>> {
        let first_is_in_force = self.slot_in_force().is_some_and(|(slot, _)| slot == 0);
        let directory = slot_path(SLOTS[usize::from(first_is_in_force)]);
        atomic::make_private_directory(&directory)?;
        let path = atomic::replace(&directory, BUNDLE, bundle, 0o600)?;
        atomic::read_bounded(&path, limits::BUNDLE_BYTES)
    }
}

/// A trust state that is written and not yet in place.
pub(crate) struct Commit {
    pending: Pending,
    copy: &'static str,
}

impl Commit {
    /// The commit: one rename, made durable.
    pub(crate) fn publish(self) -> io::Result<()> {
        self.pending.publish(self.copy).map(drop)
    }
}

/// One policy at a time: held from what is remembered to what will be. Ends when dropped.
pub(crate) fn lock() -> io::Result<File> {
    lock::wait_for("policy.lock")
}

/// Removes what a power cut left half written.
pub(crate) fn sweep() {
    atomic::sweep(Path::new(DATA));
    for slot in SLOTS {
        atomic::sweep(&slot_path(slot));
    }
}

fn slot_path(slot: &str) -> PathBuf {
    Path::new(DATA).join(slot)
}

/// What this device is, to a bundle's selectors.
pub(crate) fn context(root: &Root, device: impl Into<Option<[u8; 16]>>, state: TrustState) -> Context<'_> {
    Context {
        root,
        device: device.into(),
        architecture: Some(std::env::consts::ARCH),
        agent: Some(version()),
        state,
    }
}

/// The agent's version, as manifests compare it.
fn version() -> [u16; 3] {
    let mut parts = env!("CARGO_PKG_VERSION").split('.').map(|part| part.parse().unwrap_or(0));
    core::array::from_fn(|_| parts.next().unwrap_or(0))
}
