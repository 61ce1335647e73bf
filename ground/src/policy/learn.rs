//! `aegisctl policy learn`: a draft of the least that a workload needs, from what it was seen to do.
//!
//! The language denies what is named, and allows the rest. So the draft names every file that was seen and denies what was
//! not seen to be done to it. It can't deny what was never seen; its head says so. Denials that were recorded stay denials.
//!
//! A rule is on a file, not on a name: what was done to a file under one name is left open under all of its names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use aegis_event::Verdict;
use aegis_policy::{Operation, Operations, limits as bounds, names};

use super::render::quoted;
use super::resolve::PolicySource;
use super::simulate::operations;
use super::{counted, limits};
use crate::export::{Access, EventArgs, Extent, read_accesses};
use crate::outcome::{Failure, Outcome, Status};
use crate::{files, output};

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
    /// Files below the directory of this many parts are not named one by one, but counted by it, for a person to judge
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    depth: Option<u16>,
    /// Where to write the draft; refused if it exists. Default: stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A file as a device knows it: device, number of the file system, inode.
type Identity = ([u8; 16], u32, u64);

/// What was seen of a path.
#[derive(Debug)]
struct Seen {
    /// By operation: how often.
    counts: [u64; Operation::ALL.len()],
    denied: u64,
    first: u64,
    last: u64,
    identities: BTreeSet<Identity>,
}

impl Seen {
    fn new(sequence: u64) -> Self {
        Self { counts: [0; 3], denied: 0, first: sequence, last: sequence, identities: BTreeSet::new() }
    }
}

#[derive(Debug, Default)]
struct Learned {
    paths: BTreeMap<String, Seen>,
    /// What was done to a file under all of its names, as bits.
    files: BTreeMap<Identity, u8>,
    /// Files that are not named one by one: how many accesses and which operations, by directory.
    folded: BTreeMap<String, ([u64; Operation::ALL.len()], BTreeSet<String>)>,
    rings: BTreeSet<[u8; 16]>,
    /// Last parts of what programs were started with: of a script only its interpreter is recorded as executed.
    scripts: BTreeSet<Vec<u8>>,
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
            "{} opened and executed nothing in these exports",
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
            files::write(out, draft.as_bytes(), 0o644, false)?;
            output::text(&format!(
                "{}: {}, mode audit: read it before it enforces\n",
                out.display(),
                counted(learned.paths.len(), "file")
            ))?;
        }
        None => output::text(&draft)?,
    }
    Ok(Status::Good)
}

impl Learned {
    fn take(&mut self, access: &Access<'_>, depth: Option<u16>) {
        let Some(operations) = operations(access.way) else { return };
        self.accesses += 1;
        self.scripts(access.argv);
        let path = match nameable(access) {
            Ok(path) => path,
            Err(why) => {
                *self.left.entry(why).or_default() += 1;
                return;
            }
        };
        if access.glass_broken {
            // An emergency is no need.
            *self.left.entry("an access that only broken glass let pass").or_default() += 1;
            return;
        }
        let denied = access.verdict == Verdict::Denied;
        let identity = (*access.device, access.file.device, access.file.inode);
        if !denied {
            // Also of what is left out below: a file that is named may be it under another name.
            if self.files.len() < limits::LEARNED_FILES || self.files.contains_key(&identity) {
                *self.files.entry(identity).or_default() |= operations.bits();
            } else {
                *self.left.entry("more files than are kept").or_default() += 1;
                return;
            }
        }
        self.rings.insert(*access.ring);
        if let Some(directory) = depth.and_then(|depth| folded(path, depth)) {
            let room = self.folded.len() < limits::LEARNED || self.folded.contains_key(directory);
            if !room {
                *self.left.entry("more directories than are kept").or_default() += 1;
                return;
            }
            let (counts, files) = self.folded.entry(directory.to_owned()).or_default();
            for operation in operations.iter() {
                counts[operation.index()] += 1;
            }
            if files.len() < limits::LEARNED {
                files.insert(path.to_owned());
            }
            return;
        }
        if !self.paths.contains_key(path) && self.paths.len() >= limits::LEARNED {
            *self.left.entry("more paths than a policy holds").or_default() += 1;
            return;
        }
        let seen = self.paths.entry(path.to_owned()).or_insert_with(|| Seen::new(access.sequence));
        seen.first = seen.first.min(access.sequence);
        seen.last = seen.last.max(access.sequence);
        seen.identities.insert(identity);
        if denied {
            seen.denied += 1;
        } else {
            for operation in operations.iter() {
                seen.counts[operation.index()] += 1;
            }
        }
    }

    fn scripts(&mut self, argv: &[u8]) {
        // `#!` puts the script behind the interpreter and at most one argument.
        for argument in argv.split(|byte| *byte == 0).skip(1).take(limits::SCRIPT_ARGUMENTS) {
            let name = argument.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            if !name.is_empty() && self.scripts.len() < limits::SCRIPTS {
                self.scripts.insert(name.to_vec());
            }
        }
    }

    /// It was read, and a program was started with its name: it may have been the script. When there are too many names to
    /// keep, so may all.
    fn perhaps_script(&self, path: &str, seen: &Seen) -> bool {
        let name = path.rsplit('/').next().unwrap_or_default();
        self.files_needed(seen) & bit(Operation::OpenRead) != 0
            && (self.scripts.len() >= limits::SCRIPTS || self.scripts.contains(name.as_bytes()))
    }

    /// The operations that a path's files were seen to need, under all of their names.
    fn needed(&self, path: &str, seen: &Seen) -> u8 {
        self.files_needed(seen) | if self.perhaps_script(path, seen) { bit(Operation::Exec) } else { 0 }
    }

    fn files_needed(&self, seen: &Seen) -> u8 {
        let own = seen.identities.iter().filter_map(|identity| self.files.get(identity));
        own.fold(0, |needed, bits| needed | bits)
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
            "# From {} of {}, {} of them opens and executions of {workload}.",
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
        let mut by_need: BTreeMap<u8, Vec<(&str, &Seen)>> = BTreeMap::new();
        for (path, seen) in &self.paths {
            by_need.entry(self.needed(path, seen)).or_default().push((path, seen));
        }
        for (needed, paths) in &by_need {
            let denied = Operations::ALL.bits() & !needed;
            let words = |bits| {
                Operations::from_bits(bits)
                    .map_or(Vec::new(), |set| set.iter().map(Operation::name).collect())
            };
            let Some(rule) = rule_name(*needed) else {
                writeln!(out, "\n# Read, written and executed: nothing is left to deny.")?;
                for (path, seen) in paths {
                    writeln!(out, "#   {path}  {}", self.comment(path, seen))?;
                }
                continue;
            };
            let what = if *needed == 0 {
                "Denied then; denied still".to_owned()
            } else {
                format!("Seen: {}", words(*needed).join(", "))
            };
            writeln!(out, "\n# {what}. Review each: does {workload} need it, and nothing else?")?;
            writeln!(
                out,
                "[[rule]]\nname = {}\nworkloads = [{}]\naction = \"deny\"",
                quoted(rule),
                quoted(workload)
            )?;
            let denied: Vec<String> = words(denied).into_iter().map(quoted).collect();
            writeln!(out, "operations = [{}]\npaths = [", denied.join(", "))?;
            for (path, seen) in paths {
                writeln!(out, "    {}, # {}", quoted(path), self.comment(path, seen))?;
            }
            writeln!(out, "]")?;
        }
        self.write_left(out)
    }

    fn write_left(&self, out: &mut String) -> std::fmt::Result {
        if !self.folded.is_empty() {
            writeln!(
                out,
                "\n# Counted by directory (--depth), in no rule: a rule is on one file. What is below them stays allowed."
            )?;
            for (directory, (counts, files)) in &self.folded {
                writeln!(out, "#   {directory}/  {}: {}", counted(files.len(), "file"), times(counts))?;
            }
        }
        if !self.left.is_empty() {
            writeln!(out, "\n# Left out, in no rule:")?;
        }
        for (why, count) in &self.left {
            writeln!(out, "#   {count} x {why}")?;
        }
        Ok(())
    }

    fn comment(&self, path: &str, seen: &Seen) -> String {
        let mut words = vec![times(&seen.counts)];
        words.retain(|words| !words.is_empty());
        if seen.denied > 0 {
            words.push(format!("denied {}", seen.denied));
        }
        let executed = seen.counts[Operation::Exec.index()] > 0;
        if self.perhaps_script(path, seen) && !executed {
            words.push("perhaps run as a script".to_owned());
        }
        let unseen = self.files_needed(seen) & !bits(&seen.counts);
        if unseen != 0 {
            words.push("more under another name".to_owned());
        }
        let rings = if self.rings.len() > 1 { ", of several rings" } else { "" };
        format!("{}; sequence {} to {}{rings}", words.join(", "), seen.first, seen.last)
    }
}

const fn bit(operation: Operation) -> u8 {
    1 << operation.index()
}

const HEAD: &str = "\
# What was not seen is not denied: the language denies what is named. A rule is on the file that a path leads to when the
# policy is loaded; what is made later is not covered. Of a script, only its interpreter is recorded as executed: what was
# read and bears the name of an argument stays executable. Run it in audit first: what is reported then was needed, too.
";

fn bits(counts: &[u64; Operation::ALL.len()]) -> u8 {
    Operation::ALL
        .iter()
        .filter(|operation| counts[operation.index()] > 0)
        .fold(0, |bits, one| bits | 1 << one.index())
}

fn times(counts: &[u64; Operation::ALL.len()]) -> String {
    let words = ["read", "written", "executed"];
    let some = words.iter().zip(counts).filter(|(_, count)| **count > 0);
    some.map(|(word, count)| format!("{word} {count}")).collect::<Vec<_>>().join(", ")
}

const fn rule_name(needed: u8) -> Option<&'static str> {
    Some(match needed {
        0b000 => "denied",
        0b001 => "only-read",
        0b010 => "only-written",
        0b011 => "not-executed",
        0b100 => "only-executed",
        0b101 => "not-written",
        0b110 => "not-read",
        _ => return None,
    })
}

/// The path as the language can have it; or why it can't.
fn nameable<'a>(access: &Access<'a>) -> Result<&'a str, &'static str> {
    if access.file.truncated {
        return Err("a path that was recorded in part");
    }
    let path = std::str::from_utf8(access.file.path).map_err(|_| "a path that is not UTF-8 text")?;
    let process = path.strip_prefix("/proc/").and_then(|rest| rest.split('/').next());
    if process.is_some_and(|first| !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err("a process's own file in /proc");
    }
    if path.ends_with(" (deleted)") {
        return Err("a file that was deleted");
    }
    if path.len() > bounds::PATH_BYTES {
        return Err("a path that is longer than 255 bytes");
    }
    if names::is_path(path) && !path.chars().any(char::is_control) {
        Ok(path)
    } else {
        Err("a file without a path (a pipe, a memfd)")
    }
}

/// The directory that stands for a path with more parts than `depth`.
fn folded(path: &str, depth: u16) -> Option<&str> {
    let end = path.match_indices('/').nth(usize::from(depth))?.0;
    Some(&path[..end])
}

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
    use super::{folded, policy_name};

    #[test]
    fn paths_fold_into_directories() {
        for (path, depth, expected) in [
            ("/srv/data/a", 2, Some("/srv/data")),
            ("/srv/data/a/b", 2, Some("/srv/data")),
            ("/srv/data", 2, None),
            ("/a", 1, None),
            ("/a/b", 1, Some("/a")),
        ] {
            assert_eq!(folded(path, depth), expected, "{path}");
        }
    }

    #[test]
    fn workloads_name_policies() {
        for (workload, expected) in
            [("Agent_7", "agent-7"), ("agent-*", "agent"), ("*", "learned"), ("..x", "x")]
        {
            assert_eq!(policy_name(workload), expected);
        }
    }
}
