//! What a workload's programs kept, removed. They made it, so it may be as deep and as wide as they liked: directories are moved up to
//! the top before they are emptied, so that two are open at most, and nothing new is needed of a full file system.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, RenameFlags, openat, renameat_with, unlinkat};
use rustix::io::Errno;

use super::{KEPT, WRITABLE};
use crate::limits;
use crate::storage::disk::Disk;

/// In place of [`WRITABLE`], from when it is decided on until it is done.
const GONE: &str = "gone";
/// Longest path that is tried, bytes.
const LONGEST: usize = 256;

/// From here on no start finds it: one rename, made durable. What was is removed by [`remove`], now and at the next starts.
#[inline(never)]
pub(crate) fn mark(files: &impl Disk, name: &str) -> io::Result<()> {
    let data = format!("{name}/{WRITABLE}");
    let mut to = format!("{name}/{GONE}");
    loop {
        match files.rename(&data, &to) {
            Ok(()) => return files.sync_directory(name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // Of one that was taken away before something is left, it may be: then into that.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && to.len() < LONGEST => {
                to += "/more";
            }
            Err(error) => return Err(error),
        }
    }
}

/// Both, as far as [`limits::FORGET`] goes.
pub(crate) fn now(files: &impl Disk, name: &str) -> io::Result<bool> {
    mark(files, name)?;
    remove(name, Instant::now() + limits::FORGET)
}

/// Removes what is marked of this name, and its directory when nothing else is in it. False: the time is over, and something is left.
pub(crate) fn remove(name: &str, until: Instant) -> io::Result<bool> {
    remove_in(Path::new(KEPT), name, until)
}

#[inline(never)]
fn remove_in(kept: &Path, name: &str, until: Instant) -> io::Result<bool> {
    let place = kept.join(name);
    let own = match directory(CWD, place.as_os_str().as_bytes()) {
        Ok(own) => own,
        Err(Errno::NOENT) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    let done = match directory(own.as_fd(), GONE.as_bytes()) {
        Ok(top) => empty(&top, until)? && unlinkat(&own, GONE, AtFlags::REMOVEDIR).map(|()| true)?,
        Err(Errno::NOENT) => true,
        Err(error) => return Err(error.into()),
    };
    // Not while the workload is kept.
    let _ = rustix::fs::rmdir(&place);
    Ok(done)
}

/// False: the time is over.
fn empty(top: &OwnedFd, until: Instant) -> io::Result<bool> {
    let mut number = 0_u64;
    loop {
        let names = names(top)?;
        if names.is_empty() {
            return Ok(true);
        }
        for name in names {
            let Some(inner) = unlinked(top, &name)? else { continue };
            loop {
                let names = self::names(&inner)?;
                if names.is_empty() {
                    break;
                }
                for below in names {
                    if Instant::now() >= until {
                        return Ok(false);
                    }
                    if unlinked(&inner, &below)?.is_some() {
                        up(&inner, &below, top, &mut number)?;
                    }
                }
            }
            match unlinkat(top, &name, AtFlags::REMOVEDIR) {
                // Somebody who still runs made something: the next turn.
                Err(Errno::NOTEMPTY) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if Instant::now() >= until {
            return Ok(false);
        }
    }
}

/// Removes what is no directory; opens what is one.
#[inline(never)]
fn unlinked(from: &OwnedFd, name: &CString) -> io::Result<Option<OwnedFd>> {
    match unlinkat(from, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(None),
        Err(Errno::ISDIR) => Ok(Some(directory(from.as_fd(), name.to_bytes())?)),
        Err(error) => Err(error.into()),
    }
}

/// Moves a directory to the top, by a name that is free.
#[inline(never)]
fn up(from: &OwnedFd, name: &CString, top: &OwnedFd, number: &mut u64) -> io::Result<()> {
    loop {
        *number += 1;
        match renameat_with(from, name, top, number.to_string(), RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[inline(never)]
fn directory(from: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(from, name, flags, Mode::empty())
}

/// So many of the names in a directory, from its beginning.
#[inline(never)]
fn names(of: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(of)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
        if names.len() >= limits::FORGET_NAMES {
            break;
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::time::Duration;

    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    /// A chain of directories, made from its end: no path of it is ever longer than a few names.
    fn deep(at: &Path, depth: usize) {
        let (a, b) = (at.join("a"), at.join("b"));
        fs::create_dir(&a).unwrap();
        for _ in 1..depth {
            fs::create_dir(&b).unwrap();
            fs::rename(&a, b.join("d")).unwrap();
            fs::write(b.join("file"), b"").unwrap();
            fs::rename(&b, &a).unwrap();
        }
    }

    #[test]
    fn however_deep_and_wide_it_goes_and_nothing_else() {
        let kept = tempfile::tempdir().unwrap();
        let gone = kept.path().join("agent-7/gone");
        fs::create_dir_all(&gone).unwrap();
        fs::write(kept.path().join("elsewhere"), b"stays").unwrap();
        // More than a process can have open, and than a path is long.
        deep(&gone, 3000);
        let wide = gone.join("var%2Flib");
        fs::create_dir(&wide).unwrap();
        for number in 0..2 * limits::FORGET_NAMES {
            fs::write(wide.join(format!("f{number}")), b"x").unwrap();
            fs::create_dir(wide.join(number.to_string())).unwrap();
        }
        // Names that it would give itself, and a way out.
        for number in 1..9 {
            fs::write(gone.join(number.to_string()), b"").unwrap();
            fs::create_dir_all(wide.join("x").join(number.to_string()).join("y")).unwrap();
        }
        std::os::unix::fs::symlink(kept.path(), wide.join("link")).unwrap();
        std::os::unix::fs::symlink("/", gone.join("link")).unwrap();
        assert!(!remove_in(kept.path(), "agent-7", Instant::now()).unwrap(), "no time");
        assert!(gone.exists(), "the mark stays until it is done");
        assert!(remove_in(kept.path(), "agent-7", later()).unwrap());
        assert!(!kept.path().join("agent-7").exists());
        assert_eq!(fs::read(kept.path().join("elsewhere")).unwrap(), b"stays");
        assert!(remove_in(kept.path(), "agent-7", later()).unwrap(), "there is none any more");
    }

    #[test]
    fn what_is_kept_stays_beside_what_goes() {
        let kept = tempfile::tempdir().unwrap();
        let own = kept.path().join("agent-7");
        fs::create_dir_all(own.join("gone/a/b")).unwrap();
        fs::create_dir_all(own.join("data/new")).unwrap();
        fs::write(own.join("workload"), b"signed").unwrap();
        assert!(remove_in(kept.path(), "agent-7", later()).unwrap());
        assert!(own.join("workload").exists() && own.join("data/new").exists() && !own.join("gone").exists());
    }

    #[test]
    fn it_is_marked_also_when_something_is_left_of_the_one_before() {
        let kept = tempfile::tempdir().unwrap();
        let files = crate::storage::disk::Data::at_path(kept.path());
        let own = kept.path().join("agent-7");
        mark(&files, "agent-7").unwrap();
        for number in 0..4 {
            fs::create_dir_all(own.join("data/var")).unwrap();
            fs::write(own.join("data/var/file"), number.to_string()).unwrap();
            mark(&files, "agent-7").unwrap();
            assert!(own.join("gone/var/file").exists() && !own.join("data").exists(), "{number}");
        }
        fs::create_dir_all(own.join("data")).unwrap();
        mark(&files, "agent-7").unwrap();
        assert!(remove_in(kept.path(), "agent-7", later()).unwrap() && !own.exists());
    }
}
