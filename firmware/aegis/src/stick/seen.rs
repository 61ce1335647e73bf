//! Which plugs were taken, so that a watcher that is started again takes none twice. One line a plug, in `/run/aegis`.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::device::{Device, Plug};
use crate::limits;
use crate::storage::{RUN, atomic};

const FILE: &str = "sticks";
/// Of those, the plugs that take no more evidence.
const SPENT: &str = "sticks.spent";
/// Longest line: two numbers, a blank, a line feed.
const LINE_BYTES: usize = 20 + 1 + 10 + 1;
const BYTES: usize = limits::BLOCK_DEVICES * LINE_BYTES;

/// The plugs that were taken. Damaged lines are none.
pub(crate) fn load() -> BTreeSet<Plug> {
    load_in(Path::new(RUN), FILE)
}

/// The plugs that take no more evidence: full, write-protected, failing, or no stick of ours.
pub(crate) fn load_spent() -> BTreeSet<Plug> {
    load_in(Path::new(RUN), SPENT)
}

/// Adds a plug, and forgets those of devices that are gone.
pub(crate) fn remember(plug: Plug, there: &[Device]) -> io::Result<()> {
    remember_in(Path::new(RUN), FILE, plug, there)
}

/// Adds a plug that takes no more evidence: one that is full stays so until it was elsewhere.
pub(crate) fn remember_spent(plug: Plug, there: &[Device]) -> io::Result<()> {
    remember_in(Path::new(RUN), SPENT, plug, there)
}

fn load_in(run: &Path, file: &str) -> BTreeSet<Plug> {
    let bytes = atomic::read_bounded(&run.join(file), BYTES as u64).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().filter_map(parse).collect()
}

fn remember_in(run: &Path, file: &str, plug: Plug, there: &[Device]) -> io::Result<()> {
    let mut plugs = load_in(run, file);
    plugs.retain(|known| there.iter().any(|device| device.plug == *known));
    plugs.insert(plug);
    let lines: Vec<String> = plugs.iter().map(|plug| format!("{} {}\n", plug.disk, plug.partition)).collect();
    atomic::replace(run, file, lines.concat().as_bytes(), 0o600).map(drop)
}

fn parse(line: &str) -> Option<Plug> {
    let (disk, partition) = line.split_once(' ')?;
    Some(Plug { disk: disk.parse().ok()?, partition: partition.parse().ok()? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const fn plug(disk: u64, partition: u32) -> Plug {
        Plug { disk, partition }
    }

    #[test]
    fn what_was_taken_is_known_until_it_is_gone() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(load_in(run.path(), FILE), BTreeSet::new());
        let there = [Device::of(plug(7, 0)), Device::of(plug(7, 1))];
        remember_in(run.path(), FILE, plug(7, 0), &there).unwrap();
        remember_in(run.path(), FILE, plug(7, 1), &there).unwrap();
        assert_eq!(load_in(run.path(), FILE), BTreeSet::from([plug(7, 0), plug(7, 1)]));
        remember_in(run.path(), SPENT, plug(7, 1), &there).unwrap();
        assert_eq!(load_in(run.path(), SPENT), BTreeSet::from([plug(7, 1)]));
        // Pulled, and another one plugged in.
        remember_in(run.path(), FILE, plug(u64::MAX, u32::MAX), &[]).unwrap();
        assert_eq!(load_in(run.path(), FILE), BTreeSet::from([plug(u64::MAX, u32::MAX)]));
    }

    #[test]
    fn a_damaged_file_says_nothing_and_is_replaced() {
        let run = tempfile::tempdir().unwrap();
        std::fs::write(run.path().join(FILE), b"7 1\nx\n7\n-1 0\n8 1 \n\xff 3\n").unwrap();
        assert_eq!(load_in(run.path(), FILE), BTreeSet::from([plug(7, 1)]));
        std::fs::write(run.path().join(FILE), vec![b'7'; BYTES + 1]).unwrap();
        assert_eq!(load_in(run.path(), FILE), BTreeSet::new());
        remember_in(run.path(), FILE, plug(9, 0), &[]).unwrap();
        assert_eq!(load_in(run.path(), FILE), BTreeSet::from([plug(9, 0)]));
    }

    /// The longest lines that there can be fit.
    #[test]
    fn the_file_holds_all_devices() {
        let line = format!("{} {}\n", u64::MAX, u32::MAX);
        assert_eq!(line.len(), LINE_BYTES);
    }
}
