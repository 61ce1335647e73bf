//! Power cuts and reboots: what was acknowledged survives, what is said of the last run is true.

use std::time::Duration;

use aegis_qemu::{Cache, End};
use aegis_tests::{Bench, Evidence, Rule, console};

/// Makes events for as long as it lives, and says from time to time what the agent has acknowledged.
const BUSY: &str = "
while true; do
    i=0
    while [ $i -lt 50 ]; do : </etc/hosts; i=$((i + 1)); done
    aegis status --json | tr ',{' '\\n\\n' | grep acked_sequence
done
";

/// The last complete `\"acked_sequence\":N` line.
fn acked(stdout: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(stdout);
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let line =
        whole.lines().rev().find(|line| line.contains("acked_sequence")).expect("the agent said what it has");
    line.chars().filter(char::is_ascii_digit).collect::<String>().parse().expect("a number")
}

#[test]
fn acknowledged_events_survive_a_power_cut() {
    let bench = Bench::new();
    let device = bench.at("device");
    let rule = Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };
    let policy = bench.policy("deny", "enforce", &[rule]);
    let before = {
        let (_slot, mut vm) =
            Bench::start(bench.demo(BUSY).policy(policy).sequence(7).state(&device).cache(Cache::Lossy(1)));
        assert!(vm.wait_ready().expect("watched"), "the agent is ready");
        assert!(vm.wait_stdout("acked_sequence").expect("watched"), "the workload runs");
        vm.run_for(Duration::from_secs(3)).expect("it runs on");
        let run = vm.cut_power().expect("the outputs are taken");
        assert_eq!((run.end, run.exit), (End::PowerCut, None));
        acked(&run.stdout().expect("there"))
    };
    assert!(before > 50, "{before} events were acknowledged");

    let run = Bench::run(bench.demo("cat /etc/shadow").state(&device));
    let sequences: Vec<u64> =
        run.events.iter().map(|event| event["sequence"].as_u64().expect("a number")).collect();
    assert_eq!(sequences[0], 1, "all of the ring");
    assert!(sequences.windows(2).all(|pair| pair[0] + 1 == pair[1]), "no event is missing");
    let first_boot = &run.events[0]["boot_id"];
    let kept = run.events.iter().filter(|event| event["boot_id"] == *first_boot).count() as u64;
    assert!(kept >= before, "{kept} of {before} acknowledged events survived");
    let starts = run.kind("start");
    assert_eq!(starts.len(), 2);
    assert_ne!(starts[0]["boot_id"], starts[1]["boot_id"]);
    assert_eq!(starts[1]["clean"], false, "the last run was not sealed");
    assert_eq!(run.kind("stop").len(), 1);
    // The policy of the first boot is in force in the second, without a stick's help.
    assert_eq!((run.mode(), run.number("/policy/sequence")), (Some("enforcing"), 7));
    assert!(run.err_text().contains("Operation not permitted"), "{}", run.err_text());
}

#[test]
fn an_orderly_power_off_is_clean_and_exports_go_on_where_they_ended() {
    let bench = Bench::new();
    let device = bench.at("device");
    let first = Bench::run(bench.demo("true").state(&device));
    let second = Bench::run(bench.demo("true").state(&device));
    assert_eq!(second.kind("start").last().expect("it started")["clean"], true);
    let (last, next) = (first.events.last().expect("events"), second.events.first().expect("events"));
    assert_eq!(last["sequence"].as_u64().map(|n| n + 1), next["sequence"].as_u64());
}

#[test]
fn without_its_own_storage_a_device_starts_no_workload() {
    let bench = Bench::new();
    let device = bench.at("device");
    let run = Bench::run(bench.demo("echo here").state(&device));
    assert_eq!(run.out_text(), "here\n");
    let disk = device.join("data.img");
    let length = std::fs::metadata(&disk).expect("the data disk is there").len();
    std::fs::File::create(&disk).and_then(|file| file.set_len(length)).expect("the data disk is blank");
    {
        let (_slot, vm) = Bench::start(bench.demo("echo here").state(&device));
        let run = vm.finish().expect("watched");
        assert_eq!((run.end, run.exit, run.mode()), (End::Ran, None, Some("audit-only")));
        assert!(run.stdout().expect("there").is_empty(), "no workload was started");
        // Whom exports are encrypted to was said on that disk: none is made, and the evidence stays in the ring.
        assert!(run.exports.is_empty(), "{:?}", run.exports);
        let console = console(&run);
        assert!(console.contains("no-storage"), "{console}");
    }
    // A new disk. What is in the ring is not whole: it is signed by a key that nobody knows yet, and what the device sealed
    // before is by others. That is said, and nothing worse.
    std::fs::remove_file(&disk).expect("the blank one is taken out");
    let (_slot, vm) = Bench::start(bench.demo("echo here").state(&device));
    let run = vm.finish().expect("watched");
    assert_eq!((run.end, run.exit), (End::Ran, Some(0)));
    let report = Evidence::report(&run.exports);
    let problems = report["problems"].as_array().expect("problems");
    assert!(!problems.is_empty(), "{report}");
    assert!(problems.iter().all(|problem| problem["code"] == "device-rekeyed"), "{report}");
    assert!(report["whole"] == false && report["chain"] == "good", "{report}");
    assert_eq!(report["events"]["by_kind"]["start"], 3, "{report}");
}
