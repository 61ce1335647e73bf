//! After the start: waits for the agent, runs the one workload that the command line names, then asks for the end.

use std::fs::{self, File};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use aegis_policy::names::is_kept_workload_name;
use rustix::fs::OFlags;

use crate::children::{self, Children, Kind, aegis};
use crate::command_line::CommandLine;
use crate::console::{say, tell};
use crate::start::Started;
use crate::{AGENT, End, devices, end, limits, mounts, trial};

/// Where `aegis workload mount` mounts those that are as they were accepted.
const MOUNTED: &str = "/run/workloads";

/// Until the end is asked for: by the command line once the workload is over, or by somebody.
///
/// # Errors
/// By somebody.
pub(crate) fn run(children: &mut Children, line: &CommandLine, started: &Started) -> Result<End, End> {
    image(children, line)?;
    if let Some(why) = not_ready(children, started)? {
        say(why);
    } else {
        let uptime = devices::line("/proc/uptime").unwrap_or_default();
        tell(&format!("AEGIS-READY {}", uptime.split(' ').next().unwrap_or_default()));
        if started.storage {
            workloads(children)?;
        }
        if let Some(name) = line.asked("aegis.workload") {
            workload(children, name, started)?;
        }
    }
    if line.has("aegis.workload") || line.has("aegis.poweroff") {
        return Ok(End::PowerOff);
    }
    Ok(children.until_asked())
}

/// Where a loader started this: an image that runs healthy is committed, and what was tried and does not run is told. One on trial
/// that is not healthy does not stay: the machine starts again, a try is gone, and after the last of them the other slot runs.
fn image(children: &mut Children, line: &CommandLine) -> Result<(), End> {
    if !line.has("aegis.slot") {
        return Ok(());
    }
    let wait = limits::READY.to_string();
    let healthy = children.run(limits::COMMAND, &mut aegis(&["image", "settle", "--wait", &wait]))? == 0;
    if !healthy && trial::runs() {
        say("IMAGE ON TRIAL NOT HEALTHY: starting again");
        mounts::let_go_of_data();
        end::restart_now();
    }
    Ok(())
}

fn not_ready(children: &mut Children, started: &Started) -> Result<Option<&'static str>, End> {
    const WHY: &str = "agent not ready";
    if !started.loaded {
        return Ok(Some(WHY));
    }
    let mut ask = aegis(&["status", "--wait", &limits::READY.to_string()]);
    Ok((children.run(limits::ASK_READY, ask.stdout(Stdio::null()))? != 0).then_some(WHY))
}

/// Those that came signed and are mounted: each is kept by a process of its own, from here to the end.
fn workloads(children: &mut Children) -> Result<(), End> {
    let code = children.run(limits::COMMAND, &mut aegis(&["workload", "tell"]))?;
    if code != 0 {
        say(&format!("workload tell: exit {code}"));
    }
    let entries = fs::read_dir(MOUNTED).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .take(limits::WORKLOADS_KEPT)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    for name in names.into_iter().filter(|name| is_kept_workload_name(name)) {
        // As long as the system runs.
        children.keep(Kind::Workload { name: name.leak() });
    }
    Ok(())
}

/// The workload `name`, from its disk.
fn workload(children: &mut Children, name: &str, started: &Started) -> Result<(), End> {
    // Of a name that is none nothing is repeated but that.
    if !is_kept_workload_name(name) {
        say(&format!("aegis.workload={}: not a workload name", name.escape_default()));
        return Ok(());
    }
    let say = |text: &str| say(&format!("workload {name}: {text}"));
    if !started.storage {
        say("not started without own storage");
        return Ok(());
    }
    let Some(device) = devices::disk("aegis-workload") else {
        say("no disk with the serial number aegis-workload");
        return Ok(());
    };
    if !mounts::workload(&device) {
        say(&format!("cannot mount {}", device.display()));
        return Ok(());
    }
    if !is_executable("/workload/run") {
        say("no executable /workload/run on its disk");
        report(name, 127);
        return Ok(());
    }
    let prepare = format!("{name}-prepare");
    // What the workload finds: made by a workload of another name, which the policy's rules for this one do not speak of. What it
    // leaves running runs on beside the workload.
    if is_executable("/workload/prepare") {
        say("preparing");
        let code = children.run_on(&mut confined(&prepare, "/workload/prepare"))?;
        if code != 0 {
            say(&format!("not started, its /workload/prepare failed (exit {code})"));
            report(name, 127);
            return Ok(());
        }
    }
    say("starting");
    let mut run = confined(name, "/workload/run");
    if let Some(out) = output("aegis.stdout") {
        run.stdout(out);
    }
    if let Some(err) = output("aegis.stderr") {
        run.stderr(err);
    }
    let code = children.run_on(&mut run)?;
    drop(run);
    // The workload is over when its first program is: what it left behind ends with it.
    for left in [name, &prepare] {
        end::kill_group(&Path::new(end::WORKLOADS).join(left));
    }
    report(name, code);
    Ok(())
}

fn is_executable(path: &'static str) -> bool {
    let found = mounts::bounded(limits::MOUNT, move || fs::metadata(path));
    matches!(found, Some(Ok(found)) if found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// In the cgroup of this workload, with a workload's environment.
fn confined(name: &str, program: &str) -> Command {
    // `aegis workload run` makes a session of it.
    let mut command = children::program(AGENT);
    command.args(["workload", "run", name, "--", program]);
    command.current_dir("/scratch").env("HOME", "/scratch").env("TMPDIR", "/scratch").env("LANG", "C.UTF-8");
    command.env("AEGIS_WORKLOAD", name);
    command
}

/// Where somebody outside reads; `None`: the console.
fn output(port: &str) -> Option<File> {
    let path = devices::port(port)?;
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .inspect_err(|error| say(&format!("{}: {error}", path.display())))
        .ok()
}

/// The workload's exit code, to whoever waits for it outside.
fn report(name: &str, code: u8) {
    if let Some(port) = devices::port("aegis.exit")
        && let Err(error) = write_soon(&port, &format!("{code}\n"))
    {
        say(&format!("{}: {error}", port.display()));
    }
    say(&format!("workload {name}: exit {code}"));
}

/// To a port that may have no reader, or a slow one.
fn write_soon(port: &Path, text: &str) -> std::io::Result<()> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = fs::OpenOptions::new().write(true).custom_flags(flags).open(port)?;
    devices::write_soon(&file, text.as_bytes(), limits::REPORT)
}
