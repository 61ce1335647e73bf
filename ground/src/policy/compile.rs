//! `aegisctl policy compile`: the form that a device reads, and the one source that a bundle carries beside it.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::device::Device;
use super::{Trouble, compile_file, decoded};
use crate::outcome::{Failure, Outcome, Status};
use crate::{files, output};

pub(super) const EXAMPLES: &str = "\
Examples:
  aegisctl policy compile policy-bundles/demo.toml --out demo.policy
  aegisctl policy compile site.toml --out site.policy --source site.resolved.toml
  aegisctl policy compile site.toml --out site.policy --kernel 5.10

Exit codes: 0 written, 1 refused, 2 wrong use.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Policy source (TOML)
    file: PathBuf,
    /// Where to write the compiled policy; replaced if it exists
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where to write its one source, includes and templates resolved, as a bundle carries it; replaced if it exists
    #[arg(long, value_name = "FILE")]
    source: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: Device,
}

pub(super) fn run(args: &Args) -> Outcome {
    let Args { file, out, source, json, device } = args;
    let compiled = compile_file(file)?;
    if let Err(error) = device.check(&compiled) {
        return Err(Trouble::Source(compiled.sources, error).tell());
    }
    // All that may be refused is, before anything is written.
    files::keep_inputs(out, compiled.files().chain([file.as_path()]))?;
    if let Some(source) = source {
        files::keep_inputs(source, compiled.files().chain([file.as_path()]))?;
        if place(source) == place(out) {
            let name = source.display();
            return Err(Failure::usage(format!("--source {name}: is what --out names; name another file")));
        }
        files::write(source, compiled.text.as_bytes(), 0o644, true)?;
    }
    files::write(out, &compiled.bytes, 0o644, true)?;
    if *json {
        let policy = decoded(out, &compiled.bytes)?;
        output::json(&json!({
            "file": file.display().to_string(),
            "out": out.display().to_string(),
            "source": source.as_ref().map(|source| source.display().to_string()),
            "name": policy.name(),
            "mode": policy.mode().name(),
            "workloads": policy.workloads().count(),
            "rules": policy.rule_count(),
            "entries": policy.entries(),
            "bytes": compiled.bytes.len(),
        }))?;
    } else {
        output::text(&format!("{}: {} bytes\n", out.display(), compiled.bytes.len()))?;
    }
    Ok(Status::Good)
}

/// Where a file is or would be, under whatever name.
fn place(path: &Path) -> PathBuf {
    let here = |parent: &Path| if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.into() };
    let parent = path.parent().map(here).and_then(|parent| parent.canonicalize().ok());
    path.canonicalize().ok().unwrap_or_else(|| match (parent, path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.to_path_buf(),
    })
}
