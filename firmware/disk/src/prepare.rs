//! The table is whole, its second copy at the disk's end, and what was missing is in it.

use crate::limits::{CHUNK_BYTES, WIPE_BYTES};
use crate::plan::{Partition, Plan, Wanted};
use crate::table::{self, Blocks, Copies, Table};
use crate::{DATA_LABEL, Device, RING_LABEL};

/// Why nothing was changed, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The disk failed.
    Device(E),
    /// Neither copy of a table holds, or it is none that is taken.
    NoTable,
}

impl<E> From<E> for Error<E> {
    fn from(error: E) -> Self {
        Self::Device(error)
    }
}

impl<E: core::fmt::Display> core::fmt::Display for Error<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Device(error) => error.fmt(f),
            Self::NoTable => f.write_str("neither copy of its partition table holds"),
        }
    }
}

/// What was found and done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// How the table was found.
    pub found: Copies,
    /// The ring's partition, if it was made.
    pub ring: Option<Partition>,
    /// The data partition, if it was made.
    pub data: Option<Partition>,
    /// The data partition, if it is longer than it was.
    pub grown: Option<Partition>,
    /// What was wanted and could not be made, as the disk has no room for it.
    pub no_room: bool,
    /// The ring's partition and the data partition, as the table has them now: the kernel may know less.
    pub in_table: [Option<Partition>; 2],
}

/// Mends the table, has it end where the disk ends, and adds what is wanted. Only what has to change is written.
///
/// # Errors
/// [`Error::NoTable`]: nothing was touched. [`Error::Device`]: it is as it was, or as it is to be.
pub fn prepare<D: Device>(
    device: &mut D,
    block_bytes: u32,
    wanted: Wanted,
) -> Result<Prepared, Error<D::Error>> {
    let blocks = Blocks::of(device.bytes(), block_bytes).ok_or(Error::NoTable)?;
    let (mut table, found) = Table::read(device, blocks)?.ok_or(Error::NoTable)?;
    let before = table.clone();
    // What is on the disk already has no need to be made: whoever asks may not have seen it.
    let missing = |label: &str| table.find(label).is_none();
    let wanted = Wanted {
        ring: wanted.ring.filter(|_| missing(RING_LABEL)),
        data: wanted.data.filter(|_| missing(DATA_LABEL)),
    };
    let Plan { ring, data, grown, no_room } = table.plan(blocks, wanted);
    if !table.partitions_fit() {
        // One lies where the second copy is to be.
        return Err(Error::NoTable);
    }
    for partition in [ring, data].into_iter().flatten() {
        wipe(device, partition)?;
    }
    if found != Copies::Whole || table != before {
        device.flush()?;
        table.write(device, blocks, found)?;
    }
    table::protect(device, blocks)?;
    let at = |label| {
        let (number, first, last) = table.find(label)?;
        let (start, bytes) = (first * blocks.bytes, (last + 1 - first) * blocks.bytes);
        Some(Partition { number, start, bytes })
    };
    Ok(Prepared { found, ring, data, grown, no_room, in_table: [RING_LABEL, DATA_LABEL].map(at) })
}

/// Before the table names it: a ring or a file system that lay here once is none of this partition's.
fn wipe<D: Device>(device: &mut D, partition: Partition) -> Result<(), D::Error> {
    let zeros = [0; CHUNK_BYTES];
    let length = WIPE_BYTES.min(partition.bytes);
    // Also at its end, where the ring has its second superblock.
    for start in [partition.start, partition.start + partition.bytes - length] {
        for at in (0..length).step_by(CHUNK_BYTES) {
            let some = (length - at).min(CHUNK_BYTES as u64);
            device.write(start + at, &zeros[..some as usize])?;
        }
    }
    Ok(())
}
