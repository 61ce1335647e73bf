//! `image`: the front of an image of the system, as it comes and signed.

use aegis_bundle::limits::{FRONT_BYTES, IMAGE_BYTES, MANIFEST_BYTES};
use aegis_bundle::{
    Container, Content, ImageContext, ImageManifest, ImageState, Root, Selectors, Trial, assemble_front,
    hash, open_image, split_front,
};
use aegis_cose::{Domain, Sign, key_id};

use crate::Seed;
use crate::input::{Input, put_block};
use crate::keys::{self, KEYS};

/// First byte of an input whose rest is a file's front as it comes, after how long the file is.
const RAW: u8 = 0;
/// First byte of an input that says how to make one.
const MADE: u8 = 1;
/// Who signs images: any two of these.
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
        image: Some(keys::role(&SIGNERS, THRESHOLD as u8)),
        workload: None,
        revoked: [].into_iter().collect(),
        revoked_keys: [].into_iter().collect(),
    }
}

/// What is let in was signed by enough keys, is for this device, is not older than what the device has, and its parts are
/// bounded and lie within the file.
pub fn run(data: &[u8]) -> bool {
    let mut input = Input(data);
    let mode = input.u8() & 1;
    let flags = input.u8();
    let state = ImageState {
        epoch: u64::from(input.u8() % 4),
        sequence: u64::from(input.u8()),
        trial: Trial::from_number(flags & 3).unwrap_or_default(),
        trial_epoch: u64::from(input.u8() % 4),
        trial_sequence: u64::from(input.u8()),
        ..ImageState::default()
    };
    let running = (flags & 4 != 0).then_some((2, u64::from(input.u8())));
    let insist = flags & 8 != 0;
    if mode == RAW {
        let length = u64::from(input.u8()) << 16 | u64::from(input.u8()) << 8;
        let front = input.rest();
        return opened(front, length.max(front.len() as u64), state, running, insist);
    }
    let signers: Vec<usize> = input.block().iter().map(|n| usize::from(*n) % KEYS).take(4).collect();
    let manifest = input.rest();
    if manifest.len() > MANIFEST_BYTES || signers.is_empty() {
        return false;
    }
    let state = if flags & 16 == 0 { state } else { ImageState { manifest: hash(manifest), ..state } };
    let state = if flags & 32 == 0 { state } else { ImageState { trial_manifest: hash(manifest), ..state } };
    let contents = ImageManifest::decode(manifest)
        .map_or(0, |manifest| manifest.files().iter().map(|(_, file)| file.length).sum());
    let front = pack(manifest, contents, &signers);
    opened(&front, front.len() as u64 + contents, state, running, insist)
}

fn opened(front: &[u8], length: u64, state: ImageState, running: Option<(u64, u64)>, insist: bool) -> bool {
    let root = root();
    let context = ImageContext {
        root: &root,
        device: Some(DEVICE),
        architecture: Some("x86_64"),
        agent: Some([1, 2, 3]),
        groups: Some(&["lab"]),
        state,
        running,
        insist,
    };
    let accepted = match open_image(front, length, &context) {
        Ok(accepted) => accepted,
        Err(refusal) => {
            assert!(!refusal.code().is_empty() && !refusal.to_string().contains('\n'));
            return false;
        }
    };
    let manifest = &accepted.manifest;
    let sections = split_front(Container::Image, front, length).expect("it was opened");
    let message = Sign::parse(sections.signatures).expect("it was opened");
    let signed: Vec<_> = message.signers().map(|signer| signer.kid).collect();
    let role = root.image.as_ref().expect("it is there");
    assert!(role.keys.iter().filter(|key| signed.contains(&key_id(key))).count() >= THRESHOLD);
    let mut again = [0; MANIFEST_BYTES];
    let written = manifest.encode(&mut again).expect("what was decoded can be encoded");
    assert_eq!(&again[..written], sections.manifest, "two encodings of {manifest:?}");
    let total: u64 = manifest.files().iter().map(|(_, file)| file.length).sum();
    assert!(accepted.contents_at <= FRONT_BYTES as u64 && accepted.contents_at + total == length);
    assert!(length <= IMAGE_BYTES);
    assert_eq!((manifest.epoch, manifest.selectors.architecture), (root.epoch, "x86_64"));
    assert!(manifest.selectors.devices.as_ref().is_none_or(|ids| ids.contains(&DEVICE)));
    let offered = manifest.rank();
    assert!(offered >= state.committed() && running.is_none_or(|running| offered >= running));
    assert!(state.trial != Trial::Written || offered >= state.tried());
    assert!(state.trial != Trial::Failed || insist || offered > state.tried());
    true
}

fn pack(manifest: &[u8], contents: u64, signers: &[usize]) -> Vec<u8> {
    let signatures = keys::detached(manifest, Domain::Image, signers);
    let mut out = vec![0; FRONT_BYTES];
    let length = assemble_front(Container::Image, manifest, &signatures, contents, &mut out);
    out.truncate(length.expect("the parts are bounded"));
    out
}

fn manifest() -> ImageManifest<'static> {
    let content = |length, n| Content { length, hash: [n; 32] };
    ImageManifest {
        epoch: 2,
        sequence: 5,
        created: 1_800_000_000,
        selectors: Selectors { devices: None, architecture: "x86_64", agent: None, groups: None },
        boot: [content(5000, 1), content(6000, 2)],
        root: content(8192, 3),
        comment: "",
    }
}

/// For all, for few; again, held back, and one that went bad.
pub fn seeds() -> Vec<Seed> {
    let encoded = |manifest: &ImageManifest<'_>| {
        let mut out = vec![0; MANIFEST_BYTES];
        let length = manifest.encode(&mut out).expect("a seed is possible");
        out.truncate(length);
        out
    };
    let any = encoded(&manifest());
    let narrow = encoded(&ImageManifest {
        selectors: Selectors {
            devices: Some([[6; 16], DEVICE].into_iter().collect()),
            architecture: "x86_64",
            agent: Some([1, 0, 300]),
            groups: Some(["lab", "south"].into_iter().collect()),
        },
        comment: "für den Keller",
        ..manifest()
    });
    let made = |flags: u8, state: [u8; 5], signers: &[u8], manifest: &[u8]| {
        let mut out = vec![MADE, flags];
        out.extend(state);
        put_block(&mut out, signers);
        out.extend(manifest);
        out
    };
    vec![
        ("first", made(4, [0, 0, 0, 0, 4], &[0, 1], &any)),
        ("narrow", made(0, [0; 5], &[2, 1, 0], &narrow)),
        ("waits", made(4 | 2 | 32, [2, 4, 2, 5, 4], &[0, 1], &any)),
        ("insists", made(4 | 3 | 8, [2, 4, 2, 6, 4], &[0, 1], &any)),
        ("went-bad", made(4 | 16, [2, 5, 0, 0, 4], &[0, 1], &any)),
    ]
}
