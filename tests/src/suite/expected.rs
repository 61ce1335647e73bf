//! What is skipped on which kernel: held exactly, so that nothing is skipped in silence.

use aegis_qemu::Arch;
use aegis_suite::{Scenario, groups};

use super::Boot;
use crate::bench::arch;

/// Our own kernel has neither user namespaces nor modules, kexec, protection keys, calls into another process's memory, ACLs,
/// sysrq or fanotify.
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
    "self-out-write",
    "acl-set",
    "self-sysrq",
    "self-fanotify",
    "self-pages",
];

/// Debian's have device-mapper in a module, which nobody loads here.
const DEBIAN: &[&str] = &["self-mapper"];

/// Before 5.12.
const DEBIAN_5_10: &[&str] = &["mount-setattr", "self-mapper"];

/// Debian's kernels for arm64 have no `kexec_file_load(2)`.
const DEBIAN_AARCH64: &[&str] = &["kexec-file", "self-mapper"];

/// True where the kernel can measure programs: `bpf_ima_file_hash`, since 5.18. A device whose kernel can't refuses a policy that
/// asks for it.
pub(super) fn measures(kernel: &str) -> bool {
    kernel != "debian-5.10"
}

/// True where names and subtrees are decided: `bpf_loop`, since 5.17.
fn walks(kernel: &str) -> bool {
    kernel != "debian-5.10"
}

/// What turns on a name or a subtree: in every boot, and in a fresh one.
fn is_by_name(scenario: &Scenario, boot: Boot) -> bool {
    let mut lists = include_str!("by-name.txt").split("\n\n");
    let mut is_listed =
        || lists.next().is_some_and(|list| list.split_whitespace().any(|id| id == scenario.id));
    is_listed() || boot == Boot::Fresh && is_listed()
}

/// What is not decided on this kernel, and why: known, written down (`docs/bypass-catalog.md`), and not asked for there.
pub(super) fn undecided(kernel: &str, boot: Boot, scenario: &Scenario) -> Option<&'static str> {
    const COPIED: [&str; 8] = [
        "ov-write",
        "ov-trunc",
        "ov-chmod",
        "ov-rename",
        "ov-link",
        "ov-map",
        "ov-nested",
        "ov-nested-write",
    ];
    if scenario.rule == "suite-hash" && !measures(kernel) {
        return Some("this kernel does not measure programs");
    }
    if !walks(kernel) && is_by_name(scenario, boot) {
        return Some("before 5.17 neither names nor subtrees are decided, and the mode is audit-only");
    }
    if kernel.starts_with("debian") && COPIED.contains(&scenario.id) {
        return Some("overlayfs is a module here: what it copies up, or has mapped, is not known");
    }
    if scenario.id == "ov-tree" && matches!(kernel, "debian" | "debian-6.1") {
        return Some(
            "before 6.5 overlayfs opens the file below by its own path: no tree below is seen through it",
        );
    }
    if scenario.id == "script-loader" && matches!(kernel, "debian" | "debian-6.1") {
        return Some("this kernel kills so small a program before its loader runs, whichever that is");
    }
    None
}

/// The names of the scenarios that must be skipped in this boot of this kernel, in the table's order.
pub fn skips(kernel: &str, boot: Boot) -> Vec<&'static str> {
    let lacking: &[&str] = match (kernel, arch()) {
        ("own", _) => OWN,
        ("debian-5.10", _) => DEBIAN_5_10,
        (_, Arch::Aarch64) => DEBIAN_AARCH64,
        (_, Arch::X86_64) => DEBIAN,
    };
    let skipped = |scenario: &Scenario| {
        lacking.contains(&scenario.id)
            || (boot == Boot::Fresh && scenario.by_object)
            || undecided(kernel, boot, scenario).is_some()
    };
    groups::all()
        .iter()
        .filter(|scenario| boot.runs(scenario) && skipped(scenario))
        .map(|scenario| scenario.id)
        .collect()
}
