//! Makes the guest's own disks without root: ring and data (GPT), workload (squashfs). Sticks: `stick.rs`.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::Path;

use crate::error::Error;
use crate::limits;
use crate::tool;

/// GPT type "Linux filesystem data".
const LINUX_DATA: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
const SECTOR: u64 = 512;

/// Fixed names of one disk, so that the same input makes the same disk.
struct Layout<'a> {
    disk_id: &'a str,
    partition_id: &'a str,
    label: &'a str,
    bytes: u64,
}

impl Layout<'_> {
    const fn partition_bytes(&self) -> u64 {
        self.bytes - 2 * limits::PARTITION_START_BYTES
    }

    /// A sparse file of this layout at `path`, by way of a temporary name: a killed run leaves no half disk.
    fn make(&self, path: &Path, fill: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
        let temporary = with_suffix(path, ".new");
        sparse(&temporary, self.bytes)?;
        let script = format!(
            "label: gpt\nlabel-id: {}\nunit: sectors\nstart={}, size={}, type={LINUX_DATA}, uuid={}, name={}\n",
            self.disk_id,
            limits::PARTITION_START_BYTES / SECTOR,
            self.partition_bytes() / SECTOR,
            self.partition_id,
            self.label,
        );
        tool::run(
            "sfdisk",
            [OsStr::new("--quiet"), OsStr::new("--no-reread"), temporary.as_os_str()],
            &script,
        )?;
        fill(&temporary)?;
        fs::rename(&temporary, path).map_err(|error| Error::io("rename", &temporary, &error))
    }
}

fn with_suffix(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name: OsString = path.as_os_str().into();
    name.push(suffix);
    name.into()
}

/// A file of `bytes` without content.
pub(crate) fn sparse(path: &Path, bytes: u64) -> Result<(), Error> {
    let file = File::create(path).map_err(|error| Error::io("create", path, &error))?;
    file.set_len(bytes).map_err(|error| Error::io("size", path, &error))
}

/// A disk with one empty partition labelled `aegis-ring`.
pub(crate) fn ring(path: &Path, bytes: u64) -> Result<(), Error> {
    let layout = Layout {
        disk_id: "AE615000-0000-4000-8000-000000000001",
        partition_id: "AE615000-0000-4000-8000-000000000011",
        label: "aegis-ring",
        bytes,
    };
    layout.make(path, |_| Ok(()))
}

/// A disk with one empty ext4 partition labelled `aegis-data`.
pub(crate) fn data(path: &Path, bytes: u64) -> Result<(), Error> {
    let layout = Layout {
        disk_id: "AE615000-0000-4000-8000-000000000002",
        partition_id: "AE615000-0000-4000-8000-000000000012",
        label: "aegis-data",
        bytes,
    };
    layout.make(path, |disk| {
        // Everything is laid out now: a lazy kernel thread would write at its own times, which power-cut tests feel.
        let options = format!(
            "offset={},nodiscard,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0",
            limits::PARTITION_START_BYTES
        );
        let size = format!("{}k", layout_kib(bytes));
        // The superblock has two sectors and its checksum is in the second: torn in a power cut, it would not be mounted
        // again. Everything else that is written in place is in the journal too.
        let without = ["-O", "^metadata_csum"];
        // As much of it is root's alone as on a device (`image/data-template`).
        let kind = ["-q", "-F", "-t", "ext4", "-m", "25", "-L", "aegis-data"];
        let mut arguments: Vec<OsString> =
            kind.into_iter().chain(without).chain(["-E"]).map(OsString::from).collect();
        arguments.extend([options.into(), disk.as_os_str().to_owned(), size.into()]);
        tool::run("mke2fs", arguments, "")
    })
}

/// Puts `file` into a data disk as `/aegis/config.toml`, in place of one that is there. `scratch` is a folder for the way.
pub(crate) fn config(disk: &Path, file: &Path, scratch: &Path) -> Result<(), Error> {
    // debugfs reads names in its own script: this one needs no quoting.
    let copy = scratch.join("config.toml");
    fs::copy(file, &copy).map_err(|error| Error::io("copy", file, &error))?;
    let mut place = disk.as_os_str().to_owned();
    place.push(format!("?offset={}", limits::PARTITION_START_BYTES));
    // A journal that a power cut left is played back, as the guest would; what it finds to mend is an exit code, too.
    let _ = tool::bounded("e2fsck", [OsStr::new("-fy"), &place], "", scratch);
    let debugfs = |script: &str| {
        let arguments = [OsStr::new("-w"), OsStr::new("-f"), OsStr::new("-"), &place];
        tool::bounded("debugfs", arguments, script, scratch)
    };
    // It makes a second one of a folder that is there.
    let make =
        if debugfs("ls /\n")?.windows(6).any(|name| name == b"aegis ") { "" } else { "mkdir /aegis\n" };
    debugfs(&format!(
        "{make}set_inode_field /aegis mode 040700\ncd /aegis\nrm config.toml\n\
        write config.toml config.toml\nset_inode_field config.toml mode 0100600\n"
    ))?;
    let said = tool::bounded(
        "debugfs",
        [OsStr::new("-R"), OsStr::new("cat /aegis/config.toml"), &place],
        "",
        scratch,
    )?;
    if fs::read(&copy).is_ok_and(|bytes| bytes == said) {
        Ok(())
    } else {
        Err(Error::Host(format!("{}: the configuration can't be put there", disk.display())))
    }
}

/// A disk of `bytes` with the image at its beginning. One that is there already is only made larger.
pub(crate) fn whole(path: &Path, image: &Path, bytes: u64) -> Result<(), Error> {
    let temporary = with_suffix(path, ".new");
    let there = path.exists();
    let now = if there { path } else { &temporary };
    if !there {
        let words = ["--sparse=always", "--"].map(OsString::from);
        tool::run("cp", words.into_iter().chain([image.into(), temporary.clone().into()]), "")?;
    }
    let grow = |file: File| match file.metadata()?.len() {
        length if length < bytes => file.set_len(bytes),
        _ => Ok(()),
    };
    let grown = File::options().write(true).open(now).and_then(grow);
    grown.map_err(|error| Error::io("size", now, &error))?;
    if there {
        Ok(())
    } else {
        fs::rename(&temporary, path).map_err(|error| Error::io("rename", path, &error))
    }
}

const fn layout_kib(disk_bytes: u64) -> u64 {
    (disk_bytes - 2 * limits::PARTITION_START_BYTES) / 1024
}

/// A squashfs of folder `source`, everything owned by root.
pub(crate) fn workload(path: &Path, source: &Path) -> Result<(), Error> {
    let mut arguments: Vec<OsString> = vec![source.into(), path.into()];
    arguments.extend(
        ["-comp", "zstd", "-all-root", "-noappend", "-no-xattrs", "-no-progress", "-quiet"]
            .map(OsString::from),
    );
    tool::run("mksquashfs", arguments, "")?;
    // A kernel that looks for partition tables reads beyond a tiny disk, and complains.
    let file = File::options().write(true).open(path).map_err(|error| Error::io("open", path, &error))?;
    let bytes = file.metadata().map_err(|error| Error::io("size", path, &error))?.len();
    file.set_len(bytes.next_multiple_of(1 << 20)).map_err(|error| Error::io("size", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;

    fn bytes_at(path: &Path, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        File::open(path)
            .expect("the disk is there")
            .read_exact_at(&mut bytes, at)
            .expect("the disk is that long");
        bytes
    }

    #[test]
    fn the_ring_disk_has_one_partition_with_its_label() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("ring.img");
        ring(&path, 8 << 20).expect("made");
        assert_eq!(fs::metadata(&path).expect("there").len(), 8 << 20);
        assert_eq!(bytes_at(&path, 512, 8), b"EFI PART");
        // First partition entry (UEFI 2.10, 5.3.3): first LBA at 32, last at 40, name in UTF-16LE at 56.
        let entry = bytes_at(&path, 1024, 128);
        assert_eq!(u64::from_le_bytes(entry[32..40].try_into().expect("8 bytes")), 2048);
        assert_eq!(u64::from_le_bytes(entry[40..48].try_into().expect("8 bytes")), (7 << 11) - 1);
        let name: Vec<u8> = entry[56..76].iter().copied().filter(|byte| *byte != 0).collect();
        assert_eq!(name, b"aegis-ring");
        let again = folder.path().join("again.img");
        ring(&again, 8 << 20).expect("made");
        assert!(fs::read(path).expect("there") == fs::read(again).expect("there"), "the same disk twice");
    }

    #[test]
    fn the_data_disk_holds_an_ext4_that_ends_before_the_second_table() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("data.img");
        data(&path, limits::DATA_DISK_BYTES).expect("made");
        let superblock = bytes_at(&path, limits::PARTITION_START_BYTES + 1024, 1024);
        assert_eq!(superblock[56..58], [0x53, 0xef]);
        let blocks = u64::from(u32::from_le_bytes(superblock[4..8].try_into().expect("4 bytes")));
        let size = 1024u64 << u32::from_le_bytes(superblock[24..28].try_into().expect("4 bytes"));
        assert!(blocks * size <= limits::DATA_DISK_BYTES - 2 * limits::PARTITION_START_BYTES);
        assert_eq!(&superblock[120..130], b"aegis-data");
        // s_feature_ro_compat, EXT4_FEATURE_RO_COMPAT_METADATA_CSUM.
        assert_eq!(u32::from_le_bytes(superblock[100..104].try_into().expect("4 bytes")) & 0x400, 0);
        assert_eq!(bytes_at(&path, limits::DATA_DISK_BYTES - 512, 8), b"EFI PART");
    }

    #[test]
    fn a_configuration_gets_to_its_place_and_is_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        data(&at("data.img"), limits::DATA_DISK_BYTES).expect("made");
        fs::create_dir(at("scratch")).expect("made");
        for text in ["[ring]\nsync = \"each\"\n", ""] {
            fs::write(at("given"), text).expect("written");
            config(&at("data.img"), &at("given"), &at("scratch")).expect("put there");
        }
        // Still one whole file system at its place, and nothing beside it.
        let place = format!("{}?offset={}", at("data.img").display(), limits::PARTITION_START_BYTES);
        tool::bounded("e2fsck", ["-fn", &place], "", folder.path()).expect("good");
        assert_eq!(bytes_at(&at("data.img"), limits::DATA_DISK_BYTES - 512, 8), b"EFI PART");
    }

    #[test]
    fn a_workload_disk_is_a_squashfs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let source = folder.path().join("demo");
        fs::create_dir(&source).expect("made");
        fs::write(source.join("run"), "#!/bin/sh\n").expect("written");
        let path = folder.path().join("workload.img");
        workload(&path, &source).expect("made");
        assert_eq!(bytes_at(&path, 0, 4), b"hsqs");
    }
}
