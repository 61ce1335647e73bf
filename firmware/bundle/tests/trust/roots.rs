//! Root metadata: what stands, and what may follow it.

use super::common::{pair, role, root};
use aegis_bundle::limits::ROOT_BYTES;
use aegis_bundle::{Role, Root, RootError};
use aegis_cose::{CoseError, Domain, fingerprint, sign_embedded, signature};

fn payload(root: &Root) -> Vec<u8> {
    let mut out = vec![0; ROOT_BYTES];
    let length = root.encode(&mut out).expect("possible");
    out.truncate(length);
    out
}

fn signed(payload: &[u8], keys: &[u8]) -> Vec<u8> {
    let mut scratch = vec![0; payload.len() + 128];
    let made: Vec<_> = keys
        .iter()
        .map(|n| signature(payload, Domain::Root, &pair(*n).sk, &mut scratch).expect("room"))
        .collect();
    let mut out = vec![0; ROOT_BYTES * 2];
    let length = sign_embedded(payload, &made, &mut out).expect("room");
    out.truncate(length);
    out
}

/// Version 1: root keys 100 to 102, two of them needed.
fn first() -> Root {
    Root { root: role(&[100, 101, 102], 2), ..root(&[1], 1) }
}

fn second(change: impl FnOnce(&mut Root)) -> Root {
    let mut root = Root { version: 2, ..first() };
    change(&mut root);
    root
}

fn next(root: &Root, keys: &[u8]) -> Result<Root, RootError> {
    first().next(&signed(&payload(root), keys))
}

#[test]
fn root_metadata_is_signed_by_its_own_root_role() {
    let bytes = payload(&first());
    for (keys, expected) in [
        (&[100u8, 101][..], None),
        (&[100, 101, 102, 7], None),
        (&[100], Some(RootError::Cose(CoseError::Threshold))),
        (&[100, 100], Some(RootError::Cose(CoseError::Threshold))),
        (&[1], Some(RootError::Cose(CoseError::UnknownKey))),
    ] {
        assert_eq!(Root::open(&signed(&bytes, keys)).err(), expected, "{keys:?}");
    }
    assert_eq!(Root::open(&signed(&bytes, &[100, 101])), Ok(first()));
    assert_eq!(Root::open(&vec![0; ROOT_BYTES + 1]), Err(RootError::TooLarge));
}

#[test]
fn the_next_needs_the_old_and_the_new_threshold() {
    let handed_over = second(|root| root.root = role(&[102, 103, 104], 2));
    for (keys, expected) in [
        (&[100u8, 101, 103, 104][..], None),
        // One key that stands in both counts for both.
        (&[102, 100, 103], None),
        (&[103, 104], Some(RootError::NotVouched(CoseError::UnknownKey))),
        (&[100, 103, 104], Some(RootError::NotVouched(CoseError::Threshold))),
        (&[102, 103, 104], Some(RootError::NotVouched(CoseError::Threshold))),
        (&[100, 101], Some(RootError::Cose(CoseError::UnknownKey))),
        (&[100, 101, 103], Some(RootError::Cose(CoseError::Threshold))),
    ] {
        assert_eq!(next(&handed_over, keys).err(), expected, "{keys:?}");
    }
}

#[test]
fn the_next_takes_nothing_back() {
    let both = [100, 101];
    let print = |n: u8| fingerprint(&pair(n).pk);
    assert_eq!(next(&second(|_| {}), &both), Ok(second(|_| {})));
    for version in [1, 3, u64::MAX] {
        assert_eq!(next(&second(|root| root.version = version), &both).err(), Some(RootError::Version));
    }
    assert_eq!(next(&second(|root| root.epoch = 1), &both).err(), Some(RootError::Epoch));
    let before = Root {
        revoked: [[3; 32]].into_iter().collect(),
        revoked_keys: [print(9)].into_iter().collect(),
        ..first()
    };
    let after = |change: &dyn Fn(&mut Root)| {
        let mut root = Root { version: 2, ..before.clone() };
        change(&mut root);
        before.next(&signed(&payload(&root), &both)).err()
    };
    assert_eq!(after(&|_| {}), None);
    assert_eq!(after(&|root| root.revoked.clear()), Some(RootError::Unrevoked));
    assert_eq!(after(&|root| root.revoked_keys.clear()), Some(RootError::Unrevoked));
    // Every bundle of the old epoch is refused anyway; a key stays revoked for good.
    assert_eq!(after(&|root| (root.epoch, root.revoked) = (3, [].into_iter().collect())), None);
    let forgets = |root: &mut Root| (root.epoch, root.revoked_keys) = (3, [].into_iter().collect());
    assert_eq!(after(&forgets), Some(RootError::Unrevoked));
}

/// Signed by enough keys, and still not root metadata.
#[test]
fn what_can_not_be_is_refused() {
    let good = payload(&first());
    let replaced = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|window| window == from).expect("is there");
        let bad = [&good[..at], to, &good[at + from.len()..]].concat();
        Root::open(&signed(&bad, &[100, 101])).err()
    };
    let key = |n: u8| *pair(n).pk;
    assert_eq!(replaced(b"\xa6\x01\x02", b"\xa6\x01\x03"), Some(RootError::UnsupportedFormat));
    assert_eq!(replaced(b"\xa6\x01\x02", b"\xa7\x01\x02"), Some(RootError::BadRoot));
    assert_eq!(replaced(b"\xa6\x01\x02", b"\xa6\x01\x18\x02"), Some(RootError::NotCanonical));
    assert_eq!(replaced(b"\x02\x01\x03\x02", b"\x02\x00\x03\x02"), Some(RootError::BadRoot));
    assert_eq!(replaced(b"\x02\x01\x03\x02", b"\x02\x01\x03\x00"), Some(RootError::BadRoot));
    assert_eq!(replaced(b"\xa2\x01\x02\x02\x83", b"\xa2\x01\x04\x02\x83"), Some(RootError::BadRoot));
    assert_eq!(replaced(b"\xa2\x01\x02\x02\x83", b"\xa2\x01\x00\x02\x83"), Some(RootError::BadRoot));
    // Small order: the identity, a point of order 4 (y = 0); not canonical: y = p + 1.
    for bad in ["01", "00", "ee"] {
        let mut point = [0; 32];
        point[0] = u8::from_str_radix(bad, 16).expect("hex");
        if bad == "ee" {
            point[1..31].fill(0xff);
            point[31] = 0x7f;
        }
        assert_eq!(replaced(&key(1), &point), Some(RootError::BadKey), "{bad}");
    }
    let mut sorted = [key(100), key(101), key(102)];
    sorted.sort_unstable();
    let swapped = [&sorted[0][..], b"\x58\x20", &sorted[0]].concat();
    let twice = [&sorted[0][..], b"\x58\x20", &sorted[1]].concat();
    assert_eq!(replaced(&twice, &swapped), Some(RootError::BadRoot));
    // A revoked key in a role: the encoder refuses it too.
    let listed = Root { revoked_keys: [fingerprint(&key(1))].into_iter().collect(), ..first() };
    assert_eq!(listed.encode(&mut [0; ROOT_BYTES]), Err(RootError::RevokedKey));
}

#[test]
fn the_longest_root_fits() {
    let keys =
        |from: u8| Role { threshold: 16, ..role(&core::array::from_fn::<u8, 16, _>(|n| from + n as u8), 16) };
    let hashes = || (0..64u8).map(|n| [n; 32]);
    let full = Root {
        version: u64::MAX,
        epoch: u64::MAX,
        root: keys(1),
        policy: keys(40),
        break_glass: Some(keys(80)),
        image: Some(keys(112)),
        workload: Some(keys(144)),
        revoked: hashes().collect(),
        revoked_keys: hashes().collect(),
    };
    let signers: Vec<u8> = (1..=16).collect();
    let bytes = signed(&payload(&full), &signers);
    assert!(bytes.len() <= ROOT_BYTES, "{}", bytes.len());
    assert_eq!(Root::open(&bytes), Ok(full));
}

#[test]
fn every_flip_and_cut_of_a_root_is_refused() {
    let good = signed(&payload(&second(|_| {})), &[100, 101]);
    for index in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[index] ^= 1 << bit;
            assert!(Root::open(&bad).is_err(), "byte {index} bit {bit}");
            assert!(first().next(&bad).is_err(), "byte {index} bit {bit}");
        }
        assert!(first().next(&good[..index]).is_err(), "cut at {index}");
    }
    assert!(first().next(&[&good[..], &[0]].concat()).is_err());
}

#[test]
fn codes_are_documented() {
    let documented = include_str!("../../../../docs/formats/reason-codes.md");
    for error in RootError::ALL {
        assert!(documented.contains(&format!("`{}`", error.code())), "{}", error.code());
    }
}
