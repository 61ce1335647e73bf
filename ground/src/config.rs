//! `aegisctl config`: the configuration of devices, at the office: the file to begin with, and whether a device would take one. By the
//! code that a device runs.

use std::path::PathBuf;

use aegis_config::limits::FILE_BYTES;
use clap::Subcommand;
use serde_json::json;

use crate::outcome::{Failure, Outcome, Status};
use crate::{files, output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Print the configuration to begin with: every key, explained, with its default
    #[command(after_help = "Example:\n  aegisctl config template > config.toml")]
    Template,
    /// Would a device take it? Exit 0 good, 1 refused, with every fault
    #[command(after_help = "Example:\n  aegisctl config check config.toml")]
    Check(CheckArgs),
}

#[derive(clap::Args)]
pub(crate) struct CheckArgs {
    /// The configuration, as it is to lie at /data/aegis/config.toml
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Template => output::text(&aegis_config::template()).map(|()| Status::Good),
        Command::Check(args) => check(&args),
    }
}

fn check(args: &CheckArgs) -> Result<Status, Failure> {
    // One byte more than a device reads: what is too long is told by the reader, as there.
    let bytes = files::read_front(&args.file, FILE_BYTES + 1)?;
    let found = aegis_config::read(&bytes);
    let file = args.file.display();
    let faults: Vec<_> = found.as_ref().err().into_iter().flatten().collect();
    if args.json {
        let faults: Vec<_> = faults
            .iter()
            .map(|fault| json!({ "line": fault.line, "code": fault.code.name(), "detail": fault.detail }))
            .collect();
        output::json(&json!({ "file": file.to_string(), "good": found.is_ok(), "faults": faults }))?;
    } else if found.is_ok() {
        output::text(&format!("{file}: good\n"))?;
    } else {
        for fault in faults {
            output::text(&format!("{file}: {fault}\n"))?;
        }
    }
    Ok(if found.is_ok() { Status::Good } else { Status::Refused })
}
