//! The ceremony and what follows it: rotation, revocation, signatures from many machines.

use aegis_bundle::{Role, Root, RootError, Token, open_token};
use aegis_cose::limits::SIGNERS;
use aegis_cose::{CoseError, fingerprint, key_id};
use aegis_keys::{
    Change, ChangeError, Document, DocumentError, KeyName, KeyRole, Kind, Seats, SecretFile, SignError,
    first_root,
};

fn keys(role: KeyRole, count: usize) -> Vec<SecretFile> {
    (0..count).map(|_| SecretFile::generate(role).expect("random")).collect()
}

fn seats(keys: &[SecretFile], threshold: u8) -> Seats {
    Seats { keys: keys.iter().map(|key| *key.public()).collect(), threshold }
}

/// The last two roles are nobody's.
fn five(root: Seats, policy: Seats, glass: Seats) -> [Seats; 5] {
    [root, policy, glass, Seats::default(), Seats::default()]
}

struct House {
    root: Vec<SecretFile>,
    policy: Vec<SecretFile>,
    glass: Vec<SecretFile>,
}

impl House {
    fn new() -> Self {
        Self {
            root: keys(KeyRole::Root, 3),
            policy: keys(KeyRole::Policy, 2),
            glass: keys(KeyRole::BreakGlass, 1),
        }
    }

    fn first(&self) -> Root {
        first_root(five(seats(&self.root, 2), seats(&self.policy, 1), seats(&self.glass, 1)))
            .expect("possible")
    }
}

/// The file, signed by these keys.
fn signed(root: &Root, keys: &[&SecretFile]) -> Vec<u8> {
    let mut document = Document::of_root(root).expect("possible");
    for key in keys {
        document.sign(key, &[]).expect("signs");
    }
    document.to_bytes().expect("fits")
}

fn id(key: &SecretFile) -> KeyName {
    KeyName::Id(key.id())
}

#[test]
fn a_ceremony_makes_what_a_device_takes() {
    let house = House::new();
    let root = house.first();
    assert_eq!((root.version, root.epoch, root.root.threshold), (1, 1, 2));
    let bytes = signed(&root, &[&house.root[0], &house.root[2]]);
    assert_eq!(Root::open(&bytes), Ok(root.clone()));
    for few in [&[&house.root[0]][..], &[&house.root[1]]] {
        assert_eq!(Root::open(&signed(&root, few)), Err(RootError::Cose(CoseError::Threshold)));
    }
    // Whoever signs first, and wherever: the bytes are the same.
    let (a, b) = (&house.root[0], &house.root[1]);
    assert_eq!(signed(&root, &[a, b]), signed(&root, &[b, a]));
    let mut travelled = Document::read(&signed(&root, &[a])).expect("good");
    travelled.sign(b, &[&root]).expect("signs");
    assert_eq!(travelled.to_bytes(), Some(signed(&root, &[a, b])));
}

#[test]
fn a_ceremony_that_could_never_work_is_refused() {
    let house = House::new();
    let (root, policy) = (seats(&house.root, 2), seats(&house.policy, 1));
    let none = Seats::default();
    assert!(
        first_root(five(root.clone(), policy.clone(), none.clone())).expect("possible").break_glass.is_none()
    );
    for (seats, expected) in [
        (Seats { threshold: 4, ..root.clone() }, ChangeError::Threshold(KeyRole::Root, 3, 4)),
        (Seats { threshold: 0, ..root.clone() }, ChangeError::Threshold(KeyRole::Root, 3, 0)),
        (none.clone(), ChangeError::Threshold(KeyRole::Root, 0, 0)),
        (seats(&keys(KeyRole::Root, 17), 2), ChangeError::TooMany(KeyRole::Root)),
        (Seats { keys: vec![[0; 32]], threshold: 1 }, ChangeError::BadKey(KeyRole::Root)),
    ] {
        assert_eq!(first_root(five(seats, policy.clone(), none.clone())).err(), Some(expected));
    }
    let twice = Seats { keys: [&root.keys[..], &root.keys[..1]].concat(), threshold: 2 };
    let expected = ChangeError::Have(KeyRole::Root, key_id(&root.keys[0]));
    assert_eq!(first_root(five(twice, policy, none.clone())).err(), Some(expected));
    let both = ChangeError::OtherRole(KeyRole::Root, key_id(&root.keys[0]));
    assert_eq!(first_root(five(root.clone(), Seats { threshold: 1, ..root }, none)).err(), Some(both));
}

#[test]
fn a_chain_of_three_is_walked_with_both_thresholds() {
    let house = House::new();
    let first = house.first();
    let [a, b, c] = &house.root[..] else { unreachable!() };
    let one = Root::open(&signed(&first, &[a, b])).expect("good");

    // 1 -> 2: root key c goes, d comes; needs two of a, b, c and two of a, b, d.
    let d = &keys(KeyRole::Root, 1)[0];
    let change = Change {
        add: vec![(KeyRole::Root, *d.public())],
        remove: vec![(KeyRole::Root, id(c))],
        ..Change::default()
    };
    let second = change.apply(&one).expect("possible");
    assert_eq!((second.version, second.epoch), (2, 1));
    // b and c are enough of the old, b alone is not enough of the new; and the other way round.
    assert_eq!(one.next(&signed(&second, &[b, c])), Err(RootError::Cose(CoseError::Threshold)));
    assert_eq!(one.next(&signed(&second, &[b, d])), Err(RootError::NotVouched(CoseError::Threshold)));
    let two = one.next(&signed(&second, &[b, c, d])).expect("both thresholds");
    assert_eq!(one.next(&signed(&second, &[a, b])), Ok(two.clone()), "a and b are in both");

    // 2 -> 3: a policy key and a bundle are revoked.
    let manifest = [9; 32];
    let change = Change {
        revoke_keys: vec![id(&house.policy[0])],
        revoke_manifests: vec![manifest],
        ..Change::default()
    };
    let third = change.apply(&two).expect("possible");
    let three = two.next(&signed(&third, &[a, d])).expect("good");
    assert_eq!(three.policy.keys.as_slice(), [*house.policy[1].public()]);
    assert!(three.revokes(house.policy[0].public()));
    assert_eq!(three.revoked.as_slice(), [manifest]);
    // No step can be left out, and none taken twice.
    assert_eq!(one.next(&signed(&third, &[a, b, d])), Err(RootError::Version));
    assert_eq!(three.next(&signed(&third, &[a, d])), Err(RootError::Version));

    // 3 -> 4: a higher epoch forgets revoked manifests, never revoked keys.
    let fourth = Change { raise_epoch: true, ..Change::default() }.apply(&three).expect("possible");
    let four = three.next(&signed(&fourth, &[a, b])).expect("good");
    assert_eq!((four.epoch, four.revoked.len(), four.revoked_keys.len()), (2, 0, 1));
    let back = Change { add: vec![(KeyRole::Policy, *house.policy[0].public())], ..Change::default() };
    assert_eq!(back.apply(&four).err(), Some(ChangeError::Revoked(house.policy[0].id())));
}

#[test]
fn changes_that_can_not_be_are_refused_with_the_mend() {
    let house = House::new();
    let root = house.first();
    let [a, b, ..] = &house.root[..] else { unreachable!() };
    let stranger = &keys(KeyRole::Root, 1)[0];
    let glass = &house.glass[0];
    let cases = [
        (Change::default(), ChangeError::Nothing),
        (Change { thresholds: vec![(KeyRole::Root, 2)], ..Change::default() }, ChangeError::Nothing),
        (
            Change { add: vec![(KeyRole::Root, *a.public())], ..Change::default() },
            ChangeError::Have(KeyRole::Root, a.id()),
        ),
        (
            Change { add: vec![(KeyRole::Policy, *a.public())], ..Change::default() },
            ChangeError::OtherRole(KeyRole::Root, a.id()),
        ),
        (
            Change { remove: vec![(KeyRole::Root, id(stranger))], ..Change::default() },
            ChangeError::NoSuchKey(KeyRole::Root, id(stranger)),
        ),
        (
            Change { remove: vec![(KeyRole::Root, id(a)), (KeyRole::Root, id(b))], ..Change::default() },
            ChangeError::Threshold(KeyRole::Root, 1, 2),
        ),
        (
            Change { revoke_keys: vec![id(glass)], ..Change::default() },
            ChangeError::Threshold(KeyRole::BreakGlass, 0, 1),
        ),
        (
            Change { revoke_keys: vec![id(stranger)], ..Change::default() },
            ChangeError::NoFingerprint(stranger.id()),
        ),
        (
            Change { thresholds: vec![(KeyRole::Policy, 3)], ..Change::default() },
            ChangeError::Threshold(KeyRole::Policy, 2, 3),
        ),
        (
            Change {
                vacate: vec![KeyRole::BreakGlass],
                thresholds: vec![(KeyRole::BreakGlass, 1)],
                ..Change::default()
            },
            ChangeError::RoleBoth(KeyRole::BreakGlass),
        ),
        (
            Change { revoke_manifests: (0..65).map(|n| [n; 32]).collect(), ..Change::default() },
            ChangeError::RevokedFull,
        ),
        (
            Change {
                revoke_keys: (0..65).map(|n| KeyName::Fingerprint([n; 32])).collect(),
                ..Change::default()
            },
            ChangeError::RevokedKeysFull,
        ),
        (
            Change { add: vec![(KeyRole::Root, [0; 32])], ..Change::default() },
            ChangeError::BadKey(KeyRole::Root),
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(change.apply(&root).err(), Some(expected.clone()), "{change:?}");
        assert!(!expected.to_string().is_empty() && !expected.to_string().contains('\n'));
    }
    let without =
        Change { vacate: vec![KeyRole::BreakGlass], ..Change::default() }.apply(&root).expect("possible");
    assert_eq!(without.break_glass, None);
    let threshold = Change { thresholds: vec![(KeyRole::BreakGlass, 1)], ..Change::default() };
    assert_eq!(threshold.apply(&without).err(), Some(ChangeError::NoRole(KeyRole::BreakGlass)));
    let again = Change { add: vec![(KeyRole::BreakGlass, *glass.public())], ..Change::default() };
    let role = Role { threshold: 1, keys: [*glass.public()].into_iter().collect() };
    assert_eq!(again.apply(&without).expect("possible").break_glass, Some(role));
    // A key that left long ago can still be revoked, by its fingerprint.
    let hash = fingerprint(stranger.public());
    let change = Change { revoke_keys: vec![KeyName::Fingerprint(hash)], ..Change::default() };
    assert!(change.apply(&root).expect("possible").revokes(stranger.public()));
}

#[test]
fn signatures_that_would_not_count_are_not_added() {
    let house = House::new();
    let root = house.first();
    let mut document = Document::of_root(&root).expect("possible");
    assert_eq!(document.to_bytes(), None, "nobody signed");
    let refused = document.sign(&house.policy[0], &[]);
    assert_eq!(refused, Err(SignError::Role(KeyRole::Policy, KeyRole::Root)));
    let stranger = &keys(KeyRole::Root, 1)[0];
    assert_eq!(document.sign(stranger, &[&root]), Err(SignError::Unlisted));
    document.sign(&house.root[0], &[&root]).expect("listed");
    assert_eq!(document.sign(&house.root[0], &[&root]), Err(SignError::Twice));
    let standing = document.standing(&root.root).expect("good");
    assert_eq!((standing.signed.len(), standing.missing.len(), standing.wanting()), (1, 2, 1));

    // Revoked by the next root: may vouch for it as a key of the old one, and for nothing else.
    let third = &house.root[2];
    let change = Change { revoke_keys: vec![id(third)], ..Change::default() };
    let next = change.apply(&root).expect("possible");
    let mut rotation = Document::of_root(&next).expect("possible");
    assert_eq!(rotation.sign(third, &[&next]), Err(SignError::Revoked));
    rotation.sign(third, &[&root, &next]).expect("the old root lists it");

    // The sixteenth is the last.
    let mut crowd = Document::of_root(&root).expect("possible");
    let many = keys(KeyRole::Root, SIGNERS + 1);
    many[..SIGNERS].iter().for_each(|key| crowd.sign(key, &[]).expect("room"));
    assert_eq!(crowd.sign(&many[SIGNERS], &[]), Err(SignError::Full));
    let ids: Vec<_> = crowd.signers().collect();
    assert!(ids.is_sorted() && ids.len() == SIGNERS);
}

#[test]
fn a_damaged_signature_of_a_known_key_is_found() {
    let house = House::new();
    let root = house.first();
    let mut bytes = signed(&root, &[&house.root[0], &house.root[1]]);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let document = Document::read(&bytes).expect("its form is good");
    assert_eq!(document.standing(&root.root), Err(CoseError::BadSignature));
}

#[test]
fn documents_are_told_apart() {
    let house = House::new();
    let root = house.first();
    let bytes = signed(&root, &[&house.root[0]]);
    let again = Document::read(&bytes).expect("good");
    assert_eq!((again.kind(), again.to_bytes()), (Kind::Root, Some(bytes)));

    let token = Token {
        device: [1; 16],
        sequence: 1,
        bound: [2; 16],
        seconds: 60,
        reason: "a test",
        created: 1_800_000_000,
    };
    let mut document = Document::of_token(&token).expect("possible");
    document.sign(&house.glass[0], &[&root]).expect("listed");
    let bytes = document.to_bytes().expect("fits");
    assert_eq!(Document::read(&bytes).expect("good").kind(), Kind::Token);
    assert_eq!(open_token(&bytes, &root, &[1; 16], &[[2; 16]], 0), Ok(token));
    for length in 0..bytes.len() {
        assert!(Document::read(&bytes[..length]).is_err(), "cut at {length}");
    }
    assert_eq!(Document::read(b"what?"), Err(DocumentError::Unknown));
    assert_eq!(Document::read(b"AEGISBDL").map_err(DocumentError::code), Err("too-short"));
}
