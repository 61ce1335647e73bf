//! Files: what was done to which.
//!
//! A rule is on a file, not on a name: what was done to a file under one name is left open under all of its names.

use std::collections::{BTreeMap, BTreeSet};

use aegis_event::{File, Verdict};
use aegis_policy::{Operation, Operations};

use super::super::limits;
use super::place::{Place, folded};
use crate::export::Access;

/// A file as a device knows it: device, number of the file system, inode.
type Identity = ([u8; 16], u32, u64);
pub(super) type Counts = [u64; Operation::FILE.len()];

/// What was seen of a path, or of what can't be named below a directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// By operation: how often, when it was not denied, and when it was.
    pub(super) counts: Counts,
    pub(super) denied: Counts,
    /// Sequences.
    pub(super) first: Option<u64>,
    pub(super) last: u64,
    identities: BTreeSet<Identity>,
    /// Why it is not named.
    pub(super) whys: BTreeSet<&'static str>,
}

impl Seen {
    /// Was done, and not denied.
    pub(super) fn done(&self) -> Operations {
        operations(&self.counts)
    }

    /// Was denied whenever it was tried.
    pub(super) fn refused(&self) -> Operations {
        operations(&self.denied).without(self.done())
    }

    fn take(&mut self, sequence: u64, operations: Operations, denied: bool) {
        self.first = Some(self.first.map_or(sequence, |first| first.min(sequence)));
        self.last = self.last.max(sequence);
        let counts = if denied { &mut self.denied } else { &mut self.counts };
        for operation in operations.iter().filter(|operation| Operations::FILE.contains(*operation)) {
            counts[operation.place()] += 1;
        }
    }

    /// Both together.
    pub(super) fn join(&mut self, other: &Self) {
        for (sum, more) in self.counts.iter_mut().zip(other.counts) {
            *sum += more;
        }
        for (sum, more) in self.denied.iter_mut().zip(other.denied) {
            *sum += more;
        }
        self.first = self.first.into_iter().chain(other.first).min();
        self.last = self.last.max(other.last);
        self.whys.extend(&other.whys);
    }
}

#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) paths: BTreeMap<String, Seen>,
    /// What can't be named one by one, by directory.
    pub(super) loose: BTreeMap<String, Seen>,
    /// What was done to a file under all of its names.
    needs: BTreeMap<Identity, Operations>,
    /// What was done to files in directories that were not recorded.
    unknown: BTreeMap<Option<Identity>, Operations>,
    pub(super) unknown_accesses: u64,
    /// Last parts of what programs were started with: of a script only its interpreter is recorded as executed.
    scripts: BTreeSet<Vec<u8>>,
    /// Something was changed: the agent records changes.
    pub(super) changes: bool,
    /// Accesses to more paths than are kept.
    pub(super) beyond: u64,
}

impl Files {
    /// Takes an access; or says why it is in no rule.
    pub(super) fn take(
        &mut self,
        access: &Access<'_>,
        file: &File<'_>,
        operations: Operations,
        depth: Option<u16>,
    ) -> Result<(), &'static str> {
        let denied = access.verdict == Verdict::Denied;
        // What is being made has no inode yet.
        let identity = (file.inode > 0 && !denied).then_some((*access.device, file.device, file.inode));
        let identity = identity.filter(|identity| self.note(*identity, operations));
        self.changes |= operations.contains(Operation::Change);
        let (directory, why) = match Place::of(file) {
            Place::Path(path) => {
                let known = self.paths.len() < limits::LEARNED || self.paths.contains_key(path);
                match depth.and_then(|depth| folded(path, depth)).filter(|_| !known) {
                    None if known => {
                        let seen = self.paths.entry(path.to_owned()).or_default();
                        seen.take(access.sequence, operations, denied);
                        seen.identities.extend(identity);
                        return Ok(());
                    }
                    None => {
                        self.beyond += u64::from(!denied);
                        return Err("more paths than a policy holds");
                    }
                    Some(directory) => (directory, "more paths than are kept"),
                }
            }
            Place::Below(directory, why) => {
                (depth.and_then(|depth| folded(directory, depth)).unwrap_or(directory), why)
            }
            Place::Nowhere => return Err("a file in no directory (a pipe, a socket): no rule is on it"),
            Place::Unknown(why) => {
                if !denied {
                    let needs = self.unknown.entry(identity).or_default();
                    *needs = needs.and(operations);
                    self.unknown_accesses += 1;
                }
                return Err(why);
            }
        };
        if !self.loose.contains_key(directory) && self.loose.len() >= limits::LEARNED {
            self.beyond += u64::from(!denied);
            return Err("more directories than are kept");
        }
        let seen = self.loose.entry(directory.to_owned()).or_default();
        seen.take(access.sequence, operations, denied);
        seen.identities.extend(identity);
        seen.whys.insert(why);
        Ok(())
    }

    /// Notes what was done to a file, also for its other names. False: more files than are told apart.
    fn note(&mut self, identity: Identity, operations: Operations) -> bool {
        if self.needs.len() >= limits::LEARNED_FILES && !self.needs.contains_key(&identity) {
            return false;
        }
        let needs = self.needs.entry(identity).or_default();
        *needs = needs.and(operations);
        true
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

    /// The operations that a path's files were seen to need, under all of their names; what was denied of this one is not.
    pub(super) fn needs(&self, seen: &Seen) -> Operations {
        let own = seen.identities.iter().filter_map(|identity| self.needs.get(identity));
        let needs = own.fold(seen.done(), |needs, more| needs.and(*more));
        needs.without(seen.refused())
    }

    /// It was read, and may have been executed without a word in the records: of a script only the interpreter is recorded,
    /// of a library nothing. When there are too many names to keep, all may be scripts.
    pub(super) fn perhaps_executed(&self, path: &str, seen: &Seen) -> Option<&'static str> {
        let needs = self.needs(seen);
        let settled = seen.refused().contains(Operation::Exec) || needs.contains(Operation::Exec);
        if settled || !needs.contains(Operation::OpenRead) {
            return None;
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        // What it wrote itself is no library that it begins with.
        if is_library(name) && !needs.contains(Operation::OpenWrite) {
            Some("perhaps mapped as code")
        } else if self.scripts.len() >= limits::SCRIPTS || self.scripts.contains(name.as_bytes()) {
            Some("perhaps run as a script")
        } else {
            None
        }
    }

    /// What was done to files of which no rule can say where they are: it can't be denied of all others.
    pub(super) fn open(&self) -> Operations {
        let named: BTreeSet<&Identity> = self.paths.values().flat_map(|seen| &seen.identities).collect();
        let unnamed = self
            .unknown
            .iter()
            .filter(|(identity, _)| identity.as_ref().is_none_or(|of| !named.contains(of)));
        unnamed.fold(Operations::NONE, |open, (_, needs)| open.and(*needs))
    }
}

pub(super) fn operations(counts: &Counts) -> Operations {
    let seen = Operation::FILE.into_iter().filter(|operation| counts[operation.place()] > 0);
    seen.fold(Operations::NONE, Operations::with)
}

/// `x.so`, `libx.so.1.2`; not `ld.so.cache`.
fn is_library(name: &str) -> bool {
    let version = |version: &str| version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let bare = name.strip_suffix(".so").is_some();
    bare || name.rsplit_once(".so.").is_some_and(|(_, behind)| version(behind))
}

#[cfg(test)]
mod tests {
    use super::is_library;

    #[test]
    fn libraries_are_known_by_name() {
        for (name, expected) in [
            ("libc.so", true),
            ("libc.so.6", true),
            ("libx.so.1.2.3", true),
            ("ld.so.cache", false),
            ("ld.so.conf", false),
            ("so", false),
            ("notes.txt", false),
        ] {
            assert_eq!(is_library(name), expected, "{name}");
        }
    }
}
