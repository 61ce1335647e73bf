//! Anti-rollback, exhaustively: what a stick and a person can do in a small world, in any order and any number of times, until
//! no state is new. Each step is held against a model that is written from `docs/formats/bundle.md`, not from the code.
//! `AEGIS_MODELS=1` cuts the power in every step, too (`make models`).

#![allow(clippy::unwrap_used)]
use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};

use aegis_bundle::limits::TRIES;
use aegis_bundle::{Answer, TrustState, hash};

use super::world::{Fake, Mood, NEXT_POLICY_KEY, POLICY_KEY, World, bundle, manifest_of, version};
use crate::storage::simulated::Simulated;

/// What is offered: bytes, epoch, sequence, and whether the key was ever to be trusted.
struct Offered {
    bytes: Vec<u8>,
    order: (u64, u64),
    trusted: bool,
}

/// A bundle, by its place among those that are offered.
type Which = usize;
const FORGED: Which = 4;

fn offered() -> Vec<Offered> {
    let of = |epoch, sequence, key, comment: &'static str| Offered {
        bytes: bundle(sequence, key, |it| (it.epoch, it.comment) = (epoch, comment)),
        order: (epoch, sequence),
        trusted: key == POLICY_KEY,
    };
    vec![
        of(2, 5, POLICY_KEY, ""),
        of(2, 6, POLICY_KEY, ""),
        // Another one of the same number.
        of(2, 6, POLICY_KEY, "another"),
        of(3, 1, POLICY_KEY, ""),
        of(2, 9, NEXT_POLICY_KEY, "by a key that is in no role"),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Offer {
        which: Which,
        insists: bool,
        proves: bool,
    },
    RollBack {
        proves: bool,
    },
    /// Root metadata of version 2, which revokes the first bundle; of version 3, which is of epoch 3.
    Rotate(u64),
    Boot,
}

fn steps(offered: usize) -> Vec<Step> {
    let mut all = vec![Step::Boot, Step::Rotate(2), Step::Rotate(3)];
    for proves in [true, false] {
        all.push(Step::RollBack { proves });
        for which in 0..offered {
            all.extend([false, true].map(|insists| Step::Offer { which, insists, proves }));
        }
    }
    all
}

/// What a device is to remember, in plain words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Model {
    /// The highest that was ever accepted.
    highest: Option<Which>,
    /// What is in force, and was before; `None`: the image's own.
    in_force: Option<Which>,
    before: Option<Which>,
    /// What a person rolled back from.
    left: Option<Which>,
    /// Trials that failed since one succeeded, or since something newer was tried; and the newest that was tried.
    failed: u8,
    tried: (u64, u64),
    /// Version of root metadata above the image's 1.
    rotated: u64,
}

const REVOKED: Which = 0;

impl Model {
    fn epoch(&self) -> u64 {
        if self.rotated >= 2 { 3 } else { 2 }
    }

    fn is_revoked(&self, which: Which) -> bool {
        self.rotated >= 1 && which == REVOKED
    }

    /// What a step is to be answered with, and what is then.
    fn after(self, step: Step, of: &[Offered]) -> (&'static str, Self) {
        match step {
            Step::Boot => ("", self),
            Step::Rotate(to) if to == self.rotated + 2 => {
                let mut then = Self { rotated: self.rotated + 1, ..self };
                // What is revoked is out of force with it, and what was before it comes back, if that is good.
                let good = |which: Option<Which>| which.filter(|which| !then.is_revoked(*which));
                let (in_force, before) = (good(self.in_force), good(self.before));
                then.before = if in_force == self.in_force { before } else { None };
                then.in_force = if in_force == self.in_force { in_force } else { before };
                ("accepted", then)
            }
            Step::Rotate(to) if to == self.rotated + 1 => ("unchanged", self),
            Step::Rotate(_) => ("refused", self),
            Step::RollBack { proves } => {
                let Some(before) = self.before else { return ("no-previous", self) };
                if of[before].order.0 < self.epoch() {
                    return ("rollback", self);
                }
                if !proves {
                    return ("self-test-failed", self);
                }
                ("rolled-back", Self { in_force: Some(before), before: None, left: self.highest, ..self })
            }
            Step::Offer { which, insists, proves } => {
                let order = of[which].order;
                let highest = self.highest.map_or((0, 0), |which| of[which].order);
                let held = self.left == Some(which) || self.failed >= TRIES && order <= self.tried;
                if !of[which].trusted {
                    ("unknown-key", self)
                } else if self.is_revoked(which) {
                    ("revoked", self)
                } else if order.0 > self.epoch() {
                    ("epoch-ahead", self)
                } else if order.0 < self.epoch() || order < highest {
                    ("rollback", self)
                } else if held && !insists {
                    ("held-back", self)
                } else if order == highest && self.highest != Some(which) {
                    ("replay-mismatch", self)
                } else if self.in_force == Some(which) {
                    // Nothing new; who insists has it proven again.
                    (if insists && !proves { "self-test-failed" } else { "unchanged" }, self)
                } else if proves {
                    let then = Self {
                        highest: Some(which),
                        in_force: Some(which),
                        before: self.in_force,
                        left: None,
                        failed: 0,
                        tried: (0, 0),
                        rotated: self.rotated,
                    };
                    ("accepted", then)
                } else {
                    let failed = if order > self.tried { 1 } else { (self.failed + 1).min(TRIES) };
                    ("self-test-failed", Self { failed, tried: self.tried.max(order), ..self })
                }
            }
        }
    }
}

/// A device as a path led to it.
#[derive(Clone)]
struct Device {
    disk: Simulated,
    model: Model,
}

struct Bench {
    world: World,
    offered: Vec<Offered>,
    roots: [Vec<u8>; 2],
}

impl Bench {
    fn new() -> Self {
        let world = World::new();
        let offered = offered();
        let revoked = manifest_of(&offered[REVOKED].bytes);
        let revokes = move |root: &mut aegis_bundle::Root| root.revoked = [revoked].into_iter().collect();
        let epoch = move |root: &mut aegis_bundle::Root| {
            revokes(root);
            root.epoch = 3;
        };
        Self { world, offered, roots: [version(2, revokes), version(3, epoch)] }
    }

    fn hash_of(&self, which: Option<Which>) -> [u8; 32] {
        which.map_or(hash(&self.world.baseline), |which| hash(&self.offered[which].bytes))
    }

    /// Takes a step on a device that runs; what it is answered with.
    fn take(&self, disk: &Simulated, kernel: &Fake, step: Step) -> &'static str {
        let mood = |proves| kernel.mood.set(if proves { Mood::Takes } else { Mood::ProvesNothing });
        let code = match step {
            Step::Boot => "",
            Step::Rotate(to) => {
                let taken = self.world.rotate(disk, kernel, &self.roots[to as usize - 2]);
                if taken.answer == Answer::Refused { "refused" } else { taken.code }
            }
            Step::RollBack { proves } => {
                mood(proves);
                self.world.roll_back(disk, kernel).code
            }
            Step::Offer { which, insists, proves } => {
                mood(proves);
                let bytes = &self.offered[which].bytes;
                if insists {
                    self.world.insist(disk, kernel, bytes).code
                } else {
                    self.world.offer(disk, kernel, bytes).code
                }
            }
        };
        kernel.mood.set(Mood::Takes);
        code
    }

    /// A disk is as the model says, before and after another start.
    fn hold(&self, disk: &Simulated, model: &Model, told: &dyn Fn() -> String) {
        let kernel = self.world.boot(disk);
        assert_eq!(kernel.running(), self.hash_of(model.in_force), "in force: {}", told());
        let state = self.remembered(disk);
        let expected = model.highest.map_or((0, 0), |which| self.offered[which].order);
        assert_eq!((state.epoch, state.sequence), expected, "highest: {}", told());
        assert_eq!(state.tries.min(TRIES), model.failed, "trials: {}", told());
    }

    /// The trust state, but for what counts writes and failures without end.
    fn remembered(&self, disk: &Simulated) -> TrustState {
        let state = *self.world.trust(disk).state();
        TrustState { generation: 0, tries: state.tries.min(TRIES), ..state }
    }

    /// Whatever step the power fails in: the model before it or after it, or a trial that was counted and not ended.
    fn cut(&self, device: &Device, step: Step, then: &Model) {
        let model = device.model;
        let tried = match step {
            Step::Offer { which, insists, .. } => {
                model.after(Step::Offer { which, insists, proves: false }, &self.offered).1
            }
            _ => model,
        };
        let looked = Cell::new(0);
        let operation = |disk: &Simulated| {
            let kernel = self.world.boot(disk);
            let code = self.take(disk, &kernel, step);
            if code == "storage" { Err(std::io::Error::other(code)) } else { Ok(()) }
        };
        device.disk.cut_everywhere(operation, |disk, _| {
            looked.set(looked.get() + 1);
            let running = self.world.boot(&disk).running();
            let state = self.remembered(&disk);
            let is = |of: &Model| {
                let highest = of.highest.map_or((0, 0), |which| self.offered[which].order);
                running == self.hash_of(of.in_force)
                    && (state.epoch, state.sequence) == highest
                    && state.tries == of.failed
            };
            assert!([model, tried, *then].iter().any(is), "{step:?} cut: {model:?} became {state:?}");
            // Never less than was accepted, and nothing that is revoked.
            let least = model.highest.map_or((0, 0), |which| self.offered[which].order);
            assert!((state.epoch, state.sequence) >= least, "{step:?} cut");
        });
        assert!(looked.get() > 0);
    }
}

#[test]
fn nothing_older_is_ever_accepted_whatever_comes_in_whatever_order() {
    let bench = Bench::new();
    let with_cuts = std::env::var_os("AEGIS_MODELS").is_some();
    let steps = steps(bench.offered.len());
    let mut seen = BTreeSet::new();
    let mut open = VecDeque::from([Device { disk: Simulated::default(), model: Model::default() }]);
    let (mut taken, mut accepted) = (0, 0);
    seen.insert(Model::default());
    while let Some(device) = open.pop_front() {
        for step in &steps {
            let mut disk = device.disk.clone();
            let (expected, then) = device.model.after(*step, &bench.offered);
            let told = || format!("{:?} from {:?}", step, device.model);
            let kernel = bench.world.boot(&disk);
            let code = bench.take(&disk, &kernel, *step);
            assert_eq!(code, expected, "{}", told());
            assert_eq!(kernel.running(), bench.hash_of(then.in_force), "{}", told());
            bench.hold(&disk, &then, &told);
            taken += 1;
            accepted += usize::from(code == "accepted");
            // What changes nothing writes nothing, or what the others write.
            if with_cuts && then != device.model {
                bench.cut(&device, *step, &then);
            }
            if seen.insert(then) {
                disk.flush();
                open.push_back(Device { disk, model: then });
            }
        }
    }
    println!("{} states, {taken} steps, {accepted} accepted", seen.len());
    assert!(seen.len() > 50 && accepted > 20);
    assert!(seen.iter().all(|model| model.in_force != Some(FORGED) && model.highest != Some(FORGED)));
}
