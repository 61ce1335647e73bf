//! What the guest said of its blocks, and which of them prove nothing.

use std::collections::BTreeMap;

use aegis_suite::cost::{ASKED, AUDIT, CALLS, NONE, WORKLOAD};
use serde::Deserialize;
use serde_json::Value;

/// Of what happened in a block at most so much may be lost on the way to the disk, in thousandths: a record that has no room
/// costs less than one that has.
const LOST_PERMILLE: f64 = 1.0;

/// Times of calls, ns; in a guest whose time is its instructions, those.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// How many.
    pub n: u64,
    /// All together.
    pub sum: u64,
    /// The least.
    pub least: u64,
    /// Half of them do not exceed it.
    pub p50: u64,
    /// 95 of 100.
    pub p95: u64,
    /// 99 of 100.
    pub p99: u64,
    /// The greatest.
    pub most: u64,
}

/// A load.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// From its start to its end.
    pub wall: u64,
    /// Processor time of its processes.
    pub cpu: u64,
    /// Its system calls.
    pub syscalls: Times,
}

/// What the operator says before and after a block.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Books {
    /// Programs that hang on something in the kernel.
    pub links: u64,
    /// How often the probes' programs were run while the kernel counted that: while what is denied was asked for.
    pub runs: u64,
    /// There is an agent.
    pub agent: bool,
    /// Its processor time, ns.
    #[serde(default)]
    pub agent_cpu: u64,
    /// `aegis status --json`.
    #[serde(default)]
    pub status: Value,
    /// Lines of `aegis metrics`.
    #[serde(default)]
    metrics: Vec<String>,
}

impl Books {
    /// The figures of this metric, by the labels as they are written.
    fn family<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.metrics.iter().filter_map(move |line| {
            let (labels, figure) = line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} ")?;
            Some((labels, figure.parse().ok()?))
        })
    }

    /// The sum of this metric over the series that have this label.
    pub fn sum(&self, name: &str, label: &str) -> f64 {
        self.family(name)
            .filter(|(labels, _)| labels.split(',').any(|own| own == label))
            .map(|(_, figure)| figure)
            .sum()
    }

    /// Runs and seconds of each hook.
    fn hooks(&self) -> BTreeMap<String, [f64; 2]> {
        let mut all: BTreeMap<String, [f64; 2]> = BTreeMap::new();
        for (which, name) in
            ["aegis_hook_invocations_total", "aegis_hook_run_seconds_total"].into_iter().enumerate()
        {
            for (labels, figure) in self.family(name) {
                let hook = labels.trim_start_matches("hook=").trim_matches('"');
                all.entry(hook.to_owned()).or_default()[which] = figure;
            }
        }
        all
    }
}

/// A block.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Its place.
    pub block: usize,
    /// `measure` or `hooks`.
    pub kind: String,
    /// What was so in it.
    pub state: String,
    /// Before anything was measured.
    before: Books,
    /// How often what a rule denies was denied, read, or something else came of it.
    secret: [u64; 3],
    /// The calls, by case.
    pub cases: BTreeMap<String, Times>,
    /// The loads.
    pub loads: BTreeMap<String, Load>,
    /// After everything.
    after: Books,
}

/// What was counted in a block.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    /// Events that the kernel made of what the workload did.
    pub events: f64,
    /// Decisions that a rule made (audited or denied) and that none made, of those that came to the ring.
    pub matched: f64,
    /// See `matched`.
    pub unmatched: f64,
    /// Accesses of the workload that were denied.
    pub denied: f64,
    /// Events of the workload that were lost.
    pub lost: f64,
    /// Events that came to the ring, of whomever.
    pub written: f64,
    /// Processor time of the agent, ns.
    pub agent_cpu: f64,
}

impl Block {
    /// What its books say.
    pub fn counted(&self) -> Counted {
        let workload = format!("workload=\"{WORKLOAD}\"");
        let more = |name: &str, label: &str| self.after.sum(name, label) - self.before.sum(name, label);
        let verdict = |verdict: &str| more("aegis_events_total", &format!("verdict=\"{verdict}\""));
        let written = |books: &Books| books.status["accounts"]["written"].as_f64().unwrap_or(0.0);
        Counted {
            events: more("aegis_workload_events_total", &workload),
            matched: verdict("audited") + verdict("denied"),
            unmatched: verdict("allowed"),
            denied: more("aegis_workload_denials_total", &workload),
            lost: more("aegis_workload_lost_events_total", &workload),
            written: written(&self.after) - written(&self.before),
            agent_cpu: self.after.agent_cpu as f64 - self.before.agent_cpu as f64,
        }
    }

    /// Runs of each hook in this block, and the time of one, ns (or instructions); those that ran.
    pub fn hooks(&self) -> BTreeMap<String, [f64; 2]> {
        let before = self.before.hooks();
        let mut all = self.after.hooks();
        for (hook, figures) in &mut all {
            let [runs, seconds] = before.get(hook).copied().unwrap_or_default();
            *figures = [figures[0] - runs, (figures[1] - seconds) * 1e9 / (figures[0] - runs)];
        }
        all.retain(|_, [runs, _]| *runs >= 1.0);
        all
    }

    /// Why its figures prove nothing; none: they stand.
    pub fn void(&self) -> Option<String> {
        let books = [&self.before, &self.after];
        let [denied, read, other] = self.secret;
        let n = |case: &str| self.cases.get(case).map_or(0, |times| times.n) as f64;
        if let Some((name, _)) = CALLS.iter().find(|(name, _)| n(name) == 0.0) {
            return Some(format!("{name} was not measured"));
        }
        if other != 0 || denied + read != ASKED {
            return Some(format!("of what is denied came something else: {:?}", self.secret));
        }
        let ran = self.after.runs.saturating_sub(self.before.runs);
        if self.state == NONE {
            return match () {
                () if books.iter().any(|books| books.agent || books.links != 0) => {
                    Some(format!("there was an agent, or {} programs hung on something", self.before.links))
                }
                () if ran != 0 => Some(format!("the probes ran {ran} times without an agent")),
                () if denied != 0 => Some(format!("something was denied without an agent: {denied}")),
                () => None,
            };
        }
        let [mode, seen] = if self.state == AUDIT { ["audit-only", "read"] } else { ["enforcing", "denied"] };
        for books in books {
            let hooks = books.status["hooks"].as_array().map_or(&[][..], Vec::as_slice);
            if hooks.is_empty() || hooks.iter().any(|hook| hook["attached"] == "missing") {
                return Some("a hook was missing".to_owned());
            }
            if !books.agent || books.links < hooks.len() as u64 {
                return Some(format!("{} programs hang on {} hooks", books.links, hooks.len()));
            }
            if books.status["mode"] != mode {
                return Some(format!("the mode was {}, not {mode}", books.status["mode"]));
            }
            if books.status["policy"]["hash"] != self.before.status["policy"]["hash"] {
                return Some("the policy changed meanwhile".to_owned());
            }
        }
        if ran < ASKED {
            return Some(format!("the probes ran {ran} times while {ASKED} files were opened"));
        }
        let counted = self.counted();
        if (if self.state == AUDIT { read } else { denied }) != ASKED {
            return Some(format!("what a rule denies was not {seen} each time: {:?}", self.secret));
        }
        let denials = if self.state == AUDIT { 0 } else { ASKED };
        if counted.denied as u64 != denials {
            return Some(format!("{} denials were counted, not {denials}", counted.denied));
        }
        let made =
            n("open") + n("open-watched") + n("connect") + n("connect-watched") + n("fork") + n("exec");
        if counted.events < made {
            return Some(format!("the hooks saw {} events, of {made} calls", counted.events));
        }
        if counted.lost * 1000.0 > counted.events * LOST_PERMILLE {
            return Some(format!("{} of {} events were lost", counted.lost, counted.events));
        }
        let [watched, plain] = [n("open-watched") + n("connect-watched"), n("open") + n("connect")];
        if counted.matched < watched - counted.lost || counted.unmatched < plain - counted.lost {
            return Some(format!(
                "{} decisions by a rule, of {watched} calls; {} by none, of {plain}",
                counted.matched, counted.unmatched
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::block_of;
