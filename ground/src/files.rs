//! The one door to the file system: bounded reads, writes that leave the old file or the new one.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::outcome::Failure;

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let bytes = read_front(path, limit.saturating_add(1))?;
    if bytes.len() > limit {
        return Err(Failure::refused(format!("{}: longer than {limit} bytes", path.display())));
    }
    Ok(bytes)
}

/// Reads the first `limit` bytes of a file, or all of it.
pub(crate) fn read_front(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let fail = |what: &dyn std::fmt::Display| Failure::usage(format!("{}: {what}", path.display()));
    let file = File::open(path).map_err(|error| fail(&format!("can't open it: {}", plain(&error))))?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let read = file.take(limit).read_to_end(&mut bytes);
    read.map_err(|error| fail(&format!("can't read it: {}", plain(&error))))?;
    Ok(bytes)
}

/// Writes a file whole or not at all: temporary name, fsync, rename, fsync of the directory.
/// Without `replace`, refuses when the file exists; with it, replaces a regular file and nothing else: a rename
/// would put a file in the place of a device or a link.
pub(crate) fn write(path: &Path, bytes: &[u8], permissions: u32, replace: bool) -> Result<(), Failure> {
    let fail = |error: std::io::Error| {
        Failure::usage(match error.kind() {
            ErrorKind::AlreadyExists => format!("{}: exists; it is not overwritten", path.display()),
            _ => format!("{}: can't write it: {}", path.display(), plain(&error)),
        })
    };
    if let Ok(there) = path.symlink_metadata()
        && replace
        && !there.is_file()
    {
        let what = if there.is_dir() { "a directory" } else { "a device, pipe or link" };
        return Err(Failure::usage(format!("{}: {what}; name a file to write", path.display())));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name =
        path.file_name().ok_or_else(|| Failure::usage(format!("{}: not a file name", path.display())))?;
    let mut temporary = name.to_os_string();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = Temporary(directory.join(temporary));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(permissions).open(&temporary.0).map_err(fail)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fail)?;
    if replace {
        std::fs::rename(&temporary.0, path).map_err(fail)?;
    } else {
        // A hard link fails when the name is taken; a rename would replace it.
        std::fs::hard_link(&temporary.0, path).map_err(fail)?;
    }
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(fail)
}

/// Refuses an output that is one of the inputs, under whatever name: it would be lost.
pub(crate) fn keep_inputs<'a>(out: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> Result<(), Failure> {
    let Ok(there) = out.metadata() else { return Ok(()) };
    for input in inputs {
        if input.metadata().is_ok_and(|of| (of.dev(), of.ino()) == (there.dev(), there.ino())) {
            let name = input.display();
            return Err(Failure::usage(format!(
                "--out {}: is the input {name}; name another file",
                out.display()
            )));
        }
    }
    Ok(())
}

/// Removes the temporary file whatever happens.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Already renamed, or nothing more can be done about it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An I/O error without its number, as a person says it.
pub(crate) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
