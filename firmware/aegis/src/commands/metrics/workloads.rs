//! By workload: what the probes count in its slot, what the kernel counts of its cgroup, how one that came signed is doing.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use aegis_metrics::texts::{self, Limit};
use aegis_metrics::{Id, Source, Value};

use super::Answer;
use crate::kernel::kernelfs::{CGROUPS, Known, SYSFS};
use crate::kernel::{KernelState, workload};
use crate::limits;
use crate::workloads::told;

/// A slot that has a name.
struct Slot {
    number: usize,
    name: Vec<u8>,
    /// None when its cgroup is gone, or it is not one workload's.
    used: Option<Used>,
}

/// What the kernel counts of a cgroup; what it does not say is none.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    cpu_micros: [Option<u64>; 2],
    throttled_micros: Option<u64>,
    memory: Option<u64>,
    memory_limit: Option<Limit>,
    ooms: Option<u64>,
    bytes: [Option<u64>; 2],
    ios: [Option<u64>; 2],
    pids: Option<u64>,
    pids_refused: Option<u64>,
}

pub(super) fn gather(all: &mut Answer<'_>, probes: &KernelState) {
    let cgroups = all.read(Source::Workloads, Known::open(CGROUPS));
    let sysfs = all.read(Source::Workloads, Known::open(SYSFS));
    let mut room = vec![0; limits::METRICS_TEXT_BYTES];
    let mut slots: Vec<Slot> = Vec::new();
    for number in 0..limits::WORKLOADS {
        let name = probes.workload_name(number).to_vec();
        // A name has one slot; were it otherwise, one of them would not be known by it.
        if name.is_empty() || slots.iter().any(|slot| slot.name == name) {
            continue;
        }
        let directory = workload::directory_of_one(number, &name);
        let used = cgroups.as_ref().zip(directory).and_then(|(cgroups, directory)| {
            let (used, error) = Used::read(cgroups, sysfs.as_ref(), &directory, &mut room);
            if let Some(error) = error {
                all.fail(Source::Workloads, &error);
            }
            used
        });
        slots.push(Slot { number, name, used });
    }
    counted(all, probes, &slots);
    consumed(all, &slots);
}

fn counted(all: &mut Answer<'_>, probes: &KernelState, slots: &[Slot]) {
    let mut each = |id: Id, of: &dyn Fn(usize) -> u64| {
        let mut series = all.out.family(id);
        for slot in slots {
            series.put(&[&slot.name], Value::count(of(slot.number)));
        }
    };
    each(Id::WorkloadEvents, &|slot| probes.seen(slot));
    each(Id::WorkloadDenials, &|slot| probes.denied(slot));
    let mut pairs = |id: Id, words: [&[u8]; 2], of: &dyn Fn(usize) -> [u64; 2]| {
        let mut series = all.out.family(id);
        for slot in slots {
            for (word, count) in words.into_iter().zip(of(slot.number)) {
                series.put(&[&slot.name, word], Value::count(count));
            }
        }
    };
    let lost = |slot| [probes.ring_full(slot), probes.limited(slot)];
    pairs(Id::WorkloadLost, [b"kernel-ring-full", b"rate-limited"], &lost);
    pairs(Id::WorkloadPassed, [b"glass", b"deadman"], &|slot| probes.let_through(slot));
}

fn consumed(all: &mut Answer<'_>, slots: &[Slot]) {
    let used = || slots.iter().filter_map(|slot| Some((&slot.name, slot.used.as_ref()?)));
    let mut one = |id: Id, of: &dyn Fn(&Used) -> Option<Value>| {
        let mut series = all.out.family(id);
        for (name, used) in used() {
            if let Some(value) = of(used) {
                series.put(&[name], value);
            }
        }
    };
    one(Id::WorkloadThrottled, &|used| used.throttled_micros.map(Value::micros));
    one(Id::WorkloadMemory, &|used| used.memory.map(Value::count));
    one(Id::WorkloadMemoryLimit, &|used| match used.memory_limit {
        Some(Limit::Of(bytes)) => Some(Value::count(bytes)),
        Some(Limit::None) | None => None,
    });
    one(Id::WorkloadOoms, &|used| used.ooms.map(Value::count));
    one(Id::WorkloadPids, &|used| used.pids.map(Value::count));
    one(Id::WorkloadPidsRefused, &|used| used.pids_refused.map(Value::count));
    let mut two =
        |id: Id, words: [&[u8]; 2], of: &dyn Fn(&Used) -> [Option<u64>; 2], value: fn(u64) -> Value| {
            let mut series = all.out.family(id);
            for (name, used) in used() {
                for (word, number) in words.into_iter().zip(of(used)) {
                    if let Some(number) = number {
                        series.put(&[name, word], value(number));
                    }
                }
            }
        };
    two(Id::WorkloadCpu, [b"user", b"system"], &|used| used.cpu_micros, Value::micros);
    two(Id::WorkloadBytes, [b"read", b"write"], &|used| used.bytes, Value::count);
    two(Id::WorkloadIos, [b"read", b"write"], &|used| used.ios, Value::count);
}

/// Those that came signed, and were to be mounted and started in this boot.
pub(super) fn signed(all: &mut Answer<'_>) {
    let Some(entries) = all.read(Source::Workloads, told::reported()) else { return };
    let mut found = Vec::new();
    for entry in entries {
        if !entry.is_mounted() {
            found.push((entry.name, told::Doing::default(), true));
        } else if let Some(doing) = all.read(Source::Workloads, told::doing(&entry.name)).flatten() {
            let is_down = doing.is_down();
            found.push((entry.name, doing, is_down));
        }
    }
    let mut starts = all.out.family(Id::WorkloadStarts);
    for (name, doing, _) in &found {
        starts.put(&[name.as_bytes()], Value::count(doing.starts.into()));
    }
    let mut down = all.out.family(Id::WorkloadDown);
    for (name, _, is_down) in &found {
        down.put(&[name.as_bytes()], Value::flag(*is_down));
    }
}

impl Used {
    /// `None`: there is no such cgroup, which is no error. What there is of one that can't be read whole, with the error.
    fn read(
        cgroups: &Known,
        sysfs: Option<&Known>,
        directory: &Path,
        room: &mut [u8],
    ) -> (Option<Self>, Option<io::Error>) {
        let mut text = |file: &str, then: &mut dyn FnMut(&[u8])| -> io::Result<()> {
            cgroups.read_into(&directory.join(file), room).map(then)
        };
        let mut used = Self::default();
        let read = [
            text("cpu.stat", &mut |text| {
                used.cpu_micros = [texts::keyed(text, b"user_usec"), texts::keyed(text, b"system_usec")];
                used.throttled_micros = texts::keyed(text, b"throttled_usec");
            }),
            text("memory.current", &mut |text| used.memory = texts::single(text)),
            text("memory.max", &mut |text| used.memory_limit = Limit::read(text)),
            text("memory.events", &mut |text| used.ooms = texts::keyed(text, b"oom_kill")),
            text("io.stat", &mut |text| {
                let io = sysfs.and_then(|sysfs| texts::io(text, &mut |device| !is_stacked(sysfs, device)));
                used.bytes = io.map_or([None; 2], |io| io.bytes.map(Some));
                used.ios = io.map_or([None; 2], |io| io.ios.map(Some));
            }),
            text("pids.current", &mut |text| used.pids = texts::single(text)),
            text("pids.events", &mut |text| used.pids_refused = texts::keyed(text, b"max")),
        ];
        let Some(error) = read.into_iter().find_map(Result::err) else { return (Some(used), None) };
        // A cgroup can go while it is read; one that is there and lacks a file is of a kernel without that controller.
        if cgroups.folder(directory).is_ok() { (Some(used), Some(error)) } else { (None, None) }
    }
}

/// A device that is made of another one (device-mapper, md) or of a file: what it does, that one does.
fn is_stacked(sysfs: &Known, device: &[u8]) -> bool {
    let path = Path::new("dev/block").join(OsStr::from_bytes(device));
    ["dm", "md", "loop"].iter().any(|kind| sysfs.folder(&path.join(kind)).is_ok())
}
