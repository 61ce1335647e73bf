//! `aegisctl keys init`: the ceremony.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aegis_bundle::Root;
use aegis_bundle::limits::KEYS;
use aegis_keys::{Document, KeyRole, Seats, SecretFile, first_root};
use serde_json::json;
use zeroize::Zeroizing;

use super::record::{self, Made};
use super::{Batch, PRIVATE, PUBLIC, ProtectArgs, public_path};
use crate::outcome::{Failure, Outcome, Status};
use crate::{describe, files, hex, output, time};

/// Most keys of a role.
const MOST: i64 = 16;
const _: () = assert!(MOST as usize == KEYS);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory for root.cbor, ceremony.txt and the keys that go nowhere else; made if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How many root keys
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=MOST))]
    root: Option<u8>,
    /// How many of them sign root metadata
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u8).range(1..=MOST))]
    root_threshold: Option<u8>,
    /// Where root keys go, one directory a key: one stick a person
    #[arg(long, value_name = "DIR")]
    root_to: Vec<PathBuf>,
    /// How many policy keys
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=MOST))]
    policy: Option<u8>,
    /// How many of them sign a bundle
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u8).range(1..=MOST))]
    policy_threshold: Option<u8>,
    /// Where policy keys go, one directory a key
    #[arg(long, value_name = "DIR")]
    policy_to: Vec<PathBuf>,
    /// How many break-glass keys; 0: nobody can break the glass
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=MOST))]
    break_glass: Option<u8>,
    /// How many of them sign a break-glass token
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u8).range(1..=MOST))]
    break_glass_threshold: Option<u8>,
    /// Where break-glass keys go, one directory a key
    #[arg(long, value_name = "DIR")]
    break_glass_to: Vec<PathBuf>,
    /// How many image keys; 0: nobody can sign images of the system
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=MOST))]
    image: Option<u8>,
    /// How many of them sign an image
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u8).range(1..=MOST))]
    image_threshold: Option<u8>,
    /// Where image keys go, one directory a key
    #[arg(long, value_name = "DIR")]
    image_to: Vec<PathBuf>,
    /// How many workload keys; 0: nobody can sign workloads
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=MOST))]
    workload: Option<u8>,
    /// How many of them sign a workload
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u8).range(1..=MOST))]
    workload_threshold: Option<u8>,
    /// Where workload keys go, one directory a key
    #[arg(long, value_name = "DIR")]
    workload_to: Vec<PathBuf>,
    #[command(flatten)]
    protect: ProtectArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// One role of the ceremony.
struct Plan<'a> {
    role: KeyRole,
    threshold: u8,
    paths: Vec<PathBuf>,
    to: &'a [PathBuf],
}

pub(super) fn run(args: &Args) -> Outcome {
    let plans = plans(args)?;
    for plan in &plans {
        check_directories(plan)?;
    }
    let [root_path, record_path] = ["root.cbor", "ceremony.txt"].map(|name| args.out.join(name));
    let secrets = plans.iter().flat_map(|plan| plan.paths.iter().map(PathBuf::as_path));
    let publics: Vec<PathBuf> = secrets.clone().map(public_path).collect();
    let others = publics.iter().chain([&root_path, &record_path]).map(PathBuf::as_path);
    Batch::refuse_taken(secrets.clone().chain(others))?;

    let mut keys = Vec::new();
    for plan in &plans {
        for path in &plan.paths {
            keys.push((SecretFile::generate(plan.role).map_err(Failure::usage)?, path.clone()));
        }
    }
    let (root, metadata) = metadata(&plans, &keys)?;
    let pairs: Vec<(&SecretFile, &Path)> = keys.iter().map(|(key, path)| (key, path.as_path())).collect();
    let contents = args.protect.files(&pairs)?;

    let made: Vec<Made<'_>> =
        pairs.iter().map(|(key, path)| Made { key: *key.public(), role: key.role(), path }).collect();
    let record = record::text(&root, &metadata, &made, args.protect.plain, time::now());
    files::make_directory(&args.out, 0o700)?;
    let mut batch = Batch::default();
    for ((key, path), bytes) in keys.iter().zip(contents) {
        batch.add(path.clone(), bytes, PRIVATE);
        let public = key.public_file().to_text().into_bytes();
        batch.add(public_path(path), Zeroizing::new(public), PUBLIC);
    }
    batch.add(record_path, Zeroizing::new(record.clone().into_bytes()), PUBLIC);
    // Metadata last: whoever finds it finds the keys too.
    batch.add(root_path.clone(), Zeroizing::new(metadata.clone()), PUBLIC);
    batch.write()?;

    if args.json {
        let key_json = |made: &Made<'_>| {
            let mut value = describe::key_json(&made.key);
            value["role"] = made.role.name().into();
            value["file"] = made.path.display().to_string().into();
            value["encrypted"] = (!args.protect.plain).into();
            value
        };
        output::json(&json!({
            "root": root_path.display().to_string(),
            "root_sha256": hex::encode(&aegis_bundle::hash(&metadata)),
            "keys": made.iter().map(key_json).collect::<Vec<_>>(),
            "metadata": describe::root_json(&root),
        }))?;
    } else {
        output::text(&record)?;
    }
    Ok(Status::Good)
}

/// Numbers, thresholds and places.
fn plans(args: &Args) -> Result<[Plan<'_>; KeyRole::ALL.len()], Failure> {
    let plan = |role: KeyRole, count: Option<u8>, threshold: Option<u8>, to: &'_ [PathBuf]| {
        let usual = match role {
            KeyRole::Root | KeyRole::Policy | KeyRole::Image => 3,
            KeyRole::BreakGlass | KeyRole::Workload => 2,
        };
        // Directories say how many keys, too.
        let listed = (!to.is_empty()).then_some(to.len() as u8);
        let count = count.or(listed).unwrap_or(if args.protect.plain { 1 } else { usual });
        if let Some(listed) = listed
            && (to.len() > KEYS || listed != count)
        {
            return Err(Failure::usage(format!(
                "--{role}-to: {} of them for {count} keys; give one for each, or none for all in --out",
                to.len()
            )));
        }
        let more_than_half = match role {
            KeyRole::Root | KeyRole::Policy => count / 2 + 1,
            KeyRole::Image => {
                if count == 0 {
                    0
                } else {
                    count / 2 + 1
                }
            }
            KeyRole::BreakGlass | KeyRole::Workload => count.min(1),
        };
        let threshold = threshold.unwrap_or(more_than_half);
        let name = |number: usize| {
            if count == 1 { format!("{role}.key") } else { format!("{role}-{number}.key") }
        };
        let directory = |number: usize| to.get(number - 1).unwrap_or(&args.out);
        let paths = (1..=usize::from(count)).map(|number| directory(number).join(name(number))).collect();
        Ok((role, threshold, paths))
    };
    let made = |(role, threshold, paths), to| Plan { role, threshold, paths, to };
    Ok([
        made(plan(KeyRole::Root, args.root, args.root_threshold, &args.root_to)?, &args.root_to),
        made(plan(KeyRole::Policy, args.policy, args.policy_threshold, &args.policy_to)?, &args.policy_to),
        made(
            plan(KeyRole::BreakGlass, args.break_glass, args.break_glass_threshold, &args.break_glass_to)?,
            &args.break_glass_to,
        ),
        made(plan(KeyRole::Image, args.image, args.image_threshold, &args.image_to)?, &args.image_to),
        made(
            plan(KeyRole::Workload, args.workload, args.workload_threshold, &args.workload_to)?,
            &args.workload_to,
        ),
    ])
}

/// A stick that is not there must not become a directory on this disk, and two keys on one stick are one key.
fn check_directories(plan: &Plan<'_>) -> Result<(), Failure> {
    let mut seen = Vec::new();
    for path in plan.to {
        let there = path.metadata().ok().filter(std::fs::Metadata::is_dir).ok_or_else(|| {
            Failure::usage(format!(
                "--{}-to {}: not a directory; plug the stick in and mount it",
                plan.role,
                path.display()
            ))
        })?;
        if seen.contains(&(there.dev(), there.ino())) {
            return Err(Failure::usage(format!(
                "--{}-to {}: the same directory twice; name one for each key",
                plan.role,
                path.display()
            )));
        }
        seen.push((there.dev(), there.ino()));
    }
    Ok(())
}

/// The first root metadata, signed by every root key: each of them has then proved to work.
fn metadata(
    plans: &[Plan<'_>; KeyRole::ALL.len()],
    keys: &[(SecretFile, PathBuf)],
) -> Result<(Root, Vec<u8>), Failure> {
    let seats = |plan: &Plan<'_>| Seats {
        keys: keys.iter().filter(|(key, _)| key.role() == plan.role).map(|(key, _)| *key.public()).collect(),
        threshold: plan.threshold,
    };
    let root = first_root(plans.each_ref().map(seats)).map_err(Failure::usage)?;
    let mut document = Document::of_root(&root).map_err(Failure::refused)?;
    for (key, _) in keys.iter().filter(|(key, _)| key.role() == KeyRole::Root) {
        document.sign(key, &[&root]).map_err(Failure::refused)?;
    }
    let bytes = document
        .to_bytes()
        .ok_or_else(|| Failure::refused("root.cbor would be too long; make fewer keys"))?;
    // What comes out is what a device will take.
    let root = Root::open(&bytes).map_err(Failure::refused)?;
    Ok((root, bytes))
}
