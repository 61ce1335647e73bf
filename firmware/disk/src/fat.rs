//! A directory of a FAT32, ended behind its last name.
//!
//! UEFI firmware gives a file another name by putting the new one behind all that the directory ever had, names that are gone among
//! them (EDK2, `FatPkg/EnhancedFatDxe`): with a loader that counts tries in names, the directory grows at each boot. It grows
//! by a cluster that the table says is free, and after a power cut that may be one which the chain of another file leads to:
//! when that file is removed, the directory has lost its end, and what is in it. So it is made with room, and what is
//! behind its last name is said never to have been: then nobody has to make it grow.
//!
//! The format: Microsoft, "FAT: General Overview of On-Disk Format", 1.03; UEFI 2.10, 13.3.

use crate::Device;
use crate::limits::DIRECTORY_SECTORS;

const SECTOR: usize = 512;
const ENTRY: usize = 32;
/// First byte of an entry: nothing here, nor behind it.
const END: u8 = 0;
/// First byte of an entry: nothing here any more.
const GONE: u8 = 0xe5;
/// Where an entry's attributes are.
const ATTRIBUTES: usize = 11;
const IS_DIRECTORY: u8 = 0x10;
/// Of a piece of a long name.
const LONG_NAME: u8 = 0x0f;

/// A name of eight letters and three, upper case, filled up with blanks.
pub type ShortName = [u8; 11];

/// What [`end_directory`] found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Entries that the directory has room for.
    pub room: u32,
    /// Entries up to the last name.
    pub entries: u32,
    /// Sectors that had to be written.
    pub written: u32,
}

/// Why nothing was changed, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FatError<E> {
    /// The device failed.
    Device(E),
    /// It is no FAT32 with sectors of 512 bytes, or not a whole one.
    NotFat32,
    /// There is no such directory.
    NoDirectory,
}

impl<E> From<E> for FatError<E> {
    fn from(error: E) -> Self {
        Self::Device(error)
    }
}

impl<E: core::fmt::Display> core::fmt::Display for FatError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Device(error) => error.fmt(f),
            Self::NotFat32 => f.write_str("no FAT32 with sectors of 512 bytes"),
            Self::NoDirectory => f.write_str("the directory is not there"),
        }
    }
}

/// Ends the directory that `path` leads to behind its last name: what was there and is gone is made to have never been. Nothing else
/// changes, and what is changed means nothing: a cut anywhere leaves the same names. Only what has to change is written.
///
/// The file system must not be mounted. A chain of clusters that leads astray ends there.
///
/// # Errors
/// See [`FatError`].
pub fn end_directory<D: Device>(device: &mut D, path: &[ShortName]) -> Result<Ended, FatError<D::Error>> {
    let fat = Fat::read(device)?;
    let mut directory = fat.root;
    for name in path {
        directory = fat.find(device, directory, name)?.ok_or(FatError::NoDirectory)?;
    }

    let (mut entries, mut room) = (0, 0);
    let mut is_ended = false;
    fat.each_sector(device, directory, |_, _, sector| {
        for entry in sector.chunks_exact(ENTRY) {
            room += 1;
            is_ended |= entry[0] == END;
            if !is_ended && !is_nothing(entry) {
                entries = room;
            }
        }
        Ok(true)
    })?;
    if room == DIRECTORY_SECTORS * (SECTOR / ENTRY) as u32 {
        // It leads round: what is behind the last name is before it, too.
        return Err(FatError::NoDirectory);
    }

    let (mut seen, mut written) = (0, 0);
    let mut is_ended = false;
    fat.each_sector(device, directory, |device, at, sector| {
        let mut changed = false;
        for entry in sector.chunks_exact_mut(ENTRY) {
            seen += 1;
            // Behind an end only Linux looks: a piece of a name there may belong to one that it sees.
            is_ended |= entry[0] == END;
            if seen > entries && (entry[0] == GONE || !is_ended && is_nothing(entry)) {
                entry.fill(END);
                changed = true;
            }
        }
        if changed {
            // A sector is written or not.
            device.write(at, sector)?;
            written += 1;
        }
        Ok(true)
    })?;
    if written > 0 {
        device.flush()?;
    }
    Ok(Ended { room, entries, written })
}

/// A name that is gone, or a piece of a long name: behind the last name it is of none.
fn is_nothing(entry: &[u8]) -> bool {
    entry[0] == GONE || entry[ATTRIBUTES] & 0x3f == LONG_NAME
}

/// Where things are, bytes from the device's beginning; each number was held against the others.
struct Fat {
    table: u64,
    /// Of cluster 2.
    data: u64,
    cluster: u64,
    /// The number behind the last cluster's.
    end: u32,
    root: u32,
}

impl Fat {
    fn read<D: Device>(device: &mut D) -> Result<Self, FatError<D::Error>> {
        let mut sector = [0; SECTOR];
        if device.bytes() < SECTOR as u64 {
            return Err(FatError::NotFat32);
        }
        device.read(0, &mut sector)?;
        Self::of(&sector, device.bytes()).ok_or(FatError::NotFat32)
    }

    /// The first sector of a FAT32, on a device of so many bytes.
    fn of(first: &[u8; SECTOR], bytes: u64) -> Option<Self> {
        let half = |at: usize| u64::from(u16::from_le_bytes([first[at], first[at + 1]]));
        let word = |at: usize| u32::from_le_bytes([first[at], first[at + 1], first[at + 2], first[at + 3]]);
        // BPB_BytsPerSec; of FAT12 and FAT16 alone: BPB_RootEntCnt, BPB_TotSec16, BPB_FATSz16.
        let is_fat32 = half(11) == SECTOR as u64 && half(17) == 0 && half(19) == 0 && half(22) == 0;
        // BPB_SecPerClus, BPB_RsvdSecCnt, BPB_NumFATs, BPB_TotSec32, BPB_FATSz32, BPB_RootClus
        let (per_cluster, reserved, copies) = (u64::from(first[13]), half(14), u64::from(first[16]));
        let (sectors, per_table, root) = (u64::from(word(32)), u64::from(word(36)), word(44));
        let data = reserved + copies * per_table;
        let clusters = sectors.checked_sub(data)?.checked_div(per_cluster)?;
        let end = u32::try_from(clusters + 2).ok()?;
        let good = first.ends_with(&[0x55, 0xaa])
            && is_fat32
            && per_cluster.is_power_of_two()
            && reserved > 0
            && (1..=2).contains(&copies)
            && sectors * SECTOR as u64 <= bytes
            && u64::from(end) * 4 <= per_table * SECTOR as u64;
        good.then_some(Self {
            table: reserved * SECTOR as u64,
            data: data * SECTOR as u64,
            cluster: per_cluster * SECTOR as u64,
            end,
            root,
        })
    }

    fn is_cluster(&self, number: u32) -> bool {
        (2..self.end).contains(&number)
    }

    /// Goes through a directory, sector by sector, while `look` says true: the device, where it is, what is in it.
    fn each_sector<D: Device>(
        &self,
        device: &mut D,
        first: u32,
        mut look: impl FnMut(&mut D, u64, &mut [u8; SECTOR]) -> Result<bool, D::Error>,
    ) -> Result<(), D::Error> {
        let mut number = first;
        let mut left = DIRECTORY_SECTORS;
        while self.is_cluster(number) {
            let at = self.data + u64::from(number - 2) * self.cluster;
            for at in (at..at + self.cluster).step_by(SECTOR) {
                if left == 0 {
                    return Ok(());
                }
                left -= 1;
                let mut sector = [0; SECTOR];
                device.read(at, &mut sector)?;
                if !look(device, at, &mut sector)? {
                    return Ok(());
                }
            }
            let mut next = [0; 4];
            device.read(self.table + u64::from(number) * 4, &mut next)?;
            number = u32::from_le_bytes(next) & 0x0fff_ffff;
        }
        Ok(())
    }

    /// The first cluster of the directory `name` in another one.
    fn find<D: Device>(
        &self,
        device: &mut D,
        directory: u32,
        name: &ShortName,
    ) -> Result<Option<u32>, D::Error> {
        let mut found = None;
        self.each_sector(device, directory, |_, _, sector| {
            for entry in sector.chunks_exact(ENTRY) {
                if entry[0] == END {
                    return Ok(false);
                }
                let attributes = entry[ATTRIBUTES];
                let is_directory = attributes & LONG_NAME != LONG_NAME && attributes & IS_DIRECTORY != 0;
                if is_directory && entry.starts_with(name) {
                    // DIR_FstClusHI, DIR_FstClusLO
                    found = Some(u32::from_le_bytes([entry[26], entry[27], entry[20], entry[21]]));
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        Ok(found.filter(|number| self.is_cluster(*number)))
    }
}
