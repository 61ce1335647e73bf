//! The policy language, version 1: one file of TOML, read into what its author wrote.
//!
//! Every value knows its place. The tables of keys below are the language; `docs/formats/policy.md` explains it. What the
//! values mean is [`super::resolve`]'s to say, when all files are read and the templates are filled in.

use std::ops::{Range, RangeInclusive};

use aegis_policy::limits::DEADMAN_SECONDS;
use aegis_policy::{Argv, Deadman};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::alert::{self, AlertSource};
use super::limits;
use super::place::{At, Placed, SourceError};
use super::site::SiteSource;

const SCHEMA: &str = "1";
const FILE_KEYS: &[&str] = &[
    "schema",
    "name",
    "mode",
    "self-protection",
    "argv",
    "deadman",
    "site",
    "include",
    "workload",
    "rule",
    "alert",
    "template",
    "use",
];
const DEADMAN_KEYS: &[&str] = &["denials", "seconds"];
const WORKLOAD_KEYS: &[&str] = &["name", "rate"];
pub(crate) const RULE_KEYS: &[&str] = &[
    "name",
    "workloads",
    "action",
    "mode",
    "override",
    "operations",
    "paths",
    "trees",
    "addresses",
    "ports",
    "protocols",
    "hashes",
    "tags",
];
const TEMPLATE_KEYS: &[&str] = &["name", "parameters", "rule"];
const USE_KEYS: &[&str] = &["template", "with"];

pub(crate) type Read<T> = Result<T, SourceError>;
pub(crate) type Text = Placed<String>;

/// One file as it is written; nothing in it is judged but its shape.
#[derive(Debug)]
pub(crate) struct Unit {
    /// Of the policy itself; a file that is only included has none of these five.
    pub(crate) name: Option<Text>,
    pub(crate) mode: Option<Text>,
    pub(crate) self_protection: Option<Placed<bool>>,
    pub(crate) argv: Option<Placed<Argv>>,
    pub(crate) deadman: Option<Placed<Deadman>>,
    pub(crate) site: Option<Placed<SiteSource>>,
    pub(crate) includes: Vec<Text>,
    pub(crate) workloads: Vec<RawWorkload>,
    pub(crate) templates: Vec<Template>,
    pub(crate) alerts: Vec<AlertSource>,
    /// Rules and uses of templates, in the order of the text.
    pub(crate) items: Vec<Item>,
}

#[derive(Debug)]
pub(crate) enum Item {
    Rule(Box<RawRule>),
    Use(Use),
}

/// A workload in words.
#[derive(Clone, Debug)]
pub(crate) struct RawWorkload {
    pub(crate) name: Text,
    /// Events a second.
    pub(crate) rate: Option<u32>,
}

/// A rule in words. No list in it is empty that was written; one that is not there is.
#[derive(Clone, Debug)]
pub(crate) struct RawRule {
    /// Its header.
    pub(crate) at: At,
    pub(crate) name: Text,
    pub(crate) workloads: Option<Vec<Text>>,
    pub(crate) action: Text,
    pub(crate) mode: Option<Text>,
    pub(crate) overrides: Option<Placed<bool>>,
    pub(crate) operations: Vec<Text>,
    pub(crate) paths: Vec<Text>,
    pub(crate) trees: Vec<Text>,
    pub(crate) addresses: Vec<Text>,
    /// Numbers, and ranges of them.
    pub(crate) ports: Vec<Text>,
    /// Numbers and names.
    pub(crate) protocols: Vec<Text>,
    pub(crate) hashes: Vec<Text>,
    pub(crate) tags: Vec<Text>,
}

impl RawRule {
    /// Every list that says what the rule is on.
    pub(crate) fn targets(&self) -> [(&'static str, &[Text]); 6] {
        [
            ("paths", &self.paths),
            ("trees", &self.trees),
            ("addresses", &self.addresses),
            ("ports", &self.ports),
            ("protocols", &self.protocols),
            ("hashes", &self.hashes),
        ]
    }

    /// Every item of every list.
    pub(crate) fn items(&self) -> impl Iterator<Item = &Text> {
        let targets = self.targets().into_iter().flat_map(|(_, list)| list);
        self.workloads.iter().flatten().chain(&self.operations).chain(targets).chain(&self.tags)
    }
}

/// Rules with gaps, `${name}`, that each use fills.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) name: Text,
    pub(crate) parameters: Vec<Text>,
    pub(crate) rules: Vec<RawRule>,
}

/// The filling of a template's gaps.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) at: At,
    pub(crate) template: Text,
    pub(crate) arguments: Vec<(Text, Argument)>,
}

#[derive(Debug)]
pub(crate) enum Argument {
    One(String),
    Many(Vec<String>),
}

/// Reads one file's text.
pub(crate) fn read(file: usize, text: &str) -> Read<Unit> {
    let reader = Reader { file };
    reader.unit(&reader.parse(text)?)
}

pub(crate) type Value<'t> = Spanned<DeValue<'t>>;

/// Reads one file's values.
pub(crate) struct Reader {
    pub(crate) file: usize,
}

impl Reader {
    pub(crate) fn parse<'t>(&self, text: &'t str) -> Read<Spanned<DeTable<'t>>> {
        DeTable::parse(text).map_err(|error| self.error(&error.span().unwrap_or(0..0), error.message()))
    }

    pub(crate) fn at(&self, span: &Range<usize>) -> At {
        At::new(self.file, span)
    }

    pub(crate) fn error(&self, span: &Range<usize>, message: impl Into<String>) -> SourceError {
        SourceError::new(self.at(span), message)
    }

    /// The first version of a language.
    pub(crate) fn schema(&self, table: &Fields<'_>) -> Read<()> {
        let schema = table.required("schema")?;
        match schema.get_ref() {
            DeValue::Integer(number) if number.as_str() == SCHEMA && number.radix() == 10 => Ok(()),
            DeValue::Integer(_) => {
                Err(self.error(&schema.span(), "this aegisctl knows schema = 1 only; use a newer one"))
            }
            other => Err(self.wrong_type(schema, "an integer", other)),
        }
    }

    fn unit(&self, table: &Spanned<DeTable<'_>>) -> Read<Unit> {
        // The top level spans the whole text: what is missing there is missing at the top.
        let table = Fields { reader: self, table: table.get_ref(), span: 0..0, what: "the policy" };
        table.only(FILE_KEYS)?;
        self.schema(&table)?;
        let text = |key| table.optional(key).map(|value| self.string(value)).transpose();
        let includes = table.optional("include").map_or(Ok(Vec::new()), |list| self.strings(list))?;
        let mut workloads = Vec::new();
        for entry in self.tables(&table, "workload")? {
            entry.only(WORKLOAD_KEYS)?;
            let name = self.string(entry.required("name")?)?;
            let rate = entry.optional("rate").map(|value| self.number(value, 1..=u32::MAX)).transpose()?;
            workloads.push(RawWorkload { name, rate });
        }
        let mut templates = Vec::new();
        for entry in self.tables(&table, "template")? {
            templates.push(self.template(&entry)?);
        }
        let mut alerts = Vec::new();
        for entry in self.tables(&table, "alert")? {
            alerts.push(alert::read(self, &entry)?);
        }
        let mut items = Vec::new();
        for entry in self.tables(&table, "rule")? {
            items.push(Item::Rule(Box::new(self.rule(&entry)?)));
        }
        for entry in self.tables(&table, "use")? {
            items.push(Item::Use(self.r#use(&entry)?));
        }
        items.sort_by_key(Item::at);
        Ok(Unit {
            name: text("name")?,
            mode: text("mode")?,
            self_protection: table
                .optional("self-protection")
                .map(|value| self.boolean(value))
                .transpose()?,
            argv: table.optional("argv").map(|value| self.argv(value)).transpose()?,
            deadman: table.optional("deadman").map(|value| self.deadman(value)).transpose()?,
            site: table.optional("site").map(|value| super::site::read(self, value)).transpose()?,
            includes,
            workloads,
            templates,
            alerts,
            items,
        })
    }

    fn argv(&self, value: &Value<'_>) -> Read<Placed<Argv>> {
        let text = self.string(value)?;
        Ok(Placed { at: text.at, value: super::check::argv(&text)? })
    }

    fn deadman(&self, value: &Value<'_>) -> Read<Placed<Deadman>> {
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong_type(value, "a table", value.get_ref()));
        };
        let table = Fields { reader: self, table, span: value.span(), what: "deadman" };
        table.only(DEADMAN_KEYS)?;
        let denials = self.number(table.required("denials")?, 1..=u32::MAX)?;
        let seconds = self.number(table.required("seconds")?, 1..=DEADMAN_SECONDS)?;
        Ok(Placed { at: self.at(&value.span()), value: Deadman { denials, seconds } })
    }

    fn rule(&self, table: &Fields<'_>) -> Read<RawRule> {
        table.only(RULE_KEYS)?;
        let list = |key| table.optional(key).map_or(Ok(Vec::new()), |list| self.list_of_strings(list));
        Ok(RawRule {
            at: self.at(&table.span),
            name: self.string(table.required("name")?)?,
            workloads: table.optional("workloads").map(|list| self.list_of_strings(list)).transpose()?,
            action: self.string(table.required("action")?)?,
            mode: table.optional("mode").map(|value| self.string(value)).transpose()?,
            overrides: table.optional("override").map(|value| self.boolean(value)).transpose()?,
            operations: self.list_of_strings(table.required("operations")?)?,
            paths: list("paths")?,
            trees: list("trees")?,
            addresses: list("addresses")?,
            ports: self.list_of_numbers(table.optional("ports"))?,
            protocols: self.list_of_numbers(table.optional("protocols"))?,
            hashes: list("hashes")?,
            tags: table.optional("tags").map_or(Ok(Vec::new()), |list| self.strings(list))?,
        })
    }

    fn template(&self, table: &Fields<'_>) -> Read<Template> {
        table.only(TEMPLATE_KEYS)?;
        let name = self.string(table.required("name")?)?;
        let parameters = table.optional("parameters").map_or(Ok(Vec::new()), |list| self.strings(list))?;
        if let Some(more) = parameters.get(limits::PARAMETERS) {
            return Err(SourceError::new(more.at, format!("more than {} parameters", limits::PARAMETERS)));
        }
        let rules = self.tables(table, "rule")?;
        if rules.is_empty() {
            let message = format!("template \"{}\" has no rule: add [[template.rule]]", name.value);
            return Err(SourceError::new(name.at, message));
        }
        let rules = rules.iter().map(|rule| self.rule(rule)).collect::<Read<_>>()?;
        Ok(Template { name, parameters, rules })
    }

    fn r#use(&self, table: &Fields<'_>) -> Read<Use> {
        table.only(USE_KEYS)?;
        let template = self.string(table.required("template")?)?;
        let mut arguments = Vec::new();
        if let Some(value) = table.optional("with") {
            let DeValue::Table(with) = value.get_ref() else {
                return Err(self.wrong_type(value, "a table", value.get_ref()));
            };
            for (key, value) in with {
                let name = Placed { at: self.at(&key.span()), value: key.get_ref().to_string() };
                let argument = match value.get_ref() {
                    DeValue::String(text) => Argument::One(text.to_string()),
                    DeValue::Array(_) => {
                        let items = self.list_of_strings(value)?;
                        Argument::Many(items.into_iter().map(|item| item.value).collect())
                    }
                    other => return Err(self.wrong_type(value, "a string or a list of them", other)),
                };
                arguments.push((name, argument));
            }
        }
        Ok(Use { at: self.at(&table.span), template, arguments })
    }

    /// The tables of `[[key]]`.
    pub(crate) fn tables<'s>(&'s self, table: &Fields<'s>, key: &'static str) -> Read<Vec<Fields<'s>>> {
        let Some(value) = table.optional(key) else { return Ok(Vec::new()) };
        let DeValue::Array(items) = value.get_ref() else {
            return Err(
                self.error(&value.span(), format!("write [[{key}]], with two brackets, for each {key}"))
            );
        };
        let fields = |item: &'s Value<'s>| match item.get_ref() {
            DeValue::Table(table) => Ok(Fields { reader: self, table, span: item.span(), what: key }),
            other => Err(self.wrong_type(item, "a table", other)),
        };
        items.iter().map(fields).collect()
    }

    /// A list of strings; not empty.
    pub(crate) fn list_of_strings(&self, value: &Value<'_>) -> Read<Vec<Text>> {
        let items = self.strings(value)?;
        if items.is_empty() { Err(self.error(&value.span(), "the list is empty")) } else { Ok(items) }
    }

    pub(crate) fn strings(&self, value: &Value<'_>) -> Read<Vec<Text>> {
        match value.get_ref() {
            DeValue::Array(items) => items.iter().map(|item| self.string(item)).collect(),
            other => Err(self.wrong_type(value, "a list", other)),
        }
    }

    /// A list of strings and of numbers, which become the strings that they are written as; not empty.
    pub(crate) fn list_of_numbers(&self, list: Option<&Value<'_>>) -> Read<Vec<Text>> {
        let Some(list) = list else { return Ok(Vec::new()) };
        let DeValue::Array(items) = list.get_ref() else {
            return Err(self.wrong_type(list, "a list", list.get_ref()));
        };
        if items.is_empty() {
            return Err(self.error(&list.span(), "the list is empty"));
        }
        let item = |item: &Value<'_>| match item.get_ref() {
            DeValue::Integer(_) => {
                let value = self.number(item, 0..=u32::from(u16::MAX))?.to_string();
                Ok(Placed { at: self.at(&item.span()), value })
            }
            DeValue::String(_) => self.string(item),
            other => Err(self.wrong_type(item, "a number or a string", other)),
        };
        items.iter().map(item).collect()
    }

    /// A whole number of this range.
    pub(crate) fn number(&self, value: &Value<'_>, range: RangeInclusive<u32>) -> Read<u32> {
        let DeValue::Integer(number) = value.get_ref() else {
            return Err(self.wrong_type(value, "a number", value.get_ref()));
        };
        let found = u32::from_str_radix(number.as_str(), number.radix()).ok();
        found.filter(|number| range.contains(number)).ok_or_else(|| {
            let message = format!("a number from {} to {} is needed here", range.start(), range.end());
            self.error(&value.span(), message)
        })
    }

    fn boolean(&self, value: &Value<'_>) -> Read<Placed<bool>> {
        match value.get_ref() {
            DeValue::Boolean(truth) => Ok(Placed { at: self.at(&value.span()), value: *truth }),
            other => Err(self.wrong_type(value, "true or false", other)),
        }
    }

    pub(crate) fn string(&self, value: &Value<'_>) -> Read<Text> {
        match value.get_ref() {
            DeValue::String(text) => Ok(Placed { at: self.at(&value.span()), value: text.to_string() }),
            other => Err(self.wrong_type(value, "a string", other)),
        }
    }

    pub(crate) fn wrong_type(&self, value: &Value<'_>, expected: &str, found: &DeValue<'_>) -> SourceError {
        let article = if matches!(found, DeValue::Integer(_) | DeValue::Array(_)) { "an" } else { "a" };
        let message = format!("{expected} is needed here, not {article} {}", found.type_str());
        self.error(&value.span(), message)
    }
}

impl Item {
    pub(crate) fn at(&self) -> At {
        match self {
            Self::Rule(rule) => rule.at,
            Self::Use(r#use) => r#use.at,
        }
    }
}

/// The fields of one table.
pub(crate) struct Fields<'s> {
    pub(crate) reader: &'s Reader,
    pub(crate) table: &'s DeTable<'s>,
    pub(crate) span: Range<usize>,
    pub(crate) what: &'static str,
}

impl<'s> Fields<'s> {
    pub(crate) fn only(&self, known: &[&str]) -> Read<()> {
        // Of several the first in the text: the table's own order is the alphabet's.
        let unknown = self.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
        match unknown.min_by_key(|key| key.span().start) {
            Some(key) => {
                let message =
                    format!("unknown key \"{}\"{}", key.get_ref(), suggest(key.get_ref().as_ref(), known));
                Err(self.reader.error(&key.span(), message))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn optional(&self, name: &str) -> Option<&'s Value<'s>> {
        self.table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
    }

    pub(crate) fn required(&self, name: &str) -> Read<&'s Value<'s>> {
        self.optional(name)
            .ok_or_else(|| self.reader.error(&self.span, format!("\"{name}\" is missing from {}", self.what)))
    }
}

/// ` (did you mean "x"?)`, or the list of what is known when nothing is near.
pub(crate) fn suggest(found: &str, known: &[&str]) -> String {
    // The distance takes time and memory by the product of both: nobody mistypes what is longer.
    let near = known
        .iter()
        .filter(|known| found.len().max(known.len()) <= limits::SUGGESTED)
        .map(|known| (strsim::damerau_levenshtein(found, known), known))
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4);
    match near {
        Some((_, near)) => format!(" (did you mean \"{near}\"?)"),
        None if known.is_empty() => String::new(),
        None => format!(" (known: {})", known.join(", ")),
    }
}
