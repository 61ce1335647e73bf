//! Bundles to try things on.

use aegis_bundle::limits::{BUNDLE_BYTES, FRONT_BYTES, MANIFEST_BYTES, SIGNATURES_BYTES};
use aegis_bundle::{
    Container, Content, Context, Manifest, Role, Root, TrustState, assemble, assemble_front, hash,
};
use aegis_cose::{Domain, KeyPair, Seed, sign_detached, signature};
use aegis_policy::{Effect, Mode, Operations, Source, SourceRule, SourceTarget, compile};

pub(crate) fn pair(n: u8) -> KeyPair {
    KeyPair::from_seed(Seed::new([n; 32]))
}

pub(crate) fn role(keys: &[u8], threshold: u8) -> Role {
    let mut publics: Vec<[u8; 32]> = keys.iter().map(|n| *pair(*n).pk).collect();
    publics.sort_unstable();
    Role { threshold, keys: publics.into_iter().collect() }
}

/// A root at epoch 2 whose policy role is these keys.
pub(crate) fn root(keys: &[u8], threshold: u8) -> Root {
    Root {
        version: 1,
        epoch: 2,
        root: role(&[100], 1),
        policy: role(keys, threshold),
        break_glass: Some(role(&[50, 51], 1)),
        image: Some(role(&[60, 61], 1)),
        workload: Some(role(&[70, 71], 1)),
        revoked: [].into_iter().collect(),
        revoked_keys: [].into_iter().collect(),
    }
}

pub(crate) fn context(root: &Root) -> Context<'_> {
    Context {
        root,
        device: Some([7; 16]),
        architecture: Some("x86_64"),
        agent: Some([1, 2, 3]),
        groups: Some(&["north", "pumps"]),
        kernel: Some([9; 32]),
        state: TrustState::default(),
        insist: false,
    }
}

pub(crate) fn policy(mode: Mode) -> Vec<u8> {
    compile(&Source {
        name: "test",
        mode,
        self_protection: true,
        argv: aegis_policy::Argv::Whole,
        deadman: None,
        workloads: vec!["demo".into()],
        rules: vec![SourceRule {
            name: "no-shadow",
            effect: Effect::Deny,
            operations: Operations::OPEN,
            workloads: vec![1],
            target: SourceTarget::paths(&["/etc/shadow"]),
            tags: vec![],
        }],
        alerts: vec![],
    })
    .expect("good source")
}

pub(crate) const TOML: &[u8] = b"schema = 1\n";

pub(crate) fn manifest<'a>(policy: &[u8], source: &[u8]) -> Manifest<'a> {
    let content = |bytes: &[u8]| Content { length: bytes.len() as u64, hash: hash(bytes) };
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
        comment: "a test",
        marker: false,
    }
}

pub(crate) fn encode(manifest: &Manifest<'_>) -> Vec<u8> {
    let mut out = vec![0; MANIFEST_BYTES];
    let length = manifest.encode(&mut out).expect("a possible manifest");
    out.truncate(length);
    out
}

/// A bundle of any manifest bytes, signed by these keys.
pub(crate) fn pack(manifest: &[u8], contents: &[&[u8]], keys: &[u8]) -> Vec<u8> {
    let mut scratch = vec![0; manifest.len() + 128];
    let signatures: Vec<_> = keys
        .iter()
        .map(|n| signature(manifest, Domain::Bundle, &pair(*n).sk, &mut scratch).expect("room"))
        .collect();
    let mut cose = vec![0; SIGNATURES_BYTES];
    let length = sign_detached(&signatures, &mut cose).expect("room");
    assembled(manifest, &cose[..length], contents)
}

pub(crate) fn assembled(manifest: &[u8], cose: &[u8], contents: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![0; BUNDLE_BYTES];
    let length = assemble(manifest, cose, contents, &mut out).expect("fits");
    out.truncate(length);
    out
}

/// A good bundle of a changed manifest, signed by key 1.
pub(crate) fn bundle(change: impl FnOnce(&mut Manifest<'_>)) -> Vec<u8> {
    let policy = policy(Mode::Enforce);
    let mut manifest = manifest(&policy, TOML);
    change(&mut manifest);
    pack(&encode(&manifest), &[&policy, TOML], &[1])
}

/// The front of a file of any manifest bytes, signed by these keys, with contents of this length behind it; and the file's length.
pub(crate) fn front(
    container: Container,
    manifest: &[u8],
    contents: u64,
    keys: &[u8],
    domain: Domain,
) -> (Vec<u8>, u64) {
    let mut scratch = vec![0; manifest.len() + 128];
    let signatures: Vec<_> =
        keys.iter().map(|n| signature(manifest, domain, &pair(*n).sk, &mut scratch).expect("room")).collect();
    let mut cose = vec![0; 2048];
    let length = sign_detached(&signatures, &mut cose).expect("room");
    let mut out = vec![0; FRONT_BYTES];
    let front = assemble_front(container, manifest, &cose[..length], contents, &mut out).expect("fits");
    out.truncate(front);
    (out, front as u64 + contents)
}
