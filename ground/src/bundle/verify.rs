//! `aegisctl bundle verify`: the decision of a device, by the code of a device.

use std::path::PathBuf;

use aegis_bundle::limits::{BUNDLE_BYTES, STATE_BYTES};
use aegis_bundle::{Context, TrustState, Version, open};
use serde_json::json;

use super::{ARCHITECTURES, device, group, kernel, version};
use crate::outcome::{Failure, Outcome, Status};
use crate::roots::RootArgs;
use crate::{files, output, time};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Bundle
    file: PathBuf,
    #[command(flatten)]
    root: RootArgs,
    /// A copy of the device's trust state (/data/aegis/trust.a). Default: a new device
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The device's id, 32 hex digits. Default: any device
    #[arg(long, value_name = "ID", value_parser = device)]
    device: Option<[u8; 16]>,
    /// A group that the device is in; once per group. Default: any
    #[arg(long = "group", value_name = "NAME", value_parser = group)]
    groups: Vec<String>,
    /// The device's architecture. Default: any
    #[arg(long, value_name = "ARCH", value_parser = ARCHITECTURES)]
    arch: Option<String>,
    /// The agent's version. Default: any
    #[arg(long, value_name = "VERSION", value_parser = version)]
    agent: Option<Version>,
    /// The device's kernel: a copy of its /sys/kernel/btf/vmlinux, or the SHA-256 of that. Default: any
    #[arg(long, value_name = "BTF|HASH", value_parser = kernel)]
    kernel: Option<[u8; 32]>,
    /// One JSON object: accepted, code, detail
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let root = args.root.read()?;
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
    let groups: Vec<&str> = args.groups.iter().map(String::as_str).collect();
    let context = Context {
        root: &root,
        device: args.device,
        architecture: args.arch.as_deref(),
        agent: args.agent,
        groups: (!groups.is_empty()).then_some(&groups),
        kernel: args.kernel,
        state,
        insist: false,
    };
    let (accepted, code, detail) = match open(&bytes, &context) {
        Ok(accepted) => {
            let bundle = &accepted.bundle;
            let stale = if bundle.is_stale(time::now()) { ", stale" } else { "" };
            let detail = format!(
                "policy {}, mode {}, epoch {}, sequence {}{stale}",
                bundle.policy.name(),
                bundle.policy.mode().name(),
                bundle.manifest.epoch,
                bundle.manifest.sequence,
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
