//! The reader: bytes to a [`Config`], or everything that is wrong with them.
//!
//! `toml_parser` finds tokens and says in which order they come ([`EventReceiver`]); what they mean is decided here.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use aegis_age::Recipient;
use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::parser::{EventReceiver, ValidateWhitespace, parse_document};
use toml_parser::{ErrorSink, Expected, ParseError, Source, Span};

use crate::fault::{Code, Fault, Faults, shown};
use crate::keys::{self, KEYS, Key, Kind, TABLES};
use crate::nearest::nearest;
use crate::{Config, limits};

/// Reads a file.
///
/// # Errors
/// All that is wrong with it: then nothing of it counts.
pub fn read(bytes: &[u8]) -> Result<Config, Faults> {
    parse(bytes).map(|(config, _)| config)
}

/// True when a file is good and has this key: what a file that was cut short does not.
pub fn is_set(bytes: &[u8], table: &str, name: &str) -> bool {
    let is_it = |(key, seen): (&Key, bool)| seen && key.table == table && key.name == name;
    parse(bytes).is_ok_and(|(_, seen)| KEYS.iter().zip(seen).any(is_it))
}

/// Also which keys are there, by position in [`KEYS`].
fn parse(bytes: &[u8]) -> Result<(Config, [bool; KEYS.len()]), Faults> {
    if bytes.len() > limits::FILE_BYTES {
        let detail = format!("longer than {} bytes", limits::FILE_BYTES);
        return Err(Faults::one(0, Code::TooLong, detail));
    }
    let text = str::from_utf8(bytes).map_err(|error| {
        let line = line_of(bytes, error.valid_up_to());
        Faults::one(line, Code::NotText, "not UTF-8 text")
    })?;
    let source = Source::new(text);
    let tokens: Vec<_> = source.lex().take(limits::TOKENS + 1).collect();
    if tokens.len() > limits::TOKENS {
        let detail = format!("more than {} words and signs", limits::TOKENS);
        return Err(Faults::one(0, Code::TooLong, detail));
    }
    let mut syntax = Syntax { text, faults: Vec::new() };
    let mut reader = Reader::new(source);
    parse_document(&tokens, &mut ValidateWhitespace::new(&mut reader, source), &mut syntax);
    // What is no TOML is looked at no further: what it would mean is a guess.
    if let Some(faults) = Faults::from(syntax.faults) {
        return Err(faults);
    }
    let Reader { mut found, faults, seen, .. } = reader;
    if let Some(faults) = Faults::from(faults) {
        return Err(faults);
    }
    let mut config = Config::default();
    for (key, value) in KEYS.iter().zip(&mut found) {
        if let Some(value) = value.take() {
            value.put(key, &mut config);
        }
    }
    Ok((config, seen))
}

/// Line of a place, from 1.
fn line_of(bytes: &[u8], at: usize) -> usize {
    1 + bytes.iter().take(at).filter(|byte| **byte == b'\n').count()
}

fn add(faults: &mut Vec<Fault>, line: usize, code: Code, detail: String) {
    if faults.len() < limits::FAULTS {
        faults.push(Fault { line, code, detail });
    }
}

/// Where the parser's own complaints go.
struct Syntax<'s> {
    text: &'s str,
    faults: Vec<Fault>,
}

impl ErrorSink for Syntax<'_> {
    fn report_error(&mut self, error: ParseError) {
        let at = error.unexpected().or(error.context()).map_or(0, |span| span.start());
        let mut detail = String::from(error.description());
        for (index, expected) in error.expected().unwrap_or_default().iter().enumerate() {
            detail += if index == 0 { "; expected " } else { " or " };
            match expected {
                Expected::Literal(text) => detail += &shown(text),
                Expected::Description(text) => detail += text,
                _ => detail += "something else",
            }
        }
        // It describes bytes of the file: they may be anything.
        let detail = detail.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        add(&mut self.faults, line_of(self.text.as_bytes(), at), Code::Syntax, detail);
    }
}

/// A value that is permitted.
enum Value {
    Word(String),
    Number(u32),
    Recipients(Vec<String>),
}

impl Value {
    fn put(self, key: &Key, config: &mut Config) {
        match (self, key.kind) {
            (Self::Word(word), Kind::Choice { set, .. }) => set(config, &word),
            (Self::Word(word), Kind::Name { set, .. }) => set(config, word),
            (Self::Number(number), Kind::Number { set, .. }) => set(config, number),
            (Self::Recipients(recipients), Kind::Recipients { set, .. }) => set(config, recipients),
            // `Reader::take` makes values of the key's kind only.
            _ => {}
        }
    }
}

/// A value as it stands in the file.
struct Found<'s> {
    line: usize,
    kind: ScalarKind,
    text: Cow<'s, str>,
}

/// Where the next key belongs.
#[derive(Clone, Copy)]
enum At {
    /// Before any table.
    Top,
    Table(&'static str),
    /// One that is unknown: that was said, and what is in it is not looked at.
    Nowhere,
}

struct Reader<'s> {
    source: Source<'s>,
    faults: Vec<Fault>,
    /// By position in [`KEYS`].
    found: [Option<Value>; KEYS.len()],
    /// Keys that were there, right or wrong, by position in [`KEYS`].
    seen: [bool; KEYS.len()],
    tables: [bool; TABLES.len()],
    at: At,
    /// The name that is being read, and where it began.
    name: Option<(Cow<'s, str>, usize)>,
    /// It has a dot.
    dotted: bool,
    /// The key whose value is being read, by position; `None` for one that is not looked at.
    key: Option<usize>,
    line: usize,
    /// The array that is being read.
    list: Option<Vec<Found<'s>>>,
}

impl<'s> Reader<'s> {
    fn new(source: Source<'s>) -> Self {
        Self {
            source,
            faults: Vec::new(),
            found: [const { None }; KEYS.len()],
            seen: [false; KEYS.len()],
            tables: [false; TABLES.len()],
            at: At::Top,
            name: None,
            dotted: false,
            key: None,
            line: 0,
            list: None,
        }
    }

    fn line(&self, span: Span) -> usize {
        line_of(self.source.input().as_bytes(), span.start())
    }

    fn fault(&mut self, line: usize, code: Code, detail: impl Into<String>) {
        add(&mut self.faults, line, code, detail.into());
    }

    /// A name ends: its text and its line.
    fn take_name(&mut self) -> (Cow<'s, str>, usize, bool) {
        let (name, start) = self.name.take().unwrap_or_default();
        let line = line_of(self.source.input().as_bytes(), start);
        (name, line, core::mem::take(&mut self.dotted))
    }

    fn enter(&mut self) {
        let (name, line, dotted) = self.take_name();
        self.at = At::Nowhere;
        if dotted {
            return self.fault(line, Code::Form, format!("a table within {}: there are none", shown(&name)));
        }
        let Some(position) = TABLES.iter().position(|table| table.name == name) else {
            let known = TABLES.iter().map(|table| table.name);
            let detail = match nearest(&name, known) {
                Some(near) => format!("no table [{near}]? {} is none", shown(&name)),
                None => format!("{} is no table: there are {}", shown(&name), tables()),
            };
            return self.fault(line, Code::UnknownTable, detail);
        };
        if core::mem::replace(&mut self.tables[position], true) {
            self.fault(line, Code::Twice, format!("[{name}] was there already; put its keys together"));
        }
        self.at = At::Table(TABLES[position].name);
    }

    /// The key before `=`.
    fn choose(&mut self) {
        let (name, line, dotted) = self.take_name();
        (self.key, self.line) = (None, line);
        let table = match self.at {
            _ if dotted => {
                let detail =
                    format!("{}.…: write it as [table], then key = value on a line of its own", shown(&name));
                return self.fault(line, Code::Form, detail);
            }
            At::Nowhere => return,
            At::Top => {
                let detail = match KEYS.iter().find(|key| key.name == name) {
                    Some(key) => format!("{name} stands before any table; it belongs below [{}]", key.table),
                    None => format!("{} stands before any table: there are {}", shown(&name), tables()),
                };
                return self.fault(line, Code::UnknownKey, detail);
            }
            At::Table(table) => table,
        };
        let Some(position) = KEYS.iter().position(|key| key.table == table && key.name == name) else {
            let near = nearest(&name, keys::of(table).map(|key| key.name));
            let elsewhere = KEYS.iter().find(|key| key.name == name);
            let detail = match (elsewhere, near) {
                (Some(key), _) => format!("{name} belongs below [{}], not [{table}]", key.table),
                (None, Some(near)) => {
                    format!("{} is no key of [{table}] (did you mean {near}?)", shown(&name))
                }
                (None, None) => {
                    let known: Vec<_> = keys::of(table).map(|key| key.name).collect();
                    format!("{} is no key of [{table}]: there are {}", shown(&name), known.join(", "))
                }
            };
            return self.fault(line, Code::UnknownKey, detail);
        };
        if core::mem::replace(&mut self.seen[position], true) {
            return self.fault(line, Code::Twice, format!("{name} was there already; leave one"));
        }
        self.key = Some(position);
    }

    fn refuse(&mut self, key: &Key, line: usize, code: Code, found: &str) {
        self.fault(line, code, format!("{} = {found}: permitted is {}", key.name, key.permitted()));
    }

    /// A single value is there.
    fn take(&mut self, value: &Found<'s>) {
        let Some(position) = self.key.take() else { return };
        let key = &KEYS[position];
        match (key.kind, value.kind) {
            (Kind::Choice { words, .. }, ScalarKind::String) => {
                if words.contains(&&*value.text) {
                    self.found[position] = Some(Value::Word(value.text.clone().into_owned()));
                } else {
                    self.refuse(key, value.line, Code::OutOfRange, &shown(&value.text));
                }
            }
            (Kind::Name { .. }, ScalarKind::String) => {
                if is_name(&value.text) {
                    self.found[position] = Some(Value::Word(value.text.clone().into_owned()));
                } else {
                    self.refuse(key, value.line, Code::OutOfRange, &shown(&value.text));
                }
            }
            (Kind::Number { least, most, .. }, ScalarKind::Integer(radix)) => {
                match u32::from_str_radix(&value.text, radix.value()) {
                    Ok(number) if (least..=most).contains(&number) => {
                        self.found[position] = Some(Value::Number(number));
                    }
                    // Also one that no u32 holds, a negative one among them.
                    _ => self.refuse(key, value.line, Code::OutOfRange, &shown(&value.text).replace('"', "")),
                }
            }
            (_, kind) => self.refuse(key, value.line, Code::WrongType, kind.description()),
        }
    }

    /// An array is there.
    fn take_list(&mut self, line: usize, list: &[Found<'s>]) {
        let Some(position) = self.key.take() else { return };
        let key = &KEYS[position];
        if !matches!(key.kind, Kind::Recipients { .. }) {
            return self.refuse(key, line, Code::WrongType, "an array");
        }
        if list.len() > limits::RECIPIENTS {
            return self.refuse(key, line, Code::OutOfRange, &format!("{} of them", list.len()));
        }
        let mut recipients = Vec::with_capacity(list.len());
        for Found { line, kind, text } in list {
            if *kind != ScalarKind::String {
                self.refuse(key, *line, Code::WrongType, kind.description());
            } else if let Err(error) = Recipient::parse(text) {
                self.fault(*line, Code::OutOfRange, format!("{}: {error}", shown(text)));
            } else if recipients.iter().any(|known: &String| known == text) {
                self.fault(*line, Code::Twice, format!("{} was there already; leave one", shown(text)));
            } else {
                recipients.push(text.clone().into_owned());
            }
        }
        self.found[position] = Some(Value::Recipients(recipients));
    }
}

/// Of a file in one directory, and nowhere else; or empty.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':');
    text.len() <= limits::LED_BYTES && text.bytes().all(plain) && !matches!(text, "." | "..")
}

fn tables() -> String {
    let mut names: Vec<_> = TABLES.iter().map(|table| format!("[{}]", table.name)).collect();
    let last = names.pop().unwrap_or_default();
    format!("{} and {last}", names.join(", "))
}

impl EventReceiver for Reader<'_> {
    fn std_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        (self.name, self.dotted) = (None, false);
    }

    fn std_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.enter();
    }

    fn array_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) {
        (self.name, self.dotted, self.at) = (None, false, At::Nowhere);
        let line = self.line(span);
        self.fault(line, Code::Form, "[[…]] makes a list of tables; a table is written as […]");
    }

    fn array_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        (self.name, self.dotted) = (None, false);
    }

    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let mut text = Cow::Borrowed("");
        if let Some(raw) = self.source.get(span) {
            toml_parser::Raw::new_unchecked(raw.as_str(), encoding, span).decode_key(&mut text, error);
        }
        self.name.get_or_insert((text, span.start()));
    }

    fn key_sep(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.dotted = true;
    }

    fn key_val_sep(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.choose();
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let mut text = Cow::Borrowed("");
        let Some(raw) = self.source.get(span) else { return };
        let raw = toml_parser::Raw::new_unchecked(raw.as_str(), encoding, span);
        let kind = raw.decode_scalar(&mut text, error);
        let found = Found { line: self.line(span), kind, text };
        match &mut self.list {
            Some(list) => list.push(found),
            None => self.take(&found),
        }
    }

    fn array_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        if self.list.is_some() {
            let line = self.line(span);
            self.fault(line, Code::Form, "an array within an array: no key takes one");
            return false;
        }
        self.list = Some(Vec::new());
        true
    }

    fn array_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        if let Some(list) = self.list.take() {
            self.take_list(self.line, &list);
        }
    }

    fn inline_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        let line = self.line(span);
        self.key = None;
        self.fault(line, Code::Form, "{…}: write it as [table], then key = value on a line of its own");
        false
    }
}
