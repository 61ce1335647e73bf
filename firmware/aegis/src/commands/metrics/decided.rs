//! What is remembered: the policy's terms, what was offered and answered, starts, the clock.

use aegis_bundle::What;
use aegis_metrics::{Id, Source, Value};

use super::{Answer, Lasting};
use crate::commands::policy_status;
use crate::kernel::KernelState;
use crate::storage::device::{boottime, wall_clock};
use crate::storage::tally::{Key, Program, Tally};

pub(super) fn gather(
    all: &mut Answer<'_>,
    probes: Option<&KernelState>,
    kept: &mut Lasting<policy_status::Measures>,
) {
    if let Some((policy, _)) = all.read(Source::Policy, kept.get(|| policy_status::measures(probes))) {
        all.out.maybe(Id::PolicyExpiry, policy.expires.map(Value::count));
        all.out.count(Id::PolicyStale, (policy.stale).into());
        let mut troubles = all.out.family(Id::PolicyTrouble);
        for (index, code) in policy.troubles.iter().enumerate() {
            if !policy.troubles[..index].contains(code) {
                troubles.put(&[code.as_bytes()], Value::count(1));
            }
        }
        all.out.count(Id::ClockFloor, policy.floor);
        all.out.count(Id::ClockPlausible, (wall_clock() >= policy.floor).into());
    }
    all.out.one(Id::Clock, Value::count(wall_clock()));
    let (clock, uptime) = (wall_clock_millis(), boottime() / 1_000_000);
    all.out.maybe(Id::ClockBoot, clock.checked_sub(uptime).map(Value::millis));
    if let Some(tally) = all.read(Source::Tally, Tally::read()) {
        of_tally(all, &tally, boottime());
    }
}

/// `CLOCK_REALTIME`, ms.
fn wall_clock_millis() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let seconds = now.tv_sec.max(0).cast_unsigned();
    seconds.saturating_mul(1000).saturating_add(now.tv_nsec.cast_unsigned() / 1_000_000)
}

pub(super) fn of_tally(all: &mut Answer<'_>, tally: &Tally, now: u64) {
    let out = &mut all.out;
    let mut starts = out.family(Id::Starts);
    for program in Program::ALL {
        starts.put(&[program.name().as_bytes()], Value::count(tally.of(&Key::Start(program))));
    }
    out.count(Id::SticksSeen, tally.of(&Key::StickSeen));
    let what = |number: u8| What::from_number(number).map_or("unknown", What::name).as_bytes();
    let mut faults = out.family(Id::StickFaults);
    for (key, count) in tally.entries() {
        if let Key::StickFault(code) = key {
            faults.put(&[code.as_bytes()], Value::count(*count));
        }
    }
    let mut accepted = out.family(Id::Accepted);
    for (key, count) in tally.entries() {
        if let Key::Accepted(number) = key {
            accepted.put(&[what(*number)], Value::count(*count));
        }
    }
    let mut refused = out.family(Id::Refused);
    for (key, count) in tally.entries() {
        if let Key::Refused(number, code) = key {
            refused.put(&[what(*number), code.as_bytes()], Value::count(*count));
        }
    }
    let swaps = tally.of(&Key::Swaps);
    out.count(Id::Swaps, swaps);
    if swaps > 0 {
        out.one(Id::SwapSeconds, Value::nanos(tally.of(&Key::SwapTook)));
        out.one(Id::SwapAge, Value::nanos(now.saturating_sub(tally.of(&Key::SwapAt))));
    }
}
