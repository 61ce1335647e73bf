//! `aegisctl keys check`: what is there, what is missing.

use std::path::{Path, PathBuf};

use aegis_age::limits::IDENTITIES;
use aegis_bundle::limits::BUNDLE_BYTES;
use aegis_bundle::{Container, Context, Root, Token, TrustState, open, open_token};
use aegis_keys::{Document, Kind, PublicKeyFile, SecretFile, is_identity_file, is_sealed, read_identities};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::DOCUMENT_BYTES;
use crate::outcome::{Failure, Outcome, Status};
use crate::passphrase::{PassphraseArgs, Passphrases};
use crate::roots::MaybeRootArgs;
use crate::{describe, files, hex, image, output, workload};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Root metadata (every version in turn), bundles, images, workloads, tokens, key files, .pub files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    root: MaybeRootArgs,
    #[command(flatten)]
    passphrases: PassphraseArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Enough of a file to tell whether it is encrypted, bytes.
const SEALED_FRONT: usize = 64;

/// What was found out about one file.
struct Finding {
    kind: &'static str,
    good: bool,
    code: &'static str,
    detail: String,
    /// More for people: who signed, who is missing.
    lines: Vec<String>,
    /// More for programs.
    more: Value,
}

impl Finding {
    fn new(kind: &'static str, good: bool, code: &'static str, detail: impl std::fmt::Display) -> Self {
        Self { kind, good, code, detail: detail.to_string(), lines: Vec::new(), more: json!({}) }
    }
}

pub(super) fn run(args: &Args) -> Outcome {
    let mut newest = args.root.read()?;
    let sealed = |file: &&PathBuf| files::read_front(file, SEALED_FRONT).is_ok_and(|front| is_sealed(&front));
    let passphrases = args.passphrases.of(args.files.iter().filter(sealed).count())?;
    let (mut all, mut opened) = (true, 0);
    let mut found = Vec::new();
    for file in &args.files {
        let finding = check(opened, file, &mut newest, &passphrases)?;
        opened += usize::from(sealed(&file));
        all &= finding.good;
        if args.json {
            let mut value = json!({
                "file": file.display().to_string(),
                "kind": finding.kind,
                "good": finding.good,
                "code": finding.code,
                "detail": finding.detail,
            });
            if let (Value::Object(value), Value::Object(more)) = (&mut value, finding.more) {
                value.extend(more);
            }
            found.push(value);
            continue;
        }
        let file = file.display();
        let mut lines = vec![if finding.good {
            format!("{file}: good: {}", finding.detail)
        } else {
            format!("{file}: NOT GOOD: {} ({})", finding.detail, finding.code)
        }];
        lines.extend(finding.lines);
        output::text(&(lines.join("\n  ") + "\n"))?;
    }
    if args.json {
        output::json(&json!({ "good": all, "files": found }))?;
    }
    Ok(if all { Status::Good } else { Status::Refused })
}

/// `newest` is the root so far; root metadata that follows it takes its place. `index` counts encrypted keys.
fn check(
    index: usize,
    file: &Path,
    newest: &mut Option<Root>,
    passphrases: &Passphrases,
) -> Result<Finding, Failure> {
    // Everything but an image and a workload is short, and may be a secret.
    let container = Container::of(&files::read_front(file, SEALED_FRONT)?);
    let bytes = if matches!(container, Some(Container::Image | Container::Workload)) {
        Zeroizing::new(files::read(file, DOCUMENT_BYTES)?)
    } else {
        files::read_secret(file, BUNDLE_BYTES)?
    };
    if PublicKeyFile::claims_to_be(&bytes) {
        return Ok(public(&bytes, newest.as_ref()));
    }
    if is_sealed(&bytes) || bytes.starts_with(b"-----BEGIN ") || is_identity_file(text(&bytes)) {
        let unlocked = passphrases.unlock(index, file, &bytes);
        if let Ok(plain) = &unlocked
            && is_identity_file(text(plain))
        {
            return Ok(office(text(plain), is_sealed(&bytes)));
        }
        return match unlocked.and_then(|plain| passphrases.open(index, file, &plain)) {
            Ok(key) => Ok(secret(&key, is_sealed(&bytes), newest.as_ref())),
            Err(failure) if failure.is_refusal() => {
                let why = failure.message();
                let name = format!("{}: ", aegis_event::Printable(file.as_os_str().as_encoded_bytes()));
                Ok(Finding::new("secret-key", false, "bad-key-file", why.strip_prefix(&name).unwrap_or(why)))
            }
            Err(failure) => Err(failure),
        };
    }
    let document = match Document::read(&bytes) {
        Ok(document) => document,
        Err(error) => return Ok(Finding::new("unknown", false, error.code(), error)),
    };
    match document.kind() {
        Kind::Root => Ok(root(&document, &bytes, newest)),
        kind => {
            let Some(root) = newest.as_ref() else {
                let what = kind.name();
                return Err(Failure::usage(format!(
                    "{}: a {what}; give the root metadata that devices trust with --root",
                    file.display()
                )));
            };
            Ok(signed(&document, &bytes, root))
        }
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// A key that opens exports, and signs nothing.
fn office(plain: &str, sealed: bool) -> Finding {
    let mut identities = Vec::with_capacity(IDENTITIES);
    if let Err(error) = read_identities(plain, &mut identities) {
        return Finding::new("office-key", false, "bad-key-file", error);
    }
    let recipients: Vec<String> = identities.iter().map(|key| key.recipient().to_string()).collect();
    let how = if sealed { "the passphrase opens it" } else { "NOT encrypted" };
    let detail = format!("office key for {}, {how}", recipients.join(", "));
    let mut finding = Finding::new("office-key", true, "good", detail);
    finding.more = json!({ "recipients": recipients, "encrypted": sealed });
    finding
}

fn public(bytes: &[u8], root: Option<&Root>) -> Finding {
    match PublicKeyFile::from_text(std::str::from_utf8(bytes).unwrap_or_default()) {
        Err(error) => Finding::new("public-key", false, "bad-key-file", error),
        Ok(public) => {
            let detail = format!("{} key {}, its proof is good", public.role(), hex::encode(&public.id()));
            let finding = Finding::new("public-key", true, "good", detail);
            listed(finding, public.role(), public.key(), root, false)
        }
    }
}

fn secret(key: &SecretFile, sealed: bool, root: Option<&Root>) -> Finding {
    let how = if sealed { "the passphrase opens it" } else { "NOT encrypted" };
    let detail = format!("{} key {}, {how}", key.role(), hex::encode(&key.id()));
    let mut finding =
        listed(Finding::new("secret-key", true, "good", detail), key.role(), key.public(), root, true);
    finding.more["encrypted"] = sealed.into();
    finding
}

/// What the root says of a key. One that is not in it yet is good, unless it `must` be: a secret key that signs nothing.
fn listed(
    mut finding: Finding,
    role: aegis_keys::KeyRole,
    key: &[u8; 32],
    root: Option<&Root>,
    must: bool,
) -> Finding {
    finding.more = describe::key_json(key);
    finding.more["role"] = role.name().into();
    let Some(root) = root else { return finding };
    let does = if root.revokes(key) {
        (finding.good, finding.code) = (false, "revoked-key");
        "REVOKES"
    } else if role.of(root).is_some_and(|role| role.keys.contains(key)) {
        "lists"
    } else if must {
        (finding.good, finding.code) = (false, "unlisted");
        "does not list"
    } else {
        "does not list"
    };
    finding.detail = format!("{}; root version {} {does} it", finding.detail, root.version);
    finding
}

fn root(document: &Document, bytes: &[u8], newest: &mut Option<Root>) -> Finding {
    let (itself, _) = match Root::unverified(bytes) {
        Ok(read) => read,
        Err(error) => return Finding::new("root", false, error.code(), error),
    };
    let before = newest.take();
    let opened = match &before {
        // The one that --root named already.
        Some(before) if *before == itself => Root::open(bytes),
        Some(before) => before.next(bytes),
        None => Root::open(bytes),
    };
    let version = itself.version;
    let mut finding = match (&opened, &before) {
        (Ok(_), Some(before)) if before.version != version => Finding::new(
            "root",
            true,
            "good",
            format!("version {version} follows version {}", before.version),
        ),
        (Ok(_), _) => {
            Finding::new("root", true, "good", format!("version {version}, signed by enough of its own keys"))
        }
        (Err(error), _) => Finding::new("root", false, error.code(), format!("version {version}: {error}")),
    };
    let roots = before.iter().filter(|before| before.version != version).chain([&itself]);
    standings(&mut finding, document, roots);
    finding.more["version"] = version.into();
    // What follows is held against the newest that is good.
    *newest = opened.ok().or(before);
    finding
}

fn signed(document: &Document, bytes: &[u8], root: &Root) -> Finding {
    let kind = document.kind().name();
    let mut finding = match document.kind() {
        Kind::Token => match Token::unverified(bytes) {
            Err(error) => Finding::new(kind, false, error.code(), error),
            // Whether it is for this device and boot, only the device can tell.
            Ok((token, _)) => match open_token(bytes, root, &token.device, &[token.bound], 0) {
                Ok(token) => {
                    let device = hex::encode(&token.device);
                    let detail = format!("sequence {} for device {device}, signed by enough", token.sequence);
                    Finding::new(kind, true, "good", detail)
                }
                Err(error) => Finding::new(kind, false, error.code(), error),
            },
        },
        Kind::Image => match image::examine(bytes, &image::office(root)) {
            Ok(accepted) => {
                let (epoch, sequence) = accepted.manifest.rank();
                Finding::new(
                    kind,
                    true,
                    "good",
                    format!("epoch {epoch}, sequence {sequence}, signed by enough"),
                )
            }
            Err(refusal) => Finding::new(kind, false, refusal.code(), refusal),
        },
        Kind::Workload => match workload::examine(bytes, &workload::office(root), None) {
            Ok((opened, _)) => {
                let (name, (epoch, sequence)) = (opened.manifest.name, opened.manifest.rank());
                let detail = format!("workload {name}, epoch {epoch}, sequence {sequence}, signed by enough");
                Finding::new(kind, true, "good", detail)
            }
            Err(refusal) => Finding::new(kind, false, refusal.code(), refusal),
        },
        Kind::Root | Kind::Bundle => {
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
            match open(bytes, &context) {
                Ok(accepted) => {
                    let manifest = &accepted.bundle.manifest;
                    let (epoch, sequence) = (manifest.epoch, manifest.sequence);
                    let policy = accepted.bundle.policy.name();
                    let detail =
                        format!("policy {policy}, epoch {epoch}, sequence {sequence}, signed by enough");
                    Finding::new(kind, true, "good", detail)
                }
                Err(refusal) => Finding::new(kind, false, refusal.code(), refusal),
            }
        }
    };
    standings(&mut finding, document, [root].into_iter());
    finding
}

/// Who signed and who is missing, of the role in each of these roots.
fn standings<'r>(finding: &mut Finding, document: &Document, roots: impl Iterator<Item = &'r Root>) {
    let role = document.kind().role();
    let mut by_root = serde_json::Map::new();
    for root in roots {
        let name = format!("root {}", root.version);
        let Some(of) = role.of(root) else { continue };
        match document.standing(of) {
            Ok(standing) => {
                finding.lines.push(format!("{name:<14} {}", describe::standing(&standing)));
                by_root.insert(root.version.to_string(), describe::standing_json(&standing));
            }
            Err(error) => finding.lines.push(format!("{name:<14} {error}")),
        }
    }
    finding.lines.push(format!("fingerprint    {}", hex::grouped(&describe::signed_hash(document))));
    finding.more["roots"] = by_root.into();
    finding.more["fingerprint"] = hex::encode(&describe::signed_hash(document)).into();
}
