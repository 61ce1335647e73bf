//! The two ways in: offered from outside, and kept from before.

use aegis_cose::{CoseError, Domain, Sign, verify_threshold};
use aegis_policy::{Mode, Policy};
use heapless::Vec;
use sha2::{Digest, Sha256};

use crate::container::{Sections, split};
use crate::limits::{KEYS, SITE_BYTES};
use crate::manifest::{Content, Manifest, Version};
use crate::refusal::{Reason, Refusal};
use crate::root::{Role, Root};
use crate::site::Site;
use crate::state::TrustState;

/// Who asks, and what it knows. A device gives all of it; the office may leave out who it would be asking for, and then
/// that selector is not looked at.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Who may sign.
    pub root: &'a Root,
    /// The device's id.
    pub device: Option<[u8; 16]>,
    /// The device's architecture, as Rust names it.
    pub architecture: Option<&'a str>,
    /// The agent's version.
    pub agent: Option<Version>,
    /// The groups that the device is in.
    pub groups: Option<&'a [&'a str]>,
    /// SHA-256 of the kernel's BTF.
    pub kernel: Option<[u8; 32]>,
    /// What was accepted before.
    pub state: TrustState,
    /// A person insists: a bundle that is held back is tried once more.
    pub insist: bool,
}

/// A bundle whose signatures, encoding and contents hold.
#[derive(Clone, Debug)]
pub struct Bundle<'a> {
    /// What it says of itself.
    pub manifest: Manifest<'a>,
    /// SHA-256 of the manifest: what order and revocation go by.
    pub manifest_hash: [u8; 32],
    /// Its policy, checked whole.
    pub policy: Policy<'a>,
    /// The compiled policy's bytes.
    pub policy_bytes: &'a [u8],
    /// The policy's source.
    pub source: &'a str,
    /// What it says of the site network, checked whole; `None`: nothing.
    pub site: Option<&'a [u8]>,
    /// SHA-256 of the file.
    pub hash: [u8; 32],
}

/// A bundle that is let in.
#[derive(Clone, Debug)]
pub struct Accepted<'a> {
    /// The bundle.
    pub bundle: Bundle<'a>,
    /// It is the one that was accepted last: nothing changes.
    pub unchanged: bool,
    /// What to remember once it is put in force, for the first time or again.
    pub state: TrustState,
}

impl Accepted<'_> {
    /// The reason code of an acceptance: `accepted` or `unchanged`.
    pub const fn code(&self) -> &'static str {
        if self.unchanged { "unchanged" } else { "accepted" }
    }
}

impl Bundle<'_> {
    /// True when the policy is stale at `now` (Unix seconds): an alarm, never a reason to stop enforcing. `now` is the
    /// latest that the device knows: of its clock, its image's build time and [`TrustState::time`].
    pub fn is_stale(&self, now: u64) -> bool {
        self.manifest.expires.is_some_and(|expires| expires <= now)
    }
}

/// SHA-256 of a file: what events and receipts call it by.
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Opens a bundle that is offered: decides whether it is let in. `bytes` must be the caller's own copy, that nobody else
/// can change.
///
/// # Errors
/// A [`Refusal`] says why not. The first reason found is given; bounds come before signatures, signatures before
/// meaning.
pub fn open<'a>(bytes: &'a [u8], context: &Context<'_>) -> Result<Accepted<'a>, Refusal> {
    let root = context.root;
    let sections = split(bytes)?;
    verify(Domain::Bundle, sections.manifest, sections.signatures, &root.policy, root)?;
    let opened = read(&sections, root)?;
    let refuse = |reason| claims(&opened.manifest, reason);
    check_selectors(&opened.manifest, context).map_err(refuse)?;
    let unchanged = check_order(&opened.manifest, &opened.manifest_hash, context).map_err(refuse)?;
    let opened = opened.finish(hash(bytes))?;

    let state = remember(&context.state, &opened, root);
    Ok(Accepted { bundle: opened, unchanged, state })
}

/// Opens a bundle that this device accepted before and kept: to put it in force at boot, or again by a rollback. It was
/// let in under `then`, a root of the chain that ends in `now`. Keys that were merely replaced since still count; keys
/// and manifests that `now` revokes do not. Selectors and order were looked at when it was let in; that it *was* is for
/// the caller to know, by [`TrustState::bundle`] or [`TrustState::previous`].
///
/// # Errors
/// As [`open`].
pub fn open_kept<'a>(bytes: &'a [u8], then: &Root, now: &Root) -> Result<Bundle<'a>, Refusal> {
    open_hashed(bytes, hash(bytes), then, now)
}

/// As [`open_kept`], for a caller that has hashed the file already: what finds a bundle by its SHA-256 has.
///
/// # Errors
/// As [`open`].
pub fn open_hashed<'a>(
    bytes: &'a [u8],
    hash: [u8; 32],
    then: &Root,
    now: &Root,
) -> Result<Bundle<'a>, Refusal> {
    let sections = split(bytes)?;
    let keys: Vec<[u8; 32], KEYS> =
        then.policy.keys.iter().filter(|key| !now.revokes(key)).copied().collect();
    let role = Role { threshold: then.policy.threshold, keys };
    verify(Domain::Bundle, sections.manifest, sections.signatures, &role, now)?;
    read(&sections, now)?.finish(hash)
}

/// Enough keys of `role` signed; when not, because of a revoked one, then it is said so.
pub(crate) fn verify(
    domain: Domain,
    manifest: &[u8],
    signatures: &[u8],
    role: &Role,
    root: &Root,
) -> Result<(), Reason> {
    let message = Sign::parse(signatures)?;
    if message.unverified_payload().is_some() {
        return Err(Reason::BadCose);
    }
    let verified = verify_threshold(&message, domain, manifest, &role.keys, usize::from(role.threshold));
    verified.map_err(|error| match error {
        CoseError::UnknownKey | CoseError::Threshold
            if message
                .signers()
                .any(|signer| root.revoked_keys.iter().any(|revoked| revoked.starts_with(&signer.kid))) =>
        {
            Reason::RevokedKey
        }
        other => other.into(),
    })
}

/// A bundle whose policy was not looked at yet.
struct Unfinished<'a> {
    manifest: Manifest<'a>,
    manifest_hash: [u8; 32],
    policy: &'a [u8],
    source: &'a [u8],
    site: Option<&'a [u8]>,
}

const fn claims(manifest: &Manifest<'_>, reason: Reason) -> Refusal {
    Refusal { reason, epoch: manifest.epoch, sequence: manifest.sequence }
}

fn read<'a>(sections: &Sections<'a>, root: &Root) -> Result<Unfinished<'a>, Refusal> {
    let manifest = Manifest::decode(sections.manifest)?;
    let (policy, source, site) =
        contents(&manifest, sections.contents).map_err(|reason| claims(&manifest, reason))?;
    let manifest_hash = hash(sections.manifest);
    if root.revoked.contains(&manifest_hash) {
        return Err(claims(&manifest, Reason::Revoked));
    }
    Ok(Unfinished { manifest, manifest_hash, policy, source, site })
}

impl<'a> Unfinished<'a> {
    /// `hash` is the file's.
    fn finish(self, hash: [u8; 32]) -> Result<Bundle<'a>, Refusal> {
        let refuse = |reason| claims(&self.manifest, reason);
        let policy = Policy::decode(self.policy).map_err(|error| refuse(Reason::BadPolicy(error)))?;
        if policy.mode() > self.manifest.ceiling {
            return Err(refuse(Reason::ModeCeiling));
        }
        let source = core::str::from_utf8(self.source).map_err(|_| refuse(Reason::BadSource))?;
        if let Some(site) = self.site {
            Site::decode(site).map_err(|_| refuse(Reason::BadSite))?;
        }
        let (policy_bytes, site, manifest_hash) = (self.policy, self.site, self.manifest_hash);
        Ok(Bundle { manifest: self.manifest, manifest_hash, policy, policy_bytes, source, site, hash })
    }
}

/// What is remembered once this bundle is in force.
fn remember(before: &TrustState, bundle: &Bundle<'_>, root: &Root) -> TrustState {
    let again = before.bundle == bundle.hash;
    TrustState {
        epoch: bundle.manifest.epoch,
        sequence: bundle.manifest.sequence,
        time: before.time.max(bundle.manifest.created),
        manifest: bundle.manifest_hash,
        bundle: bundle.hash,
        previous: if again { before.previous } else { before.bundle },
        tried: [0; 32],
        tries: 0,
        tried_epoch: 0,
        tried_sequence: 0,
        left: [0; 32],
        root_version: before.root_version.max(root.version),
        ..before.next()
    }
}

/// The files of a bundle, in order: compiled policy, source, site section.
pub type Files<'a> = (&'a [u8], &'a [u8], Option<&'a [u8]>);

/// The files that are in these contents, each as long and of the hash that the manifest lists.
///
/// # Errors
/// [`Reason::ContentLength`], [`Reason::ContentHash`].
pub fn contents<'a>(manifest: &Manifest<'_>, contents: &'a [u8]) -> Result<Files<'a>, Reason> {
    let mut rest = contents;
    let mut next = |file: &Content| {
        let length = usize::try_from(file.length).map_err(|_| Reason::ContentLength)?;
        let (bytes, after) = rest.split_at_checked(length).ok_or(Reason::ContentLength)?;
        rest = after;
        Ok::<_, Reason>((bytes, file.hash))
    };
    let (policy, source) = (next(&manifest.policy)?, next(&manifest.source)?);
    let site = manifest.site.as_ref().map(next).transpose()?;
    if !rest.is_empty() || manifest.site.is_some_and(|site| site.length > SITE_BYTES as u64) {
        return Err(Reason::ContentLength);
    }
    if [Some(policy), Some(source), site].into_iter().flatten().any(|(bytes, listed)| hash(bytes) != listed) {
        return Err(Reason::ContentHash);
    }
    Ok((policy.0, source.0, site.map(|(bytes, _)| bytes)))
}

fn check_selectors(manifest: &Manifest<'_>, context: &Context<'_>) -> Result<(), Reason> {
    check_device(manifest.devices.as_deref(), context.device)?;
    check_groups(manifest.groups.as_deref(), context.groups)?;
    if let (Some(names), Some(name)) = (&manifest.architectures, &context.architecture)
        && !names.contains(name)
    {
        return Err(Reason::WrongArchitecture);
    }
    check_agent(manifest.agent, context.agent)?;
    if let (Some(ids), Some(id)) = (&manifest.kernels, &context.kernel)
        && !ids.contains(id)
    {
        return Err(Reason::WrongKernel);
    }
    Ok(())
}

pub(crate) fn check_device(listed: Option<&[[u8; 16]]>, device: Option<[u8; 16]>) -> Result<(), Reason> {
    match (listed, device) {
        (Some(ids), Some(id)) if !ids.contains(&id) => Err(Reason::WrongDevice),
        _ => Ok(()),
    }
}

/// One that the device is in suffices.
pub(crate) fn check_groups(listed: Option<&[&str]>, mine: Option<&[&str]>) -> Result<(), Reason> {
    match (listed, mine) {
        (Some(names), Some(mine)) if !names.iter().any(|name| mine.contains(name)) => Err(Reason::WrongGroup),
        _ => Ok(()),
    }
}

pub(crate) fn check_agent(least: Option<Version>, agent: Option<Version>) -> Result<(), Reason> {
    match (least, agent) {
        (Some(least), Some(version)) if version < least => Err(Reason::AgentTooOld),
        _ => Ok(()),
    }
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
    if state.holds_back(hash, manifest.epoch, manifest.sequence) && !context.insist {
        return Err(Reason::HeldBack);
    }
    match (offered == have, state.manifest == *hash) {
        (true, true) => Ok(true),
        (true, false) => Err(Reason::ReplayMismatch),
        (false, _) => Ok(false),
    }
}

// The ceiling is compared as an order.
const _: () = assert!((Mode::Audit as u8) < Mode::Enforce as u8);
