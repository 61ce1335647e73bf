//! A simulated disk with a write cache, sparse, and the images that go on it.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::missing_panics_doc, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use aegis_disk::Device;

pub const SECTOR: usize = 512;
pub const MIB: u64 = 1 << 20;

/// `SplitMix64`.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

type Sector = [u8; SECTOR];

/// Sectors that are not zero.
#[derive(Clone, Default, PartialEq, Eq)]
struct Sectors(BTreeMap<u64, Sector>);

impl Sectors {
    fn put(&mut self, at: u64, sector: &Sector) {
        if *sector == [0; SECTOR] {
            self.0.remove(&at);
        } else {
            self.0.insert(at, *sector);
        }
    }
}

/// A disk that loses its power at one of its steps: each write and each flush is one.
#[derive(Clone, Default)]
pub struct Disk {
    bytes: u64,
    seen: Sectors,
    durable: Sectors,
    /// Not flushed, in order.
    cached: Vec<(u64, Sector)>,
    pub steps: usize,
    pub writes: usize,
    /// The power goes before this step.
    pub cut: Option<usize>,
    /// Reading here fails.
    pub unreadable: Option<u64>,
}

impl Disk {
    pub fn new(bytes: u64) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// A file's content on a disk of this size.
    pub fn from_file(path: &Path, bytes: u64) -> Self {
        let mut disk = Self::new(bytes);
        let content = fs::read(path).unwrap();
        disk.write(0, &content).unwrap();
        disk.flush().unwrap();
        disk.fresh()
    }

    pub fn to_file(&self, path: &Path) {
        use std::os::unix::fs::FileExt as _;
        let file = File::create(path).unwrap();
        file.set_len(self.bytes).unwrap();
        for (at, sector) in &self.seen.0 {
            file.write_all_at(sector, at * SECTOR as u64).unwrap();
        }
    }

    /// The same content, on a larger or smaller disk.
    pub fn resized(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self.seen.0.retain(|at, _| at * (SECTOR as u64) < bytes);
        self.durable = self.seen.clone();
        self
    }

    pub fn fresh(&self) -> Self {
        Self { bytes: self.bytes, seen: self.seen.clone(), durable: self.seen.clone(), ..Self::default() }
    }

    pub fn same(&self, other: &Self) -> bool {
        self.seen == other.seen
    }

    pub fn differs(&self, other: &Self) -> Vec<u64> {
        (0..self.bytes / SECTOR as u64).filter(|at| self.seen.0.get(at) != other.seen.0.get(at)).collect()
    }

    pub fn spoil(&mut self, at: u64) {
        let mut byte = [0];
        self.read(at, &mut byte).unwrap();
        self.write(at, &[!byte[0]]).unwrap();
        *self = self.fresh();
    }

    /// Disks that may be there when the power comes back.
    pub fn survivors(&self, seeds: u64) -> Vec<Self> {
        let mut all = Vec::new();
        for seed in 0..seeds + 2 {
            let mut random = Random(seed);
            let mut left = self.durable.clone();
            for (at, sector) in &self.cached {
                if seed == 1 || seed > 1 && random.next() & 1 == 1 {
                    left.put(*at, sector);
                }
            }
            all.push(Self { bytes: self.bytes, seen: left.clone(), durable: left, ..Self::default() });
            if self.cached.is_empty() {
                break;
            }
        }
        all
    }

    fn step(&mut self) -> Result<(), &'static str> {
        let step = self.steps;
        self.steps += 1;
        if self.cut.is_some_and(|cut| step >= cut) { Err("the power is gone") } else { Ok(()) }
    }
}

impl Device for Disk {
    type Error = &'static str;

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), Self::Error> {
        let end =
            at.checked_add(into.len() as u64).filter(|end| *end <= self.bytes).ok_or("behind the end")?;
        if self.unreadable.is_some_and(|bad| (at..end).contains(&bad)) {
            return Err("unreadable");
        }
        let mut done = 0;
        while done < into.len() {
            let place = at + done as u64;
            let offset = place as usize % SECTOR;
            let some = (SECTOR - offset).min(into.len() - done);
            match self.seen.0.get(&(place / SECTOR as u64)) {
                Some(sector) => into[done..done + some].copy_from_slice(&sector[offset..offset + some]),
                None => into[done..done + some].fill(0),
            }
            done += some;
        }
        Ok(())
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Self::Error> {
        assert!(at + bytes.len() as u64 <= self.bytes, "behind the end");
        self.step()?;
        self.writes += 1;
        let mut done = 0;
        while done < bytes.len() {
            let place = at + done as u64;
            let (number, offset) = (place / SECTOR as u64, place as usize % SECTOR);
            let some = (SECTOR - offset).min(bytes.len() - done);
            let before = self.seen.0.get(&number).copied().unwrap_or([0; SECTOR]);
            let mut sector = before;
            sector[offset..offset + some].copy_from_slice(&bytes[done..done + some]);
            // What is written again as it is changes nothing, kept or lost.
            if sector != before {
                self.seen.put(number, &sector);
                self.cached.push((number, sector));
            }
            done += some;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.step()?;
        self.cached.clear();
        self.durable = self.seen.clone();
        Ok(())
    }
}

/// Runs a tool, with something on its stdin; its stdout.
pub fn tool(program: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("E2FSPROGS_FAKE_TIME", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// What `image/disk` makes: three partitions, and a second table right behind them.
pub fn image(path: &Path) {
    File::create(path).unwrap().set_len(10 * MIB).unwrap();
    let script = "label: gpt\nlabel-id: A5610000-0000-4000-8000-000000000001\nunit: sectors\n\
        start=2048, size=4096, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=A5610000-0000-4000-8000-000000000001, name=aegis-esp\n\
        start=6144, size=6144, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid=A5610000-0000-4000-8000-000000000002, name=aegis-root-a\n\
        start=12288, size=6144, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid=A5610000-0000-4000-8000-000000000003, name=aegis-root-b\n";
    tool("sfdisk", &["--quiet", "--no-reread", "--no-tell-kernel", path.to_str().unwrap()], script);
}

/// The image on a disk of this size.
pub fn written(bytes: u64) -> Disk {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    let content = IMAGE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        image(&path);
        fs::read(path).unwrap()
    });
    let mut disk = Disk::new(bytes.max(content.len() as u64));
    disk.write(0, content).unwrap();
    disk.fresh().resized(bytes)
}

/// What `image/root` makes.
pub fn template(path: &Path, bytes: u64) {
    File::create(path).unwrap().set_len(bytes).unwrap();
    let options = "hash_seed=ae615000-0000-4000-8000-000000000022,nodiscard,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0,resize=268435456";
    tool(
        "mke2fs",
        &[
            "-q",
            "-F",
            "-t",
            "ext4",
            "-m",
            "0",
            "-b",
            "4096",
            "-N",
            "1024",
            "-J",
            "size=4",
            "-L",
            "aegis-data",
            "-O",
            "^metadata_csum",
            "-U",
            "ae615000-0000-4000-8000-000000000021",
            "-E",
            options,
            path.to_str().unwrap(),
        ],
        "",
    );
}
