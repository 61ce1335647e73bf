//! `aegisctl bundle build`.

use std::path::PathBuf;

use aegis_bundle::limits::{BUNDLE_BYTES, COMMENT_BYTES, MANIFEST_BYTES, SIGNATURES_BYTES};
use aegis_bundle::{
    Accepted, Content, Context, Manifest, Role, Root, TrustState, Version, assemble, hash, open,
};
use aegis_cose::limits::SIGN1_OVERHEAD;
use aegis_cose::{Domain, sign_detached, signature};
use aegis_keys::{KeyRole, SecretFile};
use aegis_policy::Mode;
use clap::ValueEnum;

use super::{ARCHITECTURES, device, time, version};
use crate::outcome::{Failure, Outcome, Status};
use crate::policy::{Compiled, compile_file};
use crate::{files, hex, keys, output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Policy source (TOML)
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Secret policy key to sign with; once per signer
    #[arg(long = "key", value_name = "FILE", required = true, num_args = 1..)]
    keys: Vec<PathBuf>,
    /// Sequence: one more than that of the last bundle, from 1
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..))]
    sequence: u64,
    /// Epoch: that of the root metadata of the devices
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    epoch: u64,
    /// Only for this device (32 hex digits); once per device. Default: any
    #[arg(long = "device", value_name = "ID", value_parser = device)]
    devices: Vec<[u8; 16]>,
    /// Only for this architecture (`x86_64`, `aarch64`); once per architecture. Default: any
    #[arg(long = "arch", value_name = "ARCH", value_parser = ARCHITECTURES)]
    architectures: Vec<String>,
    /// Only for agents of at least this version. Default: any
    #[arg(long, value_name = "VERSION", value_parser = version)]
    min_agent: Option<Version>,
    /// The most that devices may let the policy do. Default: the policy's own mode
    #[arg(long, value_enum, value_name = "MODE")]
    ceiling: Option<Ceiling>,
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
    files::keep_inputs(&args.out, args.keys.iter().chain([&args.policy]).map(PathBuf::as_path))?;
    let compiled = compile_file(&args.policy)?;
    let keys = read_keys(&args.keys)?;
    let manifest = manifest(args, &compiled)?;
    let bundle = sign(&manifest, &compiled, &keys)?;
    let accepted = as_a_device_would(&bundle, &manifest, &keys)?;
    files::write(&args.out, &bundle, 0o644, true)?;
    output_line(args, &accepted)?;
    Ok(Status::Good)
}

fn output_line(args: &Args, accepted: &Accepted<'_>) -> Result<(), Failure> {
    output::text(&format!(
        "{}: policy {}, mode {}, epoch {}, sequence {}, sha256 {}\n",
        args.out.display(),
        accepted.policy.name(),
        accepted.policy.mode().name(),
        accepted.manifest.epoch,
        accepted.manifest.sequence,
        hex::encode(&accepted.hash),
    ))
}

fn read_keys(paths: &[PathBuf]) -> Result<Vec<SecretFile>, Failure> {
    let mut keys: Vec<SecretFile> = Vec::new();
    for path in paths {
        let key = keys::read_secret(path)?;
        let refuse = |why: &str| Err(Failure::refused(format!("{}: {why}", path.display())));
        if key.role() != KeyRole::Policy {
            return refuse("a root key; bundles are signed with policy keys");
        }
        if keys.iter().any(|other| other.public() == key.public()) {
            return refuse("the same key twice; a threshold counts distinct keys");
        }
        keys.push(key);
    }
    Ok(keys)
}

fn manifest<'a>(args: &'a Args, compiled: &'a Compiled) -> Result<Manifest<'a>, Failure> {
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
    if args.comment.len() > COMMENT_BYTES || args.comment.chars().any(char::is_control) {
        return Err(Failure::usage(format!("--comment: at most {COMMENT_BYTES} bytes on one line")));
    }
    let content = |bytes: &[u8]| Content { length: bytes.len() as u64, hash: hash(bytes) };
    Ok(Manifest {
        epoch: args.epoch,
        sequence: args.sequence,
        created,
        expires: args.expires,
        devices: selector("--device", args.devices.clone())?,
        architectures: selector("--arch", args.architectures.iter().map(String::as_str).collect())?,
        agent: args.min_agent,
        ceiling,
        policy: content(&compiled.bytes),
        source: content(compiled.text.as_bytes()),
        comment: &args.comment,
    })
}

/// Nothing given means any; otherwise a set in order.
fn selector<T: Ord, C: FromIterator<T> + Bounded>(
    name: &str,
    mut items: Vec<T>,
) -> Result<Option<C>, Failure> {
    if items.is_empty() {
        return Ok(None);
    }
    items.sort_unstable();
    items.dedup();
    if items.len() > C::MOST {
        return Err(Failure::usage(format!("{name}: at most {} of them", C::MOST)));
    }
    Ok(Some(items.into_iter().collect()))
}

/// Collections that would panic when collected from too much.
trait Bounded {
    const MOST: usize;
}

impl<T, const N: usize> Bounded for heapless::Vec<T, N> {
    const MOST: usize = N;
}

fn sign(manifest: &Manifest<'_>, compiled: &Compiled, keys: &[SecretFile]) -> Result<Vec<u8>, Failure> {
    let mut encoded = vec![0; MANIFEST_BYTES];
    let Some(length) = manifest.encode(&mut encoded) else {
        return Err(Failure::usage("the manifest can't be written: too long, or a bad --arch"));
    };
    encoded.truncate(length);
    let mut scratch = vec![0; length + SIGN1_OVERHEAD];
    let mut signatures = Vec::new();
    for key in keys {
        let made = signature(&encoded, Domain::Bundle, key.secret(), &mut scratch);
        signatures.push(made.map_err(Failure::refused)?);
    }
    let mut cose = vec![0; SIGNATURES_BYTES];
    let length = sign_detached(&signatures, &mut cose).map_err(Failure::usage)?;
    let mut out = vec![0; BUNDLE_BYTES];
    let contents = [compiled.bytes.as_slice(), compiled.text.as_bytes()];
    let Some(length) = assemble(&encoded, &cose[..length], &contents, &mut out) else {
        return Err(Failure::refused(format!(
            "the bundle would be longer than {BUNDLE_BYTES} bytes; split the policy"
        )));
    };
    out.truncate(length);
    Ok(out)
}

/// What is written is what a device takes that trusts all of these keys.
fn as_a_device_would<'a>(
    bundle: &'a [u8],
    manifest: &Manifest<'_>,
    keys: &[SecretFile],
) -> Result<Accepted<'a>, Failure> {
    let mut publics: Vec<[u8; 32]> = keys.iter().map(|key| *key.public()).collect();
    publics.sort_unstable();
    let role = Role { threshold: keys.len() as u8, keys: publics.into_iter().collect() };
    let revoked = [].into_iter().collect();
    let root = Root { version: 1, epoch: manifest.epoch, root: role.clone(), policy: role, revoked };
    let context =
        Context { root: &root, device: None, architecture: None, agent: None, state: TrustState::default() };
    open(bundle, &context)
        .map_err(|refusal| Failure::refused(format!("the new bundle does not open: {refusal}")))
}
