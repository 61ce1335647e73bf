//! Which file system a stick has, and its label: by the code that devices recognise a stick with.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use aegis_stick::FileSystem;

/// The label of the file system that a directory is on, when this user can tell: from the device's own bytes, or from
/// what udev says of it. `None` also when the directory is not where a file system is mounted.
pub(super) fn of_directory(directory: &Path) -> Option<Vec<u8>> {
    let device = directory.metadata().ok()?.dev();
    let above = directory.canonicalize().ok()?.parent()?.metadata().ok()?.dev();
    if device == above {
        return None;
    }
    from_device(device).or_else(|| from_udev(device))
}

fn from_device(device: u64) -> Option<Vec<u8>> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let facts = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/uevent")).ok()?;
    let name = facts.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    let file = File::open(Path::new("/dev").join(name)).ok()?;
    FileSystem::ALL.into_iter().find_map(|kind| label(&file, 0, kind))
}

fn from_udev(device: u64) -> Option<Vec<u8>> {
    let links = std::fs::read_dir("/dev/disk/by-label").ok()?;
    let of_device = |path: &PathBuf| path.metadata().is_ok_and(|there| there.rdev() == device);
    let link = links.filter_map(|entry| Some(entry.ok()?.path())).find(of_device)?;
    // Blanks and the like are escaped there: such a label is not ours, which is all that matters.
    link.file_name().map(|name| name.as_encoded_bytes().to_vec())
}

/// The label of a file system of this kind that begins at `at`.
pub(super) fn label(image: &File, at: u64, kind: FileSystem) -> Option<Vec<u8>> {
    let read = |place: u64, bytes: &mut [u8]| image.read_exact_at(bytes, at.checked_add(place)?).ok();
    aegis_stick::label(kind, read).map(|label| label.as_bytes().to_vec())
}

/// The file system on an image with the label of a stick, and where it begins: at the front, or in the first partition of
/// an MBR.
pub(super) fn find(image: &File) -> Option<(FileSystem, u64)> {
    let at_front = |at: u64| {
        let read = |place: u64, bytes: &mut [u8]| image.read_exact_at(bytes, at.checked_add(place)?).ok();
        aegis_stick::find(super::LABEL, read).map(|kind| (kind, at))
    };
    at_front(0).or_else(|| {
        let mut first = [0; 512];
        image.read_exact_at(&mut first, 0).ok()?;
        // The table's first entry at 446: type at 4, first sector at 8 (UEFI specification 2.10, 5.2.1).
        let start = u32::from_le_bytes(first[454..458].try_into().ok()?);
        (first[510..] == [0x55, 0xaa] && first[450] != 0 && start != 0).then_some(())?;
        at_front(u64::from(start) * 512)
    })
}
