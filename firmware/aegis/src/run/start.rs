//! Start-up and end of `aegis run`: open everything, give up everything, run, seal.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use aegis_event::{Body, limits::DETAIL_BYTES};
use aegis_init::turns::Turns;
use aegis_ring::Recovery;
use rustix::event::epoll;

use super::books::Entry;
use super::deadman::Deadman;
use super::glass::Glass;
use super::ledger::Ledger;
use super::open::{exported_of, open};
use super::outputs::{Outputs, status};
use super::queue::{Events, In};
use super::reader::{Missing, Reader};
use super::shared::{Phase, Shared};
use super::signals::Signals;
use super::status::Setup;
use super::watch::gap_of;
use super::{confine, control, writer};
use crate::config::{self, Loaded};
use crate::kernel::{EventSource, KernelState};
use crate::outcome::{Failure, Outcome};
use crate::storage::{RUN, lock, tally};
use crate::{heap, limits, logs};

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
    bound_memory();
    let _only_one = one_agent()?;

    let state: &'static KernelState = Box::leak(Box::new(KernelState::open().map_err(|error| {
        Failure::error(format!("probes are not loaded: {error} (run `aegis load` first)"))
    })?));
    let source =
        EventSource::open().map_err(|error| Failure::error(format!("kernel ring buffer: {error}")))?;
    let loaded = config::load();
    let opened = open(options, &loaded.config, state)?;
    let poll = poll_for(&source, &signals).map_err(|error| Failure::error(format!("epoll: {error}")))?;
    let listener = control::bind()
        .map_err(|error| Failure::error(format!("{}: {error}", control::socket_path().display())))?;
    // From now on an export tells the agent; one that could not yet has left it in the cursor.
    let exported = exported_of(&opened.tools.ring.geometry().ring_id);
    let ledger = Ledger::open(opened.tools.ring.geometry().ring_id);
    let outputs =
        Outputs::open(Setup::of(&loaded)).map_err(|error| Failure::error(format!("{RUN}: {error}")))?;

    tally::started(tally::Program::Agent);
    crate::kernel::guard_agent().map_err(|error| Failure::error(error.to_string()))?;
    confine::drop_privileges().map_err(|error| Failure::error(format!("capabilities: {error}")))?;

    let shared: &'static Shared = Box::leak(Box::default());
    shared.exported.store(exported, Ordering::Relaxed);
    let books = opened.tools.books.clone();
    shared.before.store(books.before, Ordering::Relaxed);
    shared.taken.store(books.taken, Ordering::Relaxed);
    shared.durable.store(books.taken, Ordering::Relaxed);
    for cause in aegis_event::Cause::ALL {
        shared.lose(*cause, books.lost[usize::from(cause.number())]);
    }
    let queue: &'static mut Events = Box::leak(Box::default());
    let (producer, consumer) = queue.split();
    let warm: &'static Barrier = Box::leak(Box::new(Barrier::new(2)));
    let outputs: &'static Outputs = Box::leak(Box::new(outputs));

    let reader_thread = thread::current();
    let stop = signals.watch();
    let mut tools = opened.tools;
    let turns;
    [turns, tools.turns] = turns_of_loops();
    let writer = thread::Builder::new()
        .name("writer".into())
        .spawn(move || writer::run(tools, consumer, shared, &reader_thread, &stop))
        .map_err(|error| Failure::error(format!("writer thread: {error}")))?;
    let agent =
        control::Agent { status: || status(state, shared, outputs), shared, writer: writer.thread().clone() };
    thread::Builder::new()
        .name("control".into())
        .spawn(move || control::serve(&listener, warm, &agent))
        .map_err(|error| Failure::error(format!("control thread: {error}")))?;
    warm.wait();
    logs::hurry().map_err(|error| Failure::error(format!("log thread: {error}")))?;
    heap::drop_code_pages();
    confine::restrict_calls().map_err(|error| Failure::error(format!("seccomp: {error}")))?;

    let queue = In { producer, writer: writer.thread().clone(), turns };
    let missing = opened.ran_before.then(Missing::new);
    let mut reader = Reader {
        source,
        state,
        queue,
        shared,
        signals,
        poll,
        books,
        missing,
        glass: Glass::default(),
        deadman: Deadman::new(),
        trace: options.trace,
        argv: loaded.config.events.argv,
    };
    say_what_was_found(&mut reader, &opened.recovery, &loaded);
    ledger.say(&mut reader);
    shared.begun.store(true, Ordering::Release);
    writer.thread().unpark();
    wait_for_writer(shared, &mut reader.queue);
    if shared.running.load(Ordering::Acquire) && !shared.full.load(Ordering::Relaxed) {
        ledger.is_durable();
    }
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
        let lost = shared.written().saturating_sub(durable);
        shared.refused.store(0, Ordering::Relaxed);
        shared.taken.store(durable, Ordering::Relaxed);
        shared.lose(aegis_event::Cause::RingWrite, lost);
    }
    outputs.leave(&status(state, shared, outputs));
    if ended_well {
        log::info!("sealed after signal {signal}");
        logs::finish();
        Ok(())
    } else if shared.full.load(Ordering::Relaxed) {
        Err(Failure::refused("the ring could not be sealed: it is full (export, then start the agent again)"))
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

/// Its memory is bounded; so of all that the kernel may end for want of memory it is nearly the last (proc(5)).
fn bound_memory() {
    heap::set_limit(limits::RUN_HEAP_BYTES);
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", limits::OOM_SCORE) {
        log::warn!(
            "/proc/self/oom_score_adj: {error} (the agent is ended like any other where memory runs out)"
        );
    }
}

/// Where reader and writer say that they turn. Without it the watchdog is left alone after a while: said here, why.
fn turns_of_loops() -> [Option<Turns>; 2] {
    match aegis_init::turns::begin() {
        Ok(turns) => turns.map(Some),
        Err(error) => {
            log::error!("{RUN}/turns: {error}");
            [None, None]
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

/// The first events of a run: that it began, by what configuration, and what the run before left behind.
fn say_what_was_found(reader: &mut Reader<'_>, recovery: &Recovery, loaded: &Loaded) {
    let version = env!("CARGO_PKG_VERSION");
    reader.say(Body::Start { version, clean: recovery.clean }, Entry::Nothing);
    let detail = loaded.fault.clone().unwrap_or_else(|| Setup::of(loaded).to_string());
    let detail = &detail[..detail.floor_char_boundary(DETAIL_BYTES)];
    reader.say(Body::Config { code: loaded.source.name(), detail }, Entry::Nothing);
    for gap in recovery.gaps().iter().flatten() {
        reader.say(Body::Gap(gap_of(gap)), Entry::Nothing);
    }
}

/// Ready means: the first events are on disk and sealed, or the ring is full. A disk that only fails is waited for, and the reader turns.
fn wait_for_writer(shared: &Shared, queue: &mut In<'_>) {
    while !shared.running.load(Ordering::Acquire) && !shared.writer_failed.load(Ordering::Relaxed) {
        queue.turned();
        thread::sleep(Duration::from_millis(5));
    }
}
