//! `root`: who may sign what, and the step from one version to the next.

use std::collections::BTreeSet;

use aegis_bundle::limits::ROOT_BYTES;
use aegis_bundle::{Role, Root};
use aegis_cose::{Domain, fingerprint, key_id, public_key};

use crate::Seed;
use crate::input::{Change, Input, Told, changed, changes, put_changes};
use crate::keys::{self, KEYS, public};

/// First byte of an input whose rest is root metadata as it comes.
const RAW: u8 = 0;
/// First byte of an input whose rest is a payload to sign.
const SIGNED: u8 = 1;
/// First byte of an input that describes two versions, and who signs them.
const STEP: u8 = 2;

/// What opens vouches for itself; what follows it is vouched for by both, and takes nothing back.
pub fn run(data: &[u8]) -> bool {
    let mut input = Input(data);
    match input.u8() % 3 {
        RAW => open(input.rest()).is_some(),
        SIGNED => {
            let by = subset(input.u8());
            let payload = input.rest();
            payload.len() <= ROOT_BYTES && open(&keys::embedded(payload, Domain::Root, &by)).is_some()
        }
        _ => step(&mut input),
    }
}

/// The keys that a mask names; somebody, if it names none.
fn subset(mask: u8) -> Vec<usize> {
    let named: Vec<_> = (0..KEYS).filter(|number| mask >> number & 1 == 1).collect();
    if named.is_empty() { vec![0] } else { named }
}

fn open(bytes: &[u8]) -> Option<Root> {
    let root = Root::open(bytes).ok()?;
    assert!(bytes.len() <= ROOT_BYTES);
    let (unverified, message) = Root::unverified(bytes).expect("it was opened");
    assert_eq!((&unverified, message.unverified_payload()), (&root, payload(&root).as_deref()));
    let more = [&root.break_glass, &root.image, &root.workload];
    for role in [&root.root, &root.policy].into_iter().chain(more.into_iter().flatten()) {
        assert!((1..=role.keys.len()).contains(&usize::from(role.threshold)));
        assert!(role.keys.is_sorted_by(|a, b| a < b), "a key twice");
        assert!(role.keys.iter().all(|key| public_key(key).is_ok() && !root.revokes(key)));
    }
    let signed: BTreeSet<_> = message.signers().map(|signer| signer.kid).collect();
    let enough = root.root.keys.iter().filter(|key| signed.contains(&key_id(key))).count();
    assert!(enough >= usize::from(root.root.threshold));
    assert!(root.version > 0 && root.epoch > 0);
    assert!([&root.revoked[..], &root.revoked_keys].iter().all(|list| list.is_sorted_by(|a, b| a < b)));
    Some(root)
}

fn payload(root: &Root) -> Option<Vec<u8>> {
    let mut out = vec![0; ROOT_BYTES];
    let length = root.encode(&mut out).ok()?;
    out.truncate(length);
    Some(out)
}

/// Version, epoch, three times keys and threshold, revoked manifests, revoked keys.
const DESCRIPTION_BYTES: usize = 10;

/// Root metadata from a few bytes, so that a fuzzer reaches every rule of the step.
fn described(input: &mut Input<'_>) -> Root {
    let bits = |mask: u8| (0..8u8).filter(move |bit| mask >> bit & 1 == 1);
    let role = |input: &mut Input<'_>| keys::role(&subset(input.u8()), input.u8() % 4);
    let (version, epoch) = (u64::from(input.u8()), u64::from(input.u8()));
    let (root, policy, break_glass) = (role(input), role(input), role(input));
    let revoked = bits(input.u8()).map(|bit| [bit; 32]).collect();
    let mut revoked_keys: Vec<_> =
        bits(input.u8()).map(usize::from).filter(|n| *n < KEYS).map(|n| fingerprint(&public(n))).collect();
    revoked_keys.sort_unstable();
    Root {
        version,
        epoch,
        root,
        // Those of the policy, or nobody.
        image: epoch.is_multiple_of(2).then(|| policy.clone()),
        workload: version.is_multiple_of(2).then(|| policy.clone()),
        policy,
        break_glass: (break_glass.threshold > 0).then_some(break_glass),
        revoked,
        revoked_keys: revoked_keys.into_iter().collect(),
    }
}

/// The rules of the step, in both directions.
fn step(input: &mut Input<'_>) -> bool {
    let (old, new) = (described(input), described(input));
    let (old_by, new_by) = (subset(input.u8()), subset(input.u8()));
    let changes = changes(input);
    let enough = |role: &Role, by: &[usize]| {
        by.iter().filter(|n| role.keys.contains(&public(**n))).count() >= usize::from(role.threshold)
    };
    let Some(old_payload) = payload(&old) else { return false };
    let opened = open(&keys::embedded(&old_payload, Domain::Root, &old_by));
    assert_eq!(opened.is_some(), enough(&old.root, &old_by));
    let (Some(old), Some(new_payload)) = (opened, payload(&new)) else { return false };

    let whole = keys::embedded(&new_payload, Domain::Root, &new_by);
    let next = old.next(&whole);
    let keeps = |old: &[[u8; 32]], new: &[[u8; 32]]| old.iter().all(|hash| new.contains(hash));
    let expected = enough(&old.root, &new_by)
        && enough(&new.root, &new_by)
        && new.version == old.version + 1
        && new.epoch >= old.epoch
        && keeps(&old.revoked_keys, &new.revoked_keys)
        && (new.epoch > old.epoch || keeps(&old.revoked, &new.revoked));
    assert_eq!(next.is_ok(), expected, "{old:?} to {new:?} by {new_by:?}: {next:?}");
    if let Ok(next) = &next {
        assert_eq!((next, open(&whole).as_ref()), (&new, Some(&new)));
    }
    if let Ok(accepted) = old.next(&changed(&whole, &changes)) {
        // Only a signature that is not needed can have been changed.
        assert_eq!(Ok(accepted), next);
    }
    next.is_ok()
}

/// One alone; steps that rotate all, that raise the epoch, that change nothing.
pub fn seeds() -> Vec<Seed> {
    type Description = [u8; DESCRIPTION_BYTES];
    const OLD: Description = [1, 2, 0b11, 2, 0b100, 1, 0, 0, 1, 0b10_0000];
    let step = |old: Description, new: Description, by: [u8; 2], changes: &[Told]| {
        let mut out = vec![STEP];
        out.extend([old, new].concat());
        out.extend(by);
        put_changes(&mut out, changes);
        out
    };
    let old = payload(&described(&mut Input(&OLD))).expect("a seed is possible");
    let rotated = [2, 2, 0b1010, 1, 0b1_1000, 2, 0b1000, 1, 0b11, 0b10_0100];
    let raised = [2, 3, 0b11, 2, 0b100, 1, 0, 0, 0, 0b10_0000];
    let same = [&[2], &OLD[1..]].concat().try_into().expect("it is as long");
    vec![
        ("raw", [vec![RAW], keys::embedded(&old, Domain::Root, &[0, 1])].concat()),
        ("signed", [vec![SIGNED, 0b11], old].concat()),
        ("rotated", step(OLD, rotated, [0b11, 0b1011], &[(200, Change::FLIP, 1)])),
        ("raised", step(OLD, raised, [0b11, 0b11], &[(5, Change::WIDEN, 0)])),
        ("same", step(OLD, same, [0b11, 0b11], &[])),
    ]
}
