//! The files that the acts are done to: on both file systems, protected and twin alike, made by the one who prepares.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use crate::elf;
use crate::scenario::{Done, Step as _};
use crate::side::{Place, Side};
use crate::sys;

/// What a protected file holds.
pub const SECRET: &[u8] = b"secret\n";
/// What any other holds.
pub const PLAIN: &[u8] = b"plain\n";
/// Levels of directories on the protected side of `deep`: more than Aegis walks up.
pub const TOO_DEEP: usize = 72;
/// Levels on the twin's.
pub const NOT_DEEP: usize = 40;

/// A file of the table below.
enum What {
    Folder,
    File(&'static [u8]),
    Program(fn() -> Vec<u8>),
    Link(&'static str),
}

use What::{File, Folder, Link, Program};

/// What is in both folders of both places. The policy names some of them, below `p`.
const FILES: &[(&str, What)] = &[
    ("", Folder),
    // rule suite-read: neither read nor written
    ("secret", File(SECRET)),
    ("swapped", File(SECRET)),
    ("numbered", File(SECRET)),
    ("nest", Folder),
    ("nest/inner", Folder),
    ("nest/inner/secret", File(SECRET)),
    // rule suite-write: read, not written
    ("config", File(PLAIN)),
    // rule suite-keep: read and written, but held in place
    ("kept", File(PLAIN)),
    ("kept-folder", Folder),
    // rule suite-exec
    ("tool", Program(tool)),
    ("script", Program(script)),
    ("library.so", Program(tool)),
    // started by what is denied: nothing speaks of these
    ("by-script", Program(script_by_tool)),
    ("by-loader", Program(program_with_loader)),
    // rule suite-tree: all below
    ("tree", Folder),
    ("tree/file", File(SECRET)),
    ("tree/tool", Program(tool)),
    ("tree/deep", Folder),
    ("tree/deep/er", Folder),
    ("tree/deep/er/file", File(SECRET)),
    ("tree/empty", Folder),
    ("tree/mnt", Folder),
    ("tree/later", Folder),
    ("tree/many", Folder),
    ("tree/out", Link("../plain")),
    // below an overlay
    ("lower", Folder),
    ("lower/secret", File(SECRET)),
    ("lower/config", File(PLAIN)),
    ("lower/kept", File(PLAIN)),
    ("lower/tool", Program(tool)),
    ("lower/tree", Folder),
    ("lower/tree/file", File(SECRET)),
    ("lower/plain", File(PLAIN)),
    // nothing speaks of these
    ("plain", File(PLAIN)),
    ("folder", Folder),
    ("link", Link("secret")),
    ("link-to-link", Link("link")),
    ("link-folder", Link(".")),
    ("link-tree", Link("tree")),
];

/// There in the boot in which all this is made, when the policy was there before.
const FRESH: &str = "/scratch/fresh";

/// What the policy found when it was taken is not made yet.
pub(crate) fn is_fresh() -> bool {
    fs::metadata(FRESH).is_ok()
}

/// Planted where the policy says that a directory with a secret is: a link around in a circle, and one to another directory.
/// What a scenario puts there stays.
const PLANTED: [(&str, &str); 2] = [("planted", "planted"), ("mid", "nest")];

/// Names that no rule lets come into being, and that a run without rules leaves behind.
const NOT_THERE: &[&str] = &[
    "pending",
    "moved",
    "linked",
    "tree/new",
    "tree/linked",
    "tree/moved",
    "tree/deep/er/new",
    "nest.moved",
    "tree.moved",
];

/// The least program of this machine: it exits with 42.
pub fn tool() -> Vec<u8> {
    elf::program(&[], b"")
}

const KNOWN: &[u8] = b"known by its content";

/// As [`tool`], other bytes: rule `suite-hash` knows it by its digest.
pub fn hashed() -> Vec<u8> {
    elf::program(&[], KNOWN)
}

fn script() -> Vec<u8> {
    b"#!/bin/sh\nexit 42\n".to_vec()
}

fn script_by_tool() -> Vec<u8> {
    // Which side it is on is said when it is made: see `content`.
    b"#!@/tool\n".to_vec()
}

fn program_with_loader() -> Vec<u8> {
    b"@".to_vec()
}

/// What the file holds on this side.
fn content(side: Side, what: &What) -> Vec<u8> {
    match what {
        File(bytes) => bytes.to_vec(),
        Program(make) => match make().as_slice() {
            b"@" => elf::program(format!("{}\0", side.at("tool")).as_bytes(), b""),
            bytes if bytes.starts_with(b"#!@") => format!("#!{}\n", side.at("tool")).into_bytes(),
            bytes => bytes.to_vec(),
        },
        Folder | Link(_) => Vec::new(),
    }
}

const fn mode(what: &What) -> u32 {
    match what {
        Folder | Program(_) => 0o755,
        File(_) | Link(_) => 0o644,
    }
}

/// True when the file is there as it was made.
fn is_whole(side: Side, name: &str, what: &What) -> bool {
    let path = side.at(name);
    let Ok(found) = fs::symlink_metadata(&path) else { return false };
    match what {
        Link(target) => fs::read_link(&path).is_ok_and(|to| to == Path::new(target)),
        Folder => found.is_dir() && found.mode() & 0o777 == mode(what),
        File(_) | Program(_) => {
            let length = content(side, what).len() as u64;
            found.is_file()
                && found.mode() & 0o777 == mode(what)
                && (found.uid(), found.len()) == (0, length)
                && found.mtime() > 1000
        }
    }
}

fn make(side: Side, name: &str, what: &What) -> Done {
    let path = side.at(name);
    let found = fs::symlink_metadata(&path);
    match what {
        Folder => {
            if found.is_err() {
                fs::create_dir_all(&path).step(&path)?;
            }
        }
        File(_) | Program(_) => fs::write(&path, content(side, what)).step(&path)?,
        Link(target) => {
            let _ = fs::remove_file(&path);
            symlink(target, &path).step(&path)?;
        }
    }
    if !matches!(what, Link(_)) {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode(what))).step(&path)?;
        std::os::unix::fs::chown(&path, Some(0), Some(0)).step(&path)?;
    }
    Ok(())
}

/// The four folders.
pub fn sides() -> [Side; 4] {
    let side = |place, protected| Side { place, protected, absent: false };
    [side(Place::Disk, true), side(Place::Disk, false), side(Place::Memory, true), side(Place::Memory, false)]
}

/// Makes what is missing or not as it was. What is there stays: at the next boot of the same device rules are on it.
pub fn make_all() -> Done {
    if fs::metadata("/data/suite/p").is_err() {
        fs::write(FRESH, b"").step(FRESH)?;
    }
    for side in sides() {
        for (name, what) in FILES {
            if !is_whole(side, name, what) {
                make(side, name, what)?;
            }
        }
        for (name, target) in PLANTED {
            let place = side.at(name);
            if fs::symlink_metadata(&place).is_err() {
                symlink(target, &place).step(&place)?;
            }
        }
    }
    fs::create_dir_all("/data/suite/links").step("a folder")?;
    for side in sides().into_iter().filter(|side| side.place == Place::Disk) {
        let (file, link) = (side.at("secret"), format!("/data/suite/links/secret-{}", side.letter()));
        let inode = |path: &str| fs::metadata(path).map(|found| found.ino()).ok();
        if inode(&link) != inode(&file) {
            let _ = fs::remove_file(&link);
            fs::hard_link(&file, &link).step("a hard link")?;
        }
    }
    deep("/scratch/deep/p", TOO_DEEP)?;
    deep("/scratch/deep/o", NOT_DEEP)
}

/// So many directories, and a file at their end.
fn deep(root: &str, levels: usize) -> Done {
    let path = format!("{root}{}", "/d".repeat(levels));
    fs::create_dir_all(&path).step(&path)?;
    fs::write(format!("{path}/file"), SECRET).step("the deep file")
}

/// What is not as it was made: the path of each. Nothing is opened.
pub fn broken() -> Vec<String> {
    let mut all = Vec::new();
    for side in sides() {
        all.extend(
            FILES.iter().filter(|(name, what)| !is_whole(side, name, what)).map(|(name, _)| side.at(name)),
        );
        let there = |name: &&&str| fs::symlink_metadata(side.at(name)).is_ok();
        all.extend(NOT_THERE.iter().filter(there).map(|name| side.at(name)));
    }
    all
}

/// Puts everything back, where nothing forbids it: before the next scenario of a run without rules, and for the twins.
pub fn restore() {
    for side in sides() {
        for name in NOT_THERE {
            let path = side.at(name);
            if let Ok(found) = fs::symlink_metadata(&path) {
                let _ = if found.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            }
        }
        for (name, what) in FILES {
            if !is_whole(side, name, what) {
                let _ = make(side, name, what);
            }
        }
    }
}

/// The file at the end of the deep directories of this side.
pub(crate) fn deep_file(side: Side) -> String {
    let levels = if side.protected { TOO_DEEP } else { NOT_DEEP };
    format!("/scratch/deep/{}{}/file", side.letter(), "/d".repeat(levels))
}

/// Mounts that the workload finds: it may make none itself.
pub fn mount_all() -> Done {
    let bind = libc::MS_BIND;
    fs::create_dir_all("/scratch/m").step("/scratch/m")?;
    for (protected, letter) in [(true, 'p'), (false, 'o')] {
        let disk = Side { place: Place::Disk, protected, absent: false };
        let memory = Side { place: Place::Memory, protected, absent: false };
        for folder in ["folder", "empty"] {
            fs::create_dir_all(format!("/scratch/m/{folder}-{letter}")).step("a mount point")?;
        }
        fs::write(format!("/scratch/m/file-{letter}"), b"").step("a mount point")?;
        sys::mount(disk.root(), &format!("/scratch/m/folder-{letter}"), "", bind, "").step("bind mount")?;
        sys::mount(&disk.at("secret"), &format!("/scratch/m/file-{letter}"), "", bind, "")
            .step("bind mount")?;
        // A file system of its own, mounted below the tree.
        sys::mount("inner", &memory.at("tree/mnt"), "tmpfs", 0, "size=64k,mode=755").step("tmpfs")?;
        fs::write(memory.at("tree/mnt/file"), SECRET).step("a file in it")?;
        // The same, once more: the newest mount of it is not below the tree.
        let again = format!("/scratch/m/inner-{letter}");
        fs::create_dir_all(&again).step("a mount point")?;
        sys::mount(&memory.at("tree/mnt"), &again, "", bind, "").step("bind mount")?;
        // One that was mounted elsewhere first.
        let first = format!("/scratch/m/first-{letter}");
        fs::create_dir_all(&first).step("a mount point")?;
        sys::mount("first", &first, "tmpfs", 0, "size=64k,mode=755").step("tmpfs")?;
        fs::write(format!("{first}/file"), SECRET).step("a file in it")?;
        sys::mount(&first, &memory.at("tree/later"), "", bind, "").step("bind mount")?;
        // One that the one outside mounts again and again, where nobody else sees it.
        sys::mount("many", &memory.at("tree/many"), "tmpfs", 0, "size=64k,mode=755").step("tmpfs")?;
        fs::write(memory.at("tree/many/file"), SECRET).step("a file in it")?;
        overlay(disk, letter)?;
    }
    fs::create_dir_all("/scratch/m/root").step("a mount point")?;
    sys::mount("/", "/scratch/m/root", "", bind, "").step("bind mount of the root")?;
    // The self-test's own file system, once more; a boot whose policy guards nothing has it too.
    fs::create_dir_all("/scratch/m/selftest").step("a mount point")?;
    sys::mount("/run/aegis/selftest", "/scratch/m/selftest", "", bind, "").step("bind mount")?;
    for (folder, kind) in [("spare", "tmpfs"), ("cgroup", "cgroup2")] {
        let path = format!("/scratch/m/{folder}");
        fs::create_dir_all(&path).step("a mount point")?;
        sys::mount(kind, &path, kind, 0, "").step(kind)?;
    }
    // Cgroups of the first version, where the kernel still has them: without a controller, under a name.
    fs::create_dir_all("/scratch/m/v1").step("a mount point")?;
    match sys::mount("v1", "/scratch/m/v1", "cgroup", 0, "none,name=suite") {
        Err(crate::scenario::Stop::Errno(libc::ENODEV | libc::EINVAL | libc::ENOENT)) => {}
        other => other.step("cgroup v1")?,
    }
    fs::create_dir_all("/scratch/m/spare/old").step("a folder")
}

/// An overlay over `lower`; not where the kernel has none.
fn overlay(disk: Side, letter: char) -> Done {
    let (merged, upper) = (format!("/scratch/overlay-{letter}"), format!("/data/suite/overlay-{letter}"));
    // What an earlier boot copied up would hide what is below.
    let _ = fs::remove_dir_all(&upper);
    for folder in [&merged, &format!("{upper}/upper"), &format!("{upper}/work")] {
        fs::create_dir_all(folder).step(folder)?;
    }
    let options = format!("lowerdir={},upperdir={upper}/upper,workdir={upper}/work", disk.at("lower"));
    match sys::mount("overlay", &merged, "overlay", 0, &options) {
        Err(crate::scenario::Stop::Errno(libc::ENODEV)) => return Ok(()),
        other => other.step("overlay")?,
    }
    let (nested, upper) = (format!("/scratch/nested-{letter}"), format!("/data/suite/nested-{letter}"));
    let _ = fs::remove_dir_all(&upper);
    for folder in [&nested, &format!("{upper}/upper"), &format!("{upper}/work")] {
        fs::create_dir_all(folder).step(folder)?;
    }
    let options = format!("lowerdir={merged},upperdir={upper}/upper,workdir={upper}/work");
    sys::mount("overlay", &nested, "overlay", 0, &options).step("an overlay upon an overlay")
}

/// Where the overlay of this side is; skips where there is none.
pub(crate) fn merged(side: Side, name: &str) -> Result<String, crate::scenario::Stop> {
    let path = format!("/scratch/overlay-{}/{name}", side.letter());
    fs::symlink_metadata(&path).offered("overlayfs")?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    #[test]
    fn the_policy_knows_the_program_by_its_digest() {
        for architecture in ["x86_64", "aarch64"] {
            let hashed = Sha256::digest(elf::program_for(architecture, &[], KNOWN));
            let digest = hashed.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
            assert!(include_str!("../policy.toml").contains(&digest), "{architecture}'s digest is {digest}");
        }
    }

    #[test]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn the_least_program_runs() {
        let folder = std::env::temp_dir().join(format!("aegis-suite-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("tool");
        fs::write(&path, tool()).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        let status = std::process::Command::new(&path).status();
        fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(status.expect("it starts").code(), Some(sys::TOOL_EXIT));
    }
}
