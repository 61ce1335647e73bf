//! The end: workloads, then the agent, then the evidence out, then the power.

use std::path::Path;
use std::thread;

use rustix::system::{RebootCommand, reboot};

use crate::children::{Children, Kind, aegis};
use crate::console::{say, tell};
use crate::{End, devices, limits, mounts, watchdog};

/// Every workload has a cgroup in here.
pub(crate) const WORKLOADS: &str = "/sys/fs/cgroup/workloads";

/// In this order: once the workloads are over, the agent's books can balance.
pub(crate) fn run(children: &mut Children, how: End) -> ! {
    children.end();
    // First those who would start them again.
    children.stop_workloads();
    let workloads = Path::new(WORKLOADS);
    kill_group(workloads);
    // They end after they were told to; what they had open is told by then.
    let gone = |_: &Children| {
        let gone = !is_populated(workloads);
        if !gone {
            // One whose keeper was killed while it began may have come to its cgroup after the others were killed.
            kill_group(workloads);
        }
        gone
    };
    if !children.pause_until(limits::WORKLOADS_END, gone) {
        say(&format!("WORKLOADS STILL THERE after {} s", limits::WORKLOADS_END.as_secs()));
    }
    // A take that is under way is let come to its end, if that is soon: the stick is for the evidence then.
    if !children.stop(|kind| kind == Kind::Stick, limits::STICK_ENDS) {
        say(&format!("STILL BUSY WITH A STICK after {} s: no longer", limits::STICK_ENDS.as_secs()));
    }
    say("stopping the agent");
    if !children.stop(|kind| matches!(kind, Kind::Agent { .. }), limits::AGENT_ENDS) {
        say(&format!("THE AGENT DID NOT STOP in {} s", limits::AGENT_ENDS.as_secs()));
    }
    children.stop_the_rest();
    // Nobody asks for the end any more.
    let code = children.run(limits::EVIDENCE, &mut aegis(&["stick", "take", "--final"])).unwrap_or(u8::MAX);
    if code != 0 {
        say(&format!("NOT ALL EVIDENCE IS OUT (exit {code})"));
    }
    mounts::let_go_of_data();
    tell("AEGIS-DONE");
    match how {
        End::PowerOff => stop(RebootCommand::PowerOff),
        End::Restart => restart_now(),
    }
}

/// Everybody in this cgroup and below it (`cgroup.kill`, since Linux 5.14).
pub(crate) fn kill_group(group: &Path) {
    let kill = group.join("cgroup.kill");
    if kill.exists()
        && let Err(error) = mounts::write(&kill, "1")
    {
        say(&format!("{}: {error}", kill.display()));
    }
}

/// Somebody is in it, or below it (`cgroup.events`).
fn is_populated(group: &Path) -> bool {
    let events = devices::read(group.join("cgroup.events"), limits::FILE_BYTES).unwrap_or_default();
    events.lines().any(|line| line == "populated 1")
}

/// Nothing is brought to an end.
pub(crate) fn restart_now() -> ! {
    stop(RebootCommand::Restart)
}

/// By a thread: where the board has no power to switch off, the kernel ends whoever asked
/// (`kernel/reboot.c:SYSCALL_DEFINE4(reboot)`), and without its first process it panics.
fn stop(how: RebootCommand) -> ! {
    loop {
        let asked = thread::Builder::new().spawn(move || {
            if let Err(error) = reboot(how) {
                say(&format!("reboot: {error}"));
            }
        });
        if let Err(error) = asked {
            say(&format!("reboot: {error}"));
        }
        thread::sleep(limits::POWER);
        if matches!(how, RebootCommand::PowerOff) {
            // It is at its end: nothing is to be started again.
            watchdog::feed();
            say("STILL ON: the power can be taken away");
        } else {
            say("STILL ON: the watchdog is not fed any more, and starts the machine again");
        }
    }
}
