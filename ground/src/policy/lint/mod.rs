//! `aegisctl policy lint`: what is allowed, and still looks like a mistake.

mod allow;
mod code;
mod denial;
mod fix;
mod known;
mod layout;
mod look;
mod reach;
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aegis_policy::limits as bounds;
use serde_json::{Value, json};

use super::cases::is_test;
use super::device::Device;
use super::place::At;
use super::{Compiled, Trouble, compile, counted, decoded, limits};
use crate::outcome::{Failure, Outcome, Status};
use crate::{files, output};
use allow::Allows;
pub(crate) use code::Code;
use fix::Fix;
use layout::Layout;

pub(super) const EXAMPLES: &str = "\
Examples:
  aegisctl policy lint policy-bundles/demo.toml
  aegisctl policy lint --fix site.toml
  aegisctl policy lint --strict --json site.toml lib/*.toml
  aegisctl policy lint --kernel 5.10 --no-ima site.toml

A comment `# lint: allow CODE` in a rule, or right above it, says that such a warning is meant; at
the top of a file it speaks for all of it. docs/policy.md has the codes. A file without name and
mode is taken as one to include.

Exit codes: 0 good, with warnings or without; 1 refused, or warnings with --strict; 2 wrong use, or a
file that can't be read. Of several files the worst counts.";

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
    #[command(flatten)]
    device: Device,
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
    let mut worst = Status::Good;
    for file in &args.files {
        // One that is refused is told of, and the others are looked at all the same.
        let status = match one(args, file) {
            Ok(status) => status,
            Err(trouble) => {
                if args.json {
                    let mut fields = trouble.json();
                    fields.insert("file".to_owned(), file.display().to_string().into());
                    fields.insert("good".to_owned(), false.into());
                    fields.insert("warnings".to_owned(), json!([]));
                    output::json(&Value::Object(fields))?;
                }
                trouble.status(args.json)
            }
        };
        worst = worst.max(status);
    }
    Ok(worst)
}

fn one(args: &Args, file: &Path) -> Result<Status, Trouble> {
    if is_test(file) {
        let message = format!("{}: this is a test file, use `aegisctl policy test`", file.display());
        return Err(Trouble::Failure(Failure::usage(message)));
    }
    let mut bytes = files::read(file, bounds::SOURCE_BYTES).map_err(Trouble::Failure)?;
    let mut fixed = 0;
    if args.fix {
        let (mended, count) = mend(file, bytes.clone())?;
        fixed = count;
        if mended.as_bytes() != bytes {
            bytes = mended.into_bytes();
            files::replace(file, &bytes).map_err(Trouble::Failure)?;
        }
    }
    let compiled = compile(file, bytes, true)?;
    if let Err(error) = args.device.check(&compiled) {
        return Err(Trouble::Source(compiled.sources, error));
    }
    let mut findings = lint(&compiled);
    if let Some(tree) = &args.tree {
        findings.extend(tree::missing(&compiled, tree).map_err(Trouble::Failure)?);
        findings.sort_by_key(|finding| finding.at);
        Allows::of(&compiled.sources).filter(&compiled.sources, &mut findings);
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
    let sources = &compiled.sources;
    let mut findings = look::over(compiled);
    findings.extend(reach::findings(compiled));
    let allows = Allows::of(sources);
    let unused = allows.unused(sources, compiled.source.fragment, &findings);
    allows.filter(sources, &mut findings);
    findings.extend(unused);
    offer_what_works(compiled, &mut findings);
    findings.sort_by_key(|finding| (finding.at, finding.code));
    findings
}

/// Takes away mends that could not be made.
fn offer_what_works(compiled: &Compiled, findings: &mut [Finding]) {
    if findings.iter().all(|finding| finding.fixes.is_empty()) {
        return;
    }
    let file = &compiled.sources.0[0];
    let layout = Layout::of(file);
    for finding in findings {
        finding.fixes.retain(|fix| fix.is_possible(file, &layout));
    }
}

/// Mends what can be mended, round after round. The text, and how many warnings are gone.
pub(crate) fn mend(file: &Path, bytes: Vec<u8>) -> Result<(String, usize), Trouble> {
    let mut compiled = compile(file, bytes, true)?;
    let first = lint(&compiled);
    let mut alone = limits::FIX_ALONE;
    for _ in 0..limits::FIX_ROUNDS {
        let Some(next) = round(file, &compiled, &mut alone)? else { break };
        compiled = next;
    }
    let mut left: BTreeMap<Code, usize> = BTreeMap::new();
    for finding in lint(&compiled) {
        *left.entry(finding.code).or_default() += 1;
    }
    // By code: a mend may leave an `allow` behind that is of no use any more.
    let gone = |finding: &&Finding| match left.get_mut(&finding.code).filter(|count| **count > 0) {
        Some(count) => {
            *count -= 1;
            false
        }
        None => true,
    };
    let gone = first.iter().filter(gone).count();
    Ok((std::mem::take(&mut compiled.sources.0[0].text), gone))
}

/// One round: all mends at once, or the first that can be made alone. One that breaks the text or changes a decision is
/// left out; none when nothing else is to do, or `alone` tries are made.
fn round(file: &Path, compiled: &Compiled, alone: &mut usize) -> Result<Option<Compiled>, Trouble> {
    let text = &compiled.sources.0[0].text;
    let fixes: Vec<Fix> = lint(compiled).into_iter().flat_map(|finding| finding.fixes).collect();
    let tries =
        std::iter::repeat_with(|| alone.checked_sub(1).map(|left| *alone = left)).map_while(|left| left);
    let each = fixes.chunks(1).zip(tries).map(|(some, ())| some);
    for some in std::iter::once(&fixes[..]).chain(each) {
        let Some(mended) = fix::apply(text, some.iter().cloned()) else { continue };
        match compile(file, mended.into_bytes(), true) {
            Ok(next)
                if fix::decides_the_same(&compiled.bytes, &next.bytes)
                    && fix::keeps_the_rest(text, &next.sources.0[0].text) =>
            {
                return Ok(Some(next));
            }
            Ok(_) | Err(Trouble::Source(..)) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

fn say(file: &Path, compiled: &Compiled, findings: &[Finding], fixed: usize) -> Result<(), Failure> {
    for finding in findings.iter().take(limits::FINDINGS) {
        let help = finding.mendable().then_some("`aegisctl policy lint --fix` mends it");
        output::text(&compiled.sources.warning(finding.at, finding.code.name(), &finding.message, help))?;
    }
    if let more @ 1.. = findings.len().saturating_sub(limits::FINDINGS) {
        output::text(&format!("and {more} more\n"))?;
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
        "warnings": findings.iter().take(limits::FINDINGS).map(warning).collect::<Vec<_>>(),
        "warnings_beyond": findings.len().saturating_sub(limits::FINDINGS),
    }))
}
