//! The table: every scenario, a file for each family of groups.

mod cgroups;
mod change;
mod exec;
mod full;
mod kernel;
mod names;
mod net;
mod opens;
mod overlay;
mod own;
mod races;
mod rings;
mod spaces;
mod tree;
mod unix;

use std::os::fd::AsFd;

use crate::fixture::SECRET;
use crate::scenario::{Done, Scenario, Stop};
use crate::sys;

/// Rule, kind of the event, hook: what most rows of the table have in common.
type Expected = (&'static str, &'static str, &'static str);

const READ: Expected = ("suite-read", "open", "file_open");
const WRITE: Expected = ("suite-write", "open", "file_open");
const TREE: Expected = ("suite-tree", "open", "file_open");
const EXEC: Expected = ("suite-exec", "exec-check", "file_open|bprm_check_security");

/// All, in the order in which they run.
pub fn all() -> Vec<Scenario> {
    [
        opens::ALL,
        names::ALL,
        spaces::ALL,
        overlay::ALL,
        rings::ALL,
        exec::ALL,
        change::ALL,
        tree::ALL,
        net::ALL,
        unix::ALL,
        kernel::ALL,
        cgroups::ALL,
        own::ALL,
        races::ALL,
        full::ALL,
    ]
    .concat()
}

/// Reads what was opened: the act is done when something came.
fn take(fd: impl AsFd) -> Done {
    match sys::read(&fd) {
        Ok(bytes) if !bytes.is_empty() => Ok(()),
        Ok(_) => Err(Stop::Broken("nothing in it".to_owned())),
        Err(number) => Err(Stop::Errno(number)),
    }
}

/// Opens to read, and reads.
fn read(path: &str) -> Done {
    take(sys::open(path, libc::O_RDONLY)?)
}

/// Opens with these flags.
fn open(path: &str, flags: i32) -> Done {
    sys::open(path, flags)?;
    Ok(())
}

/// What was read is what must not get out.
fn is_secret(bytes: &[u8]) -> bool {
    bytes == SECRET
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn scenarios_can_be_told_apart_and_there_are_enough() {
        let all = all();
        let names: BTreeSet<_> = all.iter().map(|scenario| scenario.id).collect();
        assert_eq!(names.len(), all.len(), "a name is there twice");
        // A task's name holds 15 bytes.
        for name in names {
            assert!(name.len() <= 15 && !name.is_empty(), "{name}");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            );
        }
        assert!(all.len() >= 120, "{}", all.len());
        // Only what is on the disk is there before a policy is taken.
        assert!(all.iter().all(|scenario| !scenario.by_object || scenario.place == crate::Place::Disk));
    }

    #[test]
    fn every_rule_of_the_table_is_in_the_policy() {
        let policy = include_str!("../../policy.toml");
        for scenario in all() {
            let named = scenario.rule.split('|').any(|rule| policy.contains(&format!("name = \"{rule}\"")));
            assert!(named || scenario.rule.starts_with("aegis-"), "{}: {}", scenario.id, scenario.rule);
        }
    }
}
