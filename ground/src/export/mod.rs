//! `aegisctl export`: what came back on a stick, verified and shown. The room for everything that reads exports.

mod accesses;
mod books;
mod check;
mod clock;
mod convert;
mod evidence;
mod examine;
mod limits;
mod line;
mod page;
mod problem;
mod progress;
mod query;
mod ranges;
mod report;
mod show;
mod source;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use aegis_age::Identity;
use aegis_cose::public_key;
use clap::{Args, Subcommand, ValueEnum};

pub(crate) use accesses::{Access, EventArgs, Exports, Extent, What, read as read_accesses};
pub(crate) use examine::{Examined, examine};

use crate::identity::IdentityArgs;
use crate::outcome::{Failure, Outcome, Status};
use crate::{files, hex, output};

/// Arguments of `aegisctl export`.
#[derive(Args)]
pub(crate) struct ExportArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check signatures, chain, continuity and books; say what is missing and why
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Show the events of an export that verifies
    #[command(after_help = SHOW_EXAMPLES)]
    Show(ShowArgs),
    /// Turn exports that verify into JSON Lines, OCSF, Parquet, SQLite or PostgreSQL
    #[command(after_help = convert::EXAMPLES)]
    Convert(convert::ConvertArgs),
    /// Draw exports that verify as one page: timeline, denials, losses, gaps
    #[command(after_help = page::EXAMPLES)]
    Report(page::ReportArgs),
    /// Find events of exports that verify
    #[command(after_help = query::EXAMPLES)]
    Query(query::QueryArgs),
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  aegisctl export verify export.cbor
  aegisctl export verify --receipt receipt.cbor monday.cbor tuesday.cbor
  aegisctl export verify --json --device-key d75a…511a export.cbor
  aegisctl export verify --identity office.key export.cbor.age

Files may be of many devices and in any order. Exit codes: 0 whole, 1 not whole or not an export, 2 wrong use.";

const SHOW_EXAMPLES: &str = "\
Examples:
  aegisctl export show export.cbor
  aegisctl export show export.cbor --format json | jq 'select(.verdict == \"denied\")'";

/// Whose exports these are, and what opens them.
#[derive(Args)]
struct KeyArgs {
    /// Public key of a device that the exports may be from, 64 hex digits; may be given more than once
    #[arg(long, value_name = "HEX")]
    device_key: Vec<String>,
    /// A receipt of that device, to take its key from; may be given more than once
    #[arg(long, value_name = "FILE")]
    receipt: Vec<PathBuf>,
    #[command(flatten)]
    identities: IdentityArgs,
}

/// The keys that a person brings: whom to believe, and what to open encrypted exports with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    /// Public keys of devices.
    pinned: Vec<[u8; 32]>,
    identities: Rc<Vec<Identity>>,
}

impl Keys {
    pub(crate) fn new(pinned: &[[u8; 32]], identities: Vec<Identity>) -> Self {
        Self { pinned: pinned.to_vec(), identities: Rc::new(identities) }
    }

    /// Others to believe, with the same to open.
    pub(crate) fn pinning(&self, pinned: &[[u8; 32]]) -> Self {
        Self { pinned: pinned.to_vec(), identities: Rc::clone(&self.identities) }
    }
}

impl KeyArgs {
    fn read(&self) -> Result<Keys, Failure> {
        Ok(Keys { pinned: pinned_keys(self)?, identities: Rc::new(self.identities.read()?) })
    }
}

#[derive(Args)]
struct VerifyArgs {
    /// The exports
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    /// One JSON report; the same as --report json
    #[arg(long)]
    json: bool,
    /// For whom the report is
    #[arg(long, value_enum, default_value_t = Format::Text)]
    report: Format,
}

#[derive(Args)]
struct ShowArgs {
    /// The export
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
    /// One JSON object a line, or one line of text an event
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Show what does not verify too, labelled; the exit code stays 1
    #[arg(long)]
    unverified: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Runs `aegisctl export`.
pub(crate) fn run(args: ExportArgs) -> Outcome {
    match args.command {
        Command::Verify(args) => verify(&args),
        Command::Show(args) => show::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Report(args) => page::run(&args),
        Command::Query(args) => query::run(&args),
    }
}

fn verify(args: &VerifyArgs) -> Outcome {
    bounded(&args.files)?;
    let report = check::verify(&args.files, &args.keys.read()?)?;
    if args.json || args.report == Format::Json {
        output::json(&report::json(&report))?;
    } else {
        output::text(&report::person(&report))?;
    }
    Ok(if report.whole() { Status::Good } else { Status::Refused })
}

/// Refuses more files than one report can hold.
fn bounded(files: &[PathBuf]) -> Result<(), Failure> {
    match files.len() {
        count if count > limits::FILES => {
            Err(Failure::usage(format!("{count} files; at most {} at once", limits::FILES)))
        }
        _ => Ok(()),
    }
}

/// The device keys given, each a usable one.
fn pinned_keys(args: &KeyArgs) -> Result<Vec<[u8; 32]>, Failure> {
    let mut keys = Vec::new();
    for text in &args.device_key {
        let key: [u8; 32] = hex::array(text).map_err(|why| Failure::usage(format!("--device-key: {why}")))?;
        public_key(&key).map_err(|why| Failure::usage(format!("--device-key: {why}")))?;
        keys.push(key);
    }
    for path in &args.receipt {
        keys.push(receipt_key(path)?);
    }
    Ok(keys)
}

/// The device's key as a receipt of it has it. Which receipts to believe is the caller's choice.
fn receipt_key(path: &Path) -> Result<[u8; 32], Failure> {
    let bytes = files::read(path, aegis_bundle::limits::RECEIPT_BYTES)?;
    let receipt = aegis_bundle::open_receipt(&bytes).map_err(|why| {
        Failure::refused(format!(
            "{}: {why} ({}); name a receipt-*.cbor of a stick",
            path.display(),
            why.code()
        ))
    })?;
    Ok(receipt.public_key)
}
