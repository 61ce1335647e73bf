//! `aegisctl policy lint`: what is allowed, and still looks like a mistake.

mod allow;
mod code;
mod fix;
mod known;
mod look;
mod reach;
mod tree;

use std::path::{Path, PathBuf};

use aegis_policy::limits as bounds;
use serde_json::{Value, json};

use super::place::At;
use super::{Compiled, Trouble, compile, counted, decoded, limits};
use crate::outcome::{Failure, Outcome, Status};
use crate::{files, output};
pub(crate) use code::Code;
use fix::Fix;

pub(super) const EXAMPLES: &str = "\
Examples:
  aegisctl policy lint policy-bundles/demo.toml
  aegisctl policy lint --fix site.toml
  aegisctl policy lint --strict --json site.toml lib/*.toml

A comment `# lint: allow CODE` in a rule, or right above it, says that such a warning is meant; at
the top of a file it speaks for all of it. docs/policy.md has the codes. A file without name and
mode is taken as one to include.

Exit codes: 0 good, with warnings or without; 1 refused, or warnings with --strict; 2 wrong use.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Policy sources (TOML)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Mend what can be mended without changing a decision; files that are included stay as they are
    #[arg(long)]
    fix: bool,
    /// Exit 1 when there are warnings
    #[arg(long)]
    strict: bool,
    /// Warn of paths that are not below this directory: the device's root file system, unpacked
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// One JSON object a file
    #[arg(long)]
    json: bool,
}

/// A warning.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) code: Code,
    pub(crate) at: At,
    pub(crate) message: String,
    /// What mends it; empty when that is for a person to decide.
    fixes: Vec<Fix>,
}

impl Finding {
    fn new(code: Code, at: At, message: String) -> Self {
        Self { code, at, message, fixes: Vec::new() }
    }

    /// The same with a mend, if `mendable`.
    fn with(mut self, mendable: bool, fix: Fix) -> Self {
        if mendable {
            self.fixes.push(fix);
        }
        self
    }

    /// Whether `--fix` has something to do about it.
    pub(crate) const fn mendable(&self) -> bool {
        !self.fixes.is_empty()
    }
}

pub(super) fn run(args: &Args) -> Outcome {
    let mut status = Status::Good;
    for file in &args.files {
        let of_file = match one(args, file) {
            Err(Trouble::Source(sources, error)) if args.json => {
                output::json(&json!({
                    "file": file.display().to_string(),
                    "good": false,
                    "error": format!("{}: {}", sources.name(error.at), error.message),
                    "line": sources.line(error.at),
                    "column": sources.column(error.at),
                    "warnings": [],
                }))?;
                Status::Refused
            }
            Err(Trouble::Failure(failure)) if args.json && failure.is_refusal() => {
                let file = file.display().to_string();
                let refused =
                    json!({ "file": file, "good": false, "error": failure.message(), "warnings": [] });
                output::json(&refused)?;
                Status::Refused
            }
            other => other.map_err(Trouble::tell)?,
        };
        if of_file == Status::Refused {
            status = Status::Refused;
        }
    }
    Ok(status)
}

fn one(args: &Args, file: &Path) -> Result<Status, Trouble> {
    let mut bytes = files::read(file, bounds::SOURCE_BYTES).map_err(Trouble::Failure)?;
    let mut fixed = 0;
    if args.fix {
        let mended = mend(file, bytes.clone())?;
        fixed = mended.1;
        if fixed > 0 {
            bytes = mended.0.into_bytes();
            files::write(file, &bytes, 0o644, true).map_err(Trouble::Failure)?;
        }
    }
    let compiled = compile(file, bytes, true)?;
    let mut findings = lint(&compiled);
    if let Some(tree) = &args.tree {
        findings.extend(tree::missing(&compiled, tree).map_err(Trouble::Failure)?);
        findings.sort_by_key(|finding| finding.at);
        allow::filter(&compiled.sources, &mut findings);
    }
    let said = if args.json {
        say_json(file, &compiled, &findings, fixed)
    } else {
        say(file, &compiled, &findings, fixed)
    };
    said.map_err(Trouble::Failure)?;
    Ok(if args.strict && !findings.is_empty() { Status::Refused } else { Status::Good })
}

/// Looks a policy over. Warnings come in the order of the text.
pub(crate) fn lint(compiled: &Compiled) -> Vec<Finding> {
    let mut findings = look::over(compiled);
    findings.extend(reach::findings(compiled));
    allow::filter(&compiled.sources, &mut findings);
    findings.extend(allow::unused(compiled));
    findings.sort_by_key(|finding| (finding.at, finding.code));
    findings
}

/// Mends what can be mended, round after round. The text, and how many warnings are gone.
pub(crate) fn mend(file: &Path, bytes: Vec<u8>) -> Result<(String, usize), Trouble> {
    let mut compiled = compile(file, bytes, true)?;
    let first = lint(&compiled).len();
    for _ in 0..limits::FIX_ROUNDS {
        let Some(next) = round(file, &compiled)? else { break };
        compiled = next;
    }
    let left = lint(&compiled).len();
    let text = std::mem::take(&mut compiled.sources.0[0].text);
    Ok((text, first.saturating_sub(left)))
}

/// One round: all mends at once, or the first that can be made alone. One that breaks the text or changes a decision is
/// left out; none when nothing else is to do.
fn round(file: &Path, compiled: &Compiled) -> Result<Option<Compiled>, Trouble> {
    let text = &compiled.sources.0[0].text;
    let fixes: Vec<Fix> = lint(compiled).into_iter().flat_map(|finding| finding.fixes).collect();
    for some in std::iter::once(&fixes[..]).chain(fixes.chunks(1)) {
        let Some(mended) = fix::apply(text, some.iter().cloned()) else { continue };
        match compile(file, mended.into_bytes(), true) {
            Ok(next) if fix::decides_the_same(&compiled.bytes, &next.bytes) => return Ok(Some(next)),
            Ok(_) | Err(Trouble::Source(..)) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

fn say(file: &Path, compiled: &Compiled, findings: &[Finding], fixed: usize) -> Result<(), Failure> {
    for finding in findings {
        let help = finding.mendable().then_some("`aegisctl policy lint --fix` mends it");
        output::text(&compiled.sources.warning(finding.at, finding.code.name(), &finding.message, help))?;
    }
    let policy = decoded(file, &compiled.bytes)?;
    let name = file.display();
    let mended = if fixed > 0 { format!(", {} mended", counted(fixed, "warning")) } else { String::new() };
    let warned =
        if findings.is_empty() { String::new() } else { format!(", {}", counted(findings.len(), "warning")) };
    let rules = counted(policy.rule_count() as usize, "rule");
    output::text(&if compiled.source.fragment {
        format!("{name}: good: a file to include, {rules}{warned}{mended}\n")
    } else {
        format!(
            "{name}: good: policy {}, mode {}, {}, {rules}, {} bytes compiled{warned}{mended}\n",
            policy.name(),
            policy.mode().name(),
            counted(policy.workloads().count(), "workload"),
            compiled.bytes.len(),
        )
    })
}

fn say_json(file: &Path, compiled: &Compiled, findings: &[Finding], fixed: usize) -> Result<(), Failure> {
    let policy = decoded(file, &compiled.bytes)?;
    let sources = &compiled.sources;
    let warning = |finding: &Finding| {
        json!({
            "code": finding.code.name(),
            "file": sources.file(finding.at).name,
            "line": sources.line(finding.at),
            "column": sources.column(finding.at),
            "message": finding.message,
            "mendable": finding.mendable(),
        })
    };
    let own = |value: Value| if compiled.source.fragment { Value::Null } else { value };
    output::json(&json!({
        "file": file.display().to_string(),
        "good": true,
        "name": own(policy.name().into()),
        "mode": own(policy.mode().name().into()),
        "files": sources.0.len(),
        "workloads": own(policy.workloads().count().into()),
        "rules": policy.rule_count(),
        "entries": own(policy.entries().into()),
        "bytes": own(compiled.bytes.len().into()),
        "mended": fixed,
        "warnings": findings.iter().map(warning).collect::<Vec<_>>(),
    }))
}
