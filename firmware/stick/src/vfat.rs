//! FAT12, FAT16, FAT32. `mkfs.vfat` writes the label to the boot sector and to the root directory; desktop systems that
//! rename a stick write the root directory only, so that one counts, if it is there.

use core::ops::ControlFlow;

use crate::limits::{DIRECTORY_SECTORS, SECTOR_BYTES};
use crate::{Label, sector, u16_at, u32_at};

const ENTRY: usize = 32;
const NAME: usize = 11;
/// Attributes of an entry.
const DIRECTORY: u8 = 0x10;
const VOLUME_ID: u8 = 0x08;
const LONG_NAME: u8 = 0x0f;
/// First byte of an entry.
const FREE: u8 = 0xe5;
const FREE_FROM_HERE: u8 = 0;
/// Says that serial number, label and type are there.
const EXTENDED: u8 = 0x29;
/// What tools write for no label.
const NO_NAME: &[u8] = b"NO NAME";

/// Where things are, bytes.
struct Layout {
    fat: u64,
    /// Cluster 2.
    data: u64,
    cluster: u64,
    root: Root,
}

enum Root {
    /// FAT12, FAT16: so many sectors of [`SECTOR_BYTES`] before the data.
    Fixed { at: u64, sectors: u32 },
    /// FAT32: a chain of clusters.
    Chain { first: u32 },
}

pub(crate) fn label(read: &mut impl FnMut(u64, &mut [u8]) -> Option<()>) -> Option<Label> {
    let boot = sector(read, 0)?;
    let layout = Layout::read(&boot)?;
    in_root(read, &layout).or_else(|| in_boot_sector(&boot, &layout.root))
}

impl Layout {
    /// The checks are those of `fs/fat/inode.c:fat_read_bpb`: what it refuses is no FAT.
    fn read(boot: &[u8; SECTOR_BYTES]) -> Option<Self> {
        let bytes_a_sector = u64::from(u16_at(boot, 11));
        let sectors_a_cluster = u64::from(boot[13]);
        let reserved = u64::from(u16_at(boot, 14));
        let fats = u64::from(boot[16]);
        let root_entries = u64::from(u16_at(boot, 17));
        let media = boot[21];
        let (fat16, fat32) = (u16_at(boot, 22), u32_at(boot, 36));
        if !(512..=4096).contains(&bytes_a_sector)
            || !bytes_a_sector.is_power_of_two()
            || !sectors_a_cluster.is_power_of_two()
            || reserved == 0
            || fats == 0
            || !(media == 0xf0 || media >= 0xf8)
            || (fat16 == 0 && fat32 == 0)
        {
            return None;
        }
        // At most 2^8 FATs of 2^32 sectors of 2^12 bytes: no sum here comes near 2^64.
        let fat_sectors = if fat16 == 0 { u64::from(fat32) } else { u64::from(fat16) };
        let fat = reserved * bytes_a_sector;
        let at = fat + fats * fat_sectors * bytes_a_sector;
        let root_bytes = (root_entries * ENTRY as u64).next_multiple_of(bytes_a_sector);
        let root = if fat16 == 0 {
            Root::Chain { first: u32_at(boot, 44) }
        } else {
            Root::Fixed { at, sectors: (root_bytes / SECTOR_BYTES as u64) as u32 }
        };
        Some(Self { fat, data: at + root_bytes, cluster: sectors_a_cluster * bytes_a_sector, root })
    }
}

fn in_root(read: &mut impl FnMut(u64, &mut [u8]) -> Option<()>, layout: &Layout) -> Option<Label> {
    match layout.root {
        Root::Fixed { at, sectors } => {
            for number in 0..sectors.min(DIRECTORY_SECTORS) {
                let entries = sector(read, at + u64::from(number) * SECTOR_BYTES as u64)?;
                if let ControlFlow::Break(label) = look(&entries) {
                    return label;
                }
            }
        }
        Root::Chain { mut first } => {
            let in_cluster = (layout.cluster / SECTOR_BYTES as u64) as u32;
            let mut left = DIRECTORY_SECTORS;
            while left > 0 && (2..0x0fff_fff7).contains(&first) {
                let at = layout.data + u64::from(first - 2) * layout.cluster;
                for number in 0..in_cluster.min(left) {
                    let entries = sector(read, at + u64::from(number) * SECTOR_BYTES as u64)?;
                    if let ControlFlow::Break(label) = look(&entries) {
                        return label;
                    }
                }
                left = left.saturating_sub(in_cluster);
                let mut next = [0; 4];
                read(layout.fat + u64::from(first) * 4, &mut next)?;
                first = u32::from_le_bytes(next) & 0x0fff_ffff;
            }
        }
    }
    None
}

/// Goes on until the label, or the end of the directory, is among these entries.
fn look(entries: &[u8; SECTOR_BYTES]) -> ControlFlow<Option<Label>> {
    for entry in entries.chunks_exact(ENTRY) {
        let attributes = entry[11];
        let is_label = attributes & (VOLUME_ID | DIRECTORY) == VOLUME_ID
            && attributes & LONG_NAME != LONG_NAME
            && u16_at(entry, 20) == 0
            && u16_at(entry, 26) == 0;
        match entry[0] {
            FREE_FROM_HERE => return ControlFlow::Break(None),
            FREE => {}
            _ if is_label => return ControlFlow::Break(named(&entry[..NAME])),
            _ => {}
        }
    }
    ControlFlow::Continue(())
}

fn in_boot_sector(boot: &[u8; SECTOR_BYTES], root: &Root) -> Option<Label> {
    let (signature, at) = match root {
        Root::Fixed { .. } => (38, 43),
        Root::Chain { .. } => (66, 71),
    };
    if boot[signature] == EXTENDED { named(&boot[at..at + NAME]) } else { None }
}

fn named(bytes: &[u8]) -> Option<Label> {
    Label::new(bytes.iter().copied()).filter(|label| label.as_bytes() != NO_NAME)
}
