//! Compiles `bpf/aegis.bpf.c` for the kernel; with `AEGIS_PROBES_PREBUILT=1` takes `prebuilt/<architecture>.bpf.o`
//! instead, for builders without the clang that the probes are tested with (`make vendor` makes both objects).
//!
//! `prebuilt/sums`, in the form of sha256sum(1), names the objects and every source in `bpf/` that they were compiled
//! from. An object that is not the one named, or whose sources are not the ones here, is refused.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

#[path = "compile.rs"]
mod compile;
#[path = "elf.rs"]
mod elf;

fn main() {
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-changed=compile.rs");
    println!("cargo::rerun-if-changed=elf.rs");
    println!("cargo::rerun-if-env-changed=AEGIS_PROBES_PREBUILT");
    if let Err(message) = run() {
        println!("cargo::error={message}");
    }
}

fn run() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets no OUT_DIR")?);
    let object = out.join("aegis.bpf.o");
    make(&object)?;
    pack(&object, &out)
}

/// Deflates the object: it is four times as small, and what loads it runs once a boot.
fn pack(object: &Path, out: &Path) -> Result<(), String> {
    let mut bytes = fs::read(object).map_err(|error| format!("{}: {error}", object.display()))?;
    elf::drop_lines(&mut bytes).ok_or_else(|| format!("{}: no BTF as clang writes it", object.display()))?;
    let callbacks = elf::callbacks(&bytes)
        .ok_or_else(|| format!("{}: no relocations as clang writes them", object.display()))?;
    let globals =
        elf::globals(&bytes).ok_or_else(|| format!("{}: no BTF as clang writes it", object.display()))?;
    let types = elf::relocated_types(&bytes)
        .ok_or_else(|| format!("{}: no BTF as clang writes it", object.display()))?;
    let packed = miniz_oxide::deflate::compress_to_vec(&bytes, 10);
    let facts = format!(
        "/// Length of the compiled probes, inflated.\n\
         #[allow(clippy::unreadable_literal, reason = \"written by build.rs\")]\n\
         pub const OBJECT_BYTES: usize = {};\n\
         /// Where in them the address of a callback is put into code, and where another relocation of its table is.\n\
         #[allow(clippy::unreadable_literal, reason = \"written by build.rs\")]\n\
         const CALLBACKS: &[(usize, usize)] = &{callbacks:?};\n\
         const RELOCATION_BYTES: usize = {};\n\
         /// Where in them it is said that a function is global.\n\
         #[allow(clippy::unreadable_literal, reason = \"written by build.rs\")]\n\
         const GLOBALS: &[usize] = &{globals:?};\n\
         /// The types of the kernel whose layout they are fitted to, by name, sorted.\n\
         pub const TYPES: &[&str] = &{types:?};\n",
        bytes.len(),
        elf::RELOCATION
    );
    let write = |name: &str, bytes: &[u8]| {
        fs::write(out.join(name), bytes).map_err(|error| format!("{name}: {error}"))
    };
    write("aegis.bpf.o.deflate", &packed)?;
    write("facts.rs", facts.as_bytes())
}

fn make(object: &Path) -> Result<(), String> {
    let architecture =
        env::var("CARGO_CFG_TARGET_ARCH").map_err(|_| "cargo sets no CARGO_CFG_TARGET_ARCH")?;
    if env::var_os("AEGIS_PROBES_PREBUILT").is_some() {
        return prebuilt(&architecture, object).map_err(|error| {
            format!("AEGIS_PROBES_PREBUILT: {error} (run `make vendor`; unset it to compile bpf/)")
        });
    }
    compile::compile(&architecture, env::var_os("CARGO_FEATURE_NEXT_ABI").is_some(), object)
}

/// Takes the object of `architecture`, when it and all of `bpf/` are what `prebuilt/sums` says.
fn prebuilt(architecture: &str, object: &Path) -> Result<(), String> {
    const SUMS: &str = "prebuilt/sums";
    println!("cargo::rerun-if-changed=prebuilt");
    let sums = fs::read_to_string(SUMS).map_err(|error| format!("{SUMS}: {error}"))?;
    let mut needed = vec![format!("prebuilt/{architecture}.bpf.o")];
    for entry in fs::read_dir("bpf").map_err(|error| format!("bpf: {error}"))? {
        let name = entry.map_err(|error| format!("bpf: {error}"))?.file_name();
        needed.push(format!("bpf/{}", name.display()));
    }
    // sha256sum judges what is listed; whether all that counts is listed is judged here.
    let listed =
        |name: &str| sums.lines().any(|line| line.split_once("  ").is_some_and(|(_, other)| other == name));
    if let Some(unlisted) = needed.iter().find(|name| !listed(name)) {
        return Err(format!("{SUMS} says nothing of {unlisted}"));
    }
    let check = Command::new("sha256sum").args(["--check", "--strict", "--quiet", SUMS]).output();
    let check = check.map_err(|error| format!("sha256sum: {error}"))?;
    if !check.status.success() {
        let text = String::from_utf8_lossy(&check.stdout).into_owned();
        return Err(format!("{SUMS}: {}", text.lines().next().unwrap_or("not in the form of sha256sum")));
    }
    fs::copy(&needed[0], object).map(drop).map_err(|error| format!("{}: {error}", needed[0]))
}
