//! The chain of root metadata: what it lets in, what it takes out of force, what is lost of it.

#![allow(clippy::unwrap_used)]
use aegis_bundle::{Answer, Root, hash, limits as bounds};

use super::world::{
    NEXT_POLICY_KEY, POLICY_KEY, World, bundle, fingerprint, manifest_of, policy_by, version,
};
use crate::storage::disk::{self, Disk};
use crate::storage::trust::REVOKED;

/// Key 2 in place of key 1.
fn replaced(root: &mut Root) {
    root.policy = policy_by(NEXT_POLICY_KEY);
}

/// The same, and key 1 is worth nothing any more.
fn revoked(root: &mut Root) {
    replaced(root);
    root.revoked_keys = [fingerprint(POLICY_KEY)].into_iter().collect();
}

#[test]
fn replaced_keys_and_a_raised_epoch_unseat_nothing() {
    let world = World::new();
    let disk = world.disk();
    let kernel = world.boot(&disk);
    let next = version(2, replaced);
    let later = version(3, |root| {
        replaced(root);
        root.epoch = 3;
    });
    for bytes in [&next, &later] {
        let taken = world.rotate(&disk, &kernel, bytes);
        assert_eq!((taken.answer, taken.code), (Answer::Accepted, "accepted"));
        assert_eq!((taken.hash, kernel.running()), (Some(hash(bytes)), hash(&world.second)));
        assert_eq!(world.boot(&disk).running(), hash(&world.second));
    }
    let taken = world.rotate(&disk, &kernel, &later);
    assert_eq!(
        (taken.answer, taken.code, taken.sequence, taken.epoch),
        (Answer::Unchanged, "unchanged", 3, 3)
    );
    // What is offered goes by the new one.
    assert_eq!(world.offer(&disk, &kernel, &bundle(9, POLICY_KEY, |it| it.epoch = 3)).code, "unknown-key");
    assert_eq!(world.offer(&disk, &kernel, &bundle(9, NEXT_POLICY_KEY, |_| {})).code, "rollback");
    let first_of_its_epoch = bundle(1, NEXT_POLICY_KEY, |it| it.epoch = 3);
    assert_eq!(world.offer(&disk, &kernel, &first_of_its_epoch).code, "accepted");
    // Not back to one of an epoch that the root has left.
    assert_eq!(world.roll_back(&disk, &kernel).code, "rollback");
    assert_eq!(kernel.running(), hash(&first_of_its_epoch));
}

#[test]
fn what_is_revoked_is_out_of_force_at_once_and_what_was_before_it_stands_in() {
    let world = World::new();
    let (first, second) = (manifest_of(&world.first), manifest_of(&world.second));
    let revoking = |list: &[[u8; 32]]| {
        let mut list = list.to_vec();
        list.sort_unstable();
        version(2, |root| root.revoked = list.into_iter().collect())
    };
    let cases = [
        (revoking(&[second]), hash(&world.first)),
        (revoking(&[first, second]), hash(&world.baseline)),
        (version(2, revoked), hash(&world.baseline)),
        (revoking(&[first]), hash(&world.second)),
        (revoking(&[[1; 32]]), hash(&world.second)),
    ];
    for (number, (root, expected)) in cases.into_iter().enumerate() {
        let disk = world.disk();
        let kernel = world.boot(&disk);
        assert_eq!(world.rotate(&disk, &kernel, &root).code, "accepted");
        assert_eq!(kernel.running(), expected, "case {number}");
        assert_eq!(world.boot(&disk).running(), expected, "case {number}, after a boot");
        assert!(world.standing(&disk).faults.is_empty(), "case {number}: settled");
        let accepted = world.trust(&disk).state().sequence;
        assert_eq!(accepted, 6, "case {number}: an older one is refused still");
    }
}

#[test]
fn a_revocation_that_comes_with_the_image_is_heeded_at_boot() {
    let world = World::new();
    let disk = world.disk();
    world.set_anchor(&version(4, |root| root.revoked = [manifest_of(&world.second)].into_iter().collect()));
    let standing = world.standing(&disk);
    assert_eq!((standing.faults[0].code, standing.faults[0].sequence), (REVOKED, 6));
    assert_eq!(world.boot(&disk).running(), hash(&world.first));
    assert!(world.standing(&disk).faults.is_empty(), "settled");
    // Revoked is not what a later root forgets when it raises the epoch: it is not in force any more.
    world.set_anchor(&version(5, |root| root.epoch = 3));
    assert_eq!(world.boot(&disk).running(), hash(&world.first));
}

#[test]
fn what_was_revoked_once_stays_out_of_force_when_a_later_root_leaves_it_out() {
    let world = World::new();
    let disk = world.disk();
    // The power went before the revocation could be settled; a root with a higher epoch followed.
    disk::replace(
        &disk,
        "roots/2.cbor",
        &version(2, |root| {
            root.revoked = [manifest_of(&world.second)].into_iter().collect();
        }),
    )
    .unwrap();
    disk::replace(&disk, "roots/3.cbor", &version(3, |root| root.epoch = 3)).unwrap();
    let kernel = world.boot(&disk);
    assert_eq!(kernel.running(), hash(&world.first));
    assert_eq!(world.roll_back(&disk, &kernel).code, "no-previous");
}

#[test]
fn a_lost_link_does_not_bring_a_revoked_key_back() {
    let world = World::new();
    let disk = world.disk();
    let kernel = world.boot(&disk);
    let theirs = bundle(9, POLICY_KEY, |_| {});
    let link = version(2, |root| {
        root.policy = policy_by(NEXT_POLICY_KEY);
        root.revoked_keys = [fingerprint(POLICY_KEY)].into_iter().collect();
    });
    assert_eq!(world.rotate(&disk, &kernel, &link).code, "accepted");
    assert_eq!(world.offer(&disk, &kernel, &theirs).code, "revoked-key");
    disk.remove("roots/2.cbor").unwrap();
    let kernel = world.boot(&disk);
    assert_eq!(world.offer(&disk, &kernel, &theirs).code, "root-lost");
    assert_eq!(world.rotate(&disk, &kernel, &link).code, "accepted");
    assert_eq!(world.offer(&disk, &kernel, &theirs).code, "revoked-key");
    assert_eq!(world.offer(&disk, &kernel, &bundle(9, NEXT_POLICY_KEY, |_| {})).code, "accepted");
}

#[test]
fn strangers_and_gaps_do_not_get_in() {
    let world = World::new();
    let disk = world.disk();
    let kernel = world.boot(&disk);
    let stranger = version(2, |root| root.root = policy_by(55));
    for (bytes, code) in
        [(&version(3, |_| {}), "root-version"), (&stranger, "unknown-key"), (&b"x".to_vec(), "not-canonical")]
    {
        let taken = world.rotate(&disk, &kernel, bytes);
        assert_eq!(taken.answer, Answer::Refused);
        assert!(taken.code == code || taken.code == "truncated", "{}", taken.code);
        assert_eq!(world.trust(&disk).root().version, 1);
    }
    // Who only holds the disk.
    disk::replace(&disk, "roots/2.cbor", &stranger).unwrap();
    assert_eq!(world.trust(&disk).root().version, 1);
    assert_eq!(world.trust(&disk).root_lost(), None, "nothing that was accepted");
    assert_eq!(world.rotate(&disk, &kernel, &version(2, |_| {})).code, "accepted");
}

#[test]
fn a_chain_that_lost_a_link_is_said_and_mended_by_the_same_stick() {
    let world = World::new();
    let disk = world.disk();
    let kernel = world.boot(&disk);
    let chain = [
        version(2, |_| {}),
        version(3, replaced),
        version(4, |root| {
            replaced(root);
            root.epoch = 3;
        }),
    ];
    for bytes in &chain {
        assert_eq!(world.rotate(&disk, &kernel, bytes).code, "accepted");
    }
    let ours = bundle(1, NEXT_POLICY_KEY, |it| it.epoch = 3);
    assert_eq!(world.offer(&disk, &kernel, &ours).code, "accepted");

    for damage in [None, Some(&b"rot"[..]), Some(&chain[2])] {
        disk.remove("roots/2.cbor").unwrap();
        if let Some(damage) = damage {
            disk::replace(&disk, "roots/2.cbor", damage).unwrap();
        }
        let trust = world.trust(&disk);
        assert_eq!(trust.root().version, 1);
        let why = trust.root_lost().expect("it is lost");
        assert!(why.contains("version 1") && why.contains("version 4"), "{why}");
        // Nobody vouches for what is in force; what was before it still counts.
        let kernel = world.boot(&disk);
        assert_eq!(kernel.running(), hash(&world.second));
        assert_eq!(world.trust(&disk).state().root_version, 4, "remembered");
        // The old root is no way back: what later ones revoked is not known.
        for offered in [bundle(50, POLICY_KEY, |_| {}), bundle(50, POLICY_KEY, |it| it.epoch = 3)] {
            assert_eq!(world.offer(&disk, &kernel, &offered).code, "root-lost");
            assert_eq!(world.insist(&disk, &kernel, &offered).code, "root-lost");
        }

        let taken = world.rotate(&disk, &kernel, &chain[0]);
        assert_eq!((taken.code, taken.sequence), ("accepted", 4), "what was behind the gap counts again");
        assert_eq!(world.trust(&disk).root_lost(), None);
        assert_eq!(kernel.running(), hash(&ours), "and so does what it let in");
    }
}

#[test]
fn what_the_image_has_overtaken_is_swept() {
    let world = World::new();
    let disk = world.disk();
    let kernel = world.boot(&disk);
    for number in 2..=4 {
        assert_eq!(world.rotate(&disk, &kernel, &version(number, |_| {})).code, "accepted");
    }
    world.set_anchor(&version(3, |_| {}));
    world.boot(&disk);
    assert_eq!(disk.list("roots", 9).unwrap(), ["4.cbor"]);
    let trust = world.trust(&disk);
    assert_eq!((trust.root().version, trust.anchor_version(), trust.root_lost()), (4, 3, None));
    // An image of before can't know what came after it.
    world.set_anchor(&version(1, |_| {}));
    assert!(world.trust(&disk).root_lost().is_some());
}

#[test]
fn one_image_carries_so_much_root_metadata_and_no_more() {
    let world = World::new();
    let disk = world.disk();
    let last = 1 + bounds::ROOT_CHAIN as u64;
    for number in 2..=last + 1 {
        disk::replace(&disk, &format!("roots/{number}.cbor"), &version(number, |_| {})).unwrap();
    }
    assert_eq!(world.trust(&disk).root().version, last, "bounded");
    let kernel = world.boot(&disk);
    assert_eq!(world.rotate(&disk, &kernel, &version(last + 1, |_| {})).code, "root-chain");
    world.set_anchor(&version(2, |_| {}));
    assert_eq!(world.trust(&disk).root().version, last + 1, "an image update makes room");
}
