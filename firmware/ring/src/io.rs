//! The one place that touches the device.

use embedded_io::{Read, Seek, SeekFrom, Write};

use crate::error::Error;
use crate::limits::SECTOR_BYTES;

/// A block device, or a file that stands for one.
///
/// `flush` returns only after everything written before it would survive a power cut (`fdatasync`). Sectors of
/// 512 bytes are written whole or not at all. Any type with the three `embedded_io` traits is one.
pub trait Device: Read + Write + Seek {}

impl<T: Read + Write + Seek> Device for T {}

pub(crate) fn read_at<D: Device>(device: &mut D, offset: u64, out: &mut [u8]) -> Result<(), Error<D::Error>> {
    device.seek(SeekFrom::Start(offset)).map_err(Error::Device)?;
    let mut done = 0;
    while done < out.len() {
        match device.read(&mut out[done..]).map_err(Error::Device)? {
            0 => return Err(Error::Short { offset: offset + done as u64 }),
            n => done = (done + n).min(out.len()),
        }
    }
    Ok(())
}

pub(crate) fn write_at<D: Device>(device: &mut D, offset: u64, bytes: &[u8]) -> Result<(), Error<D::Error>> {
    device.seek(SeekFrom::Start(offset)).map_err(Error::Device)?;
    let mut done = 0;
    while done < bytes.len() {
        // Not `write_all`: it panics when the device takes nothing.
        match device.write(&bytes[done..]).map_err(Error::Device)? {
            0 => return Err(Error::Short { offset: offset + done as u64 }),
            n => done = (done + n).min(bytes.len()),
        }
    }
    Ok(())
}

pub(crate) fn read_sector<D: Device>(
    device: &mut D,
    offset: u64,
) -> Result<[u8; SECTOR_BYTES], Error<D::Error>> {
    let mut sector = [0; SECTOR_BYTES];
    read_at(device, offset, &mut sector)?;
    Ok(sector)
}

pub(crate) fn flush<D: Device>(device: &mut D) -> Result<(), Error<D::Error>> {
    device.flush().map_err(Error::Device)
}

/// A stretch of the device, read ahead into a buffer.
pub(crate) struct Window<'b> {
    buffer: &'b mut [u8],
    offset: u64,
    filled: usize,
}

impl<'b> Window<'b> {
    pub(crate) fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, offset: 0, filled: 0 }
    }

    /// Forgets what was read, so that the device is asked again.
    pub(crate) fn forget(&mut self) {
        self.filled = 0;
    }

    /// The bytes at `offset`, `length` of them or up to `end` if that comes first.
    /// `length` fits the buffer together with the sector before it.
    pub(crate) fn get<D: Device>(
        &mut self,
        device: &mut D,
        offset: u64,
        length: usize,
        end: u64,
    ) -> Result<&[u8], Error<D::Error>> {
        let length = (end.saturating_sub(offset)).min(length as u64) as usize;
        let inside = offset >= self.offset && offset + length as u64 <= self.offset + self.filled as u64;
        if !inside {
            let start = offset - offset % SECTOR_BYTES as u64;
            let room = self.buffer.len() - self.buffer.len() % SECTOR_BYTES;
            let ahead = (end.saturating_sub(start)).min(room as u64) as usize;
            self.filled = 0;
            read_at(device, start, &mut self.buffer[..ahead])?;
            self.offset = start;
            self.filled = ahead;
        }
        Ok(self.cached(offset, length))
    }

    /// Bytes that the last [`get`](Self::get) returned.
    pub(crate) fn cached(&self, offset: u64, length: usize) -> &[u8] {
        let at = (offset - self.offset) as usize;
        &self.buffer[at..at + length]
    }
}
