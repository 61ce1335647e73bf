//! Structures of the ring with a good checksum and any values, as `docs/formats/ring.md` has them: what a disk from a
//! stranger can hold.

use aegis_ring::limits::{NUMBER_MAX, PAYLOAD_BYTES, SECTOR_BYTES};
use aegis_ring::{VERSION, chain_next};

use super::RING;
use super::disk::Disk;
use crate::input::Input;

const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
/// Bytes of a frame's payload that the input says; the rest is one byte, over and over.
const SAID_BYTES: usize = 48;
const SUM_AT: usize = SECTOR_BYTES - 4;

fn put(out: &mut [u8], at: usize, field: &[u8]) {
    out[at..at + field.len()].copy_from_slice(field);
}

fn summed(mut sector: [u8; SECTOR_BYTES]) -> [u8; SECTOR_BYTES] {
    let sum = CRC.checksum(&sector[..SUM_AT]);
    put(&mut sector, SUM_AT, &sum.to_le_bytes());
    sector
}

/// A number near where something happens: zero, the ring's own, the highest believed, the highest there is.
pub(super) fn number(input: &mut Input<'_>, near: u64) -> u64 {
    let base = [0, near, NUMBER_MAX, u64::MAX][usize::from(input.u8() & 3)];
    let by = i64::from(input.u8().cast_signed());
    base.wrapping_add_signed(by)
}

/// A superblock.
pub(super) fn superblock(input: &mut Input<'_>, disk: &mut Disk, second: usize) {
    let mut sector = [0; SECTOR_BYTES];
    put(&mut sector, 0, b"AEGISRNG");
    put(&mut sector, 8, &VERSION.to_le_bytes());
    put(&mut sector, 12, &(u32::from(input.u8()) << 12).to_le_bytes());
    put(&mut sector, 16, &RING);
    put(
        &mut sector,
        32,
        &((1u64 << 20).wrapping_add_signed(i64::from(input.u8().cast_signed()) << 12)).to_le_bytes(),
    );
    put(&mut sector, 40, &number(input, 1).to_le_bytes());
    disk.put(if input.u8() & 1 == 0 { 0 } else { second }, &summed(sector));
}

/// The header of a segment; half of the time its number goes with its place.
pub(super) fn header(
    input: &mut Input<'_>,
    disk: &mut Disk,
    shape: super::Shape,
    sequence: u64,
    head: &[u8; 32],
) {
    let (place, segments) = (u64::from(input.u8()) % shape.segments(), shape.segments());
    let mut of = number(input, sequence);
    if input.u8() & 1 == 0 {
        of = (of / segments * segments).wrapping_add(place);
    }
    let mut sector = [0; SECTOR_BYTES];
    put(&mut sector, 0, b"AEGISSEG");
    put(&mut sector, 8, &VERSION.to_le_bytes());
    put(&mut sector, 16, &RING);
    put(&mut sector, 32, &of.to_le_bytes());
    put(&mut sector, 40, &[input.u8(); 16]);
    put(&mut sector, 56, &number(input, sequence).to_le_bytes());
    put(&mut sector, 64, head);
    // What it says of the segment before, books and seals: mostly nothing.
    let said = u32::from(input.u16()) | u32::from(input.u8()) << 16;
    for at in (96..240).step_by(8).filter(|at| said >> ((at - 96) / 8) & 1 == 1) {
        put(&mut sector, at, &number(input, sequence).to_le_bytes());
    }
    disk.put(shape.sector_of(place), &summed(sector));
}

/// A frame at the beginning of a sector, of the segment that is there.
pub(super) fn frame(
    input: &mut Input<'_>,
    disk: &mut Disk,
    shape: super::Shape,
    sequence: u64,
    head: &[u8; 32],
) {
    let first = shape.sector_of(u64::from(input.u8()) % shape.segments());
    let at = 1 + usize::from(input.u8()) % (shape.segment_sectors() - 1);
    let segment = disk.sector(first);
    let length = usize::from(input.u16()) % (PAYLOAD_BYTES + 2);
    let mut bytes = vec![input.u8(); (52 + length).next_multiple_of(SECTOR_BYTES)];
    bytes[52 + length..].fill(0);
    put(&mut bytes, 52, input.take(length.min(SAID_BYTES)));
    let sequence = number(input, sequence);
    put(&mut bytes, 4, &(length as u16).to_le_bytes());
    put(&mut bytes, 6, &[input.u8() % 17, 0]);
    put(&mut bytes, 8, &sequence.to_le_bytes());
    let commit = if input.u8() & 1 == 0 { at } else { usize::from(input.u8()) };
    put(&mut bytes, 16, &(commit as u32).to_le_bytes());
    // A mark has the chain's head as it is; an event moves it on.
    let head = if input.u8() & 1 == 0 { chain_next(head, sequence, &bytes[52..52 + length]) } else { *head };
    put(&mut bytes, 20, &head);
    let mut digest = CRC.digest();
    digest.update(&RING);
    digest.update(&segment[32..40]);
    digest.update(&segment[40..56]);
    digest.update(&bytes[4..52 + length]);
    let sum = digest.finalize();
    put(&mut bytes, 0, &sum.to_le_bytes());
    let (sectors, _) = bytes.as_chunks();
    for (number, sector) in (first + at..).zip(sectors) {
        disk.put(number, sector);
    }
}
