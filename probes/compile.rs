//! `bpf/aegis.bpf.c` compiled for a kernel. Of the standard library alone: `buildroot/vendor` compiles it with `rustc`.

use std::path::Path;
use std::process::Command;

/// Tried in order; clang 14 is Debian 12's, and the one the probes are tested with.
const CLANGS: &[&str] = &["clang-14", "clang"];
const STRIPS: &[&str] = &["llvm-strip-14", "llvm-strip"];

/// Leaves the object for kernels of `architecture` at `object`; called in the folder of `bpf/`.
pub(crate) fn compile(architecture: &str, next_abi: bool, object: &Path) -> Result<(), String> {
    let define = match architecture {
        "x86_64" => "-D__TARGET_ARCH_x86",
        "aarch64" => "-D__TARGET_ARCH_arm64",
        other => return Err(format!("probes are not known to work on {other}: x86_64 and aarch64 are")),
    };
    let clang = find(CLANGS).ok_or("no clang that can build BPF: apt-get install clang-14")?;
    let strip = find(STRIPS).ok_or("no llvm-strip: apt-get install llvm-14")?;
    if !Path::new("/usr/include/bpf/bpf_helpers.h").exists() {
        return Err("no /usr/include/bpf/bpf_helpers.h: apt-get install libbpf-dev".into());
    }
    step(
        Command::new(clang)
            .args(["-target", "bpf", "-mcpu=v3", define, "-g", "-O2", "-Wall", "-Werror"])
            .args(next_abi.then_some("-DAEGIS_ABI_NEXT"))
            // The object must not say where it was built.
            .args(["-fdebug-compilation-dir=.", "-c", "bpf/aegis.bpf.c", "-o"])
            .arg(object),
    )?;
    // And the labels of jumps, of which there are hundreds.
    step(Command::new(strip).args(["-g", "--wildcard", "--strip-symbol=LBB*"]).arg(object))
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
