//! Probes' code as it is, compiled for this machine instead of the kernel's.

use std::path::PathBuf;
use std::process::Command;

/// The program of `tests/NAME.c`, which includes what it is about from `bpf/`.
pub(crate) fn compiled(name: &str) -> PathBuf {
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let made = Command::new("clang-14")
        .args(["-O2", "-Wall", "-Ibpf", "-o"])
        .arg(&program)
        .arg(format!("tests/{name}.c"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("clang-14 (make deps)");
    assert!(made.success());
    program
}
