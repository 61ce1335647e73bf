//! A disk with a write cache that a power cut empties: what was not flushed is kept, torn or lost, as chance has it.
//!
//! What is modelled, of a guest's ring and data disk ([`Machine::power`](crate::Machine::power)):
//! - A write is in the cache when the guest is told that it is done; a flush puts the whole cache on the platter before
//!   the guest is told. The cache is bounded: its oldest writes reach the platter by themselves.
//! - The cut takes both disks between two of their requests, at the same instant. Of each disk's cache every write is
//!   then kept, dropped, or torn (each 512-byte sector of it kept or dropped), one by one and in any order. A write that
//!   was on its way and not yet answered is in the cache too.
//!
//! While the guest runs, a disk can be made to fail or to be slow ([`Vm::disk`](crate::Vm::disk), [`Fault`]).
//!
//! What is not: bits that rot, single sectors that fail, a disk that lies about a flush (but see [`Cache::Lying`]), and
//! a host that fails with the guest: the platter is a file in the host's page cache.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::limits;

/// Torn writes are torn between these, bytes.
const SECTOR: usize = 512;

/// What a guest's ring and data disk do with what it has not flushed, in a power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cache {
    /// Keep it all: the host's files have every write that QEMU got. Fast, and kinder than a disk.
    #[default]
    Kept,
    /// Lose, tear or keep it, each write by the chance that this seed makes.
    Lossy(u64),
    /// As `Lossy`, and the ring's disk lies: its flushes do nothing. For seeing a test fail.
    Lying(u64),
}

/// What is wrong with a disk, until it is said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Each request takes so much longer. Those of one disk come one after the other.
    Slow(Duration),
    /// Writes and flushes are answered with an error (`EIO`), and do nothing: flash at its end.
    Writes,
    /// Everything is: a disk that is dead, or pulled.
    All,
}

/// What became of a disk's cache in a power cut, in writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Reached the platter.
    pub kept: u64,
    /// Reached it in part.
    pub torn: u64,
    /// Did not.
    pub dropped: u64,
}

/// `SplitMix64` (G. Steele, D. Lea, C. Flood, 2014): small, seeded, good enough for chance.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when there is none.
    pub const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }
}

struct Write {
    at: u64,
    bytes: Vec<u8>,
}

/// One disk.
struct Platter {
    file: File,
    bytes: u64,
    cache: VecDeque<Write>,
    cached: usize,
    lying: bool,
    fault: Fault,
}

impl Platter {
    /// The error of a disk that has one: of a read, or of what writes.
    fn sound(&self, reads: bool) -> io::Result<()> {
        let fails = self.fault == Fault::All || (self.fault == Fault::Writes && !reads);
        if fails { Err(io::Error::other("the disk is to fail")) } else { Ok(()) }
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.sound(true)?;
        self.file.read_exact_at(into, at)?;
        let end = at + into.len() as u64;
        for write in &self.cache {
            let (first, last) = (write.at.max(at), (write.at + write.bytes.len() as u64).min(end));
            if first < last {
                let from = &write.bytes[(first - write.at) as usize..(last - write.at) as usize];
                into[(first - at) as usize..(last - at) as usize].copy_from_slice(from);
            }
        }
        Ok(())
    }

    fn write(&mut self, at: u64, bytes: Vec<u8>) -> io::Result<()> {
        self.sound(false)?;
        self.cached += bytes.len();
        self.cache.push_back(Write { at, bytes });
        while self.cached > limits::CACHE_BYTES {
            self.write_back()?;
        }
        Ok(())
    }

    fn write_back(&mut self) -> io::Result<()> {
        let Some(write) = self.cache.front() else { return Ok(()) };
        self.file.write_all_at(&write.bytes, write.at)?;
        self.cached -= write.bytes.len();
        self.cache.pop_front();
        Ok(())
    }

    fn drain(&mut self) -> io::Result<()> {
        while !self.cache.is_empty() {
            self.write_back()?;
        }
        Ok(())
    }

    fn cut(&mut self, random: &mut Random) -> io::Result<Cut> {
        let mut cut = Cut::default();
        self.cached = 0;
        while !self.cache.is_empty() {
            let any = random.below(self.cache.len() as u64) as usize;
            let Some(write) = self.cache.swap_remove_back(any) else { break };
            match random.below(3) {
                0 => cut.dropped += 1,
                1 => {
                    self.file.write_all_at(&write.bytes, write.at)?;
                    cut.kept += 1;
                }
                _ => {
                    for (at, sector) in (write.at..).step_by(SECTOR).zip(write.bytes.chunks(SECTOR)) {
                        if random.below(2) == 0 {
                            self.file.write_all_at(sector, at)?;
                        }
                    }
                    cut.torn += 1;
                }
            }
        }
        Ok(cut)
    }
}

/// The power of a guest's disks: shared by those who serve them and whoever cuts it.
#[derive(Clone)]
pub(crate) struct Power(Arc<Mutex<Inner>>);

struct Inner {
    on: bool,
    /// Writes so far.
    writes: u64,
    /// Writes to go until the power fails in one.
    left: Option<u64>,
    disks: Vec<Platter>,
    random: Random,
}

/// The power is off: nobody is answered any more.
#[derive(Debug)]
pub(crate) struct Off;

/// What a request is answered; an error is the host's own.
type Answer = Result<io::Result<()>, Off>;

impl Power {
    /// No disks yet. `None`: a cut has nothing to lose, so that there is none of this.
    pub(crate) fn new(cache: Cache, files: Vec<File>) -> io::Result<Option<Self>> {
        let (seed, lying) = match cache {
            Cache::Kept => return Ok(None),
            Cache::Lossy(seed) => (seed, false),
            Cache::Lying(seed) => (seed, true),
        };
        let disks = files.into_iter().enumerate().map(|(number, file)| {
            // Another guest of the same disk would not see its cache.
            file.try_lock()?;
            let bytes = file.metadata()?.len();
            let lying = lying && number == 0;
            Ok(Platter { file, bytes, cache: VecDeque::new(), cached: 0, lying, fault: Fault::None })
        });
        let inner = Inner {
            on: true,
            writes: 0,
            left: None,
            disks: disks.collect::<io::Result<_>>()?,
            random: Random::new(seed),
        };
        Ok(Some(Self(Arc::new(Mutex::new(inner)))))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_on(&self) -> bool {
        self.inner().on
    }

    /// Size of a disk, bytes.
    pub(crate) fn bytes(&self, disk: usize) -> u64 {
        self.inner().disks[disk].bytes
    }

    /// One request to a disk, unless the power is off. One at a time, of both disks.
    fn request(&self, disk: usize, serve: impl FnOnce(&mut Platter) -> io::Result<()>) -> Answer {
        let mut inner = self.inner();
        if inner.on { Ok(serve(&mut inner.disks[disk])) } else { Err(Off) }
    }

    pub(crate) fn read(&self, disk: usize, at: u64, into: &mut [u8]) -> Answer {
        self.request(disk, |platter| platter.read(at, into))
    }

    pub(crate) fn flush(&self, disk: usize) -> Answer {
        self.request(disk, |platter| {
            platter.sound(false)?;
            if platter.lying { Ok(()) } else { platter.drain() }
        })
    }

    /// From now on this is wrong with a disk.
    pub(crate) fn fault(&self, disk: usize, fault: Fault) {
        self.inner().disks[disk].fault = fault;
    }

    /// How much longer a request takes.
    pub(crate) fn delay(&self, disk: usize) -> Duration {
        match self.inner().disks[disk].fault {
            Fault::Slow(longer) => longer,
            _ => Duration::ZERO,
        }
    }

    /// The write that the power fails in is in the cache, and never answered.
    pub(crate) fn write(&self, disk: usize, at: u64, bytes: Vec<u8>) -> Answer {
        let mut inner = self.inner();
        if !inner.on {
            return Err(Off);
        }
        inner.writes += 1;
        let done = inner.disks[disk].write(at, bytes);
        inner.on = inner.left != Some(1);
        inner.left = inner.left.map(|left| left - 1);
        if inner.on { Ok(done) } else { Err(Off) }
    }

    /// How often something was written, to any disk.
    pub(crate) fn writes(&self) -> u64 {
        self.inner().writes
    }

    /// Has the power fail in the `writes`th write from now, of whichever disk.
    pub(crate) fn fail_in(&self, writes: u64) {
        self.inner().left = Some(writes.max(1));
    }

    /// What becomes of the caches in a power cut, disk by disk. Off before that.
    pub(crate) fn cut(&self) -> io::Result<Vec<Cut>> {
        let mut inner = self.inner();
        inner.on = false;
        let Inner { disks, random, .. } = &mut *inner;
        disks.iter_mut().map(|disk| disk.cut(random)).collect()
    }

    /// The end without a cut: the caches reach their platters.
    pub(crate) fn drain(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.on = false;
        inner.disks.iter_mut().try_for_each(Platter::drain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: u64 = 64 << 10;

    fn power(cache: Cache) -> (Power, File) {
        let file = tempfile::tempfile().expect("a temporary file");
        file.set_len(BYTES).expect("sized");
        // The same open file: a lock of its own would be another's.
        let power = Power::new(cache, vec![file.try_clone().expect("cloned")]).expect("made").expect("lossy");
        (power, file)
    }

    fn on_platter(file: &File, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, at).expect("read");
        bytes
    }

    fn read(power: &Power, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0xee; length];
        power.read(0, at, &mut bytes).expect("on").expect("read");
        bytes
    }

    fn write(power: &Power, at: u64, bytes: &[u8]) {
        power.write(0, at, bytes.to_vec()).expect("on").expect("written");
    }

    #[test]
    fn the_cache_is_read_and_reaches_the_platter_by_a_flush() {
        let (power, file) = power(Cache::Lossy(1));
        write(&power, 512, &[1; 1024]);
        write(&power, 1024, &[2; 512]);
        assert_eq!(
            read(&power, 256, 1536),
            [vec![0; 256], vec![1; 512], vec![2; 512], vec![0; 256]].concat()
        );
        assert_eq!(on_platter(&file, 512, 1024), vec![0; 1024]);
        power.flush(0).expect("on").expect("flushed");
        assert_eq!(on_platter(&file, 512, 1024), [vec![1; 512], vec![2; 512]].concat());
        assert_eq!(power.cut().expect("cut"), [Cut::default()], "nothing is left to lose");
    }

    #[test]
    fn a_cut_keeps_tears_and_drops_and_only_what_was_not_flushed() {
        let mut all = Cut::default();
        for seed in 0..50 {
            let (power, file) = power(Cache::Lossy(seed));
            write(&power, 0, &[7; 4096]);
            power.flush(0).expect("on").expect("flushed");
            write(&power, 8192, &[8; 2048]);
            write(&power, 16384, &[9; 2048]);
            let cut = power.cut().expect("cut")[0];
            assert_eq!(cut.kept + cut.torn + cut.dropped, 2);
            assert_eq!(on_platter(&file, 0, 4096), vec![7; 4096], "flushed");
            for (at, value) in [(8192, 8), (16384, 9)] {
                let sectors = on_platter(&file, at, 2048);
                assert!(sectors.chunks(512).all(|sector| sector == [value; 512] || sector == [0; 512]));
            }
            assert!(power.write(0, 0, vec![1]).is_err() && power.flush(0).is_err(), "off is off");
            all.kept += cut.kept;
            all.torn += cut.torn;
            all.dropped += cut.dropped;
        }
        assert!(all.kept > 10 && all.torn > 10 && all.dropped > 10, "{all:?}");
    }

    #[test]
    fn the_power_fails_in_the_write_it_is_to_fail_in() {
        let (power, file) = power(Cache::Lossy(3));
        power.fail_in(2);
        write(&power, 0, &[1; 512]);
        power.flush(0).expect("on").expect("flushed");
        assert!(power.is_on() && power.writes() == 1);
        assert!(power.write(0, 512, vec![2; 512]).is_err(), "not answered");
        assert!(!power.is_on() && power.flush(0).is_err());
        assert_eq!(on_platter(&file, 0, 1024), [vec![1; 512], vec![0; 512]].concat());
        assert!(power.read(0, 0, &mut [0; 512]).is_err());
        let cut = power.cut().expect("cut")[0];
        assert_eq!(cut.kept + cut.torn + cut.dropped, 1);
    }

    #[test]
    fn an_orderly_end_loses_nothing_and_a_liar_all() {
        let (kind, file) = power(Cache::Lossy(1));
        write(&kind, 0, &[5; 1024]);
        kind.drain().expect("drained");
        assert_eq!(on_platter(&file, 0, 1024), vec![5; 1024]);
        let mut lost = 0;
        for seed in 0..20 {
            let (liar, file) = power(Cache::Lying(seed));
            write(&liar, 0, &[5; 512]);
            liar.flush(0).expect("on").expect("it says");
            liar.cut().expect("cut");
            lost += u32::from(on_platter(&file, 0, 512) == [0; 512]);
        }
        assert!(lost > 0, "what was flushed can be lost");
    }

    #[test]
    fn a_full_cache_writes_its_oldest_back() {
        let (power, file) = power(Cache::Lossy(1));
        let piece = vec![4; 32 << 10];
        for _ in 0..=limits::CACHE_BYTES / piece.len() {
            write(&power, 0, &piece);
        }
        assert_eq!(on_platter(&file, 0, 512), [4; 512]);
        assert!(power.inner().disks[0].cached <= limits::CACHE_BYTES);
    }

    #[test]
    fn a_disk_fails_as_it_is_told_and_works_again() {
        let (power, file) = power(Cache::Lossy(1));
        write(&power, 0, &[1; 512]);
        power.fault(0, Fault::Writes);
        assert!(power.write(0, 0, vec![2; 512]).expect("on").is_err());
        assert!(power.flush(0).expect("on").is_err());
        assert_eq!(read(&power, 0, 512), [1; 512], "as it was");
        power.fault(0, Fault::All);
        assert!(power.read(0, 0, &mut [0; 512]).expect("on").is_err());
        power.fault(0, Fault::Slow(Duration::from_secs(1)));
        assert_eq!(power.delay(0), Duration::from_secs(1));
        power.fault(0, Fault::None);
        assert_eq!(power.delay(0), Duration::ZERO);
        power.flush(0).expect("on").expect("flushed");
        assert_eq!(on_platter(&file, 0, 512), [1; 512], "what failed is nowhere");
    }

    #[test]
    fn one_disk_has_one_guest() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let open = || File::options().read(true).write(true).open(file.path()).expect("opened");
        let _first = Power::new(Cache::Lossy(1), vec![open()]).expect("made");
        assert!(Power::new(Cache::Lossy(1), vec![open()]).is_err());
    }
}
