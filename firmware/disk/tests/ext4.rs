//! What a data partition holds, and the empty file system that is put there. `mke2fs` and `e2fsck` are the witnesses.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use aegis_disk::{Content, Device, RestoreError, content, restore};
use common::{Disk, MIB, template, tool};

const UUID: [u8; 16] = [0x5a; 16];
const SEED: [u8; 16] = [0xa5; 16];
const SIZE: u64 = 16 * MIB;

fn made(folder: &Path) -> Disk {
    let path = folder.join("template");
    template(&path, SIZE);
    Disk::from_file(&path, SIZE)
}

#[test]
fn the_empty_file_system_is_whole_and_this_device_s_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut from = made(folder.path());
    let mut disk = Disk::new(50 * MIB);
    for at in 0..50 {
        disk.write(at * MIB, &vec![0xff; 70_000]).unwrap();
    }
    let file_system = restore(&mut from, &mut disk, UUID, SEED).unwrap();
    assert_eq!((file_system.bytes, file_system.block_bytes, file_system.uuid), (SIZE, 4096, UUID));
    assert_eq!(content(&mut disk).unwrap(), Content::Ours(file_system));
    let path = folder.path().join("disk");
    disk.to_file(&path);
    let path = path.to_str().unwrap();
    tool("e2fsck", &["-fn", path], "");
    let said = tool("dumpe2fs", &["-h", path], "");
    assert!(said.contains("5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a"), "{said}");
    assert!(said.contains("a5a5a5a5-a5a5-a5a5-a5a5-a5a5a5a5a5a5"), "{said}");
    // It grows, and is whole then, too.
    tool("resize2fs", &[path], "");
    tool("e2fsck", &["-fn", path], "");
}

#[test]
fn the_same_image_is_made_twice() {
    let folder = tempfile::tempdir().unwrap();
    let first = made(folder.path());
    assert!(first.same(&made(folder.path())));
}

#[test]
fn what_is_ours_is_told_from_all_else() {
    let folder = tempfile::tempdir().unwrap();
    let ours = made(folder.path());
    assert!(matches!(content(&mut ours.fresh()), Ok(Content::Ours(_))));
    assert_eq!(content(&mut Disk::new(SIZE)), Ok(Content::Blank));
    assert_eq!(content(&mut Disk::new(0)), Ok(Content::Blank));
    let changed = |at: u64, bytes: &[u8]| {
        let mut disk = ours.fresh();
        disk.write(at, bytes).unwrap();
        content(&mut disk).unwrap()
    };
    for (at, bytes) in [
        (1024 + 0x38, &b"XX"[..]),
        (1024 + 0x78, b"aegis-dat\0"),
        (1024 + 0x78, b"aegis-data2"),
        (1024 + 0x18, &[0xff; 4]),
        (1024 + 0x150, &[0xff; 4]),
    ] {
        assert_eq!(changed(at, bytes), Content::Foreign, "{at}");
    }
    let path = folder.path().join("other");
    std::fs::File::create(&path).unwrap().set_len(SIZE).unwrap();
    tool("mke2fs", &["-q", "-F", "-t", "ext4", "-L", "other", path.to_str().unwrap()], "");
    assert_eq!(content(&mut Disk::from_file(&path, SIZE)), Ok(Content::Foreign));
    let mut unreadable = ours.fresh();
    unreadable.unreadable = Some(1100);
    assert_eq!(content(&mut unreadable), Err("unreadable"));
}

#[test]
fn what_is_no_template_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let good = made(folder.path());
    let mut label = good.fresh();
    label.write(1024 + 0x78, b"x").unwrap();
    let mut length = good.fresh();
    length.write(1024 + 4, &[1]).unwrap();
    let mut sums = good.fresh();
    sums.write(1024 + 0x65, &[0x04]).unwrap();
    for (name, from) in [
        ("label", label),
        ("length", length),
        ("sums", sums),
        ("blank", Disk::new(SIZE)),
        ("empty", Disk::new(0)),
    ] {
        let mut disk = Disk::new(SIZE);
        assert_eq!(
            restore(&mut from.fresh(), &mut disk, UUID, SEED),
            Err(RestoreError::NotATemplate),
            "{name}"
        );
        assert_eq!(disk.steps, 0, "{name}");
    }
    let mut small = Disk::new(SIZE - 4096);
    assert_eq!(restore(&mut good.fresh(), &mut small, UUID, SEED), Err(RestoreError::TooSmall));
    assert_eq!(small.steps, 0);
}

/// Ours means whole: whatever was there, also an older one of ours with another superblock than its blocks.
#[test]
fn the_power_may_go_at_any_step() {
    let folder = tempfile::tempdir().unwrap();
    let from = made(folder.path());
    let whole = {
        let mut disk = Disk::new(SIZE);
        restore(&mut from.fresh(), &mut disk, UUID, SEED).unwrap();
        disk
    };
    let junk = {
        let mut disk = Disk::new(SIZE);
        for at in 0..SIZE / MIB {
            disk.write(at * MIB, &vec![0xee; 100_000]).unwrap();
        }
        disk.fresh()
    };
    // A second sector of a superblock that is not ours.
    let mut half = Disk::new(SIZE);
    half.write(1536, &[0xee; 512]).unwrap();
    let mut disks = 0;
    for before in [Disk::new(SIZE), junk, half.fresh()] {
        // All that is between the first steps and the last is alike.
        for cut in (0..=whole.steps).filter(|cut| *cut < 6 || *cut + 8 > whole.steps || cut % 40 == 0) {
            let mut disk = before.fresh();
            disk.cut = Some(cut);
            let done = restore(&mut from.fresh(), &mut disk, UUID, SEED).is_ok();
            for mut left in disk.survivors(4) {
                disks += 1;
                match content(&mut left).unwrap() {
                    Content::Ours(_) => assert!(left.same(&whole), "cut {cut}"),
                    Content::Blank | Content::Foreign => assert!(!done, "cut {cut}"),
                }
            }
        }
    }
    println!("{disks} disks");
}
