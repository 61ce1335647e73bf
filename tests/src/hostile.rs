//! Sticks that mean harm, made without root: [`aegis_qemu::Stick::image`] plugs them in. Each is the same every time.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aegis_qemu::{Stick, StickFs};

/// Names that would drive a terminal, forge a line of a log, pass for an option or are no UTF-8. All end in `.aegis`.
pub const NAMES: [&[u8]; 14] = [
    b"line\nfeed.aegis",
    b"x\nAEGIS-READY 0.01\n.aegis",
    b"x\r\nAEGIS-DONE\r\n.aegis",
    b"\r.aegis",
    b"tab\t.aegis",
    b"bell\x07.aegis",
    b"back\x08\x08\x08\x08.aegis",
    b"\x1b[2J\x1b[31mred.aegis",
    b"\x1b]0;title\x07.aegis",
    b"\xc2\x9b31m.aegis",
    b"\xe2\x80\xae gpj.aegis",
    b"\xff\xfe\x80.aegis",
    b"-rf.aegis",
    b"$(reboot);`reboot`'\".aegis",
];

/// Symbolic links in `aegis/` of [`symlink_loops`], name and target.
pub const LINKS: [(&str, &str); 12] = [
    ("self.aegis", "self.aegis"),
    ("ping.aegis", "pong.aegis"),
    ("pong.aegis", "ping.aegis"),
    ("up.aegis", "../aegis/up.aegis"),
    ("here.aegis", "."),
    ("deep.aegis", "roots/2.cbor"),
    ("shadow.aegis", "/etc/shadow"),
    ("key.aegis", "/data/aegis/device.key"),
    ("zero.aegis", "/dev/zero"),
    ("roots", "../aegis/roots"),
    ("break-glass", "/data/aegis"),
    ("out", "/data/aegis"),
];

/// What is in `aegis/` of [`special_files`].
pub const SPECIAL: [&str; 4] = ["pipe.aegis", "zero.aegis", "disk.aegis", "huge.aegis"];

/// All of them, made in `folder`: what each is called, and its image.
///
/// # Errors
/// When one can't be made.
pub fn sticks(folder: &Path) -> io::Result<Vec<(&'static str, PathBuf)>> {
    let bundle = folder.join("no-bundle");
    fs::write(&bundle, vec![0xA5; 5000])?;
    let files: &[(&str, &Path)] = &[("first.aegis", &bundle), ("second.aegis", &bundle)];
    let mut made = Vec::new();
    let mut make = |name: &'static str, with: &dyn Fn(&Path) -> io::Result<()>| {
        let image = folder.join(format!("{name}.img"));
        with(&image)?;
        made.push((name, image));
        io::Result::Ok(())
    };
    make("symlink-loops", &symlink_loops)?;
    make("crowd", &|image| crowd(image, 10_000, files))?;
    make("control-names", &|image| control_names(image, &bundle))?;
    make("special-files", &special_files)?;
    make("linked-to-etc", &|image| linked_aegis(image, "/etc"))?;
    make("linked-to-data", &|image| linked_aegis(image, "/data/aegis"))?;
    make("without-aegis", &without_aegis)?;
    make("noisy-fat", &|image| noisy_fat(image, 1, files))?;
    make("endless-folder", &|image| endless_folder(image, files))?;
    Ok(made)
}

/// A program that must succeed; its stdout.
fn tool(name: &str, arguments: &[&OsStr]) -> io::Result<Vec<u8>> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let mut command = Command::new(name);
    command.args(arguments).env("PATH", path).env("LC_ALL", "C").stdin(Stdio::null());
    let output =
        command.output().map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{name}: {}: {said}", output.status)))
}

/// An ext4 stick at `image` whose content `fill` puts in a folder; `inodes` for that many files.
fn ext4(image: &Path, inodes: usize, fill: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let content = tempfile::tempdir()?;
    fill(content.path())?;
    File::create(image)?.set_len(64 << 20)?;
    let inodes = (inodes + 64).to_string();
    let arguments =
        ["-q", "-F", "-t", "ext4", "-m", "0", "-L", "AEGIS", "-N", inodes.as_str()].map(OsStr::new);
    let options = "root_owner=0:0,nodiscard,lazy_itable_init=0,lazy_journal_init=0";
    let rest =
        ["-E".as_ref(), options.as_ref(), "-d".as_ref(), content.path().as_os_str(), image.as_os_str()];
    tool("mke2fs", &[&arguments[..], &rest[..]].concat()).map(drop)
}

/// An ext4 whose `aegis/` is full of symbolic links ([`LINKS`]): loops, ways out of the stick, and folders of ours
/// that are links.
///
/// # Errors
/// When it can't be made.
pub fn symlink_loops(image: &Path) -> io::Result<()> {
    ext4(image, LINKS.len(), |root| {
        fs::create_dir_all(root.join("aegis"))?;
        for (name, target) in LINKS {
            symlink(target, root.join("aegis").join(name))?;
        }
        Ok(())
    })
}

/// An ext4 with `count` empty bundles in `aegis/`, and among them `also` (name, file), in no order that anyone chose.
///
/// # Errors
/// When it can't be made.
pub fn crowd(image: &Path, count: usize, also: &[(&str, &Path)]) -> io::Result<()> {
    ext4(image, count + also.len(), |root| {
        let aegis = root.join("aegis");
        fs::create_dir_all(aegis.join("out"))?;
        for number in 0..count {
            File::create(aegis.join(format!("crowd-{number:05}.aegis")))?;
        }
        for (name, file) in also {
            fs::copy(file, aegis.join(name))?;
        }
        Ok(())
    })
}

/// An ext4 with `bundle` in `aegis/` under each of [`NAMES`].
///
/// # Errors
/// When it can't be made.
pub fn control_names(image: &Path, bundle: &Path) -> io::Result<()> {
    ext4(image, NAMES.len(), |root| {
        let aegis = root.join("aegis");
        fs::create_dir_all(aegis.join("out"))?;
        for name in NAMES {
            fs::copy(bundle, aegis.join(OsStr::from_bytes(name)))?;
        }
        Ok(())
    })
}

/// An ext4 with things in `aegis/` that look like bundles ([`SPECIAL`]) and are a pipe without a writer, `/dev/zero`, the
/// first USB disk, and a set-user-id file of 64 GiB; all are open to all.
///
/// # Errors
/// When it can't be made.
pub fn special_files(image: &Path) -> io::Result<()> {
    ext4(image, SPECIAL.len(), |root| {
        fs::create_dir_all(root.join("aegis/out"))?;
        File::create(root.join("aegis/huge.aegis"))?.set_len(64 << 30)
    })?;
    // Made in the image: devices are root's to make anywhere else. debugfs makes them in the folder it is in.
    let script = tempfile::NamedTempFile::new()?;
    let lines = "cd aegis
        mknod pipe.aegis p
        mknod zero.aegis c 1 5
        mknod disk.aegis b 8 0
        set_inode_field pipe.aegis mode 0010666
        set_inode_field zero.aegis mode 0020666
        set_inode_field disk.aegis mode 0060666
        set_inode_field huge.aegis mode 0106777";
    fs::write(script.path(), lines)?;
    tool("debugfs", &["-w".as_ref(), "-f".as_ref(), script.path().as_os_str(), image.as_os_str()]).map(drop)
}

/// An ext4 whose `aegis` is a symbolic link.
///
/// # Errors
/// When it can't be made.
pub fn linked_aegis(image: &Path, target: &str) -> io::Result<()> {
    ext4(image, 1, |root| symlink(target, root.join("aegis")))
}

/// A stick of our label, in ext4, without `aegis/`.
///
/// # Errors
/// When it can't be made.
pub fn without_aegis(image: &Path) -> io::Result<()> {
    ext4(image, 1, |root| fs::write(root.join("holiday.jpg"), [0xFF, 0xD8]))
}

/// A vfat with these files (name, file) in `aegis/`, then both its FATs overwritten by noise.
///
/// # Errors
/// When it can't be made.
pub fn noisy_fat(image: &Path, seed: u64, files: &[(&str, &Path)]) -> io::Result<()> {
    let fat = Fat::make(image, files)?;
    // SplitMix64 (Steele, Lea, Flood 2014).
    let mut state = seed;
    let mut noise = vec![0; fat.bytes];
    for chunk in noise.chunks_mut(8) {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        let bytes = (word ^ word >> 31).to_le_bytes();
        chunk.copy_from_slice(&bytes[..chunk.len()]);
    }
    fat.image.write_all_at(&noise, fat.at)
}

/// A vfat with these files (name, file) in `aegis/`, which is a folder without an end: its chain comes back to it.
///
/// # Errors
/// When it can't be made.
pub fn endless_folder(image: &Path, files: &[(&str, &Path)]) -> io::Result<()> {
    let fat = Fat::make(image, files)?;
    let mut root = vec![0; fat.root_bytes];
    fat.image.read_exact_at(&mut root, fat.at + fat.bytes as u64)?;
    // A directory entry: name at 0, attributes at 11 (0x10: folder, 0x08: the label), first cluster at 26.
    let entry = root.chunks(32).find(|entry| entry.starts_with(b"AEGIS      ") && entry[11] & 0x18 == 0x10);
    let entry = entry.ok_or_else(strange)?;
    let first = u16::from_le_bytes([entry[26], entry[27]]);
    for table in 0..fat.tables {
        let at = fat.at + table * (fat.bytes as u64 / fat.tables) + u64::from(first) * 2;
        fat.image.write_all_at(&first.to_le_bytes(), at)?;
    }
    Ok(())
}

fn strange() -> io::Error {
    io::Error::other("the harness's vfat stick is no FAT16 with aegis/ any more")
}

/// A FAT16 stick and where its tables are.
struct Fat {
    image: File,
    at: u64,
    /// Of all tables together.
    bytes: usize,
    tables: u64,
    root_bytes: usize,
}

impl Fat {
    fn make(image: &Path, files: &[(&str, &Path)]) -> io::Result<Self> {
        let stick =
            files.iter().fold(Stick::new(StickFs::Vfat), |stick, (name, file)| stick.file(*name, *file));
        stick.make(image).map_err(io::Error::other)?;
        let image = File::options().read(true).write(true).open(image)?;
        let mut boot = [0; 512];
        image.read_exact_at(&mut boot, 0)?;
        // Microsoft, "FAT: General Overview of On-Disk Format" 1.03: the BIOS parameter block.
        let word = |at: usize| u64::from(u16::from_le_bytes(boot[at..at + 2].try_into().expect("two bytes")));
        let (sector, reserved, tables, entries, length) =
            (word(11), word(14), u64::from(boot[16]), word(17), word(22));
        if &boot[54..62] != b"FAT16   " || length == 0 {
            return Err(strange());
        }
        let bytes = (tables * length * sector) as usize;
        Ok(Self { image, at: reserved * sector, bytes, tables, root_bytes: entries as usize * 32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What debugfs says to a command; and the file system is whole: what is hostile is what is in it.
    fn debugfs(image: &Path, command: &str) -> String {
        tool("e2fsck", &["-fn".as_ref(), image.as_os_str()]).expect("whole");
        let said = tool("debugfs", &["-R".as_ref(), command.as_ref(), image.as_os_str()]).expect("answered");
        String::from_utf8_lossy(&said).into_owned()
    }

    struct Bench(tempfile::TempDir);

    impl Bench {
        fn new() -> Self {
            let bench = Self(tempfile::tempdir().expect("a temporary folder"));
            fs::write(bench.at("bundle"), vec![0xA5; 5000]).expect("written");
            bench
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }
    }

    #[test]
    fn links_lead_where_they_are_said_to() {
        let bench = Bench::new();
        let image = bench.at("image");
        symlink_loops(&image).expect("made");
        assert_eq!(debugfs(&image, "ls -l /aegis").matches(" 120777 ").count(), LINKS.len());
        assert!(debugfs(&image, "stat /aegis/ping.aegis").contains("\"pong.aegis\""));
        linked_aegis(&image, "/etc").expect("made");
        assert!(debugfs(&image, "stat /aegis").contains("\"/etc\""));
        without_aegis(&image).expect("made");
        assert!(!debugfs(&image, "ls -l /").contains("aegis"));
    }

    #[test]
    fn a_crowd_is_as_large_as_said_and_has_what_was_put_in() {
        let bench = Bench::new();
        crowd(&bench.at("image"), 10_000, &[("good.aegis", &bench.at("bundle"))]).expect("made");
        let listing = debugfs(&bench.at("image"), "ls -p /aegis");
        assert_eq!(listing.matches("/crowd-").count(), 10_000);
        assert!(listing.contains("/good.aegis/5000/"));
    }

    #[test]
    fn names_are_kept_byte_for_byte() {
        let bench = Bench::new();
        control_names(&bench.at("image"), &bench.at("bundle")).expect("made");
        tool("e2fsck", &["-fn".as_ref(), bench.at("image").as_os_str()]).expect("whole");
        let image = fs::read(bench.at("image")).expect("there");
        for name in NAMES {
            // As a directory entry has it: length, kind (1: a file), name.
            let entry = [&[name.len() as u8, 1], name].concat();
            let found = image.windows(entry.len()).any(|window| window == entry);
            assert!(found, "{}", String::from_utf8_lossy(name).escape_debug());
        }
    }

    #[test]
    fn special_files_are_special() {
        let bench = Bench::new();
        special_files(&bench.at("image")).expect("made");
        let listing = debugfs(&bench.at("image"), "ls -p /aegis");
        for (name, mode) in SPECIAL.iter().zip(["010666", "020666", "060666", "106777"]) {
            let line = listing.lines().find(|line| line.contains(name)).expect(name);
            assert!(line.contains(&format!("/{mode}/")), "{line}");
        }
        assert!(listing.contains(&format!("/{}/", 64u64 << 30)), "{listing}");
    }

    /// Whether `fsck.vfat` finds nothing to mend.
    fn is_sound(image: &Path) -> bool {
        let mut command = Command::new("/usr/sbin/fsck.vfat");
        command.arg("-n").arg(image).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().expect("fsck.vfat starts").success()
    }

    #[test]
    fn a_broken_fat_is_broken_the_same_way_each_time_and_nowhere_else() {
        let bench = Bench::new();
        let files: &[(&str, &Path)] = &[("good.aegis", &bench.at("bundle"))];
        let (whole, image) = (bench.at("whole"), bench.at("image"));
        let made = Fat::make(&whole, files).expect("made");
        assert!(is_sound(&whole));
        let whole = fs::read(whole).expect("there");
        let noisy = |seed| {
            noisy_fat(&image, seed, files).expect("made");
            fs::read(&image).expect("there")
        };
        let (first, second) = (noisy(1), noisy(2));
        assert!(!is_sound(&image));
        assert!(first == noisy(1) && first != second, "the seed says what noise");
        let (from, to) = (made.at as usize, made.at as usize + made.bytes);
        assert!(first[..from] == whole[..from] && first[from..to] != whole[from..to]);
        endless_folder(&image, files).expect("made");
        let looped = fs::read(&image).expect("there");
        let changed: Vec<usize> = (0..looped.len()).filter(|at| looped[*at] != whole[*at]).collect();
        assert!(!changed.is_empty() && changed.iter().all(|at| (from..to).contains(at)), "{changed:?}");
        assert!(changed.len() as u64 <= 2 * made.tables && !is_sound(&image));
    }

    #[test]
    fn all_of_them_are_made() {
        let bench = Bench::new();
        let made = sticks(bench.0.path()).expect("made");
        assert_eq!(made.len(), 9);
        for (name, image) in made {
            assert!(image.metadata().is_ok_and(|meta| meta.len() == 64 << 20), "{name}");
        }
    }
}
