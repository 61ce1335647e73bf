//! `aegisctl policy explain`: what a policy decides on one access, and by which rule.

use std::path::PathBuf;

use aegis_event::{Printable, Verdict};
use aegis_policy::{Operation, names};
use serde_json::json;

use super::{compiled_form, decoded, operation};
use crate::outcome::{Failure, Outcome, Status};
use crate::output;

pub(super) const EXAMPLES: &str = "\
Example:
  aegisctl policy explain policy-bundles/demo.toml --workload demo \\
      --path /etc/shadow --operation open-read";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Policy source (TOML) or compiled policy
    file: PathBuf,
    /// Name of the workload
    #[arg(long, value_name = "NAME")]
    workload: String,
    /// Absolute path
    #[arg(long, value_name = "PATH")]
    path: String,
    /// open-read, open-write or exec
    #[arg(long, value_name = "OPERATION", value_parser = operation)]
    operation: Operation,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let Args { file, workload, path, operation, json } = args;
    if !names::is_workload_name(workload.as_bytes()) {
        return Err(Failure::usage(format!("--workload: \"{workload}\" is not a workload name")));
    }
    if !names::is_path(path) {
        return Err(Failure::usage(format!("--path: \"{path}\" is not absolute and normalised")));
    }
    let bytes = compiled_form(file)?;
    let policy = decoded(file, &bytes)?;
    let index = policy.match_workload(workload.as_bytes());
    let pattern =
        index.and_then(|index| policy.workloads().nth(usize::from(index) - 1)).map(|found| found.pattern);
    let decision = index.map(|index| policy.decide(index, path.as_bytes(), *operation));
    let verdict = decision.as_ref().map_or(Verdict::Allowed, |decision| decision.verdict);
    let rule = decision.and_then(|decision| decision.rule);
    if *json {
        output::json(&json!({
            "verdict": verdict.name(),
            "rule": rule.as_ref().map(|rule| rule.name),
            "action": rule.as_ref().map(|rule| rule.action.name()),
            "tags": rule.as_ref().map(|rule| rule.tags().collect::<Vec<_>>()),
            "workload": workload,
            "pattern": pattern,
            "path": path,
            "operation": operation.name(),
            "policy": policy.name(),
            "mode": policy.mode().name(),
        }))?;
        return Ok(Status::Good);
    }
    let mode = policy.mode().name();
    let why = match (&rule, pattern) {
        (Some(rule), Some(pattern)) => {
            format!("by rule {} ({}) for workload {pattern}; mode {mode}", rule.name, rule.action.name())
        }
        (None, Some(pattern)) => format!("no rule for workload {pattern} speaks of it"),
        _ => "the policy does not cover this workload".to_owned(),
    };
    let path = Printable(path.as_bytes());
    output::text(&format!("{verdict}: {workload} {} {path}: {why}\n", operation.name()))?;
    Ok(Status::Good)
}
