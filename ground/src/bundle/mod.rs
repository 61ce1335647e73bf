//! `aegisctl bundle`: build, inspect and verify signed bundles.

mod build;
mod inspect;
mod time;
mod verify;

use clap::Subcommand;

use crate::outcome::Outcome;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Compile a policy, write its manifest, sign both
    #[command(after_help = "\
Examples:
  aegisctl bundle build --policy demo.toml --key dev-keys/policy.key --sequence 7 --out demo.aegis
  aegisctl bundle build --policy demo.toml --key a.key --key b.key --sequence 8 --expires 2027-06-30 \\
      --device 00112233445566778899aabbccddeeff --out demo.aegis")]
    Build(build::Args),
    /// Show what a bundle says of itself; nothing is verified
    #[command(after_help = "Example:\n  aegisctl bundle inspect demo.aegis --json")]
    Inspect(inspect::Args),
    /// Decide as a device would, by the code that a device runs; exit 0 accepted, 1 refused
    #[command(after_help = "\
Examples:
  aegisctl bundle verify demo.aegis --root dev-keys/root.cbor
  aegisctl bundle verify demo.aegis --root root.cbor --state trust.a --device 00112233445566778899aabbccddeeff --json")]
    Verify(verify::Args),
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Build(args) => build::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Verify(args) => verify::run(&args),
    }
}

/// What a bundle can be for (`docs/formats/bundle.cddl`). A name that no device has would make a bundle for none.
const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];

/// `1.2.3`.
fn version(text: &str) -> Result<aegis_bundle::Version, String> {
    let parts: Option<Vec<u16>> = text.split('.').map(|part| part.parse().ok()).collect();
    parts
        .and_then(|parts| parts.try_into().ok())
        .ok_or_else(|| "three numbers are needed, as in 1.2.3".to_owned())
}

/// 32 hex digits.
fn device(text: &str) -> Result<[u8; 16], String> {
    crate::hex::array(text)
}
