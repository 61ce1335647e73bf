//! What is wrong with a file.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::limits;

/// What kind of fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Longer than it may be, or of more tokens.
    TooLong,
    /// Not UTF-8, or a character that TOML does not take.
    NotText,
    /// Not TOML.
    Syntax,
    /// TOML, in a form that is not taken: dotted keys, inline tables, arrays of tables.
    Form,
    /// No table has this name.
    UnknownTable,
    /// No key of this table has this name.
    UnknownKey,
    /// A table or key that is there already.
    Twice,
    /// A value of another type.
    WrongType,
    /// A value of the right type that is not among those permitted.
    OutOfRange,
}

impl Code {
    /// The stable reason code (`docs/config.md`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::NotText => "not-text",
            Self::Syntax => "syntax",
            Self::Form => "form",
            Self::UnknownTable => "unknown-table",
            Self::UnknownKey => "unknown-key",
            Self::Twice => "twice",
            Self::WrongType => "wrong-type",
            Self::OutOfRange => "out-of-range",
        }
    }

    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::TooLong,
        Self::NotText,
        Self::Syntax,
        Self::Form,
        Self::UnknownTable,
        Self::UnknownKey,
        Self::Twice,
        Self::WrongType,
        Self::OutOfRange,
    ];
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// What kind.
    pub code: Code,
    /// What, and what would be right. One line, without control characters.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        write!(f, "{} ({})", self.detail, self.code.name())
    }
}

/// What is wrong with a file, in the order of its lines: at least one fault, and the first [`limits::FAULTS`] of more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Each of them.
    pub fn iter(&self) -> core::slice::Iter<'_, Fault> {
        self.0.iter()
    }

    pub(crate) fn one(line: usize, code: Code, detail: impl Into<String>) -> Self {
        Self(Vec::from([Fault { line, code, detail: detail.into() }]))
    }

    /// `None` when there are none.
    pub(crate) fn from(mut faults: Vec<Fault>) -> Option<Self> {
        faults.sort_by_key(|fault| fault.line);
        (!faults.is_empty()).then_some(Self(faults))
    }
}

impl<'f> IntoIterator for &'f Faults {
    type Item = &'f Fault;
    type IntoIter = core::slice::Iter<'f, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    /// The first one, and how many more there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(first) = self.0.first() {
            first.fmt(f)?;
        }
        match self.0.len() {
            0 | 1 => Ok(()),
            n if n < limits::FAULTS => write!(f, ", and {} more", n - 1),
            n => write!(f, ", and {} more at least", n - 1),
        }
    }
}

/// Something of a file, for people: in quotes, cut, control characters escaped.
pub(crate) fn shown(text: &str) -> String {
    let mut characters = text.chars();
    let mut front = String::new();
    front.extend(characters.by_ref().take(limits::SHOWN));
    if characters.next().is_some() { format!("{front:?}…") } else { format!("{front:?}") }
}
