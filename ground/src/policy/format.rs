//! `aegisctl policy fmt`: the one form of a policy source. What it says and its comments stay.

use std::path::PathBuf;

use aegis_policy::limits as bounds;
use serde_json::json;
use toml_edit::{Array, DocumentMut, Formatted, InlineTable, Item, Table, Value};

use super::alert::ALERT_KEYS;
use super::place::{At, SourceError, SourceFile, Sources};
use super::source::{RULE_KEYS, Read, read};
use super::{Trouble, limits};
use crate::outcome::{Failure, Outcome, Status};
use crate::{files, output};

pub(super) const EXAMPLES: &str = "\
Examples:
  aegisctl policy fmt site.toml lib/*.toml
  aegisctl policy fmt --check policy-bundles/*.toml

Exit codes: 0 formatted, 1 refused, or not formatted with --check, 2 wrong use.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Policy sources (TOML)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Change nothing; say which files are not in the one form
    #[arg(long)]
    check: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let mut changed = Vec::new();
    for file in &args.files {
        let bytes = files::read(file, bounds::SOURCE_BYTES)?;
        let text = String::from_utf8(bytes).map_err(|_| {
            Failure::refused(format!("{}: not UTF-8 text; a policy source is TOML", file.display()))
        })?;
        let formatted = format(&text).map_err(|error| {
            let name = file.display().to_string();
            Trouble::Source(Sources(vec![SourceFile::new(name.clone(), name, None, text.clone())]), error)
                .tell()
        })?;
        if formatted == text {
            continue;
        }
        if !args.check {
            files::replace(file, formatted.as_bytes())?;
        }
        changed.push(file.display().to_string());
    }
    if args.json {
        output::json(&json!({ "checked": args.files.len(), "changed": changed }))?;
    } else {
        let what = if args.check { "not formatted; `aegisctl policy fmt` does it" } else { "formatted" };
        for name in &changed {
            output::text(&format!("{name}: {what}\n"))?;
        }
    }
    Ok(if args.check && !changed.is_empty() { Status::Refused } else { Status::Good })
}

/// The one form of a source.
pub(super) fn format(text: &str) -> Read<String> {
    let top = |message: String| SourceError::new(At::default(), message);
    // Of a policy or its tests: what is in neither is not this command's to arrange.
    if !super::cases::is_tests(text) {
        read(0, text)?;
    }
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let span = error.span().unwrap_or(0..0);
        SourceError::new(At::new(0, &span), error.message())
    })?;
    let trailing = comments(document.trailing().as_str().unwrap_or_default());
    table(document.as_table_mut(), Place::File);
    document.set_trailing(lines(&trailing, Lead::Kept));
    let formatted = document.to_string();
    let formatted = format!("{}\n", formatted.trim_start_matches('\n').trim_end());
    // What is written is what was read, or nothing is.
    let same = toml::from_str::<toml::Table>(text).ok() == toml::from_str::<toml::Table>(&formatted).ok();
    if same {
        Ok(formatted)
    } else {
        Err(top("it can't be formatted (a defect of aegisctl: report it)".to_owned()))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    File,
    Rule,
    Alert,
    Other,
}

fn table(of: &mut Table, place: Place) {
    let keys = match place {
        Place::Rule => RULE_KEYS,
        Place::Alert => ALERT_KEYS,
        Place::File | Place::Other => &[],
    };
    if !keys.is_empty() {
        let rank = |key: &str| keys.iter().position(|known| *known == key);
        of.sort_values_by(|a, _, b, _| rank(a.get()).cmp(&rank(b.get())));
    }
    let mut first = true;
    for (mut key, item) in of.iter_mut() {
        let name = key.get().to_owned();
        match item {
            Item::Value(of) => {
                let before = key.leaf_decor().prefix().and_then(|raw| raw.as_str()).unwrap_or_default();
                let before = comments(before);
                let lead = match place {
                    Place::File if !first => Lead::Kept,
                    _ => Lead::None,
                };
                key.leaf_decor_mut().set_prefix(lines(&before, lead));
                key.leaf_decor_mut().set_suffix(" ");
                value(of, name.len() + " = ".len());
                first = false;
            }
            // `with.home = …`: keys of a table without a header stay as they are.
            Item::Table(of) if of.is_dotted() => {}
            Item::Table(of) => header(of, place_of(&name)),
            Item::ArrayOfTables(of) => of.iter_mut().for_each(|of| header(of, place_of(&name))),
            Item::None => {}
        }
    }
}

fn place_of(name: &str) -> Place {
    match name {
        "rule" => Place::Rule,
        "alert" => Place::Alert,
        _ => Place::Other,
    }
}

/// A table with its header: a blank line, its comments, what is behind the header.
fn header(of: &mut Table, place: Place) {
    let before = comments(of.decor().prefix().and_then(|raw| raw.as_str()).unwrap_or_default());
    let behind = behind(of.decor().suffix().and_then(|raw| raw.as_str()).unwrap_or_default());
    // `[use.with]` stays with its `[[use]]`.
    let lead = if of.is_implicit() { Lead::None } else { Lead::Blank };
    of.decor_mut().set_prefix(lines(&before, lead));
    of.decor_mut().set_suffix(behind);
    table(of, place);
}

/// A value behind `indent` columns of key.
fn value(of: &mut Value, indent: usize) {
    let behind = behind(of.decor().suffix().and_then(|raw| raw.as_str()).unwrap_or_default());
    match of {
        Value::Array(of) => array(of, indent, behind.chars().count()),
        Value::InlineTable(of) => inline(of),
        Value::String(of) => plain(of),
        _ => {}
    }
    of.decor_mut().set_prefix(" ");
    of.decor_mut().set_suffix(behind);
}

fn text(of: &mut Value) {
    if let Value::String(of) = of {
        plain(of);
    }
}

/// A string in its one writing.
fn plain(of: &mut Formatted<String>) {
    let decor = of.decor().clone();
    *of = Formatted::new(of.value().clone());
    *of.decor_mut() = decor;
}

/// A list: on one line when it fits and has no comments, else an item a line.
fn array(of: &mut Array, indent: usize, behind: usize) {
    // Comments stand in front of the item that follows them, those behind an item on its line, too.
    let mut above: Vec<Vec<String>> = Vec::new();
    let mut beside: Vec<Vec<String>> = vec![Vec::new(); of.len() + 1];
    let mut any = false;
    let texts =
        |raw: Option<&toml_edit::RawString>| raw.and_then(|raw| raw.as_str()).unwrap_or_default().to_owned();
    let mut split = |text: &str, index: usize, beside: &mut Vec<Vec<String>>| {
        let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
        let mut own: Vec<String> = comments(rest).into_iter().filter(|line| !line.is_empty()).collect();
        let line = line.trim();
        if line.starts_with('#') {
            // Behind the bracket there is no item that it could belong to.
            if index == 0 { own.insert(0, line.to_owned()) } else { beside[index - 1].push(line.to_owned()) }
        }
        any |= !own.is_empty() || line.starts_with('#');
        own
    };
    // Between an item and its comma, or behind the last one: stands before what is next.
    let mut between = Vec::new();
    for (index, item) in of.iter().enumerate() {
        between.extend(split(&texts(item.decor().prefix()), index, &mut beside));
        above.push(std::mem::take(&mut between));
        between = split(&texts(item.decor().suffix()), index + 1, &mut beside);
    }
    let count = of.len();
    between.extend(split(of.trailing().as_str().unwrap_or_default(), count, &mut beside));
    above.push(between);
    for item in of.iter_mut() {
        text(item);
        item.decor_mut().clear();
    }
    let width: usize = of.iter().map(|item| item.to_string().chars().count() + ", ".len()).sum();
    if !any && indent + width + behind <= limits::WIDTH {
        for (index, item) in of.iter_mut().enumerate() {
            item.decor_mut().set_prefix(if index == 0 { "" } else { " " });
        }
        of.set_trailing("");
        of.set_trailing_comma(false);
        return;
    }
    // Several comments on one line become one.
    let side = |index: usize| beside[index].iter().flat_map(|line| [" ", line]).collect::<String>();
    for (index, item) in of.iter_mut().enumerate() {
        let mut prefix = if index == 0 { String::new() } else { side(index - 1) };
        for line in &above[index] {
            prefix.push_str("\n    ");
            prefix.push_str(line);
        }
        prefix.push_str("\n    ");
        item.decor_mut().set_prefix(prefix);
    }
    let mut trailing = if count == 0 { String::new() } else { side(count - 1) };
    for line in &above[count] {
        trailing.push_str("\n    ");
        trailing.push_str(line);
    }
    of.set_trailing(trailing + "\n");
    of.set_trailing_comma(count > 0);
}

/// `{ a = 1, b = 2 }`; as it is when comments are in it.
fn inline(of: &mut InlineTable) {
    if of.to_string().contains('#') {
        return;
    }
    of.fmt();
    for (_, item) in of.iter_mut() {
        match item {
            Value::Array(list) => {
                list.iter_mut().for_each(text);
                list.fmt();
            }
            other => text(other),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lead {
    /// No blank line first.
    None,
    /// One.
    Blank,
    /// One if there was one.
    Kept,
}

/// The comments of what stands before something, trimmed; an empty line for blank ones, however many.
fn comments(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let whole = text.rsplit_once('\n').map_or(
        if text.trim().starts_with('#') { text } else { "" },
        |(whole, last)| {
            if last.trim().starts_with('#') { text } else { whole }
        },
    );
    if whole.is_empty() && !text.contains('\n') {
        return lines;
    }
    for line in whole.split('\n') {
        let line = line.trim();
        if !(line.is_empty() && lines.last().is_some_and(String::is_empty)) {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// Those lines as text that ends where the next thing begins.
fn lines(comments: &[String], lead: Lead) -> String {
    let had = comments.first().is_some_and(String::is_empty);
    let comments = comments.strip_prefix(&[String::new()]).unwrap_or(comments);
    let blank = match lead {
        Lead::None => false,
        Lead::Blank => true,
        Lead::Kept => had,
    };
    let mut out = if blank { "\n".to_owned() } else { String::new() };
    for line in comments {
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// A comment behind something on its line.
fn behind(text: &str) -> String {
    let text = text.trim();
    if text.starts_with('#') { format!(" {text}") } else { String::new() }
}
