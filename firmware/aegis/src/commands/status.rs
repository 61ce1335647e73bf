//! `aegis status`: what the agent says of itself, or said last.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aegis_event::{Cause, Level, Mode, ModeReason};
use serde_json::Value;

use super::storage;
use crate::limits;
use crate::outcome::{Failure, Outcome, say};
use crate::run::control;
use crate::run::seal::Seal;
use crate::run::status::Status;
use crate::storage::report::Report;
use crate::storage::{RUN, atomic};
use crate::tpm::found::Found;

/// Where the agent leaves its last status.
pub(crate) fn final_status_path() -> PathBuf {
    Path::new(RUN).join("final.status")
}

/// Prints the status. `wait`: how long to wait for an agent that is ready.
///
/// Exit 0 when the agent is ready, or stopped in good order; 1 when it is neither.
pub(crate) fn run(json: bool, wait: Duration) -> Outcome {
    let status = ask(wait).map_err(|error| {
        Failure::refused(format!("no status from the agent: {error} (is `aegis run` running?)"))
    })?;
    let hooks = crate::kernel::hooks_report();
    let report = Report::load();
    say(&if json { whole(&status, &hooks, &report) } else { text(&status, &report) })?;
    if status.is_ready() || status.is_stopped() {
        Ok(())
    } else {
        Err(Failure::refused("the agent ended without sealing the ring: its device failed (see its log)"))
    }
}

/// The status as JSON, and whether the agent is in good order; after its end, what it left behind.
pub(crate) fn json() -> Result<(String, bool), Failure> {
    let status = ask(Duration::ZERO)
        .map_err(|error| Failure::refused(format!("no status from the agent: {error}")))?;
    let good = status.is_ready() || status.is_stopped();
    Ok((whole(&status, &crate::kernel::hooks_report(), &Report::load()), good))
}

/// What the agent says of itself, and what was done to the disk before it ran.
fn whole(status: &Status, hooks: &Value, report: &Report) -> String {
    let mut all = status.to_json(hooks);
    all["storage"] = storage::to_json(report);
    all["tpm"] = Found::load().to_json();
    all.to_string()
}

/// Asks until the agent is ready or the time is up; then takes what it left behind.
fn ask(wait: Duration) -> io::Result<Status> {
    let end = Instant::now() + wait;
    loop {
        match control::ask_status() {
            Ok(status) if status.is_ready() => return Ok(status),
            Ok(_) if Instant::now() >= end => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the agent is not ready yet"));
            }
            Err(error) if Instant::now() >= end => {
                return if wait.is_zero() { read_final().map_err(|_| error) } else { Err(error) };
            }
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn read_final() -> io::Result<Status> {
    let bytes = atomic::read_bounded(&final_status_path(), limits::CONTROL_BYTES as u64)?;
    control::strict(&bytes)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the last status is damaged"))
}

fn text(status: &Status, report: &Report) -> String {
    let mode = status.mode().map_or("unknown", Mode::name);
    let reason = status.reason().map_or("unknown", ModeReason::name);
    let policy = &status.policy;
    let lost = lost(&status.lost);
    let glass = match status.broken_seconds() {
        0 => String::new(),
        seconds => format!("GLASS IS BROKEN: nothing is denied for another {seconds} s\n"),
    };
    let full = match status.level() {
        Level::Full => "RING IS FULL: nothing more is recorded until there is an export\n",
        _ => "",
    };
    let lines = [
        format!(
            "mode      {mode} ({reason}){}",
            match policy.uncovered {
                0 => String::new(),
                paths => format!("; {paths} PATHS OF THE POLICY ARE NOT COVERED"),
            }
        ),
        format!(
            "policy    epoch {} sequence {}, {} rules, {} entries, {} paths not there",
            policy.epoch, policy.sequence, policy.rules, policy.entries, policy.unresolved
        ),
        format!(
            "events    seen {}, written {}, lost {lost}, denied {}{}",
            status.seen,
            status.written,
            status.denied,
            match status.fallen {
                0 => String::new(),
                fallen => format!("; {fallen} NOT DENIED, AS A DEADMAN FELL"),
            }
        ),
        format!(
            "ring      {} of {} KiB, sequence {} flushed, {} % not exported ({})",
            status.ring.used / 1024,
            status.ring.capacity / 1024,
            status.ring.acked,
            status.ring.percent,
            status.level()
        ),
        gone(status),
        sealed(status),
        format!("setup     {} ({}){}", status.setup, status.setup.source(), arguments(status)),
        format!(
            "memory    heap {} KiB, resident {} KiB, of it mapped from kernel and program {} KiB",
            status.heap.current / 1024,
            status.rss_kib,
            status.rss_mapped_kib
        ),
    ];
    let told =
        report.entries().iter().map(|told| format!("\nstorage   {}: {}", told.code.name(), told.detail));
    glass + full + &lines.join("\n") + &told.collect::<String>()
}

/// What is recorded of arguments, where the policy says so: the setup has its own word.
fn arguments(status: &Status) -> String {
    match status.argv() {
        keep if keep == status.setup.argv() => String::new(),
        keep => format!("; of arguments, by the policy: {}", keep.name()),
    }
}

/// How many events were lost, and by what.
fn lost(by_cause: &[u64]) -> String {
    let causes: Vec<String> = Cause::ALL
        .iter()
        .zip(by_cause)
        .filter(|(_, count)| **count > 0)
        .map(|(cause, count)| format!("{cause} {count}"))
        .collect();
    let total: u64 = by_cause.iter().sum();
    if causes.is_empty() { total.to_string() } else { format!("{total} ({})", causes.join(", ")) }
}

/// What was in the ring and can't be read any more.
fn gone(status: &Status) -> String {
    let ring = &status.ring;
    let range = match (ring.overwritten, ring.overwritten_range) {
        (0, _) => String::new(),
        (_, (first, last)) => format!(" ({first} to {last} last)"),
    };
    format!(
        "gone      {} overwritten before they were exported{range}, {} damaged, {} runs cut",
        ring.overwritten, ring.damaged, ring.cuts
    )
}

fn sealed(status: &Status) -> String {
    let state = match status.seal.state {
        Seal::Failed => "NOT SEALED: checkpoints can't be made or stored",
        Seal::Unwiped => "sealed; THE KEY OF THE LAST EPOCH COULD NOT BE WIPED",
        Seal::Full => "no room for a checkpoint",
        Seal::Starting => "no checkpoint yet",
        Seal::Sealed => "sealed",
    };
    let last = status
        .seconds_since_checkpoint()
        .map(|seconds| format!(" up to sequence {}, {seconds} s ago", status.seal.sequence))
        .unwrap_or_default();
    format!("seal      {state}{last}; epoch {}", status.seal.epoch)
}
