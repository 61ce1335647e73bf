//! The glass as the agent sees it: is it broken, and what is to be said of it. Pure: it is handed the time.
//!
//! Times are `CLOCK_BOOTTIME`, ns.

use core::time::Duration;

use crate::limits;

const WARNING: Duration = Duration::from_secs(limits::GLASS_WARNING_SECONDS);
/// How soon a warning is tried again that could not be given.
const AGAIN: Duration = Duration::from_secs(1);

/// What is to be said now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing.
    Nothing,
    /// Nothing is denied for so many seconds more: news, or news a minute ago.
    Broken { seconds: u64 },
    /// The break that ended then is over, and nobody has said so.
    Mended { until: u64 },
}

/// What was seen of the glass so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Glass {
    /// End of the break that was last seen going on; 0: none was.
    until: u64,
    /// When it is to be said again.
    warn_at: u64,
}

impl Glass {
    /// `until`: as the kernel has it. `said`: the end of the last break of which it was said that it is over.
    pub(crate) fn look(&self, until: u64, said: u64, now: u64) -> Look {
        if now < until {
            if until != self.until || now >= self.warn_at {
                return Look::Broken { seconds: seconds_left(until, now) };
            }
        } else if until != 0 && until != said {
            return Look::Mended { until };
        }
        Look::Nothing
    }

    /// Remembers that a warning was given (or could not be) of the break that ends then.
    pub(crate) fn warned(&mut self, until: u64, now: u64, given: bool) {
        self.until = until;
        self.warn_at = now + nanos(if given { WARNING } else { AGAIN });
    }

    /// How long there is nothing to look for; none while the glass is whole.
    pub(crate) fn pause(&self, until: u64, now: u64) -> Option<Duration> {
        let end = until.checked_sub(now).filter(|left| *left > 0)?;
        Some(Duration::from_nanos(end.min(self.warn_at.saturating_sub(now))))
    }
}

/// Rounded up: while the glass is broken this is not 0.
pub(crate) const fn seconds_left(until: u64, now: u64) -> u64 {
    until.saturating_sub(now).div_ceil(1_000_000_000)
}

const fn nanos(time: Duration) -> u64 {
    time.as_secs() * 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    /// The agent's loop over seconds `from..to`: each second it looks, and what it says is noted with the second.
    fn live(
        glass: &mut Glass,
        said: &mut u64,
        until: impl Fn(u64) -> u64,
        seconds: core::ops::Range<u64>,
    ) -> Vec<(u64, Look)> {
        let mut noted = Vec::new();
        for second in seconds {
            let (now, until) = (second * S, until(second));
            let look = glass.look(until, *said, now);
            match look {
                Look::Nothing => continue,
                Look::Broken { .. } => glass.warned(until, now, true),
                Look::Mended { until } => *said = until,
            }
            noted.push((second, look));
        }
        noted
    }

    #[test]
    fn a_break_is_said_at_once_then_each_minute_then_that_it_is_over_once() {
        let (mut glass, mut said) = (Glass::default(), 0);
        let until = |second| if second < 10 { 0 } else { 140 * S };
        let noted = live(&mut glass, &mut said, until, 0..400);
        let broken = |seconds| Look::Broken { seconds };
        assert_eq!(
            noted,
            [(10, broken(130)), (70, broken(70)), (130, broken(10)), (140, Look::Mended { until: 140 * S })]
        );
    }

    #[test]
    fn a_break_that_is_prolonged_or_cut_short_is_news_and_has_one_end() {
        let (mut glass, mut said) = (Glass::default(), 0);
        let until = |second: u64| match second {
            0..5 => 20 * S,
            5..8 => 100 * S,
            _ => 8 * S,
        };
        let noted = live(&mut glass, &mut said, until, 0..200);
        assert_eq!(
            noted,
            [
                (0, Look::Broken { seconds: 20 }),
                (5, Look::Broken { seconds: 95 }),
                (8, Look::Mended { until: 8 * S })
            ]
        );
    }

    #[test]
    fn an_agent_that_comes_later_says_what_nobody_said() {
        for (until, said, expected) in [
            (0, 0, Look::Nothing),
            (5 * S, 0, Look::Mended { until: 5 * S }),
            (5 * S, 3 * S, Look::Mended { until: 5 * S }),
            (5 * S, 5 * S, Look::Nothing),
            (9 * S, 0, Look::Mended { until: 9 * S }),
            (9 * S + 1, 5 * S, Look::Broken { seconds: 1 }),
        ] {
            assert_eq!(Glass::default().look(until, said, 9 * S), expected, "until {until} said {said}");
        }
    }

    #[test]
    fn a_warning_that_the_console_did_not_take_is_tried_again_soon() {
        let mut glass = Glass::default();
        glass.warned(100 * S, 0, false);
        assert_eq!(glass.look(100 * S, 0, S - 1), Look::Nothing);
        assert_eq!(glass.look(100 * S, 0, S), Look::Broken { seconds: 99 });
    }

    #[test]
    fn an_idle_agent_wakes_for_the_end_and_for_warnings_only() {
        let mut glass = Glass::default();
        assert_eq!(glass.pause(0, 5 * S), None, "never broken");
        assert_eq!(glass.pause(5 * S, 5 * S), None, "over");
        glass.warned(100 * S, 5 * S, true);
        assert_eq!(glass.pause(100 * S, 5 * S), Some(WARNING));
        assert_eq!(glass.pause(100 * S, 64 * S), Some(Duration::from_secs(1)));
        assert_eq!(glass.pause(20 * S, 5 * S), Some(Duration::from_secs(15)));
        assert_eq!(glass.pause(20 * S, 20 * S - 1), Some(Duration::from_nanos(1)));
    }
}
