//! A device with a TPM: what is sealed to it, what it counts, what was measured (`docs/tpm.md`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aegis_qemu::{End, Kernel, Machine, Run, Stick, StickFs};
use aegis_seal::{State, StorageKey};
use aegis_tests::{Bench, Evidence, Rule, console, receipts};
use serde_json::Value;

use crate::glass::{shown, token};

const MIB: u64 = 1 << 20;
/// Prints the device's status, then its health, each a line of JSON; then the storage key of this boot.
const LOOK: &str = "aegis status --json; aegis health --json; od -An -v -tx1 /run/aegis/storage.key; true";
const SHADOW: Rule<'static> =
    Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };

/// A device, and what it says of itself.
struct Device<'b> {
    bench: &'b Bench,
    folder: PathBuf,
}

/// A run to its end. Whether its evidence is whole is not asked here: a chain that begins anew is a break in it.
struct Look {
    run: Run,
    events: Vec<Value>,
    status: Value,
    health: Value,
}

impl<'b> Device<'b> {
    fn new(bench: &'b Bench, name: &str) -> Self {
        Self { bench, folder: bench.at(name) }
    }

    fn disk(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn machine(&self, script: &str) -> Machine {
        self.bench.demo(script).state(&self.folder)
    }

    /// The policy that lets a workload look at what is Aegis's own.
    fn policy(&self) -> PathBuf {
        self.bench.policy("open", "enforce", &[SHADOW])
    }

    fn look(machine: Machine) -> Look {
        let (_slot, vm) = Bench::start(machine);
        let run = vm.finish().expect("watched");
        let said = console(&run);
        assert_eq!((run.end, run.exit), (End::Ran, Some(0)), "{:?}\n{said}", run.error());
        let events = Evidence::show(run.export.as_ref().expect("an export"));
        let text = String::from_utf8(run.stdout().expect("there")).expect("text");
        let mut lines = text.lines().filter(|line| line.starts_with('{'));
        let mut next = || serde_json::from_str(lines.next().expect("a line of JSON")).expect("JSON");
        let (status, health) = (next(), next());
        Look { run, events, status, health }
    }

    /// A file of its own storage, from outside.
    fn file(&self, name: &str) -> Vec<u8> {
        let to = self.disk("dumped");
        let _ = fs::remove_file(&to);
        let mut command = Command::new("/usr/sbin/debugfs");
        command.arg("-R").arg(format!("dump /aegis/{name} {}", to.display()));
        command.arg(format!("{}?offset={MIB}", self.disk("data.img").display()));
        Bench::good(command);
        fs::read(to).unwrap_or_default()
    }
}

impl Look {
    /// The events of this kind in the last boot of the export.
    fn of(&self, kind: &str) -> Vec<&Value> {
        let boot = &self.events.last().expect("events")["boot_id"];
        self.events.iter().filter(|event| event["boot_id"] == *boot && event["kind"] == kind).collect()
    }

    /// Their codes. That the harness made the data partition is told, too, and nothing to us.
    fn codes(&self, kind: &str) -> Vec<&str> {
        let codes = self.of(kind).into_iter().map(|event| event["code"].as_str().expect("a code"));
        codes.filter(|code| *code != "data-new").collect()
    }

    fn findings(&self) -> Vec<&str> {
        let all = self.health["findings"].as_array().expect("findings");
        all.iter().map(|finding| finding["code"].as_str().expect("a code")).collect()
    }

    fn sequence(&self) -> u64 {
        self.run.status["policy"]["sequence"].as_u64().expect("a sequence")
    }

    fn measured(&self) -> &Value {
        let [event] = self.of("measured")[..] else { panic!("once a boot: {:?}", self.events) };
        &event["pcrs"]
    }

    /// The storage key of this boot, as only a workload that nothing keeps off can read it.
    fn key(&self) -> [u8; 32] {
        let text = String::from_utf8(self.run.stdout().expect("there")).expect("text");
        let digits = text.rsplit('}').next().expect("behind the JSON").split_whitespace();
        let bytes: Vec<u8> = digits.map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect();
        bytes.try_into().expect("a key")
    }
}

fn contains(path: &Path, secret: &[u8]) -> bool {
    fs::read(path).expect("there").windows(secret.len()).any(|bytes| bytes == secret)
}

fn is_zero(pcr: &Value) -> bool {
    pcr.as_str().expect("a value").bytes().all(|digit| digit == b'0')
}

#[test]
fn what_is_secret_is_on_the_disk_only_as_the_tpm_locked_it_and_the_chain_goes_on() {
    let bench = Bench::new();
    let device = Device::new(&bench, "device");
    let first = Device::look(device.machine(LOOK).tpm(true).policy(device.policy()).sequence(5));
    assert_eq!(first.codes("storage"), ["key-sealed"], "{}", console(&first.run));
    assert!(console(&first.run).contains("storage: key-sealed: "), "{}", console(&first.run));
    let tpm = &first.status["tpm"];
    assert_eq!(
        (tpm["key"].as_str(), tpm["counts"].as_bool(), tpm["held"].as_bool()),
        (Some("sealed"), Some(true), Some(false))
    );
    assert!(!first.findings().contains(&"key-not-sealed"), "{:?}", first.findings());
    // Nothing is measured by a kernel that QEMU starts but what its firmware does; all of them are there.
    assert_eq!(first.measured().as_object().expect("PCRs").len(), 9);
    assert_eq!(tpm["pcrs"], *first.measured());

    let secret = first.key();
    let storage = StorageKey::new(zeroize::Zeroizing::new(secret));
    let seed = storage
        .unlock(
            &[b"aegis device key"],
            device.file("device.key").as_slice().try_into().expect("it is locked"),
        )
        .expect("by this key");
    let sealed = device.file("seal.state");
    let states: Vec<State> = sealed.chunks(4096).filter_map(State::decode).collect();
    assert!(!states.is_empty() && states.iter().all(State::is_locked), "{states:?}");
    assert!(states.iter().all(|state| !state.clone().unlock(&storage).is_locked()), "by this key");
    for disk in ["data.img", "ring.img"] {
        assert!(!contains(&device.disk(disk), &secret), "{disk}: the storage key");
        assert!(!contains(&device.disk(disk), &*seed), "{disk}: the device key");
    }

    let second = Device::look(device.machine(LOOK).tpm(true));
    assert!(second.codes("storage").is_empty(), "{:?}", second.codes("storage"));
    assert!(second.of("seal").is_empty(), "the same chain goes on");
    Evidence::verify(&[first.run.exports.clone(), second.run.exports.clone()].concat());
    assert_eq!(second.measured(), first.measured());
    assert_eq!(second.key(), secret);
}

#[test]
fn without_a_tpm_nothing_is_other_than_it_was_and_one_that_comes_later_is_taken_up() {
    let bench = Bench::new();
    let device = Device::new(&bench, "device");
    let first = Device::look(device.machine(LOOK).policy(device.policy()).sequence(5));
    assert!(
        first.codes("storage").is_empty() && first.of("measured").is_empty(),
        "{:?}",
        first.codes("storage")
    );
    assert_eq!(first.status["tpm"]["key"], "no-tpm");
    assert!(first.findings().contains(&"key-not-sealed"), "{:?}", first.findings());
    assert_eq!(first.health["verdict"], "healthy", "{}", first.health);
    let key = device.file("device.key");
    assert_eq!(key.len(), 32, "as it is");
    assert!(contains(&device.disk("data.img"), &key));

    let second = Device::look(device.machine(LOOK).tpm(true));
    assert_eq!(second.codes("storage"), ["key-sealed"]);
    assert!(second.of("seal").is_empty(), "the same chain goes on");
    assert_eq!(second.run.mode(), Some("enforcing"));
    assert_eq!(device.file("device.key").len(), 60);
    assert!(!contains(&device.disk("data.img"), &key), "nor where it was before");
    Evidence::verify(&[first.run.exports.clone(), second.run.exports.clone()].concat());
}

#[test]
fn another_tpm_opens_nothing_and_the_device_begins_anew_and_says_so() {
    let bench = Bench::new();
    let (device, other) = (Device::new(&bench, "device"), Device::new(&bench, "other"));
    let first = Device::look(device.machine(LOOK).tpm(true).policy(device.policy()).sequence(5));
    fs::create_dir(&other.folder).expect("made");
    for disk in ["data.img", "ring.img"] {
        fs::copy(device.disk(disk), other.disk(disk)).expect("copied");
    }
    let moved = Device::look(other.machine(LOOK).tpm(true));
    let said = console(&moved.run);
    for line in ["STORAGE: key-lost: ", "another TPM", "STORAGE: tpm-other: ", "STORAGE: device-key-lost: "] {
        assert!(said.contains(line), "no `{line}`: {said}");
    }
    assert_eq!(moved.codes("storage"), ["key-lost", "tpm-other", "device-key-lost"]);
    assert_eq!(moved.codes("seal"), ["seal-state-lost"], "a new chain");
    assert!(moved.findings().contains(&"key-lost"), "{:?}", moved.findings());
    // What was in force is in force: it is signed, and no newer one is known.
    assert_eq!((moved.run.mode(), moved.sequence()), (Some("enforcing"), 5));
    let both = [first.run.exports.clone(), moved.run.exports.clone()].concat();
    let report = Evidence::report(&both);
    let problems = report["problems"].as_array().expect("problems");
    assert!(problems.iter().any(|problem| problem["code"] == "device-rekeyed"), "{report}");

    // Once; and the device it was taken from goes on as it was.
    let again = Device::look(other.machine(LOOK).tpm(true));
    assert!(again.codes("storage").is_empty() && again.of("seal").is_empty(), "{:?}", again.codes("storage"));
    let back = Device::look(device.machine(LOOK).tpm(true));
    assert!(back.codes("storage").is_empty(), "{:?}", back.codes("storage"));
    Evidence::verify(&[first.run.exports.clone(), back.run.exports.clone()].concat());
}

/// The whole way: seen, held, and ended by who can vouch for the device as it is.
#[test]
fn an_older_copy_of_the_data_partition_is_seen_and_held_until_a_token_ends_it() {
    let bench = Bench::new();
    let device = Device::new(&bench, "device");
    let policy = device.policy();
    Bench::run(device.machine("true").tpm(true).policy(&policy).sequence(5));
    let older = device.disk("older.img");
    fs::copy(device.disk("data.img"), &older).expect("copied");
    let run = Bench::run(device.machine("true").tpm(true).policy(&policy).sequence(7));
    assert_eq!(run.number("/policy/sequence"), 7);
    fs::copy(&older, device.disk("data.img")).expect("put back");

    // 6 was overtaken by 7, which this copy does not know.
    let held = Device::look(device.machine(LOOK).tpm(true).policy(&policy).sequence(6));
    assert_eq!(held.codes("storage"), ["trust-rolled-back"]);
    assert!(console(&held.run).contains("STORAGE: trust-rolled-back: "), "{}", console(&held.run));
    assert!(held.findings().contains(&"trust-rolled-back"), "{:?}", held.findings());
    assert_eq!((&held.health["verdict"], &held.status["tpm"]["held"]), (&"unhealthy".into(), &true.into()));
    assert_eq!((held.run.mode(), held.sequence()), (Some("enforcing"), 5), "no gap");
    let answers = receipts(&held.run);
    assert!(answers.iter().any(|answer| answer["code"] == "trust-rolled-back"), "{answers:?}");

    let script = "aegis break-glass challenge --json; sleep 1000";
    let (slot, mut vm) = Bench::start(device.machine(script).no_stick().tpm(true));
    assert!(vm.wait_stdout("}").expect("watched"), "{}", vm.console_end());
    let shown = shown(&fs::read(vm.out().join("stdout")).expect("there"));
    let text = |name: &str| shown[name].as_str().expect("text").to_owned();
    let token = token(&bench, &shown, ["--boot-id", &text("boot")], 1, 1);
    let token_name = format!("break-glass/{}.cbor", text("device"));
    let mut taken = |file: &Path, name: &str, what: &str| {
        let before = vm.now().expect("watched");
        let id = vm.plug(&Stick::new(StickFs::Vfat).file(name, file)).expect("plugged");
        for text in [what, "can be pulled"] {
            let line = vm.wait_line_after(before, text).expect("watched");
            assert!(line.is_some(), "the device never says {text:?}:\n{}", vm.console_end());
        }
        vm.unplug(id).expect("pulled");
    };
    let newer = bench.bundle("8.aegis", &policy, 8);
    taken(&newer, "8.aegis", "trust-rolled-back");
    taken(&token, &token_name, "accepted");
    taken(&newer, "8.aegis", "policy: epoch 1 sequence 8");
    vm.cut_power().expect("cut");
    drop(slot);

    let good = Device::look(device.machine(LOOK).tpm(true));
    assert!(good.codes("storage").is_empty(), "{:?}", good.codes("storage"));
    assert_eq!((good.sequence(), &good.health["verdict"]), (8, &"healthy".into()));
}

/// As on hardware: firmware, loader, unified kernel, each measured by the one before it.
#[test]
fn what_was_started_is_measured_and_told() {
    let bench = Bench::new();
    let machine = || {
        let machine = bench.machine().kernel(Kernel::Uefi).whole_disk(512 * MIB).state(bench.at("device"));
        Bench::start(machine.no_stick().tpm(true))
    };
    let measured = |first: bool| {
        let (_slot, mut vm) = machine();
        assert!(vm.wait_ready().expect("watched"), "{}", vm.console_end());
        let place = vm.now().expect("watched");
        vm.plug(&Stick::new(StickFs::Vfat)).expect("plugged");
        let line = vm.wait_line_after(place, "it can be pulled").expect("watched");
        assert!(line.is_some(), "{}", vm.console_end());
        let run = vm.cut_power().expect("cut");
        let said = console(&run);
        assert_eq!(said.contains("storage: key-sealed: a storage key, to PCR 7"), first, "{said}");
        assert!(!said.contains("STORAGE: "), "{said}");
        let events = Evidence::show(run.export.as_ref().expect("an export"));
        let event = events.iter().rev().find(|event| event["kind"] == "measured");
        event.unwrap_or_else(|| panic!("nothing is said: {events:?}"))["pcrs"].clone()
    };
    let first = measured(true);
    for pcr in ["0", "4", "7", "11"] {
        assert!(!is_zero(&first[pcr]), "PCR {pcr}: {first}");
    }
    // The same was started again: the same was measured, and the key came back.
    let second = measured(false);
    for pcr in ["4", "7", "11"] {
        assert_eq!(second[pcr], first[pcr], "PCR {pcr}");
    }
}
