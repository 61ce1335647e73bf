//! The device's own partitions, by their GPT label: one rule for init and for the agent.
//!
//! What anybody can plug in is not the device's: nothing on USB, and no card or other removable medium, passes for one of its
//! partitions, unless the running root is on that very card. Of those that are left, one on the disk of the running root counts before
//! any other: a second one of the same label is passed over, and said.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aegis_stick::is_on_usb;

use crate::{devices, limits};

const SYSFS: &str = "/sys";

/// What bears a label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Names of block devices, the one that counts first.
    pub names: Vec<String>,
    /// Names of those that are on what anybody can plug in.
    pub passed_over: Vec<String>,
}

impl Found {
    /// The node of the one that counts.
    pub fn node(&self) -> Option<PathBuf> {
        self.names.first().map(|name| Path::new("/dev").join(name))
    }
}

/// Every partition with this GPT label (`PARTNAME` in its `uevent`, `block/partitions/core.c:part_uevent`).
///
/// # Errors
/// The kernel's block devices can't be listed.
pub fn find(label: &str) -> io::Result<Found> {
    find_in(Path::new(SYSFS), disk_of_root().as_deref(), label)
}

/// The directory in sysfs of the disk that the running root is on.
///
/// # Errors
/// It is on none.
pub fn disk_of_root() -> io::Result<PathBuf> {
    let root = rustix::fs::stat("/")?.st_dev;
    let number = format!("{SYSFS}/dev/block/{}:{}", rustix::fs::major(root), rustix::fs::minor(root));
    disk_below(&fs::canonicalize(number)?)
}

/// The disk that a block device lies on, by its directory in sysfs: below device-mapper, a partition's own.
///
/// # Errors
/// It has no name.
pub fn disk_below(device: &Path) -> io::Result<PathBuf> {
    let mut device = device.to_owned();
    for _ in 0..limits::DEVICES_STACKED {
        let slaves = fs::read_dir(device.join("slaves")).into_iter().flatten();
        match slaves.flatten().next() {
            Some(slave) => device = fs::canonicalize(slave.path())?,
            None => break,
        }
    }
    // A partition's directory lies in its disk's.
    if device.join("partition").exists() {
        device.pop();
    }
    if device.file_name().is_none() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the root is on no disk"));
    }
    Ok(device)
}

fn find_in(sysfs: &Path, root: Result<&Path, &io::Error>, label: &str) -> io::Result<Found> {
    let wanted = format!("PARTNAME={label}");
    let mut found: Vec<(bool, String)> = Vec::new();
    let mut passed_over = Vec::new();
    for entry in fs::read_dir(sysfs.join("class/block"))?.take(limits::BLOCK_DEVICES) {
        let entry = entry?;
        let uevent = devices::read(entry.path().join("uevent"), limits::FILE_BYTES).unwrap_or_default();
        if !uevent.lines().any(|line| line == wanted) {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        // One that is gone by now (pulled) is nobody's.
        let Ok(device) = fs::canonicalize(entry.path()) else { continue };
        let elsewhere = !root.is_ok_and(|disk| device.starts_with(disk));
        if is_on_usb(device.as_os_str().as_encoded_bytes()) || elsewhere && is_removable(&device) {
            passed_over.push(name);
        } else {
            found.push((elsewhere, name));
        }
    }
    found.sort();
    passed_over.sort();
    Ok(Found { names: found.into_iter().map(|(_, name)| name).collect(), passed_over })
}

/// A partition on a disk whose medium can be taken out: so says the kernel, or it is a card (`drivers/mmc/core/bus.c:type_show`).
fn is_removable(partition: &Path) -> bool {
    let Some(disk) = partition.parent() else { return true };
    let says = |file: &str, what: &str| devices::line(disk.join(file)).as_deref() == Some(what);
    says("removable", "1") || says("device/type", "SD")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A partition of this label in a made-up sysfs; its disk's directory. `files`: of the disk.
    fn partition(sysfs: &Path, path: &str, label: &str, files: &[(&str, &str)]) -> PathBuf {
        let device = sysfs.join("devices").join(path);
        let disk = device.parent().expect("a disk").to_owned();
        fs::create_dir_all(&device).expect("made");
        fs::create_dir_all(sysfs.join("class/block")).expect("made");
        fs::write(device.join("uevent"), format!("MAJOR=8\nPARTNAME={label}\n")).expect("written");
        fs::write(device.join("partition"), "1\n").expect("written");
        for (name, text) in files {
            fs::create_dir_all(disk.join(name).parent().expect("a folder")).expect("made");
            fs::write(disk.join(name), text).expect("written");
        }
        symlink(&device, sysfs.join("class/block").join(device.file_name().expect("named"))).expect("made");
        disk
    }

    #[test]
    fn of_several_the_roots_own_counts_and_what_can_be_plugged_in_never() {
        let sysfs = std::env::temp_dir().join(format!("aegis-partitions-{}", std::process::id()));
        let _ = fs::remove_dir_all(&sysfs);
        fs::create_dir_all(sysfs.join("class/block")).expect("made");
        let sysfs = fs::canonicalize(&sysfs).expect("there");
        let none = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(find_in(&sysfs, Err(&none), "own").expect("listed"), Found::default());

        let card =
            partition(&sysfs, "mmc0/mmc0:1234/block/mmcblk0/mmcblk0p1", "own", &[("device/type", "SD\n")]);
        partition(&sysfs, "pci/usb1/1-1/block/sda/sda1", "own", &[]);
        partition(&sysfs, "pci/cd/block/sr0/sr0p1", "own", &[("removable", "1\n")]);
        let anybodys = find_in(&sysfs, Err(&none), "own").expect("listed");
        assert_eq!((anybodys.node(), anybodys.passed_over.len()), (None, 3), "{anybodys:?}");
        // A system that was started from the card.
        let own = find_in(&sysfs, Ok(&card), "own").expect("listed");
        assert_eq!(own.node(), Some("/dev/mmcblk0p1".into()));

        partition(&sysfs, "virtio1/block/vda/vda125", "own", &[("removable", "0\n")]);
        let root = partition(&sysfs, "pci/nvme/nvme0n1/nvme0n1p5", "own", &[]);
        partition(&sysfs, "mmc1/mmc1:0001/block/mmcblk1/mmcblk1p5", "own", &[("device/type", "MMC\n")]);
        partition(&sysfs, "virtio2/block/vdb/vdb1", "other", &[]);
        let names = |root: Result<&Path, &io::Error>| find_in(&sysfs, root, "own").expect("listed").names;
        assert_eq!(names(Ok(&root)), ["nvme0n1p5", "mmcblk1p5", "vda125"]);
        assert_eq!(names(Err(&none)), ["mmcblk1p5", "nvme0n1p5", "vda125"], "in an order that is known");
        assert_eq!(disk_below(&root.join("nvme0n1p5")).expect("a disk"), root);
        fs::remove_dir_all(sysfs).expect("removed");
    }
}
