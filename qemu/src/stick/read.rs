//! Reads back what a guest left on a stick, without mounting it. All of it is the guest's, and may be hostile: only
//! plain names and plain files are taken, and every tool has its time.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::StickFs;
use super::exfat::Volume;
use super::make::copy_sparse;
use crate::check::is_plain_name;
use crate::error::Error;
use crate::limits;
use crate::tool;

/// Copies the files in the `aegis/out` of the stick at `image` to the folder `into`, which must exist: those with
/// plain names, at most [`limits::STICK_OUT_FILES`]. Returns their names, sorted.
///
/// # Errors
/// [`Error::Host`], saying why: no file system that is known, none that can be read, no `aegis/out`.
pub fn stick_outputs(image: &Path, into: &Path) -> Result<Vec<String>, Error> {
    let found = File::open(image).and_then(|file| detect(&file));
    let (fs, at) = found
        .map_err(|error| Error::io("read", image, &error))?
        .ok_or_else(|| Error::Host(format!("{}: no file system that is known", image.display())))?;
    match fs {
        StickFs::Vfat => vfat(image, at, into)?,
        StickFs::Exfat => File::open(image)
            .and_then(|file| Volume::open(file, at))
            .and_then(|volume| {
                volume.copy_out(&[limits::STICK_FOLDER, "out"], into, limits::STICK_OUT_FILES, is_plain_name)
            })
            .map_err(|error| Error::io("read", image, &error))?,
        StickFs::Ext4 => ext4(image, at, into)?,
        StickFs::Iso9660 => {
            return Err(Error::Host(format!("{}: iso9660, which no guest can write to", image.display())));
        }
    }
    let entries = fs::read_dir(into).map_err(|error| Error::io("read", into, &error))?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_plain_name(name))
        .collect();
    names.sort();
    names.truncate(limits::STICK_OUT_FILES);
    Ok(names)
}

/// Which file system is on an image, and at which byte: on the whole of it or in the first partition of an MBR.
pub(super) fn detect(image: &File) -> io::Result<Option<(StickFs, u64)>> {
    if let Some(fs) = detect_at(image, 0)? {
        return Ok(Some((fs, 0)));
    }
    let mut first = [0; 512];
    read_at(image, &mut first, 0)?;
    // First entry of the table at 446: type at 4, first sector at 8.
    if first[510..] != [0x55, 0xAA] || first[450] == 0 {
        return Ok(None);
    }
    let start = u32::from_le_bytes(first[454..458].try_into().expect("four bytes"));
    let at = u64::from(start) * 512;
    Ok(detect_at(image, at)?.map(|fs| (fs, at)))
}

fn detect_at(image: &File, at: u64) -> io::Result<Option<StickFs>> {
    let holds = |offset: u64, magic: &[u8]| -> io::Result<bool> {
        let mut bytes = vec![0; magic.len()];
        read_at(image, &mut bytes, at + offset)?;
        Ok(bytes == magic)
    };
    Ok(if holds(3, b"EXFAT   ")? {
        Some(StickFs::Exfat)
    } else if holds(54, b"FAT1")? || holds(82, b"FAT32")? {
        Some(StickFs::Vfat)
    } else if holds(1080, &[0x53, 0xEF])? {
        Some(StickFs::Ext4)
    } else if holds(32769, b"CD001")? {
        Some(StickFs::Iso9660)
    } else {
        None
    })
}

/// Fills `bytes` from `at` on; what lies behind the image's end is zeros.
fn read_at(image: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    match image.read_exact_at(bytes, at) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            bytes.fill(0);
            Ok(())
        }
        result => result,
    }
}

fn vfat(image: &Path, at: u64, into: &Path) -> Result<(), Error> {
    let mut drive: OsString = image.into();
    drive.push(format!("@@{at}"));
    let scratch = scratch_in(into)?;
    let source = format!("::/{}/out", limits::STICK_FOLDER);
    let plain = ["-s", "-n", "-i"].map(OsString::from);
    let rest = [drive, source.into(), scratch.path().into()];
    tool::bounded("mcopy", plain.into_iter().chain(rest), "", into).map_err(|error| on(image, &error))?;
    let from = scratch.path().join("out");
    for entry in fs::read_dir(&from).map_err(|error| Error::io("read", &from, &error))?.flatten() {
        let name = entry.file_name();
        let plain = name.to_str().is_some_and(is_plain_name);
        if plain && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            fs::rename(entry.path(), into.join(&name))
                .map_err(|error| Error::io("move", &entry.path(), &error))?;
        }
    }
    Ok(())
}

/// By way of a copy: a journal that was not emptied, as on a stick that was pulled, is played back there.
fn ext4(image: &Path, at: u64, into: &Path) -> Result<(), Error> {
    let scratch = scratch_in(into)?;
    let copy = scratch.path().join("ext4");
    copy_sparse(image, at, &copy, 0).map_err(|error| Error::io("copy", image, &error))?;
    // It fails also when it mended something; what is beyond mending shows below.
    let _ = tool::bounded("e2fsck", ["-fy".into(), copy.clone().into_os_string()], "", into);
    let debugfs = |script: &str| {
        tool::bounded("debugfs", ["-f".into(), "-".into(), copy.clone().into_os_string()], script, into)
            .map_err(|error| on(image, &error))
    };

    let out = format!("/{}/out", limits::STICK_FOLDER);
    let listing = debugfs(&format!("ls -p {out}\n"))?;
    let listing = String::from_utf8_lossy(&listing);
    // "/inode/mode/uid/gid/name/size/", and with "." in every folder.
    let entries = || {
        listing.lines().filter_map(|line| match line.split('/').collect::<Vec<_>>()[..] {
            ["", inode, mode, _, _, name, _, ""] => Some((inode.parse::<u32>().ok()?, mode, name)),
            _ => None,
        })
    };
    if entries().next().is_none() {
        return Err(Error::Host(format!("{}: no folder {out}", image.display())));
    }
    let regular = entries().filter(|(_, mode, name)| mode.starts_with("100") && is_plain_name(name));
    let dumps = regular.take(limits::STICK_OUT_FILES);
    let script: Vec<String> = dumps.map(|(inode, _, name)| format!("dump <{inode}> {name}\n")).collect();
    debugfs(&script.concat()).map(drop)
}

/// What a tool said of an image, with the image's name.
fn on(image: &Path, error: &Error) -> Error {
    Error::Host(format!("{}: {error}", image.display()))
}

fn scratch_in(into: &Path) -> Result<tempfile::TempDir, Error> {
    tempfile::tempdir_in(into).map_err(|error| Error::io("make a folder", into, &error))
}

#[cfg(test)]
mod tests {
    use super::super::Stick;
    use super::*;
    use crate::tool;

    /// Bytes that differ from place to place.
    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
    }

    /// What `aegis/roots/2.cbor` holds, by the file system's own tool.
    fn root_of(kind: StickFs, image: &Path) -> Vec<u8> {
        let (folder, name) = (image.parent().expect("in a folder"), image.to_str().expect("text"));
        let said = |tool, arguments: &[&str]| tool::bounded(tool, arguments, "", folder).expect(tool);
        match kind {
            StickFs::Vfat => said("mtype", &["-i", name, "::/aegis/roots/2.cbor"]),
            StickFs::Ext4 => said("debugfs", &["-R", "cat /aegis/roots/2.cbor", name]),
            StickFs::Iso9660 => said("isoinfo", &["-R", "-i", name, "-x", "/aegis/roots/2.cbor"]),
            // It has none that does.
            StickFs::Exfat => {
                let volume = File::open(image).and_then(|file| Volume::open(file, 0)).expect("a volume");
                let into = tempfile::tempdir().expect("a temporary folder");
                volume.copy_out(&["aegis", "roots"], into.path(), 1, |_| true).expect("copied");
                fs::read(into.path().join("2.cbor")).expect("there")
            }
        }
    }

    #[test]
    fn an_iso_has_our_files_and_nothing_comes_back_on_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("root"), content(5000)).expect("written");
        let stick = Stick::new(StickFs::Iso9660).file("roots/2.cbor", at("root"));
        stick.make(&at("image")).expect("made");
        assert!(root_of(StickFs::Iso9660, &at("image")) == content(5000));
        assert!(stick.is_read_only(&at("image")));
        let error = stick_outputs(&at("image"), folder.path()).expect_err("it can't be written to");
        assert!(error.to_string().contains("iso9660"), "{error}");
    }

    #[test]
    fn what_goes_on_a_stick_comes_off_it_and_its_checker_is_content() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        // More names than a cluster of a folder holds, lengths about a cluster's, one file of many clusters.
        let lengths = [0, 1, 4095, 4096, 4097, 300_000];
        let mut files: Vec<(String, usize)> =
            lengths.iter().map(|n| (format!("receipt-{n}.cbor"), *n)).collect();
        files.extend((0..150).map(|n| (format!("a-name-longer-than-one-entry-of-fifteen-{n}.cbor"), n)));
        for (name, length) in &files {
            fs::write(at(name), content(*length)).expect("written");
        }
        for (kind, checker) in [
            (StickFs::Vfat, &["fsck.vfat", "-n"]),
            (StickFs::Exfat, &["fsck.exfat", "-n"]),
            (StickFs::Ext4, &["e2fsck", "-fn"]),
        ] {
            for partitioned in [false, true] {
                let mut stick = Stick::new(kind).file("roots/2.cbor", at("receipt-4097.cbor"));
                for (name, _) in &files {
                    stick = stick.file(format!("out/{name}"), at(name));
                }
                if partitioned {
                    stick = stick.partitioned();
                }
                let image = at("stick.img");
                stick.make(&image).expect("made");
                let found = detect(&File::open(&image).expect("there")).expect("read");
                let start = if partitioned { limits::PARTITION_START_BYTES } else { 0 };
                assert_eq!(found, Some((kind, start)));
                assert_eq!(fs::metadata(&image).expect("there").len(), limits::STICK_BYTES);

                let (into, plain) = (at("into"), at("plain.img"));
                fs::create_dir(&into).expect("made");
                let names = stick_outputs(&image, &into).expect("read back");
                assert_eq!(names.len(), files.len(), "{kind:?}");
                for (name, length) in &files {
                    assert!(fs::read(into.join(name)).expect(name) == content(*length), "{kind:?} {name}");
                }
                copy_sparse(&image, start, &plain, 0).expect("copied");
                assert!(root_of(kind, &plain) == content(4097), "{kind:?}");
                tool::run(checker[0], [checker[1].as_ref(), plain.as_os_str()], "").expect("clean");
                for path in [image, plain] {
                    fs::remove_file(path).expect("removed");
                }
                fs::remove_dir_all(into).expect("removed");
            }
        }
    }

    #[test]
    fn a_stick_without_a_file_system_or_without_our_folder_says_so() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (image, into) = (folder.path().join("image"), folder.path().join("into"));
        fs::create_dir(&into).expect("made");
        fs::write(&image, vec![0xA5; 1 << 20]).expect("written");
        assert!(stick_outputs(&image, &into).is_err());
        for tool in [&["mkfs.vfat"][..], &["mkfs.exfat"], &["mke2fs", "-q", "-F", "-t", "ext4"]] {
            fs::write(&image, vec![0; 16 << 20]).expect("written");
            let arguments = tool[1..].iter().map(OsString::from).chain([image.clone().into()]);
            tool::run(tool[0], arguments, "").expect("made");
            let error = stick_outputs(&image, &into).expect_err("there is no aegis/out");
            assert_eq!(error.exit_code(), 3, "{error}");
        }
    }

    #[test]
    fn no_exfat_however_broken_is_a_panic_or_an_endless_chain() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), content(5000)).expect("written");
        Stick::new(StickFs::Exfat).file("out/a.cbor", at("file")).make(&at("image")).expect("made");
        fs::create_dir(at("into")).expect("made");
        let image = File::options().read(true).write(true).open(at("image")).expect("there");
        // Where mkfs.exfat 1.2 puts boot sector and FAT; clusters of 4 KiB: the root is the 5th, then the file's two,
        // then the folders out and aegis.
        let (fat, heap) = (1 << 20, 2 << 20);
        let folders =
            [5, 8, 9].into_iter().flat_map(|cluster| (0..256).map(move |at| (cluster - 2) * 4096 + at));
        for place in (0..128).chain(fat..fat + 64).chain(folders.map(|at| heap + at)) {
            let mut good = [0];
            image.read_exact_at(&mut good, place).expect("read");
            for value in [0x00, 0x05, 0xFF] {
                image.write_all_at(&[value], place).expect("written");
                // Whatever it answers, it does.
                let _ = stick_outputs(&at("image"), &at("into"));
            }
            image.write_all_at(&good, place).expect("written");
        }
        let names = stick_outputs(&at("image"), &at("into")).expect("all is as it was");
        assert_eq!(names, ["a.cbor"]);
        image.write_all_at(&5u32.to_le_bytes(), fat + 5 * 4).expect("written");
        assert!(stick_outputs(&at("image"), &at("into")).is_err(), "the root folder's chain has no end");
    }
}
