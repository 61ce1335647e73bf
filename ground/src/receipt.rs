//! `aegisctl receipt`: what a device answered.

use std::path::{Path, PathBuf};

use aegis_bundle::limits::RECEIPT_BYTES;
use aegis_bundle::{Receipt, What, open_receipt};
use aegis_event::Printable;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::outcome::{Failure, Outcome, Status};
use crate::{files, hex, output, time};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Check a receipt's signature and show what it says
    #[command(after_help = "Example:\n  aegisctl receipt show stick/aegis/out/receipt.cbor --json")]
    Show {
        /// Receipt
        file: PathBuf,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(command: Command) -> Outcome {
    let Command::Show { file, json } = command;
    show(&file, json)
}

fn show(file: &Path, as_json: bool) -> Outcome {
    let bytes = files::read(file, RECEIPT_BYTES)?;
    let receipt = open_receipt(&bytes).map_err(|error| {
        Failure::refused(format!("{}: {error}; name a receipt-*.cbor of a stick", file.display()))
    })?;
    if as_json {
        output::json(&to_json(&receipt))?;
    } else {
        output::text(&to_text(&receipt))?;
    }
    Ok(Status::Good)
}

/// A receipt for programs.
pub(crate) fn to_json(receipt: &Receipt<'_>) -> Value {
    let hash = |hash: Option<[u8; 32]>| hash.map(|hash| hex::encode(&hash));
    json!({
        "device": hex::encode(&receipt.device()),
        "public_key": hex::encode(&receipt.public_key),
        "what": receipt.what.name(),
        "seen": hash(receipt.seen),
        "answer": receipt.answer.name(),
        "code": receipt.code,
        "epoch": receipt.epoch,
        "sequence": receipt.sequence,
        "root_version": receipt.root_version,
        "mode": receipt.mode.name(),
        "ring_head": hash(receipt.ring_head),
        "boot_id": hex::encode(&receipt.boot_id),
        "boot_time": receipt.boot_time,
        "clock": receipt.clock,
        "clock_trusted": receipt.clock_trusted,
    })
}

fn to_text(receipt: &Receipt<'_>) -> String {
    let hash = |hash: Option<[u8; 32]>, none: &str| hash.map_or(none.to_owned(), |hash| hex::encode(&hash));
    // A device signed it; that is no reason to let it drive a terminal.
    let code = Printable(receipt.code.as_bytes());
    let code = if receipt.code.is_empty() { String::new() } else { format!(" ({code})") };
    let offered = match receipt.what {
        What::Nothing => "nothing".to_owned(),
        what => format!("{}, sha256 {}", what.name(), hash(receipt.seen, "not read")),
    };
    format!(
        "device     {} (signature good; public key {})\n\
         offered    {offered}\n\
         answer     {}{code}\n\
         in force   epoch {}, sequence {}, root version {}, mode {}\n\
         ring head  {}\n\
         boot       {}, up {}\n\
         clock      {}\n",
        hex::encode(&receipt.device()),
        hex::encode(&receipt.public_key),
        receipt.answer.name(),
        receipt.epoch,
        receipt.sequence,
        receipt.root_version,
        receipt.mode.name(),
        hash(receipt.ring_head, "not known"),
        hex::encode(&receipt.boot_id),
        time::span(receipt.boot_time / 1_000_000_000),
        when(receipt),
    )
}

/// When it was written, and whether to believe that.
pub(crate) fn when(receipt: &Receipt<'_>) -> String {
    let trust = if receipt.clock_trusted { "" } else { " (clock not trusted)" };
    format!("{}{trust}", time::show(receipt.clock))
}
