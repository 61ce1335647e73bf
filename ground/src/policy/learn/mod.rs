//! `aegisctl policy learn`: a draft of the least that a workload needs, from what it was seen to do.
//!
//! The language denies what is named, and allows the rest. So the draft names every file that was seen, or the directory of
//! many, and denies what was not seen to be done to it; of addresses it denies all but those that were seen. Denials that
//! were recorded stay denials.

mod files;
mod nets;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use aegis_event::Verdict;
use aegis_policy::{Operation, Operations, limits as bounds, names};

use super::counted;
use super::render::quoted;
use super::resolve::PolicySource;
use crate::export::{Access, EventArgs, Extent, What, read_accesses};
use crate::outcome::{Failure, Outcome, Status};
use crate::{files as disk, output};

pub(super) const EXAMPLES: &str = "\
Examples:
  aegisctl policy learn --events export.cbor --workload agent-7 > agent-7.toml
  aegisctl policy learn --events *.cbor --workload 'agent-*' --depth 3 --out agents.toml
  aegisctl policy simulate --policy agents.toml --events *.cbor

The draft is in mode audit: read it, simulate it, run it in audit, and only then let it enforce.
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
}

#[derive(Debug, Default)]
struct Learned {
    files: files::Files,
    nets: nets::Nets,
    /// What was done to the kernel's own surface, and not denied.
    surface: BTreeSet<Operation>,
    rings: BTreeSet<[u8; 16]>,
    /// Accesses left out, by why.
    left: BTreeMap<&'static str, u64>,
    accesses: u64,
}

pub(super) fn run(args: &Args) -> Outcome {
    if !names::is_workload_pattern(&args.workload) {
        return Err(Failure::usage(format!(
            "--workload: \"{}\" is not a workload name or pattern",
            args.workload
        )));
    }
    let mut learned = Learned::default();
    let take = |access: &Access<'_>| {
        if names::pattern_matches(&args.workload, access.workload) {
            learned.take(access, args.depth);
        }
    };
    let extent = read_accesses(&args.events, "learning", take).map_err(Failure::into_usage)?;
    if learned.accesses == 0 {
        return Err(Failure::refused(format!(
            "{} did nothing in these exports that a rule could decide",
            args.workload
        )));
    }
    let draft = learned.draft(&args.workload, &extent);
    // What is handed over compiles.
    let (_, read) = super::resolve::load(Path::new("draft"), draft.clone().into_bytes(), false)?;
    read.map_err(|error| error.message)
        .and_then(|policy: PolicySource| policy.compile().map_err(|error| error.to_string()))
        .map_err(|why| Failure::usage(format!("the draft does not compile: {why}; use --depth")))?;
    match &args.out {
        Some(out) => {
            disk::write(out, draft.as_bytes(), 0o644, false)?;
            output::text(&format!(
                "{}: {}, mode audit: read it before it enforces\n",
                out.display(),
                counted(learned.files.named(), "file")
            ))?;
        }
        None => output::text(&draft)?,
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

    fn draft(&self, workload: &str, extent: &Extent) -> String {
        let mut out = String::new();
        // Writing to a String can't fail.
        let _ = self.write(&mut out, workload, extent);
        out
    }

    fn write(&self, out: &mut String, workload: &str, extent: &Extent) -> std::fmt::Result {
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
        if extent.lost > 0 || extent.incomplete {
            writeln!(
                out,
                "# NOT ALL WAS SEEN: {} were lost on the devices, or exports are missing.",
                counted(extent.lost as usize, "event")
            )?;
        }
        out.push_str(HEAD);
        writeln!(
            out,
            "schema = 1\nname = {}\nmode = \"audit\"\n\n[[workload]]\nname = {}",
            quoted(&name),
            quoted(workload)
        )?;
        self.files.write(out, workload, self.rings.len() > 1)?;
        self.nets.write(out, workload)?;
        self.write_surface(out, workload)?;
        if !self.left.is_empty() {
            writeln!(out, "\n# Left out, in no rule:")?;
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

const HEAD: &str = "\
# What was not seen is not denied, but for addresses and the kernel's own surface: the language denies what is named. A rule
# is on the file that a path leads to and on its name. A denial of anything keeps a file from being changed, too (renamed,
# removed, its permissions set). Of a script, only its interpreter is recorded as executed: what was read and bears the name
# of an argument stays executable. Run it in audit first: what is reported then was needed, too.
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

#[cfg(test)]
mod tests {
    use super::policy_name;

    #[test]
    fn workloads_name_policies() {
        for (workload, expected) in
            [("Agent_7", "agent-7"), ("agent-*", "agent"), ("*", "learned"), ("..x", "x")]
        {
            assert_eq!(policy_name(workload), expected);
        }
    }
}
