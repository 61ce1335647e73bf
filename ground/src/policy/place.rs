//! Places in policy sources, and how a person is shown one: the line with a caret under it.

use std::io::IsTerminal;
use std::ops::Range;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::limits;

/// A range of bytes of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    /// Index into [`Sources`].
    pub(crate) file: u16,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl At {
    /// Of a file that is not longer than [`aegis_policy::limits::SOURCE_BYTES`].
    pub(crate) fn new(file: usize, span: &Range<usize>) -> Self {
        Self { file: file as u16, start: span.start as u32, end: span.end as u32 }
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Placed<T> {
    pub(crate) at: At,
    pub(crate) value: T,
}

/// What is wrong with a policy source, and where.
#[derive(Debug)]
pub(crate) struct SourceError {
    pub(crate) at: At,
    /// What is wrong, and the mend.
    pub(crate) message: String,
    /// Another place that has to do with it, and what.
    pub(crate) also: Option<(At, &'static str)>,
}

impl SourceError {
    pub(crate) fn new(at: At, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), also: None }
    }

    /// The same, with another place, unless there is one already.
    pub(crate) fn also(mut self, at: At, what: &'static str) -> Self {
        self.also.get_or_insert((at, what));
        self
    }
}

/// One file of a policy.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// As a person named it.
    pub(crate) name: String,
    /// From the policy's directory: the same wherever the policy lies.
    pub(crate) inside: String,
    /// Its one name in the file system; none for text that is in no file.
    pub(crate) path: Option<PathBuf>,
    pub(crate) text: String,
    /// Where the lines end, ascending: a policy at its limits asks for 100,000 line numbers.
    ends: Vec<usize>,
}

impl SourceFile {
    pub(crate) fn new(name: String, inside: String, path: Option<PathBuf>, text: String) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { name, inside, path, text, ends }
    }

    /// The line of a byte, from 1.
    pub(crate) fn line(&self, byte: usize) -> usize {
        1 + self.ends.partition_point(|end| *end < byte)
    }

    /// The bytes of a line, from 1, without its end.
    pub(crate) fn line_range(&self, line: usize) -> Range<usize> {
        let start = line.checked_sub(2).map_or(0, |before| self.ends.get(before).map_or(0, |end| end + 1));
        start..self.ends.get(line - 1).copied().unwrap_or(self.text.len())
    }

    pub(crate) fn lines(&self) -> usize {
        self.ends.len() + usize::from(!self.text.ends_with('\n') && !self.text.is_empty())
    }
}

/// The files that a policy is made of; the first is the policy itself.
#[derive(Debug, Default)]
pub(crate) struct Sources(pub(crate) Vec<SourceFile>);

impl Sources {
    pub(crate) fn file(&self, at: At) -> &SourceFile {
        &self.0[usize::from(at.file)]
    }

    /// Line of a place, from 1.
    pub(crate) fn line(&self, at: At) -> usize {
        self.file(at).line(at.start as usize)
    }

    /// Column of a place in characters, from 1.
    pub(crate) fn column(&self, at: At) -> usize {
        let file = self.file(at);
        let line = file.line_range(file.line(at.start as usize));
        1 + file.text.get(line.start..at.start as usize).map_or(0, |before| before.chars().count())
    }

    /// `policy.toml:7`.
    pub(crate) fn name(&self, at: At) -> String {
        format!("{}:{}", self.file(at).name, self.line(at))
    }

    /// The line with a caret under the place, for the person who is told on stderr what is wrong there.
    pub(crate) fn point(&self, error: &SourceError) -> String {
        let group = self.show(Group::with_level(Level::ERROR), error.at, None);
        let group = match error.also {
            Some((at, what)) if at.file != error.at.file || self.line(at) != self.line(error.at) => {
                self.show(group, at, Some(what))
            }
            _ => group,
        };
        render(group, std::io::stderr().is_terminal())
    }

    /// A warning, its code and its line, for a person on stdout.
    pub(crate) fn warning(
        &self,
        at: At,
        code: &'static str,
        message: &str,
        help: Option<&'static str>,
    ) -> String {
        let title = Level::WARNING.primary_title(plain(message)).id(code);
        let mut group = self.show(Group::with_title(title), at, None);
        if let Some(help) = help {
            group = group.element(Level::HELP.message(help));
        }
        render(group, std::io::stdout().is_terminal())
    }

    /// Only the lines of the place, and of a long one what is around it: the library would go through all of it each time.
    fn show<'g>(&'g self, group: Group<'g>, at: At, label: Option<&'static str>) -> Group<'g> {
        let file = self.file(at);
        let first = file.line(at.start as usize);
        let line = file.line_range(first);
        // A table's place may be many lines; its first says which.
        let start = (at.start as usize).clamp(line.start, line.end);
        let end = (at.end as usize).clamp(start, line.end);
        let long = line.len() > limits::SHOWN;
        let (from, end, to) = if long {
            let at = |byte| file.text.floor_char_boundary(byte);
            let end = end.min(at(start + limits::SHOWN / 2));
            (
                at(line.start.max(start.saturating_sub(limits::SHOWN / 4))),
                end,
                at(line.end.min(end + limits::SHOWN / 4)),
            )
        } else {
            (line.start, end, line.end)
        };
        let mut text = plain(&file.text[from..start]);
        let begin = text.len();
        text.push_str(&plain(&file.text[start..end]));
        let span = begin..text.len();
        text.push_str(&plain(&file.text[end..to]));
        let kind = if label.is_some() { AnnotationKind::Context } else { AnnotationKind::Primary };
        let snippet = Snippet::source(text).line_start(first).annotation(kind.span(span).label(label));
        if long {
            // The column in what is shown is not that in the line.
            let origin = Origin::path(plain(&file.name)).line(first).char_column(self.column(at));
            group.element(origin).element(snippet)
        } else {
            group.element(snippet.path(plain(&file.name)))
        }
    }
}

/// Text without what may drive a terminal and the library lets through: the control characters C1.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if ('\u{80}'..='\u{9f}').contains(&c) { '\u{fffd}' } else { c }).collect()
}

fn render(group: Group<'_>, terminal: bool) -> String {
    // https://no-color.org
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
    // Between a place that is given by itself and its line the library has room for another place, left empty.
    let text = renderer.render(&[group]);
    text.lines()
        .filter(|line| uncoloured(line).trim() != ":::")
        .fold(String::new(), |out, line| out + line + "\n")
}

/// A line without what colours it.
fn uncoloured(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| out + part.split_once('m').map_or("", |(_, rest)| rest))
}
