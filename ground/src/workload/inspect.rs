//! `aegisctl workload inspect`: what a workload says of itself.

use std::path::PathBuf;

use aegis_bundle::limits::WORKLOAD_BYTES;
use aegis_bundle::{Container, Reason, Refusal, WorkloadManifest, split_front};

use crate::offer::Front;
use crate::outcome::{Failure, Outcome, Status};
use crate::{describe, files, output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Workload
    file: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let bytes = files::read_front(&args.file, WORKLOAD_BYTES as usize + 1)?;
    let refused =
        |reason: Reason| Failure::refused(format!("{}: {}", args.file.display(), Refusal::from(reason)));
    let sections = split_front(Container::Workload, &bytes, bytes.len() as u64).map_err(refused)?;
    let manifest = WorkloadManifest::decode(sections.manifest).map_err(refused)?;
    let front = Front::of(&bytes, sections.manifest, sections.signatures).map_err(refused)?;
    if args.json {
        let mut value = describe::workload_json(&manifest);
        front.add_to(&mut value);
        output::json(&value)?;
    } else {
        let lines = front.lines("workload verify", describe::workload(&manifest));
        output::text(&(lines.join("\n") + "\n"))?;
    }
    Ok(Status::Good)
}
