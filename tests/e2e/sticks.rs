//! Sticks that come late, go early, or are meant to harm.

use std::time::Duration;

use aegis_qemu::{Cache, Stick, StickFs, Throttle};
use aegis_tests::{Bench, Evidence, Rule, hostile};

const SHADOW: Rule<'static> =
    Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };

/// Waits until the protected file is denied, and says whether it was.
const UNTIL_DENIED: &str = "
tries=0
while cat /etc/shadow >/dev/null 2>&1 && [ $tries -lt 1000 ]; do tries=$((tries + 1)); sleep 0.3; done
cat /etc/shadow >/dev/null 2>&1; echo shadow $?
";

fn codes(run: &Evidence, kind: &str) -> Vec<String> {
    run.kind(kind).iter().map(|event| event["code"].as_str().expect("a code").to_owned()).collect()
}

#[test]
fn a_stick_plugged_in_later_brings_its_policy() {
    let bench = Bench::new();
    let policy = bench.policy("shadow", "enforce", &[SHADOW]);
    let bundle = bench.bundle("policy.aegis", &policy, 5);
    let script = format!("echo begun\n{UNTIL_DENIED}\nsleep 4");
    let (_slot, mut vm) = Bench::start(bench.demo(&script).no_stick());
    assert!(vm.wait_stdout("begun").expect("watched"));
    vm.plug(&Stick::new(StickFs::Vfat).file("policy.aegis", &bundle)).expect("plugged");
    assert!(vm.wait_stdout("shadow 1").expect("watched"), "enforced while the workload runs");
    let run = Bench::evidence(vm.finish().expect("watched"));
    assert_eq!(codes(&run, "policy"), ["accepted"]);
    assert_eq!((run.mode(), run.receipts.len()), (Some("enforcing"), 1));
}

/// Pulled while the device reads it, and while it writes to it: the device goes on, and the next stick is taken.
#[test]
fn a_stick_pulled_at_any_moment_leaves_a_good_state() {
    let bench = Bench::new();
    let policy = bench.policy("shadow", "enforce", &[SHADOW]);
    let bundle = bench.bundle("policy.aegis", &policy, 5);
    let filler = bench.at("filler");
    std::fs::write(&filler, vec![0x5a; 4 << 20]).expect("written");
    let script = format!(
        "i=0; while [ $i -lt 3000 ]; do : </etc/hosts; i=$((i + 1)); done; echo begun\n{UNTIL_DENIED}\nsleep 4"
    );
    let (_slot, mut vm) = Bench::start(bench.demo(&script).no_stick());
    assert!(vm.wait_stdout("begun").expect("watched"));

    // Mid-read: four megabytes at 256 KiB/s.
    let slow = Stick::new(StickFs::Vfat).file("filler.aegis", &filler).file("policy.aegis", &bundle);
    let id = vm.plug(&slow.throttle(Throttle { read: 256 << 10, write: 0 })).expect("plugged");
    assert!(vm.wait_traffic(id, |traffic| traffic.read > 1 << 20).expect("watched"), "it reads");
    vm.unplug(id).expect("pulled");
    vm.run_for(Duration::from_secs(3)).expect("it goes on");

    // Mid-write: it holds nothing to take, so the device writes its evidence, slowly.
    let empty = Stick::new(StickFs::Vfat).throttle(Throttle { read: 0, write: 64 << 10 });
    let id = vm.plug(&empty).expect("plugged");
    assert!(vm.wait_traffic(id, |traffic| traffic.written > 96 << 10).expect("watched"), "it writes");
    vm.unplug(id).expect("pulled");
    vm.run_for(Duration::from_secs(3)).expect("it goes on");

    vm.plug(&Stick::new(StickFs::Vfat).file("policy.aegis", &bundle)).expect("plugged");
    assert!(vm.wait_stdout("shadow 1").expect("watched"), "the next stick is taken");
    // Nothing that the pulled stick was promised is missing on this one: the export verifies whole.
    let run = Bench::evidence(vm.finish().expect("watched"));
    assert_eq!(run.events[0]["sequence"], 1, "what did not arrive goes out again");
    assert!(run.kind("open").len() >= 3000, "{}", run.kind("open").len());
    assert_eq!(run.mode(), Some("enforcing"));
}

/// Whatever is on them: the device says what is wrong, stays as it was, and takes the next good one.
#[test]
fn hostile_sticks_do_no_harm() {
    let bench = Bench::new();
    let policy = bench.policy("shadow", "enforce", &[SHADOW]);
    let bundle = bench.bundle("policy.aegis", &policy, 5);
    let folder = bench.at("hostile");
    std::fs::create_dir(&folder).expect("a folder");
    let images = hostile::sticks(&folder).expect("the images are made");
    assert!(images.len() >= 6);
    let script = format!("echo begun\n{UNTIL_DENIED}\nsleep 4");
    let (_slot, mut vm) = Bench::start(bench.demo(&script).no_stick());
    assert!(vm.wait_stdout("begun").expect("watched"));
    for (name, image) in &images {
        let id = vm.plug(&Stick::image(image)).expect("plugged");
        let mut done = false;
        while !done {
            let line = vm.wait_line("stick sd").expect("watched");
            let line = line.unwrap_or_else(|| {
                panic!("{name}: the device says nothing of it; the console's end:\n{}", vm.console_end())
            });
            done = line.contains("can be pulled") || line.starts_with("aegis: stick");
        }
        vm.unplug(id).expect("pulled");
    }
    vm.plug(&Stick::new(StickFs::Vfat).file("policy.aegis", &bundle)).expect("plugged");
    assert!(vm.wait_stdout("shadow 1").expect("watched"), "the good one is taken");
    let run = Bench::evidence(vm.finish().expect("watched"));
    let seen = codes(&run, "stick");
    for code in ["no-directory", "too-many-entries"] {
        assert!(seen.iter().any(|found| found == code), "{code}: {seen:?}");
    }
    assert_eq!(run.mode(), Some("enforcing"));
    let console = std::fs::read(run.console()).expect("the console");
    let stray = console.iter().any(|byte| *byte < 0x20 && !matches!(byte, b'\n' | b'\r' | b'\t' | 0x1b));
    assert!(!stray, "no control character of a stick reaches the console");
}

/// The power goes while a stick is taken: the next boot has the old policy or the new one, enforced.
#[test]
fn a_power_cut_while_a_stick_is_taken_leaves_the_old_policy_or_the_new_one() {
    let bench = Bench::new();
    let (old, new) = (bench.policy("old", "enforce", &[SHADOW]), bench.policy("new", "enforce", &[SHADOW]));
    bench.bundle("old.aegis", &old, 5);
    bench.bundle("new.aegis", &new, 6);
    let device = bench.at("device");
    Bench::run(bench.demo("true").stick_file("old.aegis", bench.at("old.aegis")).state(&device));
    let mut seen = Vec::new();
    for cut in 0..5u64 {
        // A copy of the device as it was, cut a little later each time.
        let copy = bench.at(&format!("copy{cut}"));
        std::fs::create_dir(&copy).expect("a folder");
        for disk in ["ring.img", "data.img"] {
            std::fs::copy(device.join(disk), copy.join(disk)).expect("copied");
        }
        {
            let machine = bench
                .demo("sleep 60")
                .stick_file("new.aegis", bench.at("new.aegis"))
                .state(&copy)
                .cache(Cache::Lossy(cut));
            let (_slot, mut vm) = Bench::start(machine);
            assert!(vm.wait_line("stick sda: vfat").expect("watched").is_some(), "the stick is being taken");
            vm.run_for(Duration::from_millis(60 * cut)).expect("it runs");
            vm.cut_power().expect("cut");
        }
        let run = Bench::run(bench.demo("cat /etc/shadow >/dev/null; echo shadow $?").state(&copy));
        assert_eq!((run.out_text().as_str(), run.mode()), ("shadow 1\n", Some("enforcing")), "cut {cut}");
        let sequence = run.number("/policy/sequence");
        assert!(sequence == 5 || sequence == 6, "cut {cut}: {sequence}");
        seen.push(sequence);
    }
    println!("sequences after the cuts: {seen:?}");
}

/// Somebody at the serial line stops it (XOFF) while the device has much to say: the boot goes on.
#[test]
fn a_stopped_console_does_not_stop_the_boot() {
    let bench = Bench::new();
    let junk = bench.at("junk");
    std::fs::write(&junk, [0xa5; 100]).expect("written");
    let mut machine = bench.demo("echo done");
    for number in 0..60 {
        machine = machine.stick_file(format!("a-bundle-with-a-long-name-to-speak-of-{number}.aegis"), &junk);
    }
    let (_slot, mut vm) = Bench::start(machine);
    for _ in 0..60 {
        vm.type_text("\x13").expect("typed");
        vm.run_for(Duration::from_millis(100)).expect("it runs");
    }
    let run = Bench::evidence(vm.finish().expect("watched"));
    assert_eq!((run.out_text().as_str(), run.receipts.len()), ("done\n", 60));
}
