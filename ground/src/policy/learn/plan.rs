//! The rules on files: one that denies all, and those that take back what was seen.
//!
//! An override beats every denial. So a directory is opened only for what was denied of nothing in it; what is needed all the
//! same is named file by file.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Bound;

use aegis_policy::{Operation, Operations, names};

use super::super::counted;
use super::super::limits;
use super::super::render::quoted;
use super::super::things::upwards;
use super::files::{Counts, Files, Seen, operations};
use super::place::folded;

/// The loaders of programs. The kernel opens them by itself, which no agent records unless it denies it.
const LOADERS: [&str; 4] = [
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib64/ld-linux-x86-64.so.2",
];

/// A path, or a directory with all below it, and what was seen of it.
#[derive(Debug)]
struct Entry {
    path: String,
    tree: bool,
    comment: String,
}

#[derive(Debug, Default)]
pub(super) struct Plan {
    /// By what they permit.
    rules: BTreeMap<Operations, Vec<Entry>>,
    /// What directories are open for.
    opened: BTreeMap<String, Operations>,
    /// What can't be denied, since it was done to files in places that are not known.
    pub(super) open: Operations,
    /// A program was executed.
    pub(super) executes: bool,
    /// Denied then and still: in no rule that permits it.
    denied: Vec<(String, String)>,
    /// Of these, what is denied by a rule of its own, since it can't be denied in general.
    still: BTreeMap<Operation, Vec<String>>,
    /// What is denied though it was done: it can't be told apart from what was denied then.
    pub(super) barred: Vec<String>,
    /// What is permitted in a whole directory since one file in it can't be named, and more than reading.
    pub(super) wide: Vec<String>,
}

/// What is folded into one directory.
#[derive(Default)]
struct Fold {
    seen: Seen,
    needs: Operations,
    files: usize,
}

impl Plan {
    pub(super) fn of(files: &Files, depth: Option<u16>, rings: bool) -> Self {
        let mut plan = Self { open: files.open(), ..Self::default() };
        if !plan.open.is_empty() {
            plan.opened.insert("/".to_owned(), plan.open);
        }
        for (directory, fold) in &folds(files, depth) {
            plan.directory(files, directory, fold, rings);
        }
        for (path, seen) in &files.paths {
            plan.path(files, path, seen, rings);
        }
        let denies = plan.open != Operations::FILE || !plan.still.is_empty();
        if plan.open.contains(Operation::Change) && denies {
            // A denial implies it.
            plan.add(
                Operations::only(Operation::Change),
                "/",
                true,
                "of files whose place is not known".to_owned(),
            );
        }
        plan
    }

    /// How many paths and directories.
    pub(super) fn named(&self) -> usize {
        self.rules.values().map(Vec::len).sum()
    }

    fn directory(&mut self, files: &Files, directory: &str, fold: &Fold, rings: bool) {
        let may = fold.needs.without(refused(files, directory));
        if let Some(seen) = files.loose.get(directory) {
            let closed = Operations::FILE.without(may).with(Operation::OpenRead);
            let more = words(seen.done().without(closed));
            if !more.is_empty() {
                let whys: Vec<&str> = seen.whys.iter().copied().collect();
                self.wide.push(format!(
                    "all of {directory} is open for {} by {}",
                    more.join(", "),
                    whys.join(", ")
                ));
            }
            let lacking = seen.done().without(may);
            if !lacking.is_empty() {
                let what = words(lacking).join(", ");
                self.barred.push(format!("{directory}: {what}, of files that can't be named"));
            }
        }
        let new = may.without(self.covered(directory));
        if new.is_empty() {
            return;
        }
        self.opened.insert(directory.to_owned(), may);
        self.add(new, directory, true, fold.comment(rings));
    }

    fn path(&mut self, files: &Files, path: &str, seen: &Seen, rings: bool) {
        let needs = files.needs(seen);
        let guess = files.perhaps_executed(path, seen);
        self.executes |= needs.contains(Operation::Exec);
        let refused = seen.refused();
        if !refused.is_empty() {
            self.denied.push((path.to_owned(), format!("{}; {}", times(&seen.denied), seen.extent(rings))));
        }
        for operation in refused.iter().filter(|operation| self.open.contains(*operation)) {
            if operation == Operation::Change {
                self.wide.push(format!("{path}: to change it was denied, and is not any more"));
            } else {
                self.still.entry(operation).or_default().push(path.to_owned());
            }
        }
        let all = if guess.is_some() { needs.with(Operation::Exec) } else { needs };
        let left = all.without(self.covered(path));
        if left.is_empty() {
            return;
        }
        let mut comment = vec![times(&seen.counts)];
        comment.extend(guess.map(str::to_owned));
        if !needs.without(seen.done()).is_empty() {
            comment.push("more under another name".to_owned());
        }
        comment.retain(|words| !words.is_empty());
        self.add(left, path, false, format!("{}; {}", comment.join(", "), seen.extent(rings)));
    }

    fn add(&mut self, permits: Operations, path: &str, tree: bool, comment: String) {
        self.rules.entry(permits).or_default().push(Entry { path: path.to_owned(), tree, comment });
    }

    /// What directories above are open for.
    fn covered(&self, path: &str) -> Operations {
        let above = upwards(path.as_bytes()).filter_map(|of| std::str::from_utf8(of).ok());
        above.filter_map(|of| self.opened.get(of)).fold(Operations::NONE, |sum, of| sum.and(*of))
    }

    /// Loaders that no rule permits to be executed yet.
    fn loaders(&self) -> Vec<&'static str> {
        let exec = Operation::Exec;
        let named = |path: &str| {
            let with = self.rules.iter().filter(|(permits, _)| permits.contains(exec));
            with.flat_map(|(_, entries)| entries).any(|entry| entry.path == path)
        };
        let closed = |path: &&str| !named(path) && !self.covered(path).contains(exec);
        LOADERS
            .into_iter()
            .filter(|path| self.executes && !self.open.contains(exec) && closed(path))
            .collect()
    }

    pub(super) fn write(&self, out: &mut String, workload: &str) -> std::fmt::Result {
        self.write_denial(out, workload)?;
        for (permits, entries) in &self.rules {
            let words = words(*permits);
            writeln!(
                out,
                "\n# Seen: {}. Review each: does {workload} need it, and nothing else?",
                words.join(", ")
            )?;
            head(out, &rule_name(&words), workload, *permits)?;
            for (key, tree) in [("paths", false), ("trees", true)] {
                let mut some = entries.iter().filter(|entry| entry.tree == tree).peekable();
                if some.peek().is_none() {
                    continue;
                }
                writeln!(out, "{key} = [")?;
                for Entry { path, comment, .. } in some {
                    writeln!(out, "    {}, # {comment}", quoted(path))?;
                }
                writeln!(out, "]")?;
            }
        }
        let loaders = self.loaders();
        if !loaders.is_empty() {
            writeln!(
                out,
                "\n# The loaders of programs: the kernel opens them, which no agent records. Leave the one of your programs."
            )?;
            head(out, "may-load", workload, Operations::only(Operation::Exec))?;
            let loaders: Vec<String> = loaders.into_iter().map(quoted).collect();
            writeln!(out, "paths = [\n    {},\n]", loaders.join(",\n    "))?;
        }
        self.write_denied(out)
    }

    fn write_denial(&self, out: &mut String, workload: &str) -> std::fmt::Result {
        // To change a file is denied along with anything else.
        let denied = Operations::FILE.without(Operations::only(Operation::Change)).without(self.open);
        if denied.is_empty() {
            writeln!(out, "\n# NOT EVERY FILE IS DENIED: see above.")?;
            return self.write_still(out, workload);
        }
        let operations: Vec<String> = denied.iter().map(|operation| quoted(operation.name())).collect();
        writeln!(
            out,
            "\n# Every file but those of the rules below is denied; to make, remove, rename or change one is, too.\n[[rule]]\n\
             name = \"no-files\"\nworkloads = [{}]\naction = \"deny\"\noperations = [{}]\ntrees = [\"/\"]",
            quoted(workload),
            operations.join(", ")
        )?;
        self.write_still(out, workload)
    }

    fn write_still(&self, out: &mut String, workload: &str) -> std::fmt::Result {
        for (operation, paths) in &self.still {
            let paths: Vec<String> = paths.iter().map(|path| quoted(path)).collect();
            writeln!(
                out,
                "\n[[rule]]\nname = {}\nworkloads = [{}]\naction = \"deny\"\noperations = [{}]\npaths = [\n    {},\n]",
                quoted(&format!("still-no-{}", words(Operations::only(*operation)).join("-"))),
                quoted(workload),
                quoted(operation.name()),
                paths.join(",\n    ")
            )?;
        }
        Ok(())
    }

    fn write_denied(&self, out: &mut String) -> std::fmt::Result {
        if self.denied.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n# Denied then, and denied still:")?;
        for (path, what) in self.denied.iter().take(limits::CHANGES) {
            writeln!(out, "#   {path}  {what}")?;
        }
        match self.denied.len().saturating_sub(limits::CHANGES) {
            0 => Ok(()),
            more => writeln!(out, "#   and {more} more"),
        }
    }
}

/// By directory what is not named one by one.
fn folds(files: &Files, depth: Option<u16>) -> BTreeMap<&str, Fold> {
    let mut folds: BTreeMap<&str, Fold> = BTreeMap::new();
    for (path, seen) in &files.paths {
        if let Some(directory) = depth.and_then(|depth| folded(path, depth)) {
            let fold = folds.entry(directory).or_default();
            fold.seen.join(seen);
            fold.needs = fold.needs.and(files.needs(seen));
            fold.files += 1;
        }
    }
    for (directory, seen) in &files.loose {
        let fold = folds.entry(directory).or_default();
        fold.seen.join(seen);
        fold.needs = fold.needs.and(files.needs(seen));
    }
    folds
}

/// What was denied of something in a directory.
fn refused(files: &Files, directory: &str) -> Operations {
    let within = |path: &str| names::is_within(directory.as_bytes(), path.as_bytes());
    let from = || (Bound::Included(directory), Bound::Unbounded);
    let paths = files.paths.range::<str, _>(from()).take_while(|(path, _)| path.starts_with(directory));
    let paths = paths.filter(|(path, _)| within(path)).map(|(_, seen)| seen.refused());
    // Of what can't be named, one file is not told from another.
    let loose = files.loose.range::<str, _>(from()).take_while(|(path, _)| path.starts_with(directory));
    let loose = loose.filter(|(path, _)| within(path)).map(|(_, seen)| operations(&seen.denied));
    paths.chain(loose).fold(Operations::NONE, Operations::and)
}

impl Fold {
    fn comment(&self, rings: bool) -> String {
        let mut parts = Vec::new();
        if self.files > 0 {
            parts.push(counted(self.files, "file"));
        }
        parts.extend(self.seen.whys.iter().map(|why| (*why).to_owned()));
        format!("folded: {}: {}; {}", parts.join(", "), times(&self.seen.counts), self.seen.extent(rings))
    }
}

impl Seen {
    /// Where it stands in the records.
    fn extent(&self, rings: bool) -> String {
        let of = if rings { ", of several rings" } else { "" };
        match self.first.unwrap_or_default() {
            first if first == self.last => format!("seen once: sequence {first}{of}"),
            first => format!("sequence {first} to {}{of}", self.last),
        }
    }
}

fn head(out: &mut String, name: &str, workload: &str, permits: Operations) -> std::fmt::Result {
    let operations: Vec<String> = permits.iter().map(|operation| quoted(operation.name())).collect();
    writeln!(
        out,
        "[[rule]]\nname = {}\nworkloads = [{}]\naction = \"allow\"\noverride = true\noperations = [{}]",
        quoted(name),
        quoted(workload),
        operations.join(", ")
    )
}

fn words(of: Operations) -> Vec<&'static str> {
    let words = ["read", "write", "exec", "change", "connect"];
    Operation::FILE.into_iter().filter(|one| of.contains(*one)).map(|one| words[one.place()]).collect()
}

/// At most 31 characters.
fn rule_name(words: &[&str]) -> String {
    if words.len() == Operation::FILE.len() {
        "may-do-all".to_owned()
    } else {
        format!("may-{}", words.join("-"))
    }
}

fn times(counts: &Counts) -> String {
    let words = ["read", "written", "executed", "changed", "connected"];
    let some = words.iter().zip(counts).filter(|(_, count)| **count > 0);
    some.map(|(word, count)| format!("{word} {count}")).collect::<Vec<_>>().join(", ")
}
