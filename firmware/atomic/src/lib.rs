//! Files that are there whole or not at all: written, flushed, renamed, their directory flushed. And files of others, read within bounds.
//! One room for the programs of the device that leave state behind: the old one or the new one, whenever the power fails.
#![forbid(unsafe_code)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How the name of a file begins and ends that is not published yet.
pub const TEMPORARY: (&str, &str) = (".aegis-", ".tmp");

/// A file that is not there until [`Pending::publish`] has made it durable. Dropped before that, it leaves nothing.
pub struct Pending {
    file: File,
    temporary: PathBuf,
    published: bool,
}

impl Pending {
    /// Begins a file beside where it will be published, with these permission bits.
    pub fn begin(directory: &Path, mode: u32) -> io::Result<Self> {
        let temporary = directory.join(format!("{}{}{}", TEMPORARY.0, std::process::id(), TEMPORARY.1));
        let file = match create(&temporary, mode) {
            // Left by a process of the same number that lost power before the rename: never valid.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&temporary)?;
                create(&temporary, mode)?
            }
            other => other?,
        };
        Ok(Self { file, temporary, published: false })
    }

    /// Has what was written so far written back.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Makes what was written durable under `name`, in the same directory, replacing what was there.
    pub fn publish(mut self, name: &str) -> io::Result<PathBuf> {
        self.file.sync_all()?;
        let directory = self.temporary.parent().unwrap_or(Path::new("/")).to_owned();
        let path = directory.join(name);
        fs::rename(&self.temporary, &path)?;
        self.published = true;
        File::open(&directory)?.sync_all()?;
        Ok(path)
    }
}

/// Removes files that a power cut kept from being published; at most so many, the rest next time.
pub fn sweep(directory: &Path) {
    const MOST: usize = 64;
    let Ok(entries) = fs::read_dir(directory) else { return };
    let left_over = |entry: &fs::DirEntry| is_left_over(entry.file_name().as_encoded_bytes());
    for entry in entries.flatten().filter(left_over).take(MOST) {
        // One that can't be removed is in nobody's way.
        let _ = fs::remove_file(entry.path());
    }
}

/// True when this is the name of a file that was not published.
pub fn is_left_over(name: &[u8]) -> bool {
    name.starts_with(TEMPORARY.0.as_bytes()) && name.ends_with(TEMPORARY.1.as_bytes())
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Replaces `directory/name` with `bytes`, durably, or leaves it as it was.
pub fn replace(directory: &Path, name: &str, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    let mut pending = Pending::begin(directory, mode)?;
    pending.write_all(bytes)?;
    pending.publish(name)
}

/// Makes a directory, its parents too, that only root can enter; its parent is flushed.
pub fn make_private_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    if let Some(parent) = path.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// What a file says that another process of ours left. One that is not there says nothing; one that can't be read or understood neither,
/// and that is told.
pub fn read_or_default<T: Default>(path: &Path, limit: u64, decode: impl FnOnce(&[u8]) -> Option<T>) -> T {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "damaged");
    match read_bounded(path, limit).and_then(|bytes| decode(&bytes).ok_or_else(damaged)) {
        Ok(found) => found,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                log::error!("{}: {error}", path.display());
            }
            T::default()
        }
    }
}

/// Reads a regular file of at most `limit` bytes, following no symbolic link in its last component.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    read_bounded_file(&file, limit)
}

/// Reads an open file that must be regular, of at most `limit` bytes.
pub fn read_bounded_file(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    if metadata.len() > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {limit} bytes")));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    // One more than the limit: a file that grows while it is read is noticed, not followed.
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {limit} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_published_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        replace(directory.path(), "state", b"old", 0o600).unwrap();
        let mut pending = Pending::begin(directory.path(), 0o600).unwrap();
        pending.write_all(b"new").unwrap();
        drop(pending);
        assert_eq!(fs::read(directory.path().join("state")).unwrap(), b"old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_what_was_left_over_is_swept() {
        let directory = tempfile::tempdir().unwrap();
        for name in [".aegis-7.tmp", "trust.a", ".aegis-7", "7.tmp"] {
            fs::write(directory.path().join(name), b"").unwrap();
        }
        sweep(directory.path());
        assert!(!directory.path().join(".aegis-7.tmp").exists());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_link_a_directory_and_a_long_file_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, [0; 100]).unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read_bounded(&file, 100).unwrap().len(), 100);
        assert!(read_bounded(&file, 99).is_err());
        assert!(read_bounded(&link, 100).is_err());
        assert!(read_bounded(directory.path(), 100).is_err());
    }
}
