//! `aegisctl workload build`.

use std::path::PathBuf;

use aegis_bundle::limits::WORKLOAD_BYTES;
use aegis_bundle::{Root, Selectors, Version, WorkloadManifest, hash, is_workload_name};
use aegis_keys::{Document, SecretFile};
use serde_json::json;

use super::{examine, office, pack, source, what};
use crate::bundle::{ARCHITECTURES, device, group, version};
use crate::offer::{comment, content, encoded, epoch_of, selector, signatures, trusting};
use crate::outcome::{Failure, Outcome, Status};
use crate::passphrase::{PassphraseArgs, read_keys};
use crate::roots::MaybeRootArgs;
use crate::{describe, files, hex, keys, output, time};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What is run: workload.toml (see `workload template`)
    #[arg(long, value_name = "FILE", required_unless_present = "remove", requires = "contents")]
    manifest: Option<PathBuf>,
    /// The file system it runs in: a folder, or a squashfs
    #[arg(long, value_name = "FOLDER|FILE", requires = "manifest")]
    contents: Option<PathBuf>,
    /// Instead of both: the workload of this name is taken away
    #[arg(long, value_name = "NAME", conflicts_with_all = ["manifest", "contents"], value_parser = name)]
    remove: Option<String>,
    /// With --remove: what its programs kept on the device goes, too
    #[arg(long, requires = "remove", conflicts_with_all = ["manifest", "contents"])]
    with_data: bool,
    /// The architecture that it is for
    #[arg(long, value_name = "ARCH", value_parser = ARCHITECTURES)]
    arch: String,
    /// Secret workload key to sign with; once per signer
    #[arg(long = "key", value_name = "FILE", required = true, num_args = 1..)]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    passphrases: PassphraseArgs,
    #[command(flatten)]
    root: MaybeRootArgs,
    /// Sequence: one more than that of the last of this name
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..))]
    sequence: u64,
    /// Epoch: that of the root metadata of the devices. Default: that of --root, else 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    epoch: Option<u64>,
    /// Only for this device (32 hex digits); once per device. Default: any
    #[arg(long = "device", value_name = "ID", value_parser = device)]
    devices: Vec<[u8; 16]>,
    /// Only for devices in this group; once per group. Default: any
    #[arg(long = "group", value_name = "NAME", value_parser = group)]
    groups: Vec<String>,
    /// Only by agents of at least this version. Default: any
    #[arg(long, value_name = "VERSION", value_parser = version)]
    min_agent: Option<Version>,
    /// When it was made, for reproducible files. Default: now
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    created: Option<u64>,
    /// For people who inspect it. Default: that of the manifest
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Where to write the workload; replaced if it exists
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

fn name(text: &str) -> Result<String, String> {
    if is_workload_name(text) { Ok(text.to_owned()) } else { Err("a workload's name is needed".to_owned()) }
}

pub(super) fn run(args: &Args) -> Outcome {
    let inputs = args.keys.iter().chain(&args.manifest).chain(&args.contents).chain(args.root.files());
    files::keep_inputs(&args.out, inputs.map(PathBuf::as_path))?;
    let root = args.root.read()?;
    let epoch = epoch_of(args.epoch, root.as_ref())?;
    let source = args.manifest.as_deref().map(source::read).transpose()?;
    let contents = match &args.contents {
        Some(from) => {
            let writable = source.as_ref().map_or(Vec::new(), source::Source::writable);
            pack::contents(from, &writable, &args.out)?
        }
        None => Vec::new(),
    };
    let said = source.as_ref().map_or("", |source| &source.comment);
    let manifest = WorkloadManifest {
        epoch,
        sequence: args.sequence,
        created: args.created.unwrap_or_else(time::now),
        selectors: Selectors {
            devices: selector("--device", args.devices.clone())?,
            architecture: &args.arch,
            agent: args.min_agent,
            groups: selector("--group", args.groups.iter().map(String::as_str).collect())?,
        },
        name: source
            .as_ref()
            .map(|source| source.name.as_str())
            .or(args.remove.as_deref())
            .unwrap_or_default(),
        run: source.as_ref().map(|source| source.run(content(&contents))),
        forgets: args.with_data,
        comment: comment(args.comment.as_deref().unwrap_or(said))?,
    };
    let encoded = encoded(|out| manifest.encode(out))?;
    let keys = read_keys(&args.keys, &args.passphrases)?;
    let mut document = Document::of_workload(encoded, contents);
    keys::add_signatures(&mut document, &keys, &args.keys, &root.iter().collect::<Vec<_>>())?;
    let bytes = document.to_bytes().ok_or_else(|| {
        Failure::refused(format!("the workload would be longer than {WORKLOAD_BYTES} bytes"))
    })?;
    as_a_device_would(&bytes, &manifest, &keys)?;
    files::write(&args.out, &bytes, 0o644, true)?;
    report(args, &manifest, &document, &bytes, root.as_ref())
}

/// What is written is what a device takes that trusts all of these keys.
fn as_a_device_would(
    bytes: &[u8],
    manifest: &WorkloadManifest<'_>,
    keys: &[SecretFile],
) -> Result<(), Failure> {
    let root = trusting(keys, manifest.epoch);
    examine(bytes, &office(&root), None)
        .map(drop)
        .map_err(|refusal| Failure::refused(format!("the new workload does not open: {refusal}")))
}

fn report(
    args: &Args,
    manifest: &WorkloadManifest<'_>,
    document: &Document,
    bytes: &[u8],
    root: Option<&Root>,
) -> Outcome {
    let role = root.and_then(|root| root.workload.as_ref());
    if args.json {
        let standing = role.map(|role| document.standing(role)).transpose().map_err(Failure::refused)?;
        let mut value = describe::workload_json(manifest);
        value["file"] = args.out.display().to_string().into();
        value["sha256"] = hex::encode(&hash(bytes)).into();
        value["manifest_sha256"] = hex::encode(&describe::signed_hash(document)).into();
        value["signatures"] = json!(standing.as_ref().map(describe::standing_json));
        output::json(&value)?;
        return Ok(Status::Good);
    }
    let mut lines =
        vec![format!("{}: {}, sha256 {}", args.out.display(), what(manifest), hex::encode(&hash(bytes)))];
    if let Some(role) = role {
        lines.extend(signatures(document, role, "workload sign", &args.out)?);
    }
    output::text(&(lines.join("\n") + "\n"))?;
    Ok(Status::Good)
}
