//! Own storage through one door: the few steps that old-or-new is made of, and nothing else.
//!
//! What decides about trust is generic over [`Disk`], so that a test can put a disk behind it that loses power at every
//! one of these steps. [`Data`] is the real one.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, RenameFlags};

use aegis_seal::StorageKey;

use super::counter::Witness;
use super::{DATA, atomic};
use crate::tpm::device as tpm;
use crate::tpm::found::{self, Found, Key};

/// A directory tree one level deep. Paths are relative to it: `NAME`, or `DIRECTORY/NAME`; `""` is the tree itself.
/// Nothing is durable before it is flushed: a file's contents by [`Disk::sync`], names by [`Disk::sync_directory`].
pub(crate) trait Disk: Witness {
    /// A file that is being written.
    type File;

    /// Reads a regular file. No symbolic link is followed.
    ///
    /// # Errors
    /// `NotFound`; `FileTooLarge` over `limit` bytes; `InvalidInput` when it is no regular file; I/O errors.
    fn read(&self, path: &str, limit: u64) -> io::Result<Vec<u8>>;

    /// The names in a directory, at most `most`, in no order; none when there is no such directory.
    fn list(&self, directory: &str, most: usize) -> io::Result<Vec<String>>;

    /// Makes a directory that only root can enter, unless it is there.
    fn make_directory(&self, path: &str) -> io::Result<()>;

    /// Begins a new file, in place of what may be there.
    fn create(&self, path: &str) -> io::Result<Self::File>;

    /// Writes all of `bytes` at the end of a file.
    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;

    /// Makes the contents of a file durable, not its name.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Opens a regular file to be read in pieces, and says how long it is. No symbolic link is followed.
    ///
    /// # Errors
    /// As [`Disk::read`].
    fn open(&self, path: &str) -> io::Result<(Self::File, u64)>;

    /// Reads all of `bytes` from this place of a file: from the disk, where it was durable and not read since.
    fn read_at(&self, file: &Self::File, at: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Opens a file to be written from its beginning: what it held is gone at once.
    fn renew(&self, path: &str) -> io::Result<Self::File>;

    /// Gives a file or a directory another name, in place of what is there.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Gives each of two files in one directory the other's name, in one step.
    fn exchange(&self, one: &str, other: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &str) -> io::Result<()>;
}

/// A file that is written and durable, under no name that counts.
#[must_use = "a file that is not published is not there"]
pub(crate) struct Pending {
    temporary: String,
    path: String,
    /// It was a spare file, of this path.
    spare: Option<String>,
}

/// Writes what is to be at `path`, durably, beside it: all that can run out of space is done here.
pub(crate) fn prepare(disk: &impl Disk, path: &str, bytes: &[u8]) -> io::Result<Pending> {
    prepare_by(disk, path, |disk, file| disk.write(file, bytes))
}

/// The same of what is not in memory: `write` writes it.
pub(crate) fn prepare_by<D: Disk, E: From<io::Error>>(
    disk: &D,
    path: &str,
    write: impl FnOnce(&D, &mut D::File) -> Result<(), E>,
) -> Result<Pending, E> {
    let (directory, name) = split(path);
    let temporary = join(directory, &format!("{}{name}{}", atomic::TEMPORARY.0, atomic::TEMPORARY.1));
    if !directory.is_empty() {
        disk.make_directory(directory)?;
        // Also when it was there: whoever made it may not have come to this.
        disk.sync_directory("")?;
    }
    let mut pending = Pending { temporary, path: path.to_owned(), spare: None };
    let written = pending.begin(disk).map_err(E::from).and_then(|mut file| {
        write(disk, &mut file)?;
        Ok(disk.sync(&file)?)
    });
    match written {
        Ok(()) => Ok(pending),
        Err(error) => {
            pending.abandon(disk);
            Err(error)
        }
    }
}

/// Files that wait in a directory of own storage, empty: where somebody else took the last inode, what is to be written takes one of
/// them, by name only. So nobody can take that, too. Blocks are the file system's to keep (`image/data-template`).
const SPARE: &str = ".spare";

/// Makes those that are missing, and these directories, while there is room.
pub(crate) fn keep_spare(disk: &impl Disk, directories: &[&str]) -> io::Result<()> {
    for directory in directories.iter().chain(&[SPARE]) {
        disk.make_directory(directory)?;
    }
    disk.sync_directory("")?;
    let there = disk.list(SPARE, crate::limits::SPARE_FILES)?;
    let names = (0..crate::limits::SPARE_FILES).map(|number| number.to_string());
    for name in names.filter(|name| !there.contains(name)) {
        disk.create(&join(SPARE, &name))?;
        disk.sync_directory(SPARE)?;
    }
    Ok(())
}

impl Pending {
    /// Where it is meanwhile.
    pub(crate) fn meanwhile(&self) -> &str {
        &self.temporary
    }

    /// The file to be written.
    #[inline(never)]
    fn begin<D: Disk>(&mut self, disk: &D) -> io::Result<D::File> {
        let error = match disk.create(&self.temporary) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => error,
            made => return made,
        };
        for name in disk.list(SPARE, crate::limits::SPARE_FILES)? {
            let spare = join(SPARE, &name);
            // Another process may have taken it.
            if disk.rename(&spare, &self.temporary).is_ok() {
                self.spare = Some(spare);
                disk.sync_directory(split(&self.temporary).0)?;
                return disk.renew(&self.temporary);
            }
        }
        Err(error)
    }

    /// Puts it in place: one rename, made durable. On an error it may be in place all the same, and not yet durable.
    pub(crate) fn publish(self, disk: &impl Disk) -> io::Result<()> {
        // What it takes the place of is a spare file then. Where nothing is there yet it is not.
        if self.spare.is_some() && disk.exchange(&self.temporary, &self.path).is_ok() {
            disk.sync_directory(split(&self.path).0)?;
            self.abandon(disk);
            return Ok(());
        }
        if let Err(error) = disk.rename(&self.temporary, &self.path) {
            self.abandon(disk);
            return Err(error);
        }
        disk.sync_directory(split(&self.path).0)
    }

    /// Puts nothing in place.
    #[inline(never)]
    pub(crate) fn abandon(self, disk: &impl Disk) {
        // What can't be removed is swept at the next start, or overwritten.
        let _ = match &self.spare {
            Some(spare) => disk
                .renew(&self.temporary)
                .and_then(|_| disk.rename(&self.temporary, spare))
                .and_then(|()| disk.sync_directory(SPARE)),
            None => disk.remove(&self.temporary),
        };
    }
}

/// Replaces the file at `path` by `bytes`, durably, or leaves it as it was.
pub(crate) fn replace(disk: &impl Disk, path: &str, bytes: &[u8]) -> io::Result<()> {
    prepare(disk, path, bytes)?.publish(disk)
}

/// Reads a file; `None` when there is none.
pub(crate) fn read(disk: &impl Disk, path: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    match disk.read(path, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes what a power cut kept from being published.
pub(crate) fn sweep(disk: &impl Disk, directory: &str) {
    let names = disk.list(directory, crate::limits::SWEEP_ENTRIES).unwrap_or_default();
    for name in names.iter().filter(|name| atomic::is_left_over(name.as_bytes())) {
        // One that can't be removed is in nobody's way.
        let _ = disk.remove(&join(directory, name));
    }
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// Directory and name.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Own storage as the kernel has it.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    directory: PathBuf,
    /// It is this device's, which the TPM speaks of.
    is_own: bool,
}

impl Data {
    /// `/data/aegis`.
    pub(crate) fn own() -> Self {
        Self { directory: DATA.into(), is_own: true }
    }

    /// `/data/workloads`: the workloads, a directory each.
    pub(crate) fn workloads() -> Self {
        Self { directory: crate::workloads::KEPT.into(), is_own: false }
    }

    /// Another one.
    #[cfg(test)]
    pub(crate) fn at_path(directory: &std::path::Path) -> Self {
        Self { directory: directory.to_owned(), is_own: false }
    }

    /// Opens a directory of the tree, following no link below its top.
    fn directory(&self, directory: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let top = rustix::fs::open(&self.directory, flags, Mode::empty())?;
        if directory.is_empty() {
            return Ok(top);
        }
        Ok(rustix::fs::openat(top, directory, flags, Mode::empty())?)
    }

    /// Opens what is there to be read.
    fn file(&self, path: &str) -> io::Result<File> {
        let (directory, name) = self.at(path)?;
        // Without NONBLOCK a named pipe would be waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, name, flags, Mode::empty());
        file.map(File::from).map_err(|error| match error {
            rustix::io::Errno::LOOP => io::Error::new(io::ErrorKind::InvalidInput, "a symbolic link"),
            error => error.into(),
        })
    }

    /// The directory that a path is in, and the name in it.
    #[inline(never)]
    fn at<'p>(&self, path: &'p str) -> io::Result<(OwnedFd, &'p str)> {
        let (directory, name) = split(path);
        Ok((self.directory(directory)?, name))
    }
}

impl Disk for Data {
    type File = File;

    fn read(&self, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        atomic::read_bounded_file(&self.file(path)?, limit)
    }

    fn list(&self, directory: &str, most: usize) -> io::Result<Vec<String>> {
        let opened = match self.directory(directory) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(opened)?.take(most.saturating_add(2)) {
            let entry = entry?;
            // Ours are ASCII.
            if let Ok(name) = entry.file_name().to_str()
                && name != "."
                && name != ".."
                && names.len() < most
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn make_directory(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.at(path)?;
        match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => self.directory(path).map(drop),
            Err(error) => Err(error.into()),
        }
    }

    fn create(&self, path: &str) -> io::Result<File> {
        let (directory, name) = self.at(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(&directory, name, flags, Mode::RUSR | Mode::WUSR);
        match open() {
            // Left by a process that did not come to publish it.
            Err(rustix::io::Errno::EXIST) => {
                rustix::fs::unlinkat(&directory, name, AtFlags::empty())?;
                Ok(open()?.into())
            }
            other => Ok(other?.into()),
        }
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn open(&self, path: &str) -> io::Result<(File, u64)> {
        let file = self.file(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        // What is read from now on comes from the disk: clean pages are let go.
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        Ok((file, found.len()))
    }

    fn read_at(&self, file: &File, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        file.read_exact_at(bytes, at)
    }

    fn renew(&self, path: &str) -> io::Result<File> {
        let (directory, name) = self.at(path)?;
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let ((directory, from), (above, to)) = (self.at(from)?, self.at(to)?);
        Ok(rustix::fs::renameat(directory, from, above, to)?)
    }

    fn exchange(&self, one: &str, other: &str) -> io::Result<()> {
        let (directory, one) = self.at(one)?;
        Ok(rustix::fs::renameat_with(&directory, one, &directory, split(other).1, RenameFlags::EXCHANGE)?)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let (directory, name) = self.at(path)?;
        Ok(rustix::fs::unlinkat(directory, name, AtFlags::empty())?)
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        File::from(self.directory(path)?).sync_all()
    }
}

impl Witness for Data {
    fn lock(&self) -> io::Result<Option<File>> {
        if self.is_own { super::trust::lock().map(Some) } else { Ok(None) }
    }

    fn key(&self) -> Option<StorageKey> {
        self.is_own.then(found::storage_key).flatten()
    }

    fn value(&self) -> io::Result<Option<u64>> {
        if self.is_own && Found::load().counts { tpm::counter().map(Some) } else { Ok(None) }
    }

    fn increment(&self) -> io::Result<()> {
        tpm::increment()
    }

    fn is_held(&self) -> bool {
        self.is_own && Found::load().held
    }

    fn release(&self) -> io::Result<()> {
        Found { held: false, ..Found::load() }.save()
    }

    fn is_alone(&self) -> bool {
        Found::load().key == Key::NoTpm
    }
}

impl<D: Witness> Witness for &D {
    fn lock(&self) -> io::Result<Option<File>> {
        (**self).lock()
    }

    fn key(&self) -> Option<StorageKey> {
        (**self).key()
    }

    fn value(&self) -> io::Result<Option<u64>> {
        (**self).value()
    }

    fn increment(&self) -> io::Result<()> {
        (**self).increment()
    }

    fn is_held(&self) -> bool {
        (**self).is_held()
    }

    fn release(&self) -> io::Result<()> {
        (**self).release()
    }

    fn is_alone(&self) -> bool {
        (**self).is_alone()
    }
}

impl<D: Disk> Disk for &D {
    type File = D::File;

    fn read(&self, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        (**self).read(path, limit)
    }

    fn list(&self, directory: &str, most: usize) -> io::Result<Vec<String>> {
        (**self).list(directory, most)
    }

    fn make_directory(&self, path: &str) -> io::Result<()> {
        (**self).make_directory(path)
    }

    fn create(&self, path: &str) -> io::Result<Self::File> {
        (**self).create(path)
    }

    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()> {
        (**self).write(file, bytes)
    }

    fn sync(&self, file: &Self::File) -> io::Result<()> {
        (**self).sync(file)
    }

    fn open(&self, path: &str) -> io::Result<(Self::File, u64)> {
        (**self).open(path)
    }

    fn read_at(&self, file: &Self::File, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        (**self).read_at(file, at, bytes)
    }

    fn renew(&self, path: &str) -> io::Result<Self::File> {
        (**self).renew(path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        (**self).rename(from, to)
    }

    fn exchange(&self, one: &str, other: &str) -> io::Result<()> {
        (**self).exchange(one, other)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        (**self).remove(path)
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        (**self).sync_directory(path)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    fn data() -> (tempfile::TempDir, Data) {
        let directory = tempfile::tempdir().unwrap();
        let data = Data { directory: directory.path().to_owned(), is_own: false };
        (directory, data)
    }

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let (directory, data) = data();
        for bytes in [&b"old"[..], b"newer"] {
            replace(&data, "roots/2.cbor", bytes).unwrap();
            assert_eq!(data.read("roots/2.cbor", 5).unwrap(), bytes);
        }
        assert_eq!(data.list("roots", 9).unwrap(), ["2.cbor"]);
        prepare(&data, "state", b"x").unwrap().abandon(&data);
        assert_eq!(data.list("", 9).unwrap(), ["roots"]);
        // A process died before the rename: the next one does not stumble.
        let _ = prepare(&data, "state", b"half").unwrap();
        assert_eq!(data.list("", 9).unwrap().len(), 2);
        replace(&data, "state", b"whole").unwrap();
        assert_eq!(fs::read(directory.path().join("state")).unwrap(), b"whole");
        let _ = prepare(&data, "state", b"half").unwrap();
        sweep(&data, "");
        let mut names = data.list("", 9).unwrap();
        names.sort();
        assert_eq!(names, ["roots", "state"]);
    }

    #[test]
    fn links_pipes_and_long_files_are_not_read_and_what_is_not_there_is_not_found() {
        let (directory, data) = data();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("long"), [0; 9]).unwrap();
        std::os::unix::fs::symlink(at("long"), at("link")).unwrap();
        fs::create_dir(at("elsewhere")).unwrap();
        std::os::unix::fs::symlink(at("elsewhere"), at("roots")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        for (path, expected) in [
            ("long", io::ErrorKind::FileTooLarge),
            ("link", io::ErrorKind::InvalidInput),
            ("pipe", io::ErrorKind::InvalidInput),
            ("elsewhere", io::ErrorKind::InvalidInput),
            ("none", io::ErrorKind::NotFound),
            ("none/none", io::ErrorKind::NotFound),
        ] {
            assert_eq!(data.read(path, 8).unwrap_err().kind(), expected, "{path}");
        }
        assert!(replace(&data, "roots/2.cbor", b"x").is_err(), "a link in place of the directory");
        assert_eq!(fs::read_dir(at("elsewhere")).unwrap().count(), 0);
        assert!(read(&data, "none", 8).unwrap().is_none());
        assert!(data.list("none", 8).unwrap().is_empty());
        assert_eq!(data.list("", 2).unwrap().len(), 2);
    }
}
