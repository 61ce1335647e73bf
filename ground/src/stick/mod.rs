//! `aegisctl stick`: what goes out to devices on a stick, and what they left on it.

mod collect;
mod devices;
mod found;
mod image;
mod label;
mod limits;
mod prepare;
mod source;
mod support;

use clap::Subcommand;

use crate::outcome::Outcome;

/// The label of a stick's file system (`docs/architecture.md`).
const LABEL: &[u8] = b"AEGIS";
/// The one directory of a stick that devices look at.
const DIRECTORY: &str = "aegis";
/// In it: root metadata by version, tokens by device id, what devices wrote.
const ROOTS: &str = "roots";
const TOKENS: &str = "break-glass";
const OUT: &str = "out";
/// How the names of bundles end.
const BUNDLE_SUFFIX: &str = ".aegis";
/// How the names of images of the system end.
const SYSTEM_SUFFIX: &str = ".aegis-image";
/// How the names of workloads end.
const WORKLOAD_SUFFIX: &str = ".aegis-workload";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Put bundles, images, workloads, root metadata and tokens where devices look for them, after checking all of it
    #[command(after_help = PREPARE_HELP)]
    Prepare(prepare::Args),
    /// Copy what devices left on a stick, check every signature, say what is there
    #[command(after_help = COLLECT_HELP)]
    Collect(collect::Args),
}

const PREPARE_HELP: &str = "\
Examples:
  aegisctl stick prepare --to /media/stick --root root.cbor --bundle site.aegis
  aegisctl stick prepare --to /media/stick --root root.cbor --root root-2.cbor \\
      --token token.cbor
  aegisctl stick prepare --to stick.img --root root.cbor --bundle site.aegis
  aegisctl stick prepare --to /media/stick --root root.cbor --image site.aegis-image
  aegisctl stick prepare --to /media/stick --root root.cbor --workload agent-7.aegis-workload

A directory is a mounted stick; its file system must be labelled AEGIS (vfat,
exfat or ext4). NAME.img makes a new image of a stick (vfat), to write with dd or
to test with. Give every version of the root: what goes on the stick is held
against the newest. Other files of the stick are left alone.";

const COLLECT_HELP: &str = "\
Examples:
  aegisctl stick collect /media/stick --into evidence
  aegisctl stick collect stick.img --into evidence --json
  aegisctl stick collect /media/stick --into evidence --devices site.txt --known

Sorts receipts, exports and status by device: evidence/DEVICE-ID/. Nothing there
is ever overwritten; the stick is only read. The first time that a device is seen,
its key is taken on trust and written to the devices file (evidence/devices.txt):
compare its id with the one on its console. With --known, devices that are not in
the file are refused. What does not verify is kept apart, in evidence/unverified/.
Exit codes: 0 all of it verifies, 1 something does not, 2 wrong use.";

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Prepare(args) => prepare::run(&args),
        Command::Collect(args) => collect::run(&args),
    }
}

/// A file name that means the same on every file system and in every shell.
fn is_plain_name(name: &str) -> bool {
    (1..=limits::NAME_BYTES).contains(&name.len())
        && !name.starts_with(['.', '-'])
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}
