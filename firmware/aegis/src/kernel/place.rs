//! Where a path leads: the object it names now, and what it is called below the root of its file system, so that what is put
//! there later is known too.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use aegis_probes::abi;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;

use super::mounts::{Mounts, kernel_device};
use crate::limits;

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
    /// What it is called: where it leads first.
    pub(super) names: Vec<Name>,
    /// A link is on the way, and what the path says from there has no name here.
    pub(super) unnamed_link: bool,
    /// Directories on the way, the file system's root excepted.
    pub(super) above: Vec<Object>,
    /// The path without links, as far as it is there.
    pub(super) real: PathBuf,
    /// The file system it is on, or will be on.
    pub(super) device: u32,
}

/// Looks a path up. An error says for a person why no rule can hold on to it.
///
/// What the path leads to now is one of its names; what its own words say is another, at every link on the way: whoever takes a
/// link away and puts a directory in its place makes what the path meant.
pub(super) fn look(path: &Path, mounts: &Mounts) -> Result<Place, String> {
    let way = Way::walk(path).map_err(|error| error.to_string())?;
    let (found, missing) = (&way.found, way.missing.as_slice());
    if let Some(why) = found.why_unknowable() {
        return Err(why.to_owned());
    }
    let mut place = Place { device: found.object.0, real: found.real.clone(), ..Place::default() };
    place.real.extend(missing);
    place.names.extend(found.name(mounts, missing));
    if missing.is_empty() {
        place.there = true;
        place.object = Some(found.object).filter(|_| found.magic != PROC_SUPER_MAGIC);
        place.node = found.node;
    } else if found.name(mounts, &[]).is_some_and(|name| !name.components.is_empty()) {
        place.above.push(found.object);
    }
    place.above.extend(found.above(mounts));
    for (directory, rest) in &way.links {
        let own = directory.name(mounts, rest).filter(|_| directory.why_unknowable().is_none());
        place.unnamed_link |= own.is_none();
        place.names.extend(own.filter(|own| !place.names.contains(own)));
        if directory.name(mounts, &[]).is_some_and(|name| !name.components.is_empty()) {
            place.above.push(directory.object);
        }
        place.above.extend(directory.above(mounts));
    }
    Ok(place)
}

/// How a path is gone.
struct Way {
    /// The last that is there.
    found: Found,
    /// What is to come below it.
    missing: Vec<OsString>,
    /// The directories of the links on the way, and what the path says from there.
    links: Vec<(Found, Vec<OsString>)>,
}

impl Way {
    fn walk(path: &Path) -> io::Result<Self> {
        match Self::straight(path)? {
            Some(way) => Ok(way),
            None => Self::by_links(path),
        }
    }

    /// Without links, as most are: a system call for what is there. `None`: there are some, or a file is on the way.
    fn straight(path: &Path) -> io::Result<Option<Self>> {
        let mut missing: Vec<OsString> = Vec::new();
        let mut there = path;
        // At most as many steps as a path has components.
        loop {
            let opened = rustix::fs::openat2(CWD, there, FLAGS, Mode::empty(), ResolveFlags::NO_SYMLINKS);
            match opened {
                // A link that is named itself is opened all the same.
                Ok(file) if is_link(&file)? => return Ok(None),
                Ok(file) => {
                    missing.reverse();
                    return Ok(Some(Self { found: Found::of(&file, there)?, missing, links: Vec::new() }));
                }
                Err(Errno::NOENT) => {
                    let (Some(parent), Some(name)) = (there.parent(), there.file_name()) else {
                        return Err(Errno::NOENT.into());
                    };
                    missing.push(name.to_owned());
                    there = parent;
                }
                Err(_) => return Ok(None),
            }
        }
    }

    /// One component after the other.
    fn by_links(path: &Path) -> io::Result<Self> {
        let root = || rustix::fs::open("/", FLAGS, Mode::empty());
        // The path without links goes along: what the kernel calls an open file may be another name already, or none.
        let (mut here, mut real) = (root()?, PathBuf::from("/"));
        let mut words: VecDeque<OsString> = VecDeque::new();
        let push = |words: &mut VecDeque<OsString>, path: &Path| {
            for part in path.components().rev() {
                match part {
                    Component::Normal(name) => words.push_front(name.to_owned()),
                    Component::ParentDir => words.push_front("..".into()),
                    Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
                }
            }
        };
        push(&mut words, path);
        let mut links = Vec::new();
        while let Some(word) = words.pop_front() {
            let rest = |words: &VecDeque<OsString>| [&word].into_iter().chain(words).cloned().collect();
            match rustix::fs::openat(&here, &word, FLAGS | OFlags::NOFOLLOW, Mode::empty()) {
                // Not there; or below a file, which may be taken away.
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    return Ok(Self { found: Found::of(&here, &real)?, missing: rest(&words), links });
                }
                Err(error) => return Err(error.into()),
                Ok(next) if is_link(&next)? => {
                    let own: Vec<OsString> = rest(&words);
                    if links.len() == limits::LINKS {
                        // Around in a circle: nothing is there, until somebody takes a link of it away.
                        return Ok(Self { found: Found::of(&here, &real)?, missing: own, links });
                    }
                    links.push((Found::of(&here, &real)?, own));
                    let target = rustix::fs::readlinkat(&next, "", Vec::new())?;
                    let target = Path::new(OsStr::from_bytes(target.as_bytes()));
                    if target.is_absolute() {
                        (here, real) = (root()?, PathBuf::from("/"));
                    }
                    push(&mut words, target);
                }
                Ok(next) => {
                    here = next;
                    if word == ".." {
                        real.pop();
                    } else {
                        real.push(&word);
                    }
                }
            }
        }
        Ok(Self { found: Found::of(&here, &real)?, missing: Vec::new(), links })
    }
}

/// `O_PATH`: nothing is read, no device or pipe is touched.
const FLAGS: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

fn is_link(file: &OwnedFd) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode) == FileType::Symlink)
}

/// What the path leads to now, links of the kernel's own followed, too. An error says for a person why no rule can hold on to it.
pub(super) fn object_of(path: &Path) -> Result<Object, String> {
    let found = Found::open(path).map_err(|error| error.to_string())?;
    found.why_unknowable().map_or(Ok(found.object), |why| Err(why.to_owned()))
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
        Self::of(&rustix::fs::open(path, FLAGS, Mode::empty())?, path)
    }

    /// `real`: the path it was found by, without links. Not what `/proc/self/fd` says: a file that was replaced since is
    /// "(deleted)" there, and its path would lose its name.
    fn of(file: &OwnedFd, real: &Path) -> io::Result<Self> {
        let (found, system) = (rustix::fs::fstat(file)?, rustix::fs::fstatfs(file)?);
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
            real: real.to_owned(),
        })
    }

    /// Why files on its file system can't be told apart; `None` where they can.
    fn why_unknowable(&self) -> Option<&'static str> {
        match self.magic {
            OVERLAYFS_SUPER_MAGIC => Some("on overlayfs: name the file in its lower layer"),
            BTRFS_SUPER_MAGIC => Some("on btrfs: its inodes can't be told apart here"),
            magic if MADE_UP.contains(&magic) => {
                Some("on a file system whose inode numbers are made up (vfat, exfat, FUSE, NFS, 9p)")
            }
            _ => None,
        }
    }

    /// What `missing` below it is called in its file system; `None`: it is too deep, leads up again, or its root is mounted nowhere.
    fn name(&self, mounts: &Mounts, missing: &[OsString]) -> Option<Name> {
        let mount = mounts.of(self.mount)?;
        let root = mounts.root_inode(mount.device)?;
        let below = self.real.strip_prefix(&mount.point).ok()?;
        let inside = mount.root.join(below);
        let components: Vec<Vec<u8>> = inside
            .iter()
            .filter(|part| *part != OsStr::new("/"))
            .chain(missing.iter().map(OsString::as_os_str))
            .map(|part| part.as_bytes().to_vec())
            .collect();
        let leads_up = missing.iter().any(|part| part == "..");
        (components.len() <= abi::NAME_DEPTH_MAX && !leads_up)
            .then_some(Name { root: (mount.device, root), components })
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
    fn a_file_that_is_replaced_meanwhile_keeps_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        let (file, spare) = (base.join("file"), base.join("spare"));
        fs::write(&file, b"").unwrap();
        symlink("file", base.join("link")).unwrap();
        let mounts = Mounts::read().unwrap();
        let over = std::sync::atomic::AtomicBool::new(false);
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(relaxed) {
                    fs::write(&spare, b"").and_then(|()| fs::rename(&spare, &file)).unwrap();
                }
            });
            let paths = [file.clone(), base.join("link")];
            let looks = paths.iter().flat_map(|path| std::iter::repeat_n(path, 2000));
            let others: Vec<Place> = looks
                .filter_map(|path| look(path, &mounts).ok())
                .filter(|place| place.real != file || place.names.first().map(last) != Some(b"file"))
                .collect();
            // First: who renames ends with this, whatever was found.
            over.store(true, relaxed);
            assert_eq!(others, []);
        });
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
    }

    #[test]
    fn what_is_planted_on_the_way_takes_no_name_from_a_path() {
        // A file system that rules can hold on to, whatever this machine's others are.
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let base = directory.path();
        for folder in ["decoy", "parent"] {
            fs::create_dir(base.join(folder)).unwrap();
        }
        fs::write(base.join("decoy/secret"), b"").unwrap();
        fs::write(base.join("plain"), b"").unwrap();
        for (target, link) in [
            ("decoy", "dir"),
            ("loop", "loop"),
            ("nowhere", "dangling"),
            ("../parent", "parent/up"),
            ("dir", "chain"),
        ] {
            symlink(target, base.join(link)).unwrap();
        }
        let mounts = Mounts::read().unwrap();
        for (path, expected) in [
            ("decoy/secret", &["decoy/secret"][..]),
            ("dir/secret", &["decoy/secret", "dir/secret"]),
            ("chain/secret", &["decoy/secret", "chain/secret", "dir/secret"]),
            ("loop/secret", &["loop/secret"]),
            ("loop", &["loop"]),
            ("plain/secret", &["plain/secret"]),
            ("dangling", &["nowhere", "dangling"]),
            ("dangling/secret", &["nowhere/secret", "dangling/secret"]),
            ("parent/up/x", &["parent/x", "parent/up/x"]),
        ] {
            let place = look(&base.join(path), &mounts).unwrap();
            // Below the temporary folder, which is below the root of its file system.
            let names: Vec<String> = place
                .names
                .iter()
                .map(|name| {
                    name.components[1..]
                        .iter()
                        .map(|part| String::from_utf8_lossy(part))
                        .collect::<Vec<_>>()
                        .join("/")
                })
                .collect();
            assert_eq!(names, expected, "{path}");
            let there = ["decoy/secret", "dir/secret", "chain/secret"].contains(&path);
            assert_eq!((place.there, place.unnamed_link), (there, false), "{path}");
        }
    }
}
