//! Labels: as the usual tools write them, as desktop systems change them, and as nobody should.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::{Command, Stdio};

use aegis_stick::{FileSystem, find, is_on_usb, label, limits};
use proptest::prelude::*;

/// Reads from `image`; what is beyond its end can't be read.
fn reader(image: &[u8]) -> impl FnMut(u64, &mut [u8]) -> Option<()> + '_ {
    |at, out| {
        let from = usize::try_from(at).ok()?;
        out.copy_from_slice(image.get(from..from.checked_add(out.len())?)?);
        Some(())
    }
}

fn label_of(kind: FileSystem, image: &[u8]) -> Option<String> {
    label(kind, reader(image)).map(|label| String::from_utf8_lossy(label.as_bytes()).into_owned())
}

/// Every file system that the bytes pass for, with its label.
fn labels(image: &[u8]) -> Vec<(FileSystem, String)> {
    FileSystem::ALL.into_iter().filter_map(|kind| Some((kind, label_of(kind, image)?))).collect()
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

const LABEL_ENTRY: usize = 11;

/// A directory entry of a FAT's label.
fn fat_label(name: &str) -> [u8; 32] {
    let mut entry = [0; 32];
    entry[..11].copy_from_slice(format!("{name:11}").as_bytes());
    entry[LABEL_ENTRY] = 0x08;
    entry
}

/// An empty FAT16: boot sector, one FAT of one sector, 64 entries of root directory.
fn fat16(boot: &str) -> Vec<u8> {
    let mut image = vec![0; 16 * 512];
    put(&mut image, 11, &512u16.to_le_bytes());
    image[13] = 1;
    put(&mut image, 14, &1u16.to_le_bytes());
    image[16] = 1;
    put(&mut image, 17, &64u16.to_le_bytes());
    image[21] = 0xf8;
    put(&mut image, 22, &1u16.to_le_bytes());
    image[38] = 0x29;
    put(&mut image, 43, format!("{boot:11}").as_bytes());
    image
}
const FAT16_ROOT: usize = 2 * 512;

/// An empty FAT32: boot sector, FAT of one sector, root directory in cluster 5, which goes on in cluster 3.
fn fat32(boot: &str) -> Vec<u8> {
    let mut image = vec![0; 16 * 512];
    put(&mut image, 11, &512u16.to_le_bytes());
    image[13] = 1;
    put(&mut image, 14, &1u16.to_le_bytes());
    image[16] = 1;
    image[21] = 0xf0;
    put(&mut image, 36, &1u32.to_le_bytes());
    put(&mut image, 44, &5u32.to_le_bytes());
    image[66] = 0x29;
    put(&mut image, 71, format!("{boot:11}").as_bytes());
    put(&mut image, 512 + 5 * 4, &3u32.to_le_bytes());
    put(&mut image, 512 + 3 * 4, &0x0fff_ffffu32.to_le_bytes());
    image
}
const FAT32_CLUSTER_2: usize = 2 * 512;

/// An empty exFAT: FAT in sector 1, clusters of one sector from sector 2 on, root directory in cluster 4.
fn exfat(name: &str) -> Vec<u8> {
    let mut image = vec![0; 16 * 512];
    put(&mut image, 3, b"EXFAT   ");
    put(&mut image, 80, &1u32.to_le_bytes());
    put(&mut image, 88, &2u32.to_le_bytes());
    put(&mut image, 92, &14u32.to_le_bytes());
    put(&mut image, 96, &4u32.to_le_bytes());
    image[108] = 9;
    put(&mut image, 512 + 4 * 4, &u32::MAX.to_le_bytes());
    let entry = EXFAT_ROOT;
    image[entry] = 0x83;
    image[entry + 1] = name.encode_utf16().count() as u8;
    for (index, unit) in name.encode_utf16().enumerate() {
        put(&mut image, entry + 2 + 2 * index, &unit.to_le_bytes());
    }
    image
}
const EXFAT_ROOT: usize = 4 * 512;

fn ext4(name: &str) -> Vec<u8> {
    let mut image = vec![0; 4096];
    put(&mut image, 1024 + 56, &0xef53u16.to_le_bytes());
    put(&mut image, 1024 + 120, name.as_bytes());
    image
}

/// Descriptors from sector 16 on: kind, label, escape sequence; then the end.
fn iso(descriptors: &[(u8, &[u8], &[u8])]) -> Vec<u8> {
    let mut image = vec![0; 2048 * (17 + descriptors.len())];
    for (number, (kind, name, escape)) in descriptors.iter().enumerate() {
        let at = 2048 * (16 + number);
        image[at] = *kind;
        put(&mut image, at + 1, b"CD001");
        let blank = if *kind == 2 { utf16_be(&" ".repeat(16)) } else { vec![b' '; 32] };
        put(&mut image, at + 40, &blank);
        put(&mut image, at + 40, name);
        put(&mut image, at + 88, escape);
    }
    let end = 2048 * (16 + descriptors.len());
    image[end] = 255;
    put(&mut image, end + 1, b"CD001");
    image
}

fn utf16_be(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

#[test]
fn each_file_system_says_its_label() {
    for (kind, image) in [
        (FileSystem::Vfat, fat16("AEGIS")),
        (FileSystem::Vfat, fat32("AEGIS")),
        (FileSystem::Exfat, exfat("AEGIS")),
        (FileSystem::Ext4, ext4("AEGIS")),
        (FileSystem::Iso9660, iso(&[(1, b"AEGIS", b"")])),
    ] {
        assert_eq!(labels(&image), [(kind, "AEGIS".to_owned())]);
        assert_eq!(find(b"AEGIS", reader(&image)), Some(kind));
        for other in [&b"AEGI"[..], b"AEGIS2", b"aegis", b""] {
            assert_eq!(find(other, reader(&image)), None);
        }
    }
}

#[test]
fn only_exactly_that_label_counts() {
    for (text, expected) in [
        ("AEGIS", true),
        ("AEGIS  ", true),
        ("aegis", false),
        (" AEGIS", false),
        ("AEGIS2", false),
        ("AEGI", false),
        ("", false),
    ] {
        for image in [fat16(text), fat32(text), exfat(text), ext4(text), iso(&[(1, text.as_bytes(), b"")])] {
            assert_eq!(find(b"AEGIS", reader(&image)).is_some(), expected, "{text:?} {:?}", labels(&image));
        }
    }
    // Cut, it would be one.
    let mut long = [b' '; 32];
    long[..5].copy_from_slice(b"AEGIS");
    long[31] = b'X';
    assert_eq!(find(b"AEGIS", reader(&iso(&[(1, &long, b"")]))), None);
    // Not ASCII: not taken for what it looks like.
    assert_eq!(label_of(FileSystem::Exfat, &exfat("\u{391}EGIS")).as_deref(), Some("?EGIS"));
}

#[test]
fn of_a_fat_the_root_directory_counts_more_than_the_boot_sector() {
    // Renamed by a desktop system, to ours and from ours.
    for (boot, entry, expected) in [
        ("NO NAME", Some("AEGIS"), Some("AEGIS")),
        ("AEGIS", Some("HOLIDAY"), Some("HOLIDAY")),
        ("AEGIS", None, Some("AEGIS")),
        ("NO NAME", None, None),
    ] {
        let (mut small, mut large) = (fat16(boot), fat32(boot));
        if let Some(entry) = entry {
            // Behind a file, a long name, and a label that was removed; for FAT32 in the second cluster of the directory.
            let mut file = fat_label("FILE");
            file[LABEL_ENTRY] = 0x20;
            let mut long = fat_label("AEGIS");
            long[LABEL_ENTRY] = 0x0f;
            let mut removed = fat_label("REMOVED");
            removed[0] = 0xe5;
            let entries = [file, long, removed, fat_label(entry)].concat();
            put(&mut small, FAT16_ROOT, &entries);
            put(&mut large, FAT32_CLUSTER_2 + 3 * 512, &file.repeat(16));
            put(&mut large, FAT32_CLUSTER_2 + 512, &entries);
        }
        assert_eq!(label_of(FileSystem::Vfat, &small).as_deref(), expected, "FAT16 {boot} {entry:?}");
        assert_eq!(label_of(FileSystem::Vfat, &large).as_deref(), expected, "FAT32 {boot} {entry:?}");
    }
    // What stands behind the end of the directory is not in it.
    let mut image = fat16("AEGIS");
    put(&mut image, FAT16_ROOT + 32, &fat_label("OTHER"));
    assert_eq!(label_of(FileSystem::Vfat, &image).as_deref(), Some("AEGIS"));
}

#[test]
fn joliet_speaks_when_the_primary_descriptor_is_silent() {
    let joliet = utf16_be("AEGIS");
    for escape in [&b"%/@"[..], b"%/C", b"%/E"] {
        let image = iso(&[(1, b"", b""), (2, &joliet, escape)]);
        assert_eq!(label_of(FileSystem::Iso9660, &image).as_deref(), Some("AEGIS"));
    }
    let image = iso(&[(1, b"OTHER", b""), (2, &joliet, b"%/E")]);
    assert_eq!(label_of(FileSystem::Iso9660, &image).as_deref(), Some("OTHER"));
    for none in [iso(&[(2, &joliet, b"%/E")]), iso(&[(1, b"", b""), (2, &joliet, b"")]), iso(&[])] {
        assert_eq!(label_of(FileSystem::Iso9660, &none), None);
    }
    // So many descriptors that the primary one is not reached.
    let many =
        [vec![(3, &b""[..], &b""[..]); limits::DESCRIPTORS as usize], vec![(1, b"AEGIS", b"")]].concat();
    assert_eq!(label_of(FileSystem::Iso9660, &iso(&many)), None);
}

#[test]
fn an_ext4_that_tells_the_kernel_what_to_do_is_none_of_ours() {
    let mut options = ext4("AEGIS");
    put(&mut options, 1024 + 512, b"errors=panic");
    assert_eq!(labels(&options), []);
    let mut journal = ext4("AEGIS");
    put(&mut journal, 1024 + 228, &0xfd00u32.to_le_bytes());
    assert_eq!(labels(&journal), []);
}

#[test]
fn a_chain_that_bites_its_tail_ends() {
    let mut fat = fat32("AEGIS");
    put(&mut fat, 512 + 3 * 4, &5u32.to_le_bytes());
    for at in [FAT32_CLUSTER_2 + 512, FAT32_CLUSTER_2 + 3 * 512] {
        put(&mut fat, at, &fat_label("FILE").map(|byte| if byte == 8 { 0x20 } else { byte }).repeat(16));
    }
    assert_eq!(label_of(FileSystem::Vfat, &fat).as_deref(), Some("AEGIS"), "the boot sector's");
    let mut image = exfat("AEGIS");
    put(&mut image, 512 + 4 * 4, &4u32.to_le_bytes());
    put(&mut image, EXFAT_ROOT, &[0x85; 512]);
    assert_eq!(label_of(FileSystem::Exfat, &image), None);
}

fn images() -> Vec<Vec<u8>> {
    let iso = iso(&[(1, b"", b""), (2, &utf16_be("AEGIS"), b"%/E")]);
    vec![fat16("AEGIS"), fat32("AEGIS"), exfat("AEGIS"), ext4("AEGIS"), iso]
}

/// Reads every label, and counts the reads of each.
fn read_all(image: &[u8]) {
    for kind in FileSystem::ALL {
        let (mut reads, mut read) = (0, reader(image));
        label(kind, |at, out: &mut [u8]| {
            reads += 1;
            read(at, out)
        });
        assert!(reads <= limits::READS, "{kind}: {reads} reads");
    }
}

/// No byte, and no end, makes it panic or read on and on.
#[test]
fn every_byte_may_be_any_byte_and_every_end_the_end() {
    for mut image in images() {
        for at in (0..image.len()).filter(|at| at % 2048 < 256 || image[*at] != 0).collect::<Vec<_>>() {
            let kept = image[at];
            for byte in [0, 1, 0x7f, 0x80, 0xff, kept ^ 1] {
                image[at] = byte;
                read_all(&image);
            }
            image[at] = kept;
        }
        for end in (0..image.len()).step_by(61) {
            read_all(&image[..end]);
        }
    }
}

proptest! {
    #[test]
    fn no_device_makes_it_panic_or_read_on_and_on(
        which in 0..5usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        seed in any::<u64>(),
    ) {
        let mut image = images().swap_remove(which);
        for (at, byte) in changes {
            let at = at.index(image.len().min(2048));
            image[at] = byte;
        }
        // A device without end: every place reads as something, so that every chain goes on.
        for kind in FileSystem::ALL {
            let mut reads = 0;
            label(kind, |at, out: &mut [u8]| {
                reads += 1;
                for (index, byte) in out.iter_mut().enumerate() {
                    let place = at.wrapping_add(index as u64);
                    let mixed = (place ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
                    *byte = usize::try_from(place).ok().and_then(|place| image.get(place).copied()).unwrap_or(mixed as u8);
                }
                Some(())
            });
            prop_assert!(reads <= limits::READS, "{}: {} reads", kind, reads);
        }
    }

    #[test]
    fn any_label_comes_back(text in "[A-Z0-9_]{1,11}") {
        prop_assume!(text != "NO NAME");
        let images = [fat16(&text), fat32(&text), exfat(&text), ext4(&text), iso(&[(1, text.as_bytes(), b"")])];
        for image in images {
            let found = labels(&image);
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(&found[0].1, &text);
        }
    }
}

/// Runs a tool of this workstation; false when it is not installed.
fn tool(name: &str, arguments: &[&str], last: &str) -> bool {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(name);
    command.args(arguments).arg(last).env("PATH", path).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) => {
            assert!(status.success(), "{name} {arguments:?}: {status}");
            true
        }
        Err(error) => {
            eprintln!("{name}: {error}: what it makes is not tried");
            false
        }
    }
}

/// What the tools of a workstation make is read as what they were told to make.
#[test]
fn sticks_made_by_the_usual_tools() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let output = image.to_str().unwrap();
    let mut made = Vec::new();
    for (size, name, arguments, kind) in [
        (2, "mkfs.vfat", &["-F12", "-n", "AEGIS"][..], FileSystem::Vfat),
        (16, "mkfs.vfat", &["-F16", "-n", "AEGIS"], FileSystem::Vfat),
        (64, "mkfs.vfat", &["-F32", "-n", "AEGIS"], FileSystem::Vfat),
        (64, "mkfs.vfat", &["-F32", "-S4096", "-n", "AEGIS"], FileSystem::Vfat),
        (64, "mkfs.exfat", &["-n", "AEGIS"], FileSystem::Exfat),
        (64, "mkfs.exfat", &["-c", "4096", "-n", "AEGIS"], FileSystem::Exfat),
        (16, "mke2fs", &["-q", "-F", "-t", "ext4", "-L", "AEGIS"], FileSystem::Ext4),
        (16, "mke2fs", &["-q", "-F", "-t", "ext2", "-L", "AEGIS"], FileSystem::Ext4),
    ] {
        let file = fs::File::create(&image).unwrap();
        file.set_len(size << 20).unwrap();
        if tool(name, arguments, output) {
            let bytes = fs::read(&image).unwrap();
            assert_eq!(labels(&bytes), [(kind, "AEGIS".to_owned())], "{name} {arguments:?}");
            assert_eq!(find(b"AEGIS", reader(&bytes)), Some(kind));
            made.push(name);
        }
        // mtools knows no sectors of 4 KiB.
        if name == "mkfs.vfat" && !arguments.contains(&"-S4096") && tool("mlabel", &["-i", output], "::OTHER")
        {
            assert_eq!(labels(&fs::read(&image).unwrap()), [(kind, "OTHER".to_owned())], "{arguments:?}");
        }
    }
    let content = folder.path().join("content");
    fs::create_dir_all(content.join("aegis")).unwrap();
    fs::write(content.join("aegis/policy.aegis"), b"x").unwrap();
    for options in [&[][..], &["-J"], &["-R"], &["-J", "-R"]] {
        let arguments = [&["-quiet", "-V", "AEGIS", "-o", output], options].concat();
        if tool("genisoimage", &arguments, content.to_str().unwrap()) {
            let bytes = fs::read(&image).unwrap();
            assert_eq!(labels(&bytes), [(FileSystem::Iso9660, "AEGIS".to_owned())], "{options:?}");
            made.push("genisoimage");
        }
    }
    // These two are among what the project needs (image/deps).
    assert!(made.contains(&"mkfs.vfat") && made.contains(&"mke2fs"), "{made:?}");
}

#[test]
fn sticks_are_told_from_disks() {
    let pci = "/sys/devices/pci0000:00/0000:00:03.0";
    assert!(is_on_usb(format!("{pci}/usb1/1-1/1-1:1.0/host0/target0:0:0/0:0:0:0/block/sda/sda1").as_bytes()));
    assert!(!is_on_usb(format!("{pci}/virtio0/block/vdb/vdb1").as_bytes()));
    assert!(!is_on_usb(b"/sys/devices/platform/usbless/block/vda/vda1"));
}
