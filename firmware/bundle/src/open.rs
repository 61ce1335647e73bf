//! The one way in.

use aegis_cose::{Domain, Sign, verify_threshold};
use aegis_policy::{Mode, Policy};
use sha2::{Digest, Sha256};

use crate::container::split;
use crate::manifest::{Content, Manifest, Version};
use crate::refusal::{Reason, Refusal};
use crate::root::Root;
use crate::state::TrustState;

/// Who asks, and what it knows. A device gives all of it; the office may leave out who it would be asking for, and then
/// that selector is not looked at.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The trust anchor.
    pub root: &'a Root,
    /// The device's id.
    pub device: Option<[u8; 16]>,
    /// The device's architecture, as Rust names it.
    pub architecture: Option<&'a str>,
    /// The agent's version.
    pub agent: Option<Version>,
    /// What was accepted before.
    pub state: TrustState,
}

/// A bundle that is let in.
#[derive(Clone, Debug)]
pub struct Accepted<'a> {
    /// What it says of itself.
    pub manifest: Manifest<'a>,
    /// Its policy, checked whole.
    pub policy: Policy<'a>,
    /// The compiled policy's bytes.
    pub policy_bytes: &'a [u8],
    /// The policy's source.
    pub source: &'a str,
    /// SHA-256 of the file.
    pub hash: [u8; 32],
    /// It is the one that was accepted last: nothing changes.
    pub unchanged: bool,
    /// What to remember from now on; equal to what was given when [`Self::unchanged`].
    pub state: TrustState,
}

impl Accepted<'_> {
    /// The reason code of an acceptance: `accepted` or `unchanged`.
    pub const fn code(&self) -> &'static str {
        if self.unchanged { "unchanged" } else { "accepted" }
    }

    /// True when the policy is stale at `now` (Unix seconds): an alarm, never a reason to stop enforcing. `now` is the
    /// latest that the device knows: of its clock, its image's build time and [`TrustState::time`].
    pub fn is_stale(&self, now: u64) -> bool {
        self.manifest.expires.is_some_and(|expires| expires <= now.max(self.state.time))
    }
}

/// SHA-256 of a bundle file: what events and receipts call it by.
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Opens a bundle: decides whether it is let in. `bytes` must be the caller's own copy, that nobody else can change.
///
/// # Errors
/// A [`Refusal`] says why not. The first reason found is given; bounds come before signatures, signatures before
/// meaning.
pub fn open<'a>(bytes: &'a [u8], context: &Context<'_>) -> Result<Accepted<'a>, Refusal> {
    let sections = split(bytes)?;
    let message = Sign::parse(sections.signatures).map_err(Reason::from)?;
    if message.unverified_payload().is_some() {
        return Err(Reason::BadCose.into());
    }
    let role = &context.root.policy;
    verify_threshold(&message, Domain::Bundle, sections.manifest, &role.keys, usize::from(role.threshold))
        .map_err(Reason::from)?;

    let manifest = Manifest::decode(sections.manifest)?;
    let claims = Refusal { reason: Reason::BadManifest, epoch: manifest.epoch, sequence: manifest.sequence };
    let refuse = |reason| Refusal { reason, ..claims };
    let (policy_bytes, source) = contents(&manifest, sections.contents).map_err(refuse)?;
    let manifest_hash = hash(sections.manifest);
    if context.root.revoked.contains(&manifest_hash) {
        return Err(refuse(Reason::Revoked));
    }
    check_selectors(&manifest, context).map_err(refuse)?;
    let unchanged = check_order(&manifest, &manifest_hash, context).map_err(refuse)?;
    let policy = Policy::decode(policy_bytes).map_err(|error| refuse(Reason::BadPolicy(error)))?;
    if policy.mode() > manifest.ceiling {
        return Err(refuse(Reason::ModeCeiling));
    }
    let source = core::str::from_utf8(source).map_err(|_| refuse(Reason::BadSource))?;

    let file_hash = hash(bytes);
    let before = context.state;
    let state = if unchanged {
        before
    } else {
        TrustState {
            generation: before.generation.saturating_add(1),
            epoch: manifest.epoch,
            sequence: manifest.sequence,
            time: before.time.max(manifest.created),
            manifest: manifest_hash,
            bundle: file_hash,
        }
    };
    Ok(Accepted { manifest, policy, policy_bytes, source, hash: file_hash, unchanged, state })
}

/// Compiled policy and source, each as long and of the hash that the manifest lists.
fn contents<'a>(manifest: &Manifest<'_>, contents: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Reason> {
    let length = |file: &Content| usize::try_from(file.length).map_err(|_| Reason::ContentLength);
    let (policy, source) =
        contents.split_at_checked(length(&manifest.policy)?).ok_or(Reason::ContentLength)?;
    if source.len() != length(&manifest.source)? {
        return Err(Reason::ContentLength);
    }
    if hash(policy) != manifest.policy.hash || hash(source) != manifest.source.hash {
        return Err(Reason::ContentHash);
    }
    Ok((policy, source))
}

fn check_selectors(manifest: &Manifest<'_>, context: &Context<'_>) -> Result<(), Reason> {
    if let (Some(ids), Some(id)) = (&manifest.devices, &context.device)
        && !ids.contains(id)
    {
        return Err(Reason::WrongDevice);
    }
    if let (Some(names), Some(name)) = (&manifest.architectures, &context.architecture)
        && !names.contains(name)
    {
        return Err(Reason::WrongArchitecture);
    }
    if let (Some(least), Some(version)) = (manifest.agent, context.agent)
        && version < least
    {
        return Err(Reason::AgentTooOld);
    }
    Ok(())
}

/// True when it is the bundle that was accepted last.
fn check_order(manifest: &Manifest<'_>, hash: &[u8; 32], context: &Context<'_>) -> Result<bool, Reason> {
    let state = &context.state;
    if manifest.epoch > context.root.epoch {
        return Err(Reason::EpochAhead);
    }
    let (offered, have) = ((manifest.epoch, manifest.sequence), (state.epoch, state.sequence));
    // Below the root's epoch is rollback too, even on a device that never saw a bundle.
    if manifest.epoch < context.root.epoch || offered < have {
        return Err(Reason::Rollback);
    }
    match (offered == have, state.manifest == *hash) {
        (true, true) => Ok(true),
        (true, false) => Err(Reason::ReplayMismatch),
        (false, _) => Ok(false),
    }
}

// The ceiling is compared as an order.
const _: () = assert!((Mode::Audit as u8) < Mode::Enforce as u8);
