//! `header`, `manifest`, `bundle`: what a stick offers.

use std::collections::BTreeSet;

use aegis_bundle::limits::{BUNDLE_BYTES, HEADER_BYTES, MANIFEST_BYTES};
use aegis_bundle::{
    Accepted, Content, Context, Manifest, Refusal, Root, TrustState, assemble, hash, open, open_kept, split,
};
use aegis_cose::{Domain, Sign, fingerprint, key_id};
use aegis_policy::Mode;

use crate::Seed;
use crate::input::{Change, Input, Told, changed, changes, put_block, put_changes};
use crate::keys::{self, KEYS, public};

/// First byte of an input whose rest is a bundle as it comes.
const RAW: u8 = 0;
/// First byte of an input that says how to make a bundle.
const MADE: u8 = 1;
/// Most bytes of a made bundle's parts.
const PART_BYTES: usize = 1 << 14;

const DEVICE: [u8; 16] = [7; 16];
const ARCHITECTURE: &str = "x86_64";
const AGENT: [u16; 3] = [1, 2, 3];
const GROUPS: [&str; 2] = ["lab", "north"];
const KERNEL: [u8; 32] = [8; 32];
/// Who signs policy: any two of these.
const SIGNERS: [usize; 3] = [0, 1, 2];
const THRESHOLD: usize = 2;
/// Was a signer once.
const REVOKED: usize = 5;

/// Whatever is cut is put together to the same bytes.
pub fn header_run(data: &[u8]) -> bool {
    let Ok(sections) = split(data) else { return false };
    assert!(data.len() <= BUNDLE_BYTES && sections.manifest.len() <= MANIFEST_BYTES);
    assert_eq!([sections.manifest, sections.signatures, sections.contents].concat(), data[HEADER_BYTES..]);
    let mut again = vec![0; data.len()];
    let length = assemble(sections.manifest, sections.signatures, &[sections.contents], &mut again);
    assert_eq!((length, &*again), (Some(data.len()), data), "two headers for the same sections");
    true
}

/// What decodes encodes to the same bytes, and is possible.
pub fn manifest_run(data: &[u8]) -> bool {
    let Ok(manifest) = Manifest::decode(data) else { return false };
    let mut again = [0; MANIFEST_BYTES];
    match manifest.encode(&mut again) {
        Some(length) => assert_eq!(&again[..length], data, "two encodings of {manifest:?}"),
        None => assert!(data.len() > MANIFEST_BYTES, "what was decoded can't be encoded"),
    }
    assert!(manifest.epoch > 0 && manifest.sequence > 0);
    assert!(manifest.expires.is_none_or(|expires| expires > manifest.created));
    assert!(!manifest.comment.chars().any(char::is_control));
    true
}

/// A root at epoch 2, and what a device knows of itself.
fn root(revoked: Option<[u8; 32]>) -> Root {
    Root {
        version: 3,
        epoch: 2,
        root: keys::role(&[4], 1),
        policy: keys::role(&SIGNERS, THRESHOLD as u8),
        break_glass: None,
        image: None,
        workload: None,
        revoked: revoked.into_iter().collect(),
        revoked_keys: [fingerprint(&public(REVOKED))].into_iter().collect(),
    }
}

fn context<'a>(root: &'a Root, state: &TrustState) -> Context<'a> {
    Context {
        root,
        device: Some(DEVICE),
        architecture: Some(ARCHITECTURE),
        agent: Some(AGENT),
        groups: Some(&GROUPS),
        kernel: Some(KERNEL),
        state: *state,
        insist: false,
    }
}

/// What is let in was signed by enough keys, is for this device, is newer, and is exactly what was signed.
pub fn open_run(data: &[u8]) -> bool {
    let mut input = Input(data);
    if input.u8() & 1 == RAW {
        let root = root(None);
        let context = context(&root, &TrustState::default());
        let bytes = input.rest();
        let opened = open(bytes, &context);
        check(bytes, &context, &opened);
        return opened.is_ok();
    }
    made(&mut input)
}

fn made(input: &mut Input<'_>) -> bool {
    let flags = input.u8();
    let (fits, revoked, insist, asks) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0, flags & 8 == 0);
    let mut state = TrustState {
        generation: u64::from(input.u8()),
        epoch: u64::from(input.u8() % 4),
        sequence: u64::from(input.u8()),
        tries: input.u8() % 5,
        ..TrustState::default()
    };
    let signers: Vec<usize> = input.block().iter().map(|n| usize::from(*n) % KEYS).take(4).collect();
    let changes = changes(input);
    let (manifest, policy, source) = (input.block(), input.block(), input.rest());
    if manifest.len() > MANIFEST_BYTES || policy.len().max(source.len()) > PART_BYTES || signers.is_empty() {
        return false;
    }
    // A manifest that lists the very contents is nothing that a fuzzer finds.
    let mut encoded = [0; MANIFEST_BYTES];
    let manifest = match Manifest::decode(manifest) {
        Ok(mut possible) if fits => {
            possible.policy = content(policy);
            possible.source = content(source);
            let length = possible.encode(&mut encoded).expect("it is as long, or a few bytes more of 4 KiB");
            &encoded[..length]
        }
        _ => manifest,
    };
    let manifest_hash = hash(manifest);
    if flags & 16 != 0 {
        state.manifest = manifest_hash;
    }
    if flags & 32 != 0 {
        state.left = manifest_hash;
    }
    if flags & 64 != 0 {
        (state.tried_epoch, state.tried_sequence) = (state.epoch, state.sequence);
    }
    let whole = pack(manifest, &[policy, source], &signers);
    let root = root(revoked.then_some(manifest_hash));
    let mut context = Context { insist, ..context(&root, &state) };
    if !asks {
        (context.device, context.groups, context.kernel) = (None, None, None);
    }
    let opened = open(&whole, &context);
    check(&whole, &context, &opened);
    if opened.is_ok() {
        let distinct: BTreeSet<_> = signers.iter().filter(|n| SIGNERS.contains(n)).collect();
        assert!(distinct.len() >= THRESHOLD && !revoked);
    }

    let changed = changed(&whole, &changes);
    if changed != whole
        && let Ok(accepted) = open(&changed, &context)
    {
        // Only a signature that is not needed can have been changed.
        assert!(opened.is_ok() && accepted.bundle.manifest_hash == manifest_hash);
        assert_eq!((accepted.bundle.policy_bytes, accepted.bundle.source.as_bytes()), (policy, source));
    }
    opened.is_ok()
}

/// What an answer promises.
fn check(bytes: &[u8], context: &Context<'_>, opened: &Result<Accepted<'_>, Refusal>) {
    let (root, before) = (context.root, context.state);
    let accepted = match opened {
        Ok(accepted) => accepted,
        Err(refusal) => {
            assert!(!refusal.code().is_empty() && !refusal.to_string().contains('\n'));
            return;
        }
    };
    let bundle = &accepted.bundle;
    let manifest = &bundle.manifest;
    let sections = split(bytes).expect("it was opened");
    let message = Sign::parse(sections.signatures).expect("it was opened");
    let signed: BTreeSet<_> = message.signers().map(|signer| signer.kid).collect();
    let enough = root.policy.keys.iter().filter(|key| signed.contains(&key_id(key))).count();
    assert!(enough >= THRESHOLD, "{enough} signatures");
    assert_eq!((bundle.manifest_hash, bundle.hash), (hash(sections.manifest), hash(bytes)));
    assert!(!root.revoked.contains(&bundle.manifest_hash));
    let site = bundle.site.unwrap_or_default();
    assert_eq!([bundle.policy_bytes, bundle.source.as_bytes(), site].concat(), sections.contents);
    assert_eq!(manifest.site, bundle.site.map(content));
    assert_eq!(manifest.policy, content(bundle.policy_bytes));
    assert_eq!(manifest.source, content(bundle.source.as_bytes()));
    assert!(bundle.policy.mode() <= manifest.ceiling);
    assert!(context.device.is_none_or(|id| manifest.devices.as_ref().is_none_or(|ids| ids.contains(&id))));
    assert!(manifest.architectures.as_ref().is_none_or(|names| names.contains(&ARCHITECTURE)));
    assert!(manifest.agent.is_none_or(|least| least <= AGENT));

    let (offered, have) = ((manifest.epoch, manifest.sequence), (before.epoch, before.sequence));
    assert!(manifest.epoch == root.epoch && offered >= have);
    assert_eq!(accepted.unchanged, offered == have);
    assert!(!accepted.unchanged || before.manifest == bundle.manifest_hash);
    let after = accepted.state;
    assert_eq!((after.epoch, after.sequence, after.manifest), (offered.0, offered.1, bundle.manifest_hash));
    assert!(after.time >= before.time && after.root_version >= before.root_version);
    assert_eq!((after.bundle, after.token_sequence), (bundle.hash, before.token_sequence));
    let held_back = |state: &TrustState| state.holds_back(&bundle.manifest_hash, offered.0, offered.1);
    assert!(context.insist || !held_back(&before), "let in though it is held back");
    assert!(!held_back(&after), "what was let in is held back the next time");

    let again = open(bytes, &Context { state: after, ..*context }).expect("the same again is let in");
    assert!(again.unchanged && again.state.bundle == after.bundle && again.state.previous == after.previous);
    let kept = open_kept(bytes, root, root).expect("what was let in can be kept");
    assert_eq!(kept.hash, bundle.hash);
}

fn content(bytes: &[u8]) -> Content {
    Content { length: bytes.len() as u64, hash: hash(bytes) }
}

/// A bundle of any manifest.
fn pack(manifest: &[u8], contents: &[&[u8]], signers: &[usize]) -> Vec<u8> {
    let signatures = keys::detached(manifest, Domain::Bundle, signers);
    let mut out = vec![0; HEADER_BYTES + manifest.len() + signatures.len() + 2 * PART_BYTES];
    let length = assemble(manifest, &signatures, contents, &mut out).expect("the parts are bounded");
    out.truncate(length);
    out
}

fn manifest(policy: &[u8], source: &[u8]) -> Manifest<'static> {
    Manifest {
        epoch: 2,
        sequence: 5,
        created: 1_800_000_000,
        expires: None,
        devices: None,
        architectures: None,
        agent: None,
        groups: None,
        kernels: None,
        ceiling: Mode::Enforce,
        policy: content(policy),
        source: content(source),
        site: None,
        comment: "",
        marker: false,
    }
}

/// A manifest that selects by everything.
fn narrow(policy: &[u8], source: &[u8]) -> Manifest<'static> {
    Manifest {
        expires: Some(1_900_000_000),
        devices: Some([[6; 16], DEVICE].into_iter().collect()),
        architectures: Some(["aarch64", ARCHITECTURE].into_iter().collect()),
        agent: Some([1, 0, 300]),
        groups: Some(["lab", "south"].into_iter().collect()),
        kernels: Some([KERNEL].into_iter().collect()),
        comment: "für den Keller",
        marker: true,
        ..manifest(policy, source)
    }
}

fn encoded(manifest: &Manifest<'_>) -> Vec<u8> {
    let mut out = vec![0; MANIFEST_BYTES];
    let length = manifest.encode(&mut out).expect("a seed is possible");
    out.truncate(length);
    out
}

const SOURCE: &[u8] = b"schema = 1\n";

/// The smallest policy.
fn policy() -> Vec<u8> {
    crate::policy::seeds().swap_remove(0).1
}

/// Bundles without meaning: the header does not look.
pub fn header_seeds() -> Vec<Seed> {
    let made = |manifest: &[u8], signatures: &[u8], contents: &[u8]| {
        let mut out = vec![0; 4096];
        let length = assemble(manifest, signatures, &[contents], &mut out).expect("it fits");
        out.truncate(length);
        out
    };
    vec![("empty", made(b"", b"", b"")), ("some", made(b"manifest", b"signatures", b"contents"))]
}

/// For all, and for few.
pub fn manifest_seeds() -> Vec<Seed> {
    let policy = policy();
    vec![("any", encoded(&manifest(&policy, SOURCE))), ("narrow", encoded(&narrow(&policy, SOURCE)))]
}

/// Let in for the first time, again, on a second try, and by a stranger's help.
pub fn open_seeds() -> Vec<Seed> {
    let policy = policy();
    let (any, narrow) = (encoded(&manifest(&policy, SOURCE)), encoded(&narrow(&policy, SOURCE)));
    let whole = pack(&any, &[&policy, SOURCE], &[0, 1]);
    let made = |flags: u8, state: [u8; 4], signers: &[u8], changes: &[Told], manifest: &[u8]| {
        let mut out = vec![MADE, flags];
        out.extend(state);
        put_block(&mut out, signers);
        put_changes(&mut out, changes);
        put_block(&mut out, manifest);
        put_block(&mut out, &policy);
        out.extend(SOURCE);
        out
    };
    vec![
        ("raw", [vec![RAW], whole].concat()),
        ("first", made(1, [0; 4], &[0, 1], &[], &any)),
        ("narrow", made(1, [0; 4], &[2, 1, 0], &[(66, Change::WIDEN, 0)], &narrow)),
        ("again", made(1 | 16, [1, 2, 5, 0], &[0, 1, 4], &[], &any)),
        ("insists", made(1 | 4 | 16 | 32, [1, 2, 5, 3], &[0, 1, 5], &[], &any)),
        ("office", made(8, [1, 2, 4, 0], &[0, 1], &[], &any)),
    ]
}
