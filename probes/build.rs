//! Compiles `bpf/aegis.bpf.c` for the kernel, or takes a prebuilt object (`AEGIS_PROBES_OBJECT=path`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Tried in order; clang 14 is Debian 12's, and the one the probes are tested with.
const CLANGS: &[&str] = &["clang-14", "clang"];
const STRIPS: &[&str] = &["llvm-strip-14", "llvm-strip"];

fn main() {
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-env-changed=AEGIS_PROBES_OBJECT");
    if let Err(message) = run() {
        println!("cargo::error={message}");
    }
}

fn run() -> Result<(), String> {
    let object = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets no OUT_DIR")?).join("aegis.bpf.o");
    if let Some(prebuilt) = env::var_os("AEGIS_PROBES_OBJECT") {
        let prebuilt = PathBuf::from(prebuilt);
        println!("cargo::rerun-if-changed={}", prebuilt.display());
        return fs::copy(&prebuilt, &object).map(drop).map_err(|error| {
            format!("AEGIS_PROBES_OBJECT: {}: {error} (unset it to compile bpf/)", prebuilt.display())
        });
    }
    let clang = find(CLANGS).ok_or("no clang that can build BPF: apt-get install clang-14")?;
    let strip = find(STRIPS).ok_or("no llvm-strip: apt-get install llvm-14")?;
    if !Path::new("/usr/include/bpf/bpf_helpers.h").exists() {
        return Err("no /usr/include/bpf/bpf_helpers.h: apt-get install libbpf-dev".into());
    }
    let architecture = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") => "-D__TARGET_ARCH_x86",
        Ok("aarch64") => "-D__TARGET_ARCH_arm64",
        other => return Err(format!("probes are not known to work on {other:?}: x86_64 and aarch64 are")),
    };
    step(
        Command::new(clang)
            .args(["-target", "bpf", "-mcpu=v3", architecture, "-g", "-O2", "-Wall", "-Werror"])
            // The object must not say where it was built.
            .args(["-fdebug-compilation-dir=.", "-c", "bpf/aegis.bpf.c", "-o"])
            .arg(&object),
    )?;
    step(Command::new(strip).arg("-g").arg(&object))
}

/// The first of `names` that runs.
fn find(names: &[&'static str]) -> Option<&'static str> {
    names
        .iter()
        .copied()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success()))
}

fn step(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    // The compiler's own words go to the build log in full; the error is its first one.
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    eprintln!("{text}");
    let first = text.lines().find(|line| line.contains("error")).unwrap_or("no error text");
    Err(format!("{}: {first}", command.get_program().display()))
}
