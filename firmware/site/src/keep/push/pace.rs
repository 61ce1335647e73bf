//! When the collector is tried again: after a failure later and later, after several in a row seldom. Time and chance are passed in.

use std::time::Duration;

use crate::limits;

/// How it went so far.
#[derive(Debug)]
pub(super) struct Pace {
    failures: u32,
    /// What all times are divided by.
    hurry: u32,
    /// Events of the next export.
    events: u64,
}

impl Pace {
    pub(super) fn new(hurry: u32) -> Self {
        Self { failures: 0, hurry: hurry.max(1), events: limits::PUSH_EVENTS.0 }
    }

    /// It is tried seldom: the breaker is open.
    pub(super) const fn is_open(&self) -> bool {
        self.failures >= limits::PUSH_FAILURES
    }

    /// The collector took what there was, or there was nothing: how long until the next look.
    pub(super) fn held(&mut self) -> Duration {
        self.failures = 0;
        limits::PUSH_EVERY / self.hurry
    }

    /// The collector took something, whatever comes of the rest.
    pub(super) fn took(&mut self) {
        self.failures = 0;
        self.events = (self.events * 2).min(limits::PUSH_EVENTS.0);
    }

    /// An export did not go through in its time: the next one is shorter, if it can be; how often there was such a one says nothing of the
    /// collector as long as it can, unless it failed too often before.
    pub(super) fn late(&mut self) {
        let shorter = (self.events / 2).max(limits::PUSH_EVENTS.1);
        if shorter < self.events && !self.is_open() {
            self.failures = 0;
        }
        self.events = shorter;
    }

    /// Events of the next export, at most.
    pub(super) const fn events(&self) -> u64 {
        self.events
    }

    /// How long until the next try, `chance` from 0 to `u32::MAX`; not before `after`, which the collector asks for.
    pub(super) fn failed(&mut self, after: Duration, chance: u32) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let whole =
            if self.is_open() { limits::PUSH_OPEN } else { limits::PUSH_REST * (1 << (self.failures - 1)) };
        let half = whole / 2;
        let rest = half + half.mul_f64(f64::from(chance) / f64::from(u32::MAX));
        // Who says `after` reads what comes over a network: he has no say in more than the breaker has.
        rest.max(after.min(limits::PUSH_OPEN)) / self.hurry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_rests_longer_until_the_breaker_opens_and_one_that_holds_begins_anew() {
        let mut pace = Pace::new(1);
        let mut before = Duration::ZERO;
        for failure in 1..limits::PUSH_FAILURES {
            assert!(!pace.is_open());
            let rest = pace.failed(Duration::ZERO, u32::MAX);
            assert!(
                rest == (before * 2).max(limits::PUSH_REST) && rest < limits::PUSH_OPEN,
                "{failure}: {rest:?}"
            );
            before = rest;
        }
        for _ in 0..100 {
            assert_eq!(pace.failed(Duration::ZERO, u32::MAX), limits::PUSH_OPEN);
            assert!(pace.is_open());
        }
        assert_eq!(pace.held(), limits::PUSH_EVERY);
        assert!(!pace.is_open());
        assert_eq!(pace.failed(Duration::ZERO, u32::MAX), limits::PUSH_REST);
    }

    #[test]
    fn what_takes_too_long_is_made_shorter_and_longer_again_when_it_is_taken() {
        let (most, least) = limits::PUSH_EVENTS;
        let mut pace = Pace::new(1);
        assert_eq!(pace.events(), most);
        pace.late();
        assert_eq!(pace.events(), most / 2);
        for _ in 0..100 {
            pace.late();
        }
        assert_eq!(pace.events(), least);
        // While one that is shorter can be tried the breaker does not open: it is not for links that are slow.
        let mut pace = Pace::new(1);
        for _ in 0..6 {
            pace.late();
            let _ = pace.failed(Duration::ZERO, 0);
        }
        assert!(pace.events() == least && !pace.is_open());
        for _ in 0..limits::PUSH_FAILURES {
            pace.late();
            let _ = pace.failed(Duration::ZERO, 0);
        }
        assert!(pace.is_open());
        // One that was given up and hangs when it is there again is given up still.
        let mut gone = Pace::new(1);
        for _ in 0..limits::PUSH_FAILURES {
            let _ = gone.failed(Duration::ZERO, 0);
        }
        gone.late();
        assert!(gone.is_open() && gone.events() == most / 2);
        pace.took();
        assert_eq!((pace.events(), pace.failures), (least * 2, 0));
        for _ in 0..100 {
            pace.took();
        }
        assert_eq!(pace.events(), most);
    }

    #[test]
    fn by_chance_it_is_between_the_half_and_the_whole_and_never_before_it_is_asked_for() {
        for chance in [0, 1, u32::MAX / 2, u32::MAX] {
            let rest = Pace::new(1).failed(Duration::ZERO, chance);
            assert!((limits::PUSH_REST / 2..=limits::PUSH_REST).contains(&rest), "{rest:?}");
            assert_eq!(Pace::new(1).failed(Duration::from_mins(7), chance), Duration::from_mins(7));
        }
        assert_eq!(Pace::new(1).failed(Duration::from_secs(u32::MAX.into()), 0), limits::PUSH_OPEN);
        assert_eq!(Pace::new(1).failed(Duration::ZERO, 0), limits::PUSH_REST / 2);
        assert_eq!(Pace::new(10).failed(Duration::ZERO, u32::MAX), limits::PUSH_REST / 10);
        assert!(Pace::new(0).held() == limits::PUSH_EVERY);
    }
}
