//! The one directory of a stick, and what may be read of it.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, RawDir, ResolveFlags, SeekFrom, openat2};
use rustix::io::Errno;

use crate::limits;

/// An open directory. What is below it is reached through it: by one name, through no link, and on the same file system.
pub(crate) struct Directory(OwnedFd);

/// The entries of a directory that are looked at.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// In the directory's own order, `.` and `..` left out.
    pub(crate) names: Vec<CString>,
    /// There are more.
    pub(crate) more: bool,
}

/// Why a file is not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is longer than it may be.
    TooLarge(u64),
    /// It is a link, a directory, a pipe or a device.
    NotRegular,
    /// The file system said so.
    Io(io::Error),
}

impl Unread {
    /// The stable reason code (`docs/formats/reason-codes.md`).
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too-large",
            Self::NotRegular | Self::Io(_) => "unreadable",
        }
    }
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge(limit) => write!(f, "longer than {limit} bytes"),
            Self::NotRegular => f.write_str("not a regular file"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl Directory {
    /// Opens `name` right below `mount`; `None` when there is nothing of this name.
    ///
    /// # Errors
    /// Also for anything that is no directory, a link to one included.
    pub(crate) fn open(mount: &Path, name: &str) -> io::Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::openat(CWD, mount, flags, Mode::empty())?;
        Self(top).below(name)
    }

    /// Opens the directory `name` in this one; `None` when there is nothing of this name.
    pub(crate) fn below(&self, name: &str) -> io::Result<Option<Self>> {
        match open_in(&self.0, name, OFlags::DIRECTORY) {
            Ok(directory) => Ok(Some(Self(directory))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the directory `name` in this one, and makes it first if it is not there.
    pub(crate) fn make(&self, name: &str) -> io::Result<Self> {
        match rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => rustix::fs::fsync(&self.0)?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Self(open_in(&self.0, name, OFlags::DIRECTORY)?))
    }

    /// The first [`limits::STICK_ENTRIES`] entries. A directory that never ends is left then.
    pub(crate) fn names(&self) -> io::Result<Names> {
        rustix::fs::seek(&self.0, SeekFrom::Start(0))?;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut entries = RawDir::new(self.0.as_fd(), &mut buffer);
        let mut found = Names::default();
        // `.` and `..` are on most file systems, and are nobody's files; on a hostile one they too may come for ever.
        let mut dots = 0;
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if (name == c"." || name == c"..") && dots < 2 {
                dots += 1;
                continue;
            }
            if found.names.len() == limits::STICK_ENTRIES {
                found.more = true;
                break;
            }
            found.names.push(name.to_owned());
        }
        Ok(found)
    }

    /// Reads the regular file `name`, of at most `limit` bytes, into memory of our own; `None` when there is nothing of
    /// this name.
    pub(crate) fn read(&self, name: &CStr, limit: u64) -> Result<Option<Vec<u8>>, Unread> {
        let Some((file, length)) = self.file(name, limit)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(length as usize);
        // One more than the limit: a file that grows while it is read is noticed, not followed.
        file.take(limit + 1).read_to_end(&mut bytes).map_err(Unread::Io)?;
        if bytes.len() as u64 > limit { Err(Unread::TooLarge(limit)) } else { Ok(Some(bytes)) }
    }

    /// Opens the regular file `name`, of at most `limit` bytes, and says how long it is; `None` when there is nothing of this
    /// name.
    pub(crate) fn file(&self, name: &CStr, limit: u64) -> Result<Option<(File, u64)>, Unread> {
        // NONBLOCK: a pipe that nobody writes to is not waited for.
        let file = match open_in(&self.0, name, OFlags::NONBLOCK | OFlags::NOCTTY) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            // A link; a socket, or a device where there may be none.
            Err(Errno::LOOP | Errno::NXIO | Errno::ACCESS) => return Err(Unread::NotRegular),
            Err(error) => return Err(Unread::Io(error.into())),
        };
        let found = file.metadata().map_err(Unread::Io)?;
        if !found.is_file() {
            return Err(Unread::NotRegular);
        }
        if found.len() > limit {
            return Err(Unread::TooLarge(limit));
        }
        Ok(Some((file, found.len())))
    }
}

fn open_in<P: rustix::path::Arg>(directory: &OwnedFd, name: P, more: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    openat2(directory, name, flags, Mode::empty(), resolve)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rustix::fs::{FileType, mknodat};
    use std::fs;
    use std::os::unix::fs::symlink;

    fn stick() -> (tempfile::TempDir, Directory) {
        let stick = tempfile::tempdir().unwrap();
        fs::create_dir(stick.path().join("aegis")).unwrap();
        let directory = Directory::open(stick.path(), "aegis").unwrap().unwrap();
        (stick, directory)
    }

    #[test]
    fn only_a_real_directory_of_the_exact_name_is_entered() {
        let stick = tempfile::tempdir().unwrap();
        assert!(Directory::open(stick.path(), "aegis").unwrap().is_none());
        fs::create_dir(stick.path().join("elsewhere")).unwrap();
        for target in ["elsewhere", "aegis", ".", "/etc", "nowhere"] {
            symlink(target, stick.path().join("aegis")).unwrap();
            assert!(Directory::open(stick.path(), "aegis").is_err(), "a link to {target}");
            fs::remove_file(stick.path().join("aegis")).unwrap();
        }
        fs::write(stick.path().join("aegis"), b"").unwrap();
        assert!(Directory::open(stick.path(), "aegis").is_err(), "a file");
        for outside in ["..", "../..", "/", "/etc"] {
            assert!(Directory::open(stick.path(), outside).is_err(), "{outside}");
        }
    }

    #[test]
    fn only_regular_files_are_read_and_only_so_much() {
        let (stick, directory) = stick();
        let at = |name: &str| stick.path().join("aegis").join(name);
        fs::write(at("file"), [7; 100]).unwrap();
        fs::write(stick.path().join("outside"), b"x").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("../outside", at("out-of-it")).unwrap();
        symlink("/proc/self/exe", at("magic")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("folder/inner"), b"x").unwrap();
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        std::os::unix::net::UnixListener::bind(at("socket")).unwrap();

        assert_eq!(directory.read(c"file", 100).unwrap().unwrap(), [7; 100]);
        assert!(matches!(directory.read(c"file", 99), Err(Unread::TooLarge(99))));
        assert!(directory.read(c"nothing", 100).unwrap().is_none());
        for name in
            [c"link", c"loop", c"out-of-it", c"magic", c"folder", c"pipe", c"socket", c".", c"folder/../.."]
        {
            let unread = directory.read(name, 100);
            assert!(matches!(unread, Err(Unread::NotRegular | Unread::Io(_))), "{name:?}: {unread:?}");
        }
        assert!(directory.read(c"../outside", 100).is_err());
        assert!(directory.read(c"", 100).unwrap().is_none());
    }

    #[test]
    fn of_ten_thousand_entries_the_first_are_looked_at_whatever_they_are_called() {
        let (stick, directory) = stick();
        assert!(directory.names().unwrap().names.is_empty());
        for number in 0..limits::STICK_ENTRIES {
            fs::write(stick.path().join("aegis").join(format!(".{number}\x1b[31m\n\x07")), b"").unwrap();
        }
        let full = directory.names().unwrap();
        assert_eq!((full.names.len(), full.more), (limits::STICK_ENTRIES, false));
        for number in 0..10_000 {
            fs::write(stick.path().join("aegis").join(format!("{number}.aegis")), b"").unwrap();
        }
        let crowded = directory.names().unwrap();
        assert_eq!((crowded.names.len(), crowded.more), (limits::STICK_ENTRIES, true));
    }

    #[test]
    fn a_directory_is_made_once_and_never_through_a_link() {
        let (stick, directory) = stick();
        let out = stick.path().join("aegis/out");
        directory.make("out").unwrap();
        fs::write(out.join("kept"), b"").unwrap();
        directory.make("out").unwrap();
        assert!(out.join("kept").exists());
        fs::remove_dir_all(&out).unwrap();
        fs::create_dir(stick.path().join("elsewhere")).unwrap();
        symlink("../elsewhere", &out).unwrap();
        assert!(directory.make("out").is_err());
        assert!(directory.below("out").is_err());
        assert!(directory.below("roots").unwrap().is_none());
    }
}
