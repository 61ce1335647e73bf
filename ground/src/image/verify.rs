//! `aegisctl image verify`: the decision of a device, by the code of a device.

use std::path::PathBuf;

use aegis_bundle::ImageContext;
use aegis_bundle::limits::IMAGE_BYTES;

use super::{examine, office};
use crate::files;
use crate::offer::{DeviceArgs, answer};
use crate::outcome::Outcome;
use crate::roots::RootArgs;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Image
    file: PathBuf,
    #[command(flatten)]
    root: RootArgs,
    /// The image that the device runs, as its `image status` says. Default: not known
    #[arg(long, value_name = "EPOCH.SEQUENCE", value_parser = number)]
    running: Option<(u64, u64)>,
    #[command(flatten)]
    device: DeviceArgs,
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
    let state = args.device.state()?;
    // One byte more than may be: the device's code is to say that it is too large.
    let bytes = files::read_front(&args.file, IMAGE_BYTES as usize + 1)?;
    let groups = args.device.groups();
    let context = ImageContext {
        device: args.device.device,
        architecture: args.device.arch.as_deref(),
        agent: args.device.agent,
        groups: (!groups.is_empty()).then_some(&groups),
        state: state.image,
        running: args.running,
        ..office(&root)
    };
    let decided = examine(&bytes, &context).map(|accepted| {
        let (epoch, sequence) = accepted.manifest.rank();
        let code = if accepted.unchanged { "unchanged" } else { "accepted" };
        (code, format!("image, epoch {epoch}, sequence {sequence}"))
    });
    answer(&args.file, decided, args.json)
}
