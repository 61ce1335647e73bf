//! No agent within a boot: another program is mounted over Aegis's, which init then starts in its place and which does nothing; the
//! probes' links are unpinned, so that the kernel calls none of them. The maps stay pinned, with the rules in them; to go back, each
//! program is attached anew and its link pinned again, which is what `aegis load` does after the verifier.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use crate::bpf;
use crate::operator::{AEGIS, aegis, pid, until};
use crate::scenario::{Done, Step as _, Stop};
use crate::sys;

/// Does nothing, in Aegis's place (`tests/suite/src/bin/bare.rs`).
const STAND_IN: &str = "/workload/stand-in";
const PINS: &str = "/sys/fs/bpf/aegis";
/// What init keeps running, and says the number of.
pub(crate) const SERVICES: [&str; 3] = ["agent", "stick", "alerts"];
/// Whether the kernel counts runs of programs.
pub(crate) const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Whether there is an agent.
#[derive(Default)]
pub(crate) struct Absence {
    /// The links that were unpinned: there is none.
    unpinned: Vec<PathBuf>,
}

impl Absence {
    /// The agent is there, and its hooks.
    pub(crate) fn is_over(&self) -> bool {
        self.unpinned.is_empty()
    }

    /// No process of the agent, no hook.
    pub(crate) fn remove(&mut self) -> Done {
        if !self.unpinned.is_empty() {
            return Ok(());
        }
        sys::mount(STAND_IN, AEGIS, "", libc::MS_BIND, "").step("the stand-in")?;
        for service in SERVICES {
            end(service, libc::SIGTERM)?;
        }
        for link in pins("link_")? {
            fs::remove_file(&link).step("a link")?;
            self.unpinned.push(link);
        }
        until("the links are gone", || Ok(bpf::links()? == 0))?;
        // A link is gone before its hook is off. What is done meanwhile comes to every hook that is not.
        fs::write(STATISTICS, "1").step(STATISTICS)?;
        until("the hooks are off", || {
            let before = runs()?;
            sleep(Duration::from_millis(200));
            Ok(runs()? == before)
        })?;
        fs::write(STATISTICS, "0").step(STATISTICS)?;
        until("the stand-ins run", || Ok(SERVICES.iter().all(|service| pid(service).is_some())))
    }

    /// The agent runs, its hooks are attached; the policy is the one that was.
    pub(crate) fn bring_back(&mut self) -> Done {
        if self.unpinned.is_empty() {
            return Ok(());
        }
        for link in self.unpinned.drain(..) {
            let name = link.file_name().unwrap_or_default().to_string_lossy().replacen("link_", "prog_", 1);
            bpf::attach_pinned(&link.with_file_name(name), &link)?;
        }
        sys::path_call(libc::SYS_umount2, AEGIS, &[libc::MNT_DETACH as usize]).step("the stand-in")?;
        for service in SERVICES {
            end(service, libc::SIGKILL)?;
        }
        until("the agent runs", || Ok(pid("agent").is_some()))?;
        aegis(&["status", "--wait", "60"]).map(drop)
    }
}

/// What is pinned under a name that begins so.
fn pins(prefix: &str) -> Result<Vec<PathBuf>, Stop> {
    let mut found = Vec::new();
    for set in fs::read_dir(PINS).step(PINS)? {
        for pin in fs::read_dir(set.step(PINS)?.path()).step(PINS)? {
            let pin = pin.step(PINS)?;
            if pin.file_name().to_string_lossy().starts_with(prefix) {
                found.push(pin.path());
            }
        }
    }
    Ok(found)
}

/// Memory that the kernel holds for each map of Aegis's: name and bytes.
///
/// # Errors
/// There are none.
pub fn maps() -> Result<Vec<(String, u64)>, Stop> {
    let mut found = Vec::new();
    for pin in pins("")? {
        let name = pin.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with("prog_")
            && !name.starts_with("link_")
            && let Some(bytes) = bpf::memory(&pin)?
        {
            found.push((name, bytes));
        }
    }
    if found.is_empty() { Err(Stop::Broken(format!("{PINS}: no maps"))) } else { Ok(found) }
}

/// How often the probes' programs ran, all together, while the kernel counted that.
pub(crate) fn runs() -> Result<u64, Stop> {
    pins("prog_")?.iter().map(|program| bpf::runs(program)).sum()
}

/// Ends it; init starts what lies in its place by then.
fn end(service: &str, signal: i32) -> Done {
    let Some(old) = pid(service) else { return Ok(()) };
    sys::kill(old, signal).step(service)?;
    until(service, || Ok(pid(service) != Some(old)))
}
