//! What devices left: the files of `aegis/out/`, on a mounted stick or on an image. All of it is anybody's.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use aegis_stick::FileSystem;
use rustix::fs::{CWD, Dir, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::image::Image;
use super::{DIRECTORY, OUT, is_plain_name, label, limits};
use crate::files::plain;
use crate::outcome::Failure;

/// Where the files are.
pub(super) enum Source {
    /// `aegis/out` of a mounted stick.
    Directory(OwnedFd),
    /// An image of a vfat.
    Image(Image),
}

/// The names of `aegis/out`, sorted.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Those that a device may have given, sorted.
    pub(super) plain: Vec<String>,
    /// Others, escaped for a terminal.
    pub(super) strange: Vec<String>,
    /// There are more than are looked at.
    pub(super) more: bool,
}

impl Source {
    /// Opens a stick; `None` when no device ever wrote to it.
    pub(super) fn open(from: &Path) -> Result<Option<Self>, Failure> {
        let name = from.display();
        let there = from
            .metadata()
            .map_err(|error| Failure::usage(format!("{name}: can't open it: {}", plain(&error))))?;
        if there.is_dir() {
            return directory(from).map(|found| found.map(Self::Directory));
        }
        if !there.is_file() && !there.file_type().is_block_device() {
            return Err(Failure::usage(format!("{name}: neither a directory nor an image of a stick")));
        }
        let image = File::open(from)
            .map_err(|error| Failure::usage(format!("{name}: can't open it: {}", plain(&error))))?;
        match label::find(&image) {
            Some((FileSystem::Vfat, at)) => Ok(Some(Self::Image(Image::at(from, at)))),
            Some((other, _)) => {
                Err(Failure::usage(format!("{name}: an image of {other}; mount it and name its directory")))
            }
            None => Err(Failure::refused(format!(
                "{name}: no file system labelled AEGIS in it; name a stick's image"
            ))),
        }
    }

    pub(super) fn names(&self) -> Result<Names, Failure> {
        let mut names = Names::default();
        match self {
            Self::Directory(directory) => {
                let unreadable =
                    |error: Errno| Failure::refused(format!("{DIRECTORY}/{OUT}: {}", plain(&error.into())));
                for entry in Dir::read_from(directory).map_err(unreadable)? {
                    let entry = entry.map_err(unreadable)?;
                    if !matches!(entry.file_name().to_bytes(), b"." | b"..")
                        && !names.add(entry.file_name().to_bytes())
                    {
                        break;
                    }
                }
            }
            Self::Image(image) => {
                let found = image.names(&format!("{DIRECTORY}/{OUT}"))?;
                found.unwrap_or_default().iter().all(|name| names.add(name.as_bytes()));
            }
        }
        names.plain.sort();
        names.strange.sort();
        Ok(names)
    }

    /// Hands a file's bytes to `sink`; returns how many there were, which is more than `limit` when it is too long: then
    /// not all of it was handed over.
    ///
    /// # Errors
    /// A refusal that says why it is not read.
    pub(super) fn read(
        &self,
        name: &str,
        limit: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let directory = match self {
            Self::Image(image) => return image.read(&format!("{DIRECTORY}/{OUT}/{name}"), limit, sink),
            Self::Directory(directory) => directory,
        };
        // NONBLOCK: a pipe that nobody writes to is not waited for.
        let file = below(directory, name, OFlags::NONBLOCK | OFlags::NOCTTY);
        let file = File::from(file.map_err(|error| match error {
            Errno::LOOP | Errno::NXIO => Failure::refused("not a regular file"),
            error => Failure::refused(plain(&error.into())),
        })?);
        if !file.metadata().is_ok_and(|there| there.is_file()) {
            return Err(Failure::refused("not a regular file"));
        }
        let mut file = file.take(limit.saturating_add(1));
        let mut buffer = vec![0; 1 << 16];
        let mut total = 0;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(total),
                Ok(read) => {
                    sink(&buffer[..read])?;
                    total += read as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::refused(plain(&error))),
            }
        }
    }
}

impl Names {
    /// Takes a name in; false when there are too many.
    fn add(&mut self, name: &[u8]) -> bool {
        if self.plain.len() + self.strange.len() == limits::OUT_ENTRIES {
            self.more = true;
            return false;
        }
        match std::str::from_utf8(name) {
            Ok(name) if is_plain_name(name) => self.plain.push(name.to_owned()),
            _ => self.strange.push(aegis_event::Printable(name).to_string()),
        }
        true
    }
}

/// `aegis/out` below a mount, through no link and on the same file system.
fn directory(mount: &Path) -> Result<Option<OwnedFd>, Failure> {
    let unreadable = |name: &str, error: Errno| {
        Failure::refused(format!("{}/{name}: {}", mount.display(), plain(&error.into())))
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here =
        rustix::fs::openat(CWD, mount, flags, Mode::empty()).map_err(|error| unreadable("", error))?;
    for name in [DIRECTORY, OUT] {
        here = match below(&here, name, OFlags::DIRECTORY) {
            Ok(directory) => directory,
            Err(Errno::NOENT) if name == OUT => return Ok(None),
            Err(Errno::NOENT) => {
                return Err(Failure::usage(format!(
                    "{}: no directory {DIRECTORY} in it; name a stick",
                    mount.display()
                )));
            }
            Err(error) => return Err(unreadable(name, error)),
        };
    }
    Ok(Some(here))
}

fn below(directory: &OwnedFd, name: &str, more: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    openat2(directory, name, flags, Mode::empty(), resolve)
}
