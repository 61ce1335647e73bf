//! `aegisctl image inspect`: what an image says of itself.

use std::path::PathBuf;

use aegis_bundle::limits::IMAGE_BYTES;
use aegis_bundle::{ImageManifest, Reason, Refusal, hash, split_image};
use aegis_cose::Sign;

use crate::outcome::{Failure, Outcome, Status};
use crate::{describe, files, hex, output};

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
    let sections = split_image(&bytes, bytes.len() as u64).map_err(refused)?;
    let manifest = ImageManifest::decode(sections.manifest).map_err(refused)?;
    let message = Sign::parse(sections.signatures).map_err(|error| refused(error.into()))?;
    let signers: Vec<String> = message.signers().map(|signer| hex::encode(&signer.kid)).collect();
    let file = hex::encode(&hash(&bytes));
    let signed = hex::encode(&hash(sections.manifest));
    if args.json {
        let mut value = describe::image_json(&manifest);
        value["verified"] = false.into();
        value["sha256"] = file.into();
        value["bytes"] = bytes.len().into();
        value["manifest_sha256"] = signed.into();
        value["signers"] = signers.into();
        output::json(&value)?;
        return Ok(Status::Good);
    }
    let mut lines = vec![
        "not verified; see aegisctl image verify".to_owned(),
        format!("sha256         {file}"),
        format!("manifest       {signed}"),
    ];
    lines.extend(describe::image(&manifest));
    lines.push(format!("signed by      {}", signers.join(" ")));
    output::text(&(lines.join("\n") + "\n"))?;
    Ok(Status::Good)
}
