//! `aegisctl image verify`: the decision of a device, by the code of a device.

use std::path::PathBuf;

use aegis_bundle::limits::{IMAGE_BYTES, STATE_BYTES};
use aegis_bundle::{ImageContext, TrustState, Version};
use serde_json::json;

use super::{examine, office};
use crate::bundle::{ARCHITECTURES, device, group, version};
use crate::outcome::{Failure, Outcome, Status};
use crate::roots::RootArgs;
use crate::{files, output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Image
    file: PathBuf,
    #[command(flatten)]
    root: RootArgs,
    /// A copy of the device's trust state (/data/aegis/trust.a). Default: a new device
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The image that the device runs, as its `image status` says. Default: not known
    #[arg(long, value_name = "EPOCH.SEQUENCE", value_parser = number)]
    running: Option<(u64, u64)>,
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
    /// One JSON object: accepted, code, detail
    #[arg(long)]
    json: bool,
}

/// `1.7`.
fn number(text: &str) -> Result<(u64, u64), String> {
    let parts = text.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    parts.ok_or_else(|| "epoch and sequence are needed, as in 1.7".to_owned())
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
    let bytes = files::read_front(&args.file, IMAGE_BYTES as usize + 1)?;
    let groups: Vec<&str> = args.groups.iter().map(String::as_str).collect();
    let context = ImageContext {
        device: args.device,
        architecture: args.arch.as_deref(),
        agent: args.agent,
        groups: (!groups.is_empty()).then_some(&groups),
        state: state.image,
        running: args.running,
        ..office(&root)
    };
    let (accepted, code, detail) = match examine(&bytes, &context) {
        Ok(accepted) => {
            let (epoch, sequence) = accepted.manifest.rank();
            let code = if accepted.unchanged { "unchanged" } else { "accepted" };
            (true, code, format!("image, epoch {epoch}, sequence {sequence}"))
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
