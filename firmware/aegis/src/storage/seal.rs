//! The sealing state: one file of two places, written in place by an agent that can open nothing any more.
//!
//! A new state goes to the place that is free and is flushed there; that is the step. Then the place of the old one, which
//! has a key that must not live on, is wiped and flushed. So a cut leaves the old state or the new one, and what one of
//! the places was left with otherwise is wiped at the next start. Where there is a TPM the secret in either is locked under the storage key.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use aegis_seal::{State, StorageKey, limits::STATE_BYTES};
use zeroize::Zeroizing;

use super::{DATA, atomic};

const FILE: &str = "seal.state";
/// Bytes of a place: whole blocks of the file system, so that writing one touches nothing of the other.
const PLACE_BYTES: usize = 4096;
const _: () = assert!(STATE_BYTES <= PLACE_BYTES);
/// How often, and with what pause, a file that is being written is read anew.
const LOOKS: usize = 20;
const LOOK_PAUSE: Duration = Duration::from_millis(5);

type Bytes = Zeroizing<[u8; PLACE_BYTES]>;

/// Two places, by number.
pub(crate) trait Places {
    /// Reads a place, as it was last written.
    fn read(&self, place: usize, bytes: &mut [u8; PLACE_BYTES]) -> io::Result<()>;

    /// Writes a whole place; not durable before [`Places::sync`].
    fn write(&self, place: usize, bytes: &[u8; PLACE_BYTES]) -> io::Result<()>;

    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;
}

/// The state, as the running agent keeps it.
pub(crate) struct SealStore<P = SealFile> {
    places: P,
    /// The place of the state in force; the next one goes to the other.
    current: usize,
    /// That other place may hold the key of an epoch that is over.
    unwiped: bool,
    /// What the secret in it is locked under, where there is a TPM.
    key: Option<StorageKey>,
}

impl<P: Places> SealStore<P> {
    /// The state that is there, if there is one. Whatever else is there is wiped.
    pub(crate) fn open(places: P, key: Option<StorageKey>) -> (Self, Option<State>) {
        let copies = [0, 1].map(|number| look(&places, number));
        let states = copies.map(|bytes| bytes.as_deref().and_then(|bytes| State::decode(bytes)));
        let generation = |state: &Option<State>| state.as_ref().map(State::generation);
        let current = usize::from(generation(&states[0]) < generation(&states[1]));
        let [a, b] = states;
        let mut store = Self { places, current, unwiped: true, key };
        store.wipe();
        let found = State::newer(a, b).map(|state| store.unlock(state));
        (store, found)
    }

    /// The state in force.
    pub(crate) fn state(&self) -> Option<State> {
        let state = look(&self.places, self.current).and_then(|bytes| State::decode(&bytes[..]))?;
        Some(self.unlock(state))
    }

    fn unlock(&self, state: State) -> State {
        match &self.key {
            Some(key) => state.unlock(key),
            None => state,
        }
    }

    /// The key of an epoch that is over could not be wiped. It is tried again with the next state.
    pub(crate) const fn unwiped(&self) -> bool {
        self.unwiped
    }

    /// Wipes the place that is not in force, unless there is nothing in it.
    fn wipe(&mut self) {
        let other = 1 - self.current;
        let blank = look(&self.places, other).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0));
        let wiped = blank || self.put(other, &[0; PLACE_BYTES]).is_ok();
        self.unwiped = !wiped;
    }

    fn put(&self, place: usize, bytes: &[u8; PLACE_BYTES]) -> io::Result<()> {
        self.places.write(place, bytes)?;
        self.places.sync()
    }
}

impl<P: Places> aegis_seal::Store for SealStore<P> {
    type Error = io::Error;

    fn key(&self) -> Option<&StorageKey> {
        self.key.as_ref()
    }

    /// After an error the old state is in force, and durable. That its key could not be wiped is none:
    /// [`SealStore::unwiped`].
    fn replace(&mut self, copy: &[u8]) -> io::Result<()> {
        let mut bytes = Bytes::new([0; PLACE_BYTES]);
        let place = bytes.get_mut(..copy.len()).filter(|place| !place.is_empty());
        place.ok_or(io::ErrorKind::InvalidData)?.copy_from_slice(copy);
        let next = 1 - self.current;
        self.put(next, &bytes).inspect_err(|_| {
            // It may be there all the same: found by the next agent, it would be the newer one, and seal what is long past.
            let _ = self.put(next, &[0; PLACE_BYTES]);
        })?;
        self.current = next;
        self.unwiped = true;
        self.unwiped = self.put(1 - next, &[0; PLACE_BYTES]).is_err();
        Ok(())
    }
}

/// What is in a place; a place that can't be read holds no state.
fn look(places: &impl Places, number: usize) -> Option<Bytes> {
    let mut bytes = Bytes::new([0; PLACE_BYTES]);
    places.read(number, &mut bytes).ok().map(|()| bytes)
}

/// The file in own storage.
#[derive(Debug)]
pub(crate) struct SealFile(File);

impl SealFile {
    /// Opens it to write, and makes it if it is not there: all its blocks are taken then, once and for all.
    pub(crate) fn open() -> io::Result<Self> {
        let directory = Path::new(DATA);
        atomic::make_private_directory(directory)?;
        Self::open_in(directory)
    }

    pub(crate) fn open_in(directory: &Path) -> io::Result<Self> {
        match Self::open_as(directory, true) {
            Ok(Some(file)) => return Ok(file),
            Ok(None) => {}
            // A link, or of another length: not ours, and nothing to go on with.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                log::error!("{DATA}/{FILE}: {error}; made anew");
            }
            Err(error) => return Err(error),
        }
        atomic::replace(directory, FILE, &[0; 2 * PLACE_BYTES], 0o600)?;
        Self::open_as(directory, true)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn open_as(directory: &Path, writable: bool) -> io::Result<Option<Self>> {
        let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
        let mut options = OpenOptions::new();
        let file = match options.read(true).write(writable).custom_flags(flags).open(directory.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a link"));
            }
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if metadata.is_file() && metadata.len() == 2 * PLACE_BYTES as u64 {
            Ok(Some(Self(file)))
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "not a file of two places"))
        }
    }
}

impl Places for SealFile {
    fn read(&self, place: usize, bytes: &mut [u8; PLACE_BYTES]) -> io::Result<()> {
        self.0.read_exact_at(bytes, (place * PLACE_BYTES) as u64)
    }

    fn write(&self, place: usize, bytes: &[u8; PLACE_BYTES]) -> io::Result<()> {
        self.0.write_all_at(bytes, (place * PLACE_BYTES) as u64)
    }

    fn sync(&self) -> io::Result<()> {
        loop {
            match self.0.sync_data() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

/// The certificate of the chain of checkpoints that seals this ring; `None` when there is none yet. Never anything of the
/// secret that is stored beside it.
pub(crate) fn certificate(ring: &[u8; 16]) -> io::Result<Option<Vec<u8>>> {
    certificate_in(Path::new(DATA), ring)
}

fn certificate_in(directory: &Path, ring: &[u8; 16]) -> io::Result<Option<Vec<u8>>> {
    let file = match SealFile::open_as(directory, false) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            log::warn!("{DATA}/{FILE}: {error}");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    for _ in 0..LOOKS {
        let copies = [0, 1].map(|place| look(&file, place));
        let [a, b] =
            copies.each_ref().map(|bytes| bytes.as_ref().and_then(|bytes| State::decode(&bytes[..])));
        if let Some(state) = State::newer(a, b) {
            return Ok((state.ring() == *ring).then(|| state.certificate().to_vec()));
        }
        let blank = |bytes: &Option<Bytes>| bytes.as_ref().is_some_and(|bytes| bytes.iter().all(|b| *b == 0));
        if copies.iter().all(blank) {
            return Ok(None);
        }
        // The agent goes from one place to the other, and was met between them.
        std::thread::sleep(LOOK_PAUSE);
    }
    log::warn!(
        "{DATA}/{FILE}: damaged; there is no certificate for this export (the agent begins a new chain)"
    );
    Ok(None)
}

#[cfg(test)]
mod tests;
