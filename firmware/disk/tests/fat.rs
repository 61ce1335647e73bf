//! A directory is ended behind its last name. `mkfs.vfat`, mtools and `fsck.fat` are the witnesses.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};

use aegis_disk::{Device, Ended, FatError, ShortName, end_directory};
use common::{Disk, MIB, tool};

const SIZE: u64 = 40 * MIB;
const PATH: [ShortName; 2] = [*b"EFI        ", *b"LINUX      "];

/// A FAT32 with a directory that had `names` files, of which those are left that `stays` picks.
fn made(folder: &Path, names: u32, stays: impl Fn(u32) -> bool) -> Disk {
    let (image, empty) = (folder.join("esp"), folder.join("empty"));
    let image_text = image.to_str().unwrap();
    std::fs::File::create(&image).unwrap().set_len(SIZE).unwrap();
    std::fs::write(&empty, b"").unwrap();
    tool("mkfs.vfat", &["-F", "32", "-s", "1", "--invariant", image_text], "");
    tool("mmd", &["-i", image_text, "::EFI", "::EFI/Linux"], "");
    for number in 0..names {
        let to = format!("::EFI/Linux/a-{number}+9.efi"); // a long name: two entries
        tool("mcopy", &["-i", image_text, empty.to_str().unwrap(), &to], "");
    }
    for number in (0..names).filter(|number| !stays(*number)) {
        tool("mdel", &["-i", image_text, &format!("::EFI/Linux/a-{number}+9.efi")], "");
    }
    Disk::from_file(&image, SIZE)
}

fn listed(folder: &Path, disk: &Disk) -> String {
    let path: PathBuf = folder.join("looked-at");
    disk.to_file(&path);
    let path = path.to_str().unwrap();
    tool("fsck.fat", &["-n", path], "");
    tool("mdir", &["-b", "-i", path, "::EFI/Linux"], "")
}

#[test]
fn what_is_gone_behind_the_last_name_has_never_been() {
    let folder = tempfile::tempdir().unwrap();
    // `.`, `..`, and 30 names of two entries: 62 of the 64 that four clusters have.
    let mut disk = made(folder.path(), 30, |number| number == 0 || number == 3);
    let before = listed(folder.path(), &disk);
    assert_eq!(before.lines().count(), 2, "{before}");
    // The last name ends with entry 2 + 4 * 2.
    assert_eq!(end_directory(&mut disk, &PATH), Ok(Ended { room: 64, entries: 10, written: 4 }));
    assert_eq!(listed(folder.path(), &disk), before);
    assert_eq!(end_directory(&mut disk, &PATH), Ok(Ended { room: 64, entries: 10, written: 0 }), "once");
}

#[test]
fn a_cut_anywhere_leaves_the_same_names() {
    let folder = tempfile::tempdir().unwrap();
    let whole = made(folder.path(), 30, |number| number == 1);
    let names = listed(folder.path(), &whole);
    let mut steps = whole.fresh();
    end_directory(&mut steps, &PATH).unwrap();
    assert!(steps.steps > 3);
    for cut in 0..steps.steps {
        let mut disk = whole.fresh();
        disk.cut = Some(cut);
        assert!(matches!(end_directory(&mut disk, &PATH), Err(FatError::Device(_))));
        for mut left in disk.survivors(8) {
            assert_eq!(listed(folder.path(), &left), names, "cut {cut}");
            let ended = end_directory(&mut left, &PATH).unwrap();
            assert_eq!((ended.room, ended.entries), (64, 6), "cut {cut}");
            assert!(left.same(&steps), "cut {cut}: the same in the end");
        }
    }
}

#[test]
fn pieces_of_a_name_that_is_gone_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = made(folder.path(), 30, |number| number == 0);
    let names = listed(folder.path(), &disk);
    // The directory's second cluster is number 5.
    let mut first = [0; 512];
    disk.read(0, &mut first).unwrap();
    let per_table = u64::from(u32::from_le_bytes(first[36..40].try_into().unwrap()));
    let second = (32 + 2 * per_table + 5 - 2) * 512;
    // The piece of a long name whose short entry a cut took.
    let mut piece = [0; 32];
    disk.read(second, &mut piece).unwrap();
    assert_eq!((piece[0], piece[11]), (0xe5, 0x0f));
    piece[0] = 0x41;
    disk.write(second, &piece).unwrap();
    assert_eq!(end_directory(&mut disk, &PATH), Ok(Ended { room: 64, entries: 4, written: 4 }));
    assert_eq!(listed(folder.path(), &disk), names);
    // Behind an end it may be of a name that Linux sees.
    disk.write(second, &piece).unwrap();
    assert_eq!(end_directory(&mut disk, &PATH), Ok(Ended { room: 64, entries: 4, written: 0 }));
}

#[test]
fn what_is_no_fat_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let whole = made(folder.path(), 3, |_| false);
    let changed = |at: u64, bytes: &[u8]| {
        let mut disk = whole.fresh();
        disk.write(at, bytes).unwrap();
        disk.fresh()
    };
    let nothing = |mut disk: Disk, error: FatError<&'static str>| {
        let before = disk.fresh();
        assert_eq!(end_directory(&mut disk, &PATH), Err(error));
        assert!(disk.same(&before));
    };
    nothing(Disk::new(SIZE), FatError::NotFat32);
    nothing(Disk::new(0), FatError::NotFat32);
    nothing(changed(510, &[0, 0]), FatError::NotFat32);
    nothing(changed(11, &[0, 8]), FatError::NotFat32); // sectors of 2,048 bytes
    nothing(changed(13, &[3]), FatError::NotFat32); // three sectors a cluster
    nothing(changed(13, &[0]), FatError::NotFat32);
    nothing(changed(16, &[0]), FatError::NotFat32);
    nothing(changed(32, &[0xff; 4]), FatError::NotFat32); // longer than the device
    nothing(changed(36, &[1, 0, 0, 0]), FatError::NotFat32); // a table for fewer clusters
    nothing(changed(44, &[0xff; 4]), FatError::NoDirectory);
    let mut other = whole.fresh();
    assert_eq!(end_directory(&mut other, &[*b"EFI        ", *b"WINDOWS    "]), Err(FatError::NoDirectory));
}

#[test]
fn a_chain_that_leads_round_or_astray_ends() {
    let folder = tempfile::tempdir().unwrap();
    let whole = made(folder.path(), 30, |number| number == 0);
    // 32 reserved sectors, then the table; `EFI` is cluster 3, `Linux` begins with 4.
    let mut round = whole.fresh();
    round.write(32 * 512 + 4 * 4, &4_u32.to_le_bytes()).unwrap();
    let before = round.fresh();
    assert_eq!(end_directory(&mut round, &PATH), Err(FatError::NoDirectory));
    assert!(round.same(&before));
    for (next, room) in [(0_u32, 16), (0x0fff_fff0, 16)] {
        let mut disk = whole.fresh();
        disk.write(32 * 512 + 4 * 4, &next.to_le_bytes()).unwrap();
        let ended = end_directory(&mut disk, &PATH).unwrap();
        assert_eq!(ended.room, room, "{next:#x}");
    }
}
