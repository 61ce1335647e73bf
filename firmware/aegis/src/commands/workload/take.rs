//! `aegis workload take FILE`, and what a stick brings: one workload from a file to own storage, or a refusal with its reason.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Instant;

use aegis_bundle::limits::WORKLOAD_BYTES;
use aegis_bundle::{Answer, Rank, Refusal, Remembered, Root, What, Workload, WorkloadContext, open_workload};

use super::{Which, locked, note, storage};
use crate::commands::image::Offer;
use crate::commands::taken::Taken;
use crate::image::write::Contents;
use crate::limits;
use crate::outcome::{Failure, Outcome};
use crate::storage::device::Identity;
use crate::storage::disk::{Data, Disk};
use crate::storage::facts::{self, Facts};
use crate::storage::history::{self, Entry};
use crate::storage::trust::{self, Trust};
use crate::workloads::books::Books;
use crate::workloads::{KEPT, forget, path, store};

/// Longest file that can be one, bytes.
pub(crate) const BYTES: u64 = WORKLOAD_BYTES;

/// True when this can be a workload, by a name that says so.
pub(crate) fn is_workload(name: &[u8]) -> bool {
    const SUFFIX: &[u8] = b".aegis-workload";
    name.len() > SUFFIX.len() && name.ends_with(SUFFIX) && !name.starts_with(b".")
}

/// `aegis workload take FILE`.
pub(crate) fn apply(file: &Path) -> Outcome {
    let offer = Offer::open(file)?;
    let identity =
        Identity::open_or_create().map_err(|error| Failure::error(format!("device key: {error}")))?;
    let origin = file.display().to_string();
    let taken = take(&offer, &origin, &identity)?;
    taken.tell(&origin)
}

/// A name, with epoch and sequence of what is offered under it.
pub(crate) type Named = (String, (u64, u64));

/// What is said of an offer by its front alone: its name, which one it is.
///
/// # Errors
/// Own storage's; an image that is not sound.
pub(crate) fn judge(offer: &Offer<File>, identity: &Identity) -> Result<Result<Named, Refusal>, Failure> {
    let (trust, facts) = (Trust::open()?, Facts::of(identity));
    let books = Books::read(&Data::own()).map_err(storage)?;
    let opened = open(offer, trust.root(), &facts, &books);
    Ok(opened.map(|(opened, _)| (opened.manifest.name.to_owned(), opened.manifest.rank())))
}

/// Decides about an offer and, when it is let in, keeps it. It runs from the next start on: nothing that runs is touched.
///
/// # Errors
/// Own storage's; an image that is not sound.
pub(crate) fn take(offer: &Offer<File>, origin: &str, identity: &Identity) -> Result<Taken, Failure> {
    let _one = locked()?;
    let trust = Trust::open()?;
    let facts = Facts::of(identity);
    make_room_for_all().map_err(storage)?;
    let decided = decide(offer, &trust, &facts, &Data::own(), &Data::workloads(), &Own)?;
    decided.report(origin);
    Ok(decided.taken)
}

/// The directory of all.
fn make_room_for_all() -> io::Result<()> {
    crate::storage::atomic::make_private_directory(Path::new(KEPT))
}

/// What a disk is asked for besides its files.
pub(in crate::commands) trait Room {
    /// Bytes of own storage that are free.
    fn free(&self) -> io::Result<u64>;

    /// Removes what was marked of this name's data. False: something is left, for the next start.
    fn forget(&self, name: &str) -> io::Result<bool>;
}

struct Own;

impl Room for Own {
    fn free(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(KEPT)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn forget(&self, name: &str) -> io::Result<bool> {
        forget::remove(name, Instant::now() + limits::FORGET)
    }
}

/// What became of an offer.
pub(in crate::commands) struct Decided {
    pub(in crate::commands) taken: Taken,
    name: String,
    manifest: [u8; 32],
}

impl Decided {
    fn refused(code: &'static str, detail: impl Into<String>) -> Self {
        let taken = Taken::refused(What::Workload, code, None, detail);
        Self { taken, name: String::new(), manifest: [0; 32] }
    }

    fn of(opened: &Workload<'_>, answer: Answer, code: &'static str, detail: impl Into<String>) -> Self {
        let (epoch, sequence) = opened.manifest.rank();
        let refused = Taken::refused(What::Workload, code, None, detail);
        Self {
            taken: Taken { answer, epoch, sequence, ..refused },
            name: opened.manifest.name.to_owned(),
            manifest: opened.manifest_hash,
        }
    }

    fn report(&self, origin: &str) {
        let Taken { code, epoch, sequence, detail, hash, .. } = &self.taken;
        let text = if detail.is_empty() { origin.to_owned() } else { format!("{origin}: {detail}") };
        let name = if self.name.is_empty() { "?" } else { &self.name };
        log::info!(workload = name; "workload {name}: {code}: epoch {epoch} sequence {sequence}: {text}");
        let rank = (*epoch, *sequence);
        note(Which { name: &self.name, rank, manifest: self.manifest }, code, &text);
        history::note(Entry::now(What::Workload, code, rank, hash.as_ref(), origin));
    }
}

fn open<'o, C>(
    offer: &'o Offer<C>,
    root: &Root,
    facts: &Facts,
    books: &Books,
) -> Result<(Workload<'o>, bool), Refusal> {
    let groups: Vec<&str> = facts.groups.iter().map(String::as_str).collect();
    let context = WorkloadContext {
        root,
        device: facts.device,
        architecture: Some(std::env::consts::ARCH),
        agent: Some(facts::version()),
        groups: Some(&groups),
    };
    let known = |name: &str| books.state.of(name).map(Remembered::highest);
    open_workload(&offer.front, offer.length, &context, known)
}

/// The decision, without a word about it. `own` is where it is remembered, `files` where it is kept.
pub(in crate::commands) fn decide(
    offer: &Offer<impl Contents>,
    trust: &Trust<impl Disk>,
    facts: &Facts,
    own: &impl Disk,
    files: &impl Disk,
    room: &impl Room,
) -> Result<Decided, Failure> {
    if let Some((code, why)) = trust.holds() {
        return Ok(Decided::refused(code, why));
    }
    let root = trust.root();
    let mut books = Books::read(own).map_err(storage)?;
    if books.rolled_back {
        // Since the start, which would have held it.
        return Ok(Decided::refused(trust::ROLLED_BACK, "what was accepted is an older copy"));
    }
    // What can't be written for want of room is no more open than it was: a removal may make some.
    match books.settle(own, files) {
        Err(error) if error.kind() != io::ErrorKind::StorageFull => return Err(storage(error)),
        _ => {}
    }
    let (opened, same) = match open(offer, root, facts, &books) {
        Ok(opened) => opened,
        Err(Refusal { reason, epoch, sequence }) => {
            let decided = Decided::refused(reason.code(), reason.to_string());
            return Ok(Decided { taken: Taken { epoch, sequence, ..decided.taken }, ..decided });
        }
    };
    let put = Put { offer, opened: &opened, epoch: root.epoch, own, files, room };
    Ok(match opened.manifest.run {
        None => put.removal(&mut books, same),
        Some(_) => put.install(&mut books, same),
    })
}

struct Put<'p, 'o, C, O, F, R> {
    offer: &'p Offer<C>,
    opened: &'p Workload<'o>,
    /// The root's.
    epoch: u64,
    own: &'p O,
    files: &'p F,
    room: &'p R,
}

impl<C: Contents, O: Disk, F: Disk, R: Room> Put<'_, '_, C, O, F, R> {
    fn decided(&self, answer: Answer, code: &'static str, detail: impl Into<String>) -> Decided {
        Decided::of(self.opened, answer, code, detail)
    }

    fn refused(&self, code: &'static str, detail: impl Into<String>) -> Decided {
        self.decided(Answer::Refused, code, detail)
    }

    fn path(&self) -> String {
        path(self.opened.manifest.name)
    }

    /// Remembers that this one is about to take its place, or to take it away.
    fn begin(&self, books: &mut Books) -> Result<(), Box<Decided>> {
        let name = self.opened.manifest.name;
        let before = books.state.of(name).cloned();
        // A name that is one fits.
        let Ok(as_name) = name.try_into() else {
            return Err(self.refused("bad-manifest", "its name").into());
        };
        let before =
            before.unwrap_or(Remembered { name: as_name, accepted: Rank::default(), next: None, gone: true });
        match books.remember(self.own, Remembered { next: Some(self.opened.rank()), ..before }, self.epoch) {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(self.refused("too-many", "as many names as are remembered: raise the epoch").into())
            }
            Err(error) => Err(self.failed(&error).into()),
        }
    }

    /// Own storage failed.
    #[inline(never)]
    fn failed(&self, error: &io::Error) -> Decided {
        let full = error.kind() == io::ErrorKind::StorageFull;
        let mend = if full { " (a signed removal with its data makes room)" } else { "" };
        self.refused("storage", format!("{error}{mend}"))
    }

    /// Remembers that it has. When that fails the next start finds it so.
    fn end(&self, books: &mut Books, gone: bool) {
        let Some(one) = books.state.of(self.opened.manifest.name).cloned() else { return };
        let one = Remembered { accepted: self.opened.rank(), next: None, gone, ..one };
        match books.remember(self.own, one, self.epoch) {
            Ok(_) => {}
            Err(error) => log::error!("{KEPT}: {error} (the next start finds what is there)"),
        }
    }

    #[inline(never)]
    fn removal(&self, books: &mut Books, same: bool) -> Decided {
        if same && books.state.of(self.opened.manifest.name).is_some_and(|one| one.gone) {
            // A cut may have come before its data.
            return match self.forget() {
                Ok(_) => self.decided(Answer::Unchanged, "unchanged", "it is gone"),
                Err(error) => self.failed(&error),
            };
        }
        if let Err(refused) = self.begin(books) {
            // It is signed, and nothing older: what it takes away may be what takes the room that it needs to be remembered.
            let is_freed = refused.taken.code == "storage" && self.take_away().is_ok();
            if !is_freed || self.begin(books).is_err() {
                return *refused;
            }
        }
        match self.take_away() {
            Err(error) => self.failed(&error),
            Ok(text) => {
                self.end(books, true);
                self.decided(Answer::Accepted, "removed", text)
            }
        }
    }

    /// Its file, then its data: nothing starts without the one, so nothing finds an empty place of the other.
    fn take_away(&self) -> io::Result<&'static str> {
        store::remove(self.files, &self.path())?;
        self.forget()
    }

    /// What became of its data, for a person.
    fn forget(&self) -> io::Result<&'static str> {
        if !self.opened.manifest.forgets {
            return Ok("it ends with this boot; its data stays");
        }
        forget::mark(self.files, self.opened.manifest.name)?;
        Ok(match self.room.forget(self.opened.manifest.name) {
            Ok(true) => "it ends with this boot; its data is gone",
            Ok(false) | Err(_) => "it ends with this boot; what is left of its data goes at the next start",
        })
    }

    /// True when all of it is there, byte for byte.
    fn is_kept(&self) -> bool {
        let kept = store::open(self.files, &self.path()).ok().flatten();
        kept.is_some_and(|kept| {
            kept.length == self.offer.length
                && kept.front.get(..self.opened.contents_at as usize)
                    == self.offer.front.get(..self.opened.contents_at as usize)
                && store::is_whole(self.files, &kept, &self.opened.manifest, self.opened.contents_at)
                    .unwrap_or(false)
        })
    }

    fn install(&self, books: &mut Books, same: bool) -> Decided {
        let Workload { manifest, contents_at, .. } = self.opened;
        let Some(run) = &manifest.run else { return self.refused("bad-manifest", "nothing to run") };
        if same && self.is_kept() {
            return self.decided(Answer::Unchanged, "unchanged", "it is kept");
        }
        let others = books.state.names.iter().filter(|one| !one.gone && one.name != manifest.name);
        if others.count() >= limits::WORKLOADS_KEPT {
            let most = limits::WORKLOADS_KEPT;
            return self.refused("too-many", format!("{most} workloads are kept: take one away first"));
        }
        match self.room.free() {
            Ok(free) if free < self.offer.length.saturating_add(limits::WORKLOADS_FREE_BYTES) => {
                let length = self.offer.length;
                let detail = format!("{free} bytes are free; it takes {length}, beside the one before it");
                return self.refused("no-room", detail);
            }
            Ok(_) => {}
            Err(error) => return self.failed(&error),
        }
        let Some(front) = self.offer.front.get(..*contents_at as usize) else {
            return self.refused("truncated", "its front");
        };
        let expected = &run.contents.hash;
        let (path, length, contents) = (self.path(), self.offer.length, &self.offer.contents);
        let (pending, hash) = match store::prepare(self.files, &path, front, length, contents, expected) {
            Ok(prepared) => prepared,
            Err(unkept) => return self.refused(unkept.code(), unkept.to_string()),
        };
        if let Err(refused) = self.begin(books) {
            pending.abandon(self.files);
            return *refused;
        }
        if let Err(error) = pending.publish(self.files) {
            // It may be in place all the same: what is there counts, now if it can be looked at, else at the next start.
            let _ = books.settle(self.own, self.files);
            return self.failed(&error);
        }
        self.end(books, false);
        let decided = self.decided(Answer::Accepted, "accepted", "it runs from the next start on");
        Decided { taken: Taken { hash: Some(hash), ..decided.taken }, ..decided }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_told_by_their_names() {
        for (name, expected) in [
            (&b"a.aegis-workload"[..], true),
            (b"\xff\x1b.aegis-workload", true),
            (b"._a.aegis-workload", false),
            (b".aegis-workload", false),
            (b"a.aegis", false),
            (b"a.aegis-workload.txt", false),
        ] {
            assert_eq!(is_workload(name), expected, "{name:?}");
        }
    }
}
