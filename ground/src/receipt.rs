//! `aegisctl receipt`: what a device answered.

use std::path::{Path, PathBuf};

use aegis_bundle::limits::RECEIPT_BYTES;
use aegis_bundle::open_receipt;
use clap::Subcommand;
use serde_json::json;

use crate::outcome::{Failure, Outcome, Status};
use crate::{files, hex, output};

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
    let device = hex::encode(&receipt.device());
    let hash = |hash: Option<[u8; 32]>| hash.map(|hash| hex::encode(&hash));
    let boot_id = hex::encode(&receipt.boot_id);
    if as_json {
        output::json(&json!({
            "device": device,
            "public_key": hex::encode(&receipt.public_key),
            "seen": hash(receipt.seen),
            "answer": receipt.answer.name(),
            "code": receipt.code,
            "epoch": receipt.epoch,
            "sequence": receipt.sequence,
            "mode": receipt.mode.name(),
            "ring_head": hash(receipt.ring_head),
            "boot_id": boot_id,
            "boot_time": receipt.boot_time,
            "clock": receipt.clock,
            "clock_trusted": receipt.clock_trusted,
        }))?;
        return Ok(Status::Good);
    }
    let or = |value: Option<String>, none: &str| value.unwrap_or_else(|| none.to_owned());
    let code = if receipt.code.is_empty() { String::new() } else { format!(" ({})", receipt.code) };
    let trust = if receipt.clock_trusted { "trusted" } else { "not trusted" };
    output::text(&format!(
        "device     {device} (signature good; public key {})\n\
         seen       {}\n\
         answer     {}{code}\n\
         in force   epoch {}, sequence {}, mode {}\n\
         ring head  {}\n\
         boot       {boot_id}, {} s up\n\
         clock      {} Unix seconds, {trust}\n",
        hex::encode(&receipt.public_key),
        or(hash(receipt.seen), "no bundle"),
        receipt.answer.name(),
        receipt.epoch,
        receipt.sequence,
        receipt.mode.name(),
        or(hash(receipt.ring_head), "not known"),
        receipt.boot_time / 1_000_000_000,
        receipt.clock,
    ))?;
    Ok(Status::Good)
}
