//! `# lint: allow CODE`: a warning that the author has looked at and means.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::Layout;
use super::{Code, Finding};
use crate::policy::limits;
use crate::policy::place::{At, Sources};
use crate::policy::source::suggest;

/// A code in one table of one file; none: in all of the file.
type Place<'c> = (u16, Option<usize>, &'c str);

/// Every code that comments of a policy's files allow.
pub(super) struct Allows {
    /// Of the files that have such comments, by index.
    layouts: BTreeMap<u16, Layout>,
    all: Vec<Allowed>,
}

/// One code that a comment allows, in a table or in all of its file.
struct Allowed {
    at: At,
    code: String,
    table: Option<usize>,
}

impl Allows {
    pub(super) fn of(sources: &Sources) -> Self {
        let (mut layouts, mut all) = (BTreeMap::new(), Vec::new());
        for (index, file) in (0..).zip(&sources.0) {
            if !file.text.contains("lint: allow") {
                continue;
            }
            let layout = Layout::of(file);
            for comment in &layout.comments {
                let Some((start, codes)) = codes(&file.text[comment.clone()]) else { continue };
                let table = layout.table_on(file.line(comment.start));
                let mut at = comment.start + start;
                for code in codes.split(',') {
                    let word = code.trim();
                    let begin = at + (code.len() - code.trim_start().len());
                    at += code.len() + 1;
                    if !word.is_empty() {
                        let at = At::new(usize::from(index), &(begin..begin + word.len()));
                        all.push(Allowed { at, code: word.to_owned(), table });
                    }
                }
            }
            layouts.insert(index, layout);
        }
        Self { layouts, all }
    }

    /// Where a finding stands.
    fn place(&self, sources: &Sources, finding: &Finding) -> Place<'static> {
        let at = finding.at;
        let table = self.layouts.get(&at.file).and_then(|layout| layout.table_on(sources.line(at)));
        (at.file, table, finding.code.name())
    }

    /// Takes away what comments allow.
    pub(super) fn filter(&self, sources: &Sources, findings: &mut Vec<Finding>) {
        let allowed: BTreeSet<Place<'_>> =
            self.all.iter().map(|of| (of.at.file, of.table, of.code.as_str())).collect();
        findings.retain(|finding| {
            let (file, table, code) = self.place(sources, finding);
            !allowed.contains(&(file, table, code)) && !allowed.contains(&(file, None, code))
        });
    }

    /// Comments that allow none of these. Not of included files: there they may speak for another policy; nor, in a file to
    /// include, of a code that is known: it may be seen where that is included.
    pub(super) fn unused(&self, sources: &Sources, fragment: bool, findings: &[Finding]) -> Vec<Finding> {
        let mut seen = BTreeSet::new();
        for finding in findings {
            let (file, table, code) = self.place(sources, finding);
            seen.extend([(file, table, code), (file, None, code)]);
        }
        let names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        let unused = self.all.iter().filter(|allowed| {
            let known = names.contains(&allowed.code.as_str());
            allowed.at.file == 0
                && allowed.code != Code::MissingPath.name()
                && !(known && fragment)
                && !seen.contains(&(0, allowed.table, allowed.code.as_str()))
        });
        let finding = |(index, allowed): (usize, &Allowed)| {
            let code = allowed.code.as_str();
            let message = if names.contains(&code) {
                format!("nothing here warns of {code}")
            } else {
                // What is not shown needs no near word: looking for it takes its time.
                let near = if index < limits::FINDINGS { suggest(code, &names) } else { String::new() };
                format!("\"{code}\" is no code{near}")
            };
            Finding::new(Code::UnusedAllow, allowed.at, message)
        };
        unused.enumerate().map(finding).collect()
    }
}

/// Where the list of codes begins in a comment that has one, and the list: what may be in one, and no more.
fn codes(line: &str) -> Option<(usize, &str)> {
    let start = line.find("lint: allow ")? + "lint: allow ".len();
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

#[cfg(test)]
mod tests {
    use super::codes;

    #[test]
    fn codes_end_where_the_reason_begins() {
        for (line, expected) in [
            ("# lint: allow over-broad", Some("over-broad")),
            ("# odd # lint: allow a-b, c: because", Some("a-b, c")),
            ("# lint: allow self-locking it is meant", Some("self-locking ")),
            ("# lint: allow self-locking (meant)", Some("self-locking ")),
            ("# allow x", None),
        ] {
            assert_eq!(codes(line).map(|found| found.1), expected, "{line}");
        }
    }
}
