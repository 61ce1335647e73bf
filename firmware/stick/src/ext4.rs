//! ext4: the label is in the superblock. So may be mount options, and a journal on another device: a stranger's word on
//! what the kernel does, and to which device. A file system that has either is none of ours.

use crate::limits::SECTOR_BYTES;
use crate::{Label, sector, u16_at, u32_at};

const SUPERBLOCK: u64 = 1024;
const MAGIC: u16 = 0xef53;
/// `s_volume_name`.
const NAME: core::ops::Range<usize> = 120..136;
/// `s_journal_dev`.
const JOURNAL_DEVICE: usize = 228;
/// `s_mount_opts`, in the second sector of the superblock.
const OPTIONS: core::ops::Range<usize> = 0..64;

pub(crate) fn label(read: &mut impl FnMut(u64, &mut [u8]) -> Option<()>) -> Option<Label> {
    let first = sector(read, SUPERBLOCK)?;
    if u16_at(&first, 56) != MAGIC {
        return None;
    }
    let second = sector(read, SUPERBLOCK + SECTOR_BYTES as u64)?;
    if u32_at(&first, JOURNAL_DEVICE) != 0 || second[OPTIONS].iter().any(|byte| *byte != 0) {
        return None;
    }
    Label::new(first[NAME].iter().copied().take_while(|byte| *byte != 0))
}
