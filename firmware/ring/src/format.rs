//! Makes a ring on a device.

use crate::error::Error;
use crate::io::{Device, flush, write_at};
use crate::layout::{Geometry, Superblock};
use crate::limits::{BLOCK_BYTES, NUMBER_MAX, RING_BYTES_MAX, RING_BYTES_MIN};
use crate::survey::{device_bytes, superblocks};

/// What ring to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatOptions {
    /// Names the ring: 16 random bytes, new for every format.
    pub ring_id: [u8; 16],
    /// Bytes to use from the beginning of the device, rounded down to 4096; 0 for all of it. Use all: a damaged
    /// first superblock can be replaced only by one that is in the device's last block.
    pub bytes: u64,
    /// Bytes of a segment; 0 for [`Geometry::default_segment_bytes`].
    pub segment_bytes: u32,
}

/// Makes an empty ring. What was on the device is lost.
///
/// After a power cut at any time the device holds the ring that was there before, no ring, or the new one.
pub fn format<D: Device>(mut device: D, options: &FormatOptions) -> Result<Geometry, Error<D::Error>> {
    let device = &mut device;
    let available = device_bytes(device)?;
    let bytes = if options.bytes == 0 { available.min(RING_BYTES_MAX) } else { options.bytes };
    let needed = bytes.max(RING_BYTES_MIN);
    if available < needed {
        return Err(Error::TooSmall { needed });
    }
    let segment_bytes = match options.segment_bytes {
        0 => Geometry::default_segment_bytes(bytes),
        bytes => bytes,
    };
    let geometry = Geometry::new(options.ring_id, bytes, segment_bytes).ok_or(Error::BadGeometry)?;
    let old = match superblocks(device) {
        Ok(old) => Some(old.chosen),
        Err(Error::Unformatted | Error::Corrupted { .. } | Error::TooSmall { .. }) => None,
        Err(error) => return Err(error),
    };
    let generation = old.map_or(1, |old| (old.generation + 1).min(NUMBER_MAX));

    // First no ring, then no segments, then the new ring: each durable before the next. Frames need no wiping:
    // without its segment's header none of them is ever looked at, and another ring id never validates.
    let zero = [0; BLOCK_BYTES];
    write_at(device, 0, &zero)?;
    write_at(device, geometry.second_superblock(), &zero)?;
    if let Some(old) = old {
        write_at(device, old.geometry.second_superblock(), &zero)?;
    }
    flush(device)?;
    for place in 0..geometry.segments {
        write_at(device, geometry.segment_offset(place), &zero)?;
    }
    flush(device)?;
    let superblock = Superblock { geometry, generation }.encode();
    for offset in [geometry.second_superblock(), 0] {
        write_at(device, offset, &superblock)?;
        flush(device)?;
    }
    Ok(geometry)
}
