//! Workloads: taken, taken away, looked at before they are mounted; with the power cut, and the disk failing, at every step.

#![allow(clippy::unwrap_used)]
use std::cell::Cell;
use std::io;

use aegis_bundle::limits::FRONT_BYTES;
use aegis_bundle::{
    Answer, Bounds, Container, Content, Restart, Run, Selectors, When, WorkloadManifest, hash,
};
use aegis_cose::Domain;

use super::super::image::Offer;
use super::super::taken::Taken;
use super::super::workload;
use super::offers::{Stick, signed};
use super::world::{WORKLOAD_KEY, World, facts};
use crate::limits;
use crate::storage::counter::{Verdict, Witness};
use crate::storage::disk::{self, Disk};
use crate::storage::simulated::{Cuts, Simulated};
use crate::storage::trust::{self, ROLLED_BACK};
use crate::workloads::books::Books;
use crate::workloads::path;

const NAME: &str = "agent-7";
const OLD: u64 = 4;
const NEW: u64 = 5;

/// A workload's file. Of sequence 0 modulo 10 it is a removal, of 0 modulo 100 with its data.
fn file(name: &str, sequence: u64, key: u8) -> Vec<u8> {
    let contents = [&b"hsqs"[..], &[sequence as u8; 8188]].concat();
    let run = Run {
        contents: Content { length: contents.len() as u64, hash: hash(&contents) },
        command: [&b"/bin/agent"[..]].into_iter().collect(),
        environment: [].into_iter().collect(),
        user: 1000,
        group: 1000,
        bounds: Bounds { memory: 1 << 24, pids: 8, cpu: 500 },
        restart: Restart { when: When::Never, delay: 1, watchdog: 0 },
        writable: [].into_iter().collect(),
    };
    let removes = sequence.is_multiple_of(10);
    let manifest = WorkloadManifest {
        epoch: 2,
        sequence,
        created: 1_750_000_000,
        selectors: Selectors {
            devices: None,
            architecture: std::env::consts::ARCH,
            agent: None,
            groups: None,
        },
        name,
        run: (!removes).then_some(run),
        forgets: sequence.is_multiple_of(100),
        comment: "",
    };
    let contents = if removes { Vec::new() } else { contents };
    signed((Container::Workload, Domain::Workload), |out| manifest.encode(out), key, &contents)
}

fn good(sequence: u64) -> Vec<u8> {
    file(NAME, sequence, WORKLOAD_KEY)
}

/// What own storage says besides its files. A workload's data is one file here.
struct Place<'d> {
    disk: &'d Simulated,
    free: u64,
}

impl workload::Room for Place<'_> {
    fn free(&self) -> io::Result<u64> {
        Ok(self.free)
    }

    fn forget(&self, name: &str) -> io::Result<bool> {
        match self.disk.remove(&format!("{name}/gone")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // With what filled it there is room again.
        self.disk.fill(false);
        Ok(true)
    }
}

fn take_from(
    world: &World,
    disk: &Simulated,
    bytes: &[u8],
    stick: &dyn Fn(u64, &mut [u8]) -> io::Result<()>,
    free: u64,
) -> Result<Taken, String> {
    let front = bytes[..FRONT_BYTES.min(bytes.len())].to_vec();
    let offer = Offer { front, length: bytes.len() as u64, contents: Stick(stick), insist: false };
    let decided = workload::decide(&offer, &world.trust(disk), &facts(), disk, disk, &Place { disk, free });
    decided.map(|decided| decided.taken).map_err(|failure| failure.to_string())
}

fn take(world: &World, disk: &Simulated, bytes: &[u8]) -> Taken {
    let read = |at: u64, out: &mut [u8]| {
        out.copy_from_slice(&bytes[at as usize..at as usize + out.len()]);
        Ok(())
    };
    take_from(world, disk, bytes, &read, u64::MAX).unwrap()
}

/// What would be mounted of this name at the next start: the sequence, or why nothing is.
fn mounts(world: &World, disk: &Simulated, name: &str) -> Result<u64, &'static str> {
    let mut books = Books::read(disk).unwrap();
    books.settle(disk, disk).unwrap();
    let Some(one) = books.state.of(name).filter(|one| !one.gone) else { return Err("nothing") };
    let trust = world.trust(disk);
    let found = workload::look(disk, one, |front, length| trust.open_kept_workload(front, length));
    found.map(|_| one.accepted.sequence).map_err(|(code, _)| code)
}

fn done(taken: &Taken) -> io::Result<()> {
    match taken.answer {
        Answer::Refused => Err(io::Error::other(format!("{}: {}", taken.code, taken.detail))),
        _ => Ok(()),
    }
}

fn say(what: &str, cuts: Cuts) {
    println!("{what}: {cuts}");
    assert!(cuts.points > 3, "{what}");
}

#[test]
fn one_is_taken_once_and_nothing_older_after_it() {
    let (world, disk) = (World::new(), Simulated::default());
    assert_eq!(mounts(&world, &disk, NAME), Err("nothing"));
    let taken = take(&world, &disk, &good(OLD));
    assert_eq!(
        (taken.code, taken.epoch, taken.sequence, taken.hash),
        ("accepted", 2, OLD, Some(hash(&good(OLD))))
    );
    assert_eq!(mounts(&world, &disk, NAME), Ok(OLD));
    assert_eq!(take(&world, &disk, &good(OLD)).code, "unchanged");
    assert_eq!(take(&world, &disk, &good(NEW)).code, "accepted");
    assert_eq!((mounts(&world, &disk, NAME), take(&world, &disk, &good(OLD)).code), (Ok(NEW), "rollback"));
    // Another name has an order of its own.
    assert_eq!(take(&world, &disk, &file("other", OLD, WORKLOAD_KEY)).code, "accepted");
    assert_eq!((mounts(&world, &disk, NAME), mounts(&world, &disk, "other")), (Ok(NEW), Ok(OLD)));
    // Taken away by a signature; and still nothing older.
    assert_eq!(take(&world, &disk, &good(10)).code, "removed");
    assert_eq!(
        (mounts(&world, &disk, NAME), take(&world, &disk, &good(10)).code),
        (Err("nothing"), "unchanged")
    );
    assert_eq!(take(&world, &disk, &good(NEW)).code, "rollback");
    assert_eq!((take(&world, &disk, &good(11)).code, mounts(&world, &disk, NAME)), ("accepted", Ok(11)));
}

#[test]
fn what_can_not_be_taken_is_refused_and_leaves_what_is_there() {
    let (world, disk) = (World::new(), Simulated::default());
    assert_eq!(take(&world, &disk, &good(OLD)).code, "accepted");
    let refused = |bytes: &[u8], stick: &dyn Fn(u64, &mut [u8]) -> io::Result<()>, free, code: &str| {
        let taken = take_from(&world, &disk, bytes, stick, free).unwrap();
        assert_eq!((taken.answer, taken.code), (Answer::Refused, code), "{}", taken.detail);
        assert_eq!(mounts(&world, &disk, NAME), Ok(OLD), "{code}");
        assert_eq!(disk.list(NAME, 9).unwrap(), ["workload"], "{code}: nothing is left beside it");
    };
    let new = good(NEW);
    let read = |bytes: &[u8], at: u64, out: &mut [u8]| {
        out.copy_from_slice(&bytes[at as usize..at as usize + out.len()]);
        Ok(())
    };
    refused(&new, &|_, _| Err(io::Error::other("pulled")), u64::MAX, "unreadable");
    let mut flipped = new.clone();
    *flipped.last_mut().unwrap() ^= 1;
    refused(&flipped, &|at, out| read(&flipped, at, out), u64::MAX, "content-hash");
    // It says so of its front by one reading and is another by the next.
    refused(&new, &|at, out| read(&flipped, at, out), u64::MAX, "content-hash");
    refused(&new, &|at, out| read(&new, at, out), new.len() as u64, "no-room");
    for (key, code) in [(1, "unknown-key"), (60, "unknown-key")] {
        let other = file(NAME, NEW, key);
        refused(&other, &|at, out| read(&other, at, out), u64::MAX, code);
    }
    // What counts is what our own disk gives back.
    disk.lie(true);
    let taken = take(&world, &disk, &new);
    disk.lie(false);
    assert_eq!((taken.code, mounts(&world, &disk, NAME)), ("read-back-differs", Ok(OLD)));
    assert_eq!(disk.list(NAME, 9).unwrap(), ["workload"]);
    // As many as are kept.
    for number in 1..limits::WORKLOADS_KEPT {
        assert_eq!(take(&world, &disk, &file(&format!("w{number}"), 1, WORKLOAD_KEY)).code, "accepted");
    }
    let more = file("one-more", 1, WORKLOAD_KEY);
    assert_eq!(take(&world, &disk, &more).code, "too-many");
    assert_eq!(take(&world, &disk, &file("w1", 10, WORKLOAD_KEY)).code, "removed");
    assert_eq!(take(&world, &disk, &more).code, "accepted");
}

/// What is mounted is what was accepted: all of it, by the root in force.
#[test]
fn what_was_tampered_with_is_not_mounted_and_may_be_brought_again() {
    let (world, disk) = (World::new(), Simulated::default());
    assert_eq!(take(&world, &disk, &good(OLD)).code, "accepted");
    assert_eq!(take(&world, &disk, &good(NEW)).code, "accepted");
    let place = path(NAME);
    let put = |bytes: &[u8]| {
        let file = disk.create(&place).unwrap();
        disk.write_at(file, 0, bytes).unwrap();
    };
    let new = good(NEW);
    for at in [0, 8, 100, new.len() - 4000, new.len() - 1] {
        let mut bad = new.clone();
        bad[at] ^= 1;
        put(&bad);
        let why = mounts(&world, &disk, NAME).unwrap_err();
        assert!(
            ["bad-magic", "unsupported-format", "bad-signature", "content-hash"].contains(&why),
            "{at}: {why}"
        );
        assert_eq!(take(&world, &disk, &new).code, "accepted", "{at}: it is put in its place again");
        assert_eq!(mounts(&world, &disk, NAME), Ok(NEW));
    }
    put(&new[..new.len() - 1]);
    assert_eq!(mounts(&world, &disk, NAME), Err("truncated"));
    // An older one, well signed; another's.
    put(&good(OLD));
    assert_eq!(mounts(&world, &disk, NAME), Err("not-accepted"));
    put(&file("other", NEW, WORKLOAD_KEY));
    assert_eq!(mounts(&world, &disk, NAME), Err("not-accepted"));
    disk.remove(&place).unwrap();
    assert_eq!(mounts(&world, &disk, NAME), Err("workload-lost"));
    put(&new);
    assert_eq!(mounts(&world, &disk, NAME), Ok(NEW));
    // What is remembered is lost: nothing that is there was decided about, as far as anybody knows.
    for copy in ["workloads.a", "workloads.b"] {
        let file = disk.create(copy).unwrap();
        disk.write_at(file, 0, b"rot").unwrap();
    }
    assert!(Books::read(&disk).unwrap().damaged);
    assert_eq!(mounts(&world, &disk, NAME), Err("nothing"));
    assert_eq!((take(&world, &disk, &new).code, mounts(&world, &disk, NAME)), ("accepted", Ok(NEW)));
}

#[test]
fn one_copy_of_what_is_remembered_is_enough() {
    let (world, disk) = (World::new(), Simulated::default());
    assert_eq!(take(&world, &disk, &good(NEW)).code, "accepted");
    for copy in ["workloads.a", "workloads.b"] {
        let disk = disk.clone();
        let file = disk.create(copy).unwrap();
        disk.write_at(file, 0, b"rot").unwrap();
        assert_eq!(
            (mounts(&world, &disk, NAME), take(&world, &disk, &good(OLD)).code),
            (Ok(NEW), "rollback")
        );
    }
}

/// Whatever is cut, the next start has the old one or the new one, whole; and it can be brought again.
#[test]
fn power_cuts_leave_the_old_one_or_the_new_one() {
    let (world, mut disk) = (World::new(), Simulated::default());
    let first = disk.cut_everywhere(
        |disk| done(&take(&world, disk, &good(OLD))),
        |disk, done| {
            match mounts(&world, &disk, NAME) {
                Ok(OLD) => {}
                Err("nothing") => assert!(!done),
                other => panic!("{other:?}"),
            }
            assert!(take(&world, &disk, &good(OLD)).answer != Answer::Refused);
            assert_eq!(mounts(&world, &disk, NAME), Ok(OLD));
        },
    );
    say("the first of a name", first);
    assert_eq!(take(&world, &disk, &good(OLD)).code, "accepted");
    disk.flush();
    let update = disk.cut_everywhere(
        |disk| done(&take(&world, disk, &good(NEW))),
        |disk, done| {
            match mounts(&world, &disk, NAME) {
                Ok(NEW) => {}
                Ok(OLD) => assert!(!done),
                other => panic!("{other:?}"),
            }
            assert!(take(&world, &disk, &good(NEW)).answer != Answer::Refused);
            assert_eq!(mounts(&world, &disk, NAME), Ok(NEW));
            assert_eq!(take(&world, &disk, &good(OLD)).code, "rollback");
        },
    );
    say("an update", update);
    let removal = disk.cut_everywhere(
        |disk| done(&take(&world, disk, &good(10))),
        |disk, done| {
            match mounts(&world, &disk, NAME) {
                Err("nothing") => {}
                Ok(OLD) => assert!(!done),
                other => panic!("{other:?}"),
            }
            assert!(take(&world, &disk, &good(10)).answer != Answer::Refused);
            assert_eq!(mounts(&world, &disk, NAME), Err("nothing"));
            assert_eq!(take(&world, &disk, &good(OLD)).code, "rollback");
        },
    );
    say("a removal", removal);
}

#[test]
fn a_disk_that_fails_at_any_step_is_said_and_leaves_one_that_is_whole() {
    let (world, mut disk) = (World::new(), Simulated::default());
    assert_eq!(take(&world, &disk, &good(OLD)).code, "accepted");
    disk.flush();
    let refused = Cell::new(0);
    let steps = disk.fail_everywhere(
        |disk| {
            let bytes = good(NEW);
            let read = |at: u64, out: &mut [u8]| {
                out.copy_from_slice(&bytes[at as usize..at as usize + out.len()]);
                Ok(())
            };
            take_from(&world, disk, &bytes, &read, u64::MAX)
        },
        |disk, step, taken| {
            let there = mounts(&world, &disk, NAME);
            match taken {
                Ok(taken) if taken.answer == Answer::Accepted => assert_eq!(there, Ok(NEW), "step {step}"),
                Ok(taken) => {
                    refused.set(refused.get() + 1);
                    assert!(
                        ["storage", "read-back-differs"].contains(&taken.code),
                        "step {step}: {}",
                        taken.code
                    );
                    assert!(matches!(there, Ok(OLD | NEW)), "step {step}: {there:?}");
                }
                Err(_) => assert!(matches!(there, Ok(OLD)), "step {step}: {there:?}"),
            }
            assert!(take(&world, &disk, &good(NEW)).answer != Answer::Refused, "step {step}");
            assert_eq!(mounts(&world, &disk, NAME), Ok(NEW), "step {step}");
        },
    );
    assert!(steps > 10 && refused.get() > 5, "{steps} steps, {} refused", refused.get());
}

/// Root metadata that comes later takes a workload out of operation: by its manifest, or by the keys that signed it.
#[test]
fn what_the_root_revokes_is_not_mounted() {
    type Change = fn(&mut aegis_bundle::Root, [u8; 32]);
    let (world, disk) = (World::new(), Simulated::default());
    assert_eq!(take(&world, &disk, &good(OLD)).code, "accepted");
    let manifest = Books::read(&disk).unwrap().state.of(NAME).unwrap().accepted.manifest;
    let kernel = world.boot(&disk);
    let rotate = |disk: &Simulated, change: fn(&mut aegis_bundle::Root, [u8; 32])| {
        let bytes = super::world::version(2, |root| change(root, manifest));
        assert_eq!(world.rotate(disk, &kernel, &bytes).code, "accepted");
        mounts(&world, disk, NAME)
    };
    let cases: [(Change, Result<u64, &str>); 5] = [
        (|root, manifest| root.revoked = [manifest].into_iter().collect(), Err("revoked")),
        (
            |root, _| {
                root.workload = None;
                root.revoked_keys = [super::world::fingerprint(WORKLOAD_KEY)].into_iter().collect();
            },
            Err("revoked-key"),
        ),
        // Merely replaced, or nobody's any more, or another epoch: what was accepted stays.
        (|root, _| root.workload = Some(super::world::policy_by(71)), Ok(OLD)),
        (|root, _| root.workload = None, Ok(OLD)),
        (|root, _| root.epoch = 3, Ok(OLD)),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        assert_eq!(rotate(&disk.clone(), change), expected, "case {number}");
    }
}

/// What its programs kept: one file, where there are directories.
fn keep_data(disk: &Simulated) {
    disk::replace(disk, &format!("{NAME}/data"), b"much").unwrap();
}

fn has_data(disk: &Simulated) -> bool {
    ["data", "gone"].iter().any(|name| disk.file(&format!("{NAME}/{name}")).is_ok())
}

const WITH_DATA: u64 = 100;

#[test]
fn a_removal_takes_data_away_when_it_says_so_and_not_else() {
    let (world, mut disk) = (World::new(), Simulated::default());
    assert_eq!(take(&world, &disk, &good(OLD)).code, "accepted");
    keep_data(&disk);
    disk.flush();
    let plain = disk.clone();
    let taken = take(&world, &plain, &good(10));
    assert_eq!((taken.code, taken.detail.contains("stays"), has_data(&plain)), ("removed", true, true));
    // Also later: by another one, of what is gone already.
    let taken = take(&world, &plain, &good(WITH_DATA));
    assert_eq!((taken.code, taken.detail.contains("is gone"), has_data(&plain)), ("removed", true, false));
    let cuts = disk.cut_everywhere(
        |disk| done(&take(&world, disk, &good(WITH_DATA))),
        |disk, done| {
            match mounts(&world, &disk, NAME) {
                // What is marked goes at the next start, where it is not gone yet.
                Err("nothing") => assert!(!done || disk.file(&format!("{NAME}/data")).is_err()),
                // It runs on, and finds what it kept.
                Ok(OLD) => assert!(!done && disk.file(&format!("{NAME}/data")).is_ok()),
                other => panic!("{other:?}"),
            }
            assert!(take(&world, &disk, &good(WITH_DATA)).answer != Answer::Refused);
            assert_eq!((mounts(&world, &disk, NAME), has_data(&disk)), (Err("nothing"), false));
        },
    );
    say("a removal with data", cuts);
}

/// Somebody has all of own storage that root does not keep for itself, and takes what is let go. Whatever ends that is taken.
#[test]
fn where_a_workload_takes_all_inodes_it_is_taken_away_revoked_and_updated() {
    let world = World::new();
    let mut disk = world.disk().with_tpm();
    assert_eq!(disk.start().unwrap(), Verdict::Good);
    assert_eq!(take(&world, &disk, &good(OLD)).code, "accepted");
    disk::keep_spare(&disk, &trust::directories()).unwrap();
    keep_data(&disk);
    disk.flush();
    disk.fill(true);
    assert_eq!(disk::replace(&disk, "elsewhere/file", b"x").unwrap_err().kind(), io::ErrorKind::StorageFull);
    let spare = |disk: &Simulated| disk.list(".spare", 99).unwrap().len();
    let left = spare(&disk);
    assert_eq!(left, limits::SPARE_FILES);
    // What takes the place of another costs nothing, however often.
    let full = disk.clone();
    let kernel = world.boot(&full);
    assert_eq!(world.offer(&full, &kernel, &world.third).code, "accepted");
    for sequence in 9..12 {
        world.trust(&full).take_token(sequence).unwrap();
    }
    let lost = left - spare(&full);
    assert!(lost <= 1, "{lost}: a third bundle has no slot to take the place of");
    let manifest = Books::read(&full).unwrap().state.of(NAME).unwrap().accepted.manifest;
    let bytes = super::world::version(2, |root| root.revoked = [manifest].into_iter().collect());
    assert_eq!(world.rotate(&full, &kernel, &bytes).code, "accepted");
    assert_eq!((mounts(&world, &full, NAME), spare(&full)), (Err("revoked"), left - lost - 1));
    assert_eq!(full.start().unwrap(), Verdict::Good);
    // It is taken away with a spare file or without one; only with its data where nothing else makes room.
    for (sequence, spared, code) in [
        (10, true, "removed"),
        (WITH_DATA, true, "removed"),
        (10, false, "storage"),
        (WITH_DATA, false, "removed"),
    ] {
        let mut disk = disk.clone();
        if !spared {
            for name in disk.list(".spare", 99).unwrap() {
                disk.remove(&format!(".spare/{name}")).unwrap();
            }
            disk.flush();
        }
        let taken = take(&world, &disk, &good(sequence));
        assert_eq!((taken.code, mounts(&world, &disk, NAME).is_err()), (code, true), "{sequence} {spared}");
        assert_eq!(has_data(&disk), sequence == 10, "{sequence} {spared}");
        if code == "storage" {
            assert!(taken.detail.contains("a signed removal with its data"), "{}", taken.detail);
            continue;
        }
        let mut before = disk.clone();
        before.flush();
        assert_eq!(take(&world, &before, &good(OLD)).code, "rollback");
    }
}

/// The same with the power cut at every step, spare files or none.
#[test]
fn power_cuts_of_a_full_disk_leave_it_there_or_taken_away() {
    let world = World::new();
    for spared in [true, false] {
        let mut disk = Simulated::default();
        assert_eq!(take(&world, &disk, &good(OLD)).code, "accepted");
        if spared {
            disk::keep_spare(&disk, &trust::directories()).unwrap();
        }
        keep_data(&disk);
        disk.flush();
        disk.fill(true);
        let cuts = disk.cut_everywhere(
            |disk| done(&take(&world, disk, &good(WITH_DATA))),
            |disk, done| {
                // Nothing is mounted of what has no file, whatever is remembered of it.
                match Books::read(&disk).unwrap().state.of(NAME).filter(|one| !one.gone && one.next.is_none())
                {
                    Some(_) => assert!(
                        matches!(mounts(&world, &disk, NAME), Ok(OLD) | Err("workload-lost")) && !done
                    ),
                    None => assert!(!done || disk.file(&format!("{NAME}/data")).is_err()),
                }
                let again = take(&world, &disk, &good(WITH_DATA));
                assert!(again.answer != Answer::Refused, "{again:?}");
                assert_eq!((mounts(&world, &disk, NAME), has_data(&disk)), (Err("nothing"), false));
                assert_eq!(take(&world, &disk, &good(OLD)).code, "rollback");
            },
        );
        say("a removal from a full disk", cuts);
    }
}

/// A device with a TPM, on which the old one was taken.
fn counted(world: &World) -> Simulated {
    let mut disk = world.disk().with_tpm();
    assert_eq!(disk.start().unwrap(), Verdict::Good);
    assert_eq!(take(world, &disk, &good(OLD)).code, "accepted");
    disk.flush();
    disk
}

#[test]
fn a_device_that_is_held_takes_no_workload() {
    let world = World::new();
    let before = counted(&world);
    let mut after = before.clone();
    assert_eq!(world.offer(&after, &world.boot(&after), &world.third).code, "accepted");
    after.flush();
    let disk = after.put_back(&before);
    assert!(matches!(disk.start().unwrap(), Verdict::Held(_)));
    for sequence in [NEW, 10, WITH_DATA] {
        assert_eq!(take(&world, &disk, &good(sequence)).code, ROLLED_BACK, "{sequence}");
    }
    assert_eq!(mounts(&world, &disk, NAME), Ok(OLD), "what it names stays in force");
    world.trust(&disk).take_token(9).unwrap();
    assert_eq!(take(&world, &disk, &good(NEW)).code, "accepted");
    assert_eq!(disk.start().unwrap(), Verdict::Good);
}

/// Beside a trust state that is the last: older books with the older file, books that somebody wrote, none at all.
#[test]
fn older_books_of_workloads_are_seen() {
    let world = World::new();
    let before = counted(&world);
    let mut after = before.clone();
    assert_eq!(take(&world, &after, &good(NEW)).code, "accepted");
    after.flush();
    assert_eq!((after.start().unwrap(), mounts(&world, &after, NAME)), (Verdict::Good, Ok(NEW)));
    let names = ["workloads.a", "workloads.b"];
    let contents = |disk: &Simulated, name: &str| disk.contents(disk.file(name).unwrap());
    let older = |disk: &Simulated| {
        for name in names.into_iter().chain([&*path(NAME)]) {
            disk::replace(disk, name, &contents(&before, name)).unwrap();
        }
    };
    let written = |disk: &Simulated| {
        older(disk);
        let mut state = Books::read(&before).unwrap().state;
        state.generation = 1000;
        let mut out = [0; aegis_bundle::limits::WORKLOAD_STATE_BYTES];
        let length = state.encode(&mut out).unwrap();
        for (name, by) in names.into_iter().zip([vec![], vec![7; 32]]) {
            disk::replace(disk, name, &[&out[..length], &by].concat()).unwrap();
        }
    };
    let none = |disk: &Simulated| names.iter().for_each(|name| disk.remove(name).unwrap());
    let rotten = |disk: &Simulated| {
        for name in names {
            disk::replace(disk, name, b"rot").unwrap();
        }
    };
    for what in ["older", "written", "none", "rotten"] {
        let disk = after.clone();
        match what {
            "older" => older(&disk),
            "written" => written(&disk),
            "none" => none(&disk),
            _ => rotten(&disk),
        }
        // At once, and at each start.
        assert_eq!(mounts(&world, &disk, NAME), Err("nothing"), "{what}");
        assert_eq!(take(&world, &disk, &good(OLD)).code, ROLLED_BACK, "{what}");
        for _ in 0..2 {
            assert!(matches!(disk.start().unwrap(), Verdict::Held(_)), "{what}");
            assert_eq!(mounts(&world, &disk, NAME), Err("nothing"), "{what}");
            for sequence in [OLD, NEW, 11] {
                assert_eq!(take(&world, &disk, &good(sequence)).code, ROLLED_BACK, "{what}");
            }
        }
        // Who signs a token vouches for the device as it is.
        let cuts = disk.cut_everywhere(
            |disk| world.trust(disk).take_token(9),
            |disk, done| {
                let is_good = disk.start().unwrap() == Verdict::Good;
                assert!(is_good || !done, "{what}");
                if is_good {
                    assert_eq!(take(&world, &disk, &good(11)).code, "accepted", "{what}");
                    assert_eq!((disk.start().unwrap(), mounts(&world, &disk, NAME)), (Verdict::Good, Ok(11)));
                }
            },
        );
        say(what, cuts);
    }
    // One copy is enough, also of these.
    let disk = after.clone();
    disk::replace(&disk, names[0], &contents(&before, names[0])).unwrap();
    assert_eq!((disk.start().unwrap(), mounts(&world, &disk, NAME)), (Verdict::Good, Ok(NEW)));
}

/// Whatever is cut of a decision, of the disk or the TPM, is not taken for an older copy.
#[test]
fn no_cut_of_a_counted_decision_is_taken_for_an_older_copy() {
    let world = World::new();
    let before = counted(&world);
    for sequence in [NEW, 10, WITH_DATA] {
        let cuts = before.cut_everywhere(
            |disk| done(&take(&world, disk, &good(sequence))),
            |disk, done| {
                assert_eq!(disk.start().unwrap(), Verdict::Good);
                let there = mounts(&world, &disk, NAME);
                assert!(there != Ok(OLD) || !done, "{there:?}");
                assert_eq!(disk.start().unwrap(), Verdict::Good);
                assert_ne!(take(&world, &disk, &good(sequence)).answer, Answer::Refused);
                assert_eq!(disk.start().unwrap(), Verdict::Good);
                // And from then on nothing before it is good.
                let older = disk.clone();
                for name in ["workloads.a", "workloads.b"] {
                    disk::replace(&older, name, &before.contents(before.file(name).unwrap())).unwrap();
                }
                assert!(matches!(older.start().unwrap(), Verdict::Held(_)));
            },
        );
        say("counted", cuts);
    }
    before.fail_everywhere(
        |disk| drop(take_from(&world, disk, &good(10), &|_, _| Ok(()), u64::MAX)),
        |disk, step, ()| assert_eq!(disk.start().unwrap(), Verdict::Good, "step {step}"),
    );
}

/// A device that had no TPM, or whose TPM is another one, goes on with what it has, and counts it from then on.
#[test]
fn books_that_nobody_counted_are_from_the_next_start_on() {
    let (world, disk) = (World::new(), World::new().disk());
    assert_eq!(take(&world, &disk, &good(OLD)).code, "accepted");
    let mut disk = disk.with_tpm();
    assert_eq!((disk.start().unwrap(), mounts(&world, &disk, NAME)), (Verdict::Good, Ok(OLD)));
    disk.flush();
    let counted = trust::counted_workloads(&disk).unwrap();
    assert_eq!(counted, Some(Books::read(&disk).unwrap().state.generation));
    let moved = disk.clone().with_tpm();
    assert_eq!((moved.start().unwrap(), mounts(&world, &moved, NAME)), (Verdict::OtherTpm, Ok(OLD)));
    assert_eq!((moved.start().unwrap(), moved.is_held()), (Verdict::Good, false));
    assert!(trust::counted_workloads(&moved).unwrap().is_some_and(|counted| counted > 0));
}
