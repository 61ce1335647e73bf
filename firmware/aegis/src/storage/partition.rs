//! Partitions by label, and the block device or file that holds the ring.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use aegis_init::partitions;

use super::RUN;

/// Where `aegis storage prepare` links partitions by label, of which the kernel does not know what they are called: those that
/// it was told of in this boot, and those of a system disk on USB.
const VOUCHED: &str = "partition";

/// GPT label of the ring's partition.
pub(crate) const RING_LABEL: &str = aegis_disk::RING_LABEL;

/// The device node of the partition with this GPT label that is the device's own ([`partitions`]), or was vouched for.
pub(crate) fn by_label(label: &str) -> io::Result<Option<PathBuf>> {
    if let Some(node) = partitions::find(label)?.node() {
        return Ok(Some(node));
    }
    match fs::read_link(vouched(label)) {
        Ok(node) => Ok(Some(node)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn vouched(label: &str) -> PathBuf {
    Path::new(RUN).join(VOUCHED).join(label)
}

/// From now on, and until this boot ends, this is the partition with this label.
pub(crate) fn vouch(label: &str, node: &Path) -> io::Result<()> {
    fs::create_dir_all(Path::new(RUN).join(VOUCHED))?;
    std::os::unix::fs::symlink(node, vouched(label))
}

/// The nodes of all partitions that were vouched for.
pub(crate) fn all_vouched() -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(Path::new(RUN).join(VOUCHED)) {
        Ok(entries) => entries.map(|entry| fs::read_link(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// By a path of sysfs without links.
pub(crate) fn on_usb(device: &Path) -> bool {
    aegis_stick::is_on_usb(device.as_os_str().as_encoded_bytes())
}

/// The ring's device: what the ring crate reads and writes.
pub(crate) struct RingDevice {
    file: File,
    bytes: u64,
}

impl RingDevice {
    /// Opens the device at `path`, or the partition labelled [`RING_LABEL`] when none is given.
    pub(crate) fn open(path: Option<&Path>, writable: bool) -> io::Result<Self> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => by_label(RING_LABEL)?.ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("no partition is labelled {RING_LABEL} (attach the ring disk)"),
                )
            })?,
        };
        let mut file = OpenOptions::new().read(true).write(writable).open(&path)?;
        let bytes = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        Ok(Self { file, bytes })
    }

    /// Size in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl AsFd for RingDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// An I/O error as `embedded-io` wants it, without allocation.
#[derive(Debug)]
pub(crate) struct DeviceError(pub(crate) io::Error);

impl core::fmt::Display for DeviceError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl core::error::Error for DeviceError {}

impl embedded_io::Error for DeviceError {
    fn kind(&self) -> embedded_io::ErrorKind {
        match self.0.kind() {
            io::ErrorKind::NotFound => embedded_io::ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied => embedded_io::ErrorKind::PermissionDenied,
            io::ErrorKind::InvalidInput => embedded_io::ErrorKind::InvalidInput,
            io::ErrorKind::WriteZero => embedded_io::ErrorKind::WriteZero,
            _ => embedded_io::ErrorKind::Other,
        }
    }
}

impl embedded_io::ErrorType for RingDevice {
    type Error = DeviceError;
}

impl embedded_io::Read for RingDevice {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, DeviceError> {
        retry(|| self.file.read(bytes))
    }
}

impl embedded_io::Write for RingDevice {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, DeviceError> {
        retry(|| self.file.write(bytes))
    }

    /// Durable when it returns: `fdatasync`.
    fn flush(&mut self) -> Result<(), DeviceError> {
        retry(|| self.file.sync_data())
    }
}

impl embedded_io::Seek for RingDevice {
    fn seek(&mut self, to: embedded_io::SeekFrom) -> Result<u64, DeviceError> {
        self.file.seek(to.into()).map_err(DeviceError)
    }
}

/// A signal may interrupt a call; that is no error of the device.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> Result<T, DeviceError> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map_err(DeviceError),
        }
    }
}
