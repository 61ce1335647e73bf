//! The real medium: the ESP, mounted for this process alone, and the partitions of the slots.
//!
//! The ESP is a FAT, which has no journal. What each step leaves when the power goes in its middle, and why it is mounted
//! without `sync`: `docs/updates.md`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aegis_disk::{FatError, ShortName};
use rustix::fs::{Advice, AtFlags, Dir, Mode, OFlags, ResolveFlags, openat2};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::medium::Medium;
use super::slot::Slot;
use super::write::CHUNK;
use crate::limits;
use crate::storage::block::Block;
use crate::storage::{RUN, atomic, partition};

/// GPT label of the ESP.
const ESP_LABEL: &str = "aegis-esp";
/// Where the loader looks for kernel images (Boot Loader Specification, type 2).
const BOOTS: &str = "EFI/Linux";

/// The ESP and the slots of this device.
pub(crate) struct Device {
    place: PathBuf,
    /// Of the kernel images.
    directory: std::os::fd::OwnedFd,
}

impl Device {
    /// Mounts the ESP, in the mount namespace of this process, which must be its own
    /// ([`crate::stick::mount::private_namespace`]).
    ///
    /// # Errors
    /// Also when there is none.
    pub(crate) fn open() -> io::Result<Self> {
        let esp = labelled(ESP_LABEL)?;
        let place = Path::new(RUN).join("esp");
        atomic::make_private_directory(&place)?;
        let flags = MountFlags::NODEV
            | MountFlags::NOSUID
            | MountFlags::NOEXEC
            | MountFlags::NOSYMFOLLOW
            | MountFlags::NOATIME;
        // A chain of clusters that a cut left half freed is no reason to give up: the file that it is of is removed.
        mount(&esp, &place, c"vfat", flags, c"umask=077,utf8=1,errors=continue")?;
        let opened =
            rustix::fs::open(&place, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .and_then(|top| open_in(&top, BOOTS, OFlags::RDONLY | OFlags::DIRECTORY));
        match opened {
            Ok(directory) => Ok(Self { place, directory }),
            Err(error) => {
                let _ = unmount(&place, UnmountFlags::DETACH);
                Err(error.into())
            }
        }
    }
}

/// Has the directory of kernel images end behind its last name, so that the firmware, which counts tries in names, never makes it grow.
/// Nobody may have the ESP mounted.
pub(crate) fn end_directory() -> io::Result<aegis_disk::Ended> {
    const BOOTS: [ShortName; 2] = [*b"EFI        ", *b"LINUX      "];
    // Who asks for the state of images has it mounted, for a moment.
    let (place, until) =
        (labelled(ESP_LABEL)?, Instant::now() + Duration::from_secs(limits::ESP_BUSY_SECONDS));
    let mut esp = loop {
        match Block::exclusive(&place) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(100));
            }
            other => break other?,
        }
    };
    aegis_disk::end_directory(&mut esp, &BOOTS).map_err(|error| match error {
        FatError::Device(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    })
}

impl Drop for Device {
    fn drop(&mut self) {
        // What was to be durable is. It ends with this process at the latest.
        let _ = unmount(&self.place, UnmountFlags::DETACH);
    }
}

fn labelled(label: &str) -> io::Result<PathBuf> {
    partition::by_label(label)?
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no partition is labelled {label}")))
}

fn open_in<P: rustix::path::Arg>(
    directory: &std::os::fd::OwnedFd,
    name: P,
    flags: OFlags,
) -> rustix::io::Result<std::os::fd::OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let mode = if flags.contains(OFlags::CREATE) { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
    openat2(directory, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode, resolve)
}

impl Medium for Device {
    type File = File;

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.directory)?.take(limits::BOOT_ENTRIES) {
            // Ours are ASCII.
            if let Ok(name) = entry?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        Ok(open_in(&self.directory, name, OFlags::RDONLY)?.into())
    }

    fn create(&self, name: &str) -> io::Result<File> {
        Ok(open_in(&self.directory, name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?.into())
    }

    fn partition(&self, slot: Slot) -> io::Result<File> {
        // EXCL of a block device: refused while it is mounted or a device mapper's, which the root that runs is.
        let flags = OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
        Ok(rustix::fs::open(labelled(slot.partition())?, flags, Mode::empty())?.into())
    }

    fn length(&self, file: &File) -> io::Result<u64> {
        let end = rustix::fs::seek(file, rustix::fs::SeekFrom::End(0))?;
        Ok(end)
    }

    fn write_at(&self, file: &mut File, at: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn read_at(&self, file: &File, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        file.read_exact_at(bytes, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()?;
        // What is read from now on comes from the disk: clean pages are let go.
        Ok(rustix::fs::fadvise(file, 0, None, Advice::DontNeed)?)
    }

    /// From its end, piece by piece, each flushed: the FAT and the directory entry are on different sectors, and what a cut
    /// between them leaves is clusters that belong to nothing. That is one piece at most.
    fn remove(&self, name: &str) -> io::Result<()> {
        let file = File::from(open_in(&self.directory, name, OFlags::RDWR)?);
        let mut length = file.metadata()?.len();
        while length > 0 {
            length = length.saturating_sub(CHUNK as u64);
            if let Err(error) = file.set_len(length).and_then(|()| file.sync_all()) {
                // Its clusters are already free: another name for them was removed, or a cut came in between.
                log::warn!("ESP: {name}: {error} (it is removed all the same)");
                break;
            }
        }
        drop(file);
        Ok(rustix::fs::unlinkat(&self.directory, name, AtFlags::empty())?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        use rustix::fs::{RenameFlags, renameat_with};
        match renameat_with(&self.directory, from, &self.directory, to, RenameFlags::NOREPLACE) {
            // A kernel whose vfat does not know the flag; there is no such name (`reassure`).
            Err(rustix::io::Errno::INVAL) => {
                Ok(rustix::fs::renameat(&self.directory, from, &self.directory, to)?)
            }
            other => Ok(other?),
        }
    }

    fn sync_names(&self) -> io::Result<()> {
        rustix::fs::syncfs(&self.directory)?;
        // Besides, the disk's own cache.
        Ok(rustix::fs::fsync(&self.directory)?)
    }
}
