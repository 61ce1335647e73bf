//! A disk for tests that loses power at any step, and then shows every state that a real one may come up with.
//!
//! What a step does is seen at once and is durable only when it was flushed: contents by `sync`, names by
//! `sync_directory`. After a cut, each name that was not flushed may have changed or not, one without the other, and each
//! file whose contents were not flushed may be empty, torn, full of other bytes, or whole; where only one sector of it was
//! not flushed, old or new.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

use aegis_seal::StorageKey;
use aegis_tpm::Counter;
use zeroize::Zeroizing;

use super::counter::{self, Nv, Verdict, Witness};
use super::disk::Disk;

/// A file, whatever its names.
type Inode = usize;

/// What names lead where.
#[derive(Clone, Debug, Default)]
struct Names {
    files: BTreeMap<String, Inode>,
    directories: BTreeSet<String>,
}

/// A change of the names in one directory.
#[derive(Clone, Debug)]
enum Change {
    Link { path: String, inode: Inode },
    Rename { from: String, to: String, inode: Inode },
    Exchange { one: String, other: String },
    Remove { path: String },
    Directory { path: String },
}

/// A TPM, and what the running boot knows of it.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools)]
struct Tpm {
    there: bool,
    defined: bool,
    /// Above every counter that it ever had.
    value: Option<u64>,
    marked: bool,
    /// Of this boot.
    counts: bool,
    held: bool,
}

#[derive(Clone, Debug, Default)]
struct State {
    tpm: Tpm,
    seen: Names,
    durable: Names,
    /// Not flushed, in order.
    changes: Vec<Change>,
    /// By inode: as they are read, and as they are durable.
    contents: Vec<(Vec<u8>, Vec<u8>)>,
    /// Steps that were asked for.
    steps: usize,
    /// From this step on nothing is done any more: the power is gone.
    cut: Option<usize>,
    /// This one step fails.
    failing: Option<usize>,
    /// What is read in pieces is not what was written.
    lies: bool,
    /// No file can be made: whatever is let go, somebody else takes at once.
    full: bool,
}

/// The disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Simulated(RefCell<State>);

/// What [`Simulated::cut_everywhere`] went through.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cuts {
    /// Steps at which the power was cut, and the end.
    pub(crate) points: usize,
    /// Disks that were looked at afterwards.
    pub(crate) disks: usize,
}

impl fmt::Display for Cuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cut points, {} disks", self.points, self.disks)
    }
}

impl std::ops::AddAssign for Cuts {
    fn add_assign(&mut self, other: Self) {
        self.points += other.points;
        self.disks += other.disks;
    }
}

impl Simulated {
    /// Everything that was done is durable.
    pub(crate) fn flush(&mut self) {
        let state = self.0.get_mut();
        state.durable = state.seen.clone();
        state.changes.clear();
        for (seen, durable) in &mut state.contents {
            durable.clone_from(seen);
        }
    }

    /// Runs `operation` on copies of this disk: whole; and with the power cut at each of its steps. `check` gets each disk
    /// that may be left, and whether the operation had returned that it was done.
    pub(crate) fn cut_everywhere(
        &self,
        operation: impl Fn(&Self) -> io::Result<()>,
        check: impl Fn(Self, bool),
    ) -> Cuts {
        let whole = self.begin(None, None);
        operation(&whole).expect("it succeeds with the power on");
        let steps = whole.steps();
        let mut cuts = Cuts::default();
        for cut in 0..=steps {
            let disk = self.begin(Some(cut), None);
            let done = operation(&disk).is_ok();
            assert!(done || cut < steps, "fails without a cut");
            cuts.points += 1;
            for left in disk.survivors() {
                cuts.disks += 1;
                check(left, done);
            }
        }
        cuts
    }

    /// Runs `operation` with each of its steps failing in turn; `check` gets the disk, the step and what came of it.
    pub(crate) fn fail_everywhere<T>(
        &self,
        operation: impl Fn(&Self) -> T,
        check: impl Fn(Self, usize, T),
    ) -> usize {
        let whole = self.begin(None, None);
        operation(&whole);
        let steps = whole.steps();
        for failing in 0..steps {
            let disk = self.begin(None, Some(failing));
            let outcome = operation(&disk);
            disk.0.borrow_mut().failing = None;
            check(disk, failing, outcome);
        }
        steps
    }

    /// From here on it gives back something else than was written, or no longer so.
    pub(crate) fn lie(&self, lies: bool) {
        self.0.borrow_mut().lies = lies;
    }

    /// From here on somebody has all inodes, and takes each that is let go; or no more.
    pub(crate) fn fill(&self, full: bool) {
        self.0.borrow_mut().full = full;
    }

    /// Writes within a file, which grows if it must.
    pub(crate) fn write_at(&self, file: usize, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.step()?;
        let contents = &mut state.contents[file].0;
        let (from, end) = (at as usize, at as usize + bytes.len());
        contents.resize(contents.len().max(end), 0);
        contents[from..end].copy_from_slice(bytes);
        Ok(())
    }

    /// There is a TPM from now on: one that has counted nothing yet.
    pub(crate) fn with_tpm(self) -> Self {
        self.0.borrow_mut().tpm = Tpm { there: true, ..Tpm::default() };
        self
    }

    /// The disk of a device as it is, on which everything is as it was on another one.
    pub(crate) fn put_back(&self, older: &Self) -> Self {
        let disk = older.clone();
        disk.0.borrow_mut().tpm = Tpm { counts: false, held: false, ..self.0.borrow().tpm };
        disk
    }

    /// What a boot does first: the trust state is held against the TPM's counter.
    pub(crate) fn start(&self) -> io::Result<Verdict> {
        let mut disk = self;
        let verdict = counter::settle(self, &mut disk)?.with_books(self)?;
        let mut state = self.0.borrow_mut();
        state.tpm.counts = true;
        state.tpm.held = matches!(verdict, Verdict::Held(_));
        Ok(verdict)
    }

    /// The same where there is no TPM.
    pub(crate) fn start_alone(&self) {
        let held = counter::was_counted(self);
        self.0.borrow_mut().tpm.held = held;
    }

    /// The file of this path.
    pub(crate) fn file(&self, path: &str) -> io::Result<usize> {
        self.0.borrow().inode(path)
    }

    /// What a file holds.
    pub(crate) fn contents(&self, file: usize) -> Vec<u8> {
        self.0.borrow().contents[file].0.clone()
    }

    fn begin(&self, cut: Option<usize>, failing: Option<usize>) -> Self {
        let disk = self.clone();
        let mut state = disk.0.borrow_mut();
        (state.steps, state.cut, state.failing) = (0, cut, failing);
        drop(state);
        disk
    }

    fn steps(&self) -> usize {
        self.0.borrow().steps
    }

    /// Every disk that may be there when the power comes back.
    fn survivors(&self) -> Vec<Self> {
        let state = self.0.borrow();
        assert!(state.changes.len() <= 10, "too many names that are not flushed: {:?}", state.changes);
        let mut disks = Vec::new();
        for kept in 0..1usize << state.changes.len() {
            let mut names = state.durable.clone();
            for (number, change) in state.changes.iter().enumerate() {
                if kept >> number & 1 == 1 {
                    change.apply(&mut names);
                }
            }
            // A directory that is not there has nothing in it.
            let there = |path: &String| {
                path.rsplit_once('/').is_none_or(|(parent, _)| names.directories.contains(parent))
            };
            let files: BTreeMap<String, Inode> = names
                .files
                .iter()
                .filter(|(path, _)| there(path))
                .map(|(path, inode)| (path.clone(), *inode))
                .collect();
            names.files = files;
            let mut left = vec![state.contents.clone()];
            for inode in names.files.values().copied().collect::<BTreeSet<_>>() {
                left = left.into_iter().flat_map(|contents| variants(&contents, inode)).collect();
            }
            for contents in left {
                let contents = contents.into_iter().map(|(seen, _)| (seen.clone(), seen)).collect();
                // What a TPM did is durable at once; what a boot knew is gone.
                let tpm = Tpm { counts: false, held: false, ..state.tpm };
                let (seen, durable) = (names.clone(), names.clone());
                let state = State { tpm, seen, durable, contents, full: state.full, ..State::default() };
                disks.push(Self(RefCell::new(state)));
            }
        }
        disks
    }

    /// Takes a step; an error when the power is gone, or this one fails.
    fn step(&self) -> io::Result<std::cell::RefMut<'_, State>> {
        let mut state = self.0.borrow_mut();
        let step = state.steps;
        state.steps += 1;
        if state.cut.is_some_and(|cut| step >= cut) {
            return Err(io::Error::other("the power is gone"));
        }
        if state.failing == Some(step) {
            return Err(io::Error::other("the disk failed"));
        }
        Ok(state)
    }
}

type Contents = Vec<(Vec<u8>, Vec<u8>)>;

/// What may be left of a file: what was durable, and when there is more than that: nothing, half, other bytes, all.
fn variants(contents: &Contents, inode: Inode) -> Vec<Contents> {
    let (seen, durable) = &contents[inode];
    let mut left = vec![durable.clone()];
    if is_one_sector(durable, seen) {
        left.push(seen.clone());
    } else if seen != durable {
        let other = seen.iter().map(|byte| !byte).collect();
        left.extend([Vec::new(), seen[..seen.len() / 2].to_vec(), other, seen.clone()]);
        left.dedup();
    }
    let with = |bytes| {
        let mut contents = contents.clone();
        contents[inode].0 = bytes;
        contents
    };
    left.into_iter().map(with).collect()
}

/// Of a file that is longer than a sector all that differs lies within one: it is written or not.
fn is_one_sector(durable: &[u8], seen: &[u8]) -> bool {
    const SECTOR: usize = 512;
    let differs = |(number, (old, new)): (usize, (&[u8], &[u8]))| (old != new).then_some(number);
    let sectors = durable.chunks(SECTOR).zip(seen.chunks(SECTOR));
    durable.len() == seen.len() && seen.len() > SECTOR && sectors.enumerate().filter_map(differs).count() == 1
}

impl Change {
    fn directory(&self) -> &str {
        let (Self::Link { path, .. }
        | Self::Remove { path }
        | Self::Directory { path }
        | Self::Rename { to: path, .. }
        | Self::Exchange { other: path, .. }) = self;
        path.rsplit_once('/').map_or("", |(directory, _)| directory)
    }

    fn apply(&self, names: &mut Names) {
        match self {
            Self::Link { path, inode } => drop(names.files.insert(path.clone(), *inode)),
            Self::Rename { from, to, inode } => {
                names.files.remove(from);
                names.files.insert(to.clone(), *inode);
            }
            Self::Exchange { one, other } => {
                let (a, b) = (names.files.remove(one), names.files.remove(other));
                names.files.extend(b.map(|inode| (one.clone(), inode)));
                names.files.extend(a.map(|inode| (other.clone(), inode)));
            }
            Self::Remove { path } => drop(names.files.remove(path)),
            Self::Directory { path } => drop(names.directories.insert(path.clone())),
        }
    }
}

impl State {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.changes.push(change);
    }

    fn has_directory(&self, path: &str) -> io::Result<()> {
        let there = path.is_empty() || self.seen.directories.contains(path);
        if there { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn has_room(&self) -> io::Result<()> {
        if self.full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn inode(&self, path: &str) -> io::Result<Inode> {
        self.seen.files.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Witness for Simulated {
    fn lock(&self) -> io::Result<Option<std::fs::File>> {
        Ok(None)
    }

    fn key(&self) -> Option<StorageKey> {
        self.0.borrow().tpm.there.then(|| StorageKey::new(Zeroizing::new([5; 32])))
    }

    fn value(&self) -> io::Result<Option<u64>> {
        let tpm = self.0.borrow().tpm;
        Ok(tpm.value.filter(|_| tpm.counts))
    }

    fn increment(&self) -> io::Result<()> {
        let mut state = self.step()?;
        assert!(state.tpm.defined);
        // Whatever it had before: the first value is not known beforehand.
        state.tpm.value = Some(state.tpm.value.map_or(41, |value| value + 1));
        Ok(())
    }

    fn is_held(&self) -> bool {
        self.0.borrow().tpm.held
    }

    fn release(&self) -> io::Result<()> {
        self.0.borrow_mut().tpm.held = false;
        Ok(())
    }

    fn is_alone(&self) -> bool {
        !self.0.borrow().tpm.there
    }
}

impl Nv for &Simulated {
    type Error = io::Error;

    fn counter(&mut self) -> io::Result<Counter> {
        let tpm = self.0.borrow().tpm;
        Ok(match tpm.value {
            _ if !tpm.defined => Counter::Undefined,
            None => Counter::Unwritten,
            Some(value) => Counter::At(value),
        })
    }

    fn define(&mut self) -> io::Result<()> {
        self.step()?.tpm.defined = true;
        Ok(())
    }

    fn increment(&mut self) -> io::Result<()> {
        Witness::increment(*self)
    }

    fn is_marked(&mut self) -> io::Result<bool> {
        Ok(self.0.borrow().tpm.marked)
    }

    fn mark(&mut self) -> io::Result<()> {
        self.step()?.tpm.marked = true;
        Ok(())
    }
}

impl Disk for Simulated {
    type File = Inode;

    fn read(&self, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        let state = self.0.borrow();
        let (bytes, _) = &state.contents[state.inode(path)?];
        if bytes.len() as u64 > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes.clone())
    }

    fn list(&self, directory: &str, most: usize) -> io::Result<Vec<String>> {
        let state = self.0.borrow();
        let within = |path: &String| match path.rsplit_once('/') {
            Some((parent, name)) => (parent == directory).then(|| name.to_owned()),
            None => directory.is_empty().then(|| path.clone()),
        };
        Ok(state.seen.files.keys().filter_map(within).take(most).collect())
    }

    fn make_directory(&self, path: &str) -> io::Result<()> {
        let mut state = self.step()?;
        if !state.seen.directories.contains(path) {
            state.has_room()?;
            state.change(Change::Directory { path: path.to_owned() });
        }
        Ok(())
    }

    fn create(&self, path: &str) -> io::Result<Inode> {
        let mut state = self.step()?;
        state.has_directory(path.rsplit_once('/').map_or("", |(directory, _)| directory))?;
        state.has_room()?;
        if state.seen.files.contains_key(path) {
            state.change(Change::Remove { path: path.to_owned() });
        }
        let inode = state.contents.len();
        state.contents.push((Vec::new(), Vec::new()));
        state.change(Change::Link { path: path.to_owned(), inode });
        Ok(inode)
    }

    fn write(&self, file: &mut Inode, bytes: &[u8]) -> io::Result<()> {
        self.step()?.contents[*file].0.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&self, file: &Inode) -> io::Result<()> {
        let mut state = self.step()?;
        let (seen, durable) = &mut state.contents[*file];
        durable.clone_from(seen);
        Ok(())
    }

    fn open(&self, path: &str) -> io::Result<(Inode, u64)> {
        let inode = self.file(path)?;
        Ok((inode, self.0.borrow().contents[inode].0.len() as u64))
    }

    fn read_at(&self, file: &Inode, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let state = self.0.borrow();
        let found = state.contents[*file].0.get(at as usize..at as usize + bytes.len());
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        if let Some(last) = bytes.last_mut().filter(|_| state.lies) {
            *last ^= 1;
        }
        Ok(())
    }

    fn renew(&self, path: &str) -> io::Result<Inode> {
        let mut state = self.step()?;
        let inode = state.inode(path)?;
        state.contents[inode].0.clear();
        Ok(inode)
    }

    fn exchange(&self, one: &str, other: &str) -> io::Result<()> {
        let mut state = self.step()?;
        state.inode(one)?;
        state.inode(other)?;
        state.change(Change::Exchange { one: one.to_owned(), other: other.to_owned() });
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.step()?;
        let inode = state.inode(from)?;
        state.change(Change::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.step()?;
        state.inode(path)?;
        state.change(Change::Remove { path: path.to_owned() });
        Ok(())
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        let mut state = self.step()?;
        state.has_directory(path)?;
        let State { durable, changes, .. } = &mut *state;
        changes.retain(|change| {
            let flushed = change.directory() == path;
            if flushed {
                change.apply(durable);
            }
            !flushed
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk;
    use super::*;

    type Operation<'o> = &'o dyn Fn(&Simulated) -> io::Result<()>;

    /// Where no file can be made, what takes the place of another does so by a spare file, which the other is from then on.
    #[test]
    fn power_cuts_of_a_replacement_without_an_inode_leave_old_or_new() {
        let mut before = Simulated::default();
        for (name, bytes) in [("state", "old"), ("other", "other")] {
            disk::replace(&before, name, bytes.as_bytes()).expect("there is room");
        }
        disk::keep_spare(&before, &["roots"]).expect("there is room");
        before.flush();
        before.fill(true);
        let spare = |disk: &Simulated| disk.list(".spare", 99).expect("there").len();
        let all = spare(&before);
        let twice = |disk: &Simulated| {
            disk::replace(disk, "state", b"newer")?;
            disk::replace(disk, "state", b"newest")
        };
        let cuts = before.cut_everywhere(twice, |disk, done| {
            let found = disk.read("state", 9).expect("there");
            assert!(found == b"newest" || !done && (found == b"newer" || found == b"old"), "{found:?}");
            // And so it is from there, also of a name that is new.
            disk::sweep(&disk, "");
            for round in 0..3 {
                disk::replace(&disk, "state", b"last").expect("it costs nothing");
                assert_eq!(
                    (disk.read("state", 9).expect("there"), disk.read("other", 9).expect("there")),
                    (b"last".to_vec(), b"other".to_vec()),
                    "{round}"
                );
            }
            let left = spare(&disk);
            assert!(left + 1 >= all, "at most the one that was on its way is lost");
            disk::replace(&disk, "roots/2.cbor", b"root").expect("it costs one");
            assert_eq!(
                (spare(&disk), disk.read("roots/2.cbor", 9).expect("there")),
                (left - 1, b"root".to_vec())
            );
        });
        println!("a spare file: {cuts}");
        twice(&before).expect("there are spare files");
        assert_eq!(spare(&before), all);
        let failed = before.fail_everywhere(twice, |disk, step, _| {
            let found = disk.read("state", 9).expect("there");
            assert!([&b"newer"[..], b"newest"].contains(&&found[..]), "step {step}: {found:?}");
        });
        assert!(failed > 10, "{failed} steps");
    }

    /// The disk itself must be able to say no: each way of writing a file that is not safe leaves neither old nor new
    /// somewhere, and the right one does nowhere.
    #[test]
    fn what_is_not_flushed_is_lost_somewhere() {
        let mut before = Simulated::default();
        disk::replace(&before, "state", b"old").expect("the power is on");
        before.flush();
        let in_place = |disk: &Simulated| {
            let mut file = disk.create("state")?;
            disk.write(&mut file, b"new")?;
            disk.sync(&file)?;
            disk.sync_directory("")
        };
        let without_sync = |disk: &Simulated| {
            let mut file = disk.create("beside")?;
            disk.write(&mut file, b"new")?;
            disk.rename("beside", "state")?;
            disk.sync_directory("")
        };
        let without_directory = |disk: &Simulated| {
            let mut file = disk.create("beside")?;
            disk.write(&mut file, b"new")?;
            disk.sync(&file)?;
            disk.rename("beside", "state")
        };
        let right = |disk: &Simulated| disk::replace(disk, "state", b"new");
        let cases: [(Operation<'_>, bool); 4] =
            [(&in_place, false), (&without_sync, false), (&without_directory, false), (&right, true)];
        for (number, (operation, safe)) in cases.into_iter().enumerate() {
            let good = std::cell::Cell::new(true);
            before.cut_everywhere(operation, |disk, done| {
                let found = disk.read("state", 9).unwrap_or_default();
                if !(found == b"new" || found == b"old" && !done) {
                    good.set(false);
                }
            });
            assert_eq!(good.get(), safe, "case {number}");
        }
    }
}
