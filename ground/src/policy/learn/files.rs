//! Files: what was done to which.
//!
//! A rule is on a file, not on a name: what was done to a file under one name is left open under all of its names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use aegis_event::{File, Verdict};
use aegis_policy::{Operation, Operations, limits as bounds, names};

use super::super::counted;
use super::super::limits;
use super::super::render::quoted;
use crate::export::Access;

/// A file as a device knows it: device, number of the file system, inode.
type Identity = ([u8; 16], u32, u64);
type Counts = [u64; Operation::FILE.len()];

/// Those that a draft denies when they were not seen. Changes are denied along with them; to connect is of no use on what is
/// no socket.
const DENIED: Operations = Operations::OPEN.with(Operation::Exec);

/// What was seen of a path, or of all below a directory.
#[derive(Debug, Default)]
struct Seen {
    /// By operation: how often.
    counts: Counts,
    denied: u64,
    /// Sequences.
    first: Option<u64>,
    last: u64,
    identities: BTreeSet<Identity>,
    /// Below a directory: which.
    paths: BTreeSet<String>,
}

#[derive(Debug, Default)]
pub(super) struct Files {
    paths: BTreeMap<String, Seen>,
    /// Those that are not named one by one, by directory.
    trees: BTreeMap<String, Seen>,
    /// What was done to a file under all of its names.
    needs: BTreeMap<Identity, Operations>,
    /// Last parts of what programs were started with: of a script only its interpreter is recorded as executed.
    scripts: BTreeSet<Vec<u8>>,
    /// Something was changed: the agent records changes.
    changes: bool,
}

impl Files {
    /// How many paths and directories.
    pub(super) fn named(&self) -> usize {
        self.paths.len() + self.trees.len()
    }

    /// Takes an access; or says why it is left out.
    pub(super) fn take(
        &mut self,
        access: &Access<'_>,
        file: &File<'_>,
        operations: Operations,
        depth: Option<u16>,
    ) -> Result<(), &'static str> {
        let path = nameable(file)?;
        let denied = access.verdict == Verdict::Denied;
        // What is being made has no inode yet.
        let identity = (file.inode > 0).then_some((*access.device, file.device, file.inode));
        if let Some(identity) = identity.filter(|_| !denied) {
            // Also of what is folded below: a file that is named may be it under another name.
            if self.needs.len() >= limits::LEARNED_FILES && !self.needs.contains_key(&identity) {
                return Err("more files than are kept");
            }
            let needs = self.needs.entry(identity).or_default();
            *needs = needs.and(operations);
        }
        self.changes |= operations.contains(Operation::Change);
        let directory = depth.and_then(|depth| folded(path, depth));
        let (of, key, full) = match directory {
            Some(directory) => (&mut self.trees, directory, "more directories than are kept"),
            None => (&mut self.paths, path, "more paths than a policy holds"),
        };
        if !of.contains_key(key) && of.len() >= limits::LEARNED {
            return Err(full);
        }
        let seen = of.entry(key.to_owned()).or_default();
        seen.first = Some(seen.first.map_or(access.sequence, |first| first.min(access.sequence)));
        seen.last = seen.last.max(access.sequence);
        seen.identities.extend(identity);
        if directory.is_some() && seen.paths.len() < limits::LEARNED {
            seen.paths.insert(path.to_owned());
        }
        if denied {
            seen.denied += 1;
        } else {
            for operation in operations.iter().filter(|operation| Operations::FILE.contains(*operation)) {
                seen.counts[operation.place()] += 1;
            }
        }
        Ok(())
    }

    /// Takes the arguments that a program was started with.
    pub(super) fn script(&mut self, argv: &[u8]) {
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
        let is = |path: &str| {
            let name = path.rsplit('/').next().unwrap_or_default();
            self.scripts.len() >= limits::SCRIPTS || self.scripts.contains(name.as_bytes())
        };
        self.seen_needs(seen).contains(Operation::OpenRead)
            && if seen.paths.is_empty() { is(path) } else { seen.paths.iter().any(|path| is(path)) }
    }

    /// The operations that a path's files were seen to need, under all of their names.
    fn needs(&self, path: &str, seen: &Seen) -> Operations {
        let needs = self.seen_needs(seen);
        if self.perhaps_script(path, seen) { needs.with(Operation::Exec) } else { needs }
    }

    fn seen_needs(&self, seen: &Seen) -> Operations {
        let own = seen.identities.iter().filter_map(|identity| self.needs.get(identity));
        own.fold(operations(&seen.counts), |needs, more| needs.and(*more))
    }

    pub(super) fn write(&self, out: &mut String, workload: &str, rings: bool) -> std::fmt::Result {
        if !self.changes && self.named() > 0 {
            writeln!(
                out,
                "\n# No change of a file is in these exports. If their agent is older than ABI 4, it recorded none: then what is\n\
                 # renamed, removed or made here is not known, and denied."
            )?;
        }
        self.write_all(out, workload, rings, "paths", &self.paths)?;
        self.write_all(out, workload, rings, "trees", &self.trees)
    }

    fn write_all(
        &self,
        out: &mut String,
        workload: &str,
        rings: bool,
        key: &str,
        all: &BTreeMap<String, Seen>,
    ) -> std::fmt::Result {
        let prefix = if key == "trees" { "below-" } else { "" };
        let mut by_need: BTreeMap<Operations, Vec<(&str, &Seen)>> = BTreeMap::new();
        let mut changed = Vec::new();
        for (path, seen) in all {
            let needs = self.needs(path, seen);
            let left = DENIED.without(needs);
            by_need.entry(DENIED.without(left)).or_default().push((path, seen));
            if needs.contains(Operation::Change) && !left.is_empty() {
                changed.push((path.as_str(), seen));
            }
        }
        let head = |out: &mut String, name: &str, action: &str| {
            let (name, workload) = (quoted(&format!("{prefix}{name}")), quoted(workload));
            writeln!(out, "[[rule]]\nname = {name}\nworkloads = [{workload}]\naction = {action}")
        };
        let list = |out: &mut String, paths: &[(&str, &Seen)]| {
            writeln!(out, "{key} = [")?;
            for (path, seen) in paths {
                writeln!(out, "    {}, # {}", quoted(path), self.comment(path, seen, rings))?;
            }
            writeln!(out, "]")
        };
        for (needed, paths) in &by_need {
            let Some(rule) = rule_name(*needed) else {
                writeln!(out, "\n# Read, written and executed: nothing is left to deny.")?;
                for (path, seen) in paths {
                    writeln!(out, "#   {path}  {}", self.comment(path, seen, rings))?;
                }
                continue;
            };
            let names: Vec<&str> = needed.iter().map(Operation::name).collect();
            let what = if needed.is_empty() {
                "Not read, written or executed, or denied then and denied still".to_owned()
            } else {
                format!("Seen: {}", names.join(", "))
            };
            writeln!(out, "\n# {what}. Review each: does {workload} need it, and nothing else?")?;
            head(out, rule, "\"deny\"")?;
            let denied: Vec<String> =
                DENIED.without(*needed).iter().map(|operation| quoted(operation.name())).collect();
            writeln!(out, "operations = [{}]", denied.join(", "))?;
            list(out, paths)?;
        }
        if !changed.is_empty() {
            writeln!(
                out,
                "\n# Made, removed, renamed, or their attributes set: left open in spite of what is denied above."
            )?;
            head(out, "may-change", "\"allow\"\noverride = true")?;
            writeln!(out, "operations = [\"change\"]")?;
            list(out, &changed)?;
        }
        Ok(())
    }

    fn comment(&self, path: &str, seen: &Seen, rings: bool) -> String {
        let mut words = vec![times(&seen.counts)];
        words.retain(|words| !words.is_empty());
        if seen.denied > 0 {
            words.push(format!("denied {}", seen.denied));
        }
        if self.perhaps_script(path, seen) && seen.counts[Operation::Exec.place()] == 0 {
            words.push("perhaps run as a script".to_owned());
        }
        if !self.seen_needs(seen).without(operations(&seen.counts)).is_empty() {
            words.push("more under another name".to_owned());
        }
        let files = match seen.paths.len() {
            0 => String::new(),
            count => format!("{}: ", counted(count, "file")),
        };
        let rings = if rings { ", of several rings" } else { "" };
        let first = seen.first.unwrap_or_default();
        format!("{files}{}; sequence {first} to {}{rings}", words.join(", "), seen.last)
    }
}

fn operations(counts: &Counts) -> Operations {
    let seen = Operation::FILE.into_iter().filter(|operation| counts[operation.place()] > 0);
    seen.fold(Operations::NONE, Operations::with)
}

fn times(counts: &Counts) -> String {
    let words = ["read", "written", "executed", "changed", "connected"];
    let some = words.iter().zip(counts).filter(|(_, count)| **count > 0);
    some.map(|(word, count)| format!("{word} {count}")).collect::<Vec<_>>().join(", ")
}

/// By what is needed; none when nothing is left to deny.
fn rule_name(needed: Operations) -> Option<&'static str> {
    let needs = [Operation::OpenRead, Operation::OpenWrite, Operation::Exec].map(|one| needed.contains(one));
    Some(match needs {
        [false, false, false] => "denied",
        [true, false, false] => "only-read",
        [false, true, false] => "only-written",
        [true, true, false] => "not-executed",
        [false, false, true] => "only-executed",
        [true, false, true] => "not-written",
        [false, true, true] => "not-read",
        [true, true, true] => return None,
    })
}

/// The path as the language can have it; or why it can't.
fn nameable<'a>(file: &File<'a>) -> Result<&'a str, &'static str> {
    if file.truncated {
        return Err("a path that was recorded in part");
    }
    let path = std::str::from_utf8(file.path).map_err(|_| "a path that is not UTF-8 text")?;
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

#[cfg(test)]
mod tests {
    use super::folded;

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
}
