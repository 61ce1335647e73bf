//! How the agent is linked for the device, whoever builds it.

fn main() {
    let target = std::env::var("TARGET").unwrap_or_default();
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    if target.ends_with("-linux-musl") {
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr,-T,{here}/no-unwinding.ld");
    }
    // Where the linker can, relative relocations are packed: 40 KiB of a static binary that is loaded anywhere. musl's start-up
    // code, which reads them, is Rust's own on this target. (GNU ld for aarch64 learned it later than those in use have.)
    if target == "x86_64-unknown-linux-musl" {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=no-unwinding.ld");
}
