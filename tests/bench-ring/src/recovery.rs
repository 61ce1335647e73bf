//! How long a large ring takes to open, and how fast all of it is checked.

use std::path::Path;
use std::time::{Duration, Instant};

use aegis_ring::{FormatOptions, Options, Ring, SyncMode, format, verify};
use serde_json::json;

use crate::device::FileDevice;
use crate::report::{Report, round};
use crate::{Outcome, cpu_time, events};

/// The bound for a ring of 1 GiB.
const OPEN_SECONDS: f64 = 2.0;
/// Whether the kernel has the ring in its cache.
const CACHES: [(&str, bool); 2] = [("cached", false), ("from the disk", true)];

/// Fills a ring of `bytes` and opens it, with the kernel's cache and without.
pub(crate) fn run(report: &mut Report, directory: &Path, bytes: u64) -> Outcome<()> {
    let path = directory.join("ring-large");
    let device = || FileDevice::open(&path, bytes);
    report.say(format_args!("\nrecovery of a ring of {} MiB, full", bytes >> 20));
    let geometry = format(device()?, &FormatOptions { ring_id: [8; 16], bytes: 0, segment_bytes: 0 })?;
    let begin = Instant::now();
    // Once round, to the end of a segment: the most that a recovery can have to read. Not sealed: as after a power cut.
    fill(device()?, geometry.segments)?;
    let seconds = begin.elapsed().as_secs_f64();
    report.say(format_args!(
        "  filled in {seconds:.1} s ({:.0} MB/s, sync=none)",
        bytes as f64 / seconds / 1e6
    ));
    open(report, bytes, &device)?;
    for (what, cold) in CACHES {
        let mut best = (0.0_f64, 0.0_f64);
        let mut found = aegis_ring::Verified::default();
        for _ in 0..3 {
            let opened = device()?;
            if cold {
                opened.forget()?;
            }
            let (begin, cpu) = (Instant::now(), cpu_time());
            found = verify(opened, &mut vec![0; 256 << 10])?;
            let rate = |time: Duration| found.bytes as f64 / time.as_secs_f64() / 1e6;
            best = (best.0.max(rate(begin.elapsed())), best.1.max(rate(cpu_time().saturating_sub(cpu))));
        }
        let (events, roots) = (found.events, found.roots);
        report.say(format_args!(
            "  verify all, {what:<14} {:>6.0} MB/s, {:.0} by CPU time  ({events} events of 256 bytes, {roots} roots)",
            best.0, best.1
        ));
        report.add(
            "verify_all",
            json!({
                "ring_bytes": bytes, "cold": cold, "events": events, "roots": roots,
                "megabytes_per_second": round(best.0), "megabytes_per_cpu_second": round(best.1),
            }),
        );
    }
    std::fs::remove_file(path)?;
    Ok(())
}

/// Opens the largest ring there can be, with one full segment: a file of holes.
pub(crate) fn run_sparse(report: &mut Report, directory: &Path) -> Outcome<()> {
    let bytes = aegis_ring::limits::RING_BYTES_MAX;
    let path = directory.join("ring-sparse");
    let Ok(sparse) = FileDevice::sparse(&path, bytes) else {
        report.say(format_args!("\nrecovery of a ring of 1 TiB: this file system holds no such file"));
        return Ok(());
    };
    let begin = Instant::now();
    let geometry = format(sparse, &FormatOptions { ring_id: [7; 16], bytes: 0, segment_bytes: 0 })?;
    report.say(format_args!(
        "\nrecovery of a ring of {} GiB, {} segments, one of them full (formatted in {:.1} s)",
        bytes >> 30,
        geometry.segments,
        begin.elapsed().as_secs_f64()
    ));
    let device = || FileDevice::open(&path, bytes);
    fill(device()?, 1)?;
    open(report, bytes, &device)?;
    std::fs::remove_file(path)?;
    Ok(())
}

/// Appends until the segment before this one is full.
fn fill(device: FileDevice, segments: u64) -> Outcome<()> {
    let pool = events(256, 1024);
    let options = Options { sync: SyncMode::None, ..Options::default() };
    let mut ring = Ring::open_with(device, [1; 16], vec![0; 64 << 10].leak(), options)?;
    let last = u64::from(ring.geometry().segment_bytes) - (256 << 10);
    let mut at = 0;
    while at < (segments - 1) * u64::from(ring.geometry().segment_bytes) + last {
        for event in &pool[..256] {
            ring.append(event)?;
        }
        let stats = ring.stats();
        let size = u64::from(ring.geometry().segment_bytes);
        at = stats.segment * size + stats.used_bytes % size;
    }
    ring.flush()?;
    Ok(())
}

/// Opens it three times each way; the slowest counts.
fn open(report: &mut Report, bytes: u64, device: &dyn Fn() -> std::io::Result<FileDevice>) -> Outcome<()> {
    for (what, cold) in CACHES {
        let (mut worst, mut cpu) = (0.0_f64, 0.0_f64);
        for _ in 0..3 {
            let opened = device()?;
            if cold {
                opened.forget()?;
            }
            let (begin, before) = (Instant::now(), cpu_time());
            let mut buffer = vec![0; 64 << 10];
            let ring = Ring::open(opened, [2; 16], &mut buffer)?;
            worst = worst.max(begin.elapsed().as_secs_f64());
            cpu = cpu.max(cpu_time().saturating_sub(before).as_secs_f64());
            assert_eq!(ring.recovery().damaged, None);
            assert!(!ring.recovery().clean && ring.recovery().last_sequence > 0);
        }
        let bound = bytes <= 1 << 30;
        let met = worst < OPEN_SECONDS;
        let target = match (bound, met) {
            (false, _) => String::new(),
            (true, true) => format!("   target: below {OPEN_SECONDS} s: met"),
            (true, false) => format!("   target: below {OPEN_SECONDS} s: MISSED"),
        };
        report.say(format_args!(
            "  open, {what:<14} {:>8.1} ms, {:.1} ms of the processor{target}",
            worst * 1e3,
            cpu * 1e3
        ));
        report.add(
            "open",
            json!({
                "ring_bytes": bytes, "cold": cold, "seconds": round(worst), "cpu_seconds": round(cpu),
                "met": bound.then_some(met),
            }),
        );
    }
    Ok(())
}
