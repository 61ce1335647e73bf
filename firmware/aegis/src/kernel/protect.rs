//! What of Aegis itself workloads are kept off, besides its process, bpf(2) and cgroups that are not theirs
//! (`probes/bpf/tasks.bpf.h`, `kernelfs.bpf.h`, `surface.bpf.h`): its own directories, and the disks it writes to, whatever their nodes are called.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, OFlags};

use super::KernelError;
use super::kernelfs::{self, Known};
use super::mounts::Mounts;
use super::place::{self, Object};
use crate::limits;
use crate::storage::{DATA, RUN, partition};
use crate::workloads::{FILE, KEPT, MOUNTED};

/// Directories, with all below them: the pins of every version, the state of this boot, own storage.
pub(super) fn directories() -> Vec<PathBuf> {
    let pins = Path::new(super::PINS).parent().unwrap_or(Path::new(super::PINS));
    vec![pins.to_owned(), RUN.into(), DATA.into()]
}

/// The signed files of workloads that are mounted: their contents are believed because they were looked at.
pub(super) fn workload_files(mounts: &Mounts) -> Vec<PathBuf> {
    let mounted = mounts.0.iter().filter_map(|mount| mount.point.strip_prefix(MOUNTED).ok());
    mounted
        .filter_map(Path::to_str)
        .filter(|name| !name.is_empty())
        .map(|name| Path::new(KEPT).join(name).join(FILE))
        .collect()
}

/// The program that this process runs: as it runs, whatever lies at its path by now.
pub(super) const PROGRAM: &str = "/proc/self/exe";

/// That program, and the directories above it, which stay where they are: who moves one puts another program at its path.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) object: Object,
    pub(super) above: Vec<Object>,
}

/// # Errors
/// For a person: why no rule can hold on to it.
pub(super) fn program() -> Result<Program, String> {
    // By procfs, and not by what somebody mounted over it.
    Known::open(kernelfs::PROC).map_err(|error| error.to_string())?;
    let object = place::object_of(Path::new(PROGRAM))?;
    let path = std::fs::read_link(PROGRAM).map_err(|error| error.to_string())?;
    let directories = path.ancestors().skip(1).filter(|above| *above != Path::new("/"));
    Ok(Program { object, above: directories.filter_map(|above| place::inode_of(above).ok()).collect() })
}

/// The devices of ours.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Nodes {
    /// Numbers (major << 20 | minor) of the block devices that hold a partition of ours, of those partitions' disks, and of what
    /// is made of either (device-mapper, md).
    pub(super) numbers: BTreeSet<u32>,
    /// Of the character devices that lead to these disks, too: SCSI's and `NVMe`'s own, and device-mapper's control, by which a device
    /// is made of any other; and of the TPM's.
    pub(super) characters: BTreeSet<u32>,
    /// Partitions that are ours and that the kernel does not list.
    pub(super) missing: Vec<PathBuf>,
}

const CLASS: &str = "class/block";
/// From there: `/dev/mapper/control`.
const MAPPER: &str = "../misc/device-mapper";
/// Both doors to the TPM, which keeps the storage key and counts for us.
const TPM: [&str; 2] = ["../tpm/tpm0", "../tpmrm/tpmrm0"];

/// # Errors
/// Where not all block devices can be looked at: one of ours may be among the rest.
pub(super) fn nodes() -> Result<Nodes, KernelError> {
    const VOUCHED: &str = "partitions that were vouched for";
    let vouched = partition::all_vouched().map_err(KernelError::file(VOUCHED))?;
    let sysfs = Known::open(kernelfs::SYSFS)?;
    find(&Class(sysfs), &vouched).map_err(KernelError::file(Path::new("/sys").join(CLASS)))
}

/// What sysfs says below the class of block devices.
trait Sysfs {
    /// The text of a file.
    fn read(&self, path: &Path) -> io::Result<String>;
    /// The names in a directory; at most [`limits::SYSFS_BLOCK_DEVICES`].
    fn list(&self, path: &Path) -> io::Result<Vec<OsString>>;
}

struct Class(Known);

impl Sysfs for Class {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.0.read(&Path::new(CLASS).join(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let directory = self
            .0
            .below(&Path::new(CLASS).join(path), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC)?;
        let mut listed = Vec::new();
        for entry in Dir::new(directory)? {
            let name = entry?.file_name().to_owned();
            let name = OsStr::new(name.to_str().map_err(io::Error::other)?).to_owned();
            if name != "." && name != ".." {
                listed.push(name);
            }
            if listed.len() > limits::SYSFS_BLOCK_DEVICES {
                let most = limits::SYSFS_BLOCK_DEVICES;
                let message = format!(
                    "more than {most} devices in one place, and ours may be behind them (remove some)"
                );
                return Err(io::Error::other(message));
            }
        }
        Ok(listed)
    }
}

fn find(sysfs: &impl Sysfs, vouched: &[PathBuf]) -> io::Result<Nodes> {
    let mut nodes = Nodes { missing: vouched.to_vec(), ..Nodes::default() };
    for name in sysfs.list(Path::new(""))? {
        let device = Path::new(&name);
        let is_vouched = |node: &PathBuf| node.file_name() == Some(&name);
        let Some(uevent) = there(sysfs.read(&device.join("uevent")))? else { continue };
        if !uevent.lines().any(|line| line.starts_with("PARTNAME=aegis-")) && !vouched.iter().any(is_vouched)
        {
            continue;
        }
        // A partition's directory lies in its disk's.
        let Some(own) = number(sysfs, device)? else { continue };
        nodes.numbers.insert(own);
        nodes.missing.retain(|node| !is_vouched(node));
        let disk = device.join("..");
        nodes.numbers.extend(number(sysfs, &disk)?);
        for part in [device, &disk] {
            nodes.holders(sysfs, part, limits::SYSFS_HOLDERS_DEPTH)?;
            nodes.characters(sysfs, &part.join("device"))?;
        }
    }
    for other in [MAPPER].into_iter().chain(TPM) {
        nodes.characters.extend(number(sysfs, Path::new(other))?);
    }
    Ok(nodes)
}

impl Nodes {
    /// What is made of a block device: device-mapper, md; and what is made of that.
    fn holders(&mut self, sysfs: &impl Sysfs, device: &Path, deeper: usize) -> io::Result<()> {
        let holders = device.join("holders");
        for name in there(sysfs.list(&holders))?.unwrap_or_default() {
            if deeper == 0 {
                return Err(io::Error::other("devices upon devices upon one of ours: too deep"));
            }
            let holder = holders.join(name);
            self.numbers.extend(number(sysfs, &holder)?);
            self.holders(sysfs, &holder, deeper - 1)?;
        }
        Ok(())
    }

    /// Doors to a disk that are no block devices: of SCSI `sg` and `bsg`, of `NVMe` the controller and `ng`.
    fn characters(&mut self, sysfs: &impl Sysfs, device: &Path) -> io::Result<()> {
        let mut doors = vec![device.to_owned()];
        for name in there(sysfs.list(device))?.unwrap_or_default() {
            let (path, text) = (device.join(&name), name.to_string_lossy());
            if name == "scsi_generic" || name == "bsg" {
                doors
                    .extend(there(sysfs.list(&path))?.unwrap_or_default().iter().map(|door| path.join(door)));
            } else if text.starts_with("nvme") || text.starts_with("ng") {
                doors.push(path);
            }
        }
        for door in doors {
            let uevent = there(sysfs.read(&door.join("uevent")))?.unwrap_or_default();
            // A controller's directory has the disks, too.
            if !uevent.lines().any(|line| ["DEVTYPE=disk", "DEVTYPE=partition"].contains(&line)) {
                self.characters.extend(number(sysfs, &door)?);
            }
        }
        Ok(())
    }
}

/// `None`: the device went away meanwhile, or there is none.
fn there<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::ENXIO)) => {
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// `254:16` in a device's `dev`; `None`: it has none.
fn number(sysfs: &impl Sysfs, device: &Path) -> io::Result<Option<u32>> {
    let Some(text) = there(sysfs.read(&device.join("dev")))? else { return Ok(None) };
    let parse = || {
        let (major, minor) = text.trim().split_once(':')?;
        Some(major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?)
    };
    parse().map(Some).ok_or_else(|| io::Error::other(format!("not a number: {text:?}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;

    /// Files of sysfs below the class of block devices, as paths say them.
    struct Made(BTreeMap<String, &'static str>);

    impl Sysfs for Made {
        fn read(&self, path: &Path) -> io::Result<String> {
            let gone = || io::Error::from_raw_os_error(libc::ENOENT);
            match *self.0.get(path.to_str().unwrap()).ok_or_else(gone)? {
                "ENODEV" => Err(io::Error::from_raw_os_error(libc::ENODEV)),
                "EACCES" => Err(io::Error::from_raw_os_error(libc::EACCES)),
                text => Ok(text.to_owned()),
            }
        }

        fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
            let below = self.0.keys().filter_map(|file| Path::new(file).strip_prefix(path).ok());
            let mut names: Vec<OsString> =
                below.filter_map(|rest| Some(rest.iter().next()?.to_owned())).collect();
            names.dedup();
            if names.is_empty() { Err(io::Error::from_raw_os_error(libc::ENOENT)) } else { Ok(names) }
        }
    }

    /// A disk with a partition of ours by its label, one that was vouched for, and others.
    fn made(more: &[(&'static str, &'static str)]) -> Made {
        let files = [
            ("vda/uevent", "DEVTYPE=disk\n"),
            ("vda1/uevent", "DEVTYPE=partition\nPARTNAME=aegis-ring\n"),
            ("vda1/dev", "254:1\n"),
            ("vda1/../dev", "254:0\n"),
            ("sda3/uevent", "DEVTYPE=partition\nPARTNAME=aegis\n"),
            ("sda3/dev", "8:3\n"),
            ("sda3/../dev", "8:0\n"),
            ("sdb/uevent", "DEVTYPE=disk\n"),
            ("sdb/device/scsi_generic/sg1/dev", "21:1\n"),
            ("gone/uevent", "ENODEV"),
            ("../misc/device-mapper/dev", "10:236\n"),
        ];
        let files = files.into_iter().chain(more.iter().copied());
        Made(files.map(|(path, text)| (path.to_owned(), text)).collect())
    }

    const fn dev(major: u32, minor: u32) -> u32 {
        major << 20 | minor
    }

    fn vouched() -> [PathBuf; 2] {
        ["/dev/sda3", "/dev/sdb3"].map(PathBuf::from)
    }

    #[test]
    fn ours_are_found_behind_any_number_of_others() {
        let mut sysfs = made(&[]);
        let others = (0..2 * limits::BLOCK_DEVICES).map(|n| (format!("loop{n}/uevent"), "DEVTYPE=disk\n"));
        sysfs.0.extend(others);
        let nodes = find(&sysfs, &vouched()).unwrap();
        assert_eq!(nodes.numbers, BTreeSet::from([dev(254, 0), dev(254, 1), dev(8, 0), dev(8, 3)]));
        assert_eq!(nodes.characters, BTreeSet::from([dev(10, 236)]), "by which devices are made of ours");
        assert_eq!(nodes.missing, [PathBuf::from("/dev/sdb3")], "said, and not left out");
    }

    #[test]
    fn other_doors_to_a_disk_of_ours_are_found() {
        let scsi = [
            ("sda3/../device/scsi_generic/sg0/dev", "21:0\n"),
            ("sda3/../device/bsg/0:0:0:0/dev", "245:0\n"),
            ("sda3/holders/dm-2/dev", "253:2\n"),
            ("sda3/holders/dm-2/holders/dm-7/dev", "253:7\n"),
        ];
        let nodes = find(&made(&scsi), &vouched()).unwrap();
        assert!([dev(253, 2), dev(253, 7)].iter().all(|number| nodes.numbers.contains(number)));
        assert_eq!(
            nodes.characters,
            BTreeSet::from([dev(10, 236), dev(21, 0), dev(245, 0)]),
            "and no other disk's"
        );

        let nvme = [
            ("nvme0n1p2/uevent", "DEVTYPE=partition\nPARTNAME=aegis-data\n"),
            ("nvme0n1p2/dev", "259:2\n"),
            ("nvme0n1p2/../dev", "259:0\n"),
            ("nvme0n1p2/../device/dev", "240:0\n"),
            ("nvme0n1p2/../device/uevent", "MAJOR=240\nMINOR=0\nDEVNAME=nvme0\n"),
            ("nvme0n1p2/../device/ng0n1/dev", "241:0\n"),
            ("nvme0n1p2/../device/nvme0n1/dev", "259:0\n"),
            ("nvme0n1p2/../device/nvme0n1/uevent", "DEVTYPE=disk\n"),
        ];
        let nodes = find(&made(&nvme), &[]).unwrap();
        assert_eq!(nodes.characters, BTreeSet::from([dev(10, 236), dev(240, 0), dev(241, 0)]));
    }

    #[test]
    fn the_tpm_is_ours() {
        let nodes = find(
            &made(&[("../tpm/tpm0/dev", "10:224\n"), ("../tpmrm/tpmrm0/dev", "253:65536\n")]),
            &vouched(),
        );
        let numbers = [dev(10, 236), dev(10, 224), dev(253, 65536)];
        assert_eq!(nodes.unwrap().characters, BTreeSet::from(numbers));
    }

    #[test]
    fn what_can_not_be_looked_at_is_not_taken_for_somebody_else_s() {
        for (path, text) in [
            ("closed/uevent", "EACCES"),
            ("vda1/dev", ""),
            ("sda3/../device/scsi_generic/sg0/dev", "EACCES"),
            (
                "sda3/holders/1/holders/2/holders/3/holders/4/holders/5/holders/6/holders/7/holders/8/holders/9/dev",
                "253:9\n",
            ),
        ] {
            assert!(find(&made(&[(path, text)]), &vouched()).is_err(), "{path}");
        }
    }
}
