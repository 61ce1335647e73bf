//! Start-up and end of `aegis run`: open everything, give up everything, run, seal.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use aegis_event::{Body, Event};
use aegis_ring::Ring;
use rustix::event::epoll;

use super::books::{Books, BooksFile, Entry};
use super::glass::Glass;
use super::queue::{Events, In};
use super::reader::{Missing, Reader, accounts};
use super::shared::{Phase, Shared};
use super::signals::Signals;
use super::status::{HeapStatus, RingStatus, Status};
use super::{confine, control, writer};
use crate::commands::status::final_status_path;
use crate::kernel::{EventSource, KernelState};
use crate::outcome::{Failure, Outcome};
use crate::storage::device::{boot_id, boottime};
use crate::storage::partition::RingDevice;
use crate::storage::{RUN, lock};
use crate::{heap, limits};

/// What `aegis run` was asked.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Print every event as a line on stdout.
    pub(crate) trace: bool,
    /// The ring's device, instead of the partition labelled `aegis-ring`.
    pub(crate) ring: Option<PathBuf>,
}

/// Runs the agent until SIGTERM or SIGINT.
pub(crate) fn run(options: &Options) -> Outcome {
    // First of all: a signal during start-up is remembered and obeyed when start-up is over.
    let signals = Signals::register().map_err(|error| Failure::error(format!("signals: {error}")))?;
    heap::set_limit(limits::RUN_HEAP_BYTES);
    let _only_one = one_agent()?;

    let state: &'static KernelState = Box::leak(Box::new(KernelState::open().map_err(|error| {
        Failure::error(format!("probes are not loaded: {error} (run `aegis load` first)"))
    })?));
    let source =
        EventSource::open().map_err(|error| Failure::error(format!("kernel ring buffer: {error}")))?;
    let opened = open_ring(options, state)?;
    let poll = poll_for(&source, &signals).map_err(|error| Failure::error(format!("epoll: {error}")))?;
    let listener = control::bind()
        .map_err(|error| Failure::error(format!("{}: {error}", control::socket_path().display())))?;
    let outputs = Outputs::open().map_err(|error| Failure::error(format!("{RUN}: {error}")))?;

    confine::drop_privileges().map_err(|error| Failure::error(format!("capabilities: {error}")))?;

    let shared: &'static Shared = Box::leak(Box::default());
    shared.taken.store(opened.books.taken, Ordering::Relaxed);
    shared.durable.store(opened.books.taken, Ordering::Relaxed);
    for cause in aegis_event::Cause::ALL {
        shared.lose(*cause, opened.books.lost[usize::from(cause.number())]);
    }
    let queue: &'static mut Events = Box::leak(Box::default());
    let (producer, consumer) = queue.split();
    let warm: &'static Barrier = Box::leak(Box::new(Barrier::new(2)));
    let outputs: &'static Outputs = Box::leak(Box::new(outputs));

    let reader_thread = thread::current();
    let stop = signals.watch();
    let (ring, books) = (opened.ring, (opened.books_file, opened.books.clone()));
    let writer = thread::Builder::new()
        .name("writer".into())
        .spawn(move || writer::run(ring, consumer, shared, &reader_thread, &stop, books))
        .map_err(|error| Failure::error(format!("writer thread: {error}")))?;
    thread::Builder::new()
        .name("control".into())
        .spawn(move || control::serve(listener, warm, || status(state, shared, outputs)))
        .map_err(|error| Failure::error(format!("control thread: {error}")))?;
    warm.wait();
    heap::drop_code_pages();
    confine::restrict_calls().map_err(|error| Failure::error(format!("seccomp: {error}")))?;

    let queue = In { producer, writer: writer.thread().clone() };
    let missing = opened.ran_before.then(Missing::new);
    let mut reader = Reader {
        source,
        state,
        queue,
        shared,
        signals,
        poll,
        books: opened.books,
        missing,
        glass: Glass::default(),
        trace: options.trace,
    };
    reader.say(Body::Start { version: env!("CARGO_PKG_VERSION"), clean: opened.clean }, Entry::Nothing);
    wait_for_first_flush(shared);
    shared.set_phase(Phase::Ready);
    let signal = reader.run();

    shared.closed.store(true, Ordering::Release);
    writer.thread().unpark();
    let ended_well = writer.join().is_ok() && !shared.writer_failed.load(Ordering::Relaxed);
    if ended_well {
        shared.set_phase(Phase::Stopped);
    } else {
        // What was taken from the kernel and never flushed is lost, and said to be.
        let durable = shared.durable.load(Ordering::Relaxed);
        let lost = shared.taken.swap(durable, Ordering::Relaxed).saturating_sub(durable);
        shared.lose(aegis_event::Cause::RingWrite, lost);
    }
    outputs.leave(&status(state, shared, outputs));
    if ended_well {
        log::info!("sealed after signal {signal}");
        Ok(())
    } else {
        Err(Failure::refused("the ring could not be sealed: its device fails (see `aegis status`)"))
    }
}

/// One agent at a time; held until the process ends.
fn one_agent() -> Result<File, Failure> {
    const NAME: &str = "agent.lock";
    lock::take_now(NAME).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Failure::error("another agent is running (stop it with SIGTERM first)"),
        _ => Failure::error(format!("{RUN}/{NAME}: {error}")),
    })
}

struct Opened {
    ring: Ring<'static, RingDevice>,
    books_file: BooksFile,
    books: Books,
    /// An agent ran before in this boot.
    ran_before: bool,
    /// The last run, of whichever boot, sealed the ring.
    clean: bool,
}

fn open_ring(options: &Options, state: &KernelState) -> Result<Opened, Failure> {
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
    let (books_file, found) =
        BooksFile::open().map_err(|error| Failure::error(format!("{RUN}/books: {error}")))?;
    let ran_before = found.is_some();
    let mut books = found.unwrap_or_default();
    match aegis_ring::Reader::open(device()?, buffer) {
        // The first agent of a boot has nothing to catch up with, however large the ring is.
        Ok(frames) if !ran_before => books.acked = frames.next_sequence().saturating_sub(1),
        Ok(mut frames) => catch_up(&mut frames, &boot, state, &mut books).map_err(|error| broken(&error))?,
        Err(aegis_ring::Error::Unformatted) => {
            let mut ring_id = [0; 16];
            getrandom::fill(&mut ring_id).map_err(|error| Failure::error(format!("ring id: {error}")))?;
            let geometry = aegis_ring::FormatOptions { ring_id, bytes, segment_bytes: 0 };
            aegis_ring::format(device()?, &geometry).map_err(|error| broken(&error))?;
            log::warn!("ring: formatted a new ring of {} MiB", bytes >> 20);
        }
        Err(error) => return Err(broken(&error)),
    }
    let ring = Ring::open(device()?, boot, scratch()).map_err(|error| broken(&error))?;
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
    books_file.save(&books).map_err(|error| Failure::error(format!("{RUN}/books: {error}")))?;
    Ok(Opened { clean: recovery.clean, ring, books_file, books, ran_before })
}

/// Adds to the books what the last agent of this boot flushed after it last booked.
fn catch_up(
    frames: &mut aegis_ring::Reader<'_, RingDevice>,
    boot: &[u8; 16],
    state: &KernelState,
    books: &mut Books,
) -> Result<(), aegis_ring::Error<crate::storage::partition::DeviceError>> {
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

fn poll_for(source: &EventSource, signals: &Signals) -> io::Result<rustix::fd::OwnedFd> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let readable = epoll::EventFlags::IN;
    epoll::add(&poll, source.as_fd(), epoll::EventData::new_u64(0), readable)?;
    epoll::add(&poll, signals.as_fd(), epoll::EventData::new_u64(1), readable)?;
    Ok(poll)
}

/// Ready means: the start event is on disk.
fn wait_for_first_flush(shared: &Shared) {
    while shared.acked.load(Ordering::Relaxed) == 0 && !shared.writer_failed.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Files the confined agent still writes or reads.
struct Outputs {
    last_status: File,
    statm: File,
}

impl Outputs {
    fn open() -> io::Result<Self> {
        let path = final_status_path();
        let last_status = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(Self { last_status, statm: File::open("/proc/self/statm")? })
    }

    /// Resident memory and the mapped part of it, KiB (`statm`: size, resident, shared …); 0 when it can't be read.
    fn resident_kib(&self) -> [u64; 2] {
        let mut text = [0; 128];
        let length = self.statm.read_at(&mut text, 0).unwrap_or_default();
        let mut pages = core::str::from_utf8(&text[..length]).unwrap_or_default().split(' ').skip(1);
        let page_kib = rustix::param::page_size() as u64 / 1024;
        [(); 2].map(|()| pages.next().and_then(|n| n.parse::<u64>().ok()).unwrap_or_default() * page_kib)
    }

    fn leave(&self, status: &Status) {
        let mut bytes = [0; limits::CONTROL_BYTES];
        let written = postcard::to_slice(status, &mut bytes)
            .map_err(io::Error::other)
            .and_then(|bytes| self.last_status.write_all_at(bytes, 0));
        if let Err(error) = written {
            log::warn!("last status: {error}");
        }
    }
}

fn status(state: &KernelState, shared: &Shared, outputs: &Outputs) -> Status {
    let books = accounts(state, shared);
    let heap = heap::in_use();
    let load = |number: &core::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
    let at = boottime();
    let (mode, reason) = state.mode_at(at);
    let [rss_kib, rss_mapped_kib] = outputs.resident_kib();
    Status {
        phase: shared.phase(),
        at,
        mode,
        reason,
        broken_until: state.broken_until(),
        policy: state.policy(),
        events: shared.by_kind(),
        denied: shared.denied(),
        passed: state.total_passed(),
        seen: books.seen,
        written: books.written,
        lost: books.lost,
        ring: RingStatus {
            first: load(&shared.ring_first),
            acked: load(&shared.acked),
            used: load(&shared.ring_used),
            capacity: load(&shared.ring_capacity),
            flushes: load(&shared.flushes),
            errors: load(&shared.write_errors),
        },
        heap: HeapStatus {
            limit: heap.limit as u64,
            peak: heap.peak as u64,
            current: heap.current as u64,
            allocations: load(&shared.reader_allocations) + load(&shared.writer_allocations),
        },
        rss_kib,
        rss_mapped_kib,
    }
}
