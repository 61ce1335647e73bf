//! What is mounted where, as this process sees it: `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) id: u64,
    /// The kernel's number of the file system: major << 20 | minor.
    pub(super) device: u32,
    /// The part of the file system that it shows.
    pub(super) root: PathBuf,
    /// Where.
    pub(super) point: PathBuf,
}

/// All mounts, in the order they were made.
#[derive(Debug)]
pub(super) struct Mounts(pub(super) Vec<Mount>);

impl Mounts {
    pub(super) fn read() -> io::Result<Self> {
        fs::read("/proc/self/mountinfo")
            .map(|text| Self(text.split(|b| *b == b'\n').filter_map(line).collect()))
    }

    /// The mount with this id.
    pub(super) fn of(&self, id: u64) -> Option<&Mount> {
        self.0.iter().find(|mount| mount.id == id)
    }

    /// What is mounted below a directory: the root of each mount, device and inode.
    pub(super) fn below(&self, directory: &Path) -> Vec<super::place::Object> {
        self.0
            .iter()
            .filter(|mount| mount.point != directory && mount.point.starts_with(directory))
            .filter_map(|mount| super::place::inode_of(&mount.point).ok())
            .collect()
    }

    /// Inode number of the root of a file system, by a mount that shows it whole and is not covered by another.
    pub(super) fn root_inode(&self, device: u32) -> Option<u64> {
        self.0.iter().filter(|mount| mount.device == device && mount.root == Path::new("/")).find_map(
            |mount| {
                let found = fs::metadata(&mount.point).ok()?;
                (kernel_device(found.dev()) == device).then(|| found.ino())
            },
        )
    }
}

/// The kernel's form of a device number: major << 20 | minor.
pub(super) fn kernel_device(device: u64) -> u32 {
    rustix::fs::major(device) << 20 | rustix::fs::minor(device)
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`
fn line(text: &[u8]) -> Option<Mount> {
    let mut fields = text.split(|byte| *byte == b' ');
    let number = |field: &[u8]| str::from_utf8(field).ok()?.parse::<u64>().ok();
    let id = number(fields.next()?)?;
    let device = fields.nth(1)?;
    let (major, minor) = str::from_utf8(device).ok()?.split_once(':')?;
    let device = major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?;
    Some(Mount { id, device, root: unescape(fields.next()?), point: unescape(fields.next()?) })
}

/// Space, tab, newline and backslash stand there as `\ooo`.
fn unescape(field: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[3..];
            }
            None => out.push(*first),
        }
    }
    PathBuf::from(OsStr::from_bytes(&out))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        let mount =
            line(br"36 35 254:17 /part /mnt/a\040b\134 rw,noatime master:1 - ext4 /dev/vda1 rw").unwrap();
        assert_eq!((mount.id, mount.device), (36, (254 << 20) + 17));
        assert_eq!(
            (mount.root.as_path(), mount.point.as_path()),
            (Path::new("/part"), Path::new(r"/mnt/a b\"))
        );
        for bad in ["", "36", "36 35 x:1 / /", "36 35 1:1 /"] {
            assert_eq!(line(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn the_root_of_this_process_is_among_them() {
        let mounts = Mounts::read().unwrap();
        assert!(mounts.0.iter().any(|mount| mount.point == Path::new("/")));
    }
}
