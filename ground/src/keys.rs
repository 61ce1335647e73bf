//! `aegisctl keys`: make and look at keys and root metadata.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use aegis_bundle::limits::ROOT_BYTES;
use aegis_bundle::{Role, Root};
use aegis_keys::{KeyRole, SecretFile, sign_root};
use clap::Subcommand;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::outcome::{Failure, Outcome, Status};
use crate::policy::counted;
use crate::{files, hex, output};

/// Longest secret key file, bytes.
const KEY_FILE_BYTES: usize = 4096;
const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a root key, a policy key and root metadata that trusts them
    #[command(
        after_help = "Example:\n  aegisctl keys init --plain --out dev-keys\n\nWrites root.key, policy.key and root.cbor; never overwrites."
    )]
    Init {
        /// Write the secret keys unencrypted: for development only
        #[arg(long, required = true)]
        plain: bool,
        /// Directory to write to; made if it does not exist
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Show a secret key file (never its secret) or root metadata
    #[command(after_help = "Example:\n  aegisctl keys show dev-keys/root.cbor")]
    Show {
        /// Secret key file or root.cbor
        file: PathBuf,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Init { plain: _, out } => init(&out),
        Command::Show { file, json } => show(&file, json),
    }
}

fn init(out: &Path) -> Outcome {
    let paths = ["root.key", "policy.key", "root.cbor"].map(|name| out.join(name));
    if let Some(taken) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(Failure::usage(format!("{}: exists; keys are never overwritten", taken.display())));
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(out).map_err(|error| {
        Failure::usage(format!("{}: can't make it: {}", out.display(), files::plain(&error)))
    })?;
    let generate = |role| SecretFile::generate(role).map_err(Failure::usage);
    let (root_key, policy_key) = (generate(KeyRole::Root)?, generate(KeyRole::Policy)?);
    let role = |key: &SecretFile| Role { threshold: 1, keys: [*key.public()].into_iter().collect() };
    let root = Root {
        version: 1,
        epoch: 1,
        root: role(&root_key),
        policy: role(&policy_key),
        revoked: [].into_iter().collect(),
    };
    let metadata = sign_root(&root, &[&root_key]).map_err(Failure::refused)?;
    let (root_text, policy_text) = (root_key.to_text(), policy_key.to_text());
    // Metadata last: whoever finds it finds the keys too.
    let contents =
        [(root_text.as_bytes(), PRIVATE), (policy_text.as_bytes(), PRIVATE), (metadata.as_slice(), PUBLIC)];
    for (made, (path, (bytes, permissions))) in paths.iter().zip(contents).enumerate() {
        if let Err(failure) = files::write(path, bytes, permissions, false) {
            // All or none: a key without its metadata would only be in the way of the next try.
            for path in &paths[..made] {
                let _ = std::fs::remove_file(path);
            }
            return Err(failure);
        }
    }
    output::text(&format!(
        "{}: root key {}\n{}: policy key {}\n{}: version 1, epoch 1\n\
         These keys are plain, not encrypted: for development only.\n",
        paths[0].display(),
        hex::encode(&root_key.id()),
        paths[1].display(),
        hex::encode(&policy_key.id()),
        paths[2].display(),
    ))?;
    Ok(Status::Good)
}

/// Reads a secret key file.
pub(crate) fn read_secret(file: &Path) -> Result<SecretFile, Failure> {
    let bytes = Zeroizing::new(files::read(file, KEY_FILE_BYTES)?);
    secret_from(file, &bytes)
}

fn secret_from(file: &Path, bytes: &[u8]) -> Result<SecretFile, Failure> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    SecretFile::from_text(text).map_err(|error| Failure::refused(format!("{}: {error}", file.display())))
}

/// Reads root metadata.
pub(crate) fn read_root(file: &Path) -> Result<Root, Failure> {
    let bytes = files::read(file, ROOT_BYTES)?;
    Root::open(&bytes).map_err(|error| {
        Failure::refused(format!("{}: {error}; name the root.cbor that `keys init` made", file.display()))
    })
}

fn show(file: &Path, as_json: bool) -> Outcome {
    let bytes = Zeroizing::new(files::read(file, ROOT_BYTES.max(KEY_FILE_BYTES))?);
    if bytes.starts_with(b"-----BEGIN ") {
        let key = secret_from(file, &bytes)?;
        let (role, id, public) = (key.role().name(), hex::encode(&key.id()), hex::encode(key.public()));
        if as_json {
            output::json(
                &json!({ "kind": "secret-key", "role": role, "id": id, "public": public, "encrypted": false }),
            )?;
        } else {
            output::text(&format!("{role} key {id}, not encrypted\npublic {public}\n"))?;
        }
        return Ok(Status::Good);
    }
    let root = Root::open(&bytes).map_err(|error| {
        Failure::refused(format!(
            "{}: neither a secret key file nor root metadata ({error}); name a *.key file or root.cbor",
            file.display()
        ))
    })?;
    if as_json {
        output::json(&json!({
            "kind": "root",
            "version": root.version,
            "epoch": root.epoch,
            "roles": { "root": role_json(&root.root), "policy": role_json(&root.policy) },
            "revoked": root.revoked.iter().map(|hash| hex::encode(hash)).collect::<Vec<_>>(),
        }))?;
        return Ok(Status::Good);
    }
    let revoked = counted(root.revoked.len(), "manifest");
    let mut lines =
        vec![format!("root metadata version {}, epoch {}, {revoked} revoked", root.version, root.epoch)];
    for (name, role) in [("root", &root.root), ("policy", &root.policy)] {
        lines.push(format!("{name}: {} of {}", role.threshold, counted(role.keys.len(), "key")));
        for key in &role.keys {
            lines.push(format!("  {}  {}", hex::encode(&aegis_cose::key_id(key)), hex::encode(key)));
        }
    }
    output::text(&(lines.join("\n") + "\n"))?;
    Ok(Status::Good)
}

fn role_json(role: &Role) -> Value {
    let key =
        |key: &[u8; 32]| json!({ "id": hex::encode(&aegis_cose::key_id(key)), "public": hex::encode(key) });
    json!({ "threshold": role.threshold, "keys": role.keys.iter().map(key).collect::<Vec<_>>() })
}
