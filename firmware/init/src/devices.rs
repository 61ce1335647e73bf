//! Disks, partitions and ports, by what sysfs says of them.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::console::say;
use crate::{STATE, limits};

/// At most so many bytes of a file, as text.
pub(crate) fn read(path: impl AsRef<Path>, bytes: u64) -> io::Result<String> {
    let mut read = Vec::new();
    File::open(path)?.take(bytes).read_to_end(&mut read)?;
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// The first line of a small file of the kernel's, without its end.
pub(crate) fn line(path: impl AsRef<Path>) -> Option<String> {
    let text = read(path, limits::FILE_BYTES).ok()?;
    Some(text.lines().next().unwrap_or_default().to_owned())
}

/// A device of sysfs that hangs on a USB bus (`…/usb1/1-1/…`), as `aegis storage` tells them.
fn on_usb(device: &Path) -> bool {
    device.iter().any(|part| {
        let bus = part.as_encoded_bytes().strip_prefix(b"usb");
        bus.is_some_and(|bus| bus.first().is_some_and(u8::is_ascii_digit))
    })
}

/// The nodes of what is listed there and for which this holds.
fn nodes(folder: &str, wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let found = entries.filter(|entry| wanted(&entry.path()));
    found.map(|entry| Path::new("/dev").join(entry.file_name())).collect()
}

/// The internal partition with this GPT label, or the one that `aegis storage prepare` vouches for. A stick is anybody's: nothing
/// on USB passes for one of our own.
pub(crate) fn partition(label: &str) -> Option<PathBuf> {
    let wanted = format!("PARTNAME={label}");
    let internal = nodes("/sys/class/block", |entry| {
        let uevent = read(entry.join("uevent"), limits::FILE_BYTES).unwrap_or_default();
        if !uevent.lines().any(|line| line == wanted) {
            return false;
        }
        // One that is gone by now is not ours either.
        let usb = fs::canonicalize(entry).map_or(true, |device| on_usb(&device));
        if usb {
            let name = entry.file_name().unwrap_or_default().display();
            say(&format!("ignoring the partition {label} on USB ({name})"));
        }
        !usb
    });
    internal.into_iter().next().or_else(|| fs::read_link(Path::new(STATE).join("partition").join(label)).ok())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sticks_are_told_from_disks() {
        let pci = "/sys/devices/pci0000:00/0000:00:03.0";
        assert!(on_usb(Path::new(&format!(
            "{pci}/usb1/1-1/1-1:1.0/host0/target0:0:0/0:0:0:0/block/sda/sda1"
        ))));
        assert!(!on_usb(Path::new(&format!("{pci}/virtio0/block/vdb/vdb1"))));
        assert!(!on_usb(Path::new("/sys/devices/platform/usbless/block/vda/vda1")));
    }
}
