//! Loads of real programs: scripts beside this program, made by the host (`tests/src/cost/loads.rs`).

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::scenario::{Step as _, Stop};
use crate::sys::{call, n};

/// Their names; each is `/workload/loads/NAME`, a shell script.
pub const LOADS: [&str; 4] = ["shell", "tar", "sqlite", "python"];

/// Runs one: how long it took, and the processor's time of its processes, ns.
pub(super) fn run(name: &str) -> Result<[u64; 2], Stop> {
    let script = format!("/workload/loads/{name}");
    let (begun, before) = (Instant::now(), of_children()?);
    let output =
        Command::new("/bin/sh").args(["-eu", &script]).stdin(Stdio::null()).output().step("/bin/sh")?;
    let wall = begun.elapsed().as_nanos() as u64;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Stop::Broken(format!("{name}: {}: {said}", output.status)));
    }
    Ok([wall, of_children()?.saturating_sub(before)])
}

/// Processor time of all children that have ended, ns.
fn of_children() -> Result<u64, Stop> {
    // `struct rusage` begins with user and system time, each seconds and microseconds.
    let mut usage = [0_u64; 18];
    call(libc::SYS_getrusage, &[n(libc::RUSAGE_CHILDREN), usage.as_mut_ptr() as usize]).step("getrusage")?;
    Ok((usage[0] + usage[2]) * 1_000_000_000 + (usage[1] + usage[3]) * 1_000)
}
