//! A folder as a squashfs: the same bytes whoever packs it, and when.

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

/// The bytes of a squashfs: of this folder, or of this file that is one. `out` is where the workload will be.
pub(super) fn contents(from: &Path, out: &Path) -> Result<Vec<u8>, Failure> {
    if !from.is_dir() {
        return file(from);
    }
    let draft = files::Draft::begin(&out.with_extension("squashfs"), 0o600)?;
    let mut pack = Command::new("mksquashfs");
    // Times come from here alone: with it set, mksquashfs refuses to be told any.
    pack.arg(from).arg(draft.path()).args(OPTIONS).env_remove("SOURCE_DATE_EPOCH");
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
