//! Recovery and verification rates, by event size: CRC, chain and Merkle roots of a ring in the kernel's cache. By CPU time:
//! what else the machine does is no part of it.

use std::path::Path;

use aegis_ring::{FormatOptions, Options, Ring, SyncMode, format, verify};

use serde_json::json;

use crate::device::FileDevice;
use crate::report::{Report, Spread};
use crate::{Outcome, SIZES, cpu_time, events};

const RING_BYTES: u64 = 64 << 20;
/// The bound, with SHA extensions.
const MEGABYTES: f64 = 500.0;

/// Which SHA-256 this program was built with and runs on.
pub(crate) fn sha_backend() -> &'static str {
    if cfg!(sha2_backend = "soft") {
        "in software, by build"
    } else if sha_extensions() {
        "with SHA extensions"
    } else {
        "in software: this processor has no SHA extensions"
    }
}

#[cfg(target_arch = "x86_64")]
fn sha_extensions() -> bool {
    std::arch::is_x86_feature_detected!("sha")
}

#[cfg(target_arch = "aarch64")]
fn sha_extensions() -> bool {
    std::arch::is_aarch64_feature_detected!("sha2")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn sha_extensions() -> bool {
    false
}

pub(crate) fn run(report: &mut Report, directory: &Path) -> Outcome<()> {
    report.say(format_args!(
        "\nverification of a ring of {} MiB in the cache, SHA-256 {}; by CPU time",
        RING_BYTES >> 20,
        sha_backend()
    ));
    for size in SIZES {
        let path = directory.join("ring-verify");
        let device = || FileDevice::open(&path, RING_BYTES);
        format(device()?, &FormatOptions { ring_id: [9; 16], bytes: 0, segment_bytes: 8 << 20 })?;
        let options = Options { sync: SyncMode::None, ..Options::default() };
        let mut ring = Ring::open_with(device()?, [1; 16], vec![0; 64 << 10].leak(), options)?;
        let pool = events(size, 1024);
        // To the end of the last place: then the newest segment, which a recovery reads, is full.
        while ring.stats().segment < 6 || ring.stats().used_bytes < ring.stats().capacity_bytes - (1 << 20) {
            for event in pool.iter().take(64) {
                ring.append(event)?;
            }
        }
        ring.flush()?;
        let newest = ring.summary().open.events;
        drop(ring);
        let (mut checked, mut opened) = (Vec::new(), Vec::new());
        for _ in 0..15 {
            let begin = cpu_time();
            let verified = verify(device()?, &mut vec![0; 256 << 10])?;
            checked.push(verified.bytes as f64 / cpu_time().saturating_sub(begin).as_secs_f64() / 1e6);
            let begin = cpu_time();
            let mut buffer = vec![0; 256 << 10];
            let ring = Ring::open(device()?, [2; 16], &mut buffer)?;
            let bytes = newest as f64 * (size + 52) as f64;
            assert!(ring.recovery().damaged.is_none());
            opened.push(bytes / cpu_time().saturating_sub(begin).as_secs_f64() / 1e6);
        }
        let (checked, opened) = (Spread::of(checked), Spread::of(opened));
        let met = |rate: &Spread| if rate.median >= MEGABYTES { "met" } else { "MISSED" };
        let bound = sha_extensions() && !cfg!(sha2_backend = "soft");
        let target = if bound {
            format!("   target {MEGABYTES} MB/s: {}, {}", met(&checked), met(&opened))
        } else {
            String::new()
        };
        let text = |rate: &Spread| format!("{:>5.0} ({:.0}-{:.0}) MB/s", rate.median, rate.low, rate.high);
        report.say(format_args!(
            "  {size:>5} bytes: verify {}, recover {}{target}",
            text(&checked),
            text(&opened)
        ));
        report.add(
            "verification",
            json!({
                "event_bytes": size,
                "verify_megabytes_per_cpu_second": checked.json(),
                "recover_megabytes_per_cpu_second": opened.json(),
                "met": bound.then_some(checked.median >= MEGABYTES && opened.median >= MEGABYTES),
            }),
        );
        std::fs::remove_file(path)?;
    }
    Ok(())
}
