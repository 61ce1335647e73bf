//! `aegis storage`: the ring's and the data partition are found, mended, or made where there are none.
//!
//! `prepare` runs before anything is mounted: the table of the system disk, then what the data partition holds. `settle` runs
//! after the data partition was, or was to be, mounted: it grows, and what could not be is told; then the TPM is asked for what it
//! keeps. Both tell what they did on the
//! console and in the [`Report`] of this boot, of which the agent makes events.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use aegis_disk::{
    Content, Copies, DATA_LABEL, Device, Error, FileSystem, Guid, Partition, Prepared, RING_LABEL, Wanted,
};
use aegis_init::partitions;
use serde_json::{Value, json};

use crate::limits;
use crate::outcome::{Failure, Outcome, say};
use crate::storage::block::{self, Block, Disk};
use crate::storage::device::hex;
use crate::storage::disk;
use crate::storage::known;
use crate::storage::partition;
use crate::storage::report::{Code, Gravity, Report};
use crate::storage::{DATA, atomic, trust};
use crate::tpm;

/// Where own storage is mounted.
const MOUNT: &str = "/data";
/// The empty file system that the image carries.
const TEMPLATE: &str = "/usr/lib/aegis/data.ext4";

/// Exit 0 when both partitions are there and ready to be used, 1 when not: the boot goes on, without workloads.
pub(crate) fn prepare() -> Outcome {
    let mut report = Report::load();
    let prepared = table(&mut report);
    let made = prepared.is_some_and(|prepared| prepared.data.is_some());
    data(&mut report, made);
    end(&report)
}

/// While nothing runs that could have all of it.
fn keep_spare() -> io::Result<()> {
    atomic::make_private_directory(Path::new(DATA))?;
    disk::keep_spare(&disk::Data::own(), &trust::directories())
}

/// Exit as [`prepare`].
pub(crate) fn settle() -> Outcome {
    let mut report = Report::load();
    if let Err(error) = grow_mounted(&mut report) {
        report.tell(Code::DataUnreadable, format!("{MOUNT}: {error}"));
    }
    let data = partition::by_label(DATA_LABEL).ok().flatten();
    if data.as_deref().is_some_and(is_mounted)
        && let Err(error) = keep_spare()
    {
        log::warn!("{DATA}: files for a time without room: {error}");
    }
    tpm::settle::settle(&mut report, data.as_deref().is_some_and(is_mounted));
    end(&report)
}

/// What was done in this boot, and where the partitions are. Exit 1 when something is not as it should be.
pub(crate) fn status(as_json: bool) -> Outcome {
    let report = Report::load();
    if as_json {
        say(&status_json().to_string())?;
        return verdict(&report);
    }
    let (ring, data) = places();
    let mounted = data.as_deref().is_some_and(is_mounted);
    let path =
        |path: Option<PathBuf>| path.map_or_else(|| "none".to_owned(), |path| path.display().to_string());
    let state = if mounted { "mounted" } else { "NOT MOUNTED: state is in memory" };
    let mut lines = vec![format!("ring  {}", path(ring)), format!("data  {} ({state})", path(data))];
    lines.extend(report.entries().iter().map(|told| format!("{}: {}", told.code.name(), told.detail)));
    say(&lines.join("\n"))?;
    verdict(&report)
}

/// The status, as `aegis storage status --json` prints it.
pub(super) fn status_json() -> Value {
    let (ring, data) = places();
    let mounted = data.as_deref().is_some_and(is_mounted);
    let path = |path: Option<PathBuf>| path.map(|path| path.display().to_string());
    json!({
        "ring": path(ring), "data": path(data), "mounted": mounted, "events": to_json(&Report::load()),
    })
}

/// The nodes of ring and data partition.
fn places() -> (Option<PathBuf>, Option<PathBuf>) {
    let place = |label| partition::by_label(label).ok().flatten();
    (place(RING_LABEL), place(DATA_LABEL))
}

/// The report for status and health.
pub(crate) fn to_json(report: &Report) -> Value {
    report.entries().iter().map(|told| json!({ "code": told.code.name(), "detail": told.detail })).collect()
}

fn end(report: &Report) -> Outcome {
    report.save().map_err(|error| Failure::error(format!("{}: {error}", crate::storage::RUN)))?;
    verdict(report)
}

fn verdict(report: &Report) -> Outcome {
    let bad: Vec<_> = report
        .entries()
        .iter()
        .filter(|told| told.code.gravity() == Gravity::Bad)
        .map(|told| told.code.name())
        .collect();
    if bad.is_empty() { Ok(()) } else { Err(Failure::refused(format!("storage: {}", bad.join(", ")))) }
}

/// The table of the disk that the root is on, and the kernel's knowledge of it.
fn table(report: &mut Report) -> Option<Prepared> {
    tell_twice(report);
    let missing = |label| partition::by_label(label).map(|found| found.is_none());
    let missing = [missing(RING_LABEL), missing(DATA_LABEL)];
    let [ring, data] = missing.map(|missing| {
        missing.unwrap_or_else(|error| {
            log::error!("/sys/class/block: {error}");
            // Who can't look makes nothing.
            false
        })
    });
    let wanted = |missing: bool| if missing { new_guid().map(Some) } else { Ok(None) };
    let prepared = Disk::of_root().and_then(|disk| {
        let wanted = Wanted { ring: wanted(ring)?, data: wanted(data)? };
        table_of(&disk, wanted, report)
    });
    match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            if ring || data {
                report.tell(Code::NotMade, format!("{}: {error}", names(ring, data)));
            } else {
                log::warn!("storage: the system disk's table: {error}");
            }
            None
        }
    }
}

/// Two of one label: somebody put a disk in that was another device's, or says so.
fn tell_twice(report: &mut Report) {
    for label in [RING_LABEL, DATA_LABEL] {
        let Ok(found) = partitions::find(label) else { continue };
        if let [counts, others @ ..] = found.names.as_slice()
            && !others.is_empty()
        {
            report.tell(
                Code::LabelTwice,
                format!("{label}: {counts} counts, {} passed over", names_of(others)),
            );
        }
    }
}

/// A few of them.
fn names_of(partitions: &[String]) -> String {
    let few = partitions.get(..limits::NAMED).unwrap_or(partitions).join(", ");
    if partitions.len() > limits::NAMED {
        format!("{few} and {} more", partitions.len() - limits::NAMED)
    } else {
        few
    }
}

fn table_of(disk: &Disk, wanted: Wanted, report: &mut Report) -> io::Result<Option<Prepared>> {
    let what = names(wanted.ring.is_some(), wanted.data.is_some());
    let name = disk.name.display();
    if disk.is_read_only() {
        if wanted != Wanted::default() {
            report.tell(Code::NotMade, format!("{what}: {name} is read-only"));
        }
        return Ok(None);
    }
    let mut device = Block::shared(&block::node(&disk.name))?;
    let prepared = match aegis_disk::prepare(&mut device, disk.block_bytes()?, wanted) {
        Ok(prepared) => prepared,
        Err(Error::NoTable) => {
            report.tell(
                Code::TableDamaged,
                format!("{name}: neither copy of its partition table holds; nothing is made"),
            );
            return Ok(None);
        }
        Err(Error::Device(error)) => return Err(error),
    };
    match prepared.found {
        Copies::Whole => {}
        Copies::Short => {
            let mib = device.bytes() >> 20;
            report.tell(Code::TableMoved, format!("{name}: its second copy is at the end of {mib} MiB now"));
        }
        Copies::FirstOnly => {
            report.tell(Code::TableRepaired, format!("{name}: the second copy did not hold"));
        }
        Copies::SecondOnly => {
            report.tell(Code::TableRepaired, format!("{name}: the first copy did not hold"));
        }
    }
    if prepared.no_room {
        report.tell(Code::NotMade, format!("{what}: no room on {name} ({} MiB)", device.bytes() >> 20));
    }
    for (label, partition) in [RING_LABEL, DATA_LABEL].into_iter().zip(prepared.in_table) {
        let Some(partition) = partition else { continue };
        let known = disk.make_known(device.file(), partition).and_then(|node| {
            // One elsewhere that is known by its label counts before this one.
            if partition::by_label(label)?.is_none() {
                partition::vouch(label, &node)?;
            }
            Ok(node)
        });
        match known {
            Ok(node) if label == RING_LABEL && prepared.ring.is_some() => {
                report.tell(Code::RingMade, placed(&node, partition));
            }
            Ok(_) => {}
            Err(error) => {
                report.tell(Code::NotMade, format!("{label}: the kernel does not take it: {error}"));
            }
        }
    }
    Ok(Some(prepared))
}

fn placed(node: &Path, partition: Partition) -> String {
    format!("{}, {} MiB", node.display(), partition.bytes >> 20)
}

fn names(ring: bool, data: bool) -> &'static str {
    match (ring, data) {
        (true, true) => "ring and data partition",
        (true, false) => RING_LABEL,
        (false, true) => DATA_LABEL,
        (false, false) => "nothing",
    }
}

/// What the data partition holds: ours, or the empty file system of the image from now on.
fn data(report: &mut Report, made: bool) {
    let Ok(Some(node)) = partition::by_label(DATA_LABEL) else { return };
    let name = node.display();
    let mut device = match Block::exclusive(&node) {
        Ok(device) => device,
        // In use: whoever has it mounted knows what it is.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => return,
        Err(error) => {
            return report.tell(Code::DataUnreadable, format!("{name}: {error}; it is left as it is"));
        }
    };
    let was = match aegis_disk::content(&mut device) {
        Ok(Content::Ours(_)) => return,
        Ok(Content::Blank) => "it was blank",
        Ok(Content::Foreign) => "it held something else",
        Err(error) => {
            return report.tell(Code::DataUnreadable, format!("{name}: {error}; it is left as it is"));
        }
    };
    // A partition that was made is blank until this is done: where the ring was never written either, the power went in between.
    let made = made || was == "it was blank" && has_no_ring();
    match restore(&mut device) {
        Ok(file_system) => {
            let (mib, uuid) = (device.bytes() >> 20, hex(&file_system.uuid));
            if made {
                report.tell(Code::DataMade, format!("{name}, {mib} MiB, file system {uuid}"));
            } else {
                report.tell(
                    Code::DataRemade,
                    format!("{name}: {was}; an empty file system {uuid} is in its place"),
                );
            }
        }
        Err(error) => report.tell(Code::NotMade, format!("{DATA_LABEL}: {error}")),
    }
}

fn restore(device: &mut Block) -> Result<FileSystem, String> {
    let mut template = Block::open(Path::new(TEMPLATE)).map_err(|error| format!("{TEMPLATE}: {error}"))?;
    let (uuid, seed) = (new_uuid(), new_uuid());
    let (uuid, seed) = (uuid.map_err(|error| error.to_string())?, seed.map_err(|error| error.to_string())?);
    aegis_disk::restore(&mut template, device, uuid, seed).map_err(|error| error.to_string())
}

/// There is a ring's partition, and no ring was ever written to it.
fn has_no_ring() -> bool {
    let Ok(Some(node)) = partition::by_label(RING_LABEL) else { return false };
    Block::open(&node)
        .and_then(|mut ring| aegis_disk::content(&mut ring))
        .is_ok_and(|ring| ring == Content::Blank)
}

fn new_uuid() -> io::Result<[u8; 16]> {
    new_guid().map(|guid| {
        // Its first three fields are the other way round than a UUID's.
        let mut bytes = guid.to_bytes();
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        bytes
    })
}

fn new_guid() -> io::Result<Guid> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(Guid::from_random_bytes(random))
}

/// The data partition is what is mounted.
pub(super) fn is_mounted(node: &Path) -> bool {
    let device = fs::metadata(node).map(|metadata| metadata.rdev());
    matches!((device, fs::metadata(MOUNT).map(|metadata| metadata.dev())), (Ok(a), Ok(b)) if a == b)
}

fn grow_mounted(report: &mut Report) -> io::Result<()> {
    let Some(node) = partition::by_label(DATA_LABEL)? else { return Ok(()) };
    if !is_mounted(&node) {
        if !report.has(&[Code::DataUnreadable, Code::NotMade]) {
            let detail = "our file system is on it and can't be mounted; it is left as it is";
            report.tell(Code::DataUnmountable, format!("{}: {detail}", node.display()));
        }
        return Ok(());
    }
    if known::ring()?.is_none() && !report.has(&[Code::DataMade, Code::DataRemade]) {
        // Made by a boot that ended before it could say so, or put there by somebody.
        report.tell(Code::DataNew, format!("{}: it knows nothing of this device's ring", node.display()));
    }
    let mut device = Block::open(&node)?;
    let look = |device: &mut Block| match aegis_disk::content(device)? {
        Content::Ours(file_system) => Ok(file_system),
        Content::Blank | Content::Foreign => Err(io::Error::from(io::ErrorKind::InvalidData)),
    };
    let before = look(&mut device)?;
    if device.bytes().saturating_sub(before.bytes) < limits::GROW_BYTES {
        return Ok(());
    }
    let grown = grow(device.bytes() / before.block_bytes, before);
    let after = look(&mut device)?;
    if after.bytes > before.bytes {
        let (from, to) = (before.bytes >> 20, after.bytes >> 20);
        report.tell(Code::DataGrown, format!("{}: from {from} to {to} MiB", node.display()));
    }
    grown.or_else(|error| {
        log::warn!("storage: {MOUNT} does not grow: {error}; it is tried again in the next boot");
        Ok(())
    })
}

/// In steps, so that it ends in time: each group that is added has its tables written.
fn grow(blocks: u64, from: FileSystem) -> io::Result<()> {
    let mount = File::open(MOUNT)?;
    let (began, step) = (Instant::now(), limits::GROW_STEP_BYTES / from.block_bytes);
    let mut reached = from.bytes / from.block_bytes;
    while reached < blocks && began.elapsed() < limits::GROW_TIME {
        reached = blocks.min(reached + step);
        block::resize_ext4(&mount, reached)?;
    }
    Ok(())
}
