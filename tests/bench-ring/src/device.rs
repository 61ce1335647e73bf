//! A file as the ring's device.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use embedded_io::{ErrorType, SeekFrom};

/// A file as the ring's device.
pub(crate) struct FileDevice(File);

impl FileDevice {
    /// Opens a file, made `bytes` long and written once if it is not there or shorter.
    pub(crate) fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut length = file.seek(io::SeekFrom::End(0))?;
        while length < bytes {
            let chunk = (bytes - length).min(1 << 20);
            file.write_all(&vec![0; chunk as usize])?;
            length += chunk;
        }
        file.sync_all()?;
        Ok(Self(file))
    }

    /// Makes a file of holes.
    #[cfg(feature = "peers")]
    pub(crate) fn sparse(path: &Path, bytes: u64) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        file.set_len(bytes)?;
        Ok(Self(file))
    }

    #[cfg(feature = "peers")]
    /// Has the kernel forget what it cached of it.
    pub(crate) fn forget(&self) -> io::Result<()> {
        self.0.sync_all()?;
        Ok(rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed)?)
    }
}

impl ErrorType for FileDevice {
    type Error = embedded_io::ErrorKind;
}

impl embedded_io::Read for FileDevice {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Self::Error> {
        self.0.read(out).map_err(|error| error.kind().into())
    }
}

impl embedded_io::Write for FileDevice {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.0.write(bytes).map_err(|error| error.kind().into())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.0.sync_data().map_err(|error| error.kind().into())
    }
}

impl embedded_io::Seek for FileDevice {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, Self::Error> {
        self.0.seek(to.into()).map_err(|error| error.kind().into())
    }
}
