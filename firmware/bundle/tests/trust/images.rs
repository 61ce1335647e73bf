//! Images of the system: which are let in, in which order, and why others are not.

use aegis_bundle::limits::{FRONT_BYTES, IMAGE_BOOT_BYTES, IMAGE_BYTES, IMAGE_ROOT_BYTES};
use aegis_bundle::{
    AcceptedImage, Container, Content, ImageContext, ImageManifest, ImageState, Reason, Refusal, Root,
    Selectors, Trial, assemble_front, hash, open_image, split_front,
};
use aegis_cose::Domain;
use proptest::prelude::*;

use super::common::{front, pair, root};

const IMAGE_KEY: u8 = 60;
const RUNNING: (u64, u64) = (2, 4);

fn manifest() -> ImageManifest<'static> {
    let content = |length, n| Content { length, hash: [n; 32] };
    ImageManifest {
        epoch: 2,
        sequence: 5,
        created: 1_800_000_000,
        selectors: Selectors { devices: None, architecture: "x86_64", agent: None, groups: None },
        boot: [content(8000, 1), content(8001, 2)],
        root: content(12_288, 3),
        comment: "a test",
    }
}

fn encode(manifest: &ImageManifest<'_>) -> Vec<u8> {
    let mut out = vec![0; 4096];
    let length = manifest.encode(&mut out).expect("a possible manifest");
    out.truncate(length);
    out
}

fn total(manifest: &ImageManifest<'_>) -> u64 {
    manifest.files().iter().map(|(_, file)| file.length).sum()
}

/// The front of an image of any manifest bytes, signed by these keys, and the file's length.
fn pack(manifest: &[u8], contents: u64, keys: &[u8], domain: Domain) -> (Vec<u8>, u64) {
    front(Container::Image, manifest, contents, keys, domain)
}

fn image(change: impl FnOnce(&mut ImageManifest<'_>)) -> (Vec<u8>, u64) {
    let mut manifest = manifest();
    change(&mut manifest);
    pack(&encode(&manifest), total(&manifest), &[IMAGE_KEY], Domain::Image)
}

fn context(root: &Root) -> ImageContext<'_> {
    ImageContext {
        root,
        device: Some([7; 16]),
        architecture: Some("x86_64"),
        agent: Some([1, 2, 3]),
        groups: Some(&["north", "pumps"]),
        state: ImageState::default(),
        running: Some(RUNNING),
        insist: false,
    }
}

fn reason((front, length): &(Vec<u8>, u64), context: &ImageContext<'_>) -> Option<Reason> {
    open_image(front, *length, context).err().map(|refusal| refusal.reason)
}

fn refused(image: &(Vec<u8>, u64)) -> Option<Reason> {
    reason(image, &context(&root(&[1], 1)))
}

#[test]
fn a_good_image_is_let_in_by_its_front() {
    let root = root(&[1], 1);
    let (front, length) = image(|_| {});
    let AcceptedImage { manifest: found, manifest_hash, unchanged, contents_at } =
        open_image(&front, length, &context(&root)).expect("good");
    assert_eq!((found.clone(), unchanged), (manifest(), false));
    assert_eq!((manifest_hash, contents_at), (hash(&encode(&manifest())), front.len() as u64));
    // More of the file makes no difference.
    let more = [&front[..], &[9; 300]].concat();
    assert!(open_image(&more, length, &context(&root)).is_ok());
    assert_eq!(
        found.files().map(|(name, file)| (name, file.length)),
        [("boot-a", 8000), ("boot-b", 8001), ("root", 12_288)]
    );
}

/// What is offered after what: a table of what is remembered, what runs, and what comes of the image (2, 5).
#[test]
fn order_is_kept() {
    let root = root(&[1], 1);
    let five = image(|_| {});
    let other = image(|manifest| manifest.comment = "another");
    let mine = hash(&encode(&manifest()));
    let none = ImageState::default();
    let committed = |sequence, manifest| ImageState { epoch: 2, sequence, manifest, ..none };
    let trial = |trial, sequence, manifest| committed(4, [1; 32]).with_trial(trial, (2, sequence), manifest);
    let new = Ok(false);
    let unchanged = Ok(true);
    let cases = [
        ("a new device", none, Some((2, 4)), new),
        ("what runs, by number", none, Some((2, 5)), unchanged),
        ("older than what runs", none, Some((2, 6)), Err(Reason::Rollback)),
        ("nothing is known of what runs", none, None, new),
        ("newer than what was committed", committed(4, [1; 32]), Some((2, 4)), new),
        ("what was committed and runs", committed(5, mine), Some((2, 5)), unchanged),
        ("what was committed and went bad", committed(5, mine), Some((2, 4)), new),
        ("something else of its number", committed(5, [1; 32]), Some((2, 4)), Err(Reason::ReplayMismatch)),
        (
            "older than committed, newer than what runs",
            committed(6, mine),
            Some((2, 4)),
            Err(Reason::Rollback),
        ),
        ("it waits for a start", trial(Trial::Written, 5, mine), Some((2, 4)), unchanged),
        ("it runs on trial", trial(Trial::Written, 5, mine), Some((2, 5)), unchanged),
        (
            "another waits by its number",
            trial(Trial::Written, 5, [1; 32]),
            Some((2, 4)),
            Err(Reason::ReplayMismatch),
        ),
        ("a newer one waits", trial(Trial::Written, 6, [1; 32]), Some((2, 4)), Err(Reason::Rollback)),
        ("an older one waits", trial(Trial::Written, 4, [1; 32]), Some((2, 3)), new),
        ("it was cut short", trial(Trial::Writing, 5, mine), Some((2, 4)), new),
        ("another was cut short", trial(Trial::Writing, 6, [1; 32]), Some((2, 4)), new),
        ("it failed", trial(Trial::Failed, 5, mine), Some((2, 4)), Err(Reason::HeldBack)),
        ("a newer one failed", trial(Trial::Failed, 6, [1; 32]), Some((2, 4)), Err(Reason::HeldBack)),
        ("an older one failed", trial(Trial::Failed, 4, [1; 32]), Some((2, 4)), new),
    ];
    for (case, state, running, expected) in cases {
        let context = ImageContext { state, running, ..context(&root) };
        let found = open_image(&five.0, five.1, &context);
        assert_eq!(
            found.map(|accepted| accepted.unchanged).map_err(|refusal| refusal.reason),
            expected,
            "{case}"
        );
        let insists = ImageContext { insist: true, ..context };
        let found = reason(&five, &insists);
        let expected = expected.err().filter(|reason| *reason != Reason::HeldBack);
        assert_eq!(found, expected, "{case}: a person insists on what is held back, and on nothing else");
    }
    let state = committed(5, mine);
    assert_eq!(reason(&other, &ImageContext { state, ..context(&root) }), Some(Reason::ReplayMismatch));
    // Epochs: that of the root, and no other.
    assert_eq!(refused(&image(|manifest| manifest.epoch = 3)), Some(Reason::EpochAhead));
    assert_eq!(
        refused(&image(|manifest| (manifest.epoch, manifest.sequence) = (1, 99))),
        Some(Reason::Rollback)
    );
    let raised = Root { epoch: 3, ..root.clone() };
    let low = image(|manifest| (manifest.epoch, manifest.sequence) = (3, 1));
    assert_eq!(reason(&low, &ImageContext { state, ..context(&raised) }), None);
}

#[test]
fn a_state_goes_from_writing_to_committed_or_failed() {
    let begun = ImageState::default().with_trial(Trial::Writing, (2, 5), [5; 32]);
    assert_eq!((begun.committed(), begun.tried(), begun.trial), ((0, 0), (2, 5), Trial::Writing));
    let committed = begun.at(Trial::Written).commit();
    assert_eq!((committed.committed(), committed.manifest, committed.trial), ((2, 5), [5; 32], Trial::None));
    assert_eq!(committed.tried(), (0, 0));
    let failed = begun.at(Trial::Failed);
    assert_eq!((failed.committed(), failed.tried()), ((0, 0), (2, 5)));
    for number in 0..=u8::MAX {
        assert_eq!(Trial::from_number(number).map_or(number, |trial| trial as u8), number);
    }
}

#[test]
fn only_the_image_role_signs_images() {
    let bytes = encode(&manifest());
    let by = |keys: &[u8], domain| pack(&bytes, total(&manifest()), keys, domain);
    for (keys, expected) in [
        (&[60u8][..], None),
        (&[61, 60], None),
        (&[1], Some(Reason::UnknownKey)),
        (&[50], Some(Reason::UnknownKey)),
        (&[100], Some(Reason::UnknownKey)),
    ] {
        assert_eq!(refused(&by(keys, Domain::Image)), expected, "{keys:?}");
    }
    // Signed as something else.
    assert_eq!(refused(&by(&[60], Domain::Bundle)), Some(Reason::BadSignature));
    let two = Root { image: Some(super::common::role(&[60, 61], 2)), ..root(&[1], 1) };
    assert_eq!(reason(&by(&[60], Domain::Image), &context(&two)), Some(Reason::Threshold));
    assert_eq!(reason(&by(&[60, 61], Domain::Image), &context(&two)), None);
    let nobody = Root { image: None, ..root(&[1], 1) };
    assert_eq!(reason(&by(&[60], Domain::Image), &context(&nobody)), Some(Reason::NoRole));
    let print = |n: u8| aegis_cose::fingerprint(&pair(n).pk);
    let revoked = Root {
        image: Some(super::common::role(&[61], 1)),
        revoked_keys: [print(60)].into_iter().collect(),
        ..root(&[1], 1)
    };
    assert_eq!(reason(&by(&[60], Domain::Image), &context(&revoked)), Some(Reason::RevokedKey));
    let revoking = Root { revoked: [hash(&bytes)].into_iter().collect(), ..root(&[1], 1) };
    let (front, length) = by(&[60], Domain::Image);
    assert_eq!(
        open_image(&front, length, &context(&revoking)).err(),
        Some(Refusal { reason: Reason::Revoked, epoch: 2, sequence: 5 })
    );
    // A policy key that is given the role by mistake of the root is the root's to give.
    let bundle = super::common::bundle(|_| {});
    assert_eq!(
        refused(&(bundle.clone(), bundle.len() as u64)),
        Some(Reason::BadMagic),
        "a policy is no image"
    );
}

#[test]
fn selectors_select() {
    let devices = |id: [u8; 16]| {
        refused(&image(|manifest| manifest.selectors.devices = Some([id].into_iter().collect())))
    };
    assert_eq!((devices([7; 16]), devices([8; 16])), (None, Some(Reason::WrongDevice)));
    let groups =
        |name| refused(&image(|manifest| manifest.selectors.groups = Some([name].into_iter().collect())));
    assert_eq!((groups("pumps"), groups("south")), (None, Some(Reason::WrongGroup)));
    assert_eq!(
        refused(&image(|manifest| manifest.selectors.architecture = "aarch64")),
        Some(Reason::WrongArchitecture)
    );
    assert_eq!(refused(&image(|manifest| manifest.selectors.agent = Some([1, 2, 3]))), None);
    assert_eq!(
        refused(&image(|manifest| manifest.selectors.agent = Some([1, 2, 4]))),
        Some(Reason::AgentTooOld)
    );
}

#[test]
fn what_can_not_be_is_not_written_and_not_read() {
    type Change = fn(&mut ImageManifest<'_>);
    let changes: [(&str, Change); 13] = [
        ("epoch", |manifest| manifest.epoch = 0),
        ("sequence", |manifest| manifest.sequence = 0),
        ("created", |manifest| manifest.created = u64::MAX),
        ("no architecture", |manifest| manifest.selectors.architecture = ""),
        ("any architecture", |manifest| manifest.selectors.architecture = "any"),
        ("no devices", |manifest| manifest.selectors.devices = Some([].into_iter().collect())),
        ("devices twice", |manifest| {
            manifest.selectors.devices = Some([[1; 16], [1; 16]].into_iter().collect());
        }),
        ("a group that is none", |manifest| manifest.selectors.groups = Some(["A"].into_iter().collect())),
        ("a boot that is too short", |manifest| manifest.boot[0].length = 4095),
        ("a boot that is too long", |manifest| manifest.boot[1].length = IMAGE_BOOT_BYTES + 1),
        ("a root of no whole blocks", |manifest| manifest.root.length = 12_289),
        ("a root that is too long", |manifest| manifest.root.length = IMAGE_ROOT_BYTES + 4096),
        ("a comment that rings", |manifest| manifest.comment = "\x07"),
    ];
    for (name, change) in changes {
        let mut bad = manifest();
        change(&mut bad);
        assert_eq!(bad.encode(&mut [0; 4096]), None, "{name}");
    }
    let mut longest = manifest();
    longest.boot[0].length = IMAGE_BOOT_BYTES;
    longest.boot[1].length = IMAGE_BOOT_BYTES;
    longest.root.length = IMAGE_ROOT_BYTES;
    let (front, length) = pack(&encode(&longest), total(&longest), &[60], Domain::Image);
    assert!(length <= IMAGE_BYTES && open_image(&front, length, &context(&root(&[1], 1))).is_ok());
}

#[test]
fn header_lies_are_named() {
    let good = image(|_| {});
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad.0[at..at + bytes.len()].copy_from_slice(bytes);
        refused(&bad)
    };
    assert_eq!(refused(&(good.0[..63].to_vec(), good.1)), Some(Reason::TooShort));
    assert_eq!(
        refused(&(good.0[..good.0.len() - 1].to_vec(), good.1)),
        Some(Reason::Truncated),
        "a short front"
    );
    assert_eq!(refused(&(good.0.clone(), good.1 - 1)), Some(Reason::Truncated));
    assert_eq!(refused(&(good.0.clone(), good.1 + 1)), Some(Reason::TrailingBytes));
    assert_eq!(refused(&(good.0.clone(), IMAGE_BYTES + 1)), Some(Reason::TooLarge));
    assert_eq!(with(0, b"B"), Some(Reason::BadMagic));
    assert_eq!(with(8, &[2]), Some(Reason::UnsupportedFormat));
    assert_eq!(with(10, &[65]), Some(Reason::BadHeader));
    assert_eq!(with(12, &[0xff; 4]), Some(Reason::TooLarge));
    assert_eq!(with(28, &[0, 0, 0, 1]), Some(Reason::LengthMismatch));
    // Contents that are not those of the manifest, and a header that agrees with the file.
    let more = pack(&encode(&manifest()), total(&manifest()) + 1, &[60], Domain::Image);
    assert_eq!(refused(&more), Some(Reason::ContentLength));
}

#[test]
fn every_flip_and_cut_of_a_front_is_refused() {
    let (good, length) = image(|_| {});
    for index in 0..good.len() {
        assert!(refused(&(good[..index].to_vec(), length)).is_some(), "cut at {index}");
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[index] ^= 1 << bit;
            assert!(refused(&(bad, length)).is_some(), "byte {index} bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_behind_a_good_header_are_refused(
        manifest in proptest::collection::vec(any::<u8>(), 0..200),
        contents in 0u64..100_000,
    ) {
        prop_assert!(refused(&pack(&manifest, contents, &[60], Domain::Image)).is_some());
    }

    #[test]
    fn what_is_cut_is_what_was_put_together(
        manifest in proptest::collection::vec(any::<u8>(), 0..200),
        cose in proptest::collection::vec(any::<u8>(), 0..200),
        contents in 0u64..100_000,
    ) {
        let mut out = vec![0; FRONT_BYTES];
        let front = assemble_front(Container::Image, &manifest, &cose, contents, &mut out).expect("fits");
        let sections = split_front(Container::Image, &out, front as u64 + contents).expect("good");
        prop_assert_eq!((sections.manifest, sections.signatures), (&manifest[..], &cose[..]));
        prop_assert_eq!((sections.contents_at, sections.contents_length), (front as u64, contents));
    }
}
