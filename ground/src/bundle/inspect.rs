//! `aegisctl bundle inspect`: what a bundle says of itself.

use std::path::PathBuf;

use aegis_bundle::limits::BUNDLE_BYTES;
use aegis_bundle::{Manifest, Reason, Refusal, Sections, hash, split};
use aegis_cose::Sign;
use aegis_event::Printable;
use aegis_policy::Policy;
use serde_json::json;

use super::time;
use crate::outcome::{Failure, Outcome, Status};
use crate::policy::counted;
use crate::{files, hex, output};

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
        output::json(&json!({
            "verified": false,
            "sha256": file,
            "bytes": bytes.len(),
            "manifest_sha256": signed,
            "epoch": manifest.epoch,
            "sequence": manifest.sequence,
            "created": manifest.created,
            "expires": manifest.expires,
            "devices": manifest.devices.as_ref().map(|ids| ids.iter().map(|id| hex::encode(id)).collect::<Vec<_>>()),
            "architectures": manifest.architectures.as_ref().map(|names| names.to_vec()),
            "min_agent": manifest.agent.map(|[a, b, c]| format!("{a}.{b}.{c}")),
            "ceiling": manifest.ceiling.name(),
            "comment": manifest.comment,
            "contents": [
                { "name": aegis_bundle::POLICY, "bytes": manifest.policy.length, "sha256": hex::encode(&manifest.policy.hash) },
                { "name": aegis_bundle::SOURCE, "bytes": manifest.source.length, "sha256": hex::encode(&manifest.source.hash) },
            ],
            "signers": signers,
            "policy": policy.map(|policy| json!({
                "name": policy.name(),
                "mode": policy.mode().name(),
                "workloads": policy.workloads().map(|workload| workload.pattern).collect::<Vec<_>>(),
                "rules": policy.rule_count(),
            })),
        }))?;
        return Ok(Status::Good);
    }
    let any = |list: Option<Vec<String>>| list.map_or("any".to_owned(), |list| list.join(" "));
    let mut lines = vec![
        "not verified; see aegisctl bundle verify".to_owned(),
        format!("sha256         {file}"),
        format!("manifest       {signed}"),
    ];
    lines.push(format!("order          epoch {}, sequence {}", manifest.epoch, manifest.sequence));
    lines.push(format!("created        {}", time::show(manifest.created)));
    lines.push(format!("expires        {}", manifest.expires.map_or("never".to_owned(), time::show)));
    let devices = manifest.devices.as_ref().map(|ids| ids.iter().map(|id| hex::encode(id)).collect());
    lines.push(format!("devices        {}", any(devices)));
    let names = manifest.architectures.as_ref();
    let names = names.map(|names| names.iter().map(|name| Printable(name.as_bytes()).to_string()).collect());
    lines.push(format!("architectures  {}", any(names)));
    lines.push(format!(
        "agent          {}",
        any(manifest.agent.map(|[a, b, c]| vec![format!("{a}.{b}.{c} or newer")]))
    ));
    lines.push(format!("mode ceiling   {}", manifest.ceiling.name()));
    for (name, content) in
        [(aegis_bundle::POLICY, &manifest.policy), (aegis_bundle::SOURCE, &manifest.source)]
    {
        lines.push(format!(
            "content        {name}, {} bytes, sha256 {}",
            content.length,
            hex::encode(&content.hash)
        ));
    }
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
    if !manifest.comment.is_empty() {
        lines.push(format!("comment        {}", Printable(manifest.comment.as_bytes())));
    }
    output::text(&(lines.join("\n") + "\n"))?;
    Ok(Status::Good)
}

/// The policy where the manifest says it is.
fn policy_of<'a>(manifest: &Manifest<'_>, sections: &Sections<'a>) -> Option<Policy<'a>> {
    let length = usize::try_from(manifest.policy.length).ok()?;
    Policy::decode(sections.contents.get(..length)?).ok()
}
