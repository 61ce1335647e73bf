//! `aegisctl workload`: build, sign, inspect and verify workloads.

mod build;
mod inspect;
mod pack;
mod source;
mod verify;

use aegis_bundle::{
    Rank, Reason, Refusal, Root, Workload, WorkloadContext, WorkloadManifest, hash, open_workload,
};
use aegis_keys::Kind;
use clap::Subcommand;

use crate::keys::{SignArgs, sign_document};
use crate::outcome::Outcome;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Put a file system and what is to be run in it together, sign it; or sign that a workload is taken away
    #[command(after_help = BUILD_HELP)]
    Build(Box<build::Args>),
    /// Add a signature to a workload
    #[command(after_help = SIGN_HELP)]
    Sign(SignArgs),
    /// Show what a workload says of itself; nothing is verified
    #[command(after_help = "Example:\n  aegisctl workload inspect agent-7.aegis-workload --json")]
    Inspect(inspect::Args),
    /// Decide as a device would, by the code that a device runs; exit 0 accepted, 1 refused
    #[command(after_help = VERIFY_HELP)]
    Verify(verify::Args),
    /// Print the manifest to begin with: every key, explained
    Template,
}

const BUILD_HELP: &str = "\
Examples:
  aegisctl workload template > workload.toml
  aegisctl workload build --manifest workload.toml --contents folder --arch x86_64 \\
      --root root.cbor --key workload.key --sequence 1 --out agent-7.aegis-workload
  aegisctl workload build --remove agent-7 --arch x86_64 --root root.cbor \\
      --key workload.key --sequence 2 --out agent-7.aegis-workload
  aegisctl workload build --remove agent-7 --with-data --arch x86_64 --root root.cbor \\
      --key workload.key --sequence 2 --out agent-7.aegis-workload

A folder becomes a squashfs by mksquashfs (Debian: squashfs-tools): the same folder gives
the same bytes, whoever packs it and when. Its files are root's there, and keep their modes:
what the workload's user is to read must be readable to all. /dev, /proc, /tmp and what it writes
to are made where they are missing.
With --root, the keys must be the root's, its epoch is taken, and signatures that
are missing are named.";

const SIGN_HELP: &str = "\
Example:
  aegisctl workload sign agent-7.aegis-workload --root root.cbor --key /media/b/workload-2.key

Shows what is signed and asks.";

const VERIFY_HELP: &str = "\
Examples:
  aegisctl workload verify agent-7.aegis-workload --root dev-keys/root.cbor
  aegisctl workload verify agent-7.aegis-workload --root root.cbor --state workloads.a --json

--json prints one object: accepted, code, detail.";

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Build(args) => build::run(&args),
        Command::Sign(args) => sign_document(&args, Some(Kind::Workload)),
        Command::Inspect(args) => inspect::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Template => source::template(),
    }
}

/// Who asks at the office: any device that trusts this root.
pub(crate) fn office(root: &Root) -> WorkloadContext<'_> {
    WorkloadContext { root, device: None, architecture: None, agent: None, groups: None }
}

/// What a device accepted last, by name.
type Known<'k> = dyn Fn(&str) -> Option<Rank> + 'k;

/// Decides about a whole workload, contents included, as a device does that accepted `have` last under its name.
pub(crate) fn examine<'a>(
    bytes: &'a [u8],
    context: &WorkloadContext<'_>,
    have: Option<&Known<'_>>,
) -> Result<(Workload<'a>, bool), Refusal> {
    let known = |name: &str| have.and_then(|have| have(name));
    let (opened, unchanged) = open_workload(bytes, bytes.len() as u64, context, known)?;
    let (epoch, sequence) = opened.manifest.rank();
    match &opened.manifest.run {
        // The lengths add up: that is looked at when it is opened.
        Some(run) if hash(&bytes[opened.contents_at as usize..]) != run.contents.hash => {
            Err(Refusal { reason: Reason::ContentHash, epoch, sequence })
        }
        _ => Ok((opened, unchanged)),
    }
}

/// What it is, in a line.
pub(crate) fn what(manifest: &WorkloadManifest<'_>) -> String {
    let (epoch, sequence) = manifest.rank();
    let what = if manifest.run.is_some() { "workload" } else { "removal of workload" };
    let with = if manifest.forgets { " with its data" } else { "" };
    format!("{what} {}{with}, epoch {epoch}, sequence {sequence}", manifest.name)
}
