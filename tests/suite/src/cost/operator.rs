//! The operator: outside of every workload, so bound by no rule. Brings the states about, and reads the books.
//!
//! **No agent** within a boot: another program is mounted over Aegis's, which init then starts in its place and which does nothing;
//! the probes' links are unpinned, so that the kernel calls none of them. The maps stay pinned, with the rules in them; to go
//! back, each program is attached anew and its link pinned again, which is what `aegis load` does after the verifier.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::tap::Tap;
use super::{LARGEST, NONE, SOCKET, WORKLOAD, bpf};
use crate::operator::{AEGIS, aegis, cpu, pid, serve, until};
use crate::scenario::{Done, Step as _, Stop};
use crate::sys;

/// Does nothing, in Aegis's place (`tests/suite/src/bin/bare.rs`).
const STAND_IN: &str = "/workload/stand-in";
const PINS: &str = "/sys/fs/bpf/aegis";
/// What init keeps running, and says the number of.
const SERVICES: [&str; 3] = ["agent", "stick", "alerts"];
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// What is so now.
struct Operator {
    /// The policy in force; none of ours yet.
    policy: Option<String>,
    /// The links that were unpinned: there is no agent.
    unpinned: Vec<PathBuf>,
    /// Bundles that were applied.
    applied: usize,
    tap: Option<Tap>,
}

/// Serves the one who measures, to the end.
pub fn operate() -> Done {
    let begin = || {
        let mut operator = Operator { policy: None, unpinned: Vec::new(), applied: 0, tap: None };
        // Its maps are filled once; every other policy fills the other set's.
        let begun = Instant::now();
        operator.apply(LARGEST)?;
        eprintln!("operator: {LARGEST} filled: {:.1} s", begun.elapsed().as_secs_f64());
        Ok(operator)
    };
    serve(SOCKET, begin, Operator::answer)
}

impl Operator {
    fn answer(&mut self, wish: &str) -> Result<String, Stop> {
        let done = || "{}".to_owned();
        match wish.split_once(' ').unwrap_or((wish, "")) {
            ("state", NONE) => self.remove().map(|()| done()),
            ("state", state) => self.put(state).map(|()| done()),
            ("books", _) => self.books(),
            ("statistics", on) => fs::write(STATISTICS, on).step(STATISTICS).map(|()| done()),
            ("tap", "1") => {
                let group = format!("/sys/fs/cgroup/workloads/{WORKLOAD}");
                self.tap = Some(Tap::open(fs::metadata(&group).step(&group)?.ino())?);
                Ok(done())
            }
            ("tap", _) => {
                self.tap = None;
                Ok(done())
            }
            ("mark", _) => {
                self.tap()?.mark();
                Ok(done())
            }
            ("taken", _) => Ok(self.tap()?.taken()?.json()),
            ("end", _) => self.put(LARGEST).map(|()| done()),
            _ => Err(Stop::Broken(format!("{wish}: no wish"))),
        }
    }

    fn tap(&mut self) -> Result<&mut Tap, Stop> {
        self.tap.as_mut().ok_or_else(|| Stop::Broken("there is no tap".to_owned()))
    }

    /// The agent runs, its hooks are attached, and this policy is in force.
    fn put(&mut self, state: &str) -> Done {
        self.bring_back()?;
        if self.policy.as_deref() == Some(state) {
            return Ok(());
        }
        // From any other the largest is the one before: back to it its maps are as they were.
        if self.policy.as_deref() != Some(LARGEST) {
            aegis(&["policy", "rollback"])?;
            self.policy = Some(LARGEST.to_owned());
        }
        if state == LARGEST { Ok(()) } else { self.apply(state) }
    }

    fn apply(&mut self, state: &str) -> Done {
        self.applied += 1;
        aegis(&["policy", "apply", &format!("/workload/policies/{}-{state}.aegis", self.applied)])?;
        self.policy = Some(state.to_owned());
        Ok(())
    }

    /// No process of the agent, no hook.
    fn remove(&mut self) -> Done {
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

    fn bring_back(&mut self) -> Done {
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

    /// What shows which state it is, and what was counted until now.
    fn books(&self) -> Result<String, Stop> {
        let there = self.unpinned.is_empty();
        let mut books = format!("{{\"links\":{},\"runs\":{},\"agent\":{there}", bpf::links()?, runs()?);
        if there {
            let agent = pid("agent").ok_or_else(|| Stop::Broken("the agent is gone".to_owned()))?;
            let _ = write!(books, ",\"agent_cpu\":{}", cpu(agent)?);
            let _ = write!(books, ",\"status\":{}", aegis(&["status", "--json"])?.trim());
            let text = aegis(&["metrics"])?;
            let kept = text.lines().filter(|line| is_kept(line)).map(|line| format!("{line:?}"));
            let _ = write!(books, ",\"metrics\":[{}]", kept.collect::<Vec<_>>().join(","));
        }
        books.push('}');
        Ok(books)
    }
}

/// A figure that the host looks at.
fn is_kept(line: &str) -> bool {
    let of_the_workload = line.contains(&format!("workload=\"{WORKLOAD}\""));
    let named = |name| line.starts_with(name);
    named("aegis_events_total{")
        || named("aegis_hook_invocations_total{")
        || named("aegis_hook_run_seconds_total{")
        || named("aegis_map_entries{")
        || named("aegis_workload_") && of_the_workload
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

/// How often the probes' programs ran, all together, while the kernel counted that.
fn runs() -> Result<u64, Stop> {
    pins("prog_")?.iter().map(|program| bpf::runs(program)).sum()
}

/// Ends it; init starts what lies in its place by then.
fn end(service: &str, signal: i32) -> Done {
    let Some(old) = pid(service) else { return Ok(()) };
    sys::kill(old, signal).step(service)?;
    until(service, || Ok(pid(service) != Some(old)))
}
