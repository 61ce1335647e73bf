//! `[[alert]]`: what is told of the figures that a device measures of itself. Read, checked against the contract of metrics, written
//! down again.

use std::collections::BTreeSet;
use std::fmt::Write;

use aegis_metrics::{Id, Resets, Type};
use aegis_policy::{
    Condition, Outputs, Relation, Severity, SourceAlert, SourceMatch, Way, limits as bounds, names,
};
use toml::de::DeValue;

use super::check::{bad_rule_name, one_of};
use super::place::{At, Placed, SourceError};
use super::source::{Fields, Read, Reader, Text, Value, suggest};

pub(crate) const ALERT_KEYS: &[&str] = &[
    "name",
    "severity",
    "metric",
    "labels",
    "except",
    "of",
    "less",
    "above",
    "below",
    "increase",
    "decrease",
    "change",
    "absent",
    "unmoved",
    "within",
    "clear",
    "for",
    "clear-for",
    "outputs",
    "meaning",
    "mend",
];
/// Of those, what it fires on: one of them.
const CONDITIONS: &[&str] = &["above", "below", "increase", "decrease", "change", "absent", "unmoved"];
const SEVERITIES: &[&str] = &["info", "warning", "critical"];
const OUTPUTS: &[&str] = &["console", "syslog", "stick", "led"];

/// An alert, checked.
#[derive(Clone, Debug)]
pub(crate) struct AlertSource {
    /// Its header.
    pub(crate) at: At,
    pub(crate) name: Text,
    severity: Severity,
    metric: Text,
    /// Label, values; and whether it is none of them.
    matches: Vec<(Text, Vec<Text>, bool)>,
    relation: Option<(Relation, Text)>,
    condition: Condition,
    /// It says by itself what it takes to be over.
    clears: bool,
    hold: u32,
    clear_hold: u32,
    pub(crate) outputs: Vec<Text>,
    meaning: Text,
    mend: Text,
}

/// Reads one.
pub(crate) fn read(reader: &Reader, table: &Fields<'_>) -> Read<AlertSource> {
    table.only(ALERT_KEYS)?;
    let name = reader.string(table.required("name")?)?;
    if !names::is_rule_name(&name.value) {
        return Err(SourceError::new(name.at, bad_rule_name("alert", &name.value)));
    }
    let severity = reader.string(table.required("severity")?)?;
    let severity =
        Severity::from_name(one_of(&severity, "severity", SEVERITIES)?).unwrap_or(Severity::Warning);
    let metric = reader.string(table.required("metric")?)?;
    let id = self::metric(&metric)?;
    let outputs = table.optional("outputs").map_or(Ok(Vec::new()), |list| reader.strings(list))?;
    for output in &outputs {
        one_of(output, "output", OUTPUTS)?;
    }
    let seconds = |key: &str| -> Read<u32> {
        let value = table.optional(key).map(|value| reader.number(value, 0..=bounds::ALERT_SECONDS));
        value.transpose().map(Option::unwrap_or_default)
    };
    let condition = condition(reader, table, id, &metric)?;
    let relation = relation(reader, table, id, &metric, &condition)?;
    Ok(AlertSource {
        at: reader.at(&table.span),
        severity,
        matches: matches(reader, table, id)?,
        relation,
        condition,
        clears: table.optional("clear").is_some(),
        hold: seconds("for")?,
        clear_hold: seconds("clear-for")?,
        outputs,
        meaning: text(reader, table, "meaning")?,
        mend: text(reader, table, "mend")?,
        name,
        metric,
    })
}

/// A metric of the contract, by its name.
fn metric(name: &Text) -> Read<Id> {
    Id::from_name(&name.value).ok_or_else(|| {
        let known: Vec<&str> = Id::ALL.iter().map(|id| id.family().name()).collect();
        let near = suggest(&name.value, &known);
        // All of them are too many to be said.
        let near = if near.starts_with(" (known") { " (docs/metrics.md has all of them)" } else { &near };
        SourceError::new(name.at, format!("there is no metric \"{}\"{near}", name.value))
    })
}

fn text(reader: &Reader, table: &Fields<'_>, key: &str) -> Read<Text> {
    let text = reader.string(table.required(key)?)?;
    if names::is_alert_text(&text.value) {
        return Ok(text);
    }
    let most = bounds::ALERT_TEXT_BYTES;
    Err(SourceError::new(text.at, format!("\"{key}\" is 1 to {most} bytes without control characters")))
}

fn condition(reader: &Reader, table: &Fields<'_>, id: Id, metric: &Text) -> Read<Condition> {
    let fail = |at: At, message: String| Err(SourceError::new(at, message));
    let mut found = CONDITIONS.iter().filter_map(|key| Some((*key, table.optional(key)?)));
    let Some((key, value)) = found.next() else {
        let message = format!("the alert fires on nothing: give it one of {}", CONDITIONS.join(", "));
        return fail(reader.at(&table.span), message);
    };
    if let Some((other, value)) = found.next() {
        let message = format!("of \"{key}\" and \"{other}\" one at most: make two alerts of it");
        return fail(reader.at(&value.span()), message);
    }
    let at = reader.at(&value.span());
    let family = id.family();
    let name = &metric.value;
    if family.kind == Type::Histogram {
        return fail(metric.at, format!("{name} is a histogram, which has no one figure"));
    }
    let is_counter = family.kind == Type::Counter;
    if key == "increase" && !is_counter {
        return fail(at, format!("{name} is a gauge: write \"change\" or \"decrease\""));
    }
    if matches!(key, "decrease" | "change") && is_counter {
        return fail(at, format!("{name} is a counter: write \"increase\""));
    }
    let within = table.optional("within");
    let moves = matches!(key, "increase" | "decrease" | "change");
    if let (Some(within), false) = (within, moves) {
        let message =
            format!("\"within\" is for increase, decrease and change; leave it out of one on {key}");
        return fail(reader.at(&within.span()), message);
    }
    let clear = table.optional("clear").map(|value| thousandths(reader, value)).transpose()?;
    if let (Some(clear), "absent" | "unmoved") = (&clear, key) {
        return fail(clear.at, format!("\"clear\" is a figure; leave it out of one on {key}"));
    }
    if key == "absent" {
        return match value.get_ref() {
            DeValue::Boolean(true) => Ok(Condition::Absent),
            _ => fail(at, "write absent = true, and with `for` how long".to_owned()),
        };
    }
    if key == "unmoved" {
        let seconds = reader.number(value, 1..=bounds::ALERT_SECONDS)?;
        return Ok(Condition::Unmoved { seconds });
    }
    let threshold = thousandths(reader, value)?.value;
    let limit = clear.as_ref().map_or(threshold, |clear| clear.value);
    let wrong_side = if key == "below" { limit < threshold } else { limit > threshold };
    if let (Some(clear), true) = (&clear, wrong_side) {
        let side = if key == "below" { "below" } else { "above" };
        return fail(clear.at, format!("\"clear\" is {side} what it fires on: it would never be over"));
    }
    let clear = limit;
    if !moves {
        return Ok(if key == "above" {
            Condition::Above { threshold, clear }
        } else {
            Condition::Below { threshold, clear }
        });
    }
    if threshold < 0 || clear < 0 {
        return fail(at, "how much it moves is not negative".to_owned());
    }
    let Some(within) = within else {
        return fail(at, format!("say within how many seconds: within = 300, beside {key}"));
    };
    let seconds = reader.number(within, 1..=bounds::ALERT_SECONDS)?;
    let way = match key {
        "increase" => Way::Increase { kept: family.resets == Resets::Ring },
        "decrease" => Way::Decrease,
        _ => Way::Change,
    };
    Ok(Condition::Moved { way, threshold, clear, seconds })
}

fn relation(
    reader: &Reader,
    table: &Fields<'_>,
    id: Id,
    metric: &Text,
    condition: &Condition,
) -> Read<Option<(Relation, Text)>> {
    let of = [("of", Relation::Of), ("less", Relation::Less)];
    let mut found = of.into_iter().filter_map(|(key, relation)| Some((key, relation, table.optional(key)?)));
    let Some((key, relation, value)) = found.next() else { return Ok(None) };
    let other = reader.string(value)?;
    let fail = |message: String| Err(SourceError::new(other.at, message));
    if found.next().is_some() {
        return fail("of \"of\" and \"less\" one at most".to_owned());
    }
    if !matches!(condition, Condition::Above { .. } | Condition::Below { .. }) {
        return fail(format!("\"{key}\" goes with above and below alone"));
    }
    let second = self::metric(&other)?.family();
    let labels = |labels: &'static [aegis_metrics::Label]| labels.iter().map(|label| label.name);
    if second.kind == Type::Histogram || !labels(second.labels).eq(labels(id.family().labels)) {
        return fail(format!(
            "{} has not the labels of {}: no two of their series go together",
            other.value, metric.value
        ));
    }
    Ok(Some((relation, other)))
}

fn matches(reader: &Reader, table: &Fields<'_>, id: Id) -> Read<Vec<(Text, Vec<Text>, bool)>> {
    let mut all: Vec<(Text, Vec<Text>, bool)> = Vec::new();
    let family = id.family();
    for (key, except) in [("labels", false), ("except", true)] {
        let Some(value) = table.optional(key) else { continue };
        let DeValue::Table(labels) = value.get_ref() else {
            return Err(reader.wrong_type(value, "a table of labels", value.get_ref()));
        };
        for (label, values) in labels {
            let name = Placed { at: reader.at(&label.span()), value: label.get_ref().to_string() };
            let Some(known) = family.labels.iter().find(|known| known.name == name.value) else {
                let known: Vec<&str> = family.labels.iter().map(|known| known.name).collect();
                let near = suggest(&name.value, &known);
                let message = format!("{} has no label \"{}\"{near}", family.name(), name.value);
                return Err(SourceError::new(name.at, message));
            };
            let values = match values.get_ref() {
                DeValue::String(_) => vec![reader.string(values)?],
                _ => reader.list_of_strings(values)?,
            };
            if let Some(more) = values.get(bounds::ALERT_VALUES) {
                return Err(SourceError::new(more.at, format!("more than {} values", bounds::ALERT_VALUES)));
            }
            for value in &values {
                self::value(known, value)?;
            }
            if all.len() == bounds::ALERT_MATCHES {
                let message = format!("more than {} labels", bounds::ALERT_MATCHES);
                return Err(SourceError::new(name.at, message));
            }
            all.push((name, values, except));
        }
    }
    // In the text's order: the table's own is the alphabet's.
    all.sort_by_key(|(name, ..)| name.at);
    Ok(all)
}

/// A value that the label can have.
fn value(label: &aegis_metrics::Label, value: &Text) -> Read<()> {
    let known = label.known();
    if known.as_ref().is_some_and(|known| !known.contains(&value.value.as_str())) {
        let near = suggest(&value.value, &known.unwrap_or_default());
        let message = format!("label {} is never \"{}\"{near}", label.name, value.value);
        return Err(SourceError::new(value.at, message));
    }
    if names::is_label_value(&value.value) {
        return Ok(());
    }
    let most = bounds::ALERT_VALUE_BYTES;
    Err(SourceError::new(value.at, format!("a value is 1 to {most} bytes without control characters")))
}

/// A number with up to three decimal places.
fn thousandths(reader: &Reader, value: &Value<'_>) -> Read<Placed<i64>> {
    let written = match value.get_ref() {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
        DeValue::Float(number) => number.as_str(),
        other => return Err(reader.wrong_type(value, "a number", other)),
    };
    match parse(&written.replace('_', "")) {
        Some(number) => Ok(Placed { at: reader.at(&value.span()), value: number }),
        None => Err(reader.error(&value.span(), "a number with at most three decimal places is needed here")),
    }
}

fn parse(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(rest) || rest.len() > 3 {
        return None;
    }
    let number = format!("{whole}{rest:0<3}").parse::<i64>().ok()?;
    Some(if negative { -number } else { number })
}

/// As it is written in a source.
pub(super) fn decimal(thousandths: i64) -> String {
    aegis_event::Thousandths(thousandths).to_string()
}

impl AlertSource {
    pub(super) fn borrow(&self) -> SourceAlert<'_> {
        let bit = |name: &str| {
            let found = Outputs::ALL.iter().find(|(_, word)| *word == name);
            found.map_or(0, |(output, _)| output.bits())
        };
        let outputs = self.outputs.iter().fold(0, |bits, output| bits | bit(&output.value));
        SourceAlert {
            name: &self.name.value,
            severity: self.severity,
            metric: &self.metric.value,
            relation: self.relation.as_ref().map(|(relation, other)| (*relation, other.value.as_str())),
            matches: self
                .matches
                .iter()
                .map(|(label, values, except)| SourceMatch {
                    label: &label.value,
                    except: *except,
                    // What stands twice says no more.
                    values: values
                        .iter()
                        .map(|value| value.value.as_str())
                        .collect::<BTreeSet<_>>()
                        .into_iter()
                        .collect(),
                })
                .collect(),
            condition: self.condition,
            hold: self.hold,
            clear_hold: self.clear_hold,
            outputs: Outputs::from_bits(outputs).unwrap_or_default(),
            meaning: &self.meaning.value,
            mend: &self.mend.value,
        }
    }

    /// Every list of words of it, to be looked over.
    pub(super) fn lists(&self) -> impl Iterator<Item = &[Text]> {
        let values = self.matches.iter().map(|(_, values, _)| values.as_slice());
        values.chain([self.outputs.as_slice()])
    }

    /// It fires, and is over, with each look at which its figure is on the other side.
    pub(super) fn flaps(&self) -> bool {
        let still = matches!(self.condition, Condition::Above { .. } | Condition::Below { .. });
        still && self.hold == 0 && self.clear_hold == 0 && !self.clears
    }

    pub(super) fn write(&self, out: &mut String) -> std::fmt::Result {
        let quoted = |text: &str| toml_edit::Value::from(text).to_string();
        let (name, metric) = (quoted(&self.name.value), quoted(&self.metric.value));
        let severity = quoted(self.severity.name());
        writeln!(out, "[[alert]]\nname = {name}\nseverity = {severity}\nmetric = {metric}")?;
        for (key, wanted) in [("labels", false), ("except", true)] {
            let of = self.matches.iter().filter(|(.., except)| *except == wanted);
            let pairs: Vec<String> = of
                .map(|(label, values, _)| {
                    let values: Vec<String> = values.iter().map(|value| quoted(&value.value)).collect();
                    format!("{} = [{}]", label.value, values.join(", "))
                })
                .collect();
            if !pairs.is_empty() {
                writeln!(out, "{key} = {{ {} }}", pairs.join(", "))?;
            }
        }
        if let Some((relation, other)) = &self.relation {
            let key = if *relation == Relation::Of { "of" } else { "less" };
            writeln!(out, "{key} = {}", quoted(&other.value))?;
        }
        out.push_str(&said(self.condition));
        for (key, seconds) in [("for", self.hold), ("clear-for", self.clear_hold)] {
            if seconds > 0 {
                writeln!(out, "{key} = {seconds}")?;
            }
        }
        if !self.outputs.is_empty() {
            let outputs: Vec<String> = self.outputs.iter().map(|output| quoted(&output.value)).collect();
            writeln!(out, "outputs = [{}]", outputs.join(", "))?;
        }
        writeln!(out, "meaning = {}\nmend = {}", quoted(&self.meaning.value), quoted(&self.mend.value))
    }
}

/// A condition, as keys of a source, a line each.
pub(super) fn said(condition: Condition) -> String {
    let figure = |key: &str, threshold: i64, clear: i64| {
        let clear = if clear == threshold { String::new() } else { format!("clear = {}\n", decimal(clear)) };
        format!("{key} = {}\n{clear}", decimal(threshold))
    };
    match condition {
        Condition::Above { threshold, clear } => figure("above", threshold, clear),
        Condition::Below { threshold, clear } => figure("below", threshold, clear),
        Condition::Moved { way, threshold, clear, seconds } => {
            let key = match way {
                Way::Increase { .. } => "increase",
                Way::Decrease => "decrease",
                Way::Change => "change",
            };
            format!("{}within = {seconds}\n", figure(key, threshold, clear))
        }
        Condition::Absent => "absent = true\n".to_owned(),
        Condition::Unmoved { seconds } => format!("unmoved = {seconds}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::{decimal, parse};

    #[test]
    fn numbers_have_three_decimal_places_at_most() {
        for (text, number) in [
            ("5", Some(5000)),
            ("-0.25", Some(-250)),
            ("0.001", Some(1)),
            ("+7.5", Some(7500)),
            ("0.0001", None),
            ("1e3", None),
            ("inf", None),
            ("", None),
            ("9223372036854775807", None),
        ] {
            assert_eq!(parse(text), number, "{text}");
        }
        for number in [0, 1, -1, 1000, 12_340, -5] {
            assert_eq!(parse(&decimal(number)), Some(number));
        }
    }
}
