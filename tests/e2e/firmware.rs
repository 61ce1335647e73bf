//! The way of a start on hardware: firmware, loader, kernel, root. What is signed is started, and counted; what was tampered with
//! is not, and the documented refusal is seen (`docs/boot.md`).

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use aegis_disk::{Ended, end_directory};
use aegis_qemu::{Arch, DiskBus, End, Kernel, Machine, Stick, StickFs, Vm, image_folder};
use aegis_tests::{Bench, Evidence, Rule, Slot, arch, console, receipts, root};

use super::update::{NEWER, release, squashfs, stick as by_stick};

const MIB: u64 = 1 << 20;
/// Where the ESP begins on the system disk (`image/disk`).
const ESP_AT: u64 = MIB;
/// Where slots A and B do.
pub(crate) const SLOTS_AT: [u64; 2] = [65 * MIB, 97 * MIB];
/// The kernel of slot A, as a new disk has it.
const KERNEL: &str = "EFI/Linux/aegis-a+9.efi";

/// The ESP of a disk's file, to be looked at.
struct Esp(File);

impl aegis_disk::Device for Esp {
    type Error = std::io::Error;

    fn bytes(&self) -> u64 {
        64 * MIB
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> std::io::Result<()> {
        self.0.read_exact_at(into, ESP_AT + at)
    }

    /// Of no use: what is asked for is whether there is something to write.
    fn write(&mut self, _: u64, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A device's disks between two boots.
pub(crate) struct Device {
    pub(crate) folder: PathBuf,
}

/// Where Debian's programs of the image's architecture are (`image/userland`).
pub(crate) fn userland() -> PathBuf {
    let mut userland = Command::new(root().join("image/userland"));
    userland.arg(arch().name());
    PathBuf::from(String::from_utf8(Bench::good(userland)).expect("UTF-8").trim())
}

/// Plugs a stick in and waits until the device has done with it.
pub(crate) fn give(vm: &mut Vm, stick: &Stick) {
    let place = vm.now().expect("watched");
    vm.plug(stick).expect("plugged");
    let line = vm.wait_line_after(place, "it can be pulled").expect("watched");
    assert!(line.is_some(), "{}", vm.console_end());
}

impl Device {
    /// A new one, its disk as `make image` leaves it.
    pub(crate) fn new(bench: &Bench) -> Self {
        let device = Self { folder: bench.at("device") };
        fs::create_dir(&device.folder).expect("made");
        let image = image_folder(root(), arch()).join("system.img");
        let mut copy = Command::new("cp");
        copy.arg("--sparse=always").args([&image, &device.disk()]);
        Bench::good(copy);
        device
    }

    fn disk(&self) -> PathBuf {
        self.folder.join("system.img")
    }

    /// mtools on its ESP.
    pub(crate) fn esp(&self, tool: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(tool);
        command.args(["-i", &format!("{}@@{ESP_AT}", self.disk().display())]).args(arguments);
        String::from_utf8(Bench::good(command)).expect("mtools writes UTF-8")
    }

    /// The kernels on its ESP.
    pub(crate) fn kernels(&self) -> Vec<String> {
        let listed = self.esp("mdir", &["-b", "::EFI/Linux"]);
        let names = listed.lines().filter_map(|line| line.strip_prefix("::/EFI/Linux/"));
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names
    }

    /// The directory of kernels on its ESP: how much room, how much of it is in use, how many sectors are not tidy.
    pub(crate) fn directory(&self) -> Ended {
        let mut esp = Esp(File::open(self.disk()).expect("there"));
        end_directory(&mut esp, &[*b"EFI        ", *b"LINUX      "]).expect("a FAT")
    }

    /// Changes a file on its ESP.
    fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let (copy, on_esp) = (self.folder.join("copy"), format!("::{name}"));
        let copy_text = copy.to_str().expect("UTF-8");
        self.esp("mcopy", &["-n", &on_esp, copy_text]);
        let mut bytes = fs::read(&copy).expect("copied");
        change(&mut bytes);
        fs::write(&copy, bytes).expect("written");
        self.esp("mcopy", &["-o", copy_text, &on_esp]);
        fs::remove_file(copy).expect("there");
    }

    /// Flips a bit of its disk.
    fn flip(&self, at: u64) {
        let disk = File::options().read(true).write(true).open(self.disk()).expect("there");
        let mut byte = [0];
        disk.read_exact_at(&mut byte, at).expect("it is in the disk");
        disk.write_all_at(&[byte[0] ^ 0x10], at).expect("written");
    }

    /// Fills slot B with the same image.
    fn fill_b(&self, kernel: &str) {
        let image = image_folder(root(), arch());
        let disk = File::options().write(true).open(self.disk()).expect("there");
        let slot = fs::read(image.join("root.img")).expect("make image leaves it");
        disk.write_all_at(&slot, SLOTS_AT[1]).expect("written");
        let boot = image.join("boot-b.efi");
        self.esp("mcopy", &[boot.to_str().expect("UTF-8"), &format!("::EFI/Linux/{kernel}")]);
    }

    /// A machine that starts by the firmware from this disk.
    pub(crate) fn machine(&self, bench: &Bench) -> Machine {
        bench.machine().kernel(Kernel::Uefi).no_stick().state(&self.folder)
    }

    pub(crate) fn start(&self, bench: &Bench) -> (Slot, Vm) {
        Bench::start(self.machine(bench))
    }

    /// Starts it and waits until the agent is ready; its console.
    pub(crate) fn healthy(&self, bench: &Bench) -> String {
        let (_slot, mut vm) = self.start(bench);
        assert!(vm.wait_ready().expect("watched"), "{}", vm.console_end());
        console(&vm.cut_power().expect("cut"))
    }

    /// Starts it, waits for a line with this text, and sees that nothing of the image ran.
    pub(crate) fn refused(&self, bench: &Bench, what: &str, text: &str) {
        let (_slot, mut vm) = self.start(bench);
        let line = vm.wait_line(text).expect("watched");
        assert!(line.is_some(), "{what}: no `{text}`: {}", vm.console_end());
        let said = console(&vm.cut_power().expect("cut"));
        assert!(!said.contains("mounting kernel file systems"), "{what}: {said}");
    }
}

/// Flips a bit in the middle of the section of this name of a PE program (Microsoft PE/COFF, "Section Table").
fn flip_section(program: &mut [u8], name: &[u8]) {
    let at = program.windows(8).position(|field| field.strip_prefix(name) == Some(&[0; 8][name.len()..]));
    let header = &program[at.expect("it has that section")..];
    let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes")) as usize;
    let (length, start) = (word(8), word(20));
    program[start + length / 2] ^= 0x10;
}

#[test]
fn the_firmware_starts_what_is_signed_and_a_healthy_boot_keeps_its_tries() {
    let bench = Bench::new();
    let device = Device::new(&bench);
    device.esp("mren", &[&format!("::{KERNEL}"), "aegis-a+4-5.efi"]);
    let said = device.healthy(&bench);
    let told = "slot a: not healthy in 5 starts before this one; slot a runs";
    assert!(
        said.lines().any(|line| line.contains("image: starts-failed: ") && line.contains(told)),
        "{said}"
    );
    assert!(said.contains("firmware: UEFI, Secure Boot on; slot a, image 1."), "{said}");
    assert!(said.contains("root verified, every block"), "{said}");
    // The loader took one off, and the device gave all of them back.
    assert_eq!(device.kernels(), ["aegis-a+9.efi"]);
    // The firmware put a new name behind all others, and the device ended the directory where it ended before: it never grows.
    let directory = device.directory();
    assert!(directory.room == 64 && directory.entries <= 8 && directory.written == 0, "{directory:?}");
}

/// `docs/install.md`, from the first boot to an update: the file is written to a larger disk, and nothing else is there but sticks.
#[test]
fn the_image_alone_becomes_a_device() {
    let bench = Bench::new();
    let rule = Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };
    let bundle = bench.bundle("site.aegis", &bench.policy("site", "enforce", &[rule]), 7);
    let device = Device { folder: bench.at("device") };
    // One boot, a stick in it.
    let start = |mib, stick: Option<&Stick>| {
        let (_slot, mut vm) = Bench::start(device.machine(&bench).whole_disk(mib * MIB));
        assert!(vm.wait_ready().expect("watched"), "{}", vm.console_end());
        if let Some(stick) = stick {
            give(&mut vm, stick);
        }
        vm.cut_power().expect("cut")
    };
    let in_order = |said: &str, lines: &[&str]| {
        let mut rest = said;
        for line in lines {
            rest = rest.split_once(line).unwrap_or_else(|| panic!("no `{line}` in its place: {said}")).1;
        }
    };

    let run = start(512, Some(&Stick::new(StickFs::Vfat).file("site.aegis", &bundle)));
    let lines = [
        "firmware: UEFI, Secure Boot on; slot a, image 1.",
        "root verified, every block",
        "storage: table-moved",
        "storage: ring-made",
        "storage: data-made",
        "made the device key; device ",
        "policy: epoch 1 sequence 1: audit-only (policy-audit)",
        "AEGIS-READY ",
        "policy: epoch 1 sequence 7: enforcing",
    ];
    in_order(&console(&run), &lines);
    let answers = receipts(&run);
    assert!(answers.iter().any(|answer| answer["answer"] == "accepted"), "{answers:?}");
    let events = Evidence::show(run.export.as_ref().expect("an export"));
    assert!(
        events.iter().any(|event| event["kind"] == "storage" && event["code"] == "data-made"),
        "{events:?}"
    );

    // On a larger disk, and with a newer image.
    let image = release(&bench, &squashfs(&bench, &image_folder(root(), arch())), NEWER);
    let run = start(768, Some(&by_stick(&image)));
    let lines = ["slot a, image 1.", "storage: table-moved", "storage: data-grown"];
    in_order(&console(&run), &lines);
    in_order(
        &console(&run),
        &["policy: epoch 1 sequence 7: enforcing", "slot b: it is tried at the next start"],
    );
    assert!(!console(&run).contains("-made"), "{}", console(&run));
    assert_eq!(receipts(&run).last().map(|answer| &answer["code"]), Some(&"written".into()));

    // From then on it is what it is.
    let said = console(&start(768, None));
    let slot = format!("firmware: UEFI, Secure Boot on; slot b, image 1.{NEWER}");
    in_order(&said, &[&slot, "root verified, every block", "policy: epoch 1 sequence 7: enforcing"]);
    assert!(said.contains(&format!("image: committed: epoch 1 sequence {NEWER}: slot b")), "{said}");
    assert!(!said.contains("storage: "), "{said}");
}

/// What real machines have: the firmware, the loader and our kernel find it there, and the device makes it its own.
#[test]
fn it_starts_from_every_kind_of_disk() {
    let mut disks = vec![(DiskBus::Nvme, "own storage on /dev/nvme0n1p5")];
    // Debian's firmware for aarch64 knows no SATA.
    if arch() == Arch::X86_64 {
        disks.push((DiskBus::Sata, "own storage on /dev/sda5"));
    }
    for (bus, partition) in disks {
        let bench = Bench::new();
        let machine = bench.machine().kernel(Kernel::Uefi).whole_disk(512 * MIB).state(bench.at("device"));
        let (_slot, mut vm) = Bench::start(machine.disk_bus(bus).no_stick());
        assert!(vm.wait_ready().expect("watched"), "{bus:?}: {}", vm.console_end());
        let said = console(&vm.cut_power().expect("cut"));
        for line in ["Secure Boot on", "root verified, every block", "storage: data-made", partition] {
            assert!(said.contains(line), "{bus:?}: no `{line}`: {said}");
        }
    }
}

#[test]
fn nothing_is_started_that_the_keys_do_not_vouch_for() {
    type Change = fn(&mut Vec<u8>);
    let bench = Bench::new();
    let denied = "Access Denied";
    let loader = match arch() {
        Arch::X86_64 => "EFI/BOOT/BOOTX64.EFI",
        Arch::Aarch64 => "EFI/BOOT/BOOTAA64.EFI",
    };
    let changes: [(&str, &str, Change, &str); 4] = [
        ("the loader", loader, |bytes| flip_section(bytes, b".text"), denied),
        ("the kernel", KERNEL, |bytes| flip_section(bytes, b".linux"), denied),
        ("the command line", KERNEL, |bytes| flip_section(bytes, b".cmdline"), denied),
        (
            "its signature",
            KERNEL,
            |bytes| bytes.iter_mut().rev().take(64).for_each(|byte| *byte ^= 1),
            denied,
        ),
    ];
    for (what, file, change, text) in changes {
        let bench = Bench::new();
        let device = Device::new(&bench);
        device.change(file, change);
        device.refused(&bench, what, text);
    }
    let device = Device::new(&bench);
    for at in [512, fs::metadata(device.disk()).expect("there").len() - 512] {
        device.flip(at + 20);
    }
    device.refused(&bench, "both tables of partitions", "No bootable option");
}

#[test]
fn a_table_of_partitions_has_a_second() {
    let bench = Bench::new();
    let device = Device::new(&bench);
    device.flip(512 + 20);
    device.healthy(&bench);
}

/// Each boot of a slot that is no good ends by starting again. When its tries are used up the loader takes the other one.
#[test]
fn a_slot_that_went_bad_gives_way_to_the_other() {
    let bench = Bench::new();
    let device = Device::new(&bench);
    // Of two of the same version the loader takes the one whose name comes last.
    device.fill_b("aegis-b+2.efi");
    device.flip(SLOTS_AT[1] + 17);
    for _ in 0..2 {
        let (_slot, vm) = device.start(&bench);
        let run = vm.finish().expect("watched");
        let said = console(&run);
        assert_ne!(run.end, End::Ran, "{said}");
        assert!(said.contains("device-mapper: verity"), "{said}");
        assert!(!said.contains("mounting kernel file systems"), "{said}");
    }
    assert_eq!(device.kernels(), ["aegis-a+9.efi", "aegis-b+0-2.efi"]);
    // The one that runs then says so: on the console, and as an event.
    let stick = Stick::new(StickFs::Vfat)
        .file("site.aegis", bench.bundle("site.aegis", &bench.policy("site", "audit", &[]), 7));
    let (_slot, mut vm) = device.start(&bench);
    assert!(vm.wait_ready().expect("watched"), "{}", vm.console_end());
    give(&mut vm, &stick);
    let run = vm.cut_power().expect("cut");
    let said = console(&run);
    assert!(said.contains("Secure Boot on; slot a"), "{said}");
    let told = "slot b: not healthy in 2 starts before this one; slot a runs";
    assert!(
        said.lines().any(|line| line.contains("image: starts-failed: ") && line.contains(told)),
        "{said}"
    );
    let events = Evidence::show(run.export.as_ref().expect("an export"));
    let image = |event: &&serde_json::Value| event["kind"] == "image" && event["code"] == "starts-failed";
    assert!(events.iter().find(image).is_some_and(|event| event["detail"] == told), "{events:?}");
}
