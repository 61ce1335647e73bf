//! Own storage through one door: the few steps that old-or-new is made of, and nothing else.
//!
//! What decides about trust is generic over [`Disk`], so that a test can put a disk behind it that loses power at every
//! one of these steps. [`Data`] is the real one.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};

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

    /// Gives a file another name in the same directory, in place of what is there.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

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
    let written = disk.create(&temporary).map_err(E::from).and_then(|mut file| {
        write(disk, &mut file)?;
        Ok(disk.sync(&file)?)
    });
    match written {
        Ok(()) => Ok(Pending { temporary, path: path.to_owned() }),
        Err(error) => {
            abandon(disk, &temporary);
            Err(error)
        }
    }
}

impl Pending {
    /// Where it is meanwhile.
    pub(crate) fn meanwhile(&self) -> &str {
        &self.temporary
    }

    /// Puts it in place: one rename, made durable. On an error it may be in place all the same, and not yet durable.
    pub(crate) fn publish(self, disk: &impl Disk) -> io::Result<()> {
        if let Err(error) = disk.rename(&self.temporary, &self.path) {
            abandon(disk, &self.temporary);
            return Err(error);
        }
        disk.sync_directory(split(&self.path).0)
    }

    /// Puts nothing in place.
    pub(crate) fn abandon(self, disk: &impl Disk) {
        abandon(disk, &self.temporary);
    }
}

/// What can't be removed is swept at the next start, or overwritten.
fn abandon(disk: &impl Disk, temporary: &str) {
    let _ = disk.remove(temporary);
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

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (directory, from) = self.at(from)?;
        Ok(rustix::fs::renameat(&directory, from, &directory, split(to).1)?)
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

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        (**self).rename(from, to)
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
