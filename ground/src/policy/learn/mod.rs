//! `aegisctl policy learn`: a draft of the least that a workload needs, from what it was seen to do.
//!
//! The draft denies every file, address and call of the kernel's own surface, and takes back by allow rules with override
//! what was seen. Denials that were recorded stay denials. Before it is handed over it is held, enforced, against the very
//! events that it was learned from.

mod files;
mod held;
mod nets;
mod place;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use aegis_event::Verdict;
use aegis_policy::{Mode, Operation, Operations, Policy, limits as bounds, names};
use serde_json::json;

use super::decisions::Decisions;
use super::render::quoted;
use super::{Compiled, Trouble, compile, counted, lint};
use crate::export::{Access, EventArgs, Exports, Extent, What};
use crate::outcome::{Failure, Outcome, Status};
use crate::{files as disk, output};
use held::Held;
use plan::Plan;

pub(super) const EXAMPLES: &str = "\
Examples:
  aegisctl policy learn --events export.cbor --workload agent-7 > agent-7.toml
  aegisctl policy learn --events *.cbor --workload 'agent-*' --depth 3 --out agents.toml
  aegisctl policy simulate --policy agents.toml --events *.cbor

The draft denies what was not seen, and is in mode audit: read it, simulate it on other days, run it
in audit, and only then let it enforce. One that would deny what it was learned from is refused.
Exit codes: 0 written, 1 the workload did nothing that is in the exports, 2 wrong use, or an export
that is refused.";

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    events: EventArgs,
    /// Name of the workload, or the beginning of names and a *
    #[arg(long, value_name = "NAME")]
    workload: String,
    /// Files below the directory of this many parts are not named one by one: the rules are on all below it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    depth: Option<u16>,
    /// Where to write the draft; refused if it exists. Default: stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// One JSON object about the draft; without --out the draft is in it
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default)]
struct Learned {
    files: files::Files,
    nets: nets::Nets,
    /// What was done to the kernel's own surface, and not denied.
    surface: BTreeSet<Operation>,
    rings: BTreeSet<[u8; 16]>,
    /// Accesses in no rule, by why.
    left: BTreeMap<&'static str, u64>,
    accesses: u64,
}

/// The text of a policy, and what is to be said of it.
#[derive(Debug)]
struct Draft {
    text: String,
    /// Paths and directories in its rules.
    named: usize,
    warnings: Vec<String>,
}

pub(super) fn run(args: &Args) -> Outcome {
    if !names::is_workload_pattern(&args.workload) {
        return Err(Failure::usage(format!(
            "--workload: \"{}\" is not a workload name or pattern",
            args.workload
        )));
    }
    let exports = args.events.verify().map_err(Failure::into_usage)?;
    let mut learned = Learned::default();
    let take = |access: &Access<'_>| {
        if names::pattern_matches(&args.workload, access.workload) {
            learned.take(access, args.depth);
        }
    };
    let extent = exports.read("learning", take).map_err(Failure::into_usage)?;
    if learned.accesses == 0 {
        return Err(Failure::refused(format!(
            "{} did nothing in these exports that a rule could decide",
            args.workload
        )));
    }
    let mut draft = learned.draft(&args.workload, &extent, args.depth)?;
    let held = hold(&draft.text, &exports, &args.workload)?;
    if held.named > 0 || learned.files.beyond > 0 {
        return Err(refusal(&held, learned.files.beyond));
    }
    if held.unnamed > 0 {
        draft.warnings.push(format!(
            "{} something was permitted that the draft denies",
            counted(held.unnamed as usize, "time")
        ));
    }
    say(args, &draft, &learned, &extent)
}

fn refusal(held: &Held, beyond: u64) -> Failure {
    let what = match &held.first {
        Some(first) => format!("{} ({first})", counted(held.named as usize, "time")),
        None => format!("{} to files beyond those that a policy holds", counted(beyond as usize, "time")),
    };
    Failure::usage(format!("the draft would deny what was permitted: {what}; use --depth, or a lower one"))
}

/// Holds a draft, enforced, against what it was learned from.
fn hold(text: &str, exports: &Exports, workload: &str) -> Result<Held, Failure> {
    let bytes = enforced(text)?;
    let policy = Policy::decode(&bytes).map_err(|error| Failure::usage(format!("the draft: {error}")))?;
    let decisions = Decisions::of(policy);
    let mut held = Held::default();
    let take = |access: &Access<'_>| {
        if names::pattern_matches(workload, access.workload) {
            held.take(&decisions, access);
        }
    };
    exports.read("holding the draft against it", take).map_err(Failure::into_usage)?;
    Ok(held)
}

/// What a draft compiles to, were its mode enforce.
fn enforced(text: &str) -> Result<Vec<u8>, Failure> {
    let mut compiled = compiled(text)?;
    compiled.source.mode = Mode::Enforce;
    compiled.source.compile().map_err(does_not_compile)
}

fn compiled(text: &str) -> Result<Compiled, Failure> {
    if text.len() > bounds::SOURCE_BYTES {
        let most = bounds::SOURCE_BYTES;
        return Err(Failure::usage(format!(
            "the draft is longer than {most} bytes; use --depth, or a lower one"
        )));
    }
    match compile(Path::new("draft"), text.as_bytes().to_vec(), false) {
        Ok(compiled) => Ok(compiled),
        Err(Trouble::Failure(failure)) => Err(failure.into_usage()),
        Err(Trouble::Source(_, error)) => Err(does_not_compile(error.message)),
    }
}

fn does_not_compile(why: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("the draft does not compile: {why}; use --depth, or a lower one"))
}

fn say(args: &Args, draft: &Draft, learned: &Learned, extent: &Extent) -> Outcome {
    if let Some(out) = &args.out {
        disk::write(out, draft.text.as_bytes(), 0o644, false)?;
    }
    if args.json {
        output::json(&json!({
            "workload": args.workload,
            "name": policy_name(&args.workload),
            "mode": "audit",
            "out": args.out.as_ref().map(|out| out.display().to_string()),
            "draft": args.out.is_none().then_some(&draft.text),
            "named": draft.named,
            "devices": extent.devices,
            "events": extent.events,
            "lost": extent.lost,
            "incomplete": extent.incomplete,
            "accesses": learned.accesses,
            "left_out": learned.left,
            "warnings": draft.warnings,
        }))?;
    } else if let Some(out) = &args.out {
        let mut text = format!(
            "{}: {}, mode audit: read it before it enforces\n",
            out.display(),
            counted(draft.named, "file")
        );
        for warning in &draft.warnings {
            // Writing to a String can't fail.
            let _ = writeln!(text, "warning: {warning}");
        }
        output::text(&text)?;
    } else {
        output::text(&draft.text)?;
    }
    Ok(Status::Good)
}

impl Learned {
    fn take(&mut self, access: &Access<'_>, depth: Option<u16>) {
        self.accesses += 1;
        self.files.script(access.argv);
        if access.excused {
            // An emergency is no need.
            self.leave("an access that only broken glass or a fallen deadman let pass");
            return;
        }
        let denied = access.verdict == Verdict::Denied;
        let left = match access.what {
            What::File { file, to, operations } => {
                let both = [Some(file), to].into_iter().flatten();
                let each = both.map(|file| self.files.take(access, &file, operations, depth));
                each.collect::<Vec<_>>().into_iter().find_map(Result::err)
            }
            // What was denied is in no list of what is allowed.
            _ if denied => None,
            What::Address { family, address, port, protocol, operation } => {
                self.nets.take(family, address, port, protocol, operation).err()
            }
            What::Surface(operation) => {
                self.surface.insert(operation);
                None
            }
        };
        match left {
            Some(why) => self.leave(why),
            None => {
                self.rings.insert(*access.ring);
            }
        }
    }

    fn leave(&mut self, why: &'static str) {
        *self.left.entry(why).or_default() += 1;
    }

    /// The draft, with comments that allow what lint warns of and is meant.
    fn draft(&self, workload: &str, extent: &Extent, depth: Option<u16>) -> Result<Draft, Failure> {
        let plan = Plan::of(&self.files, depth, self.rings.len() > 1);
        let warnings = self.warnings(&plan, extent);
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = self.write(&mut text, workload, extent, &plan, &warnings);
        let compiled = compiled(&text)?;
        let codes: BTreeSet<_> = lint::lint(&compiled).iter().map(|finding| finding.code.name()).collect();
        let mut all = String::new();
        for (code, why) in MEANT.iter().filter(|(code, _)| codes.contains(code)) {
            let _ = writeln!(all, "# lint: allow {code}: {why}");
        }
        all.push_str(&text);
        Ok(Draft { text: all, named: plan.named(), warnings })
    }

    fn warnings(&self, plan: &Plan, extent: &Extent) -> Vec<String> {
        let mut warnings = Vec::new();
        if extent.lost > 0 || extent.incomplete {
            warnings.push(format!(
                "not all was seen: {} were lost on the devices, or exports are missing",
                counted(extent.lost as usize, "event")
            ));
        }
        if !plan.open.is_empty() {
            let open: Vec<&str> = plan.open.iter().map(Operation::name).collect();
            warnings.push(format!(
                "{} of files in general can't be denied: {} a file was used of which no whole path was recorded (before \
                 Linux 5.17 none is)",
                open.join(", "),
                counted(self.files.unknown_accesses as usize, "time"),
            ));
        }
        if !plan.executes && !plan.open.contains(Operation::Exec) {
            warnings.push("no start of a program is in these exports, so none is permitted".to_owned());
        }
        for wide in &plan.wide {
            warnings.push(format!("{wide}: review it"));
        }
        for barred in &plan.barred {
            warnings.push(format!(
                "denied though it was done: {barred}, and can't be told apart from what was denied there"
            ));
        }
        warnings
    }

    fn write(
        &self,
        out: &mut String,
        workload: &str,
        extent: &Extent,
        plan: &Plan,
        warnings: &[String],
    ) -> std::fmt::Result {
        let name = policy_name(workload);
        writeln!(
            out,
            "# A draft by `aegisctl policy learn`, for a person to review: the least that {workload} was seen to need."
        )?;
        writeln!(
            out,
            "# From {} of {}, {} of them accesses of {workload} that rules can decide.",
            counted(extent.events as usize, "event"),
            counted(extent.devices, "device"),
            self.accesses
        )?;
        for warning in warnings {
            writeln!(out, "# WARNING: {warning}.")?;
        }
        out.push_str(HEAD);
        if !self.files.changes {
            out.push_str(NO_CHANGES);
        }
        writeln!(
            out,
            "schema = 1\nname = {}\nmode = \"audit\"\n\n[[workload]]\nname = {}",
            quoted(&name),
            quoted(workload)
        )?;
        plan.write(out, workload)?;
        self.nets.write(out, workload)?;
        self.write_surface(out, workload)?;
        if !self.left.is_empty() {
            writeln!(out, "\n# Left out, in no rule of their own:")?;
        }
        for (why, count) in &self.left {
            writeln!(out, "#   {count} x {why}")?;
        }
        Ok(())
    }

    /// What of the kernel's own surface was not seen to be used.
    fn write_surface(&self, out: &mut String, workload: &str) -> std::fmt::Result {
        let unseen: Vec<Operation> =
            Operations::SURFACE.iter().filter(|operation| !self.surface.contains(operation)).collect();
        if unseen.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = unseen.iter().map(|operation| quoted(operation.name())).collect();
        writeln!(out, "\n# Not seen to be used. Review: agents before ABI 4 recorded none of it.")?;
        writeln!(
            out,
            "[[rule]]\nname = \"no-kernel-surface\"\nworkloads = [{}]\naction = \"deny\"\noperations = [{}]",
            quoted(workload),
            names.join(", ")
        )
    }
}

/// What lint warns of in a draft, and why it is meant.
const MEANT: &[(&str, &str)] = &[
    ("audit-mode", "it is a draft; take this line out when it enforces"),
    ("directory-path", "the directory itself was listed, or changed"),
    ("over-broad", "what was not seen is denied, or could not be named"),
    ("self-locking", "what the workload was seen to start with is permitted below"),
    ("volatile-path", "it is what was recorded"),
];

const HEAD: &str = "\
# What was not seen is denied; allow rules with override say what was. A rule is on the file that a path leads to and on its
# name, to eight parts below its file system's root: what lies deeper and is made anew is denied, so fold it (--depth). A
# folded directory is open with all that is or comes below it. Of a script only its interpreter is recorded as executed, of a
# library nothing: what was read and bears such a name stays executable. Run it in audit first: what is reported then was
# needed, too.
";

const NO_CHANGES: &str = "\
# No change of a file is in these exports. If their agent is older than ABI 4, it recorded none: then what is renamed, removed
# or made here is not known, and denied; so is what is connected to by a path.
";

/// A policy's name from a workload's.
fn policy_name(workload: &str) -> String {
    let name: String = workload
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .collect();
    let name = name.trim_matches('-');
    let name = if name.is_empty() { "learned" } else { name };
    name.chars().take(bounds::NAME_BYTES).collect()
}
