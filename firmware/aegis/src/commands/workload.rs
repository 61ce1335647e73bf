//! `aegis workload`: what becomes of workloads that are offered, kept, mounted and run.

mod keep;
mod list;
mod mount;
mod remove;
mod run;
mod take;
mod turn;

use std::io;

use aegis_event::Body;

pub(crate) use keep::run as keep;
pub(crate) use list::run as list;
#[cfg(test)]
pub(super) use mount::look;
pub(crate) use mount::{run as mount, tell};
pub(crate) use remove::run as remove;
pub(crate) use run::run;
pub(crate) use take::{BYTES, apply, is_workload, judge, take};
#[cfg(test)]
pub(super) use take::{Room, decide};
pub(crate) use turn::{Turn, run as turn};

use super::in_force;
use crate::limits;
use crate::outcome::Failure;
use crate::storage::lock;
use crate::workloads::{KEPT, told};

/// The lock of what is kept: one change at a time.
const LOCK: &str = "workloads.lock";

fn locked() -> Result<std::fs::File, Failure> {
    lock::wait_for(LOCK).map_err(|error| Failure::error(format!("{LOCK}: {error}")))
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` hands over")]
fn storage(error: io::Error) -> Failure {
    Failure::error(format!("{KEPT}: {error}"))
}

/// The code of own storage that workloads, or somebody else, have filled.
pub(super) const DATA_FULL: &str = "data-full";

/// What is not as it should be, for `aegis health`: code and meaning.
pub(super) fn troubles() -> io::Result<Vec<(&'static str, String)>> {
    let mut troubles = Vec::new();
    // Where there never was one nobody fills it.
    if let Ok(found) = rustix::fs::statvfs(KEPT) {
        let (free, files) = (found.f_bavail.saturating_mul(found.f_frsize), found.f_favail);
        if free < limits::DATA_FREE_BYTES || files < limits::DATA_FREE_FILES {
            troubles.push((DATA_FULL, format!("{free} bytes and {files} files are free in /data")));
        }
    }
    for entry in told::reported()? {
        if !entry.is_mounted() {
            let meaning = format!("workload {} is not mounted: {}: {}", entry.name, entry.code, entry.detail);
            troubles.push(("workload-not-mounted", meaning));
            continue;
        }
        let Some(doing) = told::doing(&entry.name)? else { continue };
        if doing.is_down() {
            troubles
                .push(("workload-down", format!("workload {}: {}: {}", entry.name, doing.code, doing.last)));
        }
    }
    Ok(troubles)
}

/// Which one, as events name it.
#[derive(Clone, Copy, Debug, Default)]
struct Which<'a> {
    name: &'a str,
    /// Epoch and sequence.
    rank: (u64, u64),
    /// SHA-256 of its manifest.
    manifest: [u8; 32],
}

/// An event.
fn note(which: Which<'_>, code: &str, detail: &str) {
    let Which { name, rank: (epoch, sequence), manifest } = which;
    let detail = &detail[..detail.floor_char_boundary(aegis_event::limits::DETAIL_BYTES)];
    let workload = name.as_bytes();
    in_force::note(Body::Workload { workload, code, epoch, sequence, hash: &manifest, detail });
}
