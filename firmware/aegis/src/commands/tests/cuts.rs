//! Power cuts at every step of what changes own storage. Afterwards there is the old state or the new one, never neither,
//! never some of each; what was said to be done is; and doing it again succeeds.
//!
//! How many cuts that makes is printed: `cargo test -p aegis cuts -- --nocapture`.

#![allow(clippy::unwrap_used)]
use std::cell::Cell;

use aegis_bundle::{Answer, Root, TrustState, hash, limits as bounds};

use super::world::{Fake, Mood, POLICY_KEY, World, bundle, done, fingerprint, manifest_of, version};
use crate::storage::disk::Disk;
use crate::storage::simulated::{Cuts, Simulated};
use crate::storage::trust::{NONE, Source};

/// A state but for how often it was written.
fn plain(state: &TrustState) -> TrustState {
    TrustState { generation: 0, ..*state }
}

/// A state but for what is on trial.
fn untried(state: &TrustState) -> TrustState {
    TrustState { tried: NONE, tries: 0, tried_epoch: 0, tried_sequence: 0, ..plain(state) }
}

/// What a boot of this disk puts in force, which must be what its trust state names.
fn in_force(world: &World, disk: &Simulated) -> [u8; 32] {
    let standing = world.standing(disk);
    assert!(standing.faults.is_empty(), "{:?}", standing.faults);
    let running = world.boot(disk).running();
    let named = world.trust(disk).state().bundle;
    assert_eq!(running, if named == NONE { hash(&world.baseline) } else { named });
    running
}

/// What could be rolled back to.
fn behind(world: &World, disk: &Simulated) -> Option<[u8; 32]> {
    let trust = world.trust(disk);
    let file = trust.file(Source::Previous)?.expect("it is kept");
    Some(trust.reopen(&file, Source::Previous).expect("it is as good as it was").hash)
}

fn say(what: &str, cuts: Cuts) {
    println!("{what}: {cuts}");
    assert!(cuts.points > 5 && cuts.disks > cuts.points, "{what}: {cuts}");
}

/// Offers `bytes` on `before` with every cut. `old` and `new`: in force and behind it, before and after.
fn accept(
    world: &World,
    before: &Simulated,
    bytes: &[u8],
    old: ([u8; 32], Option<[u8; 32]>),
    new: ([u8; 32], Option<[u8; 32]>),
) -> Cuts {
    let state = *world.trust(before).state();
    let offer = |disk: &Simulated| world.offer(disk, &world.boot(disk), bytes);
    let whole = before.clone();
    assert_eq!(offer(&whole).code, "accepted");
    let expected = *world.trust(&whole).state();
    before.cut_everywhere(
        |disk| done(&offer(disk)),
        |disk, done| {
            let found = *world.trust(&disk).state();
            if plain(&found) == plain(&expected) {
                assert_eq!((in_force(world, &disk), behind(world, &disk)), new);
            } else {
                assert!(!done, "said to be done, and is not");
                assert_eq!(untried(&found), untried(&state));
                let counted =
                    found.tried == manifest_of(bytes) && (found.tries == 1 || found.tries == state.tries + 1);
                assert!(counted || plain(&found) == plain(&state), "{found:?}");
                assert_eq!((in_force(world, &disk), behind(world, &disk)), old);
            }
            let again = offer(&disk);
            assert_ne!(again.answer, Answer::Refused, "{again:?}");
            assert_eq!(plain(world.trust(&disk).state()), plain(&expected));
            assert_eq!((in_force(world, &disk), behind(world, &disk)), new);
        },
    )
}

#[test]
fn a_bundle_is_in_force_or_the_one_before_it_is() {
    let world = World::new();
    let hashes = [&world.baseline, &world.first, &world.second, &world.third].map(|bytes| hash(bytes));
    let new_device = Simulated::default();
    let mut all = accept(&world, &new_device, &world.first, (hashes[0], None), (hashes[1], None));
    let disk = world.disk();
    all += accept(&world, &disk, &world.third, (hashes[2], Some(hashes[1])), (hashes[3], Some(hashes[2])));
    // The same after a failed trial, a rollback, and with what a cut left lying about.
    let mut tried = disk.clone();
    let kernel = world.boot(&tried);
    kernel.mood.set(Mood::ProvesNothing);
    assert_eq!(world.offer(&tried, &kernel, &bundle(8, POLICY_KEY, |_| {})).code, "self-test-failed");
    tried.flush();
    all += accept(&world, &tried, &world.third, (hashes[2], Some(hashes[1])), (hashes[3], Some(hashes[2])));
    let mut back = disk.clone();
    assert_eq!(world.roll_back(&back, &world.boot(&back)).code, "rolled-back");
    back.flush();
    all += accept(&world, &back, &world.third, (hashes[1], None), (hashes[3], Some(hashes[1])));
    say("accept a bundle", all);
}

#[test]
fn a_second_cut_while_it_is_done_again_changes_nothing_of_that() {
    let world = World::new();
    let offer = |disk: &Simulated| done(&world.offer(disk, &world.boot(disk), &world.third));
    let (number, all) = (Cell::new(0), Cell::new(Cuts::default()));
    world.disk().cut_everywhere(offer, |left, _| {
        number.set(number.get() + 1);
        if number.get() % 8 != 0 {
            return;
        }
        let cuts = left.cut_everywhere(offer, |disk, done| {
            let new = in_force(&world, &disk) == hash(&world.third);
            let expected = if new { hash(&world.second) } else { hash(&world.first) };
            assert_eq!(behind(&world, &disk), Some(expected));
            assert!(new || (!done && world.trust(&disk).state().bundle == hash(&world.second)));
        });
        all.set({
            let mut all = all.get();
            all += cuts;
            all
        });
    });
    say("accept a bundle, cut twice", all.get());
}

#[test]
fn a_trial_that_fails_leaves_the_old_one_and_is_counted() {
    let world = World::new();
    let disk = world.disk();
    let before = *world.trust(&disk).state();
    for mood in [Mood::Refuses, Mood::ProvesNothing] {
        let failed = |disk: &Simulated| {
            let kernel = world.boot(disk);
            kernel.mood.set(mood);
            let taken = world.offer(disk, &kernel, &world.third);
            assert_eq!(kernel.running(), hash(&world.second), "the old one runs");
            match taken.code {
                "self-test-failed" | "read-back-differs" => Ok(()),
                code => Err(std::io::Error::other(code)),
            }
        };
        let cuts = disk.cut_everywhere(failed, |disk, done| {
            let state = *world.trust(&disk).state();
            assert_eq!(untried(&state), untried(&before));
            assert!(!done || (state.tried, state.tries) == (manifest_of(&world.third), 1));
            assert_eq!(in_force(&world, &disk), hash(&world.second));
            assert_eq!(behind(&world, &disk), Some(hash(&world.first)));
            assert_eq!(world.offer(&disk, &world.boot(&disk), &world.third).code, "accepted");
        });
        say("a trial that fails", cuts);
    }
}

#[test]
fn a_bundle_whose_trials_end_in_power_cuts_is_held_back() {
    let world = World::new();
    let mut disk = world.disk();
    for tries in 1..=bounds::TRIES {
        // Of all the cuts of a trial, those that came when the bundle was in the kernel and not committed.
        let latest = Cell::new(None);
        disk.cut_everywhere(
            |disk| done(&world.offer(disk, &world.boot(disk), &world.third)),
            |left, _| {
                let state = *world.trust(&left).state();
                if state.bundle == hash(&world.second) && state.tries == tries {
                    latest.set(Some(left));
                }
            },
        );
        disk = latest.into_inner().expect("there is one");
    }
    assert_eq!(world.offer(&disk, &world.boot(&disk), &world.third).code, "held-back");
    assert_eq!(in_force(&world, &disk), hash(&world.second));
    assert_eq!(world.insist(&disk, &world.boot(&disk), &world.third).code, "accepted");
}

/// Takes these versions in turn with every cut. `fallen`: what is in force under the last one.
fn rotate(world: &World, before: &Simulated, versions: &[Vec<u8>], fallen: [u8; 32]) -> Cuts {
    let kept = hash(&world.second);
    let last = 1 + versions.len() as u64;
    let take = |disk: &Simulated, kernel: &Fake| {
        while world.trust(disk).root().version < last {
            let next = world.trust(disk).root().version as usize - 1;
            done(&world.rotate(disk, kernel, &versions[next]))?;
        }
        Ok(())
    };
    before.cut_everywhere(
        |disk| take(disk, &world.boot(disk)),
        |disk, done| {
            let trust = world.trust(&disk);
            let (found, known) = (trust.root().version, trust.state().root_version);
            assert!((1..=last).contains(&found) && (!done || found == last), "version {found}");
            // What is remembered may be a step behind what is kept, never ahead.
            assert!(known <= found && trust.root_lost().is_none(), "kept {found}, remembered {known}");
            // What is revoked is out of force from the very cut on, whether that is remembered or not.
            let running = world.boot(&disk).running();
            assert_eq!(running, if found == last { fallen } else { kept }, "version {found}");
            assert!(world.standing(&disk).faults.is_empty(), "settled by the boot");
            let kernel = world.boot(&disk);
            take(&disk, &kernel).expect("again");
            assert_eq!((kernel.running(), in_force(world, &disk)), (fallen, fallen));
            let state = *world.trust(&disk).state();
            assert_eq!((state.root_version, state.epoch, state.sequence), (last, 2, 6));
        },
    )
}

#[test]
fn root_metadata_is_taken_or_not_and_what_it_revokes_is_out_of_force_with_it() {
    let world = World::new();
    let disk = world.disk();
    let second = manifest_of(&world.second);
    let (kept, first) = (hash(&world.second), hash(&world.first));
    say("root, one step", rotate(&world, &disk, &[version(2, |_| {})], kept));
    let three = [2, 3, 4].map(|number| version(number, |root| root.epoch = number));
    say("root, three steps", rotate(&world, &disk, &three, kept));
    let revokes = |root: &mut Root| root.revoked = [second].into_iter().collect();
    say("root, revokes the bundle", rotate(&world, &disk, &[version(2, |_| {}), version(3, revokes)], first));
    let by_key = |root: &mut Root| {
        root.policy = super::world::policy_by(super::world::NEXT_POLICY_KEY);
        root.revoked_keys = [fingerprint(POLICY_KEY)].into_iter().collect();
    };
    say("root, revokes the key", rotate(&world, &disk, &[version(2, by_key)], hash(&world.baseline)));
}

#[test]
fn a_boot_that_tidies_up_may_be_cut_too() {
    let world = World::new();
    let mut disk = world.disk();
    let kernel = world.boot(&disk);
    for number in 2..=4 {
        done(&world.rotate(&disk, &kernel, &version(number, |_| {}))).unwrap();
    }
    disk.flush();
    let boot = |disk: &Simulated| {
        world.boot(disk);
        Ok(())
    };
    // An image that has overtaken some of the chain.
    world.set_anchor(&version(3, |_| {}));
    let cuts = disk.cut_everywhere(boot, |disk, _| {
        let trust = world.trust(&disk);
        assert_eq!((trust.root().version, trust.root_lost()), (4, None));
        assert_eq!(world.boot(&disk).running(), hash(&world.second));
        assert_eq!(disk.list("roots", 9).unwrap(), ["4.cbor"]);
    });
    println!("boot, sweep: {cuts}");
    assert!(cuts.points > 2);
    // An image that revokes what is in force.
    world.set_anchor(&version(5, |root| root.revoked = [manifest_of(&world.second)].into_iter().collect()));
    let cuts = disk.cut_everywhere(boot, |disk, _| {
        assert_eq!(world.boot(&disk).running(), hash(&world.first));
        assert_eq!(in_force(&world, &disk), hash(&world.first));
    });
    say("boot, settle", cuts);
}

#[test]
fn a_token_is_taken_once() {
    let world = World::new();
    for before in [Simulated::default(), world.disk()] {
        let state = *world.trust(&before).state();
        let cuts = before.cut_everywhere(
            |disk| world.trust(disk).take_token(3),
            |disk, done| {
                let found = *world.trust(&disk).state();
                assert_eq!(TrustState { token_sequence: 0, ..plain(&found) }, plain(&state));
                let taken = found.token_sequence == 3;
                assert!(taken || (!done && found.token_sequence == 0));
                let again = world.trust(&disk).take_token(3);
                assert_eq!(again.is_err(), taken, "a replay");
                assert_eq!(world.trust(&disk).state().token_sequence, 3);
                world.trust(&disk).take_token(4).unwrap();
            },
        );
        say("take a token", cuts);
    }
}

#[test]
fn a_rollback_is_done_or_not() {
    let world = World::new();
    let disk = world.disk();
    let old = *world.trust(&disk).state();
    let new =
        TrustState { bundle: hash(&world.first), previous: NONE, left: manifest_of(&world.second), ..old };
    let cuts = disk.cut_everywhere(
        |disk| done(&world.roll_back(disk, &world.boot(disk))),
        |disk, done| {
            let found = plain(world.trust(&disk).state());
            let expected = if found == plain(&new) {
                (hash(&world.first), None)
            } else {
                assert!(!done && found == plain(&old), "{found:?}");
                (hash(&world.second), Some(hash(&world.first)))
            };
            assert_eq!((in_force(&world, &disk), behind(&world, &disk)), expected);
            let again = world.roll_back(&disk, &world.boot(&disk));
            assert_eq!(again.code, if found == plain(&new) { "no-previous" } else { "rolled-back" });
            assert_eq!(plain(world.trust(&disk).state()), plain(&new));
            assert_eq!(world.offer(&disk, &world.boot(&disk), &world.second).code, "held-back");
        },
    );
    say("roll back", cuts);
}

type Operation<'w> = &'w dyn Fn(&Simulated, &Fake) -> Answer;

/// A disk that fails instead: what the kernel decides by is what the next boot has.
#[test]
fn a_step_that_fails_leaves_kernel_and_disk_of_one_mind() {
    let world = World::new();
    let disk = world.disk();
    let revoking = version(2, |root| root.revoked = [manifest_of(&world.second)].into_iter().collect());
    let operations: [(&str, Operation<'_>); 3] = [
        ("accept", &|disk, kernel| world.offer(disk, kernel, &world.third).answer),
        ("roll back", &|disk, kernel| world.roll_back(disk, kernel).answer),
        ("rotate", &|disk, kernel| world.rotate(disk, kernel, &revoking).answer),
    ];
    for (name, operation) in operations {
        let steps = disk.fail_everywhere(
            |disk| {
                let kernel = world.boot(disk);
                let before = kernel.running();
                let answer = operation(disk, &kernel);
                (kernel, before, answer)
            },
            |disk, step, (kernel, before, answer)| {
                assert_eq!(answer == Answer::Refused, kernel.running() == before, "{name}, step {step}");
                // Root metadata whose flush failed is kept all the same, and heeded from the next decision on.
                let kept =
                    name == "rotate" && answer == Answer::Refused && world.trust(&disk).root().version == 2;
                if !kept {
                    assert_eq!(hash(&world.standing(&disk).bytes), kernel.running(), "{name}, step {step}");
                }
                let again = operation(&disk, &kernel);
                // What was rolled back is not rolled back once more.
                let over = name == "roll back" && answer != Answer::Refused;
                assert_eq!(again == Answer::Refused, over, "{name} again, step {step}");
                assert_eq!(hash(&world.standing(&disk).bytes), kernel.running(), "{name} again, step {step}");
            },
        );
        println!("{name}: {steps} steps failed");
    }
    assert_eq!(world.standing(&disk).source, Source::Bundle);
}
