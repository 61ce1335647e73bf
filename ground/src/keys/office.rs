//! `aegisctl keys office`: a key that opens the exports of devices.

use std::path::PathBuf;

use aegis_keys::{identity_text, new_identity};
use serde_json::json;
use zeroize::Zeroizing;

use super::{Batch, PRIVATE, PUBLIC, ProtectArgs};
use crate::outcome::{Failure, Outcome, Status};
use crate::{files, output};

const KEY: &str = "office.key";
const RECIPIENT: &str = "office.recipient";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory to write to; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    protect: ProtectArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let (key, public) = (args.out.join(KEY), args.out.join(RECIPIENT));
    Batch::refuse_taken([key.as_path(), &public])?;
    let identity = new_identity().map_err(Failure::usage)?;
    let texts = [(identity_text(&identity), key.as_path())];
    let contents = args.protect.texts(
        &texts,
        "whoever reads the file can read every export that is encrypted to it. For tests and development only",
    )?;
    files::make_directory(&args.out, 0o700)?;
    let recipient = identity.recipient().to_string();
    let mut batch = Batch::default();
    for bytes in contents {
        batch.add(key.clone(), bytes, PRIVATE);
    }
    batch.add(public.clone(), Zeroizing::new(format!("{recipient}\n").into_bytes()), PUBLIC);
    batch.write()?;
    if args.json {
        output::json(&json!({
            "file": key.display().to_string(),
            "public_file": public.display().to_string(),
            "recipient": recipient,
            "encrypted": !args.protect.plain,
        }))?;
        return Ok(Status::Good);
    }
    output::text(&format!(
        "{}: office key{}\n{}: its recipient\n\nFor the configuration of devices, /data/aegis/config.toml:\n\n[export]\n\
         recipients = [\"{recipient}\"]\n",
        key.display(),
        if args.protect.plain { ", NOT encrypted" } else { ", encrypted with your passphrase" },
        public.display(),
    ))?;
    Ok(Status::Good)
}
