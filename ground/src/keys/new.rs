//! `aegisctl keys new`: one more key.

use std::path::PathBuf;

use aegis_cose::fingerprint;
use aegis_keys::{KeyRole, SecretFile};
use serde_json::json;
use zeroize::Zeroizing;

use super::{Batch, PRIVATE, PUBLIC, ProtectArgs, public_path, role};
use crate::outcome::{Failure, Outcome, Status};
use crate::{describe, hex, output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What it is for: root, policy or break-glass
    #[arg(long, value_name = "ROLE", value_parser = role)]
    role: KeyRole,
    /// Where to write the secret key; its public half goes to FILE.pub
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    protect: ProtectArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let public = public_path(&args.out);
    Batch::refuse_taken([args.out.as_path(), &public])?;
    let key = SecretFile::generate(args.role).map_err(Failure::usage)?;
    let bytes = args.protect.files(&[(&key, &args.out)])?;
    let mut batch = Batch::default();
    for bytes in bytes {
        batch.add(args.out.clone(), bytes, PRIVATE);
    }
    batch.add(public.clone(), Zeroizing::new(key.public_file().to_text().into_bytes()), PUBLIC);
    batch.write()?;
    if args.json {
        let mut value = describe::key_json(key.public());
        value["role"] = args.role.name().into();
        value["encrypted"] = (!args.protect.plain).into();
        value["file"] = args.out.display().to_string().into();
        value["public_file"] = public.display().to_string().into();
        output::json(&json!(value))?;
        return Ok(Status::Good);
    }
    output::text(&format!(
        "{}: {} key {}\n{}: its public half, for `keys rotate --add-{}`\nfingerprint    {}\n",
        args.out.display(),
        args.role,
        hex::encode(&key.id()),
        public.display(),
        args.role,
        hex::grouped(&fingerprint(key.public())),
    ))?;
    Ok(Status::Good)
}
