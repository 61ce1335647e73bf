//! `aegis alerts`: the alerts of the policy in force, as the watcher last found them.

use core::fmt::Write as _;
use std::io;

use aegis_alerts::Phase;
use aegis_event::Severity;

use super::finding::Finding;
use crate::alerts::{Report, Told};
use crate::limits;
use crate::outcome::{Failure, Outcome, say};
use crate::storage::device::boottime;

const STILL: &str = "alerts-still";
const MEND: &str = "`aegis alerts` says more";
const AGAIN: &str = "it is started again by itself, or by a reboot";

/// Exit 0 when no critical one fires, 1 when one does or nobody looks any more.
pub(crate) fn run(json: bool) -> Outcome {
    let bytes = Report::read().map_err(|error| {
        Failure::refused(format!(
            "{STILL}: nobody evaluates alerts: {error} (is `aegis alerts watch` running?)"
        ))
    })?;
    let report = Report::of(&bytes).map_err(|error| Failure::error(format!("alerts: {error}")))?;
    say(&if json { report.to_json().to_string() } else { text(&report) })?;
    if report.is_stale() {
        let seconds = report.age() / 1_000_000_000;
        return Err(Failure::refused(format!("{STILL}: the last look is {seconds} s old")));
    }
    let bad: Vec<&str> =
        report.alerts.iter().filter(|alert| alert.is_bad()).map(|alert| alert.name).collect();
    if bad.is_empty() { Ok(()) } else { Err(Failure::refused(format!("firing: {}", bad.join(", ")))) }
}

/// What fires first, and of that what is worst: by looking for each, as sorting would bring 5 KiB of program with it.
fn text(report: &Report<'_>) -> String {
    if report.alerts.is_empty() {
        return format!("policy {} has no alerts", report.sequence);
    }
    let mut text = String::new();
    for phase in [Phase::Firing, Phase::Pending, Phase::Inactive] {
        for severity in [Severity::Critical, Severity::Warning, Severity::Info] {
            let alerts = report.alerts.iter();
            for alert in alerts.filter(|alert| alert.phase() == phase && alert.severity() == severity) {
                line(&mut text, alert);
            }
        }
    }
    text.truncate(text.trim_end().len());
    text
}

fn line(text: &mut String, alert: &Told<'_>) {
    let state = if alert.known { alert.phase().name() } else { "unknown" };
    // Writing to a String can't fail.
    let _ = write!(text, "{state:8} {:8} {}: {}", alert.severity().name(), alert.name, alert.figure());
    if alert.is_firing() {
        let _ = write!(text, ": {}; {}", alert.meaning, alert.mend);
    }
    text.push('\n');
}

/// What health has to say of them.
pub(super) fn findings() -> Vec<Finding> {
    use super::finding::Severity::{Bad, Note};
    let finding = |code, severity, meaning, mend| Finding { code, severity, meaning, mend };
    let still = |why: String| vec![finding(STILL, Bad, format!("nobody evaluates alerts: {why}"), AGAIN)];
    let bytes = match Report::read() {
        Ok(bytes) => bytes,
        // The watcher begins when the agent does.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let late = boottime() > limits::ALERTS_BEGIN_SECONDS * 1_000_000_000;
            return if late { still("it has not begun".to_owned()) } else { Vec::new() };
        }
        Err(error) => return still(error.to_string()),
    };
    match Report::of(&bytes) {
        Err(error) => still(error.to_string()),
        Ok(report) if report.is_stale() => {
            still(format!("the last look is {} s old", report.age() / 1_000_000_000))
        }
        Ok(report) => report
            .alerts
            .iter()
            .filter(|alert| alert.is_firing())
            .map(|alert| {
                // Never bad by itself: it fires on for a while when what it is about is over, and what is wrong now has findings of its own.
                let meaning =
                    format!("{} fires, {}: {}; {}", alert.name, alert.figure(), alert.meaning, alert.mend);
                finding("alert-firing", Note, meaning, MEND)
            })
            .collect(),
    }
}
