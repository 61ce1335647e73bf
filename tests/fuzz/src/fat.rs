//! `fat`: the directory of kernels on the ESP, a FAT that firmware and loader write to as well.

use aegis_disk::{Device, ShortName, end_directory};

use crate::Seed;
use crate::input::Input;

const SECTOR: usize = 512;
const ENTRY: usize = 32;
/// Sectors of the device: boot sector, one table of 128 clusters, 126 clusters.
const SECTORS: usize = 128;
const PATH: [ShortName; 2] = [*b"EFI        ", *b"LINUX      "];

#[derive(Clone, PartialEq, Eq)]
struct Esp(Vec<u8>);

impl Device for Esp {
    type Error = ();

    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), ()> {
        let end = at.checked_add(into.len() as u64).expect("no place near the end of all numbers");
        into.copy_from_slice(self.0.get(at as usize..end as usize).ok_or(())?);
        Ok(())
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), ()> {
        assert_eq!((at as usize % SECTOR, bytes.len()), (0, SECTOR), "a sector at a time");
        self.0.get_mut(at as usize..at as usize + SECTOR).expect("behind the end").copy_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ()> {
        Ok(())
    }
}

/// Whatever a FAT says: the sectors that are written differ in entries that were gone, and are now nothing.
pub fn run(data: &[u8]) -> bool {
    let mut input = Input(data);
    let mut esp = Esp(vec![0; SECTORS * SECTOR]);
    while !input.is_empty() {
        let at = usize::from(input.u8()) % SECTORS * SECTOR;
        let given = input.block();
        let length = given.len().min(SECTOR);
        esp.0[at..at + length].copy_from_slice(&given[..length]);
    }
    let before = esp.clone();
    let ended = end_directory(&mut esp, &PATH);
    for (was, is) in before.0.chunks(ENTRY).zip(esp.0.chunks(ENTRY)) {
        let nothing = was[0] == 0xe5 || was[11] & 0x3f == 0x0f;
        assert!(was == is || nothing && is == [0; ENTRY], "something that was there is gone");
    }
    let Ok(ended) = ended else {
        assert!(before == esp, "what does not hold is not touched");
        return false;
    };
    assert!(ended.entries <= ended.room && ended.room <= 1 << 16);
    true
}

/// A directory of two clusters with names that stay and names that are gone.
pub fn seeds() -> Vec<Seed> {
    let sector = |fields: &[(usize, &[u8])]| {
        let mut bytes = vec![0; SECTOR];
        for (at, field) in fields {
            bytes[*at..*at + field.len()].copy_from_slice(field);
        }
        bytes
    };
    let boot = sector(&[
        (11, &[0, 2]),             // 512 bytes a sector
        (13, &[1]),                // one a cluster
        (14, &[1, 0]),             // one is reserved
        (16, &[1]),                // one table
        (32, &[SECTORS as u8, 0]), // sectors
        (36, &[1, 0, 0, 0]),       // of them the table's
        (44, &[2, 0, 0, 0]),       // the root's cluster
        (510, &[0x55, 0xaa]),
    ]);
    let entry = |name: &[u8; 11], cluster: u8| {
        let mut bytes = vec![0; ENTRY];
        bytes[..11].copy_from_slice(name);
        bytes[11] = 0x10;
        bytes[26] = cluster;
        bytes
    };
    // By number of the cluster: what follows it; 0 stands for the end.
    let table = [0_u8, 0, 0, 0, 5, 0].map(|next| [next, 0, 0, if next == 0 { 0x0f } else { 0 }]).concat();
    let directory = |names: &[&[u8; 11]]| {
        sector(&[(0, &names.iter().flat_map(|name| entry(name, 0)).collect::<Vec<_>>())])
    };
    let gone = b"\xe5EGISB  EFI";
    let mut disk = Vec::new();
    for (at, bytes) in [
        (0, boot),
        (1, sector(&[(0, &table)])),
        (2, sector(&[(0, &entry(b"EFI        ", 3))])),
        (3, sector(&[(0, &entry(b"LINUX      ", 4))])),
        (4, directory(&[gone, b"AEGISA  EFI", gone, gone])),
        (5, directory(&[gone; 16])),
    ] {
        disk.push(at);
        crate::input::put_block(&mut disk, &bytes);
    }
    vec![("two-clusters", disk)]
}
