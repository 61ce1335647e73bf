//! `workload`: the front of a workload, as it comes and signed; and what a device remembers of workloads.

use aegis_bundle::limits::{FRONT_BYTES, MANIFEST_BYTES, WORKLOAD_BYTES, WORKLOAD_STATE_BYTES};
use aegis_bundle::{
    Bounds, Container, Content, Rank, Remembered, Restart, Root, Run, Selectors, When, WorkloadContext,
    WorkloadManifest, WorkloadState, assemble_front, hash, is_workload_name, is_writable, open_kept_workload,
    open_workload, split_front,
};
use aegis_cose::{Domain, Sign, key_id};

use crate::Seed;
use crate::input::{Input, put_block};
use crate::keys::{self, KEYS};

/// First byte of an input whose rest is a file's front as it comes, after how long the file is.
const RAW: u8 = 0;
/// First byte of an input that says how to make one.
const MADE: u8 = 1;
/// First byte of an input whose rest is a copy of what is remembered.
const STATE: u8 = 2;
/// Who signs workloads: any two of these.
const SIGNERS: [usize; 3] = [0, 1, 2];
const THRESHOLD: usize = 2;
const DEVICE: [u8; 16] = [7; 16];

fn root() -> Root {
    Root {
        version: 3,
        epoch: 2,
        root: keys::role(&[4], 1),
        policy: keys::role(&[3], 1),
        break_glass: None,
        image: None,
        workload: Some(keys::role(&SIGNERS, THRESHOLD as u8)),
        revoked: [].into_iter().collect(),
        revoked_keys: [].into_iter().collect(),
    }
}

/// What is let in was signed by enough keys, is for this device, is not older than what the device has, runs as nobody who is
/// root, within bounds, and its contents lie within the file. What is remembered has one encoding.
pub fn run(data: &[u8]) -> bool {
    let mut input = Input(data);
    let mode = input.u8() % 3;
    if mode == STATE {
        return remembered(input.rest());
    }
    let flags = input.u8();
    let (epoch, sequence) = (u64::from(input.u8() % 4), u64::from(input.u8()));
    if mode == RAW {
        let length = u64::from(input.u8()) << 16 | u64::from(input.u8()) << 8;
        let front = input.rest();
        let have = (flags & 1 != 0).then_some(Rank { epoch, sequence, manifest: [1; 32] });
        return opened(front, length.max(front.len() as u64), have);
    }
    let signers: Vec<usize> = input.block().iter().map(|n| usize::from(*n) % KEYS).take(4).collect();
    let manifest = input.rest();
    if manifest.len() > MANIFEST_BYTES || signers.is_empty() {
        return false;
    }
    let known = if flags & 2 != 0 { hash(manifest) } else { [1; 32] };
    let have = (flags & 1 != 0).then_some(Rank { epoch, sequence, manifest: known });
    let contents = WorkloadManifest::decode(manifest).map_or(0, |manifest| manifest.length());
    let front = pack(manifest, contents, &signers);
    opened(&front, front.len() as u64 + contents, have)
}

fn opened(front: &[u8], length: u64, have: Option<Rank>) -> bool {
    let root = root();
    let context = WorkloadContext {
        root: &root,
        device: Some(DEVICE),
        architecture: Some("x86_64"),
        agent: Some([1, 2, 3]),
        groups: Some(&["lab"]),
    };
    let (opened, unchanged) = match open_workload(front, length, &context, |_| have) {
        Ok(opened) => opened,
        Err(refusal) => {
            assert!(!refusal.code().is_empty() && !refusal.to_string().contains('\n'));
            return false;
        }
    };
    let manifest = &opened.manifest;
    let sections = split_front(Container::Workload, front, length).expect("it was opened");
    let message = Sign::parse(sections.signatures).expect("it was opened");
    let signed: Vec<_> = message.signers().map(|signer| signer.kid).collect();
    let role = root.workload.as_ref().expect("it is there");
    assert!(role.keys.iter().filter(|key| signed.contains(&key_id(key))).count() >= THRESHOLD);
    let mut again = [0; MANIFEST_BYTES];
    let written = manifest.encode(&mut again).expect("what was decoded can be encoded");
    assert_eq!(&again[..written], sections.manifest, "two encodings of {manifest:?}");
    assert!(opened.contents_at <= FRONT_BYTES as u64 && opened.contents_at + manifest.length() == length);
    assert!(length <= WORKLOAD_BYTES && is_workload_name(manifest.name) && !manifest.name.contains('/'));
    assert_eq!((manifest.epoch, manifest.selectors.architecture), (root.epoch, "x86_64"));
    assert!(manifest.run.is_none() || !manifest.forgets);
    if let Some(run) = &manifest.run {
        assert!(run.user != 0 && run.group != 0 && run.bounds.is_possible() && run.restart.delay > 0);
        assert!(run.command[0].starts_with(b"/") && run.command.iter().all(|word| !word.contains(&0)));
        assert!(run.environment.iter().all(|word| word.contains(&b'=') && !word.contains(&0)));
        assert!(
            run.writable.iter().all(|path| is_writable(path) && path.split('/').all(|part| part != ".."))
        );
    }
    let have = have.unwrap_or_default();
    assert!(manifest.rank() >= have.order());
    assert_eq!(unchanged, have == opened.rank());
    assert_eq!(open_kept_workload(front, length, &root, &root).expect("it was let in").rank(), opened.rank());
    true
}

fn remembered(bytes: &[u8]) -> bool {
    let Some(state) = WorkloadState::decode(bytes) else { return false };
    assert!(bytes.len() <= WORKLOAD_STATE_BYTES);
    assert!(state.names.is_sorted_by(|a, b| a.name < b.name));
    assert!(state.names.iter().all(|one| is_workload_name(&one.name)));
    let mut out = [0; WORKLOAD_STATE_BYTES];
    let length = state.encode(&mut out).expect("it fitted");
    assert_eq!(&out[..length], bytes, "two encodings of {state:?}");
    assert_eq!(WorkloadState::decode(&bytes[..bytes.len() - 1]), None, "a part of a copy");
    true
}

fn pack(manifest: &[u8], contents: u64, signers: &[usize]) -> Vec<u8> {
    let signatures = keys::detached(manifest, Domain::Workload, signers);
    let mut out = vec![0; FRONT_BYTES];
    let length = assemble_front(Container::Workload, manifest, &signatures, contents, &mut out);
    out.truncate(length.expect("the parts are bounded"));
    out
}

fn manifest() -> WorkloadManifest<'static> {
    WorkloadManifest {
        epoch: 2,
        sequence: 5,
        created: 1_800_000_000,
        selectors: Selectors { devices: None, architecture: "x86_64", agent: None, groups: None },
        name: "agent-7",
        run: Some(Run {
            contents: Content { length: 8192, hash: [1; 32] },
            command: [&b"/bin/agent"[..], b"--serve"].into_iter().collect(),
            environment: [&b"A=1"[..], b"HOME=/var"].into_iter().collect(),
            user: 1000,
            group: 1000,
            bounds: Bounds { memory: 1 << 26, pids: 32, cpu: 500 },
            restart: Restart { when: When::OnFailure, delay: 1, watchdog: 0 },
            writable: ["/var/cache", "/var/lib"].into_iter().collect(),
        }),
        forgets: false,
        comment: "",
    }
}

/// For all, with a watchdog, for few; a removal; again; what is remembered.
pub fn seeds() -> Vec<Seed> {
    let encoded = |manifest: &WorkloadManifest<'_>| {
        let mut out = vec![0; MANIFEST_BYTES];
        let length = manifest.encode(&mut out).expect("a seed is possible");
        out.truncate(length);
        out
    };
    let any = encoded(&manifest());
    let mut watched = manifest();
    if let Some(run) = &mut watched.run {
        run.restart.watchdog = 30;
    }
    let watched = encoded(&watched);
    let narrow = encoded(&WorkloadManifest {
        selectors: Selectors {
            devices: Some([[6; 16], DEVICE].into_iter().collect()),
            architecture: "x86_64",
            agent: Some([1, 0, 300]),
            groups: Some(["lab", "south"].into_iter().collect()),
        },
        comment: "für den Keller",
        ..manifest()
    });
    let removal = encoded(&WorkloadManifest { run: None, ..manifest() });
    let forgets = encoded(&WorkloadManifest { run: None, forgets: true, ..manifest() });
    let made = |flags: u8, state: [u8; 2], signers: &[u8], manifest: &[u8]| {
        let mut out = vec![MADE, flags];
        out.extend(state);
        put_block(&mut out, signers);
        out.extend(manifest);
        out
    };
    let mut state = WorkloadState { generation: 3, ..WorkloadState::default() };
    let rank = |sequence| Rank { epoch: 2, sequence, manifest: [7; 32] };
    for (name, next, gone) in [("agent-7", Some(rank(6)), false), ("pump", None, true)] {
        let name = name.try_into().expect("short");
        assert!(state.remember(Remembered { name, accepted: rank(5), next, gone }, 2));
    }
    let mut copy = [0; WORKLOAD_STATE_BYTES];
    let length = state.encode(&mut copy).expect("it fits");
    vec![
        ("first", made(0, [0; 2], &[0, 1], &any)),
        ("watched", made(0, [0; 2], &[0, 1], &watched)),
        ("narrow", made(0, [0; 2], &[2, 1, 0], &narrow)),
        ("removal", made(1, [2, 4], &[0, 1], &removal)),
        ("forgets", made(1, [2, 4], &[0, 1], &forgets)),
        ("again", made(3, [2, 5], &[0, 1], &any)),
        ("remembered", [&[STATE][..], &copy[..length]].concat()),
    ]
}
