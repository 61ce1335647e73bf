//! What of Aegis itself workloads are kept off, besides its process, bpf(2) and cgroups that are not theirs
//! (`probes/bpf/surface.bpf.h`): its own directories, and the disks it writes to, whatever their nodes are called.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, OFlags};

use super::KernelError;
use super::kernelfs::{self, Known};
use crate::limits;
use crate::storage::{DATA, RUN, partition};

/// Directories, with all below them: the pins of every version, the state of this boot, own storage.
pub(super) fn directories() -> [PathBuf; 3] {
    let pins = Path::new(super::PINS).parent().unwrap_or(Path::new(super::PINS));
    [pins.to_owned(), RUN.into(), DATA.into()]
}

/// The block devices of ours.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Nodes {
    /// Numbers (major << 20 | minor) of those that hold a partition of ours, and of those partitions' disks.
    pub(super) numbers: BTreeSet<u32>,
    /// Partitions that are ours and that the kernel does not list.
    pub(super) missing: Vec<PathBuf>,
}

const CLASS: &str = "class/block";

/// # Errors
/// Where not all block devices can be looked at: one of ours may be among the rest.
pub(super) fn nodes() -> Result<Nodes, KernelError> {
    const VOUCHED: &str = "partitions that were vouched for";
    let vouched = partition::all_vouched().map_err(KernelError::file(VOUCHED))?;
    let sysfs = Known::open(kernelfs::SYSFS)?;
    let find = || {
        let class = sysfs.below(Path::new(CLASS), OFlags::RDONLY | OFlags::DIRECTORY)?;
        let names = Dir::new(class)?.map(|entry| entry.map(|entry| entry.file_name().to_owned()));
        let mut listed = Vec::new();
        for name in names {
            let name = OsStr::new(name?.to_str().map_err(io::Error::other)?).to_owned();
            if name != "." && name != ".." {
                listed.push(name);
            }
            if listed.len() > limits::SYSFS_BLOCK_DEVICES {
                let most = limits::SYSFS_BLOCK_DEVICES;
                let message =
                    format!("more than {most} block devices, and ours may be behind them (remove some)");
                return Err(io::Error::other(message));
            }
        }
        find(&listed, &vouched, |path| sysfs.read(&Path::new(CLASS).join(path)))
    };
    find().map_err(KernelError::file(Path::new("/sys").join(CLASS)))
}

/// Ours of these. `read`: a file of sysfs, below the class of block devices.
fn find(
    listed: &[impl AsRef<OsStr>],
    vouched: &[PathBuf],
    read: impl Fn(&Path) -> io::Result<String>,
) -> io::Result<Nodes> {
    let mut nodes = Nodes { missing: vouched.to_vec(), ..Nodes::default() };
    for name in listed {
        let device = Path::new(name.as_ref());
        let is_vouched = |node: &PathBuf| node.file_name() == Some(name.as_ref());
        let Some(uevent) = there(read(&device.join("uevent")))? else { continue };
        if !uevent.lines().any(|line| line.starts_with("PARTNAME=aegis-")) && !vouched.iter().any(is_vouched)
        {
            continue;
        }
        // A partition's directory lies in its disk's.
        let Some(own) = there(read(&device.join("dev")))? else { continue };
        let disk = there(read(&device.join("../dev")))?;
        for text in [Some(own), disk].into_iter().flatten() {
            let number = number(&text).ok_or_else(|| io::Error::other(format!("not a number: {text:?}")))?;
            nodes.numbers.insert(number);
        }
        nodes.missing.retain(|node| !is_vouched(node));
    }
    Ok(nodes)
}

/// `None`: the device went away meanwhile, or there is none.
fn there(read: io::Result<String>) -> io::Result<Option<String>> {
    match read {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::ENXIO)) => {
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// `254:16` in a device's `dev`.
fn number(text: &str) -> Option<u32> {
    let (major, minor) = text.trim().split_once(':')?;
    Some(major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Devices before ours, then a disk with a partition of ours by its label, one that was vouched for, and another.
    fn read(path: &Path) -> io::Result<String> {
        let text = match path.to_str().unwrap() {
            "vda1/uevent" => "DEVTYPE=partition\nPARTNAME=aegis-ring\n",
            "vda1/dev" => "254:1\n",
            "vda1/../dev" => "254:0\n",
            "sda3/uevent" => "DEVTYPE=partition\nPARTNAME=aegis\n",
            "sda3/dev" => "8:3\n",
            "sda3/../dev" => "8:0\n",
            "gone/uevent" => return Err(io::Error::from_raw_os_error(libc::ENODEV)),
            "closed/uevent" => return Err(io::Error::from_raw_os_error(libc::EACCES)),
            path if path.ends_with("/uevent") => "DEVTYPE=disk\n",
            path => panic!("{path} is nobody's business"),
        };
        Ok(text.to_owned())
    }

    #[test]
    fn ours_are_found_behind_any_number_of_others() {
        let mut listed: Vec<String> = (0..2 * limits::BLOCK_DEVICES).map(|n| format!("loop{n}")).collect();
        listed.extend(["gone", "vda", "vda1", "sda3"].map(str::to_owned));
        let vouched = ["/dev/sda3", "/dev/sdb3"].map(PathBuf::from);
        let nodes = find(&listed, &vouched, read).unwrap();
        assert_eq!(nodes.numbers, BTreeSet::from([254 << 20, 254 << 20 | 1, 8 << 20, 8 << 20 | 3]));
        assert_eq!(nodes.missing, [PathBuf::from("/dev/sdb3")], "said, and not left out");
    }

    #[test]
    fn what_can_not_be_looked_at_is_not_taken_for_somebody_else_s() {
        assert!(find(&["vda1", "closed"], &[], read).is_err());
        let garbled = |path: &Path| if path.ends_with("dev") { Ok(String::new()) } else { read(path) };
        assert!(find(&["vda1"], &[], garbled).is_err());
    }
}
