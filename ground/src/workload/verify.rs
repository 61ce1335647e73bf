//! `aegisctl workload verify`: the decision of a device, by the code of a device.

use std::path::PathBuf;

use aegis_bundle::limits::WORKLOAD_BYTES;
use aegis_bundle::{Remembered, WorkloadContext};

use super::{examine, office, what};
use crate::files;
use crate::offer::{DeviceArgs, answer};
use crate::outcome::Outcome;
use crate::roots::RootArgs;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Workload
    file: PathBuf,
    #[command(flatten)]
    root: RootArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// One JSON object: accepted, code, detail
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let root = args.root.read()?;
    let state = args.device.workloads()?;
    // One byte more than may be: the device's code is to say that it is too large.
    let bytes = files::read_front(&args.file, WORKLOAD_BYTES as usize + 1)?;
    let groups = args.device.groups();
    let context = WorkloadContext {
        device: args.device.device,
        architecture: args.device.arch.as_deref(),
        agent: args.device.agent,
        groups: (!groups.is_empty()).then_some(&groups),
        ..office(&root)
    };
    let known = |name: &str| state.of(name).map(Remembered::highest);
    let decided = examine(&bytes, &context, Some(&known)).map(|(opened, unchanged)| {
        let code = if unchanged { "unchanged" } else { "accepted" };
        (code, what(&opened.manifest))
    });
    answer(&args.file, decided, args.json)
}
