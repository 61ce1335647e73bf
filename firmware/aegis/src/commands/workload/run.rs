//! `aegis workload run NAME -- CMD`: into the workload's registered cgroup, then become the command.

use std::ffi::{OsStr, OsString};

use crate::kernel;
use crate::outcome::{Failure, Outcome};

/// Returns only when the command could not be confined or started: it never runs unconfined.
pub(crate) fn run(name: &OsStr, command: &[OsString]) -> Outcome {
    let shown = name.display();
    let text = name.to_str().ok_or_else(|| {
        Failure::error(format!("workload {shown}: not a workload name (letters, digits, '.', '_', '-')"))
    })?;
    match kernel::workload::enter_and_exec(text, command) {
        Ok(never) => match never {},
        Err(error) => Err(Failure::error(format!("workload {shown}: {error}"))),
    }
}
