//! Trials, what is held back, rollbacks, what is lost of own storage.

#![allow(clippy::unwrap_used)]
use aegis_bundle::{Answer, hash, limits as bounds};

use super::super::in_force::{self, Stale};
use super::world::{Mood, POLICY_KEY, World, bundle, manifest_of, version};
use crate::storage::disk::{self, Disk};
use crate::storage::simulated::Simulated;
use crate::storage::trust::{LOST, NONE, Source};

/// What a boot of this disk puts in force, and what it says of what is not.
fn boots(world: &World, disk: &Simulated) -> (Source, Vec<(&'static str, Source)>) {
    let standing = world.standing(disk);
    assert_eq!(world.boot(disk).running(), hash(&standing.bytes));
    (standing.source, standing.faults.iter().map(|fault| (fault.code, fault.source)).collect())
}

#[test]
fn what_fails_its_trial_is_tried_three_times_then_only_for_a_person_who_insists() {
    let world = World::new();
    for (mood, code) in [(Mood::Refuses, "read-back-differs"), (Mood::ProvesNothing, "self-test-failed")] {
        let disk = world.disk();
        for tries in 1..=bounds::TRIES {
            let kernel = world.boot(&disk);
            kernel.mood.set(mood);
            let taken = world.offer(&disk, &kernel, &world.third);
            assert_eq!((taken.code, taken.epoch, taken.sequence), (code, 2, 7));
            assert_eq!(taken.detail.contains("held back"), tries == bounds::TRIES, "{}", taken.detail);
            assert_eq!(kernel.running(), hash(&world.second), "the old one runs");
            assert_eq!(world.trust(&disk).state().tries, tries);
        }
        let kernel = world.boot(&disk);
        assert_eq!(world.offer(&disk, &kernel, &world.third).code, "held-back");
        kernel.mood.set(mood);
        assert_eq!(world.insist(&disk, &kernel, &world.third).code, code);
        assert_eq!(world.offer(&disk, &kernel, &world.third).code, "held-back", "still");
        assert_eq!(world.insist(&disk, &kernel, &world.third).code, "accepted");
        assert_eq!(kernel.running(), hash(&world.third));
        let state = *world.trust(&disk).state();
        assert_eq!((state.tried, state.tries, state.previous), (NONE, 0, hash(&world.second)));
    }
}

#[test]
fn a_newer_one_is_not_held_back_by_an_older() {
    let world = World::new();
    let (disk, newer) = (world.disk(), bundle(8, POLICY_KEY, |_| {}));
    for _ in 0..bounds::TRIES {
        let kernel = world.boot(&disk);
        kernel.mood.set(Mood::Refuses);
        world.offer(&disk, &kernel, &world.third);
    }
    let kernel = world.boot(&disk);
    assert_eq!(world.offer(&disk, &kernel, &newer).code, "accepted");
    assert_eq!(world.offer(&disk, &kernel, &world.third).code, "rollback");
}

#[test]
fn without_probes_nothing_is_tried_and_nothing_counted() {
    let world = World::new();
    let disk = world.disk();
    let (kernel, before) = (world.boot(&disk), *world.trust(&disk).state());
    kernel.mood.set(Mood::Absent);
    assert_eq!(world.offer(&disk, &kernel, &world.third).code, "probes-not-loaded");
    assert_eq!(world.roll_back(&disk, &kernel).code, "probes-not-loaded");
    assert_eq!(*world.trust(&disk).state(), before);
}

#[test]
fn the_same_bundle_again_changes_nothing() {
    let world = World::new();
    let disk = world.disk();
    let (kernel, before) = (world.boot(&disk), *world.trust(&disk).state());
    let times = kernel.times.get();
    let taken = world.offer(&disk, &kernel, &world.second);
    assert_eq!((taken.answer, taken.code), (Answer::Unchanged, "unchanged"));
    assert_eq!((*world.trust(&disk).state(), kernel.times.get()), (before, times));
    assert_eq!(world.offer(&disk, &kernel, &world.first).code, "rollback");
}

#[test]
fn a_person_who_applies_it_again_has_it_looked_up_again_and_nothing_else() {
    let world = World::new();
    let disk = world.disk();
    let (kernel, before) = (world.boot(&disk), *world.trust(&disk).state());
    let insist = || world.insist(&disk, &kernel, &world.second);
    let times = kernel.times.get();
    let taken = insist();
    assert_eq!((taken.answer, taken.code), (Answer::Unchanged, "unchanged"));
    assert_eq!((kernel.running(), kernel.times.get()), (hash(&world.second), times + 1));
    // What the kernel does not take, or does not prove, is no trial of it: it was let in before.
    for (mood, code) in [(Mood::Refuses, "read-back-differs"), (Mood::ProvesNothing, "self-test-failed")] {
        for _ in 0..=bounds::TRIES {
            kernel.mood.set(mood);
            assert_eq!((insist().code, kernel.running()), (code, hash(&world.second)));
        }
    }
    assert_eq!(*world.trust(&disk).state(), before);
    assert_eq!(insist().code, "unchanged");
}

#[test]
fn selectors_are_looked_at() {
    let world = World::new();
    let disk = world.disk();
    let kernel = world.boot(&disk);
    let north = bundle(7, POLICY_KEY, |it| it.groups = Some(["north"].into_iter().collect()));
    let other = bundle(7, POLICY_KEY, |it| it.kernels = Some([[8; 32]].into_iter().collect()));
    let ours = bundle(7, POLICY_KEY, |it| {
        it.groups = Some(["north", "pumps"].into_iter().collect());
        it.kernels = Some([[8; 32], [9; 32]].into_iter().collect());
        it.devices = Some([[7; 16]].into_iter().collect());
    });
    for (bytes, code) in [(north, "wrong-group"), (other, "wrong-kernel"), (ours, "accepted")] {
        assert_eq!(world.offer(&disk, &kernel, &bytes).code, code);
    }
}

#[test]
fn what_has_expired_is_taken_and_stays_in_force_and_is_told_from_what_has_not() {
    let world = World::new();
    let disk = world.disk();
    let kernel = world.boot(&disk);
    let expires = 1_800_000_000;
    let stale = |now| in_force::stale(&world.trust(&disk), &kernel, now);
    assert_eq!(stale(u64::MAX), None, "it never expires");
    let short = bundle(7, POLICY_KEY, |it| it.expires = Some(expires));
    assert_eq!(world.offer(&disk, &kernel, &short).code, "accepted");
    assert_eq!(stale(expires - 1), None);
    let expected = Some(Stale { epoch: 2, sequence: 7, expires });
    assert_eq!((stale(expires), stale(u64::MAX)), (expected, expected));
    assert_eq!(world.boot(&disk).running(), hash(&short));
    // A time that a signature vouches for is as good as a clock.
    let late = bundle(8, POLICY_KEY, |it| (it.created, it.expires) = (expires * 2, Some(expires * 3)));
    assert_eq!(world.offer(&disk, &kernel, &late).code, "accepted");
    assert_eq!(world.roll_back(&disk, &kernel).code, "rolled-back");
    assert_eq!(stale(crate::storage::facts::now(world.trust(&disk).state())), expected);
}

#[test]
fn a_rollback_goes_one_back_and_holds_back_what_it_leaves() {
    let world = World::new();
    let disk = world.disk();
    let kernel = world.boot(&disk);
    kernel.mood.set(Mood::ProvesNothing);
    assert_eq!(world.roll_back(&disk, &kernel).code, "self-test-failed");
    assert_eq!(kernel.running(), hash(&world.second), "the old one runs");
    let taken = world.roll_back(&disk, &kernel);
    assert_eq!((taken.answer, taken.code), (Answer::Accepted, "rolled-back"));
    assert_eq!((taken.hash, taken.sequence), (Some(hash(&world.first)), 5));
    assert_eq!(kernel.running(), hash(&world.first));
    assert_eq!(boots(&world, &disk), (Source::Bundle, vec![]));
    let again = world.roll_back(&disk, &kernel);
    assert_eq!((again.answer, again.code), (Answer::Refused, "no-previous"));
    assert_eq!(world.offer(&disk, &kernel, &world.second).code, "held-back");
    assert_eq!(world.offer(&disk, &kernel, &world.first).code, "rollback", "older than the highest");
    // A person may go forth again, and back again.
    assert_eq!(world.insist(&disk, &kernel, &world.second).code, "accepted");
    assert_eq!(kernel.running(), hash(&world.second));
    assert_eq!(world.roll_back(&disk, &kernel).code, "rolled-back");
    assert_eq!(world.offer(&disk, &kernel, &world.third).code, "accepted");
    assert_eq!(world.trust(&disk).state().previous, hash(&world.first));
}

#[test]
fn there_is_nothing_to_roll_back_to_on_a_new_device_or_when_it_is_lost_or_revoked() {
    let world = World::new();
    let disk = Simulated::default();
    let kernel = world.boot(&disk);
    assert_eq!(kernel.running(), hash(&world.baseline));
    assert_eq!(world.roll_back(&disk, &kernel).code, "no-previous");
    world.offer(&disk, &kernel, &world.first);
    assert_eq!(world.roll_back(&disk, &kernel).code, "no-previous", "the baseline is none");

    let disk = world.disk();
    let kernel = world.boot(&disk);
    disk::replace(&disk, "slot.a/bundle.aegis", b"rot").unwrap();
    let taken = world.roll_back(&disk, &kernel);
    assert_eq!((taken.code, kernel.running()), (LOST, hash(&world.second)));

    let disk = world.disk();
    let kernel = world.boot(&disk);
    let revoking = version(2, |root| root.revoked = [manifest_of(&world.first)].into_iter().collect());
    assert_eq!(world.rotate(&disk, &kernel, &revoking).code, "accepted");
    assert_eq!(kernel.running(), hash(&world.second), "not meant");
    assert_eq!(world.roll_back(&disk, &kernel).code, "no-previous");
}

#[test]
fn a_lost_bundle_is_said_what_was_before_it_stands_in_and_the_same_stick_mends_it() {
    let world = World::new();
    let disk = world.disk();
    disk.remove("slot.b/bundle.aegis").unwrap();
    assert_eq!(boots(&world, &disk), (Source::Previous, vec![(LOST, Source::Bundle)]));
    disk::replace(&disk, "slot.a/bundle.aegis", &world.third).unwrap();
    let both = vec![(LOST, Source::Bundle), (LOST, Source::Previous)];
    assert_eq!(boots(&world, &disk), (Source::Baseline, both));
    let kernel = world.boot(&disk);
    assert_eq!(world.offer(&disk, &kernel, &world.second).code, "accepted");
    assert_eq!(boots(&world, &disk), (Source::Bundle, vec![]));
    assert_eq!(world.offer(&disk, &kernel, &world.second).code, "unchanged");

    // What was never in force any more is none to go back to: the one before it is.
    let disk = world.disk();
    disk.remove("slot.b/bundle.aegis").unwrap();
    let kernel = world.boot(&disk);
    assert_eq!(world.offer(&disk, &kernel, &world.third).code, "accepted");
    assert_eq!(world.roll_back(&disk, &kernel).code, "rolled-back");
    assert_eq!(kernel.running(), hash(&world.first));
}

#[test]
fn what_befalls_one_copy_of_the_trust_state_takes_nothing_back() {
    let world = World::new();
    for copy in ["trust.a", "trust.b"] {
        let disk = world.disk();
        world.trust(&disk).take_token(9).unwrap();
        let state = *world.trust(&disk).state();
        let whole = disk.read(copy, 300).unwrap();
        for damage in [&b""[..], &whole[..40], &[0; 299], b"\xff"] {
            disk::replace(&disk, copy, damage).unwrap();
            assert_eq!(*world.trust(&disk).state(), state, "{copy}");
            assert!(!world.trust(&disk).is_damaged());
        }
        disk.remove(copy).unwrap();
        assert_eq!(*world.trust(&disk).state(), state, "{copy} is gone");
        // The next write mends it; an old copy back in its place is outdone by the other.
        world.trust(&disk).take_token(10).unwrap();
        assert_eq!(disk.read("trust.a", 300).unwrap(), disk.read("trust.b", 300).unwrap());
        disk::replace(&disk, copy, &whole).unwrap();
        assert_eq!(world.trust(&disk).state().token_sequence, 10);
    }
}

#[test]
fn the_newest_copy_is_not_touched_before_the_other_is_newer() {
    let world = World::new();
    let disk = world.disk();
    let old = disk.read("trust.a", 300).unwrap();
    world.trust(&disk).take_token(1).unwrap();
    let new = disk.read("trust.a", 300).unwrap();
    for (behind, newest) in [("trust.a", "trust.b"), ("trust.b", "trust.a")] {
        disk::replace(&disk, behind, &old).unwrap();
        disk::replace(&disk, newest, &new).unwrap();
        let steps = disk.fail_everywhere(
            |disk| world.trust(disk).take_token(2),
            |disk, step, _| {
                let copy = |name| disk.read(name, 300).unwrap();
                assert!(copy(newest) == new || copy(behind) != old, "{newest}, step {step}");
            },
        );
        assert!(steps > 8, "both copies are written");
    }
}

#[test]
fn two_damaged_copies_are_said_until_a_bundle_is_accepted() {
    let world = World::new();
    let disk = world.disk();
    for copy in ["trust.a", "trust.b"] {
        disk::replace(&disk, copy, b"rot").unwrap();
    }
    for _ in 0..2 {
        assert!(world.trust(&disk).is_damaged());
        assert_eq!(boots(&world, &disk), (Source::Baseline, vec![]));
    }
    assert_eq!(world.offer(&disk, &world.boot(&disk), &world.third).code, "accepted");
    assert!(!world.trust(&disk).is_damaged());
}
