//! Facts for a person and as JSON.

use serde_json::Value;

use super::facts::{Facts, Known, Shape};
use crate::json::object;
use crate::kernel::{HookOffer, MapFill, Standing};
use crate::storage::verity::Root;

/// A line for each part of the device: what JSON has, in words.
pub(super) fn lines(facts: &Facts) -> Vec<String> {
    let Value::Object(parts) = to_json(facts) else { return Vec::new() };
    parts.iter().map(|(name, part)| format!("{name:<7} {}", words(part))).collect()
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => "unknown, or none".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "NO".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) if list.is_empty() => "none".to_owned(),
        Value::Array(list) => list.iter().map(words).collect::<Vec<_>>().join(","),
        Value::Object(parts) => {
            let named = parts.iter().map(|(name, value)| format!("{name} {}", words(value)));
            named.collect::<Vec<_>>().join(", ")
        }
        Value::Number(number) => number.to_string(),
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

#[inline(never)]
fn fields(fields: &mut [(&'static str, Value)]) -> Value {
    object(&mut fields.iter_mut().map(|(name, value)| (*name, value.take())))
}

/// All of it. What is not known is null; the findings say why.
pub(super) fn to_json(facts: &Facts) -> Value {
    fields(&mut [
        ("kernel", kernel(facts)),
        ("hooks", hooks(facts)),
        ("maps", maps(facts)),
        ("agent", agent(facts)),
        (
            "clock",
            fields(&mut [
                ("says", facts.clock.says.into()),
                ("least", facts.clock.least.into()),
                ("trusted", false.into()),
            ]),
        ),
        ("ring", ring(facts)),
        ("data", data(facts)),
        (
            "image",
            fields(&mut [
                ("root", root(&facts.root).into()),
                ("variant", if facts.debug { "debug" } else { "production" }.into()),
                ("slot", facts.image.as_ref().ok().and_then(|image| image.slot).into()),
            ]),
        ),
        ("device", facts.key.clone().ok().flatten().into()),
    ])
}

fn kernel(facts: &Facts) -> Value {
    fields(&mut [
        ("release", facts.release.as_str().into()),
        ("lsm", facts.lsm.clone().ok().into()),
        ("btf_bytes", facts.btf.as_ref().ok().copied().into()),
        ("bpffs", facts.bpffs.is_ok().into()),
        ("cgroup2", facts.cgroup.is_ok().into()),
        ("options_missing", facts.options.clone().ok().into()),
        ("subtrees", facts.offers.walks.into()),
        ("hashes", facts.offers.hashes().into()),
    ])
}

fn hooks(facts: &Facts) -> Value {
    let count = |of: &dyn Fn(&&HookOffer) -> bool| facts.offers.hooks.iter().filter(of).count().into();
    fields(&mut [
        ("loaded", facts.offers.loaded.into()),
        ("all", count(&|_| true)),
        ("taken", count(&|offer| offer.standing != Standing::Missing)),
        ("deciding", count(&|offer| offer.hook.enforces())),
        ("denying", count(&|offer| offer.hook.enforces() && offer.denies())),
    ])
}

/// Used and most, by map.
fn maps(facts: &Facts) -> Value {
    let Some(Ok(maps)) = &facts.maps else { return Value::Null };
    let of = |map: &MapFill| format!("{} of {}", map.used, map.most).into();
    object(&mut maps.iter().map(|map| (map.name.as_str(), of(map))))
}

fn agent(facts: &Facts) -> Value {
    let Some(Ok(agent)) = &facts.agent else { return Value::Null };
    fields(&mut [
        ("process", agent.process.into()),
        ("tasks", agent.tasks.into()),
        ("confined", agent.is_whole().into()),
    ])
}

fn ring(facts: &Facts) -> Value {
    let Ok(Some(ring)) = &facts.ring else { return Value::Null };
    let (segment_bytes, segments, first, next) = match ring.shape {
        Shape::Ring { segment_bytes, segments, first, next, .. } => (segment_bytes, segments, first, next),
        Shape::Unformatted | Shape::Unreadable(_) => (0, 0, 0, 0),
    };
    fields(&mut [
        ("node", ring.node.to_string_lossy().into()),
        ("bytes", ring.bytes.into()),
        ("segments", segments.into()),
        ("segment_bytes", segment_bytes.into()),
        ("first", first.into()),
        ("next", next.into()),
    ])
}

fn data(facts: &Facts) -> Value {
    let Ok(Some(data)) = &facts.data else { return Value::Null };
    fields(&mut [
        ("node", data.node.to_string_lossy().into()),
        ("mounted", data.mounted.is_some().into()),
        ("bytes", data.mounted.map(|mounted| mounted.bytes).into()),
        ("free", data.mounted.map(|mounted| mounted.free).into()),
    ])
}
