//! `aegisctl stick prepare`: what devices are to find.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use aegis_bundle::limits::{BUNDLE_BYTES, IMAGE_BYTES, ROOT_BYTES, ROOT_STEPS, TOKEN_BYTES, WORKLOAD_BYTES};
use aegis_bundle::{Context, Refusal, Root, Token, TrustState, hash, open, open_token};
use aegis_event::Printable;
use serde_json::json;

use super::image::Image;
use super::{
    BUNDLE_SUFFIX, DIRECTORY, LABEL, OUT, ROOTS, SYSTEM_SUFFIX, TOKENS, WORKLOAD_SUFFIX, is_plain_name,
    label, limits,
};
use crate::outcome::{Failure, Outcome, Status};
use crate::{files, hex, image, output, workload};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to: the directory of a mounted stick, or a new image (NAME.img)
    #[arg(long, value_name = "DIR|IMAGE")]
    to: PathBuf,
    /// Bundle; may be given more than once
    #[arg(long, value_name = "FILE")]
    bundle: Vec<PathBuf>,
    /// Image of the system; may be given more than once
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
    /// Workload; may be given more than once
    #[arg(long, value_name = "FILE")]
    workload: Vec<PathBuf>,
    /// Root metadata; once per version
    #[arg(long, value_name = "FILE")]
    root: Vec<PathBuf>,
    /// Break-glass token; once per device
    #[arg(long, value_name = "FILE")]
    token: Vec<PathBuf>,
    /// Size of a new image, MiB
    #[arg(long, value_name = "N", default_value_t = limits::IMAGE_MIB,
        value_parser = clap::value_parser!(u32).range(limits::IMAGE_MIB_LEAST..=limits::IMAGE_MIB_MOST))]
    size: u32,
    /// Put it there although it does not verify or the label is another: devices judge for themselves
    #[arg(long)]
    force: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// One file of the stick.
struct Item {
    /// Below the stick's directory.
    path: String,
    bytes: Vec<u8>,
    /// For people.
    what: String,
    /// The file of another stick must not be written over.
    keep: bool,
}

/// What goes on the stick, and what is wrong with it.
#[derive(Default)]
struct Load {
    items: Vec<Item>,
    problems: Vec<String>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let all = [&args.bundle, &args.image, &args.workload, &args.root, &args.token];
    if all.iter().all(|files| files.is_empty()) {
        let message = "nothing to put there; give --bundle, --image, --workload, --root or --token";
        return Err(Failure::usage(message));
    }
    let mut load = Load::default();
    let root = load.roots(&args.root)?;
    load.bundles(&args.bundle, root.as_ref())?;
    let image = |bytes: &[u8], root: &Root| {
        image::examine(bytes, &image::office(root)).map(|accepted| {
            let (epoch, sequence) = accepted.manifest.rank();
            format!("image of the system, epoch {epoch}, sequence {sequence}")
        })
    };
    load.large(&args.image, root.as_ref(), SYSTEM_SUFFIX, IMAGE_BYTES, "image of the system", image)?;
    let workload = |bytes: &[u8], root: &Root| {
        workload::examine(bytes, &workload::office(root), None)
            .map(|(opened, _)| workload::what(&opened.manifest))
    };
    load.large(&args.workload, root.as_ref(), WORKLOAD_SUFFIX, WORKLOAD_BYTES, "workload", workload)?;
    load.tokens(&args.token, root.as_ref())?;
    let mut taken = BTreeMap::new();
    for item in &load.items {
        // vfat does not tell upper from lower case.
        if let Some(other) = taken.insert(item.path.to_lowercase(), &item.what) {
            return Err(Failure::usage(format!(
                "{}: both for {other} and for {}; rename one",
                item.path, item.what
            )));
        }
    }
    let target = Target::of(&args.to, &mut load)?;
    match (load.problems.first(), args.force) {
        (Some(problem), false) => {
            let more = match load.problems.len() {
                1 => String::new(),
                all => format!("; and {} more like it", all - 1),
            };
            return Err(Failure::refused(format!("{problem}{more} (--force puts it there all the same)")));
        }
        _ => {
            for problem in &load.problems {
                let _ = writeln!(std::io::stderr(), "aegisctl: WARNING: {}", Printable(problem.as_bytes()));
            }
        }
    }
    target.write(&load.items, args.size)?;
    report(args, &load, &target)
}

fn report(args: &Args, load: &Load, target: &Target<'_>) -> Outcome {
    if args.json {
        let item = |item: &Item| {
            json!({
                "path": format!("{DIRECTORY}/{}", item.path),
                "what": item.what,
                "bytes": item.bytes.len(),
                "sha256": hex::encode(&hash(&item.bytes)),
            })
        };
        output::json(&json!({
            "to": args.to.display().to_string(),
            "label": target.label(),
            "verified": load.problems.is_empty(),
            "problems": load.problems,
            "files": load.items.iter().map(item).collect::<Vec<_>>(),
        }))?;
        return Ok(Status::Good);
    }
    let mut lines = Vec::new();
    for item in &load.items {
        lines.push(format!("{:<48} {}", format!("{DIRECTORY}/{}", item.path), item.what));
    }
    lines.push(match target.label() {
        Some(label) => format!("{}: labelled {}", args.to.display(), Printable(label.as_bytes())),
        None => format!(
            "{}: its label could not be read; devices only look at a stick labelled AEGIS",
            args.to.display()
        ),
    });
    output::text(&(lines.join("\n") + "\n"))?;
    Ok(Status::Good)
}

impl Load {
    /// Every version, each vouched for by the one before; returns the newest.
    fn roots(&mut self, files: &[PathBuf]) -> Result<Option<Root>, Failure> {
        let mut read = Vec::new();
        for file in files {
            let bytes = files::read(file, ROOT_BYTES)?;
            let (root, _) = Root::unverified(&bytes).map_err(|error| {
                Failure::refused(format!(
                    "{}: {error} ({}); name root metadata",
                    file.display(),
                    error.code()
                ))
            })?;
            read.push((root, bytes, file));
        }
        read.sort_by_key(|(root, ..)| root.version);
        if read.len() > ROOT_STEPS {
            self.problems.push(format!(
                "{} versions of the root: devices take {ROOT_STEPS} from one stick",
                read.len()
            ));
        }
        let mut newest: Option<Root> = None;
        for (itself, bytes, file) in read {
            let opened = match &newest {
                None => Root::open(&bytes),
                Some(before) => before.next(&bytes),
            };
            let version = itself.version;
            if let Err(error) = opened {
                let before =
                    newest.as_ref().map_or(String::new(), |root| format!(" after version {}", root.version));
                let mend = "give every version in turn, signed by enough keys (keys check)";
                let name = file.display();
                self.problems
                    .push(format!("{name}: version {version}{before}: {error} ({}); {mend}", error.code()));
            }
            self.items.push(Item {
                path: format!("{ROOTS}/{version}.cbor"),
                bytes,
                what: format!("root version {version}, epoch {}", itself.epoch),
                keep: true,
            });
            newest = Some(itself);
        }
        Ok(newest)
    }

    fn bundles(&mut self, files: &[PathBuf], root: Option<&Root>) -> Result<(), Failure> {
        let mut orders: BTreeMap<(u64, u64), [u8; 32]> = BTreeMap::new();
        for file in files {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !is_plain_name(name) || !name.ends_with(BUNDLE_SUFFIX) {
                return Err(Failure::usage(format!(
                    "{}: devices look for NAME{BUNDLE_SUFFIX} of letters, digits, '.', '_', '-'; rename it",
                    file.display()
                )));
            }
            let bytes = files::read(file, BUNDLE_BYTES)?;
            let what = match judge_bundle(&bytes, root) {
                Ok(Judged { what, order, manifest }) => {
                    if orders.insert(order, manifest).is_some_and(|other| other != manifest) {
                        let (epoch, sequence) = order;
                        self.problems.push(format!(
                            "{name}: another bundle here has epoch {epoch}, sequence {sequence}, too; build it with a higher sequence"
                        ));
                    }
                    what
                }
                Err(why) => {
                    self.problems.push(format!("{}: {why}", file.display()));
                    "bundle that does NOT verify".to_owned()
                }
            };
            self.items.push(Item { path: name.to_owned(), bytes, what, keep: false });
        }
        Ok(())
    }

    /// Images of the system, or workloads: `judge` says what one is, as a new device that trusts this root would take it.
    fn large(
        &mut self,
        files: &[PathBuf],
        root: Option<&Root>,
        suffix: &str,
        most: u64,
        kind: &str,
        judge: impl Fn(&[u8], &Root) -> Result<String, Refusal>,
    ) -> Result<(), Failure> {
        for file in files {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !is_plain_name(name) || !name.ends_with(suffix) {
                return Err(Failure::usage(format!(
                    "{}: devices look for NAME{suffix} of letters, digits, '.', '_', '-'; rename it",
                    file.display()
                )));
            }
            let bytes = files::read(file, most as usize)?;
            let judged = match root {
                None => Err("no root to hold it against; give --root".to_owned()),
                Some(root) => {
                    judge(&bytes, root).map_err(|refusal| format!("{refusal} ({})", refusal.code()))
                }
            };
            let what = match judged {
                Ok(what) => what,
                Err(why) => {
                    self.problems.push(format!("{}: {why}", file.display()));
                    format!("{kind} that does NOT verify")
                }
            };
            self.items.push(Item { path: name.to_owned(), bytes, what, keep: false });
        }
        Ok(())
    }

    fn tokens(&mut self, files: &[PathBuf], root: Option<&Root>) -> Result<(), Failure> {
        for file in files {
            let bytes = files::read(file, TOKEN_BYTES)?;
            let refused = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
            let (token, _) = Token::unverified(&bytes)
                .map_err(|error| Failure::refused(refused(&format!("{error} ({})", error.code()))))?;
            let device = hex::encode(&token.device);
            let what = format!("token {} for device {device}", token.sequence);
            match root {
                None => self.problems.push(refused(&"no root to hold it against; give --root")),
                Some(root) => {
                    if let Err(error) = open_token(&bytes, root, &token.device, &[token.bound], 0) {
                        self.problems.push(refused(&format!("{error} ({})", error.code())));
                    }
                }
            }
            self.items.push(Item { path: format!("{TOKENS}/{device}.cbor"), bytes, what, keep: false });
        }
        Ok(())
    }
}

/// A bundle that a new device would take.
struct Judged {
    what: String,
    /// Epoch and sequence.
    order: (u64, u64),
    manifest: [u8; 32],
}

/// Decides as a new device that trusts this root would; or says why it would not take it.
fn judge_bundle(bytes: &[u8], root: Option<&Root>) -> Result<Judged, String> {
    let root = root.ok_or_else(|| "no root to hold it against; give --root".to_owned())?;
    let context = Context {
        root,
        device: None,
        architecture: None,
        agent: None,
        groups: None,
        kernel: None,
        state: TrustState::default(),
        insist: false,
    };
    let accepted = open(bytes, &context).map_err(|refusal| format!("{refusal} ({})", refusal.code()))?;
    let manifest = &accepted.bundle.manifest;
    let what = format!(
        "policy {}, mode {}, epoch {}, sequence {}",
        accepted.bundle.policy.name(),
        accepted.bundle.policy.mode().name(),
        manifest.epoch,
        manifest.sequence
    );
    let order = (manifest.epoch, manifest.sequence);
    Ok(Judged { what, order, manifest: accepted.bundle.manifest_hash })
}

/// Where it goes.
enum Target<'a> {
    Directory { mount: &'a Path, label: Option<Vec<u8>> },
    Image(&'a Path),
}

impl<'a> Target<'a> {
    fn of(to: &'a Path, load: &mut Load) -> Result<Self, Failure> {
        let name = to.display();
        let there = to.metadata().ok();
        if there.as_ref().is_some_and(std::fs::Metadata::is_dir) {
            let label = label::of_directory(to);
            if let Some(other) = label.as_ref().filter(|label| label.as_slice() != LABEL) {
                load.problems.push(format!(
                    "{name}: labelled {}; devices look for AEGIS (fatlabel DEVICE AEGIS)",
                    Printable(other)
                ));
            }
            check_directory(to, load)?;
            return Ok(Self::Directory { mount: to, label });
        }
        if to.symlink_metadata().is_ok() {
            let what = match there {
                Some(there) if there.is_file() => "exists; an image is never written over",
                Some(_) => "a device, pipe or socket; mount the stick and name its directory",
                None => "a link that leads nowhere; name a directory or a new image",
            };
            return Err(Failure::usage(format!("{name}: {what}")));
        }
        if to.extension().is_some_and(|extension| extension == "img") {
            return Ok(Self::Image(to));
        }
        Err(Failure::usage(format!(
            "{name}: no such directory; mount the stick there, or name a new image NAME.img"
        )))
    }

    fn label(&self) -> Option<String> {
        match self {
            Self::Directory { label, .. } => {
                label.as_deref().map(|label| String::from_utf8_lossy(label).into_owned())
            }
            Self::Image(_) => Some(String::from_utf8_lossy(LABEL).into_owned()),
        }
    }

    fn write(&self, items: &[Item], mebibytes: u32) -> Result<(), Failure> {
        let folders = [ROOTS, TOKENS, OUT];
        match self {
            Self::Directory { mount, .. } => {
                let top = mount.join(DIRECTORY);
                for directory in [top.clone()].into_iter().chain(folders.map(|name| top.join(name))) {
                    files::make_directory(&directory, 0o755)?;
                }
                // Roots come first: a stick that is pulled too early lacks what is new, not what it rests on.
                for item in items {
                    files::write(&top.join(&item.path), &item.bytes, 0o644, true)?;
                }
                Ok(())
            }
            Self::Image(path) => {
                let mut draft = files::Draft::begin(path, 0o644)?;
                draft.set_length(u64::from(mebibytes) << 20)?;
                let directories: Vec<String> = [DIRECTORY.to_owned()]
                    .into_iter()
                    .chain(folders.map(|name| format!("{DIRECTORY}/{name}")))
                    .collect();
                let files: Vec<(String, &[u8])> = items
                    .iter()
                    .map(|item| (format!("{DIRECTORY}/{}", item.path), item.bytes.as_slice()))
                    .collect();
                Image::make(draft.path(), &String::from_utf8_lossy(LABEL), &directories, &files)?;
                draft.rename((*path).to_owned());
                draft.publish(false)
            }
        }
    }
}

/// What is on the stick already: not more than devices look at, no links, and no other root of the same version.
fn check_directory(mount: &Path, load: &mut Load) -> Result<(), Failure> {
    let top = mount.join(DIRECTORY);
    for directory in [top.clone(), top.join(ROOTS), top.join(TOKENS), top.join(OUT)] {
        match directory.symlink_metadata() {
            Ok(there) if !there.is_dir() => {
                let name = directory.display();
                return Err(Failure::refused(format!("{name}: not a directory; remove it from the stick")));
            }
            _ => {}
        }
    }
    for item in load.items.iter().filter(|item| item.keep) {
        let path = top.join(&item.path);
        if path.symlink_metadata().is_ok()
            && files::read_front(&path, ROOT_BYTES + 1).ok().as_ref() != Some(&item.bytes)
        {
            return Err(Failure::refused(format!(
                "{}: the stick has another root of this version: that of another site? Take another stick, or remove it",
                path.display()
            )));
        }
    }
    let names: Vec<_> = std::fs::read_dir(&top)
        .map(|entries| {
            entries.take(4 * limits::ENTRIES).filter_map(|entry| Some(entry.ok()?.file_name())).collect()
        })
        .unwrap_or_default();
    let new = load
        .items
        .iter()
        .filter(|item| !item.path.contains('/') && !names.iter().any(|name| *name == *item.path));
    let folders = [ROOTS, TOKENS, OUT].iter().filter(|folder| !names.iter().any(|name| name == **folder));
    let all = names.len() + new.count() + folders.count();
    if all > limits::ENTRIES {
        load.problems.push(format!(
            "{}: {all} entries, and devices look at {}; remove old bundles",
            top.display(),
            limits::ENTRIES
        ));
    }
    Ok(())
}
