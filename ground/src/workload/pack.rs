//! A folder as a squashfs: the same bytes whoever packs it, and when.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use aegis_bundle::limits::{WORKLOAD_BLOCK_BYTES, WORKLOAD_CONTENTS_BYTES};

use crate::files;
use crate::outcome::Failure;

/// Owners, times and order are named; extended attributes and the builder's own inode numbers are left out.
const OPTIONS: [&str; 15] = [
    "-noappend",
    "-quiet",
    "-no-progress",
    "-all-root",
    "-all-time",
    "0",
    "-mkfs-time",
    "0",
    "-no-xattrs",
    "-no-exports",
    "-no-hardlinks",
    "-comp",
    "zstd",
    "-b",
    "256K",
];
/// What every squashfs begins with.
const MAGIC: &[u8] = b"hsqs";

/// What the device mounts something on: a directory of these names must be there.
const PLACES: [&str; 3] = ["/dev", "/proc", "/tmp"];

/// The bytes of a squashfs: of this folder, or of this file that is one. `out` is where the workload will be. A folder need not have
/// the directories that something is mounted on, `writable` among them: they are made in it.
pub(super) fn contents(from: &Path, writable: &[&str], out: &Path) -> Result<Vec<u8>, Failure> {
    if !from.is_dir() {
        return file(from);
    }
    let draft = files::Draft::begin(&out.with_extension("squashfs"), 0o600)?;
    let mut pack = Command::new("mksquashfs");
    // Times come from here alone: with it set, mksquashfs refuses to be told any.
    pack.arg(from).arg(draft.path()).args(OPTIONS).env_remove("SOURCE_DATE_EPOCH");
    for directory in missing(from, PLACES.iter().chain(writable)) {
        pack.arg("-p").arg(format!("{} d 755 0 0", escaped(&directory)));
    }
    let packed = pack.stdin(Stdio::null()).output().map_err(|error| {
        Failure::usage(format!(
            "mksquashfs: {}; install squashfs-tools, or name a file that is a squashfs",
            files::plain(&error)
        ))
    })?;
    if !packed.status.success() {
        let said = String::from_utf8_lossy(&packed.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        return Err(Failure::refused(format!("mksquashfs {}: {}", from.display(), last.trim())));
    }
    file(draft.path())
}

/// Directories that are not there, each after the one that it is in.
fn missing<'p>(from: &Path, places: impl Iterator<Item = &'p &'p str>) -> Vec<String> {
    let mut missing = BTreeSet::new();
    for place in places {
        let parts = place.trim_start_matches('/').split('/');
        let mut path = String::new();
        for part in parts {
            path = if path.is_empty() { part.to_owned() } else { format!("{path}/{part}") };
            // A link is something that is there: the device says what is wrong with it.
            if from.join(&path).symlink_metadata().is_err() {
                missing.insert(path.clone());
            }
        }
    }
    missing.into_iter().collect()
}

/// As mksquashfs reads a name: what parts words stands behind a backslash.
fn escaped(name: &str) -> String {
    let part = |char: char| {
        if char.is_whitespace() || matches!(char, '\\' | '"') {
            format!("\\{char}")
        } else {
            char.to_string()
        }
    };
    name.chars().map(part).collect()
}

fn file(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = files::read(path, WORKLOAD_CONTENTS_BYTES as usize)?;
    let whole = !bytes.is_empty() && (bytes.len() as u64).is_multiple_of(WORKLOAD_BLOCK_BYTES);
    if !whole || !bytes.starts_with(MAGIC) {
        return Err(Failure::refused(format!(
            "{}: not a squashfs in whole blocks of {WORKLOAD_BLOCK_BYTES} bytes, as mksquashfs makes it; name one, or a folder",
            path.display()
        )));
    }
    Ok(bytes)
}
