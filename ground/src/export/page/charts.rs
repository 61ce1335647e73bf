//! The drawings: bars beside their numbers, and timelines.

use std::fmt::{Result, Write};

use aegis_export::Id;

use super::html::{Foreign, Number, Text};
use super::timeline::{Column, Timeline};
use super::top::{Counts, Top};
use crate::export::clock::{Basis, stamp};
use crate::export::limits;
use crate::hex;

/// A table of names with bars, the most frequent first. `sort` says what the names are: `rule`, `path`.
pub(super) fn bars(out: &mut String, title: &str, sort: &str, top: &Top, none: &str) -> Result {
    let list = top.list(limits::PAGE_TOP);
    // Paths are long: they get a line of their own.
    let class = if matches!(sort, "path" | "program") { " class=whole" } else { "" };
    writeln!(out, "<section{class}><h3>{}</h3>", Text(title))?;
    if list.is_empty() {
        return writeln!(out, "<p class=soft>{}</p></section>", Text(none));
    }
    let longest = list.iter().map(|(_, counts)| counts.total()).max().unwrap_or(1);
    writeln!(
        out,
        "<table class=bars><thead><tr><th scope=col>{}<th scope=col><span class=soft>share</span>\
         <th scope=col class=n>events</tr></thead><tbody>",
        Text(sort)
    )?;
    for (name, counts) in &list {
        let name = if name.is_empty() { "(none)".to_owned() } else { Foreign(name).to_string() };
        writeln!(
            out,
            "<tr><th scope=row class=mono>{name}<td>{}<td class=n>{}</tr>",
            bar(*counts, longest),
            split(*counts)
        )?;
    }
    writeln!(out, "</tbody></table>")?;
    let rest = top.len() - list.len();
    match (top.forgot(), rest) {
        (true, _) => {
            writeln!(
                out,
                "<p class=soft>Too many different ones to keep: the counts are at least these.</p>"
            )?;
        }
        (false, 0) => {}
        (false, rest) => writeln!(out, "<p class=soft>and {} more</p>", Number(rest as u64))?,
    }
    writeln!(out, "</section>")
}

fn bar(counts: Counts, longest: u64) -> String {
    let mut text = "<div class=bar aria-hidden=true>".to_owned();
    for (count, fill) in [(counts.denied, "denied"), (counts.audited, "audited"), (counts.other, "seen")] {
        if count > 0 {
            let width = 100.0 * share(count.into(), longest.into());
            // Writing to a String can't fail.
            let _ = write!(text, "<i class={fill}-fill style=\"width:{width:.2}%\"></i>");
        }
    }
    text + "</div>"
}

/// The sum, and what it is made of when that is not one sort.
fn split(counts: Counts) -> String {
    let total = counts.total();
    let parts: Vec<String> = [(counts.denied, "denied"), (counts.audited, "audited")]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(
            |(count, name)| {
                if *count == total { (*name).to_owned() } else { format!("{} {name}", Number(*count)) }
            },
        )
        .collect();
    let total = Number(total);
    if parts.is_empty() {
        return total.to_string();
    }
    format!("{total}<br><small class=soft>{}</small>", parts.join(", "))
}

pub(super) const LEGEND: &str = "<ul class=legend>\
<li><i class=seen-fill></i>events<li><i class=audited-fill></i>audited<li><i class=denied-fill></i>denied\
<li><i class=change-fill></i>start, stop, mode, policy, trust, ring<li><i class=lost-fill></i>events lost</ul>\n";

/// A device's timeline: all events, what rules matched, and marks.
pub(super) fn timeline(out: &mut String, device: &Id, timeline: &Timeline) -> Result {
    let columns = &timeline.columns;
    let sum = columns.iter().fold(Counts::default(), |sum, column| Counts {
        denied: sum.denied + column.counts.denied,
        audited: sum.audited + column.counts.audited,
        other: sum.other + column.counts.other,
    });
    let most = |of: fn(&Column) -> u64| columns.iter().map(of).max().unwrap_or(0);
    let most_seen = most(|column| column.counts.total());
    let most_matched = most(|column| column.counts.denied + column.counts.audited);
    let boots = timeline.stretches.len();
    writeln!(
        out,
        "<figure><figcaption><strong>Device <code>{}</code></strong> \
         <small>{} events in {} boot{}, up for {}; a column is {}</small></figcaption>",
        hex::encode(device),
        Number(sum.total()),
        Number(boots as u64),
        if boots == 1 { "" } else { "s" },
        lasting(timeline.length),
        lasting(timeline.length / limits::PAGE_COLUMNS as u128),
    )?;
    writeln!(out, "<div class=scale><span>events, at most {} in a column</span></div>", Number(most_seen))?;
    let label = format!(
        "Events over time: {} in all, at most {most_seen} in one of {} columns",
        sum.total(),
        limits::PAGE_COLUMNS
    );
    open(out, "tall", 100, &label)?;
    for (at, column) in columns.iter().enumerate() {
        stack(out, timeline, at, &[(column.counts.total(), "seen", "in all")], most_seen)?;
    }
    breaks(out, timeline)?;
    writeln!(out, "</svg>")?;
    writeln!(
        out,
        "<div class=scale><span>audited and denied, at most {} in a column</span></div>",
        Number(most_matched)
    )?;
    let label = format!("Rules that matched over time: {} denied, {} audited", sum.denied, sum.audited);
    open(out, "low", 100, &label)?;
    for (at, Column { counts, .. }) in columns.iter().enumerate() {
        let parts = [(counts.denied, "denied", "denied"), (counts.audited, "audited", "audited")];
        stack(out, timeline, at, &parts, most_matched)?;
    }
    breaks(out, timeline)?;
    writeln!(out, "</svg>")?;
    marks(out, timeline)?;
    axis(out, timeline)?;
    table(out, timeline)?;
    writeln!(out, "</figure>")
}

fn open(out: &mut String, class: &str, height: usize, label: &str) -> Result {
    writeln!(
        out,
        "<svg class={class} viewBox=\"0 0 {} {height}\" preserveAspectRatio=none role=img aria-label=\"{}\">",
        limits::PAGE_COLUMNS,
        Text(label)
    )
}

/// One column's bars, on top of each other.
fn stack(out: &mut String, timeline: &Timeline, at: usize, parts: &[(u64, &str, &str)], most: u64) -> Result {
    let mut base = 100.0;
    for (count, fill, what) in parts.iter().filter(|(count, ..)| *count > 0) {
        // What there is can be seen, however little it is.
        let height = (96.0 * share((*count).into(), most.into())).max(2.5).min(base);
        base -= height;
        write!(
            out,
            "<rect class={fill}-fill x={at} y={base:.1} width=.86 height={height:.1}><title>{} {what}, {}</title></rect>",
            Number(*count),
            Text(&moment(timeline, at))
        )?;
    }
    Ok(())
}

/// Where one boot ends and the next begins.
fn breaks(out: &mut String, timeline: &Timeline) -> Result {
    for stretch in timeline.stretches.iter().skip(1).take(limits::PAGE_ROWS) {
        let x = place(timeline, stretch.at);
        write!(out, "<line x1={x:.2} x2={x:.2} y1=0 y2=100><title>another boot</title></line>")?;
    }
    Ok(())
}

fn place(timeline: &Timeline, at: u128) -> f64 {
    share(at * limits::PAGE_COLUMNS as u128, timeline.length)
}

#[expect(clippy::cast_precision_loss, reason = "it is drawn, not counted")]
fn share(part: u128, whole: u128) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// Changes and losses.
fn marks(out: &mut String, timeline: &Timeline) -> Result {
    let changes: u64 = timeline.columns.iter().map(|column| column.changes).sum();
    let lost = timeline.columns.iter().fold(0u64, |sum, column| sum.saturating_add(column.lost));
    let label =
        format!("{changes} starts, stops and changes of mode, policy, trust or the ring; {lost} events lost");
    open(out, "flat", 10, &label)?;
    for (at, column) in timeline.columns.iter().enumerate() {
        let moment = || moment(timeline, at);
        if column.changes > 0 {
            write!(
                out,
                "<rect class=change-fill x={at} y=0 width=.86 height=4.5><title>{} of start, stop, mode, policy, trust, ring, \
                 {}</title></rect>",
                Number(column.changes),
                Text(&moment())
            )?;
        }
        if column.lost > 0 {
            write!(
                out,
                "<rect class=lost-fill x={at} y=5.5 width=.86 height=4.5><title>{} events lost, {}</title></rect>",
                Number(column.lost),
                Text(&moment())
            )?;
        }
    }
    writeln!(out, "</svg>")
}

fn axis(out: &mut String, timeline: &Timeline) -> Result {
    let columns = limits::PAGE_COLUMNS;
    writeln!(out, "<div class=scale>")?;
    for at in [0, columns / 2, columns - 1] {
        writeln!(out, "<span>{}</span>", Text(&moment(timeline, at)))?;
    }
    writeln!(out, "</div>")
}

/// The same in numbers, for who can't see the drawing.
fn table(out: &mut String, timeline: &Timeline) -> Result {
    /// Columns that a row of the table sums up.
    const STEP: usize = limits::PAGE_COLUMNS / 12;
    writeln!(
        out,
        "<details><summary>As a table</summary><div class=scroll><table><thead><tr><th scope=col>from\
         <th scope=col class=n>events<th scope=col class=n>audited<th scope=col class=n>denied\
         <th scope=col class=n>changes<th scope=col class=n>lost</tr></thead><tbody>"
    )?;
    for (index, columns) in timeline.columns.chunks(STEP).enumerate() {
        let sum = |of: fn(&Column) -> u64| {
            Number(columns.iter().fold(0, |sum: u64, it| sum.saturating_add(of(it))))
        };
        writeln!(
            out,
            "<tr><th scope=row class=t>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}</tr>",
            Text(&moment(timeline, index * STEP)),
            sum(|column| column.counts.total()),
            sum(|column| column.counts.audited),
            sum(|column| column.counts.denied),
            sum(|column| column.changes),
            sum(|column| column.lost),
        )?;
    }
    writeln!(out, "</tbody></table></div></details>")
}

fn moment(timeline: &Timeline, column: usize) -> String {
    timeline.moment(column).map_or_else(String::new, |(at, stretch)| when(at, stretch.began.basis))
}

/// A time as a person reads it, marked when it is not by a clock.
pub(super) fn when(at: i64, basis: Basis) -> String {
    let text = stamp(at);
    let text = text.get(..19).unwrap_or(&text).replace('T', " ");
    match basis {
        Basis::Clock => text,
        Basis::Bound => format!("≤ {text}"),
        // Counted from 1970 on: what is true of it is how long the boot had lasted.
        Basis::None => format!("boot + {}", lasting(u128::from(at.unsigned_abs()) * 1_000)),
    }
}

/// Nanoseconds as a person says them.
pub(super) fn lasting(ns: u128) -> String {
    let seconds = ns / 1_000_000_000;
    match seconds {
        0 => format!("{} ms", ns / 1_000_000),
        1..120 => format!("{}.{} s", seconds, ns / 100_000_000 % 10),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} days {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_in_two_units_at_most() {
        for (ns, text) in [
            (0, "0 ms"),
            (999_999_999, "999 ms"),
            (1_950_000_000, "1.9 s"),
            (300_000_000_000, "5 min"),
            (9_000_000_000_000, "2 h 30 min"),
            (200_000_000_000_000, "2 days 7 h"),
        ] {
            assert_eq!(lasting(ns), text);
        }
        assert_eq!(when(1_800_000_000_000_000, Basis::Bound), "≤ 2027-01-15 08:00:00");
        assert_eq!(when(61_000_000, Basis::None), "boot + 61.0 s");
    }
}
