//! Disks, partitions and ports, by what sysfs says of them.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::console::say;
use crate::{STATE, limits, partitions};

/// At most so many bytes of a file, as text.
pub(crate) fn read(path: impl AsRef<Path>, bytes: u64) -> io::Result<String> {
    let mut read = Vec::new();
    File::open(path)?.take(bytes).read_to_end(&mut read)?;
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// `CLOCK_BOOTTIME`, ns.
pub fn boottime() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// The first line of a small file of the kernel's, without its end.
pub(crate) fn line(path: impl AsRef<Path>) -> Option<String> {
    let text = read(path, limits::FILE_BYTES).ok()?;
    Some(text.lines().next().unwrap_or_default().to_owned())
}

/// All of it, to what was opened so that it does not block, as long as the other side takes it in time.
///
/// # Errors
/// `TimedOut`; the other side's.
pub(crate) fn write_soon(mut to: &File, mut rest: &[u8], time: Duration) -> io::Result<()> {
    let until = Instant::now() + time;
    while !rest.is_empty() {
        match to.write(rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(ErrorKind::TimedOut.into());
                }
                // Woken early, as by a child's end, it tries again.
                let _ = poll(&mut [PollFd::new(to, PollFlags::OUT)], Timespec::try_from(left).ok().as_ref());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The nodes of what is listed there and for which this holds.
fn nodes(folder: &str, wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let found = entries.filter(|entry| wanted(&entry.path()));
    found.map(|entry| Path::new("/dev").join(entry.file_name())).collect()
}

/// The partition with this GPT label that is the device's own, or the one that `aegis storage prepare` vouches for.
pub(crate) fn partition(label: &str) -> Option<PathBuf> {
    let found = partitions::find(label).unwrap_or_else(|error| {
        say(&format!("/sys/class/block: {error}"));
        partitions::Found::default()
    });
    for name in &found.passed_over {
        say(&format!("ignoring the partition {label} on what can be plugged in ({name})"));
    }
    found.node().or_else(|| fs::read_link(Path::new(STATE).join("partition").join(label)).ok())
}

/// The disk with this serial number.
pub(crate) fn disk(serial: &str) -> Option<PathBuf> {
    nodes("/sys/block", |entry| line(entry.join("serial")).as_deref() == Some(serial)).into_iter().next()
}

/// The virtio serial port of this name.
pub(crate) fn port(name: &str) -> Option<PathBuf> {
    nodes("/sys/class/virtio-ports", |entry| line(entry.join("name")).as_deref() == Some(name))
        .into_iter()
        .next()
}
