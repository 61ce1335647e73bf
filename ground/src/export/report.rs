//! The result of a verification, for programs (JSON) and for people (text).

use std::fmt::Write;

use aegis_event::{Cause, Printable};
use aegis_export::{Ending, Id, Policy};
use serde_json::{Value, json};

use super::books::{Boot, BootKey};
use super::check::{Checked, Report, RingSeals};
use super::line::losses;
use super::problem::{Code, Finding};
use crate::{hex, time};

/// Name in which the agent's self-test is denied things (`firmware/aegis`, `kernel::selftest`).
pub(super) const SELF_TEST: &[u8] = b"aegis-selftest";

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

/// What the checkpoints are worth, over all rings.
pub(super) fn seals(report: &Report) -> &'static str {
    let findings = &report.findings;
    if findings.any(Code::is_seal) {
        "broken"
    } else if findings.any(|code| code == Code::SealRestarted) {
        "restarted"
    } else if findings.any(|code| matches!(code, Code::CheckpointMissing | Code::NotSealed)) {
        "missing"
    } else if report.seals.is_empty() {
        "none"
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
        "seals": seals(report),
        "empty": empty(report),
        "files": report.files.iter().map(file_json).collect::<Vec<_>>(),
        "events": { "total": books.total, "undecoded": books.undecoded, "by_kind": by_kind },
        "denials": denials,
        "other_denials": books.other_denials,
        "losses": losses(&books.losses()),
        "sealing": report.seals.iter().filter_map(|(ring, seals)| sealing_json(ring, seals)).collect::<Vec<_>>(),
        "boots": books.boots.iter().map(|(key, boot)| boot_json(key, boot)).collect::<Vec<_>>(),
        "problems": report.findings.problems.iter().map(finding_json).collect::<Vec<_>>(),
        "notes": report.findings.notes.iter().map(finding_json).collect::<Vec<_>>(),
        "findings_left_out": report.findings.left_out,
    })
}

/// One file, as a program reads it.
pub(super) fn file_json(file: &Checked) -> Value {
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
        let policies = &sealed.policies;
        value["policies"] = json!({
            "in_force": policies.in_force.as_ref().map(policy_json),
            "accepted": policies.accepted,
            "last_accepted": policies.as_slice().iter().map(policy_json).collect::<Vec<_>>(),
        });
    }
    value
}

fn policy_json(policy: &Policy) -> Value {
    json!({ "epoch": policy.epoch, "sequence": policy.sequence, "hash": hex::encode(&policy.hash) })
}

/// How far a ring is sealed; none when it is not.
fn sealing_json((device, ring): &(Id, Id), seals: &RingSeals) -> Option<Value> {
    let last = seals.last.as_ref()?.checkpoint;
    let (first_lost, last_lost) = last.books.overwritten_range;
    Some(json!({
        "device": hex::encode(device),
        "ring": hex::encode(ring),
        "from_certificate": seals.from_certificate,
        "first_epoch": seals.first_epoch,
        "last_epoch": last.epoch,
        "epochs": seals.epochs,
        "roots_compared": seals.roots,
        "sealed_up_to": last.sequence,
        "boot_id": hex::encode(&last.boot),
        "boottime_ns": last.boottime,
        "period_seconds": last.period,
        "next_key": hex::encode(&last.next_key),
        "retained": last.retained,
        "exported": last.books.exported,
        "overwritten": last.books.overwritten,
        "overwritten_last_range": if last.books.overwritten == 0 { Value::Null } else { json!([first_lost, last_lost]) },
        "cuts": last.books.cuts,
        "cut_at": last.books.cut_at,
        "damaged": last.books.damaged,
    }))
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
    writeln!(out, "seals       {}", seals(report))?;
    for ((_, ring), seals) in &report.seals {
        write_seals(out, ring, seals)?;
    }
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
            )?;
            let Some(policy) = &sealed.policies.in_force else { return Ok(()) };
            let (epoch, sequence, hash) = (policy.epoch, policy.sequence, hex::encode(&policy.hash[..8]));
            writeln!(
                out,
                "  policy    epoch {epoch}, sequence {sequence}, file {hash}… in force when it was made"
            )
        }
        None => writeln!(out, ", no manifest"),
    }
}

fn write_seals(out: &mut String, ring: &Id, seals: &RingSeals) -> std::fmt::Result {
    let Some(last) = seals.last.as_ref().map(|last| last.checkpoint) else { return Ok(()) };
    write!(out, "  ring {}: epochs {} to {}", hex::encode(&ring[..4]), seals.first_epoch, last.epoch)?;
    writeln!(
        out,
        " ({}), up to sequence {}{}",
        seals.epochs,
        last.sequence,
        if seals.from_certificate { ", from the device's certificate on" } else { "" }
    )?;
    let (books, range) = (&last.books, last.books.overwritten_range);
    if books.overwritten > 0 {
        let (first, end) = range;
        writeln!(
            out,
            "    {} overwritten before they were exported, lately {first} to {end}",
            books.overwritten
        )?;
    }
    if books.cuts > 0 {
        writeln!(
            out,
            "    {} run(s) ended without a seal, the last one behind sequence {}",
            books.cuts, books.cut_at
        )?;
    }
    if books.damaged > 0 {
        writeln!(out, "    {} given up for damage", books.damaged)?;
    }
    Ok(())
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

/// Seconds since 1970 as `YYYY-MM-DD HH:MM:SS UTC`; what is beyond the year 9999 as it is.
fn utc(clock: u64) -> String {
    format!("{} UTC", time::show(clock).trim_end_matches('Z').replace('T', " "))
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
