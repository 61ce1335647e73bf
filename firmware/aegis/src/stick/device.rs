//! Block devices on USB, as sysfs shows them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aegis_stick::FileSystem;

use super::LABEL;
use crate::limits;
use crate::storage::partition::on_usb;

const SYSFS: &str = "/sys/class/block";
const DEV: &str = "/dev";

/// A disk or partition on USB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// As the kernel calls it: `sdb1`.
    pub(crate) name: String,
    pub(crate) plug: Plug,
    /// Major and minor number.
    number: (u32, u32),
}

/// One appearance of a disk or partition. A stick that is pulled and plugged in again, or a medium that is changed, is
/// another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Plug {
    /// The disk's, as the kernel counts them through a boot (`block/genhd.c:diskseq`, since 5.15; before: the inode of its
    /// directory in sysfs, which is a new one for every plug).
    pub(crate) disk: u64,
    /// Number of the partition; 0 for the whole disk.
    pub(crate) partition: u32,
}

/// What is on USB now, by name; of a host with very many only the first ones that sysfs lists. One that goes away while
/// it is looked at is none.
pub(crate) fn scan() -> io::Result<Vec<Device>> {
    scan_in(Path::new(SYSFS))
}

fn scan_in(sysfs: &Path) -> io::Result<Vec<Device>> {
    let mut devices = Vec::new();
    for entry in fs::read_dir(sysfs)?.take(limits::BLOCK_DEVICES) {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        devices.extend(Device::read(sysfs, &name));
    }
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(devices)
}

/// The device behind this node of `/dev`.
///
/// # Errors
/// `InvalidInput` when it is no disk or partition on USB.
pub(crate) fn at(node: &Path) -> io::Result<Device> {
    let name = node.strip_prefix(DEV).ok().and_then(Path::to_str);
    name.and_then(|name| Device::read(Path::new(SYSFS), name)).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "no disk or partition on USB (it is to be named as /dev/NAME)",
        )
    })
}

impl Device {
    /// `None` when it is not on USB, has no medium, or is gone.
    fn read(sysfs: &Path, name: &str) -> Option<Self> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let place = fs::canonicalize(sysfs.join(name)).ok()?;
        let text = |file: PathBuf| fs::read_to_string(file).ok();
        let number_in = |file| text(file)?.trim_end().parse::<u64>().ok();
        if !on_usb(&place) || number_in(place.join("size"))? == 0 {
            return None;
        }
        let partition = match number_in(place.join("partition")) {
            Some(number) => u32::try_from(number).ok()?,
            None => 0,
        };
        let disk = if partition == 0 { place.as_path() } else { place.parent()? };
        let (major, minor) =
            text(place.join("dev"))?.trim_end().split_once(':').map(|(a, b)| (a.parse(), b.parse()))?;
        let counter = disk.join("diskseq");
        let disk = if counter.exists() { number_in(counter)? } else { fs::metadata(disk).ok()?.ino() };
        Some(Self {
            name: name.to_owned(),
            plug: Plug { disk, partition },
            number: (major.ok()?, minor.ok()?),
        })
    }

    /// Its node.
    pub(crate) fn node(&self) -> PathBuf {
        Path::new(DEV).join(&self.name)
    }

    /// True while this plug of it lasts.
    pub(crate) fn is_there(&self) -> bool {
        Self::read(Path::new(SYSFS), &self.name).as_ref() == Some(self)
    }

    /// Its file system, if that is a stick's. What can't be read is none.
    pub(crate) fn recognise(&self) -> io::Result<Option<FileSystem>> {
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options().read(true).custom_flags(nonblock).open(self.node())?;
        let found = file.metadata()?;
        let number = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
        if !found.file_type().is_block_device() || number != self.number {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the node is another device's"));
        }
        Ok(recognise(&file))
    }
}

#[cfg(test)]
impl Device {
    /// Some device, for tests that look at its plug only.
    pub(super) fn of(plug: Plug) -> Self {
        Self { name: format!("test{}", plug.disk), plug, number: (0, 0) }
    }
}

fn recognise(file: &File) -> Option<FileSystem> {
    aegis_stick::find(LABEL, |at, bytes: &mut [u8]| file.read_exact_at(bytes, at).ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;

    const USB: &str = "devices/pci0000:00/0000:00:03.0/usb1/1-1/1-1:1.0/host0/target0:0:0/0:0:0:0/block";
    const VIRTIO: &str = "devices/pci0000:00/0000:00:04.0/virtio1/block";

    struct Sysfs(tempfile::TempDir);

    impl Sysfs {
        fn new() -> Self {
            let sysfs = Self(tempfile::tempdir().unwrap());
            fs::create_dir_all(sysfs.class()).unwrap();
            sysfs
        }

        fn class(&self) -> PathBuf {
            self.0.path().join("class/block")
        }

        /// A device with these files, at this place below the root of sysfs.
        fn add(&self, place: &str, files: &[(&str, &str)]) {
            let place = self.0.path().join(place);
            fs::create_dir_all(&place).unwrap();
            for (name, content) in files {
                fs::write(place.join(name), format!("{content}\n")).unwrap();
            }
            symlink(&place, self.class().join(place.file_name().unwrap())).unwrap();
        }
    }

    #[test]
    fn disks_and_partitions_on_usb_are_found_and_nothing_else() {
        let sysfs = Sysfs::new();
        sysfs.add(&format!("{USB}/sda"), &[("size", "131072"), ("dev", "8:0"), ("diskseq", "9")]);
        sysfs.add(&format!("{USB}/sda/sda1"), &[("size", "129024"), ("dev", "8:1"), ("partition", "1")]);
        // A card reader without a card, a disk that is not on USB, one whose files are no numbers, one that is gone.
        sysfs.add(&format!("{USB}/sdb"), &[("size", "0"), ("dev", "8:16"), ("diskseq", "10")]);
        sysfs.add(&format!("{VIRTIO}/vda"), &[("size", "8"), ("dev", "254:0"), ("diskseq", "1")]);
        sysfs.add(&format!("{USB}/sdc"), &[("size", "8"), ("dev", "8"), ("diskseq", "11")]);
        sysfs.add(&format!("{USB}/sdd"), &[("size", "8"), ("dev", "8:48"), ("diskseq", "x")]);
        symlink("nowhere", sysfs.class().join("sde")).unwrap();
        let found = scan_in(&sysfs.class()).unwrap();
        assert_eq!(
            found,
            [
                Device { name: "sda".into(), plug: Plug { disk: 9, partition: 0 }, number: (8, 0) },
                Device { name: "sda1".into(), plug: Plug { disk: 9, partition: 1 }, number: (8, 1) },
            ]
        );
        assert_eq!(found[1].node(), Path::new("/dev/sda1"));
        for name in ["", ".", "..", "../block/sda", "sda/sda1", "sd a"] {
            assert_eq!(Device::read(&sysfs.class(), name), None, "{name}");
        }
    }

    #[test]
    fn what_is_no_device_on_usb_is_no_stick() {
        for path in ["/dev/null", "/dev/../dev/sda1", "/etc/passwd", "sda1", "/dev/", "/dev/no such"] {
            assert_eq!(at(Path::new(path)).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{path}");
        }
    }

    #[test]
    fn an_image_of_a_stick_is_recognised() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 16).unwrap();
        assert_eq!(recognise(&file), None);
        file.write_all_at(&0xef53u16.to_le_bytes(), 1024 + 56).unwrap();
        file.write_all_at(LABEL, 1024 + 120).unwrap();
        assert_eq!(recognise(&file), Some(FileSystem::Ext4));
        file.set_len(1024 + 130).unwrap();
        assert_eq!(recognise(&file), None, "cut");
    }
}
