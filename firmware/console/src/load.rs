//! What workloads take: from two answers of `aegis metrics` (docs/metrics.md), rates; sorted.

use std::collections::BTreeMap;

use crate::limits;
use crate::text::plain;

/// Counters and gauges of one workload.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sums {
    events: Option<f64>,
    denials: Option<f64>,
    cpu: Option<f64>,
    memory: Option<f64>,
    pids: Option<f64>,
    kills: Option<f64>,
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Measured {
    by_name: BTreeMap<String, Sums>,
    /// There are more workloads than are kept, or more lines than are looked at.
    pub(crate) more: bool,
    /// The agent did not answer: what is not the kernel's own count is missing.
    pub(crate) alone: bool,
}

impl Measured {
    /// Reads the text. What is no sample of a metric that is shown is passed over.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut all = Self::default();
        let mut lines = bytes.split(|byte| *byte == b'\n');
        for line in lines.by_ref().take(limits::METRICS_LINES) {
            all.alone |= line == b"aegis_agent_up 0";
            if !line.starts_with(b"aegis_workload_") {
                continue;
            }
            if let Some(sample) = str::from_utf8(line).ok().and_then(Sample::of) {
                all.add(&sample);
            }
        }
        all.more |= lines.next().is_some();
        all
    }

    fn add(&mut self, sample: &Sample<'_>) {
        let name = plain(&sample.workload, limits::WORD);
        if !self.by_name.contains_key(&name) && self.by_name.len() >= limits::WORKLOADS {
            self.more = true;
            return;
        }
        let pick: fn(&mut Sums) -> &mut Option<f64> = match sample.metric {
            "aegis_workload_events_total" => |sums| &mut sums.events,
            "aegis_workload_denials_total" => |sums| &mut sums.denials,
            "aegis_workload_cpu_seconds_total" => |sums| &mut sums.cpu,
            "aegis_workload_memory_bytes" => |sums| &mut sums.memory,
            "aegis_workload_pids" => |sums| &mut sums.pids,
            "aegis_workload_oom_kills_total" => |sums| &mut sums.kills,
            _ => return,
        };
        let sums = self.by_name.entry(name).or_default();
        // Of user and system: both.
        *pick(sums) = Some(pick(sums).unwrap_or_default() + sample.value);
    }
}

/// `METRIC{label="value",…} VALUE`
struct Sample<'l> {
    metric: &'l str,
    workload: String,
    value: f64,
}

impl<'l> Sample<'l> {
    fn of(line: &'l str) -> Option<Self> {
        let (metric, rest) = line.split_once('{')?;
        let mut rest = rest;
        let mut workload = None;
        loop {
            let (label, behind) = rest.split_once("=\"")?;
            let (value, behind) = quoted(behind)?;
            if label == "workload" {
                workload = Some(value);
            }
            if let Some(more) = behind.strip_prefix(',') {
                rest = more;
                continue;
            }
            let value: f64 = behind.strip_prefix("} ")?.split(' ').next()?.parse().ok()?;
            let value = Some(value).filter(|value| value.is_finite() && *value >= 0.0)?;
            return Some(Self { metric, workload: workload?, value });
        }
    }
}

/// Up to the closing quote: the text, and what is behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                other => out.push(other),
            },
            _ => out.push(c),
        }
    }
    None
}

/// What a row is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum By {
    #[default]
    Denials,
    Cpu,
    Memory,
    Events,
    Name,
}

impl By {
    /// All of them, in the order in which a key goes through them.
    pub(crate) const ALL: [Self; 5] = [Self::Denials, Self::Cpu, Self::Memory, Self::Events, Self::Name];

    /// Its word on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Denials => "denials",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Events => "events",
            Self::Name => "name",
        }
    }

    /// By its word.
    pub(crate) fn from_name(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.name() == word)
    }

    /// The one after it.
    #[must_use]
    pub(crate) fn next(self) -> Self {
        let at = Self::ALL.iter().position(|by| *by == self).unwrap_or_default();
        Self::ALL[(at + 1) % Self::ALL.len()]
    }
}

/// One workload. What is not known is none: also a rate before there are two answers, and of a counter that began anew.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Percent of one processor.
    pub(crate) cpu: Option<f64>,
    pub(crate) memory: Option<f64>,
    pub(crate) pids: Option<f64>,
    /// A second.
    pub(crate) events: Option<f64>,
    pub(crate) denials: Option<f64>,
    /// Since the probes were loaded.
    pub(crate) denied: Option<f64>,
    /// Killed for want of memory.
    pub(crate) kills: Option<f64>,
}

impl Row {
    /// As an object of JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "workload": self.name,
            "cpu_percent": self.cpu,
            "memory_bytes": self.memory,
            "pids": self.pids,
            "events_per_second": self.events,
            "denials_per_second": self.denials,
            "denials": self.denied,
            "oom_kills": self.kills,
        })
    }
}

/// Rows of the answer `now`, with rates since `before`, so many seconds ago.
pub(crate) fn rows(before: Option<&Measured>, now: &Measured, seconds: f64, by: By) -> Vec<Row> {
    let mut rows: Vec<Row> = now
        .by_name
        .iter()
        .map(|(name, sums)| {
            let old = before.and_then(|before| before.by_name.get(name));
            let rate = |pick: fn(&Sums) -> Option<f64>| {
                let (old, new) = (old.and_then(pick)?, pick(sums)?);
                (seconds > 0.0 && new >= old).then(|| (new - old) / seconds)
            };
            Row {
                name: name.clone(),
                cpu: rate(|sums| sums.cpu).map(|rate| rate * 100.0),
                memory: sums.memory,
                pids: sums.pids,
                events: rate(|sums| sums.events),
                denials: rate(|sums| sums.denials),
                denied: sums.denials,
                kills: sums.kills,
            }
        })
        .collect();
    // The names are in order: what is equal stays so.
    rows.sort_by(|a, b| {
        let pick = |row: &Row| match by {
            By::Denials => [row.denials, row.denied],
            By::Cpu => [row.cpu, None],
            By::Memory => [row.memory, None],
            By::Events => [row.events, None],
            By::Name => [None, None],
        };
        let of = |row: &Row| pick(row).map(|value| value.unwrap_or(-1.0));
        let (a, b) = (of(a), of(b));
        b[0].total_cmp(&a[0]).then(b[1].total_cmp(&a[1]))
    });
    rows
}

/// The columns of a table, and their heads; 80 wide.
pub(crate) const HEAD: &str =
    "workload                   cpu %    memory  tasks  events/s  denied/s    denied";

/// A row as it stands below [`HEAD`].
pub(crate) fn line(row: &Row) -> String {
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
    };
    // Whole bytes.
    #[allow(clippy::cast_sign_loss)]
    let memory = row.memory.map_or_else(|| "-".to_owned(), |bytes| crate::text::size(bytes as u64));
    let name = match row.name.as_str() {
        "*" => "(no workload)".to_owned(),
        name => crate::text::clip(name, 24),
    };
    format!(
        "{name:<24} {:>7} {memory:>9} {:>6} {:>9} {:>9} {:>9}",
        number(row.cpu, 1),
        number(row.pids, 0),
        number(row.events, 1),
        number(row.denials, 1),
        number(row.denied, 0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# HELP x\naegis_workload_events_total{workload=\"demo\"} 100\naegis_workload_denials_total{workload=\"demo\"} 10\n\
        aegis_workload_cpu_seconds_total{workload=\"demo\",mode=\"user\"} 1\naegis_workload_cpu_seconds_total{workload=\"demo\",mode=\"system\"} 1\n\
        aegis_workload_events_total{workload=\"*\"} 50\n";
    const NOW: &str = "aegis_workload_events_total{workload=\"demo\"} 150\naegis_workload_denials_total{workload=\"demo\"} 20\n\
        aegis_workload_cpu_seconds_total{workload=\"demo\",mode=\"user\"} 2.5\naegis_workload_cpu_seconds_total{workload=\"demo\",mode=\"system\"} 1.5\n\
        aegis_workload_memory_bytes{workload=\"demo\"} 31457280\naegis_workload_pids{workload=\"demo\"} 3\n\
        aegis_workload_events_total{workload=\"*\"} 10\naegis_workload_events_total{workload=\"a\\\"b\\\\x1b\"} 1\n";

    #[test]
    fn rates_are_of_two_answers() {
        assert!(Measured::of(b"aegis_agent_up 0\n").alone && !Measured::of(b"aegis_agent_up 1\n").alone);
        let (before, now) = (Measured::of(BEFORE.as_bytes()), Measured::of(NOW.as_bytes()));
        let rows = rows(Some(&before), &now, 10.0, By::Denials);
        assert_eq!(rows[0].name, "demo");
        assert_eq!((rows[0].events, rows[0].denials, rows[0].cpu), (Some(5.0), Some(1.0), Some(20.0)));
        // It began anew: no rate is better than a wrong one.
        let none = rows.iter().find(|row| row.name == "*").expect("there");
        assert_eq!((none.events, none.cpu), (None, None));
        assert!(rows.iter().any(|row| row.name == "a\"b\\\\x1b"), "{rows:?}");
        for row in &rows {
            assert_eq!(line(row).len(), HEAD.len(), "{}", line(row));
        }
        assert_eq!(
            line(&rows[0]),
            "demo                        20.0    30 MiB      3       5.0       1.0        20"
        );
    }

    #[test]
    fn what_is_no_sample_is_passed_over() {
        let none = "aegis_workload_events_total 7\naegis_workload_events_total{workload=\"a\" 1\n\
            aegis_workload_events_total{workload=\"a\"} x\naegis_workload_events_total{workload=\"a\"} -1\n\
            aegis_workload_events_total{workload=\"a\"} NaN\naegis_workload_events_total{workload=\"a\naegis_workload_other{workload=\"b\"} 1\n";
        assert!(rows(None, &Measured::of(none.as_bytes()), 1.0, By::Name).is_empty());
        let many: Vec<String> =
            (0..1000).map(|n| format!("aegis_workload_pids{{workload=\"w{n}\"}} 1")).collect();
        let all = Measured::of(many.join("\n").as_bytes());
        assert!(all.more && all.by_name.len() == limits::WORKLOADS);
    }
}
