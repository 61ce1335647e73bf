//! What the writer says of the ring itself: levels, gaps, seals. As events, and on the console where a person is needed.

use std::sync::atomic::Ordering::Release;

use aegis_event::{Body, Event, Gap, Level};
use aegis_ring::Full;

use super::super::books::Entry;
use super::super::console;
use super::super::queue::Slot;
use super::{Refused, Writer};
use crate::storage::device::boottime;

/// A level that is to be said.
#[derive(Clone, Copy, Debug)]
pub(super) struct RingLevelAt {
    at: u64,
    level: Level,
    percent: u8,
}

impl RingLevelAt {
    fn now(level: Level, percent: u8) -> Self {
        Self { at: boottime(), level, percent }
    }
}

impl Writer<'_> {
    /// Says something of the ring itself; `at`: when it was. `own`: as for any event of the agent's own, there is
    /// room kept in a ring that is full.
    fn say(&mut self, at: u64, body: Body<'_>, own: bool) -> Result<(), Refused> {
        let event = Event { time: at, subject: None, body };
        // Our own words are within their bounds.
        let Some(slot) = Slot::encode(&event, Entry::Nothing) else { return Ok(()) };
        self.append(&slot, own, boottime())?;
        self.shared.count(event.kind(), None);
        if self.tools.trace {
            console::trace(&event);
        }
        Ok(())
    }

    /// After an export: if there is room, what could not be said comes first.
    pub(super) fn try_to_go_on(&mut self) -> Result<(), Refused> {
        let percent = self.tools.ring.stats().unexported_percent();
        self.shared.full.store(false, Release);
        self.tools.sealing.catch_up(&mut self.tools.ring);
        let level = self.watch.level(self.tools.ring.level_changed(), false);
        let now = RingLevelAt::now(level.unwrap_or(Level::Critical), percent);
        for RingLevelAt { at, level, percent } in [self.unsaid, Some(now)].into_iter().flatten() {
            // As any event: what is kept for the agent is no room to go on with.
            match self.say(at, Body::RingLevel { level, percent }, false) {
                Err(Refused::Full) => {
                    self.shared.full.store(true, Release);
                    let _ = self.watch.level(None, true);
                    return Ok(());
                }
                other => other?,
            }
            self.unsaid = None;
        }
        console::warn(format_args!("the ring has room again: events are recorded"));
        // From now on epochs are promised again.
        self.checkpoint_at = boottime();
        self.publish();
        Ok(())
    }

    /// The ring takes nothing more: says so, and has everything that is in it sealed.
    pub(super) fn become_full(&mut self) -> Result<(), Refused> {
        if self.shared.full.swap(true, Release) {
            return Ok(());
        }
        let _ = self.watch.level(self.tools.ring.level_changed(), true);
        let percent = self.tools.ring.stats().unexported_percent();
        let full = RingLevelAt::now(Level::Full, percent);
        self.publish();
        console::warn(format_args!(
            "THE RING IS FULL: nothing more is recorded until there is an export (plug in a stick)"
        ));
        match self.say(full.at, Body::RingLevel { level: Level::Full, percent }, true) {
            Err(Refused::Full) => self.unsaid = Some(full),
            other => other?,
        }
        self.checkpoint(true)
    }

    /// Says how full the ring is of what was not exported, if that is called otherwise now.
    pub(super) fn look_at_level(&mut self) -> Result<(), Refused> {
        let changed = self.tools.ring.level_changed();
        let Some(level) = self.watch.level(changed, self.is_stuck()) else { return Ok(()) };
        let percent = self.tools.ring.stats().unexported_percent();
        self.publish();
        let then = match self.tools.full {
            Full::Overwrite => "the oldest events will be overwritten",
            Full::Stop => "nothing more will be recorded",
        };
        match level {
            Level::Normal => console::warn(format_args!("ring: {percent}% of it is not exported")),
            Level::High | Level::Critical | Level::Full => console::warn(format_args!(
                "RING: {percent}% OF IT IS NOT EXPORTED ({level}): plug in a stick, or {then}"
            )),
        }
        self.say_or_leave(Body::RingLevel { level, percent })
    }

    pub(super) fn say_gap(&mut self, gap: Gap) -> Result<(), Refused> {
        self.say_or_leave(Body::Gap(gap))
    }

    pub(super) fn say_news(&mut self) -> Result<(), Refused> {
        let Some(code) = self.tools.sealing.take_news() else { return Ok(()) };
        let epoch = self.tools.sealing.epoch();
        self.say_or_leave(Body::Seal { code, epoch })
    }

    /// Says it, unless there is no room for it in a ring that is full to its end: status and console have said it.
    fn say_or_leave(&mut self, body: Body<'_>) -> Result<(), Refused> {
        match self.say(boottime(), body, true) {
            Err(Refused::Full) => Ok(()),
            other => other,
        }
    }
}
