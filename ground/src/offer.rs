//! What bundles, images and workloads have in common: signed manifests for devices that are far away.

use std::path::{Path, PathBuf};

use aegis_bundle::limits::{COMMENT_BYTES, MANIFEST_BYTES, STATE_BYTES, WORKLOAD_STATE_BYTES};
use aegis_bundle::{Content, Reason, Refusal, Role, Root, TrustState, Version, WorkloadState, hash};
use aegis_cose::Sign;
use aegis_keys::{Document, SecretFile};
use serde_json::{Value, json};

use crate::bundle::{ARCHITECTURES, device, group, version};
use crate::outcome::{Failure, Outcome, Status};
use crate::{describe, files, hex, output};

/// The device that is asked, as far as it is told.
#[derive(clap::Args)]
pub(crate) struct DeviceArgs {
    /// A copy of the device's trust state (/data/aegis/trust.a; of workloads: workloads.a). Default: a new device
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The device's id, 32 hex digits. Default: any device
    #[arg(long, value_name = "ID", value_parser = device)]
    pub(crate) device: Option<[u8; 16]>,
    /// A group that the device is in; once per group. Default: any
    #[arg(long = "group", value_name = "NAME", value_parser = group)]
    groups: Vec<String>,
    /// The device's architecture. Default: any
    #[arg(long, value_name = "ARCH", value_parser = ARCHITECTURES)]
    pub(crate) arch: Option<String>,
    /// The agent's version. Default: any
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub(crate) agent: Option<Version>,
}

/// What stands behind a copy that a device with a TPM vouches for, bytes: under a key that never leaves it.
const VOUCHER_BYTES: usize = 32;

/// What a device's copy says, with or without that.
fn copy<T>(bytes: &[u8], decode: fn(&[u8]) -> Option<T>) -> Option<T> {
    decode(bytes).or_else(|| decode(bytes.split_last_chunk::<VOUCHER_BYTES>()?.0))
}

impl DeviceArgs {
    /// What it remembers.
    pub(crate) fn state(&self) -> Result<TrustState, Failure> {
        let Some(file) = &self.state else { return Ok(TrustState::default()) };
        let bytes = files::read_front(file, STATE_BYTES + VOUCHER_BYTES + 1)?;
        copy(&bytes, TrustState::decode).ok_or_else(|| {
            Failure::usage(format!("{}: not a good copy of a device's trust state", file.display()))
        })
    }

    /// What it remembers of workloads.
    pub(crate) fn workloads(&self) -> Result<WorkloadState, Failure> {
        let Some(file) = &self.state else { return Ok(WorkloadState::default()) };
        let bytes = files::read_front(file, WORKLOAD_STATE_BYTES + VOUCHER_BYTES + 1)?;
        copy(&bytes, WorkloadState::decode).ok_or_else(|| {
            let name = file.display();
            Failure::usage(format!("{name}: not a good copy of what a device remembers of workloads"))
        })
    }

    /// The groups that it is in; none when they were not told.
    pub(crate) fn groups(&self) -> Vec<&str> {
        self.groups.iter().map(String::as_str).collect()
    }
}

/// A device's answer: code and detail of what it takes, or its refusal.
pub(crate) fn answer(
    file: &Path,
    decided: Result<(&'static str, String), Refusal>,
    as_json: bool,
) -> Outcome {
    let accepted = decided.is_ok();
    let (code, detail) = decided.unwrap_or_else(|refusal| (refusal.code(), refusal.to_string()));
    if as_json {
        output::json(&json!({ "accepted": accepted, "code": code, "detail": detail }))?;
    } else {
        output::text(&format!("{}: {code}: {detail}\n", file.display()))?;
    }
    Ok(if accepted { Status::Good } else { Status::Refused })
}

/// What a file says of itself before its manifest does. Nothing of it is verified.
pub(crate) struct Front {
    sha256: String,
    bytes: usize,
    manifest: String,
    signers: Vec<String>,
}

impl Front {
    /// Of a whole file, with the sections that were cut from it.
    pub(crate) fn of(bytes: &[u8], manifest: &[u8], signatures: &[u8]) -> Result<Self, Reason> {
        let message = Sign::parse(signatures)?;
        Ok(Self {
            sha256: hex::encode(&hash(bytes)),
            bytes: bytes.len(),
            manifest: hex::encode(&hash(manifest)),
            signers: message.signers().map(|signer| hex::encode(&signer.kid)).collect(),
        })
    }

    /// Its fields, into what the manifest says.
    pub(crate) fn add_to(self, value: &mut Value) {
        value["verified"] = false.into();
        value["sha256"] = self.sha256.into();
        value["bytes"] = self.bytes.into();
        value["manifest_sha256"] = self.manifest.into();
        value["signers"] = self.signers.into();
    }

    /// The same for people, around what the manifest says. `command`: what verifies it.
    pub(crate) fn lines(self, command: &str, manifest: Vec<String>) -> Vec<String> {
        let mut lines = vec![
            format!("not verified; see aegisctl {command}"),
            format!("sha256         {}", self.sha256),
            format!("manifest       {}", self.manifest),
        ];
        lines.extend(manifest);
        lines.push(format!("signed by      {}", self.signers.join(" ")));
        lines
    }
}

/// The bytes of a manifest.
pub(crate) fn encoded(encode: impl FnOnce(&mut [u8]) -> Option<usize>) -> Result<Vec<u8>, Failure> {
    let mut encoded = vec![0; MANIFEST_BYTES];
    let Some(length) = encode(&mut encoded) else {
        return Err(Failure::usage("the manifest can't be written: it would be too long; select by --group"));
    };
    encoded.truncate(length);
    Ok(encoded)
}

/// How a manifest lists a file.
pub(crate) fn content(bytes: &[u8]) -> Content {
    Content { length: bytes.len() as u64, hash: hash(bytes) }
}

/// `--comment`, if it can be one.
pub(crate) fn comment(text: &str) -> Result<&str, Failure> {
    if text.len() > COMMENT_BYTES || text.chars().any(char::is_control) {
        return Err(Failure::usage(format!("--comment: at most {COMMENT_BYTES} bytes on one line")));
    }
    Ok(text)
}

/// The epoch that was asked for, that of the root, or the first.
pub(crate) fn epoch_of(asked: Option<u64>, root: Option<&Root>) -> Result<u64, Failure> {
    match (asked, root) {
        (Some(epoch), Some(root)) if epoch != root.epoch => Err(Failure::usage(format!(
            "--epoch {epoch}: no device that trusts the root would take it; its epoch is {}",
            root.epoch
        ))),
        (Some(epoch), _) => Ok(epoch),
        (None, Some(root)) => Ok(root.epoch),
        (None, None) => Ok(1),
    }
}

/// Nothing given means any; otherwise a set in order.
pub(crate) fn selector<T: Ord, C: FromIterator<T> + Bounded>(
    name: &str,
    mut items: Vec<T>,
) -> Result<Option<C>, Failure> {
    if items.is_empty() {
        return Ok(None);
    }
    items.sort_unstable();
    items.dedup();
    if items.len() > C::MOST {
        return Err(Failure::usage(format!("{name}: at most {} of them", C::MOST)));
    }
    Ok(Some(items.into_iter().collect()))
}

/// Collections that would panic when collected from too much.
pub(crate) trait Bounded {
    const MOST: usize;
}

impl<T, const N: usize> Bounded for heapless::Vec<T, N> {
    const MOST: usize = N;
}

/// Root metadata that asks for all of these keys, whatever is signed.
pub(crate) fn trusting(keys: &[SecretFile], epoch: u64) -> Root {
    let mut publics: Vec<[u8; 32]> = keys.iter().map(|key| *key.public()).collect();
    publics.sort_unstable();
    let role = Role { threshold: keys.len() as u8, keys: publics.into_iter().collect() };
    Root {
        version: 1,
        epoch,
        root: role.clone(),
        policy: role.clone(),
        break_glass: None,
        image: Some(role.clone()),
        workload: Some(role),
        revoked: [].into_iter().collect(),
        revoked_keys: [].into_iter().collect(),
    }
}

/// How complete the signatures are, for people. `command`: what adds one.
pub(crate) fn signatures(
    document: &Document,
    role: &Role,
    command: &str,
    out: &Path,
) -> Result<Vec<String>, Failure> {
    let standing = document.standing(role).map_err(Failure::refused)?;
    let mut lines = vec![format!("signatures     {}", describe::standing(&standing))];
    if standing.wanting() > 0 {
        let out = out.display();
        lines.push(format!("NOT complete; add signatures: aegisctl {command} {out} --root … --key FILE"));
    }
    Ok(lines)
}
