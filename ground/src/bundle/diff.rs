//! `aegisctl bundle diff`: what changes when one bundle follows another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aegis_bundle::limits::BUNDLE_BYTES;
use aegis_bundle::{Manifest, Refusal, contents, split};
use aegis_cose::Sign;
use aegis_event::Printable;
use aegis_policy::{Effect, Mode, Operation, Policy, Rule, Target};
use serde_json::{Value, json};
use similar::TextDiff;

use crate::outcome::{Failure, Outcome, Status};
use crate::{describe, files, hex, output, time};

/// How long the search for the shortest difference of two sources may take; then a longer one is shown.
const PATIENCE: Duration = Duration::from_secs(5);
/// Unchanged lines around a change.
const AROUND: usize = 3;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The bundle of before
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The bundle of after
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// A bundle taken apart; nothing is verified but that its files are those that the manifest lists.
struct Parts<'a> {
    manifest: Manifest<'a>,
    signers: Vec<String>,
    policy: Policy<'a>,
    source: &'a str,
}

/// Something that both have, with other values.
struct Changed {
    name: String,
    old: Value,
    new: Value,
}

/// A rule that is new, gone, or not what it was.
struct RuleChange {
    name: String,
    sign: char,
    /// What of a changed rule.
    fields: Vec<Changed>,
    added: Vec<String>,
    removed: Vec<String>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    // Whoever asks for a difference and gets exit 1 must know that there is one.
    let a = parts(&args.old, &old).map_err(Failure::into_usage)?;
    let b = parts(&args.new, &new).map_err(Failure::into_usage)?;
    let fields = fields(&a, &b);
    let workloads = (patterns(&a.policy), patterns(&b.policy));
    let rules = rules(&a.policy, &b.policy);
    let source = source(args, a.source, b.source);
    let same = old == new;
    if args.json {
        let changed =
            |changed: &Changed| json!({ "field": changed.name, "old": changed.old, "new": changed.new });
        let rule = |rule: &RuleChange| {
            json!({
                "rule": rule.name,
                "change": match rule.sign { '+' => "added", '-' => "removed", _ => "changed" },
                "fields": rule.fields.iter().map(changed).collect::<Vec<_>>(),
                "paths_added": rule.added,
                "paths_removed": rule.removed,
            })
        };
        output::json(&json!({
            "same": same,
            "manifest": fields.iter().map(changed).collect::<Vec<_>>(),
            "workloads_added": workloads.1.difference(&workloads.0).collect::<Vec<_>>(),
            "workloads_removed": workloads.0.difference(&workloads.1).collect::<Vec<_>>(),
            "rules": rules.iter().map(rule).collect::<Vec<_>>(),
            "source": source,
        }))?;
        return Ok(status(same));
    }
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = write_person(&mut out, &fields, &workloads, &rules, &source);
    output::text(&out)?;
    Ok(status(same))
}

const fn status(same: bool) -> Status {
    if same { Status::Good } else { Status::Refused }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    files::read(path, BUNDLE_BYTES).map_err(Failure::into_usage)
}

fn parts<'a>(path: &Path, bytes: &'a [u8]) -> Result<Parts<'a>, Failure> {
    let refused = |why: &dyn std::fmt::Display| Failure::refused(format!("{}: {why}", path.display()));
    let sections = split(bytes).map_err(|reason| refused(&Refusal::from(reason)))?;
    let manifest = Manifest::decode(sections.manifest).map_err(|reason| refused(&Refusal::from(reason)))?;
    let message = Sign::parse(sections.signatures).map_err(|error| refused(&error))?;
    let Ok((policy, source, _)) = contents(&manifest, sections.contents) else {
        return Err(refused(&"its files are not those that its manifest lists; copy it again"));
    };
    let policy = Policy::decode(policy).map_err(|error| refused(&error))?;
    let source = std::str::from_utf8(source).map_err(|_| refused(&"its policy source is not UTF-8 text"))?;
    let signers = message.signers().map(|signer| hex::encode(&signer.kid)).collect();
    Ok(Parts { manifest, signers, policy, source })
}

fn changed<T: PartialEq + Into<Value>>(name: &str, old: T, new: T) -> Option<Changed> {
    (old != new).then(|| Changed { name: name.to_owned(), old: old.into(), new: new.into() })
}

/// What the manifests say, and who signed.
fn fields(a: &Parts<'_>, b: &Parts<'_>) -> Vec<Changed> {
    let (old, new) = (describe::manifest_json(&a.manifest), describe::manifest_json(&b.manifest));
    let mut found = Vec::new();
    if let (Value::Object(old), Value::Object(new)) = (old, new) {
        // The contents themselves are compared below.
        for (name, old) in old.into_iter().filter(|(name, _)| name != "contents") {
            let new = new.get(&name).cloned().unwrap_or(Value::Null);
            found.extend(changed(&name, old, new));
        }
    }
    found.extend(changed("signers", a.signers.clone(), b.signers.clone()));
    found.extend(changed("policy name", a.policy.name(), b.policy.name()));
    found.extend(changed("policy mode", a.policy.mode().name(), b.policy.mode().name()));
    found.extend(changed("self-protection", a.policy.self_protection(), b.policy.self_protection()));
    found.extend(changed("argv", a.policy.argv().name(), b.policy.argv().name()));
    found.extend(changed("deadman", deadman(&a.policy), deadman(&b.policy)));
    found.extend(changed("site network", site(&a.manifest), site(&b.manifest)));
    found
}

/// By its hash: what it says stands in the source, whose lines are compared, too.
fn site(manifest: &Manifest<'_>) -> Value {
    manifest.site.map_or(Value::Null, |site| format!("sha256 {}", hex::encode(&site.hash)).into())
}

fn deadman(policy: &Policy<'_>) -> Value {
    policy
        .deadman()
        .map_or(Value::Null, |deadman| format!("{} denials in {} s", deadman.denials, deadman.seconds).into())
}

fn patterns<'a>(policy: &Policy<'a>) -> BTreeSet<&'a str> {
    policy.workloads().map(|workload| workload.pattern).collect()
}

/// Rules by name; of two with one name, the second is another one.
fn by_name<'a>(policy: &Policy<'a>) -> BTreeMap<(&'a str, usize), Rule<'a>> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let number = |rule: Rule<'a>| {
        let count = seen.entry(rule.name).or_default();
        *count += 1;
        ((rule.name, *count), rule)
    };
    policy.rules().map(number).collect()
}

fn rules(a: &Policy<'_>, b: &Policy<'_>) -> Vec<RuleChange> {
    let (old, new) = (by_name(a), by_name(b));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let change = |key| rule_change(key, (old.get(key), a), (new.get(key), b));
    names.into_iter().filter_map(change).collect()
}

/// A rule before and after, each with its policy; `None` when it is what it was.
fn rule_change(
    key: &(&str, usize),
    (old, a): (Option<&Rule<'_>>, &Policy<'_>),
    (new, b): (Option<&Rule<'_>>, &Policy<'_>),
) -> Option<RuleChange> {
    let values = |rule: Option<&Rule<'_>>, policy| {
        rule.map_or_else(|| RULE_FIELDS.map(|_| Value::Null), |rule| describe_rule(rule, policy))
    };
    let pairs = RULE_FIELDS.into_iter().zip(values(old, a)).zip(values(new, b));
    let fields: Vec<_> = pairs.filter_map(|((name, old), new)| changed(name, old, new)).collect();
    let targets = |rule: Option<&Rule<'_>>| rule.map(targets).unwrap_or_default();
    let (was, is) = (targets(old), targets(new));
    let only = |these: &[String], others: &BTreeSet<&String>| -> Vec<String> {
        these.iter().filter(|path| !others.contains(path)).cloned().collect()
    };
    let added = only(&is, &was.iter().collect());
    let removed = only(&was, &is.iter().collect());
    if fields.is_empty() && added.is_empty() && removed.is_empty() {
        return None;
    }
    let sign = match (old, new) {
        (None, _) => '+',
        (_, None) => '-',
        _ => '~',
    };
    Some(RuleChange { name: key.0.to_owned(), sign, fields, added, removed })
}

/// What a rule is on, an item a line.
fn targets(rule: &Rule<'_>) -> Vec<String> {
    match rule.target() {
        Target::Files { paths, trees } => {
            paths.map(str::to_owned).chain(trees.map(|tree| format!("{tree} and below"))).collect()
        }
        Target::Addresses { prefixes, ports, protocols } => {
            let ports = ports.map(|(first, last)| format!("ports {first}-{last}"));
            let protocols = protocols.map(|protocol| format!("protocol {protocol}"));
            prefixes.map(|prefix| prefix.to_string()).chain(ports).chain(protocols).collect()
        }
        Target::Hashes(hashes) => hashes.map(|hash| format!("sha256 {}", hex::encode(&hash))).collect(),
        Target::Surface => Vec::new(),
    }
}

/// Everything of a rule but what it is on. Its place counts: of two rules that say the same of a path, the first decides.
const RULE_FIELDS: [&str; 5] = ["place", "action", "operations", "workloads", "tags"];

fn describe_rule(rule: &Rule<'_>, policy: &Policy<'_>) -> [Value; 5] {
    let patterns: Vec<&str> = policy.workloads().map(|workload| workload.pattern).collect();
    let workloads = rule.workloads().filter_map(|index| patterns.get(usize::from(index) - 1).copied());
    [
        (rule.index + 1).into(),
        match rule.effect(Mode::Enforce) {
            Effect::Trial => "deny, on trial".into(),
            Effect::Override => "allow, override".into(),
            _ => rule.action.name().into(),
        },
        rule.operations.iter().map(Operation::name).collect::<Vec<_>>().into(),
        workloads.collect::<Vec<_>>().into(),
        rule.tags().collect::<Vec<_>>().into(),
    ]
}

/// A unified difference; empty when the sources are the same.
fn source(args: &Args, old: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    let name = |path: &Path| Printable(path.as_os_str().as_encoded_bytes()).to_string();
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(old, new);
    diff.unified_diff().context_radius(AROUND).header(&name(&args.old), &name(&args.new)).to_string()
}

fn write_person(
    out: &mut String,
    fields: &[Changed],
    (old, new): &(BTreeSet<&str>, BTreeSet<&str>),
    rules: &[RuleChange],
    source: &str,
) -> std::fmt::Result {
    for field in fields {
        let value = |value: &Value| match (field.name.as_str(), value) {
            ("created" | "expires", Value::Number(seconds)) => {
                time::show(seconds.as_u64().unwrap_or_default())
            }
            ("expires", Value::Null) => "never".to_owned(),
            (_, Value::Null) => "any".to_owned(),
            (_, value) => plain(value),
        };
        writeln!(out, "{:<14} {} -> {}", field.name, value(&field.old), value(&field.new))?;
    }
    for pattern in old.difference(new) {
        writeln!(out, "- workload {pattern}")?;
    }
    for pattern in new.difference(old) {
        writeln!(out, "+ workload {pattern}")?;
    }
    for rule in rules {
        writeln!(out, "{} rule {}", rule.sign, rule.name)?;
        for field in &rule.fields {
            match rule.sign {
                '+' => writeln!(out, "    {:<11} {}", field.name, plain(&field.new))?,
                '-' => writeln!(out, "    {:<11} {}", field.name, plain(&field.old))?,
                _ => writeln!(out, "    {:<11} {} -> {}", field.name, plain(&field.old), plain(&field.new))?,
            }
        }
        for path in &rule.removed {
            writeln!(out, "    - {}", Printable(path.as_bytes()))?;
        }
        for path in &rule.added {
            writeln!(out, "    + {}", Printable(path.as_bytes()))?;
        }
    }
    if !source.is_empty() {
        writeln!(out)?;
        // The source is whatever its author wrote: nothing of it may drive a terminal.
        for line in source.lines() {
            writeln!(out, "{}", printable_line(line))?;
        }
    }
    Ok(())
}

/// Text as it is, but for what drives a terminal or hides in it.
fn printable_line(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        if matches!(c, ' '..='~' | '\t') || c.is_alphanumeric() {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

/// A value in one word or a few.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => Printable(text.as_bytes()).to_string(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}
