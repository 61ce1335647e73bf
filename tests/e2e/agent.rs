//! The agent under load and under signals: its memory, its books, enforcement without it.

use std::fmt::Write as _;
use std::fs;

use aegis_tests::{Bench, Rule, console, limit, suite};

/// Waits in the guest until the agent that runs is another than `$1`, and ready.
const AGENT: &str = "
agent() { cat /run/aegis/agent.pid; }
other() { while [ \"$(agent)\" = \"$1\" ]; do sleep 0.1; done; aegis status --wait 20 >/dev/null; }
";

/// Processor time of the agent that runs, hundredths of a second, in `$sum` (`utime` and `stime` of proc(5)); without a fork.
const PROCESSOR: &str = "
read -r agent </run/aegis/agent.pid
processor() { read -r line </proc/$agent/stat; set -- $line; sum=$((${14} + ${15})); }
";
const TICK_MICROS: u64 = 10_000;

/// Waits of all threads of the agent that runs, so far, in `$sum`; without a fork.
const SWITCHES: &str = "
read -r agent </run/aegis/agent.pid
switches() {
    sum=0
    for task in /proc/$agent/task/*/status; do
        while read -r name count; do [ $name = voluntary_ctxt_switches: ] && sum=$((sum + count)); done <$task
    done
}
";

fn events_of(run: &aegis_tests::Evidence, path: &str) -> usize {
    run.with(&[("kind", "open".into()), ("workload", "demo".into()), ("path", path.into())]).len()
}

#[test]
fn a_hundred_thousand_events_cost_no_allocation() {
    let bench = Bench::new();
    let script = format!(
        "{PROCESSOR}
processor; before=$sum
i=0; while [ $i -lt 100000 ]; do : </etc/hosts; i=$((i + 1)); done
processor; echo $((sum - before))"
    );
    let run = Bench::run(bench.demo(&script));
    assert_eq!(run.exit, Some(0));
    assert_eq!(
        run.number("/heap/allocations_since_ready"),
        limit("agent-allocations"),
        "{}",
        run.status["heap"]
    );
    assert!(run.number("/heap/peak") <= run.number("/heap/limit"));
    assert!(run.number("/heap/limit") <= limit("agent-heap"));
    assert!(run.number("/accounts/seen") >= 100_000);
    let ticks: u64 = run.out_text().trim().parse().expect("a time");
    let each = ticks * TICK_MICROS / run.number("/accounts/written");
    println!("{each} µs of the agent for each event that it wrote");
    assert!(
        (1..=limit("agent-event")).contains(&each),
        "{each} µs of the agent for each event that it wrote"
    );
    // Not one may be lost in silence; under software emulation some may be lost and counted.
    let lost = run.lost();
    assert!(events_of(&run, "/etc/hosts") as u64 + lost >= 100_000, "{lost} lost");
}

#[test]
fn the_agent_is_resident_in_four_mebibytes() {
    let bench = Bench::new();
    let rule = Rule { name: "watch", action: "audit", operations: &["open"], paths: &["/etc/hosts"] };
    let policy = bench.policy("watch", "enforce", &[rule]);
    // Enough that every buffer on an event's way was in use.
    let script = "i=0; while [ $i -lt 5000 ]; do : </etc/hosts; i=$((i + 1)); done
cat /proc/$(cat /run/aegis/agent.pid)/oom_score_adj";
    let run = Bench::run(bench.demo(script).policy(policy));
    assert_eq!(run.out_text(), "-900\n", "what the kernel ends first is something else");
    let (all, mapped) = (run.number("/rss_kib"), run.number("/rss_mapped_kib"));
    assert!(mapped > 0 && all > mapped, "not measured: {all} KiB, {mapped} KiB of it mapped");
    assert!(all <= limit("agent-resident"), "{all} KiB, {mapped} KiB of it mapped");
}

#[test]
fn a_stop_by_signal_is_sealed_and_the_next_agent_goes_on() {
    let bench = Bench::new();
    for (signal, number) in [("TERM", 15), ("INT", 2)] {
        let script = format!(
            "{AGENT}\n: </etc/hosts\nold=$(agent); kill -{signal} \"$old\"; : </etc/group; other \"$old\"; : </etc/passwd"
        );
        let folder = bench.workload("demo", &script);
        let run = Bench::run(bench.machine().workload(folder));
        let stops: Vec<_> = run.kind("stop").iter().map(|event| event["signal"].as_u64()).collect();
        assert_eq!(stops, [Some(number), Some(15)], "by {signal}, then at the end");
        assert_eq!(run.kind("start")[1]["clean"], true);
        for path in ["/etc/hosts", "/etc/group", "/etc/passwd"] {
            assert!(events_of(&run, path) >= 1, "{path}: the event is there, whoever ran");
        }
        assert_eq!(run.lost(), 0);
    }
}

#[test]
fn signals_at_bad_moments_break_nothing() {
    let bench = Bench::new();
    // Twice at once; at start-up, as soon as there is a process; while it flushes a burst.
    let script = format!(
        "{AGENT}
old=$(agent); kill -TERM $old; kill -TERM $old
while [ \"$(agent)\" = $old ]; do :; done
for n in 1 2 3; do old=$(agent); kill -TERM $old; while [ \"$(agent)\" = $old ]; do :; done; done
aegis status --wait 20 >/dev/null
i=0; while [ $i -lt 2000 ]; do : </etc/hosts; i=$((i + 1)); done
old=$(agent); kill -TERM $old; kill -INT $old; other $old
: </etc/passwd
"
    );
    let run = Bench::run(bench.demo(&script));
    assert_eq!(run.exit, Some(0));
    let console = console(&run);
    assert!(!console.contains("panicked"), "{console}");
    let lost = run.lost();
    assert!(events_of(&run, "/etc/hosts") as u64 + lost >= 2000, "{lost} lost");
    assert!(events_of(&run, "/etc/passwd") >= 1);
}

#[test]
fn enforcement_outlives_the_agent() {
    let bench = Bench::new();
    let rule = Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };
    let policy = bench.policy("deny", "enforce", &[rule]);
    let script = format!(
        "{AGENT}\nold=$(agent); kill -KILL $old\ncat /etc/shadow && echo READ\nother $old\ncat /etc/shadow && echo READ"
    );
    let run = Bench::run(bench.demo(&script).policy(policy));
    assert_eq!(run.out_text(), "");
    assert_eq!(run.err_text().matches("Operation not permitted").count(), 2, "{}", run.err_text());
    assert_eq!(run.kind("start").len(), 2);
    assert_eq!(run.kind("start")[1]["clean"], false);
    assert_eq!(run.mode(), Some("enforcing"));
    // What the killed agent had taken and not flushed is counted.
    run.lost();
}

#[test]
fn an_agent_whose_ring_can_not_be_written_still_ends_and_says_so() {
    let bench = Bench::new();
    let script = format!(
        "{AGENT}
ring=$(for entry in /sys/class/block/*; do grep -qx PARTNAME=aegis-ring $entry/uevent && echo /dev/${{entry##*/}}; done)
blockdev --setro $ring || exit 9
i=0; while [ $i -lt 600 ]; do : </etc/hosts; i=$((i + 1)); done
old=$(agent); kill -TERM $old
i=0; while [ \"$(agent)\" = $old ] && [ $i -lt 200 ]; do sleep 0.1; i=$((i + 1)); done
[ \"$(agent)\" = $old ] && echo STUCK
blockdev --setrw $ring
other $old && echo BACK"
    );
    let run = Bench::run(bench.demo(&script));
    assert_eq!(run.out_text(), "BACK\n", "{}", run.err_text());
    // What the first agent had taken and could not write is counted, and the books of the boot balance.
    assert!(run.lost() > 0, "{}", run.status["accounts"]);
}

/// Wake-ups of an agent with nothing to do, in each of these times, s; and what the kernel holds for the maps, a line each.
fn idle(times: &[u64]) -> (Vec<u64>, String) {
    let bench = Bench::new();
    // Looked at and waited for without a fork: the looks are a handful of opens, each of which wakes it a few times at most.
    let mut script = format!(
        "mkfifo never; exec 9<>never\n{SWITCHES}\n# What the workload's start made of work is done.\nread -r -t 3 x <&9\n"
    );
    for time in times {
        let _ = writeln!(
            script,
            "switches; before=$sum; read -r -t {time} x <&9; switches; echo $((sum - before))"
        );
    }
    script.push_str("/workload/maps");
    let folder = bench.workload("demo", &script);
    fs::copy(suite::program().with_file_name("aegis-maps"), folder.join("maps")).expect("it was built");
    let run = Bench::run(bench.machine().workload(folder));
    assert_eq!(run.exit, Some(0), "{}", run.err_text());
    let text = run.out_text();
    let mut lines = text.lines();
    let counts =
        times.iter().map(|_| lines.next().and_then(|line| line.parse().ok()).expect("a number")).collect();
    (counts, lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn an_idle_agent_sleeps_and_the_kernel_holds_no_more_for_its_maps_than_is_promised() {
    let (switches, maps) = idle(&[10]);
    // Most of them are the looks' own. A tick ten times a second would add a hundred.
    assert!((1..=70).contains(&switches[0]), "{switches:?} wake-ups in ten seconds");
    let bytes =
        |line: &str| line.split_once(' ').and_then(|(_, bytes)| bytes.parse::<u64>().ok()).expect("bytes");
    let largest = maps.lines().map(bytes).max().expect("a map");
    let all: u64 = maps.lines().map(bytes).sum();
    println!("{switches:?} wake-ups in 10 s; {all} bytes for the maps, {largest} for the largest:\n{maps}");
    assert!(maps.lines().count() > 10 && largest > 0, "{maps}");
    assert!(largest <= limit("map") && all <= limit("maps"), "{all} bytes, {largest} for one:\n{maps}");
}

#[test]
fn an_idle_agent_wakes_less_than_once_a_second() {
    // The looks are in both times: in the difference, a minute, they are not.
    let (switches, _) = idle(&[10, 70]);
    let minute = switches[1].saturating_sub(switches[0]);
    println!("{minute} wake-ups in a minute ({switches:?} in 10 s and in 70)");
    assert!((1..=limit("agent-wakeups")).contains(&minute), "{minute} wake-ups in a minute, by {switches:?}");
}

#[test]
fn what_killed_agents_took_with_them_is_counted_exactly() {
    let bench = Bench::new();
    let script = format!(
        "{AGENT}
(i=0; while [ $i -lt 6000 ]; do : </etc/hosts; i=$((i + 1)); done) & load=$!
for n in 1 2 3; do old=$(agent); kill -KILL $old; other $old; done
wait $load; sleep 1"
    );
    let run = Bench::run(bench.demo(&script));
    // The export was verified: seen = written + lost, and written is what is on disk. Here: nothing is counted twice.
    assert_eq!(run.kind("start").len(), 4);
    let reported: u64 = run.kind("loss").iter().filter_map(|event| event["count"].as_u64()).sum();
    assert_eq!(reported, run.lost(), "every loss is an event");
    let opens = events_of(&run, "/etc/hosts") as u64;
    assert!(opens <= 6000 && opens + run.lost() >= 6000, "{opens} opens, {} lost", run.lost());
    assert_eq!(run.number("/accounts/in_flight"), 0);
}
