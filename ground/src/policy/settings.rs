//! What a policy says beside its rules, and what of it changes when another policy follows: mode, self-protection, the
//! deadman, rates, alerts.

use std::collections::{BTreeMap, BTreeSet};

use aegis_policy::{Alert, Outputs, Policy, Relation};
use serde_json::{Value, json};

use super::alert::said;
use super::decisions::Class;

/// A setting that is not what it was.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting<'a> {
    pub(super) name: &'static str,
    /// Of which workload or alert; none: of the policy.
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
        of_policy("argv", old.argv().name().into(), new.argv().name().into()),
        of_policy("deadman", deadman(old), deadman(new)),
    ];
    all.extend(classes.iter().map(|class| Setting {
        name: "rate",
        workload: Some(class.pattern),
        old: rate(old, class.old),
        new: rate(new, class.new),
    }));
    let alerts = |policy: &Policy<'a>| policy.alerts().iter().map(|alert| (alert.name, alert_text(&alert)));
    let (before, after): (BTreeMap<_, _>, BTreeMap<_, _>) = (alerts(old).collect(), alerts(new).collect());
    let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    all.extend(names.into_iter().map(|name| Setting {
        name: "alert",
        workload: Some(name),
        old: before.get(name).cloned().into(),
        new: after.get(name).cloned().into(),
    }));
    all.retain(|setting| setting.old != setting.new);
    all
}

/// What an alert fires on, in a line.
fn alert_text(alert: &Alert<'_>) -> String {
    let relation = match alert.relation {
        None => String::new(),
        Some((Relation::Of, other)) => format!(" of {other}"),
        Some((Relation::Less, other)) => format!(" less {other}"),
    };
    let mut matches = String::new();
    for of in alert.matches() {
        let not = if of.except { "not " } else { "" };
        let values: Vec<&str> = of.values.collect();
        matches.extend([" ", of.label, " ", not, &values.join("|")]);
    }
    let condition = said(alert.condition).trim_end().replace('\n', " ").replace(" = ", " ");
    let outputs: Vec<&str> = Outputs::ALL
        .iter()
        .filter(|(output, _)| alert.outputs.contains(*output))
        .map(|(_, word)| *word)
        .collect();
    format!(
        "{} {}{relation}{matches} {condition} for {} clear-for {} to {}: {} / {}",
        alert.severity,
        alert.metric,
        alert.hold,
        alert.clear_hold,
        if outputs.is_empty() { "nobody".to_owned() } else { outputs.join("+") },
        alert.meaning,
        alert.mend
    )
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
