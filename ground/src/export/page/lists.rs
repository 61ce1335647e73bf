//! The tables of a page: devices, changes, exports, seals, boots.

use std::collections::BTreeMap;
use std::fmt::{Result, Write};

use aegis_event::GapCause;
use aegis_export::Id;

use super::charts::{lasting, when};
use super::html::{Foreign, Number, Text};
use super::tally::{Change, Tally};
use crate::export::books::Told;
use crate::export::check::{Checked, Report, Sealed};
use crate::export::clock::{Basis, Clocks};
use crate::export::{limits, report};
use crate::hex;

/// A table whose first rows are open and whose others are folded, which stops after so many and says how many are left. On a narrow screen a `wide` one scrolls, the rows of
/// a `cards` one are put one under the other.
pub(super) fn rows<T>(
    out: &mut String,
    class: &str,
    columns: &[(&str, &str)],
    list: impl ExactSizeIterator<Item = T>,
    mut row: impl FnMut(&mut String, T) -> Result,
) -> Result {
    let count = list.len();
    let head = |out: &mut String| {
        write!(out, "<div class=scroll><table class=\"{class}\"><thead><tr>")?;
        for (name, class) in columns {
            write!(out, "<th scope=col class=\"{class}\">{name}")?;
        }
        writeln!(out, "</tr></thead><tbody>")
    };
    head(out)?;
    let folded = count.min(limits::PAGE_ROWS).saturating_sub(limits::PAGE_OPEN_ROWS);
    for (index, item) in list.take(limits::PAGE_ROWS).enumerate() {
        if index == limits::PAGE_OPEN_ROWS {
            let rows = Number(folded as u64);
            writeln!(out, "</tbody></table></div>\n<p class=\"soft paper\">{rows} more rows are folded</p>")?;
            writeln!(
                out,
                "<details><summary>{rows} more row{}</summary>",
                if folded == 1 { "" } else { "s" }
            )?;
            head(out)?;
        }
        write!(out, "<tr>")?;
        row(out, item)?;
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody></table></div>{}", if folded > 0 { "</details>" } else { "" })?;
    if count > limits::PAGE_ROWS {
        let more = Number((count - limits::PAGE_ROWS) as u64);
        writeln!(out, "<p class=soft>and {more} more: <code>aegisctl export verify</code> lists them</p>")?;
    }
    Ok(())
}

pub(super) fn changes(out: &mut String, tally: &Tally) -> Result {
    writeln!(out, "<h2>Mode, policy, trust and ring</h2>")?;
    if tally.changes == 0 {
        return writeln!(out, "<p class=soft>Nothing changed.</p>");
    }
    let mut list: Vec<&Change> = tally.first_changes.iter().chain(&tally.last_changes).collect();
    // Which came first on two devices only their clocks say, and those are not trusted.
    list.sort_by_key(|change| change.device);
    let columns = [("when", ""), ("device", ""), ("what", ""), ("", "")];
    rows(out, "cards", &columns, list.iter(), |out, change| {
        write!(
            out,
            "<td class=t>{}<td class=\"mono t\" title=\"{}, sequence {}\">{}<th scope=row class=t>{}<td>{}",
            Text(&when(change.at, change.began.basis)),
            hex::encode(&change.device),
            change.sequence,
            hex::encode(&change.device[..4]),
            change.kind,
            Foreign(change.text.as_bytes())
        )
    })?;
    let left = tally.changes - list.len() as u64;
    if left > 0 {
        writeln!(
            out,
            "<p class=soft>and {} between them: <code>aegisctl export query</code> finds them</p>",
            Number(left)
        )?;
    }
    Ok(())
}

/// What the agents themselves said of sequences that can't be read.
pub(super) fn told_gaps(out: &mut String, report: &Report) -> Result {
    let books = &report.books;
    if books.gaps.is_empty() {
        return Ok(());
    }
    writeln!(out, "<p>What the agents said of their rings:</p>")?;
    let columns =
        [("device", ""), ("what", ""), ("first", "n"), ("last", "n"), ("so far", "n"), ("said at", "n")];
    rows(out, "", &columns, books.gaps.iter(), |out, told: &Told| {
        let (key, gap) = (&told.key, &told.gap);
        let (what, first) = match gap.cause {
            GapCause::Overwritten => ("overwritten before export", Number(gap.first).to_string()),
            GapCause::Damaged => ("damaged", Number(gap.first).to_string()),
            // None is known to be missing: `last` is the last one that is certain.
            GapCause::Cut => ("a run ended without a seal", "–".to_owned()),
        };
        write!(
            out,
            "<th scope=row class=\"mono t\" title=\"{}\">{}<td>{what}<td class=n>{first}<td class=n>{}<td class=n>{}<td class=n>{}",
            hex::encode(&key.device),
            hex::encode(&key.device[..4]),
            Number(gap.last),
            Number(gap.total),
            Number(told.sequence)
        )
    })?;
    if books.gaps_left_out > 0 {
        writeln!(out, "<p class=soft>and {} more that were not kept</p>", Number(books.gaps_left_out))?;
    }
    Ok(())
}

/// What came from each device.
pub(super) fn devices(out: &mut String, report: &Report, tally: &Tally) -> Result {
    struct Device<'r> {
        exports: u64,
        boots: u64,
        lost: u64,
        last: Option<&'r Sealed>,
    }
    let mut devices: BTreeMap<Id, Device<'_>> = BTreeMap::new();
    for file in &report.files {
        let new = Device { exports: 0, boots: 0, lost: 0, last: None };
        let device = devices.entry(file.device).or_insert(new);
        device.exports += 1;
        // By the ring, not by a clock: the one that knows of most events is the last one.
        let later = |sealed: &&Sealed| device.last.is_none_or(|last| last.next <= sealed.next);
        if let Some(sealed) = file.manifest.as_ref().filter(later) {
            device.last = Some(sealed);
        }
    }
    for (key, boot) in &report.books.boots {
        let Some(device) = devices.get_mut(&key.device) else { continue };
        device.boots += 1;
        device.lost = boot.losses().iter().fold(device.lost, |sum, lost| sum.saturating_add(*lost));
    }
    writeln!(out, "<h2>Devices</h2>")?;
    let columns = [
        ("device", ""),
        ("exports", "n"),
        ("boots", "n"),
        ("events", "n"),
        ("denied", "n"),
        ("audited", "n"),
        ("lost, counted", "n"),
        ("last export made", ""),
    ];
    rows(out, "wide", &columns, devices.iter(), |out, (id, device)| {
        let counts = tally.devices.get(id).copied().unwrap_or_default();
        write!(
            out,
            "<th scope=row class=mono>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}\
             <td class=t>{}",
            hex::encode(id),
            Number(device.exports),
            Number(device.boots),
            Number(counts.total()),
            Number(counts.denied),
            Number(counts.audited),
            Number(device.lost),
            device.last.map_or_else(String::new, made)
        )
    })
}

/// When an export was made, by the device's clock.
fn made(sealed: &Sealed) -> String {
    let clock = i64::try_from(sealed.created.clock).ok().and_then(|clock| clock.checked_mul(1_000_000));
    clock.map_or_else(|| "?".to_owned(), |at| when(at, Basis::Clock))
}

pub(super) fn exports(out: &mut String, report: &Report) -> Result {
    writeln!(out, "<h2>Exports</h2>")?;
    let columns = [
        ("file and SHA-256", ""),
        ("device and ring", ""),
        ("sequences", "n"),
        ("events", "n"),
        ("made", ""),
    ];
    rows(out, "wide", &columns, report.files.iter(), |out, file: &Checked| {
        let sequences = match file.events {
            0 => "none".to_owned(),
            _ => format!("{} – {}", Number(file.first), Number(file.last)),
        };
        write!(
            out,
            "<th scope=row><code>{}</code><br><small class=\"mono soft\">{}</small>\
             <td class=mono>{}<br><small class=soft>{}</small><td class=n>{sequences}<td class=n>{}<td class=t>",
            Foreign(file.name.as_bytes()),
            hex::encode(&file.sha256),
            hex::encode(&file.device),
            hex::encode(&file.ring),
            Number(file.events)
        )?;
        let Some(sealed) = &file.manifest else { return Ok(()) };
        let made = made(sealed);
        let trust = if sealed.created.clock_trusted { "clock trusted" } else { "clock not trusted" };
        let key = if file.key_pinned { "key pinned" } else { "key not pinned" };
        write!(
            out,
            "{made}<br><small class=soft>{trust}, {key},<br>{}, aegis {}</small>",
            sealed.ending.name(),
            Foreign(sealed.version.as_bytes())
        )
    })
}

/// How far the checkpoints vouch for what is here.
pub(super) fn sealing(out: &mut String, report: &Report) -> Result {
    let seals = match report::seals(report) {
        "none" => {
            "None: these exports hold no checkpoint. What a device wrote since the export before could have been cut off unseen."
        }
        "good" => "Every epoch up to the last one has its checkpoint, and what is here is what was sealed.",
        "missing" => "Some checkpoints that should be here are not: see above.",
        "restarted" => "A chain of seals began anew: see above.",
        _ => "They do not fit what is here: see above.",
    };
    writeln!(out, "<h2>Seals</h2>\n<p>{}</p>", Text(seals))?;
    let rings: Vec<_> = report
        .seals
        .iter()
        .filter_map(|((device, _), seals)| seals.last.as_ref().map(|last| (device, seals, &last.checkpoint)))
        .collect();
    if rings.is_empty() {
        return Ok(());
    }
    let columns = [
        ("device", ""),
        ("epochs", "n"),
        ("sealed up to", "n"),
        ("overwritten before export", "n"),
        ("ended without a seal", "n"),
    ];
    rows(out, "", &columns, rings.iter(), |out, (device, seals, last)| {
        write!(
            out,
            "<th scope=row class=\"mono t\" title=\"{}\">{}<td class=n>{} – {}<td class=n>{}<td class=n>{}<td class=n>{}",
            hex::encode(&device[..]),
            hex::encode(&device[..4]),
            Number(seals.first_epoch),
            Number(last.epoch),
            Number(last.sequence),
            Number(last.books.overwritten),
            Number(last.books.cuts)
        )
    })
}

pub(super) fn boots(out: &mut String, report: &Report, clocks: &Clocks) -> Result {
    writeln!(
        out,
        "<h2>Boots and books</h2>\n<p class=soft>What the kernel saw is what was written and what was lost; what was \
         written is what is counted here. “open” is a boot without closing books: power cut, kill, or still running.</p>"
    )?;
    let columns = [
        ("device", ""),
        ("boot", ""),
        ("began", ""),
        ("last event after", "n"),
        ("sequences", "n"),
        ("seen", "n"),
        ("written", "n"),
        ("lost", "n"),
        ("counted", "n"),
        ("", ""),
    ];
    rows(out, "wide", &columns, report.books.boots.iter(), |out, (key, boot)| {
        let began = clocks.began(key);
        let began =
            if began.basis == Basis::None { "not known".to_owned() } else { when(began.at, began.basis) };
        write!(
            out,
            "<td class=\"mono t\" title=\"{}\">{}<th scope=row class=\"mono t\" title=\"{}\">{}<td class=t>{began}\
             <td class=n>{}<td class=n>{} – {}",
            hex::encode(&key.device),
            hex::encode(&key.device[..4]),
            hex::encode(&key.boot),
            hex::encode(&key.boot[..4]),
            boot.span.map_or_else(String::new, |span| lasting(span.1.into())),
            Number(boot.first),
            Number(boot.last)
        )?;
        match &boot.accounts {
            Some(books) => write!(
                out,
                "<td class=n>{}<td class=n>{}<td class=n>{}",
                Number(books.seen),
                Number(books.written),
                Number(books.total_lost())
            )?,
            None => write!(out, "<td class=n>–<td class=n>–<td class=n>–")?,
        }
        let counted = if boot.countable() { Number(boot.counted).to_string() } else { "in part".to_owned() };
        write!(out, "<td class=n>{counted}<td>{}", if boot.closed { "closed" } else { "open" })
    })
}
