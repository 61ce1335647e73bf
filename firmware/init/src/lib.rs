//! PID 1 of the appliance: what is started, in which order, and what becomes of what ends. No shell, no script, no login.
//!
//! - [`start`]: mounts, own storage, probes and policy, the stick: before anything else runs.
//! - [`children`]: what runs on (agent, stick's watcher, serial line) and is started again when it ends.
//! - [`asked`]: what a person asks of it meanwhile: a workload stopped, or started again.
//! - [`session`]: waits for the agent, has the workloads kept that came signed, runs the one that the command line names.
//! - [`end`]: the agent's last words, the evidence out, power off.
//!
//! Every step says what it does on the console, is bounded in time, and none can stop the boot. What decides is done by the
//! agent's own commands, each a process of its own: what fails there fails there.

pub mod asked;
mod children;
mod command_line;
mod console;
mod devices;
mod end;
mod limits;
mod mounts;
pub mod partitions;
mod session;
mod start;
mod trial;
pub mod turns;
mod watchdog;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use children::Children;
use command_line::CommandLine;
use console::say;
pub use devices::boottime;
pub use start::secure_boot_is_off;

/// Markers of this boot.
const STATE: &str = "/run/aegis";
/// The agent, and all its commands.
const AGENT: &str = "/usr/bin/aegis";
/// What a person at the serial line sees.
const CONSOLE: &str = "/usr/bin/aegis-console";
/// The endpoint on the site network.
const SITE: &str = "/usr/bin/aegis-site";

/// How the system ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    PowerOff,
    Restart,
}

/// A program of this name is this one: what the kernel starts first.
pub fn is_named(program: Option<&OsStr>) -> bool {
    program.is_some_and(|path| Path::new(path).file_name() == Some(OsStr::new("init")))
}

/// Runs the system until its end. Returns only when it is not the first process.
pub fn run() -> ExitCode {
    if !rustix::process::getpid().is_init() {
        say("init: the kernel starts this as the first process; mend: nothing to be called by hand");
        return ExitCode::from(2);
    }
    let mut children = match Children::new() {
        Ok(children) => children,
        Err(error) => {
            say(&format!("SIGNALS: {error}: starting again"));
            end::restart_now();
        }
    };
    let how = system(&mut children);
    end::run(&mut children, how)
}

/// From the first mount until somebody asks for the end.
fn system(children: &mut Children) -> End {
    mounts::first();
    let line = CommandLine::of_this_boot();
    match start::run(children, &line).and_then(|started| session::run(children, &line, &started)) {
        Ok(end) | Err(end) => end,
    }
}
