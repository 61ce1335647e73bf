//! An image, keys, bundles, root metadata; a kernel that takes, refuses or can't prove.

#![allow(clippy::unwrap_used)]
use std::cell::Cell;
use std::fs;
use std::io;

use aegis_bundle::limits::{BUNDLE_BYTES, MANIFEST_BYTES, ROOT_BYTES, SIGNATURES_BYTES};
use aegis_bundle::{Answer, Bundle, Content, Manifest, Role, Root, assemble, hash};
use aegis_cose::{Domain, KeyPair, Seed, sign_detached, sign_embedded, signature};
use aegis_policy::{Effect, Mode, Operations, Source as PolicySource, SourceRule, SourceTarget, compile};

use super::super::in_force::{self, Enforced, Kernel};
use super::super::taken::Taken;
use super::super::{policy, root};
use crate::kernel::KernelError;
use crate::storage::facts::Facts;
use crate::storage::simulated::Simulated;
use crate::storage::trust::{Standing, Trust, manifest_hash};

const ROOT_KEY: u8 = 100;
/// The key that signs images.
pub(super) const IMAGE_KEY: u8 = 60;
/// The key that signs workloads.
pub(super) const WORKLOAD_KEY: u8 = 70;
/// The key that signs bundles, and the one that follows it.
pub(super) const POLICY_KEY: u8 = 1;
pub(super) const NEXT_POLICY_KEY: u8 = 2;

pub(super) fn pair(n: u8) -> KeyPair {
    KeyPair::from_seed(Seed::new([n; 32]))
}

/// SHA-256 of the public key of this number.
pub(super) fn fingerprint(n: u8) -> [u8; 32] {
    aegis_cose::fingerprint(&pair(n).pk)
}

fn role(n: u8) -> Role {
    Role { threshold: 1, keys: [*pair(n).pk].into_iter().collect() }
}

/// Root metadata of version 1, epoch 2.
pub(super) fn anchor() -> Root {
    Root {
        version: 1,
        epoch: 2,
        root: role(ROOT_KEY),
        policy: role(POLICY_KEY),
        break_glass: None,
        image: Some(role(IMAGE_KEY)),
        workload: Some(role(WORKLOAD_KEY)),
        revoked: [].into_iter().collect(),
        revoked_keys: [].into_iter().collect(),
    }
}

/// Root metadata of another version, like the anchor but for a change.
pub(super) fn version(version: u64, change: impl FnOnce(&mut Root)) -> Vec<u8> {
    let mut root = Root { version, ..anchor() };
    change(&mut root);
    signed(&root)
}

pub(super) fn policy_by(key: u8) -> Role {
    role(key)
}

fn signed(root: &Root) -> Vec<u8> {
    let mut payload = vec![0; ROOT_BYTES];
    let length = root.encode(&mut payload).unwrap();
    payload.truncate(length);
    let mut scratch = vec![0; payload.len() + 128];
    let made = signature(&payload, Domain::Root, &pair(ROOT_KEY).sk, &mut scratch).unwrap();
    let mut out = vec![0; ROOT_BYTES * 2];
    let length = sign_embedded(&payload, &[made], &mut out).unwrap();
    out.truncate(length);
    out
}

/// A bundle that enforces a policy named after its sequence.
pub(super) fn bundle(sequence: u64, key: u8, change: impl FnOnce(&mut Manifest<'_>)) -> Vec<u8> {
    let compiled = compile(&PolicySource {
        name: &format!("number-{sequence}"),
        mode: Mode::Enforce,
        self_protection: true,
        argv: aegis_policy::Argv::Whole,
        deadman: None,
        workloads: vec!["demo".into()],
        rules: vec![SourceRule {
            name: "no-shadow",
            effect: Effect::Deny,
            operations: Operations::OPEN,
            workloads: vec![1],
            target: SourceTarget::Files { paths: vec!["/etc/shadow"], trees: vec![] },
            tags: vec![],
        }],
        alerts: vec![],
    })
    .unwrap();
    let source = b"schema = 1\n";
    let content = |bytes: &[u8]| Content { length: bytes.len() as u64, hash: hash(bytes) };
    let mut manifest = Manifest {
        epoch: 2,
        sequence,
        created: 1_700_000_000 + sequence,
        expires: None,
        devices: None,
        architectures: None,
        agent: None,
        groups: None,
        kernels: None,
        ceiling: Mode::Enforce,
        policy: content(&compiled),
        source: content(source),
        site: None,
        comment: "",
        marker: false,
    };
    change(&mut manifest);
    let mut encoded = vec![0; MANIFEST_BYTES];
    let length = manifest.encode(&mut encoded).unwrap();
    encoded.truncate(length);
    let mut scratch = vec![0; encoded.len() + 128];
    let made = signature(&encoded, Domain::Bundle, &pair(key).sk, &mut scratch).unwrap();
    let mut signatures = vec![0; SIGNATURES_BYTES];
    let length = sign_detached(&[made], &mut signatures).unwrap();
    let mut out = vec![0; BUNDLE_BYTES];
    let length = assemble(&encoded, &signatures[..length], &[&compiled, source], &mut out).unwrap();
    out.truncate(length);
    out
}

/// What the kernel does with a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Takes,
    /// The policy does not get in.
    Refuses,
    /// It gets in, and denies nothing.
    ProvesNothing,
    /// No probes.
    Absent,
}

/// A kernel that remembers what it was given.
pub(super) struct Fake {
    running: Cell<[u8; 32]>,
    pub(super) mood: Cell<Mood>,
    /// What is in force was seen to deny.
    pub(super) proven: Cell<bool>,
    /// How often something was put in force.
    pub(super) times: Cell<u32>,
}

impl Kernel for Fake {
    fn in_force(&self) -> Result<[u8; 32], KernelError> {
        match self.mood.get() {
            Mood::Absent => Err(KernelError::NotLoaded(io::ErrorKind::NotFound.into())),
            _ => Ok(self.running.get()),
        }
    }

    fn enforce(&self, bundle: &Bundle<'_>) -> Result<Enforced, KernelError> {
        // In a bad mood it is so for one policy: the old one can be put back.
        let mood = self.mood.replace(Mood::Takes);
        if mood == Mood::Refuses {
            return Err(KernelError::ReadBack { expected: 1, found: 0 });
        }
        self.running.set(bundle.hash);
        self.times.set(self.times.get() + 1);
        self.proven.set(mood != Mood::ProvesNothing);
        let unproven = (mood == Mood::ProvesNothing).then(|| "nothing was denied".to_owned());
        Ok(Enforced { detail: String::new(), unproven })
    }

    fn is_proven(&self) -> bool {
        self.proven.get()
    }

    fn prove(&self, bundle: &Bundle<'_>) -> Option<String> {
        assert_eq!(bundle.hash, self.running.get());
        self.proven.set(self.mood.replace(Mood::Takes) != Mood::ProvesNothing);
        (!self.proven.get()).then(|| "nothing was denied".to_owned())
    }
}

impl Fake {
    pub(super) fn running(&self) -> [u8; 32] {
        self.running.get()
    }
}

/// An image and what is offered to it.
pub(super) struct World {
    image: tempfile::TempDir,
    pub(super) baseline: Vec<u8>,
    pub(super) first: Vec<u8>,
    pub(super) second: Vec<u8>,
    pub(super) third: Vec<u8>,
}

impl World {
    pub(super) fn new() -> Self {
        let world = Self {
            image: tempfile::tempdir().unwrap(),
            baseline: bundle(1, POLICY_KEY, |_| {}),
            first: bundle(5, POLICY_KEY, |_| {}),
            second: bundle(6, POLICY_KEY, |_| {}),
            third: bundle(7, POLICY_KEY, |_| {}),
        };
        world.set_anchor(&version(1, |_| {}));
        fs::write(world.image.path().join("baseline.aegis"), &world.baseline).unwrap();
        world
    }

    /// Another image.
    pub(super) fn set_anchor(&self, bytes: &[u8]) {
        fs::write(self.image.path().join("root.cbor"), bytes).unwrap();
    }

    pub(super) fn trust<'d>(&self, disk: &'d Simulated) -> Trust<&'d Simulated> {
        Trust::open_on(disk, self.image.path()).expect("opens whatever happened")
    }

    /// A disk on which the second bundle is in force and the first was before it; durable.
    pub(super) fn disk(&self) -> Simulated {
        let mut disk = Simulated::default();
        let kernel = self.boot(&disk);
        for bytes in [&self.first, &self.second] {
            assert_eq!(self.offer(&disk, &kernel, bytes).code, "accepted");
        }
        disk.flush();
        disk
    }

    /// A boot: what is to be in force is put in force.
    pub(super) fn boot(&self, disk: &Simulated) -> Fake {
        let kernel = Fake {
            running: Cell::default(),
            mood: Cell::new(Mood::Takes),
            proven: Cell::default(),
            times: Cell::default(),
        };
        let mut trust = self.trust(disk);
        trust.sweep(false);
        let standing = in_force::due(&mut trust).expect("a sound image");
        in_force::put(&trust, &kernel, &standing).expect("the kernel takes it");
        kernel
    }

    pub(super) fn standing(&self, disk: &Simulated) -> Standing {
        self.trust(disk).standing().expect("a sound image")
    }

    /// A bundle is offered by a stick.
    pub(super) fn offer(&self, disk: &Simulated, kernel: &Fake, bytes: &[u8]) -> Taken {
        policy::decide(&mut self.trust(disk), kernel, &facts(), bytes, false)
    }

    /// A person insists on a bundle.
    pub(super) fn insist(&self, disk: &Simulated, kernel: &Fake, bytes: &[u8]) -> Taken {
        policy::decide(&mut self.trust(disk), kernel, &facts(), bytes, true)
    }

    /// Root metadata is offered by a stick.
    pub(super) fn rotate(&self, disk: &Simulated, kernel: &Fake, bytes: &[u8]) -> Taken {
        let mut trust = self.trust(disk);
        let taken = root::decide(&mut trust, bytes);
        if taken.answer != Answer::Refused {
            root::reconsider(&mut trust, kernel, |_| {}).expect("the kernel takes it");
        }
        taken
    }

    pub(super) fn roll_back(&self, disk: &Simulated, kernel: &Fake) -> Taken {
        policy::roll_back(&mut self.trust(disk), kernel)
    }
}

pub(super) fn facts() -> Facts {
    Facts { device: Some([7; 16]), groups: vec!["pumps".to_owned()], kernel: [9; 32] }
}

/// SHA-256 of a bundle's manifest.
pub(super) fn manifest_of(bytes: &[u8]) -> [u8; 32] {
    manifest_hash(bytes).unwrap()
}

/// `Ok` when it was taken, and said to last.
pub(super) fn done(taken: &Taken) -> io::Result<()> {
    match taken.answer {
        _ if taken.detail.contains(policy::UNSURE) => Err(io::Error::other(policy::UNSURE)),
        Answer::Refused => Err(io::Error::other(format!("{}: {}", taken.code, taken.detail))),
        _ => Ok(()),
    }
}
