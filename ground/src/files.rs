//! The one door to the file system: bounded reads, writes that leave the old file or the new one.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use zeroize::Zeroizing;

use crate::outcome::Failure;

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let bytes = read_front(path, limit.saturating_add(1))?;
    if bytes.len() > limit { Err(too_long(path, limit)) } else { Ok(bytes) }
}

/// Reads a whole file of at most `limit` bytes into memory that is wiped, and leaves no other copy.
pub(crate) fn read_secret(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Room for all of it from the start: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 2));
    read_into(path, limit + 1, &mut bytes)?;
    if bytes.len() > limit { Err(too_long(path, limit)) } else { Ok(bytes) }
}

/// Reads the first `limit` bytes of a file, or all of it.
pub(crate) fn read_front(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    read_into(path, limit, &mut bytes)?;
    Ok(bytes)
}

fn read_into(path: &Path, limit: usize, bytes: &mut Vec<u8>) -> Result<(), Failure> {
    let fail = |what: &dyn std::fmt::Display| Failure::usage(format!("{}: {what}", path.display()));
    if waits_for_a_writer(path) {
        return Err(fail(&"a named pipe, which may never end; name a file"));
    }
    let file = File::open(path).map_err(|error| fail(&format!("can't open it: {}", plain(&error))))?;
    let read = file.take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(bytes);
    read.map_err(|error| fail(&format!("can't read it: {}", plain(&error))))?;
    Ok(())
}

/// A named pipe in a directory. One that is open already, as `<(command)` gives it, has its writer.
fn waits_for_a_writer(path: &Path) -> bool {
    let open = path.starts_with("/dev/fd") || path.starts_with("/proc");
    !open && path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn too_long(path: &Path, limit: usize) -> Failure {
    Failure::refused(format!("{}: longer than {limit} bytes", path.display()))
}

/// Writes a file whole or not at all: temporary name, fsync, rename, fsync of the directory.
/// Without `replace`, refuses when the file exists; with it, replaces a regular file and nothing else: a rename
/// would put a file in the place of a device or a link.
pub(crate) fn write(path: &Path, bytes: &[u8], permissions: u32, replace: bool) -> Result<(), Failure> {
    let mut draft = Draft::begin(path, permissions)?;
    draft.write(bytes)?;
    draft.publish(replace)
}

/// Writes a file that is there anew, with the permissions that it has.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let fail = |error: std::io::Error| unwritten(path, &error);
    let permissions = path.metadata().map_err(fail)?.permissions();
    // Nobody else's until it has them.
    let mut draft = Draft::begin(path, 0o600)?;
    draft.write(bytes)?;
    draft.file.set_permissions(permissions).map_err(fail)?;
    draft.publish(true)
}

/// A file that is being written under another name, and gets its own when it is whole.
pub(crate) struct Draft {
    file: File,
    temporary: Temporary,
    path: PathBuf,
}

impl Draft {
    /// Begins a file that is to be at `path`.
    pub(crate) fn begin(path: &Path, permissions: u32) -> Result<Self, Failure> {
        let name =
            path.file_name().ok_or_else(|| Failure::usage(format!("{}: not a file name", path.display())))?;
        let mut temporary = name.to_os_string();
        temporary.push(format!(".{}.tmp", std::process::id()));
        let temporary = Temporary(directory_of(path).join(temporary));
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(permissions);
        let file = options.open(&temporary.0).map_err(|error| unwritten(path, &error))?;
        Ok(Self { file, temporary, path: path.into() })
    }

    /// Where it is meanwhile.
    pub(crate) fn path(&self) -> &Path {
        &self.temporary.0
    }

    /// Appends.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| unwritten(&self.path, &error))
    }

    /// Makes it so long, with zeros.
    pub(crate) fn set_length(&mut self, bytes: u64) -> Result<(), Failure> {
        self.file.set_len(bytes).map_err(|error| unwritten(&self.path, &error))
    }

    /// Gives it another place than it was begun for, on the same file system.
    pub(crate) fn rename(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// Makes it durable and gives it its name. For `replace` see [`write`].
    pub(crate) fn publish(self, replace: bool) -> Result<(), Failure> {
        let path = &self.path;
        let fail = |error: std::io::Error| unwritten(path, &error);
        if let Ok(there) = path.symlink_metadata()
            && replace
            && !there.is_file()
        {
            let what = if there.is_dir() { "a directory" } else { "a device, pipe or link" };
            return Err(Failure::usage(format!("{}: {what}; name a file to write", path.display())));
        }
        self.file.sync_all().map_err(fail)?;
        if replace {
            std::fs::rename(&self.temporary.0, path).map_err(fail)?;
        } else {
            place(&self.temporary.0, path).map_err(fail)?;
        }
        File::open(directory_of(path)).and_then(|directory| directory.sync_all()).map_err(fail)
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(match error.kind() {
        ErrorKind::AlreadyExists => format!("{}: exists; it is not overwritten", path.display()),
        _ => format!("{}: can't write it: {}", path.display(), plain(error)),
    })
}

/// Gives a file its name when nothing has it yet.
fn place(temporary: &Path, path: &Path) -> std::io::Result<()> {
    match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
        // A file system without that flag. A hard link fails when the name is taken, too; a stick (vfat) has none.
        Err(rustix::io::Errno::INVAL) => std::fs::hard_link(temporary, path),
        other => Ok(other?),
    }
}

/// Makes a directory, and those above it, unless it is there.
pub(crate) fn make_directory(path: &Path, permissions: u32) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(permissions).create(path);
    made.map_err(|error| Failure::usage(format!("{}: can't make it: {}", path.display(), plain(&error))))
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

#[cfg(test)]
mod tests {
    use super::{read, read_front, read_secret, write};

    /// Not looked at before, when somebody else may be quicker: refused by the one step that gives the name.
    #[test]
    fn a_named_pipe_is_refused_and_not_waited_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let pipe = directory.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).expect("a link");
        for path in [&pipe, &link] {
            assert!(
                read(path, 10).is_err() && read_secret(path, 10).is_err() && read_front(path, 10).is_err()
            );
        }
    }

    #[test]
    fn a_name_that_is_taken_is_not_given_again() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("key");
        write(&path, b"first", 0o600, false).expect("nothing is there");
        let refused = write(&path, b"second", 0o600, false).expect_err("it is taken");
        assert!(refused.message().ends_with("key: exists; it is not overwritten"), "{}", refused.message());
        assert_eq!(std::fs::read(&path).expect("there"), b"first");
        // A link that leads nowhere is a name that is taken, too.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).expect("linked");
        write(&link, b"second", 0o600, false).expect_err("it is taken");
        assert!(!folder.path().join("nowhere").exists());
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 2, "no temporary file is left");
    }
}
