//! Disks that are slow, fail, are full or go, while the device is at work: what stands in `docs/degraded-modes.md`.

use std::time::Duration;

use aegis_qemu::{Cache, End, Fault, Machine, Stick, StickFs, Vm, Watchdog};
use aegis_tests::{Bench, Evidence, Rule, console, count_in};

use super::ring::TOOLS;

const SHADOW: Rule<'static> =
    Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };
/// What a request to a slow disk takes.
const SLOW: Duration = Duration::from_secs(2);

/// `denials`: a hundred of them, and how long they took, hundredths of a second. `enforces`: the mode is that. `gone NAME`: the
/// kernel has this disk no more.
const MORE: &str = "
now() { read -r up rest </proc/uptime; echo ${up%.*}${up#*.}; }
denials() {
    from=$(now); n=0
    while [ $n -lt 100 ]; do { true </etc/shadow; } 2>/dev/null && echo LEAKED; n=$((n + 1)); done
    echo \"denials $(($(now) - from))\"
}
enforces() { aegis status --json | grep -q '\"mode\":\"enforcing\"' && echo enforcing; }
ails() { aegis health --json 2>/dev/null | grep -q \"\\\"bad\\\":true,\\\"code\\\":\\\"$1\\\"\"; }
gone() {
    for disk in /sys/block/vd*; do
        [ \"$(cat $disk/serial)\" = aegis-$1 ] || continue
        cd -P $disk/device/..; echo 1 >remove; cd /scratch
        [ -d $disk ] || echo gone
    done
}
";

/// A device whose disks can fail, that denies `/etc/shadow`, with this script.
fn machine(bench: &Bench, script: &str) -> Machine {
    let policy = bench.policy("shadow", "enforce", &[SHADOW]);
    bench.demo(&format!("{TOOLS}{MORE}{script}")).policy(policy).sequence(5).cache(Cache::Lossy(1))
}

/// Waits for what the script says.
fn hear(vm: &mut Vm, word: &str) {
    assert!(vm.wait_stdout(word).expect("watched"), "no `{word}`; the console's end:\n{}", vm.console_end());
}

/// The times of `denials`, s. None got through.
fn denials(out: &str) -> Vec<f64> {
    assert!(!out.contains("LEAKED") && !out.contains("in vain"), "{out}");
    let times = out.lines().filter_map(|line| line.strip_prefix("denials ")?.parse::<f64>().ok());
    times.map(|hundredths| hundredths / 100.0).collect()
}

/// The books balance, and what was lost is told in events, to the last. Returns how much.
fn lost(run: &Evidence) -> u64 {
    let lost = run.lost();
    assert_eq!(count_in(run, "loss", "count"), lost, "{}", run.status["accounts"]);
    assert!(
        run.events
            .windows(2)
            .all(|pair| pair[0]["sequence"].as_u64().map(|n| n + 1) == pair[1]["sequence"].as_u64()),
        "nothing that was written is missing"
    );
    lost
}

#[test]
fn a_ring_disk_that_is_slow_costs_evidence_that_is_counted_and_delays_nobody() {
    let bench = Bench::new();
    let script = "
denials; echo begun
until finds events-lost; do opens 1000; denials; again; done
enforces; echo lost
opens 1000; denials; : </etc/passwd";
    let (_slot, mut vm) = Bench::start(machine(&bench, script));
    hear(&mut vm, "begun");
    vm.disk("ring", Fault::Slow(SLOW)).expect("slow");
    hear(&mut vm, "lost\n");
    vm.run_for(SLOW * 3).expect("watched");
    vm.disk("ring", Fault::None).expect("quick");
    let run = Bench::evidence(vm.finish().expect("watched"));
    let out = run.out_text();
    let times = denials(&out);
    assert!(times.len() > 2 && out.contains("enforcing\nlost\n"), "{out}");
    // A hundred of them take less than the disk does for one request.
    assert!(times.iter().all(|time| *time < SLOW.as_secs_f64()), "{out}");
    assert!(lost(&run) > 0);
    assert!(run.number("/accounts/lost/kernel-ring-full") > 0, "{}", run.status["accounts"]);
    assert!(!console(&run).contains("CAN'T BE WRITTEN"), "slow is no error");
    assert_eq!(run.mode(), Some("enforcing"));
}

#[test]
fn a_ring_disk_that_fails_for_a_while_costs_what_had_no_room_to_wait() {
    let bench = Bench::new();
    let script = "
denials; echo begun
until ails ring-write-errors; do opens 50; again; done
: </etc/passwd; denials; enforces; echo failing
until finds events-lost; do opens 1000; denials; again; done
aegis health >/dev/null 2>&1; echo \"health $?\"
while ails ring-write-errors; do sleep 0.3; again; done
echo works; : </etc/group";
    let (_slot, mut vm) = Bench::start(machine(&bench, script));
    hear(&mut vm, "begun");
    vm.disk("ring", Fault::Writes).expect("it fails");
    hear(&mut vm, "health");
    vm.disk("ring", Fault::None).expect("it works");
    let run = Bench::evidence(vm.finish().expect("watched"));
    let (out, said) = (run.out_text(), console(&run));
    denials(&out);
    assert!(out.contains("enforcing\nfailing\n") && out.ends_with("health 1\nworks\n"), "{out}");
    let rest = said.split_once("THE RING CAN'T BE WRITTEN: ").expect("it is said").1;
    assert!(rest.contains("the ring's device works again"), "{said}");
    assert!(lost(&run) > 0);
    // What came first while it failed waited, and is there; so is what came after.
    for path in ["/etc/passwd", "/etc/group"] {
        assert_eq!(run.with(&[("kind", "open".into()), ("path", path.into())]).len(), 1, "{path}");
    }
    assert!(run.status["ring"]["write_errors"].as_u64() > Some(0), "{}", run.status["ring"]);
    assert_eq!(run.mode(), Some("enforcing"));
}

#[test]
fn a_ring_disk_that_goes_takes_the_evidence_and_no_denial() {
    let bench = Bench::new();
    let script = "
denials; echo begun; gone ring
until ails ring-write-errors; do opens 50; again; done
denials; enforces; aegis health >/dev/null 2>&1; echo \"health $?\"
# Another agent does not find it either.
read -r pid </run/aegis/agent.pid; kill -KILL $pid
while read -r other </run/aegis/agent.pid && [ $other = $pid ]; do sleep 0.1; again; done
sleep 5; denials; aegis health --json >health 2>/dev/null; echo \"health $?\"
grep -o '\"code\":\"[a-z-]*\"' health; echo over";
    let (_slot, vm) = Bench::start(machine(&bench, script));
    let run = vm.finish().expect("watched");
    let (out, said) = (String::from_utf8(run.stdout().expect("there")).expect("text"), console(&run));
    denials(&out);
    assert_eq!((run.end, run.exit), (End::Ran, Some(0)), "{said}");
    assert!(out.contains("\ngone\n") && out.contains("enforcing\nhealth 1\n"), "{out}");
    assert!(out.contains("\"code\":\"no-agent\"") && out.ends_with("over\n"), "{out}");
    for line in [
        "THE RING CAN'T BE WRITTEN: ",
        "no partition is labelled aegis-ring",
        "starting it again in 2 s",
        "NOT ALL EVIDENCE IS OUT",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(run.exports.is_empty(), "it is on that disk");
}

/// It answers nothing any more: what waits for it can't be helped from within.
#[test]
fn a_ring_disk_that_hangs_starts_the_machine_again() {
    let bench = Bench::new();
    let script = "
denials; echo begun
while true; do sleep 20; opens 10; denials; enforces; done";
    let machine = machine(&bench, script).watchdog(Watchdog::Armed).timeout(Duration::from_mins(6));
    let (_slot, mut vm) = Bench::start(machine);
    hear(&mut vm, "begun");
    vm.disk("ring", Fault::Slow(Duration::from_hours(1))).expect("it hangs");
    assert!(vm.wait_line("STANDS STILL").expect("watched").is_some(), "{}", vm.console_end());
    // Longer than the watchdog waits. QEMU ends only when nothing is under way; had nobody bitten, the guest would go on.
    vm.run_for(Duration::from_mins(2)).expect("watched");
    vm.disk("ring", Fault::None).expect("it works");
    let run = vm.finish().expect("watched");
    let (out, said) = (String::from_utf8(run.stdout().expect("there")).expect("text"), console(&run));
    assert!(matches!(run.end, End::Died(_)), "{:?}: {said}", run.end);
    assert!(said.contains("THE AGENT'S WRITER STANDS STILL: the watchdog is not fed any more"), "{said}");
    let times = denials(&out);
    assert!(times.len() > 5 && times.iter().all(|time| *time < SLOW.as_secs_f64()), "{out}");
    assert_eq!(out.matches("enforcing").count(), times.len() - 1, "{out}");
}

#[test]
fn own_storage_that_is_full_keeps_what_is_in_force() {
    let bench = Bench::new();
    // Larger than what may turn out to be left: the last few blocks of a file system come and go.
    let names: Vec<String> = (0..960).map(|number| format!("/scratch/{number:0>200}")).collect();
    let paths: Vec<&str> = names.iter().map(String::as_str).collect();
    let many: Vec<_> = paths.chunks(16).map(|paths| (paths[0].replace('/', ""), paths)).collect();
    let mut rules: Vec<Rule<'_>> =
        many.iter().map(|(name, paths)| Rule { name: &name[180..], paths, ..SHADOW }).collect();
    rules.extend([SHADOW, Rule { name: "no-passwd", paths: &["/etc/passwd"], ..SHADOW }]);
    let newer = bench.policy("newer", "enforce", &rules);
    let newer = bench.bundle("newer.aegis", &newer, 6);
    let script = "
# Files first: of those there is a number. Then all blocks, also those that are root's, and what turns out to be left of them.
mkdir /data/fill; n=0; while { true >/data/fill/$n; } 2>/dev/null; do n=$((n + 1)); done
for n in 0 1 2; do cat /dev/zero >/data/fill/$n 2>/dev/null; sync; done
denials; enforces; echo full
stick() { until [ -e /sys/block/sdb ]; do sleep 0.1; again; done; while [ -e /sys/block/sdb ]; do sleep 0.1; done; }
stick; denials; enforces; { true </etc/passwd; } 2>/dev/null && echo \"as before\"
aegis policy status >/dev/null; echo \"status $?\"; rm -r /data/fill; echo free
stick; { true </etc/passwd; } 2>/dev/null || echo newer";
    let (_slot, mut vm) = Bench::start(machine(&bench, script));
    let stick = Stick::new(StickFs::Vfat).file("newer.aegis", &newer);
    for word in ["full\n", "free\n"] {
        hear(&mut vm, word);
        let place = vm.now().expect("watched");
        let id = vm.plug(&stick).expect("plugged");
        let done = vm.wait_line_after(place, "can be pulled").expect("watched");
        assert!(done.is_some(), "{}", vm.console_end());
        vm.unplug(id).expect("pulled");
    }
    let run = Bench::evidence(vm.finish().expect("watched"));
    let (out, said) = (run.out_text(), console(&run));
    denials(&out);
    assert!(out.ends_with("enforcing\nas before\nstatus 0\nfree\nnewer\n"), "{out}");
    let codes: Vec<_> = run.receipts().iter().map(|receipt| receipt["code"].clone()).collect();
    assert_eq!(codes, ["accepted", "storage", "accepted"], "{said}");
    assert!(said.contains("history: No space left on device"), "{said}");
    lost(&run);
}

#[test]
fn own_storage_that_fails_or_goes_keeps_what_is_in_force() {
    let bench = Bench::new();
    let device = bench.at("device");
    let also = Rule { name: "no-passwd", paths: &["/etc/passwd"], ..SHADOW };
    let newer = bench.policy("newer", "enforce", &[SHADOW, also]);
    let newer = bench.bundle("newer.aegis", &newer, 6);
    let script = "
seen() { aegis metrics | grep -q \"^aegis_sticks_seen_total $1\"; }
look() { denials; enforces; { true </etc/passwd; } 2>/dev/null && echo \"as before\"; aegis health --json 2>/dev/null | grep -o '\"bad\":true,\"code\":\"[a-z-]*\"'; }
denials; echo begun
until seen 2; do sleep 0.3; again; done
look; echo failed
sleep 20; look; grep ' /data ' /proc/mounts
gone data; sleep 3; look; echo over";
    let machine = |script: &str| machine(&bench, script).state(&device);
    let run = {
        let (_slot, mut vm) = Bench::start(machine(script));
        hear(&mut vm, "begun");
        vm.disk("data", Fault::All).expect("it fails");
        let id = vm.plug(&Stick::new(StickFs::Vfat).file("newer.aegis", &newer)).expect("plugged");
        hear(&mut vm, "failed\n");
        vm.unplug(id).expect("pulled");
        vm.disk("data", Fault::None).expect("it works");
        vm.finish().expect("watched")
    };
    let (out, said) = (String::from_utf8(run.stdout().expect("there")).expect("text"), console(&run));
    println!("{out}\n{said}");
    denials(&out);
    assert_eq!(run.end, End::Ran, "{said}");
    assert_eq!(out.matches("enforcing\nas before\n").count(), 3, "{out}");
    assert_eq!(out.matches("\"bad\":true,\"code\":\"policy-unknown\"").count(), 3, "{out}");
    assert!(out.contains("gone\n") && out.ends_with("over\n"), "{out}");
    for line in ["device key: I/O error", "THE RING IS NOT SEALED: ", "NOT ALL EVIDENCE IS OUT"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    // The same device, its disk whole again.
    let run =
        Bench::run(machine("denials; enforces; { true </etc/passwd; } 2>/dev/null && echo \"as before\""));
    denials(&run.out_text());
    assert!(run.out_text().ends_with("enforcing\nas before\n"), "{}", run.out_text());
    assert_eq!(run.number("/policy/sequence"), 5);
}
