//! Which partitions are to be: pure, on a table in memory.

use crate::layout::{Entry, Guid, name};
use crate::limits::{ALIGN_BYTES, DATA_BYTES_MIN, RING_BYTES_MAX, RING_BYTES_MIN, RING_SHARE};
use crate::table::{Blocks, Table};
use crate::{DATA_LABEL, RING_LABEL};

/// "Linux filesystem data", 0fc63daf-8483-4772-8e79-3d69d8477de4.
const LINUX_DATA: Guid = Guid::from_bytes([
    0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
]);

/// What is nowhere on this device, and so is to be made; each with the GUID that it gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// A partition for the ring.
    pub ring: Option<Guid>,
    /// A partition for data.
    pub data: Option<Guid>,
}

/// A partition of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number for the kernel, from 1 on.
    pub number: u32,
    /// Where it begins, bytes.
    pub start: u64,
    /// How long it is, bytes.
    pub bytes: u64,
}

/// What was planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) ring: Option<Partition>,
    pub(crate) data: Option<Partition>,
    /// The data partition, longer than it was.
    pub(crate) grown: Option<Partition>,
    /// Something that was wanted has no room, or no entry.
    pub(crate) no_room: bool,
}

/// Free blocks, from one on and before another, in bytes and aligned; none when that is empty.
fn gap(blocks: Blocks, from: u64, before: u64) -> Option<(u64, u64)> {
    let start = from.checked_mul(blocks.bytes)?.checked_next_multiple_of(ALIGN_BYTES)?;
    let end = before.checked_mul(blocks.bytes)? / ALIGN_BYTES * ALIGN_BYTES;
    (start < end).then_some((start, end))
}

impl Table {
    /// Adds what is wanted to the largest room that there is, and has a data partition take what is free behind it.
    pub(crate) fn plan(&mut self, blocks: Blocks, wanted: Wanted) -> Plan {
        let mut plan = Plan::default();
        self.last_usable = blocks.last_usable();
        match (wanted.ring, wanted.data) {
            (Some(ring), Some(data)) => {
                if let Some((start, end)) = self.largest_gap(blocks)
                    && let Some(bytes) = ring_share(end - start)
                    && self.used().count() + 2 <= self.count
                {
                    plan.ring = self.add(blocks, RING_LABEL, ring, (start, start + bytes));
                    plan.data = self.add(blocks, DATA_LABEL, data, (start + bytes, end));
                }
            }
            (Some(ring), None) => {
                if let Some((start, end)) = self.largest_gap(blocks)
                    && end - start >= RING_BYTES_MIN
                {
                    // Where the ring was, if that is what is free; else behind the data, which is to grow into the rest.
                    let bytes = ring_share(end - start).unwrap_or(end - start).min(RING_BYTES_MAX);
                    plan.ring = self.add(blocks, RING_LABEL, ring, (start, start + bytes));
                }
            }
            (None, Some(data)) => {
                if let Some((start, end)) = self.largest_gap(blocks)
                    && end - start >= DATA_BYTES_MIN
                {
                    plan.data = self.add(blocks, DATA_LABEL, data, (start, end));
                }
            }
            (None, None) => {}
        }
        plan.no_room =
            wanted.ring.is_some() != plan.ring.is_some() || wanted.data.is_some() != plan.data.is_some();
        if wanted.data.is_none() {
            plan.grown = self.grow(blocks);
        }
        plan
    }

    /// The largest room between partitions, or behind the last, in bytes.
    fn largest_gap(&self, blocks: Blocks) -> Option<(u64, u64)> {
        let ends = self.used().map(|(_, entry)| entry.last.get() + 1);
        let gaps =
            ends.chain([self.first_usable]).filter_map(|from| gap(blocks, from, self.next_start(from)));
        // Of two that are alike the first one on the disk.
        gaps.max_by_key(|(start, end)| (end - start, u64::MAX - start))
    }

    /// The first block at or behind this one that is not free.
    fn next_start(&self, from: u64) -> u64 {
        let starts = self.used().map(|(_, entry)| entry.first.get());
        starts.filter(|start| *start >= from).min().unwrap_or(self.last_usable + 1)
    }

    fn add(&mut self, blocks: Blocks, label: &str, id: Guid, (start, end): (u64, u64)) -> Option<Partition> {
        let (first, last) = (start / blocks.bytes, end / blocks.bytes - 1);
        let (number, entry) =
            (1..).zip(&mut self.entries[..self.count]).find(|(_, entry)| !entry.is_used())?;
        *entry = Entry {
            kind: LINUX_DATA,
            guid: id,
            first: first.into(),
            last: last.into(),
            name: name(label),
            ..Entry::UNUSED
        };
        Some(Partition { number, start, bytes: end - start })
    }

    /// The data partition takes what is free behind it.
    fn grow(&mut self, blocks: Blocks) -> Option<Partition> {
        let (number, first, last) = self.find(DATA_LABEL)?;
        let (_, end) = gap(blocks, last + 1, self.next_start(last + 1))?;
        let start = first * blocks.bytes;
        self.entries.get_mut(number as usize - 1)?.last = (end / blocks.bytes - 1).into();
        Some(Partition { number, start, bytes: end - start })
    }
}

/// How much of the room for both the ring gets, bytes; none when it is not enough for both.
fn ring_share(room: u64) -> Option<u64> {
    let share = (room / RING_SHARE).clamp(RING_BYTES_MIN, RING_BYTES_MAX) / ALIGN_BYTES * ALIGN_BYTES;
    (room >= share + DATA_BYTES_MIN).then_some(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_gets_a_bounded_share() {
        const MIB: u64 = 1 << 20;
        for (room, share) in [
            (0, None),
            (47 * MIB, None),
            (48 * MIB, Some(16 * MIB)),
            (100 * MIB, Some(16 * MIB)),
            (1000 * MIB, Some(125 * MIB)),
            (1004 * MIB, Some(125 * MIB)),
            (32 << 30, Some(4 << 30)),
            (1 << 50, Some(4 << 30)),
        ] {
            assert_eq!(ring_share(room), share, "{room}");
        }
    }
}
