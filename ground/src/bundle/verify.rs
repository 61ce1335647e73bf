//! `aegisctl bundle verify`: the decision of a device, by the code of a device.

use std::path::PathBuf;

use aegis_bundle::limits::BUNDLE_BYTES;
use aegis_bundle::{Context, open};

use super::kernel;
use crate::offer::{DeviceArgs, answer};
use crate::outcome::Outcome;
use crate::roots::RootArgs;
use crate::{files, time};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Bundle
    file: PathBuf,
    #[command(flatten)]
    root: RootArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// The device's kernel: a copy of its /sys/kernel/btf/vmlinux, or the SHA-256 of that. Default: any
    #[arg(long, value_name = "BTF|HASH", value_parser = kernel)]
    kernel: Option<[u8; 32]>,
    /// One JSON object: accepted, code, detail
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let root = args.root.read()?;
    let state = args.device.state()?;
    // One byte more than may be: the device's code is to say that it is too large.
    let bytes = files::read_front(&args.file, BUNDLE_BYTES + 1)?;
    let groups = args.device.groups();
    let context = Context {
        root: &root,
        device: args.device.device,
        architecture: args.device.arch.as_deref(),
        agent: args.device.agent,
        groups: (!groups.is_empty()).then_some(&groups),
        kernel: args.kernel,
        state,
        insist: false,
    };
    let decided = open(&bytes, &context).map(|accepted| {
        let bundle = &accepted.bundle;
        let stale = if bundle.is_stale(time::now()) { ", stale" } else { "" };
        let detail = format!(
            "policy {}, mode {}, epoch {}, sequence {}{stale}",
            bundle.policy.name(),
            bundle.policy.mode().name(),
            bundle.manifest.epoch,
            bundle.manifest.sequence,
        );
        (accepted.code(), detail)
    });
    answer(&args.file, decided, args.json)
}
