//! The first process: what ends is started again, whoever asks for the end gets it in order, and the production image has nothing
//! else that could run.

use std::process::Command;
use std::time::Duration;

use aegis_qemu::{End, Watchdog, image_folder};
use aegis_tests::{Bench, Rule, arch, console, root};

use super::firmware::Device;

/// What the root of this variant holds: `mode path` or `mode path -> where`, as `unsquashfs -ll` has them.
fn listed(bench: &Bench, variant: &str) -> Vec<(String, String)> {
    let folder = image_folder(root(), arch()).join(variant);
    let squashfs = super::update::squashfs(bench, &folder);
    let mut list = Command::new("unsquashfs");
    list.arg("-lln").arg(squashfs);
    let text = String::from_utf8(Bench::good(list)).expect("UTF-8");
    let rows = text.lines().filter_map(|line| {
        let (mode, rest) = line.split_once(' ')?;
        Some((mode.to_owned(), rest.split_once("squashfs-root")?.1.to_owned()))
    });
    rows.collect()
}

#[test]
fn the_production_root_has_our_programs_and_no_shell() {
    let bench = Bench::new();
    let production = listed(&bench, "");
    let programs: Vec<&str> = production
        .iter()
        .filter(|(mode, _)| mode.starts_with('-') && mode.contains('x'))
        .map(|(_, path)| path.as_str())
        .collect();
    assert_eq!(programs, ["/usr/bin/aegis", "/usr/bin/aegis-console", "/usr/bin/aegis-site"]);
    let links: Vec<&str> = production
        .iter()
        .filter(|(mode, path)| mode.starts_with('l') && path.starts_with("/usr/bin/"))
        .map(|(_, path)| path.as_str())
        .collect();
    assert_eq!(links, ["/usr/bin/init -> aegis"]);
    // Nothing that runs with more rights than who starts it.
    assert!(production.iter().all(|(mode, _)| !mode.contains(['s', 'S'])), "{production:?}");
    // The other variant has all of it, and tools.
    let debug = listed(&bench, "debug");
    let lacks: Vec<_> = production.iter().filter(|row| !debug.contains(row)).collect();
    assert!(lacks.is_empty(), "{lacks:?}");
    assert!(debug.iter().any(|(_, path)| path == "/usr/bin/sh") && debug.len() > production.len() + 200);
}

#[test]
fn a_debug_image_says_so_and_gives_a_shell_when_it_is_asked_to() {
    let bench = Bench::new();
    let script = "aegis health --json | grep -o '\"bad\":false,\"code\":\"debug-image\"'; sleep 1000";
    let (_slot, mut vm) = Bench::start(bench.demo(script).append("aegis.shell"));
    assert!(vm.wait_stdout("debug-image").expect("watched"), "{}", vm.console_end());
    vm.type_line("echo the answer is $((6*7)).").expect("typed");
    assert!(vm.wait_line("the answer is 42.").expect("watched").is_some(), "{}", vm.console_end());
    // It has a terminal of its own: Ctrl-C ends what runs, and not the shell.
    vm.type_line("sleep 1000").expect("typed");
    vm.run_for(Duration::from_secs(2)).expect("watched");
    vm.type_text("\x03").expect("typed");
    vm.type_line("echo still $((7*7)).").expect("typed");
    assert!(vm.wait_line("still 49.").expect("watched").is_some(), "{}", vm.console_end());
    vm.type_line("poweroff").expect("typed");
    let run = vm.finish().expect("watched");
    let said = console(&run);
    assert_eq!(run.end, End::Ran, "{said}");
    assert!(said.contains("DEBUG IMAGE: it has a shell"), "{said}");
    assert!(said.contains("Power down"), "{said}");
}

#[test]
fn what_ends_is_started_again_and_the_end_comes_in_order_when_it_is_asked_for() {
    let bench = Bench::new();
    let rule = Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };
    let policy = bench.policy("deny", "enforce", &[rule]);
    for (signal, word) in [("USR2", "Power down"), ("TERM", "Restarting system")] {
        let script = format!(
            "
other() {{ while read -r now </run/aegis/$1.pid && [ $now = $2 ]; do sleep 0.1; done; }}
for each in agent stick; do
    read -r pid </run/aegis/$each.pid
    kill -KILL $pid
    other $each $pid
    echo \"$each: another\"
done
aegis status --wait 60 >/dev/null; echo \"ready $?\"
# Whose parent ends is init's child, and is reaped.
sh -c 'sleep 0.2 & echo $! >/scratch/orphan'; read -r orphan </scratch/orphan
while [ -d /proc/$orphan ]; do sleep 0.1; done; echo reaped
{{ true </etc/shadow; }} 2>/dev/null || echo denied
cat /proc/1/comm; kill -{signal} 1; sleep 1000"
        );
        let (_slot, vm) = Bench::start(bench.demo(&script).policy(&policy));
        let run = Bench::evidence(vm.finish().expect("watched"));
        let said = console(&run);
        assert_eq!((run.end, run.exit), (End::Ran, None), "{said}");
        assert_eq!(
            run.out_text(),
            "agent: another\nstick: another\nready 0\nreaped\ndenied\ninit\n",
            "{}",
            run.err_text()
        );
        let mut rest = said.as_str();
        for line in [
            "the agent ended; starting it again",
            "the stick's watcher ended; starting it again",
            "stopping the agent",
            "sealed after signal 15",
            "(complete)",
            "AEGIS-DONE",
            word,
        ] {
            rest = rest.split_once(line).unwrap_or_else(|| panic!("no `{line}` in its place: {said}")).1;
        }
        assert!(!said.contains("STILL THERE") && !said.contains("neither unmounted"), "{said}");
        assert_eq!(run.mode(), Some("enforcing"));
        let denied = run.with(&[("rule", "no-shadow".into()), ("verdict", "denied".into())]);
        assert_eq!(denied.len(), 1, "what was seen before the end is in the evidence");
        run.lost();
    }
}

/// Nobody else could stop it: its cgroup is frozen, by an operator whose policy does not guard Aegis.
#[test]
fn a_system_that_stands_still_is_started_again() {
    let bench = Bench::new();
    // First longer than the watchdog waits: one that is fed bites nobody.
    let script = "
sleep 90; echo fed
mkdir /sys/fs/cgroup/still
echo 1 >/sys/fs/cgroup/still/cgroup.procs && echo 1 >/sys/fs/cgroup/still/cgroup.freeze && echo still
sleep 1000";
    let rule = Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };
    let policy = bench.policy("deny", "enforce", &[rule]);
    let (_slot, mut vm) = Bench::start(bench.demo(script).policy(policy).watchdog(Watchdog::Armed));
    assert!(vm.wait_stdout("fed\nstill").expect("watched"), "{}", vm.console_end());
    let run = vm.finish().expect("watched");
    let said = console(&run);
    // QEMU ends where a machine would start again; nothing was brought to an end.
    assert!(matches!(run.end, End::Died(_)), "{:?}: {said}", run.end);
    assert!(said.contains("watchdog: iTCO_wdt"), "{said}");
    assert!(!said.contains("stopping the agent") && !said.contains("AEGIS-DONE"), "{said}");
}

/// As by a disk that hangs: init turns still, and the agent does not.
#[test]
fn an_agent_that_stands_still_is_started_again_with_the_system() {
    let bench = Bench::new();
    // First longer than the agent is waited for, and the watchdog after it: one whose loops have nothing to do turns all the same.
    let script = "
sleep 320; echo fed
kill -STOP $(cat /run/aegis/agent.pid) && echo still
sleep 1000";
    let rule = Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] };
    let policy = bench.policy("deny", "enforce", &[rule]);
    let (_slot, mut vm) = Bench::start(bench.demo(script).policy(policy).watchdog(Watchdog::Armed));
    assert!(vm.wait_stdout("fed\nstill").expect("watched"), "{}", vm.console_end());
    let run = vm.finish().expect("watched");
    let said = console(&run);
    assert!(matches!(run.end, End::Died(_)), "{:?}: {said}", run.end);
    assert!(said.contains("STANDS STILL: the watchdog is not fed any more"), "{said}");
    assert!(!said.contains("stopping the agent") && !said.contains("AEGIS-DONE"), "{said}");
}

/// The agent can't begin, and is waited for: nothing of it hangs, so the machine is not started again for ever.
#[test]
fn a_rings_disk_that_only_fails_does_not_start_the_machine_again() {
    let bench = Bench::new();
    let device = Device::new(&bench);
    device.healthy(&bench);
    let machine = device.machine(&bench).ring_fails(true).watchdog(Watchdog::Armed);
    // Longer than the agent has to begin, a loop to turn, and the watchdog after it.
    let (_slot, vm) = Bench::start(machine.timeout(Duration::from_mins(6)));
    let run = vm.finish().expect("watched");
    let said = console(&run);
    assert!(matches!(run.end, End::TimedOut), "{:?}: {said}", run.end);
    assert!(said.contains("agent not ready"), "{said}");
    assert!(!said.contains("STANDS STILL") && !said.contains("AEGIS-READY"), "{said}");
}
