//! Finds the ring on a device: superblocks, newest segment, oldest segment.

use embedded_io::SeekFrom;

use crate::books::Books;
use crate::checkpoint::Record;
use crate::cursor::{Cursor, Step};
use crate::error::Error;
use crate::frame::kind;
use crate::io::{Device, Window, read_sector};
use crate::layout::{Geometry, Place, SUPERBLOCK_MAGIC, Sealing, SegmentHeader, Superblock};
use crate::limits::{BLOCK_BYTES, NUMBER_MAX};
use crate::merkle::Merkle;

/// The superblocks of a device.
pub(crate) struct Superblocks {
    pub(crate) chosen: Superblock,
    /// Device offset of a copy that is not like the chosen one.
    pub(crate) damaged: Option<u64>,
}

/// Bytes of the device.
pub(crate) fn device_bytes<D: Device>(device: &mut D) -> Result<u64, Error<D::Error>> {
    device.seek(SeekFrom::End(0)).map_err(Error::Device)
}

/// Reads both superblocks. The second one is looked for at the end of the ring when the first one is good, and
/// else at the end of the device.
pub(crate) fn superblocks<D: Device>(device: &mut D) -> Result<Superblocks, Error<D::Error>> {
    const BLOCK: u64 = BLOCK_BYTES as u64;
    let bytes = device_bytes(device)?;
    if bytes < 2 * BLOCK {
        return Err(Error::Unformatted);
    }
    let last_block = bytes / BLOCK * BLOCK - BLOCK;
    let sector = read_sector(device, 0)?;
    let first = Superblock::decode(&sector);
    let second_at = first.map_or(last_block, |first| first.geometry.second_superblock());
    if second_at > last_block {
        return Err(Error::TooSmall { needed: second_at + BLOCK });
    }
    let second_sector = read_sector(device, second_at)?;
    // A second copy counts only where it says that it is.
    let second =
        Superblock::decode(&second_sector).filter(|second| second.geometry.second_superblock() == second_at);
    match (first, second) {
        (Some(chosen), Some(second)) if chosen == second => Ok(Superblocks { chosen, damaged: None }),
        (Some(first), Some(second)) if first.generation == second.generation => {
            Err(Error::Corrupted { offset: second_at })
        }
        (Some(first), Some(second)) if second.generation > first.generation => {
            Ok(Superblocks { chosen: second, damaged: Some(0) })
        }
        (Some(first), _) => Ok(Superblocks { chosen: first, damaged: Some(second_at) }),
        (None, Some(second)) => Ok(Superblocks { chosen: second, damaged: Some(0) }),
        (None, None) if sector.starts_with(&SUPERBLOCK_MAGIC) => Err(Error::Corrupted { offset: 0 }),
        (None, None) if second_sector.starts_with(&SUPERBLOCK_MAGIC) => {
            Err(Error::Corrupted { offset: second_at })
        }
        (None, None) => Err(Error::Unformatted),
    }
}

/// The header of segment `number`, if its place still or already has it.
pub(crate) fn header<D: Device>(
    device: &mut D,
    geometry: &Geometry,
    number: u64,
) -> Result<Option<SegmentHeader>, Error<D::Error>> {
    match place(device, geometry, number % geometry.segments)? {
        Place::Segment(header) if header.number == number => Ok(Some(header)),
        _ => Ok(None),
    }
}

pub(crate) fn place<D: Device>(
    device: &mut D,
    geometry: &Geometry,
    place: u64,
) -> Result<Place, Error<D::Error>> {
    let sector = read_sector(device, geometry.segment_offset(place))?;
    Ok(Place::decode(geometry, place, &sector))
}

/// What the headers of all places say.
pub(crate) struct Survey {
    /// The segment with the highest number.
    pub(crate) newest: Option<SegmentHeader>,
    /// Device offset of the first place whose header does not hold.
    pub(crate) damaged: Option<u64>,
}

/// Reads the header of every place.
pub(crate) fn survey<D: Device>(device: &mut D, geometry: &Geometry) -> Result<Survey, Error<D::Error>> {
    let mut survey = Survey { newest: None, damaged: None };
    for at in 0..geometry.segments {
        match place(device, geometry, at)? {
            Place::Unused => {}
            Place::Segment(header) => {
                if survey.newest.is_none_or(|newest| newest.number < header.number) {
                    survey.newest = Some(header);
                }
            }
            Place::Damaged => survey.damaged = survey.damaged.or(Some(geometry.segment_offset(at))),
        }
    }
    Ok(survey)
}

/// The first sequence that can be read: of the oldest segment kept whose header holds.
/// `oldest` to `newest` are segment numbers; `otherwise` is the answer when there is none.
pub(crate) fn first_sequence<D: Device>(
    device: &mut D,
    geometry: &Geometry,
    segments: core::ops::RangeInclusive<u64>,
    otherwise: u64,
) -> Result<u64, Error<D::Error>> {
    for number in segments {
        if let Some(header) = header(device, geometry, number)? {
            return Ok(header.first_sequence);
        }
    }
    Ok(otherwise)
}

/// The last segment from `oldest` to `newest` whose first sequence is not above `sequence`.
pub(crate) fn segment_of<D: Device>(
    device: &mut D,
    geometry: &Geometry,
    sequence: u64,
    oldest: u64,
    newest: u64,
) -> Result<Option<SegmentHeader>, Error<D::Error>> {
    let mut found = None;
    let (mut low, mut high) = (oldest, newest + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        // A damaged header says nothing: take the next good one in the upper half.
        let mut good = None;
        for number in middle..high {
            good = header(device, geometry, number)?;
            if good.is_some() {
                break;
            }
        }
        match good {
            Some(header) if header.first_sequence <= sequence => {
                low = header.number + 1;
                found = Some(header);
            }
            _ => high = middle,
        }
    }
    Ok(found)
}

/// Where the newest segment's frames end.
pub(crate) struct Tail {
    /// At the end of the valid prefix.
    pub(crate) cursor: Cursor,
    /// Committed frames behind the prefix were damaged: the place, and the highest sequence seen behind it.
    pub(crate) damaged: Option<(u64, u64)>,
    /// What left the ring in time and what did not, marks of this segment included.
    pub(crate) books: Books,
    /// How far it is sealed, marks of this segment included.
    pub(crate) sealing: Option<Sealing>,
}

impl Tail {
    /// Takes in a mark whose payload this is.
    fn mark(&mut self, kind: u8, payload: &[u8]) {
        match kind {
            kind::EXPORTED => {
                if let Ok(bytes) = payload.try_into() {
                    let exported = u64::from_le_bytes(bytes).min(NUMBER_MAX);
                    self.books.exported = self.books.exported.max(exported);
                }
            }
            kind::CERTIFICATE | kind::CHECKPOINT => {
                if let Some(record) = Record::decode(kind, payload) {
                    self.sealing = Some(record.sealing());
                }
            }
            // The header's books have what the gap records say.
            _ => {}
        }
    }
}

/// Reads the segment to the end of its valid prefix; `tree` takes its events.
pub(crate) fn tail<D: Device>(
    device: &mut D,
    window: &mut Window<'_>,
    geometry: &Geometry,
    header: &SegmentHeader,
    mut tree: Option<&mut Merkle>,
) -> Result<Tail, Error<D::Error>> {
    window.forget();
    let cursor = Cursor::new(geometry, header);
    let mut tail = Tail { cursor, damaged: None, books: header.books, sealing: header.sealing };
    loop {
        let mut step = tail.cursor.step(device, window)?;
        if let Step::End(offset) = step {
            let Some(highest) = tail.cursor.later(device, window)? else { return Ok(tail) };
            // Somebody may be appending: then what was not there is there by now.
            window.forget();
            step = tail.cursor.step(device, window)?;
            if !matches!(step, Step::Event(_) | Step::Mark(_)) {
                tail.damaged = Some((offset, highest));
                return Ok(tail);
            }
        }
        match step {
            Step::Event(event) => {
                if let Some(tree) = &mut tree {
                    tree.push(&event.head);
                }
            }
            Step::Mark(mark) => tail.mark(mark.kind, window.cached(mark.offset, mark.length)),
            Step::End(offset) | Step::Broken(offset) => {
                let highest = tail.cursor.later(device, window)?.unwrap_or(0).max(tail.cursor.sequence);
                tail.damaged = Some((offset, highest));
                return Ok(tail);
            }
        }
    }
}
