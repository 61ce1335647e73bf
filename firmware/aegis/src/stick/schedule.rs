//! When evidence goes to a stick that stays plugged. Times are since some fixed moment.

use core::time::Duration;

/// The period, and when it ends. Without a stick there is none, and nothing to wake up for.
#[derive(Debug)]
pub(super) struct Schedule {
    /// `None`: never.
    every: Option<Duration>,
    next: Option<Duration>,
}

impl Schedule {
    /// `minutes`: as configured; 0 is never.
    pub(super) fn new(minutes: u32) -> Self {
        Self { every: (minutes > 0).then(|| Duration::from_mins(minutes.into())), next: None }
    }

    /// How long until evidence is due; zero: it is now. `None`: there is nothing to wait for. A period begins when there
    /// is a stick that takes evidence, which got some as it was plugged in.
    pub(super) fn wait(&mut self, any: bool, now: Duration) -> Option<Duration> {
        let every = self.every?;
        if !any {
            self.next = None;
            return None;
        }
        let next = *self.next.get_or_insert(now + every);
        Some(next.saturating_sub(now))
    }

    /// Evidence goes out. Periods that were missed meanwhile are not made up for.
    pub(super) fn begin(&mut self, now: Duration) {
        self.next = self.every.map(|every| now + every);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    #[test]
    fn without_a_period_or_a_stick_nobody_wakes_up() {
        let (mut never, mut hourly) = (Schedule::new(0), Schedule::new(60));
        for now in [0, 1, 60, 100_000].map(minutes) {
            never.begin(now);
            assert_eq!((never.wait(true, now), never.wait(false, now)), (None, None));
            hourly.begin(now);
            assert_eq!(hourly.wait(false, now), None);
        }
    }

    /// What a watcher does that looks when its pause is over and when something is plugged or pulled.
    #[test]
    fn evidence_goes_out_once_a_period_while_there_is_a_stick() {
        let mut schedule = Schedule::new(10);
        // Plugged at 3, pulled at 25, plugged at 41; an export at 61 takes twelve minutes.
        let there = |minute| (3..25).contains(&minute) || minute >= 41;
        let (mut out, mut minute) = (Vec::new(), 0);
        while minute < 100 {
            match schedule.wait(there(minute), minutes(minute)) {
                Some(Duration::ZERO) => {
                    schedule.begin(minutes(minute));
                    out.push(minute);
                    minute += if minute == 61 { 12 } else { 1 };
                }
                Some(left) => {
                    assert!(left <= minutes(10));
                    minute += 1;
                }
                None => {
                    assert!(!there(minute));
                    minute += 1;
                }
            }
        }
        assert_eq!(out, [13, 23, 51, 61, 73, 83, 93]);
    }
}
