//! What is measured of the probes: read from what is pinned, by whoever is privileged.

use std::path::Path;

use aegis_probes::{HOOKS, Hook};

use super::kernelfs::{Known, PROC};
use super::load::{counts, pinned_hooks};
use super::state::pin;
use super::{KernelError, sys};

/// The maps that can fill up (`probes/bpf/maps.bpf.h`); of an array there is no more and no less.
const MAPS: [&str; 11] = [
    "cgroups", "rules_0", "rules_1", "names_0", "names_1", "nets_0", "nets_1", "hashes_0", "hashes_1",
    "volumes", "traffics",
];
const _: () = assert!(MAPS.len() <= aegis_metrics::limits::MAPS as usize);
const _: () = assert!(HOOKS.len() <= aegis_metrics::limits::HOOKS as usize);
const STATISTICS: &str = "sys/kernel/bpf_stats_enabled";

/// What is measured of one hook.
pub(crate) struct HookMeasure {
    pub(crate) hook: &'static Hook,
    pub(crate) attached: bool,
    pub(crate) denies: bool,
    /// Calls, their time (ns), calls that were skipped; none when the kernel can't say.
    pub(crate) counts: Option<[u64; 3]>,
}

/// Every hook.
pub(crate) fn hooks() -> Vec<HookMeasure> {
    let of = |status: &super::load::HookStatus| HookMeasure {
        hook: status.hook,
        attached: status.program.is_some(),
        denies: status.denies(),
        counts: status.program.and_then(counts).map(|counts| [counts.runs, counts.run_nanos, counts.missed]),
    };
    pinned_hooks().iter().map(of).collect()
}

/// The kernel counts calls and their time; none when it does not say.
pub(crate) fn counts_calls() -> Option<bool> {
    let text = Known::open(PROC).ok()?.read(Path::new(STATISTICS)).ok()?;
    Some(text.trim() != "0")
}

/// Maps that can fill up: name, entries and capacity; none of one that can't be read.
pub(crate) fn maps() -> impl Iterator<Item = (&'static str, Result<[u64; 2], KernelError>)> {
    MAPS.into_iter().map(|name| (name, sys::occupancy(&pin(name)).map_err(KernelError::object(name))))
}
