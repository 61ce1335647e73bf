//! Decisions that are cut short by the end of their process: own storage goes on, and so does the kernel.
#![allow(clippy::unwrap_used)]

use aegis_bundle::{Answer, hash, limits as bounds};

use super::super::in_force::Kernel;
use super::super::settle::settle;
use super::world::{Fake, Mood, World};
use crate::storage::simulated::Simulated;
use crate::storage::trust::{NONE, Source};

/// The process that decides about the third bundle dies with it in the kernel, before it is committed.
fn die(world: &World, disk: &Simulated, kernel: &Fake) {
    let mut trust = world.trust(disk);
    let kept = trust.keep(&world.third).unwrap();
    let bundle = trust.open_kept(&kept, Source::Bundle).unwrap();
    trust.begin_trial(&bundle).unwrap();
    let state = aegis_bundle::TrustState { bundle: bundle.hash, ..*trust.state() };
    // Dropped, not abandoned: what was prepared lies about.
    std::mem::forget(trust.prepare(&state).unwrap());
    kernel.enforce(&bundle).unwrap();
    assert_eq!(kernel.running(), hash(&world.third));
}

#[test]
fn a_policy_that_nobody_let_in_goes_out_of_force() {
    let world = World::new();
    let disk = world.disk();
    let kernel = world.boot(&disk);
    let settled = |kernel: &Fake| settle(&mut world.trust(&disk), kernel);
    assert_eq!(settled(&kernel).unwrap(), None, "all is well");
    let before = *world.trust(&disk).state();
    for tries in 1..=bounds::TRIES {
        die(&world, &disk, &kernel);
        assert_eq!(settled(&kernel).unwrap(), Some(hash(&world.third)));
        assert_eq!(kernel.running(), hash(&world.second), "what was decided");
        assert_eq!(settled(&kernel).unwrap(), None, "once");
        let state = *world.trust(&disk).state();
        assert_eq!((state.bundle, state.previous, state.tries), (before.bundle, before.previous, tries));
    }
    // One that ends the process that tries it each time is not tried for ever.
    assert_eq!(world.offer(&disk, &kernel, &world.third).code, "held-back");
    assert_eq!(world.insist(&disk, &kernel, &world.third).answer, Answer::Accepted);
    assert_eq!(settled(&kernel).unwrap(), None);
    assert_eq!(kernel.running(), hash(&world.third));
}

#[test]
fn what_can_not_be_settled_is_left_and_said() {
    let world = World::new();
    let disk = world.disk();
    let kernel = world.boot(&disk);
    die(&world, &disk, &kernel);
    let settled = || settle(&mut world.trust(&disk), &kernel);
    kernel.mood.set(Mood::Absent);
    assert_eq!(settled().unwrap(), None, "no probes");
    kernel.mood.set(Mood::Refuses);
    assert!(settled().is_err());
    assert_eq!(kernel.running(), hash(&world.third), "as it was");
    assert_eq!(settled().unwrap(), Some(hash(&world.third)));
    // A new device, whose first bundle's decision was cut short: the baseline.
    let empty = Simulated::default();
    let kernel = world.boot(&empty);
    die(&world, &empty, &kernel);
    assert_eq!(settle(&mut world.trust(&empty), &kernel).unwrap(), Some(hash(&world.third)));
    assert_eq!((kernel.running(), world.trust(&empty).state().bundle), (hash(&world.baseline), NONE));
}

/// The process that puts the policy in force once more dies before it has proven it.
#[test]
fn what_nobody_has_proven_is_proven() {
    let world = World::new();
    let disk = world.disk();
    let kernel = world.boot(&disk);
    let settled = || settle(&mut world.trust(&disk), &kernel).unwrap();
    let (before, times) = (*world.trust(&disk).state(), kernel.times.get());
    for (mood, proven) in [(Mood::ProvesNothing, false), (Mood::Takes, true)] {
        kernel.proven.set(false);
        kernel.mood.set(mood);
        assert_eq!((settled(), kernel.proven.get()), (None, proven));
    }
    kernel.mood.set(Mood::ProvesNothing);
    assert_eq!((settled(), kernel.proven.get()), (None, true), "once");
    assert_eq!((*world.trust(&disk).state(), kernel.times.get()), (before, times), "nothing else is done");
}
