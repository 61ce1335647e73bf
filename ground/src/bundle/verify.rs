//! `aegisctl bundle verify`: the decision of a device, by the code of a device.

use std::path::PathBuf;

use aegis_bundle::limits::{BUNDLE_BYTES, STATE_BYTES};
use aegis_bundle::{Context, TrustState, Version, open};
use serde_json::json;

use super::{ARCHITECTURES, device, time, version};
use crate::outcome::{Failure, Outcome, Status};
use crate::{files, keys, output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Bundle
    file: PathBuf,
    /// Root metadata that the device trusts
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// A copy of the device's trust state (/data/aegis/trust.a). Default: a new device
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The device's id, 32 hex digits. Default: any device
    #[arg(long, value_name = "ID", value_parser = device)]
    device: Option<[u8; 16]>,
    /// The device's architecture. Default: any
    #[arg(long, value_name = "ARCH", value_parser = ARCHITECTURES)]
    arch: Option<String>,
    /// The agent's version. Default: any
    #[arg(long, value_name = "VERSION", value_parser = version)]
    agent: Option<Version>,
    /// One JSON object: accepted, code, detail
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let root = keys::read_root(&args.root).map_err(Failure::into_usage)?;
    let state = match &args.state {
        None => TrustState::default(),
        Some(file) => {
            let bytes = files::read_front(file, STATE_BYTES + 1)?;
            TrustState::decode(&bytes).ok_or_else(|| {
                Failure::usage(format!("{}: not a good copy of a device's trust state", file.display()))
            })?
        }
    };
    // One byte more than may be: the device's code is to say that it is too large.
    let bytes = files::read_front(&args.file, BUNDLE_BYTES + 1)?;
    let context = Context {
        root: &root,
        device: args.device,
        architecture: args.arch.as_deref(),
        agent: args.agent,
        state,
    };
    let (accepted, code, detail) = match open(&bytes, &context) {
        Ok(accepted) => {
            let stale = if accepted.is_stale(time::now()) { ", stale" } else { "" };
            let detail = format!(
                "policy {}, mode {}, epoch {}, sequence {}{stale}",
                accepted.policy.name(),
                accepted.policy.mode().name(),
                accepted.manifest.epoch,
                accepted.manifest.sequence,
            );
            (true, accepted.code(), detail)
        }
        Err(refusal) => (false, refusal.code(), refusal.to_string()),
    };
    if args.json {
        output::json(&json!({ "accepted": accepted, "code": code, "detail": detail }))?;
    } else {
        output::text(&format!("{}: {code}: {detail}\n", args.file.display()))?;
    }
    Ok(if accepted { Status::Good } else { Status::Refused })
}
