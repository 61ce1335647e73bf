//! `table`: the partition table of a disk, and the first look at its data partition, before anything is made on it.

use std::collections::BTreeMap;

use aegis_disk::{Content, Copies, Device, Guid, Wanted, content, prepare};

use crate::Seed;
use crate::input::{Input, put_block};

const SECTOR: u64 = 512;
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
/// Where things are in a header (UEFI 2.10, 5.3.2).
const HEADER_SUM: usize = 16;
const ARRAY_AT: usize = 72;
const ARRAY_SUM: usize = 88;
const ENTRIES: usize = 128 * 128;

/// A disk of sectors, most of them zero. It notices whoever goes beyond its end.
#[derive(Clone, Default)]
struct Disk {
    bytes: u64,
    sectors: BTreeMap<u64, [u8; SECTOR as usize]>,
    writes: usize,
}

impl Device for Disk {
    type Error = ();

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), ()> {
        assert!(into.len() <= 1 << 16, "bounded");
        let end = at.checked_add(into.len() as u64).filter(|end| *end <= self.bytes);
        let end = end.ok_or(())?;
        into.fill(0);
        for (number, sector) in self.sectors.range(at / SECTOR..end.div_ceil(SECTOR)) {
            let from = (number * SECTOR).max(at);
            let to = ((number + 1) * SECTOR).min(at + into.len() as u64);
            let part = &sector[(from - number * SECTOR) as usize..(to - number * SECTOR) as usize];
            into[(from - at) as usize..(to - at) as usize].copy_from_slice(part);
        }
        Ok(())
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), ()> {
        let end = at.checked_add(bytes.len() as u64).expect("no place near the end of all numbers");
        assert!(end <= self.bytes, "behind the end");
        self.writes += 1;
        let mut done = 0;
        while done < bytes.len() {
            let place = at + done as u64;
            let offset = (place % SECTOR) as usize;
            let some = (SECTOR as usize - offset).min(bytes.len() - done);
            let part = &bytes[done..done + some];
            // What is zero anyway takes no room.
            if self.sectors.contains_key(&(place / SECTOR)) || part.iter().any(|byte| *byte != 0) {
                let sector = self.sectors.entry(place / SECTOR).or_insert([0; SECTOR as usize]);
                sector[offset..offset + some].copy_from_slice(part);
            }
            done += some;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ()> {
        Ok(())
    }
}

/// A disk whose copies of a table hold whatever they say, when the input says so.
fn read_from(input: &mut Input<'_>) -> (Disk, u32) {
    let flags = input.u8();
    let block = if flags & 8 == 0 { 512 } else { 4096 };
    let mut disk = Disk { bytes: u64::from(input.u16()) << 16, ..Disk::default() };
    let bytes = u64::from(block);
    for (bit, second) in [(1, false), (2, true)] {
        if flags & bit == 0 || disk.bytes < 64 * bytes {
            continue;
        }
        let mut header = [0; 92];
        let given = input.block();
        let length = given.len().min(header.len());
        header[..length].copy_from_slice(&given[..length]);
        let mut entries = vec![0; ENTRIES];
        while let Some(slot) = Some(input.u8()).filter(|slot| *slot < 128) {
            let given = input.block();
            let length = given.len().min(128);
            entries[usize::from(slot) * 128..][..length].copy_from_slice(&given[..length]);
            if input.is_empty() {
                break;
            }
        }
        if flags & 4 == 0 {
            header[ARRAY_SUM..].copy_from_slice(&CRC.checksum(&entries).to_le_bytes());
            header[HEADER_SUM..HEADER_SUM + 4].fill(0);
            let sum = CRC.checksum(&header[..]);
            header[HEADER_SUM..HEADER_SUM + 4].copy_from_slice(&sum.to_le_bytes());
        }
        let place = if second { disk.bytes - bytes } else { bytes };
        let array = u64::from_le_bytes(header[ARRAY_AT..ARRAY_AT + 8].try_into().expect("eight bytes"));
        let array = array
            .checked_mul(bytes)
            .filter(|at| at.checked_add(ENTRIES as u64).is_some_and(|end| end <= disk.bytes));
        if let Some(at) = array {
            disk.write(at, &entries).expect("in the disk");
        }
        disk.write(place, &header).expect("in the disk");
    }
    disk.writes = 0;
    (disk, block)
}

/// Whatever a table says: nothing is written unless it holds; afterwards both copies do, and a second time writes nothing.
pub fn run(data: &[u8]) -> bool {
    let mut input = Input(data);
    let (mut disk, block) = read_from(&mut input);
    let wanted = Wanted { ring: Some(Guid::from_bytes([1; 16])), data: Some(Guid::from_bytes([2; 16])) };
    let prepared = prepare(&mut disk, block, wanted);
    if let Ok(Content::Ours(file_system)) = content(&mut disk) {
        assert!(file_system.bytes % file_system.block_bytes == 0);
    }
    let Ok(first) = prepared else {
        assert_eq!(disk.writes, 0, "what does not hold is not touched");
        return false;
    };
    for made in first.in_table.into_iter().flatten() {
        assert!(made.bytes > 0 && made.start.checked_add(made.bytes).is_some_and(|end| end < disk.bytes));
    }
    let mut again = Disk { writes: 0, ..disk };
    let second = prepare(&mut again, block, wanted).expect("it holds");
    assert!(second.found == Copies::Whole && again.writes == 0 && second.in_table == first.in_table);
    true
}

/// Entries by their place.
type Slots = Vec<(u8, Vec<u8>)>;

/// An image on a larger disk, and the same once it was prepared.
pub fn seeds() -> Vec<Seed> {
    const SIZE: u64 = 96 << 20;
    let header = |at: u64, alternate: u64, array: u64, last: u64| {
        let mut bytes = b"EFI PART\0\0\x01\0\x5c\0\0\0".to_vec();
        bytes.extend([0; 8]);
        for number in [at, alternate, 34, last] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend([7; 16]);
        bytes.extend(array.to_le_bytes());
        bytes.extend(128u32.to_le_bytes());
        bytes.extend(128u32.to_le_bytes());
        bytes
    };
    let entry = |start: u64, end: u64, name: &str| {
        let mut bytes = vec![9; 32];
        bytes.extend(start.to_le_bytes());
        bytes.extend(end.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
        bytes
    };
    let disk = |flags: u8, copies: &[(Vec<u8>, Slots)]| {
        let mut out = vec![flags];
        out.extend(((SIZE >> 16) as u16).to_le_bytes());
        for (header, entries) in copies {
            put_block(&mut out, header);
            for (slot, entry) in entries {
                out.push(*slot);
                put_block(&mut out, entry);
            }
            out.push(0xff);
        }
        out
    };
    let last = SIZE / SECTOR - 1;
    let root = || (0, entry(2048, 8191, "aegis-root-a"));
    let all =
        || vec![root(), (1, entry(8192, 40_959, "aegis-ring")), (2, entry(40_960, 100_000, "aegis-data"))];
    let first = |entries| (header(1, last, 2, last - 33), entries);
    let second = |entries| (header(last, 1, last - 32, last - 33), entries);
    vec![
        ("image", disk(1, &[(header(1, 10_239, 2, 10_206), vec![root()])])),
        ("both", disk(3, &[first(all()), second(all())])),
        ("second-only", disk(2, &[second(all())])),
        ("differing", disk(3, &[first(vec![root()]), second(all())])),
    ]
}
