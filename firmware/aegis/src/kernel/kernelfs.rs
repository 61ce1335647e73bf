//! File systems of the kernel's own, opened by what they are and not by where they are: a workload that may mount can put
//! something else there. What is below is looked up from the one descriptor that was looked at, and leaves it nowhere.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::KernelError;
use crate::limits;

/// One of the kernel's file systems (`include/uapi/linux/magic.h`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    path: &'static str,
    magic: u64,
    /// Inode number of its root, where a mount of a part of it would not do.
    root: Option<u64>,
    /// The mend, when it is another.
    what: &'static str,
}

/// The root cgroup's id is 1 (`kernel/cgroup/cgroup.c:cgroup_setup_root`).
pub(crate) const CGROUPS: Kind = Kind {
    path: "/sys/fs/cgroup",
    magic: 0x6367_7270,
    root: Some(1),
    what: "not the root of cgroup v2 (something is mounted over it? umount it; or mount -t cgroup2 cgroup2 /sys/fs/cgroup)",
};
pub(crate) const PROC: Kind = Kind {
    path: "/proc",
    magic: 0x9fa0,
    root: Some(1), // PROC_ROOT_INO
    what: "not procfs (something is mounted over it? umount it; or mount -t proc proc /proc)",
};
pub(crate) const SYSFS: Kind = Kind {
    path: "/sys",
    magic: 0x6265_6572,
    root: None,
    what: "not sysfs (something is mounted over it? umount it; or mount -t sysfs sysfs /sys)",
};

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The root of one, looked at once.
#[derive(Debug)]
pub(crate) struct Known(OwnedFd);

impl Known {
    pub(crate) fn open(kind: Kind) -> Result<Self, KernelError> {
        Self::open_at(kind, Path::new(kind.path))
    }

    fn open_at(kind: Kind, path: &Path) -> Result<Self, KernelError> {
        let missing = |_: Errno| KernelError::Missing { path: kind.path, what: kind.what };
        let root = rustix::fs::openat2(CWD, path, FOLDER, Mode::empty(), ResolveFlags::NO_SYMLINKS)
            .map_err(missing)?;
        let found = rustix::fs::fstatfs(&root).map_err(missing)?.f_type.cast_unsigned();
        let inode = rustix::fs::fstat(&root).map_err(missing)?.st_ino;
        if found != kind.magic || kind.root.is_some_and(|root| root != inode) {
            return Err(missing(Errno::NODEV));
        }
        Ok(Self(root))
    }

    /// Opens what is below: never on another file system, nor by a link of the kernel's that leads elsewhere.
    pub(crate) fn below(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        below(self.0.as_fd(), path, flags)
    }

    /// A directory below, for what is done in it.
    pub(crate) fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        self.below(path, FOLDER)
    }

    /// The beginning of a file below, as much as there is room for: read without allocation. What is a text is whole to its last
    /// line feed.
    pub(crate) fn read_into<'b>(&self, path: &Path, room: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let mut file = File::from(self.below(path, OFlags::RDONLY | OFlags::NONBLOCK)?);
        let mut length = 0;
        while length < room.len() {
            match file.read(&mut room[length..]) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&room[..length])
    }

    /// Names in a directory below, `.` and `..` not among them; at most so many.
    pub(crate) fn names(&self, path: &Path, most: usize) -> io::Result<Vec<std::ffi::OsString>> {
        use std::os::unix::ffi::OsStringExt as _;
        let directory = rustix::fs::Dir::new(self.below(path, OFlags::RDONLY | OFlags::DIRECTORY)?)?;
        let mut names = Vec::new();
        for entry in directory {
            let name = entry?.file_name().to_bytes().to_vec();
            if !matches!(name.as_slice(), b"." | b"..") && names.len() < most {
                names.push(std::ffi::OsString::from_vec(name));
            }
        }
        Ok(names)
    }

    /// The text of a file below.
    pub(crate) fn read(&self, path: &Path) -> io::Result<String> {
        let mut text = String::new();
        let file = File::from(self.below(path, OFlags::RDONLY)?);
        file.take(limits::KERNEL_TEXT_BYTES).read_to_string(&mut text)?;
        Ok(text)
    }
}

/// What the kernel says of each task of a process (`/proc/PID/task/TID/status`), of so many at most.
pub(crate) fn tasks(process: u32) -> Result<Vec<String>, KernelError> {
    let proc = Known::open(PROC)?;
    let place = format!("{process}/task");
    let read = || {
        let folder = proc.below(Path::new(&place), OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut found = Vec::new();
        for entry in rustix::fs::Dir::read_from(folder)?.take(limits::AGENT_TASKS) {
            let entry = entry?;
            let Some(task) = entry.file_name().to_str().ok().filter(|name| name.parse::<u32>().is_ok())
            else {
                continue;
            };
            match proc.read(Path::new(&format!("{place}/{task}/status"))) {
                Ok(status) => found.push(status),
                // It ended meanwhile.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    };
    read().map_err(KernelError::file(Path::new(PROC.path).join(&place)))
}

/// Links of sysfs and `/proc/self` are words below the same root: they are followed. No link leads out of it.
pub(crate) fn below(directory: impl AsFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(directory, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_mounted_elsewhere_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("workloads")).unwrap();
        for kind in [CGROUPS, PROC, SYSFS] {
            let refused = Known::open_at(kind, directory.path()).unwrap_err();
            assert_eq!(refused.code(), "kernel-feature-missing");
            assert!(refused.to_string().starts_with(kind.path), "{refused}");
        }
        // A part of it is not all of it.
        assert!(Known::open_at(PROC, Path::new("/proc/sys")).is_err());
        // By a link it may be anything the next moment.
        let link = directory.path().join("proc");
        std::os::unix::fs::symlink("/proc", &link).unwrap();
        assert!(Known::open_at(PROC, &link).is_err());
    }

    #[test]
    fn each_task_of_a_process_is_told() {
        let told = tasks(std::process::id()).unwrap();
        assert!(!told.is_empty() && told.iter().all(|status| status.contains("\nSeccomp:")), "{told:?}");
        assert!(tasks(u32::MAX).is_err());
    }

    #[test]
    fn nothing_leads_out_of_it() {
        let proc = Known::open(PROC).unwrap();
        assert!(proc.read(Path::new("self/stat")).unwrap().starts_with(&std::process::id().to_string()));
        for out in ["../etc/passwd", "/etc/passwd", "self/root/etc/passwd", "self/cwd"] {
            assert!(proc.below(Path::new(out), OFlags::PATH).is_err(), "{out}");
        }
    }
}
