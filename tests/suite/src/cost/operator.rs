//! The operator: outside of every workload, so bound by no rule. Brings the states about (without an agent: `absence.rs`), and reads the
//! books.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Instant;

use super::tap::Tap;
use super::{LARGEST, NONE, SOCKET, WORKLOAD};
use crate::absence::{Absence, STATISTICS, runs};
use crate::bpf;
use crate::operator::{aegis, cpu, pid, serve};
use crate::scenario::{Done, Step as _, Stop};

/// What is so now.
struct Operator {
    /// The policy in force; none of ours yet.
    policy: Option<String>,
    absence: Absence,
    /// Bundles that were applied.
    applied: usize,
    tap: Option<Tap>,
}

/// Serves the one who measures, to the end.
pub fn operate() -> Done {
    let begin = || {
        let mut operator = Operator { policy: None, absence: Absence::default(), applied: 0, tap: None };
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
            ("state", NONE) => self.absence.remove().map(|()| done()),
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
        self.absence.bring_back()?;
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

    /// What shows which state it is, and what was counted until now.
    fn books(&self) -> Result<String, Stop> {
        let there = self.absence.is_over();
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
