//! What the probes share: policy, mode, hooks, maps.

use aegis_event::{Mode, ModeReason};
use aegis_metrics::{Id, Source, Value};

use super::Answer;
use crate::kernel::{KernelState, measure};
use crate::storage::device::boottime;

pub(super) fn gather(all: &mut Answer<'_>, probes: &KernelState) {
    let (policy, now) = (probes.policy(), boottime());
    let out = &mut all.out;
    out.count(Id::PolicyEpoch, policy.epoch);
    out.count(Id::PolicySequence, policy.sequence);
    for (id, number) in [
        (Id::PolicyRules, policy.rules),
        (Id::PolicyEntries, policy.entries),
        (Id::PolicyUnresolved, policy.unresolved),
        (Id::PolicyUncovered, policy.uncovered),
    ] {
        out.one(id, Value::count(number.into()));
    }
    let (mode, reason) = probes.mode_at(now);
    let mode = Mode::from_number(mode);
    let names = mode.map(Mode::name).zip(ModeReason::from_number(reason).map(ModeReason::name));
    let mut info = out.family(Id::Mode);
    if let Some((mode, reason)) = names {
        info.put(&[mode.as_bytes(), reason.as_bytes()], Value::count(1));
    }
    out.maybe(Id::Enforcing, mode.map(|mode| Value::flag(mode == Mode::Enforcing)));
    out.one(Id::GlassSeconds, Value::nanos(probes.broken_until().saturating_sub(now)));
    hooks(all);
    maps(all);
}

fn hooks(all: &mut Answer<'_>) {
    let hooks = measure::hooks();
    let counted =
        all.read(Source::Hooks, measure::counts_calls().ok_or("kernel.bpf_stats_enabled can't be read"));
    if hooks.iter().any(|hook| hook.attached && hook.counts.is_none()) {
        all.fail(Source::Hooks, &"a pinned program can't be asked");
    }
    let mut each = |id: Id, of: &dyn Fn(&measure::HookMeasure) -> Option<Value>| {
        let mut series = all.out.family(id);
        for hook in &hooks {
            if let Some(value) = of(hook) {
                series.put(&[hook.hook.name.as_bytes()], value);
            }
        }
    };
    each(Id::HookAttached, &|hook| Some(Value::flag(hook.attached)));
    each(Id::HookDenies, &|hook| Some(Value::flag(hook.denies)));
    // What was counted before somebody turned it off is no count any more: the rest is missing.
    let counts = |hook: &measure::HookMeasure| hook.counts.filter(|_| counted == Some(true));
    each(Id::HookCalls, &|hook| counts(hook).map(|[calls, _, _]| Value::count(calls)));
    each(Id::HookSeconds, &|hook| counts(hook).map(|[_, nanos, _]| Value::nanos(nanos)));
    each(Id::HookSkipped, &|hook| hook.counts.map(|[_, _, skipped]| Value::count(skipped)));
    all.out.maybe(Id::HookStatistics, counted.map(Value::flag));
}

fn maps(all: &mut Answer<'_>) {
    let found: Vec<_> =
        measure::maps().filter_map(|(name, sizes)| Some((name, all.read(Source::Maps, sizes)?))).collect();
    for (id, column) in [(Id::MapEntries, 0), (Id::MapCapacity, 1)] {
        let mut series = all.out.family(id);
        for (name, sizes) in &found {
            series.put(&[name.as_bytes()], Value::count(sizes[column]));
        }
    }
}
