//! How a source is laid out: where its tables begin and end, and what of it is comment. By the parser's own tokens, so that
//! neither a bracket nor a `#` in a string counts.

use std::ops::{Range, RangeInclusive};

use toml_parser::Source;
use toml_parser::lexer::{Token, TokenKind};

use crate::policy::place::SourceFile;

/// What is where in one file.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Comments with their `#`, ascending.
    pub(super) comments: Vec<Range<usize>>,
    /// Tables of the top level with a header, ascending; one of their own (`[use.with]`, `[[template.rule]]`) belongs to them.
    tables: Vec<Table>,
}

/// A table with a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Its name: `rule`.
    key: String,
    /// Where the header begins.
    header: usize,
    /// From the comments right above the header up to the next table's.
    lines: RangeInclusive<usize>,
    /// Without what stands by itself before the next table: what goes when the table does.
    own: RangeInclusive<usize>,
}

/// What stands on a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Blank,
    Comment,
    Code,
}

impl Layout {
    pub(super) fn of(file: &SourceFile) -> Self {
        let mut lines = vec![Line::Blank; file.lines() + 1];
        let (mut comments, mut headers) = (Vec::new(), Vec::new());
        let (mut depth, mut first) = (0_usize, true);
        let tokens: Vec<Token> = Source::new(&file.text).lex().collect();
        for (index, token) in tokens.iter().enumerate() {
            let span = token.span().start()..token.span().end();
            match token.kind() {
                TokenKind::Newline => {
                    first = true;
                    continue;
                }
                TokenKind::Whitespace | TokenKind::Eof => continue,
                TokenKind::Comment => {
                    if let Some(line @ Line::Blank) = lines.get_mut(file.line(span.start) - 1) {
                        *line = Line::Comment;
                    }
                    comments.push(span);
                    continue;
                }
                TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => {
                    if first && depth == 0 {
                        headers.push((span.start, header(&file.text, &tokens[index..])));
                    }
                    depth += 1;
                }
                TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                    depth = depth.saturating_sub(1);
                }
                _ => {}
            }
            first = false;
            // A text of several lines is on all of them.
            for line in file.line(span.start)..=file.line(span.end.max(span.start + 1) - 1) {
                if let Some(line) = lines.get_mut(line - 1) {
                    *line = Line::Code;
                }
            }
        }
        Self { comments, tables: tables(file, &lines, headers) }
    }

    /// The table on whose lines a line is, by its index; none: above all of them.
    pub(super) fn table_on(&self, line: usize) -> Option<usize> {
        let before = self.tables.partition_point(|table| *table.lines.start() <= line);
        before.checked_sub(1)
    }

    /// The table in which a byte stands, if it is one of a list of tables of this name, and no other table stands in it.
    fn of_key(&self, file: &SourceFile, byte: usize, key: &str) -> Option<&Table> {
        let table = self.tables.get(self.table_on(file.line(byte))?)?;
        (table.key == key && table.header <= byte).then_some(table)
    }

    /// Whether a byte stands in a table with a header: one that is written out in a line has no lines of its own.
    pub(super) fn has_lines(&self, file: &SourceFile, byte: usize) -> bool {
        ["rule", "workload"].iter().any(|key| self.of_key(file, byte, key).is_some())
    }

    /// The bytes that go with the rule or workload in which a byte stands: its comments, and the blank lines behind it.
    pub(super) fn range(&self, file: &SourceFile, byte: usize) -> Option<Range<usize>> {
        let table = ["rule", "workload"].iter().find_map(|key| self.of_key(file, byte, key))?;
        let text = &file.text;
        let mut start = file.line_range(*table.own.start()).start;
        let mut end = (file.line_range(*table.own.end()).end + 1).min(text.len());
        // Lines with nothing on them.
        while let Some(line) = text[end..].split_inclusive('\n').next().filter(|line| line.trim().is_empty())
        {
            end += line.len();
        }
        if end == text.len() {
            // The last one takes the blank lines before it along.
            start = text[..start].trim_end().len();
            start += text[start..].find('\n').map_or(0, |at| at + 1);
        }
        Some(start..end)
    }
}

/// The name of a table, of its header's tokens, and whether it is one in another.
fn header(text: &str, tokens: &[Token]) -> (String, bool) {
    let mut key = None;
    for token in tokens {
        match token.kind() {
            TokenKind::Newline | TokenKind::Eof | TokenKind::RightSquareBracket => break,
            TokenKind::Dot => return (key.unwrap_or_default(), true),
            TokenKind::Atom | TokenKind::BasicString | TokenKind::LiteralString if key.is_none() => {
                let raw = text.get(token.span().start()..token.span().end()).unwrap_or_default();
                key = Some(raw.trim_matches(['"', '\'']).to_owned());
            }
            _ => {}
        }
    }
    (key.unwrap_or_default(), false)
}

fn tables(file: &SourceFile, lines: &[Line], headers: Vec<(usize, (String, bool))>) -> Vec<Table> {
    let on = |line: usize| lines.get(line - 1).copied().unwrap_or(Line::Blank);
    let mut tables: Vec<Table> = Vec::new();
    for (header, (key, inner)) in headers {
        if inner && tables.last().is_some_and(|above| above.key == key) {
            continue;
        }
        let mut first = file.line(header);
        while first > 1 && on(first - 1) == Line::Comment {
            first -= 1;
        }
        tables.push(Table { key, header, lines: first..=first, own: first..=first });
    }
    let ends: Vec<usize> =
        tables.iter().skip(1).map(|next| next.lines.start() - 1).chain([file.lines()]).collect();
    for (table, end) in tables.iter_mut().zip(ends) {
        let first = *table.lines.start();
        let mut last = (first..=end).rev().find(|line| on(*line) == Line::Code).unwrap_or(first);
        while last < end && on(last + 1) == Line::Comment {
            last += 1;
        }
        (table.lines, table.own) = (first..=end, first..=last);
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# of the file
a = \"[[rule]] # not one\"
# above
[[rule]]
name = '''
# no comment
[x]
''' # beside
# with it

# by itself

[[template]]
[[ template . rule ]]
list = [
  [1],
]
[[rule]]
[[template.rule]]
";

    #[test]
    fn tables_and_comments_are_the_parsers() {
        let file = SourceFile::new(String::new(), String::new(), None, TEXT.to_owned());
        let layout = Layout::of(&file);
        let comments: Vec<&str> = layout.comments.iter().map(|range| &TEXT[range.clone()]).collect();
        assert_eq!(comments, ["# of the file", "# above", "# beside", "# with it", "# by itself"]);
        let tables: Vec<_> =
            layout.tables.iter().map(|of| (of.key.as_str(), of.lines.clone(), of.own.clone())).collect();
        assert_eq!(
            tables,
            [
                ("rule", 3..=12, 3..=9),
                ("template", 13..=17, 13..=17),
                ("rule", 18..=18, 18..=18),
                ("template", 19..=19, 19..=19),
            ]
        );
    }
}
