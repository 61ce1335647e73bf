//! From files to one policy: includes are read, templates filled in, names and paths checked.
//!
//! What comes out is in the order of the text, an included file standing where it is included: before the file's own rules.
//! [`super::render`] writes it down again as one source without includes and templates, which is what a bundle carries.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use aegis_policy::{
    Argv, Deadman, Effect, Mode, Operations, PolicyError, Source, SourceRule, SourceWorkload, limits, names,
};

use super::alert::AlertSource;
use super::check::{self, bad_rule_name, policy_name, too_many};
use super::limits as bounds;
use super::place::{At, Placed, SourceError, SourceFile, Sources};
use super::room::Room;
use super::site::SiteSource;
use super::source::{Item, RawRule, RawWorkload, Read, Template, Text, Unit, Use, read, suggest};
use super::target::On;
use super::template::{fill, plain};
use crate::files;
use crate::outcome::Failure;

/// A policy, whole: one file and all that it includes.
#[derive(Debug)]
pub(crate) struct PolicySource {
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) self_protection: bool,
    pub(crate) argv: Argv,
    /// Where it says that; none: it does not say so.
    pub(crate) self_protection_at: Option<At>,
    pub(crate) deadman: Option<Deadman>,
    /// Where it says that.
    pub(crate) deadman_at: Option<At>,
    /// The network that its devices are read over.
    pub(crate) site: Option<Placed<SiteSource>>,
    pub(crate) workloads: Vec<RawWorkload>,
    pub(crate) rules: Vec<RuleSource>,
    pub(crate) alerts: Vec<AlertSource>,
    /// Templates that the policy's own file has and nothing uses.
    pub(crate) unused_templates: Vec<Text>,
    /// Parameters that no rule of their template has a gap for.
    pub(crate) unused_parameters: Vec<Text>,
    /// It is more than one plain file: [`super::render`] is its source.
    pub(crate) composed: bool,
    /// It is a file to be included: name, mode and the workloads of others were made up.
    pub(crate) fragment: bool,
}

/// A rule, checked.
#[derive(Debug)]
pub(crate) struct RuleSource {
    /// As it is written, or as the template gives it.
    pub(crate) raw: RawRule,
    /// Where the template was used that it comes from.
    pub(crate) used: Option<At>,
    /// In mode enforce.
    pub(crate) effect: Effect,
    /// Those that its words stand for, and what a denial implies.
    pub(crate) operations: Operations,
    /// Indexes into the workloads, from 1, ascending.
    pub(crate) workloads: Vec<u16>,
    pub(crate) on: On,
}

impl RuleSource {
    pub(crate) fn name(&self) -> &str {
        &self.raw.name.value
    }
}

impl PolicySource {
    /// Reads a policy that is in no file, and so includes none.
    #[cfg(test)]
    pub(crate) fn parse(text: &str) -> (Sources, Read<Self>) {
        let file = SourceFile::new("policy.toml".to_owned(), "policy.toml".to_owned(), None, text.to_owned());
        read_all(file, false)
    }

    /// Compiles it.
    pub(crate) fn compile(&self) -> Result<Vec<u8>, PolicyError> {
        aegis_policy::compile(&Source {
            name: &self.name,
            mode: self.mode,
            self_protection: self.self_protection,
            argv: self.argv,
            deadman: self.deadman,
            workloads: self.workloads.iter().map(borrow_workload).collect(),
            rules: self.rules.iter().map(RuleSource::borrow).collect(),
            alerts: self.alerts.iter().map(AlertSource::borrow).collect(),
        })
    }
}

fn borrow_workload(workload: &RawWorkload) -> SourceWorkload<'_> {
    SourceWorkload { pattern: &workload.name.value, rate: workload.rate }
}

impl RuleSource {
    fn borrow(&self) -> SourceRule<'_> {
        SourceRule {
            name: self.name(),
            effect: self.effect,
            operations: self.operations,
            workloads: self.workloads.clone(),
            target: self.on.source(&self.raw),
            tags: self.raw.tags.iter().map(|tag| tag.value.as_str()).collect(),
        }
    }
}

/// Reads a policy and what it includes. With `fragments`, a file that is only to be included counts as a policy, too.
///
/// # Errors
/// The policy's own file can't be read. What is wrong in it comes with the sources, to be shown.
pub(crate) fn load(
    path: &Path,
    bytes: Vec<u8>,
    fragments: bool,
) -> Result<(Sources, Read<PolicySource>), Failure> {
    let name = path.display().to_string();
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = line_at(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        Failure::refused(format!("{name}:{line}: not UTF-8 text; a policy source is TOML"))
    })?;
    let inside = path.file_name().map_or(name.clone(), |name| name.display().to_string());
    // A pipe has no directory to include from; whether a file has is seen when it includes.
    let canonical = path.canonicalize().ok();
    Ok(read_all(SourceFile::new(name, inside, canonical, text), fragments))
}

fn read_all(file: SourceFile, fragments: bool) -> (Sources, Read<PolicySource>) {
    let mut reading =
        Reading { sources: Sources(vec![file]), units: Vec::new(), order: Vec::new(), bytes: 0 };
    let whole = reading.file(0, &mut Vec::new()).and_then(|()| reading.policy(fragments));
    (reading.sources, whole)
}

/// Files being read.
struct Reading {
    sources: Sources,
    /// As [`Self::sources`], when it is read.
    units: Vec<(usize, Unit)>,
    /// Indexes into the units, in the order in which they count.
    order: Vec<usize>,
    bytes: usize,
}

impl Reading {
    /// Reads a file's text, and then what it includes. `open` are the files that this one is being included by.
    fn file(&mut self, index: usize, open: &mut Vec<usize>) -> Read<()> {
        let unit = read(index, &self.sources.0[index].text)?;
        let own = [
            ("name", unit.name.as_ref().map(|text| text.at)),
            ("mode", unit.mode.as_ref().map(|text| text.at)),
            ("self-protection", unit.self_protection.as_ref().map(|truth| truth.at)),
            ("argv", unit.argv.as_ref().map(|argv| argv.at)),
            ("deadman", unit.deadman.as_ref().map(|deadman| deadman.at)),
            ("site", unit.site.as_ref().map(|site| site.at)),
        ];
        if let Some((what, at)) =
            own.into_iter().filter(|_| index > 0).find_map(|(what, at)| Some((what, at?)))
        {
            let message =
                format!("\"{what}\" is the policy's own to say, not a file's that it includes; leave it out");
            return Err(SourceError::new(at, message));
        }
        open.push(index);
        let includes = unit.includes.clone();
        self.units.push((index, unit));
        let own = self.units.len() - 1;
        for include in includes {
            self.include(&include, index, open)?;
        }
        open.pop();
        self.order.push(own);
        Ok(())
    }

    fn include(&mut self, include: &Text, from: usize, open: &mut Vec<usize>) -> Read<()> {
        let fail = |message: String| Err(SourceError::new(include.at, message));
        let name = &include.value;
        let plain = !name.is_empty()
            && !name.contains('\\')
            && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if !plain {
            return fail(format!(
                "bad include \"{name}\": name a file below this one's directory, without . and .. parts"
            ));
        }
        if open.len() > bounds::INCLUDE_DEPTH {
            return fail(format!("includes are nested deeper than {}", bounds::INCLUDE_DEPTH));
        }
        let file = &self.sources.0[from];
        let (Some(root), Some(parent)) = (directory(&self.sources.0[0]), directory(file)) else {
            return fail("only a file in a directory can include others".to_owned());
        };
        let path = match parent.join(name).canonicalize() {
            Ok(path) => path,
            Err(error) => return fail(format!("can't include \"{name}\": {}", files::plain(&error))),
        };
        // Links and all: what is built is what lies in the directory that was reviewed.
        if !path.starts_with(root) {
            return fail(format!("\"{name}\" leads out of the policy's directory"));
        }
        if let Some(known) = self.sources.0.iter().position(|file| file.path.as_ref() == Some(&path)) {
            // A file that is included twice counts once, where it stands first.
            return if open.contains(&known) {
                fail(format!("\"{name}\" includes itself: {}", self.cycle(open, known)))
            } else {
                Ok(())
            };
        }
        if self.sources.0.len() == bounds::FILES {
            return fail(format!("more than {} files", bounds::FILES));
        }
        let left = limits::SOURCE_BYTES.saturating_sub(self.bytes);
        let bytes = match files::read(&path, left) {
            Ok(bytes) => bytes,
            Err(failure) if failure.is_refusal() => {
                return fail(format!(
                    "with \"{name}\" the sources are longer than {} bytes",
                    limits::SOURCE_BYTES
                ));
            }
            Err(failure) => return fail(format!("can't include it: {}", failure.message())),
        };
        self.bytes += bytes.len();
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let line = line_at(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
                return fail(format!("\"{name}\" is not UTF-8 text (line {line}); a policy source is TOML"));
            }
        };
        let beside = |of: &str| match of.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{name}"),
            None => name.clone(),
        };
        let (shown, inside) = (beside(&file.name), beside(&file.inside));
        self.sources.0.push(SourceFile::new(shown, inside, Some(path), text));
        self.file(self.sources.0.len() - 1, open)
    }

    fn cycle(&self, open: &[usize], known: usize) -> String {
        let from = open.iter().position(|index| *index == known).unwrap_or(0);
        let names: Vec<&str> =
            open[from..].iter().chain([&known]).map(|index| self.sources.0[*index].inside.as_str()).collect();
        names.join(" -> ")
    }

    /// Puts the files together.
    fn policy(&self, fragments: bool) -> Read<PolicySource> {
        let top = At::default();
        let (_, root) = &self.units[0];
        let fragment = fragments && root.name.is_none() && root.mode.is_none();
        let missing = |key: &str| SourceError::new(top, format!("\"{key}\" is missing from the policy"));
        let (name, mode) = if fragment {
            ("fragment".to_owned(), Mode::Enforce)
        } else {
            let name = root.name.as_ref().ok_or_else(|| missing("name"))?;
            let mode = root.mode.as_ref().ok_or_else(|| missing("mode"))?;
            (policy_name(name)?, check::mode(mode)?)
        };
        let units = || self.order.iter().map(|index| &self.units[*index].1);
        let mut workloads = Vec::new();
        for workload in units().flat_map(|unit| &unit.workloads) {
            self.workload(workload, &mut workloads)?;
        }
        let mut rules = Vec::new();
        let templates = self.templates()?;
        let (mut used, mut filled) = (BTreeSet::new(), 0);
        for item in units().flat_map(|unit| &unit.items) {
            match item {
                Item::Rule(rule) => rules.push((plain(rule)?, None)),
                Item::Use(r#use) => {
                    used.insert(template(&templates, r#use)?.name.value.as_str());
                    for rule in fill(template(&templates, r#use)?, r#use)? {
                        let rule = rule?;
                        filled += weight(&rule);
                        if filled > bounds::FILLED || rules.len() >= limits::RULES {
                            return Err(too_many(&rule.name).also(r#use.at, "the template is used here"));
                        }
                        rules.push((rule, Some(r#use.at)));
                    }
                }
            }
            if rules.len() > limits::RULES {
                return Err(too_many(&rules[limits::RULES].0.name));
            }
        }
        if fragment {
            invent_workloads(&rules, &mut workloads);
        }
        if workloads.is_empty() {
            let message = "no workload: add [[workload]] with a name (name = \"*\" for all)";
            return Err(SourceError::new(top, message));
        }
        let unused = |unit: &Unit| {
            let templates = unit.templates.iter().map(|template| &template.name);
            templates.filter(|name| !used.contains(name.value.as_str())).cloned().collect()
        };
        Ok(PolicySource {
            name,
            mode,
            self_protection: root.self_protection.as_ref().is_none_or(|truth| truth.value),
            argv: root.argv.as_ref().map_or(Argv::Whole, |argv| argv.value),
            self_protection_at: root.self_protection.as_ref().map(|truth| truth.at),
            deadman: root.deadman.as_ref().map(|deadman| deadman.value),
            deadman_at: root.deadman.as_ref().map(|deadman| deadman.at),
            site: root.site.clone(),
            rules: self.rules(rules, &workloads)?,
            alerts: self.alerts()?,
            workloads,
            unused_templates: if fragment { Vec::new() } else { unused(root) },
            unused_parameters: root
                .templates
                .iter()
                .flat_map(super::template::unused_parameters)
                .cloned()
                .collect(),
            composed: self.units.len() > 1
                || !root.templates.is_empty()
                || root.items.iter().any(Item::is_use),
            fragment,
        })
    }

    fn workload(&self, workload: &RawWorkload, before: &mut Vec<RawWorkload>) -> Read<()> {
        let name = &workload.name;
        if !names::is_workload_pattern(&name.value) {
            let most = limits::WORKLOAD_BYTES;
            let rule = format!("1 to {most} of A-Z, a-z, 0-9, ., _, -, with at most one * at the end");
            return Err(SourceError::new(name.at, format!("bad workload name \"{}\": {rule}", name.value)));
        }
        if let Some(first) = before.iter().map(|other| &other.name).find(|other| other.value == name.value) {
            let message =
                format!("workload \"{}\" is declared twice ({})", name.value, self.first(first, name.at));
            return Err(SourceError::new(name.at, message).also(first.at, "first here"));
        }
        if before.len() == limits::WORKLOADS {
            return Err(SourceError::new(name.at, format!("more than {} workloads", limits::WORKLOADS)));
        }
        before.push(workload.clone());
        Ok(())
    }

    fn first(&self, first: &Text, other: At) -> String {
        if first.at.file == other.file {
            format!("first on line {}", self.sources.line(first.at))
        } else {
            format!("first in {}", self.sources.name(first.at))
        }
    }

    fn templates(&self) -> Read<BTreeMap<&str, &Template>> {
        let mut templates: BTreeMap<&str, &Template> = BTreeMap::new();
        for index in &self.order {
            for template in &self.units[*index].1.templates {
                let name = &template.name;
                if !names::is_rule_name(&name.value) {
                    return Err(SourceError::new(name.at, bad_rule_name("template", &name.value)));
                }
                if let Some(first) = templates.insert(&name.value, template) {
                    let message = format!(
                        "template \"{}\" stands twice ({})",
                        name.value,
                        self.first(&first.name, name.at)
                    );
                    return Err(SourceError::new(name.at, message).also(first.name.at, "first here"));
                }
                super::template::check(template)?;
            }
        }
        Ok(templates)
    }

    fn alerts(&self) -> Read<Vec<AlertSource>> {
        let mut alerts: Vec<AlertSource> = Vec::new();
        for alert in self.order.iter().flat_map(|index| &self.units[*index].1.alerts) {
            let name = &alert.name;
            if let Some(first) =
                alerts.iter().map(|other| &other.name).find(|other| other.value == name.value)
            {
                let message =
                    format!("alert \"{}\" stands twice ({})", name.value, self.first(first, name.at));
                return Err(SourceError::new(name.at, message).also(first.at, "first here"));
            }
            if alerts.len() == limits::ALERTS {
                return Err(SourceError::new(name.at, format!("more than {} alerts", limits::ALERTS)));
            }
            alerts.push(alert.clone());
        }
        Ok(alerts)
    }

    fn rules(&self, rules: Vec<(RawRule, Option<At>)>, workloads: &[RawWorkload]) -> Read<Vec<RuleSource>> {
        let indexes: BTreeMap<&str, u16> =
            (1..).zip(workloads).map(|(index, workload)| (workload.name.value.as_str(), index)).collect();
        let mut first: BTreeMap<String, Text> = BTreeMap::new();
        let mut room = Room::default();
        let mut checked = Vec::with_capacity(rules.len());
        for (raw, used) in rules {
            let from_template = |error: SourceError| match used {
                Some(at) => error.also(at, "the template is used here"),
                None => error,
            };
            let name = raw.name.clone();
            let rule = check::rule(raw, used, &indexes).map_err(from_template)?;
            if let Some(first) = first.insert(name.value.clone(), name.clone()) {
                let message =
                    format!("rule \"{}\" stands twice ({})", name.value, self.first(&first, name.at));
                let error = from_template(SourceError::new(name.at, message));
                return Err(error.also(first.at, "first here"));
            }
            room.take(&rule).map_err(from_template)?;
            checked.push(rule);
        }
        super::room::crowded(&checked, workloads)?;
        Ok(checked)
    }
}

impl Item {
    fn is_use(&self) -> bool {
        matches!(self, Self::Use(_))
    }
}

/// The directory of a regular file.
fn directory(file: &SourceFile) -> Option<&Path> {
    file.path.as_ref().filter(|path| path.is_file())?.parent()
}

fn template<'t>(templates: &BTreeMap<&str, &'t Template>, r#use: &Use) -> Read<&'t Template> {
    let name = &r#use.template;
    templates.get(name.value.as_str()).copied().ok_or_else(|| {
        let known: Vec<&str> = templates.keys().copied().collect();
        let message = format!("there is no template \"{}\"{}", name.value, suggest(&name.value, &known));
        SourceError::new(name.at, message)
    })
}

/// What the lists of a rule that a template made take, in items of up to 64 bytes.
fn weight(rule: &RawRule) -> usize {
    rule.items().map(|item| 1 + item.value.len() / 64).sum()
}

/// A file that is only included may name workloads that are declared elsewhere, and applies to ones it does not know.
fn invent_workloads(rules: &[(RawRule, Option<At>)], workloads: &mut Vec<RawWorkload>) {
    let mut known: BTreeSet<String> = workloads.iter().map(|workload| workload.name.value.clone()).collect();
    let named = rules.iter().flat_map(|(rule, _)| rule.workloads.iter().flatten());
    let all = Placed { at: At::default(), value: "*".to_owned() };
    for workload in named.chain([&all]) {
        if names::is_workload_pattern(&workload.value)
            && workloads.len() < limits::WORKLOADS
            && known.insert(workload.value.clone())
        {
            workloads.push(RawWorkload { name: workload.clone(), rate: None });
        }
    }
}

/// The line that follows these bytes, from 1.
fn line_at(before: &[u8]) -> usize {
    before.split(|byte| *byte == b'\n').count()
}
