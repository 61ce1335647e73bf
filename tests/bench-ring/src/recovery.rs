//! How long a large ring takes to open, and how fast all of it is checked.

use std::path::Path;
use std::time::{Duration, Instant};

use aegis_ring::{FormatOptions, Options, Ring, SyncMode, format, verify};

use crate::device::FileDevice;
use crate::{Outcome, cpu_time, events};

/// The bound for a ring of 1 GiB.
const OPEN_SECONDS: f64 = 2.0;

/// Fills a ring of `bytes` and opens it, with the kernel's cache and without.
pub(crate) fn run(directory: &Path, bytes: u64) -> Outcome<()> {
    let path = directory.join("ring-large");
    let device = || FileDevice::open(&path, bytes);
    println!("\nrecovery of a ring of {} MiB, full", bytes >> 20);
    let geometry = format(device()?, &FormatOptions { ring_id: [8; 16], bytes: 0, segment_bytes: 0 })?;
    let pool = events(256, 1024);
    let options = Options { sync: SyncMode::None, ..Options::default() };
    let mut ring = Ring::open_with(device()?, [1; 16], vec![0; 64 << 10].leak(), options)?;
    let begin = Instant::now();
    // Once round, to the end of a segment: the most that a recovery can have to read. Not sealed: as after a power cut.
    while ring.stats().segment < geometry.segments {
        for event in &pool {
            ring.append(event)?;
        }
    }
    ring.flush()?;
    drop(ring);
    let rate = bytes as f64 / begin.elapsed().as_secs_f64() / 1e6;
    println!("  filled in {:.1} s ({rate:.0} MB/s, sync=none)", begin.elapsed().as_secs_f64());
    for (what, cold) in [("cached", false), ("from the disk", true)] {
        let mut worst = Duration::ZERO;
        for _ in 0..3 {
            let opened = device()?;
            if cold {
                opened.forget()?;
            }
            let begin = Instant::now();
            let mut buffer = vec![0; 64 << 10];
            let ring = Ring::open(opened, [2; 16], &mut buffer)?;
            worst = worst.max(begin.elapsed());
            assert_eq!(ring.recovery().damaged, None);
            assert!(!ring.recovery().clean && ring.recovery().last_sequence > 0);
        }
        let met = if worst.as_secs_f64() < OPEN_SECONDS { "met" } else { "MISSED" };
        println!(
            "  open, {what:<14} {:>8.1} ms   target: below {OPEN_SECONDS} s: {met}",
            worst.as_secs_f64() * 1e3
        );
    }
    for (what, cold) in [("cached", false), ("from the disk", true)] {
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
        println!(
            "  verify all, {what:<14} {:>6.0} MB/s, {:.0} by CPU time  ({events} events of 256 bytes, {roots} roots)",
            best.0, best.1
        );
    }
    std::fs::remove_file(path)?;
    Ok(())
}
