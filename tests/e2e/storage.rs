//! One disk, as in the field: the image on it, and behind that the room in which the device makes its ring and its data
//! partition at its first boot.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use aegis_qemu::{Cache, End};
use aegis_tests::{Bench, Evidence, Rule, console};
use serde_json::Value;

const MIB: u64 = 1 << 20;
/// Room for both behind an image of any size that it is likely to have.
const DISK: u64 = 320 * MIB;

/// Where the partition with this label is, bytes: start and size, by `sfdisk`.
fn partition(disk: &Path, label: &str) -> (u64, u64) {
    let mut command = Command::new("/usr/sbin/sfdisk");
    command.arg("--json").arg(disk);
    let table: Value = serde_json::from_slice(&Bench::good(command)).expect("a table");
    let all = table["partitiontable"]["partitions"].as_array().expect("partitions");
    let found = all.iter().find(|partition| partition["name"] == label).expect("a partition with this label");
    let bytes = |key: &str| found[key].as_u64().expect("a number") * 512;
    (bytes("start"), bytes("size"))
}

/// Overwrites the beginning of a partition.
fn spoil(disk: &Path, label: &str, byte: u8) {
    let (start, size) = partition(disk, label);
    let file = File::options().write(true).open(disk).expect("the disk");
    file.write_all_at(&vec![byte; size.min(40 * MIB) as usize], start).expect("written");
}

/// Codes of the storage events of the last boot in an export.
fn codes(events: &[Value]) -> Vec<&str> {
    let boot = &events.last().expect("events")["boot_id"];
    let of_boot = events.iter().filter(|event| event["boot_id"] == *boot && event["kind"] == "storage");
    of_boot.map(|event| event["code"].as_str().expect("a code")).collect()
}

/// What the device says of its disk, and how its data partition is mounted.
const LOOK: &str = "grep ' /data ' /proc/mounts; df -k /data | tail -n 1; aegis storage status; aegis storage status --json; cat /etc/shadow";

fn data_kib(run: &Evidence) -> u64 {
    let text = run.out_text();
    let line = text.lines().nth(1).expect("df's line");
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a size")
}

#[test]
fn a_disk_with_the_image_becomes_a_device_and_stays_it() {
    let bench = Bench::new();
    let device = bench.at("device");
    let rule = Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };
    let policy = bench.policy("deny", "enforce", &[rule]);
    let machine = |bytes| bench.demo(LOOK).whole_disk(bytes).state(&device);
    let first = Bench::run(machine(DISK).policy(policy).sequence(7));
    let text = first.out_text();
    let mounted = text.lines().next().expect("mounted");
    assert!(mounted.contains(" /data ext4 rw,nosuid,nodev,noexec,"), "{text}");
    assert!(text.contains("(mounted)") && text.contains("\"mounted\":true"), "{text}");
    assert_eq!(codes(&first.events), ["table-moved", "ring-made", "data-made", "data-grown"]);
    let said = console(&first);
    assert!(said.contains("storage: ring-made: /dev/vda"), "{said}");
    // A stick's policy is taken, in force, and there is evidence.
    assert_eq!((first.mode(), first.number("/policy/sequence")), (Some("enforcing"), 7));
    assert!(first.err_text().contains("Operation not permitted"), "{}", first.err_text());
    let disk = device.join("system.img");
    let (ring, data) = (partition(&disk, "aegis-ring"), partition(&disk, "aegis-data"));
    assert_eq!((ring.0 % MIB, data.0 % MIB, ring.0 + ring.1, data.0 + data.1), (0, 0, data.0, DISK - MIB));
    let kib = data_kib(&first);
    assert!(kib > data.1 / 1024 * 9 / 10, "{kib} KiB of {data:?}");

    // It stays so: nothing is made, the policy is in force without a stick's help, exports go on.
    let second = Bench::run(machine(DISK));
    assert!(codes(&second.events).is_empty(), "{:?}", second.events);
    assert!(!console(&second).contains("torage: "), "{}", console(&second));
    assert_eq!((second.mode(), second.number("/policy/sequence")), (Some("enforcing"), 7));
    let (last, next) = (first.events.last().expect("events"), second.events.first().expect("events"));
    assert_eq!(last["sequence"].as_u64().map(|n| n + 1), next["sequence"].as_u64());

    // The same on a larger disk.
    let third = Bench::run(machine(DISK + 128 * MIB));
    assert_eq!(codes(&third.events), ["table-moved", "data-grown"]);
    assert_eq!(third.number("/policy/sequence"), 7);
    assert!(data_kib(&third) > kib + 100 * 1024, "{} after {kib}", data_kib(&third));
    assert_eq!(partition(&disk, "aegis-ring"), ring);
    assert_eq!(
        third.status["storage"][1]["code"], "data-grown",
        "the status that the stick gets has it, too"
    );
}

#[test]
fn what_is_lost_is_made_again_and_told() {
    let bench = Bench::new();
    let device = bench.at("device");
    let machine = || bench.demo("echo here").whole_disk(DISK).state(&device);
    Bench::run(machine());
    let disk = device.join("system.img");

    // Data: a new device by its key, which the office sees; its ring goes on.
    spoil(&disk, "aegis-data", 0xa5);
    let run = {
        let (_slot, vm) = Bench::start(machine());
        vm.finish().expect("watched")
    };
    assert_eq!((run.end, run.exit), (End::Ran, Some(0)), "{}", console(&run));
    assert!(console(&run).contains("STORAGE: data-remade: "), "{}", console(&run));
    let report = Evidence::report(&run.exports);
    let problems = report["problems"].as_array().expect("problems");
    assert!(problems.iter().all(|problem| problem["code"] == "device-rekeyed"), "{report}");
    let events = Evidence::show(run.export.as_ref().expect("an export"));
    assert_eq!(codes(&events), ["data-remade", "data-grown"]);

    // The ring: another one begins, and that is said in it.
    spoil(&disk, "aegis-ring", 0);
    let run = Bench::run(machine());
    assert_eq!(run.exit, Some(0));
    assert_eq!(codes(&run.events), ["ring-lost"]);
    assert!(console(&run).contains("STORAGE: ring-lost: "), "{}", console(&run));
    assert!(codes(&Bench::run(machine()).events).is_empty(), "once");

    // The table: mended from its other copy.
    let file = File::options().write(true).open(&disk).expect("the disk");
    file.write_all_at(&[0xff; 512], 512).expect("written");
    let run = Bench::run(machine());
    assert_eq!(codes(&run.events), ["table-repaired"]);
    partition(&disk, "aegis-data");

    // What is ours and can't be mounted is nobody's to wipe: no workload, no new state.
    let (start, _) = partition(&disk, "aegis-data");
    file.write_all_at(&[0xff; 4], start + 1024 + 0x60).expect("written");
    let (_slot, vm) = Bench::start(machine());
    let run = vm.finish().expect("watched");
    assert!(run.stdout().expect("there").is_empty(), "no workload was started");
    assert!(console(&run).contains("STORAGE: data-unmountable: "), "{}", console(&run));
    let mut left = [0; 4];
    File::open(&disk).and_then(|disk| disk.read_exact_at(&mut left, start + 1024 + 0x60)).expect("read");
    assert_eq!(left, [0xff; 4], "as it was");
}

#[test]
fn without_room_nothing_is_made_and_nothing_runs() {
    let bench = Bench::new();
    let (_slot, vm) = Bench::start(bench.demo("echo here").whole_disk(0));
    let run = vm.finish().expect("watched");
    let said = console(&run);
    assert!(said.contains("STORAGE: not-made: ring and data partition: no room on vda"), "{said}");
    assert!(said.contains("NO OWN STORAGE") && !said.contains("AEGIS-READY"), "{said}");
    assert!(run.stdout().expect("there").is_empty(), "no workload was started");
}

/// Whenever the power goes in the first boot, the next one is good, and says what it made.
#[test]
fn the_first_boot_may_be_cut_anywhere() {
    for (seed, writes) in [(1, 3), (2, 9), (3, 30), (4, 60)] {
        let bench = Bench::new();
        let device = bench.at("device");
        let machine = || bench.demo("echo here").whole_disk(DISK).state(&device);
        {
            let (_slot, vm) = Bench::start(machine().cache(Cache::Lossy(seed)));
            let run = vm.cut_power_in_write(writes, Duration::from_mins(5)).expect("cut");
            println!("{writes} writes:\n{}", console(&run));
        }
        let run = Bench::run(machine());
        assert_eq!(run.out_text(), "here\n", "{writes} writes");
        let told = codes(&run.events);
        assert!(
            told.iter().any(|code| ["data-made", "data-new", "data-remade"].contains(code)),
            "{writes} writes: {told:?}"
        );
        assert!(codes(&Bench::run(machine()).events).is_empty(), "{writes} writes: once");
    }
}
