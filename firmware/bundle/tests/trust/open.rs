//! What is let in, and the name of every reason for which something is not.

use super::common::{TOML, assembled, bundle, context, encode, manifest, pack, pair, policy, root};
use aegis_bundle::limits::{BUNDLE_BYTES, HEADER_BYTES};
use aegis_bundle::{Context, Reason, Refusal, Root, TrustState, hash, open, open_kept};
use aegis_policy::{Mode, PolicyError};
use proptest::prelude::*;

fn reason(bytes: &[u8], context: &Context<'_>) -> Option<Reason> {
    open(bytes, context).err().map(|refusal| refusal.reason)
}

fn refused(bytes: &[u8]) -> Option<Reason> {
    reason(bytes, &context(&root(&[1], 1)))
}

#[test]
fn a_good_bundle_is_let_in_and_the_same_again_changes_nothing() {
    let root = root(&[1], 1);
    let bytes = bundle(|_| {});
    let accepted = open(&bytes, &context(&root)).expect("good");
    assert_eq!((accepted.code(), accepted.unchanged), ("accepted", false));
    assert_eq!((accepted.bundle.policy.name(), accepted.bundle.source), ("test", "schema = 1\n"));
    assert_eq!(accepted.bundle.hash, hash(&bytes));
    let state = accepted.state;
    assert_eq!((state.generation, state.epoch, state.sequence, state.time), (1, 2, 5, 1_800_000_000));
    let again = open(&bytes, &Context { state, ..context(&root) }).expect("the same");
    assert_eq!((again.code(), again.unchanged), ("unchanged", true));
    assert_eq!(again.state, TrustState { generation: 2, ..state }, "put in force again, it is what it was");
}

#[test]
fn order_is_kept() {
    let root = root(&[1], 1);
    let state = open(&bundle(|_| {}), &context(&root)).expect("good").state;
    let after = |change: &dyn Fn(&mut aegis_bundle::Manifest<'_>)| {
        reason(&bundle(|manifest| change(manifest)), &Context { state, ..context(&root) })
    };
    assert_eq!(after(&|manifest| manifest.sequence = 6), None);
    assert_eq!(after(&|manifest| manifest.sequence = 4), Some(Reason::Rollback));
    assert_eq!(after(&|manifest| manifest.comment = "another"), Some(Reason::ReplayMismatch));
    assert_eq!(after(&|manifest| manifest.epoch = 3), Some(Reason::EpochAhead));
    // A higher sequence does not make up for an older epoch, on a new device neither.
    assert_eq!(after(&|manifest| (manifest.epoch, manifest.sequence) = (1, 99)), Some(Reason::Rollback));
    assert_eq!(refused(&bundle(|manifest| manifest.epoch = 1)), Some(Reason::Rollback));
    // A root that raised the epoch lets a low sequence in again.
    let raised = Root { epoch: 3, ..root.clone() };
    let low = bundle(|manifest| (manifest.epoch, manifest.sequence) = (3, 1));
    assert_eq!(reason(&low, &Context { state, ..context(&raised) }), None);
    // A device that saw a later epoch than its root now says stays there.
    let later = TrustState { epoch: 4, ..state };
    assert_eq!(reason(&low, &Context { state: later, ..context(&raised) }), Some(Reason::Rollback));
}

#[test]
fn signed_time_only_rises_and_tells_what_is_stale() {
    let root = root(&[1], 1);
    let state = TrustState { time: 1_900_000_000, ..TrustState::default() };
    let bytes = bundle(|manifest| manifest.expires = Some(1_850_000_000));
    let accepted = open(&bytes, &Context { state, ..context(&root) }).expect("stale is let in");
    assert_eq!(accepted.state.time, 1_900_000_000);
    assert!(accepted.bundle.is_stale(accepted.state.time), "the highest signed time says so");
    let fresh = open(&bytes, &context(&root)).expect("good").bundle;
    assert!(!fresh.is_stale(1_849_999_999) && fresh.is_stale(1_850_000_000));
}

#[test]
fn selectors_select() {
    let devices = |ids: &[[u8; 16]]| {
        let list = ids.iter().copied().collect();
        refused(&bundle(|manifest| manifest.devices = Some(list)))
    };
    assert_eq!(devices(&[[6; 16], [7; 16]]), None);
    assert_eq!(devices(&[[6; 16], [8; 16]]), Some(Reason::WrongDevice));
    let groups = |names: &[&'static str]| {
        let list = names.iter().copied().collect();
        refused(&bundle(|manifest| manifest.groups = Some(list)))
    };
    assert_eq!(groups(&["pumps", "south"]), None);
    assert_eq!(groups(&["south"]), Some(Reason::WrongGroup));
    let kernels = |id| refused(&bundle(|manifest| manifest.kernels = Some([[id; 32]].into_iter().collect())));
    assert_eq!(kernels(9), None);
    assert_eq!(kernels(8), Some(Reason::WrongKernel));
    let architectures =
        |name| refused(&bundle(|manifest| manifest.architectures = Some([name].into_iter().collect())));
    assert_eq!(architectures("x86_64"), None);
    assert_eq!(architectures("aarch64"), Some(Reason::WrongArchitecture));
    for (least, expected) in [
        ([1, 2, 3], None),
        ([1, 2, 4], Some(Reason::AgentTooOld)),
        ([2, 0, 0], Some(Reason::AgentTooOld)),
        ([1, 1, 9], None),
    ] {
        assert_eq!(refused(&bundle(|manifest| manifest.agent = Some(least))), expected, "{least:?}");
    }
}

#[test]
fn signers_are_counted_by_distinct_known_keys() {
    let policy = policy(Mode::Enforce);
    let manifest = encode(&manifest(&policy, TOML));
    for (signers, known, threshold, expected) in [
        (&[1u8][..], &[1u8][..], 1, None),
        (&[1, 2], &[1, 2, 3], 2, None),
        (&[9, 1], &[1], 1, None),
        (&[1, 1], &[1, 2], 2, Some(Reason::Threshold)),
        (&[1], &[1, 2], 2, Some(Reason::Threshold)),
        (&[9], &[1], 1, Some(Reason::UnknownKey)),
        (&[100], &[1], 1, Some(Reason::UnknownKey)),
    ] {
        let bytes = pack(&manifest, &[&policy, TOML], signers);
        assert_eq!(
            reason(&bytes, &context(&root(known, threshold))),
            expected,
            "{signers:?} {known:?} {threshold}"
        );
    }
}

#[test]
fn a_signature_made_for_something_else_is_worth_nothing() {
    let policy = policy(Mode::Enforce);
    let manifest = encode(&manifest(&policy, TOML));
    let mut scratch = vec![0; manifest.len() + 128];
    let made =
        aegis_cose::signature(&manifest, aegis_cose::Domain::Root, &pair(1).sk, &mut scratch).expect("room");
    let mut cose = [0; 256];
    let length = aegis_cose::sign_detached(&[made], &mut cose).expect("room");
    assert_eq!(refused(&assembled(&manifest, &cose[..length], &[&policy, TOML])), Some(Reason::BadSignature));
    // The payload inside instead of beside: another message than the one that must stand here.
    let mut long = vec![0; 1024];
    let length = aegis_cose::sign_embedded(&manifest, &[made], &mut long).expect("room");
    assert_eq!(refused(&assembled(&manifest, &long[..length], &[&policy, TOML])), Some(Reason::BadCose));
}

#[test]
fn header_lies_are_named() {
    let good = bundle(|_| {});
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        refused(&bad)
    };
    assert_eq!(refused(&good[..HEADER_BYTES - 1]), Some(Reason::TooShort));
    assert_eq!(refused(&[]), Some(Reason::TooShort));
    assert_eq!(with(0, b"B"), Some(Reason::BadMagic));
    assert_eq!(with(8, &[2]), Some(Reason::UnsupportedFormat));
    assert_eq!(with(10, &[65]), Some(Reason::BadHeader));
    assert_eq!(with(40, &[1]), Some(Reason::BadHeader));
    assert_eq!(with(12, &[0xff; 4]), Some(Reason::TooLarge));
    assert_eq!(with(16, &[0xff; 8]), Some(Reason::TooLarge));
    assert_eq!(with(28, &[0, 0, 0, 1]), Some(Reason::LengthMismatch));
    assert_eq!(refused(&good[..good.len() - 1]), Some(Reason::Truncated));
    assert_eq!(refused(&[&good[..], &[0]].concat()), Some(Reason::TrailingBytes));
    assert_eq!(refused(&[&good[..], &vec![0; BUNDLE_BYTES]].concat()), Some(Reason::TooLarge));
}

#[test]
fn contents_are_held_to_the_manifest() {
    let compiled = policy(Mode::Enforce);
    let good = manifest(&compiled, TOML);
    let other: &[u8] = b"schema = 2\n";
    assert_eq!(refused(&pack(&encode(&good), &[&compiled, other], &[1])), Some(Reason::ContentHash));
    assert_eq!(refused(&pack(&encode(&good), &[&compiled], &[1])), Some(Reason::ContentLength));
    assert_eq!(refused(&pack(&encode(&good), &[&compiled, TOML, b"x"], &[1])), Some(Reason::ContentLength));
    // The border moved by one byte: same bytes, other files.
    let mut moved = good.clone();
    moved.policy.length -= 1;
    moved.source.length += 1;
    assert_eq!(refused(&pack(&encode(&moved), &[&compiled, TOML], &[1])), Some(Reason::ContentHash));
    let broken = &compiled[..compiled.len() - 1];
    let bytes = pack(&encode(&manifest(broken, TOML)), &[broken, TOML], &[1]);
    assert_eq!(refused(&bytes), Some(Reason::BadPolicy(PolicyError::Malformed)));
    let latin = b"# \xe9\n";
    assert_eq!(
        refused(&pack(&encode(&manifest(&compiled, latin)), &[&compiled, latin], &[1])),
        Some(Reason::BadSource)
    );
    assert_eq!(refused(&bundle(|manifest| manifest.ceiling = Mode::Audit)), Some(Reason::ModeCeiling));
    let audit = policy(Mode::Audit);
    let mut below = manifest(&audit, TOML);
    below.ceiling = Mode::Audit;
    assert_eq!(refused(&pack(&encode(&below), &[&audit, TOML], &[1])), None);
}

#[test]
fn a_revoked_manifest_is_refused() {
    let compiled = policy(Mode::Enforce);
    let manifest = encode(&manifest(&compiled, TOML));
    let bytes = pack(&manifest, &[&compiled, TOML], &[1]);
    let revoking = Root { revoked: [hash(&manifest)].into_iter().collect(), ..root(&[1], 1) };
    let refusal = open(&bytes, &context(&revoking)).expect_err("revoked");
    assert_eq!(refusal, Refusal { reason: Reason::Revoked, epoch: 2, sequence: 5 });
}

/// What is kept was let in under some root: replaced keys still count, revoked ones and revoked manifests do not.
#[test]
fn what_was_accepted_stays_until_it_is_revoked() {
    let compiled = policy(Mode::Enforce);
    let manifest = encode(&manifest(&compiled, TOML));
    let bytes = pack(&manifest, &[&compiled, TOML], &[1, 2]);
    let then = root(&[1, 2, 3], 2);
    let kept = |now: &Root| open_kept(&bytes, &then, now).err().map(|refusal| refusal.reason);
    let print = |n: u8| aegis_cose::fingerprint(&pair(n).pk);
    assert_eq!(kept(&then), None);
    assert_eq!(kept(&Root { epoch: 9, ..root(&[4], 1) }), None, "replaced keys, a later epoch");
    let one = Root { revoked_keys: [print(2)].into_iter().collect(), ..root(&[4], 1) };
    assert_eq!(kept(&one), Some(Reason::RevokedKey));
    let other = Root { revoked_keys: [print(3)].into_iter().collect(), ..root(&[4], 1) };
    assert_eq!(kept(&other), None, "a key that did not sign");
    let gone = Root { revoked: [hash(&manifest)].into_iter().collect(), ..root(&[4], 1) };
    assert_eq!(kept(&gone), Some(Reason::Revoked));
    assert_eq!(open_kept(&bytes, &root(&[4], 1), &then).err().map(|r| r.reason), Some(Reason::UnknownKey));
    // Offered from outside, the one whose key is revoked is told so.
    assert_eq!(reason(&bytes, &context(&one)), Some(Reason::RevokedKey));
}

#[test]
fn what_failed_its_trials_waits_for_a_person() {
    let root = root(&[1], 1);
    let bytes = bundle(|_| {});
    let hash = open(&bytes, &context(&root)).expect("good").bundle.manifest_hash;
    let tried = |tries| TrustState { tried: hash, tries, ..TrustState::default().trying(hash, 2, 5) };
    let decide = |state, insist| reason(&bytes, &Context { state, insist, ..context(&root) });
    assert_eq!(decide(tried(aegis_bundle::limits::TRIES - 1), false), None);
    assert_eq!(decide(tried(aegis_bundle::limits::TRIES), false), Some(Reason::HeldBack));
    assert_eq!(decide(tried(aegis_bundle::limits::TRIES), true), None);
    // Two that fail take no turns; something newer has its own trials, and then all wait.
    let mut state = TrustState::default();
    for (manifest, sequence, held) in
        [(1, 5, false), (2, 6, false), (1, 5, false), (2, 6, false), (1, 5, true), (3, 7, false)]
    {
        assert_eq!(state.holds_back(&[manifest; 32], 2, sequence), held, "{manifest} {}", state.tries);
        if !held {
            state = state.trying([manifest; 32], 2, sequence);
        }
    }
    // One that a person left does not come back because another failed.
    let left = TrustState { left: hash, ..TrustState::default() }.trying([1; 32], 2, 9);
    assert_eq!(decide(left, false), Some(Reason::HeldBack));
    let accepted = open(&bytes, &Context { state: left, insist: true, ..context(&root) }).expect("insisted");
    assert_eq!((accepted.state.tried, accepted.state.tries, accepted.state.left), ([0; 32], 0, [0; 32]));
}

#[test]
fn the_one_before_is_remembered() {
    let root = root(&[1], 1);
    let first = open(&bundle(|_| {}), &context(&root)).expect("good").state;
    let second = bundle(|manifest| manifest.sequence = 6);
    let state = open(&second, &Context { state: first, ..context(&root) }).expect("good").state;
    assert_eq!((state.previous, state.bundle), (first.bundle, hash(&second)));
    let again = open(&second, &Context { state, ..context(&root) }).expect("the same").state;
    assert_eq!((again.previous, again.bundle), (first.bundle, hash(&second)), "not itself");
}

/// Signed by a good key, and still not the one encoding of a manifest that is possible.
#[test]
fn signed_nonsense_is_refused() {
    let compiled = policy(Mode::Enforce);
    let good = encode(&manifest(&compiled, TOML));
    let replaced = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|window| window == from).expect("is there");
        let bad = [&good[..at], to, &good[at + from.len()..]].concat();
        refused(&pack(&bad, &[&compiled, TOML], &[1]))
    };
    assert_eq!(replaced(b"\xab\x01\x65aegis", b"\xab\x01\x65aegiz"), Some(Reason::WrongProduct));
    assert_eq!(replaced(b"\x02\x01\x03\x02", b"\x02\x02\x03\x02"), Some(Reason::UnsupportedFormat));
    // epoch 2 in two bytes
    assert_eq!(replaced(b"\x03\x02\x04\x05", b"\x03\x18\x02\x04\x05"), Some(Reason::NotCanonical));
    assert_eq!(replaced(b"\x03\x02\x04\x05", b"\x03\x00\x04\x05"), Some(Reason::BadManifest));
    assert_eq!(replaced(b"\x03\x02\x04\x05", b"\x04\x05\x03\x02"), Some(Reason::BadManifest));
    assert_eq!(replaced(b"\xab\x01", b"\xbf\x01"), Some(Reason::NotCanonical));
    assert_eq!(replaced(b"\x0b\xf4", b"\x0b\xf4\x0c\x01"), Some(Reason::NotCanonical));
    // A key that this version does not know: every key is critical.
    let more = [b"\xac".as_slice(), &good[1..], b"\x0c\x01"].concat();
    assert_eq!(refused(&pack(&more, &[&compiled, TOML], &[1])), Some(Reason::BadManifest));
    assert_eq!(replaced(b"\x0b\xf4", b"\x0b\x00"), Some(Reason::BadCbor));
    assert_eq!(replaced(b"\x04\x63any", b"\x04\x81\x63a b"), Some(Reason::BadManifest));
    assert_eq!(replaced(b"\x05\x63any", b"\x05\x80"), Some(Reason::BadManifest));
    assert_eq!(replaced(b"\x0a\x66a test", b"\x0a\x46a test"), Some(Reason::BadCbor));
    assert_eq!(replaced(b"\x66a test", b"\x66a\ntest"), Some(Reason::BadManifest));
    assert_eq!(replaced(b"\x66policy", b"\x66polizy"), Some(Reason::ContentExtra));
    assert_eq!(replaced(b"\x66policy", b"\x6bpolicy.toml"), Some(Reason::ContentMissing));
    assert_eq!(replaced(b"\x01\x63any", b"\x01\x63all"), Some(Reason::BadManifest));
    assert_eq!(replaced(b"\x01\x63any", b"\x01\x80"), Some(Reason::BadManifest));
    assert_eq!(replaced(b"\x03\x63any", b"\x03\x82\x01\x02"), Some(Reason::BadManifest));
    let twice = [&[1, 0x82][..], &[0x50], &[7; 16], &[0x50], &[7; 16]].concat();
    assert_eq!(replaced(b"\x01\x63any", &twice), Some(Reason::BadManifest));
}

#[test]
fn every_byte_flip_and_every_truncation_is_refused() {
    let root = root(&[1], 1);
    let good = bundle(|_| {});
    assert_eq!(reason(&good, &context(&root)), None);
    for index in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[index] ^= 1 << bit;
            assert!(open(&bad, &context(&root)).is_err(), "byte {index} bit {bit}");
        }
        assert!(open(&good[..index], &context(&root)).is_err(), "cut at {index}");
    }
}

#[test]
fn codes_are_distinct_and_documented() {
    let documented = include_str!("../../../../docs/formats/reason-codes.md");
    let mut codes: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    for code in &codes {
        assert!(documented.contains(&format!("| `{code}` |")), "{code} is not in reason-codes.md");
        assert!(code.len() <= aegis_bundle::limits::CODE_BYTES);
    }
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Reason::ALL.len());
}

proptest! {
    #[test]
    fn any_bytes_behind_a_good_header_are_refused(
        manifest in proptest::collection::vec(any::<u8>(), 0..200),
        cose in proptest::collection::vec(any::<u8>(), 0..100),
        contents in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let root = root(&[1], 1);
        prop_assert!(open(&assembled(&manifest, &cose, &[&contents]), &context(&root)).is_err());
        // The same, signed: the manifest's reader has to hold.
        prop_assert!(open(&pack(&manifest, &[&contents], &[1]), &context(&root)).is_err());
    }

    #[test]
    fn any_signed_change_of_a_manifest_does_not_panic(at in any::<usize>(), byte in any::<u8>(), cut in any::<usize>()) {
        let compiled = policy(Mode::Enforce);
        let mut bad = encode(&manifest(&compiled, TOML));
        let at = at % bad.len();
        bad[at] = byte;
        if cut.is_multiple_of(4) { bad.truncate(cut / 4 % bad.len()); }
        let _ = open(&pack(&bad, &[&compiled, TOML], &[1]), &context(&root(&[1], 1)));
    }
}
