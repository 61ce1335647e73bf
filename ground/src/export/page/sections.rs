//! The page, section by section.

use std::fmt::{Result, Write};

use aegis_event::Cause;

use super::charts::{LEGEND, bars, timeline};
use super::html::{Foreign, Number, Text};
use super::lists::{boots, changes, devices, exports, rows, sealing, told_gaps};
use super::tally::Tally;
use crate::export::check::{Checked, Report};
use crate::export::clock::{Clocks, stamp};
use crate::export::problem::Finding;
use crate::{hex, time};

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub(super) fn page(report: &Report, clocks: &Clocks, tally: &Tally) -> String {
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = write_page(&mut out, report, clocks, tally);
    out
}

fn write_page(out: &mut String, report: &Report, clocks: &Clocks, tally: &Tally) -> Result {
    // Nothing may be fetched or run, whatever else is on the page.
    writeln!(
        out,
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n\
         <meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'; \
         form-action 'none'; base-uri 'none'\">\n\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\n\
         <meta name=color-scheme content=\"light dark\">\n\
         <title>Aegis evidence report</title>\n<style>\n{STYLE}</style>\n</head>\n<body>"
    )?;
    head(out, report)?;
    figures(out, report, tally)?;
    writeln!(out, "<main>")?;
    findings(out, report)?;
    devices(out, report, tally)?;
    timelines(out, report, tally)?;
    matched(out, tally)?;
    seen(out, tally)?;
    losses(out, report, tally)?;
    changes(out, tally)?;
    exports(out, report)?;
    sealing(out, report)?;
    boots(out, report, clocks)?;
    writeln!(out, "</main>")?;
    foot(out)?;
    writeln!(out, "</body>\n</html>")
}

fn head(out: &mut String, report: &Report) -> Result {
    let devices = device_count(report);
    writeln!(
        out,
        "<header>\n<h1>Evidence report</h1>\n<p class=soft>{} export{} of {} device{}, drawn {} UTC</p>",
        Number(report.files.len() as u64),
        plural(report.files.len()),
        Number(devices as u64),
        plural(devices),
        time::show(time::now()).replace('T', " ").trim_end_matches('Z'),
    )?;
    if report.whole() {
        writeln!(
            out,
            "<div class=\"verdict good\"><strong>✓ Whole</strong><br>Every signature is good, nothing was changed, nothing \
             is missing between the first event and the last.</div>"
        )?;
    } else {
        let problems = report.findings.problems.len() as u64 + report.findings.left_out;
        writeln!(
            out,
            "<div class=\"verdict bad\"><strong>✗ Not whole</strong><br>What is here is signed and unchanged, but \
             something is missing or does not add up: {} finding{} below.</div>",
            Number(problems),
            if problems == 1 { "" } else { "s" }
        )?;
    }
    if !report.key_pinned() {
        writeln!(
            out,
            "<div class=\"verdict warn\"><strong>! Key not pinned</strong><br>One key signed all of each export, but \
             nothing given says whose it is. Draw again with <code>--device-key</code> or <code>--receipt</code> to be \
             sure that it is the device’s.</div>"
        )?;
    }
    writeln!(out, "</header>")
}

fn device_count(report: &Report) -> usize {
    report.files.iter().map(|file| file.device).collect::<std::collections::BTreeSet<_>>().len()
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn figures(out: &mut String, report: &Report, tally: &Tally) -> Result {
    let lost = report.books.losses().iter().fold(0u64, |sum, lost| sum.saturating_add(*lost));
    writeln!(out, "<dl class=figures>")?;
    for (class, name, number) in [
        ("", "Events", report.books.total),
        ("denied", "Denied", tally.total.denied),
        ("audited", "Audited", tally.total.audited),
        ("", "Lost, counted", lost),
        ("", "Boots", report.books.boots.len() as u64),
        ("", "Changes", tally.changes),
    ] {
        writeln!(out, "<div class=\"{class}\"><dt>{name}<dd>{}</div>", Number(number))?;
    }
    writeln!(out, "</dl>")?;
    if tally.glass_broken > 0 {
        writeln!(
            out,
            "<p><strong>{}</strong> of the audited ones would have been denied, had the glass not been broken.</p>",
            Number(tally.glass_broken)
        )?;
    }
    if tally.deadman > 0 {
        writeln!(
            out,
            "<p><strong>{}</strong> of the audited ones would have been denied, had the deadman of their workload not fallen.</p>",
            Number(tally.deadman)
        )?;
    }
    if tally.self_test > 0 {
        writeln!(
            out,
            "<p class=soft>{} denials of the agent’s own self-test are not counted as denied.</p>",
            Number(tally.self_test)
        )?;
    }
    Ok(())
}

fn findings(out: &mut String, report: &Report) -> Result {
    let findings = &report.findings;
    for (title, list) in [("What is missing or wrong", &findings.problems), ("Notes", &findings.notes)] {
        if list.is_empty() {
            continue;
        }
        writeln!(out, "<h2>{title}</h2>")?;
        rows(
            out,
            "cards",
            &[("what", ""), ("where", ""), ("why", "")],
            list.iter(),
            |out, finding: &Finding| {
                let colon = if finding.file.is_empty() { "" } else { ": " };
                write!(
                    out,
                    "<th scope=row class=t>{}<td class=mono>{}{colon}{}<td>{}",
                    Text(finding.code),
                    Foreign(finding.file.as_bytes()),
                    Foreign(finding.place.as_bytes()),
                    Foreign(finding.detail.as_bytes())
                )
            },
        )?;
    }
    if findings.left_out > 0 {
        writeln!(out, "<p class=soft>and {} more that were not kept</p>", Number(findings.left_out))?;
    }
    Ok(())
}

fn timelines(out: &mut String, report: &Report, tally: &Tally) -> Result {
    if tally.timelines.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<h2>Timeline</h2>\n<p class=soft>Time that a device was off is left out; a dotted line is another boot. Times are \
         UTC by the device’s own clock, which is not trusted; “≤” is the latest that it can have been.</p>\n{LEGEND}"
    )?;
    for (device, drawn) in &tally.timelines {
        timeline(out, device, drawn)?;
    }
    let rest = device_count(report).saturating_sub(tally.timelines.len());
    if rest > 0 {
        writeln!(
            out,
            "<p class=soft>{} more device{}, without a timeline here.</p>",
            Number(rest as u64),
            plural(rest)
        )?;
    }
    Ok(())
}

fn matched(out: &mut String, tally: &Tally) -> Result {
    writeln!(out, "<h2>Denied and audited</h2>")?;
    if tally.total.denied + tally.total.audited == 0 {
        return writeln!(out, "<p class=soft>No rule matched anything.</p>");
    }
    writeln!(out, "<div class=pair>")?;
    bars(out, "By rule", "rule", &tally.rules, "")?;
    bars(out, "By workload", "workload", &tally.matched_workloads, "")?;
    bars(out, "By path", "path", &tally.matched, "No path: connections and calls only.")?;
    writeln!(out, "</div>")
}

fn seen(out: &mut String, tally: &Tally) -> Result {
    writeln!(out, "<h2>Seen</h2>\n<div class=pair>")?;
    bars(out, "Workloads", "workload", &tally.workloads, "No workload did anything.")?;
    bars(out, "Connections", "address and port", &tally.peers, "None.")?;
    bars(out, "Programs started", "program", &tally.programs, "None.")?;
    bars(out, "Files opened", "path", &tally.paths, "None.")?;
    bars(out, "Files changed", "path", &tally.changed, "None.")?;
    bars(out, "Asked of the kernel", "call", &tally.calls, "Nothing.")?;
    writeln!(out, "</div>")
}

fn losses(out: &mut String, report: &Report, tally: &Tally) -> Result {
    writeln!(out, "<h2>Losses and gaps</h2>")?;
    let by_cause = report.books.losses();
    let mut list: Vec<(String, &'static str, u64)> = tally
        .losses
        .iter()
        .map(|((workload, cause), count)| {
            let workload =
                if workload.is_empty() { "(not known)".to_owned() } else { Foreign(workload).to_string() };
            (workload, cause.name(), *count)
        })
        .collect();
    // What the books have and no event tells.
    for (cause, count) in Cause::ALL.iter().zip(by_cause) {
        let told = tally.losses.iter().filter(|((_, of), _)| of == cause);
        let told = told.fold(0u64, |sum, (_, count)| sum.saturating_add(*count));
        if count > told && tally.other_losses == 0 {
            list.push(("(in the books only)".to_owned(), cause.name(), count - told));
        }
    }
    if list.is_empty() {
        writeln!(out, "<p>The devices counted no lost event.</p>")?;
    } else {
        list.sort_by_key(|(.., count)| u64::MAX - count);
        writeln!(out, "<p>Events that the devices know they lost, each counted:</p>")?;
        rows(
            out,
            "",
            &[("workload", ""), ("cause", ""), ("events", "n")],
            list.iter(),
            |out, (workload, cause, count)| {
                write!(out, "<th scope=row class=mono>{workload}<td>{cause}<td class=n>{}", Number(*count))
            },
        )?;
    }
    if tally.other_losses > 0 {
        writeln!(out, "<p class=soft>and {} of other workloads</p>", Number(tally.other_losses))?;
    }
    let gaps: Vec<(&Checked, (u64, u64))> = report
        .files
        .iter()
        .filter_map(|file| file.manifest.as_ref().map(|sealed| (file, sealed)))
        .flat_map(|(file, sealed)| sealed.gaps.iter().map(move |gap| (file, *gap)))
        .collect();
    if gaps.is_empty() {
        writeln!(out, "<p>No export found a part of a ring damaged.</p>")?;
        return told_gaps(out, report);
    }
    writeln!(out, "<p>Sequences that were damaged in the ring of a device:</p>")?;
    rows(
        out,
        "",
        &[("device", ""), ("first", "n"), ("last", "n")],
        gaps.iter(),
        |out, (file, (first, last))| {
            let device = hex::encode(&file.device);
            write!(
                out,
                "<th scope=row class=mono>{device}<td class=n>{}<td class=n>{}",
                Number(*first),
                Number(*last)
            )
        },
    )?;
    told_gaps(out, report)
}

fn foot(out: &mut String) -> Result {
    writeln!(
        out,
        "<footer><p>Drawn by aegisctl {} at {}. Events come from exports that were verified before they were read: \
         signatures, chain, order, counts (docs/formats/export.md). Names, paths and texts are shown as the devices \
         recorded them, with everything but letters and plain signs as <code>\\xNN</code>.</p></footer>",
        env!("CARGO_PKG_VERSION"),
        stamp(i64::try_from(time::now()).unwrap_or(0).saturating_mul(1_000_000))
            .get(..16)
            .unwrap_or_default()
    )
}
