//! How often a stick is taken: a device that plugs and unplugs itself for ever fills neither the ring nor the host.

use core::time::Duration;
use std::collections::VecDeque;

use crate::limits;

const MINUTE: Duration = Duration::from_mins(1);

/// When the last takes began. Times are since some fixed moment.
#[derive(Debug, Default)]
pub(super) struct Pace {
    begun: VecDeque<Duration>,
}

impl Pace {
    /// How long to wait before the next take may begin.
    pub(super) fn pause(&self, now: Duration) -> Duration {
        match self.begun.front() {
            Some(first) if self.begun.len() >= limits::TAKES_A_MINUTE => {
                (*first + MINUTE).saturating_sub(now)
            }
            _ => Duration::ZERO,
        }
    }

    /// No take began within the last minute.
    pub(super) fn is_calm(&self, now: Duration) -> bool {
        self.begun.back().is_none_or(|last| *last + MINUTE <= now)
    }

    /// A take begins.
    pub(super) fn begin(&mut self, now: Duration) {
        if self.begun.len() >= limits::TAKES_A_MINUTE {
            self.begun.pop_front();
        }
        self.begun.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_no_minute_are_there_more_takes_than_allowed() {
        let (mut pace, mut now, mut begun) = (Pace::default(), Duration::ZERO, Vec::new());
        // Plugged in again every second, for ten minutes.
        while now < 10 * MINUTE {
            if pace.pause(now).is_zero() {
                pace.begin(now);
                begun.push(now);
            }
            now += Duration::from_secs(1);
        }
        assert!(
            begun
                .windows(limits::TAKES_A_MINUTE + 1)
                .all(|some| some[limits::TAKES_A_MINUTE] >= some[0] + MINUTE)
        );
        assert_eq!(begun.len(), 10 * limits::TAKES_A_MINUTE);
        assert!(pace.begun.len() <= limits::TAKES_A_MINUTE);
    }

    #[test]
    fn the_pause_is_as_long_as_it_must_be() {
        let mut pace = Pace::default();
        let seconds = Duration::from_secs;
        for number in 0..limits::TAKES_A_MINUTE as u64 {
            assert_eq!(pace.pause(seconds(number)), Duration::ZERO);
            pace.begin(seconds(number));
        }
        assert_eq!(pace.pause(seconds(40)), seconds(20));
        assert_eq!(pace.pause(seconds(60)), Duration::ZERO);
        pace.begin(seconds(60));
        assert_eq!(pace.pause(seconds(60)), seconds(1));
        assert!(
            !pace.is_calm(seconds(119)) && pace.is_calm(seconds(120)) && Pace::default().is_calm(seconds(0))
        );
    }
}
