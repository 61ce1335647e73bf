//! `# lint: allow CODE`: a warning that the author has looked at and means.

use std::ops::RangeInclusive;

use super::{Code, Finding};
use crate::policy::Compiled;
use crate::policy::place::{At, SourceFile, Sources};

/// One code that a comment allows, in a range of lines.
struct Allowed {
    at: At,
    code: String,
    lines: RangeInclusive<usize>,
}

/// Takes away what comments allow.
pub(super) fn filter(sources: &Sources, findings: &mut Vec<Finding>) {
    let allowed = allowed(sources);
    findings.retain(|finding| !allowed.iter().any(|allowed| allowed.covers(sources, finding)));
}

/// Comments that allow nothing. Not of included files: there they may speak for another policy.
pub(super) fn unused(compiled: &Compiled) -> Vec<Finding> {
    let mut all = super::look::over(compiled);
    all.extend(super::reach::findings(compiled));
    let sources = &compiled.sources;
    allowed(sources)
        .into_iter()
        .filter(|allowed| allowed.at.file == 0 && allowed.code != Code::MissingPath.name())
        .filter(|allowed| !all.iter().any(|finding| allowed.covers(sources, finding)))
        .map(|allowed| (Code::ALL.iter().any(|code| code.name() == allowed.code), allowed))
        // What a file to include warns of is seen where it is included.
        .filter(|(known, _)| !known || !compiled.source.fragment)
        .map(|(known, allowed)| {
            let names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
            let message = if known {
                format!("nothing here warns of {}", allowed.code)
            } else {
                format!(
                    "\"{}\" is no code{}",
                    allowed.code,
                    crate::policy::source::suggest(&allowed.code, &names)
                )
            };
            Finding::new(Code::UnusedAllow, allowed.at, message)
        })
        .collect()
}

impl Allowed {
    fn covers(&self, sources: &Sources, finding: &Finding) -> bool {
        self.code == finding.code.name()
            && self.at.file == finding.at.file
            && self.lines.contains(&sources.line(finding.at))
    }
}

fn allowed(sources: &Sources) -> Vec<Allowed> {
    let mut all = Vec::new();
    for (index, file) in sources.0.iter().enumerate() {
        if !file.text.contains("lint: allow") {
            continue;
        }
        let tables = tables(file);
        for line in 1..=file.lines() {
            let range = file.line_range(line);
            let Some((start, codes)) = codes(&file.text[range.clone()]) else { continue };
            let lines = match tables.iter().find(|table| table.contains(&line)) {
                Some(table) => table.clone(),
                // Above all tables: of the whole file.
                None => 1..=file.lines(),
            };
            let mut at = range.start + start;
            for code in codes.split(',') {
                let word = code.trim();
                let begin = at + (code.len() - code.trim_start().len());
                at += code.len() + 1;
                if !word.is_empty() {
                    let at = At::new(index, &(begin..begin + word.len()));
                    all.push(Allowed { at, code: word.to_owned(), lines: lines.clone() });
                }
            }
        }
    }
    all
}

/// Where the list of codes begins in a line that has one, and the list: what may be in one, and no more.
fn codes(line: &str) -> Option<(usize, &str)> {
    let comment = line.find('#')?;
    let start = comment + line[comment..].find("lint: allow ")? + "lint: allow ".len();
    let end = line[start..]
        .find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | ',' | ' ')))
        .map_or(line.len(), |end| start + end);
    let list = &line[start..end];
    // A word behind a blank that no comma precedes is prose: the reason.
    let mut stop = list.len();
    let mut comma = true;
    for (at, c) in list.char_indices() {
        match c {
            ',' => comma = true,
            ' ' => {}
            _ if !comma && list[..at].ends_with(' ') => {
                stop = at;
                break;
            }
            _ => comma = false,
        }
    }
    Some((start, &list[..stop]))
}

/// The lines of each table, with the comments right above its header.
pub(super) fn tables(file: &SourceFile) -> Vec<RangeInclusive<usize>> {
    let line = |number: usize| file.text[file.line_range(number)].trim();
    let mut starts = Vec::new();
    for number in 1..=file.lines() {
        // A list of the language holds no lists, so a line that begins with `[` is a header. `[use.with]` belongs to the
        // table above it.
        if line(number).starts_with('[')
            && !line(number).starts_with("[use.")
            && !line(number).starts_with("[[template.")
        {
            let mut first = number;
            while first > 1 && line(first - 1).starts_with('#') {
                first -= 1;
            }
            starts.push(first);
        }
    }
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([file.lines()]);
    starts.iter().zip(ends).map(|(start, end)| *start..=end).collect()
}

#[cfg(test)]
mod tests {
    use super::codes;

    #[test]
    fn codes_end_where_the_reason_begins() {
        for (line, expected) in [
            ("# lint: allow over-broad", Some("over-broad")),
            ("x = 1 # lint: allow a-b, c: because", Some("a-b, c")),
            ("# lint: allow self-locking it is meant", Some("self-locking ")),
            ("# lint: allow self-locking (meant)", Some("self-locking ")),
            ("lint: allow x", None),
            ("# allow x", None),
        ] {
            assert_eq!(codes(line).map(|found| found.1), expected, "{line}");
        }
    }
}
