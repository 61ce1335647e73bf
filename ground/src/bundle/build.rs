//! `aegisctl bundle build`.

use std::path::PathBuf;

use aegis_bundle::limits::BUNDLE_BYTES;
use aegis_bundle::{Accepted, Context, Manifest, Root, TrustState, Version, open};
use aegis_keys::{Document, SecretFile};
use aegis_policy::Mode;
use clap::ValueEnum;

use super::{ARCHITECTURES, device, group, kernel, version};
use crate::offer::{comment, content, encoded, epoch_of, selector, signatures, trusting};
use crate::outcome::{Failure, Outcome, Status};
use crate::passphrase::{PassphraseArgs, read_keys};
use crate::policy::{Compiled, compile_file};
use crate::roots::MaybeRootArgs;
use crate::{files, hex, keys, output, time};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Policy source (TOML)
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Secret policy key to sign with; once per signer
    #[arg(long = "key", value_name = "FILE", required = true, num_args = 1..)]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    passphrases: PassphraseArgs,
    #[command(flatten)]
    root: MaybeRootArgs,
    /// Sequence: one more than that of the last bundle, from 1
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
    /// Only for this architecture (`x86_64`, `aarch64`); once per architecture. Default: any
    #[arg(long = "arch", value_name = "ARCH", value_parser = ARCHITECTURES)]
    architectures: Vec<String>,
    /// Only for agents of at least this version. Default: any
    #[arg(long, value_name = "VERSION", value_parser = version)]
    min_agent: Option<Version>,
    /// Only for this kernel: a copy of its /sys/kernel/btf/vmlinux, or the SHA-256 of that; once per kernel. Default: any
    #[arg(long = "kernel", value_name = "BTF|HASH", value_parser = kernel)]
    kernels: Vec<[u8; 32]>,
    /// The most that devices may let the policy do. Default: the policy's own mode
    #[arg(long, value_enum, value_name = "MODE")]
    ceiling: Option<Ceiling>,
    /// While this bundle is in force, the marker file `/data/aegis/break_glass` breaks the glass. Default: it does nothing
    #[arg(long)]
    allow_marker: bool,
    /// When the policy goes stale: date, time or Unix seconds. A stale policy stays in force and raises an alarm
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    expires: Option<u64>,
    /// When it was made, for reproducible bundles. Default: now
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    created: Option<u64>,
    /// For people who inspect the bundle
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    /// Where to write the bundle; replaced if it exists
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Ceiling {
    Audit,
    Enforce,
}

pub(super) fn run(args: &Args) -> Outcome {
    let inputs = args.keys.iter().chain([&args.policy]).chain(args.root.files());
    files::keep_inputs(&args.out, inputs.map(PathBuf::as_path))?;
    let root = args.root.read()?;
    let epoch = epoch_of(args.epoch, root.as_ref())?;
    let compiled = compile_file(&args.policy)?;
    files::keep_inputs(&args.out, compiled.files())?;
    let manifest = manifest(args, &compiled, epoch)?;
    let keys = read_keys(&args.keys, &args.passphrases)?;
    let mut document = document(&manifest, &compiled)?;
    keys::add_signatures(&mut document, &keys, &args.keys, &root.iter().collect::<Vec<_>>())?;
    let bundle = document.to_bytes().ok_or_else(|| {
        Failure::refused(format!("the bundle would be longer than {BUNDLE_BYTES} bytes; split the policy"))
    })?;
    let accepted = as_a_device_would(&bundle, &manifest, &keys)?;
    files::write(&args.out, &bundle, 0o644, true)?;
    output_lines(args, &accepted, &document, root.as_ref())?;
    Ok(Status::Good)
}

fn output_lines(
    args: &Args,
    accepted: &Accepted<'_>,
    document: &Document,
    root: Option<&Root>,
) -> Result<(), Failure> {
    let bundle = &accepted.bundle;
    let mut lines = vec![format!(
        "{}: policy {}, mode {}, epoch {}, sequence {}, sha256 {}",
        args.out.display(),
        bundle.policy.name(),
        bundle.policy.mode().name(),
        bundle.manifest.epoch,
        bundle.manifest.sequence,
        hex::encode(&bundle.hash),
    )];
    if let Some(root) = root {
        lines.extend(signatures(document, &root.policy, "bundle sign", &args.out)?);
    }
    output::text(&(lines.join("\n") + "\n"))
}

fn manifest<'a>(args: &'a Args, compiled: &'a Compiled, epoch: u64) -> Result<Manifest<'a>, Failure> {
    let mode = compiled.source.mode;
    let ceiling = match args.ceiling {
        None => mode,
        Some(Ceiling::Enforce) => Mode::Enforce,
        Some(Ceiling::Audit) if mode == Mode::Enforce => {
            let file = args.policy.display();
            return Err(Failure::refused(format!("{file}: mode = \"enforce\" is above --ceiling audit")));
        }
        Some(Ceiling::Audit) => Mode::Audit,
    };
    let created = args.created.unwrap_or_else(time::now);
    if args.expires.is_some_and(|expires| expires <= created) {
        return Err(Failure::usage("--expires: it must be later than the time of making"));
    }
    Ok(Manifest {
        epoch,
        sequence: args.sequence,
        created,
        expires: args.expires,
        devices: selector("--device", args.devices.clone())?,
        groups: selector("--group", args.groups.iter().map(String::as_str).collect())?,
        architectures: selector("--arch", args.architectures.iter().map(String::as_str).collect())?,
        agent: args.min_agent,
        kernels: selector("--kernel", args.kernels.clone())?,
        ceiling,
        policy: content(&compiled.bytes),
        source: content(compiled.text.as_bytes()),
        site: compiled.site.as_deref().map(content),
        comment: comment(&args.comment)?,
        marker: args.allow_marker,
    })
}

fn document(manifest: &Manifest<'_>, compiled: &Compiled) -> Result<Document, Failure> {
    let encoded = encoded(|out| manifest.encode(out))?;
    let mut contents = vec![compiled.bytes.as_slice(), compiled.text.as_bytes()];
    contents.extend(compiled.site.as_deref());
    Ok(Document::of_bundle(encoded, &contents))
}

/// What is written is what a device takes that trusts all of these keys.
fn as_a_device_would<'a>(
    bundle: &'a [u8],
    manifest: &Manifest<'_>,
    keys: &[SecretFile],
) -> Result<Accepted<'a>, Failure> {
    let root = trusting(keys, manifest.epoch);
    let context = Context {
        root: &root,
        device: None,
        architecture: None,
        agent: None,
        groups: None,
        kernel: None,
        state: TrustState::default(),
        insist: false,
    };
    open(bundle, &context)
        .map_err(|refusal| Failure::refused(format!("the new bundle does not open: {refusal}")))
}
