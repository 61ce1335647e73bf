//! `aegisctl bundle`: build, sign, inspect, verify and compare signed bundles.

mod build;
mod diff;
mod inspect;
mod verify;

use std::path::Path;

use aegis_keys::Kind;
use clap::Subcommand;

use crate::files;
use crate::hex;
use crate::keys::{SignArgs, sign_document};
use crate::outcome::Outcome;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Compile a policy, write its manifest, sign both
    #[command(after_help = BUILD_HELP)]
    Build(Box<build::Args>),
    /// Add a signature to a bundle
    #[command(after_help = SIGN_HELP)]
    Sign(SignArgs),
    /// Show what a bundle says of itself; nothing is verified
    #[command(after_help = "Example:\n  aegisctl bundle inspect demo.aegis --json")]
    Inspect(inspect::Args),
    /// Decide as a device would, by the code that a device runs; exit 0 accepted, 1 refused
    #[command(after_help = VERIFY_HELP)]
    Verify(verify::Args),
    /// Compare two bundles: manifest, rules, source; exit 0 the same, 1 different, 2 no bundle
    #[command(
        after_help = "Examples:\n  aegisctl bundle diff old.aegis new.aegis\n  aegisctl bundle diff old.aegis new.aegis --json"
    )]
    Diff(diff::Args),
}

const BUILD_HELP: &str = "\
Examples:
  aegisctl bundle build --policy demo.toml --key dev-keys/policy.key \\
      --sequence 7 --out demo.aegis
  aegisctl bundle build --policy site.toml --root root.cbor --key policy-1.key \\
      --sequence 8 --group turbine-hall --expires 2027-06-30 --out site.aegis

With --root, the keys must be the root's, its epoch is taken, and signatures that
are missing are named.";

const SIGN_HELP: &str = "\
Example:
  aegisctl bundle sign site.aegis --root root.cbor --key /media/b/policy-2.key

Shows what is signed and asks. `keys sign` does the same for root metadata, images and
tokens.";

const VERIFY_HELP: &str = "\
Examples:
  aegisctl bundle verify demo.aegis --root dev-keys/root.cbor
  aegisctl bundle verify demo.aegis --root root.cbor --state trust.a \\
      --device 00112233445566778899aabbccddeeff --group turbine-hall --json

--json prints one object: accepted, code, detail.";

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Build(args) => build::run(&args),
        Command::Sign(args) => sign_document(&args, Some(Kind::Bundle)),
        Command::Inspect(args) => inspect::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Diff(args) => diff::run(&args),
    }
}

/// What a bundle can be for (`docs/formats/bundle.cddl`). A name that no device has would make a bundle for none.
pub(crate) const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];
/// Longest BTF of a kernel, bytes. Those of distributions have about 6 MiB.
const BTF_BYTES: usize = 64 << 20;

/// `1.2.3`.
pub(crate) fn version(text: &str) -> Result<aegis_bundle::Version, String> {
    let parts: Option<Vec<u16>> = text.split('.').map(|part| part.parse().ok()).collect();
    parts
        .and_then(|parts| parts.try_into().ok())
        .ok_or_else(|| "three numbers are needed, as in 1.2.3".to_owned())
}

/// 32 hex digits.
pub(crate) fn device(text: &str) -> Result<[u8; 16], String> {
    hex::array(text)
}

/// The name of a group of devices.
pub(crate) fn group(text: &str) -> Result<String, String> {
    if aegis_bundle::is_group(text) {
        return Ok(text.to_owned());
    }
    let most = aegis_bundle::limits::GROUP_BYTES;
    Err(format!("1 to {most} of a-z, 0-9, '.', '_' and '-' are needed"))
}

/// A kernel, by a copy of its /sys/kernel/btf/vmlinux or by the SHA-256 of that.
fn kernel(text: &str) -> Result<[u8; 32], String> {
    if !Path::new(text).exists() {
        return hex::array(text).map_err(|why| format!("neither a file nor a hash: {why}"));
    }
    let bytes = files::read(Path::new(text), BTF_BYTES).map_err(|failure| failure.message().to_owned())?;
    // The magic of BTF (kernel, Documentation/bpf/btf.rst), in the byte order of whoever has it.
    if !bytes.starts_with(&[0x9f, 0xeb]) && !bytes.starts_with(&[0xeb, 0x9f]) {
        return Err("not BTF; name a copy of the device's /sys/kernel/btf/vmlinux".to_owned());
    }
    Ok(aegis_bundle::hash(&bytes))
}
