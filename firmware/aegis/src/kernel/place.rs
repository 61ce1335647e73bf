//! Where a path leads: the object it names now, and what it is called below the root of its file system, so that what is put
//! there later is known too.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use aegis_probes::abi;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags};

use super::mounts::{Mounts, kernel_device};

/// `include/uapi/linux/magic.h`: on these, `stat` shows another device than the kernel's own number.
const OVERLAYFS_SUPER_MAGIC: u64 = 0x794c_7630;
const BTRFS_SUPER_MAGIC: u64 = 0x9123_683e;
/// On this, inode numbers of most files are made up as they are looked up: names only.
const PROC_SUPER_MAGIC: u64 = 0x9fa0;
/// On these, numbers are made up, and on the first two names are the same in capitals and small letters: vfat, exfat, FUSE, NFS,
/// 9p.
const MADE_UP: [u64; 5] = [0x4d44, 0x2011_bab0, 0x6573_5546, 0x6969, 0x0102_1997];

/// A file as the kernel numbers it: device (major << 20 | minor) and inode.
pub(super) type Object = (u32, u64);

/// A name below the root of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The root.
    pub(super) root: Object,
    /// The components below it; at most [`abi::NAME_DEPTH_MAX`], none for the root itself.
    pub(super) components: Vec<Vec<u8>>,
}

/// Where a path leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Something is there now.
    pub(super) there: bool,
    /// It, where its number stays the same.
    pub(super) object: Option<Object>,
    /// A device node: its kind ([`abi::DEVICE_BLOCK`] or [`abi::DEVICE_CHARACTER`]) and number.
    pub(super) node: Option<(u32, u64)>,
    /// What it is called.
    pub(super) names: Vec<Name>,
    /// Directories on the way, the file system's root excepted.
    pub(super) above: Vec<Object>,
    /// The path without links, as far as it is there.
    pub(super) real: PathBuf,
    /// The file system it is on, or will be on.
    pub(super) device: u32,
}

/// Looks a path up. An error says for a person why no rule can hold on to it.
pub(super) fn look(path: &Path, mounts: &Mounts) -> Result<Place, String> {
    let mut missing: Vec<&OsStr> = Vec::new();
    let mut there = path;
    // At most as many steps as a path has components.
    let found = loop {
        match Found::open(there) {
            Ok(found) => break found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (Some(parent), Some(name)) = (there.parent(), there.file_name()) else {
                    return Err(error.to_string());
                };
                missing.push(name);
                there = parent;
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    match found.magic {
        OVERLAYFS_SUPER_MAGIC => return Err("on overlayfs: name the file in its lower layer".to_owned()),
        BTRFS_SUPER_MAGIC => return Err("on btrfs: its inodes can't be told apart here".to_owned()),
        magic if MADE_UP.contains(&magic) => {
            return Err(
                "on a file system whose inode numbers are made up (vfat, exfat, FUSE, NFS, 9p)".to_owned()
            );
        }
        _ => {}
    }
    missing.reverse();
    let mut place = Place { device: found.object.0, real: found.real.clone(), ..Place::default() };
    place.real.extend(&missing);
    place.names.extend(found.name(mounts, &missing));
    if missing.is_empty() {
        place.there = true;
        place.object = Some(found.object).filter(|_| found.magic != PROC_SUPER_MAGIC);
        place.node = found.node;
    } else if found.name(mounts, &[]).is_some_and(|name| !name.components.is_empty()) {
        place.above.push(found.object);
    }
    place.above.extend(found.above(mounts));
    // A link is a name of its own: what takes its place is meant too.
    if missing.is_empty()
        && let (Some(parent), Some(name)) = (path.parent(), path.file_name())
        && let Ok(parent) = Found::open(parent)
        && let Some(own) = parent.name(mounts, &[name])
        && !place.names.contains(&own)
    {
        place.names.push(own);
    }
    Ok(place)
}

/// What the path leads to now, symbolic links followed: device and inode.
pub(super) fn inode_of(path: &Path) -> io::Result<Object> {
    Found::open(path).map(|found| found.object)
}

/// Something that is there.
struct Found {
    object: Object,
    node: Option<(u32, u64)>,
    magic: u64,
    mount: u64,
    real: PathBuf,
}

impl Found {
    fn open(path: &Path) -> io::Result<Self> {
        // O_PATH: nothing is read, no device or pipe is touched.
        let file = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let (found, system) = (rustix::fs::fstat(&file)?, rustix::fs::fstatfs(&file)?);
        // STATX_MNT_ID, since 5.8.
        let mount =
            rustix::fs::statx(file.as_fd(), "", AtFlags::EMPTY_PATH, StatxFlags::from_bits_retain(0x1000))?;
        let number = u64::from(kernel_device(found.st_rdev));
        Ok(Self {
            object: (kernel_device(found.st_dev), found.st_ino),
            node: match FileType::from_raw_mode(found.st_mode) {
                FileType::BlockDevice => Some((abi::DEVICE_BLOCK, number)),
                FileType::CharacterDevice => Some((abi::DEVICE_CHARACTER, number)),
                _ => None,
            },
            magic: system.f_type.cast_unsigned(),
            mount: mount.stx_mnt_id,
            real: std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?,
        })
    }

    /// What `missing` below it is called in its file system.
    fn name(&self, mounts: &Mounts, missing: &[&OsStr]) -> Option<Name> {
        let mount = mounts.of(self.mount)?;
        let root = mounts.root_inode(mount.device)?;
        let below = self.real.strip_prefix(&mount.point).ok()?;
        let inside = mount.root.join(below);
        let components: Vec<Vec<u8>> = inside
            .iter()
            .filter(|part| *part != OsStr::new("/"))
            .chain(missing.iter().copied())
            .map(|part| part.as_bytes().to_vec())
            .collect();
        (components.len() <= abi::NAME_DEPTH_MAX).then_some(Name { root: (mount.device, root), components })
    }

    /// The directories above it in its mount, its root excepted.
    fn above(&self, mounts: &Mounts) -> Vec<Object> {
        let Some(mount) = mounts.of(self.mount) else { return Vec::new() };
        self.real
            .ancestors()
            .skip(1)
            .take_while(|directory| *directory != mount.point && directory.starts_with(&mount.point))
            .filter_map(|directory| inode_of(directory).ok())
            .filter(|(device, _)| *device == self.object.0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn last(name: &Name) -> &[u8] {
        name.components.last().unwrap()
    }

    #[test]
    fn what_is_there_has_object_and_name_and_what_is_not_a_name() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        fs::create_dir(base.join("d")).unwrap();
        fs::write(base.join("d/file"), b"").unwrap();
        symlink("d/file", base.join("link")).unwrap();
        let mounts = Mounts::read().unwrap();
        let file = match look(&base.join("d/file"), &mounts) {
            Ok(file) => file,
            // This machine's temporary files are where rules can't hold on to them, and it says so.
            Err(reason) => return assert!(reason.starts_with("on "), "{reason}"),
        };
        let found = fs::metadata(base.join("d/file")).unwrap();
        assert_eq!(file.object, Some((kernel_device(found.dev()), found.ino())));
        assert_eq!(file.real, base.join("d/file"));
        assert!(file.above.contains(&inode_of(&base.join("d")).unwrap()));

        let link = look(&base.join("link"), &mounts).unwrap();
        assert_eq!(link.object, file.object);
        if !file.names.is_empty() {
            assert_eq!(last(&file.names[0]), b"file");
            assert_eq!(link.names.len(), 2);
            assert_eq!((last(&link.names[0]), last(&link.names[1])), (&b"file"[..], &b"link"[..]));

            let later = look(&base.join("d/not/yet"), &mounts).unwrap();
            assert_eq!((later.object, later.real.as_path()), (None, base.join("d/not/yet").as_path()));
            assert!(later.names[0].components.ends_with(&[b"d".to_vec(), b"not".to_vec(), b"yet".to_vec()]));
            assert!(later.above.contains(&inode_of(&base.join("d")).unwrap()));
        }
        let null = look(Path::new("/dev/null"), &mounts).unwrap();
        assert_eq!(
            null.node,
            Some((abi::DEVICE_CHARACTER, u64::from(kernel_device(rustix::fs::makedev(1, 3)))))
        );
        assert!(look(&base.join("d/file/below"), &mounts).is_err(), "not a directory");
    }
}
