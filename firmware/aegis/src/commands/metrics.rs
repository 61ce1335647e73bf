//! `aegis metrics`: all that is measured, in the Prometheus text format. The contract is `docs/metrics.md`, from
//! [`aegis_metrics::Id`].
//!
//! A process that comes and goes: it asks the agent for what only that knows, and reads the rest itself. A value that can't be read
//! is absent and never 0, and its source is said to have failed.

mod agent;
mod decided;
mod probes;
mod system;
#[cfg(test)]
mod tests;
mod workloads;

use std::fmt::Display;
use std::path::Path;

use aegis_event::Level;
use aegis_metrics::{Exposition, Id, Source, Tap, Value};

use super::policy_status;
use crate::alerts::Report;
use crate::kernel::KernelState;
use crate::limits;
use crate::outcome::{Failure, Outcome};
use crate::storage::device::boottime;
use crate::storage::{atomic, facts};

/// Prints it, or replaces a file with it in one step. Exit 0 also when something could not be read: the answer says so.
pub(crate) fn run(out: Option<&Path>) -> Outcome {
    let mut text = String::new();
    gather(&mut text, None, &mut Kept::default())?;
    let Some(out) = out else {
        return crate::outcome::say(text.trim_end());
    };
    let failed = |error: &dyn Display| Failure::error(format!("{}: {error}", out.display()));
    let name =
        out.file_name().and_then(|name| name.to_str()).ok_or_else(|| failed(&"not the name of a file"))?;
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    atomic::replace(folder, name, text.as_bytes(), 0o644).map(drop).map_err(|error| failed(&error))
}

/// What takes long to find out: who asks all the while finds it out again only when it is older than that.
#[derive(Default)]
pub(crate) struct Kept {
    ring: Lasting<(u64, Option<u64>)>,
    policy: Lasting<policy_status::Measures>,
    /// Sources that could not be read the last time: that was said.
    failed: [bool; Source::ALL.len()],
}

impl Kept {
    /// It is found out again.
    pub(crate) fn forget(&mut self) {
        *self = Self { failed: self.failed, ..Self::default() };
    }
}

/// Something, and when it was found out.
struct Lasting<T>(Option<(u64, T)>);

impl<T> Default for Lasting<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Lasting<T> {
    /// What it is, and how old, ns. What can't be read is read again at the next time.
    fn get<E>(&mut self, read: impl FnOnce() -> Result<T, E>) -> Result<(&T, u64), E> {
        let now = boottime();
        let fresh =
            |(at, _): &(u64, T)| now.saturating_sub(*at) < limits::ALERTS_SLOW_SECONDS * 1_000_000_000;
        let found = match self.0.take().filter(fresh) {
            Some(found) => found,
            None => (now, read()?),
        };
        let (at, found) = self.0.insert(found);
        Ok((found, now.saturating_sub(*at)))
    }
}

/// Puts all of it into `text`, in place of what is there.
///
/// # Errors
/// The text can't be made.
pub(crate) fn gather<'a>(
    text: &'a mut String,
    tap: Option<&'a mut (dyn Tap + 'a)>,
    kept: &mut Kept,
) -> Result<(), Failure> {
    let begun = boottime();
    text.clear();
    let mut all =
        Answer { out: Exposition::heard(text, tap), failed: [false; Source::ALL.len()], told: kept.failed };
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    let variant: &[u8] = if facts::is_debug() { b"debug" } else { b"production" };
    all.out.family(Id::BuildInfo).put(&[version, variant], Value::count(1));
    agent::gather(&mut all, &mut kept.ring);
    let probes = all.read(Source::Probes, KernelState::open());
    if let Some(probes) = &probes {
        probes::gather(&mut all, probes);
    }
    decided::gather(&mut all, probes.as_ref(), &mut kept.policy);
    system::gather(&mut all);
    if let Some(probes) = &probes {
        workloads::gather(&mut all, probes);
    }
    workloads::signed(&mut all);
    alerts(&mut all);
    let mut errors = all.out.family(Id::ScrapeError);
    for (source, failed) in Source::ALL.into_iter().zip(all.failed) {
        errors.put(&[source.name().as_bytes()], Value::flag(failed));
    }
    all.out.one(Id::ScrapeSeconds, Value::nanos(boottime().saturating_sub(begun)));
    kept.failed = all.failed;
    all.out.finish().map_err(|error| Failure::error(format!("metrics: {error}")))?;
    Ok(())
}

/// What the watcher of alerts last found. Before its first look there is nothing.
fn alerts(all: &mut Answer<'_>) {
    let bytes = match Report::read() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        read => read,
    };
    let Some(bytes) = all.read(Source::Alerts, bytes) else { return };
    let Some(report) = all.read(Source::Alerts, Report::of(&bytes)) else { return };
    let mut firing = all.out.family(Id::AlertFiring);
    for alert in &report.alerts {
        let labels = [alert.name.as_bytes(), alert.severity().name().as_bytes()];
        firing.put(&labels, Value::flag(alert.is_firing()));
    }
    all.out.one(Id::AlertsAge, Value::nanos(report.age()));
}

/// What is said, and what could not be.
struct Answer<'w> {
    out: Exposition<'w>,
    failed: [bool; Source::ALL.len()],
    /// Of whom it is known already.
    told: [bool; Source::ALL.len()],
}

impl Answer<'_> {
    /// What was read, unless it could not be: that is said.
    fn read<T, E: Display>(&mut self, source: Source, read: Result<T, E>) -> Option<T> {
        match read {
            Ok(read) => Some(read),
            Err(error) => {
                self.fail(source, &error);
                None
            }
        }
    }

    fn fail(&mut self, source: Source, error: &dyn Display) {
        let again = std::mem::replace(&mut self.failed[source as usize], true) || self.told[source as usize];
        if !again {
            log::warn!("metrics: {}: {error}", source.name());
        }
    }
}

/// The ring takes nothing until there is an export.
fn is_full(level: Level) -> bool {
    level == Level::Full
}
