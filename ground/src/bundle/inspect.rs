//! `aegisctl bundle inspect`: what a bundle says of itself.

use std::path::PathBuf;

use aegis_bundle::limits::BUNDLE_BYTES;
use aegis_bundle::{Manifest, Reason, Refusal, Sections, split};
use aegis_policy::Policy;
use serde_json::json;

use crate::offer::Front;
use crate::outcome::{Failure, Outcome, Status};
use crate::policy::counted;
use crate::{describe, files, output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Bundle
    file: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let bytes = files::read_front(&args.file, BUNDLE_BYTES + 1)?;
    let refused =
        |reason: Reason| Failure::refused(format!("{}: {}", args.file.display(), Refusal::from(reason)));
    let sections = split(&bytes).map_err(refused)?;
    let manifest = Manifest::decode(sections.manifest).map_err(refused)?;
    let front = Front::of(&bytes, sections.manifest, sections.signatures).map_err(refused)?;
    let policy = policy_of(&manifest, &sections);
    if args.json {
        let mut value = describe::manifest_json(&manifest);
        front.add_to(&mut value);
        value["policy"] = policy.map(policy_json).into();
        output::json(&value)?;
        return Ok(Status::Good);
    }
    let mut lines = front.lines("bundle verify", describe::manifest(&manifest));
    lines.push(match policy {
        Some(policy) => format!(
            "policy         {}, mode {}, {}, {}",
            policy.name(),
            policy.mode().name(),
            counted(policy.workloads().count(), "workload"),
            counted(policy.rule_count() as usize, "rule"),
        ),
        None => "policy         does not decode".to_owned(),
    });
    output::text(&(lines.join("\n") + "\n"))?;
    Ok(Status::Good)
}

fn policy_json(policy: Policy<'_>) -> serde_json::Value {
    json!({
        "name": policy.name(),
        "mode": policy.mode().name(),
        "workloads": policy.workloads().map(|workload| workload.pattern).collect::<Vec<_>>(),
        "rules": policy.rule_count(),
    })
}

/// The policy where the manifest says it is.
fn policy_of<'a>(manifest: &Manifest<'_>, sections: &Sections<'a>) -> Option<Policy<'a>> {
    let length = usize::try_from(manifest.policy.length).ok()?;
    Policy::decode(sections.contents.get(..length)?).ok()
}
