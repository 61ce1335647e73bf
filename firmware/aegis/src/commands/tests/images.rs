//! Images: taken, tried, committed, given up; with the power cut at every step, and a loader behind it that counts as the
//! Boot Loader Specification says.

#![allow(clippy::unwrap_used)]
use std::cell::{Cell, RefCell};
use std::io;

use aegis_bundle::limits::FRONT_BYTES;
use aegis_bundle::{Answer, Container, Content, ImageManifest, ImageState, Selectors, Trial, hash};
use aegis_cose::Domain;

use super::super::image::{self, Decided, Memory, Offer};
use super::super::taken::Taken;
use super::offers::{Stick, signed};
use super::world::{IMAGE_KEY, World, facts};
use crate::image::medium::Medium;
use crate::image::slot::{Counted, Running, Slot, TRIES, TRIES_OF_NEW};
use crate::image::write::{self};
use crate::outcome::Failure;
use crate::storage::disk::Disk;
use crate::storage::simulated::{Cuts, Simulated};

const ESP: &str = "esp";
const PARTITION_BYTES: usize = 12_288;
const OLD: (u64, u64) = (2, 4);
const NEW: (u64, u64) = (2, 5);
const NEWER: (u64, u64) = (2, 6);

/// The slots of a simulated disk: kernel images in one directory, partitions as files of their size.
struct Slots<'d>(&'d Simulated);

fn boot_path(name: &str) -> String {
    format!("{ESP}/{name}")
}

fn partition_path(slot: Slot) -> String {
    format!("slots/{}", slot.name())
}

impl Medium for Slots<'_> {
    type File = usize;

    fn names(&self) -> io::Result<Vec<String>> {
        self.0.list(ESP, 64)
    }

    fn open(&self, name: &str) -> io::Result<usize> {
        self.0.file(&boot_path(name))
    }

    fn create(&self, name: &str) -> io::Result<usize> {
        if self.0.file(&boot_path(name)).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.0.create(&boot_path(name))
    }

    fn partition(&self, slot: Slot) -> io::Result<usize> {
        self.0.file(&partition_path(slot))
    }

    fn length(&self, file: &usize) -> io::Result<u64> {
        Ok(self.0.contents(*file).len() as u64)
    }

    fn write_at(&self, file: &mut usize, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(*file, at, bytes)
    }

    fn read_at(&self, file: &usize, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let contents = self.0.contents(*file);
        let found = contents.get(at as usize..at as usize + bytes.len());
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn sync(&self, file: &usize) -> io::Result<()> {
        self.0.sync(file)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(&boot_path(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        assert!(self.0.file(&boot_path(to)).is_err(), "a rename takes nothing's place");
        self.0.rename(&boot_path(from), &boot_path(to))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.0.sync_directory(ESP)
    }
}

/// An image: two kernels, a root, and the bundle that carries them.
#[derive(Clone)]
struct Image {
    rank: (u64, u64),
    boots: [Vec<u8>; 2],
    root: Vec<u8>,
    bytes: Vec<u8>,
    front: usize,
}

impl Image {
    fn new(rank: (u64, u64)) -> Self {
        let boots = Slot::ALL.map(|slot| {
            let mut boot = format!("MZ kernel {rank:?} for slot {slot}").into_bytes();
            boot.resize(4096 + rank.1 as usize, slot as u8);
            boot
        });
        let root = [&b"hsqs"[..], &[rank.1 as u8; 8188]].concat();
        let content = |bytes: &[u8]| Content { length: bytes.len() as u64, hash: hash(bytes) };
        let manifest = ImageManifest {
            epoch: rank.0,
            sequence: rank.1,
            created: 1_750_000_000 + rank.1,
            selectors: Selectors {
                devices: None,
                architecture: std::env::consts::ARCH,
                agent: None,
                groups: None,
            },
            boot: [content(&boots[0]), content(&boots[1])],
            root: content(&root),
            comment: "",
        };
        let contents = [&boots[0][..], &boots[1], &root].concat();
        let encode = |out: &mut [u8]| manifest.encode(out);
        let bytes = signed((Container::Image, Domain::Image), encode, IMAGE_KEY, &contents);
        let front = bytes.len() - contents.len();
        Self { rank, boots, root, bytes, front }
    }

    fn offer<'i>(&'i self, stick: &'i dyn Fn(u64, &mut [u8]) -> io::Result<()>) -> Offer<Stick<'i>> {
        let front = self.bytes[..FRONT_BYTES.min(self.bytes.len())].to_vec();
        Offer { front, length: self.bytes.len() as u64, contents: Stick(stick), insist: false }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it reads as a stick does, which may fail")]
fn read(from: &[u8], at: u64, bytes: &mut [u8]) -> io::Result<()> {
    bytes.copy_from_slice(&from[at as usize..at as usize + bytes.len()]);
    Ok(())
}

/// What is remembered, on the same disk.
struct Books<'w>(&'w World, &'w Simulated);

impl Memory for Books<'_> {
    fn state(&self) -> Result<ImageState, Failure> {
        Ok(self.0.trust(self.1).state().image)
    }

    fn remember(&mut self, state: ImageState, time: u64) -> io::Result<()> {
        self.0.trust(self.1).remember_image(state, time)
    }
}

/// A device with two slots and what is known of images.
struct Bench {
    world: World,
    images: Vec<Image>,
    /// These do not become healthy.
    broken: RefCell<Vec<(u64, u64)>>,
}

impl Bench {
    fn new() -> Self {
        let images = [(2, 3), OLD, NEW, NEWER].map(Image::new).to_vec();
        Self { world: World::new(), images, broken: RefCell::default() }
    }

    fn image(&self, rank: (u64, u64)) -> &Image {
        self.images.iter().find(|image| image.rank == rank).unwrap()
    }

    /// As it leaves the factory: slot a.
    fn disk(&self) -> Simulated {
        let mut disk = Simulated::default();
        for directory in [ESP, "slots"] {
            disk.make_directory(directory).unwrap();
        }
        for slot in Slot::ALL {
            let file = disk.create(&partition_path(slot)).unwrap();
            disk.write_at(file, 0, &[0; PARTITION_BYTES]).unwrap();
        }
        self.install(&disk, Slot::A, OLD);
        disk.flush();
        disk
    }

    fn install(&self, disk: &Simulated, slot: Slot, rank: (u64, u64)) {
        let image = self.image(rank);
        let boot = disk.create(&boot_path(&slot.file(TRIES))).unwrap();
        disk.write_at(boot, 0, &image.boots[slot as usize]).unwrap();
        disk.write_at(disk.file(&partition_path(slot)).unwrap(), 0, &image.root).unwrap();
    }

    fn take(&self, disk: &Simulated, running: Running, rank: (u64, u64)) -> Taken {
        let image = self.image(rank);
        self.take_from(disk, running, image, &|at, bytes| read(&image.bytes, at, bytes), false)
    }

    fn take_from(
        &self,
        disk: &Simulated,
        running: Running,
        image: &Image,
        stick: &dyn Fn(u64, &mut [u8]) -> io::Result<()>,
        insist: bool,
    ) -> Taken {
        let offer = Offer { insist, ..image.offer(stick) };
        let root = self.world.trust(disk).root().clone();
        let mut books = Books(&self.world, disk);
        let Decided { taken, .. } =
            image::decide(&offer, &root, &facts(), running, &mut books, || Ok(Slots(disk))).unwrap();
        taken
    }

    fn state(&self, disk: &Simulated) -> ImageState {
        self.world.trust(disk).state().image
    }

    /// A partition is as long as it was, whatever a cut left of what is in it.
    fn power_on(disk: &Simulated) {
        for slot in Slot::ALL {
            let file = disk.file(&partition_path(slot)).unwrap();
            let length = disk.contents(file).len();
            disk.write_at(file, length as u64, &vec![0; PARTITION_BYTES - length]).unwrap();
        }
    }

    /// One start: what the loader picks, with a try less; whether it comes up, and is healthy. With a root that is not whole the
    /// machine starts again before there is anything of ours.
    fn start(&self, disk: &Simulated) -> (Running, Option<bool>) {
        let mut entries = Vec::new();
        for name in disk.list(ESP, 64).unwrap() {
            let Some(counted) = Counted::read(&name) else { continue };
            let bytes = disk.contents(disk.file(&boot_path(&name)).unwrap());
            // Signed: what is not byte for byte a kernel that was made for this slot is none.
            let of = self.images.iter().find(|image| image.boots[counted.slot as usize] == bytes);
            let Some(image) = of else { continue };
            entries.push((counted.left != Some(0), image.rank, counted, name));
        }
        // Of two of the same version the one whose name comes last.
        entries.sort_by_key(|(good, rank, counted, _)| (*good, *rank, counted.slot, counted.left));
        let (_, rank, counted, name) = entries.pop().expect("there is something to start");
        if let Some(left @ 1..) = counted.left {
            let slot = counted.slot.name();
            let next = format!("aegis-{slot}+{}-{}.efi", left - 1, counted.done + 1);
            disk.rename(&boot_path(&name), &boot_path(&next)).unwrap();
            disk.sync_directory(ESP).unwrap();
        }
        let root = disk.contents(disk.file(&partition_path(counted.slot)).unwrap());
        let whole = root.starts_with(&self.image(rank).root);
        let running = Running { slot: Some(counted.slot), image: Some(rank) };
        (running, whole.then(|| !self.broken.borrow().contains(&rank)))
    }

    /// Starts until one is healthy, settling each that comes so far. Returns what runs, after how many starts, and what was
    /// said.
    fn boot(&self, disk: &Simulated) -> (Running, usize, Vec<&'static str>) {
        let mut said = Vec::new();
        for starts in 1..40 {
            let (running, Some(healthy)) = self.start(disk) else { continue };
            let healthy = if healthy { Ok(()) } else { Err("broken".to_owned()) };
            said.extend(self.settle(disk, running, &healthy).unwrap());
            if healthy.is_ok() {
                return (running, starts, said);
            }
        }
        panic!("it never becomes healthy: {:?}", disk.list(ESP, 9));
    }

    fn settle(
        &self,
        disk: &Simulated,
        running: Running,
        healthy: &Result<(), String>,
    ) -> Result<Vec<&'static str>, Failure> {
        let mut books = Books(&self.world, disk);
        let said = image::settle_slots(&mut books, &Slots(disk), running.slot.unwrap(), running, healthy)?;
        Ok(said.into_iter().map(|said| said.code).collect())
    }
}

const IN_A: Running = Running { slot: Some(Slot::A), image: Some(OLD) };
const IN_B: Running = Running { slot: Some(Slot::B), image: Some(NEW) };

fn done(taken: &Taken) -> io::Result<()> {
    match taken.answer {
        Answer::Accepted if !taken.detail.contains("not sure") => Ok(()),
        _ => Err(io::Error::other(format!("{}: {}", taken.code, taken.detail))),
    }
}

fn say(what: &str, cuts: Cuts) {
    println!("{what}: {cuts}");
    assert!(cuts.points > 3, "{what}");
}

#[test]
fn an_image_is_taken_tried_and_committed() {
    let bench = Bench::new();
    let disk = bench.disk();
    assert_eq!(bench.boot(&disk), (IN_A, 1, vec![]));
    assert_eq!(disk.list(ESP, 9).unwrap(), ["aegis-a+9.efi"], "its tries are back");
    let taken = bench.take(&disk, IN_A, NEW);
    assert_eq!((taken.code, taken.epoch, taken.sequence), ("written", 2, 5), "{}", taken.detail);
    assert_eq!(taken.hash, Some(hash(&bench.image(NEW).bytes)));
    assert_eq!((bench.state(&disk).trial, bench.state(&disk).tried()), (Trial::Written, NEW));
    assert_eq!(disk.list(ESP, 9).unwrap(), ["aegis-a+9.efi", "aegis-b+3.efi"]);
    assert_eq!(bench.take(&disk, IN_A, NEW).code, "unchanged", "it waits");
    assert_eq!(bench.take(&disk, IN_A, OLD).code, "rollback");
    assert_eq!(bench.boot(&disk), (IN_B, 1, vec!["committed"]));
    assert_eq!(disk.list(ESP, 9).unwrap(), ["aegis-a+9.efi", "aegis-b+9.efi"]);
    let state = bench.state(&disk);
    assert_eq!((state.committed(), state.trial), (NEW, Trial::None));
    assert_eq!(bench.boot(&disk), (IN_B, 1, vec![]));
    assert_eq!(
        (bench.take(&disk, IN_B, NEW).code, bench.take(&disk, IN_B, OLD).code),
        ("unchanged", "rollback")
    );
    // The next goes to the other slot.
    assert_eq!(bench.take(&disk, IN_B, NEWER).code, "written");
    let (running, _, said) = bench.boot(&disk);
    assert_eq!((running.slot, running.image, said), (Some(Slot::A), Some(NEWER), vec!["committed"]));
}

#[test]
fn one_that_does_not_become_healthy_falls_back_and_is_held_back() {
    let bench = Bench::new();
    let disk = bench.disk();
    bench.broken.borrow_mut().push(NEW);
    assert_eq!(bench.take(&disk, IN_A, NEW).code, "written");
    let (running, starts, said) = bench.boot(&disk);
    assert_eq!((running, starts), (IN_A, 1 + usize::from(TRIES_OF_NEW)));
    assert_eq!(said, ["not-healthy", "not-healthy", "not-healthy", "fell-back"]);
    assert_eq!(disk.list(ESP, 9).unwrap(), ["aegis-a+9.efi", "aegis-b+0-3.efi"]);
    assert_eq!(bench.state(&disk).trial, Trial::Failed);
    assert_eq!(bench.boot(&disk), (IN_A, 1, vec![]), "said once");
    assert_eq!(bench.take(&disk, IN_A, NEW).code, "held-back");
    // A person insists: it fails once more. Something newer is taken without one.
    let image = bench.image(NEW);
    let insisted = bench.take_from(&disk, IN_A, image, &|at, bytes| read(&image.bytes, at, bytes), true);
    assert_eq!(insisted.code, "written");
    assert_eq!(bench.boot(&disk).2.last(), Some(&"fell-back"));
    assert_eq!(bench.take(&disk, IN_A, NEWER).code, "written");
    let (running, _, said) = bench.boot(&disk);
    assert_eq!((running.image, said), (Some(NEWER), vec!["committed"]));
}

#[test]
fn one_that_was_committed_and_goes_bad_falls_back_too_and_may_be_brought_again() {
    let bench = Bench::new();
    let disk = bench.disk();
    assert_eq!(bench.take(&disk, IN_A, NEW).code, "written");
    assert_eq!(bench.boot(&disk), (IN_B, 1, vec!["committed"]));
    // Its partition rots.
    disk.write_at(disk.file(&partition_path(Slot::B)).unwrap(), 5000, b"rot").unwrap();
    let (running, starts, said) = bench.boot(&disk);
    assert_eq!((running, starts), (IN_A, 1 + usize::from(TRIES)));
    assert_eq!(said, ["fell-back"]);
    assert_eq!(bench.boot(&disk).2, ["fell-back"], "at every start, until it is brought again");
    assert_eq!(bench.take(&disk, IN_A, OLD).code, "rollback", "what runs is older than what was committed");
    assert_eq!(bench.take(&disk, IN_A, NEW).code, "written");
    assert_eq!(bench.boot(&disk), (IN_B, 1, vec!["committed"]));
}

/// A wrong block that a disk gave once, a panic: the machine starts again before anybody can say so. Who comes up says it.
#[test]
fn starts_that_failed_before_one_that_is_healthy_are_told() {
    let bench = Bench::new();
    let disk = bench.disk();
    for _ in 0..3 {
        bench.start(&disk);
    }
    let mut books = Books(&bench.world, &disk);
    let (running, healthy) = bench.start(&disk);
    assert_eq!((running, healthy), (IN_A, Some(true)));
    // Also by one that is not healthy itself, and keeps its count.
    for healthy in [Err("no probes".to_owned()), Ok(())] {
        let said = image::settle_slots(&mut books, &Slots(&disk), Slot::A, IN_A, &healthy).unwrap();
        let [said] = &said[..] else { panic!("{said:?}") };
        assert_eq!((said.code, said.image), ("starts-failed", OLD));
        assert_eq!(said.detail, "slot a: not healthy in 3 starts before this one; slot a runs");
    }
    assert_eq!(disk.list(ESP, 9).unwrap(), ["aegis-a+9.efi"]);
    assert_eq!(bench.settle(&disk, IN_A, &Ok(())).unwrap(), [""; 0], "said once");
    assert_eq!(bench.boot(&disk), (IN_A, 1, vec![]), "one that is cut short by nobody says nothing");
    // One on trial, too, of those that did not come so far as to say why.
    assert_eq!(bench.take(&disk, IN_A, NEW).code, "written");
    bench.start(&disk);
    assert_eq!(bench.boot(&disk), (IN_B, 1, vec!["starts-failed", "committed"]));
}

/// The same image in both slots: there is nothing newer that fell back, and yet the slot that was to run does not.
#[test]
fn a_slot_of_the_same_version_that_used_up_its_starts_is_told_until_it_is_written_again() {
    let bench = Bench::new();
    let disk = bench.disk();
    bench.install(&disk, Slot::B, OLD);
    let in_b = Running { slot: Some(Slot::B), ..IN_A };
    assert_eq!(bench.boot(&disk), (in_b, 1, vec![]));
    disk.write_at(disk.file(&partition_path(Slot::B)).unwrap(), 5000, b"rot").unwrap();
    assert_eq!(bench.boot(&disk), (IN_A, 1 + usize::from(TRIES), vec!["starts-failed"]));
    assert_eq!(disk.list(ESP, 9).unwrap(), ["aegis-a+9.efi", "aegis-b+0-9.efi"]);
    assert_eq!(bench.boot(&disk), (IN_A, 1, vec!["starts-failed"]), "at every start");
    assert_eq!(bench.take(&disk, IN_A, NEW).code, "written");
    assert_eq!(bench.boot(&disk), (IN_B, 1, vec!["committed"]));
}

#[test]
fn what_can_not_be_taken_is_refused_and_changes_nothing() {
    let bench = Bench::new();
    let mut disk = bench.disk();
    let image = bench.image(NEW);
    let refused =
        |disk: &Simulated, running, stick: &dyn Fn(u64, &mut [u8]) -> io::Result<()>, expected: &str| {
            let taken = bench.take_from(disk, running, image, stick, false);
            assert_eq!((taken.answer, taken.code), (Answer::Refused, expected), "{}", taken.detail);
            assert_eq!(bench.state(disk), ImageState::default(), "{expected}");
            assert_eq!(disk.list(ESP, 9).unwrap(), ["aegis-a+9.efi"], "{expected}");
        };
    let good = |at, bytes: &mut [u8]| read(&image.bytes, at, bytes);
    refused(&disk, Running { slot: None, image: None }, &good, "no-slots");
    let gone = |_, _: &mut [u8]| Err(io::Error::other("pulled"));
    refused(&disk, IN_A, &gone, "unreadable");
    let mut other = image.bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    refused(&disk, IN_A, &|at, bytes| read(&other, at, bytes), "content-hash");
    // Good when it is verified, and something else when it is written: what counts is what our own disk gives back.
    for place in
        [image.front + image.boots[0].len(), image.front + image.boots[0].len() + 600, image.bytes.len() - 1]
    {
        let (reads, mut bad) = (Cell::new(0), image.bytes.clone());
        bad[place] ^= 1;
        let fickle = |at: u64, bytes: &mut [u8]| {
            reads.set(reads.get() + 1);
            read(if reads.get() <= 3 { &image.bytes } else { &bad }, at, bytes)
        };
        refused(&disk, IN_A, &fickle, "read-back-differs");
        // Gone in the middle.
        let reads = Cell::new(0);
        let pulled = |at: u64, bytes: &mut [u8]| {
            reads.set(reads.get() + 1);
            if reads.get() <= 4 { read(&image.bytes, at, bytes) } else { Err(io::Error::other("pulled")) }
        };
        refused(&disk, IN_A, &pulled, "unreadable");
    }
    // On trial: the other slot is what there is to fall back to.
    assert_eq!(bench.take(&disk, IN_A, NEW).code, "written");
    disk.flush();
    let before = bench.state(&disk);
    assert_eq!(bench.take(&disk, IN_B, NEWER).code, "on-trial");
    assert_eq!(bench.take(&disk, IN_B, NEW).code, "unchanged");
    assert_eq!(bench.state(&disk), before);
    assert_eq!(bench.start(&disk), (IN_B, Some(true)));
}

/// Both names of one file: a rename that was cut. All of a slot's are gone before anything is written.
#[test]
fn all_names_of_the_idle_slot_are_removed_first() {
    let bench = Bench::new();
    let disk = bench.disk();
    for name in ["aegis-b+0-3.efi", "aegis-b+9.efi", "aegis-b.efi"] {
        let file = disk.create(&boot_path(name)).unwrap();
        disk.write_at(file, 0, &bench.image((2, 3)).boots[1]).unwrap();
    }
    assert_eq!(bench.take(&disk, IN_A, NEW).code, "written");
    assert_eq!(disk.list(ESP, 9).unwrap(), ["aegis-a+9.efi", "aegis-b+3.efi"]);
    let two =
        [(bench.disk(), "aegis-a+2-7.efi", "aegis-a+9.efi"), (bench.disk(), "aegis-a.efi", "aegis-a.efi")];
    for (disk, more, best) in two {
        let file = disk.create(&boot_path(more)).unwrap();
        disk.write_at(file, 0, &bench.image(OLD).boots[0]).unwrap();
        assert_eq!(write::standing(&Slots(&disk), Slot::A).unwrap().unwrap().0, best);
        assert_eq!(bench.settle(&disk, IN_A, &Ok(())).unwrap(), [""; 0]);
        assert_eq!(disk.list(ESP, 9).unwrap().len(), 2, "the slot that runs keeps both");
    }
}

/// The name of one that was given up is moved, whatever is cut; the slot that runs is not touched, nor one that is not given up.
#[test]
fn power_cut_while_a_given_up_name_is_moved_harms_nobody() {
    let bench = Bench::new();
    let mut disk = bench.disk();
    bench.broken.borrow_mut().push(NEW);
    assert_eq!(bench.take(&disk, IN_A, NEW).code, "written");
    assert_eq!(bench.boot(&disk).2.last(), Some(&"fell-back"));
    disk.flush();
    assert!(!write::move_forward(&Slots(&disk), Slot::A).unwrap(), "it is not given up");
    let cuts = disk.cut_everywhere(
        |disk| write::move_forward(&Slots(disk), Slot::B).map(|moved| assert!(moved)),
        |mut disk, done| {
            Bench::power_on(&disk);
            let names = disk.list(ESP, 9).unwrap();
            assert!(!done || names == ["aegis-a+9.efi", "aegis-b+0-3.efi"], "{names:?}");
            assert_eq!(bench.boot(&disk), (IN_A, 1, vec![]), "{names:?}");
            disk.flush();
            // Under whichever name: it is cleared when the next comes.
            assert_eq!(bench.take(&disk, IN_A, NEWER).code, "written");
            assert_eq!(disk.list(ESP, 9).unwrap(), ["aegis-a+9.efi", "aegis-b+3.efi"]);
        },
    );
    say("move a name that was given up", cuts);
}

/// The promise: cut the power at any step, and it starts; into the new image only when that is whole.
#[test]
fn power_cut_at_any_step_of_a_take_leaves_a_bootable_slot() {
    let bench = Bench::new();
    let factory = bench.disk();
    let mut used = bench.disk();
    bench.install(&used, Slot::B, (2, 3));
    used.flush();
    let mut failed = bench.disk();
    bench.broken.borrow_mut().push((2, 3));
    bench.install(&failed, Slot::B, (2, 3));
    failed.flush();
    for (name, disk) in
        [("a factory's", factory), ("with an older image", used), ("with a broken one", failed)]
    {
        let cuts = disk.cut_everywhere(
            |disk| done(&bench.take(disk, IN_A, NEW)),
            |mut disk, done| {
                Bench::power_on(&disk);
                let (running, starts, said) = bench.boot(&disk);
                assert_eq!(starts, 1, "{said:?}");
                if running == IN_B {
                    assert_eq!((said.last(), bench.state(&disk).committed()), (Some(&"committed"), NEW));
                } else {
                    assert!(running == IN_A && !done, "{running:?}");
                    assert!(matches!(bench.state(&disk).trial, Trial::None), "{:?}", bench.state(&disk));
                    // Once more, with the power on.
                    disk.flush();
                    assert_eq!(bench.take(&disk, IN_A, NEW).code, "written");
                    assert_eq!(bench.boot(&disk), (IN_B, 1, vec!["committed"]));
                }
            },
        );
        say(&format!("take an image, a disk {name}"), cuts);
    }
}

#[test]
fn power_cut_while_one_that_waits_is_replaced_starts_one_of_them_or_what_ran() {
    let bench = Bench::new();
    let mut disk = bench.disk();
    assert_eq!(bench.take(&disk, IN_A, NEW).code, "written");
    disk.flush();
    let cuts = disk.cut_everywhere(
        |disk| done(&bench.take(disk, IN_A, NEWER)),
        |disk, done| {
            Bench::power_on(&disk);
            let (running, starts, said) = bench.boot(&disk);
            assert_eq!(starts, 1, "{said:?}");
            match running.image {
                Some(NEWER) => assert_eq!(bench.state(&disk).committed(), NEWER),
                // It was not removed yet, and is forgotten or not: it comes up, and is whole.
                Some(NEW) => assert!(!done && said.iter().all(|code| *code == "committed"), "{said:?}"),
                _ => assert!(!done && running == IN_A, "{running:?}"),
            }
            assert!(!said.contains(&"fell-back"), "{said:?}");
        },
    );
    say("replace an image that waits", cuts);
}

#[test]
fn power_cut_at_any_step_of_a_commit_loses_neither_image() {
    let bench = Bench::new();
    let mut disk = bench.disk();
    assert_eq!(bench.take(&disk, IN_A, NEW).code, "written");
    assert_eq!(bench.start(&disk), (IN_B, Some(true)));
    disk.flush();
    let cuts = disk.cut_everywhere(
        |disk| {
            bench
                .settle(disk, IN_B, &Ok(()))
                .map(drop)
                .map_err(|failure| io::Error::other(failure.to_string()))
        },
        |disk, done| {
            assert!(!done || bench.state(&disk).committed() == NEW);
            let (running, starts, _) = bench.boot(&disk);
            assert_eq!((running, starts, bench.state(&disk).committed()), (IN_B, 1, NEW));
            assert_eq!(disk.list(ESP, 9).unwrap(), ["aegis-a+9.efi", "aegis-b+9.efi"]);
        },
    );
    say("commit an image", cuts);
}

#[test]
fn a_step_that_fails_leaves_the_slot_that_runs_and_the_next_try_works() {
    let bench = Bench::new();
    let disk = bench.disk();
    let steps = disk.fail_everywhere(
        |disk| bench.take(disk, IN_A, NEW).code,
        |disk, step, code| {
            let (running, starts, said) = bench.boot(&disk);
            assert_eq!(starts, 1, "step {step}: {code} {said:?}");
            assert!(running == IN_A || code != "unreadable", "step {step}");
            if running == IN_A {
                let code = bench.take(&disk, IN_A, NEW).code;
                assert_eq!(code, "written", "step {step}");
                assert_eq!(bench.boot(&disk).0, IN_B, "step {step}");
            }
        },
    );
    println!("take an image: {steps} steps failed");
}
