//! The host: processors, memory, disks, network, pressure, temperature. Parsed by [`aegis_metrics::texts`], from the kernel's own
//! file systems and nothing that is mounted over them.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aegis_metrics::texts::{self, CPU_MODES, MEMORY_KINDS};
use aegis_metrics::{Id, Source, Value};
use rustix::fs::StatVfsMountFlags;

use super::Answer;
use crate::kernel::kernelfs::{Known, PROC, SYSFS};
use crate::limits;
use crate::storage::device::boottime;

/// What is mounted on a device of ours.
const MOUNTS: [&str; 6] = ["/", "/data", "/run", "/run/aegis", "/tmp", "/scratch"];
const _: () = assert!(MOUNTS.len() <= aegis_metrics::limits::MOUNTS as usize);
const RESOURCES: [&str; 3] = ["cpu", "memory", "io"];
const IO: [&[u8]; 2] = [b"read", b"write"];
const FLOW: [&[u8]; 2] = [b"receive", b"transmit"];

pub(super) fn gather(all: &mut Answer<'_>) {
    all.out.one(Id::Uptime, Value::nanos(boottime()));
    let mut room = vec![0; limits::METRICS_TEXT_BYTES];
    let sysfs = all.read(Source::Disks, Known::open(SYSFS));
    if let Some(proc) = all.read(Source::Stat, Known::open(PROC)) {
        stat(all, &proc, &mut room);
        memory(all, &proc, &mut room);
        disks(all, &proc, sysfs.as_ref(), &mut room);
        network(all, &proc, &mut room);
        pressure(all, &proc, &mut room);
    }
    filesystems(all);
    if let Some(sysfs) = &sysfs {
        temperature(all, sysfs, &mut room);
    } else {
        all.fail(Source::Temperature, &"no sysfs");
        all.fail(Source::Wear, &"no sysfs");
    }
}

fn stat(all: &mut Answer<'_>, proc: &Known, room: &mut [u8]) {
    let found = proc.read_into(Path::new("vmstat"), room).map(|text| texts::keyed(text, b"oom_kill"));
    let ooms = all.read(Source::Stat, found).flatten();
    all.out.maybe(Id::SystemOoms, ooms.map(Value::count));
    let Some(text) = all.read(Source::Stat, proc.read_into(Path::new("stat"), room)) else { return };
    let found = texts::stat(text);
    let hertz = rustix::param::clock_ticks_per_second();
    let mut seconds = all.out.family(Id::CpuSeconds);
    for (mode, ticks) in CPU_MODES.into_iter().zip(found.cpu) {
        if let Some(ticks) = ticks {
            seconds.put(&[mode.as_bytes()], Value::ticks(ticks, hertz));
        }
    }
    all.out.maybe(Id::Cpus, (found.cpus > 0).then(|| Value::count(found.cpus.into())));
    all.out.maybe(Id::Switches, found.switches.map(Value::count));
    all.out.maybe(Id::Forks, found.forks.map(Value::count));
    let mut processes = all.out.family(Id::Processes);
    for (state, count) in [("running", found.running), ("blocked", found.blocked)] {
        if let Some(count) = count {
            processes.put(&[state.as_bytes()], Value::count(count));
        }
    }
}

fn memory(all: &mut Answer<'_>, proc: &Known, room: &mut [u8]) {
    let Some(text) = all.read(Source::Memory, proc.read_into(Path::new("meminfo"), room)) else { return };
    let mut series = all.out.family(Id::Memory);
    for ((kind, _), bytes) in MEMORY_KINDS.into_iter().zip(texts::memory(text)) {
        if let Some(bytes) = bytes {
            series.put(&[kind.as_bytes()], Value::count(bytes));
        }
    }
}

/// Pairs of numbers, each with a name: as many series.
fn pairs(
    all: &mut Answer<'_>,
    id: Id,
    words: [&[u8]; 2],
    of: &mut dyn Iterator<Item = (&[u8], [Option<u64>; 2])>,
    value: fn(u64) -> Value,
) {
    let mut series = all.out.family(id);
    for (name, numbers) in of {
        for (word, number) in words.into_iter().zip(numbers) {
            if let Some(number) = number {
                series.put(&[name, word], value(number));
            }
        }
    }
}

fn disks(all: &mut Answer<'_>, proc: &Known, sysfs: Option<&Known>, room: &mut [u8]) {
    let Some(text) = all.read(Source::Disks, proc.read_into(Path::new("diskstats"), room)) else { return };
    // Partitions are in their disks already; what is a file or memory is no disk.
    let is_whole = |name: &[u8]| {
        let in_memory = [&b"ram"[..], b"loop", b"zram"].iter().any(|kind| name.starts_with(kind));
        !in_memory && sysfs.is_some_and(|sysfs| sysfs.folder(&block(name)).is_ok())
    };
    let found: Vec<_> = texts::disks(text).filter(|disk| is_whole(disk.name)).collect();
    let each = || found.iter();
    pairs(all, Id::DiskBytes, IO, &mut each().map(|disk| (disk.name, disk.bytes)), Value::count);
    pairs(all, Id::DiskIos, IO, &mut each().map(|disk| (disk.name, disk.ios)), Value::count);
    pairs(all, Id::DiskIoSeconds, IO, &mut each().map(|disk| (disk.name, disk.millis)), Value::millis);
    let mut busy = all.out.family(Id::DiskBusy);
    for disk in &found {
        if let Some(millis) = disk.busy_millis {
            busy.put(&[disk.name], Value::millis(millis));
        }
    }
    let Some(sysfs) = sysfs else { return };
    let mut life = [0; 64];
    let mut worn = Vec::new();
    for disk in &found {
        let path = block(disk.name).join("device/life_time");
        match sysfs.read_into(&path, &mut life) {
            Ok(text) => worn.push((disk.name, texts::wear(text))),
            Err(error) if is_absent(&error) => {}
            Err(error) => all.fail(Source::Wear, &error),
        }
    }
    let tenths = |tenths: Option<u8>| tenths.map(|tenths| u64::from(tenths) * 10);
    let mut worn = worn.into_iter().map(|(name, of)| (name, of.map(tenths)));
    pairs(all, Id::DiskWear, [b"a", b"b"], &mut worn, Value::percent);
}

/// A disk in sysfs, which has `!` where a name has a slash.
fn block(name: &[u8]) -> PathBuf {
    let name: Vec<u8> = name.iter().map(|byte| if *byte == b'/' { b'!' } else { *byte }).collect();
    Path::new("block").join(OsStr::from_bytes(&name))
}

/// That there is none of what not every host has is no error.
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.kind() == io::ErrorKind::NotADirectory
}

fn network(all: &mut Answer<'_>, proc: &Known, room: &mut [u8]) {
    let Some(text) = all.read(Source::Network, proc.read_into(Path::new("self/net/dev"), room)) else {
        return;
    };
    let found: Vec<_> = texts::interfaces(text).collect();
    let each = || found.iter();
    pairs(all, Id::NetBytes, FLOW, &mut each().map(|one| (one.name, one.bytes)), Value::count);
    pairs(all, Id::NetPackets, FLOW, &mut each().map(|one| (one.name, one.packets)), Value::count);
    pairs(all, Id::NetErrors, FLOW, &mut each().map(|one| (one.name, one.errors)), Value::count);
    pairs(all, Id::NetDrops, FLOW, &mut each().map(|one| (one.name, one.drops)), Value::count);
}

fn pressure(all: &mut Answer<'_>, proc: &Known, room: &mut [u8]) {
    let mut found = [(&b""[..], [None; 2]); RESOURCES.len()];
    for (place, resource) in found.iter_mut().zip(RESOURCES) {
        let read = proc.read_into(&Path::new("pressure").join(resource), room).map(texts::pressure);
        let Some(pressure) = all.read(Source::Pressure, read) else { continue };
        *place = (resource.as_bytes(), [pressure.some, pressure.full]);
    }
    pairs(all, Id::Pressure, [b"some", b"full"], &mut found.into_iter(), Value::micros);
}

fn filesystems(all: &mut Answer<'_>) {
    let mut found = Vec::new();
    for mount in MOUNTS {
        match is_mounted(Path::new(mount)) {
            Ok(true) => {
                if let Some(of) = all.read(Source::Filesystems, rustix::fs::statvfs(mount)) {
                    found.push((mount, of));
                }
            }
            Ok(false) => {}
            Err(error) if is_absent(&error) => {}
            Err(error) => all.fail(Source::Filesystems, &error),
        }
    }
    let mut each = |id: Id, of: &dyn Fn(&rustix::fs::StatVfs) -> Value| {
        let mut series = all.out.family(id);
        for (mount, found) in &found {
            series.put(&[mount.as_bytes()], of(found));
        }
    };
    each(Id::FsSize, &|of| Value::count(of.f_blocks.saturating_mul(of.f_frsize)));
    each(Id::FsAvailable, &|of| Value::count(of.f_bavail.saturating_mul(of.f_frsize)));
    each(Id::FsInodes, &|of| Value::count(of.f_files));
    each(Id::FsFreeInodes, &|of| Value::count(of.f_favail));
    each(Id::FsReadOnly, &|of| Value::flag(of.f_flag.contains(StatVfsMountFlags::RDONLY)));
}

/// Something of its own is mounted there.
fn is_mounted(path: &Path) -> io::Result<bool> {
    let Some(above) = path.parent() else { return Ok(true) };
    Ok(path.symlink_metadata()?.dev() != above.symlink_metadata()?.dev())
}

/// One sensor: its name, what it says, its limit; thousandths of a degree.
type Sensor = (Vec<u8>, i64, Option<i64>);

fn temperature(all: &mut Answer<'_>, sysfs: &Known, room: &mut [u8]) {
    let mut found: Vec<Sensor> = Vec::new();
    let devices =
        |all: &mut Answer<'_>, class: &str| match sysfs.names(Path::new(class), limits::SENSOR_DEVICES) {
            Ok(names) => names.into_iter().map(|name| (Path::new(class).join(&name), name)).collect(),
            Err(error) => {
                if !is_absent(&error) {
                    all.fail(Source::Temperature, &error);
                }
                Vec::new()
            }
        };
    for (path, name) in devices(all, "class/hwmon") {
        let chip = word(sysfs, &path.join("name"), room);
        for index in 1..=limits::DEVICE_SENSORS {
            let mut of = |what: &str| read_degrees(sysfs, &path.join(format!("temp{index}_{what}")), room);
            // One that sleeps or is broken says nothing: that is no error of ours.
            if let Some(degrees) = of("input") {
                let critical = of("crit");
                let number = format!("temp{index}");
                found.push(([name.as_bytes(), &chip, number.as_bytes()].join(&b'/'), degrees, critical));
            }
        }
    }
    for (path, name) in devices(all, "class/thermal") {
        if name.as_bytes().starts_with(b"thermal_zone")
            && let Some(degrees) = read_degrees(sysfs, &path.join("temp"), room)
        {
            let kind = word(sysfs, &path.join("type"), room);
            found.push(([name.as_bytes(), &kind].join(&b'/'), degrees, None));
        }
    }
    let mut series = all.out.family(Id::Temperature);
    for (name, degrees, _) in &found {
        series.put(&[name], Value::thousandths(*degrees));
    }
    let mut series = all.out.family(Id::TemperatureCritical);
    for (name, _, critical) in &found {
        if let Some(critical) = critical {
            series.put(&[name], Value::thousandths(*critical));
        }
    }
}

/// A name out of sysfs; empty when there is none.
fn word(sysfs: &Known, path: &Path, room: &mut [u8]) -> Vec<u8> {
    sysfs.read_into(path, room).map(|text| text.trim_ascii().to_vec()).unwrap_or_default()
}

fn read_degrees(sysfs: &Known, path: &Path, room: &mut [u8]) -> Option<i64> {
    sysfs.read_into(path, room).ok().and_then(texts::millidegrees)
}
