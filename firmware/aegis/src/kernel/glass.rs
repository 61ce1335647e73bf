//! Break-glass: for a time nothing is denied. The kernel holds the end of it, so it comes by itself: with or without an
//! agent, and whatever becomes of the process that began it.
//!
//! Who may break it, and how often, is not decided here: a token was verified and its sequence is remembered by then.

use core::mem::{offset_of, size_of};

use aegis_probes::abi::Control;

use super::lock::Lock;
use super::state::{Writer, pin};
use super::{KernelError, sys};
use crate::limits;
use crate::storage::device::boottime;

const NANOS: u64 = 1_000_000_000;

/// Breaks the glass until `until` (`CLOCK_BOOTTIME`, ns), in place of what was there: a later end prolongs a break, an
/// earlier one shortens it.
///
/// # Errors
/// [`KernelError::GlassTime`] when that is not ahead, or further than [`limits::GLASS_SECONDS`]: nothing changed.
/// [`KernelError::GlassReadBack`] when the kernel does not hold what was written.
pub(crate) fn break_glass(until: u64) -> Result<(), KernelError> {
    let _lock = Lock::rules()?;
    if !is_breakable(until, boottime()) {
        return Err(KernelError::GlassTime);
    }
    write(&Writer::open()?, until)
}

/// Ends a break now; nothing when there is none. The agent says so when it wakes up next.
///
/// # Errors
/// As [`break_glass`], the time excepted.
pub(crate) fn mend_glass() -> Result<(), KernelError> {
    let _lock = Lock::rules()?;
    let (control, now) = (Writer::open()?, boottime());
    if control.broken_until() <= now {
        return Ok(());
    }
    // Not 0: that there was a break, and when it ended, is for the agent to say.
    write(&control, now)
}

fn is_breakable(until: u64, now: u64) -> bool {
    until.checked_sub(now).is_some_and(|left| left > 0 && left <= limits::GLASS_SECONDS * NANOS)
}

/// Writes the end of the break, then asks the kernel what its programs see.
fn write(control: &Writer, until: u64) -> Result<(), KernelError> {
    const MAP: &str = "control";
    control.set_broken_until(until);
    let map =
        sys::Map::<u32, [u8; size_of::<Control>()]>::open(&pin(MAP)).map_err(KernelError::object(MAP))?;
    let page = map.get(&0).map_err(KernelError::object(MAP))?.ok_or(KernelError::GlassReadBack)?;
    let held = page[offset_of!(Control, broken_until)..].first_chunk().copied().map(u64::from_ne_bytes);
    if held == Some(until) { Ok(()) } else { Err(KernelError::GlassReadBack) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_glass_breaks_for_a_day_at_most_and_not_for_the_past() {
        let (now, day) = (5 * NANOS, limits::GLASS_SECONDS * NANOS);
        for (until, breakable) in [
            (0, false),
            (now - 1, false),
            (now, false),
            (now + 1, true),
            (now + day, true),
            (now + day + 1, false),
            (u64::MAX, false),
        ] {
            assert_eq!(is_breakable(until, now), breakable, "until {until}");
        }
    }
}
