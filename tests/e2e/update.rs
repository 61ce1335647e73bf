//! Images of the system by stick: written to the idle slot, tried, committed, given up; and the power cut in the middle
//! (`docs/updates.md`). The firmware, the loader and its count are the real ones.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aegis_qemu::{Cache, Cut, End, Random, Run, Stick, StickFs, image_folder};
use aegis_tests::{Bench, arch, console, receipts, root, suite};

use super::firmware::{Device, give, userland};
use super::sbom::sha256;

/// Sequences of images that are newer than the one that was built: that one's are seconds of our time.
pub(crate) const NEWER: u64 = 4_000_000_000;
/// Power cuts of a short run; `make update-cuts` makes a hundred.
const CUTS: u64 = 10;
/// How long a cut waits for the write that it is to be in.
const LONGEST: Duration = Duration::from_secs(40);
/// How a stick's image is called.
const NAME: &str = "site.aegis-image";

/// The root file system of the image in this folder.
pub(crate) fn squashfs(bench: &Bench, image: &Path) -> PathBuf {
    let line = fs::read_to_string(image.join("system.cmdline")).expect("make image leaves it");
    let table =
        line.split("ro,0 ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a table of dm-verity");
    let bytes = table.parse::<usize>().expect("sectors") * 512;
    let whole = fs::read(image.join("root.img")).expect("make image leaves it");
    let path = bench.at("root.squashfs");
    fs::write(&path, &whole[..bytes]).expect("written");
    path
}

/// The kernel of the image, as a firmware can start it.
pub(crate) fn kernel_for_firmware() -> PathBuf {
    let folder = image_folder(root(), arch());
    let packed = folder.join("vmlinuz.efi");
    if packed.is_file() { packed } else { folder.join("vmlinuz") }
}

/// An image of this root file system with this sequence, signed with the development key.
pub(crate) fn release(bench: &Bench, squashfs: &Path, sequence: u64) -> PathBuf {
    let (top, folder) = (root(), bench.at(&format!("made-{sequence}")));
    let keys = top.join("target/keys");
    fs::create_dir(&folder).expect("made");
    let mut disk = Command::new(top.join("image/disk"));
    disk.arg(arch().name()).arg(squashfs).arg(&folder).arg(kernel_for_firmware());
    disk.arg(keys.join("secure-boot")).arg(format!("1.{sequence}"));
    // What its firmware starts is of its architecture.
    if arch().name() != std::env::consts::ARCH {
        disk.env("AEGIS_EFI", userland());
    }
    Bench::good(disk);
    let out = bench.at(&format!("{sequence}.aegis-image"));
    let mut build = Bench::aegisctl();
    build.args(["image", "build", "--arch", arch().name(), "--sequence", &sequence.to_string()]);
    build.arg("--boot-a").arg(folder.join("boot-a.efi")).arg("--boot-b").arg(folder.join("boot-b.efi"));
    build.arg("--root-fs").arg(folder.join("root.img")).arg("--root").arg(keys.join("root.cbor"));
    build.arg("--key").arg(keys.join("image.key")).arg("--out").arg(&out);
    Bench::good(build);
    fs::remove_dir_all(folder).expect("there");
    out
}

/// The same, but its agent does nothing.
fn broken(bench: &Bench, sequence: u64) -> PathBuf {
    let (tree, made) = (bench.at("tree"), bench.at("broken.squashfs"));
    let mut unpack = Command::new("unsquashfs");
    unpack.args(["-no-progress", "-d"]).arg(&tree).arg(squashfs(bench, &image_folder(root(), arch())));
    Bench::good(unpack);
    let agent = tree.join("usr/bin/aegis");
    fs::remove_file(&agent).expect("there");
    fs::copy(suite::program().with_file_name("aegis-broken"), &agent).expect("it was built");
    let mut pack = Command::new("mksquashfs");
    pack.arg(&tree).arg(&made).args(["-noappend", "-quiet", "-no-progress", "-all-root"]);
    pack.args(["-b", "256K", "-comp", "zstd", "-Xcompression-level", "3"]);
    Bench::good(pack);
    release(bench, &made, sequence)
}

pub(crate) fn stick(image: &Path) -> Stick {
    Stick::new(StickFs::Vfat).file(NAME, image)
}

/// Starts it with a stick, waits until it is ready and the stick's image is answered; its console and its receipts.
fn with_stick(device: &Device, bench: &Bench, image: &Path) -> (String, Vec<serde_json::Value>) {
    let (_slot, mut vm) = Bench::start(device.machine(bench));
    assert!(vm.wait_ready().expect("watched"), "{}", vm.console_end());
    give(&mut vm, &stick(image));
    let run = vm.cut_power().expect("cut");
    (console(&run), receipts(&run))
}

#[test]
fn an_image_comes_by_stick_is_tried_committed_and_not_taken_again() {
    let bench = Bench::new();
    let device = Device::new(&bench);
    let image = release(&bench, &squashfs(&bench, &image_folder(root(), arch())), NEWER);
    let (said, answers) = with_stick(&device, &bench, &image);
    assert!(said.contains("slot a, image 1."), "{said}");
    assert!(said.contains("slot b: it is tried at the next start"), "{said}");
    let answer = answers.last().expect("a receipt");
    assert_eq!(
        (&answer["what"], &answer["answer"], &answer["code"]),
        (&"image".into(), &"accepted".into(), &"written".into())
    );
    assert_eq!(answer["seen"], sha256(&fs::read(&image).expect("made")));
    assert_eq!(
        device.kernels(),
        ["aegis-a+9.efi", "aegis-b+3.efi"],
        "what runs has its tries back, what is new has three"
    );

    let said = device.healthy(&bench);
    assert!(said.contains(&format!("slot b, image 1.{NEWER}")), "{said}");
    assert!(said.contains("root verified, every block"), "{said}");
    assert!(said.contains("image: committed: epoch 1 sequence 4000000000: slot b"), "{said}");
    assert_eq!(device.kernels(), ["aegis-a+9.efi", "aegis-b+9.efi"]);

    let (said, answers) = with_stick(&device, &bench, &image);
    assert!(said.contains(&format!("slot b, image 1.{NEWER}")), "{said}");
    let answer = answers.last().expect("a receipt");
    assert_eq!((&answer["what"], &answer["answer"]), (&"image".into(), &"unchanged".into()));
    assert_eq!(device.kernels(), ["aegis-a+9.efi", "aegis-b+9.efi"]);
}

#[test]
fn an_image_that_never_becomes_healthy_falls_back_by_itself_and_is_held_back() {
    let bench = Bench::new();
    let device = Device::new(&bench);
    let image = broken(&bench, NEWER);
    let (said, _) = with_stick(&device, &bench, &image);
    assert!(said.contains("slot b: it is tried at the next start"), "{said}");
    for left in [2, 1, 0] {
        let (_slot, vm) = Bench::start(device.machine(&bench));
        let run = vm.finish().expect("watched");
        let said = console(&run);
        assert_ne!(run.end, End::Ran, "{said}");
        assert!(said.contains(&format!("slot b, image 1.{NEWER}")), "{said}");
        assert!(said.contains("IMAGE ON TRIAL NOT HEALTHY: starting again"), "{said}");
        assert_eq!(
            device.kernels(),
            ["aegis-a+9.efi".to_owned(), format!("aegis-b+{left}-{}.efi", 3 - left)]
        );
    }
    let (said, answers) = with_stick(&device, &bench, &image);
    assert!(said.contains("slot a, image 1."), "{said}");
    assert!(said.contains("image: fell-back: epoch 1 sequence 4000000000"), "{said}");
    let answer = answers.last().expect("a receipt");
    assert_eq!((&answer["answer"], &answer["code"]), (&"refused".into(), &"held-back".into()));
    assert_eq!(device.kernels(), ["aegis-a+9.efi", "aegis-b+0-3.efi"]);
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number")))
}

/// What became of the cuts of a run.
#[derive(Default)]
struct Tally {
    cuts: u64,
    boots: u64,
    /// Cuts by where they fell: while the image was written; when it was whole, or soon after; in a start.
    writing: u64,
    whole: u64,
    starting: u64,
    /// Of those, cuts for which the write they were to be in did not come in time.
    late: u64,
    /// By what ran at the next start: what ran before, or the new image.
    stayed: u64,
    moved: u64,
    told_cut_short: u64,
    lost: Cut,
}

/// When the power goes, as chance has it.
enum When {
    /// In this write of a start, the loader's among them, and maybe that of an image on trial.
    Starting(u64),
    /// In this write from the plugging of the stick on.
    Writing(u64),
    /// When the device says that the image is whole.
    Whole,
}

impl When {
    /// `start`, `update`: writes of those that were not cut.
    fn next(chance: &mut Random, tally: &Tally, start: u64, update: u64, after_start: bool) -> Self {
        match (tally.cuts, chance.below(8)) {
            (0, _) => Self::Whole,
            // Of the image that was just made whole it is the first start. (The device's first made its disks, too: half of its
            // writes are those of any.)
            (1, _) => Self::Starting(1 + chance.below(start / 2)),
            (_, 0) if !after_start => Self::Starting(1 + chance.below(start)),
            (_, 1) => Self::Whole,
            // Its end: the first sector of the kernel, what is remembered, the receipt.
            (_, 2 | 3) => Self::Writing(1 + update.saturating_sub(chance.below(12))),
            _ => Self::Writing(1 + chance.below(update)),
        }
    }
}

/// One device, its image updated again and again, and its power cut in the middle, by disks that lose what they had not
/// flushed: it always starts again, into what ran or into what is new and whole.
#[test]
fn power_cuts_in_the_middle_of_an_update_always_leave_a_bootable_slot() {
    let bench = Bench::new();
    let device = Device::new(&bench);
    let cuts = number("AEGIS_UPDATE_CUTS").unwrap_or(CUTS);
    let seed = number("AEGIS_UPDATE_SEED").unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        u64::from(since.subsec_nanos()) ^ since.as_secs()
    });
    println!("AEGIS_UPDATE_SEED={seed}");
    let mut chance = Random::new(seed);
    let squashfs = squashfs(&bench, &image_folder(root(), arch()));
    let (mut tally, mut before) = (Tally::default(), String::new());
    let (mut start, mut update) = (1, 1);
    // What has to run next: an image that was whole when the power went.
    let (mut due, mut after_start): (Option<String>, _) = (None, false);
    loop {
        let when = When::next(&mut chance, &tally, start, update, after_start);
        let cache = Cache::Lossy(chance.next());
        let (_slot, mut vm) = Bench::start(device.machine(&bench).cache(cache));
        let told = format!("seed {seed}, cut {}", tally.cuts);
        after_start = matches!(when, When::Starting(_)) && tally.cuts < cuts;
        if let When::Starting(writes) = when
            && after_start
        {
            let run = vm.cut_power_in_write(writes, LONGEST).expect("cut");
            tally.starting += 1;
            tally.late += u64::from(!run.in_write);
            tally.cut(&run);
            due = None;
            println!("cut {}: in write {writes} of a start; {}", tally.cuts, device.kernels().join(" "));
            continue;
        }
        // The promise: whatever was cut before, it starts, at once, and is healthy.
        let ready = vm.wait_ready().expect("watched");
        assert!(ready, "{told}: it does not start\n{}", vm.console_end());
        tally.boots += 1;
        if tally.cuts == cuts {
            tally.count(&mut before, due, &console(&vm.cut_power().expect("cut")));
            break;
        }
        start = vm.writes();
        let sequence = NEWER + tally.cuts;
        let image = release(&bench, &squashfs, sequence);
        let place = vm.now().expect("watched");
        let plugged = vm.writes();
        vm.plug(&stick(&image)).expect("plugged");
        let (run, what) = if let When::Writing(writes) = when {
            tally.writing += 1;
            (vm.cut_power_in_write(writes, LONGEST), format!("in write {writes} of {update}"))
        } else {
            let line = vm.wait_line_after(place, "it is tried at the next start").expect("watched");
            assert!(line.is_some(), "{told}: {}", vm.console_end());
            update = vm.writes() - plugged;
            assert!(
                update > 20 && start > 20,
                "{told}: {start} writes of a start, {update} of an update: who counts them?"
            );
            tally.whole += 1;
            (vm.cut_power(), format!("when it was whole, after {update} writes"))
        };
        let run = run.expect("cut");
        tally.late += u64::from(matches!(when, When::Writing(_)) && !run.in_write);
        tally.count(&mut before, due.take(), &console(&run));
        due = matches!(when, When::Whole).then(|| format!("image 1.{sequence}"));
        tally.cut(&run);
        // A run that is ended before its time leaves what it has seen.
        tally.keep(seed);
        fs::remove_file(image).expect("there");
        println!("cut {}: {what}; {}", tally.cuts, device.kernels().join(" "));
        assert_eq!(device.directory().room, 64, "{told}: the directory of kernels grew");
    }
    tally.moved = tally.moved.saturating_sub(1);
    println!("{}", tally.text());
    assert!(cuts == 0 || tally.moved > 0, "{told}: no new image ever ran", told = tally.text());
    tally.keep(seed);
}

impl Tally {
    /// Takes in a cut.
    fn cut(&mut self, run: &Run) {
        self.cuts += 1;
        for cut in &run.cut {
            self.lost.kept += cut.kept;
            self.lost.torn += cut.torn;
            self.lost.dropped += cut.dropped;
        }
    }

    /// Takes in the console of a boot that became healthy. `before` is what ran at the one before; `due`: what has to run now.
    fn count(&mut self, before: &mut String, due: Option<String>, said: &str) {
        let ran =
            said.split("firmware: UEFI").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let due = due.unwrap_or_else(|| "image 1.".to_owned());
        assert!(ran.contains(&due), "{due} has to run: {said}");
        if *before == ran {
            self.stayed += 1;
        } else {
            self.moved += 1;
        }
        ran.clone_into(before);
        self.told_cut_short += u64::from(said.contains("image: cut-short"));
        assert!(!said.contains("fell-back"), "an image that is whole does not fall back: {said}");
    }

    fn text(&self) -> String {
        let Self { cuts, boots, writing, whole, starting, late, stayed, moved, told_cut_short, lost } = self;
        format!(
            "{cuts} power cuts: {writing} while an image came, {whole} when it was whole, {starting} in a start (of these, {late} when their write had not come \
             for {} s). {boots} starts that were left \
             alone, each healthy at once: into what ran before {stayed} times, into a new image {moved} times; {told_cut_short} times it was \
             told that an image was cut short. Of the disks' caches {} writes were kept, {} torn, {} dropped",
            LONGEST.as_secs(),
            lost.kept,
            lost.torn,
            lost.dropped
        )
    }

    /// Writes the page of this run, where there is to be one.
    fn keep(&self, seed: u64) {
        if let Some(page) = std::env::var_os("AEGIS_UPDATE_PAGE") {
            fs::write(page, self.page(seed)).expect("written");
        }
    }

    fn page(&self, seed: u64) -> String {
        let mut page =
            String::from("# Power cuts during an image update\n\nWritten by `make update-cuts`.\n\n");
        let _ = writeln!(page, "{}. Seed {seed}.\n", self.text());
        page.push_str(
            "One device in QEMU (OVMF, Secure Boot, systemd-boot). In each boot a newer image is brought by a stick, and the power is cut in \
             the middle of a write, by chance: anywhere between the first after the stick was plugged in and the last that an update \
             makes, a quarter of them among its last twelve; or when the device says that the image is whole; or in a write of the next \
             start, be it the loader's, the first of a new image among them. The system, data and ring disks lose, tear or keep each write \
             that was not flushed, by chance (`qemu/src/platter.rs`). The next boot that is left alone has to be healthy by itself, into \
             the image of before or into the new one, whole; into the new one, if that was whole.\n",
        );
        page
    }
}
