//! The policy language, version 1: TOML text to a policy that can be compiled.
//!
//! Every error knows its line. The table of keys below is the language; `docs/formats/policy.md` explains it.

use std::collections::BTreeMap;
use std::ops::Range;

use aegis_policy::{Action, Mode, Operation, Operations, PolicyError, Source, SourceRule, limits, names};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const SCHEMA: &str = "1";
const POLICY_KEYS: &[&str] = &["schema", "name", "mode", "workload", "rule"];
const WORKLOAD_KEYS: &[&str] = &["name"];
const RULE_KEYS: &[&str] = &["name", "workloads", "action", "operations", "paths", "tags"];
const MODES: &[&str] = &["audit", "enforce"];
const ACTIONS: &[&str] = &["audit", "deny"];
const OPERATIONS: &[&str] = &["open", "open-read", "open-write", "exec"];

/// What is wrong with a policy source, and where.
#[derive(Debug)]
pub(crate) struct SourceError {
    /// Line, from 1.
    pub(crate) line: usize,
    /// What is wrong, and the mend.
    pub(crate) message: String,
}

/// A policy as its author wrote it.
#[derive(Debug)]
pub(crate) struct PolicySource {
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) workloads: Vec<Placed<String>>,
    pub(crate) rules: Vec<Placed<RuleSource>>,
}

/// A rule as its author wrote it.
#[derive(Debug)]
pub(crate) struct RuleSource {
    pub(crate) name: String,
    pub(crate) action: Action,
    pub(crate) operations: Operations,
    /// Indexes into the workloads, from 1.
    pub(crate) workloads: Vec<u16>,
    pub(crate) paths: Vec<Placed<String>>,
    pub(crate) tags: Vec<String>,
}

/// A value and the line it stands on.
#[derive(Debug)]
pub(crate) struct Placed<T> {
    pub(crate) line: usize,
    pub(crate) value: T,
}

impl PolicySource {
    /// Reads policy source.
    pub(crate) fn parse(text: &str) -> Result<Self, SourceError> {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        let reader = Reader { ends };
        let table = DeTable::parse(text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            reader.error(&span, error.message())
        })?;
        reader.policy(&table)
    }

    /// Compiles it.
    pub(crate) fn compile(&self) -> Result<Vec<u8>, PolicyError> {
        aegis_policy::compile(&Source {
            name: &self.name,
            mode: self.mode,
            workloads: self.workloads.iter().map(|workload| workload.value.as_str()).collect(),
            rules: self.rules.iter().map(|rule| rule.value.borrow()).collect(),
        })
    }
}

impl RuleSource {
    fn borrow(&self) -> SourceRule<'_> {
        SourceRule {
            name: &self.name,
            action: self.action,
            operations: self.operations,
            workloads: self.workloads.clone(),
            paths: self.paths.iter().map(|path| path.value.as_str()).collect(),
            tags: self.tags.iter().map(String::as_str).collect(),
        }
    }
}

type Value<'t> = Spanned<DeValue<'t>>;
type Read<T> = Result<T, SourceError>;

struct Reader {
    /// Where the lines end, ascending: a policy at its limits asks for 100,000 line numbers.
    ends: Vec<usize>,
}

impl Reader {
    fn line(&self, span: &Range<usize>) -> usize {
        1 + self.ends.partition_point(|end| *end < span.start)
    }

    fn error(&self, span: &Range<usize>, message: impl Into<String>) -> SourceError {
        SourceError { line: self.line(span), message: message.into() }
    }

    fn policy(&self, table: &Spanned<DeTable<'_>>) -> Read<PolicySource> {
        // The top level spans the whole text: what is missing there is missing at the top.
        let table = Fields { reader: self, table: table.get_ref(), span: 0..0, what: "the policy" };
        table.only(POLICY_KEYS)?;
        let schema = table.required("schema")?;
        match schema.get_ref() {
            DeValue::Integer(number) if number.as_str() == SCHEMA && number.radix() == 10 => {}
            DeValue::Integer(_) => {
                return Err(
                    self.error(&schema.span(), "this aegisctl knows schema = 1 only; use a newer one")
                );
            }
            other => return Err(self.wrong_type(schema, "an integer", other)),
        }
        let name = self.string(table.required("name")?)?;
        if !names::is_policy_name(&name.value) {
            let message =
                format!("bad policy name \"{}\": 1 to {} of a-z, 0-9, -", name.value, limits::NAME_BYTES);
            return Err(at(name.line, message));
        }
        let mode = match self.one_of(table.required("mode")?, "mode", MODES)? {
            "enforce" => Mode::Enforce,
            _ => Mode::Audit,
        };
        let mut workloads = Vec::new();
        for entry in self.tables(&table, "workload")? {
            let workload = self.workload(&entry, &workloads)?;
            if workloads.len() == limits::WORKLOADS {
                return Err(at(workload.line, format!("more than {} workloads", limits::WORKLOADS)));
            }
            workloads.push(workload);
        }
        if workloads.is_empty() {
            let message = "no workload: add [[workload]] with a name (name = \"*\" for all)";
            return Err(at(1, message.to_owned()));
        }
        let mut rules: Vec<Placed<RuleSource>> = Vec::new();
        let (mut lines, mut entries) = (BTreeMap::new(), 0);
        for entry in self.tables(&table, "rule")? {
            let rule = self.rule(&entry, &workloads)?;
            if let Some(first) = lines.insert(rule.value.name.clone(), rule.line) {
                let message = format!("rule \"{}\" stands twice (first on line {first})", rule.value.name);
                return Err(at(rule.line, message));
            }
            entries += rule.value.paths.len() * rule.value.workloads.len();
            if rules.len() == limits::RULES || entries > limits::ENTRIES {
                return Err(at(rule.line, too_many(&rule.value.name)));
            }
            rules.push(rule);
        }
        Ok(PolicySource { name: name.value, mode, workloads, rules })
    }

    fn workload(&self, table: &Fields<'_>, before: &[Placed<String>]) -> Read<Placed<String>> {
        table.only(WORKLOAD_KEYS)?;
        let name = self.string(table.required("name")?)?;
        if !names::is_workload_pattern(&name.value) {
            let most = limits::WORKLOAD_BYTES;
            let rule = format!("1 to {most} of A-Z, a-z, 0-9, ., _, -, with at most one * at the end");
            return Err(at(name.line, format!("bad workload name \"{}\": {rule}", name.value)));
        }
        if let Some(first) = before.iter().find(|other| other.value == name.value) {
            let message =
                format!("workload \"{}\" is declared twice (first on line {})", name.value, first.line);
            return Err(at(name.line, message));
        }
        Ok(name)
    }

    fn rule(&self, table: &Fields<'_>, workloads: &[Placed<String>]) -> Read<Placed<RuleSource>> {
        table.only(RULE_KEYS)?;
        let name = self.string(table.required("name")?)?;
        if !names::is_rule_name(&name.value) {
            let most = limits::RULE_NAME_BYTES;
            return Err(at(
                name.line,
                format!("bad rule name \"{}\": 1 to {most} of a-z, 0-9, -", name.value),
            ));
        }
        let selected = match table.optional("workloads") {
            Some(list) => self.selection(list, workloads)?,
            None => (1..=workloads.len() as u16).collect(),
        };
        let action = match self.one_of(table.required("action")?, "action", ACTIONS)? {
            "deny" => Action::Deny,
            _ => Action::Audit,
        };
        let mut operations = Operations::default();
        for item in self.list(table.required("operations")?)? {
            match self.one_of(item, "operation", OPERATIONS)? {
                "open" => operations = operations.with(Operation::OpenRead).with(Operation::OpenWrite),
                name => {
                    operations = Operation::from_name(name).map_or(operations, |one| operations.with(one));
                }
            }
        }
        let mut paths = Vec::new();
        for item in self.list(table.required("paths")?)? {
            let path = self.string(item)?;
            if !names::is_path(&path.value) {
                return Err(at(path.line, bad_path(&path.value)));
            }
            paths.push(path);
        }
        let tags = table.optional("tags").map_or(Ok(Vec::new()), |list| self.tags(list))?;
        let rule = RuleSource { name: name.value, action, operations, workloads: selected, paths, tags };
        Ok(Placed { line: name.line, value: rule })
    }

    fn selection(&self, list: &Value<'_>, workloads: &[Placed<String>]) -> Read<Vec<u16>> {
        let mut selected = Vec::new();
        for item in self.list(list)? {
            let name = self.string(item)?;
            let Some(index) = workloads.iter().position(|workload| workload.value == name.value) else {
                let declared: Vec<&str> = workloads.iter().map(|workload| workload.value.as_str()).collect();
                let message =
                    format!("workload \"{}\" is not declared{}", name.value, suggest(&name.value, &declared));
                return Err(at(name.line, message));
            };
            selected.push(index as u16 + 1);
        }
        selected.sort_unstable();
        selected.dedup();
        Ok(selected)
    }

    fn tags(&self, list: &Value<'_>) -> Read<Vec<String>> {
        let DeValue::Array(items) = list.get_ref() else {
            return Err(self.wrong_type(list, "a list", list.get_ref()));
        };
        if items.len() > limits::TAGS {
            return Err(self.error(&list.span(), format!("more than {} tags", limits::TAGS)));
        }
        let tag = |item: &Value<'_>| {
            let tag = self.string(item)?;
            if names::is_tag(&tag.value) {
                return Ok(tag.value);
            }
            let rule = format!("1 to {} of A-Z, a-z, 0-9, ., _, -, :", limits::TAG_BYTES);
            Err(at(tag.line, format!("bad tag \"{}\": {rule}", tag.value)))
        };
        items.iter().map(tag).collect()
    }

    /// The tables of `[[key]]`.
    fn tables<'s>(&'s self, table: &Fields<'s>, key: &'static str) -> Read<Vec<Fields<'s>>> {
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

    /// A list of at least one item.
    fn list<'s>(&self, value: &'s Value<'s>) -> Read<&'s [Value<'s>]> {
        match value.get_ref() {
            DeValue::Array(items) if items.is_empty() => Err(self.error(&value.span(), "the list is empty")),
            DeValue::Array(items) => Ok(items),
            other => Err(self.wrong_type(value, "a list", other)),
        }
    }

    fn string(&self, value: &Value<'_>) -> Read<Placed<String>> {
        match value.get_ref() {
            DeValue::String(text) => Ok(Placed { line: self.line(&value.span()), value: text.to_string() }),
            other => Err(self.wrong_type(value, "a string", other)),
        }
    }

    fn one_of(&self, value: &Value<'_>, what: &str, known: &'static [&'static str]) -> Read<&'static str> {
        let text = self.string(value)?;
        known.iter().copied().find(|known| *known == text.value).ok_or_else(|| {
            at(text.line, format!("unknown {what} \"{}\"{}", text.value, suggest(&text.value, known)))
        })
    }

    fn wrong_type(&self, value: &Value<'_>, expected: &str, found: &DeValue<'_>) -> SourceError {
        self.error(
            &value.span(),
            format!("{expected} is needed here, not {} {}", article(found), found.type_str()),
        )
    }
}

/// The fields of one table.
struct Fields<'s> {
    reader: &'s Reader,
    table: &'s DeTable<'s>,
    span: Range<usize>,
    what: &'static str,
}

impl<'s> Fields<'s> {
    fn only(&self, known: &[&str]) -> Read<()> {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let message = format!("unknown key \"{name}\"{}", suggest(name, known));
                return Err(self.reader.error(&key.span(), message));
            }
        }
        Ok(())
    }

    fn optional(&self, name: &str) -> Option<&'s Value<'s>> {
        self.table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
    }

    fn required(&self, name: &str) -> Read<&'s Value<'s>> {
        self.optional(name)
            .ok_or_else(|| self.reader.error(&self.span, format!("\"{name}\" is missing from {}", self.what)))
    }
}

/// The line that follows these bytes, from 1.
pub(super) fn line_at(before: &[u8]) -> usize {
    before.split(|byte| *byte == b'\n').count()
}

fn at(line: usize, message: String) -> SourceError {
    SourceError { line, message }
}

fn article(value: &DeValue<'_>) -> &'static str {
    if matches!(value, DeValue::Integer(_) | DeValue::Array(_)) { "an" } else { "a" }
}

fn too_many(rule: &str) -> String {
    format!(
        "rule \"{rule}\" is more than the kernel's map holds: at most {} rules and {} paths x workloads in all; split the policy",
        limits::RULES,
        limits::ENTRIES
    )
}

/// Why a path is bad, by the first thing that is.
fn bad_path(path: &str) -> String {
    let mend = if !path.starts_with('/') {
        "write it from the root, with a leading /"
    } else if path.len() > limits::PATH_BYTES {
        "it is longer than 255 bytes"
    } else if path.len() > 1 && path.ends_with('/') {
        "leave out the / at the end; a rule is on the one file of that name"
    } else if path.chars().any(char::is_control) {
        "it has a control character"
    } else {
        "write it without empty, . and .. parts"
    };
    format!("bad path \"{path}\": {mend}")
}

/// ` (did you mean "x"?)`, or the list of what is known when nothing is near.
fn suggest(found: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(found, known), known))
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4);
    match near {
        Some((_, near)) => format!(" (did you mean \"{near}\"?)"),
        None => format!(" (known: {})", known.join(", ")),
    }
}
