//! The ESP is not signed: what is added to it, and its settings changed, starts nothing that the keys do not vouch for
//! (`docs/boot.md`).

use std::fmt::Write as _;
use std::fs;

use super::console::Sitting;
use super::firmware::{Device, userland};
use aegis_qemu::{Arch, image_folder};
use aegis_tests::{Bench, arch, console, root};

/// What the intruder's own first process says.
const INTRUDER: &str = "STARTED-BY-AN-INTRUDER";

/// An archive that a kernel unpacks into its first root (cpio, `newc`): name, mode, content.
fn archive(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, (name, mode, content)) in
        files.iter().copied().chain([("TRAILER!!!", 0, &[][..])]).enumerate()
    {
        let mut header = "070701".to_owned();
        // Inode, mode, owner, group, links, time, length, device, device of a node, length of the name, sum.
        for field in [number + 1, mode as usize, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0] {
            write!(header, "{field:08x}").expect("a string takes it");
        }
        for part in [[header.as_bytes(), name.as_bytes(), b"\0"].concat(), content.to_vec()] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}

/// A first process of the intruder's: a shell that says so.
fn intruder() -> Vec<u8> {
    let shell = fs::read(userland().join("busybox")).expect("it is there");
    let script = format!("#!/sh\necho {INTRUDER}\n");
    archive(&[("init", 0o100_755, script.as_bytes()), ("sh", 0o100_755, &shell)])
}

/// Adds an entry of the loader's that starts `kernel` with `more`, and settings that prefer it to all others.
fn prefer(bench: &Bench, device: &Device, kernel: &str, more: &str) {
    let console = match arch() {
        Arch::X86_64 => "ttyS0",
        Arch::Aarch64 => "ttyAMA0",
    };
    let options =
        format!("options console={console},115200 init=/sh rdinit=/init root=/dev/ram0 aegis.slot=b");
    let entry = format!("title Intruder\nversion 99\nlinux {kernel}\n{more}{options}\n");
    let settings = "default intruder.conf\ntimeout 0\neditor yes\nauto-entries yes\nauto-firmware yes\n";
    let copy = bench.at("copy");
    device.esp("mmd", &["::loader/entries"]);
    for (name, text) in [("loader/entries/intruder.conf", entry.as_str()), ("loader/loader.conf", settings)] {
        fs::write(&copy, text).expect("written");
        device.esp("mcopy", &["-o", copy.to_str().expect("UTF-8"), &format!("::{name}")]);
    }
}

#[test]
fn nothing_that_is_added_to_the_esp_changes_what_a_kernel_is_told() {
    let bench = Bench::new();
    let device = Device::new(&bench);
    let first = bench.at("first.cpio");
    fs::write(&first, intruder()).expect("written");
    device.esp("mcopy", &[first.to_str().expect("UTF-8"), "::first.cpio"]);
    // A forged count, too: who starts by the entry takes none off.
    device.esp("mren", &["::EFI/Linux/aegis-a+9.efi", "aegis-a+4-5.efi"]);
    prefer(&bench, &device, "/EFI/Linux/aegis-a+4-5.efi", "initrd /first.cpio\n");
    let said = device.healthy(&bench);
    assert!(!said.contains(INTRUDER), "{said}");
    for line in [
        "firmware: UEFI, Secure Boot on; slot a, image 1.",
        "root verified, every block",
        // The entry was what the loader took: of five starts it counts the last as this one.
        "slot a: not healthy in 4 starts before this one",
    ] {
        assert!(said.contains(line), "no `{line}`: {said}");
    }
    assert_eq!(device.kernels(), ["aegis-a+9.efi"]);

    // A kernel that nobody signed, by whatever name.
    let kernel = image_folder(root(), arch()).join("vmlinuz");
    let kernel = if kernel.with_extension("efi").exists() { kernel.with_extension("efi") } else { kernel };
    device.esp("mcopy", &[kernel.to_str().expect("UTF-8"), "::EFI/Linux/aegis-b+9.efi"]);
    device.esp("mdel", &["::loader/entries/intruder.conf"]);
    device.esp("mrd", &["::loader/entries"]);
    prefer(&bench, &device, "/EFI/Linux/aegis-b+9.efi", "");
    device.refused(&bench, "a kernel that nobody signed", "Access Denied");
}

/// A firmware that has no keys starts everything, and the device says so, to whoever looks.
#[test]
fn without_secure_boot_it_starts_and_says_so() {
    let bench = Bench::new();
    let device = Device::new(&bench);
    let empty = match arch() {
        Arch::X86_64 => "/usr/share/OVMF/OVMF_VARS_4M.fd",
        Arch::Aarch64 => "/usr/share/AAVMF/AAVMF_VARS.fd",
    };
    fs::copy(empty, device.folder.join("firmware.fd")).expect("make deps installs it");
    let (_slot, mut vm) = device.start(&bench);
    assert!(vm.wait_ready().expect("watched"), "{}", vm.console_end());
    let mut at = Sitting::new(vm);
    at.open();
    at.press("\n", &["AEGIS  production"]);
    at.press("d", &["AEGIS  doctor", "secure-boot-off"]);
    let said = console(&at.vm.cut_power().expect("cut"));
    assert!(said.contains("firmware: UEFI, SECURE BOOT OFF: nobody vouches for"), "{said}");
}
