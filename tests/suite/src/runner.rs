//! Runs scenarios, each in a process of its own with a limit on its time, and says what came of them.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use crate::fixture;
use crate::scenario::{Boot, Control, Done, Scenario, Stop};
use crate::side::{Place, Side};
use crate::sys;

/// Where the one who prepares leaves what the acts without a twin came to for it.
const CONTROLS: &str = "/scratch/controls";
/// The name of a task that does an act on the twin.
const CONTROL_NAME: &str = "aegis-control";

/// What a line says of one half of a scenario.
fn word(done: &Done) -> String {
    match done {
        Ok(()) => "pass".to_owned(),
        Err(Stop::Errno(number)) => format!("errno {number}"),
        Err(Stop::Skip(why)) => format!("skip {why}"),
        Err(Stop::Broken(why)) => format!("broken {why}"),
    }
}

/// Does an act in a process of this name; what it came to, and the process's id.
fn act(scenario: &Scenario, side: Side, name: &str) -> (Done, i32) {
    let child = || -> Result<(i32, std::os::fd::OwnedFd), Stop> {
        let (reader, writer) = sys::pipe()?;
        let pid = sys::fork()?;
        if pid == 0 {
            drop(reader);
            let _ = sys::call(libc::SYS_setpgid, &[0, 0]);
            sys::set_name(name);
            let done = (scenario.act)(side);
            // A scenario that changed its own name or its directory is of no interest any more.
            let _ = sys::write(writer.as_raw_fd(), word(&done).as_bytes());
            sys::leave(0);
        }
        Ok((pid, reader))
    };
    let (pid, reader) = match child() {
        Ok(started) => started,
        Err(stop) => return (Err(stop), 0),
    };
    let said = sys::read_until(&reader, Duration::from_secs(scenario.seconds.into()));
    let _ = sys::kill(-pid, libc::SIGKILL);
    let status = sys::wait(pid);
    let done = match said.as_deref().map(String::from_utf8_lossy) {
        None => Err(Stop::Broken(format!("it took more than {} s", scenario.seconds))),
        Some(text) => match text.split_once(' ') {
            None if text == "pass" => Ok(()),
            Some(("errno", number)) => Err(Stop::Errno(number.parse().unwrap_or(0))),
            Some(("skip", why)) => Err(Stop::Skip(why.to_owned())),
            Some(("broken", why)) => Err(Stop::Broken(why.to_owned())),
            _ => Err(Stop::Broken(format!("it ended with {status:x?}"))),
        },
    };
    match done {
        Err(Stop::Errno(libc::ENOSYS)) => (Err(Stop::Skip("no such system call".to_owned())), pid),
        other => (other, pid),
    }
}

fn escape(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).map(|c| if c == '"' || c == '\\' { '\'' } else { c }).collect()
}

/// Which side comes first matters: the twin's act shows that the protected one's could have passed just now.
fn run_one(scenario: &Scenario, absent: bool) {
    let side = |protected| Side { protected, place: scenario.place, absent };
    let control = match scenario.control {
        Control::Twin => word(&act(scenario, side(false), CONTROL_NAME).0),
        Control::Outside => fs::read_to_string(format!("{CONTROLS}/{}", scenario.id))
            .unwrap_or_else(|error| format!("broken {error}")),
        Control::Absent => "absent".to_owned(),
    };
    let (done, pid) = act(scenario, side(true), scenario.id);
    let leaked = if absent { Vec::new() } else { fixture::broken() };
    let leaked: Vec<String> = leaked.into_iter().filter(|path| path.contains("/p/")).collect();
    println!(
        "{{\"scenario\":\"{}\",\"group\":\"{}\",\"rule\":\"{}\",\"kind\":\"{}\",\"pid\":{pid},\"result\":\"{}\",\"control\":\"{}\",\"leaked\":\"{}\"}}",
        scenario.id,
        scenario.group,
        scenario.rule,
        scenario.kind,
        escape(&word(&done)),
        escape(&control),
        escape(&leaked.join(" ")),
    );
    // The twins, and without rules the protected ones too, are as they were for the next.
    fixture::restore();
}

/// All scenarios of this boot, or those of these names. `absent`: under a policy without rules.
pub fn run(scenarios: &[Scenario], boot: Boot, absent: bool, names: &[String]) {
    sys::set_name("aegis-suite");
    let asked = |scenario: &&Scenario| {
        names.is_empty() || names.iter().any(|name| name == scenario.id || name == scenario.group)
    };
    for scenario in scenarios.iter().filter(|scenario| scenario.boot == boot || absent).filter(asked) {
        run_one(scenario, absent);
    }
}

/// Does the acts that have no twin, bound by no rule, for [`run`] to read.
pub fn controls(scenarios: &[Scenario]) -> Done {
    fs::create_dir_all(CONTROLS)?;
    for scenario in scenarios.iter().filter(|scenario| scenario.control == Control::Outside) {
        let side = Side { protected: true, place: Place::Disk, absent: false };
        let (done, _) = act(scenario, side, CONTROL_NAME);
        fs::write(format!("{CONTROLS}/{}", scenario.id), word(&done))?;
    }
    Ok(())
}
