//! What is skipped on which kernel: held exactly, so that nothing is skipped in silence.

use aegis_suite::{Scenario, groups};

use super::Boot;

/// Our own kernel has neither user namespaces nor modules, kexec, protection keys or calls into another process's memory.
const OWN: &[&str] = &[
    "user-read",
    "user-write",
    "user-exec",
    "user-mounts",
    "user-net",
    "mount-user-ns",
    "protect-key",
    "module-bytes",
    "module-file",
    "kexec-bytes",
    "kexec-file",
    "trace-write",
    "trace-read",
    "self-vm-write",
];

/// The names of the scenarios that must be skipped in this boot of this kernel, in the table's order.
pub fn skips(kernel: &str, boot: Boot) -> Vec<&'static str> {
    let lacking: &[&str] = match kernel {
        "own" => OWN,
        "debian-5.10" => &["exec-hash", "exec-hash-memfd"],
        _ => &[],
    };
    let skipped =
        |scenario: &Scenario| lacking.contains(&scenario.id) || (boot == Boot::Fresh && scenario.by_object);
    groups::all()
        .iter()
        .filter(|scenario| boot.runs(scenario) && skipped(scenario))
        .map(|scenario| scenario.id)
        .collect()
}
