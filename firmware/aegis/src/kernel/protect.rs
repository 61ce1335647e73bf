//! What of Aegis itself workloads are kept off, besides its process, bpf(2) and cgroups that are not theirs
//! (`probes/bpf/surface.bpf.h`): its own directories, and the disks it writes to, whatever their nodes are called.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::storage::{DATA, RUN, partition};

/// Directories, with all below them: the pins of every version, the state of this boot, own storage.
pub(super) fn directories() -> [PathBuf; 3] {
    let pins = Path::new(super::PINS).parent().unwrap_or(Path::new(super::PINS));
    [pins.to_owned(), RUN.into(), DATA.into()]
}

/// Numbers (major << 20 | minor) of the block devices that hold a partition of ours, and of those partitions' disks.
pub(super) fn nodes() -> BTreeSet<u32> {
    const CLASS: &str = "/sys/class/block";
    let vouched = partition::all_vouched();
    let mut numbers = BTreeSet::new();
    let Ok(entries) = fs::read_dir(CLASS) else { return numbers };
    for entry in entries.flatten().take(crate::limits::BLOCK_DEVICES) {
        let Ok(uevent) = fs::read_to_string(entry.path().join("uevent")) else { continue };
        let own = entry.path();
        let vouched = || vouched.iter().any(|node| node.file_name() == own.file_name());
        if !uevent.lines().any(|line| line.starts_with("PARTNAME=aegis-")) && !vouched() {
            continue;
        }
        // A partition's directory lies in its disk's.
        let disk = fs::canonicalize(&own).ok().and_then(|path| path.parent().map(Path::to_owned));
        numbers.extend([Some(own), disk].into_iter().flatten().filter_map(|path| number(&path)));
    }
    numbers
}

/// `254:16` in a device's `dev`.
fn number(device: &Path) -> Option<u32> {
    let text = fs::read_to_string(device.join("dev")).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some(major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?)
}
