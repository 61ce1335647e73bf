//! `aegisctl keys show`: key files and root metadata.

use std::path::{Path, PathBuf};

use aegis_bundle::Root;
use aegis_bundle::limits::ROOT_BYTES;
use aegis_cose::fingerprint;
use aegis_keys::limits::KEY_FILE_BYTES;
use aegis_keys::{KeyRole, PublicKeyFile, SecretFile, is_sealed, work_factor};
use serde_json::json;

use super::public_path;
use crate::outcome::{Failure, Outcome, Status};
use crate::{describe, files, hex, output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Secret key file, its .pub, or root.cbor
    file: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let file = &args.file;
    let refused = |why: &dyn std::fmt::Display| Failure::refused(format!("{}: {why}", file.display()));
    let bytes = files::read_secret(file, ROOT_BYTES.max(KEY_FILE_BYTES))?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    if is_sealed(&bytes) {
        let factor = work_factor(text).map_err(|why| refused(&why))?;
        return sealed(args, factor);
    }
    if PublicKeyFile::claims_to_be(&bytes) {
        let public = PublicKeyFile::from_text(text).map_err(|why| refused(&why))?;
        return key(args, "public-key", public.role(), public.key(), None);
    }
    if bytes.starts_with(b"-----BEGIN ") {
        let secret = SecretFile::from_text(text).map_err(|why| refused(&why))?;
        return key(args, "secret-key", secret.role(), secret.public(), Some(false));
    }
    root(args, &bytes)
}

fn key(args: &Args, kind: &str, role: KeyRole, public: &[u8; 32], encrypted: Option<bool>) -> Outcome {
    if args.json {
        let mut value = describe::key_json(public);
        value["kind"] = kind.into();
        value["role"] = role.name().into();
        if let Some(encrypted) = encrypted {
            value["encrypted"] = encrypted.into();
        }
        output::json(&value)?;
        return Ok(Status::Good);
    }
    let what = match encrypted {
        None => "public half, proof good",
        Some(_) => "secret key, NOT encrypted",
    };
    output::text(&format!(
        "{role} key {} ({what})\nfingerprint    {}\npublic         {}\n",
        hex::encode(&aegis_cose::key_id(public)),
        hex::grouped(&fingerprint(public)),
        hex::encode(public),
    ))?;
    Ok(Status::Good)
}

/// Without its passphrase, an encrypted key says nothing of itself: its .pub does.
fn sealed(args: &Args, factor: u8) -> Outcome {
    let public = beside(&args.file);
    if args.json {
        let mut value = public.as_ref().map_or_else(|| json!({}), |public| describe::key_json(public.key()));
        value["kind"] = "secret-key".into();
        value["encrypted"] = true.into();
        value["work_factor"] = factor.into();
        value["role"] = public.as_ref().map(|public| public.role().name()).into();
        output::json(&value)?;
        return Ok(Status::Good);
    }
    let mut lines = vec![format!("secret key, encrypted with a passphrase (age, scrypt 2^{factor})")];
    match public {
        Some(public) => {
            let id = hex::encode(&public.id());
            lines.push(format!("{} key {id}, as the .pub beside it says", public.role()));
            lines.push(format!("fingerprint    {}", hex::grouped(&fingerprint(public.key()))));
        }
        None => lines.push("which key it is, its .pub says; there is none beside it".to_owned()),
    }
    lines.push("to try the passphrase: aegisctl keys check FILE\n".to_owned());
    output::text(&lines.join("\n"))?;
    Ok(Status::Good)
}

fn beside(file: &Path) -> Option<PublicKeyFile> {
    let bytes = files::read(&public_path(file), KEY_FILE_BYTES).ok()?;
    PublicKeyFile::from_text(std::str::from_utf8(&bytes).ok()?).ok()
}

fn root(args: &Args, bytes: &[u8]) -> Outcome {
    let (root, _) = Root::unverified(bytes).map_err(|error| {
        Failure::refused(format!(
            "{}: neither a key file nor root metadata ({error}); name a *.key file, its .pub or root.cbor",
            args.file.display()
        ))
    })?;
    // By its own keys. Whether the version before vouches for it, `keys check` tells.
    let complete = Root::open(bytes).is_ok();
    if args.json {
        let mut value = describe::root_json(&root);
        value["kind"] = "root".into();
        value["complete"] = complete.into();
        value["sha256"] = hex::encode(&aegis_bundle::hash(bytes)).into();
        output::json(&value)?;
        return Ok(Status::Good);
    }
    let mut lines = describe::root(&root);
    lines.push(format!("sha256          {}", hex::encode(&aegis_bundle::hash(bytes))));
    if !complete {
        lines.push("NOT complete: too few of its own root keys signed it; see `keys check`".to_owned());
    }
    output::text(&(lines.join("\n") + "\n"))?;
    Ok(Status::Good)
}
