//! Swaps, rollbacks, and what outlives whom: the agent's death, an upgrade, the deadman, a rate. `make swaps` is the long run.

use std::fs;

use aegis_qemu::{Stick, StickFs};
use aegis_tests::swaps::{self, GATE_MS, Said, Swap, TARGET_MS, quantile, report};
use aegis_tests::{Bench, Rule, next_agent, root};

const SHADOW: Rule<'static> =
    Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };

/// The agent's process, without a fork; and waits in the guest until another one is ready.
const AGENT: &str = "
agent() { read -r pid </run/aegis/agent.pid; }
other() { agent; while [ $pid = $1 ]; do sleep 0.1; agent; done; aegis status --wait 60 >/dev/null; }
seen() { aegis status --json | tr ',{' '\\n\\n' | sed -n 's/^\"seen\":\\([0-9]*\\).*/\\1/p'; }
";

/// The number behind `name ` in what a workload said.
fn said(out: &str, name: &str) -> u64 {
    let line = out.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("no number {name}: {out}"))
}

#[test]
fn nothing_leaks_while_the_policy_is_swapped() {
    let bench = Bench::new();
    let said = swaps::race(&bench, 7);
    println!("{}", report::lines(&said).join("\n"));
}

#[test]
fn every_rollback_is_real_and_in_time() {
    let bench = Bench::new();
    let said = swaps::rollbacks(&bench, 10);
    println!("{}", report::lines(&said).join("\n"));
    let p99 = |of: fn(&Swap) -> f64| quantile(said.of("rollback").iter().map(of), 99);
    let [command, proof] = [p99(|swap| swap.command), p99(|swap| swap.proof)];
    println!(
        "rollback under emulation: p99 {command:.1} ms, {proof:.1} ms of them from decision to proof; target {TARGET_MS} ms, gate {GATE_MS} ms"
    );
    assert!(command <= GATE_MS, "{proof:.1} ms, {command:.1} ms");
}

#[test]
fn a_killed_agent_is_missed_by_no_denial_and_no_count() {
    let bench = Bench::new();
    let policy = bench.policy("deny", "enforce", &[SHADOW]);
    let script = format!(
        "{AGENT}
(i=0; while [ $i -lt 6000 ]; do true </etc/hosts; i=$((i + 1)); done) & load=$!
pins() {{ ls -i /sys/fs/bpf/aegis/v* | cksum; }}
tries=0; denied=0
try() {{ tries=$((tries + 1)); {{ true </etc/shadow; }} 2>/dev/null && echo READ || denied=$((denied + 1)); }}
pins=$(pins)
echo before $(seen)
agent; old=$pid
kill -KILL $old
while agent; [ $pid = $old ]; do try; done
echo alone $tries
other $old
echo after $(seen)
try
[ \"$(pins)\" = \"$pins\" ] && echo SAME PINS
aegis load 2>&1 | grep -o 'probes adopted'
[ $tries = $denied ] && echo denied $denied
wait $load
echo end $(seen)"
    );
    let run = Bench::run(bench.demo(&script).policy(policy));
    let out = run.out_text();
    assert_eq!(run.exit, Some(0), "{out}{}", run.err_text());
    for line in ["SAME PINS", "probes adopted"] {
        assert!(out.lines().any(|one| one == line), "{line}: {out}{}", run.err_text());
    }
    assert!(!out.contains("READ"), "{out}");
    assert!(said(&out, "alone") > 0 && said(&out, "denied") == said(&out, "alone") + 1, "{out}");
    let [before, after, end] = ["before", "after", "end"].map(|name| said(&out, name));
    assert!(before <= after && after <= end && end <= run.number("/accounts/seen"), "{out}");
    assert!(run.number("/accounts/seen") >= 6000);
    let starts: Vec<_> = run.kind("start").iter().map(|event| event["clean"].clone()).collect();
    assert_eq!(starts.len(), 2);
    assert_eq!(starts[1], false);
    assert_eq!(run.mode(), Some("enforcing"));
    // The books of both agents, held together against the export.
    run.lost();
}

#[test]
fn an_upgrade_with_other_maps_leaves_no_window() {
    let bench = Bench::new();
    let policy = swaps::policy(&bench, 'a', 0);
    let folder = swaps::workload(&bench, "", "exec /workload/swap readers /workload/upgrade");
    fs::copy(next_agent(), folder.join("aegis-next")).expect("it was built");
    bench.script(
        "demo/upgrade",
        &format!(
            "{AGENT}
set -e
echo before $(seen)
echo \"pins $(ls /sys/fs/bpf/aegis)\"
/workload/aegis-next load
echo \"pins $(ls /sys/fs/bpf/aegis)\"
# What init starts from now on; the old agent hands over what it has.
mount --bind /workload/aegis-next $(command -v aegis)
agent; old=$pid
kill -TERM $old
other $old
echo after $(seen)
aegis policy status --json | grep -o '\"sequence\":7,\"stale\":false'
aegis status | head -3"
        ),
    );
    let stick = bench.bundle("a.aegis", &policy, 7);
    let run = Bench::run(bench.machine().bundle(stick).workload(folder));
    let out = run.out_text();
    assert_eq!(run.exit, Some(0), "{out}{}", run.err_text());
    Said::read(&out).holds(1_000);
    let pins: Vec<&str> = out.lines().filter_map(|line| line.strip_prefix("pins ")).collect();
    assert_eq!(pins.len(), 2, "{out}");
    let number = |pins: &str| pins.strip_prefix('v').and_then(|number| number.parse::<u32>().ok());
    assert_eq!(number(pins[0]).map(|version| version + 1), number(pins[1]), "the old are gone: {pins:?}");
    assert!(out.contains("\"sequence\":7,"), "{out}");
    assert!(run.err_text().contains(&format!("probes of {} retired", pins[0])), "{}", run.err_text());
    assert!(said(&out, "before") <= said(&out, "after"), "{out}");
    assert_eq!(run.mode(), Some("enforcing"));
    assert_eq!(run.number("/policy/sequence"), 7);
    assert_eq!(run.kind("start").len(), 2);
    // One boot, two sets of maps, one set of books.
    run.lost();
}

/// What an upgrade takes over: the agent that runs is guarded all the time, glass that is broken stays so until it is mended.
/// Killed while it pins, and when all is pinned and no policy is in it yet.
#[test]
fn a_loader_that_dies_half_way_leaves_in_force_what_was() {
    let bench = Bench::new();
    let policy = bench.shadow("own", "self-protection = false\n", "");
    let folder = bench.workload(
        "demo",
        "
pins=/sys/fs/bpf/aegis
pinned() { set -- $pins/*-new/*; [ -e \"$1\" ] && echo $# || echo 0; }
published() { set -- $pins/v[0-9] $pins/v[0-9][0-9]; shown=0; for each; do [ -d $each ] && shown=$((shown + 1)); done; [ $shown -gt 1 ]; }
(while [ ! -e /scratch/over ]; do { true </etc/shadow; } 2>/dev/null && echo leaked >>/scratch/leaks; sleep 0.02; done; : >/scratch/ended) &
for reached in '[ $(pinned) -ge 1 ]' '[ $(pinned) -ge 40 ]' '[ $(pinned) -ge 90 ]' published; do
    /workload/aegis-next load 2>/dev/null & loader=$!
    until eval $reached; do kill -0 $loader 2>/dev/null || break; done
    kill -KILL $loader 2>/dev/null && echo \"killed at $reached\" || echo \"too late for $reached\"
    wait $loader
done
/workload/aegis-next load; echo \"load $?, versions $(ls $pins | wc -l)\"
/workload/aegis-next load; echo \"load $?\"
: >/scratch/over; while [ ! -e /scratch/ended ]; do sleep 0.1; done
cat /scratch/leaks 2>/dev/null; echo end",
    );
    fs::copy(next_agent(), folder.join("aegis-next")).expect("it was built");
    let run = Bench::run(bench.machine().policy(policy).workload(folder));
    assert_eq!(
        run.out_text(),
        "killed at [ $(pinned) -ge 1 ]\nkilled at [ $(pinned) -ge 40 ]\nkilled at [ $(pinned) -ge 90 ]\nkilled at published\n\
         load 0, versions 1\nload 0\nend\n",
        "{}",
        run.err_text()
    );
    let denied = run.with(&[("rule", "no-shadow".into()), ("verdict", "denied".into())]);
    assert!(denied.len() > 20, "{}", denied.len());
}

#[test]
fn an_upgrade_keeps_the_agent_guarded_and_the_glass_as_it_is() {
    let bench = Bench::new();
    let open = bench.bundle("5.aegis", &bench.policy("shadow", "enforce", &[SHADOW]), 5);
    let guarded = bench.bundle("6.aegis", &bench.shadow("guarded", "", ""), 6);
    let folder = bench.workload(
        "demo",
        &format!(
            "{AGENT}
asked() {{ : >/scratch/$1; while [ ! -e /scratch/$1.done ]; do sleep 0.1; done; }}
shadow() {{ {{ true </etc/shadow; }} 2>/dev/null && echo \"$1: open\" || echo \"$1: denied\"; }}
# While the policy lets it, somebody goes out of every workload: the operator.
(echo 0 >/sys/fs/cgroup/cgroup.procs && exec sh /workload/operator >/scratch/operator.log 2>&1) &
asked outside
aegis break-glass challenge --json
agent; old=$pid
# A signal that is none is denied, too.
while kill -0 $old 2>/dev/null; do sleep 0.2; done
shadow guarded
while ! {{ true </etc/shadow; }} 2>/dev/null; do sleep 0.2; done
asked load
shadow upgraded
asked mend
shadow mended
kill -KILL $old; echo \"killed: $?\"
asked stop
read -r pid </scratch/pid
kill -KILL $pid; echo \"killed: $?\"
cat /scratch/operator.log"
        ),
    );
    bench.script(
        "demo/operator",
        &format!(
            "{AGENT}
on() {{ while [ ! -e /scratch/$1 ]; do sleep 0.1; done; }}
on outside; : >/scratch/outside.done
on load; /workload/aegis-next load 2>/dev/null; echo \"load $?, reports $(ls /run/aegis/hooks.*.json | wc -l)\"
mount --bind /workload/aegis-next $(command -v aegis); : >/scratch/load.done
on mend; aegis break-glass mend >/dev/null; echo \"mend $?\"; : >/scratch/mend.done
# The old agent, and what else is of the old version: init starts the new.
on stop; agent; old=$pid; kill -TERM $old; read -r pid </run/aegis/stick.pid; kill -TERM $pid; echo \"stop $?\"
other $old; echo $pid >/scratch/pid; : >/scratch/stop.done"
        ),
    );
    fs::copy(next_agent(), folder.join("aegis-next")).expect("it was built");
    let (_slot, mut vm) = Bench::start(bench.machine().bundle(&open).workload(folder));
    assert!(vm.wait_stdout("\"challenge\"").expect("watched"), "{}", vm.console_end());
    let text = fs::read_to_string(vm.out().join("stdout")).expect("there");
    let shown: serde_json::Value =
        serde_json::from_str(text.lines().find(|line| line.starts_with('{')).expect("shown")).expect("JSON");
    let [device, boot] = ["device", "boot"].map(|name| shown[name].as_str().expect("an id").to_owned());
    let first = vm.stick().expect("it began with one");
    vm.unplug(first).expect("pulled");
    let second = vm.plug(&Stick::new(StickFs::Vfat).file("6.aegis", &guarded)).expect("plugged");
    assert!(vm.wait_stdout("guarded: denied").expect("watched"), "{}", vm.console_end());
    vm.unplug(second).expect("pulled");
    let (keys, token) = (root().join("target/keys"), bench.at("token.cbor"));
    let mut make = Bench::aegisctl();
    make.args(["break-glass", "make", "--root"]).arg(keys.join("root.cbor"));
    make.args(["--device", &device, "--boot-id", &boot, "--sequence", "1", "--seconds", "900"]);
    make.args(["--reason", "an upgrade", "--key"]).arg(keys.join("break-glass.key")).arg("--out").arg(&token);
    Bench::good(make);
    let stick = Stick::new(StickFs::Vfat).file(format!("break-glass/{device}.cbor"), &token);
    vm.plug(&stick).expect("plugged");
    let run = Bench::evidence(vm.finish().expect("watched"));
    let out = run.out_text();
    let said: Vec<&str> = out.lines().filter(|line| !line.starts_with('{')).collect();
    let expected = [
        "guarded: denied",
        "upgraded: open",
        "mended: denied",
        "killed: 1",
        "killed: 1",
        // Glass that is broken is why `load` says that less is done than was asked for.
        "load 1, reports 2",
        "mend 0",
        "stop 0",
    ];
    assert_eq!(said, expected, "{}", run.err_text());
    let kills =
        run.with(&[("kind", "signal".into()), ("rule", "aegis-self".into()), ("verdict", "denied".into())]);
    assert!(kills.len() >= 2, "{kills:?}");
    assert_eq!((run.kind("start").len(), run.mode()), (2, Some("enforcing")));
    assert_eq!(run.kind("glass-mended").len(), 1);
}

#[test]
fn probes_that_prove_nothing_retire_nobody() {
    let bench = Bench::new();
    let policy = bench.shadow("own", "self-protection = false\n", "");
    let folder = bench.workload(
        "demo",
        "
look() {
    { true </etc/shadow; } 2>/dev/null && opened=yes || opened=no
    echo \"$1: pins $(ls /sys/fs/bpf/aegis | wc -l), opened $opened\"
}
look before
# Where no file can be made, no denial can be seen.
mount -t tmpfs -o ro none /run/aegis/selftest
/workload/aegis-next load; echo \"load $?\"
look after
umount /run/aegis/selftest",
    );
    fs::copy(next_agent(), folder.join("aegis-next")).expect("it was built");
    let run = Bench::run(bench.machine().policy(policy).workload(folder));
    let out = run.out_text();
    assert!(
        out.contains("before: pins 1, opened no\nload 1\nafter: pins 2, opened no\n"),
        "{out}{}",
        run.err_text()
    );
    assert!(
        run.err_text().contains("stay in force: ours do less than the policy asks for"),
        "{}",
        run.err_text()
    );
}

#[test]
fn the_deadman_falls_loudly_and_the_next_policy_raises_it() {
    let bench = Bench::new();
    let policy = bench.shadow("own", "[deadman]\ndenials = 20\nseconds = 60\n", "");
    let bundles = [5, 6].map(|sequence| bench.bundle(&format!("{sequence}.aegis"), &policy, sequence));
    let script = "
shadow() { { true </etc/shadow; } 2>/dev/null; }
denied=0
while ! shadow; do denied=$((denied + 1)); [ $denied -lt 100 ] || exit 9; done
echo denied $denied
for process in /proc/[0-9]*; do
    case $(tr '\\0' ' ' <$process/cmdline 2>/dev/null) in *'aegis run '*) agent=${process#/proc/} ;; esac
done
kill -TERM $agent && echo KILLED
echo FELL
tries=0
while shadow; do sleep 0.2; tries=$((tries + 1)); [ $tries -lt 1000 ] || exit 8; done
echo RAISED";
    let (_slot, mut vm) = Bench::start(bench.demo(script).bundle(&bundles[0]));
    assert!(vm.wait_stdout("FELL").expect("watched"), "{}", vm.console_end());
    let first = vm.stick().expect("it began with one");
    vm.unplug(first).expect("pulled");
    vm.plug(&Stick::new(StickFs::Vfat).file("6.aegis", &bundles[1])).expect("plugged");
    let run = Bench::evidence(vm.finish().expect("watched"));
    let out = run.out_text();
    assert_eq!(run.exit, Some(0), "{out}{}", run.err_text());
    assert_eq!(out, "denied 20\nFELL\nRAISED\n", "{}", run.err_text());
    let fell = run.kind("deadman");
    assert_eq!(fell.len(), 1, "{fell:?}");
    assert_eq!((&fell[0]["workload"], &fell[0]["policy_sequence"]), (&"demo".into(), &5.into()), "{fell:?}");
    let opens = |fields: &[(&str, serde_json::Value)]| {
        let mut all = vec![("kind", "open".into()), ("rule", "no-shadow".into())];
        all.extend_from_slice(fields);
        run.with(&all)
    };
    assert_eq!(opens(&[("verdict", "denied".into()), ("policy", 5.into())]).len(), 20);
    let marked = opens(&[("deadman", true.into())]);
    assert!(!marked.is_empty() && marked.iter().all(|event| event["verdict"] == "audited"), "{marked:?}");
    assert_eq!(run.number("/fallen"), marked.len() as u64);
    assert_eq!(opens(&[("verdict", "denied".into()), ("policy", 6.into())]).len(), 1, "raised");
    let own =
        run.with(&[("kind", "signal".into()), ("rule", "aegis-self".into()), ("verdict", "denied".into())]);
    assert_eq!(own.len(), 1, "Aegis guards itself while the deadman lies");
    assert_eq!(run.lost(), 0);
}

#[test]
fn what_is_over_a_rate_is_counted_and_denied_all_the_same() {
    let bench = Bench::new();
    let policy = bench.shadow("own", "", "rate = 50\n");
    let script = "
i=0; while [ $i -lt 2000 ]; do true </etc/hosts; i=$((i + 1)); done
i=0; denied=0
while [ $i -lt 1000 ]; do { true </etc/shadow; } 2>/dev/null || denied=$((denied + 1)); i=$((i + 1)); done
echo denied $denied";
    let run = Bench::run(bench.demo(script).policy(policy));
    assert_eq!(run.out_text(), "denied 1000\n", "{}", run.err_text());
    let limited = run.number("/accounts/lost/rate-limited");
    assert!(limited >= 500, "{}", run.status["accounts"]);
    assert_eq!(run.lost(), limited, "by no other cause: {}", run.status["accounts"]);
    let told = run.with(&[("kind", "loss".into()), ("cause", "rate-limited".into())]);
    let of = |workload: &str| -> u64 {
        let of_it = told.iter().filter(|event| event["workload"] == workload);
        of_it.filter_map(|event| event["count"].as_u64()).sum()
    };
    assert_eq!(of("demo"), limited, "{told:?}");
    // Fifty a second of each kind: those that a rule matched are not crowded out by those that none did.
    let denials = run.with(&[("kind", "open".into()), ("rule", "no-shadow".into())]);
    assert!(denials.len() >= 50 && denials.len() < 1000, "{}", denials.len());
}
