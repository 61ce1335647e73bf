//! Images of sticks: made and read with mkfs.vfat and mtools, so that nobody has to be root or to mount anything. A tool
//! that reads an image reads what anybody may have written there: it runs for a bounded time, is told names that this
//! program chose, and writes to a pipe, never to a file of its own choosing.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::limits::{LISTING_BYTES, TOOL};
use crate::files::plain;
use crate::outcome::Failure;

/// A vfat on an image, by mtools' name for it.
pub(super) struct Image(OsString);

impl Image {
    /// The vfat that begins at this byte.
    pub(super) fn at(image: &Path, at: u64) -> Self {
        let mut drive = image.as_os_str().to_os_string();
        drive.push(format!("@@{at}"));
        Self(drive)
    }

    /// Formats a file of the right size and puts these files on it; directories first.
    pub(super) fn make(
        image: &Path,
        label: &str,
        directories: &[String],
        files: &[(String, &[u8])],
    ) -> Result<(), Failure> {
        run("mkfs.vfat", [OsStr::new("-n"), OsStr::new(label), image.as_os_str()], b"")?;
        let image = Self::at(image, 0);
        for directory in directories {
            run("mmd", [OsStr::new("-i"), &image.0, &inside(directory)], b"")?;
        }
        for (path, bytes) in files {
            run("mcopy", [OsStr::new("-i"), &image.0, OsStr::new("-"), &inside(path)], bytes)?;
        }
        Ok(())
    }

    /// The names in a directory, as mtools tells them; `None` when there is no such directory.
    pub(super) fn names(&self, directory: &str) -> Result<Option<Vec<String>>, Failure> {
        let mut child = start("mdir", [OsStr::new("-b"), OsStr::new("-i"), &self.0, &inside(directory)])?;
        let mut listing = Vec::new();
        let read = child.read(LISTING_BYTES, |bytes| {
            listing.extend_from_slice(bytes);
            Ok(())
        })?;
        if read > LISTING_BYTES {
            return Err(Failure::refused("its directory has no end; the file system is damaged"));
        }
        if !child.ended_well() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&listing);
        let front = format!("::/{directory}/");
        Ok(Some(text.lines().filter_map(|line| line.strip_prefix(&front)).map(str::to_owned).collect()))
    }

    /// Hands a file's bytes to `sink`, at most one more than `limit`; returns how many there were.
    pub(super) fn read(
        &self,
        path: &str,
        limit: u64,
        sink: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let mut child = start("mtype", [OsStr::new("-i"), &self.0, &inside(path)])?;
        let read = child.read(limit, sink)?;
        if read <= limit && !child.ended_well() {
            return Err(Failure::refused(format!("{path}: can't be read; the file system is damaged")));
        }
        Ok(read)
    }
}

/// A path on the image.
fn inside(path: &str) -> OsString {
    format!("::{path}").into()
}

/// A tool that writes to a pipe.
struct Running(Child);

impl Running {
    /// Reads at most one byte more than `limit`, then no more.
    fn read(
        &mut self,
        limit: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let Some(output) = self.0.stdout.take() else { return Ok(0) };
        let mut output = output.take(limit.saturating_add(1));
        let mut buffer = vec![0; 1 << 16];
        let mut total = 0;
        loop {
            match output.read(&mut buffer) {
                Ok(0) => return Ok(total),
                Ok(read) => {
                    sink(&buffer[..read])?;
                    total += read as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::usage(format!("mtools: {}", plain(&error)))),
            }
        }
    }

    fn ended_well(&mut self) -> bool {
        self.0.wait().is_ok_and(|status| status.success())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may still write: nobody listens any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start<const N: usize>(tool: &str, arguments: [&OsStr; N]) -> Result<Running, Failure> {
    let mut command = command(tool);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    Ok(Running(command.spawn().map_err(|error| missing(tool, &error))?))
}

/// Runs a tool to its end with `input` on its stdin.
fn run<const N: usize>(tool: &str, arguments: [&OsStr; N], input: &[u8]) -> Result<(), Failure> {
    let mut command = command(tool);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| missing(tool, &error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that ends without reading its input says why itself.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(|error| missing(tool, &error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let why = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it failed");
    if output.status.code() == Some(127) {
        return Err(missing(tool, &std::io::ErrorKind::NotFound.into()));
    }
    Err(Failure::usage(format!("{tool}: {why}")))
}

/// By way of timeout(1): a file system can be made so that reading it never ends.
fn command(tool: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", &TOOL.as_secs().to_string(), tool]);
    // mkfs.vfat is where a user's PATH does not look on Debian.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    if let Ok(path) = std::env::join_paths(all) {
        command.env("PATH", path);
    }
    // Not what the user configured of mtools: it could name other drives.
    command.env("MTOOLSRC", "/dev/null").env("MTOOLS_SKIP_CHECK", "1").env("LC_ALL", "C.UTF-8");
    command
}

fn missing(tool: &str, error: &std::io::Error) -> Failure {
    let package = if tool == "mkfs.vfat" { "dosfstools" } else { "mtools" };
    Failure::usage(format!(
        "{tool}: {}; install it (apt-get install {package}), or mount the stick and name its directory",
        plain(error)
    ))
}
