//! All of a ring, checked: every frame, the chain, and the Merkle roots that the headers have.

use crate::cursor::{Cursor, Step};
use crate::error::Error;
use crate::io::{Device, Window};
use crate::layout::{Geometry, Leaves, SegmentHeader};
use crate::limits::BUFFER_BYTES_MIN;
use crate::merkle::Merkle;
use crate::survey::{header, superblocks, survey};

/// What a whole ring holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Segments read.
    pub segments: u64,
    /// Events.
    pub events: u64,
    /// Marks.
    pub marks: u64,
    /// Segments whose Merkle root was held against the header behind them.
    pub roots: u64,
    /// Bytes of all frames.
    pub bytes: u64,
    /// First and last sequence; zeros when there is none.
    pub first: u64,
    /// Last sequence.
    pub last: u64,
}

/// Reads the ring from its oldest segment to its end and checks CRCs, chain and Merkle roots. Not beside a writer:
/// what it overwrites meanwhile looks like damage. `scratch` is read ahead into, as by [`Reader`](crate::Reader).
///
/// # Errors
/// [`Error::Corrupted`] at the first place that does not hold.
pub fn verify<D: Device>(mut device: D, scratch: &mut [u8]) -> Result<Verified, Error<D::Error>> {
    if scratch.len() < BUFFER_BYTES_MIN {
        return Err(Error::BufferTooSmall);
    }
    let device = &mut device;
    let geometry = superblocks(device)?.chosen.geometry;
    let found = survey(device, &geometry)?;
    let Some(newest) = found.newest else {
        return found.damaged.map_or(Ok(Verified::default()), |offset| Err(Error::Corrupted { offset }));
    };
    let mut window = Window::new(scratch);
    let mut verified = Verified::default();
    let mut at = geometry.oldest(newest.number);
    let mut this = need(device, &geometry, at)?;
    loop {
        let mut tree = Merkle::new();
        let (cursor, end) = segment(device, &mut window, &geometry, &this, &mut tree, &mut verified)?;
        if at == newest.number {
            if let Some(offset) = found.damaged {
                return Err(Error::Corrupted { offset });
            }
            return match cursor.later(device, &mut window)? {
                None => Ok(verified),
                Some(_) => Err(Error::Corrupted { offset: end }),
            };
        }
        at += 1;
        this = need(device, &geometry, at)?;
        let leaves = Leaves { events: tree.leaves(), root: tree.root() };
        let chain = (this.first_sequence, this.previous) == (cursor.sequence, cursor.head);
        if !chain || this.before.is_some_and(|before| before != leaves) {
            return Err(Error::Corrupted { offset: end });
        }
        verified.roots += u64::from(this.before.is_some());
    }
}

fn need<D: Device>(
    device: &mut D,
    geometry: &Geometry,
    number: u64,
) -> Result<SegmentHeader, Error<D::Error>> {
    let offset = geometry.segment_offset(number);
    header(device, geometry, number)?.ok_or(Error::Corrupted { offset })
}

/// Reads one segment. Returns where it ended.
fn segment<D: Device>(
    device: &mut D,
    window: &mut Window<'_>,
    geometry: &Geometry,
    header: &SegmentHeader,
    tree: &mut Merkle,
    verified: &mut Verified,
) -> Result<(Cursor, u64), Error<D::Error>> {
    let mut cursor = Cursor::new(geometry, header);
    verified.segments += 1;
    loop {
        let before = cursor.position;
        match cursor.step(device, window)? {
            Step::Event(event) => {
                tree.push(&event.head);
                verified.events += 1;
                if verified.first == 0 {
                    verified.first = event.sequence;
                }
                verified.last = event.sequence;
            }
            Step::Mark(_) => verified.marks += 1,
            Step::End(offset) => return Ok((cursor, offset)),
            Step::Broken(offset) => return Err(Error::Corrupted { offset }),
        }
        verified.bytes += cursor.position - before;
    }
}
