//! What comes after a workload's end: nothing, another start after a rest, or, after too many quick ends, nothing any more.

use std::time::Duration;

use aegis_bundle::{Restart, When};

/// Who ran no longer than this ended quickly.
pub(crate) const QUICK: Duration = Duration::from_secs(10);
/// So many quick ends in a row, and it stays down.
pub(crate) const QUICK_ENDS: u32 = 5;
/// Longest rest.
const REST: Duration = Duration::from_mins(10);

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: it is over, as it was meant to be.
    Over,
    /// Another start, after so long.
    Again(Duration),
    /// It ends as soon as it is started: it stays down until the next boot.
    GivenUp,
}

/// How long one counts as having run: of one that was ended for its silence, what came before that.
pub(crate) fn ran(all: Duration, silence: Option<Duration>) -> Duration {
    all.saturating_sub(silence.unwrap_or_default())
}

/// Decides, after an end. `quick` counts quick ends in a row, and is kept between two calls.
pub(crate) fn after(restart: Restart, good: bool, ran: Duration, quick: &mut u32) -> Next {
    let again = match restart.when {
        When::Never => false,
        When::OnFailure => !good,
        When::Always => true,
    };
    if !again {
        return Next::Over;
    }
    *quick = if ran <= QUICK { quick.saturating_add(1) } else { 0 };
    if *quick >= QUICK_ENDS {
        return Next::GivenUp;
    }
    let rest = Duration::from_secs(restart.delay.max(1).into());
    Next::Again(rest.saturating_mul(1 << quick.saturating_sub(1).min(16)).min(REST.max(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(when: When, delay: u32, ends: &[(bool, u64)]) -> Vec<Next> {
        let mut quick = 0;
        let after = |(good, ran): &(bool, u64)| {
            after(Restart { when, delay, watchdog: 0 }, *good, Duration::from_secs(*ran), &mut quick)
        };
        ends.iter().map(after).collect()
    }

    fn again(seconds: u64) -> Next {
        Next::Again(Duration::from_secs(seconds))
    }

    #[test]
    fn what_comes_after_an_end() {
        assert_eq!(ends(When::Never, 1, &[(false, 1)]), [Next::Over]);
        assert_eq!(ends(When::OnFailure, 1, &[(true, 1)]), [Next::Over]);
        assert_eq!(ends(When::Always, 7, &[(true, 60), (false, 60)]), [again(7), again(7)]);
        // Five quick ends in a row: each rest is twice the one before.
        let crash = [(false, 1); 5];
        assert_eq!(ends(When::OnFailure, 1, &crash), [again(1), again(2), again(4), again(8), Next::GivenUp]);
        // A long run makes them forgotten.
        let mixed = [(false, 1), (false, 1), (false, 11), (false, 1), (false, 1), (false, 1), (false, 1)];
        let found = ends(When::OnFailure, 3, &mixed);
        assert_eq!(found, [again(3), again(6), again(3), again(3), again(6), again(12), again(24)]);
        // One that hangs from its start on is given up, however long that takes to see.
        let hung = ran(Duration::from_secs(31), Some(Duration::from_secs(30))).as_secs();
        assert_eq!(ends(When::OnFailure, 1, &[(false, hung); 5]).last(), Some(&Next::GivenUp));
        assert_eq!(ran(Duration::from_secs(31), None), Duration::from_secs(31));
        // It has an end, and never less than was asked for.
        assert_eq!(ends(When::Always, 400, &[(false, 1), (false, 1)]), [again(400), again(600)]);
        assert_eq!(ends(When::Always, 3600, &[(false, 1), (false, 1)]), [again(3600), again(3600)]);
    }
}
