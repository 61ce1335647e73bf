//! exFAT: the label is an entry of the root directory.

use crate::limits::{DIRECTORY_SECTORS, SECTOR_BYTES};
use crate::{Label, sector, u16_at, u32_at};

const ENTRY: usize = 32;
const END: u8 = 0;
const VOLUME_LABEL: u8 = 0x83;
const LABEL_UNITS: usize = 11;
const FIRST_CLUSTER: u32 = 2;

pub(crate) fn label(read: &mut impl FnMut(u64, &mut [u8]) -> Option<()>) -> Option<Label> {
    let boot = sector(read, 0)?;
    // 3.1.2, 3.1.3: a FAT's parameters must be zero here, so that it is never both.
    if &boot[3..11] != b"EXFAT   " || boot[11..64].iter().any(|byte| *byte != 0) {
        return None;
    }
    let (sector_shift, cluster_shift) = (u32::from(boot[108]), u32::from(boot[109]));
    if !(9..=12).contains(&sector_shift) || cluster_shift > 25 - sector_shift {
        return None;
    }
    let fat = u64::from(u32_at(&boot, 80)) << sector_shift;
    let heap = u64::from(u32_at(&boot, 88)) << sector_shift;
    let clusters = u32_at(&boot, 92);
    let cluster_bytes = 1u64 << (sector_shift + cluster_shift);
    let in_cluster = (cluster_bytes / SECTOR_BYTES as u64) as u32;

    let mut cluster = u32_at(&boot, 96);
    let mut left = DIRECTORY_SECTORS;
    while left > 0 && cluster >= FIRST_CLUSTER && cluster - FIRST_CLUSTER < clusters {
        let at = heap + u64::from(cluster - FIRST_CLUSTER) * cluster_bytes;
        for number in 0..in_cluster.min(left) {
            let entries = sector(read, at + u64::from(number) * SECTOR_BYTES as u64)?;
            for entry in entries.chunks_exact(ENTRY) {
                match entry[0] {
                    END => return None,
                    VOLUME_LABEL => return name(entry),
                    _ => {}
                }
            }
        }
        left = left.saturating_sub(in_cluster);
        let mut next = [0; 4];
        read(fat + u64::from(cluster) * 4, &mut next)?;
        cluster = u32::from_le_bytes(next);
    }
    None
}

/// 7.3: how many units, then the units.
fn name(entry: &[u8]) -> Option<Label> {
    let units = usize::from(entry[1]);
    if units > LABEL_UNITS {
        return None;
    }
    Label::from_utf16((0..units).map(|unit| u16_at(entry, 2 + 2 * unit)))
}
