//! `aegisctl policy explain`: what a policy decides on one access, and by which rule.

use std::net::IpAddr;
use std::path::PathBuf;

use aegis_event::{Printable, Verdict};
use aegis_policy::{Access, Effect, Family, Kind, Operation, names};
use serde_json::json;

use super::check::{OPERATIONS, meant};
use super::decisions::Decisions;
use super::image::elsewhere;
use super::source::suggest;
use super::target::{hash, protocol, protocol_name};
use super::things::Thing;
use super::{compiled_form, decoded};
use crate::hex;
use crate::outcome::{Failure, Outcome, Status};
use crate::output;

pub(super) const EXAMPLES: &str = "\
Examples:
  aegisctl policy explain policy-bundles/demo.toml --workload demo \\
      --path /etc/shadow --operation open-read
  aegisctl policy explain site.toml --workload agent-7 \\
      --address 192.0.2.7 --port 443 --operation connect
  aegisctl policy explain site.toml --workload agent-7 --operation module-load";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Policy source (TOML) or compiled policy
    file: PathBuf,
    /// Name of the workload
    #[arg(long, value_name = "NAME")]
    workload: String,
    /// Of a file: its absolute path
    #[arg(long, value_name = "PATH", conflicts_with = "address")]
    path: Option<String>,
    /// Of a program: the SHA-256 of what is in it
    #[arg(long, value_name = "HEX", conflicts_with = "address")]
    hash: Option<String>,
    /// The address that is connected or bound to
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// Its port
    #[arg(long, value_name = "PORT", default_value_t = 0, requires = "address")]
    port: u16,
    /// tcp, udp, icmp or a number
    #[arg(long, value_name = "PROTOCOL", default_value = "tcp", value_parser = protocol, requires = "address")]
    protocol: u8,
    /// open-read, open-write, exec, change or connect of a file; connect or bind of an address; ptrace, module-load, bpf or
    /// mount of neither
    #[arg(long, value_name = "OPERATION")]
    operation: String,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Args {
    fn kind(&self) -> Kind {
        match (&self.path, &self.hash, &self.address) {
            (None, None, None) => Kind::Surface,
            (None, None, Some(_)) => Kind::Addresses,
            (None, Some(_), _) => Kind::Hashes,
            (Some(_), ..) => Kind::Files,
        }
    }

    /// One that can be done to what is named.
    fn operation(&self) -> Result<Operation, Failure> {
        let kind = self.kind();
        Operation::from_name(&self.operation, kind).ok_or_else(|| {
            let known: Vec<&str> = kind.operations().iter().map(Operation::name).collect();
            let mend = if OPERATIONS.contains(&self.operation.as_str())
                && meant(&self.operation, kind).next().is_none()
            {
                match kind {
                    Kind::Surface => "name a --path, or an --address".to_owned(),
                    _ => format!("here it is {}", known.join(", ")),
                }
            } else {
                format!("it is unknown{}", suggest(&self.operation, &known))
            };
            Failure::usage(format!("--operation {}: {mend}", self.operation))
        })
    }
}

pub(super) fn run(args: &Args) -> Outcome {
    let Args { file, workload, .. } = args;
    if !names::is_workload_name(workload.as_bytes()) {
        return Err(Failure::usage(format!("--workload: \"{workload}\" is not a workload name")));
    }
    if let Some(path) = args.path.as_ref().filter(|path| !names::is_path(path)) {
        return Err(Failure::usage(format!("--path: \"{path}\" is not absolute and normalised")));
    }
    let operation = args.operation()?;
    let digest =
        args.hash.as_deref().map(hash).transpose().map_err(|why| Failure::usage(format!("--hash: {why}")))?;
    let octets = args.address.map(|address| match address {
        IpAddr::V4(address) => (Family::Inet, address.octets().to_vec()),
        IpAddr::V6(address) => (Family::Inet6, address.octets().to_vec()),
    });
    let access = match (&octets, args.kind()) {
        (_, Kind::Surface) => Access::Surface(operation),
        (Some((family, octets)), _) => Access::Address {
            family: *family,
            address: octets,
            port: args.port,
            protocol: args.protocol,
            operation,
        },
        (None, _) => Access::File {
            path: args.path.as_deref().unwrap_or_default().as_bytes(),
            operation,
            digest: digest.as_ref(),
        },
    };
    let bytes = compiled_form(file)?;
    let policy = decoded(file, &bytes)?;
    let index = policy.match_workload(workload.as_bytes());
    let pattern =
        index.and_then(|index| policy.workloads().nth(usize::from(index) - 1)).map(|found| found.pattern);
    let decisions = Decisions::of(policy);
    let winner = index.and_then(|index| {
        if let Access::File { .. } = access {
            // By where the path leads on a device.
            let path = args.path.as_deref().map(str::as_bytes);
            return decisions.file_winner(index, path, digest.as_ref(), operation);
        }
        let decision = decisions.policy.decide(index, &access);
        Some((decision.effect?, decision.rule?.index))
    });
    let effect = winner.map(|(effect, _)| effect);
    let verdict = effect.map_or(Verdict::Allowed, Effect::verdict);
    let rule = winner.and_then(|(_, index)| decisions.rules().get(index as usize));
    let policy = &decisions.policy;
    let leads_to = args.path.as_deref().and_then(|path| elsewhere(path.as_bytes()));
    if args.json {
        let of_address = args.address.map(|_| (args.port, protocol_name(args.protocol)));
        output::json(&json!({
            "verdict": verdict.name(),
            "rule": rule.as_ref().map(|rule| rule.name),
            "action": rule.as_ref().map(|rule| rule.action.name()),
            "effect": effect.map(Effect::name),
            "tags": rule.as_ref().map(|rule| rule.tags().collect::<Vec<_>>()),
            "workload": workload,
            "pattern": pattern,
            "path": args.path,
            "leads_to": leads_to.as_deref().map(|to| Printable(to).to_string()),
            "hash": digest.map(|digest| hex::encode(&digest)),
            "address": args.address.map(|address| address.to_string()),
            "port": of_address.as_ref().map(|(port, _)| port),
            "protocol": of_address.as_ref().map(|(_, protocol)| protocol),
            "operation": operation.name(),
            "policy": policy.name(),
            "mode": policy.mode().name(),
        }))?;
        return Ok(Status::Good);
    }
    let mode = policy.mode().name();
    let why = match (&rule, effect, pattern) {
        (Some(rule), Some(effect), Some(pattern)) => {
            let action = rule.action.name();
            let how = if effect.name() == action {
                action.to_owned()
            } else {
                format!("{action}, {}", effect.name())
            };
            format!("by rule {} ({how}) for workload {pattern}; mode {mode}", rule.name)
        }
        (_, _, Some(pattern)) => format!("no rule for workload {pattern} speaks of it"),
        _ => "the policy does not cover this workload".to_owned(),
    };
    let what = match (&args.path, &args.address) {
        (_, Some(address)) => format!(" {address} port {} {}", args.port, protocol_name(args.protocol)),
        (Some(path), _) => format!(" {}", Thing::Path(path.as_bytes())),
        _ => args.hash.as_ref().map_or(String::new(), |hash| format!(" {hash}")),
    };
    output::text(&format!("{verdict}: {workload} {}{what}: {why}\n", operation.name()))?;
    Ok(Status::Good)
}
