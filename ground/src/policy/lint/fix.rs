//! Mending: small edits of the text, so that all else in it stays as its author wrote it.

use std::ops::Range;

use aegis_policy::Policy;

use super::layout::Layout;
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

impl Fix {
    /// Whether it can be done where it stands: a table that is written out in a line has no lines to take out or to add to.
    pub(super) fn is_possible(&self, file: &SourceFile, layout: &Layout) -> bool {
        match self {
            Self::Item(_) | Self::Replace(..) => true,
            Self::Table(at) | Self::Behind(at, _) => layout.has_lines(file, at.start as usize),
        }
    }
}

/// Applies what does not touch each other, in the text's order; none when there is nothing to do.
pub(super) fn apply(text: &str, fixes: impl Iterator<Item = Fix>) -> Option<String> {
    let file = SourceFile::new(String::new(), String::new(), None, text.to_owned());
    let layout = Layout::of(&file);
    let mut edits: Vec<(Range<usize>, String)> = fixes.filter_map(|fix| edit(&file, &layout, fix)).collect();
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

fn edit(file: &SourceFile, layout: &Layout, fix: Fix) -> Option<(Range<usize>, String)> {
    match fix {
        Fix::Item(at) => Some((item(file, at.range()), String::new())),
        Fix::Replace(at, with) => Some((at.range(), with)),
        Fix::Behind(at, line) => {
            let end = file.line_range(file.line(at.start as usize)).end;
            // As the lines of the file end.
            let carriage = if file.text[..end].ends_with('\r') { "\r" } else { "" };
            // Only behind a value that ends on its line: a text of several lines has its end elsewhere.
            (at.end as usize <= end).then(|| (end..end, format!("\n{line}{carriage}")))
        }
        Fix::Table(at) => Some((layout.range(file, at.start as usize)?, String::new())),
    }
}

/// An item of a list with its comma; its whole line when nothing else is on it but a comment, which is its own.
fn item(file: &SourceFile, range: Range<usize>) -> Range<usize> {
    let text = file.text.as_str();
    let blank = |c: char| matches!(c, ' ' | '\t');
    let comma = comma_behind(text, range.end);
    let end = comma.map_or(range.end, |comma| comma + 1);
    // Not searched for in the text: a list may be one long line.
    let line_start = file.line_range(file.line(range.start)).start;
    let line_end = file.line_range(file.line(end)).end;
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

/// What no compiled policy shows is as it was: templates and where they are used, what is included.
pub(super) fn keeps_the_rest(old: &str, new: &str) -> bool {
    let (Ok(old), Ok(new)) = (toml::from_str::<toml::Table>(old), toml::from_str::<toml::Table>(new)) else {
        return false;
    };
    ["schema", "name", "include", "template", "use"].iter().all(|key| old.get(*key) == new.get(*key))
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
        && old.argv() == new.argv()
        && old.deadman() == new.deadman()
        && old.alerts().bytes() == new.alerts().bytes()
        && workloads(&new).iter().all(kept)
        && classes(&old, &new).iter().all(|class| {
            things(&[(&a, class.old), (&b, class.new)]).iter().all(|thing| {
                thing.operations().iter().all(|operation| {
                    by(&a, class.old, thing, operation) == by(&b, class.new, thing, operation)
                })
            })
        })
}
