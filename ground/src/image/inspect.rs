//! `aegisctl image inspect`: what an image says of itself.

use std::path::PathBuf;

use aegis_bundle::limits::IMAGE_BYTES;
use aegis_bundle::{Container, ImageManifest, Reason, Refusal, split_front};

use crate::offer::Front;
use crate::outcome::{Failure, Outcome, Status};
use crate::{describe, files, output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Image
    file: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let bytes = files::read_front(&args.file, IMAGE_BYTES as usize + 1)?;
    let refused =
        |reason: Reason| Failure::refused(format!("{}: {}", args.file.display(), Refusal::from(reason)));
    let sections = split_front(Container::Image, &bytes, bytes.len() as u64).map_err(refused)?;
    let manifest = ImageManifest::decode(sections.manifest).map_err(refused)?;
    let front = Front::of(&bytes, sections.manifest, sections.signatures).map_err(refused)?;
    if args.json {
        let mut value = describe::image_json(&manifest);
        front.add_to(&mut value);
        output::json(&value)?;
    } else {
        let lines = front.lines("image verify", describe::image(&manifest));
        output::text(&(lines.join("\n") + "\n"))?;
    }
    Ok(Status::Good)
}
