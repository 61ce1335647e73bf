//! The report for a person: what is there, what is missing and why. Lists are bounded.

use std::fmt::Write;

use aegis_event::{Cause, Gap, GapCause, Printable};
use aegis_export::Id;

use super::{SELF_TEST, chain, denials, empty, encrypted, seals, signatures};
use crate::export::books::{Boot, BootKey, Told};
use crate::export::check::{Checked, Report, RingSeals};
use crate::export::limits;
use crate::export::problem::Finding;
use crate::{hex, time};

/// The report for a person.
pub(in crate::export) fn person(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = write_person(&mut out, report);
    out
}

fn write_person(out: &mut String, report: &Report) -> std::fmt::Result {
    let books = &report.books;
    listed(out, report.files.iter(), write_file)?;
    writeln!(out, "signatures  {}", signatures(report))?;
    writeln!(out, "chain       {}", chain(report))?;
    match seals(report) {
        "none" => writeln!(out, "seals       none: no checkpoint vouches for these events")?,
        seals => writeln!(out, "seals       {seals}")?,
    }
    listed(out, report.seals.iter(), |out, ((_, ring), seals)| write_seals(out, ring, seals))?;
    if report.key_pinned() {
        writeln!(out, "key         pinned")?;
    } else {
        writeln!(
            out,
            "key         NOT PINNED: one key signed all of a file, but nothing here says whose it is;"
        )?;
        writeln!(out, "            give --device-key or --receipt to be sure that it is the device's")?;
    }
    match encrypted(report) {
        0 => {}
        count => {
            writeln!(
                out,
                "encryption  {count} of {} files; whoever knows the recipient can encrypt: what they prove",
                report.files.len()
            )?;
            writeln!(out, "            is what was signed inside, and nothing more")?;
        }
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
    let all: Vec<_> = real.into_iter().chain(tests).collect();
    listed(out, all.into_iter(), |out, (key, count)| {
        let rule =
            if key.rule.is_empty() { "(no rule)".to_owned() } else { Printable(&key.rule).to_string() };
        writeln!(
            out,
            "  {rule:<18} {count:>10}  {} in {}, policy {}",
            key.kind.name(),
            Printable(&key.workload),
            key.policy
        )
    })?;
    if books.other_denials > 0 {
        writeln!(out, "  {:<18} {:>10}", "(others)", books.other_denials)?;
    }
    let lost = books.losses();
    writeln!(out, "losses      {}", lost.iter().fold(0u64, |sum, n| sum.saturating_add(*n)))?;
    for (cause, count) in Cause::ALL.iter().zip(lost) {
        writeln!(out, "  {:<18} {count:>10}", cause.name())?;
    }
    let gaps = books.gaps.len() as u64 + books.gaps_left_out;
    if gaps > 0 {
        writeln!(out, "gaps told   {gaps}")?;
        listed(out, books.gaps.iter(), write_gap)?;
    }
    writeln!(out, "boots       {}", books.boots.len())?;
    listed(out, books.boots.iter(), |out, (key, boot)| write_boot(out, key, boot))?;
    write_findings(out, report)
}

/// Writes the first of a list, and how many more there are.
fn listed<T>(
    out: &mut String,
    list: impl ExactSizeIterator<Item = T>,
    mut write: impl FnMut(&mut String, T) -> std::fmt::Result,
) -> std::fmt::Result {
    let more = list.len().saturating_sub(limits::REPORT_ROWS);
    for item in list.take(limits::REPORT_ROWS) {
        write(out, item)?;
    }
    if more > 0 {
        writeln!(out, "  and {more} more: --json lists them")?;
    }
    Ok(())
}

fn write_gap(out: &mut String, told: &Told) -> std::fmt::Result {
    let Told { sequence, gap: Gap { cause, first, last, total, .. }, .. } = told;
    let what = match cause {
        GapCause::Cut => format!("a run ended without a seal: {last} is the last sequence that is certain"),
        GapCause::Overwritten | GapCause::Damaged => format!("{first} to {last}"),
    };
    writeln!(out, "  {:<18} {what} ({total} so far), said at sequence {sequence}", cause.name())
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
    listed(out, findings.notes.iter(), |out, note| writeln!(out, "note        {}", located(note)))?;
    writeln!(out)?;
    if report.whole() {
        let whose = if report.key_pinned() { "" } else { "; whose key signed it is NOT known (see key)" };
        return writeln!(out, "WHOLE: nothing is missing, nothing was changed{whose}");
    }
    writeln!(out, "NOT WHOLE: what is missing or wrong, and why")?;
    listed(out, findings.problems.iter(), |out, problem| {
        writeln!(out, "  {:<20} {}", problem.code, located(problem))
    })?;
    if findings.left_out > 0 {
        writeln!(out, "  and {} more that were not kept", findings.left_out)?;
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
