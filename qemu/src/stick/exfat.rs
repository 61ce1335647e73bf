//! exFAT without mounting: puts a folder into an empty volume, takes files out of a used one.
//!
//! There is a tool that makes the volume (`mkfs.exfat`) and none that fills it. Source: "exFAT file system
//! specification", Microsoft, 2019-08; section numbers below are its own. What is read was written by a guest: every
//! number is checked before it is used, every chain is bounded.
//!
//! ```text
//! boot sector | FAT: u32 a cluster | cluster heap: 2.. , the root folder and the allocation bitmap among them
//! folder: 32-byte entries; a file is 0x85 (file), 0xC0 (stream: where it is), 0xC1 (15 UTF-16 units of its name) …
//! ```

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::limits;

const ENTRY: usize = 32;
const END_OF_CHAIN: u32 = 0xFFFF_FFFF;
const BITMAP: u8 = 0x81;
const FILE: u8 = 0x85;
const STREAM: u8 = 0xC0;
const NAME: u8 = 0xC1;
const UNITS: usize = 15;
const DIRECTORY: u16 = 1 << 4;
const ARCHIVE: u16 = 1 << 5;
/// [`limits::STICK_TIME`] as 7.4.8 has it; UTC as 7.4.10 has it.
const STAMP: u32 = 46 << 25 | 1 << 21 | 1 << 16;
const UTC: u8 = 0x80;

/// A volume at some place of an image.
pub(super) struct Volume {
    image: File,
    at: u64,
    fat_at: u64,
    heap_at: u64,
    cluster: usize,
    root: u32,
    /// Entry N of the FAT; the first two stand for no cluster.
    fat: Vec<u32>,
}

/// Where a file's or folder's bytes are (7.6).
#[derive(Clone, Copy)]
struct Stream {
    first: u32,
    /// Bytes; what is beyond `valid` reads as zeros.
    length: u64,
    valid: u64,
    /// One run of clusters: the FAT says nothing of them.
    contiguous: bool,
}

struct Entry {
    name: String,
    directory: bool,
    stream: Stream,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("exfat: {what}"))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

impl Volume {
    /// The volume `at` so many bytes of the image.
    pub(super) fn open(image: File, at: u64) -> io::Result<Self> {
        let mut boot = [0; 512];
        image.read_exact_at(&mut boot, at)?;
        let (sector, shift) = (boot[108], boot[109]);
        if &boot[3..11] != b"EXFAT   " || !(9..=12).contains(&sector) || shift > 25 - sector {
            return Err(broken("no boot sector"));
        }
        let sectors = |at: usize| u64::from(u32_at(&boot, at)) << sector;
        let count = u32_at(&boot, 92);
        if count > limits::EXFAT_CLUSTERS {
            return Err(broken("too many clusters"));
        }
        let mut raw = vec![0; (count as usize + 2) * 4];
        image.read_exact_at(&mut raw, at + sectors(80))?;
        let fat = raw.chunks_exact(4).map(|entry| u32_at(entry, 0)).collect();
        let (fat_at, heap_at) = (at + sectors(80), at + sectors(88));
        Ok(Self { image, at, fat_at, heap_at, cluster: 1 << (sector + shift), root: u32_at(&boot, 96), fat })
    }

    /// Where a cluster is; an error when there is none of this number.
    fn place(&self, cluster: u32) -> io::Result<u64> {
        if (2..self.fat.len() as u64).contains(&u64::from(cluster)) {
            Ok(self.heap_at + u64::from(cluster - 2) * self.cluster as u64)
        } else {
            Err(broken("a cluster that is none"))
        }
    }

    /// The clusters of `stream`, at most as many as its length needs; all of them when `length` is [`u64::MAX`].
    fn chain(&self, stream: Stream) -> io::Result<Vec<u32>> {
        let needed = stream.length.div_ceil(self.cluster as u64);
        let (mut all, mut next) = (Vec::new(), stream.first);
        while (all.len() as u64) < needed {
            self.place(next)?;
            if all.len() >= self.fat.len() {
                return Err(broken("a chain that does not end"));
            }
            all.push(next);
            next = if stream.contiguous { next + 1 } else { self.fat[next as usize] };
            if next == END_OF_CHAIN && stream.length == u64::MAX {
                break;
            }
        }
        Ok(all)
    }

    /// A folder's entries, in their order. Of the root only the first cluster is known: its length is its chain's.
    fn folder(&self, stream: Stream) -> io::Result<Vec<Entry>> {
        let chain = self.chain(stream)?;
        let mut bytes = vec![0; chain.len().min(limits::EXFAT_FOLDER_BYTES / self.cluster) * self.cluster];
        for (cluster, part) in chain.iter().zip(bytes.chunks_exact_mut(self.cluster)) {
            self.image.read_exact_at(part, self.place(*cluster)?)?;
        }
        let mut entries = Vec::new();
        let mut rest = bytes.as_slice();
        while rest.first().is_some_and(|kind| *kind != 0) {
            // The file entry itself and as many as it says belong to it.
            let own = if rest[0] == FILE { (usize::from(rest[1]) + 1) * ENTRY } else { ENTRY };
            let Some((set, after)) = rest.split_at_checked(own) else { break };
            entries.extend(parse(set));
            rest = after;
        }
        Ok(entries)
    }

    const fn root(&self) -> Stream {
        Stream { first: self.root, length: u64::MAX, valid: u64::MAX, contiguous: false }
    }

    /// Copies the files in the folder at `path` (names from the root down) for which `wanted` holds to `into`, at
    /// most `most`.
    pub(super) fn copy_out(
        &self,
        path: &[&str],
        into: &Path,
        most: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> io::Result<()> {
        let mut folder = self.root();
        for name in path {
            let entries = self.folder(folder)?;
            let found = entries.iter().find(|entry| entry.directory && entry.name.eq_ignore_ascii_case(name));
            folder = found.ok_or_else(|| broken(&format!("no folder {name}")))?.stream;
        }
        let entries = self.folder(folder)?;
        for entry in entries.iter().filter(|entry| !entry.directory && wanted(&entry.name)).take(most) {
            let file = File::create(into.join(&entry.name))?;
            let mut part = vec![0; self.cluster];
            let written = Stream { length: entry.stream.valid, ..entry.stream };
            for (number, cluster) in self.chain(written)?.into_iter().enumerate() {
                let from = number as u64 * self.cluster as u64;
                let length = (entry.stream.valid - from).min(self.cluster as u64) as usize;
                self.image.read_exact_at(&mut part[..length], self.place(cluster)?)?;
                file.write_all_at(&part[..length], from)?;
            }
            file.set_len(entry.stream.length)?;
        }
        Ok(())
    }

    /// Puts everything in the folder `source` into the root of an empty volume. Names are ASCII.
    pub(super) fn fill(mut self, source: &Path) -> io::Result<()> {
        let mut bitmap = Bitmap::read(&self)?;
        let entries = self.add_entries(&mut bitmap, source)?;

        // What mkfs.exfat left in the root (label, bitmap, upcase table) stays in front.
        let root = self.place(self.root)?;
        let mut bytes = vec![0; self.cluster];
        self.image.read_exact_at(&mut bytes, root)?;
        let free = bytes.chunks_exact(ENTRY).position(|entry| entry[0] == 0).unwrap_or(bytes.len() / ENTRY);
        let room = &mut bytes[free * ENTRY..];
        let target = room.get_mut(..entries.len()).ok_or_else(|| broken("the root folder is full"))?;
        target.copy_from_slice(&entries);
        self.image.write_all_at(&bytes, root)?;

        let fat: Vec<u8> = self.fat.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        self.image.write_all_at(&fat, self.fat_at)?;
        self.image.write_all_at(&bitmap.bits, bitmap.at)?;
        // PercentInUse (3.1.18), outside the boot checksum.
        let used: u32 = bitmap.bits.iter().map(|byte| byte.count_ones()).sum();
        let percent = u64::from(used) * 100 / (self.fat.len() as u64 - 2).max(1);
        self.image.write_all_at(&[percent as u8], self.at + 112)
    }

    /// Stores what is in `source`; the entries for it.
    fn add_entries(&mut self, bitmap: &mut Bitmap, source: &Path) -> io::Result<Vec<u8>> {
        let mut names: Vec<String> = Vec::new();
        for entry in fs::read_dir(source)? {
            let name = entry?.file_name().into_string().ok().filter(|name| name.is_ascii());
            names.push(name.ok_or_else(|| broken("a name that is not ASCII"))?);
        }
        names.sort();
        let mut entries = Vec::new();
        for name in names {
            let path = source.join(&name);
            let stream = if path.is_dir() {
                let mut bytes = self.add_entries(bitmap, &path)?;
                // A folder has whole clusters, at least one.
                bytes.resize(bytes.len().max(1).next_multiple_of(self.cluster), 0);
                self.store(bitmap, &mut bytes.as_slice(), bytes.len() as u64)?
            } else {
                let mut file = File::open(&path)?;
                let length = file.metadata()?.len();
                self.store(bitmap, &mut file, length)?
            };
            entries.extend(entry_set(&name, path.is_dir(), stream));
        }
        Ok(entries)
    }

    /// Stores `length` bytes in free clusters.
    fn store(&mut self, bitmap: &mut Bitmap, bytes: &mut impl io::Read, length: u64) -> io::Result<Stream> {
        let mut stream = Stream { first: 0, length, valid: length, contiguous: false };
        let mut part = Vec::with_capacity(self.cluster);
        let mut last = None;
        for _ in 0..length.div_ceil(self.cluster as u64) {
            let cluster = bitmap.take(self.fat.len())?;
            match last {
                None => stream.first = cluster,
                Some(last) => self.fat[last as usize] = cluster,
            }
            self.fat[cluster as usize] = END_OF_CHAIN;
            last = Some(cluster);
            part.clear();
            bytes.by_ref().take(self.cluster as u64).read_to_end(&mut part)?;
            part.resize(self.cluster, 0);
            self.image.write_all_at(&part, self.place(cluster)?)?;
        }
        Ok(stream)
    }
}

/// Which clusters are taken (7.1): bit N is cluster N + 2.
struct Bitmap {
    at: u64,
    bits: Vec<u8>,
    /// No bit before this one is free.
    next: usize,
}

impl Bitmap {
    /// The bitmap of a fresh volume: in one run of clusters.
    fn read(volume: &Volume) -> io::Result<Self> {
        let mut root = vec![0; volume.cluster];
        volume.image.read_exact_at(&mut root, volume.place(volume.root)?)?;
        let entry = root.chunks_exact(ENTRY).find(|entry| entry[0] == BITMAP);
        let entry = entry.ok_or_else(|| broken("no allocation bitmap"))?;
        let mut bits = vec![0; (volume.fat.len() - 2).div_ceil(8)];
        let at = volume.place(u32_at(entry, 20))?;
        volume.image.read_exact_at(&mut bits, at)?;
        Ok(Self { at, bits, next: 0 })
    }

    /// The first free cluster, taken; `end` is the first number that is none.
    fn take(&mut self, end: usize) -> io::Result<u32> {
        let free = (self.next..end - 2).find(|bit| self.bits[bit / 8] >> (bit % 8) & 1 == 0);
        let bit =
            free.ok_or_else(|| io::Error::new(io::ErrorKind::StorageFull, "exfat: the stick is full"))?;
        self.bits[bit / 8] |= 1 << (bit % 8);
        self.next = bit + 1;
        Ok(bit as u32 + 2)
    }
}

/// One step of the checksums of 6.3.3 and 7.6.4.
const fn step(sum: u16, byte: u8) -> u16 {
    sum.rotate_right(1).wrapping_add(byte as u16)
}

/// Over all bytes of an entry set but the two that hold it (6.3.3).
fn set_checksum(set: &[u8]) -> u16 {
    let counted = set.iter().enumerate().filter(|(at, _)| !matches!(at, 2 | 3));
    counted.fold(0, |sum, (_, byte)| step(sum, *byte))
}

/// The entries of one file or folder (7.4, 7.6, 7.7). `name` is ASCII of at most 255 bytes.
fn entry_set(name: &str, directory: bool, stream: Stream) -> Vec<u8> {
    let names = name.len().div_ceil(UNITS);
    let mut set = vec![0; (2 + names) * ENTRY];
    set[0] = FILE;
    set[1] = (1 + names) as u8;
    set[4..6].copy_from_slice(&(if directory { DIRECTORY } else { ARCHIVE }).to_le_bytes());
    for at in [8, 12, 16] {
        set[at..at + 4].copy_from_slice(&STAMP.to_le_bytes());
    }
    set[22..25].fill(UTC);
    set[ENTRY] = STREAM;
    set[ENTRY + 1] = 1; // AllocationPossible
    set[ENTRY + 3] = name.len() as u8;
    let upper = name.bytes().map(|byte| byte.to_ascii_uppercase());
    let hash = upper.flat_map(|byte| [byte, 0]).fold(0, step);
    set[ENTRY + 4..ENTRY + 6].copy_from_slice(&hash.to_le_bytes());
    set[ENTRY + 8..ENTRY + 16].copy_from_slice(&stream.valid.to_le_bytes());
    set[ENTRY + 20..ENTRY + 24].copy_from_slice(&stream.first.to_le_bytes());
    set[ENTRY + 24..ENTRY + 32].copy_from_slice(&stream.length.to_le_bytes());
    for (part, entry) in name.as_bytes().chunks(UNITS).zip(set[2 * ENTRY..].chunks_exact_mut(ENTRY)) {
        entry[0] = NAME;
        for (byte, unit) in part.iter().zip(entry[2..].chunks_exact_mut(2)) {
            unit[0] = *byte;
        }
    }
    let sum = set_checksum(&set);
    set[2..4].copy_from_slice(&sum.to_le_bytes());
    set
}

/// The file or folder that an entry set is; none for anything else, or when the set is not whole.
fn parse(set: &[u8]) -> Option<Entry> {
    let good = set.len() >= 3 * ENTRY && set[0] == FILE && set[ENTRY] == STREAM;
    if !good || u16_at(set, 2) != set_checksum(set) {
        return None;
    }
    let stream = &set[ENTRY..2 * ENTRY];
    let length = usize::from(stream[3]);
    let mut units = Vec::with_capacity(length.next_multiple_of(UNITS));
    for entry in set[2 * ENTRY..].chunks_exact(ENTRY).filter(|entry| entry[0] == NAME) {
        units.extend(entry[2..].chunks_exact(2).map(|unit| u16_at(unit, 0)));
    }
    let name = String::from_utf16(units.get(..length)?).ok()?;
    let (length, valid) = (u64_at(stream, 24), u64_at(stream, 8));
    // No file is longer than the stick; a folder's whole length counts.
    if length > limits::STICK_IMAGE_BYTES || valid > length {
        return None;
    }
    Some(Entry {
        name,
        directory: u16_at(set, 4) & DIRECTORY != 0,
        stream: Stream { first: u32_at(stream, 20), length, valid, contiguous: stream[1] & 2 != 0 },
    })
}
