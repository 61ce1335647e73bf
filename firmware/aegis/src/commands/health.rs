//! `aegis health`: does the device keep its promises now? One verdict, and a line for each thing that is not as it should be; or
//! only whether the agent lives, whether the device is ready, or figures (docs/doctor.md says what each means).
//!
//! What is judged is a [`Vitals`], and how is a pure function of it: [`findings::findings`].

mod findings;
#[cfg(test)]
mod tests;
mod vitals;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::findings::{findings, unready};
use self::vitals::{Settling, Vitals};
use super::finding::{Finding, bad_codes, colour};
use super::{alerts, policy_status, site, workload};
use crate::config;
use crate::limits;
use crate::outcome::{Failure, Outcome, say};
use crate::run::control;
use crate::run::status::Status;
use crate::storage::facts;
use crate::storage::report::Report;
use crate::tpm::found::Found;

/// Of what is to be known, what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// All of it, judged.
    Whole,
    /// Does the agent answer?
    Live,
    /// Is a policy in force, and does the ring take events?
    Ready,
    /// Figures.
    Stats,
}

/// Exit 0 when the device is healthy (live, ready), 1 when it is not: also when no agent answers.
pub(crate) fn run(view: View, json: bool) -> Outcome {
    match view {
        View::Whole => {
            let (vitals, findings) = look();
            verdict(["healthy", "unhealthy"], &vitals, &findings, json)
        }
        View::Live => live(json),
        View::Ready => {
            let vitals = gather(Patience::Errors);
            let findings = unready(&vitals);
            verdict(["ready", "not-ready"], &vitals, &findings, json)
        }
        View::Stats => stats(json),
    }
}

/// What of the device is not as it should be.
pub(super) fn look_for_findings() -> Vec<Finding> {
    look().1
}

/// What is to be known of the device, and what of it is not as it should be.
fn look() -> (Vitals, Vec<Finding>) {
    let vitals = gather(Patience::Books);
    let findings = findings(&vitals);
    (vitals, findings)
}

/// What it finds, as JSON.
pub(super) fn json() -> Value {
    let (vitals, findings) = look();
    let word = if bad_codes(&findings).is_empty() { "healthy" } else { "unhealthy" };
    to_json(word, &vitals, &findings)
}

fn live(json: bool) -> Outcome {
    let asked = control::ask_status();
    let phase = asked.as_ref().map(|status| json!(status.phase)).unwrap_or_default();
    let live = asked.is_ok();
    say(&if json {
        json!({ "verdict": if live { "live" } else { "not-live" }, "phase": phase }).to_string()
    } else if live {
        format!("LIVE: the agent answers ({})", phase.as_str().unwrap_or_default())
    } else {
        "NOT-LIVE".to_owned()
    })?;
    asked.map(drop).map_err(|error| {
        Failure::refused(format!("no-agent: the agent does not answer: {error} (is `aegis run` running?)"))
    })
}

fn stats(json: bool) -> Outcome {
    let vitals = gather(Patience::None);
    if let Some(error) = &vitals.no_agent {
        return Err(Failure::refused(format!("no-agent: no figures: {error} (is `aegis run` running?)")));
    }
    say(&if json { vitals.to_json().to_string() } else { vitals.lines().join("\n") })
}

fn verdict([good, bad]: [&str; 2], vitals: &Vitals, findings: &[Finding], json: bool) -> Outcome {
    let codes = bad_codes(findings);
    let word = if codes.is_empty() { good } else { bad };
    say(&if json {
        to_json(word, vitals, findings).to_string()
    } else {
        text(word, vitals, findings, colour())
    })?;
    if codes.is_empty() { Ok(()) } else { Err(Failure::refused(format!("{word}: {}", codes.join(", ")))) }
}

/// How long figures that may be on their way are waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Not at all.
    None,
    /// Until the books balance, or stand still.
    Books,
    /// Until it is seen whether writes that failed fail still.
    Errors,
}

/// What the agent says, and what is not its own to know.
fn gather(patience: Patience) -> Vitals {
    let loaded = config::look();
    let mut vitals = ask(patience, &loaded)
        .unwrap_or_else(|error| Vitals { no_agent: Some(error.to_string()), ..Vitals::default() });
    vitals.config_fault.clone_from(&loaded.fault);
    vitals.storage = Report::load();
    vitals.debug_image = facts::is_debug();
    vitals.secure_boot_off = aegis_init::secure_boot_is_off();
    vitals.tpm = Found::load();
    vitals.site = site::Told::load().and_then(site::Told::down);
    vitals.alerts = alerts::findings();
    match workload::troubles() {
        Ok(troubles) => vitals.workloads = troubles,
        Err(error) => {
            vitals.workloads_unknown = Some(format!("what became of workloads is not known: {error}"));
        }
    }
    match policy_status::troubles() {
        Ok(troubles) => vitals.policy = troubles,
        Err(failure) => vitals.policy_unknown = Some(failure.to_string()),
    }
    vitals
}

/// Asks the agent, as often as it takes.
fn ask(patience: Patience, loaded: &config::Loaded) -> std::io::Result<Vitals> {
    let first = control::ask_status()?;
    if patience != Patience::Books {
        let mut last = first.clone();
        if patience == Patience::Errors && first.ring.errors > 0 {
            std::thread::sleep(Duration::from_millis(limits::HEALTH_ERRORS_MILLIS));
            last = control::ask_status()?;
        }
        return Ok(Vitals::of(&first, &last, loaded));
    }
    let (missing, last) = settle(&first)?;
    let mut vitals = Vitals::of(&first, &last, loaded);
    vitals.found_missing(missing);
    Ok(vitals)
}

/// Asks until the books stand still or balance: what is missing then, and the last answer.
fn settle(first: &Status) -> std::io::Result<(i128, Status)> {
    let (began, longest) = (Instant::now(), Duration::from_millis(limits::HEALTH_MILLIS));
    let mut settling = Settling::default();
    let mut last = first.clone();
    loop {
        let seen = settling.look(began.elapsed(), &vitals::accounts(&last), last.ring.errors);
        match seen {
            Some(missing) => return Ok((missing, last)),
            // They move: what is missing is on its way.
            None if began.elapsed() >= longest => return Ok((0, last)),
            None => std::thread::sleep(Duration::from_millis(limits::HEALTH_LOOK_MILLIS)),
        }
        last = control::ask_status()?;
    }
}

fn to_json(verdict: &str, vitals: &Vitals, findings: &[Finding]) -> Value {
    json!({
        "verdict": verdict,
        "findings": findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
        "vitals": vitals.no_agent.is_none().then(|| vitals.to_json()),
    })
}

fn text(verdict: &str, vitals: &Vitals, findings: &[Finding], colour: bool) -> String {
    let mut lines = vec![verdict.to_ascii_uppercase()];
    if vitals.no_agent.is_none() {
        lines.extend(vitals.lines());
    }
    lines.extend(findings.iter().map(|finding| finding.line(colour)));
    lines.join("\n")
}
