//! `label`: the first look at whatever was plugged in, before the kernel is told to mount it.

use std::collections::BTreeMap;

use aegis_stick::{FileSystem, find, label, limits};

use crate::Seed;
use crate::input::{Input, put_block};

const SECTOR: usize = limits::SECTOR_BYTES;

/// What stands where the input says nothing.
#[derive(Clone, Copy, Debug)]
enum Elsewhere {
    /// The device ends there.
    End,
    /// The same byte, over and over.
    Fill,
    /// The input's sectors again, so that every chain leads somewhere.
    Mirror,
}

/// A device of a few sectors and what is between them.
struct Device<'a> {
    sectors: BTreeMap<u64, &'a [u8]>,
    elsewhere: Elsewhere,
    /// Behind what the input says of a sector, too.
    fill: u8,
}

impl<'a> Device<'a> {
    fn read_from(input: &mut Input<'a>) -> Self {
        let elsewhere = [Elsewhere::End, Elsewhere::Fill, Elsewhere::Mirror][usize::from(input.u8() % 3)];
        let fill = input.u8();
        let mut sectors = BTreeMap::new();
        while !input.is_empty() {
            let number = u64::from(input.u16());
            let bytes = input.block();
            sectors.insert(number, &bytes[..bytes.len().min(SECTOR)]);
        }
        Self { sectors, elsewhere, fill }
    }

    fn byte(&self, at: u64) -> Option<u8> {
        let (number, offset) = (at / SECTOR as u64, (at % SECTOR as u64) as usize);
        let sector = match (self.sectors.get(&number), self.elsewhere) {
            (Some(sector), _) => Some(sector),
            (None, Elsewhere::End) => return None,
            (None, Elsewhere::Fill) => None,
            (None, Elsewhere::Mirror) => {
                let count = (self.sectors.len() as u64).max(1);
                self.sectors.values().nth((number % count) as usize)
            }
        };
        Some(sector.and_then(|sector| sector.get(offset).copied()).unwrap_or(self.fill))
    }

    fn read(&self, at: u64, out: &mut [u8]) -> Option<()> {
        assert!((1..=SECTOR).contains(&out.len()));
        for (place, byte) in (0..).zip(out) {
            *byte = self.byte(at.checked_add(place).expect("no place near the end of all numbers"))?;
        }
        Some(())
    }
}

/// Bounded reading, a label that is one, and the same answer to both questions.
pub fn run(data: &[u8]) -> bool {
    let device = Device::read_from(&mut Input(data));
    let labels = FileSystem::ALL.map(|kind| {
        let mut reads = 0;
        let found = label(kind, |at, out: &mut [u8]| {
            reads += 1;
            assert!(reads <= limits::READS, "{kind} reads on and on");
            device.read(at, out)
        });
        found.map(|found| (kind, found))
    });
    for (_, found) in labels.iter().flatten() {
        let bytes = found.as_bytes();
        assert!((1..=limits::LABEL_BYTES).contains(&bytes.len()) && !matches!(bytes, [.., b' ' | 0]));
        let same = labels.iter().flatten().find(|(_, other)| other.as_bytes() == bytes);
        assert_eq!(find(bytes, |at, out: &mut [u8]| device.read(at, out)), same.map(|(kind, _)| *kind));
    }
    labels.iter().any(Option::is_some)
}

fn put(sector: &mut [u8], at: usize, bytes: &[u8]) {
    sector[at..at + bytes.len()].copy_from_slice(bytes);
}

/// One small file system of each kind.
pub fn seeds() -> Vec<Seed> {
    const NAME: &[u8; 11] = b"AEGIS      ";
    let mut fat = vec![0; 82];
    put(&mut fat, 11, &[0, 2, 1, 1, 0, 1]);
    let mut fat16 = fat.clone();
    put(&mut fat16, 17, &[64, 0, 0, 0, 0xf8, 1]);
    let mut fat32 = fat;
    fat32[21] = 0xf0;
    put(&mut fat32, 36, &[1]);
    put(&mut fat32, 44, &[5]);
    fat32[66] = 0x29;
    put(&mut fat32, 71, NAME);
    let entry = [&NAME[..], &[8]].concat();
    let mut table = vec![0; 24];
    put(&mut table, 12, &0x0fff_ffff_u32.to_le_bytes());
    put(&mut table, 20, &3u32.to_le_bytes());
    let file = [&b"FILE       \x20"[..], &[0; 20]].concat().repeat(16);

    let mut exfat = vec![0; 110];
    put(&mut exfat, 3, b"EXFAT   ");
    put(&mut exfat, 80, &[1]);
    put(&mut exfat, 88, &[2]);
    put(&mut exfat, 92, &[14]);
    put(&mut exfat, 96, &[4]);
    exfat[108] = 9;
    let exfat_entry =
        [&[0x83, 5][..], &b"AEGIS".iter().flat_map(|byte| [*byte, 0]).collect::<Vec<_>>()].concat();

    let mut ext4 = vec![0; 125];
    put(&mut ext4, 56, &[0x53, 0xef]);
    put(&mut ext4, 120, b"AEGIS");

    let descriptor = |kind: u8, name: &[u8], escape: &[u8]| {
        let mut out = vec![0; 91];
        out[0] = kind;
        put(&mut out, 1, b"CD001");
        put(&mut out, 40, name);
        put(&mut out, 88, escape);
        out
    };
    let joliet: Vec<u8> = b"AEGIS".iter().flat_map(|byte| [0, *byte]).collect();

    let mut endless = exfat.clone();
    put(&mut endless, 92, &[0xff; 4]);
    endless[109] = 0;

    let device = |elsewhere: u8, fill: u8, sectors: &[(u16, &[u8])]| {
        let mut out = vec![elsewhere, fill];
        for (number, bytes) in sectors {
            out.extend(number.to_le_bytes());
            put_block(&mut out, bytes);
        }
        out
    };
    vec![
        ("fat16", device(1, 0, &[(0, &fat16), (2, &entry)])),
        ("fat32", device(0, 0, &[(0, &fat32), (1, &table), (3, &entry), (5, &file)])),
        ("fat32-mirror", device(2, 0, &[(0, &fat32)])),
        ("exfat", device(1, 0, &[(0, &exfat), (4, &exfat_entry)])),
        // A directory without end, in clusters that follow each other without end.
        ("exfat-endless", device(1, 0x85, &[(0, &endless), (4, &exfat_entry)])),
        ("ext4", device(0, 0, &[(2, &ext4), (3, &[])])),
        (
            "iso9660",
            device(
                0,
                0,
                &[
                    (64, &descriptor(1, b"", b"")),
                    (68, &descriptor(2, &joliet, b"%/E")),
                    (72, &descriptor(255, b"", b"")),
                ],
            ),
        ),
    ]
}
