//! `aegisctl keys rotate` and `keys revoke`: the next version of root metadata.

use std::path::{Path, PathBuf};

use aegis_bundle::limits::ROOT_BYTES;
use aegis_bundle::{Container, Reason, Root, hash, split, split_front};
use aegis_keys::limits::KEY_FILE_BYTES;
use aegis_keys::{Change, Document, KeyName, KeyRole, PublicKeyFile};
use serde_json::json;

use super::{DOCUMENT_BYTES, PUBLIC};
use crate::outcome::{Failure, Outcome, Status};
use crate::passphrase::{PassphraseArgs, read_keys};
use crate::roots::RootArgs;
use crate::{describe, files, hex, output};

#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    next: NextArgs,
    /// Raise the epoch: every bundle of before is refused, and sequences start again
    #[arg(long)]
    raise_epoch: bool,
    /// Nobody can break the glass by a token any more
    #[arg(long)]
    no_break_glass: bool,
    /// Nobody can sign images of the system any more
    #[arg(long)]
    no_image: bool,
    /// Nobody can sign workloads any more
    #[arg(long)]
    no_workload: bool,
}

#[derive(clap::Args)]
pub(crate) struct RevokeArgs {
    #[command(flatten)]
    next: NextArgs,
    /// A key that is worth nothing any more: its id, or its fingerprint when no role has it now
    #[arg(long, value_name = "ID", value_parser = key_name)]
    key_id: Vec<KeyName>,
    /// A bundle, an image or a workload that is not let in any more: its file, or the SHA-256 of its manifest as `bundle inspect`
    /// shows it (not that of the file)
    #[arg(long, value_name = "FILE|HASH")]
    bundle: Vec<PathBuf>,
}

/// What both have: the root of before, whoever comes and goes, who signs, where it goes.
#[derive(clap::Args)]
struct NextArgs {
    #[command(flatten)]
    root: RootArgs,
    /// Public half of a root key that joins (FILE.pub of `keys new`)
    #[arg(long, value_name = "PUB")]
    add_root: Vec<PathBuf>,
    /// Public half of a policy key that joins
    #[arg(long, value_name = "PUB")]
    add_policy: Vec<PathBuf>,
    /// Public half of a break-glass key that joins
    #[arg(long, value_name = "PUB")]
    add_break_glass: Vec<PathBuf>,
    /// Public half of an image key that joins
    #[arg(long, value_name = "PUB")]
    add_image: Vec<PathBuf>,
    /// Public half of a workload key that joins
    #[arg(long, value_name = "PUB")]
    add_workload: Vec<PathBuf>,
    /// A root key that leaves: its id or fingerprint. What it signed stays good
    #[arg(long, value_name = "ID", value_parser = key_name)]
    remove_root: Vec<KeyName>,
    /// A policy key that leaves
    #[arg(long, value_name = "ID", value_parser = key_name)]
    remove_policy: Vec<KeyName>,
    /// A break-glass key that leaves
    #[arg(long, value_name = "ID", value_parser = key_name)]
    remove_break_glass: Vec<KeyName>,
    /// An image key that leaves
    #[arg(long, value_name = "ID", value_parser = key_name)]
    remove_image: Vec<KeyName>,
    /// A workload key that leaves
    #[arg(long, value_name = "ID", value_parser = key_name)]
    remove_workload: Vec<KeyName>,
    /// How many root keys sign root metadata from now on
    #[arg(long, value_name = "M")]
    root_threshold: Option<u8>,
    /// How many policy keys sign a bundle from now on
    #[arg(long, value_name = "M")]
    policy_threshold: Option<u8>,
    /// How many break-glass keys sign a token from now on
    #[arg(long, value_name = "M")]
    break_glass_threshold: Option<u8>,
    /// How many image keys sign an image from now on
    #[arg(long, value_name = "M")]
    image_threshold: Option<u8>,
    /// How many workload keys sign a workload from now on
    #[arg(long, value_name = "M")]
    workload_threshold: Option<u8>,
    /// Secret root key to sign with, of the old or the new root role; once per signer
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    passphrases: PassphraseArgs,
    /// Where to write the next version; never overwrites
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// An id or a fingerprint.
fn key_name(text: &str) -> Result<KeyName, String> {
    KeyName::parse(text).ok_or_else(|| "a key id (16 hex digits) or fingerprint (64) is needed".to_owned())
}

pub(super) fn run(args: &RotateArgs) -> Outcome {
    let gone = [
        (KeyRole::BreakGlass, args.no_break_glass),
        (KeyRole::Image, args.no_image),
        (KeyRole::Workload, args.no_workload),
    ];
    let change = Change {
        raise_epoch: args.raise_epoch,
        vacate: gone.into_iter().filter_map(|(role, gone)| gone.then_some(role)).collect(),
        ..args.next.change()?
    };
    args.next.write(&change)
}

pub(super) fn revoke(args: &RevokeArgs) -> Outcome {
    if args.key_id.is_empty() && args.bundle.is_empty() {
        return Err(Failure::usage("nothing to revoke; give --key-id or --bundle"));
    }
    let manifests: Result<Vec<_>, _> = args.bundle.iter().map(|bundle| manifest_hash(bundle)).collect();
    let change =
        Change { revoke_keys: args.key_id.clone(), revoke_manifests: manifests?, ..args.next.change()? };
    args.next.write(&change)
}

/// What a bundle is revoked by: the same however many signed it.
fn manifest_hash(bundle: &Path) -> Result<[u8; 32], Failure> {
    if !bundle.exists()
        && let Some(Ok(hash)) = bundle.to_str().map(hex::array)
    {
        return Ok(hash);
    }
    let refused = |reason: Reason| {
        Failure::refused(format!(
            "{}: {reason}; name a bundle, an image or a workload, or the SHA-256 of its manifest",
            bundle.display()
        ))
    };
    let bytes = files::read(bundle, DOCUMENT_BYTES)?;
    if let Some(kind @ (Container::Image | Container::Workload)) = Container::of(&bytes) {
        return Ok(hash(split_front(kind, &bytes, bytes.len() as u64).map_err(refused)?.manifest));
    }
    Ok(hash(split(&bytes).map_err(refused)?.manifest))
}

impl NextArgs {
    fn change(&self) -> Result<Change, Failure> {
        let mut change = Change::default();
        for (role, files) in [
            (KeyRole::Root, &self.add_root),
            (KeyRole::Policy, &self.add_policy),
            (KeyRole::BreakGlass, &self.add_break_glass),
            (KeyRole::Image, &self.add_image),
            (KeyRole::Workload, &self.add_workload),
        ] {
            for file in files {
                change.add.push((role, public_key(file, role)?));
            }
        }
        for (role, names, threshold) in [
            (KeyRole::Root, &self.remove_root, self.root_threshold),
            (KeyRole::Policy, &self.remove_policy, self.policy_threshold),
            (KeyRole::BreakGlass, &self.remove_break_glass, self.break_glass_threshold),
            (KeyRole::Image, &self.remove_image, self.image_threshold),
            (KeyRole::Workload, &self.remove_workload, self.workload_threshold),
        ] {
            change.remove.extend(names.iter().map(|name| (role, *name)));
            change.thresholds.extend(threshold.map(|threshold| (role, threshold)));
        }
        Ok(change)
    }

    fn write(&self, change: &Change) -> Outcome {
        let before = self.root.read()?;
        let next = change.apply(&before).map_err(Failure::refused)?;
        if self.out.symlink_metadata().is_ok() {
            return Err(Failure::usage(format!("{}: exists; it is not overwritten", self.out.display())));
        }
        let mut document = Document::of_root(&next).map_err(Failure::refused)?;
        for (key, path) in read_keys(&self.keys, &self.passphrases)?.iter().zip(&self.keys) {
            let signed = document.sign(key, &[&before, &next]);
            signed.map_err(|error| Failure::refused(format!("{}: {error}", path.display())))?;
        }
        let bytes = document.to_bytes().ok_or_else(|| {
            Failure::refused(format!(
                "the next version would be longer than {ROOT_BYTES} bytes; remove keys, or raise the epoch"
            ))
        })?;
        files::write(&self.out, &bytes, PUBLIC, false)?;
        self.report(&before, &next, &document, &bytes)
    }

    fn report(&self, before: &Root, next: &Root, document: &Document, bytes: &[u8]) -> Outcome {
        let old = document.standing(&before.root).map_err(Failure::refused)?;
        let new = document.standing(&next.root).map_err(Failure::refused)?;
        let complete = before.next(bytes).is_ok();
        if self.json {
            output::json(&json!({
                "file": self.out.display().to_string(),
                "version": next.version,
                "epoch": next.epoch,
                "fingerprint": hex::encode(&describe::signed_hash(document)),
                "complete": complete,
                "old_root": describe::standing_json(&old),
                "new_root": describe::standing_json(&new),
                "metadata": describe::root_json(next),
            }))?;
            return Ok(Status::Good);
        }
        let mut lines = describe::document(document, bytes, Some(before))?;
        lines.push(format!("old root role  {}", describe::standing(&old)));
        lines.push(format!("new root role  {}", describe::standing(&new)));
        let out = self.out.display();
        lines.push(if complete {
            format!("{out}: complete; devices that trust version {} take it", before.version)
        } else {
            format!("{out}: NOT complete; add signatures: aegisctl keys sign {out} --root … --key FILE")
        });
        output::text(&(lines.join("\n") + "\n"))?;
        Ok(Status::Good)
    }
}

/// A public key that its maker meant for this role.
fn public_key(file: &Path, role: KeyRole) -> Result<[u8; 32], Failure> {
    let refused = |why: &dyn std::fmt::Display| Failure::refused(format!("{}: {why}", file.display()));
    let bytes = files::read(file, KEY_FILE_BYTES)?;
    let public = PublicKeyFile::from_text(std::str::from_utf8(&bytes).unwrap_or_default())
        .map_err(|why| refused(&why))?;
    if public.role() == role {
        return Ok(*public.key());
    }
    Err(refused(&format!("made for the {} role; give it to --add-{}", public.role(), public.role())))
}
