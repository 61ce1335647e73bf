//! `aegisctl policy diff`: the decisions that change when one policy follows another. Not the text: rules may be written
//! anew, split or moved, and nothing is shown as long as every access ends as before. What a policy says beside its rules is
//! compared, too: by it, too, a device does otherwise.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use aegis_event::Verdict;
use aegis_policy::Operation;
use serde_json::{Value, json};

use super::decisions::{Answer, Decisions, classes, things};
use super::things::Thing;
use super::{compiled_form, counted, decoded, limits, settings};
use crate::outcome::{Failure, Outcome, Status};
use crate::output;

pub(super) const EXAMPLES: &str = "\
Examples:
  aegisctl policy diff site.toml site-next.toml
  aegisctl policy diff --json old.policy new.toml

A workload stands for all names that its pattern owns, /srv/* for all below /srv that no rule names.
Settings are compared, too: mode, self-protection, the deadman, the rate of a workload.
Exit codes: 0 nothing changes, 1 a decision or a setting does, 2 wrong use, or a policy that is refused.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The policy of before: source (TOML) or compiled
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The policy of after: source (TOML) or compiled
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Show all changes, however many
    #[arg(long)]
    all: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// One thing of one class of workloads, and what of it changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change<'a> {
    pub(super) workload: &'a str,
    pub(super) thing: Thing<'a>,
    pub(super) operations: Vec<Operation>,
    pub(super) old: Answer<'a>,
    pub(super) new: Answer<'a>,
}

impl Change<'_> {
    /// What it means for whoever is confined.
    const fn meaning(&self) -> &'static str {
        match (self.old.verdict, self.new.verdict) {
            (Verdict::Denied, Verdict::Denied) => "same",
            (_, Verdict::Denied) => "denied",
            (Verdict::Denied, _) => "permitted",
            _ => "same",
        }
    }
}

pub(super) fn run(args: &Args) -> Outcome {
    // Whoever asks for a difference and gets exit 1 must know that there is one.
    let read = |file| compiled_form(file).map_err(Failure::into_usage);
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    let a = Decisions::of(decoded(&args.old, &old).map_err(Failure::into_usage)?);
    let b = Decisions::of(decoded(&args.new, &new).map_err(Failure::into_usage)?);
    let changes = changes(&a, &b);
    let settings = settings::changed(&a.policy, &b.policy, &classes(&a.policy, &b.policy));
    let same = changes.is_empty() && settings.is_empty();
    let count = |meaning| {
        changes
            .iter()
            .filter(|change| change.meaning() == meaning)
            .map(|change| change.operations.len())
            .sum::<usize>()
    };
    let (denied, permitted, other) = (count("denied"), count("permitted"), count("same"));
    if args.json {
        let changes: Vec<_> = changes
            .iter()
            .map(|change| {
                let mut fields = change.thing.json();
                let operations = change.operations.iter().map(|operation| operation.name());
                let side =
                    |answer: &Answer<'_>| json!({ "verdict": answer.verdict.name(), "rule": answer.rule });
                fields.insert("workload".to_owned(), change.workload.into());
                fields.insert("operations".to_owned(), operations.collect::<Vec<_>>().into());
                fields.insert("meaning".to_owned(), change.meaning().into());
                fields.insert("old".to_owned(), side(&change.old));
                fields.insert("new".to_owned(), side(&change.new));
                Value::Object(fields)
            })
            .collect();
        let mode = [a.policy.mode().name(), b.policy.mode().name()];
        output::json(&json!({
            "same": same, "denied": denied, "permitted": permitted, "reported_otherwise": other,
            "mode": { "old": mode[0], "new": mode[1] }, "changes": changes,
            "settings": settings.iter().map(settings::Setting::json).collect::<Vec<_>>(),
        }))?;
    } else {
        let most = if args.all { usize::MAX } else { limits::CHANGES };
        let mut out = person(&changes, most);
        for setting in &settings {
            let _ = writeln!(out, "{setting}");
        }
        let decisions = if changes.is_empty() {
            "no decision changes".to_owned()
        } else {
            let (denied, permitted) = (counted(denied, "decision"), counted(permitted, "decision"));
            format!("{denied} newly denied, {permitted} no longer denied, {other} only reported otherwise")
        };
        let _ = match settings.len() {
            0 => writeln!(out, "{decisions}"),
            count => writeln!(out, "{decisions}; {} changed", counted(count, "setting")),
        };
        output::text(&out)?;
    }
    Ok(if same { Status::Good } else { Status::Refused })
}

/// Every decision that changes, by workload and thing; operations that change alike are one change. A program's path and its
/// digest are compared each for itself.
pub(super) fn changes<'a>(old: &Decisions<'a>, new: &Decisions<'a>) -> Vec<Change<'a>> {
    let mut changes = Vec::new();
    for class in classes(&old.policy, &new.policy) {
        for thing in things(&[(old, class.old), (new, class.new)]) {
            let mut alike: BTreeMap<(Answer<'a>, Answer<'a>), Vec<Operation>> = BTreeMap::new();
            for operation in thing.operations().iter() {
                let answers = (old.one(class.old, &thing, operation), new.one(class.new, &thing, operation));
                if answers.0 != answers.1 {
                    alike.entry(answers).or_default().push(operation);
                }
            }
            let mut alike: Vec<_> = alike.into_iter().collect();
            alike.sort_by_key(|(_, operations)| operations.first().copied());
            for ((before, after), operations) in alike {
                changes.push(Change { workload: class.pattern, thing, operations, old: before, new: after });
            }
        }
    }
    changes
}

fn person(changes: &[Change<'_>], most: usize) -> String {
    let mut out = String::new();
    let mut workload = "";
    for change in changes.iter().take(most) {
        if change.workload != workload {
            workload = change.workload;
            let _ = writeln!(out, "workload {workload}");
        }
        let sign = match change.meaning() {
            "denied" => '+',
            "permitted" => '-',
            _ => '~',
        };
        let operations: Vec<&str> = change.operations.iter().map(|operation| operation.name()).collect();
        let (thing, operations) = (change.thing, operations.join(" "));
        let _ = writeln!(out, "  {sign} {thing} {operations}: {} -> {}", change.old, change.new);
    }
    if changes.len() > most {
        let _ = writeln!(out, "  and {} more (--all shows them)", changes.len() - most);
    }
    out
}
