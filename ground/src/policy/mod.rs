//! `aegisctl policy`: check, compile and explain policy.

mod lint;
mod source;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use aegis_event::Printable;
use aegis_policy::{Operation, Policy, limits, names};
use clap::Subcommand;
use serde_json::json;

pub(crate) use source::PolicySource;

use crate::outcome::{Failure, Outcome, Status};
use crate::{files, output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Check a policy source: errors are refused, warnings are shown
    #[command(after_help = "Example:\n  aegisctl policy lint policy-bundles/demo.toml")]
    Lint {
        /// Policy source (TOML)
        file: PathBuf,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Compile a policy source to the form that a device reads
    #[command(after_help = "Example:\n  aegisctl policy compile policy-bundles/demo.toml --out demo.policy")]
    Compile {
        /// Policy source (TOML)
        file: PathBuf,
        /// Where to write the compiled policy; replaced if it exists
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Say what a policy decides on one access, and by which rule
    #[command(after_help = "\
Example:
  aegisctl policy explain policy-bundles/demo.toml --workload demo \\
      --path /etc/shadow --operation open-read")]
    Explain {
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
    },
}

fn operation(text: &str) -> Result<Operation, String> {
    Operation::from_name(text).ok_or_else(|| "open-read, open-write or exec is needed".to_owned())
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Lint { file, json } => run_lint(&file, json),
        Command::Compile { file, out } => run_compile(&file, &out),
        Command::Explain { file, workload, path, operation, json } => {
            run_explain(&file, &workload, &path, operation, json)
        }
    }
}

/// A policy source, its text and what it compiles to.
pub(crate) struct Compiled {
    pub(crate) text: String,
    pub(crate) source: PolicySource,
    pub(crate) bytes: Vec<u8>,
}

/// Reads, checks and compiles a policy source.
pub(crate) fn compile_file(file: &Path) -> Result<Compiled, Failure> {
    compile_bytes(file, files::read(file, limits::SOURCE_BYTES)?)
}

fn compile_bytes(file: &Path, bytes: Vec<u8>) -> Result<Compiled, Failure> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = source::line_at(before);
        Failure::refused(format!("{}:{line}: not UTF-8 text; a policy source is TOML", file.display()))
    })?;
    let source = PolicySource::parse(&text)
        .map_err(|error| Failure::refused(format!("{}:{}: {}", file.display(), error.line, error.message)))?;
    let bytes = source.compile().map_err(|error| {
        let most = limits::ENTRIES;
        let mend = format!("split it; at most {most} paths x workloads and {} rules", limits::RULES);
        Failure::refused(format!("{}:1: {error} ({mend})", file.display()))
    })?;
    Ok(Compiled { text, source, bytes })
}

fn run_lint(file: &Path, as_json: bool) -> Outcome {
    let compiled = match compile_file(file) {
        Err(failure) if as_json && failure.is_refusal() => {
            output::json(&json!({ "good": false, "error": failure.message(), "warnings": [] }))?;
            return Ok(Status::Refused);
        }
        other => other?,
    };
    let policy = decoded(file, &compiled.bytes)?;
    let warnings = lint::lint(&compiled.source);
    if as_json {
        let warnings: Vec<_> = warnings
            .iter()
            .map(|warning| json!({ "line": warning.line, "message": warning.value }))
            .collect();
        output::json(&json!({
            "good": true,
            "name": policy.name(),
            "mode": policy.mode().name(),
            "workloads": policy.workloads().count(),
            "rules": policy.rule_count(),
            "entries": policy.entries(),
            "bytes": compiled.bytes.len(),
            "warnings": warnings,
        }))?;
        return Ok(Status::Good);
    }
    for warning in &warnings {
        output::text(&format!("{}:{}: warning: {}\n", file.display(), warning.line, warning.value))?;
    }
    output::text(&format!(
        "{}: good: policy {}, mode {}, {}, {}, {} bytes compiled\n",
        file.display(),
        policy.name(),
        policy.mode().name(),
        counted(policy.workloads().count(), "workload"),
        counted(policy.rule_count() as usize, "rule"),
        compiled.bytes.len(),
    ))?;
    Ok(Status::Good)
}

fn run_compile(file: &Path, out: &Path) -> Outcome {
    files::keep_inputs(out, [file])?;
    let compiled = compile_file(file)?;
    files::write(out, &compiled.bytes, 0o644, true)?;
    output::text(&format!("{}: {} bytes\n", out.display(), compiled.bytes.len()))?;
    Ok(Status::Good)
}

fn run_explain(file: &Path, workload: &str, path: &str, operation: Operation, as_json: bool) -> Outcome {
    if !names::is_workload_name(workload.as_bytes()) {
        return Err(Failure::usage(format!("--workload: \"{workload}\" is not a workload name")));
    }
    if !names::is_path(path) {
        return Err(Failure::usage(format!("--path: \"{path}\" is not absolute and normalised")));
    }
    let mut bytes = files::read(file, limits::POLICY_BYTES)?;
    // A compiled policy begins with its format number, which no TOML can begin with.
    if bytes.first() != Some(&1) {
        bytes = compile_bytes(file, bytes)?.bytes;
    }
    let policy = decoded(file, &bytes)?;
    let index = policy.match_workload(workload.as_bytes());
    let pattern =
        index.and_then(|index| policy.workloads().nth(usize::from(index) - 1)).map(|found| found.pattern);
    let decision = index.map(|index| policy.decide(index, path.as_bytes(), operation));
    let verdict = decision.as_ref().map_or(aegis_event::Verdict::Allowed, |decision| decision.verdict);
    let rule = decision.and_then(|decision| decision.rule);
    if as_json {
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
    let why = match (&rule, pattern) {
        (Some(rule), Some(pattern)) => {
            format!(
                "by rule {} ({}) for workload {pattern}; mode {}",
                rule.name,
                rule.action.name(),
                policy.mode().name()
            )
        }
        (None, Some(pattern)) => format!("no rule for workload {pattern} speaks of it"),
        _ => "the policy does not cover this workload".to_owned(),
    };
    let path = Printable(path.as_bytes());
    output::text(&format!("{verdict}: {workload} {} {path}: {why}\n", operation.name()))?;
    Ok(Status::Good)
}

fn decoded<'a>(file: &Path, bytes: &'a [u8]) -> Result<Policy<'a>, Failure> {
    Policy::decode(bytes).map_err(|error| Failure::refused(format!("{}: {error}", file.display())))
}

/// `1 rule`, `2 rules`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
