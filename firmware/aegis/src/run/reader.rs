//! The reader: kernel ring buffer -> event -> queue. Allocates nothing once the agent is ready; a word on the console while
//! the glass is broken costs a few allocations a minute.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use aegis_config::Keep;
use aegis_event::{Accounts, Body, Cause, Event, Mode, ModeReason, Printable};
use aegis_log::limits::ARGV_BYTES;
use rustix::event::{Timespec, epoll};

use super::books::{Books, Entry, KERNEL_CAUSES};
use super::console;
use super::deadman::Deadman;
use super::glass::{Glass, Look};
use super::queue::{In, Slot};
use super::shared::{Phase, Shared};
use super::signals::Signals;
use super::translate::{struck, translate};
use crate::heap;
use crate::kernel::{EventSource, KernelState, SELF_RULE};
use crate::limits;
use crate::storage::device::boottime;

/// Records taken before signals and losses are looked at again.
const BATCH: usize = 256;
/// How often losses are looked for while events flow.
const LOSS_INTERVAL: Duration = Duration::from_millis(100);

/// What came of taking records.
#[derive(Clone, Copy, Debug)]
struct Taken {
    count: usize,
    /// The kernel had no more.
    drained: bool,
}

/// Everything the event path needs, open and allocated before privileges are dropped.
pub(crate) struct Reader<'r> {
    pub(crate) source: EventSource,
    pub(crate) state: &'r KernelState,
    pub(crate) queue: In<'r>,
    pub(crate) shared: &'r Shared,
    pub(crate) signals: Signals,
    pub(crate) poll: rustix::fd::OwnedFd,
    /// What is booked as reported so far: this run's and, in the same boot, earlier runs'.
    pub(crate) books: Books,
    /// An agent ran before in this boot and may have died with events in hand. None when none did, or when it is settled.
    pub(crate) missing: Option<Missing>,
    pub(crate) glass: Glass,
    pub(crate) deadman: Deadman,
    pub(crate) trace: bool,
    /// What is recorded of arguments.
    /// By the configuration; the policy in force may want less.
    pub(crate) argv: Keep,
}

/// How many events a killed agent took with it: seen, and neither written, lost nor still in the kernel ring buffer.
///
/// A record that a probe is just writing is seen but can't be taken yet, so a single look may be too high. Two looks with
/// nothing seen between them are exact. While workloads never pause, the lowest look is an upper bound, used at the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missing {
    lowest: u64,
    /// Events seen at the last look.
    seen: Option<u64>,
}

impl Missing {
    pub(crate) const fn new() -> Self {
        Self { lowest: u64::MAX, seen: None }
    }

    /// Takes a look; the number once it is certain.
    fn look(&mut self, books: &Accounts) -> Option<u64> {
        let missing = books.missing();
        self.lowest = self.lowest.min(missing);
        let still = self.seen.replace(books.seen) == Some(books.seen);
        (still || self.lowest == 0).then_some(self.lowest)
    }
}

impl Reader<'_> {
    /// Reads until a signal asks for the end; returns the signal's number.
    pub(crate) fn run(&mut self) -> u8 {
        let mut allocations = None;
        let mut losses_at = Instant::now();
        // Events were taken since losses were last looked at.
        let mut unlooked = true;
        loop {
            let Taken { count, drained } = self.take(BATCH);
            let turn = self.queue.turned();
            let stuck = self.is_stuck();
            unlooked |= count > 0;
            if losses_at.elapsed() >= LOSS_INTERVAL && !stuck {
                losses_at = Instant::now();
                unlooked = false;
                self.report_losses();
                if drained {
                    self.look_for_missing();
                }
            }
            let glass = if stuck { self.warn_of_glass() } else { self.look_at_glass() };
            let made = heap::allocations_of_this_thread();
            let since = *allocations.get_or_insert(made);
            self.shared.reader_allocations.store(made - since, Relaxed);
            if self.signals.count() > 0 {
                break;
            }
            if stuck {
                // The writer says when there is room again.
                std::thread::park_timeout(Duration::from_millis(limits::FULL_MILLIS));
            } else if (1..BATCH / 2).contains(&count) {
                // Where there was one there are more: they gather in the kernel, which wakes nobody for what comes while
                // something waits. Not in a storm, which would fill its ring buffer.
                std::thread::sleep(Duration::from_micros(limits::GATHER_MICROS));
            } else if drained {
                // With nothing to settle, sleep until there is an event, or it is time to say that this loop turns. (Breaking the
                // glass is told by an event.)
                let settled = self.missing.is_none() && !unlooked;
                let losses = if settled { None } else { Some(LOSS_INTERVAL) };
                self.wait([losses, glass, turn].into_iter().flatten().min());
            }
        }
        self.shared.set_phase(Phase::Stopping);
        self.drain();
        self.close_books();
        self.signals.last()
    }

    /// The ring is full, and so is the queue: what there is stays in the kernel, which counts what it can't keep.
    fn is_stuck(&self) -> bool {
        self.shared.full.load(Relaxed) && !self.queue.has_room()
    }

    /// Takes at most `most` records, and has them written.
    fn take(&mut self, most: usize) -> Taken {
        let taken = self.queue_records(most);
        if taken.count > 0 {
            self.queue.writer.unpark();
        }
        taken
    }

    fn queue_records(&mut self, most: usize) -> Taken {
        for taken in 0..most {
            // What is taken must find a place: it waits here, where nothing is in hand yet.
            let shared = self.shared;
            self.queue.wait_for_room(|| shared.full.load(Relaxed) || shared.writer_failed.load(Relaxed));
            if self.is_stuck() {
                return Taken { count: taken, drained: false };
            }
            let Some(record) = self.source.next() else { return Taken { count: taken, drained: true } };
            let deadman = &mut self.deadman;
            let mut buffer = [0; ARGV_BYTES];
            let translated = translate(&record, self.state, |event, slot, set| {
                let event = &struck(event, self.argv.max(self.state.argv(set)), &mut buffer);
                let decision = event.body.decision();
                if let Some(decision) = decision.filter(|decision| decision.deadman) {
                    deadman.saw(slot, decision.policy, event.time);
                }
                if let Some(decision) = decision.filter(|decision| decision.rule == SELF_RULE) {
                    self.shared.count_guarded(decision.verdict);
                }
                let verdict = decision.map(|decision| decision.verdict);
                (
                    Slot::encode(event, Entry::Counted),
                    event.kind(),
                    verdict,
                    self.trace.then(|| console::trace(event)),
                )
            });
            drop(record);
            match translated {
                Some((Some(slot), kind, verdict, _)) => {
                    let shared = self.shared;
                    if self.queue.add(slot, || shared.writer_failed.load(Relaxed)) {
                        shared.count(kind, verdict);
                    } else {
                        shared.lose(Cause::RingWrite, 1);
                    }
                }
                // Counted now, written by the next look for losses.
                _ => self.shared.lose(Cause::BadRecord, 1),
            }
        }
        Taken { count: most, drained: false }
    }

    /// Queues an event of the agent's own.
    pub(crate) fn say(&mut self, body: Body<'_>, entry: Entry) {
        let event = Event { time: boottime(), subject: None, body };
        if self.trace {
            console::trace(&event);
        }
        if let Some(slot) = Slot::encode(&event, entry) {
            let shared = self.shared;
            if self.queue.push(slot, || shared.writer_failed.load(Relaxed)) {
                shared.count(event.kind(), None);
            }
        }
    }

    /// Sleeps until there is an event or a signal, or for so long; less than the 24 days that epoll can.
    fn wait(&self, timeout: Option<Duration>) {
        let timeout = timeout.map(|limit| Timespec {
            tv_sec: limit.as_secs().cast_signed(),
            tv_nsec: i64::from(limit.subsec_nanos()),
        });
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 2];
        // An error here is a signal; the loop looks at signals next.
        let _ = epoll::wait(&self.poll, &mut events[..], timeout.as_ref());
    }

    /// Writes a loss event for each workload that lost some since the last look, and for what the agent lost; and whose
    /// deadman fell.
    fn report_losses(&mut self) {
        // At the end the writer makes room, whatever the ring says.
        let goes_on = self.shared.phase() != Phase::Stopping;
        for slot in 0..limits::WORKLOADS {
            if goes_on && self.is_stuck() {
                return;
            }
            let lost = [self.state.ring_full(slot), self.state.limited(slot)];
            for (index, (cause, lost)) in KERNEL_CAUSES.into_iter().zip(lost).enumerate() {
                let count = lost.saturating_sub(self.books.reported[index][slot]);
                if count > 0 {
                    let entry = Entry::KernelLoss { cause: index, slot, count };
                    self.books.add(entry);
                    let name = self.state.workload_name(slot);
                    self.say(Body::Loss { workload: &name, cause, count }, entry);
                }
            }
        }
        self.report_deadman();
        for cause in [Cause::BadRecord, Cause::RingWrite] {
            let index = usize::from(cause.number());
            let count = self.shared.lost()[index].saturating_sub(self.books.lost[index]);
            if count > 0 {
                self.report_own_loss(cause, count);
            }
        }
    }

    /// Says whose deadman fell, loudly.
    fn report_deadman(&mut self) {
        let goes_on = self.shared.phase() != Phase::Stopping;
        while !(goes_on && self.is_stuck())
            && let Some(fallen) = self.deadman.take()
        {
            let (name, sequence) = (self.state.workload_name(fallen.slot), fallen.policy);
            console::warn(format_args!(
                "DEADMAN FELL: too many denials of {}; it is only audited until the next policy",
                Printable(&name)
            ));
            self.say(Body::Deadman { workload: &name, sequence, since: fallen.since }, Entry::Nothing);
        }
    }

    /// Books events that the agent lost, and writes the loss event.
    fn report_own_loss(&mut self, cause: Cause, count: u64) {
        let entry = Entry::AgentLoss(cause, count);
        self.books.add(entry);
        self.say(Body::Loss { workload: b"", cause, count }, entry);
    }

    /// Settles what an agent that was killed earlier in this boot took with it.
    fn look_for_missing(&mut self) {
        let books = self.accounts();
        if let Some(count) = self.missing.as_mut().and_then(|missing| missing.look(&books)) {
            self.book_missing(count);
        }
    }

    fn book_missing(&mut self, count: u64) {
        self.missing = None;
        if count > 0 {
            self.shared.lose(Cause::AgentKilled, count);
            self.report_own_loss(Cause::AgentKilled, count);
        }
    }

    /// As [`look_at_glass`](Self::look_at_glass), on the console only: there is no room for an event.
    fn warn_of_glass(&mut self) -> Option<Duration> {
        let until = self.state.broken_until();
        if until != self.books.mended && boottime() < until { self.look_at_glass() } else { None }
    }

    /// Says what is new of the glass; returns how long there is nothing to look for, none while it is whole.
    fn look_at_glass(&mut self) -> Option<Duration> {
        let until = self.state.broken_until();
        if until == self.books.mended {
            return None; // Never broken, or over and said: no clock is read.
        }
        let now = boottime();
        match self.glass.look(until, self.books.mended, now) {
            Look::Nothing => {}
            Look::Broken { seconds } => {
                let given = console::is_writable(&rustix::stdio::stderr());
                if given {
                    log::warn!("GLASS IS BROKEN: nothing is denied for another {seconds} s");
                }
                self.glass.warned(until, now, given);
            }
            Look::Mended { until } => self.say_mended(until),
        }
        self.glass.pause(until, now)
    }

    /// Writes that the break that ended then is over: once, since it is booked with the event.
    fn say_mended(&mut self, until: u64) {
        let passed = self.state.total_passed().saturating_sub(self.books.passed);
        let (mode, reason) = self.state.proven_mode();
        let mode = Mode::from_number(mode).unwrap_or(Mode::AuditOnly);
        let reason = ModeReason::from_number(reason).unwrap_or(ModeReason::SelfTestFailed);
        let entry = Entry::Mended { until, passed };
        self.books.add(entry);
        self.say(Body::GlassMended { until, passed, mode, reason }, entry);
        if console::is_writable(&rustix::stdio::stderr()) {
            log::warn!("the glass is whole again: {passed} would-be denials passed; now {mode} ({reason})");
        }
    }

    fn accounts(&self) -> Accounts {
        accounts(self.state, self.shared)
    }

    /// Takes what the kernel held when the signal came, then a little more until the books balance: they do as soon as
    /// workloads are quiet, and what busy ones still make waits in the kernel for the next agent. A second signal ends it.
    fn drain(&mut self) {
        let begun = Instant::now();
        let mut looked: Option<Instant> = None;
        let goal = self.accounts().seen;
        while self.signals.count() < 2 && begun.elapsed() < Duration::from_millis(limits::DRAIN_MILLIS) {
            let taken = self.take(BATCH);
            if !taken.drained {
                if taken.count < BATCH {
                    std::thread::sleep(Duration::from_millis(1));
                }
                continue;
            }
            if !self.shared.full.load(Relaxed) {
                self.report_losses();
            }
            if looked.is_none_or(|at| at.elapsed() >= LOSS_INTERVAL) {
                looked = Some(Instant::now());
                self.look_for_missing();
            }
            let books = self.accounts();
            let reached = books.written + books.total_lost() >= goal;
            let patient = begun.elapsed() < Duration::from_millis(limits::BALANCE_MILLIS);
            if self.missing.is_none() && (books.balanced() || reached && !patient) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until the writer has taken everything, or refused it: a ring that is full takes nothing at the end, and what it
    /// refuses is lost only then.
    fn settle(&self) {
        let begun = Instant::now();
        while !self.queue.is_empty()
            && !self.shared.writer_failed.load(Relaxed)
            && begun.elapsed() < Duration::from_millis(limits::BALANCE_MILLIS)
        {
            self.queue.writer.unpark();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn close_books(&mut self) {
        if let Some(missing) = self.missing.filter(|missing| missing.seen.is_some()) {
            // Never still to the end: what no look could explain.
            self.book_missing(missing.lowest);
        }
        self.look_at_glass();
        self.settle();
        self.report_losses();
        let accounts = self.accounts();
        self.say(Body::Accounts(accounts), Entry::Nothing);
        let signal = self.signals.last();
        self.say(Body::Stop { signal }, Entry::Nothing);
    }
}

/// The books now. `seen` is read last: an event taken is never missing from it.
pub(crate) fn accounts(state: &KernelState, shared: &Shared) -> Accounts {
    let written = shared.written();
    let mut lost = shared.lost();
    for (cause, total) in KERNEL_CAUSES.into_iter().zip([state.total_ring_full(), state.total_limited()]) {
        let lost = &mut lost[usize::from(cause.number())];
        *lost = lost.saturating_add(total);
    }
    Accounts { seen: shared.before.load(Relaxed).saturating_add(state.total_seen()), written, lost }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_agent_took_is_certain_when_nothing_moves() {
        let books = |seen, written| Accounts { seen, written, ..Accounts::default() };
        let mut missing = Missing::new();
        assert_eq!(missing.look(&books(100, 80)), None, "some of the 20 may be on their way");
        assert_eq!(missing.look(&books(120, 105)), None);
        assert_eq!(missing.look(&books(120, 107)), Some(13), "nothing seen since: what is left is gone");
        assert_eq!(Missing::new().look(&books(100, 100)), Some(0), "nothing is missing");
    }
}
