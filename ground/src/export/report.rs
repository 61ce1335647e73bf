//! The result of a verification, for programs (JSON) and for people (text).

use std::fmt::Write;

use aegis_event::{Cause, Printable};
use aegis_export::Ending;
use serde_json::{Value, json};

use super::books::{Boot, BootKey};
use super::check::{Checked, Report};
use super::line::losses;
use super::problem::{Code, Finding};
use crate::hex;

/// Name in which the agent's self-test is denied things (`firmware/aegis`, `kernel::selftest`).
const SELF_TEST: &[u8] = b"aegis-selftest";

/// Escaped for a terminal when it is not plain text.
fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| Printable(bytes).to_string(), str::to_owned)
}

fn signatures(report: &Report) -> &'static str {
    let findings = &report.findings;
    match (findings.any(Code::is_signature), findings.any(Code::is_unchecked)) {
        (true, _) => "bad",
        (false, true) => "unchecked",
        (false, false) => "good",
    }
}

fn chain(report: &Report) -> &'static str {
    let findings = &report.findings;
    if findings.any(Code::is_chain) {
        "broken"
    } else if findings.any(Code::is_unchecked) {
        "unchecked"
    } else if findings.any(Code::is_hole) {
        "gaps"
    } else {
        "good"
    }
}

/// Verified manifests say that there is nothing.
fn empty(report: &Report) -> bool {
    report.books.total == 0 && report.files.iter().all(|file| file.manifest.is_some() && file.events == 0)
}

/// The one device of all files, if there is one.
fn one_device(report: &Report) -> Option<String> {
    let first = report.files.first()?;
    report.files.iter().all(|file| file.device == first.device).then(|| hex::encode(&first.device))
}

/// The JSON report (`docs/formats/export.md`).
pub(super) fn json(report: &Report) -> Value {
    let books = &report.books;
    let denials: Vec<Value> = denials(report)
        .into_iter()
        .map(|(key, count)| {
            let mut value = json!({
                "rule": text(&key.rule),
                "policy": key.policy,
                "kind": key.kind.name(),
                "workload": text(&key.workload),
                "count": count,
            });
            for (name, bytes) in [("rule_hex", &key.rule), ("workload_hex", &key.workload)] {
                if std::str::from_utf8(bytes).is_err() {
                    value[name] = hex::encode(bytes).into();
                }
            }
            value
        })
        .collect();
    let by_kind: serde_json::Map<String, Value> =
        books.by_kind.iter().map(|(kind, count)| (kind.name().to_owned(), json!(count))).collect();
    json!({
        "whole": report.whole(),
        "device": one_device(report),
        "key_pinned": report.key_pinned(),
        "signatures": signatures(report),
        "chain": chain(report),
        "empty": empty(report),
        "files": report.files.iter().map(file_json).collect::<Vec<_>>(),
        "events": { "total": books.total, "undecoded": books.undecoded, "by_kind": by_kind },
        "denials": denials,
        "other_denials": books.other_denials,
        "losses": losses(&books.losses()),
        "boots": books.boots.iter().map(|(key, boot)| boot_json(key, boot)).collect::<Vec<_>>(),
        "problems": report.findings.problems.iter().map(finding_json).collect::<Vec<_>>(),
        "notes": report.findings.notes.iter().map(finding_json).collect::<Vec<_>>(),
        "findings_left_out": report.findings.left_out,
    })
}

fn file_json(file: &Checked) -> Value {
    let mut value = json!({
        "file": file.name,
        "device": hex::encode(&file.device),
        "public_key": file.key.map(|key| hex::encode(&key[..])),
        "key_pinned": file.key_pinned,
        "ring": hex::encode(&file.ring),
        "first": file.first,
        "last": file.last,
        "events": file.events,
        "segments": file.segments,
        "complete": file.manifest.as_ref().is_some_and(|sealed| sealed.ending == Ending::Complete),
    });
    if let Some(sealed) = &file.manifest {
        value["ending"] = sealed.ending.name().into();
        value["retained"] = sealed.retained.into();
        value["next"] = sealed.next.into();
        value["gaps"] = json!(sealed.gaps);
        value["version"] = sealed.version.clone().into();
        value["created"] = json!({
            "boot_id": hex::encode(&sealed.created.boot),
            "boottime_ns": sealed.created.boottime,
            "clock": sealed.created.clock,
            "clock_trusted": sealed.created.clock_trusted,
        });
    }
    value
}

fn boot_json(key: &BootKey, boot: &Boot) -> Value {
    json!({
        "device": hex::encode(&key.device),
        "ring": hex::encode(&key.ring),
        "boot_id": hex::encode(&key.boot),
        "first": boot.first,
        "last": boot.last,
        "began": boot.began,
        "closed": boot.closed,
        "seen": boot.accounts.map(|books| books.seen),
        "written": boot.accounts.map(|books| books.written),
        "counted": boot.counted,
        "lost": losses(&boot.losses()),
    })
}

fn finding_json(finding: &Finding) -> Value {
    json!({ "code": finding.code, "file": finding.file, "place": finding.place, "detail": finding.detail })
}

/// Denials, the most frequent first.
fn denials(report: &Report) -> Vec<(&super::books::DenialKey, u64)> {
    let mut list: Vec<_> = report.books.denials.iter().map(|(key, count)| (key, *count)).collect();
    list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    list
}

/// The report for a person.
pub(super) fn person(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = write_person(&mut out, report);
    out
}

fn write_person(out: &mut String, report: &Report) -> std::fmt::Result {
    let books = &report.books;
    for file in &report.files {
        write_file(out, file)?;
    }
    writeln!(out, "signatures  {}", signatures(report))?;
    writeln!(out, "chain       {}", chain(report))?;
    if report.key_pinned() {
        writeln!(out, "key         pinned")?;
    } else {
        writeln!(
            out,
            "key         NOT PINNED: one key signed all of a file, but nothing here says whose it is;"
        )?;
        writeln!(out, "            give --device-key or --receipt to be sure that it is the device's")?;
    }
    writeln!(out, "\nevents      {}{}", books.total, if empty(report) { " (empty export)" } else { "" })?;
    for (kind, count) in &books.by_kind {
        writeln!(out, "  {:<18} {count:>10}", kind.name())?;
    }
    if books.undecoded > 0 {
        writeln!(out, "  {:<18} {:>10}", "not decoded", books.undecoded)?;
    }
    // The agent's own proof that denials work is no incident: last, and not in the sum.
    let (tests, real): (Vec<_>, Vec<_>) =
        denials(report).into_iter().partition(|(key, _)| key.workload == SELF_TEST);
    let sum = |list: &[(_, u64)]| list.iter().map(|(_, count)| count).sum::<u64>();
    write!(out, "denials     {}", sum(&real) + books.other_denials)?;
    match sum(&tests) {
        0 => writeln!(out)?,
        tried => writeln!(out, ", and {tried} of the agent's self-test")?,
    }
    for (key, count) in real.into_iter().chain(tests) {
        let rule =
            if key.rule.is_empty() { "(no rule)".to_owned() } else { Printable(&key.rule).to_string() };
        writeln!(
            out,
            "  {rule:<18} {count:>10}  {} in {}, policy {}",
            key.kind.name(),
            Printable(&key.workload),
            key.policy
        )?;
    }
    if books.other_denials > 0 {
        writeln!(out, "  {:<18} {:>10}", "(others)", books.other_denials)?;
    }
    let lost = books.losses();
    writeln!(out, "losses      {}", lost.iter().fold(0u64, |sum, n| sum.saturating_add(*n)))?;
    for (cause, count) in Cause::ALL.iter().zip(lost) {
        writeln!(out, "  {:<18} {count:>10}", cause.name())?;
    }
    writeln!(out, "boots       {}", books.boots.len())?;
    for (key, boot) in &books.boots {
        write_boot(out, key, boot)?;
    }
    write_findings(out, report)
}

fn write_file(out: &mut String, file: &Checked) -> std::fmt::Result {
    writeln!(out, "file        {}", Printable(file.name.as_bytes()))?;
    writeln!(out, "  device    {}   ring {}", hex::encode(&file.device), hex::encode(&file.ring))?;
    if file.events == 0 {
        write!(out, "  no events")?;
    } else {
        write!(
            out,
            "  sequences {} to {} in {} segment{}",
            file.first,
            file.last,
            file.segments,
            if file.segments == 1 { "" } else { "s" }
        )?;
    }
    match &file.manifest {
        Some(sealed) => {
            let trust = if sealed.created.clock_trusted { "" } else { " (clock not trusted)" };
            let version = Printable(sealed.version.as_bytes());
            writeln!(
                out,
                ", {}, made at {}{trust} by aegis {version}",
                sealed.ending,
                utc(sealed.created.clock)
            )
        }
        None => writeln!(out, ", no manifest"),
    }
}

fn write_boot(out: &mut String, key: &BootKey, boot: &Boot) -> std::fmt::Result {
    write!(out, "  {}  {} to {}: ", hex::encode(&key.boot), boot.first, boot.last)?;
    match &boot.accounts {
        Some(accounts) => {
            let (seen, written, lost) = (accounts.seen, accounts.written, accounts.total_lost());
            write!(out, "seen {seen} = written {written} + lost {lost}")?;
        }
        None => write!(out, "no books")?,
    }
    write!(out, ", counted {}", boot.counted)?;
    if !boot.began {
        write!(out, " (its beginning is not in the range)")?;
    }
    writeln!(out, "{}", if boot.closed { ", closed" } else { ", not closed" })
}

fn write_findings(out: &mut String, report: &Report) -> std::fmt::Result {
    let findings = &report.findings;
    for note in &findings.notes {
        writeln!(out, "note        {}", located(note))?;
    }
    writeln!(out)?;
    if report.whole() {
        let whose = if report.key_pinned() { "" } else { "; whose key signed it is NOT known (see key)" };
        return writeln!(out, "WHOLE: nothing is missing, nothing was changed{whose}");
    }
    writeln!(out, "NOT WHOLE: what is missing or wrong, and why")?;
    for problem in &findings.problems {
        writeln!(out, "  {:<20} {}", problem.code, located(problem))?;
    }
    if findings.left_out > 0 {
        writeln!(out, "  and {} more", findings.left_out)?;
    }
    Ok(())
}

fn located(finding: &Finding) -> String {
    let file = Printable(finding.file.as_bytes());
    let colon = if finding.file.is_empty() { "" } else { ": " };
    format!("{file}{colon}{}: {}", finding.place, finding.detail)
}

/// Seconds since 1970 as `YYYY-MM-DD HH:MM:SS UTC` (civil-from-days, Howard Hinnant's algorithm).
fn utc(clock: u64) -> String {
    let (days, seconds) = (clock / 86_400, clock % 86_400);
    // Days since 0000-03-01, in eras of 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    #[test]
    fn clocks_are_shown_as_dates() {
        let cases = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_800_000_000, "2027-01-15 08:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ];
        for (clock, expected) in cases {
            assert_eq!(super::utc(clock), expected);
        }
        // Whatever a device claims.
        super::utc(u64::MAX);
    }
}
