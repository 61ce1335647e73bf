//! Mending: small edits of the text, so that all else in it stays as its author wrote it.

use std::ops::{Range, RangeInclusive};

use aegis_policy::Policy;

use super::allow::tables;
use crate::policy::decisions::{Decisions, classes, things};
use crate::policy::place::{At, SourceFile};
use crate::policy::things::Thing;

/// An edit of the file that is linted.
#[derive(Clone, Debug)]
pub(super) enum Fix {
    /// Take an item out of its list, with its comma.
    Item(At),
    /// Take the table out in which this stands, with the comments right above it.
    Table(At),
    /// Put something else in its place.
    Replace(At, String),
    /// Add a line behind the one in which this ends.
    Behind(At, String),
}

/// Applies what does not touch each other, in the text's order; none when there is nothing to do.
pub(super) fn apply(text: &str, fixes: impl Iterator<Item = Fix>) -> Option<String> {
    let file = SourceFile::new(String::new(), String::new(), None, text.to_owned());
    let tables = tables(&file);
    let mut edits: Vec<(Range<usize>, String)> = fixes.filter_map(|fix| edit(&file, &tables, fix)).collect();
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let (mut out, mut done) = (String::with_capacity(text.len()), 0);
    let mut any = false;
    for (range, replacement) in edits {
        // A list whose last comma goes with one item is not touched at another in the same round.
        if range.start < done || (any && range.start == done) {
            continue;
        }
        out.push_str(&text[done..range.start]);
        out.push_str(&replacement);
        done = range.end;
        any = true;
    }
    out.push_str(&text[done..]);
    any.then_some(out)
}

fn edit(file: &SourceFile, tables: &[RangeInclusive<usize>], fix: Fix) -> Option<(Range<usize>, String)> {
    let text = &file.text;
    match fix {
        Fix::Item(at) => Some((item(text, at.range()), String::new())),
        Fix::Replace(at, with) => Some((at.range(), with)),
        Fix::Behind(at, line) => {
            let end = file.line_range(file.line(at.start as usize)).end;
            // Only behind a value that ends on its line: a text of several lines has its end elsewhere.
            (at.end as usize <= end).then(|| (end..end, format!("\n{line}")))
        }
        Fix::Table(at) => {
            let line = file.line(at.start as usize);
            // In the order of the text: the last one that begins at or before the line.
            let before = tables.partition_point(|lines| *lines.start() <= line);
            let lines = tables.get(before.checked_sub(1)?)?;
            let mut start = file.line_range(*lines.start()).start;
            let end = (file.line_range(*lines.end()).end + 1).min(text.len());
            if end == text.len() {
                // The last one takes the blank lines before it along.
                start = text[..start].trim_end().len();
                start += text[start..].find('\n').map_or(0, |at| at + 1);
            }
            Some((start..end, String::new()))
        }
    }
}

/// An item of a list with its comma; its whole line when nothing else is on it but a comment, which is its own.
fn item(text: &str, range: Range<usize>) -> Range<usize> {
    let blank = |c: char| matches!(c, ' ' | '\t');
    let comma = comma_behind(text, range.end);
    let end = comma.map_or(range.end, |comma| comma + 1);
    let line_start = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[end..].find('\n').map_or(text.len(), |at| end + at);
    let rest = text[end..line_end].trim();
    let first = text[line_start..range.start].trim().is_empty();
    if first && (rest.is_empty() || rest.starts_with('#')) {
        return line_start..(line_end + 1).min(text.len());
    }
    if comma.is_some() {
        let behind = &text[end..line_end];
        return range.start..end + (behind.len() - behind.trim_start_matches(blank).len());
    }
    // The last one: the comma before it goes, too.
    let before = text[..range.start].trim_end_matches(blank);
    match before.strip_suffix(',') {
        Some(before) => before.len()..range.end,
        None => range,
    }
}

/// Where the comma is that ends an item: behind blanks, line ends and comments.
fn comma_behind(text: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        match text[at..].chars().next()? {
            ',' => return Some(at),
            '#' => at += text[at..].find('\n')?,
            _ => return None,
        }
    }
}

/// Two compiled policies answer every question alike: by a rule of the same name and weight.
pub(super) fn decides_the_same(old: &[u8], new: &[u8]) -> bool {
    let (Ok(old), Ok(new)) = (Policy::decode(old), Policy::decode(new)) else { return false };
    let (a, b) = (Decisions::of(old), Decisions::of(new));
    let by = |of: &Decisions<'_>, workload: Option<u16>, thing: &Thing<'_>, operation| {
        let (effect, index) = of.winner(workload?, thing, operation)?;
        Some((effect, of.rules().get(index as usize)?.name.to_owned()))
    };
    let workloads =
        |of: &Policy<'_>| of.workloads().map(|of| (of.pattern.to_owned(), of.rate)).collect::<Vec<_>>();
    let kept = |of: &(String, Option<u32>)| workloads(&old).contains(of);
    old.mode() == new.mode()
        && old.self_protection() == new.self_protection()
        && old.deadman() == new.deadman()
        && workloads(&new).iter().all(kept)
        && classes(&old, &new).iter().all(|class| {
            things(&[(&a, class.old), (&b, class.new)]).iter().all(|thing| {
                thing.operations().iter().all(|operation| {
                    by(&a, class.old, thing, operation) == by(&b, class.new, thing, operation)
                })
            })
        })
}
