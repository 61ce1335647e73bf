//! The end: workloads, then the agent, then the evidence out, then the power.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::system::{RebootCommand, reboot};

use crate::children::{Children, Kind, aegis};
use crate::console::{say, tell};
use crate::{End, limits, mounts};

/// In this order: once the workloads are over, the agent's books can balance.
pub(crate) fn run(children: &mut Children, how: End) -> ! {
    children.end();
    for group in fs::read_dir("/sys/fs/cgroup/workloads").into_iter().flatten().flatten() {
        kill_group(&group.path());
    }
    // A take that is under way is let come to its end, if that is soon: the stick is for the evidence then.
    if !children.stop(|kind| kind == Kind::Stick, limits::STICK_ENDS) {
        say(&format!("STILL BUSY WITH A STICK after {} s: no longer", limits::STICK_ENDS.as_secs()));
    }
    say("stopping the agent");
    if !children.stop(|kind| matches!(kind, Kind::Agent { .. }), limits::AGENT_ENDS) {
        say(&format!("THE AGENT DID NOT STOP in {} s", limits::AGENT_ENDS.as_secs()));
    }
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

/// Nothing is brought to an end.
pub(crate) fn restart_now() -> ! {
    stop(RebootCommand::Restart)
}

fn stop(how: RebootCommand) -> ! {
    loop {
        if let Err(error) = reboot(how) {
            say(&format!("reboot: {error}"));
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}
