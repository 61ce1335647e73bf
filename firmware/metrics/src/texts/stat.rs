//! `/proc/stat` (`fs/proc/stat.c:show_stat`) and `/proc/meminfo` (`fs/proc/meminfo.c:meminfo_proc_show`).

use super::{lines, next_number, number, numbers, words};

/// Names of the first columns of line `cpu`, in its order. The two that follow are in `user` and `nice` already.
pub const CPU_MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];

/// What is read of `/proc/stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Clock ticks of all processors, by [`CPU_MODES`].
    pub cpu: [Option<u64>; CPU_MODES.len()],
    /// Processors that are on.
    pub cpus: u32,
    /// Context switches.
    pub switches: Option<u64>,
    /// Tasks made.
    pub forks: Option<u64>,
    /// Tasks that run or could.
    pub running: Option<u64>,
    /// Tasks that wait for a disk.
    pub blocked: Option<u64>,
}

/// Reads `/proc/stat`.
pub fn stat(text: &[u8]) -> Stat {
    let mut found = Stat::default();
    for line in lines(text) {
        let mut words = words(line);
        let Some(key) = words.next() else { continue };
        match key {
            b"cpu" => found.cpu = numbers(&mut words),
            b"ctxt" => found.switches = next_number(&mut words),
            b"processes" => found.forks = next_number(&mut words),
            b"procs_running" => found.running = next_number(&mut words),
            b"procs_blocked" => found.blocked = next_number(&mut words),
            _ if key.strip_prefix(b"cpu").is_some_and(|rest| number(rest).is_some()) => {
                found.cpus = found.cpus.saturating_add(1);
            }
            _ => {}
        }
    }
    found
}

/// What is read of `/proc/meminfo`: the name of the metric's label, and the kernel's.
pub const MEMORY_KINDS: [(&str, &str); 9] = [
    ("total", "MemTotal:"),
    ("free", "MemFree:"),
    ("available", "MemAvailable:"),
    ("buffers", "Buffers:"),
    ("cached", "Cached:"),
    ("shared", "Shmem:"),
    ("slab-reclaimable", "SReclaimable:"),
    ("slab-unreclaimable", "SUnreclaim:"),
    ("page-tables", "PageTables:"),
];

/// Reads `/proc/meminfo`: bytes, by [`MEMORY_KINDS`].
pub fn memory(text: &[u8]) -> [Option<u64>; MEMORY_KINDS.len()] {
    let mut found = [None; MEMORY_KINDS.len()];
    for line in lines(text) {
        let mut words = words(line);
        let Some(key) = words.next() else { continue };
        let places = found.iter_mut().zip(MEMORY_KINDS);
        if let Some((place, _)) = places.into_iter().find(|(_, (_, name))| name.as_bytes() == key) {
            let number = next_number(&mut words);
            // All of these are in kB, which are KiB.
            *place =
                if words.next() == Some(b"kB") { number.and_then(|kib| kib.checked_mul(1024)) } else { None };
        }
    }
    found
}
