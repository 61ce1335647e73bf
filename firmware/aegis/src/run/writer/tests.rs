#![allow(clippy::unwrap_used)]
use std::fs::File;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Instant;

use aegis_event::{Accounts, Body, Event, Gap, GapCause, Kind, Level};
use aegis_ring::{Entry as RingEntry, FormatOptions, Options, Reader, Record, SyncMode};
use aegis_seal::{Certificate, Chain, Checkpoint};

use super::super::queue::{Events, In};
use super::*;

const RING_BYTES: u64 = 1 << 20;
const DETAIL: &str =
    "an event of a size that fills a small ring in little time, and says nothing beside that to anybody";

/// A writer on a ring of its own, and what feeds it.
struct Bench {
    shared: &'static Shared,
    stop: Arc<AtomicUsize>,
    input: In<'static>,
    writer: JoinHandle<()>,
    pushed: u64,
}

/// What a ring holds.
struct Found {
    clean: bool,
    events: Vec<(u64, Kind, Body<'static>)>,
    checkpoints: Vec<Checkpoint>,
    next_sequence: u64,
    overwritten: u64,
}

fn ring_device(directory: &Path) -> RingDevice {
    RingDevice::open(Some(&directory.join("ring")), true).unwrap()
}

fn new_ring() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    File::create(directory.path().join("ring")).unwrap().set_len(RING_BYTES).unwrap();
    let options = FormatOptions { ring_id: [9; 16], bytes: RING_BYTES, segment_bytes: 64 << 10 };
    aegis_ring::format(ring_device(directory.path()), &options).unwrap();
    directory
}

impl Bench {
    fn start(directory: &Path, boot: u8, full: Full, period: u32, sync: SyncMode) -> Self {
        let options = Options { sync, full, exported: 0 };
        let device = ring_device(directory);
        let buffer = vec![0; limits::COMMIT_BYTES].leak();
        let mut ring = Ring::open_with(device, [boot; 16], buffer, options).unwrap();
        let sealing = Sealing::in_directory(&mut ring, directory, [boot; 16], period);
        let file = BooksFile::of(File::create(directory.join("books")).unwrap());
        let pace = Pace::new(sync);
        let books = Books::default();
        let tools = Tools { ring, sealing, pace, full, period, file, books, turns: None, trace: false };
        let shared: &'static Shared = Box::leak(Box::default());
        let queue: &'static mut Events = Box::leak(Box::default());
        let (producer, consumer) = queue.split();
        let (stop, reader) = (Arc::new(AtomicUsize::new(0)), std::thread::current());
        let writer = {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || run(tools, consumer, shared, &reader, &stop))
        };
        let input = In { producer, writer: writer.thread().clone(), turns: None };
        let mut bench = Self { shared, stop, input, writer, pushed: 0 };
        bench.say(Body::Start { version: "test", clean: false });
        shared.begun.store(true, Release);
        bench.input.writer.unpark();
        bench.until(|shared| shared.running.load(Acquire));
        bench
    }

    fn say(&mut self, body: Body<'_>) {
        self.push(body, Entry::Nothing);
    }

    fn push(&mut self, body: Body<'_>, entry: Entry) {
        let slot = Slot::encode(&Event { time: 1, subject: None, body }, entry).unwrap();
        assert!(self.input.push(slot, || false));
    }

    /// A counted event, if there is room for it.
    fn count_one(&mut self) -> bool {
        let shared = self.shared;
        self.input.wait_for_room(|| shared.full.load(Relaxed));
        if !self.input.has_room() {
            return false;
        }
        self.push(Body::Stick { code: "test", detail: DETAIL }, Entry::Counted);
        shared.taken.fetch_add(1, Relaxed);
        self.pushed += 1;
        true
    }

    fn until(&self, done: impl Fn(&Shared) -> bool) {
        let begun = Instant::now();
        while !done(self.shared) {
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not come");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn export(&self, sequence: u64) {
        self.shared.exported.fetch_max(sequence, Relaxed);
        self.input.writer.unpark();
    }

    fn signal(&self) {
        self.stop.store(15, Relaxed);
        self.input.writer.unpark();
    }

    /// Ends it as the reader does; true when it ended well.
    fn end(self) -> bool {
        self.end_with(0)
    }

    /// As [`end`](Self::end), of a writer that had to allocate so often.
    fn end_with(mut self, allocations: u64) -> bool {
        self.signal();
        while !self.input.is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let lost = self.shared.lost();
        let books = Accounts { seen: self.pushed, written: self.shared.written(), lost };
        assert!(books.balanced(), "{books:?}");
        self.say(Body::Accounts(books));
        self.say(Body::Stop { signal: 15 });
        self.shared.closed.store(true, Release);
        self.input.writer.unpark();
        self.writer.join().unwrap();
        assert_eq!(self.shared.writer_allocations.load(Relaxed), allocations, "the writer allocates");
        !self.shared.writer_failed.load(Relaxed)
    }
}

/// Reads the ring; its checkpoints must be one chain.
fn found(directory: &Path) -> Found {
    let mut scratch = vec![0; 64 << 10];
    let mut reader = Reader::open(ring_device(directory), &mut scratch).unwrap();
    let (clean, next_sequence) = (reader.sealed(), reader.next_sequence());
    let overwritten = reader.books().overwritten;
    let (mut events, mut checkpoints, mut chain) = (Vec::new(), Vec::new(), None::<Chain>);
    while let Some(entry) = reader.next_entry().unwrap() {
        match entry {
            RingEntry::Event(frame) => {
                let event = Event::decode(frame.payload.to_vec().leak()).unwrap();
                events.push((frame.sequence, event.kind(), event.body));
            }
            RingEntry::Mark(mark) => {
                let Some(record) = Record::decode(mark.kind, mark.payload) else { continue };
                if record.certificate {
                    let certificate = Certificate::peek(record.bytes).unwrap();
                    assert!(chain.is_none(), "a second chain");
                    chain = Some(Chain::begin(&certificate, record.bytes));
                } else {
                    let checkpoint = Checkpoint::open(record.bytes).unwrap();
                    // What is before the first one at hand may be overwritten.
                    let chain = chain.get_or_insert(Chain {
                        device: checkpoint.device,
                        ring: checkpoint.ring,
                        next_epoch: checkpoint.epoch,
                        next_key: checkpoint.key,
                        previous: checkpoint.previous,
                    });
                    assert_eq!(chain.follow(&checkpoint, record.bytes), Ok(()), "{checkpoint:?}");
                    assert_eq!(checkpoint.sequence, mark.sequence, "it stands where it says");
                    checkpoints.push(checkpoint);
                }
            }
        }
    }
    Found { clean, events, checkpoints, next_sequence, overwritten }
}

impl Found {
    fn of(&self, kind: Kind) -> Vec<&Body<'static>> {
        self.events.iter().filter(|(_, of, _)| *of == kind).map(|(_, _, body)| body).collect()
    }

    fn levels(&self) -> Vec<Level> {
        let level = |body: &&Body<'_>| match body {
            Body::RingLevel { level, .. } => *level,
            other => panic!("{other:?}"),
        };
        self.of(Kind::RingLevel).iter().map(level).collect()
    }

    /// The last checkpoint covers everything.
    fn is_sealed(&self) -> bool {
        self.checkpoints.last().is_some_and(|last| last.sequence + 1 == self.next_sequence)
    }
}

#[test]
fn an_idle_ring_is_sealed_at_the_start_in_each_period_when_asked_and_at_the_end() {
    let directory = new_ring();
    let bench = Bench::start(directory.path(), 1, Full::Overwrite, 1, SyncMode::WINDOW);
    assert_eq!(bench.shared.sealing.sequence.load(Relaxed), 2, "start and seal events");
    let at = bench.shared.sealing.at.load(Relaxed);
    bench.until(|shared| shared.sealing.at.load(Relaxed) > at + 2 * SECOND);
    // Two that come close one behind the other are answered, the second one a second later.
    for asked in 1..=2 {
        bench.shared.asked.store(asked, Release);
        bench.input.writer.unpark();
        bench.until(|shared| shared.answered.load(Acquire) == asked);
    }
    assert!(bench.end());
    let found = found(directory.path());
    assert!(found.clean && found.is_sealed());
    let kinds: Vec<Kind> = found.events.iter().map(|(_, kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::Start, Kind::Seal, Kind::Accounts, Kind::Stop]);
    assert!((6..=8).contains(&found.checkpoints.len()), "{}", found.checkpoints.len());
    let empty = found.checkpoints.windows(2).filter(|two| two[0].sequence == two[1].sequence).count();
    assert!(empty >= 3, "{empty} empty epochs");
    // Only the last one promises nothing.
    let (last, others) = found.checkpoints.split_last().unwrap();
    assert!(last.period == 0 && others.iter().all(|checkpoint| checkpoint.period == 1));
}

#[test]
fn a_full_ring_says_so_is_sealed_and_goes_on_after_an_export() {
    let directory = new_ring();
    let mut bench = Bench::start(directory.path(), 1, Full::Stop, 3600, SyncMode::WINDOW);
    while bench.count_one() {}
    bench.until(|shared| shared.full.load(Relaxed) && shared.level() == Level::Full);
    bench.until(|shared| shared.sealing.sequence.load(Relaxed) == shared.acked.load(Relaxed));
    let stood = bench.shared.acked.load(Relaxed);
    // An export of too little changes nothing.
    bench.export(3);
    std::thread::sleep(Duration::from_millis(50));
    assert!(bench.shared.full.load(Relaxed));
    assert_eq!(bench.shared.acked.load(Relaxed), stood);
    bench.export(stood);
    bench.until(|shared| !shared.full.load(Relaxed) && shared.level() == Level::Normal);
    bench.until(|shared| shared.durable.load(Relaxed) == shared.taken.load(Relaxed));
    let pushed = bench.pushed;
    assert!(bench.end());
    let found = found(directory.path());
    assert!(found.clean && found.is_sealed() && found.overwritten == 0);
    assert_eq!(found.levels(), [Level::High, Level::Critical, Level::Full, Level::Normal]);
    // Start, seal, four levels, accounts, stop. What is overwritten by now was exported.
    assert_eq!(found.next_sequence - 1, pushed + 8, "everything got its place");
    let covers_full = found.checkpoints.iter().find(|checkpoint| checkpoint.sequence == stood).unwrap();
    assert_eq!(covers_full.period, 0, "none is promised while it is full");
}

#[test]
fn a_ring_that_is_full_to_the_end_counts_what_it_refuses() {
    let directory = new_ring();
    let mut bench = Bench::start(directory.path(), 1, Full::Stop, 3600, SyncMode::WINDOW);
    while bench.count_one() {}
    let (shared, pushed) = (bench.shared, bench.pushed);
    assert!(bench.end(), "in good order");
    let refused = shared.lost()[usize::from(Cause::RingWrite.number())];
    assert!(refused > 100 && shared.written() + refused == pushed, "{refused} of {pushed}");
    let found = found(directory.path());
    assert!(found.clean && found.is_sealed());
    assert_eq!(found.of(Kind::Stick).len() as u64 + refused, pushed);
    assert!(matches!(found.events.last(), Some((_, Kind::Stop, _))));

    // The next run finds it full, and can't even say that it began; after an export it does.
    let bench = Bench::start(directory.path(), 2, Full::Stop, 3600, SyncMode::WINDOW);
    assert!(bench.shared.full.load(Relaxed) && bench.shared.level() == Level::Full);
    bench.export(u64::MAX);
    bench.until(|shared| !shared.full.load(Relaxed));
    assert!(bench.end());
    let found = self::found(directory.path());
    let kinds: Vec<Kind> = found.events.iter().rev().map(|(_, kind, _)| *kind).take(5).collect();
    assert_eq!(kinds, [Kind::Stop, Kind::Accounts, Kind::Start, Kind::RingLevel, Kind::RingLevel]);
    assert_eq!(found.levels()[2..], [Level::Full, Level::Full, Level::Normal]);
    assert!(found.clean && found.is_sealed());
}

/// What is kept for the agent in a ring that stops is not for empty epochs: that it is full is said there, and no epoch promised.
#[test]
fn a_ring_that_its_own_checkpoints_fill_says_so_too() {
    let directory = new_ring();
    let mut bench = Bench::start(directory.path(), 1, Full::Stop, 1, SyncMode::Each);
    let shared = bench.shared;
    let left = || shared.ring_capacity.load(Relaxed) - shared.ring_used.load(Relaxed);
    while left() > 12 << 10 {
        let far = left() > 128 << 10;
        assert!(bench.count_one());
        bench.until(|shared| far || shared.durable.load(Relaxed) == shared.taken.load(Relaxed));
    }
    bench.until(|shared| shared.full.load(Relaxed) && shared.seal() == Seal::Sealed);
    let full_at = Instant::now();
    bench.until(|_| full_at.elapsed() > Duration::from_millis(500));
    let at = shared.sealing.at.load(Relaxed);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!((shared.sealing.at.load(Relaxed), shared.seal()), (at, Seal::Sealed), "no empty epochs");
    assert!(bench.end());
    let found = found(directory.path());
    assert_eq!(found.levels().last(), Some(&Level::Full));
    assert!(matches!(found.events.last(), Some((_, Kind::Stop, _))));
    let promised = found.checkpoints.iter().rev().skip(1).map(|checkpoint| checkpoint.period);
    assert_eq!(promised.take(2).collect::<Vec<_>>(), [0, 1]);
}

/// A checkpoint was signed, and the power failed before the ring had it; then there is no room for it.
#[test]
fn a_checkpoint_that_is_to_be_redone_in_a_full_ring_comes_before_what_it_does_not_cover() {
    let directory = new_ring();
    let path = directory.path();
    let mut bench = Bench::start(path, 1, Full::Stop, 3600, SyncMode::WINDOW);
    while bench.count_one() {}
    assert!(bench.end());
    let full = std::fs::read(path.join("ring")).unwrap();
    {
        let options = Options { sync: SyncMode::WINDOW, full: Full::Stop, exported: u64::MAX };
        let buffer = vec![0; limits::COMMIT_BYTES].leak();
        let mut ring = Ring::open_with(ring_device(path), [2; 16], buffer, options).unwrap();
        let mut sealing = Sealing::in_directory(&mut ring, path, [2; 16], 0);
        sealing.checkpoint(&mut ring, false).unwrap();
    }
    std::fs::write(path.join("ring"), full).unwrap();

    let bench = Bench::start(path, 3, Full::Stop, 3600, SyncMode::WINDOW);
    assert!(bench.shared.full.load(Relaxed));
    bench.export(u64::MAX);
    bench.until(|shared| !shared.full.load(Relaxed));
    assert!(bench.end_with(1), "for the chain that it could not go on with before");
    let found = found(path);
    assert!(found.clean && found.is_sealed());
}

/// Who says that more was exported than there is does not keep the agent from hearing of the exports that follow.
#[test]
fn a_lie_about_exports_does_not_outlive_its_events() {
    let directory = new_ring();
    let mut bench = Bench::start(directory.path(), 1, Full::Stop, 3600, SyncMode::WINDOW);
    bench.export(u64::MAX);
    bench.until(|shared| shared.exported.load(Relaxed) == 0);
    while bench.count_one() {}
    bench.until(|shared| shared.full.load(Relaxed) && shared.level() == Level::Full);
    bench.export(bench.shared.acked.load(Relaxed));
    bench.until(|shared| !shared.full.load(Relaxed));
    assert!(bench.end());
    assert_eq!(found(directory.path()).overwritten, 0);
}

#[test]
fn what_is_overwritten_is_said_without_a_hole() {
    let directory = new_ring();
    let mut bench = Bench::start(directory.path(), 1, Full::Overwrite, 3600, SyncMode::WINDOW);
    for _ in 0..20_000 {
        assert!(bench.count_one());
    }
    assert!(bench.end());
    let found = found(directory.path());
    assert!(found.clean && found.is_sealed());
    let gaps: Vec<Gap> = found
        .of(Kind::Gap)
        .into_iter()
        .map(|body| match body {
            Body::Gap(gap) => *gap,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(gaps.len() >= 2 && gaps.len() <= found.checkpoints.len(), "{} gaps", gaps.len());
    assert!(gaps.iter().all(|gap| gap.cause == GapCause::Overwritten));
    assert!(gaps.windows(2).all(|two| two[0].last + 1 == two[1].first), "{gaps:?}");
    let last = gaps.last().unwrap();
    assert_eq!(last.last, last.total, "all from the first sequence on");
    // What the last segment overwrote when the agent ended is in the ring's own books.
    assert!(found.overwritten - last.total < 500, "{} of {}", last.total, found.overwritten);
    // Epochs are shorter than a round of the ring, however long they may be.
    assert!(found.checkpoints.windows(2).all(|two| two[1].open.segment - two[0].open.segment <= 5));
}

#[test]
fn without_a_sealing_state_events_go_on_and_it_is_said() {
    let directory = new_ring();
    std::fs::create_dir(directory.path().join("seal.state")).unwrap();
    let mut bench = Bench::start(directory.path(), 1, Full::Overwrite, 1, SyncMode::Each);
    for _ in 0..10 {
        assert!(bench.count_one());
    }
    let flushes = bench.shared.flushes.load(Relaxed);
    bench.until(|shared| shared.flushes.load(Relaxed) > flushes + 2);
    assert_eq!(bench.shared.seal(), Seal::Failed);
    assert!(bench.end());
    let found = found(directory.path());
    assert!(found.clean && found.checkpoints.is_empty());
    assert_eq!(found.of(Kind::Stick).len(), 10);
    assert_eq!(found.of(Kind::Seal), [&Body::Seal { code: "failed", epoch: 0 }], "once");
}
