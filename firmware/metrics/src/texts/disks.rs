//! `/proc/diskstats` (`block/genhd.c:diskstats_show`, `Documentation/admin-guide/iostats.rst`).

use super::{lines, numbers, words};

/// Sectors of these files, bytes, whatever the disk's are.
const SECTOR: u64 = 512;

/// One line: a disk or a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk<'a> {
    /// As the kernel calls it.
    pub name: &'a [u8],
    /// Reads and writes done.
    pub ios: [Option<u64>; 2],
    /// Bytes read and written.
    pub bytes: [Option<u64>; 2],
    /// Time that reads and writes took, ms.
    pub millis: [Option<u64>; 2],
    /// Time with something to do, ms.
    pub busy_millis: Option<u64>,
}

/// The lines of `/proc/diskstats`.
pub fn disks(text: &[u8]) -> impl Iterator<Item = Disk<'_>> {
    lines(text).filter_map(|line| {
        let mut words = words(line);
        let [Some(_major), Some(_minor)] = numbers(&mut words) else { return None };
        let name = words.next()?;
        let [reads, _, read, read_millis, writes, _, written, write_millis, _, busy_millis] =
            numbers(&mut words);
        let bytes = |sectors: Option<u64>| sectors.and_then(|sectors| sectors.checked_mul(SECTOR));
        Some(Disk {
            name,
            ios: [reads, writes],
            bytes: [bytes(read), bytes(written)],
            millis: [read_millis, write_millis],
            busy_millis,
        })
    })
}
