//! `aegis doctor`: is everything there that Aegis needs, and as it should be? Of kernel, disks, image, keys, policy and agent, what
//! is, and what of it is not as it should be, with a meaning and a mend.
//!
//! What is judged is a [`Facts`], and how is a pure function of it: [`findings::findings`]. What `aegis health` finds is found here,
//! too. Works also when no agent runs and nothing is loaded; changes nothing.

mod codes;
mod facts;
mod findings;
mod options;
mod show;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use self::facts::Facts;
use super::finding::{Finding, bad_codes, colour};
use crate::outcome::{Failure, Outcome, say};

/// Exit 0 when nothing is bad and nothing that counts is unknown, else 1.
pub(crate) fn run(as_json: bool) -> Outcome {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::error("doctor: only root is told all of it (run it as root)"));
    }
    let (facts, findings) = look();
    let bad = bad_codes(&findings);
    say(&if as_json {
        to_json(&facts, &findings).to_string()
    } else {
        let mut lines = vec![if bad.is_empty() { "WELL" } else { "UNWELL" }.to_owned()];
        lines.extend(show::lines(&facts));
        let colour = colour();
        lines.extend(findings.iter().map(|finding| finding.line(colour)));
        lines.join("\n")
    })?;
    if bad.is_empty() { Ok(()) } else { Err(Failure::refused(format!("unwell: {}", bad.join(", ")))) }
}

/// What it finds, as JSON.
pub(super) fn json() -> Value {
    let (facts, findings) = look();
    to_json(&facts, &findings)
}

fn look() -> (Facts, Vec<Finding>) {
    let facts = Facts::gather();
    let findings = findings::findings(&facts);
    (facts, findings)
}

fn to_json(facts: &Facts, findings: &[Finding]) -> Value {
    json!({
        "verdict": if bad_codes(findings).is_empty() { "well" } else { "unwell" },
        "findings": findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
        "facts": show::to_json(facts),
    })
}
