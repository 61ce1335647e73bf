//! What a policy says beside its rules, and what of it changes when another policy follows: mode, self-protection, the
//! deadman, rates.

use aegis_policy::Policy;
use serde_json::{Value, json};

use super::decisions::Class;

/// A setting that is not what it was.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting<'a> {
    pub(super) name: &'static str,
    /// Of whom; none: of the policy.
    pub(super) workload: Option<&'a str>,
    pub(super) old: Value,
    pub(super) new: Value,
}

/// Every setting of two policies that differs; `classes` are those of both.
pub(super) fn changed<'a>(old: &Policy<'a>, new: &Policy<'a>, classes: &[Class<'a>]) -> Vec<Setting<'a>> {
    let of_policy = |name, old, new| Setting { name, workload: None, old, new };
    let mut all = vec![
        of_policy("mode", old.mode().name().into(), new.mode().name().into()),
        of_policy("self-protection", old.self_protection().into(), new.self_protection().into()),
        of_policy("deadman", deadman(old), deadman(new)),
    ];
    all.extend(classes.iter().map(|class| Setting {
        name: "rate",
        workload: Some(class.pattern),
        old: rate(old, class.old),
        new: rate(new, class.new),
    }));
    all.retain(|setting| setting.old != setting.new);
    all
}

fn deadman(policy: &Policy<'_>) -> Value {
    policy
        .deadman()
        .map_or(Value::Null, |deadman| json!({ "denials": deadman.denials, "seconds": deadman.seconds }))
}

/// Events a second of whoever owns a class.
fn rate(policy: &Policy<'_>, workload: Option<u16>) -> Value {
    let owner = workload.and_then(|index| policy.workloads().nth(usize::from(index).checked_sub(1)?));
    owner.and_then(|owner| owner.rate).into()
}

impl Setting<'_> {
    pub(super) fn json(&self) -> Value {
        json!({ "name": self.name, "workload": self.workload, "old": self.old, "new": self.new })
    }
}

impl std::fmt::Display for Setting<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let side = |value: &Value| match value {
            Value::Null => "none".to_owned(),
            Value::String(text) => text.clone(),
            Value::Bool(truth) => if *truth { "on" } else { "off" }.to_owned(),
            Value::Object(of) => format!("{} denials in {} s", of["denials"], of["seconds"]),
            other => format!("{other} events a second"),
        };
        let of = self.workload.map_or(String::new(), |workload| format!(" of {workload}"));
        write!(f, "{}{of}: {} -> {}", self.name, side(&self.old), side(&self.new))
    }
}
