//! `aegis health`: does the device keep its promises now? One verdict, and a line for each thing that is not as it should be.
//!
//! What is judged is a [`Vitals`], and how is a pure function of it: [`findings::findings`].

mod findings;
#[cfg(test)]
mod tests;
mod vitals;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::findings::{Finding, findings, no_agent};
use self::vitals::{Settling, Vitals};
use super::{policy_status, workload};
use crate::config;
use crate::limits;
use crate::outcome::{Failure, Outcome, say};
use crate::run::control;
use crate::storage::facts;
use crate::storage::report::Report;
use crate::tpm::found::Found;

/// Exit 0 when the device is healthy, 1 when it is not: also when no agent answers.
pub(crate) fn run(json: bool) -> Outcome {
    let vitals = gather();
    let findings = vitals.as_ref().map_or_else(|error| vec![no_agent(error)], findings);
    let healthy = !findings.iter().any(|finding| finding.bad);
    let vitals = vitals.ok();
    say(&if json {
        to_json(vitals.as_ref(), &findings, healthy).to_string()
    } else {
        text(vitals.as_ref(), &findings, healthy)
    })?;
    if healthy {
        return Ok(());
    }
    let codes: Vec<_> = findings.iter().filter(|finding| finding.bad).map(|finding| finding.code).collect();
    Err(Failure::refused(format!("unhealthy: {}", codes.join(", "))))
}

/// Asks the agent until its books stand still or balance, and looks at what is not its own to know.
fn gather() -> Result<Vitals, String> {
    let ask = || control::ask_status().map_err(|error| error.to_string());
    let first = ask()?;
    let (began, longest) = (Instant::now(), Duration::from_millis(limits::HEALTH_MILLIS));
    let mut settling = Settling::default();
    let mut last = first.clone();
    let missing = loop {
        let seen = settling.look(began.elapsed(), &vitals::accounts(&last), last.ring.errors);
        match seen {
            Some(missing) => break missing,
            // They move: what is missing is on its way.
            None if began.elapsed() >= longest => break 0,
            None => std::thread::sleep(Duration::from_millis(limits::HEALTH_LOOK_MILLIS)),
        }
        last = ask()?;
    };
    let mut vitals = Vitals::of(&first, &last, &config::look());
    vitals.found_missing(missing);
    vitals.storage = Report::load();
    vitals.debug_image = facts::is_debug();
    vitals.tpm = Found::load();
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
    Ok(vitals)
}

fn to_json(vitals: Option<&Vitals>, findings: &[Finding], healthy: bool) -> Value {
    let findings: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "code": finding.code,
                "bad": finding.bad,
                "meaning": finding.meaning,
                "mend": finding.mend,
            })
        })
        .collect();
    json!({
        "verdict": if healthy { "healthy" } else { "unhealthy" },
        "findings": findings,
        "vitals": vitals.map(Vitals::to_json),
    })
}

fn text(vitals: Option<&Vitals>, findings: &[Finding], healthy: bool) -> String {
    let mut lines = vec![(if healthy { "HEALTHY" } else { "UNHEALTHY" }).to_owned()];
    lines.extend(vitals.map(Vitals::lines).unwrap_or_default());
    for Finding { code, bad, meaning, mend } in findings {
        lines.push(format!("{} {code}: {meaning}; {mend}", if *bad { "!!" } else { "--" }));
    }
    lines.join("\n")
}
