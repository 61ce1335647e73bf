//! Opens the ring: recovery, the books of this boot, what was exported, the chain of checkpoints.

use aegis_event::Event;
use aegis_ring::{Options as RingOptions, Pace, Recovery, Ring};

use super::Options;
use super::books::{Books, BooksFile, Entry};
use super::seal::Sealing;
use super::writer::Tools;
use crate::config::Config;
use crate::kernel::KernelState;
use crate::limits;
use crate::outcome::Failure;
use crate::storage::RUN;
use crate::storage::cursor::Cursor;
use crate::storage::device::boot_id;
use crate::storage::partition::{DeviceError, RingDevice};

/// The ring, open, and what was found.
pub(super) struct Opened {
    pub(super) tools: Tools,
    pub(super) recovery: Recovery,
    /// An agent ran before in this boot.
    pub(super) ran_before: bool,
}

/// Opens it, a new one if there is none, and catches up with what the agent before did.
pub(super) fn open(options: &Options, config: &Config, state: &KernelState) -> Result<Opened, Failure> {
    let device = || {
        RingDevice::open(options.ring.as_deref(), true)
            .map_err(|error| Failure::error(format!("ring: {error}")))
    };
    let boot = boot_id().map_err(|error| Failure::error(format!("boot id: {error}")))?;
    let scratch = || -> &'static mut [u8] { vec![0; limits::COMMIT_BYTES].leak() };
    let broken = |error: &dyn core::fmt::Display| {
        Failure::refused(format!("ring: {error} (export what can be read, then format it anew)"))
    };

    let bytes = device()?.bytes();
    let buffer = scratch();
    // Books are brought up to date before the ring opens its new segment.
    let (mut books_file, found) =
        BooksFile::open().map_err(|error| Failure::error(format!("{RUN}/books: {error}")))?;
    let ran_before = found.is_some();
    let mut books = found.unwrap_or_default();
    let mut exported = 0;
    if !ran_before {
        books.load = state.loaded_at();
    }
    match aegis_ring::Reader::open(device()?, buffer) {
        Ok(mut frames) => {
            exported = exported_of(&frames.ring_id());
            if ran_before {
                catch_up(&mut frames, &boot, state, &mut books).map_err(|error| broken(&error))?;
            } else {
                // The first agent of a boot has nothing to catch up with, however large the ring is.
                books.acked = frames.next_sequence().saturating_sub(1);
            }
        }
        Err(aegis_ring::Error::Unformatted) => {
            let mut ring_id = [0; 16];
            getrandom::fill(&mut ring_id).map_err(|error| Failure::error(format!("ring id: {error}")))?;
            let geometry = aegis_ring::FormatOptions { ring_id, bytes, segment_bytes: 0 };
            aegis_ring::format(device()?, &geometry).map_err(|error| broken(&error))?;
            log::warn!("ring: formatted a new ring of {} MiB", bytes >> 20);
        }
        Err(error) => return Err(broken(&error)),
    }
    let with = |exported| RingOptions { sync: config.ring.sync, full: config.ring.full, exported };
    let mut ring =
        Ring::open_with(device()?, boot, scratch(), with(exported)).map_err(|error| broken(&error))?;
    let recovery = ring.recovery();
    if recovery.next_sequence > 1 {
        log::info!("ring: recovered up to sequence {}", recovery.next_sequence - 1);
    }
    if let Some(offset) = recovery.damaged {
        log::error!("ring: damaged at byte {offset}; the export will say what is missing");
    }
    if let Some(offset) = recovery.repaired {
        log::warn!("ring: the superblock at byte {offset} was damaged and is repaired");
    }
    set_cursor_back(&ring.geometry().ring_id, recovery.next_sequence);
    books.begin_load(state.loaded_at());
    books_file.save(&books).map_err(|error| Failure::error(format!("{RUN}/books: {error}")))?;
    let period = config.ring.checkpoint_seconds;
    let sealing = Sealing::open(&mut ring, boot, period);
    let (pace, full, trace) = (Pace::new(config.ring.sync), config.ring.full, options.trace);
    let tools = Tools { ring, sealing, pace, full, period, file: books_file, books, turns: None, trace };
    Ok(Opened { tools, recovery, ran_before })
}

/// The last sequence of this ring that was exported, as far as its exporter remembers.
pub(super) fn exported_of(ring: &[u8; 16]) -> u64 {
    match Cursor::load(ring) {
        Ok(cursor) => cursor.next.saturating_sub(1),
        Err(error) => {
            log::warn!("export cursor: {error}; what the ring itself knows of exports counts");
            0
        }
    }
}

/// Before anything is written: an export that comes when the ring is longer than its cursor again would leave out what was
/// written until then.
fn set_cursor_back(ring: &[u8; 16], next_sequence: u64) {
    let Ok(cursor) = Cursor::load(ring) else { return };
    let within = cursor.within(next_sequence);
    if within == cursor {
        return;
    }
    log::error!(
        "ring: it ends at sequence {}, and was exported up to {}: it was put back from a copy, or its disk lost what it had \
         flushed; the next export begins at its beginning",
        next_sequence - 1,
        cursor.next - 1
    );
    if let Err(error) = within.save() {
        log::error!("export cursor: {error}; exports may leave events out");
    }
}

/// Adds to the books what the last agent of this boot flushed after it last booked.
fn catch_up(
    frames: &mut aegis_ring::Reader<'_, RingDevice>,
    boot: &[u8; 16],
    state: &KernelState,
    books: &mut Books,
) -> Result<(), aegis_ring::Error<DeviceError>> {
    let from = frames.first_sequence().max(books.acked + 1);
    if from >= frames.next_sequence() {
        return Ok(());
    }
    frames.seek(from)?;
    loop {
        match frames.next() {
            Ok(Some(frame)) => {
                if frame.boot_id == *boot
                    && let Ok(event) = Event::decode(frame.payload)
                {
                    books.add(Entry::of(&event, |name| state.slot_of(name)));
                }
                books.acked = frame.sequence;
            }
            Ok(None) => return Ok(()),
            // The ring goes on behind a damaged place, and so does the agent: what can't be read counts as lost.
            Err(aegis_ring::Error::Corrupted { offset }) => {
                log::error!("ring: damaged at byte {offset}");
                if frames.skip()?.is_none() {
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        }
    }
}
