//! The trust state and the TPM's counter: an older copy is seen, a power cut is none, and what is done then.

#![allow(clippy::unwrap_used)]
use aegis_bundle::{Answer, TrustState, hash};

use super::world::{Mood, POLICY_KEY, World, bundle, done};
use crate::storage::counter::{Verdict, Witness};
use crate::storage::disk::{self, Disk};
use crate::storage::simulated::Simulated;
use crate::storage::trust::ROLLED_BACK;

const HELD: fn(&Verdict) -> bool = |verdict| matches!(verdict, Verdict::Held(_));

/// A device with a TPM, on which the second bundle is in force.
fn counted(world: &World) -> Simulated {
    let mut disk = world.disk().with_tpm();
    assert_eq!(disk.start().unwrap(), Verdict::Good);
    disk.flush();
    disk
}

/// The same after the third one was taken.
fn later(world: &World, disk: &Simulated) -> Simulated {
    let mut disk = disk.clone();
    assert_eq!(world.offer(&disk, &world.boot(&disk), &world.third).code, "accepted");
    disk.flush();
    disk
}

#[test]
fn the_counter_is_taken_up_whenever_the_power_goes() {
    let world = World::new();
    for before in [Simulated::default(), world.disk()] {
        let before = before.with_tpm();
        let cuts = before.cut_everywhere(
            |disk| disk.start().map(drop),
            |disk, _| {
                assert_eq!(disk.start().unwrap(), Verdict::Good);
                assert!(world.trust(&disk).state().counter > 0);
                assert_eq!(world.offer(&disk, &world.boot(&disk), &world.third).code, "accepted");
                assert_eq!(disk.start().unwrap(), Verdict::Good);
            },
        );
        println!("take the counter up: {cuts}");
    }
}

#[test]
fn no_cut_of_a_decision_is_taken_for_an_older_copy() {
    let world = World::new();
    let before = counted(&world);
    let old = *world.trust(&before).state();
    let cuts = before.cut_everywhere(
        |disk| done(&world.offer(disk, &world.boot(disk), &world.third)),
        |disk, done| {
            assert_eq!(disk.start().unwrap(), Verdict::Good);
            let state = *world.trust(&disk).state();
            assert!(state.sequence == 7 || !done && state.sequence == old.sequence);
            assert_eq!(disk.value().unwrap(), Some(state.counter));
            // A second cut, while it is made good.
            assert_eq!(disk.start().unwrap(), Verdict::Good);
            assert_ne!(world.offer(&disk, &world.boot(&disk), &world.third).answer, Answer::Refused);
            assert_eq!(disk.start().unwrap(), Verdict::Good);
        },
    );
    println!("accept a bundle, counted: {cuts}");
    // Each commit was counted, and nothing else.
    let after = later(&world, &before);
    let commits = world.trust(&after).state().generation - old.generation;
    assert_eq!(after.value().unwrap(), Some(old.counter + commits));
}

#[test]
fn where_the_tpm_fails_nothing_else_does() {
    let world = World::new();
    counted(&world).fail_everywhere(
        |disk| world.offer(disk, &world.boot(disk), &world.third),
        |disk, step, taken| {
            assert_eq!(disk.start().unwrap(), Verdict::Good, "step {step}: {taken:?}");
        },
    );
}

#[test]
fn an_older_copy_is_seen_and_nothing_is_taken_until_a_token_is() {
    let world = World::new();
    let before = counted(&world);
    let after = later(&world, &before);
    let disk = after.put_back(&before);
    for _ in 0..3 {
        assert!(HELD(&disk.start().unwrap()), "at each start");
        let kernel = world.boot(&disk);
        assert_eq!(kernel.running(), hash(&world.second), "what it names stays in force");
        for bytes in [&world.first, &world.second, &world.third] {
            assert_eq!(world.offer(&disk, &kernel, bytes).code, ROLLED_BACK);
            assert_eq!(
                world.insist(&disk, &kernel, bytes).code,
                ROLLED_BACK,
                "a person does not know either"
            );
        }
        assert_eq!(world.roll_back(&disk, &kernel).code, ROLLED_BACK);
        assert_eq!((kernel.running(), kernel.mood.get()), (hash(&world.second), Mood::Takes));
        // What is written all the same does not make it the last one.
        world.trust(&disk).remember_image(world.trust(&disk).state().image, 1_900_000_000).unwrap();
    }
    let cuts = disk.cut_everywhere(
        |disk| world.trust(disk).take_token(9),
        |disk, done| {
            let good = disk.start().unwrap() == Verdict::Good;
            assert!(good || !done);
            assert!(good == (world.trust(&disk).state().token_sequence == 9), "old or new");
            if good {
                assert_eq!(world.offer(&disk, &world.boot(&disk), &world.third).code, "accepted");
            }
        },
    );
    println!("take a token that ends it: {cuts}");
}

#[test]
fn who_has_the_disk_alone_makes_no_older_copy_the_last_one() {
    let world = World::new();
    let before = counted(&world);
    let after = later(&world, &before);
    let old = before.read("trust.a", 1024).unwrap();
    let (state, voucher) = old.split_last_chunk::<32>().unwrap();
    let state = TrustState::decode(state).unwrap();
    let value = after.value().unwrap().unwrap();
    let newest = after.read("trust.a", 1024).unwrap();
    let with = |counter, generation, by: &[u8]| {
        [&TrustState { counter, generation, ..state }.encode()[..], by].concat()
    };
    let (ours, theirs) = (voucher.as_slice(), newest.last_chunk::<32>().unwrap().as_slice());
    let forged = [
        with(value, 99, ours),
        with(value, 99, theirs),
        with(value, 99, &[]),
        with(value, 99, &[0; 32]),
        with(value + 1, 99, ours),
        with(u64::MAX, 99, ours),
        with(0, 99, &[]),
        b"damaged".to_vec(),
        Vec::new(),
    ];
    for (number, bytes) in forged.iter().enumerate() {
        let disk = after.clone();
        for name in ["trust.a", "trust.b"] {
            disk::replace(&disk, name, bytes).unwrap();
        }
        assert!(HELD(&disk.start().unwrap()), "forgery {number}");
        world.trust(&disk).remember_image(world.trust(&disk).state().image, 1_900_000_000).unwrap();
        assert!(HELD(&disk.start().unwrap()), "forgery {number}, written anew by us");
        // Beside a good one it counts for nothing.
        let disk = after.clone();
        disk::replace(&disk, "trust.b", bytes).unwrap();
        assert_eq!(disk.start().unwrap(), Verdict::Good, "forgery {number} beside the last one");
        assert_eq!(world.trust(&disk).state().sequence, 7);
    }
}

#[test]
fn another_tpm_counts_anew_and_says_so() {
    let world = World::new();
    let before = counted(&world);
    assert_eq!(world.offer(&before, &world.boot(&before), &world.third).code, "accepted");
    let mut moved = before.clone().with_tpm();
    moved.flush();
    // The power goes while it is taken over: it may have been said then, and not again.
    moved.cut_everywhere(|disk| disk.start().map(drop), |disk, _| assert!(!HELD(&disk.start().unwrap())));
    assert_eq!(moved.start().unwrap(), Verdict::OtherTpm);
    assert_eq!(moved.start().unwrap(), Verdict::Good);
    assert!(moved.value().unwrap() < before.value().unwrap());
    let taken = world.offer(&moved, &world.boot(&moved), &bundle(8, POLICY_KEY, |_| {}));
    assert_eq!(taken.code, "accepted");
    assert_eq!(moved.start().unwrap(), Verdict::Good);
}

#[test]
fn without_a_tpm_a_state_is_what_it_was() {
    let world = World::new();
    let disk = world.disk();
    let bytes = disk.read("trust.a", 1024).unwrap();
    assert_eq!(TrustState::decode(&bytes).map(|state| state.counter), Some(0));
    disk.start_alone();
    assert_eq!(world.offer(&disk, &world.boot(&disk), &world.third).code, "accepted");

    // One that went away: nobody says that it is the last one, until somebody vouches for the device. Nothing is counted then.
    let counted = counted(&world);
    let gone = Simulated::default().put_back(&counted);
    gone.start_alone();
    let before = world.trust(&gone).state().counter;
    assert_eq!(world.offer(&gone, &world.boot(&gone), &world.third).code, ROLLED_BACK);
    world.trust(&gone).remember_image(world.trust(&gone).state().image, 1_900_000_000).unwrap();
    assert_eq!(world.trust(&gone).state().counter, before, "what is written all the same leaves the count");
    let cuts = gone.cut_everywhere(
        |disk| world.trust(disk).take_token(9),
        |disk, done| {
            disk.start_alone();
            let held = disk.is_held();
            assert!(!held || !done);
            assert_eq!(held, world.trust(&disk).state().token_sequence != 9, "old or new");
            let code = world.offer(&disk, &world.boot(&disk), &world.third).code;
            assert_eq!(code, if held { ROLLED_BACK } else { "accepted" });
        },
    );
    println!("take a token where there is no TPM any more: {cuts}");
    // One that comes back knows better.
    let back = counted.put_back(&gone);
    assert!(world.trust(&gone).take_token(9).is_ok() && world.trust(&gone).state().counter == 0);
    let disk = back.put_back(&gone);
    assert!(HELD(&disk.start().unwrap()));
}
