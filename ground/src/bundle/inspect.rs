//! `aegisctl bundle inspect`: what a bundle says of itself.

use std::path::PathBuf;

use aegis_bundle::limits::BUNDLE_BYTES;
use aegis_bundle::{Manifest, Reason, Refusal, Sections, hash, split};
use aegis_cose::Sign;
use aegis_policy::Policy;
use serde_json::json;

use crate::outcome::{Failure, Outcome, Status};
use crate::policy::counted;
use crate::{describe, files, hex, output};

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
    let refused = |why: &dyn std::fmt::Display| Failure::refused(format!("{}: {why}", args.file.display()));
    let sections = split(&bytes).map_err(|reason| refused(&Refusal::from(reason)))?;
    let manifest = Manifest::decode(sections.manifest).map_err(|reason| refused(&Refusal::from(reason)))?;
    let message =
        Sign::parse(sections.signatures).map_err(|error| refused(&Refusal::from(Reason::from(error))))?;
    let signers: Vec<String> = message.signers().map(|signer| hex::encode(&signer.kid)).collect();
    let policy = policy_of(&manifest, &sections);
    let file = hex::encode(&hash(&bytes));
    let signed = hex::encode(&hash(sections.manifest));
    if args.json {
        let mut value = describe::manifest_json(&manifest);
        value["verified"] = false.into();
        value["sha256"] = file.into();
        value["bytes"] = bytes.len().into();
        value["manifest_sha256"] = signed.into();
        value["signers"] = signers.into();
        value["policy"] = policy.map(policy_json).into();
        output::json(&value)?;
        return Ok(Status::Good);
    }
    let mut lines = vec![
        "not verified; see aegisctl bundle verify".to_owned(),
        format!("sha256         {file}"),
        format!("manifest       {signed}"),
    ];
    lines.extend(describe::manifest(&manifest));
    lines.push(format!("signed by      {}", signers.join(" ")));
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
