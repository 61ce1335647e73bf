//! The two copies of a GUID partition table (UEFI 2.10, 5.3): read with bounds, written in an order that a cut can't break.
//!
//! ```text
//! block 0      protective MBR
//! block 1      header, first copy                  block -1     header, second copy
//! block 2 …    its entries, 128 bytes each         before it    its entries
//! ```
//! The layout of both is in `layout.rs`; what may be in it, and the order of writes, is decided here. Taken is what every
//! tool writes: a header of 92 bytes, at most 128 entries of 128 bytes, partitions inside the usable blocks that don't overlap.

use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::Device;
use crate::layout::{Entry, Guid, Header, Mbr};
use crate::limits::{ARRAY_BYTES, BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, ENTRIES, ENTRY_BYTES};

const HEADER_BYTES: usize = size_of::<Header>();
const _: () = assert!(HEADER_BYTES == 92 && size_of::<Entry>() == ENTRY_BYTES && size_of::<Mbr>() == 512);
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
/// Block of the first copy's header.
const PRIMARY: u64 = 1;
/// Kind of an MBR's partition that only says: here is a GPT.
const PROTECTIVE: u8 = 0xee;

/// A disk in logical blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocks {
    /// Bytes of one.
    pub(crate) bytes: u64,
    /// How many there are.
    pub(crate) count: u64,
}

impl Blocks {
    /// None when that is no disk that could have a table.
    pub(crate) fn of(device_bytes: u64, block_bytes: u32) -> Option<Self> {
        let good =
            block_bytes.is_power_of_two() && (BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX).contains(&block_bytes);
        let bytes = u64::from(block_bytes);
        let count = device_bytes.checked_div(bytes)?;
        // MBR, two headers, two arrays, and one block to use.
        (good && count >= 2 * Self { bytes, count }.of_array() + 4).then_some(Self { bytes, count })
    }

    pub(crate) const fn last(self) -> u64 {
        self.count - 1
    }

    /// Blocks that an array of entries takes.
    pub(crate) const fn of_array(self) -> u64 {
        (ARRAY_BYTES as u64).div_ceil(self.bytes)
    }

    /// The last block that partitions may use, once the second copy is at the disk's end.
    pub(crate) const fn last_usable(self) -> u64 {
        self.last() - self.of_array() - 1
    }
}

/// What a table says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub(crate) guid: Guid,
    pub(crate) first_usable: u64,
    pub(crate) last_usable: u64,
    /// How many of the entries there are.
    pub(crate) count: usize,
    pub(crate) entries: [Entry; ENTRIES],
}

/// How the copies of a table were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// Both hold and say the same, and the second is at the disk's end.
    Whole,
    /// Both hold and say the same, and the disk is larger: an image on a disk.
    Short,
    /// Only the first holds, or the second says something else.
    FirstOnly,
    /// Only the second holds.
    SecondOnly,
}

/// One copy, as it was read.
struct Copy {
    alternate: u64,
    table: Table,
}

impl Table {
    /// Reads both copies; `None` when neither holds.
    pub(crate) fn read<D: Device>(
        device: &mut D,
        blocks: Blocks,
    ) -> Result<Option<(Self, Copies)>, D::Error> {
        let first = read_copy(device, blocks, PRIMARY)?;
        let second = read_copy(device, blocks, blocks.last())?;
        Ok(match (first, second) {
            (Some(first), Some(second)) if first.alternate == blocks.last() => {
                let same = first.table == second.table;
                Some((first.table, if same { Copies::Whole } else { Copies::FirstOnly }))
            }
            (Some(first), _) if first.alternate < blocks.last() => {
                let second = read_copy(device, blocks, first.alternate)?;
                let same = second.is_some_and(|second| second.table == first.table);
                Some((first.table, if same { Copies::Short } else { Copies::FirstOnly }))
            }
            (Some(first), _) => Some((first.table, Copies::FirstOnly)),
            (None, Some(second)) => Some((second.table, Copies::SecondOnly)),
            (None, None) => None,
        })
    }

    /// The entries in use, with the number that their partition has for the kernel.
    pub(crate) fn used(&self) -> impl Iterator<Item = (u32, &Entry)> {
        (1..).zip(&self.entries[..self.count]).filter(|(_, entry)| entry.is_used())
    }

    /// Number and blocks, first and last, of the partition with this label: of the first of them.
    pub(crate) fn find(&self, label: &str) -> Option<(u32, u64, u64)> {
        self.used()
            .find(|(_, entry)| entry.is_called(label))
            .map(|(number, entry)| (number, entry.first.get(), entry.last.get()))
    }

    /// Writes both copies, the second one to the disk's end, `first` of them first; each is durable before the other is touched.
    pub(crate) fn write<D: Device>(
        &self,
        device: &mut D,
        blocks: Blocks,
        first: Copies,
    ) -> Result<(), D::Error> {
        let second = blocks.last();
        let order = if first == Copies::SecondOnly { [PRIMARY, second] } else { [second, PRIMARY] };
        for at in order {
            self.write_copy(device, blocks, at)?;
            device.flush()?;
        }
        Ok(())
    }

    fn write_copy<D: Device>(&self, device: &mut D, blocks: Blocks, at: u64) -> Result<(), D::Error> {
        let (alternate, array) =
            if at == PRIMARY { (blocks.last(), PRIMARY + 1) } else { (PRIMARY, at - blocks.of_array()) };
        let mut bytes = [0; ARRAY_BYTES];
        let used = self.count * ENTRY_BYTES;
        bytes[..used].copy_from_slice(self.entries[..self.count].as_bytes());
        device.write(array * blocks.bytes, &bytes[..used])?;
        let mut header = Header {
            signature: Header::SIGNATURE,
            revision: Header::REVISION.into(),
            length: (HEADER_BYTES as u32).into(),
            my_block: at.into(),
            alternate: alternate.into(),
            first_usable: self.first_usable.into(),
            last_usable: self.last_usable.into(),
            guid: self.guid,
            array: array.into(),
            count: (self.count as u32).into(),
            entry_size: (ENTRY_BYTES as u32).into(),
            array_crc: CRC.checksum(&bytes[..used]).into(),
            ..Header::default()
        };
        header.sum = header.own_sum(&CRC).into();
        let mut block = [0; BLOCK_BYTES_MAX as usize];
        block[..HEADER_BYTES].copy_from_slice(header.as_bytes());
        device.write(at * blocks.bytes, &block[..blocks.bytes as usize])
    }
}

/// Reads the copy whose header is in this block; `None` when it does not hold.
fn read_copy<D: Device>(device: &mut D, blocks: Blocks, at: u64) -> Result<Option<Copy>, D::Error> {
    let mut header = Header::default();
    device.read(at * blocks.bytes, header.as_mut_bytes())?;
    let count = header.count.get() as usize;
    let array = header.array.get();
    let (first_usable, last_usable) = (header.first_usable.get(), header.last_usable.get());
    let good = header.signature == Header::SIGNATURE
        && header.revision == Header::REVISION
        && header.length.get() as usize == HEADER_BYTES
        && header.sum == header.own_sum(&CRC)
        && header.my_block == at
        && header.entry_size.get() as usize == ENTRY_BYTES
        && (1..=ENTRIES).contains(&count)
        && first_usable <= last_usable
        && last_usable < blocks.last();
    if !good {
        return Ok(None);
    }
    // The array lies between its header and what partitions may use.
    let (length, alternate) = (blocks.of_array(), header.alternate.get());
    let placed = if at == PRIMARY {
        array > PRIMARY
            && array.checked_add(length).is_some_and(|end| end <= first_usable)
            && alternate > last_usable
    } else {
        array > last_usable
            && array.checked_add(length).is_some_and(|end| end <= at)
            && alternate == PRIMARY
            && first_usable > PRIMARY + length
    };
    if !placed {
        return Ok(None);
    }
    let mut bytes = [0; ARRAY_BYTES];
    let bytes = &mut bytes[..count * ENTRY_BYTES];
    device.read(array * blocks.bytes, bytes)?;
    if header.array_crc != CRC.checksum(bytes) {
        return Ok(None);
    }
    let mut entries = [Entry::UNUSED; ENTRIES];
    entries.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
    let table = Table { guid: header.guid, first_usable, last_usable, count, entries };
    Ok(table.partitions_fit().then_some(Copy { alternate, table }))
}

impl Table {
    /// Every partition is inside the usable blocks, and none overlaps another.
    pub(crate) fn partitions_fit(&self) -> bool {
        let range = |entry: &Entry| (entry.first.get(), entry.last.get());
        self.used().all(|(number, entry)| {
            let (start, end) = range(entry);
            start >= self.first_usable
                && start <= end
                && end <= self.last_usable
                && self.used().all(|(other, entry)| {
                    let (from, to) = range(entry);
                    other == number || to < start || end < from
                })
        })
    }
}

/// Has the protective MBR say how large the disk is. One sector, and nothing hangs on it: a disk without such an MBR stays as it is.
pub(crate) fn protect<D: Device>(device: &mut D, blocks: Blocks) -> Result<(), D::Error> {
    let mut mbr = Mbr::new_zeroed();
    device.read(0, mbr.as_mut_bytes())?;
    let size = u32::try_from(blocks.last()).unwrap_or(u32::MAX);
    let [record, others @ ..] = &mut mbr.records;
    let ours = mbr.signature == [0x55, 0xaa]
        && record.kind == PROTECTIVE
        && u64::from(record.first.get()) == PRIMARY
        && others.iter().all(|record| record.kind == 0);
    if !ours || record.count == size {
        return Ok(());
    }
    record.count = size.into();
    device.write(0, mbr.as_bytes())?;
    device.flush()
}
