//! A storm of events (`make storm`, docs/benchmarks.md): what the guest is given, and what its steps must say. The guest's part is
//! `tests/suite/src/storm.rs`.

#![expect(clippy::cast_precision_loss, reason = "counts of a boot are far below 2^53")]

pub mod report;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use aegis_suite::storm::{FILE, HELD, LOST};
use serde::Deserialize;
use serde_json::Value;

use crate::bench::{Bench, Rule, root};
use crate::suite;

/// A boot may take so long: a quarter of it on an idle machine.
const PATIENCE: Duration = Duration::from_mins(30);

/// The books, as the operator read them when nothing was under way.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Books {
    /// Of `aegis status --json`.
    accounts: Value,
    /// The agent's processor time, ns.
    agent_cpu: u64,
    /// Lines of `aegis metrics`: the histogram of latencies.
    metrics: Vec<String>,
}

impl Books {
    /// A number of the accounts.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.accounts[name].as_u64().unwrap_or(0)
    }

    /// Losses by cause.
    pub(crate) fn lost(&self) -> Vec<(String, u64)> {
        let causes = self.accounts["lost"].as_object().into_iter().flatten();
        causes.map(|(cause, count)| (cause.clone(), count.as_u64().unwrap_or(0))).collect()
    }

    /// Upper bounds of the buckets, s, as they are written, and events within.
    fn latencies(&self) -> Vec<(&str, u64)> {
        let buckets = self.metrics.iter().filter_map(|line| {
            let (bound, count) =
                line.strip_prefix("aegis_event_latency_seconds_bucket{le=\"")?.split_once("\"} ")?;
            Some((bound, count.parse().ok()?))
        });
        buckets.collect()
    }
}

/// A line of the guest's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What it is for.
    #[serde(rename = "step")]
    pub name: String,
    /// Opens a second that were asked for; 0: as many as can be.
    pub rate: u64,
    /// How long it took.
    pub seconds: f64,
    /// Opens that were made.
    pub made: u64,
    before: Books,
    after: Books,
}

impl Step {
    fn since(&self, name: &str) -> u64 {
        self.after.number(name).saturating_sub(self.before.number(name))
    }

    /// Events that the kernel saw.
    pub fn seen(&self) -> u64 {
        self.since("seen")
    }

    /// Of those, on the disk.
    pub fn written(&self) -> u64 {
        self.since("written")
    }

    /// Of those, lost, by cause; only what was.
    pub fn lost(&self) -> Vec<(String, u64)> {
        let before = self.before.lost();
        let was = |cause: &str| before.iter().find(|(name, _)| name == cause).map_or(0, |(_, count)| *count);
        let now = self.after.lost().into_iter();
        now.map(|(cause, count)| (cause.clone(), count.saturating_sub(was(&cause))))
            .filter(|(_, n)| *n > 0)
            .collect()
    }

    /// All of those.
    pub fn lost_in_all(&self) -> u64 {
        self.lost().iter().map(|(_, count)| count).sum()
    }

    /// Opens a second that were made.
    pub fn made_a_second(&self) -> f64 {
        self.made as f64 / self.seconds
    }

    /// At most one in a thousand was lost.
    pub fn is_borne(&self) -> bool {
        self.lost_in_all() * 10_000 <= self.seen() * LOST
    }

    /// It was borne, and for long enough to say so.
    pub fn is_held(&self) -> bool {
        self.is_borne() && self.seconds >= HELD as f64
    }

    /// The agent's processor time for an event that it wrote, µs.
    pub fn cpu(&self) -> f64 {
        let time = self.after.agent_cpu.saturating_sub(self.before.agent_cpu);
        time as f64 / 1_000.0 / self.written().max(1) as f64
    }

    /// The upper bound, s, of the bucket in which the `permille`th of a thousand events is, from the kernel to the disk.
    pub fn latency(&self, permille: u64) -> Option<&str> {
        let before = self.before.latencies();
        let within: Vec<(&str, u64)> = self
            .after
            .latencies()
            .into_iter()
            .map(|(bound, count)| {
                let was = before.iter().find(|(other, _)| *other == bound).map_or(0, |(_, count)| *count);
                (bound, count.saturating_sub(was))
            })
            .collect();
        let all = within.last()?.1;
        let rank = (all * permille).div_ceil(1000).max(1);
        within.into_iter().find(|(_, count)| *count >= rank).map(|(bound, _)| bound)
    }

    /// Why this step proves nothing, or what promise it breaks; nothing when all holds.
    pub fn wrong(&self) -> Vec<String> {
        let (seen, written, lost) = (self.seen(), self.written(), self.lost_in_all());
        let mut wrong = Vec::new();
        if seen != written + lost {
            wrong.push(format!("{}: seen {seen}, written {written}, lost {lost}", self.name));
        }
        if seen < self.made {
            wrong.push(format!("{}: {} were made, and the kernel saw {seen}", self.name, self.made));
        }
        if self.latency(500).is_none() {
            wrong.push(format!("{}: no latencies", self.name));
        }
        wrong
    }
}

/// Why these steps prove nothing, or what promises they break.
pub fn wrong(steps: &[Step]) -> Vec<String> {
    let mut wrong: Vec<String> = steps.iter().flat_map(Step::wrong).collect();
    let bears = |name: &str| steps.iter().any(|step| step.name == name && step.is_borne());
    for step in steps.iter().filter(|step| step.name == "highest" && !step.is_held()) {
        let (lost, seen) = (step.lost_in_all(), step.seen());
        wrong.push(format!("the highest rate was not held: {lost} of {seen} lost in {:.1} s", step.seconds));
    }
    if bears("twice") && !bears("flat-out") {
        wrong
            .push("twice the highest rate was borne: the host was busy while that was looked for".to_owned());
    }
    wrong
}

/// The guest's lines.
///
/// # Errors
/// A line is none, or a step is missing: why.
pub fn read(text: &str) -> Result<Vec<Step>, String> {
    let steps: Vec<Step> = text
        .lines()
        .map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}")))
        .collect::<Result<_, _>>()?;
    for name in ["flat-out", "idle", "tenth", "half", "highest", "twice", "five-times", "ten-times"] {
        if !steps.iter().any(|step| step.name == name) {
            return Err(format!("there is no step {name}"));
        }
    }
    Ok(steps)
}

/// Where the lines are kept.
pub fn kept() -> PathBuf {
    root().join("target/storm/steps.jsonl")
}

/// Boots, has the storm blow, keeps its lines.
///
/// # Errors
/// The guest did not come to its end: why, in one line.
///
/// # Panics
/// The guest's program was not built.
pub fn blow() -> Result<Vec<Step>, String> {
    let bench = Bench::new();
    let folder = bench.at("demo");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for name in ["run", "prepare", "storm"] {
        fs::copy(suite::program().with_file_name("aegis-storm"), folder.join(name)).expect("it was built");
    }
    let rules = [
        Rule { name: "watch", action: "audit", operations: &["open"], paths: &[FILE] },
        Rule { name: "no-shadow", action: "deny", operations: &["open"], paths: &["/etc/shadow"] },
    ];
    let policy = bench.policy("storm", "enforce", &rules);
    let machine = bench.machine().workload(folder).policy(policy).timeout(PATIENCE);
    let (_slot, vm) = Bench::start(machine);
    let run = vm.finish().map_err(|error| error.to_string())?;
    let out = Bench::lines(&run, &kept())?;
    if run.status["mode"] != "enforcing" {
        return Err(format!("void: the mode was {}", run.status["mode"]));
    }
    read(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books(seen: u64, written: u64, lost: u64, slow: u64) -> String {
        let metrics = format!(
            "[\"aegis_event_latency_seconds_bucket{{le=\\\"0.1\\\"}} {}\",\"aegis_event_latency_seconds_bucket{{le=\\\"+Inf\\\"}} {written}\"]",
            written - slow
        );
        format!(
            "{{\"accounts\":{{\"seen\":{seen},\"written\":{written},\"lost\":{{\"kernel-ring-full\":{lost}}},\"in_flight\":0}},\"agent_cpu\":0,\"metrics\":{metrics}}}"
        )
    }

    fn step(made: u64, after: &str) -> Step {
        let before = books(100, 100, 0, 0);
        let line = format!(
            "{{\"step\":\"half\",\"rate\":5,\"seconds\":2.0,\"made\":{made},\"before\":{before},\"after\":{after}}}"
        );
        serde_json::from_str(&line).expect("a step")
    }

    /// Ten seconds of a step: `made` opens were seen, and so many lost.
    pub(super) fn step_of(name: &str, rate: u64, made: u64, lost: u64) -> Step {
        let step = step(made, &books(100 + made, 100 + made - lost, lost, 0));
        Step { name: name.to_owned(), rate, seconds: 10.0, ..step }
    }

    #[test]
    fn what_was_seen_is_on_the_disk_or_lost_by_cause() {
        let good = step(1_000, &books(1_110, 1_109, 1, 2));
        assert_eq!(good.wrong(), Vec::<String>::new());
        assert!(good.is_borne());
        assert_eq!(good.lost(), [("kernel-ring-full".to_owned(), 1)]);
        // 1,009 events; two took longer than the first bound.
        assert_eq!(good.latency(998), Some("0.1"));
        assert_eq!(good.latency(999), Some("+Inf"));
        assert!(!step(1_000, &books(1_110, 1_108, 2, 0)).is_borne(), "two in a thousand");
        assert_eq!(step(1_000, &books(1_110, 1_108, 1, 0)).wrong().len(), 1, "one is nowhere");
        assert_eq!(step(1_011, &books(1_110, 1_110, 0, 0)).wrong().len(), 1, "one was not seen");
        let named = |name: &str, lost| Step {
            name: name.to_owned(),
            ..step(1_000, &books(1_110, 1_110 - lost, lost, 0))
        };
        assert_eq!(wrong(&[named("flat-out", 100), named("twice", 100)]), Vec::<String>::new());
        assert_eq!(wrong(&[named("flat-out", 100), named("twice", 0)]).len(), 1);
        assert_eq!(wrong(&[named("flat-out", 0), named("twice", 0)]), Vec::<String>::new());
    }

    #[test]
    fn the_highest_rate_is_one_that_was_held() {
        let highest = |lost, seconds| {
            let step = step(1_000, &books(1_110, 1_110 - lost, lost, 0));
            Step { name: "highest".to_owned(), seconds, ..step }
        };
        assert_eq!(wrong(&[highest(1, 10.0)]), Vec::<String>::new());
        assert_eq!(wrong(&[highest(50, 10.0)]).len(), 1, "five in a hundred are lost");
        assert_eq!(wrong(&[highest(0, 5.0)]).len(), 1, "five seconds are a search's");
    }
}
