//! Block devices: the disk that the root is on, its partitions as the kernel knows them, and what is told the kernel of them.
#![allow(unsafe_code)] // ioctl(2) takes pointers: of the partition's numbers, and of a file system's new size

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aegis_disk::{Device, Partition};
use aegis_init::partitions;

use crate::limits;

/// Sysfs counts in these, whatever the disk's blocks are.
const SYSFS_SECTOR: u64 = 512;
/// `include/uapi/linux/blkpg.h`.
const BLKPG: libc::Ioctl = 0x1269;
/// `sizeof(struct blkpg_partition)`.
const BLKPG_PARTITION_BYTES: i32 = 152;
const _: () = assert!(size_of::<BlkpgPartition>() == 152);
const BLKPG_ADD_PARTITION: i32 = 1;
const BLKPG_RESIZE_PARTITION: i32 = 3;
/// `fs/ext4/ext4.h`: `_IOW('f', 16, __u64)`.
const EXT4_IOC_RESIZE_FS: libc::Ioctl = 0x4008_6610;

/// A disk, by what sysfs has of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// As the kernel calls it: `vda`, `nvme0n1`.
    pub(crate) name: OsString,
    /// Its directory in sysfs, without links.
    pub(crate) sysfs: PathBuf,
}

impl Disk {
    /// The disk that holds the root: of a device-mapper target the one below it.
    pub(crate) fn of_root() -> io::Result<Self> {
        partitions::disk_of_root().and_then(Self::at)
    }

    fn at(sysfs: PathBuf) -> io::Result<Self> {
        let name = sysfs.file_name().map(ToOwned::to_owned);
        let name = name.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Self { name, sysfs })
    }

    /// It can't be written to.
    pub(crate) fn is_read_only(&self) -> bool {
        number(&self.sysfs.join("ro")) != Some(0)
    }

    /// Bytes of its logical blocks.
    pub(crate) fn block_bytes(&self) -> io::Result<u32> {
        let bytes = number(&self.sysfs.join("queue/logical_block_size"));
        bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Has the kernel know a partition that is in the table, if it does not; the partition's device. The disk is in use, so
    /// that its table can't be read anew as a whole.
    pub(crate) fn make_known(&self, disk: &File, partition: Partition) -> io::Result<PathBuf> {
        if let Some((name, bytes)) = self.partition(partition.number) {
            if bytes != partition.bytes {
                blkpg(disk, BLKPG_RESIZE_PARTITION, partition)?;
            }
            return Ok(node(&name));
        }
        blkpg(disk, BLKPG_ADD_PARTITION, partition)?;
        let found = self.partition(partition.number);
        found.map(|(name, _)| node(&name)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Name and size in bytes of the partition with this number.
    fn partition(&self, wanted: u32) -> Option<(OsString, u64)> {
        let entries = fs::read_dir(&self.sysfs).ok()?.flatten().take(limits::SYSFS_ENTRIES);
        let is_it = |path: &Path| number(&path.join("partition")) == Some(u64::from(wanted));
        let path = entries.map(|entry| entry.path()).find(|path| is_it(path))?;
        let sectors = number(&path.join("size"))?;
        Some((path.file_name()?.to_owned(), sectors.checked_mul(SYSFS_SECTOR)?))
    }
}

/// The device node of a disk or partition.
pub(crate) fn node(name: &OsStr) -> PathBuf {
    Path::new("/dev").join(name)
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A disk or partition, or a file in place of one.
pub(crate) struct Block {
    file: File,
    bytes: u64,
}

impl Block {
    /// To be read only.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::of(File::open(path)?)
    }

    /// To be read and written, also while others have it.
    pub(crate) fn shared(path: &Path) -> io::Result<Self> {
        Self::of(File::options().read(true).write(true).open(path)?)
    }

    /// To be read and written by nobody else.
    ///
    /// # Errors
    /// `ResourceBusy` when it is mounted.
    pub(crate) fn exclusive(path: &Path) -> io::Result<Self> {
        Self::of(File::options().read(true).write(true).custom_flags(libc::O_EXCL).open(path)?)
    }

    fn of(file: File) -> io::Result<Self> {
        use std::io::{Seek, SeekFrom};
        let bytes = (&file).seek(SeekFrom::End(0))?;
        Ok(Self { file, bytes })
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

impl Device for Block {
    type Error = io::Error;

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, at)
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// `struct blkpg_partition`.
#[repr(C)]
struct BlkpgPartition {
    start: i64,
    length: i64,
    number: i32,
    names: [u8; 128],
}

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct BlkpgArgument {
    operation: i32,
    flags: i32,
    length: i32,
    partition: *const BlkpgPartition,
}

fn blkpg(disk: &File, operation: i32, partition: Partition) -> io::Result<()> {
    let signed = |bytes: u64| i64::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let number = i32::try_from(partition.number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let described = BlkpgPartition {
        start: signed(partition.start)?,
        length: signed(partition.bytes)?,
        number,
        names: [0; 128],
    };
    let argument =
        BlkpgArgument { operation, flags: 0, length: BLKPG_PARTITION_BYTES, partition: &raw const described };
    // SAFETY: the kernel reads `argument` and what it points to, both of which live until the call returns.
    let result = unsafe { libc::ioctl(disk.as_raw_fd(), BLKPG, &raw const argument) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has a mounted ext4 take so many of its blocks. `mount`: anything in it.
pub(crate) fn resize_ext4(mount: &File, blocks: u64) -> io::Result<()> {
    // SAFETY: the kernel reads eight bytes.
    let result = unsafe { libc::ioctl(mount.as_raw_fd(), EXT4_IOC_RESIZE_FS, &raw const blocks) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_disk_below_a_verified_root_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(folder.path()).unwrap();
        let (disk, partition, mapped) =
            (top.join("virtio0/vda"), top.join("virtio0/vda/vda2"), top.join("dm-0"));
        for path in [&partition, &mapped.join("slaves")] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(partition.join("partition"), "2\n").unwrap();
        fs::write(partition.join("size"), "2048\n").unwrap();
        fs::write(disk.join("ro"), "0\n").unwrap();
        symlink(&partition, mapped.join("slaves/vda2")).unwrap();
        for device in [&mapped, &partition, &disk] {
            let found = partitions::disk_below(device).and_then(Disk::at).unwrap();
            assert_eq!(found, Disk { name: "vda".into(), sysfs: disk.clone() });
            assert!(!found.is_read_only());
            assert_eq!(found.partition(2), Some(("vda2".into(), 1 << 20)));
            assert_eq!(found.partition(3), None);
        }
        // One that lies on itself ends, too.
        symlink(&mapped, mapped.join("slaves/dm-0")).unwrap();
        let _ = partitions::disk_below(&mapped);
    }
}
