//! Templates: rules with gaps, `${name}`, and how a use fills them.
//!
//! A gap in a name, an action or a mode takes one string. An item of a list becomes one item for every combination of what its gaps
//! take, in order, so that `"${home}/.ssh/${key}"` with two homes and three keys is six paths. `$${` is a plain `${`.

use std::collections::BTreeMap;

use super::limits;
use super::place::{Placed, SourceError};
use super::source::{Argument, RawRule, Read, Template, Text, Use, suggest};

/// A piece of a text with gaps.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    Plain(&'t str),
    Gap(&'t str),
}

/// Checks what can be checked before a template is used: every gap is closed and named.
pub(super) fn check(template: &Template) -> Read<()> {
    let known: Vec<&str> = template.parameters.iter().map(|name| name.value.as_str()).collect();
    for (index, name) in template.parameters.iter().enumerate() {
        let good = !name.value.is_empty()
            && name.value.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        if !good {
            let message = format!("bad parameter \"{}\": a-z, 0-9, -, _", name.value);
            return Err(SourceError::new(name.at, message));
        }
        if known[..index].contains(&name.value.as_str()) {
            return Err(SourceError::new(name.at, format!("parameter \"{}\" stands twice", name.value)));
        }
    }
    for text in template.rules.iter().flat_map(texts) {
        for piece in pieces(text)? {
            if let Piece::Gap(name) = piece
                && !known.contains(&name)
            {
                let message = format!(
                    "template \"{}\" has no parameter \"{name}\"{}",
                    template.name.value,
                    suggest(name, &known)
                );
                return Err(SourceError::new(text.at, message));
            }
        }
    }
    Ok(())
}

/// A rule that no template made: it has no gaps, and `$${` in it is a plain `${`, too.
pub(super) fn plain(rule: &RawRule) -> Read<RawRule> {
    if !texts(rule).any(|text| text.value.contains("${")) {
        return Ok(rule.clone());
    }
    for text in texts(rule) {
        for piece in pieces(text)? {
            if let Piece::Gap(name) = piece {
                let name = if name.len() > limits::SUGGESTED { "…" } else { name };
                let message = format!(
                    "${{{name}}} is a gap, and only a template's rules have gaps: write what it stands for, make it a \
                     [[template.rule]] with a [[use]], or write $${{ for a plain ${{"
                );
                return Err(SourceError::new(text.at, message));
            }
        }
    }
    Filling { arguments: BTreeMap::new(), single: Vec::new() }.rule(rule)
}

/// Parameters that no rule has a gap for.
pub(super) fn unused_parameters(template: &Template) -> impl Iterator<Item = &Text> {
    template.parameters.iter().filter(|name| {
        let gap = format!("${{{}}}", name.value);
        !template.rules.iter().flat_map(texts).any(|text| text.value.contains(&gap))
    })
}

fn texts(rule: &RawRule) -> impl Iterator<Item = &Text> {
    [&rule.name, &rule.action].into_iter().chain(&rule.mode).chain(rule.items())
}

/// The rules that a use makes, one at a time: whoever takes them stops when they are too many.
pub(super) fn fill<'t>(
    template: &'t Template,
    r#use: &'t Use,
) -> Read<impl Iterator<Item = Read<RawRule>> + 't> {
    let known: Vec<&str> = template.parameters.iter().map(|name| name.value.as_str()).collect();
    let mut arguments: BTreeMap<&str, &[String]> = BTreeMap::new();
    let mut single: Vec<&str> = Vec::new();
    for (name, argument) in &r#use.arguments {
        if !known.contains(&name.value.as_str()) {
            let what = &template.name.value;
            let message = format!(
                "template \"{what}\" has no parameter \"{}\"{}",
                name.value,
                suggest(&name.value, &known)
            );
            return Err(SourceError::new(name.at, message).also(template.name.at, "the template"));
        }
        let values = match argument {
            Argument::One(text) => {
                single.push(&name.value);
                std::slice::from_ref(text)
            }
            Argument::Many(texts) => texts.as_slice(),
        };
        arguments.insert(&name.value, values);
    }
    if let Some(missing) =
        template.parameters.iter().find(|name| !arguments.contains_key(name.value.as_str()))
    {
        let message = format!("template \"{}\" needs \"{}\" in `with`", template.name.value, missing.value);
        return Err(SourceError::new(r#use.at, message).also(missing.at, "the parameter"));
    }
    let filling = Filling { arguments, single };
    let rules = template.rules.iter();
    Ok(rules.map(move |rule| {
        filling.rule(rule).map_err(|error| error.also(r#use.at, "the template is used here"))
    }))
}

struct Filling<'u> {
    arguments: BTreeMap<&'u str, &'u [String]>,
    /// Those that are one string, not a list.
    single: Vec<&'u str>,
}

impl Filling<'_> {
    fn rule(&self, rule: &RawRule) -> Read<RawRule> {
        Ok(RawRule {
            at: rule.at,
            name: self.one(&rule.name)?,
            workloads: rule.workloads.as_ref().map(|list| self.list(list)).transpose()?,
            action: self.one(&rule.action)?,
            mode: rule.mode.as_ref().map(|mode| self.one(mode)).transpose()?,
            overrides: rule.overrides.clone(),
            operations: self.list(&rule.operations)?,
            paths: self.list(&rule.paths)?,
            trees: self.list(&rule.trees)?,
            addresses: self.list(&rule.addresses)?,
            ports: self.list(&rule.ports)?,
            protocols: self.list(&rule.protocols)?,
            hashes: self.list(&rule.hashes)?,
            tags: self.list(&rule.tags)?,
        })
    }

    fn one(&self, text: &Text) -> Read<Text> {
        for piece in pieces(text)? {
            if let Piece::Gap(name) = piece
                && !self.single.contains(&name)
            {
                let message = format!("\"{name}\" is a list; one string is needed here");
                return Err(SourceError::new(text.at, message));
            }
        }
        let mut all = self.item(text)?;
        Ok(all.swap_remove(0))
    }

    fn list(&self, list: &[Text]) -> Read<Vec<Text>> {
        let mut all = Vec::new();
        for text in list {
            all.extend(self.item(text)?);
            if all.len() > limits::ITEMS {
                return Err(SourceError::new(
                    text.at,
                    format!("the list has more than {} items", limits::ITEMS),
                ));
            }
        }
        Ok(all)
    }

    /// What one item becomes: at least one, since no list of arguments is empty.
    fn item(&self, text: &Text) -> Read<Vec<Text>> {
        let mut made = vec![String::new()];
        // Of the longest one: it is refused before any is made that is too long.
        let mut bytes = 0;
        for piece in pieces(text)? {
            let one;
            let values = match piece {
                Piece::Plain(plain) => {
                    one = [plain.to_owned()];
                    &one
                }
                Piece::Gap(name) => self.arguments.get(name).copied().unwrap_or_default(),
            };
            if made.len().saturating_mul(values.len()) > limits::ITEMS {
                let message = format!("it becomes more than {} items", limits::ITEMS);
                return Err(SourceError::new(text.at, message));
            }
            bytes += values.iter().map(String::len).max().unwrap_or(0);
            if bytes > limits::ITEM_BYTES {
                let message = format!("it becomes longer than {} bytes", limits::ITEM_BYTES);
                return Err(SourceError::new(text.at, message));
            }
            match values {
                [value] if value.is_empty() => {}
                [value] => made.iter_mut().for_each(|text| text.push_str(value)),
                values => {
                    made = made
                        .iter()
                        .flat_map(|before| values.iter().map(move |value| format!("{before}{value}")))
                        .collect();
                }
            }
        }
        Ok(made.into_iter().map(|value| Placed { at: text.at, value }).collect())
    }
}

fn pieces(text: &Text) -> Read<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut rest = text.value.as_str();
    while let Some(at) = rest.find("${") {
        let before = &rest[..at];
        if let Some(plain) = before.strip_suffix('$') {
            pieces.extend([Piece::Plain(plain), Piece::Plain("${")]);
            rest = &rest[at + 2..];
            continue;
        }
        let Some(end) = rest[at..].find('}') else {
            let message = "the gap has no end: write ${name}, or $${ for a plain ${";
            return Err(SourceError::new(text.at, message));
        };
        pieces.extend([Piece::Plain(before), Piece::Gap(&rest[at + 2..at + end])]);
        rest = &rest[at + end + 1..];
    }
    pieces.push(Piece::Plain(rest));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::{Piece, pieces};
    use crate::policy::place::{At, Placed};

    #[test]
    fn gaps_are_found() {
        for (text, expected) in [
            ("/etc", vec![Piece::Plain("/etc")]),
            ("${a}/x", vec![Piece::Plain(""), Piece::Gap("a"), Piece::Plain("/x")]),
            ("/$${a}$", vec![Piece::Plain("/"), Piece::Plain("${"), Piece::Plain("a}$")]),
        ] {
            let placed = Placed { at: At::default(), value: text.to_owned() };
            assert_eq!(pieces(&placed).expect(text), expected, "{text}");
        }
        let open = Placed { at: At::default(), value: "/${a".to_owned() };
        assert!(pieces(&open).is_err());
    }
}
