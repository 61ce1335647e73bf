//! What is, as plain figures and words: gathered once, judged by [`super::findings`].

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aegis_disk::{DATA_LABEL, RING_LABEL};
use aegis_ring::{Error as RingError, Reader};

use super::super::finding::Finding;
use super::super::{health, image, storage};
use super::options;
use crate::image::slot::Slot;
use crate::kernel::{self, MapFill, Offers};
use crate::limits;
use crate::outcome::Failure;
use crate::run::control;
use crate::storage::device::{Identity, hex, wall_clock};
use crate::storage::partition::{self, RingDevice};
use crate::storage::trust::{self, Trust};
use crate::storage::verity::{self, Root};
use crate::storage::{DATA, facts};

const KERNEL_CONFIG: &str = "/proc/config.gz";
const MOUNT: &str = "/data";

/// What is, or why it can't be found out.
pub(super) type Known<T> = Result<T, String>;

/// One device at one moment.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Its release, as uname(2) has it.
    pub(super) release: String,
    pub(super) lsm: Known<Vec<String>>,
    /// Bytes of its types.
    pub(super) btf: Known<u64>,
    pub(super) bpffs: Known<()>,
    pub(super) cgroup: Known<()>,
    /// Required options that it says it does not have.
    pub(super) options: Known<Vec<&'static str>>,
    pub(super) offers: Offers,
    /// Hooks that the policy which is to be in force needs, and that can't deny.
    pub(super) unserved: Known<Vec<&'static str>>,
    /// Pins of other versions of the probes.
    pub(super) others: usize,
    /// None where nothing is loaded.
    pub(super) maps: Option<Known<Vec<MapFill>>>,
    /// None where no agent answers.
    pub(super) agent: Option<Known<Confinement>>,
    pub(super) clock: Clock,
    pub(super) ring: Known<Option<Ring>>,
    pub(super) data: Known<Option<Data>>,
    pub(super) root: Known<Root>,
    pub(super) image: Known<Image>,
    pub(super) debug: bool,
    /// The device's id; none: it has no key.
    pub(super) key: Known<Option<String>>,
    /// What `aegis health` finds.
    pub(super) health: Vec<Finding>,
}

/// What keeps the agent from doing more than it is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Confinement {
    pub(super) process: u32,
    pub(super) tasks: usize,
    /// Capabilities that any of its tasks has or could gain.
    pub(super) capabilities: u64,
    /// Tasks that may gain privileges by exec, and those whose system calls are not filtered.
    pub(super) may_gain: usize,
    pub(super) unfiltered: usize,
}

impl Confinement {
    /// It is confined as it is to be.
    pub(super) const fn is_whole(&self) -> bool {
        self.capabilities == 0 && self.may_gain == 0 && self.unfiltered == 0
    }
}

/// Unix seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) says: u64,
    /// It is so late at least, by what was signed.
    pub(super) least: u64,
}

/// The ring's partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ring {
    pub(super) node: PathBuf,
    pub(super) bytes: u64,
    pub(super) shape: Shape,
}

/// What is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Unformatted,
    Unreadable(String),
    Ring { bytes: u64, segment_bytes: u32, segments: u64, first: u64, next: u64 },
}

/// The data partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) node: PathBuf,
    /// Where it is mounted.
    pub(super) mounted: Option<Mounted>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mounted {
    pub(super) read_only: bool,
    pub(super) bytes: u64,
    pub(super) free: u64,
    /// Files that can still be made; they may run out before the bytes.
    pub(super) files: u64,
}

/// Which image runs, and what there is beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    /// None where no loader started it.
    pub(super) slot: Option<&'static str>,
    pub(super) on_trial: bool,
    pub(super) fell_back: bool,
    /// Slots with nothing in them that would be started.
    pub(super) empty: Vec<&'static str>,
}

impl Facts {
    /// Looks at all of it. The last look is done in a mount namespace of this process's own.
    pub(super) fn gather() -> Self {
        let offers = Offers::look();
        Self {
            release: rustix::system::uname().release().to_string_lossy().into_owned(),
            lsm: known(kernel::lsm_list()),
            btf: known(kernel::btf_bytes()),
            bpffs: known(kernel::bpffs()),
            cgroup: known(kernel::cgroups()),
            options: options(),
            unserved: unserved(&offers),
            others: kernel::others().map_or(0, |others| others.len()),
            maps: offers.loaded.then(|| known(kernel::map_fills())),
            offers,
            agent: agent(),
            clock: clock(),
            ring: ring(),
            data: data(),
            root: known(verity::root()),
            key: key(),
            debug: facts::is_debug(),
            health: health::look_for_findings(),
            image: known(image()),
        }
    }
}

fn known<T>(found: Result<T, impl core::fmt::Display>) -> Known<T> {
    found.map_err(|error| error.to_string())
}

fn options() -> Known<Vec<&'static str>> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(KERNEL_CONFIG)?.take(limits::KERNEL_CONFIG_BYTES).read_to_end(&mut bytes)?;
        let missing = options::inflate(&bytes).and_then(|text| options::missing(&text));
        missing.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    };
    read().map_err(|error| format!("{KERNEL_CONFIG}: {error}"))
}

/// By the policy that own storage says is to be in force.
fn unserved(offers: &Offers) -> Known<Vec<&'static str>> {
    let find = || {
        let _one = trust::lock().map_err(|error| Failure::error(format!("{DATA}: {error}")))?;
        let trust = Trust::open()?;
        let standing = trust.standing()?;
        let bundle = trust
            .open_kept(&standing.bytes, standing.source)
            .map_err(|refusal| Failure::refused(format!("{}: {refusal}", standing.source.name())))?;
        Ok(offers.unserved(&bundle.policy))
    };
    known(find() as Result<_, Failure>)
}

fn agent() -> Option<Known<Confinement>> {
    let process = control::agent().ok()?;
    let tasks = known(kernel::tasks(process));
    Some(
        tasks
            .and_then(|tasks| confinement(process, &tasks).ok_or_else(|| "its status is not one".to_owned())),
    )
}

/// Reads what the kernel says of each task (`fs/proc/array.c`). `None` when one does not say all of it.
pub(super) fn confinement(process: u32, tasks: &[String]) -> Option<Confinement> {
    let mut found = Confinement { process, tasks: tasks.len(), ..Confinement::default() };
    for task in tasks {
        let value = |name: &str| {
            let line = task.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim)
        };
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            found.capabilities |= u64::from_str_radix(value(set)?, 16).ok()?;
        }
        found.may_gain += usize::from(value("NoNewPrivs")? != "1");
        found.unfiltered += usize::from(value("Seccomp")? != "2");
    }
    (found.tasks > 0).then_some(found)
}

fn clock() -> Clock {
    let signed = Trust::open().map_or(0, |trust| trust.state().time);
    Clock { says: wall_clock(), least: facts::built().max(signed) }
}

fn ring() -> Known<Option<Ring>> {
    let Some(node) = known(partition::by_label(RING_LABEL))? else { return Ok(None) };
    let device = match RingDevice::open(Some(&node), false) {
        Ok(device) => device,
        Err(error) => return Ok(Some(Ring { node, bytes: 0, shape: Shape::Unreadable(error.to_string()) })),
    };
    let bytes = device.bytes();
    let mut scratch = vec![0; limits::COMMIT_BYTES];
    let shape = match Reader::open(device, &mut scratch) {
        Ok(reader) => {
            let geometry = reader.geometry();
            Shape::Ring {
                bytes: geometry.bytes,
                segment_bytes: geometry.segment_bytes,
                segments: geometry.segments,
                first: reader.first_sequence(),
                next: reader.next_sequence(),
            }
        }
        Err(RingError::Unformatted) => Shape::Unformatted,
        Err(error) => Shape::Unreadable(error.to_string()),
    };
    Ok(Some(Ring { node, bytes, shape }))
}

fn data() -> Known<Option<Data>> {
    let Some(node) = known(partition::by_label(DATA_LABEL))? else { return Ok(None) };
    if !storage::is_mounted(&node) {
        return Ok(Some(Data { node, mounted: None }));
    }
    let found = known(rustix::fs::statvfs(Path::new(MOUNT)))?;
    let mounted = Mounted {
        read_only: found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        bytes: found.f_blocks.saturating_mul(found.f_frsize),
        free: found.f_bavail.saturating_mul(found.f_frsize),
        files: found.f_favail,
    };
    Ok(Some(Data { node, mounted: Some(mounted) }))
}

fn key() -> Known<Option<String>> {
    known(Identity::open()).map(|identity| identity.map(|identity| hex(&identity.id())))
}

fn image() -> Result<Image, Failure> {
    let standing = image::Standing::look()?;
    let empty =
        standing.slots.iter().filter(|(_, found)| found.is_none()).map(|(slot, _)| slot.name()).collect();
    Ok(Image {
        slot: standing.running.slot.map(Slot::name),
        on_trial: standing.is_on_trial(),
        fell_back: standing.state.trial == aegis_bundle::Trial::Failed,
        empty,
    })
}
