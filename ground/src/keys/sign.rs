//! `aegisctl keys sign` and `bundle sign`: one more signature.

use std::path::{Path, PathBuf};

use aegis_bundle::Root;
use aegis_keys::{Document, Kind, SecretFile};
use serde_json::{Value, json};

use super::{DOCUMENT_BYTES, PUBLIC};
use crate::outcome::{Failure, Outcome, Status};
use crate::passphrase::{PassphraseArgs, read_keys};
use crate::roots::MaybeRootArgs;
use crate::terminal::Terminal;
use crate::{describe, files, hex, output};

#[derive(clap::Args)]
pub(crate) struct SignArgs {
    /// Root metadata, bundle, image, workload or break-glass token
    file: PathBuf,
    /// Secret key to sign with; once per signer
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    root: MaybeRootArgs,
    #[command(flatten)]
    passphrases: PassphraseArgs,
    /// Sign without asking: for scripts
    #[arg(long)]
    yes: bool,
    /// Where to write it; replaced if it exists. Default: in place
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SignArgs) -> Outcome {
    sign_document(args, None)
}

/// Adds signatures; with `only`, to nothing else than that.
pub(crate) fn sign_document(args: &SignArgs, only: Option<Kind>) -> Outcome {
    let name = args.file.display();
    let refused = |why: &dyn std::fmt::Display| Failure::refused(format!("{name}: {why}"));
    if let Some(out) = &args.out {
        files::keep_inputs(out, args.keys.iter().chain(args.root.files()).map(PathBuf::as_path))?;
    }
    let bytes = files::read(&args.file, DOCUMENT_BYTES)?;
    let mut document = Document::read(&bytes).map_err(|why| refused(&why))?;
    if let Some(only) = only
        && document.kind() != only
    {
        let article = if only == Kind::Image { "an" } else { "a" };
        return Err(refused(&format!("not {article} {}; sign it with `keys sign`", only.name())));
    }
    let before = args.root.read()?;
    // Root metadata is let in by the keys of both versions: it brings one of them itself.
    let itself = match document.kind() {
        Kind::Root => Some(Root::unverified(&bytes).map_err(|why| refused(&why))?.0),
        Kind::Bundle | Kind::Token | Kind::Image | Kind::Workload => None,
    };
    let roots: Vec<&Root> = before.iter().chain(&itself).collect();
    // What a damaged signature would spoil is not signed.
    standings(&document, &roots)?;

    let text = describe::document(&document, &bytes, before.as_ref())?;
    if !args.yes {
        ask(&args.file, &text)?;
    } else if !args.json {
        output::text(&(text.join("\n") + "\n"))?;
    }
    let keys = read_keys(&args.keys, &args.passphrases)?;
    add_signatures(&mut document, &keys, &args.keys, &roots)?;
    let signed =
        document.to_bytes().ok_or_else(|| refused(&"with one more signature it would be too long"))?;
    let out = args.out.as_ref().unwrap_or(&args.file);
    files::write(out, &signed, PUBLIC, true)?;
    report(args, out, &document, &signed, &roots)
}

/// Adds the signature of each key, which `paths` names.
pub(crate) fn add_signatures(
    document: &mut Document,
    keys: &[SecretFile],
    paths: &[PathBuf],
    roots: &[&Root],
) -> Result<(), Failure> {
    for (key, path) in keys.iter().zip(paths) {
        document.sign(key, roots).map_err(|error| {
            let mend = match error {
                aegis_keys::SignError::Unlisted if document.kind() == Kind::Root && roots.len() == 1 => {
                    "; if the version before lists it, name that with --root"
                }
                _ => "",
            };
            Failure::refused(format!("{}: {error}{mend}", path.display()))
        })?;
    }
    Ok(())
}

/// How far each root's role is; one that a damaged signature claims refuses the whole.
fn standings(document: &Document, roots: &[&Root]) -> Result<Vec<(u64, aegis_keys::Standing)>, Failure> {
    let role = document.kind().role();
    let mut found = Vec::new();
    for root in roots {
        if let Some(of) = role.of(root) {
            let standing = document.standing(of).map_err(|error| {
                Failure::refused(format!(
                    "{error}, though it claims a key of the root; copy it again from who signed"
                ))
            })?;
            found.push((root.version, standing));
        }
    }
    Ok(found)
}

/// Shows on the terminal what is to be signed, and goes on at a yes only.
fn ask(file: &Path, text: &[String]) -> Result<(), Failure> {
    let name = aegis_event::Printable(file.as_os_str().as_encoded_bytes());
    let terminal = Terminal::open().ok_or_else(|| {
        Failure::usage(format!("{name}: no terminal to show it on and ask; give --yes to sign it unseen"))
    })?;
    terminal.say(&format!("{name}:\n  {}\n", text.join("\n  ")))?;
    if terminal.confirm("Sign this? Type yes: ")? {
        return Ok(());
    }
    Err(Failure::refused(format!("{name}: not signed")))
}

fn report(args: &SignArgs, out: &Path, document: &Document, bytes: &[u8], roots: &[&Root]) -> Outcome {
    let standings = standings(document, roots)?;
    let version = |number: u64| format!("root {number}");
    if args.json {
        let roots: serde_json::Map<String, Value> = standings
            .iter()
            .map(|(number, standing)| (number.to_string(), describe::standing_json(standing)))
            .collect();
        output::json(&json!({
            "file": out.display().to_string(),
            "kind": document.kind().name(),
            "fingerprint": hex::encode(&describe::signed_hash(document)),
            "sha256": hex::encode(&aegis_bundle::hash(bytes)),
            "signers": document.signers().map(|kid| hex::encode(&kid)).collect::<Vec<_>>(),
            "roots": roots,
        }))?;
        return Ok(Status::Good);
    }
    let by: Vec<String> = document.signers().map(|kid| hex::encode(&kid)).collect();
    let mut lines = vec![format!("{}: signed by {}", out.display(), by.join(", "))];
    lines.extend(
        standings
            .iter()
            .map(|(number, standing)| format!("{:<14} {}", version(*number), describe::standing(standing))),
    );
    output::text(&(lines.join("\n") + "\n"))?;
    Ok(Status::Good)
}
