//! Facts for a person and as JSON.

use serde_json::{Value, json};

use super::facts::{Facts, Known, Ring, Shape};
use crate::kernel::{HookOffer, Standing};
use crate::storage::verity::Root;

const KIB: u64 = 1024;

/// A line for each part of the device.
pub(super) fn lines(facts: &Facts) -> Vec<String> {
    let unknown = || "unknown".to_owned();
    let (hooks, taken, deciding, denying) = counts(facts);
    let verb = if facts.offers.loaded { "attached" } else { "attachable, NOT LOADED" };
    let agent = match &facts.agent {
        None => "none answers".to_owned(),
        Some(Err(_)) => unknown(),
        Some(Ok(agent)) => {
            let free = agent.capabilities != 0 || agent.may_gain + agent.unfiltered > 0;
            let state = if free { "NOT CONFINED" } else { "confined" };
            format!("process {}, {} tasks, {state}", agent.process, agent.tasks)
        }
    };
    let ring = match &facts.ring {
        Ok(Some(ring)) => format!("{}, {}", ring.node.display(), shape(ring)),
        Ok(None) => "none".to_owned(),
        Err(_) => unknown(),
    };
    let data = match &facts.data {
        Ok(Some(data)) => match data.mounted {
            Some(mounted) => {
                let (free, all) = (mounted.free / KIB, mounted.bytes / KIB);
                format!("{}, {free} of {all} KiB free", data.node.display())
            }
            None => format!("{}, NOT MOUNTED", data.node.display()),
        },
        Ok(None) => "none".to_owned(),
        Err(_) => unknown(),
    };
    let slot = match &facts.image {
        Ok(image) => image.slot.map_or_else(|| "no slots".to_owned(), |slot| format!("slot {slot}")),
        Err(_) => unknown(),
    };
    let lsm = facts.lsm.as_ref().map_or_else(|_| unknown(), |list| list.join(","));
    let variant = if facts.debug { "debug" } else { "production" };
    let mut lines = vec![
        format!("kernel  {}, LSM {lsm}", facts.release),
        format!("hooks   {taken} of {hooks} {verb}; {denying} of the {deciding} that decide can deny"),
    ];
    if let Some(Ok(maps)) = &facts.maps {
        let fills = maps.iter().filter(|map| map.used > 0);
        let fills: Vec<_> = fills.map(|map| format!("{} {}/{}", map.name, map.used, map.most)).collect();
        lines.push(format!(
            "maps    {}",
            if fills.is_empty() { "all empty".to_owned() } else { fills.join(", ") }
        ));
    }
    lines.extend([
        format!("agent   {agent}"),
        format!("ring    {ring}"),
        format!("data    {data}"),
        format!("image   {variant}, {slot}, root {}", root(&facts.root)),
        format!(
            "clock   {} (Unix seconds), not trusted; it is {} at least",
            facts.clock.says, facts.clock.least
        ),
        format!(
            "device  {}",
            match &facts.key {
                Ok(id) => id.as_deref().unwrap_or("no key"),
                Err(_) => "unknown",
            }
        ),
    ]);
    lines
}

/// Hooks; those with a program; those that decide; of these, those that deny.
fn counts(facts: &Facts) -> (usize, usize, usize, usize) {
    let hooks = &facts.offers.hooks;
    let count = |of: &dyn Fn(&&HookOffer) -> bool| hooks.iter().filter(of).count();
    (
        hooks.len(),
        count(&|offer| offer.standing != Standing::Missing),
        count(&|offer| offer.hook.enforces()),
        count(&|offer| offer.hook.enforces() && offer.denies()),
    )
}

fn shape(ring: &Ring) -> String {
    match &ring.shape {
        Shape::Unformatted => "NOT FORMATTED".to_owned(),
        Shape::Unreadable(_) => "NOT READABLE".to_owned(),
        Shape::Ring { segment_bytes, segments, first, next, .. } => {
            let kib = u64::from(*segment_bytes) / KIB;
            format!("{segments} segments of {kib} KiB, sequences {first} to {}", next.saturating_sub(1))
        }
    }
}

fn root(root: &Known<Root>) -> &'static str {
    match root {
        Ok(Root::Verified) => "verified",
        Ok(Root::Corrupted) => "corrupted",
        Ok(Root::Unverified) => "unverified",
        Err(_) => "unknown",
    }
}

/// All of it. What is not known is null; the findings say why.
pub(super) fn to_json(facts: &Facts) -> Value {
    let (hooks, taken, deciding, denying) = counts(facts);
    let ring = facts.ring.as_ref().ok().and_then(Option::as_ref);
    let data = facts.data.as_ref().ok().and_then(Option::as_ref);
    json!({
        "kernel": {
            "release": facts.release,
            "lsm": facts.lsm.as_ref().ok(),
            "btf_bytes": facts.btf.as_ref().ok(),
            "bpffs": facts.bpffs.is_ok(),
            "cgroup2": facts.cgroup.is_ok(),
            "options_missing": facts.options.as_ref().ok(),
            "subtrees": facts.offers.walks,
        },
        "hooks": {
            "loaded": facts.offers.loaded,
            "all": hooks,
            "taken": taken,
            "deciding": deciding,
            "denying": denying,
            "hashes": facts.offers.hashes(),
        },
        "maps": facts.maps.as_ref().and_then(|maps| maps.as_ref().ok()).map(|maps| {
            maps.iter().map(|map| json!({ "map": map.name, "used": map.used, "most": map.most })).collect::<Vec<_>>()
        }),
        "agent": facts.agent.as_ref().and_then(|agent| agent.as_ref().ok()).map(|agent| json!({
            "process": agent.process,
            "tasks": agent.tasks,
            "capabilities": agent.capabilities,
            "may_gain": agent.may_gain,
            "unfiltered": agent.unfiltered,
        })),
        "clock": { "says": facts.clock.says, "least": facts.clock.least, "trusted": false },
        "ring": ring.map(|ring| json!({
            "node": ring.node.to_string_lossy(),
            "bytes": ring.bytes,
            "segment_bytes": if let Shape::Ring { segment_bytes, .. } = ring.shape { Some(segment_bytes) } else { None },
            "segments": if let Shape::Ring { segments, .. } = ring.shape { Some(segments) } else { None },
        })),
        "data": data.map(|data| json!({
            "node": data.node.to_string_lossy(),
            "mounted": data.mounted.is_some(),
            "bytes": data.mounted.map(|mounted| mounted.bytes),
            "free": data.mounted.map(|mounted| mounted.free),
        })),
        "image": {
            "root": root(&facts.root),
            "variant": if facts.debug { "debug" } else { "production" },
            "slot": facts.image.as_ref().ok().and_then(|image| image.slot),
        },
        "device": facts.key.as_ref().ok().and_then(Option::as_ref),
    })
}
