//! Alerts of the policy in force: the process that evaluates them, and what it leaves for others (`docs/alerts.md`).
//!
//! - [`watch`]: looks at the figures every few seconds, has [`aegis_alerts::Engine`] judge them, and tells what changes.
//! - [`confine`]: what system calls it keeps.
//! - [`outputs`]: console, kernel log, light.
//! - [`Report`]: `/run/aegis/alerts`, all alerts as of the last look, postcard.

mod confine;
mod outputs;
#[cfg(test)]
mod tests;
pub(crate) mod watch;

use std::io;
use std::path::Path;

use aegis_alerts::{Phase, Row};
use aegis_event::{Severity, Thousandths};
use aegis_policy::Outputs;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::object;
use crate::limits;
use crate::storage::device::boottime;
use crate::storage::{RUN, atomic};

const FILE: &str = "alerts";
/// What a stick carries home of it.
pub(crate) const STICK_FILE: &str = "alerts.json";

/// All alerts, as of one look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report<'a> {
    /// When it was, `CLOCK_BOOTTIME` ns.
    pub(crate) at: u64,
    /// Sequence of the policy that they are of.
    pub(crate) sequence: u64,
    /// More series than are remembered: alerts on how figures move may have missed some.
    pub(crate) crowded: bool,
    #[serde(borrow)]
    pub(crate) alerts: Vec<Told<'a>>,
}

/// One alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told<'a> {
    pub(crate) name: &'a str,
    severity: u8,
    phase: u8,
    /// `CLOCK_BOOTTIME` ns; 0: since the first look.
    pub(crate) since: u64,
    /// Thousandths.
    pub(crate) value: Option<i64>,
    /// False: the figure could not be read, or this device does not have the metric.
    pub(crate) known: bool,
    outputs: u8,
    pub(crate) metric: &'a str,
    /// `label=value`, with commas.
    pub(crate) series: &'a str,
    pub(crate) meaning: &'a str,
    pub(crate) mend: &'a str,
}

impl<'a> Told<'a> {
    fn of(row: &Row<'a>) -> Self {
        Self {
            name: row.alert.name,
            severity: row.alert.severity.number(),
            phase: row.state.phase as u8,
            since: row.state.since,
            value: row.value,
            known: row.known,
            outputs: row.alert.outputs.bits(),
            metric: row.alert.metric,
            series: row.series,
            meaning: row.alert.meaning,
            mend: row.alert.mend,
        }
    }

    pub(crate) fn severity(&self) -> Severity {
        Severity::from_number(self.severity).unwrap_or(Severity::Critical)
    }

    pub(crate) const fn phase(&self) -> Phase {
        match self.phase {
            0 => Phase::Inactive,
            1 => Phase::Pending,
            _ => Phase::Firing,
        }
    }

    pub(crate) fn is_firing(&self) -> bool {
        self.phase() == Phase::Firing
    }

    /// It is so bad that the device is not well.
    pub(crate) fn is_bad(&self) -> bool {
        self.is_firing() && self.severity() == Severity::Critical
    }

    /// The figure, and whose it is.
    pub(crate) fn figure(&self) -> String {
        figure(self.value, self.series)
    }

    fn has(&self, output: Outputs) -> bool {
        Outputs::from_bits(self.outputs).is_some_and(|outputs| outputs.contains(output))
    }

    #[expect(clippy::cast_precision_loss, reason = "as JSON has numbers")]
    fn to_json(self) -> Value {
        let texts = [
            ("name", self.name),
            ("severity", self.severity().name()),
            ("state", self.phase().name()),
            ("metric", self.metric),
            ("series", self.series),
            ("meaning", self.meaning),
            ("mend", self.mend),
        ];
        let others = [
            ("since_ns", self.since.into()),
            ("value", self.value.map(|value| value as f64 / 1000.0).into()),
            ("known", self.known.into()),
        ];
        object(&mut texts.into_iter().map(|(name, text)| (name, text.into())).chain(others))
    }
}

/// `12.5 of workload=agent-7`.
fn figure(value: Option<i64>, series: &str) -> String {
    let value = value.map_or_else(|| "no figure".into(), |value| Thousandths(value).to_string());
    if series.is_empty() { value } else { format!("{value} of {series}") }
}

impl<'a> Report<'a> {
    /// The file's bytes.
    ///
    /// # Errors
    /// There is none before the first look of a boot: `NotFound`.
    pub(crate) fn read() -> io::Result<Vec<u8>> {
        atomic::read_bounded(&Path::new(RUN).join(FILE), limits::ALERTS_BYTES as u64)
    }

    /// What they say.
    pub(crate) fn of(bytes: &'a [u8]) -> io::Result<Self> {
        crate::run::control::strict(bytes)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "damaged"))
    }

    fn save(&self, directory: &Path, room: &mut [u8]) -> io::Result<()> {
        let bytes = postcard::to_slice(self, room).map_err(io::Error::other)?;
        atomic::replace(directory, FILE, bytes, 0o644).map(drop)
    }

    /// How long ago it was made, ns.
    pub(crate) fn age(&self) -> u64 {
        boottime().saturating_sub(self.at)
    }

    /// Nobody looks any more.
    pub(crate) fn is_stale(&self) -> bool {
        self.age() > limits::ALERTS_STILL_SECONDS * 1_000_000_000
    }

    pub(crate) fn to_json(&self) -> Value {
        self.json_of(&mut self.alerts.iter())
    }

    /// Those that are to be on a stick, as its file has them.
    pub(crate) fn for_stick(&self) -> Value {
        self.json_of(&mut self.alerts.iter().filter(|alert| alert.has(Outputs::STICK)))
    }

    fn json_of(&self, alerts: &mut dyn Iterator<Item = &Told<'a>>) -> Value {
        let fields = [
            ("at_ns", self.at.into()),
            ("stale", self.is_stale().into()),
            ("policy_sequence", self.sequence.into()),
            ("crowded", self.crowded.into()),
            ("alerts", Value::Array(alerts.map(|alert| alert.to_json()).collect())),
        ];
        object(&mut fields.into_iter())
    }
}
